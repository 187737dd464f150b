#include "stand.h"

#include "txn.h"

/* ---- making and applying them ---- */

#define COUNT(list) ((uint32_t)(sizeof(list) / sizeof(*(list))))
#define TEXT(text) (const uint8_t *)(text), .key_bytes = strlen(text)
#define BYTES(text) (const uint8_t *)(text), .value_bytes = strlen(text)
#define PUT(key_text, value_text)                                                                  \
    {                                                                                              \
        .kind = TXN_PUT, .key = TEXT(key_text), .value = BYTES(value_text)                         \
    }
#define DELETE(key_text)                                                                           \
    {                                                                                              \
        .kind = TXN_DELETE, .key = TEXT(key_text)                                                  \
    }
#define GET(key_text)                                                                              \
    {                                                                                              \
        .kind = TXN_GET, .key = TEXT(key_text)                                                     \
    }

static struct txn_result_head head;
static struct txn_list results;

static int apply_bytes(struct store *store, const struct buffer *bytes)
{
    struct command_result result;
    struct apply_entry entry = {
        .term = 1, .kind = ENTRY_COMMAND, .data = bytes->bytes, .data_bytes = bytes->length};
    int code = store_apply(store, &entry, &result);
    struct node_bytes answer = store_txn_result(store);
    if (!code)
        ck_assert_int_eq(txn_result_decode(answer.bytes, answer.length, &head, &results), 0);
    return code;
}

static int apply_txn(struct store *store, const struct txn_lists *lists)
{
    struct buffer bytes = {0};
    struct txn_lists whole = *lists;
    if (!whole.result_bytes_max)
        whole.result_bytes_max = TXN_RESULT_BYTES_MAX;
    txn_encode(&bytes, &whole);
    int code = apply_bytes(store, &bytes);
    buffer_free(&bytes);
    return code;
}

static struct txn_result_record next_result(void)
{
    struct txn_result_record record;
    ck_assert(txn_result_next(&results, &record));
    return record;
}

static void assert_get(const char *key, const char *expected, uint64_t revision)
{
    struct txn_result_record record = next_result();
    ck_assert_uint_eq(record.kind, TXN_GET);
    ck_assert_uint_eq(record.key_bytes, strlen(key));
    ck_assert_mem_eq(record.key, key, strlen(key));
    ck_assert_int_eq(record.existed, expected != NULL);
    ck_assert_uint_eq(record.revision, revision);
    ck_assert_uint_eq(record.value_bytes, expected ? strlen(expected) : 0);
    if (record.value_bytes)
        ck_assert_mem_eq(record.value, expected, record.value_bytes);
}

static void assert_write(uint8_t kind, uint64_t revision, bool existed)
{
    struct txn_result_record record = next_result();
    ck_assert_uint_eq(record.kind, kind);
    ck_assert_uint_eq(record.revision, revision);
    ck_assert_int_eq(record.existed, existed);
    ck_assert_uint_eq(record.key_bytes + record.value_bytes, 0);
}

/* ---- tests ---- */

START_TEST(test_transaction_compares)
{
    const struct {
        struct txn_compare compare;
        bool holds;
    } cases[] = {
        {{.kind = TXN_EXISTS, .key = TEXT("a")}, true},
        {{.kind = TXN_EXISTS, .key = TEXT("x")}, false},
        {{.kind = TXN_ABSENT, .key = TEXT("a")}, false},
        {{.kind = TXN_ABSENT, .key = TEXT("x")}, true},
        {{.kind = TXN_REVISION, .key = TEXT("a"), .revision = 1}, true},
        {{.kind = TXN_REVISION, .key = TEXT("a"), .revision = 2}, false},
        {{.kind = TXN_REVISION, .key = TEXT("a"), .revision = 0}, false},
        {{.kind = TXN_REVISION, .key = TEXT("x"), .revision = 0}, true},
        {{.kind = TXN_REVISION, .key = TEXT("x"), .revision = 1}, false},
        {{.kind = TXN_VALUE, .key = TEXT("a"), .value = BYTES("one")}, true},
        {{.kind = TXN_VALUE, .key = TEXT("a"), .value = BYTES("on")}, false},
        {{.kind = TXN_VALUE, .key = TEXT("a"), .value = BYTES("onf")}, false},
        {{.kind = TXN_VALUE, .key = TEXT("x"), .value = BYTES("")}, false},
        {{.kind = TXN_VALUE, .key = TEXT("empty"), .value = BYTES("")}, true},
    };
    const struct txn_operation thens[] = {GET("a")};
    enter_folder();
    struct store *store = open_store();
    (void)put(store, "a", 1, "one", 3);
    (void)put(store, "empty", 5, "", 0);
    uint64_t index = 2;
    for (unsigned i = 0; i < COUNT(cases); i++) {
        struct txn_lists lists = {
            .compares = &cases[i].compare, .compares_count = 1, .thens = thens, .thens_count = 1};
        ck_assert_int_eq(apply_txn(store, &lists), 0);
        ck_assert_uint_eq(head.status, PROTO_STATUS_OK);
        ck_assert_uint_eq(head.index, ++index);
        ck_assert_msg(head.succeeded == cases[i].holds, "case %u", i);
        ck_assert_uint_eq(results.left, cases[i].holds);
    }
    const struct txn_compare both[] = {{.kind = TXN_EXISTS, .key = TEXT("a")},
                                       {.kind = TXN_EXISTS, .key = TEXT("x")}};
    struct txn_lists lists = {.compares = both, .compares_count = 2};
    ck_assert_int_eq(apply_txn(store, &lists), 0);
    ck_assert(!head.succeeded);
    store_close(store);
    leave_folder();
}
END_TEST

START_TEST(test_transaction_operations_see_what_was_done_before_them)
{
    const struct txn_operation thens[] = {
        GET("k"),        PUT("k", "first"), GET("k"),         PUT("k", "second"),
        GET("k"),        DELETE("k"),       GET("k"),         DELETE("k"),
        PUT("n", "new"), DELETE("old"),     PUT("same", "2"), GET("same"),
    };
    struct txn_lists lists = {.thens = thens, .thens_count = COUNT(thens)};
    struct tree_record record;
    enter_folder();
    struct store *store = open_store();
    (void)put(store, "old", 3, "1", 1);
    (void)put(store, "same", 4, "1", 1);
    ck_assert_int_eq(apply_txn(store, &lists), 0);
    ck_assert(head.succeeded);
    assert_get("k", NULL, 0);
    assert_write(TXN_PUT, 3, false);
    assert_get("k", "first", 3);
    assert_write(TXN_PUT, 3, true);
    assert_get("k", "second", 3);
    assert_write(TXN_DELETE, 0, true);
    assert_get("k", NULL, 0);
    assert_write(TXN_DELETE, 0, false);
    assert_write(TXN_PUT, 3, false);
    assert_write(TXN_DELETE, 0, true);
    assert_write(TXN_PUT, 3, true);
    assert_get("same", "2", 3);
    ck_assert_uint_eq(results.left, 0);
    ck_assert_int_eq(store_get(store, (struct node_bytes){(const uint8_t *)"k", 1}, &record),
                     STORE_NOT_FOUND);
    struct store_status status;
    store_fill_status(store, &status);
    ck_assert_uint_eq(status.keys, 2);
    ck_assert_uint_eq(status.applied_index, 3);
    checkpoint(store);
    store_close(store);
    check_clean();
    leave_folder();
}
END_TEST

START_TEST(test_transaction_that_does_not_succeed_does_the_other_list)
{
    const struct txn_compare compare = {.kind = TXN_EXISTS, .key = TEXT("x")};
    const struct txn_operation thens[] = {PUT("then", "1")}, elses[] = {PUT("else", "1"), GET("x")};
    struct txn_lists lists = {.compares = &compare,
                              .compares_count = 1,
                              .thens = thens,
                              .thens_count = 1,
                              .elses = elses,
                              .elses_count = 2};
    struct tree_record record;
    enter_folder();
    struct store *store = open_store();
    ck_assert_int_eq(apply_txn(store, &lists), 0);
    ck_assert(!head.succeeded);
    assert_write(TXN_PUT, 1, false);
    assert_get("x", NULL, 0);
    ck_assert_int_eq(store_get(store, (struct node_bytes){(const uint8_t *)"then", 4}, &record),
                     STORE_NOT_FOUND);
    ck_assert_int_eq(store_get(store, (struct node_bytes){(const uint8_t *)"else", 4}, &record), 0);
    store_close(store);
    leave_folder();
}
END_TEST

/* To the byte: also where a get finds what the transaction itself has put. */
START_TEST(test_transaction_whose_gets_give_too_much_changes_nothing)
{
    const struct txn_operation thens[] = {PUT("k", "12345"), GET("k"),         GET("stored"),
                                          GET("none"),       DELETE("stored"), GET("stored")};
    uint32_t bytes = TXN_RESULT_HEAD_BYTES + 6 * TXN_RESULT_RECORD_BYTES + 1 + 5 + 6 + 3 + 4 + 6;
    struct txn_lists lists = {
        .thens = thens, .thens_count = COUNT(thens), .result_bytes_max = bytes - 1};
    struct store_status before, after;
    enter_folder();
    struct store *store = open_store();
    (void)put(store, "stored", 6, "abc", 3);
    store_fill_status(store, &before);
    ck_assert_int_eq(apply_txn(store, &lists), 0);
    ck_assert_uint_eq(head.status, PROTO_STATUS_TOO_LARGE);
    ck_assert_uint_eq(results.left, 0);
    store_fill_status(store, &after);
    ck_assert_mem_eq(before.state_hash, after.state_hash, sizeof(after.state_hash));
    ck_assert_uint_eq(after.applied_index, before.applied_index + 1); /* an entry like any other */
    lists.result_bytes_max = bytes;
    ck_assert_int_eq(apply_txn(store, &lists), 0);
    ck_assert_uint_eq(head.status, PROTO_STATUS_OK);
    ck_assert_uint_eq(store_txn_result(store).length, bytes);
    store_close(store);
    leave_folder();
}
END_TEST

START_TEST(test_transaction_that_makes_no_sense_is_an_entry_like_any_other)
{
    const struct txn_compare compare = {.kind = TXN_VALUE, .key = TEXT("a"), .value = BYTES("v")};
    const struct txn_operation thens[] = {PUT("k", "v"), GET("k")};
    struct txn_lists lists = {.compares = &compare,
                              .compares_count = 1,
                              .thens = thens,
                              .thens_count = 2,
                              .result_bytes_max = 1000};
    struct buffer good = {0}, bad = {0};
    enter_folder();
    struct store *store = open_store();
    txn_encode(&good, &lists);
    for (size_t cut = 1; cut < good.length; cut++) {
        bad.length = 0;
        buffer_append(&bad, good.bytes, cut);
        ck_assert_int_eq(apply_bytes(store, &bad), 0);
        ck_assert_uint_eq(head.status, PROTO_STATUS_BAD_REQUEST);
    }
    random_state = 5;
    for (unsigned i = 0; i < 5000; i++) {
        bad.length = 0;
        buffer_append(&bad, good.bytes, good.length);
        bad.bytes[1 + random_next() % (bad.length - 1)] = (uint8_t)random_next();
        ck_assert_int_eq(apply_bytes(store, &bad), 0);
    }
    ck_assert_uint_eq(store_applied_index(store), good.length - 1 + 5000);
    buffer_free(&good);
    buffer_free(&bad);
    store_close(store);
    leave_folder();
}
END_TEST

/* ---- against an array ---- */

#define KEYS 40u

static struct {
    bool exists;
    uint64_t revision;
    unsigned value;
} now[KEYS];

static char keys[KEYS][8], values[1000][8];

static void random_operations(struct txn_operation *operations, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        const char *key = keys[random_next() % KEYS], *bytes = values[random_next() % 1000];
        operations[i] = (struct txn_operation){.kind = (uint8_t)(TXN_PUT + random_next() % 3),
                                               .key = TEXT(key)};
        if (operations[i].kind == TXN_PUT) {
            operations[i].value = (const uint8_t *)bytes;
            operations[i].value_bytes = strlen(bytes);
        }
    }
}

static void check_operation(const struct txn_operation *operation, uint64_t index)
{
    unsigned i = (unsigned)atoi((const char *)operation->key + 1);
    char text[8];
    snprintf(text, sizeof(text), "%u", now[i].value);
    if (operation->kind == TXN_GET) {
        assert_get(keys[i], now[i].exists ? text : NULL, now[i].exists ? now[i].revision : 0);
        return;
    }
    bool puts = operation->kind == TXN_PUT;
    assert_write(operation->kind, puts ? index : 0, now[i].exists);
    now[i].exists = puts;
    now[i].revision = index;
    if (puts)
        now[i].value = (unsigned)atoi((const char *)operation->value);
}

/* The same entries on two stores, one of which is closed and opened in between. */
START_TEST(test_transaction_random_ones_match_the_model)
{
    enter_folder();
    struct store *store = open_store();
    random_state = 4711;
    for (unsigned i = 0; i < KEYS; i++)
        snprintf(keys[i], sizeof(keys[i]), "k%02u", i);
    for (unsigned i = 0; i < 1000; i++)
        snprintf(values[i], sizeof(values[i]), "%u", i);
    for (unsigned round = 0; round < 2000; round++) {
        struct txn_operation thens[20], elses[20];
        unsigned place = (unsigned)(random_next() % KEYS);
        struct txn_compare compare = {
            .kind = TXN_REVISION,
            .key = TEXT(keys[place]),
            .revision = random_next() % 2 && now[place].exists ? now[place].revision : 0};
        struct txn_lists lists = {.compares = &compare,
                                  .compares_count = 1,
                                  .thens = thens,
                                  .thens_count = (uint32_t)(random_next() % 20),
                                  .elses = elses,
                                  .elses_count = (uint32_t)(random_next() % 20)};
        random_operations(thens, lists.thens_count);
        random_operations(elses, lists.elses_count);
        bool holds = compare.revision == (now[place].exists ? now[place].revision : 0);
        uint64_t index = store_applied_index(store) + 1;
        ck_assert_int_eq(apply_txn(store, &lists), 0);
        ck_assert_int_eq(head.succeeded, holds);
        for (uint32_t i = 0; i < (holds ? lists.thens_count : lists.elses_count); i++)
            check_operation(holds ? &thens[i] : &elses[i], index);
        ck_assert_uint_eq(results.left, 0);
        if (round % 200 == 0) {
            checkpoint(store);
            store_close(store);
            store = open_store();
        }
    }
    checkpoint(store);
    store_close(store);
    check_clean();
    leave_folder();
}
END_TEST

/* ---- a damaged page in the middle ---- */

static void fill(struct store *store)
{
    char key[16];
    for (unsigned i = 0; i < 2000; i++) {
        snprintf(key, sizeof(key), "key%05u", i);
        (void)put(store, key, 8, "a value of some length", 22);
    }
}

/* All or nothing: what was done before the damaged page was met never gets onto the disk. */
START_TEST(test_transaction_that_meets_damage_is_not_checkpointed)
{
    const struct txn_operation thens[] = {PUT("key00001", "changed"), PUT("key01500", "changed")};
    struct txn_lists lists = {.thens = thens, .thens_count = 2};
    struct tree_record record;
    size_t bytes;
    enter_folder();
    struct store *store = open_store();
    fill(store);
    checkpoint(store);
    store_close(store);
    uint8_t *file = read_file(&bytes);
    uint8_t *at = memmem(file, bytes, "key01500", 8);
    ck_assert_ptr_nonnull(at);
    while (at) { /* also in branches, and in pages that are free */
        uint8_t *page = file + (size_t)(at - file) / PAGE_BYTES * PAGE_BYTES;
        if (page[PAGE_BYTES - 1] != 0x5a)
            page[PAGE_BYTES - 1] ^= 0xff;
        at = memmem(at + 8, bytes - (size_t)(at + 8 - file), "key01500", 8);
    }
    write_file(file, bytes);
    free(file);
    store = open_store();
    uint64_t applied_index = store_applied_index(store);
    (void)put(store, "key00000", 8, "x", 1); /* something a checkpoint would write */
    ck_assert_int_eq(apply_txn(store, &lists), -EBADMSG);
    ck_assert_ptr_nonnull(strstr(store_damage(store), "page"));
    ck_assert_uint_eq(store_applied_index(store), applied_index + 1);
    ck_assert(!store_checkpoint_begin(store));
    store_close(store);
    store = open_store();
    ck_assert_uint_eq(store_applied_index(store), applied_index);
    ck_assert_int_eq(store_get(store, (struct node_bytes){(const uint8_t *)"key00001", 8}, &record),
                     0);
    ck_assert_uint_eq(record.value.length, 22);
    store_close(store);
    leave_folder();
}
END_TEST

/* ---- over the bus ---- */

/* Results that are too large for one answer come in several; nothing is applied twice or left out.
 */
START_TEST(test_transaction_large_results_shorten_the_answer)
{
    enum { ENTRIES = 40 };
    static struct stand stand;
    const struct txn_operation thens[] = {PUT("count", "x"), GET("large")};
    struct txn_lists lists = {
        .thens = thens, .thens_count = 2, .result_bytes_max = TXN_RESULT_BYTES_MAX};
    struct buffer command = {0};
    uint32_t done = 0, answers = 0;
    enter_folder();
    stand_open(&stand);
    (void)stand_put(&stand, "large", 5, value, 40000);
    txn_encode(&command, &lists);
    while (done < ENTRIES) {
        struct buffer apply = {0};
        struct answer answer;
        struct applied_head applied;
        struct message_list list;
        struct apply_entry entry = {
            .term = 1, .kind = ENTRY_COMMAND, .data = command.bytes, .data_bytes = command.length};
        uint64_t first_index = store_applied_index(stand.storaged.store) + 1;
        apply_begin(&apply, first_index);
        for (uint32_t i = done; i < ENTRIES; i++)
            apply_add(&apply, &entry);
        stand_ask(&stand, PROTO_APPLY, &apply, &answer);
        struct wire_reader body = answer_body(&answer, PROTO_APPLIED);
        ck_assert_uint_le(body.left, LIMIT_APPLIED_BYTES_SOFT + 41000);
        ck_assert_int_eq(applied_decode(&body, &applied, &list), 0);
        ck_assert_uint_eq(applied.status, PROTO_STATUS_OK);
        ck_assert_uint_ge(list.left, 1);
        ck_assert_uint_eq(applied.applied_index, first_index + list.left - 1);
        done += list.left;
        answers++;
        answer_free(&answer);
    }
    ck_assert_uint_eq(done, ENTRIES);
    ck_assert_uint_ge(answers, 5);
    buffer_free(&command);
    stand_close(&stand);
    check_clean();
    leave_folder();
}
END_TEST

UNIT_MAIN("transaction", test_transaction_compares,
          test_transaction_operations_see_what_was_done_before_them,
          test_transaction_that_does_not_succeed_does_the_other_list,
          test_transaction_whose_gets_give_too_much_changes_nothing,
          test_transaction_that_makes_no_sense_is_an_entry_like_any_other,
          test_transaction_random_ones_match_the_model,
          test_transaction_that_meets_damage_is_not_checkpointed,
          test_transaction_large_results_shorten_the_answer)
