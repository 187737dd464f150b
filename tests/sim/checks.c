/* What must hold after every step. */
#include "cluster_private.h"

#include "quorum.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

void check_leader(struct cluster *cluster, struct node *node)
{
    uint64_t term = node->raft.hard_state.term;
    for (uint32_t i = 0; i < cluster->leaders_count; i++)
        if (cluster->leaders[i].term == term) {
            if (cluster->leaders[i].leader != node->number)
                cluster_violate(cluster, "two leaders in term %llu: %llu and %llu",
                                (unsigned long long)term,
                                (unsigned long long)cluster->leaders[i].leader,
                                (unsigned long long)node->number);
            return;
        }
    if (!raft_is_voter(&node->raft.configuration, node->number) &&
        node->raft.configuration.index <= node->raft.commit_index)
        cluster_violate(cluster, "node %llu leads term %llu and is no voter",
                        (unsigned long long)node->number, (unsigned long long)term);
    if (cluster->leaders_count == cluster->leaders_capacity) {
        cluster->leaders_capacity = cluster->leaders_capacity ? cluster->leaders_capacity * 2 : 64;
        cluster->leaders =
            realloc(cluster->leaders, cluster->leaders_capacity * sizeof(*cluster->leaders));
        assert(cluster->leaders);
    }
    cluster->leaders[cluster->leaders_count].term = term;
    cluster->leaders[cluster->leaders_count++].leader = node->number;
    cluster->result->elections++;
    /* leader completeness (paper 5.4.3) */
    for (uint64_t index = cluster->committed.base_index + 1;
         index <= model_log_last(&cluster->committed); index++)
        if (index > node->raft.terms.base_index &&
            terms_at(&node->raft.terms, index) != model_log_at(&cluster->committed, index)->term &&
            model_log_at(&cluster->committed, index)->committed_in < term)
            cluster_violate(cluster, "leader %llu of term %llu lacks committed entry %llu",
                            (unsigned long long)node->number, (unsigned long long)term,
                            (unsigned long long)index);
}

/* A majority of the leader's voters has it on disk (invariants 1 and 2). */
static void check_majority(struct cluster *cluster, const struct node *leader, uint64_t index)
{
    const struct raft_configuration *configuration = &leader->raft.configuration;
    uint64_t term = model_log_at(&leader->log, index)->term;
    uint32_t voters = 0, have = 0;
    for (uint32_t i = 0; i < configuration->members_count; i++) {
        if (!configuration->members[i].voter)
            continue;
        const struct node *node = cluster_node(cluster, configuration->members[i].number);
        const struct model_log *disk = &node->disk;
        voters++;
        have += index <= disk->base_index ||
                (index <= model_log_last(disk) && model_log_at(disk, index)->term == term);
    }
    if (have < quorum_of(voters))
        cluster_violate(cluster, "entry %llu of term %llu committed with %u of %u on disk",
                        (unsigned long long)index, (unsigned long long)term, have, voters);
}

void check_commit(struct cluster *cluster, struct node *node, uint64_t before)
{
    for (uint64_t index = before + 1; index <= node->raft.commit_index; index++) {
        uint64_t known = model_log_last(&cluster->committed);
        if (index > known + 1 || index <= node->log.base_index)
            continue; /* by a snapshot: the store's hash is checked */
        const struct model_entry *entry = model_log_at(&node->log, index);
        if (index <= known) {
            const struct model_entry *committed = model_log_at(&cluster->committed, index);
            if (committed->term != entry->term || committed->value != entry->value)
                cluster_violate(
                    cluster, "node %llu commits another entry %llu: term %llu, not %llu",
                    (unsigned long long)node->number, (unsigned long long)index,
                    (unsigned long long)entry->term, (unsigned long long)committed->term);
            continue;
        }
        if (node->raft.role == RAFT_LEADER)
            check_majority(cluster, node, index);
        struct model_entry committed = *entry;
        committed.committed_in = node->raft.hard_state.term;
        model_log_append(&cluster->committed, &committed);
        cluster->result->commits++;
    }
}

void check_applied(struct cluster *cluster, const struct node *node)
{
    uint64_t index = node->store.applied_index;
    if (index >= cluster->hashes_capacity) {
        uint64_t capacity = index * 2 + 1024;
        cluster->committed_hashes =
            realloc(cluster->committed_hashes, capacity * sizeof(*cluster->committed_hashes));
        assert(cluster->committed_hashes);
        memset(cluster->committed_hashes + cluster->hashes_capacity, 0,
               (capacity - cluster->hashes_capacity) * sizeof(*cluster->committed_hashes));
        cluster->hashes_capacity = capacity;
    }
    if (!cluster->committed_hashes[index])
        cluster->committed_hashes[index] = node->store.hash;
    else if (cluster->committed_hashes[index] != node->store.hash)
        cluster_violate(cluster, "node %llu has another state at index %llu",
                        (unsigned long long)node->number, (unsigned long long)index);
}

/* The heartbeats of a leader whose disk hangs would keep the others quiet for ever. */
void check_disk(struct cluster *cluster, struct node *node)
{
    bool hangs = node->raft.role == RAFT_LEADER && node->is_disk_stalled && !node->disk_is_busy &&
                 node->jobs_count;
    node->hanging_ms = hangs ? node->hanging_ms + TICK_MS : 0;
    if (node->hanging_ms > DISK_MS + 2 * TICK_MS)
        cluster_violate(cluster, "node %llu leads on, and its disk hangs",
                        (unsigned long long)node->number);
}

/* What a message promises is on the sender's disk. */
void check_message(struct cluster *cluster, struct node *node, const struct raft_message *message)
{
    if (message->term > node->hard_state.term && message->type != RAFT_PREVOTE &&
        message->type != RAFT_PREVOTE_REPLY)
        cluster_violate(cluster, "node %llu sends term %llu before it is durable",
                        (unsigned long long)node->number, (unsigned long long)message->term);
    bool gives_vote = message->type == RAFT_VOTE_REPLY && message->ok;
    if (gives_vote || message->type == RAFT_VOTE) {
        uint64_t vote = gives_vote ? message->to : node->number;
        if (node->hard_state.term != message->term || node->hard_state.vote != vote)
            cluster_violate(cluster, "node %llu gives a vote in term %llu that is not durable",
                            (unsigned long long)node->number, (unsigned long long)message->term);
        if (node->voted_term == message->term && node->voted_for != vote)
            cluster_violate(cluster, "node %llu votes twice in term %llu",
                            (unsigned long long)node->number, (unsigned long long)message->term);
        node->voted_term = message->term;
        node->voted_for = vote;
    }
    if (message->type == RAFT_APPEND_REPLY && message->ok &&
        message->index > model_log_last(&node->disk))
        cluster_violate(cluster, "node %llu acknowledges %llu, its disk ends at %llu",
                        (unsigned long long)node->number, (unsigned long long)message->index,
                        (unsigned long long)model_log_last(&node->disk));
}
