/* A request's head as libmicrohttpd leaves it: NULs over the separators, lines ended by a line feed
 * with or without a carriage return, a folded line put behind the name instead of the value, values
 * cut at a NUL. */
#pragma once

#include "guard.h"

#define HEAD_BYTES_MAX 65536u

/* Cuts `raw`, as it comes from the socket, into static memory that the next call uses again. False:
 * too long, or no empty line, space or colon where libmicrohttpd itself wants one. */
bool head_cut(struct guard_head *ret_head, const char *raw, size_t length);
