/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pwd.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/statvfs.h>
#include <sys/utsname.h>

#include "base/fd.h"
#include "base/str.h"
#include "cli/commands.h"
#include "cli/output.h"

/*
 * Looks at this host as the engine will need it, and at the engine as a client does. Nothing is
 * changed. What caissond itself refuses to start without is FAIL, what only limits it WARN.
 */
enum verdict { OK, WARN, FAIL };
static const char *const verdicts[] = { "ok", "warn", "FAIL" };

enum { FINDING_MAX = 256, FILE_MAX = 64 * 1024 };

struct finding {
	enum verdict verdict;
	char text[FINDING_MAX];
};

__attribute__((format(printf, 3, 4))) static void find(struct finding *f, enum verdict verdict,
						       const char *format, ...)
{
	va_list ap;

	f->verdict = verdict;
	va_start(ap, format);
	(void)vsnprintf(f->text, sizeof f->text, format, ap);
	va_end(ap);
}

/* A small file of the kernel's or the system's; false when it cannot be read. */
static bool read_text(const char *path, char *ret, size_t size)
{
	struct cx_err ignored;

	ret[0] = '\0';
	return cx_read_small_file(AT_FDCWD, path, ret, size, &ignored) >= 0;
}

/* Does a word stand in a text, with white space around it? */
static bool has_word(const char *text, const char *word)
{
	size_t len = strlen(word);

	for (const char *at = text; (at = strstr(at, word)) != NULL; at += len)
		if ((at == text || strchr(" \t\n", at[-1]) != NULL) &&
		    (at[len] == '\0' || strchr(" \t\n", at[len]) != NULL))
			return true;
	return false;
}

/* ---- the kernel ----------------------------------------------------------------------------- */

static void check_kernel(struct cx_cli *cli, struct finding *f)
{
	struct utsname u = { 0 };
	unsigned major = 0, minor = 0;

	(void)cli;
	(void)uname(&u);
	(void)sscanf(u.release, "%u.%u", &major, &minor);
	find(f, major > 6 || (major == 6 && minor >= 1) ? OK : FAIL, "Linux %.100s on %.40s",
	     u.release, u.machine);
}

/* A module is loaded when it is first used, so that one that is not listed may be there. */
static void check_filesystems(struct cx_cli *cli, struct finding *f)
{
	static const char *const needed[] = { "overlay", "erofs" };
	char text[FILE_MAX], missing[64] = "";

	(void)cli;
	if (!read_text("/proc/filesystems", text, sizeof text)) {
		find(f, WARN, "/proc/filesystems cannot be read");
		return;
	}
	for (size_t i = 0; i < CX_LEN(needed); i++)
		if (!has_word(text, needed[i]))
			(void)snprintf(missing + strlen(missing), sizeof missing - strlen(missing),
				       " %s", needed[i]);
	if (missing[0] == '\0')
		find(f, OK, "overlay, erofs");
	else
		find(f, WARN, "not loaded yet:%s", missing);
}

/* Stands "/NAME.ko" in a list of modules? */
static bool is_listed(const char *list, const char *name)
{
	FILE *file = fopen(list, "re");
	char *line = NULL, wanted[64];
	size_t size = 0;
	bool found = false;

	(void)snprintf(wanted, sizeof wanted, "/%s.ko", name);
	while (file != NULL && !found && getline(&line, &size, file) > 0) {
		line[strcspn(line, ":")] = '\0'; /* behind it: what it needs */
		found = strstr(line, wanted) != NULL;
	}
	free(line);
	if (file != NULL)
		(void)fclose(file);
	return found;
}

static bool has_module(const char *release, const char *name)
{
	char path[256];

	(void)snprintf(path, sizeof path, "/sys/module/%s", name);
	if (access(path, F_OK) == 0)
		return true;
	(void)snprintf(path, sizeof path, "/lib/modules/%.65s/modules.dep", release);
	if (is_listed(path, name))
		return true;
	(void)snprintf(path, sizeof path, "/lib/modules/%.65s/modules.builtin", release);
	return is_listed(path, name);
}

static void check_links(struct cx_cli *cli, struct finding *f)
{
	static const char *const needed[] = { "veth", "nf_tables", "nf_conntrack",
					      "nfnetlink_log" };
	char path[256], missing[96] = "";
	struct utsname u = { 0 };

	(void)cli;
	(void)uname(&u);
	(void)snprintf(path, sizeof path, "/lib/modules/%.65s/modules.dep", u.release);
	if (access(path, R_OK) < 0) {
		find(f, OK, "no list of modules here: caissond will see");
		return;
	}
	for (size_t i = 0; i < CX_LEN(needed); i++)
		if (!has_module(u.release, needed[i]))
			(void)snprintf(missing + strlen(missing), sizeof missing - strlen(missing),
				       " %s", needed[i]);
	if (missing[0] == '\0')
		find(f, OK, "veth, nf_tables");
	else
		find(f, WARN, "not seen:%s", missing);
}

/* What caisson accepts, another firewall may still drop. */
static void check_firewalls(struct cx_cli *cli, struct finding *f)
{
	static const struct {
		const char *path, *name;
	} known[] = {
		{ "/sys/class/net/docker0", "Docker" },
		{ "/run/firewalld.pid", "firewalld" },
		{ "/run/firewalld/firewalld.pid", "firewalld" },
		{ "/etc/ufw/ufw.conf", "ufw" },
	};

	(void)cli;
	for (size_t i = 0; i < CX_LEN(known); i++) {
		if (access(known[i].path, F_OK) < 0)
			continue;
		find(f, WARN, "%s is here and may drop what sandboxes send", known[i].name);
		return;
	}
	find(f, OK, "none is known here but caisson's own");
}

static void check_forwarding(struct cx_cli *cli, struct finding *f)
{
	char text[16];

	(void)cli;
	if (!read_text("/proc/sys/net/ipv4/ip_forward", text, sizeof text))
		find(f, WARN, "/proc/sys/net/ipv4/ip_forward cannot be read");
	else if (text[0] == '1')
		find(f, OK, "this host forwards packets");
	else
		find(f, OK, "caissond switches it on, unless [network] forward = no");
}

/* Every connection of a sandbox is one of the host's, too: in a full table nobody's begins. */
static void check_connections(struct cx_cli *cli, struct finding *f)
{
	enum { ENOUGH = 65536 }; /* for sixteen sandboxes with all that one may have */
	char text[2][24];
	uint64_t now, most;

	(void)cli;
	if (!read_text("/proc/sys/net/netfilter/nf_conntrack_count", text[0], sizeof text[0]) ||
	    !read_text("/proc/sys/net/netfilter/nf_conntrack_max", text[1], sizeof text[1])) {
		find(f, OK, "none are tracked yet");
		return;
	}
	now = strtoull(text[0], NULL, 10);
	most = strtoull(text[1], NULL, 10);
	find(f, most < ENOUGH || now > most / 4 * 3 ? WARN : OK,
	     "%" PRIu64 " are tracked, of %" PRIu64 " at most", now, most);
}

static void check_userns(struct cx_cli *cli, struct finding *f)
{
	char text[32];
	uint64_t n = 0;
	struct cx_err ignored;

	(void)cli;
	if (!read_text("/proc/sys/user/max_user_namespaces", text, sizeof text)) {
		find(f, FAIL, "the kernel has none");
		return;
	}
	text[strcspn(text, "\n")] = '\0';
	(void)!cx_parse_u64(text, 0, UINT64_MAX, "user namespaces", &n, &ignored);
	find(f, n == 0 ? FAIL : n < 256 ? WARN : OK, "at most %llu", (unsigned long long)n);
}

static void check_seccomp(struct cx_cli *cli, struct finding *f)
{
	char text[512];

	(void)cli;
	if (read_text("/proc/sys/kernel/seccomp/actions_avail", text, sizeof text) &&
	    has_word(text, "kill_process"))
		find(f, OK, "filters of system calls");
	else
		find(f, FAIL, "no filters of system calls");
}

/* Version 2 says what it has; of version 1 it counts what is mounted at all. */
static void check_cgroups(struct cx_cli *cli, struct finding *f)
{
	static const char *const needed[] = { "cpu", "memory", "pids" };
	char v2[1024], known[4096], mounts[FILE_MAX], missing[64] = "";
	bool on_v2 = true, v1_mounted;

	(void)cli;
	(void)read_text("/sys/fs/cgroup/cgroup.controllers", v2, sizeof v2);
	(void)read_text("/proc/cgroups", known, sizeof known);
	v1_mounted = read_text("/proc/self/mountinfo", mounts, sizeof mounts) &&
		     strstr(mounts, " - cgroup ") != NULL;
	for (size_t i = 0; i < CX_LEN(needed); i++) {
		bool in_v2 = has_word(v2, needed[i]);

		on_v2 = on_v2 && in_v2;
		if (!in_v2 && !(v1_mounted && has_word(known, needed[i])))
			(void)snprintf(missing + strlen(missing), sizeof missing - strlen(missing),
				       " %s", needed[i]);
	}
	if (missing[0] != '\0')
		find(f, FAIL, "without%s", missing);
	else
		find(f, OK, "cpu, memory, pids on version %s", on_v2 ? "2" : "1");
}

/* ---- the host ------------------------------------------------------------------------------- */

/* Ranges of the file that touch those from which sandboxes get theirs. */
static void check_ids(struct cx_cli *cli, struct finding *f)
{
	enum { FIRST = 524288, LAST = 1879048191 };
	char text[FILE_MAX], *save = NULL;

	(void)cli;
	if (!read_text("/etc/subuid", text, sizeof text)) {
		find(f, OK, "%d to %d, nobody else has any", FIRST, LAST);
		return;
	}
	for (char *line = strtok_r(text, "\n", &save); line != NULL;
	     line = strtok_r(NULL, "\n", &save)) {
		unsigned long first = 0, count = 0;

		if (sscanf(line, "%*[^:]:%lu:%lu", &first, &count) == 2 && count > 0 &&
		    first <= LAST && first + count > FIRST) {
			find(f, WARN, "/etc/subuid gives %.60s ids from %lu on, too", line, first);
			return;
		}
	}
	find(f, OK, "%d to %d, not in /etc/subuid", FIRST, LAST);
}

static void check_disk(struct cx_cli *cli, struct finding *f)
{
	enum { ENOUGH_GIB = 5 };
	static const char *const places[] = { CX_STATEDIR, "/var/lib", "/" };
	struct statvfs fs;

	(void)cli;
	for (size_t i = 0; i < CX_LEN(places); i++) {
		uint64_t gib;

		if (statvfs(places[i], &fs) < 0)
			continue;
		gib = (uint64_t)fs.f_bavail * fs.f_frsize >> 30;
		find(f, gib < ENOUGH_GIB ? WARN : OK, "%llu GiB free at %s",
		     (unsigned long long)gib, places[i]);
		return;
	}
	find(f, WARN, "%s cannot be looked at", CX_STATEDIR);
}

static void check_files(struct cx_cli *cli, struct finding *f)
{
	enum { ENOUGH = 20000 };
	struct rlimit limit = { 0 };

	(void)cli;
	(void)getrlimit(RLIMIT_NOFILE, &limit);
	find(f, limit.rlim_max < ENOUGH ? WARN : OK, "at most %llu open files of a process",
	     (unsigned long long)limit.rlim_max);
}

static void check_user(struct cx_cli *cli, struct finding *f)
{
	bool there = getpwnam("caisson") != NULL;

	(void)cli;
	find(f, there ? OK : WARN, "user caisson %s", there ? "exists" : "does not exist");
}

static void check_programs(struct cx_cli *cli, struct finding *f)
{
	static const char *const names[] = { "caisson-agent", "caisson-fetch",	 "caisson-gateway",
					     "caisson-image", "caisson-spawner", "caisson-tls" };
	char path[512];

	(void)cli;
	for (size_t i = 0; i < CX_LEN(names); i++) {
		(void)snprintf(path, sizeof path, "%s/%s", CX_LIBEXECDIR, names[i]);
		if (access(path, X_OK) < 0) {
			find(f, WARN, "%s: %s", path, strerror(errno));
			return;
		}
	}
	find(f, OK, "in %s", CX_LIBEXECDIR);
}

/* ---- the engine ----------------------------------------------------------------------------- */

static void check_engine(struct cx_cli *cli, struct finding *f)
{
	const struct cx_target *t = &cli->target;
	CX_AUTO(json_decrefp) json_t *answer = NULL;
	struct cx_err err = { 0 };
	char text[sizeof err.msg + 128];

	if (cx_cli_call(cli, "GET", "/healthz", NULL, &answer, &err) < 0)
		find(f, FAIL, "%.200s", cx_err_render(&err, text, sizeof text));
	else if (t->path != NULL)
		find(f, OK, "answers at %.200s", t->path);
	else
		find(f, OK, "answers at %.200s:%s", t->host, t->port);
}

/* As it was chosen when caissond started. */
static void check_limits(struct cx_cli *cli, struct finding *f)
{
	CX_AUTO(json_decrefp) json_t *answer = NULL;
	struct cx_err ignored = { 0 };
	const char *name = NULL;

	if (cx_cli_call(cli, "GET", "/readyz", NULL, &answer, &ignored) == 0)
		name = json_string_value(json_object_get(answer, "disks"));
	if (name == NULL)
		find(f, WARN, "unknown: no engine says so");
	else if (strcmp(name, "none") == 0)
		find(f, WARN, "none: what sandboxes write is not limited");
	else
		find(f, OK, "%.40s", name);
}

/* Of everything that is bounded, what there is least of. */
static void check_room(struct cx_cli *cli, struct finding *f)
{
	CX_AUTO(json_decrefp) json_t *answer = NULL;
	struct cx_err ignored = { 0 };
	const char *scarce = NULL;
	double most = 0;
	json_int_t waiting, remains;
	json_t *row;
	size_t i;

	if (cx_cli_call(cli, "GET", "/api/v1/host", NULL, &answer, &ignored) < 0) {
		find(f, OK, "administrators are told");
		return;
	}
	json_array_foreach(json_object_get(answer, "resources"), i, row)
	{
		double limit = json_number_value(json_object_get(row, "limit"));
		double part =
			limit > 0 ? json_number_value(json_object_get(row, "promised")) / limit : 0;

		if (part >= most) {
			most = part;
			scarce = json_string_value(json_object_get(row, "name"));
		}
	}
	waiting = json_integer_value(json_object_get(json_object_get(answer, "queue"), "length"));
	remains = json_integer_value(
		json_object_get(json_object_get(answer, "remains"), "sandboxes"));
	find(f, waiting > 0 ? WARN : OK,
	     "%d %% of %.20s promised, %lld sandboxes wait for room, remains of %lld are being "
	     "removed",
	     (int)(100 * most), scarce != NULL ? scarce : "nothing", (long long)waiting,
	     (long long)remains);
}

static void check_right(struct cx_cli *cli, struct finding *f)
{
	CX_AUTO(json_decrefp) json_t *answer = NULL;
	struct cx_err err = { 0 };
	char text[sizeof err.msg + 128];

	if (cx_cli_call(cli, "GET", "/api/v1/sandbox?per_page=1", NULL, &answer, &err) < 0)
		find(f, FAIL, "%.200s", cx_err_render(&err, text, sizeof text));
	else
		find(f, OK, "sandboxes may be listed");
}

static const struct check {
	const char *name;
	void (*look)(struct cx_cli *cli, struct finding *f);
	const char *fix;
} checks[] = {
	{ "kernel", check_kernel, "run Linux 6.1 or newer: layers are id-mapped below overlayfs" },
	{ "file systems", check_filesystems, "modprobe overlay erofs, or a kernel that has them" },
	{ "links", check_links, "modprobe veth nf_tables; or [network] enabled = no" },
	{ "forwarding", check_forwarding, "mount /proc" },
	{ "firewalls", check_firewalls, "see NETWORK in caissond(8) if sandboxes reach nothing" },
	{ "connections", check_connections,
	  "sysctl net.netfilter.nf_conntrack_max=1048576; or a smaller [network] connections" },
	{ "user namespaces", check_userns, "sysctl user.max_user_namespaces=65536" },
	{ "seccomp", check_seccomp, "a kernel with CONFIG_SECCOMP_FILTER" },
	{ "control groups", check_cgroups, "boot without cgroup_disable=; mount /sys/fs/cgroup" },
	{ "user ids", check_ids,
	  "move the ranges in /etc/subuid and /etc/subgid, or set [ids] in "
	  "caisson.conf" },
	{ "disk", check_disk, "free some space, or give caissond another --state" },
	{ "open files", check_files, "raise LimitNOFILE= of the unit; it bounds connections" },
	{ "gateway's user", check_user,
	  "useradd --system --no-create-home --shell /usr/sbin/nologin caisson" },
	{ "programs", check_programs, "make install, or caissond --libexec" },
	{ "engine", check_engine, "systemctl start caissond; or say where it is: --socket, --url" },
	{ "disk limits", check_limits, "see [disk] in caisson.conf(5)" },
	{ "room", check_room, "delete sandboxes, or see [host] in caisson.conf(5)" },
	{ "permission", check_right,
	  "ask an administrator for an account (caisson user add), or set "
	  "CAISSON_API_KEY" },
};

static int add(json_t *list, const struct check *check, const struct finding *f, struct cx_err *err)
{
	json_t *item = json_pack("{s:s, s:s, s:s, s:s?}", "check", check->name, "verdict",
				 verdicts[f->verdict], "finding", f->text, "fix",
				 f->verdict == OK ? NULL : check->fix);

	if (item == NULL || json_array_append_new(list, item) < 0)
		return cx_fail(err, ENOMEM, "findings");
	return 0;
}

int cx_cmd_doctor(struct cx_cli *cli, struct cx_err *err)
{
	static const struct cx_column columns[] = { { "CHECK", "check", CX_CELL_TEXT },
						    { "VERDICT", "verdict", CX_CELL_TEXT },
						    { "FINDING", "finding", CX_CELL_TEXT },
						    { "WHAT TO DO", "fix", CX_CELL_TEXT } };
	CX_AUTO(json_decrefp) json_t *list = json_array();
	bool bad = false;

	for (size_t i = 0; i < CX_LEN(checks); i++) {
		struct finding f = { OK, "" };

		checks[i].look(cli, &f);
		bad = bad || f.verdict == FAIL;
		if (add(list, &checks[i], &f, err) < 0)
			return -err->errnum;
	}
	if (cx_output_list(cli, list, columns, CX_LEN(columns), err) < 0)
		return -err->errnum;
	return bad ? 1 : 0;
}
