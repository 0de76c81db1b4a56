/* SPDX-License-Identifier: Apache-2.0 */
#include <sys/epoll.h>

#include "base/buf.h"
#include "base/loop.h"
#include "box.h"
#include "exec/session.h"

/* What is done to files inside, through the host side as the gateway uses it. */
enum { PATIENCE_MS = 30000, DATA_MAX = 8 << 20 };

static struct box box;
static struct cx_loop loop;
static struct cx_packet scratch;
static struct cx_session *session;
static struct cx_err err;
static bool too_late;

static void give_up(struct cx_timer *timer)
{
	(void)timer;
	too_late = true;
	loop.stop = true;
}

static void run_loop(void)
{
	static struct cx_timer patience = { .fire = give_up };

	cx_timer_set(&loop, &patience, PATIENCE_MS);
	loop.stop = false;
	ck_assert_int_eq(cx_loop_run(&loop, &err), 0);
	cx_timer_clear(&patience);
	ck_assert_msg(!too_late, "nothing happened for %d ms", PATIENCE_MS);
}

static void on_lost(struct cx_session *s, const struct cx_err *why, void *arg)
{
	(void)s;
	(void)arg;
	ck_abort_msg("session lost: %s", why->msg);
}

/* ---- one transfer ---- */

struct move {
	struct cx_file file;
	struct cx_source pipe;
	struct cx_buf data; /* to send, or what came */
	struct cx_msg_file_info info;
	struct cx_err why;
	bool sends, ready, ended, open, hold;
};

static void on_ready(struct cx_file *file, const struct cx_msg_file_info *info)
{
	struct move *move = cx_container_of(file, struct move, file);

	ck_assert(!move->ready && !move->ended);
	move->ready = true;
	move->info = *info;
	loop.stop = true;
}

static void on_ended(struct cx_file *file, const struct cx_err *why)
{
	struct move *move = cx_container_of(file, struct move, file);

	ck_assert(!move->ended);
	move->ended = true;
	if (why != NULL)
		move->why = *why;
	loop.stop = true;
}

static void close_pipe(struct move *move)
{
	if (move->open)
		cx_loop_drop(&loop, &move->pipe);
	move->open = false;
	loop.stop = true;
}

static void pipe_ready(struct cx_source *pipe, uint32_t events)
{
	struct move *move = cx_container_of(pipe, struct move, pipe);
	char chunk[65536];
	ssize_t n;

	(void)events;
	if (move->sends) {
		n = write(pipe->fd, move->data.p, move->data.len);
		if (n > 0)
			cx_buf_drop_front(&move->data, (size_t)n);
		if (move->hold && move->data.len == 0)
			ck_assert_int_eq(cx_loop_change(&loop, pipe, 0, &err), 0);
		else if (n < 0 || move->data.len == 0)
			close_pipe(move);
		return;
	}
	n = read(pipe->fd, chunk, sizeof chunk);
	if (n > 0)
		ck_assert_int_eq(cx_buf_add(&move->data, chunk, (size_t)n, &err), 0);
	else
		close_pipe(move);
}

/* Returns the agent's end. */
static int open_move(struct move *move, bool sends)
{
	int reads, writes;

	memset(move, 0, sizeof *move);
	move->file = (struct cx_file){ .ready = on_ready, .ended = on_ended };
	move->data.max = DATA_MAX;
	move->sends = sends;
	ck_assert_int_eq(cx_pipe(&reads, &writes, &err), 0);
	ck_assert_int_eq(cx_set_nonblock(sends ? writes : reads, true, &err), 0);
	move->pipe = (struct cx_source){ .fd = sends ? writes : reads, .ready = pipe_ready };
	ck_assert_int_eq(cx_loop_add(&loop, &move->pipe, sends ? EPOLLOUT : EPOLLIN, &err), 0);
	move->open = true;
	return sends ? reads : writes;
}

static void finish(struct move *move)
{
	while (!move->ended || (move->open && move->why.errnum == 0))
		run_loop();
	close_pipe(move);
	loop.stop = false;
}

static void add_chunk(struct cx_buf *to, const void *data, uint32_t len)
{
	uint8_t length[4] = { (uint8_t)len, (uint8_t)(len >> 8), (uint8_t)(len >> 16),
			      (uint8_t)(len >> 24) };

	ck_assert_int_eq(cx_buf_add(to, length, sizeof length, &err), 0);
	if (len > 0)
		ck_assert_int_eq(cx_buf_add(to, data, len, &err), 0);
}

static void begin_put(struct move *move, const struct cx_msg_file_put *what)
{
	int theirs = open_move(move, true);

	ck_assert_int_eq(cx_session_file_put(session, what, &theirs, &move->file, &err), 0);
	ck_assert_int_eq(theirs, -EBADF);
}

static void put(struct move *move, const struct cx_msg_file_put *what, const void *data, size_t len)
{
	begin_put(move, what);
	for (size_t done = 0; done < len; done += CX_FILE_CHUNK_MAX) {
		size_t n = len - done < CX_FILE_CHUNK_MAX ? len - done : CX_FILE_CHUNK_MAX;

		add_chunk(&move->data, (const char *)data + done, (uint32_t)n);
	}
	add_chunk(&move->data, NULL, 0);
	finish(move);
	cx_buf_free(&move->data);
}

static struct cx_msg_file_put put_plan(const char *path, const char *user, uint32_t mode)
{
	return (struct cx_msg_file_put){ .path = cx_str_of(path),
					 .user = cx_str_of(user),
					 .mode = mode };
}

static void put_text(const char *path, const char *text)
{
	struct cx_msg_file_put what = put_plan(path, "", CX_FILE_MODE_NONE);
	struct move move;

	put(&move, &what, text, strlen(text));
	ck_assert_msg(move.why.errnum == 0, "%s: %s (%d)", path, move.why.msg, move.why.errnum);
	ck_assert(move.ready);
}

static void get(struct move *move, const struct cx_msg_file_get *what)
{
	int theirs = open_move(move, false);

	ck_assert_int_eq(cx_session_file_get(session, what, &theirs, &move->file, &err), 0);
	finish(move);
}

static struct cx_msg_file_get get_plan(const char *path)
{
	return (struct cx_msg_file_get){ .path = cx_str_of(path), .length = UINT64_MAX };
}

static void expect_text(const char *path, const char *text)
{
	struct cx_msg_file_get what = get_plan(path);
	struct move move;

	get(&move, &what);
	ck_assert_msg(move.why.errnum == 0, "%s: %s", path, move.why.msg);
	ck_assert_uint_eq(move.info.length, strlen(text));
	ck_assert_uint_eq(move.data.len, strlen(text));
	ck_assert_mem_eq(move.data.p != NULL ? move.data.p : "", text, strlen(text));
	cx_buf_free(&move.data);
}

/* ---- a command, to look at things ---- */

struct run {
	struct cx_exec exec;
	bool ended;
	uint32_t status;
};

static void run_ended(struct cx_exec *exec, const struct cx_result *end, const struct cx_err *why)
{
	struct run *run = cx_container_of(exec, struct run, exec);

	ck_assert_msg(why == NULL, "%s", why != NULL ? why->msg : "");
	run->ended = true;
	run->status = end->status;
	loop.stop = true;
}

static void expect_shell(const char *line)
{
	struct run run = { .exec.ended = run_ended };
	struct cx_msg_exec plan = { .flags = CX_EXEC_SHELL,
				    .argv = { .p = line, .len = (uint32_t)strlen(line) + 1 } };
	struct cx_pipes pipes;

	ck_assert_int_eq(cx_pipes_open(&pipes, &err), 0);
	ck_assert_int_eq(cx_session_exec(session, &plan, &pipes, &run.exec, &err), 0);
	while (!run.ended)
		run_loop();
	cx_pipes_close(&pipes);
	ck_assert_msg(run.status == 0, "'%s' ended with %u", line, run.status);
}

/* ---- life ---- */

static void claim(void)
{
	int sock = box_connect(&box), root = box_root();
	struct cx_msg_claim m = { .hostname = cx_str_of("testhost") };

	ck_assert_int_eq(cx_packet_recv(sock, &scratch, &err), 1);
	ck_assert_int_eq(cx_msg_claim_send(sock, 1, &m, &root, 1, &err), 0);
	ck_assert_int_eq(cx_packet_recv(sock, &scratch, &err), 1);
	ck_assert_int_eq(scratch.type, CX_MSG_agent_ok);
	(void)close(root);
	(void)close(sock);
}

static bool configured;

static void on_configured(struct cx_call *call, const struct cx_answer *answer,
			  const struct cx_err *why)
{
	(void)call;
	(void)answer;
	ck_assert_msg(why == NULL, "%s", why != NULL ? why->msg : "");
	configured = true;
	loop.stop = true;
}

static void set_up(bool grouped)
{
	static const struct cx_session_events events = { .lost = on_lost };
	struct cx_msg_configure m = { .env = { .p = "PATH=/bin\0", .len = 10 },
				      .cwd = cx_str_of("/workspace") };
	struct cx_call call = { .done = on_configured };
	int sock;

	box_start(&box, grouped);
	(void)signal(SIGPIPE, SIG_IGN); /* as the gateway does: what is refused is not read */
	claim();
	sock = box_connect(&box);
	ck_assert_int_eq(cx_loop_open(&loop, &err), 0);
	ck_assert_int_eq(cx_session_open(&loop, &scratch, &sock, &events, &session, &err), 0);
	ck_assert_int_eq(cx_session_configure(session, &m, &call, &err), 0);
	while (!configured)
		run_loop();
}

static void set_up_grouped(void)
{
	set_up(true);
}

static void set_up_plain(void)
{
	set_up(false);
}

static void tear_down(void)
{
	cx_session_close(session);
	cx_loop_close(&loop);
	box_end(&box);
}

/* ---- tests ---- */

static const struct {
	const char *path, *seen; /* where it is afterwards */
} places[] = {
	{ "/tmp/a", "/tmp/a" },
	{ "relative", "/workspace/relative" },
	{ "/tmp/many//new/./directories/x", "/tmp/many/new/directories/x" },
	{ "/tmp/with space/\"quotes'/\xc3\xa4\xe2\x82\xac\xff.bin",
	  "/tmp/with space/\"quotes'/\xc3\xa4\xe2\x82\xac\xff.bin" },
	{ "../tmp/up", "/tmp/up" },
	{ "/../../../tmp/root", "/tmp/root" },
	{ "/proc/self/root/tmp/inside", "/tmp/inside" },
};

START_TEST(what_is_put_can_be_got)
{
	put_text(places[_i].path, "hello\n");
	expect_text(places[_i].seen, "hello\n");
	put_text(places[_i].path, "");
	expect_text(places[_i].seen, "");
	expect_shell("test -z \"$(find / -xdev -name '.caisson-*')\"");
}
END_TEST

START_TEST(a_lot_of_bytes)
{
	struct cx_msg_file_put what = put_plan("/tmp/large", "", CX_FILE_MODE_NONE);
	struct cx_msg_file_get back = get_plan("/tmp/large");
	size_t len = 5 << 20;
	char *data = malloc(len);
	struct move move;

	for (size_t i = 0; i < len; i++)
		data[i] = (char)(i * 31 + i / 7919);
	put(&move, &what, data, len);
	ck_assert_int_eq(move.why.errnum, 0);
	get(&move, &back);
	ck_assert_int_eq(move.why.errnum, 0);
	ck_assert_uint_eq(move.info.size, len);
	ck_assert_uint_eq(move.data.len, len);
	ck_assert(memcmp(move.data.p, data, len) == 0);
	cx_buf_free(&move.data);
	free(data);
}
END_TEST

static const struct {
	uint64_t offset;
	uint32_t tail;
	uint64_t length;
	const char *part;
	uint64_t begins;
} windows[] = {
	{ 0, 0, UINT64_MAX, "0123456789", 0 },
	{ 3, 0, 4, "3456", 3 },
	{ 3, 0, UINT64_MAX, "3456789", 3 },
	{ 10, 0, 5, "", 10 },
	{ 99, 0, 5, "", 10 },
	{ 4, 1, UINT64_MAX, "6789", 6 },
	{ 4, 1, 2, "67", 6 },
	{ 99, 1, 100, "0123456789", 0 },
	{ 0, 0, 0, "", 0 },
};

START_TEST(a_window_of_a_file)
{
	struct cx_msg_file_get what = { .path = cx_str_of("/tmp/w"),
					.offset = windows[_i].offset,
					.tail = windows[_i].tail,
					.length = windows[_i].length };
	struct move move;

	put_text("/tmp/w", "0123456789");
	get(&move, &what);
	ck_assert_int_eq(move.why.errnum, 0);
	ck_assert_uint_eq(move.info.size, 10);
	ck_assert_uint_eq(move.info.offset, windows[_i].begins);
	ck_assert_uint_eq(move.data.len, strlen(windows[_i].part));
	ck_assert_mem_eq(move.data.p != NULL ? move.data.p : "", windows[_i].part, move.data.len);
	cx_buf_free(&move.data);
}
END_TEST

/* "!" in front: what cannot be put; else what cannot be got. */
static const struct {
	const char *path, *user;
	uint32_t kind;
	const char *why;
} refusals[] = {
	{ "/tmp", "", CX_INVALID, "'/tmp' is a directory, not a regular file" },
	{ "/tmp/none", "", CX_NOT_FOUND, "open '/tmp/none'" },
	{ "", "", CX_INVALID, "the path is empty" },
	{ "/etc/passwd/x", "", CX_INVALID, "open '/etc/passwd/x'" },
	{ "/tmp/fifo", "", CX_INVALID, "'/tmp/fifo' is a FIFO, not a regular file" },
	{ "/dev/zero", "", CX_INVALID, "'/dev/zero' is a device, not a regular file" },
	{ "/dev/ptmx", "", CX_INVALID, "'/dev/ptmx' is a device, not a regular file" },
	{ "/tmp/round", "", CX_INVALID, "open '/tmp/round'" },
	{ "/tmp/secret", "app", CX_DENIED, "open '/tmp/secret'" },
	{ "/tmp/secret", "nobody-there", CX_NOT_FOUND,
	  "user 'nobody-there' is not in the sandbox's /etc/passwd" },
	{ "/proc/self/fd/0", "", CX_INVALID, "'/proc/self/fd/0' is a FIFO, not a regular file" },
	{ "!/tmp", "", CX_INVALID, "'/tmp' is a directory, not a regular file" },
	{ "!/tmp/new/", "", CX_INVALID, "'/tmp/new/' is a directory" },
	{ "!/tmp/..", "", CX_INVALID, "'/tmp/..' is a directory" },
	{ "!/", "", CX_INVALID, "'/' is a directory" },
	{ "!", "", CX_INVALID, "the path is empty" },
	{ "!/etc/passwd/x", "", CX_INVALID, "enter the directory of '/etc/passwd/x'" },
	{ "!/tmp/fifo", "", CX_INVALID, "'/tmp/fifo' is a FIFO, not a regular file" },
	{ "!/dev/null", "", CX_INVALID, "'/dev/null' is a device, not a regular file" },
	{ "!/tmp/round", "", CX_INVALID, "follow '/tmp/round'" },
	{ "!/tmp/secret", "app", CX_DENIED, "write '/tmp/secret'" },
	{ "!/proc/1/root/tmp/x", "", CX_DENIED, "enter the directory of '/proc/1/root/tmp/x'" },
	{ "/proc/1/root/etc/passwd", "", CX_DENIED, "open '/proc/1/root/etc/passwd'" },
	{ "!/root/x", "app", CX_DENIED, NULL },
	{ "!/etc/x", "app", CX_DENIED, "write in the directory of '/etc/x'" },
	{ "!/etc/y/x", "app", CX_DENIED, "make the directory of '/etc/y/x'" },
	{ "!/proc/1/comm", "app", CX_DENIED, NULL },
};

START_TEST(a_path_is_refused)
{
	const char *path = refusals[_i].path;
	bool puts = path[0] == '!';
	struct cx_msg_file_put what = put_plan(path + puts, refusals[_i].user, 0644);
	struct cx_msg_file_get from = { .path = cx_str_of(path),
					.user = cx_str_of(refusals[_i].user) };
	struct move move;

	expect_shell("mkdir -p /root; chmod 700 /root; mkfifo /tmp/fifo; ln -s round /tmp/round; "
		     "echo x > /tmp/secret; chmod 600 /tmp/secret");
	if (puts)
		put(&move, &what, "abc", 3);
	else
		get(&move, &from);
	ck_assert(!move.ready && move.data.len == 0);
	ck_assert_msg(move.why.kind == refusals[_i].kind, "%s: %s", path, move.why.msg);
	if (refusals[_i].why != NULL)
		ck_assert_str_eq(move.why.msg, refusals[_i].why);
	expect_shell("test ! -e /tmp/new -a $(cat /tmp/secret) = x -a -c /dev/null");
}
END_TEST

START_TEST(what_is_replaced_stays_itself)
{
	struct cx_msg_file_put as_app = put_plan("/tmp/by-app", "app", CX_FILE_MODE_NONE);
	struct cx_msg_file_put with_mode = put_plan("/tmp/script", "", 0750);
	struct move move;

	put(&move, &as_app, "1", 1);
	ck_assert_int_eq(move.why.errnum, 0);
	expect_shell("test $(stat -c %U:%a /tmp/by-app) = app:644");
	put_text("/tmp/by-app", "2");
	expect_shell("test $(stat -c %U:%a /tmp/by-app) = app:644");
	put(&move, &with_mode, "1", 1);
	put_text("/tmp/script", "2");
	expect_shell("test $(stat -c %U:%a /tmp/script) = root:750");
	expect_shell("ln -s target /tmp/link; ln -s /tmp/missing/x /tmp/dangling");
	put_text("/tmp/link", "through");
	put_text("/tmp/dangling", "through");
	expect_shell("test -L /tmp/link -a -L /tmp/dangling -a $(cat /tmp/target) = through "
		     "-a $(cat /tmp/missing/x) = through");
}
END_TEST

START_TEST(what_breaks_off_leaves_nothing)
{
	struct cx_msg_file_put what = put_plan("/tmp/d/old", "", CX_FILE_MODE_NONE);
	struct move move;

	put_text("/tmp/d/old", "old");
	begin_put(&move, &what);
	add_chunk(&move.data, "new", 3); /* but no end */
	finish(&move);
	ck_assert_msg(move.why.errnum != 0, "taken");
	cx_buf_free(&move.data);
	begin_put(&move, &what);
	ck_assert_int_eq(cx_buf_add(&move.data, "\x08\0\0\0new", 7, &err), 0);
	finish(&move);
	ck_assert_str_eq(move.why.msg, "the content broke off");
	cx_buf_free(&move.data);
	begin_put(&move, &what);
	ck_assert_int_eq(cx_buf_add(&move.data, "\1\0\x10\0", 4, &err), 0);
	finish(&move);
	ck_assert_str_eq(move.why.msg, "a chunk is too long");
	cx_buf_free(&move.data);
	expect_text("/tmp/d/old", "old");
	expect_shell("test $(ls -A /tmp/d | wc -l) = 1");
}
END_TEST

/* Nobody but the agent and this shell, which looks without starting anything. */
static const char alone[] = "for i in $(seq 50); do set -- /proc/[0-9]*; test $# = 2 && exit 0; "
			    "sleep .1; done; exit 1";

START_TEST(a_cancelled_transfer_ends_inside)
{
	struct cx_msg_file_put what = put_plan("/tmp/d/x", "", CX_FILE_MODE_NONE);
	struct cx_msg_file_get endless = get_plan("/tmp/sparse");
	struct move move;
	int theirs;

	put_text("/tmp/d/old", "old");
	begin_put(&move, &what);
	move.hold = true;
	add_chunk(&move.data, "new", 3);
	while (!move.ready)
		run_loop();
	cx_file_cancel(&move.file);
	cx_file_cancel(&move.file);
	expect_shell("truncate -s 1099511627776 /tmp/sparse");
	expect_shell(alone);
	close_pipe(&move);
	cx_buf_free(&move.data);
	theirs = open_move(&move, false);
	ck_assert_int_eq(cx_session_file_get(session, &endless, &theirs, &move.file, &err), 0);
	while (!move.ready)
		run_loop();
	ck_assert_uint_eq(move.info.length, UINT64_C(1) << 40);
	cx_file_cancel(&move.file);
	close_pipe(&move);
	expect_shell(alone);
	expect_shell("test $(ls -A /tmp/d) = old");
	cx_buf_free(&move.data);
}
END_TEST

START_TEST(a_timeout_ends_a_transfer)
{
	struct cx_msg_file_put what = put_plan("/tmp/d/x", "", CX_FILE_MODE_NONE);
	struct move move;

	what.timeout_ms = 200;
	begin_put(&move, &what);
	move.hold = true;
	add_chunk(&move.data, "new", 3);
	while (!move.ended)
		run_loop();
	ck_assert_uint_eq(move.why.kind, CX_TIMEOUT);
	close_pipe(&move);
	cx_buf_free(&move.data);
	expect_shell("test $(ls -A /tmp/d | wc -l) = 0");
}
END_TEST

START_TEST(files_of_proc_have_no_size)
{
	struct cx_msg_file_get what = get_plan("/proc/self/status");
	struct cx_msg_file_get tail = {
		.path = cx_str_of("/proc/version"), .offset = 1, .tail = 1, .length = 10
	};
	struct move move;

	get(&move, &what);
	ck_assert_msg(move.why.errnum == 0, "%s", move.why.msg);
	ck_assert_uint_gt(move.info.size, 100);
	ck_assert_uint_eq(move.info.length, move.data.len);
	ck_assert_mem_eq(move.data.p, "Name:", 5);
	cx_buf_free(&move.data);
	get(&move, &tail);
	ck_assert_uint_eq(move.data.len, 1);
	ck_assert_mem_eq(move.data.p, "\n", 1);
	cx_buf_free(&move.data);
}
END_TEST

/* ---- directories and links ---- */

static void put_kind(struct move *move, uint32_t kind, const char *path, const char *content)
{
	struct cx_msg_file_put what = put_plan(path, "", CX_FILE_MODE_NONE);

	what.kind = kind;
	put(move, &what, content, strlen(content));
}

START_TEST(directories_and_links_are_made)
{
	struct move move;

	put_kind(&move, CX_FILE_DIRECTORY, "/tmp/a/b", "");
	ck_assert_int_eq(move.why.errnum, 0);
	put_kind(&move, CX_FILE_DIRECTORY, "/tmp/a/b/", "");
	ck_assert_int_eq(move.why.errnum, 0);
	put_kind(&move, CX_FILE_DIRECTORY, "/tmp/a/c", "content");
	ck_assert_uint_eq(move.why.kind, CX_INVALID);
	put_kind(&move, CX_FILE_DIRECTORY, "/etc/passwd", "");
	ck_assert_uint_eq(move.why.kind, CX_INVALID);
	put_kind(&move, CX_FILE_LINK, "/tmp/a/l", "../any where");
	ck_assert_int_eq(move.why.errnum, 0);
	put_kind(&move, CX_FILE_LINK, "/tmp/a/l", "b");
	ck_assert_int_eq(move.why.errnum, 0);
	put_kind(&move, CX_FILE_LINK, "/tmp/a/b", "c");
	ck_assert_str_eq(move.why.msg, "'/tmp/a/b' is a directory; no link takes its place");
	put_kind(&move, CX_FILE_LINK, "/tmp/a/empty", "");
	ck_assert_uint_eq(move.why.kind, CX_INVALID);
	expect_shell("test -d /tmp/a/b -a \"$(readlink /tmp/a/l)\" = b "
		     "-a \"$(ls -A /tmp/a | tr '\\n' ' ')\" = 'b c l '");
}
END_TEST

static size_t list(struct move *move, const char *path, const char *after,
		   struct cx_msg_file_entry *entries, size_t max)
{
	struct cx_msg_file_list what = { .path = cx_str_of(path), .after = cx_str_of(after) };
	int theirs = open_move(move, false);
	struct cx_reader r;
	size_t n = 0;

	ck_assert_int_eq(cx_session_file_list(session, &what, &theirs, &move->file, &err), 0);
	finish(move);
	r = (struct cx_reader){ .p = (const uint8_t *)move->data.p, .left = move->data.len };
	for (; r.left > 0; n++) {
		struct cx_str bytes;
		struct cx_reader one;

		ck_assert(cx_get_bytes(&r, &bytes, 8192));
		ck_assert_uint_lt(n, max);
		one = (struct cx_reader){ .p = (const uint8_t *)bytes.p, .left = bytes.len };
		ck_assert(cx_msg_file_entry_get(&one, &entries[n]));
	}
	return n;
}

START_TEST(a_directory_is_listed)
{
	static struct cx_msg_file_entry e[CX_FILE_LIST_ENTRIES_MAX];
	struct move move;

	expect_shell("mkdir -p /tmp/l/d; cd /tmp/l; printf abc > f; chmod 751 f; ln -s f k; "
		     "mkfifo p; touch .h");
	ck_assert_uint_eq(list(&move, "/tmp/l", "", e, 10), 5);
	ck_assert_uint_eq(move.info.kind, CX_FILE_DIRECTORY);
	ck_assert_uint_eq(move.info.length, 5);
	ck_assert(cx_str_equal(e[0].name, ".h") && cx_str_equal(e[1].name, "d") &&
		  cx_str_equal(e[2].name, "f") && cx_str_equal(e[3].name, "k"));
	ck_assert_uint_eq(e[1].kind, CX_FILE_DIRECTORY);
	ck_assert_uint_eq(e[2].mode, 0751);
	ck_assert_uint_eq(e[2].size, 3);
	ck_assert(cx_str_equal(e[3].target, "f"));
	ck_assert_uint_eq(e[4].kind, CX_FILE_OTHER);
	cx_buf_free(&move.data);
	ck_assert_uint_eq(list(&move, "/tmp/l", "d", e, 10), 3);
	cx_buf_free(&move.data);
	ck_assert_uint_eq(list(&move, "/tmp/l/f", "", e, 10), 0);
	ck_assert_uint_eq(move.info.kind, CX_FILE_REGULAR);
	ck_assert_uint_eq(move.info.size, 3);
	ck_assert_uint_eq(list(&move, "/tmp/none", "", e, 10), 0);
	ck_assert_uint_eq(move.why.kind, CX_NOT_FOUND);
	expect_shell("mkdir /tmp/many; cd /tmp/many; touch $(seq 1500)");
	ck_assert_uint_eq(list(&move, "/tmp/many", "", e, CX_LEN(e)), CX_FILE_LIST_ENTRIES_MAX);
	ck_assert_uint_eq(move.info.length, 1500);
	cx_buf_free(&move.data);
}
END_TEST

START_TEST(two_at_once_are_never_mixed)
{
	struct cx_msg_file_put what = put_plan("/tmp/both", "", CX_FILE_MODE_NONE);
	char a[200000], b[200000];
	struct move one, two;
	struct cx_msg_file_get back = get_plan("/tmp/both");

	memset(a, 'a', sizeof a);
	memset(b, 'b', sizeof b);
	begin_put(&one, &what);
	begin_put(&two, &what);
	add_chunk(&one.data, a, sizeof a);
	add_chunk(&two.data, b, sizeof b);
	add_chunk(&one.data, NULL, 0);
	add_chunk(&two.data, NULL, 0);
	finish(&one);
	finish(&two);
	ck_assert(one.why.errnum == 0 && two.why.errnum == 0);
	cx_buf_free(&one.data);
	cx_buf_free(&two.data);
	get(&one, &back);
	ck_assert_uint_eq(one.data.len, sizeof a);
	ck_assert(memcmp(one.data.p, a, sizeof a) == 0 || memcmp(one.data.p, b, sizeof b) == 0);
	cx_buf_free(&one.data);
	expect_shell("test $(ls -A /tmp) = both");
}
END_TEST

int main(void)
{
	Suite *s = suite_create("files");
	TCase *plain = tcase_create("without control groups");
	TCase *grouped = tcase_create("with");

	tcase_add_checked_fixture(plain, set_up_plain, tear_down);
	tcase_add_checked_fixture(grouped, set_up_grouped, tear_down);
	tcase_set_timeout(plain, 60);
	tcase_set_timeout(grouped, 60);
	tcase_add_loop_test(plain, what_is_put_can_be_got, 0, CX_LEN(places));
	tcase_add_loop_test(plain, a_window_of_a_file, 0, CX_LEN(windows));
	tcase_add_loop_test(plain, a_path_is_refused, 0, CX_LEN(refusals));
	tcase_add_test(plain, a_lot_of_bytes);
	tcase_add_test(plain, what_is_replaced_stays_itself);
	tcase_add_test(plain, what_breaks_off_leaves_nothing);
	tcase_add_test(plain, files_of_proc_have_no_size);
	tcase_add_test(plain, directories_and_links_are_made);
	tcase_add_test(plain, a_directory_is_listed);
	tcase_add_test(plain, two_at_once_are_never_mixed);
	tcase_add_test(grouped, a_cancelled_transfer_ends_inside);
	tcase_add_test(grouped, a_timeout_ends_a_transfer);
	suite_add_tcase(s, plain);
	suite_add_tcase(s, grouped);
	return run_root_suite(s);
}
