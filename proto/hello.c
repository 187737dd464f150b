#include "hello.h"

#include "frame.h"

#include <errno.h>
#include <string.h>

struct hello hello_of(enum proto_role role, uint64_t boot_epoch, const char *node_id)
{
    struct hello hello = {
        .version_min = FRAME_VERSION,
        .version_max = FRAME_VERSION,
        .role = role,
        .boot_epoch = boot_epoch,
    };
    strncpy(hello.node_id, node_id, LIMIT_NODE_ID_BYTES_MAX);
    return hello;
}

void hello_encode(struct buffer *into, const struct hello *hello)
{
    wire_put_u16(into, hello->version_min);
    wire_put_u16(into, hello->version_max);
    wire_put_u8(into, (uint8_t)hello->role);
    wire_put_u64(into, hello->boot_epoch);
    wire_put_text(into, hello->node_id);
}

int hello_decode(struct wire_reader *body, struct hello *ret_hello)
{
    struct hello hello = {0};
    hello.version_min = wire_get_u16(body);
    hello.version_max = wire_get_u16(body);
    uint8_t role = wire_get_u8(body);
    hello.boot_epoch = wire_get_u64(body);
    wire_get_text(body, hello.node_id, sizeof(hello.node_id));
    if (!wire_finished(body) || role < PROTO_ROLE_STORAGED || role > PROTO_ROLE_INVITER ||
        hello.version_min > hello.version_max || hello.boot_epoch == 0)
        return -EPROTO;
    hello.role = (enum proto_role)role;
    *ret_hello = hello;
    return 0;
}

int hello_check_version(const struct hello *own, const struct hello *peer, struct error *error)
{
    if (peer->version_min > own->version_max || peer->version_max < own->version_min)
        return error_set(error, -EPROTO, "%s speaks message versions %u to %u, this is %u to %u",
                         proto_role_name(peer->role), peer->version_min, peer->version_max,
                         own->version_min, own->version_max);
    return 0;
}

int hello_check(const struct hello *own, const struct hello *peer, enum proto_role role_allowed,
                struct error *error)
{
    const char *role = proto_role_name(peer->role);
    int code = hello_check_version(own, peer, error);
    if (code)
        return code;
    if (strcmp(own->node_id, peer->node_id))
        return error_set(error, -EPROTO, "%s belongs to node %s, this is %s", role, peer->node_id,
                         own->node_id);
    if (role_allowed != PROTO_ROLE_ANY && peer->role != role_allowed)
        return error_set(error, -EPROTO, "a %s is not expected here, want %s", role,
                         proto_role_name(role_allowed));
    return 0;
}
