/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "api/handlers.h"
#include "api/images.h"
#include "api/outflow.h"

/* The tree of files that an image is, as one archive: its layers as a sandbox would see them. */
enum { ENTRIES_MAX = 8000000 };
static const uint64_t bytes_max = (uint64_t)256 << 30;

static void ended(struct cx_outflow *out)
{
	free(out);
}

static int find(const struct cx_request *req, struct cx_image_row *ret, struct cx_err *err)
{
	const char *given = cx_request_query(req, "image");

	if (given == NULL)
		return cx_refuse(err, CX_INVALID, "'image' is needed: which one");
	return cx_image_find(req->gateway, given, "image", ret, err);
}

static int start(struct cx_request *req, struct cx_outflow *out, struct cx_err *err)
{
	CX_AUTO(cx_image_row_clear) struct cx_image_row image = { 0 };
	cx_autofd int pipe = -EBADF, walk = -EBADF, pack = -EBADF;
	uint8_t layers[CX_IMAGE_LAYERS_MAX][32];
	int fds[3] = { -EBADF, -EBADF, -EBADF };
	struct cx_msg_export plan = { .max_bytes = bytes_max, .max_entries = ENTRIES_MAX };

	if (find(req, &image, err) < 0)
		return -err->errnum;
	for (unsigned i = 0; i < image.nlayers; i++)
		memcpy(layers[i], image.layers[i].diff_id, sizeof layers[i]);
	plan.layers = (struct cx_str){ (const char *)layers, 32 * image.nlayers };
	if (cx_outflow_open(out, req, 2, fds, err) < 0)
		return -err->errnum;
	pipe = fds[0];
	walk = fds[1];
	pack = fds[2];
	if (cx_engine_export(req->gateway->engine, &plan, (int[]){ pipe, walk, pack },
			     &out->workers.call, err) < 0)
		cx_outflow_fail(out, err);
	return 0;
}

void cx_handle_image_export(struct cx_request *req)
{
	struct cx_outflow *out = calloc(1, sizeof *out);
	struct cx_err err;

	if (out == NULL) {
		(void)cx_fail(&err, ENOMEM, "archive");
		cx_request_fail(req, &err);
		return;
	}
	out->ended = ended;
	if (start(req, out, &err) == 0)
		return;
	cx_request_fail(req, &err);
	free(out);
}
