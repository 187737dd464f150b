/* raftd's messages: who may send which, and what answers it. */
#include "raftd.h"

#include "datadir.h"
#include "limits.h"
#include "logger.h"
#include "members.h"
#include "message.h"
#include "status.h"

#include <errno.h>

typedef int raftd_handler(struct raftd *raftd, struct bus_request *request);

/* ---- handlers: 0, or -EPROTO for a body that cannot be decoded ---- */

/* Nothing is taken that could not be answered soon: while stopping, outside any cluster, or with
 * storaged away for long. */
static bool raftd_takes_proposals(const struct raftd *raftd)
{
    return !raftd->draining && feed_is_hopeful(raftd->feed);
}

static int raftd_on_propose(struct raftd *raftd, struct bus_request *request)
{
    size_t body_bytes = request->body.left;
    struct message_list list;
    struct leader_hint hint;
    int code = propose_decode(&request->body, &list);
    if (code || list.left == 0)
        return -EPROTO;
    raftd_fill_hint(raftd, &hint);
    if (raftd_takes_proposals(raftd))
        proposals_take(raftd->proposals, &request->route, list, body_bytes, &hint);
    else
        proposals_refuse(raftd->proposals, &request->route, list.left, PROTO_STATUS_UNAVAILABLE,
                         &hint);
    return 0;
}

static int raftd_on_read_index(struct raftd *raftd, struct bus_request *request)
{
    struct leader_hint hint;
    raftd_fill_hint(raftd, &hint);
    rounds_take(raftd->rounds, &request->route, &hint);
    return 0;
}

static int raftd_on_raft_status(struct raftd *raftd, struct bus_request *request)
{
    static struct raft_status status;
    raftd_fill_status(raftd, &status);
    raft_status_encode(&raftd->reply, &status);
    bus_reply(raftd->server, &request->route, PROTO_RAFT_STATUS_OK, &raftd->reply);
    return 0;
}

/* ---- members ---- */

static int raftd_on_join(struct raftd *raftd, struct bus_request *request)
{
    struct join join;
    int code = join_decode(&request->body, &join);
    if (!code)
        changes_join(raftd->changes, &request->route, &join);
    return code;
}

static int raftd_on_remove(struct raftd *raftd, struct bus_request *request)
{
    struct member_name name;
    int code = remove_decode(&request->body, &name);
    if (!code)
        changes_remove(raftd->changes, &request->route, name.id);
    return code;
}

static int raftd_on_transfer(struct raftd *raftd, struct bus_request *request)
{
    struct member_name name;
    int code = transfer_decode(&request->body, &name);
    if (!code)
        changes_transfer(raftd->changes, &request->route, name.id);
    return code;
}

/* ---- the table ---- */

static const struct {
    uint16_t type;
    raftd_handler *handler;
} handlers[] = {
    {PROTO_PROPOSE, raftd_on_propose},         {PROTO_READ_INDEX, raftd_on_read_index},
    {PROTO_RAFT_STATUS, raftd_on_raft_status}, {PROTO_JOIN, raftd_on_join},
    {PROTO_REMOVE, raftd_on_remove},           {PROTO_TRANSFER, raftd_on_transfer},
};
#define HANDLERS_COUNT (sizeof(handlers) / sizeof(*handlers))

const uint16_t *raftd_handled(void)
{
    static uint16_t numbers[HANDLERS_COUNT + 1];
    for (unsigned i = 0; i < HANDLERS_COUNT; i++)
        numbers[i] = handlers[i].type;
    return numbers;
}

static void raftd_on_request(void *context, struct bus_request *request)
{
    struct raftd *raftd = context;
    int code = -EPROTO;
    if (proto_call_allowed(request->type, (enum proto_role)request->peer, PROTO_ROLE_RAFTD,
                           request->body.left))
        for (unsigned i = 0; i < HANDLERS_COUNT; i++)
            if (handlers[i].type == request->type)
                code = handlers[i].handler(raftd, request);
    if (code) {
        logger_warning("message_refused", "type=%u from=%s", request->type,
                       proto_role_name((enum proto_role)request->peer));
        bus_refuse(raftd->server, &request->route, PROTO_STATUS_BAD_REQUEST,
                   "not a message for raftd");
    }
    buffer_clear(&raftd->reply, LIMIT_BATCH_BYTES_SOFT);
}

static int raftd_on_hello(void *context, struct wire_reader *body, uint32_t *ret_peer,
                          struct buffer *welcome, struct error *error)
{
    struct raftd *raftd = context;
    struct hello peer;
    if (hello_decode(body, &peer))
        return error_set(error, -EPROTO, "not a HELLO");
    int code = hello_check(&raftd->hello, &peer, PROTO_ROLE_ANY, error);
    if (code)
        return code;
    *ret_peer = (uint32_t)peer.role;
    hello_encode(welcome, &raftd->hello);
    return 0;
}

static void raftd_at_turn_end(void *context)
{
    struct raftd *raftd = context;
    raftd_flush(raftd);
    if (raftd->draining && proposals_is_empty(raftd->proposals) &&
        !consensus_raft(raftd->consensus)->transfer_to)
        loop_stop(raftd->loop, EXIT_CODE_OK);
}

int raftd_listen(struct raftd *raftd, struct error *error)
{
    struct bus_server_options options = {
        .loop = raftd->loop,
        .url = DATADIR_RAFTD_URL,
        .epoch = raftd->hello.boot_epoch,
        .on_hello = raftd_on_hello,
        .on_request = raftd_on_request,
        .context = raftd,
    };
    loop_at_turn_end(raftd->loop, raftd_at_turn_end, raftd);
    return bus_server_new(&raftd->server, &options, error);
}
