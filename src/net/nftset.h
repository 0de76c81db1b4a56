/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CX_NET_NFTSET_H
#define CX_NET_NFTSET_H

#include <stdbool.h>

#include "base/buf.h"

/*
 * Elements of sets and maps of one nftables table, over netlink; the one door to libnftnl. A batch
 * is one transaction: all of it is in force, in one instant, or nothing. The kernel answers before
 * the send returns, so nothing here waits.
 */
struct cx_nft {
	int sock;	   /* of the namespace that the table is in */
	const char *table; /* family inet; the owner's */
	uint32_t seq;
};

/* Takes over *sock, a socket of NETLINK_NETFILTER, on success. table has to live as long. */
CX_MUST int cx_nft_open(int *sock, const char *table, struct cx_nft *ret, struct cx_err *err);
void cx_nft_close(struct cx_nft *nft);

/* The parts of a key one behind the other, as the kernel has them in registers: each fills up to
 * 4 bytes with zeros. */
struct cx_nft_key {
	uint8_t len; /* bytes */
	uint8_t bytes[27];
};
void cx_nft_key_add(struct cx_nft_key *key, const void *part, size_t len);
void cx_nft_key_u32(struct cx_nft_key *key, uint32_t value); /* as marks and ifindexes are */

struct cx_nft_elem {
	struct cx_nft_key key;
	uint32_t value;	     /* of a map to marks; 0: none */
	uint64_t timeout_ms; /* 0: none */
};

enum cx_nft_op { CX_NFT_ADD, CX_NFT_DELETE };

/* Zeroed is empty and owns nothing; an error on the way is kept for the commit. */
struct cx_nft_batch {
	struct cx_nft *nft;
	struct cx_buf buf;
	size_t last; /* where the last message begins */
	struct cx_err err;
	struct nftnl_set *open; /* elements of one operation on one set, not yet written */
	enum cx_nft_op op;
	const char *set;
	unsigned count;
};

void cx_nft_begin(struct cx_nft *nft, struct cx_nft_batch *ret);
/* set is a constant. Adding what is there changes nothing; deleting what is not fails the batch. */
void cx_nft_put(struct cx_nft_batch *batch, enum cx_nft_op op, const char *set,
		const struct cx_nft_elem *elem);
/* The batch is empty afterwards. err->errnum is the kernel's. */
CX_MUST int cx_nft_commit(struct cx_nft_batch *batch, struct cx_err *err);
void cx_nft_drop(struct cx_nft_batch *batch); /* usable with CX_AUTO() */

/* Calls fn for each element of a set; elem lives as long as the call. */
CX_MUST int cx_nft_each(struct cx_nft *nft, const char *set,
			void (*fn)(void *arg, const struct cx_nft_elem *elem), void *arg,
			struct cx_err *err);

CX_MUST int cx_nft_has_chain(struct cx_nft *nft, const char *chain, struct cx_err *err); /* 0, 1 */
/* Fine when there is none. */
CX_MUST int cx_nft_remove_table(struct cx_nft *nft, struct cx_err *err);

/* Forgets all tracked connections of the namespace that have this mark. */
CX_MUST int cx_nft_forget_flows(struct cx_nft *nft, uint32_t mark, struct cx_err *err);

#endif
