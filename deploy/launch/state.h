/* The life of one daemon as a table: state x event -> next state and what to do. Pure: service.c
 * carries it out. */
#pragma once

enum state {
    STATE_STOPPED,    /* no process; wanted so */
    STATE_STARTING,   /* process runs, has not said READY=1 */
    STATE_READY,      /* process runs and serves */
    STATE_STOPPING,   /* SIGTERM sent, exit awaited */
    STATE_RESTARTING, /* as stopping, and wanted back */
    STATE_BACKOFF,    /* ended by itself; started again when the delay is over */
    STATE_FAILED,     /* ended with EXIT_USAGE or EXIT_PERMANENT: a person must look */
    STATE_COUNT,
};

enum event {
    EVENT_START,
    EVENT_STOP,
    EVENT_RESTART,
    EVENT_NOTIFIED,     /* the process said READY=1 */
    EVENT_EXITED,       /* the process ended, or could not be started */
    EVENT_EXITED_FATAL, /* ended with EXIT_USAGE or EXIT_PERMANENT: no use in trying again */
    EVENT_TIME_UP,      /* the state's timer, or somebody in a hurry */
    EVENT_COUNT,
};

enum action {
    ACTION_NONE,
    ACTION_SPAWN,     /* start the process; warn if it takes long */
    ACTION_WELCOME,   /* note when it became ready; cancel the timer */
    ACTION_TERMINATE, /* SIGTERM, and the timer for SIGKILL */
    ACTION_KILL,      /* SIGKILL */
    ACTION_DELAY,     /* the timer for the next start */
    ACTION_WARN,      /* it takes long */
    ACTION_SETTLE,    /* cancel the timer */
};

struct transition {
    enum state next;
    enum action action;
};

struct transition state_transition(enum state state, enum event event);

/* For logs and status: "stopped", "starting", ... */
const char *state_name(enum state state);
