#include "changes.h"

#include "config.h"
#include "fields.h"
#include "follower.h"
#include "logger.h"
#include "members.h"
#include "message.h"
#include "patience.h"
#include "reply.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct changes {
    struct httpd *httpd;
    struct patience patience;
    struct buffer message;
    unsigned calls_in_flight;
};

/* A call in flight. A request that was answered before has left its slot. */
struct change {
    struct edge_call call;
    struct changes *changes;
    struct request *request;
};

/* ---- answers ---- */

static const struct {
    unsigned proto_status, http_status, retry_after_s;
    const char *detail; /* where raftd gives no reason */
} answers[] = {
    {PROTO_STATUS_NOT_FOUND, MHD_HTTP_NOT_FOUND, 0, "there is no member of this id"},
    {PROTO_STATUS_BAD_REQUEST, MHD_HTTP_BAD_REQUEST, 0, "this makes no sense; nothing was changed"},
    {PROTO_STATUS_REFUSED, MHD_HTTP_CONFLICT, 0, "refused; nothing was changed"},
    {PROTO_STATUS_UNREACHABLE, MHD_HTTP_BAD_GATEWAY, 0,
     "that node cannot be reached; nothing was changed"},
    {PROTO_STATUS_BUSY, MHD_HTTP_SERVICE_UNAVAILABLE, 1,
     "another change of members is under way; nothing was changed"},
    {PROTO_STATUS_UNAVAILABLE, MHD_HTTP_SERVICE_UNAVAILABLE, 1,
     "the node cannot serve this now; nothing was changed"},
    {PROTO_STATUS_UNKNOWN, MHD_HTTP_GATEWAY_TIMEOUT, 0,
     "it is not known whether the change was, or will be, made"},
};

static void answer_status(struct request *request, unsigned status, const char *reason)
{
    static const struct leader_hint nobody;
    struct problem problem;
    problem_set(&problem, MHD_HTTP_INTERNAL_SERVER_ERROR, "unexpected status %s",
                proto_status_name(status));
    for (unsigned i = 0; i < sizeof(answers) / sizeof(*answers); i++)
        if (answers[i].proto_status == status) {
            problem_set(&problem, answers[i].http_status, "%s",
                        reason[0] ? reason : answers[i].detail);
            problem.retry_after_s = answers[i].retry_after_s;
        }
    problem.outcome_unknown = status == PROTO_STATUS_UNKNOWN;
    if (status == PROTO_STATUS_UNAVAILABLE)
        problem.leader = &nobody;
    request_answer_problem(request, &problem);
}

static void answer_reply(struct request *request, const struct members_reply *reply)
{
    if (reply->status == PROTO_STATUS_OK)
        request_answer(request, MHD_HTTP_OK, reply_ok());
    else if (reply->status == PROTO_STATUS_NOT_LEADER)
        follower_answer(request, &reply->hint, LIMIT_MEMBERS_MS_MAX);
    else
        answer_status(request, reply->status, reply->reason);
}

static void on_impatience(void *context, struct request *request)
{
    (void)context;
    answer_status(request, PROTO_STATUS_UNKNOWN, "");
}

void changes_on_reply(struct edge_call *call, enum edge_end end, struct wire_reader *body)
{
    static struct members_reply reply;
    struct change *change = (struct change *)call;
    struct request *request = change->request;
    change->changes->calls_in_flight--;
    if (request)
        request->slot = NULL;
    free(change);
    if (!request)
        return;
    if (end == EDGE_REFUSED)
        answer_status(request, PROTO_STATUS_UNAVAILABLE, "");
    else if (end == EDGE_LOST || members_ok_decode(body, &reply))
        answer_status(request, PROTO_STATUS_UNKNOWN, "");
    else
        answer_reply(request, &reply);
}

/* ---- sending ---- */

/* Sends changes->message. */
static void changes_send(struct changes *changes, uint16_t type, struct request *request)
{
    struct httpd *httpd = changes->httpd;
    struct change *change = memory_new_zeroed(1, sizeof(*change));
    uint64_t deadline_ms =
        loop_now_ms(httpd->loop) + LIMIT_MEMBERS_MS_MAX + 2 * HTTPD_CALL_SLACK_MS;
    change->changes = changes;
    if (!edge_is_up(httpd, EDGE_RAFTD)) {
        answer_status(request, PROTO_STATUS_UNAVAILABLE, "");
    } else if (changes->calls_in_flight == HTTPD_CHANGES_CALLS_MAX ||
               edge_call(httpd, type, &changes->message, deadline_ms, &change->call)) {
        answer_status(request, PROTO_STATUS_BUSY, "");
    } else {
        changes->calls_in_flight++;
        request_take_slot(request, &change->request);
        patience_begin(&changes->patience, request);
        change = NULL;
    }
    free(change);
}

/* ---- bodies ---- */

static int take_id(const char *text, void *into, struct error *error)
{
    return config_parse_node_id(text, into, error);
}

/* As it will be shown: host:port. */
static int take_address(const char *text, void *into, struct error *error)
{
    struct config_address address;
    if (config_parse_address(text, &address, NULL) || !address.host[0])
        return error_set(error, -EINVAL,
                         "want host:port or [ipv6]:port with a port from 1 to 65535");
    config_address_format(&address, into, LIMIT_ADDRESS_BYTES_MAX);
    return 0;
}

#define WANT_ID "the node's id, such as node2"
#define WANT_ADDRESS "its raft address, such as 10.0.0.2:7001"

/* Reads the body, of which all of the fields are wanted; answers if it cannot. */
static bool read_body(struct request *request, struct field *fields, unsigned count)
{
    struct problem problem;
    int status = fields_read(request->value, request->value_bytes, fields, count, &problem);
    for (unsigned i = 0; i < count && !status; i++)
        if (!fields[i].is_given && !fields[i].is_optional)
            status = problem_set(&problem, MHD_HTTP_BAD_REQUEST, "%s is missing: want %s",
                                 fields[i].name, fields[i].want);
    if (status)
        request_answer_problem(request, &problem);
    return !status;
}

void changes_serve_join(struct request *request)
{
    struct changes *changes = request->httpd->changes;
    struct join join = {""};
    struct field fields[] = {
        {.name = "ID", .take = take_id, .into = join.id, .want = WANT_ID},
        {.name = "RaftAddr",
         .also = "raft_addr",
         .take = take_address,
         .into = join.raft_address,
         .want = WANT_ADDRESS},
    };
    if (!read_body(request, fields, 2))
        return;
    join_encode(&changes->message, &join);
    changes_send(changes, PROTO_JOIN, request);
}

void changes_serve_remove(struct request *request)
{
    struct changes *changes = request->httpd->changes;
    struct member_name name = {""};
    struct field field = {.name = "ID", .take = take_id, .into = name.id, .want = WANT_ID};
    if (!read_body(request, &field, 1))
        return;
    remove_encode(&changes->message, &name);
    changes_send(changes, PROTO_REMOVE, request);
}

void changes_serve_transfer(struct request *request)
{
    struct changes *changes = request->httpd->changes;
    struct member_name name = {""};
    struct field field = {.name = "ID",
                          .take = take_id,
                          .into = name.id,
                          .want = WANT_ID,
                          .is_optional = true}; /* raftd chooses */
    if (request->value_bytes > 0 && !read_body(request, &field, 1))
        return;
    transfer_encode(&changes->message, &name);
    changes_send(changes, PROTO_TRANSFER, request);
}

/* ---- life ---- */

void changes_finish(struct changes *changes)
{
    patience_exhaust(&changes->patience);
}

struct changes *changes_new(struct httpd *httpd)
{
    struct changes *changes = memory_new_zeroed(1, sizeof(*changes));
    changes->httpd = httpd;
    patience_init(&changes->patience, httpd->loop, LIMIT_MEMBERS_MS_MAX + HTTPD_CALL_SLACK_MS,
                  on_impatience, changes);
    return changes;
}

void changes_free(struct changes *changes)
{
    buffer_free(&changes->message);
    free(changes);
}
