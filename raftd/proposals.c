#include "proposals.h"

#include "buffer.h"
#include "limits.h"
#include "message.h"

#include <assert.h>
#include <stdlib.h>

/* What fits a frame when the rest of a batch has no results. */
#define RESULTS_BYTES_MAX (LIMIT_FRAME_BODY_BYTES_MAX - 32u * LIMIT_BATCH_RECORDS_MAX)

struct proposal {
    struct proposal *next;
    struct bus_route route;
    uint64_t first_index, last_index;
    size_t body_bytes;
    struct buffer result; /* grows as its entries are applied */
};

struct proposals {
    struct consensus *consensus;
    struct bus_server **server;
    struct proposal *first, *last;
    uint64_t bytes; /* of the batches waiting: bounded by LIMIT_UNCOMMITTED_BYTES_MAX */
};

struct proposals *proposals_new(struct consensus *consensus, struct bus_server **server)
{
    struct proposals *proposals = memory_new_zeroed(1, sizeof(*proposals));
    proposals->consensus = consensus;
    proposals->server = server;
    return proposals;
}

static void proposal_free(struct proposal *proposal)
{
    buffer_free(&proposal->result);
    free(proposal);
}

static void proposals_drop_first(struct proposals *proposals)
{
    struct proposal *proposal = proposals->first;
    proposals->first = proposal->next;
    if (!proposals->first)
        proposals->last = NULL;
    proposals->bytes -= proposal->body_bytes;
    proposal_free(proposal);
}

void proposals_free(struct proposals *proposals)
{
    while (proposals->first)
        proposals_drop_first(proposals);
    free(proposals);
}

bool proposals_is_empty(const struct proposals *proposals)
{
    return proposals->first == NULL;
}

void proposals_refuse(struct proposals *proposals, const struct bus_route *route, uint32_t count,
                      uint16_t status, const struct leader_hint *hint)
{
    struct buffer result = {0};
    result_begin(&result, hint);
    for (uint32_t i = 0; i < count; i++)
        result_add(&result, &(struct result_record){.status = status});
    bus_reply(*proposals->server, route, PROTO_RESULT, &result);
    buffer_free(&result);
}

static uint16_t status_of_outcome(enum raft_outcome outcome, const struct leader_hint *hint)
{
    if (outcome == RAFT_NOT_LEADER && hint->id[0])
        return PROTO_STATUS_NOT_LEADER;
    return outcome == RAFT_BUSY ? PROTO_STATUS_BUSY : PROTO_STATUS_UNAVAILABLE;
}

static void proposals_wait(struct proposals *proposals, const struct bus_route *route,
                           uint64_t first_index, uint32_t count, size_t body_bytes)
{
    static const struct leader_hint none;
    struct proposal *proposal = memory_new_zeroed(1, sizeof(*proposal));
    proposal->route = *route;
    proposal->first_index = first_index;
    proposal->last_index = first_index + count - 1;
    proposal->body_bytes = body_bytes;
    result_begin(&proposal->result, &none);
    if (proposals->last)
        proposals->last->next = proposal;
    else
        proposals->first = proposal;
    proposals->last = proposal;
    proposals->bytes += body_bytes;
}

void proposals_take(struct proposals *proposals, const struct bus_route *route,
                    struct message_list list, size_t body_bytes, const struct leader_hint *hint)
{
    uint32_t count = list.left;
    uint64_t first_index = 0;
    const uint8_t *command;
    size_t command_bytes;
    enum raft_outcome outcome = RAFT_BUSY;
    const struct log *log = consensus_log(proposals->consensus);
    if (log && log_is_short_of_space(log)) {
        proposals_refuse(proposals, route, count, PROTO_STATUS_NO_SPACE, hint);
        return;
    }
    if (proposals->bytes + body_bytes <= LIMIT_UNCOMMITTED_BYTES_MAX)
        outcome = consensus_propose(proposals->consensus, count, &first_index);
    if (outcome != RAFT_DONE) {
        proposals_refuse(proposals, route, count, status_of_outcome(outcome, hint), hint);
        return;
    }
    while (propose_next(&list, &command, &command_bytes))
        consensus_append(proposals->consensus, command, command_bytes);
    proposals_wait(proposals, route, first_index, count, body_bytes);
}

static void proposals_add(struct proposals *proposals, const struct result_record *record)
{
    struct proposal *proposal = proposals->first;
    if (!proposal || record->index < proposal->first_index)
        return; /* an entry nobody here waits for: a no-op, a configuration, or one from before this
                   start */
    assert(record->index <= proposal->last_index);
    if (proposal->result.length + record->result_bytes <= RESULTS_BYTES_MAX)
        result_add(&proposal->result, record);
    else /* more than its proposer allowed */
        result_add(&proposal->result,
                   &(struct result_record){.status = PROTO_STATUS_UNKNOWN, .index = record->index});
    if (record->index < proposal->last_index)
        return;
    bus_reply(*proposals->server, &proposal->route, PROTO_RESULT, &proposal->result);
    proposals_drop_first(proposals);
}

void proposals_on_applied(struct proposals *proposals, uint64_t index, const uint8_t *result,
                          size_t result_bytes)
{
    struct result_record record = {
        .status = PROTO_STATUS_OK, .index = index, .result = result, .result_bytes = result_bytes};
    proposals_add(proposals, &record);
}

/* The first of a batch without a result. */
static uint64_t proposal_next_index(const struct proposal *proposal)
{
    const struct buffer *result = &proposal->result;
    struct wire_reader body = wire_reader_of(result->bytes, result->length);
    struct leader_hint hint;
    struct message_list list = {0};
    (void)result_decode(&body, &hint, &list);
    return proposal->first_index + list.left;
}

void proposals_on_skipped(struct proposals *proposals, uint64_t index)
{
    while (proposals->first && proposal_next_index(proposals->first) <= index) {
        struct result_record record = {.status = PROTO_STATUS_UNKNOWN,
                                       .index = proposal_next_index(proposals->first)};
        proposals_add(proposals, &record);
    }
}

/* Leadership was lost, and another leader's entries stand in their place: yet a later leader may
 * have kept these. All of a batch that is not answered yet is unknown. */
static void proposal_give_up(struct proposals *proposals, struct proposal *proposal)
{
    uint64_t index = proposal_next_index(proposal);
    for (; index <= proposal->last_index; index++)
        result_add(&proposal->result,
                   &(struct result_record){.status = PROTO_STATUS_UNKNOWN, .index = index});
    bus_reply(*proposals->server, &proposal->route, PROTO_RESULT, &proposal->result);
}

void proposals_on_truncated(struct proposals *proposals, uint64_t index)
{
    struct proposal *kept = NULL, **link = &proposals->first;
    for (; *link && (*link)->last_index < index; link = &(*link)->next)
        kept = *link;
    struct proposal *proposal = *link;
    *link = NULL;
    proposals->last = kept;
    while (proposal) {
        struct proposal *next = proposal->next;
        proposal_give_up(proposals, proposal);
        proposals->bytes -= proposal->body_bytes;
        proposal_free(proposal);
        proposal = next;
    }
}
