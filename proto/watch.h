/* httpd -> storaged: what changed, in index order.
 *
 *   WATCH:     u64 from index, u32 skip, u8 filter, u32 ms to wait, u32 bytes, blob key
 *   WATCH_OK:  u16 status, u64 oldest, u64 applied, u64 next index, u32 next skip, u32 count,
 *              count x { u64 index, u32 ordinal, u8 kind, blob key, blob value }
 *
 * The changes of index `from` but for its first `skip`, and those behind it, as far as they pass
 * the filter and `bytes` go (one at least, if there is one). It goes on at `next`: behind what is
 * applied, or where the answer was full. Answered once `from` is applied, or when its time is over.
 * An entry may make several changes: `ordinal` counts all of an entry, from 1, and is 0 for the
 * last that passes the filter.
 *
 * Statuses: OK; GAP: what happened from there on is not remembered whole, only from `oldest` on.
 * From index 0 is from what comes next. */
#pragma once

#include "buffer.h"
#include "propose.h"
#include "wire.h"

#include <stdbool.h>
#include <stdint.h>

enum watch_filter {
    WATCH_NOTHING = 0, /* only says when `from` is applied */
    WATCH_KEY = 1,
    WATCH_PREFIX = 2,
};

enum watch_kind { WATCH_PUT = 1, WATCH_DELETE = 2 };

struct watch {
    uint64_t from;
    uint32_t skip;
    uint8_t filter;
    uint32_t wait_ms;
    uint32_t bytes_soft;
    const uint8_t *key;
    size_t key_bytes;
};
void watch_encode(struct buffer *into, const struct watch *watch);
/* 0 or -EPROTO; the key points into the body. */
int watch_decode(struct wire_reader *body, struct watch *ret_watch);

struct watch_head {
    uint16_t status;
    uint64_t oldest, applied;
    uint64_t next;
    uint32_t next_skip;
};
struct watch_change {
    uint64_t index;
    uint32_t ordinal;
    uint8_t kind;
    const uint8_t *key, *value;
    size_t key_bytes, value_bytes;
};
/* Built change by change; finish fills in the head. */
void watch_ok_begin(struct buffer *into);
void watch_ok_add(struct buffer *into, const struct watch_change *change);
void watch_ok_finish(struct buffer *into, const struct watch_head *head);
int watch_ok_decode(struct wire_reader *body, struct watch_head *ret_head,
                    struct message_list *ret_list);
bool watch_ok_next(struct message_list *list, struct watch_change *ret_change);
