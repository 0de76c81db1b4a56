/* SPDX-License-Identifier: Apache-2.0 */
#include "image/authfile.h"

#include <jansson.h>
#include <string.h>

#include "base/base64.h"
#include "base/jsonload.h"
#include "base/str.h"
#include "image/ref.h"

#define TOKEN_USER "<token>"

/* "USER:PASSWORD" and what some writers leave behind it. */
enum { PAIR_MAX = CX_LOGIN_NAME_MAX + 1 + CX_LOGIN_PASSWORD_MAX + 1 };

struct pair {
	char text[PAIR_MAX + 1];
};

static void pair_wipe(struct pair *pair)
{
	explicit_bzero(pair, sizeof *pair);
}

void cx_login_wipe(struct cx_login *login)
{
	explicit_bzero(login, sizeof *login);
}

/* ---- one registry's ------------------------------------------------------------------------- */

static bool is_username(const char *text)
{
	for (; *text != '\0'; text++)
		if ((unsigned char)*text < 0x20 || *text == 0x7f || *text == ':')
			return false;
	return true;
}

static int set_token(struct cx_login *ret, enum cx_login_kind kind, const char *token,
		     struct cx_err *err)
{
	if (strlen(token) > CX_LOGIN_TOKEN_MAX)
		return cx_refuse(err, CX_INVALID, "the token is longer than %d bytes",
				 CX_LOGIN_TOKEN_MAX);
	ret->kind = kind;
	(void)strcpy(ret->username, TOKEN_USER);
	(void)strcpy(ret->secret, token);
	return 0;
}

int cx_login_set(struct cx_login *ret, const char *username, const char *password,
		 struct cx_err *err)
{
	if (username[0] == '\0' || password[0] == '\0')
		return cx_refuse(err, CX_INVALID,
				 "a user's name and a password are wanted, not only one of them");
	if (strcmp(username, TOKEN_USER) == 0)
		return set_token(ret, CX_LOGIN_IDENTITY, password, err);
	if (strlen(username) > CX_LOGIN_NAME_MAX || strlen(password) > CX_LOGIN_PASSWORD_MAX)
		return cx_refuse(err, CX_INVALID, "a user's name may have %d bytes, a password %d",
				 CX_LOGIN_NAME_MAX, CX_LOGIN_PASSWORD_MAX);
	if (!is_username(username))
		return cx_refuse(err, CX_INVALID,
				 "a user's name must not hold ':' or control characters");
	ret->kind = CX_LOGIN_PASSWORD;
	(void)strcpy(ret->username, username);
	(void)strcpy(ret->secret, password);
	return 0;
}

static int decode_auth(const char *auth, struct cx_login *ret, struct cx_err *err)
{
	CX_AUTO(pair_wipe) struct pair pair = { 0 };
	ptrdiff_t len = cx_base64_decode(auth, pair.text, PAIR_MAX);
	char *colon = len < 0 ? NULL : memchr(pair.text, ':', (size_t)len);

	if (colon == NULL)
		return cx_refuse(err, CX_INVALID, "\"auth\" is not base 64 of USER:PASSWORD");
	*colon = '\0';
	return cx_login_set(ret, pair.text, colon + 1, err);
}

static int text_of(const json_t *object, const char *key, const char **ret, struct cx_err *err)
{
	const json_t *value = json_object_get(object, key);

	*ret = "";
	if (value == NULL || json_is_null(value))
		return 0;
	if (!json_is_string(value))
		return cx_refuse(err, CX_INVALID, "\"%s\" is not a string", key);
	*ret = json_string_value(value);
	return 0;
}

/* Returns 1; 0 when the entry only says that there is a login elsewhere. */
static int read_entry(const json_t *entry, struct cx_login *ret, struct cx_err *err)
{
	const char *auth, *identity, *registry, *username, *password;
	int r = 0;

	if (!json_is_object(entry))
		return cx_refuse(err, CX_INVALID, "it is not an object");
	if (text_of(entry, "auth", &auth, err) < 0 ||
	    text_of(entry, "identitytoken", &identity, err) < 0 ||
	    text_of(entry, "registrytoken", &registry, err) < 0 ||
	    text_of(entry, "username", &username, err) < 0 ||
	    text_of(entry, "password", &password, err) < 0)
		return -err->errnum;
	if (registry[0] != '\0')
		r = set_token(ret, CX_LOGIN_REGISTRY, registry, err);
	else if (identity[0] != '\0')
		r = set_token(ret, CX_LOGIN_IDENTITY, identity, err);
	else if (auth[0] != '\0')
		r = decode_auth(auth, ret, err);
	else if (username[0] != '\0' || password[0] != '\0')
		r = cx_login_set(ret, username, password, err);
	else
		return 0;
	return r < 0 ? r : 1;
}

/* ---- keys ----------------------------------------------------------------------------------- */

struct key {
	char host[CX_REF_NAME_MAX + 1];
	const char *path; /* "" for the whole registry; without '/' at its ends */
	size_t path_len;
	bool url;
};

/* Returns false for a key that is none of a registry: it is nobody's. */
static bool read_key(const char *text, struct key *ret)
{
	const char *scheme = strstr(text, "://"), *begin = scheme != NULL ? scheme + 3 : text;
	size_t len = strcspn(begin, "/");
	char host[CX_REF_NAME_MAX + 1];
	struct cx_err err;

	if (len > CX_REF_NAME_MAX)
		return false;
	memcpy(host, begin, len);
	host[len] = '\0';
	if (cx_ref_host(host, ret->host, &err) < 0)
		return false;
	if (strcmp(ret->host, "registry-1.docker.io") == 0)
		(void)strcpy(ret->host, CX_REF_DOCKER_HOST);
	ret->url = scheme != NULL;
	ret->path = begin + len + (begin[len] == '/');
	ret->path_len = strlen(ret->path);
	while (ret->path_len > 0 && ret->path[ret->path_len - 1] == '/')
		ret->path_len--;
	/* The path of a URL, or of one that lost its scheme, is the API's and not a repository's.
	 */
	if (ret->url || (ret->path_len == 2 && (ret->path[1] == '1' || ret->path[1] == '2') &&
			 ret->path[0] == 'v'))
		ret->path_len = 0;
	return true;
}

/* How well an entry fits, 0: not at all. A longer path fits better, a plain host than a URL. */
static size_t fitness(const char *text, const char *host, const char *repository)
{
	struct key key = { 0 };

	if (!read_key(text, &key) || strcmp(key.host, host) != 0)
		return 0;
	if (key.path_len == 0)
		return key.url ? 1 : 2;
	if (strncmp(repository, key.path, key.path_len) != 0 ||
	    (repository[key.path_len] != '\0' && repository[key.path_len] != '/'))
		return 0;
	return 2 + key.path_len;
}

/* ---- files ---------------------------------------------------------------------------------- */

static int load(const struct cx_buf *file, json_t **ret, struct cx_err *err)
{
	json_error_t why;
	json_t *doc = file->len == 0
			      ? json_object()
			      : cx_json_load(file->p, file->len, JSON_REJECT_DUPLICATES, &why);

	if (doc == NULL && (file->len == 0 || json_error_code(&why) == json_error_out_of_memory))
		return cx_fail(err, ENOMEM, "credentials");
	if (doc == NULL) /* not jansson's words: they quote what stands there */
		return cx_refuse(err, CX_INVALID, "line %d: it is not JSON", why.line);
	*ret = doc;
	if (!json_is_object(doc))
		return cx_refuse(err, CX_INVALID, "it is not an object");
	return 0;
}

static int auths_of(const json_t *doc, json_t **ret, struct cx_err *err)
{
	*ret = json_object_get(doc, "auths");
	if (*ret == NULL || json_is_object(*ret))
		return 0;
	return cx_refuse(err, CX_INVALID, "\"auths\" is not an object");
}

/* The program that keeps this registry's password, or NULL. */
static const char *helper_of(const json_t *doc, const char *host, bool has_entry)
{
	json_t *value, *helpers = json_object_get(doc, "credHelpers");
	const char *key;

	json_object_foreach(helpers, key, value)
	{
		if (fitness(key, host, "") > 0 && json_string_length(value) > 0)
			return json_string_value(value);
	}
	value = json_object_get(doc, "credsStore");
	return has_entry && json_string_length(value) > 0 ? json_string_value(value) : NULL;
}

static int find(const json_t *doc, const char *host, const char *repository, struct cx_login *ret,
		struct cx_err *err)
{
	const char *key, *best_key = NULL, *helper;
	json_t *entry, *best = NULL, *auths;
	size_t fit = 0, n;
	int r = 0;

	if (auths_of(doc, &auths, err) < 0)
		return -err->errnum;
	json_object_foreach(auths, key, entry)
	{
		n = fitness(key, host, repository);
		if (n > fit) {
			fit = n;
			best = entry;
			best_key = key;
		}
	}
	if (best != NULL)
		r = read_entry(best, ret, err);
	if (r < 0)
		return cx_wrap(err, "\"auths\", \"%.100s\"", best_key);
	helper = r == 0 ? helper_of(doc, host, best != NULL) : NULL;
	if (helper != NULL)
		return cx_refuse(
			err, CX_DENIED,
			"the password for %.100s is kept by docker-credential-%.40s, which "
			"is not run from here; use 'caisson image login %.100s'",
			host, helper, host);
	return r;
}

int cx_authfile_find(const struct cx_buf *file, const char *host, const char *repository,
		     struct cx_login *ret, struct cx_err *err)
{
	CX_AUTO(cx_login_wipe) struct cx_login login = { 0 };
	CX_AUTO(json_decrefp) json_t *doc = NULL;
	int r;

	if (load(file, &doc, err) < 0)
		return -err->errnum;
	r = find(doc, host, repository, &login, err);
	if (r > 0)
		*ret = login;
	return r;
}

int cx_authfile_each(const struct cx_buf *file,
		     int (*each)(const char *host, const char *username, void *arg,
				 struct cx_err *err),
		     void *arg, struct cx_err *err)
{
	CX_AUTO(cx_login_wipe) struct cx_login login = { 0 };
	CX_AUTO(json_decrefp) json_t *doc = NULL;
	json_t *auths, *entry;
	struct key at = { 0 };
	const char *key;

	if (load(file, &doc, err) < 0 || auths_of(doc, &auths, err) < 0)
		return -err->errnum;
	json_object_foreach(auths, key, entry)
	{
		if (!read_key(key, &at) || at.path_len > 0)
			continue;
		switch (read_entry(entry, &login, err)) {
		case 0:
			continue;
		case 1:
			if (each(at.host, login.username, arg, err) < 0)
				return -err->errnum;
			continue;
		default:
			return cx_wrap(err, "\"auths\", \"%.100s\"", key);
		}
	}
	return 0;
}

/* ---- changes -------------------------------------------------------------------------------- */

static json_t *new_entry(const struct cx_login *login)
{
	CX_AUTO(pair_wipe) struct pair pair = { 0 };
	char text[CX_BASE64_SIZE(PAIR_MAX)];
	json_t *entry;
	struct cx_err err;
	int len;

	if (login->kind != CX_LOGIN_PASSWORD)
		return json_pack("{s:s}",
				 login->kind == CX_LOGIN_IDENTITY ? "identitytoken"
								  : "registrytoken",
				 login->secret);
	len = cx_format(pair.text, sizeof pair.text, "%s:%s", &err, login->username, login->secret);
	if (len < 0)
		return NULL;
	cx_base64_encode(pair.text, (size_t)len, text);
	entry = json_pack("{s:s}", "auth", text);
	explicit_bzero(text, sizeof text);
	return entry;
}

static int remove_host(json_t *auths, const char *host)
{
	json_t *entry;
	const char *key;
	void *next;
	int removed = 0;

	json_object_foreach_safe(auths, next, key, entry)
	{
		if (fitness(key, host, "") > 0) {
			(void)json_object_del(auths, key);
			removed = 1;
		}
	}
	return removed;
}

static int dump(const json_t *doc, struct cx_buf *ret, struct cx_err *err)
{
	char *text = json_dumps(doc, JSON_INDENT(1));
	int r;

	if (text == NULL)
		return cx_fail(err, ENOMEM, "credentials");
	r = cx_buf_add(ret, text, strlen(text), err);
	explicit_bzero(text, strlen(text));
	free(text);
	return r;
}

int cx_authfile_change(const struct cx_buf *file, const char *host, const struct cx_login *login,
		       struct cx_buf *ret, struct cx_err *err)
{
	CX_AUTO(json_decrefp) json_t *doc = NULL;
	json_t *auths;
	int removed;

	if (load(file, &doc, err) < 0 || auths_of(doc, &auths, err) < 0)
		return -err->errnum;
	if (auths == NULL) {
		auths = json_object();
		if (json_object_set_new(doc, "auths", auths) < 0)
			return cx_fail(err, ENOMEM, "credentials");
	}
	removed = remove_host(auths, host);
	if (login != NULL && json_object_set_new(auths, host, new_entry(login)) < 0)
		return cx_fail(err, ENOMEM, "credentials");
	return dump(doc, ret, err) < 0 ? -err->errnum : removed;
}
