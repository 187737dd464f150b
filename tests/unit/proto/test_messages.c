#include "../unit.h"

#include "apply.h"
#include "command.h"
#include "frame.h"
#include "hello.h"
#include "members.h"
#include "message.h"
#include "peer.h"
#include "propose.h"
#include "read.h"
#include "scan.h"
#include "snapshot.h"
#include "status.h"
#include "watch.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* One sample of each message: how it is built, its frozen bytes, and its decoder. The table is
 * walked, so a message of messages.def without a sample fails; golden bytes change only together
 * with FRAME_VERSION. */

static const struct leader_hint hint = {.id = "n1", .raft_address = "h:1", .http_url = "u"};

/* ---- decoders: 0 or -EPROTO, reading all records ---- */

static int decode_hello(struct wire_reader *body)
{
    struct hello hello;
    return hello_decode(body, &hello);
}

static int decode_refused(struct wire_reader *body)
{
    char text[1024];
    (void)wire_get_u16(body);
    wire_get_text(body, text, sizeof(text));
    return wire_finished(body) ? 0 : -EPROTO;
}

static int decode_propose(struct wire_reader *body)
{
    struct message_list list;
    struct propose_record record;
    size_t total = 0;
    int code = propose_decode(body, &list);
    while (!code && propose_next(&list, &record)) /* reads to the end: the sanitizers look on */
        total += record.command_bytes ? record.command[record.command_bytes - 1] : 0u;
    return code ? code : total > SIZE_MAX / 2;
}

static int decode_result(struct wire_reader *body)
{
    struct message_list list;
    struct leader_hint got;
    struct result_record record;
    int code = result_decode(body, &got, &list);
    while (!code && result_next(&list, &record))
        code = record.result_bytes && record.result[record.result_bytes - 1] == 0xfe ? 1 : 0;
    return code;
}

static int decode_read_index_ok(struct wire_reader *body)
{
    struct read_index_reply reply;
    return read_index_ok_decode(body, &reply);
}

static int decode_raft_status(struct wire_reader *body)
{
    struct raft_status status;
    return raft_status_decode(body, &status);
}

static int decode_join(struct wire_reader *body)
{
    struct join join;
    return join_decode(body, &join);
}

static int decode_remove(struct wire_reader *body)
{
    struct member_name name;
    return remove_decode(body, &name);
}

static int decode_transfer(struct wire_reader *body)
{
    struct member_name name;
    return transfer_decode(body, &name);
}

static int decode_members_ok(struct wire_reader *body)
{
    struct members_reply reply;
    return members_ok_decode(body, &reply);
}

static int decode_apply(struct wire_reader *body)
{
    struct message_list list;
    struct apply_entry entry;
    uint64_t first;
    int code = apply_decode(body, &first, &list);
    while (!code && apply_next(&list, &entry))
        code = entry.data_bytes && entry.data[entry.data_bytes - 1] == 0xfe ? 1 : 0;
    return code;
}

static int decode_applied(struct wire_reader *body)
{
    struct message_list list;
    struct applied_head head;
    const uint8_t *result;
    size_t bytes;
    int code = applied_decode(body, &head, &list);
    while (!code && applied_next(&list, &result, &bytes))
        code = bytes && result[bytes - 1] == 0xfe ? 1 : 0;
    return code;
}

static int decode_read(struct wire_reader *body)
{
    struct message_list list;
    const uint8_t *key;
    size_t bytes;
    uint64_t index;
    uint32_t wait_ms;
    int code = read_decode(body, &index, &wait_ms, &list);
    while (!code && read_next(&list, &key, &bytes))
        code = key[bytes - 1] == 0xfe ? 1 : 0;
    return code;
}

static int decode_read_ok(struct wire_reader *body)
{
    struct message_list list;
    struct read_record record;
    uint64_t index;
    int code = read_ok_decode(body, &index, &list);
    while (!code && read_ok_next(&list, &record))
        code = record.value_bytes && record.value[record.value_bytes - 1] == 0xfe ? 1 : 0;
    return code;
}

static int decode_store_status(struct wire_reader *body)
{
    struct store_status status;
    return store_status_decode(body, &status);
}

static int decode_empty(struct wire_reader *body)
{
    return wire_finished(body) ? 0 : -EPROTO;
}

static int decode_peer_hello(struct wire_reader *body)
{
    struct peer_hello hello;
    return peer_hello_decode(body, &hello);
}

static int decode_snapshot_open(struct wire_reader *body)
{
    uint32_t live_ms;
    return snapshot_open_decode(body, &live_ms);
}

static int decode_snapshot_opened(struct wire_reader *body)
{
    struct snapshot_opened opened;
    return snapshot_opened_decode(body, &opened);
}

static int decode_snapshot_read(struct wire_reader *body)
{
    struct snapshot_read read;
    return snapshot_read_decode(body, &read);
}

static int decode_number(struct wire_reader *body)
{
    uint64_t number;
    return snapshot_close_decode(body, &number);
}

/* A part that is damaged on its way is told from one that makes no sense; here both are refused. */
static int decode_records(struct wire_reader *body)
{
    struct message_list list;
    struct install_record record;
    int code = install_records_decode(body, &list) ? -EPROTO : 0;
    while (!code && install_records_next(&list, &record))
        code = record.key[record.key_bytes - 1] == 0xfe ? 1 : 0;
    return code;
}

static int decode_snapshot_part(struct wire_reader *body)
{
    uint16_t status;
    bool is_last;
    struct wire_reader part;
    int code = snapshot_part_decode(body, &status, &is_last, &part);
    return code ? code : decode_records(&part);
}

static int decode_install_part(struct wire_reader *body)
{
    uint32_t part;
    int code = install_part_decode(body, &part);
    return code ? code : decode_records(body);
}

static int decode_install_begin(struct wire_reader *body)
{
    struct install_begin begin;
    return install_begin_decode(body, &begin);
}

static int decode_install_end(struct wire_reader *body)
{
    struct install_end end;
    return install_end_decode(body, &end);
}

static int decode_install_ok(struct wire_reader *body)
{
    struct install_reply reply;
    return install_ok_decode(body, &reply);
}

static int decode_snapshot_begin(struct wire_reader *body)
{
    struct snapshot_begin begin;
    return snapshot_begin_decode(body, &begin);
}

static int decode_invite(struct wire_reader *body)
{
    struct invite invite;
    return invite_decode(body, &invite);
}

static int decode_invited(struct wire_reader *body)
{
    struct invited invited;
    return invited_decode(body, &invited);
}

static int decode_raft(struct wire_reader *body)
{
    struct message_list list;
    struct peer_message message;
    uint64_t total = 0;
    int code = peer_raft_decode(body, &list);
    while (!code && peer_raft_next(&list, &message))
        total += message.term;
    return code ? code : total == UINT64_MAX;
}

static int decode_entries(struct wire_reader *body)
{
    struct message_list list;
    struct peer_message message;
    struct apply_entry entry;
    int code = peer_entries_decode(body, &message, &list);
    while (!code && peer_entries_next(&list, &entry))
        code = entry.data_bytes && entry.data[entry.data_bytes - 1] == 0xfe ? 1 : 0;
    return code;
}

static int decode_state(struct wire_reader *body)
{
    struct peer_state state;
    return peer_state_decode(body, &state);
}

static int decode_diverged(struct wire_reader *body)
{
    uint64_t index;
    return peer_diverged_decode(body, &index);
}

static int decode_scan_open(struct wire_reader *body)
{
    struct scan_open open;
    return scan_open_decode(body, &open);
}

static int decode_scan_next(struct wire_reader *body)
{
    struct scan_next next;
    return scan_next_decode(body, &next);
}

static int decode_scan_close(struct wire_reader *body)
{
    uint64_t scan;
    return scan_close_decode(body, &scan);
}

static int decode_watch(struct wire_reader *body)
{
    struct watch watch;
    return watch_decode(body, &watch);
}

static int decode_watch_ok(struct wire_reader *body)
{
    struct message_list list;
    struct watch_head head;
    struct watch_change change;
    int code = watch_ok_decode(body, &head, &list);
    while (!code && watch_ok_next(&list, &change))
        code = change.key[change.key_bytes - 1] == 0xfe ? 1 : 0;
    return code;
}

static int decode_scan_part(struct wire_reader *body)
{
    struct message_list list;
    struct scan_part_head head;
    struct scan_record record;
    int code = scan_part_decode(body, &head, &list);
    while (!code && scan_part_next(&list, &record))
        code = record.key[record.key_bytes - 1] == 0xfe ? 1 : 0;
    return code;
}

/* ---- samples ---- */

static void build_hello(struct buffer *into)
{
    struct hello hello = hello_of(PROTO_ROLE_HTTPD, 0x1122334455667788ull, "node1");
    hello_encode(into, &hello);
}

static void build_refused(struct buffer *into)
{
    wire_put_u16(into, PROTO_STATUS_STALE_EPOCH);
    wire_put_text(into, "gone");
}

static void build_propose(struct buffer *into)
{
    struct command command = {.operation = COMMAND_PUT,
                              .condition = COMMAND_IF_REVISION,
                              .revision = 7,
                              .key = (const uint8_t *)"k",
                              .key_bytes = 1,
                              .value = (const uint8_t *)"vv",
                              .value_bytes = 2};
    struct buffer encoded = {0};
    command_encode(&encoded, &command);
    propose_begin(into);
    propose_add(
        into, &(struct propose_record){.command = encoded.bytes, .command_bytes = encoded.length});
    propose_add(into,
                &(struct propose_record){.may_use_reserve = true, .command = (const uint8_t *)""});
    buffer_free(&encoded);
}

static void build_result(struct buffer *into)
{
    struct result_record record = {.status = PROTO_STATUS_NOT_LEADER,
                                   .index = 9,
                                   .result = (const uint8_t *)"r",
                                   .result_bytes = 1};
    result_begin(into, &hint);
    result_add(into, &record);
}

static void build_read_index_ok(struct buffer *into)
{
    struct read_index_reply reply = {.status = PROTO_STATUS_OK, .index = 12, .hint = hint};
    read_index_ok_encode(into, &reply);
}

static void build_raft_status(struct buffer *into)
{
    static struct raft_status status = {
        .node_id = "n1",
        .cluster_id = "00ff",
        .state = RAFT_STATE_LEADER,
        .term = 2,
        .first_log_index = 3,
        .last_log_index = 4,
        .last_log_term = 2,
        .commit_index = 4,
        .applied_index = 4,
        .durable_index = 3,
        .configuration_index = 1,
        .log_bytes = 5,
        .syncs = 6,
        .entries_written = 7,
        .diverged_index = 8,
        .state_differences = 9,
        .storaged_up = true,
        .settled = true,
        .servers_count = 1,
        .servers = {{.id = "n1", .raft_address = "h:1", .http_url = "u", .voter = true}},
        .peers = {{.connected = true, .match_index = 10, .silence_ms = 11}}};
    status.leader = hint;
    raft_status_encode(into, &status);
}

static void build_join(struct buffer *into)
{
    struct join join = {.id = "n2", .raft_address = "h:2"};
    join_encode(into, &join);
}

static void build_remove(struct buffer *into)
{
    struct member_name name = {"n2"};
    remove_encode(into, &name);
}

static void build_transfer(struct buffer *into)
{
    struct member_name name = {""};
    transfer_encode(into, &name);
}

static void build_members_ok(struct buffer *into)
{
    struct members_reply reply = {
        .status = PROTO_STATUS_UNREACHABLE, .hint = hint, .reason = "no way"};
    members_ok_encode(into, &reply);
}

static void build_apply(struct buffer *into)
{
    struct apply_entry entry = {
        .term = 3, .kind = ENTRY_COMMAND, .data = (const uint8_t *)"d", .data_bytes = 1};
    apply_begin(into, 5);
    apply_add(into, &entry);
    entry = (struct apply_entry){.term = 4, .kind = ENTRY_NOOP};
    apply_add(into, &entry);
}

static void build_applied(struct buffer *into)
{
    struct command_result result = {.status = PROTO_STATUS_OK, .revision = 5, .existed = true};
    struct applied_head head = {.status = PROTO_STATUS_OK,
                                .applied_index = 6,
                                .durable_index = 4,
                                .state_hash = {0xaa},
                                .mark_index = 5,
                                .mark_hash = {[15] = 0xbb}};
    struct buffer encoded = {0};
    command_result_encode(&encoded, &result);
    applied_begin(into);
    applied_add(into, encoded.bytes, encoded.length);
    applied_add(into, NULL, 0);
    applied_finish(into, &head);
    buffer_free(&encoded);
}

static void build_read(struct buffer *into)
{
    read_begin(into, 5, 3000);
    read_add(into, "key", 3);
}

static void build_read_ok(struct buffer *into)
{
    struct read_record record = {.status = PROTO_STATUS_OK,
                                 .revision = 5,
                                 .value = (const uint8_t *)"val",
                                 .value_bytes = 3};
    read_ok_begin(into, 6);
    read_ok_add(into, &record);
    record = (struct read_record){.status = PROTO_STATUS_NOT_FOUND};
    read_ok_add(into, &record);
}

static void build_store_status(struct buffer *into)
{
    struct store_status status = {.health = PROTO_STATUS_OK,
                                  .applied_index = 1,
                                  .applied_term = 2,
                                  .durable_index = 1,
                                  .keys = 3,
                                  .file_bytes = 4096,
                                  .dirty_bytes = 5,
                                  .checkpoints = 6,
                                  .state_hash = {0xaa, [15] = 0xbb}};
    store_status_encode(into, &status);
}

static void build_peer_hello(struct buffer *into)
{
    struct peer_hello hello = {.hello = hello_of(PROTO_ROLE_MEMBER, 7, "n1"),
                               .cluster_id = {1, [15] = 2},
                               .number = 3,
                               .meant = 4,
                               .channel = PEER_CONTROL,
                               .raft_address = "h:1",
                               .http_url = "u"};
    peer_hello_encode(into, &hello);
}

static void build_snapshot_open(struct buffer *into)
{
    snapshot_open_encode(into, 1000);
}

static void build_snapshot_opened(struct buffer *into)
{
    struct snapshot_opened opened = {.view = 1,
                                     .index = 2,
                                     .term = 3,
                                     .keys = 4,
                                     .state_hash = {0xaa, [15] = 0xbb},
                                     .configuration = (const uint8_t *)"c",
                                     .configuration_bytes = 1};
    snapshot_opened_encode(into, &opened);
}

static void build_snapshot_read(struct buffer *into)
{
    struct snapshot_read read = {.view = 1, .part = 2};
    snapshot_read_encode(into, &read);
}

static void build_snapshot_close(struct buffer *into)
{
    snapshot_close_encode(into, 1);
}

static void build_snapshot_part(struct buffer *into)
{
    snapshot_part_begin(into);
    snapshot_part_add(into, 7, "k", 1, "vv", 2);
    snapshot_part_add(into, 8, "l", 1, "", 0);
    snapshot_part_finish(into, PROTO_STATUS_OK, true);
}

static void build_install_part(struct buffer *into)
{
    struct buffer whole = {0};
    build_snapshot_part(&whole);
    struct wire_reader part = wire_reader_of(whole.bytes + 3, whole.length - 3);
    install_part_encode(into, 5, &part);
    buffer_free(&whole);
}

static void build_install_begin(struct buffer *into)
{
    struct install_begin begin = {.index = 2, .term = 3};
    install_begin_encode(into, &begin);
}

static void build_install_end(struct buffer *into)
{
    struct install_end end = {.index = 2,
                              .term = 3,
                              .keys = 4,
                              .state_hash = {0xaa, [15] = 0xbb},
                              .configuration = (const uint8_t *)"c",
                              .configuration_bytes = 1};
    install_end_encode(into, &end);
}

static void build_install_ok(struct buffer *into)
{
    struct install_reply reply = {.status = PROTO_STATUS_REFUSED, .reason = "no"};
    install_ok_encode(into, &reply);
}

static void build_snapshot_begin(struct buffer *into)
{
    struct snapshot_begin begin = {.index = 2, .term = 3, .leader_term = 4};
    snapshot_begin_encode(into, &begin);
}

static void build_invite(struct buffer *into)
{
    struct invite invite = {.cluster_id = {1, [15] = 2}, .number = 3, .node_id = "n2"};
    invite_encode(into, &invite);
}

static void build_invited(struct buffer *into)
{
    struct invited invited = {.status = PROTO_STATUS_REFUSED,
                              .reason = "no",
                              .number = 3,
                              .node_id = "n2",
                              .http_url = "u"};
    invited_encode(into, &invited);
}

static const struct peer_message message = {.type = 6,
                                            .from = 1,
                                            .to = 2,
                                            .term = 3,
                                            .index = 4,
                                            .log_term = 5,
                                            .rejected = 6,
                                            .commit = 7,
                                            .round = 8,
                                            .ok = true,
                                            .transfer = true};

static void build_raft(struct buffer *into)
{
    peer_raft_begin(into);
    peer_raft_add(into, &message);
}

static void build_entries(struct buffer *into)
{
    struct apply_entry entry = {
        .term = 3, .kind = ENTRY_COMMAND, .data = (const uint8_t *)"d", .data_bytes = 1};
    peer_entries_begin(into, &message);
    peer_entries_add(into, &entry);
}

static void build_state(struct buffer *into)
{
    struct peer_state state = {
        .applied_index = 1, .hash = {0xaa}, .mark_index = 2, .mark_hash = {[15] = 0xbb}};
    peer_state_encode(into, &state);
}

static void build_diverged(struct buffer *into)
{
    peer_diverged_encode(into, 9);
}

static void build_scan_open(struct buffer *into)
{
    struct scan_open open = {.index_min = 5,
                             .wait_ms = 3000,
                             .flags = SCAN_REVERSE | SCAN_KEYS_ONLY,
                             .keys_max = 7,
                             .start = (const uint8_t *)"a",
                             .start_bytes = 1,
                             .end = (const uint8_t *)"b",
                             .end_bytes = 1};
    scan_open_encode(into, &open);
}

static void build_scan_next(struct buffer *into)
{
    struct scan_next next = {.scan = 1, .part = 2};
    scan_next_encode(into, &next);
}

static void build_scan_close(struct buffer *into)
{
    scan_close_encode(into, 1);
}

static void build_watch(struct buffer *into)
{
    struct watch watch = {.from = 5,
                          .skip = 2,
                          .filter = WATCH_PREFIX,
                          .wait_ms = 3000,
                          .bytes_soft = 65536,
                          .key = (const uint8_t *)"a",
                          .key_bytes = 1};
    watch_encode(into, &watch);
}

static void build_watch_ok(struct buffer *into)
{
    struct watch_head head = {
        .status = PROTO_STATUS_OK, .oldest = 2, .applied = 9, .next = 8, .next_skip = 1};
    struct watch_change change = {.index = 7,
                                  .ordinal = 3,
                                  .kind = WATCH_PUT,
                                  .key = (const uint8_t *)"k",
                                  .key_bytes = 1,
                                  .value = (const uint8_t *)"vv",
                                  .value_bytes = 2};
    watch_ok_begin(into);
    watch_ok_add(into, &change);
    change.kind = WATCH_DELETE;
    change.ordinal = 0;
    change.value_bytes = 0;
    watch_ok_add(into, &change);
    watch_ok_finish(into, &head);
}

static void build_scan_part(struct buffer *into)
{
    struct scan_part_head head = {
        .status = PROTO_STATUS_OK, .scan = 1, .index = 9, .keys = 3, .more = true};
    struct scan_record record = {.revision = 8,
                                 .key = (const uint8_t *)"k",
                                 .key_bytes = 1,
                                 .value = (const uint8_t *)"vv",
                                 .value_bytes = 2};
    scan_part_begin(into);
    scan_part_add(into, &record);
    record.value_bytes = 0;
    scan_part_add(into, &record);
    scan_part_finish(into, &head);
}

static void build_empty(struct buffer *into)
{
    into->length = 0;
}

static const struct sample {
    uint16_t number;
    void (*build)(struct buffer *into);
    int (*decode)(struct wire_reader *body);
    const char *golden; /* hex */
} samples[] = {
    {PROTO_HELLO, build_hello, decode_hello, "03000300038877665544332211050000006e6f646531"},
    {PROTO_WELCOME, build_peer_hello, decode_peer_hello,
     "1300000003000300050700000000000000020000006e310100000000000000000000000000000203000000000000"
     "0004000000000000000203000000683a310100000075"},
    {PROTO_REFUSED, build_refused, decode_refused, "0e0004000000676f6e65"},
    {PROTO_PROPOSE, build_propose, decode_propose,
     "02000000001500000001010700000000000000010000006b0200000076760100000000"},
    {PROTO_RESULT, build_result, decode_result,
     "020000006e3103000000683a31010000007501000000050009000000000000000100000072"},
    {PROTO_READ_INDEX, build_empty, decode_empty, ""},
    {PROTO_READ_INDEX_OK, build_read_index_ok, decode_read_index_ok,
     "00000c00000000000000020000006e3103000000683a310100000075"},
    {PROTO_RAFT_STATUS, build_empty, decode_empty, ""},
    {PROTO_RAFT_STATUS_OK, build_raft_status, decode_raft_status,
     "020000006e310400000030306666030200000000000000020000006e3103000000683a3101000000750300000000"
     "00000004000000000000000200000000000000040000000000000004000000000000000300000000000000000000"
     "00000000000000000000000000000000000000000001000000000000000500000000000000060000000000000007"
     "00000000000000080000000000000009000000000000000101000001000000020000006e3103000000683a3101000"
     "000"
     "75"
     "01010a000000000000000b0000000000000000000000000000000000000000000000000000000000000000000000"
     "000000000000000000000000"},
    {PROTO_JOIN, build_join, decode_join, "020000006e3203000000683a32"},
    {PROTO_REMOVE, build_remove, decode_remove, "020000006e32"},
    {PROTO_TRANSFER, build_transfer, decode_transfer, "00000000"},
    {PROTO_MEMBERS_OK, build_members_ok, decode_members_ok,
     "1100020000006e3103000000683a310100000075060000006e6f20776179"},
    {PROTO_APPLY, build_apply, decode_apply,
     "050000000000000002000000030000000000000001010000006404000000000000000200000000"},
    {PROTO_APPLIED, build_applied, decode_applied,
     "0000060000000000000004000000000000000000aa00000000000000000000000000000005000000000000000000"
     "00000000000000000000000000bb020000000b000000000005000000000000000100000000"},
    {PROTO_READ, build_read, decode_read, "0500000000000000b80b000001000000030000006b6579"},
    {PROTO_READ_OK, build_read_ok, decode_read_ok,
     "060000000000000002000000000005000000000000000300000076616c0100000000000000000000000000"},
    {PROTO_STORE_STATUS, build_empty, decode_empty, ""},
    {PROTO_STORE_STATUS_OK, build_store_status, decode_store_status,
     "000000000000010000000000000002000000000000000100000000000000030000000000000000100000000000000"
     "5000000000000000600000000000000aa0000000000000000000000000000bb"},
    {PROTO_SNAPSHOT_OPEN, build_snapshot_open, decode_snapshot_open, "e8030000"},
    {PROTO_SNAPSHOT_OPENED, build_snapshot_opened, decode_snapshot_opened,
     "00000100000000000000020000000000000003000000000000000400000000000000aa0000000000000000000000"
     "000000bb0100000063"},
    {PROTO_SNAPSHOT_READ, build_snapshot_read, decode_snapshot_read, "010000000000000002000000"},
    {PROTO_SNAPSHOT_PART, build_snapshot_part, decode_snapshot_part,
     "00000164114247020000000700000000000000010000006b0200000076760800000000000000010000006c000000"
     "00"},
    {PROTO_SNAPSHOT_CLOSE, build_snapshot_close, decode_number, "0100000000000000"},
    {PROTO_SNAPSHOT_CLOSED, build_empty, decode_empty, ""},
    {PROTO_INSTALL_BEGIN, build_install_begin, decode_install_begin,
     "02000000000000000300000000000000"},
    {PROTO_INSTALL_PART, build_install_part, decode_install_part,
     "0500000064114247020000000700000000000000010000006b0200000076760800000000000000010000006c0000"
     "0000"},
    {PROTO_INSTALL_END, build_install_end, decode_install_end,
     "020000000000000003000000000000000400000000000000aa0000000000000000000000000000bb0100000063"},
    {PROTO_INSTALL_OK, build_install_ok, decode_install_ok, "1000020000006e6f"},
    {PROTO_INVITE, build_invite, decode_invite,
     "010000000000000000000000000000020300000000000000020000006e32"},
    {PROTO_INVITED, build_invited, decode_invited,
     "1000020000006e6f0300000000000000020000006e320100000075"},
    {PROTO_RAFT, build_raft, decode_raft,
     "01000000060100000000000000020000000000000003000000000000000400000000000000050000000000000006"
     "0000000000000007000000000000000800000000000000000000000101"},
    {PROTO_ENTRIES, build_entries, decode_entries,
     "06010000000000000002000000000000000300000000000000040000000000000005000000000000000600000000"
     "00000007000000000000000800000000000000010000000101010000000300000000000000010100000064"},
    {PROTO_SNAPSHOT_BEGIN_TO, build_snapshot_begin, decode_snapshot_begin,
     "020000000000000003000000000000000400000000000000"},
    {PROTO_SNAPSHOT_PART_TO, build_install_part, decode_install_part,
     "0500000064114247020000000700000000000000010000006b0200000076760800000000000000010000006c0000"
     "0000"},
    {PROTO_SNAPSHOT_END_TO, build_install_end, decode_install_end,
     "020000000000000003000000000000000400000000000000aa0000000000000000000000000000bb0100000063"},
    {PROTO_SNAPSHOT_TAKEN, build_install_ok, decode_install_ok, "1000020000006e6f"},
    {PROTO_PING, build_empty, decode_empty, ""},
    {PROTO_PONG, build_empty, decode_empty, ""},
    {PROTO_STATE, build_state, decode_state,
     "0100000000000000aa00000000000000000000000000000002000000000000000000000000000000000000000000"
     "00bb"},
    {PROTO_DIVERGED, build_diverged, decode_diverged, "0900000000000000"},
    {PROTO_SCAN_OPEN, build_scan_open, decode_scan_open,
     "0500000000000000b80b00000307000000000000000100000061010000006200000000"},
    {PROTO_SCAN_PART, build_scan_part, decode_scan_part,
     "000001000000000000000900000000000000030000000000000001020000000800000000000000010000006b0200"
     "000076760800000000000000010000006b00000000"},
    {PROTO_SCAN_NEXT, build_scan_next, decode_scan_next, "010000000000000002000000"},
    {PROTO_SCAN_CLOSE, build_scan_close, decode_scan_close, "0100000000000000"},
    {PROTO_SCAN_CLOSED, build_empty, decode_empty, ""},
    {PROTO_WATCH, build_watch, decode_watch,
     "05000000000000000200000002b80b0000000001000100000061"},
    {PROTO_WATCH_OK, build_watch_ok, decode_watch_ok,
     "000002000000000000000900000000000000080000000000000001000000020000000700000000000000030000000"
     "1010000006b02000000767607000000000000000000000002010000006b00000000"},
};
#define SAMPLES_COUNT (sizeof(samples) / sizeof(*samples))

static const struct sample *sample_of(uint16_t number)
{
    for (size_t i = 0; i < SAMPLES_COUNT; i++)
        if (samples[i].number == number)
            return &samples[i];
    return NULL;
}

/* Decodes from a block of exactly `length` bytes, so that AddressSanitizer sees a read past its
 * end. */
static int decode_exactly(const struct sample *sample, const uint8_t *bytes, size_t length)
{
    uint8_t *block = memory_new(length);
    if (length)
        memcpy(block, bytes, length);
    struct wire_reader reader = wire_reader_of(block, length);
    int code = sample->decode(&reader);
    free(block);
    return code;
}

START_TEST(test_messages_every_entry_of_the_table_has_golden_bytes)
{
    for (const struct proto_entry *entry = proto_table(); entry->number; entry++) {
        const struct sample *sample = sample_of(entry->number);
        ck_assert_msg(sample != NULL, "no sample of %s", entry->name);
        struct buffer body = {0};
        char hex[4096] = "";
        sample->build(&body);
        ck_assert_uint_le(body.length, entry->body_bytes_max);
        for (size_t i = 0; i < body.length; i++)
            sprintf(hex + 2 * i, "%02x", body.bytes[i]);
        ck_assert_msg(!strcmp(hex, sample->golden), "%s is %s", entry->name, hex);
        ck_assert_int_eq(decode_exactly(sample, body.bytes, body.length), 0);
        buffer_free(&body);
    }
}
END_TEST

START_TEST(test_messages_short_and_trailing_bodies_are_refused)
{
    for (size_t i = 0; i < SAMPLES_COUNT; i++) {
        struct buffer body = {0};
        samples[i].build(&body);
        for (size_t length = 0; length < body.length; length++)
            ck_assert_msg(decode_exactly(&samples[i], body.bytes, length) == -EPROTO,
                          "message %u cut to %zu bytes", samples[i].number, length);
        wire_put_u8(&body, 0);
        ck_assert_msg(decode_exactly(&samples[i], body.bytes, body.length) == -EPROTO,
                      "message %u with a byte more", samples[i].number);
        buffer_free(&body);
    }
}
END_TEST

static uint64_t random_state = 0x9e3779b97f4a7c15ull;

static uint64_t random_next(void)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return random_state;
}

/* Nothing to compare with: the decoders must come back, and the sanitizers must stay silent. What
 * comes back is 0, 1 or -EPROTO. */
START_TEST(test_messages_random_and_mutated_bodies_never_crash)
{
    unsigned refused = 0;
    for (unsigned round = 0; round < 20000; round++) {
        const struct sample *sample = &samples[random_next() % SAMPLES_COUNT];
        struct buffer body = {0};
        sample->build(&body);
        for (unsigned flips = 1 + random_next() % 4; flips > 0 && body.length; flips--)
            body.bytes[random_next() % body.length] = (uint8_t)random_next();
        if (random_next() % 4 == 0)
            for (unsigned more = random_next() % 64; more > 0; more--)
                wire_put_u8(&body, (uint8_t)random_next());
        int code = decode_exactly(sample, body.bytes, body.length);
        ck_assert(code == 0 || code == 1 || code == -EPROTO);
        refused += code == -EPROTO;
        buffer_free(&body);
    }
    ck_assert_uint_gt(refused, 5000);
}
END_TEST

START_TEST(test_messages_only_the_named_sender_may_call)
{
    ck_assert(proto_call_allowed(PROTO_PROPOSE, PROTO_ROLE_HTTPD, PROTO_ROLE_RAFTD, 100));
    ck_assert(!proto_call_allowed(PROTO_PROPOSE, PROTO_ROLE_STORAGED, PROTO_ROLE_RAFTD, 100));
    ck_assert(!proto_call_allowed(PROTO_APPLY, PROTO_ROLE_HTTPD, PROTO_ROLE_STORAGED, 100));
    ck_assert(!proto_call_allowed(PROTO_APPLY, PROTO_ROLE_RAFTD, PROTO_ROLE_RAFTD, 100));
    ck_assert(!proto_call_allowed(PROTO_APPLIED, PROTO_ROLE_STORAGED, PROTO_ROLE_RAFTD, 100));
    ck_assert(!proto_call_allowed(PROTO_STORE_STATUS, PROTO_ROLE_TOOL, PROTO_ROLE_STORAGED, 1));
    ck_assert(proto_call_allowed(PROTO_STORE_STATUS, PROTO_ROLE_TOOL, PROTO_ROLE_STORAGED, 0));
    ck_assert(!proto_call_allowed(999, PROTO_ROLE_HTTPD, PROTO_ROLE_RAFTD, 0));
}
END_TEST

START_TEST(test_hello_of_other_version_node_or_role_is_refused_by_name)
{
    struct hello own = hello_of(PROTO_ROLE_STORAGED, 1, "node1");
    struct hello peer = hello_of(PROTO_ROLE_RAFTD, 2, "node1");
    struct error error = {""};
    ck_assert_int_eq(hello_check(&own, &peer, PROTO_ROLE_ANY, &error), 0);
    ck_assert_int_eq(hello_check(&own, &peer, PROTO_ROLE_RAFTD, &error), 0);
    ck_assert_int_eq(hello_check(&own, &peer, PROTO_ROLE_HTTPD, &error), -EPROTO);
    ck_assert_str_eq(error.text, "a raftd is not expected here, want httpd");
    peer = hello_of(PROTO_ROLE_RAFTD, 2, "node2");
    ck_assert_int_eq(hello_check(&own, &peer, PROTO_ROLE_ANY, &error), -EPROTO);
    ck_assert_str_eq(error.text, "raftd belongs to node node2, this is node1");
    peer = hello_of(PROTO_ROLE_RAFTD, 2, "node1");
    peer.version_min = peer.version_max = FRAME_VERSION + 1;
    ck_assert_int_eq(hello_check(&own, &peer, PROTO_ROLE_ANY, &error), -EPROTO);
    ck_assert_ptr_nonnull(
        strstr(error.text, "raftd speaks message versions 4 to 4, this is 3 to 3"));
}
END_TEST

START_TEST(test_command_that_makes_no_sense_is_refused)
{
    struct command command = {
        .operation = COMMAND_PUT, .key = (const uint8_t *)"k", .key_bytes = 1};
    struct command decoded;
    struct buffer bytes = {0};
    command_encode(&bytes, &command);
    ck_assert_int_eq(command_decode(bytes.bytes, bytes.length, &decoded), 0);
    bytes.bytes[0] = 9; /* operation */
    ck_assert_int_eq(command_decode(bytes.bytes, bytes.length, &decoded), -EPROTO);
    bytes.bytes[0] = COMMAND_PUT;
    bytes.bytes[1] = 9; /* condition */
    ck_assert_int_eq(command_decode(bytes.bytes, bytes.length, &decoded), -EPROTO);
    buffer_clear(&bytes, SIZE_MAX);
    command.operation = COMMAND_DELETE;
    command.value = (const uint8_t *)"v";
    command.value_bytes = 1;
    command_encode(&bytes, &command);
    ck_assert_int_eq(command_decode(bytes.bytes, bytes.length, &decoded), -EPROTO);
    buffer_clear(&bytes, SIZE_MAX);
    command.value_bytes = 0;
    command.key_bytes = 0;
    command_encode(&bytes, &command);
    ck_assert_int_eq(command_decode(bytes.bytes, bytes.length, &decoded), -EPROTO);
    buffer_free(&bytes);
}
END_TEST

UNIT_MAIN("messages", test_messages_every_entry_of_the_table_has_golden_bytes,
          test_messages_short_and_trailing_bodies_are_refused,
          test_messages_random_and_mutated_bodies_never_crash,
          test_messages_only_the_named_sender_may_call,
          test_hello_of_other_version_node_or_role_is_refused_by_name,
          test_command_that_makes_no_sense_is_refused)
