/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/commands.h"

#include <errno.h>
#include <limits.h>
#include <string.h>

#define AT(member) offsetof(struct cx_args, member)
#define END                               \
	{                                 \
		NULL, 0, 0, 0, NULL, NULL \
	}

/* ---- options -------------------------------------------------------------------------------- */

static const struct cx_opt where_opts[] = {
	{ "socket", 0, CX_OPT_TEXT, AT(socket), "PATH",
	  "Unix socket of the engine (default: $CAISSON_SOCKET or " CX_RUNDIR "/caisson.sock)" },
	{ "url", 0, CX_OPT_TEXT, AT(url), "URL",
	  "http[s]://HOST:PORT of the engine instead of a socket (default: $CAISSON_URL)" },
	{ "cacert", 0, CX_OPT_TEXT, AT(cacert), "FILE",
	  "trust only these certificates with https (default: $CAISSON_CACERT, or this "
	  "machine's)" },
	{ "help", 'h', CX_OPT_FLAG, AT(help), NULL, "show this help" },
	END,
};

static const struct cx_opt output_opts[] = {
	{ "output", 'o', CX_OPT_OUTPUT, AT(output), "table|json|yaml|FORMAT",
	  "how to print; FORMAT is text with members in braces: '{id} {status}' (default: table)" },
	{ "json", 0, CX_OPT_JSON, AT(output), NULL, "the same as --output json" },
	END,
};

static const struct cx_opt lease_opts[] = {
	{ "lease", 0, CX_OPT_COUNT, AT(lease_s), "SECONDS",
	  "end it when its owner is silent for so long; see caisson lease" },
	END,
};

static const struct cx_opt create_opts[] = {
	{ "name", 'n', CX_OPT_TEXT, AT(name), "NAME",
	  "name; if no other alive has it, it can stand for the id" },
	{ "cpu-cores", 'c', CX_OPT_NUMBER, AT(cpu_cores), "N", "processors, fractions allowed" },
	{ "cpus", 0, CX_OPT_NUMBER, AT(cpu_cores), "N", "the same as --cpu-cores" },
	{ "memory", 'm', CX_OPT_GIB, AT(memory_gb), "SIZE",
	  "memory: 512M, 1.5G; a bare number is GiB" },
	{ "memory-gb", 0, CX_OPT_NUMBER, AT(memory_gb), "N", "memory in GiB" },
	{ "disk-size-gb", 0, CX_OPT_NUMBER, AT(disk_gb), "N", "size of the disk in GiB" },
	{ "scratch", 0, CX_OPT_WORD, AT(scratch), "disk|memory",
	  "where it keeps what it writes (default: disk)" },
	{ "pids", 0, CX_OPT_COUNT, AT(pids), "N", "how many processes and threads there may be" },
	{ "secret", 's', CX_OPT_PAIR, AT(secrets), "KEY[=VALUE]",
	  "environment variable that is never shown again" },
	{ "label", 'l', CX_OPT_LIST, AT(labels), "LABEL",
	  "label to select it by; may be repeated" },
	{ "start-command", 0, CX_OPT_TEXT, AT(start_command), "TEXT",
	  "runs instead of the image's entrypoint; its output is the log" },
	{ "timeout-minutes", 0, CX_OPT_NUMBER, AT(timeout_minutes), "N",
	  "lifetime, fractions allowed (default: 60)" },
	{ "no-timeout", 0, CX_OPT_FLAG, AT(no_timeout), NULL, "no lifetime" },
	{ "idle-timeout-minutes", 0, CX_OPT_NUMBER, AT(idle_timeout_minutes), "N",
	  "end it when it was not used for so long (default: never)" },
	{ "pull", 0, CX_OPT_WORD, AT(policy), "missing|always|never",
	  "ask a registry for an image that is not here, or for every image (default: missing)" },
	END,
};

static const struct cx_opt net_opts[] = {
	{ "network-access", 0, CX_OPT_ON, AT(network), NULL,
	  "let it reach everything that is not private (the default)" },
	{ "no-network-access", 0, CX_OPT_OFF, AT(network), NULL, "let it reach nothing" },
	{ "no-network", 0, CX_OPT_OFF, AT(network), NULL, "the same as --no-network-access" },
	{ "network-allow", 0, CX_OPT_LIST, AT(net_allow), "DEST",
	  "let it reach this alone: host, *.host, address or address/bits, [:port]; may be "
	  "repeated" },
	{ "network-deny", 0, CX_OPT_LIST, AT(net_deny), "DEST",
	  "let it reach all but this; may be repeated" },
	{ "network", 0, CX_OPT_TEXT, AT(net_name), "NAME",
	  "let it and your other sandboxes of this network reach each other by name" },
	END,
};

static const struct cx_opt egress_log_opts[] = {
	{ "follow", 'f', CX_OPT_FLAG, AT(follow), NULL, "go on with what happens" },
	{ "number", 0, CX_OPT_COUNT, AT(count), "N", "how many lines (default: 100)" },
	END,
};

static const struct cx_opt env_opts[] = {
	{ "env", 'e', CX_OPT_PAIR, AT(env), "KEY[=VALUE]",
	  "environment variable; KEY alone takes the caller's value; may be repeated" },
	END,
};

static const struct cx_opt expose_opts[] = {
	{ "name", 'n', CX_OPT_TEXT, AT(name), "NAME", "a name to tell it from others" },
	{ "protocol", 0, CX_OPT_WORD, AT(protocol), "http|tcp",
	  "requests of HTTP, or any bytes over TCP (default: http)" },
	END,
};

static const struct cx_opt detach_opts[] = {
	{ "detach", 'd', CX_OPT_FLAG, AT(detach), NULL,
	  "print its id when it has started, and let it go on by itself" },
	{ "id", 0, CX_OPT_TEXT, AT(exec_id), "EXEC",
	  "with --detach: the id; one that is there is not started again" },
	END,
};

static const struct cx_opt run_opts[] = {
	{ "working-dir", 'w', CX_OPT_TEXT, AT(cwd), "DIR", "directory to run in" },
	{ "cwd", 0, CX_OPT_TEXT, AT(cwd), "DIR", "the same as --working-dir" },
	{ "user", 'u', CX_OPT_TEXT, AT(user), "USER[:GROUP]", "user inside, by name or number" },
	{ "timeout", 0, CX_OPT_NUMBER, AT(timeout_s), "SECONDS",
	  "kill the command and all it started after this time (exit status 124)" },
	{ "interactive", 'i', CX_OPT_FLAG, AT(interactive), NULL,
	  "pass standard input on (the default)" },
	{ "no-stdin", 0, CX_OPT_FLAG, AT(no_stdin), NULL, "leave standard input alone" },
	{ "tty", 't', CX_OPT_FLAG, AT(tty), NULL,
	  "give the command a terminal (the default when this is run in one)" },
	{ "no-tty", 'T', CX_OPT_FLAG, AT(no_tty), NULL, "give it none" },
	END,
};

static const struct cx_opt limit_opts[] = {
	{ "cpu-time", 0, CX_OPT_NUMBER, AT(cpu_time_s), "SECONDS",
	  "CPU time of the command and all it starts" },
	{ "processes", 0, CX_OPT_COUNT, AT(processes), "N", "its processes and threads" },
	{ "output-file", 0, CX_OPT_TEXT, AT(output_file), "PATH",
	  "a file in the sandbox that gets all of its output, too" },
	{ "output-limit", 0, CX_OPT_GIB, AT(output_gb), "SIZE", "its output: 10M, 1.5G" },
	{ "file-size", 0, CX_OPT_GIB, AT(file_gb), "SIZE", "the largest file that it writes" },
	{ "open-files", 0, CX_OPT_COUNT, AT(open_files), "N", "open files of each process" },
	{ "stack", 0, CX_OPT_GIB, AT(stack_gb), "SIZE", "the stack of each process" },
	{ "quiet-machine", 0, CX_OPT_FLAG, AT(quiet_machine), NULL,
	  "for measurements: one core, the same addresses in each run" },
	{ "json", 0, CX_OPT_JSON, AT(output), NULL,
	  "print one object: output, how it ended, what it used; no standard input" },
	END,
};

static const struct cx_opt memory_opts[] = {
	{ "memory", 'm', CX_OPT_GIB, AT(memory_gb), "SIZE",
	  "memory of the command and all it starts: 64M, 1.5G" },
	END,
};

static const struct cx_opt ssh_opts[] = {
	{ "shell", 's', CX_OPT_TEXT, AT(shell), "SHELL",
	  "program to run in a terminal (default: bash, else zsh, else sh)" },
	END,
};

static const struct cx_opt code_opts[] = {
	{ "language", 'l', CX_OPT_WORD, AT(language), "python|javascript|bash",
	  "language of --code or --file (default: by the file's name, else python)" },
	{ "code", 'c', CX_OPT_TEXT, AT(code), "TEXT|-",
	  "run this, or what standard input holds, in place of a command" },
	{ "file", 'f', CX_OPT_TEXT, AT(code_file), "FILE", "run what this file of ours holds" },
	END,
};

static const struct cx_opt copy_opts[] = {
	{ "user", 'u', CX_OPT_TEXT, AT(user), "USER[:GROUP]",
	  "user inside, whose rights count (default: the image's)" },
	{ "quiet", 'q', CX_OPT_FLAG, AT(quiet), NULL, "print neither progress nor checksums" },
	END,
};

static const struct cx_opt list_opts[] = {
	{ "all", 'a', CX_OPT_FLAG, AT(all), NULL, "also those that have ended" },
	{ "status", 0, CX_OPT_TEXT, AT(status), "STATUS", "only those in this state" },
	{ "label", 'l', CX_OPT_LIST, AT(labels), "LABEL", "only those that have all these labels" },
	END,
};

static const struct cx_opt live_opts[] = {
	{ "interval", 0, CX_OPT_NUMBER, AT(interval_s), "SECONDS",
	  "between two looks (default: 2)" },
	{ "count", 0, CX_OPT_COUNT, AT(count), "N",
	  "how many looks (default: on a terminal until interrupted, else 1)" },
	{ "label", 'l', CX_OPT_LIST, AT(labels), "LABEL", "only those that have all these labels" },
	END,
};

static const struct cx_opt follow_opts[] = {
	{ "follow", 'f', CX_OPT_FLAG, AT(follow), NULL, "go on with what happens" },
	{ "after", 0, CX_OPT_COUNT, AT(after), "SEQ",
	  "only what came after this event, all of it (seq of --json)" },
	{ "json", 0, CX_OPT_JSON, AT(output), NULL, "print each event as an object on a line" },
	END,
};

static const struct cx_opt log_opts[] = {
	{ "follow", 'f', CX_OPT_FLAG, AT(follow), NULL,
	  "go on with what it prints, until the sandbox ends" },
	END,
};

static const struct cx_opt job_opts[] = {
	{ "working-dir", 'w', CX_OPT_TEXT, AT(cwd), "DIR", "directory to run in" },
	{ "user", 'u', CX_OPT_TEXT, AT(user), "USER[:GROUP]", "user inside, by name or number" },
	END,
};

static const struct cx_opt job_user_opts[] = {
	{ "user", 'u', CX_OPT_TEXT, AT(user), "USER[:GROUP]",
	  "user inside, whose rights count (default: the image's)" },
	END,
};

static const struct cx_opt job_output_opts[] = {
	{ "stderr", 0, CX_OPT_FLAG, AT(of_stderr), NULL, "what it wrote to standard error" },
	{ "follow", 'f', CX_OPT_FLAG, AT(follow), NULL, "go on with it until the job ends" },
	{ "offset", 0, CX_OPT_NUMBER, AT(offset), "BYTES", "leave out so many (default: none)" },
	END,
};

static const struct cx_opt attach_opts[] = {
	{ "stderr", 0, CX_OPT_FLAG, AT(of_stderr), NULL, "what it wrote to standard error" },
	{ "offset", 0, CX_OPT_NUMBER, AT(offset), "BYTES", "leave out so many (default: none)" },
	END,
};

static const struct cx_opt result_opts[] = {
	{ "wait", 0, CX_OPT_FLAG, AT(wait), NULL, "for its end" },
	END,
};

static const struct cx_opt job_stop_opts[] = {
	{ "signal", 's', CX_OPT_TEXT, AT(signal), "NAME", "only send this signal" },
	END,
};

static const struct cx_opt delete_opts[] = {
	{ "label", 'l', CX_OPT_LIST, AT(labels), "LABEL", "all that have all these labels" },
	{ "all", 'a', CX_OPT_FLAG, AT(all), NULL, "every sandbox" },
	{ "yes", 'y', CX_OPT_FLAG, AT(yes), NULL, "do not ask" },
	END,
};

static const struct cx_opt account_opts[] = {
	{ "email", 0, CX_OPT_TEXT, AT(email), "ADDRESS", "where to reach the user" },
	{ "role", 0, CX_OPT_WORD, AT(role), "user|admin",
	  "an admin may do everything (default: user)" },
	{ "uid", 0, CX_OPT_COUNT, AT(uid), "N",
	  "who comes through the engine's socket as this user of the host" },
	END,
};

static const struct cx_opt budget_opts[] = {
	{ "max-sandboxes", 0, CX_OPT_COUNT, AT(max_sandboxes), "N", "how many at a time" },
	{ "max-cores", 0, CX_OPT_NUMBER, AT(max_cores), "N", "cores of all that live" },
	{ "max-memory", 0, CX_OPT_GIB, AT(max_memory_gb), "SIZE", "memory of all that live" },
	{ "max-core-hours", 0, CX_OPT_NUMBER, AT(max_core_hours), "N",
	  "cores times hours that sandboxes have run, in all" },
	{ "no-limits", 0, CX_OPT_FLAG, AT(no_limits), NULL, "lift all that are not given here" },
	{ "reset-usage", 0, CX_OPT_FLAG, AT(reset_usage), NULL,
	  "forget the core-hours used up to now" },
	END,
};

static const struct cx_opt role_opts[] = {
	{ "role", 0, CX_OPT_WORD, AT(role), "member|owner",
	  "an owner takes others in and out (default: member)" },
	END,
};

static const struct cx_opt of_user_opts[] = {
	{ "user", 0, CX_OPT_TEXT, AT(account), "NAME",
	  "of this user; only admins may name others" },
	END,
};

static const struct cx_opt key_opts[] = {
	{ "user", 0, CX_OPT_TEXT, AT(account), "NAME",
	  "for this user; only admins may name others" },
	{ "name", 'n', CX_OPT_TEXT, AT(name), "TEXT", "what it is for" },
	{ "expires", 0, CX_OPT_TEXT, AT(expires), "TIME",
	  "when it ends: 30d, 12h, 90m, 45s (default: never)" },
	END,
};

static const struct cx_opt audit_opts[] = {
	{ "user", 0, CX_OPT_TEXT, AT(account), "NAME", "only what this user did" },
	{ "number", 0, CX_OPT_COUNT, AT(count), "N", "how many lines (default: 100)" },
	END,
};

static const struct cx_opt yes_opts[] = {
	{ "yes", 'y', CX_OPT_FLAG, AT(yes), NULL, "do not ask" },
	END,
};

static const struct cx_opt import_opts[] = {
	{ "name", 'n', CX_OPT_TEXT, AT(name), "REF",
	  "how to call it; default: what the archive says" },
	END,
};

static const struct cx_opt pull_opts[] = {
	{ "policy", 0, CX_OPT_WORD, AT(policy), "always|missing",
	  "missing: ask the registry only for an image that is not here (default: always)" },
	{ "platform", 0, CX_OPT_TEXT, AT(platform), "OS/ARCH[/VARIANT]",
	  "of an image for several platforms; default: the engine's" },
	END,
};

static const struct cx_opt login_opts[] = {
	{ "username", 'u', CX_OPT_TEXT, AT(username), "NAME", "name for the registry" },
	{ "password-stdin", 0, CX_OPT_FLAG, AT(password_stdin), NULL,
	  "read the password from standard input" },
	END,
};

static const struct cx_opt registry_opts[] = {
	{ "authfile", 0, CX_OPT_TEXT, AT(authfile), "FILE",
	  "file with credentials (default: $REGISTRY_AUTH_FILE, or podman's and docker's)" },
	END,
};

static const struct cx_opt events_opts[] = {
	{ "quiet", 'q', CX_OPT_FLAG, AT(quiet), NULL, "show no progress" },
	{ "json", 0, CX_OPT_JSON, AT(output), NULL,
	  "print the engine's events, one object a line" },
	END,
};

static const struct cx_opt save_opts[] = {
	{ "format", 0, CX_OPT_WORD, AT(format), "oci|docker",
	  "OCI image layout (the default), or what docker load takes" },
	END,
};

static const struct cx_opt file_opts[] = {
	{ "output", 'o', CX_OPT_TEXT, AT(file), "FILE|-",
	  "where to write to (default: standard output)" },
	END,
};

static const struct cx_opt commit_opts[] = {
	{ "message", 'm', CX_OPT_TEXT, AT(message), "TEXT", "what was done, for the history" },
	{ "author", 0, CX_OPT_TEXT, AT(author), "NAME", "who did it" },
	END,
};

static const struct cx_opt prune_opts[] = {
	{ "all", 'a', CX_OPT_FLAG, AT(all), NULL, "also every image that no sandbox uses" },
	{ "yes", 'y', CX_OPT_FLAG, AT(yes), NULL, "do not ask" },
	END,
};

static const struct cx_opt verify_opts[] = {
	{ "repair", 0, CX_OPT_FLAG, AT(repair), NULL,
	  "build damaged layers again, throw away what cannot be made whole" },
	END,
};

static const struct cx_opt bench_opts[] = {
	{ "into", 0, CX_OPT_TEXT, AT(into), "DIR",
	  "write RESULTS.md, results.json and the chart results.svg there (default: only print)" },
	{ "rounds", 0, CX_OPT_TEXT, AT(rounds), "N", "at most so many of each (default: 30)" },
	{ "rows", 0, CX_OPT_TEXT, AT(rows), "NAME,...",
	  "only these: cold, prepared, exec, rate, flat, memory, image, transfer, list" },
	{ "peers", 0, CX_OPT_TEXT, AT(peers), "NAME,...",
	  "only these: runc, crun, bubblewrap, systemd-nspawn, podman, docker, isolate; or none" },
	{ "libexec", 0, CX_OPT_TEXT, AT(libexec), "DIR",
	  "where caisson's programs are (default: " CX_LIBEXECDIR ")" },
	END,
};

static const struct cx_opt top_opts[] = {
	{ "version", 'V', CX_OPT_FLAG, AT(version), NULL, "show the version" },
	END,
};

#define TABLES(...) ((const struct cx_opt *const[]){ __VA_ARGS__, where_opts, NULL })
#define ONLY_WHERE  ((const struct cx_opt *const[]){ where_opts, NULL })

/* ---- commands ------------------------------------------------------------------------------- */

const struct cx_command cx_commands[] = {
	{
		.name = "create",
		.syntax = { "IMAGE", 1, 1, CX_REST_NONE,
			    TABLES(create_opts, lease_opts, net_opts, env_opts, output_opts) },
		.summary = "make a sandbox and print its id",
		.run = cx_cmd_create,
	},
	{
		.name = "run",
		.alias = "exec",
		.syntax = { "ID COMMAND...", 1, 1, CX_REST_OR_CODE,
			    TABLES(run_opts, detach_opts, limit_opts, memory_opts, code_opts,
				   env_opts) },
		.summary = "run a command or code in a sandbox",
		.text = "COMMAND of one word is text for the sandbox's shell; several words, or\n"
			"what follows --, are a program and its arguments. The exit status is the\n"
			"command's; 128 + N after signal N, 124 after --timeout, 126 or 127 when\n"
			"it cannot be executed or found, 125 for a failure of our own.\n",
		.run = cx_cmd_run,
		.runs = true,
	},
	{
		.name = "once",
		.syntax = { "IMAGE COMMAND...", 1, 1, CX_REST_NEEDED,
			    TABLES(create_opts, net_opts, run_opts, limit_opts, env_opts) },
		.summary = "make a sandbox, run one command in it, remove it",
		.text = "COMMAND and exit status are those of run. The sandbox is removed also\n"
			"when this is interrupted.\n",
		.run = cx_cmd_once,
		.runs = true,
	},
	{
		.name = "list",
		.alias = "ls",
		.syntax = { "", 0, 0, CX_REST_NONE, TABLES(list_opts, output_opts) },
		.summary = "list sandboxes",
		.run = cx_cmd_list,
	},
	{
		.name = "get",
		.alias = "status",
		.syntax = { "ID", 1, 1, CX_REST_NONE, TABLES(output_opts) },
		.summary = "show everything about one sandbox",
		.run = cx_cmd_get,
	},
	{
		.name = "logs",
		.syntax = { "ID", 1, 1, CX_REST_NONE, TABLES(log_opts, output_opts) },
		.summary = "print what the start command has printed",
		.text = "Kept are the last 256 KiB. --follow ends when the sandbox does.\n",
		.run = cx_cmd_logs,
	},
	{
		.name = "jobs start",
		.syntax = { "ID COMMAND...", 1, 1, CX_REST_OR_CODE,
			    TABLES(job_opts, code_opts, env_opts, output_opts) },
		.summary = "start a command that runs on by itself; print its job's id",
		.text = "COMMAND is that of run. Its output goes to files of the sandbox, so it\n"
			"needs neither this program nor the engine, only a shell inside.\n",
		.run = cx_cmd_jobs_start,
	},
	{
		.name = "jobs list",
		.alias = "jobs ls",
		.syntax = { "ID", 1, 1, CX_REST_NONE, TABLES(job_user_opts, output_opts) },
		.summary = "list the jobs of a sandbox, also those that have ended",
		.run = cx_cmd_jobs_list,
	},
	{
		.name = "jobs output",
		.syntax = { "ID JOB", 2, 2, CX_REST_NONE, TABLES(job_output_opts, job_user_opts) },
		.summary = "print what a job has written",
		.run = cx_cmd_jobs_output,
	},
	{
		.name = "jobs wait",
		.syntax = { "ID JOB", 2, 2, CX_REST_NONE, TABLES(job_user_opts) },
		.summary = "wait for the end of a job",
		.text = "The exit status is the job's; 125 for a failure of our own.\n",
		.run = cx_cmd_jobs_wait,
		.runs = true,
	},
	{
		.name = "jobs stop",
		.syntax = { "ID JOB", 2, 2, CX_REST_NONE, TABLES(job_stop_opts, job_user_opts) },
		.summary = "end a job and all that it started",
		.text = "They get SIGTERM and, after ten seconds, SIGKILL.\n",
		.run = cx_cmd_jobs_stop,
	},
	{
		.name = "attach",
		.syntax = { "ID EXEC", 2, 2, CX_REST_NONE, TABLES(attach_opts) },
		.summary = "print what a command of run --detach writes, until it ends",
		.text = "What was written before is there, too, but for what is kept no more: "
			"then\n"
			"it says how much. The exit status is the command's.\n",
		.run = cx_cmd_attach,
		.runs = true,
	},
	{
		.name = "result",
		.syntax = { "ID [EXEC]", 1, 2, CX_REST_NONE, TABLES(result_opts, output_opts) },
		.summary = "show how a command ended, or list the last ones",
		.run = cx_cmd_result,
	},
	{
		.name = "ssh",
		.syntax = { "ID [COMMAND...]", 1, 1, CX_REST_MAYBE, TABLES(ssh_opts) },
		.summary = "log in to a sandbox with OpenSSH's client",
		.text = "A key and a session are made for this call and removed afterwards. What\n"
			"follows -- are options of ssh(1) and a command: -- -L "
			"3000:localhost:3000.\n"
			"The exit status is that of ssh, 125 for a failure of our own.\n",
		.run = cx_cmd_ssh,
		.runs = true,
	},
	{
		.name = "upload",
		.syntax = { "ID LOCAL REMOTE", 3, 3, CX_REST_NONE, TABLES(copy_opts) },
		.summary = "copy a file or directory into a sandbox",
		.text = "LOCAL may be '-' for standard input. A REMOTE that ends with '/' gets "
			"the\n"
			"name of LOCAL; what it is in is made. Each file is there whole or not at\n"
			"all, 200 MiB at most. Printed are the SHA-256 and the name of each, as\n"
			"sha256sum(1) does.\n",
		.run = cx_cmd_upload,
	},
	{
		.name = "download",
		.syntax = { "ID REMOTE LOCAL", 3, 3, CX_REST_NONE, TABLES(copy_opts) },
		.summary = "copy a file or directory out of a sandbox",
		.text = "LOCAL may be '-' for standard output; a directory, or a name that ends\n"
			"with '/', gets the name of REMOTE. Each file is there whole or not at\n"
			"all. Printed are the SHA-256 and the name of each: sha256sum -c takes "
			"it.\n",
		.run = cx_cmd_download,
	},
	{
		.name = "usage",
		.syntax = { "ID", 1, 1, CX_REST_NONE, TABLES(output_opts) },
		.summary = "show processor time, memory and processes in use",
		.run = cx_cmd_usage,
	},
	{
		.name = "egress show",
		.syntax = { "ID", 1, 1, CX_REST_NONE, TABLES(output_opts) },
		.summary = "show what a sandbox may reach",
		.run = cx_cmd_egress_show,
	},
	{
		.name = "egress set",
		.syntax = { "ID", 1, 1, CX_REST_NONE, TABLES(net_opts, output_opts) },
		.summary = "change what a sandbox may reach, while it runs",
		.text = "Connections that stay allowed go on, others are cut. It is in force when\n"
			"this ends. --network '' takes it out of its network.\n",
		.run = cx_cmd_egress_set,
	},
	{
		.name = "egress log",
		.syntax = { "ID", 1, 1, CX_REST_NONE, TABLES(egress_log_opts, output_opts) },
		.summary = "list what a sandbox was refused, the newest last",
		.run = cx_cmd_egress_log,
	},
	{
		.name = "top",
		.syntax = { "", 0, 0, CX_REST_NONE, TABLES(live_opts, output_opts) },
		.summary = "show who uses how much, again and again",
		.run = cx_cmd_top,
	},
	{
		.name = "events",
		.syntax = { "", 0, 0, CX_REST_NONE, TABLES(follow_opts) },
		.summary = "show the sandboxes that live, then every change of one's status",
		.text = "It ends when it is interrupted, or without --follow when the present is\n"
			"shown.\n",
		.run = cx_cmd_events,
	},
	{
		.name = "commit",
		.syntax = { "ID NAME", 2, 2, CX_REST_NONE, TABLES(commit_opts, output_opts) },
		.summary = "make an image of what a sandbox has changed",
		.text = "The sandbox stands still while its files are read, then goes on.\n",
		.run = cx_cmd_commit,
	},
	{
		.name = "expose",
		.syntax = { "ID PORT", 2, 2, CX_REST_NONE, TABLES(expose_opts, output_opts) },
		.summary = "serve a port of a sandbox on one of this host",
		.text = "Prints the id of the exposure and its URL.\n",
		.run = cx_cmd_expose,
	},
	{
		.name = "unexpose",
		.syntax = { "ID EXPOSURE...", 2, INT_MAX, CX_REST_NONE, ONLY_WHERE },
		.summary = "serve exposed ports no longer; their connections end",
		.run = cx_cmd_unexpose,
	},
	{
		.name = "list-ports",
		.syntax = { "[ID]", 0, 1, CX_REST_NONE, TABLES(output_opts) },
		.summary = "list the exposed ports of a sandbox, or of all",
		.run = cx_cmd_list_ports,
	},
	{
		.name = "pause",
		.syntax = { "ID...", 1, INT_MAX, CX_REST_NONE, TABLES(output_opts) },
		.summary = "let sandboxes stand still; their memory is kept",
		.text = "No command can be run until they are resumed. Their lifetime goes on.\n",
		.run = cx_cmd_pause,
	},
	{
		.name = "resume",
		.syntax = { "ID...", 1, INT_MAX, CX_REST_NONE, TABLES(output_opts) },
		.summary = "let paused sandboxes go on where they were",
		.run = cx_cmd_resume,
	},
	{
		.name = "lease",
		.syntax = { "ID", 1, 1, CX_REST_NONE, ONLY_WHERE },
		.summary = "hold the lease of a sandbox, until a signal",
		.text = "The sandbox was made with --lease SECONDS; so long after this command "
			"has\n"
			"gone, however it did, the sandbox goes too.\n",
		.run = cx_cmd_lease,
	},
	{
		.name = "stop",
		.syntax = { "ID...", 1, INT_MAX, CX_REST_NONE, TABLES(output_opts) },
		.summary = "end sandboxes for good; their records stay",
		.run = cx_cmd_stop,
	},
	{
		.name = "delete",
		.alias = "rm",
		.syntax = { "[ID...]", 0, INT_MAX, CX_REST_NONE, TABLES(delete_opts, output_opts) },
		.summary = "remove sandboxes, until nothing of them is left",
		.text = "IDs may be separated by commas. Each is reported; the exit status is the\n"
			"first failure's.\n",
		.run = cx_cmd_delete,
	},
	{
		.name = "image import",
		.syntax = { "PATH|-", 1, 1, CX_REST_NONE, TABLES(import_opts, output_opts) },
		.summary = "take in an image from a file, a directory or standard input",
		.text = "PATH is an OCI image layout (directory or tar), a docker save archive or "
			"a\n"
			"tar of a root file system. A tar may be compressed with gzip or zstd.\n",
		.run = cx_cmd_image_import,
	},
	{
		.name = "image pull",
		.syntax = { "NAME", 1, 1, CX_REST_NONE,
			    TABLES(pull_opts, login_opts, registry_opts, events_opts) },
		.summary = "fetch an image from a registry",
		.text = "NAME is as in docker: python:3.11-slim, host:5000/a/b@sha256:...\n"
			"When this is interrupted, the next pull goes on where it ended.\n",
		.run = cx_cmd_image_pull,
	},
	{
		.name = "image push",
		.syntax = { "NAME [DESTINATION]", 1, 2, CX_REST_NONE,
			    TABLES(login_opts, registry_opts, events_opts) },
		.summary = "send an image to a registry",
		.text = "DESTINATION is its name there, if it is another one.\n",
		.run = cx_cmd_image_push,
	},
	{
		.name = "image save",
		.syntax = { "NAME...", 1, INT_MAX, CX_REST_NONE, TABLES(save_opts, file_opts) },
		.summary = "write images to an archive, as image import takes it",
		.text = "FILE appears when it is complete, or not at all.\n",
		.run = cx_cmd_image_save,
	},
	{
		.name = "image export",
		.syntax = { "NAME", 1, 1, CX_REST_NONE, TABLES(file_opts) },
		.summary = "write the file tree of an image to a tar archive",
		.text = "FILE appears when it is complete, or not at all.\n",
		.run = cx_cmd_image_export,
	},
	{
		.name = "image tag",
		.syntax = { "NAME NEW", 2, 2, CX_REST_NONE, TABLES(output_opts) },
		.summary = "give an image another name",
		.run = cx_cmd_image_tag,
	},
	{
		.name = "image history",
		.syntax = { "NAME", 1, 1, CX_REST_NONE, TABLES(output_opts) },
		.summary = "show how an image was made, the last step first",
		.run = cx_cmd_image_history,
	},
	{
		.name = "image verify",
		.syntax = { "[NAME]", 0, 1, CX_REST_NONE, TABLES(verify_opts, events_opts) },
		.summary = "compare all that is kept of images with its digests",
		.text = "The exit status is 1 when something is damaged and was not repaired.\n",
		.run = cx_cmd_image_verify,
	},
	{
		.name = "image prune",
		.syntax = { "", 0, 0, CX_REST_NONE, TABLES(prune_opts, output_opts) },
		.summary = "remove what no image needs any more",
		.run = cx_cmd_image_prune,
	},
	{
		.name = "image ls",
		.alias = "image list",
		.syntax = { "", 0, 0, CX_REST_NONE, TABLES(output_opts) },
		.summary = "list images",
		.run = cx_cmd_image_list,
	},
	{
		.name = "image inspect",
		.syntax = { "REF", 1, 1, CX_REST_NONE, TABLES(output_opts) },
		.summary = "show one image and its configuration",
		.run = cx_cmd_image_inspect,
	},
	{
		.name = "image rm",
		.alias = "image delete",
		.syntax = { "REF...", 1, INT_MAX, CX_REST_NONE, ONLY_WHERE },
		.summary = "remove images",
		.run = cx_cmd_image_remove,
	},
	{
		.name = "image login",
		.syntax = { "REGISTRY", 1, 1, CX_REST_NONE, TABLES(login_opts) },
		.summary = "give the engine credentials for a registry",
		.text = "The engine keeps them for whoever may use it. What no option says is "
			"asked\n"
			"for.\n",
		.run = cx_cmd_image_login,
	},
	{
		.name = "image logout",
		.syntax = { "REGISTRY", 1, 1, CX_REST_NONE, ONLY_WHERE },
		.summary = "let the engine forget the credentials for a registry",
		.run = cx_cmd_image_logout,
	},
	{
		.name = "user add",
		.syntax = { "NAME", 1, 1, CX_REST_NONE,
			    TABLES(account_opts, budget_opts, output_opts) },
		.summary = "make an account",
		.text = "A key for it comes from caisson key create --user NAME.\n",
		.run = cx_cmd_user_add,
	},
	{
		.name = "user list",
		.alias = "user ls",
		.syntax = { "", 0, 0, CX_REST_NONE, TABLES(output_opts) },
		.summary = "list accounts",
		.run = cx_cmd_user_list,
	},
	{
		.name = "user show",
		.syntax = { "NAME", 1, 1, CX_REST_NONE, TABLES(output_opts) },
		.summary = "show an account, its budget and what it uses",
		.run = cx_cmd_user_show,
	},
	{
		.name = "user disable",
		.syntax = { "NAME", 1, 1, CX_REST_NONE, TABLES(output_opts) },
		.summary = "turn an account away from now on",
		.text = "Its sandboxes go on; an admin can delete them.\n",
		.run = cx_cmd_user_disable,
	},
	{
		.name = "user enable",
		.syntax = { "NAME", 1, 1, CX_REST_NONE, TABLES(output_opts) },
		.summary = "let an account in again",
		.run = cx_cmd_user_enable,
	},
	{
		.name = "user budget",
		.syntax = { "NAME", 1, 1, CX_REST_NONE, TABLES(budget_opts, output_opts) },
		.summary = "change what an account may use",
		.text = "What is not given stays as it is.\n",
		.run = cx_cmd_user_budget,
	},
	{
		.name = "user remove",
		.alias = "user rm",
		.syntax = { "NAME", 1, 1, CX_REST_NONE, TABLES(yes_opts) },
		.summary = "remove an account that has no sandboxes, and its keys",
		.run = cx_cmd_user_remove,
	},
	{
		.name = "team add",
		.syntax = { "NAME", 1, 1, CX_REST_NONE, TABLES(output_opts) },
		.summary = "make a team",
		.run = cx_cmd_team_add,
	},
	{
		.name = "team list",
		.alias = "team ls",
		.syntax = { "", 0, 0, CX_REST_NONE, TABLES(output_opts) },
		.summary = "list teams",
		.run = cx_cmd_team_list,
	},
	{
		.name = "team show",
		.syntax = { "NAME", 1, 1, CX_REST_NONE, TABLES(output_opts) },
		.summary = "list who is in a team",
		.run = cx_cmd_team_show,
	},
	{
		.name = "team join",
		.syntax = { "NAME USER", 2, 2, CX_REST_NONE, TABLES(role_opts, output_opts) },
		.summary = "take a user into a team, or change the role",
		.text = "Members use what any of them has made for the team.\n",
		.run = cx_cmd_team_join,
	},
	{
		.name = "team leave",
		.syntax = { "NAME USER", 2, 2, CX_REST_NONE, TABLES(output_opts) },
		.summary = "take a user out of a team",
		.run = cx_cmd_team_leave,
	},
	{
		.name = "team remove",
		.alias = "team rm",
		.syntax = { "NAME", 1, 1, CX_REST_NONE, TABLES(yes_opts) },
		.summary = "remove a team; its sandboxes stay their owners'",
		.run = cx_cmd_team_remove,
	},
	{
		.name = "key create",
		.syntax = { "", 0, 0, CX_REST_NONE, TABLES(key_opts, output_opts) },
		.summary = "make a key, which is shown this once",
		.text = "Whoever has it is that user: CAISSON_API_KEY, PRIME_API_KEY.\n",
		.run = cx_cmd_key_create,
	},
	{
		.name = "key list",
		.alias = "key ls",
		.syntax = { "", 0, 0, CX_REST_NONE, TABLES(of_user_opts, output_opts) },
		.summary = "list keys, without what opens",
		.run = cx_cmd_key_list,
	},
	{
		.name = "key revoke",
		.syntax = { "ID", 1, 1, CX_REST_NONE, ONLY_WHERE },
		.summary = "make a key worthless at once",
		.run = cx_cmd_key_revoke,
	},
	{
		.name = "secret-key rotate",
		.syntax = { "", 0, 0, CX_REST_NONE, TABLES(output_opts) },
		.summary = "seal all secrets at rest with a new key",
		.run = cx_cmd_rotate,
	},
	{
		.name = "audit",
		.syntax = { "", 0, 0, CX_REST_NONE, TABLES(audit_opts, output_opts) },
		.summary = "list who did what, the newest first",
		.run = cx_cmd_audit,
	},
	{
		.name = "doctor",
		.syntax = { "", 0, 0, CX_REST_NONE, TABLES(output_opts) },
		.summary = "check whether this host and its engine can run sandboxes",
		.text = "Each finding that is not ok says what to do. The exit status is 1 when "
			"one\nis FAIL.\n",
		.run = cx_cmd_doctor,
	},
	{
		.name = "bench",
		.syntax = { "", 0, 0, CX_REST_NONE, TABLES(bench_opts) },
		.summary = "measure this host: sandboxes of caisson beside those of others",
		.text = "As root, in some ten minutes. The engine and all peers that are "
			"installed\n"
			"have directories of their own; engines that run are left alone, but what\n"
			"they do disturbs the figures.\n",
		.run = cx_cmd_bench,
		.offline = true,
	},
	{
		.name = "completion",
		.syntax = { "bash|zsh|fish", 1, 1, CX_REST_NONE, ONLY_WHERE },
		.summary = "print a script with which a shell completes command lines",
		.text = "For bash: source <(caisson completion bash)\n",
		.run = cx_cmd_completion,
		.offline = true,
	},
	{
		.name = "version",
		.syntax = { "", 0, 0, CX_REST_NONE, ONLY_WHERE },
		.summary = "show the version",
		.run = cx_cmd_version,
		.offline = true,
	},
	{
		.name = "help",
		.syntax = { "[COMMAND]", 0, 2, CX_REST_NONE, ONLY_WHERE },
		.summary = "show help",
		.run = cx_cmd_help,
		.offline = true,
	},
};
const size_t cx_commands_count = CX_LEN(cx_commands);

static const struct cx_syntax top_syntax = { "COMMAND", 0, 0, CX_REST_NEEDED, TABLES(top_opts) };

int cx_cmd_version(struct cx_cli *cli, struct cx_err *err)
{
	(void)cli;
	(void)err;
	(void)puts("caisson " CX_VERSION);
	return 0;
}

static int help_top(FILE *to)
{
	(void)fputs("usage: caisson [OPTION...] COMMAND [ARGUMENT...]\n\n"
		    "Runs untrusted code in sealed Linux machines. The commands:\n\n",
		    to);
	for (size_t i = 0; i < cx_commands_count; i++)
		(void)fprintf(to, "  %-18s %s\n", cx_commands[i].name, cx_commands[i].summary);
	(void)fputs("\n'caisson COMMAND --help' says more about each. Options:\n\n", to);
	cx_args_help(top_syntax.tables, to);
	return 0;
}

static int help_command(const struct cx_command *c, FILE *to)
{
	(void)fprintf(to, "usage: caisson %s [OPTION...] %s\n", c->name, c->syntax.words);
	if (c->alias != NULL)
		(void)fprintf(to, "   or: caisson %s ...\n", c->alias);
	(void)fprintf(to, "\n%c%s.\n", c->summary[0] - 'a' + 'A', c->summary + 1);
	if (c->text != NULL)
		(void)fprintf(to, "%s", c->text);
	(void)fputs("\nOptions:\n\n", to);
	cx_args_help(c->syntax.tables, to);
	return 0;
}

/* ---- dispatch ------------------------------------------------------------------------------- */

/* Does "image ls" stand at the beginning of words? Returns how many words it took. */
static size_t match(const char *name, char *const *words, size_t nwords)
{
	size_t taken = 0;

	for (const char *p = name; p != NULL && *p != '\0';) {
		size_t len = strcspn(p, " ");

		if (taken == nwords || strlen(words[taken]) != len ||
		    strncmp(words[taken], p, len) != 0)
			return 0;
		taken++;
		p += len;
		p += *p == ' ';
	}
	return taken;
}

static const struct cx_command *find(char *const *words, size_t nwords, size_t *ret_taken)
{
	for (size_t i = 0; i < cx_commands_count; i++) {
		*ret_taken = match(cx_commands[i].name, words, nwords);
		if (*ret_taken == 0)
			*ret_taken = match(cx_commands[i].alias, words, nwords);
		if (*ret_taken > 0)
			return &cx_commands[i];
	}
	return NULL;
}

int cx_cmd_help(struct cx_cli *cli, struct cx_err *err)
{
	size_t taken;
	const struct cx_command *c;

	if (cli->args.nwords == 0)
		return help_top(stdout);
	c = find(cli->args.words, cli->args.nwords, &taken);
	if (c == NULL)
		return cx_refuse(err, CX_NOT_FOUND, "there is no command '%.60s'",
				 cli->args.words[0]);
	return help_command(c, stdout);
}

static int report(const struct cx_err *err, int status)
{
	char text[sizeof err->msg + 128];

	(void)fprintf(stderr, "caisson: %s\n", cx_err_render(err, text, sizeof text));
	return status;
}

static int usage_error(const struct cx_command *c, const struct cx_err *err)
{
	(void)report(err, 0);
	if (c != NULL)
		(void)fprintf(stderr,
			      "usage: caisson %s [OPTION...] %s; caisson %s --help says more\n",
			      c->name, c->syntax.words, c->name);
	else
		(void)fprintf(stderr, "caisson --help lists the commands\n");
	return CX_EXIT_USAGE;
}

static int resolve(struct cx_cli *cli, struct cx_err *err)
{
	const struct cx_args *a = &cli->args;
	const char *env_socket = getenv("CAISSON_SOCKET"), *env_url = getenv("CAISSON_URL");
	/* What the command line says goes before the environment, a socket before a URL. */
	const char *path = a->socket != NULL || a->url != NULL ? a->socket : env_socket;
	const char *url = a->url != NULL ? a->url : env_url;
	const char *cacert = a->cacert != NULL ? a->cacert : getenv("CAISSON_CACERT");

	/* "setup start" names both; who may not use the socket has the URL and its key. */
	if (a->socket == NULL && path != NULL && url != NULL && access(path, W_OK) < 0)
		path = NULL;
	if (cx_target_resolve(&cli->target, path, url, getenv("CAISSON_API_KEY"), err) < 0)
		return -err->errnum;
	if (cacert != NULL && *cacert != '\0')
		cli->target.cacert = cacert;
	return 0;
}

static int flush(struct cx_err *err)
{
	if (fflush(stdout) == 0 && !ferror(stdout))
		return 0;
	return cx_fail(err, errno, "write the output");
}

static int run(const struct cx_command *c, struct cx_cli *cli)
{
	struct cx_err err = { 0 };
	int status = c->offline ? 0 : resolve(cli, &err);

	if (status == 0)
		status = c->run(cli, &err);
	if (status < 0)
		status = c->runs ? CX_EXIT_OWN : cx_exit_status(&err);
	if (err.errnum == 0 && flush(&err) < 0 && status == 0)
		status = c->runs ? CX_EXIT_OWN : cx_exit_status(&err);
	return err.errnum != 0 ? report(&err, status) : status;
}

static void cli_free(struct cx_cli *cli)
{
	cx_args_free(&cli->args);
	cx_close(&cli->signals);
}

int cx_cli_main(int argc, char **argv)
{
	CX_AUTO(cli_free) struct cx_cli cli = { .signals = -1 };
	struct cx_err err = { 0 };
	const struct cx_command *c;
	char **words;
	size_t taken = 0, n;

	cx_args_init(&cli.args);
	if (cx_args_parse(&cli.args, &top_syntax, argc, argv, &err) < 0 && !cli.args.version)
		return argc < 2 ? (help_top(stderr), CX_EXIT_USAGE) : usage_error(NULL, &err);
	if (cli.args.version)
		return cx_cmd_version(&cli, &err);
	if (cli.args.help)
		return help_top(stdout);
	words = cli.args.rest;
	n = cli.args.nrest;
	c = find(words, n, &taken);
	if (c == NULL) {
		(void)cx_refuse(&err, CX_INVALID, "there is no command '%.60s'", words[0]);
		return usage_error(NULL, &err);
	}
	/* getopt skips the first word, which is the last one of the command's name. */
	if (cx_args_parse(&cli.args, &c->syntax, (int)(n - taken + 1), words + taken - 1, &err) < 0)
		return usage_error(c, &err);
	if (cli.args.help)
		return help_command(c, stdout);
	return run(c, &cli);
}
