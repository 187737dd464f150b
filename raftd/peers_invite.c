/* Asking a node that is no member yet. */
#include "peers_private.h"

#include "buffer.h"
#include "message.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* The client is freed outside its own callbacks, at the turn's end. */
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
    if (invitation->end.is_set)
        return;
    invitation->answer = *answer;
    loop_timer_cancel(peers->options.loop, &invitation->deadline);
    loop_before_wait(peers->options.loop, &invitation->end, invitation_on_end, peers);
}

static void invitation_fail(struct peers *peers, uint16_t status, const char *reason)
{
    struct invited answer = {.status = status};
    snprintf(answer.reason, sizeof(answer.reason), "%s", reason);
    invitation_end(peers, &answer);
}

static void on_answer(void *context, enum bus_end end, uint16_t type, struct wire_reader *body)
{
    struct peers *peers = context;
    struct invited answer;
    if (end == BUS_REPLIED && type == PROTO_INVITED && !invited_decode(body, &answer))
        invitation_end(peers, &answer);
    else
        invitation_fail(peers, PROTO_STATUS_UNREACHABLE,
                        end == BUS_PEER_GONE ? "it hung up" : "it did not answer");
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
    invitation_fail(context, PROTO_STATUS_REFUSED, text);
}

static void on_up(void *context)
{
    struct peers *peers = context;
    struct buffer body = {0};
    invite_encode(&body, &peers->invitation.invite);
    if (bus_call(peers->invitation.client, PROTO_INVITE, &body, peers->invitation.deadline.due_ms,
                 on_answer, peers))
        invitation_fail(peers, PROTO_STATUS_UNREACHABLE, "it hung up");
    buffer_free(&body);
}

static void on_down(void *context)
{
    (void)context; /* its call has ended before */
}

static void on_deadline(void *context)
{
    invitation_fail(context, PROTO_STATUS_UNREACHABLE, "nobody answers there");
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
    peers_hello(peers, PROTO_ROLE_INVITER, 0, &hello);
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
    invitation->invite = *invite;
    invitation->fn = fn;
    invitation->context = context;
    loop_timer_set(peers->options.loop, &invitation->deadline, deadline_ms, on_deadline, peers);
    return 0;
}
