#include "stand.h"

#include <signal.h>
#include <sys/wait.h>

/* An install on a disk that fails, hangs, is full, or goes away with the machine: what CONURE_FAULT
 * says. That is read once in a process, so all is done in children; the test's own process touches
 * no file, and no nng. */

static struct stand stand;

/* Wait status of a process that did `fn` in the folder. */
static int in_child(const char *fault, void (*fn)(void))
{
    int status;
    pid_t child = fork();
    if (child == 0) {
        if (fault)
            (void)setenv("CONURE_FAULT", fault, 1);
        fn();
        _exit(0);
    }
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    return status;
}

static void run_in_child(const char *fault, void (*fn)(void))
{
    enter_folder();
    int status = in_child(fault, fn);
    ck_assert_msg(status == 0, "%s: status 0x%x", fault, (unsigned)status);
    leave_folder();
}

#define OLD_INDEX 512u
#define NEW_INDEX 2012u

/* The store of this folder (OLD_INDEX), and a snapshot of another (NEW_INDEX). The files are opened
 * with 2 passes of tree.open each: the new one is the fifth. */
static struct capture *stand_up(void)
{
    ck_assert_int_eq(mkdir("giver", 0700), 0);
    ck_assert_int_eq(chdir("giver"), 0);
    stand_open(&stand);
    fill_store(stand.storaged.store, NEW_INDEX - 12, 22);
    struct capture *capture = capture_new(&stand);
    stand_close(&stand);
    ck_assert_int_eq(chdir(".."), 0);
    stand_open(&stand);
    fill_store(stand.storaged.store, OLD_INDEX - 12, 21);
    return capture;
}

/* Durable, by whatever it takes. */
static void settle_old(void)
{
    if (store_checkpoint_begin(stand.storaged.store)) {
        ck_assert_int_eq(store_checkpoint_write(stand.storaged.store), 0);
        store_checkpoint_end(stand.storaged.store);
    }
    ck_assert_uint_eq(stand_status(&stand).durable_index, OLD_INDEX);
}

static void stand_down(struct capture *capture)
{
    check_no_litter();
    stand_close(&stand);
    check_clean();
    capture_free(capture);
}

/* ---- killed ---- */

static void install_whole(void)
{
    struct capture *capture = stand_up();
    settle_old();
    stand_install(&stand, capture);
    stand_down(capture);
}

static void check_is_old(void)
{
    check_clean();
    stand_open(&stand);
    check_no_litter();
    ck_assert_uint_eq(stand_status(&stand).durable_index, OLD_INDEX);
    stand_close(&stand);
}

static void check_is_new(void)
{
    check_clean();
    stand_open(&stand);
    check_no_litter();
    ck_assert_uint_eq(stand_status(&stand).durable_index, NEW_INDEX);
    stand_close(&stand);
}

START_TEST(test_install_killed_at_any_point_leaves_one_store_whole)
{
    static const struct {
        const char *fault;
        void (*check)(void);
    } cases[] = {
        {"bulk.open:1=kill", check_is_old},           {"bulk.write:1=kill", check_is_old},
        {"bulk.write:2=kill", check_is_old},          {"bulk.meta.write:1=kill", check_is_old},
        {"bulk.sync:1=kill", check_is_old},           {"bulk.rename:1=kill", check_is_old},
        {"bulk.directory.sync:1=kill", check_is_new}, {"tree.open:5=kill", check_is_new},
    };
    for (unsigned i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        enter_folder();
        int status = in_child(cases[i].fault, install_whole);
        ck_assert_msg(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL, "%s: status 0x%x",
                      cases[i].fault, (unsigned)status);
        status = in_child(NULL, cases[i].check);
        ck_assert_msg(status == 0, "%s: it is another store now, or none", cases[i].fault);
        leave_folder();
    }
}
END_TEST

/* ---- full, and failing ---- */

static void install_without_room(void)
{
    struct capture *capture = stand_up();
    struct install_reply reply = stand_begin(&stand, NEW_INDEX, capture->end.term);
    for (unsigned i = 0; !reply.status && i < capture->count; i++)
        reply = stand_give_part(&stand, i, &capture->parts[i]);
    if (!reply.status)
        reply = stand_end(&stand, &capture->end);
    ck_assert_uint_eq(reply.status, PROTO_STATUS_NO_SPACE);
    check_no_litter();
    ck_assert_uint_eq(stand_put(&stand, "k", 1, "v", 1).applied_index, OLD_INDEX + 1);
    stand_install(&stand, capture);
    stand_check_is(&stand, capture);
    stand_down(capture);
}

START_TEST(test_install_on_a_full_disk_is_refused_and_works_later)
{
    run_in_child("bulk.open:1=ENOSPC", install_without_room);
    run_in_child("bulk.write:1=ENOSPC", install_without_room);
    run_in_child("bulk.write:2=ENOSPC", install_without_room);
    run_in_child("bulk.meta.write:1=ENOSPC", install_without_room);
    run_in_child("bulk.rename:1=ENOSPC", install_without_room);
}
END_TEST

/* Nobody must hear of the store's place: which file has the name may not be known. */
static void install_on_failing_disk(void)
{
    static struct answer begin, end, status, parts[CAPTURE_PARTS_MAX];
    struct capture *capture = stand_up();
    struct buffer body = {0};
    install_begin_encode(&body, &(struct install_begin){NEW_INDEX, capture->end.term});
    stand_call(&stand, stand.client, PROTO_INSTALL_BEGIN, &body, &begin);
    for (unsigned i = 0; i < capture->count; i++) {
        struct wire_reader part = wire_reader_of(capture->parts[i].bytes, capture->parts[i].length);
        install_part_encode(&body, i, &part);
        stand_call(&stand, stand.client, PROTO_INSTALL_PART, &body, &parts[i]);
    }
    install_end_encode(&body, &capture->end);
    stand_call(&stand, stand.client, PROTO_INSTALL_END, &body, &end);
    stand_call(&stand, stand.client, PROTO_STORE_STATUS, &body, &status);
    STAND_UNTIL(&stand, stand.failed);
    ck_assert_int_eq(stand.failed, -EIO);
    for (unsigned i = 0; i < 10; i++)
        loop_turn(stand.storaged.loop, 20);
    ck_assert(!end.is_there && !status.is_there);
    _exit(0); /* as the daemon */
}

START_TEST(test_install_on_a_failing_disk_ends_the_process_unanswered)
{
    run_in_child("bulk.sync:1=EIO", install_on_failing_disk);
    run_in_child("bulk.sync:1=ENOSPC", install_on_failing_disk); /* a sync is never tried again */
    run_in_child("bulk.meta.write:1=EIO", install_on_failing_disk);
    run_in_child("bulk.rename:1=EIO", install_on_failing_disk);
    run_in_child("bulk.directory.sync:1=EIO", install_on_failing_disk);
    run_in_child("tree.open:5=EIO", install_on_failing_disk);
}
END_TEST

/* ---- slow ---- */

#define SLOW_MS 6000u

/* The loop goes on while the file is synced: entries, reads and questions get the old store, only
 * raftd's question waits. */
static void install_slowly(void)
{
    struct capture *capture = stand_up();
    struct answer end, waiting, read, status;
    struct buffer body = {0};
    struct store_status old, new;
    struct message_list list;
    struct read_record record;
    uint64_t index;
    struct bus_client *httpd = stand_dial(&stand, PROTO_ROLE_HTTPD);
    stand_give(&stand, capture);
    install_end_encode(&body, &capture->end);
    uint64_t began_ms = clock_monotonic_ms();
    stand_call(&stand, stand.client, PROTO_INSTALL_END, &body, &end);
    stand_call(&stand, stand.client, PROTO_STORE_STATUS, &body, &waiting);
    for (unsigned i = 1; i <= 20; i++) {
        ck_assert_uint_eq(stand_put(&stand, "k", 1, "v", 1).applied_index, OLD_INDEX + i);
        read_begin(&body, 0, 0);
        read_add(&body, "k", 1);
        stand_call(&stand, httpd, PROTO_READ, &body, &read);
        stand_call(&stand, httpd, PROTO_STORE_STATUS, &body, &status);
        STAND_UNTIL(&stand, read.is_there && status.is_there);
        struct wire_reader reader = answer_body(&read, PROTO_READ_OK);
        ck_assert_int_eq(read_ok_decode(&reader, &index, &list), 0);
        ck_assert(read_ok_next(&list, &record) && record.revision == OLD_INDEX + i);
        reader = answer_body(&status, PROTO_STORE_STATUS_OK);
        ck_assert_int_eq(store_status_decode(&reader, &old), 0);
        ck_assert_uint_eq(old.applied_index, OLD_INDEX + i);
        answer_free(&read);
        answer_free(&status);
    }
    ck_assert(!end.is_there && !waiting.is_there);
    ck_assert_uint_lt(clock_monotonic_ms() - began_ms, SLOW_MS);
    STAND_UNTIL(&stand, end.is_there && waiting.is_there);
    ASSERT_OK(install_reply_of(&end));
    struct wire_reader reader = answer_body(&waiting, PROTO_STORE_STATUS_OK);
    ck_assert_int_eq(store_status_decode(&reader, &new), 0);
    ck_assert_uint_eq(new.applied_index, NEW_INDEX);
    answer_free(&waiting);
    stand_check_is(&stand, capture);
    bus_client_free(httpd);
    stand_down(capture);
}

START_TEST(test_install_syncs_while_the_loop_goes_on)
{
    run_in_child("bulk.sync:1=delay:6000", install_slowly);
}
END_TEST

/* A checkpoint of the old store is being written when END comes. */
static void install_behind_checkpoint(void)
{
    struct capture *capture = stand_up();
    struct storaged *storaged = &stand.storaged;
    uint8_t *large = memory_new_zeroed(1, 1 << 20);
    stand_give(&stand, capture);
    for (unsigned i = 0; i < 40; i++) /* past STORE_CHECKPOINT_BYTES_MIN: it begins with the turn's end */
        (void)put(storaged->store, &i, sizeof(i), large, 1 << 20);
    (void)stand_put(&stand, "k", 1, "v", 1);
    ck_assert(store_checkpoint_is_open(storaged->store));
    ASSERT_OK(stand_end(&stand, &capture->end));
    stand_check_is(&stand, capture);
    for (unsigned i = 0; i < 20; i++)
        loop_turn(storaged->loop, 10);
    ck_assert(!store_checkpoint_is_open(storaged->store));
    ck_assert_uint_eq(stand_put(&stand, "k", 1, "v", 1).applied_index, NEW_INDEX + 1);
    free(large);
    stand_down(capture);
}

/* And one would be due while the file is synced: none begins. */
static void install_holds_checkpoints(void)
{
    struct capture *capture = stand_up();
    struct storaged *storaged = &stand.storaged;
    struct buffer body = {0};
    struct answer end;
    uint8_t *large = memory_new_zeroed(1, 1 << 20);
    stand_give(&stand, capture);
    install_end_encode(&body, &capture->end);
    stand_call(&stand, stand.client, PROTO_INSTALL_END, &body, &end);
    (void)stand_put(&stand, "k", 1, "v", 1);
    for (unsigned i = 0; i < 40; i++)
        (void)put(storaged->store, &i, sizeof(i), large, 1 << 20);
    (void)stand_put(&stand, "k", 1, "v", 1);
    ck_assert(!end.is_there);
    ck_assert(store_wants_checkpoint(storaged->store));
    ck_assert(!store_checkpoint_is_open(storaged->store));
    STAND_UNTIL(&stand, end.is_there);
    ASSERT_OK(install_reply_of(&end));
    stand_check_is(&stand, capture);
    free(large);
    stand_down(capture);
}

/* An old checkpoint that waits for room on the disk is given up with the old store. */
static void install_over_waiting_checkpoint(void)
{
    struct capture *capture = stand_up();
    struct storaged *storaged = &stand.storaged;
    uint8_t *large = memory_new_zeroed(1, 1 << 20);
    for (unsigned i = 0; i < 40; i++)
        (void)put(storaged->store, &i, sizeof(i), large, 1 << 20);
    (void)stand_put(&stand, "k", 1, "v", 1);
    STAND_UNTIL(&stand, stand_status(&stand).health == PROTO_STATUS_NO_SPACE);
    stand_install(&stand, capture);
    stand_check_is(&stand, capture);
    uint64_t until_ms = clock_monotonic_ms() + 2 * CHECKPOINT_RETRY_MS;
    while (clock_monotonic_ms() < until_ms)
        loop_turn(storaged->loop, 50); /* its retry must not come */
    stand_check_is(&stand, capture);
    free(large);
    stand_down(capture);
}

/* If the install comes to nothing, it is tried again. */
static void refused_over_waiting_checkpoint(void)
{
    struct capture *capture = stand_up();
    struct storaged *storaged = &stand.storaged;
    uint8_t *large = memory_new_zeroed(1, 1 << 20);
    for (unsigned i = 0; i < 40; i++)
        (void)put(storaged->store, &i, sizeof(i), large, 1 << 20);
    (void)stand_put(&stand, "k", 1, "v", 1);
    STAND_UNTIL(&stand, stand_status(&stand).health == PROTO_STATUS_NO_SPACE);
    ck_assert_uint_eq(stand_end(&stand, &capture->end).status, PROTO_STATUS_REFUSED);
    STAND_UNTIL(&stand, stand_status(&stand).durable_index == OLD_INDEX + 41);
    free(large);
    stand_down(capture);
}

START_TEST(test_install_and_checkpoints_of_the_old_store_keep_apart)
{
    /* The giver's end writes its checkpoint: the first pass. */
    run_in_child("tree.page.sync:2=delay:700", install_behind_checkpoint);
    run_in_child("bulk.sync:1=delay:6000", install_holds_checkpoints);
    run_in_child("tree.write:2+=ENOSPC", install_over_waiting_checkpoint);
    run_in_child("tree.write:2=ENOSPC", refused_over_waiting_checkpoint);
}
END_TEST

UNIT_MAIN_WITHIN(110, "install_faults", test_install_killed_at_any_point_leaves_one_store_whole,
                 test_install_on_a_full_disk_is_refused_and_works_later,
                 test_install_on_a_failing_disk_ends_the_process_unanswered,
                 test_install_syncs_while_the_loop_goes_on,
                 test_install_and_checkpoints_of_the_old_store_keep_apart)
