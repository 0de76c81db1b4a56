/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/record.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#include "base/fault.h"
#include "base/fd.h"
#include "base/str.h"

static const char magic[8] = "CXRECORD"; /* exactly eight, no NUL */
enum { PATH = CX_ID_LEN + sizeof "/record", PLACES = 2, PLACE_BYTES = 8192 };
static_assert(sizeof(struct cx_record) <= PLACE_BYTES, "no place reaches into the next one");

uint64_t cx_record_hash(const void *data, size_t len)
{
	const uint8_t *p = data;
	uint64_t h = 0xcbf29ce484222325U;

	for (size_t i = 0; i < len; i++)
		h = (h ^ p[i]) * 0x100000001b3U;
	return h;
}

int cx_record_new_id(char ret[CX_ID_LEN + 1], struct cx_err *err)
{
	static const char letters[] = "abcdefghijklmnopqrstuvwxyz0123456789";
	uint8_t random[CX_ID_LEN];

	if (getrandom(random, sizeof random, 0) != (ssize_t)sizeof random)
		return cx_fail(err, errno, "getrandom");
	for (unsigned i = 0; i < CX_ID_LEN; i++)
		ret[i] = letters[random[i] % (i == 0 ? 26 : 36)];
	ret[CX_ID_LEN] = '\0';
	return 0;
}

int cx_record_is_id(const char *text)
{
	return strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789") == CX_ID_LEN &&
	       text[CX_ID_LEN] == '\0' && text[0] >= 'a';
}

void cx_record_init(struct cx_record *record, const char *id)
{
	*record = (struct cx_record){ .version = CX_RECORD_VERSION,
				      .state = CX_RECORD_BLANK,
				      .created_s = (uint64_t)time(NULL),
				      .slot = CX_SLOT_NONE,
				      .disk = CX_QUOTA_NONE };
	memcpy(record->magic, magic, sizeof magic);
	(void)snprintf(record->id, sizeof record->id, "%s", id);
}

static int path_of(const char *id, char ret[PATH], struct cx_err *err)
{
	if (!cx_record_is_id(id))
		return cx_refuse(err, CX_INTERNAL, "the record of something without a name");
	return cx_format(ret, PATH, "%s/record", err, id);
}

/* What is behind the layers that it has is not written. */
static size_t size_of(const struct cx_record *r)
{
	return offsetof(struct cx_record, layers) + (size_t)r->nlayers * CX_DIFF_ID;
}

static uint64_t checksum(const struct cx_record *r)
{
	enum { FROM = offsetof(struct cx_record, version) };

	return cx_record_hash((const uint8_t *)r + FROM, size_of(r) - FROM);
}

static int write_place(int fd, const struct cx_record *r, struct cx_err *err)
{
	ssize_t n = pwrite(fd, r, size_of(r), (off_t)(r->turn % PLACES * PLACE_BYTES));

	if (n == (ssize_t)size_of(r))
		return 0;
	return cx_fail(err, n < 0 ? errno : ENOSPC, "write the record");
}

/*
 * In turns in one of two places of the file, so whatever becomes of a write, the other one is
 * whole. No file is made, as that costs more than all the rest where RUN is on a disk.
 */
int cx_record_save(int sandboxes, struct cx_record *record, struct cx_err *err)
{
	cx_autofd int fd = -EBADF;
	char path[PATH];

	if (cx_fault_step("record", err) < 0 || path_of(record->id, path, err) < 0)
		return -err->errnum;
	fd = openat(sandboxes, path, O_WRONLY | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return cx_fail(err, errno, "open '%s'", path);
	record->turn++;
	record->checksum = checksum(record);
	if (write_place(fd, record, err) == 0)
		return 0;
	record->turn--; /* the same place is the next one's */
	return -err->errnum;
}

static int check(const struct cx_record *r, size_t len, const char *id, struct cx_err *err)
{
	if (len < offsetof(struct cx_record, layers) ||
	    memcmp(r->magic, magic, sizeof magic) != 0 || r->version != CX_RECORD_VERSION)
		return cx_refuse(err, CX_INVALID, "not a record of version %d", CX_RECORD_VERSION);
	if (r->nlayers > CX_LAYERS_MAX || size_of(r) > len || r->checksum != checksum(r))
		return cx_refuse(err, CX_INVALID, "a record with a wrong checksum");
	if (memchr(r->id, '\0', sizeof r->id) == NULL || strcmp(r->id, id) != 0)
		return cx_refuse(err, CX_INVALID, "a record of another sandbox");
	if (r->state < CX_RECORD_BLANK || r->state >= CX_RECORD_STATE_MAX || r->paused > 1 ||
	    r->pid > INT32_MAX || r->disk >= CX_QUOTA_MAX)
		return cx_refuse(err, CX_INVALID, "a record with impossible values");
	return 0;
}

/* 1: it is in *ret; 0: this place has none, and *ret_why says what it has. */
static int load_place(int fd, unsigned place, const char *id, struct cx_record *ret,
		      struct cx_err *ret_why, struct cx_err *err)
{
	struct cx_record r = { 0 };
	ssize_t n = pread(fd, &r, sizeof r, (off_t)place * PLACE_BYTES);

	if (n < 0)
		return cx_fail(err, errno, "read the record");
	if (check(&r, (size_t)n, id, ret_why) < 0)
		return 0;
	memset(r.layers + r.nlayers, 0, sizeof r - size_of(&r));
	*ret = r;
	return 1;
}

/* The newer one of the two places, or the only one that is whole. */
static int load(int fd, const char *id, struct cx_record *ret, struct cx_err *err)
{
	struct cx_record r;
	struct cx_err why[PLACES];
	bool any = false;

	for (unsigned place = 0; place < PLACES; place++) {
		int found = load_place(fd, place, id, &r, &why[place], err);

		if (found < 0)
			return found;
		if (found > 0 && (!any || r.turn > ret->turn)) {
			*ret = r;
			any = true;
		}
	}
	if (any)
		return 0;
	*err = why[1]; /* the first that is written */
	return -err->errnum;
}

int cx_record_load(int sandboxes, const char *id, struct cx_record *ret, struct cx_err *err)
{
	cx_autofd int fd = -EBADF;
	struct cx_record r;
	char path[PATH];

	if (path_of(id, path, err) < 0)
		return -err->errnum;
	fd = openat(sandboxes, path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		(void)cx_fail(err, errno, "open the record");
	if (fd < 0 || load(fd, id, &r, err) < 0)
		return cx_wrap(err, "sandbox %.32s", id);
	*ret = r;
	return 0;
}

int cx_record_parse_stat(const char *text, uint64_t *ret, struct cx_err *err)
{
	/* "pid (name) state ppid ...": the name may hold spaces and brackets, but is the only one.
	 */
	const char *p = strrchr(text, ')');
	char field[24];

	if (p == NULL)
		return cx_refuse(err, CX_INVALID, "a stat file without a name");
	p++;
	for (unsigned n = 3; n < 22 && p != NULL; n++)
		p = strchr(p + 1, ' '); /* to the blank in front of field n + 1 */
	if (p == NULL || sscanf(p, " %23[0-9]", field) != 1)
		return cx_refuse(err, CX_INVALID, "a stat file without a start time");
	return cx_parse_u64(field, 0, UINT64_MAX, "start time", ret, err);
}

int cx_record_start_ticks(pid_t pid, uint64_t *ret, struct cx_err *err)
{
	char path[32], text[2048];

	(void)snprintf(path, sizeof path, "/proc/%d/stat", pid);
	if (cx_read_small_file(AT_FDCWD, path, text, sizeof text, err) < 0)
		return -err->errnum;
	return cx_record_parse_stat(text, ret, err);
}
