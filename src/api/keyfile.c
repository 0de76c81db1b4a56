/* SPDX-License-Identifier: Apache-2.0 */
#include "api/keyfile.h"

#include <fcntl.h>
#include <sodium.h>
#include <string.h>
#include <sys/stat.h>

#include "base/fd.h"
#include "base/statefile.h"
#include "base/str.h"

enum { TEXT = 2 * CX_KEYFILE_BYTES };

static int check_file(int fd, const char *name, struct cx_err *err)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return cx_fail(err, errno, "stat '%s'", name);
	if (!S_ISREG(st.st_mode) || st.st_uid != geteuid() || (st.st_mode & 077) != 0)
		return cx_refuse(err, CX_DENIED,
				 "'%s' in the gateway's state directory must be a file of its user "
				 "that nobody else may read (mode 0600)",
				 name);
	return 0;
}

int cx_keyfile_read(int dirfd, const char *name, uint8_t ret[CX_KEYFILE_BYTES], struct cx_err *err)
{
	cx_autofd int fd = openat(dirfd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	char text[TEXT + 2] = "";
	ssize_t len;
	bool good;

	if (fd < 0 && errno == ENOENT)
		return 0;
	if (fd < 0)
		return cx_fail(err, errno, "open '%s'", name);
	if (check_file(fd, name, err) < 0)
		return -err->errnum;
	len = cx_read_upto(fd, text, sizeof text, err);
	if (len < 0)
		return cx_wrap(err, "'%s'", name);
	good = len == TEXT + 1 && text[TEXT] == '\n';
	text[TEXT] = '\0';
	good = good && cx_from_hex(text, ret, CX_KEYFILE_BYTES);
	sodium_memzero(text, sizeof text);
	return good ? 1 : cx_refuse(err, CX_INVALID, "'%s' holds no key", name);
}

int cx_keyfile_make(int dirfd, const char *name, uint8_t ret[CX_KEYFILE_BYTES], struct cx_err *err)
{
	char text[TEXT + 2];
	int r;

	randombytes_buf(ret, CX_KEYFILE_BYTES);
	cx_to_hex(ret, CX_KEYFILE_BYTES, text);
	(void)strcat(text, "\n");
	r = cx_statefile_save(dirfd, name, text, TEXT + 1, err);
	sodium_memzero(text, sizeof text);
	return r;
}

int cx_keyfile_load(int dirfd, const char *name, uint8_t ret[CX_KEYFILE_BYTES], struct cx_err *err)
{
	int found = cx_keyfile_read(dirfd, name, ret, err);

	if (found < 0)
		return found;
	return found == 1 ? 0 : cx_keyfile_make(dirfd, name, ret, err);
}
