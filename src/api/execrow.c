/* SPDX-License-Identifier: Apache-2.0 */
#include "api/execrow.h"

#include <stdio.h>
#include <string.h>
#include <sys/random.h>

#include "api/digest.h"
#include "base/str.h"

enum { ID_BYTES = 8, RESULT_MAX = 16384 };

/* Of one sandbox, of all, and how long at most. */
static const struct cx_exec_bounds bounds = {
	.kept = 128,
	.kept_all = 20000,
	.for_ms = INT64_C(24) * 3600 * 1000,
};

/* ---- what was asked for ---------------------------------------------------------------------- */

static int add_part(struct cx_digest *digest, const void *p, size_t len, struct cx_err *err)
{
	uint64_t size = len;

	if (cx_digest_add(digest, &size, sizeof size, err) < 0)
		return -err->errnum;
	return len > 0 ? cx_digest_add(digest, p, len, err) : 0;
}

static int add_spec(struct cx_digest *digest, const struct cx_exec_spec *spec, struct cx_err *err)
{
	const uint64_t numbers[] = {
		spec->flags,
		spec->timeout_ms,
		spec->limits.cpu_us,
		spec->limits.memory_bytes,
		spec->limits.processes,
		spec->output_bytes,
		spec->file_bytes,
		spec->stack_bytes,
		spec->open_files,
	};

	if (add_part(digest, spec->argv.p, spec->argv.len, err) < 0 ||
	    add_part(digest, spec->env.p, spec->env.len, err) < 0 ||
	    add_part(digest, spec->input.p, spec->input.len, err) < 0 ||
	    add_part(digest, spec->cwd, strlen(spec->cwd), err) < 0 ||
	    add_part(digest, spec->user, strlen(spec->user), err) < 0)
		return -err->errnum;
	return add_part(digest, numbers, sizeof numbers, err);
}

static void free_digest(struct cx_digest **digest)
{
	cx_digest_free(*digest);
}

static int digest_of(const struct cx_exec_spec *spec, char ret[65], struct cx_err *err)
{
	CX_AUTO(free_digest) struct cx_digest *digest = NULL;
	uint8_t bytes[32];

	if (cx_digest_new(&digest, err) < 0 || add_spec(digest, spec, err) < 0 ||
	    cx_digest_get(digest, bytes, err) < 0)
		return -err->errnum;
	cx_to_hex(bytes, sizeof bytes, ret);
	return 0;
}

static int make_id(char ret[2 * ID_BYTES + 1], struct cx_err *err)
{
	uint8_t random[ID_BYTES];

	if (getrandom(random, sizeof random, 0) != sizeof random)
		return cx_fail(err, errno, "random id");
	cx_to_hex(random, sizeof random, ret);
	return 0;
}

/* Its words, with spaces between them. */
static void show(const struct cx_buf *argv, char ret[CX_EXEC_SHOWN_MAX + 1])
{
	size_t len = argv->len - 1 < CX_EXEC_SHOWN_MAX ? argv->len - 1 : CX_EXEC_SHOWN_MAX;

	for (size_t i = 0; i < len; i++)
		ret[i] = argv->p[i] != '\0' ? argv->p[i] : ' ';
	ret[len] = '\0';
}

static int set(char **slot, const char *text, struct cx_err *err)
{
	*slot = strdup(text);
	return *slot != NULL ? 0 : cx_fail(err, ENOMEM, "record of a command");
}

int cx_exec_row_begin(struct cx_exec_row *row, const char *sandbox, const struct cx_exec_spec *spec,
		      struct cx_err *err)
{
	char digest[65], shown[CX_EXEC_SHOWN_MAX + 1], id[2 * ID_BYTES + 1];

	show(&spec->argv, shown);
	if (digest_of(spec, digest, err) < 0 || make_id(id, err) < 0 ||
	    set(&row->sandbox_id, sandbox, err) < 0 || set(&row->digest, digest, err) < 0 ||
	    set(&row->command, shown, err) < 0 ||
	    set(&row->id, spec->id[0] != '\0' ? spec->id : id, err) < 0)
		return -err->errnum;
	row->timeout_ms = spec->timeout_ms;
	row->asked_us = (int64_t)cx_now_us();
	row->created_ms = cx_wall_ms();
	return 0;
}

int cx_exec_row_set_mark(struct cx_exec_row *row, const struct cx_accounts_mark *mark,
			 struct cx_err *err)
{
	char text[2 * sizeof *mark + 1];

	if (mark->number == 0)
		return 0;
	cx_to_hex((const uint8_t *)mark, sizeof *mark, text);
	return set(&row->mark, text, err);
}

struct cx_accounts_mark cx_exec_row_mark(const struct cx_exec_row *row)
{
	struct cx_accounts_mark mark;

	if (row->mark == NULL || !cx_from_hex(row->mark, (uint8_t *)&mark, sizeof mark))
		return (struct cx_accounts_mark){ .number = 0 };
	return mark;
}

int cx_exec_row_compare(const struct cx_exec_row *row, const struct cx_exec_spec *spec,
			struct cx_err *err)
{
	char digest[65];

	if (digest_of(spec, digest, err) < 0)
		return -err->errnum;
	if (strcmp(digest, row->digest) != 0)
		return cx_refuse(err, CX_CONFLICT,
				 "another command was started in this sandbox under the id '%s'",
				 row->id);
	return 0;
}

/* ---- how it ended ---------------------------------------------------------------------------- */

int cx_exec_row_end(struct cx_exec_row *row, const struct cx_result *end, uint32_t pid,
		    const struct cx_err *why, const struct cx_outcopy *copy, struct cx_err *err)
{
	CX_AUTO(cx_buf_free) struct cx_buf json = { .max = RESULT_MAX };
	struct cx_jsonw w = { .out = &json };

	cx_jsonw_object(&w, NULL);
	cx_command_write_end(&w, end, why);
	cx_outcopy_write(&w, copy);
	cx_jsonw_int(&w, "stdout_bytes", (int64_t)(row->out.bytes & INT64_MAX));
	cx_jsonw_int(&w, "stderr_bytes", (int64_t)(row->err.bytes & INT64_MAX));
	cx_jsonw_int(&w, "pid", pid);
	cx_jsonw_text(&w, "exec_id", row->id);
	cx_jsonw_end(&w);
	if (cx_jsonw_finish(&w, err) < 0 || cx_buf_add(&json, "", 1, err) < 0)
		return -err->errnum;
	cx_freep(&row->result);
	cx_freep(&row->reason);
	row->result = cx_take_ptr(&json.p);
	row->ended_ms = cx_wall_ms();
	return set(&row->reason, cx_reason_name(end->reason), err);
}

int cx_exec_row_put(struct cx_gateway *gw, const struct cx_exec_row *row, struct cx_err *err)
{
	return cx_store_exec_put(gw->store, row, &bounds, err);
}

int cx_exec_row_put_later(struct cx_gateway *gw, const struct cx_exec_row *row, struct cx_err *err)
{
	return cx_store_exec_put_later(gw->store, row, &bounds, err);
}

/* ---- telling --------------------------------------------------------------------------------- */

/* The beginning, and what is newest where the middle was left out. */
static void write_stream(struct cx_jsonw *w, const char *name, const struct cx_excerpt *excerpt)
{
	const bool all = !excerpt->cut && excerpt->bytes == excerpt->kept.len;
	size_t head = excerpt->kept.len;
	char key[32];

	if (!all && head > CX_EXCERPT_HEAD)
		head = CX_EXCERPT_HEAD;
	cx_jsonw_bytes(w, name, excerpt->kept.p, head);
	(void)snprintf(key, sizeof key, "%s_truncated", name);
	cx_jsonw_bool(w, key, !all);
	(void)snprintf(key, sizeof key, "%s_tail", name);
	if (excerpt->kept.len == head)
		cx_jsonw_null(w, key);
	else
		cx_jsonw_bytes(w, key, excerpt->kept.p + head, excerpt->kept.len - head);
}

int cx_exec_row_answer(const struct cx_exec_row *row, struct cx_buf *json, struct cx_err *err)
{
	struct cx_jsonw w = { .out = json };

	cx_jsonw_object(&w, NULL);
	write_stream(&w, "stdout", &row->out);
	write_stream(&w, "stderr", &row->err);
	cx_jsonw_end(&w);
	if (cx_jsonw_finish(&w, err) < 0)
		return -err->errnum;
	json->p[json->len - 1] = ','; /* the result is an object of its own: they become one */
	return cx_buf_add(json, row->result + 1, strlen(row->result) - 1, err);
}

void cx_exec_row_write(struct cx_jsonw *w, const struct cx_exec_row *row)
{
	cx_jsonw_text(w, "exec_id", row->id);
	cx_jsonw_text(w, "status", row->ended_ms > 0 ? "ENDED" : "RUNNING");
	cx_jsonw_bytes(w, "command", row->command, strlen(row->command));
	cx_jsonw_text(w, "reason", row->reason);
	cx_jsonw_time(w, "created_at", row->created_ms);
	cx_jsonw_time(w, "ended_at", row->ended_ms);
}
