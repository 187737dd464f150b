/* The consensus core: a pure function from events to updates. Owner: raftd; of use to anyone.
 *
 * No clock, I/O, threads, randomness or allocation: time comes as ticks, a disk's progress as
 * `persisted`, and the whole state is struct raft. The core never sees an entry's bytes: it says
 * which index and term the caller must give to what it proposed.
 *
 * An update says what to do, in this order (invariant 3): make the hard state durable; write the
 * appended entries; then, as far as `persisted` events have come back, apply up to the commit index
 * and answer the reads. The caller may write in batches and from another thread; it reports each
 * durable index by an event.
 *
 * Paper: Ongaro and Ousterhout, "In Search of an Understandable Consensus Algorithm" (extended
 * version); thesis: Ongaro 2014. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#define RAFT_MEMBERS_MAX 16u /* of a configuration; more is refused where one is proposed */
#define RAFT_READS_MAX                                                                             \
    256u /* rounds of reads waiting for the term's first commit; more are refused as busy */

enum raft_role { RAFT_FOLLOWER = 1, RAFT_CANDIDATE = 2, RAFT_LEADER = 3 };
enum raft_kind { RAFT_COMMAND = 1, RAFT_NOOP = 2, RAFT_CONFIGURATION = 3 };

struct raft_member {
    uint64_t number; /* given when it joined, never used again for another */
    bool voter;      /* else staging: it gets entries but never votes, counts or leads */
};

struct raft_configuration {
    uint64_t index; /* of the entry that holds it */
    uint32_t members_count;
    struct raft_member members[RAFT_MEMBERS_MAX];
};

struct raft_hard_state {
    uint64_t term;
    uint64_t vote; /* a member's number; 0: none in this term */
};

enum raft_event_type {
    RAFT_ON_TICK,            /* `elapsed_ms` went by */
    RAFT_ON_HARD_STATE,      /* the hard state of `term` is durable */
    RAFT_ON_PERSISTED,       /* all entries up to `index` are durable here */
    RAFT_ON_PROPOSE,         /* `count` commands */
    RAFT_ON_PROPOSE_MEMBERS, /* `configuration` (its index is given by the core) */
    RAFT_ON_READ, /* a round of reads wants an index; `read` is the caller's name for it, never used
                     twice */
};

struct raft_event {
    enum raft_event_type type;
    uint64_t elapsed_ms;
    uint64_t term;
    uint64_t index;
    uint32_t count;
    uint64_t read;
    const struct raft_configuration *configuration;
};

enum raft_outcome {
    RAFT_DONE = 0,
    RAFT_NOT_LEADER, /* nothing happened */
    RAFT_NOT_READY,  /* leader, but this must wait for the term's first commit; nothing happened */
    RAFT_BUSY,       /* a bound is reached; nothing happened */
};

struct raft_append {
    enum raft_kind kind;
    uint64_t first_index;
    uint32_t count; /* 0: nothing to append */
    uint64_t term;
};

struct raft_update {
    enum raft_outcome outcome; /* of a proposal or read */
    bool hard_state_changed;   /* 1. make raft->hard_state durable before anything else, then
                                  RAFT_ON_HARD_STATE */
    struct raft_append append; /* 2. write these entries behind the log, then RAFT_ON_PERSISTED */
    uint64_t commit_index;     /* 3. apply up to here */
    uint32_t reads_count;      /* 4. these rounds may read at `read_index` or above */
    uint64_t reads[RAFT_READS_MAX];
    uint64_t read_index;
    bool role_changed;
};

struct raft {
    uint64_t self; /* own member number; 0: not in any cluster yet */
    struct raft_hard_state hard_state;
    struct raft_hard_state hard_state_durable;
    enum raft_role role;
    uint64_t leader; /* a member's number; 0: unknown */
    uint64_t last_index, last_term;
    uint64_t persisted_index;
    uint64_t commit_index;
    uint64_t term_first_index; /* leader: its no-op; only from there on may commits be counted */
    struct raft_configuration configuration; /* in force from its append on */
    uint64_t reads[RAFT_READS_MAX];
    uint32_t reads_count;
};

/* Begins as a follower with what is on disk. `commit_index`: what is known committed (the store's
 * applied index), at most last_index. */
struct raft_start {
    uint64_t self;
    struct raft_hard_state hard_state;
    uint64_t last_index, last_term;
    uint64_t commit_index;
    struct raft_configuration configuration;
};
void raft_init(struct raft *raft, const struct raft_start *start);

/* One event. `update` is overwritten whole. */
void raft_step(struct raft *raft, const struct raft_event *event, struct raft_update *update);

/* The term's no-op is committed: reads, commands and membership may go on (thesis 4.1, 6.4). */
bool raft_has_committed_own_term(const struct raft *raft);
