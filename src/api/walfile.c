/* SPDX-License-Identifier: Apache-2.0 */
#include "api/walfile.h"

#include <errno.h>
#include <sqlite3.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"

/* Of sqlite's file format: a frame is a header and a page; in the header of the last one of a
 * transaction the database's size is not 0. */
enum { FRAME_HEADER = 24, SIZE_AT = 4, SIZE_LEN = 4 };

enum { GATHERED_MAX = 128 * 1024 };

struct cx_walfile {
	sqlite3_vfs vfs;
	sqlite3_vfs *below;
	char name[32];
};

/* What sqlite has of the open file; that of the one below lies behind it. */
struct wal {
	sqlite3_file base;
	char *gathered;	     /* NULL: none, or no memory for it */
	int len;	     /* of what is gathered; it belongs before end */
	sqlite3_int64 end;   /* behind what was written last */
	bool is_in_frame;    /* its page comes next */
	bool is_transaction; /* which ends with this frame */
};

static sqlite3_file *below(sqlite3_file *file)
{
	return (sqlite3_file *)((struct wal *)file + 1);
}

/* ---- gathering ------------------------------------------------------------------------------- */

/* What fails is not kept: the transaction that it belongs to fails with it. */
static int flush(sqlite3_file *file)
{
	struct wal *wal = (struct wal *)file;
	sqlite3_int64 at = wal->end - wal->len;
	int len = wal->len, r;

	if (len == 0)
		return SQLITE_OK;
	wal->len = 0;
	r = below(file)->pMethods->xWrite(below(file), wal->gathered, len, at);
	if (r != SQLITE_OK)
		wal->end = -1; /* nothing comes behind that */
	return r;
}

/* After a full disk sqlite might go on with the transaction, and its frames are lost. */
static int flush_first(sqlite3_file *file)
{
	return flush(file) == SQLITE_OK ? SQLITE_OK : SQLITE_IOERR_WRITE;
}

static bool has_room(struct wal *wal, int len)
{
	if (wal->gathered == NULL)
		wal->gathered = malloc(GATHERED_MAX);
	return wal->gathered != NULL && len <= GATHERED_MAX;
}

static int gather(sqlite3_file *file, const void *p, int len)
{
	static const char zero[SIZE_LEN];
	struct wal *wal = (struct wal *)file;
	int r = wal->len + len > GATHERED_MAX ? flush(file) : SQLITE_OK;

	if (r != SQLITE_OK)
		return r;
	memcpy(wal->gathered + wal->len, p, (size_t)len);
	wal->len += len;
	wal->end += len;
	wal->is_in_frame = !wal->is_in_frame;
	if (wal->is_in_frame)
		wal->is_transaction = memcmp((const char *)p + SIZE_AT, zero, SIZE_LEN) != 0;
	return !wal->is_in_frame && wal->is_transaction ? flush(file) : SQLITE_OK;
}

/*
 * Gathered is only what comes behind the last write, in the order of frames. What sqlite changes of
 * frames that it wrote before (their checksums, after the commit even) never does.
 */
static int write_to(sqlite3_file *file, const void *p, int len, sqlite3_int64 at)
{
	struct wal *wal = (struct wal *)file;
	int r;

	if (at == wal->end && (len == FRAME_HEADER) != wal->is_in_frame && has_room(wal, len))
		return gather(file, p, len);
	r = flush(file);
	if (r == SQLITE_OK)
		r = below(file)->pMethods->xWrite(below(file), p, len, at);
	wal->end = r == SQLITE_OK ? at + len : -1;
	wal->is_in_frame = false;
	return r;
}

/* ---- the rest of a file ---------------------------------------------------------------------- */

static int close_file(sqlite3_file *file)
{
	int r = flush_first(file), closed = below(file)->pMethods->xClose(below(file));

	free(((struct wal *)file)->gathered);
	return r != SQLITE_OK ? r : closed;
}

static int read_from(sqlite3_file *file, void *p, int len, sqlite3_int64 at)
{
	int r = flush_first(file);

	return r != SQLITE_OK ? r : below(file)->pMethods->xRead(below(file), p, len, at);
}

static int cut(sqlite3_file *file, sqlite3_int64 size)
{
	int r = flush_first(file);

	return r != SQLITE_OK ? r : below(file)->pMethods->xTruncate(below(file), size);
}

static int sync_file(sqlite3_file *file, int flags)
{
	int r = flush_first(file);

	return r != SQLITE_OK ? r : below(file)->pMethods->xSync(below(file), flags);
}

static int size_of(sqlite3_file *file, sqlite3_int64 *ret)
{
	int r = flush_first(file);

	return r != SQLITE_OK ? r : below(file)->pMethods->xFileSize(below(file), ret);
}

static int lock(sqlite3_file *file, int level)
{
	return below(file)->pMethods->xLock(below(file), level);
}

static int unlock(sqlite3_file *file, int level)
{
	return below(file)->pMethods->xUnlock(below(file), level);
}

static int is_reserved(sqlite3_file *file, int *ret)
{
	return below(file)->pMethods->xCheckReservedLock(below(file), ret);
}

static int control(sqlite3_file *file, int what, void *arg)
{
	return below(file)->pMethods->xFileControl(below(file), what, arg);
}

static int sector_size(sqlite3_file *file)
{
	return below(file)->pMethods->xSectorSize(below(file));
}

static int traits(sqlite3_file *file)
{
	return below(file)->pMethods->xDeviceCharacteristics(below(file));
}

static const sqlite3_io_methods methods = {
	.iVersion = 1, /* a log is neither mapped nor shared memory */
	.xClose = close_file,
	.xRead = read_from,
	.xWrite = write_to,
	.xTruncate = cut,
	.xSync = sync_file,
	.xFileSize = size_of,
	.xLock = lock,
	.xUnlock = unlock,
	.xCheckReservedLock = is_reserved,
	.xFileControl = control,
	.xSectorSize = sector_size,
	.xDeviceCharacteristics = traits,
};

/* ---- opening --------------------------------------------------------------------------------- */

static int open_file(sqlite3_vfs *vfs, const char *name, sqlite3_file *file, int flags, int *ret)
{
	sqlite3_vfs *real = ((struct cx_walfile *)vfs)->below;
	struct wal *wal = (struct wal *)file;
	int r;

	if ((flags & SQLITE_OPEN_WAL) == 0)
		return real->xOpen(real, name, file, flags, ret);
	*wal = (struct wal){ .end = -1 };
	r = real->xOpen(real, name, below(file), flags, ret);
	if (below(file)->pMethods != NULL)
		wal->base.pMethods = &methods;
	return r;
}

int cx_walfile_open(struct cx_walfile **ret, struct cx_err *err)
{
	struct cx_walfile *walfile = calloc(1, sizeof *walfile);

	if (walfile == NULL)
		return cx_fail(err, ENOMEM, "log of the database");
	walfile->below = sqlite3_vfs_find(NULL);
	if (walfile->below == NULL) {
		free(walfile);
		return cx_refuse(err, CX_INTERNAL, "sqlite has no files");
	}
	(void)snprintf(walfile->name, sizeof walfile->name, "caisson-%p", (void *)walfile);
	walfile->vfs = *walfile->below;
	walfile->vfs.zName = walfile->name;
	walfile->vfs.szOsFile += (int)sizeof(struct wal);
	walfile->vfs.xOpen = open_file;
	if (sqlite3_vfs_register(&walfile->vfs, 0) != SQLITE_OK) {
		free(walfile);
		return cx_fail(err, ENOMEM, "log of the database");
	}
	*ret = walfile;
	return 0;
}

const char *cx_walfile_name(const struct cx_walfile *walfile)
{
	return walfile->name;
}

void cx_walfile_close(struct cx_walfile *walfile)
{
	if (walfile != NULL)
		(void)sqlite3_vfs_unregister(&walfile->vfs);
	free(walfile);
}
