/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/fd.h"
#include "cli/commands.h"
#include "cli/moving.h"
#include "cli/remote.h"
#include "cli/tree.h"

/* What has arrived is compared with what was sent. */
static int check_arrived(const json_t *answer, struct cx_moving *m, char sum[CX_MOVING_HEX + 1],
			 struct cx_err *err)
{
	const char *theirs = json_string_value(json_object_get(answer, "sha256"));
	json_int_t size = json_integer_value(json_object_get(answer, "size"));

	if (size < 0 || (uint64_t)size != m->bytes)
		return cx_refuse(err, CX_INTERNAL,
				 "of '%.200s' %lld bytes have arrived; %llu were sent", m->name,
				 (long long)size, (unsigned long long)m->bytes);
	if (m->unsummed)
		return 0;
	cx_moving_sum(m, sum);
	if (theirs != NULL && strcmp(theirs, sum) == 0)
		return 0;
	return cx_refuse(err, CX_INTERNAL,
			 "'%.200s' has arrived with another SHA-256 than it was sent with",
			 m->name);
}

/* kind NULL: a regular file; mode 0: the sandbox's own. Of call, where the bytes come from is set.
 */
static int send_body(struct cx_cli *cli, struct cx_call *call, const char *remote, const char *kind,
		     mode_t mode, struct cx_moving *m, char sum[CX_MOVING_HEX + 1],
		     struct cx_err *err)
{
	CX_AUTO(cx_buf_free) struct cx_buf url = { 0 };
	CX_AUTO(json_decrefp) json_t *answer = NULL;
	char digits[8];
	int r;

	(void)snprintf(digits, sizeof digits, "%o", (unsigned)mode & 0777);
	/* Nobody looks at the sum, and a socket of this machine damages nothing. */
	m->unsummed = cli->args.quiet && cli->target.path != NULL;
	if (cx_remote_url(cli, &url, "/files", remote, err) < 0 ||
	    cx_remote_param(&url, "kind", kind, err) < 0 ||
	    cx_remote_param(&url, "summed", m->unsummed ? "false" : NULL, err) < 0 ||
	    cx_remote_param(&url, "mode", mode != 0 ? digits : NULL, err) < 0)
		return -err->errnum;
	call->method = "PUT";
	call->path = url.p;
	call->type = kind == NULL ? "application/octet-stream" : "application/x-tar";
	call->has_upload = true;
	call->timeout_ms = CX_REMOTE_PATIENCE_MS;
	cx_moving_begin(m);
	r = cx_cli_call_raw(cli, call, NULL, &answer, err);
	cx_moving_clear(m);
	if (r < 0)
		return cx_wrap(err, "upload '%.200s'", remote);
	return check_arrived(answer, m, sum, err);
}

/* ---- a file --------------------------------------------------------------------------------- */

/* size -1: not known */
static int send_file(struct cx_cli *cli, int fd, int64_t size, mode_t mode, const char *remote,
		     struct cx_err *err)
{
	struct cx_moving m = { .name = remote,
			       .total = size > 0 ? (uint64_t)size : 0,
			       .shown = !cli->args.quiet && isatty(STDERR_FILENO) };
	struct cx_call call = {
		.upload = fd, .upload_size = size, .upload_seen = cx_moving_add, .upload_arg = &m
	};
	char sum[CX_MOVING_HEX + 1];

	if (send_body(cli, &call, remote, NULL, mode, &m, sum, err) < 0)
		return -err->errnum;
	if (!cli->args.quiet)
		cx_moving_print(sum, remote);
	return 0;
}

static int send_regular(struct cx_cli *cli, const char *local, const char *remote,
			struct cx_err *err)
{
	cx_autofd int fd = open(local, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0)
		return cx_fail(err, errno, "open '%.200s'", local);
	if (!S_ISREG(st.st_mode))
		return cx_refuse(err, CX_INVALID, "'%.200s' is not a regular file", local);
	return send_file(cli, fd, st.st_size, st.st_mode, remote, err);
}

static int send_stdin(struct cx_cli *cli, const char *remote, struct cx_err *err)
{
	if (isatty(STDIN_FILENO))
		return cx_refuse(err, CX_INVALID, "standard input is a terminal");
	return send_file(cli, STDIN_FILENO, -1, 0, remote, err);
}

/* ---- a directory ---------------------------------------------------------------------------- */

struct sending {
	struct cx_tree tree;
	struct cx_moving moving;
};

static void close_sending(struct sending *s)
{
	cx_tree_close(&s->tree);
}

static ssize_t read_tree(void *arg, char *to, size_t max, struct cx_err *err)
{
	struct sending *s = arg;

	return cx_tree_read(&s->tree, to, max, err);
}

static void see_tree(void *arg, const char *bytes, size_t len)
{
	struct sending *s = arg;

	cx_moving_add(&s->moving, bytes, len);
}

/* One archive, unpacked inside as it comes. */
static int send_tree(struct cx_cli *cli, char *local, const char *remote, struct cx_err *err)
{
	CX_AUTO(close_sending)
	struct sending s = {
		.tree = { .fd = -EBADF },
		.moving = { .name = remote, .shown = !cli->args.quiet && isatty(STDERR_FILENO) },
	};
	struct cx_call call = { .upload_size = -1,
				.upload_read = read_tree,
				.upload_seen = see_tree,
				.upload_arg = &s };
	char sum[CX_MOVING_HEX + 1];

	if (cx_tree_open(&s.tree, local, remote, err) < 0 ||
	    send_body(cli, &call, remote, "tar", 0, &s.moving, sum, err) < 0)
		return -err->errnum;
	if (!cli->args.quiet)
		cx_tree_print(&s.tree);
	return 0;
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
