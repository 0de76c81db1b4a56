/* SPDX-License-Identifier: Apache-2.0 */
#include "image/read.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <iconv.h>
#include <string.h>
#include <sys/stat.h>

#include "image/stream.h"

enum { DOCUMENT_MAX = 4 << 20, ID_LEN = 64, NANOSECONDS = 1000000000 };

struct reading {
	struct cx_stream *stream;
	struct archive *archive;
	struct cx_entry_writer *out;
	const struct cx_read_limits *limits;
	struct cx_report *report;
	struct cx_err source; /* what the stream said, as libarchive only passes "failed" on */
	bool any, drained;    /* the stream has given a byte; its last byte */
	bool cut;	      /* the padding of the last entry is missing: nothing follows */
	bool saw_layout, saw_index, saw_manifest, is_rootfs;
	char path[CX_ENTRY_PATH_MAX + 1], target[CX_ENTRY_PATH_MAX + 1];
};

CX_DEFINE_AUTO(struct archive *, archive_read_free);
CX_DEFINE_AUTO(struct cx_stream *, cx_stream_free);

/* ---- names ---------------------------------------------------------------------------------- */

/* Takes off what means nothing; what is left is checked by the entry writer. */
static int normalize(const char *name, char *out, struct cx_err *err)
{
	size_t len = 0;

	while (*name != '\0') {
		size_t n = strcspn(name, "/");

		if (n > 0 && !(n == 1 && name[0] == '.')) {
			if (n == 2 && name[0] == '.' && name[1] == '.')
				return cx_refuse(err, CX_INVALID, "a name that leads upwards");
			if (len + n + 1 > CX_ENTRY_PATH_MAX)
				return cx_refuse(err, CX_INVALID, "a name longer than %d bytes",
						 CX_ENTRY_PATH_MAX);
			if (len > 0)
				out[len++] = '/';
			memcpy(out + len, name, n);
			len += n;
		}
		name += n + (name[n] == '/');
	}
	out[len] = '\0';
	return 0;
}

static const char *last_component(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash != NULL ? slash + 1 : path;
}

static struct cx_bytes bytes_of(const char *text)
{
	return (struct cx_bytes){ text, strlen(text) };
}

/* ---- a layer's entries
 * --------------------------------------------------------------------------- */

enum whiteout { NO_WHITEOUT, WHITEOUT, OPAQUE, IGNORED };

/* OCI image-spec, layer.md "Whiteouts". Changes the path to the one that is meant. */
static enum whiteout take_whiteout(char *path)
{
	char *last = path + (last_component(path) - path);

	if (strncmp(path, ".wh..wh.", 8) == 0 && strcmp(path, ".wh..wh..opq") != 0)
		return IGNORED; /* aufs kept its books there */
	if (strncmp(last, ".wh.", 4) != 0)
		return NO_WHITEOUT;
	if (strcmp(last, ".wh..wh..opq") == 0) {
		*(last > path ? last - 1 : last) = '\0';
		return OPAQUE;
	}
	if (strncmp(last, ".wh..wh.", 8) == 0)
		return IGNORED;
	memmove(last, last + 4, strlen(last + 4) + 1);
	return WHITEOUT;
}

/* An entry that is only its flag. */
static int write_mark(struct reading *r, uint32_t flag, struct cx_err *err)
{
	struct cx_entry e = { .mode = flag == CX_ENTRY_OPAQUE ? S_IFDIR : S_IFREG,
			      .flags = flag,
			      .path = bytes_of(r->path),
			      .target = { "", 0 } };

	return cx_entry_write(r->out, &e, err);
}

static void take_xattrs(struct archive_entry *ae, struct cx_entry *e)
{
	const char *name;
	const void *value;
	size_t size;

	(void)archive_entry_xattr_reset(ae);
	while (archive_entry_xattr_next(ae, &name, &value, &size) == ARCHIVE_OK) {
		if (name == NULL || strncmp(name, "user.", 5) != 0 || name[5] == '\0' ||
		    strncmp(name, "user.overlay.", 13) == 0)
			continue;
		if (e->nxattrs < CX_ENTRY_XATTRS_MAX) {
			struct cx_entry_xattr *x = &e->xattrs[e->nxattrs];

			x->name = bytes_of(name + 5);
			x->value = (struct cx_bytes){ value, size };
		}
		e->nxattrs++; /* too many are refused by their number */
	}
}

static int take_ids(struct archive_entry *ae, struct cx_entry *e, struct cx_err *err)
{
	int64_t uid = archive_entry_uid(ae), gid = archive_entry_gid(ae);

	if (uid < 0 || uid > CX_ENTRY_ID_MAX || gid < 0 || gid > CX_ENTRY_ID_MAX)
		return cx_refuse(err, CX_INVALID, "owner %lld:%lld is not within 0 to %d",
				 (long long)uid, (long long)gid, CX_ENTRY_ID_MAX);
	e->uid = (uint32_t)uid;
	e->gid = (uint32_t)gid;
	return 0;
}

static int write_hardlink(struct reading *r, struct archive_entry *ae, struct cx_err *err)
{
	struct cx_entry e = { .mode = S_IFREG, .flags = CX_ENTRY_HARDLINK };

	if (archive_entry_size_is_set(ae) && archive_entry_size(ae) > 0)
		return cx_refuse(err, CX_INVALID, "a hard link with data");
	if (normalize(archive_entry_hardlink(ae), r->target, err) < 0)
		return cx_wrap(err, "hard link to '%.200s'", archive_entry_hardlink(ae));
	e.path = bytes_of(r->path);
	e.target = bytes_of(r->target);
	return cx_entry_write(r->out, &e, err);
}

/* Whatever the source was, libarchive's own words or what image/stream.c said. */
static int archive_failed(const struct reading *r, struct cx_err *err)
{
	const char *text = archive_error_string(r->archive);

	if (r->source.errnum != 0) {
		*err = r->source;
		return -err->errnum;
	}
	return cx_refuse(err, CX_INVALID, "bad tar data: %s", text != NULL ? text : "unknown");
}

/*
 * Some writers (umoci) end an archive with the last byte of the last file, without the padding of
 * its block. Go's reader, and so Docker's, takes that; libarchive fails, but only after it has
 * given all of the file. What is cut before that byte stays an error.
 */
static int copy_data(struct reading *r, uint64_t size, struct cx_err *err)
{
	uint64_t end = 0;
	const void *data;
	size_t len;
	la_int64_t offset;
	int s;

	while ((s = archive_read_data_block(r->archive, &data, &len, &offset)) == ARCHIVE_OK) {
		if (len > 0 && cx_entry_write_data(r->out, (uint64_t)offset, data, len, err) < 0)
			return -err->errnum;
		end = (uint64_t)offset + len;
	}
	r->cut = s == ARCHIVE_FATAL && r->drained && r->source.errnum == 0 && end == size;
	return s == ARCHIVE_EOF || r->cut ? 0 : archive_failed(r, err);
}

/*
 * libarchive takes the mode from an ACL where there is one. With a mask, the group's bits of the
 * header are those of the mask.
 */
static uint32_t mode_of(struct archive_entry *ae)
{
	uint32_t mode = (uint32_t)(archive_entry_filetype(ae) | (archive_entry_perm(ae) & 07777));
	int type, permset, tag, id;
	const char *name;

	(void)archive_entry_acl_reset(ae, ARCHIVE_ENTRY_ACL_TYPE_ACCESS);
	while (archive_entry_acl_next(ae, ARCHIVE_ENTRY_ACL_TYPE_ACCESS, &type, &permset, &tag, &id,
				      &name) == ARCHIVE_OK)
		if (tag == ARCHIVE_ENTRY_ACL_MASK)
			mode = (mode & ~070U) | ((unsigned)permset & 7U) << 3;
	return mode;
}

static int write_node(struct reading *r, struct archive_entry *ae, struct cx_err *err)
{
	struct cx_entry e = { .mode = mode_of(ae),
			      .mtime = archive_entry_mtime(ae),
			      .mtime_nsec = (uint32_t)archive_entry_mtime_nsec(ae),
			      .path = bytes_of(r->path),
			      .target = { "", 0 } };

	if (take_ids(ae, &e, err) < 0)
		return -err->errnum;
	if (e.mtime < 0 && e.mtime_nsec > 0) { /* libarchive reads "-1.5" as -1 and 0.5 */
		e.mtime--;
		e.mtime_nsec = NANOSECONDS - e.mtime_nsec;
	}
	if (S_ISREG(e.mode))
		e.size = (uint64_t)archive_entry_size(ae);
	if (e.size > r->limits->max_bytes)
		return cx_refuse(err, CX_LIMIT, "a file of %llu bytes", (unsigned long long)e.size);
	if (S_ISLNK(e.mode) && archive_entry_symlink(ae) != NULL)
		e.target = bytes_of(archive_entry_symlink(ae));
	take_xattrs(ae, &e);
	if (cx_entry_write(r->out, &e, err) < 0)
		return -err->errnum;
	return S_ISREG(e.mode) ? copy_data(r, e.size, err) : 0;
}

static void note_document(struct reading *r)
{
	r->saw_layout |= strcmp(r->path, "oci-layout") == 0;
	r->saw_index |= strcmp(r->path, "index.json") == 0;
	r->saw_manifest |= strcmp(r->path, "manifest.json") == 0;
}

static int layer_entry(struct reading *r, struct archive_entry *ae, struct cx_err *err)
{
	note_document(r);
	switch (take_whiteout(r->path)) {
	case WHITEOUT:
		return write_mark(r, CX_ENTRY_WHITEOUT, err);
	case OPAQUE:
		return write_mark(r, CX_ENTRY_OPAQUE, err);
	case IGNORED:
		return 0;
	case NO_WHITEOUT:
		break;
	}
	if (archive_entry_hardlink(ae) != NULL)
		return write_hardlink(r, ae, err);
	switch (archive_entry_filetype(ae)) {
	case AE_IFREG:
	case AE_IFDIR:
	case AE_IFLNK:
	case AE_IFIFO:
		return write_node(r, ae, err);
	default:
		r->report->skipped++;
		return write_mark(r, CX_ENTRY_BARRED, err);
	}
}

/* ---- an outer archive's entries
 * -------------------------------------------------------------------- */

static bool is_id(const char *text, size_t len)
{
	return len == ID_LEN && strspn(text, "0123456789abcdef") >= ID_LEN;
}

static bool in_list(const char *text, const char *const *list)
{
	while (*list != NULL && strcmp(text, *list) != 0)
		list++;
	return *list != NULL;
}

/* Names of an OCI image layout and of "docker save", old and new. */
static bool is_image_name(const char *path)
{
	static const char *const documents[] = {
		"",	 "oci-layout",	 "index.json", "manifest.json", "repositories",
		"blobs", "blobs/sha256", NULL
	};
	static const char *const inside[] = { "", "/layer.tar", "/json", "/VERSION", NULL };
	static const char *const suffixes[] = { ".json", ".tar", NULL };
	static const char blobs[] = "blobs/sha256/";

	if (in_list(path, documents))
		return true;
	if (strncmp(path, blobs, sizeof blobs - 1) == 0)
		return is_id(path + sizeof blobs - 1, strlen(path + sizeof blobs - 1));
	return strlen(path) >= ID_LEN && is_id(path, ID_LEN) &&
	       (in_list(path + ID_LEN, inside) || in_list(path + ID_LEN, suffixes));
}

static int scan_entry(struct reading *r, struct archive_entry *ae, struct cx_err *err)
{
	bool document =
		strcmp(last_component(r->path), r->path) == 0 && strstr(r->path, ".tar") == NULL;

	if (!is_image_name(r->path)) {
		/* A blob by another digest is part of a layout, too; nothing here can name it. */
		r->is_rootfs = strncmp(r->path, "blobs/", 6) != 0;
		return 0;
	}
	note_document(r);
	if (archive_entry_hardlink(ae) != NULL)
		return write_hardlink(r, ae, err);
	if (document && archive_entry_filetype(ae) == AE_IFREG &&
	    archive_entry_size(ae) > DOCUMENT_MAX)
		return cx_refuse(err, CX_INVALID, "a document of more than %d bytes", DOCUMENT_MAX);
	switch (archive_entry_filetype(ae)) {
	case AE_IFREG:
	case AE_IFLNK:
		archive_entry_xattr_clear(ae);
		archive_entry_set_uid(ae, 0); /* whose they were means nothing */
		archive_entry_set_gid(ae, 0);
		return write_node(r, ae, err);
	case AE_IFDIR:
		return 0;
	default:
		r->is_rootfs = true;
		return 0;
	}
}

/* ---- the loop
 * -------------------------------------------------------------------------------------- */

typedef int entry_fn(struct reading *r, struct archive_entry *ae, struct cx_err *err);

static la_ssize_t give_bytes(struct archive *a, void *arg, const void **buffer)
{
	struct reading *r = arg;
	ssize_t n = cx_stream_next(r->stream, buffer, &r->source);

	if (n < 0)
		archive_set_error(a, EIO, "%s", r->source.msg);
	r->any |= n > 0;
	r->drained = n == 0;
	return n < 0 ? -1 : n;
}

/* An archive of no bytes holds nothing, in Go's reader too; libarchive does not open it. */
static bool is_empty(const struct reading *r)
{
	return r->drained && !r->any;
}

static int open_archive(struct reading *r, struct cx_err *err)
{
	r->archive = archive_read_new();
	if (r->archive == NULL)
		return cx_fail(err, ENOMEM, "archive reader");
	if (archive_read_support_format_tar(r->archive) != ARCHIVE_OK ||
	    archive_read_set_option(r->archive, "tar", "mac-ext", NULL) != ARCHIVE_OK ||
	    (archive_read_open(r->archive, r, NULL, give_bytes, NULL) != ARCHIVE_OK &&
	     !is_empty(r)))
		return archive_failed(r, err);
	return 0;
}

static int one_entry(struct reading *r, struct archive_entry *ae, entry_fn *fn, struct cx_err *err)
{
	const char *name = archive_entry_pathname(ae);

	if (name == NULL)
		return cx_refuse(err, CX_INVALID, "entry %u has no name", r->report->entries);
	if (normalize(name, r->path, err) < 0 || fn(r, ae, err) < 0)
		return cx_wrap(err, "entry '%.200s'", name);
	return 0;
}

/*
 * Names are bytes, but libarchive wants those of pax headers in the locale's character set. With
 * the locale UTF-8 it would compose them (NFC) and say nothing; so the locale is C (cmd/image.c),
 * where it warns of each that is not ASCII and keeps its bytes. It must not find a converter for
 * that: glibc's leaves out tags (U+E0000 to U+E007F) and calls it a success. libarchive.so takes
 * this function for libc's, as it is the program's.
 */
iconv_t iconv_open(const char *to, const char *from)
{
	(void)to;
	(void)from;
	errno = EINVAL;
	return (iconv_t)-1; /* NOLINT(performance-no-int-to-ptr): as POSIX has it */
}

/* What a warning is that means no guess. */
static const struct {
	const char *text, *why;
} kept_bytes[] = {
	{ "Pathname can't be converted from UTF-8 to current locale.", "the name, as it came" },
	{ "Linkname can't be converted from UTF-8 to current locale.", "the target, as it came" },
	{ "Uname can't be converted from UTF-8 to current locale.", "owners count by number" },
	{ "Gname can't be converted from UTF-8 to current locale.", "groups count by number" },
};

/* Any other warning means that libarchive guessed, and two readings are one too many. */
static bool is_sure(const struct reading *r, int s)
{
	const char *text = s == ARCHIVE_WARN ? archive_error_string(r->archive) : NULL;

	for (size_t i = 0; text != NULL && i < CX_LEN(kept_bytes); i++)
		if (strcmp(text, kept_bytes[i].text) == 0)
			return true;
	return s == ARCHIVE_OK;
}

static int read_entries(struct reading *r, entry_fn *fn, struct cx_err *err)
{
	struct archive_entry *ae;
	int s = ARCHIVE_OK;

	while (!r->is_rootfs && !r->cut && !is_empty(r) &&
	       (s = archive_read_next_header(r->archive, &ae)) != ARCHIVE_EOF) {
		if (!is_sure(r, s))
			return archive_failed(r, err);
		if (++r->report->entries > r->limits->max_entries)
			return cx_refuse(err, CX_LIMIT, "more than %llu entries",
					 (unsigned long long)r->limits->max_entries);
		if (one_entry(r, ae, fn, err) < 0)
			return -err->errnum;
	}
	return 0;
}

/* Padding behind the archive counts for the digests, too. */
static int drain(struct reading *r, struct cx_err *err)
{
	const void *data;
	ssize_t n;

	do
		n = cx_stream_next(r->stream, &data, err);
	while (n > 0);
	return n < 0 ? (int)n : 0;
}

static int finish(struct reading *r, struct cx_err *err)
{
	struct cx_stream_sums sums;

	if (cx_entry_write_end(r->out, err) < 0)
		return -err->errnum;
	if (r->is_rootfs)
		return 0;
	if (drain(r, err) < 0 || cx_stream_sums(r->stream, &sums, err) < 0)
		return -err->errnum;
	memcpy(r->report->blob_id, sums.outer, sizeof sums.outer);
	memcpy(r->report->diff_id, sums.inner, sizeof sums.inner);
	r->report->blob_bytes = sums.outer_bytes;
	r->report->tar_bytes = sums.inner_bytes;
	return 0;
}

/* Of an outer archive nobody needs digests: its files have theirs. */
static unsigned wanted_sums(const struct cx_read_limits *limits, entry_fn *fn)
{
	if (fn == scan_entry)
		return 0;
	return CX_STREAM_INNER | (limits->blob_is_known ? 0U : CX_STREAM_OUTER);
}

static int run(int in, int out, const struct cx_read_limits *limits, entry_fn *fn,
	       struct reading *r, struct cx_err *err)
{
	cx_autofree struct cx_entry_writer *writer = malloc(sizeof *writer);
	CX_AUTO(cx_stream_freep) struct cx_stream *stream = NULL;
	CX_AUTO(archive_read_freep) struct archive *archive = NULL;
	int s;

	if (writer == NULL)
		return cx_fail(err, ENOMEM, "archive reader");
	if (cx_stream_open(in, limits->max_bytes, wanted_sums(limits, fn), &stream, err) < 0)
		return -err->errnum;
	cx_entry_writer_init(writer, out);
	r->stream = stream;
	r->out = writer;
	s = open_archive(r, err);
	archive = r->archive;
	if (s == 0 && fn == scan_entry &&
	    is_empty(r)) /* what fed the pipe has failed, most likely */
		return cx_refuse(err, CX_INVALID, "the archive is empty");
	if (s < 0 || read_entries(r, fn, err) < 0 || finish(r, err) < 0)
		return -err->errnum;
	return 0;
}

static enum cx_report_kind kind_of(const struct reading *r, bool scan)
{
	bool layout = r->saw_layout && r->saw_index;

	if (!scan)
		return layout ? CX_REPORT_IMAGE : CX_REPORT_LAYER;
	return !r->is_rootfs && (layout || r->saw_manifest) ? CX_REPORT_IMAGE : CX_REPORT_ROOTFS;
}

static int read_with(int in, int out, const struct cx_read_limits *limits, entry_fn *fn,
		     struct cx_report *report)
{
	cx_autofree struct reading *r = calloc(1, sizeof *r);
	int s;

	*report = (struct cx_report){ .kind = CX_REPORT_LAYER };
	if (r == NULL)
		return cx_fail(&report->err, ENOMEM, "archive reader");
	r->limits = limits;
	r->report = report;
	s = run(in, out, limits, fn, r, &report->err);
	report->kind = kind_of(r, fn == scan_entry);
	report->ok = s == 0;
	return s;
}

int cx_read_layer(int in, int out, const struct cx_read_limits *limits, struct cx_report *report)
{
	return read_with(in, out, limits, layer_entry, report);
}

int cx_read_scan(int in, int out, const struct cx_read_limits *limits, struct cx_report *report)
{
	return read_with(in, out, limits, scan_entry, report);
}
