/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/fileop.h"

#include "agent/report.h"
#include "base/fd.h"

int cx_fileop_path(struct cx_str path, char ret[PATH_MAX], struct cx_err *err)
{
	if (path.len == 0)
		return cx_refuse(err, CX_INVALID, "the path is empty");
	if (!cx_str_copy(path, ret, PATH_MAX))
		return cx_refuse(err, CX_INVALID, "path of %u bytes", path.len);
	return 0;
}

int cx_fileop_ready(const struct cx_fileop_io *io, const struct cx_msg_file_info *info,
		    struct cx_err *err)
{
	struct cx_report report = { .what = CX_REPORT_READY, .info = *info };

	return cx_write_all(io->report, &report, sizeof report, err);
}

/* A full disk and the like keep their kind. */
int cx_fileop_fail(int errnum, const char *doing, const char *path, struct cx_err *err)
{
	int r = cx_fail(err, errnum, "%s '%s'", doing, path);

	if (errnum == EROFS)
		err->kind = CX_DENIED;
	else if (err->kind == CX_INTERNAL && errnum != EIO)
		err->kind = CX_INVALID;
	return r;
}

static const struct {
	mode_t type;
	enum cx_file_kind kind;
	const char *what;
} types[] = {
	{ S_IFREG, CX_FILE_REGULAR, "a regular file" },
	{ S_IFDIR, CX_FILE_DIRECTORY, "a directory" },
	{ S_IFLNK, CX_FILE_LINK, "a symbolic link" },
	{ S_IFIFO, CX_FILE_OTHER, "a FIFO" },
	{ S_IFSOCK, CX_FILE_OTHER, "a socket" },
	{ S_IFCHR, CX_FILE_OTHER, "a device" },
	{ S_IFBLK, CX_FILE_OTHER, "a device" },
};

const char *cx_fileop_what(mode_t mode)
{
	for (size_t i = 0; i < CX_LEN(types); i++)
		if (types[i].type == (mode & S_IFMT))
			return types[i].what;
	return "a special file";
}

/* A clock inside may say anything; before 1970 is 1970 here. */
struct cx_msg_file_info cx_fileop_info(const struct stat *st)
{
	struct cx_msg_file_info info = {
		.kind = CX_FILE_OTHER,
		.mode = st->st_mode & 07777,
		.size = st->st_size > 0 ? (uint64_t)st->st_size : 0,
		.mtime = st->st_mtime > 0 ? (uint64_t)st->st_mtime : 0,
	};

	for (size_t i = 0; i < CX_LEN(types); i++)
		if (types[i].type == (st->st_mode & S_IFMT))
			info.kind = types[i].kind;
	return info;
}

int cx_fileop_run(const struct cx_fileop *op, const struct cx_fileop_io *io, struct cx_err *err)
{
	switch (op->type) {
	case CX_MSG_file_put:
		return cx_fileop_put(&op->m.put, io, err);
	case CX_MSG_file_get:
		return cx_fileop_get(&op->m.get, io, err);
	default:
		return cx_fileop_list(&op->m.list, io, err);
	}
}
