/* Linearizable reads: thesis 6.4, without leases. */
#include "raft_private.h"

static bool answered_round(const struct raft *raft, uint32_t place)
{
    return raft->progress[place].round >= raft->round;
}

static void reads_release(struct raft *raft, uint32_t count, struct raft_update *update)
{
    for (uint32_t i = 0; i < count; i++)
        update->reads[update->reads_count++] = raft->reads[i];
    update->read_index = raft->round_index;
    for (uint32_t i = count; i < raft->reads_count; i++)
        raft->reads[i - count] = raft->reads[i];
    raft->reads_count -= count;
}

/* A quorum that answers a round begun after the reads came proves that nobody led then in a newer
 * term: the commit index of that time covers all that was acknowledged before. */
void round_close(struct raft *raft, struct raft_update *update)
{
    if (!raft->round_is_open || !members_have_quorum(raft, answered_round))
        return;
    raft->round_is_open = false;
    reads_release(raft, raft->round_reads, update);
}

/* One round at a time; the reads that come meanwhile share the next. */
void round_open(struct raft *raft, struct raft_update *update)
{
    if (raft->round_is_open || !raft->reads_count || !raft_has_committed_own_term(raft))
        return;
    raft->round++;
    raft->round_is_open = true;
    raft->round_index = raft->commit_index;
    raft->round_reads = raft->reads_count;
    if (members_have_quorum(raft, answered_round)) /* alone */
        round_close(raft, update);
    else
        heartbeats_send(raft, update);
}

void raft_on_read(struct raft *raft, const struct raft_event *event, struct raft_update *update)
{
    if (raft->role != RAFT_LEADER) {
        update->outcome = RAFT_NOT_LEADER;
    } else if (raft->reads_count == RAFT_READS_MAX) {
        update->outcome = RAFT_BUSY;
    } else {
        raft->reads[raft->reads_count++] = event->read;
        round_open(raft, update);
    }
}
