/* SPDX-License-Identifier: Apache-2.0 */
#include <microhttpd.h>
#include <string.h>
#include <strings.h>

#include "api/http_inner.h"
#include "base/str.h"

const char *cx_request_second(const struct cx_request *req)
{
	return req->param + strlen(req->param) + 1;
}

struct cx_loop *cx_request_loop(const struct cx_request *req)
{
	return req->http->o.loop;
}

const char *cx_request_query(const struct cx_request *req, const char *name)
{
	return MHD_lookup_connection_value(req->connection, MHD_GET_ARGUMENT_KIND, name);
}

int cx_request_query_u64(const struct cx_request *req, const char *name, uint64_t min, uint64_t max,
			 uint64_t *value, struct cx_err *err)
{
	const char *text = cx_request_query(req, name);

	return text != NULL ? cx_parse_u64(text, min, max, name, value, err) : 0;
}

struct query_walk {
	const char *name;
	void (*each)(const char *value, void *arg);
	void *arg;
};

static enum MHD_Result walk_query(void *cls, enum MHD_ValueKind kind, const char *key,
				  const char *value)
{
	struct query_walk *walk = cls;

	(void)kind;
	if (value != NULL && strcmp(key, walk->name) == 0)
		walk->each(value, walk->arg);
	return MHD_YES;
}

void cx_request_query_each(const struct cx_request *req, const char *name,
			   void (*each)(const char *value, void *arg), void *arg)
{
	struct query_walk walk = { name, each, arg };

	(void)MHD_get_connection_values(req->connection, MHD_GET_ARGUMENT_KIND, walk_query, &walk);
}

const char *cx_request_header(const struct cx_request *req, const char *name)
{
	return MHD_lookup_connection_value(req->connection, MHD_HEADER_KIND, name);
}

const char *cx_request_agent(const struct cx_request *req)
{
	return cx_request_header(req, "User-Agent");
}

const char *cx_request_content_type(const struct cx_request *req)
{
	return cx_request_header(req, "Content-Type");
}

const char *cx_request_host(const struct cx_request *req)
{
	return cx_request_header(req, "Host");
}

unsigned cx_request_connections(const struct cx_request *req)
{
	unsigned n = 0;

	for (const struct cx_listener *at = req->http->listeners; at != NULL; at = at->next) {
		const union MHD_DaemonInfo *info =
			MHD_get_daemon_info(at->daemon, MHD_DAEMON_INFO_CURRENT_CONNECTIONS);

		n += info != NULL ? info->num_connections : 0;
	}
	return n;
}

const char *cx_request_scheme(const struct cx_request *req)
{
	const char *forwarded = cx_request_header(req, "X-Forwarded-Proto");

	return req->from->at->tls || (forwarded != NULL && strcasecmp(forwarded, "https") == 0)
		       ? "https"
		       : "http";
}
