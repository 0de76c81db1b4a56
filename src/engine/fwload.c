/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/fwload.h"

#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "base/fd.h"
#include "base/str.h"
#include "runtime/process.h"

enum {
	TABLE_NAME = 64,
	WAIT_MS = 60000, /* the first load waits for some twenty modules of the kernel */
	CPU_SECONDS = 10,
	SAID_MAX = 400,
};

static int memory_of(const struct cx_buf *text, struct cx_err *err)
{
	cx_autofd int fd = memfd_create("caisson-firewall", MFD_CLOEXEC);

	if (fd < 0)
		return cx_fail(err, errno, "memory for a ruleset");
	if (cx_write_all(fd, text->p, text->len, err) < 0)
		return -err->errnum;
	if (lseek(fd, 0, SEEK_SET) < 0)
		return cx_fail(err, errno, "memory for a ruleset");
	return cx_take_fd(&fd);
}

static int start(const char *program, int netns, int text, int said, int *ret_pidfd,
		 struct cx_err *err)
{
	char name[] = "caisson-firewall";
	char *argv[] = { name, NULL }, *envp[] = { NULL };
	const int fds[] = { text, -EBADF, said, netns };
	const struct cx_process_plan plan = { .path = program,
					      .argv = argv,
					      .envp = envp,
					      .fds = fds,
					      .nfds = CX_LEN(fds),
					      .cpu_seconds = CPU_SECONDS,
					      .die_with_parent = 1 };
	pid_t pid;

	return cx_process_start(&plan, &pid, ret_pidfd, err);
}

/* Its exit status, or -1 when it was killed. */
static int wait_for(int pidfd, struct cx_err *err)
{
	struct pollfd end = { .fd = pidfd, .events = POLLIN };
	siginfo_t info = { 0 };
	int r;

	do
		r = poll(&end, 1, WAIT_MS);
	while (r < 0 && errno == EINTR);
	if (r != 1)
		(void)syscall(SYS_pidfd_send_signal, pidfd, SIGKILL, NULL, 0);
	if (waitid(P_PIDFD, (id_t)pidfd, &info, WEXITED) < 0)
		return cx_fail(err, errno, "wait for caisson-firewall");
	return info.si_code == CLD_EXITED ? info.si_status : -1;
}

int cx_fwload(void *program, int netns, const struct cx_buf *text, struct cx_err *err)
{
	cx_autofd int memory = memory_of(text, err), pidfd = -EBADF, r = -EBADF, w = -EBADF;
	char said[SAID_MAX + 1] = "";
	ssize_t n;
	int status;

	if (memory < 0 || cx_pipe(&r, &w, err) < 0 ||
	    start(program, netns, memory, w, &pidfd, err) < 0)
		return -err->errnum;
	cx_close(&w);
	status = wait_for(pidfd, err);
	if (status == 0)
		return 0;
	n = cx_set_nonblock(r, true, err) < 0 ? 0 : read(r, said, SAID_MAX);
	said[n > 0 ? n : 0] = '\0';
	return cx_refuse(err, CX_UNAVAILABLE,
			 "nft does not take the rules (needs nf_tables, conntrack and NAT in the "
			 "kernel, or '[network] enabled = no'): %s",
			 said);
}

static int name_table(const char *instance, char name[TABLE_NAME], struct cx_err *err)
{
	return cx_format(name, TABLE_NAME, "caisson-%s", err, instance);
}

void cx_fwload_discard(const char *instance)
{
	char table[TABLE_NAME];
	struct cx_err err;

	if (name_table(instance, table, &err) >= 0)
		cx_firewall_discard(table);
}

int cx_fwload_open(const struct cx_config *c, const char *instance, const struct cx_router *router,
		   uint32_t slots, struct cx_firewall **ret, struct cx_err *err)
{
	char program[CX_CONFIG_TEXT + 32], table[TABLE_NAME];
	const struct cx_firewall_plan plan = { .router = router,
					       .load = cx_fwload,
					       .arg = program,
					       .table = table,
					       .slots = slots,
					       .allowed = c->private_nets,
					       .nallowed = c->nprivate_nets,
					       .services = c->services,
					       .nservices = c->nservices,
					       .connections = (uint32_t)c->connections,
					       .packets = (uint32_t)c->packets };

	if (cx_format(program, sizeof program, "%s/caisson-firewall", err, c->libexec) < 0 ||
	    name_table(instance, table, err) < 0)
		return -err->errnum;
	return cx_firewall_open(&plan, ret, err);
}
