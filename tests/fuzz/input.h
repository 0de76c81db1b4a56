/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CX_TESTS_FUZZ_INPUT_H
#define CX_TESTS_FUZZ_INPUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/cleanup.h"

/* The fuzzer's bytes, taken from the front; behind their end come zeros. */
struct input {
	const uint8_t *p;
	size_t left;
};

static inline uint8_t take_byte(struct input *in)
{
	if (in->left == 0)
		return 0;
	in->left--;
	return *in->p++;
}

static inline uint16_t take_u16(struct input *in)
{
	uint8_t low = take_byte(in);

	return (uint16_t)(low | take_byte(in) << 8);
}

/* At most len bytes, and where they are. */
static inline size_t take_bytes(struct input *in, size_t len, const uint8_t **ret)
{
	size_t n = len < in->left ? len : in->left;

	*ret = in->p;
	in->p += n;
	in->left -= n;
	return n;
}

static inline int memory_file(void)
{
	int fd = memfd_create("fuzz", MFD_CLOEXEC);

	if (fd < 0)
		abort();
	return fd;
}

/* An empty file again, or one with these bytes; read from its beginning. */
static inline void fill_file(int fd, const void *data, size_t len)
{
	if (ftruncate(fd, 0) < 0 || (len > 0 && pwrite(fd, data, len, 0) != (ssize_t)len) ||
	    lseek(fd, 0, SEEK_SET) != 0)
		abort();
}

/*
 * Writes text with each byte below n, and each that is no ASCII, replaced by a token, so that the
 * words of a format need not be guessed letter by letter. Returns the length; what does not fit is
 * left out.
 */
static inline size_t expand(const uint8_t *data, size_t len, const char *const *tokens, size_t n,
			    char *out, size_t size)
{
	size_t at = 0;

	for (size_t i = 0; i < len; i++) {
		bool token = data[i] < n || data[i] >= 128;
		const char *piece = token ? tokens[data[i] % 128 % n] : (const char *)&data[i];
		size_t add = token ? strlen(piece) : 1;

		if (add > size - at)
			break;
		memcpy(out + at, piece, add);
		at += add;
	}
	return at;
}

/* The same for JSON: what is still open at the end is closed. */
static inline size_t expand_json(const uint8_t *data, size_t len, const char *const *tokens,
				 size_t n, char *out, size_t size)
{
	char open[32];
	size_t depth = 0, end = expand(data, len, tokens, n, out, size - sizeof open - 1);
	bool quoted = false;

	for (size_t i = 0; i < end; i++) {
		if (quoted && out[i] == '\\')
			i++;
		else if (out[i] == '"')
			quoted = !quoted;
		else if (!quoted && (out[i] == '{' || out[i] == '[') && depth < sizeof open)
			open[depth++] = out[i] == '{' ? '}' : ']';
		else if (!quoted && (out[i] == '}' || out[i] == ']') && depth > 0)
			depth--;
	}
	if (quoted)
		out[end++] = '"';
	while (depth > 0)
		out[end++] = open[--depth];
	return end;
}

#endif
