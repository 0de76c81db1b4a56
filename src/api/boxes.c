/* SPDX-License-Identifier: Apache-2.0 */
#include "api/boxes.h"

#include <stdio.h>
#include <string.h>
#include <sys/random.h>

#include "api/imageconfig.h"
#include "api/pull.h"
#include "api/registries.h"
#include "base/log.h"
#include "image/oci.h"

enum {
	LOG_KEPT = 1 << 20,
	LOG_CHUNK = 65536,
	RECONNECT_MS = 500,
	RECONNECT_TRIES = 20,
	ADOPT_MS = 3000, /* nobody waits longer for a sandbox that does not answer */
};

struct cx_box {
	struct cx_gateway *gw;
	struct cx_sandbox_row row;
	enum cx_box_phase phase;
	struct cx_session *session;
	struct cx_pull_waiter pull;
	struct cx_engine_call engine_call; /* create, connect or destroy */
	struct cx_call agent_call;	   /* configure, main status or log */
	struct cx_timer timer;		   /* the next try to reach the agent */
	unsigned tries;
	struct cx_box_waiter *running, *gone;
	struct cx_err why;  /* what went wrong while it was made */
	struct cx_buf log;  /* collected at its end */
	struct cx_buf wish; /* strv: environment that the client gave; wiped when it is in env */
	struct cx_buf env;  /* strv of configure; wiped when it was taken */
	struct cx_buf start;
	char *cwd, *user;
	bool destroying, reading_log;
	bool promised; /* the client was told of it before it ran: it ends with a record */
	struct adoption *adoption;
	struct cx_box *next, **link;
};

struct adoption { /* of what an earlier gateway left; freed by the last box that answers */
	struct cx_gateway *gw;
	struct cx_engine_call call;
	void (*ready)(struct cx_gateway *gw, const struct cx_err *err);
	unsigned pending;
	char (*listed)[33];
	size_t nlisted;
	struct cx_timer timer;
	bool failed, told;
};

/* ---- memory and lists ----------------------------------------------------------------------- */

static struct cx_box *new_box(struct cx_gateway *gw)
{
	struct cx_box *box = calloc(1, sizeof *box);

	if (box == NULL)
		return NULL;
	box->gw = gw;
	box->log.max = LOG_KEPT + LOG_CHUNK;
	box->next = gw->boxes;
	box->link = &gw->boxes;
	if (box->next != NULL)
		box->next->link = &box->next;
	gw->boxes = box;
	return box;
}

static void forget_config(struct cx_box *box)
{
	cx_buf_wipe(&box->wish);
	cx_buf_wipe(&box->env);
	cx_buf_free(&box->start);
	cx_freep(&box->cwd);
	cx_freep(&box->user);
}

static void free_box(struct cx_box *box)
{
	*box->link = box->next;
	if (box->next != NULL)
		box->next->link = box->link;
	cx_pull_leave(&box->pull);
	cx_engine_forget(&box->engine_call);
	cx_call_forget(&box->agent_call);
	cx_timer_clear(&box->timer);
	cx_session_close(box->session);
	forget_config(box);
	cx_buf_free(&box->log);
	cx_sandbox_row_clear(&box->row);
	free(box);
}

static bool is_text(const char *a, const char *b)
{
	return a != NULL && strcmp(a, b) == 0;
}

struct cx_box *cx_box_find(struct cx_gateway *gw, const char *id_or_name)
{
	for (struct cx_box *box = gw->boxes; box != NULL; box = box->next)
		if (is_text(box->row.id, id_or_name))
			return box;
	for (struct cx_box *box = gw->boxes; box != NULL; box = box->next)
		if (is_text(box->row.name, id_or_name) && box->row.id != NULL)
			return box;
	return NULL;
}

static struct cx_box *find_engine_id(struct cx_gateway *gw, const char *engine_id)
{
	struct cx_box *box = gw->boxes;

	while (box != NULL && !is_text(box->row.engine_id, engine_id))
		box = box->next;
	return box;
}

struct cx_box *cx_box_find_key(struct cx_gateway *gw, const char *idempotency_key)
{
	for (struct cx_box *box = gw->boxes; box != NULL; box = box->next)
		if (is_text(box->row.idempotency_key, idempotency_key))
			return box;
	return NULL;
}

bool cx_box_is_promised(const struct cx_box *box)
{
	return box->promised;
}

const struct cx_sandbox_row *cx_box_row(const struct cx_box *box)
{
	return &box->row;
}

struct cx_session *cx_box_session(struct cx_box *box, struct cx_err *err)
{
	static const char *const phases[] = { [CX_BOX_PULLING] = "waiting for its image",
					      [CX_BOX_CREATING] = "starting",
					      [CX_BOX_CONFIGURING] = "starting",
					      [CX_BOX_ENDING] = "ending" };

	if (box->phase != CX_BOX_RUNNING)
		(void)cx_refuse(err, CX_CONFLICT, "the sandbox is not running, it is %s",
				phases[box->phase]);
	else if (box->session == NULL)
		(void)cx_refuse(err, CX_UNAVAILABLE,
				"the sandbox does not answer at the moment; try again");
	return box->phase == CX_BOX_RUNNING ? box->session : NULL;
}

static void tell(struct cx_box_waiter **list, const struct cx_sandbox_row *row,
		 const struct cx_err *err)
{
	while (*list != NULL) {
		struct cx_box_waiter *waiter = *list;

		*list = waiter->next;
		waiter->done(waiter, row, err);
	}
}

void cx_box_wait_running(struct cx_box *box, struct cx_box_waiter *waiter)
{
	waiter->next = box->running;
	box->running = waiter;
}

static int set_text(char **slot, const char *text, struct cx_err *err)
{
	char *copy = strdup(text);

	if (copy == NULL)
		return cx_fail(err, ENOMEM, "a sandbox's record");
	free(*slot);
	*slot = copy;
	return 0;
}

/* A record that cannot be written is told to the log; the sandbox itself is what counts. */
static void save(struct cx_box *box)
{
	struct cx_err err;

	box->row.updated_ms = cx_wall_ms();
	if (cx_store_sandbox_update(box->gw->store, &box->row, &err) < 0)
		cx_log_err(CX_LOG_ERROR, &err, "sandbox not recorded", "id", box->row.id, NULL);
}

/* ---- the end -------------------------------------------------------------------------------- */

static void adoption_done(struct cx_box *box);

static void mark(struct cx_box *box, const char *status, const char *type, const char *message)
{
	struct cx_err err;

	if (is_text(box->row.status, "TERMINATED") || is_text(box->row.status, "ERROR"))
		return; /* the first reason is the reason */
	if (set_text(&box->row.status, status, &err) < 0 ||
	    (type != NULL && set_text(&box->row.error_type, type, &err) < 0) ||
	    (message != NULL && set_text(&box->row.error_message, message, &err) < 0))
		cx_log_err(CX_LOG_ERROR, &err, "sandbox not recorded", "id", box->row.id, NULL);
}

static void mark_failed(struct cx_box *box, const char *type, const struct cx_err *why)
{
	char text[sizeof why->msg + 128];

	mark(box, "ERROR", type, cx_err_render(why, text, sizeof text));
}

/* Nothing of it is left in the kernel. Frees the box. */
static void finish(struct cx_box *box)
{
	bool kept = box->row.started_ms != 0 || box->promised;
	struct cx_err err;

	adoption_done(box);
	if (box->row.started_ms == 0 && box->why.errnum != 0)
		mark_failed(box, "START_FAILED", &box->why);
	mark(box, "TERMINATED", NULL, NULL);
	box->row.ended_ms = cx_wall_ms();
	if (box->log.len > 0 && cx_buf_add(&box->log, "", 1, &err) == 0)
		box->row.log = cx_take_ptr(&box->log.p);
	if (kept)
		save(box);
	else if (cx_store_sandbox_remove(box->gw->store, box->row.row, &err) < 0)
		cx_log_err(CX_LOG_ERROR, &err, "record not removed", NULL);
	if (box->why.errnum == 0)
		(void)cx_refuse(&box->why, CX_CONFLICT, "the sandbox was deleted while it started");
	cx_log(CX_LOG_INFO, "sandbox ended", "id", box->row.id != NULL ? box->row.id : "none",
	       "status", box->row.status, "name", box->row.name, NULL);
	tell(&box->running, NULL, &box->why);
	tell(&box->gone, &box->row, NULL);
	free_box(box);
}

/* Commands that still run are told first: closing a session silences them. */
static void close_session(struct cx_box *box, const char *reason)
{
	struct cx_session *session = box->session;
	struct cx_err err;

	box->session = NULL;
	cx_call_forget(&box->agent_call);
	cx_timer_clear(&box->timer);
	if (session == NULL)
		return;
	(void)cx_refuse(&err, CX_CONFLICT, "%s", reason);
	if (cx_session_alive(session))
		cx_session_fail(session, &err);
	cx_session_close(session);
}

static void on_destroyed(struct cx_engine_call *call, struct cx_engine_answer *answer,
			 const struct cx_err *err)
{
	struct cx_box *box = cx_container_of(call, struct cx_box, engine_call);

	(void)answer;
	if (err == NULL || err->kind == CX_NOT_FOUND) {
		finish(box);
		return;
	}
	/* It goes on existing, and so does the box: the next delete tries again. */
	box->destroying = false;
	cx_log_err(CX_LOG_ERROR, err, "sandbox not destroyed", "id", box->row.id, NULL);
	adoption_done(box);
	tell(&box->running, NULL, err);
	tell(&box->gone, NULL, err);
}

static void ask_destroy(struct cx_box *box)
{
	struct cx_err err;

	cx_engine_forget(&box->engine_call);
	box->engine_call.done = on_destroyed;
	box->destroying = true;
	if (cx_engine_destroy(box->gw->engine, box->row.engine_id, &box->engine_call, &err) == 0)
		return;
	box->destroying = false;
	cx_log_err(CX_LOG_ERROR, &err, "sandbox not destroyed", "id", box->row.id, NULL);
	tell(&box->gone, NULL, &err);
}

static void begin_end(struct cx_box *box)
{
	if (box->phase == CX_BOX_PULLING) { /* there is nothing of it yet */
		finish(box);
		return;
	}
	box->phase = CX_BOX_ENDING;
	box->reading_log = false;
	close_session(box, "the sandbox has ended");
	forget_config(box);
	if (box->row.engine_id != NULL) /* else on_created() goes on from here */
		ask_destroy(box);
}

void cx_box_destroy(struct cx_box *box, struct cx_box_waiter *waiter)
{
	if (waiter != NULL) {
		waiter->next = box->gone;
		box->gone = waiter;
	}
	if (box->phase != CX_BOX_ENDING || (!box->destroying && !box->reading_log))
		begin_end(box);
}

bool cx_box_wait_gone(struct cx_box *box, struct cx_box_waiter *waiter)
{
	if (box->phase != CX_BOX_ENDING || (!box->destroying && !box->reading_log))
		return false;
	waiter->next = box->gone;
	box->gone = waiter;
	return true;
}

static const struct {
	const char *status, *type, *message;
} ends[CX_END_MAX] = {
	[CX_END_AGENT_EXITED] = { "ERROR", "AGENT_EXITED",
				  "the sandbox's first process ended, and all others with it" },
	[CX_END_OOM] = { "ERROR", "OOM_KILLED", "the sandbox ran out of its memory" },
	[CX_END_DESTROYED] = { "TERMINATED", NULL, NULL },
	[CX_END_LOST] = { "ERROR", "LOST", "the sandbox was found dead at a start of caissond" },
};

void cx_boxes_ended(struct cx_gateway *gw, const char *id, enum cx_end reason)
{
	struct cx_box *box = find_engine_id(gw, id);

	if (box == NULL)
		return;
	mark(box, ends[reason].status, ends[reason].type, ends[reason].message);
	if (box->why.errnum == 0)
		(void)cx_refuse(&box->why, CX_CONFLICT, "the sandbox ended while it started: %s",
				ends[reason].message != NULL ? ends[reason].message : "destroyed");
	close_session(box, ends[reason].message != NULL ? ends[reason].message
							: "the sandbox was destroyed");
	finish(box);
}

/* ---- the start command's end ---------------------------------------------------------------- */

static void read_log(struct cx_box *box, uint64_t offset);

static void on_log(struct cx_call *call, const struct cx_answer *answer, const struct cx_err *err)
{
	struct cx_box *box = cx_container_of(call, struct cx_box, agent_call);
	struct cx_err full;

	if (err == NULL && answer->log.data.len > 0 &&
	    cx_buf_add(&box->log, answer->log.data.p, answer->log.data.len, &full) == 0) {
		if (box->log.len > LOG_KEPT)
			cx_buf_drop_front(&box->log, box->log.len - LOG_KEPT);
		read_log(box, answer->log.offset + answer->log.data.len);
		return;
	}
	begin_end(box);
}

static void read_log(struct cx_box *box, uint64_t offset)
{
	struct cx_err err;

	box->agent_call.done = on_log;
	if (box->session == NULL ||
	    cx_session_log(box->session, offset, LOG_CHUNK, &box->agent_call, &err) < 0)
		begin_end(box);
}

static void main_ended(struct cx_box *box, const struct cx_msg_main_state *state)
{
	char message[80];

	if (box->phase != CX_BOX_RUNNING)
		return;
	box->phase = CX_BOX_ENDING;
	box->reading_log = true;
	cx_call_forget(&box->agent_call);
	box->row.exit_code = (int64_t)state->status + (state->how == CX_EXITED_SIGNAL ? 128 : 0);
	(void)snprintf(message, sizeof message, "the start command ended with %s %u",
		       state->how == CX_EXITED_SIGNAL ? "signal" : "status", state->status);
	if (box->row.exit_code == 0)
		mark(box, "TERMINATED", NULL, NULL);
	else
		mark(box, "ERROR", "START_COMMAND_FAILED", message);
	read_log(box, 0);
}

static void on_main_ended(struct cx_session *session, const struct cx_msg_main_state *state,
			  void *arg)
{
	(void)session;
	main_ended(arg, state);
}

/* ---- reaching the agent --------------------------------------------------------------------- */

static void reconnect(struct cx_box *box);

static void try_again(struct cx_timer *timer)
{
	reconnect(cx_container_of(timer, struct cx_box, timer));
}

static void on_lost(struct cx_session *session, const struct cx_err *err, void *arg)
{
	struct cx_box *box = arg;

	if (box->session != session) /* we are closing it */
		return;
	cx_log_err(CX_LOG_WARNING, err, "agent lost", "id", box->row.id, NULL);
	box->session = NULL;
	cx_session_close(session);
	if (box->phase == CX_BOX_CONFIGURING) {
		box->why = *err;
		begin_end(box);
	} else if (box->phase == CX_BOX_ENDING) { /* while its log was read */
		begin_end(box);
	} else {
		cx_timer_set(box->gw->loop, &box->timer, RECONNECT_MS);
	}
}

static int open_session(struct cx_box *box, int *sock, struct cx_err *err)
{
	struct cx_session_events events = { .lost = on_lost,
					    .main_ended = on_main_ended,
					    .arg = box };

	return cx_session_open(box->gw->loop, box->gw->scratch, sock, &events, &box->session, err);
}

static void on_main_status(struct cx_call *call, const struct cx_answer *answer,
			   const struct cx_err *err)
{
	struct cx_box *box = cx_container_of(call, struct cx_box, agent_call);

	adoption_done(box);
	if (err != NULL) {
		cx_log_err(CX_LOG_WARNING, err, "agent not reached", "id", box->row.id, NULL);
		close_session(box, "the sandbox does not answer");
		cx_timer_set(box->gw->loop, &box->timer, RECONNECT_MS);
		return;
	}
	box->tries = 0;
	if (answer->main.state == CX_MAIN_ENDED)
		main_ended(box, &answer->main);
}

static void on_connected(struct cx_engine_call *call, struct cx_engine_answer *answer,
			 const struct cx_err *err)
{
	struct cx_box *box = cx_container_of(call, struct cx_box, engine_call);
	struct cx_err failed;

	if (err == NULL && open_session(box, &answer->fd, &failed) == 0) {
		box->agent_call.done = on_main_status;
		if (cx_session_main(box->session, &box->agent_call, &failed) == 0)
			return;
		close_session(box, "the agent cannot be asked");
	}
	if (err != NULL && err->kind == CX_NOT_FOUND) {
		mark(box, "ERROR", "LOST", "the sandbox vanished");
		finish(box);
		return;
	}
	cx_log_err(CX_LOG_WARNING, err != NULL ? err : &failed, "agent not reached", "id",
		   box->row.id, NULL);
	cx_timer_set(box->gw->loop, &box->timer, RECONNECT_MS);
}

static void reconnect(struct cx_box *box)
{
	struct cx_err err;

	box->timer.fire = try_again;
	box->engine_call.done = on_connected;
	if (++box->tries > RECONNECT_TRIES) {
		mark(box, "ERROR", "AGENT_LOST", "the sandbox's agent could not be reached");
		begin_end(box);
	} else if (cx_engine_connect(box->gw->engine, box->row.engine_id, &box->engine_call, &err) <
		   0) {
		cx_timer_set(box->gw->loop, &box->timer, RECONNECT_MS);
	}
}

/* ---- creation ------------------------------------------------------------------------------- */

static void on_configured(struct cx_call *call, const struct cx_answer *answer,
			  const struct cx_err *err)
{
	struct cx_box *box = cx_container_of(call, struct cx_box, agent_call);
	struct cx_err failed;

	(void)answer;
	forget_config(box);
	if (err == NULL && set_text(&box->row.status, "RUNNING", &failed) < 0)
		err = &failed;
	if (err == NULL) {
		box->row.started_ms = box->row.updated_ms = cx_wall_ms();
		if (cx_store_sandbox_update(box->gw->store, &box->row, &failed) < 0) {
			box->row.started_ms = 0;
			err = &failed;
		}
	}
	if (err != NULL) {
		box->why = *err;
		begin_end(box);
		return;
	}
	box->phase = CX_BOX_RUNNING;
	cx_log(CX_LOG_INFO, "sandbox running", "id", box->row.id, "name", box->row.name, NULL);
	tell(&box->running, &box->row, NULL);
}

static struct cx_str strv_of(const struct cx_buf *buf)
{
	return (struct cx_str){ .p = buf->p, .len = (uint32_t)buf->len };
}

static int configure(struct cx_box *box, int *sock, struct cx_err *err)
{
	struct cx_msg_configure plan = { .env = strv_of(&box->env),
					 .cwd = cx_str_of(box->cwd),
					 .user = cx_str_of(box->user),
					 .start = strv_of(&box->start) };

	box->agent_call.done = on_configured;
	box->phase = CX_BOX_CONFIGURING;
	box->timer.fire = try_again;
	if (open_session(box, sock, err) < 0)
		return -err->errnum;
	return cx_session_configure(box->session, &plan, &box->agent_call, err);
}

static void on_created(struct cx_engine_call *call, struct cx_engine_answer *answer,
		       const struct cx_err *err)
{
	struct cx_box *box = cx_container_of(call, struct cx_box, engine_call);
	char id[33];

	if (err != NULL) {
		if (box->why.errnum == 0)
			box->why = *err;
		finish(box);
		return;
	}
	if (!cx_str_copy(answer->created.id, id, sizeof id) ||
	    set_text(&box->row.engine_id, id, &box->why) < 0 ||
	    (box->row.id == NULL && set_text(&box->row.id, id, &box->why) < 0)) {
		/* Not named, it cannot be destroyed here; the next adoption will. */
		(void)cx_refuse(&box->why, CX_INTERNAL, "caissond gave the sandbox no id");
		finish(box);
		return;
	}
	if (box->phase == CX_BOX_ENDING)
		ask_destroy(box);
	else if (configure(box, &answer->fd, &box->why) < 0)
		begin_end(box);
}

static int check_platform(const struct cx_image_row *image, struct cx_err *err)
{
	if (strcmp(image->platform, CX_OCI_HOST_PLATFORM) == 0)
		return 0;
	return cx_refuse(err, CX_INVALID, "image '%.200s' is for %s; this host runs %s",
			 image->name, image->platform, CX_OCI_HOST_PLATFORM);
}

static int prepare_config(struct cx_box *box, const struct cx_image_row *image, struct cx_err *err)
{
	CX_AUTO(cx_image_config_clear) struct cx_image_config config = { 0 };

	box->env.max = 131072;
	if (check_platform(image, err) < 0)
		return -err->errnum;
	if (cx_image_config_load(image->config, &config, err) < 0 ||
	    cx_buf_add(&box->env, config.env.p, config.env.len, err) < 0 ||
	    cx_buf_add(&box->env, box->wish.p, box->wish.len, err) < 0)
		return cx_wrap(err, "the environment of image and sandbox");
	cx_buf_wipe(&box->wish);
	box->cwd = cx_take_ptr(&config.cwd);
	box->user = cx_take_ptr(&config.user);
	return 0;
}

static int ask_create(struct cx_box *box, const struct cx_image_row *image, struct cx_err *err)
{
	uint8_t layers[32 * CX_IMAGE_LAYERS_MAX];
	char hostname[64];
	struct cx_msg_create plan = {
		.cpu_milli = (uint32_t)(box->row.cpu_cores * 1000 + 0.5),
		.memory_bytes = cx_spec_memory_bytes(&box->row),
		.pids = (uint32_t)box->row.pids_limit,
		.layers = { .p = (const char *)layers, .len = 32 * image->nlayers },
	};

	for (unsigned i = 0; i < image->nlayers; i++)
		memcpy(layers + 32 * (size_t)i, image->layers[i].diff_id, 32);
	cx_spec_hostname(box->row.name, hostname);
	plan.hostname = cx_str_of(hostname);
	box->engine_call.done = on_created;
	box->phase = CX_BOX_CREATING;
	return cx_engine_create(box->gw->engine, &plan, &box->engine_call, err);
}

static int check_name(struct cx_gateway *gw, const char *name, struct cx_err *err)
{
	for (const struct cx_box *box = gw->boxes; box != NULL; box = box->next)
		if (is_text(box->row.name, name))
			return cx_refuse(err, CX_CONFLICT,
					 "'name': a sandbox '%.128s' exists; delete it or choose "
					 "another name",
					 name);
	return 0;
}

static void take_spec(struct cx_box *box, struct cx_spec *spec)
{
	box->row = spec->row;
	spec->row = (struct cx_sandbox_row){ 0 };
	box->wish = spec->env;
	spec->env = (struct cx_buf){ 0 };
	box->start = spec->start;
	spec->start = (struct cx_buf){ 0 };
}

static int begin_row(struct cx_box *box, const char *status, struct cx_err *err)
{
	box->row.exit_code = -1;
	box->row.created_ms = box->row.updated_ms = cx_wall_ms();
	if (set_text(&box->row.status, status, err) < 0)
		return -err->errnum;
	return cx_store_sandbox_insert(box->gw->store, &box->row, err);
}

static void undo_row(struct cx_box *box)
{
	struct cx_err err;

	if (box->row.row != 0 && cx_store_sandbox_remove(box->gw->store, box->row.row, &err) < 0)
		cx_log_err(CX_LOG_ERROR, &err, "record not removed", NULL);
	free_box(box);
}

/* ---- creation from an image that has to come first ------------------------------------------ */

static int create_pulled(struct cx_box *box, const struct cx_image_row *image, struct cx_err *err)
{
	if (prepare_config(box, image, err) < 0 ||
	    set_text(&box->row.status, "PROVISIONING", err) < 0)
		return -err->errnum;
	save(box);
	return ask_create(box, image, err);
}

static void on_pulled(struct cx_pull_waiter *waiter, const struct cx_image_row *image,
		      const struct cx_err *err)
{
	struct cx_box *box = cx_container_of(waiter, struct cx_box, pull);

	if (err != NULL) {
		mark_failed(box, "IMAGE_PULL_FAILED", err);
		box->why = *err;
	} else if (create_pulled(box, image, &box->why) == 0) {
		return;
	}
	finish(box);
}

/* As those of caissond look, so that nobody has to tell them apart. */
static int make_id(struct cx_box *box, struct cx_err *err)
{
	static const char letters[] = "abcdefghijklmnopqrstuvwxyz0123456789";
	uint8_t random[12];
	char id[sizeof random + 1] = "";

	if (getrandom(random, sizeof random, 0) != (ssize_t)sizeof random)
		return cx_fail(err, errno, "an id");
	for (size_t i = 0; i < sizeof random; i++)
		id[i] = letters[random[i] % (i == 0 ? 26 : 36)];
	return set_text(&box->row.id, id, err);
}

/* The client hears of it at once, and sees in its status what becomes of it. */
static int begin_pull(struct cx_box *box, struct cx_box_waiter *waiter, struct cx_err *err)
{
	box->phase = CX_BOX_PULLING;
	box->pull.done = on_pulled;
	if (make_id(box, err) < 0 || begin_row(box, "PENDING", err) < 0 ||
	    cx_pull_start(box->gw, box->row.image_name, NULL, NULL, &box->pull, err) < 0)
		return -err->errnum;
	box->promised = true;
	cx_box_wait_running(box, waiter);
	tell(&box->running, &box->row, NULL);
	return 0;
}

/* 1: it is here and may be used; 0: it has to be pulled. */
static int find_image(struct cx_gateway *gw, const struct cx_spec *spec, struct cx_image_row *ret,
		      struct cx_err *err)
{
	int r = cx_store_image_find(gw->store, spec->row.image_name, ret, err);

	if (r < 0 && err->kind != CX_NOT_FOUND)
		return r;
	if (spec->pull == CX_PULL_ALWAYS)
		return 0;
	if (r < 0 && spec->pull == CX_PULL_MISSING && cx_registries_enabled(gw->registries))
		return 0;
	return r < 0 ? r : 1;
}

static int begin(struct cx_box *box, const struct cx_image_row *image, struct cx_box_waiter *waiter,
		 struct cx_err *err)
{
	if (prepare_config(box, image, err) < 0 || begin_row(box, "PROVISIONING", err) < 0 ||
	    ask_create(box, image, err) < 0)
		return -err->errnum;
	cx_box_wait_running(box, waiter);
	return 0;
}

int cx_box_create(struct cx_gateway *gw, struct cx_spec *spec, struct cx_box_waiter *waiter,
		  struct cx_err *err)
{
	CX_AUTO(cx_image_row_clear) struct cx_image_row image = { 0 };
	int here = find_image(gw, spec, &image, err);
	struct cx_box *box;

	if (here < 0 || check_name(gw, spec->row.name, err) < 0)
		return -err->errnum;
	box = new_box(gw);
	if (box == NULL)
		return cx_fail(err, ENOMEM, "sandbox");
	take_spec(box, spec);
	if ((here == 1 ? begin(box, &image, waiter, err) : begin_pull(box, waiter, err)) < 0) {
		undo_row(box);
		return -err->errnum;
	}
	return 0;
}

/* ---- adoption ------------------------------------------------------------------------------- */

static void tell_ready(struct adoption *adoption)
{
	cx_timer_clear(&adoption->timer);
	if (!adoption->told)
		adoption->ready(adoption->gw, NULL);
	adoption->told = true;
}

static void waited_enough(struct cx_timer *timer)
{
	tell_ready(cx_container_of(timer, struct adoption, timer));
}

static void count_down(struct adoption *adoption)
{
	if (--adoption->pending > 0)
		return;
	tell_ready(adoption);
	free(adoption->listed);
	free(adoption);
}

static void adoption_done(struct cx_box *box)
{
	struct adoption *adoption = box->adoption;

	box->adoption = NULL;
	if (adoption != NULL)
		count_down(adoption);
}

static bool take_listed(struct adoption *adoption, const char *id)
{
	for (size_t i = 0; i < adoption->nlisted; i++)
		if (is_text(adoption->listed[i], id)) {
			adoption->listed[i][0] = '\0';
			return true;
		}
	return false;
}

static void on_listed(struct cx_engine_call *call, const char *id)
{
	struct adoption *adoption = cx_container_of(call, struct adoption, call);
	char(*more)[33];

	more = reallocarray(adoption->listed, adoption->nlisted + 1, sizeof *more);
	if (more == NULL) {
		adoption->failed = true;
		return;
	}
	adoption->listed = more;
	(void)snprintf(more[adoption->nlisted++], sizeof *more, "%s", id);
}

static int copy_row(struct cx_gateway *gw, const char *id, struct cx_box **ret, struct cx_err *err)
{
	struct cx_box *box = new_box(gw);

	if (box == NULL)
		return cx_fail(err, ENOMEM, "sandbox");
	box->timer.fire = try_again;
	box->phase = CX_BOX_RUNNING;
	if (cx_store_sandbox_find(gw->store, id, &box->row, err) < 0) {
		free_box(box);
		return -err->errnum;
	}
	*ret = box;
	return 0;
}

static int keep_id(const struct cx_sandbox_row *row, void *arg, struct cx_err *err)
{
	struct cx_buf *ids = arg;

	return cx_buf_add(ids, row->id, strlen(row->id) + 1, err);
}

static int adopt_one(struct adoption *adoption, const char *id, struct cx_err *err)
{
	struct cx_box *box;

	if (copy_row(adoption->gw, id, &box, err) < 0)
		return -err->errnum;
	box->promised = true; /* clients know it */
	if (box->row.engine_id == NULL) {
		mark(box, "ERROR",
		     is_text(box->row.status, "PENDING") ? "IMAGE_PULL_FAILED" : "LOST",
		     "the engine was started anew before the sandbox ran; create it again");
		finish(box);
		return 0;
	}
	if (!take_listed(adoption, box->row.engine_id)) {
		mark(box, "ERROR", "LOST", "the sandbox ended while nobody watched");
		finish(box);
		return 0;
	}
	box->adoption = adoption;
	adoption->pending++;
	reconnect(box);
	return 0;
}

static void destroy_strangers(struct adoption *adoption)
{
	struct cx_err err;

	for (size_t i = 0; i < adoption->nlisted; i++) {
		const char *id = adoption->listed[i];

		if (id[0] == '\0')
			continue;
		cx_log(CX_LOG_WARNING, "a sandbox without a record is destroyed", "id", id, NULL);
		if (cx_engine_destroy(adoption->gw->engine, id, NULL, &err) < 0)
			cx_log_err(CX_LOG_ERROR, &err, "sandbox not destroyed", "id", id, NULL);
	}
}

static int adopt_all(struct adoption *adoption, struct cx_err *err)
{
	CX_AUTO(cx_buf_free) struct cx_buf ids = { .max = 64 << 20 };
	struct cx_sandbox_filter live = { .live_only = true };
	struct cx_gateway *gw = adoption->gw;

	if (adoption->failed)
		return cx_fail(err, ENOMEM, "list of sandboxes");
	if (cx_store_sandbox_forget_unborn(gw->store, err) < 0 ||
	    cx_store_sandbox_each(gw->store, &live, keep_id, &ids, err) < 0)
		return -err->errnum;
	CX_STRV_FOREACH (id, strv_of(&ids)) {
		if (adopt_one(adoption, id, err) < 0)
			return -err->errnum;
	}
	destroy_strangers(adoption);
	return 0;
}

static void on_list_end(struct cx_engine_call *call, struct cx_engine_answer *answer,
			const struct cx_err *err)
{
	struct adoption *adoption = cx_container_of(call, struct adoption, call);
	struct cx_err failed;

	(void)answer;
	if (err == NULL && adopt_all(adoption, &failed) < 0)
		err = &failed;
	if (err != NULL)
		adoption->ready(adoption->gw, err); /* main() ends the process */
	else if (adoption->pending > 1)
		cx_timer_set(adoption->gw->loop, &adoption->timer, ADOPT_MS);
	if (err == NULL)
		count_down(adoption);
}

int cx_boxes_adopt(struct cx_gateway *gw,
		   void (*ready)(struct cx_gateway *gw, const struct cx_err *err),
		   struct cx_err *err)
{
	struct adoption *adoption = calloc(1, sizeof *adoption);

	if (adoption == NULL)
		return cx_fail(err, ENOMEM, "list of sandboxes");
	*adoption = (struct adoption){
		.gw = gw, .ready = ready, .pending = 1, .timer.fire = waited_enough
	};
	adoption->call.done = on_list_end;
	adoption->call.listed = on_listed;
	if (cx_engine_list(gw->engine, &adoption->call, err) < 0) {
		free(adoption);
		return -err->errnum;
	}
	return 0;
}
