/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CX_API_DESCRIBE_H
#define CX_API_DESCRIBE_H

#include <stddef.h>

#include "api/route.h"

/*
 * What the routes take and give, as data for /openapi.json (openapi.c). Each personality has a
 * description beside its table of routes; the unit tests compare the two, and the integration tests
 * compare both with what the gateway does.
 */

/* Of a field; several mean that either will do. */
enum {
	CX_IS_TEXT = 1 << 0,
	CX_IS_INT = 1 << 1,
	CX_IS_REAL = 1 << 2,
	CX_IS_BOOL = 1 << 3,
	CX_IS_LIST = 1 << 4,	/* of texts */
	CX_IS_MAP = 1 << 5,	/* names to texts */
	CX_IS_OBJECT = 1 << 6,	/* of the schema `of` */
	CX_IS_OBJECTS = 1 << 7, /* a list of them */
	CX_IS_ANY = 1 << 8,
	CX_IS_NULL = 1 << 9, /* in a request: as good as left out */
	CX_IS_NEEDED = 1 << 10,
};

struct cx_field {
	const char *name;
	unsigned is;
	double min, max; /* of a number, or bytes of a text; 0, 0: nothing to tell */
	const char *of;	 /* words of a text with '|' between them, or the name of a schema */
	const char *why;
};

struct cx_schema {
	const char *name;
	const struct cx_field *fields;
	size_t count;
};

enum cx_form {
	CX_FORM_JSON,
	CX_FORM_LINES,
	CX_FORM_FILE,
	CX_FORM_BYTES,
	CX_FORM_TEXT,
	CX_FORM_CALL
};

struct cx_operation {
	const char *method, *path; /* of the route */
	const char *id;		   /* operationId, unique */
	const char *param;	   /* what "{}" or "{+}" of the path is called; "a,b" of two */
	const char *query;	   /* schema whose fields are query parameters, or NULL */
	const char *takes; /* schema of a JSON body or a form; NULL: what the route's body says */
	enum cx_form form; /* of the answer */
	const char *gives; /* schema of the answer, or of each of its lines */
};

struct cx_description {
	const struct cx_schema *schemas;
	size_t nschemas;
	const struct cx_operation *operations;
	size_t noperations;
};

extern const struct cx_description cx_accounts_description; /* accounts_describe.c */
extern const struct cx_description *const cx_descriptions[];
extern const size_t cx_descriptions_count;

const struct cx_operation *cx_operation_find(const struct cx_route *route); /* NULL: none */
const struct cx_schema *cx_schema_find(const char *name);		    /* NULL: none */

#endif
