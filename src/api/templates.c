/* SPDX-License-Identifier: Apache-2.0 */
#include "api/templates.h"

#include <errno.h>
#include <ini.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "image/ref.h"

#define DEFAULT_IMAGE "python:3.11-slim"

enum { NAME_MAX_BYTES = 128 };

struct cx_templates {
	struct {
		char *name, *image;
	} list[CX_TEMPLATES_MAX];
	unsigned n;
};

struct reading {
	struct cx_templates *t;
	FILE *file;
	unsigned line;
	struct cx_err *err;
};

static const char *find(const struct cx_templates *t, const char *name)
{
	for (unsigned i = 0; i < t->n; i++)
		if (strcmp(t->list[i].name, name) == 0)
			return t->list[i].image;
	return NULL;
}

static int add(struct cx_templates *t, const char *name, const char *image, struct cx_err *err)
{
	struct cx_ref ref;

	if (t->n == CX_TEMPLATES_MAX)
		return cx_refuse(err, CX_INVALID, "more than %d templates", CX_TEMPLATES_MAX);
	if (name[0] == '\0' || strlen(name) > NAME_MAX_BYTES)
		return cx_refuse(err, CX_INVALID, "a template's name has 1 to %d bytes",
				 NAME_MAX_BYTES);
	if (cx_ref_parse(image, NULL, &ref, err) < 0)
		return cx_wrap(err, "%s", name);
	if (find(t, name) != NULL)
		return cx_refuse(err, CX_INVALID, "template '%s' has an image already", name);
	t->list[t->n].name = strdup(name);
	t->list[t->n].image = strdup(image);
	t->n++;
	if (t->list[t->n - 1].name == NULL || t->list[t->n - 1].image == NULL)
		return cx_fail(err, ENOMEM, "template");
	return 0;
}

static int take_key(void *user, const char *section, const char *key, const char *value)
{
	struct reading *at = user;

	if (at->err->errnum != 0)
		return 0; /* only the first error is told */
	if (strcmp(section, "templates") != 0)
		return cx_refuse(at->err, CX_INVALID, "'%.40s' is not in the section [templates]",
				 key),
		       0;
	return add(at->t, key, value, at->err) == 0;
}

static char *next_line(char *to, int size, void *stream)
{
	struct reading *at = stream;

	if (at->err->errnum != 0)
		return NULL;
	at->line++;
	return fgets(to, size, at->file);
}

static int read_file(struct reading *at, struct cx_err *err)
{
	int broken;

	*err = (struct cx_err){ 0 };
	broken = ini_parse_stream(next_line, at, take_key, at);
	if (broken < 0)
		return cx_fail(err, ENOMEM, "read it");
	if (broken > 0 && err->errnum == 0) {
		at->line = (unsigned)broken;
		(void)cx_refuse(err, CX_INVALID, "it is not 'name = image'");
	}
	if (err->errnum == 0 && ferror(at->file))
		return cx_fail(err, EIO, "read it");
	return err->errnum != 0 ? cx_wrap(err, "line %u", at->line) : 0;
}

static void closep(struct cx_templates **t)
{
	cx_templates_close(*t);
}

int cx_templates_open(const char *path, bool must_exist, struct cx_templates **ret,
		      struct cx_err *err)
{
	CX_AUTO(closep) struct cx_templates *t = calloc(1, sizeof *t);
	struct reading at = { .t = t, .err = err };
	int r = 0;

	if (t == NULL)
		return cx_fail(err, ENOMEM, "templates");
	at.file = fopen(path, "re");
	if (at.file == NULL && (must_exist || errno != ENOENT))
		return cx_fail(err, errno, "open '%s'", path);
	if (at.file != NULL) {
		r = read_file(&at, err);
		(void)fclose(at.file);
	}
	if (r < 0)
		return cx_wrap(err, "'%s'", path);
	*ret = cx_take_ptr(&t);
	return 0;
}

void cx_templates_close(struct cx_templates *templates)
{
	if (templates == NULL)
		return;
	for (unsigned i = 0; i < templates->n; i++) {
		free(templates->list[i].name);
		free(templates->list[i].image);
	}
	free(templates);
}

const char *cx_templates_image(const struct cx_templates *templates, const char *name)
{
	const char *image = find(templates, name != NULL ? name : "default");

	return image == NULL && name == NULL ? DEFAULT_IMAGE : image;
}
