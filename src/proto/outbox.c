/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/outbox.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

struct cx_waiting { /* a packet that the peer has not taken yet */
	struct cx_waiting *next;
	uint16_t type;
	uint32_t request;
	unsigned nfds;
	size_t len;
	int fds[CX_PACKET_FDS_MAX];
	uint8_t bytes[];
};

void cx_outbox_open(struct cx_outbox *ret, struct cx_loop *loop, struct cx_source *source,
		    unsigned max)
{
	*ret = (struct cx_outbox){ .loop = loop, .source = source, .max = max };
	ret->last = &ret->first;
}

static void drop(struct cx_waiting *w)
{
	for (unsigned i = 0; i < w->nfds; i++)
		cx_close(&w->fds[i]);
	explicit_bzero(w->bytes, w->len);
	free(w);
}

void cx_outbox_clear(struct cx_outbox *outbox)
{
	while (outbox->first != NULL) {
		struct cx_waiting *w = outbox->first;

		outbox->first = w->next;
		drop(w);
	}
	outbox->last = &outbox->first;
	outbox->n = 0;
}

static struct cx_waiting *copy(const uint8_t *packet, size_t len, const int *fds, unsigned nfds,
			       struct cx_err *err)
{
	struct cx_waiting *w = malloc(sizeof *w + len);

	if (w == NULL) {
		(void)cx_fail(err, ENOMEM, "keep a packet");
		return NULL;
	}
	*w = (struct cx_waiting){ .len = len };
	memcpy(w->bytes, packet, len);
	for (; w->nfds < nfds; w->nfds++) {
		w->fds[w->nfds] = fcntl(fds[w->nfds], F_DUPFD_CLOEXEC, 3);
		if (w->fds[w->nfds] < 0) {
			(void)cx_fail(err, errno, "keep a packet's descriptor");
			drop(w);
			return NULL;
		}
	}
	return w;
}

static int keep(struct cx_outbox *outbox, const uint8_t *packet, size_t len, uint16_t type,
		uint32_t request, const int *fds, unsigned nfds, struct cx_err *err)
{
	struct cx_waiting *w;

	if (outbox->n == outbox->max)
		return cx_refuse(err, CX_UNAVAILABLE, "%u packets wait already", outbox->n);
	w = copy(packet, len, fds, nfds, err);
	if (w == NULL)
		return -err->errnum;
	w->type = type;
	w->request = request;
	*outbox->last = w;
	outbox->last = &w->next;
	if (outbox->n++ > 0)
		return 0;
	return cx_loop_change(outbox->loop, outbox->source, EPOLLIN | EPOLLOUT, err);
}

int cx_outbox_post(struct cx_outbox *outbox, uint8_t *packet, size_t len, uint16_t type,
		   uint32_t request, const int *fds, unsigned nfds, struct cx_err *err)
{
	int r = -EAGAIN;

	if (outbox->first == NULL)
		r = cx_packet_send(outbox->source->fd, packet, len, type, request, fds, nfds, err);
	return r == -EAGAIN ? keep(outbox, packet, len, type, request, fds, nfds, err) : r;
}

int cx_outbox_flush(struct cx_outbox *outbox, struct cx_err *err)
{
	while (outbox->first != NULL) {
		struct cx_waiting *w = outbox->first;
		int r = cx_packet_send(outbox->source->fd, w->bytes, w->len, w->type, w->request,
				       w->fds, w->nfds, err);

		if (r == -EAGAIN)
			return 0;
		if (r < 0)
			return r;
		outbox->first = w->next;
		outbox->n--;
		drop(w);
	}
	outbox->last = &outbox->first;
	return cx_loop_change(outbox->loop, outbox->source, EPOLLIN, err);
}
