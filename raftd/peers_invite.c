/* Asking a node that is no member yet, over a connection of its own. While nobody answers there it
 * is tried again until the deadline: the node may be about to start. */
#include "peers_private.h"

#include "buffer.h"
#include "message.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* On a timer: the client cannot be freed in its own callbacks, and `fn` may ask the next one. */
static void invitation_on_end(void *context)
{
    struct peers *peers = context;
    struct invitation *invitation = &peers->invitation;
    bus_client_free(invitation->client);
    invitation->client = NULL;
    invitation->fn(invitation->context, &invitation->answer);
}

static void invitation_end(struct peers *peers, const struct invited *answer)
{
    struct invitation *invitation = &peers->invitation;
    struct loop *loop = peers->options.loop;
    if (invitation->end.place)
        return;
    invitation->answer = *answer;
    loop_timer_cancel(loop, &invitation->deadline);
    loop_timer_set(loop, &invitation->end, loop_now_ms(loop), invitation_on_end, peers);
}

static int on_welcome(void *context, struct wire_reader *body, uint64_t *ret_epoch)
{
    struct peer_hello callee;
    (void)context;
    int code = peer_hello_decode(body, &callee);
    if (!code)
        *ret_epoch = callee.hello.boot_epoch;
    return code;
}

static void on_refused(void *context, const char *text)
{
    struct invited answer = {.status = PROTO_STATUS_REFUSED};
    snprintf(answer.reason, sizeof(answer.reason), "%.*s", (int)sizeof(answer.reason) - 1, text);
    invitation_end(context, &answer);
}

static void on_answer(void *context, enum bus_end end, uint16_t type, struct wire_reader *body)
{
    struct invited answer;
    if (end != BUS_REPLIED)
        return; /* asked again when it is up again, until the deadline */
    if (type != PROTO_INVITED || invited_decode(body, &answer))
        on_refused(context, "it gave an answer that makes no sense");
    else
        invitation_end(context, &answer);
}

static void on_up(void *context)
{
    struct peers *peers = context;
    struct invitation *invitation = &peers->invitation;
    struct buffer body = {0};
    if (invitation->end.place)
        return;
    invite_encode(&body, &invitation->invite);
    (void)bus_call(invitation->client, PROTO_INVITE, &body, invitation->deadline.due_ms, on_answer,
                   peers); /* the first of its client: there is room */
    buffer_free(&body);
}

static void on_down(void *context)
{
    (void)context;
}

static void on_deadline(void *context)
{
    struct peers *peers = context;
    const struct invitation *invitation = &peers->invitation;
    struct invited answer = {.status = PROTO_STATUS_UNREACHABLE};
    int code = bus_client_dial_code(invitation->client);
    if (code == -EADDRNOTAVAIL || code == -EAGAIN)
        snprintf(answer.reason, sizeof(answer.reason), "cannot connect to %s: host not found",
                 invitation->address);
    else if (code)
        snprintf(answer.reason, sizeof(answer.reason), "cannot connect to %s: %s",
                 invitation->address, strerror(-code));
    else
        snprintf(answer.reason, sizeof(answer.reason), "%s was asked and did not answer in time",
                 invitation->address);
    invitation_end(peers, &answer);
}

int peers_invite(struct peers *peers, const char *address, const struct invite *invite,
                 uint64_t deadline_ms, peers_invited_fn *fn, void *context)
{
    struct invitation *invitation = &peers->invitation;
    struct buffer hello = {0};
    char url[LIMIT_URL_BYTES_MAX];
    if (invitation->client)
        return -EBUSY;
    peers_url(url, address);
    peers_hello(peers, PEER_INVITATION, 0, &hello);
    struct bus_client_options options = {
        .loop = peers->options.loop,
        .url = url,
        .hello = hello.bytes,
        .hello_bytes = hello.length,
        .on_welcome = on_welcome,
        .on_refused = on_refused,
        .on_up = on_up,
        .on_down = on_down,
        .context = peers,
    };
    int code = bus_client_new(&invitation->client, &options, NULL);
    buffer_free(&hello);
    if (code)
        return -EINVAL;
    snprintf(invitation->address, sizeof(invitation->address), "%s", address);
    invitation->invite = *invite;
    invitation->fn = fn;
    invitation->context = context;
    loop_timer_set(peers->options.loop, &invitation->deadline, deadline_ms, on_deadline, peers);
    return 0;
}

void peers_invite_free(struct peers *peers)
{
    loop_timer_cancel(peers->options.loop, &peers->invitation.deadline);
    loop_timer_cancel(peers->options.loop, &peers->invitation.end);
    bus_client_free(peers->invitation.client);
}
