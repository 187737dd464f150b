/* Which index of the log has which term: runs of entries with the same term. Part of the pure core.
 *
 * The log begins behind its base, an entry whose index and term are known but which may be gone
 * (cut, or inside a snapshot). Runs are few, one for each leader; when there is no place for one
 * more, the base moves up behind the oldest: a follower that far behind gets a snapshot. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#define TERMS_RUNS_MAX 512u

struct terms_run {
    uint64_t first_index;
    uint64_t term;
};

struct terms {
    uint64_t base_index, base_term; /* 0, 0: the log begins at 1 */
    uint64_t last_index;            /* base_index if the log is empty */
    uint32_t count;
    struct terms_run runs[TERMS_RUNS_MAX]; /* ascending in index and term */
};

/* An empty log behind this base. */
void terms_reset(struct terms *terms, uint64_t base_index, uint64_t base_term);
/* Whether a run can be added without moving the base above `commit_index`. (512 leaders in a row
 * that commit nothing; then nobody stands for election here.) */
bool terms_have_room(const struct terms *terms, uint64_t commit_index);
/* `count` more entries of `term`, which is at least that of the last. */
void terms_append(struct terms *terms, uint64_t term, uint64_t count);
/* Removes the entries from `index` on; index > base_index. */
void terms_truncate(struct terms *terms, uint64_t index);
/* Moves the base up to `index`, at most last_index. Nothing happens if it is there already. */
void terms_cut(struct terms *terms, uint64_t index);

/* 0 if it is not known: below the base or beyond the last. (Index 0 has term 0.) */
uint64_t terms_at(const struct terms *terms, uint64_t index);
static inline bool terms_knows(const struct terms *terms, uint64_t index)
{
    return index >= terms->base_index && index <= terms->last_index;
}
uint64_t terms_last(const struct terms *terms);
/* The last index, at most `index`, whose term is at most `term`; the base if there is none above:
 * where two logs may still agree (paper, end of 5.3). */
uint64_t terms_agreeable(const struct terms *terms, uint64_t index, uint64_t term);
