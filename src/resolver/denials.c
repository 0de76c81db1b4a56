/* SPDX-License-Identifier: Apache-2.0 */
#include "resolver/denials.h"

static void tell(struct cx_denials *denials, struct cx_denial *d, uint64_t now_ms)
{
	struct cx_msg_denied m = { .slot = d->slot,
				   .number = d->number,
				   .address = cx_address_bytes(&d->to),
				   .protocol = d->protocol,
				   .port = d->port,
				   .name = cx_str_of(d->name),
				   .why = cx_str_of(d->why),
				   .count = d->count };

	d->count = 0;
	d->told_ms = now_ms;
	denials->tell(denials->arg, &m);
}

static bool is_same(const struct cx_denial *a, const struct cx_denial *b)
{
	return a->slot == b->slot && a->number == b->number && a->generation == b->generation &&
	       cx_address_equal(&a->to, &b->to) && a->protocol == b->protocol &&
	       a->port == b->port && strcmp(a->name, b->name) == 0 && strcmp(a->why, b->why) == 0;
}

static void note(struct cx_denials *denials, struct cx_guest *guest, struct cx_denial *new,
		 uint64_t now_ms)
{
	struct cx_denial *at;

	new->slot = guest->slot;
	new->generation = guest->generation;
	for (size_t i = 0; i < CX_DENIALS_KEPT; i++) {
		at = &denials->kept[i];
		if (at->told_ms != 0 && is_same(at, new)) {
			at->count += at->count < UINT32_MAX;
			return;
		}
	}
	if (!cx_bucket_take(&guest->denials, now_ms, CX_DENIALS_A_SECOND, CX_DENIALS_AT_ONCE))
		return;
	at = &denials->kept[denials->next++ % CX_DENIALS_KEPT];
	if (at->told_ms != 0 && at->count > 0)
		tell(denials, at, now_ms);
	*at = *new;
	at->count = 1;
	tell(denials, at, now_ms);
}

void cx_denials_packet(struct cx_denials *denials, struct cx_guest *guest,
		       const struct cx_refusal *refusal, uint64_t now_ms)
{
	struct cx_denial new = { .number = refusal->number,
				 .to = refusal->to,
				 .protocol = refusal->protocol,
				 .port = refusal->port };

	(void)cx_str_copy(cx_str_of(refusal->why), new.why, sizeof new.why);
	note(denials, guest, &new, now_ms);
}

void cx_denials_name(struct cx_denials *denials, struct cx_guest *guest, const char *name,
		     const char *why, uint64_t now_ms)
{
	struct cx_denial new = { .number = guest->names != NULL ? guest->names->number : 0 };

	(void)cx_str_copy(cx_str_of(name), new.name, sizeof new.name);
	(void)cx_str_copy(cx_str_of(why), new.why, sizeof new.why);
	note(denials, guest, &new, now_ms);
}

bool cx_denials_tick(struct cx_denials *denials, uint64_t now_ms)
{
	bool more = false;

	for (size_t i = 0; i < CX_DENIALS_KEPT; i++) {
		struct cx_denial *d = &denials->kept[i];

		if (d->told_ms != 0 && now_ms - d->told_ms >= CX_DENIALS_SAME_MS) {
			if (d->count > 0)
				tell(denials, d, now_ms);
			else
				d->told_ms = 0;
		}
		more |= d->told_ms != 0;
	}
	return more;
}
