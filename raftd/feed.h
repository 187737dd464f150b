/* Committed entries to storaged, in index order, each once (invariant 4), and its answers back.
 * Owner: raftd.
 *
 *            edge up                 STORE_STATUS answered            anything but APPLIED ok
 *   DOWN  -------------> ASKING  -----------------------> FEEDING --------------------------->
 * ASKING (again, after a pause if storaged is busy) ^ |
 *     +------------------- edge down, from any --------------+
 *
 * Asking settles everything: storaged says where it is, and feeding goes on behind that, whether it
 * restarted, lost what was in memory, or missed a message. A few APPLY are in flight at a time; a
 * new one waits for the turn's end, so it carries what has come together. */
#pragma once

#include "bus.h"
#include "consensus.h"
#include "hello.h"
#include "proposals.h"

#define FEED_CALLS_MAX 4u /* APPLY in flight: storaged works on one while the others travel */
#define FEED_GRACE_MS                                                                              \
    1000u /* an outage shorter than this is waited out; longer ones refuse proposals */
#define FEED_APPLY_MS_MAX 60000u /* then the edge is asked anew */

struct feed;

struct feed_options {
    struct loop *loop;
    const struct hello *hello;
    struct consensus *consensus;
    struct proposals *proposals;
    /* It is known where storaged is (each time it is asked), and that conure.db and raft/ belong
     * together. */
    void (*on_placed)(void *context, uint64_t applied_index);
    /* They do not: a person must look. */
    void (*on_foreign)(void *context, const char *reason);
    void *context;
};

int feed_new(struct feed **ret_feed, const struct feed_options *options, struct error *error);
void feed_free(struct feed *feed);
/* Sends what is committed and not sent yet, as far as there is room. Call at turn end. */
void feed_flush(struct feed *feed);
bool feed_is_up(const struct feed *feed);
/* False once storaged has been away longer than FEED_GRACE_MS. */
bool feed_is_hopeful(const struct feed *feed);
uint64_t feed_applied_index(const struct feed *feed);
uint64_t feed_durable_index(const struct feed *feed);
