/* SPDX-License-Identifier: Apache-2.0 */
#include "image/tar.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/fd.h"

enum { OUT_BLOCK = 1 << 17, ZEROS = 1 << 16, MODE_MARK = 0600 };
static const char whiteout_prefix[] = ".wh.", opaque_name[] = ".wh..wh..opq";

struct cx_tar {
	int fd;
	struct archive *archive;
	struct archive_entry *entry;
	EVP_MD_CTX *hash;
	uint64_t bytes, max_bytes;
	bool ended;	   /* what still comes is thrown away */
	uint64_t at;	   /* in the file whose data comes */
	struct cx_err why; /* what give() said: libarchive only passes "failed" on */
	char path[CX_ENTRY_PATH_MAX + 32], target[CX_ENTRY_PATH_MAX + 1];
};

/* ---- the archive ---------------------------------------------------------------------------- */

static int failed(const struct cx_tar *tar, struct cx_err *err)
{
	const char *text = archive_error_string(tar->archive);

	if (tar->why.errnum != 0) {
		*err = tar->why;
		return -err->errnum;
	}
	return cx_fail(err, EIO, "write the archive: %s", text != NULL ? text : "unknown");
}

static la_ssize_t give(struct archive *archive, void *arg, const void *data, size_t len)
{
	struct cx_tar *tar = arg;

	(void)archive;
	if (tar->ended)
		return (la_ssize_t)len;
	if (len > tar->max_bytes - tar->bytes)
		(void)cx_refuse(&tar->why, CX_LIMIT, "more than %llu bytes",
				(unsigned long long)tar->max_bytes);
	else if (EVP_DigestUpdate(tar->hash, data, len) != 1)
		(void)cx_fail(&tar->why, ENOMEM, "SHA-256");
	else
		(void)!cx_write_all(tar->fd, data, len, &tar->why);
	tar->bytes += tar->why.errnum == 0 ? len : 0;
	return tar->why.errnum == 0 ? (la_ssize_t)len : -1;
}

/* Behind the last entry there are its two blocks of zeros and no further padding. */
static int configure(struct cx_tar *tar)
{
	struct archive *a = tar->archive;

	return archive_write_set_format_pax(a) == ARCHIVE_OK &&
	       archive_write_set_format_option(a, "pax", "xattrheader", "SCHILY") == ARCHIVE_OK &&
	       archive_write_set_bytes_per_block(a, OUT_BLOCK) == ARCHIVE_OK &&
	       archive_write_set_bytes_in_last_block(a, 1) == ARCHIVE_OK &&
	       archive_write_open(a, tar, NULL, give, NULL) == ARCHIVE_OK;
}

int cx_tar_new(int fd, uint64_t max_bytes, struct cx_tar **ret, struct cx_err *err)
{
	struct cx_tar *tar = calloc(1, sizeof *tar);

	if (tar == NULL)
		return cx_fail(err, ENOMEM, "archive writer");
	tar->fd = fd;
	tar->max_bytes = max_bytes;
	tar->archive = archive_write_new();
	tar->entry = archive_entry_new();
	tar->hash = EVP_MD_CTX_new();
	if (tar->archive == NULL || tar->entry == NULL || tar->hash == NULL ||
	    EVP_DigestInit_ex(tar->hash, EVP_sha256(), NULL) != 1) {
		cx_tar_free(tar);
		return cx_fail(err, ENOMEM, "archive writer");
	}
	if (!configure(tar)) {
		(void)failed(tar, err);
		cx_tar_free(tar);
		return -err->errnum;
	}
	*ret = tar;
	return 0;
}

void cx_tar_free(struct cx_tar *tar)
{
	if (tar == NULL)
		return;
	tar->ended = true; /* libarchive frees all of its memory only by writing an end */
	(void)archive_write_free(tar->archive);
	archive_entry_free(tar->entry);
	EVP_MD_CTX_free(tar->hash);
	free(tar);
}

/* ---- entries -------------------------------------------------------------------------------- */

static size_t parent_len(struct cx_bytes path)
{
	size_t len = path.len;

	while (len > 0 && path.p[len - 1] != '/')
		len--;
	return len;
}

/* The entry's path, with a mark before its last component, or a file in it. */
static void set_path(struct cx_tar *tar, struct cx_bytes path, const char *mark, const char *inside)
{
	size_t parent = parent_len(path);

	if (path.len == 0 && inside == NULL)
		inside = "."; /* the root itself */
	(void)snprintf(tar->path, sizeof tar->path, "%.*s%s%.*s%s%s", (int)parent, path.p, mark,
		       (int)(path.len - parent), path.p + parent,
		       inside != NULL && path.len > 0 ? "/" : "", inside != NULL ? inside : "");
	archive_entry_copy_pathname(tar->entry, tar->path);
}

static int check_name(struct cx_bytes path, struct cx_err *err)
{
	const size_t len = sizeof whiteout_prefix - 1;

	for (size_t at = 0, end; at < path.len; at = end + 1) {
		const char *slash = memchr(path.p + at, '/', path.len - at);

		end = slash != NULL ? (size_t)(slash - path.p) : path.len;
		if (end - at >= len && memcmp(path.p + at, whiteout_prefix, len) == 0)
			return cx_refuse(err, CX_INVALID,
					 "a name that begins with '%s' cannot be in a layer",
					 whiteout_prefix);
	}
	return 0;
}

static int add_xattr(struct cx_tar *tar, const struct cx_entry_xattr *x, struct cx_err *err)
{
	char name[sizeof "user." + UINT8_MAX];

	for (size_t i = 0; i < x->name.len; i++)
		if (x->name.p[i] <= ' ' || x->name.p[i] > '~' || x->name.p[i] == '=' ||
		    x->name.p[i] == '%')
			return cx_refuse(err, CX_INVALID,
					 "an extended attribute's name that tar cannot hold");
	(void)snprintf(name, sizeof name, "user.%.*s", (int)x->name.len, x->name.p);
	archive_entry_xattr_add_entry(tar->entry, name, x->value.p, x->value.len);
	return 0;
}

static void set_mark(struct cx_tar *tar, const struct cx_entry *e)
{
	if ((e->flags & CX_ENTRY_WHITEOUT) != 0)
		set_path(tar, e->path, whiteout_prefix, NULL);
	else
		set_path(tar, e->path, "", opaque_name);
	archive_entry_set_mode(tar->entry, S_IFREG | MODE_MARK);
	archive_entry_set_size(tar->entry, 0);
}

/* libarchive puts the attribute that was added last before the others. */
static int set_node(struct cx_tar *tar, const struct cx_entry *e, struct cx_err *err)
{
	set_path(tar, e->path, "", NULL);
	archive_entry_set_mode(tar->entry, e->mode);
	archive_entry_set_uid(tar->entry, e->uid);
	archive_entry_set_gid(tar->entry, e->gid);
	archive_entry_set_mtime(tar->entry, e->mtime, e->mtime < 0 ? 0 : (long)e->mtime_nsec);
	archive_entry_set_size(tar->entry, (la_int64_t)e->size);
	(void)snprintf(tar->target, sizeof tar->target, "%.*s", (int)e->target.len, e->target.p);
	if ((e->flags & CX_ENTRY_HARDLINK) != 0)
		archive_entry_copy_hardlink(tar->entry, tar->target);
	else if (S_ISLNK(e->mode))
		archive_entry_copy_symlink(tar->entry, tar->target);
	for (unsigned i = e->nxattrs; i-- > 0;)
		if (add_xattr(tar, &e->xattrs[i], err) < 0)
			return -err->errnum;
	return 0;
}

static int set_entry(struct cx_tar *tar, const struct cx_entry *e, struct cx_err *err)
{
	archive_entry_clear(tar->entry);
	if (check_name(e->path, err) < 0)
		return -err->errnum;
	if ((e->flags & (CX_ENTRY_WHITEOUT | CX_ENTRY_OPAQUE)) == 0)
		return set_node(tar, e, err);
	set_mark(tar, e);
	return 0;
}

int cx_tar_entry(struct cx_tar *tar, const struct cx_entry *e, struct cx_err *err)
{
	tar->at = 0;
	if (set_entry(tar, e, err) < 0)
		return cx_wrap(err, "'%.*s'", (int)(e->path.len < 200 ? e->path.len : 200),
			       e->path.p);
	/* A warning says that a name is not ASCII, which it has marked the entry with. */
	return archive_write_header(tar->archive, tar->entry) < ARCHIVE_WARN ? failed(tar, err) : 0;
}

static int put(struct cx_tar *tar, const void *data, size_t len, struct cx_err *err)
{
	const char *p = data;

	while (len > 0) {
		la_ssize_t n = archive_write_data(tar->archive, p, len);

		if (n <= 0)
			return failed(tar, err);
		p += n;
		len -= (size_t)n;
		tar->at += (size_t)n;
	}
	return 0;
}

int cx_tar_data(struct cx_tar *tar, uint64_t offset, const void *data, size_t len,
		struct cx_err *err)
{
	static const char zeros[ZEROS];

	while (tar->at < offset) {
		uint64_t gap = offset - tar->at;

		if (put(tar, zeros, gap < ZEROS ? (size_t)gap : ZEROS, err) < 0)
			return -err->errnum;
	}
	return put(tar, data, len, err);
}

int cx_tar_finish(struct cx_tar *tar, uint8_t ret_sha256[32], uint64_t *ret_bytes,
		  struct cx_err *err)
{
	uint8_t sum[32];

	if (archive_write_close(tar->archive) != ARCHIVE_OK)
		return failed(tar, err);
	tar->ended = true;
	if (EVP_DigestFinal_ex(tar->hash, sum, NULL) != 1)
		return cx_fail(err, EIO, "SHA-256");
	memcpy(ret_sha256, sum, sizeof sum);
	*ret_bytes = tar->bytes;
	return 0;
}
