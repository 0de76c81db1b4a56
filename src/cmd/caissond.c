/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>

#include "base/log.h"
#include "engine/config.h"
#include "engine/engine.h"
#include "engine/reaper.h"
#include "engine/sweep.h"

enum { EXIT_USAGE = 2 };

static int serve(const struct cx_config *config, struct cx_err *err)
{
	cx_log_open("caissond", (enum cx_level)config->log_level);
	return cx_engine_run(config, err);
}

int main(int argc, char **argv)
{
	struct cx_config config;
	enum cx_config_verb verb;
	struct cx_err err = { 0 };
	int r = 0;

	cx_log_open("caissond", CX_LOG_INFO);
	if (cx_config_parse(argc, argv, &config, &verb, &err) < 0) {
		cx_log_err(CX_LOG_ERROR, &err, "cannot start", NULL);
		return EXIT_USAGE;
	}
	if (verb == CX_CONFIG_HELP)
		cx_config_usage(stdout);
	else if (verb == CX_CONFIG_VERSION)
		(void)printf("caissond %s\n", CX_VERSION);
	else
		r = verb == CX_CONFIG_SWEEP  ? cx_sweep_main(&err)
		    : verb == CX_CONFIG_REAP ? cx_reap_main(&err)
					     : serve(&config, &err);
	if (r < 0)
		cx_log_err(CX_LOG_ERROR, &err, "ended", NULL);
	return r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
