/* SPDX-License-Identifier: Apache-2.0 */
#include "api/nexus/sandbox.h"

#include <string.h>
#include <time.h>

#include "api/caller.h"
#include "api/json.h"

enum { WORD_MAX = 512, TRAITS_MAX = 8192 };

/* ---- traits --------------------------------------------------------------------------------- */

static int load(const char *attributes, struct cx_nexus_traits *ret, struct cx_err *err)
{
	const struct json_t *traits;

	if (cx_json_parse_object(attributes, strlen(attributes), &ret->doc, err) < 0)
		return -err->errnum;
	traits = cx_json_member(ret->doc, "nexus");
	if (cx_json_text(traits, "provider", WORD_MAX, &ret->provider, err) < 0 ||
	    cx_json_text(traits, "template_id", WORD_MAX, &ret->template_id, err) < 0 ||
	    cx_json_text(traits, "agent_id", WORD_MAX, &ret->agent_id, err) < 0 ||
	    cx_json_text(traits, "tenant_id", WORD_MAX, &ret->tenant_id, err) < 0)
		return -err->errnum;
	return 0;
}

void cx_nexus_traits_load(const struct cx_sandbox_row *row, struct cx_nexus_traits *ret)
{
	struct cx_err err;

	*ret = (struct cx_nexus_traits){ .provider = "caisson", .tenant_id = CX_NEXUS_TENANT };
	if (row->attributes != NULL)
		(void)!load(row->attributes, ret, &err);
}

void cx_nexus_traits_clear(struct cx_nexus_traits *traits)
{
	cx_json_free(&traits->doc);
}

int cx_nexus_traits_dump(const struct cx_nexus_traits *traits, char **ret, struct cx_err *err)
{
	CX_AUTO(cx_buf_free) struct cx_buf out = { .max = TRAITS_MAX };
	struct cx_jsonw w = { .out = &out };

	cx_jsonw_object(&w, NULL);
	cx_jsonw_object(&w, "nexus");
	cx_jsonw_text(&w, "provider", traits->provider);
	cx_jsonw_text(&w, "template_id", traits->template_id);
	cx_jsonw_text(&w, "agent_id", traits->agent_id);
	cx_jsonw_text(&w, "tenant_id", traits->tenant_id);
	cx_jsonw_end(&w);
	cx_jsonw_end(&w);
	if (cx_jsonw_finish(&w, err) < 0 || cx_buf_add(&out, "", 1, err) < 0)
		return -err->errnum;
	*ret = cx_take_ptr(&out.p);
	return 0;
}

/* ---- words ---------------------------------------------------------------------------------- */

static const struct {
	const char *status, *word;
} words[] = {
	{ "PENDING", "active" }, /* promised: a run waits for it no longer than for any other */
	{ "PROVISIONING", "active" },
	{ "RUNNING", "active" },
	{ "PAUSED", "paused" },
};

const char *cx_nexus_status_word(const struct cx_sandbox_row *row)
{
	for (size_t i = 0; i < CX_LEN(words); i++)
		if (strcmp(words[i].status, row->status) == 0)
			return words[i].word;
	return "stopped";
}

const char *cx_nexus_owner(const struct cx_sandbox_row *row)
{
	return row->user_id != NULL ? row->user_id : CX_ADMIN_USER;
}

/* ---- times ---------------------------------------------------------------------------------- */

/* UTC, but without saying so: that is how the client's own server writes it. */
static void write_time(struct cx_jsonw *w, const char *key, int64_t ms)
{
	time_t seconds = (time_t)(ms / 1000);
	struct tm tm = { 0 };
	char text[32] = "";

	if (ms == 0) {
		cx_jsonw_null(w, key);
		return;
	}
	(void)gmtime_r(&seconds, &tm);
	(void)strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &tm);
	cx_jsonw_text(w, key, text);
}

/* The sooner of both ends; 0: none. */
static int64_t expires_ms(const struct cx_sandbox_row *row)
{
	int64_t idle_ms = 0;

	if (row->idle_timeout_minutes > 0 && row->active_ms != 0)
		idle_ms = row->active_ms + (int64_t)(row->idle_timeout_minutes * 60000);
	if (idle_ms == 0 || (row->expires_ms != 0 && row->expires_ms < idle_ms))
		return row->expires_ms;
	return idle_ms;
}

static void write_minutes(struct cx_jsonw *w, const struct cx_sandbox_row *row)
{
	double minutes =
		row->idle_timeout_minutes > 0 ? row->idle_timeout_minutes : row->timeout_minutes;

	if (minutes <= 0)
		cx_jsonw_null(w, "ttl_minutes");
	else if (minutes == (double)(int64_t)minutes)
		cx_jsonw_int(w, "ttl_minutes", (int64_t)minutes);
	else
		cx_jsonw_real(w, "ttl_minutes", minutes);
}

/* ---- the object ----------------------------------------------------------------------------- */

static void write_life(struct cx_jsonw *w, const struct cx_sandbox_row *row, const char *status,
		       int64_t now_ms)
{
	bool stopped = strcmp(status, "stopped") == 0, paused = strcmp(status, "paused") == 0;
	int64_t end_ms = row->ended_ms != 0 ? row->ended_ms : now_ms;
	int64_t active_ms = row->active_ms != 0 ? row->active_ms : row->created_ms;

	write_time(w, "created_at", row->created_ms);
	write_time(w, "last_active_at", active_ms);
	write_time(w, "paused_at", paused ? row->paused_ms : 0);
	write_time(w, "stopped_at", stopped ? end_ms : 0);
	write_minutes(w, row);
	write_time(w, "expires_at", stopped || paused ? 0 : expires_ms(row));
	cx_jsonw_real(w, "uptime_seconds", (double)(end_ms - row->created_ms) / 1000);
}

void cx_nexus_present(struct cx_jsonw *w, const char *key, const struct cx_sandbox_row *row,
		      const struct cx_nexus_traits *traits, enum cx_nexus_verified verified,
		      int64_t now_ms)
{
	const char *status = verified == CX_NEXUS_GONE ? "stopped" : cx_nexus_status_word(row);

	cx_jsonw_object(w, key);
	cx_jsonw_text(w, "sandbox_id", row->id);
	cx_jsonw_text(w, "name", row->name);
	cx_jsonw_text(w, "user_id", cx_nexus_owner(row));
	cx_jsonw_text(w, "agent_id", traits->agent_id);
	cx_jsonw_text(w, "tenant_id", traits->tenant_id);
	cx_jsonw_text(w, "provider", traits->provider);
	cx_jsonw_text(w, "template_id", traits->template_id);
	cx_jsonw_text(w, "status", status);
	write_life(w, row, status, now_ms);
	if (verified != CX_NEXUS_UNASKED) {
		cx_jsonw_bool(w, "verified", true);
		cx_jsonw_text(w, "provider_status", status);
	}
	cx_jsonw_end(w);
}
