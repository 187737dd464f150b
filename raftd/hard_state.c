#include "hard_state.h"

#include "file.h"
#include "state_file.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#define HARD_STATE_PATH "raft/hard_state"
#define HARD_STATE_MAGIC "CONRHARD"
#define ROOM_PATH                                                                                  \
    "raft/room" /* what a full disk has for the state: given up for it, then had anew */
#define ROOM_BYTES 16384u

static void put_membership(struct buffer *body, const struct membership *membership)
{
    struct buffer entry = {0};
    membership_encode(&entry, membership);
    wire_put_blob(body, entry.bytes, entry.length);
    buffer_free(&entry);
}

static int get_membership(struct wire_reader *body, struct membership *membership)
{
    size_t length;
    const uint8_t *bytes = wire_get_blob(body, STATE_FILE_BYTES_MAX, &length);
    struct wire_reader entry = wire_reader_of(bytes, bytes ? length : 0);
    return bytes ? membership_decode(&entry, membership) : -EPROTO;
}

/* Without it the state is saved all the same, as long as the disk takes it. */
static bool keep_room(void)
{
    int fd;
    if (file_open("hard_state.room", ROOM_PATH, O_RDWR | O_CREAT, 0600, &fd))
        return false;
    int code = file_allocate("hard_state.room", fd, 0, ROOM_BYTES);
    file_close(fd);
    return code == 0;
}

static int save(const struct buffer *body)
{
    static bool has_room;
    int code = state_file_save("hard_state.save", HARD_STATE_PATH, HARD_STATE_MAGIC, body);
    if (code == -ENOSPC || code == -EDQUOT) {
        has_room = false;
        (void)file_unlink("hard_state.room", ROOM_PATH);
        code = state_file_save("hard_state.save", HARD_STATE_PATH, HARD_STATE_MAGIC, body);
    }
    has_room = has_room || keep_room();
    return code == -EDQUOT ? -ENOSPC : code;
}

int hard_state_save(const struct hard_state *state)
{
    const struct identity *identity = &state->identity;
    const struct install *install = &state->install;
    struct buffer body = {0};
    wire_put_bytes(&body, identity->cluster_id, sizeof(identity->cluster_id));
    wire_put_u64(&body, identity->number);
    wire_put_text(&body, identity->node_id);
    wire_put_u64(&body, state->raft.term);
    wire_put_u64(&body, state->raft.vote);
    wire_put_u64(&body, state->cut_index);
    wire_put_u64(&body, state->cut_term);
    wire_put_u64(&body, state->membership.index);
    put_membership(&body, &state->membership);
    wire_put_u8(&body, install->is_pending);
    if (install->is_pending) {
        wire_put_bytes(&body, install->cluster_id, sizeof(install->cluster_id));
        wire_put_u64(&body, install->index);
        wire_put_u64(&body, install->term);
        put_membership(&body, &install->membership);
    }
    int code = save(&body);
    buffer_free(&body);
    return code;
}

static void get_cluster_id(struct wire_reader *body, uint8_t into[16])
{
    const uint8_t *bytes = wire_get_bytes(body, 16);
    if (bytes)
        memcpy(into, bytes, 16);
}

static int get_install(struct wire_reader *body, struct install *install)
{
    install->is_pending = true;
    get_cluster_id(body, install->cluster_id);
    install->index = wire_get_u64(body);
    install->term = wire_get_u64(body);
    if (get_membership(body, &install->membership))
        return -EPROTO;
    install->membership.index = install->index;
    return 0;
}

static int hard_state_decode(struct wire_reader *body, struct hard_state *state)
{
    get_cluster_id(body, state->identity.cluster_id);
    state->identity.number = wire_get_u64(body);
    wire_get_text(body, state->identity.node_id, sizeof(state->identity.node_id));
    state->raft.term = wire_get_u64(body);
    state->raft.vote = wire_get_u64(body);
    state->cut_index = wire_get_u64(body);
    state->cut_term = wire_get_u64(body);
    uint64_t membership_index = wire_get_u64(body);
    if (get_membership(body, &state->membership))
        return -EPROTO;
    state->membership.index = membership_index;
    uint8_t installing = wire_get_u8(body);
    if (installing > 1 || (installing && get_install(body, &state->install)))
        return -EPROTO;
    return wire_finished(body) && state->identity.number ? 0 : -EPROTO;
}

int hard_state_load(struct hard_state *ret_state, const char *node_id, struct error *error)
{
    struct buffer body = {0};
    struct hard_state state = {0};
    int code = state_file_load("hard_state.load", HARD_STATE_PATH, HARD_STATE_MAGIC, &body, error);
    if (!code) {
        struct wire_reader reader = wire_reader_of(body.bytes, body.length);
        if (hard_state_decode(&reader, &state))
            code =
                error_set(error, -EBADMSG, HARD_STATE_PATH " is damaged: its fields make no sense");
        else if (strcmp(state.identity.node_id, node_id))
            code = error_set(error, -EPROTO, "data directory belongs to node %s, not to %s",
                             state.identity.node_id, node_id);
    }
    buffer_free(&body);
    if (!code)
        *ret_state = state;
    return code;
}
