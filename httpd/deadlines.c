#include "deadlines.h"

#include <assert.h>
#include <stddef.h>

/* Those that pass within this are looked for together: of thousands each costs a look at all. */
#define GRAIN_MS 250u

static void deadlines_on_timer(void *context);

static void deadlines_set_timer(struct deadlines *deadlines, uint64_t at_ms)
{
    if (deadlines->timer.place && deadlines->timer_ms <= at_ms)
        return;
    deadlines->timer_ms = at_ms;
    loop_timer_set(deadlines->loop, &deadlines->timer, at_ms + GRAIN_MS, deadlines_on_timer,
                   deadlines);
}

static void deadlines_on_timer(void *context)
{
    struct deadlines *deadlines = context;
    struct deadline *deadline;
    uint64_t now_ms = loop_now_ms(deadlines->loop), next_ms = UINT64_MAX;
    TAILQ_FOREACH(deadline, &deadlines->all, link)
    {
        if (deadline->at_ms <= now_ms) {
            deadline->at_ms = UINT64_MAX;
            deadlines->fn(deadlines->context, deadline);
        }
        if (deadline->at_ms < next_ms)
            next_ms = deadline->at_ms;
    }
    if (next_ms != UINT64_MAX)
        deadlines_set_timer(deadlines, next_ms);
}

void deadlines_init(struct deadlines *deadlines, struct loop *loop, deadline_fn *fn, void *context)
{
    *deadlines = (struct deadlines){.loop = loop, .fn = fn, .context = context};
    TAILQ_INIT(&deadlines->all);
}

void deadlines_finish(struct deadlines *deadlines)
{
    assert(TAILQ_EMPTY(&deadlines->all));
    loop_timer_cancel(deadlines->loop, &deadlines->timer);
}

void deadline_add(struct deadlines *deadlines, struct deadline *deadline)
{
    deadline->at_ms = UINT64_MAX;
    TAILQ_INSERT_TAIL(&deadlines->all, deadline, link);
}

void deadline_remove(struct deadlines *deadlines, struct deadline *deadline)
{
    TAILQ_REMOVE(&deadlines->all, deadline, link);
}

void deadline_set(struct deadlines *deadlines, struct deadline *deadline, uint64_t wait_ms)
{
    if (wait_ms == UINT64_MAX) {
        deadline->at_ms = UINT64_MAX;
        return;
    }
    deadline->at_ms = loop_now_ms(deadlines->loop) + wait_ms;
    deadlines_set_timer(deadlines, deadline->at_ms);
}
