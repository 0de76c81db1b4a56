/* SPDX-License-Identifier: Apache-2.0 */
#include "exec/accounts.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"

enum { MEMORY, CPU, PIDS }; /* places of v1's directories; on v2 there is one */
enum { PATH_SIZE = 64, FIRST_SLOTS = 4 };
enum { HELD_SLOT = 1 }; /* of commands that run one after the other */

static const char peak_v1[] = "memory.max_usage_in_bytes";

struct cpu { /* microseconds; user and system divide the whole in ticks only */
	uint64_t whole, user, system;
};

struct slot {
	enum {
		SLOT_FREE,
		SLOT_USED,
		SLOT_ENDED, /* the command has ended, nobody has looked yet */
		SLOT_LEFT,  /* some of its processes live on */
		SLOT_STALE, /* to be made anew: the kernel cannot begin its peak again */
		SLOT_ASKED,
	} state;
	struct cpu base, seen;	     /* at the beginning of its command, and when last read */
	uint64_t memory_base;	     /* what earlier commands left there, files above all */
	uint64_t files_base;	     /* these */
	uint64_t processes, refused; /* the kernel's counts when last read */
	uint64_t around;	     /* as below, at the beginning of its command */
	bool limited, closed;	     /* until the slot is prepared anew */
	bool watched;		     /* the same */
	bool blind;		     /* the same; v2: its peak is not known */
	uint64_t throttled_base, wait_base;
	uint64_t id; /* v2: of the group, an inode's number; 0: not looked at yet */
	int peak;    /* v2: an open memory.peak, whose peak begins where it was written */
};

struct cx_accounts {
	int dirs[CX_ACCOUNTS_MAX];
	unsigned ndirs, n, room;
	bool v2;
	uint64_t around;    /* processes refused by the sandbox's limit, when last read */
	struct slot *slots; /* number - 1 */
	struct cx_held_sets *sets;
	struct cx_held *held; /* files of HELD_SLOT; NULL: they are opened each time */
};

/* ---- reading --------------------------------------------------------------------------------- */

static const char *path_of(char path[PATH_SIZE], uint32_t number, const char *file)
{
	(void)snprintf(path, PATH_SIZE, "cmd-%" PRIu32 "/%s", number, file);
	return path;
}

/* Cut to size: enough of it to see what is looked for. */
static bool read_file(int dir, const char *path, char *text, size_t size)
{
	cx_autofd int fd = openat(dir, path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	ssize_t n;

	n = fd >= 0 ? read(fd, text, size - 1) : -1; /* the kernel tells all of it at once */
	if (n < 0)
		return false;
	text[n] = '\0';
	return true;
}

/* Borrowed, or none. The peak is also written to. */
static int held_file(const struct cx_accounts *a, unsigned dir, uint32_t number, const char *file)
{
	char path[PATH_SIZE];
	int fd = -EBADF;

	/* On v1 who has the list of processes open is told the same for a second. */
	if (a->held == NULL || number != HELD_SLOT || strcmp(file, "cgroup.procs") == 0)
		return -EBADF;
	fd = cx_held_find(a->held, dir, file);
	if (fd >= 0 || !cx_held_has_room(a->held))
		return fd;
	fd = openat(a->dirs[dir], path_of(path, number, file),
		    (strcmp(file, peak_v1) == 0 ? O_RDWR : O_RDONLY) | O_CLOEXEC | O_NOFOLLOW);
	if (fd >= 0)
		cx_held_add(a->held, dir, file, fd);
	return fd;
}

static bool read_text(const struct cx_accounts *a, unsigned dir, uint32_t number, const char *file,
		      char *text, size_t size)
{
	unsigned at = dir < a->ndirs ? dir : 0;
	int held = held_file(a, at, number, file);
	char path[PATH_SIZE];
	ssize_t n;

	if (held < 0)
		return read_file(a->dirs[at], path_of(path, number, file), text, size);
	n = pread(held, text, size - 1, 0);
	if (n < 0)
		return false;
	text[n] = '\0';
	return true;
}

static bool read_number(const struct cx_accounts *a, unsigned dir, uint32_t number,
			const char *file, uint64_t *ret)
{
	char text[32], *end;

	if (!read_text(a, dir, number, file, text, sizeof text))
		return false;
	*ret = strtoull(text, &end, 10);
	return end != text;
}

static bool read_cpu_v1(const struct cx_accounts *a, uint32_t number, struct cpu *ret)
{
	uint64_t whole, user, system;

	if (!read_number(a, CPU, number, "cpuacct.usage", &whole) ||
	    !read_number(a, CPU, number, "cpuacct.usage_user", &user) ||
	    !read_number(a, CPU, number, "cpuacct.usage_sys", &system))
		return false;
	*ret = (struct cpu){ whole / 1000, user / 1000, system / 1000 };
	return true;
}

static bool find_field(const char *text, const char *key, uint64_t *ret)
{
	const char *at = strstr(text, key);

	if (at == NULL)
		return false;
	*ret = strtoull(at + strlen(key), NULL, 10);
	return true;
}

static bool read_cpu_v2(const struct cx_accounts *a, uint32_t number, struct cpu *ret)
{
	char text[1024];

	return read_text(a, MEMORY, number, "cpu.stat", text, sizeof text) &&
	       find_field(text, "usage_usec ", &ret->whole) &&
	       find_field(text, "user_usec ", &ret->user) &&
	       find_field(text, "system_usec ", &ret->system);
}

static bool read_cpu(const struct cx_accounts *a, uint32_t number, struct cpu *ret)
{
	return a->v2 ? read_cpu_v2(a, number, ret) : read_cpu_v1(a, number, ret);
}

static bool read_peak_fd(int fd, uint64_t *ret)
{
	char text[32];
	ssize_t n = pread(fd, text, sizeof text - 1, 0);

	if (n <= 0)
		return false;
	text[n] = '\0';
	*ret = strtoull(text, NULL, 10);
	return true;
}

static bool read_peak(const struct cx_accounts *a, uint32_t number, uint64_t *ret)
{
	const struct slot *slot = &a->slots[number - 1];

	if (slot->peak >= 0)
		return read_peak_fd(slot->peak, ret);
	return read_number(a, MEMORY, number, a->v2 ? "memory.peak" : peak_v1, ret);
}

static bool read_memory(const struct cx_accounts *a, uint32_t number, uint64_t *ret)
{
	return read_number(a, MEMORY, number, a->v2 ? "memory.current" : "memory.usage_in_bytes",
			   ret);
}

/* The kernel counts what tmpfs holds among files; here it is the command's own. */
static uint64_t read_files(const struct cx_accounts *a, uint32_t number)
{
	char text[1024];
	uint64_t files = 0, shared = 0;

	if (read_text(a, MEMORY, number, "memory.stat", text, sizeof text)) {
		(void)find_field(text, a->v2 ? "file " : "cache ", &files);
		(void)find_field(text, "shmem ", &shared);
	}
	return files > shared ? files - shared : 0;
}

/* Of the whole sandbox, whose group has the limit. On v1 it is there where cpu and cpuacct are one.
 */
static bool read_throttled(const struct cx_accounts *a, uint64_t *ret)
{
	unsigned dir = a->v2 ? MEMORY : CPU;
	char text[1024];

	if (dir >= a->ndirs || !read_file(a->dirs[dir], "cpu.stat", text, sizeof text))
		return false;
	if (a->v2)
		return find_field(text, "throttled_usec ", ret);
	if (!find_field(text, "throttled_time ", ret))
		return false;
	*ret /= 1000;
	return true;
}

static bool read_wait(const struct cx_accounts *a, uint32_t number, uint64_t *ret)
{
	char text[256];

	return a->v2 && read_text(a, MEMORY, number, "cpu.pressure", text, sizeof text) &&
	       find_field(text, "total=", ret);
}

static uint64_t beyond(uint64_t value, uint64_t base)
{
	return value > base ? value - base : 0;
}

/* As the kernel divides the time of a process: the whole is exact, its parts are sampled. */
static void divide(const struct cpu *base, const struct cpu *now, struct cx_figures *ret)
{
	uint64_t whole = beyond(now->whole, base->whole), user = beyond(now->user, base->user);
	uint64_t system = beyond(now->system, base->system);

	ret->system_us = 0;
	if (system > 0)
		ret->system_us =
			(uint64_t)((double)whole * ((double)system / (double)(user + system)));
	ret->user_us = whole - ret->system_us;
}

static uint64_t read_kills(const struct cx_accounts *a, uint32_t number)
{
	char text[512];
	uint64_t kills = 0;

	if (read_text(a, MEMORY, number, a->v2 ? "memory.events" : "memory.oom_control", text,
		      sizeof text))
		(void)find_field(text, "oom_kill ", &kills);
	return kills;
}

static uint64_t read_refused(const struct cx_accounts *a, uint32_t number)
{
	char text[64];
	uint64_t refused = 0;

	if (read_text(a, PIDS, number, "pids.events", text, sizeof text))
		(void)find_field(text, "max ", &refused);
	return refused;
}

/*
 * Since Linux 6.11 v2 counts at the group whose limit it was, and says no more whose process; it
 * has this file since then. Read when a command has ended or is looked at, not when one begins: so
 * what another one was refused that runs still may be counted as of its time, too.
 */
static void read_around(struct cx_accounts *a)
{
	char text[64];

	if (a->v2 && read_file(a->dirs[0], "pids.events.local", text, sizeof text))
		(void)find_field(text, "max ", &a->around);
}

/* A slot in which the kernel has killed is never used again: its count begins at 0. */
void cx_accounts_look(struct cx_accounts *a, uint32_t number, struct cx_accounts_hits *ret)
{
	const struct slot *slot = &a->slots[number - 1];
	struct cpu now;

	read_around(a);
	*ret = (struct cx_accounts_hits){
		.kills = read_kills(a, number),
		.refused = beyond(read_refused(a, number), slot->refused),
		.refused_around = beyond(a->around, slot->around),
	};
	if (read_cpu(a, number, &now))
		ret->cpu_us = beyond(now.whole, slot->base.whole);
}

/* The kernel keeps the largest number ever: a smaller one is told of nobody who came later. */
static void read_processes(const struct cx_accounts *a, uint32_t number, struct cx_figures *ret)
{
	struct slot *slot = &a->slots[number - 1];
	uint64_t peak;

	if (!read_number(a, PIDS, number, "pids.peak", &peak) || peak <= slot->processes)
		return;
	slot->processes = peak;
	ret->has_processes = true;
	ret->processes_peak = (uint32_t)peak;
}

bool cx_accounts_owns(struct cx_accounts *a, uint32_t number, uint64_t id)
{
	struct slot *slot = &a->slots[number - 1];
	char path[PATH_SIZE];
	struct stat st;

	if (a->v2 && slot->id == 0 &&
	    fstatat(a->dirs[0], path_of(path, number, ""), &st, AT_SYMLINK_NOFOLLOW) == 0)
		slot->id = st.st_ino;
	return !a->v2 || slot->id == id;
}

/* How long it had to wait. */
static void read_delays(const struct cx_accounts *a, uint32_t number, struct cx_figures *ret)
{
	const struct slot *slot = &a->slots[number - 1];

	if (!slot->watched)
		return;
	ret->has_throttled = read_throttled(a, &ret->throttled_us);
	ret->has_wait = read_wait(a, number, &ret->wait_us);
	ret->throttled_us = beyond(ret->throttled_us, slot->throttled_base);
	ret->wait_us = beyond(ret->wait_us, slot->wait_base);
}

/*
 * What earlier commands left is not this one's. Stacks and tables of processes that have ended are
 * freed some milliseconds late: what is there no more at the end, files aside, is not to be taken
 * off, else a command after a large tree would be told to have used less than it did.
 */
static void read_memory_figures(const struct cx_accounts *a, uint32_t number,
				struct cx_figures *ret)
{
	const struct slot *slot = &a->slots[number - 1];
	uint64_t peak = 0, now, base = slot->memory_base;

	ret->has_memory = !slot->blind && read_peak(a, number, &peak);
	ret->memory_file_bytes = beyond(read_files(a, number), slot->files_base);
	if (read_memory(a, number, &now) && beyond(now, ret->memory_file_bytes) < base)
		base = beyond(now, ret->memory_file_bytes);
	ret->memory_peak_bytes = beyond(peak, base);
}

void cx_accounts_read(struct cx_accounts *a, uint32_t number, struct cx_figures *ret)
{
	struct slot *slot = &a->slots[number - 1];

	*ret = (struct cx_figures){ .has_cpu = read_cpu(a, number, &slot->seen) };
	if (ret->has_cpu)
		divide(&slot->base, &slot->seen, ret);
	read_memory_figures(a, number, ret);
	if (ret->memory_file_bytes > ret->memory_peak_bytes)
		ret->memory_file_bytes = ret->memory_peak_bytes;
	read_processes(a, number, ret);
	read_delays(a, number, ret);
}

/* ---- slots ----------------------------------------------------------------------------------- */

static bool is_empty(const struct cx_accounts *a, uint32_t number)
{
	char text[64];

	return read_text(a, MEMORY, number, "cgroup.procs", text, sizeof text) && text[0] == '\0';
}

static bool begin_peak_v1(const struct cx_accounts *a, uint32_t number)
{
	int held = held_file(a, MEMORY, number, peak_v1);
	char path[PATH_SIZE];
	struct cx_err ignored;

	if (held >= 0)
		return pwrite(held, "0", 1, 0) == 1;
	return cx_write_file(a->dirs[MEMORY], path_of(path, number, peak_v1), "0", &ignored) == 0;
}

static bool begin_peak_v2(const struct cx_accounts *a, struct slot *slot, uint32_t number)
{
	char path[PATH_SIZE];

	if (slot->peak < 0)
		slot->peak = openat(a->dirs[MEMORY], path_of(path, number, "memory.peak"),
				    O_RDWR | O_CLOEXEC);
	return slot->peak >= 0 && write(slot->peak, "0", 1) == 1;
}

static int write_number(const struct cx_accounts *a, unsigned dir, uint32_t number,
			const char *file, uint64_t value, struct cx_err *err)
{
	char path[PATH_SIZE], text[24];

	(void)snprintf(text, sizeof text, "%" PRIu64, value);
	return cx_write_file(a->dirs[dir < a->ndirs ? dir : 0], path_of(path, number, file), text,
			     err);
}

/* There is no swap to go to: v1 has inherited a swappiness of 0, v2 a limit of 0 above. */
static int limit_memory(struct cx_accounts *a, uint32_t number, uint64_t bytes, struct cx_err *err)
{
	return write_number(a, MEMORY, number, a->v2 ? "memory.max" : "memory.limit_in_bytes",
			    a->slots[number - 1].memory_base + bytes, err);
}

int cx_accounts_limit(struct cx_accounts *a, uint32_t number, const struct cx_exec_limits *limits,
		      struct cx_err *err)
{
	struct slot *slot = &a->slots[number - 1];

	slot->limited = limits->memory_bytes > 0;
	slot->closed = limits->processes > 0;
	slot->watched = limits->watched;
	if (slot->watched) {
		(void)!read_throttled(a, &slot->throttled_base);
		(void)!read_wait(a, number, &slot->wait_base);
	}
	if (limits->memory_bytes > 0 && limit_memory(a, number, limits->memory_bytes, err) < 0)
		return cx_wrap(err, "memory limit of the command");
	if (limits->processes > 0 &&
	    write_number(a, PIDS, number, "pids.max", limits->processes, err) < 0)
		return cx_wrap(err, "limit of processes of the command");
	return 0;
}

static bool write_word(const struct cx_accounts *a, unsigned dir, uint32_t number, const char *file,
		       const char *word)
{
	char path[PATH_SIZE];
	struct cx_err err = { 0 };

	return cx_write_file(a->dirs[dir < a->ndirs ? dir : 0], path_of(path, number, file), word,
			     &err) == 0 ||
	       err.errnum == ENOENT;
}

static bool unlimit(const struct cx_accounts *a, uint32_t number, const struct slot *slot)
{
	if (slot->closed && !write_word(a, PIDS, number, "pids.max", "max"))
		return false;
	if (!slot->limited)
		return true;
	if (a->v2)
		return write_word(a, MEMORY, number, "memory.max", "max");
	return write_word(a, MEMORY, number, "memory.limit_in_bytes", "-1") &&
	       write_word(a, MEMORY, number, "memory.failcnt", "0");
}

/*
 * Nobody is in it: what comes is counted from here. Where the kernel has killed nothing is changed:
 * caissond tells by it whose limit that was.
 */
static bool begin_anew(struct cx_accounts *a, uint32_t number)
{
	struct slot *slot = &a->slots[number - 1];

	if (slot->limited && read_kills(a, number) > 0)
		return false;
	if (!unlimit(a, number, slot))
		return false;
	slot->limited = slot->closed = slot->watched = slot->blind = false;
	slot->base = slot->seen;
	slot->refused = read_refused(a, number);
	read_around(a);
	slot->files_base = read_files(a, number);
	(void)!read_number(a, PIDS, number, "pids.peak", &slot->processes);
	return (a->v2 ? begin_peak_v2(a, slot, number) : begin_peak_v1(a, number)) &&
	       read_memory(a, number, &slot->memory_base);
}

/* It will be another group of that name. */
static void let_go(struct cx_accounts *a, uint32_t number)
{
	if (a->held != NULL && number == HELD_SLOT)
		cx_held_close(a->held);
}

static void prepare(struct cx_accounts *a, uint32_t number)
{
	struct slot *slot = &a->slots[number - 1];

	slot->state = begin_anew(a, number) ? SLOT_FREE : SLOT_STALE;
	if (slot->state == SLOT_FREE)
		return;
	cx_close(&slot->peak);
	let_go(a, number);
}

void cx_accounts_give_back(struct cx_accounts *a, uint32_t number, bool closed)
{
	struct slot *slot = &a->slots[number - 1];

	slot->state = SLOT_ENDED;
	slot->closed |= closed;
}

/* Read anew: somebody may have been left at the end of the command, and be gone since. */
static void settle(struct cx_accounts *a, uint32_t number)
{
	struct slot *slot = &a->slots[number - 1];

	if (!is_empty(a, number))
		slot->state = SLOT_LEFT;
	else if (read_cpu(a, number, &slot->seen))
		prepare(a, number);
}

bool cx_accounts_settle(struct cx_accounts *a)
{
	bool more = false;

	for (uint32_t number = 1; number <= a->n; number++) {
		const struct slot *slot = &a->slots[number - 1];

		if (slot->state == SLOT_ENDED || slot->state == SLOT_LEFT)
			settle(a, number);
		more |= slot->state == SLOT_LEFT;
	}
	return more;
}

static uint32_t find_free(const struct cx_accounts *a)
{
	for (unsigned i = 0; i < a->n; i++)
		if (a->slots[i].state == SLOT_FREE)
			return i + 1;
	return 0;
}

uint32_t cx_accounts_take(struct cx_accounts *a)
{
	uint32_t number = find_free(a);

	if (number == 0) {
		(void)cx_accounts_settle(a);
		number = find_free(a);
	}
	if (number > 0) {
		a->slots[number - 1].state = SLOT_USED;
		a->slots[number - 1].around = a->around;
	}
	if (a->held != NULL && number == HELD_SLOT)
		cx_held_use(a->sets, a->held);
	return number;
}

void cx_accounts_mark(const struct cx_accounts *a, uint32_t number,
		      const struct cx_exec_limits *limits, struct cx_accounts_mark *ret)
{
	const struct slot *slot = &a->slots[number - 1];

	*ret = (struct cx_accounts_mark){
		.number = number,
		.cpu = slot->base.whole,
		.user = slot->base.user,
		.system = slot->base.system,
		.memory = slot->memory_base,
		.files = slot->files_base,
		.processes = slot->processes,
		.refused = slot->refused,
		.peak_is_whole = !a->v2 || slot->peak < 0,
		.cpu_limit_us = limits->cpu_us,
		.memory_limit_bytes = limits->memory_bytes,
		.processes_limit = limits->processes,
	};
}

uint32_t cx_accounts_take_again(struct cx_accounts *a, const struct cx_accounts_mark *mark,
				struct cx_exec_limits *ret_limits)
{
	struct slot *slot;

	if (mark->number == 0 || mark->number > a->n ||
	    a->slots[mark->number - 1].state != SLOT_LEFT)
		return 0;
	slot = &a->slots[mark->number - 1];
	*slot = (struct slot){
		.state = SLOT_USED,
		.base = { mark->cpu, mark->user, mark->system },
		.memory_base = mark->memory,
		.files_base = mark->files,
		.processes = mark->processes,
		.refused = mark->refused,
		.around = a->around,
		.limited = true,
		.closed = true,
		.blind = mark->peak_is_whole == 0,
		.peak = -EBADF,
	};
	*ret_limits = (struct cx_exec_limits){ .cpu_us = mark->cpu_limit_us,
					       .memory_bytes = mark->memory_limit_bytes,
					       .processes = (uint32_t)mark->processes_limit };
	return (uint32_t)mark->number;
}

static int add_slot(struct cx_accounts *a, struct cx_err *err)
{
	unsigned room = a->room > 0 ? 2 * a->room : FIRST_SLOTS;
	struct slot *slots;

	if (a->n == a->room) {
		slots = realloc(a->slots, room * sizeof *slots);
		if (slots == NULL)
			return cx_fail(err, ENOMEM, "accounts of a sandbox");
		a->slots = slots;
		a->room = room;
	}
	a->slots[a->n++] = (struct slot){ .peak = -EBADF };
	return 0;
}

uint32_t cx_accounts_want(struct cx_accounts *a, bool more)
{
	struct cx_err ignored;
	unsigned i = 0;

	while (i < a->n && a->slots[i].state != SLOT_STALE)
		i++;
	if (i < a->n && !more && find_free(a) > 0)
		return 0;
	if (i == a->n && (!more || a->n >= CX_COMMAND_SLOTS_MAX || add_slot(a, &ignored) < 0))
		return 0;
	a->slots[i].state = SLOT_ASKED;
	return i + 1;
}

void cx_accounts_made(struct cx_accounts *a, uint32_t number, bool success)
{
	let_go(a, number);
	a->slots[number - 1] =
		(struct slot){ .peak = -EBADF, .state = success ? SLOT_FREE : SLOT_STALE };
}

/* ---- open and close -------------------------------------------------------------------------- */

static bool exists(const struct cx_accounts *a, uint32_t number)
{
	char path[PATH_SIZE];

	return faccessat(a->dirs[MEMORY], path_of(path, number, "cgroup.procs"), F_OK, 0) == 0;
}

/*
 * Slots of an earlier gateway: in use until they are found empty, which is looked at when one is
 * needed: until then what it knew of those in them can be said (cx_accounts_take_again()).
 */
static int find_slots(struct cx_accounts *a, struct cx_err *err)
{
	while (a->n < CX_COMMAND_SLOTS_MAX && exists(a, a->n + 1)) {
		if (add_slot(a, err) < 0)
			return -err->errnum;
		a->slots[a->n - 1].state = SLOT_LEFT;
		a->slots[a->n - 1].limited = a->slots[a->n - 1].closed = true;
	}
	read_around(a);
	return 0;
}

static void close_accounts(struct cx_accounts **slot)
{
	cx_accounts_close(*slot);
}

int cx_accounts_open(int dirs[CX_ACCOUNTS_MAX], unsigned n, bool fresh, struct cx_accounts **ret,
		     struct cx_err *err)
{
	CX_AUTO(close_accounts) struct cx_accounts *a = calloc(1, sizeof *a);

	if (a == NULL)
		return cx_fail(err, ENOMEM, "accounts of a sandbox");
	for (unsigned i = 0; i < n; i++)
		a->dirs[i] = cx_take_fd(&dirs[i]);
	a->ndirs = n;
	if (n == 0)
		return cx_refuse(err, CX_INTERNAL, "no control group to count commands in");
	a->v2 = faccessat(a->dirs[0], "cgroup.controllers", F_OK, 0) == 0;
	if ((fresh ? add_slot(a, err) : find_slots(a, err)) < 0)
		return -err->errnum;
	*ret = cx_take_ptr(&a);
	return 0;
}

void cx_accounts_close(struct cx_accounts *a)
{
	if (a == NULL)
		return;
	for (unsigned i = 0; i < a->n; i++)
		cx_close(&a->slots[i].peak);
	for (unsigned i = 0; i < a->ndirs; i++)
		cx_close(&a->dirs[i]);
	if (a->held != NULL)
		cx_held_close(a->held);
	free(a->held);
	free(a->slots);
	free(a);
}

/* Without memory for it they are opened each time. */
void cx_accounts_hold(struct cx_accounts *a, struct cx_held_sets *sets)
{
	if (a->held == NULL)
		a->held = calloc(1, sizeof *a->held);
	a->sets = sets;
}

const char *cx_accounts_source(const struct cx_accounts *a)
{
	return a->v2 ? "cgroup v2" : "cgroup v1";
}
