/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/str.h"
#include "cli/commands.h"

/* The measurements are a program of their own, with an engine of its own; this only starts it. */
enum { PATH_BYTES = 4096 };

int cx_cmd_bench(struct cx_cli *cli, struct cx_err *err)
{
	const struct cx_args *a = &cli->args;
	const char *passed[][2] = {
		{ "--into", a->into },
		{ "--rounds", a->rounds },
		{ "--rows", a->rows },
		{ "--peers", a->peers },
	};
	char path[PATH_BYTES], *argv[2 + 2 * CX_LEN(passed)] = { path };
	size_t n = 1;

	if (cx_format(path, sizeof path, "%s/bench/run", err,
		      a->libexec != NULL ? a->libexec : CX_LIBEXECDIR) < 0)
		return -err->errnum;
	for (size_t i = 0; i < CX_LEN(passed); i++) {
		if (passed[i][1] == NULL)
			continue;
		memcpy(&argv[n], passed[i], sizeof passed[i]); /* exec changes nothing of it */
		n += 2;
	}
	(void)execv(path, argv);
	if (errno == ENOENT)
		return cx_refuse(err, CX_NOT_FOUND,
				 "'%.200s' cannot be run: it comes with 'make install', and needs "
				 "python3",
				 path);
	return cx_fail(err, errno, "run '%.200s'", path);
}
