/* What consensus.c (running) and consensus_open.c (beginning, and beginning anew) share. Private to
 * them. */
#pragma once

#include "consensus.h"

enum consensus_phase {
    PHASE_BLANK,      /* in no cluster, no state on disk */
    PHASE_WAITING,    /* until storaged says where it is */
    PHASE_RUNNING,    /* takes part */
    PHASE_INSTALLING, /* a snapshot replaces the store: heartbeats only */
};

struct consensus {
    struct consensus_options options;
    enum consensus_phase phase;
    struct raft raft;
    struct raft_update update;
    struct hard_state hard_state;
    struct membership membership; /* in force: that of raft.configuration */
    struct log *log;
    uint64_t chance; /* state of consensus_random */
    uint64_t store_durable_index, hold_index;
    struct loop_timer tick_timer;
    uint64_t tick_ms; /* when the core was last told the time */
    bool members_changed;
    bool is_founder;  /* consensus_found */
    bool is_deciding; /* an update is being taken apart: no other step may begin */
    uint64_t persisted_index, persisted_term; /* told meanwhile; 0: nothing */
    uint64_t
        unled_term; /* the log says that this node stands and hears no leader; 0: it does not */
};

void consensus_step(struct consensus *consensus, struct raft_event event);
void consensus_fail(struct consensus *consensus, int code, const char *what);
uint64_t consensus_random(struct consensus *consensus);
/* Sets the timer of ticks, if this node needs any. */
void consensus_watch_time(struct consensus *consensus);
/* The membership of a configuration the log or the last cut has. */
int consensus_load_membership(struct consensus *consensus, uint64_t index,
                              struct membership *ret_membership);
int consensus_open_log(struct consensus *consensus, struct error *error);
void consensus_cut(struct consensus *consensus);
