/* SPDX-License-Identifier: Apache-2.0 */
#include "api/store.h"

#include <stdio.h>

#include "api/checkpoint.h"
#include "api/later.h"
#include "api/store_inner.h"
#include "api/walfile.h"
#include "base/cleanup.h"
#include "base/fault.h"

#define LIVE CX_STORE_LIVE

#define UPDATE "UPDATE sandboxes SET updated_ms=?2" CX_SANDBOX_CHANGES(CX_SQL_SET)
#define BY_NAME                                                                                \
	"SELECT " CX_STORE_SANDBOX ", status IN " LIVE " AS live FROM sandboxes WHERE name=?1" \
	" AND id IS NOT NULL"
#define IMAGE_COLUMNS \
	"name, manifest_type, config, manifest_id, config_id, created_ms, size_bytes, platform"

enum statement {
	BEGIN,
	COMMIT,
	ROLLBACK,
	SANDBOX_INSERT,
	SANDBOX_UPDATE,
	SANDBOX_BEAR,
	SANDBOX_REMOVE,
	SANDBOX_BY_ID,
	SANDBOX_BY_NAME,
	SANDBOX_BY_NAME_FOR,
	SANDBOX_BY_KEY,
	SANDBOX_UNBORN,
	SANDBOX_PRUNE,
	LAYER_NOTE,
	LAYER_FORGET,
	LAYER_UNUSED,
	IMAGE_INSERT,
	IMAGE_LAYER,
	IMAGE_FIND,
	IMAGE_LAYERS,
	IMAGE_UNIQUE,
	IMAGE_LIST,
	IMAGE_REMOVE,
	IMAGE_USERS,
	BLOB_USED,
	STORE_TOTALS,
	STATEMENT_MAX,
};

static const char *const statements[STATEMENT_MAX] = {
	[BEGIN] = "BEGIN IMMEDIATE",
	[COMMIT] = "COMMIT",
	[ROLLBACK] = "ROLLBACK",
	[SANDBOX_INSERT] = "INSERT INTO sandboxes (" CX_STORE_SANDBOX
			   ") VALUES (?1" CX_SANDBOX_COLUMNS(CX_SQL_HOLE) ")",
	[SANDBOX_UPDATE] = UPDATE " WHERE row=?1 AND id IS ? AND engine_id IS ?",
	[SANDBOX_BEAR] = UPDATE CX_SANDBOX_IDS(CX_SQL_SET) " WHERE row=?1",
	[SANDBOX_REMOVE] = "DELETE FROM sandboxes WHERE row=?",
	[SANDBOX_BY_ID] = "SELECT " CX_STORE_SANDBOX " FROM sandboxes WHERE id=?1",
	[SANDBOX_BY_NAME] = BY_NAME " ORDER BY live DESC, row DESC LIMIT 2",
	[SANDBOX_BY_NAME_FOR] =
		BY_NAME " AND" CX_STORE_VISIBLE("?2") " ORDER BY live DESC, row DESC LIMIT 2",
	[SANDBOX_BY_KEY] = "SELECT " CX_STORE_SANDBOX " FROM sandboxes WHERE user_id=?1"
			   " AND idempotency_key=?2",
	[SANDBOX_UNBORN] = "DELETE FROM sandboxes WHERE id IS NULL",
	[SANDBOX_PRUNE] =
		"DELETE FROM sandboxes WHERE row IN (SELECT row FROM sandboxes WHERE status"
		" NOT IN " LIVE " ORDER BY row DESC LIMIT -1 OFFSET ?1)",
	[LAYER_NOTE] = "INSERT INTO layers (diff_id, size_bytes) VALUES (?1, ?2)"
		       " ON CONFLICT (diff_id) DO UPDATE SET size_bytes=excluded.size_bytes",
	[LAYER_FORGET] = "DELETE FROM layers WHERE diff_id=?1",
	[LAYER_UNUSED] = "SELECT diff_id, size_bytes FROM layers WHERE (?1 IS NULL OR diff_id > "
			 "?1) AND diff_id"
			 " NOT IN (SELECT diff_id FROM image_layers) ORDER BY diff_id LIMIT 1",
	[IMAGE_INSERT] = "INSERT INTO images (" IMAGE_COLUMNS ") VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
	[IMAGE_LAYER] = "INSERT INTO image_layers (image, position, diff_id, blob_id, blob_bytes,"
			" media_type) VALUES (?, ?, ?, ?, ?, ?)",
	[IMAGE_FIND] = "SELECT " IMAGE_COLUMNS ", row FROM images WHERE name=?",
	[IMAGE_LAYERS] = "SELECT diff_id, size_bytes, blob_id, blob_bytes, media_type"
			 " FROM image_layers JOIN layers USING (diff_id) WHERE image=?"
			 " ORDER BY position",
	[IMAGE_UNIQUE] = "SELECT coalesce(sum(size_bytes), 0) FROM layers WHERE diff_id IN"
			 " (SELECT diff_id FROM image_layers WHERE image=?1) AND diff_id NOT IN"
			 " (SELECT diff_id FROM image_layers JOIN images ON image=row"
			 " WHERE config_id<>?2)",
	[IMAGE_LIST] = "SELECT " IMAGE_COLUMNS ", row FROM images ORDER BY name",
	[IMAGE_REMOVE] = "DELETE FROM images WHERE name=?",
	[IMAGE_USERS] = "SELECT count(*) FROM sandboxes WHERE image_name=? AND status IN " LIVE,
	[BLOB_USED] = "SELECT EXISTS (SELECT 1 FROM image_layers WHERE blob_id=?1)"
		      " OR EXISTS (SELECT 1 FROM images WHERE manifest_id=?1)"
		      " OR EXISTS (SELECT 1 FROM images WHERE config_id=?1)",
	[STORE_TOTALS] = "SELECT (SELECT count(DISTINCT config_id) FROM images), count(*),"
			 " coalesce(sum(size_bytes), 0) FROM layers",
};

static_assert((int)STATEMENT_MAX <= (int)CX_STORE_STATEMENTS_MAX, "there is a slot for each");

/* ---- statements ----------------------------------------------------------------------------- */

int cx_store_fail(struct cx_store *store, const char *what, struct cx_err *err)
{
	int code = sqlite3_extended_errcode(store->db);

	if ((code & 0xff) == SQLITE_CONSTRAINT)
		return cx_refuse(err, CX_CONFLICT, "%s: it exists already", what);
	if ((code & 0xff) == SQLITE_MISMATCH)
		return cx_refuse(err, CX_INVALID, "%s: a value has another type", what);
	if ((code & 0xff) == SQLITE_FULL)
		return cx_refuse(err, CX_LIMIT, "%s: the disk of the state directory is full",
				 what);
	return cx_fail(err, code == SQLITE_NOMEM ? ENOMEM : EIO, "%s: sqlite: %s", what,
		       sqlite3_errmsg(store->db));
}

sqlite3_stmt *cx_store_take(struct cx_store *store, sqlite3_stmt **slot, const char *sql,
			    struct cx_err *err)
{
	if (*slot == NULL && sqlite3_prepare_v3(store->db, sql, -1, SQLITE_PREPARE_PERSISTENT, slot,
						NULL) != SQLITE_OK)
		(void)cx_store_fail(store, "prepare a statement", err);
	return *slot;
}

static sqlite3_stmt *take(struct cx_store *store, enum statement which, struct cx_err *err)
{
	return cx_store_take(store, &store->stmts[which], statements[which], err);
}

int cx_store_run(struct cx_store *store, sqlite3_stmt *stmt, const char *what, struct cx_err *err)
{
	return sqlite3_step(stmt) == SQLITE_DONE ? 0 : cx_store_fail(store, what, err);
}

static int run_plain(struct cx_store *store, enum statement which, const char *what,
		     struct cx_err *err)
{
	CX_AUTO_STMT *stmt = take(store, which, err);

	return stmt != NULL ? cx_store_run(store, stmt, what, err) : -err->errnum;
}

static void bind_id(sqlite3_stmt *stmt, int at, const uint8_t *id)
{
	(void)sqlite3_bind_blob(stmt, at, id, id != NULL ? 32 : 0, SQLITE_STATIC);
}

/* False when what lies there cannot be an id. */
static bool copy_id(sqlite3_stmt *stmt, int at, uint8_t ret[32])
{
	if (sqlite3_column_bytes(stmt, at) != 32)
		return false;
	memcpy(ret, sqlite3_column_blob(stmt, at), 32);
	return true;
}

int cx_store_copy_text(sqlite3_stmt *stmt, int at, char **ret)
{
	const char *text = (const char *)sqlite3_column_text(stmt, at);

	*ret = NULL;
	if (text == NULL)
		return sqlite3_column_type(stmt, at) == SQLITE_NULL ? 0 : -ENOMEM;
	*ret = strdup(text);
	return *ret != NULL ? 0 : -ENOMEM;
}

/* ---- opening -------------------------------------------------------------------------------- */

void cx_store_close(struct cx_store *store)
{
	if (store == NULL)
		return;
	cx_later_close(store);
	cx_checkpoint_close(store);
	for (unsigned i = 0; i < CX_STORE_STATEMENTS_MAX; i++) {
		(void)sqlite3_finalize(store->stmts[i]);
		(void)sqlite3_finalize(store->accounts[i]);
		(void)sqlite3_finalize(store->sealed[i]);
		(void)sqlite3_finalize(store->networks[i]);
		(void)sqlite3_finalize(store->ssh[i]);
		(void)sqlite3_finalize(store->exposures[i]);
		(void)sqlite3_finalize(store->events[i]);
		(void)sqlite3_finalize(store->execs[i]);
		(void)sqlite3_finalize(store->lists[i]);
		(void)sqlite3_finalize(store->counts[i]);
	}
	(void)sqlite3_finalize(store->statuses);
	(void)sqlite3_close(store->db);
	cx_walfile_close(store->walfile);
	free(store);
}
CX_DEFINE_AUTO(struct cx_store *, cx_store_close);

int cx_store_open(const char *file, struct cx_store **ret, struct cx_err *err)
{
	CX_AUTO(cx_store_closep) struct cx_store *store = calloc(1, sizeof *store);

	if (store == NULL)
		return cx_fail(err, ENOMEM, "database");
	if (cx_walfile_open(&store->walfile, err) < 0)
		return -err->errnum;
	if (sqlite3_open_v2(file, &store->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE,
			    cx_walfile_name(store->walfile)) != SQLITE_OK)
		return cx_store_fail(store, "open the database", err);
	(void)sqlite3_extended_result_codes(store->db, 1);
	/* NORMAL with WAL: survives any crash of a process; a power cut may lose the last rows,
	 * and with them end the sandboxes themselves. EXCLUSIVE: there is one gateway, which so
	 * need not lock, and look who wrote, at each statement; walfile.h depends on it. */
	if (cx_store_exec(
		    store,
		    "PRAGMA busy_timeout=2000; PRAGMA locking_mode=EXCLUSIVE;"
		    "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; PRAGMA foreign_keys=ON;"
		    "PRAGMA temp_store=MEMORY; PRAGMA trusted_schema=OFF;",
		    "set the database up", err) < 0 ||
	    cx_store_migrate(store, err) < 0 || cx_store_tally(store, err) < 0)
		return cx_wrap(err, "'%s'", file);
	*ret = cx_take_ptr(&store);
	return 0;
}

/* ---- sandboxes ------------------------------------------------------------------------------ */

/* Of those columns that the statement has, which are the first ones; sqlite refuses the others. */
static void bind_row(sqlite3_stmt *stmt, const struct cx_sandbox_row *row)
{
	int at = 2;

	CX_SANDBOX_COLUMNS(CX_BIND)
}

int cx_store_read_sandbox(sqlite3_stmt *stmt, struct cx_sandbox_row *row, struct cx_err *err)
{
	int at = 1, bad = 0;

	row->row = sqlite3_column_int64(stmt, 0);
	CX_SANDBOX_COLUMNS(CX_READ)
	if (bad == 0)
		return 0;
	cx_sandbox_row_clear(row);
	return cx_fail(err, ENOMEM, "read a sandbox's record");
}

void cx_sandbox_row_clear(struct cx_sandbox_row *row)
{
	CX_SANDBOX_COLUMNS(CX_CLEAR)
	row->row = 0;
}

int cx_store_sandbox_insert(struct cx_store *store, struct cx_sandbox_row *row, struct cx_err *err)
{
	CX_AUTO_STMT *stmt = take(store, SANDBOX_INSERT, err);

	if (stmt == NULL || cx_fault_step("insert sandbox", err) < 0)
		return -err->errnum;
	bind_row(stmt, row);
	if (cx_store_run(store, stmt, "record the sandbox", err) < 0)
		return -err->errnum;
	row->row = sqlite3_last_insert_rowid(store->db);
	return 0;
}

/* Whether the row was as the statement wants it. */
static int update(struct cx_store *store, enum statement which, const struct cx_sandbox_row *row,
		  bool *ret_done, struct cx_err *err)
{
	CX_AUTO_STMT *stmt = take(store, which, err);

	if (stmt == NULL)
		return -err->errnum;
	(void)sqlite3_bind_int64(stmt, 1, row->row);
	bind_row(stmt, row);
	if (cx_store_run(store, stmt, "record the sandbox", err) < 0)
		return -err->errnum;
	*ret_done = sqlite3_changes(store->db) > 0;
	return 0;
}

int cx_store_sandbox_update(struct cx_store *store, const struct cx_sandbox_row *row,
			    struct cx_err *err)
{
	bool done = false;

	if (cx_fault_step("update sandbox", err) < 0 ||
	    update(store, SANDBOX_UPDATE, row, &done, err) < 0)
		return -err->errnum;
	return done ? 0 : update(store, SANDBOX_BEAR, row, &done, err);
}

int cx_store_sandbox_remove(struct cx_store *store, int64_t row, struct cx_err *err)
{
	CX_AUTO_STMT *stmt = take(store, SANDBOX_REMOVE, err);

	if (stmt == NULL || cx_fault_step("remove sandbox", err) < 0)
		return -err->errnum;
	(void)sqlite3_bind_int64(stmt, 1, row);
	return cx_store_run(store, stmt, "remove a sandbox's record", err);
}

/* 1: found; 0: not. second may be NULL. */
static int find_row(struct cx_store *store, sqlite3_stmt *stmt, const char *first,
		    const char *second, struct cx_sandbox_row *ret, struct cx_err *err)
{
	int r;

	cx_store_bind_text(stmt, 1, first);
	if (sqlite3_bind_parameter_count(stmt) > 1)
		cx_store_bind_text(stmt, 2, second);
	r = sqlite3_step(stmt);
	if (r == SQLITE_DONE)
		return 0;
	if (r != SQLITE_ROW)
		return cx_store_fail(store, "look a sandbox up", err);
	return cx_store_read_sandbox(stmt, ret, err) < 0 ? -err->errnum : 1;
}

int cx_store_sandbox_by_id(struct cx_store *store, const char *id, struct cx_sandbox_row *ret,
			   struct cx_err *err)
{
	CX_AUTO_STMT *stmt = take(store, SANDBOX_BY_ID, err);

	return stmt != NULL ? find_row(store, stmt, id, NULL, ret, err) : -err->errnum;
}

int cx_store_sandbox_by_key(struct cx_store *store, const char *user_id, const char *key,
			    struct cx_sandbox_row *ret, struct cx_err *err)
{
	CX_AUTO_STMT *stmt = take(store, SANDBOX_BY_KEY, err);

	return stmt != NULL ? find_row(store, stmt, user_id, key, ret, err) : -err->errnum;
}

int cx_store_sandbox_by_name(struct cx_store *store, const char *viewer, const char *name,
			     struct cx_sandbox_row *ret, struct cx_err *err)
{
	CX_AUTO(cx_sandbox_row_clear) struct cx_sandbox_row first = { 0 };
	CX_AUTO_STMT *stmt =
		take(store, viewer != NULL ? SANDBOX_BY_NAME_FOR : SANDBOX_BY_NAME, err);
	int found;

	if (stmt == NULL)
		return -err->errnum;
	found = find_row(store, stmt, name, viewer, &first, err);
	if (found == 1 && sqlite3_step(stmt) == SQLITE_ROW &&
	    sqlite3_column_int(stmt, sqlite3_column_count(stmt) - 1) != 0)
		return cx_refuse(err, CX_CONFLICT,
				 "several sandboxes have the name '%.128s'; use the id", name);
	if (found != 1)
		return found;
	*ret = first;
	first = (struct cx_sandbox_row){ 0 };
	return 1;
}

int cx_store_read_count(struct cx_store *store, sqlite3_stmt *stmt, int64_t *ret,
			struct cx_err *err)
{
	if (sqlite3_step(stmt) != SQLITE_ROW)
		return cx_store_fail(store, "count", err);
	*ret = sqlite3_column_int64(stmt, 0);
	return 0;
}

int cx_store_sandbox_forget_unborn(struct cx_store *store, struct cx_err *err)
{
	return run_plain(store, SANDBOX_UNBORN, "forget unborn sandboxes", err);
}

int cx_store_sandbox_prune(struct cx_store *store, int64_t keep, struct cx_err *err)
{
	CX_AUTO_STMT *stmt = take(store, SANDBOX_PRUNE, err);

	if (stmt == NULL)
		return -err->errnum;
	(void)sqlite3_bind_int64(stmt, 1, keep);
	return cx_store_run(store, stmt, "prune records", err);
}

int cx_store_totals(struct cx_store *store, struct cx_store_totals *ret, struct cx_err *err)
{
	CX_AUTO_STMT *stmt = take(store, STORE_TOTALS, err);

	if (stmt == NULL)
		return -err->errnum;
	if (sqlite3_step(stmt) != SQLITE_ROW)
		return cx_store_fail(store, "count images", err);
	*ret = (struct cx_store_totals){ .images = sqlite3_column_int64(stmt, 0),
					 .layers = sqlite3_column_int64(stmt, 1),
					 .layer_bytes = sqlite3_column_int64(stmt, 2) };
	return 0;
}

/* ---- images --------------------------------------------------------------------------------- */

void cx_image_row_clear(struct cx_image_row *image)
{
	cx_freep(&image->name);
	cx_freep(&image->manifest_type);
	cx_freep(&image->platform);
	cx_freep(&image->config);
	cx_freep(&image->layers);
	image->nlayers = 0;
}

int cx_store_layer_note(struct cx_store *store, const struct cx_layer_row *layer,
			struct cx_err *err)
{
	CX_AUTO_STMT *stmt = take(store, LAYER_NOTE, err);

	if (stmt == NULL)
		return -err->errnum;
	bind_id(stmt, 1, layer->diff_id);
	(void)sqlite3_bind_int64(stmt, 2, layer->size_bytes);
	return cx_store_run(store, stmt, "note a layer", err);
}

int cx_store_layer_forget(struct cx_store *store, const uint8_t diff_id[32], struct cx_err *err)
{
	CX_AUTO_STMT *stmt = take(store, LAYER_FORGET, err);

	if (stmt == NULL)
		return -err->errnum;
	bind_id(stmt, 1, diff_id);
	return cx_store_run(store, stmt, "forget a layer", err);
}

int cx_store_layer_unused(struct cx_store *store, const uint8_t *after, struct cx_layer_row *ret,
			  struct cx_err *err)
{
	CX_AUTO_STMT *stmt = take(store, LAYER_UNUSED, err);
	int r;

	if (stmt == NULL)
		return -err->errnum;
	bind_id(stmt, 1, after);
	r = sqlite3_step(stmt);
	if (r == SQLITE_DONE)
		return 0;
	if (r != SQLITE_ROW || !copy_id(stmt, 0, ret->diff_id))
		return cx_store_fail(store, "look for unused layers", err);
	ret->size_bytes = sqlite3_column_int64(stmt, 1);
	return 1;
}

static int insert_layer(struct cx_store *store, int64_t image, unsigned position,
			const struct cx_layer_row *layer, struct cx_err *err)
{
	CX_AUTO_STMT *stmt = take(store, IMAGE_LAYER, err);

	if (stmt == NULL)
		return -err->errnum;
	(void)sqlite3_bind_int64(stmt, 1, image);
	(void)sqlite3_bind_int64(stmt, 2, position);
	bind_id(stmt, 3, layer->diff_id);
	bind_id(stmt, 4, layer->blob_id);
	(void)sqlite3_bind_int64(stmt, 5, layer->blob_bytes);
	cx_store_bind_text(stmt, 6, layer->media_type);
	return cx_store_run(store, stmt, "record an image's layer", err);
}

static int insert_image(struct cx_store *store, const struct cx_image_row *image,
			struct cx_err *err)
{
	CX_AUTO_STMT *stmt = take(store, IMAGE_INSERT, err);

	if (stmt == NULL)
		return -err->errnum;
	cx_store_bind_text(stmt, 1, image->name);
	cx_store_bind_text(stmt, 2, image->manifest_type);
	cx_store_bind_text(stmt, 3, image->config);
	bind_id(stmt, 4, image->manifest_id);
	bind_id(stmt, 5, image->config_id);
	(void)sqlite3_bind_int64(stmt, 6, image->created_ms);
	(void)sqlite3_bind_int64(stmt, 7, image->size_bytes);
	cx_store_bind_text(stmt, 8, image->platform);
	return cx_store_run(store, stmt, "record the image", err);
}

static int remove_image(struct cx_store *store, const char *name, struct cx_err *err)
{
	CX_AUTO_STMT *stmt = take(store, IMAGE_REMOVE, err);

	if (stmt == NULL)
		return -err->errnum;
	cx_store_bind_text(stmt, 1, name);
	return cx_store_run(store, stmt, "remove the image", err);
}

static int put_parts(struct cx_store *store, const struct cx_image_row *image, struct cx_err *err)
{
	int64_t row;

	if (remove_image(store, image->name, err) < 0 || insert_image(store, image, err) < 0)
		return -err->errnum;
	row = sqlite3_last_insert_rowid(store->db);
	for (unsigned i = 0; i < image->nlayers; i++)
		if (insert_layer(store, row, i, &image->layers[i], err) < 0)
			return -err->errnum;
	return 0;
}

/*
 * Files come before the rows of an image and go after them. So these are on the disk when a change
 * of them is done: else a power cut would leave an image whose files are gone.
 */
static int set_durable(struct cx_store *store, bool on, struct cx_err *err)
{
	return cx_store_exec(store, on ? "PRAGMA synchronous=FULL" : "PRAGMA synchronous=NORMAL",
			     "change how the database is synced", err);
}

static int put_image(struct cx_store *store, const struct cx_image_row *image, struct cx_err *err)
{
	struct cx_err ignored;

	if (run_plain(store, BEGIN, "record the image", err) < 0)
		return -err->errnum;
	if (put_parts(store, image, err) == 0 &&
	    run_plain(store, COMMIT, "record the image", err) == 0)
		return 0;
	(void)!run_plain(store, ROLLBACK, "record the image", &ignored);
	return -err->errnum;
}

int cx_store_image_put(struct cx_store *store, const struct cx_image_row *image, struct cx_err *err)
{
	struct cx_err ignored;
	int r = set_durable(store, true, err);

	if (r == 0)
		r = put_image(store, image, err);
	(void)!set_durable(store, false, &ignored);
	return r;
}

static int read_layers(struct cx_store *store, int64_t row, struct cx_image_row *image,
		       struct cx_err *err)
{
	CX_AUTO_STMT *stmt = take(store, IMAGE_LAYERS, err);
	int r;

	if (stmt == NULL)
		return -err->errnum;
	image->layers = calloc(CX_IMAGE_LAYERS_MAX, sizeof *image->layers);
	if (image->layers == NULL)
		return cx_fail(err, ENOMEM, "read an image's layers");
	(void)sqlite3_bind_int64(stmt, 1, row);
	while ((r = sqlite3_step(stmt)) == SQLITE_ROW && image->nlayers < CX_IMAGE_LAYERS_MAX) {
		struct cx_layer_row *layer = &image->layers[image->nlayers++];
		const char *type = (const char *)sqlite3_column_text(stmt, 4);

		if (!copy_id(stmt, 0, layer->diff_id) || !copy_id(stmt, 2, layer->blob_id) ||
		    type == NULL || strlen(type) > CX_MEDIA_TYPE_MAX)
			return cx_fail(err, EIO, "the database holds a malformed layer");
		layer->size_bytes = sqlite3_column_int64(stmt, 1);
		layer->blob_bytes = sqlite3_column_int64(stmt, 3);
		(void)strcpy(layer->media_type, type);
	}
	return r == SQLITE_DONE ? 0 : cx_store_fail(store, "read an image's layers", err);
}

static int read_unique(struct cx_store *store, int64_t row, struct cx_image_row *image,
		       struct cx_err *err)
{
	CX_AUTO_STMT *stmt = take(store, IMAGE_UNIQUE, err);

	if (stmt == NULL)
		return -err->errnum;
	(void)sqlite3_bind_int64(stmt, 1, row);
	bind_id(stmt, 2, image->config_id);
	return cx_store_read_count(store, stmt, &image->unique_bytes, err);
}

static int read_columns(sqlite3_stmt *stmt, struct cx_image_row *image, struct cx_err *err)
{
	if (cx_store_copy_text(stmt, 0, &image->name) < 0 ||
	    cx_store_copy_text(stmt, 1, &image->manifest_type) < 0 ||
	    cx_store_copy_text(stmt, 2, &image->config) < 0 ||
	    cx_store_copy_text(stmt, 7, &image->platform) < 0)
		return cx_fail(err, ENOMEM, "read an image's record");
	if (!copy_id(stmt, 3, image->manifest_id) || !copy_id(stmt, 4, image->config_id))
		return cx_fail(err, EIO, "the database holds a malformed image");
	image->created_ms = sqlite3_column_int64(stmt, 5);
	image->size_bytes = sqlite3_column_int64(stmt, 6);
	return 0;
}

static int read_image(struct cx_store *store, sqlite3_stmt *stmt, struct cx_image_row *image,
		      struct cx_err *err)
{
	int64_t row = sqlite3_column_int64(stmt, 8);

	if (read_columns(stmt, image, err) == 0 && read_layers(store, row, image, err) == 0 &&
	    read_unique(store, row, image, err) == 0)
		return 0;
	cx_image_row_clear(image);
	return -err->errnum;
}

int cx_store_image_find(struct cx_store *store, const char *name, struct cx_image_row *ret,
			struct cx_err *err)
{
	CX_AUTO_STMT *stmt = take(store, IMAGE_FIND, err);
	int r;

	if (stmt == NULL)
		return -err->errnum;
	cx_store_bind_text(stmt, 1, name);
	r = sqlite3_step(stmt);
	if (r == SQLITE_DONE)
		return cx_refuse(err, CX_NOT_FOUND,
				 "there is no image '%.256s'; import it with: caisson image import",
				 name);
	if (r != SQLITE_ROW)
		return cx_store_fail(store, "look an image up", err);
	return read_image(store, stmt, ret, err);
}

int cx_store_image_each(struct cx_store *store,
			int (*each)(const struct cx_image_row *image, void *arg,
				    struct cx_err *err),
			void *arg, struct cx_err *err)
{
	CX_AUTO_STMT *stmt = take(store, IMAGE_LIST, err);
	int r;

	if (stmt == NULL)
		return -err->errnum;
	while ((r = sqlite3_step(stmt)) == SQLITE_ROW) {
		CX_AUTO(cx_image_row_clear) struct cx_image_row image = { 0 };

		if (read_image(store, stmt, &image, err) < 0 || each(&image, arg, err) < 0)
			return -err->errnum;
	}
	return r == SQLITE_DONE ? 0 : cx_store_fail(store, "list images", err);
}

int cx_store_image_remove(struct cx_store *store, const char *name, struct cx_err *err)
{
	struct cx_err ignored;
	int r = set_durable(store, true, err);

	if (r == 0)
		r = remove_image(store, name, err);
	(void)!set_durable(store, false, &ignored);
	return r;
}

int cx_store_image_users(struct cx_store *store, const char *name, int64_t *ret, struct cx_err *err)
{
	CX_AUTO_STMT *stmt = take(store, IMAGE_USERS, err);

	if (stmt == NULL)
		return -err->errnum;
	cx_store_bind_text(stmt, 1, name);
	return cx_store_read_count(store, stmt, ret, err);
}

int cx_store_blob_used(struct cx_store *store, const uint8_t id[32], struct cx_err *err)
{
	CX_AUTO_STMT *stmt = take(store, BLOB_USED, err);
	int64_t used = 0;

	if (stmt == NULL)
		return -err->errnum;
	bind_id(stmt, 1, id);
	return cx_store_read_count(store, stmt, &used, err) < 0 ? -err->errnum : used != 0;
}
