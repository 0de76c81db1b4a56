/* SPDX-License-Identifier: Apache-2.0 */
#include "escape/probe.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include <linux/magic.h>

#include "base/cleanup.h"

enum { NO_REPORT = 2, GAINED = 3 };
enum { ATTEMPT_MS = 15000, NOTE_MAX = 200, EXIT_MAX_OPEN = 100, EXIT_USAGE = 125 };
enum { PID_NS_OF_THE_HOST = (int)0xEFFFFFFCu, UTS_NS_OF_THE_HOST = (int)0xEFFFFFFEu };

struct probe_host probe_host;

/* What a child reports: fits a pipe's atomic write. */
struct report {
	int result;
	char note[NOTE_MAX];
};
static struct report report;

static const struct probe_group *const groups[] = {
	&probe_control, &probe_mounts,	   &probe_files,   &probe_devices, &probe_pid1,
	&probe_kernel,	&probe_namespaces, &probe_sockets, &probe_creds,   &probe_limits,
};

enum verdict { BLOCKED, OPEN, HUNG, NOT_TRIED, BROKEN, FINE, VERDICT_MAX };
static const char *const verdict_names[VERDICT_MAX] = {
	[BLOCKED] = "BLOCKED", [OPEN] = "OPEN",	    [HUNG] = "HUNG",
	[NOT_TRIED] = "N/A",   [BROKEN] = "BROKEN", [FINE] = "FINE",
};

struct tally {
	unsigned counts[VERDICT_MAX];
	unsigned rows;
};

void probe_note(const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	(void)vsnprintf(report.note, sizeof(report.note), fmt, args);
	va_end(args);
	for (char *c = report.note; *c != '\0'; c++)
		if (*c == '\n' || *c == '\t')
			*c = ' ';
}

int probe_result(long rc)
{
	return rc >= 0 ? PROBE_OPEN : -errno;
}

int probe_unreachable(long rc)
{
	if (rc < 0 && (errno == EPERM || errno == EACCES || errno == ENOSYS))
		return -errno;
	if (rc < 0)
		probe_note("the kernel looked at it: %s", strerror(errno));
	return PROBE_OPEN;
}

static void attempt(const struct probe_row *row, int out)
{
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	(void)setpgid(0, 0);
	/* What works there must not change what the next attempt finds. */
	if (probe_host.outside && unshare(CLONE_NEWNS) < 0)
		_exit(EXIT_USAGE);
	report.result = row->run(row);
	if (write(out, &report, sizeof(report)) != (ssize_t)sizeof(report))
		_exit(EXIT_USAGE);
	_exit(0);
}

static int died_refused(const struct probe_row *row, int status)
{
	int signo = WIFSIGNALED(status) ? WTERMSIG(status) : 0;

	if (signo == SIGSYS)
		return 1;
	return (row->flags & PROBE_FAULTS) != 0 &&
	       (signo == SIGSEGV || signo == SIGBUS || signo == SIGILL);
}

/* Waits for the child's answer and ends what it left behind. Returns 0 when it had to be killed. */
static int collect(const struct probe_row *row, pid_t child, int in, struct report *ret)
{
	struct pollfd answer = { .fd = in, .events = POLLIN };
	int status = 0, answered = poll(&answer, 1, ATTEMPT_MS) == 1;

	if (!answered)
		(void)kill(child, SIGKILL);
	if (!answered || read(in, ret, sizeof(*ret)) != (ssize_t)sizeof(*ret))
		*ret = (struct report){ .result = NO_REPORT };
	(void)waitpid(child, &status, 0);
	(void)kill(-child, SIGKILL);
	if (!answered || ret->result != NO_REPORT)
		return answered;
	ret->result = died_refused(row, status) ? -EPERM : PROBE_OPEN;
	(void)snprintf(ret->note, sizeof(ret->note), "ended without an answer, status 0x%x",
		       (unsigned)status);
	return 1;
}

static enum verdict judge(const struct probe_row *row, const struct report *r, int answered)
{
	int open = r->result == PROBE_OPEN;

	if (!answered)
		return HUNG;
	if ((row->flags & PROBE_CONTROL) != 0)
		return open ? FINE : BROKEN;
	if (r->result == PROBE_NA)
		return NOT_TRIED;
	return open ? OPEN : BLOCKED;
}

static int applies(const struct probe_row *row, struct report *ret)
{
	const char *why = NULL;

	if ((row->flags & PROBE_ROOT) != 0 && geteuid() != 0)
		why = "says something as root only";
	if ((row->flags & PROBE_USER) != 0 && geteuid() == 0)
		why = "says something as an unprivileged user only";
	if (why == NULL)
		return 1;
	*ret = (struct report){ .result = PROBE_NA };
	(void)snprintf(ret->note, sizeof(ret->note), "%s", why);
	return 0;
}

static void run_row(const struct probe_group *group, const struct probe_row *row,
		    struct tally *tally)
{
	struct report result;
	cx_autofd int in = -EBADF, out = -EBADF;
	int pipe_fds[2], answered = 1;
	enum verdict verdict;
	pid_t child;

	if (applies(row, &result)) {
		if (pipe2(pipe_fds, O_CLOEXEC) < 0) {
			perror("probe: pipe");
			exit(EXIT_USAGE);
		}
		in = pipe_fds[0];
		out = pipe_fds[1];
		child = fork();
		if (child == 0)
			attempt(row, out);
		cx_close(&out);
		if (child < 0) {
			perror("probe: fork");
			exit(EXIT_USAGE);
		}
		answered = collect(row, child, in, &result);
	}
	verdict = judge(row, &result, answered);
	tally->counts[verdict]++;
	tally->rows++;
	(void)printf("%s\t%s.%s\t%s\t%s\t%s\n", verdict_names[verdict], group->name, row->name,
		     result.result < 0 ? strerrorname_np(-result.result) : "-", result.note,
		     row->why);
	(void)fflush(stdout);
}

/*
 * The positive control runs as real root: never on the machine itself, only where a harness made a
 * pid, a UTS and a mount namespace over an overlay of the root.
 */
static int is_throw_away(void)
{
	static const struct {
		const char *path;
		ino_t host;
	} ours[] = {
		{ "/proc/self/ns/pid", (ino_t)(unsigned)PID_NS_OF_THE_HOST },
		{ "/proc/self/ns/uts", (ino_t)(unsigned)UTS_NS_OF_THE_HOST },
	};
	struct statfs root;
	struct stat ns;

	for (size_t i = 0; i < CX_LEN(ours); i++)
		if (stat(ours[i].path, &ns) < 0 || ns.st_ino == ours[i].host)
			return 0;
	return statfs("/", &root) == 0 && root.f_type == OVERLAYFS_SUPER_MAGIC;
}

static int run_all(const char *only)
{
	struct tally tally = { .rows = 0 };

	for (size_t g = 0; g < CX_LEN(groups); g++)
		for (size_t i = 0; i < groups[g]->count; i++) {
			const struct probe_row *row = &groups[g]->rows[i];
			const unsigned outside = PROBE_SAFE_OUTSIDE | PROBE_CONTROL;

			if (probe_host.outside && (row->flags & outside) == 0)
				continue;
			if (only != NULL && strcmp(only, groups[g]->name) != 0 &&
			    strcmp(only, row->name) != 0)
				continue;
			run_row(groups[g], row, &tally);
		}
	(void)printf("probe: %u rows as uid %u: %u blocked, %u open, %u hung, %u not tried, "
		     "%u controls fine, %u broken\n",
		     tally.rows, geteuid(), tally.counts[BLOCKED], tally.counts[OPEN],
		     tally.counts[HUNG], tally.counts[NOT_TRIED], tally.counts[FINE],
		     tally.counts[BROKEN]);
	unsigned bad = tally.counts[HUNG] + tally.counts[BROKEN];

	bad += probe_host.outside ? tally.counts[OPEN] == 0 : tally.counts[OPEN];
	return bad > EXIT_MAX_OPEN ? EXIT_MAX_OPEN : (int)bad;
}

static int list_rows(void)
{
	for (size_t g = 0; g < CX_LEN(groups); g++)
		for (size_t i = 0; i < groups[g]->count; i++)
			(void)printf("%s.%s\t%u\t%s\n", groups[g]->name, groups[g]->rows[i].name,
				     groups[g]->rows[i].flags, groups[g]->rows[i].why);
	return 0;
}

/* What a program with set-user-ID or capabilities says when the probe has executed it: 0 is "no".
 */
static int has_gained(void)
{
	char text[4096];
	const char *effective;
	long size = probe_slurp("/proc/self/status", text, sizeof(text));

	effective = size < 0 ? NULL : strstr(text, "CapEff:");
	if (geteuid() == 0 || getegid() == 0 || effective == NULL)
		return GAINED;
	return strtoull(effective + strlen("CapEff:"), NULL, 16) == 0 ? 0 : GAINED;
}

static int usage(void)
{
	(void)fprintf(
		stderr,
		"usage: probe [--list] [--expect-open] [--only GROUP|ROW]\n"
		"             [--host-abstract NAME] [--host-file PATH --host-text TEXT]\n"
		"             [--host-port N]\n"
		"Exit status: number of open attempts and broken controls (with --expect-open:\n"
		"of broken controls, or 1 when nothing was open).\n");
	return EXIT_USAGE;
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "list", no_argument, NULL, 'l' },
		{ "whoami", no_argument, NULL, 'w' },
		{ "expect-open", no_argument, NULL, 'e' },
		{ "only", required_argument, NULL, 'o' },
		{ "host-abstract", required_argument, NULL, 'a' },
		{ "host-file", required_argument, NULL, 'f' },
		{ "host-text", required_argument, NULL, 't' },
		{ "host-port", required_argument, NULL, 'p' },
		{ NULL, 0, NULL, 0 },
	};
	const char *only = NULL;
	int option;

	while ((option = getopt_long(argc, argv, "", options, NULL)) >= 0) {
		switch (option) {
		case 'l':
			return list_rows();
		case 'w':
			return has_gained();
		case 'e':
			probe_host.outside = 1;
			break;
		case 'o':
			only = optarg;
			break;
		case 'a':
			probe_host.abstract = optarg;
			break;
		case 'f':
			probe_host.file = optarg;
			break;
		case 't':
			probe_host.text = optarg;
			break;
		case 'p':
			probe_host.port = atoi(optarg);
			break;
		default:
			return usage();
		}
	}
	if (optind != argc)
		return usage();
	if (probe_host.outside && !is_throw_away()) {
		(void)fprintf(stderr,
			      "probe: --expect-open runs only in throw-away namespaces over "
			      "an overlay of /\n");
		return EXIT_USAGE;
	}
	return run_all(only);
}
