/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A tar archive to be unpacked in a sandbox: no path of what is taken for one leads out, and all of
 * it is read, or it is refused.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/untar.h"
#include "base/fd.h"

enum { INPUT_MAX = 512 << 10 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_path(const char *path)
{
	size_t len = strlen(path);

	if (len >= PATH_MAX || path[0] == '/' || (len > 0 && path[len - 1] == '/'))
		abort();
	for (const char *p = path; *p != '\0';) {
		len = strcspn(p, "/");
		if (len == 0 || (len == 2 && p[0] == '.' && p[1] == '.'))
			abort();
		p += len + (p[len] == '/');
	}
}

static void feed(int pipe, const uint8_t *data, size_t size)
{
	const uint8_t length[4] = { (uint8_t)size, (uint8_t)(size >> 8), (uint8_t)(size >> 16), 0 };
	const uint8_t end[4] = { 0 };
	struct cx_err err;

	if (size > 0 && (cx_write_all(pipe, length, sizeof length, &err) < 0 ||
			 cx_write_all(pipe, data, size, &err) < 0))
		abort();
	if (cx_write_all(pipe, end, sizeof end, &err) < 0)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct cx_untar_entry entry;
	static struct cx_untar untar;
	cx_autofd int reads = -EBADF, writes = -EBADF;
	struct cx_content content = { .data = -EBADF };
	struct cx_err err;
	int r;

	if (size > INPUT_MAX)
		return 0;
	if (cx_pipe(&reads, &writes, &err) < 0 || fcntl(writes, F_SETPIPE_SZ, 2 * INPUT_MAX) < 0)
		abort();
	feed(writes, data, size);
	cx_close(&writes);
	content.data = reads;
	memset(&untar, 0, sizeof untar);
	untar.content = &content;
	while ((r = cx_untar_next(&untar, &entry, &err)) > 0) {
		check_path(entry.path);
		if (entry.kind == CX_UNTAR_HARD_LINK)
			check_path(entry.target);
		if (strlen(entry.target) >= PATH_MAX || (entry.mode & ~07777U) != 0)
			abort();
	}
	if (r == 0 && cx_content_more(&content, &err) != 0)
		abort();
	return 0;
}
