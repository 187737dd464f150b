/* Which pages of the file are in use, and when a freed page may be written again. Owner: storaged.
 *
 * A page freed while transaction X is being built is still reachable from the metas of X-1 and
 * perhaps X-2. Once X+1 is committed the two metas on disk are X and X+1, and neither reaches it:
 * from then on it is reusable. A page that was allocated and freed within one transaction was never
 * on any meta and is reusable at once.
 *
 * Two bitmaps over the pages: `unused` (not reachable from the tree being built: this is what a
 * commit writes) and `reusable` (may be allocated), and the runs waiting to become reusable, in the
 * order of their transactions. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct freemap_pending {
    uint64_t number;
    uint64_t transaction;
    uint32_t pages;
};

struct freemap {
    uint8_t *unused, *reusable;
    uint64_t pages;          /* bits in use: the pages of the file */
    uint64_t pages_capacity; /* bits allocated */
    uint64_t reusable_count;
    uint64_t hint; /* where the next search begins */
    struct freemap_pending *pending;
    size_t pending_first, pending_count, pending_capacity;
};

void freemap_free(struct freemap *map);
/* The file has `pages` pages now (never fewer than before); new ones are in use until said
 * otherwise. */
void freemap_grow(struct freemap *map, uint64_t pages);

/* A run of `pages` reusable pages, marked in use, or 0 if there is none. */
uint64_t freemap_take(struct freemap *map, uint32_t pages);
/* The run is not reachable any more. `now`: it never was on a meta. Else it waits for the commit of
 * transaction + 1. */
void freemap_give(struct freemap *map, uint64_t number, uint32_t pages, uint64_t transaction,
                  bool now);
/* Transaction `committed` is on disk. */
void freemap_on_commit(struct freemap *map, uint64_t committed);

/* At open: unused = `newest`; reusable = those also unused in `previous` (NULL: there is no other
 * meta); the rest wait for the next commit after `transaction`. Both bitmaps have `bytes` bytes or
 * are NULL. */
void freemap_load(struct freemap *map, uint64_t pages, const uint8_t *newest, size_t newest_bytes,
                  const uint8_t *previous, size_t previous_bytes, uint64_t transaction);

static inline size_t freemap_bytes(uint64_t pages)
{
    return (size_t)((pages + 7) / 8);
}

static inline bool freemap_is_unused(const struct freemap *map, uint64_t number)
{
    return map->unused[number / 8] >> (number % 8) & 1;
}
