/* SPDX-License-Identifier: Apache-2.0 */
#include "api/prime/message.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "api/prime/command_session.pb-c.h"

enum {
	UNPACKED_MAX = 16 << 20, /* bytes of memory of one message: small fields grow large */
	ARGV_MAX = 131072,	 /* as proto/agent_msgs.h has it */
	ENV_MAX = 65536,
	CWD_MAX = 4095,
	USER_MAX = 255,
};

/* ---- memory, up to a bound ------------------------------------------------------------------- */

struct budget {
	size_t left;
};

static void *take(void *data, size_t size)
{
	struct budget *budget = data;

	if (size > budget->left)
		return NULL;
	budget->left -= size;
	return malloc(size > 0 ? size : 1);
}

static void give_back(void *data, void *p)
{
	(void)data;
	free(p);
}

static int malformed(struct cx_err *err)
{
	return cx_refuse(err, CX_INVALID, "the message is none that this call takes");
}

/* ---- fields ---------------------------------------------------------------------------------- */

static int check_text(const ProtobufCBinaryData *text, const char *name, size_t max,
		      struct cx_err *err)
{
	if (text->len > max)
		return cx_refuse(err, CX_INVALID, "%s has more than %zu bytes", name, max);
	if (text->len > 0 && memchr(text->data, '\0', text->len) != NULL)
		return cx_refuse(err, CX_INVALID, "%s has a NUL in it", name);
	return 0;
}

static int copy_text(const ProtobufCBinaryData *text, const char *name, size_t max, char **ret,
		     struct cx_err *err)
{
	if (check_text(text, name, max, err) < 0)
		return -err->errnum;
	*ret = strndup(text->len > 0 ? (const char *)text->data : "", text->len);
	return *ret != NULL ? 0 : cx_fail(err, ENOMEM, "%s", name);
}

static int copy_uuid(const ProtobufCBinaryData *text, const char *name,
		     char ret[CX_PROC_UUID_MAX + 1], struct cx_err *err)
{
	if (check_text(text, name, CX_PROC_UUID_MAX, err) < 0)
		return -err->errnum;
	if (text->len > 0)
		memcpy(ret, text->data, text->len);
	ret[text->len] = '\0';
	return 0;
}

static int add_string(struct cx_buf *strv, const ProtobufCBinaryData *text, const char *name,
		      struct cx_err *err)
{
	if (check_text(text, name, strv->max, err) < 0 ||
	    (text->len > 0 && cx_buf_add(strv, text->data, text->len, err) < 0) ||
	    cx_buf_add(strv, "", 1, err) < 0)
		return cx_refuse(err, CX_INVALID, "%s: more than %zu bytes in all, or a NUL", name,
				 strv->max);
	return 0;
}

static int read_selector(const CommandSession__CommandSessionSelector *from,
			 struct cx_prime_selector *ret, struct cx_err *err)
{
	*ret = (struct cx_prime_selector){ 0 };
	if (from == NULL)
		return cx_refuse(err, CX_INVALID, "no session is named");
	if (from->selector_case == COMMAND_SESSION__COMMAND_SESSION_SELECTOR__SELECTOR_PID)
		ret->pid = from->pid;
	else if (from->selector_case ==
			 COMMAND_SESSION__COMMAND_SESSION_SELECTOR__SELECTOR_SESSION_UUID &&
		 copy_uuid(&from->session_uuid, "session_uuid", ret->uuid, err) < 0)
		return -err->errnum;
	if (ret->pid == 0 && ret->uuid[0] == '\0')
		return cx_refuse(err, CX_INVALID, "no session is named");
	return 0;
}

/* ---- Start ----------------------------------------------------------------------------------- */

/*
 * The clients ask for /bin/bash whatever the image has; where it is not there the shell that is has
 * to do.
 */
static bool is_shell(const CommandSession__CommandSpec *spec)
{
	return spec->cmd.len == 9 && memcmp(spec->cmd.data, "/bin/bash", 9) == 0 &&
	       spec->n_args == 2 && spec->args[0].len == 2 &&
	       memcmp(spec->args[0].data, "-c", 2) == 0;
}

static int read_words(const CommandSession__CommandSpec *spec, struct cx_exec_spec *ret,
		      struct cx_err *err)
{
	size_t first = 0;

	ret->argv.max = ARGV_MAX;
	if (spec->cmd.len == 0)
		return cx_refuse(err, CX_INVALID, "'cmd' is missing or empty");
	if (is_shell(spec)) {
		ret->flags |= CX_EXEC_SHELL;
		first = 1;
		if (spec->args[1].len == 0)
			return cx_refuse(err, CX_INVALID, "the shell's text is empty");
	} else if (add_string(&ret->argv, &spec->cmd, "'cmd'", err) < 0) {
		return -err->errnum;
	}
	for (size_t i = first; i < spec->n_args; i++)
		if (add_string(&ret->argv, &spec->args[i], "'args'", err) < 0)
			return -err->errnum;
	return 0;
}

static int compare(const void *a, const void *b)
{
	const CommandSession__EnvEntry *const *x = a, *const *y = b;
	size_t len = (*x)->key.len < (*y)->key.len ? (*x)->key.len : (*y)->key.len;
	int order = len > 0 ? memcmp((*x)->key.data, (*y)->key.data, len) : 0;

	if (order != 0)
		return order;
	return ((*x)->key.len > (*y)->key.len) - ((*x)->key.len < (*y)->key.len);
}

static int read_env(CommandSession__CommandSpec *spec, struct cx_buf *ret, struct cx_err *err)
{
	ret->max = ENV_MAX;
	if (spec->n_envs > 1)
		qsort(spec->envs, spec->n_envs, sizeof *spec->envs, compare);
	for (size_t i = 0; i < spec->n_envs; i++) {
		const CommandSession__EnvEntry *entry = spec->envs[i];
		size_t len = ret->len;

		if (entry->key.len == 0 || memchr(entry->key.data, '=', entry->key.len) != NULL)
			return cx_refuse(err, CX_INVALID, "'envs': a name is empty or has a '='");
		if (i > 0 && compare(&spec->envs[i - 1], &spec->envs[i]) == 0)
			return cx_refuse(err, CX_INVALID, "'envs': a name is there twice");
		if (add_string(ret, &entry->key, "'envs'", err) < 0)
			return -err->errnum;
		ret->p[len + entry->key.len] = '=';
		if (add_string(ret, &entry->value, "'envs'", err) < 0)
			return -err->errnum;
	}
	return 0;
}

static int read_user(const CommandSession__CommandSpec *spec, char **ret, struct cx_err *err)
{
	if (spec->has_user && spec->user.len == 0)
		return cx_refuse(err, CX_INVALID, "'user' is empty");
	return copy_text(&spec->user, "'user'", USER_MAX, ret, err);
}

static void read_terminal(const CommandSession__PTY *pty, struct cx_exec_spec *ret)
{
	if (pty == NULL)
		return;
	ret->flags |= CX_EXEC_TTY;
	ret->rows = pty->size != NULL && pty->size->rows > 0 ? pty->size->rows : 24;
	ret->cols = pty->size != NULL && pty->size->cols > 0 ? pty->size->cols : 80;
}

static int read_start(CommandSession__StartRequest *from, struct cx_proc_plan *plan,
		      struct cx_err *err)
{
	CommandSession__CommandSpec *spec = from->command;

	if (spec == NULL)
		return cx_refuse(err, CX_INVALID, "there is no command");
	read_terminal(from->pty, &plan->spec);
	if (plan->spec.rows > 65535 || plan->spec.cols > 65535)
		return cx_refuse(err, CX_INVALID, "'pty' is larger than any terminal");
	plan->input = from->has_stdin && from->stdin;
	if (read_words(spec, &plan->spec, err) < 0 || read_env(spec, &plan->spec.env, err) < 0 ||
	    copy_text(&spec->cwd, "'cwd'", CWD_MAX, &plan->spec.cwd, err) < 0 ||
	    read_user(spec, &plan->spec.user, err) < 0)
		return -err->errnum;
	return copy_uuid(&from->session_uuid, "session_uuid", plan->uuid, err);
}

/* ---- messages -------------------------------------------------------------------------------- */

/* A message of type, as type *NAME, that goes with its scope. */
#define UNPACK(type, prefix, name, p, len)                           \
	struct budget budget = { UNPACKED_MAX };                     \
	ProtobufCAllocator allocator = { take, give_back, &budget }; \
	type *name = prefix##__unpack(&allocator, len, (const uint8_t *)p)

int cx_prime_read_start(const char *p, size_t len, struct cx_proc_plan *ret, struct cx_err *err)
{
	struct cx_proc_plan plan = { 0 };
	int r;

	UNPACK(CommandSession__StartRequest, command_session__start_request, from, p, len);
	if (from == NULL)
		return malformed(err);
	r = read_start(from, &plan, err);
	command_session__start_request__free_unpacked(from, &allocator);
	if (r < 0)
		cx_proc_plan_clear(&plan);
	else
		*ret = plan;
	return r;
}

int cx_prime_read_connect(const char *p, size_t len, struct cx_prime_selector *ret,
			  struct cx_err *err)
{
	int r;

	UNPACK(CommandSession__ConnectRequest, command_session__connect_request, from, p, len);
	if (from == NULL)
		return malformed(err);
	r = read_selector(from->session, ret, err);
	command_session__connect_request__free_unpacked(from, &allocator);
	return r;
}

static int read_input(const CommandSession__SendInputRequest *from, struct cx_prime_input *ret,
		      struct cx_err *err)
{
	const ProtobufCBinaryData *data;

	if (from->input == NULL ||
	    from->input->input_case == COMMAND_SESSION__COMMAND_INPUT__INPUT__NOT_SET)
		return cx_refuse(err, CX_INVALID, "there is no input");
	data = from->input->input_case == COMMAND_SESSION__COMMAND_INPUT__INPUT_PTY
		       ? &from->input->pty
		       : &from->input->stdin;
	ret->data.max = data->len;
	if (read_selector(from->session, &ret->process, err) < 0 ||
	    copy_uuid(&from->input_uuid, "input_uuid", ret->uuid, err) < 0)
		return -err->errnum;
	return data->len > 0 ? cx_buf_add(&ret->data, data->data, data->len, err) : 0;
}

int cx_prime_read_input(const char *p, size_t len, struct cx_prime_input *ret, struct cx_err *err)
{
	struct cx_prime_input input = { 0 };
	int r;

	UNPACK(CommandSession__SendInputRequest, command_session__send_input_request, from, p, len);
	if (from == NULL)
		return malformed(err);
	r = read_input(from, &input, err);
	command_session__send_input_request__free_unpacked(from, &allocator);
	if (r == 0)
		*ret = input;
	return r;
}

void cx_prime_input_clear(struct cx_prime_input *input)
{
	cx_buf_free(&input->data);
}

static int read_signal(const CommandSession__SendSignalRequest *from, struct cx_prime_signal *ret,
		       struct cx_err *err)
{
	if (!from->has_signal || (from->signal != SIGTERM && from->signal != SIGKILL))
		return cx_refuse(err, CX_INVALID, "'signal' must be 15 (TERM) or 9 (KILL)");
	ret->signo = (unsigned)from->signal;
	if (read_selector(from->session, &ret->process, err) < 0)
		return -err->errnum;
	return copy_uuid(&from->signal_uuid, "signal_uuid", ret->uuid, err);
}

int cx_prime_read_signal(const char *p, size_t len, struct cx_prime_signal *ret, struct cx_err *err)
{
	int r;

	UNPACK(CommandSession__SendSignalRequest, command_session__send_signal_request, from, p,
	       len);
	if (from == NULL)
		return malformed(err);
	r = read_signal(from, ret, err);
	command_session__send_signal_request__free_unpacked(from, &allocator);
	return r;
}

/* ---- events ---------------------------------------------------------------------------------- */

typedef CommandSession__CommandSessionEvent event_message;

static int pack(struct cx_buf *out, event_message *event, struct cx_err *err)
{
	CommandSession__EventResponse response;
	char *to;

	command_session__event_response__init(&response);
	response.event = event;
	to = cx_buf_reserve(out, command_session__event_response__get_packed_size(&response), err);
	if (to == NULL)
		return -err->errnum;
	out->len += command_session__event_response__pack(&response, (uint8_t *)to);
	return 0;
}

static int write_start(struct cx_buf *out, uint32_t pid, struct cx_err *err)
{
	CommandSession__CommandSessionEvent__StartEvent start;
	event_message event;

	command_session__command_session_event__start_event__init(&start);
	command_session__command_session_event__init(&event);
	start.has_pid = true;
	start.pid = pid;
	event.event_case = COMMAND_SESSION__COMMAND_SESSION_EVENT__EVENT_START;
	event.start = &start;
	return pack(out, &event, err);
}

static int write_data(struct cx_buf *out, const struct cx_proc_event *from, struct cx_err *err)
{
	CommandSession__CommandSessionEvent__DataEvent data;
	event_message event;

	command_session__command_session_event__data_event__init(&data);
	command_session__command_session_event__init(&event);
	data.output_case = COMMAND_SESSION__COMMAND_SESSION_EVENT__DATA_EVENT__OUTPUT_STDOUT;
	if (from->kind == CX_PROC_STDERR)
		data.output_case =
			COMMAND_SESSION__COMMAND_SESSION_EVENT__DATA_EVENT__OUTPUT_STDERR;
	if (from->kind == CX_PROC_TERMINAL)
		data.output_case = COMMAND_SESSION__COMMAND_SESSION_EVENT__DATA_EVENT__OUTPUT_PTY;
	data.stdout.len = from->len;				      /* all three are one union */
	memcpy(&data.stdout.data, &from->p, sizeof data.stdout.data); /* read only */
	event.event_case = COMMAND_SESSION__COMMAND_SESSION_EVENT__EVENT_DATA;
	event.data = &data;
	return pack(out, &event, err);
}

/* A success is told by an end without fields. */
static int write_end(struct cx_buf *out, const struct cx_result *from, struct cx_err *err)
{
	CommandSession__CommandSessionEvent__EndEvent end;
	event_message event;
	char status[64];

	command_session__command_session_event__end_event__init(&end);
	command_session__command_session_event__init(&event);
	end.exit_code = cx_command_exit_code(from);
	end.has_exit_code = end.exit_code != 0;
	if (from->how == CX_EXITED_SIGNAL) {
		(void)snprintf(status, sizeof status, "signal: %s", strsignal((int)from->status));
		end.status = status;
	}
	event.event_case = COMMAND_SESSION__COMMAND_SESSION_EVENT__EVENT_END;
	event.end = &end;
	return pack(out, &event, err);
}

int cx_prime_write_event(struct cx_buf *out, const struct cx_proc_event *event, struct cx_err *err)
{
	switch (event->kind) {
	case CX_PROC_STARTED:
		return write_start(out, event->pid, err);
	case CX_PROC_STDOUT:
	case CX_PROC_STDERR:
	case CX_PROC_TERMINAL:
		return write_data(out, event, err);
	case CX_PROC_ENDED:
		return write_end(out, event->end, err);
	case CX_PROC_FAILED:
		break;
	}
	return cx_refuse(err, CX_INTERNAL, "a failure is no event");
}

int cx_prime_write_keepalive(struct cx_buf *out, struct cx_err *err)
{
	CommandSession__CommandSessionEvent__KeepAlive alive;
	event_message event;

	command_session__command_session_event__keep_alive__init(&alive);
	command_session__command_session_event__init(&event);
	event.event_case = COMMAND_SESSION__COMMAND_SESSION_EVENT__EVENT_KEEPALIVE;
	event.keepalive = &alive;
	return pack(out, &event, err);
}
