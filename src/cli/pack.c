/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/pack.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "base/fd.h"

static int check_layout(const char *dir, struct cx_err *err)
{
	cx_autofd int fd = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0)
		return cx_fail(err, errno, "open directory '%s'", dir);
	if (faccessat(fd, "oci-layout", R_OK, 0) < 0 || faccessat(fd, "index.json", R_OK, 0) < 0)
		return cx_refuse(err, CX_INVALID,
				 "'%s' is no OCI image layout (oci-layout or index.json is "
				 "missing); for a root file system: tar -C DIR -cf - . | caisson "
				 "image import --name NAME -",
				 dir);
	return 0;
}

int cx_pack_start(struct cx_pack *ret, const char *dir, struct cx_err *err)
{
	char tar[] = "tar", to[] = "--create", file[] = "--file=-", sort[] = "--sort=name",
	     numeric[] = "--numeric-owner", owner[] = "--owner=0", group[] = "--group=0",
	     in[] = "--directory", end[] = "--", layout[] = "oci-layout", index[] = "index.json",
	     blobs[] = "blobs";
	char *const argv[] = {
		tar, to,     file,  sort,  numeric, owner, group, in, (char *)(uintptr_t)dir,
		end, layout, index, blobs, NULL
	};
	posix_spawn_file_actions_t actions;
	cx_autofd int read_end = -EBADF, write_end = -EBADF;
	pid_t pid = 0;
	int r;

	if (check_layout(dir, err) < 0 || cx_pipe(&read_end, &write_end, err) < 0)
		return -err->errnum;
	(void)posix_spawn_file_actions_init(&actions);
	r = posix_spawn_file_actions_adddup2(&actions, write_end, STDOUT_FILENO);
	if (r == 0)
		r = posix_spawnp(&pid, tar, &actions, NULL, argv, environ);
	(void)posix_spawn_file_actions_destroy(&actions);
	if (r != 0)
		return cx_fail(err, r, "start tar to pack '%s'", dir);
	*ret = (struct cx_pack){ .fd = cx_take_fd(&read_end), .pid = pid };
	return 0;
}

int cx_pack_end(struct cx_pack *pack, struct cx_err *err)
{
	int status = 0;
	pid_t pid = pack->pid;

	pack->pid = 0;
	if (waitpid(pid, &status, 0) < 0)
		return cx_fail(err, errno, "wait for tar");
	if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
		return cx_refuse(err, CX_INVALID, "tar could not pack the image layout");
	return 0;
}

void cx_pack_free(struct cx_pack *pack)
{
	cx_close(&pack->fd);
	if (pack->pid > 0) {
		(void)kill(pack->pid, SIGTERM);
		(void)waitpid(pack->pid, NULL, 0);
	}
	pack->pid = 0;
}
