/* SPDX-License-Identifier: Apache-2.0 */
#include "api/openapi.h"

#include <stdio.h>
#include <string.h>

#include "api/describe.h"
#include "api/handlers.h"
#include "api/http.h"
#include "api/routes.h"

enum { DOCUMENT_MAX = 4 << 20, PATH_MAX_BYTES = 128, PARAM_NAME_MAX = 32 };

/* ---- schemas -------------------------------------------------------------------------------- */

static void write_ref(struct cx_jsonw *w, const char *key, const char *schema)
{
	char text[128];

	(void)snprintf(text, sizeof text, "#/components/schemas/%s", schema);
	cx_jsonw_object(w, key);
	cx_jsonw_text(w, "$ref", text);
	cx_jsonw_end(w);
}

static void write_words(struct cx_jsonw *w, const char *words)
{
	cx_jsonw_array(w, "enum");
	for (const char *p = words; *p != '\0';) {
		size_t len = strcspn(p, "|");

		cx_jsonw_bytes(w, NULL, p, len);
		p += len + (p[len] == '|');
	}
	cx_jsonw_end(w);
}

static void write_text(struct cx_jsonw *w, const struct cx_field *f)
{
	if (f->min > 0)
		cx_jsonw_int(w, "minLength", (int64_t)f->min);
	if (f->max > 0)
		cx_jsonw_int(w, "maxLength", (int64_t)f->max);
	if (f->of != NULL && (f->is & (CX_IS_OBJECT | CX_IS_OBJECTS)) == 0)
		write_words(w, f->of);
}

static void write_range(struct cx_jsonw *w, const struct cx_field *f)
{
	if (f->min != 0 || f->max > 0)
		cx_jsonw_real(w, "minimum", f->min);
	if (f->max > 0)
		cx_jsonw_real(w, "maximum", f->max);
}

static void write_texts(struct cx_jsonw *w, const struct cx_field *f)
{
	(void)f;
	cx_jsonw_object(w, "items");
	cx_jsonw_text(w, "type", "string");
	cx_jsonw_end(w);
}

static void write_map(struct cx_jsonw *w, const struct cx_field *f)
{
	(void)f;
	cx_jsonw_object(w, "additionalProperties");
	cx_jsonw_text(w, "type", "string");
	cx_jsonw_end(w);
}

static void write_objects(struct cx_jsonw *w, const struct cx_field *f)
{
	write_ref(w, "items", f->of);
}

static const struct {
	unsigned is;
	const char *type;
	void (*more)(struct cx_jsonw *w, const struct cx_field *f);
} types[] = {
	{ CX_IS_TEXT, "string", write_text },	   { CX_IS_INT, "integer", write_range },
	{ CX_IS_REAL, "number", write_range },	   { CX_IS_BOOL, "boolean", NULL },
	{ CX_IS_LIST, "array", write_texts },	   { CX_IS_MAP, "object", write_map },
	{ CX_IS_OBJECTS, "array", write_objects }, { CX_IS_NULL, "null", NULL },
};

static void write_alternatives(struct cx_jsonw *w, const struct cx_field *f)
{
	cx_jsonw_array(w, "anyOf");
	for (size_t i = 0; i < CX_LEN(types); i++) {
		if ((f->is & types[i].is) == 0)
			continue;
		cx_jsonw_object(w, NULL);
		cx_jsonw_text(w, "type", types[i].type);
		if (types[i].more != NULL)
			types[i].more(w, f);
		cx_jsonw_end(w);
	}
	if ((f->is & CX_IS_OBJECT) != 0)
		write_ref(w, NULL, f->of);
	cx_jsonw_end(w);
}

static void write_field(struct cx_jsonw *w, const char *key, const struct cx_field *f)
{
	cx_jsonw_object(w, key);
	if ((f->is & CX_IS_ANY) == 0)
		write_alternatives(w, f);
	if (f->why[0] != '\0')
		cx_jsonw_text(w, "description", f->why);
	cx_jsonw_end(w);
}

static void write_schema(struct cx_jsonw *w, const struct cx_schema *schema)
{
	cx_jsonw_object(w, schema->name);
	cx_jsonw_text(w, "type", "object");
	cx_jsonw_array(w, "required");
	for (size_t i = 0; i < schema->count; i++)
		if ((schema->fields[i].is & CX_IS_NEEDED) != 0)
			cx_jsonw_text(w, NULL, schema->fields[i].name);
	cx_jsonw_end(w);
	cx_jsonw_object(w, "properties");
	for (size_t i = 0; i < schema->count; i++)
		write_field(w, schema->fields[i].name, &schema->fields[i]);
	cx_jsonw_end(w);
	cx_jsonw_end(w);
}

/* ---- operations ----------------------------------------------------------------------------- */

/* With its parameters named: "/a/{id}". The first operation of a path names them for all. */
static void write_path(const struct cx_route *route, const char *param, char ret[PATH_MAX_BYTES])
{
	size_t used = 0;

	ret[0] = '\0';
	for (const char *p = route->path; *p != '\0' && used < PATH_MAX_BYTES; p++) {
		int len = *p == '{' ? (int)strcspn(param, ",") : 1;

		used += (size_t)snprintf(ret + used, PATH_MAX_BYTES - used,
					 *p == '{' ? "{%.*s}" : "%.*s", len, *p == '{' ? param : p);
		if (*p != '{')
			continue;
		param += (size_t)len + (param[len] == ',' ? 1 : 0);
		p = strchr(p, '}');
	}
}

static void write_parameter(struct cx_jsonw *w, const char *in, const struct cx_field *f)
{
	cx_jsonw_object(w, NULL);
	cx_jsonw_text(w, "name", f->name);
	cx_jsonw_text(w, "in", in);
	cx_jsonw_bool(w, "required", (f->is & CX_IS_NEEDED) != 0);
	write_field(w, "schema", f);
	cx_jsonw_end(w);
}

static void write_segments(struct cx_jsonw *w, const struct cx_route *route, const char *param)
{
	char name[PARAM_NAME_MAX];
	struct cx_field segment = { .name = name,
				    .is = CX_IS_TEXT | CX_IS_NEEDED,
				    .min = 1,
				    .max = CX_PARAM_MAX,
				    .why = strstr(route->path, "{+}") != NULL ? "may hold slashes"
									      : "" };

	while (*param != '\0') {
		int len = (int)strcspn(param, ",");

		(void)snprintf(name, sizeof name, "%.*s", len, param);
		write_parameter(w, "path", &segment);
		param += (size_t)len + (param[len] == ',' ? 1 : 0);
	}
}

static void write_parameters(struct cx_jsonw *w, const struct cx_route *route, const char *param,
			     const struct cx_operation *op)
{
	const struct cx_schema *query =
		op != NULL && op->query != NULL ? cx_schema_find(op->query) : NULL;

	cx_jsonw_array(w, "parameters");
	if (strchr(route->path, '{') != NULL)
		write_segments(w, route, param);
	for (size_t i = 0; query != NULL && i < query->count; i++)
		write_parameter(w, "query", &query->fields[i]);
	cx_jsonw_end(w);
}

static void write_content(struct cx_jsonw *w, const char *type, const char *schema)
{
	cx_jsonw_object(w, "content");
	cx_jsonw_object(w, type);
	if (schema != NULL)
		write_ref(w, "schema", schema);
	cx_jsonw_end(w);
	cx_jsonw_end(w);
}

static void write_body(struct cx_jsonw *w, const struct cx_route *route,
		       const struct cx_operation *op)
{
	bool described = op != NULL && op->takes != NULL;

	if (route->body == CX_BODY_NONE)
		return;
	cx_jsonw_object(w, "requestBody");
	cx_jsonw_bool(w, "required", true);
	if (route->body == CX_BODY_STREAM && described)
		write_content(w, "multipart/form-data", op->takes);
	else if (route->body == CX_BODY_FILE || route->body == CX_BODY_COMES ||
		 route->body == CX_BODY_STREAM)
		write_content(w, "application/octet-stream", NULL);
	else if (route->body == CX_BODY_CALL)
		write_content(w, "application/proto", NULL);
	else
		write_content(w, "application/json", described ? op->takes : NULL);
	cx_jsonw_end(w);
}

static void write_answers(struct cx_jsonw *w, const struct cx_operation *op)
{
	static const char *const forms[] = {
		[CX_FORM_JSON] = "application/json",  [CX_FORM_LINES] = "application/x-ndjson",
		[CX_FORM_FILE] = "application/x-tar", [CX_FORM_BYTES] = "application/octet-stream",
		[CX_FORM_TEXT] = "text/plain",	      [CX_FORM_CALL] = "application/proto"
	};

	cx_jsonw_object(w, "responses");
	cx_jsonw_object(w, "200");
	cx_jsonw_text(w, "description", "done");
	if (op != NULL)
		write_content(w, forms[op->form], op->gives);
	cx_jsonw_end(w);
	cx_jsonw_object(w, "default");
	cx_jsonw_text(w, "description", "refused, or failed");
	write_content(w, "application/json", "Error");
	cx_jsonw_end(w);
	cx_jsonw_end(w);
}

static void write_operation(struct cx_jsonw *w, const struct cx_route *route, const char *param)
{
	static const char *const scopes[] = { [CX_SCOPE_PUBLIC] = "public",
					      [CX_SCOPE_USER] = "user",
					      [CX_SCOPE_SANDBOX] = "sandbox",
					      [CX_SCOPE_ADMIN] = "admin" };
	const struct cx_operation *op = cx_operation_find(route);
	char method[16];
	size_t i = 0;

	for (; route->method[i] != '\0' && i < sizeof method - 1; i++)
		method[i] = (char)(route->method[i] | 0x20);
	method[i] = '\0';
	cx_jsonw_object(w, method);
	if (op != NULL)
		cx_jsonw_text(w, "operationId", op->id);
	cx_jsonw_text(w, "summary", route->why);
	cx_jsonw_text(w, "x-scope", scopes[route->scope]);
	if (route->scope == CX_SCOPE_PUBLIC) {
		cx_jsonw_array(w, "security");
		cx_jsonw_end(w);
	}
	write_parameters(w, route, param, op);
	write_body(w, route, op);
	write_answers(w, op);
	cx_jsonw_end(w);
}

/* ---- the document --------------------------------------------------------------------------- */

/* The route at a place in all tables; NULL behind the last. */
static const struct cx_route *route_at(size_t at)
{
	for (size_t i = 0; i < cx_route_tables_count; i++) {
		if (at < cx_route_tables[i]->count)
			return &cx_route_tables[i]->rows[at];
		at -= cx_route_tables[i]->count;
	}
	return NULL;
}

static bool is_first_of_path(const struct cx_route *route)
{
	const struct cx_route *other;

	for (size_t i = 0; (other = route_at(i)) != NULL && other != route; i++)
		if (strcmp(other->path, route->path) == 0)
			return false;
	return true;
}

static void write_item(struct cx_jsonw *w, const struct cx_route *route)
{
	const struct cx_operation *op = cx_operation_find(route);
	const char *param = op != NULL && op->param != NULL ? op->param : "id";
	const struct cx_route *other;
	char path[PATH_MAX_BYTES];

	write_path(route, param, path);
	cx_jsonw_object(w, path);
	for (size_t i = 0; (other = route_at(i)) != NULL; i++)
		if (strcmp(other->path, route->path) == 0)
			write_operation(w, other, param);
	cx_jsonw_end(w);
}

static void write_components(struct cx_jsonw *w)
{
	cx_jsonw_object(w, "components");
	cx_jsonw_object(w, "securitySchemes");
	cx_jsonw_object(w, "key");
	cx_jsonw_text(w, "type", "http");
	cx_jsonw_text(w, "scheme", "bearer");
	cx_jsonw_end(w);
	cx_jsonw_end(w);
	cx_jsonw_object(w, "schemas");
	for (size_t i = 0; i < cx_descriptions_count; i++)
		for (size_t k = 0; k < cx_descriptions[i]->nschemas; k++)
			write_schema(w, &cx_descriptions[i]->schemas[k]);
	cx_jsonw_end(w);
	cx_jsonw_end(w);
}

static void write_security(struct cx_jsonw *w)
{
	cx_jsonw_array(w, "security");
	cx_jsonw_object(w, NULL);
	cx_jsonw_array(w, "key");
	cx_jsonw_end(w);
	cx_jsonw_end(w);
	cx_jsonw_end(w);
}

void cx_openapi_write(struct cx_jsonw *w)
{
	const struct cx_route *route;

	cx_jsonw_object(w, NULL);
	cx_jsonw_text(w, "openapi", "3.1.0");
	cx_jsonw_object(w, "info");
	cx_jsonw_text(w, "title", "caisson");
	cx_jsonw_text(w, "version", CX_VERSION);
	cx_jsonw_end(w);
	write_security(w);
	cx_jsonw_object(w, "paths");
	for (size_t i = 0; (route = route_at(i)) != NULL; i++)
		if (is_first_of_path(route))
			write_item(w, route);
	cx_jsonw_end(w);
	write_components(w);
	cx_jsonw_end(w);
}

void cx_handle_openapi(struct cx_request *req)
{
	struct cx_buf json = { .max = DOCUMENT_MAX };
	struct cx_jsonw w = { .out = &json };

	cx_openapi_write(&w);
	cx_request_answer_json(req, &w);
}
