/* httpd -> storaged: ordered scans of one view of the keys, in parts.
 *
 *   SCAN_OPEN:   u64 lowest applied index to answer at (0: as it is), u32 ms to wait for it,
 *                u8 flags, u64 most keys (0: all), blob start, blob end, blob after
 *   SCAN_PART:   u16 status, u64 scan, u64 index of the view, u64 keys so far, u8 more, u32 count,
 *                count x { u64 revision, blob key, blob value }    (reply to SCAN_OPEN and
 * SCAN_NEXT) SCAN_NEXT:   u64 scan, u32 part SCAN_CLOSE:  u64 scan             SCAN_CLOSED: empty
 *
 * SCAN_OPEN's answer is part 0. `scan` names the scan while there are more parts, and is 0 when
 * this was the last: storaged keeps nothing then. `more`, of the last part: the limit left keys
 * out; the last record names where it came to, also where keys are only counted. Parts are asked
 * for in order, one at a time.
 *
 * Statuses: OK, TIMEOUT (the index was not reached in time, or the view has been given up),
 * NOT_FOUND (no such scan: it was closed, or given up for others), BUSY (too many), DAMAGED. */
#pragma once

#include "buffer.h"
#include "propose.h"
#include "wire.h"

#include <stdbool.h>
#include <stdint.h>

enum scan_flags {
    SCAN_REVERSE = 1,
    SCAN_KEYS_ONLY = 2,  /* values are empty */
    SCAN_COUNT_ONLY = 4, /* no records, but the last one where there are more */
    SCAN_GLANCE = 8,     /* only if it fits one part: else BUSY */
};
#define SCAN_FLAGS_MAX (SCAN_REVERSE | SCAN_KEYS_ONLY | SCAN_COUNT_ONLY | SCAN_GLANCE)

/* Keys from `start` on, before `end`, and behind `after` in the scan's direction; each may be
 * empty: no bound. */
struct scan_open {
    uint64_t index_min;
    uint32_t wait_ms;
    uint8_t flags;
    uint64_t keys_max;
    const uint8_t *start, *end, *after;
    size_t start_bytes, end_bytes, after_bytes;
};
void scan_open_encode(struct buffer *into, const struct scan_open *open);
int scan_open_decode(struct wire_reader *body, struct scan_open *ret_open);

struct scan_next {
    uint64_t scan;
    uint32_t part;
};
void scan_next_encode(struct buffer *into, const struct scan_next *next);
int scan_next_decode(struct wire_reader *body, struct scan_next *ret_next);
void scan_close_encode(struct buffer *into, uint64_t scan);
int scan_close_decode(struct wire_reader *body, uint64_t *ret_scan);

struct scan_part_head {
    uint16_t status;
    uint64_t scan;
    uint64_t index;
    uint64_t keys;
    bool more;
};
struct scan_record {
    uint64_t revision;
    const uint8_t *key, *value;
    size_t key_bytes, value_bytes;
};
/* Built record by record; finish fills in the head. */
void scan_part_begin(struct buffer *into);
void scan_part_add(struct buffer *into, const struct scan_record *record);
void scan_part_finish(struct buffer *into, const struct scan_part_head *head);
int scan_part_decode(struct wire_reader *body, struct scan_part_head *ret_head,
                     struct message_list *ret_list);
bool scan_part_next(struct message_list *list, struct scan_record *ret_record);
