/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CX_API_NEXUS_SANDBOX_H
#define CX_API_NEXUS_SANDBOX_H

#include "api/jsonw.h"
#include "api/store.h"

/* A sandbox in the words of Nexus. Those that were made over another API have them, too. */
#define CX_NEXUS_TENANT "default"

/* What Nexus' clients say of a sandbox that means nothing to caisson: kept in its attributes. */
struct cx_nexus_traits {
	const char *provider, *tenant_id;   /* never NULL once loaded */
	const char *template_id, *agent_id; /* or NULL */
	struct json_t *doc;		    /* of a loaded one: owns the texts */
};
/* Always succeeds: of a sandbox of another API, or with attributes that are broken, by default. */
void cx_nexus_traits_load(const struct cx_sandbox_row *row, struct cx_nexus_traits *ret);
void cx_nexus_traits_clear(struct cx_nexus_traits *traits); /* for CX_AUTO() */
/* As JSON, for attributes; free with free(3). */
CX_MUST int cx_nexus_traits_dump(const struct cx_nexus_traits *traits, char **ret,
				 struct cx_err *err);

/* "active", "paused" or "stopped". */
const char *cx_nexus_status_word(const struct cx_sandbox_row *row);
const char *cx_nexus_owner(const struct cx_sandbox_row *row);

/* Whether the kernel was asked, by way of caissond, and what it said. */
enum cx_nexus_verified { CX_NEXUS_UNASKED, CX_NEXUS_ALIVE, CX_NEXUS_GONE };

/* The metadata, an object. now_ms: Unix milliseconds. */
void cx_nexus_present(struct cx_jsonw *w, const char *key, const struct cx_sandbox_row *row,
		      const struct cx_nexus_traits *traits, enum cx_nexus_verified verified,
		      int64_t now_ms);

#endif
