/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>

int main(void)
{
	(void)printf("caisson-agent %s\n", CX_VERSION);
	return 0;
}
