/* SPDX-License-Identifier: Apache-2.0 */
#include "image/oci.h"

#include <errno.h>
#include <jansson.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>

#include "base/jsonload.h"
#include "base/str.h"
#include "image/ref.h"

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
enum { OCI_LAYER_TYPES = 3 }; /* then Docker's of the same meaning, in the same order */
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

/* The list's own text, which lives as long as the program; NULL when it is not in it. */
static const char *in_list(const char *text, const char *const *list)
{
	while (*list != NULL && strcmp(text, *list) != 0)
		list++;
	return *list;
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
	json_t *doc = cx_json_load(text->p, text->len, JSON_REJECT_DUPLICATES, &why);

	if (doc == NULL && json_error_code(&why) == json_error_out_of_memory)
		return cx_fail(err, ENOMEM, "JSON");
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

static int hash(const struct cx_buf *text, uint8_t ret[32], struct cx_err *err)
{
	return EVP_Digest(text->p, text->len, ret, NULL, EVP_sha256(), NULL) == 1
		       ? 0
		       : cx_fail(err, EIO, "SHA-256");
}

/* Reads and parses one document. */
static int load(const struct cx_oci_source *source, enum cx_oci_document what, const char *file,
		uint64_t bytes, json_type type, json_t **ret, struct cx_err *err)
{
	CX_AUTO(cx_buf_free) struct cx_buf text = { .max = CX_OCI_DOCUMENT_MAX };

	if (source->read(source->arg, what, file, bytes, &text, err) < 0 ||
	    parse(&text, type, ret, err) < 0)
		return cx_wrap(err, "document '%.200s'", file);
	return 0;
}

/* The same for one that is kept, with its SHA-256. */
static int load_kept(const struct cx_oci_source *source, enum cx_oci_document what,
		     const char *file, uint64_t bytes, json_t **ret, struct cx_buf *ret_text,
		     uint8_t ret_id[32], struct cx_err *err)
{
	cx_buf_free(ret_text);
	ret_text->max = CX_OCI_DOCUMENT_MAX;
	if (source->read(source->arg, what, file, bytes, ret_text, err) < 0 ||
	    parse(ret_text, JSON_OBJECT, ret, err) < 0 || hash(ret_text, ret_id, err) < 0)
		return cx_wrap(err, "document '%.200s'", file);
	return 0;
}

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

/* ---- platforms
 * ----------------------------------------------------------------------------------- */

static const char *platform_of(const struct cx_oci_source *source)
{
	return source->platform != NULL ? source->platform : CX_OCI_HOST_PLATFORM;
}

/* Whether an image for that is one for the wanted: what either leaves open fits anything. */
static bool fits(const char *wanted, const char *os, const char *arch, const char *variant)
{
	const char *const parts[] = { os, arch, variant };

	for (size_t i = 0; i < CX_LEN(parts); i++) {
		size_t len = strcspn(wanted, "/");

		if (len > 0 && parts[i] != NULL && *parts[i] != '\0' &&
		    (strlen(parts[i]) != len || memcmp(parts[i], wanted, len) != 0))
			return false;
		wanted += len + (wanted[len] == '/');
	}
	return true;
}

int cx_oci_check_platform(const char *platform, const char *field, struct cx_err *err)
{
	static const char letters[] = "abcdefghijklmnopqrstuvwxyz0123456789_.-";
	unsigned parts = 0;
	const char *p = platform;

	for (;;) {
		size_t len = strspn(p, letters);

		parts += len > 0;
		p += len;
		if (len == 0 || *p != '/')
			break;
		p++;
	}
	if (*p == '\0' && p[-(p > platform)] != '/' && parts >= 2 && parts <= 3 &&
	    p - platform <= CX_OCI_PLATFORM_MAX)
		return 0;
	return cx_refuse(err, CX_INVALID, "'%s' is '%.64s', which is no platform like %s or %s",
			 field, platform, CX_OCI_HOST_PLATFORM, "linux/arm/v7");
}

/* The configuration's word counts: an index only says what it thinks. */
static int take_platform(const struct cx_oci_source *source, const json_t *doc,
			 struct cx_oci_image *image, struct cx_err *err)
{
	const char *os, *arch, *variant, *wanted = platform_of(source);

	if (text_of(doc, "os", 16, &os, err) < 0 ||
	    text_of(doc, "architecture", 16, &arch, err) < 0 ||
	    text_of(doc, "variant", 16, &variant, err) < 0)
		return -err->errnum;
	if (!fits(wanted, os, arch, variant))
		return cx_refuse(err, CX_INVALID, "the image is for %s/%s; wanted is %s", os, arch,
				 wanted);
	if (*os == '\0' || *arch == '\0')
		(void)snprintf(image->platform, sizeof image->platform, "%s", wanted);
	else
		(void)snprintf(image->platform, sizeof image->platform, "%s/%s%s%s", os, arch,
			       *variant != '\0' ? "/" : "", variant);
	return 0;
}

/* ---- config
 * -------------------------------------------------------------------------------------- */

static int read_config(const struct cx_oci_source *source, const char *file, uint64_t bytes,
		       struct cx_oci_image *image, struct cx_err *err)
{
	CX_AUTO(json_decrefp) json_t *doc = NULL;
	json_t *config;

	if (load_kept(source, CX_OCI_CONFIG, file, bytes, &doc, &image->config, image->config_id,
		      err) < 0)
		return -err->errnum;
	if (take_platform(source, doc, image, err) < 0 || read_diff_ids(doc, image, err) < 0 ||
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
	if (*type != '\0' && in_list(type, types) == NULL)
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
		layer->media_type = in_list(d.type, layer_types);
		if (layer->media_type == NULL)
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

/* An index says of what type its manifests are; where it does not, the manifest does. */
static const char *manifest_type(const struct descriptor *d, const json_t *doc)
{
	const char *own = json_string_value(json_object_get(doc, "mediaType"));
	const char *type = in_list(own != NULL ? own : d->type, manifest_types);

	return type != NULL ? type : manifest_types[0];
}

static int read_manifest(const struct cx_oci_source *source, const struct descriptor *d,
			 struct cx_oci_image *image, struct cx_err *err)
{
	CX_AUTO(json_decrefp) json_t *doc = NULL;
	struct descriptor config;

	if (load_kept(source, CX_OCI_MANIFEST, d->file, d->size, &doc, &image->manifest,
		      image->manifest_id, err) < 0)
		return -err->errnum;
	image->manifest_type = manifest_type(d, doc);
	if (check_kind(doc, "layers", "manifests", manifest_types, err) < 0 ||
	    parse_descriptor(json_object_get(doc, "config"), &config, err) < 0 ||
	    read_layers(doc, image, err) < 0)
		return cx_wrap(err, "manifest");
	return read_config(source, config.file, config.size, image, err);
}

static bool item_fits(const json_t *item, const char *wanted)
{
	const json_t *platform = json_object_get(item, "platform");

	return fits(wanted, json_string_value(json_object_get(platform, "os")),
		    json_string_value(json_object_get(platform, "architecture")),
		    json_string_value(json_object_get(platform, "variant")));
}

static int name_of(const json_t *item, const char **ret, struct cx_err *err)
{
	json_t *notes;

	*ret = "";
	if (member(item, "annotations", JSON_OBJECT, &notes, err) < 0)
		return -err->errnum;
	if (notes == NULL)
		return 0;
	if (text_of(notes, "io.containerd.image.name", CX_OCI_NAME_MAX, ret, err) < 0)
		return -err->errnum;
	return **ret != '\0' ? 0
			     : text_of(notes, "org.opencontainers.image.ref.name", CX_OCI_NAME_MAX,
				       ret, err);
}

/* What an archive holds, one by one: an item of its list under one of the names it goes by. */
struct visitor {
	const char *platform;
	int (*visit)(struct visitor *v, const json_t *item, const char *name, struct cx_err *err);
};

static int visit_index(const json_t *doc, struct visitor *v, struct cx_err *err)
{
	json_t *manifests, *item;
	const char *name;
	size_t i;

	if (check_kind(doc, "manifests", "layers", index_types, err) < 0 ||
	    required(doc, "manifests", JSON_ARRAY, &manifests, err) < 0)
		return -err->errnum;
	if (json_array_size(manifests) > MANIFESTS_MAX)
		return cx_refuse(err, CX_INVALID, "more than %d manifests", MANIFESTS_MAX);
	json_array_foreach(manifests, i, item)
	{
		if (!item_fits(item, v->platform))
			continue;
		if (name_of(item, &name, err) < 0 || v->visit(v, item, name, err) < 0)
			return -err->errnum;
	}
	return 0;
}

static int visit_saved(const json_t *doc, struct visitor *v, struct cx_err *err)
{
	json_t *item, *tags;
	const json_t *tag;
	size_t i, t;

	if (json_array_size(doc) > MANIFESTS_MAX)
		return cx_refuse(err, CX_INVALID, "more than %d images", MANIFESTS_MAX);
	json_array_foreach(doc, i, item)
	{
		if (member(item, "RepoTags", JSON_ARRAY, &tags, err) < 0)
			return -err->errnum;
		if (json_array_size(tags) > MANIFESTS_MAX)
			return cx_refuse(err, CX_INVALID, "more than %d names", MANIFESTS_MAX);
		if (json_array_size(tags) == 0 && v->visit(v, item, "", err) < 0)
			return -err->errnum;
		json_array_foreach(tags, t, tag)
		{
			const char *name = json_string_value(tag);

			if (name == NULL || strlen(name) > CX_OCI_NAME_MAX)
				return cx_refuse(err, CX_INVALID, "a name that is none");
			if (v->visit(v, item, name, err) < 0)
				return -err->errnum;
		}
	}
	return 0;
}

static bool is_layout(const struct cx_oci_source *source)
{
	return source->has(source->arg, "index.json");
}

/* The list of an archive, whichever kind it is. *ret stays for what visit() kept of it. */
static int visit_archive(const struct cx_oci_source *source, struct visitor *v, json_t **ret,
			 struct cx_err *err)
{
	bool layout = is_layout(source);
	const char *file = layout ? "index.json" : "manifest.json";

	if (load(source, CX_OCI_LIST, file, CX_OCI_ANY_SIZE, layout ? JSON_OBJECT : JSON_ARRAY, ret,
		 err) < 0)
		return -err->errnum;
	if ((layout ? visit_index : visit_saved)(*ret, v, err) < 0)
		return cx_wrap(err, "%s", file);
	return 0;
}

/* One of them. */
struct choice {
	struct visitor v;
	const char *wanted;
	const json_t *first, *named; /* items; the same item counts once */
	unsigned n, nnamed;
	bool any; /* the first one will do */
	char names[200];
	size_t names_len;
};

static int offer(struct visitor *v, const json_t *item, const char *name, struct cx_err *err)
{
	struct choice *c = cx_container_of(v, struct choice, v);

	(void)err;
	c->n += c->n == 0 || item != c->first;
	if (c->first == NULL)
		c->first = item;
	if (c->names_len < sizeof c->names)
		c->names_len +=
			(size_t)snprintf(c->names + c->names_len, sizeof c->names - c->names_len,
					 "%s%.60s", c->names_len > 0 ? ", " : "", name);
	if (strcmp(name, c->wanted) == 0 && item != c->named) {
		c->named = item;
		c->nnamed++;
	}
	return 0;
}

static int choose(const struct choice *c, const json_t **ret, struct cx_err *err)
{
	if (c->n == 0)
		return cx_refuse(err, CX_INVALID, "it holds no image for %s", c->v.platform);
	if (c->n > 1 && c->nnamed != 1 && !c->any)
		return cx_refuse(err, CX_INVALID,
				 "it holds %u images (%s), of which %u are called '%.100s': name "
				 "one of them",
				 c->n, c->names, c->nnamed, c->wanted);
	*ret = c->n == 1 || c->any ? c->first : c->named;
	return 0;
}

/* What an index led to: a manifest, or an index again. */
static int read_indexed(const struct cx_oci_source *source, const json_t *item, unsigned depth,
			struct cx_oci_image *image, struct cx_err *err)
{
	CX_AUTO(json_decrefp) json_t *doc = NULL;
	struct choice c = { .v = { platform_of(source), offer }, .wanted = "", .any = true };
	struct descriptor d;

	if (parse_descriptor(item, &d, err) < 0)
		return cx_wrap(err, "index");
	if (in_list(d.type, index_types) == NULL)
		return read_manifest(source, &d, image, err);
	if (depth == DEPTH_MAX)
		return cx_refuse(err, CX_INVALID, "indexes within indexes, more than %d deep",
				 DEPTH_MAX);
	if (load(source, CX_OCI_MANIFEST, d.file, d.size, JSON_OBJECT, &doc, err) < 0)
		return -err->errnum;
	if (visit_index(doc, &c.v, err) < 0 || choose(&c, &item, err) < 0)
		return cx_wrap(err, "index");
	return read_indexed(source, item, depth + 1, image, err);
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

static int read_saved(const struct cx_oci_source *source, const json_t *item,
		      struct cx_oci_image *image, struct cx_err *err)
{
	const char *config;

	if (read_saved_layers(item, image, err) < 0 ||
	    text_of(item, "Config", CX_OCI_NAME_MAX, &config, err) < 0)
		return cx_wrap(err, "manifest.json");
	return read_config(source, config, CX_OCI_ANY_SIZE, image, err);
}

/* ---- either
 * ------------------------------------------------------------------------------------------ */

void cx_oci_image_clear(struct cx_oci_image *image)
{
	cx_buf_free(&image->env);
	cx_buf_free(&image->entrypoint);
	cx_buf_free(&image->cmd);
	cx_buf_free(&image->manifest);
	cx_buf_free(&image->config);
}

static int read_chosen(const struct cx_oci_source *source, const char *wanted,
		       struct cx_oci_image *image, struct cx_err *err)
{
	CX_AUTO(json_decrefp) json_t *list = NULL;
	struct choice c = { .v = { platform_of(source), offer }, .wanted = wanted };
	const json_t *item = NULL;

	if (visit_archive(source, &c.v, &list, err) < 0 || choose(&c, &item, err) < 0)
		return -err->errnum;
	return is_layout(source) ? read_indexed(source, item, 0, image, err)
				 : read_saved(source, item, image, err);
}

int cx_oci_read(const struct cx_oci_source *source, const char *wanted, struct cx_oci_image *ret,
		struct cx_err *err)
{
	struct cx_oci_image *image = calloc(1, sizeof *image);
	int r;

	if (image == NULL)
		return cx_fail(err, ENOMEM, "image");
	r = read_chosen(source, wanted, image, err);
	if (r == 0)
		*ret = *image;
	else
		cx_oci_image_clear(image);
	free(image);
	return r;
}

struct names {
	struct visitor v;
	struct cx_buf *out;
};

static int add_name(struct visitor *v, const json_t *item, const char *name, struct cx_err *err)
{
	struct names *names = cx_container_of(v, struct names, v);

	(void)item;
	return cx_buf_add(names->out, name, strlen(name) + 1, err);
}

int cx_oci_names(const struct cx_oci_source *source, struct cx_buf *ret, struct cx_err *err)
{
	CX_AUTO(json_decrefp) json_t *list = NULL;
	struct names names = { .v = { platform_of(source), add_name }, .out = ret };

	return visit_archive(source, &names.v, &list, err);
}

/* ---- documents of our own
 * -------------------------------------------------------------------------- */

const char *cx_oci_layer_type(const uint8_t *magic, size_t len)
{
	static const uint8_t gzip[] = { 0x1f, 0x8b }, zstd[] = { 0x28, 0xb5, 0x2f, 0xfd };

	if (len >= sizeof gzip && memcmp(magic, gzip, sizeof gzip) == 0)
		return "application/vnd.oci.image.layer.v1.tar+gzip";
	if (len >= sizeof zstd && memcmp(magic, zstd, sizeof zstd) == 0)
		return "application/vnd.oci.image.layer.v1.tar+zstd";
	return "application/vnd.oci.image.layer.v1.tar";
}

/* Takes over doc, which is NULL when its parts did not fit into memory. */
static int dump(json_t *doc, struct cx_buf *ret, struct cx_err *err)
{
	cx_autofree char *text = doc != NULL ? json_dumps(doc, JSON_COMPACT) : NULL;

	json_decref(doc);
	cx_buf_free(ret);
	ret->max = CX_OCI_DOCUMENT_MAX;
	if (text == NULL)
		return cx_fail(err, ENOMEM, "an image's document");
	return cx_buf_add(ret, text, strlen(text), err);
}

static json_t *make_descriptor(const char *type, const uint8_t id[32], uint64_t bytes)
{
	char digest[CX_REF_DIGEST_LEN + 1];

	cx_ref_digest(id, digest);
	return json_pack("{s:s, s:s, s:I}", "mediaType", type, "digest", digest, "size",
			 (json_int_t)bytes);
}

int cx_oci_make_manifest(struct cx_oci_image *image, struct cx_err *err)
{
	json_t *layers = json_array();
	int r = layers != NULL ? 0 : -1;

	for (unsigned i = 0; i < image->nlayers && r == 0; i++)
		r = json_array_append_new(layers, make_descriptor(image->layers[i].media_type,
								  image->layers[i].blob_id,
								  image->layers[i].blob_bytes));
	if (r < 0) {
		json_decref(layers);
		layers = NULL;
	}
	image->manifest_type = manifest_types[0];
	if (dump(json_pack("{s:i, s:s, s:o, s:o}", "schemaVersion", 2, "mediaType",
			   image->manifest_type, "config",
			   make_descriptor("application/vnd.oci.image.config.v1+json",
					   image->config_id, image->config.len),
			   "layers", layers),
		 &image->manifest, err) < 0)
		return -err->errnum;
	return hash(&image->manifest, image->manifest_id, err);
}

int cx_oci_make_config(struct cx_oci_image *image, struct cx_err *err)
{
	char diff_id[CX_REF_DIGEST_LEN + 1];

	cx_ref_digest(image->layers[0].diff_id, diff_id);
	(void)strcpy(image->platform, CX_OCI_HOST_PLATFORM);
	if (dump(json_pack("{s:s, s:s, s:{}, s:{s:s, s:[s]}, s:[{s:s}]}", "architecture", "amd64",
			   "os", "linux", "config", "rootfs", "type", "layers", "diff_ids", diff_id,
			   "history", "created_by", "caisson image import"),
		 &image->config, err) < 0)
		return -err->errnum;
	return hash(&image->config, image->config_id, err);
}

/* NULL members are left out. */
static int set_text(json_t *object, const char *key, const char *text)
{
	return text == NULL || json_object_set_new(object, key, json_string(text)) == 0 ? 0 : -1;
}

static int append_step(json_t *config, const struct cx_oci_step *step)
{
	json_t *history = json_object_get(config, "history"), *item = json_object();

	if (history == NULL) {
		history = json_array();
		if (json_object_set_new(config, "history", history) < 0)
			history = NULL;
	}
	if (set_text(item, "created", step->created) < 0 ||
	    set_text(item, "created_by", step->created_by) < 0 ||
	    set_text(item, "author", step->author) < 0 ||
	    set_text(item, "comment", step->comment) < 0 ||
	    set_text(config, "author", step->author) < 0) {
		json_decref(item);
		return -1;
	}
	return json_array_append_new(history, item);
}

static int extend_config(struct cx_oci_image *image, const struct cx_oci_layer *layer,
			 const struct cx_oci_step *step, struct cx_err *err)
{
	CX_AUTO(json_decrefp) json_t *doc = NULL;
	char diff_id[CX_REF_DIGEST_LEN + 1];
	json_t *history, *ids;

	if (parse(&image->config, JSON_OBJECT, &doc, err) < 0 ||
	    member(doc, "history", JSON_ARRAY, &history, err) < 0)
		return cx_wrap(err, "image config");
	cx_ref_digest(layer->diff_id, diff_id);
	ids = json_object_get(json_object_get(doc, "rootfs"), "diff_ids");
	if (json_array_append_new(ids, json_string(diff_id)) < 0 ||
	    set_text(doc, "created", step->created) < 0 || append_step(doc, step) < 0)
		return cx_fail(err, ENOMEM, "an image's document");
	if (dump(json_incref(doc), &image->config, err) < 0)
		return -err->errnum;
	return hash(&image->config, image->config_id, err);
}

/* A manifest of ours is OCI's, whatever the one before it was. */
static const char *oci_type(const char *type)
{
	for (size_t i = OCI_LAYER_TYPES; layer_types[i] != NULL; i++)
		if (strcmp(layer_types[i], type) == 0)
			return layer_types[i - OCI_LAYER_TYPES];
	return type;
}

int cx_oci_add_layer(struct cx_oci_image *image, const struct cx_oci_layer *layer,
		     const struct cx_oci_step *step, struct cx_err *err)
{
	if (image->nlayers == CX_OCI_LAYERS_MAX)
		return cx_refuse(err, CX_LIMIT, "the image has %d layers, no more fit over it",
				 CX_OCI_LAYERS_MAX);
	if (extend_config(image, layer, step, err) < 0)
		return -err->errnum;
	image->layers[image->nlayers++] = *layer;
	for (unsigned i = 0; i < image->nlayers; i++)
		image->layers[i].media_type = oci_type(image->layers[i].media_type);
	return cx_oci_make_manifest(image, err);
}

int cx_oci_make_index(const char *type, const uint8_t id[32], uint64_t bytes, struct cx_buf *ret,
		      struct cx_err *err)
{
	return dump(json_pack("{s:i, s:[o]}", "schemaVersion", 2, "manifests",
			      make_descriptor(type, id, bytes)),
		    ret, err);
}

int cx_oci_history(const struct cx_buf *config, char **ret, struct cx_err *err)
{
	CX_AUTO(json_decrefp) json_t *doc = NULL;
	json_t *history;

	if (parse(config, JSON_OBJECT, &doc, err) < 0 ||
	    member(doc, "history", JSON_ARRAY, &history, err) < 0)
		return cx_wrap(err, "image config");
	*ret = history != NULL ? json_dumps(history, JSON_COMPACT | JSON_ENSURE_ASCII)
			       : strdup("[]");
	return *ret != NULL ? 0 : cx_fail(err, ENOMEM, "an image's history");
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
