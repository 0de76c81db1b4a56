/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the newest clients send: the first byte says which call it is and whether the message is
 * packed and in an envelope. What is accepted must be whole, within its bounds, and the same again.
 */
#include "api/prime/connect.h"
#include "api/prime/message.h"
#include "tests/fuzz/input.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { PACKED = 4, STREAM = 8, FRAMED = 16 };

static void check(bool fine)
{
	if (!fine)
		abort();
}

static void check_uuid(const char *uuid)
{
	check(memchr(uuid, '\0', CX_PROC_UUID_MAX + 1) != NULL);
}

static void check_selector(const struct cx_prime_selector *who)
{
	check_uuid(who->uuid);
	check(who->pid != 0 || who->uuid[0] != '\0');
}

static void try_start(const char *p, size_t len)
{
	CX_AUTO(cx_proc_plan_clear) struct cx_proc_plan plan = { 0 };
	struct cx_err err;

	if (cx_prime_read_start(p, len, &plan, &err) < 0)
		return;
	check(plan.spec.argv.len > 0 && plan.spec.argv.len <= 131072);
	check(plan.spec.argv.p[0] != '\0' && plan.spec.argv.p[plan.spec.argv.len - 1] == '\0');
	check(plan.spec.env.len <= 65536);
	check(plan.spec.env.len == 0 || plan.spec.env.p[plan.spec.env.len - 1] == '\0');
	check(strlen(plan.spec.cwd) <= 4095 && strlen(plan.spec.user) <= 255);
	check(plan.spec.rows <= 65535 && plan.spec.cols <= 65535);
	check_uuid(plan.uuid);
}

static void try_call(unsigned call, const char *p, size_t len)
{
	CX_AUTO(cx_prime_input_clear) struct cx_prime_input input = { 0 };
	struct cx_prime_selector who;
	struct cx_prime_signal order;
	struct cx_err err;

	if (call == 0)
		try_start(p, len);
	else if (call == 1 && cx_prime_read_connect(p, len, &who, &err) == 0)
		check_selector(&who);
	else if (call == 2 && cx_prime_read_input(p, len, &input, &err) == 0)
		check_selector(&input.process);
	else if (call == 3 && cx_prime_read_signal(p, len, &order, &err) == 0)
		check(order.signo == 9 || order.signo == 15);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = { data, size };
	unsigned how = take_byte(&in);
	enum cx_connect_encoding encoding =
		(how & PACKED) != 0 ? CX_CONNECT_GZIP : CX_CONNECT_IDENTITY;
	CX_AUTO(cx_buf_free) struct cx_buf message = { 0 }, body = { .max = 1 << 20 };
	char header[CX_CONNECT_HEADER];
	struct cx_err err;
	int r;

	if (in.left >= (1 << 19))
		return 0;
	if ((how & FRAMED) != 0) { /* a header that fits, so that what is behind it is seen */
		cx_connect_header(header, (how & PACKED) != 0 ? CX_CONNECT_PACKED : 0, in.left);
		check(cx_buf_add(&body, header, sizeof header, &err) == 0);
	}
	if (in.left > 0)
		check(cx_buf_add(&body, in.p, in.left, &err) == 0);
	if ((how & (STREAM | FRAMED)) != 0)
		r = cx_connect_stream_message(body.p, body.len, encoding, &message, &err);
	else
		r = cx_connect_message(body.p, body.len, encoding, &message, &err);
	check(message.len <= CX_CONNECT_MESSAGE_MAX);
	if (r == 0)
		try_call(how & 3, message.p, message.len);
	return 0;
}
