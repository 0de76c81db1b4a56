/* SPDX-License-Identifier: Apache-2.0 */
#include "escape/probe.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"

static void close_dir(DIR **dir)
{
	if (*dir != NULL)
		(void)closedir(*dir);
}

int probe_open_write(const struct probe_row *row)
{
	cx_autofd int fd = open(row->path, O_WRONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);

	return probe_result(fd);
}

int probe_read(const struct probe_row *row)
{
	cx_autofd int fd = open(row->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	char word[8]; /* some files are read by the word only */
	ssize_t got;

	if (fd < 0)
		return -errno;
	got = read(fd, word, sizeof(word));
	if (got < 0)
		return -errno;
	if (got > 0)
		return PROBE_OPEN;
	probe_note("empty");
	return -ENODATA;
}

int probe_list(const struct probe_row *row)
{
	DIR *dir CX_AUTO(close_dir) = opendir(row->path);
	const struct dirent *entry;

	if (dir == NULL)
		return -errno;
	while ((entry = readdir(dir)) != NULL)
		if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0) {
			probe_note("holds %s", entry->d_name);
			return PROBE_OPEN;
		}
	probe_note("empty");
	return -ENODATA;
}

int probe_exists(const struct probe_row *row)
{
	struct stat st;

	return probe_result(lstat(row->path, &st));
}

int probe_syscall(const struct probe_row *row)
{
	return probe_unreachable(syscall(row->a, row->b, row->c, 0L, 0L, 0L, 0L));
}

long probe_slurp(const char *path, char *buf, size_t size)
{
	cx_autofd int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	size_t have = 0;
	ssize_t got;

	if (fd < 0)
		return -errno;
	while (have < size - 1) {
		got = read(fd, buf + have, size - 1 - have);
		if (got < 0)
			return -errno;
		if (got == 0)
			break;
		have += (size_t)got;
	}
	buf[have] = '\0';
	return (long)have;
}

int probe_write(const char *path, const char *text)
{
	cx_autofd int fd = open(path, O_WRONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);

	if (fd < 0)
		return -errno;
	return write(fd, text, strlen(text)) < 0 ? -errno : 0;
}

const char *probe_tmpdir(void)
{
	static const char *const places[] = { "/tmp", "/dev/shm", "/var/tmp", "/" };
	static char path[64];

	for (size_t i = 0; i < CX_LEN(places); i++) {
		(void)strcpy(path, places[i]);
		(void)strcat(path, "/probe.XXXXXX");
		if (mkdtemp(path) != NULL)
			return path;
	}
	return NULL;
}
