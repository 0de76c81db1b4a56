/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/layers.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fault.h"
#include "base/str.h"
#include "runtime/rootfs.h"

struct cx_layer {
	struct cx_layer *next;
	uint8_t id[CX_DIFF_ID];
	int mount; /* O_PATH; -EBADF while not mounted */
	unsigned users;
	uint64_t idle_since_ms;
};

enum { HEX = 2 * CX_DIFF_ID + 1, FILE_NAME = HEX + 8, MOUNT_PATH = 1024 + HEX + 16 };

static void file_name(const uint8_t id[CX_DIFF_ID], char out[FILE_NAME])
{
	cx_to_hex(id, CX_DIFF_ID, out);
	memcpy(out + HEX - 1, ".erofs", sizeof ".erofs");
}

static int mount_path(const struct cx_layers *layers, const uint8_t id[CX_DIFF_ID],
		      char out[MOUNT_PATH], struct cx_err *err)
{
	char hex[HEX];

	cx_to_hex(id, CX_DIFF_ID, hex);
	return cx_format(out, MOUNT_PATH, "%s/layers/%s", err, layers->mount_path, hex);
}

static void unmount(struct cx_layers *layers, struct cx_layer *layer)
{
	char path[MOUNT_PATH], hex[HEX];
	struct cx_err ignored;

	if (layer->mount < 0)
		return;
	cx_close(&layer->mount);
	if (mount_path(layers, layer->id, path, &ignored) >= 0)
		cx_layer_unmount(path);
	cx_to_hex(layer->id, CX_DIFF_ID, hex);
	(void)unlinkat(layers->mounts, hex, AT_REMOVEDIR);
}

/* Lets go of what nobody has used for a while (or, with all, at all). */
static void prune(struct cx_layers *layers, bool all)
{
	struct cx_layer **at = &layers->first;
	uint64_t now = cx_now_ms();

	while (*at != NULL) {
		struct cx_layer *layer = *at;

		if (!all && (layer->users > 0 || now - layer->idle_since_ms < CX_LAYER_IDLE_MS)) {
			at = &layer->next;
			continue;
		}
		unmount(layers, layer);
		*at = layer->next;
		free(layer);
	}
}

static void idle(struct cx_timer *timer)
{
	struct cx_layers *layers = cx_container_of(timer, struct cx_layers, idle);

	prune(layers, false);
	if (layers->first != NULL)
		cx_timer_set(layers->loop, timer, CX_LAYER_IDLE_MS / 2);
}

void cx_layers_open(struct cx_layers *ret, struct cx_loop *loop, int files, int mounts,
		    const char *run_path)
{
	*ret = (struct cx_layers){ .loop = loop,
				   .files = files,
				   .mounts = mounts,
				   .mount_path = run_path,
				   .idle = { .fire = idle } };
}

void cx_layers_close(struct cx_layers *layers)
{
	cx_timer_clear(&layers->idle);
	prune(layers, true);
}

static struct cx_layer *find(struct cx_layers *layers, const uint8_t id[CX_DIFF_ID])
{
	struct cx_layer *layer = layers->first;

	while (layer != NULL && memcmp(layer->id, id, CX_DIFF_ID) != 0)
		layer = layer->next;
	return layer;
}

static struct cx_layer *find_or_add(struct cx_layers *layers, const uint8_t id[CX_DIFF_ID],
				    struct cx_err *err)
{
	struct cx_layer *layer = find(layers, id);

	if (layer != NULL)
		return layer;
	layer = calloc(1, sizeof *layer);
	if (layer == NULL) {
		(void)cx_fail(err, ENOMEM, "remember a layer");
		return NULL;
	}
	memcpy(layer->id, id, CX_DIFF_ID);
	layer->mount = -EBADF;
	layer->idle_since_ms = cx_now_ms();
	layer->next = layers->first;
	layers->first = layer;
	if (layers->idle.link == NULL)
		cx_timer_set(layers->loop, &layers->idle, CX_LAYER_IDLE_MS / 2);
	return layer;
}

int cx_layers_file(struct cx_layers *layers, const uint8_t id[CX_DIFF_ID], struct cx_err *err)
{
	char name[FILE_NAME];
	int fd;

	file_name(id, name);
	fd = openat(layers->files, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0 && errno == ENOENT)
		return cx_refuse(err, CX_NOT_FOUND, "there is no layer %.64s", name);
	return fd >= 0 ? fd : cx_fail(err, errno, "open layer %.64s", name);
}

static int mount_layer(struct cx_layers *layers, struct cx_layer *layer, struct cx_err *err)
{
	char path[MOUNT_PATH], hex[HEX];
	cx_autofd int file = cx_layers_file(layers, layer->id, err);

	if (file < 0 || mount_path(layers, layer->id, path, err) < 0)
		return -err->errnum;
	cx_to_hex(layer->id, CX_DIFF_ID, hex);
	if (mkdirat(layers->mounts, hex, 0700) < 0 && errno != EEXIST)
		return cx_fail(err, errno, "make the mount point of layer %s", hex);
	layer->mount = cx_layer_mount(file, path, err);
	if (layer->mount >= 0)
		return 0;
	layer->mount = -EBADF;
	(void)unlinkat(layers->mounts, hex, AT_REMOVEDIR);
	return cx_wrap(err, "layer %s", hex);
}

int cx_layers_hold(struct cx_layers *layers, const uint8_t id[CX_DIFF_ID], int *ret_mount,
		   struct cx_err *err)
{
	struct cx_layer *layer = find_or_add(layers, id, err);

	if (layer == NULL)
		return -err->errnum;
	if (ret_mount != NULL) {
		if (layer->mount < 0 && mount_layer(layers, layer, err) < 0)
			return -err->errnum;
		*ret_mount = layer->mount;
	}
	layer->users++;
	return 0;
}

void cx_layers_release(struct cx_layers *layers, const uint8_t id[CX_DIFF_ID])
{
	struct cx_layer *layer = find(layers, id);

	if (layer == NULL || layer->users == 0)
		return;
	layer->users--;
	layer->idle_since_ms = cx_now_ms();
}

int cx_layers_stat(struct cx_layers *layers, const uint8_t id[CX_DIFF_ID], uint64_t *ret_size,
		   uint32_t *ret_users, struct cx_err *err)
{
	cx_autofd int file = cx_layers_file(layers, id, err);
	const struct cx_layer *layer = find(layers, id);
	struct stat st;

	if (file < 0)
		return -err->errnum;
	if (fstat(file, &st) < 0)
		return cx_fail(err, errno, "size of a layer");
	*ret_size = (uint64_t)st.st_size;
	*ret_users = layer != NULL ? layer->users : 0;
	return 0;
}

int cx_layers_remove(struct cx_layers *layers, const uint8_t id[CX_DIFF_ID], struct cx_err *err)
{
	struct cx_layer *layer = find(layers, id);
	char name[FILE_NAME];

	file_name(id, name);
	if (layer != NULL && layer->users > 0)
		return cx_refuse(err, CX_CONFLICT, "layer %.64s is in use by %u sandboxes", name,
				 layer->users);
	if (layer != NULL) {
		unmount(layers, layer);
		layer->idle_since_ms = 0; /* the next prune() forgets it */
	}
	if (unlinkat(layers->files, name, 0) == 0)
		return 0;
	if (errno == ENOENT)
		return cx_refuse(err, CX_NOT_FOUND, "there is no layer %.64s", name);
	return cx_fail(err, errno, "remove layer %.64s", name);
}

int cx_layers_add(struct cx_layers *layers, const uint8_t id[CX_DIFF_ID], int file,
		  struct cx_err *err)
{
	char name[FILE_NAME], link[40];

	file_name(id, name);
	(void)snprintf(link, sizeof link, "/proc/self/fd/%d", file);
	if (cx_fault_step("layer", err) < 0)
		return -err->errnum;
	/* Cheap: the worker that wrote it has synced it (image/), here it is only made sure. */
	if (fsync(file) < 0)
		return cx_fail(err, errno, "sync layer %.64s", name);
	if (linkat(AT_FDCWD, link, layers->files, name, AT_SYMLINK_FOLLOW) < 0 && errno != EEXIST)
		return cx_fail(err, errno, "name layer %.64s", name);
	if (fsync(layers->files) < 0)
		return cx_fail(err, errno, "sync the directory of layers");
	return 0;
}
