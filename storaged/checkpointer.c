#include "checkpointer.h"

#include "buffer.h"
#include "clock.h"
#include "logger.h"

#include <errno.h>
#include <malloc.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define STEP_LEAVES 64u
#define COMPACT_PAUSE_MS 2u
#define STEP_FRAMES 512u /* given back in one step of the loop: some tens of microseconds */

enum work { WORK_NONE, WORK_WRITE, WORK_WRITTEN, WORK_STOP };

struct checkpointer {
    struct loop *loop;
    struct store *store;
    void (*on_failed)(void *context, int code);
    void *context;
    pthread_t thread;
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    enum work work; /* the hand-over: guarded by the mutex */
    int code;       /* of the write, when WRITTEN */
    int done_fd;
    struct loop_source *done_source;
    struct loop_timer timer;
    struct loop_timer compact_timer;
    uint64_t began_us;
    bool resting; /* the timer is that of checkpointer_rest */
    bool written; /* the last one begun is on disk, whether its frames are given back or not */
};

static void *checkpointer_thread(void *context)
{
    struct checkpointer *checkpointer = context;
    (void)pthread_mutex_lock(&checkpointer->mutex);
    while (checkpointer->work != WORK_STOP) {
        if (checkpointer->work != WORK_WRITE) {
            (void)pthread_cond_wait(&checkpointer->changed, &checkpointer->mutex);
            continue;
        }
        (void)pthread_mutex_unlock(&checkpointer->mutex);
        int code = store_checkpoint_write(checkpointer->store);
        (void)pthread_mutex_lock(&checkpointer->mutex);
        checkpointer->code = code;
        checkpointer->work = WORK_WRITTEN;
        uint64_t one = 1;
        (void)!write(checkpointer->done_fd, &one, sizeof(one));
        (void)pthread_cond_broadcast(&checkpointer->changed);
    }
    (void)pthread_mutex_unlock(&checkpointer->mutex);
    return NULL;
}

static void checkpointer_hand_over(struct checkpointer *checkpointer, enum work work)
{
    (void)pthread_mutex_lock(&checkpointer->mutex);
    checkpointer->work = work;
    (void)pthread_cond_broadcast(&checkpointer->changed);
    (void)pthread_mutex_unlock(&checkpointer->mutex);
}

/* ---- when ---- */

static void checkpointer_begin(void *context)
{
    struct checkpointer *checkpointer = context;
    if (!store_checkpoint_begin(checkpointer->store))
        return;
    loop_timer_cancel(checkpointer->loop, &checkpointer->timer);
    checkpointer->began_us = clock_monotonic_us();
    checkpointer->written = checkpointer->resting = false;
    checkpointer_hand_over(checkpointer, WORK_WRITE);
}

static void checkpointer_again(void *context)
{
    checkpointer_hand_over(context, WORK_WRITE);
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
    if (store_checkpoint_is_open(checkpointer->store) || !store_has_changes(checkpointer->store))
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
    checkpointer->resting = !pager_give_memory_back(store_pager(checkpointer->store), STEP_FRAMES);
    if (!checkpointer->resting)
        (void)malloc_trim(0);
    else
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
    if (!store_checkpoint_end_some(checkpointer->store, STEP_FRAMES)) {
        loop_timer_set(checkpointer->loop, &checkpointer->timer,
                       loop_now_ms(checkpointer->loop) + 1, checkpointer_end, checkpointer);
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

static void checkpointer_on_written(struct checkpointer *checkpointer, int code)
{
    if (!code) {
        checkpointer_on_success(checkpointer);
    } else if (code == -ENOSPC || code == -EDQUOT) {
        store_set_no_space(checkpointer->store, true);
        logger_error("no_space", "retry_ms=%u reason=\"a checkpoint does not fit the disk\"",
                     CHECKPOINT_RETRY_MS);
        loop_timer_set(checkpointer->loop, &checkpointer->timer,
                       loop_now_ms(checkpointer->loop) + CHECKPOINT_RETRY_MS, checkpointer_again,
                       checkpointer);
    } else {
        checkpointer->on_failed(checkpointer->context, code);
    }
}

static void checkpointer_on_done(void *context, uint32_t epoll_events)
{
    struct checkpointer *checkpointer = context;
    uint64_t count;
    (void)epoll_events;
    (void)!read(checkpointer->done_fd, &count, sizeof(count));
    (void)pthread_mutex_lock(&checkpointer->mutex);
    bool written = checkpointer->work == WORK_WRITTEN;
    int code = checkpointer->code;
    if (written)
        checkpointer->work = WORK_NONE;
    (void)pthread_mutex_unlock(&checkpointer->mutex);
    if (written)
        checkpointer_on_written(checkpointer, code);
}

/* ---- life ---- */

int checkpointer_new(struct checkpointer **ret_checkpointer, struct loop *loop, struct store *store,
                     void (*on_failed)(void *context, int code), void *context)
{
    struct checkpointer *checkpointer = memory_new_zeroed(1, sizeof(*checkpointer));
    checkpointer->loop = loop;
    checkpointer->store = store;
    checkpointer->on_failed = on_failed;
    checkpointer->context = context;
    (void)pthread_mutex_init(&checkpointer->mutex, NULL);
    (void)pthread_cond_init(&checkpointer->changed, NULL);
    checkpointer->done_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    int code = checkpointer->done_fd < 0 ? -errno : 0;
    if (!code)
        code = loop_watch(loop, checkpointer->done_fd, EPOLLIN, checkpointer_on_done, checkpointer,
                          &checkpointer->done_source);
    if (!code)
        code = -pthread_create(&checkpointer->thread, NULL, checkpointer_thread, checkpointer);
    if (code) {
        free(checkpointer);
        return code;
    }
    *ret_checkpointer = checkpointer;
    return 0;
}

/* Waits for what the thread has under way. True if it wrote the open checkpoint and nobody has
 * ended that yet; *ret_code is its outcome. */
static bool checkpointer_wait(struct checkpointer *checkpointer, int *ret_code)
{
    (void)pthread_mutex_lock(&checkpointer->mutex);
    while (checkpointer->work == WORK_WRITE)
        (void)pthread_cond_wait(&checkpointer->changed, &checkpointer->mutex);
    bool written = checkpointer->work == WORK_WRITTEN;
    *ret_code = written ? checkpointer->code : 0;
    (void)pthread_mutex_unlock(&checkpointer->mutex);
    return written && *ret_code == 0;
}

/* A checkpoint may be open and not written, if it did not fit the disk before: it ends only once it
 * is on the disk. */
static int checkpointer_write_rest(struct checkpointer *checkpointer)
{
    int code;
    bool written = checkpointer_wait(checkpointer, &code);
    if (code && code != -ENOSPC && code != -EDQUOT)
        return code;
    code = 0;
    if (store_checkpoint_is_open(checkpointer->store) && !written && !checkpointer->written)
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
    int code = checkpointer_write_rest(checkpointer);
    loop_timer_cancel(checkpointer->loop, &checkpointer->timer);
    loop_timer_cancel(checkpointer->loop, &checkpointer->compact_timer);
    loop_unwatch(checkpointer->loop, checkpointer->done_source);
    checkpointer_hand_over(checkpointer, WORK_STOP);
    (void)pthread_join(checkpointer->thread, NULL);
    (void)close(checkpointer->done_fd);
    (void)pthread_cond_destroy(&checkpointer->changed);
    (void)pthread_mutex_destroy(&checkpointer->mutex);
    free(checkpointer);
    return code;
}
