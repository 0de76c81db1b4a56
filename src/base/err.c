/* SPDX-License-Identifier: Apache-2.0 */
#include "base/err.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/clean.h"

static const struct {
	const char *name;
	int errnum; /* what a refusal of this kind returns */
} kinds[CX_KIND_MAX] = {
	[CX_INTERNAL] = { "internal", EIO },
	[CX_INVALID] = { "invalid", EINVAL },
	[CX_DENIED] = { "denied", EPERM },
	[CX_NOT_FOUND] = { "not_found", ENOENT },
	[CX_CONFLICT] = { "conflict", EBUSY },
	[CX_LIMIT] = { "limit", EDQUOT },
	[CX_TIMEOUT] = { "timeout", ETIMEDOUT },
	/* Not EAGAIN: who reads without waiting takes that for "nothing there yet". */
	[CX_UNAVAILABLE] = { "unavailable", ECONNREFUSED },
	[CX_BUSY] = { "busy", EUSERS },
	[CX_SPENT] = { "spent", ENOSR },
};

static const struct {
	int errnum;
	enum cx_kind kind;
} kind_of_errno[] = {
	{ EINVAL, CX_INVALID },
	{ E2BIG, CX_INVALID },
	{ ENAMETOOLONG, CX_INVALID },
	{ EPERM, CX_DENIED },
	{ EACCES, CX_DENIED },
	{ ENOENT, CX_NOT_FOUND },
	{ ESRCH, CX_NOT_FOUND },
	{ EEXIST, CX_CONFLICT },
	{ EBUSY, CX_CONFLICT },
	{ EDQUOT, CX_LIMIT },
	{ ENOSPC, CX_LIMIT },
	{ EMFILE, CX_LIMIT },
	{ ENFILE, CX_LIMIT },
	{ ENOMEM, CX_LIMIT },
	{ ETIMEDOUT, CX_TIMEOUT },
	{ EAGAIN, CX_UNAVAILABLE },
	{ ECONNREFUSED, CX_UNAVAILABLE },
};

__attribute__((format(printf, 2, 0))) static void set_msg(struct cx_err *err, const char *fmt,
							  va_list args)
{
	int n = vsnprintf(err->msg, sizeof err->msg, fmt, args);

	if (n < 0)
		n = 0;
	if ((size_t)n >= sizeof err->msg)
		n = sizeof err->msg - 1;
	err->msg[n] = '\0';
	/* A name out of an archive may hold anything; what is shown must not drive a terminal. */
	cx_clean(err->msg, (size_t)n);
	err->len = (uint16_t)n;
}

int cx_fail(struct cx_err *err, int errnum, const char *fmt, ...)
{
	va_list args;

	err->errnum = errnum > 0 ? errnum : EIO; /* a failure is never reported as 0 */
	err->kind = CX_INTERNAL;
	err->refused = 0;
	for (size_t i = 0; i < CX_LEN(kind_of_errno); i++)
		if (kind_of_errno[i].errnum == err->errnum)
			err->kind = (uint8_t)kind_of_errno[i].kind;
	va_start(args, fmt);
	set_msg(err, fmt, args);
	va_end(args);
	return -err->errnum;
}

int cx_refuse(struct cx_err *err, enum cx_kind kind, const char *fmt, ...)
{
	unsigned k = (unsigned)kind < CX_KIND_MAX ? (unsigned)kind : CX_INTERNAL;
	va_list args;

	err->errnum = kinds[k].errnum;
	err->kind = (uint8_t)k;
	err->refused = 1;
	va_start(args, fmt);
	set_msg(err, fmt, args);
	va_end(args);
	return -err->errnum;
}

int cx_wrap(struct cx_err *err, const char *fmt, ...)
{
	struct cx_err outer;
	size_t room, keep;
	va_list args;

	va_start(args, fmt);
	set_msg(&outer, fmt, args);
	va_end(args);
	room = sizeof outer.msg - 1 - outer.len;
	if (room > 2) {
		keep = err->len < room - 2 ? err->len : room - 2;
		memcpy(outer.msg + outer.len, ": ", 2);
		memcpy(outer.msg + outer.len + 2, err->msg, keep);
		outer.len = (uint16_t)(outer.len + 2 + keep);
		outer.msg[outer.len] = '\0';
	}
	memcpy(err->msg, outer.msg, sizeof err->msg);
	err->len = outer.len;
	return err->errnum > 0 ? -err->errnum : -EIO;
}

/* The sender puts errnum 0 for a refusal. */
int cx_err_adopt(struct cx_err *err, uint32_t kind, uint32_t errnum, const char *msg, size_t len)
{
	(void)cx_refuse(err, kind < CX_KIND_MAX ? (enum cx_kind)kind : CX_INTERNAL, "%.*s",
			(int)(len < sizeof err->msg ? len : sizeof err->msg - 1), msg);
	if (errnum > 0 && errnum < 4096) {
		err->errnum = (int)errnum;
		err->refused = 0;
	}
	return -err->errnum;
}

const char *cx_err_render(const struct cx_err *err, char *buf, size_t size)
{
	if (err->refused || err->errnum <= 0)
		(void)snprintf(buf, size, "%s", err->msg);
	else
		(void)snprintf(buf, size, "%s: %s", err->msg, strerrordesc_np(err->errnum));
	return buf;
}

const char *cx_kind_name(unsigned kind)
{
	return kinds[kind < CX_KIND_MAX ? kind : CX_INTERNAL].name;
}
