/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CX_PROTO_PACKET_H
#define CX_PROTO_PACKET_H

#include "base/err.h"
#include "proto/wire.h"

/*
 * One message per packet of a Unix SOCK_SEQPACKET socket, descriptors beside it (SCM_RIGHTS):
 *
 *	u16 version | u16 type | u32 request | u32 length | length bytes of fields
 *
 * The length repeats what the kernel says, so that the same bytes work on a stream later. A packet
 * that is cut, too long, of another version or with more descriptors than allowed is refused whole
 * and its descriptors are closed; the connection is then not to be trusted any more.
 */
enum {
	CX_PACKET_VERSION = 1,
	CX_PACKET_HEADER = 12,
	CX_PACKET_MAX = 192 * 1024, /* below the default net.core.wmem_default */
	CX_PACKET_FDS_MAX = 32,
};

struct cx_packet { /* as received; close its descriptors with cx_packet_drop() */
	uint16_t type;
	uint32_t request;
	struct cx_reader body;
	int fds[CX_PACKET_FDS_MAX]; /* -EBADF where there is none, or where it was taken */
	unsigned nfds;
	uint8_t bytes[CX_PACKET_MAX];
};

/*
 * Receives one packet into pkt, descriptors with O_CLOEXEC.
 * Returns 1; 0 at end of file; -EAGAIN when a non-blocking socket has none; another -errno when the
 * connection must be given up.
 */
CX_MUST int cx_packet_recv(int sock, struct cx_packet *pkt, struct cx_err *err);
void cx_packet_drop(struct cx_packet *pkt); /* for CX_AUTO(); idempotent */

/*
 * Sends len bytes, of which the first CX_PACKET_HEADER are filled in here, never raising SIGPIPE.
 * Descriptors stay the caller's. On a non-blocking socket whose buffer is full: -EAGAIN, nothing
 * sent.
 */
CX_MUST int cx_packet_send(int sock, uint8_t *packet, size_t len, uint16_t type, uint32_t request,
			   const int *fds, unsigned nfds, struct cx_err *err);

#endif
