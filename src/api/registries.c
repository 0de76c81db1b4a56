/* SPDX-License-Identifier: Apache-2.0 */
#include "api/registries.h"

#include <errno.h>
#include <fcntl.h>
#include <ini.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/fd.h"
#include "base/statefile.h"
#include "base/str.h"

#define STORE "auth.json"

enum { CONFIG_BYTES_MAX = 1 << 20, SECTION_MAX = 512 };

static_assert((int)CX_LOGIN_PASSWORD_MAX <= 8192 &&
		      (int)CX_LOGIN_TOKEN_MAX <= (int)CX_FETCH_SECRET_MAX,
	      "what is kept here fits into fetch_endpoint");

struct mirror {
	char host[CX_REF_NAME_MAX + 1], prefix[CX_REF_NAME_MAX + 1];
};

struct registry {
	char host[CX_REF_NAME_MAX + 1];
	bool plain_http;
	struct cx_buf ca;
	struct mirror mirrors[CX_MIRRORS_MAX];
	unsigned nmirrors;
	char *username, *password; /* both or none, once the file is read */
};

struct cx_registries {
	bool disabled;
	char home[CX_REF_NAME_MAX + 1];
	char *path, *authfile_path;
	struct cx_buf authfile, store; /* texts */
	int state_dir;
	struct registry list[CX_REGISTRIES_MAX];
	unsigned n;
};

/* ---- files ---------------------------------------------------------------------------------- */

enum secrecy { PUBLIC, SECRET };

static int open_file(const char *path, enum secrecy secrecy, struct cx_err *err)
{
	cx_autofd int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	struct stat st;

	if (fd < 0 && errno == EACCES)
		return cx_refuse(err, CX_DENIED,
				 "'%s' cannot be read by the user that the gateway runs as; let "
				 "its group read it (and enter the directories above)",
				 path);
	if (fd < 0 || fstat(fd, &st) < 0)
		return cx_fail(err, errno, "open '%s'", path);
	if (!S_ISREG(st.st_mode))
		return cx_refuse(err, CX_INVALID, "'%s' is not a file", path);
	if (secrecy == SECRET && (st.st_mode & 07) != 0)
		return cx_refuse(err, CX_DENIED, "'%s' is open to everybody; run 'chmod o= %s'",
				 path, path);
	return cx_take_fd(&fd);
}

/* At most max bytes, with a NUL behind them that does not count. */
static int read_fd(int fd, size_t max, struct cx_buf *ret, struct cx_err *err)
{
	CX_AUTO(cx_buf_wipe) struct cx_buf text = { .max = max + 1 };
	char *to = cx_buf_reserve(&text, max + 1, err);
	ssize_t len = to != NULL ? cx_read_upto(fd, to, max + 1, err) : -err->errnum;

	if (len < 0)
		return (int)len;
	if ((size_t)len > max)
		return cx_refuse(err, CX_INVALID, "it is larger than %zu bytes", max);
	to[len] = '\0';
	text.len = (size_t)len;
	*ret = text;
	text = (struct cx_buf){ 0 };
	return 0;
}

static int read_file(const char *path, enum secrecy secrecy, size_t max, struct cx_buf *ret,
		     struct cx_err *err)
{
	cx_autofd int fd = open_file(path, secrecy, err);

	if (fd < 0)
		return fd;
	return read_fd(fd, max, ret, err) < 0 ? cx_wrap(err, "'%s'", path) : 0;
}

/* ---- caisson-registries.conf ---------------------------------------------------------------- */

/* Where the parser is. inih would cut a section's name at 50 bytes, so it never sees one. */
struct reading {
	struct cx_registries *r;
	const char *p, *end;
	unsigned line;
	bool general;	     /* in [registries] */
	struct registry *of; /* in the section of this one */
	struct cx_err *err;
};

static int set_yes(const char *value, bool *ret, struct cx_err *err)
{
	if (strcmp(value, "yes") != 0 && strcmp(value, "no") != 0)
		return cx_refuse(err, CX_INVALID, "'%.40s' is not one of yes, no", value);
	*ret = strcmp(value, "yes") == 0;
	return 0;
}

static int check_path(const char *value, struct cx_err *err)
{
	return value[0] == '/'
		       ? 0
		       : cx_refuse(err, CX_INVALID, "'%.80s' is not an absolute path", value);
}

static int set_text(const char *value, char **ret, struct cx_err *err)
{
	free(*ret);
	*ret = strdup(value);
	return *ret != NULL ? 0 : cx_fail(err, ENOMEM, "setting");
}

static int set_default(struct reading *at, const char *value, struct cx_err *err)
{
	return cx_ref_host(value, at->r->home, err);
}

static int set_enabled(struct reading *at, const char *value, struct cx_err *err)
{
	bool enabled = true;
	int r = set_yes(value, &enabled, err);

	at->r->disabled = !enabled;
	return r;
}

static int set_authfile(struct reading *at, const char *value, struct cx_err *err)
{
	struct cx_login unused;

	cx_buf_wipe(&at->r->authfile);
	if (check_path(value, err) < 0 || set_text(value, &at->r->authfile_path, err) < 0 ||
	    read_file(value, SECRET, CX_AUTHFILE_MAX, &at->r->authfile, err) < 0)
		return -err->errnum;
	/* Is it such a file at all? Better asked now than at the first pull. */
	if (cx_authfile_find(&at->r->authfile, "", "", &unused, err) < 0)
		return cx_wrap(err, "'%s'", value);
	return 0;
}

static int set_plain_http(struct reading *at, const char *value, struct cx_err *err)
{
	return set_yes(value, &at->of->plain_http, err);
}

static int set_ca(struct reading *at, const char *value, struct cx_err *err)
{
	cx_buf_free(&at->of->ca);
	if (check_path(value, err) < 0 ||
	    read_file(value, PUBLIC, CX_FETCH_CA_MAX, &at->of->ca, err) < 0)
		return -err->errnum;
	if (strstr(at->of->ca.p, "-----BEGIN CERTIFICATE-----") == NULL)
		return cx_refuse(err, CX_INVALID, "'%s' holds no certificate in PEM form", value);
	return 0;
}

static int set_mirror(struct reading *at, const char *value, struct cx_err *err)
{
	size_t len = strcspn(value, "/");
	struct mirror *mirror = &at->of->mirrors[at->of->nmirrors];
	char name[2 * CX_REF_NAME_MAX];
	struct cx_ref ref;

	if (at->of->nmirrors == CX_MIRRORS_MAX)
		return cx_refuse(err, CX_INVALID, "at most %d mirrors", CX_MIRRORS_MAX);
	if (cx_format(name, sizeof name, "%.*s", err, (int)len, value) < 0 ||
	    cx_ref_host(name, mirror->host, err) < 0)
		return -err->errnum;
	if (strcmp(mirror->host, at->of->host) == 0)
		return cx_refuse(err, CX_INVALID, "a registry is no mirror of itself");
	mirror->prefix[0] = '\0';
	if (value[len] == '/') {
		/* What may stand in front of a repository is what may be one. */
		if (cx_format(name, sizeof name, "localhost%s", err, value + len) < 0 ||
		    strpbrk(value + len, ":@") != NULL || cx_ref_parse(name, NULL, &ref, err) < 0)
			return cx_refuse(err, CX_INVALID, "'%.80s' is not HOST[:PORT][/PATH]",
					 value);
		(void)strcpy(mirror->prefix, ref.repository);
	}
	at->of->nmirrors++;
	return 0;
}

static int set_username(struct reading *at, const char *value, struct cx_err *err)
{
	return set_text(value, &at->of->username, err);
}

static int set_password_file(struct reading *at, const char *value, struct cx_err *err)
{
	CX_AUTO(cx_buf_wipe) struct cx_buf text = { 0 };

	if (check_path(value, err) < 0 ||
	    read_file(value, SECRET, CX_LOGIN_TOKEN_MAX, &text, err) < 0)
		return -err->errnum;
	text.p[strcspn(text.p, "\r\n")] = '\0';
	return set_text(text.p, &at->of->password, err);
}

static const struct {
	const char *key;
	bool general; /* of [registries], else of [registry "HOST"] */
	int (*set)(struct reading *at, const char *value, struct cx_err *err);
} rows[] = {
	{ "default", true, set_default },
	{ "enabled", true, set_enabled },
	{ "authfile", true, set_authfile },
	{ "plain_http", false, set_plain_http },
	{ "ca", false, set_ca },
	{ "mirror", false, set_mirror },
	{ "username", false, set_username },
	{ "password_file", false, set_password_file },
};

static int refuse_key(const struct reading *at, const char *key)
{
	char list[128] = "";

	for (size_t i = 0, used = 0; i < CX_LEN(rows); i++)
		if (rows[i].general == at->general)
			used += (size_t)snprintf(list + used, sizeof list - used, "%s%s",
						 used > 0 ? ", " : "", rows[i].key);
	return cx_refuse(at->err, CX_INVALID, "'%.40s' is no setting; there are %s", key, list);
}

static int take_key(void *user, const char *section, const char *key, const char *value)
{
	struct reading *at = user;

	(void)section; /* always "" */
	if (at->err->errnum != 0)
		return 0; /* only the first error is told */
	if (!at->general && at->of == NULL)
		return cx_refuse(at->err, CX_INVALID, "'%.40s' stands before any section", key), 0;
	for (size_t i = 0; i < CX_LEN(rows); i++)
		if (rows[i].general == at->general && strcmp(rows[i].key, key) == 0) {
			if (rows[i].set(at, value, at->err) < 0)
				(void)cx_wrap(at->err, "%s", key);
			return at->err->errnum == 0;
		}
	return refuse_key(at, key), 0;
}

static const struct registry *find_registry(const struct cx_registries *r, const char *host)
{
	for (unsigned i = 0; i < r->n; i++)
		if (strcmp(r->list[i].host, host) == 0)
			return &r->list[i];
	return NULL;
}

static int open_section(struct reading *at, const char *host, struct cx_err *err)
{
	const struct registry *known;
	char name[CX_REF_NAME_MAX + 1];

	if (cx_ref_host(host, name, err) < 0)
		return -err->errnum;
	known = find_registry(at->r, name);
	if (known != NULL) {
		at->of = &at->r->list[known - at->r->list];
		return 0;
	}
	if (at->r->n == CX_REGISTRIES_MAX)
		return cx_refuse(err, CX_INVALID, "more than %d registries", CX_REGISTRIES_MAX);
	at->of = &at->r->list[at->r->n++];
	(void)strcpy(at->of->host, name);
	return 0;
}

/* [registries] or [registry "HOST"], perhaps with a comment behind. */
static int take_section(struct reading *at, const char *line, struct cx_err *err)
{
	char host[SECTION_MAX];
	int end = 0;

	at->general = false;
	at->of = NULL;
	if (sscanf(line, "[registries]%n", &end), end > 0)
		at->general = true;
	else if (sscanf(line, "[registry \"%511[^\"]\"]%n", host, &end), end > 0) {
		if (open_section(at, host, err) < 0)
			return -err->errnum;
	}
	if (end > 0)
		end += (int)strspn(line + end, " \t\r\n");
	if (end == 0 || (line[end] != '\0' && line[end] != ';' && line[end] != '#'))
		return cx_refuse(err, CX_INVALID,
				 "a section is [registries] or [registry \"HOST[:PORT]\"]");
	return 0;
}

/* For inih, as fgets(3): the next line without what stands in front of it. */
static char *next_line(char *to, int size, void *stream)
{
	struct reading *at = stream;
	const char *newline;
	size_t len;

	if (at->err->errnum != 0 || at->p == at->end)
		return NULL;
	at->line++;
	newline = memchr(at->p, '\n', (size_t)(at->end - at->p));
	len = (size_t)((newline != NULL ? newline + 1 : at->end) - at->p);
	if (len >= (size_t)size || memchr(at->p, '\0', len) != NULL)
		return cx_refuse(at->err, CX_INVALID, "it is longer than %d bytes, or no text",
				 size - 2),
		       NULL;
	memcpy(to, at->p, len);
	to[len] = '\0';
	at->p += len;
	memmove(to, to + strspn(to, " \t"), len + 1 - strspn(to, " \t"));
	if (to[0] == '[') {
		if (take_section(at, to, at->err) < 0)
			return NULL;
		(void)strcpy(to, "\n");
	}
	return to;
}

/* A name and a password that no registry could be told are better refused now. */
static int check_logins(const struct cx_registries *r, struct cx_err *err)
{
	for (unsigned i = 0; i < r->n; i++) {
		const struct registry *reg = &r->list[i];
		CX_AUTO(cx_login_wipe) struct cx_login login = { 0 };

		if (reg->username == NULL && reg->password == NULL)
			continue;
		if (reg->username == NULL || reg->password == NULL)
			return cx_refuse(err, CX_INVALID,
					 "[registry \"%.100s\"]: 'username' and 'password_file' "
					 "belong together",
					 reg->host);
		if (cx_login_set(&login, reg->username, reg->password, err) < 0)
			return cx_wrap(err, "[registry \"%.100s\"]", reg->host);
	}
	return 0;
}

static int read_config(struct cx_registries *r, bool must_exist, struct cx_err *err)
{
	CX_AUTO(cx_buf_free) struct cx_buf text = { 0 };
	struct reading at = { .r = r, .err = err };
	int broken;

	if (!must_exist && access(r->path, F_OK) < 0 && errno == ENOENT)
		return 0;
	if (read_file(r->path, PUBLIC, CONFIG_BYTES_MAX, &text, err) < 0)
		return -err->errnum;
	at.p = text.p;
	at.end = text.p + text.len;
	*err = (struct cx_err){ 0 };
	broken = ini_parse_stream(next_line, &at, take_key, &at);
	if (broken < 0)
		return cx_fail(err, ENOMEM, "read '%s'", r->path);
	if (broken > 0 && err->errnum == 0) {
		at.line = (unsigned)broken;
		(void)cx_refuse(err, CX_INVALID, "it is not 'key = value'");
	}
	if (err->errnum != 0)
		return cx_wrap(err, "'%s', line %u", r->path, at.line);
	return check_logins(r, err) < 0 ? cx_wrap(err, "'%s'", r->path) : 0;
}

/* ---- start and end -------------------------------------------------------------------------- */

static int read_store(struct cx_registries *r, struct cx_err *err)
{
	cx_autofd int fd = openat(r->state_dir, STORE, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	struct cx_login unused;

	if (fd < 0 && errno == ENOENT)
		return 0;
	if (fd < 0)
		return cx_fail(err, errno, "open '" STORE "' of the state directory");
	if (read_fd(fd, CX_AUTHFILE_MAX, &r->store, err) < 0 ||
	    cx_authfile_find(&r->store, "", "", &unused, err) < 0)
		return cx_wrap(err, "'" STORE "' of the state directory, with the logins; remove "
				    "it if it cannot be mended");
	return 0;
}

static void closep(struct cx_registries **r)
{
	cx_registries_close(*r);
}

int cx_registries_open(const char *path, bool must_exist, int state_dir, struct cx_registries **ret,
		       struct cx_err *err)
{
	CX_AUTO(closep) struct cx_registries *r = calloc(1, sizeof *r);

	if (r == NULL || (r->path = strdup(path)) == NULL)
		return cx_fail(err, ENOMEM, "registries");
	(void)strcpy(r->home, CX_REF_DOCKER_HOST);
	r->state_dir = state_dir;
	if (read_config(r, must_exist, err) < 0 || read_store(r, err) < 0)
		return cx_wrap(err, "registries");
	*ret = cx_take_ptr(&r);
	return 0;
}

static void wipe_text(char *text)
{
	if (text != NULL)
		explicit_bzero(text, strlen(text));
	free(text);
}

void cx_registries_close(struct cx_registries *r)
{
	if (r == NULL)
		return;
	for (unsigned i = 0; i < r->n; i++) {
		cx_buf_free(&r->list[i].ca);
		free(r->list[i].username);
		wipe_text(r->list[i].password);
	}
	cx_buf_wipe(&r->authfile);
	cx_buf_wipe(&r->store);
	free(r->authfile_path);
	free(r->path);
	free(r);
}

const char *cx_registries_default(const struct cx_registries *r)
{
	return r->home;
}

bool cx_registries_enabled(const struct cx_registries *r)
{
	return !r->disabled;
}

/* ---- where an image is ---------------------------------------------------------------------- */

static int find_login(const struct cx_registries *r, const struct registry *reg, const char *host,
		      const char *repository, struct cx_login *ret, struct cx_err *err)
{
	int found = cx_authfile_find(&r->store, host, repository, ret, err);

	if (found != 0)
		return found < 0 ? cx_wrap(err, "logins") : 0;
	if (reg != NULL && reg->username != NULL)
		return cx_login_set(ret, reg->username, reg->password, err);
	if (cx_authfile_find(&r->authfile, host, repository, ret, err) < 0)
		return cx_wrap(err, "'%s'", r->authfile_path);
	return 0;
}

static int fill(const struct cx_registries *r, const struct mirror *at, const struct cx_ref *ref,
		const struct cx_login *given, struct cx_endpoint *ret, struct cx_err *err)
{
	static const struct cx_buf none = { 0 };
	const struct registry *reg = find_registry(r, at->host);
	bool docker = strcmp(at->host, CX_REF_DOCKER_HOST) == 0;
	char repository[2 * CX_REF_NAME_MAX + 2];

	/* Docker's registry has another name than the one that images have from it. */
	(void)strcpy(ret->host, docker ? "registry-1.docker.io" : at->host);
	(void)strcpy(ret->prefix, at->prefix);
	(void)snprintf(repository, sizeof repository, "%s%s%s", at->prefix,
		       at->prefix[0] != '\0' ? "/" : "", ref->repository);
	ret->plain_http = reg != NULL && reg->plain_http;
	ret->ca = reg != NULL ? &reg->ca : &none;
	if (given != NULL && given->kind != CX_LOGIN_NONE) {
		ret->login = *given;
		return 0;
	}
	return find_login(r, reg, at->host, repository, &ret->login, err);
}

int cx_registries_find(const struct cx_registries *r, const struct cx_ref *ref,
		       const struct cx_login *given, struct cx_endpoints *ret, struct cx_err *err)
{
	const struct registry *reg = find_registry(r, ref->host);
	unsigned n = reg != NULL ? reg->nmirrors : 0;
	struct mirror self = { 0 };

	*ret = (struct cx_endpoints){ 0 };
	if (r->disabled)
		return cx_refuse(err, CX_DENIED,
				 "no registry may be contacted: '%s' says 'enabled = no'", r->path);
	for (unsigned i = 0; i < n; i++) {
		ret->list[i].mirror = true;
		if (fill(r, &reg->mirrors[i], ref, NULL, &ret->list[i], err) < 0)
			return cx_wrap(err, "mirror '%s' of '%s'", reg->mirrors[i].host, ref->host);
	}
	(void)strcpy(self.host, ref->host);
	if (fill(r, &self, ref, given, &ret->list[n], err) < 0)
		return cx_wrap(err, "registry '%s'", ref->host);
	ret->n = n + 1;
	return 0;
}

static struct cx_str secret_of(const struct cx_login *login, enum cx_login_kind kind)
{
	return cx_str_of(login->kind == kind ? login->secret : "");
}

void cx_endpoints_messages(const struct cx_endpoints *endpoints,
			   struct cx_msg_fetch_endpoint ret[CX_FETCH_ENDPOINTS_MAX])
{
	for (unsigned i = 0; i < endpoints->n; i++) {
		const struct cx_endpoint *e = &endpoints->list[i];
		bool named = e->login.kind == CX_LOGIN_PASSWORD;

		ret[i] = (struct cx_msg_fetch_endpoint){
			.host = cx_str_of(e->host),
			.prefix = cx_str_of(e->prefix),
			.flags = (e->plain_http ? CX_FETCH_PLAIN_HTTP : 0u) |
				 (e->mirror ? CX_FETCH_MIRROR : 0u),
			.ca = { .p = e->ca->p, .len = (uint32_t)e->ca->len },
			.user = cx_str_of(named ? e->login.username : ""),
			.password = secret_of(&e->login, CX_LOGIN_PASSWORD),
			.identity_token = secret_of(&e->login, CX_LOGIN_IDENTITY),
			.registry_token = secret_of(&e->login, CX_LOGIN_REGISTRY),
		};
	}
}

void cx_endpoints_free(struct cx_endpoints **endpoints)
{
	if (*endpoints != NULL)
		explicit_bzero(*endpoints, sizeof **endpoints);
	free(*endpoints);
	*endpoints = NULL;
}

/* ---- logins --------------------------------------------------------------------------------- */

static int change(struct cx_registries *r, const char *host, const struct cx_login *login,
		  struct cx_err *err)
{
	CX_AUTO(cx_buf_wipe) struct cx_buf text = { .max = CX_AUTHFILE_MAX };
	int had = cx_authfile_change(&r->store, host, login, &text, err);

	if (had < 0)
		return cx_wrap(err, "logins");
	if (had == 0 && login == NULL)
		return cx_refuse(err, CX_NOT_FOUND, "there is no login for '%s'", host);
	if (cx_statefile_save(r->state_dir, STORE, text.p, text.len, err) < 0)
		return cx_wrap(err, "logins");
	cx_buf_wipe(&r->store);
	r->store = text;
	text = (struct cx_buf){ 0 };
	return 0;
}

int cx_registries_login(struct cx_registries *r, const char *host, const struct cx_login *login,
			struct cx_err *err)
{
	return change(r, host, login, err);
}

int cx_registries_logout(struct cx_registries *r, const char *host, struct cx_err *err)
{
	return change(r, host, NULL, err);
}

int cx_registries_each(const struct cx_registries *r,
		       int (*each)(const char *host, const char *username, void *arg,
				   struct cx_err *err),
		       void *arg, struct cx_err *err)
{
	return cx_authfile_each(&r->store, each, arg, err);
}
