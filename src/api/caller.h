/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CX_API_CALLER_H
#define CX_API_CALLER_H

#include <stdbool.h>

#define CX_ADMIN_USER "admin" /* whoever comes with the admin key or through a trusted socket */

enum { CX_USER_MAX = 63, CX_SANDBOX_ID_MAX = 64 };

/* Who sends a request, found out before anything of its body is read (httprequest.c). */
struct cx_caller {
	char user[CX_USER_MAX + 1]; /* id of an account; "": nobody's */
	char key[CX_USER_MAX + 1];  /* id of the key that was shown; "": none of an account */
	bool admin;		    /* may do everything */
	char sandbox[CX_SANDBOX_ID_MAX + 1]; /* with a token (token.h): this one and nothing else */
};
extern const struct cx_caller cx_caller_admin;

#endif
