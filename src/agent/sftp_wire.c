/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/sftp_wire.h"

/* ---- reading --------------------------------------------------------------------------------- */

static bool get_number(struct cx_reader *r, unsigned bytes, uint64_t *ret)
{
	if (r->left < bytes)
		return false;
	*ret = 0;
	for (unsigned i = 0; i < bytes; i++)
		*ret = *ret << 8 | r->p[i];
	r->p += bytes;
	r->left -= bytes;
	return true;
}

static bool get_u32(struct cx_reader *r, uint32_t *ret)
{
	uint64_t n;

	if (!get_number(r, 4, &n))
		return false;
	*ret = (uint32_t)n;
	return true;
}

static bool get_text(struct cx_reader *r, struct cx_str *ret)
{
	uint32_t len;

	if (!get_u32(r, &len) || len > r->left)
		return false;
	*ret = (struct cx_str){ .p = (const char *)r->p, .len = len };
	r->p += len;
	r->left -= len;
	return true;
}

static bool get_path(struct cx_reader *r, char ret[PATH_MAX])
{
	struct cx_str text;

	return get_text(r, &text) && (text.len == 0 || memchr(text.p, '\0', text.len) == NULL) &&
	       cx_str_copy(text, ret, PATH_MAX);
}

static bool get_attrs(struct cx_reader *r, struct cx_sftp_attrs *ret)
{
	return get_u32(r, &ret->has) &&
	       ((ret->has & CX_SFTP_SIZE) == 0 || get_number(r, 8, &ret->size)) &&
	       ((ret->has & CX_SFTP_UIDGID) == 0 ||
		(get_u32(r, &ret->uid) && get_u32(r, &ret->gid))) &&
	       ((ret->has & CX_SFTP_MODE) == 0 || get_u32(r, &ret->mode)) &&
	       ((ret->has & CX_SFTP_TIMES) == 0 ||
		(get_u32(r, &ret->atime) && get_u32(r, &ret->mtime)));
}

/*
 * What each type has behind its id: p and q paths, h handle, u flags, a attributes, o offset,
 * l length, d data.
 */
static const char *const layouts[] = {
	[CX_SFTP_INIT] = "",	       [CX_SFTP_OPEN] = "pua",	  [CX_SFTP_CLOSE] = "h",
	[CX_SFTP_READ] = "hol",	       [CX_SFTP_WRITE] = "hod",	  [CX_SFTP_LSTAT] = "p",
	[CX_SFTP_FSTAT] = "h",	       [CX_SFTP_SETSTAT] = "pa",  [CX_SFTP_FSETSTAT] = "ha",
	[CX_SFTP_OPENDIR] = "p",       [CX_SFTP_READDIR] = "h",	  [CX_SFTP_REMOVE] = "p",
	[CX_SFTP_MKDIR] = "pa",	       [CX_SFTP_RMDIR] = "p",	  [CX_SFTP_REALPATH] = "p",
	[CX_SFTP_STAT] = "p",	       [CX_SFTP_RENAME] = "pq",	  [CX_SFTP_READLINK] = "p",
	[CX_SFTP_SYMLINK] = "pq", /* the target first, as OpenSSH has it */
	[CX_SFTP_POSIX_RENAME] = "pq", [CX_SFTP_HARDLINK] = "pq", [CX_SFTP_FSYNC] = "h",
	[CX_SFTP_UNKNOWN] = "",
};

static const struct {
	const char *name;
	unsigned type;
} extensions[] = {
	{ "posix-rename@openssh.com", CX_SFTP_POSIX_RENAME },
	{ "hardlink@openssh.com", CX_SFTP_HARDLINK },
	{ "fsync@openssh.com", CX_SFTP_FSYNC },
};

static bool get_extension(struct cx_reader *r, unsigned *ret)
{
	struct cx_str name;

	if (!get_text(r, &name))
		return false;
	*ret = CX_SFTP_UNKNOWN;
	for (size_t i = 0; i < CX_LEN(extensions); i++)
		if (cx_str_equal(name, extensions[i].name))
			*ret = extensions[i].type;
	return true;
}

static bool get_part(struct cx_reader *r, char part, struct cx_sftp_request *q)
{
	switch (part) {
	case 'p':
		return get_path(r, q->path);
	case 'q':
		return get_path(r, q->path2);
	case 'h':
		return get_text(r, &q->handle);
	case 'u':
		return get_u32(r, &q->flags);
	case 'a':
		return get_attrs(r, &q->attrs);
	case 'o':
		return get_number(r, 8, &q->offset);
	case 'l':
		return get_u32(r, &q->length);
	default:
		return get_text(r, &q->data);
	}
}

bool cx_sftp_parse(const uint8_t *bytes, size_t len, struct cx_sftp_request *ret)
{
	struct cx_reader r = { .p = bytes, .left = len };
	uint64_t type;

	ret->id = 0;
	ret->path[0] = ret->path2[0] = '\0';
	ret->handle = ret->data = (struct cx_str){ 0 };
	ret->flags = ret->length = 0;
	ret->offset = 0;
	ret->attrs = (struct cx_sftp_attrs){ 0 };
	if (!get_number(&r, 1, &type) || !get_u32(&r, &ret->id))
		return false;
	ret->type = (unsigned)type;
	if (ret->type == CX_SFTP_EXTENDED) {
		if (!get_extension(&r, &ret->type))
			return false;
	} else if (ret->type > CX_SFTP_SYMLINK || layouts[ret->type] == NULL) {
		ret->type = CX_SFTP_UNKNOWN;
	}
	for (const char *part = layouts[ret->type]; *part != '\0'; part++)
		if (!get_part(&r, *part, ret))
			return false;
	return true;
}

/* ---- writing --------------------------------------------------------------------------------- */

static int put_number(struct cx_buf *out, unsigned bytes, uint64_t n, struct cx_err *err)
{
	uint8_t be[8];

	for (unsigned i = 0; i < bytes; i++)
		be[i] = (uint8_t)(n >> (8 * (bytes - 1 - i)));
	return cx_buf_add(out, be, bytes, err);
}

int cx_sftp_put_u32(struct cx_buf *out, uint32_t n, struct cx_err *err)
{
	return put_number(out, 4, n, err);
}

int cx_sftp_put_text(struct cx_buf *out, const char *p, size_t len, struct cx_err *err)
{
	return cx_sftp_put_u32(out, (uint32_t)len, err) < 0 ? -err->errnum
							    : cx_buf_add(out, p, len, err);
}

/* Times of this version have 32 bits. */
static uint32_t seconds(time_t t)
{
	return t < 0 ? 0 : (uint64_t)t > UINT32_MAX ? UINT32_MAX : (uint32_t)t;
}

int cx_sftp_put_stat(struct cx_buf *out, const struct stat *st, struct cx_err *err)
{
	if (cx_sftp_put_u32(out, CX_SFTP_SIZE | CX_SFTP_UIDGID | CX_SFTP_MODE | CX_SFTP_TIMES,
			    err) < 0 ||
	    put_number(out, 8, (uint64_t)st->st_size, err) < 0 ||
	    cx_sftp_put_u32(out, st->st_uid, err) < 0 ||
	    cx_sftp_put_u32(out, st->st_gid, err) < 0 ||
	    cx_sftp_put_u32(out, st->st_mode, err) < 0 ||
	    cx_sftp_put_u32(out, seconds(st->st_atime), err) < 0)
		return -err->errnum;
	return cx_sftp_put_u32(out, seconds(st->st_mtime), err);
}

static int put_extensions(struct cx_buf *out, struct cx_err *err)
{
	for (size_t i = 0; i < CX_LEN(extensions); i++)
		if (cx_sftp_put_text(out, extensions[i].name, strlen(extensions[i].name), err) <
			    0 ||
		    cx_sftp_put_text(out, "1", 1, err) < 0)
			return -err->errnum;
	return 0;
}

int cx_sftp_begin(struct cx_buf *out, enum cx_sftp_type type, uint32_t id, struct cx_err *err)
{
	out->len = 0;
	if (cx_sftp_put_u32(out, 0, err) < 0 || put_number(out, 1, type, err) < 0 ||
	    cx_sftp_put_u32(out, id, err) < 0)
		return -err->errnum;
	return type == CX_SFTP_VERSION ? put_extensions(out, err) : 0;
}

void cx_sftp_finish(struct cx_buf *out)
{
	uint32_t len = (uint32_t)(out->len - 4);

	for (unsigned i = 0; i < 4; i++)
		out->p[i] = (char)(len >> (8 * (3 - i)));
}
