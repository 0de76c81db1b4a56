/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/config.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <getopt.h>
#include <ini.h>
#include <stddef.h>
#include <string.h>
#include <strings.h>

#include "base/str.h"
#include "engine/config_net.h"
#include "proto/wire.h"
#include "runtime/quota.h"

/* systemd sets these ids aside for containers; nobody else should be using them. */
enum { ID_RANGE = 65536, ID_FIRST = 524288, ID_LAST = 1879048191 };
enum { SSH_PORT = 2222, HTTPS_PORT = 443, MIB_MAX = 1 << 30, FACTOR_MAX = 1000000 };

struct row {
	const char *option, *arg;
	const char *section, *key; /* NULL: not in the file */
	int (*set)(struct cx_config *c, const struct row *row, const char *value,
		   struct cx_err *err);
	size_t offset, size; /* of the member */
	uint64_t min, max;
	const char *const *words; /* of an enumeration, by value */
	const char *help;
};

static const char *const on_stop_words[] = {
	[CX_STOP_KEEP] = "keep",
	[CX_STOP_END] = "end",
	NULL,
};
static const char *const no_yes[] = { "no", "yes", NULL };
static const char *const disk_words[] = {
	[CX_QUOTA_AUTO] = "auto",
	[CX_QUOTA_PROJECT] = "quota",
	[CX_QUOTA_BTRFS] = "btrfs",
	[CX_QUOTA_LOOP] = "loop",
	[CX_QUOTA_MEMORY] = "memory",
	[CX_QUOTA_NONE] = "none",
	NULL,
};
static const char *const level_words[] = {
	[CX_LOG_ERROR] = "error",
	[CX_LOG_WARNING] = "warning",
	[CX_LOG_INFO] = "info",
	[CX_LOG_DEBUG] = "debug",
	NULL,
};

static void *member(struct cx_config *c, const struct row *row)
{
	return (char *)c + row->offset;
}

static int set_text(struct cx_config *c, const struct row *row, const char *value,
		    struct cx_err *err)
{
	if (value[0] == '\0' || strlen(value) >= row->size)
		return cx_refuse(err, CX_INVALID, "wants 1 to %zu bytes", row->size - 1);
	memcpy(member(c, row), value, strlen(value) + 1);
	return 0;
}

static int set_path(struct cx_config *c, const struct row *row, const char *value,
		    struct cx_err *err)
{
	if (value[0] != '/')
		return cx_refuse(err, CX_INVALID, "'%.80s' is not an absolute path", value);
	return set_text(c, row, value, err);
}

static int set_name(struct cx_config *c, const struct row *row, const char *value,
		    struct cx_err *err)
{
	if (!cx_is_plain_name(value, row->size - 1))
		return cx_refuse(err, CX_INVALID, "'%.40s' is not a name", value);
	return set_text(c, row, value, err);
}

/* Labels of letters, digits and hyphens; in lower case. */
static int set_domain(struct cx_config *c, const struct row *row, const char *value,
		      struct cx_err *err)
{
	char *out = member(c, row);
	size_t len = strlen(value), label = 0;
	bool good = len > 0 && len < row->size;

	for (size_t i = 0; i < len && good; i++) {
		bool dot = value[i] == '.';

		good = dot ? label > 0 && value[i - 1] != '-' && i + 1 < len
			   : isalnum((unsigned char)value[i]) || (value[i] == '-' && label > 0);
		label = dot ? 0 : label + 1;
		good &= label <= 63;
	}
	if (!good || value[len - 1] == '-')
		return cx_refuse(err, CX_INVALID, "'%.60s' is no domain of up to %zu characters",
				 value, row->size - 1);
	for (size_t i = 0; i <= len; i++)
		out[i] = (char)tolower((unsigned char)value[i]);
	return 0;
}

static int set_number(struct cx_config *c, const struct row *row, const char *value,
		      struct cx_err *err)
{
	return cx_parse_u64(value, row->min, row->max, "the number", member(c, row), err);
}

static int set_blanks(struct cx_config *c, const struct row *row, const char *value,
		      struct cx_err *err)
{
	if (strcmp(value, "auto") != 0)
		return set_number(c, row, value, err);
	c->pool = CX_POOL_AUTO;
	return 0;
}

static int set_mib(struct cx_config *c, const struct row *row, const char *value,
		   struct cx_err *err)
{
	uint64_t *out = member(c, row);

	if (set_number(c, row, value, err) < 0)
		return -err->errnum;
	*out <<= 20;
	return 0;
}

/* "1.5" in thousandths. */
static int set_thousandths(struct cx_config *c, const struct row *row, const char *value,
			   struct cx_err *err)
{
	const char *dot = strchr(value, '.');
	uint64_t whole = 0, part = 0, *out = member(c, row);
	char text[16], digits[4] = "000";
	size_t n = dot != NULL ? strlen(dot + 1) : 0;

	if (!cx_str_copy((struct cx_str){ value, dot != NULL ? (uint32_t)(dot - value)
							     : (uint32_t)strlen(value) },
			 text, sizeof text) ||
	    (dot != NULL && (n == 0 || n > 3)))
		return cx_refuse(err, CX_INVALID, "'%.40s' is no number like 1.5", value);
	if (dot != NULL)
		memcpy(digits, dot + 1, n);
	if (cx_parse_u64(text, row->min, row->max, "the number", &whole, err) < 0 ||
	    cx_parse_u64(digits, 0, 999, "the number", &part, err) < 0)
		return -err->errnum;
	*out = whole * 1000 + part;
	return 0;
}

static int set_mbit(struct cx_config *c, const struct row *row, const char *value,
		    struct cx_err *err)
{
	uint64_t *out = member(c, row);

	if (set_number(c, row, value, err) < 0)
		return -err->errnum;
	*out *= 1000000 / 8;
	return 0;
}

static int set_word(struct cx_config *c, const struct row *row, const char *value,
		    struct cx_err *err)
{
	uint64_t *out = member(c, row);

	for (unsigned i = 0; row->words[i] != NULL; i++) {
		if (strcmp(value, row->words[i]) == 0) {
			*out = i;
			return 0;
		}
	}
	return cx_refuse(err, CX_INVALID, "'%.40s' is not one of %s", value, row->arg);
}

static int set_ids(struct cx_config *c, const struct row *row, const char *value,
		   struct cx_err *err)
{
	char base_text[24];
	uint64_t base = 0, count = 0;
	const char *colon = strchr(value, ':');
	struct cx_id_space *out = member(c, row);

	if (colon == NULL || !cx_str_copy((struct cx_str){ value, (uint32_t)(colon - value) },
					  base_text, sizeof base_text))
		return cx_refuse(err, CX_INVALID, "'%.40s' is not BASE:COUNT", value);
	if (cx_parse_u64(base_text, ID_FIRST, ID_LAST, "BASE", &base, err) < 0 ||
	    cx_parse_u64(colon + 1, 1, (ID_LAST + 1 - base) / ID_RANGE, "COUNT", &count, err) < 0)
		return -err->errnum;
	if (base % ID_RANGE != 0)
		return cx_refuse(err, CX_INVALID, "BASE %llu is not a multiple of %d",
				 (unsigned long long)base, ID_RANGE);
	*out = (struct cx_id_space){ .base = (uint32_t)base, .count = (uint32_t)count };
	return 0;
}

/* A numeric address as one of IPv6. */
static int parse_address(struct cx_str text, bool v6, struct in6_addr *ret, struct cx_err *err)
{
	char host[64], mapped[80];

	if (!cx_str_copy(text, host, sizeof host) ||
	    cx_format(mapped, sizeof mapped, v6 ? "%s" : "::ffff:%s", err, host) < 0 ||
	    inet_pton(AF_INET6, mapped, ret) != 1)
		return cx_refuse(err, CX_INVALID, "'%.*s' is no numeric address",
				 (int)(text.len < 60 ? text.len : 60), text.p);
	return 0;
}

/* "ADDR:PORT", "[ADDR6]:PORT" or a bare "PORT", which means 127.0.0.1: outside is never a default.
 */
static int parse_listen(const struct row *row, const char *value, struct sockaddr_in6 *ret,
			struct cx_err *err)
{
	const char *colon = strrchr(value, ':');
	const char *port_text = colon != NULL ? colon + 1 : value;
	size_t len = colon != NULL ? (size_t)(colon - value) : 0;
	struct sockaddr_in6 sa = { .sin6_family = AF_INET6 };
	uint64_t port = 0;
	bool v6 = len > 2 && value[0] == '[' && value[len - 1] == ']';
	struct cx_str text = { .p = v6 ? value + 1 : value, .len = (uint32_t)(v6 ? len - 2 : len) };

	if (len == 0)
		text = cx_str_of("127.0.0.1");
	if (cx_parse_u64(port_text, row->min, row->max, "the port", &port, err) < 0)
		return -err->errnum;
	if (parse_address(text, v6, &sa.sin6_addr, err) < 0)
		return cx_refuse(err, CX_INVALID,
				 "'%.60s' is not ADDR:PORT with a numeric address ([..] for IPv6)",
				 value);
	sa.sin6_port = htons((uint16_t)port);
	*ret = sa;
	return 0;
}

/* The bits behind the prefix, which have to be 0. */
static bool is_network(const uint8_t *address, unsigned prefix, unsigned bits)
{
	for (unsigned i = prefix; i < bits; i++)
		if ((address[i / 8] & 0x80U >> i % 8) != 0)
			return false;
	return true;
}

static int set_pool(struct cx_config *c, const struct row *row, const char *value,
		    struct cx_err *err)
{
	bool ip6 = row->offset == offsetof(struct cx_config, network_pool.prefix6);
	const char *slash = strchr(value, '/');
	uint8_t address[16];
	uint64_t prefix = 0;
	char text[64];

	if (slash == NULL ||
	    !cx_str_copy((struct cx_str){ value, (uint32_t)(slash - value) }, text, sizeof text) ||
	    inet_pton(ip6 ? AF_INET6 : AF_INET, text, address) != 1)
		return cx_refuse(err, CX_INVALID, "'%.60s' is not ADDRESS/PREFIX", value);
	if (cx_parse_u64(slash + 1, row->min, row->max, "PREFIX", &prefix, err) < 0)
		return -err->errnum;
	if (!is_network(address, (unsigned)prefix, ip6 ? 128 : 32))
		return cx_refuse(err, CX_INVALID, "'%.60s' has bits set behind its prefix", value);
	*(uint8_t *)member(c, row) = (uint8_t)prefix;
	if (ip6)
		memcpy(&c->network_pool.pool6, address, 16);
	else
		memcpy(&c->network_pool.pool4, address, 4);
	return 0;
}

static int set_private_nets(struct cx_config *c, const struct row *row, const char *value,
			    struct cx_err *err)
{
	(void)row;
	return cx_config_nets(value, c->private_nets, CX_PRIVATE_MAX, &c->nprivate_nets, err);
}

static int add_service(struct cx_config *c, const struct row *row, const char *value,
		       struct cx_err *err)
{
	struct cx_service *service = &c->services[c->nservices];

	(void)row;
	if (c->nservices == CX_SERVICES_MAX)
		return cx_refuse(err, CX_INVALID, "at most %d services", CX_SERVICES_MAX);
	if (cx_config_service(value, service, err) < 0)
		return -err->errnum;
	for (uint32_t i = 0; i < c->nservices; i++)
		if (strcmp(c->services[i].name, service->name) == 0)
			return cx_refuse(err, CX_INVALID, "service '%s' is there twice",
					 service->name);
	c->nservices++;
	return 0;
}

static int set_listen(struct cx_config *c, const struct row *row, const char *value,
		      struct cx_err *err)
{
	if (c->nlisten == CX_LISTEN_MAX)
		return cx_refuse(err, CX_INVALID, "at most %d addresses", CX_LISTEN_MAX);
	if (parse_listen(row, value, &c->listen[c->nlisten], err) < 0)
		return -err->errnum;
	c->nlisten++;
	return 0;
}

static int set_one_listen(struct cx_config *c, const struct row *row, const char *value,
			  struct cx_err *err)
{
	return parse_listen(row, value, member(c, row), err);
}

static int set_address(struct cx_config *c, const struct row *row, const char *value,
		       struct cx_err *err)
{
	struct sockaddr_in6 sa = { .sin6_family = AF_INET6 };

	if (parse_address(cx_str_of(value), strchr(value, ':') != NULL, &sa.sin6_addr, err) < 0)
		return -err->errnum;
	*(struct sockaddr_in6 *)member(c, row) = sa;
	return 0;
}

static int set_ports(struct cx_config *c, const struct row *row, const char *value,
		     struct cx_err *err)
{
	const char *dash = strchr(value, '-');
	struct cx_ports *out = member(c, row);
	uint64_t low = 0, high = 0;
	char first[8];

	if (dash == NULL ||
	    !cx_str_copy((struct cx_str){ value, (uint32_t)(dash - value) }, first, sizeof first))
		return cx_refuse(err, CX_INVALID, "'%.40s' is not FIRST-LAST", value);
	if (cx_parse_u64(first, row->min, row->max, "FIRST", &low, err) < 0 ||
	    cx_parse_u64(dash + 1, low, row->max, "LAST", &high, err) < 0)
		return -err->errnum;
	*out = (struct cx_ports){ .low = (uint16_t)low, .high = (uint16_t)high };
	return 0;
}

static int set_upstream(struct cx_config *c, const struct row *row, const char *value,
			struct cx_err *err)
{
	(void)row;
	if (c->nupstream == CX_NAMESERVERS_MAX)
		return cx_refuse(err, CX_INVALID, "at most %d name servers", CX_NAMESERVERS_MAX);
	if (cx_nameserver_parse(value, &c->upstream[c->nupstream], err) < 0)
		return -err->errnum;
	c->nupstream++;
	return 0;
}

#define AT(m) offsetof(struct cx_config, m), sizeof(((struct cx_config *)NULL)->m)

static const struct row rows[] = {
	{ "config", "FILE", NULL, NULL, set_path, AT(file), 0, 0, NULL,
	  "read this configuration file" },
	{ "state", "DIR", "daemon", "state", set_path, AT(state), 0, 0, NULL,
	  "layers, writable directories and state.db" },
	{ "run", "DIR", "daemon", "run", set_path, AT(run), 0, 0, NULL,
	  "API socket and records of running sandboxes" },
	{ "libexec", "DIR", "daemon", "libexec", set_path, AT(libexec), 0, 0, NULL,
	  "where caisson-gateway, -spawner, -image and -agent are" },
	{ "user", "NAME", "daemon", "user", set_name, AT(user), 0, 0, NULL,
	  "account that the gateway runs as" },
	{ "registries", "FILE", "daemon", "registries", set_path, AT(registries), 0, 0, NULL,
	  "where images may come from, for the gateway to read" },
	{ "templates", "FILE", "daemon", "templates", set_path, AT(templates), 0, 0, NULL,
	  "which images the templates of clients are, for the gateway to read" },
	{ "on-stop", "keep|end", "daemon", "on_stop", set_word, AT(on_stop), 0, 0, on_stop_words,
	  "what becomes of running sandboxes when caissond is told to stop" },
	{ "log-level", "error|warning|info|debug", "daemon", "log_level", set_word, AT(log_level),
	  0, 0, level_words, "the least important records to print" },
	{ "listen", "[ADDR:]PORT", "api", "listen", set_listen, AT(listen), 1, 65535, NULL,
	  "serve HTTP on this TCP address too (repeatable; ADDR is 127.0.0.1 if left out)" },
	{ "admin-key-file", "FILE", "api", "admin_key_file", set_path, AT(admin_key_file), 0, 0,
	  NULL, "file that holds the administrator's API key" },
	{ "tls-cert", "FILE", "api", "tls_cert", set_path, AT(tls.cert), 0, 0, NULL,
	  "certificate and its chain (PEM): TCP addresses speak HTTPS" },
	{ "tls-key", "FILE", "api", "tls_key", set_path, AT(tls.key), 0, 0, NULL,
	  "the certificate's private key (PEM)" },
	{ "insecure", "no|yes", "api", "insecure", set_word, AT(insecure), 0, 0, no_yes,
	  "listen to other hosts without TLS too, where keys can be read on the way" },
	{ "expose-address", "ADDR", "expose", "address", set_address, AT(expose_address), 0, 0,
	  NULL, "where exposed ports of sandboxes are served" },
	{ "expose-ports", "FIRST-LAST", "expose", "ports", set_ports, AT(expose_ports), 1024, 65535,
	  NULL, "on which ports they are served" },
	{ "expose-domain", "NAME", "expose", "domain", set_domain, AT(expose_domain), 0, 0, NULL,
	  "those of HTTP are https://EXPOSURE.NAME instead" },
	{ "expose-listen", "[ADDR:]PORT", "expose", "listen", set_one_listen, AT(expose_listen), 0,
	  65535, NULL, "where these are served; port 0 is any free one" },
	{ "expose-cert", "FILE", "expose", "cert", set_path, AT(expose_tls.cert), 0, 0, NULL,
	  "certificate of *.NAME and its chain (PEM)" },
	{ "expose-key", "FILE", "expose", "key", set_path, AT(expose_tls.key), 0, 0, NULL,
	  "its private key (PEM)" },
	{ "ssh-listen", "[ADDR:]PORT", "ssh", "listen", set_one_listen, AT(ssh_listen), 0, 65535,
	  NULL, "where SSH to sandboxes is served; port 0 is any free one" },
	{ "network", "no|yes", "network", "enabled", set_word, AT(network), 0, 0, no_yes,
	  "sandboxes have a link, and what their policies allow is reached by it" },
	{ "network-pool", "CIDR", "network", "pool", set_pool, AT(network_pool.prefix4), 8, 30,
	  NULL, "IPv4 addresses of sandboxes; seen by nobody but them" },
	{ "network-pool6", "CIDR", "network", "pool6", set_pool, AT(network_pool.prefix6), 48,
	  CX_SLOTS_PREFIX6_MAX, NULL, "their IPv6 addresses; without it they have none" },
	{ "network-bandwidth", "MBIT", "network", "bandwidth", set_mbit, AT(network_pool.bandwidth),
	  0, 100000, NULL, "megabits a second of each sandbox, each way; 0 is no limit" },
	{ "network-forward", "no|yes", "network", "forward", set_word, AT(network_forward), 0, 0,
	  no_yes, "switch on forwarding of packets where the host does not do it yet" },
	{ "allow-private", "CIDR,...", "network", "allow_private", set_private_nets,
	  AT(private_nets), 0, 0, NULL,
	  "private networks that policies may allow; no others are ever reached" },
	{ "connections", "N", "network", "connections", set_number, AT(connections), 16, 1000000,
	  NULL, "connections that a sandbox may have open at a time" },
	{ "packets", "N", "network", "packets", set_number, AT(packets), 100, 10000000, NULL,
	  "packets that a sandbox may send in a second; those above are dropped" },
	{ "disk-backend", "auto|quota|btrfs|loop|memory|none", "disk", "backend", set_word,
	  AT(disk_backend), 0, 0, disk_words, "how the kernel limits what a sandbox writes" },
	{ "disk-size", "MIB", "disk", "size", set_mib, AT(disk_size), 16, MIB_MAX, NULL,
	  "the disk of a sandbox whose client asks for none" },
	{ "disk-inodes", "N", "disk", "inodes", set_number, AT(disk_inodes), 1024, 1 << 20, NULL,
	  "files and directories for each GiB of it" },
	{ "disk-pool", "MIB", "disk", "pool", set_mib, AT(disk_pool), 0, MIB_MAX, NULL,
	  "what the disks of all sandboxes may add up to; 0 is no bound" },
	{ "disk-reserve", "MIB", "disk", "reserve", set_mib, AT(disk_reserve), 0, MIB_MAX, NULL,
	  "what stays free on the host; 0 is a twentieth, at most 1024" },
	{ "disk-overcommit", "FACTOR", "disk", "overcommit", set_thousandths, AT(disk_overcommit),
	  0, FACTOR_MAX, NULL,
	  "how often the disk less its reserve may be promised; 0 is no bound" },
	{ "memory-reserve", "MIB", "host", "memory_reserve", set_mib, AT(memory_reserve), 0,
	  MIB_MAX, NULL, "memory that stays free; 0 is a twentieth, at most 1024" },
	{ "memory-overcommit", "FACTOR", "host", "memory_overcommit", set_thousandths,
	  AT(memory_overcommit), 0, FACTOR_MAX, NULL,
	  "how often the rest may be promised; 0 is no bound" },
	{ "cpu-reserve", "CORES", "host", "cpu_reserve", set_thousandths, AT(cpu_reserve), 0, 1024,
	  NULL, "cores that are not promised" },
	{ "cpu-overcommit", "FACTOR", "host", "cpu_overcommit", set_thousandths, AT(cpu_overcommit),
	  0, FACTOR_MAX, NULL, "how often the rest may be promised; 0 is no bound" },
	{ "pids-reserve", "N", "host", "pids_reserve", set_number, AT(pids_reserve), 0, 4194304,
	  NULL, "processes that stay free; 0 is a twentieth, at most 1024" },
	{ "pids-overcommit", "FACTOR", "host", "pids_overcommit", set_thousandths,
	  AT(pids_overcommit), 0, FACTOR_MAX, NULL,
	  "how often the rest may be promised; 0 is no bound" },
	{ "queue-length", "N", "queue", "length", set_number, AT(queue_length), 0, 10000, NULL,
	  "sandboxes that may wait for room; 0 refuses at once" },
	{ "queue-wait", "SECONDS", "queue", "wait", set_number, AT(queue_wait), 1, 604800, NULL,
	  "how long one may wait before it fails" },
	{ "service", "NAME=ADDR:PORT", "services", "name", add_service, AT(services), 0, 0, NULL,
	  "what sandboxes reach whatever their policy says, by this name (repeatable)" },
	{ "dns-upstream", "ADDR[:PORT]", "dns", "upstream", set_upstream, AT(upstream), 0, 0, NULL,
	  "name server that the resolver asks (repeatable; the host's without this)" },
	{ "pool", "N|auto", "pool", "blanks", set_blanks, AT(pool), 0, CX_POOL_MAX, NULL,
	  "blank sandboxes to keep ready; auto: as many as were asked for at once lately" },
	{ "max-sandboxes", "N", "limits", "max_sandboxes", set_number, AT(max_sandboxes), 1, 16384,
	  NULL, "sandboxes that may run at the same time" },
	{ "ids", "BASE:COUNT", "limits", "ids", set_ids, AT(ids), 0, 0, NULL,
	  "COUNT ranges of 65536 user ids from BASE on, within 524288 to 1879048191" },
};

/* 127.0.0.1 */
#define LOOPBACK                                                               \
	{                                                                      \
		{                                                              \
			{                                                      \
				[10] = 0xff, [11] = 0xff, [12] = 127, [15] = 1 \
			}                                                      \
		}                                                              \
	}

/* 100.96.0.0, in network order */
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
#define POOL4 0x00006064U
#else
#define POOL4 0x64600000U
#endif

static const struct cx_config defaults = {
	.file = CX_SYSCONFDIR "/caisson.conf",
	.state = CX_STATEDIR,
	.run = CX_RUNDIR,
	.libexec = CX_LIBEXECDIR,
	.user = "caisson",
	.registries = CX_SYSCONFDIR "/registries.conf",
	.templates = CX_SYSCONFDIR "/templates.conf",
	.pool = CX_POOL_AUTO,
	.max_sandboxes = 1000,
	.queue_length = 1000,
	.queue_wait = 900,
	.on_stop = CX_STOP_KEEP,
	.log_level = CX_LOG_INFO,
	.ids = { .base = ID_FIRST, .count = (ID_LAST + 1 - ID_FIRST) / ID_RANGE },
	.network = 1,
	.network_forward = 1,
	.disk_size = (uint64_t)5 << 30,
	.disk_inodes = 65536,
	.connections = 4096,
	.packets = 100000,
	.network_pool = { .pool4 = { .s_addr = POOL4 }, .prefix4 = 16 },
	.expose_address = { .sin6_family = AF_INET6, .sin6_addr = LOOPBACK },
	.expose_ports = { .low = 20000, .high = 29999 }, /* below what the kernel hands out */
	.expose_listen = { .sin6_family = AF_INET6, .sin6_addr = LOOPBACK },
	.ssh_listen = { .sin6_family = AF_INET6, .sin6_addr = LOOPBACK },
};

/* What getopt_long() says: a verb, or rows[i]. */
enum { OPT_VERB = 256, OPT_ROW = OPT_VERB + CX_CONFIG_VERB_MAX };

static const char *const verbs[CX_CONFIG_VERB_MAX] = {
	[CX_CONFIG_HELP] = "help",
	[CX_CONFIG_VERSION] = "version",
	[CX_CONFIG_SWEEP] = "sweep",
	[CX_CONFIG_REAP] = "reap",
};

bool cx_config_option(unsigned i, const char **ret_option, const char **ret_section,
		      const char **ret_key)
{
	if (i >= CX_LEN(rows))
		return false;
	*ret_option = rows[i].option;
	*ret_section = rows[i].section;
	*ret_key = rows[i].key;
	return true;
}

const char *cx_config_level_name(enum cx_level level)
{
	return level_words[level < CX_LOG_MAX ? level : CX_LOG_INFO];
}

void cx_config_usage(FILE *out)
{
	(void)fprintf(out, "usage: caissond [OPTION]...\n"
			   "The sandbox engine. Runs in the foreground, as root.\n\n");
	for (size_t i = 0; i < CX_LEN(rows); i++) {
		char left[64];

		(void)snprintf(left, sizeof left, "--%s %s", rows[i].option, rows[i].arg);
		(void)fprintf(out, "  %-40s %s\n", left, rows[i].help);
	}
	(void)fprintf(out,
		      "  %-40s %s\n  %-40s %s\n\n"
		      "Settings come from options, then %s, then defaults.\n",
		      "--version", "print the version and exit", "--help", "print this and exit",
		      defaults.file);
}

struct ini_context {
	struct cx_config *config;
	struct cx_err *err;
};

/* Keys of [services] are names of the operator's; the row takes "NAME=VALUE". */
static const struct row *find_named(const char *section)
{
	for (size_t i = 0; i < CX_LEN(rows); i++)
		if (rows[i].set == add_service && strcmp(rows[i].section, section) == 0)
			return &rows[i];
	return NULL;
}

static const struct row *find_key(const char *section, const char *key)
{
	for (size_t i = 0; i < CX_LEN(rows); i++)
		if (rows[i].key != NULL && strcmp(rows[i].section, section) == 0 &&
		    strcmp(rows[i].key, key) == 0)
			return &rows[i];
	return NULL;
}

static int take_ini(void *user, const char *section, const char *key, const char *value)
{
	struct ini_context *ctx = user;
	const struct row *named = find_named(section);
	const struct row *row = named != NULL ? named : find_key(section, key);
	char pair[CX_CONFIG_TEXT];

	if (ctx->err->errnum != 0)
		return 1; /* only the first error is told */
	if (named != NULL && cx_format(pair, sizeof pair, "%s=%s", ctx->err, key, value) < 0)
		return 0;
	value = named != NULL ? pair : value;
	if (row == NULL)
		(void)cx_refuse(ctx->err, CX_INVALID, "[%.40s] %.40s: no such setting", section,
				key);
	else if (row->set(ctx->config, row, value, ctx->err) < 0)
		(void)cx_wrap(ctx->err, "[%s] %s", section, key);
	return ctx->err->errnum == 0;
}

static int read_ini(struct cx_config *c, bool must_exist, struct cx_err *err)
{
	struct ini_context ctx = { .config = c, .err = err };
	FILE *file = fopen(c->file, "re");
	bool broken;
	int r;

	if (file == NULL && errno == ENOENT && !must_exist)
		return 0;
	if (file == NULL)
		return cx_fail(err, errno, "read '%s'", c->file);
	*err = (struct cx_err){ 0 };
	r = ini_parse_file(file, take_ini, &ctx);
	broken = ferror(file) != 0; /* a directory, say: the parser takes it for an empty file */
	(void)fclose(file);
	if (broken)
		return cx_refuse(err, CX_INVALID, "'%s' cannot be read", c->file);
	if (r != 0 && err->errnum == 0)
		return cx_refuse(err, CX_INVALID, "'%s', line %d: not 'key = value'", c->file, r);
	return r != 0 ? cx_wrap(err, "'%s', line %d", c->file, r) : 0;
}

static void list_options(struct option *out)
{
	for (int verb = CX_CONFIG_SERVE + 1; verb < CX_CONFIG_VERB_MAX; verb++)
		*out++ = (struct option){ verbs[verb], no_argument, NULL, OPT_VERB + verb };
	for (size_t i = 0; i < CX_LEN(rows); i++)
		*out++ = (struct option){ rows[i].option, required_argument, NULL,
					  OPT_ROW + (int)i };
	*out = (struct option){ 0 };
}

/*
 * One pass over the command line: options below `first` (by place in the table) were taken by an
 * earlier pass, those from `end` on are for a later one.
 */
static int take_options(int argc, char **argv, struct cx_config *c, size_t first, size_t end,
			enum cx_config_verb *verb, struct cx_err *err)
{
	struct option options[CX_LEN(rows) + CX_CONFIG_VERB_MAX];
	bool listened = false;
	int o;

	list_options(options);
	optind = 0; /* glibc: start over */
	opterr = 0; /* we say it ourselves */
	while ((o = getopt_long(argc, argv, "", options, NULL)) != -1) {
		size_t i = o >= OPT_ROW ? (size_t)(o - OPT_ROW) : CX_LEN(rows);

		if (o == '?')
			return cx_refuse(err, CX_INVALID,
					 "'%.80s' is no option, or its value is missing or not "
					 "wanted; see --help",
					 argv[optind - 1]);
		if (o < OPT_ROW)
			*verb = (enum cx_config_verb)(o - OPT_VERB);
		if (i < first || i >= end)
			continue;
		if (rows[i].set == set_listen && !listened)
			c->nlisten = 0; /* options replace the file's list, they do not extend it */
		listened |= rows[i].set == set_listen;
		if (rows[i].set(c, &rows[i], optarg, err) < 0)
			return cx_wrap(err, "option --%s", rows[i].option);
	}
	if (optind < argc)
		return cx_refuse(err, CX_INVALID, "unexpected argument '%.80s'; see --help",
				 argv[optind]);
	return 0;
}

static bool is_loopback(const struct in6_addr *a)
{
	return IN6_IS_ADDR_LOOPBACK(a) || (IN6_IS_ADDR_V4MAPPED(a) && a->s6_addr[12] == 127);
}

/* Keys and output in the clear are nothing that should happen by leaving something out. */
static int check_listen(const struct cx_config *c, struct cx_err *err)
{
	bool tls = c->tls.cert[0] != '\0';
	char text[INET6_ADDRSTRLEN] = "";

	if (tls != (c->tls.key[0] != '\0'))
		return cx_refuse(err, CX_INVALID,
				 "--tls-cert and --tls-key go together: one is missing");
	for (size_t i = 0; i < c->nlisten && !tls && c->insecure == 0; i++) {
		if (is_loopback(&c->listen[i].sin6_addr))
			continue;
		(void)inet_ntop(AF_INET6, &c->listen[i].sin6_addr, text, sizeof text);
		return cx_refuse(err, CX_INVALID,
				 "--listen %s would send API keys in the clear: give --tls-cert "
				 "and --tls-key, or --insecure yes behind a proxy that does",
				 text);
	}
	return 0;
}

static int check_expose(const struct cx_config *c, struct cx_err *err)
{
	bool named = c->expose_domain[0] != '\0';

	if (named == (c->expose_tls.cert[0] != '\0') && named == (c->expose_tls.key[0] != '\0'))
		return 0;
	return cx_refuse(err, CX_INVALID,
			 "--expose-domain, --expose-cert and --expose-key go together: one is "
			 "missing");
}

int cx_config_parse(int argc, char **argv, struct cx_config *ret, enum cx_config_verb *ret_verb,
		    struct cx_err *err)
{
	enum cx_config_verb verb = CX_CONFIG_SERVE;
	bool named;

	*ret = defaults;
	ret->ssh_listen.sin6_port = htons(SSH_PORT);
	ret->expose_listen.sin6_port = htons(HTTPS_PORT);
	if (take_options(argc, argv, ret, 0, 1, &verb, err) < 0)
		return -err->errnum;
	named = strcmp(ret->file, defaults.file) != 0;
	if (verb == CX_CONFIG_SERVE &&
	    (read_ini(ret, named, err) < 0 ||
	     take_options(argc, argv, ret, 1, CX_LEN(rows), &verb, err) < 0))
		return -err->errnum;
	if (verb == CX_CONFIG_SERVE && (check_listen(ret, err) < 0 || check_expose(ret, err) < 0))
		return -err->errnum;
	*ret_verb = verb;
	return 0;
}
