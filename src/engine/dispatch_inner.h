/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CX_ENGINE_DISPATCH_INNER_H
#define CX_ENGINE_DISPATCH_INNER_H

#include "engine/dispatch.h"

/*
 * The inside of what the gateway may ask. dispatch_table.c has the table, the requests about the
 * engine and what the gateway is told unasked; dispatch_create.c makes sandboxes,
 * dispatch_sandbox.c does all else with one, dispatch_image.c is for layers and archives.
 */

/* Who asked: a gateway, told from its successors by its generation, and the number it chose. */
struct cx_asker {
	uint64_t generation;
	uint32_t request;
};

static inline struct cx_asker cx_asker_of_event(const struct cx_dispatch *d)
{
	return (struct cx_asker){ .generation = d->gateway->generation, .request = 0 };
}

/* A tag is the number of a request that its gateway does not outlive. */
static inline struct cx_asker cx_asker_of_tag(const struct cx_dispatch *d, uint64_t tag)
{
	return (struct cx_asker){ .generation = d->gateway->generation, .request = (uint32_t)tag };
}

static inline bool cx_asker_is_there(const struct cx_dispatch *d, struct cx_asker asker)
{
	return d->gateway->link != NULL && asker.generation == d->gateway->generation;
}

/* A send that fails means a gateway that does not read: it is of no use any more. */
#define CX_ANSWER(d, asker, name, fd, ...)                                                    \
	do {                                                                                  \
		struct cx_msg_##name m_ = { __VA_ARGS__ };                                    \
		struct cx_err e_;                                                             \
                                                                                              \
		if (cx_asker_is_there((d), (asker)) &&                                        \
		    cx_reply_##name((d)->gateway->link, (asker).request, &m_, (fd), &e_) < 0) \
			cx_gateway_kill((d)->gateway, &e_);                                   \
	} while (0)

#define CX_ANSWER_EMPTY(d, asker, name)                                                         \
	do {                                                                                    \
		static const struct cx_msg_##name m_;                                           \
		struct cx_err e_;                                                               \
                                                                                                \
		if (cx_asker_is_there((d), (asker)) &&                                          \
		    cx_reply_##name((d)->gateway->link, (asker).request, &m_, -EBADF, &e_) < 0) \
			cx_gateway_kill((d)->gateway, &e_);                                     \
	} while (0)

void cx_answer_error(struct cx_dispatch *d, struct cx_asker asker, const struct cx_err *err);

/* ---- requests ------------------------------------------------------------------------------- */

#define CX_REQUESTS(X)   \
	X(hello)         \
	X(create)        \
	X(create_linked) \
	X(connect)       \
	X(destroy)       \
	X(list)          \
	X(usage)         \
	X(trouble)       \
	X(count)         \
	X(command_slot)  \
	X(pause)         \
	X(resume)        \
	X(layer_build)   \
	X(layer_commit)  \
	X(layer_abort)   \
	X(layer_remove)  \
	X(layer_stat)    \
	X(scan)          \
	X(fetch)         \
	X(layer_check)   \
	X(export)        \
	X(commit)        \
	X(bundle)        \
	X(networking)    \
	X(disks)         \
	X(capacity)      \
	X(network)       \
	X(egress)        \
	X(listen)        \
	X(ssh)

union cx_request {
#define CX_REQUEST(name) struct cx_msg_##name name;
	CX_REQUESTS(CX_REQUEST)
#undef CX_REQUEST
};

/* 0 when answered or to be answered later, else -errno to answer with. fds: the table says how many
 * came; those that are taken over become -EBADF. */
#define CX_REQUEST(name)                                                                          \
	int cx_do_##name(struct cx_dispatch *d, struct cx_asker asker, const union cx_request *m, \
			 int *fds, struct cx_err *err);
CX_REQUESTS(CX_REQUEST)
#undef CX_REQUEST

/* ---- dispatch_sandbox.c ---------------------------------------------------------------------- */

/* One that runs; NULL with *err when there is none, or not any more. */
struct cx_sandbox *cx_dispatch_find(struct cx_dispatch *d, struct cx_str id, struct cx_err *err);

/* What a gateway needs to run commands: a connection to the agent, and where they are counted. */
struct cx_reach {
	int fds[1 + CX_CGROUP_ACCOUNTS_MAX];
	unsigned n;
};

/* On failure, too, *ret is to be closed. */
CX_MUST int cx_reach_open(struct cx_dispatch *d, struct cx_sandbox *sb, struct cx_reach *ret,
			  struct cx_err *err);
void cx_reach_close(struct cx_reach *reach);

#endif
