/* raftd -> storaged: committed entries in index order, each once (invariant 4).
 *
 *   APPLY:   u64 first index, u32 count, count x { u64 term, u8 kind, blob data }
 *   APPLIED: u16 status, u64 applied index, u64 durable index, u16 health, 16 bytes state hash,
 *            u64 mark index, 16 bytes mark hash, u32 count, count x blob result
 *
 * APPLIED has one result for each entry, in order (empty for kinds other than COMMAND), if status
 * is OK; if they are large, only for the first of them, and then the others were not applied. With
 * GAP nothing was applied and `applied index` says where storaged is. `durable index`: what a crash
 * of storaged cannot take back. The state hash is that at the applied index; the mark's that at the
 * newest index of a fixed multiple (0: none yet): for comparing nodes (invariant 11). */
#pragma once

#include "buffer.h"
#include "propose.h"
#include "wire.h"

#include <stdint.h>

enum entry_kind {
    ENTRY_COMMAND = 1, /* proto/command.h */
    ENTRY_NOOP = 2,    /* opens a term; no data */
    ENTRY_CONFIGURATION =
        3, /* raftd's own; storaged keeps the newest, unread, beside the applied index */
};

struct apply_entry {
    uint64_t term;
    enum entry_kind kind;
    const uint8_t *data;
    size_t data_bytes;
};

void apply_begin(struct buffer *into, uint64_t first_index);
void apply_add(struct buffer *into, const struct apply_entry *entry);
uint32_t apply_count(const struct buffer *apply);
int apply_decode(struct wire_reader *body, uint64_t *ret_first_index,
                 struct message_list *ret_list);
bool apply_next(struct message_list *list, struct apply_entry *ret_entry);

struct applied_head {
    uint16_t status; /* OK, GAP, BAD_REQUEST, BUSY (nothing applied: try again) */
    uint64_t applied_index;
    uint64_t durable_index;
    uint16_t health; /* OK, DAMAGED, NO_SPACE */
    uint8_t state_hash[16];
    uint64_t mark_index;
    uint8_t mark_hash[16];
};

void applied_begin(struct buffer *into);
void applied_add(struct buffer *into, const void *result, size_t result_bytes);
/* Fills in the head once the batch is through. */
void applied_finish(struct buffer *into, const struct applied_head *head);
int applied_decode(struct wire_reader *body, struct applied_head *ret_head,
                   struct message_list *ret_list);
bool applied_next(struct message_list *list, const uint8_t **ret_result, size_t *ret_result_bytes);
