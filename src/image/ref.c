/* SPDX-License-Identifier: Apache-2.0 */
#include "image/ref.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#include "base/str.h"

#define LIBRARY "library/"

/* Bytes of the text that is taken apart. */
struct span {
	const char *p; /* NULL: not there */
	size_t len;
};

#define SPAN(s) (int)(s).len, (s).p /* of %.*s; lengths are checked first of all */

static bool is(struct span s, const char *text)
{
	return s.len == strlen(text) && memcmp(s.p, text, s.len) == 0;
}

static bool has(struct span s, char c)
{
	return memchr(s.p, c, s.len) != NULL;
}

static bool is_small(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

static bool is_big(char c)
{
	return c >= 'A' && c <= 'Z';
}

static bool has_big(struct span s)
{
	for (size_t i = 0; i < s.len; i++)
		if (is_big(s.p[i]))
			return true;
	return false;
}

static char small_of(char c)
{
	return is_big(c) ? (char)(c - 'A' + 'a') : c;
}

static void copy_small(char *ret, struct span s)
{
	for (size_t i = 0; i < s.len; i++)
		*ret++ = small_of(s.p[i]);
	*ret = '\0';
}

/* ---- host ----------------------------------------------------------------------------------- */

/* Is this first component of a name a host, or does the name belong to the default registry? */
static bool is_host(struct span first)
{
	return has(first, '.') || has(first, ':') || is(first, "localhost");
}

static bool is_port(struct span s)
{
	unsigned port = 0;

	if (s.len == 0 || s.len > 5)
		return false;
	for (size_t i = 0; i < s.len; i++) {
		if (s.p[i] < '0' || s.p[i] > '9')
			return false;
		port = port * 10 + (unsigned)(s.p[i] - '0');
	}
	return port >= 1 && port <= 65535;
}

static bool is_ipv6(struct span s)
{
	char text[INET6_ADDRSTRLEN];
	struct in6_addr addr;

	if (s.len >= sizeof text)
		return false;
	memcpy(text, s.p, s.len);
	text[s.len] = '\0';
	return inet_pton(AF_INET6, text, &addr) == 1;
}

/* Components of letters, digits and inner '-', with one '.' between them. */
static bool is_domain(struct span s)
{
	for (size_t i = 0; i < s.len; i++) {
		bool edge = i == 0 || i + 1 == s.len || s.p[i - 1] == '.' || s.p[i + 1] == '.';

		if (!is_small(s.p[i]) && !is_big(s.p[i]) &&
		    (edge || (s.p[i] != '-' && s.p[i] != '.')))
			return false;
	}
	return s.len > 0;
}

static bool is_host_and_port(struct span s)
{
	const char *end = s.p + s.len, *bracket = memchr(s.p, ']', s.len), *colon;
	struct span host = s;

	colon = bracket != NULL ? bracket + 1 : memchr(s.p, ':', s.len);
	if (colon != NULL && colon < end) {
		if (*colon != ':' ||
		    !is_port((struct span){ colon + 1, (size_t)(end - colon - 1) }))
			return false;
		host.len = (size_t)(colon - s.p);
	}
	if (bracket == NULL)
		return is_domain(host);
	return host.p[0] == '[' && is_ipv6((struct span){ host.p + 1, host.len - 2 });
}

static int take_host(struct span s, char ret[CX_REF_NAME_MAX + 1], struct cx_err *err)
{
	if (!is_host_and_port(s))
		return cx_refuse(err, CX_INVALID, "'%.*s' is not HOST or HOST:PORT", SPAN(s));
	copy_small(ret, s);
	if (strcmp(ret, "index.docker.io") == 0)
		(void)strcpy(ret, CX_REF_DOCKER_HOST);
	return 0;
}

int cx_ref_host(const char *text, char ret[CX_REF_NAME_MAX + 1], struct cx_err *err)
{
	struct span s = { text, strlen(text) };

	if (s.len == 0)
		return cx_refuse(err, CX_INVALID, "the registry's name is empty");
	if (s.len >= CX_REF_NAME_MAX)
		return cx_refuse(err, CX_INVALID, "a registry's name of %zu bytes is too long",
				 s.len);
	if (strstr(text, "://") != NULL || has(s, '/'))
		return cx_refuse(err, CX_INVALID,
				 "'%s': write the registry as HOST or HOST:PORT, without scheme "
				 "and path",
				 text);
	if (take_host(s, ret, err) < 0)
		return -err->errnum;
	if (!is_host((struct span){ ret, s.len }))
		return cx_refuse(err, CX_INVALID,
				 "'%s' could be the first part of a path; write it with its port, "
				 "as %s:443",
				 text, ret);
	return 0;
}

/* ---- path, tag, digest ---------------------------------------------------------------------- */

/* How many bytes at p separate two runs of letters and digits; 0: these do not. */
static size_t separator(const char *p, size_t len)
{
	size_t n = 1;

	while (n < len && p[n] == p[0])
		n++;
	switch (p[0]) {
	case '.':
		return n == 1 ? n : 0;
	case '_':
		return n <= 2 ? n : 0;
	case '-':
		return n;
	default:
		return 0;
	}
}

static bool is_component(struct span s)
{
	for (size_t i = 0, run;; i += separator(s.p + i, s.len - i)) {
		for (run = i; i < s.len && is_small(s.p[i]); i++)
			;
		if (i == run || i == s.len)
			return i > run;
	}
}

static bool is_path(struct span s)
{
	const char *end = s.p + s.len;

	for (const char *p = s.p, *slash; p <= end; p = slash + 1) {
		slash = memchr(p, '/', (size_t)(end - p));
		slash = slash != NULL ? slash : end;
		if (!is_component((struct span){ p, (size_t)(slash - p) }))
			return false;
	}
	return true;
}

/* What "docker ps" and its like show: nobody could tell whether it is a name. */
static bool is_id(struct span s)
{
	for (size_t i = 0; i < s.len; i++)
		if (!is_small(s.p[i]) || s.p[i] > 'f')
			return false;
	return s.len == 64;
}

static int take_path(struct span s, struct cx_ref *ref, struct cx_err *err)
{
	bool docker = strcmp(ref->host, CX_REF_DOCKER_HOST) == 0;
	const char *library = docker && !has(s, '/') ? LIBRARY : "";
	char lower[CX_REF_NAME_MAX + 1];

	if (has_big(s)) {
		copy_small(lower, s);
		return cx_refuse(err, CX_INVALID, "it must be lower case: write '%.128s'", lower);
	}
	if (!is_path(s))
		return cx_refuse(err, CX_INVALID,
				 "'%.*s' must be words of a-z and 0-9 with '/' or one of . _ __ - "
				 "between them",
				 s.len > 128 ? 128 : (int)s.len, s.p);
	if (strlen(ref->host) + 1 + strlen(library) + s.len > CX_REF_NAME_MAX)
		return cx_refuse(err, CX_INVALID, "the whole name is longer than %d bytes",
				 CX_REF_NAME_MAX);
	(void)snprintf(ref->repository, sizeof ref->repository, "%s%.*s", library, SPAN(s));
	return 0;
}

static int take_tag(struct span s, bool has_digest, struct cx_ref *ref, struct cx_err *err)
{
	bool good = s.len > 0 && s.len <= CX_REF_TAG_MAX && s.p[0] != '.' && s.p[0] != '-';

	if (s.p == NULL) {
		(void)strcpy(ref->tag, has_digest ? "" : "latest");
		return 0;
	}
	for (size_t i = 0; i < s.len; i++)
		good = good && (is_small(s.p[i]) || is_big(s.p[i]) || s.p[i] == '_' ||
				s.p[i] == '.' || s.p[i] == '-');
	if (!good)
		return cx_refuse(err, CX_INVALID,
				 "the tag must be 1 to %d of a-z A-Z 0-9 _ . - and must not begin "
				 "with . or -",
				 CX_REF_TAG_MAX);
	(void)snprintf(ref->tag, sizeof ref->tag, "%.*s", SPAN(s));
	return 0;
}

static int take_digest(struct span s, struct cx_ref *ref, struct cx_err *err)
{
	static const char prefix[] = "sha256:";

	if (s.p == NULL)
		return 0;
	if (strncmp(s.p, prefix, sizeof prefix - 1) != 0 ||
	    !cx_from_hex(s.p + sizeof prefix - 1, ref->digest, sizeof ref->digest))
		return cx_refuse(err, CX_INVALID,
				 "the digest after '@' must be sha256: and 64 of 0-9 a-f");
	ref->has_digest = true;
	return 0;
}

/* ---- a whole name --------------------------------------------------------------------------- */

struct parts {
	struct span name, host, path, tag, digest;
};

/* Cuts at the last '@' after the last ':' after the last '/', whatever stands between. */
static struct parts split(const char *text)
{
	const char *at = strchr(text, '@'), *end = at != NULL ? at : text + strlen(text);
	const char *slash = memrchr(text, '/', (size_t)(end - text));
	const char *last = slash != NULL ? slash + 1 : text;
	const char *colon = memchr(last, ':', (size_t)(end - last));
	struct parts parts = { .name = { text, (size_t)((colon != NULL ? colon : end) - text) } };
	const char *first_slash = memchr(text, '/', parts.name.len);
	size_t first = first_slash != NULL ? (size_t)(first_slash - text) : 0;

	if (at != NULL)
		parts.digest = (struct span){ at + 1, strlen(at + 1) };
	if (colon != NULL)
		parts.tag = (struct span){ colon + 1, (size_t)(end - colon - 1) };
	parts.path = parts.name;
	if (first > 0 && is_host((struct span){ text, first })) {
		parts.host = (struct span){ text, first };
		parts.path = (struct span){ first_slash + 1, parts.name.len - first - 1 };
	}
	return parts;
}

static int check_text(const char *text, const struct parts *parts, struct cx_err *err)
{
	const char *scheme = strstr(text, "://");

	if (text[0] == '\0')
		return cx_refuse(err, CX_INVALID, "it is empty; write one like python:3.11-slim");
	if (scheme != NULL)
		return cx_refuse(err, CX_INVALID, "write it without scheme: '%.128s'", scheme + 3);
	if (parts->name.len > CX_REF_NAME_MAX)
		return cx_refuse(err, CX_INVALID, "it is longer than %d bytes", CX_REF_NAME_MAX);
	if (parts->host.p == NULL && is_id(parts->path))
		return cx_refuse(err, CX_INVALID, "64 hexadecimal digits are an image's id");
	return 0;
}

static int take_parts(const char *text, const char *default_host, struct cx_ref *ref,
		      struct cx_err *err)
{
	struct parts parts = split(text);

	if (check_text(text, &parts, err) < 0)
		return -err->errnum;
	if (parts.host.p != NULL && take_host(parts.host, ref->host, err) < 0)
		return -err->errnum;
	if (parts.host.p == NULL)
		(void)snprintf(ref->host, sizeof ref->host, "%s",
			       default_host != NULL ? default_host : CX_REF_DOCKER_HOST);
	if (take_path(parts.path, ref, err) < 0 ||
	    take_tag(parts.tag, parts.digest.p != NULL, ref, err) < 0)
		return -err->errnum;
	return take_digest(parts.digest, ref, err);
}

int cx_ref_parse(const char *text, const char *default_host, struct cx_ref *ret, struct cx_err *err)
{
	struct cx_ref ref = { 0 };

	if (take_parts(text, default_host, &ref, err) < 0)
		return cx_wrap(err, "'%.128s' is no image name", text);
	*ret = ref;
	return 0;
}

void cx_ref_digest(const uint8_t id[32], char ret[CX_REF_DIGEST_LEN + 1])
{
	(void)strcpy(ret, "sha256:");
	cx_to_hex(id, 32, ret + strlen(ret));
}

static void render(const struct cx_ref *ref, const char *host, const char *path,
		   char ret[CX_REF_MAX + 1])
{
	char digest[65] = "";

	if (ref->has_digest)
		cx_to_hex(ref->digest, sizeof ref->digest, digest);
	(void)snprintf(ret, CX_REF_MAX + 1, "%s%s%s%s%s%s%s", host, host[0] != '\0' ? "/" : "",
		       path, ref->tag[0] != '\0' ? ":" : "", ref->tag,
		       ref->has_digest ? "@sha256:" : "", digest);
}

void cx_ref_full(const struct cx_ref *ref, char ret[CX_REF_MAX + 1])
{
	render(ref, ref->host, ref->repository, ret);
}

void cx_ref_short(const struct cx_ref *ref, const char *default_host, char ret[CX_REF_MAX + 1])
{
	const char *home = default_host != NULL ? default_host : CX_REF_DOCKER_HOST;
	const char *path = ref->repository, *slash = strchr(path, '/');
	const char *host = strcmp(ref->host, home) == 0 ? "" : ref->host;

	if (strcmp(ref->host, CX_REF_DOCKER_HOST) == 0 &&
	    strncmp(path, LIBRARY, strlen(LIBRARY)) == 0 && strchr(slash + 1, '/') == NULL)
		path += strlen(LIBRARY);
	else if (slash != NULL && is_host((struct span){ path, (size_t)(slash - path) }))
		host = ref->host; /* docker.io/localhost/x: without its host it had another one */
	if (host[0] == '\0' && is_id((struct span){ path, strlen(path) }))
		host = ref->host;
	render(ref, host, path, ret);
}
