/* SPDX-License-Identifier: Apache-2.0 */
#include "api/tlsfront.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <stdbool.h>
#include <string.h>
#include <sys/epoll.h>

#include "base/fd.h"
#include "base/list.h"

enum {
	PIECE = 16 << 10,
	ACCEPTS = 64,	/* in one turn */
	PAUSE_MS = 200, /* when there are no more descriptors */
	END_MS = 30000, /* for the last bytes, when the server has done with a connection */
};

struct door { /* a listening socket */
	struct cx_source source;
	struct cx_tlsfront *front;
	struct cx_timer pause;
	size_t n, most;
	void (*take)(void *arg, int plain, const struct sockaddr *addr, socklen_t len);
	void *arg;
	unsigned holders; /* its source and its connections */
	struct door *next;
};

struct pump { /* of one connection; freed when both sources are gone */
	struct door *door;
	struct cx_source tls, plain;
	int theirs; /* the other end of plain, as long as it is open; newer pumps are told first */
	uint32_t armed[2];
	SSL *ssl;
	char in[PIECE], out[PIECE]; /* decrypted; to be encrypted */
	size_t nin, nout;
	uint32_t wants; /* of the encrypted side, by the last calls of SSL_read() and SSL_write() */
	bool plain_ended, plain_gone, tls_ended, said_bye;
	bool asked;		  /* the client has sent something */
	bool heard_bye, told_bye; /* and sends nothing more, but may still listen */
	struct cx_timer timer;
	unsigned holders;
	struct pump *next, **link;
};

struct cx_tlsfront {
	struct cx_loop *loop;
	SSL_CTX *context;
	struct door *doors;
	struct pump *pumps;
	unsigned holders; /* its owner and the doors */
};

/* ---- the certificate ------------------------------------------------------------------------- */

static int no_password(char *to, int size, int writing, void *arg)
{
	(void)to;
	(void)size;
	(void)writing;
	(void)arg;
	return -1;
}

static bool use_chain(SSL_CTX *context, const char *pem)
{
	BIO *bio = BIO_new_mem_buf(pem, -1);
	bool fine = false;

	for (X509 *cert; bio != NULL && (cert = PEM_read_bio_X509(bio, NULL, no_password, NULL));) {
		bool first = !fine;

		fine = (first ? SSL_CTX_use_certificate(context, cert)
			      : SSL_CTX_add1_chain_cert(context, cert)) == 1;
		X509_free(cert);
		if (!fine)
			break;
	}
	BIO_free(bio);
	ERR_clear_error(); /* the end of the text is one, too */
	return fine;
}

static bool use_key(SSL_CTX *context, const char *pem)
{
	BIO *bio = BIO_new_mem_buf(pem, -1);
	EVP_PKEY *key = bio != NULL ? PEM_read_bio_PrivateKey(bio, NULL, no_password, NULL) : NULL;
	bool fine = key != NULL && SSL_CTX_use_PrivateKey(context, key) == 1 &&
		    SSL_CTX_check_private_key(context) == 1;

	EVP_PKEY_free(key);
	BIO_free(bio);
	ERR_clear_error();
	return fine;
}

int cx_tlsfront_renew(struct cx_tlsfront *front, const char *cert, const char *key,
		      struct cx_err *err)
{
	SSL_CTX *context = SSL_CTX_new(TLS_server_method());

	if (context == NULL || SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION) != 1 ||
	    !use_chain(context, cert) || !use_key(context, key)) {
		SSL_CTX_free(context);
		return cx_refuse(err, CX_INVALID,
				 "do the certificate and its key belong together?");
	}
	(void)SSL_CTX_set_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE |
						SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
						SSL_MODE_RELEASE_BUFFERS);
	(void)SSL_CTX_set_options(context, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_TICKET);
	(void)SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
	SSL_CTX_free(front->context);
	front->context = context;
	return 0;
}

/* ---- memory ---------------------------------------------------------------------------------- */

static void release_front(struct cx_tlsfront *front)
{
	if (--front->holders > 0)
		return;
	SSL_CTX_free(front->context);
	free(front);
}

static void release_door(struct door *door)
{
	if (--door->holders > 0)
		return;
	release_front(door->front);
	free(door);
}

static void release_pump(struct pump *p)
{
	if (--p->holders > 0)
		return;
	cx_timer_clear(&p->timer);
	cx_list_remove(p);
	p->door->n--;
	release_door(p->door);
	SSL_free(p->ssl);
	free(p);
}

static void tls_gone(struct cx_source *source)
{
	release_pump(cx_container_of(source, struct pump, tls));
}

static void plain_gone(struct cx_source *source)
{
	release_pump(cx_container_of(source, struct pump, plain));
}

static void end(struct pump *p)
{
	cx_timer_clear(&p->timer);
	cx_loop_drop(p->door->front->loop, &p->tls);
	cx_loop_drop(p->door->front->loop, &p->plain);
}

static void too_late(struct cx_timer *timer)
{
	end(cx_container_of(timer, struct pump, timer));
}

/* ---- to and fro; each says whether it has moved anything --------------------------------------
 */

static void note(struct pump *p, int r)
{
	int error = SSL_get_error(p->ssl, r);

	ERR_clear_error();
	if (error == SSL_ERROR_WANT_READ)
		p->wants |= EPOLLIN;
	else if (error == SSL_ERROR_WANT_WRITE)
		p->wants |= EPOLLOUT;
	else
		p->tls_ended = true;
}

static bool decrypt(struct pump *p)
{
	int n;

	if (p->nin > 0 || p->tls_ended || p->heard_bye)
		return false;
	n = SSL_read(p->ssl, p->in, sizeof p->in);
	if (n <= 0) {
		p->heard_bye = p->asked && SSL_get_error(p->ssl, n) == SSL_ERROR_ZERO_RETURN;
		if (!p->heard_bye)
			note(p, n);
		return false;
	}
	p->asked = true;
	p->nin = (size_t)n;
	return true;
}

static bool encrypt(struct pump *p)
{
	int n;

	if (p->nout == 0 || p->tls_ended)
		return false;
	n = SSL_write(p->ssl, p->out, (int)p->nout);
	if (n <= 0) {
		note(p, n);
		return false;
	}
	memmove(p->out, p->out + n, p->nout - (size_t)n);
	p->nout -= (size_t)n;
	return true;
}

static bool collect(struct pump *p)
{
	ssize_t n;

	if (p->nout > 0 || p->plain_ended)
		return false;
	n = recv(p->plain.fd, p->out, sizeof p->out, MSG_DONTWAIT);
	if (n > 0)
		p->nout = (size_t)n;
	else if (n == 0 || (errno != EAGAIN && errno != EINTR))
		p->plain_ended = true;
	return n > 0;
}

/* Whoever had the other end has closed it: its number may be another's by now. */
static void lose_plain(struct pump *p)
{
	p->plain_gone = true;
	p->theirs = -EBADF;
}

static bool deliver(struct pump *p)
{
	ssize_t n;

	if (p->nin == 0)
		return false;
	n = send(p->plain.fd, p->in, p->nin, MSG_DONTWAIT | MSG_NOSIGNAL);
	if (n < 0 && errno != EAGAIN && errno != EINTR) {
		lose_plain(p);
		p->nin = 0;
	}
	if (n <= 0)
		return false;
	memmove(p->in, p->in + n, p->nin - (size_t)n);
	p->nin -= (size_t)n;
	return true;
}

static bool move(struct pump *p)
{
	bool taken = collect(p), out = encrypt(p), in = decrypt(p), given = deliver(p);

	return taken || out || in || given;
}

/* Nothing, as EPOLLONESHOT: a hang-up, which cannot be masked, is then told once only. */
static void arm(struct pump *p, struct cx_source *source, uint32_t want)
{
	uint32_t *armed = &p->armed[source == &p->plain];
	struct cx_err err;

	want = want != 0 ? want : EPOLLONESHOT;
	if (source->dead || *armed == want)
		return;
	*armed = want;
	if (cx_loop_change(p->door->front->loop, source, want, &err) < 0)
		end(p);
}

/*
 * The server has said its last word, but may still take what the client sends, so that this gets
 * the answer and no reset.
 */
static void say_bye(struct pump *p)
{
	if (p->said_bye || p->nout > 0 || p->tls_ended)
		return;
	p->said_bye = true;
	(void)SSL_shutdown(p->ssl);
	ERR_clear_error();
	(void)shutdown(p->tls.fd, SHUT_WR);
	cx_timer_set(p->door->front->loop, &p->timer, END_MS);
}

static void tell_bye(struct pump *p)
{
	if (!p->heard_bye || p->told_bye || p->nin > 0)
		return;
	p->told_bye = true;
	(void)shutdown(p->plain.fd, SHUT_WR);
}

static bool is_over(const struct pump *p)
{
	return (p->plain_gone && (p->nout == 0 || p->tls_ended)) || (p->tls_ended && p->nin == 0) ||
	       (p->told_bye && p->said_bye);
}

static void pump(struct pump *p)
{
	do
		p->wants = 0;
	while (move(p));
	tell_bye(p);
	if (p->plain_ended)
		say_bye(p);
	if (is_over(p)) {
		end(p);
		return;
	}
	if (p->plain_gone && p->timer.link == NULL)
		cx_timer_set(p->door->front->loop, &p->timer, END_MS);
	arm(p, &p->tls, p->tls_ended ? 0 : p->wants);
	arm(p, &p->plain,
	    (p->nout == 0 && !p->plain_ended ? (uint32_t)EPOLLIN : 0) |
		    (p->nin > 0 ? (uint32_t)EPOLLOUT : 0));
}

static void tls_ready(struct cx_source *source, uint32_t events)
{
	struct pump *p = cx_container_of(source, struct pump, tls);

	/* Nothing is read any more that would show it. */
	p->tls_ended = p->tls_ended || (p->heard_bye && (events & (EPOLLHUP | EPOLLERR)) != 0);
	pump(p);
}

static void plain_ready(struct cx_source *source, uint32_t events)
{
	struct pump *p = cx_container_of(source, struct pump, plain);

	if ((events & EPOLLHUP) != 0)
		lose_plain(p);
	pump(p);
}

/* ---- connections ------------------------------------------------------------------------------
 */

static struct pump *new_pump(struct door *door)
{
	struct pump *p = calloc(1, sizeof *p);

	if (p == NULL)
		return NULL;
	p->ssl = SSL_new(door->front->context);
	if (p->ssl == NULL) {
		free(p);
		return NULL;
	}
	p->door = door;
	p->theirs = -EBADF;
	door->holders++;
	door->n++;
	p->holders = 1;
	p->timer.fire = too_late;
	cx_list_add(&door->front->pumps, p);
	return p;
}

static int add(struct pump *p, struct cx_source *source, int *fd, struct cx_err *err)
{
	source->fd = *fd;
	if (cx_loop_add(p->door->front->loop, source, EPOLLIN, err) < 0)
		return -err->errnum;
	(void)cx_take_fd(fd);
	p->armed[source == &p->plain] = EPOLLIN;
	p->holders++;
	return 0;
}

/* What it has sent already is looked at in the next turn. */
static void connect_to(struct door *door, int *sock, const struct sockaddr *addr, socklen_t len)
{
	struct pump *p = door->n < door->most ? new_pump(door) : NULL;
	cx_autofd int ours = -EBADF, theirs = -EBADF;
	struct cx_err err;
	int pair[2];

	if (p == NULL)
		return;
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) == 0) {
		ours = pair[0];
		theirs = pair[1];
	}
	p->tls = (struct cx_source){ .fd = -EBADF, .ready = tls_ready, .destroy = tls_gone };
	p->plain = (struct cx_source){ .fd = -EBADF, .ready = plain_ready, .destroy = plain_gone };
	SSL_set_accept_state(p->ssl);
	if (ours >= 0 && SSL_set_fd(p->ssl, *sock) == 1 && add(p, &p->tls, sock, &err) == 0 &&
	    add(p, &p->plain, &ours, &err) == 0) {
		p->theirs = theirs;
		door->take(door->arg, cx_take_fd(&theirs), addr, len);
	} else {
		end(p);
	}
	release_pump(p);
}

void cx_tlsfront_cut(struct cx_tlsfront *front, int plain)
{
	struct linger reset = { .l_onoff = 1 };
	struct pump *p = front->pumps;

	while (p != NULL && p->theirs != plain)
		p = p->next;
	if (p == NULL || p->tls.dead)
		return;
	(void)setsockopt(p->tls.fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
	end(p);
}

static void open_again(struct cx_timer *timer)
{
	struct door *door = cx_container_of(timer, struct door, pause);
	struct cx_err err;

	if (cx_loop_change(door->front->loop, &door->source, EPOLLIN, &err) < 0)
		cx_timer_set(door->front->loop, &door->pause, PAUSE_MS);
}

static void door_ready(struct cx_source *source, uint32_t events)
{
	struct door *door = cx_container_of(source, struct door, source);
	struct cx_err err;

	(void)events;
	for (int i = 0; i < ACCEPTS; i++) {
		struct sockaddr_storage addr = { 0 };
		socklen_t len = sizeof addr;
		cx_autofd int sock = accept4(source->fd, (struct sockaddr *)&addr, &len,
					     SOCK_CLOEXEC | SOCK_NONBLOCK);

		if (sock >= 0) {
			connect_to(door, &sock, (struct sockaddr *)&addr, len);
			continue;
		}
		if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
			cx_timer_set(door->front->loop, &door->pause, PAUSE_MS);
			(void)!cx_loop_change(door->front->loop, source, EPOLLONESHOT, &err);
		}
		return;
	}
}

/* ---- all of it --------------------------------------------------------------------------------
 */

static void door_gone(struct cx_source *source)
{
	release_door(cx_container_of(source, struct door, source));
}

int cx_tlsfront_listen(struct cx_tlsfront *front, int *sock, size_t most,
		       void (*take)(void *arg, int plain, const struct sockaddr *addr,
				    socklen_t len),
		       void *arg, struct cx_err *err)
{
	cx_autofd int taken = cx_take_fd(sock);
	struct door *door = calloc(1, sizeof *door);

	if (door == NULL)
		return cx_fail(err, ENOMEM, "TLS");
	*door = (struct door){ .front = front,
			       .most = most,
			       .take = take,
			       .arg = arg,
			       .holders = 1,
			       .pause.fire = open_again,
			       .source = {
				       .fd = taken, .ready = door_ready, .destroy = door_gone } };
	if (cx_loop_add(front->loop, &door->source, EPOLLIN, err) < 0) {
		free(door);
		return -err->errnum;
	}
	(void)cx_take_fd(&taken);
	door->next = front->doors;
	front->doors = door;
	front->holders++;
	return 0;
}

int cx_tlsfront_open(struct cx_loop *loop, const char *cert, const char *key,
		     struct cx_tlsfront **ret, struct cx_err *err)
{
	struct cx_tlsfront *front = calloc(1, sizeof *front);

	if (front == NULL)
		return cx_fail(err, ENOMEM, "TLS");
	front->loop = loop;
	front->holders = 1;
	if (cx_tlsfront_renew(front, cert, key, err) < 0) {
		free(front);
		return -err->errnum;
	}
	*ret = front;
	return 0;
}

void cx_tlsfront_close(struct cx_tlsfront *front)
{
	for (struct pump *p = front->pumps; p != NULL; p = p->next)
		end(p);
	for (struct door *door = front->doors; door != NULL; door = door->next) {
		cx_timer_clear(&door->pause);
		cx_loop_drop(front->loop, &door->source);
	}
	release_front(front);
}
