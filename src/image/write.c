/* SPDX-License-Identifier: Apache-2.0 */
#include "image/write.h"

#include <errno.h>
#include <unistd.h>

CX_DEFINE_AUTO(struct cx_erofs *, cx_erofs_free);

static int run(int in, int out, const struct cx_erofs_limits *limits, uint64_t *ret_size,
	       struct cx_err *err)
{
	enum { CHUNK = 1 << 17 };
	CX_AUTO(cx_erofs_freep) struct cx_erofs *image = NULL;
	cx_autofree char *buf = malloc(CHUNK);

	if (buf == NULL)
		return cx_fail(err, ENOMEM, "layer writer");
	if (cx_erofs_new(out, limits, &image, err) < 0)
		return -err->errnum;
	for (;;) {
		ssize_t n = read(in, buf, CHUNK);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return cx_fail(err, errno, "read entries");
		if (n == 0)
			break;
		if (cx_erofs_feed(image, buf, (size_t)n, err) < 0)
			return -err->errnum;
	}
	if (cx_erofs_finish(image, ret_size, err) < 0)
		return -err->errnum;
	return fsync(out) < 0 ? cx_fail(err, errno, "sync the layer") : 0;
}

int cx_write_layer(int in, int out, const struct cx_erofs_limits *limits, struct cx_report *report)
{
	int r;

	*report = (struct cx_report){ .kind = CX_REPORT_LAYER };
	r = run(in, out, limits, &report->image_bytes, &report->err);
	report->ok = r == 0;
	return r;
}
