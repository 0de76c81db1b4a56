/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "cli/commands.h"
#include "cli/landing.h"
#include "cli/moving.h"
#include "cli/outfile.h"
#include "cli/remote.h"

/* Bytes on their way to one of the two kinds of files. */
struct taker {
	struct cx_moving moving;
	int (*take)(void *arg, const char *bytes, size_t len, struct cx_err *err);
	void *arg;
};

static int take(void *arg, const char *bytes, size_t len, struct cx_err *err)
{
	struct taker *t = arg;

	cx_moving_add(&t->moving, bytes, len);
	return t->take(t->arg, bytes, len, err);
}

static int fetch(struct cx_cli *cli, const char *remote, struct taker *t, struct cx_err *err)
{
	CX_AUTO(cx_buf_free) struct cx_buf url = { 0 };
	struct cx_call call = {
		.method = "GET", .take = take, .take_arg = t, .timeout_ms = CX_REMOTE_PATIENCE_MS
	};
	int r;

	if (cx_remote_url(cli, &url, "/files", remote, err) < 0)
		return -err->errnum;
	call.path = url.p;
	t->moving.shown = !cli->args.quiet && isatty(STDERR_FILENO);
	t->moving.unsummed = cli->args.quiet;
	cx_moving_begin(&t->moving);
	r = cx_cli_call_raw(cli, &call, NULL, NULL, err);
	cx_moving_clear(&t->moving);
	return r < 0 ? cx_wrap(err, "download '%.200s'", remote) : 0;
}

static void report(const struct cx_cli *cli, struct taker *t, const char *local)
{
	char sum[CX_MOVING_HEX + 1];

	if (cli->args.quiet)
		return;
	cx_moving_sum(&t->moving, sum);
	cx_moving_print(sum, local);
}

static uint64_t number(const json_t *object, const char *key)
{
	json_int_t n = json_integer_value(json_object_get(object, key));

	return n > 0 ? (uint64_t)n : 0;
}

static const char *text(const json_t *object, const char *key)
{
	const char *value = json_string_value(json_object_get(object, key));

	return value != NULL ? value : "";
}

static mode_t mode_of(const json_t *object)
{
	return (mode_t)strtoul(text(object, "mode"), NULL, 8) & 0777;
}

static int list(struct cx_cli *cli, const char *remote, const char *after, json_t **ret,
		struct cx_err *err)
{
	CX_AUTO(cx_buf_free) struct cx_buf url = { 0 };

	if (cx_remote_url(cli, &url, "/files/list", remote, err) < 0 ||
	    cx_remote_param(&url, "after", after, err) < 0)
		return -err->errnum;
	if (cx_cli_call(cli, "GET", url.p, NULL, ret, err) < 0)
		return cx_wrap(err, "download '%.200s'", remote);
	return 0;
}

/* ---- one file ------------------------------------------------------------------------------- */

static int get_file(struct cx_cli *cli, const char *remote, const json_t *what, const char *local,
		    struct cx_err *err)
{
	CX_AUTO(cx_outfile_free) struct cx_outfile out = { .fd = -EBADF };
	struct taker t = { .moving = { .name = remote, .total = number(what, "size") },
			   .take = cx_outfile_take,
			   .arg = &out };
	mode_t mask = umask(0);

	(void)umask(mask);
	if (cx_outfile_open(&out, local, err) < 0)
		return -err->errnum;
	if (cx_outfile_leaves_traces(&out) && cx_cli_take_signals(cli, err) < 0)
		return -err->errnum;
	if (fetch(cli, remote, &t, err) < 0)
		return -err->errnum;
	if (!cx_outfile_leaves_traces(&out))
		return 0;
	if (fchmod(out.fd, mode_of(what) & ~mask) < 0)
		return cx_fail(err, errno, "change the mode of '%.200s'", local);
	if (cx_outfile_finish(&out, err) < 0)
		return -err->errnum;
	report(cli, &t, local);
	return 0;
}

/* ---- a directory ---------------------------------------------------------------------------- */

struct walk {
	struct cx_cli *cli;
	unsigned depth;
};

static int get_directory(struct walk *w, int dir, const char *remote, const char *local,
			 struct cx_err *err);

static int get_regular(struct walk *w, int dir, const char *remote, const char *local,
		       const json_t *entry, struct cx_err *err)
{
	CX_AUTO(cx_landing_free) struct cx_landing landing = { .fd = -EBADF };
	struct taker t = { .moving = { .name = remote, .total = number(entry, "size") },
			   .take = cx_landing_take,
			   .arg = &landing };

	if (cx_landing_open(&landing, dir, text(entry, "name"), mode_of(entry), err) < 0 ||
	    fetch(w->cli, remote, &t, err) < 0 || cx_landing_finish(&landing, err) < 0)
		return -err->errnum;
	report(w->cli, &t, local);
	return 0;
}

static int get_below(struct walk *w, int dir, const char *remote, const char *local,
		     const json_t *entry, struct cx_err *err)
{
	cx_autofd int fd = -EBADF;
	int r;

	if (w->depth == CX_REMOTE_DEPTH_MAX)
		return cx_refuse(err, CX_INVALID, "'%.200s' is more than %d levels deep", remote,
				 CX_REMOTE_DEPTH_MAX);
	fd = cx_landing_dir(dir, text(entry, "name"), mode_of(entry), err);
	if (fd < 0)
		return fd;
	w->depth++;
	r = get_directory(w, fd, remote, local, err);
	w->depth--;
	return r;
}

static int get_entry(struct walk *w, int dir, const char *remote, const char *local,
		     const json_t *entry, struct cx_err *err)
{
	const char *kind = text(entry, "kind"), *name = text(entry, "name");
	cx_autofree char *from = NULL, *to = NULL;

	if (cx_landing_check(name, err) < 0 || cx_remote_join(remote, name, &from, err) < 0 ||
	    cx_remote_join(local, name, &to, err) < 0)
		return -err->errnum;
	if (w->cli->signo != 0)
		return cx_refuse(err, CX_UNAVAILABLE, "interrupted");
	if (strcmp(kind, "directory") == 0)
		return get_below(w, dir, from, to, entry, err);
	if (strcmp(kind, "file") == 0)
		return get_regular(w, dir, from, to, entry, err);
	if (strcmp(kind, "link") == 0)
		return cx_landing_link(dir, name, text(entry, "target"), err);
	(void)fputs("caisson: '", stderr);
	cx_cli_print_word(from, stderr);
	(void)fputs("' left out: it is no file, directory or link\n", stderr);
	return 0;
}

/* Page by page; a list that does not go on in order would go round for ever. */
static int get_directory(struct walk *w, int dir, const char *remote, const char *local,
			 struct cx_err *err)
{
	cx_autofree char *after = strdup("");
	bool more = true;

	while (more) {
		CX_AUTO(json_decrefp) json_t *page = NULL;
		json_t *entry;
		size_t i;

		if (after == NULL)
			return cx_fail(err, ENOMEM, "file name");
		if (list(w->cli, remote, after, &page, err) < 0)
			return -err->errnum;
		json_array_foreach(json_object_get(page, "entries"), i, entry)
		{
			if (strcmp(text(entry, "name"), after) <= 0)
				return cx_refuse(err, CX_INTERNAL,
						 "the sandbox lists '%.200s' out of order", remote);
			cx_freep(&after);
			after = strdup(text(entry, "name"));
			if (after == NULL)
				return cx_fail(err, ENOMEM, "file name");
			if (get_entry(w, dir, remote, local, entry, err) < 0)
				return -err->errnum;
		}
		more = json_is_true(json_object_get(page, "more")) && i > 0;
	}
	return 0;
}

static int get_tree(struct cx_cli *cli, const char *remote, const char *local, mode_t mode,
		    struct cx_err *err)
{
	struct walk w = { .cli = cli };
	cx_autofd int dir = -EBADF;

	if (strcmp(local, "-") == 0)
		return cx_refuse(err, CX_INVALID, "'%.200s' is a directory; give one for it",
				 remote);
	if (mkdir(local, mode | 0700) < 0 && errno != EEXIST)
		return cx_fail(err, errno, "make directory '%.200s'", local);
	dir = open(local, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0)
		return cx_fail(err, errno, "enter directory '%.200s'", local);
	if (cx_cli_take_signals(cli, err) < 0)
		return -err->errnum;
	return get_directory(&w, dir, remote, local, err);
}

/* Where LOCAL is a directory, what comes goes into it under its own name. */
static int place(const char *remote, const char *local, char **ret, struct cx_err *err)
{
	struct stat st;
	char base[256];
	bool into = *local != '\0' && local[strlen(local) - 1] == '/';

	if (*local == '\0')
		return cx_refuse(err, CX_INVALID, "the name of the file to write is empty");
	if (strcmp(local, "-") != 0 && !into)
		into = stat(local, &st) == 0 && S_ISDIR(st.st_mode);
	if (!into) {
		*ret = strdup(local);
		return *ret != NULL ? 0 : cx_fail(err, ENOMEM, "file name");
	}
	if (cx_remote_base(remote, base, err) < 0)
		return -err->errnum;
	return cx_remote_join(local, base, ret, err);
}

int cx_cmd_download(struct cx_cli *cli, struct cx_err *err)
{
	const char *remote = cli->args.words[1];
	CX_AUTO(json_decrefp) json_t *what = NULL;
	cx_autofree char *local = NULL;
	int r;

	if (place(remote, cli->args.words[2], &local, err) < 0 ||
	    list(cli, remote, NULL, &what, err) < 0)
		return -err->errnum;
	if (strcmp(text(what, "kind"), "directory") == 0)
		r = get_tree(cli, remote, local, mode_of(what), err);
	else
		r = get_file(cli, remote, what, local, err);
	return r < 0 && cli->signo != 0 ? CX_EXIT_SIGNAL + cli->signo : r;
}
