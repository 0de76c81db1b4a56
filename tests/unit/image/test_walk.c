/* SPDX-License-Identifier: Apache-2.0 */
/* A tree on disk as an entry stream. Root, for owners and devices. */
#include "image/walk.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <sys/xattr.h>

#include "entry_text.h"

static char top[32];
static int dir = -1, out = -1;
static struct cx_report report;
static struct cx_buf text;
static struct cx_err err;
static const char *const *without;

static void begin(void)
{
	(void)snprintf(top, sizeof top, "/tmp/caisson-walk.XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(top));
	ck_assert_int_eq(chmod(top, 0755), 0);
	dir = open(top, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	ck_assert_int_ge(dir, 0);
	out = new_file(NULL, 0);
	text = (struct cx_buf){ 0 };
}

static void end(void)
{
	char command[64];

	(void)close(dir);
	(void)close(out);
	cx_buf_free(&text);
	(void)snprintf(command, sizeof command, "rm -rf %s", top);
	ck_assert_int_eq(system(command), 0);
}

static int walk_only(uint64_t max_bytes, uint64_t max_entries)
{
	const struct cx_walk_limits limits = { max_bytes, max_entries, without };

	ck_assert_int_eq(ftruncate(out, 0), 0);
	ck_assert_int_eq(lseek(out, 0, SEEK_SET), 0);
	return cx_walk_tree(dir, out, &limits, &report) < 0 ? -1 : 0;
}

static int walk(uint64_t max_bytes, uint64_t max_entries)
{
	struct cx_buf stream;
	int r;

	cx_buf_free(&text);
	if (walk_only(max_bytes, max_entries) < 0)
		return -1;
	stream = content_of(out);
	r = text_of_stream(stream.p, stream.len, stream.len, max_entries, &text, &err);
	ck_assert_msg(r == 0, "%s", err.msg);
	cx_buf_free(&stream);
	return 0;
}

static void expect(const char *want)
{
	ck_assert_msg(walk(1 << 20, 1000) == 0, "%s", report.err.msg);
	ck_assert_str_eq(text.p, want);
}

static void make_file(const char *name, const char *data)
{
	int fd = openat(dir, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(write(fd, data, strlen(data)), (ssize_t)strlen(data));
	ck_assert_int_eq(close(fd), 0);
}

static void make_dir(const char *name)
{
	ck_assert_int_eq(mkdirat(dir, name, 0755), 0);
}

START_TEST(names_in_the_order_of_bytes)
{
	make_dir("b");
	make_file("b/2", "two");
	make_file("b/10", "");
	make_file("a\nz", "");
	make_file("\xff", "");
	make_file("B", "");
	make_file("b.c", "");
	ck_assert_int_eq(symlinkat("/etc/passwd", dir, "l"), 0);
	ck_assert_int_eq(mkfifoat(dir, "p", 0600), 0);
	expect("d ;f B 0;f a\nz 0;d b;f b/10 0;f b/2 3;@0:two;f b.c 0;l l>/etc/passwd;p p;f \xff "
	       "0;.");
	ck_assert_uint_eq(report.entries, 10);
}
END_TEST

/* Not even as the first name of a file that has others. */
START_TEST(what_is_left_out)
{
	make_dir("etc");
	make_file("etc/hosts", "x");
	make_file("etc/hosts.allow", "");
	make_file("etc/resolv.conf", "");
	ck_assert_int_eq(linkat(dir, "etc/hosts", dir, "z", 0), 0);
	without = cx_walk_made_anew;
	expect("d ;d etc;f etc/hosts.allow 0;f z 1;@0:x;.");
}
END_TEST

START_TEST(further_names)
{
	make_dir("d");
	make_file("d/x", "data");
	ck_assert_int_eq(linkat(dir, "d/x", dir, "z", 0), 0);
	ck_assert_int_eq(linkat(dir, "d/x", dir, "a", 0), 0);
	ck_assert_int_eq(symlinkat("t", dir, "l"), 0);
	ck_assert_int_eq(linkat(dir, "l", dir, "m", 0), 0);
	expect("d ;f a 4;@0:data;d d;h d/x=a;l l>t;h m=l;h z=a;.");
}
END_TEST

START_TEST(what_overlayfs_left)
{
	make_dir("d");
	ck_assert_int_eq(mknodat(dir, "d/gone", S_IFCHR, makedev(0, 0)), 0);
	make_dir("o");
	make_file("o/x", "");
	make_dir("p");
	ck_assert_int_eq(fchdir(dir), 0);
	ck_assert_int_eq(setxattr("o", "user.overlay.opaque", "y", 1, 0), 0);
	ck_assert_int_eq(setxattr("o", "user.z", "1", 1, 0), 0);
	ck_assert_int_eq(setxattr("o", "user.a", "2", 1, 0), 0);
	ck_assert_int_eq(setxattr("o/x", "user.overlay.origin", "abc", 3, 0), 0);
	ck_assert_int_eq(setxattr("o/x", "trusted.t", "abc", 3, 0), 0);
	ck_assert_int_eq(setxattr("p", "user.overlay.opaque", "x", 1, 0), 0);
	ck_assert_int_eq(chdir("/"), 0);
	expect("d ;d d;w d/gone;d o +a:2 +z:1;o o;f o/x 0;d p;.");
}
END_TEST

START_TEST(nothing_else_is_opened)
{
	int sock = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct sockaddr_un at = { .sun_family = AF_UNIX };

	(void)snprintf(at.sun_path, sizeof at.sun_path, "%s/sock", top);
	ck_assert_int_eq(bind(sock, (struct sockaddr *)&at, sizeof at), 0);
	ck_assert_int_eq(mknodat(dir, "null", S_IFCHR | 0666, makedev(1, 3)), 0);
	ck_assert_int_eq(mknodat(dir, "block", S_IFBLK | 0666, makedev(7, 200)), 0);
	ck_assert_int_eq(mkfifoat(dir, "p", 0600), 0);
	expect("d ;p p;.");
	ck_assert_uint_eq(report.skipped, 3);
	(void)close(sock);
}
END_TEST

START_TEST(holes)
{
	int fd = openat(dir, "f", O_WRONLY | O_CREAT | O_CLOEXEC, 0644);

	ck_assert_int_eq(ftruncate(fd, 1 << 19), 0);
	ck_assert_int_eq(pwrite(fd, "x", 1, (1 << 18)), 1);
	(void)close(fd);
	ck_assert_int_eq(walk(1 << 20, 10), 0);
	ck_assert_ptr_nonnull(strstr(text.p, "f f 524288;@262144:x"));
	ck_assert_uint_lt(text.len, 70000); /* no more than a block of any file system */
}
END_TEST

/* Mode, owner and time as they are; the root's time is nobody's. */
START_TEST(what_stat_says)
{
	const struct timespec when[2] = { { 5, 0 }, { -7, 250000000 } };
	static struct cx_entry_writer writer;
	struct cx_entry root = { .mode = S_IFDIR | 0711, .uid = 3, .target = { "", 0 } }, f = root;
	struct cx_buf got, want;
	int expected = new_file(NULL, 0);

	make_file("f", "");
	ck_assert_int_eq(fchownat(dir, "f", 70, 65535, 0), 0);
	ck_assert_int_eq(fchmodat(dir, "f", 06751, 0), 0);
	ck_assert_int_eq(utimensat(dir, "f", when, 0), 0);
	ck_assert_int_eq(fchown(dir, 3, 0), 0);
	ck_assert_int_eq(fchmod(dir, 0711), 0);
	f = (struct cx_entry){ .mode = S_IFREG | 06751,
			       .uid = 70,
			       .gid = 65535,
			       .mtime = -7,
			       .mtime_nsec = 250000000,
			       .path = { "f", 1 },
			       .target = { "", 0 } };
	cx_entry_writer_init(&writer, expected);
	ck_assert_int_eq(cx_entry_write(&writer, &root, &err), 0);
	ck_assert_int_eq(cx_entry_write(&writer, &f, &err), 0);
	ck_assert_int_eq(cx_entry_write_end(&writer, &err), 0);
	ck_assert_int_eq(walk(1 << 20, 10), 0);
	want = content_of(expected);
	got = content_of(out);
	ck_assert_uint_eq(got.len, want.len);
	ck_assert_mem_eq(got.p, want.p, got.len);
	cx_buf_free(&got);
	cx_buf_free(&want);
	(void)close(expected);
}
END_TEST

static const struct {
	uint64_t bytes, entries;
	const char *says; /* NULL: fits */
} limits[] = {
	{ 7, 3, NULL },
	{ 7, 2, "more than 2 entries" },
	{ 6, 3, "'/b': more than 6 bytes" },
	{ 7, 1, "more than 1 entries" },
};

START_TEST(limits_hold)
{
	make_file("a", "123");
	make_file("b", "4567");
	ck_assert_int_eq(walk(limits[_i].bytes, limits[_i].entries), limits[_i].says ? -1 : 0);
	if (limits[_i].says == NULL)
		return;
	ck_assert_msg(strstr(report.err.msg, limits[_i].says) != NULL, "%s", report.err.msg);
	ck_assert_uint_eq(report.err.kind, CX_LIMIT);
}
END_TEST

/* More directories in each other than there are descriptors, down to the longest path. */
START_TEST(depth)
{
	int at = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	for (unsigned i = 0; i < 2048; i++) {
		int below;

		ck_assert_int_eq(mkdirat(at, "d", 0755), 0);
		below = openat(at, "d", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		(void)close(at);
		at = below;
	}
	ck_assert_msg(walk_only(1 << 20, 3000) == 0, "%s", report.err.msg);
	ck_assert_uint_eq(report.entries, 2049);
	ck_assert_int_eq(mkdirat(at, "d", 0755), 0);
	(void)close(at);
	ck_assert_int_lt(walk_only(1 << 20, 3000), 0);
	ck_assert_msg(strstr(report.err.msg, "longer than 4095") != NULL, "%s", report.err.msg);
}
END_TEST

START_TEST(too_many_attributes)
{
	char name[32], *big = calloc(1, 60000);

	make_file("f", "");
	ck_assert_int_eq(fchdir(dir), 0);
	for (unsigned i = 0; i <= CX_ENTRY_XATTRS_MAX; i++) {
		(void)snprintf(name, sizeof name, "user.%u", i);
		ck_assert_int_eq(setxattr("f", name, "", 0, 0), 0);
	}
	ck_assert_int_lt(walk(1 << 20, 9), 0);
	ck_assert_msg(strstr(report.err.msg, "'/f': more than 64") != NULL, "%s", report.err.msg);
	make_file("e", "");
	/* Two that fit one by one; where the file system refuses so much, so do we. */
	if (setxattr("e", "user.1", big, 32768, 0) == 0 &&
	    setxattr("e", "user.2", big, 9, 0) == 0) {
		ck_assert_int_lt(walk(1 << 20, 9), 0);
		ck_assert_msg(strstr(report.err.msg, "more than 32768 bytes") != NULL, "%s",
			      report.err.msg);
	}
	free(big);
	ck_assert_int_eq(chdir("/"), 0);
}
END_TEST

static void swap_for_ever(void)
{
	for (;;) {
		(void)renameat2(dir, "d", dir, "l", RENAME_EXCHANGE);
		(void)renameat2(dir, "f", dir, "p", RENAME_EXCHANGE);
		(void)renameat2(dir, "one", dir, "two", RENAME_EXCHANGE);
	}
}

/*
 * Somebody who swaps a directory for a link out of the tree, a file for a fifo, and one file for
 * another, all the time.
 */
START_TEST(races)
{
	char outside[] = "/tmp/caisson-walk-out.XXXXXX", name[64];
	int fd, walked = 0;
	pid_t pid;

	ck_assert_ptr_nonnull(mkdtemp(outside));
	(void)snprintf(name, sizeof name, "%s/same", outside);
	fd = open(name, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	ck_assert_int_eq(write(fd, "outside", 7), 7);
	(void)close(fd);
	make_dir("d");
	make_file("d/same", "inside");
	make_file("f", "");
	make_file("one", "1");
	make_file("two", "22");
	ck_assert_int_eq(symlinkat(outside, dir, "l"), 0);
	ck_assert_int_eq(mkfifoat(dir, "p", 0600), 0);
	pid = fork();
	if (pid == 0)
		swap_for_ever();
	for (unsigned i = 0; i < 1000; i++) {
		if (walk(1 << 20, 20) < 0)
			continue;
		walked++;
		ck_assert_msg(strstr(text.p, "outside;") == NULL, "%s", text.p);
		ck_assert_msg(strstr(text.p, " 1;@0:2") == NULL, "%s", text.p);
		ck_assert_uint_le(report.entries, 9);
	}
	(void)kill(pid, SIGKILL);
	(void)waitpid(pid, NULL, 0);
	ck_assert_int_gt(walked, 0);
	ck_assert_int_eq(unlink(name), 0);
	ck_assert_int_eq(rmdir(outside), 0);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("walk");
	TCase *tc = tcase_create("walk");

	tcase_add_checked_fixture(tc, begin, end);
	tcase_add_test(tc, names_in_the_order_of_bytes);
	tcase_add_test(tc, what_is_left_out);
	tcase_add_test(tc, further_names);
	tcase_add_test(tc, what_overlayfs_left);
	tcase_add_test(tc, nothing_else_is_opened);
	tcase_add_test(tc, holes);
	tcase_add_test(tc, what_stat_says);
	tcase_add_loop_test(tc, limits_hold, 0, CX_LEN(limits));
	tcase_add_test(tc, depth);
	tcase_add_test(tc, too_many_attributes);
	tcase_add_test(tc, races);
	suite_add_tcase(suite, tc);
	return run_root_suite(suite);
}
