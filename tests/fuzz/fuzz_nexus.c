/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What Nexus' clients send (the first byte chooses the method of the path), and what an attribute
 * of a sandbox may have become. Bytes that are no ASCII text are words. What is refused has one of
 * JSON-RPC's codes, what is accepted is whole and within its bounds.
 */
#include <jansson.h>

#include "api/nexus/params.h"
#include "api/nexus/sandbox.h"
#include "tests/fuzz/input.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char *const words[] = {
	"{\"jsonrpc\":\"2.0\",\"id\":1,\"params\":{",
	"{\"nexus\":{",
	"\"id\":",
	"\"method\":\"sandbox_",
	"\"name\":\"",
	"\"ttl_minutes\":",
	"\"provider\":\"",
	"\"template_id\":\"",
	"\"verify_status\":true",
	"\"sandbox_id\":\"a\"",
	"\"language\":\"bash\"",
	"\"code\":\"",
	"\"timeout\":",
	"\"user_id\":\"",
	"\"agent_id\":\"",
	"\"tenant_id\":\"",
	"\"status\":\"",
	"\"context\":{",
	"\"user\":\"",
	"\"mount_path\":",
	"null",
	"1e308",
	"9223372036854775807",
	"\\ud83d\\ude00",
	"\\u0000",
	"\xc3\xa4",
	"\",",
	"}}",
};

static void look_at_json(const char *text)
{
	json_t *doc = json_loads(text, JSON_DECODE_ANY, NULL);

	if (doc == NULL)
		abort();
	json_decref(doc);
}

static void look_at(const struct cx_nexus_request *r)
{
	bool creates = r->method == CX_NEXUS_CREATE || r->method == CX_NEXUS_GET_OR_CREATE;
	bool names = !creates && r->method != CX_NEXUS_LIST;

	if (r->id == NULL || (creates && (r->p.name == NULL || r->p.name[0] == '\0')) ||
	    (creates && !(r->p.ttl_minutes >= 0.01 && r->p.ttl_minutes <= 5256000)) ||
	    (names && (r->p.sandbox_id == NULL || r->p.sandbox_id[0] == '\0')) ||
	    (r->method == CX_NEXUS_RUN && (r->p.code == NULL || r->p.language == NULL ||
					   r->p.timeout < 1 || r->p.timeout > 4000000)))
		abort();
}

static void try_request(const char *body, size_t len, const char *method)
{
	CX_AUTO(cx_nexus_request_clear) struct cx_nexus_request r;
	struct cx_err err = { 0 };
	int code = 0;

	if (cx_nexus_parse(body, len, method, &r, &code, &err) == 0)
		look_at(&r);
	else if (err.errnum == 0 || err.kind != CX_INVALID || code > -32600 || code < -32700)
		abort();
	if (r.id != NULL)
		look_at_json(r.id);
}

static void try_attributes(char *text)
{
	CX_AUTO(cx_nexus_traits_clear) struct cx_nexus_traits traits;
	struct cx_sandbox_row row = { .attributes = text };
	cx_autofree char *again = NULL;
	struct cx_err err;

	cx_nexus_traits_load(&row, &traits);
	if (traits.provider == NULL || traits.tenant_id == NULL ||
	    cx_nexus_traits_dump(&traits, &again, &err) < 0)
		abort();
	look_at_json(again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static char text[1 << 17];
	struct input in = { data, size };
	unsigned what = take_byte(&in) % (CX_NEXUS_METHODS + 1);
	size_t len = expand_json(in.p, in.left, words, CX_LEN(words), text, sizeof text);
	/* A copy of exactly its size, so that a byte too far is seen. */
	cx_autofree char *body = malloc(len + 1);

	if (body == NULL)
		abort();
	memcpy(body, text, len);
	body[len] = '\0';
	if (what == CX_NEXUS_METHODS)
		try_attributes(body);
	else
		try_request(body, len, cx_nexus_method_name((enum cx_nexus_method)what));
	return 0;
}
