/* The format of conure.db. Owner: storaged. All numbers are little-endian; offsets and sizes are
 * bytes.
 *
 * The file is a row of 4096-byte pages. Pages 0 and 1 are the two meta pages; the transaction that
 * committed last wrote the one of its parity. All other pages are branches, leaves, overflow runs,
 * free-map runs, or free.
 *
 * PAGE HEADER (every page but the followers in a run)
 *   OFFSET SIZE
 *   0      4    CRC-32C of bytes 4..4095 (of a run: bytes 4..end of its last page)
 *   4      2    type: 1 meta, 2 branch, 3 leaf, 4 overflow, 5 free map
 *   6      2    count of slots (branch, leaf)
 *   8      8    own page number
 *   16     8    transaction that wrote it
 *   24     2    heap start: offset of the lowest record (branch, leaf)
 *   26     2    dead bytes among the records (branch, leaf)
 *   28     4    pages in the run (overflow, free map); 0 else
 *
 * BRANCH and LEAF: from 32 on, count x slot, in key order; records grow down from the page's end.
 *
 * SLOT
 *   0      2    offset of the record
 *   2      4    the key's head: its first four bytes, the first the most significant, zeros behind
 * a shorter key. A search compares heads and looks at a record only where they are equal.
 *
 * BRANCH RECORD: child of the keys >= key and < the next record's key
 *   0      8    child's page number
 *   8      8    child's transaction: with the number, what the parent pins
 *   16     2    key bytes (0 in the first record: below all keys)
 *   18     -    key
 *
 * LEAF RECORD
 *   0      2    key bytes, 1..1024; + 0x8000: the value is in an overflow run
 *   2      2    bytes behind the key
 *   4      8    revision: index of the log entry that wrote it
 *   12     -    key
 *   -      -    value, or the reference to its run:
 *               0 8 first page, 8 8 the run's transaction, 16 8 XXH3-64 of the value, 24 4 value
 *               bytes
 *
 * OVERFLOW RUN: contiguous pages, one header, then the value. FREE-MAP RUN: the same with a bitmap,
 * a bit for each page of the file, 1 = not reachable from this transaction's root.
 *
 * META PAGE (behind the header)
 *   32     8    magic "CONUREDB"
 *   40     4    format version
 *   44     4    page bytes (4096)
 *   48     8    root page         56 8 root's transaction
 *   64     8    pages in the file (used or free)
 *   72     8    keys
 *   80     8    applied index     88 8 applied term
 *   96     16   state hash
 *   112    8    free map's first page    120 8 its transaction
 *   128    16   store id, random, made with the file
 *   144    4    depth of the tree (1: the root is a leaf)
 *   148    4    configuration bytes
 *   152    -    configuration: raftd's membership, unread here (at most 3840), stepping over the
 *               stamps
 *   504 + 512 n, n = 0..7
 *          8    stamp: the transaction again. A disk may tear a page at its sectors, and numbers
 * are not used twice: so sectors of two attempts never make a page that is whole
 *
 * A value stands inline while its record and slot fill at most half of a page's room: then two
 * records always fit a page, and a split always finds a place. Larger ones go to runs. */
#pragma once

#include "crc32c.h"
#include "limits.h"
#include "wire.h"

#include <stdbool.h>
#include <stdint.h>

#define PAGE_BYTES 4096u
#define PAGE_FORMAT_VERSION 1u
#define PAGE_HEADER_BYTES 32u
#define PAGE_ROOM_BYTES (PAGE_BYTES - PAGE_HEADER_BYTES)
#define PAGE_METAS 2u
#define PAGE_MAGIC "CONUREDB"

enum page_type {
    PAGE_META = 1,
    PAGE_BRANCH = 2,
    PAGE_LEAF = 3,
    PAGE_OVERFLOW = 4,
    PAGE_FREE_MAP = 5
};

#define BRANCH_RECORD_BYTES 18u
#define LEAF_RECORD_BYTES 12u
#define LEAF_OVERFLOW 0x8000u
#define OVERFLOW_REFERENCE_BYTES 28u
#define SLOT_BYTES 6u
#define RECORD_BYTES_MAX (PAGE_ROOM_BYTES / 2 - SLOT_BYTES)

_Static_assert(LIMIT_KEY_BYTES_CAP < LEAF_OVERFLOW, "a key's length leaves the flag free");
_Static_assert(PAGE_ROOM_BYTES + PAGE_HEADER_BYTES == PAGE_BYTES, "header and room fill the page");
_Static_assert(BRANCH_RECORD_BYTES + LIMIT_KEY_BYTES_CAP <= RECORD_BYTES_MAX,
               "two separators fit a branch");
_Static_assert(LEAF_RECORD_BYTES + LIMIT_KEY_BYTES_CAP + OVERFLOW_REFERENCE_BYTES <=
                   RECORD_BYTES_MAX,
               "two records of the longest key fit a leaf");

/* A child, root or run as its parent knows it. Number 0 is never one (it is a meta page). */
struct page_pin {
    uint64_t number;
    uint64_t transaction;
};

static inline enum page_type page_type(const uint8_t *page)
{
    return (enum page_type)wire_load_u16(page + 4);
}

static inline uint64_t page_number(const uint8_t *page)
{
    return wire_load_u64(page + 8);
}

static inline uint64_t page_transaction(const uint8_t *page)
{
    return wire_load_u64(page + 16);
}

/* Pages in the run this page begins; 1 for all but overflow and free-map runs. */
static inline uint32_t page_run(const uint8_t *page)
{
    uint32_t run = wire_load_u32(page + 28);
    return run ? run : 1;
}

static inline uint32_t page_run_of_bytes(uint64_t payload_bytes)
{
    return (uint32_t)((payload_bytes + PAGE_HEADER_BYTES + PAGE_BYTES - 1) / PAGE_BYTES);
}

/* Zeroes the header (not the room) and fills in what is known. `run` is 0 but for runs. */
void page_begin(uint8_t *page, enum page_type type, uint64_t number, uint64_t transaction,
                uint32_t run);
/* Writes the checksum, the last thing before the page goes to disk. `pages` is its run. */
void page_seal(uint8_t *page, uint32_t pages);
bool page_is_sealed(const uint8_t *page, uint32_t pages);
