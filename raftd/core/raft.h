/* The consensus core: a pure function from events to updates. Owner: raftd; of use to anyone.
 *
 * No clock, I/O, threads, randomness or allocation: time comes as ticks, chance as a number with
 * each event, a disk's progress as events, and the whole state is struct raft. The core never sees
 * an entry's bytes: it knows which index has which term, and says which entries to write, send and
 * apply.
 *
 * An update is carried out in this order (invariant 3):
 *   1. make raft->hard_state durable: nothing below, nor any later event, before that;
 *   2. truncate and append entries; some time later they are durable: step RAFT_ON_PERSISTED;
 *   3. send the messages (which promise nothing that 2 has yet to make durable);
 *   4. apply up to `apply_index`, and answer the reads.
 * Entries and snapshots for followers are not in the update: the caller asks raft_wants whenever it
 * has room for a message to a member, so that a slow connection holds back its member only.
 *
 * Paper: Ongaro and Ousterhout, "In Search of an Understandable Consensus Algorithm" (extended
 * version); thesis: Ongaro 2014. */
#pragma once

#include "progress.h"
#include "terms.h"

#include <stdbool.h>
#include <stdint.h>

#define RAFT_MEMBERS_MAX 16u /* of a configuration; more is refused where one is proposed */
#define RAFT_READS_MAX                                                                             \
    256u /* rounds of reads waiting for their index; more are refused as busy                      \
          */
#define RAFT_MESSAGES_MAX (2 * RAFT_MEMBERS_MAX) /* of one update */

enum raft_role {
    RAFT_FOLLOWER = 1,
    RAFT_CANDIDATE = 2,
    RAFT_LEADER = 3,
    RAFT_PRE_CANDIDATE = 4, /* asks whether it could win, in no new term (thesis 9.6) */
};
enum raft_kind { RAFT_COMMAND = 1, RAFT_NOOP = 2, RAFT_CONFIGURATION = 3 };

struct raft_member {
    uint64_t number; /* given when it joined, never used again for another */
    bool voter;      /* else staging: it gets entries but never counts or leads */
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

enum raft_message_type {
    RAFT_PREVOTE = 1, /* index, log_term: of the sender's last entry; term: the one it would open */
    RAFT_PREVOTE_REPLY, /* ok; term: as asked if ok, else the sender's */
    RAFT_VOTE,          /* index, log_term; transfer: the leader asked for it */
    RAFT_VOTE_REPLY,    /* ok */
    RAFT_APPEND,        /* index, log_term: of the entry before the first; count, commit */
    RAFT_APPEND_REPLY,  /* ok: all up to index is durable and the leader's; else: `rejected` is the
                           APPEND's index; the logs may agree at index, log_term */
    RAFT_HEARTBEAT,     /* commit, round */
    RAFT_HEARTBEAT_REPLY, /* round; index: known to be the leader's */
    RAFT_SNAPSHOT,        /* any part of a snapshot up to index, log_term */
    RAFT_TIMEOUT_NOW,     /* stand for election at once (thesis 3.10) */
};

struct raft_message {
    enum raft_message_type type;
    uint64_t from, to; /* members' numbers */
    uint64_t term;
    uint64_t index, log_term;
    uint64_t rejected;
    uint64_t commit;
    uint64_t round;
    uint32_t count;
    bool ok;
    bool transfer;
};

/* What the core must know of an entry. */
struct raft_entry {
    uint64_t term;
    const struct raft_configuration *configuration; /* NULL if it is none */
};

enum raft_event_type {
    RAFT_ON_TICK,            /* `elapsed_ms` went by */
    RAFT_ON_PERSISTED,       /* all entries up to `index`, whose term is `term`, are durable here */
    RAFT_ON_PROPOSE,         /* `count` commands */
    RAFT_ON_PROPOSE_MEMBERS, /* `configuration` (its index is given by the core) */
    RAFT_ON_READ,    /* a round of reads wants an index; `read` is the caller's name for it, never
                        used twice */
    RAFT_ON_MESSAGE, /* `message`; of an APPEND also its `entries` */
    RAFT_ON_SENT, /* the message raft_wants gave for `member`, with `count` entries, is on its way
                   */
    RAFT_ON_SNAPSHOT_SENT, /* to `member`, up to `index`; `ok`, or it came to nothing */
    RAFT_ON_INSTALLED, /* a snapshot up to `index`, `term` with `configuration` replaced store and
                          log here, durably */
    /* The store has entries up to `index`, at most the last: they are committed. */
    RAFT_ON_STORED,
    RAFT_ON_CUT,         /* entries up to `index` are not in the log any more */
    RAFT_ON_TRANSFER,    /* `member` shall lead */
    RAFT_ON_UNREACHABLE, /* the connection to `member` was lost, and what was on its way with it */
};

struct raft_event {
    enum raft_event_type type;
    uint64_t random; /* in every event: a fresh number of 64 random bits */
    uint64_t elapsed_ms;
    uint64_t term, index;
    uint64_t member;
    uint32_t count;
    bool ok;
    uint64_t read;
    const struct raft_configuration *configuration;
    const struct raft_message *message;
    const struct raft_entry *entries;
};

enum raft_outcome {
    RAFT_DONE = 0,
    RAFT_NOT_LEADER, /* nothing happened */
    RAFT_NOT_READY,  /* leader, but this must wait for a commit; nothing happened */
    RAFT_BUSY,       /* a bound is reached, or leadership is being handed on; nothing happened */
    RAFT_REFUSED, /* it makes no sense: a change of more than one voter, a message that no correct
                     member sends; nothing happened */
    RAFT_IGNORED, /* a message that comes too late, or from a member of another time */
};

/* Entries to write behind the log: own ones (`skip` is 0), or `count` of the APPEND that was
 * stepped, behind the first `skip` of it. */
struct raft_append {
    enum raft_kind kind; /* own ones only */
    uint64_t first_index;
    uint32_t count; /* 0: nothing to append */
    uint32_t skip;
    uint64_t term; /* own ones only */
};

struct raft_update {
    enum raft_outcome outcome;
    bool hard_state_changed;
    uint64_t truncate_from; /* before the append: remove entries from here on; 0: none */
    struct raft_append append;
    bool configuration_changed; /* by an append, a truncation or a snapshot */
    uint32_t messages_count;
    struct raft_message messages[RAFT_MESSAGES_MAX];
    uint64_t apply_index; /* committed, and durable here */
    uint32_t reads_count; /* these rounds may read at `read_index` or above */
    uint64_t reads[RAFT_READS_MAX];
    uint64_t read_index;
    bool role_changed; /* or the leader, or the term. No longer leader: all reads not answered are
                        * void
                        */
};

struct raft_timing {
    uint64_t election_ms; /* silence before an election: this to twice this */
    uint64_t heartbeat_ms;
    uint64_t disk_ms; /* a leader that waits longer for its own disk steps down */
};

struct raft {
    uint64_t self; /* own member number; 0: not in any cluster yet */
    struct raft_timing timing;
    struct raft_hard_state hard_state;
    enum raft_role role;
    uint64_t leader; /* a member's number; 0: unknown */
    struct terms terms;
    uint64_t persisted_index, commit_index;
    struct raft_configuration configuration;        /* in force from its append on */
    struct raft_configuration configuration_before; /* and what it replaced, for a truncation */
    uint64_t random;

    /* timers: ms gone by */
    uint64_t silence_ms;  /* follower, candidates: since the leader spoke or the vote was given */
    uint64_t patience_ms; /* this time's random election timeout */
    uint64_t heartbeat_ms, transfer_ms, disk_ms;

    /* follower */
    uint64_t verified_index; /* up to here the log is the leader's of this term */
    uint64_t acknowledged_index;
    bool owes_acknowledgement;

    /* candidates and leader: one for each member of the configuration, at its place */
    struct progress progress[RAFT_MEMBERS_MAX];

    /* candidate */
    bool transfer; /* stands because the leader asked for it */

    /* leader */
    uint64_t term_first_index; /* its no-op; only from there on may commits be counted */
    uint64_t transfer_to;      /* 0: nobody */
    uint64_t round;            /* of heartbeats: a reply to it confirms leadership */
    bool round_is_open;
    uint64_t round_index; /* the commit index when it was opened */
    uint32_t round_reads; /* the first so many reads wait for it; the others for the next */
    uint32_t reads_count;
    uint64_t reads[RAFT_READS_MAX];
};

/* Begins as a follower with what is on disk. */
struct raft_start {
    uint64_t self;
    struct raft_timing timing;
    struct raft_hard_state hard_state;
    struct terms terms;    /* of the log */
    uint64_t commit_index; /* known committed (the cut, the store's durable index); at most the
                              log's last */
    struct raft_configuration configuration, configuration_before;
    uint64_t random;
};
void raft_init(struct raft *raft, const struct raft_start *start);

/* One event. `update` is overwritten whole. */
void raft_step(struct raft *raft, const struct raft_event *event, struct raft_update *update);

enum raft_want {
    RAFT_WANT_NOTHING,
    RAFT_WANT_ENTRIES,  /* *ret_message is the APPEND; send up to its count of entries */
    RAFT_WANT_SNAPSHOT, /* the log does not reach back; a snapshot at any index from its cut on */
};
/* What the leader has for a member now. Lower the message's count as you like (not to 0 if it is
 * more), send it, then step RAFT_ON_SENT. For a snapshot: step RAFT_ON_SNAPSHOT_SENT when its
 * stream has ended; do not ask for this member meanwhile. */
enum raft_want raft_wants(const struct raft *raft, uint64_t member,
                          struct raft_message *ret_message);

/* Whether a snapshot is news: ask before it replaces the store, and step RAFT_ON_INSTALLED next. */
bool raft_takes_snapshot(const struct raft *raft, uint64_t index, uint64_t term);

/* The term's no-op is committed: reads, commands and membership may go on (thesis 4.1, 6.4). */
bool raft_has_committed_own_term(const struct raft *raft);
/* NULL if it is no member. */
const struct progress *raft_progress(const struct raft *raft, uint64_t member);
bool raft_is_voter(const struct raft_configuration *configuration, uint64_t member);
