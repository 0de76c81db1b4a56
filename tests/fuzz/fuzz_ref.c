/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Names of images and of registries; the first byte chooses the default registry. A name that is
 * taken is within its bounds, made of harmless bytes, and both of its spellings mean the same.
 */
#include "image/ref.h"
#include "tests/fuzz/input.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char *const words[] = {
	"docker.io/",
	"index.docker.io/",
	"library/",
	"localhost",
	"[::1]",
	":5000/",
	"://",
	"@sha256:",
	":latest",
	"__",
	"--",
	"..",
	"/",
	"127.0.0.1",
	"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
};

static void look_at(const char *text, const char *home, const struct cx_ref *ref)
{
	static const char bytes[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
				    "0123456789._-/:@[]";
	struct cx_ref again = { 0 };
	struct cx_err err;

	if (strlen(text) > CX_REF_MAX || strspn(text, bytes) != strlen(text) || text[0] == '/')
		abort();
	if (cx_ref_parse(text, home, &again, &err) < 0 || strcmp(ref->host, again.host) != 0 ||
	    strcmp(ref->repository, again.repository) != 0 || strcmp(ref->tag, again.tag) != 0 ||
	    ref->has_digest != again.has_digest || memcmp(ref->digest, again.digest, 32) != 0)
		abort();
}

static void try_name(const char *text, const char *home)
{
	char full[CX_REF_MAX + 1], brief[CX_REF_MAX + 1];
	struct cx_ref ref = { 0 };
	struct cx_err err;

	if (cx_ref_parse(text, home, &ref, &err) < 0) {
		if (err.kind != CX_INVALID)
			abort();
		return;
	}
	if (strlen(ref.host) + 1 + strlen(ref.repository) > CX_REF_NAME_MAX ||
	    strstr(ref.host, "..") != NULL || strstr(ref.repository, "..") != NULL ||
	    (ref.tag[0] == '\0' && !ref.has_digest))
		abort();
	cx_ref_full(&ref, full);
	cx_ref_short(&ref, home, brief);
	look_at(full, home, &ref);
	look_at(brief, home, &ref);
}

static void try_host(const char *text)
{
	char host[CX_REF_NAME_MAX + 1], again[CX_REF_NAME_MAX + 1], name[CX_REF_NAME_MAX + 3];
	struct cx_ref ref;
	struct cx_err err;

	if (cx_ref_host(text, host, &err) < 0)
		return;
	if (cx_ref_host(host, again, &err) < 0 || strcmp(host, again) != 0)
		abort();
	if (strlen(host) + strlen("/library/a") > CX_REF_NAME_MAX)
		return;
	memcpy(name, host, strlen(host));
	memcpy(name + strlen(host), "/a", 3);
	if (cx_ref_parse(name, NULL, &ref, &err) < 0 || strcmp(ref.host, host) != 0)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static char text[4096];
	struct input in = { data, size };
	const char *home = take_byte(&in) % 2 == 0 ? NULL : "localhost:5000";
	size_t len = expand(in.p, in.left, words, CX_LEN(words), text, sizeof text - 1);

	text[len] = '\0';
	try_name(text, home);
	try_host(text);
	return 0;
}
