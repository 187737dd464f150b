/* The binary: what it prints and how it exits. argv[1] of the program is conure-storaged's path. */
#include "fixture.h"

#include "datadir.h"

#include <sys/wait.h>

static const char *binary;

/* Runs `binary arguments`; both outputs, cut to fit, in *ret_output. Returns the exit code. */
static int run_binary(const char *arguments, char *ret_output, size_t output_bytes)
{
    char command[LIMIT_PATH_BYTES_MAX];
    snprintf(command, sizeof(command), "%s %s 2>&1", binary, arguments);
    FILE *pipe = popen(command, "r");
    ck_assert_ptr_nonnull(pipe);
    size_t length = fread(ret_output, 1, output_bytes - 1, pipe);
    ret_output[length] = '\0';
    int status = pclose(pipe);
    ck_assert_msg(WIFEXITED(status), "status 0x%x: %s", status, ret_output);
    return WEXITSTATUS(status);
}

#define ASSERT_CONTAINS(text, part)                                                                \
    ck_assert_msg(strstr(text, part) != NULL, "'%s' is not in: %s", part, text)

START_TEST(test_main_check_of_a_file_in_use_says_who_has_it)
{
    char output[4096], expected[128];
    struct error error = {""};
    int lock_fd;
    enter_folder();
    ck_assert_int_eq(datadir_enter("data", &error), 0);
    struct store *store = open_store();
    (void)put(store, "k", 1, "v", 1);
    checkpoint(store);
    store_close(store);
    ck_assert_int_eq(chdir(".."), 0);
    ck_assert_int_eq(run_binary("--check data/conure.db", output, sizeof(output)), 0);
    ASSERT_CONTAINS(output, "data/conure.db: clean");
    ck_assert_int_eq(chdir("data"), 0);
    ck_assert_int_eq(datadir_lock("storaged", 0, &lock_fd, &error), 0);
    snprintf(expected, sizeof(expected), "storaged is running there with pid %d", getpid());
    ck_assert_int_eq(run_binary("--check conure.db", output, sizeof(output)), 2);
    ASSERT_CONTAINS(output, expected);
    close(lock_fd);
    leave_folder();
}
END_TEST

START_TEST(test_main_directory_in_the_way_exits_for_good)
{
    char output[4096];
    enter_folder();
    ck_assert_int_eq(mkdir("data", 0700), 0);
    ck_assert_int_eq(mkdir("data/conure.db", 0700), 0);
    ck_assert_int_eq(run_binary("--data-dir data", output, sizeof(output)), EXIT_CODE_PERMANENT);
    ASSERT_CONTAINS(output, "reason=\"conure.db is a directory, not a file\"");
    leave_folder();
}
END_TEST

int main(int argc, char **argv)
{
    if (argc != 2)
        return EXIT_FAILURE;
    binary = argv[1];
    Suite *suite = suite_create("main");
    TCase *group = tcase_create("main");
    tcase_set_timeout(group, 60);
    tcase_add_test(group, test_main_check_of_a_file_in_use_says_who_has_it);
    tcase_add_test(group, test_main_directory_in_the_way_exits_for_good);
    suite_add_tcase(suite, group);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
