/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/credentials.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>

#include "base/fd.h"
#include "base/str.h"
#include "cli/term.h"
#include "image/ref.h"

enum { PATH_BYTES_MAX = 4096 };

/* ---- given ---------------------------------------------------------------------------------- */

static void no_core_dump(void)
{
	(void)prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
}

/* Cuts the last line's end; what is left must be text. */
static int check_input(char *text, size_t len, size_t size, const char *what, struct cx_err *err)
{
	if (len == size)
		return cx_refuse(err, CX_INVALID, "the %s is longer than %zu bytes", what,
				 size - 1);
	if (len > 0 && text[len - 1] == '\n')
		len--;
	if (len > 0 && text[len - 1] == '\r')
		len--;
	text[len] = '\0';
	if (len == 0 || strlen(text) != len)
		return cx_refuse(err, CX_INVALID, "standard input holds no %s", what);
	return 0;
}

static int read_password(char *ret, size_t size, struct cx_err *err)
{
	ssize_t n;

	if (isatty(STDIN_FILENO))
		return cx_refuse(err, CX_INVALID,
				 "--password-stdin reads from a file or a pipe, not from a "
				 "terminal");
	n = cx_read_upto(STDIN_FILENO, ret, size, err);
	if (n < 0)
		return cx_wrap(err, "read the password");
	return check_input(ret, (size_t)n, size, "password", err);
}

/* A line from the terminal. A signal gives up, which the caller's terminal survives. */
static int read_line(struct cx_cli *cli, char *ret, size_t size, const char *what,
		     struct cx_err *err)
{
	struct pollfd on[2] = { { .fd = STDIN_FILENO, .events = POLLIN },
				{ .fd = cli->signals, .events = POLLIN } };
	ssize_t n;

	while (poll(on, 2, -1) < 0)
		if (errno != EINTR)
			return cx_fail(err, errno, "wait for the terminal");
	if (on[1].revents != 0)
		return cx_refuse(err, CX_DENIED, "interrupted");
	n = read(STDIN_FILENO, ret, size);
	if (n < 0)
		return cx_fail(err, errno, "read the %s", what);
	return check_input(ret, (size_t)n, size, what, err);
}

static int ask(struct cx_cli *cli, const char *prompt, bool hidden, char *ret, size_t size,
	       const char *what, struct cx_err *err)
{
	CX_AUTO(cx_term_restore) struct cx_term term = { 0 };

	if (!isatty(STDIN_FILENO))
		return cx_refuse(err, CX_INVALID,
				 "there is no terminal to ask on; use --username and "
				 "--password-stdin");
	if (cli->signals < 0 && cx_cli_take_signals(cli, err) < 0)
		return -err->errnum;
	if (hidden && cx_term_hide(&term, STDIN_FILENO, err) < 0)
		return -err->errnum;
	(void)fputs(prompt, stderr);
	return read_line(cli, ret, size, what, err);
}

struct input {
	char username[CX_LOGIN_NAME_MAX + 2], password[CX_LOGIN_TOKEN_MAX + 2];
};

static void input_wipe(struct input *input)
{
	explicit_bzero(input, sizeof *input);
}

int cx_credentials_given(struct cx_cli *cli, bool may_ask, struct cx_login *ret, struct cx_err *err)
{
	const struct cx_args *a = &cli->args;
	CX_AUTO(input_wipe) struct input in = { 0 };
	const char *username = a->username;

	no_core_dump();
	if (!may_ask && username == NULL && !a->password_stdin)
		return 0;
	if (username == NULL ? a->password_stdin : !may_ask && !a->password_stdin)
		return cx_refuse(err, CX_INVALID,
				 "--username and --password-stdin are given together");
	if (username == NULL) {
		if (ask(cli, "Username: ", false, in.username, sizeof in.username, "user's name",
			err) < 0)
			return -err->errnum;
		username = in.username;
	}
	if ((a->password_stdin ? read_password(in.password, sizeof in.password, err)
			       : ask(cli, "Password: ", true, in.password, sizeof in.password,
				     "password", err)) < 0)
		return -err->errnum;
	return cx_login_set(ret, username, in.password, err) < 0 ? -err->errnum : 1;
}

/* ---- found ---------------------------------------------------------------------------------- */

/* The image's name, taken apart when a file was found to look it up in. */
struct wanted {
	const char *image;
	struct cx_ref ref;
	bool parsed;
};

/* Which registry a name without one means is the engine's to say. */
static int parse(struct cx_cli *cli, struct wanted *w, struct cx_err *err)
{
	static const char nowhere[] = "?"; /* no name has this host */
	CX_AUTO(json_decrefp) json_t *answer = NULL;
	const char *home;

	if (w->parsed)
		return 0;
	if (cx_ref_parse(w->image, nowhere, &w->ref, err) < 0)
		return -err->errnum;
	w->parsed = true;
	if (strcmp(w->ref.host, nowhere) != 0)
		return 0;
	if (cx_cli_call(cli, "GET", "/api/v1/registries", NULL, &answer, err) < 0)
		return -err->errnum;
	home = json_string_value(json_object_get(answer, "default"));
	if (home == NULL || strlen(home) > CX_REF_NAME_MAX)
		return cx_refuse(err, CX_INTERNAL, "the answer names no default registry");
	return cx_ref_parse(w->image, home, &w->ref, err);
}

/* Returns 1 and the text, 0 when there is no such file. */
static int read_file(const char *path, struct cx_buf *ret, struct cx_err *err)
{
	cx_autofd int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	struct stat st;
	ssize_t len;
	char *to;

	if (fd < 0 && (errno == ENOENT || errno == ENOTDIR))
		return 0;
	if (fd < 0 || fstat(fd, &st) < 0)
		return cx_fail(err, errno, "open '%s'", path);
	if (!S_ISREG(st.st_mode) || st.st_size > CX_AUTHFILE_MAX)
		return cx_refuse(err, CX_INVALID, "'%s' is no file, or one of more than %d bytes",
				 path, CX_AUTHFILE_MAX);
	ret->max = CX_AUTHFILE_MAX;
	to = cx_buf_reserve(ret, (size_t)st.st_size, err);
	len = to != NULL ? cx_read_upto(fd, to, (size_t)st.st_size, err) : -err->errnum;
	if (len < 0)
		return cx_wrap(err, "'%s'", path);
	ret->len = (size_t)len;
	return 1;
}

static int find_in(struct cx_cli *cli, const char *path, bool named, struct wanted *w,
		   struct cx_login *ret, struct cx_err *err)
{
	CX_AUTO(cx_buf_wipe) struct cx_buf file = { 0 };
	int r = read_file(path, &file, err);

	if (r == 0 && named)
		return cx_refuse(err, CX_NOT_FOUND, "there is no file '%s'", path);
	if (r <= 0)
		return r;
	if (parse(cli, w, err) < 0)
		return -err->errnum;
	r = cx_authfile_find(&file, w->ref.host, w->ref.repository, ret, err);
	if (r < 0 && err->kind == CX_DENIED && !named) {
		/* Perhaps the registry asks for none, or the engine has a login of its own. */
		(void)fprintf(stderr, "caisson: '%s': %s\n", path, err->msg);
		*err = (struct cx_err){ 0 };
		return 0;
	}
	return r < 0 ? cx_wrap(err, "'%s'", path) : r;
}

/* The files that are looked at when none was named, in this order. */
static const struct {
	const char *variable, *tail;
	bool last; /* if the variable is set */
} usual[] = {
	{ "XDG_RUNTIME_DIR", "/containers/auth.json", false },
	{ "DOCKER_CONFIG", "/config.json", true },
	{ "HOME", "/.docker/config.json", true },
};

static int find(struct cx_cli *cli, struct wanted *w, struct cx_login *ret, struct cx_err *err)
{
	const char *named = cli->args.authfile;
	char path[PATH_BYTES_MAX];
	int r = 0;

	if (named == NULL)
		named = getenv("REGISTRY_AUTH_FILE");
	if (named != NULL && named[0] != '\0')
		return find_in(cli, named, true, w, ret, err);
	for (size_t i = 0; i < CX_LEN(usual) && r == 0; i++) {
		const char *dir = getenv(usual[i].variable);

		if (dir == NULL || dir[0] == '\0')
			continue;
		if (cx_format(path, sizeof path, "%s%s", err, dir, usual[i].tail) < 0)
			return -err->errnum;
		r = find_in(cli, path, false, w, ret, err);
		if (usual[i].last)
			break;
	}
	return r;
}

int cx_credentials_add(struct cx_cli *cli, const char *image, json_t *body, struct cx_err *err)
{
	CX_AUTO(cx_login_wipe) struct cx_login login = { 0 };
	struct wanted wanted = { .image = image };
	int r = cx_credentials_given(cli, false, &login, err);

	if (r == 0)
		r = find(cli, &wanted, &login, err);
	if (r <= 0)
		return r;
	if (login.kind == CX_LOGIN_REGISTRY)
		return cx_refuse(err, CX_INVALID,
				 "the credentials for '%s' are a \"registrytoken\", which only the "
				 "engine's own authfile may have",
				 wanted.ref.host);
	if (cx_cli_set(body, "username", json_string(login.username), err) < 0)
		return -err->errnum;
	return cx_cli_set(body, "password", json_string(login.secret), err);
}
