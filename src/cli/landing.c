/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/landing.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/fd.h"
#include "base/str.h"

int cx_landing_check(const char *name, struct cx_err *err)
{
	if (name[0] == '\0' || strcmp(name, ".") == 0 || strcmp(name, "..") == 0 ||
	    strchr(name, '/') != NULL || strlen(name) > 255)
		return cx_refuse(err, CX_INTERNAL, "the sandbox lists '%.100s', which is no name",
				 name);
	if (strstr(name, "\xef\xbf\xbd") != NULL)
		return cx_refuse(err, CX_INVALID,
				 "the name '%.100s' is not UTF-8; give it another one inside",
				 name);
	return 0;
}

static int name_unfinished(struct cx_landing *l, const char *name, struct cx_err *err)
{
	if (cx_landing_check(name, err) < 0 ||
	    cx_format(l->name, sizeof l->name, "%s", err, name) < 0)
		return -err->errnum;
	return cx_format(l->unfinished, sizeof l->unfinished, ".%.230s.%d.unfinished", err, name,
			 (int)getpid());
}

int cx_landing_open(struct cx_landing *ret, int dir, const char *name, mode_t mode,
		    struct cx_err *err)
{
	struct cx_landing l = { .dir = dir, .fd = -EBADF };

	if (name_unfinished(&l, name, err) < 0)
		return -err->errnum;
	l.fd = openat(dir, l.unfinished, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC,
		      mode & 0777);
	if (l.fd < 0)
		return cx_fail(err, errno, "make '%.200s'", name);
	*ret = l;
	return 0;
}

int cx_landing_take(void *arg, const char *bytes, size_t len, struct cx_err *err)
{
	struct cx_landing *l = arg;

	if (cx_write_all(l->fd, bytes, len, err) < 0)
		return cx_wrap(err, "write '%.200s'", l->name);
	return 0;
}

int cx_landing_finish(struct cx_landing *l, struct cx_err *err)
{
	if (renameat(l->dir, l->unfinished, l->dir, l->name) < 0)
		return cx_fail(err, errno, "give '%.200s' its name", l->name);
	l->unfinished[0] = '\0';
	return 0;
}

void cx_landing_free(struct cx_landing *l)
{
	if (l->fd >= 0 && l->unfinished[0] != '\0')
		(void)unlinkat(l->dir, l->unfinished, 0);
	cx_close(&l->fd);
}

/* The caller has to be able to write in it, whatever it is inside. */
int cx_landing_dir(int dir, const char *name, mode_t mode, struct cx_err *err)
{
	int fd;

	if (cx_landing_check(name, err) < 0)
		return -err->errnum;
	if (mkdirat(dir, name, (mode & 0777) | 0700) < 0 && errno != EEXIST)
		return cx_fail(err, errno, "make directory '%.200s'", name);
	fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	return fd < 0 ? cx_fail(err, errno, "enter directory '%.200s'", name) : fd;
}

int cx_landing_link(int dir, const char *name, const char *target, struct cx_err *err)
{
	struct cx_landing l = { .dir = dir, .fd = -EBADF };

	if (name_unfinished(&l, name, err) < 0)
		return -err->errnum;
	if (symlinkat(target, dir, l.unfinished) < 0)
		return cx_fail(err, errno, "make link '%.200s'", name);
	if (cx_landing_finish(&l, err) == 0)
		return 0;
	(void)unlinkat(dir, l.unfinished, 0);
	return -err->errnum;
}
