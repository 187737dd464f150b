/* Changes of the cluster: who joins, who leaves, who leads, and where everybody is. Owner: raftd.
 *
 * One change of the configuration at a time, each when the one before is committed (the core's
 * rule, thesis 4.1); in this order if several wait: addresses that are new, what a user asked for,
 * learners that caught up.
 *
 *   JOIN      INVITING -> WANTED (as learner) -> PROPOSED -> learns, is made a voter: answered
 *   REMOVE                WANTED              -> PROPOSED -> committed: answered
 *   TRANSFER                                     PROPOSED -> another leads: answered
 *
 * A call whose change was proposed when leadership was lost, or is not through at its deadline, is
 * unknown; before that, nothing was done. So is a JOIN that waits for its learner when REMOVE or
 * TRANSFER comes, for which it makes way: the node may be gone for good. Learners are made voters
 * whoever asked for them. */
#pragma once

#include "bus.h"
#include "consensus.h"
#include "members.h"
#include "peers.h"

#define CHANGES_JOIN_MS_MAX 55000u /* a snapshot may be on its way; it goes on as a learner then   \
                                    */
#define CHANGES_MS_MAX 4500u       /* below the patience of whoever asked */
#define CHANGES_INVITE_MS_MAX 4000u
#define CHANGES_LAG_ENTRIES_MAX 4096u /* a learner this near is made a voter */

struct changes;

struct changes_options {
    struct loop *loop;
    struct consensus *consensus;
    struct peers **peers;
    struct bus_server **server;
    void (*fill_hint)(void *context, struct leader_hint *hint);
    void *context; /* of fill_hint */
};

struct changes *changes_new(const struct changes_options *options);
void changes_free(struct changes *changes);

/* Calls of httpd, each answered with one MEMBERS_OK. */
void changes_join(struct changes *changes, const struct bus_route *route, const struct join *join);
void changes_remove(struct changes *changes, const struct bus_route *route, const char *id);
/* An empty id: the most advanced follower. */
void changes_transfer(struct changes *changes, const struct bus_route *route, const char *id);

/* A node is being asked to join: who invites must not itself go away to another cluster meanwhile,
 * or two nodes that invite each other both give up their own. */
bool changes_is_inviting(const struct changes *changes);

/* A member was heard of at these addresses. */
void changes_on_seen(struct changes *changes, uint64_t number, const char *raft_address,
                     const char *http_url);
/* Takes the next step of what is under way. Call at turn end. */
void changes_flush(struct changes *changes);
/* The voter to which leadership goes best: the most advanced that answers; of several, the next in
 * the membership, so that all have their turn. 0: there is none. */
uint64_t changes_successor(const struct changes *changes);
