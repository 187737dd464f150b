/* How long to wait before a daemon that ended by itself is started again. Pure: the caller brings
 * the random number. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/* Zero-initialised: nothing has gone wrong yet. */
struct backoff {
    uint32_t delay_ms; /* the last one, before jitter; 0: none */
};

/* How a run of the process went. */
struct backoff_run {
    bool was_ready;
    uint64_t ready_ms; /* for how long */
};

/* The delay in ms before the next start. `random` is any number: jitter takes up to a quarter off.
 */
uint32_t backoff_next(struct backoff *backoff, struct backoff_run run, uint32_t random);
