/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "cli/commands.h"
#include "cli/number.h"
#include "cli/output.h"
#include "cli/pack.h"

#define IMAGES "/api/v1/images"

enum { PATH_BYTES_MAX = 8192, IMPORT_PATIENCE_MS = 3600 * 1000 };

/* ---- import --------------------------------------------------------------------------------- */

/* What to send: a file, standard input, or what tar writes about a directory. */
struct source {
	int fd; /* owned */
	int64_t size;
	struct cx_pack pack;
};

static void source_free(struct source *s)
{
	cx_close(&s->fd);
	cx_pack_free(&s->pack);
}

static int end_of_pack(void *arg, struct cx_err *err)
{
	return cx_pack_end(arg, err);
}

static int source_open(struct source *s, const char *path, struct cx_err *err)
{
	struct stat st;

	if (strcmp(path, "-") == 0) {
		if (isatty(STDIN_FILENO))
			return cx_refuse(err, CX_INVALID, "standard input is a terminal");
		s->fd = fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3);
		return s->fd < 0 ? cx_fail(err, errno, "read standard input") : 0;
	}
	s->fd = open(path, O_RDONLY | O_CLOEXEC);
	if (s->fd < 0 || fstat(s->fd, &st) < 0)
		return cx_fail(err, errno, "open '%s'", path);
	if (S_ISREG(st.st_mode))
		s->size = st.st_size;
	return S_ISDIR(st.st_mode) ? cx_pack_start(&s->pack, path, err) : 0;
}

static int import_path(const char *name, struct cx_buf *out, struct cx_err *err)
{
	out->max = PATH_BYTES_MAX;
	if (cx_buf_add(out, IMAGES, strlen(IMAGES), err) < 0 ||
	    cx_http_query(out, "name", name, "/:@", err) < 0)
		return -err->errnum;
	return cx_buf_add(out, "", 1, err);
}

int cx_cmd_image_import(struct cx_cli *cli, struct cx_err *err)
{
	CX_AUTO(cx_buf_free) struct cx_buf path = { 0 };
	CX_AUTO(json_decrefp) json_t *answer = NULL;
	CX_AUTO(source_free)
	struct source s = { .fd = -EBADF, .size = -1, .pack = { .fd = -EBADF } };
	struct cx_call call = { .method = "POST",
				.type = "application/x-tar",
				.has_upload = true,
				.timeout_ms = IMPORT_PATIENCE_MS };
	json_int_t skipped;
	json_t *image;
	size_t i;

	if (import_path(cli->args.name, &path, err) < 0 ||
	    source_open(&s, cli->args.words[0], err) < 0)
		return -err->errnum;
	call.path = path.p;
	call.upload = s.pack.pid > 0 ? s.pack.fd : s.fd;
	call.upload_size = s.size;
	call.upload_end = s.pack.pid > 0 ? end_of_pack : NULL;
	call.upload_arg = &s.pack;
	if (cx_cli_call_raw(cli, &call, NULL, &answer, err) < 0)
		return cx_wrap(err, "import '%.100s'", cli->args.words[0]);
	skipped = json_integer_value(json_object_get(answer, "skipped"));
	if (skipped > 0)
		(void)fprintf(stderr,
			      "caisson: %lld %s left out: an image brings no devices or sockets\n",
			      (long long)skipped, skipped == 1 ? "entry" : "entries");
	if (cx_output_is_data(cli))
		return cx_output_data(cli, answer, err);
	json_array_foreach(json_object_get(answer, "images"), i, image) cx_image_print_name(image);
	return 0;
}

/* ---- ls, inspect, rm ------------------------------------------------------------------------ */

void cx_image_print_name(const json_t *image)
{
	static const char *const keys[] = { "name", "digest" };

	for (size_t i = 0; i < CX_LEN(keys); i++) {
		cx_cli_print_word(json_string_value(json_object_get(image, keys[i])), stdout);
		(void)putchar(i == 0 ? ' ' : '\n');
	}
}

static const struct cx_column image_columns[] = {
	{ "NAME", "name", CX_CELL_TEXT },	    { "DIGEST", "digest", CX_CELL_DIGEST },
	{ "LAYERS", "layers", CX_CELL_COUNT },	    { "SIZE", "sizeBytes", CX_CELL_BYTES },
	{ "SHARED", "sharedBytes", CX_CELL_BYTES }, { "UNIQUE", "uniqueBytes", CX_CELL_BYTES },
	{ "CREATED", "createdAt", CX_CELL_TEXT },
};

int cx_cmd_image_list(struct cx_cli *cli, struct cx_err *err)
{
	CX_AUTO(json_decrefp) json_t *answer = NULL;
	json_t *images;

	if (cx_cli_call(cli, "GET", IMAGES, NULL, &answer, err) < 0)
		return -err->errnum;
	images = json_object_get(answer, "images");
	if (!json_is_array(images))
		return cx_refuse(err, CX_INTERNAL, "the answer holds no list of images");
	return cx_output_list(cli, images, image_columns, CX_LEN(image_columns), err);
}

static int image_call(struct cx_cli *cli, const char *method, const char *ref, json_t **ret,
		      struct cx_err *err)
{
	CX_AUTO(cx_buf_free) struct cx_buf path = { .max = PATH_BYTES_MAX };

	if (*ref == '\0')
		return cx_refuse(err, CX_INVALID, "the image's name is empty");
	if (cx_buf_add(&path, IMAGES "/", strlen(IMAGES "/"), err) < 0 ||
	    cx_http_escape(&path, ref, "/:@", err) < 0 || cx_buf_add(&path, "", 1, err) < 0)
		return -err->errnum;
	return cx_cli_call(cli, method, path.p, NULL, ret, err);
}

int cx_cmd_image_inspect(struct cx_cli *cli, struct cx_err *err)
{
	CX_AUTO(json_decrefp) json_t *image = NULL;

	if (image_call(cli, "GET", cli->args.words[0], &image, err) < 0)
		return -err->errnum;
	return cx_output_data(cli, image, err);
}

int cx_cmd_image_remove(struct cx_cli *cli, struct cx_err *err)
{
	struct cx_err first = { 0 };

	for (size_t i = 0; i < cli->args.nwords; i++) {
		char text[sizeof err->msg + 128];
		const char *ref = cli->args.words[i];
		struct cx_err one = { 0 };

		if (image_call(cli, "DELETE", ref, NULL, &one) == 0) {
			(void)printf("%s removed\n", ref);
			continue;
		}
		(void)fprintf(stderr, "caisson: %s not removed: %s\n", ref,
			      cx_err_render(&one, text, sizeof text));
		if (first.errnum == 0)
			first = one;
	}
	return cx_exit_status(&first);
}

/* ---- tag, history, prune -------------------------------------------------------------------- */

int cx_cmd_image_tag(struct cx_cli *cli, struct cx_err *err)
{
	CX_AUTO(json_decrefp) json_t *body = json_object();
	CX_AUTO(json_decrefp) json_t *image = NULL;

	if (cx_cli_set(body, "image", json_string(cli->args.words[0]), err) < 0 ||
	    cx_cli_set(body, "name", json_string(cli->args.words[1]), err) < 0 ||
	    cx_cli_call(cli, "POST", IMAGES "/tag", body, &image, err) < 0)
		return -err->errnum;
	if (cx_output_is_data(cli))
		return cx_output_data(cli, image, err);
	cx_image_print_name(image);
	return 0;
}

/* The last step first. Only a step that is not empty has made a layer: it shows that one's size. */
static int print_history(struct cx_cli *cli, json_t *history, json_t *layers, struct cx_err *err)
{
	static const struct cx_column columns[] = {
		{ "CREATED", "created", CX_CELL_TEXT },
		{ "SIZE", "sizeBytes", CX_CELL_BYTES },
		{ "STEP", "created_by", CX_CELL_TEXT },
		{ "COMMENT", "comment", CX_CELL_TEXT },
	};
	CX_AUTO(json_decrefp) json_t *steps = json_array();
	size_t layer = json_array_size(layers);

	for (size_t i = json_array_size(history); i-- > 0;) {
		json_t *step = json_copy(json_array_get(history, i)), *made;

		if (json_array_append_new(steps, step) < 0)
			return cx_fail(err, ENOMEM, "history");
		if (json_is_true(json_object_get(step, "empty_layer")) || layer == 0)
			continue;
		made = json_array_get(layers, --layer);
		(void)json_object_set(step, "sizeBytes", json_object_get(made, "sizeBytes"));
	}
	return cx_output_list(cli, steps, columns, CX_LEN(columns), err);
}

int cx_cmd_image_history(struct cx_cli *cli, struct cx_err *err)
{
	CX_AUTO(json_decrefp) json_t *image = NULL;
	json_t *history;

	if (image_call(cli, "GET", cli->args.words[0], &image, err) < 0)
		return -err->errnum;
	history = json_object_get(image, "history");
	if (!json_is_array(history))
		return cx_refuse(err, CX_INTERNAL, "the answer holds no history");
	if (cx_output_is_data(cli))
		return cx_output_data(cli, history, err);
	return print_history(cli, history, json_object_get(image, "layers"), err);
}

int cx_cmd_image_prune(struct cx_cli *cli, struct cx_err *err)
{
	CX_AUTO(json_decrefp) json_t *body = json_object();
	CX_AUTO(json_decrefp) json_t *answer = NULL;
	char shown[32];
	json_t *name;
	size_t i;

	if (cli->args.all && cx_confirm(cli, "Remove every image that no sandbox uses", err) < 0)
		return -err->errnum;
	if (cx_cli_set(body, "all", json_boolean(cli->args.all), err) < 0 ||
	    cx_cli_call(cli, "POST", IMAGES "/prune", body, &answer, err) < 0)
		return -err->errnum;
	if (cx_output_is_data(cli))
		return cx_output_data(cli, answer, err);
	json_array_foreach(json_object_get(answer, "removed"), i, name)
	{
		cx_cli_print_word(json_string_value(name), stdout);
		(void)puts(" removed");
	}
	(void)cx_number_show_bytes(
		(uint64_t)json_integer_value(json_object_get(answer, "reclaimedBytes")), shown,
		sizeof shown);
	(void)printf("%s reclaimed\n", shown);
	return 0;
}
