/* Real records in and out, over a clean restart and over kill -9 of everything. */
#include "../unit/unit.h"

#include "lib/load.h"

#include <stdio.h>

static void check_all(const struct node *node, struct records *records, bool *deleted,
                      const char *title)
{
    struct load check = {
        .node = node, .records = records, .kind = LOAD_CHECK, .deleted = deleted, .title = title};
    load_run(&check);
    fprintf(stderr, "%s: %.0f reads/s\n", title,
            1000.0 * (double)records->count / (double)check.ms);
}

START_TEST(test_load_every_record_survives_restart_and_kill)
{
    struct node node;
    struct records records;
    records_load(&records, 0);
    ck_assert_uint_ge(records.count, 10000);
    bool *deleted = calloc(records.count, sizeof(*deleted));
    node_new(&node, NULL);
    node_start(&node);
    struct load put = {.node = &node, .records = &records, .kind = LOAD_PUT, .title = "put"};
    load_run(&put);
    fprintf(stderr, "put: %.0f keys/s\n", 1000.0 * (double)records.count / (double)put.ms);
    check_all(&node, &records, NULL, "read back");
    for (size_t i = 0; i < records.count; i += 3)
        deleted[i] = true;
    struct load delete = {.node = &node,
                          .records = &records,
                          .kind = LOAD_DELETE,
                          .deleted = deleted,
                          .title = "delete a third"};
    load_run(&delete);
    check_all(&node, &records, deleted, "after deletes");
    node_stop(&node);
    node_start(&node);
    check_all(&node, &records, deleted, "after a restart");
    node_kill_all(&node);
    uint64_t begin_ms = now_ms();
    node_start(&node);
    fprintf(stderr, "ready %llu ms after kill -9\n", (unsigned long long)(now_ms() - begin_ms));
    check_all(&node, &records, deleted, "after kill -9");
    node_stop(&node);
    char output[4096];
    int code = run_command(output, sizeof(output), "%s --check %s/conure.db",
                           binary("conure-storaged"), node.data);
    ck_assert_msg(code == 0, "%s", output);
    free(deleted);
    records_free(&records);
    node_free(&node);
}
END_TEST

static Suite *load_suite(void)
{
    Suite *suite = suite_create("load");
    TCase *group = tcase_create("load");
    tcase_set_timeout(group, 280);
    tcase_add_test(group, test_load_every_record_survives_restart_and_kill);
    suite_add_tcase(suite, group);
    return suite;
}

int main(void)
{
    SRunner *runner = srunner_create(load_suite());
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
