/* SPDX-License-Identifier: Apache-2.0 */
#include <signal.h>
#include <string.h>

#include "ssh/inner.h"

static const struct {
	const char *name;
	uint32_t number;
} signals[] = {
	{ "ABRT", SIGABRT }, { "ALRM", SIGALRM }, { "FPE", SIGFPE },   { "HUP", SIGHUP },
	{ "ILL", SIGILL },   { "INT", SIGINT },	  { "KILL", SIGKILL }, { "PIPE", SIGPIPE },
	{ "QUIT", SIGQUIT }, { "SEGV", SIGSEGV }, { "TERM", SIGTERM }, { "USR1", SIGUSR1 },
	{ "USR2", SIGUSR2 },
};

uint32_t cx_signal_number(const char *name)
{
	for (size_t i = 0; i < CX_LEN(signals); i++)
		if (strcmp(signals[i].name, name) == 0)
			return signals[i].number;
	return 0;
}

const char *cx_signal_name(uint32_t number)
{
	for (size_t i = 0; i < CX_LEN(signals); i++)
		if (signals[i].number == number)
			return signals[i].name;
	return "OTHER@caisson";
}
