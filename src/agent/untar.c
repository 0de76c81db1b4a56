/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/untar.h"

#include <errno.h>
#include <string.h>

#include "base/str.h"

enum { BLOCK = 512, PAX_MAX = 64 << 10 };

/* As in pax(1), "ustar Interchange Format". */
struct header {
	char name[100], mode[8], uid[8], gid[8], size[12], mtime[12], sum[8], type, target[100];
	char magic[6], version[2], owner[32], group[32], major[8], minor[8], prefix[155], fill[12];
};
static_assert(sizeof(struct header) == BLOCK, "one block");

static int refuse(struct cx_err *err, const char *why)
{
	return cx_refuse(err, CX_INVALID, "this is no tar archive that can be unpacked: %s", why);
}

/* ---- fields ---------------------------------------------------------------------------------- */

/* Octal digits up to a space or NUL; or, for what they have no room for, binary behind a set bit.
 */
static bool read_number(const char *field, size_t len, uint64_t *ret)
{
	const unsigned char *p = (const unsigned char *)field, *end = p + len;
	uint64_t n = 0;

	if (*p == 0x80) {
		for (p++; p < end; p++) {
			if (n >> 55 != 0)
				return false;
			n = n << 8 | *p;
		}
		*ret = n;
		return true;
	}
	while (p < end && *p == ' ')
		p++;
	for (; p < end && *p >= '0' && *p <= '7'; p++)
		n = n << 3 | (uint64_t)(*p - '0'); /* 12 digits at most */
	*ret = n;
	return p == end || *p == ' ' || *p == '\0';
}

/* A sum of all bytes, those of the sum itself counted as spaces. */
static bool sum_is_right(const struct header *h)
{
	const unsigned char *bytes = (const unsigned char *)h;
	uint64_t said, sum = 0;

	for (size_t i = 0; i < BLOCK; i++)
		sum += bytes[i];
	for (size_t i = 0; i < sizeof h->sum; i++)
		sum += ' ' - (uint64_t)(unsigned char)h->sum[i];
	return read_number(h->sum, sizeof h->sum, &said) && said == sum;
}

/* Text that may fill its field, or two of them with '/' between. */
static void read_text(const char *prefix, size_t prefix_len, const char *field, size_t len,
		      char ret[PATH_MAX])
{
	size_t n = strnlen(prefix, prefix_len);

	memcpy(ret, prefix, n);
	if (n > 0)
		ret[n++] = '/';
	len = strnlen(field, len);
	memcpy(ret + n, field, len);
	ret[n + len] = '\0';
}

/* Drops what makes no difference: '/' in front, which would not be below, and "." components. */
static bool clean_path(char *path)
{
	char *to = path;

	for (const char *p = path; *p != '\0';) {
		size_t len = strcspn(p, "/");

		if (len == 2 && p[0] == '.' && p[1] == '.')
			return false;
		if (len > 0 && !(len == 1 && p[0] == '.')) {
			if (to != path)
				*to++ = '/';
			memmove(to, p, len);
			to += len;
		}
		p += len;
		p += *p == '/';
	}
	*to = '\0';
	return true;
}

/* ---- what stands in front of an entry -------------------------------------------------------- */

static int read_bytes(struct cx_untar *u, void *to, size_t len, struct cx_err *err)
{
	ssize_t n = cx_content_read(u->content, to, len, err);

	if (n >= 0 && (size_t)n < len)
		return refuse(err, "it ends too early");
	return n < 0 ? (int)n : 0;
}

static int skip(struct cx_untar *u, struct cx_err *err)
{
	char block[BLOCK];

	while (u->left > 0) {
		size_t n = u->left < sizeof block ? (size_t)u->left : sizeof block;

		if (read_bytes(u, block, n, err) < 0)
			return -err->errnum;
		u->left -= n;
	}
	return 0;
}

static int set_size(struct cx_untar *u, uint64_t size, struct cx_err *err)
{
	if (size > INT64_MAX - BLOCK)
		return refuse(err, "a file of an impossible size");
	u->left = (size + BLOCK - 1) / BLOCK * BLOCK;
	return 0;
}

/* All of a small entry's content, with NUL behind it; 0 .. max - 1 bytes. */
static int read_small(struct cx_untar *u, uint64_t size, char *to, size_t max, struct cx_err *err)
{
	if (size >= max)
		return refuse(err, "a name or its attributes are too long");
	if (set_size(u, size, err) < 0 || read_bytes(u, to, (size_t)size, err) < 0)
		return -err->errnum;
	to[size] = '\0';
	u->left -= size;
	return skip(u, err);
}

static bool parse_decimal(const char *text, uint64_t *ret)
{
	struct cx_err ignored;

	return cx_parse_u64(text, 0, INT64_MAX, "number", ret, &ignored) == 0;
}

static bool copy_text(const char *value, char ret[PATH_MAX])
{
	size_t len = strlen(value);

	if (len >= PATH_MAX)
		return false;
	memcpy(ret, value, len + 1);
	return true;
}

/* Those that change what is made; the others (times, comments, attributes) are for who wants them.
 */
static bool take_attribute(struct cx_untar *u, const char *key, const char *value)
{
	if (strcmp(key, "path") == 0)
		return u->extended.has_path = copy_text(value, u->extended.path);
	if (strcmp(key, "linkpath") == 0)
		return u->extended.has_target = copy_text(value, u->extended.target);
	if (strcmp(key, "size") == 0)
		return u->extended.has_size = parse_decimal(value, &u->extended.size);
	if (strcmp(key, "uid") == 0)
		return u->extended.has_uid = parse_decimal(value, &u->extended.uid);
	if (strcmp(key, "gid") == 0)
		return u->extended.has_gid = parse_decimal(value, &u->extended.gid);
	return strncmp(key, "GNU.sparse.", 11) != 0;
}

/* "LENGTH KEY=VALUE\n", one behind the other; the length counts itself and all of it. */
static int take_attributes(struct cx_untar *u, char *p, size_t left, struct cx_err *err)
{
	while (left > 0) {
		char *key = memchr(p, ' ', left), *value;
		uint64_t len;

		if (key == NULL)
			return refuse(err, "its attributes are unclear");
		*key++ = '\0';
		if (!parse_decimal(p, &len) || len > left || p + len <= key || p[len - 1] != '\n')
			return refuse(err, "its attributes are unclear");
		p[len - 1] = '\0';
		value = strchr(key, '=');
		if (value == NULL || strlen(key) != (size_t)(p + len - 1 - key))
			return refuse(err, "its attributes are unclear");
		*value++ = '\0';
		if (!take_attribute(u, key, value))
			return refuse(err, "an attribute that cannot be kept");
		p += len;
		left -= len;
	}
	return 0;
}

static int take_extended(struct cx_untar *u, uint64_t size, struct cx_err *err)
{
	static char text[PAX_MAX + 1];

	if (read_small(u, size, text, sizeof text, err) < 0)
		return -err->errnum;
	return take_attributes(u, text, (size_t)size, err);
}

/* What says something of the next entry. 1: it was such, 0: it is an entry itself. */
static int take_front(struct cx_untar *u, char type, uint64_t size, struct cx_err *err)
{
	int r;

	switch (type) {
	case 'x':
		r = take_extended(u, size, err);
		break;
	case 'L':
		r = read_small(u, size, u->extended.path, PATH_MAX, err);
		u->extended.has_path = true;
		break;
	case 'K':
		r = read_small(u, size, u->extended.target, PATH_MAX, err);
		u->extended.has_target = true;
		break;
	case 'g': /* of all that follow: git's commit, a comment */
		r = set_size(u, size, err) < 0 ? -err->errnum : skip(u, err);
		break;
	default:
		return 0;
	}
	return r < 0 ? r : 1;
}

/* ---- an entry -------------------------------------------------------------------------------- */

static bool kind_of(char type, enum cx_untar_kind *ret)
{
	static const struct {
		char type;
		enum cx_untar_kind kind;
	} kinds[] = {
		{ '0', CX_UNTAR_REGULAR }, { '\0', CX_UNTAR_REGULAR },
		{ '7', CX_UNTAR_REGULAR }, { '1', CX_UNTAR_HARD_LINK },
		{ '2', CX_UNTAR_LINK },	   { '5', CX_UNTAR_DIRECTORY },
		{ '3', CX_UNTAR_OTHER },   { '4', CX_UNTAR_OTHER },
		{ '6', CX_UNTAR_OTHER },
	};

	for (size_t i = 0; i < CX_LEN(kinds); i++) {
		if (kinds[i].type == type) {
			*ret = kinds[i].kind;
			return true;
		}
	}
	return false;
}

static void take_paths(struct cx_untar *u, const struct header *h, struct cx_untar_entry *ret)
{
	bool ustar = memcmp(h->magic, "ustar", 6) == 0;

	if (u->extended.has_path)
		memcpy(ret->path, u->extended.path, PATH_MAX);
	else
		read_text(h->prefix, ustar ? sizeof h->prefix : 0, h->name, sizeof h->name,
			  ret->path);
	if (u->extended.has_target)
		memcpy(ret->target, u->extended.target, PATH_MAX);
	else
		read_text("", 0, h->target, sizeof h->target, ret->target);
}

static int take_entry(struct cx_untar *u, const struct header *h, uint64_t size,
		      struct cx_untar_entry *ret, struct cx_err *err)
{
	uint64_t mode, seconds;
	size_t len;

	take_paths(u, h, ret);
	len = strlen(ret->path);
	if (!kind_of(h->type, &ret->kind))
		return refuse(err, "an entry of an unknown kind");
	/* Before there was a letter for them, directories ended so. */
	if (ret->kind == CX_UNTAR_REGULAR && len > 0 && ret->path[len - 1] == '/')
		ret->kind = CX_UNTAR_DIRECTORY;
	if (!clean_path(ret->path) || (ret->kind == CX_UNTAR_HARD_LINK && !clean_path(ret->target)))
		return refuse(err, "a path in it leads out");
	if (!read_number(h->mode, sizeof h->mode, &mode) ||
	    !read_number(h->uid, sizeof h->uid, &ret->uid) ||
	    !read_number(h->gid, sizeof h->gid, &ret->gid) ||
	    !read_number(h->mtime, sizeof h->mtime, &seconds))
		return refuse(err, "a number in it is none");
	ret->mode = mode & 07777;
	ret->mtime = (struct timespec){ .tv_sec = (time_t)(seconds & INT64_MAX) };
	ret->uid = u->extended.has_uid ? u->extended.uid : ret->uid;
	ret->gid = u->extended.has_gid ? u->extended.gid : ret->gid;
	/* Some writers give links the size of what they mean; nothing of that comes. */
	ret->size = ret->kind == CX_UNTAR_REGULAR ? size : 0;
	memset(&u->extended, 0, sizeof u->extended);
	return set_size(u, ret->size, err);
}

/* A block of nothing but zeros ends it; the rest fills up what tapes were written in. */
static int read_to_end(struct cx_untar *u, struct cx_err *err)
{
	char block[8 * BLOCK];
	ssize_t n;

	do
		n = cx_content_read(u->content, block, sizeof block, err);
	while (n > 0);
	return (int)n;
}

int cx_untar_next(struct cx_untar *u, struct cx_untar_entry *ret, struct cx_err *err)
{
	static const struct header none;
	struct header h;
	int r;

	for (;;) {
		uint64_t size;

		if (skip(u, err) < 0 || read_bytes(u, &h, sizeof h, err) < 0)
			return -err->errnum;
		if (memcmp(&h, &none, sizeof h) == 0)
			return read_to_end(u, err);
		if (!sum_is_right(&h) || !read_number(h.size, sizeof h.size, &size))
			return refuse(err, "the sum of a header is wrong");
		r = take_front(u, h.type, size, err);
		if (r < 0)
			return r;
		if (r == 0) {
			size = u->extended.has_size ? u->extended.size : size;
			r = take_entry(u, &h, size, ret, err);
			return r < 0 ? r : 1;
		}
	}
}

int cx_untar_save(struct cx_untar *u, const struct cx_untar_entry *entry, int fd,
		  struct cx_err *err)
{
	int64_t n = cx_content_save(u->content, fd, entry->path, entry->size, err);

	if (n < 0)
		return (int)n;
	u->left -= (uint64_t)n;
	return (uint64_t)n < entry->size ? refuse(err, "it ends too early") : 0;
}
