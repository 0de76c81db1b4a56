/* SPDX-License-Identifier: Apache-2.0 */
#include "api/identity.h"

#include <sodium.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "api/accounts_store.h"
#include "base/log.h"
#include "base/loop.h"
#include "base/str.h"

enum { USED_MS = 60 * 1000 }; /* so exact is it known when a key was used last */

static const char advice[] = "send 'Authorization: Bearer KEY' with a valid key";

void cx_key_make(char ret[CX_KEY_CHARS + 1])
{
	uint8_t random[32];

	randombytes_buf(random, sizeof random);
	(void)strcpy(ret, CX_KEY_PREFIX);
	cx_to_hex(random, sizeof random, ret + sizeof CX_KEY_PREFIX - 1);
	sodium_memzero(random, sizeof random);
}

/* Nobody can guess 256 random bits, so that neither salt nor slowness would add anything. */
void cx_key_hash(const char *key, uint8_t ret[32])
{
	(void)crypto_generichash(ret, 32, (const unsigned char *)key, strlen(key), NULL, 0);
}

void cx_account_id(char ret[17])
{
	uint8_t random[8];

	randombytes_buf(random, sizeof random);
	cx_to_hex(random, sizeof random, ret);
}

static int become(const struct cx_user_row *user, struct cx_caller *ret, struct cx_err *err)
{
	if (user->disabled != 0)
		return cx_refuse(err, CX_DENIED, "the account '%.64s' is disabled", user->name);
	(void)snprintf(ret->user, sizeof ret->user, "%s", user->id);
	ret->admin = strcmp(user->role, "admin") == 0;
	return 0;
}

/* A write now and then, not with every request. That it fails is no reason to turn one away. */
static void note_use(struct cx_store *store, struct cx_key_row *key, int64_t now_ms)
{
	struct cx_err err;

	if (now_ms - key->used_ms < USED_MS)
		return;
	key->used_ms = now_ms;
	if (cx_store_key_update(store, key, &err) < 0)
		cx_log_err(CX_LOG_WARNING, &err, "use of a key not recorded", NULL);
}

static bool is_good(const struct cx_key_row *key, int64_t now_ms)
{
	return key->revoked_ms == 0 && (key->expires_ms == 0 || key->expires_ms > now_ms);
}

static int by_key(struct cx_store *store, const char *text, struct cx_caller *ret,
		  struct cx_err *err)
{
	CX_AUTO(cx_key_row_clear) struct cx_key_row key = { 0 };
	CX_AUTO(cx_user_row_clear) struct cx_user_row user = { 0 };
	int64_t now_ms = cx_wall_ms();
	uint8_t hash[32];
	int found;

	cx_key_hash(text, hash);
	found = cx_store_key_by_hash(store, hash, &key, err);
	if (found == 1)
		found = cx_store_user_by_id(store, key.user_id, &user, err);
	if (found <= 0)
		return found < 0 ? found : cx_refuse(err, CX_DENIED, "%s", advice);
	if (!is_good(&key, now_ms))
		return cx_refuse(err, CX_DENIED, "this key %s",
				 key.revoked_ms != 0 ? "was revoked" : "has expired");
	if (become(&user, ret, err) < 0)
		return -err->errnum;
	(void)snprintf(ret->key, sizeof ret->key, "%s", key.id);
	note_use(store, &key, now_ms);
	return 0;
}

/* A token is worth no more than the account that it was made for. */
static int check_owner(struct cx_store *store, const char *sandbox, struct cx_err *err)
{
	int disabled = store != NULL ? cx_store_owner_disabled(store, sandbox, err) : 0;

	if (disabled <= 0)
		return disabled;
	return cx_refuse(err, CX_DENIED, "the account of this sandbox is disabled");
}

static int by_header(const struct cx_auth *auth, const char *header, struct cx_caller *ret,
		     struct cx_err *err)
{
	static const char scheme[] = "Bearer ";

	if (cx_auth_identify(auth, header, ret))
		return ret->admin ? 0 : check_owner(auth->accounts, ret->sandbox, err);
	if (auth->accounts == NULL || strncasecmp(header, scheme, sizeof scheme - 1) != 0)
		return cx_refuse(err, CX_DENIED, "%s", advice);
	return by_key(auth->accounts, header + sizeof scheme - 1, ret, err);
}

static int by_peer(const struct cx_auth *auth, uid_t peer, struct cx_caller *ret,
		   struct cx_err *err)
{
	CX_AUTO(cx_user_row_clear) struct cx_user_row user = { 0 };
	int found = 0;

	if (peer == 0 || peer == geteuid()) {
		*ret = cx_caller_admin;
		return 0;
	}
	if (auth->accounts != NULL)
		found = cx_store_user_by_uid(auth->accounts, peer, &user, err);
	if (found < 0)
		return found;
	return found == 1
		       ? become(&user, ret, err)
		       : cx_refuse(err, CX_DENIED,
				   "no account has your uid %u; an administrator makes one with: "
				   "caisson user add NAME --uid %u",
				   (unsigned)peer, (unsigned)peer);
}

int cx_identify(const struct cx_auth *auth, const char *header, const uid_t *peer,
		struct cx_caller *ret, struct cx_err *err)
{
	*ret = (struct cx_caller){ 0 };
	if (header != NULL)
		return by_header(auth, header, ret, err);
	if (peer != NULL)
		return by_peer(auth, *peer, ret, err);
	return cx_refuse(err, CX_DENIED, "%s", advice);
}

/* A store that cannot be asked ends nothing. */
bool cx_identity_holds(const struct cx_auth *auth, const struct cx_caller *caller)
{
	CX_AUTO(cx_key_row_clear) struct cx_key_row key = { 0 };
	CX_AUTO(cx_user_row_clear) struct cx_user_row user = { 0 };
	struct cx_store *store = auth->accounts;
	struct cx_err err;
	int found = 1;

	if (store == NULL || (caller->key[0] == '\0' && strcmp(caller->user, CX_ADMIN_USER) == 0))
		return true;
	if (caller->user[0] == '\0')
		return cx_store_owner_disabled(store, caller->sandbox, &err) <= 0;
	if (caller->key[0] != '\0')
		found = cx_store_key_by_id(store, caller->key, &key, &err);
	if (found == 0 || (key.id != NULL && !is_good(&key, cx_wall_ms())))
		return false;
	found = cx_store_user_by_id(store, caller->user, &user, &err);
	return found < 0 || (found == 1 && user.disabled == 0);
}
