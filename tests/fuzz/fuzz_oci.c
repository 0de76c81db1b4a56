/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The documents of an image. The first byte says which kind of archive, then come the documents in
 * the order they are asked for, ended by a zero byte each; bytes that are no ASCII text are words.
 */
#include <stdio.h>

#include "base/str.h"
#include "image/oci.h"
#include "tests/fuzz/input.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define ID "sha256:00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"

static const char *const words[] = {
	"",
	"{\"schemaVersion\":2,\"manifests\":[",
	"{\"schemaVersion\":2,\"config\":{\"digest\":\"" ID "\",\"size\":1},\"layers\":[",
	"{\"digest\":\"" ID "\",\"size\":9,\"mediaType\":\"",
	"application/vnd.oci.image.index.v1+json\"}",
	"application/vnd.oci.image.manifest.v1+json\"}",
	"application/vnd.oci.image.layer.v1.tar+gzip\"}",
	"application/vnd.docker.image.rootfs.diff.tar\"}",
	"{\"rootfs\":{\"diff_ids\":[",
	"\"" ID "\"",
	"]}",
	",\"config\":{",
	",\"Env\":[\"a\"",
	",\"Entrypoint\":[\"a\"",
	",\"Cmd\":[\"a\"",
	",\"WorkingDir\":\"",
	",\"User\":\"",
	"[{\"Config\":\"a.json\",\"Layers\":[",
	"\"RepoTags\":[",
	"\"annotations\":{\"org.opencontainers.image.ref.name\":\"",
	"\"platform\":{\"os\":\"linux\",\"architecture\":\"amd64\"}",
	",\"urls\":[\"http://h/\"]",
	"null",
	"sha512:",
	"99999999999999999999",
	"}}",
	"\\u0000",
	"{\"schemaVersion\":2,\"manifests\":[{\"digest\":\"" ID "\",\"size\":9}]}",
	"{\"schemaVersion\":2,\"config\":{\"digest\":\"" ID
	"\",\"size\":1},\"layers\":[{\"digest\":"
	"\"" ID "\",\"size\":9,\"mediaType\":\"application/vnd.oci.image.layer.v1.tar\"}]}",
	"{\"rootfs\":{\"diff_ids\":[\"" ID "\"]},\"config\":{\"a\":0",
	"\"os\":\"",
	"\xff",
};

struct archive {
	struct input in;
	bool has_index;
	unsigned documents;
};

static bool has(void *arg, const char *file)
{
	const struct archive *a = arg;

	return a->has_index && strcmp(file, "index.json") == 0;
}

static int read_next(void *arg, enum cx_oci_document what, const char *file, uint64_t bytes,
		     struct cx_buf *ret, struct cx_err *err)
{
	static char text[1 << 16];
	struct archive *a = arg;
	const uint8_t *end = a->in.left > 0 ? memchr(a->in.p, 0, a->in.left) : NULL, *p;
	size_t len = end != NULL ? (size_t)(end - a->in.p) : a->in.left;

	if (strlen(file) > CX_OCI_NAME_MAX || ++a->documents > 6)
		abort();
	(void)what;
	(void)bytes; /* any document fits any descriptor */
	len = take_bytes(&a->in, len, &p);
	(void)take_byte(&a->in);
	len = expand_json(p, len, words, CX_LEN(words), text, sizeof text);
	return cx_buf_add(ret, text, len, err);
}

static void look_at_strings(const struct cx_buf *strings)
{
	if (strings->len > CX_OCI_STRV_MAX ||
	    (strings->len > 0 && strings->p[strings->len - 1] != '\0'))
		abort();
}

static void look_at(const struct cx_oci_image *image)
{
	look_at_strings(&image->env);
	look_at_strings(&image->entrypoint);
	look_at_strings(&image->cmd);
	if (image->nlayers < 1 || image->nlayers > CX_OCI_LAYERS_MAX ||
	    memchr(image->cwd, 0, sizeof image->cwd) == NULL ||
	    memchr(image->user, 0, sizeof image->user) == NULL)
		abort();
	for (unsigned i = 0; i < image->nlayers; i++) {
		const struct cx_oci_layer *layer = &image->layers[i];
		char hex[65];

		if (memchr(layer->file, 0, sizeof layer->file) == NULL)
			abort();
		cx_to_hex(layer->blob_id, sizeof layer->blob_id, hex);
		if (layer->has_blob_id &&
		    (strncmp(layer->file, "blobs/sha256/", 13) != 0 ||
		     strcmp(layer->file + 13, hex) != 0 || layer->blob_bytes > INT64_MAX))
			abort();
	}
}

/* Wherever a link points to, it stays in the archive. */
static void try_link(struct input *in)
{
	char target[256], name[64];
	const uint8_t *p;
	size_t len = take_bytes(in, sizeof target - 1, &p);
	struct cx_err err;

	if (len > 0)
		memcpy(target, p, len);
	target[len] = '\0';
	if (cx_oci_resolve("some/where/layer.tar", target, name, sizeof name, &err) < 0)
		return;
	if (name[0] == '/' || strlen(name) >= sizeof name || strcmp(name, "..") == 0 ||
	    strncmp(name, "../", 3) == 0 || strstr(name, "/../") != NULL ||
	    strstr(name, "//") != NULL)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct archive archive = { .in = { data, size } };
	const struct cx_oci_source source = { NULL, has, read_next, &archive };
	static struct cx_oci_image image;
	struct cx_err err;
	uint8_t how = take_byte(&archive.in);

	if (how == 2) {
		try_link(&archive.in);
		return 0;
	}
	archive.has_index = how == 0;
	if (cx_oci_read(&source, "x", &image, &err) < 0) {
		if (err.errnum == 0)
			abort();
		return 0;
	}
	look_at(&image);
	cx_oci_image_clear(&image);
	return 0;
}
