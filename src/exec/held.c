/* SPDX-License-Identifier: Apache-2.0 */
#include "exec/held.h"

#include <string.h>

#include "base/cleanup.h"
#include "base/list.h"

void cx_held_close(struct cx_held *held)
{
	if (held->link == NULL)
		return;
	cx_list_remove(held);
	held->sets->n--;
	for (unsigned i = 0; i < held->n; i++)
		cx_close(&held->files[i].fd);
	held->n = 0;
}

static struct cx_held *oldest(const struct cx_held_sets *sets)
{
	struct cx_held *held = sets->newest;

	while (held->next != NULL)
		held = held->next;
	return held;
}

void cx_held_use(struct cx_held_sets *sets, struct cx_held *held)
{
	if (sets->newest == held)
		return;
	if (held->link != NULL) {
		cx_list_remove(held);
	} else {
		if (sets->n == CX_HELD_SETS_MAX)
			cx_held_close(oldest(sets));
		held->sets = sets;
		sets->n++;
	}
	cx_list_add(&sets->newest, held);
}

int cx_held_find(const struct cx_held *held, unsigned dir, const char *name)
{
	for (unsigned i = 0; i < held->n; i++)
		if (held->files[i].dir == dir && strcmp(held->files[i].name, name) == 0)
			return held->files[i].fd;
	return -EBADF;
}

bool cx_held_has_room(const struct cx_held *held)
{
	return held->link != NULL && held->n < CX_HELD_FILES_MAX;
}

void cx_held_add(struct cx_held *held, unsigned dir, const char *name, int fd)
{
	held->files[held->n].name = name;
	held->files[held->n].dir = dir;
	held->files[held->n++].fd = fd;
}
