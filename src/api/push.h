/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CX_API_PUSH_H
#define CX_API_PUSH_H

#include "api/gateway.h"
#include "image/authfile.h"

/*
 * An image to a registry: its blobs as they came, several at a time, then its manifest. Blobs that
 * the registry has are not sent again.
 */
struct cx_push;

enum cx_push_phase { CX_PUSH_UPLOADING, CX_PUSH_EXISTS, CX_PUSH_DONE };

struct cx_push_event { /* of one blob: the layers, lowest first, then the configuration */
	unsigned index;
	const uint8_t *blob_id;
	enum cx_push_phase phase;
	uint64_t bytes, total;
};

struct cx_push_ops {
	void (*event)(void *arg, const struct cx_push_event *event);
	/* Once; the push is gone then. err is NULL on success. */
	void (*done)(void *arg, const struct cx_err *err);
};

/*
 * to: where, as a name of an image; NULL: its own name. login NULL: what is configured. *image is
 * taken over on success. done() never comes inside of this call.
 */
CX_MUST int cx_push_start(struct cx_gateway *gw, struct cx_image_row *image, const char *to,
			  const struct cx_login *login, const struct cx_push_ops *ops, void *arg,
			  struct cx_push **ret, struct cx_err *err);
void cx_push_cancel(struct cx_push *push); /* no callback follows */

#endif
