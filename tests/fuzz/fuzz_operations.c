/* Operation sequences on a store against an array: puts, deletes, conditions, checkpoints that
 * overlap with writes, reopens, views. The tree is verified at the end. Owner: tests/fuzz. */
#include "scratch.h"

#include "buffer.h"
#include "message.h"
#include "store.h"
#include "verify.h"

#include <stdbool.h>
#include <string.h>

#define TREE_FILE "conure.db"
#define KEYS 128u

struct kept {
    uint64_t revision;
    uint32_t bytes;
};

static struct kept now[KEYS], durable[KEYS], freezing[KEYS];
static struct view *view;

static void must(bool holds)
{
    if (!holds)
        abort();
}

static size_t key_of(uint32_t number, uint8_t key[LIMIT_KEY_BYTES_CAP])
{
    size_t length = number % 4 == 0 ? 900 + number % 100 : 3 + number % 60;
    memset(key, 'k', length);
    key[length - 1] = (uint8_t)number;
    return length;
}

static void fill(uint8_t *value, uint32_t bytes, uint64_t revision)
{
    for (uint32_t i = 0; i < bytes; i++)
        value[i] = (uint8_t)(revision * 31 + i);
}

static void entry(struct store *store, struct script *script, uint32_t what)
{
    static uint8_t value[1 << 16];
    uint8_t key[LIMIT_KEY_BYTES_CAP];
    uint32_t number = script_next(script, 1) % KEYS;
    uint64_t index = store_applied_index(store) + 1;
    struct kept *kept = &now[number];
    struct buffer bytes = {0};
    struct command_result result;
    struct command command = {.operation = what & 1 ? COMMAND_DELETE : COMMAND_PUT,
                              .condition = (enum command_condition)(what >> 1 & 3),
                              .key = key,
                              .key_bytes = key_of(number, key),
                              .value = value};
    if (!(what & 1))
        command.value_bytes = script_next(script, 1) % 8 ? script_next(script, 1)
                                                         : script_next(script, 2) % sizeof(value);
    if (command.condition == COMMAND_IF_REVISION)
        command.revision = kept->revision;
    bool exists = kept->revision;
    bool holds =
        command.condition == COMMAND_ALWAYS || exists == (command.condition != COMMAND_IF_ABSENT);
    fill(value, (uint32_t)command.value_bytes, index);
    command_encode(&bytes, &command);
    struct apply_entry entry = {
        .term = 1, .kind = ENTRY_COMMAND, .data = bytes.bytes, .data_bytes = bytes.length};
    must(store_apply(store, &entry, &result) == 0);
    must(result.existed == exists);
    must(result.status == (holds ? PROTO_STATUS_OK : PROTO_STATUS_CONDITION_FAILED));
    if (holds)
        *kept = what & 1 ? (struct kept){0}
                         : (struct kept){.revision = index, .bytes = (uint32_t)command.value_bytes};
    buffer_free(&bytes);
}

static void compare(struct store *store)
{
    static uint8_t value[1 << 16];
    for (uint32_t number = 0; number < KEYS; number++) {
        uint8_t key[LIMIT_KEY_BYTES_CAP];
        struct tree_record record;
        size_t length = key_of(number, key);
        int code = store_get(store, (struct node_bytes){key, length}, &record);
        must(code == (now[number].revision ? 0 : STORE_NOT_FOUND));
        if (code)
            continue;
        fill(value, now[number].bytes, now[number].revision);
        must(record.revision == now[number].revision && record.value.length == now[number].bytes &&
             !memcmp(record.value.bytes, value, record.value.length));
    }
}

static void view_drop(void)
{
    if (view)
        view_close(view);
    view = NULL;
}

static void checkpoint(struct store *store)
{
    if (!store_checkpoint_is_open(store)) {
        if (store_checkpoint_begin(store))
            memcpy(freezing, now, sizeof(now));
        return;
    }
    must(store_checkpoint_write(store) == 0);
    store_checkpoint_end(store);
    memcpy(durable, freezing, sizeof(now));
}

static struct store *store_begin(void)
{
    struct store *store = NULL;
    struct error error;
    must(store_open(&store, TREE_FILE, &error) == 0);
    return store;
}

static void on_finding(void *context, const char *line)
{
    (void)context;
    fprintf(stderr, "finding: %s\n", line);
    abort();
}

static struct store *turn(struct store *store, struct script *script)
{
    uint32_t what = script_next(script, 1);
    switch (what >> 4) {
    case 15:
    case 14:
        checkpoint(store);
        break;
    case 13:
        view_drop();
        if (what & 1)
            must(store_view(store, UINT64_MAX, &view) == 0);
        break;
    case 12:
        if (what & 15)
            break;
        view_drop();
        store_close(store);
        memcpy(now, durable, sizeof(now));
        store = store_begin();
        break;
    default:
        entry(store, script, what & 7);
    }
    return store;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
    static bool entered;
    struct script script = {bytes, bytes + length};
    struct error error;
    if (!entered)
        scratch_enter();
    entered = true;
    (void)unlink(TREE_FILE);
    memset(now, 0, sizeof(now));
    memset(durable, 0, sizeof(durable));
    struct store *store = store_begin();
    while (script.at < script.end)
        store = turn(store, &script);
    compare(store);
    view_drop();
    for (unsigned i = 0; i < 4; i++)
        checkpoint(store);
    store_close(store);
    must(verify_file(TREE_FILE, on_finding, NULL, NULL, &error) == 0);
    return 0;
}
