/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Entries of every kind, in any order, through the writer of layers. What it finishes is walked as
 * the kernel would: every number in it must lead to where it may.
 */
#include <sys/stat.h>

#include "image/erofs.h"
#include "tests/fuzz/input.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { ENTRIES_MAX = 200, IMAGE_MAX = 1 << 20, BLOCK = 4096, INODE = 64, DIRENT = 12 };

/* ---- from bytes to a stream -------------------------------------------------------------------*/

struct text {
	char bytes[600];
	size_t len;
};

/* Up to four components of one letter out of four, one of them up to 256 bytes long. */
static struct cx_bytes make_path(struct input *in, struct text *t)
{
	uint8_t pick = take_byte(in), shape = take_byte(in);
	size_t longer = (shape & 16) != 0 ? take_byte(in) : 0;

	t->len = 0;
	for (unsigned i = 0; i <= (shape & 3U); i++) {
		if (i > 0)
			t->bytes[t->len++] = '/';
		for (size_t n = i == 0 ? longer + 1 : 1; n > 0; n--)
			t->bytes[t->len++] = "a-.z"[pick >> (2 * i) & 3];
		if ((shape & 32) != 0)
			t->bytes[t->len++] = 'x';
	}
	return (struct cx_bytes){ t->bytes, (shape & 12) == 12 ? 0 : t->len };
}

static void make_xattrs(struct input *in, struct cx_entry *e)
{
	static const char bytes[CX_ENTRY_XATTR_BYTES_MAX];

	e->nxattrs = take_byte(in) % 4;
	for (unsigned i = 0; i < e->nxattrs; i++) {
		e->xattrs[i].name = (struct cx_bytes){ "name", 1 + take_byte(in) % 4 };
		e->xattrs[i].value = (struct cx_bytes){ bytes, take_u16(in) % sizeof bytes };
	}
}

static int add_entry(struct input *in, struct cx_entry_writer *w, struct cx_err *err)
{
	static const uint32_t types[] = { S_IFREG, S_IFDIR, S_IFLNK, S_IFIFO };
	static const uint8_t content[3000] = { 1 };
	struct text path, target;
	uint8_t what = take_byte(in), shift;
	struct cx_entry e = { .mode = types[what & 3] | 0644, .flags = what >> 2 & 15 };

	e.path = make_path(in, &path);
	if (S_ISLNK(e.mode) || (e.flags & CX_ENTRY_HARDLINK) != 0)
		e.target = make_path(in, &target);
	shift = (what & 128) != 0 ? take_byte(in) % 48 : 0;
	if (S_ISREG(e.mode) && e.flags == 0)
		e.size = (uint64_t)take_u16(in) << shift;
	if ((what & 64) != 0)
		make_xattrs(in, &e);
	if (cx_entry_write(w, &e, err) < 0)
		return -err->errnum;
	if (e.size == 0)
		return 0;
	return cx_entry_write_data(w, ((uint64_t)take_u16(in) << shift) % e.size, content,
				   take_u16(in) % sizeof content, err);
}

static void make_stream(struct input *in, int fd)
{
	static struct cx_entry_writer writer;
	struct cx_err err;

	fill_file(fd, NULL, 0);
	cx_entry_writer_init(&writer, fd);
	while (in->left > 0)
		if (add_entry(in, &writer, &err) < 0)
			continue; /* it is not the encoder's turn */
	if (cx_entry_write_end(&writer, &err) < 0)
		abort();
}

/* ---- what came out ----------------------------------------------------------------------------*/

struct image {
	const uint8_t *bytes;
	size_t size;
	uint64_t meta;
	unsigned seen;
};

static uint64_t le(const struct image *im, uint64_t at, unsigned bytes)
{
	uint64_t value = 0;

	if (at > im->size || im->size - at < bytes)
		abort();
	for (unsigned i = 0; i < bytes; i++)
		value |= (uint64_t)im->bytes[at + i] << (8 * i);
	return value;
}

static void walk(struct image *im, uint64_t nid, uint64_t parent, unsigned depth);

/* One block of a directory: names in order, "." and ".." where they lead. */
static void walk_block(struct image *im, uint64_t at, size_t len, uint64_t nid, uint64_t parent,
		       unsigned depth)
{
	size_t n = (size_t)le(im, at + 8, 2) / DIRENT;
	const uint8_t *last = NULL;
	size_t last_len = 0;

	if (n == 0 || n * DIRENT >= len)
		abort();
	for (size_t i = 0; i < n; i++) {
		uint64_t entry = at + i * DIRENT, child = le(im, entry, 8);
		size_t from = (size_t)le(im, entry + 8, 2);
		size_t to = i + 1 < n ? (size_t)le(im, entry + DIRENT + 8, 2) : len;
		const uint8_t *name = im->bytes + at + from;
		int order;

		if (from >= to || to > len)
			abort();
		to = from + strnlen((const char *)name, to - from); /* the last is padded */
		if (to - from > 255 || to == from)
			abort();
		order = last != NULL
				? memcmp(last, name, last_len < to - from ? last_len : to - from)
				: -1;
		if (order > 0 || (order == 0 && last_len >= to - from))
			abort();
		last = name;
		last_len = to - from;
		if (last_len == 1 && name[0] == '.') {
			if (child != nid)
				abort();
		} else if (last_len == 2 && memcmp(name, "..", 2) == 0) {
			if (child != parent)
				abort();
		} else {
			walk(im, child, nid, depth + 1);
		}
	}
}

static void walk(struct image *im, uint64_t nid, uint64_t parent, unsigned depth)
{
	uint64_t at = im->meta + nid * 32, size = le(im, at + 8, 8);
	unsigned layout = (unsigned)le(im, at, 2) >> 1, mode = (unsigned)le(im, at + 4, 2);
	uint64_t count = le(im, at + 2, 2),
		 tail = at + INODE + (count > 0 ? 12 + (count - 1) * 4 : 0);
	uint64_t outside = layout == 2 ? size / BLOCK * BLOCK : size;
	uint64_t begin = le(im, at + 16, 4) * BLOCK;

	if (depth > 5 || ++im->seen > 5 * ENTRIES_MAX || (layout != 0 && layout != 2))
		abort();
	if (tail > im->size || begin > im->size || outside > im->size - begin)
		abort();
	if (layout == 2 && tail / BLOCK != (tail + size % BLOCK - 1) / BLOCK)
		abort();
	for (uint64_t done = 0; S_ISDIR(mode) && done < size; done += BLOCK)
		walk_block(im, done < outside ? begin + done : tail,
			   size - done < BLOCK ? (size_t)(size - done) : BLOCK, nid, parent, depth);
}

static void look_at(int fd, uint64_t size)
{
	struct image im = { .size = (size_t)size };
	struct stat st;

	if (fstat(fd, &st) < 0 || (uint64_t)st.st_size != size || size > IMAGE_MAX ||
	    size % BLOCK != 0)
		abort();
	im.bytes = mmap(NULL, im.size, PROT_READ, MAP_PRIVATE, fd, 0);
	if (im.bytes == MAP_FAILED)
		abort();
	if (le(&im, 1024, 4) != 0xE0F5E1E2 || le(&im, 1024 + 36, 4) * BLOCK != size)
		abort();
	im.meta = le(&im, 1024 + 40, 4) * BLOCK;
	walk(&im, le(&im, 1024 + 14, 2), le(&im, 1024 + 14, 2), 0);
	if (munmap((void *)(uintptr_t)im.bytes, im.size) < 0)
		abort();
}

/* A multiple of 64 bytes, or one record. */
static size_t piece_at(int stream, off_t at, uint8_t how)
{
	uint8_t head[5];
	uint32_t len;

	if (how < 128 || pread(stream, head, sizeof head, at) != sizeof head)
		return ((size_t)how + 1) * 64;
	memcpy(&len, head + 1, sizeof len);
	return sizeof head + (len < CX_ENTRY_RECORD_MAX ? len : CX_ENTRY_RECORD_MAX);
}

/* As cmd/image.c does, but in pieces of any size. */
static int lay_out(int stream, uint8_t how, int out, uint64_t *ret_size)
{
	static const struct cx_erofs_limits limits = { IMAGE_MAX, ENTRIES_MAX };
	static uint8_t bytes[5 + CX_ENTRY_RECORD_MAX];
	struct cx_err err = { 0 };
	struct cx_erofs *image;
	ssize_t n;
	int r = 0;

	if (cx_erofs_new(out, &limits, &image, &err) < 0)
		abort();
	for (off_t at = 0; r == 0 && (n = pread(stream, bytes, piece_at(stream, at, how), at)) > 0;
	     at += n)
		r = cx_erofs_feed(image, bytes, (size_t)n, &err);
	if (r == 0)
		r = cx_erofs_finish(image, ret_size, &err);
	cx_erofs_free(image);
	if ((r < 0 && err.errnum == 0) || lseek(out, 0, SEEK_END) > IMAGE_MAX)
		abort();
	return r;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static int stream = -1, out = -1;
	struct input in = { data, size };
	uint8_t how = take_byte(&in);
	uint64_t image_size;

	if (size > 4096)
		return 0;
	if (stream < 0) {
		stream = memory_file();
		out = memory_file();
	}
	if (how == 0)
		fill_file(stream, in.p, in.left); /* the bytes as they are */
	else
		make_stream(&in, stream);
	fill_file(out, NULL, 0);
	if (lay_out(stream, how, out, &image_size) == 0)
		look_at(out, image_size);
	return 0;
}
