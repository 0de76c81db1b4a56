/* SPDX-License-Identifier: Apache-2.0 */
#include "api/json.h"

#include <errno.h>
#include <jansson.h>
#include <math.h>
#include <string.h>

#include "base/jsonload.h"

void cx_json_start(void)
{
	json_object_seed(0);
}

int cx_json_parse(const char *text, size_t len, struct json_t **ret, struct cx_err *err)
{
	json_error_t why;
	json_t *doc = cx_json_load(text, len, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &why);

	if (doc == NULL && json_error_code(&why) == json_error_out_of_memory)
		return cx_fail(err, ENOMEM, "the body");
	if (doc == NULL)
		return cx_refuse(err, CX_INVALID, "the body is not valid JSON: line %d: %s",
				 why.line, why.text);
	*ret = doc;
	return 0;
}

int cx_json_parse_object(const char *text, size_t len, struct json_t **ret, struct cx_err *err)
{
	struct json_t *doc = NULL;

	if (len == 0)
		text = "{}", len = 2;
	if (cx_json_parse(text, len, &doc, err) < 0)
		return -err->errnum;
	if (!json_is_object(doc)) {
		cx_json_free(&doc);
		return cx_refuse(err, CX_INVALID, "the body must be a JSON object");
	}
	*ret = doc;
	return 0;
}

void cx_json_free(struct json_t **doc)
{
	json_decref(*doc);
	*doc = NULL;
}

const struct json_t *cx_json_member(const struct json_t *object, const char *field)
{
	const json_t *value = json_object_get(object, field);

	return json_is_null(value) ? NULL : value;
}

bool cx_json_is_object(const struct json_t *value)
{
	return json_is_object(value);
}

enum cx_json_type cx_json_type(const struct json_t *object, const char *field)
{
	const json_t *value = cx_json_member(object, field);

	if (value == NULL)
		return CX_JSON_ABSENT;
	if (json_is_string(value))
		return CX_JSON_TEXT;
	if (json_is_array(value))
		return CX_JSON_ARRAY;
	return json_is_object(value) ? CX_JSON_OBJECT : CX_JSON_OTHER;
}

int cx_json_text(const struct json_t *object, const char *field, size_t max, const char **ret,
		 struct cx_err *err)
{
	const json_t *value = cx_json_member(object, field);

	if (value == NULL)
		return 0;
	if (!json_is_string(value))
		return cx_refuse(err, CX_INVALID, "'%s' must be a string", field);
	if (json_string_length(value) > max)
		return cx_refuse(err, CX_INVALID, "'%s' is %zu bytes long; at most %zu are allowed",
				 field, json_string_length(value), max);
	*ret = json_string_value(value);
	return 1;
}

int cx_json_real(const struct json_t *object, const char *field, double min, double max,
		 double *ret, struct cx_err *err)
{
	const json_t *value = cx_json_member(object, field);
	double number;

	if (value == NULL)
		return 0;
	if (!json_is_number(value))
		return cx_refuse(err, CX_INVALID, "'%s' must be a number", field);
	number = json_number_value(value);
	if (!isfinite(number) || number < min || number > max)
		return cx_refuse(err, CX_INVALID, "'%s' must be between %.6g and %.6g, not %.6g",
				 field, min, max, number);
	*ret = number;
	return 1;
}

int cx_json_int(const struct json_t *object, const char *field, int64_t min, int64_t max,
		int64_t *ret, struct cx_err *err)
{
	const json_t *value = cx_json_member(object, field);
	double real;
	int64_t number;

	if (value == NULL)
		return 0;
	real = json_number_value(value);
	if (!json_is_number(value) || !isfinite(real) || real != trunc(real))
		return cx_refuse(err, CX_INVALID, "'%s' must be a whole number", field);
	if (real < (double)min || real > (double)max)
		return cx_refuse(err, CX_INVALID, "'%s' must be between %lld and %lld, not %.6g",
				 field, (long long)min, (long long)max, real);
	number = json_is_integer(value) ? json_integer_value(value) : (int64_t)real;
	if (number < min || number > max)
		return cx_refuse(err, CX_INVALID, "'%s' is out of range", field);
	*ret = number;
	return 1;
}

int cx_json_bool(const struct json_t *object, const char *field, bool *ret, struct cx_err *err)
{
	const json_t *value = cx_json_member(object, field);

	if (value == NULL)
		return 0;
	if (!json_is_boolean(value))
		return cx_refuse(err, CX_INVALID, "'%s' must be true or false", field);
	*ret = json_is_true(value);
	return 1;
}

static int too_long(const struct cx_buf *out, const char *field, struct cx_err *err)
{
	if (err->kind != CX_LIMIT || !err->refused)
		return -err->errnum;
	return cx_refuse(err, CX_INVALID, "'%s' is longer than %zu bytes in all", field, out->max);
}

int cx_json_strv(const struct json_t *object, const char *field, struct cx_buf *out,
		 struct cx_err *err)
{
	const json_t *array = cx_json_member(object, field);
	const json_t *item;
	size_t i;

	if (array == NULL)
		return 0;
	if (!json_is_array(array))
		return cx_refuse(err, CX_INVALID, "'%s' must be an array of strings", field);
	json_array_foreach(array, i, item)
	{
		if (!json_is_string(item))
			return cx_refuse(err, CX_INVALID, "'%s[%zu]' must be a string", field, i);
		if (cx_buf_add(out, json_string_value(item), json_string_length(item) + 1, err) < 0)
			return too_long(out, field, err);
	}
	return 1;
}

static int add_pair(struct cx_buf *out, const char *field, const char *key, const json_t *value,
		    struct cx_err *err)
{
	size_t len = strlen(key);

	if (len == 0 || len > 255 || strchr(key, '=') != NULL)
		return cx_refuse(err, CX_INVALID,
				 "'%s' has the name '%.64s'; a name is 1 to 255 bytes without '='",
				 field, key);
	if (!json_is_string(value))
		return cx_refuse(err, CX_INVALID, "'%s.%.64s' must be a string", field, key);
	if (cx_buf_add(out, key, len, err) < 0 || cx_buf_add(out, "=", 1, err) < 0 ||
	    cx_buf_add(out, json_string_value(value), json_string_length(value) + 1, err) < 0)
		return too_long(out, field, err);
	return 0;
}

int cx_json_env(const struct json_t *object, const char *field, struct cx_buf *out,
		struct cx_err *err)
{
	/* jansson's iteration takes no const object, but changes nothing. */
	json_t *map = json_object_get(object, field), *value;
	const char *key;

	if (map == NULL || json_is_null(map))
		return 0;
	if (!json_is_object(map))
		return cx_refuse(err, CX_INVALID, "'%s' must be an object of strings", field);
	json_object_foreach(map, key, value)
	{
		if (add_pair(out, field, key, value, err) < 0)
			return -err->errnum;
	}
	return 1;
}

static bool is_known(const char *key, const char *const *known)
{
	for (; *known != NULL; known++)
		if (strcmp(key, *known) == 0)
			return true;
	return false;
}

void cx_json_unknown(const struct json_t *object, const char *const *known,
		     void (*each)(const char *key, void *arg), void *arg)
{
	json_t *map = json_incref((json_t *)(uintptr_t)object), *value;
	const char *key;
	unsigned told = 0;

	json_object_foreach(map, key, value)
	{
		if (told < 16 && !is_known(key, known)) {
			each(key, arg);
			told++;
		}
	}
	json_decref(map);
}

int cx_json_dump(const struct json_t *object, const char *field, char **ret, struct cx_err *err)
{
	const json_t *value = cx_json_member(object, field);
	char *text =
		value != NULL ? json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY) : strdup("null");

	if (text == NULL)
		return cx_fail(err, ENOMEM, "field '%s'", field);
	*ret = text;
	return 0;
}

int cx_json_dump_keys(const struct json_t *object, const char *field, char **ret,
		      struct cx_err *err)
{
	json_t *map = json_object_get(object, field), *value, *keys = json_array();
	const char *key;
	char *text;

	json_object_foreach(map, key, value)
	{
		(void)json_array_append_new(keys, json_string(key));
	}
	text = json_dumps(keys, JSON_COMPACT);
	json_decref(keys);
	if (text == NULL)
		return cx_fail(err, ENOMEM, "field '%s'", field);
	*ret = text;
	return 0;
}
