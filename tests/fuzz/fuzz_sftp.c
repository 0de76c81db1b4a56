/* SPDX-License-Identifier: Apache-2.0 */
/* A request of SFTP, and the line in front of SSH: what is taken is within its bounds. */
#include <stdlib.h>
#include <string.h>

#include "agent/sftp_wire.h"
#include "ssh/preamble.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_view(struct cx_str view, const uint8_t *data, size_t size)
{
	if (view.len > 0 &&
	    ((const uint8_t *)view.p < data || (const uint8_t *)view.p + view.len > data + size))
		abort();
}

static void try_request(const uint8_t *data, size_t size)
{
	static struct cx_sftp_request q;

	if (!cx_sftp_parse(data, size, &q))
		return;
	check_view(q.handle, data, size);
	check_view(q.data, data, size);
	if (memchr(q.path, '\0', sizeof q.path) == NULL ||
	    memchr(q.path2, '\0', sizeof q.path2) == NULL || q.type > CX_SFTP_UNKNOWN)
		abort();
}

static void try_line(const uint8_t *data, size_t size)
{
	struct cx_preamble preamble = { 0 };
	struct cx_err err;
	int r = 0;

	for (size_t i = 0; r == 0 && i < size; i++) {
		r = cx_preamble_take(&preamble, (char)data[i], &err);
		if (i > 128 && r == 0)
			abort();
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	try_request(data, size);
	try_line(data, size);
	return 0;
}
