#include "../unit.h"

#include "table.h"

#include <stdio.h>
#include <string.h>

static const struct {
    uint64_t ms;
    const char *text;
} durations[] = {
    {0, "0ms"},         {999, "999ms"},       {1000, "1s"},        {59999, "59s"},
    {60000, "1m00s"},   {187000, "3m07s"},    {3599999, "59m59s"}, {3600000, "1h00m"},
    {7500000, "2h05m"}, {86399999, "23h59m"}, {86400000, "1d00h"}, {356400000, "4d03h"},
};

START_TEST(test_table_durations_are_short)
{
    for (unsigned i = 0; i < sizeof(durations) / sizeof(*durations); i++) {
        char text[32];
        table_format_duration(durations[i].ms, text);
        ck_assert_str_eq(text, durations[i].text);
    }
}
END_TEST

static const char *print(const char *json)
{
    static char text[2048];
    cJSON *report = cJSON_Parse(json);
    FILE *file = fmemopen(text, sizeof(text), "w");
    table_print(file, report);
    fclose(file);
    cJSON_Delete(report);
    return text;
}

START_TEST(test_table_shows_a_row_per_process)
{
    ck_assert_str_eq(
        print("{\"node_id\":\"n1\",\"http_addr\":\":8081\",\"launch\":{\"state\":\"ready\","
              "\"pid\":7,\"uptime_ms\":61000,\"rss_bytes\":2097152},\"daemons\":[{\"name\":"
              "\"raftd\",\"state\":\"failed\",\"pid\":null,\"uptime_ms\":null,\"rss_bytes\":null,"
              "\"restarts\":3,\"last_exit\":\"exited with code 125\"}]}"),
        "node n1, http :8081\n"
        "DAEMON    STATE           PID   UPTIME RESTARTS        RSS\n"
        "launch    ready             7    1m01s        -    2.0 MiB\n"
        "raftd     failed            -        -        3          -  (last: exited with code "
        "125)\n");
}
END_TEST

START_TEST(test_table_nonsense_shows_dashes)
{
    const char *text = print("{\"node_id\":5,\"launch\":[],\"daemons\":[1,{\"pid\":\"x\"}]}");
    ck_assert_ptr_nonnull(strstr(text, "node -, http -\n"));
    ck_assert_ptr_nonnull(strstr(text, "launch    -                 -        -        -"));
}
END_TEST

UNIT_MAIN("launch/table", test_table_durations_are_short, test_table_shows_a_row_per_process,
          test_table_nonsense_shows_dashes)
