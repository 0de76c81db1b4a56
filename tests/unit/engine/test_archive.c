/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What cannot begin leaves nothing: no id range, no descriptor, no frozen sandbox. What does begin
 * is tried with whole engines (tests/integration/test_archives.py). Root, for a user namespace.
 */
#include "engine/archive.h"

#include <dirent.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "check_main.h"

static char top[] = "/tmp/caisson-archive-XXXXXX";
static struct cx_config config;
static struct cx_host host;
static struct cx_sandboxes sandboxes;
static struct cx_reaper nothing_ends;
static struct cx_builds builds;
static struct cx_archives archives;
static struct cx_err err;
static const struct cx_build_limits limits = { 1 << 20, 100, false };
static int fds[3], numbers[3], layers = -EBADF;

static void begin(void)
{
	static const struct cx_sandbox_watch nobody;
	char path[64];

	(void)strcpy(top + sizeof top - 7, "XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(top));
	(void)snprintf(path, sizeof path, "%s/lock", top); /* who owns a worker's ids */
	ck_assert_int_eq(close(open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600)), 0);
	(void)snprintf(path, sizeof path, "%s/layers", top);
	ck_assert_int_eq(mkdir(path, 0700), 0);
	layers = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	(void)snprintf(path, sizeof path, "%s/ids", top);
	host = (struct cx_host){ .config = &config, .dirs = { .run_path = top } };
	ck_assert_int_eq(cx_loop_open(&host.loop, &err), 0);
	ck_assert_int_eq(cx_ids_open(path, 1000013824, 4, &host.ids, &err), 0);
	cx_layers_open(&host.layers, &host.loop, layers, layers, top);
	cx_sandboxes_open(&sandboxes, &host, &nothing_ends, &nobody);
	cx_builds_open(&builds, &host);
	cx_archives_open(&archives, &sandboxes, &builds);
	for (int i = 0; i < 3; i++) {
		fds[i] = numbers[i] = open("/dev/null", O_WRONLY | O_CLOEXEC);
		ck_assert_int_ge(fds[i], 0);
	}
}

static void end(void)
{
	char command[64];

	cx_archives_close(&archives);
	cx_builds_close(&builds);
	cx_layers_close(&host.layers);
	cx_ids_close(&host.ids);
	cx_loop_close(&host.loop);
	cx_close(&layers);
	(void)snprintf(command, sizeof command, "rm -rf %s", top);
	ck_assert_int_eq(system(command), 0);
}

static void never(void *arg, uint64_t tag, uint64_t token, uint64_t size, const struct cx_err *why)
{
	(void)arg;
	(void)tag;
	(void)token;
	(void)size;
	(void)why;
	ck_abort_msg("it said that it had not begun");
}

static unsigned entries_of(int dirfd)
{
	int fd = openat(dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fdopendir(fd);
	unsigned n = 0;

	ck_assert_ptr_nonnull(dir);
	while (readdir(dir) != NULL)
		n++;
	(void)closedir(dir);
	return n - 2;
}

static void expect_nothing_left(void)
{
	for (int i = 0; i < 3; i++) {
		ck_assert_int_eq(fds[i], -EBADF);
		ck_assert_int_lt(fcntl(numbers[i], F_GETFD), 0);
	}
	ck_assert_uint_eq(entries_of(host.ids.dir), 0);
	ck_assert_ptr_null(archives.first);
	ck_assert_ptr_null(builds.first);
}

START_TEST(an_unknown_layer)
{
	static const uint8_t ids[2 * CX_DIFF_ID];

	ck_assert_int_lt(cx_archive_export(&archives, ids, 2, &limits, fds, never, NULL, 1, &err),
			 0);
	ck_assert_int_eq(err.kind, CX_NOT_FOUND);
	expect_nothing_left();
}
END_TEST

START_TEST(no_layers_or_too_many)
{
	static const uint8_t ids[(CX_LAYERS_MAX + 1) * CX_DIFF_ID];

	ck_assert_int_lt(cx_archive_export(&archives, ids, _i == 0 ? 0 : CX_LAYERS_MAX + 1, &limits,
					   fds, never, NULL, 1, &err),
			 0);
	ck_assert_int_eq(err.kind, CX_INVALID);
	expect_nothing_left();
}
END_TEST

START_TEST(a_sandbox_that_cannot_stand_still)
{
	struct cx_sandbox sb = { .set = &sandboxes,
				 .state = _i == 0 ? CX_SANDBOX_ENDING : CX_SANDBOX_RUNNING,
				 .frozen = _i == 1 };

	ck_assert_int_lt(cx_archive_commit(&archives, &sb, &limits, fds, never, NULL, 1, &err), 0);
	ck_assert_int_eq(err.kind, CX_CONFLICT);
	ck_assert_int_eq(sb.frozen, _i == 1); /* as it was */
	expect_nothing_left();
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("engine/archive");
	TCase *tc = tcase_create("all");

	tcase_add_checked_fixture(tc, begin, end);
	tcase_add_test(tc, an_unknown_layer);
	tcase_add_loop_test(tc, no_layers_or_too_many, 0, 2);
	tcase_add_loop_test(tc, a_sandbox_that_cannot_stand_still, 0, 2);
	suite_add_tcase(suite, tc);
	return run_root_suite(suite);
}
