/* SPDX-License-Identifier: Apache-2.0 */
#include "net/sysctl.h"

#include <fcntl.h>

#include "base/fd.h"
#include "base/str.h"

int cx_sysctl_write(const char *dir, const struct cx_sysctl_row *rows, size_t n, bool ip6,
		    struct cx_err *err)
{
	char path[160];

	for (size_t i = 0; i < n; i++) {
		if (rows[i].when == (ip6 ? CX_SYSCTL_WITHOUT_IP6 : CX_SYSCTL_WITH_IP6))
			continue;
		if (cx_format(path, sizeof path, "%s/%s", err, dir, rows[i].path) < 0)
			return -err->errnum;
		if (cx_write_file(AT_FDCWD, path, rows[i].value, err) < 0 &&
		    !(err->errnum == ENOENT && rows[i].when == CX_SYSCTL_WITHOUT_IP6))
			return -err->errnum;
	}
	return 0;
}
