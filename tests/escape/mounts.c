/* SPDX-License-Identifier: Apache-2.0 */
/* Mounting, unmounting, remounting, leaving the root. */
#include "escape/probe.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/cleanup.h"

/* Newer than the C library here. */
enum { NR_STATMOUNT = 457, NR_LISTMOUNT = 458, NR_OPEN_TREE_ATTR = 467 };

/* A file system type (path) on a directory of our own. */
static int mount_type(const struct probe_row *row)
{
	const char *at = probe_tmpdir();
	int rc = at == NULL ? -1 : mount("none", at, row->path, 0, NULL);
	int result = probe_result(rc);

	if (rc == 0)
		(void)umount2(at, MNT_DETACH);
	if (at != NULL)
		(void)rmdir(at);
	return result;
}

/* A block device node made here, or named by path, as ext4 and as anything else. */
static int mount_disk(const struct probe_row *row)
{
	static const char *const types[] = { "ext4", "xfs", "btrfs", "erofs", "vfat", "iso9660" };
	const char *at = probe_tmpdir();
	int saved = EPERM;

	if (at == NULL)
		return -errno;
	for (size_t i = 0; i < CX_LEN(types); i++) {
		if (mount(row->path, at, types[i], MS_RDONLY, NULL) == 0) {
			(void)umount2(at, MNT_DETACH);
			return PROBE_OPEN;
		}
		saved = errno;
	}
	(void)rmdir(at);
	return -saved;
}

/* path bound on a directory of our own with the flags a. */
static int bind_path(const struct probe_row *row)
{
	const char *at = probe_tmpdir();
	int rc =
		at == NULL ? -1 : mount(row->path, at, NULL, MS_BIND | (unsigned long)row->a, NULL);
	int result = probe_result(rc);

	if (rc == 0)
		(void)umount2(at, MNT_DETACH);
	if (at != NULL)
		(void)rmdir(at);
	return result;
}

/* /tmp bound over path, which hides what the engine put there or is meant to be read from there. */
static int bind_over(const struct probe_row *row)
{
	struct stat st;

	if (stat(row->path, &st) < 0)
		return -errno;
	return probe_result(
		mount(S_ISDIR(st.st_mode) ? "/tmp" : "/dev/null", row->path, NULL, MS_BIND, NULL));
}

/* Mount flags a for path: remounts and changes of propagation. */
static int change_flags(const struct probe_row *row)
{
	return probe_result(mount(NULL, row->path, NULL, (unsigned long)row->a, NULL));
}

static int unmount(const struct probe_row *row)
{
	return probe_result(umount2(row->path, (int)row->a));
}

static int move_away(const struct probe_row *row)
{
	const char *at = probe_tmpdir();

	return probe_result(at == NULL ? -1 : mount(row->path, at, NULL, MS_MOVE, NULL));
}

/* pivot_root(".", ".") of our own root, and of a directory. */
static int pivot(const struct probe_row *row)
{
	if (chdir(row->path) < 0)
		return -errno;
	return probe_unreachable(syscall(SYS_pivot_root, ".", "."));
}

static int clone_tree(const struct probe_row *row)
{
	long fd = syscall(SYS_open_tree, AT_FDCWD, row->path, (unsigned)row->a);
	int result = probe_unreachable(fd);

	if (fd >= 0)
		(void)close((int)fd);
	return result;
}

static int fs_open(const struct probe_row *row)
{
	long fd = syscall(SYS_fsopen, row->path, 0U);
	int result = probe_unreachable(fd);

	if (fd >= 0)
		(void)close((int)fd);
	return result;
}

static int fs_pick(const struct probe_row *row)
{
	return probe_unreachable(syscall(SYS_fspick, AT_FDCWD, row->path, 0U));
}

static int set_attr(const struct probe_row *row)
{
	struct {
		uint64_t set, clear, propagation, userns;
	} attr = { .clear = 1 /* MOUNT_ATTR_RDONLY */ };

	return probe_unreachable(syscall(SYS_mount_setattr, AT_FDCWD, row->path, (unsigned)row->a,
					 &attr, sizeof(attr)));
}

/* The classic: chroot into a subdirectory while the working directory stays above it. */
static int chroot_dotdot(const struct probe_row *row)
{
	struct stat before, after, beyond;
	const char *at = probe_tmpdir();

	(void)row;
	if (at == NULL || stat("/", &before) < 0 || chdir("/") < 0)
		return -errno;
	if (chroot(at) < 0)
		return -errno;
	for (int i = 0; i < 64; i++)
		if (chdir("..") < 0)
			return -errno;
	if (chroot(".") < 0 || stat("/", &after) < 0 || stat("/..", &beyond) < 0)
		return -errno;
	if (after.st_dev != before.st_dev || after.st_ino != before.st_ino ||
	    beyond.st_dev != before.st_dev || beyond.st_ino != before.st_ino)
		return PROBE_OPEN;
	probe_note("ends at the same root");
	return -EXDEV;
}

/* The same with a descriptor of the old root kept open. */
static int chroot_fchdir(const struct probe_row *row)
{
	cx_autofd int root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	struct stat before, after;
	const char *at = probe_tmpdir();

	(void)row;
	if (root < 0 || at == NULL || fstat(root, &before) < 0 || chroot(at) < 0)
		return -errno;
	if (fchdir(root) < 0)
		return -errno;
	for (int i = 0; i < 64; i++)
		if (chdir("..") < 0)
			return -errno;
	if (stat(".", &after) < 0)
		return -errno;
	if (after.st_dev != before.st_dev || after.st_ino != before.st_ino)
		return PROBE_OPEN;
	probe_note("ends at the same root");
	return -EXDEV;
}

static int above_root(const struct probe_row *row)
{
	struct stat root, above;

	if (stat("/", &root) < 0 || stat(row->path, &above) < 0)
		return -errno;
	return root.st_dev == above.st_dev && root.st_ino == above.st_ino ? -EXDEV : PROBE_OPEN;
}

static int has_flags(const struct probe_row *row)
{
	struct statvfs fs;

	if (statvfs(row->path, &fs) < 0)
		return -errno;
	if ((fs.f_flag & (unsigned long)row->a) == (unsigned long)row->a)
		return -EROFS;
	probe_note("mount flags are 0x%lx", fs.f_flag);
	return PROBE_OPEN;
}

/* Does our table of mounts tell where things lie on the host? */
static int mounts_tell(const struct probe_row *row)
{
	static char text[65536];
	long size = probe_slurp("/proc/self/mountinfo", text, sizeof(text));

	if (size < 0)
		return (int)size;
	return strstr(text, row->path) != NULL ? PROBE_OPEN : -ENOENT;
}

/* Every mount of the sandbox is of a kind that was meant to be there. */
static int mounts_golden(const struct probe_row *row)
{
	static const char *const kinds[] = { "overlay", "proc",	  "sysfs",  "tmpfs",
					     "devpts",	"mqueue", "cgroup", "cgroup2" };
	static char text[65536];
	char *rest = text, *line;
	long size = probe_slurp("/proc/self/mountinfo", text, sizeof(text));

	(void)row;
	if (size < 0)
		return (int)size;
	while ((line = strsep(&rest, "\n")) != NULL && *line != '\0') {
		const char *kind = strstr(line, " - ");
		int known = 0;

		for (size_t i = 0; kind != NULL && i < CX_LEN(kinds); i++) {
			size_t len = strlen(kinds[i]);

			known |= strncmp(kind + 3, kinds[i], len) == 0 && kind[3 + len] == ' ';
		}
		if (!known) {
			probe_note("%s", line);
			return PROBE_OPEN;
		}
	}
	return -ENOENT;
}

/* A new mount of the kind must be masked like the one there is: no mount at all is simplest. */
#define SAFE PROBE_SAFE_OUTSIDE
#define TYPE(fs, flags, why)                                     \
	{                                                        \
		"mount_" fs, mount_type, fs, 0, 0, 0, flags, why \
	}
#define BIND(name, path, flags, why)                                  \
	{                                                             \
		"bind_" name, bind_path, path, flags, 0, 0, SAFE, why \
	}
#define OVER(name, path, why)                                  \
	{                                                      \
		"over_" name, bind_over, path, 0, 0, 0, 0, why \
	}
#define REMOUNT(name, path, extra, why)                                                 \
	{                                                                               \
		"remount_" name, change_flags, path, MS_REMOUNT | (extra), 0, 0, 0, why \
	}
#define UMOUNT(name, path, flags, why)                             \
	{                                                          \
		"umount_" name, unmount, path, flags, 0, 0, 0, why \
	}

static const struct probe_row rows[] = {
	TYPE("tmpfs", SAFE,
	     "a writable tree without nodev and nosuid, outside every limit on disk"),
	TYPE("ramfs", SAFE, "memory without any limit"),
	TYPE("proc", SAFE, "a second /proc without masks"),
	TYPE("sysfs", SAFE, "a second, writable /sys"),
	TYPE("cgroup", 0, "the v1 tree with release_agent (CVE-2022-0492)"),
	TYPE("cgroup2", SAFE, "limits of one's own and of others"),
	TYPE("devtmpfs", SAFE, "every device of the host"),
	TYPE("devpts", SAFE, "terminals of the host"),
	TYPE("debugfs", SAFE, "kernel internals, root of the host by some drivers"),
	TYPE("tracefs", SAFE, "kernel probes"),
	TYPE("securityfs", SAFE, "policy of security modules"),
	TYPE("bpf", SAFE, "pinned programs and maps"),
	TYPE("mqueue", SAFE, "queues, by a file system that is not needed twice"),
	TYPE("hugetlbfs", SAFE, "the host's pool of huge pages"),
	TYPE("binfmt_misc", 0, "interpreters run for every process of the machine"),
	TYPE("configfs", SAFE, "kernel objects made by mkdir"),
	TYPE("fusectl", SAFE, "control of other people's FUSE mounts"),
	TYPE("pstore", SAFE, "crash logs of the host"),
	TYPE("efivarfs", 0, "firmware variables"),
	TYPE("rpc_pipefs", 0, "kernel upcalls"),
	TYPE("nfsd", 0, "the host's NFS server"),
	TYPE("autofs", 0, "kernel upcalls"),
	TYPE("fuse", 0, "a file system that answers slowly or changes while it is read"),
	TYPE("overlay", 0, "redirects to what lies below"),
	TYPE("9p", 0, "a file server of the hypervisor"),
	TYPE("virtiofs", 0, "a file server of the hypervisor"),
	{ "disk_vda", mount_disk, "/dev/vda", 0, 0, 0, 0, "the host's disk" },
	{ "disk_sda", mount_disk, "/dev/sda", 0, 0, 0, 0, "the host's disk" },
	{ "disk_loop", mount_disk, "/dev/loop0", 0, 0, 0, 0, "parsers of crafted file systems" },
	{ "disk_zram", mount_disk, "/dev/zram0", 0, 0, 0, 0, "the host's swap" },
	BIND("root", "/", 0, "a second root without what lies over it"),
	BIND("root_rec", "/", MS_REC, "a second tree with other flags"),
	BIND("proc", "/proc", 0, "/proc without its masks"),
	BIND("sys", "/sys", 0, "/sys without its masks"),
	BIND("dev", "/dev", 0, "a second /dev"),
	BIND("pid1_root", "/proc/1/root", 0, "the agent's root"),
	OVER("proc_sys", "/proc/sys", "what programs believe of the kernel"),
	OVER("proc_kcore", "/proc/kcore", "a mask covered by something else"),
	OVER("proc", "/proc", "a /proc of one's own making: the engine would write to it"),
	OVER("dev_null", "/dev/null", "what the engine opens as /dev/null"),
	OVER("sys", "/sys", "a mask covered by something else"),
	OVER("root", "/", "the root of later commands"),
	REMOUNT("root", "/", 0, "nodev and nosuid taken away"),
	REMOUNT("root_bind", "/", MS_BIND, "nodev and nosuid taken away"),
	REMOUNT("proc", "/proc", 0, "/proc writable"),
	REMOUNT("proc_bind", "/proc", MS_BIND, "/proc writable"),
	REMOUNT("proc_sys", "/proc/sys", MS_BIND, "sysctls writable"),
	REMOUNT("proc_kcore", "/proc/kcore", MS_BIND, "a mask taken away"),
	REMOUNT("sys", "/sys", 0, "/sys writable"),
	REMOUNT("sys_bind", "/sys", MS_BIND, "/sys writable"),
	REMOUNT("dev", "/dev", 0, "nodev, size limit"),
	REMOUNT("shm", "/dev/shm", 0, "size limit"),
	REMOUNT("tmp", "/tmp", 0, "size limit, nodev"),
	{ "shared", change_flags, "/", MS_SHARED | MS_REC, 0, 0, SAFE, "mounts seen elsewhere" },
	{ "slave", change_flags, "/", MS_SLAVE | MS_REC, 0, 0, SAFE, "mounts of elsewhere seen" },
	{ "private", change_flags, "/", MS_PRIVATE | MS_REC, 0, 0, SAFE, "any change of a mount" },
	UMOUNT("proc_sys", "/proc/sys", MNT_DETACH, "read-only sysctls bared"),
	UMOUNT("proc_kcore", "/proc/kcore", MNT_DETACH, "a mask taken away"),
	UMOUNT("proc_keys", "/proc/keys", MNT_DETACH, "a mask taken away"),
	UMOUNT("proc_trigger", "/proc/sysrq-trigger", MNT_DETACH, "a mask taken away"),
	UMOUNT("proc", "/proc", MNT_DETACH, "what lies below"),
	UMOUNT("sys", "/sys", MNT_DETACH, "what lies below"),
	UMOUNT("sys_fw", "/sys/firmware", MNT_DETACH, "a mask taken away"),
	UMOUNT("dev", "/dev", MNT_DETACH, "what lies below"),
	UMOUNT("root", "/", MNT_DETACH, "what lies below the root"),
	UMOUNT("expire", "/dev/shm", MNT_EXPIRE, "an unmount by another flag"),
	UMOUNT("force", "/", MNT_FORCE, "an unmount by another flag"),
	{ "move_proc", move_away, "/proc", 0, 0, 0, 0, "masks moved away" },
	{ "move_dev", move_away, "/dev", 0, 0, 0, 0, "devices moved away" },
	{ "pivot_root", pivot, "/", 0, 0, 0, SAFE, "another root" },
	{ "pivot_tmp", pivot, "/tmp", 0, 0, 0, SAFE, "another root" },
	{ "open_tree", clone_tree, "/", 1 /* CLONE */, 0, 0, SAFE, "a detached copy of the tree" },
	{ "open_tree_rec", clone_tree, "/proc", 1 | 0x8000 /* AT_RECURSIVE */, 0, 0, SAFE,
	  "a detached copy of /proc" },
	{ "open_tree_plain", clone_tree, "/", 0, 0, 0, SAFE, "the new mount API at all" },
	{ "fsopen_tmpfs", fs_open, "tmpfs", 0, 0, 0, SAFE, "fsconfig (CVE-2022-0185)" },
	{ "fsopen_proc", fs_open, "proc", 0, 0, 0, SAFE, "a second /proc without masks" },
	{ "fsopen_overlay", fs_open, "overlay", 0, 0, 0, SAFE, "redirects to what lies below" },
	{ "fsopen_ext4", fs_open, "ext4", 0, 0, 0, SAFE, "parsers of crafted file systems" },
	{ "fspick", fs_pick, "/", 0, 0, 0, SAFE, "changing the super block of the root" },
	{ "fsconfig", probe_syscall, NULL, SYS_fsconfig, -1, 0, SAFE, "CVE-2022-0185" },
	{ "fsmount", probe_syscall, NULL, SYS_fsmount, -1, 0, SAFE, "the new mount API at all" },
	{ "move_mount", probe_syscall, NULL, SYS_move_mount, -1, 0, SAFE,
	  "the new mount API at all" },
	{ "mount_setattr", set_attr, "/", 0, 0, 0, SAFE, "flags of a mount, idmaps" },
	{ "mount_setattr_rec", set_attr, "/proc", 0x8000, 0, 0, 0, "/proc writable at once" },
	{ "open_tree_attr", probe_syscall, NULL, NR_OPEN_TREE_ATTR, -1, 0, 0,
	  "the mount API of 6.15" },
	{ "statmount", probe_syscall, NULL, NR_STATMOUNT, 0, 0, 0, "mounts of elsewhere listed" },
	{ "listmount", probe_syscall, NULL, NR_LISTMOUNT, 0, 0, 0, "mounts of elsewhere listed" },
	{ "chroot_dotdot", chroot_dotdot, NULL, 0, 0, 0, 0, "the tree under the root's mount" },
	{ "chroot_fchdir", chroot_fchdir, NULL, 0, 0, 0, 0, "the tree under the root's mount" },
	{ "above_root", above_root, "/..", 0, 0, 0, 0, "the tree above the root" },
	{ "above_root_far", above_root, "/../../../../../../../../../..", 0, 0, 0, 0,
	  "the tree above the root" },
	{ "above_pid1", above_root, "/proc/1/root/../..", 0, 0, 0, 0, "the tree above the root" },
	{ "above_self", above_root, "/proc/self/root/../..", 0, 0, 0, 0,
	  "the tree above the root" },
	{ "root_nosuid", has_flags, "/", ST_NOSUID, 0, 0, 0, "set-user-ID files of the image" },
	{ "root_nodev", has_flags, "/", ST_NODEV, 0, 0, 0, "device nodes of the image" },
	{ "tmp_nodev", has_flags, "/tmp", ST_NODEV | ST_NOSUID, 0, 0, 0, "device nodes made here" },
	{ "shm_nodev", has_flags, "/dev/shm", ST_NODEV | ST_NOSUID, 0, 0, 0,
	  "device nodes made here" },
	{ "proc_nosuid", has_flags, "/proc", ST_NOSUID | ST_NODEV | ST_NOEXEC, 0, 0, 0,
	  "/proc executed" },
	{ "sys_ro", has_flags, "/sys", ST_RDONLY | ST_NOSUID | ST_NODEV | ST_NOEXEC, 0, 0, 0,
	  "/sys writable" },
	{ "proc_sys_ro", has_flags, "/proc/sys", ST_RDONLY, 0, 0, 0, "sysctls writable" },
	{ "sysrq_ro", has_flags, "/proc/sysrq-trigger", ST_RDONLY, 0, 0, 0,
	  "commands to the kernel" },
	{ "dev_nosuid", has_flags, "/dev", ST_NOSUID | ST_NOEXEC, 0, 0, 0, "programs in /dev" },
	{ "pts_nosuid", has_flags, "/dev/pts", ST_NOSUID | ST_NOEXEC, 0, 0, 0, "programs in /dev" },
	{ "mqueue_nosuid", has_flags, "/dev/mqueue", ST_NOSUID | ST_NODEV | ST_NOEXEC, 0, 0, 0,
	  "programs and devices in /dev" },
	{ "tell_state", mounts_tell, "/var/lib/caisson", 0, 0, 0, 0, "paths of the host told" },
	{ "tell_run", mounts_tell, "/run/caisson", 0, 0, 0, 0, "paths of the host told" },
	{ "golden", mounts_golden, NULL, 0, 0, 0, 0, "a file system of the host left mounted" },
};

const struct probe_group probe_mounts = { "mount", rows, CX_LEN(rows) };
