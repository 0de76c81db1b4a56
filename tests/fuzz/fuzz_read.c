/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The reader of archives. The first byte says what the rest is: bytes as they come, or members of a
 * tar archive whose checksums are put right, and then which compression goes around. Whatever it
 * lets through, the decoder on the other side must take.
 */
#include <stdio.h>
#include <zlib.h>
#include <zstd.h>

#include "image/read.h"
#include "tests/fuzz/input.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { TAR_MAX = 1 << 17, BLOCK = 512, ENTRIES_MAX = 200, BYTES_MAX = 1 << 20 };
enum { BUILT = 1, GZIP = 2, ZSTD = 4, SCAN = 8, CUT = 16 };

/* ---- archives ---------------------------------------------------------------------------------*/

static const char *const words[] = {
	"",
	"../",
	"/",
	"./",
	".wh.",
	".wh..wh..opq",
	"a/",
	"index.json",
	"oci-layout",
	"manifest.json",
	"blobs/sha256/",
	"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
	"/layer.tar",
	"path=",
	"linkpath=",
	"size=",
	"uid=",
	"mtime=",
	"SCHILY.xattr.user.",
	"GNU.sparse.major=",
	"GNU.sparse.minor=",
	"GNU.sparse.name=",
	"GNU.sparse.realsize=",
	"LIBARCHIVE.xattr.user.",
	"hdrcharset=BINARY",
};

struct tar {
	uint8_t bytes[TAR_MAX];
	size_t len;
};

static size_t take_text(struct input *in, char *out, size_t size)
{
	const uint8_t *p;
	size_t n = take_bytes(in, take_byte(in), &p);

	return expand(p, n, words, CX_LEN(words), out, size);
}

/* What a member holds; of an extended header one record, with its length in front. */
static size_t make_body(struct input *in, char type, char out[2048])
{
	char text[1024];
	size_t len = take_text(in, text, sizeof text);
	int n;

	if (type != 'x' && type != 'g') {
		memcpy(out, text, len);
		return len;
	}
	for (size_t digits = 1, total;; digits++) {
		total = len + digits + 2;
		n = snprintf(out, 2048, "%zu %.*s\n", total, (int)len, text);
		if (n < 0 || (size_t)n >= total || digits > 3)
			return n > 0 ? (size_t)n : 0;
	}
}

static void add_member(struct input *in, struct tar *tar)
{
	uint8_t *h = tar->bytes + tar->len;
	char type = (char)take_byte(in), body[2048];
	size_t body_len = make_body(in, type, body);
	unsigned sum = 0;

	memset(h, 0, BLOCK);
	(void)take_text(in, (char *)h, 100);
	memcpy(h + 100, "0000644\0000000000\0000000000", 24);
	(void)snprintf((char *)h + 124, 12, "%011o", (unsigned)body_len);
	memcpy(h + 136, "00000000000", 12);
	h[156] = (uint8_t)type;
	(void)take_text(in, (char *)h + 157, 100);
	memcpy(h + 257, "ustar\00000", 8);
	for (unsigned n = take_byte(in) % 16; n > 0; n--) {
		size_t at = take_u16(in) % BLOCK;

		h[at] = take_byte(in);
	}
	memset(h + 148, ' ', 8);
	for (size_t i = 0; i < BLOCK; i++)
		sum += h[i];
	(void)snprintf((char *)h + 148, 8, "%06o", sum);
	memset(h + BLOCK, 0, sizeof body);
	memcpy(h + BLOCK, body, body_len);
	tar->len += BLOCK + (body_len + BLOCK - 1) / BLOCK * BLOCK;
}

static void make_tar(struct input *in, unsigned how, struct tar *tar)
{
	tar->len = 0;
	if ((how & BUILT) == 0) {
		const uint8_t *p;

		tar->len = take_bytes(in, TAR_MAX, &p);
		if (tar->len > 0)
			memcpy(tar->bytes, p, tar->len);
		return;
	}
	while (in->left > 0 && tar->len + 3 * BLOCK + 2048 < TAR_MAX)
		add_member(in, tar);
	memset(tar->bytes + tar->len, 0, (size_t)2 * BLOCK);
	tar->len += (how & CUT) != 0 ? 0 : (size_t)2 * BLOCK;
}

static size_t pack_gzip(const struct tar *tar, uint8_t *out, size_t size)
{
	z_stream z = { .next_in = (uint8_t *)(uintptr_t)tar->bytes,
		       .avail_in = (unsigned)tar->len,
		       .next_out = out,
		       .avail_out = (unsigned)size };

	if (deflateInit2(&z, 1, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY) != Z_OK ||
	    deflate(&z, Z_FINISH) != Z_STREAM_END || deflateEnd(&z) != Z_OK)
		abort();
	return size - z.avail_out;
}

static void make_archive(struct input *in, unsigned how, int fd)
{
	static struct tar tar;
	static uint8_t packed[2 * TAR_MAX];

	make_tar(in, how, &tar);
	if ((how & GZIP) != 0)
		fill_file(fd, packed, pack_gzip(&tar, packed, sizeof packed));
	else if ((how & ZSTD) != 0)
		fill_file(fd, packed, ZSTD_compress(packed, sizeof packed, tar.bytes, tar.len, 1));
	else
		fill_file(fd, tar.bytes, tar.len);
}

/* ---- what comes out ---------------------------------------------------------------------------*/

static int any_entry(void *arg, const struct cx_entry *e, struct cx_err *err)
{
	(void)e;
	(void)err;
	++*(unsigned *)arg;
	return 0;
}

static int any_data(void *arg, uint64_t offset, const void *data, size_t len, struct cx_err *err)
{
	(void)arg;
	(void)offset;
	(void)data;
	(void)len;
	(void)err;
	return 0;
}

static int any_end(void *arg, struct cx_err *err)
{
	(void)arg;
	(void)err;
	return 0;
}

/* A stream that the reader calls good must be good; of one that failed, what is there. */
static void look_at(int fd, const struct cx_report *report)
{
	static struct cx_entry_decoder decoder;
	static uint8_t bytes[1 << 16];
	unsigned entries = 0;
	const struct cx_entry_sink sink = { any_entry, any_data, any_end, &entries };
	struct cx_err err;
	ssize_t n;

	cx_entry_decoder_init(&decoder, &sink, ENTRIES_MAX);
	for (off_t at = 0; (n = pread(fd, bytes, sizeof bytes, at)) > 0; at += n)
		if (cx_entry_decode(&decoder, bytes, (size_t)n, &err) < 0)
			abort();
	if (report->ok && cx_entry_decode_finish(&decoder, &err) < 0)
		abort();
	/* A device that is left out may leave a whiteout behind. */
	if (entries > report->entries || report->skipped > report->entries ||
	    report->entries > ENTRIES_MAX + 1)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct cx_read_limits limits = { BYTES_MAX, ENTRIES_MAX, false };
	static int archive = -1, out = -1;
	struct input in = { data, size };
	unsigned how = take_byte(&in);
	struct cx_report report;

	if (archive < 0) {
		archive = memory_file();
		out = memory_file();
	}
	make_archive(&in, how, archive);
	fill_file(out, NULL, 0);
	if ((how & SCAN) != 0 ? cx_read_scan(archive, out, &limits, &report) == 0
			      : cx_read_layer(archive, out, &limits, &report) == 0) {
		if (!report.ok)
			abort();
	} else if (report.ok || report.err.errnum == 0) {
		abort();
	}
	look_at(out, &report);
	return 0;
}
