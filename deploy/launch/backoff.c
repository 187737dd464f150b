/* Doubling keeps a broken daemon from burning a core and flooding the log. It must not punish one
 * that is sound and gets killed: a process that became ready did its start-up work and served, so
 * its delay stays under LAUNCH_BACKOFF_READY_MS_MAX however often it happens; only starts that
 * never become ready climb to LAUNCH_BACKOFF_MS_MAX. A run that stayed ready for
 * LAUNCH_BACKOFF_RESET_MS clears the past. */
#include "backoff.h"

#include "launch_limits.h"

static uint32_t minimum(uint32_t a, uint32_t b)
{
    return a < b ? a : b;
}

uint32_t backoff_next(struct backoff *backoff, struct backoff_run run, uint32_t random)
{
    uint32_t ceiling = run.was_ready ? LAUNCH_BACKOFF_READY_MS_MAX : LAUNCH_BACKOFF_MS_MAX;
    if (backoff->delay_ms == 0 || (run.was_ready && run.ready_ms >= LAUNCH_BACKOFF_RESET_MS))
        backoff->delay_ms = LAUNCH_BACKOFF_MS_MIN;
    else
        backoff->delay_ms = minimum(backoff->delay_ms * 2, ceiling);
    uint64_t jitter_ms = ((uint64_t)backoff->delay_ms / 4 * random) >> 32;
    return backoff->delay_ms - (uint32_t)jitter_ms;
}
