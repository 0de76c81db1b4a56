/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "api/caller.h"
#include "api/store_inner.h"

#define NEW_EVENT                                                                                 \
	"NULL, NEW.row, NEW.updated_ms, NEW.id, NEW.name, NEW.image, NEW.status, NEW.error_type," \
	" NEW.error_message, NEW.exit_code, NEW.oom_report, NEW.team_id, NEW.user_id"

/* One row per schema version, applied in order; a released row is never changed. */
static const char *const migrations[] = {
	"CREATE TABLE sandboxes (row INTEGER PRIMARY KEY, id TEXT UNIQUE, name TEXT NOT NULL,"
	" image TEXT, image_name TEXT, status TEXT NOT NULL, cpu_cores REAL NOT NULL,"
	" memory_gb REAL NOT NULL, disk_size_gb REAL NOT NULL, pids_limit INTEGER NOT NULL,"
	" timeout_minutes INTEGER NOT NULL, idle_timeout_minutes INTEGER NOT NULL,"
	" network_access INTEGER NOT NULL, network_allowlist TEXT, network_denylist TEXT,"
	" start_command TEXT, environment_vars TEXT, secret_names TEXT, labels TEXT, notices TEXT,"
	" team_id TEXT, region TEXT, idempotency_key TEXT UNIQUE, created_ms INTEGER NOT NULL,"
	" updated_ms INTEGER NOT NULL, started_ms INTEGER NOT NULL, ended_ms INTEGER NOT NULL,"
	" exit_code INTEGER NOT NULL, error_type TEXT, error_message TEXT, log TEXT);"
	"CREATE UNIQUE INDEX live_name ON sandboxes (name) WHERE status IN " CX_STORE_LIVE ";"
	"CREATE INDEX any_name ON sandboxes (name);"
	"CREATE INDEX any_status ON sandboxes (status);"
	"CREATE TABLE layers (diff_id BLOB PRIMARY KEY, size_bytes INTEGER NOT NULL)"
	" WITHOUT ROWID;"
	"CREATE TABLE images (row INTEGER PRIMARY KEY, name TEXT UNIQUE NOT NULL,"
	" digest TEXT NOT NULL, config TEXT NOT NULL, created_ms INTEGER NOT NULL,"
	" size_bytes INTEGER NOT NULL);"
	"CREATE TABLE image_layers (image INTEGER NOT NULL REFERENCES images ON DELETE CASCADE,"
	" position INTEGER NOT NULL, diff_id BLOB NOT NULL REFERENCES layers,"
	" PRIMARY KEY (image, position)) WITHOUT ROWID;"
	"CREATE INDEX layer_images ON image_layers (diff_id);",
	/* Images of version 1 have no blobs: they are to be imported again. */
	"DROP TABLE image_layers; DROP TABLE images;"
	"CREATE TABLE images (row INTEGER PRIMARY KEY, name TEXT UNIQUE NOT NULL,"
	" manifest_type TEXT NOT NULL, config TEXT NOT NULL, manifest_id BLOB NOT NULL,"
	" config_id BLOB NOT NULL, created_ms INTEGER NOT NULL, size_bytes INTEGER NOT NULL);"
	"CREATE INDEX manifest_images ON images (manifest_id);"
	"CREATE INDEX config_images ON images (config_id);"
	"CREATE TABLE image_layers (image INTEGER NOT NULL REFERENCES images ON DELETE CASCADE,"
	" position INTEGER NOT NULL, diff_id BLOB NOT NULL REFERENCES layers,"
	" blob_id BLOB NOT NULL, blob_bytes INTEGER NOT NULL, media_type TEXT NOT NULL,"
	" PRIMARY KEY (image, position)) WITHOUT ROWID;"
	"CREATE INDEX layer_images ON image_layers (diff_id);"
	"CREATE INDEX blob_images ON image_layers (blob_id);",
	("ALTER TABLE sandboxes ADD COLUMN engine_id TEXT; UPDATE sandboxes SET engine_id = id;"
	 "CREATE INDEX any_engine_id ON sandboxes (engine_id);"),
	"ALTER TABLE images ADD COLUMN platform TEXT NOT NULL DEFAULT 'linux/amd64';",
	"ALTER TABLE sandboxes ADD COLUMN attributes TEXT;",
	/* Accounts. Sandboxes have owners: names are not unique any more, keys are the owner's. */
	"CREATE TABLE users (id TEXT PRIMARY KEY, name TEXT UNIQUE NOT NULL, email TEXT,"
	" role TEXT NOT NULL, unix_uid INTEGER NOT NULL, disabled INTEGER NOT NULL,"
	" created_ms INTEGER NOT NULL, max_sandboxes INTEGER NOT NULL, max_cpu_cores REAL NOT NULL,"
	" max_memory_gb REAL NOT NULL, max_core_hours REAL NOT NULL, used_core_ms REAL NOT NULL)"
	" WITHOUT ROWID;"
	"CREATE UNIQUE INDEX uid_users ON users (unix_uid) WHERE unix_uid >= 0;"
	"INSERT INTO users VALUES ('" CX_ADMIN_USER "', '" CX_ADMIN_USER "', NULL, 'admin', -1, 0,"
	" 0, -1, -1, -1, -1, 0);"
	"CREATE TABLE teams (id TEXT PRIMARY KEY, name TEXT UNIQUE NOT NULL,"
	" created_ms INTEGER NOT NULL) WITHOUT ROWID;"
	"CREATE TABLE members (team_id TEXT NOT NULL REFERENCES teams ON DELETE CASCADE,"
	" user_id TEXT NOT NULL REFERENCES users ON DELETE CASCADE, role TEXT NOT NULL,"
	" PRIMARY KEY (team_id, user_id)) WITHOUT ROWID;"
	"CREATE INDEX user_teams ON members (user_id);"
	"CREATE TABLE keys (id TEXT PRIMARY KEY, user_id TEXT NOT NULL REFERENCES users"
	" ON DELETE CASCADE, name TEXT, prefix TEXT NOT NULL, created_ms INTEGER NOT NULL,"
	" expires_ms INTEGER NOT NULL, revoked_ms INTEGER NOT NULL, used_ms INTEGER NOT NULL,"
	" hash BLOB UNIQUE NOT NULL) WITHOUT ROWID;"
	"CREATE INDEX user_keys ON keys (user_id);"
	"CREATE TABLE audit (row INTEGER PRIMARY KEY, at_ms INTEGER NOT NULL, user_id TEXT,"
	" key_id TEXT, action TEXT NOT NULL, object TEXT, outcome INTEGER NOT NULL,"
	" request_id TEXT);"
	"CREATE INDEX user_audit ON audit (user_id);"
	"CREATE TRIGGER bound_audit AFTER INSERT ON audit WHEN NEW.row % 1000 = 0 BEGIN"
	" DELETE FROM audit WHERE row <= NEW.row - 200000; END;"
	"CREATE TABLE owned (row INTEGER PRIMARY KEY, id TEXT UNIQUE, name TEXT NOT NULL,"
	" image TEXT, image_name TEXT, status TEXT NOT NULL, cpu_cores REAL NOT NULL,"
	" memory_gb REAL NOT NULL, disk_size_gb REAL NOT NULL, pids_limit INTEGER NOT NULL,"
	" timeout_minutes INTEGER NOT NULL, idle_timeout_minutes INTEGER NOT NULL,"
	" network_access INTEGER NOT NULL, network_allowlist TEXT, network_denylist TEXT,"
	" start_command TEXT, environment_vars TEXT, secret_names TEXT, labels TEXT, notices TEXT,"
	" team_id TEXT, region TEXT, idempotency_key TEXT, created_ms INTEGER NOT NULL,"
	" updated_ms INTEGER NOT NULL, started_ms INTEGER NOT NULL, ended_ms INTEGER NOT NULL,"
	" exit_code INTEGER NOT NULL, error_type TEXT, error_message TEXT, log TEXT,"
	" engine_id TEXT, attributes TEXT, user_id TEXT);"
	"INSERT INTO owned SELECT row, id, name, image, image_name, status, cpu_cores, memory_gb,"
	" disk_size_gb, pids_limit, timeout_minutes, idle_timeout_minutes, network_access,"
	" network_allowlist, network_denylist, start_command, environment_vars, secret_names,"
	" labels, notices, NULL, region, idempotency_key, created_ms, updated_ms, started_ms,"
	" ended_ms, exit_code, error_type, error_message, log, engine_id, attributes, "
	"'" CX_ADMIN_USER "'"
	" FROM sandboxes;"
	"DROP TABLE sandboxes; ALTER TABLE owned RENAME TO sandboxes;"
	"CREATE INDEX any_name ON sandboxes (name);"
	"CREATE INDEX any_status ON sandboxes (status);"
	"CREATE INDEX any_engine_id ON sandboxes (engine_id);"
	"CREATE INDEX any_owner ON sandboxes (user_id);"
	"CREATE INDEX any_team ON sandboxes (team_id);"
	"CREATE UNIQUE INDEX owner_key ON sandboxes (user_id, idempotency_key);"
	/* In the same step as the end itself, so that nothing is counted twice or not at all. */
	"CREATE TRIGGER count_core_time AFTER UPDATE OF ended_ms ON sandboxes"
	" WHEN OLD.ended_ms = 0 AND NEW.ended_ms > 0 AND NEW.started_ms > 0 BEGIN UPDATE users"
	" SET used_core_ms = used_core_ms + NEW.cpu_cores * (NEW.ended_ms - NEW.started_ms)"
	" WHERE id = NEW.user_id; END;"
	"CREATE TABLE sealed (sandbox INTEGER PRIMARY KEY REFERENCES sandboxes ON DELETE CASCADE,"
	" box BLOB NOT NULL);"
	"CREATE TABLE seal_key (id BLOB NOT NULL);"
	"CREATE TRIGGER forget_sealed AFTER UPDATE OF ended_ms ON sandboxes"
	" WHEN NEW.ended_ms > 0 BEGIN DELETE FROM sealed WHERE sandbox = NEW.row; END;",
	("ALTER TABLE sandboxes ADD COLUMN expires_ms INTEGER NOT NULL DEFAULT 0;"
	 "ALTER TABLE sandboxes ADD COLUMN active_ms INTEGER NOT NULL DEFAULT 0;"
	 "ALTER TABLE sandboxes ADD COLUMN paused_ms INTEGER NOT NULL DEFAULT 0;"
	 "ALTER TABLE sandboxes ADD COLUMN termination_reason TEXT;"),
	"ALTER TABLE sandboxes ADD COLUMN network_generation INTEGER NOT NULL DEFAULT 1;",
	/* Counts are read from it alone. */
	"CREATE INDEX counted ON sandboxes (status, user_id, team_id, labels, id);",
	"ALTER TABLE sandboxes ADD COLUMN log_bytes INTEGER NOT NULL DEFAULT 0;",
	/* Numbers of networks are never used twice: rules of a kernel may outlive a row. */
	("ALTER TABLE sandboxes ADD COLUMN network_name TEXT;"
	 "ALTER TABLE sandboxes ADD COLUMN network_link INTEGER NOT NULL DEFAULT 0;"
	 "CREATE TABLE networks (number INTEGER PRIMARY KEY AUTOINCREMENT, user_id TEXT NOT NULL,"
	 " name TEXT NOT NULL, UNIQUE (user_id, name));"
	 "CREATE TABLE denials (row INTEGER PRIMARY KEY AUTOINCREMENT,"
	 " sandbox INTEGER NOT NULL REFERENCES sandboxes ON DELETE CASCADE, at_ms INTEGER NOT NULL,"
	 " generation INTEGER NOT NULL, protocol INTEGER NOT NULL, address BLOB,"
	 " port INTEGER NOT NULL, name TEXT, why TEXT NOT NULL, count INTEGER NOT NULL);"
	 "CREATE INDEX sandbox_denials ON denials (sandbox, row);"
	 "CREATE TRIGGER bound_denials AFTER INSERT ON denials WHEN NEW.row % 1000 = 0 BEGIN"
	 " DELETE FROM denials WHERE row <= NEW.row - 100000; END;"),
	("CREATE TABLE ssh_sessions (id TEXT PRIMARY KEY, sandbox TEXT NOT NULL,"
	 " user_id TEXT NOT NULL, created_ms INTEGER NOT NULL, expires_ms INTEGER NOT NULL,"
	 " key BLOB) WITHOUT ROWID;"
	 "CREATE INDEX ssh_of_sandbox ON ssh_sessions (sandbox);"
	 "CREATE INDEX ssh_expiry ON ssh_sessions (expires_ms);"
	 "CREATE TRIGGER forget_ssh AFTER UPDATE OF ended_ms ON sandboxes"
	 " WHEN NEW.ended_ms > 0 BEGIN DELETE FROM ssh_sessions WHERE sandbox = NEW.id; END;"),
	"CREATE TABLE exposures (id TEXT PRIMARY KEY, sandbox_id TEXT NOT NULL,"
	" port INTEGER NOT NULL, name TEXT, protocol TEXT NOT NULL,"
	" external_port INTEGER NOT NULL, created_ms INTEGER NOT NULL);"
	"CREATE INDEX sandbox_exposures ON exposures (sandbox_id);"
	"CREATE TRIGGER close_exposures AFTER UPDATE OF ended_ms ON sandboxes"
	" WHEN NEW.ended_ms > 0 BEGIN DELETE FROM exposures WHERE sandbox_id = NEW.id; END;",
	"ALTER TABLE sandboxes ADD COLUMN network_number INTEGER NOT NULL DEFAULT 0;",
	"ALTER TABLE sandboxes ADD COLUMN oom_report TEXT;",
	/* A change and its event are one transaction. What lives keeps its last event. */
	"CREATE TABLE events (seq INTEGER PRIMARY KEY AUTOINCREMENT, row INTEGER NOT NULL,"
	" time_ms INTEGER NOT NULL, id TEXT NOT NULL, name TEXT NOT NULL, image TEXT,"
	" status TEXT NOT NULL, error_type TEXT, error_message TEXT, exit_code INTEGER NOT NULL,"
	" oom_report TEXT, team_id TEXT, user_id TEXT);"
	"CREATE INDEX row_events ON events (row);"
	"INSERT INTO events SELECT NULL, row, updated_ms, id, name, image, status, error_type,"
	" error_message, exit_code, oom_report, team_id, user_id FROM sandboxes"
	" WHERE id IS NOT NULL AND status IN " CX_STORE_LIVE " ORDER BY row;"
	"CREATE TRIGGER first_event AFTER INSERT ON sandboxes WHEN NEW.id IS NOT NULL"
	" BEGIN INSERT INTO events VALUES (" NEW_EVENT "); END;"
	"CREATE TRIGGER next_event AFTER UPDATE OF id, status ON sandboxes"
	" WHEN NEW.id IS NOT NULL AND (OLD.id IS NULL OR NEW.status <> OLD.status)"
	" BEGIN INSERT INTO events VALUES (" NEW_EVENT "); END;"
	"CREATE TRIGGER old_events AFTER INSERT ON events WHEN NEW.seq % 250 = 0 BEGIN"
	" DELETE FROM events WHERE seq <= NEW.seq - 20000" /* CX_EVENTS_KEPT */
	" AND (seq < (SELECT max(e.seq) FROM events AS e WHERE e.row = events.row)"
	" OR row NOT IN (SELECT row FROM sandboxes WHERE status IN " CX_STORE_LIVE ")); END;",
	"ALTER TABLE sandboxes ADD COLUMN queued_ms INTEGER NOT NULL DEFAULT 0;",
	/* Ends of commands outlive their sandbox: a client may have been cut off by its end. */
	"CREATE TABLE execs (row INTEGER PRIMARY KEY AUTOINCREMENT, sandbox_id TEXT NOT NULL,"
	" id TEXT NOT NULL, command BLOB, digest TEXT NOT NULL,"
	" timeout_ms INTEGER NOT NULL, asked_us INTEGER NOT NULL, created_ms INTEGER NOT NULL,"
	" ended_ms INTEGER NOT NULL, result TEXT, reason TEXT, out BLOB,"
	" out_bytes INTEGER NOT NULL, err BLOB, err_bytes INTEGER NOT NULL,"
	" UNIQUE (sandbox_id, id));"
	"CREATE INDEX sandbox_execs ON execs (sandbox_id, row, ended_ms);"
	"CREATE INDEX ended_execs ON execs (ended_ms);",
	"ALTER TABLE sandboxes ADD COLUMN lease_s INTEGER NOT NULL DEFAULT 0;",
	/* Pages of lists are found in these alone; how many there are is counted in memory. */
	"DROP INDEX counted; DROP INDEX any_owner; DROP INDEX any_team; DROP INDEX owner_key;"
	"DROP INDEX any_engine_id;"
	"CREATE INDEX newest ON sandboxes (row) WHERE id IS NOT NULL;"
	"CREATE INDEX any_owner ON sandboxes (user_id) WHERE id IS NOT NULL;"
	"CREATE INDEX any_team ON sandboxes (team_id) WHERE id IS NOT NULL AND team_id IS NOT NULL;"
	"CREATE UNIQUE INDEX owner_key ON sandboxes (user_id, idempotency_key)"
	" WHERE idempotency_key IS NOT NULL;",
	/* The last batch of rows that came by the file "later". */
	"CREATE TABLE later (batch INTEGER NOT NULL); INSERT INTO later VALUES (0);",
	"ALTER TABLE execs ADD COLUMN mark TEXT;",
};

int cx_store_exec(struct cx_store *store, const char *sql, const char *what, struct cx_err *err)
{
	return sqlite3_exec(store->db, sql, NULL, NULL, NULL) == SQLITE_OK
		       ? 0
		       : cx_store_fail(store, what, err);
}

static int read_version(struct cx_store *store, unsigned *ret, struct cx_err *err)
{
	sqlite3_stmt *stmt = NULL;

	if (sqlite3_prepare_v2(store->db, "PRAGMA user_version", -1, &stmt, NULL) != SQLITE_OK ||
	    sqlite3_step(stmt) != SQLITE_ROW) {
		(void)cx_store_fail(store, "read the schema's version", err);
		(void)sqlite3_finalize(stmt);
		return -err->errnum;
	}
	*ret = (unsigned)sqlite3_column_int(stmt, 0);
	(void)sqlite3_finalize(stmt);
	return 0;
}

static int migrate_one(struct cx_store *store, unsigned version, struct cx_err *err)
{
	char pragma[48];

	(void)sqlite3_snprintf(sizeof pragma, pragma, "PRAGMA user_version=%u", version + 1);
	if (cx_store_exec(store, "BEGIN IMMEDIATE", "migrate", err) < 0)
		return -err->errnum;
	if (cx_store_exec(store, migrations[version], "migrate", err) == 0 &&
	    cx_store_exec(store, pragma, "migrate", err) == 0 &&
	    cx_store_exec(store, "COMMIT", "migrate", err) == 0)
		return 0;
	(void)sqlite3_exec(store->db, "ROLLBACK", NULL, NULL, NULL);
	return cx_wrap(err, "schema version %u", version + 1);
}

int cx_store_migrate(struct cx_store *store, struct cx_err *err)
{
	unsigned version = 0;

	if (read_version(store, &version, err) < 0)
		return -err->errnum;
	if (version > CX_LEN(migrations))
		return cx_refuse(
			err, CX_INVALID,
			"the database is of schema version %u, written by a newer caisson; "
			"this one knows %zu",
			version, CX_LEN(migrations));
	for (; version < CX_LEN(migrations); version++)
		if (migrate_one(store, version, err) < 0)
			return -err->errnum;
	return 0;
}
