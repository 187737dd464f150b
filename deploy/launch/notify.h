/* The datagram socket on which daemons say READY=1 (sd_notify(3)). The kernel says who sent it. */
#pragma once

#include "error.h"
#include "loop.h"

#include <sys/types.h>

/* The process `pid` has said that it is ready. */
typedef void notify_fn(void *context, pid_t pid);

struct notify {
    int fd;
    notify_fn *fn;
    void *context;
    struct loop_source *source;
};

/* Makes run/notify.sock; the data directory must be locked, for what lies there is removed. Errors:
 * negative errno with a line. */
int notify_open(struct notify *notify, struct loop *loop, notify_fn *fn, void *context,
                struct error *error);
void notify_close(struct notify *notify, struct loop *loop);
