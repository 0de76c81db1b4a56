/* SPDX-License-Identifier: Apache-2.0 */
#include "resolver/upstream.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/random.h>
#include <sys/socket.h>

#include "base/str.h"
#include "resolver/cases.h"

enum { FAILURE_TTL_S = 5, PREFIX = 2 /* bytes of length in front, over TCP */ };

struct waiter {
	struct waiter *next;
	cx_upstream_done *done;
	void *arg;
};

/* One packet to one server. Its memory is the loop's. */
struct attempt {
	struct cx_source source;
	struct cx_asking *asking; /* NULL: given up */
	bool tcp, sent;
	uint16_t id;
	uint8_t question[PREFIX + CX_DNS_QUERY_MAX];
	size_t question_len; /* without the prefix */
	size_t got;	     /* bytes over TCP, prefix included */
	uint8_t *bytes;
};

struct cx_asking {
	struct cx_upstream *up;
	struct cx_asking *next; /* in its bucket */
	struct waiter *waiters;
	struct attempt *attempt;
	unsigned tries, server;
	uint64_t until_ms;
	uint16_t type;
	char name[CX_NAME_TEXT];
};

static void next_try(struct cx_asking *asking, bool tcp);

int cx_upstream_add(struct cx_upstream *up, const struct cx_address *address, uint16_t port,
		    struct cx_err *err)
{
	if (up->nservers == CX_UPSTREAM_SERVERS)
		return cx_refuse(err, CX_LIMIT, "more than %d name servers", CX_UPSTREAM_SERVERS);
	up->servers[up->nservers].len =
		cx_address_to_socket(address, port, &up->servers[up->nservers].address);
	up->nservers++;
	return 0;
}

/* ---- the end of a question ------------------------------------------------------------------- */

static void destroy_attempt(struct cx_source *source)
{
	struct attempt *attempt = cx_container_of(source, struct attempt, source);

	free(attempt->bytes);
	free(attempt);
}

static void drop_attempt(struct cx_asking *asking)
{
	struct attempt *attempt = asking->attempt;

	asking->attempt = NULL;
	if (attempt == NULL)
		return;
	attempt->asking = NULL;
	cx_loop_drop(asking->up->loop, &attempt->source);
}

static void unlink_asking(struct cx_asking *asking)
{
	struct cx_upstream *up = asking->up;
	uint32_t hash = cx_name_hash(asking->name, asking->type);
	struct cx_asking **at = &up->buckets[hash % CX_UPSTREAM_BUCKETS];

	while (*at != asking)
		at = &(*at)->next;
	*at = asking->next;
	up->nasking--;
	drop_attempt(asking);
}

static void free_asking(struct cx_asking *asking)
{
	while (asking->waiters != NULL) {
		struct waiter *w = asking->waiters;

		asking->waiters = w->next;
		free(w);
	}
	free(asking);
}

static void finish(struct cx_asking *asking, struct cx_answer *answer)
{
	unlink_asking(asking);
	for (struct waiter *w = asking->waiters; w != NULL; w = w->next)
		w->done(w->arg, answer);
	free_asking(asking);
}

static void fail(struct cx_asking *asking)
{
	CX_AUTO(cx_answer_unref)
	struct cx_answer *answer = cx_answer_empty(CX_RCODE_SERVFAIL, FAILURE_TTL_S);

	finish(asking, answer);
}

/* ---- one try --------------------------------------------------------------------------------- */

/* Over UDP an answer may be a guess of anybody's: TCP tells, also of servers that change cases. */
static bool may_be_guessed(const struct attempt *attempt, const uint8_t *packet, size_t len)
{
	return !attempt->tcp &&
	       !cx_cases_same(attempt->question + PREFIX, attempt->question_len, packet, len);
}

static void heard(struct cx_asking *asking, const uint8_t *packet, size_t len)
{
	const struct attempt *attempt = asking->attempt;
	CX_AUTO(cx_answer_unref) struct cx_answer *answer = NULL;
	enum cx_said said =
		cx_answer_parse(packet, len, asking->name, asking->type, attempt->id, &answer);

	if (said == CX_SAID_ANSWER && may_be_guessed(attempt, packet, len))
		said = CX_SAID_TRUNCATED;
	switch (said) {
	case CX_SAID_ANSWER:
		asking->up->first = asking->server;
		finish(asking, answer);
		break;
	case CX_SAID_TRUNCATED:
		next_try(asking, !attempt->tcp);
		break;
	case CX_SAID_FAILURE:
		next_try(asking, false);
		break;
	case CX_SAID_OTHER:
		if (attempt->tcp)
			next_try(asking, false);
		break;
	}
}

static void read_udp(struct attempt *attempt)
{
	struct cx_upstream *up = attempt->asking->up;
	ssize_t n = recv(attempt->source.fd, up->packet, sizeof up->packet, 0);

	if (n >= 0)
		heard(attempt->asking, up->packet, (size_t)n);
	else if (errno != EAGAIN && errno != EINTR)
		next_try(attempt->asking, false); /* refused: nobody is there */
}

static size_t tcp_wants(const struct attempt *attempt)
{
	if (attempt->got < PREFIX)
		return PREFIX;
	return (size_t)PREFIX + (size_t)(attempt->bytes[0] << 8 | attempt->bytes[1]);
}

static void read_tcp(struct attempt *attempt)
{
	size_t wants = tcp_wants(attempt);
	ssize_t n =
		recv(attempt->source.fd, attempt->bytes + attempt->got, wants - attempt->got, 0);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		next_try(attempt->asking, false);
		return;
	}
	attempt->got += (size_t)n;
	if (attempt->got > PREFIX && attempt->got == tcp_wants(attempt))
		heard(attempt->asking, attempt->bytes + PREFIX, attempt->got - PREFIX);
}

static int write_question(struct attempt *attempt, struct cx_err *err)
{
	const struct cx_asking *asking = attempt->asking;
	uint8_t cases[CX_CASES];
	int len;

	if (getrandom(&attempt->id, sizeof attempt->id, 0) != (ssize_t)sizeof attempt->id ||
	    getrandom(cases, sizeof cases, 0) != (ssize_t)sizeof cases)
		return cx_fail(err, errno, "random bytes");
	len = cx_question_build(asking->name, asking->type, attempt->id, attempt->question + PREFIX,
				err);
	if (len < 0)
		return len;
	cx_cases_set(attempt->question + PREFIX, (size_t)len, cases);
	attempt->question_len = (size_t)len;
	attempt->question[0] = (uint8_t)(len >> 8);
	attempt->question[1] = (uint8_t)len;
	return 0;
}

/* Over TCP the question and its length go in one piece: a fresh connection has room for it. */
static int send_question(struct attempt *attempt, struct cx_err *err)
{
	size_t skip = attempt->tcp ? 0 : PREFIX, len = PREFIX + attempt->question_len - skip;

	if (send(attempt->source.fd, attempt->question + skip, len, MSG_NOSIGNAL) != (ssize_t)len)
		return cx_fail(err, errno, "ask a name server");
	attempt->sent = true;
	return 0;
}

static void attempt_ready(struct cx_source *source, uint32_t events)
{
	struct attempt *attempt = cx_container_of(source, struct attempt, source);
	struct cx_upstream *up = attempt->asking->up;
	struct cx_err err;

	if (!attempt->sent) { /* TCP: connected, or not */
		if ((events & (EPOLLERR | EPOLLHUP)) != 0 || send_question(attempt, &err) < 0 ||
		    cx_loop_change(up->loop, source, EPOLLIN, &err) < 0)
			next_try(attempt->asking, false);
	} else if (attempt->tcp) {
		read_tcp(attempt);
	} else {
		read_udp(attempt);
	}
}

/* A connected UDP socket hears its server only; the kernel chooses the port at random. */
static int open_socket(const struct cx_asking *asking, bool tcp, struct cx_err *err)
{
	const struct cx_upstream *up = asking->up;
	const struct sockaddr_in6 *to = &up->servers[asking->server].address;
	int type = (tcp ? SOCK_STREAM : SOCK_DGRAM) | SOCK_NONBLOCK | SOCK_CLOEXEC;
	cx_autofd int sock = socket(to->sin6_family, type, 0);

	if (sock < 0 ||
	    (connect(sock, (const struct sockaddr *)to, up->servers[asking->server].len) < 0 &&
	     errno != EINPROGRESS))
		return cx_fail(err, errno, "connect to a name server");
	return cx_take_fd(&sock);
}

static int watch(struct attempt *attempt, struct cx_err *err)
{
	struct cx_loop *loop = attempt->asking->up->loop;
	cx_autofd int sock = open_socket(attempt->asking, attempt->tcp, err);

	if (sock < 0)
		return sock;
	attempt->source = (struct cx_source){ .fd = sock,
					      .ready = attempt_ready,
					      .destroy = destroy_attempt };
	if (cx_loop_add(loop, &attempt->source, attempt->tcp ? EPOLLOUT : EPOLLIN, err) < 0)
		return -err->errnum;
	(void)cx_take_fd(&sock);
	return 0;
}

static int begin(struct cx_asking *asking, bool tcp, struct cx_err *err)
{
	struct attempt *attempt = calloc(1, sizeof *attempt);

	if (attempt != NULL && tcp)
		attempt->bytes = malloc(PREFIX + 65535);
	if (attempt == NULL || (tcp && attempt->bytes == NULL)) {
		free(attempt);
		return cx_fail(err, ENOMEM, "ask a name server");
	}
	attempt->asking = asking;
	attempt->tcp = tcp;
	if (write_question(attempt, err) < 0 || watch(attempt, err) < 0) {
		destroy_attempt(&attempt->source);
		return -err->errnum;
	}
	asking->attempt = attempt;
	asking->until_ms = cx_now_ms() + CX_UPSTREAM_TRY_MS;
	return tcp ? 0 : send_question(attempt, err);
}

/* The same server over TCP, else the next one. Ends the question when all tries are used up. */
static void next_try(struct cx_asking *asking, bool tcp)
{
	struct cx_err err;

	for (;; tcp = false) {
		if (!tcp && asking->tries > 0)
			asking->server = (asking->server + 1) % asking->up->nservers;
		drop_attempt(asking);
		if (asking->tries++ == CX_UPSTREAM_TRIES) {
			fail(asking);
			return;
		}
		if (begin(asking, tcp, &err) == 0)
			return;
	}
}

/* ---- questions ------------------------------------------------------------------------------- */

static int add_waiter(struct cx_asking *asking, cx_upstream_done *done, void *arg,
		      struct cx_err *err)
{
	struct waiter *w = calloc(1, sizeof *w);

	if (w == NULL)
		return cx_fail(err, ENOMEM, "a question");
	*w = (struct waiter){ asking->waiters, done, arg };
	asking->waiters = w;
	return 0;
}

int cx_upstream_ask(struct cx_upstream *up, const char *name, uint16_t type, cx_upstream_done *done,
		    void *arg, struct cx_err *err)
{
	struct cx_asking **bucket = &up->buckets[cx_name_hash(name, type) % CX_UPSTREAM_BUCKETS];
	struct cx_asking *asking;

	for (asking = *bucket; asking != NULL; asking = asking->next)
		if (asking->type == type && strcmp(asking->name, name) == 0)
			return add_waiter(asking, done, arg, err);
	if (up->nservers == 0 || up->nasking == CX_UPSTREAM_ASKING)
		return cx_refuse(err, CX_UNAVAILABLE, "%u questions to %u servers", up->nasking,
				 up->nservers);
	asking = calloc(1, sizeof *asking);
	if (asking == NULL || add_waiter(asking, done, arg, err) < 0) {
		free(asking);
		return cx_fail(err, ENOMEM, "a question");
	}
	asking->up = up;
	asking->type = type;
	asking->server = up->first;
	(void)!cx_format(asking->name, sizeof asking->name, "%s", err, name);
	asking->next = *bucket;
	*bucket = asking;
	up->nasking++;
	next_try(asking, false);
	return 0;
}

void cx_upstream_tick(struct cx_upstream *up, uint64_t now_ms)
{
	for (size_t i = 0; i < CX_UPSTREAM_BUCKETS; i++) {
		struct cx_asking *asking = up->buckets[i], *next;

		for (; asking != NULL; asking = next) {
			next = asking->next;
			if (now_ms >= asking->until_ms)
				next_try(asking, false);
		}
	}
}

void cx_upstream_close(struct cx_upstream *up)
{
	for (size_t i = 0; i < CX_UPSTREAM_BUCKETS; i++) {
		while (up->buckets[i] != NULL) {
			struct cx_asking *asking = up->buckets[i];

			unlink_asking(asking);
			free_asking(asking);
		}
	}
}
