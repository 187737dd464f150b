/* The last changes of keys, in index order, for who watches: in memory, bounded; the oldest go
 * first. Owner: storaged. */
#pragma once

#include "node.h"

#include <stdbool.h>
#include <stdint.h>

/* A watcher that is further behind reads the keys anew. Some seconds of full load, or hours of a
 * quiet node. */
#define HISTORY_BYTES_MAX (8u << 20)
#define HISTORY_CHANGES_MAX 65536u /* a power of two */

struct history;

struct history_change {
    uint64_t index;
    uint32_t ordinal; /* among the entry's changes, from 1 */
    uint8_t kind;     /* enum watch_kind */
    uint32_t key_bytes, value_bytes;
    uint8_t bytes[]; /* key, value */
};

/* It is whole from the entry behind this index on. */
struct history *history_new(uint64_t index);
void history_free(struct history *history);
/* Forgets all; whole from the entry behind this index on. */
void history_reset(struct history *history, uint64_t index);
/* Of this entry, or a later one than the last. */
void history_add(struct history *history, uint64_t index, uint8_t kind, struct node_bytes key,
                 struct node_bytes value);
/* From this entry on it is whole. */
uint64_t history_oldest(const struct history *history);
/* The place of the first change of `index` behind its first `skip`, or of a later entry. */
uint64_t history_find(const struct history *history, uint64_t index, uint32_t skip);
/* NULL: there is none yet. Places go on by one. */
const struct history_change *history_at(const struct history *history, uint64_t place);
