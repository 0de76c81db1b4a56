/* SPDX-License-Identifier: Apache-2.0 */
#include "base/index.h"

#include <stdint.h>
#include <string.h>

#include "base/list.h"

/* FNV-1a */
static size_t place_of(const char *key)
{
	uint32_t h = 0x811c9dc5U;

	for (; *key != '\0'; key++)
		h = (h ^ (uint8_t)*key) * 0x01000193U;
	return (h ^ h >> 16) % CX_INDEX_PLACES;
}

void cx_index_add(struct cx_index *index, struct cx_indexed *entry, const char *key)
{
	struct cx_indexed **place = &index->places[place_of(key)];

	cx_index_remove(entry);
	entry->key = key;
	cx_list_add(place, entry);
}

void cx_index_remove(struct cx_indexed *entry)
{
	cx_list_remove(entry);
}

struct cx_indexed *cx_index_find(const struct cx_index *index, const char *key)
{
	struct cx_indexed *entry = index->places[place_of(key)];

	while (entry != NULL && strcmp(entry->key, key) != 0)
		entry = entry->next;
	return entry;
}
