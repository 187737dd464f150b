#include "../unit.h"

#include "apply.h"
#include "command.h"
#include "frame.h"
#include "hello.h"
#include "members.h"
#include "message.h"
#include "propose.h"
#include "read.h"
#include "status.h"

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
    const uint8_t *command;
    size_t bytes, total = 0;
    int code = propose_decode(body, &list);
    while (!code && propose_next(&list, &command, &bytes))
        total += bytes ? command[bytes - 1] : 0u; /* reads to the end: the sanitizers look on */
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
    propose_add(into, encoded.bytes, encoded.length);
    propose_add(into, "", 0);
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
        .storaged_up = true,
        .servers_count = 1,
        .servers = {{.id = "n1", .raft_address = "h:1", .http_url = "u", .voter = true}}};
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
    struct applied_head head = {.status = PROTO_STATUS_OK, .applied_index = 6, .durable_index = 4};
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
    {PROTO_HELLO, build_hello, decode_hello, "02000200038877665544332211050000006e6f646531"},
    {PROTO_WELCOME, build_hello, decode_hello, "02000200038877665544332211050000006e6f646531"},
    {PROTO_REFUSED, build_refused, decode_refused, "0e0004000000676f6e65"},
    {PROTO_PROPOSE, build_propose, decode_propose,
     "020000001500000001010700000000000000010000006b02000000767600000000"},
    {PROTO_RESULT, build_result, decode_result,
     "020000006e3103000000683a31010000007501000000050009000000000000000100000072"},
    {PROTO_READ_INDEX, build_empty, decode_empty, ""},
    {PROTO_READ_INDEX_OK, build_read_index_ok, decode_read_index_ok,
     "00000c00000000000000020000006e3103000000683a310100000075"},
    {PROTO_RAFT_STATUS, build_empty, decode_empty, ""},
    {PROTO_RAFT_STATUS_OK, build_raft_status, decode_raft_status,
     "020000006e310400000030306666030200000000000000020000006e3103000000683a31010000007503000000000"
     "000000400000000000000020000000000000004000000000000000400000000000000030000000000000000000000"
     "000000000000000000000000000000000000000001000000000000000500000000000000060000000000000007000"
     "000000000000101000000020000006e3103000000683a31010000007501"},
    {PROTO_JOIN, build_join, decode_join, "020000006e3203000000683a32"},
    {PROTO_REMOVE, build_remove, decode_remove, "020000006e32"},
    {PROTO_TRANSFER, build_transfer, decode_transfer, "00000000"},
    {PROTO_MEMBERS_OK, build_members_ok, decode_members_ok,
     "1100020000006e3103000000683a310100000075060000006e6f20776179"},
    {PROTO_APPLY, build_apply, decode_apply,
     "050000000000000002000000030000000000000001010000006404000000000000000200000000"},
    {PROTO_APPLIED, build_applied, decode_applied,
     "000006000000000000000400000000000000020000000b000000000005000000000000000100000000"},
    {PROTO_READ, build_read, decode_read, "0500000000000000b80b000001000000030000006b6579"},
    {PROTO_READ_OK, build_read_ok, decode_read_ok,
     "060000000000000002000000000005000000000000000300000076616c0100000000000000000000000000"},
    {PROTO_STORE_STATUS, build_empty, decode_empty, ""},
    {PROTO_STORE_STATUS_OK, build_store_status, decode_store_status,
     "000000000000010000000000000002000000000000000100000000000000030000000000000000100000000000000"
     "5000000000000000600000000000000aa0000000000000000000000000000bb"},
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
        strstr(error.text, "raftd speaks message versions 3 to 3, this is 2 to 2"));
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
