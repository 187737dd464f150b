#include "peer.h"

#include "list.h"
#include "message.h"

#include <errno.h>
#include <string.h>

#define RAFT_AT_COUNT 0u
#define MESSAGE_BYTES 71u /* u8, eight u64, u32, u8, u8 */
#define ENTRIES_AT_MESSAGE_COUNT 65u
#define ENTRIES_AT_COUNT MESSAGE_BYTES

static void get_bytes(struct wire_reader *body, uint8_t *into, size_t length)
{
    const uint8_t *bytes = wire_get_bytes(body, length);
    if (bytes)
        memcpy(into, bytes, length);
}

/* ---- greeting and inviting ---- */

/* The hello's own decoder wants all of its bytes: they stand as a blob before the rest. */
void peer_hello_encode(struct buffer *into, const struct peer_hello *hello)
{
    struct buffer first = {0};
    hello_encode(&first, &hello->hello);
    wire_put_blob(into, first.bytes, first.length);
    buffer_free(&first);
    wire_put_bytes(into, hello->cluster_id, sizeof(hello->cluster_id));
    wire_put_u64(into, hello->number);
    wire_put_u64(into, hello->meant);
    wire_put_u8(into, (uint8_t)hello->channel);
    wire_put_text(into, hello->raft_address);
    wire_put_text(into, hello->http_url);
}

static bool peer_hello_is_sane(const struct peer_hello *hello, uint8_t channel)
{
    if (!hello->hello.node_id[0])
        return false;
    if (hello->hello.role == PROTO_ROLE_INVITER)
        return channel == PEER_INVITATION && hello->number;
    return hello->hello.role == PROTO_ROLE_MEMBER &&
           (channel == PEER_CONTROL || channel == PEER_BULK);
}

int peer_hello_decode(struct wire_reader *body, struct peer_hello *ret_hello)
{
    struct peer_hello hello = {0};
    size_t length;
    const uint8_t *bytes = wire_get_blob(body, LIMIT_GREETING_BYTES_MAX, &length);
    struct wire_reader first = wire_reader_of(bytes, bytes ? length : 0);
    if (!bytes || hello_decode(&first, &hello.hello))
        return -EPROTO;
    get_bytes(body, hello.cluster_id, sizeof(hello.cluster_id));
    hello.number = wire_get_u64(body);
    hello.meant = wire_get_u64(body);
    uint8_t channel = wire_get_u8(body);
    hello.channel = (enum peer_channel)channel;
    wire_get_text(body, hello.raft_address, sizeof(hello.raft_address));
    wire_get_text(body, hello.http_url, sizeof(hello.http_url));
    if (!wire_finished(body) || !peer_hello_is_sane(&hello, channel))
        return -EPROTO;
    *ret_hello = hello;
    return 0;
}

void invite_encode(struct buffer *into, const struct invite *invite)
{
    wire_put_bytes(into, invite->cluster_id, sizeof(invite->cluster_id));
    wire_put_u64(into, invite->number);
    wire_put_text(into, invite->node_id);
}

int invite_decode(struct wire_reader *body, struct invite *ret_invite)
{
    struct invite invite = {0};
    get_bytes(body, invite.cluster_id, sizeof(invite.cluster_id));
    invite.number = wire_get_u64(body);
    wire_get_text(body, invite.node_id, sizeof(invite.node_id));
    if (!wire_finished(body) || !invite.node_id[0])
        return -EPROTO;
    *ret_invite = invite;
    return 0;
}

void invited_encode(struct buffer *into, const struct invited *invited)
{
    wire_put_u16(into, invited->status);
    wire_put_text(into, invited->reason);
    wire_put_u64(into, invited->number);
    wire_put_text(into, invited->node_id);
    wire_put_text(into, invited->http_url);
}

int invited_decode(struct wire_reader *body, struct invited *ret_invited)
{
    struct invited invited = {0};
    invited.status = wire_get_u16(body);
    wire_get_text(body, invited.reason, sizeof(invited.reason));
    invited.number = wire_get_u64(body);
    wire_get_text(body, invited.node_id, sizeof(invited.node_id));
    wire_get_text(body, invited.http_url, sizeof(invited.http_url));
    if (!wire_finished(body) || invited.status > PROTO_STATUS_UNREACHABLE ||
        (invited.status == PROTO_STATUS_OK && !invited.number))
        return -EPROTO;
    *ret_invited = invited;
    return 0;
}

/* ---- messages ---- */

static void message_put(struct buffer *into, const struct peer_message *message)
{
    wire_put_u8(into, message->type);
    wire_put_u64(into, message->from);
    wire_put_u64(into, message->to);
    wire_put_u64(into, message->term);
    wire_put_u64(into, message->index);
    wire_put_u64(into, message->log_term);
    wire_put_u64(into, message->rejected);
    wire_put_u64(into, message->commit);
    wire_put_u64(into, message->round);
    wire_put_u32(into, message->count);
    wire_put_u8(into, message->ok);
    wire_put_u8(into, message->transfer);
}

static bool message_get(struct wire_reader *body, struct peer_message *message)
{
    message->type = wire_get_u8(body);
    message->from = wire_get_u64(body);
    message->to = wire_get_u64(body);
    message->term = wire_get_u64(body);
    message->index = wire_get_u64(body);
    message->log_term = wire_get_u64(body);
    message->rejected = wire_get_u64(body);
    message->commit = wire_get_u64(body);
    message->round = wire_get_u64(body);
    message->count = wire_get_u32(body);
    uint8_t ok = wire_get_u8(body), transfer = wire_get_u8(body);
    message->ok = ok == 1;
    message->transfer = transfer == 1;
    return !body->failed && ok <= 1 && transfer <= 1 && message->from && message->to &&
           message->type >= PEER_MESSAGE_TYPE_MIN && message->type <= PEER_MESSAGE_TYPE_MAX;
}

static bool message_step(struct wire_reader *body)
{
    struct peer_message message;
    return message_get(body, &message) && message.count == 0;
}

void peer_raft_begin(struct buffer *into)
{
    into->length = 0;
    wire_put_u32(into, 0);
}

void peer_raft_add(struct buffer *into, const struct peer_message *message)
{
    message_put(into, message);
    list_count_one(into, RAFT_AT_COUNT);
}

uint32_t peer_raft_count(const struct buffer *raft)
{
    return raft->length ? wire_load_u32(raft->bytes + RAFT_AT_COUNT) : 0;
}

int peer_raft_decode(struct wire_reader *body, struct message_list *ret_list)
{
    return list_check(body, message_step, ret_list) ? 0 : -EPROTO;
}

bool peer_raft_next(struct message_list *list, struct peer_message *ret_message)
{
    return list_take(list) && message_get(&list->reader, ret_message);
}

/* ---- entries ---- */

void peer_entries_begin(struct buffer *into, const struct peer_message *message)
{
    struct peer_message empty = *message;
    empty.count = 0;
    into->length = 0;
    message_put(into, &empty);
    wire_put_u32(into, 0);
}

void peer_entries_add(struct buffer *into, const struct apply_entry *entry)
{
    entry_put(into, entry);
    list_count_one(into, ENTRIES_AT_COUNT);
    list_count_one(into, ENTRIES_AT_MESSAGE_COUNT);
}

uint32_t peer_entries_count(const struct buffer *entries)
{
    return entries->length ? wire_load_u32(entries->bytes + ENTRIES_AT_COUNT) : 0;
}

int peer_entries_decode(struct wire_reader *body, struct peer_message *ret_message,
                        struct message_list *ret_list)
{
    struct peer_message message;
    struct message_list list;
    if (!message_get(body, &message) || !list_check(body, entry_step, &list) ||
        message.count != list.left)
        return -EPROTO;
    *ret_message = message;
    *ret_list = list;
    return 0;
}

bool peer_entries_next(struct message_list *list, struct apply_entry *ret_entry)
{
    return apply_next(list, ret_entry);
}

/* ---- the state ---- */

void peer_state_encode(struct buffer *into, const struct peer_state *state)
{
    wire_put_u64(into, state->applied_index);
    wire_put_bytes(into, state->hash, sizeof(state->hash));
    wire_put_u64(into, state->mark_index);
    wire_put_bytes(into, state->mark_hash, sizeof(state->mark_hash));
}

int peer_state_decode(struct wire_reader *body, struct peer_state *ret_state)
{
    struct peer_state state = {0};
    state.applied_index = wire_get_u64(body);
    get_bytes(body, state.hash, sizeof(state.hash));
    state.mark_index = wire_get_u64(body);
    get_bytes(body, state.mark_hash, sizeof(state.mark_hash));
    if (!wire_finished(body))
        return -EPROTO;
    *ret_state = state;
    return 0;
}

void peer_diverged_encode(struct buffer *into, uint64_t index)
{
    wire_put_u64(into, index);
}

int peer_diverged_decode(struct wire_reader *body, uint64_t *ret_index)
{
    *ret_index = wire_get_u64(body);
    return wire_finished(body) ? 0 : -EPROTO;
}
