/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CX_IMAGE_TREE_H
#define CX_IMAGE_TREE_H

#include "image/entries.h"

/*
 * One layer in memory, as its entries come: names and attributes, no contents. What an entry does
 * with what is there already:
 *
 *	the same path again		the last one counts; a directory over a directory keeps its
 *					content and takes the new attributes
 *	a whiteout			hides what lies below; over something of this layer it hides
 *					nothing of it (a directory becomes opaque)
 *	something over a whiteout	takes its place (a directory is then opaque)
 *	"opaque"			marks the directory, which is made if need be; nothing else
 *					of the entry counts
 *	missing parents			are made: root's, 0755, time 0
 *	a parent that is no directory	is refused; a whiteout there and "opaque" of it are nothing
 *	a barred name			hides what lies below and what this layer had; a hard link
 *					to it is another one
 *	a hard link			must name an earlier file of this layer that is no directory
 *
 * Memory is bounded by the number of entries and the lengths of their names and attributes, and all
 * freed at once by cx_tree_free().
 */
struct cx_inode {
	uint32_t mode, uid, gid, nlink, mtime_nsec;
	int64_t mtime;
	uint64_t size;
	struct cx_bytes target; /* of a symbolic link */
	struct cx_bytes xattrs; /* as EROFS wants them, see tree.c; empty for none */
	bool opaque, barred;
	struct cx_name *children; /* of a directory, in no order */
	struct cx_name **sorted;
	uint32_t nchildren;
	struct cx_inode *parent;

	/* the writer's own */
	bool placed, counted;
	uint64_t nid, hash;
	uint32_t block, layout, nlink_written;
	struct cx_inode *next_twin;
};

struct cx_name {
	struct cx_inode *dir, *inode; /* inode NULL: the name was replaced */
	struct cx_name *next, *hash_next;
	struct cx_bytes name;
};

struct cx_tree;

/* max_inodes: missing parents that are made count too. */
CX_MUST int cx_tree_new(uint64_t max_inodes, struct cx_tree **ret, struct cx_err *err);
void cx_tree_free(struct cx_tree *tree); /* NULL is fine */
struct cx_inode *cx_tree_root(struct cx_tree *tree);
size_t cx_tree_inodes(const struct cx_tree *tree); /* made so far, replaced ones included */

/* ret_made: the new inode; NULL for a directory, a whiteout and a hard link. */
CX_MUST int cx_tree_add(struct cx_tree *tree, const struct cx_entry *entry,
			struct cx_inode **ret_made, struct cx_err *err);

/*
 * The children of a directory in the order of their bytes, nchildren of them; in the tree's memory.
 * Only when no entry comes any more: it sorts once.
 */
CX_MUST int cx_tree_sorted(struct cx_tree *tree, struct cx_inode *dir, struct cx_name ***ret,
			   struct cx_err *err);

/* Zeroed memory that lives as long as the tree. */
CX_MUST void *cx_tree_alloc(struct cx_tree *tree, size_t size, struct cx_err *err);

#endif
