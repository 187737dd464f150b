/* A cluster of real nodes: node 1 founds it, the others start as nodes of their own and are joined
 * through POST /join, as the API's walk-through has it. Nodes are counted from 0 here; node 0 is
 * "node1".
 *
 * On loopback, or each in a network namespace of its own (network.h), where partitions can be made.
 * A failure prints what each node says of itself and its log's last lines. */
#pragma once

#include "network.h"
#include "node.h"
#include "session.h"
#include "status.h"

#include <stdbool.h>

#define CLUSTER_NODES_MAX 7u
#define CLUSTER_NONE (-1)

#define CLUSTER_ELECTION_MS 1000u /* the default of election_timeout */
/* A node that starts, or a change of members: much more than it takes on a busy machine. */
#define CLUSTER_SETTLE_MS 30000u

struct cluster {
    struct node nodes[CLUSTER_NODES_MAX];
    bool is_cut_off[CLUSTER_NODES_MAX]; /* by cluster_cut_off or cluster_unplug */
    unsigned count;
    bool has_network, has_usual_ports;
    struct session session; /* the test's own; not for other threads */
    struct session pages;   /* the same for /status and its like, with less patience */
};

struct cluster_options {
    unsigned count;
    bool has_network;     /* namespaces if they can be had: look at cluster->has_network then */
    bool has_usual_ports; /* 127.0.0.1:7001 and :8081, and so on, if a network can be had */
    const char *more;     /* lines of every node.yaml */
};

#define CLUSTER_WAIT(cluster, condition, wait_ms)                                                  \
    do {                                                                                           \
        uint64_t until_ms_ = now_ms() + (wait_ms);                                                 \
        bool holds_ = condition;                                                                   \
        for (; !holds_ && now_ms() < until_ms_; holds_ = condition)                                \
            node_pause();                                                                          \
        if (!holds_)                                                                               \
            cluster_fail(cluster, __FILE__, __LINE__, "waited " #wait_ms " ms for " #condition);   \
    } while (0)

#define CLUSTER_CHECK(cluster, condition)                                                          \
    do {                                                                                           \
        if (!(condition))                                                                          \
            cluster_fail(cluster, __FILE__, __LINE__, #condition);                                 \
    } while (0)

void cluster_fail(const struct cluster *cluster, const char *file, int line, const char *what)
    __attribute__((noreturn));

/* Makes folders and configurations; starts nothing. */
void cluster_new(struct cluster *cluster, const struct cluster_options *options);
/* One node more, made but not started; returns its index. `more` as in node_options. */
unsigned cluster_add(struct cluster *cluster, const char *more);
/* Starts all, each for itself, and waits until they are ready. */
void cluster_launch(struct cluster *cluster);
/* The same; joins all, and waits until all are voters that know their leader. */
void cluster_start(struct cluster *cluster);
/* Joins a node that runs, through the leader; waits until it is a voter. */
void cluster_join(struct cluster *cluster, unsigned node);
/* cluster_new and cluster_start. */
void cluster_make(struct cluster *cluster, const struct cluster_options *options);
void cluster_free(struct cluster *cluster);

/* POST /join, /remove or /transfer at node `via`, redirects followed. */
struct answer cluster_post_join(struct cluster *cluster, unsigned via, const char *id,
                                const char *raft_address);
struct answer cluster_post_id(struct cluster *cluster, unsigned via, const char *target,
                              const char *id);

/* PUT /kv/KEY and GET /kv/KEY through node `via`, redirects followed. */
struct answer cluster_put(struct cluster *cluster, unsigned via, const char *key,
                          const char *value);
struct answer cluster_get(struct cluster *cluster, unsigned via, const char *key);

/* The node that leads: it says so, and none that says so has a higher term. CLUSTER_NONE: no node
 * that can be reached does. */
int cluster_leader(struct cluster *cluster);
/* Waits for one, but for node `other_than` (CLUSTER_NONE: whichever). */
unsigned cluster_wait_leader(struct cluster *cluster, int other_than, unsigned wait_ms);
/* Any node that runs and is not the leader. */
unsigned cluster_follower(struct cluster *cluster);
/* A node runs, and can be reached: not frozen, not cut off. */
bool cluster_is_up(const struct cluster *cluster, unsigned node);
/* Every node that is up is ready and says that the members are `voters` voters and nobody else. */
bool cluster_has_voters(struct cluster *cluster, unsigned voters);
/* Every node that is up is ready and follows one leader, or leads. */
bool cluster_is_led(struct cluster *cluster);
/* Every node that is up has applied the same index; then their state hashes must be equal, or the
 * test fails. */
bool cluster_is_same(struct cluster *cluster);
/* Waits for it. */
void cluster_wait_same(struct cluster *cluster, unsigned wait_ms);
/* A PUT through this node is acknowledged. */
bool cluster_takes_a_write(struct cluster *cluster, unsigned via);

/* No daemon ended by itself, and none reported an error: only what the test did has happened. */
void cluster_check_logs(const struct cluster *cluster);

/* kill -9 of one daemon; the launcher starts it again. */
void cluster_kill_daemon(struct cluster *cluster, unsigned node, const char *daemon);

/* With has_network: the node and the other nodes hear nothing of each other; clients still reach
 * it. */
void cluster_cut_off(struct cluster *cluster, unsigned node);
/* The node still hears the others, they do not hear it; or the other way round. */
void cluster_mute(struct cluster *cluster, unsigned node);
void cluster_deafen(struct cluster *cluster, unsigned node);
/* Nobody reaches it, clients neither. */
void cluster_unplug(struct cluster *cluster, unsigned node);
/* Everything reaches everything. */
void cluster_heal(struct cluster *cluster);
