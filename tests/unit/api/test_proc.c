/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>

#include "check_main.h"

#include "api/proc.h"
#include "base/fd.h"

/* The agent of the sandbox is played by the test; its commands write what the test writes. */
static struct cx_gateway gw;
static struct cx_loop loop;
static struct cx_packet scratch, heard;
static struct cx_session *session;
static struct cx_err err;
static int agent, theirs[3] = { -EBADF, -EBADF, -EBADF };

/* Minutes pass in an instant: the library's clock is this one. */
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

#define say(name, request, ...)                                                                   \
	do {                                                                                      \
		struct cx_msg_##name say_m = { __VA_ARGS__ };                                     \
		ck_assert_int_eq(cx_msg_##name##_send(agent, request, &say_m, NULL, 0, &err), 0); \
		spin();                                                                           \
	} while (0)

static void say_ok(uint32_t request)
{
	static const struct cx_msg_agent_ok ok;

	ck_assert_int_eq(cx_msg_agent_ok_send(agent, request, &ok, NULL, 0, &err), 0);
	spin();
}

static void on_lost(struct cx_session *s, const struct cx_err *why, void *arg)
{
	(void)s;
	(void)why;
	(void)arg;
}

static unsigned on_hold(struct cx_session *s, void *arg)
{
	(void)s;
	(void)arg;
	return 0;
}

static void on_used(struct cx_session *s, void *arg)
{
	(void)s;
	(void)arg;
}

static void set_up(void)
{
	static const struct cx_session_events events = { .lost = on_lost,
							 .hold = on_hold,
							 .used = on_used };
	int pair[2];

	gw = (struct cx_gateway){ .loop = &loop };
	skipped_s = 0;
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
	agent = pair[0];
	ck_assert_int_eq(cx_set_nonblock(agent, true, &err), 0);
	ck_assert_int_eq(cx_loop_open(&loop, &err), 0);
	ck_assert_int_eq(cx_session_open(&loop, &scratch, &pair[1], &events, &session, &err), 0);
	say(agent_hello, 0, .version = 1, .state = CX_AGENT_CLAIMED);
}

/* Every process must be gone by then, or the sanitizers say so. */
static void tear_down(void)
{
	for (unsigned i = 0; i < 3; i++)
		cx_close(&theirs[i]);
	(void)cx_refuse(&err, CX_CONFLICT, "the test is over");
	cx_session_fail(session, CX_REASON_ENGINE_ERROR, &err);
	spin();
	cx_session_close(session);
	skipped_s += 2 * CX_PROC_KEPT_MS / 1000;
	spin();
	ck_assert_ptr_null(gw.processes);
	cx_loop_close(&loop);
	(void)close(agent);
}

/* ---- watchers ----------------------------------------------------------------------------------
 */

struct seen {
	struct cx_proc_watch watch;
	unsigned ready, starts, ends;
	uint32_t pid;
	uint64_t bytes, errors;
	char text[64]; /* the first bytes of stdout */
	struct cx_result end;
	struct cx_err why;
};

static void on_ready(struct cx_proc_watch *watch)
{
	cx_container_of(watch, struct seen, watch)->ready++;
}

static struct seen new_seen(void)
{
	return (struct seen){ .watch.ready = on_ready };
}

static void on_event(const struct cx_proc_event *event, void *arg)
{
	struct seen *seen = arg;

	ck_assert_uint_eq(seen->ends, 0);
	switch (event->kind) {
	case CX_PROC_STARTED:
		ck_assert_uint_eq(seen->starts++, 0);
		ck_assert_uint_eq(seen->bytes + seen->errors, 0);
		seen->pid = event->pid;
		return;
	case CX_PROC_STDOUT:
		for (size_t i = 0; i < event->len; i++)
			if (seen->bytes + i + 1 < sizeof seen->text)
				seen->text[seen->bytes + i] = event->p[i];
		seen->bytes += event->len;
		return;
	case CX_PROC_STDERR:
	case CX_PROC_TERMINAL:
		seen->errors += event->len;
		return;
	case CX_PROC_ENDED:
		seen->end = *event->end;
		break;
	case CX_PROC_FAILED:
		seen->why = *event->err;
		break;
	}
	seen->ends++;
}

static void take_all(struct seen *seen)
{
	while (cx_proc_take(&seen->watch, on_event, seen) == CX_TAKEN_ONE)
		;
}

/* ---- commands ----------------------------------------------------------------------------------
 */

static struct cx_proc_plan new_plan(const char *uuid, const char *word)
{
	struct cx_proc_plan plan = { .input = true };

	plan.spec.argv.max = 1024;
	ck_assert_int_eq(cx_buf_add(&plan.spec.argv, word, strlen(word) + 1, &err), 0);
	plan.spec.cwd = strdup("");
	plan.spec.user = strdup("");
	(void)snprintf(plan.uuid, sizeof plan.uuid, "%s", uuid);
	return plan;
}

static int try_start(const char *uuid, const char *word, struct seen *seen, bool *attached)
{
	CX_AUTO(cx_proc_plan_clear) struct cx_proc_plan plan = new_plan(uuid, word);

	return cx_proc_start(&gw, "box", session, &plan, &seen->watch, attached, &err);
}

/* Plays the agent that starts it: the number of the request, and its ends of the pipes. */
static uint32_t begin(const char *uuid, struct seen *seen)
{
	bool attached = true;

	*seen = new_seen();
	ck_assert_int_eq(try_start(uuid, "cat", seen, &attached), 0);
	ck_assert(!attached);
	ck_assert_int_eq(cx_packet_recv(agent, &heard, &err), 1);
	ck_assert_int_eq(heard.type, CX_MSG_exec);
	ck_assert_uint_eq(heard.nfds, 3);
	for (unsigned i = 0; i < 3; i++) {
		theirs[i] = cx_take_fd(&heard.fds[i]);
		ck_assert_int_eq(cx_set_nonblock(theirs[i], true, &err), 0);
	}
	cx_packet_drop(&heard);
	return heard.request;
}

static uint32_t run(const char *uuid, struct seen *seen)
{
	uint32_t request = begin(uuid, seen);

	say(started, request, .pid = 42);
	return request;
}

static void leave(struct seen *seen)
{
	cx_proc_leave(&seen->watch);
	cx_proc_leave(&seen->watch);
	spin();
}

static unsigned hear_signal(void)
{
	struct cx_msg_exec_signal m;

	if (cx_packet_recv(agent, &heard, &err) != 1)
		return 0;
	ck_assert_int_eq(heard.type, CX_MSG_exec_signal);
	ck_assert(cx_msg_exec_signal_get(&heard.body, &m));
	say_ok(heard.request);
	return m.signo;
}

static size_t fill(int fd, size_t most)
{
	static const char page[4096];
	size_t done = 0;

	for (;;) {
		size_t want = most - done < sizeof page ? most - done : sizeof page;
		ssize_t n = want > 0 ? write(fd, page, want) : 0;

		if (n <= 0)
			return done;
		done += (size_t)n;
		spin();
	}
}

/* ---- tests -------------------------------------------------------------------------------------
 */

START_TEST(events_come_in_order)
{
	struct seen seen;
	uint32_t request = begin("", &seen);

	ck_assert_int_eq(write(theirs[1], "early", 5), 5); /* before anybody heard of its start */
	spin();
	take_all(&seen);
	ck_assert_uint_eq(seen.starts + seen.bytes, 0);
	say(started, request, .pid = 42);
	ck_assert_int_eq(write(theirs[2], "err", 3), 3);
	say(exited, request, .how = CX_EXITED_CODE, .status = 3);
	ck_assert_uint_gt(seen.ready, 0);
	take_all(&seen);
	ck_assert_uint_eq(seen.pid, 42);
	ck_assert_str_eq(seen.text, "early");
	ck_assert_uint_eq(seen.errors, 3);
	ck_assert_uint_eq(seen.ends, 1);
	ck_assert_uint_eq(seen.end.status, 3);
	ck_assert_int_eq(cx_proc_take(&seen.watch, on_event, &seen), CX_TAKEN_LAST);
	leave(&seen);
}
END_TEST

/* The pipes are still open: children have them. What they write is not the command's. */
START_TEST(the_end_is_that_of_the_first_process)
{
	struct seen seen;
	uint32_t request = run("", &seen);

	ck_assert_int_eq(write(theirs[1], "its own", 7), 7);
	say(exited, request, .how = CX_EXITED_CODE);
	take_all(&seen);
	ck_assert_uint_eq(seen.ends, 1);
	ck_assert_str_eq(seen.text, "its own");
	ck_assert_uint_eq(gw.leftovers.n, 2);
	ck_assert_int_eq(write(theirs[1], "late", 4), 4);
	leave(&seen);
	cx_close(&theirs[1]);
	cx_close(&theirs[2]);
	spin();
	skipped_s++;
	spin();
	ck_assert_uint_eq(gw.leftovers.n, 0);
}
END_TEST

START_TEST(a_plain_command_goes_with_its_last_watcher)
{
	struct cx_proc *process;
	struct seen one, two = new_seen();
	uint32_t request = run("", &one);

	ck_assert_int_eq(cx_proc_find(&gw, "box", NULL, 42, &process, &err), 0);
	ck_assert_int_eq(cx_proc_watch(process, &two.watch, &err), 0);
	leave(&one);
	ck_assert_uint_eq(hear_signal(), 0);
	leave(&two);
	ck_assert_uint_eq(hear_signal(), SIGKILL);
	ck_assert_int_lt(cx_proc_find(&gw, "box", NULL, 42, &process, &err), 0);
	say(exited, request, .how = CX_EXITED_SIGNAL, .status = SIGKILL);
}
END_TEST

START_TEST(a_live_process_is_attached_to)
{
	struct seen first, second = new_seen(), third = new_seen();
	uint32_t request = run("me", &first);
	bool attached = false;

	ck_assert_int_eq(write(theirs[1], "one", 3), 3);
	spin();
	take_all(&first);
	leave(&first);
	ck_assert_uint_eq(hear_signal(), 0); /* it goes on */
	ck_assert_int_eq(write(theirs[1], "two", 3), 3);
	spin();
	ck_assert_int_lt(try_start("me", "other", &second, &attached), 0);
	ck_assert_int_eq(err.kind, CX_CONFLICT);
	ck_assert_int_eq(try_start("me", "cat", &second, &attached), 0);
	ck_assert(attached);
	take_all(&second);
	ck_assert_uint_eq(second.pid, 42);
	ck_assert_str_eq(second.text, "two"); /* what nobody had taken */
	say(exited, request, .how = CX_EXITED_CODE, .status = 5);
	take_all(&second);
	ck_assert_uint_eq(second.end.status, 5);
	leave(&second);
	ck_assert_int_eq(try_start("me", "cat", &third, &attached), 0);
	take_all(&third);
	ck_assert_uint_eq(third.starts, 1);
	ck_assert_uint_eq(third.end.status, 5);
	ck_assert_uint_eq(third.bytes, 0);
	leave(&third);
}
END_TEST

START_TEST(an_end_is_kept_for_a_while)
{
	struct cx_proc *process;
	struct seen seen;
	uint32_t request = run("me", &seen);

	leave(&seen);
	say(exited, request, .how = CX_EXITED_CODE);
	skipped_s += CX_PROC_KEPT_MS / 1000 - 5;
	spin();
	ck_assert_int_eq(cx_proc_find(&gw, "box", "me", 0, &process, &err), 0);
	ck_assert_int_lt(cx_proc_find(&gw, "other", "me", 0, &process, &err), 0);
	ck_assert_int_eq(err.kind, CX_NOT_FOUND);
	skipped_s += 10;
	spin();
	ck_assert_int_lt(cx_proc_find(&gw, "box", "me", 0, &process, &err), 0);
}
END_TEST

START_TEST(a_failed_start_is_not_kept)
{
	struct cx_proc *process;
	struct seen seen;
	uint32_t request = begin("me", &seen);

	say(agent_error, request, .kind = CX_NOT_FOUND, .text = cx_str_of("no such program"));
	take_all(&seen);
	ck_assert_uint_eq(seen.ends, 1);
	ck_assert_int_eq(seen.why.kind, CX_NOT_FOUND);
	ck_assert_uint_eq(seen.starts, 0);
	ck_assert_int_lt(cx_proc_find(&gw, "box", "me", 0, &process, &err), 0);
	leave(&seen);
}
END_TEST

START_TEST(who_is_slow_makes_the_command_wait)
{
	struct seen seen;
	uint32_t request = run("", &seen);
	size_t written = fill(theirs[1], 16 << 20), more;

	ck_assert_uint_ge(written, CX_PROC_HELD_MAX);
	ck_assert_uint_lt(written, 2 * CX_PROC_HELD_MAX); /* and what the pipe holds */
	take_all(&seen);
	more = fill(theirs[1], 16 << 20);
	ck_assert_uint_gt(more, 0);
	say(exited, request, .how = CX_EXITED_CODE);
	do {
		take_all(&seen);
		spin();
	} while (seen.ends == 0);
	ck_assert_uint_eq(seen.bytes, written + more);
	leave(&seen);
}
END_TEST

START_TEST(unwatched_it_goes_on_and_the_newest_is_held)
{
	struct seen seen, next = new_seen();
	uint32_t request = run("me", &seen);
	bool attached;

	leave(&seen);
	ck_assert_uint_eq(fill(theirs[1], 2 << 20), 2 << 20);
	ck_assert_int_eq(write(theirs[1], "last", 4), 4);
	spin();
	ck_assert_int_eq(try_start("me", "cat", &next, &attached), 0);
	take_all(&next);
	ck_assert_uint_gt(next.bytes, CX_PROC_HELD_MAX / 2);
	ck_assert_uint_le(next.bytes, CX_PROC_HELD_MAX + CX_PROC_PIECE_MAX);
	say(exited, request, .how = CX_EXITED_CODE);
	leave(&next);
}
END_TEST

START_TEST(patience_has_an_end_when_others_wait)
{
	struct seen slow, quick = new_seen();
	uint32_t request = run("me", &slow);
	bool attached;

	ck_assert_int_eq(try_start("me", "cat", &quick, &attached), 0);
	(void)fill(theirs[1], 16 << 20);
	take_all(&quick);
	spin();
	take_all(&slow);
	ck_assert_uint_eq(slow.ends, 0); /* just in time */
	(void)fill(theirs[1], 16 << 20);
	take_all(&quick);
	(void)fill(theirs[1], 16 << 20);
	take_all(&quick);
	skipped_s += CX_PROC_PATIENCE_MS / 1000 + 1;
	spin();
	ck_assert_uint_gt(fill(theirs[1], 1 << 20), 0);
	take_all(&slow);
	ck_assert_int_eq(slow.why.kind, CX_UNAVAILABLE);
	leave(&slow);
	take_all(&quick);
	ck_assert_uint_eq(quick.ends, 0);
	say(exited, request, .how = CX_EXITED_CODE);
	leave(&quick);
}
END_TEST

/* ---- input and signals -------------------------------------------------------------------------
 */

struct sending {
	struct cx_proc_sender sender;
	unsigned done;
	int kind; /* of the refusal, or -1 */
};

static void on_done(struct cx_proc_sender *sender, const struct cx_err *why)
{
	struct sending *sending = cx_container_of(sender, struct sending, sender);

	sending->done++;
	sending->kind = why != NULL ? why->kind : -1;
}

static struct sending new_sending(const char *p, size_t len, const char *uuid)
{
	return (struct sending){ .sender = { .done = on_done, .p = p, .len = len, .uuid = uuid } };
}

static struct cx_proc *me(void)
{
	struct cx_proc *process = NULL;

	ck_assert_int_eq(cx_proc_find(&gw, "box", "me", 0, &process, &err), 0);
	return process;
}

START_TEST(input_comes_once)
{
	struct sending one = new_sending("one\n", 4, "id"), two = new_sending("two\n", 4, "");
	struct seen seen;
	uint32_t request = run("me", &seen);
	char text[64];

	ck_assert_int_eq(cx_proc_send(me(), &one.sender, &err), 1);
	ck_assert_int_eq(cx_proc_send(me(), &one.sender, &err), 1);
	ck_assert_int_eq(cx_proc_send(me(), &two.sender, &err), 1);
	ck_assert_int_eq(cx_proc_send(me(), &one.sender, &err), 1);
	spin();
	ck_assert_int_eq(read(theirs[0], text, sizeof text), 8);
	ck_assert_mem_eq(text, "one\ntwo\n", 8);
	say(exited, request, .how = CX_EXITED_CODE);
	ck_assert_int_eq(cx_proc_send(me(), &one.sender, &err), 1);
	ck_assert_int_lt(cx_proc_send(me(), &two.sender, &err), 0);
	ck_assert_int_eq(err.kind, CX_CONFLICT);
	leave(&seen);
}
END_TEST

START_TEST(input_waits_for_room)
{
	static const char block[CX_PROC_INPUT_MAX + 65536], part[] = "x";
	struct sending first = new_sending(block, sizeof block, "");
	struct sending waiting[CX_PROC_SENDERS_MAX + 1];
	struct seen seen;
	uint32_t request = run("me", &seen);
	char text[4096];
	size_t bytes = 0;
	ssize_t n;

	ck_assert_int_eq(cx_proc_send(me(), &first.sender, &err), 1);
	for (unsigned i = 0; i < CX_PROC_SENDERS_MAX; i++) {
		waiting[i] = new_sending(part, 1, "");
		ck_assert_int_eq(cx_proc_send(me(), &waiting[i].sender, &err), 0);
	}
	ck_assert_int_lt(cx_proc_send(me(), &first.sender, &err), 0);
	ck_assert_int_eq(err.kind, CX_UNAVAILABLE);
	cx_proc_sender_forget(&waiting[3].sender);
	cx_proc_sender_forget(&waiting[3].sender);
	for (unsigned i = 0; i < 400; i++) {
		while ((n = read(theirs[0], text, sizeof text)) > 0)
			bytes += (size_t)n;
		spin();
	}
	ck_assert_uint_eq(bytes, sizeof block + CX_PROC_SENDERS_MAX - 1);
	for (unsigned i = 0; i < CX_PROC_SENDERS_MAX; i++) {
		ck_assert_uint_eq(waiting[i].done, i != 3);
		ck_assert_int_eq(waiting[i].kind, i != 3 ? -1 : 0);
	}
	say(exited, request, .how = CX_EXITED_CODE);
	leave(&seen);
}
END_TEST

START_TEST(who_waits_hears_of_the_end)
{
	static const char block[CX_PROC_INPUT_MAX + 65536];
	struct sending first = new_sending(block, sizeof block, "");
	struct sending second = new_sending(block, 1, "");
	struct seen seen;
	uint32_t request = run("me", &seen);

	ck_assert_int_eq(cx_proc_send(me(), &first.sender, &err), 1);
	ck_assert_int_eq(cx_proc_send(me(), &second.sender, &err), 0);
	say(exited, request, .how = CX_EXITED_CODE);
	ck_assert_uint_eq(second.done, 1);
	ck_assert_int_eq(second.kind, CX_CONFLICT);
	leave(&seen);
}
END_TEST

START_TEST(signals_come_once)
{
	char long_uuid[CX_PROC_UUID_MAX + 2];
	struct seen seen;
	uint32_t request = run("me", &seen);

	ck_assert_int_eq(cx_proc_signal(me(), SIGTERM, "id", &err), 0);
	ck_assert_int_eq(cx_proc_signal(me(), SIGTERM, "id", &err), 0);
	spin();
	ck_assert_uint_eq(hear_signal(), SIGTERM);
	ck_assert_uint_eq(hear_signal(), 0);
	ck_assert_int_eq(cx_proc_signal(me(), SIGKILL, "", &err), 0);
	spin();
	ck_assert_uint_eq(hear_signal(), SIGKILL);
	memset(long_uuid, 'x', sizeof long_uuid - 1);
	long_uuid[sizeof long_uuid - 1] = '\0';
	ck_assert_int_lt(cx_proc_signal(me(), SIGKILL, long_uuid, &err), 0);
	say(exited, request, .how = CX_EXITED_SIGNAL, .status = SIGKILL);
	ck_assert_int_eq(cx_proc_signal(me(), SIGKILL, "", &err), 0); /* means nothing */
	leave(&seen);
}
END_TEST

START_TEST(the_sandbox_ends)
{
	struct seen seen, live;
	struct cx_err why;

	(void)run("", &seen);
	for (unsigned i = 0; i < 3; i++)
		cx_close(&theirs[i]);
	(void)run("me", &live);
	(void)cx_refuse(&why, CX_CONFLICT, "the sandbox has ended");
	cx_session_fail(session, CX_REASON_SANDBOX_STOPPED, &why);
	spin();
	take_all(&seen);
	take_all(&live);
	ck_assert_int_eq(seen.why.kind, CX_CONFLICT);
	ck_assert_int_eq(live.why.kind, CX_CONFLICT);
	ck_assert_ptr_null(gw.processes);
	leave(&seen);
	leave(&live);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("api/proc");
	TCase *tc = tcase_create("proc");

	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_set_timeout(tc, 60);
	tcase_add_test(tc, events_come_in_order);
	tcase_add_test(tc, the_end_is_that_of_the_first_process);
	tcase_add_test(tc, a_plain_command_goes_with_its_last_watcher);
	tcase_add_test(tc, a_live_process_is_attached_to);
	tcase_add_test(tc, an_end_is_kept_for_a_while);
	tcase_add_test(tc, a_failed_start_is_not_kept);
	tcase_add_test(tc, who_is_slow_makes_the_command_wait);
	tcase_add_test(tc, unwatched_it_goes_on_and_the_newest_is_held);
	tcase_add_test(tc, patience_has_an_end_when_others_wait);
	tcase_add_test(tc, input_comes_once);
	tcase_add_test(tc, input_waits_for_room);
	tcase_add_test(tc, who_waits_hears_of_the_end);
	tcase_add_test(tc, signals_come_once);
	tcase_add_test(tc, the_sandbox_ends);
	suite_add_tcase(suite, tc);
	return run_suite(suite);
}
