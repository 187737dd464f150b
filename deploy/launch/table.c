#include "table.h"

#include <string.h>

void table_format_duration(uint64_t ms, char into[32])
{
    unsigned long long s = ms / 1000;
    if (s == 0)
        snprintf(into, 32, "%llums", (unsigned long long)ms);
    else if (s < 60)
        snprintf(into, 32, "%llus", s);
    else if (s < 3600)
        snprintf(into, 32, "%llum%02llus", s / 60, s % 60);
    else if (s < 86400)
        snprintf(into, 32, "%lluh%02llum", s / 3600, s / 60 % 60);
    else
        snprintf(into, 32, "%llud%02lluh", s / 86400, s / 3600 % 24);
}

static const char *text_of(const cJSON *object, const char *name)
{
    const char *text = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(object, name));
    return text ? text : "-";
}

static const cJSON *number_of(const cJSON *object, const char *name)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, name);
    return cJSON_IsNumber(item) && item->valuedouble >= 0 ? item : NULL;
}

static void print_row(FILE *into, const char *name, const cJSON *object)
{
    char pid[24] = "-", uptime[32] = "-", restarts[24] = "-", memory[32] = "-";
    const cJSON *number;
    if ((number = number_of(object, "pid")))
        snprintf(pid, sizeof(pid), "%.0f", number->valuedouble);
    if ((number = number_of(object, "uptime_ms")))
        table_format_duration((uint64_t)number->valuedouble, uptime);
    if ((number = number_of(object, "restarts")))
        snprintf(restarts, sizeof(restarts), "%.0f", number->valuedouble);
    if ((number = number_of(object, "rss_bytes")))
        snprintf(memory, sizeof(memory), "%.1f MiB", number->valuedouble / (1 << 20));
    fprintf(into, "%-9s %-10s %8s %8s %8s %10s", name, text_of(object, "state"), pid, uptime,
            restarts, memory);
    if (strcmp(text_of(object, "last_exit"), "-") != 0)
        fprintf(into, "  (last: %s)", text_of(object, "last_exit"));
    fputc('\n', into);
}

void table_print(FILE *into, const cJSON *report)
{
    const cJSON *each;
    fprintf(into, "node %s, http %s\n", text_of(report, "node_id"), text_of(report, "http_addr"));
    fprintf(into, "%-9s %-10s %8s %8s %8s %10s\n", "DAEMON", "STATE", "PID", "UPTIME", "RESTARTS",
            "RSS");
    print_row(into, "launch", cJSON_GetObjectItemCaseSensitive(report, "launch"));
    cJSON_ArrayForEach(each, cJSON_GetObjectItemCaseSensitive(report, "daemons"))
        print_row(into, text_of(each, "name"), each);
}
