/* SPDX-License-Identifier: Apache-2.0 */
#include "api/later.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/stat.h>

#include "api/store_inner.h"
#include "base/fd.h"
#include "base/log.h"

enum {
	AGAIN_MS = 1000,     /* after a failure */
	ROWS_MAX = 1 << 20,  /* bytes; more do not wait */
	HEAD = 4 + 8 + 4 + 4 /* length of what follows, number of the batch, kind, parameters */
};

struct cx_later {
	struct cx_store *store;
	struct cx_loop *loop;
	struct cx_timer timer;
	int fd;
	struct cx_buf rows; /* what the file holds */
	uint64_t batch;	    /* of these rows: one more than what the database has */
};

static int (*const write_row[CX_LATER_KINDS])(struct cx_store *store,
					      const struct cx_params *params,
					      struct cx_err *err) = {
	[CX_LATER_AUDIT] = cx_store_audit_run,
	[CX_LATER_EXEC] = cx_store_exec_run,
};

/* ---- parameters ------------------------------------------------------------------------------ */

void cx_params_number(struct cx_params *params, int64_t number)
{
	params->at[params->n++] =
		(struct cx_param){ .type = CX_PARAM_NUMBER, .number = (uint64_t)number };
}

void cx_params_text(struct cx_params *params, const char *text)
{
	struct cx_param param = { .type = CX_PARAM_NULL };

	if (text != NULL)
		param = (struct cx_param){ .type = CX_PARAM_TEXT, .bytes = cx_str_of(text) };
	params->at[params->n++] = param;
}

void cx_params_blob(struct cx_params *params, const void *p, size_t len)
{
	struct cx_param param = { .type = len > 0 ? CX_PARAM_BLOB : CX_PARAM_NULL,
				  .bytes = { .p = p, .len = (uint32_t)len } };

	params->at[params->n++] = param;
}

void cx_store_bind_params(sqlite3_stmt *stmt, const struct cx_params *params)
{
	for (unsigned i = 0; i < params->n; i++) {
		const struct cx_param *p = &params->at[i];
		int at = (int)i + 1, len = (int)p->bytes.len;

		if (p->type == CX_PARAM_NUMBER)
			(void)sqlite3_bind_int64(stmt, at, (int64_t)p->number);
		else if (p->type == CX_PARAM_TEXT)
			(void)sqlite3_bind_text(stmt, at, p->bytes.p, len, SQLITE_STATIC);
		else if (p->type == CX_PARAM_BLOB)
			(void)sqlite3_bind_blob(stmt, at, p->bytes.p, len, SQLITE_STATIC);
	}
}

/* ---- the file -------------------------------------------------------------------------------- */

static size_t size_of(const struct cx_params *params)
{
	size_t size = HEAD;

	for (unsigned i = 0; i < params->n; i++)
		size += 4 + 8 + 4 + params->at[i].bytes.len;
	return size;
}

static void put_row(struct cx_writer *w, uint64_t batch, enum cx_later_kind kind,
		    const struct cx_params *params)
{
	uint32_t length = (uint32_t)(w->left - sizeof length), of_kind = kind;

	(void)cx_put_u32(w, &length, UINT32_MAX);
	(void)cx_put_u64(w, &batch, UINT64_MAX);
	(void)cx_put_u32(w, &of_kind, UINT32_MAX);
	(void)cx_put_u32(w, &params->n, CX_PARAMS_MAX);
	for (unsigned i = 0; i < params->n; i++) {
		uint32_t type = params->at[i].type;

		(void)cx_put_u32(w, &type, CX_PARAM_BLOB);
		(void)cx_put_u64(w, &params->at[i].number, UINT64_MAX);
		(void)cx_put_bytes(w, &params->at[i].bytes, UINT32_MAX);
	}
}

static bool get_params(struct cx_reader *r, uint32_t n, struct cx_params *ret)
{
	uint32_t type;

	*ret = (struct cx_params){ .n = n };
	for (unsigned i = 0; i < n; i++) {
		struct cx_param *p = &ret->at[i];

		if (!cx_get_u32(r, &type, CX_PARAM_BLOB) ||
		    !cx_get_u64(r, &p->number, UINT64_MAX) ||
		    !cx_get_bytes(r, &p->bytes, UINT32_MAX))
			return false;
		p->type = type;
	}
	return r->left == 0;
}

/* False at the end: of the file, of the batch, or of what is whole. */
static bool get_row(struct cx_reader *rows, uint64_t batch, enum cx_later_kind *ret_kind,
		    struct cx_params *ret)
{
	struct cx_str bytes;
	struct cx_reader r;
	uint64_t of_batch;
	uint32_t kind, n;

	if (!cx_get_bytes(rows, &bytes, ROWS_MAX))
		return false;
	r = (struct cx_reader){ .p = (const uint8_t *)bytes.p, .left = bytes.len };
	if (!cx_get_u64(&r, &of_batch, UINT64_MAX) || of_batch != batch ||
	    !cx_get_u32(&r, &kind, CX_LATER_KINDS - 1) || !cx_get_u32(&r, &n, CX_PARAMS_MAX))
		return false;
	*ret_kind = kind;
	return get_params(&r, n, ret);
}

/* Behind what is there. A write that fails leaves nothing that could be taken for a row. */
static int append(struct cx_later *later, enum cx_later_kind kind, const struct cx_params *params,
		  struct cx_err *err)
{
	size_t size = size_of(params);
	char *at = cx_buf_reserve(&later->rows, size, err);
	struct cx_writer w = { .p = (uint8_t *)at, .left = size };
	ssize_t n;

	if (at == NULL)
		return -err->errnum;
	put_row(&w, later->batch, kind, params);
	n = pwrite(later->fd, at, size, (off_t)later->rows.len);
	if (n == (ssize_t)size) {
		later->rows.len += size;
		return 0;
	}
	(void)cx_fail(err, n < 0 ? errno : ENOSPC, "write 'later'");
	(void)!ftruncate(later->fd, (off_t)later->rows.len);
	return -err->errnum;
}

static int read_file(struct cx_later *later, struct cx_err *err)
{
	char *at = cx_buf_reserve(&later->rows, ROWS_MAX, err);
	ssize_t n = at != NULL ? cx_read_upto(later->fd, at, ROWS_MAX, err) : -1;

	if (n < 0)
		return cx_wrap(err, "'later'");
	later->rows.len = (size_t)n;
	return 0;
}

/* ---- the database ---------------------------------------------------------------------------- */

/* A row that the database does not take (another version wrote it) must not keep the others. */
static int write_rows(struct cx_later *later, struct cx_err *err)
{
	struct cx_reader rows = { .p = (const uint8_t *)later->rows.p, .left = later->rows.len };
	enum cx_later_kind kind;
	struct cx_params params;

	while (get_row(&rows, later->batch, &kind, &params)) {
		if (write_row[kind](later->store, &params, err) == 0)
			continue;
		if (err->kind != CX_CONFLICT && err->kind != CX_INVALID)
			return -err->errnum;
		cx_log_err(CX_LOG_ERROR, err, "a row of 'later' is no row", NULL);
	}
	return 0;
}

/* The number of the batch goes along, so that none is ever written twice. */
static int write_batch(struct cx_later *later, struct cx_err *err)
{
	static const char what[] = "write what was kept for later";
	char end[96];
	struct cx_err ignored;

	(void)snprintf(end, sizeof end, "UPDATE later SET batch=%" PRIu64 "; COMMIT", later->batch);
	if (cx_store_exec(later->store, "BEGIN IMMEDIATE", what, err) < 0)
		return -err->errnum;
	if (write_rows(later, err) == 0 && cx_store_exec(later->store, end, what, err) == 0)
		return 0;
	(void)!cx_store_exec(later->store, "ROLLBACK", what, &ignored);
	return -err->errnum;
}

int cx_later_run(struct cx_store *store, struct cx_err *err)
{
	struct cx_later *later = store->later;

	if (later == NULL || later->rows.len == 0)
		return 0;
	if (write_batch(later, err) < 0) {
		cx_timer_set(later->loop, &later->timer, AGAIN_MS);
		return -err->errnum;
	}
	cx_timer_clear(&later->timer);
	later->batch++;
	later->rows.len = 0;
	(void)!ftruncate(later->fd, 0); /* else the batch's number says that they are old */
	return 0;
}

static void run(struct cx_timer *timer)
{
	struct cx_later *later = cx_container_of(timer, struct cx_later, timer);
	struct cx_err err;

	if (cx_later_run(later->store, &err) < 0)
		cx_log_err(CX_LOG_ERROR, &err, "rows wait for the database", NULL);
}

int cx_later_put(struct cx_store *store, enum cx_later_kind kind, const struct cx_params *params,
		 struct cx_err *err)
{
	struct cx_later *later = store->later;

	if (later == NULL)
		return write_row[kind](store, params, err);
	if (later->rows.len + size_of(params) > ROWS_MAX && cx_later_run(store, err) < 0)
		return -err->errnum;
	/* No block is free for the file any more? The database may have room of its own. */
	if (append(later, kind, params, err) < 0)
		return cx_later_run(store, err) < 0 ? -err->errnum
						    : write_row[kind](store, params, err);
	if (later->timer.link == NULL)
		cx_timer_set(later->loop, &later->timer, CX_LATER_MS);
	return 0;
}

/* Bytes of the rows that wait: before what is of an earlier batch, or was not written whole. */
static size_t waiting(const struct cx_later *later)
{
	struct cx_reader rows = { .p = (const uint8_t *)later->rows.p, .left = later->rows.len };
	enum cx_later_kind kind;
	struct cx_params params;
	size_t len = 0;

	while (get_row(&rows, later->batch, &kind, &params))
		len = later->rows.len - rows.left;
	return len;
}

/* ---- open and close -------------------------------------------------------------------------- */

static int read_batch(struct cx_store *store, uint64_t *ret, struct cx_err *err)
{
	sqlite3_stmt *stmt = NULL;
	int r = sqlite3_prepare_v2(store->db, "SELECT batch FROM later", -1, &stmt, NULL);

	if (r == SQLITE_OK && sqlite3_step(stmt) == SQLITE_ROW)
		*ret = (uint64_t)sqlite3_column_int64(stmt, 0);
	else
		r = cx_store_fail(store, "read which rows were kept for later", err);
	(void)sqlite3_finalize(stmt);
	return r == SQLITE_OK ? 0 : -err->errnum;
}

static void close_later(struct cx_later **slot)
{
	struct cx_later *later = *slot;

	if (later == NULL)
		return;
	cx_timer_clear(&later->timer);
	cx_close(&later->fd);
	cx_buf_free(&later->rows);
	free(later);
}

int cx_later_open(struct cx_store *store, int dir, struct cx_loop *loop, struct cx_err *err)
{
	CX_AUTO(close_later) struct cx_later *later = calloc(1, sizeof *later);

	if (later == NULL)
		return cx_fail(err, ENOMEM, "rows for later");
	*later = (struct cx_later){ .store = store,
				    .loop = loop,
				    .timer = { .fire = run },
				    .rows = { .max = ROWS_MAX },
				    .fd = openat(dir, "later",
						 O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600) };
	if (later->fd < 0)
		return cx_fail(err, errno, "open 'later'");
	if (read_batch(store, &later->batch, err) < 0 || read_file(later, err) < 0)
		return -err->errnum;
	later->batch++;
	later->rows.len = waiting(later);
	if (ftruncate(later->fd, (off_t)later->rows.len) < 0)
		return cx_fail(err, errno, "cut 'later'");
	store->later = cx_take_ptr(&later);
	run(&store->later->timer);
	return 0;
}

void cx_later_close(struct cx_store *store)
{
	struct cx_err err;

	if (cx_later_run(store, &err) < 0)
		cx_log_err(CX_LOG_ERROR, &err, "rows stay in 'later'", NULL);
	close_later(&store->later);
	store->later = NULL;
}
