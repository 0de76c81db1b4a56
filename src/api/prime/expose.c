/* SPDX-License-Identifier: Apache-2.0 */
#include "api/expose.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "api/access.h"
#include "api/exposedoor.h"
#include "api/json.h"
#include "api/jsonw.h"
#include "api/prime/handlers.h"
#include "base/str.h"

enum { HOST_MAX = 300, ANSWER_MAX = 8 << 20 };

/* ---- one as clients see it ------------------------------------------------------------------- */

/* Served on every address of the host: the one that this client used is as good as any. */
static void host_of_request(const struct cx_request *req, char ret[HOST_MAX])
{
	const char *host = cx_request_host(req);
	const char *colon = host != NULL ? strrchr(host, ':') : NULL;
	size_t len = host != NULL ? strlen(host) : 0;

	if (colon != NULL && colon[strspn(colon, ":0123456789")] == '\0' && colon != host)
		len = (size_t)(colon - host);
	if (len == 0 || len >= HOST_MAX)
		(void)snprintf(ret, HOST_MAX, "127.0.0.1");
	else
		(void)snprintf(ret, HOST_MAX, "%.*s", (int)len, host);
}

static void host_of(const struct cx_exposure *e, const struct cx_request *req, char ret[HOST_MAX])
{
	const struct sockaddr_in *v4 = (const void *)&e->at;
	const struct sockaddr_in6 *v6 = (const void *)&e->at;
	char text[INET6_ADDRSTRLEN] = "127.0.0.1";
	bool is_v6 = e->at.ss_family == AF_INET6;

	if (e->at.ss_family == AF_INET && v4->sin_addr.s_addr != 0)
		(void)inet_ntop(AF_INET, &v4->sin_addr, text, sizeof text);
	if (is_v6)
		(void)inet_ntop(AF_INET6, &v6->sin6_addr, text, sizeof text);
	if ((is_v6 && IN6_IS_ADDR_UNSPECIFIED(&v6->sin6_addr)) ||
	    (e->at.ss_family == AF_INET && v4->sin_addr.s_addr == 0))
		host_of_request(req, ret);
	else
		(void)snprintf(ret, HOST_MAX, is_v6 ? "[%s]" : "%s", text);
}

/* Clients insist on "url" and "tls_socket", also where there is none. */
static void write_exposure(struct cx_jsonw *w, const struct cx_exposure *e,
			   const struct cx_request *req)
{
	char host[HOST_MAX], endpoint[HOST_MAX + 8], url[HOST_MAX + 24];

	_Static_assert(sizeof url >= CX_EXPOSEDOOR_URL_MAX, "both kinds fit");
	host_of(e, req, host);
	(void)snprintf(endpoint, sizeof endpoint, "%s:%lld", host, (long long)e->row.external_port);
	(void)snprintf(url, sizeof url, "%s://%s", e->http ? "http" : "tcp", endpoint);
	if (e->named)
		cx_exposedoor_url(e, url);
	cx_jsonw_object(w, NULL);
	cx_jsonw_text(w, "exposure_id", e->row.id);
	cx_jsonw_text(w, "sandbox_id", e->row.sandbox_id);
	cx_jsonw_int(w, "port", e->row.port);
	cx_jsonw_text(w, "name", e->row.name);
	cx_jsonw_text(w, "url", url);
	cx_jsonw_text(w, "tls_socket", "");
	cx_jsonw_text(w, "protocol", e->row.protocol);
	if (e->http)
		cx_jsonw_null(w, "external_port");
	else
		cx_jsonw_int(w, "external_port", e->row.external_port);
	cx_jsonw_text(w, "external_endpoint", e->http ? NULL : endpoint);
	cx_jsonw_time(w, "created_at", e->row.created_ms);
	cx_jsonw_end(w);
}

/* ---- making one ------------------------------------------------------------------------------ */

struct asked {
	struct cx_expose_waiter waiter;
	struct cx_request *req;
};

static void on_exposed(struct cx_expose_waiter *waiter, const struct cx_exposure *exposure,
		       const struct cx_err *err)
{
	struct asked *asked = cx_container_of(waiter, struct asked, waiter);
	struct cx_request *req = asked->req;
	struct cx_buf json = { .max = ANSWER_MAX };
	struct cx_jsonw w = { .out = &json };

	free(asked);
	if (err != NULL) {
		cx_request_fail(req, err);
		return;
	}
	write_exposure(&w, exposure, req);
	cx_request_answer_json(req, &w);
}

static int parse(const struct json_t *doc, struct cx_expose_wish *ret, struct cx_err *err)
{
	const char *protocol = CX_EXPOSE_HTTP;
	int r = cx_json_int(doc, "port", INT32_MIN, INT32_MAX, &ret->port, err);

	if (r < 0 || cx_json_text(doc, "name", CX_EXPOSE_NAME_MAX, &ret->name, err) < 0 ||
	    cx_json_text(doc, "protocol", 16, &protocol, err) < 0)
		return -err->errnum;
	if (r == 0)
		return cx_refuse(err, CX_INVALID, "'port' is missing");
	ret->http = strcasecmp(protocol, CX_EXPOSE_HTTP) == 0;
	if (!ret->http && strcasecmp(protocol, CX_EXPOSE_TCP) != 0)
		return cx_refuse(err, CX_INVALID, "'protocol' is HTTP or TCP");
	return 0;
}

static int expose(struct cx_request *req, struct asked *asked, struct cx_err *err)
{
	CX_AUTO(cx_json_free) struct json_t *doc = NULL;
	CX_AUTO(cx_named_clear) struct cx_named named = { 0 };
	struct cx_expose_wish wish = { 0 };

	if (asked == NULL)
		return cx_fail(err, ENOMEM, "a request");
	if (cx_json_parse_object(req->body.p, req->body.len, &doc, err) < 0 ||
	    cx_access_named(req, req->param, &named, err) < 0 || parse(doc, &wish, err) < 0)
		return -err->errnum;
	if (named.box == NULL)
		return cx_refuse(err, CX_CONFLICT, "the sandbox has ended, it is %s",
				 named.row->status);
	*asked = (struct asked){ .waiter.done = on_exposed, .req = req };
	return cx_expose(req->gateway, named.box, &wish, &asked->waiter, err);
}

void cx_prime_expose(struct cx_request *req)
{
	struct asked *asked = malloc(sizeof *asked);
	struct cx_err err;

	if (expose(req, asked, &err) == 0)
		return;
	free(asked);
	cx_request_fail(req, &err);
}

/* ---- the others ------------------------------------------------------------------------------ */

static void answer_list(struct cx_request *req, const struct cx_box *box, bool none)
{
	struct cx_buf json = { .max = ANSWER_MAX };
	struct cx_jsonw w = { .out = &json };
	const struct cx_exposure *e = NULL;

	cx_jsonw_object(&w, NULL);
	cx_jsonw_array(&w, "exposures");
	while (!none && (e = cx_exposure_next(req->gateway, box, e)) != NULL)
		if ((e->named ? e->waiter == NULL : e->row.external_port != 0) &&
		    cx_access_allows(req, cx_box_row(e->box)))
			write_exposure(&w, e, req);
	cx_jsonw_end(&w);
	cx_jsonw_end(&w);
	cx_request_answer_json(req, &w);
}

void cx_prime_exposures(struct cx_request *req)
{
	CX_AUTO(cx_named_clear) struct cx_named named = { 0 };
	struct cx_err err;

	if (cx_access_named(req, req->param, &named, &err) < 0)
		cx_request_fail(req, &err);
	else
		answer_list(req, named.box, named.box == NULL);
}

void cx_prime_all_exposures(struct cx_request *req)
{
	answer_list(req, NULL, false);
}

static int unexpose(struct cx_request *req, struct cx_err *err)
{
	CX_AUTO(cx_named_clear) struct cx_named named = { 0 };
	const char *id = cx_request_second(req);
	struct cx_exposure *e = NULL;

	if (cx_access_named(req, req->param, &named, err) < 0)
		return -err->errnum;
	while (named.box != NULL && (e = cx_exposure_next(req->gateway, named.box, e)) != NULL &&
	       strcmp(e->row.id, id) != 0)
		;
	if (e == NULL)
		return cx_refuse(err, CX_NOT_FOUND, "the sandbox has no exposure '%.64s'", id);
	cx_unexpose(e);
	return 0;
}

void cx_prime_unexpose(struct cx_request *req)
{
	struct cx_buf json = { .max = 64 };
	struct cx_jsonw w = { .out = &json };
	struct cx_err err;

	if (unexpose(req, &err) < 0) {
		cx_request_fail(req, &err);
		return;
	}
	cx_jsonw_object(&w, NULL);
	cx_jsonw_end(&w);
	cx_request_answer_json(req, &w);
}
