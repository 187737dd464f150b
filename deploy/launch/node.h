/* The node as the launcher sees it: three daemons that start in order, live independently, and stop
 * in reverse order. */
#pragma once

#include "config.h"
#include "control.h"
#include "joiner.h"
#include "kinds.h"
#include "notify.h"
#include "output.h"
#include "service.h"

enum node_phase {
    NODE_STARTING, /* each daemon waits for the one before to be ready */
    NODE_RUNNING,
    NODE_STOPPING,
};

struct node {
    const struct config *config;
    struct loop *loop;
    struct output output;
    struct notify notify;
    struct control control;
    struct service services[KINDS_COUNT];
    struct joiner joiner;
    enum node_phase phase;
    unsigned started_count; /* NODE_STARTING: services[0 .. started_count) have been started */
    unsigned left_count;    /* NODE_STOPPING: services[0 .. left_count) are still to stop */
    bool hurry;             /* no more waiting for SIGTERM to work */
    int exit_code;
    uint64_t begun_ms;
};

/* What the daemons' processes are started with. All of it must live as long as the node. */
struct node_plan {
    const struct config *config;
    const char *program_directory;
    char *const *flags; /* the launcher's own flags, ends with NULL */
    unsigned flags_count;
    int directory_fd;
    int listen_fd;
};

/* Opens the sockets in run/ and begins to start. The data directory must be entered and locked.
 * `loop` then also gets SIGCHLD, SIGTERM and SIGINT. The end of it all is loop_stop with the exit
 * code: 0 after a stop that was asked for, or that of the daemon that could not be started for good
 * (EXIT_USAGE, EXIT_PERMANENT). Errors: negative errno with a line. */
int node_open(struct node *node, struct loop *loop, const struct node_plan *plan,
              struct error *error);
void node_close(struct node *node);

/* Stops httpd, raftd, storaged, each when the one before is gone. */
void node_stop(struct node *node, int exit_code);
