/* SPDX-License-Identifier: Apache-2.0 */
#include "image/same.h"

#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"

enum { CHUNK = 1 << 20 };

struct chunks {
	char a[CHUNK], b[CHUNK];
};

static size_t common(const struct chunks *c, size_t len)
{
	size_t n = 0;

	while (n < len && c->a[n] == c->b[n])
		n++;
	return n;
}

static int compare(int a, int b, struct chunks *c, struct cx_err *err)
{
	uint64_t at = 0;

	for (;;) {
		ssize_t na = cx_read_upto(a, c->a, CHUNK, err);
		ssize_t nb = na < 0 ? -1 : cx_read_upto(b, c->b, CHUNK, err);
		size_t least = (size_t)(na < nb ? na : nb);

		if (nb < 0)
			return -err->errnum;
		if (na != nb || memcmp(c->a, c->b, least) != 0)
			return cx_refuse(err, CX_CONFLICT, "they differ at byte %" PRIu64,
					 at + common(c, least));
		if (na == 0)
			return 0;
		at += (uint64_t)na;
	}
}

int cx_same_files(int a, int b, struct cx_report *report)
{
	cx_autofree struct chunks *c = malloc(sizeof *c);
	int r;

	*report = (struct cx_report){ .kind = CX_REPORT_LAYER };
	if (c == NULL)
		return cx_fail(&report->err, ENOMEM, "compare");
	if (lseek(a, 0, SEEK_SET) < 0 || lseek(b, 0, SEEK_SET) < 0)
		return cx_fail(&report->err, errno, "rewind");
	r = compare(a, b, c, &report->err);
	report->ok = r == 0;
	return r;
}
