/* What the core's files share, one file for each noun of the rules; raft.c has the table of events
 * and messages.c that of messages. Private to them.
 *
 * All of them see the whole struct raft and write what is theirs into the update of the step. */
#pragma once

#include "raft.h"

typedef void raft_handler(struct raft *raft, const struct raft_event *event,
                          struct raft_update *update);

/* members.c */
struct progress *members_progress(struct raft *raft, uint64_t member);
/* The voters at whose place it is so, this node always taken as one, are a majority. */
bool members_have_quorum(const struct raft *raft,
                         bool (*is_reached)(const struct raft *raft, uint32_t place));
bool raft_is_electable(const struct raft *raft);
bool raft_is_only_voter(const struct raft *raft);
void configuration_set(struct raft *raft, const struct raft_configuration *configuration,
                       struct raft_update *update);
void configuration_append(struct raft *raft, const struct raft_configuration *configuration,
                          uint64_t index, struct raft_update *update);
void configuration_roll_back(struct raft *raft, uint64_t truncate_from, struct raft_update *update);
raft_handler raft_on_propose_members;

/* messages.c */
struct raft_message *message_add(struct raft *raft, struct raft_update *update,
                                 enum raft_message_type type, uint64_t to);
void heartbeats_send(struct raft *raft, struct raft_update *update);
raft_handler raft_on_message;

/* roles.c; `leader` may be 0. */
void become_follower(struct raft *raft, uint64_t term, uint64_t leader, struct raft_update *update);
void become_leader(struct raft *raft, struct raft_update *update);
raft_handler raft_on_tick;

/* votes.c */
void pre_campaign(struct raft *raft, struct raft_update *update);
bool raft_is_content(const struct raft *raft);
raft_handler raft_on_prevote, raft_on_vote, raft_on_vote_reply, raft_on_timeout_now;

/* commit.c */
void append_own(struct raft *raft, enum raft_kind kind, uint32_t count, struct raft_update *update);
void commit_advance(struct raft *raft, struct raft_update *update); /* the leader's, by counting */
void commit_learn(struct raft *raft, uint64_t commit_index);        /* from the leader */
raft_handler raft_on_propose;

/* disk.c */
raft_handler raft_on_persisted, raft_on_stored, raft_on_cut, raft_on_installed;

/* follower.c */
void follower_acknowledge(struct raft *raft, struct raft_update *update);
raft_handler raft_on_append, raft_on_heartbeat, raft_on_snapshot;

/* replication.c */
raft_handler raft_on_append_reply, raft_on_heartbeat_reply;
raft_handler raft_on_sent, raft_on_snapshot_sent, raft_on_unreachable;

/* reads.c */
void round_open(struct raft *raft, struct raft_update *update);
void round_close(struct raft *raft, struct raft_update *update);
raft_handler raft_on_read;

/* transfer.c */
void transfer_now(struct raft *raft, struct raft_update *update);
raft_handler raft_on_transfer;
