#include "watches.h"

#include "buffer.h"
#include "history.h"
#include "message.h"
#include "watch.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Looked at for one answer: the loop has other work. */
#define STEP_CHANGES 8192u

struct watches {
    struct parking *parking;
    struct store *store;
    struct bus_server **server;
    struct buffer reply;
};

struct watches *watches_new(struct parking *parking, struct store *store,
                            struct bus_server **server)
{
    struct watches *watches = memory_new_zeroed(1, sizeof(*watches));
    watches->parking = parking;
    watches->store = store;
    watches->server = server;
    return watches;
}

void watches_free(struct watches *watches)
{
    buffer_free(&watches->reply);
    free(watches);
}

static bool passes(const struct watch *watch, const struct history_change *change)
{
    if (watch->filter == WATCH_NOTHING || change->key_bytes < watch->key_bytes)
        return false;
    if (watch->filter == WATCH_KEY && change->key_bytes != watch->key_bytes)
        return false;
    return !watch->key_bytes || !memcmp(change->bytes, watch->key, watch->key_bytes);
}

/* Whether a later change of the same entry passes too. */
static bool has_more(const struct history *history, const struct watch *watch, uint64_t place)
{
    uint64_t index = history_at(history, place)->index;
    const struct history_change *later;
    while ((later = history_at(history, ++place)) && later->index == index)
        if (passes(watch, later))
            return true;
    return false;
}

static void add_change(struct buffer *reply, const struct history_change *change, bool is_last)
{
    struct watch_change added = {.index = change->index,
                                 .ordinal = is_last ? 0 : change->ordinal,
                                 .kind = change->kind,
                                 .key = change->bytes,
                                 .key_bytes = change->key_bytes,
                                 .value = change->bytes + change->key_bytes,
                                 .value_bytes = change->value_bytes};
    watch_ok_add(reply, &added);
}

/* From `from` on, which is whole and applied. */
static void add_changes(struct watches *watches, const struct watch *watch, struct watch_head *head)
{
    const struct history *history = store_history(watches->store);
    uint64_t place = history_find(history, watch->from, watch->skip);
    const struct history_change *change;
    for (unsigned i = 0; (change = history_at(history, place)); i++, place++) {
        if (i == STEP_CHANGES || watches->reply.length >= watch->bytes_soft) {
            head->next = change->index;
            head->next_skip = change->ordinal - 1;
            return;
        }
        if (passes(watch, change))
            add_change(&watches->reply, change, !has_more(history, watch, place));
    }
}

static void watches_answer(void *context, const struct bus_route *route, struct wire_reader *body,
                           bool in_time)
{
    struct watches *watches = context;
    struct watch watch;
    (void)in_time;
    if (watch_decode(body, &watch))
        return;
    uint64_t applied = store_applied_index(watches->store);
    struct watch_head head = {.status = PROTO_STATUS_OK,
                              .oldest = history_oldest(store_history(watches->store)),
                              .applied = applied,
                              .next = watch.from > applied + 1 ? watch.from : applied + 1};
    watch_ok_begin(&watches->reply);
    if (watch.from && watch.from < head.oldest)
        head.status = PROTO_STATUS_GAP;
    else if (watch.from && watch.from <= applied)
        add_changes(watches, &watch, &head);
    watch_ok_finish(&watches->reply, &head);
    bus_reply(*watches->server, route, PROTO_WATCH_OK, &watches->reply);
    buffer_clear(&watches->reply, 2 * LIMIT_BATCH_BYTES_SOFT);
}

int watches_on_request(struct watches *watches, struct bus_request *request)
{
    struct parking_ticket ticket = {.fn = watches_answer, .context = watches};
    struct wire_reader body = request->body;
    struct watch watch;
    if (watch_decode(&request->body, &watch))
        return -EPROTO;
    ticket.index_min = watch.wait_ms ? watch.from : 0;
    ticket.wait_ms = watch.wait_ms;
    parking_take(watches->parking, &request->route, body, &ticket);
    return 0;
}
