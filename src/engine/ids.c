/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/ids.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/path.h"
#include "base/str.h"

int cx_ids_open(const char *dir, uint32_t base, uint32_t count, struct cx_ids *ret,
		struct cx_err *err)
{
	cx_autofd int made = cx_mkdir_p(dir, 0700, err);
	cx_autofd int fd = -EBADF;
	uint32_t start = 0;
	struct stat st;

	if (made < 0)
		return cx_wrap(err, "directory of id reservations");
	fd = openat(made, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) < 0)
		return cx_fail(err, errno, "open '%s'", dir);
	if (st.st_uid != geteuid() || (st.st_mode & 022) != 0)
		return cx_refuse(err, CX_DENIED, "'%s' can be written by others; remove it", dir);
	if (getrandom(&start, sizeof start, 0) != (ssize_t)sizeof start)
		return cx_fail(err, errno, "getrandom");
	*ret = (struct cx_ids){
		.dir = cx_take_fd(&fd), .base = base, .count = count, .next = start % count
	};
	return 0;
}

void cx_ids_close(struct cx_ids *ids)
{
	cx_close(&ids->dir);
}

/* A link appears with its text in it, so that nobody sees a reservation without an owner. */
static int publish(const struct cx_ids *ids, const char *name, const char *owner,
		   struct cx_err *err)
{
	if (symlinkat(owner, ids->dir, name) < 0)
		return cx_fail(err, errno, "reserve ids from %s on", name);
	return 0;
}

static bool read_owner(const struct cx_ids *ids, const char *name, char ret[CX_ID_OWNER_MAX])
{
	ssize_t n = readlinkat(ids->dir, name, ret, CX_ID_OWNER_MAX);

	if (n <= 0 || n == CX_ID_OWNER_MAX)
		return false;
	ret[n] = '\0';
	return true;
}

int cx_ids_reserve(struct cx_ids *ids, const char *owner, uint32_t *ret_base, struct cx_err *err)
{
	if (owner[0] != '/' || strlen(owner) >= CX_ID_OWNER_MAX)
		return cx_refuse(err, CX_INVALID, "owner '%.80s' of an id range", owner);
	for (uint32_t tries = 0; tries < ids->count; tries++) {
		uint32_t base = ids->base + ids->next * CX_ID_RANGE;
		char name[16];

		ids->next = (ids->next + 1) % ids->count;
		(void)snprintf(name, sizeof name, "%u", base);
		if (publish(ids, name, owner, err) == 0) {
			*ret_base = base;
			return 0;
		}
		if (err->errnum != EEXIST)
			return -err->errnum;
	}
	return cx_refuse(err, CX_LIMIT, "all %u ranges of user ids are in use; see --ids",
			 ids->count);
}

/* One that fails once, for want of memory, say, is tried again: nobody comes back to it. */
static int remove_entry(const struct cx_ids *ids, const char *name)
{
	int r = unlinkat(ids->dir, name, 0);

	return r == 0 ? 0 : unlinkat(ids->dir, name, 0);
}

void cx_ids_release(struct cx_ids *ids, uint32_t base)
{
	char name[16];

	if (base == 0)
		return;
	(void)snprintf(name, sizeof name, "%u", base);
	(void)remove_entry(ids, name);
}

static int is_below(const char *path, const char *dir)
{
	size_t len = strlen(dir);

	return strncmp(path, dir, len) == 0 && (path[len] == '/' || path[len] == '\0');
}

/* Of what cannot be looked at now nothing is known: it stays. */
static bool is_there(const char *path)
{
	return access(path, F_OK) == 0 ||
	       (errno != ENOENT && errno != ENOTDIR && errno != ENAMETOOLONG);
}

int cx_ids_reclaim(struct cx_ids *ids, const char *run,
		   int (*keep)(uint32_t base, const char *owner, void *arg), void *arg,
		   struct cx_err *err)
{
	int fd = openat(ids->dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
	struct dirent *entry;
	int freed = 0;

	if (dir == NULL) {
		(void)cx_fail(err, errno, "list id reservations");
		cx_close(&fd);
		return -err->errnum;
	}
	while ((entry = readdir(dir)) != NULL) {
		char owner[CX_ID_OWNER_MAX];
		struct cx_err ignored;
		uint64_t base = 0;
		bool used;

		if (cx_parse_u64(entry->d_name, 0, UINT32_MAX, "name", &base, &ignored) < 0 ||
		    !read_owner(ids, entry->d_name, owner))
			continue;
		used = is_below(owner, run) ? keep((uint32_t)base, owner, arg) != 0
					    : is_there(owner);
		if (!used && remove_entry(ids, entry->d_name) == 0)
			freed++;
	}
	(void)closedir(dir);
	return freed;
}
