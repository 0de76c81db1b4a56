/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CX_PROTO_BUNDLE_MSGS_H
#define CX_PROTO_BUNDLE_MSGS_H

#include "proto/msg.h"

/*
 * From the gateway to the worker that makes one archive out of files (image/bundle.h), by a
 * SOCK_SEQPACKET socket: each file with its name in the archive and a descriptor of a regular file,
 * all of which is taken; then the end. Without the end there is no archive. Nothing comes back.
 */
#define CX_BUNDLE_MSGS(M)                                        \
	M(0x01, bundle_file, CX_FIELDS_BUNDLE_FILE) /* fd: it */ \
	M(0x02, bundle_end, CX_FIELDS_BUNDLE_END)
#define CX_FIELDS_BUNDLE_FILE(F) F(str, name, 255)
#define CX_FIELDS_BUNDLE_END(F)	 F(u32, files, UINT32_MAX)

CX_BUNDLE_MSGS(CX_AS_MSG)

#endif
