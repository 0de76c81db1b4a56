/* SPDX-License-Identifier: Apache-2.0 */
#include "ssh/hostkey.h"

#include <string.h>

#include "base/base64.h"
#include "base/buf.h"

/*
 * libssh takes an Ed25519 key only as text in OpenSSH's own format (its PROTOCOL.key), so that is
 * what is made here: no cipher, no comment.
 */
enum { SEED = 32, PUBLIC = 32, BLOCK = 8, FILE_MAX = 1024 };

static int add_number(struct cx_buf *to, uint32_t n, struct cx_err *err)
{
	const uint8_t be[4] = { (uint8_t)(n >> 24), (uint8_t)(n >> 16), (uint8_t)(n >> 8),
				(uint8_t)n };

	return cx_buf_add(to, be, sizeof be, err);
}

static int add_string(struct cx_buf *to, const void *p, size_t len, struct cx_err *err)
{
	return add_number(to, (uint32_t)len, err) < 0 ? -err->errnum : cx_buf_add(to, p, len, err);
}

static int add_public(struct cx_buf *to, const char *raw, struct cx_err *err)
{
	static const char type[] = "ssh-ed25519";

	return add_string(to, type, sizeof type - 1, err) < 0
		       ? -err->errnum
		       : add_string(to, raw + SEED, PUBLIC, err);
}

/* What a cipher would cover: two equal numbers, the key, a comment, and 1, 2, 3... to fill up. */
static int add_private(struct cx_buf *to, const char *raw, struct cx_err *err)
{
	CX_AUTO(cx_buf_wipe) struct cx_buf part = { .max = FILE_MAX };
	uint8_t fill = 0;

	if (add_number(&part, 0, err) < 0 || add_number(&part, 0, err) < 0 ||
	    add_public(&part, raw, err) < 0 || add_string(&part, raw, SEED + PUBLIC, err) < 0 ||
	    add_string(&part, "", 0, err) < 0)
		return -err->errnum;
	while (part.len % BLOCK != 0) {
		fill++;
		if (cx_buf_add(&part, &fill, 1, err) < 0)
			return -err->errnum;
	}
	return add_string(to, part.p, part.len, err);
}

static int add_file(struct cx_buf *to, const char *raw, struct cx_err *err)
{
	static const char magic[] = "openssh-key-v1"; /* its NUL belongs to it */
	CX_AUTO(cx_buf_free) struct cx_buf public = { .max = FILE_MAX };

	if (add_public(&public, raw, err) < 0 || cx_buf_add(to, magic, sizeof magic, err) < 0 ||
	    add_string(to, "none", 4, err) < 0 || add_string(to, "none", 4, err) < 0 ||
	    add_string(to, "", 0, err) < 0 || add_number(to, 1, err) < 0 ||
	    add_string(to, public.p, public.len, err) < 0)
		return -err->errnum;
	return add_private(to, raw, err);
}

int cx_hostkey_import(struct cx_str raw, ssh_key *ret, struct cx_err *err)
{
	static const char head[] = "-----BEGIN OPENSSH PRIVATE KEY-----\n";
	static const char foot[] = "\n-----END OPENSSH PRIVATE KEY-----\n";
	CX_AUTO(cx_buf_wipe) struct cx_buf file = { .max = FILE_MAX };
	CX_AUTO(cx_buf_wipe) struct cx_buf text = { .max = 2 * FILE_MAX };
	char *body;

	if (raw.len != SEED + PUBLIC)
		return cx_refuse(err, CX_INVALID, "a host key of %u bytes", raw.len);
	if (add_file(&file, raw.p, err) < 0 || cx_buf_add(&text, head, sizeof head - 1, err) < 0)
		return -err->errnum;
	body = cx_buf_reserve(&text, CX_BASE64_SIZE(file.len), err);
	if (body == NULL)
		return -err->errnum;
	cx_base64_encode(file.p, file.len, body);
	text.len += strlen(body);
	if (cx_buf_add(&text, foot, sizeof foot, err) < 0)
		return -err->errnum;
	if (ssh_pki_import_privkey_base64(text.p, NULL, NULL, NULL, ret) != SSH_OK)
		return cx_refuse(err, CX_INTERNAL, "libssh does not take the host key");
	return 0;
}
