/* What a node says of itself on /status and /raft/config. */
#pragma once

#include "session.h"

#include <stdbool.h>
#include <stdint.h>

struct node_status {
    bool answered;
    bool is_leader, raftd_up, storaged_up;
    char node_id[32], leader_id[32], leader[64], leader_url[64], state[16];
    char cluster_id[40], state_hash[40];
    uint64_t term, commit_index, applied_index, last_log_index, keys;
};

struct node_members {
    bool answered;
    char leader[64];
    unsigned voters, staging;
    struct {
        char id[32], address[64], suffrage[16];
    } servers[16];
};

struct node_status status_of(struct session *session, unsigned node);
struct node_members members_of(struct session *session, unsigned node);
/* A figure of /raft/stats, which are strings; 0 without an answer. */
uint64_t stats_figure(struct session *session, unsigned node, const char *name);
