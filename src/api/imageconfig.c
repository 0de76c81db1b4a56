/* SPDX-License-Identifier: Apache-2.0 */
#include "api/imageconfig.h"

#include <string.h>

#include "api/json.h"
#include "api/jsonw.h"

enum { CONFIG_MAX = 1 << 20, PART_MAX = 131072 };

void cx_image_config_clear(struct cx_image_config *config)
{
	cx_buf_free(&config->env);
	cx_buf_free(&config->entrypoint);
	cx_buf_free(&config->cmd);
	cx_freep(&config->cwd);
	cx_freep(&config->user);
}

static void write_strv(struct cx_jsonw *w, const char *key, const struct cx_buf *buf)
{
	struct cx_str strv = { .p = buf->p, .len = (uint32_t)buf->len };

	cx_jsonw_array(w, key);
	CX_STRV_FOREACH (item, strv) {
		cx_jsonw_text(w, NULL, item);
	}
	cx_jsonw_end(w);
}

int cx_image_config_dump(const struct cx_image_config *config, char **ret, struct cx_err *err)
{
	CX_AUTO(cx_buf_free) struct cx_buf out = { .max = CONFIG_MAX };
	struct cx_jsonw w = { .out = &out };

	cx_jsonw_object(&w, NULL);
	write_strv(&w, "env", &config->env);
	write_strv(&w, "entrypoint", &config->entrypoint);
	write_strv(&w, "cmd", &config->cmd);
	cx_jsonw_text(&w, "cwd", config->cwd != NULL ? config->cwd : "");
	cx_jsonw_text(&w, "user", config->user != NULL ? config->user : "");
	cx_jsonw_end(&w);
	if (cx_jsonw_finish(&w, err) < 0 || cx_buf_add(&out, "", 1, err) < 0)
		return cx_wrap(err, "the image's configuration");
	*ret = cx_take_ptr(&out.p);
	return 0;
}

static int load_text(const struct json_t *doc, const char *field, char **ret, struct cx_err *err)
{
	const char *text = "";

	if (cx_json_text(doc, field, 4095, &text, err) < 0)
		return -err->errnum;
	*ret = strdup(text);
	return *ret != NULL ? 0 : cx_fail(err, ENOMEM, "'%s'", field);
}

int cx_image_config_load(const char *json, struct cx_image_config *ret, struct cx_err *err)
{
	CX_AUTO(cx_image_config_clear)
	struct cx_image_config config = { .env.max = PART_MAX,
					  .entrypoint.max = PART_MAX,
					  .cmd.max = PART_MAX };
	CX_AUTO(cx_json_free) struct json_t *doc = NULL;

	if (cx_json_parse_object(json, strlen(json), &doc, err) < 0 ||
	    cx_json_strv(doc, "env", &config.env, err) < 0 ||
	    cx_json_strv(doc, "entrypoint", &config.entrypoint, err) < 0 ||
	    cx_json_strv(doc, "cmd", &config.cmd, err) < 0 ||
	    load_text(doc, "cwd", &config.cwd, err) < 0 ||
	    load_text(doc, "user", &config.user, err) < 0)
		return cx_wrap(err, "the image's configuration");
	*ret = config;
	config = (struct cx_image_config){ 0 };
	return 0;
}
