/* SPDX-License-Identifier: Apache-2.0 */
#include "api/spool.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "base/fd.h"
#include "base/str.h"

static const char blobs[] = "blobs/sha256/";

static void blame(struct cx_spool *s, const struct cx_err *err)
{
	if (s->err.errnum == 0)
		s->err = *err;
}

static struct cx_spool_file *find_name(const struct cx_spool *s, const char *name)
{
	for (unsigned i = 0; i < s->n; i++)
		if (strcmp(s->files[i].name, name) == 0)
			return &s->files[i];
	return NULL;
}

const struct cx_spool_file *cx_spool_find(const struct cx_spool *spool, const char *name)
{
	const struct cx_spool_file *file = find_name(spool, name);

	for (unsigned i = 0; file != NULL && file->target != NULL; i++) {
		if (i == CX_SPOOL_LINKS_MAX)
			return NULL;
		file = find_name(spool, file->target);
	}
	return file;
}

const struct cx_spool_file *cx_spool_expect(const struct cx_spool *spool, const char *name,
					    uint64_t bytes, struct cx_err *err)
{
	const struct cx_spool_file *file = cx_spool_find(spool, name);

	if (file == NULL) {
		(void)cx_refuse(err, CX_INVALID, "the archive has no '%.200s'", name);
		return NULL;
	}
	if (bytes != CX_OCI_ANY_SIZE && bytes != file->size) {
		(void)cx_refuse(err, CX_INVALID,
				"'%.200s' has %llu bytes, its descriptor says %llu", name,
				(unsigned long long)file->size, (unsigned long long)bytes);
		return NULL;
	}
	return file;
}

/* ---- taking in ------------------------------------------------------------------------------ */

static int check_digest(struct cx_spool *s, struct cx_spool_file *file, struct cx_err *err)
{
	uint8_t said[32];

	if (cx_digest_get(s->digest, file->id, err) < 0)
		return -err->errnum;
	if (strncmp(file->name, blobs, sizeof blobs - 1) != 0)
		return 0;
	if (!cx_from_hex(file->name + sizeof blobs - 1, said, 32))
		return cx_refuse(err, CX_INVALID, "'%.200s' is no name of a blob", file->name);
	if (memcmp(file->id, said, 32) != 0)
		return cx_refuse(err, CX_INVALID, "'%.200s' does not have the digest of its name",
				 file->name);
	return 0;
}

static void close_file(struct cx_spool *s)
{
	struct cx_spool_file *file = s->open;
	struct cx_err err;

	s->open = NULL;
	if (file == NULL || s->err.errnum != 0)
		return;
	if (s->at != file->size)
		(void)cx_refuse(&err, CX_INVALID, "'%.200s' is shorter than it says", file->name);
	else if (check_digest(s, file, &err) == 0)
		return;
	blame(s, &err);
}

static char *copy_bytes(struct cx_bytes bytes)
{
	return strndup(bytes.p, bytes.len);
}

static int name_link(struct cx_spool_file *file, const struct cx_entry *entry, struct cx_err *err)
{
	char target[CX_OCI_NAME_MAX + 1];
	cx_autofree char *given = copy_bytes(entry->target);

	if (given == NULL)
		return cx_fail(err, ENOMEM, "archive");
	if ((entry->flags & CX_ENTRY_HARDLINK) != 0) { /* names a path of the archive already */
		file->target = cx_take_ptr(&given);
		return 0;
	}
	if (cx_oci_resolve(file->name, given, target, sizeof target, err) < 0)
		return cx_wrap(err, "'%.200s'", file->name);
	file->target = strdup(target);
	return file->target != NULL ? 0 : cx_fail(err, ENOMEM, "archive");
}

static void tell(const struct cx_spool *s)
{
	if (s->grown != NULL)
		s->grown(s->arg, s->open, s->at);
}

static int open_file(struct cx_spool *s, struct cx_spool_file *file, const struct cx_entry *entry,
		     struct cx_err *err)
{
	if (entry->size > s->max_bytes - s->bytes)
		return cx_refuse(err, CX_LIMIT, "the archive holds more than %llu bytes",
				 (unsigned long long)s->max_bytes);
	file->fd = openat(s->dir, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	if (file->fd < 0)
		return cx_fail(err, errno, "make a spool file");
	file->size = entry->size;
	s->bytes += entry->size;
	s->open = file;
	s->at = 0;
	tell(s);
	return cx_digest_reset(s->digest, err);
}

static int add_file(struct cx_spool *s, const struct cx_entry *entry, struct cx_err *err)
{
	bool link = S_ISLNK(entry->mode) || (entry->flags & CX_ENTRY_HARDLINK) != 0;
	struct cx_spool_file *file = &s->files[s->n];

	if (S_ISDIR(entry->mode))
		return 0;
	if ((!link && !S_ISREG(entry->mode)) ||
	    (entry->flags & (CX_ENTRY_WHITEOUT | CX_ENTRY_BARRED)) != 0)
		return cx_refuse(err, CX_INVALID, "'%.*s' is no file",
				 (int)(entry->path.len < 200 ? entry->path.len : 200),
				 entry->path.p);
	if (s->n == CX_SPOOL_FILES_MAX)
		return cx_refuse(err, CX_LIMIT, "the archive holds more than %d files",
				 CX_SPOOL_FILES_MAX);
	*file = (struct cx_spool_file){ .fd = -EBADF, .name = copy_bytes(entry->path) };
	if (file->name == NULL)
		return cx_fail(err, ENOMEM, "archive");
	/* Two files of one name are two readings of one archive. */
	if (find_name(s, file->name) != NULL) {
		(void)cx_refuse(err, CX_INVALID, "the archive holds '%.200s' twice", file->name);
		cx_freep(&file->name);
		return -err->errnum;
	}
	s->n++;
	return link ? name_link(file, entry, err) : open_file(s, file, entry, err);
}

static int on_entry(void *arg, const struct cx_entry *entry, struct cx_err *err)
{
	struct cx_spool *s = arg;
	struct cx_err bad;

	(void)err;
	close_file(s);
	if (s->err.errnum == 0 && add_file(s, entry, &bad) < 0)
		blame(s, &bad);
	return 0;
}

static int write_at(struct cx_spool *s, uint64_t offset, const void *data, size_t len,
		    struct cx_err *err)
{
	if (offset != s->at)
		return cx_refuse(err, CX_INVALID, "'%.200s' is a sparse file", s->open->name);
	if (cx_write_all(s->open->fd, data, len, err) < 0) {
		if (err->errnum == ENOSPC)
			return cx_refuse(err, CX_LIMIT, "the disk of the state directory is full");
		return cx_wrap(err, "spool file");
	}
	s->at += len;
	tell(s);
	return cx_digest_add(s->digest, data, len, err);
}

static int on_data(void *arg, uint64_t offset, const void *data, size_t len, struct cx_err *err)
{
	struct cx_spool *s = arg;
	struct cx_err bad;

	(void)err;
	if (s->err.errnum == 0 && s->open != NULL && write_at(s, offset, data, len, &bad) < 0)
		blame(s, &bad);
	return 0;
}

static int on_end(void *arg, struct cx_err *err)
{
	(void)err;
	close_file(arg);
	return 0;
}

/* ---- giving out ----------------------------------------------------------------------------- */

static bool has_file(void *arg, const char *name)
{
	return cx_spool_find(arg, name) != NULL;
}

static int read_file(void *arg, enum cx_oci_document what, const char *name, uint64_t bytes,
		     struct cx_buf *ret, struct cx_err *err)
{
	const struct cx_spool_file *file = cx_spool_expect(arg, name, bytes, err);
	size_t got = 0;
	char *place;

	(void)what;
	if (file == NULL)
		return -err->errnum;
	if (file->size > ret->max)
		return cx_refuse(err, CX_INVALID, "'%.200s' has %llu bytes; at most %zu are read",
				 name, (unsigned long long)file->size, ret->max);
	place = cx_buf_reserve(ret, (size_t)file->size, err);
	if (place == NULL)
		return -err->errnum;
	while (got < file->size) {
		ssize_t n = pread(file->fd, place + got, (size_t)file->size - got, (off_t)got);

		if (n <= 0)
			return cx_fail(err, n < 0 ? errno : EIO, "read a spool file");
		got += (size_t)n;
	}
	ret->len += got;
	return 0;
}

struct cx_oci_source cx_spool_source(struct cx_spool *spool)
{
	return (struct cx_oci_source){ .has = has_file, .read = read_file, .arg = spool };
}

int cx_spool_new(int dir, uint64_t max_bytes, struct cx_spool **ret, struct cx_err *err)
{
	struct cx_spool *s = calloc(1, sizeof *s);

	if (s == NULL)
		return cx_fail(err, ENOMEM, "archive");
	s->dir = dir;
	s->max_bytes = max_bytes;
	s->files = calloc(CX_SPOOL_FILES_MAX, sizeof *s->files);
	if (s->files == NULL || cx_digest_new(&s->digest, err) < 0) {
		cx_spool_free(s);
		return cx_fail(err, ENOMEM, "archive");
	}
	s->sink = (struct cx_entry_sink){
		.entry = on_entry, .data = on_data, .end = on_end, .arg = s
	};
	cx_entry_decoder_init(&s->decoder, &s->sink, UINT32_MAX);
	*ret = s;
	return 0;
}

void cx_spool_free(struct cx_spool *spool)
{
	if (spool == NULL)
		return;
	for (unsigned i = 0; i < spool->n; i++) {
		cx_close(&spool->files[i].fd);
		free(spool->files[i].name);
		free(spool->files[i].target);
	}
	free(spool->files);
	cx_digest_free(spool->digest);
	free(spool);
}
