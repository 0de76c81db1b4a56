/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CX_AGENT_FILEOP_H
#define CX_AGENT_FILEOP_H

#include <sys/stat.h>

#include "base/err.h"
#include "proto/agent_msgs.h"

/*
 * What becomes of one file: the part that runs in a forked child (child.h), as the user that it is
 * done for and with nothing of the agent's open. Whatever is at the path, it can take time, memory
 * and disk of its own sandbox only.
 */
struct cx_fileop {
	uint16_t type; /* of the message */
	union {
		struct cx_msg_file_put put;
		struct cx_msg_file_get get;
		struct cx_msg_file_list list;
	} m;
};

/* Where the bytes go and where "file_info" is told, see report.h. Both block. */
struct cx_fileop_io {
	int data, report;
};

/* The child is in the working directory. 0: all is done and told. */
CX_MUST int cx_fileop_run(const struct cx_fileop *op, const struct cx_fileop_io *io,
			  struct cx_err *err);

/* fileput.c, filetar.c, fileget.c, filelist.c */
CX_MUST int cx_fileop_put(const struct cx_msg_file_put *m, const struct cx_fileop_io *io,
			  struct cx_err *err);
CX_MUST int cx_fileop_untar(const char *path, const struct cx_fileop_io *io, struct cx_err *err);
CX_MUST int cx_fileop_get(const struct cx_msg_file_get *m, const struct cx_fileop_io *io,
			  struct cx_err *err);
CX_MUST int cx_fileop_list(const struct cx_msg_file_list *m, const struct cx_fileop_io *io,
			   struct cx_err *err);

/* What they share. */
CX_MUST int cx_fileop_path(struct cx_str path, char ret[PATH_MAX], struct cx_err *err);
CX_MUST int cx_fileop_ready(const struct cx_fileop_io *io, const struct cx_msg_file_info *info,
			    struct cx_err *err);
/* A failure at a path that somebody inside chose is no fault of the engine. */
int cx_fileop_fail(int errnum, const char *doing, const char *path, struct cx_err *err);
struct cx_msg_file_info cx_fileop_info(const struct stat *st);
/* "a directory", "a FIFO", ... */
const char *cx_fileop_what(mode_t mode);

#endif
