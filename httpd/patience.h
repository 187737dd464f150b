/* A clock for waiting requests that all may wait equally long, so that they end in the order they
 * came in: one timer for all of them. */
#pragma once

#include "loop.h"
#include "request.h"

typedef void patience_fn(void *context, struct request *request);

struct patience {
    struct loop *loop;
    uint64_t wait_ms;
    struct request_list waiting; /* by age */
    struct loop_timer timer;
    patience_fn *fn; /* must answer the request */
    void *context;
};

void patience_init(struct patience *patience, struct loop *loop, uint64_t wait_ms, patience_fn *fn,
                   void *context);
void patience_begin(struct patience *patience, struct request *request);
void patience_end(struct request *request);
/* Calls `fn` for all that wait, now. */
void patience_exhaust(struct patience *patience);
