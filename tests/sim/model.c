#include "model.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

uint64_t model_log_last(const struct model_log *log)
{
    return log->base_index + log->count;
}

const struct model_entry *model_log_at(const struct model_log *log, uint64_t index)
{
    assert(index > log->base_index && index <= model_log_last(log));
    return &log->entries[index - log->base_index - 1];
}

void model_log_append(struct model_log *log, const struct model_entry *entry)
{
    if (log->count == log->capacity) {
        log->capacity = log->capacity ? log->capacity * 2 : 64;
        log->entries = realloc(log->entries, log->capacity * sizeof(*log->entries));
        assert(log->entries);
    }
    log->entries[log->count++] = *entry;
}

void model_log_truncate(struct model_log *log, uint64_t index)
{
    assert(index > log->base_index);
    if (index <= model_log_last(log))
        log->count = index - log->base_index - 1;
}

void model_log_cut(struct model_log *log, uint64_t index, const struct raft_configuration *base)
{
    if (index <= log->base_index)
        return;
    uint64_t gone = index - log->base_index;
    log->base_configuration = *base;
    log->base_term = model_log_at(log, index)->term;
    memmove(log->entries, log->entries + gone, (log->count - gone) * sizeof(*log->entries));
    log->count -= gone;
    log->base_index = index;
}

void model_log_reset(struct model_log *log, uint64_t index, uint64_t term,
                     const struct raft_configuration *configuration)
{
    log->base_index = index;
    log->base_term = term;
    log->base_configuration = *configuration;
    log->count = 0;
}

void model_log_copy(struct model_log *to, const struct model_log *from)
{
    model_log_reset(to, from->base_index, from->base_term, &from->base_configuration);
    for (uint64_t i = 0; i < from->count; i++)
        model_log_append(to, &from->entries[i]);
}

void model_log_free(struct model_log *log)
{
    free(log->entries);
    *log = (struct model_log){0};
}

const struct raft_configuration *model_log_configuration(const struct model_log *log,
                                                         uint64_t index)
{
    for (uint64_t at = index; at > log->base_index; at--)
        if (model_log_at(log, at)->configuration)
            return model_log_at(log, at)->configuration;
    return &log->base_configuration;
}

static uint64_t mix(uint64_t hash, uint64_t word)
{
    hash = (hash ^ word) * 0x9e3779b97f4a7c15u;
    return hash ^ hash >> 29;
}

void model_store_apply(struct model_store *store, uint64_t index, const struct model_entry *entry)
{
    assert(index == store->applied_index + 1);
    store->applied_index = index;
    store->applied_term = entry->term;
    store->hash = mix(mix(mix(store->hash, index), entry->term), entry->value + entry->kind);
    if (entry->kind == RAFT_COMMAND)
        store->values[entry->key] = entry->value;
    if (entry->configuration)
        store->configuration = *entry->configuration;
}
