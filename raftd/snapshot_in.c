#include "snapshot_in.h"

#include "buffer.h"
#include "logger.h"
#include "message.h"
#include "snapshot.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct snapshot_in {
    struct snapshot_in_options options;
    uint64_t from; /* the member it comes from; 0: none is under way */
    uint64_t index, term;
    struct passed *passed; /* calls storaged has not answered */
    bool owes_end;         /* the answer to END */
    struct bus_route end_route;
    char end_reason[SNAPSHOT_REASON_BYTES_MAX];
};

/* A call that was handed on. */
struct passed {
    struct passed *next;
    struct snapshot_in *in;
    struct bus_route route;
    bool is_end;
};

static int answer(struct snapshot_in *in, const struct bus_route *route, uint16_t status,
                  const char *reason)
{
    struct install_reply reply = {.status = status};
    struct buffer body = {0};
    snprintf(reply.reason, sizeof(reply.reason), "%s", reason);
    install_ok_encode(&body, &reply);
    peers_reply(in->options.peers, route, PROTO_SNAPSHOT_TAKEN, &body);
    buffer_free(&body);
    return 0;
}

/* ---- handing on ---- */

static void passed_free(struct passed *passed)
{
    struct passed **link = &passed->in->passed;
    while (*link != passed)
        link = &(*link)->next;
    *link = passed->next;
    free(passed);
}

static void on_answered(void *context, enum bus_end end, uint16_t type, struct wire_reader *body)
{
    struct passed *passed = context;
    struct snapshot_in *in = passed->in;
    struct install_reply reply = {.status = PROTO_STATUS_UNAVAILABLE,
                                  .reason = "storaged does not answer"};
    bool is_answer =
        end == BUS_REPLIED && type == PROTO_INSTALL_OK && !install_ok_decode(body, &reply);
    if (passed->is_end) {
        if (is_answer)
            memcpy(in->end_reason, reply.reason, sizeof(in->end_reason));
        feed_ask_anew(in->options.feed);
    } else {
        answer(in, &passed->route, reply.status, reply.reason);
    }
    passed_free(passed);
}

void snapshot_in_on_settled(struct snapshot_in *in, bool is_installed)
{
    if (!in->owes_end)
        return;
    in->owes_end = false;
    answer(in, &in->end_route, is_installed ? PROTO_STATUS_OK : PROTO_STATUS_REFUSED,
           is_installed ? "" : in->end_reason);
}

static int pass_on(struct snapshot_in *in, const struct bus_route *route, uint16_t type,
                   const struct buffer *body, uint64_t ms_max)
{
    struct bus_client *client = feed_storaged(in->options.feed);
    struct passed *passed = memory_new_zeroed(1, sizeof(*passed));
    *passed = (struct passed){
        .next = in->passed, .in = in, .route = *route, .is_end = type == PROTO_INSTALL_END};
    in->passed = passed;
    if (!bus_call(client, type, body, loop_now_ms(in->options.loop) + ms_max, on_answered, passed))
        return 0;
    passed_free(passed);
    return -EAGAIN;
}

static int pass_or_refuse(struct snapshot_in *in, const struct bus_route *route, uint16_t type,
                          const struct buffer *body)
{
    if (pass_on(in, route, type, body, SNAPSHOT_IN_MS_MAX))
        answer(in, route, PROTO_STATUS_UNAVAILABLE, "storaged is away");
    return 0;
}

/* ---- the three calls ---- */

static int on_begin(struct snapshot_in *in, uint64_t from, struct bus_request *request)
{
    const struct raft *raft = consensus_raft(in->options.consensus);
    struct snapshot_begin begin;
    struct buffer body = {0};
    int code = snapshot_begin_decode(&request->body, &begin);
    if (code)
        return code;
    struct raft_message heard = {.type = RAFT_SNAPSHOT,
                                 .from = from,
                                 .to = raft->self,
                                 .term = begin.leader_term,
                                 .index = begin.index,
                                 .log_term = begin.term};
    consensus_message(in->options.consensus, &heard);
    if (!consensus_is_running(in->options.consensus) || raft->leader != from ||
        begin.leader_term != raft->hard_state.term ||
        !raft_takes_snapshot(raft, begin.index, begin.term))
        return answer(in, &request->route, PROTO_STATUS_REFUSED,
                      "it is no news, or not its leader's");
    in->from = from;
    in->index = begin.index;
    in->term = begin.term;
    logger_info("snapshot_coming", "index=%llu term=%llu", (unsigned long long)begin.index,
                (unsigned long long)begin.term);
    install_begin_encode(&body, &(struct install_begin){.index = begin.index, .term = begin.term});
    code = pass_or_refuse(in, &request->route, PROTO_INSTALL_BEGIN, &body);
    buffer_free(&body);
    return code;
}

static bool is_expected(const struct snapshot_in *in, uint64_t from)
{
    return in->from == from && consensus_is_running(in->options.consensus) &&
           consensus_raft(in->options.consensus)->leader == from;
}

static int on_part(struct snapshot_in *in, uint64_t from, struct bus_request *request)
{
    struct buffer body = {0};
    if (!is_expected(in, from))
        return answer(in, &request->route, PROTO_STATUS_REFUSED, "it was not begun");
    wire_put_bytes(&body, request->body.at, request->body.left);
    int code = pass_or_refuse(in, &request->route, PROTO_INSTALL_PART, &body);
    buffer_free(&body);
    return code;
}

static int on_end(struct snapshot_in *in, uint64_t from, struct bus_request *request)
{
    struct wire_reader whole = request->body;
    struct install_end end;
    struct buffer body = {0};
    int code = install_end_decode(&request->body, &end);
    if (code)
        return code;
    if (!is_expected(in, from) || end.index != in->index || end.term != in->term)
        return answer(in, &request->route, PROTO_STATUS_REFUSED, "it was not begun");
    in->from = 0;
    code = consensus_install_begin(in->options.consensus, end.index, end.term, end.configuration,
                                   end.configuration_bytes);
    if (code == -EPROTO)
        return code;
    if (code)
        return answer(in, &request->route, PROTO_STATUS_UNAVAILABLE,
                      code == -EAGAIN ? "storaged is busy" : "it is no news any more");
    in->owes_end = true;
    in->end_route = request->route;
    snprintf(in->end_reason, sizeof(in->end_reason), "storaged went away");
    wire_put_bytes(&body, whole.at, whole.left);
    if (pass_on(in, &request->route, PROTO_INSTALL_END, &body, SNAPSHOT_IN_END_MS_MAX))
        feed_ask_anew(in->options.feed);
    buffer_free(&body);
    return 0;
}

int snapshot_in_on_call(struct snapshot_in *in, uint64_t from, struct bus_request *request)
{
    switch (request->type) {
    case PROTO_SNAPSHOT_BEGIN_TO:
        return on_begin(in, from, request);
    case PROTO_SNAPSHOT_PART_TO:
        return on_part(in, from, request);
    case PROTO_SNAPSHOT_END_TO:
        return on_end(in, from, request);
    }
    return -EPROTO;
}

struct snapshot_in *snapshot_in_new(const struct snapshot_in_options *options)
{
    struct snapshot_in *in = memory_new_zeroed(1, sizeof(*in));
    in->options = *options;
    return in;
}

/* Calls under way end with their client, without their callbacks. */
void snapshot_in_free(struct snapshot_in *in)
{
    while (in && in->passed)
        passed_free(in->passed);
    free(in);
}
