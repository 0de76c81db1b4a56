/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The network of a sandbox in the gateway, with a caissond, an agent and a resolver that the test
 * plays: nothing of it runs before its policy is in force, and what is told of a change is so.
 */
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

#include "api/box.h"
#include "api/denials.h"
#include "api/json.h"
#include "api/metrics.h"
#include "api/network.h"
#include "base/fd.h"
#include "check_main.h"
#include "image/oci.h"

static char top[] = "/tmp/caisson-boxnet-XXXXXX";
static struct cx_gateway gw;
static struct cx_metrics metrics;
static struct cx_loop loop;
static struct cx_packet *scratch, *heard;
static struct cx_err err;
static int caissond, resolver, agents[2];

/* ---- the others ------------------------------------------------------------------------------ */

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

/* HEAR(sock, names_begin, m): the next message, decoded. */
#define HEAR(sock, name, m)              \
	struct cx_msg_##name m;          \
	(void)hear(sock, CX_MSG_##name); \
	ck_assert(cx_msg_##name##_get(&heard->body, &(m)))

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
#define say_only(sock, name, request)                                                            \
	do {                                                                                     \
		static const struct cx_msg_##name say_m;                                         \
		ck_assert_int_eq(cx_msg_##name##_send(sock, request, &say_m, NULL, 0, &err), 0); \
		spin(10);                                                                        \
	} while (0)

static void pair(int *ours, int *theirs)
{
	int fds[2];

	cx_close(ours);
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds), 0);
	ck_assert_int_eq(cx_set_nonblock(fds[0], true, &err), 0);
	*ours = fds[0];
	*theirs = fds[1];
}

static void new_resolver(void)
{
	int theirs;

	pair(&resolver, &theirs);
	ck_assert_int_eq(cx_resolver_connect(gw.resolver, &theirs, &err), 0);
	spin(10);
}

static void on_ended(void *arg, const char *name, enum cx_end reason)
{
	cx_boxes_ended(arg, name, reason);
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
	struct cx_engine_events events = { .ended = on_ended, .lost = on_lost, .arg = &gw };
	struct cx_resolver_events names = { .denied = cx_boxes_denied };
	char path[64];
	int theirs;

	(void)strcpy(top + sizeof top - 7, "XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(top));
	(void)snprintf(path, sizeof path, "%s/state.db", top);
	scratch = malloc(sizeof *scratch);
	heard = malloc(sizeof *heard);
	gw = (struct cx_gateway){
		.loop = &loop,
		.scratch = scratch,
		.metrics = &metrics,
		.host = { .cpus = 4, .memory_bytes = (uint64_t)8 << 30, .network = true }
	};
	caissond = resolver = agents[0] = agents[1] = -EBADF;
	ck_assert_int_eq(cx_metrics_open(&metrics, &err), 0);
	ck_assert_int_eq(cx_loop_open(&loop, &err), 0);
	ck_assert_msg(cx_store_open(path, &gw.store, &err) == 0, "%s", err.msg);
	ck_assert_int_eq(cx_denials_open(&gw, &err), 0);
	pair(&caissond, &theirs);
	ck_assert_int_eq(cx_engine_open(&loop, scratch, &theirs, &events, &gw.engine, &err), 0);
	ck_assert_int_eq(cx_resolver_open(&loop, scratch, &names, &gw.resolver, &err), 0);
	cx_resolver_release(gw.resolver);
	put_image();
	new_resolver();
	(void)hear(resolver, CX_MSG_names_told);
}

static void end(void)
{
	char command[64];

	while (gw.boxes != NULL)
		cx_box_free(gw.boxes);
	cx_close(&caissond);
	cx_close(&resolver);
	cx_close(&agents[0]);
	cx_close(&agents[1]);
	cx_denials_close(&gw);
	cx_engine_close(gw.engine);
	cx_resolver_close(gw.resolver);
	spin(10);
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

static struct told told[2];

static int ask(unsigned i, const char *fields)
{
	struct cx_spec spec = { 0 };
	char body[512];
	int r;

	told[i] = (struct told){ .waiter.done = on_told };
	(void)snprintf(body, sizeof body, "{\"name\":\"Box %u\",\"docker_image\":\"img\"%s}", i,
		       fields);
	ck_assert_msg(cx_spec_parse(body, strlen(body), &gw.host, &spec, &err) == 0, "%s", err.msg);
	spec.row.user_id = strdup(CX_ADMIN_USER);
	r = cx_box_create(&gw, &spec, &told[i].waiter, &err);
	cx_spec_clear(&spec);
	return r;
}

static const char *id_of(unsigned i)
{
	static const char *const ids[] = { "abcdefghijk0", "abcdefghijk1" };

	return ids[i];
}

/* What caissond was asked for last. */
static struct {
	uint32_t request, mode, names, link, nrules;
	struct cx_netrule rule;
} asked;

static void hear_create(void)
{
	HEAR(caissond, create_linked, m);
	asked.request = heard->request;
	asked.mode = m.mode;
	asked.names = m.names;
	asked.link = m.link;
	asked.nrules = m.rules.len / CX_NETRULE_SIZE;
	if (asked.nrules > 0)
		ck_assert_int_eq(cx_netrule_get((const uint8_t *)m.rules.p, &asked.rule, &err), 0);
}

static void say_created(unsigned i)
{
	char address[4] = { 100, 96, 0, (char)(5 + i) };
	int theirs;

	pair(&agents[i], &theirs);
	say(caissond, created_linked, asked.request, &theirs, 1, .id = cx_str_of(id_of(i)),
	    .slot = 5 + i, .number = 10 + i, .address4 = { .p = address, .len = 4 });
	cx_close(&theirs);
	say(agents[i], agent_hello, 0, NULL, 0, .version = 1, .state = CX_AGENT_CLAIMED);
}

/* It lives, with a policy. */
static void make(unsigned i, const char *fields)
{
	ck_assert_msg(ask(i, fields) == 0, "%s", err.msg);
	hear_create();
	say_created(i);
}

static void expect_begin(unsigned i, uint32_t number, uint32_t mode)
{
	HEAR(resolver, names_begin, m);
	ck_assert_uint_eq(m.slot, 5 + i);
	ck_assert_uint_eq(m.number, number);
	ck_assert_uint_eq(m.mode, mode);
}

static void expect_rule(const char *name)
{
	HEAR(resolver, name_rule, m);
	ck_assert(cx_str_equal(m.name, name));
}

static void expect_peer(unsigned i, const char *name)
{
	HEAR(resolver, peer, m);
	ck_assert(cx_str_equal(m.name, name));
	ck_assert_uint_eq(m.address4.len, 4);
	ck_assert_uint_eq((uint8_t)m.address4.p[3], 5 + i);
	ck_assert_uint_eq(m.address6.len, 0);
}

static void confirm_names(unsigned i)
{
	say(resolver, names_set, hear(resolver, CX_MSG_names_end), NULL, 0, .slot = 5 + i);
}

static struct cx_box *run(unsigned i)
{
	say_only(agents[i], agent_ok, hear(agents[i], CX_MSG_configure));
	ck_assert_int_eq(told[i].n, 1);
	ck_assert_str_eq(told[i].status, "RUNNING");
	return cx_box_find(&gw, id_of(i));
}

/* Running, with a policy of mode, which names rule (or NULL). */
static struct cx_box *start_with(unsigned i, const char *fields, uint32_t mode, const char *rule)
{
	make(i, fields);
	expect_begin(i, 10 + i, mode);
	if (rule != NULL)
		expect_rule(rule);
	confirm_names(i);
	return run(i);
}

static struct cx_box *start(unsigned i, const char *fields, uint32_t mode)
{
	return start_with(i, fields, mode, NULL);
}

/* ---- the start ------------------------------------------------------------------------------- */

/* 0: its start command would, 1: its client's first one. */
START_TEST(nothing_runs_before_its_policy_is_in_force)
{
	static const char *const fields[] = {
		",\"network_allowlist\":[\"a.b\",\"192.0.2.0/24\",\"*.c:8080\"]"
		",\"start_command\":\"true\"",
		",\"network_allowlist\":[\"a.b\",\"192.0.2.0/24\",\"*.c:8080\"]",
	};

	make(0, fields[_i]);
	ck_assert_uint_eq(asked.mode, CX_EGRESS_ALLOW);
	ck_assert_uint_eq(asked.names, 1);
	ck_assert_uint_eq(asked.link, 0);
	ck_assert_uint_eq(asked.nrules, 1);
	ck_assert_uint_eq(asked.rule.prefix, 24);
	if (_i == 1) { /* what it needs to be configured it has */
		HEAR(agents[0], configure, m);
		ck_assert_uint_eq(m.start.len, 0);
		say_only(agents[0], agent_ok, heard->request);
	}
	expect_begin(0, 10, CX_EGRESS_ALLOW);
	expect_rule("*.c");
	expect_rule("a.b");
	ck_assert(is_silent(agents[0]) && is_silent(caissond));
	ck_assert_int_eq(told[0].n, 0);
	ck_assert_int_eq(cx_box_find(&gw, id_of(0))->phase, CX_BOX_CONFIGURING);
	confirm_names(0);
	if (_i == 0)
		(void)run(0);
	ck_assert_str_eq(told[0].status, "RUNNING");
	ck_assert_int_eq(cx_box_applied(cx_box_find(&gw, id_of(0))), 1);
}
END_TEST

/* 0: with its policy, 1: at its configuration, 2: at another policy that came in between. */
START_TEST(a_sandbox_without_its_policy_ends)
{
	uint32_t request;

	ck_assert_int_eq(ask(0, ""), 0);
	hear_create();
	request = asked.request;
	if (_i == 2)
		gw.boxes->row.network_generation++;
	if (_i > 0)
		say_created(0);
	if (_i == 1)
		say(agents[0], agent_error, hear(agents[0], CX_MSG_configure), NULL, 0,
		    .kind = CX_LIMIT, .text = cx_str_of("no slot"));
	if (_i == 2)
		request = hear(caissond, CX_MSG_egress);
	if (_i != 1)
		say(caissond, control_error, request, NULL, 0, .kind = CX_LIMIT,
		    .text = cx_str_of("no slot"));
	if (_i > 0)
		say_only(caissond, destroyed, hear(caissond, CX_MSG_destroy));
	ck_assert_int_eq(told[0].n, 1);
	ck_assert_int_eq(told[0].why.kind, CX_LIMIT);
	ck_assert_ptr_nonnull(strstr(told[0].why.msg, "no slot"));
	ck_assert_ptr_null(gw.boxes);
}
END_TEST

START_TEST(a_policy_that_was_changed_meanwhile_is_in_force)
{
	ck_assert_int_eq(ask(0, ""), 0);
	hear_create();
	gw.boxes->row.network_generation++;
	say_created(0);
	ck_assert(is_silent(resolver));
	say(caissond, egress_set, hear(caissond, CX_MSG_egress), NULL, 0, .number = 20);
	expect_begin(0, 20, CX_EGRESS_ALL);
	confirm_names(0);
	(void)run(0);
}
END_TEST

START_TEST(without_a_network_it_starts_at_once)
{
	int theirs;

	gw.host.network = false;
	ck_assert_int_eq(ask(0, ""), 0);
	pair(&agents[0], &theirs);
	say(caissond, created, hear(caissond, CX_MSG_create), &theirs, 1,
	    .id = cx_str_of(id_of(0)));
	cx_close(&theirs);
	say(agents[0], agent_hello, 0, NULL, 0, .version = 1, .state = CX_AGENT_CLAIMED);
	ck_assert_int_eq(cx_box_applied(run(0)), 0);
	ck_assert(is_silent(caissond) && is_silent(resolver));
}
END_TEST

/* ---- changes --------------------------------------------------------------------------------- */

static int change(struct cx_box *box, const char *document, struct told *changed)
{
	CX_AUTO(cx_sandbox_row_clear) struct cx_sandbox_row wanted = { 0 };
	CX_AUTO(cx_json_free) struct json_t *doc = NULL;
	struct cx_network_fields fields = {
		.allow = "allow", .deny = "deny", .access = true, .enforced = true
	};

	*changed = (struct told){ .waiter.done = on_told };
	ck_assert_int_eq(cx_json_parse_object(document, strlen(document), &doc, &err), 0);
	ck_assert_int_eq(cx_network_parse(doc, &fields, &wanted, &err), 0);
	ck_assert_int_ge(cx_network_parse_name(doc, "network", true, &wanted, &err), 0);
	return cx_box_set_network(box, &wanted, &changed->waiter, &err);
}

START_TEST(a_change_is_told_when_it_is_in_force)
{
	struct cx_box *box = start(0, "", CX_EGRESS_ALL);
	CX_AUTO(cx_sandbox_row_clear) struct cx_sandbox_row row = { 0 };
	struct told changed, second;

	ck_assert_int_eq(change(box, "{\"deny\":[\"a.b\"]}", &changed), 0);
	ck_assert_int_lt(change(box, "{\"deny\":[]}", &second), 0);
	ck_assert_int_eq(err.kind, CX_CONFLICT);
	ck_assert_int_eq(cx_box_row(box)->network_generation, 1);
	say(caissond, egress_set, hear(caissond, CX_MSG_egress), NULL, 0, .number = 20);
	ck_assert_int_eq(changed.n, 0);
	ck_assert_int_eq(cx_box_row(box)->network_generation, 2);
	ck_assert_int_eq(cx_box_applied(box), 1);
	expect_begin(0, 20, CX_EGRESS_DENY);
	expect_rule("a.b");
	confirm_names(0);
	ck_assert_int_eq(changed.n, 1);
	ck_assert_int_eq(changed.why.errnum, 0);
	ck_assert_int_eq(cx_box_applied(box), 2);
	ck_assert_int_eq(cx_store_sandbox_by_id(gw.store, id_of(0), &row, &err), 1);
	ck_assert_str_eq(row.network_denylist, "[\"a.b\"]");
	ck_assert_int_eq(row.network_generation, 2);
}
END_TEST

START_TEST(a_list_of_addresses_has_no_names)
{
	struct cx_box *box = start(0, "", CX_EGRESS_ALL);
	struct told changed;

	ck_assert_int_eq(change(box, "{\"allow\":[\"1.2.3.4\",\"1.0.0.0/8:80\"]}", &changed), 0);
	{
		HEAR(caissond, egress, m);
		ck_assert_uint_eq(m.mode, CX_EGRESS_ALLOW);
		ck_assert_uint_eq(m.names, 0);
		ck_assert_uint_eq(m.rules.len, 3 * CX_NETRULE_SIZE);
	}
	say(caissond, egress_set, heard->request, NULL, 0, .number = 20);
	expect_begin(0, 20, CX_EGRESS_ALLOW);
	confirm_names(0);
	ck_assert_int_eq(changed.n, 1);
}
END_TEST

START_TEST(a_change_that_is_refused_changes_nothing)
{
	struct cx_box *box = start(0, "", CX_EGRESS_ALL);
	struct told changed;

	ck_assert_int_eq(change(box, "{\"allow\":[\"1.2.3.4\"]}", &changed), 0);
	say(caissond, control_error, hear(caissond, CX_MSG_egress), NULL, 0, .kind = CX_LIMIT,
	    .text = cx_str_of("too many parts"));
	ck_assert_int_eq(changed.n, 1);
	ck_assert_int_eq(changed.why.kind, CX_LIMIT);
	ck_assert_int_eq(cx_box_row(box)->network_generation, 1);
	ck_assert_ptr_null(cx_box_row(box)->network_allowlist);
	ck_assert_int_eq(cx_box_applied(box), 1);
	ck_assert(is_silent(resolver));
}
END_TEST

START_TEST(a_new_resolver_is_told_everything)
{
	struct cx_box *box = start(0, ",\"network_allowlist\":[]", CX_EGRESS_NONE);

	new_resolver();
	expect_begin(0, 10, CX_EGRESS_NONE);
	ck_assert_int_eq(cx_box_applied(box), 1);
	confirm_names(0);
	(void)hear(resolver, CX_MSG_names_told);
	say(resolver, names_set, 77, NULL, 0, .slot = 99); /* nobody's: ignored */
	ck_assert(is_silent(resolver));
}
END_TEST

/* 0: it breaks the protocol, 1: it ends. */
START_TEST(a_sandbox_that_starts_waits_for_the_next_resolver)
{
	if (_i == 0)
		say_only(resolver, names_told, 0);
	else
		cx_close(&resolver);
	spin(10);
	make(0, "");
	say_only(agents[0], agent_ok, hear(agents[0], CX_MSG_configure));
	new_resolver();
	expect_begin(0, 10, CX_EGRESS_ALL);
	ck_assert_int_eq(told[0].n, 0);
	confirm_names(0);
	ck_assert_int_eq(told[0].n, 1);
}
END_TEST

/* 0: what is recorded is in force, 1: something else is. */
START_TEST(one_that_is_adopted_keeps_its_policy)
{
	struct cx_box *box =
		start_with(0, ",\"network_allowlist\":[\"a.b\"]", CX_EGRESS_ALLOW, "a.b");
	CX_AUTO(cx_sandbox_row_clear) struct cx_sandbox_row row = { 0 };
	char address[4] = { 100, 96, 0, 5 };
	uint32_t request;

	cx_boxnet_end(box);
	(void)hear(resolver, CX_MSG_names_forget);
	cx_boxnet_adopt(box);
	request = hear(caissond, CX_MSG_network);
	say(caissond, network_is, request, NULL, 0, .slot = 5, .number = _i == 0 ? 10 : 9,
	    .address4 = { .p = address, .len = 4 });
	if (_i == 1)
		say(caissond, egress_set, hear(caissond, CX_MSG_egress), NULL, 0, .number = 11);
	expect_begin(0, _i == 0 ? 10 : 11, CX_EGRESS_ALLOW);
	expect_rule("a.b");
	confirm_names(0);
	ck_assert(is_silent(caissond));
	ck_assert_int_eq(cx_store_sandbox_by_id(gw.store, id_of(0), &row, &err), 1);
	ck_assert_int_eq(row.network_number, _i == 0 ? 10 : 11);
}
END_TEST

/* ---- networks -------------------------------------------------------------------------------- */

START_TEST(members_of_a_network_are_told_of_each_other)
{
	struct cx_box *first = start(0, ",\"network\":\"lab\"", CX_EGRESS_ALL);
	struct told changed;

	make(1, ",\"network\":\"lab\"");
	ck_assert_uint_eq(asked.link, (uint32_t)cx_box_row(first)->network_link);
	ck_assert_uint_ne(asked.link, 0);
	expect_begin(1, 11, CX_EGRESS_ALL);
	expect_peer(0, "box-0");
	expect_peer(0, id_of(0));
	confirm_names(1);
	expect_begin(0, 10, CX_EGRESS_ALL);
	expect_peer(1, "box-1");
	expect_peer(1, id_of(1));
	confirm_names(0);
	ck_assert_int_eq(change(run(1), "{\"deny\":[]}", &changed), 0); /* and it leaves */
	{
		HEAR(caissond, egress, m);
		ck_assert_uint_eq(m.link, 0);
	}
	say(caissond, egress_set, heard->request, NULL, 0, .number = 21);
	expect_begin(1, 21, CX_EGRESS_ALL);
	{
		uint32_t request = hear(resolver, CX_MSG_names_end);

		expect_begin(0, 10, CX_EGRESS_ALL);
		say(resolver, names_set, request, NULL, 0, .slot = 6);
	}
	confirm_names(0);
	ck_assert_int_eq(changed.n, 1);
}
END_TEST

START_TEST(members_that_are_adopted_are_told_of_each_other)
{
	struct cx_box *first = start(0, ",\"network\":\"lab\"", CX_EGRESS_ALL);
	struct cx_box second = { .gw = &gw, .phase = CX_BOX_RUNNING };
	uint32_t request;

	ck_assert_int_eq(cx_box_set(&second.row.id, "other", &err), 0);
	ck_assert_int_eq(cx_box_set(&second.row.name, "Other", &err), 0);
	ck_assert_int_eq(cx_box_set(&second.row.engine_id, "other", &err), 0);
	ck_assert_int_eq(cx_box_set(&second.row.status, "RUNNING", &err), 0);
	second.row.network_link = first->row.network_link;
	second.row.network_number = 31;
	first->next = &second; /* behind the first in the list */
	cx_boxnet_adopt(&second);
	request = hear(caissond, CX_MSG_network);
	say(caissond, network_is, request, NULL, 0, .slot = 6, .number = 31,
	    .address4 = { .p = "\x64\x60\x00\x06", .len = 4 });
	expect_begin(0, 10, CX_EGRESS_ALL);
	expect_peer(1, "other");
	request = hear(resolver, CX_MSG_names_end);
	expect_begin(1, 31, CX_EGRESS_ALL);
	expect_peer(0, "box-0");
	expect_peer(0, id_of(0));
	confirm_names(1);
	first->next = NULL;
	cx_boxnet_end(&second);
	cx_sandbox_row_clear(&second.row);
}
END_TEST

START_TEST(a_member_that_ends_is_forgotten)
{
	struct cx_box *second;

	(void)start(0, ",\"network\":\"lab\"", CX_EGRESS_ALL);
	make(1, ",\"network\":\"lab\"");
	expect_begin(1, 11, CX_EGRESS_ALL);
	expect_peer(0, "box-0");
	expect_peer(0, id_of(0));
	confirm_names(1);
	expect_begin(0, 10, CX_EGRESS_ALL);
	expect_peer(1, "box-1");
	expect_peer(1, id_of(1));
	confirm_names(0);
	second = run(1);
	cx_box_destroy(second, NULL);
	spin(10);
	{
		HEAR(resolver, names_forget, m);
		ck_assert_uint_eq(m.slot, 6);
	}
	expect_begin(0, 10, CX_EGRESS_ALL);
	confirm_names(0);
}
END_TEST

START_TEST(host_names_differ_in_a_network)
{
	(void)start(0, ",\"network\":\"lab\"", CX_EGRESS_ALL);
	ck_assert_int_lt(ask(0, ",\"network\":\"lab\""), 0);
	ck_assert_int_eq(err.kind, CX_CONFLICT);
	ck_assert_int_eq(ask(0, ",\"network\":\"other\""), 0);
}
END_TEST

START_TEST(numbers_of_networks_are_their_owners)
{
	uint32_t first, again, other, later;

	ck_assert_int_eq(cx_store_network_number(gw.store, "u1", "lab", &first, &err), 0);
	ck_assert_int_eq(cx_store_network_number(gw.store, "u1", "lab", &again, &err), 0);
	ck_assert_int_eq(cx_store_network_number(gw.store, "u2", "lab", &other, &err), 0);
	ck_assert_uint_ne(first, 0);
	ck_assert_uint_eq(first, again);
	ck_assert_uint_ne(first, other);
	(void)start(0, ",\"network\":\"lab\"", CX_EGRESS_ALL);
	ck_assert_int_eq(cx_store_network_sweep(gw.store, &err), 0);
	ck_assert_int_eq(cx_store_network_number(gw.store, CX_ADMIN_USER, "lab", &again, &err), 0);
	ck_assert_uint_eq(again, (uint32_t)gw.boxes->row.network_link);
	ck_assert_int_eq(cx_store_network_number(gw.store, "u2", "lab", &later, &err), 0);
	ck_assert_uint_gt(later, again); /* forgotten, but its number is not used again */
}
END_TEST

/* ---- what was refused ------------------------------------------------------------------------ */

static unsigned ndenials;
static struct cx_denial last;

static int keep(const struct cx_denial *denial, void *arg, struct cx_err *e)
{
	(void)arg;
	(void)e;
	last = *denial;
	ndenials++;
	return 0;
}

static void deny(uint32_t slot, uint32_t number, uint32_t port, uint32_t count)
{
	static const char address[4] = { 10, 0, 0, 1 };

	say(resolver, denied, 0, NULL, 0, .slot = slot, .number = number,
	    .address = { .p = address, .len = 4 }, .protocol = IPPROTO_TCP, .port = port,
	    .why = cx_str_of("private"), .count = count);
}

START_TEST(denials_are_recorded)
{
	struct cx_box *box = start(0, "", CX_EGRESS_ALL);
	int64_t row = cx_box_row(box)->row;

	deny(5, 10, 80, 1);
	deny(5, 10, 80, 2);
	deny(5, 9, 81, 1);
	deny(6, 10, 80, 1); /* nobody's */
	ndenials = 0;
	cx_denials_close(&gw);
	ck_assert_int_eq(cx_store_denial_each(gw.store, row, 0, 1, keep, NULL, &err), 0);
	ck_assert_uint_eq(ndenials, 1);
	ck_assert_int_eq(last.generation, 0);
	ck_assert_uint_eq(last.port, 81);
	ck_assert_int_eq(cx_store_denial_each(gw.store, row, 0, 100, keep, NULL, &err), 0);
	ck_assert_uint_eq(ndenials, 3);
	ck_assert_int_eq(cx_denials_open(&gw, &err), 0);
	deny(5, 10, 80, 4);
	cx_denials_close(&gw);
	ck_assert_int_eq(cx_store_denial_each(gw.store, row, last.row, 100, keep, NULL, &err), 0);
	ck_assert_uint_eq(ndenials, 4);
	ck_assert_int_eq(last.generation, 1);
	ck_assert_int_eq(last.count, 4);
	ck_assert_str_eq(last.why, "private");
}
END_TEST

START_TEST(denials_are_bounded)
{
	struct cx_box *box = start(0, "", CX_EGRESS_ALL);
	struct cx_denial one = { .sandbox = cx_box_row(box)->row, .count = 1, .naddress = 4 };
	struct cx_denial nobodys = { .sandbox = 4711, .count = 1 };

	for (unsigned i = 0; i < CX_DENIALS_KEPT + 10; i++) {
		one.port = i;
		ck_assert_int_eq(cx_store_denials_add(gw.store, &one, 1, &err), 0);
	}
	ck_assert_int_eq(cx_store_denials_add(gw.store, &nobodys, 1, &err), 0);
	ndenials = 0;
	ck_assert_int_eq(cx_store_denial_each(gw.store, one.sandbox, 0, 5000, keep, NULL, &err), 0);
	ck_assert_uint_eq(ndenials, CX_DENIALS_KEPT);
	ck_assert_uint_eq(last.port, CX_DENIALS_KEPT + 9);
	ck_assert_int_eq(cx_store_denial_each(gw.store, 4711, 0, 5000, keep, NULL, &err), 0);
	ck_assert_uint_eq(ndenials, CX_DENIALS_KEPT);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("api/boxnet");
	TCase *tc = tcase_create("all");

	tcase_add_checked_fixture(tc, begin, end);
	tcase_set_timeout(tc, 60);
	tcase_add_loop_test(tc, nothing_runs_before_its_policy_is_in_force, 0, 2);
	tcase_add_loop_test(tc, a_sandbox_without_its_policy_ends, 0, 3);
	tcase_add_test(tc, a_policy_that_was_changed_meanwhile_is_in_force);
	tcase_add_test(tc, without_a_network_it_starts_at_once);
	tcase_add_test(tc, a_change_is_told_when_it_is_in_force);
	tcase_add_test(tc, a_list_of_addresses_has_no_names);
	tcase_add_test(tc, a_change_that_is_refused_changes_nothing);
	tcase_add_test(tc, a_new_resolver_is_told_everything);
	tcase_add_loop_test(tc, a_sandbox_that_starts_waits_for_the_next_resolver, 0, 2);
	tcase_add_loop_test(tc, one_that_is_adopted_keeps_its_policy, 0, 2);
	tcase_add_test(tc, members_of_a_network_are_told_of_each_other);
	tcase_add_test(tc, members_that_are_adopted_are_told_of_each_other);
	tcase_add_test(tc, a_member_that_ends_is_forgotten);
	tcase_add_test(tc, host_names_differ_in_a_network);
	tcase_add_test(tc, numbers_of_networks_are_their_owners);
	tcase_add_test(tc, denials_are_recorded);
	tcase_add_test(tc, denials_are_bounded);
	suite_add_tcase(suite, tc);
	return run_suite(suite);
}
