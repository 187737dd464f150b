#include "membership.h"

#include <errno.h>

void membership_encode(struct buffer *into, const struct membership *membership)
{
    wire_put_u32(into, membership->count);
    for (uint32_t i = 0; i < membership->count; i++) {
        wire_put_u64(into, membership->numbers[i]);
        wire_put_u8(into, membership->servers[i].voter);
        wire_put_text(into, membership->servers[i].id);
        wire_put_text(into, membership->servers[i].raft_address);
        wire_put_text(into, membership->servers[i].http_url);
    }
}

bool membership_fits(const struct membership *membership)
{
    struct buffer entry = {0};
    membership_encode(&entry, membership);
    bool fits = entry.length <= LIMIT_CONFIGURATION_BYTES_MAX;
    buffer_free(&entry);
    return fits;
}

int membership_decode(struct wire_reader *body, struct membership *ret_membership)
{
    struct membership membership = {0};
    membership.count = wire_get_u32(body);
    if (membership.count > RAFT_MEMBERS_MAX)
        return -EPROTO;
    for (uint32_t i = 0; i < membership.count; i++) {
        struct raft_server *server = &membership.servers[i];
        membership.numbers[i] = wire_get_u64(body);
        uint8_t voter = wire_get_u8(body);
        wire_get_text(body, server->id, sizeof(server->id));
        wire_get_text(body, server->raft_address, sizeof(server->raft_address));
        wire_get_text(body, server->http_url, sizeof(server->http_url));
        if (body->failed || voter > 1 || membership.numbers[i] == 0)
            return -EPROTO;
        server->voter = voter;
    }
    if (!wire_finished(body))
        return -EPROTO;
    *ret_membership = membership;
    return 0;
}

void membership_to_core(const struct membership *membership,
                        struct raft_configuration *configuration)
{
    *configuration =
        (struct raft_configuration){.index = membership->index, .members_count = membership->count};
    for (uint32_t i = 0; i < membership->count; i++)
        configuration->members[i] =
            (struct raft_member){membership->numbers[i], membership->servers[i].voter};
}

bool membership_is_same(const struct membership *a, const struct membership *b)
{
    struct buffer of_a = {0}, of_b = {0};
    membership_encode(&of_a, a);
    membership_encode(&of_b, b);
    bool is_same = of_a.length == of_b.length && !memcmp(of_a.bytes, of_b.bytes, of_a.length);
    buffer_free(&of_a);
    buffer_free(&of_b);
    return is_same;
}

const struct raft_server *membership_server(const struct membership *membership, uint64_t number)
{
    for (uint32_t i = 0; i < membership->count; i++)
        if (membership->numbers[i] == number)
            return &membership->servers[i];
    return NULL;
}
