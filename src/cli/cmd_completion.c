/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "cli/commands.h"

/*
 * Scripts with which shells complete command lines, written from the tables of commands and
 * options. What a shell asks the engine itself for (ids, names of images) is asked by this program.
 */

/* Do the words of a command begin with an argument of this kind? */
static bool takes(const struct cx_command *c, const char *kind)
{
	const char *words = c->syntax.words;

	words += *words == '[';
	return strncmp(words, kind, strlen(kind)) == 0 &&
	       strchr("[] .|", words[strlen(kind)]) != NULL;
}

static const struct argument {
	const char *kind, *ask;
} arguments[] = {
	{ "ID", "caisson list --output {id}" },
	{ "IMAGE", "caisson image ls --output {name}" },
	{ "NAME", "caisson image ls --output {name}" },
	{ "REF", "caisson image ls --output {name}" },
};

static const char *question_of(const struct cx_command *c)
{
	for (size_t i = 0; i < CX_LEN(arguments); i++)
		if (takes(c, arguments[i].kind))
			return arguments[i].ask;
	return NULL;
}

static void each_option(const struct cx_command *c,
			void (*show)(const struct cx_command *c, const struct cx_opt *o))
{
	for (const struct cx_opt *const *table = c->syntax.tables; *table != NULL; table++)
		for (const struct cx_opt *o = *table; o->name != NULL; o++)
			show(c, o);
}

/* ---- bash and zsh --------------------------------------------------------------------------- */

static void put_long(const struct cx_command *c, const struct cx_opt *o)
{
	(void)c;
	(void)printf(" --%s", o->name);
}

/* "create" or "image ls": also how its words are found on a command line. */
static void put_bash_row(const struct cx_command *c, const char *name)
{
	const char *ask = question_of(c);

	(void)printf("\t'%s') words='", name);
	each_option(c, put_long);
	(void)printf("' ask='%s' ;;\n", ask != NULL ? ask : "");
}

static void put_bash(void)
{
	(void)puts("_caisson() {\n"
		   "\tlocal cur=${COMP_WORDS[COMP_CWORD]} command='' word='' words='' ask='' i\n"
		   "\tfor ((i = 1; i < COMP_CWORD; i++)); do\n"
		   "\t\tword=${COMP_WORDS[i]}\n"
		   "\t\tcase $word in -*) continue ;; esac\n"
		   "\t\tcommand=${command:+$command }$word\n"
		   "\t\tcase \" $_caisson_commands \" in *\",$command,\"*) break ;; esac\n"
		   "\tdone\n"
		   "\tcase $command in");
	for (size_t i = 0; i < cx_commands_count; i++) {
		put_bash_row(&cx_commands[i], cx_commands[i].name);
		if (cx_commands[i].alias != NULL)
			put_bash_row(&cx_commands[i], cx_commands[i].alias);
	}
	(void)puts("\t*)\n"
		   "\t\twords=$(printf '%s' \"$_caisson_commands\" | tr , '\\n' |\n"
		   "\t\t\tsed -n \"s/^${command:+$command }\\([a-z-]*\\).*/\\1/p\") ;;\n"
		   "\tesac\n"
		   "\tcase $cur in\n"
		   "\t-*) ;;\n"
		   "\t*) [ -z \"$ask\" ] || words=$(set -f; $ask 2>/dev/null) ;;\n"
		   "\tesac\n"
		   "\tCOMPREPLY=($(compgen -W \"$words\" -- \"$cur\"))\n"
		   "}");
	(void)printf("_caisson_commands=',");
	for (size_t i = 0; i < cx_commands_count; i++) {
		(void)printf("%s,", cx_commands[i].name);
		if (cx_commands[i].alias != NULL)
			(void)printf("%s,", cx_commands[i].alias);
	}
	(void)puts("'\ncomplete -o default -F _caisson caisson");
}

static void put_zsh(void)
{
	(void)puts("#compdef caisson\nautoload -U +X bashcompinit && bashcompinit");
	put_bash();
}

/* ---- fish ----------------------------------------------------------------------------------- */

static void put_quoted(const char *text)
{
	(void)putchar('\'');
	for (; *text != '\0'; text++) {
		if (*text == '\'' || *text == '\\')
			(void)putchar('\\');
		(void)putchar(*text);
	}
	(void)putchar('\'');
}

static void put_fish_option(const struct cx_command *c, const struct cx_opt *o)
{
	(void)printf("complete -c caisson -n '__caisson_is %s' -l %s", c->name, o->name);
	if (o->letter != 0)
		(void)printf(" -s %c", o->letter);
	(void)printf("%s -d ", o->arg != NULL ? " -r" : "");
	put_quoted(o->help);
	(void)putchar('\n');
}

static void put_fish(void)
{
	(void)puts("function __caisson_is\n"
		   "\tset -l words (string match -v -- '-*' (commandline -opc)[2..-1])\n"
		   "\tstring match -q -- \"$argv *\" \"$words \"\n"
		   "end\n"
		   "complete -c caisson -f");
	for (size_t i = 0; i < cx_commands_count; i++) {
		const struct cx_command *c = &cx_commands[i];
		const char *space = strchr(c->name, ' '), *ask = question_of(c);
		int group = space != NULL ? (int)(space - c->name) : 0;

		(void)printf("complete -c caisson -n '%s%.*s' -a %s -d ",
			     group > 0 ? "__caisson_is " : "__fish_is_first_arg", group, c->name,
			     space != NULL ? space + 1 : c->name);
		put_quoted(c->summary);
		(void)putchar('\n');
		each_option(c, put_fish_option);
		if (ask != NULL)
			(void)printf(
				"complete -c caisson -n '__caisson_is %s' -a '(%s 2>/dev/null)'\n",
				c->name, ask);
	}
}

int cx_cmd_completion(struct cx_cli *cli, struct cx_err *err)
{
	static const struct {
		const char *shell;
		void (*put)(void);
	} shells[] = { { "bash", put_bash }, { "zsh", put_zsh }, { "fish", put_fish } };

	for (size_t i = 0; i < CX_LEN(shells); i++) {
		if (strcmp(shells[i].shell, cli->args.words[0]) != 0)
			continue;
		shells[i].put();
		return 0;
	}
	return cx_refuse(err, CX_INVALID, "'%.40s': completion is for bash, zsh or fish",
			 cli->args.words[0]);
}
