/* The control socket, run/launch.sock: who reaches it (run/ is 0700: the same user, or root) may
 * ask. Takes lines in and sends answers out; dispatch.c knows what they mean. */
#pragma once

#include "error.h"
#include "launch_limits.h"
#include "loop.h"

#include <stdbool.h>
#include <stddef.h>

struct control;

/* One caller, from the connection to the answer. */
struct control_call {
    struct control *control;
    int fd; /* -1: this place is free */
    struct loop_source *source;
    struct loop_timer timer;
    char line[LAUNCH_REQUEST_BYTES_MAX];
    size_t length;
    bool asked;
    void *awaited; /* the receiver's own: what the call waits for */
    unsigned goal; /* the receiver's own */
};

typedef void control_request_fn(void *context, struct control_call *call, const char *line);
typedef void control_call_fn(void *context, struct control_call *call);

struct control_handlers {
    control_request_fn *on_request;
    control_call_fn *on_late; /* no answer for LAUNCH_COMMAND_MS_MAX: answer something now */
    void *context;
};

struct control {
    struct loop *loop;
    struct control_handlers handlers;
    int fd;
    struct loop_source *source;
    struct control_call calls[LAUNCH_CONTROL_CONNECTIONS_MAX];
};

/* The data directory must be locked: a socket that lies there is removed. Errors: negative errno
 * with a line. */
int control_open(struct control *control, struct loop *loop, struct control_handlers handlers,
                 struct error *error);
void control_close(struct control *control);

/* Sends the text and a newline, and ends the call. The text is at most LAUNCH_REPLY_BYTES_MAX. */
void control_answer(struct control_call *call, const char *text);

/* Calls `fn` for each call that was asked and not yet answered; it may answer it. */
void control_each(struct control *control, control_call_fn *fn, void *context);
