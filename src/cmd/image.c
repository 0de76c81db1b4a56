/* SPDX-License-Identifier: Apache-2.0 */
/*
 * caisson-image read|read-known|write|scan|same|walk|changes|pack|bundle --max-bytes N
 * --max-entries N
 *
 * The workers that touch archives. caissond starts them with 0 as input, 1 as output and 3 for the
 * report (image/report.h), in namespaces of their own; nothing is read before cx_confine(). No
 * setlocale() here: in the "C" locale libarchive leaves names the bytes that they are.
 */
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>

#include "base/fd.h"
#include "base/str.h"
#include "image/bundle.h"
#include "image/confine.h"
#include "image/pack.h"
#include "image/read.h"
#include "image/same.h"
#include "image/walk.h"
#include "image/write.h"

enum { FD_REPORT = 3, EXIT_USAGE = 2 };

struct limits {
	uint64_t max_bytes, max_entries;
};

static int do_read(const struct limits *l, struct cx_report *report)
{
	const struct cx_read_limits limits = { l->max_bytes, l->max_entries, false };

	return cx_read_layer(STDIN_FILENO, STDOUT_FILENO, &limits, report);
}

static int do_read_known(const struct limits *l, struct cx_report *report)
{
	const struct cx_read_limits limits = { l->max_bytes, l->max_entries, true };

	return cx_read_layer(STDIN_FILENO, STDOUT_FILENO, &limits, report);
}

static int do_scan(const struct limits *l, struct cx_report *report)
{
	const struct cx_read_limits limits = { l->max_bytes, l->max_entries, false };

	return cx_read_scan(STDIN_FILENO, STDOUT_FILENO, &limits, report);
}

static int do_write(const struct limits *l, struct cx_report *report)
{
	const struct cx_erofs_limits limits = { l->max_bytes, l->max_entries };

	return cx_write_layer(STDIN_FILENO, STDOUT_FILENO, &limits, report);
}

static int do_walk(const struct limits *l, struct cx_report *report)
{
	const struct cx_walk_limits limits = { l->max_bytes, l->max_entries, NULL };

	return cx_walk_tree(STDIN_FILENO, STDOUT_FILENO, &limits, report);
}

static int do_changes(const struct limits *l, struct cx_report *report)
{
	const struct cx_walk_limits limits = { l->max_bytes, l->max_entries, cx_walk_made_anew };

	return cx_walk_tree(STDIN_FILENO, STDOUT_FILENO, &limits, report);
}

static int do_pack(const struct limits *l, struct cx_report *report)
{
	const struct cx_pack_limits limits = { l->max_bytes, l->max_entries };

	return cx_pack_entries(STDIN_FILENO, STDOUT_FILENO, &limits, report);
}

/* Both are files of ours; the limits are those of who wrote them. */
static int do_same(const struct limits *l, struct cx_report *report)
{
	(void)l;
	return cx_same_files(STDIN_FILENO, STDOUT_FILENO, report);
}

static int do_bundle(const struct limits *l, struct cx_report *report)
{
	const struct cx_pack_limits limits = { l->max_bytes, l->max_entries };

	return cx_bundle_files(STDIN_FILENO, STDOUT_FILENO, &limits, report);
}

static const struct {
	const char *name;
	enum cx_confine_for purpose;
	int (*run)(const struct limits *limits, struct cx_report *report);
} roles[] = {
	{ "read", CX_CONFINE_ARCHIVE, do_read },
	{ "read-known", CX_CONFINE_ARCHIVE, do_read_known },
	{ "write", CX_CONFINE_ARCHIVE, do_write },
	{ "scan", CX_CONFINE_ARCHIVE, do_scan },
	{ "same", CX_CONFINE_ARCHIVE, do_same },
	{ "walk", CX_CONFINE_TREE, do_walk },
	{ "changes", CX_CONFINE_TREE, do_changes },
	{ "pack", CX_CONFINE_ARCHIVE, do_pack },
	{ "bundle", CX_CONFINE_HANDED, do_bundle },
};

static int parse(int argc, char **argv, size_t *ret_role, struct limits *ret, struct cx_err *err)
{
	if (argc != 6 || strcmp(argv[2], "--max-bytes") != 0 ||
	    strcmp(argv[4], "--max-entries") != 0)
		return cx_refuse(err, CX_INVALID,
				 "usage: caisson-image ROLE --max-bytes N "
				 "--max-entries N; it is started by caissond only");
	if (cx_parse_u64(argv[3], 1, INT64_MAX, "--max-bytes", &ret->max_bytes, err) < 0 ||
	    cx_parse_u64(argv[5], 1, UINT32_MAX, "--max-entries", &ret->max_entries, err) < 0)
		return -err->errnum;
	for (size_t i = 0; i < CX_LEN(roles); i++) {
		if (strcmp(argv[1], roles[i].name) == 0) {
			*ret_role = i;
			return 0;
		}
	}
	return cx_refuse(err, CX_INVALID, "no role '%.20s'", argv[1]);
}

static void send_report(const struct cx_report *report)
{
	uint8_t bytes[CX_REPORT_SIZE];
	struct cx_err lost;

	cx_report_encode(report, bytes);
	(void)!cx_write_all(FD_REPORT, bytes, sizeof bytes, &lost); /* who should hear it is gone */
}

int main(int argc, char **argv)
{
	struct cx_report report = { .ok = false };
	struct limits limits;
	size_t role;
	int r;

	/* Executed by descriptor: older kernels take its number for a name. */
	(void)prctl(PR_SET_NAME, "caisson-image");
	(void)signal(SIGPIPE, SIG_IGN); /* the writer's end shows as an error with a name */
	if (parse(argc, argv, &role, &limits, &report.err) < 0) {
		(void)fprintf(stderr, "caisson-image: %s\n", report.err.msg);
		return EXIT_USAGE;
	}
	r = cx_confine(roles[role].purpose, &report.err);
	if (r == 0)
		r = roles[role].run(&limits, &report);
	send_report(&report);
	return r == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
