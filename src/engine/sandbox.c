/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fault.h"
#include "base/list.h"
#include "base/str.h"
#include "engine/egress.h"
#include "proto/agent_msgs.h"
#include "runtime/rootfs.h"

enum {
	CLAIM_REQUEST = 1,  /* the only request of caissond's own connection */
	DYING_MS = 5000,    /* after which a process that does not die is told of */
	RETRY_MS_MAX = 500, /* between two tries to remove the groups */
	AGENT_BACKLOG = 64,
	PLACE_PATH = CX_CONFIG_TEXT + 32,
};

static void deliver(struct cx_sandbox *sb, enum cx_sandbox_event event);
static int make_connection(struct cx_sandbox *sb, struct cx_err *err);
static void watch_memory(struct cx_sandbox *sb);

static void blame(struct cx_sandbox *sb, const struct cx_err *err)
{
	if (sb->why.errnum == 0) /* the first cause counts */
		sb->why = *err;
}

static void fault(struct cx_sandbox *sb, const struct cx_err *err)
{
	blame(sb, err);
	deliver(sb, CX_EVENT_FAULT);
}

/* What it has so far is replaced, so the sum of all is right whatever its record says later. */
static void promise(struct cx_sandbox *sb, const struct cx_promises *part)
{
	struct cx_promises *sum = &sb->set->promised;

	sum->cpu_milli += part->cpu_milli - sb->promised.cpu_milli;
	sum->memory_bytes += part->memory_bytes - sb->promised.memory_bytes;
	sum->pids += part->pids - sb->promised.pids;
	sum->disk_bytes += part->disk_bytes - sb->promised.disk_bytes;
	sb->promised = *part;
}

/* What runs no more has its disk still. */
static void promise_recorded(struct cx_sandbox *sb)
{
	const bool runs = sb->state != CX_SANDBOX_REMAINS;
	const struct cx_record *r = &sb->record;
	const struct cx_promises part = {
		.cpu_milli = runs ? r->cpu_milli : 0,
		.memory_bytes = runs ? r->memory_bytes : 0,
		.pids = runs ? r->pids : 0,
		.disk_bytes = r->disk == CX_QUOTA_MEMORY ? 0 : r->disk_bytes,
	};

	promise(sb, &part);
}

int cx_sandbox_save(struct cx_sandbox *sb, struct cx_err *err)
{
	return cx_record_save(sb->set->host->dirs.sandboxes, &sb->record, err);
}

/* ---- making a blank: before each step the record says enough to undo it ---------------------- */

static int make_directory(struct cx_sandbox *sb, struct cx_err *err)
{
	struct cx_host *h = sb->set->host;
	char id[CX_ID_LEN + 1];

	for (int tries = 0; tries < 8; tries++) {
		if (cx_record_new_id(id, err) < 0)
			return -err->errnum;
		if (mkdirat(h->dirs.sandboxes, id, 0700) == 0) {
			cx_record_init(&sb->record, id);
			cx_index_add(&sb->set->by_id, &sb->by_id, sb->record.id);
			return 0;
		}
		if (errno != EEXIST)
			return cx_fail(err, errno, "make its directory");
	}
	return cx_refuse(err, CX_INTERNAL, "no unused name found");
}

static int make_ids(struct cx_sandbox *sb, struct cx_err *err)
{
	struct cx_host *h = sb->set->host;
	char owner[CX_ID_OWNER_MAX];

	if (cx_format(owner, sizeof owner, "%s/sandboxes/%s", err, h->dirs.run_path,
		      sb->record.id) < 0)
		return -err->errnum;
	return cx_ids_reserve(&h->ids, owner, &sb->record.uid_base, err);
}

/* Noted before the link is made, as the ids are. */
static int make_slot(struct cx_sandbox *sb, struct cx_err *err)
{
	struct cx_slots *slots = sb->set->host->slots;
	struct cx_slot_link link;

	if (slots == NULL)
		return 0;
	if (cx_slots_get(slots, &sb->record.slot, err) < 0)
		return -err->errnum;
	cx_slots_link(slots, sb->record.slot, &link);
	sb->record.address4 = link.address4.s_addr;
	return 0;
}

/* The record is saved again with the process: until then nothing lives that needs it. */
static void note_writable(struct cx_sandbox *sb)
{
	sb->record.disk = sb->writable.kind;
	sb->record.device = sb->writable.device;
}

static int make_writable(struct cx_sandbox *sb, struct cx_err *err)
{
	if (cx_quota_make(sb->set->host->quota, sb->record.id, sb->record.uid_base, &sb->writable,
			  err) < 0)
		return -err->errnum;
	note_writable(sb);
	return 0;
}

static int make_groups(struct cx_sandbox *sb, struct cx_err *err)
{
	struct cx_cgroups *groups = sb->set->host->cgroups;

	if (cx_cgroup_make(groups, sb->record.id, sb->record.uid_base, &sb->group, err) < 0)
		return -err->errnum;
	/*
	 * A claim that wants others sets them: until then nothing is in there but the agent, whose
	 * share of the processors is set, too. With a small one it would not come up in its time.
	 */
	if (sb->set->usual.pids > 0 && sb->set->usual.cpu_milli >= 1000 &&
	    cx_cgroup_limit(groups, &sb->group, &sb->set->usual, err) < 0)
		return -err->errnum;
	if (cx_cgroup_slot(groups, &sb->group, 1, sb->record.uid_base, err) < 0)
		return -err->errnum;
	watch_memory(sb); /* from before anything is in there */
	return 0;
}

/* By way of the descriptor: the path of a run directory may be too long for a socket's name. */
static void agent_address(const struct cx_sandbox *sb, struct sockaddr_un *ret)
{
	*ret = (struct sockaddr_un){ .sun_family = AF_UNIX };
	(void)snprintf(ret->sun_path, sizeof ret->sun_path, "/proc/self/fd/%d/%s/agent.sock",
		       sb->set->host->dirs.sandboxes, sb->record.id);
}

static int make_listener(struct cx_sandbox *sb, struct cx_err *err)
{
	cx_autofd int sock = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	struct sockaddr_un at;

	agent_address(sb, &at);
	if (sock < 0 || bind(sock, (struct sockaddr *)&at, sizeof at) < 0 ||
	    listen(sock, AGENT_BACKLOG) < 0)
		return cx_fail(err, errno, "make the agent's socket");
	return cx_take_fd(&sock);
}

/* What only the agent needs from now on; the gateway is to have the work groups, too. */
static void drop_handed_over(struct cx_cgroup *group)
{
	for (unsigned i = 0; i < group->ntasks; i++)
		cx_close(&group->tasks[i]);
	cx_close(&group->ns);
	group->ntasks = 0;
}

static void process_exited(void *owner, const struct cx_child_end *end)
{
	struct cx_sandbox *sb = owner;
	struct cx_err err;
	char how[48];

	sb->process = NULL;
	/* What it said before, why it cannot do what the claim says, has been heard before. */
	sb->lost |= sb->state == CX_SANDBOX_CLAIMING;
	(void)cx_refuse(&err, CX_INTERNAL, "its first process %s",
			cx_child_describe(end, how, sizeof how));
	if (sb->state != CX_SANDBOX_ENDING)
		blame(sb, &err);
	deliver(sb, CX_EVENT_EXIT);
}

/* ---- its process: the spawner is asked, and answers when others have had their turn ---------- */

struct cx_answers { /* of one spawner */
	struct cx_source source;
	struct cx_sandboxes *set;
	pid_t spawner;
};

static void free_answers(struct cx_source *source)
{
	free(cx_container_of(source, struct cx_answers, source));
}

static void stop_hearing(struct cx_sandboxes *set)
{
	struct cx_answers *answers = cx_take_ptr(&set->answers);

	if (answers != NULL)
		cx_loop_drop(&set->host->loop, &answers->source);
}

static void wait_for_process(struct cx_sandbox *sb)
{
	struct cx_sandbox **at = &sb->set->spawning;

	while (*at != NULL)
		at = &(*at)->next_spawning;
	sb->next_spawning = NULL;
	sb->spawn = sb->set->spawns;
	*at = sb;
}

/* Harmless when it does not. */
static void wait_no_more(struct cx_sandbox *sb)
{
	struct cx_sandbox **at = &sb->set->spawning;

	while (*at != NULL && *at != sb)
		at = &(*at)->next_spawning;
	if (*at == sb)
		*at = sb->next_spawning;
	sb->spawn = 0;
}

static int take_process(struct cx_sandbox *sb, struct cx_spawned *made, struct cx_err *err)
{
	struct cx_host *h = sb->set->host;
	int r;

	sb->userns = cx_take_fd(&made->userns);
	sb->mounts = cx_take_fd(&made->mounts);
	sb->record.pid = (uint32_t)made->pid;
	r = cx_record_start_ticks(made->pid, &sb->record.start_ticks, err);
	if (r == 0)
		r = cx_child_adopt(&h->loop, &made->pidfd, process_exited, sb, &sb->process, err);
	cx_spawned_close(made);
	if (r < 0) {
		siginfo_t info;

		/* Our own child, not reaped: the number is still its. */
		(void)kill(made->pid, SIGKILL);
		(void)waitid(P_PID, (id_t)made->pid, &info, WEXITED | __WALL);
		return r;
	}
	return cx_sandbox_save(sb, err);
}

/* One that is ending meanwhile has only to be told of what was made for it. */
static int go_on(struct cx_sandbox *sb, struct cx_spawned *made, struct cx_err *err)
{
	if (take_process(sb, made, err) < 0)
		return cx_wrap(err, "blank sandbox: process");
	if (sb->state == CX_SANDBOX_STARTING &&
	    (cx_fault_step("connection", err) < 0 || make_connection(sb, err) < 0))
		return cx_wrap(err, "blank sandbox: connection");
	return 0;
}

static void not_made(struct cx_sandbox *sb, const struct cx_err *err)
{
	if (sb->state == CX_SANDBOX_STARTING)
		fault(sb, err);
	else
		blame(sb, err);
}

/* The next one, which is waited for; without it none comes any more, from this spawner. */
static void take_answer(struct cx_sandboxes *set)
{
	struct cx_sandbox *sb = set->spawning;
	struct cx_spawned made = CX_SPAWNED_NONE;
	bool lost = false;
	struct cx_err err;
	int r = cx_spawn_answer(&set->host->spawner, sb->spawn, &made, &lost, &err);

	wait_no_more(sb);
	if (lost) { /* no late answer may be taken for another's */
		cx_host_drop_spawner(set->host);
		stop_hearing(set);
	}
	if (r == 0)
		r = go_on(sb, &made, &err);
	if (r < 0)
		not_made(sb, &err);
	while (lost && set->spawning != NULL) {
		sb = set->spawning;
		wait_no_more(sb);
		not_made(sb, &err);
	}
}

static void answer_is_there(struct cx_source *source, uint32_t events)
{
	struct cx_sandboxes *set = cx_container_of(source, struct cx_answers, source)->set;

	(void)events;
	if (set->spawning != NULL)
		take_answer(set);
	else
		stop_hearing(set); /* it ended, which the next who needs it finds out */
}

/* What one that has ended had made before is not lost. */
static int need_spawner(struct cx_sandboxes *set, struct cx_err *err)
{
	struct cx_host *h = set->host;
	struct pollfd end = { .fd = h->spawner.pidfd, .events = POLLIN };

	while (set->spawning != NULL && poll(&end, 1, 0) != 0)
		take_answer(set);
	/* One that is waited for was alive just now; should it not be any more, the asking fails.
	 */
	return set->spawning != NULL ? 0 : cx_host_need_spawner(h, err);
}

static int hear_spawner(struct cx_sandboxes *set, struct cx_err *err)
{
	struct cx_host *h = set->host;
	cx_autofree struct cx_answers *answers = NULL;

	if (set->answers != NULL && set->answers->spawner == h->spawner.pid)
		return 0;
	stop_hearing(set);
	answers = calloc(1, sizeof *answers);
	if (answers == NULL)
		return cx_fail(err, ENOMEM, "watch the spawner");
	*answers = (struct cx_answers){ .set = set,
					.spawner = h->spawner.pid,
					.source = {
						.fd = fcntl(h->spawner.control, F_DUPFD_CLOEXEC, 3),
						.ready = answer_is_there,
						.destroy = free_answers } };
	if (answers->source.fd < 0)
		return cx_fail(err, errno, "watch the spawner");
	if (cx_loop_add(&h->loop, &answers->source, EPOLLIN, err) < 0) {
		cx_close(&answers->source.fd);
		return -err->errnum;
	}
	set->answers = cx_take_ptr(&answers);
	return 0;
}

static int make_process(struct cx_sandbox *sb, struct cx_err *err)
{
	struct cx_host *h = sb->set->host;
	cx_autofd int listener = make_listener(sb, err);
	cx_autofd int dev = listener >= 0 ? cx_devfs_make(sb->record.uid_base, err) : -EBADF;
	struct cx_blank_plan plan = { .uid_base = sb->record.uid_base,
				      .listener = listener,
				      .dev = dev,
				      .group = &sb->group };
	struct cx_slot_link link;

	if (listener < 0 || dev < 0 || need_spawner(sb->set, err) < 0)
		return -err->errnum;
	if (sb->record.slot != CX_SLOT_NONE) {
		cx_slots_link(h->slots, sb->record.slot, &link);
		plan.link = &link;
	}
	if (hear_spawner(sb->set, err) < 0 ||
	    cx_spawn_ask(&h->spawner, ++sb->set->spawns, &plan, err) < 0)
		return -err->errnum;
	drop_handed_over(&sb->group);
	wait_for_process(sb);
	return 0;
}

int cx_sandbox_connect(struct cx_sandbox *sb, struct cx_err *err)
{
	cx_autofd int sock = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	struct sockaddr_un at;

	agent_address(sb, &at);
	if (sock < 0 || connect(sock, (struct sockaddr *)&at, sizeof at) < 0)
		return cx_fail(err, errno, "connect to the agent of '%s'", sb->record.id);
	return cx_take_fd(&sock);
}

/* ---- what an agent says: nothing of it is believed but its progress -------------------------- */

static int take_hello(struct cx_sandbox *sb, struct cx_reader *body, struct cx_err *err)
{
	struct cx_msg_agent_hello m;

	if (!cx_msg_agent_hello_get(body, &m) || m.version != 1 || m.state != CX_AGENT_BLANK)
		return cx_refuse(err, CX_INTERNAL, "its agent said hello wrongly");
	deliver(sb, CX_EVENT_HELLO);
	return 0;
}

static int take_ok(struct cx_sandbox *sb, struct cx_reader *body, struct cx_err *err)
{
	struct cx_msg_agent_ok m;

	if (!cx_msg_agent_ok_get(body, &m))
		return cx_refuse(err, CX_INTERNAL, "its agent confirmed wrongly");
	deliver(sb, CX_EVENT_CONFIRM);
	return 0;
}

static int take_error(struct cx_sandbox *sb, struct cx_reader *body, struct cx_err *err)
{
	struct cx_msg_agent_error m;

	(void)sb;
	if (!cx_msg_agent_error_get(body, &m))
		return cx_refuse(err, CX_INTERNAL, "its agent failed wrongly");
	(void)cx_err_adopt(err, m.kind, m.errnum, m.text.p, m.text.len);
	return cx_wrap(err, "agent");
}

static const struct {
	uint16_t type;
	uint32_t request;
	enum cx_sandbox_state state;
	int (*take)(struct cx_sandbox *sb, struct cx_reader *body, struct cx_err *err);
} agent_says[] = {
	{ CX_MSG_agent_hello, 0, CX_SANDBOX_STARTING, take_hello },
	{ CX_MSG_agent_error, 0, CX_SANDBOX_STARTING, take_error },
	{ CX_MSG_agent_ok, CLAIM_REQUEST, CX_SANDBOX_CLAIMING, take_ok },
	{ CX_MSG_agent_error, CLAIM_REQUEST, CX_SANDBOX_CLAIMING, take_error },
};

static void agent_packet(void *owner, struct cx_packet *packet)
{
	struct cx_sandbox *sb = owner;
	struct cx_err err;

	for (size_t i = 0; i < CX_LEN(agent_says); i++) {
		if (agent_says[i].type != packet->type || agent_says[i].state != sb->state ||
		    agent_says[i].request != packet->request || packet->nfds != 0)
			continue;
		if (agent_says[i].take(sb, &packet->body, &err) < 0)
			fault(sb, &err);
		return;
	}
	(void)cx_refuse(&err, CX_INTERNAL, "its agent sent message %#x while %s", packet->type,
			cx_sandbox_state_name(sb->state));
	fault(sb, &err);
}

static void agent_closed(void *owner, const struct cx_err *why)
{
	struct cx_sandbox *sb = owner;
	struct cx_err err;

	sb->agent = NULL;
	sb->lost |= sb->state == CX_SANDBOX_CLAIMING;
	if (why == NULL)
		(void)cx_refuse(&err, CX_INTERNAL, "its agent closed the connection");
	fault(sb, why != NULL ? why : &err);
}

static const struct cx_link_ops agent_ops = { .packet = agent_packet, .closed = agent_closed };

static int make_connection(struct cx_sandbox *sb, struct cx_err *err)
{
	struct cx_host *h = sb->set->host;
	cx_autofd int sock = cx_sandbox_connect(sb, err);

	if (sock < 0)
		return -err->errnum;
	return cx_link_open(&h->loop, &h->packet, &sock, &agent_ops, sb, &sb->agent, err);
}

static const struct { /* in this order: a record exists before what it speaks of */
	const char *name;
	int (*run)(struct cx_sandbox *sb, struct cx_err *err);
} make_steps[] = {
	{ "directory", make_directory },     { "ids", make_ids },
	{ "link number", make_slot },	     { "record", cx_sandbox_save },
	{ "writable layer", make_writable }, { "cgroups", make_groups },
	{ "process", make_process }, /* is asked for, and connected with later */
};

/* ---- claiming -------------------------------------------------------------------------------- */

static int record_claim(struct cx_sandbox *sb, struct cx_err *err)
{
	const struct cx_claim_plan *plan = sb->plan;

	sb->record.state = CX_RECORD_CLAIMED;
	sb->record.cpu_milli = plan->limits.cpu_milli;
	sb->record.memory_bytes = plan->limits.memory_bytes;
	sb->record.pids = plan->limits.pids;
	sb->record.disk_bytes = plan->disk.bytes;
	sb->record.nlayers = plan->nlayers;
	memcpy(sb->record.layers, plan->layers, sizeof plan->layers[0] * plan->nlayers);
	promise_recorded(sb);
	return cx_sandbox_save(sb, err);
}

/*
 * The directory that it writes to, as rootfs.h wants it; path has PLACE_PATH bytes. Mounts may be
 * over its directory in RUN for a moment, as not each has one on the disk.
 */
static int describe_writable(const struct cx_sandbox *sb, const struct cx_writable *w, char *path,
			     struct cx_rootfs_writable *ret, struct cx_err *err)
{
	if (cx_format(path, PLACE_PATH, "%s/sandboxes/%s", err, sb->set->host->dirs.run_path,
		      sb->record.id) < 0)
		return -err->errnum;
	*ret = (struct cx_rootfs_writable){ .dir = w->dir,
					    .is_mount = cx_quota_is_mount(w),
					    .at = path };
	return 0;
}

/* Mounts the layers and puts the sandbox's own directory over them: a detached mount. */
static int make_root(struct cx_sandbox *sb, struct cx_rootfs_clones *ret_clones, struct cx_err *err)
{
	struct cx_host *h = sb->set->host;
	struct cx_rootfs_writable writable;
	int layers[CX_LAYERS_MAX];
	char path[PLACE_PATH];

	for (; sb->held < sb->record.nlayers; sb->held++)
		if (cx_layers_hold(&h->layers, sb->record.layers[sb->held], &layers[sb->held],
				   err) < 0)
			return -err->errnum;
	if (describe_writable(sb, &sb->writable, path, &writable, err) < 0)
		return -err->errnum;
	return cx_rootfs_make(layers, sb->held, sb->userns, &writable, ret_clones, err);
}

/* Mostly it is ready: blanks are made for the limit that was asked for last. */
static int limit_disk(struct cx_sandbox *sb, struct cx_err *err)
{
	struct cx_host *h = sb->set->host;
	enum cx_quota_kind kind = sb->plan->in_memory ? CX_QUOTA_MEMORY : cx_quota_kind(h->quota);

	if (cx_quota_set(h->quota, sb->record.id, sb->record.uid_base, kind, &sb->plan->disk,
			 &sb->writable, err) < 0)
		return -err->errnum;
	note_writable(sb);
	return 0;
}

static int claim_steps(struct cx_sandbox *sb, struct cx_err *err)
{
	struct cx_host *h = sb->set->host;
	struct cx_msg_claim m = { .hostname = cx_str_of(sb->plan->hostname) };
	/* Let go when the claim is on its way: the agent is at work then. */
	CX_AUTO(cx_rootfs_drop) struct cx_rootfs_clones clones = { .n = 0 };
	cx_autofd int root = -EBADF;

	if (cx_host_check_limits(h, &sb->plan->limits, err) < 0 || limit_disk(sb, err) < 0 ||
	    record_claim(sb, err) < 0)
		return -err->errnum;
	root = cx_fault_step("root", err) == 0 ? make_root(sb, &clones, err) : -EBADF;
	if (root < 0)
		return cx_wrap(err, "root file system");
	if (cx_fault_step("limits", err) < 0 ||
	    cx_cgroup_limit(h->cgroups, &sb->group, &sb->plan->limits, err) < 0)
		return cx_wrap(err, "limits");
	sb->set->usual = sb->plan->limits;
	if (cx_fault_step("claim", err) < 0)
		return -err->errnum;
	if (cx_msg_claim_send(cx_link_sock(sb->agent), CLAIM_REQUEST, &m, &root, 1, err) == 0)
		return 0;
	sb->lost = err->errnum == EPIPE || err->errnum == ECONNRESET;
	return -err->errnum;
}

/* ---- actions of the table -------------------------------------------------------------------- */

static void announce(struct cx_sandbox *sb)
{
	cx_timer_clear(&sb->timer);
	sb->set->watch.blank(sb->set->watch.arg, sb);
}

static void claim(struct cx_sandbox *sb)
{
	struct cx_err err;

	cx_timer_set(&sb->set->host->loop, &sb->timer, CX_AGENT_CLAIM_MS);
	if (claim_steps(sb, &err) < 0)
		fault(sb, &err);
}

static void confirm(struct cx_sandbox *sb)
{
	struct cx_err err;

	cx_timer_clear(&sb->timer);
	cx_link_close(sb->agent); /* from here on the gateway talks to the agent */
	sb->agent = NULL;
	cx_close(&sb->userns);
	sb->plan = NULL;
	sb->record.state = CX_RECORD_RUNNING;
	if (cx_sandbox_save(sb, &err) < 0) {
		fault(sb, &err);
		return;
	}
	sb->was_running = true;
	cx_oom_begin(sb->oom);
	sb->set->watch.running(sb->set->watch.arg, sb);
}

static void retry(struct cx_sandbox *sb, uint64_t after_ms)
{
	cx_timer_set(&sb->set->host->loop, &sb->timer, after_ms);
}

static void log_slow(struct cx_sandbox *sb, const char *what, const struct cx_err *err)
{
	if (cx_now_ms() - sb->ending_since_ms >= DYING_MS)
		cx_log_err(CX_LOG_WARNING, err, what, "id", sb->record.id, NULL);
}

/* Moves what it wrote to where a process of its own deletes it. Mostly nothing is on this disk. */
static int discard_writable(struct cx_sandbox *sb, struct cx_err *err)
{
	const struct cx_dirs *d = &sb->set->host->dirs;

	if (cx_quota_remove(sb->set->host->quota, sb->record.id, err) < 0)
		return -err->errnum;
	if (unlinkat(d->writable, sb->record.id, AT_REMOVEDIR) == 0 || errno == ENOENT)
		return 0;
	if (renameat(d->writable, sb->record.id, d->trash, sb->record.id) < 0)
		return cx_fail(err, errno, "move its writable directory to the trash");
	sb->has_trash = true;
	return 0;
}

/*
 * The record goes before the ids: as long as it names them, they must be its own. The directory
 * goes last: as long as it is there, nobody else takes the ids for left over. On failure nothing is
 * given back, and all of it is done again.
 */
static int discard_run_files(struct cx_sandbox *sb, struct cx_err *err)
{
	static const char *const files[] = { "agent.sock", "record" };
	struct cx_host *h = sb->set->host;
	char path[CX_ID_LEN + sizeof "/agent.sock"];

	for (size_t i = 0; i < CX_LEN(files); i++) {
		(void)snprintf(path, sizeof path, "%s/%s", sb->record.id, files[i]);
		if (unlinkat(h->dirs.sandboxes, path, 0) < 0 && errno != ENOENT)
			return cx_fail(err, errno, "remove '%s'", path);
	}
	cx_ids_release(&h->ids, sb->record.uid_base);
	cx_egress_release(h, sb->record.slot);
	(void)unlinkat(h->dirs.sandboxes, sb->record.id, AT_REMOVEDIR);
	return 0;
}

static void release_layers(struct cx_sandbox *sb)
{
	for (; sb->held > 0; sb->held--)
		cx_layers_release(&sb->set->host->layers, sb->record.layers[sb->held - 1]);
}

static void forget(struct cx_sandbox *sb)
{
	static const struct cx_promises nothing;
	struct cx_sandboxes *set = sb->set;

	promise(sb, &nothing);
	wait_no_more(sb);
	cx_timer_clear(&sb->timer);
	cx_reaper_forget(set->reaper, &sb->reaping);
	cx_child_forget(sb->process, false);
	cx_link_close(sb->agent);
	cx_oom_close(sb->oom);
	cx_cgroup_close(&sb->group);
	cx_close(&sb->userns);
	cx_close(&sb->mounts);
	cx_close(&sb->writable.dir);
	release_layers(sb);
	set->count[sb->state]--;
	cx_index_remove(&sb->by_id);
	cx_list_remove(sb);
	free(sb);
}

static void insist(struct cx_sandbox *sb)
{
	struct cx_err err;

	(void)cx_refuse(&err, CX_INTERNAL, "its first process does not die");
	log_slow(sb, "sandbox is slow to end", &err);
	cx_child_signal(sb->process, SIGKILL);
	retry(sb, DYING_MS);
}

static void clean_again(struct cx_sandbox *sb, const struct cx_err *why)
{
	log_slow(sb, "remains of a sandbox cannot be removed yet", why);
	sb->retry_ms = sb->retry_ms == 0 ? 1 : sb->retry_ms * 2;
	if (sb->retry_ms > RETRY_MS_MAX)
		sb->retry_ms = RETRY_MS_MAX;
	retry(sb, sb->retry_ms);
}

static void gone(struct cx_sandbox *sb)
{
	sb->set->watch.gone(sb->set->watch.arg, sb);
	forget(sb);
}

/* What takes its time is done by another process; the timer brings it here again. */
static void clean(struct cx_sandbox *sb)
{
	struct cx_err err;

	if (sb->record.id[0] == '\0') { /* not even its directory was made */
		gone(sb);
		return;
	}
	if (cx_fault_step("cgroups away", &err) < 0) {
		clean_again(sb, &err);
		return;
	}
	cx_cgroup_close(&sb->group);
	sb->reaping.fds[0] = cx_take_fd(&sb->mounts);
	if (cx_quota_is_mount(&sb->writable))
		sb->reaping.fds[1] = cx_take_fd(&sb->writable.dir);
	cx_reaper_take(sb->set->reaper, &sb->reaping);
}

/* Its mounts and groups are gone, or not all of them yet. The rest is done in a moment. */
static void reaped(struct cx_reaping *reaping, const struct cx_err *why)
{
	struct cx_sandbox *sb = cx_container_of(reaping, struct cx_sandbox, reaping);
	struct cx_err err;

	if (why == NULL &&
	    (cx_fault_step("writable away", &err) < 0 || discard_writable(sb, &err) < 0 ||
	     cx_fault_step("record away", &err) < 0 || discard_run_files(sb, &err) < 0))
		why = &err;
	if (why != NULL)
		clean_again(sb, why);
	else
		gone(sb);
}

/*
 * With its process 1 the kernel has ended all others, and nobody can start another one. Who waits
 * for its end waits for this; what is left is given back when it is really gone.
 */
static void over(struct cx_sandbox *sb)
{
	cx_timer_clear(&sb->timer);
	release_layers(sb);
	sb->set->watch.ended(sb->set->watch.arg, sb);
	clean(sb);
}

static bool ran_out_of_memory(struct cx_sandbox *sb)
{
	struct cx_err ignored;
	uint32_t kills = 0;

	cx_oom_look(sb->oom);
	return sb->out_of_memory ||
	       (sb->group.ntop > 0 &&
		cx_cgroup_oom_kills(sb->set->host->cgroups, &sb->group, &kills, &ignored) == 0 &&
		kills > 0);
}

static void find_reason(struct cx_sandbox *sb)
{
	if (sb->reason == CX_END_AGENT_EXITED && ran_out_of_memory(sb))
		sb->reason = CX_END_OOM;
}

static void end(struct cx_sandbox *sb)
{
	struct cx_err ignored;

	while (sb->spawn != 0) /* what is being made must not be left behind */
		take_answer(sb->set);
	find_reason(sb);
	sb->ending_since_ms = cx_now_ms();
	sb->plan = NULL;
	cx_timer_clear(&sb->timer);
	cx_oom_close(sb->oom);
	sb->oom = NULL;
	cx_link_close(sb->agent);
	sb->agent = NULL;
	cx_close(&sb->userns);
	sb->record.state = CX_RECORD_ENDING;
	(void)!cx_sandbox_save(sb, &ignored);
	if (sb->process != NULL)
		cx_child_signal(sb->process, SIGKILL);
	if (sb->frozen || sb->record.paused != 0)
		cx_sandbox_release(sb); /* what stands still does not die */
	cx_quota_discard(&sb->writable);
	if (sb->process != NULL)
		retry(sb, DYING_MS);
	else
		deliver(sb, CX_EVENT_EXIT);
}

/* ---- what it has written -------------------------------------------------------------------- */

/* One on a device is mounted again: kernels before 6.15 clone no mount that was attached before. */
int cx_sandbox_tree(const struct cx_sandbox *sb, struct cx_err *err)
{
	struct cx_writable again = sb->writable;
	struct cx_rootfs_writable writable;
	char path[PLACE_PATH];
	cx_autofd int dir = -EBADF;

	if (again.dir < 0 || again.kind == CX_QUOTA_LOOP) {
		if (cx_quota_find(sb->set->host->quota, sb->record.id, &again, err) < 0)
			return -err->errnum;
		dir = again.dir;
	}
	if (describe_writable(sb, &again, path, &writable, err) < 0)
		return -err->errnum;
	return cx_rootfs_upper(&writable, err);
}

/* ---- want of memory -------------------------------------------------------------------------- */

static void found_oom(void *arg, const struct cx_memory_report *report)
{
	struct cx_sandbox *sb = arg;

	sb->out_of_memory = true;
	sb->memory = *report;
	sb->set->watch.oom(sb->set->watch.arg, sb);
}

/* Without it the end of commands still brings it to light, and the end of the sandbox. */
static void watch_memory(struct cx_sandbox *sb)
{
	struct cx_err err;

	if (cx_oom_watch(sb->set->host, &sb->group, found_oom, sb, &sb->oom, &err) < 0)
		cx_log_err(CX_LOG_WARNING, &err, "memory not watched", "id", sb->record.id, NULL);
}

/* ---- the table ------------------------------------------------------------------------------- */

#define STARTING CX_SANDBOX_STARTING
#define BLANK	 CX_SANDBOX_BLANK
#define CLAIMING CX_SANDBOX_CLAIMING
#define RUNNING	 CX_SANDBOX_RUNNING
#define ENDING	 CX_SANDBOX_ENDING
#define REMAINS	 CX_SANDBOX_REMAINS

struct rule {
	bool set;
	enum cx_sandbox_state next;
	void (*run)(struct cx_sandbox *sb); /* may free it; NULL: nothing to do */
};

static const struct rule rules[CX_SANDBOX_STATE_MAX][CX_EVENT_MAX] = {
	[STARTING] = {
		[CX_EVENT_HELLO] = { true, BLANK, announce },
		[CX_EVENT_CLAIM] = { true, ENDING, end }, /* nobody knows of it yet */
		[CX_EVENT_CONFIRM] = { true, ENDING, end },
		[CX_EVENT_FAULT] = { true, ENDING, end },
		[CX_EVENT_DEADLINE] = { true, ENDING, end },
		[CX_EVENT_EXIT] = { true, ENDING, end },
		[CX_EVENT_DESTROY] = { true, ENDING, end },
	},
	[BLANK] = {
		[CX_EVENT_HELLO] = { true, ENDING, end }, /* once is enough */
		[CX_EVENT_CLAIM] = { true, CLAIMING, claim },
		[CX_EVENT_CONFIRM] = { true, ENDING, end },
		[CX_EVENT_FAULT] = { true, ENDING, end },
		[CX_EVENT_DEADLINE] = { true, BLANK, NULL },
		[CX_EVENT_EXIT] = { true, ENDING, end },
		[CX_EVENT_DESTROY] = { true, ENDING, end },
	},
	[CLAIMING] = {
		[CX_EVENT_HELLO] = { true, ENDING, end },
		[CX_EVENT_CLAIM] = { true, ENDING, end }, /* never two images in one */
		[CX_EVENT_CONFIRM] = { true, RUNNING, confirm },
		[CX_EVENT_FAULT] = { true, ENDING, end },
		[CX_EVENT_DEADLINE] = { true, ENDING, end },
		[CX_EVENT_EXIT] = { true, ENDING, end },
		[CX_EVENT_DESTROY] = { true, ENDING, end },
	},
	[RUNNING] = {
		[CX_EVENT_HELLO] = { true, RUNNING, NULL }, /* the gateway's business now */
		[CX_EVENT_CLAIM] = { true, RUNNING, NULL },
		[CX_EVENT_CONFIRM] = { true, RUNNING, NULL },
		[CX_EVENT_FAULT] = { true, ENDING, end }, /* its record could not be written */
		[CX_EVENT_DEADLINE] = { true, RUNNING, NULL },
		[CX_EVENT_EXIT] = { true, ENDING, end },
		[CX_EVENT_DESTROY] = { true, ENDING, end },
	},
	[ENDING] = {
		[CX_EVENT_HELLO] = { true, ENDING, NULL },
		[CX_EVENT_CLAIM] = { true, ENDING, NULL },
		[CX_EVENT_CONFIRM] = { true, ENDING, NULL },
		[CX_EVENT_FAULT] = { true, ENDING, NULL },
		[CX_EVENT_DEADLINE] = { true, ENDING, insist },
		[CX_EVENT_EXIT] = { true, REMAINS, over },
		[CX_EVENT_DESTROY] = { true, ENDING, NULL }, /* it is on its way */
	},
	[REMAINS] = {
		[CX_EVENT_HELLO] = { true, REMAINS, NULL },
		[CX_EVENT_CLAIM] = { true, REMAINS, NULL },
		[CX_EVENT_CONFIRM] = { true, REMAINS, NULL },
		[CX_EVENT_FAULT] = { true, REMAINS, NULL },
		[CX_EVENT_DEADLINE] = { true, REMAINS, clean },
		[CX_EVENT_EXIT] = { true, REMAINS, NULL },
		[CX_EVENT_DESTROY] = { true, REMAINS, NULL }, /* it has happened */
	},
};

/* An event may free the sandbox: nothing may touch it afterwards. */
static void deliver(struct cx_sandbox *sb, enum cx_sandbox_event event)
{
	const struct rule *rule = &rules[sb->state][event];
	struct cx_err err;

	if (sb->state < ENDING && rule->next == ENDING) {
		(void)cx_refuse(&err, CX_TIMEOUT, "its agent did not answer in time");
		if (event == CX_EVENT_DEADLINE)
			blame(sb, &err);
		sb->reason = event == CX_EVENT_DESTROY ? CX_END_DESTROYED : CX_END_AGENT_EXITED;
	}
	sb->set->count[sb->state]--;
	sb->state = rule->next;
	sb->set->count[sb->state]++;
	promise_recorded(sb);
	/* Before it is taken away: who waits for it is promised the same all the time. */
	if (sb->lost && rule->run == end)
		sb->set->watch.lost(sb->set->watch.arg, sb);
	if (rule->run != NULL)
		rule->run(sb);
}

bool cx_sandbox_rule(enum cx_sandbox_state state, enum cx_sandbox_event event,
		     enum cx_sandbox_state *ret_next)
{
	*ret_next = rules[state][event].next;
	return rules[state][event].set;
}

const char *cx_sandbox_state_name(enum cx_sandbox_state state)
{
	static const char *const names[] = {
		[STARTING] = "starting", [BLANK] = "blank",   [CLAIMING] = "claiming",
		[RUNNING] = "running",	 [ENDING] = "ending", [REMAINS] = "remains",
	};

	return state < CX_LEN(names) ? names[state] : "unknown";
}

/* ---- the set --------------------------------------------------------------------------------- */

void cx_sandboxes_open(struct cx_sandboxes *ret, struct cx_host *host, struct cx_reaper *reaper,
		       const struct cx_sandbox_watch *watch)
{
	*ret = (struct cx_sandboxes){ .host = host, .reaper = reaper, .watch = *watch };
}

void cx_sandboxes_close(struct cx_sandboxes *set)
{
	while (set->first != NULL)
		forget(set->first);
	stop_hearing(set);
}

static void deadline(struct cx_timer *timer)
{
	deliver(cx_container_of(timer, struct cx_sandbox, timer), CX_EVENT_DEADLINE);
}

static struct cx_sandbox *add(struct cx_sandboxes *set, enum cx_sandbox_state state,
			      struct cx_err *err)
{
	struct cx_sandbox *sb = calloc(1, sizeof *sb);

	if (sb == NULL) {
		(void)cx_fail(err, ENOMEM, "a sandbox");
		return NULL;
	}
	*sb = (struct cx_sandbox){
		.set = set,
		.state = state,
		.userns = -EBADF,
		.mounts = -EBADF,
		.record = { .slot = CX_SLOT_NONE, .disk = CX_QUOTA_NONE },
		.group = { .ns = -EBADF },
		.writable = CX_WRITABLE_NONE,
		.reaping = { .id = sb->record.id, .fds = { -EBADF, -EBADF }, .done = reaped },
		.timer = { .fire = deadline }
	};
	cx_list_add(&set->first, sb);
	set->count[state]++;
	return sb;
}

int cx_sandbox_make(struct cx_sandboxes *set, struct cx_err *err)
{
	struct cx_sandbox *sb = add(set, STARTING, err);

	if (sb == NULL)
		return -err->errnum;
	for (size_t i = 0; i < CX_LEN(make_steps); i++) {
		if (cx_fault_step(make_steps[i].name, err) == 0 && make_steps[i].run(sb, err) == 0)
			continue;
		(void)cx_wrap(err, "blank sandbox: %s", make_steps[i].name);
		fault(sb, err);
		return -err->errnum;
	}
	sb->made = true;
	cx_timer_set(&set->host->loop, &sb->timer, CX_AGENT_HELLO_MS);
	return 0;
}

bool cx_sandbox_is_well(const struct cx_sandbox *sb)
{
	struct pollfd at[] = {
		{ .fd = cx_child_pidfd(sb->process), .events = POLLIN },
		{ .fd = cx_link_sock(sb->agent), .events = POLLIN },
	};

	return poll(at, CX_LEN(at), 0) == 0;
}

void cx_sandbox_claim(struct cx_sandbox *sb, const struct cx_claim_plan *plan)
{
	sb->plan = plan;
	deliver(sb, CX_EVENT_CLAIM);
}

void cx_sandbox_destroy(struct cx_sandbox *sb)
{
	deliver(sb, CX_EVENT_DESTROY);
}

/* Without its number a link is cut: nobody could say whose packets are on it. */
static void take_slot(struct cx_sandbox *sb)
{
	struct cx_slots *slots = sb->set->host->slots;
	struct in_addr address = { .s_addr = sb->record.address4 };
	struct cx_err err;

	if (sb->record.slot == CX_SLOT_NONE)
		return;
	if (slots != NULL && cx_slots_take(slots, sb->record.slot, address, &err) == 0)
		return;
	if (slots != NULL)
		cx_log_err(CX_LOG_WARNING, &err, "sandbox has no network any more", "id",
			   sb->record.id, NULL);
	sb->record.slot = CX_SLOT_NONE;
}

/* Without it the sandbox lives, and cannot be committed. */
static void find_writable(struct cx_sandbox *sb)
{
	struct cx_err err;

	sb->writable.kind = sb->record.disk;
	sb->writable.device = sb->record.device;
	if (cx_quota_find(sb->set->host->quota, sb->record.id, &sb->writable, &err) < 0)
		cx_log_err(CX_LOG_INFO, &err, "what a sandbox writes is out of reach", "id",
			   sb->record.id, NULL);
}

int cx_sandbox_adopt(struct cx_sandboxes *set, const struct cx_record *record, int *pidfd,
		     struct cx_err *err)
{
	struct cx_sandbox *sb = add(set, RUNNING, err);

	if (sb == NULL)
		return -err->errnum;
	sb->was_running = true;
	sb->record = *record;
	cx_index_add(&set->by_id, &sb->by_id, sb->record.id);
	promise_recorded(sb);
	if (cx_cgroup_find(set->host->cgroups, record->id, &sb->group, err) < 0 ||
	    cx_child_adopt(&set->host->loop, pidfd, process_exited, sb, &sb->process, err) < 0) {
		forget(sb);
		return -err->errnum;
	}
	cx_sandbox_find_frozen(sb);
	watch_memory(sb);
	cx_oom_begin(sb->oom);
	find_writable(sb);
	take_slot(sb);
	for (; sb->held < record->nlayers; sb->held++)
		if (cx_layers_hold(&set->host->layers, record->layers[sb->held], NULL, err) < 0)
			break; /* out of memory: then it is not counted, but lives */
	return 0;
}

int cx_sandbox_bury(struct cx_sandboxes *set, const struct cx_record *record, int *pidfd,
		    struct cx_err *err)
{
	struct cx_sandbox *sb = add(set, RUNNING, err);
	struct cx_err ignored;

	if (sb == NULL)
		return -err->errnum;
	sb->record = *record;
	cx_index_add(&set->by_id, &sb->by_id, sb->record.id);
	promise_recorded(sb);
	take_slot(sb);
	if (*pidfd >= 0 &&
	    cx_child_adopt(&set->host->loop, pidfd, process_exited, sb, &sb->process, err) < 0) {
		forget(sb);
		return -err->errnum;
	}
	if (sb->process != NULL &&
	    cx_cgroup_find(set->host->cgroups, record->id, &sb->group, &ignored) == 0)
		cx_sandbox_release(sb);
	deliver(sb, CX_EVENT_DESTROY);
	return 0;
}

struct cx_sandbox *cx_sandbox_find(struct cx_sandboxes *set, const char *id)
{
	struct cx_indexed *found = cx_index_find(&set->by_id, id);

	return found != NULL ? cx_container_of(found, struct cx_sandbox, by_id) : NULL;
}

struct cx_sandbox *cx_sandbox_find_state(struct cx_sandboxes *set, enum cx_sandbox_state state)
{
	struct cx_sandbox *sb = set->count[state] > 0 ? set->first : NULL;

	while (sb != NULL && sb->state != state)
		sb = sb->next;
	return sb;
}
