/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CX_BASE_LOG_H
#define CX_BASE_LOG_H

#include "base/err.h"

/*
 * Structured records on stderr, one line each:
 *
 *	2026-11-21T10:00:00.123456Z info caissond sandbox started id=ab12cd uid_base=524288
 *
 * The text says what happened in constant words; what varies stands in key=value pairs behind it.
 * Values that need it are quoted and control characters replaced, so no client can forge a line.
 * Under systemd (JOURNAL_STREAM is set) the time is left out and the level goes in as "<N>".
 */
enum cx_level { CX_LOG_ERROR, CX_LOG_WARNING, CX_LOG_INFO, CX_LOG_DEBUG, CX_LOG_MAX };

/* Called once by main(). program must outlive the process. */
void cx_log_open(const char *program, enum cx_level most);

/* "error", "warning", "info", "debug" to a level. Returns -EINVAL for anything else. */
CX_MUST int cx_log_parse_level(const char *text, enum cx_level *ret, struct cx_err *err);

/* Pairs of key and value, both strings, ended by NULL: cx_log(CX_LOG_INFO, "text", "id", id, NULL).
 */
__attribute__((sentinel)) void cx_log(enum cx_level level, const char *text, ...);

/* cx_log() with error=<rendered error> added. */
__attribute__((sentinel)) void cx_log_err(enum cx_level level, const struct cx_err *err,
					  const char *text, ...);

#endif
