#include "agreement.h"

#include "buffer.h"
#include "logger.h"

#include <stdlib.h>
#include <string.h>

struct known {
    uint64_t index; /* 0: none */
    uint8_t hash[16];
};

struct agreement {
    struct loop *loop;
    struct consensus *consensus;
    struct peers **peers;
    struct known marks[AGREEMENT_REMEMBERED];
    unsigned marks_next;
    struct peer_state state; /* as storaged said last */
    struct loop_timer timer;
    uint64_t differences, diverged_index;
};

static void remember(struct agreement *agreement, uint64_t index, const uint8_t hash[16])
{
    unsigned newest = (agreement->marks_next + AGREEMENT_REMEMBERED - 1) % AGREEMENT_REMEMBERED;
    if (index == 0 || agreement->marks[newest].index == index)
        return;
    struct known *known = &agreement->marks[agreement->marks_next];
    agreement->marks_next = (agreement->marks_next + 1) % AGREEMENT_REMEMBERED;
    known->index = index;
    memcpy(known->hash, hash, sizeof(known->hash));
}

/* A member alone compares nothing and needs no timer. */
static void agreement_send(void *context)
{
    struct agreement *agreement = context;
    const struct raft *raft = consensus_raft(agreement->consensus);
    if (!consensus_is_leader(agreement->consensus) && raft->leader &&
        agreement->state.applied_index)
        peers_send_state(*agreement->peers, raft->leader, &agreement->state);
}

void agreement_on_applied(struct agreement *agreement, const struct peer_state *state)
{
    agreement->state = *state;
    remember(agreement, state->mark_index, state->mark_hash);
    if (agreement->timer.place || consensus_membership(agreement->consensus)->count < 2)
        return;
    loop_timer_set(agreement->loop, &agreement->timer,
                   loop_now_ms(agreement->loop) + AGREEMENT_PERIOD_MS, agreement_send, agreement);
}

static const uint8_t *hash_at(const struct agreement *agreement, uint64_t index)
{
    if (index == agreement->state.applied_index)
        return agreement->state.hash;
    for (unsigned i = 0; i < AGREEMENT_REMEMBERED; i++)
        if (agreement->marks[i].index == index)
            return agreement->marks[i].hash;
    return NULL;
}

static void compare(struct agreement *agreement, uint64_t from, uint64_t index,
                    const uint8_t hash[16])
{
    const struct raft_server *server =
        membership_server(consensus_membership(agreement->consensus), from);
    const uint8_t *own = index ? hash_at(agreement, index) : NULL;
    if (!own || !memcmp(own, hash, 16))
        return;
    agreement->differences++;
    logger_error("state_differs", "node_id=%s index=%llu", server ? server->id : "\"\"",
                 (unsigned long long)index);
    peers_send_diverged(*agreement->peers, from, index);
}

void agreement_on_state(struct agreement *agreement, uint64_t from, const struct peer_state *state)
{
    if (!consensus_is_leader(agreement->consensus))
        return;
    compare(agreement, from, state->applied_index, state->hash);
    compare(agreement, from, state->mark_index, state->mark_hash);
}

void agreement_on_diverged(struct agreement *agreement, uint64_t index)
{
    if (!agreement->diverged_index)
        logger_error("state_differs", "index=%llu reason=\"the leader's state hash is another\"",
                     (unsigned long long)index);
    agreement->diverged_index = index;
}

uint64_t agreement_diverged_index(const struct agreement *agreement)
{
    return agreement->diverged_index;
}

uint64_t agreement_differences(const struct agreement *agreement)
{
    return agreement->differences;
}

struct agreement *agreement_new(struct loop *loop, struct consensus *consensus,
                                struct peers **peers)
{
    struct agreement *agreement = memory_new_zeroed(1, sizeof(*agreement));
    agreement->loop = loop;
    agreement->consensus = consensus;
    agreement->peers = peers;
    return agreement;
}

void agreement_free(struct agreement *agreement)
{
    if (!agreement)
        return;
    loop_timer_cancel(agreement->loop, &agreement->timer);
    free(agreement);
}
