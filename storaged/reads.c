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

static void read_fill(struct reads *reads, const struct store_get *get, struct read_record *record)
{
    *record = (struct read_record){.status = PROTO_STATUS_OK};
    if (reads->reply.length > LIMIT_BATCH_BYTES_SOFT) {
        record->status = PROTO_STATUS_AGAIN;
    } else if (get->code == STORE_NOT_FOUND) {
        record->status = PROTO_STATUS_NOT_FOUND;
    } else if (get->code) {
        char reason[600];
        logger_error("damaged", "reason=%s",
                     logger_quoted(reason, sizeof(reason), store_damage(reads->store)));
        record->status = PROTO_STATUS_DAMAGED;
    } else {
        record->revision = get->record.revision;
        record->value = get->record.value.bytes;
        record->value_bytes = get->record.value.length;
    }
}

/* So many keys at once as the store looks for. False: that was the last. */
static bool read_some(struct reads *reads, struct message_list *list)
{
    struct store_get gets[STORE_GETS_MAX];
    unsigned count = 0;
    while (count < STORE_GETS_MAX &&
           read_next(list, &gets[count].key.bytes, &gets[count].key.length))
        count++;
    store_get_many(reads->store, gets, count);
    for (unsigned i = 0; i < count; i++) {
        struct read_record record;
        read_fill(reads, &gets[i], &record);
        read_ok_add(&reads->reply, &record);
    }
    return count == STORE_GETS_MAX;
}

static void reads_answer_late(struct reads *reads, struct message_list *list)
{
    struct read_record record = {.status = PROTO_STATUS_TIMEOUT};
    struct node_bytes key;
    while (read_next(list, &key.bytes, &key.length))
        read_ok_add(&reads->reply, &record);
}

static void reads_answer(struct reads *reads, const struct bus_route *route,
                         struct message_list list, bool in_time)
{
    read_ok_begin(&reads->reply, store_applied_index(reads->store));
    if (!in_time)
        reads_answer_late(reads, &list);
    while (in_time && read_some(reads, &list))
        ;
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
