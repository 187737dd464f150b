#include "rounds.h"

#include "buffer.h"
#include "message.h"

#include <stdlib.h>

struct round {
    uint64_t read; /* 0: free */
    struct bus_route route;
};

struct rounds {
    struct consensus *consensus;
    struct bus_server **server;
    uint64_t read_last;
    struct round waiting[RAFT_READS_MAX]; /* the core holds no more than these */
};

struct rounds *rounds_new(struct consensus *consensus, struct bus_server **server)
{
    struct rounds *rounds = memory_new_zeroed(1, sizeof(*rounds));
    rounds->consensus = consensus;
    rounds->server = server;
    return rounds;
}

void rounds_free(struct rounds *rounds)
{
    free(rounds);
}

static void rounds_answer(struct rounds *rounds, const struct bus_route *route,
                          const struct read_index_reply *reply)
{
    struct buffer body = {0};
    read_index_ok_encode(&body, reply);
    bus_reply(*rounds->server, route, PROTO_READ_INDEX_OK, &body);
    buffer_free(&body);
}

static struct round *rounds_find(struct rounds *rounds, uint64_t read)
{
    for (unsigned i = 0; i < RAFT_READS_MAX; i++)
        if (rounds->waiting[i].read == read)
            return &rounds->waiting[i];
    return NULL;
}

static void rounds_refuse(struct rounds *rounds, const struct bus_route *route,
                          enum raft_outcome outcome, const struct leader_hint *hint)
{
    struct read_index_reply reply = {.status = PROTO_STATUS_UNAVAILABLE, .hint = *hint};
    if (outcome == RAFT_BUSY)
        reply.status = PROTO_STATUS_BUSY;
    else if (hint->id[0])
        reply.status = PROTO_STATUS_NOT_LEADER;
    rounds_answer(rounds, route, &reply);
}

void rounds_take(struct rounds *rounds, const struct bus_route *route,
                 const struct leader_hint *hint)
{
    struct round *round = rounds_find(rounds, 0);
    enum raft_outcome outcome = RAFT_BUSY;
    if (round) {
        *round = (struct round){.read = ++rounds->read_last, .route = *route};
        outcome = consensus_read(rounds->consensus, round->read); /* may answer before it returns */
    }
    if (outcome == RAFT_DONE)
        return;
    if (round)
        round->read = 0;
    rounds_refuse(rounds, route, outcome, hint);
}

void rounds_on_leadership_lost(struct rounds *rounds, const struct leader_hint *hint)
{
    for (unsigned i = 0; i < RAFT_READS_MAX; i++) {
        if (rounds->waiting[i].read)
            rounds_refuse(rounds, &rounds->waiting[i].route, RAFT_NOT_LEADER, hint);
        rounds->waiting[i].read = 0;
    }
}

void rounds_on_index(struct rounds *rounds, uint64_t read, uint64_t index)
{
    struct round *round = rounds_find(rounds, read);
    if (!round)
        return;
    struct read_index_reply reply = {.status = PROTO_STATUS_OK, .index = index};
    rounds_answer(rounds, &round->route, &reply);
    round->read = 0;
}
