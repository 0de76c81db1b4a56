/* SPDX-License-Identifier: Apache-2.0 */
/* The writer's limits and refusals; tests/image mounts what it writes. */
#include "image/erofs.h"

#include <fcntl.h>

#include "entry_text.h"
#include "image/write.h"

enum { BLOCK = 4096 };

static struct cx_entry_writer writer;
static struct cx_err err;
static struct cx_report report;
static struct cx_buf image;
static int stream = -1, out = -1;

static void begin(void)
{
	err = (struct cx_err){ 0 };
	image = (struct cx_buf){ 0 };
	stream = new_file(NULL, 0);
	out = new_file(NULL, 0);
	cx_entry_writer_init(&writer, stream);
}

static void end(void)
{
	cx_buf_free(&image);
	(void)close(stream);
	(void)close(out);
}

static void add(uint32_t mode, const char *path, uint64_t size)
{
	struct cx_entry e = { .mode = mode, .size = size, .target = { "", 0 } };

	e.path = bytes_of(path);
	if (S_ISLNK(mode))
		e.target = bytes_of("target");
	ck_assert_int_eq(cx_entry_write(&writer, &e, &err), 0);
}

static void add_data(uint64_t offset, const char *data)
{
	ck_assert_int_eq(cx_entry_write_data(&writer, offset, data, strlen(data), &err), 0);
}

/* Ends the stream and lays it out. */
static int finish(uint64_t max_bytes, uint64_t max_entries)
{
	const struct cx_erofs_limits limits = { max_bytes, max_entries };

	ck_assert_int_eq(cx_entry_write_end(&writer, &err), 0);
	ck_assert_int_eq(lseek(stream, 0, SEEK_SET), 0);
	if (cx_write_layer(stream, out, &limits, &report) < 0)
		return -1;
	ck_assert(report.ok);
	cx_buf_free(&image);
	image = content_of(out);
	ck_assert_uint_eq(image.len, report.image_bytes);
	return 0;
}

static uint64_t le(size_t at, unsigned bytes)
{
	uint64_t value = 0;

	ck_assert_uint_le(at + bytes, image.len);
	memcpy(&value, image.p + at, bytes);
	return value;
}

/* Where the inode lies whose name is the n-th of the root's first block. */
static size_t inode_of(unsigned n)
{
	size_t root = (size_t)le(1024 + 14, 2) * 32;

	ck_assert_uint_eq(le(1024 + 40, 4), 0);	    /* inodes count from block 0 */
	ck_assert_uint_eq(le(root, 2), 1 | 2 << 1); /* extended, with an inline tail */
	return (size_t)le(root + 64 + (size_t)n * 12, 8) * 32;
}

START_TEST(superblock_of_an_empty_layer)
{
	ck_assert_int_eq(finish(1 << 20, 10), 0);
	ck_assert_uint_eq(image.len, BLOCK);
	ck_assert_uint_eq(le(1024, 4), 0xE0F5E1E2);
	ck_assert_uint_eq(le(1024 + 12, 1), 12);
	ck_assert_uint_eq(le(1024 + 16, 8), 1); /* inodes */
	ck_assert_uint_eq(le(1024 + 36, 4), 1); /* blocks */
	ck_assert_uint_eq(inode_of(0), inode_of(1));
}
END_TEST

START_TEST(types_and_content)
{
	add(S_IFREG | 04711, "b", 3);
	add_data(0, "abc");
	add(S_IFLNK | 0777, "c", 0);
	add(S_IFIFO | 0600, "d", 0);
	ck_assert_int_eq(finish(1 << 20, 10), 0);
	ck_assert_uint_eq(le(inode_of(2) + 4, 2), S_IFREG | 04711);
	ck_assert_uint_eq(le(inode_of(2) + 8, 8), 3);
	ck_assert_mem_eq(image.p + inode_of(2) + 64, "abc\0", 4);
	ck_assert_uint_eq(le(inode_of(3) + 4, 2), S_IFLNK | 0777);
	ck_assert_mem_eq(image.p + inode_of(3) + 64, "target", 6);
	ck_assert_uint_eq(le(inode_of(4) + 4, 2), S_IFIFO | 0600);
}
END_TEST

START_TEST(holes_read_as_zeros)
{
	static const char zeros[2 * BLOCK];
	size_t at;

	add(S_IFREG, "f", 3 * BLOCK + 1);
	add_data(BLOCK, "x");
	add_data(3 * BLOCK, "y");
	ck_assert_int_eq(finish(1 << 20, 10), 0);
	at = (size_t)le(inode_of(2) + 16, 4) * BLOCK;
	ck_assert_mem_eq(image.p + at, zeros, BLOCK);
	ck_assert_mem_eq(image.p + at + BLOCK, "x", 2);
	ck_assert_mem_eq(image.p + at + BLOCK + 1, zeros, 2 * BLOCK - 1);
	ck_assert_mem_eq(image.p + inode_of(2) + 64, "y", 2);
}
END_TEST

/* Superblock, content, inodes: that many blocks, and not one less. */
static const struct {
	uint64_t size;
	unsigned blocks;
} sizes[] = { { 0, 2 },		 { 1, 2 },	   { 2048, 2 },		{ 2049, 3 },
	      { BLOCK, 3 },	 { BLOCK + 1, 3 }, { BLOCK + 2048, 3 }, { BLOCK + 2049, 4 },
	      { 16 * BLOCK, 18 } };

START_TEST(exactly_as_large_as_allowed)
{
	add(S_IFREG, "f", sizes[_i].size);
	ck_assert_int_eq(finish((uint64_t)sizes[_i].blocks * BLOCK, 10), 0);
	ck_assert_uint_eq(image.len, sizes[_i].blocks * BLOCK);
}
END_TEST

START_TEST(a_byte_less_is_refused)
{
	add(S_IFREG, "f", sizes[_i].size);
	ck_assert_int_lt(finish((uint64_t)sizes[_i].blocks * BLOCK - 1, 10), 0);
	ck_assert(!report.ok);
	ck_assert_uint_eq(report.err.kind, CX_LIMIT);
}
END_TEST

/* Block numbers have 32 bits, whatever the limit says. */
START_TEST(sizes_that_overflow)
{
	static const uint64_t too_large[] = { INT64_MAX, (uint64_t)BLOCK << 32,
					      ((uint64_t)BLOCK << 32) - 1 };

	add(S_IFREG, "f", too_large[_i]);
	ck_assert_int_lt(finish(UINT64_MAX, 10), 0);
	ck_assert_uint_eq(report.err.kind, CX_LIMIT);
	ck_assert_ptr_nonnull(strstr(report.err.msg, "'f'"));
}
END_TEST

START_TEST(many_sizes_that_overflow_together)
{
	for (char name[] = "a"; name[0] <= 'i'; name[0]++)
		add(S_IFREG, name, (uint64_t)BLOCK << 29);
	ck_assert_int_lt(finish(UINT64_MAX, 10), 0);
	ck_assert_uint_eq(report.err.kind, CX_LIMIT);
}
END_TEST

START_TEST(names_in_full_blocks)
{
	char name[256];
	unsigned n = 0;
	size_t root;

	memset(name, 'n', 255);
	name[255] = '\0';
	for (char c = 'a'; c <= 'z'; c++) {
		name[0] = c;
		add(S_IFREG, name, 0);
	}
	ck_assert_int_eq(finish(1 << 20, 26), 0);
	root = (size_t)le(1024 + 14, 2) * 32;
	ck_assert_uint_gt(le(root + 8, 8), BLOCK);
	for (size_t at = (size_t)le(root + 16, 4) * BLOCK, i = 2; i < 15; i++, n++)
		ck_assert_int_eq(image.p[at + le(at + i * 12 + 8, 2)], (int)('a' + n));
}
END_TEST

START_TEST(number_of_entries)
{
	add(S_IFREG, "a", 0);
	add(S_IFREG, "b", 0);
	ck_assert_int_lt(finish(1 << 20, 1), 0);
	ck_assert_uint_eq(report.err.kind, CX_LIMIT);
}
END_TEST

START_TEST(a_stream_without_an_end)
{
	const struct cx_erofs_limits limits = { 1 << 20, 10 };
	struct cx_erofs *erofs;
	uint64_t size = 7;

	add(S_IFREG, "f", 3);
	ck_assert_int_eq(cx_erofs_new(out, &limits, &erofs, &err), 0);
	ck_assert_int_eq(cx_erofs_feed(erofs, writer.buf, writer.len, &err), 0);
	ck_assert_int_lt(cx_erofs_finish(erofs, &size, &err), 0);
	ck_assert_uint_eq(err.kind, CX_INVALID);
	ck_assert_uint_eq(size, 7);
	cx_erofs_free(erofs);
}
END_TEST

START_TEST(nowhere_to_write)
{
	(void)close(out);
	out = open("/dev/null", O_RDONLY | O_CLOEXEC);
	ck_assert_int_lt(finish(1 << 20, 10), 0);
	ck_assert_int_ne(report.err.errnum, 0);
}
END_TEST

static void add_some(bool backwards)
{
	static const char *const names[] = { "x", "m", "a", "-", "..." };

	for (size_t i = 0; i < CX_LEN(names); i++)
		add(S_IFDIR | 0755, names[backwards ? CX_LEN(names) - 1 - i : i], 0);
	ck_assert_int_eq(finish(1 << 20, 10), 0);
}

START_TEST(the_order_of_entries_shows_nowhere)
{
	struct cx_buf first;

	add_some(false);
	first = image;
	image = (struct cx_buf){ 0 };
	end();
	begin();
	add_some(true);
	ck_assert_uint_eq(image.len, first.len);
	ck_assert_mem_eq(image.p, first.p, image.len);
	cx_buf_free(&first);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("erofs");
	TCase *tc = tcase_create("erofs");

	tcase_add_checked_fixture(tc, begin, end);
	tcase_add_test(tc, superblock_of_an_empty_layer);
	tcase_add_test(tc, types_and_content);
	tcase_add_test(tc, holes_read_as_zeros);
	tcase_add_loop_test(tc, exactly_as_large_as_allowed, 0, CX_LEN(sizes));
	tcase_add_loop_test(tc, a_byte_less_is_refused, 0, CX_LEN(sizes));
	tcase_add_loop_test(tc, sizes_that_overflow, 0, 3);
	tcase_add_test(tc, many_sizes_that_overflow_together);
	tcase_add_test(tc, names_in_full_blocks);
	tcase_add_test(tc, number_of_entries);
	tcase_add_test(tc, a_stream_without_an_end);
	tcase_add_test(tc, nowhere_to_write);
	tcase_add_test(tc, the_order_of_entries_shows_nowhere);
	suite_add_tcase(suite, tc);
	return run_suite(suite);
}
