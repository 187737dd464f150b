/* Who calls here: greeted, or refused with the reason; and what they send.
 *
 * Not being in this node's membership is no reason: a node that lags must hear a leader it does not
 * know yet. What counts is the cluster, and that this node is the member that is meant. */
#include "peers_private.h"

#include "limits.h"
#include "logger.h"
#include "message.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define REFUSAL_LOG_MS 60000u /* the same reason again */
#define REFUSALS_LOG_MS 1000u /* another one */

void peers_url(char into[LIMIT_URL_BYTES_MAX], const char *address)
{
    snprintf(into, LIMIT_URL_BYTES_MAX, "tcp://%s", address);
}

/* ---- greeting ---- */

void peers_hello(const struct peers *peers, enum peer_channel channel, uint64_t meant,
                 struct buffer *into)
{
    const struct peers_self *self = &peers->self;
    enum proto_role role = channel == PEER_INVITATION ? PROTO_ROLE_INVITER : PROTO_ROLE_MEMBER;
    struct peer_hello hello = {.number = self->number, .meant = meant, .channel = channel};
    hello.hello = hello_of(role, peers->boot_epoch, self->node_id);
    memcpy(hello.cluster_id, self->cluster_id, sizeof(hello.cluster_id));
    memcpy(hello.raft_address, self->raft_address, sizeof(hello.raft_address));
    memcpy(hello.http_url, self->http_url, sizeof(hello.http_url));
    peer_hello_encode(into, &hello);
}

static int check_caller(const struct peers *peers, const struct peer_hello *caller,
                        struct error *error)
{
    const struct peers_self *self = &peers->self;
    struct hello own = hello_of(PROTO_ROLE_MEMBER, peers->boot_epoch, self->node_id);
    int code = hello_check_version(&own, &caller->hello, error);
    if (code)
        return code;
    if (self->number && caller->number == self->number)
        return error_set(error, -EPROTO, "this is %s itself", self->node_id);
    if (!strcmp(caller->hello.node_id, self->node_id))
        return error_set(error, -EPROTO, "%s is the name of this node too", self->node_id);
    if (caller->channel == PEER_INVITATION)
        return 0;
    if (!self->number || !caller->number)
        return error_set(error, -EPROTO, "%s is in no cluster",
                         self->number ? caller->hello.node_id : self->node_id);
    if (memcmp(self->cluster_id, caller->cluster_id, sizeof(self->cluster_id)))
        return error_set(error, -EPROTO, "%s belongs to another cluster", self->node_id);
    if (caller->meant != self->number)
        return error_set(error, -EPROTO,
                         "%s is not the member that is meant: its disk was exchanged or wiped",
                         self->node_id);
    return 0;
}

static uint32_t inviters_count(const struct peers *peers)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < LIMIT_BUS_PEERS_MAX; i++)
        if (peers->callers[i].channel == PEER_INVITATION)
            count += peers->callers[i].links_count;
    return count;
}

/* NULL: there are as many as there can be connections, or inviters. */
static struct caller *caller_place(struct peers *peers, const struct peer_hello *hello)
{
    struct caller *free_place = NULL;
    if (hello->channel == PEER_INVITATION && inviters_count(peers) >= PEERS_INVITERS_MAX)
        return NULL;
    for (uint32_t i = 0; i < LIMIT_BUS_PEERS_MAX; i++) {
        struct caller *caller = &peers->callers[i];
        if (!caller->links_count)
            free_place = caller;
        else if (caller->number == hello->number && caller->channel == hello->channel)
            return caller;
    }
    if (free_place)
        *free_place = (struct caller){.number = hello->number, .channel = hello->channel};
    return free_place;
}

/* A restarted member has another epoch too, but its connections ended with it; and two cannot
 * listen at one address. */
static int check_copy(const struct peers *peers, const struct caller *caller,
                      const struct peer_hello *hello, struct error *error)
{
    uint64_t heard_ms =
        caller->links_count
            ? bus_server_heard_ms(peers->server, (uint32_t)(caller - peers->callers))
            : 0;
    if (!heard_ms || loop_now_ms(peers->options.loop) - heard_ms > PEERS_COPY_MS ||
        hello->hello.boot_epoch == caller->boot_epoch ||
        !strcmp(hello->raft_address, caller->raft_address))
        return 0;
    return error_set(error, -EPROTO,
                     "%s runs at %s already: stop the one at %s, its disk is a copy",
                     hello->hello.node_id, caller->raft_address, hello->raft_address);
}

static int on_hello(void *context, struct wire_reader *body, uint32_t *ret_peer,
                    struct buffer *welcome, struct error *error)
{
    struct peers *peers = context;
    struct peer_hello hello;
    if (peer_hello_decode(body, &hello))
        return error_set(error, -EPROTO, "not a HELLO of a member");
    int code = check_caller(peers, &hello, error);
    if (code)
        return code;
    struct caller *caller = caller_place(peers, &hello);
    if (!caller)
        return error_set(error, -EBUSY, "too many callers");
    uint32_t place = (uint32_t)(caller - peers->callers);
    bool is_member = hello.channel != PEER_INVITATION;
    code = is_member ? check_copy(peers, caller, &hello, error) : 0;
    if (code)
        return code;
    if (is_member) /* an older connection of this kind is dead, or says old things */
        bus_server_drop(peers->server, place);
    caller->links_count++;
    caller->boot_epoch = hello.hello.boot_epoch;
    memcpy(caller->raft_address, hello.raft_address, sizeof(caller->raft_address));
    *ret_peer = place;
    peers_hello(peers, is_member ? hello.channel : PEER_CONTROL, hello.number, welcome);
    if (!is_member)
        return 0;
    peers_met(peers, &hello);
    peers->options.on_seen(peers->options.context, hello.number, hello.raft_address,
                           hello.http_url);
    return 0;
}

static void on_parted(void *context, uint32_t place)
{
    struct peers *peers = context;
    peers->callers[place].links_count--;
}

static void on_refused(void *context, const char *text)
{
    struct peers *peers = context;
    char shown[sizeof(peers->refusal)], reason[sizeof(peers->refusal) * 4 + 8];
    uint64_t since_ms = loop_now_ms(peers->options.loop) - peers->refusal_ms;
    snprintf(shown, sizeof(shown), "%s", text);
    if (since_ms < (strcmp(shown, peers->refusal) ? REFUSALS_LOG_MS : REFUSAL_LOG_MS))
        return;
    memcpy(peers->refusal, shown, sizeof(shown));
    peers->refusal_ms = loop_now_ms(peers->options.loop);
    logger_warning("caller_refused", "reason=%s", logger_quoted(reason, sizeof(reason), shown));
}

bool peers_is_calling(const struct peers *peers, uint64_t number)
{
    for (uint32_t i = 0; i < LIMIT_BUS_PEERS_MAX; i++)
        if (peers->callers[i].links_count && peers->callers[i].number == number &&
            peers->callers[i].channel != PEER_INVITATION)
            return true;
    return false;
}

void peers_drop_callers(struct peers *peers)
{
    for (uint32_t i = 0; i < LIMIT_BUS_PEERS_MAX; i++)
        if (peers->callers[i].links_count && peers->callers[i].channel != PEER_INVITATION)
            bus_server_drop(peers->server, i);
}

/* ---- what comes in ---- */

typedef int peers_handler(struct peers *peers, uint64_t from, struct bus_request *request);

static int on_raft(struct peers *peers, uint64_t from, struct bus_request *request)
{
    struct message_list list;
    struct peer_message wire;
    int code = peer_raft_decode(&request->body, &list);
    while (!code && peer_raft_next(&list, &wire)) {
        struct raft_message message = peers_core_of(&wire);
        if (message.from == from && message.to == peers->self.number)
            peers->options.on_message(peers->options.context, &message);
    }
    return code;
}

static int on_entries(struct peers *peers, uint64_t from, struct bus_request *request)
{
    struct message_list list;
    struct peer_message wire;
    int code = peer_entries_decode(&request->body, &wire, &list);
    if (code || wire.from != from || wire.to != peers->self.number)
        return -EPROTO;
    struct raft_message message = peers_core_of(&wire);
    peers->options.on_entries(peers->options.context, &message, list);
    return 0;
}

static int on_invite(struct peers *peers, uint64_t from, struct bus_request *request)
{
    struct invite invite;
    struct invited invited = {0};
    struct buffer body = {0};
    (void)from;
    int code = invite_decode(&request->body, &invite);
    if (code)
        return code;
    peers->options.on_invite(peers->options.context, &invite, &invited);
    invited_encode(&body, &invited);
    bus_reply(peers->server, &request->route, PROTO_INVITED, &body);
    buffer_free(&body);
    return 0;
}

static int on_ping(struct peers *peers, uint64_t from, struct bus_request *request)
{
    (void)from;
    bus_reply(peers->server, &request->route, PROTO_PONG, NULL);
    return 0;
}

static int on_state(struct peers *peers, uint64_t from, struct bus_request *request)
{
    struct peer_state state;
    int code = peer_state_decode(&request->body, &state);
    if (!code)
        peers->options.on_state(peers->options.context, from, &state);
    return code;
}

static int on_diverged(struct peers *peers, uint64_t from, struct bus_request *request)
{
    uint64_t index;
    int code = peer_diverged_decode(&request->body, &index);
    if (!code)
        peers->options.on_diverged(peers->options.context, from, index);
    return code;
}

static int on_call(struct peers *peers, uint64_t from, struct bus_request *request)
{
    return peers->options.on_call(peers->options.context, from, request);
}

static const struct {
    uint16_t type;
    peers_handler *handler;
} handlers[] = {
    {PROTO_RAFT, on_raft},
    {PROTO_ENTRIES, on_entries},
    {PROTO_PING, on_ping},
    {PROTO_STATE, on_state},
    {PROTO_DIVERGED, on_diverged},
    {PROTO_INVITE, on_invite},
    {PROTO_SNAPSHOT_BEGIN_TO, on_call},
    {PROTO_SNAPSHOT_PART_TO, on_call},
    {PROTO_SNAPSHOT_END_TO, on_call},
};
#define HANDLERS_COUNT (sizeof(handlers) / sizeof(*handlers))

const uint16_t *peers_handled(void)
{
    static uint16_t numbers[HANDLERS_COUNT + 1];
    for (unsigned i = 0; i < HANDLERS_COUNT; i++)
        numbers[i] = handlers[i].type;
    return numbers;
}

static void on_request(void *context, struct bus_request *request)
{
    struct peers *peers = context;
    const struct caller *caller = &peers->callers[request->peer];
    enum proto_role role =
        caller->channel == PEER_INVITATION ? PROTO_ROLE_INVITER : PROTO_ROLE_MEMBER;
    int code = -EPROTO;
    if (proto_call_allowed(request->type, role, PROTO_ROLE_MEMBER, request->body.left))
        for (unsigned i = 0; i < HANDLERS_COUNT; i++)
            if (handlers[i].type == request->type)
                code = handlers[i].handler(peers, caller->number, request);
    if (!code)
        return;
    char text[64];
    snprintf(text, sizeof(text), "message %u makes no sense here", (unsigned)request->type);
    on_refused(peers, text);
    bus_refuse(peers->server, &request->route, PROTO_STATUS_BAD_REQUEST, text);
}

/* ---- listening ---- */

int peers_listen(struct peers *peers, struct error *error)
{
    char address[LIMIT_ADDRESS_BYTES_MAX], url[LIMIT_URL_BYTES_MAX];
    struct config_address listen = *peers->options.listen;
    struct bus_server_options server = {
        .loop = peers->options.loop,
        .url = url,
        .epoch = peers->boot_epoch,
        .on_hello = on_hello,
        .on_request = on_request,
        .on_parted = on_parted,
        .on_refused = on_refused,
        .silence_ms_max = PEERS_BULK_SILENCE_MS_MAX,
        .context = peers,
    };
    bool is_any = !listen.host[0];
    if (is_any)
        memcpy(listen.host, "::", sizeof("::")); /* IPv4 comes in there too */
    config_address_format(&listen, address, sizeof(address));
    peers_url(url, address);
    int code = bus_server_new(&peers->server, &server, error);
    if (!is_any || (code != -ENOTSUP && code != -EADDRNOTAVAIL))
        return code;
    memcpy(listen.host, "0.0.0.0", sizeof("0.0.0.0")); /* a machine without IPv6 */
    config_address_format(&listen, address, sizeof(address));
    peers_url(url, address);
    return bus_server_new(&peers->server, &server, error);
}
