/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CX_ENGINE_RECORD_H
#define CX_ENGINE_RECORD_H

#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"
#include "net/slots.h"
#include "runtime/cgroup.h"
#include "runtime/quota.h"

/*
 * RUN/sandboxes/<id>/record: what caissond must know of a sandbox to find it, or its remains, after
 * a crash. Written before the first kernel object is made, removed after the last one is gone. It
 * is on tmpfs and does not outlive a boot, as nothing it names does.
 */
enum { CX_ID_LEN = 12, CX_LAYERS_MAX = 127, CX_DIFF_ID = 32 };
enum { CX_RECORD_VERSION = 4 };

enum cx_record_state {
	CX_RECORD_BLANK = 1, /* up to the claim: of no use to anybody after a restart */
	CX_RECORD_CLAIMED,   /* an image and limits, but no proof yet that it started */
	CX_RECORD_RUNNING,
	CX_RECORD_ENDING,
	CX_RECORD_STATE_MAX,
};

struct cx_record {
	char magic[8];
	uint64_t checksum; /* of what follows, up to the last layer */
	uint32_t version, state;
	uint64_t turn;	       /* how often it was saved */
	char id[16];	       /* CX_ID_LEN characters, rest NUL */
	uint64_t created_s;    /* CLOCK_REALTIME */
	uint64_t start_ticks;  /* of pid, from /proc/PID/stat: tells it from a later one */
	uint64_t memory_bytes; /* limits; 0 until claimed */
	uint64_t disk_bytes;   /* the same */
	uint32_t cpu_milli, pids;
	uint32_t pid;	   /* 0: none yet */
	uint32_t uid_base; /* 0: none yet */
	uint32_t nlayers;
	uint32_t paused;       /* 1: for its user, it stands still */
	uint32_t slot;	       /* of its link; CX_SLOT_NONE: it has none */
	uint32_t address4;     /* by which that is known, network order */
	uint32_t disk, device; /* runtime/quota.h: kind and device of what it writes to */
	uint8_t layers[CX_LAYERS_MAX][CX_DIFF_ID]; /* lowest first; those behind are 0 */
};
static_assert(offsetof(struct cx_record, layers) + CX_LAYERS_MAX * CX_DIFF_ID ==
		      sizeof(struct cx_record),
	      "no padding, so the same bytes mean the same record");

void cx_record_init(struct cx_record *record, const char *id);
/* A letter, then letters and digits. */
CX_MUST int cx_record_new_id(char ret[CX_ID_LEN + 1], struct cx_err *err);
int cx_record_is_id(const char *text);

/* Into its directory in `sandboxes`. Sets the checksum. */
CX_MUST int cx_record_save(int sandboxes, struct cx_record *record, struct cx_err *err);
/* Refuses what is not whole, or not of the sandbox `id`. */
CX_MUST int cx_record_load(int sandboxes, const char *id, struct cx_record *ret,
			   struct cx_err *err);

/* Field 22 of /proc/PID/stat. -ESRCH (or -ENOENT) when there is no such process. */
CX_MUST int cx_record_start_ticks(pid_t pid, uint64_t *ret, struct cx_err *err);
/* The pure part: the text of a stat file; the name in it may hold anything. */
CX_MUST int cx_record_parse_stat(const char *text, uint64_t *ret, struct cx_err *err);

/* FNV-1a, 64 bits: for checksums and names, not for secrets. */
uint64_t cx_record_hash(const void *data, size_t len);

#endif
