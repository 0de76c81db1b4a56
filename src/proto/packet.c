/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/packet.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

void cx_packet_drop(struct cx_packet *pkt)
{
	for (unsigned i = 0; i < pkt->nfds; i++)
		cx_close(&pkt->fds[i]);
	pkt->nfds = 0;
}

/* Takes over every descriptor that came along, whatever else is wrong with the packet. */
static void collect_fds(struct msghdr *mh, struct cx_packet *pkt)
{
	for (struct cmsghdr *c = CMSG_FIRSTHDR(mh); c != NULL; c = CMSG_NXTHDR(mh, c)) {
		size_t n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);

		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		for (size_t i = 0; i < n; i++) {
			int fd;

			memcpy(&fd, CMSG_DATA(c) + i * sizeof fd, sizeof fd);
			if (pkt->nfds < CX_PACKET_FDS_MAX)
				pkt->fds[pkt->nfds++] = fd;
			else
				(void)close(fd);
		}
	}
}

static int parse_header(struct cx_packet *pkt, size_t n, struct cx_err *err)
{
	struct cx_reader r = { .p = pkt->bytes, .left = n };
	uint32_t kind = 0, length = 0;

	if (!cx_get_u32(&r, &kind, UINT32_MAX) || !cx_get_u32(&r, &pkt->request, UINT32_MAX) ||
	    !cx_get_u32(&r, &length, CX_PACKET_MAX) || length != r.left)
		return cx_refuse(err, CX_INVALID, "malformed packet of %zu bytes", n);
	if ((kind & 0xffff) != CX_PACKET_VERSION)
		return cx_refuse(err, CX_INVALID,
				 "packet of protocol version %u; this is version %d", kind & 0xffff,
				 CX_PACKET_VERSION);
	pkt->type = (uint16_t)(kind >> 16);
	pkt->body = r;
	return 1;
}

int cx_packet_recv(int sock, struct cx_packet *pkt, struct cx_err *err)
{
	union {
		char room[CMSG_SPACE(sizeof(int) * CX_PACKET_FDS_MAX)];
		struct cmsghdr align;
	} control;
	struct iovec iov = { .iov_base = pkt->bytes, .iov_len = sizeof pkt->bytes };
	struct msghdr mh = { .msg_iov = &iov,
			     .msg_iovlen = 1,
			     .msg_control = &control,
			     .msg_controllen = sizeof control };
	ssize_t n;

	pkt->nfds = 0;
	for (unsigned i = 0; i < CX_PACKET_FDS_MAX; i++)
		pkt->fds[i] = -EBADF;
	do
		n = recvmsg(sock, &mh, MSG_CMSG_CLOEXEC);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return cx_fail(err, errno, "receive packet");
	collect_fds(&mh, pkt);
	if (n == 0) {
		cx_packet_drop(pkt);
		return 0;
	}
	if ((mh.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) != 0) {
		cx_packet_drop(pkt);
		return cx_refuse(err, CX_INVALID, "packet or its descriptors were cut");
	}
	if (parse_header(pkt, (size_t)n, err) < 0) {
		cx_packet_drop(pkt);
		return -err->errnum;
	}
	return 1;
}

int cx_packet_send(int sock, uint8_t *packet, size_t len, uint16_t type, uint32_t request,
		   const int *fds, unsigned nfds, struct cx_err *err)
{
	union {
		char room[CMSG_SPACE(sizeof(int) * CX_PACKET_FDS_MAX)];
		struct cmsghdr align;
	} control = { 0 };
	struct cx_writer head = { .p = packet, .left = CX_PACKET_HEADER };
	uint32_t kind = CX_PACKET_VERSION | (uint32_t)type << 16;
	uint32_t length = (uint32_t)(len - CX_PACKET_HEADER);
	struct iovec iov = { .iov_base = packet, .iov_len = len };
	struct msghdr mh = { .msg_iov = &iov, .msg_iovlen = 1 };
	ssize_t n;

	if (len > CX_PACKET_MAX)
		return cx_refuse(err, CX_INVALID, "a message of %zu bytes; at most %d fit in one",
				 len, CX_PACKET_MAX);
	if (nfds > CX_PACKET_FDS_MAX)
		return cx_refuse(err, CX_INVALID, "%u descriptors in one packet", nfds);
	(void)cx_put_u32(&head, &kind, UINT32_MAX);
	(void)cx_put_u32(&head, &request, UINT32_MAX);
	(void)cx_put_u32(&head, &length, UINT32_MAX);
	if (nfds > 0) {
		mh.msg_control = &control;
		mh.msg_controllen = CMSG_SPACE(sizeof(int) * nfds);
		control.align.cmsg_level = SOL_SOCKET;
		control.align.cmsg_type = SCM_RIGHTS;
		control.align.cmsg_len = CMSG_LEN(sizeof(int) * nfds);
		memcpy(CMSG_DATA(&control.align), fds, sizeof(int) * nfds);
	}
	do
		n = sendmsg(sock, &mh, MSG_NOSIGNAL);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return cx_fail(err, errno, "send packet of type %#x", type);
	return 0;
}
