#include "identity.h"

#include "state_file.h"

#include <errno.h>
#include <string.h>
#include <sys/random.h>

#define IDENTITY_PATH "raft/identity"
#define IDENTITY_MAGIC "CONRIDEN"

int identity_make(struct identity *ret_identity, const char *node_id)
{
    struct identity identity = {.member_number = 1};
    if (getrandom(identity.cluster_id, sizeof(identity.cluster_id), 0) != 16 ||
        getrandom(&identity.incarnation, sizeof(identity.incarnation), 0) != 8)
        return -EIO;
    strncpy(identity.node_id, node_id, LIMIT_NODE_ID_BYTES_MAX);
    *ret_identity = identity;
    return 0;
}

int identity_save(const struct identity *identity)
{
    struct buffer body = {0};
    wire_put_bytes(&body, identity->cluster_id, sizeof(identity->cluster_id));
    wire_put_u64(&body, identity->incarnation);
    wire_put_u64(&body, identity->member_number);
    wire_put_text(&body, identity->node_id);
    int code = state_file_save("identity.save", IDENTITY_PATH, IDENTITY_MAGIC, &body);
    buffer_free(&body);
    return code;
}

static int identity_decode(struct wire_reader *body, struct identity *identity)
{
    const uint8_t *cluster_id = wire_get_bytes(body, sizeof(identity->cluster_id));
    identity->incarnation = wire_get_u64(body);
    identity->member_number = wire_get_u64(body);
    wire_get_text(body, identity->node_id, sizeof(identity->node_id));
    if (!wire_finished(body))
        return -EPROTO;
    memcpy(identity->cluster_id, cluster_id, sizeof(identity->cluster_id));
    return 0;
}

int identity_load(struct identity *ret_identity, const char *node_id, struct error *error)
{
    struct buffer body = {0};
    struct identity identity = {0};
    int code = state_file_load("identity.load", IDENTITY_PATH, IDENTITY_MAGIC, &body, error);
    if (!code) {
        struct wire_reader reader = wire_reader_of(body.bytes, body.length);
        if (identity_decode(&reader, &identity))
            code =
                error_set(error, -EBADMSG, IDENTITY_PATH " is damaged: its fields make no sense");
        else if (strcmp(identity.node_id, node_id))
            code = error_set(error, -EPROTO, "data directory belongs to node %s, not to %s",
                             identity.node_id, node_id);
    }
    buffer_free(&body);
    if (!code)
        *ret_identity = identity;
    return code;
}
