/* What a leader knows of one member, and how many entries may be on their way to it. Part of the
 * pure core.
 *
 *   PROBE      where the logs agree is not known: one APPEND at a time
 *   REPLICATE  known: up to PROGRESS_WINDOW of them, without waiting for the replies
 *
 * A member that needs a snapshot is probed again behind it when its stream has ended. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#define PROGRESS_WINDOW 32u /* APPENDs on their way to one member */

enum progress_state { PROGRESS_PROBE, PROGRESS_REPLICATE };
enum progress_vote { VOTE_NONE, VOTE_GRANTED, VOTE_REFUSED };

struct progress {
    uint64_t member;
    enum progress_state state;
    uint64_t match; /* durable there */
    uint64_t next;  /* the first entry not sent */
    bool probe_is_out;
    uint64_t commit_sent;
    uint64_t silence_ms; /* since any reply */
    uint64_t stall_ms;   /* since the oldest APPEND on its way made progress */
    uint64_t round;      /* the newest round of heartbeats it answered */
    enum progress_vote vote;
    uint32_t sent_first, sent_count;
    uint64_t sent_last_index[PROGRESS_WINDOW]; /* ring: the last entry of each APPEND on its way */
};

/* At an election, or for a new member: nothing is known; begins behind `last_index`. */
void progress_reset(struct progress *progress, uint64_t last_index);
/* Looks for the agreement again, from what is known. */
void progress_probe(struct progress *progress);
bool progress_may_send(const struct progress *progress);
/* An APPEND whose last entry is `last_index` went out (it may have none). */
void progress_on_sent(struct progress *progress, uint64_t last_index, uint32_t count);
/* All up to `index` is durable there. True if that is news. */
bool progress_on_match(struct progress *progress, uint64_t index);
/* An APPEND behind `rejected` did not fit; the logs may agree at `index`. False: an old reply. */
bool progress_on_reject(struct progress *progress, uint64_t rejected, uint64_t index);
void progress_on_tick(struct progress *progress, uint64_t elapsed_ms, uint64_t stall_ms_max);
