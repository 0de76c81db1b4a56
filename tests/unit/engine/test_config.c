/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/config.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "base/fd.h"
#include "base/str.h"
#include "check_main.h"

#include "runtime/quota.h"

static struct cx_config config;
static enum cx_config_verb verb;
static struct cx_err err;

/* Parses up to four words, with a configuration file of this text ("": none). */
static int parse(const char *file_text, const char *a, const char *b, const char *c, const char *d)
{
	char path[] = "/tmp/caisson-config-XXXXXX", words[7][256] = { "caissond", "--config" };
	const char *given[] = { a, b, c, d };
	char *argv[8] = { words[0], words[1], path };
	int argc = 3, r, fd = mkstemp(path);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(cx_write_all(fd, file_text, strlen(file_text), &err), 0);
	cx_close(&fd);
	for (size_t i = 0; i < CX_LEN(given) && given[i] != NULL; i++, argc++)
		argv[argc] = strcpy(words[argc], given[i]);
	err = (struct cx_err){ 0 };
	r = cx_config_parse(argc, argv, &config, &verb, &err);
	(void)unlink(path);
	return r;
}

START_TEST(defaults_stand)
{
	ck_assert_int_eq(parse("", NULL, NULL, NULL, NULL), 0);
	ck_assert_int_eq(verb, CX_CONFIG_SERVE);
	ck_assert_str_eq(config.state, CX_STATEDIR);
	ck_assert_str_eq(config.run, CX_RUNDIR);
	ck_assert_str_eq(config.user, "caisson");
	ck_assert_uint_eq(config.pool, CX_POOL_AUTO);
	ck_assert_uint_eq(config.nlisten, 0);
	ck_assert_uint_eq(config.ids.base + (uint64_t)config.ids.count * 65536 - 1, 1879048191);
}
END_TEST

START_TEST(options_beat_the_file)
{
	const char *file = "[pool]\nblanks = 9\n[daemon]\non_stop = end\n[api]\nlisten = 80\n";

	ck_assert_int_eq(parse(file, NULL, NULL, NULL, NULL), 0);
	ck_assert_uint_eq(config.pool, 9);
	ck_assert_uint_eq(config.on_stop, CX_STOP_END);
	ck_assert_uint_eq(config.nlisten, 1);
	ck_assert_int_eq(parse(file, "--pool=2", "--listen=[::1]:81", "--listen=0.0.0.0:82",
			       "--insecure=yes"),
			 0);
	ck_assert_uint_eq(config.pool, 2);
	ck_assert_uint_eq(config.nlisten, 2);
	ck_assert_int_eq(ntohs(config.listen[0].sin6_port), 81);
	ck_assert_int_eq(parse(file, "--pool=auto", NULL, NULL, NULL), 0);
	ck_assert_uint_eq(config.pool, CX_POOL_AUTO);
}
END_TEST

START_TEST(a_bare_port_is_loopback)
{
	char text[INET6_ADDRSTRLEN];

	ck_assert_int_eq(parse("", "--listen", "8080", NULL, NULL), 0);
	ck_assert_ptr_nonnull(inet_ntop(AF_INET6, &config.listen[0].sin6_addr, text, sizeof text));
	ck_assert_str_eq(text, "::ffff:127.0.0.1");
}
END_TEST

START_TEST(other_hosts_come_with_tls)
{
	ck_assert_int_eq(parse("", "--listen=0.0.0.0:80", "--tls-cert=/c", "--tls-key=/k", NULL),
			 0);
	ck_assert_int_eq(parse("", "--listen=127.8.9.1:80", "--listen=[::1]:80", NULL, NULL), 0);
	ck_assert_int_eq(parse("[api]\ninsecure = yes\n", "--listen=[::]:80", NULL, NULL, NULL), 0);
}
END_TEST

START_TEST(doors_to_sandboxes_are_on_the_loopback)
{
	ck_assert_int_eq(parse("", NULL, NULL, NULL, NULL), 0);
	ck_assert(IN6_IS_ADDR_V4MAPPED(&config.expose_address.sin6_addr));
	ck_assert_int_eq(config.expose_address.sin6_addr.s6_addr[12], 127);
	ck_assert_uint_eq(config.expose_ports.low, 20000);
	ck_assert_uint_eq(config.expose_ports.high, 29999);
	ck_assert_int_eq(config.ssh_listen.sin6_addr.s6_addr[12], 127);
	ck_assert_int_eq(ntohs(config.ssh_listen.sin6_port), 2222);
	ck_assert_int_eq(parse("[expose]\naddress = ::1\nports = 3000-3001\n[ssh]\nlisten = 0\n",
			       NULL, NULL, NULL, NULL),
			 0);
	ck_assert(IN6_IS_ADDR_LOOPBACK(&config.expose_address.sin6_addr));
	ck_assert_uint_eq(config.expose_ports.high, 3001);
	ck_assert_int_eq(ntohs(config.ssh_listen.sin6_port), 0);
}
END_TEST

START_TEST(exposed_names)
{
	ck_assert_int_eq(parse("", NULL, NULL, NULL, NULL), 0);
	ck_assert_str_eq(config.expose_domain, "");
	ck_assert_int_eq(ntohs(config.expose_listen.sin6_port), 443);
	ck_assert_int_eq(parse("[expose]\ndomain = Apps.x-1.EXAMPLE\nlisten = [::]:8443\n"
			       "cert = /c\nkey = /k\n",
			       NULL, NULL, NULL, NULL),
			 0);
	ck_assert_str_eq(config.expose_domain, "apps.x-1.example");
	ck_assert_str_eq(config.expose_tls.key, "/k");
	ck_assert_int_eq(ntohs(config.expose_listen.sin6_port), 8443);
}
END_TEST

START_TEST(disks)
{
	ck_assert_int_eq(parse("", NULL, NULL, NULL, NULL), 0);
	ck_assert_uint_eq(config.disk_backend, CX_QUOTA_AUTO);
	ck_assert_uint_eq(config.disk_size, (uint64_t)5 << 30);
	ck_assert_int_eq(parse("[disk]\nbackend = btrfs\nsize = 100\npool = 3\nreserve = 2\n"
			       "inodes = 1024\n",
			       NULL, NULL, NULL, NULL),
			 0);
	ck_assert_uint_eq(config.disk_backend, CX_QUOTA_BTRFS);
	ck_assert_uint_eq(config.disk_size, 100 << 20);
	ck_assert_uint_eq(config.disk_pool, 3 << 20);
	ck_assert_uint_eq(config.disk_reserve, 2 << 20);
	ck_assert_uint_eq(config.disk_inodes, 1024);
	ck_assert_int_lt(parse("[disk]\nbackend = floppy\n", NULL, NULL, NULL, NULL), 0);
}
END_TEST

START_TEST(name_servers)
{
	ck_assert_int_eq(parse("", NULL, NULL, NULL, NULL), 0);
	ck_assert_uint_eq(config.nupstream, 0);
	ck_assert_int_eq(
		parse("[dns]\nupstream = 9.9.9.9\nupstream = ::1\n", NULL, NULL, NULL, NULL), 0);
	ck_assert_uint_eq(config.nupstream, 2);
	ck_assert_int_eq(ntohs(config.upstream[1].sin6_port), 53);
	ck_assert_int_eq(config.upstream[0].sin6_addr.s6_addr[12], 9);
}
END_TEST

static const struct {
	const char *option, *value, *says;
} bad[] = {
	{ "--pool", "-1", "--pool" },
	{ "--pool", "99999999999999999999999", "too large" },
	{ "--pool", "257", "0 to 256" },
	{ "--state", "relative", "not an absolute path" },
	{ "--on-stop", "maybe", "keep|end" },
	{ "--user", "a/b", "not a name" },
	{ "--log-level", "loud", "error|warning" },
	{ "--listen", "localhost:80", "numeric" },
	{ "--listen", "0", "allowed are 1" },
	{ "--listen", "[::1:80", "numeric" },
	{ "--ids", "524288", "BASE:COUNT" },
	{ "--ids", "524289:1", "multiple" },
	{ "--ids", "65536:1", "BASE" },
	{ "--ids", "1878982656:2", "COUNT" },
	{ "--ids", "524288:0", "COUNT" },
	{ "--nonsense", NULL, "--help" },
	{ "--max-sandboxes", "0", "allowed are 1" },
	{ "stray", NULL, "unexpected" },
	{ "--listen", "0.0.0.0:80", "--insecure" },
	{ "--listen", "[::]:80", "--tls-cert" },
	{ "--listen", "192.0.2.1:80", "in the clear" },
	{ "--tls-cert", "/a", "--tls-key" },
	{ "--tls-key", "/a", "go together" },
	{ "--insecure", "maybe", "no|yes" },
	{ "--expose-address", "localhost", "numeric" },
	{ "--expose-address", "127.0.0.1:80", "numeric" },
	{ "--expose-ports", "20000", "FIRST-LAST" },
	{ "--expose-ports", "80-90", "allowed are 1024" },
	{ "--expose-ports", "3000-2999", "3000" },
	{ "--expose-ports", "3000-65536", "65535" },
	{ "--expose-domain", "a.b", "go together" },
	{ "--expose-cert", "/a", "go together" },
	{ "--expose-domain", "*.a.b", "domain" },
	{ "--expose-domain", ".a", "domain" },
	{ "--expose-domain", "a.", "domain" },
	{ "--expose-domain", "a..b", "domain" },
	{ "--expose-domain", "a-.b", "domain" },
	{ "--expose-domain", "a.b-", "domain" },
	{ "--expose-domain", "a_b", "domain" },
	{ "--expose-listen", "https", "port" },
	{ "--ssh-listen", "nowhere:22", "numeric" },
	{ "--dns-upstream", "dns.example", "numeric" },
};

START_TEST(bad_options_are_named)
{
	ck_assert_int_lt(parse("", bad[_i].option, bad[_i].value, NULL, NULL), 0);
	ck_assert_int_eq(err.kind, CX_INVALID);
	ck_assert_msg(strstr(err.msg, bad[_i].says) != NULL, "%s", err.msg);
}
END_TEST

START_TEST(room_on_the_host)
{
	ck_assert_int_eq(parse("[host]\nmemory_reserve = 2\nmemory_overcommit = 1.5\n"
			       "cpu_reserve = 0.25\ncpu_overcommit = 40\npids_reserve = 7\n"
			       "pids_overcommit = 0.5\n[disk]\novercommit = 2.125\n",
			       NULL, NULL, NULL, NULL),
			 0);
	ck_assert_uint_eq(config.memory_reserve, 2 << 20);
	ck_assert_uint_eq(config.memory_overcommit, 1500);
	ck_assert_uint_eq(config.cpu_reserve, 250);
	ck_assert_uint_eq(config.cpu_overcommit, 40000);
	ck_assert_uint_eq(config.pids_reserve, 7);
	ck_assert_uint_eq(config.pids_overcommit, 500);
	ck_assert_uint_eq(config.disk_overcommit, 2125);
	ck_assert_int_eq(parse("[queue]\nlength = 0\nwait = 9\n", NULL, NULL, NULL, NULL), 0);
	ck_assert_uint_eq(config.queue_length, 0);
	ck_assert_uint_eq(config.queue_wait, 9);
	for (const char *const *wrong = (const char *const[]){ "1.", "1.2345", "-1", ".", "x",
							       "1.x", "1000001", NULL };
	     *wrong != NULL; wrong++)
		ck_assert_int_lt(parse("", "--memory-overcommit", *wrong, NULL, NULL), 0);
}
END_TEST

/* Of a wrong file the error says which, where and what. */
static const struct {
	const char *text, *line, *what;
} bad_files[] = {
	{ "[pool]\nblanks = many\n", "line 2", "[pool] blanks" },
	{ "[pool]\nblanks = 257\n", "line 2", "0 to 256" },
	{ "[pool]\nblank = 1\n", "line 2", "[pool] blank: no such setting" },
	{ "# a comment\n\n[pols]\nblanks = 1\n", "line 4", "[pols] blanks: no such setting" },
	{ "blanks = 1\n", "line 1", "no such setting" },
	{ "[daemon]\nconfig = /x\n", "line 2", "no such setting" },
	{ "[daemon]\non_stop = maybe\n", "line 2", "keep|end" },
	{ "[daemon]\non-stop = end\n", "line 2", "no such setting" },
	{ "nonsense\n", "line 1", "key = value" },
};

START_TEST(bad_files_are_named)
{
	const char *const said[] = { "'/tmp/caisson-config-", bad_files[_i].line,
				     bad_files[_i].what };

	ck_assert_int_lt(parse(bad_files[_i].text, NULL, NULL, NULL, NULL), 0);
	ck_assert_int_eq(err.kind, CX_INVALID);
	for (size_t i = 0; i < CX_LEN(said); i++)
		ck_assert_msg(strstr(err.msg, said[i]) != NULL, "no '%s' in: %s", said[i], err.msg);
}
END_TEST

START_TEST(a_named_file_must_exist)
{
	char words[2][32] = { "caissond", "--config=/nonexistent/x.conf" };
	char *argv[] = { words[0], words[1], NULL };

	ck_assert_int_lt(cx_config_parse(2, argv, &config, &verb, &err), 0);
	ck_assert_int_eq(err.errnum, ENOENT);
}
END_TEST

START_TEST(a_directory_is_no_file)
{
	char words[2][32] = { "caissond", "--config=/tmp" };
	char *argv[] = { words[0], words[1], NULL };

	ck_assert_int_lt(cx_config_parse(2, argv, &config, &verb, &err), 0);
	ck_assert_msg(strstr(err.msg, "'/tmp' cannot be read") != NULL, "%s", err.msg);
}
END_TEST

/* ---- the manual page, which lists "key = VALUE" behind .TP, in sections called .SS [name] -------
 */

enum { PAGE_MAX = 65536 };

static const char *read_page(void)
{
	static char page[PAGE_MAX];
	const char *top = getenv("srcdir");
	char path[4096];

	ck_assert_int_ge(cx_format(path, sizeof path, "%s/man/caisson.conf.5", &err,
				   top != NULL ? top : "."),
			 0);
	ck_assert_msg(cx_read_small_file(AT_FDCWD, path, page, sizeof page, &err) >= 0, "%s",
		      err.msg);
	return page;
}

static bool is_setting(const char *section, const char *key)
{
	const char *option, *in, *name;

	for (unsigned i = 0; cx_config_option(i, &option, &in, &name); i++)
		if (name != NULL && strcmp(in, section) == 0 && strcmp(name, key) == 0)
			return true;
	return false;
}

/* How often the page has a setting (NULL: all of its settings, each of which must exist). */
static unsigned count_documented(const char *section, const char *key)
{
	char in[32] = "", name[32];
	unsigned found = 0;
	int end;

	for (const char *line = read_page(); line != NULL; line = strchr(line, '\n')) {
		line += line[0] == '\n';
		(void)sscanf(line, ".SS [%31[a-z_]]", in);
		end = 0;
		(void)sscanf(line, ".B%*1[IR] %31[a-z0-9_] \" =%n", name, &end);
		if (end == 0)
			continue;
		ck_assert_msg(is_setting(in, name), "the page has [%s] %s", in, name);
		found += section == NULL || (strcmp(in, section) == 0 && strcmp(name, key) == 0);
	}
	return found;
}

START_TEST(the_manual_page_has_every_setting)
{
	const char *option, *section, *key;
	unsigned n = 0;

	for (unsigned i = 0; cx_config_option(i, &option, &section, &key); i++) {
		if (key == NULL)
			continue;
		ck_assert_msg(count_documented(section, key) == 1, "[%s] %s", section, key);
		n++;
	}
	ck_assert_uint_eq(count_documented(NULL, NULL), n);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("engine/config");
	TCase *tc = tcase_create("config");

	tcase_add_test(tc, defaults_stand);
	tcase_add_test(tc, options_beat_the_file);
	tcase_add_test(tc, a_bare_port_is_loopback);
	tcase_add_test(tc, other_hosts_come_with_tls);
	tcase_add_test(tc, doors_to_sandboxes_are_on_the_loopback);
	tcase_add_test(tc, exposed_names);
	tcase_add_test(tc, disks);
	tcase_add_test(tc, room_on_the_host);
	tcase_add_test(tc, name_servers);
	tcase_add_loop_test(tc, bad_options_are_named, 0, (int)CX_LEN(bad));
	tcase_add_loop_test(tc, bad_files_are_named, 0, (int)CX_LEN(bad_files));
	tcase_add_test(tc, a_named_file_must_exist);
	tcase_add_test(tc, a_directory_is_no_file);
	tcase_add_test(tc, the_manual_page_has_every_setting);
	suite_add_tcase(suite, tc);
	return run_suite(suite);
}
