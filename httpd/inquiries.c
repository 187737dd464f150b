#include "inquiries.h"

#include "httpd.h"
#include "message.h"
#include "queue.h"
#include "routes.h"
#include "status.h"

#include <cjson/cJSON.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define INQUIRY_MS_MAX 2000u

struct inquiry {
    struct queue requests;
    struct httpd *httpd;
    unsigned calls; /* still out */
    bool has_raft, has_store;
    struct raft_status raft;
    struct store_status store;
};

struct inquiries {
    struct httpd *httpd;
    struct queue waiting;
};

struct inquiries *inquiries_new(struct httpd *httpd)
{
    struct inquiries *inquiries = memory_new_zeroed(1, sizeof(*inquiries));
    inquiries->httpd = httpd;
    return inquiries;
}

void inquiries_free(struct inquiries *inquiries)
{
    free(inquiries);
}

static void inquiries_take(struct request *request)
{
    request->state = REQUEST_WAITING;
    MHD_suspend_connection(request->connection);
    queue_push(&request->httpd->inquiries->waiting, request);
}

/* ---- answers ---- */

static void add_number(struct cJSON *object, const char *name, uint64_t number)
{
    char text[32];
    snprintf(text, sizeof(text), "%llu", (unsigned long long)number);
    (void)cJSON_AddRawToObject(object, name, text);
}

static void answer_status(struct request *request, const struct inquiry *inquiry)
{
    const struct raft_status *raft = &inquiry->raft;
    struct cJSON *object = cJSON_CreateObject();
    (void)cJSON_AddBoolToObject(object, "is_leader", raft->state == RAFT_STATE_LEADER);
    (void)cJSON_AddStringToObject(object, "leader", raft->leader.raft_address);
    (void)cJSON_AddStringToObject(object, "leader_id", raft->leader.id);
    (void)cJSON_AddStringToObject(object, "leader_url", raft->leader.http_url);
    (void)cJSON_AddStringToObject(object, "node_id", raft->node_id);
    (void)cJSON_AddStringToObject(object, "cluster_id", raft->cluster_id);
    add_number(object, "term", raft->term);
    add_number(object, "commit_index", raft->commit_index);
    add_number(object, "applied_index",
               inquiry->has_store ? inquiry->store.applied_index : raft->applied_index);
    if (inquiry->has_store) {
        char hash[33] = "";
        for (int i = 0; i < 16; i++)
            snprintf(hash + 2 * i, 3, "%02x", inquiry->store.state_hash[i]);
        add_number(object, "durable_index", inquiry->store.durable_index);
        add_number(object, "keys", inquiry->store.keys);
        add_number(object, "file_bytes", inquiry->store.file_bytes);
        (void)cJSON_AddStringToObject(object, "state_hash", hash);
    }
    (void)cJSON_AddStringToObject(object, "version", CONURE_VERSION);
    reply_json(request, 200, object);
}

static void answer_config(struct request *request, const struct inquiry *inquiry)
{
    const struct raft_status *raft = &inquiry->raft;
    struct cJSON *object = cJSON_CreateObject();
    (void)cJSON_AddStringToObject(object, "leader", raft->leader.raft_address);
    add_number(object, "index", raft->configuration_index);
    struct cJSON *servers = cJSON_AddArrayToObject(object, "servers");
    for (uint32_t i = 0; i < raft->servers_count; i++) {
        struct cJSON *server = cJSON_CreateObject();
        (void)cJSON_AddStringToObject(server, "id", raft->servers[i].id);
        (void)cJSON_AddStringToObject(server, "address", raft->servers[i].raft_address);
        (void)cJSON_AddStringToObject(server, "suffrage",
                                      raft->servers[i].voter ? "voter" : "staging");
        (void)cJSON_AddStringToObject(server, "http_url", raft->servers[i].http_url);
        (void)cJSON_AddItemToArray(servers, server);
    }
    reply_json(request, 200, object);
}

static void answer_stats(struct request *request, const struct inquiry *inquiry)
{
    const struct raft_status *raft = &inquiry->raft;
    static const char *const states[] = {"", "Follower", "Candidate", "Leader"};
    const struct {
        const char *name;
        uint64_t value;
    } numbers[] = {
        {"term", raft->term},
        {"first_log_index", raft->first_log_index},
        {"last_log_index", raft->last_log_index},
        {"last_log_term", raft->last_log_term},
        {"commit_index", raft->commit_index},
        {"applied_index", raft->applied_index},
        {"fsm_pending",
         raft->commit_index > raft->applied_index ? raft->commit_index - raft->applied_index : 0},
        {"durable_index", raft->durable_index},
        {"last_snapshot_index", raft->last_snapshot_index},
        {"last_snapshot_term", raft->last_snapshot_term},
        {"latest_configuration_index", raft->configuration_index},
        {"num_peers", raft->servers_count ? raft->servers_count - 1 : 0},
        {"last_contact", raft->last_contact_ms},
        {"log_bytes", raft->log_bytes},
        {"log_syncs", raft->syncs},
        {"log_entries_written", raft->entries_written},
    };
    struct cJSON *object = cJSON_CreateObject();
    (void)cJSON_AddStringToObject(object, "state", states[raft->state]);
    for (unsigned i = 0; i < sizeof(numbers) / sizeof(*numbers); i++) {
        char text[32];
        snprintf(text, sizeof(text), "%llu", (unsigned long long)numbers[i].value);
        (void)cJSON_AddStringToObject(object, numbers[i].name, text);
    }
    reply_json(request, 200, object);
}

static void answer_ready(struct request *request, const struct inquiry *inquiry)
{
    const struct {
        const char *name;
        bool ok;
        const char *why;
    } checks[] = {
        {"raftd", inquiry->has_raft, "raftd does not answer"},
        {"storaged", inquiry->has_store, "storaged does not answer"},
        {"feed", inquiry->has_raft && inquiry->raft.storaged_up, "raftd does not reach storaged"},
        {"leader", inquiry->has_raft && inquiry->raft.leader.id[0], "there is no leader"},
        {"health", inquiry->has_store && inquiry->store.health == PROTO_STATUS_OK,
         inquiry->store.health_text},
    };
    struct buffer text = {0};
    bool ok = true;
    for (unsigned i = 0; i < sizeof(checks) / sizeof(*checks); i++) {
        char line[400];
        snprintf(line, sizeof(line), "[%c] %s %s\n", checks[i].ok ? '+' : '-', checks[i].name,
                 checks[i].ok ? "ok" : checks[i].why);
        ok = ok && checks[i].ok;
        if (!checks[i].ok || uri_parameter(&request->uri, "verbose").bytes)
            buffer_append(&text, line, strlen(line));
    }
    const char *end = ok ? "ready\n" : "not ready\n";
    buffer_append(&text, end, strlen(end) + 1);
    reply_text(request, ok ? 200 : 503, (const char *)text.bytes);
    buffer_free(&text);
}

static const struct {
    route_handler *handler;
    bool needs_raft;
    void (*answer)(struct request *request, const struct inquiry *inquiry);
} answers[] = {
    {status_handle, true, answer_status},
    {raft_config_handle, true, answer_config},
    {raft_stats_handle, true, answer_stats},
    {readyz_handle, false, answer_ready},
};

static void inquiry_answer(struct request *request, const struct inquiry *inquiry)
{
    unsigned i = 0;
    while (answers[i].handler != request->route->handler)
        i++;
    if (answers[i].needs_raft && !inquiry->has_raft)
        reply_status(request, PROTO_STATUS_UNAVAILABLE);
    else
        answers[i].answer(request, inquiry);
}

/* ---- asking ---- */

static void inquiry_end_call(struct inquiry *inquiry)
{
    if (--inquiry->calls > 0)
        return;
    for (struct request *request = queue_pop(&inquiry->requests); request;
         request = queue_pop(&inquiry->requests))
        inquiry_answer(request, inquiry);
    free(inquiry);
}

static void on_raft_status(void *context, enum bus_end end, uint16_t type, struct wire_reader *body)
{
    struct inquiry *inquiry = context;
    inquiry->has_raft = httpd_is_reply(end, type, PROTO_RAFT_STATUS_OK) &&
                        !raft_status_decode(body, &inquiry->raft);
    inquiry_end_call(inquiry);
}

static void on_store_status(void *context, enum bus_end end, uint16_t type,
                            struct wire_reader *body)
{
    struct inquiry *inquiry = context;
    inquiry->has_store = httpd_is_reply(end, type, PROTO_STORE_STATUS_OK) &&
                         !store_status_decode(body, &inquiry->store);
    inquiry_end_call(inquiry);
}

void inquiries_flush(struct inquiries *inquiries)
{
    struct httpd *httpd = inquiries->httpd;
    if (!inquiries->waiting.first)
        return;
    struct inquiry *inquiry = memory_new_zeroed(1, sizeof(*inquiry));
    uint64_t deadline_ms = loop_now_ms(httpd->loop) + INQUIRY_MS_MAX;
    inquiry->httpd = httpd;
    inquiry->calls = 1; /* our own, until both are out */
    queue_take_all(&inquiry->requests, &inquiries->waiting);
    if (!bus_call(httpd->raftd, PROTO_RAFT_STATUS, NULL, deadline_ms, on_raft_status, inquiry))
        inquiry->calls++;
    if (!bus_call(httpd->storaged, PROTO_STORE_STATUS, NULL, deadline_ms, on_store_status, inquiry))
        inquiry->calls++;
    inquiry_end_call(inquiry);
}

/* ---- handlers ---- */

void status_handle(struct request *request)
{
    inquiries_take(request);
}

void raft_config_handle(struct request *request)
{
    inquiries_take(request);
}

void raft_stats_handle(struct request *request)
{
    inquiries_take(request);
}

void readyz_handle(struct request *request)
{
    inquiries_take(request);
}

void livez_handle(struct request *request)
{
    reply_text(request, 200, "alive\n");
}
