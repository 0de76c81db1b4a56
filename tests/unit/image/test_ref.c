/* SPDX-License-Identifier: Apache-2.0 */
#include "image/ref.h"

#include <string.h>

#include "check_main.h"

#define HEX    "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define DIGEST "@sha256:" HEX

static struct cx_ref ref;
static struct cx_err err;

static const struct {
	const char *given, *full, *brief;
} good[] = {
	{ "python", "docker.io/library/python:latest", "python:latest" },
	{ "python:3.11-slim", "docker.io/library/python:3.11-slim", "python:3.11-slim" },
	{ "docker.io/library/python:3.11-slim", "docker.io/library/python:3.11-slim",
	  "python:3.11-slim" },
	{ "docker.io/python", "docker.io/library/python:latest", "python:latest" },
	{ "library/python", "docker.io/library/python:latest", "python:latest" },
	{ "index.docker.io/python", "docker.io/library/python:latest", "python:latest" },
	{ "Docker.IO/python", "docker.io/library/python:latest", "python:latest" },
	{ "user/app", "docker.io/user/app:latest", "user/app:latest" },
	{ "docker.io/library/a/b", "docker.io/library/a/b:latest", "library/a/b:latest" },
	{ "a/b/c:d", "docker.io/a/b/c:d", "a/b/c:d" },
	{ "localhost/a", "localhost/a:latest", "localhost/a:latest" },
	{ "localhost:5000/a", "localhost:5000/a:latest", "localhost:5000/a:latest" },
	{ "localhost:5000", "docker.io/library/localhost:5000", "localhost:5000" },
	{ "localhost", "docker.io/library/localhost:latest", "localhost:latest" },
	{ "host:5000/a/b" DIGEST, "host:5000/a/b" DIGEST, "host:5000/a/b" DIGEST },
	{ "python" DIGEST, "docker.io/library/python" DIGEST, "python" DIGEST },
	{ "python:3" DIGEST, "docker.io/library/python:3" DIGEST, "python:3" DIGEST },
	{ "Example.com/a:B_c.D-e", "example.com/a:B_c.D-e", "example.com/a:B_c.D-e" },
	{ "127.0.0.1:1/a", "127.0.0.1:1/a:latest", "127.0.0.1:1/a:latest" },
	{ "a-b.c--d.e:65535/a", "a-b.c--d.e:65535/a:latest", "a-b.c--d.e:65535/a:latest" },
	{ "[::1]/a", "[::1]/a:latest", "[::1]/a:latest" },
	{ "[2001:DB8::1]:5000/a:b", "[2001:db8::1]:5000/a:b", "[2001:db8::1]:5000/a:b" },
	{ "a/b.c_d__e-f---g/0:_", "docker.io/a/b.c_d__e-f---g/0:_", "a/b.c_d__e-f---g/0:_" },
	/* Without its host this path would have another one. */
	{ "docker.io/localhost/a", "docker.io/localhost/a:latest", "docker.io/localhost/a:latest" },
	{ "docker.io/my.app/a", "docker.io/my.app/a:latest", "docker.io/my.app/a:latest" },
	{ "docker.io/" HEX, "docker.io/library/" HEX ":latest", "docker.io/" HEX ":latest" },
	{ HEX "0", "docker.io/library/" HEX "0:latest", HEX "0:latest" },
};

START_TEST(good_names)
{
	char full[CX_REF_MAX + 1], brief[CX_REF_MAX + 1];

	ck_assert_msg(cx_ref_parse(good[_i].given, NULL, &ref, &err) == 0, "%s", err.msg);
	cx_ref_full(&ref, full);
	cx_ref_short(&ref, NULL, brief);
	ck_assert_str_eq(full, good[_i].full);
	ck_assert_str_eq(brief, good[_i].brief);
	ck_assert_int_eq(cx_ref_parse(brief, NULL, &ref, &err), 0);
	cx_ref_full(&ref, full);
	ck_assert_str_eq(full, good[_i].full);
}
END_TEST

START_TEST(parts)
{
	ck_assert_int_eq(cx_ref_parse("h:5/a/b:c" DIGEST, NULL, &ref, &err), 0);
	ck_assert_str_eq(ref.host, "h:5");
	ck_assert_str_eq(ref.repository, "a/b");
	ck_assert_str_eq(ref.tag, "c");
	ck_assert(ref.has_digest);
	ck_assert_uint_eq(ref.digest[1], 0x23);
	ck_assert_int_eq(cx_ref_parse("a" DIGEST, NULL, &ref, &err), 0);
	ck_assert_str_eq(ref.tag, "");
	ck_assert_int_eq(cx_ref_parse("a", NULL, &ref, &err), 0);
	ck_assert_str_eq(ref.tag, "latest");
	ck_assert(!ref.has_digest);
}
END_TEST

static const struct {
	const char *given, *says;
} bad[] = {
	{ "", "it is empty" },
	{ "Python", "write 'python'" },
	{ "User/App:1", "write 'user/app'" },
	{ "https://example.com/a", "write it without scheme: 'example.com/a'" },
	{ "docker://a", "without scheme: 'a'" },
	{ HEX, "image's id" },
	{ "/a", "words of" },
	{ "a/", "words of" },
	{ "a//b", "words of" },
	{ "a/../b", "words of" },
	{ "../../etc/passwd", "HOST or HOST:PORT" },
	{ "a b", "words of" },
	{ "a\nb", "words of" },
	{ "a+b", "words of" },
	{ "-a", "words of" },
	{ "a-", "words of" },
	{ "a..b", "words of" },
	{ "a___b", "words of" },
	{ "a._b", "words of" },
	{ "\xc3\xa4", "words of" },
	{ "localhost/", "words of" },
	{ "a@b:c/d", "digest" },
	{ "a:", "tag" },
	{ "a:b:c", "tag" },
	{ "a:.b", "tag" },
	{ "a:-b", "tag" },
	{ "a:b+c", "tag" },
	{ "a:@sha256:" HEX, "tag" },
	{ "a@", "digest" },
	{ "a@b", "digest" },
	{ "a@sha256:00", "digest" },
	{ "a@sha256:" HEX "0", "digest" },
	{ "a@sha512:" HEX HEX, "digest" },
	{ "a@SHA256:" HEX, "digest" },
	{ "a@sha256:0123456789ABCDEF0123456789abcdef0123456789abcdef0123456789abcdef", "digest" },
	{ "a" DIGEST DIGEST, "digest" },
	{ "h:5/a:b/c", "words of" },
	{ "h:/a", "HOST or HOST:PORT" },
	{ "h:0/a", "HOST or HOST:PORT" },
	{ "h:65536/a", "HOST or HOST:PORT" },
	{ "h:5:6/a", "HOST or HOST:PORT" },
	{ "h:5x/a", "HOST or HOST:PORT" },
	{ ".h/a", "HOST or HOST:PORT" },
	{ "h./a", "HOST or HOST:PORT" },
	{ "-h.i/a", "HOST or HOST:PORT" },
	{ "h-.i/a", "HOST or HOST:PORT" },
	{ "h..i/a", "HOST or HOST:PORT" },
	{ "h_i.j/a", "HOST or HOST:PORT" },
	{ "user:pass@h.i/a", "digest" },
	{ "[::1/a", "HOST or HOST:PORT" },
	{ "[::g]/a", "HOST or HOST:PORT" },
	{ "[::1]x:5/a", "HOST or HOST:PORT" },
	{ "a]:5/a", "HOST or HOST:PORT" },
};

START_TEST(bad_names)
{
	memset(&ref, 0x55, sizeof ref);
	ck_assert_msg(cx_ref_parse(bad[_i].given, NULL, &ref, &err) < 0, "'%s'", bad[_i].given);
	ck_assert_msg(strstr(err.msg, bad[_i].says) != NULL, "%s", err.msg);
	ck_assert_int_eq(err.kind, CX_INVALID);
	ck_assert_int_eq(ref.host[0], 0x55);
}
END_TEST

static void repeat(char *to, char c, size_t n)
{
	memset(to, c, n);
	to[n] = '\0';
}

START_TEST(lengths)
{
	char text[600], full[CX_REF_MAX + 1];

	repeat(text, 'a', CX_REF_NAME_MAX - strlen("docker.io/library/"));
	strcat(text, ":");
	repeat(text + strlen(text), 'T', CX_REF_TAG_MAX);
	strcat(text, DIGEST);
	ck_assert_msg(cx_ref_parse(text, NULL, &ref, &err) == 0, "%s", err.msg);
	cx_ref_full(&ref, full);
	ck_assert_uint_eq(strlen(full), CX_REF_MAX);

	strchr(text, '@')[0] = 'T';
	ck_assert_int_lt(cx_ref_parse(text, NULL, &ref, &err), 0);
	ck_assert_ptr_nonnull(strstr(err.msg, "tag"));

	repeat(text, 'a', CX_REF_NAME_MAX - strlen("docker.io/library/") + 1);
	ck_assert_int_lt(cx_ref_parse(text, NULL, &ref, &err), 0);
	ck_assert_ptr_nonnull(strstr(err.msg, "longer than 255"));
	repeat(text, 'a', 500);
	ck_assert_int_lt(cx_ref_parse(text, NULL, &ref, &err), 0);
	ck_assert_ptr_nonnull(strstr(err.msg, "longer than 255"));
}
END_TEST

static const struct {
	const char *given, *full, *brief;
} elsewhere[] = {
	{ "python", "localhost:5000/python:latest", "python:latest" },
	{ "library/python", "localhost:5000/library/python:latest", "library/python:latest" },
	{ "localhost:5000/python", "localhost:5000/python:latest", "python:latest" },
	{ "docker.io/python", "docker.io/library/python:latest", "docker.io/python:latest" },
	{ "docker.io/a/b", "docker.io/a/b:latest", "docker.io/a/b:latest" },
};

START_TEST(another_default)
{
	char full[CX_REF_MAX + 1], brief[CX_REF_MAX + 1];

	ck_assert_int_eq(cx_ref_parse(elsewhere[_i].given, "localhost:5000", &ref, &err), 0);
	cx_ref_full(&ref, full);
	cx_ref_short(&ref, "localhost:5000", brief);
	ck_assert_str_eq(full, elsewhere[_i].full);
	ck_assert_str_eq(brief, elsewhere[_i].brief);
}
END_TEST

static const struct {
	const char *given, *host; /* host NULL: refused */
} hosts[] = {
	{ "docker.io", "docker.io" },
	{ "index.docker.io", "docker.io" },
	{ "Example.COM:443", "example.com:443" },
	{ "localhost", "localhost" },
	{ "registry:5000", "registry:5000" },
	{ "[::1]:5000", "[::1]:5000" },
	{ "registry", NULL },
	{ "", NULL },
	{ "https://docker.io", NULL },
	{ "docker.io/v1", NULL },
	{ "a b:5000", NULL },
	{ "host:", NULL },
	{ "host:5@x", NULL },
};

START_TEST(registries)
{
	char host[CX_REF_NAME_MAX + 1], text[400];
	int r = cx_ref_host(hosts[_i].given, host, &err);

	ck_assert_int_eq(r == 0, hosts[_i].host != NULL);
	if (r == 0)
		ck_assert_str_eq(host, hosts[_i].host);
	repeat(text, 'a', 300);
	strcat(text, ".b");
	ck_assert_int_lt(cx_ref_host(text, host, &err), 0);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("ref");
	TCase *tcase = tcase_create("ref");

	tcase_add_loop_test(tcase, good_names, 0, CX_LEN(good));
	tcase_add_test(tcase, parts);
	tcase_add_loop_test(tcase, bad_names, 0, CX_LEN(bad));
	tcase_add_test(tcase, lengths);
	tcase_add_loop_test(tcase, another_default, 0, CX_LEN(elsewhere));
	tcase_add_loop_test(tcase, registries, 0, CX_LEN(hosts));
	suite_add_tcase(suite, tcase);
	return run_suite(suite);
}
