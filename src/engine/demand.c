/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/demand.h"

void cx_demand_open(struct cx_demand *ret, unsigned min, unsigned max)
{
	*ret = (struct cx_demand){ .min = min, .max = max, .target = min, .unused = min };
}

unsigned cx_demand_most(uint64_t memory_bytes)
{
	uint64_t most = memory_bytes / CX_DEMAND_MEMORY_PART / CX_BLANK_BYTES;

	if (most < CX_DEMAND_MIN)
		return CX_DEMAND_MIN;
	return most < CX_DEMAND_MAX ? (unsigned)most : CX_DEMAND_MAX;
}

void cx_demand_asked(struct cx_demand *demand, unsigned ready)
{
	unsigned left = ready > 0 ? ready - 1 : 0;

	if (ready == 0 && demand->target < demand->max)
		demand->target++;
	if (left < demand->unused)
		demand->unused = left;
}

bool cx_demand_period(struct cx_demand *demand)
{
	unsigned less = (demand->unused + 1) / 2;

	demand->target = demand->target > demand->min + less ? demand->target - less : demand->min;
	demand->unused = demand->target;
	return demand->target > demand->min;
}
