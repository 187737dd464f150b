/* Committed entries to storaged, in index order, each once (invariant 4), and its answers back.
 * Owner: raftd.
 *
 *            edge up                 STORE_STATUS answered            anything but APPLIED ok
 *   DOWN  -------------> ASKING  -----------------------> FEEDING --------------------------->
 *     ^                  ^ ^ |        (consensus_place)                             ASKING again
 *     +-- edge down      | | +-----> RESTING: in no cluster      HELD: an install replaces the
 *                        | +-- EMPTYING <-- a store to empty     store; until feed_ask_anew
 *
 * Asking settles everything: storaged says where it is, and feeding goes on behind that, whether it
 * restarted, lost what was in memory, or missed a message. A few APPLY are in flight at a time; a
 * new one waits for the turn's end, so it carries what has come together. */
#pragma once

#include "bus.h"
#include "consensus.h"
#include "hello.h"
#include "peer.h"
#include "proposals.h"

#define FEED_CALLS_MAX 4u /* APPLY in flight: storaged works on one while the others travel */
#define FEED_GRACE_MS                                                                              \
    1000u /* an outage shorter than this is waited out; longer ones refuse proposals */
#define FEED_SILENCE_MS_MAX                                                                        \
    5000u /* and so is storaged that is there, but answers nothing for so long */
#define FEED_APPLY_MS_MAX 60000u /* then the edge is asked anew */

struct feed;

struct feed_options {
    struct loop *loop;
    const struct hello *hello;
    struct consensus *consensus;
    struct proposals *proposals;
    /* storaged's state, with each of its answers. */
    void (*on_applied)(void *context, const struct peer_state *state);
    /* conure.db and raft/ do not belong together (-EBADMSG: a person must look), or this node
     * cannot begin: the process must end. */
    void (*on_failed)(void *context, int code, const struct error *error);
    void *context;
};

int feed_new(struct feed **ret_feed, const struct feed_options *options, struct error *error);
void feed_free(struct feed *feed);
/* Sends what is committed and not sent yet, as far as there is room. Call at turn end. */
void feed_flush(struct feed *feed);
/* The edge to storaged, for calls of others; not up now and then. */
struct bus_client *feed_storaged(struct feed *feed);
/* Stops feeding: the store is about to be replaced. False if storaged is not being fed now: then it
 * must not be. */
bool feed_hold(struct feed *feed);
/* Asks storaged where it is, and goes on from there. */
void feed_ask_anew(struct feed *feed);
bool feed_is_up(const struct feed *feed);
/* False once storaged has been away longer than FEED_GRACE_MS, or silent for FEED_SILENCE_MS_MAX.
 */
bool feed_is_hopeful(const struct feed *feed);
uint64_t feed_applied_index(const struct feed *feed);
uint64_t feed_durable_index(const struct feed *feed);
