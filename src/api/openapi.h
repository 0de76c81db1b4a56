/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CX_API_OPENAPI_H
#define CX_API_OPENAPI_H

#include "api/jsonw.h"

/* The API in words of OpenAPI 3.1, made of the routes and what describes them (describe.h). */
void cx_openapi_write(struct cx_jsonw *w);

#endif
