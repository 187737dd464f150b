#include "pages.h"

#include "message.h"
#include "reply.h"

#include <cjson/cJSON.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- JSON ---- */

static void json_add_number(cJSON *object, const char *name, uint64_t value)
{
    char digits[24]; /* cJSON's own numbers are doubles */
    snprintf(digits, sizeof(digits), "%llu", (unsigned long long)value);
    cJSON_AddRawToObject(object, name, digits);
}

static void json_add_digits(cJSON *object, const char *name, uint64_t value)
{
    char digits[24];
    snprintf(digits, sizeof(digits), "%llu", (unsigned long long)value);
    cJSON_AddStringToObject(object, name, digits);
}

/* One line with a newline; ends the object. */
static char *json_finish(cJSON *object)
{
    char *text = cJSON_PrintUnformatted(object);
    cJSON_Delete(object);
    size_t length = text ? strlen(text) : 0;
    text = text ? realloc(text, length + 2) : NULL;
    if (!text)
        abort();
    memcpy(text + length, "\n", 2);
    return text;
}

static const char *state_name(uint8_t state, bool capitals)
{
    static const char *const names[][2] = {
        [RAFT_STATE_FOLLOWER] = {"follower", "Follower"},
        [RAFT_STATE_CANDIDATE] = {"candidate", "Candidate"},
        [RAFT_STATE_LEADER] = {"leader", "Leader"},
    };
    if (state < RAFT_STATE_FOLLOWER || state > RAFT_STATE_LEADER)
        return capitals ? "Unknown" : "unknown";
    return names[state][capitals];
}

/* ---- /status ---- */

static void status_add_raft(cJSON *object, const struct raft_status *raft)
{
    cJSON_AddBoolToObject(object, "is_leader", raft->state == RAFT_STATE_LEADER);
    cJSON_AddStringToObject(object, "leader", raft->leader.raft_address);
    cJSON_AddStringToObject(object, "leader_id", raft->leader.id);
    cJSON_AddStringToObject(object, "leader_url", raft->leader.http_url);
    cJSON_AddStringToObject(object, "state", state_name(raft->state, false));
    cJSON_AddStringToObject(object, "cluster_id", raft->cluster_id);
    json_add_number(object, "members", raft->servers_count);
    cJSON_AddBoolToObject(object, "settled", raft->settled);
    cJSON_AddBoolToObject(object, "seeks", raft->seeks);
    cJSON_AddBoolToObject(object, "founds", raft->founds);
    json_add_number(object, "term", raft->term);
    json_add_number(object, "last_log_index", raft->last_log_index);
    json_add_number(object, "commit_index", raft->commit_index);
}

static void status_add_store(cJSON *object, const struct store_status *store)
{
    char hash[2 * sizeof(store->state_hash) + 1];
    for (unsigned i = 0; i < sizeof(store->state_hash); i++)
        snprintf(hash + 2 * (size_t)i, 3, "%02x", store->state_hash[i]);
    json_add_number(object, "applied_index", store->applied_index);
    json_add_number(object, "durable_index", store->durable_index);
    json_add_number(object, "keys", store->keys);
    json_add_number(object, "file_bytes", store->file_bytes);
    cJSON_AddStringToObject(object, "state_hash", hash);
}

char *pages_render_status(const struct survey_findings *findings, const struct config *config)
{
    static const struct raft_status nothing;
    cJSON *object = cJSON_CreateObject();
    status_add_raft(object, findings->raftd_up ? &findings->raft : &nothing);
    cJSON_AddStringToObject(object, "node_id", config->node_id);
    cJSON_AddStringToObject(object, "version", CONURE_VERSION);
    cJSON_AddBoolToObject(object, "raftd_up", findings->raftd_up);
    cJSON_AddBoolToObject(object, "storaged_up", findings->storaged_up);
    if (findings->storaged_up)
        status_add_store(object, &findings->store);
    return json_finish(object);
}

void pages_status(struct request *request, const struct survey_findings *findings)
{
    char *text = pages_render_status(findings, request->httpd->config);
    request_answer(request, MHD_HTTP_OK, reply_json(text));
}

/* ---- /raft/... ---- */

/* What this node knows of another member. Only a leader hears from all of them. */
static void server_add_peer(cJSON *server, const struct raft_peer *peer, bool is_leader)
{
    cJSON_AddBoolToObject(server, "connected", peer->connected);
    json_add_number(server, "round_trip_us", peer->round_trip_us);
    if (!is_leader)
        return;
    json_add_number(server, "match_index", peer->match_index);
    json_add_number(server, "last_contact_ms", peer->silence_ms);
}

char *pages_render_raft_config(const struct raft_status *raft)
{
    cJSON *object = cJSON_CreateObject();
    cJSON_AddStringToObject(object, "leader", raft->leader.raft_address);
    json_add_number(object, "configuration_index", raft->configuration_index);
    cJSON *servers = cJSON_AddArrayToObject(object, "servers");
    for (uint32_t i = 0; i < raft->servers_count; i++) {
        const struct raft_server *each = &raft->servers[i];
        cJSON *server = cJSON_CreateObject();
        cJSON_AddStringToObject(server, "id", each->id);
        cJSON_AddStringToObject(server, "address", each->raft_address);
        cJSON_AddStringToObject(server, "suffrage", each->voter ? "voter" : "staging");
        cJSON_AddStringToObject(server, "http_url", each->http_url);
        if (strcmp(each->id, raft->node_id))
            server_add_peer(server, &raft->peers[i], raft->state == RAFT_STATE_LEADER);
        cJSON_AddItemToArray(servers, server);
    }
    return json_finish(object);
}

static uint64_t count_peers(const struct raft_status *raft)
{
    uint64_t count = 0;
    for (uint32_t i = 0; i < raft->servers_count; i++)
        if (raft->servers[i].voter && strcmp(raft->servers[i].id, raft->node_id))
            count++;
    return count;
}

char *pages_render_raft_stats(const struct raft_status *raft)
{
    /* a snapshot may be applied before the core hears of it */
    uint64_t pending =
        raft->commit_index > raft->applied_index ? raft->commit_index - raft->applied_index : 0;
    const struct {
        const char *name;
        uint64_t value;
    } figures[] = {
        {"term", raft->term},
        {"last_log_index", raft->last_log_index},
        {"last_log_term", raft->last_log_term},
        {"first_log_index", raft->first_log_index},
        {"commit_index", raft->commit_index},
        {"applied_index", raft->applied_index},
        {"fsm_pending", pending},
        {"durable_index", raft->durable_index},
        {"last_snapshot_index", raft->last_snapshot_index},
        {"last_snapshot_term", raft->last_snapshot_term},
        {"latest_configuration_index", raft->configuration_index},
        {"num_peers", count_peers(raft)},
        {"log_bytes", raft->log_bytes},
        {"log_syncs", raft->syncs},
        {"log_entries_written", raft->entries_written},
        {"state_differences", raft->state_differences},
        {"diverged_index", raft->diverged_index},
    };
    char contact[32] = "0";
    cJSON *object = cJSON_CreateObject();
    cJSON_AddStringToObject(object, "state", state_name(raft->state, true));
    for (unsigned i = 0; i < sizeof(figures) / sizeof(*figures); i++)
        json_add_digits(object, figures[i].name, figures[i].value);
    if (raft->state != RAFT_STATE_LEADER)
        snprintf(contact, sizeof(contact), "%llums", (unsigned long long)raft->last_contact_ms);
    cJSON_AddStringToObject(object, "last_contact", contact);
    return json_finish(object);
}

/* Answers with what `render` makes of raftd's status, or 503 without one. */
static void pages_answer_raft(struct request *request, const struct survey_findings *findings,
                              char *(*render)(const struct raft_status *))
{
    struct problem problem;
    if (findings->raftd_up) {
        request_answer(request, MHD_HTTP_OK, reply_json(render(&findings->raft)));
    } else {
        problem_set_unavailable(&problem, "raftd does not answer");
        request_answer_problem(request, &problem);
    }
}

void pages_raft_config(struct request *request, const struct survey_findings *findings)
{
    pages_answer_raft(request, findings, pages_render_raft_config);
}

void pages_raft_stats(struct request *request, const struct survey_findings *findings)
{
    pages_answer_raft(request, findings, pages_render_raft_stats);
}

/* ---- probes ---- */

void pages_serve_live(struct request *request)
{
    request_answer(request, MHD_HTTP_OK, reply_ok());
}

int pages_prepare_ready(struct request *request, struct problem *problem)
{
    const struct uri_parameter *verbose = uri_find(&request->uri, "verbose");
    request->verbose = verbose != NULL;
    if (verbose && verbose->value_bytes && !uri_value_is(verbose, "true") &&
        !uri_value_is(verbose, "1"))
        return problem_set(problem, MHD_HTTP_BAD_REQUEST,
                           "query parameter 'verbose' takes no value");
    return 0;
}

struct check {
    const char *name;
    const char *failure; /* NULL: it holds */
};

#define CHECKS_COUNT 5u

static void checks_make(const struct survey_findings *findings, const struct httpd *httpd,
                        struct check checks[CHECKS_COUNT])
{
    bool led = findings->raftd_up && findings->raft.leader.raft_address[0];
    bool healthy = findings->storaged_up && findings->store.health == PROTO_STATUS_OK;
    const char *health =
        findings->storaged_up ? findings->store.health_text : "storaged does not answer";
    checks[0] = (struct check){"raftd", findings->raftd_up ? NULL : "does not answer"};
    checks[1] = (struct check){"leader", led ? NULL : "none is known"};
    checks[2] = (struct check){"storaged", healthy ? NULL : health};
    checks[3] = (struct check){"state", findings->raftd_up && findings->raft.diverged_index
                                            ? "differs from the leader's: its state hash is another"
                                            : NULL};
    checks[4] = (struct check){"accepting", httpd->draining ? "shutting down" : NULL};
}

static char *checks_render(const struct check checks[CHECKS_COUNT])
{
    struct buffer text = {0};
    for (unsigned i = 0; i < CHECKS_COUNT; i++) {
        char line[400];
        int length =
            snprintf(line, sizeof(line), checks[i].failure ? "[-] %s: %s\n" : "[+] %s ok%s\n",
                     checks[i].name, checks[i].failure ? checks[i].failure : "");
        buffer_append(&text, line, (size_t)length);
    }
    buffer_append(&text, "", 1);
    return (char *)text.bytes;
}

void pages_ready(struct request *request, const struct survey_findings *findings)
{
    struct check checks[CHECKS_COUNT];
    const struct check *failed = NULL;
    struct problem problem;
    checks_make(findings, request->httpd, checks);
    for (unsigned i = 0; i < CHECKS_COUNT && !failed; i++)
        if (checks[i].failure)
            failed = &checks[i];
    unsigned status = failed ? MHD_HTTP_SERVICE_UNAVAILABLE : MHD_HTTP_OK;
    if (request->verbose) {
        request_answer(request, status, reply_text(checks_render(checks)));
    } else if (!failed) {
        request_answer(request, status, reply_ok());
    } else {
        problem_set(&problem, status, "not ready: %s: %s", failed->name, failed->failure);
        problem.retry_after_s = 1;
        request_answer_problem(request, &problem);
    }
}
