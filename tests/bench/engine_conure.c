/* storaged's store, driven as its loop drives it: every record is an entry with a command, decoded,
 * hashed into the state hash and applied; the checkpointer writes and syncs on its thread when the
 * store wants it, and the loop waits when too much is dirty. For a durable put a checkpoint follows
 * each transaction. */
#include "engine.h"

#include "buffer.h"
#include "checkpointer.h"
#include "clock.h"
#include "cursor.h"
#include "message.h"
#include "store.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

static struct store *store;
static struct loop *loop;
static struct worker *worker;
static struct checkpointer *checkpointer;
static struct buffer command_bytes;

static void on_failed(void *context, int code)
{
    (void)context;
    bench_fail("checkpoint", code);
}

static void conure_start_checkpointer(void)
{
    int code = worker_new(&worker, loop);
    if (code)
        bench_fail("worker", code);
    checkpointer = checkpointer_new(&(struct checkpointer_options){
        .loop = loop, .worker = worker, .store = store, .on_failed = on_failed});
}

static void conure_open(void)
{
    struct error error = {""};
    (void)unlink("conure.db");
    if (store_open(&store, "conure.db", &error) || loop_new(&loop))
        bench_fail(error.text, 0);
    conure_start_checkpointer();
}

static void conure_close(void)
{
    (void)checkpointer_finish(checkpointer);
    worker_free(worker);
    store_close(store);
    loop_free(loop);
    buffer_free(&command_bytes);
}

/* Everything is durable. (The checkpointer has no such call: a durable transaction is the log's.)
 */
static void conure_checkpoint(void)
{
    while (store_checkpoint_is_open(store))
        loop_turn(loop, 100);
    if (!store_checkpoint_begin(store))
        return;
    int code = store_checkpoint_write(store);
    if (code)
        bench_fail("checkpoint", code);
    store_checkpoint_end(store);
}

/* And the file is as small as it gets when nobody writes: what a quiet minute does. */
static void conure_settle(void)
{
    conure_checkpoint();
    while (store_has_changes(store)) {
        while (store_compact_some(store, 64))
            ;
        conure_checkpoint();
    }
}

static void conure_apply(const struct command *command)
{
    struct command_result result;
    command_bytes.length = 0;
    command_encode(&command_bytes, command);
    struct apply_entry entry = {.term = 1,
                                .kind = ENTRY_COMMAND,
                                .data = command_bytes.bytes,
                                .data_bytes = command_bytes.length};
    int code = store_apply(store, &entry, &result);
    if (code || result.status != PROTO_STATUS_OK)
        bench_fail("apply", code);
    while (store_is_full(store))
        loop_turn(loop, 100);
}

/* What storaged does between two batches. */
static void conure_turn(void)
{
    checkpointer_consider(checkpointer);
    loop_turn(loop, 0);
}

static void conure_put(const uint8_t (*keys)[BENCH_KEY_BYTES], size_t count, const uint8_t *value,
                       enum sync sync)
{
    for (size_t i = 0; i < count; i++)
        conure_apply(&(struct command){.operation = COMMAND_PUT,
                                       .key = keys[i],
                                       .key_bytes = BENCH_KEY_BYTES,
                                       .value = value,
                                       .value_bytes = BENCH_VALUE_BYTES});
    if (sync == SYNC_EACH)
        conure_checkpoint();
    else
        conure_turn();
}

static void conure_delete(const uint8_t (*keys)[BENCH_KEY_BYTES], size_t count)
{
    for (size_t i = 0; i < count; i++)
        conure_apply(&(struct command){
            .operation = COMMAND_DELETE, .key = keys[i], .key_bytes = BENCH_KEY_BYTES});
    conure_turn();
}

static size_t conure_get(const uint8_t (*keys)[BENCH_KEY_BYTES], size_t count)
{
    size_t found = 0;
    for (size_t i = 0; i < count; i++) {
        struct tree_record record;
        int code = store_get(store, (struct node_bytes){keys[i], BENCH_KEY_BYTES}, &record);
        if (code == STORE_NOT_FOUND)
            continue;
        if (code)
            bench_fail(store_damage(store), code);
        bench_read(record.value.bytes, record.value.length);
        found++;
    }
    return found;
}

static size_t conure_scan(void)
{
    struct view *view;
    struct tree_record record;
    size_t count = 0;
    int code = store_view(store, UINT64_MAX, &view);
    if (code)
        bench_fail("view", code);
    struct cursor cursor = cursor_of(view);
    for (code = cursor_first(&cursor); code == 0; code = cursor_next(&cursor)) {
        if ((code = cursor_load(&cursor, &record)))
            break;
        bench_read(record.value.bytes, record.value.length);
        count++;
    }
    if (code != CURSOR_END)
        bench_fail("scan", code);
    view_close(view);
    return count;
}

const struct engine engine_conure = {
    .name = "conure",
    .open = conure_open,
    .close = conure_close,
    .put = conure_put,
    .delete = conure_delete,
    .get = conure_get,
    .scan = conure_scan,
    .settle = conure_settle,
    .file = "conure.db",
};
