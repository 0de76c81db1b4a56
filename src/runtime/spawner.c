/* SPDX-License-Identifier: Apache-2.0 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/keyctl.h>
#include <linux/securebits.h>
#include <net/if.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fault.h"
#include "base/fd.h"
#include "base/str.h"
#include "net/sysctl.h"
#include "net/veth.h"
#include "policy/policy.h"
#include "proto/agent_msgs.h"
#include "proto/spawn_msgs.h"
#include "runtime/caps.h"
#include "runtime/idmap.h"
#include "runtime/spawn.h"

/* The other end of spawn.c: the whole of caisson-spawner. */

enum {
	EXIT_SETUP_FAILED = 125,
	ALL_NAMESPACES = CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWIPC | CLONE_NEWUTS,
};

struct spawner {
	int control, agent_image, filter;
	int netns, cgroupns; /* its own, to come back to */
	int router_ns;	     /* -EBADF: no links are made */
	struct cx_rtnl *router;
	char cpus[12]; /* the agent's second argument */
	void *stack;   /* where that of a child begins */
};

/* A request: views of the packet's descriptors. */
struct blank {
	const struct spawner *spawner;
	struct cx_msg_spawn msg;
	struct cx_slot_link link; /* with msg.link */
	int listener, dev, ns;
	const int *tasks, *work;
	int go, report;		/* the child's ends */
	int our_go, our_report; /* the spawner's */
	bool astray;		/* the spawner did not come back from where it made it */
};

/* ---- the child, between clone and execveat: no allocation, no stream ------------------------ */

/*
 * It is in the spawner's memory: a copy would cost more than all that is done in it. So the two
 * take turns: it waits until "go", and then the spawner does until the end of the report, which
 * says that the child has another memory, or none. Its own are its stack and its descriptors; what
 * libc keeps for a thread (errno) they have together. Not so where more than our own code keeps
 * accounts there, for one process: sanitizers, and points of faults.
 */
#if defined(__SANITIZE_ADDRESS__) || defined(CX_FAULT_INJECTION)
enum { MEMORY = 0 };
#elif defined(__has_feature)
enum { MEMORY = __has_feature(address_sanitizer) ? 0 : CLONE_VM };
#else
enum { MEMORY = CLONE_VM };
#endif

static int step_maps(const struct blank *b, struct cx_err *err)
{
	char byte;

	if (read(b->go, &byte, 1) != 1)
		return cx_refuse(err, CX_INTERNAL, "the spawner gave up");
	return 0;
}

/*
 * By itself, and on v1 "tasks": moving another process, or a whole one, waits for RCU (6 to 11 ms).
 * On v2 it has to wait: CLONE_INTO_CGROUP wants to see both groups from the cgroup namespace that
 * the child is to have, which shows only the new one. Here the files were opened by caissond, and
 * who opened them is who is asked.
 */
static int step_cgroups(const struct blank *b, struct cx_err *err)
{
	for (unsigned i = 0; i < b->msg.ntasks; i++)
		if (write(b->tasks[i], "0", 1) != 1)
			return cx_fail(err, errno, "join group %u", i);
	/* On v2 the namespace was there before the clone. Here its root is the agent's group. */
	if (b->ns < 0 && unshare(CLONE_NEWCGROUP) < 0)
		return cx_fail(err, errno, "new cgroup namespace");
	return 0;
}

static int step_ids(const struct blank *b, struct cx_err *err)
{
	(void)b;
	if (setgroups(0, NULL) < 0)
		return cx_fail(err, errno, "setgroups");
	if (setresgid(0, 0, 0) < 0 || setresuid(0, 0, 0) < 0)
		return cx_fail(err, errno, "become root inside");
	return 0;
}

/* Signals are as new: the spawner was started so (runtime/process.c), and changes none. */
static int step_session(const struct blank *b, struct cx_err *err)
{
	(void)b;
	if (setsid() < 0)
		return cx_fail(err, errno, "setsid");
	(void)umask(022);
	/* Else the sandbox would hold a link to the keys of whoever started caissond. */
	if (syscall(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, NULL, 0, 0, 0) < 0 && errno != ENOSYS)
		return cx_fail(err, errno, "new session keyring");
	return 0;
}

static int step_fds(const struct blank *b, struct cx_err *err)
{
	cx_autofd int null = openat(b->dev, "null", O_RDWR | O_CLOEXEC | O_NOFOLLOW);
	int fds[CX_AGENT_FD_WORK + CX_AGENT_WORK_MAX] = {
		null, null, null, b->listener, b->dev, b->spawner->filter,
	};

	if (null < 0)
		return cx_fail(err, errno, "open the sandbox's /dev/null");
	for (unsigned i = 0; i < b->msg.nwork; i++)
		fds[CX_AGENT_FD_WORK + i] = b->work[i];
	return cx_fds_arrange(fds, CX_AGENT_FD_WORK + b->msg.nwork, 0, err);
}

static const struct {
	const char *name;
	int (*run)(const struct blank *b, struct cx_err *err);
} steps[] = {
	{ "id maps", step_maps },    { "cgroups", step_cgroups }, { "ids", step_ids },
	{ "session", step_session }, { "descriptors", step_fds }, /* last: nothing that those above
								     need is left after it */
};

static int child_main(void *arg)
{
	enum { ABOVE = CX_AGENT_FD_WORK + CX_AGENT_WORK_MAX };
	const struct blank *b = arg;
	char name[] = "caisson-agent", nwork[4], cpus[sizeof b->spawner->cpus];
	char *argv[] = { name, nwork, cpus, NULL }, *envp[] = { NULL };
	struct cx_err err = { 0 }, lost;
	int image = fcntl(b->spawner->agent_image, F_DUPFD_CLOEXEC, ABOVE);
	int report = fcntl(b->report, F_DUPFD_CLOEXEC, ABOVE);

	(void)close(b->our_go); /* so that the spawner's death is seen, at both pipes */
	(void)close(b->our_report);
	(void)snprintf(nwork, sizeof nwork, "%u", b->msg.nwork);
	memcpy(cpus, b->spawner->cpus, sizeof cpus);
	for (size_t i = 0; i < CX_LEN(steps) && err.errnum == 0; i++)
		if (steps[i].run(b, &err) < 0)
			(void)cx_wrap(&err, "step '%s'", steps[i].name);
	if (err.errnum == 0) {
		(void)syscall(SYS_execveat, image, "", argv, envp, AT_EMPTY_PATH);
		(void)cx_fail(&err, errno, "execute the agent");
	}
	(void)!cx_write_all(report, &err, sizeof err, &lost);
	_exit(EXIT_SETUP_FAILED);
}

/* ---- namespaces that are made before the clone and inherited -------------------------------- */

static int loopback_up(struct cx_err *err)
{
	cx_autofd int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct ifreq request = { .ifr_name = "lo", .ifr_flags = IFF_UP | IFF_RUNNING };

	if (fd < 0 || ioctl(fd, SIOCSIFFLAGS, &request) < 0)
		return cx_fail(err, errno, "loopback up");
	return 0;
}

/* Owned by the host's user namespace: root inside has no CAP_NET_ADMIN over it. */
static int enter_netns(const struct blank *b, struct cx_err *err)
{
	if (unshare(CLONE_NEWNET) < 0)
		return cx_fail(err, errno, "new network namespace");
	if (loopback_up(err) < 0 ||
	    cx_sysctl_write("/proc/sys", cx_policy_sysctls, cx_policy_nsysctls, true, err) < 0)
		return -err->errnum;
	if (b->msg.link == 0)
		return 0;
	return cx_veth_make(b->spawner->router, b->spawner->router_ns, &b->link, err);
}

static int leave(const struct spawner *s, struct cx_err *err)
{
	if (setns(s->netns, CLONE_NEWNET) < 0 || setns(s->cgroupns, CLONE_NEWCGROUP) < 0)
		return cx_fail(err, errno, "go back to own namespaces");
	return 0;
}

/* ---- one request ---------------------------------------------------------------------------- */

/*
 * A user namespace belongs to the effective id of its maker, and what the kernel counts per user
 * (inotify instances, queued signals, namespaces) it counts for the owner too. Were that root, all
 * sandboxes and the host's root would have one share together.
 */
static int become_owner(uid_t uid, struct cx_err *err)
{
	if (seteuid(uid) < 0)
		return cx_fail(err, errno, "take the sandbox's id %u", uid);
	/* Else /proc/PID/ns of the clone would take CAP_SYS_PTRACE over the host. */
	if (prctl(PR_SET_DUMPABLE, 1, 0, 0, 0) < 0)
		return cx_fail(err, errno, "PR_SET_DUMPABLE");
	return 0;
}

/* It is not dumpable again, too: the kernel does that whenever an effective id changes. */
static int become_root(struct cx_err *err)
{
	if (seteuid(0) < 0)
		return cx_fail(err, errno, "take root's id again");
	if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) < 0) /* the change cleared it */
		return cx_fail(err, errno, "PR_SET_PDEATHSIG");
	return 0;
}

static int clone_child(struct blank *b, int *ret_pidfd, struct cx_err *err)
{
	/* CLONE_PARENT: the child is caissond's to wait for, and its exit signal is ours. */
	int pid = clone(child_main, b->spawner->stack,
			ALL_NAMESPACES | MEMORY | CLONE_PIDFD | CLONE_PARENT, b, ret_pidfd);

	return pid > 0 ? pid : cx_fail(err, errno, "clone");
}

/* In the namespaces of the blank, which only the clone is to see. */
static int clone_inside(struct blank *b, int *ret_pidfd, struct cx_err *err)
{
	struct cx_err back = { 0 };
	int pid = -1;

	if (b->ns >= 0 && setns(b->ns, CLONE_NEWCGROUP) < 0)
		(void)cx_fail(err, errno, "enter the cgroup namespace");
	else if (cx_fault_step("network namespace", err) == 0 && enter_netns(b, err) == 0 &&
		 cx_fault_step("clone", err) == 0)
		pid = clone_child(b, ret_pidfd, err);
	if (leave(b->spawner, &back) < 0) {
		b->astray = true;
		*err = back;
		return -err->errnum;
	}
	return pid > 0 ? pid : -err->errnum;
}

static int open_namespace(int pid, const char *name, struct cx_err *err)
{
	char path[40];
	int fd;

	(void)snprintf(path, sizeof path, "/proc/%d/ns/%s", pid, name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	return fd >= 0 ? fd : cx_fail(err, errno, "open its %s namespace", name);
}

/* To its end, which comes when the child has executed the agent or is dead. */
static int collect_report(int fd, struct cx_err *err)
{
	struct cx_err told, more, lost;
	ssize_t n = cx_read_upto(fd, &told, sizeof told, err);

	while (cx_read_upto(fd, &more, sizeof more, &lost) > 0)
		;
	if (n <= 0)
		return (int)n;
	if (n != (ssize_t)sizeof told || told.errnum <= 0 || told.len >= sizeof told.msg)
		return cx_refuse(err, CX_INTERNAL, "the child sent a garbled report");
	*err = told;
	return -err->errnum;
}

/* The owner may look at it and write its maps: over its namespace it has every capability. */
static int make_child(struct blank *b, struct cx_spawned *made, struct cx_err *err)
{
	int pid = clone_inside(b, &made->pidfd, err);

	if (pid < 0)
		return pid;
	made->pid = pid;
	made->userns = open_namespace(pid, "user", err);
	made->mounts = made->userns >= 0 ? open_namespace(pid, "mnt", err) : -EBADF;
	if (made->mounts < 0 || cx_fault_step("id maps", err) < 0)
		return -err->errnum;
	return cx_idmap_write(pid, b->msg.uid_base, err);
}

static int make_child_as_owner(struct blank *b, struct cx_spawned *made, struct cx_err *err)
{
	struct cx_err back = { 0 };
	int r = become_owner(b->msg.uid_base, err);

	if (r == 0)
		r = make_child(b, made, err);
	if (become_root(&back) < 0) {
		b->astray = true;
		*err = back;
		return -err->errnum;
	}
	return r;
}

/* made->pid is also set on failure, when there is a child to wait for. */
static int make_blank(struct blank *b, struct cx_spawned *made, struct cx_err *err)
{
	cx_autofd int go = -EBADF, go_child = -EBADF, report = -EBADF, report_child = -EBADF;
	int r;

	if (cx_pipe(&go_child, &go, err) < 0 || cx_pipe(&report, &report_child, err) < 0)
		return -err->errnum;
	b->go = go_child;
	b->report = report_child;
	b->our_go = go;
	b->our_report = report;
	r = make_child_as_owner(b, made, err);
	cx_close(&report_child);
	if (r == 0 && cx_fault_step("go", err) == 0 && cx_write_all(go, "g", 1, err) == 0 &&
	    collect_report(report, err) == 0)
		return 0;
	/* Until "go" its real id is root's, so this may be sent; later it ends by itself. caissond
	 * is its parent and will find it dead; it never ran a program. */
	if (made->pidfd >= 0)
		(void)syscall(SYS_pidfd_send_signal, made->pidfd, SIGKILL, NULL, 0);
	cx_close(&go);
	(void)!collect_report(report, &(struct cx_err){ 0 }); /* then the memory is ours again */
	return -err->errnum;
}

static int take_fds(struct cx_packet *pkt, struct blank *b, struct cx_err *err)
{
	unsigned at = 2 + b->msg.ntasks, expected = at + b->msg.has_ns + b->msg.nwork;

	if (pkt->nfds != expected)
		return cx_refuse(err, CX_INVALID, "%u descriptors instead of %u", pkt->nfds,
				 expected);
	b->listener = pkt->fds[0];
	b->dev = pkt->fds[1];
	b->tasks = pkt->fds + 2;
	b->ns = b->msg.has_ns ? pkt->fds[at] : -EBADF;
	b->work = pkt->fds + at + b->msg.has_ns;
	return 0;
}

static int take_link(struct blank *b, struct cx_err *err)
{
	const struct cx_msg_spawn *m = &b->msg;

	if (m->link == 0)
		return 0;
	if (b->spawner->router == NULL || m->index <= CX_ROUTER_UPLINK_INDEX ||
	    m->address4.len != 4 || (m->address6.len != 0 && m->address6.len != 16))
		return cx_refuse(err, CX_INVALID, "a link that cannot be made");
	b->link = (struct cx_slot_link){
		.slot = m->slot, .index = m->index, .mtu = m->mtu, .bandwidth = m->bandwidth
	};
	memcpy(&b->link.address4, m->address4.p, 4);
	if (m->address6.len > 0)
		memcpy(&b->link.address6, m->address6.p, 16);
	return 0;
}

static int handle(const struct spawner *s, struct cx_packet *pkt, int *ret_pid, bool *ret_astray,
		  struct cx_err *err)
{
	struct blank b = { .spawner = s };
	CX_AUTO(cx_spawned_close) struct cx_spawned made = CX_SPAWNED_NONE;
	struct cx_msg_spawned spawned;
	int r;

	if (pkt->type != CX_MSG_spawn || !cx_msg_spawn_get(&pkt->body, &b.msg))
		return cx_refuse(err, CX_INVALID, "malformed request of type %#x", pkt->type);
	if (cx_idmap_check(b.msg.uid_base, err) < 0 || take_fds(pkt, &b, err) < 0 ||
	    take_link(&b, err) < 0)
		return -err->errnum;
	r = make_blank(&b, &made, err);
	*ret_pid = made.pid;
	*ret_astray = b.astray;
	if (r < 0)
		return r;
	spawned.pid = (uint32_t)made.pid;
	return cx_msg_spawned_send(s->control, pkt->request, &spawned,
				   (const int[]){ made.pidfd, made.userns, made.mounts }, 3, err);
}

static int answer_error(const struct spawner *s, uint32_t request, int pid,
			const struct cx_err *why, struct cx_err *err)
{
	const struct cx_msg_spawn_error msg = { .kind = why->kind,
						.errnum = why->refused ? 0 : (uint32_t)why->errnum,
						.text = { why->msg, why->len },
						.pid = (uint32_t)pid };

	return cx_msg_spawn_error_send(s->control, request, &msg, NULL, 0, err);
}

/* ---- the process ---------------------------------------------------------------------------- */

/*
 * A mount namespace with nothing in it but /proc, which must be whole: the kernel lets a sandbox
 * mount its own only where one is visible. A clone copies two mounts instead of the host's
 * hundreds.
 */
static int enter_empty_root(struct cx_err *err)
{
	cx_autofd int root = -EBADF;

	if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		return cx_fail(err, errno, "own mount namespace");
	if (mount("tmpfs", "/proc", "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC,
		  "mode=0755,size=16k") < 0)
		return cx_fail(err, errno, "mount an empty root");
	root = open("/proc", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (root < 0 || mkdirat(root, "proc", 0555) < 0 || fchdir(root) < 0)
		return cx_fail(err, errno, "prepare an empty root");
	if (mount("proc", "proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL) < 0)
		return cx_fail(err, errno, "mount /proc");
	if (syscall(SYS_pivot_root, ".", ".") < 0 || umount2(".", MNT_DETACH) < 0 || chdir("/") < 0)
		return cx_fail(err, errno, "pivot_root");
	return 0;
}

/* What protects the daemon from the OOM killer is not for sandboxes, which inherit it from here. */
static int give_up_oom_protection(struct cx_err *err)
{
	cx_autofd int fd = open("/proc/self/oom_score_adj", O_RDWR | O_CLOEXEC);
	char sign = 0;

	if (fd < 0 || pread(fd, &sign, 1, 0) != 1 || (sign == '-' && pwrite(fd, "0", 1, 0) != 1))
		return cx_fail(err, errno, "adjust the OOM score");
	return 0;
}

/* A connection to the router stays there, whatever network namespace the spawner is in. */
static int connect_to_router(struct spawner *s, struct cx_err *err)
{
	int r;

	if (s->router_ns < 0)
		return 0;
	if (setns(s->router_ns, CLONE_NEWNET) < 0)
		return cx_fail(err, errno, "enter the router");
	r = cx_rtnl_open(&s->router, err);
	if (r == 0 && setns(s->netns, CLONE_NEWNET) < 0)
		return cx_fail(err, errno, "come back from the router");
	return r;
}

/* With a page below that nobody may touch. */
static int make_stack(struct spawner *s, struct cx_err *err)
{
	enum { PAGE = 4096, SIZE = 64 << 10 };
	char *at = mmap(NULL, SIZE + PAGE, PROT_READ | PROT_WRITE,
			MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);

	if (at == MAP_FAILED || mprotect(at, PAGE, PROT_NONE) < 0)
		return cx_fail(err, errno, "a stack for children");
	s->stack = at + PAGE + SIZE;
	return 0;
}

static int prepare(struct spawner *s, struct cx_err *err)
{
	/* First of all, as long as that number can be nothing else. */
	if (fcntl(s->router_ns, F_SETFD, FD_CLOEXEC) < 0)
		s->router_ns = -EBADF;
	if (enter_empty_root(err) < 0 || give_up_oom_protection(err) < 0)
		return -err->errnum;
	s->netns = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	s->cgroupns = open("/proc/self/ns/cgroup", O_RDONLY | O_CLOEXEC);
	if (s->netns < 0 || s->cgroupns < 0)
		return cx_fail(err, errno, "open own namespaces");
	if (connect_to_router(s, err) < 0)
		return -err->errnum;
	if (make_stack(s, err) < 0 ||
	    cx_format(s->cpus, sizeof s->cpus, "%ld", err, sysconf(_SC_NPROCESSORS_CONF)) < 0)
		return -err->errnum;
	if (fcntl(s->control, F_SETFD, FD_CLOEXEC) < 0 ||
	    fcntl(s->agent_image, F_SETFD, FD_CLOEXEC) < 0 ||
	    fcntl(s->filter, F_SETFD, FD_CLOEXEC) < 0)
		return cx_fail(err, errno, "descriptors of caissond");
	/* Taking a sandbox's id and root's again costs no capability. */
	if (prctl(PR_SET_SECUREBITS, SECBIT_NO_SETUID_FIXUP | SECBIT_NO_SETUID_FIXUP_LOCKED, 0, 0,
		  0) < 0)
		return cx_fail(err, errno, "PR_SET_SECUREBITS");
	if (cx_caps_bound(cx_policy_spawner_caps, cx_policy_nspawner_caps, err) < 0)
		return -err->errnum;
	return cx_caps_keep(cx_policy_spawner_caps, cx_policy_nspawner_caps, err);
}

int cx_spawner_serve(int control, int agent_image, int filter, int router, struct cx_err *err)
{
	static struct cx_packet pkt; /* too large for the stack of each clone */
	struct spawner s = { .control = control,
			     .agent_image = agent_image,
			     .filter = filter,
			     .router_ns = router };
	int r = prepare(&s, err);

	while (r == 0) {
		struct cx_err why = { 0 };
		int pid = 0;
		bool astray = false;

		r = cx_packet_recv(control, &pkt, err);
		if (r <= 0)
			break; /* caissond ended, or is not to be understood any more */
		r = 0;
		if (handle(&s, &pkt, &pid, &astray, &why) < 0)
			r = answer_error(&s, pkt.request, pid, &why, err);
		cx_packet_drop(&pkt);
		if (astray)
			break; /* what it made next would not be where it belongs */
	}
	cx_rtnl_close(s.router);
	return r;
}
