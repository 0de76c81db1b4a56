/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/code.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "base/buf.h"
#include "base/fd.h"

/* Code is one argument of its interpreter, so that standard input stays the program's own. */
static const struct language {
	const char *name, *suffix, *program, *option;
} languages[] = {
	{ "python", ".py", "python3", "-c" },
	{ "javascript", ".js", "node", "-e" },
	{ "bash", ".sh", "bash", "-c" },
};

enum { CODE_MAX = 128 * 1024 - 1 }; /* MAX_ARG_STRLEN of the kernel, execve(2) */

static const struct language *language_of(const struct cx_args *args)
{
	const char *dot = args->code_file != NULL ? strrchr(args->code_file, '.') : NULL;

	for (size_t i = 0; i < CX_LEN(languages); i++) {
		const struct language *l = &languages[i];

		if (args->language != NULL ? strcmp(l->name, args->language) == 0
					   : dot != NULL && strcmp(l->suffix, dot) == 0)
			return l;
	}
	return &languages[0];
}

static int read_code(const char *file, struct cx_buf *out, struct cx_err *err)
{
	bool is_stdin = strcmp(file, "-") == 0;
	int fd = is_stdin ? STDIN_FILENO : open(file, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	char *to = cx_buf_reserve(out, CODE_MAX + 1, err);
	ssize_t len = -ENOMEM;

	if (fd < 0)
		return cx_fail(err, errno, "open '%.200s'", file);
	if (to != NULL)
		len = cx_read_upto(fd, to, CODE_MAX + 1, err);
	if (!is_stdin)
		cx_close(&fd);
	if (len < 0)
		return cx_wrap(err, "read '%.200s'", file);
	out->len = (size_t)len;
	return 0;
}

static int check(const struct cx_args *args, struct cx_err *err)
{
	if (args->code != NULL && args->code_file != NULL)
		return cx_refuse(err, CX_INVALID, "give --code or --file, not both");
	if (args->nrest > 0)
		return cx_refuse(err, CX_INVALID, "give code or a command, not both");
	return 0;
}

int cx_code_command(const struct cx_args *args, json_t **ret, struct cx_err *err)
{
	CX_AUTO(cx_buf_free) struct cx_buf code = { .max = CODE_MAX + 1 };
	const struct language *l = language_of(args);
	const char *file = args->code_file;

	if (check(args, err) < 0)
		return -err->errnum;
	if (args->code != NULL && strcmp(args->code, "-") == 0)
		file = "-";
	if ((file != NULL ? read_code(file, &code, err)
			  : cx_buf_add(&code, args->code, strlen(args->code), err)) < 0)
		return -err->errnum;
	if (code.len > CODE_MAX || (code.len > 0 && memchr(code.p, '\0', code.len) != NULL))
		return cx_refuse(
			err, CX_INVALID,
			"the code is longer than %d bytes or holds a NUL; upload it and run "
			"it as a file",
			CODE_MAX);
	*ret = json_pack("[s, s, s%]", l->program, l->option, code.len > 0 ? code.p : "", code.len);
	if (*ret == NULL)
		return cx_refuse(err, CX_INVALID, "the code is not UTF-8");
	return 0;
}
