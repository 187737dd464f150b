#include "status.h"

#include <cjson/cJSON.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void copy_text(const cJSON *object, const char *name, char *into, size_t bytes)
{
    const char *text = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(object, name));
    snprintf(into, bytes, "%s", text ? text : "");
}

static uint64_t number_of(const cJSON *object, const char *name)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, name);
    if (cJSON_IsString(item))
        return strtoull(item->valuestring, NULL, 10);
    return cJSON_IsNumber(item) ? (uint64_t)item->valuedouble : 0;
}

static bool bool_of(const cJSON *object, const char *name)
{
    return cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(object, name));
}

static cJSON *page(struct session *session, unsigned node, const char *target)
{
    struct answer answer = session_ask(session, node, "GET", target, NULL, 0, NULL);
    return answer.status == 200 ? cJSON_Parse(answer.body) : NULL;
}

struct node_status status_of(struct session *session, unsigned node)
{
    struct node_status status = {0};
    cJSON *object = page(session, node, "/status");
    if (!object)
        return status;
    status.answered = true;
    status.is_leader = bool_of(object, "is_leader");
    status.raftd_up = bool_of(object, "raftd_up");
    status.storaged_up = bool_of(object, "storaged_up");
    const struct {
        const char *name;
        char *into;
        size_t bytes;
    } texts[] = {
        {"node_id", status.node_id, sizeof(status.node_id)},
        {"leader_id", status.leader_id, sizeof(status.leader_id)},
        {"leader", status.leader, sizeof(status.leader)},
        {"leader_url", status.leader_url, sizeof(status.leader_url)},
        {"state", status.state, sizeof(status.state)},
        {"cluster_id", status.cluster_id, sizeof(status.cluster_id)},
        {"state_hash", status.state_hash, sizeof(status.state_hash)},
    };
    for (unsigned i = 0; i < sizeof(texts) / sizeof(*texts); i++)
        copy_text(object, texts[i].name, texts[i].into, texts[i].bytes);
    status.term = number_of(object, "term");
    status.commit_index = number_of(object, "commit_index");
    status.applied_index = number_of(object, "applied_index");
    status.last_log_index = number_of(object, "last_log_index");
    status.keys = number_of(object, "keys");
    cJSON_Delete(object);
    return status;
}

struct node_members members_of(struct session *session, unsigned node)
{
    struct node_members members = {0};
    cJSON *object = page(session, node, "/raft/config");
    if (!object)
        return members;
    members.answered = true;
    copy_text(object, "leader", members.leader, sizeof(members.leader));
    const cJSON *server;
    cJSON_ArrayForEach(server, cJSON_GetObjectItemCaseSensitive(object, "servers"))
    {
        unsigned i = members.voters + members.staging;
        if (i == sizeof(members.servers) / sizeof(*members.servers))
            break;
        copy_text(server, "id", members.servers[i].id, sizeof(members.servers[i].id));
        copy_text(server, "address", members.servers[i].address,
                  sizeof(members.servers[i].address));
        copy_text(server, "suffrage", members.servers[i].suffrage,
                  sizeof(members.servers[i].suffrage));
        bool is_voter = !strcmp(members.servers[i].suffrage, "voter");
        members.voters += is_voter;
        members.staging += !is_voter;
    }
    cJSON_Delete(object);
    return members;
}

uint64_t stats_figure(struct session *session, unsigned node, const char *name)
{
    cJSON *object = page(session, node, "/raft/stats");
    uint64_t figure = object ? number_of(object, name) : 0;
    cJSON_Delete(object);
    return figure;
}
