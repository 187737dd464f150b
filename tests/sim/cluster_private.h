/* What the simulator's files share, one file for each noun: the whole state of a run. Private to
 * them.
 *
 * A violation longjmps out of the run (cluster_violate does not return), a crash out of the node's
 * step: so nothing on the way may own memory. */
#pragma once

#include "cluster.h"

#include "chance.h"
#include "history.h"
#include "model.h"

#include <setjmp.h>

#define NODES 7u
#define CLIENTS 8u
#define TICK_MS 20u
#define DISK_MS 600u /* a leader that waits longer for its disk steps down */
#define ENTRIES_OF_A_MESSAGE_MAX 8u
#define WAITING_MAX 64u
#define FAULTS_MAX 16u
#define REST_MS_MAX 60000u  /* virtual time to come to rest in, after everything healed */
#define CALM_AFTER_MS 1000u /* of rest: what was under way has come to its end */
#define CALM_MS 2000u       /* and then nobody stands for election */

enum happening_kind {
    TICK,
    DELIVERY,
    DISK_DONE,
    CLIENT_TURN,
    CLIENT_REQUEST,
    CLIENT_ANSWER,
    STREAM_END,
    FAULT,
};

struct packet {
    struct raft_message message;
    struct model_entry entries[ENTRIES_OF_A_MESSAGE_MAX];
    struct model_store store; /* of a SNAPSHOT */
};

struct happening {
    uint64_t at_ms, order;
    enum happening_kind kind;
    uint32_t node;        /* its place */
    uint64_t incarnation; /* 0: any */
    uint32_t client, operation;
    uint64_t value, index;
    uint32_t outcome;
    uint32_t peer;
    struct packet *packet;
};

struct disk_job {
    uint64_t truncate_from; /* 0: none */
    uint64_t first_index;
    uint32_t count;
    struct model_entry *entries;
};

struct waiting {
    uint32_t client, operation;
    uint64_t id; /* a put's index, a read's name */
    uint64_t term;
    uint64_t index; /* of a read, 0: not known yet */
    bool used;
};

struct node {
    uint64_t number;
    bool is_running, is_paused, is_disk_stalled;
    uint64_t incarnation;
    uint64_t crash_in; /* steps until it crashes in the middle of something; 0: never */

    /* on disk */
    struct raft_hard_state hard_state;
    struct model_log disk;
    struct model_store checkpoint;
    uint64_t voted_term, voted_for; /* what it ever told others, for the checks */

    /* in memory */
    struct raft raft;
    struct model_log log;
    struct model_store store;
    struct disk_job jobs[512];
    uint32_t jobs_first, jobs_count;
    bool disk_is_busy;
    uint64_t hanging_ms; /* it leads, and its disk does nothing */
    struct waiting puts[WAITING_MAX], reads[WAITING_MAX];
    bool stream_is_open[NODES];
};

struct client {
    bool is_busy;
    uint32_t operation;
    uint32_t favourite;
    uint64_t turn; /* requests are numbered: a late answer is not for the next */
};

struct cluster {
    struct chance chance;
    uint64_t now_ms, order;
    struct happening *heap;
    uint32_t heap_count, heap_capacity;
    struct node nodes[NODES];
    uint64_t names;
    bool is_cut[NODES][NODES];
    unsigned loss, duplication; /* per mille */
    uint64_t fault_pause_ms_max;
    uint32_t entries_of_a_message_max;
    unsigned weights[FAULTS_MAX];
    uint64_t delay_ms_max;
    bool is_resting;
    struct client clients[CLIENTS];
    struct history history;
    uint64_t values;
    struct raft_update update;

    /* what is known to be committed, for the checks */
    struct model_log committed;
    uint64_t *committed_hashes;
    uint64_t hashes_capacity;
    struct {
        uint64_t term, leader;
    } * leaders;
    uint32_t leaders_count, leaders_capacity;
    struct raft_configuration **configurations; /* owned */
    uint32_t configurations_count;

    struct cluster_result *result;
    int is_verbose;
    jmp_buf escape; /* a violation ends the run; a crash ends the node's step */
    jmp_buf crash;
    struct node *crashing;
};

/* cluster.c */
void cluster_violate(struct cluster *cluster, const char *format, ...)
    __attribute__((noreturn, format(printf, 2, 3)));
/* Into the hash of everything that happened. */
void cluster_trace(struct cluster *cluster, uint64_t word);
struct node *cluster_node(struct cluster *cluster, uint64_t number);
/* The one of the newest term; NULL if there is none. */
struct node *cluster_leader(struct cluster *cluster);

/* timeline.c */
void timeline_add(struct cluster *cluster, uint64_t in_ms, struct happening happening);
struct happening timeline_next(struct cluster *cluster);

/* network.c */
struct packet *packet_new(const struct raft_message *message);
/* Takes the packet. */
void network_send(struct cluster *cluster, const struct node *from, struct packet *packet);

/* disk.c */
void disk_start(struct cluster *cluster, struct node *node);
void disk_write(struct cluster *cluster, struct node *node, uint64_t truncate_from,
                uint64_t first_index, const struct model_entry *entries, uint32_t count);
/* The first `count` entries of the job reach the disk. */
void disk_job_carry_out(struct node *node, const struct disk_job *job, uint32_t count);
void disk_pop(struct node *node);

/* node.c */
typedef void node_fn(struct cluster *cluster, struct node *node, const struct happening *happening);
/* Runs `fn` on a node that may crash in the middle of it. */
void node_run(struct cluster *cluster, struct node *node, node_fn *fn,
              const struct happening *happening);
void node_restart(struct cluster *cluster, struct node *node);
void node_crash(struct cluster *cluster, struct node *node);
void node_forget_memory(struct node *node);
/* Before each thing a node does, it may crash instead. */
void node_crash_point(struct cluster *cluster, struct node *node);
/* A line for people. */
void node_tell(const struct cluster *cluster, const struct node *node, const char *what);
node_fn node_on_tick, node_on_disk_done, node_on_delivery, node_on_stream_end, node_on_request;

/* update.c; `packet`: whose message it is; `command`: what is proposed */
void node_step(struct cluster *cluster, struct node *node, struct raft_event event,
               const struct packet *packet);
void node_step_with(struct cluster *cluster, struct node *node, struct raft_event event,
                    const struct packet *packet, const struct model_entry *command);
void node_answer_reads(struct cluster *cluster, struct node *node);

/* replication.c */
void node_replicate(struct cluster *cluster, struct node *node);

/* clients.c */
void client_turn(struct cluster *cluster, const struct happening *happening);
void client_set_turn(struct cluster *cluster, uint32_t number, uint64_t in_ms);
void client_send_answer(struct cluster *cluster, uint32_t client, uint32_t operation,
                        enum operation_outcome outcome, uint64_t value);
void client_answer(struct cluster *cluster, const struct happening *happening);

/* faults.c */
void fault_one(struct cluster *cluster);
void fault_heal(struct cluster *cluster);
void faults_choose_temper(struct cluster *cluster);

/* checks.c */
void check_leader(struct cluster *cluster, struct node *node);
void check_commit(struct cluster *cluster, struct node *node, uint64_t before);
/* At each tick. */
void check_disk(struct cluster *cluster, struct node *node);
void check_applied(struct cluster *cluster, const struct node *node);
void check_message(struct cluster *cluster, struct node *node, const struct raft_message *message);
