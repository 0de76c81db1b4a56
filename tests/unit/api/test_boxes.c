/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The life of a sandbox in the gateway, with a caissond and an agent that the test plays: whatever
 * ends it, the row in the database says so before anybody is told.
 */
#include "api/boxes.h"

#include <fcntl.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "api/metrics.h"
#include "api/store_inner.h"
#include "base/fd.h"
#include "check_main.h"
#include "image/oci.h"

static char top[] = "/tmp/caisson-boxes-XXXXXX";
static struct cx_gateway gw;
static struct cx_metrics metrics;
static struct cx_loop loop;
static struct cx_packet *scratch, *heard;
static struct cx_err err;
static int caissond, agent;
static char id[33];
static bool no_memory; /* for texts */

/* In place of libc's. */
char *strdup(const char *text)
{
	size_t size = strlen(text) + 1;
	char *copy = no_memory ? NULL : malloc(size);

	return copy != NULL ? memcpy(copy, text, size) : NULL;
}

/* ---- the two others -------------------------------------------------------------------------- */

static void stop(struct cx_timer *timer)
{
	(void)timer;
	loop.stop = true;
}

static void spin(uint64_t ms)
{
	struct cx_timer soon = { .fire = stop };

	loop.stop = false;
	cx_timer_set(&loop, &soon, ms);
	ck_assert_int_eq(cx_loop_run(&loop, &err), 0);
	cx_timer_clear(&soon);
}

static uint32_t hear(int sock, uint16_t type)
{
	int r = cx_packet_recv(sock, heard, &err);

	ck_assert_msg(r == 1, "message %#x: %d", type, r);
	ck_assert_uint_eq(heard->type, type);
	cx_packet_drop(heard);
	return heard->request;
}

static bool is_silent(int sock)
{
	return cx_packet_recv(sock, heard, &err) == -EAGAIN;
}

#define say(sock, name, request, fds, nfds, ...)                                                   \
	do {                                                                                       \
		struct cx_msg_##name say_m = { __VA_ARGS__ };                                      \
		ck_assert_int_eq(cx_msg_##name##_send(sock, request, &say_m, fds, nfds, &err), 0); \
		spin(10);                                                                          \
	} while (0)
#define say_only(sock, name, request, fds, nfds)                                                   \
	do {                                                                                       \
		static const struct cx_msg_##name say_m;                                           \
		ck_assert_int_eq(cx_msg_##name##_send(sock, request, &say_m, fds, nfds, &err), 0); \
		spin(10);                                                                          \
	} while (0)
#define caissond_says(name, request, ...) say(caissond, name, request, NULL, 0, __VA_ARGS__)
#define agent_says(name, request, ...)	  say(agent, name, request, NULL, 0, __VA_ARGS__)

static void on_ended(void *arg, const char *name, enum cx_end reason)
{
	cx_boxes_ended(arg, name, reason);
}

static void on_oom(void *arg, const char *name)
{
	cx_boxes_oom(arg, name);
}

static void on_oom_report(void *arg, const char *name, const struct cx_msg_oom_report *report)
{
	cx_boxes_oom_report(arg, name, report);
}

static void on_lost(void *arg, const struct cx_err *why)
{
	(void)arg;
	ck_abort_msg("caissond lost: %s", why->msg);
}

static void put_image(void)
{
	struct cx_layer_row layer = { .size_bytes = 1, .blob_bytes = 1, .media_type = "tar" };
	struct cx_image_row image = { .name = (char *)(uintptr_t) "img:latest",
				      .manifest_type = (char *)(uintptr_t) "type",
				      .platform = (char *)(uintptr_t)CX_OCI_HOST_PLATFORM,
				      .config = (char *)(uintptr_t) "{}",
				      .layers = &layer,
				      .nlayers = 1 };

	memset(layer.diff_id, 7, sizeof layer.diff_id);
	ck_assert_int_eq(cx_store_layer_note(gw.store, &layer, &err), 0);
	ck_assert_int_eq(cx_store_image_put(gw.store, &image, &err), 0);
}

static void begin(void)
{
	struct cx_engine_events events = { .ended = on_ended,
					   .oom_report = on_oom_report,
					   .oom = on_oom,
					   .lost = on_lost,
					   .arg = &gw };
	int pair[2];
	char path[64];

	(void)strcpy(top + sizeof top - 7, "XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(top));
	(void)snprintf(path, sizeof path, "%s/state.db", top);
	scratch = malloc(sizeof *scratch);
	heard = malloc(sizeof *heard);
	gw = (struct cx_gateway){ .loop = &loop,
				  .scratch = scratch,
				  .metrics = &metrics,
				  .host = { .cpus = 4, .memory_bytes = (uint64_t)8 << 30 } };
	ck_assert_int_eq(cx_metrics_open(&metrics, &err), 0);
	ck_assert_int_eq(cx_loop_open(&loop, &err), 0);
	ck_assert_msg(cx_store_open(path, &gw.store, &err) == 0, "%s", err.msg);
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
	caissond = pair[1];
	agent = -EBADF;
	ck_assert_int_eq(cx_set_nonblock(caissond, true, &err), 0);
	ck_assert_int_eq(cx_engine_open(&loop, scratch, &pair[0], &events, &gw.engine, &err), 0);
	put_image();
}

static void end(void)
{
	char command[64];

	cx_close(&caissond);
	cx_close(&agent);
	cx_engine_close(gw.engine);
	cx_store_close(gw.store);
	cx_metrics_close(&metrics);
	cx_loop_close(&loop);
	free(scratch);
	free(heard);
	(void)snprintf(command, sizeof command, "rm -rf %s", top);
	ck_assert_int_eq(system(command), 0);
}

/* ---- a sandbox ------------------------------------------------------------------------------- */

struct told {
	struct cx_box_waiter waiter;
	int n;
	char status[16];
	struct cx_err why;
};

static void on_told(struct cx_box_waiter *waiter, const struct cx_sandbox_row *row,
		    const struct cx_err *why)
{
	struct told *told = cx_container_of(waiter, struct told, waiter);

	told->n++;
	if (why != NULL)
		told->why = *why;
	else
		(void)snprintf(told->status, sizeof told->status, "%s", row->status);
}

static struct told new_told(void)
{
	return (struct told){ .waiter.done = on_told };
}

static void take_agent(int *ret_theirs)
{
	int pair[2];

	cx_close(&agent);
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
	agent = pair[0];
	ck_assert_int_eq(cx_set_nonblock(agent, true, &err), 0);
	*ret_theirs = pair[1];
}

/* Running, with more fields of its request. */
static struct cx_box *make_plain(const char *fields)
{
	struct told told = new_told();
	struct cx_spec spec = { 0 };
	char body[256];
	int theirs;

	(void)snprintf(body, sizeof body, "{\"name\":\"n\",\"docker_image\":\"img\"%s}", fields);
	ck_assert_msg(cx_spec_parse(body, strlen(body), &gw.host, &spec, &err) == 0, "%s", err.msg);
	spec.row.user_id = strdup(CX_ADMIN_USER);
	ck_assert_msg(cx_box_create(&gw, &spec, &told.waiter, &err) == 0, "%s", err.msg);
	cx_spec_clear(&spec);
	take_agent(&theirs);
	(void)snprintf(id, sizeof id, "abcdefghijkl");
	say(caissond, created, hear(caissond, CX_MSG_create), &theirs, 1, .id = cx_str_of(id));
	cx_close(&theirs);
	agent_says(agent_hello, 0, .version = 1, .state = CX_AGENT_CLAIMED);
	ck_assert_int_eq(told.n, 0);
	say_only(agent, agent_ok, hear(agent, CX_MSG_configure), NULL, 0);
	ck_assert_int_eq(told.n, 1);
	ck_assert_str_eq(told.status, "RUNNING");
	return cx_box_find(&gw, id);
}

/* The same, with a start command, whose log is asked for at its end. */
static struct cx_box *make(const char *fields)
{
	char more[128];

	(void)snprintf(more, sizeof more, ",\"start_command\":\"serve\"%s", fields);
	return make_plain(more);
}

static void expect_row(const char *status, const char *type, const char *reason)
{
	CX_AUTO(cx_sandbox_row_clear) struct cx_sandbox_row row = { 0 };

	ck_assert_int_eq(cx_store_sandbox_by_id(gw.store, id, &row, &err), 1);
	ck_assert_str_eq(row.status, status);
	ck_assert_pstr_eq(row.error_type, type);
	ck_assert_pstr_eq(row.termination_reason, reason);
	ck_assert((row.ended_ms > 0) == (reason != NULL));
}

/* A command, and what its row says at the moment at which it is told. */
struct command {
	struct cx_exec exec;
	struct cx_pipes pipes;
	uint32_t request;
	int n;
	struct cx_result end;
	struct cx_err why;
	char status[16];
};

static void on_command(struct cx_exec *exec, const struct cx_result *how, const struct cx_err *why)
{
	struct command *c = cx_container_of(exec, struct command, exec);
	CX_AUTO(cx_sandbox_row_clear) struct cx_sandbox_row row = { 0 };
	const bool without = no_memory;
	struct cx_err e;

	c->n++;
	if (how != NULL)
		c->end = *how;
	if (why != NULL)
		c->why = *why;
	no_memory = false;
	ck_assert_int_eq(cx_store_sandbox_by_id(gw.store, id, &row, &e), 1);
	no_memory = without;
	(void)snprintf(c->status, sizeof c->status, "%s", row.status);
}

static void run(struct cx_box *box, struct command *c)
{
	static const struct cx_msg_exec plan = { .argv = { .p = "true", .len = 5 } };
	struct cx_session *session = cx_box_session(box, &err);

	*c = (struct command){ .exec.ended = on_command };
	ck_assert_msg(session != NULL, "%s", err.msg);
	ck_assert_int_eq(cx_pipes_open(&c->pipes, &err), 0);
	ck_assert_int_eq(cx_session_exec(session, &plan, &c->pipes, &c->exec, &err), 0);
	c->request = hear(agent, CX_MSG_exec);
	agent_says(started, c->request, .pid = 7);
}

static void expect_told(struct command *c, const char *status, enum cx_reason reason)
{
	ck_assert_int_eq(c->n, 1);
	ck_assert_int_eq(c->end.reason, reason);
	ck_assert_int_eq(c->why.kind, CX_CONFLICT);
	ck_assert_ptr_nonnull(strstr(c->why.msg, status));
	ck_assert_str_eq(c->status, status);
	cx_pipes_close(&c->pipes);
}

struct watch {
	struct cx_box_watch watch;
	int n;
	char status[16];
};

static void on_watched(struct cx_box_watch *watch, const struct cx_sandbox_row *row)
{
	struct watch *w = cx_container_of(watch, struct watch, watch);

	w->n++;
	(void)snprintf(w->status, sizeof w->status, "%s", row->status);
}

/* From its end on: its log is read, it is destroyed. */
static void expect_removal(const char *log)
{
	if (log != NULL) {
		agent_says(log_data, hear(agent, CX_MSG_log_read), .end = strlen(log),
			   .data = cx_str_of(log));
		agent_says(log_data, hear(agent, CX_MSG_log_read), .offset = strlen(log),
			   .end = strlen(log));
	}
	ck_assert_ptr_nonnull(cx_box_find(&gw, id));
	say_only(caissond, destroyed, hear(caissond, CX_MSG_destroy), NULL, 0);
	ck_assert_ptr_null(cx_box_find(&gw, id));
}

/* ---- ends ------------------------------------------------------------------------------------ */

START_TEST(deleted)
{
	struct cx_box *box = make("");
	struct told told = new_told(), again = new_told();
	struct watch watch = { .watch.ended = on_watched };
	struct command c;

	run(box, &c);
	cx_box_watch(box, &watch.watch);
	cx_box_destroy(box, &told.waiter);
	expect_told(&c, "TERMINATED", CX_REASON_SANDBOX_STOPPED);
	expect_row("TERMINATED", NULL, "DELETED");
	ck_assert_int_eq(watch.n, 1);
	ck_assert_str_eq(watch.status, "TERMINATED");
	ck_assert_ptr_null(cx_box_session(box, &err));
	ck_assert_int_eq(err.kind, CX_CONFLICT);
	cx_box_destroy(box, &again.waiter); /* once more, while it goes on */
	spin(10);
	ck_assert_int_eq(told.n + again.n, 0);
	expect_removal("hello");
	ck_assert_int_eq(told.n + again.n, 2);
	ck_assert_int_eq(watch.n, 1);
}
END_TEST

START_TEST(start_command_ended)
{
	struct cx_box *box = make("");
	struct command c;

	run(box, &c);
	agent_says(main_state, 0, .state = CX_MAIN_ENDED, .how = CX_EXITED_CODE,
		   .status = (uint32_t)_i);
	expect_told(&c, _i == 0 ? "TERMINATED" : "ERROR", CX_REASON_SANDBOX_STOPPED);
	expect_removal("x");
	if (_i == 0)
		expect_row("TERMINATED", NULL, "START_COMMAND_ENDED");
	else
		expect_row("ERROR", "START_COMMAND_FAILED", "START_COMMAND_FAILED");
}
END_TEST

START_TEST(its_time_is_over)
{
	struct cx_box *box =
		make(_i == 0 ? ",\"timeout_minutes\":0.005" : ",\"idle_timeout_minutes\":0.005");
	struct command c;

	run(box, &c);
	if (_i == 1) {
		spin(500);
		ck_assert_int_eq(c.n, 0); /* it is in use */
		agent_says(exited, c.request, .status = 0);
		ck_assert_int_eq(c.n, 1);
		cx_pipes_close(&c.pipes);
		cx_box_touch(box);
		spin(200);
		cx_box_touch(box);
		spin(200);
		expect_row("RUNNING", NULL, NULL);
	}
	spin(400);
	if (_i == 0)
		expect_told(&c, "TIMEOUT", CX_REASON_SANDBOX_STOPPED);
	expect_row("TIMEOUT", "TIMEOUT", _i == 0 ? "TIMEOUT" : "IDLE_TIMEOUT");
	expect_removal("x");
}
END_TEST

/* What is allocated at the end may fail, and the end is the same but for what explains it. */
START_TEST(an_end_without_memory)
{
	CX_AUTO(cx_sandbox_row_clear) struct cx_sandbox_row row = { 0 };
	struct cx_box *box = make_plain(_i == 0 ? ",\"timeout_minutes\":0.005" : "");
	struct command c;

	run(box, &c);
	no_memory = true;
	if (_i == 0)
		spin(400);
	else
		caissond_says(oom, 0, .id = cx_str_of(id));
	no_memory = false;
	expect_told(&c, _i == 0 ? "TIMEOUT" : "ERROR",
		    _i == 0 ? CX_REASON_SANDBOX_STOPPED : CX_REASON_OOM);
	expect_removal(NULL);
	if (_i == 0)
		expect_row("TIMEOUT", "TIMEOUT", "TIMEOUT");
	else
		expect_row("ERROR", "OOM_KILLED", "OOM_KILLED");
	ck_assert_int_eq(cx_store_sandbox_by_id(gw.store, id, &row, &err), 1);
	ck_assert_ptr_null(row.error_message);
}
END_TEST

START_TEST(out_of_memory_by_caissond)
{
	struct cx_box *box = make("");
	struct command c;

	run(box, &c);
	caissond_says(oom, 0, .id = cx_str_of(id));
	expect_told(&c, "ERROR", CX_REASON_OOM);
	expect_row("ERROR", "OOM_KILLED", "OOM_KILLED");
	caissond_says(oom, 0, .id = cx_str_of(id)); /* once is enough */
	expect_removal("x");
}
END_TEST

/* By "oom" while it runs, or by its end; what is told again later changes nothing. */
START_TEST(out_of_memory_is_reported)
{
	CX_AUTO(cx_sandbox_row_clear) struct cx_sandbox_row row = { 0 };
	struct cx_box *box = make("");
	struct command c;

	run(box, &c);
	caissond_says(oom_report, 0, .id = cx_str_of(id), .limit_bytes = 64 << 20,
		      .peak_bytes = 63 << 20, .process = cx_str_of("eater"), .pid = 7,
		      .process_bytes = 60 << 20);
	caissond_says(oom_report, 0, .id = cx_str_of(id), .process = cx_str_of("other"));
	if (_i == 0)
		caissond_says(oom, 0, .id = cx_str_of(id));
	else
		caissond_says(ended, 0, .id = cx_str_of(id), .reason = CX_END_OOM);
	expect_told(&c, "ERROR", CX_REASON_OOM);
	expect_row("ERROR", "OOM_KILLED", "OOM_KILLED");
	ck_assert_int_eq(cx_store_sandbox_by_id(gw.store, id, &row, &err), 1);
	ck_assert_ptr_nonnull(strstr(row.oom_report, "\"limitBytes\":67108864"));
	ck_assert_ptr_nonnull(strstr(row.oom_report, "\"name\":\"eater\""));
	ck_assert_str_eq(row.error_message,
			 "the sandbox ran out of its memory: limit 64 MiB, peak 63 MiB; largest "
			 "process 'eater' with 60 MiB");
	if (_i == 0)
		expect_removal("x");
}
END_TEST

START_TEST(out_of_memory_by_a_command)
{
	struct cx_box *box = make("");
	struct command killed, other;
	uint32_t first;

	run(box, &killed);
	run(box, &other);
	agent_says(exited, killed.request, .how = CX_EXITED_SIGNAL, .status = SIGKILL);
	first = hear(caissond, CX_MSG_trouble);
	ck_assert_int_eq(killed.n, 0); /* not before caissond has answered */
	agent_says(exited, other.request, .how = CX_EXITED_CODE, .status = 1);
	ck_assert(is_silent(caissond)); /* one question at a time */
	caissond_says(trouble_is, first, .oom_kills = 0);
	ck_assert_int_eq(killed.n, 1);
	ck_assert_uint_eq(killed.end.status, SIGKILL);
	ck_assert_int_eq(other.n, 0); /* its end came after the question */
	cx_pipes_close(&killed.pipes);
	caissond_says(trouble_is, hear(caissond, CX_MSG_trouble), .oom_kills = 1);
	expect_told(&other, "ERROR", CX_REASON_OOM);
	expect_row("ERROR", "OOM_KILLED", "OOM_KILLED");
	expect_removal("x");
}
END_TEST

START_TEST(a_lost_agent_of_one_that_has_ended)
{
	struct cx_box *box = make("");
	struct command c;

	run(box, &c);
	cx_close(&agent);
	spin(20);
	ck_assert_int_eq(c.n, 0);
	ck_assert_ptr_null(cx_box_session(box, &err));
	ck_assert_int_eq(err.kind, CX_CONFLICT);
	caissond_says(ended, 0, .id = cx_str_of(id), .reason = CX_END_AGENT_EXITED);
	expect_told(&c, "ERROR", CX_REASON_SANDBOX_STOPPED);
	expect_row("ERROR", "AGENT_EXITED", "AGENT_EXITED");
	ck_assert_ptr_null(cx_box_find(&gw, id));
}
END_TEST

START_TEST(a_lost_agent_of_one_that_lives)
{
	struct cx_box *box = make("");
	struct command c;
	int theirs;

	run(box, &c);
	cx_close(&agent);
	spin(600);
	take_agent(&theirs);
	say_only(caissond, connected, hear(caissond, CX_MSG_connect), &theirs, 1);
	cx_close(&theirs);
	ck_assert_int_eq(c.n, 0);
	agent_says(agent_hello, 0, .version = 1, .state = CX_AGENT_CLAIMED);
	agent_says(main_state, hear(agent, CX_MSG_main_status), .state = CX_MAIN_NONE);
	ck_assert_int_eq(c.n, 1);
	ck_assert_int_eq(c.why.kind, CX_UNAVAILABLE);
	ck_assert(c.end.unseen && c.end.reason == CX_REASON_ENGINE_ERROR);
	ck_assert_str_eq(c.status, "RUNNING");
	cx_pipes_close(&c.pipes);
	ck_assert_ptr_nonnull(cx_box_session(box, &err));
	cx_box_destroy(box, NULL);
	expect_removal("x");
}
END_TEST

START_TEST(a_log_that_does_not_come)
{
	struct cx_box *box = make("");

	cx_box_destroy(box, NULL);
	(void)hear(agent, CX_MSG_log_read);
	spin(1200);
	expect_removal(NULL);
	expect_row("TERMINATED", NULL, "DELETED");
}
END_TEST

START_TEST(nobody_is_asked_for_a_log_that_cannot_be)
{
	struct told told = new_told();

	cx_box_destroy(make_plain(""), &told.waiter);
	spin(10);
	expect_removal(NULL);
	ck_assert_int_eq(told.n, 1);
}
END_TEST

START_TEST(a_removal_that_fails_is_tried_again)
{
	struct cx_box *box = make("");
	struct told told = new_told();

	cx_box_destroy(box, &told.waiter);
	agent_says(log_data, hear(agent, CX_MSG_log_read), .end = 0);
	caissond_says(control_error, hear(caissond, CX_MSG_destroy), .kind = CX_UNAVAILABLE,
		      .text = cx_str_of("later"));
	ck_assert_int_eq(told.n, 1);
	ck_assert_int_eq(told.why.kind, CX_UNAVAILABLE);
	spin(1200);
	expect_removal(NULL);
}
END_TEST

/* ---- pauses ---------------------------------------------------------------------------------- */

START_TEST(paused_and_resumed)
{
	struct cx_box *box = make(",\"idle_timeout_minutes\":0.01");
	struct told first = new_told(), second = new_told(), other = new_told();
	uint32_t request;

	ck_assert_int_eq(cx_box_pause(box, &first.waiter, &err), 0);
	ck_assert_int_eq(cx_box_pause(box, &second.waiter, &err), 0);
	ck_assert_int_lt(cx_box_resume(box, &other.waiter, &err), 0);
	ck_assert_int_eq(err.kind, CX_CONFLICT);
	ck_assert_ptr_null(cx_box_session(box, &err));
	spin(10);
	request = hear(caissond, CX_MSG_pause);
	ck_assert(is_silent(caissond));
	say_only(caissond, changed, request, NULL, 0);
	ck_assert_int_eq(first.n + second.n, 2);
	ck_assert_str_eq(first.status, "PAUSED");
	expect_row("PAUSED", NULL, NULL);
	ck_assert_ptr_null(cx_box_session(box, &err));
	ck_assert_ptr_nonnull(strstr(err.msg, "PAUSED"));
	ck_assert_ptr_nonnull(cx_box_agent(box, &err));
	ck_assert_int_eq(cx_box_pause(box, &other.waiter, &err), 0); /* at once */
	ck_assert_int_eq(other.n, 1);
	spin(800); /* longer than its idle time */
	expect_row("PAUSED", NULL, NULL);
	ck_assert_int_eq(cx_box_resume(box, &other.waiter, &err), 0);
	spin(10);
	say_only(caissond, changed, hear(caissond, CX_MSG_resume), NULL, 0);
	expect_row("RUNNING", NULL, NULL);
	spin(800);
	expect_row("TIMEOUT", "TIMEOUT", "IDLE_TIMEOUT");
	expect_removal("x");
}
END_TEST

START_TEST(a_pause_that_fails)
{
	struct cx_box *box = make("");
	struct told told = new_told(), stop_told = new_told();

	ck_assert_int_eq(cx_box_pause(box, &told.waiter, &err), 0);
	spin(10);
	caissond_says(control_error, hear(caissond, CX_MSG_pause), .kind = CX_TIMEOUT,
		      .text = cx_str_of("it does not stand still"));
	ck_assert_int_eq(told.n, 1);
	ck_assert_int_eq(told.why.kind, CX_TIMEOUT);
	expect_row("RUNNING", NULL, NULL);
	ck_assert_ptr_nonnull(cx_box_session(box, &err));
	ck_assert_int_eq(cx_box_pause(box, &told.waiter, &err), 0);
	cx_box_destroy(box, &stop_told.waiter); /* its end tells who waits for a pause, too */
	ck_assert_int_eq(told.n, 2);
	ck_assert_int_eq(told.why.kind, CX_CONFLICT);
	spin(10);
	say_only(caissond, changed, hear(caissond, CX_MSG_pause), NULL, 0);
	expect_removal("x");
	ck_assert_int_eq(told.n, 2);
	ck_assert_int_eq(stop_told.n, 1);
}
END_TEST

static void in_the_store(const char *sql)
{
	ck_assert_int_eq(sqlite3_exec(gw.store->db, sql, NULL, NULL, NULL), SQLITE_OK);
}

/* A next gateway would let it go on: so it does at once, and nobody is told that it stands still.
 */
START_TEST(a_pause_that_is_not_recorded)
{
	struct cx_box *box = make("");
	struct told told = new_told(), again = new_told();

	in_the_store("CREATE TRIGGER full BEFORE UPDATE ON sandboxes"
		     " BEGIN SELECT RAISE(ABORT, 'full'); END");
	ck_assert_int_eq(cx_box_pause(box, &told.waiter, &err), 0);
	spin(10);
	say_only(caissond, changed, hear(caissond, CX_MSG_pause), NULL, 0);
	ck_assert_int_eq(told.n, 1);
	ck_assert_int_ne(told.why.errnum, 0);
	say_only(caissond, changed, hear(caissond, CX_MSG_resume), NULL, 0);
	expect_row("RUNNING", NULL, NULL);
	ck_assert_str_eq(cx_box_row(box)->status, "RUNNING");
	in_the_store("DROP TRIGGER full");
	ck_assert_int_eq(cx_box_pause(box, &again.waiter, &err), 0);
	spin(10);
	say_only(caissond, changed, hear(caissond, CX_MSG_pause), NULL, 0);
	expect_row("PAUSED", NULL, NULL);
	ck_assert_int_eq(told.n + again.n, 2);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("api/boxes");
	TCase *tc = tcase_create("all");

	tcase_add_checked_fixture(tc, begin, end);
	tcase_set_timeout(tc, 60);
	tcase_add_test(tc, deleted);
	tcase_add_loop_test(tc, start_command_ended, 0, 2);
	tcase_add_loop_test(tc, its_time_is_over, 0, 2);
	tcase_add_loop_test(tc, an_end_without_memory, 0, 2);
	tcase_add_test(tc, out_of_memory_by_caissond);
	tcase_add_loop_test(tc, out_of_memory_is_reported, 0, 2);
	tcase_add_test(tc, out_of_memory_by_a_command);
	tcase_add_test(tc, a_lost_agent_of_one_that_has_ended);
	tcase_add_test(tc, a_lost_agent_of_one_that_lives);
	tcase_add_test(tc, a_log_that_does_not_come);
	tcase_add_test(tc, nobody_is_asked_for_a_log_that_cannot_be);
	tcase_add_test(tc, a_removal_that_fails_is_tried_again);
	tcase_add_test(tc, paused_and_resumed);
	tcase_add_test(tc, a_pause_that_fails);
	tcase_add_test(tc, a_pause_that_is_not_recorded);
	suite_add_tcase(suite, tc);
	return run_suite(suite);
}
