/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CX_API_SPEC_H
#define CX_API_SPEC_H

#include "api/store.h"
#include "base/buf.h"
#include "exec/accounts.h"
#include "image/ref.h"
#include "proto/agent_msgs.h"

/*
 * What a client asks for, checked field by field. Pure: bytes in, a filled struct or a refusal that
 * names the field out.
 */
struct cx_host {
	unsigned cpus;
	uint64_t memory_bytes;
	const char *registry; /* of image names that name none; NULL: docker.io */
	bool network;	      /* sandboxes have one; else loopback only */
	char disks[17];	      /* what limits them (caisson.conf(5), [disk] backend) */
	uint64_t disk_bytes;  /* if none is asked for; 0: 5 GiB */
};

enum cx_pull_policy { CX_PULL_MISSING, CX_PULL_ALWAYS, CX_PULL_NEVER };

struct cx_spec {		   /* of a sandbox */
	struct cx_sandbox_row row; /* all but id, status, times and what the end will bring */
	struct cx_buf env;	   /* strv: environment_vars, then secrets */
	struct cx_buf start;	   /* strv: argv of the start command; empty: an idle sandbox */
	enum cx_pull_policy pull;
	bool in_memory; /* what it writes */
};
CX_MUST int cx_spec_parse(const char *body, size_t len, const struct cx_host *host,
			  struct cx_spec *ret, struct cx_err *err);
/* New times of a sandbox, one or both, into timeout_minutes and idle_timeout_minutes of its row. */
CX_MUST int cx_spec_parse_times(const char *body, size_t len, struct cx_sandbox_row *row,
				struct cx_err *err);
void cx_spec_clear(struct cx_spec *spec); /* wipes the secrets; for CX_AUTO() */

/* GB in the API are 2^30 bytes. */
uint64_t cx_spec_memory_bytes(const struct cx_sandbox_row *row);
uint64_t cx_spec_disk_bytes(const struct cx_sandbox_row *row);
/* A host name made of the sandbox's name: letters, digits and '-', 1 to 63 bytes. */
void cx_spec_hostname(const char *name, char ret[64]);

/*
 * The one name that an image has here: cx_ref_short() of what was given. CX_INVALID, naming field,
 * when it is no image name.
 */
enum { CX_IMAGE_NAME_MAX = CX_REF_MAX };
CX_MUST int cx_image_name(const char *given, const char *field, const char *default_host,
			  char ret[CX_IMAGE_NAME_MAX + 1], struct cx_err *err);

enum { CX_OUTPUT_FILE_MAX = 4096 }; /* bytes of the path, NUL included */
struct cx_exec_spec {		    /* of a command */
	unsigned flags;		    /* CX_EXEC_TTY, CX_EXEC_SHELL */
	struct cx_buf argv, env;    /* strv */
	struct cx_buf input;	    /* all of stdin, without a stream */
	char *cwd, *user;	    /* "" when not given */
	char *output_file;	    /* that gets all output, too; NULL or "": none */
	uint32_t timeout_ms;	    /* 0: none */
	uint32_t rows, cols;
	struct cx_exec_limits limits;			/* this and what follows: 0: none */
	uint64_t output_bytes, file_bytes, stack_bytes; /* output: both streams together */
	uint32_t open_files;
	char id[CX_EXEC_KEY_MAX + 1]; /* "": the client gave none */
	bool detach;		      /* it is answered when it has started */
};
CX_MUST int cx_exec_spec_parse(const char *body, size_t len, struct cx_exec_spec *ret,
			       struct cx_err *err);
/* It goes on without its client. */
static inline bool cx_exec_spec_stays(const struct cx_exec_spec *spec)
{
	return spec->id[0] != '\0' || spec->detach;
}
void cx_exec_spec_clear(struct cx_exec_spec *spec);

#endif
