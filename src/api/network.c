/* SPDX-License-Identifier: Apache-2.0 */
#include "api/network.h"

#include <string.h>

#include "api/json.h"
#include "base/cleanup.h"

enum { LIST_BYTES = 512 * 1024 };

/* 1: an empty list; 0: none. */
static int parse_list(const struct json_t *doc, const char *field, struct cx_err *err)
{
	CX_AUTO(cx_buf_free) struct cx_buf list = { .max = LIST_BYTES };
	int given = cx_json_strv(doc, field, &list, err);

	if (given > 0 && list.len > 0)
		return cx_refuse(err, CX_INVALID,
				 "'%s': only everything or nothing can be blocked by this engine, "
				 "single destinations cannot; give [] or leave it out",
				 field);
	return given;
}

static int set_list(char **slot, bool given, struct cx_err *err)
{
	cx_freep(slot);
	if (!given)
		return 0;
	*slot = strdup("[]");
	return *slot != NULL ? 0 : cx_fail(err, ENOMEM, "a list of destinations");
}

int cx_network_parse(const struct json_t *doc, bool access, const char *allow, const char *deny,
		     struct cx_sandbox_row *row, struct cx_err *err)
{
	int allows = parse_list(doc, allow, err);
	int denies = allows >= 0 ? parse_list(doc, deny, err) : 0;

	if (allows < 0 || denies < 0)
		return -err->errnum;
	if (allows == 1 && denies == 1)
		return cx_refuse(err, CX_INVALID, "'%s' and '%s' exclude each other", allow, deny);
	if (!access && denies == 1)
		return cx_refuse(err, CX_INVALID, "'%s' says what is open in a closed network",
				 deny);
	if (set_list(&row->network_allowlist, !access || allows == 1, err) < 0 ||
	    set_list(&row->network_denylist, denies == 1, err) < 0)
		return -err->errnum;
	row->network_access = row->network_allowlist == NULL;
	return 0;
}
