/* What a crash state of the store may hold, and the checks of it. Owner: tests/crash. Each prints
 * what it finds. */
#pragma once

#include "model.h"

#define TREE_FILE "conure.db"

struct round {
    struct model model;
    unsigned exhaustive_max; /* choices of which every combination is looked at */
    unsigned depth;          /* crashes before this one */
    unsigned base;           /* the commit that was found when it began */
    unsigned durable, begun; /* commits, as the replay goes on */
    struct random *random;
};

/* The commit of this index, if it may be found now; NULL else. */
const struct model_commit *round_commit(const struct round *round, uint64_t index);
/* The file opens to a legal commit, in all of its parts, and all of its tree agrees. *ret_meta is
 * zero if there is no file, legally. */
bool round_check_file(const struct round *round, struct meta *ret_meta);
/* The newest meta page goes bad: then the file opens to the commit before, as a whole, or, while
 * the other meta page is being written or was lost in the last crash, with a clear refusal. */
bool round_check_fallback(const struct round *round, const struct meta *meta);
/* Record for record, through the store. Opening must not have changed the file. */
bool round_check_content(const struct round *round, uint64_t index);
