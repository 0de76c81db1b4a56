/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CX_API_HANDLERS_H
#define CX_API_HANDLERS_H

/* What the rows of routes.c call, in the file of the same subject. Each answers req exactly once.
 */
struct cx_request;

/* observe.c */
void cx_handle_health(struct cx_request *req);
void cx_handle_ready(struct cx_request *req);
void cx_handle_metrics(struct cx_request *req);

/* openapi.c */
void cx_handle_openapi(struct cx_request *req);

/* sandboxes.c */
void cx_handle_create(struct cx_request *req);
void cx_handle_list(struct cx_request *req);
void cx_handle_get(struct cx_request *req);
void cx_handle_delete(struct cx_request *req);
void cx_handle_delete_many(struct cx_request *req);

/* logs.c, follow.c */
void cx_handle_logs(struct cx_request *req);
void cx_handle_logs_follow(struct cx_request *req);

/* events.c */
void cx_handle_events(struct cx_request *req);

/* usage.c */
void cx_handle_usage(struct cx_request *req);
void cx_handle_usage_all(struct cx_request *req);

/* leases.c */
void cx_handle_lease_renew(struct cx_request *req);
void cx_handle_lease_hold(struct cx_request *req);

/* room.c */
void cx_handle_room(struct cx_request *req);

/* egress.c */
void cx_handle_egress(struct cx_request *req);
void cx_handle_set_egress(struct cx_request *req);
void cx_handle_egress_log(struct cx_request *req);

/* lifecycle.c */
void cx_handle_pause(struct cx_request *req);
void cx_handle_resume(struct cx_request *req);
void cx_handle_stop(struct cx_request *req);
void cx_handle_renew(struct cx_request *req);

/* exec.c, execs.c, execout.c */
void cx_handle_exec(struct cx_request *req);
void cx_handle_exec_list(struct cx_request *req);
void cx_handle_exec_get(struct cx_request *req);
void cx_handle_exec_signal(struct cx_request *req);
void cx_handle_exec_output(struct cx_request *req);

/* users.c, teams.c, keys.c, audit.c */
void cx_handle_user_list(struct cx_request *req);
void cx_handle_user_add(struct cx_request *req);
void cx_handle_user_get(struct cx_request *req);
void cx_handle_user_change(struct cx_request *req);
void cx_handle_user_remove(struct cx_request *req);
void cx_handle_team_list(struct cx_request *req);
void cx_handle_team_add(struct cx_request *req);
void cx_handle_team_get(struct cx_request *req);
void cx_handle_team_remove(struct cx_request *req);
void cx_handle_team_join(struct cx_request *req);
void cx_handle_team_leave(struct cx_request *req);
void cx_handle_key_list(struct cx_request *req);
void cx_handle_key_create(struct cx_request *req);
void cx_handle_key_revoke(struct cx_request *req);
void cx_handle_audit(struct cx_request *req);

/* rotate.c */
void cx_handle_rotate(struct cx_request *req);

/* filesapi.c */
void cx_handle_file_put(struct cx_request *req);
void cx_handle_file_get(struct cx_request *req);
void cx_handle_file_list(struct cx_request *req);

/* images.c, import.c */
void cx_handle_image_import(struct cx_request *req);
void cx_handle_image_list(struct cx_request *req);
void cx_handle_image_get(struct cx_request *req);
void cx_handle_image_delete(struct cx_request *req);
void cx_handle_image_tag(struct cx_request *req);

/* moves.c */
void cx_handle_image_pull(struct cx_request *req);
void cx_handle_image_push(struct cx_request *req);

/* save.c, export.c, commit.c */
void cx_handle_image_save(struct cx_request *req);
void cx_handle_image_export(struct cx_request *req);
void cx_handle_commit(struct cx_request *req);

/* prune.c, verify.c */
void cx_handle_image_prune(struct cx_request *req);
void cx_handle_image_verify(struct cx_request *req);

/* logins.c */
void cx_handle_login(struct cx_request *req);
void cx_handle_login_list(struct cx_request *req);
void cx_handle_logout(struct cx_request *req);

#endif
