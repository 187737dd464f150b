/* Clients ask one thing at a time, and remember what they were told. */
#include "cluster_private.h"

void client_send_answer(struct cluster *cluster, uint32_t client, uint32_t operation,
                        enum operation_outcome outcome, uint64_t value)
{
    if (chance_is(&cluster->chance, cluster->loss))
        return;
    timeline_add(cluster, chance_between(&cluster->chance, 1, cluster->delay_ms_max),
                 (struct happening){.kind = CLIENT_ANSWER,
                                    .client = client,
                                    .operation = operation,
                                    .outcome = outcome,
                                    .value = value});
}

/* A client has one turn ahead of it at a time; setting another makes the older void. */
void client_set_turn(struct cluster *cluster, uint32_t number, uint64_t in_ms)
{
    timeline_add(cluster, in_ms,
                 (struct happening){.kind = CLIENT_TURN,
                                    .client = number,
                                    .value = ++cluster->clients[number].turn});
}

static void client_ask(struct cluster *cluster, uint32_t number)
{
    struct client *client = &cluster->clients[number];
    enum operation_kind kind = chance_is(&cluster->chance, 500) ? OPERATION_PUT : OPERATION_GET;
    client->is_busy = true;
    client->operation =
        history_call(&cluster->history, kind, (uint32_t)chance_below(&cluster->chance, MODEL_KEYS),
                     kind == OPERATION_PUT ? ++cluster->values : 0, cluster->now_ms * 16);
    if (chance_is(&cluster->chance, cluster->loss))
        return;
    timeline_add(cluster, chance_between(&cluster->chance, 1, cluster->delay_ms_max),
                 (struct happening){.kind = CLIENT_REQUEST,
                                    .node = client->favourite,
                                    .client = number,
                                    .operation = client->operation});
}

void client_turn(struct cluster *cluster, const struct happening *happening)
{
    struct client *client = &cluster->clients[happening->client];
    if (happening->value != client->turn || cluster->is_resting)
        return;
    if (client->is_busy) /* no answer in time: the operation stays open */
        client->favourite = (uint32_t)chance_below(&cluster->chance, NODES);
    client_ask(cluster, happening->client);
    client_set_turn(cluster, happening->client, chance_between(&cluster->chance, 100, 800));
}

void client_answer(struct cluster *cluster, const struct happening *happening)
{
    struct client *client = &cluster->clients[happening->client];
    if (!client->is_busy || client->operation != happening->operation)
        return; /* too late */
    history_answer(&cluster->history, happening->operation,
                   (enum operation_outcome)happening->outcome, happening->value,
                   cluster->now_ms * 16 + 8);
    client->is_busy = false;
    if (happening->outcome == OPERATION_REFUSED)
        client->favourite = (uint32_t)chance_below(&cluster->chance, NODES);
    client_set_turn(cluster, happening->client, chance_between(&cluster->chance, 1, 40));
}
