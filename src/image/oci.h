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
	CX_OCI_PLATFORM_MAX = 63, /* bytes of "os/architecture[/variant]" */
};
#define CX_OCI_ANY_SIZE	     UINT64_MAX
#define CX_OCI_HOST_PLATFORM "linux/amd64"

struct cx_oci_layer {
	char file[CX_OCI_NAME_MAX + 1]; /* its name in the archive */
	const char *media_type;		/* as the manifest says; NULL without a manifest */
	bool has_blob_id;
	uint8_t blob_id[32]; /* SHA-256 of the file, when has_blob_id */
	uint64_t blob_bytes; /* the same */
	uint8_t diff_id[32]; /* SHA-256 of the uncompressed tar */
};

struct cx_oci_image {		   /* a zeroed one is empty; cx_oci_image_clear() when done */
	const char *manifest_type; /* NULL: it has none ("docker save"), see cx_oci_manifest() */
	uint8_t manifest_id[32];   /* SHA-256 of the manifest, if there is one */
	uint8_t config_id[32];	   /* SHA-256 of the config document: the image's id */
	char platform[CX_OCI_PLATFORM_MAX + 1];
	struct cx_buf manifest, config;	    /* those documents */
	struct cx_buf env, entrypoint, cmd; /* strings, each ended by NUL */
	char cwd[4096], user[256];
	unsigned nlayers;
	struct cx_oci_layer layers[CX_OCI_LAYERS_MAX]; /* lowest first */
};
void cx_oci_image_clear(struct cx_oci_image *image);

enum cx_oci_document {
	CX_OCI_LIST,	 /* index.json, manifest.json */
	CX_OCI_MANIFEST, /* of an image, or an index of several */
	CX_OCI_CONFIG,
};

/* Where the documents come from: files of the archive, by name. */
struct cx_oci_source {
	const char *platform; /* which image of several; NULL: CX_OCI_HOST_PLATFORM */
	bool (*has)(void *arg, const char *file);
	/*
	 * The whole document into ret, whose max is set. Fails when a file named by a digest does
	 * not have it, or when the file does not have the size that its descriptor says: bytes, or
	 * CX_OCI_ANY_SIZE when nobody said one.
	 */
	int (*read)(void *arg, enum cx_oci_document what, const char *file, uint64_t bytes,
		    struct cx_buf *ret, struct cx_err *err);
	void *arg;
};

/* "os/architecture[/variant]", each of a-z 0-9 _ . - and not empty. CX_INVALID names the field. */
CX_MUST int cx_oci_check_platform(const char *platform, const char *field, struct cx_err *err);

/*
 * What an archive calls its images, as strings ended by NUL: "" for one without a name, the same
 * name twice if it says so. Of those for other platforms nothing is said.
 */
CX_MUST int cx_oci_names(const struct cx_oci_source *source, struct cx_buf *ret,
			 struct cx_err *err);

/*
 * Reads one image of an archive: the only one, or the one that the archive calls by the wanted
 * name; none or more than one of that name is refused with the names that there are. Of an index
 * below index.json the first manifest for the platform is taken, as the specification says.
 */
CX_MUST int cx_oci_read(const struct cx_oci_source *source, const char *wanted,
			struct cx_oci_image *ret, struct cx_err *err);

/*
 * The manifest of an image that came without one: OCI, over the layers' files as they are. Their
 * blob_id, blob_bytes and media_type and the config must be known; sets manifest, manifest_type and
 * manifest_id. The same image gives the same bytes.
 */
CX_MUST int cx_oci_make_manifest(struct cx_oci_image *image, struct cx_err *err);
/* The same for the configuration of a tree of files: its only layer's diff_id must be known. */
CX_MUST int cx_oci_make_config(struct cx_oci_image *image, struct cx_err *err);

/* What a further layer is, for the image's history. */
struct cx_oci_step {
	const char *created;	      /* RFC 3339 */
	const char *created_by;	      /* what made it */
	const char *author, *comment; /* NULL: nobody, nothing */
};
/*
 * Puts a layer over an image that cx_oci_read() gave: its configuration gets the diff id and a
 * further step of history, else it stays as it is; its manifest is made anew. layer: diff_id,
 * blob_id, blob_bytes and media_type.
 */
CX_MUST int cx_oci_add_layer(struct cx_oci_image *image, const struct cx_oci_layer *layer,
			     const struct cx_oci_step *step, struct cx_err *err);

/* The media type of a layer by its file's first bytes (4 at least, where it has them). */
const char *cx_oci_layer_type(const uint8_t *magic, size_t len);

/* An index.json over one document, for a source that has no archive. ret is emptied first. */
CX_MUST int cx_oci_make_index(const char *type, const uint8_t id[32], uint64_t bytes,
			      struct cx_buf *ret, struct cx_err *err);

/* Its history, for people: a JSON array of objects of the config document, "[]" without one. */
CX_MUST int cx_oci_history(const struct cx_buf *config, char **ret, struct cx_err *err);

/*
 * What a link of a "docker save" archive means: target, seen from the directory of file, as a name
 * in the archive. Refuses one that leads out.
 */
CX_MUST int cx_oci_resolve(const char *file, const char *target, char *ret, size_t size,
			   struct cx_err *err);

#endif
