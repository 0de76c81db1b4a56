/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/loopdev.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/loop.h>
#include <string.h>
#include <sys/ioctl.h>

#include "base/str.h"

/* Between asking for a free device and taking it, somebody else may have taken it. */
enum { TRIES = 64, BLOCK = 4096 };

static int open_device(uint32_t number, int flags, char *path, size_t size, struct cx_err *err)
{
	int fd;

	if (cx_format(path, size, "/dev/loop%u", err, number) < 0)
		return -err->errnum;
	fd = open(path, flags | O_CLOEXEC);
	return fd >= 0 ? fd : cx_fail(err, errno, "open '%s'", path);
}

static int configure(const struct loop_config *config, int flags, uint32_t *ret_number, char *path,
		     size_t size, struct cx_err *err)
{
	cx_autofd int control = open("/dev/loop-control", O_RDWR | O_CLOEXEC);

	if (control < 0)
		return cx_fail(err, errno, "open /dev/loop-control");
	for (int i = 0; i < TRIES; i++) {
		cx_autofd int device = -EBADF;
		int n = ioctl(control, LOOP_CTL_GET_FREE);

		if (n < 0)
			return cx_fail(err, errno, "find a free loop device");
		device = open_device((uint32_t)n, flags, path, size, err);
		if (device < 0)
			return device;
		*ret_number = (uint32_t)n;
		if (ioctl(device, LOOP_CONFIGURE, config) == 0)
			return cx_take_fd(&device);
		if (errno != EBUSY)
			return cx_fail(err, errno, "configure '%s'", path);
	}
	return cx_fail(err, EBUSY, "no loop device stays free");
}

int cx_loopdev_open(int file, char *path, size_t size, struct cx_err *err)
{
	const struct loop_config config = { .fd = (unsigned)file,
					    .info.lo_flags =
						    LO_FLAGS_READ_ONLY | LO_FLAGS_AUTOCLEAR };
	uint32_t number;

	return configure(&config, O_RDONLY, &number, path, size, err);
}

int cx_loopdev_make(int file, const char *name, uint32_t *ret_number, char *path, size_t size,
		    struct cx_err *err)
{
	struct loop_config config = { .fd = (unsigned)file,
				      .block_size = BLOCK,
				      .info.lo_flags = LO_FLAGS_AUTOCLEAR };

	if (cx_format((char *)config.info.lo_file_name, sizeof config.info.lo_file_name, "%s", err,
		      name) < 0)
		return -err->errnum;
	return configure(&config, O_RDWR, ret_number, path, size, err);
}

int cx_loopdev_find(uint32_t number, const char *name, char *path, size_t size, struct cx_err *err)
{
	cx_autofd int device = open_device(number, O_RDWR, path, size, err);
	struct loop_info64 info;

	if (device < 0)
		return device;
	if (ioctl(device, LOOP_GET_STATUS64, &info) < 0 ||
	    strncmp((const char *)info.lo_file_name, name, sizeof info.lo_file_name) != 0)
		return cx_fail(err, ENOENT, "'%s' of '%s'", path, name);
	return cx_take_fd(&device);
}
