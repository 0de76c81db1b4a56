/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What caisson-resolver reads of others: questions of sandboxes, answers of name servers, packets
 * that the router refused. What is sent on must be readable again, and never longer than was asked
 * for.
 */
#include "resolver/message.h"
#include "resolver/nflog.h"
#include "tests/fuzz/input.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_packet(const struct cx_query *q, const uint8_t *out, int len)
{
	if (len < CX_DNS_HEADER || len > q->room || (out[0] << 8 | out[1]) != q->id)
		abort();
}

static void question(const uint8_t *data, size_t size, bool tcp)
{
	static const struct cx_address one = { .len = 4, .bytes = { 1, 2, 3, 4 } };
	uint8_t out[CX_DNS_TCP_MAX];
	struct cx_answer *a;
	struct cx_query q;
	struct cx_err err;
	int bad = cx_query_parse(data, size, tcp, &q);

	if (bad < 0)
		return;
	check_packet(&q, out, cx_message_refuse(&q, (enum cx_rcode)bad, out, &err));
	if (bad > 0)
		return;
	a = cx_answer_own(q.name, q.type, &one, 1, 5);
	if (a == NULL)
		abort();
	check_packet(&q, out, cx_answer_build(&q, a, 1, 5, out, &err));
	cx_answer_unref(&a);
}

static void answer(const uint8_t *data, size_t size, uint16_t type, bool tcp)
{
	struct cx_query q = { .id = 7, .type = type, .asked_len = 7, .asked = "\1a\3com" };
	struct cx_answer *a = NULL, *again = NULL;
	uint8_t out[CX_DNS_TCP_MAX];
	struct cx_err err;
	int len;

	q.room = tcp ? CX_DNS_TCP_MAX : CX_DNS_PLAIN;
	if (size < 2 || cx_answer_parse(data, size, "a.com", type,
					(uint16_t)(data[0] << 8 | data[1]), &a) != CX_SAID_ANSWER)
		return;
	if (a->naddresses > CX_DNS_ADDRESSES || a->ttl_s > CX_DNS_TTL_MAX)
		abort();
	len = cx_answer_build(&q, a, UINT32_MAX, 5, out, &err);
	check_packet(&q, out, len);
	switch (cx_answer_parse(out, (size_t)len, "a.com", type, 7, &again)) {
	case CX_SAID_ANSWER:
		if (again->naddresses != a->naddresses)
			abort();
		break;
	case CX_SAID_TRUNCATED:
		break;
	case CX_SAID_OTHER:
	case CX_SAID_FAILURE:
		abort();
	}
	cx_answer_unref(&again);
	cx_answer_unref(&a);
}

static void refused(void *arg, const struct cx_refusal *refusal)
{
	(void)arg;
	if ((refusal->to.len != 4 && refusal->to.len != 16) || refusal->ifindex == 0 ||
	    memchr(refusal->why, '\0', sizeof refusal->why) == NULL)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const uint16_t types[] = { CX_TYPE_A, CX_TYPE_AAAA, 5, 16, 15, 33, CX_TYPE_HTTPS };
	struct input in = { data, size };
	uint8_t what = take_byte(&in);
	uint8_t *copy; /* aligned as the resolver's buffer, and its end is seen */

	if (what % 4 < 2) {
		question(in.p, in.left, (what & 1) != 0);
	} else if (what % 4 == 2) {
		answer(in.p, in.left, types[what / 8 % CX_LEN(types)], (what & 4) != 0);
	} else {
		copy = malloc(in.left + 1);
		if (copy == NULL)
			abort();
		memcpy(copy, in.p, in.left);
		cx_nflog_read(copy, in.left, refused, NULL);
		free(copy);
	}
	return 0;
}
