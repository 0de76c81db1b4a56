/* SPDX-License-Identifier: Apache-2.0 */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/fd.h"
#include "runtime/cgroup.h"
#include "runtime/cgroup_tree.h"

/* More groups than these are not one in the other. */
enum { DEPTH_MAX = 32, FILE_MAX = 8192 };

static uint64_t read_number(int dir, const char *file, uint64_t otherwise)
{
	char text[FILE_MAX];
	struct cx_err ignored;

	/* "max" is no number. */
	if (cx_read_small_file(dir, file, text, sizeof text, &ignored) <= 0 || text[0] < '0' ||
	    text[0] > '9')
		return otherwise;
	return strtoull(text, NULL, 10);
}

static uint64_t read_line(int dir, const char *file, const char *key, uint64_t otherwise)
{
	char text[FILE_MAX], *save = NULL;
	struct cx_err ignored;

	if (cx_read_small_file(dir, file, text, sizeof text, &ignored) <= 0)
		return otherwise;
	for (char *line = strtok_r(text, "\n", &save); line != NULL;
	     line = strtok_r(NULL, "\n", &save)) {
		size_t len = strlen(key);

		if (strncmp(line, key, len) == 0 && line[len] == ' ')
			return strtoull(line + len + 1, NULL, 10);
	}
	return otherwise;
}

static uint64_t less(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

/* Cache that nobody uses makes room when room is asked for. */
static uint64_t memory_left(int dir, const char *max, const char *used, const char *idle)
{
	uint64_t limit = read_number(dir, max, UINT64_MAX);
	uint64_t taken = read_number(dir, used, 0);
	uint64_t cache = read_line(dir, "memory.stat", idle, 0);

	if (limit == UINT64_MAX)
		return limit;
	taken = taken > cache ? taken - cache : 0;
	return limit > taken ? limit - taken : 0;
}

static void look_at(int dir, unsigned controllers, struct cx_cgroup_bounds *b)
{
	if ((controllers & CX_CTL_MEMORY) != 0) {
		b->memory = less(b->memory, read_number(dir, "memory.max", UINT64_MAX));
		b->memory = less(b->memory, read_number(dir, "memory.limit_in_bytes", UINT64_MAX));
		b->memory_left =
			less(b->memory_left,
			     memory_left(dir, "memory.max", "memory.current", "inactive_file"));
		b->memory_left = less(b->memory_left,
				      memory_left(dir, "memory.limit_in_bytes",
						  "memory.usage_in_bytes", "total_inactive_file"));
	}
	if ((controllers & CX_CTL_PIDS) != 0) {
		uint64_t max = read_number(dir, "pids.max", UINT64_MAX);
		uint64_t used = read_number(dir, "pids.current", 0);

		b->pids = less(b->pids, max);
		b->pids_left = less(b->pids_left, max > used ? max - used : 0);
	}
}

static bool is_group(int dir)
{
	return faccessat(dir, "cgroup.procs", F_OK, 0) == 0;
}

void cx_cgroups_bounds(const struct cx_cgroups *groups, struct cx_cgroup_bounds *ret)
{
	*ret = (struct cx_cgroup_bounds){ UINT64_MAX, UINT64_MAX, UINT64_MAX, UINT64_MAX };
	for (unsigned i = 0; i < groups->n; i++) {
		int dir = openat(groups->trees[i].root, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

		for (int depth = 0; dir >= 0 && is_group(dir) && depth < DEPTH_MAX; depth++) {
			int above = openat(dir, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

			look_at(dir, groups->trees[i].controllers, ret);
			cx_close(&dir);
			dir = above;
		}
		cx_close(&dir);
	}
}
