/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/dispatch.h"

#include "check_main.h"

/* All that a gateway may send; whatever is not here, or with other descriptors, must be refused. */
static const struct {
	unsigned type, states, nfds;
} legal[] = {
	{ CX_MSG_hello, CX_PEER_NEW, 0 },	   { CX_MSG_create, CX_PEER_READY, 0 },
	{ CX_MSG_connect, CX_PEER_READY, 0 },	   { CX_MSG_destroy, CX_PEER_READY, 0 },
	{ CX_MSG_list, CX_PEER_READY, 0 },	   { CX_MSG_usage, CX_PEER_READY, 0 },
	{ CX_MSG_trouble, CX_PEER_READY, 0 },	   { CX_MSG_layer_build, CX_PEER_READY, 3 },
	{ CX_MSG_layer_commit, CX_PEER_READY, 0 }, { CX_MSG_layer_abort, CX_PEER_READY, 0 },
	{ CX_MSG_layer_remove, CX_PEER_READY, 0 }, { CX_MSG_layer_stat, CX_PEER_READY, 0 },
	{ CX_MSG_scan, CX_PEER_READY, 3 },	   { CX_MSG_fetch, CX_PEER_READY, 1 },
	{ CX_MSG_layer_check, CX_PEER_READY, 1 },  { CX_MSG_export, CX_PEER_READY, 3 },
	{ CX_MSG_commit, CX_PEER_READY, 3 },	   { CX_MSG_bundle, CX_PEER_READY, 3 },
	{ CX_MSG_count, CX_PEER_READY, 0 },	   { CX_MSG_pause, CX_PEER_READY, 0 },
	{ CX_MSG_resume, CX_PEER_READY, 0 },	   { CX_MSG_networking, CX_PEER_READY, 0 },
	{ CX_MSG_listen, CX_PEER_READY, 0 },	   { CX_MSG_ssh, CX_PEER_READY, 2 },
	{ CX_MSG_network, CX_PEER_READY, 0 },	   { CX_MSG_egress, CX_PEER_READY, 0 },
	{ CX_MSG_command_slot, CX_PEER_READY, 0 }, { CX_MSG_disks, CX_PEER_READY, 0 },
	{ CX_MSG_capacity, CX_PEER_READY, 0 },	   { CX_MSG_create_linked, CX_PEER_READY, 0 },
};

static bool is_listed(unsigned type, unsigned state, unsigned nfds)
{
	for (size_t i = 0; i < CX_LEN(legal); i++)
		if (legal[i].type == type && legal[i].states == state && legal[i].nfds == nfds)
			return true;
	return false;
}

START_TEST(exactly_the_listed_requests_are_legal)
{
	static const unsigned states[] = { CX_PEER_NEW, CX_PEER_READY };

	for (unsigned type = 0; type < 0x200; type++)
		for (unsigned nfds = 0; nfds <= CX_PACKET_FDS_MAX; nfds++)
			for (size_t i = 0; i < CX_LEN(states); i++)
				ck_assert_msg(cx_dispatch_is_legal(type, states[i], nfds) ==
						      is_listed(type, states[i], nfds),
					      "type %#x, state %u, %u descriptors", type, states[i],
					      nfds);
	ck_assert(!cx_dispatch_is_legal(65535, CX_PEER_READY, 0));
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("engine/dispatch");
	TCase *tc = tcase_create("table");

	tcase_add_test(tc, exactly_the_listed_requests_are_legal);
	suite_add_tcase(suite, tc);
	return run_suite(suite);
}
