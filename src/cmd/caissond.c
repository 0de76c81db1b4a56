/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>

#include "base/log.h"
#include "engine/config.h"

enum { EXIT_USAGE = 2 };

int main(int argc, char **argv)
{
	struct cx_config config;
	enum cx_config_verb verb;
	struct cx_err err = { 0 };

	cx_log_open("caissond", CX_LOG_INFO);
	if (cx_config_parse(argc, argv, &config, &verb, &err) < 0) {
		cx_log_err(CX_LOG_ERROR, &err, "cannot start", NULL);
		return EXIT_USAGE;
	}
	if (verb == CX_CONFIG_HELP)
		cx_config_usage(stdout);
	else
		(void)printf("caissond %s\n", CX_VERSION);
	return EXIT_SUCCESS;
}
