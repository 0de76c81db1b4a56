/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CX_API_GATEWAY_H
#define CX_API_GATEWAY_H

#include "api/auth.h"
#include "api/blobs.h"
#include "api/engine.h"
#include "api/http.h"
#include "api/leftover.h"
#include "api/queue.h"
#include "api/registries.h"
#include "api/seal.h"
#include "api/spec.h"
#include "api/store.h"
#include "api/templates.h"
#include "base/index.h"
#include "exec/held.h"

/* Everything that the handlers share; owned by main(). */
struct cx_box;
struct cx_exposedoor;
struct cx_exposure;
struct cx_import;
struct cx_intake;
struct cx_metrics;
struct cx_denials;
struct cx_detached;
struct cx_proc;
struct cx_proxies;
struct cx_pull;
struct cx_resolver;
struct cx_ssh;
struct cx_sweep;
struct cx_watcher;

enum { CX_OUTPUT_BYTES_MAX = 512 << 20 };

struct cx_gateway {
	struct cx_loop *loop;
	struct cx_packet *scratch; /* every packet that is received, one at a time */
	const struct cx_auth *auth;
	struct cx_store *store;
	struct cx_engine *engine;
	struct cx_registries *registries;
	struct cx_templates *templates;
	int state_dir;
	struct cx_seal seal;
	struct cx_host host;
	struct cx_box *boxes; /* the live sandboxes */
	struct cx_index boxes_by_id;
	uint64_t output_bytes; /* of commands and files, in memory until their answers are sent */
	struct cx_blobs blobs;
	struct cx_intake *intakes; /* images on their way in */
	struct cx_pull *pulls;
	struct cx_queue queue; /* sandboxes that wait for room */
	struct cx_import *import, *imports_waiting;
	struct cx_sweep *sweep; /* under way, or NULL */
	struct cx_metrics *metrics;
	struct cx_watcher *watchers;
	unsigned nwatchers;
	struct cx_leftovers leftovers;
	struct cx_held_sets held; /* of the commands' accounts */
	struct cx_ssh *ssh;	  /* NULL until it was asked for */
	struct cx_exposure *exposures;
	struct cx_exposedoor *door; /* NULL: they have ports of their own */
	struct cx_proxies *proxies;
	struct cx_proc *processes; /* running ones, and for a while those that have ended */
	struct cx_resolver *resolver;
	struct cx_denials *denials;
	struct cx_detached *detached; /* ends of commands, of sandboxes that are gone */
};

#endif
