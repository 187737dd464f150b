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
    void (*on_failed)(void *context, int code,
                      const char *what); /* invariant 7: the process must end */
    void *context;
};

/* Opens raft/ and makes a cluster of one if there is no state and `bootstrap` says so. Without
 * either the node is no member yet: it has no log, and every proposal is refused. Errors, with a
 * line: -EBADMSG and -EPROTO (a person must look), else errno. */
int consensus_open(struct consensus **ret_consensus, const struct consensus_options *options,
                   struct error *error);
/* Begins to take part: a single voter stands for election at once. */
void consensus_start(struct consensus *consensus);
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
