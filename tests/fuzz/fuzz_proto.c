/* Every decoder of proto/, the frame, and raftd's records and membership: any bytes give a result
 * or an error, and what a list promises can be walked. The first byte chooses. Owner: tests/fuzz.
 */
#include "scratch.h"

#include "apply.h"
#include "command.h"
#include "crc32c.h"
#include "frame.h"
#include "hello.h"
#include "members.h"
#include "membership.h"
#include "peer.h"
#include "propose.h"
#include "read.h"
#include "record.h"
#include "scan.h"
#include "segment.h"
#include "snapshot.h"
#include "status.h"
#include "txn.h"
#include "watch.h"

#include <string.h>

static volatile uint64_t sink; /* bytes given out are read, so that the sanitizer sees them */

static void touch(const void *bytes, size_t length)
{
    for (size_t i = 0; i < length; i++)
        sink += ((const uint8_t *)bytes)[i];
}

static void calls(uint8_t which, struct wire_reader *reader)
{
    struct message_list list;
    const uint8_t *bytes;
    size_t length;
    uint64_t number;
    uint32_t wait_ms;
    struct propose_record record;
    if (which == 0 && !propose_decode(reader, &list))
        while (propose_next(&list, &record))
            touch(record.command, record.command_bytes);
    if (which == 1 && !read_decode(reader, &number, &wait_ms, &list))
        while (read_next(&list, &bytes, &length))
            touch(bytes, length);
    struct apply_entry entry;
    if (which == 2 && !apply_decode(reader, &number, &list))
        while (apply_next(&list, &entry))
            touch(entry.data, entry.data_bytes);
    struct hello hello;
    if (which == 3 && !hello_decode(reader, &hello))
        touch(&hello, sizeof(hello));
}

static void replies(uint8_t which, struct wire_reader *reader)
{
    struct message_list list;
    struct leader_hint hint;
    struct result_record result;
    const uint8_t *bytes;
    size_t length;
    uint64_t number;
    if (which == 4 && !result_decode(reader, &hint, &list))
        while (result_next(&list, &result))
            sink++;
    struct read_record record;
    if (which == 5 && !read_ok_decode(reader, &number, &list))
        while (read_ok_next(&list, &record))
            touch(record.value, record.value_bytes);
    struct applied_head head;
    if (which == 6 && !applied_decode(reader, &head, &list))
        while (applied_next(&list, &bytes, &length))
            touch(bytes, length);
    struct read_index_reply reply;
    if (which == 7)
        (void)read_index_ok_decode(reader, &reply);
    struct raft_status *raft = malloc(sizeof(*raft));
    struct store_status store;
    if (which == 8)
        (void)raft_status_decode(reader, raft);
    if (which == 9)
        (void)store_status_decode(reader, &store);
    free(raft);
}

static void members(uint8_t which, struct wire_reader *reader)
{
    struct join join;
    struct member_name name;
    struct members_reply reply;
    if (which == 16 && !join_decode(reader, &join))
        sink += strlen(join.id) + strlen(join.raft_address);
    if (which == 17 && !remove_decode(reader, &name))
        sink += strlen(name.id);
    if (which == 18 && !transfer_decode(reader, &name))
        sink += strlen(name.id);
    if (which == 19 && !members_ok_decode(reader, &reply))
        sink += strlen(reply.reason) + strlen(reply.hint.id);
}

/* Its checksum is made right: what it would refuse must not do harm either. */
static void part(struct wire_reader body)
{
    struct buffer sealed = {0};
    struct message_list list;
    struct install_record record;
    wire_put_u32(&sealed, crc32c(0, body.at, body.left));
    wire_put_bytes(&sealed, body.at, body.left);
    body = wire_reader_of(sealed.bytes, sealed.length);
    if (!install_records_decode(&body, &list))
        while (install_records_next(&list, &record)) {
            touch(record.key, record.key_bytes);
            touch(record.value, record.value_bytes);
        }
    buffer_free(&sealed);
}

static void snapshots(uint8_t which, struct wire_reader *reader)
{
    struct snapshot_opened opened;
    struct snapshot_read read;
    struct install_begin begin;
    struct install_end end;
    struct install_reply reply;
    struct snapshot_begin begin_to;
    struct wire_reader bytes;
    uint32_t number;
    uint16_t status;
    bool is_last;
    if (which == 20 && !snapshot_opened_decode(reader, &opened))
        touch(opened.configuration, opened.configuration_bytes);
    if (which == 21 && !snapshot_read_decode(reader, &read))
        sink += read.part;
    if (which == 22 && !snapshot_part_decode(reader, &status, &is_last, &bytes))
        part(bytes);
    if (which == 23 && !install_begin_decode(reader, &begin))
        sink += begin.index;
    if (which == 24 && !install_part_decode(reader, &number))
        part(*reader);
    if (which == 25 && !install_end_decode(reader, &end))
        touch(end.configuration, end.configuration_bytes);
    if (which == 26 && !install_ok_decode(reader, &reply))
        sink += strlen(reply.reason);
    if (which == 27 && !snapshot_begin_decode(reader, &begin_to))
        sink += begin_to.leader_term;
}

static void peers(uint8_t which, struct wire_reader *reader)
{
    struct message_list list;
    struct peer_hello hello;
    struct invite invite;
    struct invited invited;
    struct peer_message message;
    struct apply_entry entry;
    struct peer_state state;
    if (which == 28 && !peer_hello_decode(reader, &hello))
        touch(&hello, sizeof(hello));
    if (which == 29 && !invite_decode(reader, &invite))
        touch(&invite, sizeof(invite));
    if (which == 30 && !invited_decode(reader, &invited))
        sink += strlen(invited.reason);
    if (which == 31 && !peer_raft_decode(reader, &list))
        while (peer_raft_next(&list, &message))
            sink += message.index;
    if (which == 32 && !peer_entries_decode(reader, &message, &list))
        while (peer_entries_next(&list, &entry))
            touch(entry.data, entry.data_bytes);
    if (which == 33 && !peer_state_decode(reader, &state))
        touch(&state, sizeof(state));
}

static void scans(uint8_t which, struct wire_reader *reader)
{
    struct message_list list;
    struct scan_open open;
    struct scan_next next;
    struct scan_part_head head;
    struct scan_record record;
    if (which == 34 && !scan_open_decode(reader, &open)) {
        touch(open.start, open.start_bytes);
        touch(open.end, open.end_bytes);
        touch(open.after, open.after_bytes);
    }
    if (which == 35 && !scan_next_decode(reader, &next))
        sink += next.part;
    if (which == 36 && !scan_part_decode(reader, &head, &list))
        while (scan_part_next(&list, &record)) {
            touch(record.key, record.key_bytes);
            touch(record.value, record.value_bytes);
        }
}

static void watches(uint8_t which, struct wire_reader *reader)
{
    struct message_list list;
    struct watch watch;
    struct watch_head head;
    struct watch_change change;
    if (which == 37 && !watch_decode(reader, &watch))
        touch(watch.key, watch.key_bytes);
    if (which == 38 && !watch_ok_decode(reader, &head, &list))
        while (watch_ok_next(&list, &change)) {
            touch(change.key, change.key_bytes);
            touch(change.value, change.value_bytes);
        }
}

static void transactions(uint8_t which, const uint8_t *bytes, size_t length)
{
    struct txn txn;
    struct txn_compare compare;
    struct txn_operation operation;
    struct txn_result_head head;
    struct txn_result_record record;
    struct txn_list list;
    if (which == 39 && !txn_decode(bytes, length, &txn)) {
        while (txn_compare_next(&txn.compares, &compare)) {
            touch(compare.key, compare.key_bytes);
            touch(compare.value, compare.value_bytes);
        }
        while (txn_operation_next(&txn.thens, &operation))
            touch(operation.key, operation.key_bytes);
        while (txn_operation_next(&txn.elses, &operation))
            touch(operation.value, operation.value_bytes);
    }
    if (which == 40 && !txn_result_decode(bytes, length, &head, &list))
        while (txn_result_next(&list, &record)) {
            touch(record.key, record.key_bytes);
            touch(record.value, record.value_bytes);
        }
}

static void others(uint8_t which, const uint8_t *bytes, size_t length)
{
    struct command command;
    struct command_result result;
    struct record record;
    struct membership membership;
    struct frame frame;
    if (which == 10 && !command_decode(bytes, length, &command)) {
        touch(command.key, command.key_bytes);
        touch(command.value, command.value_bytes);
    }
    if (which == 11)
        (void)command_result_decode(bytes, length, &result);
    if (which == 12 && !record_decode(bytes, length, 0, &record))
        touch(record.data, record.data_bytes);
    struct wire_reader reader = wire_reader_of(bytes, length);
    if (which == 13)
        (void)membership_decode(&reader, &membership);
    if (which == 14 && !frame_decode(bytes, length, &frame))
        touch(frame.body, frame.body_bytes);
    struct segment_header header;
    struct error error;
    if (which == 15 && length >= SEGMENT_HEADER_BYTES)
        (void)segment_header_decode(bytes, "fuzz", &header, &error);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
    if (length == 0)
        return 0;
    uint8_t which = bytes[0] % 41;
    uint8_t *exact = malloc(length); /* so that a byte too far is seen */
    memcpy(exact, bytes + 1, length - 1);
    struct wire_reader reader = wire_reader_of(exact, length - 1);
    calls(which, &reader);
    reader = wire_reader_of(exact, length - 1);
    replies(which, &reader);
    reader = wire_reader_of(exact, length - 1);
    members(which, &reader);
    reader = wire_reader_of(exact, length - 1);
    snapshots(which, &reader);
    reader = wire_reader_of(exact, length - 1);
    peers(which, &reader);
    reader = wire_reader_of(exact, length - 1);
    scans(which, &reader);
    reader = wire_reader_of(exact, length - 1);
    watches(which, &reader);
    transactions(which, exact, length - 1);
    others(which, exact, length - 1);
    free(exact);
    return 0;
}
