/* A cluster of real cores held in the hand: nothing happens unless a scenario says so. Messages lie
 * where they were sent until they are delivered or dropped, time passes when it is told to, and a
 * disk that is slow writes when it is asked. What each step did is written down (script.h). */
#pragma once

#include "model.h"

#include <stdio.h>

#define STAGE_NODES_MAX 9u /* and their numbers: 1 to 9 */
#define STAGE_FLIGHTS_MAX 512u
#define STAGE_LABELS_MAX 256u
#define STAGE_LABEL_BYTES 16u
#define STAGE_ENTRIES_MAX 16u /* of an APPEND */

struct flight {
    struct raft_message message;
    struct model_entry entries[STAGE_ENTRIES_MAX];
    struct model_store store; /* of a SNAPSHOT */
};

struct actor {
    uint64_t number;
    bool is_running;
    bool disk_is_slow; /* else what is appended is durable in the same breath */
    uint64_t chance;   /* the random number of each of its events */

    /* on disk */
    struct raft_hard_state hard_state;
    struct model_log disk;
    struct model_store checkpoint;

    /* in memory */
    struct raft raft;
    struct model_log log;
    struct model_store store;
    bool stream_is_open[STAGE_NODES_MAX + 1]; /* of a snapshot, to this member */
    uint64_t stream_index[STAGE_NODES_MAX + 1];
};

struct stage {
    struct actor actors[STAGE_NODES_MAX + 1];  /* by number; 0 is nobody */
    struct flight *flights[STAGE_FLIGHTS_MAX]; /* in the order of sending; owned */
    uint32_t flights_count;
    bool is_apart[STAGE_NODES_MAX + 1][STAGE_NODES_MAX + 1]; /* what is sent is lost */
    uint32_t entries_max;                                    /* of an APPEND */
    char labels[STAGE_LABELS_MAX][STAGE_LABEL_BYTES];        /* of commands and reads, by value */
    uint32_t labels_count;
    struct raft_configuration *configurations[STAGE_LABELS_MAX]; /* of entries; owned */
    uint32_t configurations_count;
    struct raft_update update; /* of the last step */
    FILE *out;                 /* NULL: quiet */
};

void stage_init(struct stage *stage);
void stage_free(struct stage *stage);

/* The number of a label; a new one is added. 0: there are too many. */
uint64_t stage_label(struct stage *stage, const char *text);
const struct raft_configuration *stage_keep(struct stage *stage,
                                            const struct raft_configuration *one);

/* A node comes up with what is on its disk; it must not be running. */
void stage_start(struct stage *stage, struct actor *actor);
/* What is not on disk is gone. */
void stage_crash(struct stage *stage, struct actor *actor);

/* One event; `flight`: whose message it is (or NULL), `label`: of a command or a read. Then, for a
 * leader, what it has for its members is sent. */
void stage_step(struct stage *stage, struct actor *actor, struct raft_event event,
                const struct flight *flight, uint64_t label);
/* Everything appended up to `index` reaches the disk. */
void stage_persist(struct stage *stage, struct actor *actor, uint64_t index);
/* The place in `flights`; the message is delivered (to a node that runs), and gone unless `keep`.
 */
void stage_deliver(struct stage *stage, uint32_t place, bool keep);
void stage_drop(struct stage *stage, uint32_t place);
/* The log below `index` is cut, the store durable there. */
void stage_cut(struct stage *stage, struct actor *actor, uint64_t index);
/* The snapshot stream to `member` has ended. */
void stage_end_stream(struct stage *stage, struct actor *actor, uint64_t member, bool ok);
