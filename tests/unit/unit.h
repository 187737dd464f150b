/* A Check program in three lines: list the tests, and UNIT_MAIN runs them, each for a minute at
 * most (UNIT_MAIN_WITHIN: for so many seconds). CK_FORK=no in the environment helps a debugger. */
#pragma once

#include <check.h>
#include <stdlib.h>

#define UNIT_MAIN(name, ...) UNIT_MAIN_WITHIN(60, name, __VA_ARGS__)

#define UNIT_MAIN_WITHIN(seconds, name, ...)                                                       \
    int main(void)                                                                                 \
    {                                                                                              \
        const TTest *const tests[] = {__VA_ARGS__};                                                \
        Suite *suite = suite_create(name);                                                         \
        TCase *group = tcase_create(name);                                                         \
        tcase_set_timeout(group, seconds);                                                         \
        for (unsigned i = 0; i < sizeof(tests) / sizeof(*tests); i++)                              \
            tcase_add_test(group, tests[i]);                                                       \
        suite_add_tcase(suite, group);                                                             \
        SRunner *runner = srunner_create(suite);                                                   \
        srunner_run_all(runner, CK_ENV);                                                           \
        int failed = srunner_ntests_failed(runner);                                                \
        srunner_free(runner);                                                                      \
        return failed ? EXIT_FAILURE : EXIT_SUCCESS;                                               \
    }
