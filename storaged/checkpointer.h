/* When checkpoints happen; the worker writes them. Owner: storaged.
 *
 * One begins when enough pages changed (STORE_CHECKPOINT_BYTES_*), when a change has waited
 * CHECKPOINT_WAIT_MS, and at the end. After one the file may be compacted, in steps. Idle, there is
 * no timer. The worker sees nothing but the frozen transaction (store_checkpoint_write). */
#pragma once

#include "loop.h"
#include "store.h"
#include "worker.h"

#define CHECKPOINT_WAIT_MS                                                                         \
    5000u                         /* bounds what raftd replays after a crash, and the log it keeps \
                                   */
#define CHECKPOINT_RETRY_MS 1000u /* a full disk is asked again */

struct checkpointer;

struct checkpointer_options {
    struct loop *loop;
    struct worker *worker;
    struct store *store;
    /* A checkpoint failed for good (invariant 7): the process must end. */
    void (*on_failed)(void *context, int code);
    void *context;
};

struct checkpointer *checkpointer_new(const struct checkpointer_options *options);
/* Looks whether one is due; call after entries were applied. */
void checkpointer_consider(struct checkpointer *checkpointer);
/* From now on nothing is given to the worker; what was given before still runs. */
void checkpointer_hold(struct checkpointer *checkpointer);
/* Goes on: with the same store, or with what replaced it (store_reopen) while held. */
void checkpointer_release(struct checkpointer *checkpointer, bool is_replaced);
/* Settles the worker and writes the rest. Frees the checkpointer whatever comes of it. 0 or the
 * negative errno of what failed. */
int checkpointer_finish(struct checkpointer *checkpointer);
