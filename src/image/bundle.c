/* SPDX-License-Identifier: Apache-2.0 */
#include "image/bundle.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "image/tar.h"
#include "proto/bundle_msgs.h"

enum { CHUNK = 1 << 17, FILE_MODE = 0644 };

CX_DEFINE_AUTO(struct cx_tar *, cx_tar_free);

struct bundling {
	struct cx_tar *tar;
	const struct cx_pack_limits *limits;
	struct cx_report *report;
	char chunk[CHUNK];
	struct cx_packet packet;
};

static int copy_file(struct bundling *b, int fd, uint64_t size, struct cx_err *err)
{
	uint64_t at = 0;

	while (at < size) {
		size_t want = size - at < CHUNK ? (size_t)(size - at) : CHUNK;
		ssize_t n = pread(fd, b->chunk, want, (off_t)at);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return cx_fail(err, errno, "read it");
		if (n == 0)
			return cx_refuse(err, CX_INTERNAL, "it became shorter meanwhile");
		if (cx_tar_data(b->tar, at, b->chunk, (size_t)n, err) < 0)
			return -err->errnum;
		at += (uint64_t)n;
	}
	return 0;
}

static int add_file(struct bundling *b, struct cx_str name, int fd, struct cx_err *err)
{
	struct cx_entry e = { .mode = S_IFREG | FILE_MODE,
			      .path = { name.p, name.len },
			      .target = { "", 0 } };
	struct stat st;

	if (++b->report->entries > b->limits->max_entries)
		return cx_refuse(err, CX_LIMIT, "more than %llu files",
				 (unsigned long long)b->limits->max_entries);
	if (fstat(fd, &st) < 0)
		return cx_fail(err, errno, "look at it");
	if (!S_ISREG(st.st_mode))
		return cx_refuse(err, CX_INVALID, "it is no regular file");
	e.size = (uint64_t)st.st_size;
	if (cx_entry_check_path(e.path, false, err) < 0 || cx_tar_entry(b->tar, &e, err) < 0)
		return -err->errnum;
	return copy_file(b, fd, e.size, err);
}

/* 1: it was the last. */
static int take_packet(struct bundling *b, struct cx_err *err)
{
	struct cx_packet *p = &b->packet;
	struct cx_msg_bundle_file file;
	struct cx_msg_bundle_end end;

	if (p->type == CX_MSG_bundle_file && p->nfds == 1 &&
	    cx_msg_bundle_file_get(&p->body, &file)) {
		if (add_file(b, file.name, p->fds[0], err) < 0)
			return cx_wrap(err, "'%.*s'", (int)file.name.len, file.name.p);
		return 0;
	}
	if (p->type == CX_MSG_bundle_end && p->nfds == 0 && cx_msg_bundle_end_get(&p->body, &end) &&
	    end.files == b->report->entries)
		return 1;
	return cx_refuse(err, CX_INVALID, "a malformed list of files");
}

static int take_all(struct bundling *b, int sock, struct cx_err *err)
{
	int r = 0;

	while (r == 0) {
		r = cx_packet_recv(sock, &b->packet, err);
		if (r == 0)
			return cx_refuse(err, CX_INVALID, "the list of files ends in the middle");
		if (r > 0)
			r = take_packet(b, err);
		cx_packet_drop(&b->packet);
	}
	return r > 0 ? 0 : r;
}

static int run(int sock, int out, const struct cx_pack_limits *limits, struct cx_report *report)
{
	cx_autofree struct bundling *b = malloc(sizeof *b);
	CX_AUTO(cx_tar_freep) struct cx_tar *tar = NULL;
	struct cx_err *err = &report->err;

	if (b == NULL)
		return cx_fail(err, ENOMEM, "archive writer");
	if (cx_tar_new(out, limits->max_bytes, &tar, err) < 0)
		return -err->errnum;
	b->tar = tar;
	b->limits = limits;
	b->report = report;
	if (take_all(b, sock, err) < 0)
		return -err->errnum;
	return cx_tar_finish(tar, report->blob_id, &report->blob_bytes, err);
}

int cx_bundle_files(int sock, int out, const struct cx_pack_limits *limits,
		    struct cx_report *report)
{
	int r;

	*report = (struct cx_report){ .kind = CX_REPORT_LAYER };
	r = run(sock, out, limits, report);
	memcpy(report->diff_id, report->blob_id, sizeof report->diff_id);
	report->tar_bytes = report->blob_bytes;
	report->ok = r == 0;
	return r;
}
