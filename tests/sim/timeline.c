/* What will happen when: a heap by time, and within a millisecond by the order of scheduling. */
#include "cluster_private.h"

#include <assert.h>
#include <stdlib.h>

static bool is_before(const struct happening *a, const struct happening *b)
{
    return a->at_ms != b->at_ms ? a->at_ms < b->at_ms : a->order < b->order;
}

void timeline_add(struct cluster *cluster, uint64_t in_ms, struct happening happening)
{
    happening.at_ms = cluster->now_ms + in_ms;
    happening.order = ++cluster->order;
    if (cluster->heap_count == cluster->heap_capacity) {
        cluster->heap_capacity = cluster->heap_capacity ? cluster->heap_capacity * 2 : 1024;
        cluster->heap = realloc(cluster->heap, cluster->heap_capacity * sizeof(*cluster->heap));
        assert(cluster->heap);
    }
    uint32_t at = cluster->heap_count++;
    while (at && is_before(&happening, &cluster->heap[(at - 1) / 2])) {
        cluster->heap[at] = cluster->heap[(at - 1) / 2];
        at = (at - 1) / 2;
    }
    cluster->heap[at] = happening;
}

struct happening timeline_next(struct cluster *cluster)
{
    struct happening first = cluster->heap[0];
    struct happening last = cluster->heap[--cluster->heap_count];
    uint32_t at = 0;
    for (;;) {
        uint32_t child = 2 * at + 1;
        if (child >= cluster->heap_count)
            break;
        if (child + 1 < cluster->heap_count &&
            is_before(&cluster->heap[child + 1], &cluster->heap[child]))
            child++;
        if (!is_before(&cluster->heap[child], &last))
            break;
        cluster->heap[at] = cluster->heap[child];
        at = child;
    }
    cluster->heap[at] = last;
    return first;
}
