/* SPDX-License-Identifier: Apache-2.0 */
#include "fetch/web.h"

#include <ctype.h>
#include <curl/curl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/str.h"

enum {
	BUFFER_BYTES = 256 << 10, /* fewer, larger pieces: each is hashed and written by itself */
	WORDS_GIVE_UP = 1 << 20,  /* nobody needs so much of an error page */
	CONNECTIONS = 16,
	POLL_MAX = 256,
	ASK_FIRST_BYTES = 1 << 20,
};

struct cx_web {
	CURLM *multi;
};

int cx_web_prepare(struct cx_err *err)
{
	if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
		return cx_refuse(err, CX_INTERNAL, "libcurl does not start");
	return 0;
}

int cx_web_open(struct cx_web **ret, struct cx_err *err)
{
	cx_autofree struct cx_web *web = calloc(1, sizeof *web);

	if (web == NULL)
		return cx_fail(err, ENOMEM, "HTTP");
	web->multi = curl_multi_init();
	if (web->multi == NULL)
		return cx_fail(err, ENOMEM, "HTTP");
	(void)curl_multi_setopt(web->multi, CURLMOPT_MAXCONNECTS, (long)CONNECTIONS);
	*ret = cx_take_ptr(&web);
	return 0;
}

void cx_web_close(struct cx_web *web)
{
	if (web == NULL)
		return;
	(void)curl_multi_cleanup(web->multi);
	free(web);
}

/* ---- what libcurl calls ---------------------------------------------------------------------- */

/* Adds a header's value to a list, or leaves "" where it does not fit: half of one says nothing. */
static void keep_value(char *to, size_t size, const char *value, size_t len)
{
	size_t used = strlen(to);
	size_t comma = used > 0 ? 2 : 0;

	if (memchr(value, '\0', len) != NULL || used + comma + len >= size) {
		to[0] = '\0';
		return;
	}
	memcpy(to + used, ", ", comma);
	memcpy(to + used + comma, value, len);
	to[used + comma + len] = '\0';
}

static void take_header(struct cx_web_answer *answer, const char *line, size_t len)
{
	const struct {
		const char *name;
		char *to;
		size_t size;
		bool list;
	} wanted[] = {
		{ "www-authenticate", answer->challenge, sizeof answer->challenge, true },
		{ "location", answer->location, sizeof answer->location, false },
		{ "content-type", answer->content_type, sizeof answer->content_type, false },
		{ "content-range", answer->content_range, sizeof answer->content_range, false },
		{ "docker-content-digest", answer->digest, sizeof answer->digest, false },
	};
	const char *colon = memchr(line, ':', len);
	const char *value, *end = line + len;

	if (colon == NULL)
		return;
	for (value = colon + 1; value < end && isspace((unsigned char)*value); value++)
		;
	while (end > value && isspace((unsigned char)end[-1]))
		end--;
	for (size_t i = 0; i < CX_LEN(wanted); i++) {
		if (strlen(wanted[i].name) != (size_t)(colon - line) ||
		    strncasecmp(line, wanted[i].name, (size_t)(colon - line)) != 0)
			continue;
		if (!wanted[i].list)
			wanted[i].to[0] = '\0';
		keep_value(wanted[i].to, wanted[i].size, value, (size_t)(end - value));
	}
}

/* A new status line begins a new answer: what "100 Continue" said does not count. */
static void begin_answer(struct cx_web_call *call)
{
	struct cx_web_answer *answer = &call->answer;
	long status = 0;

	(void)curl_easy_getinfo(call->easy, CURLINFO_RESPONSE_CODE, &status);
	answer->status = status > 0 && status <= 999 ? (unsigned)status : 0;
	answer->challenge[0] = answer->location[0] = answer->content_type[0] = '\0';
	answer->content_range[0] = answer->digest[0] = '\0';
}

static size_t on_header(char *line, size_t size, size_t n, void *arg)
{
	struct cx_web_call *call = arg;
	size_t len = size * n;

	call->header_bytes += len;
	if (call->header_bytes > CX_WEB_HEADERS_MAX)
		return 0;
	if (len >= 5 && strncasecmp(line, "HTTP/", 5) == 0)
		begin_answer(call);
	else
		take_header(&call->answer, line, len);
	return len;
}

static bool keep_words(struct cx_web_call *call, const char *data, size_t len)
{
	struct cx_web_answer *answer = &call->answer;
	size_t room = sizeof answer->words - answer->words_len;

	memcpy(answer->words + answer->words_len, data, len < room ? len : room);
	answer->words_len += len < room ? len : room;
	call->words_bytes += len;
	return call->words_bytes <= WORDS_GIVE_UP;
}

static void note_length(struct cx_web_call *call)
{
	curl_off_t length = -1;

	(void)curl_easy_getinfo(call->easy, CURLINFO_CONTENT_LENGTH_DOWNLOAD_T, &length);
	call->answer.has_length = length >= 0;
	call->answer.length = length >= 0 ? (uint64_t)length : 0;
}

static size_t on_body(char *data, size_t size, size_t n, void *arg)
{
	struct cx_web_call *call = arg;
	unsigned status = call->answer.status;
	bool ok;

	note_length(call);
	if (call->sink != NULL && (status == 200 || status == 206))
		ok = call->sink(call, data, size * n);
	else
		ok = keep_words(call, data, size * n);
	return ok ? size * n : CURL_WRITEFUNC_ERROR;
}

static size_t on_read(char *data, size_t size, size_t n, void *arg)
{
	struct cx_web_call *call = arg;
	uint64_t left = call->file_bytes - call->file_at;
	size_t want = left < size * n ? (size_t)left : size * n;
	ssize_t got;

	do
		got = pread(call->file, data, want, (off_t)call->file_at);
	while (got < 0 && errno == EINTR);
	if (got < 0 || (got == 0 && want > 0)) {
		call->answer.errnum = got < 0 ? errno : EIO; /* shorter than it was said to be */
		return CURL_READFUNC_ABORT;
	}
	call->file_at += (uint64_t)got;
	call->sent = call->file_at;
	return (size_t)got;
}

/* Back to the beginning, when a connection that was kept open turned out to be dead. */
static int on_seek(void *arg, curl_off_t offset, int origin)
{
	struct cx_web_call *call = arg;

	if (origin != SEEK_SET || offset < 0 || (uint64_t)offset > call->file_bytes)
		return CURL_SEEKFUNC_FAIL;
	call->file_at = (uint64_t)offset;
	return CURL_SEEKFUNC_OK;
}

/* ---- one exchange ---------------------------------------------------------------------------- */

static void add_header(struct curl_slist **list, bool *ok, const char *name, const char *value)
{
	cx_autofree char *line = NULL;
	struct curl_slist *more;

	if (value == NULL || !*ok)
		return;
	*ok = false;
	if (asprintf(&line, *value != '\0' ? "%s: %s" : "%s:", name, value) < 0) {
		line = NULL;
		return;
	}
	more = curl_slist_append(*list, line);
	if (more == NULL)
		return;
	*list = more;
	*ok = true;
}

static bool set_headers(struct cx_web_call *call, const struct cx_web_plan *plan)
{
	struct curl_slist *list = NULL;
	bool ok = true;

	add_header(&list, &ok, "Authorization", plan->authorization);
	add_header(&list, &ok, "Accept", plan->accept);
	/* "" takes away the one that libcurl would make up. */
	add_header(&list, &ok, "Content-Type",
		   plan->content_type != NULL || plan->form != NULL ? plan->content_type : "");
	/* To ask whether the body is welcome is worth a round trip for a large one only. */
	if (plan->method == CX_WEB_PUT && plan->file_bytes < ASK_FIRST_BYTES)
		add_header(&list, &ok, "Expect", "");
	call->headers = list;
	return ok && curl_easy_setopt(call->easy, CURLOPT_HTTPHEADER, list) == CURLE_OK;
}

#define SET(option, value) (curl_easy_setopt(call->easy, option, value) == CURLE_OK)

static bool set_common(struct cx_web_call *call, const struct cx_web_plan *plan)
{
	const char *protocols = plan->plain ? "http,https" : "https";
	struct curl_blob ca = { plan->ca->p, plan->ca->len, CURL_BLOB_NOCOPY };

	return SET(CURLOPT_URL, plan->url) && SET(CURLOPT_PROTOCOLS_STR, protocols) &&
	       SET(CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1) &&
	       SET(CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2) &&
	       SET(CURLOPT_CAINFO, NULL) && SET(CURLOPT_CAPATH, NULL) &&
	       (ca.len == 0 || SET(CURLOPT_CAINFO_BLOB, &ca)) && SET(CURLOPT_PROXY, "") &&
	       SET(CURLOPT_NOSIGNAL, 1L) && SET(CURLOPT_USERAGENT, "caisson/" CX_VERSION) &&
	       SET(CURLOPT_BUFFERSIZE, (long)BUFFER_BYTES) &&
	       SET(CURLOPT_CONNECTTIMEOUT, (long)CX_WEB_CONNECT_S) &&
	       SET(CURLOPT_TIMEOUT, (long)plan->total_s) && SET(CURLOPT_LOW_SPEED_LIMIT, 1L) &&
	       SET(CURLOPT_LOW_SPEED_TIME, (long)plan->stall_s) &&
	       SET(CURLOPT_ERRORBUFFER, call->answer.detail) && SET(CURLOPT_PRIVATE, call) &&
	       SET(CURLOPT_HEADERFUNCTION, on_header) && SET(CURLOPT_HEADERDATA, call) &&
	       SET(CURLOPT_WRITEFUNCTION, on_body) && SET(CURLOPT_WRITEDATA, call);
}

/* Not as a "resume", which libcurl takes a server amiss that sends everything instead. */
static bool set_range(struct cx_web_call *call, uint64_t from)
{
	char range[32];

	(void)snprintf(range, sizeof range, "%" PRIu64 "-", from);
	return SET(CURLOPT_RANGE, range);
}

static bool set_method(struct cx_web_call *call, const struct cx_web_plan *plan)
{
	switch (plan->method) {
	case CX_WEB_GET:
		return plan->from == 0 || set_range(call, plan->from);
	case CX_WEB_HEAD:
		return SET(CURLOPT_NOBODY, 1L);
	case CX_WEB_POST:
		return SET(CURLOPT_POST, 1L) &&
		       SET(CURLOPT_COPYPOSTFIELDS, plan->form != NULL ? plan->form : "");
	case CX_WEB_PUT:
		return SET(CURLOPT_UPLOAD, 1L) &&
		       SET(CURLOPT_UPLOAD_BUFFERSIZE, (long)BUFFER_BYTES) &&
		       SET(CURLOPT_INFILESIZE_LARGE, (curl_off_t)plan->file_bytes) &&
		       SET(CURLOPT_READFUNCTION, on_read) && SET(CURLOPT_READDATA, call) &&
		       SET(CURLOPT_SEEKFUNCTION, on_seek) && SET(CURLOPT_SEEKDATA, call);
	}
	return false;
}

static void release(struct cx_web_call *call)
{
	(void)curl_multi_remove_handle(call->web->multi, call->easy);
	curl_easy_cleanup(call->easy);
	curl_slist_free_all(call->headers);
	call->easy = call->headers = NULL;
}

void cx_web_stop(struct cx_web_call *call)
{
	if (call->easy != NULL)
		release(call);
}

int cx_web_start(struct cx_web *web, struct cx_web_call *call, const struct cx_web_plan *plan,
		 struct cx_err *err)
{
	cx_web_stop(call);
	*call = (struct cx_web_call){
		.web = web,
		.file = plan->file,
		.file_bytes = plan->file_bytes,
		.sink = plan->sink,
		.done = plan->done,
		.easy = curl_easy_init(),
	};
	if (call->easy == NULL)
		return cx_fail(err, ENOMEM, "HTTP");
	if (!set_common(call, plan) || !set_method(call, plan) || !set_headers(call, plan) ||
	    curl_multi_add_handle(web->multi, call->easy) != CURLM_OK) {
		release(call);
		return cx_fail(err, ENOMEM, "prepare an HTTP request");
	}
	return 0;
}

/* ---- how it ended ---------------------------------------------------------------------------- */

static const struct {
	CURLcode code;
	enum cx_web_end end;
} ends[] = {
	{ CURLE_OK, CX_WEB_ANSWERED },
	{ CURLE_COULDNT_RESOLVE_HOST, CX_WEB_NO_NAME },
	{ CURLE_COULDNT_CONNECT, CX_WEB_REFUSED },
	{ CURLE_OPERATION_TIMEDOUT, CX_WEB_SILENT },
	{ CURLE_PARTIAL_FILE, CX_WEB_CUT },
	{ CURLE_GOT_NOTHING, CX_WEB_CUT },
	{ CURLE_RECV_ERROR, CX_WEB_CUT },
	{ CURLE_SEND_ERROR, CX_WEB_CUT },
	{ CURLE_PEER_FAILED_VERIFICATION, CX_WEB_UNTRUSTED },
	{ CURLE_SSL_CACERT_BADFILE, CX_WEB_UNTRUSTED },
	{ CURLE_SSL_CONNECT_ERROR, CX_WEB_TLS },
	{ CURLE_UNSUPPORTED_PROTOCOL, CX_WEB_BAD_URL },
	{ CURLE_URL_MALFORMAT, CX_WEB_BAD_URL },
	{ CURLE_WRITE_ERROR, CX_WEB_STOPPED },
	{ CURLE_ABORTED_BY_CALLBACK, CX_WEB_LOCAL },
	{ CURLE_OUT_OF_MEMORY, CX_WEB_LOCAL },
};

/* What OpenSSL says when the other side answers a greeting in plain text. */
static const char *const not_tls[] = { "wrong version number", "packet length too long",
				       "http request", "unknown protocol" };

static enum cx_web_end end_of(const struct cx_web_call *call, CURLcode code)
{
	enum cx_web_end end = CX_WEB_NONSENSE;

	for (size_t i = 0; i < CX_LEN(ends); i++)
		if (ends[i].code == code)
			end = ends[i].end;
	for (size_t i = 0; i < CX_LEN(not_tls) && end == CX_WEB_TLS; i++)
		if (strstr(call->answer.detail, not_tls[i]) != NULL)
			end = CX_WEB_NOT_TLS;
	if (end == CX_WEB_BAD_URL && strstr(call->answer.detail, "HTTP/0.9") != NULL)
		end = CX_WEB_NONSENSE; /* what is no HTTP at all passes for an older one */
	/* The endless error page that nobody wanted to read on has said enough. */
	if (end == CX_WEB_STOPPED && call->words_bytes > WORDS_GIVE_UP)
		end = CX_WEB_ANSWERED;
	if (end == CX_WEB_STOPPED && call->header_bytes > CX_WEB_HEADERS_MAX)
		end = CX_WEB_NONSENSE;
	return end;
}

static void finish(struct cx_web_call *call, CURLcode code)
{
	struct cx_web_answer *answer = &call->answer;
	curl_off_t wait_s = 0;
	long errnum = 0;

	answer->end = end_of(call, code);
	(void)curl_easy_getinfo(call->easy, CURLINFO_RETRY_AFTER, &wait_s);
	(void)curl_easy_getinfo(call->easy, CURLINFO_OS_ERRNO, &errnum);
	answer->retry_after_s = wait_s > 0 ? (uint64_t)wait_s : 0;
	if (answer->end == CX_WEB_REFUSED)
		answer->errnum = (int)errnum;
	release(call);
	call->done(call);
}

int cx_web_turn(struct cx_web *web, struct cx_err *err)
{
	CURLMcode code;
	CURLMsg *msg;
	int running, left, ended = 0;

	code = curl_multi_perform(web->multi, &running);
	if (code != CURLM_OK)
		return cx_refuse(err, CX_INTERNAL, "libcurl: %s", curl_multi_strerror(code));
	while ((msg = curl_multi_info_read(web->multi, &left)) != NULL) {
		CURLcode result = msg->data.result;
		char *call = NULL;

		if (msg->msg != CURLMSG_DONE)
			continue;
		(void)curl_easy_getinfo(msg->easy_handle, CURLINFO_PRIVATE, &call);
		finish((struct cx_web_call *)(void *)call, result);
		ended++;
	}
	return ended;
}

int cx_web_wait(struct cx_web *web, struct pollfd *fds, unsigned n, int timeout_ms,
		struct cx_err *err)
{
	struct curl_waitfd wait[POLL_MAX];
	CURLMcode code;

	if (n > POLL_MAX)
		return cx_refuse(err, CX_INTERNAL, "%u descriptors to wait for", n);
	for (unsigned i = 0; i < n; i++) {
		int want = ((fds[i].events & POLLIN) != 0 ? CURL_WAIT_POLLIN : 0) |
			   ((fds[i].events & POLLOUT) != 0 ? CURL_WAIT_POLLOUT : 0);

		wait[i] = (struct curl_waitfd){ .fd = fds[i].fd, .events = (short)want };
	}
	code = curl_multi_poll(web->multi, wait, n, timeout_ms, NULL);
	if (code != CURLM_OK)
		return cx_refuse(err, CX_INTERNAL, "libcurl: %s", curl_multi_strerror(code));
	return 0;
}

/* ---- URLs ------------------------------------------------------------------------------------ */

CX_DEFINE_AUTO(CURLU *, curl_url_cleanup);
CX_DEFINE_AUTO(char *, curl_free);

static bool part_of(CURLU *url, CURLUPart part, unsigned flags, char *ret, size_t size)
{
	CX_AUTO(curl_freep) char *text = NULL;

	if (curl_url_get(url, part, &text, flags) != CURLUE_OK || strlen(text) >= size)
		return false;
	for (size_t i = 0; i <= strlen(text); i++)
		ret[i] = (char)tolower((unsigned char)text[i]);
	return true;
}

int cx_origin_of(const char *url, struct cx_origin *ret, struct cx_err *err)
{
	CX_AUTO(curl_url_cleanupp) CURLU *parts = curl_url();
	struct cx_origin origin = { .tls = false };
	char scheme[8], ignored[CX_WEB_URL_MAX];

	if (parts == NULL)
		return cx_fail(err, ENOMEM, "URL");
	if (curl_url_set(parts, CURLUPART_URL, url, 0) != CURLUE_OK ||
	    !part_of(parts, CURLUPART_SCHEME, 0, scheme, sizeof scheme) ||
	    (strcmp(scheme, "http") != 0 && strcmp(scheme, "https") != 0) ||
	    !part_of(parts, CURLUPART_HOST, 0, origin.host, sizeof origin.host) ||
	    !part_of(parts, CURLUPART_PORT, CURLU_DEFAULT_PORT, origin.port, sizeof origin.port))
		return cx_refuse(err, CX_INVALID, "'%.200s' is not an http or https URL", url);
	if (part_of(parts, CURLUPART_USER, 0, ignored, sizeof ignored) ||
	    part_of(parts, CURLUPART_PASSWORD, 0, ignored, sizeof ignored))
		return cx_refuse(err, CX_INVALID, "a URL of host '%.200s' holds a user name",
				 origin.host);
	origin.tls = strcmp(scheme, "https") == 0;
	*ret = origin;
	return 0;
}

void cx_origin_name(const struct cx_origin *origin, char ret[CX_ORIGIN_NAME_SIZE])
{
	bool usual = strcmp(origin->port, origin->tls ? "443" : "80") == 0;

	(void)snprintf(ret, CX_ORIGIN_NAME_SIZE, "%s%s%s", origin->host, usual ? "" : ":",
		       usual ? "" : origin->port);
}

bool cx_origin_same(const struct cx_origin *a, const struct cx_origin *b)
{
	return a->tls == b->tls && strcmp(a->host, b->host) == 0 && strcmp(a->port, b->port) == 0;
}

int cx_url_join(const char *base, const char *location, char ret[CX_WEB_URL_MAX],
		struct cx_err *err)
{
	CX_AUTO(curl_url_cleanupp) CURLU *url = curl_url();
	CX_AUTO(curl_freep) char *text = NULL;

	if (url == NULL)
		return cx_fail(err, ENOMEM, "URL");
	if (*location == '\0' || curl_url_set(url, CURLUPART_URL, base, 0) != CURLUE_OK ||
	    curl_url_set(url, CURLUPART_URL, location, 0) != CURLUE_OK ||
	    curl_url_get(url, CURLUPART_URL, &text, 0) != CURLUE_OK ||
	    strlen(text) >= CX_WEB_URL_MAX)
		return cx_refuse(err, CX_INVALID, "no usable Location ('%.200s')", location);
	memcpy(ret, text, strlen(text) + 1);
	return 0;
}

int cx_form_add(struct cx_buf *form, const char *name, const char *value, struct cx_err *err)
{
	CX_AUTO(curl_freep) char *escaped = curl_easy_escape(NULL, value, (int)strlen(value));

	if (escaped == NULL)
		return cx_fail(err, ENOMEM, "URL");
	if ((form->len > 0 && cx_buf_add(form, "&", 1, err) < 0) ||
	    cx_buf_add(form, name, strlen(name), err) < 0 || cx_buf_add(form, "=", 1, err) < 0 ||
	    cx_buf_add(form, escaped, strlen(escaped), err) < 0)
		return -err->errnum;
	return 0;
}

int cx_url_query(char url[CX_WEB_URL_MAX], const struct cx_buf *query, struct cx_err *err)
{
	size_t used = strlen(url);

	if (query->len == 0)
		return 0;
	if (used + 1 + query->len >= CX_WEB_URL_MAX)
		return cx_refuse(err, CX_INVALID, "a URL is longer than %d bytes",
				 CX_WEB_URL_MAX - 1);
	url[used] = strchr(url, '?') != NULL ? '&' : '?';
	memcpy(url + used + 1, query->p, query->len);
	url[used + 1 + query->len] = '\0';
	return 0;
}
