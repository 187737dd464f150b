/* storaged's second thread: what takes long is done there, out of the loop's way. Owner: storaged.
 *
 * Jobs run one after the other, in the order they were given: a job finds what those before it
 * left, and no two write to the disk at once. A job sees nothing that the loop changes meanwhile;
 * its giver knows what that is. Idle, the thread sleeps. Everything but `run` is for the loop
 * thread. */
#pragma once

#include "loop.h"

struct worker;

/* Intrusive: lives in its owner, until `done`. */
struct worker_job {
    int (*run)(void *context); /* on the thread */
    /* On the loop thread, with what `run` gave; in the order of the jobs. The job may be given
     * again, or freed, there. */
    void (*done)(void *context, int code);
    void *context;
    struct worker_job *next;
    int code;
    bool is_given; /* and `done` was not called yet */
};

/* Negative errno: no thread, no descriptor. */
int worker_new(struct worker **ret_worker, struct loop *loop);
/* Not while it is given. */
void worker_give(struct worker *worker, struct worker_job *job);
/* Waits until all jobs have run, those given meanwhile too, and calls what is owed of `done`. */
void worker_settle(struct worker *worker);
/* Settles, and ends the thread. */
void worker_free(struct worker *worker);
