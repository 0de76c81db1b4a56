/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CX_ENGINE_CONFIG_H
#define CX_ENGINE_CONFIG_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "base/err.h"
#include "base/log.h"
#include "engine/nameservers.h"
#include "net/firewall.h"

/*
 * What caissond is told: options over the configuration file over defaults. One table (config.c)
 * drives the option parser, the keys of the file and --help. This is the one door to inih.
 */
enum { CX_CONFIG_TEXT = 1024, CX_LISTEN_MAX = 8, CX_DOMAIN_MAX = 200 };

enum cx_on_stop { CX_STOP_KEEP, CX_STOP_END, CX_STOP_MAX };

/* Ranges of 65,536 ids: the first id of the first, and how many there are. */
struct cx_id_space {
	uint32_t base, count;
};

/* Of TCP, both of them too. */
struct cx_ports {
	uint16_t low, high;
};

/* Paths of a certificate and its key; both or none (""). */
struct cx_tls_files {
	char cert[CX_CONFIG_TEXT], key[CX_CONFIG_TEXT];
};

struct cx_config {
	char file[CX_CONFIG_TEXT];
	char state[CX_CONFIG_TEXT];
	char run[CX_CONFIG_TEXT];
	char libexec[CX_CONFIG_TEXT];
	char registries[CX_CONFIG_TEXT];     /* read by the gateway */
	char templates[CX_CONFIG_TEXT];	     /* the same */
	char admin_key_file[CX_CONFIG_TEXT]; /* "": none */
	struct cx_tls_files tls, expose_tls;
	char user[64];
	struct sockaddr_in6 listen[CX_LISTEN_MAX]; /* IPv4 as mapped addresses */
	uint64_t pool;				   /* blanks; CX_POOL_AUTO: by demand */
	uint64_t nlisten, max_sandboxes, on_stop, log_level;
	uint64_t insecure; /* 1: without TLS to other hosts too */
	struct cx_id_space ids;
	uint64_t disk_backend; /* enum cx_quota_kind */
	/* Bytes; pool 0: no bound, reserve 0: by the size of the disk. inodes: of each GiB. */
	uint64_t disk_size, disk_pool, disk_reserve, disk_inodes;
	/* Bytes, processes and thousandths; reserves 0: by what there is, overcommits 0: no bound.
	 */
	uint64_t memory_reserve, memory_overcommit, cpu_reserve, cpu_overcommit;
	uint64_t pids_reserve, pids_overcommit, disk_overcommit;
	uint64_t queue_length, queue_wait; /* sandboxes, seconds */
	uint64_t network, network_forward; /* 0, 1 */
	struct cx_slots_plan network_pool;
	struct cx_netrule private_nets[CX_PRIVATE_MAX]; /* that sandboxes may reach */
	uint32_t nprivate_nets, nservices;
	struct cx_service services[CX_SERVICES_MAX];
	uint64_t connections, packets;	    /* of each sandbox; packets: a second */
	struct sockaddr_in6 expose_address; /* as of listen; the port is 0 */
	struct cx_ports expose_ports;
	char expose_domain[CX_DOMAIN_MAX + 1]; /* lower case; "": none, as expose_tls */
	struct sockaddr_in6 expose_listen;     /* of https below the domain; port 0: any */
	struct sockaddr_in6 ssh_listen;	       /* port 0: any */
	struct sockaddr_in6 upstream[CX_NAMESERVERS_MAX];
	uint64_t nupstream; /* 0: those of the host */
};

enum { CX_POOL_MAX = 256, CX_POOL_AUTO };

/* What the command line asks for. The last two are how caissond starts itself. */
enum cx_config_verb {
	CX_CONFIG_SERVE,
	CX_CONFIG_HELP,
	CX_CONFIG_VERSION,
	CX_CONFIG_SWEEP,
	CX_CONFIG_REAP,
	CX_CONFIG_VERB_MAX,
};

/*
 * Fills *ret. A missing file is fine unless it was named by --config. The error names the option or
 * the line of the file, and what would be allowed. Uses getopt_long(3), so not reentrant.
 */
CX_MUST int cx_config_parse(int argc, char **argv, struct cx_config *ret,
			    enum cx_config_verb *ret_verb, struct cx_err *err);

void cx_config_usage(FILE *out);

const char *cx_config_level_name(enum cx_level level); /* as --log-level takes it */

/* For the tests of documentation: the i-th option's name, section and key; false behind the last.
 */
bool cx_config_option(unsigned i, const char **ret_option, const char **ret_section,
		      const char **ret_key);

#endif
