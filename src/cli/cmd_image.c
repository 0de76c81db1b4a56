/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "cli/commands.h"
#include "cli/number.h"
#include "cli/pack.h"
#include "cli/table.h"

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
	if (cx_buf_add(out, IMAGES, strlen(IMAGES), err) < 0)
		return -err->errnum;
	if (name != NULL &&
	    (cx_buf_add(out, "?name=", 6, err) < 0 || cx_http_escape(out, name, "/:@", err) < 0))
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
	if (cx_cli_call_raw(cli, &call, &answer, err) < 0)
		return cx_wrap(err, "import '%.100s'", cli->args.words[0]);
	skipped = json_integer_value(json_object_get(answer, "skipped"));
	if (skipped > 0)
		(void)fprintf(stderr,
			      "caisson: %lld %s left out: an image brings no devices or sockets\n",
			      (long long)skipped, skipped == 1 ? "entry" : "entries");
	if (cx_cli_wants_json(cli))
		return cx_cli_print_json(answer, err);
	json_array_foreach(json_object_get(answer, "images"), i, image)
	{
		const char *name = json_string_value(json_object_get(image, "name"));
		const char *digest = json_string_value(json_object_get(image, "digest"));

		(void)printf("%s %s\n", name != NULL ? name : "-", digest != NULL ? digest : "-");
	}
	return 0;
}

/* ---- ls, inspect, rm ------------------------------------------------------------------------ */

static int add_row(struct cx_table *table, json_t *image, struct cx_err *err)
{
	json_t *size = json_object_get(image, "sizeBytes");
	const char *digest = json_string_value(json_object_get(image, "digest"));
	char shown[32], layers[16], brief[20] = "";

	(void)cx_number_show_bytes((uint64_t)json_integer_value(size), shown, sizeof shown);
	(void)snprintf(layers, sizeof layers, "%zu",
		       json_array_size(json_object_get(image, "layers")));
	if (digest != NULL)
		(void)snprintf(brief, sizeof brief, "%s", digest);
	if (cx_table_add(table, json_string_value(json_object_get(image, "name")), err) < 0 ||
	    cx_table_add(table, brief, err) < 0 || cx_table_add(table, layers, err) < 0 ||
	    cx_table_add(table, shown, err) < 0)
		return -err->errnum;
	return cx_table_add(table, json_string_value(json_object_get(image, "createdAt")), err);
}

int cx_cmd_image_list(struct cx_cli *cli, struct cx_err *err)
{
	static const char *const titles[] = { "NAME", "DIGEST", "LAYERS", "SIZE", "CREATED" };
	CX_AUTO(json_decrefp) json_t *answer = NULL;
	CX_AUTO(cx_table_free) struct cx_table table = { .columns = CX_LEN(titles) };
	json_t *images, *image;
	size_t row;

	if (cx_cli_call(cli, "GET", IMAGES, NULL, &answer, err) < 0)
		return -err->errnum;
	images = json_object_get(answer, "images");
	if (!json_is_array(images))
		return cx_refuse(err, CX_INTERNAL, "the answer holds no list of images");
	if (cx_cli_wants_json(cli))
		return cx_cli_print_json(images, err);
	for (size_t i = 0; i < CX_LEN(titles); i++)
		if (cx_table_add(&table, titles[i], err) < 0)
			return -err->errnum;
	json_array_foreach(images, row,
			   image) if (add_row(&table, image, err) < 0) return -err->errnum;
	cx_table_print(&table, stdout);
	return 0;
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
	return cx_cli_print_json(image, err);
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
