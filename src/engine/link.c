/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/link.h"

#include <fcntl.h>
#include <string.h>
#include <sys/epoll.h>

#include "base/fd.h"

struct waiting {
	struct waiting *next;
	uint32_t request;
	uint16_t type;
	int fds[CX_LINK_FDS_MAX];
	unsigned nfds;
	size_t len;
	uint8_t bytes[];
};

struct cx_link {
	struct cx_source source;
	struct cx_loop *loop;
	struct cx_packet *scratch;
	const struct cx_link_ops *ops;
	void *owner;
	struct waiting *first, **last;
	unsigned nwaiting;
};

static void free_waiting(struct waiting *w)
{
	for (unsigned i = 0; i < w->nfds; i++)
		cx_close(&w->fds[i]);
	free(w);
}

static void destroy(struct cx_source *source)
{
	struct cx_link *link = cx_container_of(source, struct cx_link, source);

	while (link->first != NULL) {
		struct waiting *w = link->first;

		link->first = w->next;
		free_waiting(w);
	}
	free(link);
}

static void fail(struct cx_link *link, const struct cx_err *err)
{
	cx_loop_drop(link->loop, &link->source);
	link->ops->closed(link->owner, err);
}

static int send_one(struct cx_link *link, struct waiting *w, struct cx_err *err)
{
	return cx_packet_send(link->source.fd, w->bytes, w->len, w->type, w->request, w->fds,
			      w->nfds, err);
}

/* Sends what waits, as far as the peer takes it. */
static int flush(struct cx_link *link, struct cx_err *err)
{
	while (link->first != NULL) {
		struct waiting *w = link->first;

		if (send_one(link, w, err) < 0)
			return err->errnum == EAGAIN ? 0 : -err->errnum;
		link->first = w->next;
		link->nwaiting--;
		free_waiting(w);
	}
	link->last = &link->first;
	return cx_loop_change(link->loop, &link->source, EPOLLIN, err);
}

static void ready(struct cx_source *source, uint32_t events)
{
	struct cx_link *link = cx_container_of(source, struct cx_link, source);
	struct cx_err err;
	int r;

	if ((events & EPOLLOUT) != 0 && flush(link, &err) < 0) {
		fail(link, &err);
		return;
	}
	if ((events & (EPOLLIN | EPOLLHUP | EPOLLERR)) == 0)
		return;
	r = cx_packet_recv(source->fd, link->scratch, &err);
	if (r == -EAGAIN)
		return;
	if (r <= 0) {
		fail(link, r < 0 ? &err : NULL);
		return;
	}
	link->ops->packet(link->owner, link->scratch);
	cx_packet_drop(link->scratch);
}

int cx_link_open(struct cx_loop *loop, struct cx_packet *scratch, int *sock,
		 const struct cx_link_ops *ops, void *owner, struct cx_link **ret,
		 struct cx_err *err)
{
	struct cx_link *link = calloc(1, sizeof *link);

	if (link == NULL)
		return cx_fail(err, ENOMEM, "watch a connection");
	*link = (struct cx_link){
		.source = { .fd = *sock, .ready = ready, .destroy = destroy },
		.loop = loop,
		.scratch = scratch,
		.ops = ops,
		.owner = owner,
	};
	link->last = &link->first;
	if (cx_set_nonblock(*sock, true, err) < 0 ||
	    cx_loop_add(loop, &link->source, EPOLLIN, err) < 0) {
		free(link);
		return -err->errnum;
	}
	*sock = -EBADF;
	*ret = link;
	return 0;
}

void cx_link_close(struct cx_link *link)
{
	if (link != NULL)
		cx_loop_drop(link->loop, &link->source);
}

int cx_link_sock(const struct cx_link *link)
{
	return link->source.fd;
}

static int enqueue(struct cx_link *link, const uint8_t *packet, size_t len, uint16_t type,
		   uint32_t request, const int *fds, unsigned nfds, struct cx_err *err)
{
	struct waiting *w;

	if (link->nwaiting == CX_LINK_QUEUE_MAX)
		return cx_refuse(err, CX_LIMIT, "%d packets wait for a peer that does not read",
				 CX_LINK_QUEUE_MAX);
	w = malloc(sizeof *w + len);
	if (w == NULL)
		return cx_fail(err, ENOMEM, "keep a packet");
	*w = (struct waiting){ .request = request, .type = type, .len = len };
	memcpy(w->bytes, packet, len);
	for (; w->nfds < nfds; w->nfds++) {
		w->fds[w->nfds] = fcntl(fds[w->nfds], F_DUPFD_CLOEXEC, 3);
		if (w->fds[w->nfds] < 0) {
			(void)cx_fail(err, errno, "keep a descriptor");
			free_waiting(w);
			return -err->errnum;
		}
	}
	*link->last = w;
	link->last = &w->next;
	link->nwaiting++;
	return 0;
}

int cx_link_send(struct cx_link *link, uint8_t *packet, size_t len, uint16_t type, uint32_t request,
		 const int *fds, unsigned nfds, struct cx_err *err)
{
	if (nfds > CX_LINK_FDS_MAX)
		return cx_refuse(err, CX_INTERNAL, "%u descriptors with a message", nfds);
	if (link->first == NULL) {
		if (cx_packet_send(link->source.fd, packet, len, type, request, fds, nfds, err) ==
		    0)
			return 0;
		if (err->errnum != EAGAIN)
			return -err->errnum;
	}
	if (enqueue(link, packet, len, type, request, fds, nfds, err) < 0)
		return -err->errnum;
	return cx_loop_change(link->loop, &link->source, EPOLLIN | EPOLLOUT, err);
}
