/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/record.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#include "base/fault.h"
#include "base/fd.h"
#include "base/statefile.h"
#include "base/str.h"

static const char magic[8] = "CXRECORD"; /* exactly eight, no NUL */
enum { PATH = CX_ID_LEN + sizeof "/record" };

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

int cx_record_save(int sandboxes, struct cx_record *record, struct cx_err *err)
{
	char path[PATH];

	if (cx_fault_step("record", err) < 0 || path_of(record->id, path, err) < 0)
		return -err->errnum;
	record->checksum = cx_record_hash(record, offsetof(struct cx_record, checksum));
	return cx_statefile_save(sandboxes, path, record, sizeof *record, false, err);
}

static int check(const struct cx_record *r, const char *id, struct cx_err *err)
{
	if (memcmp(r->magic, magic, sizeof magic) != 0 || r->version != CX_RECORD_VERSION)
		return cx_refuse(err, CX_INVALID, "not a record of version %d", CX_RECORD_VERSION);
	if (r->checksum != cx_record_hash(r, offsetof(struct cx_record, checksum)))
		return cx_refuse(err, CX_INVALID, "a record with a wrong checksum");
	if (memchr(r->id, '\0', sizeof r->id) == NULL || strcmp(r->id, id) != 0)
		return cx_refuse(err, CX_INVALID, "a record of another sandbox");
	if (r->state < CX_RECORD_BLANK || r->state >= CX_RECORD_STATE_MAX || r->paused > 1 ||
	    r->nlayers > CX_LAYERS_MAX || r->pid > INT32_MAX || r->disk >= CX_QUOTA_MAX)
		return cx_refuse(err, CX_INVALID, "a record with impossible values");
	return 0;
}

int cx_record_load(int sandboxes, const char *id, struct cx_record *ret, struct cx_err *err)
{
	char path[PATH];
	struct cx_record r;

	if (path_of(id, path, err) < 0 ||
	    cx_statefile_load(sandboxes, path, &r, sizeof r, err) < 0 || check(&r, id, err) < 0)
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
