/* httpd -> raftd: PROPOSE and RESULT, READ_INDEX and READ_INDEX_OK.
 *
 *   PROPOSE:       u32 count, count x { u8 may use the reserve, blob command }
 *   RESULT:        hint, u32 count, count x { u16 status, u64 index, blob result } (as proposed)
 *   READ_INDEX:    empty
 *   READ_INDEX_OK: u16 status, u64 index, hint
 *   hint:          text leader id, text leader raft address, text leader http url (empty: unknown)
 *
 * In a RESULT, `result` is what storaged answered (command.h) if status is OK, else empty. */
#pragma once

#include "buffer.h"
#include "limits.h"
#include "wire.h"

#include <stdint.h>

struct leader_hint {
    char id[LIMIT_NODE_ID_BYTES_MAX + 1];
    char raft_address[LIMIT_ADDRESS_BYTES_MAX];
    char http_url[LIMIT_URL_BYTES_MAX];
};

/* A validated list inside a message; it points into the message's bytes. */
struct message_list {
    struct wire_reader reader;
    uint32_t left;
};

struct propose_record {
    /* On a full disk what lets the store grow is refused at once; this does not (a delete), and may
     * use the room that is kept for it. */
    bool may_use_reserve;
    const uint8_t *command;
    size_t command_bytes;
};

/* PROPOSE is built record by record: begin, then add; the buffer is always a whole message. */
void propose_begin(struct buffer *into);
void propose_add(struct buffer *into, const struct propose_record *record);
uint32_t propose_count(const struct buffer *propose);
/* 0 or -EPROTO: the whole message is checked before the first record is given out. */
int propose_decode(struct wire_reader *body, struct message_list *ret_list);
bool propose_next(struct message_list *list, struct propose_record *ret_record);

struct result_record {
    uint16_t status;
    uint64_t index;
    const uint8_t *result;
    size_t result_bytes;
};

void result_begin(struct buffer *into, const struct leader_hint *hint);
void result_add(struct buffer *into, const struct result_record *record);
int result_decode(struct wire_reader *body, struct leader_hint *ret_hint,
                  struct message_list *ret_list);
bool result_next(struct message_list *list, struct result_record *ret_record);

struct read_index_reply {
    uint16_t status; /* OK, NOT_LEADER, UNAVAILABLE, BUSY */
    uint64_t index;
    struct leader_hint hint;
};

void read_index_ok_encode(struct buffer *into, const struct read_index_reply *reply);
int read_index_ok_decode(struct wire_reader *body, struct read_index_reply *ret_reply);
