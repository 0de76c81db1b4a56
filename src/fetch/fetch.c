/* SPDX-License-Identifier: Apache-2.0 */
#include "fetch/fetch.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/fd.h"
#include "fetch/jobs.h"
#include "fetch/names.h"

enum { SYSTEM_CA_MAX = 4 << 20 };

struct fetch {
	struct cx_jobs jobs;
	const struct cx_buf *system_ca;
	bool complete; /* the registry itself has been named */
	struct cx_packet in;
};

/* ---- before ---------------------------------------------------------------------------------- */

static const char *const bundles[] = {
	"/etc/ssl/certs/ca-certificates.crt", /* Debian, Arch, Gentoo */
	"/etc/pki/tls/certs/ca-bundle.crt",   /* Fedora and its kin */
	"/etc/ssl/ca-bundle.pem",	      /* SUSE */
	"/etc/ssl/cert.pem",		      /* Alpine */
};

static int read_bundle(int fd, struct cx_buf *ret, struct cx_err *err)
{
	struct stat st;
	ssize_t n;
	char *room;

	if (fstat(fd, &st) < 0)
		return cx_fail(err, errno, "stat");
	if (!S_ISREG(st.st_mode) || st.st_size > SYSTEM_CA_MAX)
		return cx_refuse(err, CX_INVALID, "not a file of at most %d bytes", SYSTEM_CA_MAX);
	room = cx_buf_reserve(ret, (size_t)st.st_size + 1, err);
	if (room == NULL)
		return -err->errnum;
	n = cx_read_upto(fd, room, (size_t)st.st_size, err);
	if (n < 0)
		return (int)n;
	ret->len = (size_t)n;
	return 0;
}

int cx_fetch_prepare(struct cx_fetch_ready *ret, struct cx_err *err)
{
	*ret = (struct cx_fetch_ready){ .ca.max = SYSTEM_CA_MAX + CX_FETCH_CA_MAX };
	if (cx_web_prepare(err) < 0)
		return -err->errnum;
	for (size_t i = 0; i < CX_LEN(bundles); i++) {
		cx_autofd int fd = open(bundles[i], O_RDONLY | O_CLOEXEC);

		if (fd < 0)
			continue;
		if (read_bundle(fd, &ret->ca, err) < 0)
			return cx_wrap(err, "certificates in '%s'", bundles[i]);
		break;
	}
	return 0;
}

/* ---- endpoints ------------------------------------------------------------------------------- */

static int keep(struct cx_str text, char **ret, struct cx_err *err)
{
	if (text.len == 0)
		return 0;
	*ret = strndup(text.p, text.len);
	return *ret != NULL ? 0 : cx_fail(err, ENOMEM, "credentials");
}

/* The endpoint's certificates and the system's, in one. */
static int join_ca(struct cx_endpoint *e, const struct cx_buf *system, struct cx_str own,
		   struct cx_err *err)
{
	if (own.len == 0)
		return 0;
	e->own_ca.max = system->max;
	if (cx_buf_add(&e->own_ca, own.p, own.len, err) < 0 ||
	    cx_buf_add(&e->own_ca, "\n", 1, err) < 0 ||
	    cx_buf_add(&e->own_ca, system->p, system->len, err) < 0)
		return cx_wrap(err, "certificates");
	e->ca = &e->own_ca;
	return 0;
}

static int take_endpoint(struct fetch *f, struct cx_err *err)
{
	CX_AUTO(cx_endpoint_freep) struct cx_endpoint *e = NULL;
	struct cx_msg_fetch_endpoint m;

	if (!cx_msg_fetch_endpoint_get(&f->in.body, &m) || f->in.nfds != 0)
		return cx_refuse(err, CX_INVALID, "malformed fetch_endpoint");
	if (f->complete || f->jobs.nendpoints == CX_FETCH_ENDPOINTS_MAX)
		return cx_refuse(err, CX_INVALID, "an endpoint too many");
	if (!cx_name_is_host(m.host) || (m.prefix.len > 0 && !cx_name_is_repository(m.prefix)))
		return cx_refuse(err, CX_INVALID, "malformed name of an endpoint");
	if ((m.user.len > 0) + (m.identity_token.len > 0) + (m.registry_token.len > 0) > 1)
		return cx_refuse(err, CX_INVALID, "several kinds of credentials for one endpoint");
	e = cx_endpoint_new(f->jobs.web, f->system_ca);
	if (e == NULL)
		return cx_fail(err, ENOMEM, "endpoint");
	(void)cx_str_copy(m.host, e->host, sizeof e->host);
	(void)cx_str_copy(m.prefix, e->prefix, sizeof e->prefix);
	e->plain = (m.flags & CX_FETCH_PLAIN_HTTP) != 0;
	e->mirror = (m.flags & CX_FETCH_MIRROR) != 0;
	if (keep(m.user, &e->user, err) < 0 ||
	    keep(m.identity_token, &e->identity_token, err) < 0 ||
	    keep(m.registry_token, &e->registry_token, err) < 0 ||
	    join_ca(e, f->system_ca, m.ca, err) < 0)
		return -err->errnum;
	if (e->user != NULL) { /* a password may be empty, a user may not */
		e->password = strndup(m.password.len > 0 ? m.password.p : "", m.password.len);
		if (e->password == NULL)
			return cx_fail(err, ENOMEM, "credentials");
	}
	f->complete = !e->mirror;
	f->jobs.endpoints[f->jobs.nendpoints++] = cx_take_ptr(&e);
	return 0;
}

/* ---- requests -------------------------------------------------------------------------------- */

static int take_fd(struct fetch *f, unsigned i)
{
	return cx_take_fd(&f->in.fds[i]);
}

/* Of a file to be sent: is it there, and is it as long as it is said to be? */
static int take_file(struct fetch *f, struct cx_job *job, uint64_t size, uint64_t max,
		     struct cx_err *err)
{
	struct stat st;

	job->file = take_fd(f, 0);
	if (fstat(job->file, &st) < 0)
		return cx_fail(err, errno, "stat");
	if (!S_ISREG(st.st_mode) || (uint64_t)st.st_size > max ||
	    (size != UINT64_MAX && (uint64_t)st.st_size != size))
		return cx_refuse(err, CX_INVALID, "the file to send has %lld bytes",
				 (long long)st.st_size);
	job->size = (uint64_t)st.st_size;
	return 0;
}

static int take_names(struct cx_job *job, struct cx_str repository, struct cx_str reference,
		      struct cx_err *err)
{
	if (!cx_name_is_repository(repository) ||
	    !cx_str_copy(repository, job->repository, sizeof job->repository))
		return cx_refuse(err, CX_INVALID, "'%.*s' is no name of a repository",
				 (int)repository.len, repository.p);
	if (reference.len > 0 && (!cx_name_is_reference(reference) ||
				  !cx_str_copy(reference, job->reference, sizeof job->reference)))
		return cx_refuse(err, CX_INVALID, "'%.*s' is neither tag nor digest",
				 (int)reference.len, reference.p);
	return 0;
}

static const struct cx_str none = { "", 0 };

static int malformed(struct cx_err *err)
{
	return cx_refuse(err, CX_INVALID, "malformed request");
}

static int take_login(struct fetch *f, struct cx_job *job, struct cx_err *err)
{
	struct cx_msg_fetch_login m;

	(void)job;
	return cx_msg_fetch_login_get(&f->in.body, &m) ? 0 : malformed(err);
}

static int take_manifest(struct fetch *f, struct cx_job *job, struct cx_err *err)
{
	struct cx_msg_fetch_manifest m;

	if (!cx_msg_fetch_manifest_get(&f->in.body, &m) || m.reference.len == 0)
		return malformed(err);
	if (take_names(job, m.repository, m.reference, err) < 0)
		return -err->errnum;
	return cx_download_open(&job->in, take_fd(f, 0), -EBADF, m.max_bytes, 0, err);
}

static int take_blob(struct fetch *f, struct cx_job *job, struct cx_err *err)
{
	struct cx_msg_fetch_blob m;

	if (!cx_msg_fetch_blob_get(&f->in.body, &m) || m.digest.len != sizeof job->digest)
		return malformed(err);
	if (take_names(job, m.repository, none, err) < 0)
		return -err->errnum;
	memcpy(job->digest, m.digest.p, sizeof job->digest);
	job->size = m.size;
	job->stale = m.offset > 0;
	return cx_download_open(&job->in, take_fd(f, 0), take_fd(f, 1), m.size, m.offset, err);
}

static int take_put_blob(struct fetch *f, struct cx_job *job, struct cx_err *err)
{
	struct cx_msg_fetch_put_blob m;

	if (!cx_msg_fetch_put_blob_get(&f->in.body, &m) || m.digest.len != sizeof job->digest)
		return malformed(err);
	if (take_names(job, m.repository, none, err) < 0)
		return -err->errnum;
	if (m.from.len > 0 &&
	    (!cx_name_is_repository(m.from) || !cx_str_copy(m.from, job->from, sizeof job->from)))
		return malformed(err);
	memcpy(job->digest, m.digest.p, sizeof job->digest);
	return take_file(f, job, m.size, INT64_MAX, err);
}

static int take_put_manifest(struct fetch *f, struct cx_job *job, struct cx_err *err)
{
	struct cx_msg_fetch_put_manifest m;

	if (!cx_msg_fetch_put_manifest_get(&f->in.body, &m) || m.reference.len == 0 ||
	    !cx_name_is_media_type(m.media_type) ||
	    !cx_str_copy(m.media_type, job->media_type, sizeof job->media_type))
		return malformed(err);
	if (take_names(job, m.repository, m.reference, err) < 0)
		return -err->errnum;
	return take_file(f, job, UINT64_MAX, CX_FETCH_MANIFEST_MAX, err);
}

static const struct {
	uint16_t type;
	enum cx_task task;
	unsigned least_fds, most_fds;
	int (*take)(struct fetch *f, struct cx_job *job, struct cx_err *err);
} requests[] = {
	{ CX_MSG_fetch_login, CX_TASK_LOGIN, 0, 0, take_login },
	{ CX_MSG_fetch_manifest, CX_TASK_MANIFEST, 1, 1, take_manifest },
	{ CX_MSG_fetch_blob, CX_TASK_BLOB, 1, 2, take_blob },
	{ CX_MSG_fetch_put_blob, CX_TASK_PUT_BLOB, 1, 1, take_put_blob },
	{ CX_MSG_fetch_put_manifest, CX_TASK_PUT_MANIFEST, 1, 1, take_put_manifest },
};

static int take_request(struct fetch *f, struct cx_err *err)
{
	struct cx_fault fault = { .reason = CX_FETCH_OTHER };
	struct cx_job *job;
	size_t i = 0;

	while (i < CX_LEN(requests) && requests[i].type != f->in.type)
		i++;
	if (i == CX_LEN(requests) || f->in.nfds < requests[i].least_fds ||
	    f->in.nfds > requests[i].most_fds)
		return cx_refuse(err, CX_INVALID, "message %#x with %u descriptors", f->in.type,
				 f->in.nfds);
	if (!f->complete || f->in.request == 0 || cx_job_find(&f->jobs, f->in.request) != NULL)
		return cx_refuse(err, CX_INVALID,
				 "a request before the endpoints, or of a number in use");
	if (f->jobs.total == CX_FETCH_REQUESTS_MAX)
		return cx_refuse(err, CX_LIMIT, "more than %d requests at once",
				 CX_FETCH_REQUESTS_MAX);
	job = cx_job_new(&f->jobs, f->in.request, requests[i].task);
	if (job == NULL)
		return cx_fail(err, ENOMEM, "request");
	if (requests[i].take(f, job, &fault.err) < 0)
		cx_job_fail(job, &fault);
	return 0;
}

static int cancel(struct fetch *f, struct cx_err *err)
{
	struct cx_job *job = cx_job_find(&f->jobs, f->in.request);
	struct cx_msg_fetch_cancel m;
	struct cx_fault fault;

	if (!cx_msg_fetch_cancel_get(&f->in.body, &m) || f->in.nfds != 0)
		return malformed(err);
	(void)cx_fault_set(&fault, CX_FETCH_CANCELLED, CX_UNAVAILABLE, "cancelled");
	if (job != NULL)
		cx_job_fail(job, &fault);
	return 0;
}

/* ---- the loop -------------------------------------------------------------------------------- */

/* 1: there may be more; 0: not now, or, with *ret_closed, never again. */
static int receive(struct fetch *f, bool *ret_closed, struct cx_err *err)
{
	int r = cx_packet_recv(f->jobs.sock, &f->in, err);

	if (r == -EAGAIN)
		return 0;
	if (r == 0 || r == -ECONNRESET) {
		*ret_closed = true;
		return 0;
	}
	if (r < 0)
		return r;
	if (f->in.type == CX_MSG_fetch_endpoint)
		r = take_endpoint(f, err);
	else if (f->in.type == CX_MSG_fetch_cancel)
		r = cancel(f, err);
	else
		r = take_request(f, err);
	cx_packet_drop(&f->in);
	return r < 0 ? r : 1;
}

static int wait_for_more(struct fetch *f, struct cx_err *err)
{
	struct pollfd fds[CX_FETCH_REQUESTS_MAX + 1] = { { .fd = f->jobs.sock, .events = POLLIN } };
	unsigned n = 1 + cx_jobs_poll(&f->jobs, fds + 1);

	return cx_web_wait(f->jobs.web, fds, n, cx_jobs_timeout(&f->jobs), err);
}

static int serve(struct fetch *f, struct cx_err *err)
{
	bool closed = false;
	int r;

	while (true) {
		do
			r = receive(f, &closed, err);
		while (r > 0);
		if (closed)
			return 0;
		if (r == 0)
			r = cx_jobs_turn(&f->jobs, err);
		if (r == -EPIPE)
			return 0; /* closed before all was said */
		if (r == 0)
			r = cx_web_turn(f->jobs.web, err);
		if (r > 0) /* a token that several jobs wait for, perhaps */
			f->jobs.changed = true;
		if (r >= 0)
			r = wait_for_more(f, err);
		if (r < 0)
			return r;
	}
}

static void say_last(int sock, const struct cx_err *why)
{
	const struct cx_msg_fetch_failed m = {
		.reason = CX_FETCH_OTHER,
		.kind = why->kind,
		.errnum = why->refused ? 0 : (uint32_t)why->errnum,
		.text = { why->msg, why->len },
	};
	struct cx_err lost;

	(void)!cx_msg_fetch_failed_send(sock, 0, &m, NULL, 0, &lost);
}

static void close_fetch(struct fetch *f)
{
	cx_jobs_clear(&f->jobs);
	for (unsigned i = 0; i < f->jobs.nendpoints; i++)
		cx_endpoint_free(f->jobs.endpoints[i]);
	cx_web_close(f->jobs.web);
}

int cx_fetch_run(int sock, const struct cx_fetch_ready *ready, struct cx_err *err)
{
	cx_autofree struct fetch *f = calloc(1, sizeof *f);
	int r;

	if (f == NULL)
		return cx_fail(err, ENOMEM, "start");
	f->system_ca = &ready->ca;
	f->jobs.sock = sock;
	if (cx_set_nonblock(sock, true, err) < 0 || cx_web_open(&f->jobs.web, err) < 0)
		return -err->errnum;
	r = serve(f, err);
	if (r < 0)
		say_last(sock, err);
	close_fetch(f);
	return r;
}
