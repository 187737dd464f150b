#include "node.h"

#include <assert.h>

static uint16_t heap_start(const uint8_t *page)
{
    return wire_load_u16(page + 24);
}

static uint16_t dead_bytes(const uint8_t *page)
{
    return wire_load_u16(page + 26);
}

static void set_head(uint8_t *page, unsigned count, unsigned heap, unsigned dead)
{
    wire_store_u16(page + 6, (uint16_t)count);
    wire_store_u16(page + 24, (uint16_t)heap);
    wire_store_u16(page + 26, (uint16_t)dead);
}

static uint16_t slot_offset(const uint8_t *page, unsigned slot)
{
    return wire_load_u16(page + PAGE_HEADER_BYTES + slot * SLOT_BYTES);
}

static uint32_t slot_head(const uint8_t *page, unsigned slot)
{
    return wire_load_u32(page + PAGE_HEADER_BYTES + slot * SLOT_BYTES + 2);
}

static void set_slot(uint8_t *page, unsigned slot, unsigned offset, uint32_t head)
{
    wire_store_u16(page + PAGE_HEADER_BYTES + slot * SLOT_BYTES, (uint16_t)offset);
    wire_store_u32(page + PAGE_HEADER_BYTES + slot * SLOT_BYTES + 2, head);
}

static uint32_t head_of(struct node_bytes key)
{
    uint8_t bytes[4] = {0};
    if (key.length >= sizeof(bytes))
        memcpy(bytes, key.bytes, sizeof(bytes));
    else
        for (size_t i = 0; i < key.length; i++)
            bytes[i] = key.bytes[i];
    return __builtin_bswap32(wire_load_u32(bytes));
}

/* ---- records ---- */

const uint8_t *node_record(const uint8_t *page, unsigned slot)
{
    return page + slot_offset(page, slot);
}

static size_t leaf_key_bytes(const uint8_t *record)
{
    return wire_load_u16(record) & ~LEAF_OVERFLOW;
}

static size_t record_bytes_of(const uint8_t *page, const uint8_t *record)
{
    if (page_type(page) == PAGE_BRANCH)
        return BRANCH_RECORD_BYTES + wire_load_u16(record + 16);
    return LEAF_RECORD_BYTES + leaf_key_bytes(record) + wire_load_u16(record + 2);
}

size_t node_record_bytes(const uint8_t *page, unsigned slot)
{
    return record_bytes_of(page, node_record(page, slot));
}

struct node_bytes node_key(const uint8_t *page, unsigned slot)
{
    const uint8_t *record = node_record(page, slot);
    if (page_type(page) == PAGE_BRANCH)
        return (struct node_bytes){record + BRANCH_RECORD_BYTES, wire_load_u16(record + 16)};
    return (struct node_bytes){record + LEAF_RECORD_BYTES, leaf_key_bytes(record)};
}

struct page_pin branch_child(const uint8_t *page, unsigned slot)
{
    const uint8_t *record = node_record(page, slot);
    return (struct page_pin){wire_load_u64(record), wire_load_u64(record + 8)};
}

void branch_set_child(uint8_t *page, unsigned slot, struct page_pin child)
{
    uint8_t *record = page + slot_offset(page, slot);
    wire_store_u64(record, child.number);
    wire_store_u64(record + 8, child.transaction);
}

size_t leaf_record_bytes(size_t key_bytes, size_t inline_bytes)
{
    return LEAF_RECORD_BYTES + key_bytes + inline_bytes;
}

void branch_record_write(uint8_t *record, struct page_pin child, struct node_bytes key)
{
    wire_store_u64(record, child.number);
    wire_store_u64(record + 8, child.transaction);
    wire_store_u16(record + 16, (uint16_t)key.length);
    if (key.length)
        memcpy(record + BRANCH_RECORD_BYTES, key.bytes, key.length);
}

/* ---- search ---- */

int node_compare(struct node_bytes a, struct node_bytes b)
{
    size_t common = a.length < b.length ? a.length : b.length;
    int order = common ? memcmp(a.bytes, b.bytes, common) : 0;
    return order ? order : (a.length > b.length) - (a.length < b.length);
}

/* The first slot of low..high-1 whose head is >= head, else high. Without a branch: which way it
 * goes is chance. */
static unsigned heads_search(const uint8_t *page, unsigned low, unsigned high, uint32_t head)
{
    const uint8_t *base = page + PAGE_HEADER_BYTES + low * SLOT_BYTES;
    unsigned count = high - low;
    while (count > 1) {
        unsigned half = count / 2;
        base = wire_load_u32(base + (half - 1) * SLOT_BYTES + 2) < head ? base + half * SLOT_BYTES
                                                                        : base;
        count -= half;
    }
    unsigned at = (unsigned)(base - page - PAGE_HEADER_BYTES) / SLOT_BYTES;
    return at + (count && wire_load_u32(base + 2) < head);
}

/* The first slot from `low` on whose key is >= key (or > key: `above`). Heads decide nearly always,
 * and they stand side by side. */
static unsigned node_search(const uint8_t *page, unsigned low, struct node_bytes key, bool above)
{
    unsigned high = node_count(page);
    uint32_t head = head_of(key);
    low = heads_search(page, low, high, head);
    if (low < high && slot_head(page, low) == head && head < UINT32_MAX)
        high = heads_search(page, low, high, head + 1);
    while (low < high && slot_head(page, low) == head) {
        unsigned middle = (low + high) / 2;
        int order = node_compare(node_key(page, middle), key);
        if (order < 0 || (above && order == 0))
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

unsigned leaf_search(const uint8_t *page, struct node_bytes key, bool *ret_found)
{
    unsigned slot = node_search(page, 0, key, false);
    *ret_found = slot < node_count(page) && slot_head(page, slot) == head_of(key) &&
                 node_compare(node_key(page, slot), key) == 0;
    return slot;
}

unsigned branch_search(const uint8_t *page, struct node_bytes key)
{
    return node_search(page, 1, key, true) - 1; /* the first record is below all keys */
}

/* ---- changes ---- */

size_t node_used_bytes(const uint8_t *page)
{
    return PAGE_BYTES - heap_start(page) - dead_bytes(page) + (size_t)node_count(page) * SLOT_BYTES;
}

static void node_compact(uint8_t *page)
{
    uint8_t copy[PAGE_BYTES];
    unsigned count = node_count(page), heap = PAGE_BYTES;
    memcpy(copy, page, PAGE_BYTES);
    for (unsigned slot = 0; slot < count; slot++) {
        size_t bytes = node_record_bytes(copy, slot);
        heap -= (unsigned)bytes;
        memcpy(page + heap, node_record(copy, slot), bytes);
        set_slot(page, slot, heap, slot_head(copy, slot));
    }
    set_head(page, count, heap, 0);
}

uint8_t *node_insert(uint8_t *page, unsigned slot, size_t record_bytes, struct node_bytes key)
{
    unsigned count = node_count(page);
    assert(slot <= count && record_bytes <= RECORD_BYTES_MAX);
    if (node_used_bytes(page) + record_bytes + SLOT_BYTES > PAGE_ROOM_BYTES)
        return NULL;
    size_t slots_end = PAGE_HEADER_BYTES + (count + 1) * (size_t)SLOT_BYTES;
    if (slots_end + record_bytes > heap_start(page))
        node_compact(page);
    unsigned heap = heap_start(page) - (unsigned)record_bytes;
    uint8_t *slots = page + PAGE_HEADER_BYTES;
    memmove(slots + (slot + 1) * SLOT_BYTES, slots + slot * SLOT_BYTES,
            (count - slot) * SLOT_BYTES);
    set_slot(page, slot, heap, head_of(key));
    set_head(page, count + 1, heap, dead_bytes(page));
    return page + heap;
}

void node_remove(uint8_t *page, unsigned slot)
{
    unsigned count = node_count(page);
    assert(slot < count);
    unsigned bytes = (unsigned)node_record_bytes(page, slot);
    unsigned heap = heap_start(page), dead = dead_bytes(page);
    if (slot_offset(page, slot) == heap)
        heap += bytes;
    else
        dead += bytes;
    uint8_t *slots = page + PAGE_HEADER_BYTES;
    memmove(slots + slot * SLOT_BYTES, slots + (slot + 1) * SLOT_BYTES,
            (count - slot - 1) * SLOT_BYTES);
    if (count == 1) {
        heap = PAGE_BYTES;
        dead = 0;
    }
    set_head(page, count - 1, heap, dead);
}

void node_clear(uint8_t *page)
{
    set_head(page, 0, PAGE_BYTES, 0);
    memset(page + PAGE_HEADER_BYTES, 0, PAGE_ROOM_BYTES);
}

void node_append(uint8_t *into, const uint8_t *from, unsigned first, unsigned last)
{
    for (unsigned slot = first; slot < last; slot++) {
        size_t bytes = node_record_bytes(from, slot);
        uint8_t *record = node_insert(into, node_count(into), bytes, node_key(from, slot));
        assert(record);
        memcpy(record, node_record(from, slot), bytes);
    }
}

/* ---- pages from disk ---- */

static bool record_is_sound(const uint8_t *page, unsigned slot, unsigned heap)
{
    bool branch = page_type(page) == PAGE_BRANCH;
    unsigned offset = slot_offset(page, slot);
    size_t fixed = branch ? BRANCH_RECORD_BYTES : LEAF_RECORD_BYTES;
    if (offset < heap || offset + fixed > PAGE_BYTES)
        return false;
    size_t bytes = record_bytes_of(page, page + offset);
    if (offset + bytes > PAGE_BYTES || bytes > RECORD_BYTES_MAX)
        return false;
    if (!branch && (wire_load_u16(page + offset) & LEAF_OVERFLOW) &&
        wire_load_u16(page + offset + 2) != OVERFLOW_REFERENCE_BYTES)
        return false;
    size_t key_bytes = node_key(page, slot).length;
    if (slot_head(page, slot) != head_of(node_key(page, slot)))
        return false;
    if (key_bytes > LIMIT_KEY_BYTES_CAP || (key_bytes == 0) != (branch && slot == 0))
        return false;
    return slot == 0 || node_compare(node_key(page, slot - 1), node_key(page, slot)) < 0;
}

bool node_is_sound(const uint8_t *page)
{
    unsigned count = node_count(page), heap = heap_start(page);
    size_t slots_end = PAGE_HEADER_BYTES + (size_t)count * SLOT_BYTES;
    if (slots_end > heap || heap > PAGE_BYTES || heap + dead_bytes(page) > PAGE_BYTES)
        return false;
    if (page_type(page) == PAGE_BRANCH && count == 0)
        return false;
    size_t record_bytes = 0;
    for (unsigned slot = 0; slot < count; slot++) {
        if (!record_is_sound(page, slot, heap))
            return false;
        record_bytes += node_record_bytes(page, slot);
    }
    return heap + dead_bytes(page) + record_bytes == PAGE_BYTES; /* so no two overlap in sum */
}
