/* The core among its means: it takes the core's updates apart, in their order (invariant 3), and
 * tells it what became durable. Owner: raftd. */
#pragma once

#include "config.h"
#include "hard_state.h"
#include "identity.h"
#include "log.h"
#include "loop.h"
#include "raft.h"

struct consensus;

struct consensus_options {
    struct loop *loop;
    const struct config *config;
    void (*on_commit)(void *context, uint64_t apply_index);
    void (*on_read)(void *context, uint64_t read, uint64_t index);
    /* Invariant 7: does not return, the process ends. */
    void (*on_failed)(void *context, int code, const char *what);
    void *context;
};

/* Opens raft/. Without a state there this node is no member: it has no log, and every proposal is
 * refused. Nothing on disk is changed but a torn tail. Errors, with a line: -EBADMSG and -EPROTO (a
 * person must look), else errno. */
int consensus_open(struct consensus **ret_consensus, const struct consensus_options *options,
                   struct error *error);
bool consensus_is_member(const struct consensus *consensus);
/* No member, but told to found a cluster: see consensus_start. */
bool consensus_wants_bootstrap(const struct consensus *consensus);
/* Begins to take part, once it is known where the store is: entries up to `stored_index` are
 * committed. Founds a cluster of one first if that is wanted, and the store is empty. A single
 * voter leads at once. Errors as consensus_open. */
int consensus_start(struct consensus *consensus, uint64_t stored_index, struct error *error);
/* Gives what was appended to the disk. Call at turn end. */
void consensus_flush(struct consensus *consensus);
void consensus_close(struct consensus *consensus);

/* The core, for reading. */
const struct raft *consensus_raft(const struct consensus *consensus);
/* Entries up to here are committed and durable here. */
uint64_t consensus_apply_index(const struct consensus *consensus);
const struct identity *consensus_identity(const struct consensus *consensus);
const struct membership *consensus_membership(const struct consensus *consensus);
const struct hard_state *consensus_hard_state(const struct consensus *consensus);
/* NULL if this node is no member. */
struct log *consensus_log(const struct consensus *consensus);

/* Room for `count` commands: RAFT_DONE with the index of the first, or the core's refusal. Then
 * exactly `count` calls of consensus_append. */
enum raft_outcome consensus_propose(struct consensus *consensus, uint32_t count,
                                    uint64_t *ret_first_index);
void consensus_append(struct consensus *consensus, const void *command, size_t command_bytes);
enum raft_outcome consensus_read(struct consensus *consensus, uint64_t read);

/* storaged has entries up to `durable_index` for good: whole segments below are cut, but for a
 * tail. */
void consensus_on_store_durable(struct consensus *consensus, uint64_t durable_index);
