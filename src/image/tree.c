/* SPDX-License-Identifier: Apache-2.0 */
#include "image/tree.h"

#include <string.h>
#include <sys/stat.h>

/* Fixed, so that the same layer always gives the same image; a slot costs a pointer. */
enum { SLOTS = 1 << 18, CHUNK = 1 << 18 };

struct chunk {
	struct chunk *next;
	size_t used, size;
	_Alignas(16) char bytes[];
};

struct cx_tree {
	struct chunk *chunks;
	struct cx_inode *root;
	uint64_t inodes, max_inodes;
	struct cx_name *slots[SLOTS];
};

void *cx_tree_alloc(struct cx_tree *tree, size_t size, struct cx_err *err)
{
	struct chunk *c = tree->chunks;
	size_t need = (size + 15) & ~(size_t)15;

	if (c == NULL || c->size - c->used < need) {
		size_t room = need > CHUNK ? need : CHUNK;

		c = calloc(1, sizeof *c + room);
		if (c == NULL) {
			(void)cx_fail(err, ENOMEM, "the layer's tree");
			return NULL;
		}
		c->size = room;
		c->next = tree->chunks;
		tree->chunks = c;
	}
	c->used += need;
	return c->bytes + c->used - need;
}

static int copy(struct cx_tree *tree, struct cx_bytes from, struct cx_bytes *ret,
		struct cx_err *err)
{
	char *p = from.len > 0 ? cx_tree_alloc(tree, from.len, err) : NULL;

	if (from.len > 0 && p == NULL)
		return -err->errnum;
	if (from.len > 0)
		memcpy(p, from.p, from.len);
	*ret = (struct cx_bytes){ p, from.len };
	return 0;
}

static struct cx_inode *new_inode(struct cx_tree *tree, uint32_t mode, struct cx_err *err)
{
	struct cx_inode *inode;

	if (tree->inodes > tree->max_inodes) {
		(void)cx_refuse(err, CX_LIMIT, "more than %llu files and directories",
				(unsigned long long)tree->max_inodes);
		return NULL;
	}
	inode = cx_tree_alloc(tree, sizeof *inode, err);
	if (inode == NULL)
		return NULL;
	tree->inodes++;
	inode->mode = mode;
	inode->nlink = S_ISDIR(mode) ? 2 : 1;
	return inode;
}

int cx_tree_new(uint64_t max_inodes, struct cx_tree **ret, struct cx_err *err)
{
	struct cx_tree *tree = calloc(1, sizeof *tree);

	if (tree == NULL)
		return cx_fail(err, ENOMEM, "the layer's tree");
	tree->max_inodes = max_inodes;
	tree->root = new_inode(tree, S_IFDIR | 0755, err);
	if (tree->root == NULL) {
		cx_tree_free(tree);
		return -err->errnum;
	}
	tree->root->parent = tree->root;
	*ret = tree;
	return 0;
}

void cx_tree_free(struct cx_tree *tree)
{
	if (tree == NULL)
		return;
	while (tree->chunks != NULL) {
		struct chunk *next = tree->chunks->next;

		free(tree->chunks);
		tree->chunks = next;
	}
	free(tree);
}

size_t cx_tree_inodes(const struct cx_tree *tree)
{
	return (size_t)tree->inodes;
}

struct cx_inode *cx_tree_root(struct cx_tree *tree)
{
	return tree->root;
}

/* ---- names ---------------------------------------------------------------------------------- */

/* FNV-1a over the directory and the name. */
static struct cx_name **slot_of(struct cx_tree *tree, const struct cx_inode *dir,
				struct cx_bytes name)
{
	uint64_t h = 14695981039346656037ULL ^ ((uint64_t)(uintptr_t)dir >> 4);

	for (size_t i = 0; i < name.len; i++)
		h = (h ^ (uint8_t)name.p[i]) * 1099511628211ULL;
	return &tree->slots[(h ^ h >> 32) % SLOTS];
}

static struct cx_name *find(struct cx_tree *tree, const struct cx_inode *dir, struct cx_bytes name)
{
	struct cx_name *n = *slot_of(tree, dir, name);

	while (n != NULL && !(n->dir == dir && n->name.len == name.len &&
			      memcmp(n->name.p, name.p, name.len) == 0))
		n = n->hash_next;
	return n;
}

/* The name in the directory, made without an inode when it is not there. */
static struct cx_name *take_name(struct cx_tree *tree, struct cx_inode *dir, struct cx_bytes name,
				 struct cx_err *err)
{
	struct cx_name *n = find(tree, dir, name), **slot = slot_of(tree, dir, name);

	if (n != NULL)
		return n;
	n = cx_tree_alloc(tree, sizeof *n, err);
	if (n == NULL || copy(tree, name, &n->name, err) < 0)
		return NULL;
	n->dir = dir;
	n->next = dir->children;
	dir->children = n;
	n->hash_next = *slot;
	*slot = n;
	return n;
}

/* Nobody can reach a replaced directory any more: what else has names elsewhere has fewer now. */
static void drop_content(struct cx_inode *top)
{
	struct cx_inode *dir = top;

	while (dir != top || top->children != NULL) {
		struct cx_name *n = dir->children;

		if (n == NULL) {
			dir = dir->parent;
			continue;
		}
		dir->children = n->next;
		if (n->inode != NULL && S_ISDIR(n->inode->mode))
			dir = n->inode;
		else if (n->inode != NULL)
			n->inode->nlink--;
	}
}

static void clear_name(struct cx_name *n)
{
	if (n->inode == NULL)
		return;
	n->dir->nchildren--;
	if (S_ISDIR(n->inode->mode)) {
		n->dir->nlink--;
		drop_content(n->inode);
	} else {
		n->inode->nlink--;
	}
	n->inode = NULL;
}

static void set_name(struct cx_name *n, struct cx_inode *inode)
{
	clear_name(n);
	n->inode = inode;
	n->dir->nchildren++;
	if (S_ISDIR(inode->mode)) {
		n->dir->nlink++;
		inode->parent = n->dir;
	}
}

static bool is_whiteout(const struct cx_inode *inode)
{
	return inode != NULL && S_ISCHR(inode->mode); /* no other device is ever carried */
}

/* The directory of that name, made if there is none. */
static struct cx_inode *enter(struct cx_tree *tree, struct cx_inode *dir, struct cx_bytes name,
			      struct cx_err *err)
{
	struct cx_name *n = take_name(tree, dir, name, err);
	struct cx_inode *made;

	if (n == NULL)
		return NULL;
	if (n->inode != NULL && S_ISDIR(n->inode->mode))
		return n->inode;
	if (n->inode != NULL && !is_whiteout(n->inode)) {
		(void)cx_refuse(err, CX_INVALID, "its parent '%.*s' is not a directory",
				(int)name.len, name.p);
		return NULL;
	}
	made = new_inode(tree, S_IFDIR | 0755, err);
	if (made == NULL)
		return NULL;
	made->opaque = is_whiteout(n->inode);
	set_name(n, made);
	return made;
}

static struct cx_bytes cut(struct cx_bytes path, size_t from, size_t to)
{
	return (struct cx_bytes){ path.p + from, to - from };
}

/* Walks to the directory of the last component. */
static struct cx_inode *walk(struct cx_tree *tree, struct cx_bytes path, struct cx_bytes *ret_last,
			     struct cx_err *err)
{
	struct cx_inode *dir = tree->root;
	size_t start = 0;

	for (size_t i = 0; i < path.len && dir != NULL; i++) {
		if (path.p[i] != '/')
			continue;
		dir = enter(tree, dir, cut(path, start, i), err);
		start = i + 1;
	}
	*ret_last = cut(path, start, path.len);
	return dir;
}

/* ---- entries -------------------------------------------------------------------------------- */

/* EROFS' form of inline attributes (erofs_fs.h): 12 bytes of header, then u8 name length, u8
 * prefix, u16 value length, name, value, padded to 4. */
enum { XATTR_HEADER = 12, XATTR_USER = 1 };

static size_t encode_xattrs(const struct cx_entry_xattr *x, unsigned n, uint8_t *out)
{
	size_t at = XATTR_HEADER;

	for (unsigned i = 0; i < n; i++) {
		if (out != NULL) {
			out[at] = (uint8_t)x[i].name.len;
			out[at + 1] = XATTR_USER;
			out[at + 2] = (uint8_t)x[i].value.len;
			out[at + 3] = (uint8_t)(x[i].value.len >> 8);
			memcpy(out + at + 4, x[i].name.p, x[i].name.len);
			if (x[i].value.len > 0)
				memcpy(out + at + 4 + x[i].name.len, x[i].value.p, x[i].value.len);
		}
		at = (at + 4 + x[i].name.len + x[i].value.len + 3) & ~(size_t)3;
	}
	return at;
}

static int set_xattrs(struct cx_tree *tree, struct cx_inode *inode, const struct cx_entry_xattr *x,
		      unsigned n, struct cx_err *err)
{
	size_t len = encode_xattrs(x, n, NULL);
	uint8_t *p;

	inode->xattrs = (struct cx_bytes){ NULL, 0 };
	if (n == 0)
		return 0;
	p = cx_tree_alloc(tree, len, err);
	if (p == NULL)
		return -err->errnum;
	(void)encode_xattrs(x, n, p);
	inode->xattrs = (struct cx_bytes){ (char *)p, len };
	return 0;
}

static int set_attributes(struct cx_tree *tree, struct cx_inode *inode, const struct cx_entry *e,
			  struct cx_err *err)
{
	inode->mode = e->mode;
	inode->uid = e->uid;
	inode->gid = e->gid;
	inode->mtime = e->mtime;
	inode->mtime_nsec = e->mtime_nsec;
	inode->size = e->size;
	if (set_xattrs(tree, inode, e->xattrs, e->nxattrs, err) < 0)
		return -err->errnum;
	return copy(tree, e->target, &inode->target, err);
}

static int add_whiteout(struct cx_tree *tree, struct cx_name *n, bool barred, struct cx_err *err)
{
	struct cx_inode *inode;

	if (n->inode != NULL && !barred) {
		if (S_ISDIR(n->inode->mode))
			n->inode->opaque = true;
		return 0;
	}
	inode = new_inode(tree, S_IFCHR, err);
	if (inode == NULL)
		return -err->errnum;
	inode->barred = barred;
	set_name(n, inode);
	return 0;
}

static int add_hardlink(struct cx_tree *tree, struct cx_name *n, const struct cx_entry *e,
			struct cx_err *err)
{
	struct cx_inode *dir = tree->root, *target = NULL;
	size_t start = 0;

	for (size_t i = 0; i <= e->target.len && dir != NULL; i++) {
		struct cx_name *at;

		if (i < e->target.len && e->target.p[i] != '/')
			continue;
		at = find(tree, dir, cut(e->target, start, i));
		target = at != NULL ? at->inode : NULL;
		dir = target != NULL && S_ISDIR(target->mode) ? target : NULL;
		if (i < e->target.len)
			target = NULL;
		start = i + 1;
	}
	if (target != NULL && target->barred)
		return add_whiteout(tree, n, true, err);
	if (target == NULL || S_ISDIR(target->mode) || is_whiteout(target))
		return cx_refuse(err, CX_INVALID,
				 "a hard link to '%.*s', which is no earlier file of this layer",
				 (int)(e->target.len < 200 ? e->target.len : 200), e->target.p);
	if (n->inode == target)
		return 0;
	set_name(n, target);
	target->nlink++;
	return 0;
}

static int add_directory(struct cx_tree *tree, struct cx_name *n, const struct cx_entry *e,
			 struct cx_err *err)
{
	bool whiteout = is_whiteout(n->inode), opaque = (e->flags & CX_ENTRY_OPAQUE) != 0;
	struct cx_inode *inode = n->inode;

	if (opaque && inode != NULL && !S_ISDIR(inode->mode) && !whiteout)
		return 0; /* as a whiteout below it */
	if (inode == NULL || !S_ISDIR(inode->mode)) {
		inode = new_inode(tree, S_IFDIR | 0755, err);
		if (inode == NULL)
			return -err->errnum;
		inode->opaque = whiteout;
		set_name(n, inode);
	}
	if (opaque) {
		inode->opaque = true;
		return 0;
	}
	return set_attributes(tree, inode, e, err);
}

static int add_other(struct cx_tree *tree, struct cx_name *n, const struct cx_entry *e,
		     struct cx_inode **ret_made, struct cx_err *err)
{
	struct cx_inode *inode = new_inode(tree, e->mode, err);

	if (inode == NULL || set_attributes(tree, inode, e, err) < 0)
		return -err->errnum;
	set_name(n, inode);
	*ret_made = inode;
	return 0;
}

static int add(struct cx_tree *tree, const struct cx_entry *e, struct cx_inode **ret_made,
	       struct cx_err *err)
{
	struct cx_bytes last;
	struct cx_inode *dir;
	struct cx_name *n;

	*ret_made = NULL;
	if (e->path.len == 0) {
		tree->root->opaque |= (e->flags & CX_ENTRY_OPAQUE) != 0;
		return (e->flags & CX_ENTRY_OPAQUE) != 0 ? 0
							 : set_attributes(tree, tree->root, e, err);
	}
	dir = walk(tree, e->path, &last, err);
	if (dir == NULL && (e->flags & CX_ENTRY_WHITEOUT) != 0 && err->kind == CX_INVALID)
		return 0; /* below what is no directory any more; umoci says so once more */
	n = dir != NULL ? take_name(tree, dir, last, err) : NULL;
	if (n == NULL)
		return -err->errnum;
	if ((e->flags & (CX_ENTRY_WHITEOUT | CX_ENTRY_BARRED)) != 0)
		return add_whiteout(tree, n, (e->flags & CX_ENTRY_BARRED) != 0, err);
	if ((e->flags & CX_ENTRY_HARDLINK) != 0)
		return add_hardlink(tree, n, e, err);
	if (S_ISDIR(e->mode))
		return add_directory(tree, n, e, err);
	return add_other(tree, n, e, ret_made, err);
}

int cx_tree_add(struct cx_tree *tree, const struct cx_entry *e, struct cx_inode **ret_made,
		struct cx_err *err)
{
	if (add(tree, e, ret_made, err) < 0)
		return cx_wrap(err, "entry '%.*s'", (int)(e->path.len < 200 ? e->path.len : 200),
			       e->path.p);
	return 0;
}

static int by_bytes(const void *a, const void *b)
{
	const struct cx_name *x = *(struct cx_name *const *)a, *y = *(struct cx_name *const *)b;
	size_t n = x->name.len < y->name.len ? x->name.len : y->name.len;
	int r = memcmp(x->name.p, y->name.p, n);

	if (r != 0)
		return r;
	return x->name.len < y->name.len ? -1 : x->name.len > y->name.len;
}

int cx_tree_sorted(struct cx_tree *tree, struct cx_inode *dir, struct cx_name ***ret,
		   struct cx_err *err)
{
	struct cx_name **names = dir->sorted;
	uint32_t n = 0;

	*ret = names;
	if (names != NULL)
		return 0;
	names = cx_tree_alloc(tree, (dir->nchildren + 1) * sizeof(void *), err);
	if (names == NULL)
		return -err->errnum;
	for (struct cx_name *c = dir->children; c != NULL; c = c->next)
		if (c->inode != NULL)
			names[n++] = c;
	assert(n == dir->nchildren);
	qsort(names, n, sizeof(struct cx_name *), by_bytes);
	*ret = dir->sorted = names;
	return 0;
}
