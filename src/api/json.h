/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CX_API_JSON_H
#define CX_API_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "proto/wire.h"

/*
 * The door to jansson: values of a client's document, typed and bounded. Every refusal names the
 * field. A field that is absent or null leaves its output as it was and counts as success; the
 * result is 1 when it was there, 0 when it was not, -errno when it is not what it must be.
 */
struct json_t;

/* Takes any bytes. Objects with a repeated key, NUL in a string and trailing bytes are refused. */
CX_MUST int cx_json_parse(const char *text, size_t len, struct json_t **ret, struct cx_err *err);
/* The same, and the document must be an object. No bytes at all count as {}. */
CX_MUST int cx_json_parse_object(const char *text, size_t len, struct json_t **ret,
				 struct cx_err *err);
void cx_json_free(struct json_t **doc); /* for CX_AUTO() */

/* The string lives as long as the document. max in bytes. */
CX_MUST int cx_json_text(const struct json_t *object, const char *field, size_t max,
			 const char **ret, struct cx_err *err);
/* A finite number, min .. max. */
CX_MUST int cx_json_real(const struct json_t *object, const char *field, double min, double max,
			 double *ret, struct cx_err *err);
/* A whole number; 2.0 counts as 2. */
CX_MUST int cx_json_int(const struct json_t *object, const char *field, int64_t min, int64_t max,
			int64_t *ret, struct cx_err *err);
CX_MUST int cx_json_bool(const struct json_t *object, const char *field, bool *ret,
			 struct cx_err *err);

/*
 * An array of strings appended to a buffer as NUL-terminated strings (a strv of proto/wire.h);
 * out->max bounds it. An empty string is kept.
 */
CX_MUST int cx_json_strv(const struct json_t *object, const char *field, struct cx_buf *out,
			 struct cx_err *err);
/*
 * An object of strings appended as KEY=VALUE strings; out->max bounds it. A key must be a name that
 * an environment can hold: not empty, at most 255 bytes, no '='.
 */
CX_MUST int cx_json_env(const struct json_t *object, const char *field, struct cx_buf *out,
			struct cx_err *err);

bool cx_json_is_object(const struct json_t *value);
enum cx_json_type { CX_JSON_ABSENT, CX_JSON_TEXT, CX_JSON_ARRAY, CX_JSON_OBJECT, CX_JSON_OTHER };
enum cx_json_type cx_json_type(const struct json_t *object, const char *field);
const struct json_t *cx_json_member(const struct json_t *object, const char *field);

/* Calls each() with every key that is not in known (ended by NULL); at most 16 of them. */
void cx_json_unknown(const struct json_t *object, const char *const *known,
		     void (*each)(const char *key, void *arg), void *arg);

/* The value of a field as compact JSON text (to be kept), "null" when absent. Free with free(3). */
CX_MUST int cx_json_dump(const struct json_t *object, const char *field, char **ret,
			 struct cx_err *err);
/* The keys of an object as a JSON array of strings. Free with free(3). */
CX_MUST int cx_json_dump_keys(const struct json_t *object, const char *field, char **ret,
			      struct cx_err *err);

/* Seeds the hash of objects; before the seccomp filter, as it may open /dev/urandom. */
void cx_json_start(void);

#endif
