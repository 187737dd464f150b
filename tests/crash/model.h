/* What a store should hold at any index: the history of every key, and of the commits. Owner:
 * tests/crash.
 *
 * A value is known by its seed and length; keys by a number. An index is one applied entry. */
#pragma once

#include "random.h"
#include "store.h"

#include <stdbool.h>

#define MODEL_KEYS_MAX 512u
#define MODEL_COMMITS_MAX 512u

struct model_change {
    uint64_t index;
    unsigned key;
    bool deleted;
    uint32_t seed;
    uint32_t bytes;
};

/* What one checkpoint makes durable, all together (invariant 5). */
struct model_commit {
    uint64_t index;
    uint64_t keys;
    uint8_t hash[16];
    uint64_t configuration_index; /* of the entry that set it; 0: none */
};

struct model {
    uint64_t seed;          /* of the entries */
    unsigned keys_count;    /* keys in play */
    unsigned key_bytes_max; /* the longest of them */
    uint32_t value_bytes_max;
    uint32_t wave; /* entries of mostly puts, then as many of mostly deletes; 0: an even mix */
    struct model_change *changes;
    size_t changes_count, changes_capacity;
    uint64_t configuration_index;
    struct model_commit commits[MODEL_COMMITS_MAX]; /* 0: the empty store */
    unsigned commits_count;
};

/* A shape of keys and values: few and short, many and long, large values. */
void model_begin(struct model *model, struct random *random);
void model_free(struct model *model);
/* Another model with what this one holds at the commit, which is its last one. */
void model_branch(const struct model *model, unsigned commit, struct model *ret_branch);
/* Forgets what came after the last commit: the store was opened again. */
void model_roll_back(struct model *model);

/* Applies the next entry (put, delete, no-op, configuration) to the store and notes it. What an
 * index holds is a function of the seed: after a crash the same entries come again, as from the
 * log. The store's code, if it failed. */
int model_apply_next(struct model *model, struct store *store);
/* Notes a checkpoint that began now. Its number. */
unsigned model_note_commit(struct model *model, struct store *store);

/* True if the store holds exactly what the model says at `index`; prints what differs. */
bool model_equals(const struct model *model, uint64_t index, struct store *store);
/* The configuration entry of this index. Returns its length. */
size_t model_configuration(uint64_t index, uint8_t bytes[LIMIT_CONFIGURATION_BYTES_MAX]);
