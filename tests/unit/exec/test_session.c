/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <time.h>

#include "base/fd.h"
#include "check_main.h"
#include "exec/session.h"

/* The other end of the session's socket is played by the test: an agent that says what it likes. */
static struct cx_loop loop;
static struct cx_packet scratch, heard;
static struct cx_session *session;
static struct cx_err err, lost_why;
static int agent, nlost, nmain, nused, nheld;
static bool close_when_lost, hold_ends, leave_when_lost;

/* Hours pass in an instant: the library's clock is this one. */
static time_t skipped_s;

int clock_gettime(clockid_t clock, struct timespec *ts)
{
	int r = (int)syscall(SYS_clock_gettime, clock, ts);

	ts->tv_sec += skipped_s;
	return r;
}

static void stop(struct cx_timer *timer)
{
	(void)timer;
	loop.stop = true;
}

/* Deals with everything that is ready. */
static void spin(void)
{
	struct cx_timer soon = { .fire = stop };

	for (int i = 0; i < 3; i++) {
		loop.stop = false;
		cx_timer_set(&loop, &soon, 1);
		ck_assert_int_eq(cx_loop_run(&loop, &err), 0);
		cx_timer_clear(&soon);
	}
}

static void on_lost(struct cx_session *s, const struct cx_err *why, void *arg)
{
	ck_assert_ptr_eq(arg, &agent);
	nlost++;
	lost_why = *why;
	if (!leave_when_lost)
		cx_session_fail(s, CX_REASON_ENGINE_ERROR, why);
	if (close_when_lost) {
		cx_session_close(s);
		session = NULL;
	}
}

static unsigned on_hold(struct cx_session *s, void *arg)
{
	(void)s;
	(void)arg;
	nheld++;
	return hold_ends ? 2 : 0;
}

static void on_used(struct cx_session *s, void *arg)
{
	(void)s;
	(void)arg;
	nused++;
}

static void on_main(struct cx_session *s, const struct cx_msg_main_state *state, void *arg)
{
	(void)s;
	(void)arg;
	nmain++;
	ck_assert_uint_eq(state->state, CX_MAIN_ENDED);
}

/* ---- what the agent says, byte for byte ---- */

static void say_raw(uint16_t type, uint32_t request, const void *body, size_t len, int fd)
{
	CX_UNINITIALIZED uint8_t out[CX_PACKET_MAX];

	if (len > 0)
		memcpy(out + CX_PACKET_HEADER, body, len);
	ck_assert_int_eq(cx_packet_send(agent, out, CX_PACKET_HEADER + len, type, request, &fd,
					fd >= 0 ? 1 : 0, &err),
			 0);
	spin();
}

#define say(name, request, ...)                                                                   \
	do {                                                                                      \
		struct cx_msg_##name say_m = { __VA_ARGS__ };                                     \
		ck_assert_int_eq(cx_msg_##name##_send(agent, request, &say_m, NULL, 0, &err), 0); \
		spin();                                                                           \
	} while (0)

static void greet(void)
{
	say(agent_hello, 0, .version = 1, .state = CX_AGENT_CLAIMED);
}

/* The next request; its number is what must be answered. */
static uint32_t hear(uint16_t type)
{
	ck_assert_int_eq(cx_packet_recv(agent, &heard, &err), 1);
	ck_assert_int_eq(heard.type, type);
	cx_packet_drop(&heard);
	return heard.request;
}

static void set_up(void)
{
	static const struct cx_session_events events = { .sandbox = "abcdefghijkl",
							 .lost = on_lost,
							 .hold = on_hold,
							 .used = on_used,
							 .main_ended = on_main,
							 .arg = &agent };
	int pair[2];

	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
	agent = pair[0];
	ck_assert_int_eq(cx_set_nonblock(agent, true, &err), 0);
	ck_assert_int_eq(cx_loop_open(&loop, &err), 0);
	ck_assert_int_eq(cx_session_open(&loop, &scratch, &pair[1], &events, &session, &err), 0);
	ck_assert_int_eq(pair[1], -EBADF);
}

static void tear_down(void)
{
	cx_session_close(session);
	cx_loop_close(&loop);
	(void)close(agent);
}

static void set_up_greeted(void)
{
	set_up();
	greet();
}

/* ---- who asks ---- */

struct ask {
	struct cx_call call;
	struct cx_err why;
	int done;
	bool again, closes;
};

static void on_done(struct cx_call *call, const struct cx_answer *answer, const struct cx_err *why)
{
	struct ask *ask = cx_container_of(call, struct ask, call);
	struct cx_err e;

	ck_assert((answer == NULL) == (why != NULL));
	ask->done++;
	if (why != NULL)
		ask->why = *why;
	if (ask->again)
		(void)!cx_session_main(session, &ask->call, &e);
	if (ask->closes) {
		cx_session_close(session);
		session = NULL;
	}
}

static struct ask new_ask(void)
{
	return (struct ask){ .call.done = on_done };
}

struct run {
	struct cx_exec exec;
	struct cx_pipes pipes;
	struct cx_result end;
	struct cx_err why;
	int started, ended;
	bool has_end;
};

static void on_started(struct cx_exec *exec, uint32_t pid)
{
	ck_assert_uint_eq(pid, 7);
	cx_container_of(exec, struct run, exec)->started++;
}

static void on_ended(struct cx_exec *exec, const struct cx_result *end, const struct cx_err *why)
{
	struct run *run = cx_container_of(exec, struct run, exec);

	ck_assert(end != NULL || why != NULL);
	run->ended++;
	run->has_end = end != NULL;
	if (end != NULL)
		run->end = *end;
	if (why != NULL)
		run->why = *why;
}

static const struct cx_msg_exec plan = { .argv = { .p = "true", .len = 5 }, .timeout_ms = 1000 };

static uint32_t begin(struct run *run)
{
	*run = (struct run){ .exec = { .started = on_started, .ended = on_ended, .id = "cafe" } };
	ck_assert_int_eq(cx_pipes_open(&run->pipes, &err), 0);
	ck_assert_msg(cx_session_exec(session, &plan, &run->pipes, &run->exec, &err) == 0, "%s",
		      err.msg);
	ck_assert_int_eq(run->pipes.theirs[0], -EBADF);
	return hear(CX_MSG_exec);
}

static void drop(struct run *run)
{
	cx_exec_forget(&run->exec);
	cx_pipes_close(&run->pipes);
}

/* ---- one file ---- */

struct move {
	struct cx_file file;
	struct cx_msg_file_info info;
	struct cx_err why;
	int ready, ended, pipe; /* ours */
};

static void on_ready(struct cx_file *file, const struct cx_msg_file_info *info)
{
	struct move *move = cx_container_of(file, struct move, file);

	move->ready++;
	move->info = *info;
}

static void on_moved(struct cx_file *file, const struct cx_err *why)
{
	struct move *move = cx_container_of(file, struct move, file);

	move->ended++;
	if (why != NULL)
		move->why = *why;
}

/* Ten bytes at most. */
static uint32_t begin_get(struct move *move)
{
	struct cx_msg_file_get what = { .path = cx_str_of("/x"), .length = 10, .timeout_ms = 1000 };
	int theirs;

	*move = (struct move){ .file = { .ready = on_ready, .ended = on_moved } };
	ck_assert_int_eq(cx_pipe(&move->pipe, &theirs, &err), 0);
	ck_assert_int_eq(cx_session_file_get(session, &what, &theirs, &move->file, &err), 0);
	ck_assert_int_eq(theirs, -EBADF);
	return hear(CX_MSG_file_get);
}

static void drop_move(struct move *move)
{
	cx_file_cancel(&move->file);
	cx_close(&move->pipe);
}

/* ---- a port ---- */

struct door {
	struct cx_call call;
	struct cx_err why;
	int sock, opened, failed;
};

static void on_port(struct cx_call *call, const struct cx_answer *answer, const struct cx_err *why)
{
	struct door *door = cx_container_of(call, struct door, call);

	door->opened += why == NULL;
	door->failed += why != NULL;
	if (why != NULL)
		door->why = *why;
	else
		door->sock = cx_take_fd(answer->sock);
}

static uint32_t open_door(struct door *door)
{
	*door = (struct door){ .call.done = on_port, .sock = -EBADF };
	ck_assert_int_eq(cx_session_port(session, 80, 1000, &door->call, &err), 0);
	return hear(CX_MSG_port_open);
}

/* A connected pair over the loopback; *ret_listening stays open. */
static void tcp_pair(int *ret_listening, int *ret_ours, int *ret_theirs)
{
	struct sockaddr_in at = { .sin_family = AF_INET, .sin_addr = { htonl(INADDR_LOOPBACK) } };
	socklen_t len = sizeof at;

	*ret_listening = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	*ret_ours = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	ck_assert_int_eq(bind(*ret_listening, (struct sockaddr *)&at, len), 0);
	ck_assert_int_eq(listen(*ret_listening, 1), 0);
	ck_assert_int_eq(getsockname(*ret_listening, (struct sockaddr *)&at, &len), 0);
	ck_assert_int_eq(connect(*ret_ours, (struct sockaddr *)&at, len), 0);
	*ret_theirs = accept4(*ret_listening, NULL, NULL, SOCK_CLOEXEC);
	ck_assert_int_ge(*ret_theirs, 0);
}

START_TEST(a_connection_is_handed_over)
{
	struct door door, refused, forgotten;
	int listening, ours, theirs;
	char byte = 0;
	uint32_t r = open_door(&door), f = open_door(&refused), g;

	tcp_pair(&listening, &ours, &theirs);
	say(agent_error, f, .kind = CX_UNAVAILABLE, .text = cx_str_of("nothing listens"));
	ck_assert_int_eq(refused.failed, 1);
	ck_assert_int_eq(refused.why.kind, CX_UNAVAILABLE);
	say_raw(CX_MSG_port_opened, r, NULL, 0, ours);
	ck_assert_int_eq(door.opened, 1);
	ck_assert_int_eq(send(door.sock, "x", 1, 0), 1);
	ck_assert_int_eq(recv(theirs, &byte, 1, 0), 1);
	ck_assert_int_eq(byte, 'x');

	g = open_door(&forgotten);
	cx_call_forget(&forgotten.call);
	cx_close(&door.sock);
	say_raw(CX_MSG_port_opened, g, NULL, 0, ours);
	cx_close(&ours);
	ck_assert_int_eq(recv(theirs, &byte, 1, 0), 0); /* what nobody took was closed */
	ck_assert_int_eq(nlost, 0);
	cx_close(&theirs);
	cx_close(&listening);
}
END_TEST

/* Each is handed over as if it was a connection. */
enum { UNIX_SOCKET, UDP_SOCKET, PIPE, A_FILE, NOTHING, TWO, LISTENING, UNCONNECTED, BAD_ENDS };

static int bad_end(int kind, int listening)
{
	int fds[2];

	switch (kind) {
	case UNIX_SOCKET:
		return dup(agent);
	case UDP_SOCKET:
		return socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	case LISTENING:
		return dup(listening);
	case UNCONNECTED:
		return socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	case PIPE:
		ck_assert_int_eq(cx_pipe(&fds[0], &fds[1], &err), 0);
		(void)close(fds[1]);
		return fds[0];
	case A_FILE:
		return open("/dev/null", O_RDWR | O_CLOEXEC);
	default:
		return -EBADF;
	}
}

START_TEST(a_descriptor_that_is_no_connection_is_not_taken)
{
	struct cx_msg_port_opened m;
	struct door door;
	int listening, ours, theirs, bad;
	uint32_t r = open_door(&door);

	tcp_pair(&listening, &ours, &theirs);
	bad = bad_end(_i, listening);
	if (_i == TWO) {
		ck_assert_int_eq(
			cx_msg_port_opened_send(agent, r, &m, (int[]){ ours, theirs }, 2, &err), 0);
		spin();
	} else {
		say_raw(CX_MSG_port_opened, r, NULL, 0, bad);
	}
	/* One that is not connected may have been: the server inside can end it at any time. */
	ck_assert_int_eq(nlost, _i < LISTENING);
	ck_assert_int_eq(door.opened, 0);
	ck_assert_int_eq(door.failed, 1);
	cx_close(&bad);
	cx_close(&ours);
	cx_close(&theirs);
	cx_close(&listening);
}
END_TEST

/* ---- the right way ---- */

START_TEST(answers_find_their_request)
{
	struct ask config = new_ask(), log = new_ask(), state = new_ask();
	struct cx_msg_configure m = { .cwd = cx_str_of("/x") };
	uint32_t r[3];

	ck_assert_int_eq(cx_session_configure(session, &m, &config.call, &err), 0);
	ck_assert_int_eq(cx_session_log(session, 5, 10, &log.call, &err), 0);
	ck_assert_int_eq(cx_session_main(session, &state.call, &err), 0);
	r[0] = hear(CX_MSG_configure);
	r[1] = hear(CX_MSG_log_read);
	r[2] = hear(CX_MSG_main_status);
	say(main_state, r[2], .state = CX_MAIN_RUNNING);
	ck_assert_int_eq(state.done, 1);
	say(log_data, r[1], .offset = 5, .end = 15, .data = cx_str_of("0123456789"));
	ck_assert_int_eq(log.done, 1);
	say(agent_error, r[0], .kind = CX_DENIED, .errnum = EACCES, .text = cx_str_of("no"));
	ck_assert_int_eq(config.done, 1);
	ck_assert_str_eq(config.why.msg, "no");
	ck_assert_int_eq(config.why.errnum, EACCES);
	say(main_state, 0, .state = CX_MAIN_ENDED);
	ck_assert_int_eq(nmain, 1);
	ck_assert_int_eq(nlost, 0);
}
END_TEST

START_TEST(a_command_starts_and_ends)
{
	struct ask sig = new_ask();
	struct run run, failed;
	uint32_t r = begin(&run), f = begin(&failed), s;

	say(agent_error, f, .kind = CX_NOT_FOUND, .text = cx_str_of("'x' not found in PATH"));
	ck_assert_int_eq(failed.ended, 1);
	ck_assert_str_eq(failed.why.msg, "'x' not found in PATH");
	say(started, r, .pid = 7);
	ck_assert_int_eq(run.started, 1);
	ck_assert_int_eq(cx_exec_signal(&run.exec, SIGTERM, &sig.call, &err), 0);
	s = hear(CX_MSG_exec_signal);
	say_raw(CX_MSG_agent_ok, s, NULL, 0, -1);
	ck_assert_int_eq(sig.done, 1);
	say(exited, r, .how = CX_EXITED_SIGNAL, .status = 15);
	ck_assert_int_eq(run.ended, 1);
	ck_assert_uint_eq(run.end.status, 15);
	ck_assert(!cx_exec_pending(&run.exec));
	ck_assert_int_eq(cx_exec_signal(&run.exec, SIGTERM, NULL, &err), -ENOENT);
	ck_assert_int_eq(nlost, 0);
	drop(&run);
	drop(&failed);
}
END_TEST

/* ---- its slot ---- */

/* A directory that looks like the control groups of a sandbox, all of them. */
static const char *const counted[] = { "cgroup.procs",
				       "cpuacct.usage",
				       "cpuacct.usage_user",
				       "cpuacct.usage_sys",
				       "memory.max_usage_in_bytes",
				       "memory.usage_in_bytes" };

static void make_slot(char *dir)
{
	char path[100];

	ck_assert_ptr_nonnull(mkdtemp(dir));
	(void)snprintf(path, sizeof path, "%s/cmd-1", dir);
	ck_assert_int_eq(mkdir(path, 0755), 0);
	for (size_t i = 0; i < CX_LEN(counted); i++) {
		cx_autofd int fd = -EBADF;

		(void)snprintf(path, sizeof path, "%s/cmd-1/%s", dir, counted[i]);
		fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
		ck_assert_int_eq(cx_write_all(fd, "9\n", i > 0 ? 2 : 0, &err), 0);
	}
}

static void remove_slot(const char *dir)
{
	char path[100];

	for (size_t i = 0; i < CX_LEN(counted); i++) {
		(void)snprintf(path, sizeof path, "%s/cmd-1/%s", dir, counted[i]);
		ck_assert_int_eq(unlink(path), 0);
	}
	(void)snprintf(path, sizeof path, "%s/cmd-1", dir);
	ck_assert_int_eq(rmdir(path), 0);
	ck_assert_int_eq(rmdir(dir), 0);
}

static void measure_in(const char *dir)
{
	int dirs[CX_ACCOUNTS_MAX] = { open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC) };
	struct cx_accounts *accounts;

	ck_assert_int_eq(cx_accounts_open(dirs, 1, true, &accounts, &err), 0);
	cx_accounts_made(accounts, 1, true);
	cx_session_measure(session, accounts);
}

/* Its peak begins anew. */
static bool is_ready(const char *dir)
{
	char path[100], text[8];

	(void)snprintf(path, sizeof path, "%s/cmd-1/memory.max_usage_in_bytes", dir);
	ck_assert_int_gt(cx_read_small_file(AT_FDCWD, path, text, sizeof text, &err), 0);
	return text[0] == '0';
}

static char slot_dir[] = "/tmp/session-test-XXXXXX";
static int answered;

static void send_answer(struct cx_timer *timer)
{
	(void)timer;
	answered++;
	ck_assert(!is_ready(slot_dir));
}

static struct cx_timer answer = { .fire = send_answer };

static void on_ended_answer(struct cx_exec *exec, const struct cx_result *end,
			    const struct cx_err *why)
{
	(void)exec;
	(void)why;
	ck_assert_str_eq(end->source, "cgroup v1");
	cx_timer_set(&loop, &answer, 0);
}

/* The answer is sent by the loop; it must not wait for the files of a slot. */
START_TEST(a_slot_is_made_ready_behind_the_answer)
{
	struct run run;
	uint32_t r;

	answered = 0;
	make_slot(slot_dir);
	measure_in(slot_dir);
	r = begin(&run);
	run.exec.ended = on_ended_answer;
	say(started, r, .pid = 7);
	say(exited, r, .status = 0);
	ck_assert_int_eq(answered, 1);
	ck_assert(is_ready(slot_dir));
	remove_slot(slot_dir);
	drop(&run);
}
END_TEST

START_TEST(a_file_is_moved)
{
	struct move good, bad, late;
	uint32_t g = begin_get(&good), b = begin_get(&bad), l = begin_get(&late);

	say(agent_error, b, .kind = CX_NOT_FOUND, .text = cx_str_of("open '/x'"));
	ck_assert(bad.ended == 1 && bad.ready == 0 && bad.why.kind == CX_NOT_FOUND);
	say(file_info, g, .size = 20, .offset = 5, .length = 10);
	ck_assert(good.ready == 1 && good.ended == 0 && good.info.length == 10);
	say_raw(CX_MSG_agent_ok, g, NULL, 0, -1);
	ck_assert(good.ended == 1 && good.why.errnum == 0);
	say(file_info, l, .size = 20, .length = 0);
	say(agent_error, l, .kind = CX_LIMIT, .text = cx_str_of("full"));
	ck_assert(late.ready == 1 && late.ended == 1 && late.why.kind == CX_LIMIT);
	ck_assert_int_eq(nlost, 0);
	drop_move(&good);
	drop_move(&bad);
	drop_move(&late);
}
END_TEST

START_TEST(a_cancelled_file_is_killed_and_not_heard_of)
{
	struct move early, moving, silent;
	uint32_t e = begin_get(&early), m = begin_get(&moving), s, k;

	say(file_info, m, .size = 20, .length = 10);
	cx_file_cancel(&early.file);
	k = hear(CX_MSG_exec_signal);
	say_raw(CX_MSG_agent_ok, k, NULL, 0, -1);
	cx_file_cancel(&moving.file);
	k = hear(CX_MSG_exec_signal);
	say_raw(CX_MSG_agent_ok, k, NULL, 0, -1);
	say(file_info, e, .size = 20, .length = 10);
	say(agent_error, e, .kind = CX_LIMIT, .text = cx_str_of("killed"));
	say_raw(CX_MSG_agent_ok, m, NULL, 0, -1);
	ck_assert(early.ready == 0 && early.ended == 0 && moving.ended == 0);
	s = begin_get(&silent);
	skipped_s = CX_SESSION_ANSWER_MS / 1000 + 1;
	spin();
	ck_assert(silent.ended == 1 && silent.why.kind == CX_TIMEOUT);
	say(file_info, s, .size = 20, .length = 10);
	(void)hear(CX_MSG_exec_signal);
	ck_assert_int_eq(nlost, 0);
	drop_move(&early);
	drop_move(&moving);
	drop_move(&silent);
}
END_TEST

START_TEST(requests_wait_for_the_hello)
{
	struct ask state = new_ask();
	struct run run = { .exec = { .started = on_started, .ended = on_ended } };

	ck_assert_int_eq(cx_pipes_open(&run.pipes, &err), 0);
	ck_assert_int_eq(cx_session_exec(session, &plan, &run.pipes, &run.exec, &err), 0);
	ck_assert_int_eq(cx_session_main(session, &state.call, &err), 0);
	spin();
	ck_assert_int_eq(cx_packet_recv(agent, &heard, &err), -EAGAIN);
	greet();
	ck_assert_int_eq(cx_packet_recv(agent, &heard, &err), 1);
	ck_assert_int_eq(heard.type, CX_MSG_exec);
	ck_assert_uint_eq(heard.nfds, 3);
	cx_packet_drop(&heard);
	(void)hear(CX_MSG_main_status);
	drop(&run);
	cx_call_forget(&state.call);
}
END_TEST

START_TEST(who_is_forgotten_hears_nothing)
{
	struct ask state = new_ask();
	struct run run;
	uint32_t r = begin(&run), m;

	ck_assert_int_eq(cx_session_main(session, &state.call, &err), 0);
	m = hear(CX_MSG_main_status);
	cx_call_forget(&state.call);
	cx_call_forget(&state.call);
	drop(&run);
	say(main_state, m, .state = CX_MAIN_NONE);
	say(started, r, .pid = 7);
	say(exited, r, .status = 0);
	ck_assert_int_eq(state.done + run.started + run.ended + nlost, 0);
}
END_TEST

START_TEST(callbacks_may_ask_and_close)
{
	struct ask state = new_ask(), other = new_ask();

	state.again = true;
	ck_assert_int_eq(cx_session_main(session, &state.call, &err), 0);
	for (int i = 0; i < 40; i++) /* as many that the table moves */
		say(main_state, hear(CX_MSG_main_status), .state = CX_MAIN_NONE);
	ck_assert_int_eq(state.done, 40);
	state.again = false;
	state.closes = true;
	ck_assert_int_eq(cx_session_main(session, &other.call, &err), 0);
	say(main_state, hear(CX_MSG_main_status), .state = CX_MAIN_NONE);
	ck_assert_int_eq(state.done, 41);
	ck_assert_int_eq(other.done, 0);
	ck_assert_ptr_null(session);
	ck_assert_int_eq(nlost, 0);
}
END_TEST

/* ---- an agent that lies ---- */

enum {
	TO_CONFIGURE = 1,
	TO_LOG,
	TO_EXEC,
	TO_RUNNING,
	TO_ENDED,
	TO_FILE,
	TO_MOVING,
	TO_NOBODY,
	TO_ALL
};

#define BODY(...)                                                            \
	.len = sizeof((uint8_t[]){ __VA_ARGS__ }), .body = (const uint8_t[]) \
	{                                                                    \
		__VA_ARGS__                                                  \
	}

static const struct {
	uint16_t type;
	int to;
	size_t len;
	const uint8_t *body;
	bool with_fd;
} lies[] = {
	{ CX_MSG_agent_ok, TO_NOBODY, 0, NULL, false },
	{ CX_MSG_agent_ok, TO_ALL, 0, NULL, false },
	{ CX_MSG_agent_ok, TO_LOG, 0, NULL, false },
	{ CX_MSG_agent_ok, TO_EXEC, 0, NULL, false },
	{ CX_MSG_agent_ok, TO_RUNNING, 0, NULL, false },
	{ CX_MSG_agent_ok, TO_CONFIGURE, 0, NULL, true },
	{ CX_MSG_agent_ok, TO_CONFIGURE, BODY(0), false },
	{ CX_MSG_agent_hello, TO_ALL, BODY(1, 0, 0, 0, 1, 0, 0, 0), false },
	{ CX_MSG_started, TO_CONFIGURE, BODY(7, 0, 0, 0), false },
	{ CX_MSG_started, TO_RUNNING, BODY(7, 0, 0, 0), false },
	{ CX_MSG_started, TO_EXEC, BODY(7, 0, 0), false },
	{ CX_MSG_started, TO_ENDED, BODY(7, 0, 0, 0), false },
	{ CX_MSG_exited, TO_EXEC, 40, (const uint8_t[40]){ 0 }, false },
	{ CX_MSG_exited, TO_ENDED, 40, (const uint8_t[40]){ 0 }, false },
	{ CX_MSG_exited, TO_RUNNING, 40, (const uint8_t[40]){ 9 }, false },
	{ CX_MSG_exited, TO_RUNNING, 41, (const uint8_t[41]){ 0 }, false },
	{ CX_MSG_exited, TO_EXEC, 40, (const uint8_t[40]){ 0 }, true },
	{ CX_MSG_agent_error, TO_RUNNING, 12, (const uint8_t[12]){ 0 }, false },
	{ CX_MSG_agent_error, TO_ALL, 12, (const uint8_t[12]){ 0 }, false },
	{ CX_MSG_agent_error, TO_EXEC, 12, (const uint8_t[12]){ 99 }, false },
	{ CX_MSG_agent_error, TO_EXEC, 12, (const uint8_t[12]){ [8] = 1 }, false },
	{ CX_MSG_log_data, TO_CONFIGURE, 20, (const uint8_t[20]){ 0 }, false },
	{ CX_MSG_log_data, TO_LOG, 23, (const uint8_t[23]){ [8] = 9, [16] = 3 }, false },
	{ CX_MSG_log_data, TO_LOG, 22, (const uint8_t[22]){ [8] = 1, [16] = 2 }, false },
	{ CX_MSG_log_data, TO_LOG, 20, (const uint8_t[20]){ [0] = 2, [8] = 1 }, false },
	{ CX_MSG_main_state, TO_CONFIGURE, 12, (const uint8_t[12]){ 0 }, false },
	{ CX_MSG_main_state, TO_NOBODY, 12, (const uint8_t[12]){ 0 }, false },
	{ CX_MSG_main_state, TO_ALL, 12, (const uint8_t[12]){ 77 }, false },
	{ CX_MSG_file_info, TO_CONFIGURE, 40, (const uint8_t[40]){ 0 }, false },
	{ CX_MSG_file_info, TO_EXEC, 40, (const uint8_t[40]){ 0 }, false },
	{ CX_MSG_file_info, TO_MOVING, 40, (const uint8_t[40]){ 0 }, false },
	{ CX_MSG_file_info, TO_ALL, 40, (const uint8_t[40]){ 0 }, false },
	{ CX_MSG_file_info, TO_FILE, 39, (const uint8_t[39]){ 0 }, false },
	{ CX_MSG_file_info, TO_FILE, 40, (const uint8_t[40]){ 9 }, false },
	/* more than asked for, more than there is, beyond the end */
	{ CX_MSG_file_info, TO_FILE, 40, (const uint8_t[40]){ [8] = 20, [32] = 11 }, false },
	{ CX_MSG_file_info, TO_FILE, 40, (const uint8_t[40]){ [8] = 9, [32] = 10 }, false },
	{ CX_MSG_file_info, TO_FILE, 40, (const uint8_t[40]){ [8] = 9, [24] = 10 }, false },
	{ CX_MSG_file_info, TO_FILE, 40, (const uint8_t[40]){ [15] = 128 }, false },
	{ CX_MSG_agent_ok, TO_FILE, 0, NULL, false },
	{ CX_MSG_exited, TO_MOVING, 40, (const uint8_t[40]){ 0 }, false },
	{ CX_MSG_exec, TO_EXEC, 0, NULL, false },
	{ 0xffff, TO_ALL, 0, NULL, false },
	{ 0, TO_ALL, 0, NULL, false },
};

START_TEST(a_lie_ends_the_session)
{
	struct ask config = new_ask(), log = new_ask();
	struct cx_msg_configure m = { 0 };
	struct run waiting, running, gone;
	struct move file, moving;
	uint32_t numbers[TO_ALL + 1] = { [TO_NOBODY] = 3000000 };

	numbers[TO_EXEC] = begin(&waiting);
	numbers[TO_RUNNING] = begin(&running);
	numbers[TO_ENDED] = begin(&gone);
	say(started, numbers[TO_RUNNING], .pid = 7);
	say(started, numbers[TO_ENDED], .pid = 7);
	say(exited, numbers[TO_ENDED], .status = 0);
	ck_assert_int_eq(cx_session_configure(session, &m, &config.call, &err), 0);
	numbers[TO_CONFIGURE] = hear(CX_MSG_configure);
	ck_assert_int_eq(cx_session_log(session, 0, 2, &log.call, &err), 0);
	numbers[TO_LOG] = hear(CX_MSG_log_read);
	numbers[TO_FILE] = begin_get(&file);
	numbers[TO_MOVING] = begin_get(&moving);
	say(file_info, numbers[TO_MOVING], .size = 20, .length = 10);
	ck_assert_int_eq(nlost, 0);
	close_when_lost = _i % 2 == 0;
	say_raw(lies[_i].type, numbers[lies[_i].to], lies[_i].body, lies[_i].len,
		lies[_i].with_fd ? agent : -1);
	ck_assert_int_eq(nlost, 1);
	ck_assert_int_eq(lost_why.kind, CX_INVALID);
	ck_assert_int_eq(config.done, 1);
	ck_assert_int_eq(log.done, 1);
	ck_assert_int_eq(waiting.ended, 1);
	ck_assert_int_eq(running.ended, 1);
	ck_assert_int_eq(gone.ended, 1);
	ck_assert_int_eq(file.ended, 1);
	ck_assert_int_eq(moving.ended, 1);
	drop_move(&file);
	drop_move(&moving);
	if (session != NULL) {
		ck_assert(!cx_session_alive(session));
		ck_assert_int_lt(cx_session_main(session, &log.call, &err), 0);
	}
	drop(&waiting);
	drop(&running);
	drop(&gone);
}
END_TEST

static const struct {
	uint16_t type;
	uint32_t request;
	size_t len;
	const uint8_t *body;
} hellos[] = {
	{ CX_MSG_agent_ok, 0, 0, NULL },
	{ CX_MSG_agent_hello, 1, BODY(1, 0, 0, 0, 1, 0, 0, 0) },
	{ CX_MSG_agent_hello, 0, BODY(1, 0, 0, 0, 0, 0, 0, 0) }, /* a blank */
	{ CX_MSG_agent_hello, 0, BODY(0, 0, 0, 0, 1, 0, 0, 0) },
	{ CX_MSG_agent_hello, 0, BODY(1, 0, 0, 0, 2, 0, 0, 0) },
	{ CX_MSG_agent_hello, 0, BODY(1, 0, 0, 0, 1, 0, 0) },
};

START_TEST(a_wrong_hello_ends_the_session)
{
	say_raw(hellos[_i].type, hellos[_i].request, hellos[_i].body, hellos[_i].len, -1);
	ck_assert_int_eq(nlost, 1);
}
END_TEST

START_TEST(closing_in_between_fails_what_waits)
{
	struct ask state = new_ask();
	struct run run;
	uint32_t r = begin(&run);

	say(started, r, .pid = 7);
	ck_assert_int_eq(cx_session_main(session, &state.call, &err), 0);
	(void)shutdown(agent, SHUT_RDWR);
	spin();
	ck_assert_int_eq(nlost, 1);
	ck_assert_int_eq(run.ended, 1);
	ck_assert_int_eq(run.why.kind, CX_UNAVAILABLE);
	ck_assert_int_eq(state.done, 1);
	drop(&run);
}
END_TEST

START_TEST(what_is_pending_waits_for_the_owner_of_a_lost_session)
{
	struct ask first = new_ask(), second = new_ask();
	struct run run;
	struct cx_err why;

	(void)begin(&run);
	ck_assert_int_eq(cx_session_main(session, &first.call, &err), 0);
	ck_assert_int_eq(cx_session_main(session, &second.call, &err), 0);
	first.closes = _i == 1;
	leave_when_lost = true;
	(void)shutdown(agent, SHUT_RDWR);
	spin();
	ck_assert_int_eq(nlost, 1);
	ck_assert(!cx_session_alive(session) && cx_session_busy(session));
	ck_assert_int_eq(run.ended + first.done, 0);
	(void)cx_refuse(&why, CX_CONFLICT, "it ran out of memory");
	cx_session_fail(session, CX_REASON_OOM, &why);
	ck_assert_int_eq(run.ended, 1);
	ck_assert_int_eq(run.why.kind, CX_CONFLICT);
	ck_assert_int_eq(first.done, 1);
	ck_assert_int_eq(second.done, _i == 0); /* nobody hears from a closed one */
	ck_assert_int_eq(nlost, 1);
	drop(&run);
}
END_TEST

static const struct {
	struct cx_result end;
	int held;
	bool disk_full;
	enum cx_reason reason;
} ways_to_end[] = {
	{ { .how = CX_EXITED_CODE, .status = 0 }, 0, true, CX_REASON_EXITED },
	{ { .how = CX_EXITED_CODE, .status = 1 }, 1, false, CX_REASON_EXITED },
	{ { .how = CX_EXITED_CODE, .status = 1 }, 1, true, CX_REASON_DISK_FULL },
	{ { .how = CX_EXITED_SIGNAL, .status = SIGBUS }, 1, true, CX_REASON_DISK_FULL },
	{ { .how = CX_EXITED_SIGNAL, .status = SIGKILL }, 1, true, CX_REASON_SIGNALLED },
};

START_TEST(a_bad_end_can_be_kept_back)
{
	struct run run, other;
	uint32_t r = begin(&run);

	hold_ends = true;
	say(started, r, .pid = 7);
	say(exited, r, .how = ways_to_end[_i].end.how, .status = ways_to_end[_i].end.status);
	ck_assert_int_eq(nheld, ways_to_end[_i].held);
	ck_assert_int_eq(nused, 2); /* its begin and its end */
	ck_assert_int_eq(run.ended, !ways_to_end[_i].held);
	ck_assert(cx_session_busy(session) == (ways_to_end[_i].held == 1));
	(void)begin(&other);
	cx_session_release(session, 1, ways_to_end[_i].disk_full);
	ck_assert_int_eq(run.ended, !ways_to_end[_i].held);
	cx_session_release(session, 2, ways_to_end[_i].disk_full);
	ck_assert_int_eq(run.ended, 1);
	ck_assert_uint_eq(run.end.status, ways_to_end[_i].end.status);
	ck_assert_int_eq(run.end.reason, ways_to_end[_i].reason);
	ck_assert_int_eq(other.ended, 0);
	drop(&run);
	drop(&other);
}
END_TEST

enum { OF_GONE, OF_LIVING, OF_NONE, NOT_SENT, WITNESSES };

/* A pidfd of a child that has ended with status 3, or by signal 9; of one that lives; or no pidfd.
 */
static int witness(int what, bool killed, pid_t *ret_living)
{
	pid_t pid = what == OF_GONE || what == OF_LIVING ? fork() : -1;
	int fd;

	if (pid == 0 && what == OF_GONE && !killed)
		_exit(3);
	while (pid == 0)
		(void)pause();
	if (what == NOT_SENT)
		return -1;
	fd = what == OF_NONE ? open("/dev/null", O_RDONLY | O_CLOEXEC)
			     : (int)syscall(SYS_pidfd_open, pid, 0);
	ck_assert_int_ge(fd, 0);
	if (killed)
		(void)kill(pid, SIGKILL);
	if (what == OF_GONE)
		ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
	*ret_living = what == OF_LIVING ? pid : 0;
	return fd;
}

/* Linux 6.15 and later tell who holds a pidfd how its process ended. */
static bool kernel_tells(void)
{
	unsigned major = 0, minor = 0;
	struct utsname host;

	ck_assert_int_eq(uname(&host), 0);
	ck_assert_int_eq(sscanf(host.release, "%u.%u", &major, &minor), 2);
	return major > 6 || (major == 6 && minor >= 15);
}

/* What is written to stderr from here until listened(), up to what a pipe holds. */
static int listen_to_log(int *ret_stderr)
{
	int p[2];

	ck_assert_int_eq(pipe(p), 0);
	*ret_stderr = dup(STDERR_FILENO);
	ck_assert_int_ge(dup2(p[1], STDERR_FILENO), 0);
	(void)close(p[1]);
	return p[0];
}

static void listened(int fd, int saved, char *ret, size_t size)
{
	ssize_t n;

	ck_assert_int_ge(dup2(saved, STDERR_FILENO), 0);
	(void)close(saved);
	n = cx_read_upto(fd, ret, size - 1, &err);
	ck_assert_int_ge(n, 0);
	ret[n] = '\0';
	(void)close(fd);
}

/* What the agent says of an end counts only where the kernel does not tell. */
START_TEST(the_kernel_is_asked_how_a_command_ended)
{
	static const uint8_t fine[40] = { 0 };
	bool killed = _i == WITNESSES, known = (_i == OF_GONE || killed) && kernel_tells();
	struct run run;
	uint32_t r = begin(&run);
	pid_t living = 0;
	int fd = witness(killed ? OF_GONE : _i, killed, &living), saved, log;
	char logged[1024];

	say(started, r, .pid = 7);
	log = listen_to_log(&saved);
	say_raw(CX_MSG_exited, r, fine, sizeof fine, fd);
	listened(log, saved, logged, sizeof logged);
	if (known)
		ck_assert_ptr_nonnull(strstr(logged, "told another end than the kernel "
						     "id=abcdefghijkl exec=cafe pid=7\n"));
	else
		ck_assert_str_eq(logged, "");
	ck_assert_int_eq(run.ended, 1);
	ck_assert_str_eq(run.end.exit_source, known ? "kernel" : "agent");
	ck_assert_int_eq(run.end.how, known && killed ? CX_EXITED_SIGNAL : CX_EXITED_CODE);
	ck_assert_uint_eq(run.end.status, !known ? 0 : killed ? SIGKILL : 3);
	ck_assert_int_eq(run.end.reason, known && killed ? CX_REASON_SIGNALLED : CX_REASON_EXITED);
	(void)close(fd);
	if (living > 0) {
		(void)kill(living, SIGKILL);
		ck_assert_int_eq(waitpid(living, NULL, 0), living);
	}
	drop(&run);
}
END_TEST

static const struct {
	uint32_t how, status;
	enum cx_reason sandbox, command;
} last_words[] = {
	{ CX_EXITED_SIGNAL, SIGKILL, CX_REASON_OOM, CX_REASON_OOM },
	{ CX_EXITED_CODE, 137, CX_REASON_OOM, CX_REASON_OOM },
	{ CX_EXITED_SIGNAL, SIGKILL, CX_REASON_SANDBOX_STOPPED, CX_REASON_SANDBOX_STOPPED },
	{ CX_EXITED_CODE, 3, CX_REASON_SANDBOX_STOPPED, CX_REASON_EXITED },
};

START_TEST(a_kept_end_gives_way_to_a_better_reason)
{
	struct run run;
	uint32_t r = begin(&run);
	struct cx_err why;

	hold_ends = true;
	say(started, r, .pid = 7);
	say(exited, r, .how = last_words[_i].how, .status = last_words[_i].status);
	(void)cx_refuse(&why, CX_CONFLICT, "it ran out of memory");
	cx_session_fail(session, last_words[_i].sandbox, &why);
	ck_assert_int_eq(run.ended, 1);
	ck_assert_int_eq(run.why.kind, CX_CONFLICT);
	ck_assert(run.has_end && !run.end.unseen);
	ck_assert_int_eq(run.end.reason, last_words[_i].command);
	drop(&run);
}
END_TEST

START_TEST(a_command_that_nobody_saw_end_says_so)
{
	struct run begun, waits;
	uint32_t r = begin(&begun);
	struct cx_err why;

	say(started, r, .pid = 7);
	(void)begin(&waits);
	(void)cx_refuse(&why, CX_CONFLICT, "its time is over");
	cx_session_fail(session, CX_REASON_SANDBOX_STOPPED, &why);
	ck_assert(begun.has_end && begun.end.unseen);
	ck_assert_int_eq(begun.end.reason, CX_REASON_SANDBOX_STOPPED);
	ck_assert(!waits.has_end);
	ck_assert_int_eq(waits.why.kind, CX_CONFLICT);
	drop(&begun);
	drop(&waits);
}
END_TEST

START_TEST(a_session_that_gives_up_still_asks)
{
	struct ask state = new_ask(), log = new_ask();
	struct run run;
	uint32_t r = begin(&run), m;
	struct cx_err why;

	say(started, r, .pid = 7);
	ck_assert_int_eq(cx_session_main(session, &state.call, &err), 0);
	m = hear(CX_MSG_main_status);
	(void)cx_refuse(&why, CX_CONFLICT, "its time is over");
	cx_session_give_up(session, CX_REASON_SANDBOX_STOPPED, &why);
	ck_assert_int_eq(run.ended, 1);
	ck_assert_int_eq(run.why.kind, CX_CONFLICT);
	ck_assert_int_eq(state.done, 1);
	ck_assert(!cx_session_busy(session));
	ck_assert_int_eq(cx_session_log(session, 0, 10, &log.call, &err), 0);
	say(exited, r, .how = CX_EXITED_SIGNAL, .status = SIGKILL); /* late, and known */
	say(main_state, m, .state = CX_MAIN_NONE);
	ck_assert_int_eq(nlost, 0);
	say(log_data, hear(CX_MSG_log_read), .end = 0);
	ck_assert_int_eq(log.done, 1);
	drop(&run);
}
END_TEST

START_TEST(noise_is_no_packet)
{
	unsigned seed = (unsigned)_i;
	uint8_t bytes[64];

	for (size_t i = 0; i < sizeof bytes; i++)
		bytes[i] = (uint8_t)rand_r(&seed);
	ck_assert_int_eq(send(agent, bytes, 1 + (size_t)_i % sizeof bytes, MSG_NOSIGNAL),
			 1 + _i % (int)sizeof bytes);
	spin();
	ck_assert_int_eq(nlost, 1);
}
END_TEST

/* ---- an agent that does not answer ---- */

START_TEST(no_hello_in_time)
{
	skipped_s = CX_SESSION_HELLO_MS / 1000 - 2;
	spin();
	ck_assert_int_eq(nlost, 0);
	skipped_s += 4;
	spin();
	ck_assert_int_eq(nlost, 1);
	ck_assert_int_eq(lost_why.kind, CX_TIMEOUT);
}
END_TEST

START_TEST(no_answer_in_time)
{
	struct ask state = new_ask(), next = new_ask();
	uint32_t m;

	ck_assert_int_eq(cx_session_main(session, &state.call, &err), 0);
	m = hear(CX_MSG_main_status);
	skipped_s = CX_SESSION_ANSWER_MS / 1000 + 1;
	spin();
	ck_assert_int_eq(state.done, 1);
	ck_assert_int_eq(state.why.kind, CX_TIMEOUT);
	ck_assert_int_eq(nlost, 0);
	say(main_state, m, .state = CX_MAIN_NONE); /* late, and known to be late */
	ck_assert_int_eq(state.done, 1);
	ck_assert_int_eq(nlost, 0);
	ck_assert_int_eq(cx_session_main(session, &next.call, &err), 0);
	ck_assert_uint_ne(hear(CX_MSG_main_status), m);
	cx_call_forget(&next.call);
}
END_TEST

START_TEST(a_late_start_is_killed)
{
	struct run run;
	uint32_t r = begin(&run);
	struct cx_msg_exec_signal m;

	skipped_s = CX_SESSION_ANSWER_MS / 1000 + 1;
	spin();
	ck_assert_int_eq(run.ended, 1);
	say(started, r, .pid = 7);
	ck_assert_int_eq(run.started, 0);
	ck_assert_int_eq(cx_packet_recv(agent, &heard, &err), 1);
	ck_assert(heard.type == CX_MSG_exec_signal && cx_msg_exec_signal_get(&heard.body, &m));
	ck_assert_uint_eq(m.exec, r);
	ck_assert_uint_eq(m.signo, SIGKILL);
	say(exited, r, .status = 0);
	ck_assert_int_eq(nlost, 0);
	drop(&run);
}
END_TEST

START_TEST(a_timeout_that_the_agent_ignores)
{
	struct run run;
	uint32_t r = begin(&run);

	say(started, r, .pid = 7);
	skipped_s = CX_SESSION_ANSWER_MS / 1000;
	spin();
	ck_assert_int_eq(run.ended, 0);
	skipped_s += 3;
	spin();
	ck_assert_int_eq(run.ended, 1);
	ck_assert_int_eq(run.why.kind, CX_TIMEOUT);
	(void)hear(CX_MSG_exec_signal);
	drop(&run);
}
END_TEST

static struct ask asks[CX_SESSION_PENDING_MAX + 1];

START_TEST(an_agent_that_does_not_read_costs_a_bounded_amount)
{
	int n = 0;

	while (n <= CX_SESSION_PENDING_MAX) {
		asks[n] = new_ask();
		if (cx_session_main(session, &asks[n].call, &err) < 0)
			break;
		n++;
	}
	ck_assert_int_eq(n, CX_SESSION_PENDING_MAX);
	ck_assert_int_eq(err.kind, CX_LIMIT);
	spin();
	for (int i = 0; i < n; i++) {
		say(main_state, hear(CX_MSG_main_status), .state = CX_MAIN_NONE);
		ck_assert_int_eq(asks[i].done, 1);
	}
}
END_TEST

static char big[CX_PACKET_MAX];

START_TEST(queued_bytes_are_bounded)
{
	struct cx_msg_configure m = { .env = { .p = big, .len = 131072 } };
	int n = 0;

	while (n < 100) {
		asks[n] = new_ask();
		if (cx_session_configure(session, &m, &asks[n].call, &err) < 0)
			break;
		n++;
	}
	ck_assert_int_gt(n, 10);
	ck_assert_int_lt(n, 40);
	ck_assert_int_eq(err.kind, CX_LIMIT);
}
END_TEST

START_TEST(what_does_not_fit_is_refused)
{
	struct cx_msg_exec m = { .argv = { .p = big, .len = 131072 },
				 .env = { .p = big, .len = 65536 } };
	struct run run = { .exec = { .started = on_started, .ended = on_ended } };

	ck_assert_int_eq(cx_pipes_open(&run.pipes, &err), 0);
	ck_assert_int_eq(cx_session_exec(session, &m, &run.pipes, &run.exec, &err), -EINVAL);
	ck_assert_int_eq(run.pipes.theirs[2], -EBADF);
	ck_assert(!cx_exec_pending(&run.exec));
	cx_pipes_close(&run.pipes);
	ck_assert_int_eq(cx_pipes_open_tty(&run.pipes, &err), 0);
	ck_assert_int_eq(cx_session_exec(session, &plan, &run.pipes, &run.exec, &err), -EINVAL);
	cx_pipes_close(&run.pipes);
	m = (struct cx_msg_exec){ .argv = { .p = "a", .len = 1 } };
	ck_assert_int_eq(cx_pipes_open(&run.pipes, &err), 0);
	ck_assert_int_eq(cx_session_exec(session, &m, &run.pipes, &run.exec, &err), -EINVAL);
	cx_pipes_close(&run.pipes);
}
END_TEST

/* ---- pipes ---- */

START_TEST(pipes_are_as_promised)
{
	struct cx_pipes p;
	struct stat st;
	char byte;

	ck_assert_int_eq(cx_pipes_open(&p, &err), 0);
	ck_assert_uint_eq(p.ntheirs, 3);
	for (int i = 0; i < 3; i++) {
		ck_assert((fcntl(p.ours[i], F_GETFL) & O_NONBLOCK) != 0);
		ck_assert((fcntl(p.theirs[i], F_GETFL) & O_NONBLOCK) == 0);
		ck_assert((fcntl(p.ours[i], F_GETFD) & FD_CLOEXEC) != 0);
		ck_assert((fcntl(p.theirs[i], F_GETFD) & FD_CLOEXEC) != 0);
		ck_assert_int_eq(fstat(p.theirs[i], &st), 0);
		ck_assert_uint_eq(st.st_mode & 0777, 0666);
	}
	ck_assert_int_eq(write(p.ours[0], "i", 1), 1);
	ck_assert_int_eq(read(p.theirs[0], &byte, 1), 1);
	ck_assert_int_eq(write(p.theirs[2], "e", 1), 1);
	ck_assert_int_eq(read(p.ours[1], &byte, 1), -1);
	ck_assert_int_eq(read(p.ours[2], &byte, 1), 1);
	cx_pipes_close(&p);
	cx_pipes_close(&p);
	ck_assert_int_eq(p.ours[0], -EBADF);
}
END_TEST

/* _i: which of the ways to open them fails. */
START_TEST(pipes_that_were_not_opened_are_closed)
{
	static int (*const ways[])(struct cx_pipes *, struct cx_err *) = { cx_pipes_open,
									   cx_pipes_open_input,
									   cx_pipes_open_tty };
	struct rlimit usual = { 0, 0 }, none;
	struct cx_pipes p = { .ntheirs = 0 }; /* nothing but standard input */

	ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &usual), 0);
	none = usual;
	none.rlim_cur = 0;
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &none), 0);
	ck_assert_int_eq(ways[_i](&p, &err), -EMFILE);
	cx_pipes_close(&p);
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &usual), 0);
	ck_assert_int_ge(fcntl(0, F_GETFD), 0);
}
END_TEST

START_TEST(small_pipes_take_all_input_or_none)
{
	static char text[60000], back[20000];
	struct cx_pipes p;

	ck_assert_int_eq(cx_pipes_open_input(&p, &err), 0);
	ck_assert_int_eq(fcntl(p.ours[0], F_SETPIPE_SZ, 4096), 4096);
	memset(text, 'x', sizeof text);
	ck_assert_msg(cx_pipes_fill(&p, text, sizeof back, &err) == 0, "%s", err.msg);
	ck_assert_int_eq(p.ours[0], -EBADF);
	ck_assert_int_eq(read(p.theirs[0], back, sizeof back), sizeof back);
	ck_assert_int_eq(read(p.theirs[0], back, 1), 0);
	cx_pipes_close(&p);
	ck_assert_int_eq(cx_pipes_open_input(&p, &err), 0);
	ck_assert_int_eq(write(p.ours[0], text, sizeof back), sizeof back); /* no room is left */
	ck_assert_int_lt(cx_pipes_fill(&p, text, sizeof text, &err), 0);
	ck_assert_int_eq(err.kind, CX_LIMIT);
	cx_pipes_close(&p);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("exec/session");
	TCase *fresh = tcase_create("before the hello"), *tc = tcase_create("greeted");

	tcase_add_checked_fixture(fresh, set_up, tear_down);
	tcase_add_checked_fixture(tc, set_up_greeted, tear_down);
	tcase_set_timeout(tc, 60);
	tcase_add_test(fresh, requests_wait_for_the_hello);
	tcase_add_loop_test(fresh, a_wrong_hello_ends_the_session, 0, CX_LEN(hellos));
	tcase_add_test(fresh, no_hello_in_time);
	tcase_add_test(fresh, queued_bytes_are_bounded);
	tcase_add_loop_test(fresh, noise_is_no_packet, 0, 64);
	tcase_add_test(fresh, pipes_are_as_promised);
	tcase_add_loop_test(fresh, pipes_that_were_not_opened_are_closed, 0, 3);
	tcase_add_test(fresh, small_pipes_take_all_input_or_none);
	tcase_add_test(tc, answers_find_their_request);
	tcase_add_test(tc, a_command_starts_and_ends);
	tcase_add_test(tc, a_slot_is_made_ready_behind_the_answer);
	tcase_add_test(tc, a_file_is_moved);
	tcase_add_test(tc, a_cancelled_file_is_killed_and_not_heard_of);
	tcase_add_test(tc, a_connection_is_handed_over);
	tcase_add_loop_test(tc, a_descriptor_that_is_no_connection_is_not_taken, 0, BAD_ENDS);
	tcase_add_test(tc, who_is_forgotten_hears_nothing);
	tcase_add_test(tc, callbacks_may_ask_and_close);
	tcase_add_loop_test(tc, a_lie_ends_the_session, 0, CX_LEN(lies));
	tcase_add_loop_test(tc, what_is_pending_waits_for_the_owner_of_a_lost_session, 0, 2);
	tcase_add_loop_test(tc, a_bad_end_can_be_kept_back, 0, CX_LEN(ways_to_end));
	tcase_add_loop_test(tc, the_kernel_is_asked_how_a_command_ended, 0, WITNESSES + 1);
	tcase_add_loop_test(tc, a_kept_end_gives_way_to_a_better_reason, 0, CX_LEN(last_words));
	tcase_add_test(tc, a_command_that_nobody_saw_end_says_so);
	tcase_add_test(tc, a_session_that_gives_up_still_asks);
	tcase_add_test(tc, closing_in_between_fails_what_waits);
	tcase_add_test(tc, no_answer_in_time);
	tcase_add_test(tc, a_late_start_is_killed);
	tcase_add_test(tc, a_timeout_that_the_agent_ignores);
	tcase_add_test(tc, an_agent_that_does_not_read_costs_a_bounded_amount);
	tcase_add_test(tc, what_does_not_fit_is_refused);
	suite_add_tcase(s, fresh);
	suite_add_tcase(s, tc);
	return run_suite(s);
}
