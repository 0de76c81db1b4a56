/* SPDX-License-Identifier: Apache-2.0 */
#include <fcntl.h>
#include <sqlite3.h>
#include <stdio.h>
#include <string.h>

#include "check_main.h"

#include "api/exec_store.h"
#include "api/exposure_store.h"
#include "api/store.h"
#include "api/store_inner.h"
#include "base/buf.h"
#include "base/loop.h"

static char dir[] = "/tmp/caisson-store-XXXXXX";
static struct cx_store *store;

static void open_store(void)
{
	struct cx_err err = { 0 };

	ck_assert_msg(cx_store_open("state.db", &store, &err) == 0, "%s", err.msg);
}

static void set_up(void)
{
	strcpy(dir + sizeof dir - 7, "XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(dir));
	ck_assert_int_eq(chdir(dir), 0);
	open_store();
}

static void tear_down(void)
{
	cx_store_close(store);
	store = NULL;
	(void)unlink("state.db");
	(void)unlink("state.db-wal");
	(void)unlink("state.db-shm");
	ck_assert_int_eq(chdir("/"), 0);
	ck_assert_int_eq(rmdir(dir), 0);
}

static int insert(const char *id, const char *name, const char *status, const char *labels,
		  const char *key)
{
	struct cx_sandbox_row row = { .id = id != NULL ? strdup(id) : NULL,
				      .name = strdup(name),
				      .status = strdup(status),
				      .labels = strdup(labels),
				      .image_name = strdup("debian:latest"),
				      .idempotency_key = key != NULL ? strdup(key) : NULL,
				      .user_id = strdup("me"),
				      .cpu_cores = 0.5,
				      .exit_code = -1 };
	struct cx_err err = { 0 };
	int r = cx_store_sandbox_insert(store, &row, &err);

	ck_assert(r == 0 || err.kind == CX_CONFLICT);
	ck_assert(r < 0 || row.row > 0);
	cx_sandbox_row_clear(&row);
	return r;
}

START_TEST(rows_come_back_as_they_went_in)
{
	struct cx_sandbox_row row = { 0 };
	struct cx_err err = { 0 };

	ck_assert_int_eq(insert("id1", "one", "RUNNING", "[]", "k"), 0);
	cx_store_close(store);
	open_store(); /* also by the next process */
	ck_assert_int_eq(cx_store_sandbox_by_id(store, "id1", &row, &err), 1);
	ck_assert_str_eq(row.name, "one");
	ck_assert_double_eq(row.cpu_cores, 0.5);
	ck_assert_int_eq(row.exit_code, -1);
	ck_assert_ptr_null(row.log);
	ck_assert_ptr_null(row.engine_id);
	free(row.status);
	row.status = strdup("ERROR");
	row.ended_ms = 42;
	row.engine_id = strdup("other");
	row.attributes = strdup("{\"nexus\":{}}");
	ck_assert_int_eq(cx_store_sandbox_update(store, &row, &err), 0);
	cx_sandbox_row_clear(&row);
	ck_assert_int_eq(cx_store_sandbox_by_key(store, "me", "k", &row, &err), 1);
	ck_assert_str_eq(row.status, "ERROR");
	ck_assert_int_eq(row.ended_ms, 42);
	ck_assert_str_eq(row.engine_id, "other");
	ck_assert_str_eq(row.attributes, "{\"nexus\":{}}");
	cx_sandbox_row_clear(&row);
	ck_assert_int_eq(cx_store_sandbox_by_key(store, "me", "other", &row, &err), 0);
	ck_assert_int_eq(cx_store_sandbox_by_key(store, "you", "k", &row, &err), 0);
	ck_assert_int_eq(cx_store_sandbox_by_id(store, "nobody", &row, &err), 0);
}
END_TEST

START_TEST(a_name_means_the_one_that_lives)
{
	struct cx_sandbox_row row = { 0 };
	struct cx_err err = { 0 };

	ck_assert_int_eq(cx_store_sandbox_by_name(store, NULL, "one", &row, &err), 0);
	ck_assert_int_eq(insert("id0", "one", "ERROR", "[]", NULL), 0);
	ck_assert_int_eq(insert("id1", "one", "TERMINATED", "[]", NULL), 0);
	ck_assert_int_eq(cx_store_sandbox_by_name(store, NULL, "one", &row, &err), 1);
	ck_assert_str_eq(row.id, "id1");
	cx_sandbox_row_clear(&row);
	ck_assert_int_eq(insert("id2", "one", "RUNNING", "[]", NULL), 0);
	ck_assert_int_eq(insert("id3", "one", "ERROR", "[]", NULL), 0);
	ck_assert_int_eq(cx_store_sandbox_by_name(store, "me", "one", &row, &err), 1);
	ck_assert_str_eq(row.id, "id2"); /* the live one, not the newest */
	cx_sandbox_row_clear(&row);
	ck_assert_int_eq(cx_store_sandbox_by_name(store, "you", "one", &row, &err), 0);
	ck_assert_int_eq(insert("id4", "one", "PROVISIONING", "[]", NULL), 0);
	ck_assert_int_lt(cx_store_sandbox_by_name(store, "me", "one", &row, &err), 0);
	ck_assert_int_eq(err.kind, CX_CONFLICT);
	ck_assert_int_eq(insert("id5", "five", "ERROR", "[]", "k"), 0);
	ck_assert_int_lt(insert("id6", "six", "ERROR", "[]", "k"), 0);
}
END_TEST

static int count_row(const struct cx_sandbox_row *row, void *arg, struct cx_err *err)
{
	unsigned *n = arg;

	(void)err;
	ck_assert_ptr_nonnull(row->id);
	(*n)++;
	return 0;
}

static const struct {
	struct cx_sandbox_filter filter;
	int64_t total;
	unsigned listed;
} filters[] = {
	{ { 0 }, 4, 4 },
	{ { .limit = 3 }, 4, 3 },
	{ { .limit = 3, .offset = 3 }, 4, 1 },
	{ { .limit = 3, .offset = 30 }, 4, 0 },
	{ { .live_only = true }, 2, 2 },
	{ { .status = "RUNNING" }, 2, 2 },
	{ { .status = "PAUSED" }, 0, 0 },
	{ { .labels = "[\"a\"]" }, 3, 3 },
	{ { .labels = "[\"a\",\"b\"]" }, 2, 2 },
	{ { .labels = "[\"a\",\"c\"]" }, 0, 0 },
	{ { .labels = "[]" }, 4, 4 },
	{ { .labels = "[\"a\"]", .live_only = true }, 1, 1 },
	{ { .user_id = "me" }, 4, 4 },
	{ { .user_id = "you" }, 0, 0 },
	{ { .viewer = "me", .limit = 3 }, 4, 3 },
	{ { .viewer = "you" }, 0, 0 },
};

START_TEST(lists_are_filtered)
{
	struct cx_err err = { 0 };
	unsigned listed = 0;
	int64_t total = -1;

	ck_assert_int_eq(insert("id1", "one", "RUNNING", "[\"a\",\"b\"]", NULL), 0);
	ck_assert_int_eq(insert("id2", "two", "RUNNING", "[]", NULL), 0);
	ck_assert_int_eq(insert("id3", "three", "ERROR", "[\"a\"]", NULL), 0);
	ck_assert_int_eq(insert("id4", "four", "TERMINATED", "[\"b\",\"a\"]", NULL), 0);
	ck_assert_int_eq(insert(NULL, "unborn", "PROVISIONING", "[\"a\"]", NULL), 0);
	ck_assert_int_eq(cx_store_sandbox_count(store, &filters[_i].filter, &total, &err), 0);
	ck_assert_int_eq(total, filters[_i].total);
	ck_assert_int_eq(
		cx_store_sandbox_each(store, &filters[_i].filter, count_row, &listed, &err), 0);
	ck_assert_uint_eq(listed, filters[_i].listed);
}
END_TEST

START_TEST(old_records_go)
{
	struct cx_sandbox_filter all = { 0 };
	struct cx_err err = { 0 };
	int64_t total = 0;

	ck_assert_int_eq(insert("id1", "one", "RUNNING", "[]", NULL), 0);
	ck_assert_int_eq(insert("id2", "two", "ERROR", "[]", NULL), 0);
	ck_assert_int_eq(insert("id3", "three", "ERROR", "[]", NULL), 0);
	ck_assert_int_eq(insert(NULL, "unborn", "PROVISIONING", "[]", NULL), 0);
	ck_assert_int_eq(cx_store_sandbox_forget_unborn(store, &err), 0);
	ck_assert_int_eq(insert("id4", "unborn", "RUNNING", "[]", NULL), 0);
	ck_assert_int_eq(cx_store_sandbox_prune(store, 1, &err), 0);
	ck_assert_int_eq(cx_store_sandbox_count(store, &all, &total, &err), 0);
	ck_assert_int_eq(total, 3); /* both that live, and the newest that ended */
}
END_TEST

static void put_image(const char *name, uint8_t first, unsigned nlayers)
{
	struct cx_layer_row layers[3] = { 0 };
	struct cx_image_row image = { .name = strdup(name),
				      .manifest_type = strdup("type"),
				      .platform = strdup("linux/arm64"),
				      .config = strdup("{}"),
				      .layers = layers,
				      .nlayers = nlayers };
	struct cx_err err = { 0 };

	for (unsigned i = 0; i < nlayers; i++) {
		memset(layers[i].diff_id, first + (int)i, 32);
		layers[i].size_bytes = 10 + i;
		memset(layers[i].blob_id, first + (int)i + 100, 32);
		layers[i].blob_bytes = 1000 + i;
		(void)strcpy(layers[i].media_type, "tar");
		ck_assert_int_eq(cx_store_layer_note(store, &layers[i], &err), 0);
	}
	memset(image.config_id, first, 32);
	memset(image.manifest_id, first + 50, 32);
	ck_assert_int_eq(cx_store_image_put(store, &image, &err), 0);
	free(image.name);
	free(image.manifest_type);
	free(image.platform);
	free(image.config);
}

START_TEST(images_share_layers)
{
	struct cx_image_row image = { 0 };
	struct cx_err err = { 0 };
	struct cx_layer_row unused = { 0 };

	put_image("a:1", 1, 3); /* layers 1 2 3 */
	put_image("b:1", 2, 2); /* layers 2 3 */
	ck_assert_int_eq(cx_store_image_find(store, "a:1", &image, &err), 0);
	ck_assert_uint_eq(image.nlayers, 3);
	ck_assert_uint_eq(image.layers[2].diff_id[31], 3);
	ck_assert_int_eq(image.layers[2].size_bytes, 11);
	ck_assert_int_eq(image.unique_bytes, 10);
	ck_assert_str_eq(image.platform, "linux/arm64");
	ck_assert_uint_eq(image.layers[2].blob_id[0], 103);
	ck_assert_int_eq(image.layers[2].blob_bytes, 1002);
	ck_assert_str_eq(image.layers[2].media_type, "tar");
	cx_image_row_clear(&image);
	ck_assert_int_eq(cx_store_layer_unused(store, NULL, &unused, &err), 0);
	ck_assert_int_eq(cx_store_image_remove(store, "a:1", &err), 0);
	ck_assert_int_eq(cx_store_layer_unused(store, NULL, &unused, &err), 1);
	ck_assert_uint_eq(unused.diff_id[0], 1);
	ck_assert_int_eq(cx_store_layer_unused(store, unused.diff_id, &unused, &err), 0);
	ck_assert_int_eq(cx_store_layer_forget(store, unused.diff_id, &err), 0);
	ck_assert_int_eq(cx_store_image_find(store, "a:1", &image, &err), -ENOENT);
	put_image("b:1", 5, 1); /* replaced: 2 and 3 are free now */
	ck_assert_int_eq(cx_store_layer_unused(store, NULL, &unused, &err), 1);
	ck_assert_uint_eq(unused.diff_id[0], 2);
}
END_TEST

static int used(uint8_t first)
{
	struct cx_err err = { 0 };
	uint8_t id[32];

	memset(id, first, sizeof id);
	return cx_store_blob_used(store, id, &err);
}

START_TEST(blobs_in_use_are_documents_and_layers)
{
	struct cx_err err = { 0 };

	put_image("a:1", 1, 2);
	ck_assert_int_eq(used(1), 1);	/* its config */
	ck_assert_int_eq(used(51), 1);	/* its manifest */
	ck_assert_int_eq(used(101), 1); /* its layers */
	ck_assert_int_eq(used(102), 1);
	ck_assert_int_eq(used(103), 0);
	ck_assert_int_eq(used(2), 0);
	ck_assert_int_eq(cx_store_image_remove(store, "a:1", &err), 0);
	ck_assert_int_eq(used(1) + used(51) + used(101) + used(102), 0);
}
END_TEST

START_TEST(names_of_one_image_share_all_of_it)
{
	struct cx_image_row image = { 0 };
	struct cx_err err = { 0 };

	put_image("a:1", 1, 2);
	put_image("a:2", 1, 2);
	ck_assert_int_eq(cx_store_image_find(store, "a:2", &image, &err), 0);
	ck_assert_int_eq(image.unique_bytes, 21);
	cx_image_row_clear(&image);
}
END_TEST

START_TEST(a_layer_in_use_is_not_forgotten)
{
	struct cx_err err = { 0 };
	uint8_t id[32];

	put_image("a:1", 1, 1);
	memset(id, 1, sizeof id);
	ck_assert_int_lt(cx_store_layer_forget(store, id, &err), 0);
}
END_TEST

START_TEST(an_image_with_an_unknown_layer_is_refused_whole)
{
	struct cx_layer_row layer = { .diff_id = { 9 } };
	char name[] = "a:1", type[] = "other", config[] = "{}", platform[] = "p";
	struct cx_image_row image = { .name = name,
				      .manifest_type = type,
				      .platform = platform,
				      .config = config,
				      .layers = &layer,
				      .nlayers = 1 };
	struct cx_image_row found = { 0 };
	struct cx_err err = { 0 };

	put_image("a:1", 1, 1);
	ck_assert_int_lt(cx_store_image_put(store, &image, &err), 0);
	ck_assert_int_eq(cx_store_image_find(store, "a:1", &found, &err), 0);
	ck_assert_str_eq(found.manifest_type, "type"); /* what was there before */
	cx_image_row_clear(&found);
}
END_TEST

START_TEST(users_of_an_image_are_counted)
{
	struct cx_err err = { 0 };
	int64_t users = 0;

	ck_assert_int_eq(insert("id1", "one", "RUNNING", "[]", NULL), 0);
	ck_assert_int_eq(insert("id2", "two", "ERROR", "[]", NULL), 0);
	ck_assert_int_eq(cx_store_image_users(store, "debian:latest", &users, &err), 0);
	ck_assert_int_eq(users, 1);
	ck_assert_int_eq(cx_store_image_users(store, "other", &users, &err), 0);
	ck_assert_int_eq(users, 0);
}
END_TEST

/* Their ids and external ports, one behind the other. */
static int list_exposure(const struct cx_exposure_row *row, void *arg, struct cx_err *err)
{
	char text[64];

	(void)snprintf(text, sizeof text, "%s%s:%d ", row->id, row->name != NULL ? row->name : "",
		       (int)row->external_port);
	return cx_buf_add(arg, text, strlen(text), err);
}

static void expect_exposures(const char *wanted)
{
	CX_AUTO(cx_buf_free) struct cx_buf list = { .max = 4096 };
	struct cx_err err = { 0 };

	ck_assert_int_eq(cx_store_exposure_each(store, list_exposure, &list, &err), 0);
	ck_assert_int_eq(cx_buf_add(&list, "", 1, &err), 0);
	ck_assert_str_eq(list.p, wanted);
}

static void put_exposure(const char *id, const char *sandbox, const char *name, int external)
{
	char texts[3][16], protocol[] = "HTTP";
	struct cx_exposure_row row = { .id = strcpy(texts[0], id),
				       .sandbox_id = strcpy(texts[1], sandbox),
				       .name = name != NULL ? strcpy(texts[2], name) : NULL,
				       .protocol = protocol,
				       .port = 80,
				       .external_port = external };
	struct cx_err err = { 0 };

	ck_assert_msg(cx_store_exposure_put(store, &row, &err) == 0, "%s", err.msg);
}

START_TEST(exposed_ports_go_with_their_sandbox)
{
	struct cx_sandbox_row row = { 0 };
	struct cx_err err = { 0 };

	ck_assert_int_eq(insert("id1", "one", "RUNNING", "[]", NULL), 0);
	ck_assert_int_eq(insert("id2", "two", "RUNNING", "[]", NULL), 0);
	put_exposure("z", "id1", "web", 1);
	put_exposure("b", "id2", NULL, 2);
	put_exposure("a", "id1", NULL, 3);
	put_exposure("z", "id1", "other", 4); /* only its external port is new */
	expect_exposures("zweb:4 b:2 a:3 ");
	ck_assert_int_eq(cx_store_sandbox_by_id(store, "id1", &row, &err), 1);
	row.ended_ms = 1;
	ck_assert_int_eq(cx_store_sandbox_update(store, &row, &err), 0);
	expect_exposures("b:2 ");
	ck_assert_int_eq(cx_store_exposure_remove(store, "b", &err), 0);
	expect_exposures("");
	cx_sandbox_row_clear(&row);
}
END_TEST

static void execute(const char *sql)
{
	sqlite3 *db = NULL;

	cx_store_close(store);
	store = NULL;
	ck_assert_int_eq(sqlite3_open("state.db", &db), SQLITE_OK);
	ck_assert_int_eq(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
	ck_assert_int_eq(sqlite3_close(db), SQLITE_OK);
}

/* ---- commands ---- */

enum { KEPT_ALL = 70 };

static void put_exec(const char *sandbox, int number, int64_t ended_ms)
{
	const struct cx_exec_bounds bounds = { .kept = 3, .for_ms = 60000, .kept_all = KEPT_ALL };
	char id[16], sandbox_id[16];
	struct cx_exec_row row = { .sandbox_id = sandbox_id,
				   .id = id,
				   .command = (char[]){ "true" },
				   .digest = (char[]){ "d" },
				   .created_ms = 1,
				   .ended_ms = ended_ms,
				   .result = ended_ms > 0 ? (char[]){ "{}" } : NULL };
	struct cx_err err = { 0 };

	(void)snprintf(sandbox_id, sizeof sandbox_id, "%s", sandbox);
	(void)snprintf(id, sizeof id, "%d", number);
	ck_assert_int_eq(cx_excerpt_add(&row.out, 0, "a\0b", 3, &err), 0);
	row.err.cut = true;
	ck_assert_msg(cx_store_exec_put(store, &row, &bounds, &err) == 0, "%s", err.msg);
	cx_excerpt_clear(&row.out);
}

static int add_id(const struct cx_exec_row *row, void *arg, struct cx_err *err)
{
	(void)err;
	(void)strcat(strcat(arg, row->id), " ");
	return 0;
}

static void expect_execs(const char *sandbox, bool running, const char *ids)
{
	char text[256] = "";
	struct cx_err err = { 0 };

	ck_assert_int_eq(cx_store_exec_each(store, sandbox, running, add_id, text, &err), 0);
	ck_assert_str_eq(text, ids);
}

/* A command may print what it was given in confidence. */
START_TEST(ends_of_commands_are_sealed)
{
	static const uint8_t other[CX_KEYFILE_BYTES] = { 1 };
	CX_AUTO(cx_exec_row_clear) struct cx_exec_row row = { 0 };
	struct cx_err err = { 0 };
	sqlite3_stmt *stmt = NULL;

	put_exec("a", 1, cx_wall_ms());
	ck_assert_int_eq(cx_store_exec_find(store, "a", "1", &row, &err), 1);
	ck_assert_int_eq(
		sqlite3_prepare_v2(store->db, "SELECT command, out FROM execs", -1, &stmt, NULL),
		SQLITE_OK);
	ck_assert_int_eq(sqlite3_step(stmt), SQLITE_ROW);
	ck_assert_ptr_null(memmem(sqlite3_column_blob(stmt, 0),
				  (size_t)sqlite3_column_bytes(stmt, 0), row.command,
				  strlen(row.command)));
	ck_assert_ptr_null(memmem(sqlite3_column_blob(stmt, 1),
				  (size_t)sqlite3_column_bytes(stmt, 1), "a\0b", 3));
	(void)sqlite3_finalize(stmt);
	ck_assert_int_eq(sqlite3_exec(store->db, "UPDATE execs SET id = '2'", NULL, NULL, NULL),
			 SQLITE_OK);
	cx_exec_row_clear(&row);
	ck_assert_int_lt(cx_store_exec_find(store, "a", "2", &row, &err), 0);
	ck_assert_int_eq(err.kind, CX_DENIED);
	ck_assert_int_eq(sqlite3_exec(store->db, "UPDATE execs SET id = '1'", NULL, NULL, NULL),
			 SQLITE_OK);
	cx_store_exec_key(store, other);
	ck_assert_int_lt(cx_store_exec_find(store, "a", "1", &row, &err), 0);
}
END_TEST

START_TEST(ends_of_commands_are_kept_within_bounds)
{
	CX_AUTO(cx_exec_row_clear) struct cx_exec_row row = { 0 };
	struct cx_err err = { 0 };

	put_exec("a", 1, 0);
	for (int i = 2; i < 7; i++)
		put_exec("a", i, cx_wall_ms());
	put_exec("b", 7, cx_wall_ms());
	expect_execs("a", false, "6 5 4 1 ");
	expect_execs("a", true, "1 ");
	put_exec("a", 1, cx_wall_ms()); /* it began first and ended last */
	expect_execs("a", false, "1 6 5 ");
	expect_execs("b", false, "7 ");
	ck_assert_int_eq(cx_store_exec_find(store, "a", "6", &row, &err), 1);
	ck_assert_uint_eq(row.out.bytes, 3);
	ck_assert(!row.out.cut && row.err.cut);
	ck_assert_uint_eq(row.err.bytes, 0);
	ck_assert_int_eq(memcmp(row.out.kept.p, "a\0b", 3), 0);
	ck_assert_str_eq(row.result, "{}");
	ck_assert_int_eq(cx_store_exec_remove(store, "a", "5", &err), 0);
	expect_execs("a", false, "1 6 ");
	for (int i = 0; i < 64; i++) /* old ones go now and then */
		put_exec("old", i, 1);
	put_exec("b", 8, cx_wall_ms());
	expect_execs("a", false, "1 6 ");
	ck_assert_int_eq(cx_store_exec_find(store, "old", "10", &row, &err), 0);
}
END_TEST

START_TEST(commands_of_sandboxes_that_are_gone_have_ended)
{
	const struct cx_exec_row end = { .ended_ms = 9,
					 .reason = (char[]){ "engine_error" },
					 .result = (char[]){ "{\"pid\":0,\"exec_id\":\"\"}" } };
	CX_AUTO(cx_exec_row_clear) struct cx_exec_row row = { 0 };
	struct cx_err err = { 0 };

	ck_assert_int_eq(insert("lives", "one", "RUNNING", "[]", NULL), 0);
	ck_assert_int_eq(insert("dead", "two", "ERROR", "[]", NULL), 0);
	put_exec("lives", 1, 0);
	put_exec("dead", 2, 0);
	put_exec("dead", 3, cx_wall_ms());
	put_exec("unknown", 4, 0);
	ck_assert_msg(cx_store_exec_settle(store, &end, &err) == 0, "%s", err.msg);
	expect_execs("lives", true, "1 ");
	expect_execs("dead", true, "");
	expect_execs("unknown", true, "");
	ck_assert_int_eq(cx_store_exec_find(store, "dead", "2", &row, &err), 1);
	ck_assert_str_eq(row.result, "{\"pid\":0,\"exec_id\":\"2\"}");
	ck_assert_str_eq(row.reason, "engine_error");
	cx_exec_row_clear(&row);
	ck_assert_int_eq(cx_store_exec_find(store, "dead", "3", &row, &err), 1);
	ck_assert_str_eq(row.result, "{}");
}
END_TEST

/* Many short commands of one sandbox leave the ends of others alone. */
START_TEST(ends_of_all_are_bounded_by_how_many_there_are)
{
	const int64_t now = cx_wall_ms();

	put_exec("quiet", 1, now - 1000);
	put_exec("quiet", 2, 0);
	for (int i = 0; i < 2 * KEPT_ALL; i++)
		put_exec("busy", i, now - 500 + i);
	expect_execs("quiet", false, "2 1 ");
	for (int i = 0; i < KEPT_ALL; i++) {
		char other[16];

		(void)snprintf(other, sizeof other, "other%d", i);
		put_exec(other, 1, now);
	}
	for (int i = 0; i < 64; i++)
		put_exec("busy", i, now);
	expect_execs("quiet", false, "2 ");
}
END_TEST

START_TEST(a_newer_schema_is_refused)
{
	struct cx_err err = { 0 };

	execute("PRAGMA user_version=1000");
	ck_assert_int_lt(cx_store_open("state.db", &store, &err), 0);
	ck_assert_ptr_nonnull(strstr(err.msg, "newer"));
	ck_assert_ptr_null(store);
}
END_TEST

START_TEST(no_database_is_refused)
{
	struct cx_err err = { 0 };
	int fd;

	cx_store_close(store);
	store = NULL;
	fd = open("state.db", O_WRONLY | O_TRUNC | O_CLOEXEC);
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(write(fd, "this is no database, certainly not one of sqlite", 48), 48);
	ck_assert_int_eq(close(fd), 0);
	ck_assert_int_lt(cx_store_open("state.db", &store, &err), 0);
	ck_assert_ptr_null(store);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("api/store");
	TCase *tc = tcase_create("store");

	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_add_test(tc, rows_come_back_as_they_went_in);
	tcase_add_test(tc, a_name_means_the_one_that_lives);
	tcase_add_loop_test(tc, lists_are_filtered, 0, CX_LEN(filters));
	tcase_add_test(tc, old_records_go);
	tcase_add_test(tc, images_share_layers);
	tcase_add_test(tc, blobs_in_use_are_documents_and_layers);
	tcase_add_test(tc, names_of_one_image_share_all_of_it);
	tcase_add_test(tc, a_layer_in_use_is_not_forgotten);
	tcase_add_test(tc, an_image_with_an_unknown_layer_is_refused_whole);
	tcase_add_test(tc, users_of_an_image_are_counted);
	tcase_add_test(tc, exposed_ports_go_with_their_sandbox);
	tcase_add_test(tc, ends_of_commands_are_sealed);
	tcase_add_test(tc, ends_of_commands_are_kept_within_bounds);
	tcase_add_test(tc, commands_of_sandboxes_that_are_gone_have_ended);
	tcase_add_test(tc, ends_of_all_are_bounded_by_how_many_there_are);
	tcase_add_test(tc, a_newer_schema_is_refused);
	tcase_add_test(tc, no_database_is_refused);
	suite_add_tcase(suite, tc);
	return run_suite(suite);
}
