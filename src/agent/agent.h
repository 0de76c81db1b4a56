/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CX_AGENT_AGENT_H
#define CX_AGENT_AGENT_H

#include "agent/blank.h"
#include "agent/group.h"
#include "agent/ring.h"
#include "base/loop.h"
#include "proto/agent_msgs.h"

/*
 * caisson-agent is PID 1 of a sandbox. It begins as a blank (agent/blank.c), becomes one sandbox by
 * a claim (agent/claim.c) and then starts and reaps processes until the host kills it. Everything
 * it has is in one static struct cx_agent, whose pages are touched only when used.
 */

/* A bit each, so that the table of requests can say in which states each is legal. */
enum cx_agent_phase {
	CX_PHASE_BLANK = 1,	/* no untrusted code exists */
	CX_PHASE_CLAIMED = 2,	/* in its root, with final privileges */
	CX_PHASE_STARTING = 4,	/* configured, the start command is being started */
	CX_PHASE_CONFIGURED = 8 /* commands may run */
};

enum {
	CX_AGENT_CONNS_MAX = 64,
	CX_AGENT_JOBS_MAX = 1024,
	CX_AGENT_STARTING_MAX = 16,
	CX_AGENT_PORTS_MAX = 64
};

/* What configure said; the views point into block. */
struct cx_config {
	char *block;
	struct cx_str env, start;
	const char *cwd, *user;
};

struct cx_conn;
struct cx_job;
struct cx_kept;

/* Who asked; the connection may be gone when the answer is there. */
struct cx_conn_ref {
	uint32_t conn, request;
};

struct cx_start { /* the start command */
	enum cx_main state;
	uint32_t how, status;	  /* when it has ended */
	struct cx_conn_ref asker; /* configure, not answered yet */
	struct cx_source log;	  /* read end of its output */
	struct cx_ring ring;
};

struct cx_agent {
	struct cx_loop loop;
	unsigned phase;
	struct cx_blank blank;
	bool doomed; /* a claim failed half-way: say so and end */
	struct cx_config config;
	struct cx_groups groups;
	struct cx_conn *conns;
	unsigned nconns;
	uint32_t last_conn;
	struct cx_job *jobs;
	unsigned njobs;
	int starting;	      /* jobs that have not executed yet */
	bool held;	      /* no request is read */
	struct cx_kept *kept; /* newest first */
	unsigned nkept;
	unsigned nlisteners; /* who wait for their output */
	unsigned nports;     /* connections to ports being made */
	/* Large ones last, so that what an idle agent has used lies together (agent.ld). */
	struct cx_packet packet; /* the one being dealt with */
	struct cx_start start;
};

#endif
