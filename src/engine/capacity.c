/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/capacity.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/statvfs.h>

#include "base/fd.h"

enum {
	FILES_OWN = 256, /* also what a creation takes for a moment */
	PART = 20,	 /* of what there is, is kept if nothing is configured */
	PIDS_RESERVE = 1024,
	PROC_MAX = 8192,
};
static const uint64_t memory_reserve = (uint64_t)1 << 30, none = UINT64_MAX;

static const struct {
	const char *what;
	uint64_t unit; /* in which it is told */
} words[CX_RESOURCE_MAX] = {
	[CX_RESOURCE_SANDBOXES] = { "sandboxes", 1 },
	[CX_RESOURCE_FILES] = { "open files of caissond", 1 },
	[CX_RESOURCE_CPU] = { "thousandths of a core", 1 },
	[CX_RESOURCE_MEMORY] = { "MiB of memory", 1 << 20 },
	[CX_RESOURCE_DISK] = { "MiB of disk", 1 << 20 },
	[CX_RESOURCE_PIDS] = { "processes", 1 },
};

/* ---- looking --------------------------------------------------------------------------------- */

static uint64_t less(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static uint64_t usual_reserve(uint64_t configured, uint64_t total, uint64_t most)
{
	return configured > 0 ? configured : less(total / PART, most);
}

uint64_t cx_capacity_limit(uint64_t total, uint64_t reserve, uint64_t factor_milli)
{
	uint64_t ours = total > reserve ? total - reserve : 0;

	/* A bound of nothing is one: at least 1, as 0 says that there is none. */
	if (factor_milli == 0)
		return 0;
	ours = ours / 1000 * factor_milli + ours % 1000 * factor_milli / 1000;
	return ours > 0 ? ours : 1;
}

static void limit(struct cx_resource_state *r, uint64_t factor_milli)
{
	r->limit = cx_capacity_limit(r->total, r->reserve, factor_milli);
}

/* The number behind a word of a file below /proc; its whole beginning with word NULL. */
static uint64_t proc_number(const char *path, const char *word, uint64_t otherwise)
{
	char text[PROC_MAX];
	struct cx_err ignored;
	const char *at = text;

	if (cx_read_small_file(AT_FDCWD, path, text, sizeof text, &ignored) <= 0)
		return otherwise;
	if (word != NULL)
		at = strstr(text, word);
	return at != NULL ? strtoull(at + (word != NULL ? strlen(word) : 0), NULL, 10) : otherwise;
}

/* "0.07 0.10 0.09 2/154 24302": of the host's 154 tasks two run. */
static uint64_t tasks_of_host(void)
{
	return proc_number("/proc/loadavg", "/", 0);
}

static uint64_t tasks_max(void)
{
	return less(proc_number("/proc/sys/kernel/pid_max", NULL, none),
		    proc_number("/proc/sys/kernel/threads-max", NULL, none));
}

static void open_files(struct cx_resource_state *r)
{
	struct rlimit files = { .rlim_cur = RLIM_INFINITY };

	(void)getrlimit(RLIMIT_NOFILE, &files);
	r->total = files.rlim_cur;
	r->reserve = FILES_OWN;
	if (files.rlim_cur != RLIM_INFINITY)
		r->limit = cx_capacity_limit(r->total, r->reserve, 1000);
}

void cx_capacity_open(const struct cx_host *host, struct cx_capacity *ret)
{
	const struct cx_config *c = host->config;
	struct cx_resource_state *of = ret->of;
	const uint64_t tasks = tasks_max();
	struct cx_cgroup_bounds bounds;

	cx_cgroups_bounds(host->cgroups, &bounds);
	*ret = (struct cx_capacity){ 0 };
	for (unsigned i = 0; i < CX_RESOURCE_MAX; i++)
		of[i].left = none;
	of[CX_RESOURCE_SANDBOXES].total = of[CX_RESOURCE_SANDBOXES].limit = c->max_sandboxes;
	open_files(&of[CX_RESOURCE_FILES]);
	of[CX_RESOURCE_CPU].total = (uint64_t)host->cpus * 1000;
	of[CX_RESOURCE_CPU].reserve = c->cpu_reserve;
	of[CX_RESOURCE_MEMORY].total = host->memory_bytes;
	of[CX_RESOURCE_MEMORY].reserve =
		usual_reserve(c->memory_reserve, host->memory_bytes, memory_reserve);
	of[CX_RESOURCE_PIDS].total = less(tasks, bounds.pids);
	of[CX_RESOURCE_PIDS].reserve =
		usual_reserve(c->pids_reserve, of[CX_RESOURCE_PIDS].total, PIDS_RESERVE);
	limit(&of[CX_RESOURCE_CPU], c->cpu_overcommit);
	limit(&of[CX_RESOURCE_MEMORY], c->memory_overcommit);
	limit(&of[CX_RESOURCE_PIDS], c->pids_overcommit);
	ret->files_each = CX_SANDBOX_FILES + cx_cgroups_count(host->cgroups);
	ret->files_blank = CX_SANDBOX_FILES_BLANK + 2 * cx_cgroups_count(host->cgroups);
	ret->on_disk = cx_quota_kind(host->quota) != CX_QUOTA_MEMORY;
	ret->bounded = bounds.memory <= host->memory_bytes || bounds.pids < tasks;
}

/* What must be left of the disk is cx_host_plan_disk()'s question, as it knows the back end. */
static void look_at_disk(const struct cx_host *h, struct cx_resource_state *r)
{
	const struct cx_config *c = h->config;
	struct statvfs fs = { 0 };

	(void)fstatvfs(h->dirs.writable, &fs);
	r->total = (uint64_t)fs.f_blocks * fs.f_frsize;
	r->left = (uint64_t)fs.f_bavail * fs.f_frsize;
	r->reserve = cx_host_disk_reserve(h, r->total);
	limit(r, c->disk_overcommit);
	if (c->disk_pool > 0 && (r->limit == 0 || c->disk_pool < r->limit))
		r->limit = c->disk_pool;
}

static void look_at_host(const struct cx_host *h, struct cx_capacity *c)
{
	uint64_t kib = proc_number("/proc/meminfo", "MemAvailable:", none >> 10);
	uint64_t tasks = tasks_of_host(), most = tasks_max();
	struct cx_cgroup_bounds bounds = { none, none, none, none };

	if (c->bounded)
		cx_cgroups_bounds(h->cgroups, &bounds);
	c->of[CX_RESOURCE_MEMORY].left = less(kib << 10, bounds.memory_left);
	c->of[CX_RESOURCE_PIDS].left = less(most > tasks ? most - tasks : 0, bounds.pids_left);
	look_at_disk(h, &c->of[CX_RESOURCE_DISK]);
	c->looked_ms = cx_now_ms();
}

static uint64_t disk_of_plan(const struct cx_capacity *c, const struct cx_claim_plan *plan)
{
	return c->on_disk && !plan->in_memory ? plan->disk.bytes : 0;
}

/* One that is ending may have been a blank. */
static uint64_t files_of(const struct cx_pool *pool, const struct cx_capacity *c)
{
	const unsigned *n = pool->set->count;
	uint64_t blank = pool->nwaiting;

	blank += n[CX_SANDBOX_STARTING] + n[CX_SANDBOX_BLANK] + n[CX_SANDBOX_CLAIMING] +
		 n[CX_SANDBOX_ENDING];
	return blank * c->files_blank +
	       (uint64_t)(n[CX_SANDBOX_RUNNING] + n[CX_SANDBOX_REMAINS]) * c->files_each;
}

/* To those that exist, those that are blank included, which cost descriptors only. */
static void look_at_promises(const struct cx_pool *pool, struct cx_capacity *c)
{
	const struct cx_sandboxes *set = pool->set;

	c->of[CX_RESOURCE_SANDBOXES].promised =
		set->count[CX_SANDBOX_CLAIMING] + set->count[CX_SANDBOX_RUNNING] + pool->nwaiting;
	c->of[CX_RESOURCE_FILES].promised = files_of(pool, c);
	c->of[CX_RESOURCE_CPU].promised = set->promised.cpu_milli;
	c->of[CX_RESOURCE_MEMORY].promised = set->promised.memory_bytes;
	c->of[CX_RESOURCE_PIDS].promised = set->promised.pids;
	c->of[CX_RESOURCE_DISK].promised = set->promised.disk_bytes;
	for (const struct cx_create *wait = pool->first; wait != NULL; wait = wait->next) {
		c->of[CX_RESOURCE_CPU].promised += wait->plan.limits.cpu_milli;
		c->of[CX_RESOURCE_MEMORY].promised += wait->plan.limits.memory_bytes;
		c->of[CX_RESOURCE_PIDS].promised += wait->plan.limits.pids;
		c->of[CX_RESOURCE_DISK].promised += disk_of_plan(c, &wait->plan);
	}
}

void cx_capacity_look(const struct cx_host *host, const struct cx_pool *pool,
		      struct cx_capacity *capacity)
{
	look_at_host(host, capacity);
	look_at_promises(pool, capacity);
}

static bool is_ample(const struct cx_resource_state *r)
{
	return r->left / 2 >= r->reserve;
}

void cx_capacity_glance(const struct cx_host *host, const struct cx_pool *pool,
			struct cx_capacity *capacity)
{
	if (cx_now_ms() - capacity->looked_ms >= CX_CAPACITY_GOOD_MS ||
	    !is_ample(&capacity->of[CX_RESOURCE_MEMORY]) ||
	    !is_ample(&capacity->of[CX_RESOURCE_PIDS]))
		look_at_host(host, capacity);
	look_at_promises(pool, capacity);
}

/* ---- judging --------------------------------------------------------------------------------- */

static int check_limit(const struct cx_resource_state *r, uint64_t wanted, unsigned i,
		       struct cx_err *err)
{
	const unsigned long long unit = words[i].unit;

	if (r->limit == 0 || wanted <= r->limit)
		return 0;
	return cx_refuse(err, CX_INVALID,
			 "%llu %s are more than the %llu that this host ever gives",
			 (unsigned long long)wanted / unit, words[i].what,
			 (unsigned long long)r->limit / unit);
}

static int check_promises(const struct cx_resource_state *r, uint64_t wanted, unsigned i,
			  struct cx_err *err)
{
	const unsigned long long unit = words[i].unit;

	if (r->limit == 0 || wanted == 0)
		return 0;
	if (r->promised > r->limit || wanted > r->limit - r->promised)
		return cx_refuse(err, CX_BUSY,
				 "the host is full: of %llu %s that it gives, %llu are taken and "
				 "%llu more are wanted",
				 (unsigned long long)r->limit / unit, words[i].what,
				 (unsigned long long)r->promised / unit,
				 (unsigned long long)wanted / unit);
	return 0;
}

/* Below its reserve the host takes nobody in, whatever may be promised. */
static int check_floor(const struct cx_resource_state *r, unsigned i, struct cx_err *err)
{
	if (r->left >= r->reserve)
		return 0;
	return cx_refuse(err, CX_BUSY, "the host is full: %llu %s are left, of which it keeps %llu",
			 (unsigned long long)(r->left / words[i].unit), words[i].what,
			 (unsigned long long)(r->reserve / words[i].unit));
}

int cx_capacity_check(const struct cx_capacity *capacity, const struct cx_claim_plan *plan,
		      struct cx_err *err)
{
	static const enum cx_resource floors[] = { CX_RESOURCE_MEMORY, CX_RESOURCE_PIDS };
	const uint64_t wanted[CX_RESOURCE_MAX] = {
		[CX_RESOURCE_SANDBOXES] = 1,
		[CX_RESOURCE_FILES] = capacity->files_blank, /* which it is at first */
		[CX_RESOURCE_CPU] = plan->limits.cpu_milli,
		[CX_RESOURCE_MEMORY] = plan->limits.memory_bytes,
		[CX_RESOURCE_DISK] = disk_of_plan(capacity, plan),
		[CX_RESOURCE_PIDS] = plan->limits.pids,
	};

	/* What never fits is told before what does not now: nobody is to wait for it. */
	for (unsigned i = 0; i < CX_RESOURCE_MAX; i++)
		if (check_limit(&capacity->of[i], wanted[i], i, err) < 0)
			return -err->errnum;
	for (unsigned i = 0; i < CX_RESOURCE_MAX; i++)
		if (check_promises(&capacity->of[i], wanted[i], i, err) < 0)
			return -err->errnum;
	for (size_t i = 0; i < CX_LEN(floors); i++)
		if (check_floor(&capacity->of[floors[i]], floors[i], err) < 0)
			return -err->errnum;
	return 0;
}
