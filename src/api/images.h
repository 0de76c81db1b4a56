/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CX_API_IMAGES_H
#define CX_API_IMAGES_H

#include "api/gateway.h"
#include "api/jsonw.h"

/*
 * Removes the layers that no image has any more, in the background. Those still in use by a sandbox
 * stay until the next time. Does nothing while an import runs, which may be about to use one.
 */
void cx_images_sweep(struct cx_gateway *gw);

/* The members of the API's Image object; the caller begins and ends the object. */
void cx_image_present(struct cx_jsonw *w, const struct cx_image_row *image);

#endif
