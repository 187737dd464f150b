/* Sources are kept in a list; a source removed during a turn is only marked and freed at its end,
 * because the same epoll_wait may have reported it. Timers are a binary heap of pointers, ordered
 * by due time. */
#include "loop.h"

#include "buffer.h"
#include "clock.h"

#include <assert.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <unistd.h>

#define LOOP_EVENTS_MAX 64
#define LOOP_TURN_ENDS_MAX 16
#define LOOP_SIGNALS_MAX 8

struct loop_source {
    struct loop_source *next;
    loop_ready_fn *fn;
    void *context;
    int fd;
    bool removed;
};

struct loop_callback {
    loop_fn *fn;
    void *context;
};

struct loop_signal {
    int number;
    loop_signal_fn *fn;
    void *context;
};

struct loop {
    int epoll_fd;
    int signal_fd;
    sigset_t signal_set;
    struct loop_source *sources;
    struct loop_signal signals[LOOP_SIGNALS_MAX];
    unsigned signals_count;
    struct loop_callback turn_ends[LOOP_TURN_ENDS_MAX];
    unsigned turn_ends_count;
    struct loop_task *tasks; /* last set first: their order means nothing */
    struct loop_timer **timers;
    uint32_t timers_count, timers_capacity;
    uint64_t now_ms;
    bool stopped, again, removed_some;
    int stop_code;
};

int loop_new(struct loop **ret_loop)
{
    int fd = epoll_create1(EPOLL_CLOEXEC);
    if (fd < 0)
        return -errno;
    struct loop *loop = memory_new_zeroed(1, sizeof(*loop));
    loop->epoll_fd = fd;
    loop->signal_fd = -1;
    loop->now_ms = clock_monotonic_ms();
    sigemptyset(&loop->signal_set);
    *ret_loop = loop;
    return 0;
}

static void loop_free_removed(struct loop *loop, bool all)
{
    struct loop_source **link = &loop->sources;
    while (*link) {
        struct loop_source *source = *link;
        if (all || source->removed) {
            *link = source->next;
            free(source);
        } else {
            link = &source->next;
        }
    }
    loop->removed_some = false;
}

void loop_free(struct loop *loop)
{
    if (!loop)
        return;
    loop_free_removed(loop, true);
    if (loop->signal_fd >= 0)
        (void)close(loop->signal_fd);
    (void)close(loop->epoll_fd);
    free(loop->timers);
    free(loop);
}

/* ---- descriptors ---- */

int loop_watch(struct loop *loop, int fd, uint32_t epoll_events, loop_ready_fn *fn, void *context,
               struct loop_source **ret_source)
{
    struct loop_source *source = memory_new_zeroed(1, sizeof(*source));
    source->fn = fn;
    source->context = context;
    source->fd = fd;
    struct epoll_event event = {.events = epoll_events, .data.ptr = source};
    if (epoll_ctl(loop->epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0) {
        int code = -errno;
        free(source);
        return code;
    }
    source->next = loop->sources;
    loop->sources = source;
    *ret_source = source;
    return 0;
}

int loop_watch_change(struct loop *loop, struct loop_source *source, uint32_t epoll_events)
{
    struct epoll_event event = {.events = epoll_events, .data.ptr = source};
    return epoll_ctl(loop->epoll_fd, EPOLL_CTL_MOD, source->fd, &event) < 0 ? -errno : 0;
}

void loop_unwatch(struct loop *loop, struct loop_source *source)
{
    if (!source || source->removed)
        return;
    (void)epoll_ctl(loop->epoll_fd, EPOLL_CTL_DEL, source->fd, NULL);
    source->removed = true;
    loop->removed_some = true;
}

/* ---- timers ---- */

static void heap_put(struct loop *loop, uint32_t place, struct loop_timer *timer)
{
    loop->timers[place] = timer;
    timer->place = place + 1;
}

static void heap_up(struct loop *loop, uint32_t place, struct loop_timer *timer)
{
    while (place > 0) {
        uint32_t parent = (place - 1) / 2;
        if (loop->timers[parent]->due_ms <= timer->due_ms)
            break;
        heap_put(loop, place, loop->timers[parent]);
        place = parent;
    }
    heap_put(loop, place, timer);
}

static void heap_down(struct loop *loop, uint32_t place, struct loop_timer *timer)
{
    for (;;) {
        uint32_t child = 2 * place + 1;
        if (child >= loop->timers_count)
            break;
        if (child + 1 < loop->timers_count &&
            loop->timers[child + 1]->due_ms < loop->timers[child]->due_ms)
            child++;
        if (loop->timers[child]->due_ms >= timer->due_ms)
            break;
        heap_put(loop, place, loop->timers[child]);
        place = child;
    }
    heap_put(loop, place, timer);
}

void loop_timer_set(struct loop *loop, struct loop_timer *timer, uint64_t due_ms, loop_fn *fn,
                    void *context)
{
    loop_timer_cancel(loop, timer);
    timer->due_ms = due_ms;
    timer->fn = fn;
    timer->context = context;
    if (loop->timers_count == loop->timers_capacity) {
        uint32_t capacity = loop->timers_capacity ? loop->timers_capacity * 2 : 64;
        void *grown = realloc(loop->timers, capacity * sizeof(*loop->timers));
        if (!grown)
            abort();
        loop->timers = grown;
        loop->timers_capacity = capacity;
    }
    heap_up(loop, loop->timers_count++, timer);
}

void loop_timer_cancel(struct loop *loop, struct loop_timer *timer)
{
    if (!timer->place)
        return;
    uint32_t place = timer->place - 1;
    assert(place < loop->timers_count && loop->timers[place] == timer);
    timer->place = 0;
    struct loop_timer *last = loop->timers[--loop->timers_count];
    if (last == timer)
        return;
    if (place > 0 && loop->timers[(place - 1) / 2]->due_ms > last->due_ms)
        heap_up(loop, place, last);
    else
        heap_down(loop, place, last);
}

/* Timers set by these callbacks for now or earlier fire in the next turn: a timer that sets itself
 * cannot hold the loop. */
static void loop_run_timers(struct loop *loop)
{
    uint32_t budget = loop->timers_count;
    while (budget-- > 0 && loop->timers_count > 0) {
        struct loop_timer *timer = loop->timers[0];
        if (timer->due_ms > loop->now_ms)
            break;
        loop_timer_cancel(loop, timer);
        timer->fn(timer->context);
    }
}

static int loop_wait_ms(const struct loop *loop, int wait_ms)
{
    if (loop->again)
        return 0;
    if (loop->timers_count == 0)
        return wait_ms;
    uint64_t now_ms = clock_monotonic_ms();
    uint64_t due_ms = loop->timers[0]->due_ms;
    uint64_t left_ms = due_ms > now_ms ? due_ms - now_ms : 0;
    if (left_ms > 3600000u)
        left_ms = 3600000u;
    return wait_ms < 0 || (uint64_t)wait_ms > left_ms ? (int)left_ms : wait_ms;
}

/* ---- signals ---- */

static void loop_on_signal(void *context, uint32_t epoll_events)
{
    struct loop *loop = context;
    struct signalfd_siginfo info;
    (void)epoll_events;
    while (read(loop->signal_fd, &info, sizeof(info)) == (ssize_t)sizeof(info))
        for (unsigned i = 0; i < loop->signals_count; i++)
            if (loop->signals[i].number == (int)info.ssi_signo)
                loop->signals[i].fn(loop->signals[i].context, loop->signals[i].number);
}

int loop_signal(struct loop *loop, int signal_number, loop_signal_fn *fn, void *context)
{
    assert(loop->signals_count < LOOP_SIGNALS_MAX);
    sigaddset(&loop->signal_set, signal_number);
    if (sigprocmask(SIG_BLOCK, &loop->signal_set, NULL) < 0)
        return -errno;
    int fd = signalfd(loop->signal_fd, &loop->signal_set, SFD_NONBLOCK | SFD_CLOEXEC);
    if (fd < 0)
        return -errno;
    loop->signals[loop->signals_count++] =
        (struct loop_signal){.number = signal_number, .fn = fn, .context = context};
    if (loop->signal_fd >= 0)
        return 0;
    loop->signal_fd = fd;
    struct loop_source *source;
    return loop_watch(loop, fd, EPOLLIN, loop_on_signal, loop, &source);
}

/* ---- turns ---- */

void loop_at_turn_end(struct loop *loop, loop_fn *fn, void *context)
{
    assert(loop->turn_ends_count < LOOP_TURN_ENDS_MAX);
    loop->turn_ends[loop->turn_ends_count++] = (struct loop_callback){.fn = fn, .context = context};
}

void loop_before_wait(struct loop *loop, struct loop_task *task, loop_fn *fn, void *context)
{
    if (task->is_set)
        return;
    *task = (struct loop_task){.next = loop->tasks, .is_set = true, .fn = fn, .context = context};
    loop->tasks = task;
}

void loop_task_cancel(struct loop *loop, struct loop_task *task)
{
    if (!task->is_set)
        return;
    struct loop_task **link = &loop->tasks;
    while (*link != task)
        link = &(*link)->next;
    *link = task->next;
    task->is_set = false;
}

/* A task set by a task runs in this turn too. */
static void loop_run_tasks(struct loop *loop)
{
    while (loop->tasks) {
        struct loop_task *task = loop->tasks;
        loop_task_cancel(loop, task);
        task->fn(task->context);
    }
}

uint64_t loop_now_ms(const struct loop *loop)
{
    return loop->now_ms;
}

void loop_again(struct loop *loop)
{
    loop->again = true;
}

void loop_turn(struct loop *loop, int wait_ms)
{
    struct epoll_event events[LOOP_EVENTS_MAX];
    int count = epoll_wait(loop->epoll_fd, events, LOOP_EVENTS_MAX, loop_wait_ms(loop, wait_ms));
    assert(count >= 0 || errno == EINTR);
    loop->again = false;
    loop->now_ms = clock_monotonic_ms();
    for (int i = 0; i < count; i++) {
        struct loop_source *source = events[i].data.ptr;
        if (!source->removed)
            source->fn(source->context, events[i].events);
    }
    loop_run_timers(loop);
    for (unsigned i = 0; i < loop->turn_ends_count; i++)
        loop->turn_ends[i].fn(loop->turn_ends[i].context);
    loop_run_tasks(loop);
    if (loop->removed_some)
        loop_free_removed(loop, false);
}

int loop_run(struct loop *loop)
{
    while (!loop->stopped)
        loop_turn(loop, -1);
    loop->stopped = false;
    return loop->stop_code;
}

void loop_stop(struct loop *loop, int code)
{
    loop->stopped = true;
    loop->stop_code = code;
}
