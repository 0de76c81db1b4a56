/* SPDX-License-Identifier: Apache-2.0 */
#include "net/nftset.h"

#include <arpa/inet.h>
#include <libmnl/libmnl.h>
#include <libnftnl/chain.h>
#include <libnftnl/common.h>
#include <libnftnl/set.h>
#include <libnftnl/table.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_conntrack.h>
#include <string.h>
#include <sys/socket.h>

#include "proto/packet.h"

enum {
	ELEMS_PER_MESSAGE = 128, /* an attribute holds 64 KiB, an element at most some 200 bytes */
	MESSAGE_MAX = 48 * 1024, /* bytes */
	BATCH_MAX = 4096 * 1024, /* bytes; CX_PARTS_MAX elements out and in are a third of it */
	ANSWERS_MAX = 4096,	 /* datagrams that a batch is answered with */
	DUMP_MAX = 1 << 20,	 /* datagrams */
	RECEIVE = 64 * 1024,
};

int cx_nft_open(int *sock, const char *table, struct cx_nft *ret, struct cx_err *err)
{
	static const int bytes = BATCH_MAX, on = 1;
	struct sockaddr_nl any = { .nl_family = AF_NETLINK };

	if (setsockopt(*sock, SOL_SOCKET, SO_SNDBUFFORCE, &bytes, sizeof bytes) < 0 ||
	    setsockopt(*sock, SOL_NETLINK, NETLINK_CAP_ACK, &on, sizeof on) < 0 ||
	    bind(*sock, (struct sockaddr *)&any, sizeof any) < 0)
		return cx_fail(err, errno, "a socket for the firewall");
	*ret = (struct cx_nft){ .sock = cx_take_fd(sock), .table = table };
	return 0;
}

void cx_nft_close(struct cx_nft *nft)
{
	cx_close(&nft->sock);
}

/* ---- keys ------------------------------------------------------------------------------------ */

void cx_nft_key_add(struct cx_nft_key *key, const void *part, size_t len)
{
	size_t padded = (len + 3) / 4 * 4;

	memset(key->bytes + key->len, 0, padded);
	memcpy(key->bytes + key->len, part, len);
	key->len = (uint8_t)(key->len + padded);
}

void cx_nft_key_u32(struct cx_nft_key *key, uint32_t value)
{
	cx_nft_key_add(key, &value, sizeof value);
}

/* ---- asking the kernel ----------------------------------------------------------------------- */

static int send_all(struct cx_nft *nft, const void *data, size_t len, struct cx_err *err)
{
	struct sockaddr_nl kernel = { .nl_family = AF_NETLINK };

	if (sendto(nft->sock, data, len, 0, (struct sockaddr *)&kernel, sizeof kernel) < 0)
		return cx_fail(err, errno, "send to the firewall");
	return 0;
}

/* One datagram of the kernel's, which is there already. Returns its length. */
static ssize_t receive(struct cx_nft *nft, void *buf, size_t size, struct cx_err *err)
{
	struct sockaddr_nl from = { 0 };
	socklen_t len = sizeof from;
	ssize_t n = recvfrom(nft->sock, buf, size, MSG_DONTWAIT | MSG_TRUNC,
			     (struct sockaddr *)&from, &len);

	if (n < 0)
		return cx_fail(err, errno, "hear from the firewall");
	if ((size_t)n > size || from.nl_pid != 0)
		return cx_refuse(err, CX_INTERNAL, "an answer that is not the kernel's");
	return n;
}

/* 0 for an acknowledgement, else the kernel's error. */
static int error_of(const struct nlmsghdr *nlh)
{
	const struct nlmsgerr *body = mnl_nlmsg_get_payload(nlh);

	return mnl_nlmsg_get_payload_len(nlh) < sizeof body->error ? EBADMSG : -body->error;
}

/* Reads all answers; the first error counts, and message number `last` has to be acknowledged. */
static int await(struct cx_nft *nft, uint32_t last, const char *what, struct cx_err *err)
{
	CX_UNINITIALIZED char buf[RECEIVE];
	bool acknowledged = false;
	int failed = 0;

	for (unsigned i = 0; i < ANSWERS_MAX; i++) {
		ssize_t n = receive(nft, buf, sizeof buf, err);
		const struct nlmsghdr *nlh = (const struct nlmsghdr *)(void *)buf;
		int left = (int)n;

		if (n < 0 && err->errnum == EAGAIN)
			break;
		if (n < 0)
			return -err->errnum;
		for (; mnl_nlmsg_ok(nlh, left); nlh = mnl_nlmsg_next(nlh, &left)) {
			int e = nlh->nlmsg_type == NLMSG_ERROR ? error_of(nlh) : 0;

			failed = failed != 0 ? failed : e;
			acknowledged |=
				nlh->nlmsg_type == NLMSG_ERROR && e == 0 && nlh->nlmsg_seq == last;
		}
	}
	if (failed == 0 && !acknowledged)
		failed = EIO;
	return failed != 0 ? cx_fail(err, failed, "%s", what) : 0;
}

static struct nlmsghdr *header(struct cx_nft *nft, char *buf, uint16_t type, uint16_t flags)
{
	return nftnl_nlmsg_build_hdr(buf, type, NFPROTO_INET, flags, ++nft->seq);
}

/* ---- batches --------------------------------------------------------------------------------- */

CX_DEFINE_AUTO(struct nftnl_set_elem *, nftnl_set_elem_free);
CX_DEFINE_AUTO(struct nftnl_set *, nftnl_set_free);
CX_DEFINE_AUTO(struct nftnl_chain *, nftnl_chain_free);
CX_DEFINE_AUTO(struct nftnl_table *, nftnl_table_free);

static char *room(struct cx_nft_batch *b)
{
	char *p = b->err.errnum == 0 ? cx_buf_reserve(&b->buf, MESSAGE_MAX, &b->err) : NULL;

	b->last = p != NULL ? b->buf.len : b->last;
	return p;
}

void cx_nft_begin(struct cx_nft *nft, struct cx_nft_batch *ret)
{
	char *p;

	*ret = (struct cx_nft_batch){ .nft = nft, .buf = { .max = BATCH_MAX } };
	p = room(ret);
	if (p != NULL)
		ret->buf.len += nftnl_batch_begin(p, ++nft->seq)->nlmsg_len;
}

static void write_open(struct cx_nft_batch *b)
{
	static const struct {
		uint16_t type, flags;
	} ops[] = {
		[CX_NFT_ADD] = { NFT_MSG_NEWSETELEM, NLM_F_CREATE },
		[CX_NFT_DELETE] = { NFT_MSG_DELSETELEM, 0 },
	};
	char *p = b->open != NULL ? room(b) : NULL;

	if (p != NULL) {
		struct nlmsghdr *nlh = header(b->nft, p, ops[b->op].type, ops[b->op].flags);

		nftnl_set_elems_nlmsg_build_payload(nlh, b->open);
		b->buf.len += nlh->nlmsg_len;
	}
	nftnl_set_freep(&b->open);
	b->count = 0;
}

static struct nftnl_set *named_set(const struct cx_nft *nft, const char *name)
{
	struct nftnl_set *set = nftnl_set_alloc();

	if (set == NULL || nftnl_set_set_str(set, NFTNL_SET_TABLE, nft->table) < 0 ||
	    nftnl_set_set_str(set, NFTNL_SET_NAME, name) < 0)
		nftnl_set_freep(&set);
	return set;
}

static struct nftnl_set_elem *build(const struct cx_nft_elem *elem, bool whole)
{
	CX_AUTO(nftnl_set_elem_freep) struct nftnl_set_elem *e = nftnl_set_elem_alloc();

	if (e == NULL ||
	    nftnl_set_elem_set(e, NFTNL_SET_ELEM_KEY, elem->key.bytes, elem->key.len) < 0)
		return NULL;
	if (whole && elem->value != 0)
		nftnl_set_elem_set_u32(e, NFTNL_SET_ELEM_DATA, elem->value);
	if (whole && elem->timeout_ms != 0)
		nftnl_set_elem_set_u64(e, NFTNL_SET_ELEM_TIMEOUT, elem->timeout_ms);
	return cx_take_ptr(&e);
}

void cx_nft_put(struct cx_nft_batch *b, enum cx_nft_op op, const char *set,
		const struct cx_nft_elem *elem)
{
	struct nftnl_set_elem *e;

	if (b->open != NULL && (b->op != op || b->set != set || b->count == ELEMS_PER_MESSAGE))
		write_open(b);
	if (b->err.errnum != 0)
		return;
	if (b->open == NULL)
		b->open = named_set(b->nft, set);
	b->op = op;
	b->set = set;
	e = b->open != NULL ? build(elem, op == CX_NFT_ADD) : NULL;
	if (e == NULL) {
		(void)cx_fail(&b->err, ENOMEM, "elements of the firewall's sets");
		return;
	}
	nftnl_set_elem_add(b->open, e);
	b->count++;
}

void cx_nft_drop(struct cx_nft_batch *b)
{
	nftnl_set_freep(&b->open);
	cx_buf_free(&b->buf);
}

int cx_nft_commit(struct cx_nft_batch *b, struct cx_err *err)
{
	CX_AUTO(cx_nft_drop) struct cx_nft_batch done = { 0 };
	struct nlmsghdr *last;
	char *p;

	write_open(b);
	last = b->err.errnum == 0 ? (struct nlmsghdr *)(void *)(b->buf.p + b->last) : NULL;
	if (last != NULL)
		last->nlmsg_flags |= NLM_F_ACK;
	p = b->last > 0 ? cx_buf_reserve(&b->buf, MESSAGE_MAX, &b->err) : NULL;
	done = *b;
	*b = (struct cx_nft_batch){ .nft = done.nft };
	if (done.err.errnum != 0) {
		*err = done.err;
		return -err->errnum;
	}
	if (p == NULL)
		return 0; /* nothing to do */
	last = (struct nlmsghdr *)(void *)(done.buf.p + done.last);
	done.buf.len += nftnl_batch_end(p, ++done.nft->seq)->nlmsg_len;
	if (send_all(done.nft, done.buf.p, done.buf.len, err) < 0)
		return -err->errnum;
	return await(done.nft, last->nlmsg_seq, "change the firewall's sets", err);
}

/* ---- looking --------------------------------------------------------------------------------- */

struct dump {
	const char *set;
	void (*fn)(void *arg, const struct cx_nft_elem *elem);
	void *arg;
	bool done;
};

static void take_key(struct nftnl_set_elem *e, struct cx_nft_key *ret)
{
	uint32_t len = 0;
	const void *p = nftnl_set_elem_is_set(e, NFTNL_SET_ELEM_KEY)
				? nftnl_set_elem_get(e, NFTNL_SET_ELEM_KEY, &len)
				: NULL;

	if (p != NULL && len <= sizeof ret->bytes) {
		ret->len = (uint8_t)len;
		memcpy(ret->bytes, p, len);
	}
}

static void tell_elem(const struct dump *d, struct nftnl_set_elem *e)
{
	struct cx_nft_elem elem = { 0 };
	uint32_t len = 0;
	const void *data;

	take_key(e, &elem.key);
	data = nftnl_set_elem_is_set(e, NFTNL_SET_ELEM_DATA)
		       ? nftnl_set_elem_get(e, NFTNL_SET_ELEM_DATA, &len)
		       : NULL;
	if (data != NULL && len == sizeof elem.value)
		memcpy(&elem.value, data, sizeof elem.value);
	d->fn(d->arg, &elem);
}

static int take_dump_message(struct cx_nft *nft, struct dump *d, const struct nlmsghdr *nlh,
			     struct cx_err *err)
{
	CX_AUTO(nftnl_set_freep) struct nftnl_set *set = NULL;
	struct nftnl_set_elems_iter *iter;
	struct nftnl_set_elem *e;

	if (nlh->nlmsg_seq != nft->seq)
		return 0;
	d->done |= nlh->nlmsg_type == NLMSG_DONE;
	if ((nlh->nlmsg_flags & NLM_F_DUMP_INTR) != 0)
		return cx_fail(err, EINTR, "read set '%s' of the firewall", d->set);
	if (nlh->nlmsg_type == NLMSG_ERROR && error_of(nlh) != 0)
		return cx_fail(err, error_of(nlh), "read set '%s' of the firewall", d->set);
	if (nlh->nlmsg_type != (NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_NEWSETELEM))
		return 0;
	set = nftnl_set_alloc();
	if (set == NULL || nftnl_set_elems_nlmsg_parse(nlh, set) < 0)
		return cx_fail(err, EBADMSG, "read set '%s' of the firewall", d->set);
	iter = nftnl_set_elems_iter_create(set);
	if (iter == NULL)
		return cx_fail(err, ENOMEM, "read set '%s' of the firewall", d->set);
	while ((e = nftnl_set_elems_iter_next(iter)) != NULL)
		tell_elem(d, e);
	nftnl_set_elems_iter_destroy(iter);
	return 0;
}

static int ask_dump(struct cx_nft *nft, const char *set, struct cx_err *err)
{
	CX_UNINITIALIZED char buf[1024];
	CX_AUTO(nftnl_set_freep) struct nftnl_set *question = named_set(nft, set);
	struct nlmsghdr *nlh;

	if (question == NULL)
		return cx_fail(err, ENOMEM, "read set '%s' of the firewall", set);
	nlh = header(nft, buf, NFT_MSG_GETSETELEM, NLM_F_DUMP);
	nftnl_set_elems_nlmsg_build_payload(nlh, question);
	return send_all(nft, buf, nlh->nlmsg_len, err);
}

static int dump_once(struct cx_nft *nft, struct dump *d, struct cx_err *err)
{
	cx_autofree char *buf = malloc(RECEIVE);

	if (buf == NULL)
		return cx_fail(err, ENOMEM, "read set '%s' of the firewall", d->set);
	if (ask_dump(nft, d->set, err) < 0)
		return -err->errnum;
	for (unsigned i = 0; i < DUMP_MAX && !d->done; i++) {
		const struct nlmsghdr *nlh = (const struct nlmsghdr *)(void *)buf;
		ssize_t n = receive(nft, buf, RECEIVE, err);
		int left = (int)n;

		if (n < 0)
			return -err->errnum;
		for (; mnl_nlmsg_ok(nlh, left); nlh = mnl_nlmsg_next(nlh, &left))
			if (take_dump_message(nft, d, nlh, err) < 0)
				return -err->errnum;
	}
	return 0;
}

int cx_nft_each(struct cx_nft *nft, const char *set,
		void (*fn)(void *arg, const struct cx_nft_elem *elem), void *arg,
		struct cx_err *err)
{
	struct dump d = { .set = set, .fn = fn, .arg = arg };

	return dump_once(nft, &d, err);
}

int cx_nft_has_chain(struct cx_nft *nft, const char *name, struct cx_err *err)
{
	CX_UNINITIALIZED char buf[1024];
	CX_AUTO(nftnl_chain_freep) struct nftnl_chain *chain = nftnl_chain_alloc();
	struct nlmsghdr *nlh;

	if (chain == NULL || nftnl_chain_set_str(chain, NFTNL_CHAIN_TABLE, nft->table) < 0 ||
	    nftnl_chain_set_str(chain, NFTNL_CHAIN_NAME, name) < 0)
		return cx_fail(err, ENOMEM, "look at the firewall");
	nlh = header(nft, buf, NFT_MSG_GETCHAIN, NLM_F_ACK);
	nftnl_chain_nlmsg_build_payload(nlh, chain);
	if (send_all(nft, buf, nlh->nlmsg_len, err) < 0)
		return -err->errnum;
	if (await(nft, nlh->nlmsg_seq, "look at the firewall", err) < 0)
		return err->errnum == ENOENT ? 0 : -err->errnum;
	return 1;
}

int cx_nft_remove_table(struct cx_nft *nft, struct cx_err *err)
{
	CX_AUTO(nftnl_table_freep) struct nftnl_table *table = nftnl_table_alloc();
	struct cx_nft_batch b;
	struct nlmsghdr *nlh;
	char *p;

	if (table == NULL || nftnl_table_set_str(table, NFTNL_TABLE_NAME, nft->table) < 0)
		return cx_fail(err, ENOMEM, "remove table '%s'", nft->table);
	cx_nft_begin(nft, &b);
	p = room(&b);
	if (p != NULL) {
		nlh = header(nft, p, NFT_MSG_DELTABLE, 0);
		nftnl_table_nlmsg_build_payload(nlh, table);
		b.buf.len += nlh->nlmsg_len;
	}
	return cx_nft_commit(&b, err) < 0 && err->errnum != ENOENT ? cx_wrap(err, "remove table")
								   : 0;
}

int cx_nft_forget_flows(struct cx_nft *nft, uint32_t mark, struct cx_err *err)
{
	CX_UNINITIALIZED char buf[256];
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(buf);
	struct nfgenmsg *family = mnl_nlmsg_put_extra_header(nlh, sizeof *family);

	nlh->nlmsg_type = NFNL_SUBSYS_CTNETLINK << 8 | IPCTNL_MSG_CT_DELETE;
	nlh->nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK;
	nlh->nlmsg_seq = ++nft->seq;
	*family = (struct nfgenmsg){ .nfgen_family = AF_UNSPEC, .version = NFNETLINK_V0 };
	mnl_attr_put_u32(nlh, CTA_MARK, htonl(mark));
	mnl_attr_put_u32(nlh, CTA_MARK_MASK, UINT32_MAX);
	if (send_all(nft, buf, nlh->nlmsg_len, err) < 0)
		return -err->errnum;
	return await(nft, nlh->nlmsg_seq, "forget the flows of a sandbox", err);
}
