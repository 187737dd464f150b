/* Snapshots: a whole state from one storaged to another, through their raftds, which pass the parts
 * on unread.
 *
 *   SNAPSHOT_OPEN:     u32 ms the view may live
 *   SNAPSHOT_OPENED:   u16 status, u64 view, u64 index, u64 term, u64 keys, 16 bytes state hash,
 *                      blob configuration
 *   SNAPSHOT_READ:     u64 view, u32 part (0, 1, 2 ... in order; the last may be asked for again)
 *   SNAPSHOT_PART:     u16 status, u8 is last, part
 *   SNAPSHOT_CLOSE:    u64 view          SNAPSHOT_CLOSED: empty
 *
 *   INSTALL_BEGIN:     u64 index, u64 term
 *   INSTALL_PART:      u32 part, part    (between raftds: SNAPSHOT_PART_TO)
 *   INSTALL_END:       u64 index, u64 term, u64 keys, 16 bytes state hash, blob configuration
 *                                        (between raftds: SNAPSHOT_END_TO)
 *   INSTALL_OK:        u16 status, text reason    (reply to the three; between raftds:
 *                                        SNAPSHOT_TAKEN)
 *   SNAPSHOT_BEGIN_TO: u64 index, u64 term of the snapshot, u64 term of the leader
 *
 *   part:              u32 CRC-32C of what follows, u32 count, count x { u64 revision, blob key,
 *                      blob value }, in key order */
#pragma once

#include "buffer.h"
#include "limits.h"
#include "propose.h"
#include "wire.h"

#include <stdbool.h>
#include <stdint.h>

#define SNAPSHOT_REASON_BYTES_MAX 400u

struct snapshot_opened {
    uint16_t status; /* OK, BUSY (too many views), UNAVAILABLE */
    uint64_t view;
    uint64_t index, term;
    uint64_t keys;
    uint8_t state_hash[16];
    const uint8_t *configuration; /* raftd's, at most LIMIT_CONFIGURATION_BYTES_MAX */
    size_t configuration_bytes;
};
void snapshot_open_encode(struct buffer *into, uint32_t live_ms);
int snapshot_open_decode(struct wire_reader *body, uint32_t *ret_live_ms);
void snapshot_opened_encode(struct buffer *into, const struct snapshot_opened *opened);
int snapshot_opened_decode(struct wire_reader *body, struct snapshot_opened *ret_opened);

struct snapshot_read {
    uint64_t view;
    uint32_t part;
};
void snapshot_read_encode(struct buffer *into, const struct snapshot_read *read);
int snapshot_read_decode(struct wire_reader *body, struct snapshot_read *ret_read);
void snapshot_close_encode(struct buffer *into, uint64_t view);
int snapshot_close_decode(struct wire_reader *body, uint64_t *ret_view);

/* SNAPSHOT_PART is built record by record; finish fills in the head and the checksum. */
void snapshot_part_begin(struct buffer *into);
void snapshot_part_add(struct buffer *into, uint64_t revision, const void *key, size_t key_bytes,
                       const void *value, size_t value_bytes);
void snapshot_part_finish(struct buffer *into, uint16_t status, bool is_last);
/* Only the head: the part's bytes are passed on. */
int snapshot_part_decode(struct wire_reader *body, uint16_t *ret_status, bool *ret_is_last,
                         struct wire_reader *ret_part);

/* How many records a part says it has, for who passes it on: 0 if it is none. */
uint32_t snapshot_part_count(const struct wire_reader *part);

struct install_begin {
    uint64_t index, term;
};
void install_begin_encode(struct buffer *into, const struct install_begin *begin);
int install_begin_decode(struct wire_reader *body, struct install_begin *ret_begin);

void install_part_encode(struct buffer *into, uint32_t part, const struct wire_reader *bytes);
/* The head, for whoever passes it on; then the records, for whoever takes them: -EBADMSG if the
 * checksum does not match. */
int install_part_decode(struct wire_reader *body, uint32_t *ret_part);
int install_records_decode(struct wire_reader *body, struct message_list *ret_list);

struct install_record {
    uint64_t revision;
    const uint8_t *key, *value;
    size_t key_bytes, value_bytes;
};
bool install_records_next(struct message_list *list, struct install_record *ret_record);

struct install_end {
    uint64_t index, term;
    uint64_t keys;
    uint8_t state_hash[16];
    const uint8_t *configuration;
    size_t configuration_bytes;
};
void install_end_encode(struct buffer *into, const struct install_end *end);
int install_end_decode(struct wire_reader *body, struct install_end *ret_end);

struct install_reply {
    uint16_t status; /* OK, REFUSED (and why), NO_SPACE, UNAVAILABLE */
    char reason[SNAPSHOT_REASON_BYTES_MAX];
};
void install_ok_encode(struct buffer *into, const struct install_reply *reply);
int install_ok_decode(struct wire_reader *body, struct install_reply *ret_reply);

struct snapshot_begin {
    uint64_t index, term;
    uint64_t leader_term;
};
void snapshot_begin_encode(struct buffer *into, const struct snapshot_begin *begin);
int snapshot_begin_decode(struct wire_reader *body, struct snapshot_begin *ret_begin);
