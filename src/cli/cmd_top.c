/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "cli/commands.h"
#include "cli/output.h"

/* Who uses how much, newest figures first; what is shown is the difference of two looks. */
enum { FIRST_LOOK_MS = 1000, ROUNDS_MAX = 1000000000 };

static const struct cx_column columns[] = {
	{ "ID", "id", CX_CELL_TEXT },
	{ "NAME", "name", CX_CELL_TEXT },
	{ "STATUS", "status", CX_CELL_TEXT },
	{ "CPU%", "cpu_percent", CX_CELL_TEXT },
	{ "OF", "cpuCores", CX_CELL_TEXT },
	{ "MEMORY", "memory_bytes", CX_CELL_BYTES },
	{ "PEAK", "memory_peak_bytes", CX_CELL_BYTES },
	{ "OF GB", "memoryGB", CX_CELL_TEXT },
	{ "PIDS", "pids", CX_CELL_TEXT },
	{ "CPU TIME", "cpu_seconds", CX_CELL_TEXT },
};

/* {id: usage} of every sandbox that lives; the caller's. */
static int look(struct cx_cli *cli, json_t **ret, struct cx_err *err)
{
	CX_AUTO(json_decrefp) json_t *answer = NULL;
	CX_AUTO(json_decrefp) json_t *map = json_object();
	json_t *item;
	size_t i;

	if (cx_cli_call(cli, "GET", "/api/v1/usage", NULL, &answer, err) < 0)
		return -err->errnum;
	json_array_foreach(json_object_get(answer, "sandboxes"), i, item)
	{
		const char *id = json_string_value(json_object_get(item, "id"));

		if (id != NULL && json_object_set(map, id, item) < 0)
			return cx_fail(err, ENOMEM, "usage");
	}
	*ret = cx_take_ptr(&map);
	return 0;
}

static double number(const json_t *object, const char *key)
{
	return json_number_value(json_object_get(object, key));
}

/* Adds to a sandbox what it used between two looks; the first one may have missed it. */
static void add_usage(json_t *sandbox, json_t *before, json_t *now)
{
	double passed_us = (number(now, "at_ms") - number(before, "at_ms")) * 1000;
	double used_us = number(now, "cpu_us") - number(before, "cpu_us");
	double percent = before != NULL && passed_us > 0 ? 100 * used_us / passed_us : 0;

	(void)json_object_update(sandbox, now);
	(void)json_object_set_new(sandbox, "cpu_percent",
				  json_integer((json_int_t)(percent + 0.5)));
	(void)json_object_set_new(sandbox, "cpu_seconds",
				  json_integer((json_int_t)(number(now, "cpu_us") / 1000000)));
}

static int by_use(const void *a, const void *b)
{
	json_t *const *x = a, *const *y = b;
	double more = number(*y, "cpu_percent") - number(*x, "cpu_percent");

	if (more == 0)
		more = number(*y, "memory_bytes") - number(*x, "memory_bytes");
	return (more > 0) - (more < 0);
}

/* The sandboxes, who uses most first, as a new array. */
static json_t *sorted(json_t *all)
{
	size_t n = json_array_size(all);
	json_t **items = calloc(n + 1, sizeof *items), *ret = json_array();

	for (size_t i = 0; items != NULL && i < n; i++)
		items[i] = json_array_get(all, i);
	if (items != NULL)
		qsort(items, n, sizeof(json_t *), by_use);
	for (size_t i = 0; items != NULL && i < n; i++)
		(void)json_array_append(ret, items[i]);
	free(items);
	return ret;
}

static int show(struct cx_cli *cli, json_t *before, json_t *now, struct cx_err *err)
{
	CX_AUTO(json_decrefp) json_t *all = NULL;
	CX_AUTO(json_decrefp) json_t *ordered = NULL;
	json_t *sandbox;
	size_t i;

	if (cx_list_all(cli, false, &all, err) < 0)
		return -err->errnum;
	json_array_foreach(all, i, sandbox)
	{
		const char *id = json_string_value(json_object_get(sandbox, "id"));

		if (id != NULL && json_object_get(now, id) != NULL)
			add_usage(sandbox, json_object_get(before, id), json_object_get(now, id));
	}
	ordered = sorted(all);
	if (ordered == NULL)
		return cx_fail(err, ENOMEM, "sandboxes");
	if (isatty(STDOUT_FILENO) && !cx_output_is_data(cli))
		(void)fputs("\033[H\033[2J", stdout); /* from the top of an empty screen */
	if (cx_output_list(cli, ordered, columns, CX_LEN(columns), err) < 0)
		return -err->errnum;
	return fflush(stdout) == 0 ? 0 : cx_fail(err, errno, "write the output");
}

/* False: a signal says that it is enough. */
static bool sleep_ms(const struct cx_cli *cli, int ms)
{
	struct pollfd signals = { .fd = cli->signals, .events = POLLIN };

	return poll(&signals, 1, ms) == 0;
}

int cx_cmd_top(struct cx_cli *cli, struct cx_err *err)
{
	const struct cx_args *a = &cli->args;
	bool live = isatty(STDOUT_FILENO) && !cx_output_is_data(cli);
	unsigned rounds = a->count >= 0 ? (unsigned)a->count : live ? ROUNDS_MAX : 1;
	int pause_ms = a->interval_s >= 0 ? (int)(a->interval_s * 1000) : 2 * FIRST_LOOK_MS;
	CX_AUTO(json_decrefp) json_t *before = NULL;

	if (a->interval_s > 3600 || (a->interval_s >= 0 && a->interval_s < 0.1))
		return cx_refuse(err, CX_INVALID, "--interval must be 0.1 to 3600 seconds");
	if (cx_cli_take_signals(cli, err) < 0 || look(cli, &before, err) < 0)
		return -err->errnum;
	for (unsigned i = 0; i < rounds; i++) {
		json_t *now = NULL;

		if (!sleep_ms(cli, i == 0 && pause_ms > FIRST_LOOK_MS ? FIRST_LOOK_MS : pause_ms))
			return 0;
		if (look(cli, &now, err) < 0)
			return -err->errnum;
		if (show(cli, before, now, err) < 0) {
			json_decref(now);
			return -err->errnum;
		}
		json_decref(before);
		before = now;
	}
	return 0;
}
