/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CX_SSH_HOSTKEY_H
#define CX_SSH_HOSTKEY_H

#include <libssh/libssh.h>

#include "proto/wire.h"

/*
 * The server's key as libssh wants it. raw: 64 bytes, the Ed25519 seed and the public key. The
 * caller frees it with ssh_key_free().
 */
CX_MUST int cx_hostkey_import(struct cx_str raw, ssh_key *ret, struct cx_err *err);

#endif
