/* What a request for many keys asks: GET /kv?prefix=P or ?start=A&end=B, and how. */
#pragma once

#include "problem.h"
#include "scan.h"
#include "uri.h"

/* Its bytes point into the request's target. */
struct range {
    struct scan_open open; /* but for index_min and wait_ms */
    bool stale;
    uint8_t prefix_end[LIMIT_KEY_BYTES_CAP];
};

/* Whether the query has a parameter that only ranges have. */
bool range_is_asked(const struct uri *uri);
/* Reads the query. 0; else the status in `problem`, which names the parameter. */
int range_read(const struct uri *uri, struct range *ret_range, struct problem *problem);
/* A parameter that is true, 1, false or 0; `*ret_yes` is left alone if it is not there. */
int range_read_flag(const struct uri *uri, const char *name, bool *ret_yes,
                    struct problem *problem);
