/* Writes of the log, one after the other, each durable some time later. */
#include "cluster_private.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

void disk_start(struct cluster *cluster, struct node *node)
{
    if (node->disk_is_busy || !node->jobs_count || node->is_disk_stalled)
        return;
    node->disk_is_busy = true;
    timeline_add(cluster,
                 chance_between(&cluster->chance, 1, chance_is(&cluster->chance, 30) ? 200 : 12),
                 (struct happening){.kind = DISK_DONE,
                                    .node = (uint32_t)(node - cluster->nodes),
                                    .incarnation = node->incarnation});
}

void disk_write(struct cluster *cluster, struct node *node, uint64_t truncate_from,
                uint64_t first_index, const struct model_entry *entries, uint32_t count)
{
    assert(node->jobs_count < 512);
    struct disk_job *job = &node->jobs[(node->jobs_first + node->jobs_count++) % 512];
    *job = (struct disk_job){.truncate_from = truncate_from, .first_index = first_index};
    job->count = count;
    job->entries = calloc(count ? count : 1, sizeof(*entries));
    assert(job->entries);
    memcpy(job->entries, entries, count * sizeof(*entries));
    disk_start(cluster, node);
}

void disk_job_carry_out(struct node *node, const struct disk_job *job, uint32_t count)
{
    if (job->truncate_from)
        model_log_truncate(&node->disk, job->truncate_from);
    for (uint32_t i = 0; i < count; i++)
        model_log_append(&node->disk, &job->entries[i]);
}

void disk_pop(struct node *node)
{
    free(node->jobs[node->jobs_first].entries);
    node->jobs_first = (node->jobs_first + 1) % 512;
    node->jobs_count--;
}
