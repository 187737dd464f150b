/* When checkpoints happen, and the thread that writes them. Owner: storaged.
 *
 * One begins when enough pages changed (STORE_DIRTY_BYTES_SOFT), when a change has waited
 * CHECKPOINT_WAIT_MS, and at the end. After one the file may be compacted, in steps. Idle, there is
 * no timer and the thread sleeps. The thread sees nothing but the frozen transaction
 * (store_checkpoint_write). */
#pragma once

#include "loop.h"
#include "store.h"

#define CHECKPOINT_WAIT_MS                                                                         \
    5000u                         /* bounds what raftd replays after a crash, and the log it keeps \
                                   */
#define CHECKPOINT_RETRY_MS 1000u /* a full disk is asked again */

struct checkpointer;

/* `on_failed` is called on the loop thread when a checkpoint failed for good (invariant 7): the
 * process must end. */
int checkpointer_new(struct checkpointer **ret_checkpointer, struct loop *loop, struct store *store,
                     void (*on_failed)(void *context, int code), void *context);
/* Looks whether one is due; call after entries were applied. */
void checkpointer_consider(struct checkpointer *checkpointer);
/* Waits for the one under way, writes the rest, and stops the thread. 0 or the negative errno of
 * what failed. */
int checkpointer_finish(struct checkpointer *checkpointer);
