/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CX_AGENT_SFTP_WIRE_H
#define CX_AGENT_SFTP_WIRE_H

#include <limits.h>
#include <sys/stat.h>

#include "base/buf.h"
#include "proto/wire.h"

/*
 * SFTP version 3 (draft-ietf-secsh-filexfer-02, with OpenSSH's extensions), the bytes of it. A
 * packet is u32 length, u8 type, and what the type has; numbers are big-endian.
 */
enum cx_sftp_type {
	CX_SFTP_INIT = 1,
	CX_SFTP_VERSION,
	CX_SFTP_OPEN,
	CX_SFTP_CLOSE,
	CX_SFTP_READ,
	CX_SFTP_WRITE,
	CX_SFTP_LSTAT,
	CX_SFTP_FSTAT,
	CX_SFTP_SETSTAT,
	CX_SFTP_FSETSTAT,
	CX_SFTP_OPENDIR,
	CX_SFTP_READDIR,
	CX_SFTP_REMOVE,
	CX_SFTP_MKDIR,
	CX_SFTP_RMDIR,
	CX_SFTP_REALPATH,
	CX_SFTP_STAT,
	CX_SFTP_RENAME,
	CX_SFTP_READLINK,
	CX_SFTP_SYMLINK,
	CX_SFTP_STATUS = 101,
	CX_SFTP_HANDLE,
	CX_SFTP_DATA,
	CX_SFTP_NAME,
	CX_SFTP_ATTRS,
	CX_SFTP_EXTENDED = 200,
	/* our numbers for the extensions that we have, by name on the wire */
	CX_SFTP_POSIX_RENAME,
	CX_SFTP_HARDLINK,
	CX_SFTP_FSYNC,
	CX_SFTP_UNKNOWN,
};

enum cx_sftp_status {
	CX_SFTP_OK,
	CX_SFTP_EOF,
	CX_SFTP_NO_SUCH_FILE,
	CX_SFTP_DENIED,
	CX_SFTP_FAILURE,
	CX_SFTP_BAD_MESSAGE,
	CX_SFTP_UNSUPPORTED = 8,
};

enum { CX_SFTP_SIZE = 1, CX_SFTP_UIDGID = 2, CX_SFTP_MODE = 4, CX_SFTP_TIMES = 8 };
enum {
	CX_SFTP_PACKET_MAX = 256 << 10, /* bytes behind the length */
	CX_SFTP_DATA_MAX = 255 << 10,
};

struct cx_sftp_attrs {
	uint32_t has; /* CX_SFTP_SIZE... */
	uint64_t size;
	uint32_t uid, gid, mode, atime, mtime;
};

struct cx_sftp_request { /* what its type does not have is zero */
	unsigned type;
	uint32_t id; /* of INIT: the version */
	char path[PATH_MAX], path2[PATH_MAX];
	struct cx_str handle, data; /* views */
	uint32_t flags, length;
	uint64_t offset;
	struct cx_sftp_attrs attrs;
};

/*
 * A packet without its length. A type or extension that is unknown is CX_SFTP_UNKNOWN with its id;
 * false: it is cut, or a path is too long or holds a NUL byte. Then id is set as far as it was
 * there.
 */
CX_MUST bool cx_sftp_parse(const uint8_t *bytes, size_t len, struct cx_sftp_request *ret);

/* Answers; a failure is want of memory. */
CX_MUST int cx_sftp_put_u32(struct cx_buf *out, uint32_t n, struct cx_err *err);
CX_MUST int cx_sftp_put_text(struct cx_buf *out, const char *p, size_t len, struct cx_err *err);
CX_MUST int cx_sftp_put_stat(struct cx_buf *out, const struct stat *st, struct cx_err *err);
/* Room for the length, the type and the id; cx_sftp_finish() puts the length in. */
CX_MUST int cx_sftp_begin(struct cx_buf *out, enum cx_sftp_type type, uint32_t id,
			  struct cx_err *err);
void cx_sftp_finish(struct cx_buf *out);

#endif
