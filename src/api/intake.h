/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CX_API_INTAKE_H
#define CX_API_INTAKE_H

#include "api/gateway.h"
#include "image/oci.h"

/*
 * An image on its way into the store, wherever it comes from (a file, a registry, a sandbox):
 *
 *	plan	the caller fills plan: which layers, with what digests, and the configuration
 *	layers	each that is not in the store is built, several at a time
 *	record	documents become blobs, then one transaction makes the image visible
 *
 * A layer is noted in the database before it is committed, so that a crash leaves nothing that is
 * not swept later. While an intake lives, what its plan names is not swept.
 */
struct cx_intake;
struct cx_layer_build;

enum cx_intake_phase { CX_INTAKE_EXISTS, CX_INTAKE_UNPACKING, CX_INTAKE_DONE };

struct cx_intake_ops {
	/* The layer is to be built, and somebody has begun to: the intake's then. NULL: nobody. */
	struct cx_layer_build *(*begun)(void *arg, unsigned layer); /* may be NULL */
	/* The layer is to be built: a file from its beginning, or a pipe; the intake's then. */
	int (*open)(void *arg, unsigned layer, int *ret_fd, struct cx_err *err);
	void (*phase)(void *arg, unsigned layer, enum cx_intake_phase phase); /* may be NULL */
	/* Once: every layer is in the store, or one could not be had and err says which and why. */
	void (*layers)(void *arg, const struct cx_err *err);
};

CX_MUST int cx_intake_new(struct cx_gateway *gw, const struct cx_intake_ops *ops, void *arg,
			  struct cx_intake **ret, struct cx_err *err);
void cx_intake_free(struct cx_intake *intake); /* ends what is under way; NULL is fine */

/* To be filled before cx_intake_start(). A layer's blob and diff ids as far as they are known. */
struct cx_oci_image *cx_intake_plan(struct cx_intake *intake);
/*
 * tree: nobody has said what the only layer's digests are; they are in the plan when layers()
 * comes.
 */
void cx_intake_start(struct cx_intake *intake, bool tree);
unsigned cx_intake_skipped(const struct cx_intake *intake); /* devices and sockets left out */

/*
 * After layers(): the plan has its documents, the layers' blobs are in the blob store. ret: the
 * image as it is recorded; clear it.
 */
CX_MUST int cx_intake_record(struct cx_intake *intake, const char *name, struct cx_image_row *ret,
			     struct cx_err *err);

/* Whether an intake under way needs this layer, or this blob. */
bool cx_intakes_hold_layer(const struct cx_gateway *gw, const uint8_t diff_id[32]);
bool cx_intakes_hold_blob(const struct cx_gateway *gw, const uint8_t id[32]);

#endif
