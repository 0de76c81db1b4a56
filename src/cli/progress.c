/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/progress.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/str.h"
#include "cli/number.h"

enum {
	LINE = 512,
	RATE_MS = 500,
	BAR_MIN = 8,
	BAR_MAX = 30,
	AROUND_BAR = 69, /* columns of name, phase, brackets, amount, rate and rest, mostly */
	COLS_MAX = 240,
};

static const struct phase {
	const char *name;
	bool rests;    /* nothing moves: the first to go when there is no room */
	bool ended;    /* counts as done */
	bool transfer; /* its bytes go over the network */
} phases[] = {
	{ "exists", true, true, false },       { "waiting", true, false, false },
	{ "downloading", false, false, true }, { "uploading", false, false, true },
	{ "unpacking", false, false, false },  { "done", true, true, false },
};

/* What a newer server may call it: shown, and taken for something that moves. */
static const struct phase other_phase = { "", false, false, false };

static const struct phase *phase_of(const struct cx_progress_layer *layer)
{
	for (size_t i = 0; i < CX_LEN(phases); i++)
		if (strcmp(phases[i].name, layer->phase) == 0)
			return &phases[i];
	return &other_phase;
}

enum cx_progress_style cx_progress_style_of(int fd)
{
	const char *term = getenv("TERM"), *no_color = getenv("NO_COLOR");

	if (!isatty(fd) || term == NULL || *term == '\0' || strcmp(term, "dumb") == 0 ||
	    (no_color != NULL && *no_color != '\0'))
		return CX_PROGRESS_PLAIN;
	return CX_PROGRESS_LIVE;
}

/* ---- what the server says ------------------------------------------------------------------- */

/* In ASCII, so that a column is a byte. */
static void set_text(char *to, size_t size, const char *from)
{
	size_t len = from != NULL ? strlen(from) : 0;

	len = len < size ? len : size - 1;
	memcpy(to, from != NULL ? from : "", len);
	to[len] = '\0';
	for (; *to != '\0'; to++)
		if (*to < ' ' || *to > '~')
			*to = '?';
}

static uint64_t number(const json_t *event, const char *key)
{
	json_int_t n = json_integer_value(json_object_get(event, key));

	return n > 0 ? (uint64_t)n : 0;
}

static const char *text(const json_t *event, const char *key)
{
	const char *value = json_string_value(json_object_get(event, key));

	return value != NULL ? value : "";
}

/* What tells a digest from others. */
static const char *short_digest(const json_t *event, char *buf, size_t size)
{
	const char *digest = text(event, "digest");

	set_text(buf, size, strncmp(digest, "sha256:", 7) == 0 ? digest + 7 : digest);
	return buf;
}

static void measure(struct cx_progress_layer *layer, uint64_t now_ms)
{
	uint64_t ms = now_ms - layer->mark_ms;
	double rate;

	if (ms < RATE_MS)
		return;
	rate = layer->bytes > layer->mark_bytes
		       ? (double)(layer->bytes - layer->mark_bytes) * 1000 / (double)ms
		       : 0;
	layer->rate = layer->rate > 0 ? (layer->rate + rate) / 2 : rate;
	layer->mark_bytes = layer->bytes;
	layer->mark_ms = now_ms;
}

/* True when the phase is another one. */
static bool set_layer(struct cx_progress_layer *layer, const json_t *event, uint64_t now_ms)
{
	char phase[sizeof layer->phase];
	bool moved_on;

	set_text(phase, sizeof phase, text(event, "phase"));
	moved_on = strcmp(phase, layer->phase) != 0;
	memcpy(layer->phase, phase, sizeof phase);
	(void)short_digest(event, layer->name, sizeof layer->name);
	layer->bytes = number(event, "bytes");
	layer->total = number(event, "total");
	if (moved_on) {
		layer->rate = 0;
		layer->mark_bytes = layer->bytes;
		layer->mark_ms = now_ms;
	}
	measure(layer, now_ms);
	if (phase_of(layer)->transfer) {
		layer->moved = layer->bytes;
		layer->to_move = layer->total;
	} else {
		layer->moved = layer->to_move;
	}
	return moved_on;
}

/* ---- lines ---------------------------------------------------------------------------------- */

struct line {
	char text[LINE];
	size_t len;
};

__attribute__((format(printf, 2, 3))) static void put(struct line *l, const char *fmt, ...)
{
	va_list args;
	int n;

	va_start(args, fmt);
	n = vsnprintf(l->text + l->len, sizeof l->text - l->len, fmt, args);
	va_end(args);
	if (n > 0)
		l->len += (size_t)n < sizeof l->text - l->len ? (size_t)n
							      : sizeof l->text - l->len - 1;
}

static void put_bytes(struct line *l, uint64_t bytes)
{
	char shown[32];

	put(l, "%s", cx_number_show_bytes(bytes, shown, sizeof shown));
}

static void put_rest(struct line *l, uint64_t left, double rate)
{
	double seconds = rate > 0 ? (double)left / rate + 0.5 : 0;
	unsigned s = seconds < 3600000 ? (unsigned)seconds : 0;

	if (rate < 1 || s == 0)
		return;
	put(l, "  ");
	put_bytes(l, (uint64_t)rate);
	if (s < 60)
		put(l, "/s  ETA %us", s);
	else if (s < 3600)
		put(l, "/s  ETA %um%02us", s / 60, s % 60);
	else
		put(l, "/s  ETA %uh%02um", s / 3600, s / 60 % 60);
}

/* "  12.0/45.6 MiB  3.2 MiB/s  ETA 10s" */
static void put_amount(struct line *l, uint64_t bytes, uint64_t total, double rate)
{
	char shown[64];

	if (total > 0)
		put(l, "  %s", cx_number_show_part(bytes, total, shown, sizeof shown));
	else if (bytes > 0)
		put(l, "  %s", cx_number_show_bytes(bytes, shown, sizeof shown));
	if (total > bytes)
		put_rest(l, total - bytes, rate);
}

static void put_bar(struct line *l, uint64_t bytes, uint64_t total, unsigned cols)
{
	unsigned room = cols > AROUND_BAR ? cols - AROUND_BAR : 0;
	unsigned width = room < BAR_MAX ? room : BAR_MAX;
	unsigned full = bytes < total ? (unsigned)((double)bytes / (double)total * width) : width;

	if (width < BAR_MIN)
		return;
	put(l, "  [");
	for (unsigned i = 0; i < width; i++)
		put(l, "%s", i < full ? "=" : i == full ? ">" : " ");
	put(l, "]");
}

static void compose_layer(const struct cx_progress_layer *layer, unsigned cols, struct line *l)
{
	put(l, "%-12s  %-11s", layer->name, layer->phase);
	if (phase_of(layer)->rests)
		return;
	if (layer->total > 0)
		put_bar(l, layer->bytes, layer->total, cols);
	put_amount(l, layer->bytes, layer->total, layer->rate);
}

static void compose_summary(const struct cx_progress *p, struct line *l)
{
	uint64_t moved = 0, to_move = 0;
	unsigned ended = 0;
	double rate = 0;

	for (unsigned i = 0; i < p->n; i++) {
		const struct cx_progress_layer *layer = &p->layers[i];
		const struct phase *phase = phase_of(layer);

		ended += phase->ended;
		moved += layer->moved;
		to_move += layer->to_move;
		if (phase->transfer)
			rate += layer->rate;
	}
	put(l, "%u of %u %s", ended, p->n, p->n == 1 ? "layer" : "layers");
	put_amount(l, moved, to_move, rate);
}

static int add_plain(const struct cx_progress_layer *layer, struct cx_buf *out, struct cx_err *err)
{
	struct line l = { .len = 0 };

	put(&l, "%s: %s", layer->name, layer->phase);
	if (!phase_of(layer)->rests && layer->total > 0) {
		put(&l, " ");
		put_bytes(&l, layer->total);
	}
	put(&l, "\n");
	return cx_buf_add(out, l.text, l.len, err);
}

/* ---- drawing -------------------------------------------------------------------------------- */

static int draw_line(struct cx_progress *p, unsigned cols, const struct line *l, struct cx_buf *out,
		     struct cx_err *err)
{
	p->drawn++;
	if (cx_buf_add(out, "\r", 1, err) < 0 ||
	    cx_buf_add(out, l->text, l->len < cols ? l->len : cols, err) < 0)
		return -err->errnum;
	return cx_buf_add(out, "\033[K\n", 4, err);
}

static int draw_layers(struct cx_progress *p, unsigned cols, unsigned room, struct cx_buf *out,
		       struct cx_err *err)
{
	const bool all = p->n <= room;

	for (unsigned i = 0; i < p->n && room > 0; i++) {
		const struct cx_progress_layer *layer = &p->layers[i];
		struct line l = { .len = 0 };

		if (layer->phase[0] == '\0' || (!all && phase_of(layer)->rests))
			continue;
		compose_layer(layer, cols, &l);
		if (draw_line(p, cols, &l, out, err) < 0)
			return -err->errnum;
		room--;
	}
	return 0;
}

/* The last line of the terminal stays free, or it would scroll; so does the last column. */
static int draw(struct cx_progress *p, uint64_t now_ms, struct cx_buf *out, struct cx_err *err)
{
	const unsigned rows = p->rows > 2 ? p->rows - 2 : 1;
	const unsigned cols = p->cols > 1 ? (p->cols < COLS_MAX ? p->cols : COLS_MAX) - 1 : 79;
	struct line last = { .len = 0 };
	char up[16];
	int n = snprintf(up, sizeof up, "\033[%uA", p->drawn);

	if (p->drawn > 0 && cx_buf_add(out, up, (size_t)n, err) < 0)
		return -err->errnum;
	p->drawn = 0;
	p->drawn_ms = now_ms;
	p->dirty = false;
	if (p->n > 0)
		compose_summary(p, &last);
	else
		put(&last, "%s", p->text);
	if (draw_layers(p, cols, rows, out, err) < 0 || draw_line(p, cols, &last, out, err) < 0)
		return -err->errnum;
	return cx_buf_add(out, "\033[J", 3, err); /* fewer lines than before leave some behind */
}

/* ---- events --------------------------------------------------------------------------------- */

/* "resolving a:1", "checking ab12cd34ef56 a:1" */
static int say(struct cx_progress *p, const json_t *event, struct cx_buf *out, struct cx_err *err)
{
	const char *image = text(event, "image");
	struct line l = { .len = 0 };
	char digest[13];

	put(&l, "%s", text(event, "status"));
	if (*text(event, "digest") != '\0')
		put(&l, " %s", short_digest(event, digest, sizeof digest));
	if (*image != '\0')
		put(&l, " %s", image);
	set_text(p->text, sizeof p->text, l.text);
	p->dirty = true;
	if (p->style != CX_PROGRESS_PLAIN)
		return 0;
	if (cx_buf_add(out, p->text, strlen(p->text), err) < 0)
		return -err->errnum;
	return cx_buf_add(out, "\n", 1, err);
}

static int hear(struct cx_progress *p, const json_t *event, uint64_t now_ms, struct cx_buf *out,
		struct cx_err *err)
{
	uint64_t index = number(event, "index");
	bool moved_on;

	if (strcmp(text(event, "status"), "layer") != 0)
		return say(p, event, out, err);
	if (index >= CX_PROGRESS_LAYERS_MAX)
		return 0;
	if (index >= p->n)
		p->n = (unsigned)index + 1;
	moved_on = set_layer(&p->layers[index], event, now_ms);
	p->dirty = true;
	if (moved_on && p->style == CX_PROGRESS_PLAIN)
		return add_plain(&p->layers[index], out, err);
	return 0;
}

int cx_progress_event(struct cx_progress *p, const json_t *event, uint64_t now_ms,
		      struct cx_buf *out, struct cx_err *err)
{
	if (p->style == CX_PROGRESS_NONE)
		return 0;
	if (hear(p, event, now_ms, out, err) < 0)
		return -err->errnum;
	if (p->style != CX_PROGRESS_LIVE ||
	    (p->drawn > 0 && now_ms - p->drawn_ms < CX_PROGRESS_FRAME_MS))
		return 0;
	return draw(p, now_ms, out, err);
}

int cx_progress_end(struct cx_progress *p, uint64_t now_ms, struct cx_buf *out, struct cx_err *err)
{
	return p->style == CX_PROGRESS_LIVE && p->dirty ? draw(p, now_ms, out, err) : 0;
}
