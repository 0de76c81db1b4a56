/* SPDX-License-Identifier: Apache-2.0 */
#include <dirent.h>
#include <fcntl.h>
#include <string.h>

#include "agent/fileop.h"
#include "base/fd.h"

enum { NAMES_MAX = 1 << 20, ENTRY_MAX = 4 + CX_FIELDS_FILE_ENTRY(CX_AS_SIZE) 0 };

struct names {
	char **p;
	size_t n, room;
};

static void free_names(struct names *names)
{
	for (size_t i = 0; i < names->n; i++)
		free(names->p[i]);
	free(names->p);
}

static void close_directory(DIR **dir)
{
	if (*dir != NULL)
		(void)closedir(*dir);
}

static int add_name(struct names *names, const char *name, struct cx_err *err)
{
	if (names->n == NAMES_MAX)
		return cx_refuse(err, CX_LIMIT, "a directory of more than %d names", NAMES_MAX);
	if (names->n == names->room) {
		size_t room = names->room > 0 ? 2 * names->room : 64;
		char **p = realloc(names->p, room * sizeof *p);

		if (p == NULL)
			return cx_fail(err, ENOMEM, "names of a directory");
		names->p = p;
		names->room = room;
	}
	names->p[names->n] = strdup(name);
	if (names->p[names->n] == NULL)
		return cx_fail(err, ENOMEM, "names of a directory");
	names->n++;
	return 0;
}

static int compare(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* All that come behind after, in order. */
static int collect(DIR *dir, const char *path, const char *after, struct names *names,
		   struct cx_err *err)
{
	const struct dirent *d;

	while (errno = 0, (d = readdir(dir)) != NULL) {
		if (strcmp(d->d_name, ".") == 0 || strcmp(d->d_name, "..") == 0 ||
		    strcmp(d->d_name, after) <= 0)
			continue;
		if (add_name(names, d->d_name, err) < 0)
			return cx_wrap(err, "list '%s'", path);
	}
	if (errno != 0)
		return cx_fileop_fail(errno, "list", path, err);
	if (names->n > 0)
		qsort(names->p, names->n, sizeof *names->p, compare);
	return 0;
}

/* Behind its length. 0: it is gone meanwhile, or has a name longer than any file system of ours. */
static size_t encode_entry(int dir, const char *name, uint8_t to[ENTRY_MAX])
{
	struct cx_writer length = { .p = to, .left = 4 };
	struct cx_writer w = { .p = to + 4, .left = ENTRY_MAX - 4 };
	char target[PATH_MAX];
	struct cx_msg_file_info info;
	struct cx_msg_file_entry entry;
	struct stat st;
	ssize_t n = -1;
	uint32_t len;

	if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return 0;
	info = cx_fileop_info(&st);
	if (info.kind == CX_FILE_LINK)
		n = readlinkat(dir, name, target, sizeof target - 1);
	entry = (struct cx_msg_file_entry){
		.name = cx_str_of(name),
		.kind = info.kind,
		.mode = info.mode,
		.size = info.size,
		.mtime = info.mtime,
		.target = { .p = target, .len = n > 0 ? (uint32_t)n : 0 },
	};
	if (!cx_msg_file_entry_put(&w, &entry))
		return 0;
	len = (uint32_t)(w.p - to) - 4;
	return cx_put_u32(&length, &len, UINT32_MAX) ? 4 + len : 0;
}

static int send_entries(int dir, const struct names *names, const struct cx_fileop_io *io,
			struct cx_err *err)
{
	static uint8_t page[CX_FILE_LIST_MAX];
	size_t used = 0;

	for (size_t i = 0; i < names->n && i < CX_FILE_LIST_ENTRIES_MAX; i++) {
		if (sizeof page - used < ENTRY_MAX)
			break;
		used += encode_entry(dir, names->p[i], page + used);
	}
	return cx_write_all(io->data, page, used, err);
}

static int list_directory(const char *path, const char *after, struct cx_msg_file_info *info,
			  const struct cx_fileop_io *io, struct cx_err *err)
{
	CX_AUTO(close_directory) DIR *dir = NULL;
	CX_AUTO(free_names) struct names names = { 0 };

	dir = opendir(path);
	if (dir == NULL)
		return cx_fileop_fail(errno, "list", path, err);
	if (collect(dir, path, after, &names, err) < 0)
		return -err->errnum;
	info->length = names.n;
	if (cx_fileop_ready(io, info, err) < 0)
		return -err->errnum;
	return send_entries(dirfd(dir), &names, io, err);
}

int cx_fileop_list(const struct cx_msg_file_list *m, const struct cx_fileop_io *io,
		   struct cx_err *err)
{
	char path[PATH_MAX], after[256];
	struct cx_msg_file_info info;
	struct stat st;

	if (cx_fileop_path(m->path, path, err) < 0)
		return -err->errnum;
	(void)cx_str_copy(m->after, after, sizeof after);
	if (stat(path, &st) < 0)
		return cx_fileop_fail(errno, "look at", path, err);
	info = cx_fileop_info(&st);
	if (info.kind == CX_FILE_DIRECTORY)
		return list_directory(path, after, &info, io, err);
	return cx_fileop_ready(io, &info, err);
}
