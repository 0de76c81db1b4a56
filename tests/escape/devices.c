/* SPDX-License-Identifier: Apache-2.0 */
/* Device nodes: made, and opened by name. */
#include "escape/probe.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/types.h>
#include <unistd.h>

#include "base/cleanup.h"

/*
 * mknod of S_IFCHR or S_IFBLK (a), major b, minor c in each writable file system. A node that can
 * be made but not opened for want of permission is refused all the same.
 */
static int make_node(const struct probe_row *row)
{
	static const char *const places[] = {
		"/tmp", "/dev/shm", "/dev", "/var/tmp", "/root", "/"
	};
	char path[64];
	int result = -ENOENT;

	for (size_t i = 0; i < CX_LEN(places); i++) {
		(void)snprintf(path, sizeof(path), "%s/probe-node", places[i]);
		if (mknod(path, (mode_t)row->a | 0666,
			  makedev((unsigned)row->b, (unsigned)row->c)) < 0) {
			if (result == -ENOENT)
				result = -errno;
			continue;
		}
		cx_autofd int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);

		result = fd < 0 ? -errno : PROBE_OPEN;
		(void)unlink(path);
		/* ENXIO, ENODEV: the driver was asked, it only has no such device. */
		if (result == PROBE_OPEN || result == -ENXIO || result == -ENODEV) {
			probe_note("made in %s", places[i]);
			return PROBE_OPEN;
		}
	}
	return result;
}

/* The only node that user namespaces may make is the overlay's whiteout: it must stay inert. */
static int whiteout_inert(const struct probe_row *row)
{
	(void)row;
	if (mknod("/tmp/probe-whiteout", S_IFCHR, makedev(0, 0)) < 0)
		return -errno;
	cx_autofd int fd = open("/tmp/probe-whiteout", O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	int result = probe_result(fd);

	(void)unlink("/tmp/probe-whiteout");
	return result;
}

static int open_device(const struct probe_row *row)
{
	cx_autofd int fd = open(row->path, O_RDWR | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);

	if (fd < 0 && errno != ENOENT && errno != EACCES && errno != EPERM) {
		probe_note("the driver was asked");
		return PROBE_OPEN;
	}
	return probe_result(fd);
}

/* The devices that are there are what their names say: their numbers are the kernel's. */
static int device_is(const struct probe_row *row)
{
	struct stat st;

	if (stat(row->path, &st) < 0)
		return -errno;
	if (!S_ISCHR(st.st_mode) || st.st_rdev != makedev((unsigned)row->a, (unsigned)row->b)) {
		probe_note("mode 0%o, device %u:%u", st.st_mode, major(st.st_rdev),
			   minor(st.st_rdev));
		return PROBE_OPEN;
	}
	return -EEXIST;
}

/* A terminal must not take input as if it had been typed (CVE-2017-5226), nor be a console. */
static int on_terminal(const struct probe_row *row)
{
	cx_autofd int master = open("/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC);
	int unlock = 0, number = 0;
	char name[32], input[] = "x";

	if (master < 0)
		return -errno;
	if (ioctl(master, TIOCSPTLCK, &unlock) < 0 || ioctl(master, TIOCGPTN, &number) < 0)
		return -errno;
	(void)snprintf(name, sizeof(name), "/dev/pts/%d", number);
	(void)setsid();
	cx_autofd int slave = open(name, O_RDWR | O_CLOEXEC);

	if (slave < 0)
		return -errno;
	return probe_result(ioctl(slave, (unsigned long)row->a, input));
}

/* Settings of the random pool that every process of the host draws from. */
static int on_random(const struct probe_row *row)
{
	cx_autofd int fd = open("/dev/urandom", O_RDWR | O_CLOEXEC);
	struct {
		int bits, size;
		unsigned data[1];
	} entropy = { .bits = 0, .size = 0 };

	if (fd < 0)
		return -errno;
	return probe_result(ioctl(fd, (unsigned long)row->a, &entropy));
}

enum { ADD_ENTROPY = 0x40085203, ZAP_ENTROPY = 0x5204, RESEED = 0x5207 };

#define CHR(name, major, minor, why)                                        \
	{                                                                   \
		"chr_" name, make_node, NULL, S_IFCHR, major, minor, 0, why \
	}
#define SAFE_CHR(name, major, minor, why)                                                    \
	{                                                                                    \
		"chr_" name, make_node, NULL, S_IFCHR, major, minor, PROBE_SAFE_OUTSIDE, why \
	}
#define BLK(name, major, minor, why)                                        \
	{                                                                   \
		"blk_" name, make_node, NULL, S_IFBLK, major, minor, 0, why \
	}
#define DEV(name, why)                                                  \
	{                                                               \
		"dev_" name, open_device, "/dev/" name, 0, 0, 0, 0, why \
	}
#define IS(name, major, minor)                                           \
	{                                                                \
		"is_" name, device_is, "/dev/" name, major, minor, 0, 0, \
			"a device put in place of another"               \
	}

static const struct probe_row rows[] = {
	SAFE_CHR("null", 1, 3, "any node at all"),
	SAFE_CHR("zero", 1, 5, "any node at all"),
	CHR("mem", 1, 1, "the memory of the machine"),
	CHR("kmem", 1, 2, "the memory of the kernel"),
	CHR("port", 1, 4, "the machine's ports"),
	SAFE_CHR("kmsg", 1, 11, "the kernel's log"),
	CHR("tty0", 4, 0, "the machine's console"),
	CHR("tty1", 4, 1, "the machine's console"),
	CHR("ttyS0", 4, 64, "the machine's serial line"),
	CHR("console", 5, 1, "the machine's console"),
	CHR("vcs", 7, 0, "the machine's screen"),
	CHR("input", 13, 64, "the machine's keyboard"),
	CHR("sg", 21, 0, "disks without a file system"),
	CHR("fb", 29, 0, "the machine's screen"),
	CHR("ppp", 108, 0, "links"),
	CHR("vga_arbiter", 10, 63, "the graphics adapter"),
	CHR("watchdog", 10, 130, "the machine restarts"),
	CHR("rtc", 10, 135, "the machine's clock"),
	CHR("nvram", 10, 144, "the machine's settings"),
	CHR("tun", 10, 200, "links"),
	CHR("cuse", 10, 203, "devices made by a process"),
	CHR("uinput", 10, 223, "keys pressed on the host"),
	CHR("hpet", 10, 228, "timers of the machine"),
	SAFE_CHR("fuse", 10, 229, "file systems made by a process"),
	CHR("snapshot", 10, 231, "the memory of the machine, written to disk"),
	CHR("kvm", 10, 232, "virtual machines"),
	CHR("btrfs_control", 10, 234, "disks"),
	CHR("autofs", 10, 235, "mounts"),
	CHR("mapper", 10, 236, "disks"),
	CHR("loop_control", 10, 237, "block devices made of files"),
	CHR("vhost_net", 10, 238, "links"),
	CHR("vhost_vsock", 10, 241, "the hypervisor"),
	CHR("cpu_msr", 202, 0, "registers of the processor"),
	CHR("cpu_cpuid", 203, 0, "registers of the processor"),
	CHR("dri", 226, 0, "the graphics adapter"),
	CHR("vfio", 10, 196, "devices given to a process"),
	BLK("loop0", 7, 0, "block devices made of files"),
	BLK("sda", 8, 0, "the host's disk"),
	BLK("dm0", 253, 0, "the host's disk"),
	BLK("vda", 254, 0, "the host's disk"),
	BLK("vda_252", 252, 0, "the host's disk"),
	BLK("nvme", 259, 0, "the host's disk"),
	BLK("zram0", 251, 0, "the host's swap"),
	BLK("ram0", 1, 0, "a disk in memory outside every limit"),
	BLK("nbd0", 43, 0, "a disk over the network"),
	{ "whiteout", whiteout_inert, NULL, 0, 0, 0, 0, "a node that can be opened" },
	DEV("mem", "the memory of the machine"),
	DEV("kmem", "the memory of the kernel"),
	DEV("port", "the machine's ports"),
	DEV("kmsg", "the kernel's log"),
	DEV("vda", "the host's disk"),
	DEV("sda", "the host's disk"),
	DEV("loop0", "block devices made of files"),
	DEV("loop-control", "block devices made of files"),
	DEV("fuse", "file systems made by a process"),
	DEV("net/tun", "links"),
	DEV("kvm", "virtual machines"),
	DEV("vhost-net", "links"),
	DEV("vhost-vsock", "the hypervisor"),
	DEV("vsock", "the hypervisor"),
	DEV("userfaultfd", "pages that stop the kernel at a chosen point"),
	DEV("uinput", "keys pressed on the host"),
	DEV("tty0", "the machine's console"),
	DEV("ttyS0", "the machine's serial line"),
	DEV("vcs", "the machine's screen"),
	DEV("rtc0", "the machine's clock"),
	DEV("hwrng", "the machine's random source"),
	DEV("cpu_dma_latency", "power management of the machine"),
	DEV("mapper/control", "disks"),
	DEV("btrfs-control", "disks"),
	DEV("autofs", "mounts"),
	DEV("vga_arbiter", "the graphics adapter"),
	DEV("zram0", "the host's swap"),
	DEV("watchdog", "the machine restarts"),
	DEV("cpu/0/msr", "registers of the processor"),
	DEV("dri/card0", "the graphics adapter"),
	DEV("snapshot", "the memory of the machine"),
	DEV("nvram", "the machine's settings"),
	DEV("hpet", "timers of the machine"),
	DEV("ppp", "links"),
	IS("null", 1, 3),
	IS("zero", 1, 5),
	IS("full", 1, 7),
	IS("random", 1, 8),
	IS("urandom", 1, 9),
	IS("tty", 5, 0),
	IS("ptmx", 5, 2),
	{ "tiocsti", on_terminal, NULL, TIOCSTI, 0, 0, PROBE_SAFE_OUTSIDE,
	  "keys pressed for others" },
	{ "tioclinux", on_terminal, NULL, TIOCLINUX, 0, 0, 0, "the machine's console" },
	{ "tioccons", on_terminal, NULL, TIOCCONS, 0, 0, 0, "the machine's console" },
	{ "tiocvhangup", on_terminal, NULL, 0x5437 /* TIOCVHANGUP */, 0, 0, PROBE_SAFE_OUTSIDE,
	  "terminals of others" },
	{ "add_entropy", on_random, NULL, ADD_ENTROPY, 0, 0, 0, "the host's randomness" },
	{ "zap_entropy", on_random, NULL, ZAP_ENTROPY, 0, 0, 0, "the host's randomness" },
	{ "reseed", on_random, NULL, RESEED, 0, 0, 0, "the host's randomness" },
};

const struct probe_group probe_devices = { "device", rows, CX_LEN(rows) };
