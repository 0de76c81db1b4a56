/* SPDX-License-Identifier: Apache-2.0 */
#include "api/budget.h"

#include <stdbool.h>

#include "api/accounts_store.h"
#include "base/loop.h"

static bool exceeds(double max, double value)
{
	return max >= 0 && value > max + 1e-9;
}

static int check_momentary(const struct cx_user_row *user, const struct cx_user_usage *usage,
			   const struct cx_sandbox_row *row, struct cx_err *err)
{
	const struct {
		const char *what;
		double max, value;
	} limits[] = {
		{ "sandboxes", (double)user->max_sandboxes, (double)usage->sandboxes + 1 },
		{ "cores", user->max_cpu_cores, usage->cpu_cores + row->cpu_cores },
		{ "GB of memory", user->max_memory_gb, usage->memory_gb + row->memory_gb },
	};

	for (size_t i = 0; i < CX_LEN(limits); i++)
		if (exceeds(limits[i].max, limits[i].value))
			return cx_refuse(err, CX_BUSY,
					 "this would be %g %s; the budget of '%.64s' is %g at a "
					 "time; delete some first",
					 limits[i].value, limits[i].what, user->name,
					 limits[i].max);
	return 0;
}

/* What one has used is added up over all his sandboxes: only for who is bounded by it. */
static bool has_budget(const struct cx_user_row *user)
{
	return user->max_sandboxes >= 0 || user->max_cpu_cores >= 0 || user->max_memory_gb >= 0 ||
	       user->max_core_hours >= 0;
}

int cx_budget_check(struct cx_store *store, const struct cx_sandbox_row *row, struct cx_err *err)
{
	CX_AUTO(cx_user_row_clear) struct cx_user_row user = { 0 };
	struct cx_user_usage usage;

	if (cx_store_user_find(store, row->user_id, &user, err) < 0)
		return cx_wrap(err, "budget");
	if (!has_budget(&user))
		return 0;
	if (cx_store_user_usage(store, user.id, cx_wall_ms(), &usage, err) < 0)
		return cx_wrap(err, "budget");
	if (user.max_core_hours >= 0 && usage.core_ms >= user.max_core_hours * 3600e3)
		return cx_refuse(err, CX_SPENT,
				 "the %g core-hours of '%.64s' are used up; an administrator can "
				 "raise them with: caisson user budget",
				 user.max_core_hours, user.name);
	return check_momentary(&user, &usage, row, err);
}
