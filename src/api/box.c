/* SPDX-License-Identifier: Apache-2.0 */
#include "api/box.h"

#include <stdio.h>
#include <string.h>

#include "api/detached.h"
#include "api/events.h"
#include "base/list.h"
#include "base/log.h"

static void free_words(struct cx_box *box)
{
	for (unsigned i = 0; i < CX_BOX_WORDS; i++)
		cx_freep(&box->words[i]);
}

static bool make_words(struct cx_box *box)
{
	for (unsigned i = 0; i < CX_BOX_WORDS; i++) {
		box->words[i] = malloc(CX_BOX_WORD_MAX);
		if (box->words[i] == NULL) {
			free_words(box);
			return false;
		}
	}
	return true;
}

struct cx_box *cx_box_new(struct cx_gateway *gw)
{
	cx_autofree struct cx_box *box = calloc(1, sizeof *box);

	if (box == NULL || !make_words(box))
		return NULL;
	box->gw = gw;
	box->log.max = CX_BOX_LOG_MAX + CX_BOX_LOG_CHUNK;
	cx_list_add(&gw->boxes, box);
	return cx_take_ptr(&box);
}

void cx_box_enter(struct cx_box *box)
{
	cx_index_add(&box->gw->boxes_by_id, &box->by_id, box->row.id);
}

void cx_box_forget_config(struct cx_box *box)
{
	cx_buf_wipe(&box->wish);
	cx_buf_wipe(&box->env);
	cx_buf_free(&box->start);
	cx_freep(&box->cwd);
	cx_freep(&box->user);
}

void cx_box_free(struct cx_box *box)
{
	cx_list_remove(box);
	cx_index_remove(&box->by_id);
	cx_detached_leave(box->gw, box);
	cx_pull_leave(&box->pull);
	cx_queue_leave(box);
	cx_engine_forget(&box->engine_call);
	cx_call_forget(&box->agent_call);
	cx_engine_forget(&box->doubt);
	cx_engine_forget(&box->slot);
	cx_engine_forget(&box->change);
	cx_boxnet_end(box);
	cx_timer_clear(&box->timer);
	cx_timer_clear(&box->life);
	cx_timer_clear(&box->lease);
	cx_session_close(box->broken);
	cx_session_close(box->session);
	free_words(box);
	cx_freep(&box->oom_message);
	cx_box_forget_config(box);
	cx_buf_free(&box->log);
	cx_sandbox_row_clear(&box->row);
	free(box);
}

bool cx_box_is(const char *a, const char *b)
{
	return a != NULL && strcmp(a, b) == 0;
}

struct cx_box *cx_box_find(struct cx_gateway *gw, const char *id)
{
	struct cx_indexed *found = cx_index_find(&gw->boxes_by_id, id);

	return found != NULL ? cx_container_of(found, struct cx_box, by_id) : NULL;
}

struct cx_box *cx_box_find_owned(struct cx_gateway *gw, const char *user, const char *name,
				 const struct cx_box *after)
{
	struct cx_box *box = after != NULL ? after->next : gw->boxes;

	while (box != NULL &&
	       !(cx_box_is(box->row.user_id, user) && cx_box_is(box->row.name, name)))
		box = box->next;
	return box;
}

struct cx_box *cx_box_find_engine(struct cx_gateway *gw, const char *engine_id)
{
	struct cx_box *box = cx_box_find(gw, engine_id); /* mostly both are the same */

	if (box != NULL && cx_box_is(box->row.engine_id, engine_id))
		return box;
	box = gw->boxes;
	while (box != NULL && !cx_box_is(box->row.engine_id, engine_id))
		box = box->next;
	return box;
}

struct cx_box *cx_box_find_key(struct cx_gateway *gw, const char *user, const char *key)
{
	struct cx_box *box = gw->boxes;

	while (box != NULL &&
	       !(cx_box_is(box->row.idempotency_key, key) && cx_box_is(box->row.user_id, user)))
		box = box->next;
	return box;
}

bool cx_box_is_promised(const struct cx_box *box)
{
	return box->promised;
}

const struct cx_sandbox_row *cx_box_row(const struct cx_box *box)
{
	return &box->row;
}

struct cx_session *cx_box_agent(struct cx_box *box, struct cx_err *err)
{
	static const char *const phases[] = { [CX_BOX_PULLING] = "waiting for its image",
					      [CX_BOX_QUEUED] = "waiting for room on the host",
					      [CX_BOX_CREATING] = "starting",
					      [CX_BOX_CONFIGURING] = "starting" };

	if (box->phase != CX_BOX_RUNNING)
		(void)cx_refuse(err, CX_CONFLICT, "the sandbox is not running, it is %s",
				box->phase == CX_BOX_ENDING ? box->row.status : phases[box->phase]);
	else if (box->session == NULL)
		(void)cx_refuse(err, CX_CONFLICT,
				"the sandbox does not answer at the moment; try again");
	return box->phase == CX_BOX_RUNNING ? box->session : NULL;
}

struct cx_session *cx_box_session(struct cx_box *box, struct cx_err *err)
{
	struct cx_session *session = cx_box_agent(box, err);

	if (session == NULL)
		return NULL;
	if (box->row.paused_ms != 0 || box->changing != CX_BOX_AT_REST) {
		(void)cx_refuse(err, CX_CONFLICT, "the sandbox is %s",
				box->changing == CX_BOX_PAUSING	   ? "just being paused"
				: box->changing == CX_BOX_RESUMING ? "just being resumed"
								   : "PAUSED; resume it first");
		return NULL;
	}
	cx_box_touch(box);
	return session;
}

struct cx_session *cx_box_last_session(struct cx_box *box)
{
	return box->session;
}

struct cx_detached **cx_box_detached(struct cx_box *box)
{
	return &box->detached;
}

void cx_box_watch(struct cx_box *box, struct cx_box_watch *watch)
{
	cx_list_add(&box->watches, watch);
}

void cx_box_unwatch(struct cx_box_watch *watch)
{
	cx_list_remove(watch);
}

void cx_box_tell(struct cx_box_waiter **list, const struct cx_sandbox_row *row,
		 const struct cx_err *err)
{
	struct cx_box_waiter *waiter = *list;

	*list = NULL; /* who is told may wait for more */
	while (waiter != NULL) {
		struct cx_box_waiter *next = waiter->next;

		waiter->done(waiter, row, err);
		waiter = next;
	}
}

void cx_box_wait_running(struct cx_box *box, struct cx_box_waiter *waiter)
{
	waiter->next = box->running;
	box->running = waiter;
}

int cx_box_set(char **slot, const char *text, struct cx_err *err)
{
	char *copy = strdup(text);

	if (copy == NULL)
		return cx_fail(err, ENOMEM, "a sandbox's record");
	free(*slot);
	*slot = copy;
	return 0;
}

void cx_box_set_word(struct cx_box *box, enum cx_box_word which, char **slot, const char *word)
{
	if (word == NULL)
		return;
	free(*slot);
	*slot = cx_take_ptr(&box->words[which]);
	(void)snprintf(*slot, CX_BOX_WORD_MAX, "%s", word);
}

bool cx_box_save(struct cx_box *box)
{
	struct cx_err err;
	bool saved;

	box->row.updated_ms = cx_wall_ms();
	saved = cx_store_sandbox_update(box->gw->store, &box->row, &err) == 0;
	if (!saved)
		cx_log_err(CX_LOG_ERROR, &err, "sandbox not recorded", "id", box->row.id, NULL);
	cx_events_written(box->gw);
	return saved;
}
