#include "fixture.h"

#include "checkpointer.h"

/* The disk is full for a checkpoint, and the process is told to stop before the retry: what was
 * never written must not be taken for written. */
static void on_failed(void *context, int code)
{
    (void)context;
    ck_abort_msg("the checkpoint failed for good: %d", code);
}

START_TEST(test_checkpointer_stop_while_a_full_disk_is_waited_for_loses_nothing)
{
    struct loop *loop;
    struct worker *worker;
    struct store_status status;
    setenv("CONURE_FAULT", "tree.page.write:1=ENOSPC", 1);
    enter_folder();
    ck_assert_int_eq(loop_new(&loop), 0);
    struct store *store = open_store();
    ck_assert_int_eq(worker_new(&worker, loop), 0);
    struct checkpointer *checkpointer = checkpointer_new(&(struct checkpointer_options){
        .loop = loop, .worker = worker, .store = store, .on_failed = on_failed});
    memset(value, 'v', sizeof(value));
    for (unsigned i = 0; i < 12000; i++) /* past STORE_CHECKPOINT_BYTES_MIN: the checkpoint begins at once */
        (void)put(store, &i, sizeof(i), value, 3000);
    checkpointer_consider(checkpointer);
    ck_assert(store_checkpoint_is_open(store));
    uint64_t until_ms = clock_monotonic_ms() + 10000;
    do {
        loop_turn(loop, 50);
        store_fill_status(store, &status);
    } while (status.health != PROTO_STATUS_NO_SPACE && clock_monotonic_ms() < until_ms);
    ck_assert_int_eq(status.health, PROTO_STATUS_NO_SPACE);
    ck_assert_uint_eq(store_durable_index(store), 0);
    ck_assert_int_eq(checkpointer_finish(checkpointer), 0);
    ck_assert_uint_eq(store_durable_index(store), 12000);
    worker_free(worker);
    store_close(store);
    check_clean();
    loop_free(loop);
    leave_folder();
}
END_TEST

UNIT_MAIN("checkpointer", test_checkpointer_stop_while_a_full_disk_is_waited_for_loses_nothing)
