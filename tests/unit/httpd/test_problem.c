#include "problem.h"

#include "../unit.h"

#include <cjson/cJSON.h>
#include <string.h>

static cJSON *render(const struct problem *problem)
{
    char *text = problem_render(problem);
    size_t length = strlen(text);
    ck_assert_int_eq(text[length - 1], '\n');
    ck_assert_ptr_eq(strchr(text, '\n'), text + length - 1);
    cJSON *object = cJSON_Parse(text);
    ck_assert_msg(object != NULL, "%s", text);
    free(text);
    return object;
}

static const char *string_of(const cJSON *object, const char *name)
{
    return cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(object, name));
}

START_TEST(test_problem_has_title_status_and_detail)
{
    struct problem problem = {.retry_after_s = 9, .close = true, .outcome_unknown = true};
    ck_assert_int_eq(problem_set(&problem, 404, "no such %s", "key"), 404);
    ck_assert_uint_eq(problem.retry_after_s, 0);
    ck_assert(!problem.close && !problem.outcome_unknown);
    cJSON *object = render(&problem);
    ck_assert_str_eq(string_of(object, "title"), "Not Found");
    ck_assert_str_eq(string_of(object, "detail"), "no such key");
    ck_assert_int_eq(cJSON_GetObjectItem(object, "status")->valueint, 404);
    ck_assert_int_eq(cJSON_GetArraySize(object), 3);
    cJSON_Delete(object);
}
END_TEST

START_TEST(test_problem_quotes_no_byte_that_breaks_json)
{
    struct problem problem;
    char every[256];
    for (int i = 1; i < 256; i++)
        every[i - 1] = (char)i;
    every[255] = '\0';
    problem_set(&problem, 400, "%s", every);
    cJSON *object = render(&problem);
    const char *detail = string_of(object, "detail");
    for (const char *at = detail; *at; at++)
        ck_assert(*at >= 0x20 && *at <= 0x7e);
    ck_assert_ptr_nonnull(strstr(detail, "!\"#$%&'()*+,-./0123456789"));
    cJSON_Delete(object);
}
END_TEST

START_TEST(test_problem_long_detail_is_cut)
{
    struct problem problem;
    char text[2 * HTTPD_DETAIL_BYTES_MAX];
    memset(text, 'a', sizeof(text) - 1);
    text[sizeof(text) - 1] = '\0';
    problem_set(&problem, 400, "%s", text);
    ck_assert_uint_eq(strlen(problem.detail), HTTPD_DETAIL_BYTES_MAX - 1);
}
END_TEST

START_TEST(test_problem_unknown_outcome_says_so)
{
    struct problem problem;
    problem_set(&problem, 504, "lost");
    problem.outcome_unknown = true;
    cJSON *object = render(&problem);
    ck_assert_str_eq(string_of(object, "outcome"), "unknown");
    cJSON_Delete(object);
}
END_TEST

START_TEST(test_problem_without_leader_has_an_empty_one)
{
    struct problem problem;
    ck_assert_int_eq(problem_set_unavailable(&problem, "no one"), 503);
    ck_assert_uint_eq(problem.retry_after_s, 1);
    cJSON *object = render(&problem);
    ck_assert_str_eq(string_of(object, "leader"), "");
    ck_assert_ptr_null(cJSON_GetObjectItem(object, "leader_url"));
    cJSON_Delete(object);
}
END_TEST

START_TEST(test_problem_leader_has_three_members)
{
    static const struct leader_hint hint = {"node2", "h:7002", "http://h:8082"};
    struct problem problem;
    problem_set(&problem, 307, "not here");
    problem.leader = &hint;
    cJSON *object = render(&problem);
    ck_assert_str_eq(string_of(object, "leader"), "h:7002");
    ck_assert_str_eq(string_of(object, "leader_id"), "node2");
    ck_assert_str_eq(string_of(object, "leader_url"), "http://h:8082");
    cJSON_Delete(object);
}
END_TEST

START_TEST(test_problem_revision_is_exact)
{
    struct problem problem;
    problem_set(&problem, 412, "no");
    problem.has_revision = true;
    problem.revision = UINT64_MAX;
    char *text = problem_render(&problem);
    ck_assert_ptr_nonnull(strstr(text, "\"revision\":18446744073709551615"));
    free(text);
}
END_TEST

UNIT_MAIN("problem", test_problem_has_title_status_and_detail,
          test_problem_quotes_no_byte_that_breaks_json, test_problem_long_detail_is_cut,
          test_problem_unknown_outcome_says_so, test_problem_without_leader_has_an_empty_one,
          test_problem_leader_has_three_members, test_problem_revision_is_exact)
