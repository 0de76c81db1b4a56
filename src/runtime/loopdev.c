/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/loopdev.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/loop.h>
#include <sys/ioctl.h>

#include "base/str.h"

/* Between asking for a free device and taking it, somebody else may have taken it. */
enum { TRIES = 64 };

int cx_loopdev_open(int file, char *path, size_t size, struct cx_err *err)
{
	cx_autofd int control = open("/dev/loop-control", O_RDWR | O_CLOEXEC);
	struct loop_config config = { .fd = (unsigned)file,
				      .info.lo_flags = LO_FLAGS_READ_ONLY | LO_FLAGS_AUTOCLEAR };

	if (control < 0)
		return cx_fail(err, errno, "open /dev/loop-control");
	for (int i = 0; i < TRIES; i++) {
		cx_autofd int device = -EBADF;
		int n = ioctl(control, LOOP_CTL_GET_FREE);

		if (n < 0)
			return cx_fail(err, errno, "find a free loop device");
		if (cx_format(path, size, "/dev/loop%d", err, n) < 0)
			return -err->errnum;
		device = open(path, O_RDONLY | O_CLOEXEC);
		if (device < 0)
			return cx_fail(err, errno, "open '%s'", path);
		if (ioctl(device, LOOP_CONFIGURE, &config) == 0)
			return cx_take_fd(&device);
		if (errno != EBUSY)
			return cx_fail(err, errno, "configure '%s'", path);
	}
	return cx_fail(err, EBUSY, "no loop device stays free");
}
