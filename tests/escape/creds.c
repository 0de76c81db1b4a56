/* SPDX-License-Identifier: Apache-2.0 */
/* Ids, capabilities, set-user-ID, what a command inherits, and secrets. */
#include "escape/probe.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/fsuid.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <linux/capability.h>

#include "base/cleanup.h"

enum { UNMAPPED = 65536, OTHER_USER = 4242, CAP_WORDS = 2 };

/*
 * The most that the bounding set of a sandbox may hold: changing owners and modes, ids, signals and
 * ports of its own, chroot. policy/caps.c may grant less; the posture test compares it exactly.
 */
static const unsigned caps_allowed[] = {
	CAP_CHOWN,  CAP_DAC_OVERRIDE,	  CAP_FOWNER,  CAP_FSETID,     CAP_KILL,    CAP_SETGID,
	CAP_SETUID, CAP_NET_BIND_SERVICE, CAP_SETPCAP, CAP_SYS_CHROOT, CAP_SETFCAP,
};

static int read_field(const char *path, const char *field, unsigned long long *ret, int base)
{
	static char text[16384];
	long size = probe_slurp(path, text, sizeof(text));
	const char *at = size < 0 ? NULL : strstr(text, field);

	if (size < 0)
		return (int)size;
	if (at == NULL)
		return -ENODATA;
	*ret = strtoull(at + strlen(field), NULL, base);
	return 0;
}

/* The set named path has nothing beyond caps_allowed (a: 1) or nothing at all (a: 0). */
static int cap_set(const struct probe_row *row)
{
	unsigned long long set = ~0ULL, allowed = 0;
	int rc = read_field("/proc/self/status", row->path, &set, 16);

	if (rc < 0)
		return PROBE_OPEN;
	for (size_t i = 0; row->a != 0 && i < CX_LEN(caps_allowed); i++)
		allowed |= 1ULL << caps_allowed[i];
	probe_note("%llx", set);
	return (set & ~allowed) == 0 ? -EPERM : PROBE_OPEN;
}

/* Every process here has the field path at the value a. */
static int all_status(const struct probe_row *row)
{
	DIR *proc = opendir("/proc");
	const struct dirent *entry;
	char path[300];
	unsigned seen = 0;
	int result = -EPERM;

	if (proc == NULL)
		return -errno;
	while (result != PROBE_OPEN && (entry = readdir(proc)) != NULL) {
		unsigned long long value = 0;

		if (entry->d_name[0] < '0' || entry->d_name[0] > '9')
			continue;
		(void)snprintf(path, sizeof(path), "/proc/%s/status", entry->d_name);
		if (read_field(path, row->path, &value, 10) < 0)
			continue;
		seen++;
		if (value != (unsigned long long)row->a) {
			probe_note("process %s has %s %llu", entry->d_name, row->path, value);
			result = PROBE_OPEN;
		}
	}
	(void)closedir(proc);
	return seen == 0 ? PROBE_OPEN : result;
}

static int ambient(const struct probe_row *row)
{
	return probe_result(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, row->a, 0, 0));
}

/* With the capability made inheritable first, which is all that the kernel asks for otherwise. */
static int ambient_own(const struct probe_row *row)
{
	struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[CAP_WORDS] = { { 0 } };

	if (syscall(SYS_capget, &head, data) < 0)
		return -errno;
	data[0].inheritable |= 1U << row->a;
	if (syscall(SYS_capset, &head, data) < 0)
		return -errno;
	return probe_result(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, row->a, 0, 0));
}

/* PR_SET_KEEPCAPS: capabilities that stay when root becomes another user. */
static int keep_caps(const struct probe_row *row)
{
	(void)row;
	return probe_result(prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0));
}

static int raise_caps(const struct probe_row *row)
{
	struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[CAP_WORDS];

	(void)row;
	for (size_t i = 0; i < CX_LEN(data); i++)
		data[i] = (struct __user_cap_data_struct){ ~0U, ~0U, ~0U };
	return probe_result(syscall(SYS_capset, &head, data));
}

static int inherit_cap(const struct probe_row *row)
{
	struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[CAP_WORDS] = { { 0 } };

	if (syscall(SYS_capget, &head, data) < 0)
		return -errno;
	data[0].inheritable |= 1U << row->a;
	return probe_result(syscall(SYS_capset, &head, data));
}

/* ---- ids that are not mapped ---- */
static int become_uid(const struct probe_row *row)
{
	return probe_result(setresuid((uid_t)row->a, (uid_t)row->a, (uid_t)row->a));
}

static int become_gid(const struct probe_row *row)
{
	return probe_result(setresgid((gid_t)row->a, (gid_t)row->a, (gid_t)row->a));
}

static int become_groups(const struct probe_row *row)
{
	gid_t group = (gid_t)row->a;

	return probe_result(setgroups(1, &group));
}

static int become_fsuid(const struct probe_row *row)
{
	(void)setfsuid((uid_t)row->a);
	return setfsuid((uid_t)-1) == (int)row->a ? PROBE_OPEN : -EINVAL;
}

static int give_away(const struct probe_row *row)
{
	char path[] = "/tmp/probe.XXXXXX";
	cx_autofd int fd = mkostemp(path, O_CLOEXEC);
	int result;

	if (fd < 0)
		return -errno;
	result = probe_result(fchown(fd, row->b == 0 ? (uid_t)row->a : (uid_t)-1,
				     row->b == 0 ? (gid_t)-1 : (gid_t)row->a));
	(void)unlink(path);
	return result;
}

/* ---- programs that would be run with more than the caller has ---- */
static int wait_for(pid_t child)
{
	int status = -1;

	(void)waitpid(child, &status, 0);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/* As another user, run the set-user-ID copy of this program; it says as whom it runs. */
static int set_user_id(const struct probe_row *row)
{
	struct stat st;

	if (stat(row->path, &st) < 0) {
		probe_note("%s is not there", row->path);
		return PROBE_NA;
	}
	if ((st.st_mode & (S_ISUID | S_ISGID)) == 0)
		return -ENOENT;
	pid_t child = fork();

	if (child == 0) {
		if (geteuid() == 0 &&
		    (setgroups(0, NULL) < 0 || setgid(OTHER_USER) < 0 || setuid(OTHER_USER) < 0))
			_exit(EXIT_FAILURE);
		(void)execl(row->path, "probe", "--whoami", (char *)NULL);
		_exit(2);
	}
	int code = wait_for(child);

	probe_note("ended with %d", code);
	return code == 0 ? -EPERM : code == 2 ? -EACCES : PROBE_OPEN;
}

/* The image's file carries no capability and gives none. */
static int file_caps(const struct probe_row *row)
{
	char value[64];
	ssize_t size = getxattr(row->path, "security.capability", value, sizeof(value));

	if (size < 0 && errno == ENOENT) {
		probe_note("%s is not there", row->path);
		return PROBE_NA;
	}
	return probe_result(size);
}

/* A file given all capabilities here and then executed as another user gives none. */
static int own_file_caps(const struct probe_row *row)
{
	struct vfs_ns_cap_data all = { .magic_etc = VFS_CAP_REVISION_3 | VFS_CAP_FLAGS_EFFECTIVE,
				       .data = { { ~0U, 0 }, { ~0U, 0 } } };
	char path[] = "/tmp/probe.XXXXXX";
	cx_autofd int from = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	int to = mkostemp(path, O_CLOEXEC);
	static char block[65536];
	ssize_t got;

	(void)row;
	while ((got = read(from, block, sizeof(block))) > 0)
		if (write(to, block, (size_t)got) != got)
			break;
	(void)fchmod(to, 0755);
	int granted = fsetxattr(to, "security.capability", &all, sizeof(all), 0);
	int saved = errno;

	(void)close(to);
	pid_t child = fork();

	if (child == 0) {
		if (geteuid() == 0 && (setgid(OTHER_USER) < 0 || setuid(OTHER_USER) < 0))
			_exit(1);
		(void)execl(path, "probe", "--whoami", (char *)NULL);
		_exit(2);
	}
	int code = wait_for(child);

	(void)unlink(path);
	probe_note("setting it: %s; run: %d", granted < 0 ? strerror(saved) : "allowed", code);
	return code == 0 || code == 2 ? -EPERM : PROBE_OPEN;
}

static int set_attribute(const struct probe_row *row)
{
	char path[] = "/probe.XXXXXX"; /* on the overlay, and so on a disk of the host */
	cx_autofd int fd = mkostemp(path, O_CLOEXEC);
	int result;

	if (fd < 0)
		return -errno;
	result = probe_result(fsetxattr(fd, row->path, "y", 1, 0));
	(void)unlink(path);
	return result;
}

/* On the overlay itself: marks that would make it look at another place of the layers. */
static int overlay_attribute(const struct probe_row *row)
{
	static const char dir[] = "/probe-overlay";
	char value[8];
	int result;

	if (mkdir(dir, 0700) < 0)
		return -errno;
	result = probe_result(setxattr(dir, row->path, "y", 1, 0));
	if (result == PROBE_OPEN && getxattr(dir, row->path, value, sizeof(value)) == 1) {
		/* Kept for us under another name (the kernel escapes it): not the overlay's mark.
		 */
		probe_note("kept, escaped by the overlay");
		result = -EXDEV;
	}
	(void)rmdir(dir);
	return result;
}

/* ---- what a command inherits ---- */
/* Only 0, 1, 2 are open: each a pipe, a socket, a terminal of ours, or /dev/null. */
static int descriptors(const struct probe_row *row)
{
	DIR *dir = opendir("/proc/self/fd");
	const struct dirent *entry;
	char path[300], target[256];
	int result = -EBADF;

	(void)row;
	if (dir == NULL)
		return -errno;
	while ((entry = readdir(dir)) != NULL) {
		int fd = atoi(entry->d_name);
		ssize_t len;

		if (entry->d_name[0] == '.' || fd == dirfd(dir))
			continue;
		(void)snprintf(path, sizeof(path), "/proc/self/fd/%s", entry->d_name);
		len = readlink(path, target, sizeof(target) - 1);
		target[len < 0 ? 0 : len] = '\0';
		if (fd > STDERR_FILENO && (fcntl(fd, F_GETFD) & FD_CLOEXEC) != 0)
			continue; /* this probe's own pipe; nothing is kept over an exec with it */
		if (fd <= STDERR_FILENO &&
		    (strncmp(target, "pipe:", 5) == 0 || strncmp(target, "socket:", 7) == 0 ||
		     strncmp(target, "/dev/pts/", 9) == 0 || strcmp(target, "/dev/null") == 0))
			continue;
		probe_note("%d -> %s", fd, target);
		result = PROBE_OPEN;
	}
	(void)closedir(dir);
	return result;
}

/* A directory through an inherited descriptor: CVE-2024-21626 by every number. */
static int directory_fd(const struct probe_row *row)
{
	(void)row;
	for (int fd = 0; fd < 1024; fd++) {
		struct stat st;

		if (fstat(fd, &st) == 0 && S_ISDIR(st.st_mode)) {
			probe_note("descriptor %d", fd);
			return PROBE_OPEN;
		}
		if (fchdir(fd) == 0) {
			probe_note("descriptor %d", fd);
			return PROBE_OPEN;
		}
	}
	return -ENOTDIR;
}

static int working_dir(const struct probe_row *row)
{
	char at[PATH_MAX];
	long len = syscall(SYS_getcwd, at, sizeof(at));

	(void)row;
	if (len < 0)
		return PROBE_OPEN;
	probe_note("%s", at);
	return at[0] == '/' && strstr(at, "(unreachable)") == NULL ? -EXDEV : PROBE_OPEN;
}

static int secrets(const struct probe_row *row)
{
	static const char *const words[] = { "CAISSON_API_KEY", "CAISSON_ADMIN", "NOTIFY_SOCKET",
					     "INVOCATION_ID",	"LISTEN_FDS",	 "CAISSON_SECRET" };
	static char text[131072];
	long size = probe_slurp(row->path, text, sizeof(text));

	if (size < 0)
		return (int)size;
	for (long i = 0; i < size; i++)
		if (text[i] == '\0')
			text[i] = ' ';
	for (size_t i = 0; i < CX_LEN(words); i++)
		if (strstr(text, words[i]) != NULL) {
			probe_note("%s", words[i]);
			return PROBE_OPEN;
		}
	return -ENODATA;
}

/* The memory of another user's process of this sandbox. */
static int other_user(const struct probe_row *row)
{
	char path[64];
	int result;
	pid_t victim, thief;

	victim = fork();
	if (victim == 0) {
		(void)pause();
		_exit(0);
	}
	(void)snprintf(path, sizeof(path), "/proc/%d/%s", victim, row->path);
	thief = fork();
	if (thief == 0) {
		if (setgid(OTHER_USER) < 0 || setuid(OTHER_USER) < 0)
			_exit(2);
		cx_autofd int fd = open(path, O_RDONLY | O_CLOEXEC);

		_exit(fd < 0 ? 0 : 1);
	}
	int code = wait_for(thief);

	result = code == 0 ? -EACCES : code == 1 ? PROBE_OPEN : PROBE_NA;
	(void)kill(victim, SIGKILL);
	(void)waitpid(victim, NULL, 0);
	return result;
}

static int session_leader(const struct probe_row *row)
{
	(void)row;
	/* A session or group of the agent's could be signalled by it, or take its terminal. */
	return getsid(0) == 1 || getsid(0) == 0 ? PROBE_OPEN : -ESRCH;
}

#define SAFE PROBE_SAFE_OUTSIDE
static const struct probe_row rows[] = {
	{ "cap_inh", cap_set, "CapInh:", 0, 0, 0, 0, "CVE-2022-29162" },
	{ "cap_amb", cap_set, "CapAmb:", 0, 0, 0, 0, "capabilities of every child" },
	{ "cap_bnd", cap_set, "CapBnd:", 1, 0, 0, SAFE, "capabilities by any way" },
	{ "cap_prm", cap_set, "CapPrm:", 1, 0, 0, SAFE, "capabilities" },
	{ "cap_eff", cap_set, "CapEff:", 1, 0, 0, SAFE, "capabilities" },
	{ "cap_eff_user", cap_set, "CapEff:", 0, 0, 0, PROBE_USER, "capabilities of a user" },
	{ "cap_prm_user", cap_set, "CapPrm:", 0, 0, 0, PROBE_USER, "capabilities of a user" },
	{ "all_seccomp", all_status, "Seccomp:\t", 2, 0, 0, SAFE, "a process without the filter" },
	{ "all_nnp", all_status, "NoNewPrivs:\t", 1, 0, 0, SAFE, "a process that may gain" },
	{ "ambient_admin", ambient, NULL, CAP_SYS_ADMIN, 0, 0, 0, "capabilities of every child" },
	{ "ambient_chown", ambient, NULL, CAP_CHOWN, 0, 0, PROBE_USER, "capabilities of a user" },
	{ "ambient_own", ambient_own, NULL, CAP_CHOWN, 0, 0, PROBE_ROOT,
	  "capabilities of every child" },
	{ "keep_caps", keep_caps, NULL, 0, 0, 0, SAFE, "capabilities of a user" },
	{ "capset_all", raise_caps, NULL, 0, 0, 0, 0, "capabilities" },
	{ "inherit_admin", inherit_cap, NULL, CAP_SYS_ADMIN, 0, 0, 0, "capabilities by a file" },
	{ "inherit_ptrace", inherit_cap, NULL, CAP_SYS_PTRACE, 0, 0, 0, "capabilities by a file" },
	{ "inherit_net", inherit_cap, NULL, CAP_NET_ADMIN, 0, 0, 0, "capabilities by a file" },
	{ "setuid_0", become_uid, NULL, 0, 0, 0, PROBE_USER, "root of the sandbox" },
	{ "setgid_0", become_gid, NULL, 0, 0, 0, PROBE_USER, "root's group" },
	{ "setgroups_0", become_groups, NULL, 0, 0, 0, PROBE_USER, "root's group" },
	{ "setuid_beyond", become_uid, NULL, UNMAPPED, 0, 0, SAFE, "an id of another sandbox" },
	{ "setuid_far", become_uid, NULL, 524288, 0, 0, SAFE, "an id of another sandbox" },
	{ "setgid_beyond", become_gid, NULL, UNMAPPED, 0, 0, SAFE, "an id of another sandbox" },
	{ "setgroups_beyond", become_groups, NULL, UNMAPPED, 0, 0, SAFE,
	  "an id of another sandbox" },
	{ "setfsuid_beyond", become_fsuid, NULL, UNMAPPED, 0, 0, SAFE, "an id of another sandbox" },
	{ "chown_beyond", give_away, NULL, UNMAPPED, 0, 0, SAFE, "files of another sandbox" },
	{ "chown_far", give_away, NULL, 1000000, 0, 0, SAFE, "files of another sandbox" },
	{ "chown_last", give_away, NULL, 0xfffffffeL, 0, 0, SAFE, "files of nobody's" },
	{ "chgrp_beyond", give_away, NULL, UNMAPPED, 1, 0, SAFE, "files of another sandbox" },
	{ "chown_user", give_away, NULL, 0, 0, 0, PROBE_USER, "files of root's" },
	{ "suid_image", set_user_id, "/probe-suid", 0, 0, 0, 0, "set-user-ID files of the image" },
	{ "sgid_image", set_user_id, "/probe-sgid", 0, 0, 0, 0, "set-group-ID files of the image" },
	{ "suid_su", set_user_id, "/bin/su", 0, 0, 0, 0, "set-user-ID files of the image" },
	{ "caps_image", file_caps, "/probe-caps", 0, 0, 0, 0, "file capabilities of the image" },
	{ "caps_own", own_file_caps, NULL, 0, 0, 0, PROBE_ROOT, "file capabilities made here" },
	{ "xattr_trusted", set_attribute, "trusted.probe", 0, 0, 0, 0, "marks for the host" },
	{ "xattr_overlay", set_attribute, "trusted.overlay.opaque", 0, 0, 0, 0,
	  "marks for the host" },
	{ "xattr_security", set_attribute, "security.SMACK64", 0, 0, 0, 0, "labels" },
	{ "xattr_ima", set_attribute, "security.ima", 0, 0, 0, 0, "labels" },
	{ "overlay_opaque", overlay_attribute, "user.overlay.opaque", 0, 0, 0, PROBE_ROOT,
	  "redirects to what lies below" },
	{ "overlay_redirect", overlay_attribute, "user.overlay.redirect", 0, 0, 0, PROBE_ROOT,
	  "redirects to what lies below" },
	{ "descriptors", descriptors, NULL, 0, 0, 0, 0, "a descriptor of the engine's" },
	{ "directory_fd", directory_fd, NULL, 0, 0, 0, 0,
	  "a directory of the host (CVE-2024-21626)" },
	{ "cwd", working_dir, NULL, 0, 0, 0, 0, "a directory of the host (CVE-2024-21626)" },
	{ "environ", secrets, "/proc/self/environ", 0, 0, 0, 0, "keys of the engine" },
	{ "cmdline_agent", secrets, "/proc/1/cmdline", 0, 0, 0, 0, "keys of the engine" },
	{ "environ_agent", secrets, "/proc/1/environ", 0, 0, 0, 0, "keys of the engine" },
	{ "other_mem", other_user, "mem", 0, 0, 0, PROBE_ROOT, "root's memory read by a user" },
	{ "other_environ", other_user, "environ", 0, 0, 0, PROBE_ROOT,
	  "root's secrets read by a user" },
	{ "other_fd", other_user, "fd/0", 0, 0, 0, PROBE_ROOT, "root's files read by a user" },
	{ "other_maps", other_user, "maps", 0, 0, 0, PROBE_ROOT, "root's memory read by a user" },
	{ "session", session_leader, NULL, 0, 0, 0, 0, "the agent's session" },
};

const struct probe_group probe_creds = { "cred", rows, CX_LEN(rows) };
