/* The store against a sorted array: long random runs of conditional puts and deletes, checkpoints
 * that overlap with writes, reopens, and read views held open over all of it. After each entry
 * its result is compared and the whole tree verified, in memory: every page reached once or free,
 * keys, count and hash. The seed is printed first; CONURE_MODEL_SEED and CONURE_MODEL_ENTRIES
 * choose another run. */
#include "fixture.h"

#include "cursor.h"
#include "entropy.h"
#include "pager_private.h"

#include <errno.h>

#define KEYS 260u
#define VIEWS 3u

struct row {
    uint8_t key[LIMIT_KEY_BYTES_CAP];
    size_t key_bytes;
    uint64_t revision; /* 0: absent */
    size_t value_bytes;
};

/* What a view must go on showing. */
struct watched {
    struct view *view;
    uint64_t revision[KEYS];
    size_t value_bytes[KEYS];
};

static struct row rows[KEYS]; /* in key order */
static struct watched watched[VIEWS];
static uint64_t entries_wanted;

static int compare_rows(const void *a, const void *b)
{
    const struct row *x = a, *y = b;
    return node_compare((struct node_bytes){x->key, x->key_bytes},
                        (struct node_bytes){y->key, y->key_bytes});
}

/* Short and long ones with long common beginnings; some are the beginning of another. */
static void rows_make(void)
{
    memset(rows, 0, sizeof(rows));
    for (unsigned i = 0; i < KEYS; i++) {
        size_t lead = i % 5 == 0 ? 300 + random_next() % 700 : random_next() % 30;
        memset(rows[i].key, 'a' + (int)(i % 2), lead);
        rows[i].key[lead] = (uint8_t)(i >> 6);
        rows[i].key[lead + 1] = (uint8_t)(i << 2);
        rows[i].key_bytes = lead + 2 + i % 3;
    }
    qsort(rows, KEYS, sizeof(*rows), compare_rows);
}

/* ---- one entry ---- */

static size_t random_bytes(void)
{
    switch (random_next() % 12) {
    case 0:
        return 0;
    case 1:
        return 1500 + random_next() % 1000; /* around where a value leaves the page */
    case 2:
        return random_next() % 20000;
    default:
        return random_next() % 300;
    }
}

static bool condition_holds(const struct command *command, const struct row *row)
{
    switch (command->condition) {
    case COMMAND_IF_REVISION:
        return row->revision && row->revision == command->revision;
    case COMMAND_IF_ABSENT:
        return !row->revision;
    case COMMAND_IF_PRESENT:
        return row->revision;
    default:
        return true;
    }
}

static void entry_apply(struct store *store)
{
    struct row *row = &rows[random_next() % KEYS];
    bool full = entries_wanted / 300 % 2; /* the tree grows and shrinks in turn */
    bool delete = random_next() % 10 < (full ? 7 : 2);
    uint64_t index = store_applied_index(store) + 1;
    struct command command = {.operation = delete ? COMMAND_DELETE : COMMAND_PUT,
                              .key = row->key,
                              .key_bytes = row->key_bytes,
                              .value = value,
                              .value_bytes = delete ? 0 : random_bytes()};
    if (random_next() % 3 == 0)
        command.condition = (enum command_condition)(random_next() % 4);
    if (command.condition == COMMAND_IF_REVISION)
        command.revision = random_next() % 4 ? row->revision : index - 1;
    fill_value(value, command.value_bytes, (uint32_t)index);
    struct command_result result = apply(store, &command);
    bool holds = condition_holds(&command, row);
    ck_assert_int_eq(result.existed, row->revision != 0);
    ck_assert_uint_eq(result.status, holds ? PROTO_STATUS_OK : PROTO_STATUS_CONDITION_FAILED);
    if (holds) {
        row->revision = delete ? 0 : index;
        row->value_bytes = command.value_bytes;
    }
    ck_assert_uint_eq(result.revision, row->revision);
}

/* ---- comparing ---- */

static void verify_now(struct store *store)
{
    struct store_status status;
    struct meta meta = {.free_map = store_pager(store)->free_map};
    store_fill_status(store, &status);
    for (unsigned i = 0; i < KEYS; i++)
        meta.keys += rows[i].revision != 0;
    ck_assert_uint_eq(status.keys, meta.keys);
    memcpy(meta.state_hash, status.state_hash, sizeof(meta.state_hash));
    ck_assert_int_eq(verify_tree(store_tree(store), &meta, report, NULL, NULL), 0);
}

static void assert_record(const struct tree_record *record, unsigned i, uint64_t revision,
                          size_t value_bytes)
{
    ck_assert_uint_eq(record->key.length, rows[i].key_bytes);
    ck_assert_mem_eq(record->key.bytes, rows[i].key, rows[i].key_bytes);
    ck_assert_uint_eq(record->revision, revision);
    ck_assert_uint_eq(record->value.length, value_bytes);
    fill_value(value, value_bytes, (uint32_t)revision);
    if (value_bytes)
        ck_assert_mem_eq(record->value.bytes, value, value_bytes);
}

static void compare_get(unsigned i, int code, const struct tree_record *record)
{
    ck_assert_int_eq(code, rows[i].revision ? 0 : STORE_NOT_FOUND);
    if (!code)
        assert_record(record, i, rows[i].revision, rows[i].value_bytes);
}

static void compare_gets(struct store *store)
{
    struct store_get gets[STORE_GETS_MAX];
    for (unsigned i = 0; i < KEYS; i++) {
        struct tree_record record;
        struct node_bytes key = {rows[i].key, rows[i].key_bytes};
        int code = store_get(store, key, &record);
        compare_get(i, code, &record);
    }
    for (unsigned first = 0, count = 1; first < KEYS; first += count) {
        count = 1 + first % STORE_GETS_MAX;
        count = count < KEYS - first ? count : KEYS - first;
        for (unsigned i = 0; i < count; i++)
            gets[i].key = (struct node_bytes){rows[first + i].key, rows[first + i].key_bytes};
        store_get_many(store, gets, count);
        for (unsigned i = 0; i < count; i++)
            compare_get(first + i, gets[i].code, &gets[i].record);
    }
}

struct walk {
    unsigned next;
};

static int walk_record(void *context, const struct tree_record *record)
{
    struct walk *walk = context;
    while (walk->next < KEYS && !rows[walk->next].revision)
        walk->next++;
    ck_assert_uint_lt(walk->next, KEYS);
    assert_record(record, walk->next, rows[walk->next].revision, rows[walk->next].value_bytes);
    walk->next++;
    return 0;
}

static void compare_walk(struct store *store)
{
    struct walk walk = {0};
    ck_assert_int_eq(tree_walk(store_tree(store), walk_record, &walk), 0);
    while (walk.next < KEYS)
        ck_assert_uint_eq(rows[walk.next++].revision, 0);
}

static void compare_view(const struct watched *view)
{
    struct cursor cursor = cursor_of(view->view);
    struct tree_record record;
    int forward = cursor_first(&cursor);
    for (unsigned i = 0; i < KEYS; i++) {
        if (!view->revision[i])
            continue;
        ck_assert_int_eq(forward, 0);
        ck_assert_int_eq(cursor_load(&cursor, &record), 0);
        assert_record(&record, i, view->revision[i], view->value_bytes[i]);
        forward = cursor_next(&cursor);
    }
    ck_assert_int_eq(forward, CURSOR_END);
    int backward = cursor_last(&cursor);
    for (unsigned i = KEYS; i-- > 0;) {
        if (!view->revision[i])
            continue;
        ck_assert_int_eq(backward, 0);
        ck_assert_int_eq(cursor_load(&cursor, &record), 0);
        assert_record(&record, i, view->revision[i], view->value_bytes[i]);
        backward = cursor_previous(&cursor);
    }
    ck_assert_int_eq(backward, CURSOR_END);
}

/* ---- views, checkpoints, reopens ---- */

static void view_turn(struct store *store)
{
    struct watched *view = &watched[random_next() % VIEWS];
    if (view->view) {
        compare_view(view);
        if (random_next() % 3 == 0) {
            view_close(view->view);
            view->view = NULL;
        }
        return;
    }
    ck_assert_int_eq(store_view(store, UINT64_MAX, &view->view), 0);
    for (unsigned i = 0; i < KEYS; i++) {
        view->revision[i] = rows[i].revision;
        view->value_bytes[i] = rows[i].value_bytes;
    }
}

static void checkpoint_turn(struct store *store)
{
    if (!store_checkpoint_is_open(store)) {
        (void)store_checkpoint_begin(store);
        return;
    }
    ck_assert_int_eq(store_checkpoint_write(store), 0);
    while (!store_checkpoint_end_some(store, 5))
        ;
    check_clean();
}

/* All is written first: what a reopen would lose is the crash proof's business. */
static struct store *reopen(struct store *store)
{
    for (unsigned i = 0; i < VIEWS; i++)
        if (watched[i].view) {
            view_close(watched[i].view);
            watched[i].view = NULL;
        }
    if (store_checkpoint_is_open(store))
        checkpoint_turn(store);
    checkpoint(store);
    store_close(store);
    check_clean();
    return open_store();
}

static struct store *model_turn(struct store *store)
{
    entry_apply(store);
    verify_now(store);
    if (random_next() % 12 == 0)
        checkpoint_turn(store);
    if (random_next() % 25 == 0)
        view_turn(store);
    if (random_next() % 60 == 0) {
        compare_gets(store);
        compare_walk(store);
    }
    if (random_next() % 400 == 0)
        store = reopen(store);
    verify_now(store);
    return store;
}

static uint64_t number_from(const char *name, uint64_t otherwise)
{
    const char *text = getenv(name);
    return text ? strtoull(text, NULL, 10) : otherwise;
}

START_TEST(test_model_of_a_long_run_is_the_store)
{
    uint64_t seed = number_from("CONURE_MODEL_SEED", 1);
    entries_wanted = number_from("CONURE_MODEL_ENTRIES", 6000);
    if (seed == 0)
        seed = entropy_number();
    fprintf(stderr, "replay: CONURE_MODEL_SEED=%llu CONURE_MODEL_ENTRIES=%llu\n",
            (unsigned long long)seed, (unsigned long long)entries_wanted);
    random_state = seed * 0x9E3779B97F4A7C15ull | 1;
    enter_folder();
    rows_make();
    struct store *store = open_store();
    for (; entries_wanted > 0; entries_wanted--)
        store = model_turn(store);
    store = reopen(store);
    compare_gets(store);
    store_close(store);
    leave_folder();
}
END_TEST

UNIT_MAIN("model", test_model_of_a_long_run_is_the_store)
