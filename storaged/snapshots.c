#include "snapshots.h"

#include "buffer.h"
#include "cursor.h"
#include "limits.h"
#include "logger.h"
#include "message.h"
#include "snapshot.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct snapshot {
    uint64_t number; /* 0: free; never used again */
    struct view *view;
    uint32_t next_part;
    struct cursor cursor;      /* where the next part begins */
    struct cursor last_cursor; /* where the last one began */
    bool is_through;
};

struct snapshots {
    struct loop *loop;
    struct store *store;
    struct bus_server **server;
    struct snapshot list[SNAPSHOTS_MAX];
    uint64_t number_last;
    struct buffer reply;
};

static struct snapshot *find(struct snapshots *snapshots, uint64_t number)
{
    for (unsigned i = 0; i < SNAPSHOTS_MAX; i++)
        if (snapshots->list[i].number == number)
            return &snapshots->list[i];
    return NULL;
}

static void snapshot_end(struct snapshot *snapshot)
{
    if (snapshot->number)
        view_close(snapshot->view);
    *snapshot = (struct snapshot){0};
}

/* A free place, else that of the oldest. */
static struct snapshot *place(struct snapshots *snapshots)
{
    struct snapshot *oldest = &snapshots->list[0];
    for (unsigned i = 0; i < SNAPSHOTS_MAX; i++)
        if (snapshots->list[i].number < oldest->number)
            oldest = &snapshots->list[i];
    snapshot_end(oldest);
    return oldest;
}

/* ---- opening ---- */

static int snapshot_begin(struct snapshots *snapshots, uint32_t live_ms,
                          struct snapshot_opened *opened)
{
    struct snapshot *snapshot = place(snapshots);
    struct node_bytes configuration = store_configuration(snapshots->store);
    uint64_t life_ms = live_ms < SNAPSHOTS_MS_MAX ? live_ms : SNAPSHOTS_MS_MAX;
    int code =
        store_view(snapshots->store, loop_now_ms(snapshots->loop) + life_ms, &snapshot->view);
    if (code)
        return code;
    const struct view_state *state = view_state(snapshot->view);
    snapshot->number = ++snapshots->number_last;
    snapshot->cursor = cursor_of(snapshot->view);
    *opened = (struct snapshot_opened){.view = snapshot->number,
                                       .index = state->applied_index,
                                       .term = state->applied_term,
                                       .keys = state->keys,
                                       .configuration = configuration.bytes,
                                       .configuration_bytes = configuration.length};
    memcpy(opened->state_hash, state->state_hash, sizeof(opened->state_hash));
    return 0;
}

int snapshots_on_open(struct snapshots *snapshots, struct bus_request *request)
{
    struct snapshot_opened opened = {0};
    struct buffer body = {0};
    uint32_t live_ms;
    int code = snapshot_open_decode(&request->body, &live_ms);
    if (code)
        return code;
    if (snapshot_begin(snapshots, live_ms, &opened))
        opened.status = PROTO_STATUS_BUSY;
    snapshot_opened_encode(&body, &opened);
    bus_reply(*snapshots->server, &request->route, PROTO_SNAPSHOT_OPENED, &body);
    buffer_free(&body);
    return 0;
}

/* ---- reading ---- */

static uint16_t status_of(int code)
{
    if (code == -ESTALE)
        return PROTO_STATUS_TIMEOUT;
    return code < 0 ? PROTO_STATUS_DAMAGED : PROTO_STATUS_OK;
}

/* Records until the part is full. 0: there is more; CURSOR_END; or an error. */
static int fill_part(struct cursor *cursor, struct buffer *into)
{
    struct tree_record record;
    unsigned count = 0;
    int code = 0;
    while (!code && into->length < SNAPSHOTS_PART_BYTES && count++ < SNAPSHOTS_RECORDS_MAX) {
        code = cursor_load(cursor, &record);
        if (code)
            return code;
        snapshot_part_add(into, record.revision, record.key.bytes, record.key.length,
                          record.value.bytes, record.value.length);
        code = cursor_next(cursor);
    }
    return code;
}

/* The cursor stays where it is if the part is asked for again, or cannot be read. */
static int read_part(struct snapshot *snapshot, uint32_t part, struct buffer *into)
{
    bool is_again = part != snapshot->next_part;
    struct cursor from = is_again ? snapshot->last_cursor : snapshot->cursor, cursor = from;
    int code = part == 0 ? cursor_first(&cursor) : 0;
    if (!code)
        code = fill_part(&cursor, into);
    if (code < 0)
        return code;
    snapshot->last_cursor = from;
    snapshot->cursor = cursor;
    snapshot->next_part = part + 1;
    snapshot->is_through = code == CURSOR_END;
    return code;
}

/* The next one, or the last again. */
static bool has_part(const struct snapshot *snapshot, uint32_t part)
{
    if (part == snapshot->next_part)
        return !snapshot->is_through;
    return snapshot->next_part > 0 && part == snapshot->next_part - 1;
}

static void log_unreadable(struct snapshots *snapshots, const struct snapshot *snapshot, int code)
{
    char reason[600];
    if (code == -ESTALE)
        logger_warning("snapshot_expired", "index=%llu part=%u",
                       (unsigned long long)view_state(snapshot->view)->applied_index,
                       snapshot->next_part);
    else
        logger_error("damaged", "reason=%s",
                     logger_quoted(reason, sizeof(reason), store_damage(snapshots->store)));
}

int snapshots_on_read(struct snapshots *snapshots, struct bus_request *request)
{
    struct snapshot_read read;
    int code = snapshot_read_decode(&request->body, &read);
    if (code)
        return code;
    struct buffer *reply = &snapshots->reply;
    struct snapshot *snapshot = read.view ? find(snapshots, read.view) : NULL;
    uint16_t status = PROTO_STATUS_NOT_FOUND;
    snapshot_part_begin(reply);
    if (snapshot && has_part(snapshot, read.part)) {
        code = read_part(snapshot, read.part, reply);
        status = status_of(code);
    }
    if (code < 0) {
        log_unreadable(snapshots, snapshot, code);
        snapshot_part_begin(reply);
    }
    snapshot_part_finish(reply, status, code == CURSOR_END);
    bus_reply(*snapshots->server, &request->route, PROTO_SNAPSHOT_PART, reply);
    buffer_clear(reply, 2 * LIMIT_BATCH_BYTES_SOFT);
    return 0;
}

int snapshots_on_close(struct snapshots *snapshots, struct bus_request *request)
{
    uint64_t number;
    int code = snapshot_close_decode(&request->body, &number);
    if (code)
        return code;
    struct snapshot *snapshot = number ? find(snapshots, number) : NULL;
    if (snapshot)
        snapshot_end(snapshot);
    bus_reply(*snapshots->server, &request->route, PROTO_SNAPSHOT_CLOSED, NULL);
    return 0;
}

void snapshots_forget(struct snapshots *snapshots)
{
    for (unsigned i = 0; i < SNAPSHOTS_MAX; i++)
        snapshot_end(&snapshots->list[i]);
}

struct snapshots *snapshots_new(struct loop *loop, struct store *store, struct bus_server **server)
{
    struct snapshots *snapshots = memory_new_zeroed(1, sizeof(*snapshots));
    snapshots->loop = loop;
    snapshots->store = store;
    snapshots->server = server;
    return snapshots;
}

void snapshots_free(struct snapshots *snapshots)
{
    if (!snapshots)
        return;
    snapshots_forget(snapshots);
    buffer_free(&snapshots->reply);
    free(snapshots);
}
