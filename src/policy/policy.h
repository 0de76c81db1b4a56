/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CX_POLICY_POLICY_H
#define CX_POLICY_POLICY_H

/*
 * What a sandbox is allowed, as data: const tables, each row with the reason it is there. This layer
 * makes no system call; runtime/ and agent/ apply the tables and tests loop over their rows.
 */

#endif
