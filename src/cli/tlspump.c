/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/tlspump.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>

#include "base/fd.h"

enum { PIECE = 16 << 10, PATIENCE_SECONDS = 30, REASON_MAX = 400 };

struct pump {
	SSL *ssl;
	int sock, plain;
	char up[PIECE], down[PIECE];
	size_t nup, ndown;
	short wants; /* of the socket, from the last call of SSL_read() and SSL_write() */
	bool plain_ended, tls_ended;
};

/* ---- the handshake -------------------------------------------------------------------------- */

/* Why it failed, in words. */
static void explain(SSL *ssl, char *ret, size_t size)
{
	long verified = SSL_get_verify_result(ssl);
	unsigned long code = ERR_peek_last_error();

	if (verified != X509_V_OK)
		(void)snprintf(ret, size, "its certificate is not trusted: %s",
			       X509_verify_cert_error_string(verified));
	else if (code != 0)
		(void)snprintf(ret, size, "TLS failed: %s", ERR_reason_error_string(code));
	else
		(void)snprintf(ret, size, "TLS failed: the connection ended");
}

static bool expect_host(SSL *ssl, char *host)
{
	X509_VERIFY_PARAM *param = SSL_get0_param(ssl);

	if (X509_VERIFY_PARAM_set1_ip_asc(param, host) == 1)
		return true;
	return SSL_set1_host(ssl, host) == 1 && SSL_set_tlsext_host_name(ssl, host) == 1;
}

static SSL *new_session(const char *cacert, char *why, size_t size)
{
	SSL_CTX *context = SSL_CTX_new(TLS_client_method());
	SSL *ssl;

	if (context == NULL || SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION) != 1 ||
	    (cacert != NULL ? SSL_CTX_load_verify_file(context, cacert)
			    : SSL_CTX_set_default_verify_paths(context)) != 1) {
		(void)snprintf(why, size, "cannot read certificates from %s",
			       cacert != NULL ? cacert : "this machine's store");
		return NULL;
	}
	SSL_CTX_set_verify(context, SSL_VERIFY_PEER, NULL);
	(void)SSL_CTX_set_mode(context,
			       SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
	ssl = SSL_new(context);
	if (ssl == NULL)
		(void)snprintf(why, size, "no memory for TLS");
	return ssl;
}

static SSL *shake_hands(int sock, char *host, const char *cacert, char *why, size_t size)
{
	const struct timeval patience = { .tv_sec = PATIENCE_SECONDS };
	SSL *ssl = new_session(cacert, why, size);

	if (ssl == NULL)
		return NULL;
	(void)setsockopt(sock, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
	(void)setsockopt(sock, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
	if (!expect_host(ssl, host) || SSL_set_fd(ssl, sock) != 1 || SSL_connect(ssl) != 1) {
		explain(ssl, why, size);
		return NULL;
	}
	return ssl;
}

/* ---- to and fro ----------------------------------------------------------------------------- */

/* After a call that gave nothing: it waits for the socket, or it is over. */
static void note(struct pump *p, int r)
{
	int error = SSL_get_error(p->ssl, r);

	ERR_clear_error();
	if (error == SSL_ERROR_WANT_READ)
		p->wants |= POLLIN;
	else if (error == SSL_ERROR_WANT_WRITE)
		p->wants |= POLLOUT;
	else
		p->tls_ended = true;
}

/* Each says whether it has moved anything. */
static bool encrypt(struct pump *p)
{
	int n;

	if (p->nup == 0 || p->tls_ended)
		return false;
	n = SSL_write(p->ssl, p->up, (int)p->nup);
	if (n <= 0) {
		note(p, n);
		return false;
	}
	memmove(p->up, p->up + n, p->nup - (size_t)n);
	p->nup -= (size_t)n;
	return true;
}

static bool decrypt(struct pump *p)
{
	int n;

	if (p->ndown > 0 || p->tls_ended)
		return false;
	n = SSL_read(p->ssl, p->down, sizeof p->down);
	if (n <= 0) {
		note(p, n);
		return false;
	}
	p->ndown = (size_t)n;
	return true;
}

static bool take(struct pump *p)
{
	ssize_t n;

	if (p->nup > 0 || p->plain_ended)
		return false;
	n = recv(p->plain, p->up, sizeof p->up, MSG_DONTWAIT);
	if (n > 0)
		p->nup = (size_t)n;
	else if (n == 0 || (errno != EAGAIN && errno != EINTR))
		p->plain_ended = true;
	return n > 0;
}

static bool give(struct pump *p)
{
	ssize_t n;

	if (p->ndown == 0)
		return false;
	n = send(p->plain, p->down, p->ndown, MSG_DONTWAIT | MSG_NOSIGNAL);
	if (n < 0 && errno != EAGAIN && errno != EINTR) {
		p->plain_ended = true;
		p->ndown = 0;
	}
	if (n <= 0)
		return false;
	memmove(p->down, p->down + n, p->ndown - (size_t)n);
	p->ndown -= (size_t)n;
	return true;
}

static bool move(struct pump *p)
{
	bool up = take(p), out = encrypt(p), in = decrypt(p), down = give(p);

	return up || out || in || down;
}

/* A side of which nothing is wanted is not looked at: its hang-up would be told again and again. */
static int wait_for(const struct pump *p)
{
	short plain = (short)((p->nup == 0 && !p->plain_ended ? POLLIN : 0) |
			      (p->ndown > 0 ? POLLOUT : 0));
	struct pollfd fds[2] = { { .fd = p->wants != 0 ? p->sock : -1, .events = p->wants },
				 { .fd = plain != 0 ? p->plain : -1, .events = plain } };

	return poll(fds, 2, -1) < 0 && errno != EINTR ? -errno : 0;
}

static bool is_over(const struct pump *p)
{
	return (p->plain_ended && (p->nup == 0 || p->tls_ended)) || (p->tls_ended && p->ndown == 0);
}

static void pump(struct pump *p)
{
	while (!is_over(p)) {
		p->wants = 0;
		if (!move(p) && !is_over(p) && wait_for(p) < 0)
			return;
	}
	(void)SSL_shutdown(p->ssl);
}

/* ---- the program ----------------------------------------------------------------------------- */

int cx_tls_pump(char *host, const char *cacert)
{
	static struct pump p;
	char why[REASON_MAX] = "it cannot be set up";
	struct cx_err err;
	sigset_t all;

	/* What the terminal sends is for who waits for the answer; this ends with it. */
	(void)sigfillset(&all);
	(void)sigprocmask(SIG_BLOCK, &all, NULL);
	(void)signal(SIGPIPE, SIG_IGN);
	p = (struct pump){ .sock = CX_TLS_FD_SOCKET, .plain = CX_TLS_FD_PLAIN };
	p.ssl = shake_hands(p.sock, host, cacert, why, sizeof why);
	if (p.ssl == NULL || cx_set_nonblock(p.sock, true, &err) < 0) {
		(void)!cx_write_all(p.plain, why, strlen(why), &err);
		return -EPROTO;
	}
	if (cx_write_all(p.plain, "+", 1, &err) < 0)
		return -err.errnum;
	pump(&p);
	return 0;
}
