#include "exposition.h"

#include "dispatch.h"
#include "message.h"
#include "routes.h"

#include "../unit.h"

#include <stdio.h>
#include <string.h>

static struct httpd httpd;
static struct config config = {.node_id = "node1"};
static struct survey_findings findings;
static char *text;

static void render(void)
{
    struct raft_status *raft = &findings.raft;
    httpd.config = &config;
    findings.raftd_up = findings.storaged_up = true;
    strcpy(raft->node_id, "node1");
    strcpy(raft->cluster_id, "00ff");
    raft->state = RAFT_STATE_FOLLOWER;
    raft->commit_index = UINT64_MAX;
    raft->last_contact_ms = 1007;
    raft->servers_count = 3;
    strcpy(raft->servers[0].id, "node1");
    strcpy(raft->servers[1].id, "node2");
    strcpy(raft->servers[2].id, "no\"de\\3\n");
    raft->servers[0].voter = raft->servers[1].voter = true;
    raft->peers[1] = (struct raft_peer){.connected = true, .round_trip_us = 250, .connects = 3};
    findings.store.health = PROTO_STATUS_NO_SPACE;
    findings.store.file_bytes = 4096;
    text = exposition_render(&httpd, &findings);
}

static bool has(const char *line)
{
    char whole[512];
    snprintf(whole, sizeof(whole), "\n%s\n", line);
    return strstr(text, whole) != NULL;
}

START_TEST(test_exposition_shows_the_figures)
{
    static const char *const lines[] = {
        "conure_node_info{node_id=\"node1\",cluster_id=\"00ff\",version=\"" CONURE_VERSION "\"} 1",
        "conure_daemon_up{daemon=\"raftd\"} 1",
        "conure_raft_state{state=\"follower\"} 1",
        "conure_raft_state{state=\"leader\"} 0",
        "conure_raft_has_leader 0",
        "conure_raft_commit_index 18446744073709551615",
        "conure_raft_last_contact_seconds 1.007",
        "conure_raft_members{suffrage=\"voter\"} 2",
        "conure_raft_members{suffrage=\"staging\"} 1",
        "conure_raft_peer_connected{peer=\"node2\"} 1",
        "conure_raft_peer_round_trip_seconds{peer=\"node2\"} 0.000250",
        "conure_raft_peer_connects_total{peer=\"node2\"} 3",
        "conure_raft_peer_connected{peer=\"no?de?3?\"} 0",
        "conure_store_healthy 0",
        "conure_store_file_bytes 4096",
        "conure_edge_calls_total{message=\"PROPOSE\"} 0",
        "# TYPE conure_raft_log_syncs_total counter",
        "# TYPE conure_http_request_duration_seconds histogram",
    };
    render();
    for (unsigned i = 0; i < sizeof(lines) / sizeof(*lines); i++)
        ck_assert_msg(has(lines[i]), "no %s in:\n%s", lines[i], text);
    ck_assert_ptr_null(strstr(text, "peer=\"node1\"")); /* itself */
    ck_assert_int_eq(text[strlen(text) - 1], '\n');
    free(text);
}
END_TEST

START_TEST(test_exposition_without_daemons_leaves_their_figures_out)
{
    render();
    free(text);
    findings.raftd_up = findings.storaged_up = false;
    text = exposition_render(&httpd, &findings);
    ck_assert(has("conure_daemon_up{daemon=\"raftd\"} 0"));
    ck_assert_ptr_null(strstr(text, "conure_raft_"));
    ck_assert_ptr_null(strstr(text, "conure_store_"));
    ck_assert_ptr_null(strstr(text, "00ff"));
    free(text);
}
END_TEST

START_TEST(test_exposition_counts_answers_and_their_time)
{
    unsigned allowed;
    const struct route *put = routes_find("/kv/a", 5, METHOD_PUT, &allowed);
    metrics_count(&httpd.metrics, put, 200, 250);
    metrics_count(&httpd.metrics, put, 200, 251);
    metrics_count(&httpd.metrics, put, 504, 6000000);
    metrics_count(&httpd.metrics, put, 299, 1);
    metrics_count(&httpd.metrics, NULL, 404, 10);
    render();
#define KV "{path=\"/kv/{key}\",method=\"PUT\""
    static const char *const lines[] = {
        "conure_http_requests_total" KV ",code=\"200\"} 2",
        "conure_http_requests_total" KV ",code=\"504\"} 1",
        "conure_http_requests_total" KV ",code=\"other\"} 1",
        "conure_http_requests_total{path=\"other\",method=\"other\",code=\"404\"} 1",
        "conure_http_request_duration_seconds_bucket" KV ",le=\"0.00025\"} 2",
        "conure_http_request_duration_seconds_bucket" KV ",le=\"0.0005\"} 3",
        "conure_http_request_duration_seconds_bucket" KV ",le=\"5\"} 3",
        "conure_http_request_duration_seconds_bucket" KV ",le=\"+Inf\"} 4",
        "conure_http_request_duration_seconds_sum" KV "} 6.000502",
        "conure_http_request_duration_seconds_count" KV "} 4",
    };
    for (unsigned i = 0; i < sizeof(lines) / sizeof(*lines); i++)
        ck_assert_msg(has(lines[i]), "no %s in:\n%s", lines[i], text);
    free(text);
}
END_TEST

/* Each name has its help and type once, before its samples, and no sample stands elsewhere. */
START_TEST(test_exposition_is_well_formed)
{
    static char seen[256][96];
    unsigned seen_count = 0;
    char type[96] = "", *rest = NULL;
    metrics_count(&httpd.metrics, NULL, 404, 10);
    metrics_count(&httpd.metrics, routes_table(), 200, 10);
    render();
    for (char *line = strtok_r(text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
        char name[96];
        if (sscanf(line, "# HELP %95s", name) == 1) {
            for (unsigned i = 0; i < seen_count; i++)
                ck_assert_str_ne(seen[i], name);
            strcpy(seen[seen_count++], name);
        } else if (sscanf(line, "# TYPE %95s", type) == 1) {
            ck_assert_str_eq(seen[seen_count - 1], type);
        } else {
            ck_assert_msg(!strncmp(line, type, strlen(type)), "%s behind %s", line, type);
            ck_assert_msg(strrchr(line, ' ') && strchr("0123456789", strrchr(line, ' ')[1]), "%s",
                          line);
        }
    }
    ck_assert_uint_gt(seen_count, 30);
    free(text);
}
END_TEST

/* Prometheus' own opinion, where its tool is installed. */
START_TEST(test_exposition_satisfies_promtool)
{
    if (system("command -v promtool >/dev/null 2>&1"))
        return;
    metrics_count(&httpd.metrics, routes_table(), 200, 10);
    render();
    FILE *pipe = popen("promtool check metrics", "w");
    ck_assert_ptr_nonnull(pipe);
    ck_assert_int_ge(fputs(text, pipe), 0);
    ck_assert_int_eq(pclose(pipe), 0);
    free(text);
}
END_TEST

UNIT_MAIN("exposition", test_exposition_shows_the_figures,
          test_exposition_without_daemons_leaves_their_figures_out,
          test_exposition_counts_answers_and_their_time, test_exposition_is_well_formed,
          test_exposition_satisfies_promtool)
