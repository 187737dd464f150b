#include "members.h"

#include "list.h"
#include "message.h"

#include <errno.h>

/* ---- JOIN ---- */

void join_encode(struct buffer *into, const struct join *join)
{
    into->length = 0;
    wire_put_text(into, join->id);
    wire_put_text(into, join->raft_address);
}

int join_decode(struct wire_reader *body, struct join *ret_join)
{
    struct join join = {""};
    wire_get_text(body, join.id, sizeof(join.id));
    wire_get_text(body, join.raft_address, sizeof(join.raft_address));
    if (!wire_finished(body) || !join.id[0] || !join.raft_address[0])
        return -EPROTO;
    *ret_join = join;
    return 0;
}

/* ---- REMOVE and TRANSFER ---- */

static int name_decode(struct wire_reader *body, struct member_name *ret_name)
{
    struct member_name name = {""};
    wire_get_text(body, name.id, sizeof(name.id));
    if (!wire_finished(body))
        return -EPROTO;
    *ret_name = name;
    return 0;
}

void remove_encode(struct buffer *into, const struct member_name *name)
{
    into->length = 0;
    wire_put_text(into, name->id);
}

int remove_decode(struct wire_reader *body, struct member_name *ret_name)
{
    struct member_name name;
    if (name_decode(body, &name) || !name.id[0])
        return -EPROTO;
    *ret_name = name;
    return 0;
}

void transfer_encode(struct buffer *into, const struct member_name *name)
{
    into->length = 0;
    wire_put_text(into, name->id);
}

int transfer_decode(struct wire_reader *body, struct member_name *ret_name)
{
    return name_decode(body, ret_name);
}

/* ---- MEMBERS_OK ---- */

void members_ok_encode(struct buffer *into, const struct members_reply *reply)
{
    into->length = 0;
    wire_put_u16(into, reply->status);
    hint_put(into, &reply->hint);
    wire_put_text(into, reply->reason);
}

int members_ok_decode(struct wire_reader *body, struct members_reply *ret_reply)
{
    struct members_reply reply = {0};
    reply.status = wire_get_u16(body);
    hint_get(body, &reply.hint);
    wire_get_text(body, reply.reason, sizeof(reply.reason));
    if (!wire_finished(body) || reply.status > PROTO_STATUS_UNREACHABLE)
        return -EPROTO;
    *ret_reply = reply;
    return 0;
}
