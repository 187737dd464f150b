#include "pages.h"

#include "message.h"

#include "../unit.h"

#include <cjson/cJSON.h>
#include <stdio.h>
#include <string.h>

static struct survey_findings findings;
static struct config config;

static void findings_fill(void)
{
    static const struct leader_hint leader = {"node1", "127.0.0.1:7001", "http://127.0.0.1:8081"};
    struct raft_status *raft = &findings.raft;
    memset(&findings, 0, sizeof(findings));
    strcpy(config.node_id, "node1");
    findings.raftd_up = findings.storaged_up = true;
    strcpy(raft->node_id, "node1");
    raft->state = RAFT_STATE_LEADER;
    raft->leader = leader;
    raft->term = 7;
    raft->commit_index = UINT64_MAX;
    raft->applied_index = UINT64_MAX - 2;
    raft->last_contact_ms = 12;
    raft->servers_count = 3;
    for (unsigned i = 0; i < 3; i++) {
        snprintf(raft->servers[i].id, sizeof(raft->servers[i].id), "node%u", i + 1);
        snprintf(raft->servers[i].raft_address, sizeof(raft->servers[i].raft_address), "h:700%u",
                 i + 1);
        raft->servers[i].voter = i < 2;
        raft->peers[i] = (struct raft_peer){
            .connected = i == 1, .match_index = 40 + i, .silence_ms = 7, .round_trip_us = 250};
    }
    findings.store.state_hash[0] = 0xab;
}

static cJSON *parse(char *text)
{
    size_t length = strlen(text);
    ck_assert_int_eq(text[length - 1], '\n');
    cJSON *object = cJSON_Parse(text);
    ck_assert_msg(object != NULL, "%s", text);
    free(text);
    return object;
}

static const char *string_of(const cJSON *object, const char *name)
{
    const char *text = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(object, name));
    return text ? text : "(no string)";
}

START_TEST(test_pages_status_of_a_leader)
{
    findings_fill();
    cJSON *object = parse(pages_render_status(&findings, &config));
    ck_assert(cJSON_IsTrue(cJSON_GetObjectItem(object, "is_leader")));
    ck_assert_str_eq(string_of(object, "leader"), "127.0.0.1:7001");
    ck_assert_str_eq(string_of(object, "leader_url"), "http://127.0.0.1:8081");
    ck_assert_str_eq(string_of(object, "node_id"), "node1");
    ck_assert_str_eq(string_of(object, "state_hash"), "ab000000000000000000000000000000");
    cJSON_Delete(object);
    char *text = pages_render_status(&findings, &config);
    ck_assert_ptr_nonnull(strstr(text, "\"commit_index\":18446744073709551615")); /* no rounding */
    free(text);
}
END_TEST

START_TEST(test_pages_status_without_daemons_names_no_leader)
{
    findings_fill(); /* what an earlier survey found must not show */
    findings.raftd_up = findings.storaged_up = false;
    cJSON *object = parse(pages_render_status(&findings, &config));
    ck_assert(cJSON_IsFalse(cJSON_GetObjectItem(object, "is_leader")));
    ck_assert_str_eq(string_of(object, "leader"), "");
    ck_assert(cJSON_IsFalse(cJSON_GetObjectItem(object, "raftd_up")));
    ck_assert_ptr_null(cJSON_GetObjectItem(object, "keys"));
    cJSON_Delete(object);
}
END_TEST

START_TEST(test_pages_raft_config_lists_servers)
{
    findings_fill();
    cJSON *object = parse(pages_render_raft_config(&findings.raft));
    cJSON *servers = cJSON_GetObjectItem(object, "servers");
    ck_assert_str_eq(string_of(object, "leader"), "127.0.0.1:7001");
    ck_assert_int_eq(cJSON_GetArraySize(servers), 3);
    ck_assert_str_eq(string_of(cJSON_GetArrayItem(servers, 1), "id"), "node2");
    ck_assert_str_eq(string_of(cJSON_GetArrayItem(servers, 1), "address"), "h:7002");
    ck_assert_str_eq(string_of(cJSON_GetArrayItem(servers, 1), "suffrage"), "voter");
    ck_assert_str_eq(string_of(cJSON_GetArrayItem(servers, 2), "suffrage"), "staging");
    cJSON_Delete(object);
}
END_TEST

static bool has(const cJSON *servers, int place, const char *name)
{
    return cJSON_GetObjectItemCaseSensitive(cJSON_GetArrayItem(servers, place), name) != NULL;
}

START_TEST(test_pages_raft_config_shows_peers)
{
    findings_fill();
    cJSON *object = parse(pages_render_raft_config(&findings.raft));
    const cJSON *servers = cJSON_GetObjectItem(object, "servers");
    ck_assert(!has(servers, 0, "connected")); /* itself */
    ck_assert(cJSON_IsTrue(cJSON_GetObjectItem(cJSON_GetArrayItem(servers, 1), "connected")));
    ck_assert(cJSON_IsFalse(cJSON_GetObjectItem(cJSON_GetArrayItem(servers, 2), "connected")));
    ck_assert(has(servers, 1, "match_index") && has(servers, 1, "last_contact_ms"));
    cJSON_Delete(object);
    findings.raft.state = RAFT_STATE_FOLLOWER;
    object = parse(pages_render_raft_config(&findings.raft));
    servers = cJSON_GetObjectItem(object, "servers");
    ck_assert(has(servers, 1, "connected") && !has(servers, 1, "match_index"));
    cJSON_Delete(object);
}
END_TEST

START_TEST(test_pages_raft_stats_nothing_is_pending_below_zero)
{
    findings_fill();
    findings.raft.commit_index = 5;
    findings.raft.applied_index = 9;
    cJSON *object = parse(pages_render_raft_stats(&findings.raft));
    ck_assert_str_eq(string_of(object, "fsm_pending"), "0");
    cJSON_Delete(object);
}
END_TEST

START_TEST(test_pages_raft_stats_are_strings)
{
    static const char *const names[] = {
        "state",        "term",          "last_log_index", "last_log_term",
        "commit_index", "applied_index", "fsm_pending",    "last_snapshot_index",
        "last_contact", "num_peers",     "first_log_index"};
    findings_fill();
    cJSON *object = parse(pages_render_raft_stats(&findings.raft));
    for (unsigned i = 0; i < sizeof(names) / sizeof(*names); i++)
        ck_assert_msg(cJSON_IsString(cJSON_GetObjectItem(object, names[i])), "%s", names[i]);
    ck_assert_str_eq(string_of(object, "state"), "Leader");
    ck_assert_str_eq(string_of(object, "commit_index"), "18446744073709551615");
    ck_assert_str_eq(string_of(object, "fsm_pending"), "2");
    ck_assert_str_eq(string_of(object, "num_peers"), "1"); /* other voters */
    ck_assert_str_eq(string_of(object, "last_contact"), "0");
    cJSON_Delete(object);
    findings.raft.state = RAFT_STATE_FOLLOWER;
    object = parse(pages_render_raft_stats(&findings.raft));
    ck_assert_str_eq(string_of(object, "state"), "Follower");
    ck_assert_str_eq(string_of(object, "last_contact"), "12ms");
    cJSON_Delete(object);
}
END_TEST

/* A state that no build of today knows is shown, not stumbled over. */
START_TEST(test_pages_unknown_state_has_a_name)
{
    findings_fill();
    findings.raft.state = 200;
    cJSON *object = parse(pages_render_status(&findings, &config));
    ck_assert_str_eq(string_of(object, "state"), "unknown");
    cJSON_Delete(object);
}
END_TEST

UNIT_MAIN("pages", test_pages_status_of_a_leader, test_pages_status_without_daemons_names_no_leader,
          test_pages_raft_config_lists_servers, test_pages_raft_config_shows_peers,
          test_pages_raft_stats_nothing_is_pending_below_zero, test_pages_raft_stats_are_strings,
          test_pages_unknown_state_has_a_name)
