/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CX_API_SSHKEY_H
#define CX_API_SSHKEY_H

#include <stdint.h>

#include "proto/ssh_msgs.h"

/* Keys of SSH: the one that this server shows, and those that clients bring. */
enum { CX_SSH_PUBLIC_MAX = 127, CX_SSH_KEY_TEXT_MAX = 8192 };

struct cx_ssh_host_key {
	uint8_t raw[64];		    /* of Ed25519: the seed, then the public key */
	char public[CX_SSH_PUBLIC_MAX + 1]; /* "ssh-ed25519 AAAA..." */
};

/* From the file ssh_host.key of the state directory, which is made at the first time (keyfile.h).
 */
CX_MUST int cx_ssh_host_key_load(int state_dir, struct cx_ssh_host_key *ret, struct cx_err *err);

struct cx_ssh_key { /* as it is compared: the blob of RFC 4253, 6.6 */
	uint32_t len;
	uint8_t blob[CX_SSH_KEY_MAX];
};

/* "TYPE BASE64 [COMMENT]", of a type that a client can log in with; CX_INVALID names the field. */
CX_MUST int cx_ssh_key_parse(const char *text, const char *field, struct cx_ssh_key *ret,
			     struct cx_err *err);
/* In the same time whatever is different. */
bool cx_ssh_key_equal(const struct cx_ssh_key *key, struct cx_str blob);

#endif
