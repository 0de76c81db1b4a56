/* SPDX-License-Identifier: Apache-2.0 */
/* Properties of every message of every protocol, by expanding the lists that define them. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>

#include "check_main.h"

#include "proto/agent_msgs.h"
#include "proto/bundle_msgs.h"
#include "proto/control_msgs.h"
#include "proto/fetch_msgs.h"
#include "proto/reap_msgs.h"
#include "proto/resolver_msgs.h"
#include "proto/spawn_msgs.h"
#include "proto/ssh_msgs.h"

static uint8_t again[256]; /* what a decoded message encodes to */

/* Values that fit every field: a small number, text of four bytes, one string. */
#define FILL_u32(max) ((max) > 1 ? 1 : (max))
#define FILL_u64(max) 7
#define FILL_str(max)     \
	{                 \
		"text", 4 \
	}
#define FILL_bytes(max)     \
	{                   \
		"b\0b\0", 4 \
	}
#define FILL_strv(max)     \
	{                  \
		"a=b\0", 4 \
	}
#define FILL(type, name, max) .name = FILL_##type(max),
#define CODEC(id, name, FIELDS)                                                    \
	static size_t encode_##name(uint8_t *to, size_t size)                      \
	{                                                                          \
		struct cx_writer w = { .p = to, .left = size };                    \
		__extension__ struct cx_msg_##name m = { FIELDS(FILL) };           \
                                                                                   \
		return cx_msg_##name##_put(&w, &m) ? size - w.left : SIZE_MAX;     \
	}                                                                          \
	static bool decode_##name(const uint8_t *from, size_t len)                 \
	{                                                                          \
		struct cx_reader r = { .p = from, .left = len };                   \
		struct cx_writer w = { .p = again, .left = sizeof again };         \
		struct cx_msg_##name m;                                            \
                                                                                   \
		return cx_msg_##name##_get(&r, &m) && cx_msg_##name##_put(&w, &m); \
	}
CX_CONTROL_MSGS(CODEC)
CX_AGENT_MSGS(CODEC)
CX_SPAWN_MSGS(CODEC)
CX_REAP_MSGS(CODEC)
CX_FETCH_MSGS(CODEC)
CX_BUNDLE_MSGS(CODEC)
CX_SSH_MSGS(CODEC)
CX_RESOLVER_MSGS(CODEC)
CX_PERMIT_MSGS(CODEC)

#define ROW(protocol, id, name) { #name, protocol, id, encode_##name, decode_##name },
#define CONTROL(id, name, F)	ROW(0, id, name)
#define AGENT(id, name, F)	ROW(1, id, name)
#define SPAWN(id, name, F)	ROW(2, id, name)
#define FETCH(id, name, F)	ROW(3, id, name)
#define BUNDLE(id, name, F)	ROW(4, id, name)
#define SSH(id, name, F)	ROW(5, id, name)
#define RESOLVER(id, name, F)	ROW(6, id, name)
#define PERMIT(id, name, F)	ROW(7, id, name)
#define REAP(id, name, F)	ROW(8, id, name)
static const struct {
	const char *name;
	unsigned protocol, id;
	size_t (*encode)(uint8_t *to, size_t size);
	bool (*decode)(const uint8_t *from, size_t len);
} msgs[] = { CX_CONTROL_MSGS(CONTROL) CX_AGENT_MSGS(AGENT) CX_SPAWN_MSGS(SPAWN) CX_FETCH_MSGS(FETCH)
		     CX_BUNDLE_MSGS(BUNDLE) CX_SSH_MSGS(SSH) CX_RESOLVER_MSGS(RESOLVER)
			     CX_PERMIT_MSGS(PERMIT) CX_REAP_MSGS(REAP) };

START_TEST(round_trip)
{
	uint8_t full[256];
	size_t len = msgs[_i].encode(full, sizeof full);

	ck_assert_uint_le(len, sizeof full);
	ck_assert_msg(msgs[_i].decode(full, len), "%s", msgs[_i].name);
	ck_assert_int_eq(memcmp(full, again, len), 0);
}
END_TEST

/* Every proper prefix is refused; the copy has exactly its size, so ASan sees one byte too far. */
START_TEST(truncated)
{
	uint8_t full[256];
	size_t len = msgs[_i].encode(full, sizeof full);

	for (size_t cut = 0; cut < len; cut++) {
		cx_autofree uint8_t *part = malloc(cut > 0 ? cut : 1);

		ck_assert_ptr_nonnull(part);
		memcpy(part, full, cut);
		ck_assert_msg(!msgs[_i].decode(part, cut), "%s cut to %zu", msgs[_i].name, cut);
	}
}
END_TEST

START_TEST(trailing_byte)
{
	uint8_t full[256] = { 0 };
	size_t len = msgs[_i].encode(full, sizeof full - 1);

	ck_assert_msg(!msgs[_i].decode(full, len + 1), "%s", msgs[_i].name);
}
END_TEST

START_TEST(no_room_to_encode)
{
	uint8_t full[256];
	size_t len = msgs[_i].encode(full, sizeof full);

	for (size_t room = 0; room < len; room++)
		ck_assert_uint_eq(msgs[_i].encode(full, room), SIZE_MAX);
}
END_TEST

START_TEST(ids_are_unique)
{
	for (int i = 0; i < _i; i++)
		ck_assert_msg(msgs[i].protocol != msgs[_i].protocol || msgs[i].id != msgs[_i].id,
			      "%s and %s", msgs[i].name, msgs[_i].name);
}
END_TEST

START_TEST(strings_keep_their_bounds)
{
	uint8_t bytes[32];
	struct cx_writer w = { .p = bytes, .left = sizeof bytes };
	struct cx_str nul = { "a\0b", 3 }, open = { "a=b", 3 };
	struct cx_str no_bytes = { .p = NULL };
	char copy[4];
	size_t n = 0;

	ck_assert(!cx_put_str(&w, &nul, 8));
	ck_assert(!cx_put_strv(&w, &open, 8));
	ck_assert(!cx_put_bytes(&w, &nul, 2));
	ck_assert(!cx_str_copy((struct cx_str){ "1234", 4 }, copy, sizeof copy));
	ck_assert(cx_str_copy((struct cx_str){ "123", 3 }, copy, sizeof copy));
	ck_assert_str_eq(copy, "123");
	ck_assert_uint_eq(cx_strv_count((struct cx_str){ "a\0\0b\0", 5 }), 3);
	CX_STRV_FOREACH (item, no_bytes)
		n++;
	ck_assert_uint_eq(n, 0);
}
END_TEST

static int pair[2];
static struct cx_packet pkt;
static struct cx_err err;

static void setup(void)
{
	int type = SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK;

	ck_assert_int_eq(socketpair(AF_UNIX, type, 0, pair), 0);
}

static void teardown(void)
{
	close(pair[0]);
	close(pair[1]);
}

START_TEST(packet_carries_fields_and_descriptors)
{
	struct cx_msg_exec_signal sent = { .exec = 5, .signo = 9 }, got;
	int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

	ck_assert_int_eq(cx_msg_exec_signal_send(pair[0], 77, &sent, &fd, 1, &err), 0);
	close(fd);
	ck_assert_int_eq(cx_packet_recv(pair[1], &pkt, &err), 1);
	ck_assert_uint_eq(pkt.type, CX_MSG_exec_signal);
	ck_assert_uint_eq(pkt.request, 77);
	ck_assert_uint_eq(pkt.nfds, 1);
	ck_assert_int_ne(fcntl(pkt.fds[0], F_GETFD) & FD_CLOEXEC, 0);
	ck_assert(cx_msg_exec_signal_get(&pkt.body, &got));
	ck_assert_uint_eq(got.signo, 9);
	fd = pkt.fds[0];
	cx_packet_drop(&pkt);
	cx_packet_drop(&pkt);
	ck_assert_int_eq(fcntl(fd, F_GETFD), -1);
	ck_assert_int_eq(cx_packet_recv(pair[1], &pkt, &err), -EAGAIN);
	ck_assert_int_eq(shutdown(pair[0], SHUT_WR), 0);
	ck_assert_int_eq(cx_packet_recv(pair[1], &pkt, &err), 0);
}
END_TEST

static const struct {
	const char *what;
	uint8_t bytes[16];
	size_t len;
} bad_packets[] = {
	{ "short header", { 1, 0, 2 }, 11 },
	{ "one byte", { 1 }, 1 },
	{ "other version", { 2, 0, 2 }, 12 },
	{ "length too long", { 1, 0, 2, 0, 0, 0, 0, 0, 1 }, 12 },
	{ "length too short", { 1, 0, 2 }, 13 },
	{ "length huge", { 1, 0, 2, 0, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff }, 12 },
};

START_TEST(bad_packet_is_refused)
{
	ck_assert_int_gt(send(pair[0], bad_packets[_i].bytes, bad_packets[_i].len, 0), 0);
	ck_assert_msg(cx_packet_recv(pair[1], &pkt, &err) == -EINVAL, "%s", bad_packets[_i].what);
}
END_TEST

START_TEST(too_long_packet_is_refused)
{
	static uint8_t big[CX_PACKET_MAX + 1] = { 1, 0, 2 };

	ck_assert_int_gt(send(pair[0], big, sizeof big, 0), 0);
	ck_assert_int_eq(cx_packet_recv(pair[1], &pkt, &err), -EINVAL);
	ck_assert_int_lt(cx_packet_send(pair[0], big, sizeof big, 1, 1, NULL, 0, &err), 0);
}
END_TEST

/* More descriptors than a packet may have are all closed: the lowest free number does not move. */
START_TEST(too_many_descriptors_are_closed)
{
	enum { N = CX_PACKET_FDS_MAX + 8 };
	union {
		char room[CMSG_SPACE(sizeof(int) * N)];
		struct cmsghdr align;
	} control = { 0 };
	uint8_t bytes[12] = { 1, 0, 2 };
	struct iovec iov = { bytes, sizeof bytes };
	struct msghdr mh = { .msg_iov = &iov,
			     .msg_iovlen = 1,
			     .msg_control = &control,
			     .msg_controllen = sizeof control };
	int before = dup(pair[0]), after;

	close(before);
	control.align.cmsg_level = SOL_SOCKET;
	control.align.cmsg_type = SCM_RIGHTS;
	control.align.cmsg_len = CMSG_LEN(sizeof(int) * N);
	for (size_t i = 0; i < N; i++)
		memcpy(CMSG_DATA(&control.align) + i * sizeof(int), &pair[0], sizeof(int));
	ck_assert_int_gt(sendmsg(pair[0], &mh, 0), 0);
	ck_assert_int_eq(cx_packet_recv(pair[1], &pkt, &err), -EINVAL);
	after = dup(pair[0]);
	close(after);
	ck_assert_int_eq(after, before);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("proto/msgs");
	TCase *each = tcase_create("every message"), *packets = tcase_create("packets");

	tcase_add_loop_test(each, round_trip, 0, (int)CX_LEN(msgs));
	tcase_add_loop_test(each, truncated, 0, (int)CX_LEN(msgs));
	tcase_add_loop_test(each, trailing_byte, 0, (int)CX_LEN(msgs));
	tcase_add_loop_test(each, no_room_to_encode, 0, (int)CX_LEN(msgs));
	tcase_add_loop_test(each, ids_are_unique, 0, (int)CX_LEN(msgs));
	tcase_add_test(each, strings_keep_their_bounds);
	tcase_add_checked_fixture(packets, setup, teardown);
	tcase_add_test(packets, packet_carries_fields_and_descriptors);
	tcase_add_loop_test(packets, bad_packet_is_refused, 0, (int)CX_LEN(bad_packets));
	tcase_add_test(packets, too_long_packet_is_refused);
	tcase_add_test(packets, too_many_descriptors_are_closed);
	suite_add_tcase(s, each);
	suite_add_tcase(s, packets);
	return run_suite(s);
}
