/* SPDX-License-Identifier: Apache-2.0 */
#include "api/registries.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "base/fd.h"
#include "base/str.h"
#include "check_main.h"

/* A directory of our own with the configuration, what it names and the state. */
static char dir[64], conf[96];
static int dirfd;
static struct cx_registries *r;
static struct cx_endpoints *at;
static struct cx_err err;

static const char *const names[] = {
	"conf", "ca.pem", "pass", "auth", "auth.json", "auth.json.new"
};

static void write_file(const char *name, const char *text, mode_t mode)
{
	int fd = openat(dirfd, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(cx_write_all(fd, text, strlen(text), &err), 0);
	ck_assert_int_eq(fchmod(fd, mode), 0);
	close(fd);
}

static void setup(void)
{
	(void)strcpy(dir, "/tmp/caisson-registries-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(dir));
	(void)snprintf(conf, sizeof conf, "%s/conf", dir);
	dirfd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	ck_assert_int_ge(dirfd, 0);
	write_file("ca.pem", "-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----\n",
		   0644);
	write_file("pass", "s3cret\n", 0640);
	write_file("auth",
		   "{\"auths\":{\"h.x\":{\"auth\":\"dTE6cDE=\"},\"d.x\":{}},"
		   "\"credsStore\":\"desktop\"}",
		   0600);
	at = calloc(1, sizeof *at);
	ck_assert_ptr_nonnull(at);
	err = (struct cx_err){ 0 };
}

static void teardown(void)
{
	cx_registries_close(r);
	r = NULL;
	cx_endpoints_free(&at);
	for (size_t i = 0; i < CX_LEN(names); i++)
		(void)unlinkat(dirfd, names[i], 0);
	close(dirfd);
	ck_assert_int_eq(rmdir(dir), 0);
}

/* '%' in the text is our directory. */
static int open_with(const char *text)
{
	char full[8192];
	size_t len = 0;

	for (; *text != '\0' && len + sizeof dir < sizeof full; text++)
		if (*text == '%')
			len += (size_t)snprintf(full + len, sizeof full - len, "%s", dir);
		else
			full[len++] = *text;
	full[len] = '\0';
	write_file("conf", full, 0644);
	cx_registries_close(r);
	r = NULL;
	return cx_registries_open(conf, true, dirfd, &r, &err);
}

static int find_with(const char *image, const struct cx_login *given)
{
	struct cx_ref ref;

	ck_assert_msg(cx_ref_parse(image, cx_registries_default(r), &ref, &err) == 0, "%s",
		      err.msg);
	return cx_registries_find(r, &ref, given, at, &err);
}

static const char *user_of(const char *image)
{
	ck_assert_msg(find_with(image, NULL) == 0, "%s", err.msg);
	return at->list[at->n - 1].login.username;
}

START_TEST(no_file_is_fine)
{
	ck_assert_int_lt(cx_registries_open(conf, true, dirfd, &r, &err), 0);
	ck_assert_int_eq(cx_registries_open(conf, false, dirfd, &r, &err), 0);
	ck_assert(cx_registries_enabled(r));
	ck_assert_str_eq(cx_registries_default(r), "docker.io");
	ck_assert_int_eq(find_with("python", NULL), 0);
	ck_assert_uint_eq(at->n, 1);
	ck_assert_str_eq(at->list[0].host, "registry-1.docker.io");
	ck_assert(!at->list[0].plain_http && !at->list[0].mirror);
	ck_assert_uint_eq(at->list[0].ca->len, 0);
	ck_assert_int_eq(at->list[0].login.kind, CX_LOGIN_NONE);
	/* Nor is a loopback address special. */
	ck_assert_int_eq(find_with("localhost:5000/a", NULL), 0);
	ck_assert(!at->list[0].plain_http);
}
END_TEST

START_TEST(everything_is_read)
{
	const char *text = "# ours\n"
			   "[registries] ; general\n"
			   "default = Localhost:5000\n"
			   "enabled = yes ; of course\n"
			   "authfile = %/auth\n"
			   "\n"
			   "  [registry \"localhost:5000\"]\n"
			   "\tplain_http = yes\n"
			   "  mirror = m1.x:7\n"
			   "  mirror = m2.x/cache/it\n"
			   "[registry \"m1.x:7\"]\n"
			   "ca = %/ca.pem\n"
			   "username = bob\n"
			   "password_file = %/pass\n"
			   "[registry \"123456789012.dkr.ecr.us-east-1.amazonaws.com:443\"]\n"
			   "plain_http = no\n"
			   "[registry \"[::1]:5000\"]\n"
			   "plain_http = yes\n";

	ck_assert_msg(open_with(text) == 0, "%s", err.msg);
	ck_assert_str_eq(cx_registries_default(r), "localhost:5000");
	ck_assert_int_eq(find_with("python", NULL), 0);
	ck_assert_uint_eq(at->n, 3);
	ck_assert_str_eq(at->list[0].host, "m1.x:7");
	ck_assert_str_eq(at->list[0].prefix, "");
	ck_assert(at->list[0].mirror && !at->list[0].plain_http);
	ck_assert_uint_gt(at->list[0].ca->len, 0);
	ck_assert_str_eq(at->list[0].login.username, "bob");
	ck_assert_str_eq(at->list[0].login.secret, "s3cret");
	ck_assert_str_eq(at->list[1].host, "m2.x");
	ck_assert_str_eq(at->list[1].prefix, "cache/it");
	ck_assert_int_eq(at->list[1].login.kind, CX_LOGIN_NONE);
	ck_assert_str_eq(at->list[2].host, "localhost:5000");
	ck_assert(!at->list[2].mirror && at->list[2].plain_http);
	ck_assert_int_eq(find_with("[::1]:5000/a", NULL), 0);
	ck_assert(at->list[0].plain_http);
}
END_TEST

START_TEST(credentials_have_an_order)
{
	struct cx_login login = { 0 }, given = { 0 };

	ck_assert_int_eq(open_with("[registries]\nauthfile = %/auth\n"
				   "[registry \"s.x\"]\nusername = bob\npassword_file = %/pass\n"),
			 0);
	ck_assert_str_eq(user_of("h.x/a"), "u1");
	ck_assert_str_eq(user_of("s.x/a"), "bob");
	ck_assert_str_eq(user_of("other.x/a"), "");
	ck_assert_int_eq(cx_login_set(&login, "carol", "pw", &err), 0);
	ck_assert_int_eq(cx_registries_login(r, "h.x", &login, &err), 0);
	ck_assert_int_eq(cx_registries_login(r, "s.x", &login, &err), 0);
	ck_assert_str_eq(user_of("h.x/a"), "carol");
	ck_assert_str_eq(user_of("s.x/a"), "carol");
	ck_assert_int_eq(cx_login_set(&given, "dave", "pw", &err), 0);
	ck_assert_int_eq(find_with("h.x/a", &given), 0);
	ck_assert_str_eq(at->list[0].login.username, "dave");
	given.kind = CX_LOGIN_NONE;
	ck_assert_int_eq(find_with("h.x/a", &given), 0);
	ck_assert_str_eq(at->list[0].login.username, "carol");

	/* What only a program knows is refused unless it is known from elsewhere. */
	ck_assert_int_lt(find_with("d.x/a", NULL), 0);
	ck_assert_int_eq(err.kind, CX_DENIED);
	ck_assert_ptr_nonnull(strstr(err.msg, "image login d.x"));
	ck_assert_int_eq(cx_registries_login(r, "d.x", &login, &err), 0);
	ck_assert_str_eq(user_of("d.x/a"), "carol");
}
END_TEST

START_TEST(a_mirror_gets_no_credentials_of_others)
{
	struct cx_login given = { 0 };

	ck_assert_int_eq(open_with("[registry \"h.x\"]\nmirror = m.x\nusername = bob\n"
				   "password_file = %/pass\n"),
			 0);
	ck_assert_int_eq(cx_login_set(&given, "dave", "pw", &err), 0);
	ck_assert_int_eq(find_with("h.x/a", &given), 0);
	ck_assert_uint_eq(at->n, 2);
	ck_assert_int_eq(at->list[0].login.kind, CX_LOGIN_NONE);
	ck_assert_str_eq(at->list[1].login.username, "dave");
}
END_TEST

START_TEST(endpoints_are_messages)
{
	struct cx_msg_fetch_endpoint messages[CX_FETCH_ENDPOINTS_MAX];
	struct cx_login token = { 0 };
	CX_UNINITIALIZED uint8_t bytes[CX_PACKET_MAX];
	struct cx_writer w = { .p = bytes, .left = sizeof bytes };

	ck_assert_int_eq(open_with("[registry \"h.x\"]\nmirror = m.x/p\n[registry \"m.x\"]\n"
				   "plain_http = yes\nca = %/ca.pem\nusername = bob\n"
				   "password_file = %/pass\n"),
			 0);
	ck_assert_int_eq(cx_login_set(&token, "<token>", "t0ken", &err), 0);
	ck_assert_int_eq(find_with("h.x/a", &token), 0);
	cx_endpoints_messages(at, messages);
	ck_assert(cx_str_equal(messages[0].host, "m.x"));
	ck_assert(cx_str_equal(messages[0].prefix, "p"));
	ck_assert_uint_eq(messages[0].flags, CX_FETCH_PLAIN_HTTP | CX_FETCH_MIRROR);
	ck_assert_uint_gt(messages[0].ca.len, 0);
	ck_assert(cx_str_equal(messages[0].user, "bob"));
	ck_assert(cx_str_equal(messages[0].password, "s3cret"));
	ck_assert(cx_str_equal(messages[0].identity_token, ""));
	ck_assert(cx_str_equal(messages[1].host, "h.x"));
	ck_assert_uint_eq(messages[1].flags, 0);
	ck_assert(cx_str_equal(messages[1].user, ""));
	ck_assert(cx_str_equal(messages[1].password, ""));
	ck_assert(cx_str_equal(messages[1].identity_token, "t0ken"));
	for (unsigned i = 0; i < at->n; i++)
		ck_assert(cx_msg_fetch_endpoint_put(&w, &messages[i]));
}
END_TEST

static int list_one(const char *host, const char *username, void *arg, struct cx_err *failed)
{
	(void)failed;
	(void)strcat(strcat(strcat(strcat(arg, host), "="), username), ";");
	return 0;
}

START_TEST(logins_last)
{
	struct cx_login login = { 0 };
	char list[256] = "";
	struct stat st;

	ck_assert_int_eq(open_with(""), 0);
	ck_assert_int_eq(cx_login_set(&login, "alice", "s3cret", &err), 0);
	ck_assert_int_eq(cx_registries_login(r, "docker.io", &login, &err), 0);
	ck_assert_int_eq(cx_registries_login(r, "h.x:5", &login, &err), 0);
	ck_assert_int_eq(fstatat(dirfd, "auth.json", &st, 0), 0);
	ck_assert_uint_eq(st.st_mode & 0777, 0600);

	ck_assert_int_eq(open_with(""), 0); /* again */
	ck_assert_int_eq(cx_registries_each(r, list_one, list, &err), 0);
	ck_assert_str_eq(list, "docker.io=alice;h.x:5=alice;");
	ck_assert_int_eq(find_with("python", NULL), 0);
	ck_assert_str_eq(at->list[0].login.secret, "s3cret");
	ck_assert_int_eq(cx_registries_logout(r, "docker.io", &err), 0);
	ck_assert_int_lt(cx_registries_logout(r, "docker.io", &err), 0);
	ck_assert_int_eq(err.kind, CX_NOT_FOUND);

	ck_assert_int_eq(open_with(""), 0);
	ck_assert_str_eq(user_of("python"), "");
	ck_assert_str_eq(user_of("h.x:5/a"), "alice");
}
END_TEST

START_TEST(registries_can_be_switched_off)
{
	ck_assert_int_eq(open_with("[registries]\nenabled = no\n"), 0);
	ck_assert(!cx_registries_enabled(r));
	ck_assert_int_lt(find_with("python", NULL), 0);
	ck_assert_int_eq(err.kind, CX_DENIED);
	ck_assert_ptr_nonnull(strstr(err.msg, "enabled = no"));
	ck_assert_uint_eq(at->n, 0);
}
END_TEST

#define LONG                                                                                       \
	"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa" \
	"aaaaaaaa"

static const struct {
	const char *text, *says;
} bad[] = {
	{ "default = a.x\n", "line 1: 'default' stands before any section" },
	{ "[registries]\n\ncolour = red\n",
	  "line 3: 'colour' is no setting; there are default, enabled, authfile" },
	{ "[registry \"h.x\"]\nenabled = no\n",
	  "there are plain_http, ca, mirror, username, password_file" },
	{ "[registries]\nenabled = maybe\n", "line 2: enabled: 'maybe' is not one of yes, no" },
	{ "[registries]\ndefault = https://a.x\n", "line 2: default: 'https://a.x': write" },
	{ "[registries]\ndefault = plain\n", "write it with its port" },
	{ "[registries]\nauthfile = auth\n", "'auth' is not an absolute path" },
	{ "[registries]\nauthfile = %/none\n", "line 2: authfile: open '%/none'" },
	{ "[registries]\nauthfile = %/pass\n", "it is not JSON" },
	{ "[registries]\nauthfile = %\n", "is not a file" },
	{ "[registries]\nauthfile = %/ca.pem\n", "open to everybody; run 'chmod o= %/ca.pem'" },
	{ "[registry \"h.x\"]\nca = %/pass\n", "holds no certificate" },
	{ "[registry \"h.x\"]\nplain_http = 1\n", "'1' is not one of yes, no" },
	{ "[registry \"h.x\"]\nmirror = h.x\n", "no mirror of itself" },
	{ "[registry \"h.x\"]\nmirror = m.x/A\n", "'m.x/A' is not HOST[:PORT][/PATH]" },
	{ "[registry \"h.x\"]\nmirror = m.x/a:b\n", "is not HOST[:PORT][/PATH]" },
	{ "[registry \"h.x\"]\nusername = a\n", "'username' and 'password_file' belong together" },
	{ "[registry \"h.x\"]\npassword_file = %/pass\n", "belong together" },
	{ "[registry \"h.x\"]\nusername = a:b\npassword_file = %/pass\n", "must not hold ':'" },
	{ "[registry \"plain\"]\n", "line 1: 'plain' could be" },
	{ "[registry h.x]\n", "line 1: a section is [registries] or [registry \"HOST[:PORT]\"]" },
	{ "[registry \"h.x\"\n", "a section is" },
	{ "[registry \"h.x\"] x\n", "a section is" },
	{ "[registry]\n", "a section is" },
	{ "[other]\n", "a section is" },
	{ "[registries]\nenabled\n", "line 2: it is not 'key = value'" },
	{ "[registries]\n# " LONG LONG LONG "\n", "line 2: it is longer than" },
	{ "[registry \"h.x\"]\nmirror=a.x\nmirror=b.x\nmirror=c.x\nmirror=d.x\nmirror=e.x\n"
	  "mirror=f.x\nmirror=g.x\nmirror=h.y\n",
	  "line 9: mirror: at most 7 mirrors" },
};

START_TEST(what_is_wrong_is_told)
{
	char want[256], *out = want;

	ck_assert_msg(open_with(bad[_i].text) < 0, "%s", bad[_i].text);
	for (const char *p = bad[_i].says; *p != '\0'; p++)
		out += *p == '%' ? sprintf(out, "%s", dir) : sprintf(out, "%c", *p);
	ck_assert_msg(strstr(err.msg, want) != NULL, "%s", err.msg);
	ck_assert_ptr_nonnull(strstr(err.msg, conf));
	ck_assert_ptr_null(strstr(err.msg, "s3cret"));
	ck_assert_ptr_null(r);
}
END_TEST

START_TEST(files_have_bounds)
{
	static char text[CX_FETCH_CA_MAX + 2];

	memset(text, '-', CX_FETCH_CA_MAX + 1);
	write_file("ca.pem", text, 0644);
	ck_assert_int_lt(open_with("[registry \"h.x\"]\nca = %/ca.pem\n"), 0);
	ck_assert_ptr_nonnull(strstr(err.msg, "larger than"));
	ck_assert_int_eq(mkfifoat(dirfd, "auth.json.new", 0600), 0);
	ck_assert_int_lt(open_with("[registry \"h.x\"]\nca = %/auth.json.new\n"), 0);
	ck_assert_ptr_nonnull(strstr(err.msg, "is not a file"));
}
END_TEST

START_TEST(a_broken_store_is_told)
{
	write_file("auth.json", "{", 0600);
	ck_assert_int_lt(open_with(""), 0);
	ck_assert_ptr_nonnull(strstr(err.msg, "'auth.json' of the state directory"));
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("registries");
	TCase *tcase = tcase_create("registries");

	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_add_test(tcase, no_file_is_fine);
	tcase_add_test(tcase, everything_is_read);
	tcase_add_test(tcase, credentials_have_an_order);
	tcase_add_test(tcase, a_mirror_gets_no_credentials_of_others);
	tcase_add_test(tcase, endpoints_are_messages);
	tcase_add_test(tcase, logins_last);
	tcase_add_test(tcase, registries_can_be_switched_off);
	tcase_add_loop_test(tcase, what_is_wrong_is_told, 0, CX_LEN(bad));
	tcase_add_test(tcase, files_have_bounds);
	tcase_add_test(tcase, a_broken_store_is_told);
	suite_add_tcase(suite, tcase);
	return run_suite(suite);
}
