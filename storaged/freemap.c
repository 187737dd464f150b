#include "freemap.h"

#include "buffer.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

static bool bit_get(const uint8_t *bits, uint64_t at)
{
    return bits[at / 8] >> (at % 8) & 1;
}

static void bit_set(uint8_t *bits, uint64_t at)
{
    bits[at / 8] = (uint8_t)(bits[at / 8] | 1u << at % 8);
}

static void bit_clear(uint8_t *bits, uint64_t at)
{
    bits[at / 8] = (uint8_t)(bits[at / 8] & ~(1u << at % 8));
}

void freemap_free(struct freemap *map)
{
    free(map->unused);
    free(map->reusable);
    free(map->pending);
    *map = (struct freemap){0};
}

static uint8_t *bits_grow(uint8_t *bits, size_t old_bytes, size_t bytes)
{
    uint8_t *grown = realloc(bits, bytes);
    if (!grown)
        abort();
    memset(grown + old_bytes, 0, bytes - old_bytes);
    return grown;
}

void freemap_grow(struct freemap *map, uint64_t pages)
{
    assert(pages >= map->pages);
    if (pages > map->pages_capacity) {
        uint64_t capacity = map->pages_capacity ? map->pages_capacity : 4096;
        while (capacity < pages)
            capacity *= 2;
        size_t old_bytes = freemap_bytes(map->pages_capacity), bytes = freemap_bytes(capacity);
        map->unused = bits_grow(map->unused, old_bytes, bytes);
        map->reusable = bits_grow(map->reusable, old_bytes, bytes);
        map->pages_capacity = capacity;
    }
    map->pages = pages;
}

/* The first run of `pages` reusable pages in [from, until), or 0. Whole zero bytes are stepped
 * over. */
static uint64_t freemap_find(const struct freemap *map, uint64_t from, uint64_t until,
                             uint32_t pages)
{
    uint64_t length = 0;
    for (uint64_t at = from; at < until; at++) {
        if (at % 8 == 0 && map->reusable[at / 8] == 0) {
            at += 7;
            length = 0;
            continue;
        }
        length = bit_get(map->reusable, at) ? length + 1 : 0;
        if (length == pages)
            return at + 1 - pages;
    }
    return 0;
}

uint64_t freemap_take(struct freemap *map, uint32_t pages)
{
    if (map->reusable_count < pages)
        return 0;
    uint64_t number = freemap_find(map, map->hint, map->pages, pages);
    if (!number && map->hint > 0)
        number = freemap_find(map, 0, map->pages, pages);
    if (!number)
        return 0;
    for (uint32_t i = 0; i < pages; i++) {
        assert(bit_get(map->unused, number + i));
        bit_clear(map->reusable, number + i);
        bit_clear(map->unused, number + i);
    }
    map->reusable_count -= pages;
    map->hint = number + pages;
    return number;
}

static void freemap_make_reusable(struct freemap *map, uint64_t number, uint32_t pages)
{
    for (uint32_t i = 0; i < pages; i++) {
        assert(bit_get(map->unused, number + i) && !bit_get(map->reusable, number + i));
        bit_set(map->reusable, number + i);
    }
    map->reusable_count += pages;
}

static void freemap_wait(struct freemap *map, uint64_t number, uint32_t pages, uint64_t transaction)
{
    if (map->pending_count == map->pending_capacity) {
        map->pending_capacity = map->pending_capacity ? map->pending_capacity * 2 : 1024;
        map->pending = realloc(map->pending, map->pending_capacity * sizeof(*map->pending));
        if (!map->pending)
            abort();
    }
    map->pending[map->pending_count++] = (struct freemap_pending){number, transaction, pages};
}

void freemap_give(struct freemap *map, uint64_t number, uint32_t pages, uint64_t transaction,
                  bool now)
{
    for (uint32_t i = 0; i < pages; i++) {
        assert(!bit_get(map->unused, number + i));
        bit_set(map->unused, number + i);
    }
    if (now)
        freemap_make_reusable(map, number, pages);
    else
        freemap_wait(map, number, pages, transaction);
}

void freemap_on_commit(struct freemap *map, uint64_t committed)
{
    while (map->pending_first < map->pending_count &&
           map->pending[map->pending_first].transaction < committed) {
        const struct freemap_pending *run = &map->pending[map->pending_first++];
        freemap_make_reusable(map, run->number, run->pages);
    }
    size_t left = map->pending_count - map->pending_first;
    if (left)
        memmove(map->pending, map->pending + map->pending_first, left * sizeof(*map->pending));
    map->pending_first = 0;
    map->pending_count = left;
    map->hint = 0; /* prefer the front of the file, so that its end can be given back */
}

void freemap_load(struct freemap *map, uint64_t pages, const uint8_t *newest, size_t newest_bytes,
                  const uint8_t *previous, size_t previous_bytes, uint64_t transaction)
{
    freemap_grow(map, pages);
    for (uint64_t at = 0; at < pages && at / 8 < newest_bytes; at++) {
        if (!bit_get(newest, at))
            continue;
        bit_set(map->unused, at);
        if (!previous || at / 8 >= previous_bytes || bit_get(previous, at))
            freemap_make_reusable(map, at, 1);
        else
            freemap_wait(map, at, 1, transaction);
    }
}
