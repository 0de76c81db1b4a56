/* SPDX-License-Identifier: Apache-2.0 */
#include "api/checkpoint.h"

#include "api/store_inner.h"
#include "base/log.h"

struct cx_checkpoint {
	struct cx_store *store;
	struct cx_loop *loop;
	struct cx_timer timer;
};

/* A statement that reads meanwhile is not waited for: what it needs stays where it is. */
static void write_back(struct cx_store *store)
{
	int code = sqlite3_wal_checkpoint_v2(store->db, "main", SQLITE_CHECKPOINT_PASSIVE, NULL,
					     NULL) &
		   0xff;
	struct cx_err err;

	if (code == SQLITE_OK || code == SQLITE_BUSY || code == SQLITE_LOCKED)
		return;
	(void)cx_store_fail(store, "bring state.db up to date", &err);
	cx_log_err(CX_LOG_WARNING, &err, "state.db-wal grows", NULL);
}

static void fire(struct cx_timer *timer)
{
	write_back(cx_container_of(timer, struct cx_checkpoint, timer)->store);
}

/* Of a transaction; so many pages are in the file now. */
static int committed(void *arg, sqlite3 *db, const char *name, int pages)
{
	struct cx_checkpoint *c = arg;

	(void)db;
	(void)name;
	if (pages >= CX_CHECKPOINT_PAGES_MAX)
		write_back(c->store);
	else if (pages >= CX_CHECKPOINT_PAGES)
		cx_timer_set(c->loop, &c->timer, CX_CHECKPOINT_QUIET_MS);
	return SQLITE_OK;
}

int cx_checkpoint_open(struct cx_store *store, struct cx_loop *loop, struct cx_err *err)
{
	struct cx_checkpoint *c = calloc(1, sizeof *c);

	if (c == NULL)
		return cx_fail(err, ENOMEM, "checkpoints");
	*c = (struct cx_checkpoint){ .store = store, .loop = loop, .timer = { .fire = fire } };
	(void)sqlite3_wal_hook(store->db, committed, c); /* instead of sqlite's own */
	store->checkpoint = c;
	return 0;
}

void cx_checkpoint_close(struct cx_store *store)
{
	if (store->checkpoint == NULL)
		return;
	(void)sqlite3_wal_hook(store->db, NULL, NULL);
	cx_timer_clear(&store->checkpoint->timer);
	free(store->checkpoint);
	store->checkpoint = NULL;
}
