#include "condition.h"

#include "../unit.h"

#include <string.h>

START_TEST(test_condition_parse_table)
{
    static const struct {
        const char *if_match, *if_none_match;
        int status;
        enum command_condition kind;
        uint64_t revision;
    } cases[] = {
        {NULL, NULL, 0, COMMAND_ALWAYS, 0},
        {"\"1\"", NULL, 0, COMMAND_IF_REVISION, 1},
        {"  \"42\" \t", NULL, 0, COMMAND_IF_REVISION, 42},
        {"\"18446744073709551615\"", NULL, 0, COMMAND_IF_REVISION, UINT64_MAX},
        {"*", NULL, 0, COMMAND_IF_PRESENT, 0},
        {"* ", NULL, 0, COMMAND_IF_PRESENT, 0},
        {NULL, "*", 0, COMMAND_IF_ABSENT, 0},
        /* tags that no revision has: conditions that do not hold */
        {"\"18446744073709551616\"", NULL, 0, COMMAND_IF_REVISION, 0},
        {"\"0\"", NULL, 0, COMMAND_IF_REVISION, 0},
        {"\"007\"", NULL, 0, COMMAND_IF_REVISION, 0},
        {"\"-1\"", NULL, 0, COMMAND_IF_REVISION, 0},
        {"\"abc\"", NULL, 0, COMMAND_IF_REVISION, 0},
        {"\"\"", NULL, 0, COMMAND_IF_REVISION, 0},
        {"W/\"7\"", NULL, 0, COMMAND_IF_REVISION, 0},
        /* not of the form */
        {"7", NULL, 400, 0, 0},
        {"\"7", NULL, 400, 0, 0},
        {"7\"", NULL, 400, 0, 0},
        {"", NULL, 400, 0, 0},
        {"**", NULL, 400, 0, 0},
        {"\"7\", \"8\"", NULL, 400, 0, 0},
        {"\"7\" x", NULL, 400, 0, 0},
        {"\"7 8\"", NULL, 400, 0, 0},
        {"w/\"7\"", NULL, 400, 0, 0},
        {"'7'", NULL, 400, 0, 0},
        {NULL, "\"7\"", 400, 0, 0},
        {NULL, "", 400, 0, 0},
        {"*", "*", 400, 0, 0},
        {"\"7\"", "*", 400, 0, 0},
    };
    for (unsigned i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        struct condition condition = {.revision = 99};
        struct problem problem;
        int status =
            condition_parse(cases[i].if_match, cases[i].if_none_match, &condition, &problem);
        ck_assert_msg(status == cases[i].status, "case %u: %d", i, status);
        if (status) {
            ck_assert_uint_eq(condition.revision, 99); /* untouched */
            continue;
        }
        ck_assert_msg(condition.kind == cases[i].kind, "case %u", i);
        ck_assert_msg(condition.revision == cases[i].revision, "case %u", i);
    }
}
END_TEST

START_TEST(test_condition_etag_comes_back)
{
    static const uint64_t revisions[] = {1, 42, UINT64_MAX};
    for (unsigned i = 0; i < 3; i++) {
        char tag[CONDITION_ETAG_BYTES];
        struct condition condition;
        struct problem problem;
        condition_format_etag(revisions[i], tag);
        ck_assert_int_eq(condition_parse(tag, NULL, &condition, &problem), 0);
        ck_assert(condition.revision == revisions[i]);
    }
}
END_TEST

UNIT_MAIN("condition", test_condition_parse_table, test_condition_etag_comes_back)
