/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CX_API_BOX_H
#define CX_API_BOX_H

#include "api/boxes.h"
#include "api/pull.h"
#include "api/queue.h"
#include "api/resolver.h"

/*
 * The inside of a live sandbox, for the files that share its life: box.c keeps the list, and
 * boxcreate.c, boxqueue.c, boxnet.c, boxagent.c, boxpause.c, boxlease.c, boxend.c, boxadopt.c and
 * lifetime.c each do what their names say. All others use api/boxes.h.
 */
enum {
	CX_BOX_LOG_MAX = 1 << 20, /* bytes kept of a start command's output */
	CX_BOX_LOG_CHUNK = 65536,
	CX_BOX_WORD_MAX = 40, /* bytes, its NUL included */
};

enum cx_box_change { CX_BOX_AT_REST, CX_BOX_PAUSING, CX_BOX_RESUMING };

struct cx_adoption; /* of what an earlier gateway left */

/* What boxnet.c keeps of it. */
struct cx_box_net {
	bool linked; /* it has a link, of which the next ones are */
	uint8_t address4[4], address6[16];
	unsigned naddress4, naddress6; /* bytes; 0: none */
	uint32_t number;	       /* of the policy in force; 0: none yet */
	int64_t asked;		       /* generation of that with which it was asked for */
	int64_t behind;		       /* changes of it that the resolver has not confirmed */
	bool starting;		       /* the sandbox is told of when its policy is in force */
	bool held;		       /* of the resolver */
	struct cx_sandbox_row *wanted; /* a change that caissond is asked for */
	struct cx_box_waiter *waiters; /* for that, or for the resolver's word */
	struct cx_engine_call call;    /* network or egress */
	struct cx_timer patience;
	struct cx_resolver_slot names;
};

/* What must be noted also when there is no memory: what caissond made, and how it ended. */
enum cx_box_word {
	CX_WORD_ID,
	CX_WORD_ENGINE_ID,
	CX_WORD_STATUS,
	CX_WORD_TYPE,
	CX_WORD_REASON,
	CX_BOX_WORDS,
};

struct cx_box {
	struct cx_gateway *gw;
	struct cx_sandbox_row row;
	enum cx_box_phase phase;
	struct cx_session *session;
	struct cx_session *broken; /* lost; what is pending of it waits to hear why */
	struct cx_pull_waiter pull;
	struct cx_queue_place place;	   /* in line for room */
	struct cx_engine_call engine_call; /* create, connect or destroy */
	struct cx_call agent_call;	   /* configure, main status or log */
	struct cx_timer timer;		   /* the next try to reach the agent, or to remove it */
	unsigned tries;
	struct cx_engine_call doubt; /* trouble: why did a command fail? */
	unsigned doubts, asked;	     /* ends of commands that wait for that answer, by number */
	struct cx_engine_call slot;  /* a control group for a command, by number */
	uint32_t slot_number;
	struct cx_timer lease; /* until its owner is given up */
	unsigned holders;      /* connections that hold its lease */
	struct cx_timer life;  /* the next look at its times (lifetime.c) */
	int64_t active_saved_ms;
	struct cx_engine_call change; /* pause or resume */
	enum cx_box_change changing;
	struct cx_box_waiter *running, *changed, *gone;
	struct cx_box_watch *watches;
	struct cx_detached *detached;
	struct cx_err why;  /* what went wrong while it was made */
	struct cx_buf log;  /* collected at its end */
	bool in_memory;	    /* what it writes */
	struct cx_buf wish; /* strv: environment that the client gave; wiped when it is in env */
	struct cx_buf env;  /* strv of configure; wiped when it was taken */
	struct cx_buf start;
	char *cwd, *user;
	char told[16];		      /* the status that watchers heard last */
	char *words[CX_BOX_WORDS];    /* room for what is noted without memory */
	char *oom_message;	      /* NULL: caissond has not told what filled its memory */
	bool configuring, configured; /* its agent was asked, and has done so */
	bool destroying, reading_log, log_is_read;
	bool end_recorded;   /* its row says so, all but the log */
	unsigned unrecorded; /* how often its row could not be told that it has ended */
	bool promised;	     /* the client was told of it before it ran: it ends with a record */
	struct cx_adoption *adoption;
	struct cx_box_net net;
	struct cx_box *next, **link;
	struct cx_indexed by_id;
};

/* ---- box.c ---------------------------------------------------------------------------------- */

/* In the list, with nothing in it; NULL when there is no memory. */
struct cx_box *cx_box_new(struct cx_gateway *gw);
/* Its row has an id, which stays: cx_box_find() finds it. */
void cx_box_enter(struct cx_box *box);
/* Whatever it asked for is forgotten, nobody is told. */
void cx_box_free(struct cx_box *box);
void cx_box_forget_config(struct cx_box *box); /* wipes what configure had to know */
struct cx_box *cx_box_find_engine(struct cx_gateway *gw, const char *engine_id);

bool cx_box_is(const char *a, const char *b); /* the same text; a may be NULL */
/* Replaces a text of the row by a copy. */
CX_MUST int cx_box_set(char **slot, const char *text, struct cx_err *err);
/* The same in the room that was made for it when the box was, once; word may be NULL, for none. */
void cx_box_set_word(struct cx_box *box, enum cx_box_word which, char **slot, const char *word);
/*
 * Watchers hear of it. False: it could not be written, which is told to the log; the sandbox itself
 * is what counts.
 */
bool cx_box_save(struct cx_box *box);
void cx_box_tell(struct cx_box_waiter **list, const struct cx_sandbox_row *row,
		 const struct cx_err *err);

/* ---- boxagent.c ----------------------------------------------------------------------------- */

/* Asks caissond for a connection to its agent, again and again, up to a bound. */
void cx_box_reach(struct cx_box *box);
/* answer: of create or connect, whose descriptors are taken. fresh: nothing has run in it yet. */
CX_MUST int cx_box_open_session(struct cx_box *box, struct cx_engine_answer *answer, bool fresh,
				struct cx_err *err);

/* ---- boxcreate.c ---------------------------------------------------------------------------- */

/*
 * Goes on with a promised sandbox that an earlier gateway did not bring to run, or whose turn it is
 * now. CX_NOT_FOUND when nothing was kept of what its client gave to it.
 */
CX_MUST int cx_box_go_on(struct cx_box *box, struct cx_err *err);

/*
 * Directories and the user that commands are to have; nothing of the image's or the client's runs
 * for it but the start command, if there is one.
 */
CX_MUST int cx_box_configure(struct cx_box *box, struct cx_err *err);
/* Its policy is in force: what has waited for that goes on. */
CX_MUST int cx_box_go_public(struct cx_box *box, struct cx_err *err);

/* ---- boxqueue.c ----------------------------------------------------------------------------- */

/* May caissond be asked for a sandbox at once? */
bool cx_queue_is_open(const struct cx_gateway *gw);
/* Is there a place for one more of this owner? CX_BUSY when not. */
CX_MUST int cx_queue_check(const struct cx_gateway *gw, const char *owner, struct cx_err *err);

/*
 * Its row has queued_ms. cx_box_go_on() follows when it is its turn, or its end. Who was asked for
 * and refused enters again, and has the same place still.
 */
void cx_queue_enter(struct cx_box *box);
/* The same for what an earlier gateway left, in any order; cx_queue_adopted() puts them in line. */
void cx_queue_adopt(struct cx_box *box);
void cx_queue_adopted(struct cx_gateway *gw);
/* It ends, or is freed. Idempotent. */
void cx_queue_leave(struct cx_box *box);

/* caissond is asked for it, and has answered: NULL, or why not. */
void cx_queue_asked(struct cx_box *box);
void cx_queue_answered(struct cx_box *box, const struct cx_err *err);
/* Is that answer no end for it, but a reason to wait? */
bool cx_queue_is_not_yet(const struct cx_box *box, const struct cx_err *err);

/* ---- boxnet.c ------------------------------------------------------------------------------- */

/* Asks caissond for the sandbox, with its policy; box->engine_call. */
CX_MUST int cx_boxnet_create(struct cx_box *box, const struct cx_msg_create *plan,
			     struct cx_err *err);
/*
 * The answer to that: the resolver is told, and at the same time the sandbox is configured; but one
 * with a start command afterwards. If any of it fails the sandbox ends.
 */
CX_MUST int cx_boxnet_begin(struct cx_box *box, const struct cx_engine_answer *answer,
			    struct cx_err *err);
/* The same for one that runs: what fails is told to the log, as the kernel has its policy still. */
void cx_boxnet_adopt(struct cx_box *box);
/* It ends, or is freed: its network reaches it no more. Idempotent. */
void cx_boxnet_end(struct cx_box *box);
/*
 * Numbers the network that the row names, for its owner; CX_CONFLICT when a live sandbox of that
 * network has the same host name, CX_LIMIT when there are CX_NETWORK_MEMBERS_MAX. self may be NULL.
 */
enum { CX_NETWORK_MEMBERS_MAX = 256 };
CX_MUST int cx_boxnet_join(struct cx_gateway *gw, struct cx_sandbox_row *row,
			   const struct cx_box *self, struct cx_err *err);

/* ---- boxend.c ------------------------------------------------------------------------------- */

struct cx_ending {
	/* Words of less than CX_BOX_WORD_MAX bytes; type and what follows may be NULL. */
	const char *status, *type;
	const char *reason; /* termination_reason, where it is not the type */
	const char *message;
};
/* How it ended, in its row only; the first one counts. Without memory it has no message. */
void cx_box_mark(struct cx_box *box, const struct cx_ending *how);
void cx_box_mark_failed(struct cx_box *box, const char *type, const struct cx_err *why);
/* The whole end, once; cx_box_finish() follows. May free the box. how may be NULL with ->why. */
void cx_box_end(struct cx_box *box, const struct cx_ending *how);
/* The part of it that is left when caissond has something to remove only now. */
void cx_box_remove(struct cx_box *box);
/* Whatever is pending is told why. */
void cx_box_drop_sessions(struct cx_box *box, const struct cx_err *why);
/* Nothing of it is left in the kernel. Frees the box. */
void cx_box_finish(struct cx_box *box);

/* ---- lifetime.c ----------------------------------------------------------------------------- */

void cx_lifetime_begin(struct cx_box *box); /* it runs: its times count from now */
void cx_lifetime_look(struct cx_box *box);  /* ends it when it is time, or looks again later */

/* ---- boxlease.c ----------------------------------------------------------------------------- */

/* Its client knows of it, or may: its lease counts from now, if it has one. */
void cx_lease_begin(struct cx_box *box);

/* ---- boxpause.c ----------------------------------------------------------------------------- */

/* An earlier gateway may have died between caissond's word and the record: the record is right. */
void cx_box_assert_state(struct cx_box *box);

/* ---- boxadopt.c ----------------------------------------------------------------------------- */

/* It can be used, or never will be: a start does not wait for it any longer. */
void cx_box_adopted(struct cx_box *box);

#endif
