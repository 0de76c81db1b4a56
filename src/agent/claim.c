/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/claim.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/keyctl.h>
#include <linux/magic.h>
#include <linux/seccomp.h>
#include <linux/securebits.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "agent/mount.h"
#include "base/fd.h"
#include "base/path.h"
#include "policy/policy.h"

struct claim {
	struct cx_agent *agent;
	char hostname[64];
	int root; /* the mount as it came, and then attached */
};

static int step_hostname(struct claim *c, struct cx_err *err)
{
	if (sethostname(c->hostname, strlen(c->hostname)) < 0)
		return cx_fail(err, errno, "set host name '%s'", c->hostname);
	return 0;
}

/*
 * Over the skeleton, which is "/": there it cannot be seen from, as ".." ends at the lowest root of
 * a namespace whatever lies on it, and nobody inside may unmount.
 */
static int step_root(struct claim *c, struct cx_err *err)
{
	if (move_mount(c->root, "", c->agent->blank.skeleton, "",
		       MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH) < 0)
		return cx_fail(err, errno, "mount the image's root");
	return 0;
}

static int step_trees(struct claim *c, struct cx_err *err)
{
	for (const char *const *tree = cx_blank_trees; *tree != NULL; tree++)
		if (cx_mount_move(c->agent->blank.skeleton, c->root, *tree, err) < 0)
			return -err->errnum;
	return 0;
}

/* Again by name, as the sandbox will see it: each of them is what it is said to be. */
static int step_check(struct claim *c, struct cx_err *err)
{
	for (size_t i = 0; i < cx_policy_nmounts; i++) {
		const struct cx_mount_row *row = &cx_policy_mounts[i];
		cx_autofd int fd = cx_open_no_links(c->root, row->at, O_PATH | O_DIRECTORY, 0, err);

		if (fd < 0 || cx_mount_check(fd, row->magic, row->at, err) < 0)
			return -err->errnum;
	}
	return 0;
}

static int replace_file(int etc, const char *name, const char *text, struct cx_err *err)
{
	cx_autofd int fd = -EBADF;

	/* Unlinked, not opened: it may be a link, a FIFO, or hard-linked to another file. */
	if (unlinkat(etc, name, 0) < 0 && errno != ENOENT)
		return errno == EISDIR ? cx_refuse(err, CX_INVALID,
						   "the image's '/etc/%s' is a directory", name)
				       : cx_fail(err, errno, "replace '/etc/%s'", name);
	fd = openat(etc, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644);
	if (fd < 0)
		return cx_fail(err, errno, "make '/etc/%s'", name);
	return cx_write_all(fd, text, strlen(text), err);
}

/* The resolver of proto/resolver_msgs.h; what it cannot find out it says within five seconds. */
static const char *name_servers(void)
{
	if (if_nametoindex("eth0") == 0)
		return "# this sandbox has no name server\n";
	return "nameserver 169.254.1.1\noptions timeout:3 attempts:2\n";
}

static int step_files(struct claim *c, struct cx_err *err)
{
	cx_autofd int workspace = cx_mount_point(c->root, "workspace", 0755, err);
	cx_autofd int etc = -EBADF;
	char hosts[256], name[80];
	struct timespec times[2];
	struct stat st;

	if (workspace < 0)
		return workspace;
	etc = cx_mount_point(c->root, "etc", 0755, err);
	if (etc < 0)
		return etc;
	if (fstat(etc, &st) < 0)
		return cx_fail(err, errno, "look at '/etc'");
	(void)snprintf(name, sizeof name, "%s\n", c->hostname);
	(void)snprintf(hosts, sizeof hosts,
		       "127.0.0.1\tlocalhost\n127.0.1.1\t%s\n::1\tlocalhost ip6-localhost\n",
		       c->hostname);
	if (replace_file(etc, "hostname", name, err) < 0 ||
	    replace_file(etc, "hosts", hosts, err) < 0 ||
	    replace_file(etc, "resolv.conf", name_servers(), err) < 0)
		return -err->errnum;
	/* What is made anew in every sandbox is no change of the image's. */
	times[0] = st.st_atim;
	times[1] = st.st_mtim;
	if (utimensat(c->root, "etc", times, AT_SYMLINK_NOFOLLOW) < 0)
		return cx_fail(err, errno, "times of '/etc'");
	return 0;
}

static int step_enter(struct claim *c, struct cx_err *err)
{
	if (fchdir(c->root) < 0 || chroot(".") < 0 || chdir("/") < 0)
		return cx_fail(err, errno, "enter the image's root");
	return cx_blank_check_root(c->root, err);
}

static int step_descriptors(struct claim *c, struct cx_err *err)
{
	int null = open("/dev/null", O_RDWR | O_NOFOLLOW | O_CLOEXEC);

	if (null < 0)
		return cx_fail(err, errno, "open '/dev/null'");
	for (int fd = 0; fd < 3; fd++)
		if (null != fd && dup2(null, fd) < 0)
			return cx_fail(err, errno, "replace descriptor %d", fd);
	if (null > 2)
		cx_close(&null);
	cx_close(&c->agent->blank.skeleton);
	if (close(CX_AGENT_FD_DEV) < 0)
		return cx_fail(err, errno, "close the device mount");
	return 0;
}

static int step_keyring(struct claim *c, struct cx_err *err)
{
	(void)c;
	if (syscall(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, NULL) < 0 && errno != ENOSYS)
		return cx_fail(err, errno, "join a session keyring");
	return 0;
}

static int step_rlimits(struct claim *c, struct cx_err *err)
{
	(void)c;
	for (size_t i = 0; i < cx_policy_nrlimits; i++) {
		const struct cx_rlimit_row *row = &cx_policy_rlimits[i];
		struct rlimit now;

		if (prlimit(0, (__rlimit_resource_t)row->resource, NULL, &now) < 0)
			return cx_fail(err, errno, "read resource limit %d", row->resource);
		if (now.rlim_max > row->hard)
			now.rlim_max = row->hard;
		now.rlim_cur = row->soft < now.rlim_max ? row->soft : now.rlim_max;
		if (prlimit(0, (__rlimit_resource_t)row->resource, &now, NULL) < 0)
			return cx_fail(err, errno, "set resource limit %d", row->resource);
	}
	return 0;
}

/* While CAP_SETPCAP is still ours: a capability can be kept or passed on by no other way. */
static int step_securebits(struct claim *c, struct cx_err *err)
{
	enum {
		BITS = SECBIT_NO_CAP_AMBIENT_RAISE | SECBIT_NO_CAP_AMBIENT_RAISE_LOCKED |
		       SECBIT_KEEP_CAPS_LOCKED
	};

	(void)c;
	if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0)
		return cx_fail(err, errno, "clear ambient capabilities");
	if (prctl(PR_SET_SECUREBITS, BITS) < 0)
		return cx_fail(err, errno, "set securebits");
	return 0;
}

static uint64_t kept_capabilities(void)
{
	uint64_t kept = 0;

	for (size_t i = 0; i < cx_policy_ncaps; i++)
		kept |= UINT64_C(1) << cx_policy_caps[i].cap;
	return kept;
}

static int step_bounding(struct claim *c, struct cx_err *err)
{
	uint64_t kept = kept_capabilities();

	(void)c;
	for (unsigned long cap = 0; cap < 64; cap++) {
		if ((kept >> cap & 1) != 0 || prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) == 0)
			continue;
		if (errno == EINVAL) /* beyond the last one that this kernel knows */
			break;
		return cx_fail(err, errno, "drop capability %lu", cap);
	}
	return 0;
}

static int step_capabilities(struct claim *c, struct cx_err *err)
{
	uint64_t kept = kept_capabilities();
	struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[2] = {
		{ .effective = (uint32_t)kept, .permitted = (uint32_t)kept },
		{ .effective = (uint32_t)(kept >> 32), .permitted = (uint32_t)(kept >> 32) },
	};

	(void)c;
	if (syscall(SYS_capset, &head, data) < 0)
		return cx_fail(err, errno, "set capabilities");
	return 0;
}

static int step_no_new_privs(struct claim *c, struct cx_err *err)
{
	(void)c;
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return cx_fail(err, errno, "set no_new_privs");
	if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0 || prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) != 0)
		return cx_fail(err, errno, "become untraceable");
	return 0;
}

static int step_filter(struct claim *c, struct cx_err *err)
{
	enum { INSN = sizeof(struct sock_filter) };
	cx_autofd int fd = CX_AGENT_FD_SECCOMP;
	cx_autofree struct sock_filter *code = NULL;
	struct sock_fprog program = { 0 };
	struct stat st;

	(void)c;
	if (fstat(fd, &st) < 0)
		return cx_fail(err, errno, "look at the filter");
	if (st.st_size <= 0 || st.st_size > BPF_MAXINSNS * INSN || st.st_size % INSN != 0)
		return cx_refuse(err, CX_INVALID, "a filter of %lld bytes", (long long)st.st_size);
	program.filter = code = malloc((size_t)st.st_size);
	if (code == NULL)
		return cx_fail(err, ENOMEM, "filter");
	if (pread(fd, code, (size_t)st.st_size, 0) != st.st_size)
		return cx_fail(err, errno, "read the filter");
	program.len = (unsigned short)(st.st_size / INSN);
	if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program) < 0)
		return cx_fail(err, errno, "load the filter");
	return 0;
}

struct step {
	const char *name;
	int (*run)(struct claim *c, struct cx_err *err);
	const char *why;
};

static const struct step early_steps[] = {
	/* while it is blank */
	{ "keyring", step_keyring, "none of the host's keys is possessed" },
	{ "resource limits", step_rlimits, "hard limits, inherited by every command" },
	{ "securebits", step_securebits, "needs CAP_SETPCAP" },
	{ "bounding set", step_bounding, "the same; nothing can be had back by executing a file" },
};

static const struct step steps[] = {
	{ "host name", step_hostname, "needs CAP_SYS_ADMIN" },
	{ "root", step_root, "the image's tree, whose content nobody has changed yet" },
	{ "files", step_files, "before anything is mounted in it that a file could hide behind" },
	{ "trees", step_trees, "/proc, /dev, /sys, /tmp, over whatever the image has there" },
	{ "check", step_check, "mounted and seen are the same" },
	{ "enter", step_enter, "all that is below \"/\" is the image's, or was made for it" },
	{ "descriptors", step_descriptors, "nothing that is open leads out" },
	{ "capabilities", step_capabilities, "nothing below needs more than what is kept" },
	{ "no_new_privs", step_no_new_privs, "set-user-ID files of the image are inert" },
	{ "filter", step_filter, "last: what is above needs what it refuses" },
};

static int run_steps(const struct step *rows, size_t n, struct claim *c, struct cx_err *err)
{
	for (size_t i = 0; i < n; i++)
		if (rows[i].run(c, err) < 0)
			return cx_wrap(err, "claim step '%s'", rows[i].name);
	return 0;
}

int cx_claim_prepare(struct cx_err *err)
{
	return run_steps(early_steps, CX_LEN(early_steps), NULL, err);
}

int cx_claim(struct cx_agent *agent, const struct cx_msg_claim *m, int root, struct cx_err *err)
{
	struct claim c = { .agent = agent, .root = root };

	if (m->hostname.len == 0 || !cx_str_copy(m->hostname, c.hostname, sizeof c.hostname))
		return cx_refuse(err, CX_INVALID, "host name of %u bytes", m->hostname.len);
	if (run_steps(steps, CX_LEN(steps), &c, err) < 0)
		return -err->errnum;
	agent->phase = CX_PHASE_CLAIMED;
	return 0;
}
