/* Branches and leaves as slotted pages: records in key order behind an array of offsets (page.h).
 * Owner: storaged.
 *
 * Pure functions on one page in memory; nothing here allocates, reads files, or knows the tree. A
 * page that came from disk is checked once by node_is_sound before any other function sees it: they
 * assert, they do not check. */
#pragma once

#include "page.h"

#include <stddef.h>

/* Bytes with a length, pointing into a page or a command. */
struct node_bytes {
    const uint8_t *bytes;
    size_t length;
};

static inline uint16_t node_count(const uint8_t *page)
{
    return wire_load_u16(page + 6);
}

const uint8_t *node_record(const uint8_t *page, unsigned slot);
size_t node_record_bytes(const uint8_t *page, unsigned slot);
struct node_bytes node_key(const uint8_t *page, unsigned slot);
struct page_pin branch_child(const uint8_t *page, unsigned slot);
void branch_set_child(uint8_t *page, unsigned slot, struct page_pin child);

int node_compare(struct node_bytes a, struct node_bytes b);

/* Leaf: the first slot whose key is >= key; *ret_found tells whether it is equal. */
unsigned leaf_search(const uint8_t *page, struct node_bytes key, bool *ret_found);
/* Branch: the slot of the child that holds the key. */
unsigned branch_search(const uint8_t *page, struct node_bytes key);

/* Bytes of records and slots in use: what a merge or split has to move. */
size_t node_used_bytes(const uint8_t *page);

/* Puts a record at `slot`; the caller fills the returned bytes, with this key in its place. NULL if
 * the page has no room for it, even compacted. */
uint8_t *node_insert(uint8_t *page, unsigned slot, size_t record_bytes, struct node_bytes key);
void node_remove(uint8_t *page, unsigned slot);

/* Forgets all records. */
void node_clear(uint8_t *page);
/* Appends slots first..last-1 of `from` to `into`, which must have room. */
void node_append(uint8_t *into, const uint8_t *from, unsigned first, unsigned last);

/* True if all offsets, lengths and counts lie within the page, the keys are in order, and the
 * slots' heads are theirs. */
bool node_is_sound(const uint8_t *page);

/* Record layouts. */
size_t leaf_record_bytes(size_t key_bytes, size_t inline_bytes);
void branch_record_write(uint8_t *record, struct page_pin child, struct node_bytes key);
