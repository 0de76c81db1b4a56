/* SPDX-License-Identifier: Apache-2.0 */
#include "base/jsonload.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

static _Thread_local bool out_of_memory;

static void *allocate(size_t size)
{
	void *p = malloc(size);

	out_of_memory |= p == NULL;
	return p;
}

/* Where it happened is not known; the code stands behind the text, as jansson has it. */
static void explain(json_error_t *why)
{
	(void)snprintf(why->text, sizeof why->text, "out of memory");
	why->text[sizeof why->text - 1] = (char)json_error_out_of_memory;
}

json_t *cx_json_load(const char *text, size_t len, size_t flags, json_error_t *why)
{
	json_t *doc;

	json_set_alloc_funcs(allocate, free);
	out_of_memory = false;
	doc = json_loadb(text, len, flags, why);
	if (!out_of_memory)
		return doc;
	json_decref(doc);
	if (why != NULL)
		explain(why);
	return NULL;
}
