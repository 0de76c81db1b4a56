/* SPDX-License-Identifier: Apache-2.0 */
/*
 * caisson-tls HOST [CACERT]
 *
 * caisson starts it for each connection over https (cli/tls.h): a library more is start-up time of
 * every command, and most of them need no TLS.
 */
#include <stdio.h>
#include <stdlib.h>

#include "cli/tlspump.h"

int main(int argc, char **argv)
{
	if (argc < 2 || argc > 3) {
		(void)fputs("caisson-tls: caisson starts this program\n", stderr);
		return EXIT_FAILURE;
	}
	return cx_tls_pump(argv[1], argc == 3 ? argv[2] : NULL) < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
