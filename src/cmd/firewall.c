/* SPDX-License-Identifier: Apache-2.0 */
/*
 * caisson-firewall: loads a ruleset of caissond's as one transaction. Its text comes by descriptor
 * 0 (a file), descriptor 3 is the network namespace it is for. What nft has to say of it goes to
 * descriptor 2. A program of its own, so that caissond has no parser.
 */
#include <nftables/libnftables.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "base/fd.h"

enum { TEXT_FD = 0, NETNS_FD = 3, TEXT_MAX = 256 * 1024 };

static int fail(const struct cx_err *err)
{
	char text[1024];

	(void)fprintf(stderr, "%s\n", cx_err_render(err, text, sizeof text));
	return EXIT_FAILURE;
}

static int load(const char *text)
{
	struct nft_ctx *nft = nft_ctx_new(NFT_CTX_DEFAULT);
	int r = nft != NULL ? nft_ctx_buffer_error(nft) : -1;

	if (r == 0 && nft_run_cmd_from_buffer(nft, text) != 0) {
		(void)fputs(nft_ctx_get_error_buffer(nft), stderr);
		r = -1;
	}
	if (nft != NULL)
		nft_ctx_free(nft);
	return r;
}

int main(void)
{
	CX_AUTO(cx_buf_free) struct cx_buf text = { .max = TEXT_MAX };
	char *p;
	ssize_t n;
	struct cx_err err;

	if (setns(NETNS_FD, CLONE_NEWNET) < 0) {
		(void)cx_fail(&err, errno, "enter the network namespace");
		return fail(&err);
	}
	p = cx_buf_reserve(&text, TEXT_MAX - 1, &err);
	n = p != NULL ? cx_read_upto(TEXT_FD, p, TEXT_MAX - 1, &err) : -1;
	if (n < 0)
		return fail(&err);
	p[n] = '\0';
	return load(p) == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
