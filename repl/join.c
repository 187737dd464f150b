#include "join.h"

#include "ask.h"
#include "clock.h"
#include "members.h"

#include <stdio.h>
#include <string.h>

/* A server that may be asked to take the node in. */
struct candidate {
    const char *url;
    char cluster_id[40]; /* "" while it is in none */
    bool is_settled;     /* its cluster has other members or data: it cannot be given up any more */
    double log_index;
};

struct candidates {
    struct candidate all[REPL_SERVERS_MAX];
    unsigned count;
    const char *silent[REPL_SERVERS_MAX]; /* those that do not say who they are */
    unsigned silent_count;
};

static double number_of(const cJSON *object, const char *name)
{
    const cJSON *number = cJSON_GetObjectItemCaseSensitive(object, name);
    return cJSON_IsNumber(number) ? number->valuedouble : 0;
}

/* NULL if it does not answer. */
static cJSON *fetch(const struct invocation *invocation, const char *server, const char *path)
{
    struct client *client = &invocation->session->client;
    struct url_servers one = {.count = 1};
    struct client_request request = {
        .method = "GET", .path = path, .servers = &one, .timeout_ms = REPL_PROBE_MS_MAX};
    struct error error = {""};
    strcpy(one.urls[0], server);
    if (client_call(client, &request, &error) || client->answer.status != 200)
        return NULL;
    return cJSON_ParseWithLength((const char *)client->answer.body.bytes,
                                 client->answer.body.length);
}

static struct candidate candidate_of(const char *url, const cJSON *status,
                                     const cJSON *configuration)
{
    const cJSON *servers = cJSON_GetObjectItemCaseSensitive(configuration, "servers");
    struct candidate candidate = {.url = url, .log_index = number_of(status, "last_log_index")};
    candidate.is_settled = cJSON_GetArraySize(servers) > 1 || number_of(status, "keys") > 0;
    snprintf(candidate.cluster_id, sizeof(candidate.cluster_id), "%s",
             members_text(status, "cluster_id"));
    return candidate;
}

/* The joining node itself is no candidate: it leads a cluster of its own perhaps, and would say
 * that it is in it. */
static void probe(const struct invocation *invocation, const char *server,
                  struct candidates *candidates)
{
    cJSON *status = fetch(invocation, server, "/status");
    bool is_self = status && word_is(&invocation->words[1], members_text(status, "node_id"));
    cJSON *configuration = status && !is_self ? fetch(invocation, server, "/raft/config") : NULL;
    if (status && !is_self)
        candidates->all[candidates->count++] = candidate_of(server, status, configuration);
    else if (!is_self)
        candidates->silent[candidates->silent_count++] = server;
    cJSON_Delete(configuration);
    cJSON_Delete(status);
}

/* Clusters that cannot be given up first, then longer logs. Of new nodes that look for each other
 * all must choose the same one: where nothing else tells them apart, the least id. */
static bool is_better(const struct candidate *a, const struct candidate *b)
{
    if (a->is_settled != b->is_settled)
        return a->is_settled;
    if (a->log_index < b->log_index || a->log_index > b->log_index)
        return a->log_index > b->log_index;
    return strcmp(a->cluster_id, b->cluster_id) < 0;
}

static const struct candidate *best_of(const struct candidates *candidates)
{
    const struct candidate *best = NULL;
    for (unsigned i = 0; i < candidates->count; i++)
        if (!best || is_better(&candidates->all[i], best))
            best = &candidates->all[i];
    return best;
}

/* Before one new node takes in another it is worth waiting for who is silent: two clusters of new
 * nodes cannot be made one again. */
static void find_candidates(const struct invocation *invocation, struct candidates *ret_candidates)
{
    const struct url_servers *all = &invocation->options->servers;
    const struct candidate *best;
    uint64_t until_ms = clock_monotonic_ms() + REPL_PROBE_MS_MAX;
    do {
        ret_candidates->count = ret_candidates->silent_count = 0;
        for (unsigned i = 0; i < all->count; i++)
            probe(invocation, all->urls[i], ret_candidates);
        best = best_of(ret_candidates);
    } while (best && !best->is_settled && ret_candidates->silent_count > 0 &&
             clock_monotonic_ms() < until_ms && ask_pause());
    invocation->session->client.preferred[0] = '\0'; /* whoever was probed last */
}

/* The servers of the best candidate's cluster and no other, even if those have no time now: else
 * two clusters grow where one should. Nobody answered: all, for they may do so by then. */
static void choose_servers(const struct candidates *candidates, struct url_servers *ret_servers)
{
    const struct candidate *best = best_of(candidates);
    ret_servers->count = 0;
    if (best)
        strcpy(ret_servers->urls[ret_servers->count++], best->url);
    for (unsigned i = 0; i < candidates->count; i++) {
        const struct candidate *each = &candidates->all[i];
        if (each != best && !strcmp(each->cluster_id, best->cluster_id))
            strcpy(ret_servers->urls[ret_servers->count++], each->url);
    }
    for (unsigned i = 0; !best && i < candidates->silent_count; i++)
        strcpy(ret_servers->urls[ret_servers->count++], candidates->silent[i]);
}

int command_join(const struct invocation *invocation)
{
    static struct url_servers servers;
    struct candidates candidates;
    find_candidates(invocation, &candidates);
    choose_servers(&candidates, &servers);
    if (servers.count == 0)
        return COMPLAIN(invocation, EXIT_CODE_USAGE,
                        "want a server of the cluster to join: %s%s the node %.64s itself",
                        invocation->options->servers.urls[0],
                        invocation->options->servers.count > 1 ? " and the others are" : " is",
                        invocation->words[1].bytes);
    return members_change(invocation, "/join", &servers);
}
