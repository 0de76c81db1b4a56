/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Entries of every kind through the writer of archives: what it writes, the reader of archives
 * reads as the same entries.
 */
#include <sys/stat.h>

#include "image/pack.h"
#include "image/read.h"
#include "tests/fuzz/input.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { ENTRIES_MAX = 100, LENGTH_MAX = 256 };
static const uint64_t archive_max = 1 << 22;

struct text {
	char bytes[4 * (LENGTH_MAX + 1)];
	size_t len;
};

/* ---- from bytes to a stream -------------------------------------------------------------------*/

static struct cx_bytes make_path(struct input *in, struct text *t)
{
	unsigned components = take_byte(in) % 5U;

	t->len = 0;
	for (unsigned i = 0; i < components; i++) {
		size_t len = 1 + take_byte(in);
		char byte = (char)take_byte(in);

		if (i > 0)
			t->bytes[t->len++] = '/';
		t->bytes[t->len++] = (char)take_byte(in);
		for (size_t n = 1; n < len; n++)
			t->bytes[t->len++] = byte;
	}
	return (struct cx_bytes){ t->bytes, t->len };
}

static void make_node(struct input *in, struct cx_entry *e, struct text *name)
{
	static const int64_t times[] = {
		0, 1, -1, INT32_MAX, (int64_t)1 << 33, -((int64_t)1 << 33), 253402300799, 1000000007
	};

	e->mode |= take_u16(in) & 07777U;
	e->uid = take_u16(in);
	e->gid = take_u16(in);
	e->mtime = times[take_byte(in) % CX_LEN(times)];
	e->mtime_nsec = e->mtime < 0 ? 0 : take_u16(in) * 15000U;
	if (take_byte(in) % 2 == 0)
		return;
	name->len = 1 + take_byte(in) % 100U;
	memset(name->bytes, take_byte(in) & 127, name->len);
	e->nxattrs = 1;
	e->xattrs[0].name = (struct cx_bytes){ name->bytes, name->len };
	e->xattrs[0].value =
		(struct cx_bytes){ (const char *)in->p, in->left < 99 ? in->left : 99 };
}

static void add_entry(struct input *in, struct cx_entry_writer *w)
{
	static const uint32_t types[] = { S_IFREG, S_IFDIR, S_IFLNK, S_IFIFO };
	static const uint32_t flags[] = {
		0, 0, 0, 0, 0, CX_ENTRY_HARDLINK, CX_ENTRY_WHITEOUT, CX_ENTRY_OPAQUE
	};
	static const char content[3000] = { 1 };
	struct text path, target, name;
	uint8_t what = take_byte(in);
	struct cx_entry e = { .mode = types[what & 3],
			      .flags = flags[what >> 2 & 7],
			      .target = { "", 0 } };
	struct cx_err ignored;

	e.path = make_path(in, &path);
	if (S_ISLNK(e.mode) || (e.flags & CX_ENTRY_HARDLINK) != 0)
		e.target = make_path(in, &target);
	if (e.flags == 0)
		make_node(in, &e, &name);
	if (S_ISREG(e.mode) && e.flags == 0)
		e.size = take_u16(in);
	if (cx_entry_write(w, &e, &ignored) < 0 || e.size == 0) /* it is not the encoder's turn */
		return;
	if (cx_entry_write_data(w, take_u16(in) % e.size, content,
				e.size < sizeof content ? 1 : take_u16(in) % sizeof content,
				&ignored) < 0)
		abort();
}

static void make_stream(struct input *in, int fd)
{
	static struct cx_entry_writer writer;
	struct cx_err err;

	fill_file(fd, NULL, 0);
	cx_entry_writer_init(&writer, fd);
	for (unsigned i = 0; i < ENTRIES_MAX && in->left > 0; i++)
		add_entry(in, &writer);
	if (cx_entry_write_end(&writer, &err) < 0)
		abort();
}

/* ---- what came back ---------------------------------------------------------------------------*/

static int take_entry(void *arg, const struct cx_entry *e, struct cx_err *err)
{
	return cx_entry_write(arg, e, err);
}

static int take_data(void *arg, uint64_t offset, const void *data, size_t len, struct cx_err *err)
{
	(void)arg;
	(void)offset;
	(void)data;
	(void)len;
	(void)err;
	return 0;
}

static int take_end(void *arg, struct cx_err *err)
{
	(void)arg;
	(void)err;
	return 0;
}

/* The entries alone, into w's buffer; false: the stream breaks its rules, or is too long. */
static bool entries_of(int fd, struct cx_entry_writer *w)
{
	static struct cx_entry_decoder decoder;
	static char bytes[1 << 23];
	const struct cx_entry_sink sink = { take_entry, take_data, take_end, w };
	ssize_t n = pread(fd, bytes, sizeof bytes, 0);
	struct cx_err err;

	cx_entry_writer_init(w, -1);
	cx_entry_decoder_init(&decoder, &sink, ENTRIES_MAX);
	return n >= 0 && cx_entry_decode(&decoder, bytes, (size_t)n, &err) == 0 &&
	       cx_entry_decode_finish(&decoder, &err) == 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct cx_pack_limits pack = { archive_max, ENTRIES_MAX };
	static const struct cx_read_limits read = { archive_max, ENTRIES_MAX, false };
	static struct cx_entry_writer before, after;
	static int stream = -1, archive, back;
	struct input in = { data, size };
	struct cx_report packed, got;

	if (stream < 0) {
		stream = memory_file();
		archive = memory_file();
		back = memory_file();
	}
	make_stream(&in, stream);
	if (!entries_of(stream, &before))
		return 0; /* data that a cut file announced, or too much of it */
	fill_file(archive, NULL, 0);
	fill_file(back, NULL, 0);
	if (lseek(stream, 0, SEEK_SET) != 0 || cx_pack_entries(stream, archive, &pack, &packed) < 0)
		return 0;
	if (lseek(archive, 0, SEEK_SET) != 0 || cx_read_layer(archive, back, &read, &got) < 0 ||
	    memcmp(got.diff_id, packed.diff_id, sizeof got.diff_id) != 0)
		abort();
	if (!entries_of(back, &after) || before.len != after.len ||
	    memcmp(before.buf, after.buf, before.len) != 0)
		abort();
	return 0;
}
