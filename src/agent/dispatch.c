/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/dispatch.h"

#include "agent/claim.h"
#include "agent/configure.h"
#include "agent/exec.h"
#include "agent/files.h"
#include "agent/kept.h"
#include "agent/port.h"
#include "agent/start.h"

struct asked {
	struct cx_agent *agent;
	struct cx_conn_ref asker;
	union cx_request m;
	int *fds;
	unsigned nfds;
};

static int run_claim(struct asked *a, struct cx_err *err)
{
	if (cx_claim(a->agent, &a->m.claim, a->fds[0], err) < 0) {
		a->agent->doomed = true; /* neither a blank nor a sandbox: nothing may run in it */
		return -err->errnum;
	}
	cx_conn_ok(cx_conn_find(a->agent, a->asker.conn), a->asker.request);
	return 0;
}

static int run_configure(struct asked *a, struct cx_err *err)
{
	return cx_configure_request(a->agent, a->asker, &a->m.configure, err);
}

static int run_exec(struct asked *a, struct cx_err *err)
{
	return cx_exec_request(a->agent, a->asker, &a->m.exec, a->fds, a->nfds, err);
}

static int run_exec_signal(struct asked *a, struct cx_err *err)
{
	return cx_exec_signal_request(a->agent, a->asker, &a->m.exec_signal, err);
}

static int run_exec_resize(struct asked *a, struct cx_err *err)
{
	return cx_exec_resize_request(a->agent, a->asker, &a->m.exec_resize, err);
}

static int run_exec_watch(struct asked *a, struct cx_err *err)
{
	return cx_kept_watch_request(a->agent, a->asker, &a->m.exec_watch, err);
}

static int run_exec_output(struct asked *a, struct cx_err *err)
{
	return cx_kept_output_request(a->agent, a->asker, &a->m.exec_output, err);
}

static int run_log_read(struct asked *a, struct cx_err *err)
{
	return cx_start_log_request(a->agent, a->asker, &a->m.log_read, err);
}

static int run_main_status(struct asked *a, struct cx_err *err)
{
	return cx_start_status_request(a->agent, a->asker, err);
}

static int run_file_put(struct asked *a, struct cx_err *err)
{
	struct cx_fileop op = { .type = CX_MSG_file_put, .m.put = a->m.file_put };

	return cx_files_request(a->agent, a->asker, &op, a->fds[0], err);
}

static int run_file_get(struct asked *a, struct cx_err *err)
{
	struct cx_fileop op = { .type = CX_MSG_file_get, .m.get = a->m.file_get };

	return cx_files_request(a->agent, a->asker, &op, a->fds[0], err);
}

static int run_file_list(struct asked *a, struct cx_err *err)
{
	struct cx_fileop op = { .type = CX_MSG_file_list, .m.list = a->m.file_list };

	return cx_files_request(a->agent, a->asker, &op, a->fds[0], err);
}

static int run_port_open(struct asked *a, struct cx_err *err)
{
	return cx_port_request(a->agent, a->asker, &a->m.port_open, err);
}

#define DEFINE_DECODE(name)                                                    \
	static bool decode_##name(struct cx_reader *body, union cx_request *m) \
	{                                                                      \
		return cx_msg_##name##_get(body, &m->name);                    \
	}
DEFINE_DECODE(claim)
DEFINE_DECODE(configure)
DEFINE_DECODE(exec)
DEFINE_DECODE(exec_signal)
DEFINE_DECODE(exec_resize)
DEFINE_DECODE(exec_watch)
DEFINE_DECODE(exec_output)
DEFINE_DECODE(log_read)
DEFINE_DECODE(main_status)
DEFINE_DECODE(file_put)
DEFINE_DECODE(file_get)
DEFINE_DECODE(file_list)
DEFINE_DECODE(port_open)

enum { AFTER_CLAIM = CX_PHASE_CLAIMED | CX_PHASE_STARTING | CX_PHASE_CONFIGURED };

static const struct cx_dispatch_row {
	uint16_t type;
	unsigned phases;	/* in which it is legal */
	unsigned nfds, or_nfds; /* descriptors that come along, exactly */
	bool (*decode)(struct cx_reader *body, union cx_request *m);
	int (*run)(struct asked *a, struct cx_err *err);
} rows[] = {
	{ CX_MSG_claim, CX_PHASE_BLANK, 1, 1, decode_claim, run_claim },
	{ CX_MSG_configure, CX_PHASE_CLAIMED | CX_PHASE_CONFIGURED, 0, 0, decode_configure,
	  run_configure },
	{ CX_MSG_exec, CX_PHASE_CONFIGURED, 3, 1, decode_exec, run_exec },
	{ CX_MSG_exec_signal, AFTER_CLAIM, 0, 0, decode_exec_signal, run_exec_signal },
	{ CX_MSG_exec_resize, AFTER_CLAIM, 0, 0, decode_exec_resize, run_exec_resize },
	{ CX_MSG_exec_watch, CX_PHASE_CONFIGURED, 0, 0, decode_exec_watch, run_exec_watch },
	{ CX_MSG_exec_output, CX_PHASE_CONFIGURED, 0, 0, decode_exec_output, run_exec_output },
	{ CX_MSG_log_read, AFTER_CLAIM, 0, 0, decode_log_read, run_log_read },
	{ CX_MSG_main_status, AFTER_CLAIM, 0, 0, decode_main_status, run_main_status },
	{ CX_MSG_file_put, CX_PHASE_CONFIGURED, 1, 1, decode_file_put, run_file_put },
	{ CX_MSG_file_get, CX_PHASE_CONFIGURED, 1, 1, decode_file_get, run_file_get },
	{ CX_MSG_file_list, CX_PHASE_CONFIGURED, 1, 1, decode_file_list, run_file_list },
	{ CX_MSG_port_open, CX_PHASE_CONFIGURED, 0, 0, decode_port_open, run_port_open },
};

const struct cx_dispatch_row *cx_dispatch_decode(struct cx_packet *pkt, union cx_request *ret)
{
	for (size_t i = 0; i < CX_LEN(rows); i++) {
		if (rows[i].type != pkt->type)
			continue;
		if (pkt->nfds != rows[i].nfds && pkt->nfds != rows[i].or_nfds)
			return NULL;
		/* 0 is kept for what nobody asked for. */
		return pkt->request != 0 && rows[i].decode(&pkt->body, ret) ? &rows[i] : NULL;
	}
	return NULL;
}

void cx_dispatch(struct cx_conn *conn, struct cx_packet *pkt)
{
	struct asked a = { .agent = conn->agent,
			   .asker = { .conn = conn->number, .request = pkt->request },
			   .fds = pkt->fds,
			   .nfds = pkt->nfds };
	const struct cx_dispatch_row *row = cx_dispatch_decode(pkt, &a.m);
	struct cx_err err = { 0 };
	int r;

	if (row == NULL) {
		cx_conn_close(conn);
		return;
	}
	if ((row->phases & conn->agent->phase) == 0)
		r = cx_refuse(&err, CX_CONFLICT, "the sandbox is not in a state for this request");
	else
		r = row->run(&a, &err);
	if (r < 0)
		cx_conn_refuse(conn, pkt->request, &err);
	if (conn->agent->doomed)
		conn->agent->loop.stop = true;
}
