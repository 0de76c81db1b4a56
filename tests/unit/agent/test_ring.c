/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/kept.h"

#include <string.h>

#include "base/cleanup.h"
#include "check_main.h"

static struct cx_ring ring;
static uint8_t out[CX_RING_SIZE + 1];

/* The byte that was written at an offset, in every test. */
static uint8_t byte_at(uint64_t offset)
{
	return (uint8_t)(offset * 31 + offset / 256);
}

static void write_next(size_t len)
{
	uint8_t *bytes = malloc(len + 1);

	ck_assert_ptr_nonnull(bytes);
	for (size_t i = 0; i < len; i++)
		bytes[i] = byte_at(ring.end + i);
	cx_ring_write(&ring, bytes, len);
	free(bytes);
}

static void expect(uint64_t ask, size_t max, uint64_t from, size_t len)
{
	uint64_t offset = ask;
	size_t good = 0;

	ck_assert_uint_eq(cx_ring_read(&ring, &offset, out, max), len);
	ck_assert_uint_eq(offset, from);
	while (good < len && out[good] == byte_at(from + good))
		good++;
	ck_assert_uint_eq(good, len); /* once: every assertion is a message to Check */
}

/* _i: the size of each write; together they go round the ring several times. */
START_TEST(the_last_bytes_stay)
{
	static const size_t sizes[] = { 1,
					17,
					4096,
					CX_RING_SIZE - 1,
					CX_RING_SIZE,
					CX_RING_SIZE + 1,
					3 * CX_RING_SIZE,
					CX_RING_SIZE / 2,
					65537 };
	uint64_t total = 0, first;

	ring.end = 0;
	expect(0, sizeof out, 0, 0);
	expect(5, sizeof out, 0, 0);
	while (total < 2 * CX_RING_SIZE + 100) {
		write_next(sizes[_i]);
		total += sizes[_i];
	}
	ck_assert_uint_eq(ring.end, total);
	first = total - CX_RING_SIZE;
	expect(0, sizeof out, first, CX_RING_SIZE);
	expect(first - 1, 10, first, 10);
	expect(first, 10, first, 10);
	expect(first + 1, 10, first + 1, 10);
	expect(total - 3, 10, total - 3, 3);
	expect(total, 10, total, 0);
	expect(UINT64_MAX, 10, total, 0);
	expect(first, 0, first, 0);
}
END_TEST

START_TEST(less_than_a_ring_is_all_there)
{
	ring.end = 0;
	write_next(100);
	expect(0, 1000, 0, 100);
	expect(99, 1000, 99, 1);
	expect(50, 10, 50, 10);
}
END_TEST

/* _i: also where the head ends, what was written is read without a gap. */
START_TEST(a_kept_stream_is_whole_as_long_as_the_ring_is)
{
	static const size_t sizes[] = { 100, 20000, 30000, 36000, CX_RING_SIZE };
	static struct cx_kept_stream stream;
	static uint8_t bytes[CX_RING_SIZE];
	uint64_t offset = 8192;
	size_t size = sizes[_i], n;

	for (size_t i = 0; i < size; i++)
		bytes[i] = byte_at(i);
	cx_kept_write(&stream, bytes, size);
	if (offset > size)
		offset = size;
	n = cx_kept_read(&stream, &offset, out, sizeof out);
	ck_assert_uint_eq(offset + n, size);
	ck_assert_int_eq(memcmp(out, bytes + offset, n), 0);
	cx_kept_write(&stream, bytes, CX_RING_SIZE); /* now it has a middle that is lost */
	offset = 10;
	n = cx_kept_read(&stream, &offset, out, sizeof out);
	ck_assert_uint_eq(offset, 10);
	ck_assert_uint_eq(n, CX_KEPT_HEAD - 10);
	ck_assert_int_eq(out[0], byte_at(10));
}
END_TEST

int main(void)
{
	Suite *s = suite_create("agent/ring");
	TCase *tc = tcase_create("all");

	tcase_add_loop_test(tc, the_last_bytes_stay, 0, 9);
	tcase_add_test(tc, less_than_a_ring_is_all_there);
	tcase_add_loop_test(tc, a_kept_stream_is_whole_as_long_as_the_ring_is, 0, 5);
	suite_add_tcase(s, tc);
	return run_suite(s);
}
