/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CX_CLI_ARGS_H
#define CX_CLI_ARGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "base/err.h"

/*
 * Options as data: one row per option says how it is written, what it means and where its value
 * goes. The same rows drive getopt_long(3) and --help, so the two cannot disagree; the man page is
 * compared with --help by tools/check-man.
 */
enum cx_opt_type {
	CX_OPT_FLAG,   /* bool: true */
	CX_OPT_ON,     /* int: 1 (unset is -1) */
	CX_OPT_OFF,    /* int: 0 */
	CX_OPT_TEXT,   /* const char * */
	CX_OPT_WORD,   /* const char *, one of the row's words "a|b" in arg */
	CX_OPT_JSON,   /* const char *: "json" */
	CX_OPT_OUTPUT, /* const char *, table, json, yaml or a format (output.h) */
	CX_OPT_LIST,   /* struct cx_texts */
	CX_OPT_PAIR,  /* struct cx_texts of "KEY=VALUE", or "KEY" to take over the caller's value */
	CX_OPT_COUNT, /* double, a whole number */
	CX_OPT_NUMBER, /* double */
	CX_OPT_GIB,    /* double, in GiB */
};

struct cx_opt {
	const char *name;
	char letter;	  /* 0: none */
	char type;	  /* enum cx_opt_type */
	size_t offset;	  /* of the value in struct cx_args */
	const char *arg;  /* how --help names the value; NULL when the option takes none */
	const char *help; /* one sentence without a full stop */
};

enum { CX_TEXTS_MAX = 256, CX_OPT_TABLES_MAX = 6 };

struct cx_texts {
	const char *items[CX_TEXTS_MAX];
	size_t n;
};

/* All that any command can be told. Strings are argv's. */
struct cx_args {
	const char *socket, *url, *cacert, *output;
	bool help, version;
	const char *name, *start_command, *cwd, *user, *status;
	const char *code, *code_file, *language;
	const char *file, *format, *policy, *scratch, *platform, *username, *authfile, *message,
		*author;
	const char *email, *role, *account, *expires, *signal, *shell;
	const char *net_name, *protocol, *exec_id, *output_file;
	const char *into, *rounds, *rows, *peers, *libexec;
	struct cx_texts env, secrets, labels, net_allow, net_deny;
	double cpu_cores, memory_gb, disk_gb, pids, timeout_minutes, idle_timeout_minutes,
		timeout_s, interval_s, count, after, offset, lease_s;		/* -1: unset */
	double cpu_time_s, processes, output_gb, file_gb, open_files, stack_gb; /* -1: unset */
	double uid, max_sandboxes, max_cores, max_memory_gb, max_core_hours;	/* -1: unset */
	int network;								/* -1: unset */
	bool quiet_machine;
	bool interactive, tty, no_tty, no_stdin, all, yes, quiet, repair, password_stdin, follow,
		no_timeout, no_limits, reset_usage, of_stderr, detach, wait;
	char **words; /* what is not an option; malloc'ed array of argv's strings */
	size_t nwords;
	char **rest; /* a command to run, as a tail of argv; NULL-terminated */
	size_t nrest;
	bool dashes; /* rest came behind "--" */
};

enum cx_rest { CX_REST_NONE, CX_REST_NEEDED, CX_REST_OR_CODE, CX_REST_MAYBE };

/* What a command takes; a part of struct cx_command. */
struct cx_syntax {
	const char *words; /* shown in the usage line: "ID CMD..." */
	size_t min, max;   /* words besides the rest */
	enum cx_rest rest; /* is everything from word number max + 1 on a command? */
	const struct cx_opt *const *tables; /* NULL-terminated */
};

void cx_args_init(struct cx_args *args);
void cx_args_free(struct cx_args *args); /* for CX_AUTO() */

/* Reads argv[1..]; argv[0] is not looked at. Adds to what args already holds. */
CX_MUST int cx_args_parse(struct cx_args *args, const struct cx_syntax *syntax, int argc,
			  char **argv, struct cx_err *err);

/* Is there code to run in place of a command (code.h)? */
bool cx_args_have_code(const struct cx_args *args);

void cx_args_help(const struct cx_opt *const *tables, FILE *to);

#endif
