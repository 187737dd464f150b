/* The event loop of a process: file descriptors, timers, signals and turn ends, on one thread.
 *
 * A turn: wait (epoll), run the callbacks of all that is ready and all timers that are due, then
 * run the turn-end callbacks in the order they were added, then the tasks. Collect work in the
 * first, make messages of it in the second, write them in the last: that is natural batching, at
 * most one message per edge and kind, one write per edge, and no batching delay.
 *
 * Callbacks may add and remove anything, also themselves; a removed source is not called again. */
#pragma once

#include "error.h"

#include <stdbool.h>
#include <stdint.h>

struct loop;

struct loop_source; /* a watched descriptor; owned by the loop */

typedef void loop_ready_fn(void *context, uint32_t epoll_events);
typedef void loop_fn(void *context);
typedef void loop_signal_fn(void *context, int signal_number);

/* Intrusive: lives in its owner, zero-initialised, must be cancelled before its memory goes away.
 */
struct loop_timer {
    uint64_t due_ms; /* clock_monotonic_ms() */
    uint32_t place;  /* 1 + its place in the heap; 0: not set */
    loop_fn *fn;
    void *context;
};

/* Work put off to the end of the turn. Intrusive like a timer. */
struct loop_task {
    struct loop_task *next;
    bool is_set;
    loop_fn *fn;
    void *context;
};

/* Negative errno if the kernel refuses an epoll descriptor. */
int loop_new(struct loop **ret_loop);
void loop_free(struct loop *loop);

/* Runs turns until loop_stop; returns the code given there. */
int loop_run(struct loop *loop);
void loop_stop(struct loop *loop, int code);
/* One turn that waits at most `wait_ms` (-1: as long as it takes): for tests. */
void loop_turn(struct loop *loop, int wait_ms);

/* Watches `fd` (level-triggered, EPOLLIN and so on). The descriptor stays the caller's. */
int loop_watch(struct loop *loop, int fd, uint32_t epoll_events, loop_ready_fn *fn, void *context,
               struct loop_source **ret_source);
int loop_watch_change(struct loop *loop, struct loop_source *source, uint32_t epoll_events);
void loop_unwatch(struct loop *loop, struct loop_source *source);

/* Sets (or moves) a timer; it fires once, in the first turn at or after `due_ms`. */
void loop_timer_set(struct loop *loop, struct loop_timer *timer, uint64_t due_ms, loop_fn *fn,
                    void *context);
void loop_timer_cancel(struct loop *loop, struct loop_timer *timer);

/* Blocks the signal for the process and delivers it here instead (signalfd). Call before threads
 * start. */
int loop_signal(struct loop *loop, int signal_number, loop_signal_fn *fn, void *context);

/* Called at the end of each turn. At most 16; more is a programming error. */
void loop_at_turn_end(struct loop *loop, loop_fn *fn, void *context);

/* Runs `fn` once in this turn, after the turn-end callbacks; again before that changes nothing. */
void loop_before_wait(struct loop *loop, struct loop_task *task, loop_fn *fn, void *context);
void loop_task_cancel(struct loop *loop, struct loop_task *task);

/* clock_monotonic_ms() as of the beginning of this turn: no system call. */
uint64_t loop_now_ms(const struct loop *loop);

/* Makes the next turn wait for nothing: for a callback that left work undone to be fair to others.
 */
void loop_again(struct loop *loop);
