/* What stands in for raftd's log and for storaged in the simulator. */
#pragma once

#include "raft.h"

#define MODEL_KEYS 3u

struct model_entry {
    uint64_t term;
    enum raft_kind kind;
    uint32_t key;   /* commands: put this value */
    uint64_t value; /* unique */
    const struct raft_configuration *configuration;
    uint64_t committed_in; /* of what is known to be committed: the term that did it */
};

/* Entries behind a base, and the configuration as of the base. */
struct model_log {
    uint64_t base_index, base_term;
    struct raft_configuration base_configuration;
    uint64_t count, capacity;
    struct model_entry *entries;
};

struct model_store {
    uint64_t applied_index, applied_term;
    uint64_t hash; /* of all entries applied, in order */
    uint64_t values[MODEL_KEYS];
    struct raft_configuration configuration; /* as of the applied index */
};

uint64_t model_log_last(const struct model_log *log);
const struct model_entry *model_log_at(const struct model_log *log, uint64_t index);
void model_log_append(struct model_log *log, const struct model_entry *entry);
void model_log_truncate(struct model_log *log, uint64_t index);
void model_log_cut(struct model_log *log, uint64_t index, const struct raft_configuration *base);
void model_log_reset(struct model_log *log, uint64_t index, uint64_t term,
                     const struct raft_configuration *configuration);
void model_log_copy(struct model_log *to, const struct model_log *from);
void model_log_free(struct model_log *log);
/* The newest configuration at or below `index`. */
const struct raft_configuration *model_log_configuration(const struct model_log *log,
                                                         uint64_t index);

void model_store_apply(struct model_store *store, uint64_t index, const struct model_entry *entry);
