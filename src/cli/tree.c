/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/tree.h"

#include <errno.h>
#include <fcntl.h>
#include <search.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/fd.h"
#include "base/str.h"
#include "cli/moving.h"
#include "cli/remote.h"

enum {
	BLOCK = 512,
	HEAD_MAX = 4 * BLOCK + 3 * 2 * CX_REMOTE_PATH_MAX, /* with all that stands in front */
	LIST_MAX = 256 << 20,
};
static const uint64_t size_max = UINT64_C(077777777777); /* what 11 digits say */

struct header { /* pax(1), "ustar Interchange Format" */
	char name[100], mode[8], uid[8], gid[8], size[12], mtime[12], sum[8], type, target[100];
	char magic[6], version[2], owner[32], group[32], major[8], minor[8], prefix[155], fill[12];
};
static_assert(sizeof(struct header) == BLOCK, "one block");

struct cx_tree_name { /* of a file that has several */
	dev_t dev;
	ino_t ino;
	char sum[CX_MOVING_HEX + 1];
	char path[];
};

/* ---- headers --------------------------------------------------------------------------------- */

static void seal(struct header *h)
{
	const unsigned char *bytes = (const unsigned char *)h;
	unsigned sum = 0;

	memcpy(h->magic, "ustar", 6);
	memcpy(h->version, "00", 2);
	memset(h->sum, ' ', sizeof h->sum);
	for (size_t i = 0; i < BLOCK; i++)
		sum += bytes[i];
	(void)snprintf(h->sum, sizeof h->sum, "%06o", sum);
}

static void set_size(struct header *h, uint64_t size)
{
	(void)snprintf(h->size, sizeof h->size, "%011llo", (unsigned long long)(size & size_max));
}

/* "LENGTH KEY=VALUE\n", where the length counts its own digits. */
static int add_attribute(struct cx_buf *to, const char *key, const char *value, struct cx_err *err)
{
	size_t rest = strlen(key) + strlen(value) + 3, len = rest + 1;
	char front[64];

	while (len != rest + (size_t)snprintf(NULL, 0, "%zu", len))
		len++;
	(void)snprintf(front, sizeof front, "%zu %s=", len, key);
	if (cx_buf_add(to, front, strlen(front), err) < 0 ||
	    cx_buf_add(to, value, strlen(value), err) < 0)
		return -err->errnum;
	return cx_buf_add(to, "\n", 1, err);
}

static int fill_block(struct cx_buf *to, struct cx_err *err)
{
	static const char zeros[BLOCK];

	return cx_buf_add(to, zeros, (BLOCK - to->len % BLOCK) % BLOCK, err);
}

/* What has no room in the header stands in front of it. */
static int add_front(struct cx_buf *to, const char *path, const char *target, uint64_t size,
		     struct cx_err *err)
{
	CX_AUTO(cx_buf_free) struct cx_buf text = { .max = HEAD_MAX };
	struct header h = { .name = "attributes", .mode = "0000644", .type = 'x' };
	char number[24];

	(void)snprintf(number, sizeof number, "%llu", (unsigned long long)size);
	if ((strlen(path) > sizeof h.name && add_attribute(&text, "path", path, err) < 0) ||
	    (strlen(target) > sizeof h.target &&
	     add_attribute(&text, "linkpath", target, err) < 0) ||
	    (size > size_max && add_attribute(&text, "size", number, err) < 0))
		return -err->errnum;
	if (text.len == 0)
		return 0;
	set_size(&h, text.len);
	seal(&h);
	if (cx_buf_add(to, &h, sizeof h, err) < 0 || cx_buf_add(to, text.p, text.len, err) < 0)
		return -err->errnum;
	return fill_block(to, err);
}

static void copy_field(char *field, size_t size, const char *text)
{
	size_t len = strlen(text);

	memcpy(field, text, len < size ? len : size);
}

static int add_header(struct cx_tree *t, char type, const char *path, const char *target,
		      const struct stat *st, struct cx_err *err)
{
	uint64_t size = type == '0' ? (uint64_t)st->st_size : 0;
	struct header h = { .type = type, .uid = "0000000", .gid = "0000000" };

	t->head.len = t->head_read = 0;
	if (add_front(&t->head, path, target, size, err) < 0)
		return -err->errnum;
	copy_field(h.name, sizeof h.name, path);
	copy_field(h.target, sizeof h.target, target);
	(void)snprintf(h.mode, sizeof h.mode, "%07o", (unsigned)st->st_mode & 0777);
	set_size(&h, size <= size_max ? size : 0);
	if (st->st_mtime > 0)
		(void)snprintf(h.mtime, sizeof h.mtime, "%011llo",
			       (unsigned long long)st->st_mtime & size_max);
	seal(&h);
	return cx_buf_add(&t->head, &h, sizeof h, err);
}

/* ---- files ----------------------------------------------------------------------------------- */

static int compare_names(const void *a, const void *b)
{
	const struct cx_tree_name *x = a, *y = b;

	if (x->dev != y->dev)
		return x->dev < y->dev ? -1 : 1;
	return (x->ino > y->ino) - (x->ino < y->ino);
}

/* The first name that this file was read by; its own, if that is it, in t->naming. */
static int find_name(struct cx_tree *t, const struct stat *st, const char *path,
		     const struct cx_tree_name **ret, struct cx_err *err)
{
	struct cx_tree_name *name = calloc(1, sizeof *name + strlen(path) + 1);
	struct cx_tree_name **found;

	*ret = NULL;
	if (name == NULL)
		return cx_fail(err, ENOMEM, "file name");
	name->dev = st->st_dev;
	name->ino = st->st_ino;
	strcpy(name->path, path);
	found = tsearch(name, &t->names, compare_names);
	if (found == NULL) {
		free(name);
		return cx_fail(err, ENOMEM, "file name");
	}
	if (*found == name) {
		t->naming = name;
		return 0;
	}
	free(name);
	*ret = *found;
	return 0;
}

static int list(struct cx_tree *t, const char *sum, const char *path, struct cx_err *err)
{
	cx_autofree char *whole = NULL;

	if (cx_remote_join(t->remote, path, &whole, err) < 0 ||
	    cx_buf_add(&t->list, sum, CX_MOVING_HEX + 1, err) < 0)
		return -err->errnum;
	return cx_buf_add(&t->list, whole, strlen(whole) + 1, err);
}

static int begin_file(struct cx_tree *t, const FTSENT *e, const char *path, struct cx_err *err)
{
	cx_autofd int fd =
		open(e->fts_accpath, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY | O_NOFOLLOW);
	const struct cx_tree_name *other = NULL;
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0)
		return cx_fail(err, errno, "open '%.200s'", e->fts_path);
	/* Who may write there could put a link, or another directory, in its place. */
	if (!S_ISREG(st.st_mode) || st.st_dev != e->fts_statp->st_dev ||
	    st.st_ino != e->fts_statp->st_ino)
		return cx_refuse(err, CX_INVALID, "'%.200s' is another file than a moment ago",
				 e->fts_path);
	t->naming = NULL;
	if (st.st_nlink > 1 && find_name(t, &st, path, &other, err) < 0)
		return -err->errnum;
	if (other != NULL)
		return add_header(t, '1', path, other->path, &st, err) < 0
			       ? -err->errnum
			       : list(t, other->sum, path, err);
	cx_freep(&t->name);
	t->name = strdup(path);
	if (t->name == NULL)
		return cx_fail(err, ENOMEM, "file name");
	t->fd = cx_take_fd(&fd);
	t->left = (uint64_t)st.st_size;
	t->fill = (unsigned)((BLOCK - t->left % BLOCK) % BLOCK);
	cx_sum_begin(&t->sum, t->left);
	return add_header(t, '0', path, "", &st, err);
}

static int end_file(struct cx_tree *t, struct cx_err *err)
{
	char hex[CX_MOVING_HEX + 1];
	uint8_t sum[32];

	cx_close(&t->fd);
	cx_sum_end(&t->sum, sum);
	cx_to_hex(sum, sizeof sum, hex);
	if (t->naming != NULL)
		memcpy(t->naming->sum, hex, sizeof hex);
	return list(t, hex, t->name, err);
}

static int begin_link(struct cx_tree *t, const FTSENT *e, const char *path, struct cx_err *err)
{
	char target[CX_REMOTE_PATH_MAX + 1];
	ssize_t n = readlink(e->fts_accpath, target, sizeof target - 1);

	if (n < 0)
		return cx_fail(err, errno, "read link '%.200s'", e->fts_path);
	target[n] = '\0';
	return add_header(t, '2', path, target, e->fts_statp, err);
}

/* ---- the walk -------------------------------------------------------------------------------- */

static int begin_entry(struct cx_tree *t, const FTSENT *e, struct cx_err *err)
{
	const char *path = e->fts_path + t->skip;

	path += strspn(path, "/");
	if (strlen(path) > CX_REMOTE_PATH_MAX)
		return cx_refuse(err, CX_INVALID, "a name has more than %d bytes",
				 CX_REMOTE_PATH_MAX);
	switch (e->fts_info) {
	case FTS_D:
		return add_header(t, '5', *path != '\0' ? path : ".", "", e->fts_statp, err);
	case FTS_F:
		return begin_file(t, e, path, err);
	case FTS_SL:
	case FTS_SLNONE:
		return begin_link(t, e, path, err);
	case FTS_DP:
		return 0;
	case FTS_DEFAULT:
		(void)fprintf(stderr, "caisson: '%s' left out: it is no file, directory or link\n",
			      e->fts_path);
		return 0;
	default:
		return cx_fail(err, e->fts_errno != 0 ? e->fts_errno : ELOOP, "read '%.200s'",
			       e->fts_path);
	}
}

static int next_entry(struct cx_tree *t, struct cx_err *err)
{
	static const char zeros[2 * BLOCK];
	const FTSENT *e;

	errno = 0;
	e = fts_read(t->fts);
	if (e == NULL && errno != 0)
		return cx_fail(err, errno, "read the directory");
	if (e != NULL && e->fts_level > CX_REMOTE_DEPTH_MAX)
		return cx_refuse(err, CX_INVALID, "'%.200s' is more than %d levels deep",
				 e->fts_path, CX_REMOTE_DEPTH_MAX);
	if (e != NULL)
		return begin_entry(t, e, err);
	t->ended = true;
	t->head.len = t->head_read = 0;
	return cx_buf_add(&t->head, zeros, sizeof zeros, err);
}

static size_t take_head(struct cx_tree *t, char *to, size_t max)
{
	size_t left = t->head.len - t->head_read, n = left < max ? left : max;

	memcpy(to, t->head.p + t->head_read, n);
	t->head_read += n;
	return n;
}

static ssize_t take_file(struct cx_tree *t, char *to, size_t max, struct cx_err *err)
{
	ssize_t n;

	do
		n = read(t->fd, to, t->left < max ? (size_t)t->left : max);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return cx_fail(err, errno, "read '%.200s'", t->name);
	if (n == 0)
		return cx_refuse(err, CX_INVALID, "'%.200s' became shorter while it was sent",
				 t->name);
	cx_sum_add(&t->sum, to, (size_t)n);
	t->left -= (uint64_t)n;
	return n;
}

static size_t take_fill(struct cx_tree *t, char *to, size_t max)
{
	size_t n = t->fill < max ? t->fill : max;

	memset(to, 0, n);
	t->fill -= (unsigned)n;
	return n;
}

/* What comes next of the archive; 0: nothing of this entry. */
static ssize_t take_some(struct cx_tree *t, char *to, size_t max, struct cx_err *err)
{
	if (t->head_read < t->head.len)
		return (ssize_t)take_head(t, to, max);
	if (t->fd >= 0 && t->left > 0)
		return take_file(t, to, max, err);
	if (t->fd >= 0 && end_file(t, err) < 0)
		return -err->errnum;
	return (ssize_t)take_fill(t, to, max);
}

ssize_t cx_tree_read(struct cx_tree *tree, char *to, size_t max, struct cx_err *err)
{
	size_t done = 0;

	while (done < max) {
		ssize_t n = take_some(tree, to + done, max - done, err);

		if (n < 0)
			return n;
		done += (size_t)n;
		if (n > 0)
			continue;
		if (tree->ended)
			break;
		if (next_entry(tree, err) < 0)
			return -err->errnum;
	}
	return (ssize_t)done;
}

/* ---- all of it ------------------------------------------------------------------------------- */

static int by_name(const FTSENT **a, const FTSENT **b)
{
	return strcmp((*a)->fts_name, (*b)->fts_name);
}

int cx_tree_open(struct cx_tree *ret, char *local, const char *remote, struct cx_err *err)
{
	char *const roots[] = { local, NULL };

	ret->fts = fts_open(roots, FTS_PHYSICAL | FTS_NOCHDIR | FTS_COMFOLLOW, by_name);
	if (ret->fts == NULL)
		return cx_fail(err, errno, "read '%.200s'", local);
	ret->skip = strlen(local);
	ret->remote = remote;
	ret->head.max = HEAD_MAX;
	ret->list.max = LIST_MAX;
	return 0;
}

void cx_tree_print(const struct cx_tree *tree)
{
	const char *end = tree->list.p + tree->list.len;

	for (const char *p = tree->list.p; p < end; p += strlen(p) + 1) {
		const char *sum = p;

		p += CX_MOVING_HEX + 1;
		cx_moving_print(sum, p);
	}
}

void cx_tree_close(struct cx_tree *tree)
{
	if (tree->fts != NULL)
		(void)fts_close(tree->fts);
	cx_close(&tree->fd);
	cx_buf_free(&tree->head);
	cx_buf_free(&tree->list);
	cx_freep(&tree->name);
	tdestroy(tree->names, free);
}
