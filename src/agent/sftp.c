/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/sftp.h"

#include <dirent.h>
#include <fcntl.h>
#include <grp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <time.h>

#include "agent/sftp_wire.h"
#include "base/fd.h"

enum { HANDLES_MAX = 128, NAMES_PER_ANSWER = 64, WE_SPEAK = 3, LINE_MAX_BYTES = 512 };
enum { READ = 1, WRITE = 2, APPEND = 4, CREATE = 8, TRUNCATE = 16, EXCLUSIVE = 32 }; /* of OPEN */

struct handle {
	bool used;
	int fd;	  /* of a file; -EBADF otherwise */
	DIR *dir; /* or NULL */
};

struct sftp {
	int in, out;
	struct cx_buf reply;
	struct handle handles[HANDLES_MAX];
	struct cx_sftp_request q;
	uint8_t packet[CX_SFTP_PACKET_MAX];
};

/* ---- answers: 0, or -errno when they cannot be sent ----------------------------------------- */

static int send_reply(struct sftp *s, struct cx_err *err)
{
	cx_sftp_finish(&s->reply);
	return cx_write_all(s->out, s->reply.p, s->reply.len, err);
}

static int answer_status(struct sftp *s, enum cx_sftp_status status, const char *text,
			 struct cx_err *err)
{
	if (cx_sftp_begin(&s->reply, CX_SFTP_STATUS, s->q.id, err) < 0 ||
	    cx_sftp_put_u32(&s->reply, status, err) < 0 ||
	    cx_sftp_put_text(&s->reply, text, strlen(text), err) < 0 ||
	    cx_sftp_put_text(&s->reply, "", 0, err) < 0)
		return -err->errnum;
	return send_reply(s, err);
}

/* For a call that gives -1 and errno. */
static int answer_result(struct sftp *s, int result, struct cx_err *err)
{
	int e = errno;
	enum cx_sftp_status status = e == ENOENT || e == ENOTDIR ? CX_SFTP_NO_SUCH_FILE
				     : e == EACCES || e == EPERM || e == EROFS ? CX_SFTP_DENIED
									       : CX_SFTP_FAILURE;

	if (result >= 0)
		return answer_status(s, CX_SFTP_OK, "", err);
	return answer_status(s, status, strerror(e), err);
}

static int answer_stat(struct sftp *s, int result, const struct stat *st, struct cx_err *err)
{
	if (result < 0)
		return answer_result(s, result, err);
	if (cx_sftp_begin(&s->reply, CX_SFTP_ATTRS, s->q.id, err) < 0 ||
	    cx_sftp_put_stat(&s->reply, st, err) < 0)
		return -err->errnum;
	return send_reply(s, err);
}

static int answer_name(struct sftp *s, const char *name, struct cx_err *err)
{
	size_t len = strlen(name);

	if (cx_sftp_begin(&s->reply, CX_SFTP_NAME, s->q.id, err) < 0 ||
	    cx_sftp_put_u32(&s->reply, 1, err) < 0 ||
	    cx_sftp_put_text(&s->reply, name, len, err) < 0 ||
	    cx_sftp_put_text(&s->reply, name, len, err) < 0 ||
	    cx_sftp_put_u32(&s->reply, 0, err) < 0) /* no attributes */
		return -err->errnum;
	return send_reply(s, err);
}

/* ---- handles --------------------------------------------------------------------------------- */

static struct handle *handle_of(struct sftp *s)
{
	uint32_t number;

	if (s->q.handle.len != sizeof number)
		return NULL;
	memcpy(&number, s->q.handle.p, sizeof number);
	return number < HANDLES_MAX && s->handles[number].used ? &s->handles[number] : NULL;
}

/* -1: errno says why. */
static int file_of(struct sftp *s)
{
	struct handle *h = handle_of(s);

	errno = EBADF;
	return h != NULL ? h->fd : -1;
}

static void close_handle(struct handle *h)
{
	cx_close(&h->fd);
	if (h->dir != NULL)
		(void)closedir(h->dir);
	*h = (struct handle){ .fd = -EBADF };
}

/* Either is taken over, also when there is no room. */
static int answer_handle(struct sftp *s, int fd, DIR *dir, struct cx_err *err)
{
	struct handle opened = { .used = true, .fd = fd, .dir = dir };
	uint32_t number = 0;

	if (fd < 0 && dir == NULL)
		return answer_result(s, -1, err);
	while (number < HANDLES_MAX && s->handles[number].used)
		number++;
	if (number == HANDLES_MAX) {
		close_handle(&opened);
		errno = EMFILE;
		return answer_result(s, -1, err);
	}
	s->handles[number] = opened;
	if (cx_sftp_begin(&s->reply, CX_SFTP_HANDLE, s->q.id, err) < 0 ||
	    cx_sftp_put_text(&s->reply, (const char *)&number, sizeof number, err) < 0)
		return -err->errnum;
	return send_reply(s, err);
}

/* ---- attributes ------------------------------------------------------------------------------ */

/* By descriptor when path is NULL. The size first: writing it changes the time. */
static int set_attrs(const char *path, int fd, const struct cx_sftp_attrs *a)
{
	const struct timespec times[2] = { { .tv_sec = a->atime }, { .tv_sec = a->mtime } };
	int r = 0;

	if (r == 0 && (a->has & CX_SFTP_SIZE) != 0)
		r = path != NULL ? truncate(path, (off_t)a->size) : ftruncate(fd, (off_t)a->size);
	if (r == 0 && (a->has & CX_SFTP_MODE) != 0)
		r = path != NULL ? chmod(path, a->mode & 07777) : fchmod(fd, a->mode & 07777);
	if (r == 0 && (a->has & CX_SFTP_TIMES) != 0)
		r = path != NULL ? utimensat(AT_FDCWD, path, times, 0) : futimens(fd, times);
	if (r == 0 && (a->has & CX_SFTP_UIDGID) != 0)
		r = path != NULL ? chown(path, a->uid, a->gid) : fchown(fd, a->uid, a->gid);
	return r;
}

static mode_t mode_or(const struct cx_sftp_attrs *a, mode_t otherwise)
{
	return (a->has & CX_SFTP_MODE) != 0 ? a->mode & 07777 : otherwise;
}

/* ---- requests -------------------------------------------------------------------------------- */

static int do_init(struct sftp *s, struct cx_err *err)
{
	return cx_sftp_begin(&s->reply, CX_SFTP_VERSION, WE_SPEAK, err) < 0 ? -err->errnum
									    : send_reply(s, err);
}

static int do_open(struct sftp *s, struct cx_err *err)
{
	static const struct {
		uint32_t asked;
		int flag;
	} more[] = { { APPEND, O_APPEND },
		     { CREATE, O_CREAT },
		     { TRUNCATE, O_TRUNC },
		     { EXCLUSIVE, O_EXCL } };
	int flags = (s->q.flags & (READ | WRITE)) == (READ | WRITE) ? O_RDWR
		    : (s->q.flags & WRITE) != 0			    ? O_WRONLY
								    : O_RDONLY;

	for (size_t i = 0; i < CX_LEN(more); i++)
		if ((s->q.flags & more[i].asked) != 0)
			flags |= more[i].flag;
	return answer_handle(
		s, open(s->q.path, flags | O_CLOEXEC | O_NOCTTY, mode_or(&s->q.attrs, 0666)), NULL,
		err);
}

static int do_close(struct sftp *s, struct cx_err *err)
{
	struct handle *h = handle_of(s);

	if (h == NULL)
		return answer_result(s, file_of(s), err);
	close_handle(h);
	return answer_status(s, CX_SFTP_OK, "", err);
}

static int do_read(struct sftp *s, struct cx_err *err)
{
	uint32_t most = s->q.length < CX_SFTP_DATA_MAX ? s->q.length : CX_SFTP_DATA_MAX;
	int fd = file_of(s);
	ssize_t n;
	char *to;

	if (fd < 0)
		return answer_result(s, -1, err);
	if (cx_sftp_begin(&s->reply, CX_SFTP_DATA, s->q.id, err) < 0 ||
	    cx_sftp_put_u32(&s->reply, 0, err) < 0)
		return -err->errnum;
	to = cx_buf_reserve(&s->reply, most, err);
	if (to == NULL)
		return -err->errnum;
	n = pread(fd, to, most, (off_t)s->q.offset);
	if (n < 0 && errno == ESPIPE)
		n = read(fd, to, most);
	if (n < 0)
		return answer_result(s, -1, err);
	if (n == 0 && most > 0)
		return answer_status(s, CX_SFTP_EOF, "", err);
	s->reply.len -= 4;
	if (cx_sftp_put_u32(&s->reply, (uint32_t)n, err) < 0)
		return -err->errnum;
	s->reply.len += (size_t)n;
	return send_reply(s, err);
}

static int do_write(struct sftp *s, struct cx_err *err)
{
	int fd = file_of(s);
	size_t done = 0;

	while (fd >= 0 && done < s->q.data.len) {
		ssize_t n = pwrite(fd, s->q.data.p + done, s->q.data.len - done,
				   (off_t)(s->q.offset + done));

		if (n < 0 && errno == ESPIPE)
			n = write(fd, s->q.data.p + done, s->q.data.len - done);
		if (n < 0)
			return answer_result(s, -1, err);
		done += (size_t)n;
	}
	return answer_result(s, fd, err);
}

static int do_stat(struct sftp *s, struct cx_err *err)
{
	struct stat st;
	int r = s->q.type == CX_SFTP_STAT    ? stat(s->q.path, &st)
		: s->q.type == CX_SFTP_LSTAT ? lstat(s->q.path, &st)
					     : fstat(file_of(s), &st);

	return answer_stat(s, r, &st, err);
}

static int do_setstat(struct sftp *s, struct cx_err *err)
{
	return answer_result(s, set_attrs(s->q.path, -1, &s->q.attrs), err);
}

static int do_fsetstat(struct sftp *s, struct cx_err *err)
{
	int fd = file_of(s);

	return answer_result(s, fd >= 0 ? set_attrs(NULL, fd, &s->q.attrs) : -1, err);
}

static int do_opendir(struct sftp *s, struct cx_err *err)
{
	return answer_handle(s, -EBADF, opendir(s->q.path), err);
}

/* A line as of "ls -l", which some clients show as it is. */
static void describe(const struct stat *st, const char *name, char line[LINE_MAX_BYTES])
{
	static const char kinds[] = "?pc?d?b?-?l?s???", bits[] = "rwxrwxrwx";
	char mode[11], when[20] = "";
	struct tm tm;

	mode[0] = kinds[st->st_mode >> 12 & 15];
	for (unsigned i = 0; i < 9; i++)
		mode[1 + i] = (char)((st->st_mode >> (8 - i) & 1) != 0 ? bits[i] : '-');
	mode[10] = '\0';
	if (gmtime_r(&st->st_mtime, &tm) != NULL)
		(void)strftime(when, sizeof when, "%Y-%m-%d %H:%M", &tm);
	(void)snprintf(line, LINE_MAX_BYTES, "%s %4ju %-8u %-8u %8jd %s %.300s", mode,
		       (uintmax_t)st->st_nlink, st->st_uid, st->st_gid, (intmax_t)st->st_size, when,
		       name);
}

static int add_entry(struct sftp *s, DIR *dir, const char *name, struct cx_err *err)
{
	struct stat st = { 0 };
	char line[LINE_MAX_BYTES];

	(void)fstatat(dirfd(dir), name, &st, AT_SYMLINK_NOFOLLOW); /* gone by now: shown empty */
	describe(&st, name, line);
	if (cx_sftp_put_text(&s->reply, name, strlen(name), err) < 0 ||
	    cx_sftp_put_text(&s->reply, line, strlen(line), err) < 0)
		return -err->errnum;
	return cx_sftp_put_stat(&s->reply, &st, err);
}

static int do_readdir(struct sftp *s, struct cx_err *err)
{
	struct handle *h = handle_of(s);
	const struct dirent *entry;
	uint32_t n = 0;

	if (h == NULL || h->dir == NULL) {
		errno = EBADF;
		return answer_result(s, -1, err);
	}
	if (cx_sftp_begin(&s->reply, CX_SFTP_NAME, s->q.id, err) < 0 ||
	    cx_sftp_put_u32(&s->reply, 0, err) < 0)
		return -err->errnum;
	while (n < NAMES_PER_ANSWER && (entry = readdir(h->dir)) != NULL) {
		if (add_entry(s, h->dir, entry->d_name, err) < 0)
			return -err->errnum;
		n++;
	}
	if (n == 0)
		return answer_status(s, CX_SFTP_EOF, "", err);
	s->reply.p[12] = (char)n; /* the count, below 256 */
	return send_reply(s, err);
}

static int do_realpath(struct sftp *s, struct cx_err *err)
{
	const char *asked = s->q.path[0] != '\0' ? s->q.path : ".";
	char found[PATH_MAX + NAME_MAX + 2], parent[PATH_MAX];
	char *slash;

	if (realpath(asked, found) != NULL)
		return answer_name(s, found, err);
	/* What is yet to be made has a name, too. */
	(void)snprintf(parent, sizeof parent, "%s", asked);
	slash = strrchr(parent, '/');
	if (errno != ENOENT || (slash != NULL && slash[1] == '\0'))
		return answer_result(s, -1, err);
	if (slash != NULL)
		*slash = '\0';
	if (realpath(slash == NULL ? "." : slash == parent ? "/" : parent, found) == NULL)
		return answer_result(s, -1, err);
	(void)snprintf(found + strlen(found), NAME_MAX + 2, "%s%.255s",
		       strcmp(found, "/") == 0 ? "" : "/", slash != NULL ? slash + 1 : asked);
	return answer_name(s, found, err);
}

/* This version's rename does not replace anything. */
static int do_rename(struct sftp *s, struct cx_err *err)
{
	return answer_result(
		s, renameat2(AT_FDCWD, s->q.path, AT_FDCWD, s->q.path2, RENAME_NOREPLACE), err);
}

static int do_posix_rename(struct sftp *s, struct cx_err *err)
{
	return answer_result(s, rename(s->q.path, s->q.path2), err);
}

static int do_remove(struct sftp *s, struct cx_err *err)
{
	return answer_result(s, unlink(s->q.path), err);
}

static int do_mkdir(struct sftp *s, struct cx_err *err)
{
	return answer_result(s, mkdir(s->q.path, mode_or(&s->q.attrs, 0777)), err);
}

static int do_rmdir(struct sftp *s, struct cx_err *err)
{
	return answer_result(s, rmdir(s->q.path), err);
}

static int do_readlink(struct sftp *s, struct cx_err *err)
{
	char target[PATH_MAX];
	ssize_t n = readlink(s->q.path, target, sizeof target - 1);

	if (n < 0)
		return answer_result(s, -1, err);
	target[n] = '\0';
	return answer_name(s, target, err);
}

static int do_symlink(struct sftp *s, struct cx_err *err)
{
	return answer_result(s, symlink(s->q.path, s->q.path2), err);
}

static int do_hardlink(struct sftp *s, struct cx_err *err)
{
	return answer_result(s, link(s->q.path, s->q.path2), err);
}

static int do_fsync(struct sftp *s, struct cx_err *err)
{
	return answer_result(s, fsync(file_of(s)), err);
}

static int do_unknown(struct sftp *s, struct cx_err *err)
{
	return answer_status(s, CX_SFTP_UNSUPPORTED, "not offered", err);
}

static int (*const requests[])(struct sftp *s, struct cx_err *err) = {
	[CX_SFTP_INIT] = do_init,	  [CX_SFTP_OPEN] = do_open,
	[CX_SFTP_CLOSE] = do_close,	  [CX_SFTP_READ] = do_read,
	[CX_SFTP_WRITE] = do_write,	  [CX_SFTP_LSTAT] = do_stat,
	[CX_SFTP_FSTAT] = do_stat,	  [CX_SFTP_STAT] = do_stat,
	[CX_SFTP_SETSTAT] = do_setstat,	  [CX_SFTP_FSETSTAT] = do_fsetstat,
	[CX_SFTP_OPENDIR] = do_opendir,	  [CX_SFTP_READDIR] = do_readdir,
	[CX_SFTP_REMOVE] = do_remove,	  [CX_SFTP_MKDIR] = do_mkdir,
	[CX_SFTP_RMDIR] = do_rmdir,	  [CX_SFTP_REALPATH] = do_realpath,
	[CX_SFTP_RENAME] = do_rename,	  [CX_SFTP_READLINK] = do_readlink,
	[CX_SFTP_SYMLINK] = do_symlink,	  [CX_SFTP_POSIX_RENAME] = do_posix_rename,
	[CX_SFTP_HARDLINK] = do_hardlink, [CX_SFTP_FSYNC] = do_fsync,
	[CX_SFTP_UNKNOWN] = do_unknown,
};

/* ---- the loop -------------------------------------------------------------------------------- */

/* 1: a packet is in s->packet; 0: the client has gone. */
static int read_packet(struct sftp *s, size_t *ret_len, struct cx_err *err)
{
	uint8_t head[4];
	ssize_t n = cx_read_upto(s->in, head, sizeof head, err);
	size_t len = (size_t)head[0] << 24 | (size_t)head[1] << 16 | (size_t)head[2] << 8 | head[3];

	if (n <= 0)
		return (int)n;
	if (n != sizeof head || len > sizeof s->packet)
		return cx_refuse(err, CX_INVALID, "no packet of SFTP");
	n = cx_read_upto(s->in, s->packet, len, err);
	if (n >= 0 && (size_t)n != len)
		return cx_refuse(err, CX_INVALID, "a packet of SFTP is cut");
	*ret_len = len;
	return n < 0 ? (int)n : 1;
}

static int serve(struct sftp *s, struct cx_err *err)
{
	size_t len = 0;
	int r;

	while ((r = read_packet(s, &len, err)) > 0) {
		r = cx_sftp_parse(s->packet, len, &s->q)
			    ? requests[s->q.type](s, err)
			    : answer_status(s, CX_SFTP_BAD_MESSAGE, "malformed", err);
		if (r < 0)
			break;
	}
	return r;
}

int cx_sftp_serve(int in, int out, struct cx_err *err)
{
	struct sftp *s = calloc(1, sizeof *s);
	int r;

	if (s == NULL)
		return cx_fail(err, ENOMEM, "SFTP");
	s->in = in;
	s->out = out;
	s->reply.max = CX_SFTP_PACKET_MAX + 4;
	for (size_t i = 0; i < HANDLES_MAX; i++)
		s->handles[i].fd = -EBADF;
	r = serve(s, err);
	for (size_t i = 0; i < HANDLES_MAX; i++)
		if (s->handles[i].used)
			close_handle(&s->handles[i]);
	cx_buf_free(&s->reply);
	free(s);
	return r;
}
