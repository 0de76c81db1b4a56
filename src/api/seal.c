/* SPDX-License-Identifier: Apache-2.0 */
#include "api/seal.h"

#include <fcntl.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>

#include "api/aead.h"
#include "base/log.h"

#define KEY_FILE  "secret.key"
#define NEXT_FILE "secret.key.next" /* exists only while keys are changed */

/* Tells keys apart without telling them. */
static void id_of(const uint8_t key[CX_KEYFILE_BYTES], uint8_t ret[CX_SEAL_ID])
{
	static const unsigned char purpose[] = "caisson seal id";

	(void)crypto_generichash(ret, CX_SEAL_ID, purpose, sizeof purpose, key, CX_KEYFILE_BYTES);
}

/* ---- one box -------------------------------------------------------------------------------- */

static int seal(const uint8_t key[CX_KEYFILE_BYTES], int64_t sandbox, const struct cx_buf *plain,
		struct cx_buf *box, struct cx_err *err)
{
	const struct cx_aead with = { key, &sandbox, sizeof sandbox };

	return cx_aead_seal(&with, plain->p, plain->len, box, err);
}

static int unseal(const uint8_t key[CX_KEYFILE_BYTES], int64_t sandbox, const struct cx_buf *box,
		  struct cx_buf *plain, struct cx_err *err)
{
	const struct cx_aead with = { key, &sandbox, sizeof sandbox };

	if (cx_aead_open(&with, box->p, box->len, plain, err) < 0)
		return cx_wrap(err, "'" KEY_FILE "' and what this sandbox was given");
	return 0;
}

int cx_seal_put(const struct cx_seal *s, struct cx_store *store, int64_t sandbox,
		const struct cx_buf *plain, struct cx_err *err)
{
	CX_AUTO(cx_buf_free) struct cx_buf box = { .max = CX_SEALED_MAX };

	if (seal(s->key, sandbox, plain, &box, err) < 0)
		return -err->errnum;
	return cx_store_sealed_put(store, sandbox, &box, err);
}

int cx_seal_get(const struct cx_seal *s, struct cx_store *store, int64_t sandbox,
		struct cx_buf *plain, struct cx_err *err)
{
	CX_AUTO(cx_buf_free) struct cx_buf box = { .max = CX_SEALED_MAX };
	int found = cx_store_sealed_get(store, sandbox, &box, err);

	if (found == 1 && unseal(s->key, sandbox, &box, plain, err) < 0)
		return -err->errnum;
	return found;
}

/* ---- the key -------------------------------------------------------------------------------- */

/* Only this step makes the next key the key; the database has said before which one is right. */
static int install_next(int dir, struct cx_err *err)
{
	if (renameat(dir, NEXT_FILE, dir, KEY_FILE) < 0 || fsync(dir) < 0)
		return cx_fail(err, errno, "rename '" NEXT_FILE "' to '" KEY_FILE "'");
	return 0;
}

static int end_rotation(int dir, struct cx_store *store, struct cx_err *err)
{
	uint8_t next[CX_KEYFILE_BYTES], id[CX_SEAL_ID], valid[CX_SEAL_ID];
	int found = cx_keyfile_read(dir, NEXT_FILE, next, err);
	int known;

	if (found <= 0)
		return found;
	id_of(next, id);
	sodium_memzero(next, sizeof next);
	known = cx_store_seal_id(store, valid, err);
	if (known < 0)
		return known;
	if (known == 1 && memcmp(id, valid, sizeof id) == 0)
		return install_next(dir, err);
	if (unlinkat(dir, NEXT_FILE, 0) < 0)
		return cx_fail(err, errno, "remove '" NEXT_FILE "'");
	return 0;
}

int cx_seal_open(struct cx_seal *ret, int dir, struct cx_store *store, struct cx_err *err)
{
	struct cx_seal s = { .dir = dir };

	if (end_rotation(dir, store, err) < 0 || cx_keyfile_load(dir, KEY_FILE, s.key, err) < 0)
		return cx_wrap(err, "the key of secrets");
	*ret = s;
	sodium_memzero(&s, sizeof s);
	return 0;
}

struct turn {
	const uint8_t *from, *to;
};

static int turn_box(int64_t sandbox, struct cx_buf *box, void *arg, struct cx_err *err)
{
	CX_AUTO(cx_buf_wipe) struct cx_buf plain = { .max = CX_SEALED_MAX };
	const struct turn *turn = arg;

	if (unseal(turn->from, sandbox, box, &plain, err) < 0)
		return -err->errnum;
	box->len = 0;
	return seal(turn->to, sandbox, &plain, box, err);
}

int cx_seal_rotate(struct cx_seal *s, struct cx_store *store, struct cx_err *err)
{
	uint8_t next[CX_KEYFILE_BYTES], id[CX_SEAL_ID];
	struct turn turn = { s->key, next };
	int n;

	/* A next key that is the valid one already must not be lost to this one. */
	if (end_rotation(s->dir, store, err) < 0 ||
	    cx_keyfile_make(s->dir, NEXT_FILE, next, err) < 0)
		return -err->errnum;
	id_of(next, id);
	n = cx_store_sealed_turn(store, id, turn_box, &turn, err);
	if (n < 0)
		(void)unlinkat(s->dir, NEXT_FILE, 0);
	else
		memcpy(s->key, next, sizeof next);
	sodium_memzero(next, sizeof next);
	if (n >= 0 && install_next(s->dir, err) < 0) /* the next start will */
		cx_log_err(CX_LOG_ERROR, err, "key of secrets", NULL);
	return n;
}
