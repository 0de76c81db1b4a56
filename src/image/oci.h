/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CX_IMAGE_OCI_H
#define CX_IMAGE_OCI_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"

/*
 * The documents of an image archive (OCI image-spec 1.0: index, manifest, config; Docker's image
 * manifest V2 schema 2; "docker save": manifest.json), read by the gateway. The door to jansson of
 * this layer. Everything in them is hostile: sizes, counts and lengths are bounded, digests have
 * one spelling, a document has one reading or is refused, "urls" of descriptors are never looked
 * at.
 */
enum {
	CX_OCI_DOCUMENT_MAX = 4 << 20, /* bytes */
	CX_OCI_LAYERS_MAX = 127,
	CX_OCI_NAME_MAX = 255, /* of a file in the archive, and of an image */
	CX_OCI_STRV_MAX = 65536,
};
#define CX_OCI_ANY_SIZE UINT64_MAX

struct cx_oci_layer {
	char file[CX_OCI_NAME_MAX + 1]; /* its name in the archive */
	bool has_blob_id;
	uint8_t blob_id[32]; /* SHA-256 of the file, when has_blob_id */
	uint64_t blob_bytes; /* the same */
	uint8_t diff_id[32]; /* SHA-256 of the uncompressed tar */
};

struct cx_oci_image {			/* a zeroed one is empty; cx_oci_image_clear() when done */
	char name[CX_OCI_NAME_MAX + 1]; /* what the archive calls it, or "" */
	uint8_t config_id[32];		/* SHA-256 of the config document: the image's id */
	struct cx_buf env, entrypoint, cmd; /* strings, each ended by NUL */
	char cwd[4096], user[256];
	unsigned nlayers;
	struct cx_oci_layer layers[CX_OCI_LAYERS_MAX]; /* lowest first */
};
void cx_oci_image_clear(struct cx_oci_image *image);

/* Where the documents come from: files of the archive, by name. */
struct cx_oci_source {
	bool (*has)(void *arg, const char *file);
	/*
	 * The whole document into ret, whose max is set. Fails when a file named by a digest does
	 * not have it, or when the file does not have the size that its descriptor says: bytes, or
	 * CX_OCI_ANY_SIZE when nobody said one.
	 */
	int (*read)(void *arg, const char *file, uint64_t bytes, struct cx_buf *ret,
		    struct cx_err *err);
	void *arg;
};

/*
 * Finds the one image of an archive. With several, the one that the archive calls by the wanted
 * name; none or more than one of that name is refused with the names that there are. Of an index
 * with platforms the one for linux/amd64 is taken.
 */
CX_MUST int cx_oci_read(const struct cx_oci_source *source, const char *wanted,
			struct cx_oci_image *ret, struct cx_err *err);

/*
 * What a link of a "docker save" archive means: target, seen from the directory of file, as a name
 * in the archive. Refuses one that leads out.
 */
CX_MUST int cx_oci_resolve(const char *file, const char *target, char *ret, size_t size,
			   struct cx_err *err);

#endif
