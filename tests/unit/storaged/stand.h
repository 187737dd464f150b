/* storaged without its main: all rooms on a loop of the test's, in a folder of its own, and a
 * caller over the real bus. A stand may be opened again in the same folder. */
#pragma once

#include "fixture.h"

#include "checkpointer.h"
#include "cursor.h"
#include "datadir.h"
#include "dispatch.h"
#include "read.h"
#include "snapshot.h"

#include <errno.h>

#define STAND_WAIT_MS 20000u

struct stand {
    struct storaged storaged;
    struct bus_client *client; /* as raftd */
    int failed;                /* the code install_options.on_failed got */
    unsigned calls;            /* not answered yet */
};

/* An answer, copied; a callback cannot keep its body. */
struct answer {
    struct stand *stand;
    bool is_there;
    enum bus_end end;
    uint16_t type;
    struct buffer body;
};

UNUSED static void stand_on_checkpoint_failed(void *context, int code)
{
    (void)context;
    ck_abort_msg("a checkpoint failed for good: %d", code);
}

UNUSED static void stand_on_install_failed(void *context, int code, const char *reason)
{
    struct storaged *storaged = context;
    struct stand *stand = (struct stand *)storaged; /* its first member */
    (void)reason;
    stand->failed = code;
}

UNUSED static int stand_on_welcome(void *context, struct wire_reader *body, uint64_t *ret_epoch)
{
    struct hello peer;
    (void)context;
    ck_assert_int_eq(hello_decode(body, &peer), 0);
    *ret_epoch = peer.boot_epoch;
    return 0;
}

UNUSED static void stand_ignore(void *context)
{
    (void)context;
}

#define STAND_UNTIL(stand, condition)                                                              \
    do {                                                                                           \
        uint64_t until_ms_ = clock_monotonic_ms() + STAND_WAIT_MS;                                 \
        while (!(condition) && clock_monotonic_ms() < until_ms_)                                   \
            loop_turn((stand)->storaged.loop, 20);                                                 \
        ck_assert_msg(condition, "waited for " #condition);                                        \
    } while (0)

UNUSED static struct bus_client *stand_dial(struct stand *stand, enum proto_role role)
{
    struct bus_client *client;
    struct buffer hello = {0};
    struct error error = {""};
    struct hello own = hello_of(role, 8, "node1");
    hello_encode(&hello, &own);
    struct bus_client_options options = {.loop = stand->storaged.loop,
                                         .url = DATADIR_STORAGED_URL,
                                         .hello = hello.bytes,
                                         .hello_bytes = hello.length,
                                         .on_welcome = stand_on_welcome,
                                         .on_up = stand_ignore,
                                         .on_down = stand_ignore,
                                         .context = stand};
    ck_assert_msg(bus_client_new(&client, &options, &error) == 0, "%s", error.text);
    buffer_free(&hello);
    STAND_UNTIL(stand, bus_client_is_up(client));
    return client;
}

UNUSED static void stand_open(struct stand *stand)
{
    struct storaged *storaged = &stand->storaged;
    struct error error = {""};
    *stand = (struct stand){0};
    (void)mkdir(DATADIR_RUN_PATH, 0700);
    ck_assert_int_eq(loop_new(&storaged->loop), 0);
    storaged->store = open_store();
    storaged->hello = hello_of(PROTO_ROLE_STORAGED, 7, "node1");
    ck_assert_int_eq(worker_new(&storaged->worker, storaged->loop), 0);
    storaged->checkpointer =
        checkpointer_new(&(struct checkpointer_options){.loop = storaged->loop,
                                                        .worker = storaged->worker,
                                                        .store = storaged->store,
                                                        .on_failed = stand_on_checkpoint_failed});
    storaged->parking = parking_new(storaged->loop, storaged->store);
    storaged->reads = reads_new(storaged->parking, storaged->store, &storaged->server);
    storaged->scans =
        scans_new(storaged->loop, storaged->parking, storaged->store, &storaged->server);
    storaged->snapshots = snapshots_new(storaged->loop, storaged->store, &storaged->server);
    storaged->install =
        install_new(&(struct install_options){.loop = storaged->loop,
                                              .worker = storaged->worker,
                                              .store = storaged->store,
                                              .checkpointer = storaged->checkpointer,
                                              .server = &storaged->server,
                                              .on_ended = storaged_on_install_ended,
                                              .on_failed = stand_on_install_failed,
                                              .context = storaged});
    ck_assert_msg(storaged_listen(storaged, &error) == 0, "%s", error.text);
    stand->client = stand_dial(stand, PROTO_ROLE_RAFTD);
}

/* As main ends. */
UNUSED static void stand_close(struct stand *stand)
{
    struct storaged *storaged = &stand->storaged;
    bus_client_free(stand->client);
    bus_server_free(storaged->server);
    install_free(storaged->install);
    ck_assert_int_eq(checkpointer_finish(storaged->checkpointer), 0);
    worker_free(storaged->worker);
    snapshots_free(storaged->snapshots);
    parking_free(storaged->parking);
    scans_free(storaged->scans);
    reads_free(storaged->reads);
    store_close(storaged->store);
    buffer_free(&storaged->reply);
    loop_free(storaged->loop);
}

/* ---- calls ---- */

UNUSED static void answer_take(void *context, enum bus_end end, uint16_t type,
                               struct wire_reader *body)
{
    struct answer *answer = context;
    answer->stand->calls--;
    answer->is_there = true;
    answer->end = end;
    answer->type = type;
    if (body)
        buffer_append(&answer->body, body->at, body->left);
}

UNUSED static void answer_free(struct answer *answer)
{
    buffer_free(&answer->body);
}

/* `answer` is filled in when it comes. Frees `body`. */
UNUSED static void stand_call(struct stand *stand, struct bus_client *client, uint16_t type,
                              struct buffer *body, struct answer *answer)
{
    *answer = (struct answer){.stand = stand};
    uint64_t deadline_ms = clock_monotonic_ms() + STAND_WAIT_MS;
    ck_assert_int_eq(bus_call(client, type, body, deadline_ms, answer_take, answer), 0);
    stand->calls++;
    buffer_free(body);
}

UNUSED static struct wire_reader answer_body(const struct answer *answer, uint16_t type)
{
    ck_assert_int_eq(answer->end, BUS_REPLIED);
    ck_assert_uint_eq(answer->type, type);
    return wire_reader_of(answer->body.bytes, answer->body.length);
}

UNUSED static void stand_ask(struct stand *stand, uint16_t type, struct buffer *body,
                             struct answer *answer)
{
    stand_call(stand, stand->client, type, body, answer);
    STAND_UNTIL(stand, answer->is_there);
}

UNUSED static struct store_status stand_status(struct stand *stand)
{
    struct answer answer;
    struct buffer none = {0};
    struct store_status status;
    stand_ask(stand, PROTO_STORE_STATUS, &none, &answer);
    struct wire_reader body = answer_body(&answer, PROTO_STORE_STATUS_OK);
    ck_assert_int_eq(store_status_decode(&body, &status), 0);
    answer_free(&answer);
    return status;
}

/* An APPLY of one command behind what is applied. */
UNUSED static struct applied_head stand_put(struct stand *stand, const void *key, size_t key_bytes,
                                            const void *bytes, size_t length)
{
    struct command command = {.operation = COMMAND_PUT,
                              .key = key,
                              .key_bytes = key_bytes,
                              .value = bytes,
                              .value_bytes = length};
    struct buffer encoded = {0}, body = {0};
    struct answer answer;
    struct applied_head head;
    struct message_list list;
    command_encode(&encoded, &command);
    struct apply_entry entry = {
        .term = 1, .kind = ENTRY_COMMAND, .data = encoded.bytes, .data_bytes = encoded.length};
    apply_begin(&body, store_applied_index(stand->storaged.store) + 1);
    apply_add(&body, &entry);
    stand_ask(stand, PROTO_APPLY, &body, &answer);
    struct wire_reader reader = answer_body(&answer, PROTO_APPLIED);
    ck_assert_int_eq(applied_decode(&reader, &head, &list), 0);
    buffer_free(&encoded);
    answer_free(&answer);
    return head;
}

/* ---- giving ---- */

/* The state hash and all else, but for the configuration, whose bytes are gone. */
UNUSED static struct snapshot_opened stand_open_snapshot(struct stand *stand, uint32_t live_ms)
{
    struct buffer body = {0};
    struct answer answer;
    struct snapshot_opened opened;
    snapshot_open_encode(&body, live_ms);
    stand_ask(stand, PROTO_SNAPSHOT_OPEN, &body, &answer);
    struct wire_reader reader = answer_body(&answer, PROTO_SNAPSHOT_OPENED);
    ck_assert_int_eq(snapshot_opened_decode(&reader, &opened), 0);
    opened.configuration = NULL;
    answer_free(&answer);
    return opened;
}

/* The whole part, from its CRC on, into *ret_part; returns the status. */
UNUSED static uint16_t stand_read_part(struct stand *stand, uint64_t view, uint32_t part,
                                       struct buffer *ret_part, bool *ret_is_last)
{
    struct buffer body = {0};
    struct answer answer;
    struct wire_reader bytes;
    uint16_t status;
    snapshot_read_encode(&body, &(struct snapshot_read){.view = view, .part = part});
    stand_ask(stand, PROTO_SNAPSHOT_READ, &body, &answer);
    struct wire_reader reader = answer_body(&answer, PROTO_SNAPSHOT_PART);
    ck_assert_int_eq(snapshot_part_decode(&reader, &status, ret_is_last, &bytes), 0);
    ret_part->length = 0;
    buffer_append(ret_part, bytes.at, bytes.left);
    answer_free(&answer);
    return status;
}

UNUSED static void stand_close_snapshot(struct stand *stand, uint64_t view)
{
    struct buffer body = {0};
    struct answer answer;
    snapshot_close_encode(&body, view);
    stand_ask(stand, PROTO_SNAPSHOT_CLOSE, &body, &answer);
    (void)answer_body(&answer, PROTO_SNAPSHOT_CLOSED);
    answer_free(&answer);
}

/* ---- taking ---- */

UNUSED static struct install_reply install_reply_of(struct answer *answer)
{
    struct install_reply reply;
    struct wire_reader body = answer_body(answer, PROTO_INSTALL_OK);
    ck_assert_int_eq(install_ok_decode(&body, &reply), 0);
    answer_free(answer);
    return reply;
}

UNUSED static struct install_reply stand_begin(struct stand *stand, uint64_t index, uint64_t term)
{
    struct buffer body = {0};
    struct answer answer;
    install_begin_encode(&body, &(struct install_begin){.index = index, .term = term});
    stand_ask(stand, PROTO_INSTALL_BEGIN, &body, &answer);
    return install_reply_of(&answer);
}

UNUSED static struct install_reply stand_give_part(struct stand *stand, uint32_t part,
                                                   const struct buffer *bytes)
{
    struct buffer body = {0};
    struct answer answer;
    struct wire_reader reader = wire_reader_of(bytes->bytes, bytes->length);
    install_part_encode(&body, part, &reader);
    stand_ask(stand, PROTO_INSTALL_PART, &body, &answer);
    return install_reply_of(&answer);
}

UNUSED static struct install_reply stand_end(struct stand *stand, const struct install_end *end)
{
    struct buffer body = {0};
    struct answer answer;
    install_end_encode(&body, end);
    stand_ask(stand, PROTO_INSTALL_END, &body, &answer);
    return install_reply_of(&answer);
}

/* ---- a whole snapshot in memory ---- */

#define CAPTURE_PARTS_MAX 256u

struct capture {
    struct install_end end;
    uint8_t configuration[LIMIT_CONFIGURATION_BYTES_MAX];
    struct buffer parts[CAPTURE_PARTS_MAX];
    unsigned count;
};

/* The parts not read yet, from `first` on. */
UNUSED static void capture_parts(struct stand *stand, uint64_t view, unsigned first,
                                 struct capture *capture)
{
    bool is_last = false;
    for (capture->count = first; !is_last; capture->count++) {
        ck_assert_uint_lt(capture->count, CAPTURE_PARTS_MAX);
        ck_assert_uint_eq(
            stand_read_part(stand, view, capture->count, &capture->parts[capture->count], &is_last),
            PROTO_STATUS_OK);
    }
}

UNUSED static void capture_head(struct stand *stand, const struct snapshot_opened *opened,
                                struct capture *capture)
{
    struct node_bytes configuration = store_configuration(stand->storaged.store);
    ck_assert_uint_eq(opened->status, PROTO_STATUS_OK);
    memcpy(capture->configuration, configuration.bytes, configuration.length);
    capture->end = (struct install_end){.index = opened->index,
                                        .term = opened->term,
                                        .keys = opened->keys,
                                        .configuration = capture->configuration,
                                        .configuration_bytes = configuration.length};
    memcpy(capture->end.state_hash, opened->state_hash, sizeof(opened->state_hash));
}

UNUSED static struct capture *capture_new(struct stand *stand)
{
    struct capture *capture = memory_new_zeroed(1, sizeof(*capture));
    struct snapshot_opened opened = stand_open_snapshot(stand, 60000);
    capture_head(stand, &opened, capture);
    capture_parts(stand, opened.view, 0, capture);
    stand_close_snapshot(stand, opened.view);
    return capture;
}

UNUSED static void capture_free(struct capture *capture)
{
    for (unsigned i = 0; i < CAPTURE_PARTS_MAX; i++)
        buffer_free(&capture->parts[i]);
    free(capture);
}

/* Walks the parts: the records are in order, and together what the head says. */
UNUSED static void capture_check(const struct capture *capture)
{
    uint8_t hash[16] = {0}, last[LIMIT_KEY_BYTES_CAP];
    struct node_bytes before = {last, 0};
    uint64_t keys = 0;
    for (unsigned i = 0; i < capture->count; i++) {
        struct wire_reader body = wire_reader_of(capture->parts[i].bytes, capture->parts[i].length);
        struct message_list list;
        struct install_record record;
        ck_assert_int_eq(install_records_decode(&body, &list), 0);
        while (install_records_next(&list, &record)) {
            struct tree_record found = {.key = {record.key, record.key_bytes},
                                        .value = {record.value, record.value_bytes},
                                        .revision = record.revision};
            found.is_overflow = tree_value_overflows(record.key_bytes, record.value_bytes);
            if (found.is_overflow)
                found.value_hash = tree_value_hash(found.value);
            store_hash_add(hash, &found);
            ck_assert(keys == 0 || node_compare(before, found.key) < 0);
            ck_assert_uint_le(record.revision, capture->end.index);
            memcpy(last, record.key, record.key_bytes);
            before.length = record.key_bytes;
            keys++;
        }
    }
    ck_assert_uint_eq(keys, capture->end.keys);
    ck_assert_mem_eq(hash, capture->end.state_hash, sizeof(hash));
}

#define ASSERT_OK(reply)                                                                           \
    do {                                                                                           \
        struct install_reply reply_ = reply;                                                       \
        ck_assert_msg(reply_.status == PROTO_STATUS_OK, "%s: %s",                                  \
                      proto_status_name(reply_.status), reply_.reason);                            \
    } while (0)

/* All but END. */
UNUSED static void stand_give(struct stand *stand, const struct capture *capture)
{
    ASSERT_OK(stand_begin(stand, capture->end.index, capture->end.term));
    for (unsigned i = 0; i < capture->count; i++)
        ASSERT_OK(stand_give_part(stand, i, &capture->parts[i]));
}

UNUSED static void stand_install(struct stand *stand, const struct capture *capture)
{
    stand_give(stand, capture);
    ASSERT_OK(stand_end(stand, &capture->end));
}

/* What storaged says of itself is the snapshot. */
UNUSED static void stand_check_is(struct stand *stand, const struct capture *capture)
{
    struct store_status status = stand_status(stand);
    struct node_bytes configuration = store_configuration(stand->storaged.store);
    ck_assert_uint_eq(status.health, PROTO_STATUS_OK);
    ck_assert_uint_eq(status.applied_index, capture->end.index);
    ck_assert_uint_eq(status.durable_index, capture->end.index);
    ck_assert_uint_eq(status.applied_term, capture->end.term);
    ck_assert_uint_eq(status.keys, capture->end.keys);
    ck_assert_mem_eq(status.state_hash, capture->end.state_hash, sizeof(status.state_hash));
    ck_assert_uint_eq(configuration.length, capture->end.configuration_bytes);
    ck_assert_mem_eq(configuration.bytes, capture->end.configuration, configuration.length);
}

/* A store of `count` small records and some that are not; entries up to index `count` + 12. */
UNUSED static void fill_store(struct store *store, unsigned count, uint64_t seed)
{
    static const size_t sizes[] = {0, 1, 1900, 2100, 4096, 70000, 1 << 20, (1 << 20) + 1};
    uint8_t *large = memory_new((1 << 20) + 1);
    struct command_result ignored;
    struct apply_entry configuration = {.term = 3,
                                        .kind = ENTRY_CONFIGURATION,
                                        .data = (const uint8_t *)"members\0and more",
                                        .data_bytes = 16};
    random_state = seed;
    ck_assert_int_eq(store_apply(store, &configuration, &ignored), 0);
    for (unsigned i = 0; i < count; i++) {
        uint8_t key[40] = {0, 255, (uint8_t)i};
        size_t key_bytes = 8 + random_next() % 32;
        uint64_t number = random_next();
        memcpy(key, &number, sizeof(number));
        fill_value(value, 80, (uint32_t)i);
        (void)put(store, key, key_bytes, value, random_next() % 80);
    }
    for (unsigned i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
        fill_value(large, sizes[i], i);
        (void)put(store, &i, 1, large, sizes[i]);
    }
    fill_value(value, LIMIT_KEY_BYTES_CAP, 9);
    (void)put(store, value, LIMIT_KEY_BYTES_CAP, "longest", 7);
    (void)put(store, "\0", 1, "nul", 3);
    (void)put(store, "\xff\xff", 2, "end", 3);
    free(large);
}

UNUSED static void check_no_litter(void)
{
    ck_assert_int_eq(access(INSTALL_LITTER, F_OK), -1);
}
