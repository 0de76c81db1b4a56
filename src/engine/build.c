/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/build.h"

#include <fcntl.h>
#include <inttypes.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fault.h"
#include "base/fd.h"
#include "base/str.h"

enum { PARTS = 2, SCAN_MAX_ENTRIES = 4000000, BUSY_MIN = 2, BUSY_MAX = 8, PIPE_BYTES = 1 << 20 };
static const uint64_t scan_max_bytes = (uint64_t)1 << 40;

/* ---- what workers there are ------------------------------------------------------------------ */

enum {
	OWN = CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWIPC | CLONE_NEWUTS,
	ALONE = OWN | CLONE_NEWNET,
	FILES = 64,
	CPU_SECONDS = 1200,
	FETCH_FILES = 512,
	FETCH_CPU_SECONDS = 7200,
};
#define MEMORY ((uint64_t)2 << 30)
#define IMAGE  "caisson-image"

enum role_id { READ, READ_KNOWN, WRITE, SCAN, SAME, FETCH, WALK, CHANGES, PACK, BUNDLE };

/* What caissond shuts a process into before it runs; image/confine.c takes away the rest. */
static const struct role {
	const char *program;
	const char *argument; /* its first, before the limits; NULL: it takes none at all */
	uint64_t namespaces, nofile, address_space, cpu_seconds;
	const char *why;
} roles[] = {
	[READ] = { IMAGE, "read", ALONE, FILES, MEMORY, CPU_SECONDS, "an archive to entries" },
	[READ_KNOWN] = { IMAGE, "read-known", ALONE, FILES, MEMORY, CPU_SECONDS,
			 "the same, but who sends the archive has its digest" },
	[WRITE] = { IMAGE, "write", ALONE, FILES, MEMORY, CPU_SECONDS, "entries to a layer" },
	[SCAN] = { IMAGE, "scan", ALONE, FILES, MEMORY, CPU_SECONDS, "an image's files" },
	[SAME] = { IMAGE, "same", ALONE, FILES, MEMORY, CPU_SECONDS, "is a layer what it was?" },
	[FETCH] = { "caisson-fetch", NULL, OWN, FETCH_FILES, MEMORY, FETCH_CPU_SECONDS,
		    "speaks with registries, over the host's network" },
	[WALK] = { IMAGE, "walk", ALONE, FILES, MEMORY, CPU_SECONDS, "a tree to entries" },
	[CHANGES] = { IMAGE, "changes", ALONE, FILES, MEMORY, CPU_SECONDS,
		      "what a sandbox has changed to entries" },
	[PACK] = { IMAGE, "pack", ALONE, FILES, MEMORY, CPU_SECONDS, "entries to an archive" },
	[BUNDLE] = { IMAGE, "bundle", ALONE, FILES, MEMORY, CPU_SECONDS, "files to an archive" },
};

/* Those of one kind wait for each other. */
static const struct kind {
	const char *what;
	unsigned running_max; /* 0: as many as there are processors */
	int minutes;
	const char *why;
} kinds[CX_BUILD_KINDS] = {
	[CX_BUILD_IMAGE] = { "image layers", 0, 30, "each keeps a processor busy" },
	[CX_BUILD_SCAN] = { "scans", 2, 360, "they wait for who sends the archive" },
	[CX_BUILD_TRANSFER] = { "transfers", 8, 360, "they mostly wait for a network" },
	[CX_BUILD_ARCHIVE] = { "archives", 8, 360, "they mostly wait for who reads them" },
	[CX_BUILD_COMMIT] = { "commits", CX_BUILDS_MAX, 30, "sandboxes stand still meanwhile" },
};

struct part { /* one worker process */
	struct cx_build *build;
	const struct role *role;
	struct cx_child *child;
	uint32_t uid_base;
	bool ids_lent; /* not to be released */
	int fds[4];    /* as the worker gets them: 0, 1, (2), 3 */
};

enum state { WAITING, WORKING, FINISHED };

struct cx_build {
	struct cx_builds *set;
	struct cx_build *next;
	enum cx_build_kind kind;
	enum state state;
	uint64_t token, tag;
	struct cx_build_limits limits;
	int file; /* the layer; -EBADF when none is made */
	struct part parts[PARTS];
	unsigned nparts;
	struct cx_timer deadline;
	struct cx_err why;
	cx_build_done *done;
	void *arg;
};

static void start_waiting(struct cx_builds *builds, enum cx_build_kind kind);

void cx_builds_open(struct cx_builds *ret, struct cx_host *host)
{
	*ret = (struct cx_builds){ .host = host };
}

static unsigned running_max(const struct cx_builds *builds, enum cx_build_kind kind)
{
	unsigned cpus = builds->host->cpus;

	if (kinds[kind].running_max > 0)
		return kinds[kind].running_max;
	if (cpus < BUSY_MIN)
		return BUSY_MIN;
	return cpus < BUSY_MAX ? cpus : BUSY_MAX;
}

static void release_ids(struct part *part)
{
	if (!part->ids_lent)
		cx_ids_release(&part->build->set->host->ids, part->uid_base);
	part->uid_base = 0;
}

/* Its processes are gone, or will be: killed, and reaped by the loop. */
static void free_build(struct cx_build *b)
{
	struct cx_builds *set = b->set;
	struct cx_build **at = &set->first;

	while (*at != b)
		at = &(*at)->next;
	*at = b->next;
	set->total[b->kind]--;
	set->running[b->kind] -= b->state == WORKING;
	cx_timer_clear(&b->deadline);
	cx_close(&b->file);
	for (unsigned i = 0; i < b->nparts; i++) {
		cx_child_forget(b->parts[i].child, true);
		release_ids(&b->parts[i]);
		for (size_t j = 0; j < CX_LEN(b->parts[i].fds); j++)
			cx_close(&b->parts[i].fds[j]);
	}
	free(b);
}

void cx_builds_close(struct cx_builds *builds)
{
	while (builds->first != NULL)
		free_build(builds->first);
}

bool cx_builds_busy(const struct cx_builds *builds)
{
	unsigned n = 0;

	for (size_t i = 0; i < CX_LEN(builds->running); i++)
		n += builds->running[i];
	return n > 0;
}

/* "caisson-image read", for people. */
static const char *title(const struct role *role, char *buf, size_t size)
{
	(void)snprintf(buf, size, "%s%s%s", role->program, role->argument != NULL ? " " : "",
		       role->argument != NULL ? role->argument : "");
	return buf;
}

static void blame(struct cx_build *b, const struct cx_err *err)
{
	if (b->why.errnum == 0)
		b->why = *err;
}

static void kill_parts(struct cx_build *b)
{
	for (unsigned i = 0; i < b->nparts; i++)
		if (b->parts[i].child != NULL)
			cx_child_signal(b->parts[i].child, SIGKILL);
}

/* All parts have ended: tells who asked, and keeps the file if there is one. */
static void finish(struct cx_build *b)
{
	struct cx_builds *set = b->set;
	enum cx_build_kind kind = b->kind;
	cx_build_done *done = b->done;
	void *arg = b->arg;
	uint64_t tag = b->tag, token = b->token, size = 0;
	struct cx_err err = b->why;
	struct stat st;

	cx_timer_clear(&b->deadline);
	if (err.errnum == 0 && b->file >= 0) {
		if (fstat(b->file, &st) < 0)
			(void)cx_fail(&err, errno, "size of the layer");
		else
			size = (uint64_t)st.st_size;
	}
	if (err.errnum != 0 || b->file < 0) {
		free_build(b);
		token = 0;
	} else {
		b->state = FINISHED;
		set->running[kind]--;
		for (unsigned i = 0; i < b->nparts; i++)
			release_ids(&b->parts[i]);
	}
	done(arg, tag, token, size, err.errnum != 0 ? &err : NULL);
	start_waiting(set, kind);
}

static void part_exited(void *owner, const struct cx_child_end *end)
{
	struct part *part = owner;
	struct cx_build *b = part->build;
	struct cx_err err;
	char how[48], what[32];
	bool busy = false;

	part->child = NULL;
	if (end->code != CLD_EXITED || end->status != 0) {
		/* What was wrong with the archive it has told by its report, not us. */
		bool by_others = end->code == CLD_KILLED && end->status == SIGKILL;

		(void)cx_refuse(&err, by_others ? CX_UNAVAILABLE : CX_INVALID, "%s %s",
				title(part->role, what, sizeof what),
				cx_child_describe(end, how, sizeof how));
		blame(b, &err);
		kill_parts(b);
	}
	for (unsigned i = 0; i < b->nparts; i++)
		busy |= b->parts[i].child != NULL;
	if (!busy)
		finish(b);
}

static void too_long(struct cx_timer *timer)
{
	struct cx_build *b = cx_container_of(timer, struct cx_build, deadline);
	struct cx_err err;

	(void)cx_refuse(&err, CX_TIMEOUT, "one of the %s took more than %d minutes",
			kinds[b->kind].what, kinds[b->kind].minutes);
	blame(b, &err);
	kill_parts(b);
}

static int start_part(struct part *part, struct cx_err *err)
{
	struct cx_build *b = part->build;
	struct cx_host *h = b->set->host;
	const struct role *r = part->role;
	char bytes_option[] = "--max-bytes", entries_option[] = "--max-entries";
	char name[16], role[12], bytes[24], entries[16];
	char path[CX_CONFIG_TEXT + 32], owner[CX_ID_OWNER_MAX];
	char *argv[] = { name,
			 r->argument != NULL ? role : NULL,
			 bytes_option,
			 bytes,
			 entries_option,
			 entries,
			 NULL };
	struct cx_process_plan plan = {
		.path = path,
		.argv = argv,
		.envp = cx_host_environment,
		.fds = part->fds,
		.nfds = CX_LEN(part->fds),
		.namespaces = r->namespaces,
		.nofile = r->nofile,
		.address_space = r->address_space,
		.cpu_seconds = r->cpu_seconds,
		.die_with_parent = 1,
		.new_mounts = 1,
	};

	(void)snprintf(name, sizeof name, "%s", r->program);
	(void)snprintf(role, sizeof role, "%s", r->argument != NULL ? r->argument : "");
	(void)snprintf(bytes, sizeof bytes, "%" PRIu64, b->limits.max_bytes);
	(void)snprintf(entries, sizeof entries, "%" PRIu32, b->limits.max_entries);
	if (cx_format(path, sizeof path, "%s/%s", err, h->config->libexec, r->program) < 0 ||
	    cx_format(owner, sizeof owner, "%s/lock", err, h->dirs.run_path) < 0 ||
	    (part->uid_base == 0 && cx_ids_reserve(&h->ids, owner, &part->uid_base, err) < 0))
		return -err->errnum;
	plan.uid_base = part->uid_base;
	if (cx_fault_step("worker", err) < 0)
		return -err->errnum;
	return cx_child_start(&h->loop, &plan, part_exited, part, &part->child, err);
}

static void start_build(struct cx_build *b)
{
	struct cx_err err;
	char what[32];
	bool any = false;

	b->state = WORKING;
	b->set->running[b->kind]++;
	cx_timer_set(&b->set->host->loop, &b->deadline, (uint64_t)kinds[b->kind].minutes * 60000);
	for (unsigned i = 0; i < b->nparts && b->why.errnum == 0; i++) {
		if (start_part(&b->parts[i], &err) < 0) {
			(void)cx_wrap(&err, "start %s", title(b->parts[i].role, what, sizeof what));
			blame(b, &err);
			break;
		}
		any = true;
	}
	/* Ours must close, or a worker would never see the end of the other's stream. */
	for (unsigned i = 0; i < b->nparts; i++)
		for (size_t j = 0; j < CX_LEN(b->parts[i].fds); j++)
			cx_close(&b->parts[i].fds[j]);
	if (b->why.errnum == 0)
		return;
	kill_parts(b);
	if (!any)
		finish(b);
}

static void start_waiting(struct cx_builds *builds, enum cx_build_kind kind)
{
	struct cx_build *oldest;

	do { /* the list is newest first */
		oldest = NULL;
		for (struct cx_build *b = builds->first; b != NULL; b = b->next)
			if (b->state == WAITING && b->kind == kind)
				oldest = b;
		if (oldest != NULL && builds->running[kind] < running_max(builds, kind))
			start_build(oldest);
		else
			break;
	} while (true);
}

static struct cx_build *add(struct cx_builds *builds, enum cx_build_kind kind,
			    const struct cx_build_limits *limits, cx_build_done *done, void *arg,
			    uint64_t tag, struct cx_err *err)
{
	struct cx_build *b;

	if (builds->total[kind] >= CX_BUILDS_MAX) {
		(void)cx_refuse(err, CX_UNAVAILABLE, "%d %s are at work or waiting already",
				CX_BUILDS_MAX, kinds[kind].what);
		return NULL;
	}
	b = calloc(1, sizeof *b);
	if (b == NULL) {
		(void)cx_fail(err, ENOMEM, "an image build");
		return NULL;
	}
	*b = (struct cx_build){ .set = builds,
				.next = builds->first,
				.kind = kind,
				.token = ++builds->last_token,
				.tag = tag,
				.limits = *limits,
				.file = -EBADF,
				.deadline = { .fire = too_long },
				.done = done,
				.arg = arg };
	builds->first = b;
	builds->total[kind]++;
	return b;
}

static void add_part(struct cx_build *b, enum role_id role, int *in, int *out, int *report)
{
	struct part *part = &b->parts[b->nparts++];

	*part = (struct part){ .build = b,
			       .role = &roles[role],
			       .fds = { cx_take_fd(in), cx_take_fd(out), -EBADF,
					cx_take_fd(report) } };
}

/* Of entries, from one worker to the next: they take turns less often when it holds more. */
static int make_pipe(int *ret_in, int *ret_out, struct cx_err *err)
{
	if (cx_pipe(ret_in, ret_out, err) < 0)
		return -err->errnum;
	(void)fcntl(*ret_out, F_SETPIPE_SZ, PIPE_BYTES); /* a smaller one does */
	return 0;
}

int cx_build_layer(struct cx_builds *builds, const struct cx_build_limits *limits, int fds[3],
		   cx_build_done *done, void *arg, uint64_t tag, struct cx_err *err)
{
	cx_autofd int entries_out = -EBADF, entries_in = -EBADF, out = -EBADF;
	struct cx_build *b = add(builds, CX_BUILD_IMAGE, limits, done, arg, tag, err);

	if (b == NULL)
		return -err->errnum;
	b->file = openat(builds->host->dirs.layers, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	out = b->file >= 0 ? fcntl(b->file, F_DUPFD_CLOEXEC, 3) : -EBADF;
	if (out < 0)
		(void)cx_fail(err, errno, "make an unnamed file in the layer directory");
	if (out < 0 || make_pipe(&entries_in, &entries_out, err) < 0) {
		free_build(b);
		return -err->errnum;
	}
	add_part(b, limits->blob_is_known ? READ_KNOWN : READ, &fds[0], &entries_out, &fds[1]);
	add_part(b, WRITE, &entries_in, &out, &fds[2]);
	start_waiting(builds, CX_BUILD_IMAGE);
	return 0;
}

int cx_build_scan(struct cx_builds *builds, int fds[3], cx_build_done *done, void *arg,
		  uint64_t tag, struct cx_err *err)
{
	struct cx_build_limits limits = { .max_bytes = scan_max_bytes,
					  .max_entries = SCAN_MAX_ENTRIES };
	struct cx_build *b = add(builds, CX_BUILD_SCAN, &limits, done, arg, tag, err);

	if (b == NULL)
		return -err->errnum;
	add_part(b, SCAN, &fds[0], &fds[1], &fds[2]);
	start_waiting(builds, CX_BUILD_SCAN);
	return 0;
}

int cx_build_fetch(struct cx_builds *builds, int *sock, cx_build_done *done, void *arg,
		   uint64_t tag, struct cx_err *err)
{
	static const struct cx_build_limits none;
	struct cx_build *b = add(builds, CX_BUILD_TRANSFER, &none, done, arg, tag, err);
	int null = -EBADF;

	if (b == NULL)
		return -err->errnum;
	add_part(b, FETCH, sock, &null, &null);
	start_waiting(builds, CX_BUILD_TRANSFER);
	return 0;
}

int cx_build_archive(struct cx_builds *builds, int *tree, struct cx_build_ids ids,
		     const struct cx_build_limits *limits, int fds[3], cx_build_done *done,
		     void *arg, uint64_t tag, struct cx_err *err)
{
	const enum cx_build_kind kind = ids.lent ? CX_BUILD_COMMIT : CX_BUILD_ARCHIVE;
	cx_autofd int root = cx_take_fd(tree), out = cx_take_fd(&fds[0]),
		      walk_report = cx_take_fd(&fds[1]), pack_report = cx_take_fd(&fds[2]);
	cx_autofd int entries_out = -EBADF, entries_in = -EBADF;
	struct cx_build *b = NULL;

	if (make_pipe(&entries_in, &entries_out, err) == 0)
		b = add(builds, kind, limits, done, arg, tag, err);
	if (b == NULL) {
		if (!ids.lent)
			cx_ids_release(&builds->host->ids, ids.uid_base);
		return -err->errnum;
	}
	add_part(b, ids.lent ? CHANGES : WALK, &root, &entries_out, &walk_report);
	b->parts[0].uid_base = ids.uid_base;
	b->parts[0].ids_lent = ids.lent;
	add_part(b, PACK, &entries_in, &out, &pack_report);
	start_waiting(builds, kind);
	return 0;
}

int cx_build_bundle(struct cx_builds *builds, int fds[3], cx_build_done *done, void *arg,
		    uint64_t tag, struct cx_err *err)
{
	struct cx_build_limits limits = { .max_bytes = scan_max_bytes,
					  .max_entries = SCAN_MAX_ENTRIES };
	struct cx_build *b = add(builds, CX_BUILD_ARCHIVE, &limits, done, arg, tag, err);

	if (b == NULL)
		return -err->errnum;
	add_part(b, BUNDLE, &fds[0], &fds[1], &fds[2]);
	start_waiting(builds, CX_BUILD_ARCHIVE);
	return 0;
}

static struct cx_build *find_finished(struct cx_builds *builds, uint64_t token, struct cx_err *err)
{
	struct cx_build *b = builds->first;

	while (b != NULL && (b->token != token || b->state != FINISHED))
		b = b->next;
	if (b == NULL)
		(void)cx_refuse(err, CX_NOT_FOUND, "there is no built layer %" PRIu64, token);
	return b;
}

int cx_build_check(struct cx_builds *builds, uint64_t token, const uint8_t id[CX_DIFF_ID],
		   int *report, cx_build_done *done, void *arg, uint64_t tag, struct cx_err *err)
{
	static const struct cx_build_limits any = { .max_bytes = INT64_MAX,
						    .max_entries = UINT32_MAX };
	const struct cx_build *built = find_finished(builds, token, err);
	cx_autofd int layer = -EBADF, copy = -EBADF;
	struct cx_build *b;

	if (built == NULL)
		return -err->errnum;
	layer = cx_layers_file(&builds->host->layers, id, err);
	if (layer < 0)
		return -err->errnum;
	copy = fcntl(built->file, F_DUPFD_CLOEXEC, 3);
	if (copy < 0)
		return cx_fail(err, errno, "the built layer");
	b = add(builds, CX_BUILD_IMAGE, &any, done, arg, tag, err);
	if (b == NULL)
		return -err->errnum;
	add_part(b, SAME, &layer, &copy, report);
	start_waiting(builds, CX_BUILD_IMAGE);
	return 0;
}

int cx_build_commit(struct cx_builds *builds, uint64_t token, const uint8_t id[CX_DIFF_ID],
		    struct cx_err *err)
{
	struct cx_build *b = find_finished(builds, token, err);
	int r;

	if (b == NULL)
		return -err->errnum;
	r = cx_layers_add(&builds->host->layers, id, b->file, err);
	free_build(b);
	return r;
}

int cx_build_abort(struct cx_builds *builds, uint64_t token, struct cx_err *err)
{
	struct cx_build *b = find_finished(builds, token, err);

	if (b == NULL)
		return -err->errnum;
	free_build(b);
	return 0;
}
