/* What goes wrong. */
#include "cluster_private.h"

#include <string.h>

static struct node *any_running(struct cluster *cluster)
{
    uint32_t begin = (uint32_t)chance_below(&cluster->chance, NODES);
    for (uint32_t i = 0; i < NODES; i++)
        if (cluster->nodes[(begin + i) % NODES].is_running)
            return &cluster->nodes[(begin + i) % NODES];
    return NULL;
}

static void fault_restart(struct cluster *cluster)
{
    uint32_t begin = (uint32_t)chance_below(&cluster->chance, NODES);
    for (uint32_t i = 0; i < NODES; i++) {
        struct node *node = &cluster->nodes[(begin + i) % NODES];
        if (!node->is_running) {
            node_restart(cluster, node);
            return;
        }
    }
}

static void fault_crash(struct cluster *cluster)
{
    struct node *node =
        chance_is(&cluster->chance, 400) ? cluster_leader(cluster) : any_running(cluster);
    if (node)
        node->crash_in = chance_between(&cluster->chance, 1, 30);
}

/* Halves, one node alone, one way only, or a ring where each hears its neighbours. */
static void fault_partition(struct cluster *cluster)
{
    uint64_t shape = chance_below(&cluster->chance, 4);
    uint64_t side = chance_next(&cluster->chance);
    uint32_t alone = (uint32_t)chance_below(&cluster->chance, NODES);
    for (uint32_t i = 0; i < NODES; i++)
        for (uint32_t j = 0; j < NODES; j++) {
            bool is_cut = false;
            if (shape == 0)
                is_cut = (side >> i & 1) != (side >> j & 1);
            else if (shape == 1)
                is_cut = (i == alone) != (j == alone);
            else if (shape == 2)
                is_cut = i == alone && j != alone;
            else
                is_cut = i != j && (i + 1) % NODES != j && (j + 1) % NODES != i;
            cluster->is_cut[i][j] = is_cut;
        }
}

void fault_heal(struct cluster *cluster)
{
    memset(cluster->is_cut, 0, sizeof(cluster->is_cut));
    cluster->loss = (unsigned)chance_below(&cluster->chance, 80);
    cluster->duplication = (unsigned)chance_below(&cluster->chance, 80);
    cluster->delay_ms_max = chance_between(&cluster->chance, 2, 40);
}

static void fault_pause(struct cluster *cluster)
{
    struct node *node = any_running(cluster);
    if (node)
        node->is_paused = !node->is_paused;
}

static void fault_stall_disk(struct cluster *cluster)
{
    struct node *node = any_running(cluster);
    if (!node)
        return;
    node->is_disk_stalled = !node->is_disk_stalled;
    disk_start(cluster, node);
}

static void fault_checkpoint(struct cluster *cluster)
{
    struct node *node = any_running(cluster);
    if (node)
        node->checkpoint = node->store;
}

/* Below the store's durable index (invariant 6). */
static void fault_cut(struct cluster *cluster)
{
    struct node *node = any_running(cluster);
    if (!node || node->checkpoint.applied_index <= node->log.base_index)
        return;
    uint64_t index =
        chance_between(&cluster->chance, node->log.base_index + 1, node->checkpoint.applied_index);
    if (model_log_last(&node->disk) < index)
        return;
    struct raft_configuration base = *model_log_configuration(&node->log, index);
    model_log_cut(&node->log, index, &base);
    model_log_cut(&node->disk, index, &base);
    node_step(cluster, node, (struct raft_event){.type = RAFT_ON_CUT, .index = index}, NULL);
}

/* Adds a member, changes a vote, or removes one. */
static void change_member(struct cluster *cluster, struct raft_configuration *wanted)
{
    uint64_t number = 1 + chance_below(&cluster->chance, NODES);
    uint32_t at = 0;
    while (at < wanted->members_count && wanted->members[at].number != number)
        at++;
    if (at == wanted->members_count)
        wanted->members[wanted->members_count++] =
            (struct raft_member){number, chance_is(&cluster->chance, 300)};
    else if (chance_is(&cluster->chance, 600))
        wanted->members[at].voter = !wanted->members[at].voter;
    else
        wanted->members[at] = wanted->members[--wanted->members_count];
}

/* Any leader may be asked, also one that was deposed and does not know; changes of several voters
 * at once must be refused. */
static void fault_members(struct cluster *cluster)
{
    struct node *leader =
        chance_is(&cluster->chance, 500) ? cluster_leader(cluster) : any_running(cluster);
    if (!leader)
        return;
    struct raft_configuration wanted = leader->raft.configuration;
    do
        change_member(cluster, &wanted);
    while (chance_is(&cluster->chance, 200));
    node_step(cluster, leader,
              (struct raft_event){.type = RAFT_ON_PROPOSE_MEMBERS, .configuration = &wanted}, NULL);
    cluster->result->changes += cluster->update.outcome == RAFT_DONE;
}

static void fault_transfer(struct cluster *cluster)
{
    struct node *leader = cluster_leader(cluster);
    if (!leader)
        return;
    node_step(cluster, leader,
              (struct raft_event){.type = RAFT_ON_TRANSFER,
                                  .member = 1 + chance_below(&cluster->chance, NODES)},
              NULL);
    cluster->result->transfers += cluster->update.outcome == RAFT_DONE;
}

static void fault_unreachable(struct cluster *cluster)
{
    struct node *leader = cluster_leader(cluster);
    if (leader)
        node_step(cluster, leader,
                  (struct raft_event){.type = RAFT_ON_UNREACHABLE,
                                      .member = 1 + chance_below(&cluster->chance, NODES)},
                  NULL);
}

static void fault_restart_all(struct cluster *cluster)
{
    for (uint32_t i = 0; i < NODES; i++)
        if (!cluster->nodes[i].is_running)
            node_restart(cluster, &cluster->nodes[i]);
}

static void (*const faults[])(struct cluster *) = {
    fault_restart,   fault_restart_all, fault_crash,      fault_heal,
    fault_partition, fault_pause,       fault_stall_disk, fault_checkpoint,
    fault_cut,       fault_members,     fault_transfer,   fault_unreachable,
};
#define FAULTS_COUNT (sizeof(faults) / sizeof(*faults))
_Static_assert(FAULTS_COUNT <= FAULTS_MAX, "every fault has a weight");

/* Each seed has its own mix of troubles. */
void faults_choose_temper(struct cluster *cluster)
{
    static const uint64_t pauses_ms[] = {15, 50, 150, 500};
    cluster->fault_pause_ms_max = pauses_ms[chance_below(&cluster->chance, 4)];
    cluster->entries_of_a_message_max =
        chance_is(&cluster->chance, 500) ? ENTRIES_OF_A_MESSAGE_MAX : 1;
    for (unsigned i = 0; i < FAULTS_COUNT; i++)
        cluster->weights[i] = (unsigned)chance_below(&cluster->chance, 8);
    for (unsigned i = 0; i < 4; i++)
        cluster->weights[i] += 2; /* restarts, crashes and healing always come */
}

static void fault(struct cluster *cluster)
{
    unsigned sum = 0, which = 0;
    for (unsigned i = 0; i < FAULTS_COUNT; i++)
        sum += cluster->weights[i];
    uint64_t at = chance_below(&cluster->chance, sum);
    while (at >= cluster->weights[which])
        at -= cluster->weights[which++];
    faults[which](cluster);
}

void fault_one(struct cluster *cluster)
{
    if (setjmp(cluster->crash) == 0)
        fault(cluster);
    else
        node_crash(cluster, cluster->crashing);
}
