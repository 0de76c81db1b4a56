/* SPDX-License-Identifier: Apache-2.0 */
#include "api/oomreport.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/jsonw.h"

enum { JSON_MAX = 2048, NAME_MAX_BYTES = 16 };

static void copy_name(struct cx_str name, char ret[NAME_MAX_BYTES])
{
	static const char signs[] = "-_.:/+@";
	size_t n = name.len < NAME_MAX_BYTES - 1 ? name.len : NAME_MAX_BYTES - 1;

	for (size_t i = 0; i < n; i++) {
		char c = name.p[i];
		bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
			     (c >= '0' && c <= '9') || (c != '\0' && strchr(signs, c) != NULL);

		ret[i] = plain ? c : '?';
	}
	ret[n] = '\0';
}

static uint64_t mib(uint64_t bytes)
{
	return (bytes + (1 << 19)) >> 20;
}

/* What no process has, but is the larger part. */
static const char *what_else(const struct cx_msg_oom_report *r)
{
	uint64_t half = r->limit_bytes / 2;

	return r->shared_bytes > half	? "files in memory (tmpfs, shared memory)"
	       : r->kernel_bytes > half ? "what the kernel keeps for it"
					: NULL;
}

void cx_oom_message(const struct cx_msg_oom_report *report, char ret[CX_OOM_MESSAGE_MAX])
{
	const char *else_is = what_else(report);
	char name[NAME_MAX_BYTES];
	int n = snprintf(ret, CX_OOM_MESSAGE_MAX,
			 "the sandbox ran out of its memory: limit %" PRIu64 " MiB, peak %" PRIu64
			 " MiB",
			 mib(report->limit_bytes), mib(report->peak_bytes));

	copy_name(report->process, name);
	if (else_is != NULL)
		n += snprintf(ret + n, CX_OOM_MESSAGE_MAX - (size_t)n, ", %" PRIu64 " MiB of %s",
			      mib(report->shared_bytes > report->kernel_bytes
					  ? report->shared_bytes
					  : report->kernel_bytes),
			      else_is);
	if (name[0] != '\0' && report->process_bytes > 0)
		(void)snprintf(ret + n, CX_OOM_MESSAGE_MAX - (size_t)n,
			       "; largest process '%s' with %" PRIu64 " MiB", name,
			       mib(report->process_bytes));
	else if (name[0] != '\0')
		(void)snprintf(ret + n, CX_OOM_MESSAGE_MAX - (size_t)n, "; killed process '%s'",
			       name);
}

static void write_process(struct cx_jsonw *w, const struct cx_msg_oom_report *r)
{
	char name[NAME_MAX_BYTES];

	copy_name(r->process, name);
	if (name[0] == '\0') {
		cx_jsonw_null(w, "process");
		return;
	}
	cx_jsonw_object(w, "process");
	cx_jsonw_text(w, "name", name);
	cx_jsonw_int(w, "pid", (int64_t)r->pid);
	if (r->process_bytes > 0)
		cx_jsonw_int(w, "residentBytes", (int64_t)r->process_bytes);
	else
		cx_jsonw_null(w, "residentBytes");
	cx_jsonw_end(w);
}

int cx_oom_json(const struct cx_msg_oom_report *report, char **ret, struct cx_err *err)
{
	CX_AUTO(cx_buf_free) struct cx_buf text = { .max = JSON_MAX };
	struct cx_jsonw w = { .out = &text };

	cx_jsonw_object(&w, NULL);
	cx_jsonw_int(&w, "limitBytes", (int64_t)report->limit_bytes);
	cx_jsonw_int(&w, "peakBytes", (int64_t)report->peak_bytes);
	cx_jsonw_int(&w, "anonymousBytes", (int64_t)report->anonymous_bytes);
	cx_jsonw_int(&w, "sharedBytes", (int64_t)report->shared_bytes);
	cx_jsonw_int(&w, "fileBytes", (int64_t)report->file_bytes);
	cx_jsonw_int(&w, "kernelBytes", (int64_t)report->kernel_bytes);
	cx_jsonw_int(&w, "processes", (int64_t)report->processes);
	write_process(&w, report);
	cx_jsonw_end(&w);
	if (cx_jsonw_finish(&w, err) < 0 || cx_buf_add(&text, "", 1, err) < 0)
		return -err->errnum;
	free(*ret);
	*ret = cx_take_ptr(&text.p);
	return 0;
}
