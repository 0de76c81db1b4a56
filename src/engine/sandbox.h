/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CX_ENGINE_SANDBOX_H
#define CX_ENGINE_SANDBOX_H

#include "base/index.h"
#include "engine/child.h"
#include "engine/host.h"
#include "engine/link.h"
#include "engine/oom.h"
#include "engine/reaper.h"

/*
 * One sandbox from blank to gone. What happens to it is an event; sandbox_state.c has the table of
 * state and event. Nothing here waits: an agent, a dying process and a busy cgroup come back as
 * events.
 */
enum cx_sandbox_state {
	CX_SANDBOX_STARTING, /* made, its agent has not said hello */
	CX_SANDBOX_BLANK,    /* ready for any image */
	CX_SANDBOX_CLAIMING, /* has an image and limits; its agent has not confirmed */
	CX_SANDBOX_RUNNING,
	CX_SANDBOX_ENDING,  /* being killed */
	CX_SANDBOX_REMAINS, /* nothing of it runs, nor can; what is left is being removed */
	CX_SANDBOX_STATE_MAX,
};

enum cx_sandbox_event {
	CX_EVENT_HELLO,	   /* the agent is up */
	CX_EVENT_CLAIM,	   /* an image and limits for it */
	CX_EVENT_CONFIRM,  /* the agent did what the claim says */
	CX_EVENT_FAULT,	   /* something failed, or the agent misbehaves */
	CX_EVENT_DEADLINE, /* its timer */
	CX_EVENT_EXIT,	   /* its PID 1 is gone, and all other processes with it */
	CX_EVENT_DESTROY,  /* asked for */
	CX_EVENT_MAX,
};

enum { CX_AGENT_HELLO_MS = 10000, CX_AGENT_CLAIM_MS = 10000 };

struct cx_claim_plan {
	struct cx_limits limits;
	struct cx_quota_limit disk;
	bool in_memory; /* what it writes, whatever the host's back end is */
	char hostname[64];
	uint32_t nlayers;
	uint8_t layers[CX_LAYERS_MAX][CX_DIFF_ID]; /* lowest first */
};

struct cx_promises {
	uint64_t cpu_milli, memory_bytes, pids, disk_bytes; /* none of a disk in memory */
};

struct cx_sandboxes;
struct cx_sandbox {
	struct cx_sandboxes *set;
	struct cx_sandbox *next, **link;
	struct cx_indexed by_id;
	enum cx_sandbox_state state;
	struct cx_record record;     /* its id, ids, limits and layers */
	struct cx_promises promised; /* to it: its part of the set's; 0 until it is claimed */
	struct cx_writable writable;
	int userns; /* until claimed */
	/* Its mount namespace; -EBADF: an earlier daemon had it. Held so that the last process in
	 * it does not end with the unmounting of all, for which it would be waited. */
	int mounts;
	struct cx_cgroup group;
	struct cx_child *process; /* NULL: never was, or is gone */
	uint32_t spawn;		  /* by which its process was asked for; 0: it is not waited for */
	struct cx_sandbox *next_spawning;
	struct cx_link *agent; /* until claimed */
	struct cx_timer timer;
	struct cx_reaping reaping;
	unsigned held; /* layers counted, the first so many of the record's */
	bool made, was_running;
	bool lost;	/* its agent ended by itself before it had answered the claim */
	bool has_trash; /* what it wrote is in the trash */
	bool frozen;	/* for a commit (freezer.h); record.paused: for its user */
	bool out_of_memory;
	struct cx_memory_report memory; /* when it was */
	struct cx_oom *oom;		/* NULL: its memory is not watched, or not any more */
	uint64_t ending_since_ms, retry_ms;
	enum cx_end reason;
	struct cx_err why;		  /* errnum 0: it did not fail */
	const struct cx_claim_plan *plan; /* while claiming; the creator's */
	void *creator;			  /* pool.c's: who waits for it */
};

/*
 * Descriptors of caissond's that one takes; besides there is one of each tree of control groups,
 * and until the gateway has it another one.
 */
enum {
	/* What it writes, its first process, its mounts, the watch of its memory. */
	CX_SANDBOX_FILES = 4,
	/* Until it runs: its user namespace and the connection to its agent, too. */
	CX_SANDBOX_FILES_BLANK = CX_SANDBOX_FILES + 2,
};

/* Who wants to know. The sandbox is still whole in each; it must not be freed there. */
struct cx_sandbox_watch {
	void (*blank)(void *arg, struct cx_sandbox *sb);
	void (*running)(void *arg, struct cx_sandbox *sb);
	/* It is lost: who waits for it may claim another, or hears of its end by gone(). */
	void (*lost)(void *arg, struct cx_sandbox *sb);
	void (*oom)(void *arg, struct cx_sandbox *sb);	 /* out_of_memory became true */
	void (*ended)(void *arg, struct cx_sandbox *sb); /* nothing of it runs any more */
	void (*gone)(void *arg, struct cx_sandbox *sb);	 /* nothing is left; freed afterwards */
	void *arg;
};

struct cx_sandboxes {
	struct cx_host *host;
	struct cx_reaper *reaper;
	struct cx_sandbox_watch watch;
	struct cx_sandbox *first;
	struct cx_index by_id;
	unsigned count[CX_SANDBOX_STATE_MAX];
	struct cx_promises promised; /* to all of them */
	struct cx_limits usual;	     /* of the last claim: the next blanks have them; 0: none yet */
	struct cx_sandbox *spawning; /* whose processes are asked for, in order */
	struct cx_answers *answers;  /* of the spawner; NULL: nobody waits for any */
	uint32_t spawns;	     /* what the last was asked for by */
};

void cx_sandboxes_open(struct cx_sandboxes *ret, struct cx_host *host, struct cx_reaper *reaper,
		       const struct cx_sandbox_watch *watch);
/* Forgets all without touching what runs: records stay, for the next daemon. */
void cx_sandboxes_close(struct cx_sandboxes *set);

/* Begins a blank; watch.blank or watch.gone follows. On failure what was made is being removed. */
CX_MUST int cx_sandbox_make(struct cx_sandboxes *set, struct cx_err *err);
/* Of a BLANK: its process lives and its agent says nothing, as it should; asked of the kernel. */
bool cx_sandbox_is_well(const struct cx_sandbox *sb);
/* Only of a BLANK. watch.running or watch.gone (with ->why) follows; plan must live until then. */
void cx_sandbox_claim(struct cx_sandbox *sb, const struct cx_claim_plan *plan);
/* watch.gone follows. Repeating it changes nothing. */
void cx_sandbox_destroy(struct cx_sandbox *sb);
/* Its record, as it is now. */
CX_MUST int cx_sandbox_save(struct cx_sandbox *sb, struct cx_err *err);
/* A new connection to the agent of a RUNNING sandbox. Returns the descriptor. */
CX_MUST int cx_sandbox_connect(struct cx_sandbox *sb, struct cx_err *err);

/* What it has written, as a detached mount to be read (runtime/rootfs.h). Returns a descriptor. */
CX_MUST int cx_sandbox_tree(const struct cx_sandbox *sb, struct cx_err *err);

/* Takes over what an earlier daemon left: a live sandbox, or remains to be removed. */
CX_MUST int cx_sandbox_adopt(struct cx_sandboxes *set, const struct cx_record *record, int *pidfd,
			     struct cx_err *err);
CX_MUST int cx_sandbox_bury(struct cx_sandboxes *set, const struct cx_record *record, int *pidfd,
			    struct cx_err *err);

/* ---- freezer.c ---------------------------------------------------------------------------------
 */

/*
 * Two reasons for a sandbox to stand still, each undone only by who had it: a commit stops all of
 * it, its agent too; a pause stops all but the agent, and is recorded. Both take a moment. A
 * sandbox that ends is let go on by both, for what stands still does not die.
 */

/* Of a RUNNING sandbox. CX_CONFLICT when it is frozen already. */
CX_MUST int cx_sandbox_freeze(struct cx_sandbox *sb, struct cx_err *err);
CX_MUST int cx_sandbox_is_frozen(const struct cx_sandbox *sb, struct cx_err *err); /* 0, 1 */
void cx_sandbox_thaw(struct cx_sandbox *sb); /* harmless when it does not */

/* The same for its user; fine when it is paused already, or is not. */
CX_MUST int cx_sandbox_pause(struct cx_sandbox *sb, struct cx_err *err);
CX_MUST int cx_sandbox_is_paused(const struct cx_sandbox *sb, struct cx_err *err); /* 0, 1 */
/* When it cannot be let go it is paused still, and says so. */
int cx_sandbox_resume(struct cx_sandbox *sb, struct cx_err *err);

/* Both let it go on; the record is left alone. */
void cx_sandbox_release(struct cx_sandbox *sb);
/* Of one that an earlier daemon left: as its record says, and no commit is under way. */
void cx_sandbox_find_frozen(struct cx_sandbox *sb);

/* ---- looking -----------------------------------------------------------------------------------
 */

struct cx_sandbox *cx_sandbox_find(struct cx_sandboxes *set, const char *id);
struct cx_sandbox *cx_sandbox_find_state(struct cx_sandboxes *set, enum cx_sandbox_state state);
const char *cx_sandbox_state_name(enum cx_sandbox_state state);

/* For tests: whether the table has an entry, and which state follows. */
bool cx_sandbox_rule(enum cx_sandbox_state state, enum cx_sandbox_event event,
		     enum cx_sandbox_state *ret_next);

#endif
