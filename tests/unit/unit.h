/* A Check program in three lines: list the tests, and UNIT_MAIN runs them, each for a minute at
 * most (UNIT_MAIN_WITHIN: for so many seconds). In the environment CK_FORK=no helps a
 * debugger, and CK_RUN_CASE=NAME runs one test alone. */
#pragma once

#include <check.h>
#include <stdlib.h>

#define UNIT_MAIN(title, ...) UNIT_MAIN_WITHIN(60, title, __VA_ARGS__)

#define UNIT_MAIN_WITHIN(seconds, title, ...)                                                      \
    int main(void)                                                                                 \
    {                                                                                              \
        const TTest *const tests[] = {__VA_ARGS__};                                                \
        Suite *suite = suite_create(title);                                                        \
        for (unsigned i = 0; i < sizeof(tests) / sizeof(*tests); i++) {                            \
            TCase *group = tcase_create(tests[i]->name);                                           \
            tcase_set_timeout(group, seconds);                                                     \
            tcase_add_test(group, tests[i]);                                                       \
            suite_add_tcase(suite, group);                                                         \
        }                                                                                          \
        SRunner *runner = srunner_create(suite);                                                   \
        srunner_run_all(runner, CK_ENV);                                                           \
        int failed = srunner_ntests_failed(runner);                                                \
        srunner_free(runner);                                                                      \
        return failed ? EXIT_FAILURE : EXIT_SUCCESS;                                               \
    }
