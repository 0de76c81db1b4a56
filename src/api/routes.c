/* SPDX-License-Identifier: Apache-2.0 */
#include "api/routes.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "api/handlers.h"
#include "api/nexus/routes.h"
#include "api/prime/routes.h"
#include "base/cleanup.h"

#define SANDBOX "/api/v1/sandbox"
#define IMAGES	"/api/v1/images"
#define LOGINS	"/api/v1/registries"
#define USERS	"/api/v1/users"
#define TEAMS	"/api/v1/teams"
#define KEYS	"/api/v1/keys"

static const struct cx_route rows[] = {
	{ "GET", "/healthz", CX_SCOPE_PUBLIC, CX_BODY_NONE, cx_handle_health,
	  "is the gateway up; tells nothing else" },
	{ "GET", "/readyz", CX_SCOPE_PUBLIC, CX_BODY_NONE, cx_handle_ready,
	  "does the engine answer; 503 if not" },
	{ "GET", "/metrics", CX_SCOPE_ADMIN, CX_BODY_NONE, cx_handle_metrics,
	  "what was done and what there is, for Prometheus" },
	{ "GET", "/openapi.json", CX_SCOPE_PUBLIC, CX_BODY_NONE, cx_handle_openapi,
	  "what all routes take and give, in words of OpenAPI 3.1" },
	{ "POST", SANDBOX, CX_SCOPE_USER, CX_BODY_JSON, cx_handle_create,
	  "make a sandbox; answered when it runs" },
	{ "GET", SANDBOX, CX_SCOPE_USER, CX_BODY_NONE, cx_handle_list,
	  "page, per_page, status, labels, is_active" },
	{ "DELETE", SANDBOX, CX_SCOPE_USER, CX_BODY_JSON, cx_handle_delete_many,
	  "by ids or by labels; naming nothing is refused" },
	{ "GET", SANDBOX "/{}", CX_SCOPE_USER, CX_BODY_NONE, cx_handle_get, "by id or name" },
	{ "DELETE", SANDBOX "/{}", CX_SCOPE_USER, CX_BODY_NONE, cx_handle_delete,
	  "answered when nothing of it is left; repeating it is fine" },
	{ "GET", SANDBOX "/{}/logs", CX_SCOPE_USER, CX_BODY_NONE, cx_handle_logs,
	  "output of the start command" },
	{ "GET", SANDBOX "/{}/logs/follow", CX_SCOPE_USER, CX_BODY_NONE, cx_handle_logs_follow,
	  "the same as it comes, up to the sandbox's end" },
	{ "GET", SANDBOX "/{}/usage", CX_SCOPE_USER, CX_BODY_NONE, cx_handle_usage,
	  "what the kernel counts" },
	{ "GET", SANDBOX "/{}/egress", CX_SCOPE_USER, CX_BODY_NONE, cx_handle_egress,
	  "what it may reach" },
	{ "PUT", SANDBOX "/{}/egress", CX_SCOPE_USER, CX_BODY_JSON, cx_handle_set_egress,
	  "change that; answered when it is in force" },
	{ "GET", SANDBOX "/{}/egress/log", CX_SCOPE_USER, CX_BODY_NONE, cx_handle_egress_log,
	  "what it was refused" },
	{ "GET", "/api/v1/usage", CX_SCOPE_USER, CX_BODY_NONE, cx_handle_usage_all,
	  "the same of every sandbox that lives" },
	{ "GET", "/api/v1/host", CX_SCOPE_ADMIN, CX_BODY_NONE, cx_handle_room,
	  "what the host has for sandboxes, what is promised, and how many wait" },
	{ "GET", "/api/v1/events", CX_SCOPE_USER, CX_BODY_NONE, cx_handle_events,
	  "a stream of every sandbox's status and its changes" },
	{ "POST", SANDBOX "/{}/pause", CX_SCOPE_USER, CX_BODY_NONE, cx_handle_pause,
	  "all that runs in it stands still, and is kept" },
	{ "POST", SANDBOX "/{}/resume", CX_SCOPE_USER, CX_BODY_NONE, cx_handle_resume,
	  "it goes on where it was" },
	{ "POST", SANDBOX "/{}/stop", CX_SCOPE_USER, CX_BODY_NONE, cx_handle_stop,
	  "end it for good and keep its record, as DELETE does" },
	{ "POST", SANDBOX "/{}/lease", CX_SCOPE_USER, CX_BODY_NONE, cx_handle_lease_renew,
	  "its owner is still there" },
	{ "GET", SANDBOX "/{}/lease", CX_SCOPE_USER, CX_BODY_NONE, cx_handle_lease_hold,
	  "the same for as long as the connection lasts" },
	{ "PATCH", SANDBOX "/{}", CX_SCOPE_USER, CX_BODY_JSON, cx_handle_renew,
	  "new times for it, which count from now" },
	{ "POST", SANDBOX "/{}/exec", CX_SCOPE_SANDBOX, CX_BODY_JSON, cx_handle_exec,
	  "run a command; with Upgrade: caisson-exec/1 as a stream of frames" },
	{ "GET", SANDBOX "/{}/exec", CX_SCOPE_SANDBOX, CX_BODY_NONE, cx_handle_exec_list,
	  "its commands that run on their own, and the last ones that have ended" },
	{ "GET", SANDBOX "/{}/exec/{}", CX_SCOPE_SANDBOX, CX_BODY_NONE, cx_handle_exec_get,
	  "one of them, with its result; wait= seconds for its end" },
	{ "GET", SANDBOX "/{}/exec/{}/output", CX_SCOPE_SANDBOX, CX_BODY_NONE,
	  cx_handle_exec_output, "what it wrote from offset= on; wait= seconds for more" },
	{ "POST", SANDBOX "/{}/exec/{}/signal", CX_SCOPE_SANDBOX, CX_BODY_JSON,
	  cx_handle_exec_signal, "a signal to all of its processes" },
	{ "PUT", SANDBOX "/{}/files", CX_SCOPE_SANDBOX, CX_BODY_STREAM, cx_handle_file_put,
	  "the body becomes the file at path=, all of it or nothing" },
	{ "GET", SANDBOX "/{}/files", CX_SCOPE_SANDBOX, CX_BODY_NONE, cx_handle_file_get,
	  "the bytes of the file at path=" },
	{ "GET", SANDBOX "/{}/files/list", CX_SCOPE_SANDBOX, CX_BODY_NONE, cx_handle_file_list,
	  "what is at path=, and a page of what is in it" },
	{ "POST", SANDBOX "/{}/commit", CX_SCOPE_ADMIN, CX_BODY_JSON, cx_handle_commit,
	  "an image of what it changed; it stands still meanwhile" },
	{ "POST", IMAGES, CX_SCOPE_ADMIN, CX_BODY_COMES, cx_handle_image_import,
	  "the archive as the body, the name as ?name=" },
	{ "POST", IMAGES "/pull", CX_SCOPE_ADMIN, CX_BODY_JSON, cx_handle_image_pull,
	  "from a registry; a stream of events" },
	{ "POST", IMAGES "/push", CX_SCOPE_ADMIN, CX_BODY_JSON, cx_handle_image_push,
	  "to a registry; a stream of events" },
	{ "POST", IMAGES "/tag", CX_SCOPE_ADMIN, CX_BODY_JSON, cx_handle_image_tag,
	  "another name for an image" },
	{ "POST", IMAGES "/prune", CX_SCOPE_ADMIN, CX_BODY_JSON, cx_handle_image_prune,
	  "remove what no image has, and with \"all\" images that no sandbox has" },
	{ "POST", IMAGES "/verify", CX_SCOPE_ADMIN, CX_BODY_JSON, cx_handle_image_verify,
	  "is the store what it says? A stream of events" },
	{ "GET", IMAGES, CX_SCOPE_USER, CX_BODY_NONE, cx_handle_image_list, "all images" },
	{ "GET", IMAGES "/{+}", CX_SCOPE_USER, CX_BODY_NONE, cx_handle_image_get,
	  "names have slashes" },
	{ "DELETE", IMAGES "/{+}", CX_SCOPE_ADMIN, CX_BODY_NONE, cx_handle_image_delete,
	  "refused while a sandbox runs from it" },
	{ "GET", "/api/v1/image-archive", CX_SCOPE_ADMIN, CX_BODY_NONE, cx_handle_image_save,
	  "save: one archive of the images named by image=, format=oci or docker" },
	{ "GET", "/api/v1/image-rootfs", CX_SCOPE_ADMIN, CX_BODY_NONE, cx_handle_image_export,
	  "export: the files of one image as an archive" },
	{ "POST", LOGINS, CX_SCOPE_ADMIN, CX_BODY_JSON, cx_handle_login,
	  "keep the credentials of a registry, if it takes them" },
	{ "GET", LOGINS, CX_SCOPE_ADMIN, CX_BODY_NONE, cx_handle_login_list,
	  "registries and user names, no secrets" },
	{ "DELETE", LOGINS "/{}", CX_SCOPE_ADMIN, CX_BODY_NONE, cx_handle_logout,
	  "forget the credentials of a registry" },
	{ "GET", USERS, CX_SCOPE_ADMIN, CX_BODY_NONE, cx_handle_user_list, "all accounts" },
	{ "POST", USERS, CX_SCOPE_ADMIN, CX_BODY_JSON, cx_handle_user_add, "a new account" },
	{ "GET", USERS "/{}", CX_SCOPE_USER, CX_BODY_NONE, cx_handle_user_get,
	  "by id or name, with what it uses; others than admins see themselves" },
	{ "PATCH", USERS "/{}", CX_SCOPE_ADMIN, CX_BODY_JSON, cx_handle_user_change,
	  "what the body names: name, email, role, unix_uid, disabled, budget" },
	{ "DELETE", USERS "/{}", CX_SCOPE_ADMIN, CX_BODY_NONE, cx_handle_user_remove,
	  "refused while it has sandboxes" },
	{ "GET", TEAMS, CX_SCOPE_USER, CX_BODY_NONE, cx_handle_team_list, "the caller's" },
	{ "POST", TEAMS, CX_SCOPE_ADMIN, CX_BODY_JSON, cx_handle_team_add, "a new team" },
	{ "GET", TEAMS "/{}", CX_SCOPE_USER, CX_BODY_NONE, cx_handle_team_get, "with its members" },
	{ "DELETE", TEAMS "/{}", CX_SCOPE_ADMIN, CX_BODY_NONE, cx_handle_team_remove,
	  "its sandboxes stay their owners'" },
	{ "POST", TEAMS "/{}/join", CX_SCOPE_USER, CX_BODY_JSON, cx_handle_team_join,
	  "its owners and admins take somebody in" },
	{ "POST", TEAMS "/{}/leave", CX_SCOPE_USER, CX_BODY_JSON, cx_handle_team_leave,
	  "its owners and admins take somebody out" },
	{ "GET", KEYS, CX_SCOPE_USER, CX_BODY_NONE, cx_handle_key_list,
	  "the caller's, without what opens" },
	{ "POST", KEYS, CX_SCOPE_USER, CX_BODY_JSON, cx_handle_key_create,
	  "a new key, which only this answer shows" },
	{ "DELETE", KEYS "/{}", CX_SCOPE_USER, CX_BODY_NONE, cx_handle_key_revoke,
	  "it opens nothing any more from now on" },
	{ "GET", "/api/v1/audit", CX_SCOPE_ADMIN, CX_BODY_NONE, cx_handle_audit,
	  "who did what; user, before, limit" },
	{ "POST", "/api/v1/secret-key/rotate", CX_SCOPE_ADMIN, CX_BODY_NONE, cx_handle_rotate,
	  "seal all secrets at rest with a new key" },
};
static const struct cx_route_table own = { rows, CX_LEN(rows) };

const struct cx_route_table *const cx_route_tables[] = { &own, &cx_prime_routes, &cx_nexus_routes };
const size_t cx_route_tables_count = CX_LEN(cx_route_tables);

int cx_route_match(const char *pattern, const char *path, char param[CX_PARAM_MAX + 1])
{
	size_t used = 0;

	param[0] = '\0';
	while (*pattern != '\0') {
		size_t len;

		if (*pattern != '{') {
			if (*pattern++ != *path++)
				return false;
			continue;
		}
		len = pattern[1] == '+' ? strlen(path) : strcspn(path, "/");
		if (len == 0 || used + len > CX_PARAM_MAX)
			return false;
		memcpy(param + used, path, len);
		param[used + len] = '\0';
		used += len + 1;
		path += len;
		pattern = strchr(pattern, '}') + 1;
	}
	return *path == '\0';
}

/* Among the paths that are whole, or among those with a hole. */
static const struct cx_route *find_in(const struct cx_route_table *table, bool whole,
				      const char *method, const char *path,
				      char param[CX_PARAM_MAX + 1], char allow[64])
{
	for (size_t i = 0; i < table->count; i++) {
		const struct cx_route *route = &table->rows[i];
		size_t used = strlen(allow);

		if ((strchr(route->path, '{') == NULL) != whole ||
		    !cx_route_match(route->path, path, param))
			continue;
		if (strcmp(route->method, method) == 0)
			return route;
		(void)snprintf(allow + used, 64 - used, "%s%s", used > 0 ? ", " : "",
			       route->method);
	}
	return NULL;
}

const struct cx_route *cx_route_find(const char *method, const char *path,
				     char param[CX_PARAM_MAX + 1], unsigned *ret_status,
				     char allow[64])
{
	const struct cx_route *route = NULL;

	allow[0] = '\0';
	for (size_t i = 0; i < cx_route_tables_count && route == NULL; i++)
		route = find_in(cx_route_tables[i], true, method, path, param, allow);
	for (size_t i = 0; i < cx_route_tables_count && route == NULL; i++)
		route = find_in(cx_route_tables[i], false, method, path, param, allow);
	if (route == NULL)
		*ret_status = allow[0] != '\0' ? 405 : 404;
	return route;
}
