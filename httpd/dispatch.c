/* httpd's edges. It only calls: each room sends its messages and takes the replies itself
 * (writes.c: PROPOSE; reads.c: READ_INDEX, READ; inquiries.c: RAFT_STATUS, STORE_STATUS). Here is
 * who may be at the other end. */
#include "httpd.h"

#include "buffer.h"
#include "datadir.h"
#include "logger.h"
#include "message.h"

#include <errno.h>

static int check_welcome(struct httpd *httpd, struct wire_reader *body, enum proto_role role,
                         uint64_t *ret_epoch)
{
    struct hello peer;
    struct error error = {"not a WELCOME"};
    char reason[ERROR_TEXT_BYTES + 8];
    int code = hello_decode(body, &peer);
    if (!code)
        code = hello_check(&httpd->hello, &peer, role, &error);
    if (code)
        logger_error("peer_refused", "peer=%s reason=%s", proto_role_name(role),
                     logger_quoted(reason, sizeof(reason), error.text));
    else
        *ret_epoch = peer.boot_epoch;
    return code;
}

static int on_raftd_welcome(void *context, struct wire_reader *body, uint64_t *ret_epoch)
{
    return check_welcome(context, body, PROTO_ROLE_RAFTD, ret_epoch);
}

static int on_storaged_welcome(void *context, struct wire_reader *body, uint64_t *ret_epoch)
{
    return check_welcome(context, body, PROTO_ROLE_STORAGED, ret_epoch);
}

static void on_raftd_up(void *context)
{
    (void)context;
    logger_info("raftd_up", "url=%s", DATADIR_RAFTD_URL);
}

static void on_raftd_down(void *context)
{
    (void)context;
    logger_warning("raftd_away", "url=%s", DATADIR_RAFTD_URL);
}

static void on_storaged_up(void *context)
{
    (void)context;
    logger_info("storaged_up", "url=%s", DATADIR_STORAGED_URL);
}

static void on_storaged_down(void *context)
{
    (void)context;
    logger_warning("storaged_away", "url=%s", DATADIR_STORAGED_URL);
}

int httpd_dial(struct httpd *httpd, struct error *error)
{
    struct buffer hello = {0};
    hello_encode(&hello, &httpd->hello);
    struct bus_client_options options = {
        .loop = httpd->loop,
        .url = DATADIR_RAFTD_URL,
        .hello = hello.bytes,
        .hello_bytes = hello.length,
        .on_welcome = on_raftd_welcome,
        .on_up = on_raftd_up,
        .on_down = on_raftd_down,
        .context = httpd,
    };
    int code = bus_client_new(&httpd->raftd, &options, error);
    options.url = DATADIR_STORAGED_URL;
    options.on_welcome = on_storaged_welcome;
    options.on_up = on_storaged_up;
    options.on_down = on_storaged_down;
    if (!code)
        code = bus_client_new(&httpd->storaged, &options, error);
    buffer_free(&hello);
    return code;
}

bool httpd_is_reply(enum bus_end end, uint16_t type, uint16_t wanted)
{
    return end == BUS_REPLIED && type == wanted;
}
