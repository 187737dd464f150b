#include "hard_state.h"

#include "state_file.h"

#include <errno.h>

#define HARD_STATE_PATH "raft/hard_state"
#define HARD_STATE_MAGIC "CONRHARD"

int hard_state_save(const struct hard_state *state)
{
    struct buffer body = {0};
    wire_put_u64(&body, state->raft.term);
    wire_put_u64(&body, state->raft.vote);
    wire_put_u64(&body, state->cut_index);
    wire_put_u64(&body, state->cut_term);
    wire_put_u64(&body, state->membership.index);
    membership_encode(&body, &state->membership);
    int code = state_file_save("hard_state.save", HARD_STATE_PATH, HARD_STATE_MAGIC, &body);
    buffer_free(&body);
    return code;
}

int hard_state_load(struct hard_state *ret_state, struct error *error)
{
    struct buffer body = {0};
    struct hard_state state = {0};
    int code = state_file_load("hard_state.load", HARD_STATE_PATH, HARD_STATE_MAGIC, &body, error);
    if (!code) {
        struct wire_reader reader = wire_reader_of(body.bytes, body.length);
        state.raft.term = wire_get_u64(&reader);
        state.raft.vote = wire_get_u64(&reader);
        state.cut_index = wire_get_u64(&reader);
        state.cut_term = wire_get_u64(&reader);
        uint64_t membership_index = wire_get_u64(&reader);
        if (membership_decode(&reader, &state.membership))
            code =
                error_set(error, -EBADMSG, HARD_STATE_PATH " is damaged: its fields make no sense");
        state.membership.index = membership_index;
    }
    buffer_free(&body);
    if (!code)
        *ret_state = state;
    return code;
}
