/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CX_CLI_PACK_H
#define CX_CLI_PACK_H

#include <sys/types.h>

#include "base/err.h"

/*
 * An OCI image layout directory as a tar stream. tar(1) writes it: every Debian has it, and so no
 * other command of this program pays for loading an archive library.
 */
struct cx_pack { /* zeroed but fd = -EBADF: nothing runs */
	int fd;	 /* the archive, to be read to its end */
	pid_t pid;
};

CX_MUST int cx_pack_start(struct cx_pack *ret, const char *dir, struct cx_err *err);
CX_MUST int cx_pack_end(struct cx_pack *pack, struct cx_err *err); /* fails when tar did */
void cx_pack_free(struct cx_pack *pack); /* for CX_AUTO(): ends tar if it still runs */

#endif
