/* SPDX-License-Identifier: Apache-2.0 */
#include <dirent.h>
#include <netinet/in.h>
#include <sys/epoll.h>

#include "agent/kept.h"
#include "base/buf.h"
#include "base/loop.h"
#include "box.h"
#include "exec/session.h"
#include "policy/policy.h"

/* Everything goes through the host side as the gateway uses it. */
enum { PATIENCE_MS = 30000, OUTPUT_MAX = 1 << 20 };

static struct box box;
static struct cx_loop loop;
static struct cx_packet scratch;
static struct cx_session *session;
static bool too_late;
static struct cx_msg_main_state main_end;
static bool main_ended;

static void give_up(struct cx_timer *timer)
{
	(void)timer;
	too_late = true;
	loop.stop = true;
}

/* Runs the loop until somebody stops it; never longer than the patience of a test. */
static void run_loop(void)
{
	static struct cx_timer patience = { .fire = give_up };
	struct cx_err err = { 0 };

	cx_timer_set(&loop, &patience, PATIENCE_MS);
	loop.stop = false;
	ck_assert_int_eq(cx_loop_run(&loop, &err), 0);
	cx_timer_clear(&patience);
	ck_assert_msg(!too_late, "nothing happened for %d ms", PATIENCE_MS);
}

static void on_lost(struct cx_session *s, const struct cx_err *err, void *arg)
{
	(void)s;
	(void)arg;
	char why[640];

	(void)fprintf(stderr, "session lost: %s\n", cx_err_render(err, why, sizeof why));
	loop.stop = true;
}

static void on_main_ended(struct cx_session *s, const struct cx_msg_main_state *state, void *arg)
{
	(void)s;
	(void)arg;
	main_ended = true;
	main_end = *state;
	loop.stop = true;
}

/* ---- one answer ---- */

struct ask {
	struct cx_call call;
	struct cx_err err;
	char data[65536];
	struct cx_answer answer;
	int port;
	bool done;
};

static void on_done(struct cx_call *call, const struct cx_answer *answer, const struct cx_err *err)
{
	struct ask *ask = cx_container_of(call, struct ask, call);

	ask->done = true;
	if (err != NULL)
		ask->err = *err;
	else
		ask->answer = *answer;
	if (err == NULL && answer->log.data.len > 0)
		memcpy(ask->data, answer->log.data.p, answer->log.data.len);
	loop.stop = true;
}

static void wait_for(struct ask *ask)
{
	while (!ask->done)
		run_loop();
}

/* ---- one command ---- */

struct stream {
	struct cx_source src;
	struct cx_buf buf;
	bool open;
};

struct run {
	struct cx_exec exec;
	struct cx_pipes pipes;
	struct stream out, err;
	struct cx_result end;
	struct cx_err why;
	uint32_t pid;
	bool started, ended;
};

static void read_stream(struct stream *s)
{
	struct cx_err err = { 0 };

	while (s->open) {
		char *to = cx_buf_reserve(&s->buf, 4096, &err);
		ssize_t n = to != NULL ? read(s->src.fd, to, 4096) : 0;

		if (n < 0 && errno == EAGAIN)
			return;
		if (n <= 0) {
			s->open = false;
			cx_loop_drop(&loop, &s->src);
			return;
		}
		s->buf.len += (size_t)n;
	}
}

static void stream_ready(struct cx_source *src, uint32_t events)
{
	(void)events;
	read_stream(cx_container_of(src, struct stream, src));
	loop.stop = true;
}

static void open_stream(struct stream *s, int *fd)
{
	struct cx_err err = { 0 };

	s->buf.max = OUTPUT_MAX;
	s->src = (struct cx_source){ .fd = cx_take_fd(fd), .ready = stream_ready };
	ck_assert_int_eq(cx_loop_add(&loop, &s->src, EPOLLIN, &err), 0);
	s->open = true;
}

static void close_stream(struct stream *s)
{
	read_stream(s);
	if (s->open)
		cx_loop_drop(&loop, &s->src);
	s->open = false;
}

static void on_started(struct cx_exec *exec, uint32_t pid)
{
	struct run *run = cx_container_of(exec, struct run, exec);

	run->started = true;
	run->pid = pid;
	loop.stop = true;
}

static void on_ended(struct cx_exec *exec, const struct cx_result *end, const struct cx_err *err)
{
	struct run *run = cx_container_of(exec, struct run, exec);

	run->ended = true;
	if (end != NULL)
		run->end = *end;
	else
		run->why = *err;
	loop.stop = true;
}

static void start(struct run *run, const struct cx_msg_exec *plan)
{
	struct cx_err err = { 0 };
	bool tty = (plan->flags & CX_EXEC_TTY) != 0;
	int r;

	memset(run, 0, sizeof *run);
	run->exec = (struct cx_exec){ .started = on_started, .ended = on_ended };
	r = tty ? cx_pipes_open_tty(&run->pipes, &err) : cx_pipes_open(&run->pipes, &err);
	ck_assert_int_eq(r, 0);
	ck_assert_msg(cx_session_exec(session, plan, &run->pipes, &run->exec, &err) == 0, "%s",
		      err.msg);
	open_stream(&run->out, &run->pipes.ours[tty ? 0 : 1]);
	if (!tty)
		open_stream(&run->err, &run->pipes.ours[2]);
}

static void stop_now(struct cx_timer *timer)
{
	(void)timer;
	loop.stop = true;
}

/* Closes our ends; the loop lets go of them before this returns, so run may be on the stack. */
static void close_run(struct run *run)
{
	struct cx_timer now = { .fire = stop_now };

	close_stream(&run->out);
	close_stream(&run->err);
	cx_pipes_close(&run->pipes);
	cx_timer_set(&loop, &now, 0);
	run_loop();
	cx_timer_clear(&now);
}

static void finish(struct run *run)
{
	while (!run->ended)
		run_loop();
	close_run(run);
}

static const char *text(struct stream *s)
{
	struct cx_err err = { 0 };

	ck_assert_int_eq(cx_buf_add(&s->buf, "", 1, &err), 0);
	s->buf.len--;
	return s->buf.p;
}

static void wait_for_text(struct run *run, const char *what)
{
	while (strstr(text(&run->out), what) == NULL && !run->ended)
		run_loop();
	ck_assert_msg(strstr(text(&run->out), what) != NULL, "no '%s' in '%s'", what,
		      text(&run->out));
}

static void forget_output(struct run *run)
{
	cx_buf_free(&run->out.buf);
	cx_buf_free(&run->err.buf);
}

static struct cx_msg_exec shell(const char *line)
{
	return (struct cx_msg_exec){
		.flags = CX_EXEC_SHELL,
		.argv = { .p = line, .len = (uint32_t)strlen(line) + 1 },
	};
}

/* Runs a shell text to its end with nothing to read. */
static void run_shell(struct run *run, const char *line)
{
	struct cx_msg_exec plan = shell(line);

	start(run, &plan);
	cx_close(&run->pipes.ours[0]);
	finish(run);
	ck_assert_msg(run->started, "%s: %s (%d)", line, run->why.msg, run->why.errnum);
}

static void expect_output(const char *line, const char *out)
{
	struct run run;

	run_shell(&run, line);
	ck_assert_msg(strcmp(text(&run.out), out) == 0, "'%s' printed '%s' '%s', not '%s'", line,
		      text(&run.out), text(&run.err), out);
	forget_output(&run);
}

/* ---- life ---- */

static int claim(const char *hostname, int root, struct cx_msg_agent_error *refused)
{
	int sock = box_connect(&box), type;
	struct cx_msg_claim m = { .hostname = cx_str_of(hostname) };
	struct cx_msg_agent_hello hello;
	struct cx_err err = { 0 };

	ck_assert_int_eq(cx_packet_recv(sock, &scratch, &err), 1);
	ck_assert_int_eq(scratch.type, CX_MSG_agent_hello);
	ck_assert(cx_msg_agent_hello_get(&scratch.body, &hello));
	ck_assert_uint_eq(hello.state, CX_AGENT_BLANK);
	ck_assert_int_eq(cx_msg_claim_send(sock, 1, &m, &root, 1, &err), 0);
	(void)close(root);
	ck_assert_int_eq(cx_packet_recv(sock, &scratch, &err), 1);
	type = scratch.type;
	if (type == CX_MSG_agent_error)
		ck_assert(cx_msg_agent_error_get(&scratch.body, refused));
	(void)close(sock);
	return type;
}

static void open_session(void)
{
	static const struct cx_session_events events = { .lost = on_lost,
							 .main_ended = on_main_ended };
	struct cx_err err = { 0 };
	int sock = box_connect(&box);

	ck_assert_int_eq(cx_loop_open(&loop, &err), 0);
	ck_assert_int_eq(cx_session_open(&loop, &scratch, &sock, &events, &session, &err), 0);
}

static void configure(const struct cx_msg_configure *m, struct ask *ask)
{
	struct cx_err err = { 0 };

	memset(ask, 0, sizeof *ask);
	ask->call.done = on_done;
	ck_assert_int_eq(cx_session_configure(session, m, &ask->call, &err), 0);
	wait_for(ask);
}

static void open_box(bool grouped, int root)
{
	struct cx_msg_agent_error why = { 0 };

	box_start(&box, grouped);
	ck_assert_msg(claim("testhost", root, &why) == CX_MSG_agent_ok, "%.*s", (int)why.text.len,
		      why.text.p);
	open_session();
}

static void set_up(bool grouped)
{
	static const char env[] = "FROM_IMAGE=1\0PATH=/bin\0";
	struct cx_msg_configure m = { .env = { .p = env, .len = sizeof env - 1 } };
	struct ask ask;

	open_box(grouped, box_root());
	configure(&m, &ask);
	ck_assert_msg(ask.err.errnum == 0, "%s", ask.err.msg);
}

static void set_up_grouped(void)
{
	set_up(true);
}

static void set_up_plain(void)
{
	set_up(false);
}

static void tear_down(void)
{
	cx_session_close(session);
	cx_loop_close(&loop);
	box_end(&box);
}

/* ---- what a command says ---- */

static const struct {
	const char *line;
	uint32_t how, status;
	const char *out, *err;
} ends[] = {
	{ "echo hi; echo no >&2; exit 3", CX_EXITED_CODE, 3, "hi\n", "no\n" },
	{ "true", CX_EXITED_CODE, 0, "", "" },
	{ "exit 255", CX_EXITED_CODE, 255, "", "" },
	{ "kill -9 $$", CX_EXITED_SIGNAL, 9, "", "" },
	{ "kill -15 $$", CX_EXITED_SIGNAL, 15, "", "" },
	{ "pwd", CX_EXITED_CODE, 0, "/\n", "" },
	{ "id -u; id -g; id -G", CX_EXITED_CODE, 0, "0\n0\n0\n", "" },
	{ "echo $FROM_IMAGE $HOME $HOSTNAME", CX_EXITED_CODE, 0, "1 /root testhost\n", "" },
	{ "cat /etc/hostname; hostname", CX_EXITED_CODE, 0, "testhost\ntesthost\n", "" },
	{ "ls /proc/self/fd | wc -l", CX_EXITED_CODE, 0, "4\n", "" },
	{ "cat /proc/interrupts | wc -c", CX_EXITED_CODE, 0, "0\n", "" },
	{ "echo x > /dev/stdout", CX_EXITED_CODE, 0, "x\n", "" },
	{ "cat /sys/devices/system/cpu/online", CX_EXITED_CODE, 0, "0-2\n", "" },
	{ "ls -d /workspace /tmp /dev/shm", CX_EXITED_CODE, 0, "/dev/shm\n/tmp\n/workspace\n", "" },
	{ "trap '' PIPE; kill -13 $$; echo ok", CX_EXITED_CODE, 0, "ok\n", "" },
	{ "kill -13 $$", CX_EXITED_SIGNAL, 13, "", "" },
};

START_TEST(a_command_ends)
{
	struct run run;

	run_shell(&run, ends[_i].line);
	ck_assert_str_eq(text(&run.out), ends[_i].out);
	ck_assert_str_eq(text(&run.err), ends[_i].err);
	ck_assert_uint_eq(run.end.how, ends[_i].how);
	ck_assert_uint_eq(run.end.status, ends[_i].status);
	ck_assert_uint_gt(run.pid, 1);
	ck_assert_uint_gt(run.end.wall_us, 0);
	forget_output(&run);
}
END_TEST

static const struct {
	const char *argv, *cwd, *user;
	uint32_t kind;
	const char *why;
} refusals[] = {
	{ "nosuch", "", "", CX_NOT_FOUND, "'nosuch' not found in PATH" },
	{ "/bin/nosuch", "", "", CX_NOT_FOUND, "'/bin/nosuch' does not exist" },
	{ "/etc/passwd", "", "", CX_DENIED, "execute '/etc/passwd'" },
	{ "/bin", "", "", CX_DENIED, "execute '/bin'" },
	{ "true", "/x", "", CX_NOT_FOUND, "working directory '/x' does not exist" },
	{ "true", "/etc/passwd", "", CX_INVALID, "enter working directory '/etc/passwd'" },
	{ "/etc/passwd/x", "", "", CX_NOT_FOUND, "'/etc/passwd/x' does not exist" },
	{ "/bin/empty", "", "", CX_INVALID,
	  "'/bin/empty' is not an executable of this machine, nor a script that names its "
	  "interpreter" },
	{ "/bin/round", "", "", CX_INVALID, "execute '/bin/round'" },
	{ "true", "/bin/round", "", CX_INVALID, "enter working directory '/bin/round'" },
	{ "true", "x", "", CX_INVALID, "working directory 'x' must begin with '/'" },
	{ "true", "/proc/self/fd/3", "", CX_INVALID, "enter working directory '/proc/self/fd/3'" },
	{ "true", "", "nobody-there", CX_NOT_FOUND,
	  "user 'nobody-there' is not in the sandbox's /etc/passwd" },
	{ "true", "", "app:nogroup", CX_NOT_FOUND,
	  "group 'nogroup' is not in the sandbox's /etc/group" },
	{ "true", "", "65536", CX_INVALID, "user id is 65536; allowed are 0 to 65535" },
	{ "true", "", "4294967296", CX_INVALID, "user id is 4294967296; allowed are 0 to 65535" },
	{ "", "", "", CX_INVALID, "the command's name is empty" },
};

START_TEST(a_command_is_refused)
{
	struct cx_msg_exec plan = {
		.argv = { .p = refusals[_i].argv, .len = (uint32_t)strlen(refusals[_i].argv) + 1 },
		.cwd = cx_str_of(refusals[_i].cwd),
		.user = cx_str_of(refusals[_i].user),
	};
	struct run run;

	start(&run, &plan);
	finish(&run);
	ck_assert(!run.started);
	ck_assert_str_eq(run.why.msg, refusals[_i].why);
	ck_assert_uint_eq(run.why.kind, refusals[_i].kind);
	expect_output("echo alive", "alive\n");
	forget_output(&run);
}
END_TEST

/* The agent's own descriptors, a cgroup directory among them, are gone before a command looks. */
START_TEST(no_descriptor_is_a_working_directory)
{
	for (int fd = 4; fd < 24; fd++) {
		char cwd[32], why[96];
		struct cx_msg_exec plan = shell("pwd");
		struct run run;

		(void)snprintf(cwd, sizeof cwd, "/proc/self/fd/%d", fd);
		(void)snprintf(why, sizeof why, "working directory '%s' does not exist", cwd);
		plan.cwd = cx_str_of(cwd);
		start(&run, &plan);
		finish(&run);
		ck_assert_str_eq(run.why.msg, why);
		forget_output(&run);
	}
}
END_TEST

START_TEST(options_reach_the_command)
{
	static const char env[] = "FROM_IMAGE=2\0MORE=x y\0";
	struct cx_msg_exec plan = shell("id -u; id -g; id -G; pwd; echo $FROM_IMAGE,$MORE,$HOME; "
					"touch /tmp/mine && stat -c %u /tmp/mine");
	struct run run;

	plan.env = (struct cx_str){ .p = env, .len = sizeof env - 1 };
	plan.cwd = cx_str_of("/tmp");
	plan.user = cx_str_of("app");
	start(&run, &plan);
	finish(&run);
	ck_assert_str_eq(text(&run.out), "1000\n1001\n1001 2000\n/tmp\n2,x y,/home/app\n1000\n");
	forget_output(&run);
}
END_TEST

static const struct {
	const char *user, *env, *seen;
} identities[] = {
	{ "", "", "/root,," }, /* the sandbox's own user: nothing is said that was not before */
	{ "app", "", "/home/app,app,app" },
	{ "1000", "", "/home/app,app,app" },
	{ "app", "HOME=/elsewhere", "/elsewhere,app,app" },
	{ "app", "USER=me", "/home/app,me,app" },
	{ "4242", "", "/,," }, /* nobody's name */
};

START_TEST(the_user_asked_for_is_in_the_environment)
{
	struct cx_msg_exec plan = shell("printf %s \"$HOME,$USER,$LOGNAME\"");
	const char *env = identities[_i].env;
	struct run run;

	plan.user = cx_str_of(identities[_i].user);
	if (env[0] != '\0')
		plan.env = (struct cx_str){ .p = env, .len = (uint32_t)strlen(env) + 1 };
	start(&run, &plan);
	finish(&run);
	ck_assert_str_eq(text(&run.out), identities[_i].seen);
	forget_output(&run);
}
END_TEST

START_TEST(stdin_is_passed_and_ends)
{
	struct cx_msg_exec plan = shell("cat; echo end");
	struct run run;

	start(&run, &plan);
	ck_assert_int_eq(write(run.pipes.ours[0], "one\ntwo\n", 8), 8);
	cx_close(&run.pipes.ours[0]);
	finish(&run);
	ck_assert_str_eq(text(&run.out), "one\ntwo\nend\n");
	forget_output(&run);
}
END_TEST

/* What every process inside must have, however it was started. */
START_TEST(posture)
{
	unsigned long long kept = 0;
	char caps[128];

	for (size_t i = 0; i < cx_policy_ncaps; i++)
		kept |= 1ULL << cx_policy_caps[i].cap;
	expect_output(
		"grep -E '^(CapInh|CapAmb|NoNewPrivs|Seccomp):' /proc/self/status | tr -d '\\t'",
		"CapInh:0000000000000000\nCapAmb:0000000000000000\nNoNewPrivs:1\nSeccomp:2\n");
	expect_output(
		"grep -E '^(CapInh|CapAmb|NoNewPrivs|Seccomp):' /proc/1/status | tr -d '\\t'",
		"CapInh:0000000000000000\nCapAmb:0000000000000000\nNoNewPrivs:1\nSeccomp:2\n");
	(void)snprintf(caps, sizeof caps, "CapPrm:%016llx\nCapEff:%016llx\nCapBnd:%016llx\n", kept,
		       kept, kept);
	expect_output("grep -E '^Cap(Prm|Eff|Bnd):' /proc/self/status | tr -d '\\t'", caps);
	expect_output("ls /proc/1/fd 2>&1 | grep -c denied", "1\n");
	expect_output("cat /proc/1/mem /proc/1/environ /proc/1/exe 2>&1 | grep -c denied", "3\n");
	expect_output("kill -9 1; kill -19 1; kill -15 1; echo $?", "0\n");
	expect_output("(echo x > /proc/sysrq-trigger) 2>&1 | wc -l", "1\n");
	expect_output("(echo x > /proc/sys/kernel/hostname) 2>&1 | grep -c Read-only", "1\n");
	/* Nothing is left stacked on the root: ".." there sees through it to what lies on top. */
	expect_output("[ $(stat -c %d:%i /) = $(stat -c %d:%i /..) ] && echo same", "same\n");
	expect_output("touch /sys/x 2>&1 | grep -c Read-only", "1\n");
	expect_output("mount -t tmpfs x /tmp 2>&1 | grep -c denied", "1\n");
	expect_output("ls -a /proc/acpi /proc/scsi 2>/dev/null | grep -v -E '^(/proc.*)?$|^[.]+$'",
		      "");
	expect_output("cat /proc/self/mountinfo | wc -l | { read n; [ $n -lt 40 ] && echo ok; }",
		      "ok\n");
}
END_TEST

/* A session keyring of its own counts as a key of its user's, whom nobody else shares. */
START_TEST(no_keyring_is_the_hosts)
{
	static char users[1 << 16];
	struct cx_err err = { 0 };
	char mine[16];

	(void)snprintf(mine, sizeof mine, "\n%5d: ", BOX_UID);
	if (access("/proc/key-users", F_OK) < 0)
		return; /* a kernel without keys */
	ck_assert_int_gt(
		(int)cx_read_small_file(AT_FDCWD, "/proc/key-users", users, sizeof users, &err), 0);
	ck_assert_msg(strstr(users, mine) != NULL, "no key of %d's:\n%s", BOX_UID, users);
}
END_TEST

/* Its only child is the agent. */
static long agent_pid(void)
{
	char path[64], text[32] = "";
	int fd;

	(void)snprintf(path, sizeof path, "/proc/%d/task/%d/children", box.guard, box.guard);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	ck_assert_int_ge(fd, 0);
	ck_assert_int_gt(read(fd, text, sizeof text - 1), 1);
	(void)close(fd);
	return strtol(text, NULL, 10);
}

/* What the agent says to a process that became another and then connected; empty if it hangs up. */
static ssize_t greeting(bool inside, uid_t uid)
{
	struct sockaddr_un to = { .sun_family = AF_UNIX };
	char path[64], byte;
	int sock, fd, status;
	pid_t pid = fork();

	if (pid > 0) {
		ck_assert_int_eq(waitpid(pid, &status, 0), pid);
		return WEXITSTATUS(status);
	}
	(void)snprintf(path, sizeof path, "%s/sock", box.dir);
	fd = must(open(path, O_PATH | O_CLOEXEC));
	must(fchmodat(AT_FDCWD, path, 0777, 0));
	(void)snprintf(to.sun_path, sizeof to.sun_path, "/proc/self/fd/%d", fd);
	(void)snprintf(path, sizeof path, "/proc/%ld/ns/pid", agent_pid());
	fd = must(open(path, O_RDONLY | O_CLOEXEC));
	if (inside)
		must(setns(fd, CLONE_NEWPID));
	pid = must(fork()); /* only a child gets into the namespace */
	if (pid > 0) {
		must(waitpid(pid, &status, 0));
		_exit(WEXITSTATUS(status));
	}
	must(setresuid(uid, uid, uid));
	sock = must(socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
	must(connect(sock, (struct sockaddr *)&to, sizeof to));
	_exit(recv(sock, &byte, 1, 0) > 0);
}

START_TEST(only_the_host_is_served)
{
	ck_assert_int_eq(greeting(false, 0), 1);
	ck_assert_int_eq(greeting(true, 0), 0);
	ck_assert_int_eq(greeting(false, BOX_UID), 0);
	ck_assert_int_eq(greeting(true, BOX_UID), 0);
}
END_TEST

/* What it says of a command's end is here a moment before it closes its pidfd. */
static bool holds_pidfd(const char *dir)
{
	char path[400], target[256];
	bool found = false;

	for (int fd = 0; fd < 64 && !found; fd++) {
		ssize_t n;

		(void)snprintf(path, sizeof path, "%s/%d", dir, fd);
		n = readlink(path, target, sizeof target - 1);
		target[n > 0 ? n : 0] = '\0';
		found = strcmp(target, "anon_inode:[pidfd]") == 0;
	}
	return found;
}

/* Seen from the host, everything that the agent has open, with one command waiting. */
START_TEST(the_agent_holds_only_its_own)
{
	static const struct {
		const char *starts;
		int most;
	} classes[] = {
		{ "/dev/null", 3 },
		{ "socket:", 2 },
		{ "anon_inode:[eventpoll]", 1 },
		{ "anon_inode:[signalfd]", 1 },
		{ "/sys/fs/cgroup/", CX_AGENT_WORK_MAX - 1 }, /* "tasks" of the work group */
		{ "/", 1 + CX_AGENT_WORK_MAX }, /* devpts' root, and those of work groups */
	};
	int counts[CX_LEN(classes)] = { 0 };
	char dir[64], path[400], target[256];
	struct dirent *entry;
	DIR *fds;

	expect_output("echo alive", "alive\n");
	(void)snprintf(dir, sizeof dir, "/proc/%ld/fd", agent_pid());
	for (int i = 0; i < 500 && holds_pidfd(dir); i++)
		(void)usleep(10000);
	fds = opendir(dir);
	ck_assert_ptr_nonnull(fds);
	while ((entry = readdir(fds)) != NULL) {
		size_t i = 0;
		ssize_t n;

		(void)snprintf(path, sizeof path, "%s/%s", dir, entry->d_name);
		n = readlink(path, target, sizeof target - 1);
		if (n < 0)
			continue; /* . and .. */
		target[n] = '\0';
		while (i < CX_LEN(classes) &&
		       strncmp(target, classes[i].starts, strlen(classes[i].starts)) != 0)
			i++;
		ck_assert_msg(i < CX_LEN(classes), "descriptor %s is '%s'", entry->d_name, target);
		counts[i]++;
		ck_assert_msg(counts[i] <= classes[i].most, "descriptor %s is one more '%s'",
			      entry->d_name, target);
	}
	(void)closedir(fds);
	ck_assert_int_eq(counts[0], 3);
	ck_assert_int_eq(counts[1], 2);
}
END_TEST

START_TEST(a_signal_reaches_the_whole_group)
{
	struct cx_msg_exec plan = shell("sleep 1000 & setsid sleep 1001 & echo ready; wait; wait");
	struct cx_err err = { 0 };
	struct run run;

	start(&run, &plan);
	wait_for_text(&run, "ready");
	ck_assert_int_eq(cx_exec_signal(&run.exec, SIGTERM, NULL, &err), 0);
	finish(&run);
	ck_assert_uint_eq(run.end.how, CX_EXITED_SIGNAL);
	ck_assert_uint_eq(run.end.status, SIGTERM);
	expect_output("while ps -o args | grep -q '[s]leep 100'; do sleep 0.1; done", "");
	forget_output(&run);
}
END_TEST

/* Asked for with the command, so before it can have executed. */
START_TEST(a_signal_comes_not_too_early)
{
	struct cx_err err = { 0 };

	for (int i = 0; i < 20; i++) {
		struct cx_msg_exec plan = shell("exec sleep 1000");
		struct run run;

		start(&run, &plan);
		ck_assert_int_eq(cx_exec_signal(&run.exec, SIGTERM, NULL, &err), 0);
		finish(&run);
		ck_assert(run.started);
		ck_assert_uint_eq(run.end.how, CX_EXITED_SIGNAL);
		ck_assert_uint_eq(run.end.status, SIGTERM);
		forget_output(&run);
	}
}
END_TEST

START_TEST(a_timeout_leaves_nothing)
{
	struct cx_msg_exec plan = shell("(setsid sh -c 'sleep 1000 & sleep 1000' &) ; "
					"(setsid setsid sleep 1000 &); trap '' TERM INT; "
					"while true; do (sleep 1000 &); sleep 0.01; done");
	struct run run;

	plan.timeout_ms = 500;
	start(&run, &plan);
	finish(&run);
	ck_assert_uint_eq(run.end.how, CX_EXITED_TIMEOUT);
	ck_assert_uint_ge(run.end.wall_us, 490000);
	ck_assert_uint_lt(run.end.wall_us, 5000000);
	expect_output("ps -o args | grep -c '[s]leep 1000'", "0\n");
	forget_output(&run);
}
END_TEST

/* What a slow look at a list of processes would not catch. */
START_TEST(a_timeout_ends_a_fork_bomb)
{
	struct cx_msg_exec plan = shell("for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18; do "
					"(while true; do (setsid sleep 1000 & (true)); done) & "
					"done; exec sleep 1000");
	struct run run;

	plan.timeout_ms = 300;
	start(&run, &plan);
	finish(&run);
	ck_assert_uint_eq(run.end.how, CX_EXITED_TIMEOUT);
	forget_output(&run);
	/* The agent and this shell. */
	expect_output("sleep 0.1; set -- /proc/[0-9]*; echo $#", "2\n");
}
END_TEST

START_TEST(detached_children_live_on)
{
	struct run run;

	run_shell(&run, "setsid sleep 1234 > /dev/null 2>&1 < /dev/null & echo left");
	ck_assert_str_eq(text(&run.out), "left\n");
	forget_output(&run);
	expect_output("until ps -o ppid,args | grep ' 1 [s]leep 1234'; do sleep 0.1; done",
		      "    1 sleep 1234\n");
}
END_TEST

enum { MANY = 300 };

START_TEST(hundreds_at_once)
{
	struct cx_msg_exec plan = shell("read x; echo got $x");
	struct run *runs = calloc(MANY, sizeof *runs);

	ck_assert_ptr_nonnull(runs);
	for (int i = 0; i < MANY; i++)
		start(&runs[i], &plan);
	for (int i = 0; i < MANY; i++)
		while (!runs[i].started && !runs[i].ended)
			run_loop();
	for (int i = 0; i < MANY; i++) {
		ck_assert_msg(!runs[i].ended, "%d: %s", i, runs[i].why.msg);
		ck_assert_int_gt(write(runs[i].pipes.ours[0], "it\n", 3), 0);
	}
	for (int i = 0; i < MANY; i++) {
		finish(&runs[i]);
		ck_assert_str_eq(text(&runs[i].out), "got it\n");
		forget_output(&runs[i]);
	}
	free(runs);
}
END_TEST

static void start_and_leave(const char *line)
{
	struct cx_msg_exec plan = shell(line);
	struct run run;

	start(&run, &plan);
	while (!run.started)
		run_loop();
	cx_exec_forget(&run.exec);
	close_run(&run);
	forget_output(&run);
}

/* The shell dies of its last fork and leaves one place, which the second command takes. */
START_TEST(full_processes_stop_no_command)
{
	struct run run;

	run_shell(&run, "exec 2>&1 >/dev/null; while true; do sleep 1000 & done");
	ck_assert_uint_ne(run.end.status, 0);
	forget_output(&run);
	start_and_leave("exec sleep 1000");
	for (int i = 0; i < 20; i++) {
		expect_output("echo alive", "alive\n");
		expect_output("/bin/busybox true; echo room", "");
	}
}
END_TEST

START_TEST(a_fork_bomb_stops_no_command)
{
	start_and_leave("b() { b | b & }; while true; do sleep 1000 & b; done");
	(void)usleep(500000);
	for (int i = 0; i < 3; i++)
		expect_output("echo alive", "alive\n");
}
END_TEST

START_TEST(a_memory_hog_stops_no_command)
{
	start_and_leave("while true; do yes | tr -d '\\n' | sh -c 'read x'; done");
	(void)usleep(500000);
	for (int i = 0; i < 20; i++)
		expect_output("echo alive", "alive\n");
}
END_TEST

/* ---- terminals ---- */

static void type(struct run *run, const char *keys)
{
	ck_assert_int_eq(write(run->out.src.fd, keys, strlen(keys)), (ssize_t)strlen(keys));
}

START_TEST(a_terminal_follows_its_size)
{
	struct cx_msg_exec plan =
		shell("stty size; echo ready; read x; stty size; echo $TERM; exit 5");
	struct cx_err err = { 0 };
	struct ask ask = { .call.done = on_done };
	struct run run;

	plan.flags |= CX_EXEC_TTY;
	plan.rows = 33;
	plan.cols = 101;
	plan.user = cx_str_of("app");
	start(&run, &plan);
	wait_for_text(&run, "ready");
	ck_assert_ptr_nonnull(strstr(text(&run.out), "33 101\r\n"));
	ck_assert_int_eq(cx_exec_resize(&run.exec, 44, 222, &ask.call, &err), 0);
	wait_for(&ask);
	ck_assert_msg(ask.err.errnum == 0, "%s", ask.err.msg);
	type(&run, "x\n");
	finish(&run);
	ck_assert_ptr_nonnull(strstr(text(&run.out), "44 222\r\nxterm\r\n"));
	ck_assert_uint_eq(run.end.status, 5);
	forget_output(&run);
}
END_TEST

START_TEST(a_terminal_interrupts)
{
	struct cx_msg_exec plan = shell("echo ready; sleep 1000");
	struct run run;

	plan.flags |= CX_EXEC_TTY;
	start(&run, &plan);
	wait_for_text(&run, "ready");
	type(&run, "\003");
	finish(&run);
	ck_assert_uint_ne(run.end.status, 0);
	forget_output(&run);
	/* The same by message, and by hanging up. */
	start(&run, &plan);
	wait_for_text(&run, "ready");
	struct cx_err err = { 0 };
	ck_assert_int_eq(cx_exec_signal(&run.exec, SIGINT, NULL, &err), 0);
	finish(&run);
	forget_output(&run);
	start(&run, &plan);
	wait_for_text(&run, "ready");
	close_stream(&run.out);
	finish(&run);
	ck_assert_uint_eq(run.end.how, CX_EXITED_SIGNAL);
	forget_output(&run);
}
END_TEST

START_TEST(a_terminal_shows_all_of_a_lot)
{
	struct cx_msg_exec plan = shell("yes 0123456789 | head -n 20000; echo the-end");
	struct run run;

	plan.flags |= CX_EXEC_TTY;
	start(&run, &plan);
	finish(&run);
	ck_assert_uint_eq(run.out.buf.len, 20000 * 12 + 9);
	forget_output(&run);
}
END_TEST

/* ---- the start command ---- */

static void read_log(uint64_t offset, uint32_t max, struct ask *ask)
{
	struct cx_err err = { 0 };

	memset(ask, 0, sizeof *ask);
	ask->call.done = on_done;
	ck_assert_int_eq(cx_session_log(session, offset, max, &ask->call, &err), 0);
	wait_for(ask);
	ck_assert_msg(ask->err.errnum == 0, "%s", ask->err.msg);
}

START_TEST(the_start_command_is_logged)
{
	static const char start_cmd[] = "/bin/sh\0-c\0echo out; echo err >&2; exit 4\0";
	struct cx_msg_configure m = { .start = { .p = start_cmd, .len = sizeof start_cmd - 1 },
				      .cwd = cx_str_of("/made/for/it"),
				      .user = cx_str_of("app") };
	struct cx_err err = { 0 };
	static struct ask ask;

	open_box(true, box_root());
	configure(&m, &ask);
	ck_assert_msg(ask.err.errnum == 0, "%s", ask.err.msg);
	while (!main_ended)
		run_loop();
	ck_assert_uint_eq(main_end.state, CX_MAIN_ENDED);
	ck_assert_uint_eq(main_end.status, 4);
	read_log(0, 65536, &ask);
	ck_assert_uint_eq(ask.answer.log.end, 8);
	ck_assert_str_eq(ask.data, "out\nerr\n");
	read_log(4, 2, &ask);
	ck_assert_str_eq(ask.data, "er");
	configure(&m, &ask); /* again: nothing */
	ck_assert_int_eq(ask.err.errnum, 0);
	memset(&ask, 0, sizeof ask);
	ask.call.done = on_done;
	ck_assert_int_eq(cx_session_main(session, &ask.call, &err), 0);
	wait_for(&ask);
	ck_assert_uint_eq(ask.answer.main.state, CX_MAIN_ENDED);
	expect_output("pwd; id -u; stat -c %u /workspace", "/made/for/it\n1000\n1000\n");
	tear_down();
}
END_TEST

START_TEST(a_wrong_configuration_can_be_put_right)
{
	static const char bad[] = "/nosuch\0";
	struct cx_msg_configure m = { .start = { .p = bad, .len = sizeof bad - 1 } };
	struct cx_msg_exec plan = shell("true");
	struct run run;
	static struct ask ask;

	open_box(false, box_root());
	start(&run, &plan);
	finish(&run);
	ck_assert_uint_eq(run.why.kind, CX_CONFLICT);
	forget_output(&run);
	configure(&m, &ask);
	ck_assert_str_eq(ask.err.msg, "start command: '/nosuch' does not exist");
	m = (struct cx_msg_configure){ .user = cx_str_of("ghost") };
	configure(&m, &ask);
	ck_assert_uint_eq(ask.err.kind, CX_NOT_FOUND);
	m = (struct cx_msg_configure){ .cwd = cx_str_of("relative") };
	configure(&m, &ask);
	ck_assert_uint_eq(ask.err.kind, CX_INVALID);
	m = (struct cx_msg_configure){ .cwd = cx_str_of("/etc/passwd/x") };
	configure(&m, &ask);
	ck_assert_uint_eq(ask.err.kind, CX_INVALID);
	m = (struct cx_msg_configure){ .cwd = cx_str_of("/proc/self/fd/7") };
	configure(&m, &ask);
	ck_assert_uint_eq(ask.err.kind, CX_INVALID);
	m = (struct cx_msg_configure){ .cwd = cx_str_of("/tmp") };
	configure(&m, &ask);
	ck_assert_int_eq(ask.err.errnum, 0);
	expect_output("pwd", "/tmp\n");
	tear_down();
}
END_TEST

/* What the agent has open, the control group of the work above all, is no part of the sandbox. */
START_TEST(no_descriptor_is_in_a_configuration)
{
	static struct ask ask;

	open_box(true, box_root());
	for (int fd = 0; fd < 24; fd++) {
		char cwd[32];
		struct cx_msg_configure m = { 0 };

		(void)snprintf(cwd, sizeof cwd, "/proc/self/fd/%d%s", fd, fd % 2 ? "" : "/made");
		m.cwd = cx_str_of(cwd);
		configure(&m, &ask);
		ck_assert_msg(ask.err.errnum != 0, "%s", cwd);
	}
	tear_down();
}
END_TEST

/* ---- an image that prepared itself ---- */

START_TEST(a_hostile_image_decides_nothing)
{
	int root = box_root();
	struct cx_msg_configure m = { 0 };
	static struct ask ask;

	must(symlinkat("/etc", root, "proc"));
	must(symlinkat("../../../..", root, "dev"));
	box_file(root, "sys", "a file", 0644);
	must(mknodat(root, "tmp", S_IFIFO | 0644, 0));
	must(symlinkat("/proc/1/root", root, "workspace"));
	must(symlinkat("/proc/self/mem", root, "etc/hosts"));
	must(mknodat(root, "etc/resolv.conf", S_IFIFO | 0644, 0));
	open_box(false, root);
	configure(&m, &ask);
	ck_assert_msg(ask.err.errnum == 0, "%s", ask.err.msg);
	expect_output("stat -f -c %t /proc /dev /sys /tmp", "9fa0\n1021994\n1021994\n1021994\n");
	expect_output("stat -c %F /etc/hosts /etc/resolv.conf /workspace",
		      "regular file\nregular file\ndirectory\n");
	tear_down();
}
END_TEST

START_TEST(hostile_account_files_block_nothing)
{
	int root = box_root();
	struct cx_msg_configure m = { 0 };
	static struct ask ask;

	must(unlinkat(root, "etc/passwd", 0));
	must(mknodat(root, "etc/passwd", S_IFIFO | 0644, 0));
	open_box(false, root);
	configure(&m, &ask);
	ck_assert_str_eq(ask.err.msg, "'/etc/passwd' is not a regular file");
	tear_down();
}
END_TEST

START_TEST(a_claim_that_fails_ends_the_agent)
{
	struct cx_msg_agent_error why = { 0 };
	int sock, file = memfd_create("no-mount", MFD_CLOEXEC);
	struct cx_err err = { 0 };

	box_start(&box, false);
	sock = box_connect(&box);
	ck_assert_int_eq(cx_packet_recv(sock, &scratch, &err), 1);
	ck_assert_int_eq(claim("testhost", file, &why), CX_MSG_agent_error);
	ck_assert_msg(why.text.len > 17 && memcmp(why.text.p, "claim step 'root'", 17) == 0, "%.*s",
		      (int)why.text.len, why.text.p);
	ck_assert_int_eq(cx_packet_recv(sock, &scratch, &err), 0);
	(void)close(sock);
	box_end(&box);
}
END_TEST

/* The image's fault, and said so: nothing of the image is removed but a file of that name. */
START_TEST(a_directory_is_no_file_to_replace)
{
	struct cx_msg_agent_error why = { 0 };
	struct cx_err err = { 0 };
	int sock, root;

	box_start(&box, false);
	root = box_root();
	must(mkdirat(root, "etc/resolv.conf", 0755));
	sock = box_connect(&box);
	ck_assert_int_eq(cx_packet_recv(sock, &scratch, &err), 1);
	ck_assert_int_eq(claim("testhost", root, &why), CX_MSG_agent_error);
	ck_assert_uint_eq(why.kind, CX_INVALID);
	ck_assert_uint_eq(why.errnum, 0);
	ck_assert_ptr_nonnull(memmem(why.text.p, why.text.len, "'/etc/resolv.conf'", 18));
	(void)close(sock);
	box_end(&box);
}
END_TEST

/* ---- ports ---- */

/* The sandbox of these tests has the network of the test: _i is what listens there. */
enum { ON_IPV4, ON_IPV6, ON_NEITHER, WITHOUT_ROOM, WAYS_TO_LISTEN };

static int listen_on_loopback(int family, uint16_t *ret_port)
{
	union {
		struct sockaddr any;
		struct sockaddr_in v4;
		struct sockaddr_in6 v6;
	} at = { .any = { .sa_family = (sa_family_t)family } };
	socklen_t len = family == AF_INET ? sizeof at.v4 : sizeof at.v6;
	int sock = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (family == AF_INET)
		at.v4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	else
		at.v6.sin6_addr = in6addr_loopback;
	ck_assert_int_eq(bind(sock, &at.any, len), 0);
	ck_assert_int_eq(listen(sock, 0), 0);
	ck_assert_int_eq(getsockname(sock, &at.any, &len), 0);
	*ret_port = ntohs(family == AF_INET ? at.v4.sin_port : at.v6.sin6_port);
	return sock;
}

static void on_port(struct cx_call *call, const struct cx_answer *answer, const struct cx_err *err)
{
	struct ask *ask = cx_container_of(call, struct ask, call);

	ask->done = true;
	if (err != NULL)
		ask->err = *err;
	else
		ask->port = cx_take_fd(answer->sock);
	loop.stop = true;
}

static void open_port(uint16_t port, uint32_t timeout_ms, struct ask *ask)
{
	memset(ask, 0, sizeof *ask);
	ask->call.done = on_port;
	ask->port = -EBADF;
	ck_assert_int_eq(cx_session_port(session, port, timeout_ms, &ask->call, &ask->err), 0);
	wait_for(ask);
}

static void expect_connection(int listening, struct ask *ask)
{
	int theirs = accept4(listening, NULL, NULL, SOCK_CLOEXEC);
	char byte = 0;

	ck_assert_msg(ask->port >= 0, "%s", ask->err.msg);
	ck_assert_int_eq(send(ask->port, "x", 1, 0), 1);
	ck_assert_int_eq(recv(theirs, &byte, 1, 0), 1);
	cx_close(&ask->port); /* the agent kept none */
	ck_assert_int_eq(recv(theirs, &byte, 1, 0), 0);
	(void)close(theirs);
}

START_TEST(a_port_is_connected_to)
{
	struct ask ask, full[8];
	uint16_t port;
	int listening = listen_on_loopback(_i == ON_IPV6 ? AF_INET6 : AF_INET, &port), n = 0;

	if (_i == ON_NEITHER)
		cx_close(&listening);
	if (_i != WITHOUT_ROOM) {
		open_port(port, 5000, &ask);
		if (_i != ON_NEITHER)
			expect_connection(listening, &ask);
		else
			ck_assert_int_eq(ask.err.kind, CX_UNAVAILABLE);
		cx_close(&listening);
		return;
	}
	do
		open_port(port, 50, &full[n]);
	while (full[n].port >= 0 && ++n < (int)CX_LEN(full));
	ck_assert_int_lt(n, (int)CX_LEN(full));
	ck_assert_int_eq(full[n].err.kind, CX_TIMEOUT);
	while (n-- > 0)
		cx_close(&full[n].port);
	cx_close(&listening);
}
END_TEST

/* ---- packets that no host would send ---- */

/* _i picks one; the agent closes that connection and serves the others. */
START_TEST(a_malformed_packet_closes_its_connection)
{
	static const struct {
		uint16_t version, type;
		uint32_t request, length;
		size_t body;
		int nfds;
	} packets[] = {
		{ 1, CX_MSG_exec, 1, 0, 0, 3 },
		{ 1, CX_MSG_exec, 1, 40, 40, 3 },
		{ 1, CX_MSG_exec, 1, 5000, 40, 3 },
		{ 1, CX_MSG_main_status, 1, 1, 1, 0 },
		{ 1, CX_MSG_main_status, 0, 0, 0, 0 },
		{ 1, CX_MSG_main_status, 1, 0, 0, 1 },
		{ 1, CX_MSG_main_status, 1, 0, 0, 32 },
		{ 2, CX_MSG_main_status, 1, 0, 0, 0 },
		{ 1, 0x99, 1, 0, 0, 0 },
		{ 1, CX_MSG_agent_hello, 1, 8, 8, 0 },
		{ 1, CX_MSG_configure, 1, 4, 4, 0 },
		{ 1, CX_MSG_log_read, 1, 12, 11, 0 },
		{ 1, CX_MSG_claim, 1, 4, 4, 0 },
	};
	uint8_t out[8192] = { 0 };
	struct cx_err err = { 0 };
	int sock = box_connect(&box), fds[32], null = open("/dev/null", O_RDWR | O_CLOEXEC), r;
	struct cx_writer w = { .p = out, .left = sizeof out };
	union {
		char room[CMSG_SPACE(sizeof fds)];
		struct cmsghdr align;
	} control = { 0 };
	struct iovec iov = { .iov_base = out, .iov_len = CX_PACKET_HEADER + packets[_i].body };
	struct msghdr mh = { .msg_iov = &iov, .msg_iovlen = 1 };
	uint32_t kind = packets[_i].version | (uint32_t)packets[_i].type << 16;

	for (int i = 0; i < 32; i++)
		fds[i] = null;
	(void)cx_put_u32(&w, &kind, UINT32_MAX);
	(void)cx_put_u32(&w, &packets[_i].request, UINT32_MAX);
	(void)cx_put_u32(&w, &packets[_i].length, UINT32_MAX);
	if (packets[_i].nfds > 0) {
		size_t len = sizeof(int) * (size_t)packets[_i].nfds;

		mh.msg_control = &control;
		mh.msg_controllen = CMSG_SPACE(len);
		control.align = (struct cmsghdr){ .cmsg_len = CMSG_LEN(len),
						  .cmsg_level = SOL_SOCKET,
						  .cmsg_type = SCM_RIGHTS };
		memcpy(CMSG_DATA(&control.align), fds, len);
	}
	ck_assert_int_gt(sendmsg(sock, &mh, 0), 0);
	r = cx_packet_recv(sock, &scratch, &err); /* the hello, then the end */
	ck_assert_int_eq(r, 1);
	r = cx_packet_recv(sock, &scratch, &err);
	ck_assert_msg(r == 0 || r == -ECONNRESET, "answered with %d, type %#x", r, scratch.type);
	(void)close(sock);
	expect_output("echo alive", "alive\n");
}
END_TEST

START_TEST(a_second_claim_is_refused)
{
	struct cx_msg_claim m = { .hostname = cx_str_of("again") };
	int sock = box_connect(&box), root = box_root();
	struct cx_err err = { 0 };

	ck_assert_int_eq(cx_packet_recv(sock, &scratch, &err), 1);
	ck_assert_int_eq(cx_msg_claim_send(sock, 9, &m, &root, 1, &err), 0);
	ck_assert_int_eq(cx_packet_recv(sock, &scratch, &err), 1);
	ck_assert_int_eq(scratch.type, CX_MSG_agent_error);
	expect_output("hostname", "testhost\n");
}
END_TEST

/* A host that asks and does not read: its answers are kept up to a bound, then it is dropped. */
START_TEST(a_host_that_does_not_read_is_dropped)
{
	int sock = box_connect(&box), r = 0;
	struct cx_msg_log_read m = { .offset = 0, .max = 65536 };
	struct cx_err err = { 0 };

	for (uint32_t i = 1; i < 100000 && r == 0; i++) {
		ck_assert_int_eq(cx_set_nonblock(sock, true, &err), 0);
		r = cx_msg_log_read_send(sock, i, &m, NULL, 0, &err);
	}
	ck_assert_int_ne(r, 0);
	expect_output("echo alive", "alive\n");
	(void)close(sock);
}
END_TEST

START_TEST(commands_outlive_their_connection)
{
	struct cx_msg_exec plan = shell("sleep 1; echo late > /tmp/late; sleep 1000");
	struct run run;

	start(&run, &plan);
	while (!run.started)
		run_loop();
	cx_session_close(session);
	close_run(&run);
	cx_loop_close(&loop);
	forget_output(&run);
	open_session();
	expect_output("sleep 2; cat /tmp/late", "late\n");
}
END_TEST

/* ---- commands that need nobody ---- */

static struct cx_msg_exec kept(const char *line, const char *key)
{
	struct cx_msg_exec plan = shell(line);

	plan.key = cx_str_of(key);
	return plan;
}

static void start_kept(struct run *run, const struct cx_msg_exec *plan)
{
	struct cx_err err = { 0 };

	memset(run, 0, sizeof *run);
	run->exec = (struct cx_exec){ .started = on_started, .ended = on_ended };
	ck_assert_int_eq(cx_pipes_open_input(&run->pipes, &err), 0);
	ck_assert_msg(cx_session_exec(session, plan, &run->pipes, &run->exec, &err) == 0, "%s",
		      err.msg);
	cx_pipes_close(&run->pipes);
	while (!run->started && !run->ended)
		run_loop();
}

static void go_on(struct run *run, const char *key)
{
	struct cx_err err = { 0 };

	memset(run, 0, sizeof *run);
	run->exec = (struct cx_exec){ .started = on_started, .ended = on_ended };
	ck_assert_int_eq(
		cx_session_exec_again(session, key, 0, cx_now_us(), NULL, &run->exec, &err), 0);
	while (!run->started && !run->ended)
		run_loop();
}

static void wait_for_end(struct run *run)
{
	while (!run->ended)
		run_loop();
}

static void listen_for(struct ask *ask, const char *key, bool of_stderr, uint64_t offset,
		       uint32_t wait_ms)
{
	struct cx_err err = { 0 };

	memset(ask, 0, sizeof *ask);
	ask->call.done = on_done;
	ck_assert_int_eq(cx_session_exec_output(session, key, of_stderr, offset, sizeof ask->data,
						wait_ms, &ask->call, &err),
			 0);
}

static void ask_output(struct ask *ask, const char *key, bool of_stderr, uint64_t offset)
{
	listen_for(ask, key, of_stderr, offset, 0);
	wait_for(ask);
}

START_TEST(a_kept_command_outlives_its_connection)
{
	struct cx_msg_exec plan =
		kept("echo one; echo bad >&2; read x </fifo; echo two; exit 7", "k");
	struct ask ask;
	struct run run;

	expect_output("mkfifo /fifo", "");
	start_kept(&run, &plan);
	ck_assert(run.started);
	cx_session_close(session);
	cx_loop_close(&loop);
	open_session();
	go_on(&run, "k");
	ck_assert(run.started && run.pid > 0);
	expect_output("echo >/fifo", "");
	wait_for_end(&run);
	ck_assert_uint_eq(run.end.status, 7);
	ask_output(&ask, "k", false, 2);
	ck_assert_uint_eq(ask.answer.log.end, 8);
	ck_assert_int_eq(memcmp(ask.data, "e\ntwo\n", 6), 0);
	ask_output(&ask, "k", true, 0);
	ck_assert_int_eq(memcmp(ask.data, "bad\n", 4), 0);
	go_on(&run, "k"); /* also when it has ended long ago */
	wait_for_end(&run);
	ck_assert_uint_eq(run.end.status, 7);
	go_on(&run, "other");
	ck_assert_int_eq(run.why.kind, CX_NOT_FOUND);
	start_kept(&run, &plan);
	ck_assert_int_eq(run.why.kind, CX_CONFLICT);
}
END_TEST

/* By what comes there, by the end, or when the time is up; not by what comes to the other one. */
START_TEST(who_waits_for_output_is_woken)
{
	struct cx_msg_exec plan =
		kept("read x </one; echo bad >&2; read x </two; echo out; read x </three", "k");
	struct ask out, errors, late, short_wait;
	struct run run;

	expect_output("mkfifo /one /two /three", "");
	start_kept(&run, &plan);
	listen_for(&out, "k", false, 0, 60000);
	listen_for(&errors, "k", true, 0, 60000);
	listen_for(&late, "k", true, 4, 60000);
	listen_for(&short_wait, "k", false, 0, 1);
	wait_for(&short_wait);
	ck_assert(short_wait.answer.log.data.len == 0 && short_wait.err.errnum == 0);
	ck_assert(!out.done && !errors.done && !late.done);
	expect_output("echo >/one", "");
	wait_for(&errors);
	ck_assert_int_eq(memcmp(errors.data, "bad\n", 4), 0);
	ck_assert(!out.done && !late.done);
	expect_output("echo >/two", "");
	wait_for(&out);
	ck_assert_int_eq(memcmp(out.data, "out\n", 4), 0);
	ck_assert(!late.done && !run.ended);
	expect_output("echo >/three", "");
	wait_for(&late);
	ck_assert(late.answer.log.data.len == 0 && late.answer.log.end == 4);
	wait_for_end(&run);
	listen_for(&late, "k", true, 4, 60000); /* of one that has ended: at once */
	wait_for(&late);
	ck_assert_uint_eq(late.answer.log.end, 4);
}
END_TEST

START_TEST(who_waits_for_output_is_bounded)
{
	struct cx_msg_exec plan = kept("read x </fifo", "k");
	struct ask *asks = calloc(CX_KEPT_LISTENERS_MAX + 1, sizeof *asks);
	struct ask *last = &asks[CX_KEPT_LISTENERS_MAX];
	struct run run;

	ck_assert_ptr_nonnull(asks);
	expect_output("mkfifo /fifo", "");
	start_kept(&run, &plan);
	for (int i = 0; i <= CX_KEPT_LISTENERS_MAX; i++)
		listen_for(&asks[i], "k", i % 2 == 0, 0, 60000);
	wait_for(last);
	ck_assert_int_eq(last->err.kind, CX_LIMIT);
	ck_assert(!asks[0].done && !last[-1].done);
	expect_output("echo >/fifo", "");
	for (int i = 0; i < CX_KEPT_LISTENERS_MAX; i++) {
		wait_for(&asks[i]);
		ck_assert_int_eq(asks[i].err.errnum, 0);
	}
	listen_for(last, "k", false, 0, 60000); /* and all places are free again */
	wait_for(last);
	ck_assert_int_eq(last->err.errnum, 0);
	free(asks);
}
END_TEST

/* Those that run stay, of the others the one that ended first goes. */
START_TEST(kept_commands_are_bounded)
{
	struct cx_msg_exec runs = kept("read x </fifo", "first"), done;
	struct run first, run;
	struct ask ask;
	char key[16];

	expect_output("mkfifo /fifo", "");
	start_kept(&first, &runs);
	for (int i = 0; i < CX_KEPT_MAX; i++) {
		(void)snprintf(key, sizeof key, "%d", i);
		done = kept("exit 0", key);
		start_kept(&run, &done);
		wait_for_end(&run);
	}
	ask_output(&ask, "0", false, 0);
	ck_assert_int_eq(ask.err.kind, CX_NOT_FOUND);
	ask_output(&ask, "1", false, 0);
	ck_assert_int_eq(ask.err.errnum, 0);
	expect_output("echo >/fifo", "");
	wait_for_end(&first);
	ck_assert_uint_eq(first.end.status, 0);
	for (int i = 0; i < CX_KEPT_MAX - 1; i++) { /* it ended last, so all others go before it */
		(void)snprintf(key, sizeof key, "more%d", i);
		done = kept("exit 0", key);
		start_kept(&run, &done);
		wait_for_end(&run);
	}
	ask_output(&ask, "first", false, 0);
	ck_assert_int_eq(ask.err.errnum, 0);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("agent");
	TCase *grouped = tcase_create("with control groups");
	TCase *plain = tcase_create("without");
	TCase *own = tcase_create("special");

	tcase_add_checked_fixture(grouped, set_up_grouped, tear_down);
	tcase_add_checked_fixture(plain, set_up_plain, tear_down);
	tcase_set_timeout(grouped, 60);
	tcase_set_timeout(plain, 60);
	tcase_set_timeout(own, 60);
	tcase_add_loop_test(plain, a_command_ends, 0, CX_LEN(ends));
	tcase_add_loop_test(plain, a_command_is_refused, 0, CX_LEN(refusals));
	tcase_add_loop_test(plain, a_malformed_packet_closes_its_connection, 0, 13);
	tcase_add_loop_test(plain, a_port_is_connected_to, 0, WAYS_TO_LISTEN);
	tcase_add_test(plain, options_reach_the_command);
	tcase_add_loop_test(plain, the_user_asked_for_is_in_the_environment, 0, CX_LEN(identities));
	tcase_add_test(plain, stdin_is_passed_and_ends);
	tcase_add_test(plain, posture);
	tcase_add_test(plain, no_keyring_is_the_hosts);
	tcase_add_test(plain, only_the_host_is_served);
	tcase_add_test(plain, a_second_claim_is_refused);
	tcase_add_test(plain, a_host_that_does_not_read_is_dropped);
	tcase_add_test(plain, commands_outlive_their_connection);
	tcase_add_test(plain, a_kept_command_outlives_its_connection);
	tcase_add_test(plain, kept_commands_are_bounded);
	tcase_add_test(plain, who_waits_for_output_is_woken);
	tcase_add_test(plain, who_waits_for_output_is_bounded);
	tcase_add_test(plain, a_terminal_follows_its_size);
	tcase_add_test(plain, a_terminal_interrupts);
	tcase_add_test(plain, a_terminal_shows_all_of_a_lot);
	tcase_add_test(grouped, a_signal_reaches_the_whole_group);
	tcase_add_test(grouped, a_signal_comes_not_too_early);
	tcase_add_test(plain, a_signal_comes_not_too_early);
	tcase_add_test(grouped, a_timeout_leaves_nothing);
	tcase_add_test(grouped, a_timeout_ends_a_fork_bomb);
	tcase_add_test(grouped, detached_children_live_on);
	tcase_add_test(grouped, the_agent_holds_only_its_own);
	tcase_add_test(grouped, no_descriptor_is_a_working_directory);
	tcase_add_test(grouped, hundreds_at_once);
	tcase_add_test(grouped, full_processes_stop_no_command);
	tcase_add_test(grouped, a_fork_bomb_stops_no_command);
	tcase_add_test(grouped, a_memory_hog_stops_no_command);
	tcase_add_test(own, the_start_command_is_logged);
	tcase_add_test(own, a_wrong_configuration_can_be_put_right);
	tcase_add_test(own, no_descriptor_is_in_a_configuration);
	tcase_add_test(own, a_hostile_image_decides_nothing);
	tcase_add_test(own, hostile_account_files_block_nothing);
	tcase_add_test(own, a_claim_that_fails_ends_the_agent);
	tcase_add_test(own, a_directory_is_no_file_to_replace);
	suite_add_tcase(s, plain);
	suite_add_tcase(s, grouped);
	suite_add_tcase(s, own);
	return run_root_suite(s);
}
