/* What became of a request: what to do next, and which exit code it makes. Pure. */
#pragma once

#include "error.h"

#include <stdbool.h>

/* Besides those of common/error.h. */
enum outcome_exit {
    EXIT_NOT_FOUND = 3,
    EXIT_PRECONDITION = 4,
    EXIT_UNAVAILABLE = 5, /* no node, or none that can serve; also an unknown outcome */
};

/* How one exchange with one server ended. */
enum outcome {
    OUTCOME_ANSWERED,    /* there is a status */
    OUTCOME_NOT_SENT,    /* no connection: nothing has reached the server */
    OUTCOME_BROKEN,      /* something was sent, and no whole answer came */
    OUTCOME_INTERRUPTED, /* by the user, or whom it was for; something may have been sent */
    OUTCOME_TOO_LARGE,   /* the answer is over REPL_ANSWER_BYTES_MAX */
};

enum outcome_verdict {
    VERDICT_DONE,    /* this is the result */
    VERDICT_NEXT,    /* ask the next server; if there is none, this is the result */
    VERDICT_UNKNOWN, /* a write that may have happened: never send it again */
};

/* A write goes to another server only if this one certainly did not and will not apply it: it was
 * not sent, or refused with a status that promises so. A read may be asked anywhere again. */
enum outcome_verdict outcome_judge(enum outcome outcome, long status, bool is_write);

/* Of an HTTP status. */
int outcome_exit_code(long status);

/* Whether a write answered so may have been applied all the same: the statuses that promise it was
 * not are 3xx, 4xx and 503. */
bool outcome_is_unknown(long status, bool is_write);
