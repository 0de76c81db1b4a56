/* SPDX-License-Identifier: Apache-2.0 */
#include "image/entries.h"

#include <string.h>
#include <sys/stat.h>

#include "base/fd.h"

enum {
	HEADER = 5,
	COMPONENT_MAX = 255,
	CONTENTLESS = CX_ENTRY_HARDLINK | CX_ENTRY_WHITEOUT | CX_ENTRY_BARRED,
};

/* ---- rules, the same for both sides --------------------------------------------------------- */

static int check_component(const char *p, size_t len, struct cx_err *err)
{
	if (len == 0)
		return cx_refuse(err, CX_INVALID, "an empty path component");
	if (len > COMPONENT_MAX)
		return cx_refuse(err, CX_INVALID, "a path component of %zu bytes (at most %d)", len,
				 COMPONENT_MAX);
	if ((len == 1 && p[0] == '.') || (len == 2 && p[0] == '.' && p[1] == '.'))
		return cx_refuse(err, CX_INVALID, "a path with '%.*s'", (int)len, p);
	return 0;
}

int cx_entry_check_path(struct cx_bytes path, bool root_too, struct cx_err *err)
{
	size_t start = 0;

	if (path.len == 0 && root_too)
		return 0;
	if (path.len > CX_ENTRY_PATH_MAX)
		return cx_refuse(err, CX_INVALID, "a path of %zu bytes (at most %d)", path.len,
				 CX_ENTRY_PATH_MAX);
	if (path.len > 0 && memchr(path.p, '\0', path.len) != NULL)
		return cx_refuse(err, CX_INVALID, "a path with a NUL byte");
	for (size_t i = 0; i <= path.len; i++) {
		if (i < path.len && path.p[i] != '/')
			continue;
		if (check_component(path.p + start, i - start, err) < 0)
			return -err->errnum;
		start = i + 1;
	}
	return 0;
}

static int check_type(const struct cx_entry *e, struct cx_err *err)
{
	bool link = S_ISLNK(e->mode), hard = (e->flags & CX_ENTRY_HARDLINK) != 0;

	if ((e->flags & ~(unsigned)CX_ENTRY_FLAGS) != 0 ||
	    (e->mode & ~(unsigned)(S_IFMT | 07777)) != 0)
		return cx_refuse(err, CX_INVALID, "unknown flags");
	if (!S_ISREG(e->mode) && !S_ISDIR(e->mode) && !link && !S_ISFIFO(e->mode))
		return cx_refuse(err, CX_INVALID, "type %#o", e->mode & S_IFMT);
	if ((e->flags & CONTENTLESS) != 0 && (!S_ISREG(e->mode) || e->size != 0 || e->nxattrs != 0))
		return cx_refuse(err, CX_INVALID, "a link or whiteout with content");
	if ((e->flags & CX_ENTRY_OPAQUE) != 0 && !S_ISDIR(e->mode))
		return cx_refuse(err, CX_INVALID, "opaque, but not a directory");
	if (!S_ISREG(e->mode) && e->size != 0)
		return cx_refuse(err, CX_INVALID, "a size without a file");
	if (link != (e->target.len > 0 && !hard))
		return cx_refuse(err, CX_INVALID,
				 "a link without a target, or the other way round");
	if (hard)
		return cx_entry_check_path(e->target, false, err);
	if (e->target.len > CX_ENTRY_PATH_MAX ||
	    (link && memchr(e->target.p, '\0', e->target.len) != NULL))
		return cx_refuse(err, CX_INVALID, "a link's target of %zu bytes", e->target.len);
	return 0;
}

static int check_xattrs(const struct cx_entry *e, struct cx_err *err)
{
	size_t bytes = 0;

	if (e->nxattrs > CX_ENTRY_XATTRS_MAX)
		return cx_refuse(err, CX_INVALID, "%u extended attributes", e->nxattrs);
	for (unsigned i = 0; i < e->nxattrs; i++) {
		const struct cx_entry_xattr *x = &e->xattrs[i];

		if (x->name.len == 0 || x->name.len > 250 || x->value.len > UINT16_MAX ||
		    memchr(x->name.p, '\0', x->name.len) != NULL)
			return cx_refuse(err, CX_INVALID, "an extended attribute's name");
		bytes += x->name.len + x->value.len;
	}
	if (bytes > CX_ENTRY_XATTR_BYTES_MAX)
		return cx_refuse(err, CX_INVALID, "%zu bytes of extended attributes", bytes);
	return 0;
}

static int check_entry(const struct cx_entry *e, struct cx_err *err)
{
	if (cx_entry_check_path(e->path, S_ISDIR(e->mode), err) < 0 || check_type(e, err) < 0 ||
	    check_xattrs(e, err) < 0)
		return -err->errnum;
	if (e->uid > CX_ENTRY_ID_MAX || e->gid > CX_ENTRY_ID_MAX)
		return cx_refuse(err, CX_INVALID, "owner %u:%u is not below %d", e->uid, e->gid,
				 CX_ENTRY_ID_MAX + 1);
	if (e->size > INT64_MAX || e->mtime_nsec > 999999999)
		return cx_refuse(err, CX_INVALID, "size or time");
	return 0;
}

static int named(const struct cx_entry *e, struct cx_err *err)
{
	return cx_wrap(err, "entry '%.*s'", (int)(e->path.len < 200 ? e->path.len : 200),
		       e->path.p);
}

/* ---- writing -------------------------------------------------------------------------------- */

void cx_entry_writer_init(struct cx_entry_writer *w, int fd)
{
	w->fd = fd;
	w->count = 0;
	w->len = 0;
}

static int flush(struct cx_entry_writer *w, struct cx_err *err)
{
	size_t len = w->len;

	w->len = 0;
	return cx_write_all(w->fd, w->buf, len, err);
}

static void put(struct cx_entry_writer *w, uint64_t value, unsigned bytes)
{
	for (unsigned i = 0; i < bytes; i++)
		w->buf[w->len++] = (uint8_t)(value >> (8 * i));
}

static void put_bytes(struct cx_entry_writer *w, struct cx_bytes bytes, unsigned length_bytes)
{
	put(w, bytes.len, length_bytes);
	if (bytes.len > 0)
		memcpy(w->buf + w->len, bytes.p, bytes.len);
	w->len += bytes.len;
}

/* Begins a record of at most CX_ENTRY_RECORD_MAX bytes; end_record() puts its length. */
static int begin_record(struct cx_entry_writer *w, char type, size_t *ret_at, struct cx_err *err)
{
	if (w->len + HEADER + CX_ENTRY_RECORD_MAX + 16 > sizeof w->buf && flush(w, err) < 0)
		return -err->errnum;
	*ret_at = w->len;
	put(w, (uint8_t)type, 1);
	put(w, 0, 4);
	return 0;
}

static void end_record(struct cx_entry_writer *w, size_t at)
{
	size_t end = w->len, len = end - at - HEADER;

	w->len = at + 1;
	put(w, len, 4);
	w->len = end;
}

int cx_entry_write(struct cx_entry_writer *w, const struct cx_entry *e, struct cx_err *err)
{
	size_t at;

	if (check_entry(e, err) < 0 || begin_record(w, 'E', &at, err) < 0)
		return -err->errnum;
	put(w, e->mode, 2);
	put(w, e->flags, 2);
	put(w, e->uid, 4);
	put(w, e->gid, 4);
	put(w, e->size, 8);
	put(w, (uint64_t)e->mtime, 8);
	put(w, e->mtime_nsec, 4);
	put_bytes(w, e->path, 2);
	put_bytes(w, e->target, 2);
	put(w, e->nxattrs, 2);
	for (unsigned i = 0; i < e->nxattrs; i++) {
		put_bytes(w, e->xattrs[i].name, 1);
		put_bytes(w, e->xattrs[i].value, 2);
	}
	end_record(w, at);
	w->count++;
	return 0;
}

int cx_entry_write_data(struct cx_entry_writer *w, uint64_t offset, const void *data, size_t len,
			struct cx_err *err)
{
	const char *p = data;

	while (len > 0) {
		size_t n = len < CX_ENTRY_DATA_MAX - 8 ? len : CX_ENTRY_DATA_MAX - 8, at;

		if (begin_record(w, 'D', &at, err) < 0)
			return -err->errnum;
		put(w, offset, 8);
		memcpy(w->buf + w->len, p, n);
		w->len += n;
		end_record(w, at);
		offset += n;
		p += n;
		len -= n;
	}
	return 0;
}

int cx_entry_write_end(struct cx_entry_writer *w, struct cx_err *err)
{
	size_t at;

	if (begin_record(w, 'Z', &at, err) < 0)
		return -err->errnum;
	put(w, w->count, 4);
	end_record(w, at);
	return flush(w, err);
}

/* ---- reading -------------------------------------------------------------------------------- */

struct view {
	const uint8_t *p;
	size_t left;
	bool bad;
};

static uint64_t get(struct view *v, unsigned bytes)
{
	uint64_t value = 0;

	if (v->bad || v->left < bytes) {
		v->bad = true;
		return 0;
	}
	for (unsigned i = 0; i < bytes; i++)
		value |= (uint64_t)v->p[i] << (8 * i);
	v->p += bytes;
	v->left -= bytes;
	return value;
}

static struct cx_bytes get_bytes(struct view *v, unsigned length_bytes)
{
	size_t len = (size_t)get(v, length_bytes);
	struct cx_bytes bytes = { (const char *)v->p, len };

	if (v->bad || len > v->left) {
		v->bad = true;
		return (struct cx_bytes){ "", 0 };
	}
	v->p += len;
	v->left -= len;
	return bytes;
}

static int decode_entry(struct cx_entry_decoder *d, struct view *v, struct cx_err *err)
{
	struct cx_entry e;

	e.mode = (uint32_t)get(v, 2);
	e.flags = (uint32_t)get(v, 2);
	e.uid = (uint32_t)get(v, 4);
	e.gid = (uint32_t)get(v, 4);
	e.size = get(v, 8);
	e.mtime = (int64_t)get(v, 8);
	e.mtime_nsec = (uint32_t)get(v, 4);
	e.path = get_bytes(v, 2);
	e.target = get_bytes(v, 2);
	e.nxattrs = (unsigned)get(v, 2);
	if (e.nxattrs > CX_ENTRY_XATTRS_MAX)
		v->bad = true;
	for (unsigned i = 0; i < e.nxattrs && !v->bad; i++) {
		e.xattrs[i].name = get_bytes(v, 1);
		e.xattrs[i].value = get_bytes(v, 2);
	}
	if (v->bad || v->left > 0)
		return cx_refuse(err, CX_INVALID, "malformed entry %u", d->count);
	if (d->count >= d->max_entries)
		return cx_refuse(err, CX_LIMIT, "more than %llu entries",
				 (unsigned long long)d->max_entries);
	if (check_entry(&e, err) < 0)
		return named(&e, err);
	d->count++;
	d->in_file = S_ISREG(e.mode) && (e.flags & CONTENTLESS) == 0;
	d->file_size = e.size;
	d->file_at = 0;
	return d->sink->entry(d->sink->arg, &e, err);
}

static int decode_data(struct cx_entry_decoder *d, struct view *v, struct cx_err *err)
{
	uint64_t offset = get(v, 8);

	if (v->bad || v->left == 0)
		return cx_refuse(err, CX_INVALID, "malformed data");
	if (!d->in_file || offset < d->file_at || offset > d->file_size ||
	    v->left > d->file_size - offset)
		return cx_refuse(err, CX_INVALID, "data outside of its file");
	d->file_at = offset + v->left;
	return d->sink->data(d->sink->arg, offset, v->p, v->left, err);
}

static int decode_end(struct cx_entry_decoder *d, struct view *v, struct cx_err *err)
{
	uint64_t count = get(v, 4);

	if (v->bad || v->left > 0 || count != d->count)
		return cx_refuse(err, CX_INVALID, "malformed end of entries");
	d->ended = true;
	return d->sink->end(d->sink->arg, err);
}

static int decode_record(struct cx_entry_decoder *d, const uint8_t *record, size_t len,
			 struct cx_err *err)
{
	struct view v = { .p = record + HEADER, .left = len - HEADER };

	if (d->ended)
		return cx_refuse(err, CX_INVALID, "bytes behind the end of entries");
	switch (record[0]) {
	case 'E':
		return decode_entry(d, &v, err);
	case 'D':
		return decode_data(d, &v, err);
	case 'Z':
		return decode_end(d, &v, err);
	default:
		return cx_refuse(err, CX_INVALID, "unknown record %#x", record[0]);
	}
}

void cx_entry_decoder_init(struct cx_entry_decoder *d, const struct cx_entry_sink *sink,
			   uint64_t max_entries)
{
	d->sink = sink;
	d->max_entries = max_entries;
	d->file_size = d->file_at = 0;
	d->in_file = d->ended = false;
	d->count = 0;
	d->len = 0;
}

/* The size of the record at p as far as it is known: its header's, then the whole. */
static int record_size(const uint8_t *p, size_t have, size_t *ret, struct cx_err *err)
{
	struct view v = { .p = p + 1, .left = 4 };
	uint64_t len;

	*ret = HEADER;
	if (have < HEADER)
		return 0;
	len = get(&v, 4);
	if (len > CX_ENTRY_RECORD_MAX)
		return cx_refuse(err, CX_INVALID, "a record of %llu bytes",
				 (unsigned long long)len);
	*ret = HEADER + (size_t)len;
	return 0;
}

int cx_entry_decode(struct cx_entry_decoder *d, const void *data, size_t len, struct cx_err *err)
{
	const uint8_t *p = data;
	size_t size;

	while (len > 0 || d->len > 0) {
		/* A whole record in the input is decoded where it lies. */
		const uint8_t *at = d->len > 0 ? d->buf : p;
		size_t have = d->len > 0 ? d->len : len;

		if (record_size(at, have, &size, err) < 0)
			return -err->errnum;
		if (have < size) {
			size_t take = size - d->len < len ? size - d->len : len;

			if (take == 0)
				return 0;
			memcpy(d->buf + d->len, p, take);
			d->len += take;
			p += take;
			len -= take;
			continue;
		}
		if (decode_record(d, at, size, err) < 0)
			return -err->errnum;
		if (d->len > 0) {
			d->len = 0;
		} else {
			p += size;
			len -= size;
		}
	}
	return 0;
}

int cx_entry_decode_finish(const struct cx_entry_decoder *d, struct cx_err *err)
{
	if (d->len > 0 || !d->ended)
		return cx_refuse(err, CX_INVALID, "the stream of entries ends in the middle");
	return 0;
}
