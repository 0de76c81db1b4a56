/* SPDX-License-Identifier: Apache-2.0 */
/* The description of the API against the tables that it is of. */
#include <string.h>

#include "check_main.h"

#include "api/describe.h"
#include "api/json.h"
#include "api/openapi.h"
#include "api/routes.h"
#include "api/spec.h"
#include "base/cleanup.h"

static const struct cx_route *route_of(const struct cx_operation *op)
{
	for (size_t i = 0; i < cx_route_tables_count; i++)
		for (size_t k = 0; k < cx_route_tables[i]->count; k++) {
			const struct cx_route *route = &cx_route_tables[i]->rows[k];

			if (strcmp(route->path, op->path) == 0 &&
			    strcmp(route->method, op->method) == 0)
				return route;
		}
	return NULL;
}

static unsigned times_used(const char *id)
{
	unsigned n = 0;

	for (size_t i = 0; i < cx_descriptions_count; i++)
		for (size_t k = 0; k < cx_descriptions[i]->noperations; k++)
			n += strcmp(cx_descriptions[i]->operations[k].id, id) == 0;
	return n;
}

static void check_operation(const struct cx_operation *op)
{
	const struct cx_route *route = route_of(op);

	ck_assert_msg(route != NULL, "%s %s is described and no route", op->method, op->path);
	ck_assert_ptr_eq(cx_operation_find(route), op);
	ck_assert_msg(times_used(op->id) == 1, "%s is the name of several operations", op->id);
	ck_assert_int_eq(strchr(op->path, '{') != NULL, op->param != NULL);
	ck_assert(op->takes == NULL || route->body == CX_BODY_JSON || route->body == CX_BODY_LONG ||
		  route->body == CX_BODY_STREAM);
	ck_assert(op->takes == NULL || cx_schema_find(op->takes) != NULL);
	ck_assert(op->gives == NULL || cx_schema_find(op->gives) != NULL);
	ck_assert(op->query == NULL || cx_schema_find(op->query) != NULL);
}

START_TEST(what_is_described_is_there)
{
	const struct cx_description *d = cx_descriptions[_i];

	for (size_t i = 0; i < d->noperations; i++)
		check_operation(&d->operations[i]);
	for (size_t i = 0; i < d->nschemas; i++) {
		const struct cx_schema *schema = &d->schemas[i];

		ck_assert_ptr_eq(cx_schema_find(schema->name), schema); /* unique */
		for (size_t k = 0; k < schema->count; k++) {
			const struct cx_field *f = &schema->fields[k];

			ck_assert((f->is & (CX_IS_OBJECT | CX_IS_OBJECTS)) == 0 ||
				  cx_schema_find(f->of) != NULL);
			ck_assert_uint_ne(f->is & ~(unsigned)(CX_IS_NULL | CX_IS_NEEDED), 0);
			ck_assert(f->max == 0 || f->min <= f->max);
		}
	}
}
END_TEST

START_TEST(what_is_there_is_described)
{
	const struct cx_route_table *table = cx_route_tables[_i];

	for (size_t i = 0; i < table->count; i++)
		ck_assert_msg(cx_operation_find(&table->rows[i]) != NULL,
			      "%s %s is not described: see describe.h", table->rows[i].method,
			      table->rows[i].path);
}
END_TEST

START_TEST(it_is_json)
{
	CX_AUTO(cx_buf_free) struct cx_buf out = { .max = 4 << 20 };
	CX_AUTO(cx_json_free) struct json_t *doc = NULL;
	struct cx_jsonw w = { .out = &out };
	struct cx_err err;

	cx_openapi_write(&w);
	ck_assert_int_eq(cx_jsonw_finish(&w, &err), 0);
	ck_assert_int_eq(cx_json_parse_object(out.p, out.len, &doc, &err), 0);
	ck_assert_int_eq(cx_json_type(doc, "paths"), CX_JSON_OBJECT);
}
END_TEST

/* ---- the fields of requests, against who reads them ------------------------------------------ */

enum { CREATE, EXEC };

static const struct {
	const char *schema, *rest; /* what is needed besides the field */
} readers[] = {
	[CREATE] = { "SandboxCreate", "\"docker_image\":\"a\"" },
	[EXEC] = { "Command", "\"command\":\"a\"" },
};

static bool accepts(int reader, const struct cx_field *f, const char *value)
{
	static const struct cx_host host = { .cpus = 4, .memory_bytes = (uint64_t)8 << 30 };
	CX_AUTO(cx_spec_clear) struct cx_spec spec = { 0 };
	CX_AUTO(cx_exec_spec_clear) struct cx_exec_spec exec = { 0 };
	bool needed = (f->is & CX_IS_NEEDED) != 0;
	char body[512];
	struct cx_err err;
	int n = snprintf(body, sizeof body, "{%s%s\"%s\":%s}", needed ? "" : readers[reader].rest,
			 needed ? "" : ",", f->name, value);

	if (reader == EXEC)
		return cx_exec_spec_parse(body, (size_t)n, &exec, &err) == 0;
	if (cx_spec_parse(body, (size_t)n, &host, &spec, &err) < 0)
		return false;
	ck_assert_msg(strstr(spec.row.notices, "is unknown") == NULL, "%s is unknown", f->name);
	return true;
}

static void check_number(int reader, const struct cx_field *f, double value, bool accepted)
{
	char text[64];

	(void)snprintf(text, sizeof text, "%.6f", value);
	ck_assert_msg(accepts(reader, f, text) == accepted, "%s: %s", f->name, text);
}

static void check_field(int reader, const struct cx_field *f)
{
	bool any = (f->is & CX_IS_ANY) != 0, number = (f->is & (CX_IS_INT | CX_IS_REAL)) != 0;

	ck_assert_msg(accepts(reader, f, "null") == (any || (f->is & CX_IS_NULL) != 0), "%s: null",
		      f->name);
	ck_assert_msg(accepts(reader, f, "true") == (any || (f->is & CX_IS_BOOL) != 0), "%s: true",
		      f->name);
	ck_assert_msg(accepts(reader, f, "[1]") == any, "%s: [1]", f->name);
	if ((f->is & CX_IS_TEXT) == 0)
		ck_assert_msg(accepts(reader, f, "\"a\"") == any, "%s: a text", f->name);
	if (number && f->min != 0) {
		check_number(reader, f, f->min, true);
		check_number(reader, f, f->min - ((f->is & CX_IS_INT) != 0 ? 1 : 0.001), false);
	}
	if (number && f->max > 0) {
		check_number(reader, f, f->max + 1, false);
		if (strcmp(f->name, "gpu_count") != 0)
			check_number(reader, f, f->max, true);
	}
}

START_TEST(requests_are_read_as_described)
{
	const struct cx_schema *schema = cx_schema_find(readers[_i].schema);

	for (size_t i = 0; i < schema->count; i++)
		check_field(_i, &schema->fields[i]);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("api/openapi");
	TCase *tc = tcase_create("openapi");

	tcase_add_loop_test(tc, what_is_described_is_there, 0, (int)cx_descriptions_count);
	tcase_add_loop_test(tc, what_is_there_is_described, 0, (int)cx_route_tables_count);
	tcase_add_test(tc, it_is_json);
	tcase_add_loop_test(tc, requests_are_read_as_described, 0, 2);
	suite_add_tcase(suite, tc);
	return run_suite(suite);
}
