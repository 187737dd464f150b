#include "fixture.h"

#include <errno.h>

/* ---- the model: what every key should hold ---- */

#define MODEL_KEYS 700u

struct model_key {
    uint8_t key[LIMIT_KEY_BYTES_CAP];
    size_t key_bytes;
    uint64_t revision; /* 0: absent */
    uint32_t value_seed;
    size_t value_bytes;
};

static struct model_key model[MODEL_KEYS];

static void model_make_keys(void)
{
    for (unsigned i = 0; i < MODEL_KEYS; i++) {
        model[i].key_bytes = i % 11 == 0 ? 400 + random_next() % 624 : 4 + random_next() % 40;
        memset(model[i].key, (int)(i % 3), model[i].key_bytes); /* long common prefixes */
        snprintf((char *)model[i].key + model[i].key_bytes - 4, 4, "%03x", i);
    }
}

static size_t random_value_bytes(void)
{
    switch (random_next() % 8) {
    case 0:
        return 0;
    case 1:
        return 1000 + random_next() % 2000;
    case 2:
        return random_next() % 50000;
    default:
        return random_next() % 300;
    }
}

static void model_step(struct store *store)
{
    struct model_key *key = &model[random_next() % MODEL_KEYS];
    if (random_next() % 3) {
        key->value_bytes = random_value_bytes();
        key->value_seed = (uint32_t)random_next();
        fill_value(value, key->value_bytes, key->value_seed);
        struct command_result result =
            put(store, key->key, key->key_bytes, value, key->value_bytes);
        ck_assert_int_eq(result.status, PROTO_STATUS_OK);
        ck_assert_int_eq(result.existed, key->revision != 0);
        key->revision = store_applied_index(store);
        ck_assert_uint_eq(result.revision, key->revision);
    } else {
        struct command_result result = del(store, key->key, key->key_bytes);
        ck_assert_int_eq(result.existed, key->revision != 0);
        key->revision = 0;
    }
}

static void model_compare(struct store *store)
{
    struct store_status status;
    uint64_t keys = 0;
    for (unsigned i = 0; i < MODEL_KEYS; i++) {
        struct tree_record record;
        int code = store_get(store, (struct node_bytes){model[i].key, model[i].key_bytes}, &record);
        if (!model[i].revision) {
            ck_assert_int_eq(code, STORE_NOT_FOUND);
            continue;
        }
        keys++;
        ck_assert_msg(code == 0, "key %u: %d %s", i, code, store_damage(store));
        ck_assert_uint_eq(record.revision, model[i].revision);
        ck_assert_uint_eq(record.value.length, model[i].value_bytes);
        fill_value(value, model[i].value_bytes, model[i].value_seed);
        if (record.value.length)
            ck_assert_mem_eq(record.value.bytes, value, model[i].value_bytes);
    }
    store_fill_status(store, &status);
    ck_assert_uint_eq(status.keys, keys);
}

/* Random operations against the model, with checkpoints and reopens; what a reopen loses is applied
 * again, as raftd would. */
static void model_run(uint64_t seed)
{
    random_state = seed;
    fprintf(stderr, "seed %llu\n", (unsigned long long)seed);
    memset(model, 0, sizeof(model));
    enter_folder();
    model_make_keys();
    struct store *store = open_store();
    for (unsigned round = 0; round < 40; round++) {
        unsigned steps = (unsigned)(random_next() % 400);
        bool overlap = random_next() % 2;
        for (unsigned i = 0; i < steps; i++) {
            if (overlap && i == steps / 2)
                (void)store_checkpoint_begin(store);
            model_step(store);
        }
        if (store_checkpoint_is_open(store)) {
            ck_assert_int_eq(store_checkpoint_write(store), 0);
            store_checkpoint_end(store);
            check_clean();
        }
        model_compare(store);
        if (round % 3 == 0) {
            checkpoint(store);
            check_clean();
        }
        if (round % 9 == 0) {
            store_close(store);
            store = open_store();
            model_compare(store);
        }
    }
    for (unsigned i = 0; i < MODEL_KEYS; i++)
        (void)del(store, model[i].key, model[i].key_bytes);
    struct store_status status;
    static const uint8_t zero[16];
    store_fill_status(store, &status);
    ck_assert_uint_eq(status.keys, 0);
    ck_assert_mem_eq(status.state_hash, zero, sizeof(zero));
    checkpoint(store);
    check_clean();
    store_close(store);
    leave_folder();
}

START_TEST(test_store_random_operations_match_the_model)
{
    for (uint64_t seed = 1; seed <= 3; seed++)
        model_run(0x1234567ull + seed * 7919);
}
END_TEST

START_TEST(test_store_crash_before_checkpoint_is_replayed_to_the_same_hash)
{
    struct store_status before, after;
    enter_folder();
    struct store *store = open_store();
    for (unsigned i = 0; i < 500; i++)
        (void)put(store, &i, sizeof(i), "first", 5);
    checkpoint(store);
    uint64_t durable = store_durable_index(store);
    ck_assert_uint_eq(durable, 500);
    for (unsigned i = 250; i < 900; i++)
        (void)put(store, &i, sizeof(i), "second", 6);
    store_fill_status(store, &before);
    store_close(store); /* nothing of the second part is written: as kill -9 */
    store = open_store();
    ck_assert_uint_eq(store_applied_index(store), durable);
    for (unsigned i = 250; i < 900; i++)
        (void)put(store, &i, sizeof(i), "second", 6);
    store_fill_status(store, &after);
    ck_assert_uint_eq(after.keys, before.keys);
    ck_assert_uint_eq(after.applied_index, before.applied_index);
    ck_assert_mem_eq(after.state_hash, before.state_hash, 16);
    store_close(store);
    leave_folder();
}
END_TEST

START_TEST(test_store_conditions_hold_or_change_nothing)
{
    enter_folder();
    struct store *store = open_store();
    struct command command = {.operation = COMMAND_PUT,
                              .condition = COMMAND_IF_PRESENT,
                              .key = (const uint8_t *)"k",
                              .key_bytes = 1,
                              .value = (const uint8_t *)"v",
                              .value_bytes = 1};
    ck_assert_int_eq(apply(store, &command).status, PROTO_STATUS_CONDITION_FAILED); /* index 1 */
    command.condition = COMMAND_IF_ABSENT;
    ck_assert_int_eq(apply(store, &command).status, PROTO_STATUS_OK); /* 2 */
    ck_assert_int_eq(apply(store, &command).status, PROTO_STATUS_CONDITION_FAILED);
    command.condition = COMMAND_IF_REVISION;
    command.revision = 1;
    struct command_result result = apply(store, &command);
    ck_assert_int_eq(result.status, PROTO_STATUS_CONDITION_FAILED);
    ck_assert_uint_eq(result.revision, 2);
    command.revision = 2;
    result = apply(store, &command);
    ck_assert_int_eq(result.status, PROTO_STATUS_OK);
    ck_assert_uint_eq(result.revision, 5);
    command.operation = COMMAND_DELETE;
    command.value_bytes = 0;
    ck_assert_int_eq(apply(store, &command).status, PROTO_STATUS_CONDITION_FAILED);
    command.revision = 5;
    ck_assert_int_eq(apply(store, &command).status, PROTO_STATUS_OK);
    struct tree_record record;
    ck_assert_int_eq(store_get(store, (struct node_bytes){command.key, 1}, &record),
                     STORE_NOT_FOUND);
    store_close(store);
    leave_folder();
}
END_TEST

START_TEST(test_store_nonsense_command_is_an_entry_like_any_other)
{
    enter_folder();
    struct store *store = open_store();
    struct apply_entry entry = {
        .term = 3, .kind = ENTRY_COMMAND, .data = (const uint8_t *)"junk", .data_bytes = 4};
    struct command_result result;
    ck_assert_int_eq(store_apply(store, &entry, &result), 0);
    ck_assert_int_eq(result.status, PROTO_STATUS_BAD_REQUEST);
    ck_assert_uint_eq(store_applied_index(store), 1);
    store_close(store);
    leave_folder();
}
END_TEST

/* The largest one survives a reopen; one byte more is refused and changes nothing. */
START_TEST(test_store_configuration_is_kept_or_refused_whole)
{
    static uint8_t configuration[LIMIT_CONFIGURATION_BYTES_MAX + 1];
    struct apply_entry entry = {.term = 1,
                                .kind = ENTRY_CONFIGURATION,
                                .data = configuration,
                                .data_bytes = LIMIT_CONFIGURATION_BYTES_MAX};
    struct command_result result;
    enter_folder();
    struct store *store = open_store();
    fill_value(configuration, sizeof(configuration), 5);
    ck_assert_int_eq(store_apply(store, &entry, &result), 0);
    entry.data_bytes = LIMIT_CONFIGURATION_BYTES_MAX + 1;
    ck_assert_int_eq(store_apply(store, &entry, &result), -EMSGSIZE);
    ck_assert_uint_eq(store_applied_index(store), 1);
    checkpoint(store);
    store_close(store);
    store = open_store();
    ck_assert_uint_eq(store_configuration(store).length, LIMIT_CONFIGURATION_BYTES_MAX);
    ck_assert_mem_eq(store_configuration(store).bytes, configuration,
                     LIMIT_CONFIGURATION_BYTES_MAX);
    store_close(store);
    leave_folder();
}
END_TEST

START_TEST(test_store_checkpoints_come_at_a_share_of_the_store)
{
    const uint64_t mib = (1u << 20) / PAGE_BYTES; /* pages */
    const struct {
        uint64_t pages, checkpoint_mib, full_mib;
    } rows[] = {
        {0, 32, 64},
        {256 * mib, 32, 64},
        {512 * mib, 32, 128},
        {1024 * mib, 64, 256},
        {1536 * mib, 96, 256},
        {2048 * mib, 128, 256},
        {1ull << 28, 128, 256},
    };
    for (unsigned i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        ck_assert_uint_eq(store_checkpoint_bytes(rows[i].pages) >> 20, rows[i].checkpoint_mib);
        ck_assert_uint_eq(store_full_bytes(rows[i].pages) >> 20, rows[i].full_mib);
    }
    ck_assert_uint_gt(store_checkpoint_bytes(513 * mib), STORE_CHECKPOINT_BYTES_MIN);
    ck_assert_uint_lt(store_checkpoint_bytes(2047 * mib), STORE_CHECKPOINT_BYTES_MAX);
}
END_TEST

/* Entries wait for a checkpoint that is being written, not for one that is through. */
START_TEST(test_store_is_full_until_what_was_changed_is_written)
{
    unsigned key = 0;
    enter_folder();
    struct store *store = open_store();
    fill_value(value, 50000, 1);
    for (; !store_wants_checkpoint(store); key++)
        (void)put(store, &key, sizeof(key), value, 50000);
    ck_assert(!store_is_full(store));
    ck_assert(store_checkpoint_begin(store));
    ck_assert(!store_wants_checkpoint(store));
    for (unsigned more = 0; !store_is_full(store); more++) {
        ck_assert_uint_le(more, key + 1); /* as much again */
        (void)put(store, &more, sizeof(more), value, 50000);
    }
    ck_assert_int_eq(store_checkpoint_write(store), 0);
    store_checkpoint_end(store);
    ck_assert(!store_is_full(store));
    (void)put(store, &key, sizeof(key), value, 50000);
    ck_assert(store_wants_checkpoint(store));
    store_close(store);
    leave_folder();
}
END_TEST

UNIT_MAIN("store", test_store_checkpoints_come_at_a_share_of_the_store,
          test_store_is_full_until_what_was_changed_is_written,
          test_store_random_operations_match_the_model,
          test_store_crash_before_checkpoint_is_replayed_to_the_same_hash,
          test_store_conditions_hold_or_change_nothing,
          test_store_nonsense_command_is_an_entry_like_any_other,
          test_store_configuration_is_kept_or_refused_whole)
