/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CX_BASE_INDEX_H
#define CX_BASE_INDEX_H

#include <stddef.h>

/*
 * Finds by a text what is embedded in its owner, however many there are. The texts are of our own
 * making: whoever could choose them could make all of them meet in one place. Nothing is allocated.
 */
struct cx_indexed {
	const char *key;		 /* the owner's, unchanged as long as it is in */
	struct cx_indexed *next, **link; /* link is NULL while it is in no index */
};

enum { CX_INDEX_PLACES = 1024 };
struct cx_index { /* zeroed: empty */
	struct cx_indexed *places[CX_INDEX_PLACES];
};

/* The latest one with a key hides earlier ones. */
void cx_index_add(struct cx_index *index, struct cx_indexed *entry, const char *key);
void cx_index_remove(struct cx_indexed *entry); /* harmless when it is in none */
/* NULL when there is none. cx_container_of() leads to its owner. */
struct cx_indexed *cx_index_find(const struct cx_index *index, const char *key);

#endif
