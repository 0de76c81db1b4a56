/* SPDX-License-Identifier: Apache-2.0 */
#include "fetch/names.h"

#include "check_main.h"

#include "base/cleanup.h"

#define HEX64 "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"

static const struct {
	bool (*is)(struct cx_str text);
	const char *text;
	bool expected;
} names[] = {
	{ cx_name_is_host, "localhost", true },
	{ cx_name_is_host, "Registry-1.docker.io", true },
	{ cx_name_is_host, "127.0.0.1:5000", true },
	{ cx_name_is_host, "[::1]", true },
	{ cx_name_is_host, "[fe80::1]:443", true },
	{ cx_name_is_host, "", false },
	{ cx_name_is_host, ":5000", false },
	{ cx_name_is_host, "a:", false },
	{ cx_name_is_host, "a:b", false },
	{ cx_name_is_host, "a:123456", false },
	{ cx_name_is_host, "a:1:2", false },
	{ cx_name_is_host, "a/b", false },
	{ cx_name_is_host, "u@a", false },
	{ cx_name_is_host, "a?b", false },
	{ cx_name_is_host, "a#b", false },
	{ cx_name_is_host, "a b", false },
	{ cx_name_is_host, "-a", false },
	{ cx_name_is_host, ".a", false },
	{ cx_name_is_host, "[::1", false },
	{ cx_name_is_host, "[::1]x", false },
	{ cx_name_is_host, "[::1]x:5", false },
	{ cx_name_is_host, "[::1]:", false },
	{ cx_name_is_host, "[[::1]", false },
	{ cx_name_is_host, "[]", false },
	{ cx_name_is_repository, "a", true },
	{ cx_name_is_repository, "library/python", true },
	{ cx_name_is_repository, "a/b-c/d_e/f.g", true },
	{ cx_name_is_repository, "", false },
	{ cx_name_is_repository, "/a", false },
	{ cx_name_is_repository, "a/", false },
	{ cx_name_is_repository, "a//b", false },
	{ cx_name_is_repository, "a/../b", false },
	{ cx_name_is_repository, "a/./b", false },
	{ cx_name_is_repository, "A", false },
	{ cx_name_is_repository, "a%2f", false },
	{ cx_name_is_repository, "a?b", false },
	{ cx_name_is_repository, "a:b", false },
	{ cx_name_is_reference, "latest", true },
	{ cx_name_is_reference, "V1.0_a-b", true },
	{ cx_name_is_reference, "sha256:" HEX64, true },
	{ cx_name_is_reference, "sha256:" HEX64 "0", false },
	{ cx_name_is_reference, "sha256:" HEX64 "\n", false },
	{ cx_name_is_reference, "sha512:" HEX64, false },
	{ cx_name_is_reference, "", false },
	{ cx_name_is_reference, ".", false },
	{ cx_name_is_reference, "-a", false },
	{ cx_name_is_reference, "a/b", false },
	{ cx_name_is_media_type, "application/vnd.oci.image.manifest.v1+json", true },
	{ cx_name_is_media_type, "application", false },
	{ cx_name_is_media_type, "a/b;c", false },
	{ cx_name_is_media_type, "a/b\r\nX: y", false },
	{ cx_name_is_media_type, "", false },
};

START_TEST(names_are_told_apart)
{
	ck_assert_msg(names[_i].is(cx_str_of(names[_i].text)) == names[_i].expected, "'%s'",
		      names[_i].text);
}
END_TEST

START_TEST(nul_is_no_part_of_a_name)
{
	struct cx_str text = { "a\0b", 3 };

	ck_assert(!cx_name_is_host(text));
	ck_assert(!cx_name_is_repository(text));
	ck_assert(!cx_name_is_reference(text));
	ck_assert(!cx_name_is_media_type(text));
}
END_TEST

START_TEST(digests)
{
	char text[CX_DIGEST_SIZE];
	uint8_t digest[32];

	ck_assert(cx_name_to_digest("sha256:" HEX64, digest));
	cx_name_of_digest(digest, text);
	ck_assert_str_eq(text, "sha256:" HEX64);
	ck_assert(!cx_name_to_digest(HEX64, digest));
	ck_assert(!cx_name_to_digest("sha256:" HEX64 "00", digest));
	ck_assert(!cx_name_to_digest("sha256:", digest));
}
END_TEST

int main(void)
{
	Suite *s = suite_create("fetch/names");
	TCase *t = tcase_create("names");

	tcase_add_loop_test(t, names_are_told_apart, 0, (int)CX_LEN(names));
	tcase_add_test(t, nul_is_no_part_of_a_name);
	tcase_add_test(t, digests);
	suite_add_tcase(s, t);
	return run_suite(s);
}
