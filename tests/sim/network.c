/* Between nodes: packets are lost, doubled, late, and overtake each other; links are cut. */
#include "cluster_private.h"

#include <assert.h>
#include <stdlib.h>

struct packet *packet_new(const struct raft_message *message)
{
    struct packet *packet = calloc(1, sizeof(*packet));
    assert(packet);
    packet->message = *message;
    return packet;
}

void network_send(struct cluster *cluster, const struct node *from, struct packet *packet)
{
    struct node *to = cluster_node(cluster, packet->message.to);
    uint32_t from_place = (uint32_t)(from - cluster->nodes);
    uint32_t to_place = (uint32_t)(to - cluster->nodes);
    cluster_trace(cluster, (uint64_t)packet->message.type << 56 ^ packet->message.term << 32 ^
                               packet->message.index << 8 ^ from_place << 4 ^ to_place);
    unsigned copies = chance_is(&cluster->chance, cluster->loss) ? 0 : 1;
    copies += chance_is(&cluster->chance, cluster->duplication);
    if (cluster->is_cut[from_place][to_place])
        copies = 0;
    for (unsigned i = 0; i < copies; i++) {
        struct packet *copy = malloc(sizeof(*copy));
        assert(copy);
        *copy = *packet;
        uint64_t delay_ms = chance_is(&cluster->chance, 20)
                                ? chance_between(&cluster->chance, 1, cluster->delay_ms_max * 10)
                                : chance_between(&cluster->chance, 1, cluster->delay_ms_max);
        timeline_add(cluster, delay_ms,
                     (struct happening){.kind = DELIVERY, .node = to_place, .packet = copy});
    }
    free(packet);
}
