/* SPDX-License-Identifier: Apache-2.0 */
#include "resolver/cache.h"

#include <stdlib.h>

struct cx_cached {
	struct cx_cached *chain;	 /* in its bucket */
	struct cx_cached *newer, *older; /* by use */
	struct cx_answer *answer;
	uint16_t type;
	char name[];
};

static struct cx_cached **find(struct cx_cache *cache, const char *name, uint16_t type)
{
	struct cx_cached **at = &cache->buckets[cx_name_hash(name, type) % CX_CACHE_BUCKETS];

	while (*at != NULL && ((*at)->type != type || strcmp((*at)->name, name) != 0))
		at = &(*at)->chain;
	return at;
}

static void unlink_use(struct cx_cache *cache, struct cx_cached *c)
{
	*(c->newer != NULL ? &c->newer->older : &cache->newest) = c->older;
	*(c->older != NULL ? &c->older->newer : &cache->oldest) = c->newer;
}

static void link_use(struct cx_cache *cache, struct cx_cached *c)
{
	c->newer = NULL;
	c->older = cache->newest;
	*(c->older != NULL ? &c->older->newer : &cache->oldest) = c;
	cache->newest = c;
}

static size_t bytes_of(const struct cx_cached *c)
{
	return sizeof *c + strlen(c->name) + 1 + c->answer->bytes;
}

static void drop(struct cx_cache *cache, struct cx_cached **at)
{
	struct cx_cached *c = *at;

	*at = c->chain;
	unlink_use(cache, c);
	cache->n--;
	cache->bytes -= bytes_of(c);
	cx_answer_unref(&c->answer);
	free(c);
}

struct cx_answer *cx_cache_get(struct cx_cache *cache, const char *name, uint16_t type,
			       uint64_t now_ms)
{
	struct cx_cached **at = find(cache, name, type), *c = *at;

	if (c == NULL)
		return NULL;
	if (now_ms >= c->answer->born_ms + 1000ULL * c->answer->ttl_s) {
		drop(cache, at);
		return NULL;
	}
	unlink_use(cache, c);
	link_use(cache, c);
	return c->answer;
}

void cx_cache_put(struct cx_cache *cache, const char *name, uint16_t type, struct cx_answer *answer)
{
	struct cx_cached **at = find(cache, name, type), *c;

	if (*at != NULL)
		drop(cache, at);
	c = calloc(1, sizeof *c + strlen(name) + 1);
	if (c == NULL)
		return;
	memcpy(c->name, name, strlen(name) + 1);
	c->type = type;
	c->answer = cx_answer_ref(answer);
	c->chain = *at;
	*at = c;
	link_use(cache, c);
	cache->n++;
	cache->bytes += bytes_of(c);
	while (cache->n > CX_CACHE_ENTRIES || cache->bytes > CX_CACHE_BYTES)
		drop(cache, find(cache, cache->oldest->name, cache->oldest->type));
}

void cx_cache_clear(struct cx_cache *cache)
{
	while (cache->oldest != NULL)
		drop(cache, find(cache, cache->oldest->name, cache->oldest->type));
}
