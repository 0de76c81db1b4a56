/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CX_CLI_COMMANDS_H
#define CX_CLI_COMMANDS_H

#include "cli/cli.h"

/* One row per command of caisson; a new one is a row in commands.c and a handler. */
struct cx_command {
	const char *name;  /* two words: "image ls" */
	const char *alias; /* or NULL */
	struct cx_syntax syntax;
	const char *summary; /* for the list of commands */
	const char *text;    /* more for its own --help, or NULL */
	/* Returns the exit status, or -errno: then main reports err and maps it. */
	int (*run)(struct cx_cli *cli, struct cx_err *err);
	bool runs;    /* a command's status is passed on: own failures are CX_EXIT_OWN */
	bool offline; /* asks no server */
};

extern const struct cx_command cx_commands[];
extern const size_t cx_commands_count;

/* The whole program. Returns its exit status. */
int cx_cli_main(int argc, char **argv);

/* ---- handlers, by file ---- */
int cx_cmd_create(struct cx_cli *cli, struct cx_err *err); /* cmd_sandbox.c */
int cx_cmd_list(struct cx_cli *cli, struct cx_err *err);
int cx_cmd_get(struct cx_cli *cli, struct cx_err *err);
int cx_cmd_logs(struct cx_cli *cli, struct cx_err *err);
int cx_cmd_usage(struct cx_cli *cli, struct cx_err *err);
int cx_cmd_lease(struct cx_cli *cli, struct cx_err *err);
int cx_cmd_commit(struct cx_cli *cli, struct cx_err *err);
int cx_cmd_delete(struct cx_cli *cli, struct cx_err *err); /* cmd_delete.c */
int cx_cmd_pause(struct cx_cli *cli, struct cx_err *err);
int cx_cmd_resume(struct cx_cli *cli, struct cx_err *err);
int cx_cmd_stop(struct cx_cli *cli, struct cx_err *err);
int cx_cmd_expose(struct cx_cli *cli, struct cx_err *err); /* cmd_expose.c */
int cx_cmd_unexpose(struct cx_cli *cli, struct cx_err *err);
int cx_cmd_list_ports(struct cx_cli *cli, struct cx_err *err);
int cx_cmd_run(struct cx_cli *cli, struct cx_err *err); /* cmd_run.c */
int cx_cmd_once(struct cx_cli *cli, struct cx_err *err);
int cx_cmd_jobs_start(struct cx_cli *cli, struct cx_err *err); /* cmd_jobs.c */
int cx_cmd_jobs_list(struct cx_cli *cli, struct cx_err *err);
int cx_cmd_jobs_output(struct cx_cli *cli, struct cx_err *err);
int cx_cmd_jobs_wait(struct cx_cli *cli, struct cx_err *err);
int cx_cmd_jobs_stop(struct cx_cli *cli, struct cx_err *err);
int cx_cmd_attach(struct cx_cli *cli, struct cx_err *err); /* cmd_attach.c */
int cx_cmd_result(struct cx_cli *cli, struct cx_err *err);
int cx_cmd_ssh(struct cx_cli *cli, struct cx_err *err);		 /* cmd_ssh.c */
int cx_cmd_upload(struct cx_cli *cli, struct cx_err *err);	 /* cmd_upload.c */
int cx_cmd_download(struct cx_cli *cli, struct cx_err *err);	 /* cmd_download.c */
int cx_cmd_image_import(struct cx_cli *cli, struct cx_err *err); /* cmd_image.c */
int cx_cmd_image_list(struct cx_cli *cli, struct cx_err *err);
int cx_cmd_image_inspect(struct cx_cli *cli, struct cx_err *err);
int cx_cmd_image_remove(struct cx_cli *cli, struct cx_err *err);
int cx_cmd_image_tag(struct cx_cli *cli, struct cx_err *err);
int cx_cmd_image_history(struct cx_cli *cli, struct cx_err *err);
int cx_cmd_image_prune(struct cx_cli *cli, struct cx_err *err);
int cx_cmd_image_pull(struct cx_cli *cli, struct cx_err *err); /* cmd_transfer.c */
int cx_cmd_image_push(struct cx_cli *cli, struct cx_err *err);
int cx_cmd_image_verify(struct cx_cli *cli, struct cx_err *err);
int cx_cmd_image_save(struct cx_cli *cli, struct cx_err *err); /* cmd_save.c */
int cx_cmd_image_export(struct cx_cli *cli, struct cx_err *err);
int cx_cmd_user_add(struct cx_cli *cli, struct cx_err *err); /* cmd_account.c */
int cx_cmd_user_list(struct cx_cli *cli, struct cx_err *err);
int cx_cmd_user_show(struct cx_cli *cli, struct cx_err *err);
int cx_cmd_user_disable(struct cx_cli *cli, struct cx_err *err);
int cx_cmd_user_enable(struct cx_cli *cli, struct cx_err *err);
int cx_cmd_user_budget(struct cx_cli *cli, struct cx_err *err);
int cx_cmd_user_remove(struct cx_cli *cli, struct cx_err *err);
int cx_cmd_team_add(struct cx_cli *cli, struct cx_err *err);
int cx_cmd_team_list(struct cx_cli *cli, struct cx_err *err);
int cx_cmd_team_show(struct cx_cli *cli, struct cx_err *err);
int cx_cmd_team_join(struct cx_cli *cli, struct cx_err *err);
int cx_cmd_team_leave(struct cx_cli *cli, struct cx_err *err);
int cx_cmd_team_remove(struct cx_cli *cli, struct cx_err *err);
int cx_cmd_key_create(struct cx_cli *cli, struct cx_err *err);
int cx_cmd_key_list(struct cx_cli *cli, struct cx_err *err);
int cx_cmd_key_revoke(struct cx_cli *cli, struct cx_err *err);
int cx_cmd_rotate(struct cx_cli *cli, struct cx_err *err);
int cx_cmd_audit(struct cx_cli *cli, struct cx_err *err);
int cx_cmd_image_login(struct cx_cli *cli, struct cx_err *err); /* cmd_login.c */
int cx_cmd_image_logout(struct cx_cli *cli, struct cx_err *err);
int cx_cmd_egress_show(struct cx_cli *cli, struct cx_err *err); /* cmd_egress.c */
int cx_cmd_egress_set(struct cx_cli *cli, struct cx_err *err);
int cx_cmd_egress_log(struct cx_cli *cli, struct cx_err *err);
int cx_cmd_top(struct cx_cli *cli, struct cx_err *err);	       /* cmd_top.c */
int cx_cmd_events(struct cx_cli *cli, struct cx_err *err);     /* cmd_events.c */
int cx_cmd_doctor(struct cx_cli *cli, struct cx_err *err);     /* cmd_doctor.c */
int cx_cmd_bench(struct cx_cli *cli, struct cx_err *err);      /* cmd_bench.c */
int cx_cmd_completion(struct cx_cli *cli, struct cx_err *err); /* cmd_completion.c */
int cx_cmd_version(struct cx_cli *cli, struct cx_err *err);    /* commands.c */
int cx_cmd_help(struct cx_cli *cli, struct cx_err *err);

/* ---- shared by handlers ---- */

/* The body of POST /sandbox from the arguments; the caller's. */
CX_MUST int cx_create_body(const struct cx_args *args, const char *image, json_t **ret,
			   struct cx_err *err);
/* Adds a list of texts to a body; none: not set. */
CX_MUST int cx_cli_set_texts(json_t *body, const char *key, const struct cx_texts *texts,
			     struct cx_err *err);
/*
 * Waits until *sandbox, as the answer to its creation was, runs, and shows what it waits for; it is
 * replaced by a newer one. Ends early, with 0, at a signal. An error says why it never will run.
 */
CX_MUST int cx_create_wait(struct cx_cli *cli, json_t **sandbox, struct cx_err *err);
/* The command or code of the arguments: text for a shell, or a program and its arguments. */
CX_MUST int cx_run_command(const struct cx_args *args, json_t **ret, struct cx_err *err);
/* "NAME DIGEST" of an Image object. */
void cx_image_print_name(const json_t *image);
/* Asks on the terminal, unless --yes was given; without a terminal it refuses. */
CX_MUST int cx_confirm(struct cx_cli *cli, const char *question, struct cx_err *err);
/* All sandboxes that the options select, a JSON array; the caller's. */
CX_MUST int cx_list_all(struct cx_cli *cli, bool with_ended, json_t **ret, struct cx_err *err);

#endif
