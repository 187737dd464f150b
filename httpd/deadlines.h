/* Points in time of many connections, with one timer for all: it stands at the earliest one that
 * was there when it was set, so that moving a deadline on, which each request does, costs nothing.
 */
#pragma once

#include "loop.h"

#include <stdint.h>
#include <sys/queue.h>

struct deadline {
    uint64_t at_ms; /* UINT64_MAX: none */
    TAILQ_ENTRY(deadline) link;
};

TAILQ_HEAD(deadline_list, deadline);

typedef void deadline_fn(void *context, struct deadline *deadline);

struct deadlines {
    struct loop *loop;
    struct deadline_list all;
    struct loop_timer timer;
    uint64_t timer_ms;
    deadline_fn *fn; /* one has passed: it is none now. May not remove any. */
    void *context;
};

void deadlines_init(struct deadlines *deadlines, struct loop *loop, deadline_fn *fn, void *context);
/* None may be left. */
void deadlines_finish(struct deadlines *deadlines);

void deadline_add(struct deadlines *deadlines, struct deadline *deadline);
void deadline_remove(struct deadlines *deadlines, struct deadline *deadline);
/* `wait_ms` from now; UINT64_MAX: none. */
void deadline_set(struct deadlines *deadlines, struct deadline *deadline, uint64_t wait_ms);
