#include "proposals.h"

#include "buffer.h"
#include "file.h"
#include "limits.h"
#include "message.h"

#include <assert.h>
#include <stdlib.h>

/* What fits a frame when the rest of a batch has no results. */
#define RESULTS_BYTES_MAX (LIMIT_FRAME_BODY_BYTES_MAX - 32u * LIMIT_BATCH_RECORDS_MAX)

struct proposal {
    struct proposal *next;
    struct bus_route route;
    uint64_t first_index, last_index; /* of the records that were taken */
    uint64_t next_index;              /* of those, the first without a result */
    size_t body_bytes;
    struct buffer result;        /* grows as its entries are applied */
    uint16_t refusal;            /* of those that were refused */
    uint32_t count, count_ended; /* of all records; how many are in `result` */
    uint8_t is_refused[];        /* one for each */
};

struct proposals {
    struct consensus *consensus;
    struct bus_server **server;
    struct proposal *first, *last;
    uint64_t bytes; /* of the batches waiting: bounded by LIMIT_UNCOMMITTED_BYTES_MAX */
    uint16_t store_health;
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

/* ---- room ---- */

/* The status with which records that let the store grow are refused, or OK. The disk is asked only
 * when more is under way than its last part is meant for. */
static uint16_t growth_status(const struct proposals *proposals, const struct log *log,
                              size_t body_bytes)
{
    uint64_t under_way = proposals->bytes + body_bytes, free_bytes;
    if (proposals->store_health == PROTO_STATUS_NO_SPACE || log_is_without_spare(log))
        return PROTO_STATUS_NO_SPACE;
    if (under_way <= LIMIT_DISK_TIGHT_UNCOMMITTED_BYTES ||
        file_free_bytes("log.space", ".", &free_bytes))
        return PROTO_STATUS_OK;
    if (free_bytes >= LIMIT_DISK_TIGHT_BYTES + 3 * under_way) /* as entries, and as pages */
        return PROTO_STATUS_OK;
    if (proposals->bytes > 0)
        return PROTO_STATUS_BUSY;
    return free_bytes >= LIMIT_DISK_RESERVE_BYTES + 3 * under_way ? PROTO_STATUS_OK
                                                                  : PROTO_STATUS_NO_SPACE;
}

/* ---- taking ---- */

static struct proposal *proposal_new(struct message_list list, bool may_grow)
{
    static const struct leader_hint none;
    struct proposal *proposal = memory_new_zeroed(1, sizeof(*proposal) + list.left);
    struct propose_record record;
    proposal->count = list.left;
    for (uint32_t i = 0; propose_next(&list, &record); i++)
        proposal->is_refused[i] = !may_grow && !record.may_use_reserve;
    result_begin(&proposal->result, &none);
    return proposal;
}

static uint32_t proposal_taken(const struct proposal *proposal)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < proposal->count; i++)
        count += !proposal->is_refused[i];
    return count;
}

static void proposals_wait(struct proposals *proposals, struct proposal *proposal,
                           uint64_t first_index, uint32_t count)
{
    proposal->first_index = proposal->next_index = first_index;
    proposal->last_index = first_index + count - 1;
    if (proposals->last)
        proposals->last->next = proposal;
    else
        proposals->first = proposal;
    proposals->last = proposal;
    proposals->bytes += proposal->body_bytes;
}

static void proposal_append(const struct proposals *proposals, const struct proposal *proposal,
                            struct message_list list)
{
    struct propose_record record;
    for (uint32_t i = 0; propose_next(&list, &record); i++)
        if (!proposal->is_refused[i])
            consensus_append(proposals->consensus, record.command, record.command_bytes);
}

void proposals_take(struct proposals *proposals, const struct bus_route *route,
                    struct message_list list, size_t body_bytes, const struct leader_hint *hint)
{
    uint64_t first_index = 0;
    enum raft_outcome outcome = RAFT_BUSY;
    const struct log *log =
        consensus_is_leader(proposals->consensus) ? consensus_log(proposals->consensus) : NULL;
    uint16_t growth = log ? growth_status(proposals, log, body_bytes) : PROTO_STATUS_OK;
    struct proposal *proposal = proposal_new(list, growth == PROTO_STATUS_OK);
    uint32_t taken = proposal_taken(proposal);
    proposal->route = *route;
    proposal->body_bytes = body_bytes;
    proposal->refusal = growth;
    if (!taken ||
        (log && !log_has_room(log, body_bytes + (uint64_t)taken * (RECORD_HEADER_BYTES + 8)))) {
        proposals_refuse(proposals, route, list.left, taken ? PROTO_STATUS_NO_SPACE : growth, hint);
        proposal_free(proposal);
        return;
    }
    if (proposals->bytes + body_bytes <= LIMIT_UNCOMMITTED_BYTES_MAX)
        outcome = consensus_propose(proposals->consensus, taken, &first_index);
    if (outcome != RAFT_DONE) {
        proposals_refuse(proposals, route, list.left, status_of_outcome(outcome, hint), hint);
        proposal_free(proposal);
        return;
    }
    proposal_append(proposals, proposal, list);
    proposals_wait(proposals, proposal, first_index, taken);
}

/* ---- results ---- */

static void proposal_end_refused(struct proposal *proposal)
{
    while (proposal->count_ended < proposal->count && proposal->is_refused[proposal->count_ended]) {
        result_add(&proposal->result, &(struct result_record){.status = proposal->refusal});
        proposal->count_ended++;
    }
}

static void proposal_end_one(struct proposal *proposal, const struct result_record *record)
{
    proposal_end_refused(proposal);
    if (proposal->result.length + record->result_bytes <= RESULTS_BYTES_MAX)
        result_add(&proposal->result, record);
    else /* more than its proposer allowed */
        result_add(&proposal->result,
                   &(struct result_record){.status = PROTO_STATUS_UNKNOWN, .index = record->index});
    proposal->count_ended++;
    proposal->next_index = record->index + 1;
    proposal_end_refused(proposal);
}

static void proposals_add(struct proposals *proposals, const struct result_record *record)
{
    struct proposal *proposal = proposals->first;
    if (!proposal || record->index < proposal->next_index)
        return; /* an entry nobody here waits for: a no-op, a configuration, one from before this
                   start, or one applied again by a storaged that had lost it */
    assert(record->index == proposal->next_index);
    proposal_end_one(proposal, record);
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

void proposals_on_skipped(struct proposals *proposals, uint64_t index)
{
    while (proposals->first && proposals->first->next_index <= index) {
        struct result_record record = {.status = PROTO_STATUS_UNKNOWN,
                                       .index = proposals->first->next_index};
        proposals_add(proposals, &record);
    }
}

void proposals_on_store_health(struct proposals *proposals, uint16_t health)
{
    proposals->store_health = health;
}

/* Leadership was lost, and another leader's entries stand in their place: yet a later leader may
 * have kept these. All of a batch that is not answered yet is unknown. */
static void proposal_give_up(struct proposals *proposals, struct proposal *proposal)
{
    while (proposal->next_index <= proposal->last_index)
        proposal_end_one(proposal, &(struct result_record){.status = PROTO_STATUS_UNKNOWN,
                                                           .index = proposal->next_index});
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
