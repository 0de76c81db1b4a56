/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CX_ENGINE_LAYERS_H
#define CX_ENGINE_LAYERS_H

#include "base/loop.h"
#include "engine/record.h"

/*
 * The layer files of STATE/layers, by diff id, each mounted once below RUN/layers while sandboxes
 * use it and for CX_LAYER_IDLE_MS longer. A layer that is in use cannot be removed, also by
 * sandboxes of an earlier daemon, which hold mounts of their own.
 */
enum { CX_LAYER_IDLE_MS = 60000 };

struct cx_layer;
struct cx_layers {
	struct cx_loop *loop;
	int files, mounts;	/* directories, borrowed */
	const char *mount_path; /* RUN, borrowed */
	struct cx_layer *first;
	struct cx_timer idle;
};

void cx_layers_open(struct cx_layers *ret, struct cx_loop *loop, int files, int mounts,
		    const char *run_path);
void cx_layers_close(struct cx_layers *layers); /* unmounts all */

/* Counts a user. With ret_mount the layer is mounted too; that descriptor stays the layer's. */
CX_MUST int cx_layers_hold(struct cx_layers *layers, const uint8_t id[CX_DIFF_ID], int *ret_mount,
			   struct cx_err *err);
void cx_layers_release(struct cx_layers *layers, const uint8_t id[CX_DIFF_ID]);

/* Its file, for reading, or -errno; the caller's. */
CX_MUST int cx_layers_file(struct cx_layers *layers, const uint8_t id[CX_DIFF_ID],
			   struct cx_err *err);
CX_MUST int cx_layers_stat(struct cx_layers *layers, const uint8_t id[CX_DIFF_ID],
			   uint64_t *ret_size, uint32_t *ret_users, struct cx_err *err);
/* Refused with CX_CONFLICT while in use, CX_NOT_FOUND when unknown. */
CX_MUST int cx_layers_remove(struct cx_layers *layers, const uint8_t id[CX_DIFF_ID],
			     struct cx_err *err);
/* Gives the unnamed file its name, durably. One that is there already is as good: same bytes. */
CX_MUST int cx_layers_add(struct cx_layers *layers, const uint8_t id[CX_DIFF_ID], int file,
			  struct cx_err *err);

#endif
