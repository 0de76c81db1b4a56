/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One suite for every back end that limits what sandboxes write, each on a file system of its own
 * in a private mount namespace. CAISSON_TEST_DISKS names those that must work; the others are
 * passed over where the kernel or a tool is missing.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/fiemap.h>
#include <linux/fs.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#include "check_main.h"

#include "base/fd.h"
#include "runtime/loopdev.h"
#include "runtime/process.h"
#include "runtime/quota.h"
#include "runtime/rootfs.h"

enum { OWNER = 1000013824, MIB = 1 << 20 };

static char top[] = "/tmp/caisson-quota-XXXXXX";
static struct cx_err err;
static struct cx_quota *quota;
static int at = -EBADF;

static const struct back_end {
	const char *name;
	enum cx_quota_kind kind;
	const char *make; /* mounts a file system at "at" */
	bool counts_inodes, shows_limit, found_again;
} back_ends[] = {
	{ "loop", CX_QUOTA_LOOP, "true", true, true, true },
	{ "memory", CX_QUOTA_MEMORY, "true", true, true, false },
	{ "btrfs", CX_QUOTA_BTRFS,
	  "truncate -s 512M img && mkfs.btrfs -q img && mount -o loop img at && btrfs quota enable "
	  "at",
	  false, false, true },
	{ "ext4", CX_QUOTA_PROJECT,
	  "truncate -s 256M img && mkfs.ext4 -qF -O quota,project -E quotatype=prjquota img && "
	  "mount -o loop,prjquota img at",
	  true, true, true },
	{ "xfs", CX_QUOTA_PROJECT,
	  "truncate -s 512M img && mkfs.xfs -q img && mount -o loop,prjquota img at", true, true,
	  true },
};

static bool is_chosen(const char *name)
{
	const char *chosen = getenv("CAISSON_TEST_DISKS");

	return chosen == NULL || strstr(chosen, name) != NULL;
}

static bool must_work(const char *name)
{
	const char *chosen = getenv("CAISSON_TEST_DISKS");

	return strstr(chosen != NULL ? chosen : "loop memory", name) != NULL;
}

static struct cx_quota *open_quota(enum cx_quota_kind kind)
{
	const struct cx_quota_plan plan = {
		.kind = kind, .at = at, .name = "test", .usual = { 64 * MIB, 4096 }
	};
	struct cx_quota *ret = NULL;

	return cx_quota_open(&plan, &ret, &err) == 0 ? ret : NULL;
}

static void setup(void)
{
	ck_assert_int_eq(cx_mounts_unshare(&err), 0);
	(void)strcpy(top + sizeof top - 7, "XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(top));
	ck_assert_int_eq(chdir(top), 0);
	ck_assert_int_eq(mkdir("at", 0700), 0);
}

static void teardown(void)
{
	char command[128];

	cx_quota_close(quota);
	quota = NULL;
	cx_close(&at);
	ck_assert_int_eq(chdir("/"), 0);
	(void)snprintf(command, sizeof command, "umount %s/at 2>/dev/null; rm -rf %s", top, top);
	(void)!system(command);
}

/* False: there is no such back end here. */
static bool begin(const struct back_end *b)
{
	char command[512];

	if (!is_chosen(b->name))
		return false;
	(void)snprintf(command, sizeof command, "{ %s; } 2>&1", b->make);
	if (system(command) != 0) {
		ck_assert_msg(!must_work(b->name), "%s cannot be tried here", b->name);
		(void)printf("%s: not here\n", b->name);
		return false;
	}
	ck_assert_int_eq(cx_process_trim_supervisor(&err), 0);
	at = open("at", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	ck_assert_int_ge(at, 0);
	quota = open_quota(b->kind);
	ck_assert_msg(quota != NULL, "%s", err.msg);
	return true;
}

static void make(const char *id, const struct cx_quota_limit *limit, struct cx_writable *w)
{
	ck_assert_msg(cx_quota_make(quota, id, OWNER, w, &err) == 0, "%s", err.msg);
	ck_assert_msg(cx_quota_set(quota, id, OWNER, cx_quota_kind(quota), limit, w, &err) == 0,
		      "%s", err.msg);
}

/* What can be written until the disk is full. */
static uint64_t fill_bytes(int dir, const char *name)
{
	static const char block[4 * 4096] = { 1 };
	cx_autofd int fd = openat(dir, name, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	uint64_t sum = 0;
	ssize_t n;

	ck_assert_int_ge(fd, 0);
	while ((n = write(fd, block, sizeof block)) > 0 && sum < 512 * (uint64_t)MIB)
		sum += (uint64_t)n;
	ck_assert_msg(n < 0 && (errno == ENOSPC || errno == EDQUOT), "%s", strerror(errno));
	return sum;
}

static unsigned fill_inodes(int dir)
{
	char name[32];
	unsigned n = 0;

	for (;; n++) {
		(void)snprintf(name, sizeof name, "upper/%u", n);
		if (mknodat(dir, name, S_IFREG | 0600, 0) < 0)
			break;
		ck_assert_uint_lt(n, 100000);
	}
	ck_assert(errno == ENOSPC || errno == EDQUOT);
	return n;
}

static void end(const char *id, struct cx_writable *w)
{
	cx_quota_release(w);
	ck_assert_int_eq(w->dir, -EBADF);
	ck_assert_msg(cx_quota_remove(quota, id, &err) == 0, "%s", err.msg);
}

START_TEST(bytes_end_at_the_limit)
{
	static const struct cx_quota_limit limit = { 24 * MIB, 1024 };
	const struct back_end *b = &back_ends[_i];
	struct cx_writable w, other;
	uint64_t n;

	if (!begin(b))
		return;
	make("abcdefghijk0", &limit, &w);
	make("abcdefghijk1", &limit, &other);
	n = fill_bytes(w.dir, "upper/f");
	ck_assert_uint_le(n, limit.bytes);
	ck_assert_uint_ge(n, limit.bytes / 10 * 9);
	ck_assert(cx_quota_is_full(quota, "abcdefghijk0", &w));
	ck_assert(!cx_quota_is_full(quota, "abcdefghijk1", &other));
	ck_assert_int_eq(mkdirat(other.dir, "upper/d", 0700), 0);
	ck_assert_uint_ge(fill_bytes(other.dir, "upper/f"), limit.bytes / 10 * 9);
	ck_assert_int_eq(unlinkat(w.dir, "upper/f", 0), 0);
	ck_assert_uint_ge(fill_bytes(w.dir, "upper/g"), limit.bytes / 10 * 8);
	end("abcdefghijk0", &w);
	end("abcdefghijk1", &other);
}
END_TEST

START_TEST(inodes_end_at_the_limit)
{
	static const struct cx_quota_limit limit = { 16 * MIB, 512 };
	const struct back_end *b = &back_ends[_i];
	struct cx_writable w;
	unsigned n;

	if (!begin(b))
		return;
	make("abcdefghijk0", &limit, &w);
	n = fill_inodes(w.dir);
	if (b->counts_inodes) { /* upper, work and what a file system has itself count, too */
		ck_assert_uint_le(n, 600);
		ck_assert_uint_ge(n, 450);
		ck_assert(cx_quota_is_full(quota, "abcdefghijk0", &w));
	}
	end("abcdefghijk0", &w);
}
END_TEST

START_TEST(statfs_shows_the_limit)
{
	static const struct cx_quota_limit limit = { 100 * MIB, 4096 };
	const struct back_end *b = &back_ends[_i];
	cx_autofd int upper = -EBADF;
	struct cx_writable w;
	struct statvfs fs;
	struct stat st;
	uint64_t size;

	if (!begin(b))
		return;
	make("abcdefghijk0", &limit, &w);
	upper = openat(w.dir, "upper", O_PATH | O_DIRECTORY | O_CLOEXEC);
	ck_assert_int_eq(fstatvfs(upper, &fs), 0);
	ck_assert_int_eq(fstat(upper, &st), 0);
	ck_assert_uint_eq(st.st_uid, OWNER);
	ck_assert_uint_eq(st.st_mode & 07777, 0755);
	size = (uint64_t)fs.f_blocks * fs.f_frsize;
	if (b->shows_limit) {
		ck_assert_uint_le(size, limit.bytes);
		ck_assert_uint_ge(size, limit.bytes / 100 * 98);
		ck_assert_uint_ge((uint64_t)fs.f_bavail * fs.f_frsize, limit.bytes / 100 * 95);
		ck_assert_uint_ge(fs.f_files, 4096);
		ck_assert_uint_le(fs.f_files, 4500);
	}
	end("abcdefghijk0", &w);
}
END_TEST

START_TEST(limits_change_both_ways)
{
	static const struct cx_quota_limit sizes[] = { { 8 * MIB, 512 },
						       { 40 * MIB, 2048 },
						       { 20 * MIB, 1024 } };
	struct cx_writable w;

	if (!begin(&back_ends[_i]))
		return;
	ck_assert_msg(cx_quota_make(quota, "abcdefghijk0", OWNER, &w, &err) == 0, "%s", err.msg);
	for (size_t i = 0; i < CX_LEN(sizes); i++) {
		uint64_t n;

		ck_assert_msg(cx_quota_set(quota, "abcdefghijk0", OWNER, cx_quota_kind(quota),
					   &sizes[i], &w, &err) == 0,
			      "%s", err.msg);
		n = fill_bytes(w.dir, "upper/f");
		ck_assert_uint_le(n, sizes[i].bytes);
		ck_assert_uint_ge(n, sizes[i].bytes / 10 * 8);
		ck_assert_int_eq(unlinkat(w.dir, "upper/f", 0), 0);
	}
	end("abcdefghijk0", &w);
}
END_TEST

START_TEST(memory_instead)
{
	static const struct cx_quota_limit limit = { 8 * MIB, 512 };
	struct cx_writable w;

	if (!begin(&back_ends[_i]))
		return;
	ck_assert_int_eq(cx_quota_make(quota, "abcdefghijk0", OWNER, &w, &err), 0);
	ck_assert_msg(
		cx_quota_set(quota, "abcdefghijk0", OWNER, CX_QUOTA_MEMORY, &limit, &w, &err) == 0,
		"%s", err.msg);
	ck_assert_uint_eq(w.kind, CX_QUOTA_MEMORY);
	ck_assert(cx_quota_is_mount(&w));
	ck_assert_uint_le(fill_bytes(w.dir, "upper/f"), limit.bytes);
	end("abcdefghijk0", &w);
}
END_TEST

START_TEST(found_by_the_next_daemon)
{
	static const struct cx_quota_limit limit = { 16 * MIB, 512 };
	const struct back_end *b = &back_ends[_i];
	struct cx_writable w, again;
	struct stat st;

	if (!begin(b))
		return;
	make("abcdefghijk0", &limit, &w);
	ck_assert_int_eq(mkdirat(w.dir, "upper/here", 0700), 0);
	cx_quota_close(quota);
	quota = open_quota(b->kind);
	ck_assert_msg(quota != NULL, "%s", err.msg);
	again = (struct cx_writable){ .dir = -EBADF, .kind = w.kind, .device = w.device };
	if (cx_quota_find(quota, "abcdefghijk0", &again, &err) < 0)
		ck_assert_msg(!b->found_again, "%s", err.msg);
	else
		ck_assert_int_eq(fstatat(again.dir, "upper/here", &st, 0), 0);
	cx_close(&again.dir);
	if (w.kind == CX_QUOTA_LOOP)
		ck_assert_int_lt(cx_quota_find(quota, "abcdefghijk1", &again, &err), 0);
	end("abcdefghijk0", &w);
}
END_TEST

/* Each disk's own file system is a copy of one in which they are already. */
START_TEST(halves_are_made_once)
{
	static const struct cx_quota_limit limit = { 16 * MIB, 512 };
	static const char *const names[] = { "upper", "work" };
	static const mode_t modes[] = { S_IFDIR | 0755, S_IFDIR | 0700 };
	struct cx_writable one, two;
	struct stat a, b;

	if (!begin(&back_ends[_i]))
		return;
	make("abcdefghijk0", &limit, &one);
	(void)usleep(20000);
	make("abcdefghijk1", &limit, &two);
	for (size_t i = 0; i < CX_LEN(names); i++) {
		ck_assert_int_eq(fstatat(one.dir, names[i], &a, 0), 0);
		ck_assert_int_eq(fstatat(two.dir, names[i], &b, 0), 0);
		ck_assert_uint_eq(b.st_mode, modes[i]);
		ck_assert_uint_eq(b.st_uid, OWNER);
		ck_assert_uint_eq(b.st_gid, OWNER);
		if (one.kind == CX_QUOTA_LOOP)
			ck_assert(a.st_mtim.tv_sec == b.st_mtim.tv_sec &&
				  a.st_mtim.tv_nsec == b.st_mtim.tv_nsec);
	}
	end("abcdefghijk0", &one);
	end("abcdefghijk1", &two);
}
END_TEST

/* Devices go with their last user, a moment later; directories are the caller's. */
START_TEST(nothing_is_left)
{
	static const struct cx_quota_limit limit = { 16 * MIB, 512 };
	char name[] = "caisson-test/abcdefghijk0", path[32];
	struct cx_writable w;
	int fd;

	if (!begin(&back_ends[_i]))
		return;
	make("abcdefghijk0", &limit, &w);
	(void)fill_bytes(w.dir, "upper/f");
	ck_assert_int_eq(faccessat(at, "abcdefghijk0", F_OK, 0) < 0, cx_quota_is_mount(&w));
	end("abcdefghijk0", &w);
	ck_assert_int_lt(faccessat(at, "probe", F_OK, 0), 0);
	for (int i = 0; w.kind == CX_QUOTA_LOOP && i < 500; i++) {
		fd = cx_loopdev_find(w.device, name, path, sizeof path, &err);
		if (fd < 0)
			return;
		cx_close(&fd);
		(void)usleep(10000);
	}
	ck_assert_uint_ne(w.kind, CX_QUOTA_LOOP);
}
END_TEST

/* Has no place for it on the disk been looked for yet? */
static bool is_only_in_memory(int fd)
{
	cx_autofree struct fiemap *map = calloc(1, sizeof *map + sizeof map->fm_extents[0]);

	ck_assert_ptr_nonnull(map);
	map->fm_length = FIEMAP_MAX_OFFSET;
	map->fm_extent_count = 1;
	ck_assert_int_eq(ioctl(fd, FS_IOC_FIEMAP, map), 0);
	ck_assert_uint_eq(map->fm_mapped_extents, 1);
	return (map->fm_extents[0].fe_flags & FIEMAP_EXTENT_DELALLOC) != 0;
}

/* Anybody's sync(2) writes out all there is, so it is looked at more than once. */
START_TEST(replacing_a_file_writes_nothing_out)
{
	static const struct cx_quota_limit limit = { 64 * MIB, 512 };
	static char block[MIB];
	struct cx_writable w;
	bool kept = false;

	if (!begin(&back_ends[0]))
		return;
	make("abcdefghijk0", &limit, &w);
	for (int i = 0; i < 20 && !kept; i++) {
		cx_autofd int new =
			openat(w.dir, "upper/new", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

		if (mknodat(w.dir, "upper/old", S_IFREG | 0600, 0) < 0)
			ck_assert_int_eq(errno, EEXIST);
		ck_assert_int_eq(write(new, block, sizeof block), sizeof block);
		ck_assert_int_eq(renameat(w.dir, "upper/new", w.dir, "upper/old"), 0);
		kept = is_only_in_memory(new);
	}
	ck_assert(kept);
	end("abcdefghijk0", &w);
}
END_TEST

/* Of the device. */
static size_t pages_in_memory(uint32_t number)
{
	const size_t page = (size_t)sysconf(_SC_PAGESIZE);
	char path[32];
	cx_autofd int fd = -EBADF;
	cx_autofree unsigned char *there = NULL;
	size_t len, n = 0;
	void *at_all;

	(void)snprintf(path, sizeof path, "/dev/loop%u", number);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	ck_assert_int_ge(fd, 0);
	len = (size_t)lseek(fd, 0, SEEK_END);
	there = malloc(len / page);
	at_all = mmap(NULL, len, PROT_READ, MAP_SHARED, fd, 0);
	ck_assert(there != NULL && at_all != MAP_FAILED);
	ck_assert_int_eq(mincore(at_all, len, there), 0);
	(void)munmap(at_all, len);
	for (size_t i = 0; i < len / page; i++)
		n += there[i] & 1;
	return n;
}

/* However large the disk is: the kernel looks at one group of it, or two. */
START_TEST(an_empty_one_is_little)
{
	static const struct cx_quota_limit limit = { UINT64_C(5120) * MIB, 327680 };
	char path[48], options[4096];
	struct cx_writable w;

	if (!begin(&back_ends[0]))
		return;
	make("abcdefghijk0", &limit, &w);
	ck_assert_int_eq(mkdirat(w.dir, "work/one", 0700), 0);
	ck_assert_int_eq(mkdirat(w.dir, "upper/one", 0700), 0);
	if (access("/run/udev/control", F_OK) < 0) /* it looks at new devices, too */
		ck_assert_uint_le(pages_in_memory(w.device), 14);
	/* Of all groups the kernel would read some seconds later. */
	(void)snprintf(path, sizeof path, "/proc/fs/ext4/loop%u/options", w.device);
	ck_assert_int_gt(cx_read_small_file(AT_FDCWD, path, options, sizeof options, &err), 0);
	ck_assert_ptr_nonnull(strstr(options, "no_prefetch_block_bitmaps\n"));
	end("abcdefghijk0", &w);
}
END_TEST

/* The kernel raises an alarm for each that is shut down, so only what is worth it is. */
START_TEST(little_is_written_out)
{
	static const struct cx_quota_limit limit = { 64 * MIB, 512 };
	static char block[2 * MIB];
	struct cx_writable w;
	cx_autofd int fd = -EBADF;

	if (!begin(&back_ends[0]))
		return;
	make("abcdefghijk0", &limit, &w);
	fd = openat(w.dir, "upper/f", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	ck_assert_int_eq(write(fd, block, 4096), 4096);
	cx_quota_discard(&w);
	ck_assert_int_eq(write(fd, block, sizeof block), sizeof block);
	ck_assert_int_eq(fsync(fd), 0); /* so that it counts */
	cx_quota_discard(&w);
	ck_assert_int_lt(write(fd, block, 4096), 0);
	ck_assert_int_eq(errno, EIO);
	cx_close(&fd);
	end("abcdefghijk0", &w);
}
END_TEST

/* An operator may change the back end between two starts. */
START_TEST(removed_by_a_daemon_with_another_back_end)
{
	static const struct cx_quota_limit limit = { 16 * MIB, 512 };
	const struct back_end *b = &back_ends[_i];
	struct cx_writable w;
	struct statvfs fs;

	if (!begin(b))
		return;
	make("abcdefghijk0", &limit, &w);
	cx_quota_release(&w);
	cx_quota_close(quota);
	quota = open_quota(CX_QUOTA_NONE);
	ck_assert_msg(quota != NULL, "%s", err.msg);
	end("abcdefghijk0", &w);
	if (b->kind == CX_QUOTA_BTRFS)
		ck_assert_int_lt(faccessat(at, "abcdefghijk0", F_OK, 0), 0);
	if (b->kind == CX_QUOTA_PROJECT) {
		cx_autofd int dir = openat(at, "abcdefghijk0", O_RDONLY | O_CLOEXEC);

		ck_assert_int_eq(fstatvfs(dir, &fs), 0);
		ck_assert_uint_gt((uint64_t)fs.f_blocks * fs.f_frsize, limit.bytes);
	}
}
END_TEST

START_TEST(what_does_not_work_is_refused)
{
	ck_assert_int_eq(mount("tmpfs", "at", "tmpfs", 0, NULL), 0);
	at = open("at", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	ck_assert_int_eq(cx_process_trim_supervisor(&err), 0);
	ck_assert_ptr_null(open_quota(CX_QUOTA_PROJECT));
	ck_assert_ptr_nonnull(strstr(err.msg, "prjquota"));
	ck_assert_ptr_null(open_quota(CX_QUOTA_BTRFS));
	ck_assert_ptr_nonnull(strstr(err.msg, "no btrfs"));
	quota = open_quota(CX_QUOTA_AUTO);
	ck_assert_msg(quota != NULL, "%s", err.msg);
	ck_assert_str_eq(cx_quota_name(cx_quota_kind(quota)), "loop");
}
END_TEST

START_TEST(without_limits_it_is_a_directory)
{
	static const struct cx_quota_limit limit = { MIB, 1 };
	struct cx_writable w;

	at = open("at", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	quota = open_quota(CX_QUOTA_NONE);
	ck_assert_ptr_nonnull(quota);
	make("abcdefghijk0", &limit, &w);
	ck_assert(!cx_quota_is_mount(&w));
	ck_assert_int_eq(mkdirat(w.dir, "upper/a", 0700), 0);
	ck_assert_int_eq(access("at/abcdefghijk0/upper/a", F_OK), 0);
	end("abcdefghijk0", &w);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("runtime/quota");
	TCase *each = tcase_create("each"), *once = tcase_create("once");

	tcase_set_timeout(each, 60); /* s: filling one may take a while */
	tcase_set_timeout(once, 60);
	tcase_add_checked_fixture(each, setup, teardown);
	tcase_add_loop_test(each, bytes_end_at_the_limit, 0, CX_LEN(back_ends));
	tcase_add_loop_test(each, inodes_end_at_the_limit, 0, CX_LEN(back_ends));
	tcase_add_loop_test(each, statfs_shows_the_limit, 0, CX_LEN(back_ends));
	tcase_add_loop_test(each, limits_change_both_ways, 0, CX_LEN(back_ends));
	tcase_add_loop_test(each, memory_instead, 0, CX_LEN(back_ends));
	tcase_add_loop_test(each, found_by_the_next_daemon, 0, CX_LEN(back_ends));
	tcase_add_loop_test(each, halves_are_made_once, 0, CX_LEN(back_ends));
	tcase_add_loop_test(each, nothing_is_left, 0, CX_LEN(back_ends));
	tcase_add_loop_test(each, removed_by_a_daemon_with_another_back_end, 0, CX_LEN(back_ends));
	suite_add_tcase(suite, each);
	tcase_add_checked_fixture(once, setup, teardown);
	tcase_add_test(once, an_empty_one_is_little);
	tcase_add_test(once, little_is_written_out);
	tcase_add_test(once, replacing_a_file_writes_nothing_out);
	tcase_add_test(once, what_does_not_work_is_refused);
	tcase_add_test(once, without_limits_it_is_a_directory);
	suite_add_tcase(suite, once);
	return run_root_suite(suite);
}
