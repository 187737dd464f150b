/* The connections to one other raftd: dialled, greeted, and watched by pings.
 *
 * On `control` an answer must come within PEERS_SILENCE_MS_MAX, for nothing else waits there; if
 * not, both connections are dropped. On `bulk` the answer stands in line behind megabytes: there it
 * has PEERS_BULK_SILENCE_MS_MAX, and longer while bytes are being written. */
#include "peers_private.h"

#include "clock.h"
#include "limits.h"
#include "logger.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

bool peer_is_up(const struct peer *peer, int link)
{
    return peer && !peer->is_stale && !peer->is_gone && peer->links[link].client &&
           bus_client_is_up(peer->links[link].client);
}

/* ---- the bus ---- */

static void on_refused(void *context, const char *text)
{
    struct peer *peer = ((struct peer_link *)context)->peer;
    char reason[ERROR_TEXT_BYTES + 8], shown[sizeof(peer->refusal)];
    snprintf(shown, sizeof(shown), "%s", text);
    if (!strcmp(shown, peer->refusal))
        return;
    memcpy(peer->refusal, shown, sizeof(shown));
    logger_warning("member_refuses", "node_id=%s address=%s reason=%s", peer->id, peer->address,
                   logger_quoted(reason, sizeof(reason), shown));
}

static int on_welcome(void *context, struct wire_reader *body, uint64_t *ret_epoch)
{
    struct peer_link *link = context;
    const struct peers *peers = link->peer->peers;
    struct peer_hello callee;
    if (peer_hello_decode(body, &callee) || callee.number != link->peer->number ||
        memcmp(callee.cluster_id, peers->self.cluster_id, sizeof(callee.cluster_id))) {
        on_refused(link, "another one answers there");
        return -EPROTO;
    }
    *ret_epoch = callee.hello.boot_epoch;
    return 0;
}

static void on_up(void *context)
{
    struct peer_link *link = context;
    struct peer *peer = link->peer;
    peer->counters.connects++;
    if (link != &peer->links[CONTROL])
        return;
    peer->refusal[0] = '\0';
    logger_info("member_up", "node_id=%s address=%s", peer->id, peer->address);
    peer_ping(peer);
}

static void on_down(void *context)
{
    struct peer_link *link = context;
    struct peer *peer = link->peer;
    if (link == &peer->links[BULK]) {
        peer->peers->options.on_lost(peer->peers->options.context, peer->number);
    } else {
        peer->queued.length = 0;
        logger_info("member_down", "node_id=%s address=%s", peer->id, peer->address);
    }
}

void peer_hang_up(struct peer *peer)
{
    for (int i = 0; i < LINKS; i++) {
        bus_client_retire(peer->links[i].client);
        peer->links[i] = (struct peer_link){0};
    }
}

void peer_dial(struct peer *peer)
{
    struct peers *peers = peer->peers;
    char url[LIMIT_URL_BYTES_MAX], reason[ERROR_TEXT_BYTES + 8];
    struct error error = {""};
    peers_url(url, peer->address);
    for (int i = 0; i < LINKS; i++) {
        struct peer_link *link = &peer->links[i];
        struct buffer hello = {0};
        peers_hello(peers, i == CONTROL ? PEER_CONTROL : PEER_BULK, peer->number, &hello);
        struct bus_client_options options = {
            .loop = peers->options.loop,
            .url = url,
            .hello = hello.bytes,
            .hello_bytes = hello.length,
            .on_welcome = on_welcome,
            .on_refused = on_refused,
            .on_up = on_up,
            .on_down = on_down,
            .context = link,
        };
        *link = (struct peer_link){.peer = peer};
        if (bus_client_new(&link->client, &options, &error))
            logger_error("member_not_dialled", "node_id=%s reason=%s", peer->id,
                         logger_quoted(reason, sizeof(reason), error.text));
        buffer_free(&hello);
    }
}

void peer_tell_absence(struct peer *peer, uint64_t now_ms)
{
    const struct bus_client *client = peer->links[CONTROL].client;
    int code = client ? bus_client_dial_code(client) : 0;
    if (peer_is_up(peer, CONTROL))
        peer->up_ms = now_ms;
    if (!peer->up_ms || now_ms - peer->up_ms < PEERS_ABSENCE_MS || peer->refusal[0])
        return;
    peer->up_ms = 0;
    logger_warning("member_unreachable", "node_id=%s address=%s reason=\"%s\"", peer->id,
                   peer->address, code ? strerror(-code) : "no answer");
}

/* ---- pings ---- */

/* The clock went on without this process: what it missed it did not look for. */
static bool has_overslept(const struct peer_link *link)
{
    return loop_now_ms(link->peer->peers->options.loop) > link->ping_due_ms + PEERS_PING_MS;
}

static void on_control_silent(struct peer *peer)
{
    logger_warning("member_silent", "node_id=%s address=%s", peer->id, peer->address);
    peer->counters.round_trip_us = 0;
    for (int i = 0; i < LINKS; i++)
        if (peer->links[i].client)
            bus_client_reset(peer->links[i].client);
}

static void on_bulk_silent(struct peer *peer)
{
    struct peer_link *link = &peer->links[BULK];
    if (bus_client_written_bytes(link->client) != link->ping_written_bytes)
        return; /* slow, but it moves */
    logger_warning("member_silent", "node_id=%s address=%s connection=bulk", peer->id,
                   peer->address);
    bus_client_reset(link->client);
}

static void on_pong(void *context, enum bus_end end, uint16_t type, struct wire_reader *body)
{
    struct peer_link *link = context;
    struct peer *peer = link->peer;
    uint64_t sent_us = link->ping_us;
    bool is_control = link == &peer->links[CONTROL];
    (void)body;
    link->ping_us = 0;
    if (end == BUS_REPLIED && type == PROTO_PONG && is_control)
        peer->counters.round_trip_us = clock_monotonic_us() - sent_us;
    if (end != BUS_TIMED_OUT || has_overslept(link))
        return;
    if (is_control)
        on_control_silent(peer);
    else
        on_bulk_silent(peer);
}

static void link_ping(struct peer_link *link, uint64_t patience_ms)
{
    if (link->ping_us)
        return;
    link->ping_us = clock_monotonic_us();
    link->ping_due_ms = loop_now_ms(link->peer->peers->options.loop) + patience_ms;
    link->ping_written_bytes = bus_client_written_bytes(link->client);
    if (bus_call(link->client, PROTO_PING, NULL, link->ping_due_ms, on_pong, link))
        link->ping_us = 0;
}

void peer_ping(struct peer *peer)
{
    if (peer_is_up(peer, CONTROL))
        link_ping(&peer->links[CONTROL], PEERS_SILENCE_MS_MAX);
    if (peer_is_up(peer, BULK))
        link_ping(&peer->links[BULK], PEERS_BULK_SILENCE_MS_MAX);
}
