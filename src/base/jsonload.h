/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CX_BASE_JSONLOAD_H
#define CX_BASE_JSONLOAD_H

#include <jansson.h>

/*
 * json_loadb(), but NULL, with the code json_error_out_of_memory, when there was no memory for any
 * part of the text. jansson itself leaves out the characters for which a string could not grow
 * (load.c, lex_save()), so that an address may become another one. why may be NULL.
 */
json_t *cx_json_load(const char *text, size_t len, size_t flags, json_error_t *why);

#endif
