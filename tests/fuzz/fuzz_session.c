/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A whole session against an agent that says what the fuzzer likes. The input is a sequence of
 * messages: type (1), request (2: which of ours, or any number), length (1), fields.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/fd.h"
#include "exec/session.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { ASKED = 6 };

static struct cx_packet scratch, heard;
static struct cx_loop loop;
static int nlost, ndone;

static void on_lost(struct cx_session *session, const struct cx_err *err, void *arg)
{
	(void)arg;
	if (err->errnum == 0 || nlost++ > 0)
		abort();
	cx_session_fail(session, CX_REASON_ENGINE_ERROR, err);
}

static void on_done(struct cx_call *call, const struct cx_answer *answer, const struct cx_err *err)
{
	if ((answer == NULL) == (err == NULL) || call->session != NULL)
		abort();
	if (answer != NULL && answer->log.data.len > 100)
		abort();
	ndone++;
}

static void on_ended(struct cx_exec *exec, const struct cx_result *end, const struct cx_err *err)
{
	/* Both: it had begun, and nobody saw its end. */
	if ((end == NULL && err == NULL) || (end != NULL && end->unseen != (err != NULL)) ||
	    cx_exec_pending(exec))
		abort();
	ndone++;
}

static void on_ready(struct cx_file *file, const struct cx_msg_file_info *info)
{
	if (file->session == NULL || info->length > 10 || info->offset > info->size ||
	    info->length > info->size - info->offset)
		abort();
}

static void on_moved(struct cx_file *file, const struct cx_err *err)
{
	(void)err;
	if (file->session != NULL)
		abort();
	ndone++;
}

static void stop(struct cx_timer *timer)
{
	(void)timer;
	loop.stop = true;
}

static void spin(void)
{
	struct cx_timer now = { .fire = stop };
	struct cx_err err;

	loop.stop = false;
	cx_timer_set(&loop, &now, 0);
	if (cx_loop_run(&loop, &err) < 0)
		abort();
}

static void say(int sock, uint16_t type, uint32_t request, const uint8_t *body, size_t len)
{
	uint8_t out[CX_PACKET_HEADER + 256];
	struct cx_err err;

	memcpy(out + CX_PACKET_HEADER, body, len);
	(void)!cx_packet_send(sock, out, CX_PACKET_HEADER + len, type, request, NULL, 0, &err);
}

/* Asks for ten bytes of a file. Returns our end of the pipe. */
static int ask_file(struct cx_session *session, struct cx_file *file)
{
	struct cx_msg_file_get get = { .path = cx_str_of("x"), .length = 10, .timeout_ms = 5 };
	struct cx_err err;
	int ours, theirs;

	*file = (struct cx_file){ .ready = on_ready, .ended = on_moved };
	if (cx_pipe(&ours, &theirs, &err) < 0 ||
	    cx_session_file_get(session, &get, &theirs, file, &err) < 0)
		abort();
	return ours;
}

/* The numbers of our five requests. */
static void ask(struct cx_session *session, int sock, struct cx_call calls[ASKED - 2],
		struct cx_exec *exec, struct cx_pipes *pipes, struct cx_file *file, int *ret_file,
		uint32_t numbers[ASKED])
{
	static const uint8_t hello[] = { 1, 0, 0, 0, CX_AGENT_CLAIMED, 0, 0, 0 };
	struct cx_msg_configure config = { 0 };
	struct cx_msg_exec plan = { .argv = { .p = "x", .len = 2 }, .timeout_ms = 5 };
	struct cx_err err;

	for (int i = 0; i < ASKED - 2; i++)
		calls[i] = (struct cx_call){ .done = on_done };
	if (cx_pipes_open(pipes, &err) < 0 ||
	    cx_session_configure(session, &config, &calls[0], &err) < 0 ||
	    cx_session_log(session, 0, 100, &calls[1], &err) < 0 ||
	    cx_session_main(session, &calls[2], &err) < 0 ||
	    cx_session_port(session, 80, 100, &calls[3], &err) < 0 ||
	    cx_session_exec(session, &plan, pipes, exec, &err) < 0)
		abort();
	*ret_file = ask_file(session, file);
	say(sock, CX_MSG_agent_hello, 0, hello, sizeof hello);
	spin();
	for (int i = 0; i < ASKED; i++) {
		if (cx_packet_recv(sock, &heard, &err) != 1)
			abort();
		numbers[i] = heard.request;
		cx_packet_drop(&heard);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct cx_session_events events = { .lost = on_lost };
	struct cx_exec exec = { .ended = on_ended };
	struct cx_call calls[ASKED - 2];
	struct cx_file file;
	struct cx_session *session;
	struct cx_pipes pipes;
	struct cx_err err;
	uint32_t numbers[ASKED];
	int pair[2], ours;

	nlost = ndone = 0;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0 ||
	    cx_set_nonblock(pair[0], true, &err) < 0 || cx_loop_open(&loop, &err) < 0 ||
	    cx_session_open(&loop, &scratch, &pair[1], &events, &session, &err) < 0)
		abort();
	ask(session, pair[0], calls, &exec, &pipes, &file, &ours, numbers);
	while (size >= 4) {
		uint32_t request = (uint32_t)(data[1] | data[2] << 8);
		size_t len = data[3] < size - 4 ? data[3] : size - 4;

		if (request >= 1 && request <= ASKED)
			request = numbers[request - 1];
		say(pair[0], data[0], request, data + 4, len);
		data += 4 + len;
		size -= 4 + len;
	}
	spin();
	(void)close(pair[0]);
	spin();
	if (nlost != 1 || ndone != ASKED)
		abort();
	cx_session_close(session);
	cx_loop_close(&loop);
	cx_pipes_close(&pipes);
	cx_close(&ours);
	return 0;
}
