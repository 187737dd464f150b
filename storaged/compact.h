/* Giving the end of the file back after many deletes. Owner: storaged.
 *
 * The file can only be cut behind its last page in use, and that may be any page of the tree. So
 * the leaves are gone through in key order, a few in a turn, and pages that lie behind the place
 * where the file could end (the used pages, an eighth, and some) are written anew: copying takes
 * the lowest free page. The commits that follow cut the file (freemap_trim, pager_write). Writes go
 * on meanwhile.
 *
 * Punching holes would be less work, but leaves a file that looks large to ls and cp, and may run
 * out of disk in the middle of a page it already had. */
#pragma once

#include "tree.h"

/* A file is made smaller when more than this share of its pages in use is free beside them. */
#define COMPACT_SHARE 4u

struct compact {
    bool active;
    uint64_t below; /* pages from here on are moved */
    uint8_t key[LIMIT_KEY_BYTES_CAP];
    size_t key_bytes;      /* of the leaf to go on with; 0: the first */
    uint64_t moved_pages;  /* in this round */
    uint64_t pages_before; /* of the file when the last round began; 0: judged already */
    uint64_t next_build;   /* no new round before this commit: what was moved must be free first */
    uint64_t wait_commits; /* from one round to the next */
};

/* What made rounds fruitless is over: the next need not wait. */
void compact_retry(struct compact *compact);

enum compact_outcome {
    COMPACT_IDLE = 1, /* nothing to do, now */
};

/* Goes on with a round, or begins one if a quarter of the file lay free through a whole commit.
 * Goes through up to `leaves_max` leaves, fewer if much has to be moved. 0: call again.
 * COMPACT_IDLE, -EBADMSG (nothing is half done; the round is over). */
int compact_step(struct compact *compact, struct tree *tree, unsigned leaves_max);
