/* SPDX-License-Identifier: Apache-2.0 */
#include "image/erofs.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "image/tree.h"

enum {
	BLOCK = 4096,
	SUPER_AT = 1024,
	SUPER_SIZE = 128,
	SLOT = 32, /* a nid counts these from the start of the metadata */
	INODE = 64,
	FIRST_SLOT = 2, /* the root's; 0 is left for "none" */
	DIRENT = 12,
	PLAIN = 0, /* data layouts of erofs_fs.h */
	INLINE = 2,
	OUT = 1 << 16,
};

#define MAGIC_V1 0xE0F5E1E2U

enum { SB_CHKSUM = 1 };

struct cx_erofs {
	int fd;
	struct cx_erofs_limits limits;
	struct cx_tree *tree;
	struct cx_entry_decoder decoder;
	struct cx_entry_sink sink;
	struct cx_inode *file; /* whose data comes */
	uint64_t next_block;   /* of file contents */

	/* layout of the metadata */
	struct cx_inode **order; /* by nid */
	size_t norder;
	uint64_t meta_block, meta_size, extra_block; /* extra: blocks behind the metadata */

	uint8_t out[OUT]; /* sequential writes are gathered */
	uint64_t out_at;
	size_t out_len;
};

/* ---- output --------------------------------------------------------------------------------- */

static int write_at(int fd, uint64_t at, const void *data, size_t len, struct cx_err *err)
{
	const uint8_t *p = data;

	while (len > 0) {
		ssize_t n = pwrite(fd, p, len, (off_t)at);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return cx_fail(err, errno, "write the layer");
		p += n;
		at += (uint64_t)n;
		len -= (size_t)n;
	}
	return 0;
}

static int flush(struct cx_erofs *im, struct cx_err *err)
{
	size_t len = im->out_len;

	im->out_len = 0;
	return write_at(im->fd, im->out_at, im->out, len, err);
}

static int put(struct cx_erofs *im, uint64_t at, const void *data, size_t len, struct cx_err *err)
{
	if (at != im->out_at + im->out_len || len > OUT - im->out_len) {
		if (flush(im, err) < 0)
			return -err->errnum;
		im->out_at = at;
	}
	if (len > OUT)
		return write_at(im->fd, at, data, len, err);
	if (len > 0)
		memcpy(im->out + im->out_len, data, len);
	im->out_len += len;
	return 0;
}

static void le(uint8_t *p, uint64_t value, unsigned bytes)
{
	for (unsigned i = 0; i < bytes; i++)
		p[i] = (uint8_t)(value >> (8 * i));
}

static uint64_t blocks_of(uint64_t bytes)
{
	return bytes / BLOCK + (bytes % BLOCK != 0);
}

static int check_size(const struct cx_erofs *im, uint64_t blocks, struct cx_err *err)
{
	if (blocks > UINT32_MAX || blocks > im->limits.max_bytes / BLOCK)
		return cx_refuse(err, CX_LIMIT, "the layer would be larger than %llu bytes",
				 (unsigned long long)im->limits.max_bytes);
	return 0;
}

/* ---- entries as they come ------------------------------------------------------------------- */

static int on_entry(void *arg, const struct cx_entry *e, struct cx_err *err)
{
	struct cx_erofs *im = arg;

	if (cx_tree_add(im->tree, e, &im->file, err) < 0)
		return -err->errnum;
	if (im->file == NULL || im->file->size == 0)
		return 0;
	if (check_size(im, im->next_block + blocks_of(im->file->size), err) < 0)
		return cx_wrap(err, "entry '%.*s'", (int)(e->path.len < 200 ? e->path.len : 200),
			       e->path.p);
	im->file->block = (uint32_t)im->next_block;
	im->next_block += blocks_of(im->file->size);
	return 0;
}

static int on_data(void *arg, uint64_t offset, const void *data, size_t len, struct cx_err *err)
{
	struct cx_erofs *im = arg;

	return put(im, (uint64_t)im->file->block * BLOCK + offset, data, len, err);
}

static int on_end(void *arg, struct cx_err *err)
{
	(void)arg;
	(void)err;
	return 0; /* cx_erofs_finish() does the rest */
}

int cx_erofs_new(int fd, const struct cx_erofs_limits *limits, struct cx_erofs **ret,
		 struct cx_err *err)
{
	struct cx_erofs *im = calloc(1, sizeof *im);

	if (im == NULL)
		return cx_fail(err, ENOMEM, "layer writer");
	if (cx_tree_new(limits->max_entries, &im->tree, err) < 0) {
		free(im);
		return -err->errnum;
	}
	im->fd = fd;
	im->limits = *limits;
	im->next_block = 1;
	im->sink = (struct cx_entry_sink){ on_entry, on_data, on_end, im };
	cx_entry_decoder_init(&im->decoder, &im->sink, limits->max_entries);
	*ret = im;
	return 0;
}

void cx_erofs_free(struct cx_erofs *im)
{
	if (im == NULL)
		return;
	cx_tree_free(im->tree);
	free(im->order);
	free(im);
}

int cx_erofs_feed(struct cx_erofs *im, const void *data, size_t len, struct cx_err *err)
{
	return cx_entry_decode(&im->decoder, data, len, err);
}

/* ---- layout: where each inode goes
 * ---------------------------------------------------------------- */

/* "." and ".." stand among the others, in the order of bytes. */
struct listing {
	struct cx_name **names;
	uint32_t n; /* with both */
	struct cx_name dot, dotdot;
};

static int list(struct cx_erofs *im, struct cx_inode *dir, struct listing *ret, struct cx_err *err)
{
	struct cx_name **names;
	uint32_t n = 0, i = 0;

	if (cx_tree_sorted(im->tree, dir, &names, err) < 0)
		return -err->errnum;
	ret->names = cx_tree_alloc(im->tree, (dir->nchildren + 2) * sizeof(void *), err);
	if (ret->names == NULL)
		return -err->errnum;
	ret->dot = (struct cx_name){ .inode = dir, .name = { ".", 1 } };
	ret->dotdot = (struct cx_name){ .inode = dir->parent, .name = { "..", 2 } };
	while (i < dir->nchildren && (uint8_t)names[i]->name.p[0] < '.')
		ret->names[n++] = names[i++];
	/* "." sorts before any longer name that begins with '.', ".." before "..x" but after ".-".
	 */
	ret->names[n++] = &ret->dot;
	while (i < dir->nchildren && names[i]->name.p[0] == '.' &&
	       (uint8_t)names[i]->name.p[1] < '.')
		ret->names[n++] = names[i++];
	ret->names[n++] = &ret->dotdot;
	while (i < dir->nchildren)
		ret->names[n++] = names[i++];
	ret->n = n;
	return 0;
}

/* How many of the names from i on fit into one block, and the bytes that they take. */
static uint32_t fill_block(const struct listing *l, uint32_t i, size_t *ret_bytes)
{
	size_t bytes = 0;
	uint32_t first = i;

	while (i < l->n && bytes + DIRENT + l->names[i]->name.len <= BLOCK)
		bytes += DIRENT + l->names[i++]->name.len;
	*ret_bytes = bytes;
	return i - first;
}

static uint64_t directory_size(const struct listing *l)
{
	uint64_t size = 0;
	size_t bytes = 0;

	for (uint32_t i = 0; i < l->n;) {
		uint32_t n = fill_block(l, i, &bytes);

		i += n;
		size += i < l->n ? BLOCK : bytes;
	}
	return size;
}

static size_t inode_size(const struct cx_inode *inode)
{
	return INODE + inode->xattrs.len;
}

/* What lies behind its inode in the same block; the rest is in blocks of its own. */
static size_t inline_size(const struct cx_inode *inode)
{
	return inode->layout == INLINE ? (size_t)(inode->size % BLOCK) : 0;
}

static int place(struct cx_erofs *im, struct cx_inode *inode, struct cx_err *err)
{
	size_t tail = (size_t)(inode->size % BLOCK), total;
	bool own = S_ISDIR(inode->mode) || S_ISLNK(inode->mode);

	inode->layout = own && tail > 0 && inode_size(inode) + tail <= BLOCK ? INLINE : PLAIN;
	total = inode_size(inode) + inline_size(inode);
	/* The tail must not cross a block; inodes with long attributes may. */
	if (inline_size(inode) > 0 && im->meta_size % BLOCK + total > BLOCK)
		im->meta_size = blocks_of(im->meta_size) * BLOCK;
	inode->nid = im->meta_size / SLOT;
	im->meta_size = (im->meta_size + total + SLOT - 1) / SLOT * SLOT;
	inode->placed = true;
	im->order[im->norder++] = inode;
	return check_size(im, im->next_block + blocks_of(im->meta_size), err);
}

static int mark_opaque(struct cx_erofs *im, struct cx_inode *inode, struct cx_err *err)
{
	static const uint8_t entry[] = { 14,  1,   1,	0,   'o', 'v', 'e', 'r', 'l', 'a',
					 'y', '.', 'o', 'p', 'a', 'q', 'u', 'e', 'y', 0 };
	size_t before = inode->xattrs.len > 0 ? inode->xattrs.len : 12;
	char *p = cx_tree_alloc(im->tree, before + sizeof entry, err);

	if (p == NULL)
		return -err->errnum;
	if (inode->xattrs.len > 0)
		memcpy(p, inode->xattrs.p, before);
	memcpy(p + before, entry, sizeof entry);
	inode->xattrs = (struct cx_bytes){ p, before + sizeof entry };
	return 0;
}

static int place_child(struct cx_erofs *im, struct cx_inode *inode, struct cx_err *err)
{
	struct listing l;

	if (inode->placed)
		return 0; /* another name of it */
	if (S_ISDIR(inode->mode)) {
		if (list(im, inode, &l, err) < 0 ||
		    (inode->opaque && mark_opaque(im, inode, err) < 0))
			return -err->errnum;
		inode->size = directory_size(&l);
	} else if (S_ISLNK(inode->mode)) {
		inode->size = inode->target.len;
	}
	return place(im, inode, err);
}

/* Breadth first: the order of "order" is its own queue. */
static int place_all(struct cx_erofs *im, struct cx_err *err)
{
	im->order = calloc(cx_tree_inodes(im->tree), sizeof(void *));
	if (im->order == NULL)
		return cx_fail(err, ENOMEM, "layer writer");
	im->meta_size = (uint64_t)FIRST_SLOT * SLOT;
	if (place_child(im, cx_tree_root(im->tree), err) < 0)
		return -err->errnum;
	for (size_t i = 0; i < im->norder; i++) {
		struct cx_name **names;

		if (!S_ISDIR(im->order[i]->mode))
			continue;
		if (cx_tree_sorted(im->tree, im->order[i], &names, err) < 0)
			return -err->errnum;
		for (uint32_t c = 0; c < im->order[i]->nchildren; c++)
			if (place_child(im, names[c]->inode, err) < 0)
				return -err->errnum;
	}
	return 0;
}

/* ---- writing the metadata
 * -------------------------------------------------------------------------- */

static uint8_t dirent_type(uint32_t mode)
{
	static const struct {
		uint32_t mode;
		uint8_t type;
	} types[] = {
		{ S_IFREG, 1 }, { S_IFDIR, 2 }, { S_IFCHR, 3 }, { S_IFIFO, 5 }, { S_IFLNK, 7 }
	};

	for (size_t i = 0; i < CX_LEN(types); i++)
		if ((mode & S_IFMT) == types[i].mode)
			return types[i].type;
	return 0;
}

static void encode_block(const struct listing *l, uint32_t first, uint32_t n, uint8_t *out)
{
	size_t name_at = (size_t)n * DIRENT;

	for (uint32_t i = 0; i < n; i++) {
		const struct cx_name *name = l->names[first + i];
		uint8_t *p = out + (size_t)i * DIRENT;

		le(p, name->inode->nid, 8);
		le(p + 8, name_at, 2);
		p[10] = dirent_type(name->inode->mode);
		memcpy(out + name_at, name->name.p, name->name.len);
		name_at += name->name.len;
	}
}

/* Writes a piece of what an inode holds: whole blocks outside, an inline tail behind the inode. */
static int put_content(struct cx_erofs *im, const struct cx_inode *inode, uint64_t offset,
		       const void *data, size_t len, struct cx_err *err)
{
	uint64_t inode_at = im->meta_block * BLOCK + inode->nid * SLOT;
	uint64_t at = (uint64_t)inode->block * BLOCK + offset;

	if (inode->layout == INLINE && offset >= inode->size / BLOCK * BLOCK)
		at = inode_at + inode_size(inode);
	return put(im, at, data, len, err);
}

static int put_directory(struct cx_erofs *im, struct cx_inode *dir, struct cx_err *err)
{
	struct listing l;
	uint64_t offset = 0;

	if (list(im, dir, &l, err) < 0)
		return -err->errnum;
	for (uint32_t i = 0; i < l.n;) {
		uint8_t block[BLOCK] = { 0 };
		size_t bytes;
		uint32_t n = fill_block(&l, i, &bytes);

		encode_block(&l, i, n, block);
		i += n;
		if (put_content(im, dir, offset, block, i < l.n ? BLOCK : bytes, err) < 0)
			return -err->errnum;
		offset += BLOCK;
	}
	return 0;
}

static int put_inode(struct cx_erofs *im, const struct cx_inode *inode, uint32_t number,
		     struct cx_err *err)
{
	uint64_t at = im->meta_block * BLOCK + inode->nid * SLOT;
	uint8_t raw[INODE] = { 0 };

	le(raw, 1 | inode->layout << 1, 2);
	le(raw + 2, inode->xattrs.len > 0 ? (inode->xattrs.len - 12) / 4 + 1 : 0, 2);
	le(raw + 4, inode->mode, 2);
	le(raw + 8, inode->size, 8);
	le(raw + 16, inode->block, 4); /* of a whiteout: its device number, 0 */
	le(raw + 20, number, 4);
	le(raw + 24, inode->uid, 4);
	le(raw + 28, inode->gid, 4);
	le(raw + 32, (uint64_t)inode->mtime, 8);
	le(raw + 40, inode->mtime_nsec, 4);
	le(raw + 44, inode->nlink, 4);
	if (put(im, at, raw, sizeof raw, err) < 0)
		return -err->errnum;
	return put(im, at + INODE, inode->xattrs.p, inode->xattrs.len, err);
}

/* Inodes and what lies inline, then the blocks outside: two runs, each nearly sequential. */
static int put_metadata(struct cx_erofs *im, struct cx_err *err)
{
	im->meta_block = im->next_block;
	im->extra_block = im->meta_block + blocks_of(im->meta_size);
	for (size_t i = 0; i < im->norder; i++) {
		struct cx_inode *inode = im->order[i];
		uint64_t outside = blocks_of(inode->size - inline_size(inode));

		if (S_ISREG(inode->mode) || outside == 0)
			continue;
		inode->block = (uint32_t)im->extra_block;
		im->extra_block += outside;
		if (check_size(im, im->extra_block, err) < 0)
			return -err->errnum;
	}
	for (size_t i = 0; i < im->norder; i++) {
		struct cx_inode *inode = im->order[i];

		if (put_inode(im, inode, (uint32_t)i + 1, err) < 0)
			return -err->errnum;
		if (S_ISDIR(inode->mode) && put_directory(im, inode, err) < 0)
			return -err->errnum;
		if (S_ISLNK(inode->mode) &&
		    put_content(im, inode, 0, inode->target.p, inode->target.len, err) < 0)
			return -err->errnum;
	}
	return flush(im, err);
}

/* The kernel's crc32c(): no inversion at the end. */
static uint32_t crc32c(uint32_t crc, const uint8_t *p, size_t len)
{
	while (len-- > 0) {
		crc ^= *p++;
		for (int bit = 0; bit < 8; bit++)
			crc = crc >> 1 ^ (crc & 1 ? 0x82F63B78 : 0);
	}
	return crc;
}

static int put_superblock(struct cx_erofs *im, struct cx_err *err)
{
	uint8_t block[BLOCK - SUPER_AT] = { 0 };

	le(block, MAGIC_V1, 4);
	le(block + 8, SB_CHKSUM, 4);
	block[12] = 12; /* log2 of the block size */
	le(block + 14, FIRST_SLOT, 2);
	le(block + 16, im->norder, 8);
	le(block + 36, im->extra_block, 4);
	le(block + 40, im->meta_block, 4);
	le(block + 4, crc32c(UINT32_MAX, block, sizeof block), 4);
	return write_at(im->fd, SUPER_AT, block, sizeof block, err);
}

int cx_erofs_finish(struct cx_erofs *im, uint64_t *ret_size, struct cx_err *err)
{
	if (cx_entry_decode_finish(&im->decoder, err) < 0 || flush(im, err) < 0 ||
	    place_all(im, err) < 0 || put_metadata(im, err) < 0 || put_superblock(im, err) < 0)
		return -err->errnum;
	*ret_size = im->extra_block * BLOCK;
	if (ftruncate(im->fd, (off_t)*ret_size) < 0)
		return cx_fail(err, errno, "size of the layer");
	return 0;
}
