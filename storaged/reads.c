#include "reads.h"

#include "buffer.h"
#include "logger.h"
#include "message.h"
#include "read.h"

#include <errno.h>
#include <stdlib.h>

struct parked {
    struct parked *next;
    struct reads *reads;
    struct bus_route route;
    uint64_t index_min;
    struct loop_timer timer;
    struct buffer body; /* a copy of the whole READ: its message is gone when it is answered */
};

struct reads {
    struct loop *loop;
    struct store *store;
    struct bus_server **server;
    struct parked *parked; /* oldest first */
    unsigned parked_count;
    struct buffer reply;
};

struct reads *reads_new(struct loop *loop, struct store *store, struct bus_server **server)
{
    struct reads *reads = memory_new_zeroed(1, sizeof(*reads));
    reads->loop = loop;
    reads->store = store;
    reads->server = server;
    return reads;
}

static void parked_free(struct parked *parked)
{
    parked->reads->parked_count--;
    loop_timer_cancel(parked->reads->loop, &parked->timer);
    buffer_free(&parked->body);
    free(parked);
}

void reads_free(struct reads *reads)
{
    while (reads->parked) {
        struct parked *parked = reads->parked;
        reads->parked = parked->next;
        parked_free(parked);
    }
    buffer_free(&reads->reply);
    free(reads);
}

static void read_key(struct reads *reads, struct node_bytes key, struct read_record *record)
{
    struct tree_record found;
    *record = (struct read_record){.status = PROTO_STATUS_OK};
    if (reads->reply.length > LIMIT_BATCH_BYTES_SOFT) {
        record->status = PROTO_STATUS_AGAIN;
        return;
    }
    int code = store_get(reads->store, key, &found);
    if (code == STORE_NOT_FOUND) {
        record->status = PROTO_STATUS_NOT_FOUND;
    } else if (code) {
        char reason[600];
        logger_error("damaged", "reason=%s",
                     logger_quoted(reason, sizeof(reason), store_damage(reads->store)));
        record->status = PROTO_STATUS_DAMAGED;
    } else {
        record->revision = found.revision;
        record->value = found.value.bytes;
        record->value_bytes = found.value.length;
    }
}

static void reads_answer(struct reads *reads, const struct bus_route *route,
                         struct message_list list, bool in_time)
{
    struct node_bytes key;
    read_ok_begin(&reads->reply, store_applied_index(reads->store));
    while (read_next(&list, &key.bytes, &key.length)) {
        struct read_record record = {.status = PROTO_STATUS_TIMEOUT};
        if (in_time)
            read_key(reads, key, &record);
        read_ok_add(&reads->reply, &record);
    }
    bus_reply(*reads->server, route, PROTO_READ_OK, &reads->reply);
    buffer_clear(&reads->reply, 2 * LIMIT_BATCH_BYTES_SOFT);
}

static void parked_answer(struct parked *parked, bool in_time)
{
    struct wire_reader body = wire_reader_of(parked->body.bytes, parked->body.length);
    struct message_list list;
    uint64_t index_min;
    uint32_t wait_ms;
    if (!read_decode(&body, &index_min, &wait_ms, &list))
        reads_answer(parked->reads, &parked->route, list, in_time);
    parked_free(parked);
}

static void parked_on_timeout(void *context)
{
    struct parked *parked = context;
    struct parked **link = &parked->reads->parked;
    while (*link != parked)
        link = &(*link)->next;
    *link = parked->next;
    parked_answer(parked, false);
}

static void reads_park(struct reads *reads, const struct bus_route *route, struct wire_reader body,
                       uint64_t index_min, uint32_t wait_ms)
{
    struct parked *parked = memory_new_zeroed(1, sizeof(*parked));
    parked->reads = reads;
    parked->route = *route;
    parked->index_min = index_min;
    buffer_append(&parked->body, body.at, body.left);
    struct parked **last = &reads->parked;
    while (*last)
        last = &(*last)->next; /* few: a caller has at most LIMIT_BUS_CALLS_MAX */
    *last = parked;
    reads->parked_count++;
    if (wait_ms > READS_WAIT_MS_MAX)
        wait_ms = READS_WAIT_MS_MAX;
    loop_timer_set(reads->loop, &parked->timer, loop_now_ms(reads->loop) + wait_ms,
                   parked_on_timeout, parked);
}

int reads_on_request(struct reads *reads, struct bus_request *request)
{
    struct wire_reader body = request->body;
    struct message_list list;
    uint64_t index_min;
    uint32_t wait_ms;
    int code = read_decode(&request->body, &index_min, &wait_ms, &list);
    if (code)
        return code;
    if (index_min <= store_applied_index(reads->store))
        reads_answer(reads, &request->route, list, true);
    else if (reads->parked_count == READS_PARKED_MAX)
        reads_answer(reads, &request->route, list, false);
    else
        reads_park(reads, &request->route, body, index_min, wait_ms);
    return 0;
}

void reads_on_applied(struct reads *reads)
{
    struct parked **link = &reads->parked;
    while (*link) {
        struct parked *parked = *link;
        if (parked->index_min > store_applied_index(reads->store)) {
            link = &parked->next;
            continue;
        }
        *link = parked->next;
        parked_answer(parked, true);
    }
}
