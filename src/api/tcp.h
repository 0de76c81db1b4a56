/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CX_API_TCP_H
#define CX_API_TCP_H

/*
 * For a connection of a client over TCP, or a socket that listens for them, whose options they take
 * over: one that has gone without a word is noticed within some two minutes, and little that is
 * written is not held back. Harmless with another kind of socket.
 */
void cx_tcp_tune(int sock);

#endif
