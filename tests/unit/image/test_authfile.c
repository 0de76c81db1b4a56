/* SPDX-License-Identifier: Apache-2.0 */
#include "image/authfile.h"

#include <string.h>

#include "check_main.h"

static struct cx_login login;
static struct cx_err err;

static struct cx_buf buf_of(const char *text)
{
	return (struct cx_buf){ .p = (char *)(uintptr_t)text, .len = strlen(text) };
}

static int find(const char *text, const char *host, const char *repository)
{
	struct cx_buf file = buf_of(text);

	memset(&login, 0x55, sizeof login);
	err = (struct cx_err){ 0 };
	return cx_authfile_find(&file, host, repository, &login, &err);
}

/* base 64 of u1:p1 ... u5:p5, and of "u:" */
#define A1   "{\"auth\":\"dTE6cDE=\"}"
#define A2   "{\"auth\":\"dTI6cDI=\"}"
#define A3   "{\"auth\":\"dTM6cDM=\"}"
#define A4   "{\"auth\":\"dTQ6cDQ=\"}"
#define A5   "{\"auth\":\"dTU6cDU=\"}"
#define HALF "{\"auth\":\"dTo=\"}"
#define PATHS                                                                                      \
	"{\"auths\":{\"h.x/a/b\":" A1 ",\"h.x\":" A2 ",\"h.x/a\":" A3 ",\"https://h.x/c\":" A4 "}" \
	"}"

static const struct {
	const char *file, *host, *repository, *user, *secret; /* user NULL: none */
	enum cx_login_kind kind;
} found[] = {
	{ "", "h.x", "a", NULL, NULL, 0 },
	{ "{}", "h.x", "a", NULL, NULL, 0 },
	{ "{\"auths\":{}}", "h.x", "a", NULL, NULL, 0 },
	{ "{\"auths\":{\"h.x\":" A1 "}}", "h.x", "a", "u1", "p1", CX_LOGIN_PASSWORD },
	{ "{\"auths\":{\"h.x\":" A1 "}}", "h.x:5000", "a", NULL, NULL, 0 },
	{ "{\"auths\":{\"H.X:443\":" A1 "}}", "h.x:443", "a", "u1", "p1", CX_LOGIN_PASSWORD },
	{ "{\"auths\":{\"https://index.docker.io/v1/\":" A1 "}}", "docker.io", "library/a", "u1",
	  "p1", CX_LOGIN_PASSWORD },
	{ "{\"auths\":{\"index.docker.io/v1/\":" A1 "}}", "docker.io", "library/a", "u1", "p1",
	  CX_LOGIN_PASSWORD },
	{ "{\"auths\":{\"registry-1.docker.io\":" A1 "}}", "docker.io", "a/b", "u1", "p1",
	  CX_LOGIN_PASSWORD },
	{ "{\"auths\":{\"https://h.x/v2/\":" A1 ",\"h.x\":" A2 "}}", "h.x", "a", "u2", "p2",
	  CX_LOGIN_PASSWORD },
	{ PATHS, "h.x", "a/b", "u1", "p1", CX_LOGIN_PASSWORD },
	{ PATHS, "h.x", "a/b/c", "u1", "p1", CX_LOGIN_PASSWORD },
	{ PATHS, "h.x", "a/bc", "u3", "p3", CX_LOGIN_PASSWORD },
	{ PATHS, "h.x", "a", "u3", "p3", CX_LOGIN_PASSWORD },
	{ PATHS, "h.x", "ab", "u2", "p2", CX_LOGIN_PASSWORD },
	{ PATHS, "h.x", "c", "u2", "p2", CX_LOGIN_PASSWORD },
	{ PATHS, "h.x", "", "u2", "p2", CX_LOGIN_PASSWORD },
	{ "{\"auths\":{\"h.x/a\":" A1 "}}", "h.x", "b", NULL, NULL, 0 },
	{ "{\"auths\":{\"h.x\":{\"username\":\"u\",\"password\":\"p:q\"}}}", "h.x", "a", "u", "p:q",
	  CX_LOGIN_PASSWORD },
	{ "{\"auths\":{\"h.x\":{\"auth\":\"dTE6cDE=\",\"identitytoken\":\"t\"}}}", "h.x", "a",
	  "<token>", "t", CX_LOGIN_IDENTITY },
	{ "{\"auths\":{\"h.x\":{\"registrytoken\":\"t\"}}}", "h.x", "a", "<token>", "t",
	  CX_LOGIN_REGISTRY },
	/* Entries of others are none of our business. */
	{ "{\"auths\":{\"h.y\":7,\"\":[],\"a b\":1,\"h.x\":" A1 "}}", "h.x", "a", "u1", "p1",
	  CX_LOGIN_PASSWORD },
	/* A program is asked only where the file has nothing. */
	{ "{\"auths\":{\"h.x\":" A1 "},\"credsStore\":\"desktop\"}", "h.x", "a", "u1", "p1",
	  CX_LOGIN_PASSWORD },
	{ "{\"auths\":{\"h.y\":{}},\"credsStore\":\"desktop\"}", "h.x", "a", NULL, NULL, 0 },
	{ "{\"credHelpers\":{\"h.y\":\"pass\"}}", "h.x", "a", NULL, NULL, 0 },
	{ "{\"auths\":{\"h.x\":{}}}", "h.x", "a", NULL, NULL, 0 },
};

START_TEST(credentials_are_found)
{
	int r = find(found[_i].file, found[_i].host, found[_i].repository);

	ck_assert_msg(r == (found[_i].user != NULL), "%d %s", r, err.msg);
	if (r == 0) {
		ck_assert_int_eq(login.username[0], 0x55);
		return;
	}
	ck_assert_str_eq(login.username, found[_i].user);
	ck_assert_str_eq(login.secret, found[_i].secret);
	ck_assert_int_eq(login.kind, found[_i].kind);
}
END_TEST

static const struct {
	const char *file, *says;
	enum cx_kind kind;
} bad[] = {
	{ "x", "line 1: it is not JSON", CX_INVALID },
	{ "[]", "it is not an object", CX_INVALID },
	{ "{\"auths\":[]}", "\"auths\" is not an object", CX_INVALID },
	{ "{\"auths\":{},\"auths\":{}}", "it is not JSON", CX_INVALID },
	{ "{\"auths\":{\"h.x\":1}}", "\"h.x\": it is not an object", CX_INVALID },
	{ "{\"auths\":{\"h.x\":{\"auth\":1}}}", "\"auth\" is not a string", CX_INVALID },
	{ "{\"auths\":{\"h.x\":{\"auth\":\"Zg==\"}}}", "base 64 of USER:PASSWORD", CX_INVALID },
	{ "{\"auths\":{\"h.x\":{\"auth\":\"s3cret\"}}}", "base 64 of USER:PASSWORD", CX_INVALID },
	{ "{\"auths\":{\"h.x\":" HALF "}}", "not only one", CX_INVALID },
	{ "{\"auths\":{\"h.x\":{\"username\":\"s3cret\"}}}", "not only one", CX_INVALID },
	{ "{\"auths\":{\"h.x\":{\"username\":\"a:b\",\"password\":\"s3cret\"}}}", "must not hold",
	  CX_INVALID },
	{ "{\"auths\":{\"h.x\":{}},\"credsStore\":\"desktop\"}",
	  "docker-credential-desktop, which is not run from here; use 'caisson image login h.x'",
	  CX_DENIED },
	{ "{\"credHelpers\":{\"https://h.x\":\"pass\"}}", "docker-credential-pass", CX_DENIED },
};

START_TEST(what_is_wrong_is_told_without_secrets)
{
	ck_assert_int_lt(find(bad[_i].file, "h.x", "a"), 0);
	ck_assert_msg(strstr(err.msg, bad[_i].says) != NULL, "%s", err.msg);
	ck_assert_int_eq(err.kind, bad[_i].kind);
	ck_assert_ptr_null(strstr(err.msg, "s3cret"));
	ck_assert_int_eq(login.username[0], 0x55);
}
END_TEST

static int list_one(const char *host, const char *username, void *arg, struct cx_err *failed)
{
	(void)failed;
	(void)strcat(strcat(strcat(strcat(arg, host), "="), username), ";");
	return 0;
}

static int change(struct cx_buf *file, const char *host, const char *user, const char *password)
{
	struct cx_buf out = { .max = CX_AUTHFILE_MAX };
	int r;

	if (user != NULL)
		ck_assert_int_eq(cx_login_set(&login, user, password, &err), 0);
	r = cx_authfile_change(file, host, user != NULL ? &login : NULL, &out, &err);
	cx_buf_wipe(file);
	*file = out;
	return r;
}

START_TEST(a_file_is_changed)
{
	struct cx_buf file = { .max = CX_AUTHFILE_MAX };
	char list[256] = "";

	ck_assert_int_eq(change(&file, "docker.io", "alice", "pass word:\xc3\xa4"), 0);
	ck_assert_int_eq(change(&file, "h.x:5000", "<token>", "t0ken"), 0);
	ck_assert_int_eq(change(&file, "gone.x", NULL, NULL), 0);
	ck_assert_int_eq(change(&file, "docker.io", "bob", "pw"), 1);
	ck_assert_int_eq(cx_authfile_each(&file, list_one, list, &err), 0);
	ck_assert_str_eq(list, "h.x:5000=<token>;docker.io=bob;");
	ck_assert_int_eq(cx_authfile_find(&file, "docker.io", "a", &login, &err), 1);
	ck_assert_str_eq(login.secret, "pw");
	ck_assert_int_eq(cx_authfile_find(&file, "h.x:5000", "a", &login, &err), 1);
	ck_assert_int_eq(login.kind, CX_LOGIN_IDENTITY);
	ck_assert_str_eq(login.secret, "t0ken");
	ck_assert_int_eq(change(&file, "docker.io", NULL, NULL), 1);
	ck_assert_int_eq(cx_authfile_find(&file, "docker.io", "a", &login, &err), 0);
	cx_buf_wipe(&file);
	ck_assert_ptr_null(file.p);
}
END_TEST

START_TEST(other_members_stay)
{
	struct cx_buf file = { .max = CX_AUTHFILE_MAX };
	static const char text[] = "{\"HttpHeaders\":{\"a\":\"b\"},\"auths\":{\"h.x/a\":" A1
				   ",\"https://index.docker.io/v1/\":" A2 "}}";

	ck_assert_int_eq(cx_buf_add(&file, text, strlen(text), &err), 0);
	ck_assert_int_eq(change(&file, "docker.io", NULL, NULL), 1);
	ck_assert_int_eq(cx_buf_add(&file, "", 1, &err), 0);
	ck_assert_ptr_nonnull(strstr(file.p, "HttpHeaders"));
	ck_assert_ptr_nonnull(strstr(file.p, "h.x/a"));
	ck_assert_ptr_null(strstr(file.p, "index.docker.io"));
	cx_buf_wipe(&file);
}
END_TEST

START_TEST(logins_have_bounds)
{
	static char text[CX_LOGIN_TOKEN_MAX + 2];

	memset(text, 'a', CX_LOGIN_TOKEN_MAX + 1);
	ck_assert_int_lt(cx_login_set(&login, "<token>", text, &err), 0);
	text[CX_LOGIN_TOKEN_MAX] = '\0';
	ck_assert_int_eq(cx_login_set(&login, "<token>", text, &err), 0);
	ck_assert_int_eq(login.kind, CX_LOGIN_IDENTITY);
	text[CX_LOGIN_PASSWORD_MAX + 1] = '\0';
	ck_assert_int_lt(cx_login_set(&login, "a", text, &err), 0);
	text[CX_LOGIN_PASSWORD_MAX] = '\0';
	ck_assert_int_eq(cx_login_set(&login, "a", text, &err), 0);
	text[CX_LOGIN_NAME_MAX + 1] = '\0';
	ck_assert_int_lt(cx_login_set(&login, text, "a", &err), 0);
	ck_assert_int_lt(cx_login_set(&login, "a\n", "a", &err), 0);
	ck_assert_int_lt(cx_login_set(&login, "", "a", &err), 0);
	ck_assert_int_lt(cx_login_set(&login, "a", "", &err), 0);
	cx_login_wipe(&login);
	ck_assert_int_eq(login.secret[0], '\0');
	ck_assert_int_eq(login.kind, CX_LOGIN_NONE);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("authfile");
	TCase *tcase = tcase_create("authfile");

	tcase_add_loop_test(tcase, credentials_are_found, 0, CX_LEN(found));
	tcase_add_loop_test(tcase, what_is_wrong_is_told_without_secrets, 0, CX_LEN(bad));
	tcase_add_test(tcase, a_file_is_changed);
	tcase_add_test(tcase, other_members_stay);
	tcase_add_test(tcase, logins_have_bounds);
	suite_add_tcase(suite, tcase);
	return run_suite(suite);
}
