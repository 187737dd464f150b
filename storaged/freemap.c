#include "freemap.h"

#include "buffer.h"
#include "wire.h"

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

/* The first run of `pages` reusable pages in [from, until), or 0, word by word. Bits behind the
 * last page are 0. */
static uint64_t freemap_find(const struct freemap *map, uint64_t from, uint64_t until,
                             uint32_t pages)
{
    uint64_t length = 0;
    for (uint64_t at = from; at < until;) {
        uint64_t word = wire_load_u64(map->reusable + at / 64 * 8) >> at % 64;
        if (!(word & 1)) {
            at += word ? (uint64_t)__builtin_ctzll(word) : 64 - at % 64;
            length = 0;
            continue;
        }
        uint64_t ones = ~word ? (uint64_t)__builtin_ctzll(~word) : 64;
        if (length + ones >= pages)
            return at - length;
        length += ones;
        at += ones;
    }
    return 0;
}

void freemap_prefer_front(struct freemap *map)
{
    map->hint = map->run_hint = 0;
}

uint64_t freemap_take(struct freemap *map, uint32_t pages)
{
    if (map->reusable_count < pages)
        return 0;
    uint64_t *hint = pages == 1 ? &map->hint : &map->run_hint;
    uint64_t number = freemap_find(map, *hint, map->pages, pages);
    if (!number && *hint > 0)
        number = freemap_find(map, 0, map->pages, pages);
    if (!number)
        return 0;
    for (uint32_t i = 0; i < pages; i++) {
        assert(bit_get(map->unused, number + i));
        bit_clear(map->reusable, number + i);
        bit_clear(map->unused, number + i);
    }
    map->reusable_count -= pages;
    map->unused_count -= pages;
    if (map->reusable_count < map->reusable_low)
        map->reusable_low = map->reusable_count;
    *hint = number + pages;
    return number;
}

uint64_t freemap_count_in_runs(const struct freemap *map, uint32_t pages, uint64_t enough)
{
    uint64_t count = 0, at = 0;
    if (pages == 1)
        return map->reusable_count;
    while (count < enough && (at = freemap_find(map, at, map->pages, pages)) > 0) {
        count += pages;
        at += pages;
    }
    return count;
}

void freemap_make_reusable(struct freemap *map, uint64_t number, uint32_t pages)
{
    for (uint32_t i = 0; i < pages; i++) {
        assert(bit_get(map->unused, number + i) && !bit_get(map->reusable, number + i));
        bit_set(map->reusable, number + i);
    }
    map->reusable_count += pages;
}

static bool has_releasable(const struct freemap *map)
{
    return map->pending_first < map->pending_count &&
           map->pending[map->pending_first].build < map->committed_build;
}

void freemap_wait(struct freemap *map, uint64_t number, uint32_t pages, uint64_t build)
{
    if (map->pending_count == map->pending_capacity) {
        map->pending_capacity = map->pending_capacity ? map->pending_capacity * 2 : 1024;
        map->pending = realloc(map->pending, map->pending_capacity * sizeof(*map->pending));
        if (!map->pending)
            abort();
    }
    assert(!map->pending_count || map->pending[map->pending_count - 1].build <= build);
    map->pending[map->pending_count++] = (struct freemap_pending){number, build, pages};
}

void freemap_leave(struct freemap *map, uint64_t number, uint32_t pages)
{
    for (uint32_t i = 0; i < pages; i++) {
        assert(!bit_get(map->unused, number + i));
        bit_set(map->unused, number + i);
    }
    map->unused_count += pages;
}

void freemap_on_commit(struct freemap *map, uint64_t build)
{
    assert(!has_releasable(map));
    map->spare_count = map->reusable_low;
    map->committed_build = build;
    freemap_prefer_front(map);
}

static void pending_compact(struct freemap *map)
{
    map->pending_count -= map->pending_first;
    if (map->pending_first && map->pending_count)
        memmove(map->pending, map->pending + map->pending_first,
                map->pending_count * sizeof(*map->pending));
    map->pending_first = 0;
}

bool freemap_release_some(struct freemap *map, size_t pages)
{
    while (pages > 0 && has_releasable(map)) {
        const struct freemap_pending *run = &map->pending[map->pending_first++];
        freemap_make_reusable(map, run->number, run->pages);
        pages -= run->pages < pages ? run->pages : pages;
    }
    if (has_releasable(map))
        return false;
    pending_compact(map);
    map->reusable_low = map->reusable_count;
    freemap_prefer_front(map); /* so that the end of the file can be given back */
    return true;
}

/* Sixty-four pages at a time, as long as the end is free. */
static void trim_words(struct freemap *map)
{
    while (map->pages >= 64 && map->pages % 64 == 0 &&
           wire_load_u64(map->reusable + map->pages / 8 - 8) == UINT64_MAX) {
        map->pages -= 64;
        wire_store_u64(map->reusable + map->pages / 8, 0);
        wire_store_u64(map->unused + map->pages / 8, 0);
        map->reusable_count -= 64;
        map->unused_count -= 64;
    }
}

void freemap_trim(struct freemap *map)
{
    for (;;) {
        trim_words(map);
        if (!map->pages || !bit_get(map->reusable, map->pages - 1))
            break;
        map->pages--;
        bit_clear(map->reusable, map->pages);
        bit_clear(map->unused, map->pages);
        map->reusable_count--;
        map->unused_count--;
    }
    freemap_prefer_front(map);
    if (map->reusable_low > map->reusable_count)
        map->reusable_low = map->reusable_count;
    if (map->spare_count > map->reusable_count)
        map->spare_count = map->reusable_count;
}

void freemap_load(struct freemap *map, uint64_t pages, const uint8_t *newest, size_t newest_bytes,
                  const uint8_t *previous, size_t previous_bytes)
{
    freemap_grow(map, pages);
    for (uint64_t at = 0; at < pages && at / 8 < newest_bytes; at++) {
        if (!bit_get(newest, at))
            continue;
        freemap_leave(map, at, 1);
        if (!previous || at / 8 >= previous_bytes || bit_get(previous, at))
            freemap_make_reusable(map, at, 1);
        else
            freemap_wait(map, at, 1, 0);
    }
}
