/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/caps.h"

#include <errno.h>
#include <stdbool.h>
#include <sys/capability.h>
#include <sys/prctl.h>

CX_DEFINE_AUTO(cap_t, cap_free);

static bool kept(const struct cx_cap_row *rows, size_t n, cap_value_t cap)
{
	for (size_t i = 0; i < n; i++)
		if (rows[i].cap == (unsigned)cap)
			return true;
	return false;
}

/* Asked of the kernel, not of the library: it may know more capabilities than we were built with.
 */
int cx_caps_bound(const struct cx_cap_row *rows, size_t n, struct cx_err *err)
{
	for (cap_value_t cap = 0; prctl(PR_CAPBSET_READ, cap, 0, 0, 0) >= 0; cap++)
		if (!kept(rows, n, cap) && prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) < 0)
			return cx_fail(err, errno, "drop capability %d from the bounding set", cap);
	return 0;
}

int cx_caps_keep(const struct cx_cap_row *rows, size_t n, struct cx_err *err)
{
	CX_AUTO(cap_freep) cap_t have = cap_get_proc(), want = cap_init();

	if (have == NULL || want == NULL)
		return cx_fail(err, errno, "read capabilities");
	for (size_t i = 0; i < n; i++) {
		cap_value_t cap = (cap_value_t)rows[i].cap;
		cap_flag_value_t value = CAP_CLEAR;

		if (cap_get_flag(have, cap, CAP_PERMITTED, &value) < 0 || value == CAP_CLEAR)
			continue; /* a container without it: what needs it will say so */
		if (cap_set_flag(want, CAP_PERMITTED, 1, &cap, CAP_SET) < 0 ||
		    cap_set_flag(want, CAP_EFFECTIVE, 1, &cap, CAP_SET) < 0)
			return cx_fail(err, errno, "keep capability %d", cap);
	}
	if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0)
		return cx_fail(err, errno, "clear ambient capabilities");
	if (cap_set_proc(want) < 0)
		return cx_fail(err, errno, "set capabilities");
	return 0;
}
