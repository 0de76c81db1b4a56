/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/configure.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "agent/start.h"
#include "agent/users.h"
#include "base/path.h"

static char *append(char **at, struct cx_str s)
{
	char *begin = *at;

	if (s.len > 0)
		memcpy(begin, s.p, s.len);
	begin[s.len] = '\0';
	*at = begin + s.len + 1;
	return begin;
}

static int copy_config(const struct cx_msg_configure *m, struct cx_config *ret, struct cx_err *err)
{
	char *block = malloc((size_t)m->env.len + m->start.len + m->cwd.len + m->user.len + 4);
	char *at = block;

	if (block == NULL)
		return cx_fail(err, ENOMEM, "configuration");
	ret->block = block;
	ret->env = (struct cx_str){ .p = append(&at, m->env), .len = m->env.len };
	ret->start = (struct cx_str){ .p = append(&at, m->start), .len = m->start.len };
	ret->cwd = append(&at, m->cwd);
	ret->user = append(&at, m->user);
	return 0;
}

/* What stands in the way is in the image, or is a place where no image makes directories. */
static bool is_of_image(int errnum)
{
	static const int rows[] = { ENOTDIR, ELOOP, ENOENT, EEXIST, EACCES, EPERM, EROFS };

	for (size_t i = 0; i < CX_LEN(rows); i++)
		if (rows[i] == errnum)
			return true;
	return false;
}

/*
 * Links in an image's path are followed, as the command itself will: this root is all there is, but
 * for what the agent has open, and cx_mkdir_p() does not go there.
 */
static int make_directory(const char *path, struct cx_err *err)
{
	cx_autofd int fd = -EBADF;

	if (path[0] == '\0')
		return 0;
	if (path[0] != '/')
		return cx_refuse(err, CX_INVALID, "working directory '%s' must begin with '/'",
				 path);
	fd = cx_mkdir_p(path, 0755, err);
	if (fd < 0 && is_of_image(err->errnum))
		err->kind = CX_INVALID;
	return fd < 0 ? cx_wrap(err, "working directory") : 0;
}

static int hand_over_workspace(const char *spec, struct cx_err *err)
{
	cx_autofd int etc = open("/etc", O_PATH | O_DIRECTORY | O_CLOEXEC);
	cx_autofd int workspace = -EBADF;
	struct cx_user user;

	if (cx_user_resolve(etc, spec, &user, err) < 0)
		return -err->errnum;
	workspace = open("/workspace", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (workspace < 0)
		return cx_fail(err, errno, "open '/workspace'");
	if (user.uid != 0 && fchown(workspace, user.uid, user.gid) < 0)
		return cx_fail(err, errno, "give '/workspace' to user %u", user.uid);
	return 0;
}

int cx_configure_request(struct cx_agent *agent, struct cx_conn_ref asker,
			 const struct cx_msg_configure *m, struct cx_err *err)
{
	struct cx_config config;

	if (agent->phase == CX_PHASE_CONFIGURED) {
		cx_conn_ok(cx_conn_find(agent, asker.conn), asker.request);
		return 0;
	}
	if (copy_config(m, &config, err) < 0)
		return -err->errnum;
	free(agent->config.block);
	agent->config = config;
	if (make_directory(config.cwd, err) < 0 || hand_over_workspace(config.user, err) < 0)
		return -err->errnum;
	if (config.start.len > 0)
		return cx_start_begin(agent, asker, err);
	agent->phase = CX_PHASE_CONFIGURED;
	cx_conn_ok(cx_conn_find(agent, asker.conn), asker.request);
	return 0;
}
