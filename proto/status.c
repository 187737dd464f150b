/* The fields stand in tables, once for both directions: offset, size and kind of each. */
#include "status.h"

#include "message.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>

enum field_kind { FIELD_NUMBER, FIELD_TEXT, FIELD_BYTES };

struct field {
    size_t offset, bytes;
    enum field_kind kind;
};

#define NUMBER(type, name)                                                                         \
    {                                                                                              \
        offsetof(struct type, name), sizeof(((struct type *)0)->name), FIELD_NUMBER                \
    }
#define TEXT(type, name)                                                                           \
    {                                                                                              \
        offsetof(struct type, name), sizeof(((struct type *)0)->name), FIELD_TEXT                  \
    }
#define BYTES(type, name)                                                                          \
    {                                                                                              \
        offsetof(struct type, name), sizeof(((struct type *)0)->name), FIELD_BYTES                 \
    }
#define COUNT(table) (sizeof(table) / sizeof(*(table)))

static const struct field raft_fields[] = {
    TEXT(raft_status, node_id),
    TEXT(raft_status, cluster_id),
    NUMBER(raft_status, state),
    NUMBER(raft_status, term),
    TEXT(raft_status, leader.id),
    TEXT(raft_status, leader.raft_address),
    TEXT(raft_status, leader.http_url),
    NUMBER(raft_status, first_log_index),
    NUMBER(raft_status, last_log_index),
    NUMBER(raft_status, last_log_term),
    NUMBER(raft_status, commit_index),
    NUMBER(raft_status, applied_index),
    NUMBER(raft_status, durable_index),
    NUMBER(raft_status, last_snapshot_index),
    NUMBER(raft_status, last_snapshot_term),
    NUMBER(raft_status, last_contact_ms),
    NUMBER(raft_status, configuration_index),
    NUMBER(raft_status, log_bytes),
    NUMBER(raft_status, syncs),
    NUMBER(raft_status, entries_written),
    NUMBER(raft_status, diverged_index),
    NUMBER(raft_status, state_differences),
    NUMBER(raft_status, storaged_up),
    NUMBER(raft_status, settled),
    NUMBER(raft_status, seeks),
    NUMBER(raft_status, founds),
    NUMBER(raft_status, servers_count),
};

static const struct field server_fields[] = {
    TEXT(raft_server, id),
    TEXT(raft_server, raft_address),
    TEXT(raft_server, http_url),
    NUMBER(raft_server, voter),
};

static const struct field peer_fields[] = {
    NUMBER(raft_peer, connected),     NUMBER(raft_peer, match_index),
    NUMBER(raft_peer, silence_ms),    NUMBER(raft_peer, round_trip_us),
    NUMBER(raft_peer, messages_sent), NUMBER(raft_peer, messages_dropped),
    NUMBER(raft_peer, entries_sent),  NUMBER(raft_peer, connects),
};

static const struct field store_fields[] = {
    NUMBER(store_status, health),        TEXT(store_status, health_text),
    NUMBER(store_status, applied_index), NUMBER(store_status, applied_term),
    NUMBER(store_status, durable_index), NUMBER(store_status, keys),
    NUMBER(store_status, file_bytes),    NUMBER(store_status, dirty_bytes),
    NUMBER(store_status, checkpoints),   BYTES(store_status, state_hash),
};

static void fields_put(struct buffer *into, const void *from, const struct field *fields,
                       size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const char *at = (const char *)from + fields[i].offset;
        if (fields[i].kind == FIELD_TEXT)
            wire_put_text(into, at);
        else
            wire_put_bytes(into, at, fields[i].bytes); /* little-endian, as the machine (wire.h) */
    }
}

static void fields_get(struct wire_reader *body, void *into, const struct field *fields,
                       size_t count)
{
    for (size_t i = 0; i < count; i++) {
        char *at = (char *)into + fields[i].offset;
        if (fields[i].kind == FIELD_TEXT) {
            wire_get_text(body, at, fields[i].bytes);
            continue;
        }
        const uint8_t *bytes = wire_get_bytes(body, fields[i].bytes);
        if (bytes)
            memcpy(at, bytes, fields[i].bytes);
    }
}

/* A bool takes one byte on the wire, which must be 0 or 1 before it is read as a bool. */
static bool bool_is_valid(const bool *value)
{
    uint8_t byte;
    memcpy(&byte, value, 1);
    return byte <= 1;
}

void raft_status_encode(struct buffer *into, const struct raft_status *status)
{
    into->length = 0;
    fields_put(into, status, raft_fields, COUNT(raft_fields));
    for (uint32_t i = 0; i < status->servers_count; i++) {
        fields_put(into, &status->servers[i], server_fields, COUNT(server_fields));
        fields_put(into, &status->peers[i], peer_fields, COUNT(peer_fields));
    }
}

int raft_status_decode(struct wire_reader *body, struct raft_status *ret_status)
{
    struct raft_status status;
    memset(&status, 0, sizeof(status));
    fields_get(body, &status, raft_fields, COUNT(raft_fields));
    if (body->failed || status.servers_count > STATUS_SERVERS_MAX ||
        !bool_is_valid(&status.storaged_up) || status.state < RAFT_STATE_FOLLOWER ||
        status.state > RAFT_STATE_LEADER)
        return -EPROTO;
    for (uint32_t i = 0; i < status.servers_count; i++) {
        fields_get(body, &status.servers[i], server_fields, COUNT(server_fields));
        fields_get(body, &status.peers[i], peer_fields, COUNT(peer_fields));
        if (!bool_is_valid(&status.servers[i].voter) || !bool_is_valid(&status.peers[i].connected))
            return -EPROTO;
    }
    if (!wire_finished(body))
        return -EPROTO;
    memcpy(ret_status, &status, sizeof(status));
    return 0;
}

void store_status_encode(struct buffer *into, const struct store_status *status)
{
    into->length = 0;
    fields_put(into, status, store_fields, COUNT(store_fields));
}

int store_status_decode(struct wire_reader *body, struct store_status *ret_status)
{
    struct store_status status;
    memset(&status, 0, sizeof(status));
    fields_get(body, &status, store_fields, COUNT(store_fields));
    if (!wire_finished(body) || status.health > PROTO_STATUS_NO_SPACE)
        return -EPROTO;
    *ret_status = status;
    return 0;
}
