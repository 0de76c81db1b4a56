/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CX_PROTO_FETCH_MSGS_H
#define CX_PROTO_FETCH_MSGS_H

#include "proto/msg.h"

/*
 * Between the gateway and caisson-fetch, the one worker with a network: it moves bytes between one
 * registry, with its mirrors, and the descriptors that it is given. It is a program of its own
 * (src/cmd/fetch.c) without arguments, so that no worker that takes an archive apart links libcurl.
 * Its standard input is the SOCK_SEQPACKET socket of this protocol; it ends when that closes.
 *
 * First the gateway says where: one fetch_endpoint each, mirrors in the order to be tried, the
 * registry itself last (the one without CX_FETCH_MIRROR). Then it asks, any number of requests up
 * to CX_FETCH_REQUESTS_MAX at once, each with a number of its own that is not 0; CX_FETCH_PARALLEL
 * are worked on at a time, oldest first, the others wait. Descriptors travel with the request and
 * are the worker's from then on: files are regular, a pipe is its write end.
 *
 * Each request gets exactly one fetch_got or fetch_failed with its number, and before that any
 * number of fetch_progress, at most five a second. fetch_failed with number 0 says why the worker
 * gives up altogether: what it was sent broke this protocol. fetch_cancel has the number of the
 * request that is to end now; its answer is fetch_failed with CX_FETCH_CANCELLED, unless another
 * one was on its way already.
 *
 * The worker parses what any server on the network says, so the gateway believes nothing of it: a
 * digest that it reports is no proof of what is in the file.
 */
enum {
	CX_FETCH_ENDPOINTS_MAX = 8,
	CX_FETCH_REQUESTS_MAX = 160,
	CX_FETCH_PARALLEL = 4,
	CX_FETCH_MANIFEST_MAX = 4 << 20, /* bytes */
	CX_FETCH_CA_MAX = 128 << 10,
	CX_FETCH_SECRET_MAX = 16384,
	CX_FETCH_REPOSITORY_MAX = 255,
	CX_FETCH_REFERENCE_MAX = 128, /* a tag, or "sha256:" and 64 digits */
	CX_FETCH_TYPE_MAX = 127,
};

#define CX_FETCH_MSGS(M)                                                                    \
	M(0x10, fetch_endpoint, CX_FIELDS_FETCH_ENDPOINT) /* no answer */                   \
	M(0x11, fetch_login, CX_FIELDS_FETCH_NONE)	  /* only checks the credentials */ \
	M(0x12, fetch_manifest, CX_FIELDS_FETCH_MANIFEST) /* fd: an empty file */           \
	M(0x13, fetch_blob, CX_FIELDS_FETCH_BLOB)	  /* fds: file; perhaps a pipe */   \
	M(0x14, fetch_put_blob, CX_FIELDS_FETCH_PUT_BLOB) /* fd: file */                    \
	M(0x15, fetch_put_manifest, CX_FIELDS_FETCH_PUT_MANIFEST) /* fd: file */            \
	M(0x16, fetch_cancel, CX_FIELDS_FETCH_NONE)                                         \
	M(0x20, fetch_progress, CX_FIELDS_FETCH_PROGRESS)                                   \
	M(0x21, fetch_got, CX_FIELDS_FETCH_GOT)                                             \
	M(0x22, fetch_failed, CX_FIELDS_FETCH_FAILED)

#define CX_FIELDS_FETCH_NONE(F)
/*
 * At most one kind of credentials: user and password; an identity token, which the token service
 * changes into others; or a registry token, which is sent as it is. Certificates of ca count
 * besides the system's.
 */
#define CX_FIELDS_FETCH_ENDPOINT(F)                                             \
	F(str, host, 261)   /* NAME, NAME:PORT, [IPv6]:PORT */                  \
	F(str, prefix, 255) /* in front of each repository here: "" or "a/b" */ \
	F(u32, flags, CX_FETCH_PLAIN_HTTP | CX_FETCH_MIRROR)                    \
	F(bytes, ca, CX_FETCH_CA_MAX) /* PEM; may be empty */                   \
	F(str, user, 255)                                                       \
	F(str, password, 8192)                                                  \
	F(str, identity_token, CX_FETCH_SECRET_MAX)                             \
	F(str, registry_token, CX_FETCH_SECRET_MAX)
/* Of a reference that is a digest the document is checked before fetch_got. */
#define CX_FIELDS_FETCH_MANIFEST(F)                 \
	F(str, repository, CX_FETCH_REPOSITORY_MAX) \
	F(str, reference, CX_FETCH_REFERENCE_MAX) F(u32, max_bytes, CX_FETCH_MANIFEST_MAX)
/*
 * The file is readable and writable. Its first "offset" bytes are there from an earlier attempt and
 * are hashed along; what is behind them is overwritten. After a failure the file may be kept to go
 * on with: it is cut to what came, or to nothing when its digest was wrong.
 *
 * The pipe gets the same bytes from the first on as fast as its reader takes them, which holds
 * nothing else up. It is closed when the blob is right or has failed: only fetch_got tells which.
 * fetch_got comes when all is in the pipe too. A reader that went away is none.
 */
#define CX_FIELDS_FETCH_BLOB(F)                     \
	F(str, repository, CX_FETCH_REPOSITORY_MAX) \
	F(bytes, digest, 32) F(u64, size, INT64_MAX) F(u64, offset, INT64_MAX)
/* The registry copies the blob itself if it can from the repository "from"; "" is none. */
#define CX_FIELDS_FETCH_PUT_BLOB(F)                 \
	F(str, repository, CX_FETCH_REPOSITORY_MAX) \
	F(bytes, digest, 32) F(u64, size, INT64_MAX) F(str, from, CX_FETCH_REPOSITORY_MAX)
#define CX_FIELDS_FETCH_PUT_MANIFEST(F)             \
	F(str, repository, CX_FETCH_REPOSITORY_MAX) \
	F(str, reference, CX_FETCH_REFERENCE_MAX) F(str, media_type, CX_FETCH_TYPE_MAX)
#define CX_FIELDS_FETCH_PROGRESS(F) F(u64, bytes, INT64_MAX) F(u64, total, INT64_MAX)
/* What of it means something depends on the request; all else is 0 or empty. */
#define CX_FIELDS_FETCH_GOT(F)                                                              \
	F(u32, how, CX_FETCH_HOW_MAX - 1)                                                   \
	F(u64, size, INT64_MAX)			/* of the document or blob */               \
	F(bytes, digest, 32)			/* its SHA-256, as computed here */         \
	F(str, media_type, CX_FETCH_TYPE_MAX)	/* manifest: as the server called it */     \
	F(str, claimed, CX_FETCH_REFERENCE_MAX) /* manifest: the server's word on digest */ \
	F(str, endpoint, 261)			/* host that it came from or went to */
#define CX_FIELDS_FETCH_FAILED(F)                   \
	F(u32, reason, CX_FETCH_REASON_MAX - 1)     \
	F(u32, http_status, 999) /* 0: no answer */ \
	F(u32, kind, CX_KIND_MAX - 1) F(u32, errnum, 4095) F(str, text, 503)

enum { CX_FETCH_PLAIN_HTTP = 1, CX_FETCH_MIRROR = 2 };
enum cx_fetch_how {
	CX_FETCH_MOVED,	  /* its bytes went over the network */
	CX_FETCH_EXISTED, /* put_blob: the repository had it */
	CX_FETCH_MOUNTED, /* put_blob: the registry copied it from another repository */
	CX_FETCH_HOW_MAX,
};
/* What a program may act on; the text says more. */
enum cx_fetch_reason {
	CX_FETCH_OTHER,
	CX_FETCH_CANCELLED,
	CX_FETCH_LOCAL,	       /* a file of ours: errnum tells, ENOSPC for one */
	CX_FETCH_UNREACHABLE,  /* no such name, refused, silent or broken off */
	CX_FETCH_CERTIFICATE,  /* not to be trusted, or of another host */
	CX_FETCH_NOT_TLS,      /* plain HTTP where TLS is due */
	CX_FETCH_UNAUTHORIZED, /* no credentials, wrong ones, or not enough */
	CX_FETCH_NOT_FOUND,    /* repository, tag or blob */
	CX_FETCH_TOO_MANY,     /* 429, and waiting did not help */
	CX_FETCH_SERVER,       /* 5xx, and trying again did not help */
	CX_FETCH_TRUNCATED,    /* shorter or longer than it is to be */
	CX_FETCH_DIGEST,
	CX_FETCH_PROTOCOL, /* an answer that makes no sense */
	CX_FETCH_REASON_MAX,
};

CX_FETCH_MSGS(CX_AS_MSG)

#endif
