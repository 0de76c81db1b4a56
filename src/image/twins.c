/* SPDX-License-Identifier: Apache-2.0 */
#include "image/twins.h"

#include <xxhash.h>

enum { SLOTS = 1 << 18 };

struct cx_twins {
	XXH3_state_t *hash;
	uint64_t bytes; /* of the file's data so far, when it has no holes */
	bool holes;
	struct cx_inode *slots[SLOTS];
};

int cx_twins_new(struct cx_twins **ret, struct cx_err *err)
{
	struct cx_twins *t = calloc(1, sizeof *t);

	if (t == NULL)
		return cx_fail(err, ENOMEM, "layer writer");
	t->hash = XXH3_createState();
	if (t->hash == NULL) {
		free(t);
		return cx_fail(err, ENOMEM, "layer writer");
	}
	*ret = t;
	return 0;
}

void cx_twins_free(struct cx_twins *t)
{
	if (t == NULL)
		return;
	(void)XXH3_freeState(t->hash);
	free(t);
}

void cx_twins_begin(struct cx_twins *t)
{
	t->bytes = 0;
	t->holes = XXH3_64bits_reset(t->hash) == XXH_ERROR;
}

void cx_twins_data(struct cx_twins *t, uint64_t offset, const void *data, size_t len)
{
	if (offset != t->bytes || t->holes || XXH3_64bits_update(t->hash, data, len) == XXH_ERROR)
		t->holes = true;
	t->bytes += len;
}

static struct cx_inode **slot_of(struct cx_twins *t, const struct cx_inode *file)
{
	return &t->slots[file->hash % SLOTS];
}

struct cx_inode *cx_twins_find(struct cx_twins *t, struct cx_inode *file)
{
	struct cx_inode *twin;

	if (t->holes || t->bytes != file->size)
		return NULL;
	file->hash = XXH3_64bits_digest(t->hash);
	twin = *slot_of(t, file);
	while (twin != NULL && (twin->hash != file->hash || twin->size != file->size))
		twin = twin->next_twin;
	return twin;
}

void cx_twins_add(struct cx_twins *t, struct cx_inode *file)
{
	if (t->holes || t->bytes != file->size)
		return;
	file->next_twin = *slot_of(t, file);
	*slot_of(t, file) = file;
}
