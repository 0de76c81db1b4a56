/* SPDX-License-Identifier: Apache-2.0 */
#include "resolver/guests.h"

#include <errno.h>
#include <stdlib.h>

static void free_names(struct cx_names **names)
{
	struct cx_names *n = *names;

	*names = NULL;
	if (n == NULL)
		return;
	while (n->rules != NULL) {
		struct cx_rule *rule = n->rules;

		n->rules = rule->next;
		free(rule);
	}
	while (n->peers != NULL) {
		struct cx_peer *peer = n->peers;

		n->peers = peer->next;
		free(peer);
	}
	free(n);
}

static void drop_told(struct cx_guests *guests, struct cx_guest *guest, struct cx_told **at)
{
	struct cx_told *told = *at;

	*at = told->next;
	guest->ntold--;
	guests->ntold--;
	free(told);
}

void cx_guests_clear(struct cx_guests *guests)
{
	for (size_t i = 0; i < CX_LEN(guests->all); i++) {
		struct cx_guest *guest = guests->all[i];

		if (guest == NULL)
			continue;
		cx_guest_forget(guests, guest);
		free(guest);
		guests->all[i] = NULL;
	}
}

struct cx_guest *cx_guests_at(struct cx_guests *guests, uint32_t slot)
{
	if (slot >= guests->n || slot >= CX_SLOTS_MAX)
		return NULL;
	if (guests->all[slot] == NULL) {
		guests->all[slot] = calloc(1, sizeof *guests->all[slot]);
		if (guests->all[slot] != NULL)
			guests->all[slot]->slot = slot;
	}
	return guests->all[slot];
}

struct cx_guest *cx_guests_from(struct cx_guests *guests, const struct cx_address *address)
{
	const struct cx_address *base = address->len == 4 ? &guests->base4 : &guests->base6;
	uint32_t slot = 0;

	return cx_address_offset(address, base, guests->n, &slot) ? cx_guests_at(guests, slot)
								  : NULL;
}

/* ---- what the gateway says ------------------------------------------------------------------- */

int cx_guest_begin(struct cx_guest *guest, const struct cx_msg_names_begin *m, struct cx_err *err)
{
	free_names(&guest->next_names);
	guest->next_names = calloc(1, sizeof *guest->next_names);
	if (guest->next_names == NULL)
		return cx_fail(err, ENOMEM, "names of slot %u", guest->slot);
	guest->next_names->number = m->number;
	guest->next_names->mode = (enum cx_egress)m->mode;
	return 0;
}

static int check_begun(const struct cx_guest *guest, struct cx_err *err)
{
	if (guest->next_names == NULL)
		return cx_refuse(err, CX_INVALID, "slot %u: names_begin is missing", guest->slot);
	return 0;
}

static bool check_ports(const struct cx_msg_name_rule *m)
{
	unsigned all = 0;

	if (m->any_port)
		return m->ports.len == 0;
	for (uint32_t i = 0; i + 4 <= m->ports.len; i += 4) {
		const uint8_t *p = (const uint8_t *)m->ports.p + i;
		unsigned low = (unsigned)(p[0] | p[1] << 8), high = (unsigned)(p[2] | p[3] << 8);

		if (low == 0 || high < low)
			return false;
		all += high - low + 1;
	}
	return m->ports.len > 0 && m->ports.len % 4 == 0 && all <= CX_PERMIT_PORTS_MAX;
}

/* The whole name with "*." as it came, when it is one. */
static bool check_rule_name(struct cx_str name)
{
	char text[CX_NAME_TEXT];
	bool below = name.len > 2 && memcmp(name.p, "*.", 2) == 0;
	struct cx_str rest = below ? (struct cx_str){ name.p + 2, name.len - 2 } : name;

	return cx_name_take(rest, text);
}

int cx_guest_rule(struct cx_guest *guest, const struct cx_msg_name_rule *m, struct cx_err *err)
{
	struct cx_names *names = guest->next_names;
	struct cx_rule *rule;

	if (check_begun(guest, err) < 0)
		return -err->errnum;
	if (names->nrules == CX_RULES_MAX || !check_rule_name(m->name) || !check_ports(m))
		return cx_refuse(err, CX_INVALID, "slot %u: rule %u", guest->slot, names->nrules);
	rule = calloc(1, sizeof *rule + m->name.len + 1 + m->ports.len);
	if (rule == NULL)
		return cx_fail(err, ENOMEM, "a rule");
	rule->name = (char *)(rule + 1);
	memcpy(rule->name, m->name.p, m->name.len);
	rule->ports = (struct cx_str){ rule->name + m->name.len + 1, m->ports.len };
	if (m->ports.len > 0)
		memcpy(rule->name + m->name.len + 1, m->ports.p, m->ports.len);
	rule->any_port = m->any_port != 0;
	rule->next = names->rules;
	names->rules = rule;
	names->nrules++;
	return 0;
}

int cx_guest_peer(struct cx_guest *guest, const struct cx_msg_peer *m, struct cx_err *err)
{
	struct cx_names *names = guest->next_names;
	struct cx_peer *peer;

	if (check_begun(guest, err) < 0)
		return -err->errnum;
	if (names->npeers == CX_PEERS_MAX || m->address4.len % 4 != 0 || m->address6.len % 16 != 0)
		return cx_refuse(err, CX_INVALID, "slot %u: peer %u", guest->slot, names->npeers);
	peer = calloc(1, sizeof *peer);
	if (peer == NULL)
		return cx_fail(err, ENOMEM, "a peer");
	if (!cx_name_take(m->name, peer->name)) {
		free(peer);
		return cx_refuse(err, CX_INVALID, "slot %u: name of peer %u", guest->slot,
				 names->npeers);
	}
	(void)!cx_address_take(m->address4, &peer->addresses[0]); /* empty: none */
	(void)!cx_address_take(m->address6, &peer->addresses[1]);
	peer->next = names->peers;
	names->peers = peer;
	names->npeers++;
	return 0;
}

int cx_guest_end(struct cx_guest *guest, struct cx_err *err)
{
	if (check_begun(guest, err) < 0)
		return -err->errnum;
	free_names(&guest->names);
	guest->names = cx_take_ptr(&guest->next_names);
	return 0;
}

void cx_guest_forget(struct cx_guests *guests, struct cx_guest *guest)
{
	free_names(&guest->names);
	free_names(&guest->next_names);
	while (guest->told != NULL)
		drop_told(guests, guest, &guest->told);
	guest->generation++;
}

/* ---- what it means --------------------------------------------------------------------------- */

const struct cx_peer *cx_names_peer(const struct cx_names *names, const char *name)
{
	for (const struct cx_peer *p = names != NULL ? names->peers : NULL; p != NULL; p = p->next)
		if (strcmp(p->name, name) == 0)
			return p;
	return NULL;
}

unsigned cx_names_match(const struct cx_names *names, const char *name,
			const struct cx_rule *ret[CX_MATCHES_MAX])
{
	unsigned n = 0;

	for (const struct cx_rule *r = names->rules; r != NULL; r = r->next) {
		if (!cx_name_matches(r->name, name))
			continue;
		if (r->any_port) {
			ret[0] = r;
			return 1;
		}
		if (n < CX_MATCHES_MAX)
			ret[n++] = r;
	}
	return n;
}

bool cx_names_allow(const struct cx_names *names, const char *name)
{
	const struct cx_rule *matches[CX_MATCHES_MAX];
	bool any;

	if (names == NULL)
		return false;
	any = cx_names_match(names, name, matches) > 0;
	switch (names->mode) {
	case CX_EGRESS_ALL:
		return true;
	case CX_EGRESS_ALLOW:
		return any;
	case CX_EGRESS_DENY:
		return !any;
	case CX_EGRESS_NONE:
	case CX_EGRESS_MAX:
		break;
	}
	return false;
}

/* ---- what it was told ------------------------------------------------------------------------ */

static bool is_told(const struct cx_told *told, const char *name, const struct cx_address *address)
{
	return cx_address_equal(&told->address, address) && strcmp(told->name, name) == 0;
}

bool cx_told_until(const struct cx_guest *guest, const char *name, const struct cx_address *address,
		   uint32_t number, uint64_t until_ms)
{
	for (const struct cx_told *t = guest->told; t != NULL; t = t->next)
		if (is_told(t, name, address))
			return t->number == number && t->until_ms >= until_ms;
	return false;
}

uint32_t cx_told_again_s(const struct cx_told *told, uint64_t now_ms)
{
	uint64_t left_s = told->until_ms > now_ms ? (told->until_ms - now_ms) / 1000 + 1 : 0;

	return left_s > CX_TOLD_AGAIN_S ? (uint32_t)left_s : CX_TOLD_AGAIN_S;
}

void cx_told_expire(struct cx_guests *guests, struct cx_guest *guest, uint64_t now_ms)
{
	struct cx_told **at = &guest->told;

	while (*at != NULL) {
		if ((*at)->keep_ms <= now_ms)
			drop_told(guests, guest, at);
		else
			at = &(*at)->next;
	}
}

void cx_told_note(struct cx_guests *guests, struct cx_guest *guest, const char *name,
		  const struct cx_address *address, uint32_t number, uint64_t until_ms)
{
	struct cx_told **at = &guest->told, *told;

	while (*at != NULL) {
		bool full = guest->ntold >= CX_TOLD_MAX || guests->ntold >= CX_TOLD_ALL_MAX;

		if (is_told(*at, name, address) || (full && (*at)->next == NULL))
			drop_told(guests, guest, at);
		else
			at = &(*at)->next;
	}
	told = guests->ntold < CX_TOLD_ALL_MAX ? calloc(1, sizeof *told + strlen(name) + 1) : NULL;
	if (told == NULL)
		return;
	told->address = *address;
	told->number = number;
	told->until_ms = until_ms;
	told->keep_ms = until_ms + 1000ULL * CX_TOLD_KEPT_S;
	memcpy(told->name, name, strlen(name) + 1);
	told->next = guest->told;
	guest->told = told;
	guest->ntold++;
	guests->ntold++;
}
