/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <fts.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/fd.h"
#include "cli/commands.h"
#include "cli/moving.h"
#include "cli/remote.h"

CX_DEFINE_AUTO(FTS *, fts_close);

/* One thing to be sent. */
struct parcel {
	const char *remote, *kind; /* kind NULL: a regular file */
	int fd;			   /* borrowed; -EBADF: nothing is in it */
	int64_t size;		   /* -1: not known */
	mode_t mode;		   /* 0: the sandbox's own */
};

static int send_parcel(struct cx_cli *cli, const struct parcel *p, struct cx_moving *m,
		       json_t **ret_answer, struct cx_err *err)
{
	CX_AUTO(cx_buf_free) struct cx_buf url = { 0 };
	char mode[8];
	struct cx_call call = { .method = "PUT",
				.type = "application/octet-stream",
				.has_upload = true,
				.upload = p->fd,
				.upload_size = p->size,
				.upload_seen = cx_moving_add,
				.upload_arg = m,
				.timeout_ms = CX_REMOTE_PATIENCE_MS };
	int r;

	(void)snprintf(mode, sizeof mode, "%o", (unsigned)p->mode & 0777);
	if (cx_remote_url(cli, &url, "/files", p->remote, err) < 0 ||
	    cx_remote_param(&url, "kind", p->kind, err) < 0 ||
	    cx_remote_param(&url, "mode", p->mode != 0 ? mode : NULL, err) < 0)
		return -err->errnum;
	call.path = url.p;
	cx_moving_begin(m);
	r = cx_cli_call_raw(cli, &call, NULL, ret_answer, err);
	cx_moving_clear(m);
	return r < 0 ? cx_wrap(err, "upload '%.200s'", p->remote) : 0;
}

/* What has arrived is compared with what was sent. */
static int send_file(struct cx_cli *cli, const struct parcel *p, struct cx_err *err)
{
	CX_AUTO(json_decrefp) json_t *answer = NULL;
	struct cx_moving m = { .name = p->remote,
			       .total = p->size > 0 ? (uint64_t)p->size : 0,
			       .shown = !cli->args.quiet && isatty(STDERR_FILENO) };
	char sum[CX_MOVING_HEX + 1];
	const char *theirs;

	if (send_parcel(cli, p, &m, &answer, err) < 0)
		return -err->errnum;
	cx_moving_sum(&m, sum);
	theirs = json_string_value(json_object_get(answer, "sha256"));
	if (theirs == NULL || strcmp(theirs, sum) != 0)
		return cx_refuse(err, CX_INTERNAL,
				 "'%.200s' has arrived with another SHA-256 than it was sent with",
				 p->remote);
	if (!cli->args.quiet)
		cx_moving_print(sum, p->remote);
	return 0;
}

static int send_regular(struct cx_cli *cli, const char *local, const char *remote,
			struct cx_err *err)
{
	cx_autofd int fd = open(local, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	struct parcel p = { .remote = remote };
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0)
		return cx_fail(err, errno, "open '%.200s'", local);
	if (!S_ISREG(st.st_mode))
		return cx_refuse(err, CX_INVALID, "'%.200s' is not a regular file", local);
	p.fd = fd;
	p.size = st.st_size;
	p.mode = st.st_mode;
	return send_file(cli, &p, err);
}

static int send_stdin(struct cx_cli *cli, const char *remote, struct cx_err *err)
{
	struct parcel p = { .remote = remote, .fd = STDIN_FILENO, .size = -1 };

	if (isatty(STDIN_FILENO))
		return cx_refuse(err, CX_INVALID, "standard input is a terminal");
	return send_file(cli, &p, err);
}

static int send_directory(struct cx_cli *cli, const char *remote, mode_t mode, struct cx_err *err)
{
	struct parcel p = { .remote = remote, .kind = "directory", .fd = -EBADF, .mode = mode };
	struct cx_moving none = { .name = remote };

	return send_parcel(cli, &p, &none, NULL, err);
}

static int send_link(struct cx_cli *cli, const char *local, const char *remote, struct cx_err *err)
{
	cx_autofd int reads = -EBADF, writes = -EBADF;
	struct parcel p = { .remote = remote, .kind = "link" };
	struct cx_moving none = { .name = remote };
	char target[CX_REMOTE_PATH_MAX + 1];

	p.size = readlink(local, target, sizeof target);
	if (p.size < 0)
		return cx_fail(err, errno, "read link '%.200s'", local);
	if (cx_pipe(&reads, &writes, err) < 0 ||
	    cx_write_all(writes, target, (size_t)p.size, err) < 0)
		return -err->errnum;
	p.fd = reads;
	none.total = (uint64_t)p.size;
	return send_parcel(cli, &p, &none, NULL, err);
}

/* ---- a directory ---------------------------------------------------------------------------- */

static int send_entry(struct cx_cli *cli, const FTSENT *e, const char *remote, struct cx_err *err)
{
	switch (e->fts_info) {
	case FTS_D:
		return send_directory(cli, remote, e->fts_statp->st_mode, err);
	case FTS_F:
		return send_regular(cli, e->fts_accpath, remote, err);
	case FTS_SL:
	case FTS_SLNONE:
		return send_link(cli, e->fts_accpath, remote, err);
	case FTS_DEFAULT:
		(void)fprintf(stderr, "caisson: '%s' left out: it is no file, directory or link\n",
			      e->fts_path);
		return 0;
	default:
		return cx_fail(err, e->fts_errno != 0 ? e->fts_errno : ELOOP, "read '%.200s'",
			       e->fts_path);
	}
}

static int by_name(const FTSENT **a, const FTSENT **b)
{
	return strcmp((*a)->fts_name, (*b)->fts_name);
}

static int send_tree(struct cx_cli *cli, char *local, const char *remote, struct cx_err *err)
{
	char *const roots[] = { local, NULL };
	CX_AUTO(fts_closep)
	FTS *fts = fts_open(roots, FTS_PHYSICAL | FTS_NOCHDIR | FTS_COMFOLLOW, by_name);
	size_t skip = strlen(local);
	FTSENT *e;

	if (fts == NULL)
		return cx_fail(err, errno, "read '%.200s'", local);
	while (errno = 0, (e = fts_read(fts)) != NULL) {
		cx_autofree char *to = NULL;
		const char *below = e->fts_path + skip;

		if (e->fts_info == FTS_DP)
			continue;
		if (e->fts_level > CX_REMOTE_DEPTH_MAX)
			return cx_refuse(err, CX_INVALID, "'%.200s' is more than %d levels deep",
					 local, CX_REMOTE_DEPTH_MAX);
		below += strspn(below, "/");
		if (e->fts_level == 0)
			to = strdup(remote);
		else if (cx_remote_join(remote, below, &to, err) < 0)
			return -err->errnum;
		if (to == NULL)
			return cx_fail(err, ENOMEM, "file name");
		if (send_entry(cli, e, to, err) < 0)
			return -err->errnum;
	}
	return errno != 0 ? cx_fail(err, errno, "read '%.200s'", local) : 0;
}

int cx_cmd_upload(struct cx_cli *cli, struct cx_err *err)
{
	char *local = cli->args.words[1];
	const char *remote = cli->args.words[2];
	bool from_stdin = strcmp(local, "-") == 0;
	cx_autofree char *named = NULL;
	char base[256];
	struct stat st;

	if (!from_stdin && stat(local, &st) < 0)
		return cx_fail(err, errno, "open '%.200s'", local);
	if (*remote != '\0' && remote[strlen(remote) - 1] == '/') {
		if (cx_remote_base(local, base, err) < 0 ||
		    cx_remote_join(remote, base, &named, err) < 0)
			return -err->errnum;
		remote = named;
	}
	if (from_stdin)
		return send_stdin(cli, remote, err);
	return S_ISDIR(st.st_mode) ? send_tree(cli, local, remote, err)
				   : send_regular(cli, local, remote, err);
}
