/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CX_BASE_CLEAN_H
#define CX_BASE_CLEAN_H

#include <stddef.h>

/*
 * Makes text of somebody else's fit to be shown: control characters, also those of two bytes in
 * UTF-8 that some terminals obey (U+0080 to U+009F), become '?'.
 */
void cx_clean(char *text, size_t len);

#endif
