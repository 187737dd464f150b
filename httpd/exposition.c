/* Everything stands in tables: a figure's name, kind, help, and where its number lies. Names have
 * their unit at the end, counters _total; seconds are made of the milliseconds and microseconds
 * that messages carry. */
#include "exposition.h"

#include "dispatch.h"
#include "message.h"
#include "metrics.h"
#include "proxy.h"
#include "reply.h"
#include "routes.h"
#include "server.h"
#include "watches.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

struct figure {
    const char *name, *type, *help;
    size_t offset, bytes;
    unsigned per_unit; /* 1, or how many of them make a second */
};

#define AT(type, field) offsetof(struct type, field), sizeof(((struct type *)0)->field)

static const struct figure raft_figures[] = {
    {"conure_raft_term", "gauge", "The current term.", AT(raft_status, term), 1},
    {"conure_raft_first_log_index", "gauge", "The first entry the log still has.",
     AT(raft_status, first_log_index), 1},
    {"conure_raft_last_log_index", "gauge", "The last entry of the log.",
     AT(raft_status, last_log_index), 1},
    {"conure_raft_commit_index", "gauge", "The last entry known to be committed.",
     AT(raft_status, commit_index), 1},
    {"conure_raft_applied_index", "gauge", "The last entry that storaged applied.",
     AT(raft_status, applied_index), 1},
    {"conure_raft_durable_index", "gauge", "The last entry in storaged's file on disk.",
     AT(raft_status, durable_index), 1},
    {"conure_raft_last_snapshot_index", "gauge", "What the log was cut at.",
     AT(raft_status, last_snapshot_index), 1},
    {"conure_raft_configuration_index", "gauge", "The entry of the current membership.",
     AT(raft_status, configuration_index), 1},
    {"conure_raft_log_bytes", "gauge", "The log's files.", AT(raft_status, log_bytes), 1},
    {"conure_raft_log_syncs_total", "counter", "Syncs of the log.", AT(raft_status, syncs), 1},
    {"conure_raft_log_entries_written_total", "counter", "Entries written to the log.",
     AT(raft_status, entries_written), 1},
    {"conure_raft_last_contact_seconds", "gauge", "Since the leader was heard; 0 on the leader.",
     AT(raft_status, last_contact_ms), 1000},
    {"conure_raft_diverged_index", "gauge",
     "Where this node's state was found to differ from the leader's; 0: nowhere.",
     AT(raft_status, diverged_index), 1},
    {"conure_raft_state_differences_total", "counter",
     "Differences of other nodes' states, found here as leader.",
     AT(raft_status, state_differences), 1},
};

static const struct figure peer_figures[] = {
    {"conure_raft_peer_connected", "gauge", "Whether both connections to the peer are up.",
     AT(raft_peer, connected), 1},
    {"conure_raft_peer_match_index", "gauge", "The last entry durable there; known to the leader.",
     AT(raft_peer, match_index), 1},
    {"conure_raft_peer_silence_seconds", "gauge", "Since it was heard; known to the leader.",
     AT(raft_peer, silence_ms), 1000},
    {"conure_raft_peer_round_trip_seconds", "gauge", "The last ping to the peer.",
     AT(raft_peer, round_trip_us), 1000000},
    {"conure_raft_peer_messages_sent_total", "counter", "Raft messages sent to the peer.",
     AT(raft_peer, messages_sent), 1},
    {"conure_raft_peer_messages_dropped_total", "counter",
     "Raft messages dropped for want of a connection or of room.", AT(raft_peer, messages_dropped),
     1},
    {"conure_raft_peer_entries_sent_total", "counter", "Log entries sent to the peer.",
     AT(raft_peer, entries_sent), 1},
    {"conure_raft_peer_connects_total", "counter", "Connections made to the peer.",
     AT(raft_peer, connects), 1},
};

static const struct figure store_figures[] = {
    {"conure_store_applied_index", "gauge", "The last entry applied.",
     AT(store_status, applied_index), 1},
    {"conure_store_durable_index", "gauge", "The last entry on disk.",
     AT(store_status, durable_index), 1},
    {"conure_store_keys", "gauge", "Keys that exist.", AT(store_status, keys), 1},
    {"conure_store_file_bytes", "gauge", "The file conure.db.", AT(store_status, file_bytes), 1},
    {"conure_store_dirty_bytes", "gauge", "Waiting for a checkpoint.",
     AT(store_status, dirty_bytes), 1},
    {"conure_store_checkpoints_total", "counter", "Checkpoints written.",
     AT(store_status, checkpoints), 1},
};

#define COUNT(table) (sizeof(table) / sizeof(*(table)))

/* ---- lines ---- */

__attribute__((format(printf, 2, 3))) static void put(struct buffer *into, const char *format, ...)
{
    char line[512];
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(line, sizeof(line), format, arguments);
    va_end(arguments);
    buffer_append(into, line, length < (int)sizeof(line) ? (size_t)length : sizeof(line) - 1);
}

static void put_head(struct buffer *into, const char *name, const char *type, const char *help)
{
    put(into, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static void put_number(struct buffer *into, uint64_t value, unsigned per_unit)
{
    if (per_unit == 1)
        put(into, "%llu\n", (unsigned long long)value);
    else
        put(into, "%llu.%0*llu\n", (unsigned long long)(value / per_unit), per_unit == 1000 ? 3 : 6,
            (unsigned long long)(value % per_unit));
}

static void put_one(struct buffer *into, const char *name, const char *type, const char *help,
                    uint64_t value)
{
    put_head(into, name, type, help);
    put(into, "%s ", name);
    put_number(into, value, 1);
}

/* Ids and the like are of harmless characters by their grammar; what a daemon of another build
 * sends may not be. */
static const char *label(const char *text, char into[160])
{
    size_t at = 0;
    for (; *text && at + 1 < 160; text++)
        into[at++] = *text == '"' || *text == '\\' || (unsigned char)*text < 0x20 ? '?' : *text;
    into[at] = '\0';
    return into;
}

static uint64_t number_at(const void *from, const struct figure *figure)
{
    uint64_t value = 0;
    memcpy(&value, (const char *)from + figure->offset, figure->bytes);
    return value;
}

static void put_figures(struct buffer *into, const void *from, const struct figure *figures,
                        size_t count)
{
    for (size_t i = 0; i < count; i++) {
        put_head(into, figures[i].name, figures[i].type, figures[i].help);
        put(into, "%s ", figures[i].name);
        put_number(into, number_at(from, &figures[i]), figures[i].per_unit);
    }
}

/* ---- the node ---- */

static void put_node(struct buffer *into, const struct httpd *httpd,
                     const struct survey_findings *findings)
{
    char id[160], cluster[160];
    put_head(into, "conure_node_info", "gauge", "Who this is.");
    put(into, "conure_node_info{node_id=\"%s\",cluster_id=\"%s\",version=\"%s\"} 1\n",
        label(httpd->config->node_id, id),
        label(findings->raftd_up ? findings->raft.cluster_id : "", cluster), CONURE_VERSION);
    put_head(into, "conure_daemon_up", "gauge", "Whether the daemon answers.");
    put(into, "conure_daemon_up{daemon=\"httpd\"} 1\nconure_daemon_up{daemon=\"raftd\"} %d\n",
        findings->raftd_up);
    put(into, "conure_daemon_up{daemon=\"storaged\"} %d\n", findings->storaged_up);
}

static void put_members(struct buffer *into, const struct raft_status *raft)
{
    unsigned voters = 0;
    for (uint32_t i = 0; i < raft->servers_count; i++)
        voters += raft->servers[i].voter;
    put_head(into, "conure_raft_members", "gauge", "Members of the cluster.");
    put(into, "conure_raft_members{suffrage=\"voter\"} %u\n", voters);
    put(into, "conure_raft_members{suffrage=\"staging\"} %u\n", raft->servers_count - voters);
}

static void put_peers(struct buffer *into, const struct raft_status *raft)
{
    char id[160];
    for (size_t k = 0; k < COUNT(peer_figures); k++) {
        const struct figure *figure = &peer_figures[k];
        put_head(into, figure->name, figure->type, figure->help);
        for (uint32_t i = 0; i < raft->servers_count; i++) {
            if (!strcmp(raft->servers[i].id, raft->node_id))
                continue;
            put(into, "%s{peer=\"%s\"} ", figure->name, label(raft->servers[i].id, id));
            put_number(into, number_at(&raft->peers[i], figure), figure->per_unit);
        }
    }
}

static void put_raft(struct buffer *into, const struct raft_status *raft)
{
    static const struct {
        uint8_t state;
        const char *name;
    } states[] = {{RAFT_STATE_FOLLOWER, "follower"},
                  {RAFT_STATE_CANDIDATE, "candidate"},
                  {RAFT_STATE_LEADER, "leader"}};
    put_head(into, "conure_raft_state", "gauge", "1 for the state it is in.");
    for (size_t i = 0; i < COUNT(states); i++)
        put(into, "conure_raft_state{state=\"%s\"} %d\n", states[i].name,
            raft->state == states[i].state);
    put_one(into, "conure_raft_has_leader", "gauge", "Whether a leader is known here.",
            raft->leader.raft_address[0] != '\0');
    put_members(into, raft);
    put_figures(into, raft, raft_figures, COUNT(raft_figures));
    put_peers(into, raft);
}

/* ---- httpd ---- */

static const char *route_label(const struct route *route, char into[160])
{
    snprintf(into, 160, "%s%s", route->path, route->kind == ROUTE_BELOW ? "{key}" : "");
    return into;
}

/* `path="...",method="..."` of a place in the metrics; false: there is no such route. */
static bool route_labels(unsigned place, char into[256])
{
    const struct route *route = routes_table();
    char path[160];
    snprintf(into, 256, "path=\"other\",method=\"other\"");
    if (place == METRICS_ROUTES_MAX)
        return true;
    for (unsigned i = 0; i < place && route->path; i++)
        route++;
    if (!route->path)
        return false;
    snprintf(into, 256, "path=\"%s\",method=\"%s\"", route_label(route, path),
             routes_method_name(route->methods & (0u - route->methods)));
    return true;
}

static void put_answers(struct buffer *into, const struct metrics *metrics)
{
    char labels[256];
    put_head(into, "conure_http_requests_total", "counter", "Requests answered.");
    for (unsigned i = 0; i <= METRICS_ROUTES_MAX; i++)
        for (unsigned k = 0; k < METRICS_STATUSES_COUNT; k++) {
            uint64_t count = metrics->routes[i].answers[k];
            char code[16] = "other";
            if (count == 0 || !route_labels(i, labels))
                continue;
            if (metrics_status(k))
                snprintf(code, sizeof(code), "%u", metrics_status(k));
            put(into, "conure_http_requests_total{%s,code=\"%s\"} %llu\n", labels, code,
                (unsigned long long)count);
        }
}

static void put_latency(struct buffer *into, const struct metrics_route *route, const char *labels)
{
    static const char name[] = "conure_http_request_duration_seconds";
    uint64_t count = 0;
    for (unsigned k = 0; k < METRICS_BUCKETS_COUNT; k++) {
        uint64_t bound_us = metrics_bound_us(k);
        char bound[32] = "+Inf";
        count += route->buckets[k];
        if (bound_us)
            snprintf(bound, sizeof(bound), "%g", (double)bound_us / 1e6);
        put(into, "%s_bucket{%s,le=\"%s\"} %llu\n", name, labels, bound, (unsigned long long)count);
    }
    put(into, "%s_sum{%s} ", name, labels);
    put_number(into, route->took_us, 1000000);
    put(into, "%s_count{%s} %llu\n", name, labels, (unsigned long long)count);
}

static void put_latencies(struct buffer *into, const struct metrics *metrics)
{
    char labels[256];
    put_head(into, "conure_http_request_duration_seconds", "histogram",
             "From a request's first line to its answer.");
    for (unsigned i = 0; i <= METRICS_ROUTES_MAX; i++) {
        uint64_t count = 0;
        for (unsigned k = 0; k < METRICS_BUCKETS_COUNT; k++)
            count += metrics->routes[i].buckets[k];
        if (count > 0 && route_labels(i, labels))
            put_latency(into, &metrics->routes[i], labels);
    }
}

static void put_calls(struct buffer *into, const struct httpd *httpd)
{
    const char *name;
    uint64_t count;
    put_head(into, "conure_edge_calls_total", "counter", "Messages sent to raftd and storaged.");
    for (unsigned i = 0; edge_calls_at(httpd, i, &name, &count); i++)
        put(into, "conure_edge_calls_total{message=\"%s\"} %llu\n", name,
            (unsigned long long)count);
}

static void put_httpd(struct buffer *into, const struct httpd *httpd)
{
    put_answers(into, &httpd->metrics);
    put_latencies(into, &httpd->metrics);
    put_calls(into, httpd);
    put_one(into, "conure_http_bodies_bytes", "gauge",
            "Bytes of bodies that are being received or answered.", httpd->bodies_bytes);
    put_one(into, "conure_http_connections", "gauge", "Connections of clients.",
            httpd->server ? server_connections(httpd->server) : 0);
    put_one(into, "conure_http_forwards", "gauge", "Requests being passed on to the leader.",
            httpd->proxy ? proxy_forwards(httpd->proxy) : 0);
}

static void put_watches(struct buffer *into, const struct watches *watches)
{
    put_one(into, "conure_http_watches", "gauge", "Clients that watch.", watches_count(watches));
    put_one(into, "conure_http_watch_events_total", "counter", "Changes sent to those who watch.",
            watches_events(watches));
    put_one(into, "conure_http_watch_waiting_bytes", "gauge",
            "Of changes that wait until their clients take them.", watches_bytes(watches));
}

/* Of httpd's process, under the names that every exporter has. */
static void put_process(struct buffer *into)
{
    struct rusage usage;
    unsigned long long pages = 0;
    FILE *file = fopen("/proc/self/statm", "re");
    if (file && fscanf(file, "%*u %llu", &pages) != 1)
        pages = 0;
    if (file)
        (void)fclose(file);
    put_one(into, "process_resident_memory_bytes", "gauge", "Of httpd.",
            pages * (unsigned long long)sysconf(_SC_PAGESIZE));
    if (getrusage(RUSAGE_SELF, &usage))
        return;
    uint64_t us = (uint64_t)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1000000u +
                  (uint64_t)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec);
    put_head(into, "process_cpu_seconds_total", "counter", "Of httpd.");
    put(into, "process_cpu_seconds_total ");
    put_number(into, us, 1000000);
}

/* ---- the page ---- */

char *exposition_render(const struct httpd *httpd, const struct survey_findings *findings)
{
    struct buffer text = {0};
    put_node(&text, httpd, findings);
    if (findings->raftd_up)
        put_raft(&text, &findings->raft);
    if (findings->storaged_up) {
        put_one(&text, "conure_store_healthy", "gauge", "0: damaged, or the disk is full.",
                findings->store.health == PROTO_STATUS_OK);
        put_figures(&text, &findings->store, store_figures, COUNT(store_figures));
    }
    put_httpd(&text, httpd);
    if (httpd->watches)
        put_watches(&text, httpd->watches);
    put_process(&text);
    buffer_append(&text, "", 1);
    return (char *)text.bytes;
}

void exposition_page(struct request *request, const struct survey_findings *findings)
{
    char *text = exposition_render(request->httpd, findings);
    request_answer(request, MHD_HTTP_OK,
                   reply_typed(text, "text/plain; version=0.0.4; charset=utf-8"));
}
