/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CX_IMAGE_READ_H
#define CX_IMAGE_READ_H

#include "image/entries.h"
#include "image/report.h"

/*
 * Reads a tar archive and writes it as an entry stream. The door to libarchive, of which only the
 * tar reader is enabled, and only on bytes that image/stream.c has unwrapped.
 *
 * What becomes of what a layer's archive holds; tests/image/test_rows.py tries it row by row.
 * "Refused" ends the import and names the entry; "nothing" means as if it was not there.
 *
 *  names
 *    leading "/" and "./", "//", "/."    taken off
 *    a component ".."                    refused
 *    component > 255, path > 4,095 bytes refused
 *    other bytes, UTF-8 or not, newlines kept
 *
 *  types
 *    file, directory, link, pipe         kept
 *    device, socket                      counted as skipped; nothing shows at its name, nor what
 *                                        it replaced, in this layer or one below
 *    type that nobody knows              a file, as POSIX says
 *    sparse file: GNU, pax 0.0, 0.1, 1.0 a file with holes, which take no space
 *    hard link                           another name of what this layer had before: a file, link
 *                                        or pipe; its target by the rules of names
 *    - to a device                       as the device
 *    - to itself                         nothing, when it is there; else refused
 *    - to a later entry, a directory, a
 *      whiteout, through a symbolic link,
 *      out of the tree                   refused
 *    - with data                         refused
 *    number of links                     those in its layer, also ones that a later layer hides
 *    target of a symbolic link           data: absolute, upwards, a loop, all kept
 *
 *  attributes
 *    permissions, set-user-ID and its
 *      like                              kept; the latter have no effect in a sandbox
 *    owner, group up to 65535            kept, by number only
 *    owner, group of 65536 or more       refused: no sandbox could show it
 *    modification time                   kept with nanoseconds, before 1970 and after 2106;
 *                                        a fraction between -1 and 0 counts from 0
 *    other times                         nothing
 *    the root directory's own            kept, but a sandbox's / is its own: 0:0, 0755
 *    user.*                              kept: 64 of 32,768 bytes together, the root's of 2,880
 *                                        bytes; more is refused
 *    user.overlay.*, all others          nothing: security.*, trusted.*, system.*, ...
 *    ACLs, file flags, unknown headers   nothing
 *
 *  the same path again (image/tree.h)
 *    over a file, link, pipe             the last one counts
 *    directory over directory            its attributes count, the content stays
 *    other over directory                replaces it and all below it
 *    missing parents                     are made: 0:0, 0755, time 0; so they show also where
 *                                        a layer below has the directory, as in Docker
 *    below a symbolic link, file, pipe   refused
 *
 *  whiteouts (OCI image-spec, layer.md), in any order with what they are about
 *    .wh.NAME of any type                hides NAME of the layers below, nothing of this one
 *    .wh..wh..opq                        hides what the directory has in the layers below
 *    other .wh..wh.*                     nothing (aufs' books); in the root all below it, too
 *    both below a file or link           nothing
 *    .wh. .wh.. .wh...                   refused
 *    .wh.NAME with something below it    an ordinary name
 *
 *  the archive
 *    no bytes, or no entries             an empty root: 0:0, 0755, time 0
 *    last file without its padding       kept; nothing can follow it
 *    bytes behind its end                count for the digests, hold nothing
 *    what libarchive warns of            refused, as it could be read in two ways; but for names
 *                                        that are not ASCII
 */
struct cx_read_limits {
	uint64_t max_bytes; /* uncompressed */
	uint64_t max_entries;
	bool blob_is_known; /* its digest need not be told */
};

/* Fills *report in any case, its error too; returns 0 when it is ok. */
CX_MUST int cx_read_layer(int in, int out, const struct cx_read_limits *limits,
			  struct cx_report *report);

/*
 * The same for an outer archive (OCI image layout, docker save): only the files that such an
 * archive consists of, by name. Whatever else comes makes it a tree of files: the stream then ends
 * early and the report says CX_REPORT_ROOTFS. It has no digests: nobody needs them.
 */
CX_MUST int cx_read_scan(int in, int out, const struct cx_read_limits *limits,
			 struct cx_report *report);

#endif
