/* SPDX-License-Identifier: Apache-2.0 */
#include "image/pack.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "image/entries.h"
#include "image/tar.h"

enum { CHUNK = 1 << 17 };

CX_DEFINE_AUTO(struct cx_tar *, cx_tar_free);

static int on_entry(void *arg, const struct cx_entry *entry, struct cx_err *err)
{
	return cx_tar_entry(arg, entry, err);
}

static int on_data(void *arg, uint64_t offset, const void *data, size_t len, struct cx_err *err)
{
	return cx_tar_data(arg, offset, data, len, err);
}

/* Only a stream that ends here is whole: the archive gets its end when nothing followed. */
static int on_end(void *arg, struct cx_err *err)
{
	(void)arg;
	(void)err;
	return 0;
}

static int copy(int in, struct cx_entry_decoder *decoder, char *buf, struct cx_err *err)
{
	for (;;) {
		ssize_t n = read(in, buf, CHUNK);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return cx_fail(err, errno, "read entries");
		if (n == 0)
			return cx_entry_decode_finish(decoder, err);
		if (cx_entry_decode(decoder, buf, (size_t)n, err) < 0)
			return -err->errnum;
	}
}

static int run(int in, int out, const struct cx_pack_limits *limits, struct cx_report *report)
{
	cx_autofree struct cx_entry_decoder *decoder = malloc(sizeof *decoder);
	cx_autofree char *buf = malloc(CHUNK);
	CX_AUTO(cx_tar_freep) struct cx_tar *tar = NULL;
	struct cx_entry_sink sink = { .entry = on_entry, .data = on_data, .end = on_end };
	struct cx_err *err = &report->err;

	if (decoder == NULL || buf == NULL)
		return cx_fail(err, ENOMEM, "archive writer");
	if (cx_tar_new(out, limits->max_bytes, &tar, err) < 0)
		return -err->errnum;
	sink.arg = tar;
	cx_entry_decoder_init(decoder, &sink, limits->max_entries);
	if (copy(in, decoder, buf, err) < 0)
		return -err->errnum;
	report->entries = decoder->count;
	return cx_tar_finish(tar, report->blob_id, &report->blob_bytes, err);
}

int cx_pack_entries(int in, int out, const struct cx_pack_limits *limits, struct cx_report *report)
{
	int r;

	*report = (struct cx_report){ .kind = CX_REPORT_LAYER };
	r = run(in, out, limits, report);
	memcpy(report->diff_id, report->blob_id, sizeof report->diff_id);
	report->tar_bytes = report->blob_bytes;
	report->ok = r == 0;
	return r;
}
