/* The core among its means: it takes the core's updates apart, in their order (invariant 3), and
 * tells it what became durable and what time it is. Owner: raftd.
 *
 *             no state                        invited
 *   BLANK  <------------ (open) --+   BLANK -----------+
 *                                 |                    v
 *                                 +--> WAITING --> RUNNING <--> INSTALLING
 *                                    where is the store?    what a leader sent replaces store and
 * log
 *
 * In BLANK and WAITING the core is not asked; while INSTALLING it hears heartbeats only. */
#pragma once

#include "apply.h"
#include "config.h"
#include "hard_state.h"
#include "log.h"
#include "loop.h"
#include "peer.h"
#include "raft.h"

struct consensus;

struct consensus_options {
    struct loop *loop;
    const struct config *config;
    /* A message for a member: it leaves after what it promises is durable. */
    void (*send)(void *context, const struct raft_message *message);
    void (*on_read)(void *context, uint64_t read, uint64_t index);
    /* The role, the leader or the term is another. If not leader: all reads are void. */
    void (*on_role)(void *context);
    /* Entries from this index on are not in the log any more. */
    void (*on_truncated)(void *context, uint64_t index);
    /* The store is about to be replaced: nothing may be applied from now on. False: that cannot be
     * promised now. */
    bool (*on_install)(void *context);
    /* What became of it. */
    void (*on_settled)(void *context, bool is_installed);
    /* At turn end: the membership in force, or this node's identity, is another. */
    void (*on_members)(void *context);
    /* Invariant 7: does not return, the process ends. */
    void (*on_failed)(void *context, int code, const char *what);
    void *context;
};

/* Opens raft/. Nothing on disk is changed but a torn tail. Errors, with a line: -EBADMSG and
 * -EPROTO (a person must look), else errno. */
int consensus_open(struct consensus **ret_consensus, const struct consensus_options *options,
                   struct error *error);
void consensus_close(struct consensus *consensus);

enum consensus_place {
    CONSENSUS_FEED,  /* entries behind the store's are to be fed */
    CONSENSUS_EMPTY, /* the store must be made empty first; then ask again */
    CONSENSUS_REST,  /* this node belongs to no cluster: nothing will come */
};
/* storaged says where it is. Settles what a crash left between store and log, founds a cluster of
 * one if that is wanted, and begins to take part: entries up to `stored_index` are committed. A
 * single voter leads at once. Errors, with a line: -EBADMSG, store and log do not belong together;
 * else errno. */
int consensus_place(struct consensus *consensus, uint64_t stored_index, uint64_t stored_term,
                    enum consensus_place *ret_place, struct error *error);
bool consensus_is_running(const struct consensus *consensus);
bool consensus_is_installing(const struct consensus *consensus);
/* Gives what was appended to the disk, and tells of changed members. Call at turn end. */
void consensus_flush(struct consensus *consensus);

/* The core, for reading. */
const struct raft *consensus_raft(const struct consensus *consensus);
bool consensus_is_leader(const struct consensus *consensus);
/* It has members beside it, or data: it would give its cluster up for no other. */
bool consensus_is_settled(const struct consensus *consensus);
/* A new node with seeds looks for a cluster, and takes nobody into its own, which it will give up;
 * unless it was told that it is the one the others come to. */
bool consensus_seeks(const struct consensus *consensus);
bool consensus_founds(const struct consensus *consensus);
void consensus_found(struct consensus *consensus);
/* Entries up to here are committed and durable here. */
uint64_t consensus_apply_index(const struct consensus *consensus);
/* This node as a voter at the addresses it is configured with. */
void consensus_own_server(const struct consensus *consensus, struct raft_server *server);
const struct identity *consensus_identity(const struct consensus *consensus);
const struct membership *consensus_membership(const struct consensus *consensus);
const struct hard_state *consensus_hard_state(const struct consensus *consensus);
/* NULL while there is none: BLANK, and a short time of INSTALLING. */
struct log *consensus_log(const struct consensus *consensus);

/* ---- proposals and reads ---- */

/* Room for `count` commands: RAFT_DONE with the index of the first, or the core's refusal. Then
 * exactly `count` calls of consensus_append. */
enum raft_outcome consensus_propose(struct consensus *consensus, uint32_t count,
                                    uint64_t *ret_first_index);
void consensus_append(struct consensus *consensus, const void *command, size_t command_bytes);
enum raft_outcome consensus_read(struct consensus *consensus, uint64_t read);
/* The membership's index is the core's to give; membership_fits is the caller's to check. */
enum raft_outcome consensus_propose_members(struct consensus *consensus,
                                            const struct membership *membership);
enum raft_outcome consensus_transfer(struct consensus *consensus, uint64_t member);

/* ---- other members ---- */

void consensus_message(struct consensus *consensus, const struct raft_message *message);
/* An APPEND with its entries; -EPROTO if they make no sense. */
int consensus_entries(struct consensus *consensus, const struct raft_message *message,
                      struct message_list entries);
/* What raft_wants gave for `member` is on its way, with `count` entries. */
void consensus_sent(struct consensus *consensus, uint64_t member, uint32_t count);
void consensus_unreachable(struct consensus *consensus, uint64_t member);
void consensus_snapshot_sent(struct consensus *consensus, uint64_t member, uint64_t index, bool ok);

/* Another cluster's leader asks this node to join. Agrees, durably, if it is blank, or founded its
 * own cluster alone and never had a command in it; else the reason is in the answer. */
void consensus_invited(struct consensus *consensus, const struct invite *invite,
                       struct invited *ret_invited);

/* ---- a snapshot that comes in ---- */

/* Notes, durably, that the store is about to be replaced by this one. From now on heartbeats only
 * are heard, until storaged has said where it is (consensus_place): that alone decides whether it
 * was. -EPROTO: the configuration makes no sense; -ESTALE: it is no news any more; -EAGAIN:
 * storaged is not being fed now. */
int consensus_install_begin(struct consensus *consensus, uint64_t index, uint64_t term,
                            const uint8_t *configuration, size_t configuration_bytes);

/* ---- the log's length ---- */

/* storaged has entries up to `durable_index` for good: whole segments below are cut, but for a
 * tail. */
void consensus_on_store_durable(struct consensus *consensus, uint64_t durable_index);
/* Entries behind `index` are wanted soon and are not cut: a snapshot of that index is being sent.
 * UINT64_MAX: none is. */
void consensus_hold(struct consensus *consensus, uint64_t index);
