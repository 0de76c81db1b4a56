/* SPDX-License-Identifier: Apache-2.0 */
#include "image/stream.h"

#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <zlib.h>
#include <zstd.h>

#include "base/str.h"
#include "check_main.h"

enum { LARGE = 300000 };

static struct cx_stream *stream;
static struct cx_stream_sums sums;
static struct cx_err err;
static char got[LARGE + 1], packed[LARGE + 1000], large[LARGE];
static int fd = -1;

static void begin(void)
{
	stream = NULL;
	err = (struct cx_err){ 0 };
	fd = memfd_create("test", MFD_CLOEXEC);
	for (size_t i = 0; i < sizeof large; i++)
		large[i] = (char)(i * i >> 7);
}

static void end(void)
{
	cx_stream_free(stream);
	(void)close(fd);
}

static unsigned wanted = CX_STREAM_OUTER | CX_STREAM_INNER;

/* All that comes out, into got; -errno when it fails. */
static ssize_t unwrap(const void *bytes, size_t len, uint64_t max)
{
	const void *p;
	size_t at = 0;
	ssize_t n;

	cx_stream_free(stream);
	stream = NULL;
	ck_assert_int_eq(ftruncate(fd, 0), 0);
	ck_assert_int_eq(pwrite(fd, bytes, len, 0), (ssize_t)len);
	ck_assert_int_eq(lseek(fd, 0, SEEK_SET), 0);
	ck_assert_int_eq(cx_stream_open(fd, max, wanted, &stream, &err), 0);
	while ((n = cx_stream_next(stream, &p, &err)) > 0) {
		ck_assert_uint_le(at + (size_t)n, sizeof got);
		memcpy(got + at, p, (size_t)n);
		at += (size_t)n;
	}
	if (n < 0)
		return n;
	ck_assert_int_eq(cx_stream_sums(stream, &sums, &err), 0);
	ck_assert_uint_eq(sums.outer_bytes, len);
	ck_assert_uint_eq(sums.inner_bytes, at);
	return (ssize_t)at;
}

static size_t plain(const void *data, size_t len, char *out, size_t size)
{
	ck_assert_uint_le(len, size);
	memcpy(out, data, len);
	return len;
}

static size_t gzip(const void *data, size_t len, char *out, size_t size)
{
	z_stream z = { .next_in = (uint8_t *)(uintptr_t)data,
		       .avail_in = (unsigned)len,
		       .next_out = (uint8_t *)out,
		       .avail_out = (unsigned)size };

	ck_assert_int_eq(deflateInit2(&z, 1, Z_DEFLATED, 31, 8, Z_DEFAULT_STRATEGY), Z_OK);
	ck_assert_int_eq(deflate(&z, Z_FINISH), Z_STREAM_END);
	ck_assert_int_eq(deflateEnd(&z), Z_OK);
	return size - z.avail_out;
}

static size_t zstd(const void *data, size_t len, char *out, size_t size)
{
	ZSTD_CCtx *ctx = ZSTD_createCCtx();
	size_t n;

	ck_assert_uint_eq(ZSTD_isError(ZSTD_CCtx_setParameter(ctx, ZSTD_c_checksumFlag, 1)), 0);
	n = ZSTD_compress2(ctx, out, size, data, len);
	ck_assert_uint_eq(ZSTD_isError(n), 0);
	(void)ZSTD_freeCCtx(ctx);
	return n;
}

typedef size_t pack_fn(const void *data, size_t len, char *out, size_t size);
static pack_fn *const packs[] = { gzip, zstd, plain };

/* _i: compression, and its size. */
START_TEST(whole_content_comes_out)
{
	static const size_t sizes[] = { 0, 1, 3, 4, 5, 131072, LARGE };
	size_t len = sizes[_i / 3], n = packs[_i % 3](large, len, packed, sizeof packed);

	ck_assert_int_eq(unwrap(packed, n, len), (ssize_t)len);
	ck_assert_mem_eq(got, large, len);
}
END_TEST

START_TEST(one_byte_too_many)
{
	size_t n = packs[_i](large, LARGE, packed, sizeof packed);

	ck_assert_int_eq(unwrap(packed, n, LARGE), LARGE);
	ck_assert_int_lt(unwrap(packed, n, LARGE - 1), 0);
	ck_assert_uint_eq(err.kind, CX_LIMIT);
	ck_assert_int_lt(unwrap(packed, n, 0), 0);
}
END_TEST

START_TEST(a_bomb_stops_at_the_limit)
{
	static const char zeros[LARGE];
	size_t n = packs[_i](zeros, sizeof zeros, packed, sizeof packed);

	ck_assert_uint_lt(n, 2000);
	ck_assert_int_lt(unwrap(packed, n, 200000), 0);
	ck_assert_uint_eq(err.kind, CX_LIMIT);
}
END_TEST

START_TEST(sums_of_both_sides)
{
	static const char abc[] =
		"ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
	char hex[65];

	ck_assert_int_eq(unwrap("abc", 3, 3), 3);
	cx_to_hex(sums.outer, 32, hex);
	ck_assert_str_eq(hex, abc);
	ck_assert_mem_eq(sums.inner, sums.outer, 32);
	ck_assert_int_eq(unwrap(packed, gzip("abc", 3, packed, sizeof packed), 3), 3);
	cx_to_hex(sums.inner, 32, hex);
	ck_assert_str_eq(hex, abc);
	ck_assert_mem_ne(sums.inner, sums.outer, 32);
}
END_TEST

/* Every proper prefix that is long enough to say what it is. */
START_TEST(cut_off)
{
	size_t n = packs[_i](large, 5000, packed, sizeof packed);

	for (size_t len = 4; len < n; len += len < n - 40 ? 97 : 1) {
		ck_assert_msg(unwrap(packed, len, LARGE) < 0, "%zu of %zu", len, n);
		ck_assert_uint_eq(err.kind, CX_INVALID);
	}
}
END_TEST

START_TEST(broken_checksum)
{
	size_t n = packs[_i](large, 5000, packed, sizeof packed);

	packed[n - (_i == 0 ? 5 : 1)] ^= 1; /* gzip's size comes last */
	ck_assert_int_lt(unwrap(packed, n, LARGE), 0);
	ck_assert_uint_eq(err.kind, CX_INVALID);
}
END_TEST

START_TEST(two_members)
{
	size_t n = packs[_i](large, 1000, packed, sizeof packed);

	n += packs[_i](large + 1000, 2000, packed + n, sizeof packed - n);
	ck_assert_int_eq(unwrap(packed, n, LARGE), 3000);
	ck_assert_mem_eq(got, large, 3000);
	ck_assert_int_lt(unwrap(packed, n - 1, LARGE), 0);
}
END_TEST

START_TEST(behind_the_end_of_gzip)
{
	size_t n = gzip("abc", 3, packed, sizeof packed);

	memset(packed + n, 0, 600);
	ck_assert_int_eq(unwrap(packed, n + 600, 3), 3); /* padding */
	packed[n + 300] = 'x';
	ck_assert_int_lt(unwrap(packed, n + 600, 3), 0);
	ck_assert_str_eq(err.msg, "bytes behind the end of the gzip data");
	packed[n + 300] = 0x1f; /* the begin of a member that does not come */
	ck_assert_int_lt(unwrap(packed, n + 301, 3), 0);
}
END_TEST

START_TEST(behind_the_end_of_zstd)
{
	size_t n = zstd("abc", 3, packed, sizeof packed);

	memcpy(packed + n, "junk", 4);
	ck_assert_int_lt(unwrap(packed, n + 4, 100), 0);
	memcpy(packed + n, "\x50\x2a\x4d\x18\2\0\0\0xx", 10); /* a skippable frame */
	ck_assert_int_eq(unwrap(packed, n + 10, 100), 3);
	ck_assert_int_lt(unwrap(packed, n + 9, 100), 0);
}
END_TEST

/* A pipe may give the bytes that tell the format one by one; a packet socket always does. */
START_TEST(byte_by_byte)
{
	size_t n = packs[_i](large, 20, packed, sizeof packed), done = 0;
	const void *p;
	int ends[2];
	ssize_t r;

	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), 0);
	for (size_t at = 0; at < n; at++)
		ck_assert_int_eq(send(ends[1], packed + at, 1, MSG_DONTWAIT), 1);
	(void)close(ends[1]);
	ck_assert_int_eq(
		cx_stream_open(ends[0], 100, CX_STREAM_OUTER | CX_STREAM_INNER, &stream, &err), 0);
	while ((r = cx_stream_next(stream, &p, &err)) > 0) {
		memcpy(got + done, p, (size_t)r);
		done += (size_t)r;
	}
	ck_assert_int_eq(r, 0);
	ck_assert_uint_eq(done, 20);
	ck_assert_mem_eq(got, large, 20);
	(void)close(ends[0]);
}
END_TEST

/* The inner one alone, or none. */
START_TEST(sums_that_nobody_wants)
{
	static const uint8_t none[32];
	struct cx_stream_sums both;
	const unsigned format = (unsigned)_i % 3;
	size_t len;

	wanted = CX_STREAM_OUTER | CX_STREAM_INNER;
	len = packs[format](large, 1000, packed, sizeof packed);
	ck_assert_int_eq(unwrap(packed, len, 1000), 1000);
	both = sums;
	wanted = _i < 3 ? 0 : CX_STREAM_INNER;
	ck_assert_int_eq(unwrap(packed, len, 1000), 1000);
	ck_assert_mem_eq(sums.inner, (wanted & CX_STREAM_INNER) != 0 ? both.inner : none, 32);
	ck_assert_mem_eq(sums.outer, none, 32);
}
END_TEST

START_TEST(unreadable)
{
	const void *p;

	(void)close(fd);
	fd = open("/dev/null", O_WRONLY | O_CLOEXEC);
	ck_assert_int_eq(cx_stream_open(fd, 100, CX_STREAM_OUTER | CX_STREAM_INNER, &stream, &err),
			 0);
	ck_assert_int_lt(cx_stream_next(stream, &p, &err), 0);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("stream");
	TCase *tc = tcase_create("stream");

	tcase_add_checked_fixture(tc, begin, end);
	tcase_add_loop_test(tc, whole_content_comes_out, 0, 21);
	tcase_add_loop_test(tc, one_byte_too_many, 0, 3);
	tcase_add_loop_test(tc, a_bomb_stops_at_the_limit, 0, 2);
	tcase_add_test(tc, sums_of_both_sides);
	tcase_add_loop_test(tc, cut_off, 0, 2);
	tcase_add_loop_test(tc, broken_checksum, 0, 2);
	tcase_add_loop_test(tc, two_members, 0, 2);
	tcase_add_test(tc, behind_the_end_of_gzip);
	tcase_add_test(tc, behind_the_end_of_zstd);
	tcase_add_loop_test(tc, byte_by_byte, 0, 3);
	tcase_add_loop_test(tc, sums_that_nobody_wants, 0, 6);
	tcase_add_test(tc, unreadable);
	suite_add_tcase(suite, tc);
	return run_suite(suite);
}
