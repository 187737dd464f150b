#include "checkpointer.h"

#include "buffer.h"
#include "clock.h"
#include "logger.h"

#include <errno.h>
#include <stdlib.h>

#define STEP_LEAVES 64u
#define COMPACT_PAUSE_MS 2u
#define REST_PAGES 512u  /* of memory given back to the system at once */
#define STEP_PAGES 2048u /* given back in one turn of the loop: a tenth or two of a millisecond */

struct checkpointer {
    struct checkpointer_options options;
    struct loop *loop; /* these two are the options' */
    struct store *store;
    struct worker_job write;
    int code; /* of the last write */
    struct loop_timer timer;
    struct loop_timer compact_timer;
    uint64_t began_us;
    bool resting; /* the timer is that of checkpointer_rest */
    bool written; /* the last one begun is on disk, whether its frames are given back or not */
    bool held, finishing;
};

static int checkpointer_run(void *context)
{
    struct checkpointer *checkpointer = context;
    return store_checkpoint_write(checkpointer->store);
}

/* ---- when ---- */

static void checkpointer_begin(void *context)
{
    struct checkpointer *checkpointer = context;
    if (checkpointer->held || !store_checkpoint_begin(checkpointer->store))
        return;
    loop_timer_cancel(checkpointer->loop, &checkpointer->timer);
    checkpointer->began_us = clock_monotonic_us();
    checkpointer->written = checkpointer->resting = false;
    worker_give(checkpointer->options.worker, &checkpointer->write);
}

static void checkpointer_again(void *context)
{
    struct checkpointer *checkpointer = context;
    if (!checkpointer->held)
        worker_give(checkpointer->options.worker, &checkpointer->write);
}

static void checkpointer_wait_for(struct checkpointer *checkpointer)
{
    checkpointer->resting = false;
    loop_timer_set(checkpointer->loop, &checkpointer->timer,
                   loop_now_ms(checkpointer->loop) + CHECKPOINT_WAIT_MS, checkpointer_begin,
                   checkpointer);
}

void checkpointer_consider(struct checkpointer *checkpointer)
{
    if (checkpointer->held || store_checkpoint_is_open(checkpointer->store) ||
        !store_has_changes(checkpointer->store))
        return;
    if (store_wants_checkpoint(checkpointer->store))
        checkpointer_begin(checkpointer);
    else if (!checkpointer->timer.place || checkpointer->resting)
        checkpointer_wait_for(checkpointer);
}

/* Idle: the memory of the last frames goes back, in steps. */
static void checkpointer_rest(void *context)
{
    struct checkpointer *checkpointer = context;
    checkpointer->resting = !pager_give_memory_back(store_pager(checkpointer->store), REST_PAGES);
    if (checkpointer->resting)
        loop_timer_set(checkpointer->loop, &checkpointer->timer,
                       loop_now_ms(checkpointer->loop) + 1, checkpointer_rest, checkpointer);
}

/* Until the round is over or a commit has to come first; each commit's end looks again. */
static void checkpointer_compact(void *context)
{
    struct checkpointer *checkpointer = context;
    if (store_compact_some(checkpointer->store, STEP_LEAVES))
        loop_timer_set(checkpointer->loop, &checkpointer->compact_timer,
                       loop_now_ms(checkpointer->loop) + COMPACT_PAUSE_MS, checkpointer_compact,
                       checkpointer);
    checkpointer_consider(checkpointer);
}

static void checkpointer_end(void *context)
{
    struct checkpointer *checkpointer = context;
    if (!store_checkpoint_end_some(checkpointer->store, STEP_PAGES)) {
        loop_timer_set(checkpointer->loop, &checkpointer->timer, loop_now_ms(checkpointer->loop),
                       checkpointer_end, checkpointer); /* in the next turn: no other can begin */
        return;
    }
    checkpointer_compact(checkpointer);
    if (!checkpointer->timer.place && !store_checkpoint_is_open(checkpointer->store))
        checkpointer_rest(checkpointer);
}

static void checkpointer_on_success(struct checkpointer *checkpointer)
{
    uint64_t bytes = pager_frozen_bytes(store_pager(checkpointer->store));
    store_set_no_space(checkpointer->store, false);
    checkpointer->written = true;
    checkpointer_end(checkpointer);
    logger_debug("checkpoint", "durable_index=%llu bytes=%llu ms=%llu",
                 (unsigned long long)store_durable_index(checkpointer->store),
                 (unsigned long long)bytes,
                 (unsigned long long)((clock_monotonic_us() - checkpointer->began_us) / 1000));
}

static void checkpointer_on_written(void *context, int code)
{
    struct checkpointer *checkpointer = context;
    checkpointer->code = code;
    if (checkpointer->finishing) {
        checkpointer->written = code == 0;
    } else if (!code) {
        checkpointer_on_success(checkpointer);
    } else if (code == -ENOSPC || code == -EDQUOT) {
        store_set_no_space(checkpointer->store, true);
        logger_error("no_space", "retry_ms=%u reason=\"a checkpoint does not fit the disk\"",
                     CHECKPOINT_RETRY_MS);
        loop_timer_set(checkpointer->loop, &checkpointer->timer,
                       loop_now_ms(checkpointer->loop) + CHECKPOINT_RETRY_MS, checkpointer_again,
                       checkpointer);
    } else {
        checkpointer->options.on_failed(checkpointer->options.context, code);
    }
}

/* ---- while the store is replaced ---- */

void checkpointer_hold(struct checkpointer *checkpointer)
{
    checkpointer->held = true;
}

static void checkpointer_cancel_timers(struct checkpointer *checkpointer)
{
    loop_timer_cancel(checkpointer->loop, &checkpointer->timer);
    loop_timer_cancel(checkpointer->loop, &checkpointer->compact_timer);
}

/* A checkpoint that waits for room on the disk lost its timer, if that ran out meanwhile. */
void checkpointer_release(struct checkpointer *checkpointer, bool is_replaced)
{
    checkpointer->held = false;
    if (is_replaced) {
        checkpointer_cancel_timers(checkpointer);
        checkpointer->written = checkpointer->resting = false;
    }
    bool waits = store_checkpoint_is_open(checkpointer->store) && !checkpointer->written;
    if (waits && !checkpointer->write.is_given && !checkpointer->timer.place)
        checkpointer_again(checkpointer);
    checkpointer_consider(checkpointer);
}

/* ---- life ---- */

struct checkpointer *checkpointer_new(const struct checkpointer_options *options)
{
    struct checkpointer *checkpointer = memory_new_zeroed(1, sizeof(*checkpointer));
    checkpointer->options = *options;
    checkpointer->loop = options->loop;
    checkpointer->store = options->store;
    checkpointer->write = (struct worker_job){
        .run = checkpointer_run, .done = checkpointer_on_written, .context = checkpointer};
    return checkpointer;
}

/* A checkpoint may be open and not written, if it did not fit the disk before: it ends only once it
 * is on the disk. */
static int checkpointer_write_rest(struct checkpointer *checkpointer)
{
    int code = checkpointer->code;
    if (code && code != -ENOSPC && code != -EDQUOT)
        return code;
    code = 0;
    if (store_checkpoint_is_open(checkpointer->store) && !checkpointer->written)
        code = store_checkpoint_write(checkpointer->store);
    if (code)
        return code;
    if (store_checkpoint_is_open(checkpointer->store))
        store_checkpoint_end(checkpointer->store);
    if (!store_checkpoint_begin(checkpointer->store))
        return 0;
    code = store_checkpoint_write(checkpointer->store);
    if (!code)
        store_checkpoint_end(checkpointer->store);
    return code;
}

int checkpointer_finish(struct checkpointer *checkpointer)
{
    checkpointer->finishing = true;
    worker_settle(checkpointer->options.worker);
    int code = checkpointer_write_rest(checkpointer);
    checkpointer_cancel_timers(checkpointer);
    free(checkpointer);
    return code;
}
