#include "reads.h"

#include "buffer.h"
#include "logger.h"
#include "message.h"
#include "read.h"

#include <errno.h>
#include <stdlib.h>

struct reads {
    struct parking *parking;
    struct store *store;
    struct bus_server **server;
    struct buffer reply;
};

struct reads *reads_new(struct parking *parking, struct store *store, struct bus_server **server)
{
    struct reads *reads = memory_new_zeroed(1, sizeof(*reads));
    reads->parking = parking;
    reads->store = store;
    reads->server = server;
    return reads;
}

void reads_free(struct reads *reads)
{
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

static void reads_answer_parked(void *context, const struct bus_route *route,
                                struct wire_reader *body, bool in_time)
{
    struct message_list list;
    uint64_t index_min;
    uint32_t wait_ms;
    if (!read_decode(body, &index_min, &wait_ms, &list))
        reads_answer(context, route, list, in_time);
}

int reads_on_request(struct reads *reads, struct bus_request *request)
{
    struct parking_ticket ticket = {.fn = reads_answer_parked, .context = reads};
    struct wire_reader body = request->body;
    struct message_list list;
    int code = read_decode(&request->body, &ticket.index_min, &ticket.wait_ms, &list);
    if (code)
        return code;
    if (ticket.index_min <= store_applied_index(reads->store))
        reads_answer(reads, &request->route, list, true);
    else
        parking_take(reads->parking, &request->route, body, &ticket);
    return 0;
}
