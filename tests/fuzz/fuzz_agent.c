/* SPDX-License-Identifier: Apache-2.0 */
/* What the agent makes of a packet: two bytes of type, one of descriptors, then the fields. */
#include <stdlib.h>
#include <string.h>

#include "agent/dispatch.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Everything that a decoded request points to must lie within the packet. */
static void look_at(struct cx_str s, const struct cx_packet *pkt)
{
	const char *begin = (const char *)pkt->bytes;

	if (s.len > 0 && (s.p < begin || s.p + s.len > begin + sizeof pkt->bytes))
		abort();
}

static void look_at_strv(struct cx_str strv, const struct cx_packet *pkt)
{
	size_t n = 0;

	look_at(strv, pkt);
	CX_STRV_FOREACH (item, strv)
		n++;
	if (n != cx_strv_count(strv))
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct cx_packet pkt;
	union cx_request m;

	if (size < 3 || size - 3 > sizeof pkt.bytes)
		return 0;
	memcpy(pkt.bytes, data + 3, size - 3);
	pkt.type = (uint16_t)(data[0] | data[1] << 8);
	pkt.nfds = data[2] % (CX_PACKET_FDS_MAX + 1);
	pkt.request = 1;
	pkt.body = (struct cx_reader){ .p = pkt.bytes, .left = size - 3 };
	if (cx_dispatch_decode(&pkt, &m) == NULL)
		return 0;
	if (pkt.type == CX_MSG_exec) {
		look_at_strv(m.exec.argv, &pkt);
		look_at_strv(m.exec.env, &pkt);
		look_at(m.exec.cwd, &pkt);
		look_at(m.exec.user, &pkt);
	} else if (pkt.type == CX_MSG_configure) {
		look_at_strv(m.configure.env, &pkt);
		look_at_strv(m.configure.start, &pkt);
		look_at(m.configure.cwd, &pkt);
		look_at(m.configure.user, &pkt);
	} else if (pkt.type == CX_MSG_file_put) {
		look_at(m.file_put.path, &pkt);
		look_at(m.file_put.user, &pkt);
	} else if (pkt.type == CX_MSG_file_get) {
		look_at(m.file_get.path, &pkt);
		look_at(m.file_get.user, &pkt);
	} else if (pkt.type == CX_MSG_file_list) {
		look_at(m.file_list.path, &pkt);
		look_at(m.file_list.after, &pkt);
	} else if (pkt.type == CX_MSG_claim) {
		look_at(m.claim.hostname, &pkt);
	}
	return 0;
}
