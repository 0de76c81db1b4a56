/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/users.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>

#include "base/fd.h"
#include "base/str.h"

enum { FIELDS_MAX = 7, NAME_SIZE = CX_USERS_NAME_MAX + 1 };

/* passwd: name:password:uid:gid:comment:home:shell. group: name:password:gid:member,member */
enum { NAME = 0, ID = 2, PASSWD_GID = 3, PASSWD_HOME = 5, GROUP_MEMBERS = 3 };

struct table {
	char *text; /* NUL-terminated; lines are cut into fields as they are read */
	char *next;
};

static void free_table(struct table *table)
{
	free(table->text);
}

/* Following links is harmless here: the agent and its children live in the sandbox's own root. */
static int load(int etc, const char *name, struct table *ret, struct cx_err *err)
{
	cx_autofd int fd = openat(etc, name, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	cx_autofree char *text = NULL;
	struct stat st;
	ssize_t n;

	*ret = (struct table){ .text = NULL };
	if (fd < 0 && (errno == ENOENT || errno == ENOTDIR))
		return 0;
	if (fd < 0)
		return cx_fail(err, errno, "open '/etc/%s'", name);
	if (fstat(fd, &st) < 0)
		return cx_fail(err, errno, "look at '/etc/%s'", name);
	if (!S_ISREG(st.st_mode))
		return cx_refuse(err, CX_INVALID, "'/etc/%s' is not a regular file", name);
	if (st.st_size > CX_USERS_FILE_MAX)
		return cx_refuse(err, CX_INVALID, "'/etc/%s' is larger than %d bytes", name,
				 CX_USERS_FILE_MAX);
	text = malloc((size_t)st.st_size + 1);
	if (text == NULL)
		return cx_fail(err, ENOMEM, "read '/etc/%s'", name);
	n = cx_read_upto(fd, text, (size_t)st.st_size, err);
	if (n < 0)
		return cx_wrap(err, "'/etc/%s'", name);
	text[n] = '\0';
	*ret = (struct table){ .text = text, .next = text };
	(void)cx_take_ptr(&text);
	return 0;
}

/* Cuts the next line into fields; those that are missing are "". False at the end. */
static bool next_row(struct table *table, const char *fields[FIELDS_MAX])
{
	char *line;

	if (table->next == NULL)
		return false;
	line = strsep(&table->next, "\n");
	for (unsigned i = 0; i < FIELDS_MAX; i++) {
		const char *field = strsep(&line, ":");

		fields[i] = field != NULL ? field : "";
	}
	return true;
}

static bool is_number(const char *text)
{
	return *text != '\0' && text[strspn(text, "0123456789")] == '\0';
}

static int parse_id(const char *text, const char *what, uint32_t *ret, struct cx_err *err)
{
	uint64_t id;

	if (cx_parse_u64(text, 0, CX_USERS_ID_MAX, what, &id, err) < 0)
		return -err->errnum;
	*ret = (uint32_t)id;
	return 0;
}

/* The row whose name is key, else the first whose id is key. */
static bool find_row(struct table *table, const char *key, const char *found[FIELDS_MAX])
{
	const char *fields[FIELDS_MAX];
	bool by_number = is_number(key), have = false;

	while (next_row(table, fields)) {
		bool same_name = fields[NAME][0] != '\0' && strcmp(fields[NAME], key) == 0;

		if (!same_name && (have || !by_number || strcmp(fields[ID], key) != 0))
			continue;
		memcpy(found, fields, sizeof fields);
		have = true;
		if (same_name)
			break;
	}
	return have;
}

static int find_user(int etc, const char *key, struct cx_user *user, struct cx_err *err)
{
	CX_AUTO(free_table) struct table passwd = { 0 };
	const char *row[FIELDS_MAX];

	if (load(etc, "passwd", &passwd, err) < 0)
		return -err->errnum;
	if (!find_row(&passwd, key, row)) {
		if (!is_number(key))
			return cx_refuse(err, CX_NOT_FOUND,
					 "user '%s' is not in the sandbox's /etc/passwd", key);
		return parse_id(key, "user id", &user->uid, err);
	}
	if (parse_id(row[ID], "user id", &user->uid, err) < 0 ||
	    parse_id(row[PASSWD_GID], "group id", &user->gid, err) < 0)
		return cx_wrap(err, "user '%s' in /etc/passwd", key);
	if (strlen(row[NAME]) < NAME_SIZE)
		strcpy(user->name, row[NAME]);
	if (row[PASSWD_HOME][0] == '/' && strlen(row[PASSWD_HOME]) < sizeof user->home)
		strcpy(user->home, row[PASSWD_HOME]);
	return 0;
}

static int find_group(int etc, const char *key, gid_t *ret, struct cx_err *err)
{
	CX_AUTO(free_table) struct table group = { 0 };
	const char *row[FIELDS_MAX];

	if (load(etc, "group", &group, err) < 0)
		return -err->errnum;
	if (find_row(&group, key, row)) {
		if (parse_id(row[ID], "group id", ret, err) < 0)
			return cx_wrap(err, "group '%s' in /etc/group", key);
		return 0;
	}
	if (!is_number(key))
		return cx_refuse(err, CX_NOT_FOUND, "group '%s' is not in the sandbox's /etc/group",
				 key);
	return parse_id(key, "group id", ret, err);
}

static bool lists_member(const char *members, const char *name)
{
	size_t len = strlen(name);

	for (const char *p = members; *p != '\0'; p += strspn(p, ",")) {
		size_t n = strcspn(p, ",");

		if (n == len && memcmp(p, name, n) == 0)
			return true;
		p += n;
	}
	return false;
}

static int find_memberships(int etc, const char *name, struct cx_user *user, struct cx_err *err)
{
	CX_AUTO(free_table) struct table group = { 0 };
	const char *row[FIELDS_MAX];
	struct cx_err ignored;
	uint32_t gid = 0;

	if (load(etc, "group", &group, err) < 0)
		return -err->errnum;
	while (next_row(&group, row)) {
		/* A line that cannot be read gives nothing; it must not keep everybody out. */
		if (!lists_member(row[GROUP_MEMBERS], name) ||
		    parse_id(row[ID], "group id", &gid, &ignored) < 0)
			continue;
		if (user->ngroups == CX_USERS_GROUPS_MAX)
			return cx_refuse(err, CX_INVALID, "user '%s' is in more than %d groups",
					 name, CX_USERS_GROUPS_MAX);
		user->groups[user->ngroups++] = gid;
	}
	return 0;
}

int cx_user_resolve(int etc, const char *spec, struct cx_user *ret, struct cx_err *err)
{
	struct cx_user user = { .home = "/" };
	char key[NAME_SIZE];
	const char *colon = strchrnul(spec, ':');
	size_t len = (size_t)(colon - spec);

	if (len >= sizeof key)
		return cx_refuse(err, CX_INVALID, "user name of %zu bytes", len);
	memcpy(key, spec, len);
	key[len] = '\0';
	if (find_user(etc, len > 0 ? key : "0", &user, err) < 0)
		return -err->errnum;
	if (*colon == '\0' && user.name[0] != '\0' &&
	    find_memberships(etc, user.name, &user, err) < 0)
		return -err->errnum;
	if (*colon != '\0' && find_group(etc, colon + 1, &user.gid, err) < 0)
		return -err->errnum;
	*ret = user;
	return 0;
}
