/* SPDX-License-Identifier: Apache-2.0 */
#include "image/walk.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/path.h"
#include "image/entries.h"

enum { SLOTS = 1 << 14, CHUNK = 1 << 17 };
static const char overlay_prefix[] = "user.overlay.", user_prefix[] = "user.";

/* A file that has more names than the one it was met by. */
struct link {
	struct link *next;
	dev_t dev;
	ino_t ino;
	char path[];
};

struct walk {
	int dir;
	const struct cx_walk_limits *limits;
	struct cx_report *report;
	struct cx_entry_writer *out;
	struct link **links; /* SLOTS of them */
	uint64_t bytes, names;
	size_t len;
	char path[CX_ENTRY_PATH_MAX + 1]; /* of the entry at work, from the root; "" for that */
	char target[CX_ENTRY_PATH_MAX + 1];
	char list[XATTR_LIST_MAX]; /* names of attributes, as the kernel lists them */
	char values[CX_ENTRY_XATTR_BYTES_MAX + 1];
	struct cx_entry entry; /* at work; here, as the stack has to hold many directories */
	_Alignas(struct dirent64) char chunk[CHUNK];
};

/* ---- the tree, entry by entry --------------------------------------------------------------- */

/* Not even a link that stays inside is followed. */
static int open_entry(const struct walk *w, int flags, struct cx_err *err)
{
	return cx_open_no_links(w->dir, w->len > 0 ? w->path : ".", flags, 0, err);
}

/* For reading; what is there must still be what was looked at. O_NONBLOCK: no fifo may keep us. */
static int open_again(const struct walk *w, const struct stat *seen, int flags, struct cx_err *err)
{
	cx_autofd int fd =
		open_entry(w, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | flags, err);
	struct stat st;

	if (fd < 0)
		return -err->errnum;
	if (fstat(fd, &st) < 0)
		return cx_fail(err, errno, "look at it");
	if (st.st_dev != seen->st_dev || st.st_ino != seen->st_ino ||
	    (st.st_mode & S_IFMT) != (seen->st_mode & S_IFMT))
		return cx_refuse(err, CX_CONFLICT, "it changed while it was read");
	return cx_take_fd(&fd);
}

static void set_entry(struct walk *w, const struct stat *st)
{
	w->entry = (struct cx_entry){ .mode = st->st_mode & (S_IFMT | 07777),
				      .uid = st->st_uid,
				      .gid = st->st_gid,
				      .mtime = st->st_mtim.tv_sec,
				      .mtime_nsec = (uint32_t)st->st_mtim.tv_nsec,
				      .path = { w->path, w->len },
				      .target = { "", 0 } };
}

/* Writes w->entry. */
static int emit(struct walk *w, struct cx_err *err)
{
	if (w->report->entries >= w->limits->max_entries)
		return cx_refuse(err, CX_LIMIT, "more than %llu entries",
				 (unsigned long long)w->limits->max_entries);
	w->report->entries++;
	return cx_entry_write(w->out, &w->entry, err);
}

/* ---- attributes ----------------------------------------------------------------------------- */

static int compare_xattrs(const void *a, const void *b)
{
	const struct cx_entry_xattr *x = a, *y = b;
	size_t len = x->name.len < y->name.len ? x->name.len : y->name.len;
	int order = memcmp(x->name.p, y->name.p, len);

	return order != 0 ? order : (x->name.len > y->name.len) - (x->name.len < y->name.len);
}

static int read_xattr(struct walk *w, int fd, const char *name, size_t *used, struct cx_err *err)
{
	struct cx_entry *e = &w->entry;
	const size_t prefix = sizeof user_prefix - 1;
	struct cx_entry_xattr *x = &e->xattrs[e->nxattrs];
	ssize_t n;

	if (e->nxattrs == CX_ENTRY_XATTRS_MAX)
		return cx_refuse(err, CX_INVALID, "more than %d extended attributes",
				 CX_ENTRY_XATTRS_MAX);
	n = fgetxattr(fd, name, w->values + *used, sizeof w->values - *used);
	if (n < 0 && errno != ERANGE)
		return cx_fail(err, errno, "read an extended attribute");
	if (n < 0 || *used + (size_t)n > CX_ENTRY_XATTR_BYTES_MAX)
		return cx_refuse(err, CX_INVALID, "more than %d bytes of extended attributes",
				 CX_ENTRY_XATTR_BYTES_MAX);
	x->name = (struct cx_bytes){ name + prefix, strlen(name) - prefix };
	x->value = (struct cx_bytes){ w->values + *used, (size_t)n };
	*used += (size_t)n;
	e->nxattrs++;
	return 0;
}

/* Of w->entry, by way of w->list and w->values; in the order of their names. */
static int read_xattrs(struct walk *w, int fd, struct cx_err *err)
{
	ssize_t len = flistxattr(fd, w->list, sizeof w->list);
	size_t used = 0;

	if (len < 0 && errno != ENOTSUP)
		return cx_fail(err, errno, "list extended attributes");
	for (ssize_t at = 0; at < len;) {
		const char *name = w->list + at;

		at += (ssize_t)strlen(name) + 1;
		if (strncmp(name, user_prefix, sizeof user_prefix - 1) == 0 &&
		    strncmp(name, overlay_prefix, sizeof overlay_prefix - 1) != 0 &&
		    read_xattr(w, fd, name, &used, err) < 0)
			return -err->errnum;
	}
	qsort(w->entry.xattrs, w->entry.nxattrs, sizeof w->entry.xattrs[0], compare_xattrs);
	return 0;
}

static bool is_opaque(int fd)
{
	char value[2];

	return fgetxattr(fd, "user.overlay.opaque", value, sizeof value) == 1 && value[0] == 'y';
}

/* ---- files with several names --------------------------------------------------------------- */

static struct link **slot_of(const struct walk *w, const struct stat *st)
{
	uint64_t h = (st->st_ino ^ st->st_dev << 32) * 0x9e3779b97f4a7c15ULL;

	return &w->links[(h >> 32) % SLOTS];
}

/* The first name of this file, or NULL: then the one at work is kept as that. */
static int find_link(struct walk *w, const struct stat *st, const char **ret, struct cx_err *err)
{
	struct link **slot = slot_of(w, st), *link = *slot;

	while (link != NULL && (link->dev != st->st_dev || link->ino != st->st_ino))
		link = link->next;
	*ret = link != NULL ? link->path : NULL;
	if (link != NULL)
		return 0;
	link = malloc(sizeof *link + w->len + 1);
	if (link == NULL)
		return cx_fail(err, ENOMEM, "remember a file with several names");
	link->dev = st->st_dev;
	link->ino = st->st_ino;
	memcpy(link->path, w->path, w->len + 1);
	link->next = *slot;
	*slot = link;
	return 0;
}

static void free_links(struct link ***links)
{
	for (size_t i = 0; *links != NULL && i < SLOTS; i++) {
		while ((*links)[i] != NULL) {
			struct link *next = (*links)[i]->next;

			free((*links)[i]);
			(*links)[i] = next;
		}
	}
	free(*links);
	*links = NULL;
}

/* ---- each type ------------------------------------------------------------------------------ */

/* A piece that is not a hole, to its end or that of the file. */
static int copy_piece(struct walk *w, int fd, uint64_t at, uint64_t end, struct cx_err *err)
{
	while (at < end) {
		size_t want = end - at < CHUNK ? (size_t)(end - at) : CHUNK;
		ssize_t n = pread(fd, w->chunk, want, (off_t)at);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return cx_fail(err, errno, "read it");
		if (n == 0)
			return cx_refuse(err, CX_CONFLICT, "it became shorter while it was read");
		if (cx_entry_write_data(w->out, at, w->chunk, (size_t)n, err) < 0)
			return -err->errnum;
		at += (uint64_t)n;
	}
	return 0;
}

/* A file system that knows no holes has one piece. */
static int copy_data(struct walk *w, int fd, uint64_t size, struct cx_err *err)
{
	uint64_t at = 0;

	while (at < size) {
		off_t data = lseek(fd, (off_t)at, SEEK_DATA), hole;

		if (data < 0 && errno == ENXIO)
			return 0; /* a hole to its end */
		hole = data >= 0 ? lseek(fd, data, SEEK_HOLE) : data;
		if (hole < 0)
			return cx_fail(err, errno, "find its data");
		if ((uint64_t)hole > size)
			hole = (off_t)size; /* it grew: no more than was announced */
		if (copy_piece(w, fd, (uint64_t)data, (uint64_t)hole, err) < 0)
			return -err->errnum;
		at = (uint64_t)hole;
	}
	return 0;
}

static int walk_file(struct walk *w, const struct stat *st, struct cx_err *err)
{
	cx_autofd int fd = open_again(w, st, 0, err);
	const uint64_t size = (uint64_t)st->st_size;

	if (fd < 0)
		return -err->errnum;
	if (size > w->limits->max_bytes - w->bytes)
		return cx_refuse(err, CX_LIMIT, "more than %llu bytes in all files",
				 (unsigned long long)w->limits->max_bytes);
	w->bytes += size;
	w->entry.size = size;
	if (read_xattrs(w, fd, err) < 0 || emit(w, err) < 0)
		return -err->errnum;
	return copy_data(w, fd, size, err);
}

static int walk_directory(struct walk *w, const struct stat *st, struct cx_err *err)
{
	cx_autofd int fd = open_again(w, st, O_DIRECTORY, err);

	if (w->len == 0)
		w->entry.mtime = w->entry.mtime_nsec = 0;
	if (fd < 0 || read_xattrs(w, fd, err) < 0 || emit(w, err) < 0)
		return -err->errnum;
	if (!is_opaque(fd))
		return 0;
	w->entry.flags = CX_ENTRY_OPAQUE;
	w->entry.nxattrs = 0;
	return emit(w, err);
}

static int walk_symlink(struct walk *w, const struct stat *st, struct cx_err *err)
{
	cx_autofd int fd = open_entry(w, O_PATH | O_NOFOLLOW, err);
	ssize_t n;

	(void)st;
	if (fd < 0)
		return -err->errnum;
	n = readlinkat(fd, "", w->target, sizeof w->target);
	if (n < 0)
		return cx_fail(err, errno, "read the link");
	w->entry.target = (struct cx_bytes){ w->target, (size_t)n };
	return emit(w, err);
}

static int walk_fifo(struct walk *w, const struct stat *st, struct cx_err *err)
{
	(void)st;
	return emit(w, err);
}

static int walk_device(struct walk *w, const struct stat *st, struct cx_err *err)
{
	if (!S_ISCHR(st->st_mode) || st->st_rdev != makedev(0, 0)) {
		w->report->skipped++;
		return 0;
	}
	w->entry = (struct cx_entry){ .mode = S_IFREG,
				      .flags = CX_ENTRY_WHITEOUT,
				      .path = w->entry.path,
				      .target = { "", 0 } };
	return emit(w, err);
}

static int walk_socket(struct walk *w, const struct stat *st, struct cx_err *err)
{
	(void)st;
	(void)err;
	w->report->skipped++;
	return 0;
}

static int walk_link(struct walk *w, const char *first, struct cx_err *err)
{
	w->entry.mode = S_IFREG | (w->entry.mode & 07777);
	w->entry.flags = CX_ENTRY_HARDLINK;
	w->entry.target = (struct cx_bytes){ first, strlen(first) };
	return emit(w, err);
}

/* Each writes w->entry, which has what stat(2) says. */
static const struct {
	mode_t type;
	int (*run)(struct walk *w, const struct stat *st, struct cx_err *err);
	bool linked; /* a further name is a hard link */
} types[] = {
	{ S_IFREG, walk_file, true },	  { S_IFDIR, walk_directory, false },
	{ S_IFLNK, walk_symlink, true },  { S_IFIFO, walk_fifo, true },
	{ S_IFCHR, walk_device, false },  { S_IFBLK, walk_device, false },
	{ S_IFSOCK, walk_socket, false },
};

/* ---- the walk ------------------------------------------------------------------------------- */

const char *const cx_walk_made_anew[] = { "etc/hostname", "etc/hosts", "etc/resolv.conf", NULL };

static bool is_left_out(const struct walk *w)
{
	const char *const *without = w->limits->without;

	while (without != NULL && *without != NULL && strcmp(*without, w->path) != 0)
		without++;
	return without != NULL && *without != NULL;
}

/* 1: there is nothing by that name (any more). */
static int look(const struct walk *w, struct stat *ret, struct cx_err *err)
{
	cx_autofd int fd = -EBADF;

	if (is_left_out(w))
		return 1;
	fd = open_entry(w, O_PATH | O_NOFOLLOW, err);
	if (fd < 0)
		return w->len > 0 && err->errnum == ENOENT ? 1 : -err->errnum;
	if (fstat(fd, ret) < 0)
		return cx_fail(err, errno, "look at it");
	return 0;
}

static int walk_entry(struct walk *w, const struct stat *st, struct cx_err *err)
{
	const char *first = NULL;

	set_entry(w, st);
	for (size_t i = 0; i < CX_LEN(types); i++) {
		if (types[i].type != (st->st_mode & S_IFMT))
			continue;
		if (types[i].linked && st->st_nlink > 1 && find_link(w, st, &first, err) < 0)
			return -err->errnum;
		return first != NULL ? walk_link(w, first, err) : types[i].run(w, st, err);
	}
	return cx_refuse(err, CX_INTERNAL, "its type %#o is unknown", st->st_mode & S_IFMT);
}

struct names {
	struct cx_buf text;
	const char **sorted;
	size_t n;
};

static void free_names(struct names *names)
{
	cx_buf_free(&names->text);
	free(names->sorted);
}

static int compare_names(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static int keep_names(struct walk *w, const char *list, size_t len, struct names *names,
		      struct cx_err *err)
{
	const struct dirent64 *entry;

	for (size_t at = 0; at < len; at += entry->d_reclen) {
		entry = (const struct dirent64 *)(const void *)(list + at);
		if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
			continue;
		if (++w->names > w->limits->max_entries)
			return cx_refuse(err, CX_LIMIT, "more than %llu entries",
					 (unsigned long long)w->limits->max_entries);
		if (cx_buf_add(&names->text, entry->d_name, strlen(entry->d_name) + 1, err) < 0)
			return -err->errnum;
		names->n++;
	}
	return 0;
}

/* The directory is closed again before what is in it is walked: its depth costs no descriptor. */
static int list_names(struct walk *w, const struct stat *st, struct names *names,
		      struct cx_err *err)
{
	cx_autofd int fd = open_again(w, st, O_DIRECTORY, err);
	const char *name;
	ssize_t n;

	if (fd < 0)
		return -err->errnum;
	while ((n = getdents64(fd, w->chunk, sizeof w->chunk)) > 0)
		if (keep_names(w, w->chunk, (size_t)n, names, err) < 0)
			return -err->errnum;
	if (n < 0)
		return cx_fail(err, errno, "list it");
	names->sorted = calloc(names->n + 1, sizeof names->sorted[0]);
	if (names->sorted == NULL)
		return cx_fail(err, ENOMEM, "list it");
	name = names->text.p;
	for (size_t i = 0; i < names->n; i++, name += strlen(name) + 1)
		names->sorted[i] = name;
	qsort(names->sorted, names->n, sizeof names->sorted[0], compare_names);
	return 0;
}

static int push_name(struct walk *w, const char *name, struct cx_err *err)
{
	size_t slash = w->len > 0, n = strlen(name);

	if (w->len + slash + n > CX_ENTRY_PATH_MAX)
		return cx_refuse(err, CX_INVALID, "below it there is a path longer than %d bytes",
				 CX_ENTRY_PATH_MAX);
	memcpy(w->path + w->len, "/", slash);
	memcpy(w->path + w->len + slash, name, n + 1);
	w->len += slash + n;
	return 0;
}

static void pop_name(struct walk *w, size_t len)
{
	w->len = len;
	w->path[len] = '\0';
}

static int named(const struct walk *w, struct cx_err *err)
{
	return cx_wrap(err, "'/%.200s'", w->path);
}

/* As deep as a path has components. */
static int visit(struct walk *w, struct cx_err *err)
{
	CX_AUTO(free_names) struct names names = { .text = { .max = SIZE_MAX } };
	const size_t len = w->len;
	struct stat st;
	int r = look(w, &st, err);

	if (r != 0)
		return r > 0 ? 0 : named(w, err);
	if (walk_entry(w, &st, err) < 0 ||
	    (S_ISDIR(st.st_mode) && list_names(w, &st, &names, err) < 0))
		return named(w, err);
	for (size_t i = 0; i < names.n && r == 0; i++) {
		if (push_name(w, names.sorted[i], err) < 0)
			return named(w, err);
		r = visit(w, err);
		pop_name(w, len);
	}
	return r;
}

static int run(int dir, int out, const struct cx_walk_limits *limits, struct cx_report *report)
{
	cx_autofree struct cx_entry_writer *writer = malloc(sizeof *writer);
	cx_autofree struct walk *w = calloc(1, sizeof *w);
	CX_AUTO(free_links) struct link **links = calloc(SLOTS, sizeof(struct link *));

	if (writer == NULL || w == NULL || links == NULL)
		return cx_fail(&report->err, ENOMEM, "walk a tree");
	cx_entry_writer_init(writer, out);
	w->dir = dir;
	w->limits = limits;
	w->report = report;
	w->out = writer;
	w->links = links;
	if (visit(w, &report->err) < 0)
		return -report->err.errnum;
	return cx_entry_write_end(writer, &report->err);
}

int cx_walk_tree(int dir, int out, const struct cx_walk_limits *limits, struct cx_report *report)
{
	int r;

	*report = (struct cx_report){ .kind = CX_REPORT_LAYER };
	r = run(dir, out, limits, report);
	report->ok = r == 0;
	return r;
}
