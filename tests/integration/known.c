/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

/*
 * Runs inside a sandbox, uses what it is told to, and prints what getrusage(2) says of it and of
 * its children: "<microseconds of CPU time> <bytes resident at most>".
 */
static long long micros(int who)
{
	struct rusage usage;

	(void)getrusage(who, &usage);
	return (usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1000000LL +
	       usage.ru_utime.tv_usec + usage.ru_stime.tv_usec;
}

static void spin(long long until)
{
	while (micros(RUSAGE_SELF) < until)
		for (volatile int i = 0; i < 20000; i++)
			;
}

static void touch(size_t bytes)
{
	char *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		_exit(3);
	memset(p, 1, bytes);
}

/* All are there at once: each waits for the end of what its parent holds open. */
static void tree(long n)
{
	int hold[2];

	if (pipe(hold) < 0)
		_exit(3);
	for (long i = 0; i < n; i++) {
		pid_t pid = fork();

		if (pid < 0)
			_exit(4);
		if (pid == 0) {
			char byte;

			(void)close(hold[1]);
			spin(5000);
			_exit(read(hold[0], &byte, 1) == 0 ? 0 : 5);
		}
	}
	(void)close(hold[1]);
	while (wait(NULL) > 0)
		;
}

int main(int argc, char **argv)
{
	long n = argc == 3 ? strtol(argv[2], NULL, 10) : 0;
	struct rusage usage;

	if (argc != 3)
		return 2;
	if (strcmp(argv[1], "spin") == 0)
		spin(n * 1000);
	else if (strcmp(argv[1], "touch") == 0)
		touch((size_t)n << 20);
	else if (strcmp(argv[1], "tree") == 0)
		tree(n);
	else
		return 2;
	(void)getrusage(RUSAGE_SELF, &usage);
	(void)printf("%lld %lld\n", micros(RUSAGE_SELF) + micros(RUSAGE_CHILDREN),
		     usage.ru_maxrss * 1024LL);
	return 0;
}
