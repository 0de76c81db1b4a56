/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CX_IMAGE_ENTRIES_H
#define CX_IMAGE_ENTRIES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

/*
 * The stream between the process that reads an archive and the one that lays out a layer (or the
 * gateway, for an outer archive). Little-endian; a record is
 *
 *	u8 type | u32 length | length bytes
 *
 *	'E' an entry: u16 mode (S_IFMT and permissions), u16 flags, u32 uid, u32 gid, u64 size,
 *	    i64 mtime, u32 nanoseconds, then u16 length and bytes each of path and target, then u16
 *	    count of extended attributes: u8 length and bytes of the name without "user.", u16
 *	    length and bytes of the value
 *	'D' data of the last regular file: u64 offset, then bytes; offsets only grow, what lies
 *	    between is a hole
 *	'Z' the end: u32 number of entries. Nothing may follow.
 *
 * The decoder refuses whatever breaks the rules below, so its user works on checked entries only:
 * paths are relative, 1 to CX_ENTRY_PATH_MAX bytes without NUL, no component is empty, "." or "..",
 * none is longer than 255 bytes; the root itself is the one entry with an empty path.
 */
enum {
	CX_ENTRY_PATH_MAX = 4095,
	CX_ENTRY_XATTRS_MAX = 64,
	CX_ENTRY_XATTR_BYTES_MAX = 32768, /* names and values of one entry */
	CX_ENTRY_ID_MAX = 65535,
	CX_ENTRY_DATA_MAX = 65536, /* bytes in one 'D' */
	CX_ENTRY_RECORD_MAX = 65536,
};

enum {
	CX_ENTRY_HARDLINK =
		1, /* another name of the entry at target; mode, ids and size do not count */
	CX_ENTRY_WHITEOUT = 2, /* path does not exist any more in this layer and below */
	CX_ENTRY_OPAQUE = 4,   /* with S_IFDIR: nothing of the directory shows from below */
	CX_ENTRY_BARRED = 8, /* path was something that no layer carries: nothing may show there */
	CX_ENTRY_FLAGS = 15,
};

struct cx_bytes { /* borrowed */
	const char *p;
	size_t len;
};

struct cx_entry_xattr {
	struct cx_bytes name, value; /* name without "user." */
};

struct cx_entry {
	uint32_t mode; /* S_IFREG, S_IFDIR, S_IFLNK, S_IFIFO; S_IFCHR and S_IFBLK are not carried */
	uint32_t flags, uid, gid;
	uint64_t size;
	int64_t mtime;
	uint32_t mtime_nsec;
	struct cx_bytes path, target; /* of a symbolic or hard link */
	unsigned nxattrs;
	struct cx_entry_xattr xattrs[CX_ENTRY_XATTRS_MAX];
};

/* ---- writing; a blocking descriptor ---- */

struct cx_entry_writer {
	int fd;
	uint32_t count;
	size_t len;
	uint8_t buf[256 * 1024];
};
void cx_entry_writer_init(struct cx_entry_writer *w, int fd);
/* Refuses an entry that the decoder would refuse; whose name it is, the caller knows best. */
CX_MUST int cx_entry_write(struct cx_entry_writer *w, const struct cx_entry *entry,
			   struct cx_err *err);
CX_MUST int cx_entry_write_data(struct cx_entry_writer *w, uint64_t offset, const void *data,
				size_t len, struct cx_err *err);
CX_MUST int cx_entry_write_end(struct cx_entry_writer *w, struct cx_err *err);

/* ---- reading, incremental: feed bytes as they come ---- */

struct cx_entry_sink {
	/* Each returns 0 or -errno with err set, which ends the decoding. Views are valid inside.
	 */
	int (*entry)(void *arg, const struct cx_entry *entry, struct cx_err *err);
	int (*data)(void *arg, uint64_t offset, const void *data, size_t len, struct cx_err *err);
	int (*end)(void *arg, struct cx_err *err);
	void *arg;
};

struct cx_entry_decoder {
	const struct cx_entry_sink *sink;
	uint64_t max_entries;
	uint64_t file_size, file_at; /* of the last regular file */
	bool in_file, ended;
	uint32_t count;
	size_t len;
	uint8_t buf[5 + CX_ENTRY_RECORD_MAX + 16];
};
void cx_entry_decoder_init(struct cx_entry_decoder *d, const struct cx_entry_sink *sink,
			   uint64_t max_entries);
/* Consumes all of data. After a failure the decoder must not be fed again. */
CX_MUST int cx_entry_decode(struct cx_entry_decoder *d, const void *data, size_t len,
			    struct cx_err *err);
/* At end of file: refuses a stream without its end record. */
CX_MUST int cx_entry_decode_finish(const struct cx_entry_decoder *d, struct cx_err *err);

/* The rules of a path, for who makes entries. root_too: an empty path is fine. */
CX_MUST int cx_entry_check_path(struct cx_bytes path, bool root_too, struct cx_err *err);

#endif
