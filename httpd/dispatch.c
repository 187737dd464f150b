#include "dispatch.h"

#include "changes.h"
#include "datadir.h"
#include "logger.h"
#include "message.h"
#include "reads.h"
#include "scans.h"
#include "server.h"
#include "survey.h"
#include "watches.h"
#include "writes.h"

#include <assert.h>
#include <errno.h>

/* ---- the tables ---- */

struct edge_row {
    uint16_t call, reply;
    enum edge_peer peer;
    edge_reply_fn *handler;
};

static const struct edge_row rows[] = {
    {PROTO_PROPOSE, PROTO_RESULT, EDGE_RAFTD, writes_on_result},
    {PROTO_READ_INDEX, PROTO_READ_INDEX_OK, EDGE_RAFTD, reads_on_read_index},
    {PROTO_RAFT_STATUS, PROTO_RAFT_STATUS_OK, EDGE_RAFTD, survey_on_raft_status},
    {PROTO_JOIN, PROTO_MEMBERS_OK, EDGE_RAFTD, changes_on_reply},
    {PROTO_REMOVE, PROTO_MEMBERS_OK, EDGE_RAFTD, changes_on_reply},
    {PROTO_TRANSFER, PROTO_MEMBERS_OK, EDGE_RAFTD, changes_on_reply},
    {PROTO_READ, PROTO_READ_OK, EDGE_STORAGED, reads_on_read},
    {PROTO_STORE_STATUS, PROTO_STORE_STATUS_OK, EDGE_STORAGED, survey_on_store_status},
    {PROTO_SCAN_OPEN, PROTO_SCAN_PART, EDGE_STORAGED, scans_on_part},
    {PROTO_SCAN_NEXT, PROTO_SCAN_PART, EDGE_STORAGED, scans_on_part},
    {PROTO_SCAN_CLOSE, PROTO_SCAN_CLOSED, EDGE_STORAGED, scans_on_closed},
    {PROTO_WATCH, PROTO_WATCH_OK, EDGE_STORAGED, watches_on_changes},
};
#define ROWS_COUNT (sizeof(rows) / sizeof(*rows))
_Static_assert(ROWS_COUNT <= EDGE_CALLS_MAX, "each row has its counter");

static const struct {
    const char *url;
    enum proto_role role;
} peers[EDGES_COUNT] = {
    [EDGE_RAFTD] = {DATADIR_RAFTD_URL, PROTO_ROLE_RAFTD},
    [EDGE_STORAGED] = {DATADIR_STORAGED_URL, PROTO_ROLE_STORAGED},
};

const uint16_t *httpd_handled(void)
{
    static uint16_t numbers[2 * ROWS_COUNT + 1];
    for (unsigned i = 0; i < ROWS_COUNT; i++) {
        numbers[2 * i] = rows[i].call;
        numbers[2 * i + 1] = rows[i].reply;
    }
    return numbers;
}

/* ---- calls ---- */

static const struct edge_row *row_of(uint16_t type)
{
    for (unsigned i = 0; i < ROWS_COUNT; i++)
        if (rows[i].call == type)
            return &rows[i];
    return NULL;
}

bool edge_is_up(const struct httpd *httpd, enum edge_peer peer)
{
    return bus_client_is_up(httpd->edges[peer].client);
}

static void edge_on_reply(void *context, enum bus_end end, uint16_t type, struct wire_reader *body)
{
    struct edge_call *call = context;
    const struct edge_row *row = call->row;
    if (end == BUS_REPLIED && type == row->reply) {
        row->handler(call, EDGE_REPLIED, body);
    } else if (end == BUS_REPLIED && type == PROTO_REFUSED) {
        unsigned status = wire_get_u16(body);
        logger_warning("call_refused", "type=%u peer=%s status=%s", row->call,
                       proto_role_name(peers[row->peer].role), proto_status_name(status));
        row->handler(call, EDGE_REFUSED, NULL);
    } else {
        row->handler(call, EDGE_LOST, NULL);
    }
}

int edge_call(struct httpd *httpd, uint16_t type, const struct buffer *body, uint64_t deadline_ms,
              struct edge_call *call)
{
    call->row = row_of(type);
    call->httpd = httpd;
    assert(call->row);
    int outcome = bus_call(httpd->edges[call->row->peer].client, type, body, deadline_ms,
                           edge_on_reply, call);
    httpd->edge_calls[call->row - rows] += outcome == 0;
    return outcome;
}

void edge_flush(struct httpd *httpd, enum edge_peer peer)
{
    bus_client_flush(httpd->edges[peer].client);
}

bool edge_calls_at(const struct httpd *httpd, unsigned place, const char **ret_name,
                   uint64_t *ret_count)
{
    if (place >= ROWS_COUNT)
        return false;
    *ret_name = proto_entry_of(rows[place].call)->name;
    *ret_count = httpd->edge_calls[place];
    return true;
}

/* ---- edges ---- */

static int edge_on_welcome(void *context, struct wire_reader *body, uint64_t *ret_epoch)
{
    struct edge *edge = context;
    struct hello peer;
    struct error error = {""};
    int code = hello_decode(body, &peer);
    if (code)
        code = error_set(&error, code, "its WELCOME makes no sense");
    else
        code = hello_check(&edge->httpd->hello, &peer, peers[edge->peer].role, &error);
    if (code) {
        char reason[ERROR_TEXT_BYTES + 8];
        logger_warning("peer_unfit", "url=%s reason=%s", peers[edge->peer].url,
                       logger_quoted(reason, sizeof(reason), error.text));
        return code;
    }
    *ret_epoch = peer.boot_epoch;
    return 0;
}

static void edge_on_up(void *context)
{
    struct edge *edge = context;
    logger_info("edge_up", "peer=%s", proto_role_name(peers[edge->peer].role));
    if (edge_is_up(edge->httpd, EDGE_RAFTD) && edge_is_up(edge->httpd, EDGE_STORAGED))
        server_on_edges_up(edge->httpd->server);
}

static void edge_on_down(void *context)
{
    struct edge *edge = context;
    logger_warning("edge_down", "peer=%s", proto_role_name(peers[edge->peer].role));
    if (edge->peer == EDGE_RAFTD) {
        writes_on_raftd_down(edge->httpd->writes);
    } else {
        scans_on_storaged_down(edge->httpd->scans);
        watches_on_storaged_down(edge->httpd->watches);
    }
    reads_on_edge_down(edge->httpd->reads, edge->peer);
}

int httpd_dial(struct httpd *httpd, struct error *error)
{
    struct buffer hello = {0};
    hello_encode(&hello, &httpd->hello);
    int code = 0;
    for (unsigned peer = 0; !code && peer < EDGES_COUNT; peer++) {
        struct edge *edge = &httpd->edges[peer];
        edge->httpd = httpd;
        edge->peer = (enum edge_peer)peer;
        struct bus_client_options options = {
            .loop = httpd->loop,
            .url = peers[peer].url,
            .hello = hello.bytes,
            .hello_bytes = hello.length,
            .on_welcome = edge_on_welcome,
            .on_up = edge_on_up,
            .on_down = edge_on_down,
            .context = edge,
        };
        code = bus_client_new(&edge->client, &options, error);
    }
    buffer_free(&hello);
    return code;
}

void httpd_hang_up(struct httpd *httpd)
{
    for (unsigned peer = 0; peer < EDGES_COUNT; peer++) {
        bus_client_free(httpd->edges[peer].client);
        httpd->edges[peer].client = NULL;
    }
}
