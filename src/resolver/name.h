/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CX_RESOLVER_NAME_H
#define CX_RESOLVER_NAME_H

#include <stdbool.h>

#include "proto/wire.h"

/*
 * Names of hosts as text: lower-case letters, digits, '-' and '_' in labels of 1 to 63 with dots
 * between them, none at the end. A name of the DNS that is not of this kind (any byte can be in
 * one) has no text, matches no rule and is never asked for.
 */
enum { CX_NAME_TEXT = 254 }; /* bytes, NUL included */

/* From the wire, uncompressed and with the empty label at its end. False: it has no text. */
CX_MUST bool cx_name_from_wire(const uint8_t *wire, size_t len, char ret[CX_NAME_TEXT]);
/* Of the gateway's. False: not exactly as above. */
CX_MUST bool cx_name_take(struct cx_str text, char ret[CX_NAME_TEXT]);
/* rule: a name, or "*." and one, which means all below it but not itself. */
bool cx_name_matches(const char *rule, const char *name);
/* Has only meaning inside of a machine or a local network, and is never asked for outside. */
bool cx_name_is_local(const char *name);

uint32_t cx_name_hash(const char *name, uint16_t type);

#endif
