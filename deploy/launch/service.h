/* One supervised daemon: its process, its state, its timers. Drives the table of state.h. */
#pragma once

#include "backoff.h"
#include "child.h"
#include "journal.h"
#include "loop.h"
#include "state.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* What is fixed about a daemon. */
struct service_kind {
    const char *name;    /* "storaged": what people call it */
    const char *program; /* "conure-storaged": the file, and argv[0] */
    uint32_t stop_ms;    /* from SIGTERM to SIGKILL */
    uint32_t slow_ms;    /* not ready by then: a warning */
    bool takes_listener;
};

struct service;

/* After every change of state. */
typedef void service_fn(void *context, struct service *service);

struct service {
    const struct service_kind *kind;
    struct loop *loop;
    service_fn *on_change;
    void *context;
    struct child_plan plan;
    struct journal journal;
    struct loop_timer timer;
    struct backoff backoff;
    enum state state;
    pid_t pid;                     /* 0: no process */
    uint64_t started_ms, ready_ms; /* monotonic; of this process, or of the last */
    uint64_t retry_ms;             /* in STATE_BACKOFF: when */
    uint32_t restarts;             /* starts after it ended by itself */
    int exit_code;                 /* of the last process that ended; 128 + signal if killed */
    char last_exit[64];            /* the same for people; "": none has ended */
};

/* Makes the journal. `service->kind`, `loop`, `on_change`, `context` and `plan` (but its output_fd)
 * are set by the caller, the rest is zero. Errors: negative errno. */
int service_open(struct service *service, struct output *output, unsigned colour);
void service_close(struct service *service);

/* EVENT_START, _STOP, _RESTART, _NOTIFIED or _TIME_UP; exits come through service_on_exit. */
void service_event(struct service *service, enum event event);

/* The process has been waited for; `wait_status` is waitpid's. */
void service_on_exit(struct service *service, int wait_status);
