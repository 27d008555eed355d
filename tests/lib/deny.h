/* SPDX-License-Identifier: Apache-2.0 */
/* Filters of one call, for processes that are to be refused it. */
#ifndef LIB_DENY_H
#define LIB_DENY_H

#include <stdbool.h>
#include <stdint.h>

/* From here on the call has that end (SECCOMP_RET_*). True where the filter is in force. */
bool deny_call(int nr, uint32_t action);

/* The same where its first argument is not 0. */
bool deny_call_of(int nr, uint32_t action);

#endif
