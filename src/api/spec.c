/* SPDX-License-Identifier: Apache-2.0 */
#include "api/spec.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/random.h>

#include "api/json.h"
#include "api/jsonw.h"
#include "api/network.h"
#include "proto/agent_msgs.h"

enum {
	NAME_BYTES = 128,
	LABELS_COUNT = 64,
	ENV_BYTES = 60 * 1024, /* each of environment_vars and secrets; the image's comes on top */
	START_BYTES = 65000,
	PIDS_DEFAULT = 4096,
	MINUTES_MAX = 5256000, /* ten years */
	LEASE_SECONDS_MAX = 86400,
};

static const double gb = 1024.0 * 1024 * 1024;
static const double minutes_min = 0.001;
static const double memory_gb_min = 1.0 / 64; /* 16 MiB: the smallest Python starts in it */

#define AUTO_DOC CX_AUTO(cx_json_free) struct json_t

/* ---- names ---------------------------------------------------------------------------------- */

static int random_name(char ret[NAME_BYTES + 1])
{
	static const char *const first[] = { "amber", "brisk",	"calm",	  "deep", "early", "fair",
					     "green", "humble", "ivory",  "keen", "lucid", "mild",
					     "noble", "quiet",	"silent", "tidal" };
	static const char *const second[] = { "anchor", "basin",  "cove",  "delta", "eddy", "fjord",
					      "gull",	"harbor", "inlet", "kelp",  "lock", "mole",
					      "otter",	"pier",	  "reef",  "weir" };
	uint8_t r[6] = { 0 };

	if (getrandom(r, sizeof r, 0) != sizeof r)
		return -EIO;
	(void)snprintf(ret, NAME_BYTES + 1, "%s-%s-%02x%02x%02x%02x", first[r[0] % 16],
		       second[r[1] % 16], r[2], r[3], r[4], r[5]);
	return 0;
}

static int parse_name(const struct json_t *doc, char **ret, struct cx_err *err)
{
	char generated[NAME_BYTES + 1];
	const char *name = NULL;
	int r = cx_json_text(doc, "name", NAME_BYTES, &name, err);

	if (r < 0)
		return r;
	if (r == 0) {
		if (random_name(generated) < 0)
			return cx_fail(err, EIO, "make a name");
		name = generated;
	}
	if (name[0] == '\0')
		return cx_refuse(err, CX_INVALID, "'name' is empty; leave it out to get one");
	for (const char *c = name; *c != '\0'; c++)
		if ((unsigned char)*c < 0x20 || *c == 0x7f || *c == '/')
			return cx_refuse(err, CX_INVALID,
					 "'name' must not hold '/' or control characters");
	*ret = strdup(name);
	return *ret != NULL ? 0 : cx_fail(err, ENOMEM, "name");
}

void cx_spec_hostname(const char *name, char ret[64])
{
	size_t len = 0;

	for (; *name != '\0' && len < 63; name++) {
		char c = *name;
		bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');

		if (letter || (c >= '0' && c <= '9'))
			ret[len++] = c;
		else if (len > 0 && ret[len - 1] != '-')
			ret[len++] = '-';
	}
	while (len > 0 && ret[len - 1] == '-')
		len--;
	ret[len] = '\0';
	if (len == 0)
		(void)snprintf(ret, 64, "sandbox");
}

int cx_image_name(const char *given, const char *field, const char *default_host,
		  char ret[CX_IMAGE_NAME_MAX + 1], struct cx_err *err)
{
	struct cx_ref ref;

	if (cx_ref_parse(given, default_host, &ref, err) < 0)
		return cx_wrap(err, "'%s'", field);
	cx_ref_short(&ref, default_host, ret);
	return 0;
}

static int parse_image(const struct json_t *doc, const struct cx_host *host,
		       struct cx_sandbox_row *row, struct cx_err *err)
{
	char name[CX_IMAGE_NAME_MAX + 1];
	const char *given = NULL;
	int r = cx_json_text(doc, "docker_image", 512, &given, err);

	if (r < 0)
		return r;
	if (r == 0)
		return cx_refuse(err, CX_INVALID,
				 "'docker_image' is missing: the name of an imported image");
	if (cx_image_name(given, "docker_image", host->registry, name, err) < 0)
		return -err->errnum;
	row->image = strdup(given);
	row->image_name = strdup(name);
	if (row->image == NULL || row->image_name == NULL)
		return cx_fail(err, ENOMEM, "image name");
	return 0;
}

static int parse_pull(const struct json_t *doc, enum cx_pull_policy *ret, struct cx_err *err)
{
	static const char *const words[] = { [CX_PULL_MISSING] = "missing",
					     [CX_PULL_ALWAYS] = "always",
					     [CX_PULL_NEVER] = "never" };
	const char *given = NULL;
	int r = cx_json_text(doc, "pull_policy", 16, &given, err);

	if (r <= 0)
		return r;
	for (unsigned i = 0; i < CX_LEN(words); i++) {
		if (strcmp(given, words[i]) == 0) {
			*ret = (enum cx_pull_policy)i;
			return 0;
		}
	}
	return cx_refuse(err, CX_INVALID,
			 "'pull_policy' must be \"missing\", \"always\" or \"never\"");
}

/* ---- numbers -------------------------------------------------------------------------------- */

static int parse_cpu(const struct json_t *doc, const struct cx_host *host,
		     struct cx_sandbox_row *row, struct cx_err *err)
{
	row->cpu_cores = 1;
	if (cx_json_real(doc, "cpu_cores", 0.01, host->cpus, &row->cpu_cores, err) < 0)
		return cx_wrap(err, "this host has %u", host->cpus);
	return 0;
}

static int parse_memory(const struct json_t *doc, const struct cx_host *host,
			struct cx_sandbox_row *row, struct cx_err *err)
{
	double most = (double)host->memory_bytes / gb;

	row->memory_gb = most < 2 ? most : 2;
	return cx_json_real(doc, "memory_gb", memory_gb_min, most, &row->memory_gb, err) < 0
		       ? -err->errnum
		       : 0;
}

/* Fractions are taken, so that tests need not wait for minutes. What is left out stays. */
static int parse_timeout(const struct json_t *doc, struct cx_sandbox_row *row, struct cx_err *err)
{
	if (cx_json_real(doc, "timeout_minutes", -1, MINUTES_MAX, &row->timeout_minutes, err) < 0)
		return -err->errnum;
	if (row->timeout_minutes != -1 && row->timeout_minutes < minutes_min)
		return cx_refuse(err, CX_INVALID,
				 "'timeout_minutes' must be more than 0, or -1 for none");
	return cx_json_real(doc, "idle_timeout_minutes", minutes_min, MINUTES_MAX,
			    &row->idle_timeout_minutes, err) < 0
		       ? -err->errnum
		       : 0;
}

static int parse_numbers(const struct json_t *doc, const struct cx_host *host,
			 struct cx_sandbox_row *row, struct cx_err *err)
{
	int64_t gpus = 0;

	row->disk_size_gb = host->disk_bytes > 0 ? (double)host->disk_bytes / gb : 5;
	row->pids_limit = PIDS_DEFAULT;
	row->timeout_minutes = 60;
	if (parse_cpu(doc, host, row, err) < 0 || parse_memory(doc, host, row, err) < 0 ||
	    cx_json_real(doc, "disk_size_gb", 0.01, 1048576, &row->disk_size_gb, err) < 0 ||
	    cx_json_int(doc, "pids_limit", 8, 4194304, &row->pids_limit, err) < 0 ||
	    parse_timeout(doc, row, err) < 0 ||
	    cx_json_int(doc, "gpu_count", 0, 1024, &gpus, err) < 0)
		return -err->errnum;
	if (gpus > 0)
		return cx_refuse(err, CX_INVALID, "'gpu_count' must be 0: there are no GPUs here");
	return 0;
}

uint64_t cx_spec_memory_bytes(const struct cx_sandbox_row *row)
{
	return (uint64_t)(row->memory_gb * gb) & ~(uint64_t)4095;
}

uint64_t cx_spec_disk_bytes(const struct cx_sandbox_row *row)
{
	return (uint64_t)(row->disk_size_gb * gb) & ~(uint64_t)4095;
}

static int parse_lease(const struct json_t *doc, struct cx_sandbox_row *row, struct cx_err *err)
{
	enum cx_json_type type = cx_json_type(doc, "lease");

	if (type == CX_JSON_ABSENT)
		return 0;
	if (type == CX_JSON_OBJECT && cx_json_int(cx_json_member(doc, "lease"), "heartbeat_seconds",
						  1, LEASE_SECONDS_MAX, &row->lease_s, err) < 0)
		return cx_wrap(err, "'lease'");
	return row->lease_s > 0 ? 0
				: cx_refuse(err, CX_INVALID,
					    "'lease' must be {\"heartbeat_seconds\": 1 to %d}",
					    LEASE_SECONDS_MAX);
}

static int parse_scratch(const struct json_t *doc, bool *ret, struct cx_err *err)
{
	const char *given = NULL;
	int r = cx_json_text(doc, "scratch", 16, &given, err);

	if (r <= 0)
		return r;
	*ret = strcmp(given, "memory") == 0;
	if (!*ret && strcmp(given, "disk") != 0)
		return cx_refuse(err, CX_INVALID, "'scratch' must be \"disk\" or \"memory\"");
	return 0;
}

/* ---- texts, lists and maps ------------------------------------------------------------------ */

static int keep_text(const struct json_t *doc, const char *field, size_t max, char **ret,
		     struct cx_err *err)
{
	const char *text = NULL;
	int r = cx_json_text(doc, field, max, &text, err);

	if (r <= 0 || text[0] == '\0')
		return r < 0 ? r : 0;
	*ret = strdup(text);
	return *ret != NULL ? 0 : cx_fail(err, ENOMEM, "'%s'", field);
}

/* An array of strings, kept as JSON text. */
static int keep_list(const struct json_t *doc, const char *field, size_t count, size_t each,
		     char **ret, struct cx_err *err)
{
	CX_AUTO(cx_buf_free) struct cx_buf list = { .max = 65536 };
	struct cx_str strv;
	int r = cx_json_strv(doc, field, &list, err);

	if (r <= 0)
		return r;
	strv = cx_str_of_buf(&list);
	if (cx_strv_count(strv) > count)
		return cx_refuse(err, CX_INVALID, "'%s' has more than %zu entries", field, count);
	CX_STRV_FOREACH (item, strv) {
		if (item[0] == '\0' || strlen(item) > each)
			return cx_refuse(err, CX_INVALID,
					 "an entry of '%s' is empty or longer than %zu bytes",
					 field, each);
	}
	return cx_json_dump(doc, field, ret, err);
}

static int parse_environment(const struct json_t *doc, struct cx_spec *spec, struct cx_err *err)
{
	spec->env.max = ENV_BYTES;
	if (cx_json_env(doc, "environment_vars", &spec->env, err) < 0)
		return -err->errnum;
	spec->env.max = spec->env.len + ENV_BYTES;
	if (cx_json_env(doc, "secrets", &spec->env, err) < 0)
		return -err->errnum;
	if (cx_json_dump(doc, "environment_vars", &spec->row.environment_vars, err) < 0)
		return -err->errnum;
	return cx_json_dump_keys(doc, "secrets", &spec->row.secret_names, err);
}

static int parse_network(const struct json_t *doc, const struct cx_host *host,
			 struct cx_sandbox_row *row, struct cx_err *err)
{
	struct cx_network_fields fields = { .allow = "network_allowlist",
					    .deny = "network_denylist",
					    .access = true,
					    .enforced = host->network };

	row->network_generation = 1;
	if (cx_json_bool(doc, "network_access", &fields.access, err) < 0 ||
	    cx_network_parse(doc, &fields, row, err) < 0)
		return -err->errnum;
	return cx_network_parse_name(doc, "network", host->network, row, err) < 0 ? -err->errnum
										  : 0;
}

static int parse_texts(const struct json_t *doc, struct cx_sandbox_row *row, struct cx_err *err)
{
	const char *arch = NULL;

	if (cx_json_text(doc, "arch", 16, &arch, err) < 0 ||
	    keep_list(doc, "labels", LABELS_COUNT, 256, &row->labels, err) < 0 ||
	    keep_text(doc, "team_id", 128, &row->team_id, err) < 0 ||
	    keep_text(doc, "region", 64, &row->region, err) < 0 ||
	    keep_text(doc, "idempotency_key", 256, &row->idempotency_key, err) < 0)
		return -err->errnum;
	if (arch != NULL && strcmp(arch, "amd64") != 0)
		return cx_refuse(err, CX_INVALID, "'arch' is '%s'; this host is amd64", arch);
	if (row->labels != NULL)
		return 0;
	row->labels = strdup("[]");
	return row->labels != NULL ? 0 : cx_fail(err, ENOMEM, "'labels'");
}

/* ---- the start command ---------------------------------------------------------------------- */

/* Clients of one generation always send this text; it has always meant "do nothing". */
static bool is_idle(const char *text)
{
	return text[0] == '\0' || strcmp(text, "tail -f /dev/null") == 0;
}

static int add_arg(struct cx_buf *argv, const char *arg, struct cx_err *err)
{
	if (cx_buf_add(argv, arg, strlen(arg) + 1, err) < 0)
		return cx_refuse(err, CX_INVALID, "'start_command' is longer than %d bytes",
				 START_BYTES);
	return 0;
}

static int parse_shell_start(const struct json_t *doc, struct cx_buf *argv, struct cx_err *err)
{
	const char *text = NULL;

	if (cx_json_text(doc, "start_command", START_BYTES, &text, err) < 0)
		return -err->errnum;
	if (is_idle(text))
		return 0;
	if (add_arg(argv, "/bin/sh", err) < 0 || add_arg(argv, "-c", err) < 0)
		return -err->errnum;
	return add_arg(argv, text, err);
}

static int parse_object_start(const struct json_t *start, struct cx_buf *argv, struct cx_err *err)
{
	const char *executable = NULL;
	int r = cx_json_text(start, "executable", 4095, &executable, err);

	if (r == 0 || (r > 0 && executable[0] == '\0'))
		return cx_refuse(err, CX_INVALID, "'start_command.executable' is missing");
	if (r < 0 || add_arg(argv, executable, err) < 0 ||
	    cx_json_strv(start, "args", argv, err) < 0)
		return cx_wrap(err, "'start_command'");
	return 0;
}

static int parse_array_start(const struct json_t *doc, struct cx_buf *argv, struct cx_err *err)
{
	if (cx_json_strv(doc, "start_command", argv, err) < 0)
		return -err->errnum;
	if (argv->len > 0 && argv->p[0] == '\0')
		return cx_refuse(err, CX_INVALID, "'start_command[0]' is empty");
	return 0;
}

static int parse_start(const struct json_t *doc, struct cx_spec *spec, struct cx_err *err)
{
	int r = 0;

	spec->start.max = START_BYTES;
	switch (cx_json_type(doc, "start_command")) {
	case CX_JSON_ABSENT:
		break;
	case CX_JSON_TEXT:
		r = parse_shell_start(doc, &spec->start, err);
		break;
	case CX_JSON_ARRAY:
		r = parse_array_start(doc, &spec->start, err);
		break;
	case CX_JSON_OBJECT:
		r = parse_object_start(cx_json_member(doc, "start_command"), &spec->start, err);
		break;
	case CX_JSON_OTHER:
		r = cx_refuse(err, CX_INVALID,
			      "'start_command' must be a shell text, an array of strings or "
			      "{\"executable\", \"args\"}");
		break;
	}
	return r < 0 ? r : cx_json_dump(doc, "start_command", &spec->row.start_command, err);
}

/* ---- what is taken but not done yet --------------------------------------------------------- */

static bool in_memory(const struct cx_spec *spec, const struct cx_host *host)
{
	return spec->in_memory || strcmp(host->disks, "memory") == 0;
}

static bool lacks_disk_limit(const struct cx_spec *spec, const struct cx_host *host)
{
	return strcmp(host->disks, "none") == 0 && !in_memory(spec, host);
}

static bool has_less_disk(const struct cx_spec *spec, const struct cx_host *host)
{
	return in_memory(spec, host) && spec->row.disk_size_gb > spec->row.memory_gb / 2;
}

static bool lacks_network(const struct cx_spec *spec, const struct cx_host *host)
{
	return spec->row.network_access != 0 && !host->network;
}

/* Judged by what is recorded, so a default that does not hold is told as well. */
static const struct {
	bool (*recorded)(const struct cx_spec *spec, const struct cx_host *host);
	const char *notice;
} not_enforced[] = {
	{ lacks_disk_limit,
	  "recorded, not enforced: disk_size_gb; this engine runs without limits of "
	  "disks, only the host's own bounds what is written" },
	{ has_less_disk, "smaller than asked for: disk_size_gb; what is written is kept in memory "
			 "and bounded by half of memory_gb" },
	{ lacks_network, "recorded, not in force: network_access; this engine runs without a "
			 "network, the sandbox has loopback only" },
};

/* What clients of a fleet may say and one host has no use for. */
static const struct {
	const char *field, *notice;
} without_effect[] = {
	{ "guaranteed", "without effect: guaranteed; what is granted is always there" },
	{ "advanced_configs", "without effect: advanced_configs; none is known here" },
};

static int note_without_effect(const struct json_t *doc, struct cx_jsonw *w, struct cx_err *err)
{
	static const char *const nothing[] = { "null", "false", "{}" };

	for (size_t i = 0; i < CX_LEN(without_effect); i++) {
		cx_autofree char *value = NULL;
		bool says = true;

		if (cx_json_dump(doc, without_effect[i].field, &value, err) < 0)
			return -err->errnum;
		for (size_t k = 0; k < CX_LEN(nothing); k++)
			says = says && strcmp(value, nothing[k]) != 0;
		if (says)
			cx_jsonw_text(w, NULL, without_effect[i].notice);
	}
	return 0;
}

/* What would change the sandbox, and what would only have changed where it is. */
static const char *const refused[] = { "checkpoint_id", "volumes", "registry_credentials_id" };

static const char *const known[] = { "name",
				     "docker_image",
				     "start_command",
				     "cpu_cores",
				     "memory_gb",
				     "disk_size_gb",
				     "gpu_count",
				     "gpu_type",
				     "vm",
				     "pids_limit",
				     "network_access",
				     "network_allowlist",
				     "network_denylist",
				     "network",
				     "timeout_minutes",
				     "idle_timeout_minutes",
				     "environment_vars",
				     "secrets",
				     "labels",
				     "team_id",
				     "region",
				     "advanced_configs",
				     "idempotency_key",
				     "arch",
				     "guaranteed",
				     "pull_policy",
				     "scratch",
				     "lease",
				     "checkpoint_id",
				     "volumes",
				     NULL };

static void note_unknown(const char *key, void *arg)
{
	char text[128];

	(void)snprintf(text, sizeof text, "the field '%.64s' is unknown and was ignored", key);
	cx_jsonw_text(arg, NULL, text);
}

static int write_notices(const struct json_t *doc, const struct cx_host *host, struct cx_spec *spec,
			 struct cx_err *err)
{
	CX_AUTO(cx_buf_free) struct cx_buf out = { .max = 8192 };
	struct cx_jsonw w = { .out = &out };

	cx_jsonw_array(&w, NULL);
	for (size_t i = 0; i < CX_LEN(not_enforced); i++)
		if (not_enforced[i].recorded(spec, host))
			cx_jsonw_text(&w, NULL, not_enforced[i].notice);
	if (note_without_effect(doc, &w, err) < 0)
		return -err->errnum;
	cx_json_unknown(doc, known, note_unknown, &w);
	cx_jsonw_end(&w);
	if (cx_jsonw_finish(&w, err) < 0 || cx_buf_add(&out, "", 1, err) < 0)
		return -err->errnum;
	spec->row.notices = cx_take_ptr(&out.p);
	return 0;
}

static int parse_document(const struct json_t *doc, const struct cx_host *host,
			  struct cx_spec *spec, struct cx_err *err)
{
	for (size_t i = 0; i < CX_LEN(refused); i++)
		if (cx_json_member(doc, refused[i]) != NULL)
			return cx_refuse(err, CX_INVALID, "'%s' is not offered here", refused[i]);
	if (parse_name(doc, &spec->row.name, err) < 0 ||
	    parse_image(doc, host, &spec->row, err) < 0 ||
	    parse_numbers(doc, host, &spec->row, err) < 0 ||
	    parse_texts(doc, &spec->row, err) < 0 ||
	    parse_network(doc, host, &spec->row, err) < 0 ||
	    parse_environment(doc, spec, err) < 0 || parse_start(doc, spec, err) < 0 ||
	    parse_pull(doc, &spec->pull, err) < 0 ||
	    parse_scratch(doc, &spec->in_memory, err) < 0 || parse_lease(doc, &spec->row, err) < 0)
		return -err->errnum;
	return write_notices(doc, host, spec, err);
}

int cx_spec_parse(const char *body, size_t len, const struct cx_host *host, struct cx_spec *ret,
		  struct cx_err *err)
{
	CX_AUTO(cx_spec_clear) struct cx_spec spec = { 0 };
	AUTO_DOC *doc = NULL;

	if (cx_json_parse_object(body, len, &doc, err) < 0 ||
	    parse_document(doc, host, &spec, err) < 0)
		return -err->errnum;
	*ret = spec;
	spec = (struct cx_spec){ 0 };
	return 0;
}

int cx_spec_parse_times(const char *body, size_t len, struct cx_sandbox_row *row,
			struct cx_err *err)
{
	AUTO_DOC *doc = NULL;

	if (cx_json_parse_object(body, len, &doc, err) < 0)
		return -err->errnum;
	if (cx_json_type(doc, "timeout_minutes") == CX_JSON_ABSENT &&
	    cx_json_type(doc, "idle_timeout_minutes") == CX_JSON_ABSENT)
		return cx_refuse(err, CX_INVALID,
				 "'timeout_minutes' or 'idle_timeout_minutes' is what can be "
				 "changed; neither is there");
	return parse_timeout(doc, row, err);
}

void cx_spec_clear(struct cx_spec *spec)
{
	cx_sandbox_row_clear(&spec->row);
	cx_buf_wipe(&spec->env);
	cx_buf_free(&spec->start);
}

/* ---- a command ------------------------------------------------------------------------------ */

static int parse_command(const struct json_t *doc, struct cx_exec_spec *spec, struct cx_err *err)
{
	const char *text = NULL;

	spec->argv.max = 131072;
	if (cx_json_type(doc, "command") == CX_JSON_ARRAY) {
		if (cx_json_strv(doc, "command", &spec->argv, err) < 0)
			return -err->errnum;
	} else {
		int r = cx_json_text(doc, "command", spec->argv.max - 1, &text, err);

		spec->flags |= CX_EXEC_SHELL;
		if (r < 0)
			return cx_refuse(err, CX_INVALID,
					 "'command' must be a text for the shell or an array of "
					 "strings, of less than %zu bytes in all",
					 spec->argv.max);
		if (r > 0 && cx_buf_add(&spec->argv, text, strlen(text) + 1, err) < 0)
			return -err->errnum;
	}
	if (spec->argv.len == 0 || spec->argv.p[0] == '\0')
		return cx_refuse(err, CX_INVALID, "'command' is missing or empty");
	return 0;
}

static int parse_terminal(const struct json_t *doc, struct cx_exec_spec *spec, struct cx_err *err)
{
	int64_t rows = 24, cols = 80;
	bool tty = false;

	if (cx_json_bool(doc, "tty", &tty, err) < 0 ||
	    cx_json_int(doc, "rows", 0, 65535, &rows, err) < 0 ||
	    cx_json_int(doc, "cols", 0, 65535, &cols, err) < 0)
		return -err->errnum;
	if (!tty)
		return 0;
	spec->flags |= CX_EXEC_TTY;
	spec->rows = (uint32_t)rows;
	spec->cols = (uint32_t)cols;
	return 0;
}

static int copy_text(const struct json_t *doc, const char *field, size_t max, char **ret,
		     struct cx_err *err)
{
	const char *text = "";

	if (cx_json_text(doc, field, max, &text, err) < 0)
		return -err->errnum;
	*ret = strdup(text);
	return *ret != NULL ? 0 : cx_fail(err, ENOMEM, "'%s'", field);
}

/* Limits of a command of its own, in whole numbers. */
static int parse_limits(const struct json_t *doc, struct cx_exec_spec *spec, struct cx_err *err)
{
	int64_t memory = 0, processes = 0, output = 0, file = 0, stack = 0, files = 0;
	double cpu = 0;
	bool quiet = false;
	const struct {
		const char *name;
		int64_t min, max, *to;
	} fields[] = {
		{ "memory_bytes", 1 << 20, INT64_C(1) << 44, &memory },
		{ "processes", 1, 4194304, &processes },
		{ "output_bytes", 1, INT64_MAX, &output },
		{ "file_bytes", 1, INT64_MAX, &file },
		{ "stack_bytes", 65536, INT64_MAX, &stack },
		{ "open_files", 4, INT32_MAX, &files },
	};

	for (size_t i = 0; i < CX_LEN(fields); i++)
		if (cx_json_int(doc, fields[i].name, fields[i].min, fields[i].max, fields[i].to,
				err) < 0)
			return -err->errnum;
	if (cx_json_real(doc, "cpu_time", 0.001, 4000000, &cpu, err) < 0 ||
	    cx_json_bool(doc, "quiet_machine", &quiet, err) < 0)
		return -err->errnum;
	spec->flags |= quiet ? CX_EXEC_QUIET : 0;
	spec->limits = (struct cx_exec_limits){ .cpu_us = (uint64_t)(cpu * 1000000),
						.memory_bytes = (uint64_t)memory,
						.processes = (uint32_t)processes,
						.watched = quiet };
	spec->output_bytes = (uint64_t)output;
	spec->file_bytes = (uint64_t)file;
	spec->stack_bytes = (uint64_t)stack;
	spec->open_files = (uint32_t)files;
	return 0;
}

/* With either of them a command goes on without its client. */
static int parse_id(const struct json_t *doc, struct cx_exec_spec *spec, struct cx_err *err)
{
	static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
				      "0123456789._-";
	const char *id = "";

	if (cx_json_text(doc, "id", CX_EXEC_KEY_MAX, &id, err) < 0 ||
	    cx_json_bool(doc, "detach", &spec->detach, err) < 0)
		return -err->errnum;
	if (id[strspn(id, letters)] != '\0')
		return cx_refuse(err, CX_INVALID,
				 "'id' may have letters, digits, '.', '_' and '-' only");
	(void)snprintf(spec->id, sizeof spec->id, "%s", id);
	if (!cx_exec_spec_stays(spec) || (spec->flags & CX_EXEC_TTY) == 0)
		return 0;
	return cx_refuse(err, CX_INVALID, "'tty' does not go together with 'id' and 'detach'");
}

static int parse_exec(const struct json_t *doc, struct cx_exec_spec *spec, struct cx_err *err)
{
	const char *input = NULL;
	double timeout = 0;
	int timed;

	spec->env.max = 65536;
	spec->input.max = 1 << 20;
	if (parse_command(doc, spec, err) < 0 || parse_terminal(doc, spec, err) < 0 ||
	    parse_limits(doc, spec, err) < 0 || cx_json_env(doc, "env", &spec->env, err) < 0 ||
	    copy_text(doc, "working_dir", 4095, &spec->cwd, err) < 0 ||
	    copy_text(doc, "user", 255, &spec->user, err) < 0 ||
	    copy_text(doc, "output_file", CX_OUTPUT_FILE_MAX - 1, &spec->output_file, err) < 0 ||
	    cx_json_text(doc, "stdin", spec->input.max, &input, err) < 0 ||
	    parse_id(doc, spec, err) < 0)
		return -err->errnum;
	timed = cx_json_real(doc, "timeout", 0.001, 4000000, &timeout, err);
	if (timed < 0)
		return -err->errnum;
	spec->timeout_ms = timed > 0 ? (uint32_t)(timeout * 1000) : 0;
	if (timed > 0 && spec->timeout_ms == 0)
		spec->timeout_ms = 1;
	return input != NULL ? cx_buf_add(&spec->input, input, strlen(input), err) : 0;
}

int cx_exec_spec_parse(const char *body, size_t len, struct cx_exec_spec *ret, struct cx_err *err)
{
	CX_AUTO(cx_exec_spec_clear) struct cx_exec_spec spec = { 0 };
	AUTO_DOC *doc = NULL;

	if (cx_json_parse_object(body, len, &doc, err) < 0 || parse_exec(doc, &spec, err) < 0)
		return -err->errnum;
	*ret = spec;
	spec = (struct cx_exec_spec){ 0 };
	return 0;
}

void cx_exec_spec_clear(struct cx_exec_spec *spec)
{
	cx_buf_free(&spec->argv);
	cx_buf_free(&spec->env);
	cx_buf_free(&spec->input);
	cx_freep(&spec->cwd);
	cx_freep(&spec->user);
	cx_freep(&spec->output_file);
}
