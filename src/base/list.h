/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CX_BASE_LIST_H
#define CX_BASE_LIST_H

#include <stddef.h>

/*
 * A list without a head of its own: its first member is pointed to by a "struct thing *", and each
 * has "struct thing *next, **link", where link is the place that points to it. So it leaves
 * without being looked for. A member is in no list while link is NULL, as in a zeroed one. The list
 * owns nothing. "one" is a plain variable: it is evaluated more than once.
 */

/* Into the list at the place that "at" points to: &first, or the &next of the one before. */
#define cx_list_add(at, one)                              \
	do {                                              \
		(one)->link = (at);                       \
		(one)->next = *(one)->link;               \
		if ((one)->next != NULL)                  \
			(one)->next->link = &(one)->next; \
		*(one)->link = (one);                     \
	} while (0)

/* Out of the list that it is in, if it is in one. Its next stays what it was. */
#define cx_list_remove(one)                              \
	do {                                             \
		if ((one)->link == NULL)                 \
			break;                           \
		*(one)->link = (one)->next;              \
		if ((one)->next != NULL)                 \
			(one)->next->link = (one)->link; \
		(one)->link = NULL;                      \
	} while (0)

#endif
