/* What a client is told when it does not get what it asked for (RFC 9457): a status, a line for
 * people, and members for programs. Functions that may find one return 0, or the HTTP status they
 * put into it. */
#pragma once

#include "httpd_limits.h"
#include "propose.h"

#include <stdbool.h>
#include <stdint.h>

struct problem {
    unsigned status;
    char detail[HTTPD_DETAIL_BYTES_MAX]; /* printable ASCII */
    unsigned retry_after_s;              /* 0: no such header */
    const char *allow;                   /* 405: the header's value */
    const char *location;                /* 307: the header's value */
    const struct leader_hint *leader;    /* members leader, leader_id, leader_url */
    bool outcome_unknown;                /* "outcome":"unknown" */
    bool has_revision;                   /* 412: the key's revision now, 0 if it is absent */
    uint64_t revision;
    bool close; /* in doubt where the request ends: the connection must end */
};

/* Sets status and detail, everything else to nothing; returns the status. Bytes of the detail that
 * are not printable ASCII become '?': the text may quote a client. */
int problem_set(struct problem *problem, unsigned status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* No one to ask now: nothing was or will be done, come again. */
int problem_set_unavailable(struct problem *problem, const char *detail);

/* The body: one JSON object and a newline. The caller frees it. */
char *problem_render(const struct problem *problem);
