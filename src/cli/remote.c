/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/remote.h"

#include <stdio.h>
#include <string.h>

int cx_remote_param(struct cx_buf *url, const char *key, const char *value, struct cx_err *err)
{
	if (url->len > 0 && url->p[url->len - 1] == '\0')
		url->len--;
	if (cx_http_query(url, key, value, "/", err) < 0)
		return -err->errnum;
	return cx_buf_add(url, "", 1, err);
}

int cx_remote_url(const struct cx_cli *cli, struct cx_buf *out, const char *tail, const char *path,
		  struct cx_err *err)
{
	if (*path == '\0')
		return cx_refuse(err, CX_INVALID, "the name of the file in the sandbox is empty");
	if (strlen(path) > CX_REMOTE_PATH_MAX)
		return cx_refuse(err, CX_INVALID, "a name in the sandbox has more than %d bytes",
				 CX_REMOTE_PATH_MAX);
	if (cx_cli_sandbox_path(out, cli->args.words[0], tail, err) < 0 ||
	    cx_remote_param(out, "path", path, err) < 0)
		return -err->errnum;
	return cx_remote_param(out, "user", cli->args.user, err);
}

int cx_remote_base(const char *path, char ret[256], struct cx_err *err)
{
	size_t end = strlen(path), begin;

	while (end > 0 && path[end - 1] == '/')
		end--;
	for (begin = end; begin > 0 && path[begin - 1] != '/'; begin--)
		;
	if (end - begin > 255)
		return cx_refuse(err, CX_INVALID, "a name of more than 255 bytes");
	memcpy(ret, path + begin, end - begin);
	ret[end - begin] = '\0';
	if (ret[0] == '\0' || strcmp(ret, ".") == 0 || strcmp(ret, "..") == 0)
		return cx_refuse(err, CX_INVALID, "'%.200s' has no name to be taken over", path);
	return 0;
}

int cx_remote_join(const char *dir, const char *name, char **ret, struct cx_err *err)
{
	size_t len = strlen(dir);
	bool slash = len > 0 && dir[len - 1] == '/';

	if (len + strlen(name) + 1 > CX_REMOTE_PATH_MAX)
		return cx_refuse(err, CX_INVALID, "a name has more than %d bytes",
				 CX_REMOTE_PATH_MAX);
	if (asprintf(ret, "%s%s%s", dir, slash ? "" : "/", name) < 0) {
		*ret = NULL;
		return cx_fail(err, ENOMEM, "file name");
	}
	return 0;
}
