/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The stream of entries: a byte that says how the rest is cut and, by its highest bit, that an end
 * for a number of entries (a byte) comes behind it. What the decoder accepts the encoder writes
 * again, byte for byte; and it hears the same in one piece and in many.
 */
#include "image/entries.h"
#include "tests/fuzz/input.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { ENTRIES_MAX = 100, END_RECORD = 9 };

static struct cx_entry_decoder decoder;
static struct cx_entry_writer writer; /* its buffer holds a whole input */

/* Nobody who makes a path of it may be led out of a directory. */
static void look_at(const struct cx_entry *e)
{
	char path[CX_ENTRY_PATH_MAX + 3];

	if (e->path.len > CX_ENTRY_PATH_MAX || e->nxattrs > CX_ENTRY_XATTRS_MAX)
		abort();
	path[0] = '/';
	memcpy(path + 1, e->path.p, e->path.len);
	path[e->path.len + 1] = '/';
	path[e->path.len + 2] = '\0';
	if (strlen(path) != e->path.len + 2 || strstr(path, "/../") != NULL ||
	    strstr(path, "/./") != NULL || (e->path.len > 0 && strstr(path, "//") != NULL))
		abort();
}

static int on_entry(void *arg, const struct cx_entry *e, struct cx_err *err)
{
	(void)arg;
	look_at(e);
	if (cx_entry_write(&writer, e, err) < 0)
		abort();
	return 0;
}

static int on_data(void *arg, uint64_t offset, const void *data, size_t len, struct cx_err *err)
{
	(void)arg;
	if (cx_entry_write_data(&writer, offset, data, len, err) < 0)
		abort();
	return 0;
}

static int on_end(void *arg, struct cx_err *err)
{
	(void)err;
	++*(unsigned *)arg;
	return 0;
}

/* How many bytes of entries and data it heard; *ret_ok: all was well to the end. */
static size_t decode(const uint8_t *data, size_t size, size_t piece, bool *ret_ok)
{
	unsigned ends = 0;
	const struct cx_entry_sink sink = { on_entry, on_data, on_end, &ends };
	struct cx_err err;

	cx_entry_writer_init(&writer, -1);
	cx_entry_decoder_init(&decoder, &sink, ENTRIES_MAX);
	*ret_ok = true;
	for (size_t at = 0; at < size && *ret_ok; at += piece)
		*ret_ok = cx_entry_decode(&decoder, data + at,
					  piece < size - at ? piece : size - at, &err) == 0;
	*ret_ok = *ret_ok && cx_entry_decode_finish(&decoder, &err) == 0;
	if (writer.len > size || memcmp(writer.buf, data, writer.len) != 0 || ends > 1 ||
	    (*ret_ok && (writer.len + END_RECORD != size || ends != 1)))
		abort();
	return writer.len;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static uint8_t stream[CX_ENTRY_RECORD_MAX + END_RECORD];
	struct input in = { data, size };
	uint8_t how = take_byte(&in);
	const uint8_t end[END_RECORD] = { 'Z', 4, 0, 0, 0, how >= 128 ? take_byte(&in) : 0 };
	size_t len = in.left, heard;
	bool whole_ok, pieces_ok;

	if (len == 0 || len > CX_ENTRY_RECORD_MAX)
		return 0;
	memcpy(stream, in.p, len);
	memcpy(stream + len, end, sizeof end);
	len += how >= 128 ? sizeof end : 0;
	heard = decode(stream, len, len, &whole_ok);
	if (decode(stream, len, how % 128U + 1, &pieces_ok) != heard || whole_ok != pieces_ok)
		abort();
	return 0;
}
