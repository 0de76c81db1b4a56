/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CX_API_IMAGES_H
#define CX_API_IMAGES_H

#include "api/gateway.h"
#include "api/jsonw.h"

/*
 * Removes the blobs that no image has any more, and, in the background, the layers. Those still in
 * use by a sandbox stay until the next time; so does what an image on its way in needs.
 */
void cx_images_sweep(struct cx_gateway *gw);

/* The members of the API's Image object; the caller begins and ends the object. */
void cx_image_present(struct cx_jsonw *w, const struct cx_image_row *image);

#endif
