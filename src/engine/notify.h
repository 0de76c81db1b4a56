/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CX_ENGINE_NOTIFY_H
#define CX_ENGINE_NOTIFY_H

/*
 * Tells the service manager, if one listens (sd_notify(3)): "READY=1", "STOPPING=1". Failing does
 * not matter to us, so nothing is returned.
 */
void cx_notify(const char *text);

#endif
