/* SPDX-License-Identifier: Apache-2.0 */
#include "fetch/access.h"

#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>

#include "base/loop.h"
#include "base/str.h"

enum { TOKEN_TOTAL_S = 60, EARLY_MS = 5000, FORM_MAX = 64 << 10 };

struct cx_endpoint *cx_endpoint_new(struct cx_web *web, const struct cx_buf *ca)
{
	struct cx_endpoint *e = calloc(1, sizeof *e);

	if (e == NULL)
		return NULL;
	e->web = web;
	e->ca = ca;
	for (size_t i = 0; i < CX_LEN(e->tokens); i++) {
		e->tokens[i].of = e;
		e->tokens[i].body.max = CX_REPLY_TOKEN_BYTES;
	}
	return e;
}

static void forget_token(struct cx_token *token)
{
	cx_web_stop(&token->call);
	cx_buf_free(&token->body);
	free(token->value);
	token->value = NULL;
	token->state = CX_TOKEN_NONE;
}

void cx_endpoint_free(struct cx_endpoint *e)
{
	if (e == NULL)
		return;
	for (size_t i = 0; i < CX_LEN(e->tokens); i++)
		forget_token(&e->tokens[i]);
	free(e->user);
	free(e->password);
	free(e->identity_token);
	free(e->registry_token);
	cx_buf_free(&e->own_ca);
	free(e);
}

int cx_endpoint_url(const struct cx_endpoint *e, const char *path, char ret[CX_WEB_URL_MAX],
		    struct cx_err *err)
{
	return cx_format(ret, CX_WEB_URL_MAX, "%s://%s%s", err, e->plain ? "http" : "https",
			 e->host, path);
}

static bool has_password(const struct cx_endpoint *e)
{
	return e->user != NULL && e->password != NULL;
}

enum cx_sent cx_access_sent(const struct cx_endpoint *e, const char *authorization)
{
	if (strncmp(authorization, "Basic ", 6) == 0)
		return CX_SENT_PASSWORD;
	/* A token that everybody gets proves nothing. */
	return *authorization != '\0' && (has_password(e) || e->identity_token != NULL ||
					  e->registry_token != NULL)
		       ? CX_SENT_TOKEN
		       : CX_SENT_NOTHING;
}

/* ---- asking the token service ---------------------------------------------------------------- */

static bool token_arrived(struct cx_web_call *call, const void *data, size_t len)
{
	struct cx_token *token = cx_container_of(call, struct cx_token, call);
	struct cx_err lost;

	return cx_buf_add(&token->body, data, len, &lost) == 0;
}

static void deny(struct cx_token *token)
{
	cx_buf_free(&token->body);
	token->state = CX_TOKEN_DENIED;
}

static void token_done(struct cx_web_call *call)
{
	struct cx_token *token = cx_container_of(call, struct cx_token, call);
	const struct cx_endpoint *e = token->of;
	char name[CX_ORIGIN_NAME_SIZE] = "?", who[320], value[CX_TOKEN_SIZE];
	struct cx_origin origin;
	struct cx_err err;
	uint32_t seconds;
	const struct cx_question question = {
		.who = who,
		.object = token->scope[0] != '\0' ? token->scope : "a login",
		.login = e->host,
		.sent = has_password(e)		    ? CX_SENT_PASSWORD
			: e->identity_token != NULL ? CX_SENT_TOKEN
						    : CX_SENT_NOTHING,
		.known = true,
	};

	if (cx_origin_of(e->realm, &origin, &err) == 0)
		cx_origin_name(&origin, name);
	(void)snprintf(who, sizeof who, "token service '%s'", name);
	if (call->answer.end != CX_WEB_ANSWERED || call->answer.status != 200) {
		(void)cx_fault_of(&token->why, &call->answer, &question);
		deny(token);
		return;
	}
	if (cx_reply_token(token->body.p, token->body.len, value, &seconds, &err) < 0) {
		(void)cx_fault_set(&token->why, CX_FETCH_PROTOCOL, CX_UNAVAILABLE, "%s: %s", who,
				   err.msg);
		deny(token);
		return;
	}
	cx_buf_free(&token->body);
	token->value = strdup(value);
	token->state = token->value != NULL ? CX_TOKEN_HELD : CX_TOKEN_NONE;
	token->until_ms = cx_now_ms() + (uint64_t)seconds * 1000 - EARLY_MS;
}

/* Each scope is a parameter of its own in a query; in a form they stand in one. */
static int add_scopes(struct cx_buf *query, const char *scopes, struct cx_err *err)
{
	char one[CX_ACCESS_SCOPE_SIZE];

	while (*scopes != '\0') {
		size_t len = strcspn(scopes, " ");

		(void)snprintf(one, sizeof one, "%.*s", (int)len, scopes);
		if (len > 0 && cx_form_add(query, "scope", one, err) < 0)
			return -err->errnum;
		scopes += len + (scopes[len] == ' ');
	}
	return 0;
}

/* What the registry says is missing, unless that is what we ask for anyway. */
static const char *more_scopes(const struct cx_token *token)
{
	return strstr(token->scope, token->also) != NULL ? "" : token->also;
}

static int make_query(const struct cx_token *token, struct cx_buf *query, struct cx_err *err)
{
	const struct cx_endpoint *e = token->of;

	if ((e->service[0] != '\0' && cx_form_add(query, "service", e->service, err) < 0) ||
	    (has_password(e) && cx_form_add(query, "account", e->user, err) < 0) ||
	    add_scopes(query, token->scope, err) < 0 ||
	    add_scopes(query, more_scopes(token), err) < 0)
		return -err->errnum;
	return 0;
}

/* OAuth 2: an identity token is a refresh token. */
static int make_form(const struct cx_token *token, struct cx_buf *form, struct cx_err *err)
{
	const struct cx_endpoint *e = token->of;
	char scopes[2 * CX_ACCESS_SCOPE_SIZE];

	(void)snprintf(scopes, sizeof scopes, "%s %s", token->scope, more_scopes(token));
	if (cx_form_add(form, "grant_type", "refresh_token", err) < 0 ||
	    cx_form_add(form, "service", e->service, err) < 0 ||
	    cx_form_add(form, "client_id", "caisson", err) < 0 ||
	    cx_form_add(form, "refresh_token", e->identity_token, err) < 0 ||
	    cx_form_add(form, "scope", scopes, err) < 0 || cx_buf_add(form, "", 1, err) < 0)
		return -err->errnum;
	return 0;
}

/* "Basic " and user:password in base 64. False when it does not fit. */
static bool basic(const struct cx_endpoint *e, char ret[CX_AUTHORIZATION_SIZE])
{
	char pair[9000];
	int n = snprintf(pair, sizeof pair, "%s:%s", e->user, e->password);

	if (n < 0 || (size_t)n >= sizeof pair ||
	    6 + 4 * ((size_t)n + 2) / 3 + 1 > CX_AUTHORIZATION_SIZE)
		return false;
	memcpy(ret, "Basic ", 6);
	(void)EVP_EncodeBlock((unsigned char *)ret + 6, (const unsigned char *)pair, n);
	return true;
}

static bool send_question(struct cx_token *token, struct cx_err *err)
{
	CX_AUTO(cx_buf_free) struct cx_buf text = { .max = FORM_MAX };
	struct cx_endpoint *e = token->of;
	char url[CX_WEB_URL_MAX], authorization[CX_AUTHORIZATION_SIZE] = "";
	struct cx_web_plan plan = {
		.method = e->identity_token != NULL ? CX_WEB_POST : CX_WEB_GET,
		.url = url,
		.plain = e->plain,
		.ca = e->ca,
		.accept = "application/json",
		.total_s = TOKEN_TOTAL_S,
		.stall_s = TOKEN_TOTAL_S,
		.sink = token_arrived,
		.done = token_done,
	};

	(void)snprintf(url, sizeof url, "%s", e->realm);
	if (e->identity_token != NULL) {
		if (make_form(token, &text, err) < 0)
			return false;
		plan.form = text.p;
		plan.content_type = "application/x-www-form-urlencoded";
	} else if (make_query(token, &text, err) < 0 || cx_url_query(url, &text, err) < 0) {
		return false;
	}
	if (has_password(e) && e->identity_token == NULL && basic(e, authorization))
		plan.authorization = authorization;
	return cx_web_start(e->web, &token->call, &plan, err) == 0;
}

static void ask(struct cx_token *token)
{
	struct cx_err err;

	forget_token(token);
	if (send_question(token, &err)) {
		token->state = CX_TOKEN_COMING;
		return;
	}
	(void)cx_fault_local(&token->why, &err);
	deny(token);
}

/* The token of this scope, or the slot for it. NULL: all are being asked for. */
static struct cx_token *token_of(struct cx_endpoint *e, const char *scope)
{
	struct cx_token *oldest = NULL;

	for (size_t i = 0; i < CX_LEN(e->tokens); i++) {
		struct cx_token *t = &e->tokens[i];

		if (t->used_ms > 0 && strcmp(t->scope, scope) == 0) {
			t->used_ms = cx_now_ms();
			return t;
		}
		if (t->state != CX_TOKEN_COMING && (oldest == NULL || t->used_ms < oldest->used_ms))
			oldest = t;
	}
	if (oldest == NULL)
		return NULL;
	forget_token(oldest);
	(void)snprintf(oldest->scope, sizeof oldest->scope, "%s", scope);
	oldest->also[0] = '\0';
	oldest->used_ms = cx_now_ms();
	return oldest;
}

static enum cx_access bearer(struct cx_token *token, char ret[CX_AUTHORIZATION_SIZE],
			     struct cx_fault *fault)
{
	if (token == NULL)
		return CX_ACCESS_WAIT;
	if (token->state == CX_TOKEN_NONE ||
	    (token->state == CX_TOKEN_HELD && cx_now_ms() >= token->until_ms))
		ask(token);
	switch (token->state) {
	case CX_TOKEN_HELD:
		(void)snprintf(ret, CX_AUTHORIZATION_SIZE, "Bearer %s", token->value);
		return CX_ACCESS_GRANTED;
	case CX_TOKEN_DENIED:
		*fault = token->why;
		if (fault->again) /* who tries again asks again */
			token->state = CX_TOKEN_NONE;
		return CX_ACCESS_FAILED;
	case CX_TOKEN_NONE:
	case CX_TOKEN_COMING:
		break;
	}
	return CX_ACCESS_WAIT;
}

enum cx_access cx_access_header(struct cx_endpoint *e, const char *scope,
				char ret[CX_AUTHORIZATION_SIZE], struct cx_fault *fault)
{
	ret[0] = '\0';
	if (e->registry_token != NULL) {
		(void)snprintf(ret, CX_AUTHORIZATION_SIZE, "Bearer %s", e->registry_token);
		return CX_ACCESS_GRANTED;
	}
	if (e->wants == CX_SCHEME_BEARER)
		return bearer(token_of(e, scope), ret, fault);
	if (e->wants == CX_SCHEME_BASIC && has_password(e) && !basic(e, ret)) {
		(void)cx_fault_set(fault, CX_FETCH_OTHER, CX_INVALID, "the password is too long");
		return CX_ACCESS_FAILED;
	}
	return CX_ACCESS_GRANTED;
}

/* ---- what the registry wants ----------------------------------------------------------------- */

/* May credentials, if there are any, go to this realm? */
static bool check_realm(const struct cx_endpoint *e, const char *realm, struct cx_fault *fault)
{
	bool secret = has_password(e) || e->identity_token != NULL;
	struct cx_origin own, other;
	char url[CX_WEB_URL_MAX];
	struct cx_err err;

	if (cx_endpoint_url(e, "/", url, &err) < 0 || cx_origin_of(url, &own, &err) < 0 ||
	    cx_origin_of(realm, &other, &err) < 0)
		return cx_fault_set(fault, CX_FETCH_PROTOCOL, CX_UNAVAILABLE,
				    "registry '%s' names a token service that is none: %s", e->host,
				    err.msg);
	if (other.tls || (e->plain && (!secret || strcmp(own.host, other.host) == 0)))
		return true;
	return cx_fault_set(fault, CX_FETCH_NOT_TLS, CX_DENIED,
			    "registry '%s' names a token service on '%s' that is spoken to in "
			    "plain HTTP; no password is sent there",
			    e->host, other.host);
}

bool cx_access_challenged(struct cx_endpoint *e, const char *scope, const char *challenge,
			  const char *sent, struct cx_fault *fault)
{
	struct cx_challenge c;
	struct cx_token *token;
	struct cx_err err;
	char prove[CX_AUTHORIZATION_SIZE];

	*fault = (struct cx_fault){ .reason = CX_FETCH_OTHER };
	if (cx_challenge_parse(challenge, &c, &err) < 0)
		return cx_fault_set(fault, CX_FETCH_PROTOCOL, CX_UNAVAILABLE,
				    "registry '%s' refuses access (HTTP 401): %s", e->host,
				    err.msg);
	if (e->registry_token != NULL)
		return false;
	if (c.scheme == CX_SCHEME_BASIC) {
		e->wants = c.scheme;
		return has_password(e) && *sent == '\0';
	}
	if (!check_realm(e, c.realm, fault))
		return false;
	e->wants = c.scheme;
	memcpy(e->realm, c.realm, sizeof e->realm);
	memcpy(e->service, c.service, sizeof e->service);
	token = token_of(e, scope);
	if (token == NULL)
		return true;
	memcpy(token->also, c.scope, sizeof token->also);
	(void)snprintf(prove, sizeof prove, "Bearer %s", token->value != NULL ? token->value : "");
	if (token->state == CX_TOKEN_HELD && strcmp(sent, prove) == 0)
		forget_token(token); /* expired before its time, or of too narrow a scope */
	return true;
}
