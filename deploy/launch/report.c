#include "report.h"

#include "buffer.h"
#include "node.h"

#include <cjson/cJSON.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* Resident memory of a process from /proc/PID/statm; negative if it is gone. */
static double process_resident_bytes(pid_t pid)
{
    char path[40];
    unsigned long long pages = 0;
    snprintf(path, sizeof(path), "/proc/%ld/statm", (long)pid);
    FILE *file = fopen(path, "re");
    if (!file)
        return -1;
    int fields = fscanf(file, "%*u %llu", &pages);
    (void)fclose(file);
    return fields == 1 ? (double)pages * (double)sysconf(_SC_PAGESIZE) : -1;
}

static void report_process(cJSON *object, pid_t pid, uint64_t up_ms)
{
    double resident_bytes = pid ? process_resident_bytes(pid) : -1;
    cJSON_AddItemToObject(object, "pid", pid ? cJSON_CreateNumber(pid) : cJSON_CreateNull());
    cJSON_AddItemToObject(object, "uptime_ms",
                          pid ? cJSON_CreateNumber((double)up_ms) : cJSON_CreateNull());
    cJSON_AddItemToObject(object, "rss_bytes",
                          resident_bytes >= 0 ? cJSON_CreateNumber(resident_bytes)
                                              : cJSON_CreateNull());
}

static cJSON *report_service(const struct service *service, uint64_t now_ms)
{
    cJSON *object = cJSON_CreateObject();
    cJSON_AddStringToObject(object, "name", service->kind->name);
    cJSON_AddStringToObject(object, "state", state_name(service->state));
    report_process(object, service->pid, now_ms - service->started_ms);
    cJSON_AddNumberToObject(object, "restarts", service->restarts);
    if (service->last_exit[0])
        cJSON_AddStringToObject(object, "last_exit", service->last_exit);
    if (service->state == STATE_BACKOFF)
        cJSON_AddNumberToObject(object, "retry_in_ms",
                                service->retry_ms > now_ms ? (double)(service->retry_ms - now_ms)
                                                           : 0);
    return object;
}

char *report_of(const struct node *node)
{
    static const char *const phases[] = {
        [NODE_STARTING] = "starting", [NODE_RUNNING] = "ready", [NODE_STOPPING] = "stopping"};
    char address[LIMIT_ADDRESS_BYTES_MAX + 8];
    uint64_t now_ms = loop_now_ms(node->loop);
    cJSON *root = cJSON_CreateObject();
    config_address_format(&node->config->http_address, address, sizeof(address));
    cJSON_AddStringToObject(root, "node_id", node->config->node_id);
    cJSON_AddStringToObject(root, "http_addr", address);
    cJSON *launch = cJSON_AddObjectToObject(root, "launch");
    cJSON_AddStringToObject(launch, "state", phases[node->phase]);
    report_process(launch, getpid(), now_ms - node->begun_ms);
    cJSON *daemons = cJSON_AddArrayToObject(root, "daemons");
    for (unsigned i = 0; i < KINDS_COUNT; i++)
        cJSON_AddItemToArray(daemons, report_service(&node->services[i], now_ms));
    char *text = cJSON_PrintUnformatted(root);
    cJSON_Delete(root);
    return text ? text : memory_copy_string("{\"ok\":false,\"message\":\"out of memory\"}");
}
