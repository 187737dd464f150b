/* The timer is not moved when the oldest request is answered: it fires once too early and is set
 * again for whoever is oldest then. So requests come and go without touching it. */
#include "patience.h"

void patience_init(struct patience *patience, struct loop *loop, uint64_t wait_ms, patience_fn *fn,
                   void *context)
{
    *patience = (struct patience){.loop = loop, .wait_ms = wait_ms, .fn = fn, .context = context};
    TAILQ_INIT(&patience->waiting);
}

static void patience_on_timer(void *context)
{
    struct patience *patience = context;
    struct request *oldest;
    while ((oldest = TAILQ_FIRST(&patience->waiting))) {
        if (oldest->deadline_ms > loop_now_ms(patience->loop)) {
            loop_timer_set(patience->loop, &patience->timer, oldest->deadline_ms, patience_on_timer,
                           patience);
            return;
        }
        patience->fn(patience->context, oldest);
    }
}

void patience_begin(struct patience *patience, struct request *request)
{
    request->deadline_ms = loop_now_ms(patience->loop) + patience->wait_ms;
    request->patience = patience;
    TAILQ_INSERT_TAIL(&patience->waiting, request, by_age);
    if (!patience->timer.place)
        loop_timer_set(patience->loop, &patience->timer, request->deadline_ms, patience_on_timer,
                       patience);
}

void patience_end(struct request *request)
{
    if (!request->patience)
        return;
    TAILQ_REMOVE(&request->patience->waiting, request, by_age);
    request->patience = NULL;
}

void patience_exhaust(struct patience *patience)
{
    struct request *oldest;
    while ((oldest = TAILQ_FIRST(&patience->waiting)))
        patience->fn(patience->context, oldest);
    loop_timer_cancel(patience->loop, &patience->timer);
}
