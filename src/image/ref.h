/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CX_IMAGE_REF_H
#define CX_IMAGE_REF_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

/*
 * Names of images, as Docker understands them. The grammar is that of github.com/distribution/
 * reference (reference.go), names that leave something out are completed as its normalize.go does:
 *
 *	reference := name [":" tag] ["@" digest]	at most 456 bytes
 *	name      := [host [":" port] "/"] path		at most 255 bytes
 *	host      := domain name, IPv4 address or "[" IPv6 address "]"
 *	path      := component {"/" component}
 *	component := alnum {separator alnum}		alnum: one or more of a-z 0-9
 *	separator := "." | "_" | "__" | "-" {"-"}
 *	tag       := [A-Za-z0-9_] {[A-Za-z0-9_.-]}	at most 128 bytes
 *	digest    := "sha256:" and 64 of 0-9 a-f
 *
 * The first component is a host if it holds '.' or ':' or is "localhost". Without one the name
 * belongs to the default registry. On docker.io a path of one component means "library/" and it.
 * Without tag and digest the tag is "latest".
 *
 * Narrower than Docker: a host is always written in lower case here (it has one spelling, and an
 * upper-case first component without '.' or ':' is refused), other digests than sha256 are not
 * taken.
 */
#define CX_REF_DOCKER_HOST "docker.io"

enum {
	CX_REF_NAME_MAX = 255, /* bytes: host, '/' and path */
	CX_REF_TAG_MAX = 128,
	CX_REF_DIGEST_LEN = 7 + 64,
	CX_REF_MAX = CX_REF_NAME_MAX + 1 + CX_REF_TAG_MAX + 1 + CX_REF_DIGEST_LEN,
};

struct cx_ref {
	char host[CX_REF_NAME_MAX + 1];	      /* "docker.io", "localhost:5000" */
	char repository[CX_REF_NAME_MAX + 1]; /* "library/python" */
	char tag[CX_REF_TAG_MAX + 1];	      /* "": only a digest was given */
	bool has_digest;
	uint8_t digest[32]; /* when has_digest; it wins over the tag */
};

/*
 * Takes a name apart. default_host is the registry of names without a host, as cx_ref_host() writes
 * it; NULL is docker.io. CX_INVALID tells what is wrong and what to write.
 */
CX_MUST int cx_ref_parse(const char *text, const char *default_host, struct cx_ref *ret,
			 struct cx_err *err);

/* The whole name: "docker.io/library/python:3.11-slim". */
void cx_ref_full(const struct cx_ref *ref, char ret[CX_REF_MAX + 1]);

/*
 * The shortest name that cx_ref_parse() understands as this one, under which an image is kept:
 * "python:3.11-slim". The tag always stands there unless there is only a digest.
 */
void cx_ref_short(const struct cx_ref *ref, const char *default_host, char ret[CX_REF_MAX + 1]);

/* A digest as text: "sha256:" and its digits. */
void cx_ref_digest(const uint8_t id[32], char ret[CX_REF_DIGEST_LEN + 1]);

/*
 * A registry alone, "HOST[:PORT]", in its one spelling: lower case, "docker.io" for
 * "index.docker.io". It must be one that a name of an image can begin with.
 */
CX_MUST int cx_ref_host(const char *text, char ret[CX_REF_NAME_MAX + 1], struct cx_err *err);

#endif
