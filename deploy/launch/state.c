/* Read a row as: in this state, this event leads there and does that. Every cell is written down,
 * also those where nothing happens, so that nothing happens by accident.
 *
 * - A process exists in STARTING, READY, STOPPING and RESTARTING, and in no other state: each way
 *   into the first goes through SPAWN, each way out of these four through EXITED or EXITED_FATAL.
 * - An exit that was asked for is never a crash, whatever its code. */
#include "state.h"

#include <assert.h>

#define KEEP(state)                                                                                \
    {                                                                                              \
        state, ACTION_NONE                                                                         \
    }

static const struct transition table[STATE_COUNT][EVENT_COUNT] =
    {
        [STATE_STOPPED] =
            {
                [EVENT_START] = {STATE_STARTING, ACTION_SPAWN},
                [EVENT_STOP] = KEEP(STATE_STOPPED),
                [EVENT_RESTART] = {STATE_STARTING, ACTION_SPAWN},
                [EVENT_NOTIFIED] = KEEP(STATE_STOPPED),
                [EVENT_EXITED] = KEEP(STATE_STOPPED),
                [EVENT_EXITED_FATAL] = KEEP(STATE_STOPPED),
                [EVENT_TIME_UP] = KEEP(STATE_STOPPED),
            },
        [STATE_STARTING] =
            {
                [EVENT_START] = KEEP(STATE_STARTING),
                [EVENT_STOP] = {STATE_STOPPING, ACTION_TERMINATE},
                [EVENT_RESTART] = {STATE_RESTARTING, ACTION_TERMINATE},
                [EVENT_NOTIFIED] = {STATE_READY, ACTION_WELCOME},
                [EVENT_EXITED] = {STATE_BACKOFF, ACTION_DELAY},
                [EVENT_EXITED_FATAL] = {STATE_FAILED, ACTION_SETTLE},
                [EVENT_TIME_UP] = {STATE_STARTING, ACTION_WARN},
            },
        [STATE_READY] =
            {
                [EVENT_START] = KEEP(STATE_READY),
                [EVENT_STOP] = {STATE_STOPPING, ACTION_TERMINATE},
                [EVENT_RESTART] = {STATE_RESTARTING, ACTION_TERMINATE},
                [EVENT_NOTIFIED] = KEEP(STATE_READY),
                [EVENT_EXITED] = {STATE_BACKOFF, ACTION_DELAY},
                [EVENT_EXITED_FATAL] = {STATE_FAILED, ACTION_SETTLE},
                [EVENT_TIME_UP] = KEEP(STATE_READY),
            },
        [STATE_STOPPING] =
            {
                [EVENT_START] = KEEP(STATE_RESTARTING),
                [EVENT_STOP] = KEEP(STATE_STOPPING),
                [EVENT_RESTART] = KEEP(STATE_RESTARTING),
                [EVENT_NOTIFIED] = KEEP(STATE_STOPPING),
                [EVENT_EXITED] = {STATE_STOPPED, ACTION_SETTLE},
                [EVENT_EXITED_FATAL] = {STATE_STOPPED, ACTION_SETTLE},
                [EVENT_TIME_UP] = {STATE_STOPPING, ACTION_KILL},
            },
        [STATE_RESTARTING] =
            {
                [EVENT_START] = KEEP(STATE_RESTARTING),
                [EVENT_STOP] = KEEP(STATE_STOPPING),
                [EVENT_RESTART] = KEEP(STATE_RESTARTING),
                [EVENT_NOTIFIED] = KEEP(STATE_RESTARTING),
                [EVENT_EXITED] = {STATE_STARTING, ACTION_SPAWN},
                [EVENT_EXITED_FATAL] = {STATE_STARTING, ACTION_SPAWN},
                [EVENT_TIME_UP] = {STATE_RESTARTING, ACTION_KILL},
            },
        [STATE_BACKOFF] =
            {
                [EVENT_START] = {STATE_STARTING, ACTION_SPAWN},
                [EVENT_STOP] = {STATE_STOPPED, ACTION_SETTLE},
                [EVENT_RESTART] = {STATE_STARTING, ACTION_SPAWN},
                [EVENT_NOTIFIED] = KEEP(STATE_BACKOFF),
                [EVENT_EXITED] = KEEP(STATE_BACKOFF),
                [EVENT_EXITED_FATAL] = KEEP(STATE_BACKOFF),
                [EVENT_TIME_UP] = {STATE_STARTING, ACTION_SPAWN},
            },
        [STATE_FAILED] =
            {
                [EVENT_START] = {STATE_STARTING, ACTION_SPAWN},
                [EVENT_STOP] = {STATE_STOPPED, ACTION_SETTLE},
                [EVENT_RESTART] = {STATE_STARTING, ACTION_SPAWN},
                [EVENT_NOTIFIED] = KEEP(STATE_FAILED),
                [EVENT_EXITED] = KEEP(STATE_FAILED),
                [EVENT_EXITED_FATAL] = KEEP(STATE_FAILED),
                [EVENT_TIME_UP] = KEEP(STATE_FAILED),
            },
};

struct transition state_transition(enum state state, enum event event)
{
    assert(state < STATE_COUNT && event < EVENT_COUNT);
    return table[state][event];
}

const char *state_name(enum state state)
{
    static const char *const names[STATE_COUNT] = {
        [STATE_STOPPED] = "stopped",       [STATE_STARTING] = "starting",
        [STATE_READY] = "ready",           [STATE_STOPPING] = "stopping",
        [STATE_RESTARTING] = "restarting", [STATE_BACKOFF] = "backoff",
        [STATE_FAILED] = "failed",
    };
    assert(state < STATE_COUNT);
    return names[state];
}
