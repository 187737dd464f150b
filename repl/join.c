#include "join.h"

#include "ask.h"
#include "clock.h"
#include "members.h"

#include <stdio.h>
#include <string.h>

/* A server that said who it is. */
struct candidate {
    const char *url;
    char cluster_id[40];
    bool is_self;    /* the joining node: it leads a cluster of its own perhaps */
    bool is_settled; /* it can give up its cluster no more */
    bool is_shared;  /* it has other members */
    bool is_invited; /* into that cluster, of which it knows no member yet */
    bool is_chosen;  /* somebody was invited into its cluster */
    bool seeks;      /* it looks for others itself */
    bool is_open;    /* and yet takes others in; or it does not seek */
};

struct candidates {
    struct candidate all[REPL_SERVERS_MAX];
    unsigned count;
    const char *silent[REPL_SERVERS_MAX]; /* those that do not say, or cannot now */
    unsigned silent_count;
    bool is_self_silent;
};

static double number_of(const cJSON *object, const char *name)
{
    const cJSON *number = cJSON_GetObjectItemCaseSensitive(object, name);
    return cJSON_IsNumber(number) ? number->valuedouble : 0;
}

/* NULL if it does not answer. */
static cJSON *fetch_status(const struct invocation *invocation, const char *server)
{
    struct client *client = &invocation->session->client;
    struct url_servers one = {.count = 1};
    struct client_request request = {
        .method = "GET", .path = "/status", .servers = &one, .timeout_ms = REPL_PROBE_MS_MAX};
    struct error error = {""};
    strcpy(one.urls[0], server);
    if (client_call(client, &request, &error) || client->answer.status != 200)
        return NULL;
    return cJSON_ParseWithLength((const char *)client->answer.body.bytes,
                                 client->answer.body.length);
}

static bool is_true(const cJSON *object, const char *name)
{
    return cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(object, name));
}

/* False: a daemon of it is not there, or it is in no cluster and cannot take anybody in. */
static bool candidate_read(const cJSON *status, struct candidate *candidate)
{
    const char *id = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(status, "cluster_id"));
    double members = number_of(status, "members");
    if (!id || !id[0] || !is_true(status, "raftd_up") || !is_true(status, "storaged_up"))
        return false;
    snprintf(candidate->cluster_id, sizeof(candidate->cluster_id), "%s", id);
    candidate->is_settled = is_true(status, "settled");
    candidate->is_shared = members > 1;
    candidate->is_invited = members < 1;
    candidate->seeks = is_true(status, "seeks");
    candidate->is_open = !candidate->seeks || is_true(status, "founds");
    return true;
}

static void probe(const struct invocation *invocation, const char *server,
                  struct candidates *candidates)
{
    cJSON *status = fetch_status(invocation, server);
    struct candidate candidate = {.url = server};
    candidate.is_self = status && word_is(&invocation->words[1], members_text(status, "node_id"));
    if (candidate_read(status, &candidate))
        candidates->all[candidates->count++] = candidate;
    else if (candidate.is_self)
        candidates->is_self_silent = true;
    else
        candidates->silent[candidates->silent_count++] = server;
    cJSON_Delete(status);
}

static bool is_same_cluster(const struct candidate *a, const struct candidate *b)
{
    return !strcmp(a->cluster_id, b->cluster_id);
}

/* Those that invited it. False: none of them is there. */
static bool choose_members(struct candidates *candidates, const struct candidate *invited)
{
    bool found_one = false;
    for (unsigned i = 0; i < candidates->count; i++) {
        struct candidate *member = &candidates->all[i];
        if (!member->is_invited && is_same_cluster(member, invited))
            found_one = member->is_chosen = true;
    }
    return found_one;
}

/* Who was invited speaks for a member of that cluster. If none is there, it may come back. */
static void sort_out_invited(struct candidates *candidates)
{
    for (unsigned i = 0; i < candidates->count; i++) {
        const struct candidate *invited = &candidates->all[i];
        if (invited->is_invited && !choose_members(candidates, invited) && !invited->is_self)
            candidates->silent[candidates->silent_count++] = invited->url;
    }
}

/* All that look for each other must choose the same one: a cluster that cannot be given up any
 * more; one somebody was invited into; a node that waits to be joined; else the least id. */
static bool is_better(const struct candidate *a, const struct candidate *b)
{
    if (a->is_settled != b->is_settled)
        return a->is_settled;
    if (a->is_chosen != b->is_chosen)
        return a->is_chosen;
    if (a->is_open != b->is_open)
        return a->is_open;
    return strcmp(a->cluster_id, b->cluster_id) < 0;
}

static const struct candidate *best_of(const struct candidates *candidates)
{
    const struct candidate *best = NULL;
    for (unsigned i = 0; i < candidates->count; i++)
        if (!candidates->all[i].is_invited && (!best || is_better(&candidates->all[i], best)))
            best = &candidates->all[i];
    return best;
}

/* Before one new node takes in another it is worth waiting for who is silent: two clusters of new
 * nodes cannot be made one again. */
static void find_candidates(const struct invocation *invocation, struct candidates *ret_candidates)
{
    const struct url_servers *all = &invocation->options->servers;
    const struct candidate *best;
    uint64_t until_ms = clock_monotonic_ms() + REPL_SILENT_MS_MAX;
    do {
        *ret_candidates = (struct candidates){.count = 0};
        for (unsigned i = 0; i < all->count; i++)
            probe(invocation, all->urls[i], ret_candidates);
        sort_out_invited(ret_candidates);
        best = best_of(ret_candidates);
    } while (best && !best->is_settled && ret_candidates->silent_count > 0 &&
             clock_monotonic_ms() < until_ms && ask_pause());
    invocation->session->client.preferred[0] = '\0'; /* whoever was probed last */
}

/* The servers of the best candidate's cluster and no other, even if those have no time now: else
 * two clusters grow where one should. Nobody answered: all, for they may do so by then. */
static void choose_servers(const struct candidates *candidates, const struct candidate *best,
                           struct url_servers *ret_servers)
{
    ret_servers->count = 0;
    if (best && !best->is_self)
        strcpy(ret_servers->urls[ret_servers->count++], best->url);
    for (unsigned i = 0; i < candidates->count; i++) {
        const struct candidate *each = &candidates->all[i];
        if (each != best && !each->is_self && is_same_cluster(each, best))
            strcpy(ret_servers->urls[ret_servers->count++], each->url);
    }
    for (unsigned i = 0; !best && i < candidates->silent_count; i++)
        strcpy(ret_servers->urls[ret_servers->count++], candidates->silent[i]);
}

static bool has_other_settled(const struct candidates *candidates, const struct candidate *best)
{
    for (unsigned i = 0; i < candidates->count; i++)
        if (candidates->all[i].is_settled && !is_same_cluster(&candidates->all[i], best))
            return true;
    return false;
}

/* The joining node is the one the others come to. Asked to take in itself, it knows that, and
 * refuses nobody any more; until somebody has come, there may come one that is better. */
static int found(const struct invocation *invocation, const struct candidates *candidates,
                 const struct candidate *self)
{
    struct url_servers own = {.count = 1};
    strcpy(own.urls[0], self->url);
    if (has_other_settled(candidates, self))
        return COMPLAIN(invocation, EXIT_CODE_FAILURE,
                        "%.64s has a cluster, and so have others: two cannot be made one",
                        invocation->words[1].bytes);
    if (self->is_shared)
        return members_change(invocation, "/join", &own);
    int exit_code = members_post(invocation, "/join", &own);
    if (exit_code)
        return exit_code;
    return COMPLAIN(invocation, EXIT_UNAVAILABLE, "%.64s waits for others to join it",
                    invocation->words[1].bytes);
}

int command_join(const struct invocation *invocation)
{
    static struct url_servers servers;
    struct candidates candidates;
    find_candidates(invocation, &candidates);
    const struct candidate *best = best_of(&candidates);
    choose_servers(&candidates, best, &servers);
    if (servers.count > 0)
        return members_change(invocation, "/join", &servers);
    if (best && (best->seeks || candidates.count > 1 || candidates.silent_count > 0))
        return found(invocation, &candidates, best);
    if (candidates.is_self_silent)
        return COMPLAIN(invocation, EXIT_UNAVAILABLE, "%.64s cannot say yet what it has",
                        invocation->words[1].bytes);
    return COMPLAIN(invocation, EXIT_CODE_USAGE,
                    "want a server of the cluster to join: %s%s the node %.64s itself",
                    invocation->options->servers.urls[0],
                    invocation->options->servers.count > 1 ? " and the others are" : " is",
                    invocation->words[1].bytes);
}
