/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CX_API_IMAGES_H
#define CX_API_IMAGES_H

#include "api/gateway.h"
#include "api/jsonw.h"

/* The image of any name that a client may give it; errors of the name are about field. */
CX_MUST int cx_image_find(struct cx_gateway *gw, const char *given, const char *field,
			  struct cx_image_row *ret, struct cx_err *err);
/* As a digest in JSON: "sha256:...". */
void cx_image_present_id(struct cx_jsonw *w, const char *key, const uint8_t id[32]);
/* The members of the API's Image object; the caller begins and ends the object. */
void cx_image_present(struct cx_jsonw *w, const struct cx_image_row *image);

#endif
