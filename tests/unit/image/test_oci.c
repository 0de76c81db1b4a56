/* SPDX-License-Identifier: Apache-2.0 */
#include "image/oci.h"

#include <errno.h>
#include <string.h>

#include "base/str.h"
#include "check_main.h"

#define HEX(c)		  c c c c c c c c c c c c c c c c
#define A		  "sha256:" HEX("aaaa")
#define B		  "sha256:" HEX("bbbb")
#define M		  "sha256:" HEX("cccc")
#define FILE_OF(x)	  "blobs/sha256/" x
#define OCI		  "application/vnd.oci.image."
#define DESC(id)	  "{\"digest\":\"" id "\",\"size\":7}"
#define LAYER(id)	  "{\"mediaType\":\"" OCI "layer.v1.tar+gzip\",\"digest\":\"" id "\",\"size\":7}"
#define INDEX(list)	  "{\"schemaVersion\":2,\"manifests\":[" list "]}"
#define MANIFEST(list)	  "{\"schemaVersion\":2,\"config\":" DESC(A) ",\"layers\":[" list "]}"
#define CONFIG(ids, more) "{\"rootfs\":{\"diff_ids\":[" ids "]}" more "}"
#define ID_A		  "\"" A "\""
#define ID_B		  "\"" B "\""

/* The documents of an archive, by what they are; A is the config's digest, M the manifest's. */
struct archive {
	const char *index, *saved, *manifest, *config;
};

static const char good_index[] = INDEX(DESC(M)), good_manifest[] = MANIFEST(LAYER(B)),
		  good_config[] = CONFIG(ID_B, "");
static struct cx_oci_image image;
static struct cx_err err;

static const char *document(const struct archive *a, const char *file)
{
	static const char hex_m[] = HEX("cccc");

	if (strcmp(file, "index.json") == 0)
		return a->index;
	if (strcmp(file, "manifest.json") == 0)
		return a->saved;
	if (strncmp(file, "blobs/sha256/", 13) == 0 && strcmp(file + 13, hex_m) == 0)
		return a->manifest;
	return strstr(file, "aaaa") != NULL || strcmp(file, "c.json") == 0 ? a->config : NULL;
}

static bool has(void *arg, const char *file)
{
	return document(arg, file) != NULL;
}

/* Descriptors here say 7 bytes, whatever the document has: only that they arrive is of interest. */
static int read_document(void *arg, enum cx_oci_document what, const char *file, uint64_t bytes,
			 struct cx_buf *ret, struct cx_err *e)
{
	const char *text = document(arg, file);

	ck_assert_int_eq(what == CX_OCI_LIST,
			 strcmp(file, "index.json") == 0 || strcmp(file, "manifest.json") == 0);

	/* What a digest names has a descriptor with its size. */
	ck_assert(bytes == (strncmp(file, "blobs/", 6) == 0 ? 7 : CX_OCI_ANY_SIZE));
	if (text == NULL)
		return cx_refuse(e, CX_INVALID, "it has no '%s'", file);
	return cx_buf_add(ret, text, strlen(text), e);
}

static int read_image(struct archive archive, const char *wanted)
{
	const struct cx_oci_source source = { NULL, has, read_document, &archive };

	cx_oci_image_clear(&image);
	memset(&image, 0, sizeof image);
	err = (struct cx_err){ 0 };
	return cx_oci_read(&source, wanted, &image, &err);
}

static void end(void)
{
	cx_oci_image_clear(&image);
}

/* ---- what is read ---- */

START_TEST(a_layout)
{
	static const char config[] =
		CONFIG(ID_A "," ID_B, ",\"os\":\"linux\",\"architecture\":\"amd64\",\"config\":{"
				      "\"Env\":[\"A=1\",\"B=\"],\"Entrypoint\":null,\"Cmd\":[\"\"],"
				      "\"WorkingDir\":\"/w\",\"User\":\"1:2\"}");
	uint8_t id[32];

	ck_assert_int_eq(read_image((struct archive){ good_index, NULL,
						      MANIFEST(LAYER(B) "," LAYER(A)), config },
				    "any"),
			 0);
	ck_assert_uint_eq(image.nlayers, 2);
	ck_assert_str_eq(image.layers[0].file, FILE_OF(HEX("bbbb")));
	ck_assert(image.layers[0].has_blob_id);
	ck_assert_uint_eq(image.layers[0].blob_bytes, 7);
	memset(id, 0xaa, sizeof id);
	ck_assert_mem_eq(image.layers[0].diff_id, id, 32);
	ck_assert_mem_eq(image.layers[1].blob_id, id, 32);
	ck_assert_uint_eq(image.env.len, 7);
	ck_assert_mem_eq(image.env.p, "A=1\0B=\0", 7);
	ck_assert_uint_eq(image.entrypoint.len, 0);
	ck_assert_uint_eq(image.cmd.len, 1);
	ck_assert_str_eq(image.cwd, "/w");
	ck_assert_str_eq(image.user, "1:2");
	ck_assert_str_eq(image.manifest_type, "application/vnd.oci.image.manifest.v1+json");
	ck_assert_uint_eq(image.manifest.len, strlen(MANIFEST(LAYER(B) "," LAYER(A))));
	ck_assert_uint_eq(image.config.len, strlen(config));
	ck_assert_str_eq(image.layers[0].media_type, "application/vnd.oci.image.layer.v1.tar+gzip");
}
END_TEST

START_TEST(a_docker_archive)
{
	static const char saved[] = "[{\"Config\":\"c.json\",\"RepoTags\":[\"a:1\",\"a:2\"],"
				    "\"Layers\":[\"x/layer.tar\"]}]";

	ck_assert_int_eq(read_image((struct archive){ NULL, saved, NULL, good_config }, "b"), 0);
	ck_assert_str_eq(image.layers[0].file, "x/layer.tar");
	ck_assert(!image.layers[0].has_blob_id);
	ck_assert_ptr_null(image.manifest_type);
	ck_assert_int_eq(read_image((struct archive){ NULL, saved, NULL, good_config }, "a:2"), 0);
}
END_TEST

/* ---- one fault each ---- */

#define BAD_LAYER(fields) MANIFEST("{\"mediaType\":\"" OCI "layer.v1.tar\"," fields "}")

static const struct {
	const char *why;
	struct archive archive; /* NULL: the good one */
	const char *says;	/* NULL: it is fine */
} rows[] = {
	{ "all good", { .index = NULL }, NULL },
	{ "not JSON", { .index = "{" }, "index.json" },
	{ "not an object", { .index = "[]" }, "object" },
	{ "trailing bytes", { .config = CONFIG(ID_B, "") "x" }, "line 1" },
	{ "a key twice", { .config = CONFIG(ID_B, ",\"os\":\"linux\",\"os\":\"linux\"") }, "line" },
	{ "no schema version", { .manifest = "{\"layers\":[]}" }, "schemaVersion" },
	{ "schema version 1", { .manifest = "{\"schemaVersion\":1,\"layers\":[]}" }, "version 1" },
	{ "manifest and index",
	  { .manifest = "{\"schemaVersion\":2,\"layers\":[],\"manifests\":[]}" },
	  "manifests" },
	{ "index and manifest",
	  { .index = "{\"schemaVersion\":2,\"layers\":[],\"manifests\":[]}" },
	  "layers" },
	{ "index called manifest",
	  { .index = "{\"schemaVersion\":2,\"mediaType\":\"" OCI
		     "manifest.v1+json\",\"manifests\":[]}" },
	  "media type" },
	{ "unknown kind of manifest",
	  { .manifest = "{\"schemaVersion\":2,\"mediaType\":\"text/plain\",\"layers\":[]}" },
	  "media type 'text/plain'" },
	{ "no manifests", { .index = INDEX("") }, "no image" },
	{ "manifests is an object", { .index = "{\"schemaVersion\":2,\"manifests\":{}}" }, "type" },
	{ "a manifest that is text", { .index = INDEX("\"x\"") }, "object" },
	{ "another platform",
	  { .index = INDEX("{\"platform\":{\"os\":\"linux\",\"architecture\":\"arm64\"}}") },
	  "amd64" },
	{ "a manifest that is missing", { .index = INDEX(DESC(B)) }, FILE_OF("bbbb") },
	{ "an index within itself",
	  { .index = INDEX("{\"mediaType\":\"" OCI "index.v1+json\",\"digest\":\"" M
			   "\",\"size\":7}"),
	    .manifest = INDEX("{\"mediaType\":\"" OCI "index.v1+json\",\"digest\":\"" M
			      "\",\"size\":7}") },
	  "deep" },
	{ "no layers", { .manifest = MANIFEST("") }, "0 layers" },
	{ "layers is text",
	  { .manifest = "{\"schemaVersion\":2,\"config\":" DESC(A) ",\"layers\":\"\"}" },
	  "type" },
	{ "no config", { .manifest = "{\"schemaVersion\":2,\"layers\":[]}" }, "descriptor" },
	{ "unknown compression",
	  { .manifest = MANIFEST("{\"mediaType\":\"" OCI "layer.v1.tar+xz\",\"digest\":\"" B
				 "\",\"size\":1}") },
	  "tar+xz" },
	{ "foreign layer",
	  { .manifest = MANIFEST("{\"mediaType\":\"application/vnd.docker.image.rootfs.foreign."
				 "diff.tar.gzip\",\"digest\":\"" B "\",\"size\":1}") },
	  "foreign" },
	{ "no media type", { .manifest = MANIFEST(DESC(B)) }, "media type ''" },
	{ "no digest", { .manifest = BAD_LAYER("\"size\":1") }, "digest" },
	{ "a short digest",
	  { .manifest = BAD_LAYER("\"digest\":\"sha256:aa\",\"size\":1") },
	  "digest" },
	{ "a long digest",
	  { .manifest = BAD_LAYER("\"digest\":\"" A "a\",\"size\":1") },
	  "digest" },
	{ "another hash",
	  { .manifest = BAD_LAYER("\"digest\":\"sha512:" HEX("aaaa") "\",\"size\":1") },
	  "digest" },
	{ "capitals",
	  { .manifest = BAD_LAYER("\"digest\":\"sha256:" HEX("AAAA") "\",\"size\":1") },
	  "digest" },
	{ "a path as digest",
	  { .manifest = BAD_LAYER("\"digest\":\"sha256:../../x\",\"size\":1") },
	  "digest" },
	{ "no size", { .manifest = BAD_LAYER("\"digest\":\"" B "\"") }, "size" },
	{ "a negative size",
	  { .manifest = BAD_LAYER("\"digest\":\"" B "\",\"size\":-1") },
	  "size" },
	{ "half a size", { .manifest = BAD_LAYER("\"digest\":\"" B "\",\"size\":1.5") }, "size" },
	{ "the largest size",
	  { .manifest = BAD_LAYER("\"digest\":\"" B "\",\"size\":9223372036854775807") },
	  NULL },
	{ "a size that overflows",
	  { .manifest = BAD_LAYER("\"digest\":\"" B "\",\"size\":9223372036854775808") },
	  "integer" },
	{ "urls are not looked at",
	  { .manifest = BAD_LAYER("\"digest\":\"" B "\",\"size\":1,\"urls\":[\"http://x\"]") },
	  NULL },
	{ "another system", { .config = CONFIG(ID_B, ",\"os\":\"windows\"") }, "windows" },
	{ "another machine", { .config = CONFIG(ID_B, ",\"architecture\":\"arm64\"") }, "arm64" },
	{ "no rootfs", { .config = "{}" }, "rootfs" },
	{ "no diff ids", { .config = CONFIG("", "") }, "0 diff ids for 1" },
	{ "too many diff ids", { .config = CONFIG(ID_B "," ID_B, "") }, "2 diff ids for 1" },
	{ "a diff id that is none", { .config = CONFIG("7", "") }, "digest" },
	{ "config is null", { .config = CONFIG(ID_B, ",\"config\":null") }, NULL },
	{ "config is text", { .config = CONFIG(ID_B, ",\"config\":\"\"") }, "config" },
	{ "Cmd is text", { .config = CONFIG(ID_B, ",\"config\":{\"Cmd\":\"sh\"}") }, "Cmd" },
	{ "Env has a number", { .config = CONFIG(ID_B, ",\"config\":{\"Env\":[1]}") }, "Env" },
	{ "Env has NUL",
	  { .config = CONFIG(ID_B, ",\"config\":{\"Env\":[\"a\\u0000b\"]}") },
	  "line" },
};

START_TEST(one_fault)
{
	const struct archive *given = &rows[_i].archive;
	const struct archive archive = {
		.index = given->index != NULL ? given->index : good_index,
		.manifest = given->manifest != NULL ? given->manifest : good_manifest,
		.config = given->config != NULL ? given->config : good_config,
	};
	int r = read_image(archive, "x");

	ck_assert_msg((r == 0) == (rows[_i].says == NULL), "%s: %s", rows[_i].why, err.msg);
	if (r == 0)
		return;
	ck_assert_uint_eq(err.kind, CX_INVALID);
	ck_assert_msg(strstr(err.msg, rows[_i].says) != NULL, "%s: %s", rows[_i].why, err.msg);
	ck_assert_uint_eq(image.nlayers, 0); /* written on success only */
}
END_TEST

/* ---- limits ---- */

static void add(struct cx_buf *out, const char *text)
{
	ck_assert_int_eq(cx_buf_add(out, text, strlen(text), &err), 0);
}

/* before, n times piece with commas, after; ended by NUL, the caller frees it. */
static char *list_of(const char *before, const char *piece, unsigned n, const char *after)
{
	struct cx_buf out = { .max = CX_OCI_DOCUMENT_MAX };

	add(&out, before);
	for (unsigned i = 0; i < n; i++) {
		add(&out, i > 0 ? "," : "");
		add(&out, piece);
	}
	add(&out, after);
	ck_assert_int_eq(cx_buf_add(&out, "", 1, &err), 0);
	return out.p;
}

START_TEST(number_of_layers)
{
	const unsigned n = CX_OCI_LAYERS_MAX + (unsigned)_i;
	char *manifest = list_of("{\"schemaVersion\":2,\"config\":" DESC(A) ",\"layers\":[",
				 LAYER(B), n, "]}");
	char *config = list_of("{\"rootfs\":{\"diff_ids\":[", ID_B, n, "]}}");
	char *saved = list_of("[{\"Config\":\"c.json\",\"Layers\":[", "\"l\"", n, "]}]");
	int want = _i == 0 ? 0 : -EINVAL;

	ck_assert_int_eq(read_image((struct archive){ good_index, NULL, manifest, config }, "x") <
				 0,
			 want < 0);
	ck_assert_uint_eq(image.nlayers, want == 0 ? n : 0);
	ck_assert_int_eq(read_image((struct archive){ NULL, saved, NULL, config }, "x") < 0,
			 want < 0);
	free(manifest);
	free(config);
	free(saved);
}
END_TEST

/* How many strings, of how many bytes, in which list. */
static const struct {
	const char *before, *piece, *after;
	unsigned n;
	bool fine;
} limits[] = {
	{ ",\"config\":{\"Env\":[", "\"1234567\"", "]}", 4096, true },
	{ ",\"config\":{\"Env\":[", "\"\"", "]}", 4097, false },
	{ ",\"config\":{\"Cmd\":[", "\"123456789abcdef\"", "]}", 4096, true },
	{ ",\"config\":{\"Cmd\":[", "\"123456789abcdefg\"", "]}", 4096, false },
	{ ",\"config\":{\"User\":\"", "1234", "\"}", 51, true }, /* and 50 commas: 254 */
	{ ",\"config\":{\"User\":\"", "1234", "5\"}", 51, true },
	{ ",\"config\":{\"User\":\"", "1234", "56\"}", 51, false },
	{ ",\"config\":{\"WorkingDir\":\"", "1234", "\"}", 819, true }, /* 4094 */
	{ ",\"config\":{\"WorkingDir\":\"", "1234", "5\"}", 819, true },
	{ ",\"config\":{\"WorkingDir\":\"", "1234", "56\"}", 819, false },
};

START_TEST(lengths_at_the_limit)
{
	char *more = list_of(limits[_i].before, limits[_i].piece, limits[_i].n, limits[_i].after);
	char *config = list_of("{\"rootfs\":{\"diff_ids\":[" ID_B "]}", more, 1, "}");

	ck_assert_int_eq(
		read_image((struct archive){ good_index, NULL, good_manifest, config }, "x") == 0,
		limits[_i].fine);
	free(more);
	free(config);
}
END_TEST

START_TEST(name_of_a_layer)
{
	char name[512], saved[700];

	memset(name, 'n', sizeof name);
	name[CX_OCI_NAME_MAX + _i] = '\0';
	(void)snprintf(saved, sizeof saved, "[{\"Config\":\"c.json\",\"Layers\":[\"%s\"]}]", name);
	ck_assert_int_eq(read_image((struct archive){ NULL, saved, NULL, good_config }, "x") == 0,
			 _i == 0);
}
END_TEST

START_TEST(a_deep_document)
{
	char *deep = malloc(100001);

	ck_assert_ptr_nonnull(deep);
	memset(deep, '[', 100000);
	deep[100000] = '\0';
	ck_assert_int_lt(read_image((struct archive){ deep, NULL, NULL, NULL }, "x"), 0);
	ck_assert_int_lt(read_image((struct archive){ NULL, deep, NULL, NULL }, "x"), 0);
	free(deep);
}
END_TEST

/* ---- which image ---- */

#define NAMED(name, id)                                                         \
	"{\"digest\":\"" id                                                     \
	"\",\"size\":7,\"annotations\":{\"org.opencontainers.image.ref.name\":" \
	"\"" name "\"}}"
#define SAVED(tag) "{\"Config\":\"c.json\",\"RepoTags\":[\"" tag "\"],\"Layers\":[\"l\"]}"

static const struct {
	const char *index, *saved, *wanted;
	bool good; /* M can be read, B cannot */
} choices[] = {
	{ INDEX(NAMED("a", M)), NULL, "other", true },
	{ INDEX(NAMED("a", B) "," NAMED("b", M)), NULL, "b", true },
	{ INDEX(NAMED("a", M) "," NAMED("b", M)), NULL, "c", false },
	{ INDEX(NAMED("a", M) "," NAMED("a", M)), NULL, "a", false },
	{ INDEX("{\"platform\":{\"os\":\"linux\",\"architecture\":\"s390x\"}}," NAMED("a", M)),
	  NULL, "x", true },
	{ NULL, "[" SAVED("a") "," SAVED("b") "]", "b", true },
	{ NULL, "[" SAVED("a") "," SAVED("b") "]", "c", false },
	{ NULL, "[" SAVED("a") "," SAVED("a") "]", "a", false },
	{ NULL, "[]", "a", false },
	{ NULL, "[7]", "a", false },
	{ NULL, NULL, "a", false },
};

START_TEST(which_image)
{
	const struct archive archive = { choices[_i].index, choices[_i].saved, good_manifest,
					 good_config };
	int r = read_image(archive, choices[_i].wanted);

	ck_assert_msg((r == 0) == choices[_i].good, "%d: %s", _i, err.msg);
	if (r == 0)
		ck_assert_int_eq(image.manifest_type != NULL, choices[_i].index != NULL);
}
END_TEST

static const struct {
	const char *index, *saved, *names; /* each ended by a comma; NULL: refused */
} lists[] = {
	{ INDEX(NAMED("a", M)), NULL, "a," },
	{ INDEX(NAMED("a", M) "," NAMED("b", B) "," NAMED("a", B)), NULL, "a,b,a," },
	{ INDEX("{\"digest\":\"" M "\",\"size\":7}"), NULL, "," },
	{ INDEX("{\"platform\":{\"os\":\"linux\",\"architecture\":\"s390x\"}}," NAMED("a", M)),
	  NULL, "a," },
	{ INDEX("{\"annotations\":7}"), NULL, NULL },
	{ NULL, "[" SAVED("a") "," SAVED("b") "]", "a,b," },
	{ NULL, "[{\"RepoTags\":[\"a\",\"b\"]},{\"RepoTags\":null}]", "a,b,," },
	{ NULL, "[{\"RepoTags\":[7]}]", NULL },
	{ NULL, "[]", "" },
	{ NULL, NULL, NULL },
};

START_TEST(all_names)
{
	struct archive archive = { lists[_i].index, lists[_i].saved, good_manifest, good_config };
	const struct cx_oci_source source = { NULL, has, read_document, &archive };
	CX_AUTO(cx_buf_free) struct cx_buf names = { .max = 100 };
	int r = cx_oci_names(&source, &names, &err);

	ck_assert_msg((r == 0) == (lists[_i].names != NULL), "%d: %s", _i, err.msg);
	if (r < 0)
		return;
	for (size_t i = 0; i < names.len; i++)
		names.p[i] = names.p[i] == '\0' ? ',' : names.p[i];
	ck_assert_uint_eq(names.len, strlen(lists[_i].names));
	ck_assert_int_eq(names.len > 0 ? memcmp(names.p, lists[_i].names, names.len) : 0, 0);
}
END_TEST

#define FOR(arch, variant, id)                                                               \
	"{\"digest\":\"" id "\",\"size\":7,\"platform\":{\"os\":\"linux\",\"architecture\":" \
	"\"" arch "\",\"variant\":\"" variant "\"}}"
#define CONFIG_FOR(arch) CONFIG(ID_A, ",\"os\":\"linux\",\"architecture\":\"" arch "\"")

static const struct {
	const char *index, *config, *wanted, *is; /* is NULL: refused */
} platforms[] = {
	{ FOR("amd64", "", M) "," FOR("arm64", "v8", B), CONFIG_FOR("amd64"), NULL, "linux/amd64" },
	{ FOR("amd64", "", B) "," FOR("arm64", "v8", M), CONFIG_FOR("arm64"), "linux/arm64",
	  "linux/arm64" },
	{ FOR("arm", "v6", B) "," FOR("arm", "v7", M), CONFIG_FOR("arm"), "linux/arm/v7",
	  "linux/arm" },
	{ FOR("arm", "v6", M), CONFIG_FOR("arm"), "linux/arm/v7", NULL },
	{ FOR("arm64", "v8", M), CONFIG_FOR("arm64"), NULL, NULL },
	{ FOR("amd64", "", M), CONFIG_FOR("arm64"), NULL, NULL }, /* the index is wrong */
	{ "{\"digest\":\"" M "\",\"size\":7}", CONFIG(ID_A, ""), NULL, "linux/amd64" },
};

START_TEST(which_platform)
{
	char index[1024];
	struct archive archive = { index, NULL, good_manifest, platforms[_i].config };
	const struct cx_oci_source source = { platforms[_i].wanted, has, read_document, &archive };
	int r;

	(void)snprintf(index, sizeof index, INDEX("%s"), platforms[_i].index);
	cx_oci_image_clear(&image);
	memset(&image, 0, sizeof image);
	r = cx_oci_read(&source, "", &image, &err);
	ck_assert_msg((r == 0) == (platforms[_i].is != NULL), "%d: %s", _i, err.msg);
	if (r == 0)
		ck_assert_str_eq(image.platform, platforms[_i].is);
}
END_TEST

static const struct {
	const char *text;
	bool good;
} platform_names[] = {
	{ "linux/amd64", true },
	{ "linux/arm/v7", true },
	{ "windows/amd64", true },
	{ "linux", false },
	{ "", false },
	{ "/", false },
	{ "linux/", false },
	{ "/amd64", false },
	{ "linux//v7", false },
	{ "linux/arm/v7/x", false },
	{ "linux/arm/", false },
	{ "Linux/amd64", false },
	{ "linux/a b", false },
	{ "linux/aaaaaaaaaabbbbbbbbbbccccccccccddddddddddeeeeeeeeeeffffffffff", false },
};

START_TEST(names_of_platforms)
{
	ck_assert_int_eq(cx_oci_check_platform(platform_names[_i].text, "platform", &err) == 0,
			 platform_names[_i].good);
}
END_TEST

START_TEST(an_image_without_documents_gets_them)
{
	struct cx_oci_image first = { .nlayers = 1 }, second = { .nlayers = 1 };
	struct cx_oci_layer layer = { .media_type =
					      cx_oci_layer_type((const uint8_t *)"\x1f\x8b", 2),
				      .diff_id = { 1 },
				      .blob_id = { 2 },
				      .blob_bytes = 3 };

	first.layers[0] = second.layers[0] = layer;
	ck_assert_int_eq(cx_oci_make_config(&first, &err), 0);
	ck_assert_int_eq(cx_oci_make_manifest(&first, &err), 0);
	ck_assert_int_eq(cx_oci_make_config(&second, &err), 0);
	ck_assert_int_eq(cx_oci_make_manifest(&second, &err), 0);
	ck_assert_mem_eq(first.manifest_id, second.manifest_id, 32);
	ck_assert_mem_eq(first.manifest.p, second.manifest.p, first.manifest.len);
	ck_assert_ptr_nonnull(memmem(first.manifest.p, first.manifest.len, "v1.tar+gzip", 11));
	ck_assert_ptr_nonnull(memmem(first.config.p, first.config.len, "sha256:0100", 11));
	cx_oci_image_clear(&first);
	cx_oci_image_clear(&second);
}
END_TEST

static const struct cx_oci_step step = { "2024-01-02T03:04:05Z", "test", "me", "why" };

static bool says(const struct cx_buf *document, const char *text)
{
	return memmem(document->p, document->len, text, strlen(text)) != NULL;
}

START_TEST(a_layer_over_an_image)
{
	struct cx_oci_layer layer = { .media_type = cx_oci_layer_type(NULL, 0),
				      .diff_id = { 1 },
				      .blob_id = { 2 },
				      .blob_bytes = 3 };
	static const char config[] = CONFIG(ID_B, ",\"author\":\"old\",\"x\":[1],\"config\":{"
						  "\"Cmd\":[\"a\"]},\"history\":[{\"k\":1}]");
	struct cx_oci_image again;
	const struct archive a = { good_index, NULL, good_manifest, config };

	ck_assert_int_eq(read_image(a, "any"), 0);
	ck_assert_msg(cx_oci_add_layer(&image, &layer, &step, &err) == 0, "%s", err.msg);
	ck_assert_uint_eq(image.nlayers, 2);
	ck_assert(says(&image.config, "\"diff_ids\":[\"" B "\",\"sha256:0100"));
	ck_assert(says(&image.config,
		       "\"history\":[{\"k\":1},{\"created\":\"2024-01-02T03:04:05Z\","
		       "\"created_by\":\"test\",\"author\":\"me\",\"comment\":\"why\"}]"));
	ck_assert(says(&image.config, "\"author\":\"me\",\"x\":[1],\"config\":{\"Cmd\":[\"a\"]}"));
	ck_assert(says(&image.manifest, "layer.v1.tar\",\"digest\":\"sha256:0200"));
	again = image;
	memset(&image, 0, sizeof image);
	ck_assert_int_eq(read_image(a, "any"), 0);
	ck_assert_int_eq(cx_oci_add_layer(&image, &layer, &step, &err), 0);
	ck_assert_mem_eq(again.manifest_id, image.manifest_id, 32);
	ck_assert_mem_eq(again.config_id, image.config_id, 32);
	cx_oci_image_clear(&again);
}
END_TEST

/* A manifest of OCI's names OCI's types; an image without history begins one. */
START_TEST(a_layer_over_docker_s)
{
	struct cx_oci_layer layer = { .media_type = cx_oci_layer_type(NULL, 0) };
	const struct cx_oci_step bare = { "2024-01-02T03:04:05Z", "test", NULL, NULL };

	ck_assert_int_eq(
		read_image((struct archive){ good_index, NULL, good_manifest, good_config }, "any"),
		0);
	image.layers[0].media_type = "application/vnd.docker.image.rootfs.diff.tar.gzip";
	ck_assert_int_eq(cx_oci_add_layer(&image, &layer, &bare, &err), 0);
	ck_assert_str_eq(image.layers[0].media_type, "application/vnd.oci.image.layer.v1.tar+gzip");
	ck_assert(!says(&image.manifest, "docker"));
	ck_assert(says(&image.config, "\"history\":[{\"created\":\"2024-01-02T03:04:05Z\","
				      "\"created_by\":\"test\"}]"));
	while (image.nlayers < CX_OCI_LAYERS_MAX)
		ck_assert_int_eq(cx_oci_add_layer(&image, &layer, &bare, &err), 0);
	ck_assert_int_lt(cx_oci_add_layer(&image, &layer, &bare, &err), 0);
	ck_assert_uint_eq(err.kind, CX_LIMIT);
}
END_TEST

START_TEST(history_is_an_array)
{
	char with[] = "{\"history\":[{\"created_by\":\"\\u001b[2J\"}]}", without[] = "{}",
	     bad[] = "{\"history\":7}";
	struct cx_buf config = { .p = with, .len = strlen(with) };
	cx_autofree char *first = NULL, *second = NULL, *third = NULL;

	ck_assert_int_eq(cx_oci_history(&config, &first, &err), 0);
	ck_assert_str_eq(first, "[{\"created_by\":\"\\u001B[2J\"}]");
	config = (struct cx_buf){ .p = without, .len = strlen(without) };
	ck_assert_int_eq(cx_oci_history(&config, &second, &err), 0);
	ck_assert_str_eq(second, "[]");
	config = (struct cx_buf){ .p = bad, .len = strlen(bad) };
	ck_assert_int_lt(cx_oci_history(&config, &third, &err), 0);
}
END_TEST

/* ---- links of docker archives ---- */

static const struct {
	const char *file, *target, *want; /* NULL: refused */
} links[] = {
	{ "a/layer.tar", "../b/layer.tar", "b/layer.tar" },
	{ "a/layer.tar", "b", "a/b" },
	{ "layer.tar", "b", "b" },
	{ "a/b/c", "./..//../d/.", "d" },
	{ "a/b", "..", "" },
	{ "a/b", "../..", NULL },
	{ "a/b", "../../a/b", NULL },
	{ "b", "..", NULL },
	{ "a/b", "/etc/passwd", NULL },
	{ "a/b", "c/../../..", NULL },
	{ "a/b", "123456789abcd", "a/123456789abcd" }, /* 15 of 16 bytes */
	{ "a/b", "123456789abcde", NULL },
	{ "123456789abcdefg/b", "c", NULL },
	{ "a/b", "...", "a/..." },
};

START_TEST(links_stay_inside)
{
	char ret[16];
	int r;

	memset(ret, 'x', sizeof ret);
	err = (struct cx_err){ 0 };
	r = cx_oci_resolve(links[_i].file, links[_i].target, ret, sizeof ret, &err);
	ck_assert_msg((r == 0) == (links[_i].want != NULL), "%s", links[_i].target);
	if (r == 0)
		ck_assert_str_eq(ret, links[_i].want);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("oci");
	TCase *tc = tcase_create("oci");

	tcase_add_checked_fixture(tc, NULL, end);
	tcase_add_test(tc, a_layout);
	tcase_add_test(tc, a_docker_archive);
	tcase_add_loop_test(tc, one_fault, 0, CX_LEN(rows));
	tcase_add_loop_test(tc, number_of_layers, 0, 2);
	tcase_add_loop_test(tc, lengths_at_the_limit, 0, CX_LEN(limits));
	tcase_add_loop_test(tc, name_of_a_layer, 0, 2);
	tcase_add_test(tc, a_deep_document);
	tcase_add_loop_test(tc, which_image, 0, CX_LEN(choices));
	tcase_add_loop_test(tc, all_names, 0, CX_LEN(lists));
	tcase_add_loop_test(tc, which_platform, 0, CX_LEN(platforms));
	tcase_add_loop_test(tc, names_of_platforms, 0, CX_LEN(platform_names));
	tcase_add_test(tc, an_image_without_documents_gets_them);
	tcase_add_test(tc, a_layer_over_an_image);
	tcase_add_test(tc, a_layer_over_docker_s);
	tcase_add_test(tc, history_is_an_array);
	tcase_add_loop_test(tc, links_stay_inside, 0, CX_LEN(links));
	suite_add_tcase(suite, tc);
	return run_suite(suite);
}
