/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CX_TESTS_IMAGE_ENTRY_TEXT_H
#define CX_TESTS_IMAGE_ENTRY_TEXT_H

#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "base/buf.h"
#include "image/entries.h"

#include "check_main.h"

/*
 * An entry stream as text that a test can state: "d dir", "f file 3", "l link>target", "p fifo",
 * "h name=earlier", "w gone", "b barred", "o opaque", then " +name:value" for each attribute;
 * "@offset:bytes" for data and "." for the end, all separated by ";".
 */
static inline void add_text(struct cx_buf *out, const void *p, size_t len)
{
	struct cx_err err;

	ck_assert_int_eq(cx_buf_add(out, p, len, &err), 0);
}

static inline void add_number(struct cx_buf *out, char before, uint64_t n)
{
	char text[32];
	int len = snprintf(text, sizeof text, "%c%llu", before, (unsigned long long)n);

	add_text(out, text, (size_t)len);
}

static inline char letter_of(const struct cx_entry *e)
{
	if ((e->flags & CX_ENTRY_WHITEOUT) != 0)
		return 'w';
	if ((e->flags & CX_ENTRY_BARRED) != 0)
		return 'b';
	if ((e->flags & CX_ENTRY_HARDLINK) != 0)
		return 'h';
	if ((e->flags & CX_ENTRY_OPAQUE) != 0)
		return 'o';
	return S_ISREG(e->mode) ? 'f' : S_ISDIR(e->mode) ? 'd' : S_ISLNK(e->mode) ? 'l' : 'p';
}

static inline int text_entry(void *arg, const struct cx_entry *e, struct cx_err *err)
{
	const char head[2] = { letter_of(e), ' ' };

	(void)err;
	add_text(arg, head, 2);
	add_text(arg, e->path.p, e->path.len);
	if (head[0] == 'h' || head[0] == 'l') {
		add_text(arg, head[0] == 'h' ? "=" : ">", 1);
		add_text(arg, e->target.p, e->target.len);
	}
	if (head[0] == 'f')
		add_number(arg, ' ', e->size);
	for (unsigned i = 0; i < e->nxattrs; i++) {
		add_text(arg, " +", 2);
		add_text(arg, e->xattrs[i].name.p, e->xattrs[i].name.len);
		add_text(arg, ":", 1);
		add_text(arg, e->xattrs[i].value.p, e->xattrs[i].value.len);
	}
	add_text(arg, ";", 1);
	return 0;
}

static inline int text_data(void *arg, uint64_t offset, const void *data, size_t len,
			    struct cx_err *err)
{
	(void)err;
	add_number(arg, '@', offset);
	add_text(arg, ":", 1);
	add_text(arg, data, len);
	add_text(arg, ";", 1);
	return 0;
}

static inline int text_end(void *arg, struct cx_err *err)
{
	(void)err;
	add_text(arg, ".", 1);
	return 0;
}

/* Decodes in pieces; what was heard is in text, which the caller frees, ended by NUL. */
static inline int text_of_stream(const void *stream, size_t len, size_t piece, uint64_t max_entries,
				 struct cx_buf *text, struct cx_err *err)
{
	static struct cx_entry_decoder decoder;
	const struct cx_entry_sink sink = { text_entry, text_data, text_end, text };
	const char *p = stream;
	int r = 0;

	*text = (struct cx_buf){ .max = 1 << 20 };
	cx_entry_decoder_init(&decoder, &sink, max_entries);
	for (size_t at = 0; at < len && r == 0; at += piece)
		r = cx_entry_decode(&decoder, p + at, piece < len - at ? piece : len - at, err);
	if (r == 0)
		r = cx_entry_decode_finish(&decoder, err);
	add_text(text, "", 1);
	return r;
}

static inline struct cx_bytes bytes_of(const char *text)
{
	return (struct cx_bytes){ text, strlen(text) };
}

static inline int new_file(const void *data, size_t len)
{
	int fd = memfd_create("test", MFD_CLOEXEC);

	ck_assert_int_ge(fd, 0);
	if (len > 0)
		ck_assert_int_eq(pwrite(fd, data, len, 0), (ssize_t)len);
	return fd;
}

/* All of a file; the caller frees it. */
static inline struct cx_buf content_of(int fd)
{
	struct cx_buf ret = { .max = 1 << 24 };
	struct cx_err err;
	struct stat st;
	char *room;

	ck_assert_int_eq(fstat(fd, &st), 0);
	room = cx_buf_reserve(&ret, (size_t)st.st_size + 1, &err);
	ck_assert_ptr_nonnull(room);
	ck_assert_int_eq(pread(fd, room, (size_t)st.st_size, 0), st.st_size);
	ret.len = (size_t)st.st_size;
	return ret;
}

#endif
