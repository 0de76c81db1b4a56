/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CX_API_STORE_H
#define CX_API_STORE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

/*
 * The door to sqlite3: what has to outlive the gateway. A call that returns 0 has happened and is
 * seen by the next gateway, also after kill -9. Values of secrets are given to it sealed only.
 */
struct cx_store;

/* In the working directory (the gateway's state directory). Brings an older schema up to date. */
CX_MUST int cx_store_open(const char *file, struct cx_store **ret, struct cx_err *err);
void cx_store_close(struct cx_store *store);

/* ---- sandboxes ------------------------------------------------------------------------------ */

/*
 * Struct, table, statements and binding are expansions of these lists. Times are Unix milliseconds.
 * An update writes what may change: what an index leads to costs a page each time it is written.
 */
#define CX_SANDBOX_CHANGES(C)                                                                    \
	C(text, image)	    /* as the client wrote it */                                         \
	C(text, image_name) /* as the image is called here */                                    \
	C(text, status)	    /* enum word of sandboxes.c */                                       \
	C(real, cpu_cores)                                                                       \
	C(real, memory_gb)                                                                       \
	C(real, disk_size_gb)                                                                    \
	C(integer, pids_limit)                                                                   \
	C(real, timeout_minutes)      /* -1: none */                                             \
	C(real, idle_timeout_minutes) /* 0: none */                                              \
	C(integer, network_access)                                                               \
	C(integer, network_generation) /* counts the changes of the policy, from 1 */            \
	C(text, network_allowlist)     /* JSON, as are the next ones */                          \
	C(text, network_denylist)                                                                \
	C(text, network_name)	   /* whose other members it reaches; NULL: none */              \
	C(integer, network_link)   /* number of that network; 0: none */                         \
	C(integer, network_number) /* caissond's, of the policy that is recorded; 0: not set */  \
	C(text, start_command)                                                                   \
	C(text, environment_vars)                                                                \
	C(text, secret_names)                                                                    \
	C(text, notices)                                                                         \
	C(text, region)                                                                          \
	C(integer, started_ms) /* 0: not yet */                                                  \
	C(integer, ended_ms)   /* 0: not yet */                                                  \
	C(integer, exit_code)  /* of the start command; -1: none */                              \
	C(text, error_type)                                                                      \
	C(text, error_message)                                                                   \
	C(text, oom_report)	    /* JSON: what filled its memory (oomreport.h) */             \
	C(text, attributes)	    /* JSON: what the personality keeps that made it */          \
	C(text, log)		    /* the last that the start command wrote, from its end on */ \
	C(integer, log_bytes)	    /* what it wrote in all */                                   \
	C(integer, expires_ms)	    /* its lifetime ends then; 0: never */                       \
	C(integer, active_ms)	    /* its last use; 0: none yet */                              \
	C(integer, paused_ms)	    /* since when; 0: it is not */                               \
	C(integer, queued_ms)	    /* since when it waits for room; 0: it did not */            \
	C(integer, lease_s)	    /* how long its owner may be silent; 0: for ever */          \
	C(text, termination_reason) /* a word; NULL while it lives */
/* Set once. */
#define CX_SANDBOX_IDS(C)                                    \
	C(text, id)	   /* NULL: no client has seen it */ \
	C(text, engine_id) /* caissond's; NULL until it exists. The id, unless that came first */
/* Are as they were inserted. */
#define CX_SANDBOX_LASTING(C)    \
	C(text, name)            \
	C(text, labels)          \
	C(text, team_id)         \
	C(text, idempotency_key) \
	C(integer, created_ms)   \
	C(text, user_id) /* the owner; NULL: an administrator's */
#define CX_SANDBOX_COLUMNS(C) \
	C(integer, updated_ms) CX_SANDBOX_CHANGES(C) CX_SANDBOX_IDS(C) CX_SANDBOX_LASTING(C)

#define CX_COLUMN_text(name)	char *name;
#define CX_COLUMN_real(name)	double name;
#define CX_COLUMN_integer(name) int64_t name;
#define CX_COLUMN(type, name)	CX_COLUMN_##type(name)
struct cx_sandbox_row {
	int64_t row; /* 0 before it is inserted */
	CX_SANDBOX_COLUMNS(CX_COLUMN)
};
void cx_sandbox_row_clear(struct cx_sandbox_row *row); /* for CX_AUTO() */

/* Sets row->row. CX_CONFLICT when its owner has used the idempotency key already. */
CX_MUST int cx_store_sandbox_insert(struct cx_store *store, struct cx_sandbox_row *row,
				    struct cx_err *err);
/* What lasts stays as it was inserted. */
CX_MUST int cx_store_sandbox_update(struct cx_store *store, const struct cx_sandbox_row *row,
				    struct cx_err *err);
CX_MUST int cx_store_sandbox_remove(struct cx_store *store, int64_t row, struct cx_err *err);

/* 1 when there is one, 0 when not. */
CX_MUST int cx_store_sandbox_by_id(struct cx_store *store, const char *id,
				   struct cx_sandbox_row *ret, struct cx_err *err);
CX_MUST int cx_store_sandbox_by_key(struct cx_store *store, const char *user_id, const char *key,
				    struct cx_sandbox_row *ret, struct cx_err *err);
/*
 * Among those that viewer may see (NULL: all): the live one, else the newest that had the name.
 * CX_CONFLICT when several live.
 */
CX_MUST int cx_store_sandbox_by_name(struct cx_store *store, const char *viewer, const char *name,
				     struct cx_sandbox_row *ret, struct cx_err *err);

struct cx_sandbox_filter {  /* zeroed: everything that has an id */
	const char *viewer; /* only what this user owns or a team of theirs has */
	const char *status, *team_id, *user_id;
	const char *labels; /* JSON array: all of them must be there */
	bool live_only;
	int64_t limit, offset; /* limit 0: no limit */
};
/* Newest first. each() must not change the store; it returns 0 or stops the walk with -errno. */
CX_MUST int cx_store_sandbox_each(struct cx_store *store, const struct cx_sandbox_filter *filter,
				  int (*each)(const struct cx_sandbox_row *row, void *arg,
					      struct cx_err *err),
				  void *arg, struct cx_err *err);
CX_MUST int cx_store_sandbox_count(struct cx_store *store, const struct cx_sandbox_filter *filter,
				   int64_t *ret, struct cx_err *err);
/* Removes PROVISIONING rows without an id, which no client has seen. */
CX_MUST int cx_store_sandbox_forget_unborn(struct cx_store *store, struct cx_err *err);
/* Keeps the newest rows of ended sandboxes, removes the rest. */
CX_MUST int cx_store_sandbox_prune(struct cx_store *store, int64_t keep, struct cx_err *err);

/* For metrics: how many records have each status; what the images come to. */
CX_MUST int cx_store_status_each(struct cx_store *store,
				 void (*each)(const char *status, int64_t count, void *arg),
				 void *arg, struct cx_err *err);
struct cx_store_totals {
	int64_t images, layers, layer_bytes;
};
CX_MUST int cx_store_totals(struct cx_store *store, struct cx_store_totals *ret,
			    struct cx_err *err);

/* ---- images --------------------------------------------------------------------------------- */

enum { CX_IMAGE_LAYERS_MAX = 127, CX_MEDIA_TYPE_MAX = 63 };

struct cx_layer_row {
	uint8_t diff_id[32];
	int64_t size_bytes;  /* of the EROFS file */
	uint8_t blob_id[32]; /* SHA-256 of the file that it came as */
	int64_t blob_bytes;
	char media_type[CX_MEDIA_TYPE_MAX + 1];
};

/* One name of an image; several names of one image are several rows. */
struct cx_image_row {
	char *name;
	char *manifest_type;
	char *platform; /* "linux/amd64" */
	char *config;	/* JSON object: env, cwd, user, entrypoint, cmd, ... (images.c) */
	uint8_t manifest_id[32], config_id[32]; /* of its documents; the latter is the image's id */
	int64_t created_ms, size_bytes;		/* size: of its layers, each counted once */
	int64_t unique_bytes;	     /* of layers that no other image has; set when read */
	struct cx_layer_row *layers; /* lowest first */
	unsigned nlayers;
};
void cx_image_row_clear(struct cx_image_row *image); /* for CX_AUTO() */

/* A layer must be known before caissond makes it, or a crash in between would lose it for good. */
CX_MUST int cx_store_layer_note(struct cx_store *store, const struct cx_layer_row *layer,
				struct cx_err *err);
CX_MUST int cx_store_layer_forget(struct cx_store *store, const uint8_t diff_id[32],
				  struct cx_err *err);
/*
 * A layer that no image has: its diff_id and size_bytes. 1, or 0 when there is none behind *after
 * (NULL: from the first), which may be the one in *ret.
 */
CX_MUST int cx_store_layer_unused(struct cx_store *store, const uint8_t *after,
				  struct cx_layer_row *ret, struct cx_err *err);

/* In one transaction; replaces what had the name. Its layers must have been noted. */
CX_MUST int cx_store_image_put(struct cx_store *store, const struct cx_image_row *image,
			       struct cx_err *err);
CX_MUST int cx_store_image_find(struct cx_store *store, const char *name, struct cx_image_row *ret,
				struct cx_err *err);
CX_MUST int cx_store_image_each(struct cx_store *store,
				int (*each)(const struct cx_image_row *image, void *arg,
					    struct cx_err *err),
				void *arg, struct cx_err *err);
CX_MUST int cx_store_image_remove(struct cx_store *store, const char *name, struct cx_err *err);
/* 1: a document or layer of some image; 0: of none. */
CX_MUST int cx_store_blob_used(struct cx_store *store, const uint8_t id[32], struct cx_err *err);
/* How many live sandboxes were made from it. */
CX_MUST int cx_store_image_users(struct cx_store *store, const char *name, int64_t *ret,
				 struct cx_err *err);

#endif
