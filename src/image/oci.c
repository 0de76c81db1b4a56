/* SPDX-License-Identifier: Apache-2.0 */
#include "image/oci.h"

#include <errno.h>
#include <jansson.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>

#include "base/str.h"

enum { DEPTH_MAX = 2, MANIFESTS_MAX = 1000, STRINGS_MAX = 4096 };

static const char *const index_types[] = {
	"application/vnd.oci.image.index.v1+json",
	"application/vnd.docker.distribution.manifest.list.v2+json",
	NULL,
};
static const char *const manifest_types[] = {
	"application/vnd.oci.image.manifest.v1+json",
	"application/vnd.docker.distribution.manifest.v2+json",
	NULL,
};
static const char *const layer_types[] = {
	"application/vnd.oci.image.layer.v1.tar",
	"application/vnd.oci.image.layer.v1.tar+gzip",
	"application/vnd.oci.image.layer.v1.tar+zstd",
	"application/vnd.docker.image.rootfs.diff.tar",
	"application/vnd.docker.image.rootfs.diff.tar.gzip",
	"application/vnd.docker.image.rootfs.diff.tar.zstd",
	NULL,
};

/* ---- pieces of documents -------------------------------------------------------------------- */

static bool in_list(const char *text, const char *const *list)
{
	while (*list != NULL && strcmp(text, *list) != 0)
		list++;
	return *list != NULL;
}

/* A member that may be missing or null (then NULL with no error) but must not be of another type.
 */
static int member(const json_t *object, const char *key, json_type type, json_t **ret,
		  struct cx_err *err)
{
	json_t *value = json_object_get(object, key);

	*ret = NULL;
	if (value == NULL || json_is_null(value))
		return 0;
	if (json_typeof(value) != type)
		return cx_refuse(err, CX_INVALID, "\"%s\" has the wrong type", key);
	*ret = value;
	return 0;
}

static int required(const json_t *object, const char *key, json_type type, json_t **ret,
		    struct cx_err *err)
{
	if (member(object, key, type, ret, err) < 0)
		return -err->errnum;
	return *ret != NULL ? 0 : cx_refuse(err, CX_INVALID, "\"%s\" is missing", key);
}

/* Text without NUL (jansson refuses it) of at most max bytes; "" when missing. */
static int text_of(const json_t *object, const char *key, size_t max, const char **ret,
		   struct cx_err *err)
{
	json_t *value;

	if (member(object, key, JSON_STRING, &value, err) < 0)
		return -err->errnum;
	*ret = value != NULL ? json_string_value(value) : "";
	if (strlen(*ret) > max)
		return cx_refuse(err, CX_INVALID, "\"%s\" is longer than %zu bytes", key, max);
	return 0;
}

static int copy_text(const json_t *object, const char *key, char *ret, size_t size,
		     struct cx_err *err)
{
	const char *text;

	if (text_of(object, key, size - 1, &text, err) < 0)
		return -err->errnum;
	memcpy(ret, text, strlen(text) + 1);
	return 0;
}

/* An array of strings as strings ended by NUL. */
static int strings_of(const json_t *object, const char *key, struct cx_buf *ret, struct cx_err *err)
{
	json_t *array, *item;
	size_t i;

	ret->max = CX_OCI_STRV_MAX;
	if (member(object, key, JSON_ARRAY, &array, err) < 0)
		return -err->errnum;
	if (json_array_size(array) > STRINGS_MAX)
		return cx_refuse(err, CX_INVALID, "\"%s\" has more than %d strings", key,
				 STRINGS_MAX);
	json_array_foreach(array, i, item)
	{
		const char *text = json_string_value(item);

		if (text == NULL)
			return cx_refuse(err, CX_INVALID,
					 "\"%s\" holds something else than strings", key);
		if (strlen(text) >= ret->max - ret->len)
			return cx_refuse(err, CX_INVALID, "\"%s\" has more than %zu bytes", key,
					 ret->max);
		if (cx_buf_add(ret, text, strlen(text) + 1, err) < 0)
			return cx_wrap(err, "\"%s\"", key);
	}
	return 0;
}

static int parse_digest(const char *text, uint8_t ret[32], struct cx_err *err)
{
	static const char prefix[] = "sha256:";

	if (strncmp(text, prefix, sizeof prefix - 1) != 0 ||
	    !cx_from_hex(text + sizeof prefix - 1, ret, 32))
		return cx_refuse(err, CX_INVALID, "'%.100s' is not a sha256 digest", text);
	return 0;
}

struct descriptor {
	const char *type;
	uint8_t id[32];
	uint64_t size;
	char file[CX_OCI_NAME_MAX + 1];
};

static int parse_descriptor(const json_t *object, struct descriptor *ret, struct cx_err *err)
{
	const char *digest;
	char hex[65];
	json_t *size;

	if (!json_is_object(object))
		return cx_refuse(err, CX_INVALID, "a descriptor is not an object");
	if (text_of(object, "mediaType", 255, &ret->type, err) < 0 ||
	    text_of(object, "digest", 255, &digest, err) < 0 ||
	    parse_digest(digest, ret->id, err) < 0 ||
	    required(object, "size", JSON_INTEGER, &size, err) < 0)
		return -err->errnum;
	if (json_integer_value(size) < 0)
		return cx_refuse(err, CX_INVALID, "a descriptor with a negative size");
	ret->size = (uint64_t)json_integer_value(size);
	cx_to_hex(ret->id, 32, hex);
	(void)snprintf(ret->file, sizeof ret->file, "blobs/sha256/%s", hex);
	return 0;
}

static int parse(const struct cx_buf *text, json_type type, json_t **ret, struct cx_err *err)
{
	json_error_t why;
	json_t *doc = json_loadb(text->p, text->len, JSON_REJECT_DUPLICATES, &why);

	if (doc == NULL)
		return cx_refuse(err, CX_INVALID, "line %d: %s", why.line, why.text);
	if (json_typeof(doc) != type) {
		json_decref(doc);
		return cx_refuse(err, CX_INVALID, "it is not an %s",
				 type == JSON_ARRAY ? "array" : "object");
	}
	*ret = doc;
	return 0;
}

/* Reads and parses one document; id, if asked for, is the SHA-256 of its bytes. */
static int load(const struct cx_oci_source *source, const char *file, uint64_t bytes,
		json_type type, json_t **ret, uint8_t *ret_id, struct cx_err *err)
{
	CX_AUTO(cx_buf_free) struct cx_buf text = { .max = CX_OCI_DOCUMENT_MAX };

	if (source->read(source->arg, file, bytes, &text, err) < 0 ||
	    parse(&text, type, ret, err) < 0)
		return cx_wrap(err, "document '%.200s'", file);
	if (ret_id != NULL && EVP_Digest(text.p, text.len, ret_id, NULL, EVP_sha256(), NULL) != 1)
		return cx_fail(err, EIO, "hash '%.200s'", file);
	return 0;
}

/* ---- config
 * -------------------------------------------------------------------------------------- */

static int read_diff_ids(const json_t *config, struct cx_oci_image *image, struct cx_err *err)
{
	json_t *rootfs, *ids, *item;
	size_t i;

	if (required(config, "rootfs", JSON_OBJECT, &rootfs, err) < 0 ||
	    required(rootfs, "diff_ids", JSON_ARRAY, &ids, err) < 0)
		return -err->errnum;
	if (json_array_size(ids) != image->nlayers)
		return cx_refuse(err, CX_INVALID, "%zu diff ids for %u layers",
				 json_array_size(ids), image->nlayers);
	json_array_foreach(ids, i, item)
	{
		const char *text = json_string_value(item);

		if (parse_digest(text != NULL ? text : "", image->layers[i].diff_id, err) < 0)
			return -err->errnum;
	}
	return 0;
}

static int read_config(const struct cx_oci_source *source, const char *file, uint64_t bytes,
		       struct cx_oci_image *image, struct cx_err *err)
{
	CX_AUTO(json_decrefp) json_t *doc = NULL;
	json_t *config;
	const char *os, *arch;

	if (load(source, file, bytes, JSON_OBJECT, &doc, image->config_id, err) < 0)
		return -err->errnum;
	if (text_of(doc, "os", 64, &os, err) < 0 ||
	    text_of(doc, "architecture", 64, &arch, err) < 0)
		return cx_wrap(err, "image config");
	if ((*os != '\0' && strcmp(os, "linux") != 0) ||
	    (*arch != '\0' && strcmp(arch, "amd64") != 0))
		return cx_refuse(err, CX_INVALID,
				 "the image is for %s/%s; this host runs linux/amd64", os, arch);
	if (read_diff_ids(doc, image, err) < 0 ||
	    member(doc, "config", JSON_OBJECT, &config, err) < 0)
		return cx_wrap(err, "image config");
	if (config == NULL)
		return 0;
	if (strings_of(config, "Env", &image->env, err) < 0 ||
	    strings_of(config, "Entrypoint", &image->entrypoint, err) < 0 ||
	    strings_of(config, "Cmd", &image->cmd, err) < 0 ||
	    copy_text(config, "WorkingDir", image->cwd, sizeof image->cwd, err) < 0 ||
	    copy_text(config, "User", image->user, sizeof image->user, err) < 0)
		return cx_wrap(err, "image config");
	return 0;
}

/* ---- OCI image layout
 * ------------------------------------------------------------------------------ */

static int check_kind(const json_t *doc, const char *has, const char *has_not,
		      const char *const *types, struct cx_err *err)
{
	const char *type;
	json_t *version;

	if (required(doc, "schemaVersion", JSON_INTEGER, &version, err) < 0 ||
	    text_of(doc, "mediaType", 255, &type, err) < 0)
		return -err->errnum;
	if (json_integer_value(version) != 2)
		return cx_refuse(err, CX_INVALID, "schema version %lld; only 2 is read",
				 (long long)json_integer_value(version));
	if (*type != '\0' && !in_list(type, types))
		return cx_refuse(err, CX_INVALID, "media type '%.100s'", type);
	/* CVE-2021-41190: what is a manifest to one reader must not be an index to another. */
	if (json_object_get(doc, has) == NULL || json_object_get(doc, has_not) != NULL)
		return cx_refuse(err, CX_INVALID, "it must have \"%s\" and no \"%s\"", has,
				 has_not);
	return 0;
}

static int read_layers(const json_t *manifest, struct cx_oci_image *image, struct cx_err *err)
{
	json_t *layers, *item;
	size_t i;

	if (required(manifest, "layers", JSON_ARRAY, &layers, err) < 0)
		return -err->errnum;
	if (json_array_size(layers) == 0 || json_array_size(layers) > CX_OCI_LAYERS_MAX)
		return cx_refuse(err, CX_INVALID, "%zu layers: an image has 1 to %d",
				 json_array_size(layers), CX_OCI_LAYERS_MAX);
	json_array_foreach(layers, i, item)
	{
		struct cx_oci_layer *layer = &image->layers[i];
		struct descriptor d;

		if (parse_descriptor(item, &d, err) < 0)
			return cx_wrap(err, "layer %zu", i);
		if (!in_list(d.type, layer_types))
			return cx_refuse(err, CX_INVALID, "layer %zu: media type '%.100s'", i,
					 d.type);
		memcpy(layer->file, d.file, sizeof layer->file);
		memcpy(layer->blob_id, d.id, sizeof layer->blob_id);
		layer->blob_bytes = d.size;
		layer->has_blob_id = true;
	}
	image->nlayers = (unsigned)json_array_size(layers);
	return 0;
}

static int read_manifest(const struct cx_oci_source *source, const char *file, uint64_t bytes,
			 struct cx_oci_image *image, struct cx_err *err)
{
	CX_AUTO(json_decrefp) json_t *doc = NULL;
	struct descriptor config;

	if (load(source, file, bytes, JSON_OBJECT, &doc, NULL, err) < 0)
		return -err->errnum;
	if (check_kind(doc, "layers", "manifests", manifest_types, err) < 0 ||
	    parse_descriptor(json_object_get(doc, "config"), &config, err) < 0 ||
	    read_layers(doc, image, err) < 0)
		return cx_wrap(err, "manifest");
	return read_config(source, config.file, config.size, image, err);
}

static bool fits_platform(const json_t *item)
{
	const json_t *platform = json_object_get(item, "platform");
	const char *os = json_string_value(json_object_get(platform, "os"));
	const char *arch = json_string_value(json_object_get(platform, "architecture"));

	return (os == NULL || strcmp(os, "linux") == 0) &&
	       (arch == NULL || strcmp(arch, "amd64") == 0);
}

static const char *name_of(const json_t *item)
{
	const json_t *notes = json_object_get(item, "annotations");
	const char *full = json_string_value(json_object_get(notes, "io.containerd.image.name"));
	const char *ref =
		json_string_value(json_object_get(notes, "org.opencontainers.image.ref.name"));

	return full != NULL ? full : ref != NULL ? ref : "";
}

/* What was chosen among several, and what to say when that did not work. */
struct choice {
	const char *wanted;
	const json_t *only, *named;
	const char *name;
	unsigned n, nnamed;
	char names[200];
};

static void offer(struct choice *c, const json_t *item, const char *name)
{
	size_t len = strlen(c->names);

	c->only = item;
	c->n++;
	if (c->n == 1)
		c->name = name;
	(void)snprintf(c->names + len, sizeof c->names - len, "%s%.60s", len > 0 ? ", " : "", name);
	if (strcmp(name, c->wanted) != 0)
		return;
	c->named = item;
	c->nnamed++;
	c->name = name;
}

static int choose(const struct choice *c, const json_t **ret, struct cx_err *err)
{
	if (c->n == 0)
		return cx_refuse(err, CX_INVALID, "it holds no image for linux/amd64");
	if (c->n > 1 && c->nnamed != 1)
		return cx_refuse(err, CX_INVALID,
				 "it holds %u images (%s), of which %u are called '%.100s': name "
				 "one of them",
				 c->n, c->names, c->nnamed, c->wanted);
	*ret = c->n == 1 ? c->only : c->named;
	return 0;
}

static int read_index(const struct cx_oci_source *source, const char *file, uint64_t bytes,
		      const char *wanted, unsigned depth, struct cx_oci_image *image,
		      struct cx_err *err)
{
	CX_AUTO(json_decrefp) json_t *doc = NULL;
	struct choice c = { .wanted = wanted, .name = "" };
	const json_t *chosen = NULL;
	json_t *manifests, *item;
	struct descriptor d;
	size_t i;

	if (load(source, file, bytes, JSON_OBJECT, &doc, NULL, err) < 0)
		return -err->errnum;
	if (check_kind(doc, "manifests", "layers", index_types, err) < 0 ||
	    required(doc, "manifests", JSON_ARRAY, &manifests, err) < 0)
		return cx_wrap(err, "index");
	if (json_array_size(manifests) > MANIFESTS_MAX)
		return cx_refuse(err, CX_INVALID, "an index of more than %d manifests",
				 MANIFESTS_MAX);
	json_array_foreach(manifests, i, item) if (fits_platform(item))
		offer(&c, item, name_of(item));
	if (choose(&c, &chosen, err) < 0 || parse_descriptor(chosen, &d, err) < 0)
		return cx_wrap(err, "index");
	if (image->name[0] == '\0')
		(void)snprintf(image->name, sizeof image->name, "%s", c.name);
	if (!in_list(d.type, index_types))
		return read_manifest(source, d.file, d.size, image, err);
	if (depth == DEPTH_MAX)
		return cx_refuse(err, CX_INVALID, "indexes within indexes, more than %d deep",
				 DEPTH_MAX);
	return read_index(source, d.file, d.size, "", depth + 1, image, err);
}

/* ---- docker save
 * ------------------------------------------------------------------------------------ */

static int read_saved_layers(const json_t *item, struct cx_oci_image *image, struct cx_err *err)
{
	json_t *layers, *layer;
	size_t i;

	if (required(item, "Layers", JSON_ARRAY, &layers, err) < 0)
		return -err->errnum;
	if (json_array_size(layers) == 0 || json_array_size(layers) > CX_OCI_LAYERS_MAX)
		return cx_refuse(err, CX_INVALID, "%zu layers: an image has 1 to %d",
				 json_array_size(layers), CX_OCI_LAYERS_MAX);
	json_array_foreach(layers, i, layer)
	{
		const char *file = json_string_value(layer);

		if (file == NULL || strlen(file) > CX_OCI_NAME_MAX)
			return cx_refuse(err, CX_INVALID, "layer %zu has no usable name", i);
		(void)snprintf(image->layers[i].file, sizeof image->layers[i].file, "%s", file);
	}
	image->nlayers = (unsigned)json_array_size(layers);
	return 0;
}

static int read_saved(const struct cx_oci_source *source, const char *wanted,
		      struct cx_oci_image *image, struct cx_err *err)
{
	CX_AUTO(json_decrefp) json_t *doc = NULL;
	struct choice c = { .wanted = wanted, .name = "" };
	const json_t *chosen = NULL;
	const char *config;
	json_t *item;
	size_t i, t;

	if (load(source, "manifest.json", CX_OCI_ANY_SIZE, JSON_ARRAY, &doc, NULL, err) < 0)
		return -err->errnum;
	if (json_array_size(doc) > MANIFESTS_MAX)
		return cx_refuse(err, CX_INVALID, "more than %d images", MANIFESTS_MAX);
	json_array_foreach(doc, i, item)
	{
		const json_t *tags = json_object_get(item, "RepoTags");
		const json_t *tag;
		const char *name = json_string_value(json_array_get(tags, 0));

		/* Any of its tags may be the wanted one; it counts once. */
		json_array_foreach(tags, t, tag) if (json_is_string(tag) &&
						     strcmp(json_string_value(tag), wanted) == 0)
			name = wanted;
		offer(&c, item, name != NULL ? name : "");
	}
	if (choose(&c, &chosen, err) < 0 || read_saved_layers(chosen, image, err) < 0 ||
	    text_of(chosen, "Config", CX_OCI_NAME_MAX, &config, err) < 0)
		return cx_wrap(err, "manifest.json");
	(void)snprintf(image->name, sizeof image->name, "%s", c.name);
	return read_config(source, config, CX_OCI_ANY_SIZE, image, err);
}

/* ---- either
 * ------------------------------------------------------------------------------------------ */

void cx_oci_image_clear(struct cx_oci_image *image)
{
	cx_buf_free(&image->env);
	cx_buf_free(&image->entrypoint);
	cx_buf_free(&image->cmd);
}

int cx_oci_read(const struct cx_oci_source *source, const char *wanted, struct cx_oci_image *ret,
		struct cx_err *err)
{
	struct cx_oci_image *image = calloc(1, sizeof *image);
	int r;

	if (image == NULL)
		return cx_fail(err, ENOMEM, "image");
	r = source->has(source->arg, "index.json")
		    ? read_index(source, "index.json", CX_OCI_ANY_SIZE, wanted, 0, image, err)
		    : read_saved(source, wanted, image, err);
	if (r == 0)
		*ret = *image;
	else
		cx_oci_image_clear(image);
	free(image);
	return r;
}

int cx_oci_resolve(const char *file, const char *target, char *ret, size_t size, struct cx_err *err)
{
	const char *slash = strrchr(file, '/');
	size_t len = slash != NULL ? (size_t)(slash - file) : 0;

	if (target[0] == '/' || len >= size)
		return cx_refuse(err, CX_INVALID, "a link to '%.100s'", target);
	memcpy(ret, file, len);
	while (*target != '\0') {
		size_t n = strcspn(target, "/");

		if (n == 2 && target[0] == '.' && target[1] == '.') {
			if (len == 0)
				return cx_refuse(err, CX_INVALID, "a link that leads out");
			while (len > 0 && ret[len - 1] != '/')
				len--;
			len -= len > 0;
		} else if (n > 0 && !(n == 1 && target[0] == '.')) {
			if (len + n + 2 > size)
				return cx_refuse(err, CX_INVALID, "a link that is too long");
			if (len > 0)
				ret[len++] = '/';
			memcpy(ret + len, target, n);
			len += n;
		}
		target += n + (target[n] == '/');
	}
	ret[len] = '\0';
	return 0;
}
