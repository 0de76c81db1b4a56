/* SPDX-License-Identifier: Apache-2.0 */
#include "image/erofs.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "image/outfile.h"
#include "image/twins.h"

enum {
	BLOCK = CX_OUTFILE_BLOCK,
	SUPER_AT = 1024,
	SUPER_SIZE = 128,
	SLOT = 32, /* a nid counts these from the start of the image */
	INODE = 64,
	ROOT_SLOT = (SUPER_AT + SUPER_SIZE) / SLOT, /* has 16 bits only, so it lies in block 0 */
	AREA = 16 * BLOCK, /* inodes lie together; an inode and its attributes fit */
	TAIL_MAX = 2048,   /* of a file: more than that is no gain over a block */
	DIRENT = 12,
	PLAIN = 0, /* data layouts of erofs_fs.h */
	INLINE = 2,
	PIECE = 1 << 16, /* of two files that are compared */
};

#define MAGIC_V1 0xE0F5E1E2U

enum { SB_CHKSUM = 1 };

struct cx_erofs {
	struct cx_erofs_limits limits;
	struct cx_tree *tree;
	struct cx_twins *twins;
	struct cx_entry_decoder decoder;
	struct cx_entry_sink sink;

	struct cx_inode *file;	/* whose data comes; NULL between files */
	uint8_t tail[TAIL_MAX]; /* of it, when that goes behind the inode */

	uint64_t next_block;	    /* all below are taken */
	uint64_t area_at, area_end; /* where the next inode goes, and how far inodes may */
	uint32_t inodes;	    /* written, replaced ones too */
	uint64_t names;		    /* inodes that have one */
	struct cx_inode **order;    /* those that wait for the end: directories and whiteouts */
	size_t norder;

	uint8_t first[BLOCK];	  /* superblock and root */
	struct cx_outfile blocks; /* contents */
	struct cx_outfile area;	  /* inodes and what lies behind them */
	uint8_t piece[2][PIECE];
};

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

/* ---- inodes --------------------------------------------------------------------------------- */

static size_t inode_size(const struct cx_inode *inode)
{
	return INODE + inode->xattrs.len;
}

/* What lies behind its inode in the same block; the rest is in blocks of its own. */
static size_t inline_size(const struct cx_inode *inode)
{
	return inode->layout == INLINE ? (size_t)(inode->size % BLOCK) : 0;
}

static uint64_t outside_blocks(const struct cx_inode *inode)
{
	return blocks_of(inode->size - inline_size(inode));
}

static void choose_layout(struct cx_inode *inode, size_t tail_max)
{
	size_t tail = (size_t)(inode->size % BLOCK);

	inode->layout =
		tail > 0 && tail <= tail_max && inode_size(inode) + tail <= BLOCK ? INLINE : PLAIN;
}

/* Where the bytes from offset on lie. */
static uint64_t content_at(const struct cx_inode *inode, uint64_t offset)
{
	uint64_t outside = inode->size - inline_size(inode);

	if (offset >= outside && inode->layout == INLINE)
		return inode->nid * SLOT + inode_size(inode) + (offset - outside);
	return (uint64_t)inode->block * BLOCK + offset;
}

/* An inline tail must not cross a block; inodes with long attributes may. */
static uint64_t fit(uint64_t at, const struct cx_inode *inode)
{
	size_t total = inode_size(inode) + inline_size(inode);

	at = (at + SLOT - 1) / SLOT * SLOT;
	return inline_size(inode) > 0 && at % BLOCK + total > BLOCK ? blocks_of(at) * BLOCK : at;
}

/* Gives the inode its place. Areas lie between contents, as both grow; the last has no end. */
static int place(struct cx_erofs *im, struct cx_inode *inode, bool last, struct cx_err *err)
{
	size_t total = inode_size(inode) + inline_size(inode);
	uint64_t at = fit(im->area_at, inode);

	if (at + total > im->area_end) {
		if (check_size(im, im->next_block, err) < 0)
			return -err->errnum;
		at = im->next_block * BLOCK;
		im->area_end = last ? UINT64_MAX : at + AREA;
		im->next_block += last ? 0 : AREA / BLOCK;
	}
	inode->nid = at / SLOT;
	inode->placed = true;
	im->area_at = at + total;
	return check_size(im, blocks_of(im->area_at), err);
}

/* Bytes of an inode, or of what lies behind it. */
static int put_near(struct cx_erofs *im, uint64_t at, const void *data, size_t len,
		    struct cx_err *err)
{
	if (at >= BLOCK)
		return cx_outfile_put(&im->area, at, data, len, err);
	assert(len <= BLOCK - at);
	if (len > 0)
		memcpy(im->first + at, data, len);
	return 0;
}

static int put_content(struct cx_erofs *im, const struct cx_inode *inode, uint64_t offset,
		       const void *data, size_t len, struct cx_err *err)
{
	uint64_t at = content_at(inode, offset);

	if (inode->layout == INLINE && offset >= inode->size - inline_size(inode))
		return put_near(im, at, data, len, err);
	return cx_outfile_put(&im->blocks, at, data, len, err);
}

static int put_inode(struct cx_erofs *im, struct cx_inode *inode, struct cx_err *err)
{
	uint64_t at = inode->nid * SLOT;
	uint8_t raw[INODE] = { 0 };

	inode->nlink_written = inode->nlink;
	le(raw, 1 | inode->layout << 1, 2);
	le(raw + 2, inode->xattrs.len > 0 ? (inode->xattrs.len - 12) / 4 + 1 : 0, 2);
	le(raw + 4, inode->mode, 2);
	le(raw + 8, inode->size, 8);
	le(raw + 16, inode->block, 4); /* of a whiteout: its device number, 0 */
	le(raw + 20, ++im->inodes, 4);
	le(raw + 24, inode->uid, 4);
	le(raw + 28, inode->gid, 4);
	le(raw + 32, (uint64_t)inode->mtime, 8);
	le(raw + 40, inode->mtime_nsec, 4);
	le(raw + 44, inode->nlink, 4);
	if (put_near(im, at, raw, sizeof raw, err) < 0)
		return -err->errnum;
	return put_near(im, at + INODE, inode->xattrs.p, inode->xattrs.len, err);
}

/* ---- entries as they come ------------------------------------------------------------------- */

static int take_blocks(struct cx_erofs *im, struct cx_inode *inode, struct cx_err *err)
{
	uint64_t n = outside_blocks(inode);

	if (n == 0)
		return 0;
	if (check_size(im, im->next_block + n, err) < 0)
		return -err->errnum;
	inode->block = (uint32_t)im->next_block;
	im->next_block += n;
	return 0;
}

/* Whether both hold the same; of file the tail is in im->tail still. */
static int compare(struct cx_erofs *im, const struct cx_inode *twin, const struct cx_inode *file,
		   bool *ret, struct cx_err *err)
{
	uint64_t outside = file->size - inline_size(file);
	size_t len;

	*ret = false;
	for (uint64_t at = 0; at < outside; at += len) {
		len = outside - at < PIECE ? (size_t)(outside - at) : PIECE;
		if (cx_outfile_read(&im->blocks, content_at(file, at), im->piece[0], len, err) <
			    0 ||
		    cx_outfile_read(&im->blocks, content_at(twin, at), im->piece[1], len, err) < 0)
			return -err->errnum;
		if (memcmp(im->piece[0], im->piece[1], len) != 0)
			return 0;
	}
	len = inline_size(file);
	if (len > 0 && cx_outfile_read(inline_size(twin) > 0 ? &im->area : &im->blocks,
				       content_at(twin, outside), im->piece[0], len, err) < 0)
		return -err->errnum;
	*ret = len == 0 || memcmp(im->piece[0], im->tail, len) == 0;
	return 0;
}

/* A file whose blocks are there already uses those, and its own are free again. */
static int share_blocks(struct cx_erofs *im, struct cx_inode *file, const struct cx_inode *twin,
			struct cx_err *err)
{
	im->next_block = file->block;
	file->block = twin->block;
	return cx_outfile_cut(&im->blocks, im->next_block * BLOCK, err);
}

/*
 * A short file is repeated behind its inode, which nobody can share. So the second of its kind gets
 * a block, for all further ones to share.
 */
static int share_short(struct cx_erofs *im, struct cx_inode *file, const struct cx_inode *twin,
		       struct cx_err *err)
{
	file->layout = PLAIN;
	if (twin->layout == PLAIN) {
		file->block = twin->block;
		return 0;
	}
	if (take_blocks(im, file, err) < 0)
		return -err->errnum;
	cx_twins_add(im->twins, file);
	return put_content(im, file, 0, im->tail, (size_t)file->size, err);
}

static int share(struct cx_erofs *im, struct cx_inode *file, struct cx_err *err)
{
	const struct cx_inode *twin = cx_twins_find(im->twins, file);
	bool brief = outside_blocks(file) == 0, same = false;

	if (twin != NULL && (brief || twin->layout == file->layout) &&
	    compare(im, twin, file, &same, err) < 0)
		return -err->errnum;
	if (!same) {
		cx_twins_add(im->twins, file);
		return 0;
	}
	return brief ? share_short(im, file, twin, err) : share_blocks(im, file, twin, err);
}

/* All data of the last file has come. */
static int settle(struct cx_erofs *im, struct cx_err *err)
{
	struct cx_inode *file = im->file;

	im->file = NULL;
	if (file == NULL)
		return 0;
	if ((file->size > 0 && share(im, file, err) < 0) || place(im, file, false, err) < 0 ||
	    put_inode(im, file, err) < 0)
		return -err->errnum;
	return put_content(im, file, file->size - inline_size(file), im->tail, inline_size(file),
			   err);
}

static int begin_file(struct cx_erofs *im, struct cx_inode *file, struct cx_err *err)
{
	choose_layout(file, TAIL_MAX);
	if (take_blocks(im, file, err) < 0)
		return -err->errnum;
	memset(im->tail, 0, inline_size(file));
	cx_twins_begin(im->twins);
	im->file = file;
	return 0;
}

static int put_whole(struct cx_erofs *im, struct cx_inode *inode, struct cx_err *err)
{
	const char *text = inode->target.len > 0 ? inode->target.p : ""; /* a pipe has none */
	size_t outside;

	inode->size = inode->target.len;
	choose_layout(inode, BLOCK);
	outside = (size_t)inode->size - inline_size(inode);
	if (take_blocks(im, inode, err) < 0 || place(im, inode, false, err) < 0 ||
	    put_inode(im, inode, err) < 0 || put_content(im, inode, 0, text, outside, err) < 0)
		return -err->errnum;
	return put_content(im, inode, outside, text + outside, inline_size(inode), err);
}

static int on_entry(void *arg, const struct cx_entry *e, struct cx_err *err)
{
	struct cx_erofs *im = arg;
	struct cx_inode *made;
	int r;

	if (settle(im, err) < 0 || cx_tree_add(im->tree, e, &made, err) < 0)
		return -err->errnum;
	if (made == NULL)
		return 0;
	r = S_ISREG(made->mode) ? begin_file(im, made, err) : put_whole(im, made, err);
	return r < 0 ? cx_wrap(err, "entry '%.*s'", (int)(e->path.len < 200 ? e->path.len : 200),
			       e->path.p)
		     : 0;
}

static int on_data(void *arg, uint64_t offset, const void *data, size_t len, struct cx_err *err)
{
	struct cx_erofs *im = arg;
	uint64_t outside = im->file->size - inline_size(im->file);
	size_t n = offset >= outside	    ? 0
		   : outside - offset < len ? (size_t)(outside - offset)
					    : len;

	cx_twins_data(im->twins, offset, data, len);
	if (n < len)
		memcpy(im->tail + (offset + n - outside), (const char *)data + n, len - n);
	return n > 0 ? put_content(im, im->file, offset, data, n, err) : 0;
}

static int on_end(void *arg, struct cx_err *err)
{
	return settle(arg, err); /* cx_erofs_finish() does the rest */
}

static int open_parts(struct cx_erofs *im, int fd, struct cx_err *err)
{
	if (cx_tree_new(im->limits.max_entries, &im->tree, err) < 0 ||
	    cx_twins_new(&im->twins, err) < 0)
		return -err->errnum;
	cx_outfile_init(&im->blocks, fd);
	cx_outfile_init(&im->area, fd);
	im->sink = (struct cx_entry_sink){ on_entry, on_data, on_end, im };
	cx_entry_decoder_init(&im->decoder, &im->sink, im->limits.max_entries);
	return 0;
}

int cx_erofs_new(int fd, const struct cx_erofs_limits *limits, struct cx_erofs **ret,
		 struct cx_err *err)
{
	struct cx_erofs *im = calloc(1, sizeof *im);

	if (im == NULL)
		return cx_fail(err, ENOMEM, "layer writer");
	im->limits = *limits;
	im->next_block = 1;
	if (open_parts(im, fd, err) < 0) {
		cx_erofs_free(im);
		return -err->errnum;
	}
	*ret = im;
	return 0;
}

void cx_erofs_free(struct cx_erofs *im)
{
	if (im == NULL)
		return;
	cx_tree_free(im->tree);
	cx_twins_free(im->twins);
	free(im->order);
	free(im);
}

int cx_erofs_feed(struct cx_erofs *im, const void *data, size_t len, struct cx_err *err)
{
	return cx_entry_decode(&im->decoder, data, len, err);
}

/* ---- the end: what only then has its content or its size --------------------------------------
 */

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

/* As encode_xattrs() of tree.c would. */
static const uint8_t opaque_mark[] = { 14,  1,	 1,   0,   'o', 'v', 'e', 'r', 'l', 'a',
				       'y', '.', 'o', 'p', 'a', 'q', 'u', 'e', 'y', 0 };
static const uint8_t origin_mark[] = { 14,  1,	 0,   0,   'o', 'v', 'e', 'r', 'l', 'a',
				       'y', '.', 'o', 'r', 'i', 'g', 'i', 'n', 0,   0 };

static int add_mark(struct cx_erofs *im, struct cx_inode *inode, const uint8_t *entry, size_t len,
		    struct cx_err *err)
{
	size_t before = inode->xattrs.len > 0 ? inode->xattrs.len : 12;
	char *p = cx_tree_alloc(im->tree, before + len, err);

	if (p == NULL)
		return -err->errnum;
	if (inode->xattrs.len > 0)
		memcpy(p, inode->xattrs.p, before);
	memcpy(p + before, entry, len);
	inode->xattrs = (struct cx_bytes){ p, before + len };
	return 0;
}

/*
 * What overlayfs shall know of a directory. One that no other layer has is listed as it is,
 * whiteouts and all, unless it says that it was merged once ("origin").
 */
static int mark(struct cx_erofs *im, struct cx_inode *dir, const struct listing *l,
		struct cx_err *err)
{
	bool whiteouts = false;

	for (uint32_t i = 0; i < l->n; i++)
		whiteouts |= S_ISCHR(l->names[i]->inode->mode);
	if (dir->opaque && add_mark(im, dir, opaque_mark, sizeof opaque_mark, err) < 0)
		return -err->errnum;
	return whiteouts ? add_mark(im, dir, origin_mark, sizeof origin_mark, err) : 0;
}

/* The root lies in block 0, as nothing else could be sure to get a number of 16 bits. */
static int place_root(struct cx_inode *root, struct cx_err *err)
{
	size_t room = BLOCK - ROOT_SLOT * SLOT;

	if (inode_size(root) > room)
		return cx_refuse(
			err, CX_INVALID,
			"the root directory's extended attributes take more than %zu bytes",
			room - INODE);
	choose_layout(root, room - inode_size(root));
	root->nid = ROOT_SLOT;
	root->placed = true;
	return 0;
}

static int place_late(struct cx_erofs *im, struct cx_inode *inode, struct cx_err *err)
{
	struct listing l;

	if (S_ISDIR(inode->mode)) {
		if (list(im, inode, &l, err) < 0 || mark(im, inode, &l, err) < 0)
			return -err->errnum;
		inode->size = directory_size(&l);
		choose_layout(inode, BLOCK);
	}
	im->order[im->norder++] = inode;
	if (inode == cx_tree_root(im->tree))
		return place_root(inode, err);
	return place(im, inode, true, err);
}

/* What was written with its entry may have got or lost names since. */
static int correct_nlink(struct cx_erofs *im, struct cx_inode *inode, struct cx_err *err)
{
	uint8_t raw[4];

	if (inode->nlink == inode->nlink_written)
		return 0;
	inode->nlink_written = inode->nlink;
	le(raw, inode->nlink, 4);
	return cx_outfile_patch(&im->area, inode->nid * SLOT + 44, raw, sizeof raw, err);
}

static int visit(struct cx_erofs *im, struct cx_inode *inode, struct cx_err *err)
{
	if (inode->counted)
		return 0; /* another name of it */
	inode->counted = true;
	im->names++;
	return inode->placed ? correct_nlink(im, inode, err) : place_late(im, inode, err);
}

/* Breadth first: the order of "order" is its own queue. */
static int place_all(struct cx_erofs *im, struct cx_err *err)
{
	im->order = calloc(cx_tree_inodes(im->tree), sizeof(void *));
	if (im->order == NULL)
		return cx_fail(err, ENOMEM, "layer writer");
	if (im->area_end == im->next_block * BLOCK) { /* nothing lies behind the last area */
		im->next_block = blocks_of(im->area_at);
		im->area_end = UINT64_MAX;
	}
	if (visit(im, cx_tree_root(im->tree), err) < 0)
		return -err->errnum;
	for (size_t i = 0; i < im->norder; i++) {
		struct cx_name **names;

		if (!S_ISDIR(im->order[i]->mode))
			continue;
		if (cx_tree_sorted(im->tree, im->order[i], &names, err) < 0)
			return -err->errnum;
		for (uint32_t c = 0; c < im->order[i]->nchildren; c++)
			if (visit(im, names[c]->inode, err) < 0)
				return -err->errnum;
	}
	if (im->area_end == UINT64_MAX)
		im->next_block = blocks_of(im->area_at);
	return 0;
}

/* ---- writing it ------------------------------------------------------------------------------ */

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

static int put_late(struct cx_erofs *im, struct cx_err *err)
{
	for (size_t i = 0; i < im->norder; i++) {
		struct cx_inode *inode = im->order[i];

		if (S_ISDIR(inode->mode) && take_blocks(im, inode, err) < 0)
			return -err->errnum;
		if (put_inode(im, inode, err) < 0 ||
		    (S_ISDIR(inode->mode) && put_directory(im, inode, err) < 0))
			return -err->errnum;
	}
	if (cx_outfile_flush(&im->area, err) < 0)
		return -err->errnum;
	return cx_outfile_flush(&im->blocks, err);
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

static int put_first_block(struct cx_erofs *im, struct cx_err *err)
{
	uint8_t *super = im->first + SUPER_AT;

	le(super, MAGIC_V1, 4);
	le(super + 8, SB_CHKSUM, 4);
	super[12] = 12; /* log2 of the block size */
	le(super + 14, ROOT_SLOT, 2);
	le(super + 16, im->names, 8);
	le(super + 36, im->next_block, 4); /* inodes count from block 0 */
	le(super + 4, crc32c(UINT32_MAX, super, BLOCK - SUPER_AT), 4);
	if (cx_outfile_put(&im->area, 0, im->first, BLOCK, err) < 0)
		return -err->errnum;
	return cx_outfile_flush(&im->area, err);
}

int cx_erofs_finish(struct cx_erofs *im, uint64_t *ret_size, struct cx_err *err)
{
	if (cx_entry_decode_finish(&im->decoder, err) < 0 || place_all(im, err) < 0 ||
	    put_late(im, err) < 0 || put_first_block(im, err) < 0)
		return -err->errnum;
	*ret_size = im->next_block * BLOCK;
	if (ftruncate(im->area.fd, (off_t)*ret_size) < 0)
		return cx_fail(err, errno, "size of the layer");
	return 0;
}
