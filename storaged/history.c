#include "history.h"

#include "buffer.h"

#include <stdlib.h>
#include <string.h>

/* Places count all changes there ever were; a place's change is in the ring as long as it is
 * remembered. */
struct history {
    struct history_change *ring[HISTORY_CHANGES_MAX];
    uint64_t first, end; /* places */
    uint64_t oldest;
    uint64_t bytes;
};

static uint64_t bytes_of(const struct history_change *change)
{
    return sizeof(*change) + change->key_bytes + change->value_bytes;
}

static struct history_change **slot(const struct history *history, uint64_t place)
{
    return (struct history_change **)&history->ring[place % HISTORY_CHANGES_MAX];
}

/* What is left of its entry is not whole any more. */
static void forget_first(struct history *history)
{
    struct history_change *change = *slot(history, history->first++);
    history->oldest = change->index + 1;
    history->bytes -= bytes_of(change);
    free(change);
}

struct history *history_new(uint64_t index)
{
    struct history *history = memory_new_zeroed(1, sizeof(*history));
    history->oldest = index + 1;
    return history;
}

void history_free(struct history *history)
{
    if (history)
        history_reset(history, 0);
    free(history);
}

void history_reset(struct history *history, uint64_t index)
{
    while (history->first < history->end)
        forget_first(history);
    history->oldest = index + 1;
}

void history_add(struct history *history, uint64_t index, uint8_t kind, struct node_bytes key,
                 struct node_bytes value)
{
    struct history_change *change = memory_new(sizeof(*change) + key.length + value.length);
    const struct history_change *last =
        history->first < history->end ? *slot(history, history->end - 1) : NULL;
    *change =
        (struct history_change){.index = index,
                                .ordinal = last && last->index == index ? last->ordinal + 1 : 1,
                                .kind = kind,
                                .key_bytes = (uint32_t)key.length,
                                .value_bytes = (uint32_t)value.length};
    memcpy(change->bytes, key.bytes, key.length);
    if (value.length)
        memcpy(change->bytes + key.length, value.bytes, value.length);
    history->bytes += bytes_of(change);
    while (history->first < history->end && (history->bytes > HISTORY_BYTES_MAX ||
                                             history->end - history->first == HISTORY_CHANGES_MAX))
        forget_first(history);
    *slot(history, history->end++) = change;
}

uint64_t history_oldest(const struct history *history)
{
    return history->oldest;
}

uint64_t history_find(const struct history *history, uint64_t index, uint32_t skip)
{
    uint64_t low = history->first, high = history->end;
    while (low < high) {
        uint64_t middle = low + (high - low) / 2;
        const struct history_change *change = *slot(history, middle);
        if (change->index < index || (change->index == index && change->ordinal <= skip))
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

const struct history_change *history_at(const struct history *history, uint64_t place)
{
    return place < history->end ? *slot(history, place) : NULL;
}
