/* SPDX-License-Identifier: Apache-2.0 */
#include "net/firewall.h"

#include <linux/netlink.h>
#include <string.h>
#include <sys/socket.h>

#include "base/log.h"
#include "base/str.h"
#include "net/firewall_inner.h"
#include "net/ruleset.h"
#include "net/sysctl.h"

enum {
	RULESET_MAX = 256 * 1024, /* bytes */
	PARTS_ROOM = 32,	  /* by so many the list of a slot grows */
};

int cx_fwslot_find(struct cx_firewall *fw, uint32_t slot, struct cx_fwslot **ret,
		   struct cx_err *err)
{
	if (slot >= fw->nslots)
		return cx_refuse(err, CX_INVALID, "slot %u of %u", slot, fw->nslots);
	*ret = &fw->slots[slot];
	return 0;
}

/* ---- loading --------------------------------------------------------------------------------- */

static const struct cx_sysctl_row settings[] = {
	{ "netfilter/nf_conntrack_tcp_timeout_established", "21600",
	  "five days of the kernel's would keep what hosts forgot without a word",
	  CX_SYSCTL_ALWAYS },
	{ "netfilter/nf_conntrack_tcp_timeout_time_wait", "30",
	  "closed connections count against a sandbox's limit", CX_SYSCTL_ALWAYS },
	{ "netfilter/nf_conntrack_tcp_timeout_fin_wait", "30", "the same", CX_SYSCTL_ALWAYS },
	{ "netfilter/nf_conntrack_tcp_timeout_close_wait", "30", "the same", CX_SYSCTL_ALWAYS },
	{ "ipv4/ipfrag_time", "2", "pieces of one packet come together, or somebody fills memory",
	  CX_SYSCTL_ALWAYS },
	{ "ipv4/ipfrag_high_thresh", "67108864", "more than some that do can fill",
	  CX_SYSCTL_ALWAYS },
	{ "netfilter/nf_conntrack_frag6_timeout", "2", "as with IPv4", CX_SYSCTL_WITH_IP6 },
	{ "netfilter/nf_conntrack_frag6_high_thresh", "67108864", "the same", CX_SYSCTL_WITH_IP6 },
};

/* In the router. */
static int apply_settings(void *arg, struct cx_err *err)
{
	const bool *ip6 = arg;

	if (cx_sysctl_write("/proc/sys/net", settings, CX_LEN(settings), *ip6, err) < 0)
		return cx_wrap(err, "limits of the router");
	return 0;
}

static int load_router(const struct cx_firewall_plan *plan, bool keep, struct cx_err *err)
{
	CX_AUTO(cx_buf_free) struct cx_buf text = { .max = RULESET_MAX };

	if (cx_ruleset_router(plan, keep, &text, err) < 0 ||
	    plan->load(plan->arg, plan->router->netns, &text, err) < 0)
		return cx_wrap(err, "the rules of sandboxes' network");
	return 0;
}

static int load_host(const struct cx_firewall_plan *plan, struct cx_err *err)
{
	CX_AUTO(cx_buf_free) struct cx_buf text = { .max = RULESET_MAX };

	if (cx_ruleset_host(plan, &text, err) < 0 ||
	    plan->load(plan->arg, plan->router->home, &text, err) < 0)
		return cx_wrap(err, "the rules of the host for sandboxes' network");
	return 0;
}

/* ---- what an earlier caissond has set -------------------------------------------------------- */

struct owner {
	uint32_t number, slot;
};

struct adoption {
	struct cx_firewall *fw;
	const struct cx_fwelem_mode *mode; /* of which the set is read */
	uint8_t set;			   /* of cx_part_sets */
	struct owner *owners;		   /* by number */
	size_t n;
	bool failed;
};

static struct cx_fwslot *slot_of(struct adoption *a, const struct cx_nft_elem *elem)
{
	uint32_t index = cx_fwelem_u32(elem, 0);

	if (index < CX_ROUTER_LINK_INDEX || index - CX_ROUTER_LINK_INDEX >= a->fw->nslots)
		return NULL;
	return &a->fw->slots[index - CX_ROUTER_LINK_INDEX];
}

static void take_number(void *arg, const struct cx_nft_elem *elem)
{
	struct adoption *a = arg;
	struct cx_fwslot *s = slot_of(a, elem);

	if (s != NULL)
		s->number = elem->value;
	if (elem->value > a->fw->last)
		a->fw->last = elem->value;
	a->n += s != NULL;
}

static void take_former(void *arg, const struct cx_nft_elem *elem)
{
	struct cx_fwslot *s = slot_of(arg, elem);
	uint32_t number = cx_fwelem_u32(elem, 1), i;

	if (s == NULL || s->nformer == CX_FORMER_MAX)
		return;
	for (i = s->nformer++; i > 0 && s->former[i - 1] > number; i--)
		s->former[i] = s->former[i - 1];
	s->former[i] = number;
}

static void take_link(void *arg, const struct cx_nft_elem *elem)
{
	struct cx_fwslot *s = slot_of(arg, elem);

	if (s != NULL)
		s->link = elem->value;
}

static int compare_owners(const void *left, const void *right)
{
	const struct owner *a = left, *b = right;

	return a->number < b->number ? -1 : a->number > b->number;
}

static struct cx_fwslot *owner_of(struct adoption *a, uint32_t number)
{
	struct owner wanted = { .number = number };
	const struct owner *found =
		a->n > 0 ? bsearch(&wanted, a->owners, a->n, sizeof wanted, compare_owners) : NULL;

	return found != NULL ? &a->fw->slots[found->slot] : NULL;
}

static void take_mode(void *arg, const struct cx_nft_elem *elem)
{
	struct adoption *a = arg;
	struct cx_fwslot *s = owner_of(a, cx_fwelem_u32(elem, 0));

	if (s == NULL)
		return;
	s->mode = a->mode->mode;
	s->names = a->mode->names;
}

static void take_turn(void *arg, const struct cx_nft_elem *elem)
{
	struct cx_fwslot *s = owner_of(arg, elem->value);

	if (s != NULL)
		s->turn = cx_fwelem_turn_of(cx_fwelem_u32(elem, 0));
}

/* By the number in the key, of ports by the slot. */
static struct cx_fwslot *owner_of_part(struct adoption *a, uint32_t mark)
{
	uint32_t slot = cx_fwelem_slot_of(mark);

	if ((mark & CX_FWELEM_CLASSES) == 0)
		return owner_of(a, mark);
	return slot < a->fw->nslots ? &a->fw->slots[slot] : NULL;
}

static void take_part(void *arg, const struct cx_nft_elem *elem)
{
	struct adoption *a = arg;
	struct cx_fwslot *s = NULL;
	struct cx_part part, *grown;
	uint32_t mark;

	if (cx_fwelem_to_part(a->set, elem, &mark, &part))
		s = owner_of_part(a, mark);
	if (s == NULL || s->nparts == CX_PARTS_MAX)
		return;
	if (s->nparts % PARTS_ROOM == 0) {
		grown = realloc(s->parts, (s->nparts + PARTS_ROOM) * sizeof *grown);
		a->failed |= grown == NULL;
		if (grown == NULL)
			return;
		s->parts = grown;
	}
	s->parts[s->nparts++] = part;
}

static int find_owners(struct adoption *a, struct cx_err *err)
{
	size_t n = 0;

	a->owners = calloc(a->n > 0 ? a->n : 1, sizeof *a->owners);
	if (a->owners == NULL)
		return cx_fail(err, ENOMEM, "policies");
	for (uint32_t slot = 0; slot < a->fw->nslots && n < a->n; slot++)
		if (a->fw->slots[slot].number != 0)
			a->owners[n++] = (struct owner){ a->fw->slots[slot].number, slot };
	a->n = n;
	qsort(a->owners, n, sizeof *a->owners, compare_owners);
	return 0;
}

static int adopt_policies(struct adoption *a, struct cx_err *err)
{
	for (size_t i = 0; i < CX_FWELEM_MODES; i++) {
		a->mode = &cx_fwelem_modes[i];
		if (cx_nft_each(&a->fw->nft, a->mode->set, take_mode, a, err) < 0)
			return -err->errnum;
	}
	if (cx_nft_each(&a->fw->nft, "owners", take_turn, a, err) < 0)
		return -err->errnum;
	for (a->set = 0; a->set < CX_PART_SETS; a->set++)
		if (cx_nft_each(&a->fw->nft, cx_part_sets[a->set].name, take_part, a, err) < 0)
			return -err->errnum;
	return a->failed ? cx_fail(err, ENOMEM, "policies") : 0;
}

static int adopt(struct cx_firewall *fw, struct cx_err *err)
{
	struct adoption a = { .fw = fw };
	int r;

	if (cx_nft_each(&fw->nft, "numbers", take_number, &a, err) < 0 ||
	    cx_nft_each(&fw->nft, "former", take_former, &a, err) < 0 ||
	    cx_nft_each(&fw->nft, "links", take_link, &a, err) < 0 || find_owners(&a, err) < 0)
		return cx_wrap(err, "policies that are in force");
	r = adopt_policies(&a, err);
	free(a.owners);
	return r < 0 ? cx_wrap(err, "policies that are in force") : 0;
}

/* ---- the whole ------------------------------------------------------------------------------- */

static void forsake(struct cx_firewall **fw)
{
	cx_firewall_close(*fw, false);
}

static int open_sets(struct cx_firewall *fw, struct cx_err *err)
{
	cx_autofd int sock =
		cx_router_socket(fw->router, AF_NETLINK, SOCK_RAW, NETLINK_NETFILTER, err);

	return sock < 0 ? sock : cx_nft_open(&sock, CX_RULESET_TABLE, &fw->nft, err);
}

int cx_firewall_open(const struct cx_firewall_plan *plan, struct cx_firewall **ret,
		     struct cx_err *err)
{
	CX_AUTO(forsake) struct cx_firewall *fw = NULL;
	bool ip6 = plan->router->ip6;
	int keep;

	if (plan->slots > CX_SLOTS_MAX)
		return cx_refuse(err, CX_INVALID, "%u slots", plan->slots);
	fw = calloc(1, sizeof *fw + plan->slots * sizeof fw->slots[0]);
	if (fw == NULL)
		return cx_fail(err, ENOMEM, "the firewall");
	fw->router = plan->router;
	fw->nslots = plan->slots;
	fw->nft.sock = -EBADF;
	if (cx_format(fw->table, sizeof fw->table, "%s", err, plan->table) < 0 ||
	    open_sets(fw, err) < 0)
		return -err->errnum;
	keep = cx_nft_has_chain(&fw->nft, CX_RULESET_SCHEMA, err);
	if (keep < 0 || load_router(plan, keep == 1, err) < 0 || load_host(plan, err) < 0 ||
	    cx_router_run(plan->router, apply_settings, &ip6, err) < 0 ||
	    (keep == 1 && adopt(fw, err) < 0))
		return -err->errnum;
	*ret = cx_take_ptr(&fw);
	return 0;
}

void cx_firewall_discard(const char *table)
{
	struct cx_nft nft = { .sock = -EBADF };
	cx_autofd int sock = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_NETFILTER);
	struct cx_err err;

	if (sock < 0)
		(void)cx_fail(&err, errno, "a socket");
	if (sock < 0 || cx_nft_open(&sock, table, &nft, &err) < 0 ||
	    cx_nft_remove_table(&nft, &err) < 0)
		cx_log_err(CX_LOG_WARNING, &err, "firewall table of the host is left", "table",
			   table, NULL);
	cx_nft_close(&nft);
}

void cx_firewall_close(struct cx_firewall *fw, bool clean)
{
	if (fw == NULL)
		return;
	if (clean)
		cx_firewall_discard(fw->table);
	for (uint32_t i = 0; i < fw->nslots; i++) {
		free(fw->slots[i].parts);
		free(fw->slots[i].permitted);
	}
	cx_nft_close(&fw->nft);
	free(fw);
}

uint32_t cx_firewall_number(const struct cx_firewall *fw, uint32_t slot)
{
	return slot < fw->nslots ? fw->slots[slot].number : 0;
}

void cx_firewall_each(const struct cx_firewall *fw, void (*fn)(void *arg, uint32_t slot), void *arg)
{
	for (uint32_t slot = 0; slot < fw->nslots; slot++)
		if (fw->slots[slot].number != 0)
			fn(arg, slot);
}
