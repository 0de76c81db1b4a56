/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CX_CLI_TREE_H
#define CX_CLI_TREE_H

#include <fts.h>
#include <stdbool.h>

#include "base/buf.h"
#include "cli/sum.h"

/*
 * A directory as a tar archive (pax), made while it is read: files, directories, links and files of
 * several names, with modes and times; they belong to root. Of what it is no place for, standard
 * error tells. What has been read is listed with its SHA-256, to be told when it has arrived.
 */
struct cx_tree { /* zeroed but fd = -EBADF */
	FTS *fts;
	const char *remote; /* borrowed: the directory inside, for the list */
	size_t skip;	    /* of each path: the directory's own */
	struct cx_buf head; /* what is to be read before the file's bytes */
	size_t head_read;
	int fd;	       /* of the file that is read */
	uint64_t left; /* bytes of it */
	unsigned fill; /* zeros behind it */
	struct cx_sum sum;
	char *name;		     /* of it, below the directory */
	void *names;		     /* of files with several */
	struct cx_tree_name *naming; /* the one that is read is such */
	struct cx_buf list;	     /* HEX NAME, each ended by NUL */
	bool ended;
};

CX_MUST int cx_tree_open(struct cx_tree *ret, char *local, const char *remote, struct cx_err *err);
/* Up to max bytes of the archive; 0 at its end. tree is a struct cx_tree. */
CX_MUST ssize_t cx_tree_read(struct cx_tree *tree, char *to, size_t max, struct cx_err *err);
void cx_tree_print(const struct cx_tree *tree); /* the list, on standard output */
void cx_tree_close(struct cx_tree *tree);	/* for CX_AUTO() */

#endif
