/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/archive.h"

#include <stdio.h>
#include <string.h>

#include "base/str.h"
#include "runtime/idmap.h"
#include "runtime/rootfs.h"

struct cx_commit {
	struct cx_archives *set;
	struct cx_commit *next;
	char id[CX_ID_LEN + 1]; /* the sandbox may be gone before the workers are */
	struct cx_build_limits limits;
	int fds[3];
	struct cx_timer look;
	uint64_t give_up_ms;
	cx_build_done *done;
	void *arg;
	uint64_t tag;
};

void cx_archives_open(struct cx_archives *ret, struct cx_sandboxes *sandboxes,
		      struct cx_builds *builds)
{
	*ret = (struct cx_archives){ .sandboxes = sandboxes, .builds = builds };
}

static void close_fds(int fds[3])
{
	for (int i = 0; i < 3; i++)
		cx_close(&fds[i]);
}

/* ---- an image -------------------------------------------------------------------------------- */

static int view_layers(struct cx_host *h, const uint8_t *layers, unsigned n, uint32_t uid_base,
		       struct cx_err *err)
{
	cx_autofd int userns = cx_idmap_userns(uid_base, err);
	char at[CX_CONFIG_TEXT + 16];
	int mounts[CX_LAYERS_MAX], tree = -EBADF;
	unsigned held = 0;

	if (userns < 0 || cx_format(at, sizeof at, "%s/layers", err, h->dirs.run_path) < 0)
		return -err->errnum;
	while (held < n && cx_layers_hold(&h->layers, layers + (size_t)held * CX_DIFF_ID,
					  &mounts[held], err) == 0)
		held++;
	if (held == n)
		tree = cx_rootfs_view(mounts, n, userns, at, err);
	/* The view holds what it needs. */
	for (; held > 0; held--)
		cx_layers_release(&h->layers, layers + (size_t)(held - 1) * CX_DIFF_ID);
	return tree >= 0 ? tree : -err->errnum;
}

int cx_archive_export(struct cx_archives *archives, const uint8_t *layers, unsigned nlayers,
		      const struct cx_build_limits *limits, int fds[3], cx_build_done *done,
		      void *arg, uint64_t tag, struct cx_err *err)
{
	struct cx_host *h = archives->builds->host;
	char owner[CX_ID_OWNER_MAX];
	cx_autofd int tree = -EBADF;
	uint32_t uid_base = 0;
	int r = -EINVAL;

	if (nlayers == 0 || nlayers > CX_LAYERS_MAX)
		(void)cx_refuse(err, CX_INVALID, "an image of %u layers", nlayers);
	else if (cx_format(owner, sizeof owner, "%s/lock", err, h->dirs.run_path) >= 0)
		r = cx_ids_reserve(&h->ids, owner, &uid_base, err);
	if (r == 0)
		tree = view_layers(h, layers, nlayers, uid_base, err);
	if (tree >= 0)
		return cx_build_archive(archives->builds, &tree,
					(struct cx_build_ids){ uid_base, false }, limits, fds, done,
					arg, tag, err);
	cx_ids_release(&h->ids, uid_base);
	close_fds(fds);
	return -err->errnum;
}

/* ---- a sandbox ------------------------------------------------------------------------------- */

static void forget(struct cx_commit *c)
{
	struct cx_commit **at = &c->set->first;

	while (*at != c)
		at = &(*at)->next;
	*at = c->next;
	cx_timer_clear(&c->look);
	close_fds(c->fds);
	free(c);
}

static struct cx_sandbox *find_running(const struct cx_commit *c)
{
	struct cx_sandbox *sb = cx_sandbox_find(c->set->sandboxes, c->id);

	return sb != NULL && sb->state == CX_SANDBOX_RUNNING ? sb : NULL;
}

/* What was packed of a sandbox that was ended meanwhile is not to be trusted: it was moving. */
static void end(struct cx_commit *c, const struct cx_err *why)
{
	struct cx_sandbox *sb = find_running(c);
	cx_build_done *done = c->done;
	void *arg = c->arg;
	uint64_t tag = c->tag;
	struct cx_err err;

	if (sb != NULL)
		cx_sandbox_thaw(sb);
	else if (why == NULL)
		(void)cx_refuse(&err, CX_CONFLICT, "the sandbox ended while it was committed");
	if (sb == NULL && why == NULL)
		why = &err;
	forget(c);
	done(arg, tag, 0, 0, why);
}

static void packed(void *arg, uint64_t tag, uint64_t token, uint64_t size, const struct cx_err *err)
{
	(void)tag;
	(void)token;
	(void)size;
	end(arg, err);
}

static int start_workers(struct cx_commit *c, const struct cx_sandbox *sb, struct cx_err *err)
{
	cx_autofd int tree = cx_sandbox_tree(sb, err);

	if (tree < 0)
		return -err->errnum;
	/* The ids of the tree are those that the worker has: it sees them from 0, and may read. */
	return cx_build_archive(c->set->builds, &tree,
				(struct cx_build_ids){ sb->record.uid_base, true }, &c->limits,
				c->fds, packed, c, 0, err);
}

static int look_again(struct cx_commit *c, const struct cx_sandbox *sb, struct cx_err *err)
{
	int r = cx_sandbox_is_frozen(sb, err);

	if (r < 0)
		return r;
	if (r > 0)
		return start_workers(c, sb, err);
	if (cx_now_ms() >= c->give_up_ms)
		return cx_refuse(err, CX_TIMEOUT, "its processes did not stand still in %d seconds",
				 CX_FREEZE_MS / 1000);
	cx_timer_set(&c->set->builds->host->loop, &c->look, CX_FREEZE_LOOK_MS);
	return 0;
}

static void look(struct cx_timer *timer)
{
	struct cx_commit *c = cx_container_of(timer, struct cx_commit, look);
	const struct cx_sandbox *sb = find_running(c);
	struct cx_err err;

	if (sb == NULL)
		end(c, NULL);
	else if (look_again(c, sb, &err) < 0)
		end(c, &err);
}

int cx_archive_commit(struct cx_archives *archives, struct cx_sandbox *sb,
		      const struct cx_build_limits *limits, int fds[3], cx_build_done *done,
		      void *arg, uint64_t tag, struct cx_err *err)
{
	struct cx_commit *c = calloc(1, sizeof *c);

	if (c == NULL || cx_sandbox_freeze(sb, err) < 0) {
		if (c == NULL)
			(void)cx_fail(err, ENOMEM, "a commit");
		free(c);
		close_fds(fds);
		return -err->errnum;
	}
	*c = (struct cx_commit){ .set = archives,
				 .next = archives->first,
				 .limits = *limits,
				 .fds = { cx_take_fd(&fds[0]), cx_take_fd(&fds[1]),
					  cx_take_fd(&fds[2]) },
				 .look = { .fire = look },
				 .give_up_ms = cx_now_ms() + CX_FREEZE_MS,
				 .done = done,
				 .arg = arg,
				 .tag = tag };
	memcpy(c->id, sb->record.id, sizeof c->id);
	archives->first = c;
	cx_timer_set(&archives->builds->host->loop, &c->look, CX_FREEZE_LOOK_MS);
	return 0;
}

void cx_archives_close(struct cx_archives *archives)
{
	while (archives->first != NULL) {
		struct cx_sandbox *sb = find_running(archives->first);

		if (sb != NULL)
			cx_sandbox_thaw(sb);
		forget(archives->first);
	}
}
