/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "cli/commands.h"
#include "cli/outfile.h"

enum { PATH_BYTES_MAX = 64 << 10, PATIENCE_MS = 3600 * 1000 };

/* The archive that a GET of route answers with goes to the file of --output. */
static int download(struct cx_cli *cli, const char *route, struct cx_err *err)
{
	const struct cx_args *a = &cli->args;
	CX_AUTO(cx_buf_free) struct cx_buf path = { .max = PATH_BYTES_MAX };
	CX_AUTO(cx_outfile_free) struct cx_outfile out = { .fd = -EBADF };
	struct cx_call call = { .method = "GET",
				.take = cx_outfile_take,
				.take_arg = &out,
				.timeout_ms = PATIENCE_MS };

	if (cx_buf_add(&path, route, strlen(route), err) < 0)
		return -err->errnum;
	for (size_t i = 0; i < a->nwords; i++)
		if (cx_http_query(&path, "image", a->words[i], "/:@", err) < 0)
			return -err->errnum;
	if (cx_http_query(&path, "format", a->format, "", err) < 0 ||
	    cx_buf_add(&path, "", 1, err) < 0 || cx_outfile_open(&out, a->file, err) < 0)
		return -err->errnum;
	/* Written to a pipe, it may hang there, and a signal ends it as it ends any program. */
	if (cx_outfile_leaves_traces(&out) && cx_cli_take_signals(cli, err) < 0)
		return -err->errnum;
	call.path = path.p;
	if (cx_cli_call_raw(cli, &call, NULL, NULL, err) < 0)
		return cli->signo != 0 ? CX_EXIT_SIGNAL + cli->signo : -err->errnum;
	return cx_outfile_finish(&out, err);
}

int cx_cmd_image_save(struct cx_cli *cli, struct cx_err *err)
{
	return download(cli, "/api/v1/image-archive", err);
}

int cx_cmd_image_export(struct cx_cli *cli, struct cx_err *err)
{
	return download(cli, "/api/v1/image-rootfs", err);
}
