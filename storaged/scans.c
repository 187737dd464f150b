/* A cursor goes through the view, and stands on the first record of the next part between two. What
 * is only counted is counted by whole leaves, as far as they lie within the range and the limit. */
#include "scans.h"

#include "buffer.h"
#include "cursor.h"
#include "limits.h"
#include "logger.h"
#include "message.h"
#include "scan.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* No leaf has more. */
#define LEAF_RECORDS_MAX (PAGE_ROOM_BYTES / LEAF_RECORD_BYTES)

struct bound {
    uint16_t length; /* 0: none */
    uint8_t bytes[LIMIT_KEY_BYTES_CAP];
};

struct scan {
    uint64_t number; /* 0: free; never used again */
    struct view *view;
    struct cursor cursor;
    uint8_t flags;
    struct bound start, end;
    uint64_t keys, keys_max;
    uint32_t next_part;
    uint64_t asked; /* ascending: when it was asked for last */
};

struct scans {
    struct loop *loop;
    struct parking *parking;
    struct store *store;
    struct bus_server **server;
    struct scan list[LIMIT_SCANS_MAX];
    uint64_t number_last, asked_last;
    struct buffer reply;
};

static void scan_end(struct scan *scan)
{
    if (scan->number)
        view_close(scan->view);
    scan->number = 0;
    scan->view = NULL;
}

static struct scan *scans_find(struct scans *scans, uint64_t number)
{
    for (unsigned i = 0; number && i < LIMIT_SCANS_MAX; i++)
        if (scans->list[i].number == number)
            return &scans->list[i];
    return NULL;
}

/* A free place, else that of the scan that was not asked for longest: a reader never has so many,
 * so it belonged to one that is gone. */
static struct scan *scans_place(struct scans *scans)
{
    struct scan *place = &scans->list[0];
    for (unsigned i = 0; i < LIMIT_SCANS_MAX; i++) {
        if (!scans->list[i].number)
            return &scans->list[i];
        if (scans->list[i].asked < place->asked)
            place = &scans->list[i];
    }
    scan_end(place);
    return place;
}

/* ---- places ---- */

static struct node_bytes bound_bytes(const struct bound *bound)
{
    return (struct node_bytes){bound->bytes, bound->length};
}

static void bound_set(struct bound *bound, const uint8_t *bytes, size_t length)
{
    bound->length = (uint16_t)length;
    if (length)
        memcpy(bound->bytes, bytes, length);
}

/* To the first record in the scan's direction. */
static int scan_seek(struct scan *scan, const struct scan_open *open)
{
    struct node_bytes start = bound_bytes(&scan->start), end = bound_bytes(&scan->end);
    struct node_bytes after = {open->after, open->after_bytes};
    if (scan->flags & SCAN_REVERSE) {
        if (after.length && (!end.length || node_compare(after, end) < 0))
            end = after;
        return end.length ? cursor_seek(&scan->cursor, end, CURSOR_BEFORE)
                          : cursor_last(&scan->cursor);
    }
    if (after.length && node_compare(after, start) >= 0)
        return cursor_seek(&scan->cursor, after, CURSOR_AFTER);
    return start.length ? cursor_seek(&scan->cursor, start, CURSOR_AT_OR_AFTER)
                        : cursor_first(&scan->cursor);
}

/* The record the cursor stands on: 0, CURSOR_END if it is out of the range, or an error. */
static int scan_peek(struct scan *scan, struct tree_record *ret_record)
{
    int code = cursor_peek(&scan->cursor, ret_record);
    if (code)
        return code;
    bool is_within =
        scan->flags & SCAN_REVERSE
            ? node_compare(ret_record->key, bound_bytes(&scan->start)) >= 0
            : !scan->end.length || node_compare(ret_record->key, bound_bytes(&scan->end)) < 0;
    return is_within ? 0 : CURSOR_END;
}

static int scan_step(struct scan *scan)
{
    return scan->flags & SCAN_REVERSE ? cursor_previous(&scan->cursor) : cursor_next(&scan->cursor);
}

/* ---- parts ---- */

static void part_add(struct buffer *into, const struct scan *scan, const struct tree_record *record)
{
    bool has_value = !(scan->flags & (SCAN_KEYS_ONLY | SCAN_COUNT_ONLY));
    struct scan_record line = {.revision = record->revision,
                               .key = record->key.bytes,
                               .key_bytes = record->key.length,
                               .value = has_value ? record->value.bytes : NULL,
                               .value_bytes = has_value ? record->value.length : 0};
    scan_part_add(into, &line);
}

/* After the last key that the limit lets through: CURSOR_END, and whether there is another. */
static int scan_end_at_limit(struct scan *scan, bool *ret_more)
{
    struct tree_record record;
    int code = scan_step(scan);
    if (!code)
        code = scan_peek(scan, &record);
    *ret_more = code == 0;
    return code ? code : CURSOR_END;
}

/* Records until the part is full, or the scan is through: CURSOR_END. */
static int fill_records(struct scan *scan, struct buffer *into, bool *ret_more)
{
    struct tree_record record;
    for (unsigned i = 0; i < LIMIT_SCAN_PART_RECORDS_MAX; i++) {
        int code = scan_peek(scan, &record);
        if (!code && !(scan->flags & SCAN_KEYS_ONLY))
            code = cursor_load(&scan->cursor, &record);
        if (code)
            return code;
        part_add(into, scan, &record);
        scan->keys++;
        code = scan->keys == scan->keys_max ? scan_end_at_limit(scan, ret_more) : scan_step(scan);
        if (code || into->length >= LIMIT_SCAN_PART_BYTES_SOFT)
            return code;
    }
    return 0;
}

/* One by one: near the limit, whose key must be known, and backward. */
static int count_some(struct scan *scan, struct buffer *into, unsigned count, bool *ret_more)
{
    struct tree_record record;
    for (unsigned i = 0; i < count; i++) {
        int code = scan_peek(scan, &record);
        if (code)
            return code;
        if (++scan->keys < scan->keys_max) {
            code = scan_step(scan);
        } else {
            uint8_t key[LIMIT_KEY_BYTES_CAP];
            memcpy(key, record.key.bytes, record.key.length);
            record.key.bytes = key;
            code = scan_end_at_limit(scan, ret_more);
            if (*ret_more)
                part_add(into, scan, &record);
        }
        if (code)
            return code;
    }
    return 0;
}

static int fill_count(struct scan *scan, struct buffer *into, bool *ret_more)
{
    uint64_t left = scan->keys_max - scan->keys;
    if (scan->flags & SCAN_REVERSE || left <= 2 * LEAF_RECORDS_MAX)
        return count_some(scan, into, LIMIT_SCAN_PART_RECORDS_MAX, ret_more);
    left -= LEAF_RECORDS_MAX; /* it may count a leaf more than asked for */
    if (left > LIMIT_SCAN_PART_COUNT_MAX)
        left = LIMIT_SCAN_PART_COUNT_MAX;
    return cursor_count(&scan->cursor, bound_bytes(&scan->end), left, &scan->keys);
}

static uint16_t status_of(struct scans *scans, int code)
{
    if (code >= 0)
        return PROTO_STATUS_OK;
    if (code == -ESTALE)
        return PROTO_STATUS_TIMEOUT;
    if (code == -EBUSY)
        return PROTO_STATUS_BUSY;
    char reason[600];
    logger_error("damaged", "reason=%s",
                 logger_quoted(reason, sizeof(reason), store_damage(scans->store)));
    return PROTO_STATUS_DAMAGED;
}

/* Fills the part that begins where the cursor stands. 0: there is more; CURSOR_END; or an error. */
static int scan_fill(struct scan *scan, struct buffer *into, bool *ret_more)
{
    scan->next_part++;
    return scan->flags & SCAN_COUNT_ONLY ? fill_count(scan, into, ret_more)
                                         : fill_records(scan, into, ret_more);
}

/* Ends the part in scans->reply, and with the last one (any code but 0) the scan. */
static void scan_answer(struct scans *scans, struct scan *scan, const struct bus_route *route,
                        int code, bool more)
{
    struct scan_part_head head = {.status = status_of(scans, code),
                                  .scan = code ? 0 : scan->number,
                                  .index = view_state(scan->view)->applied_index,
                                  .keys = scan->keys,
                                  .more = more};
    scan->asked = ++scans->asked_last;
    if (code)
        scan_end(scan);
    scan_part_finish(&scans->reply, &head);
    bus_reply(*scans->server, route, PROTO_SCAN_PART, &scans->reply);
    buffer_clear(&scans->reply, 2 * LIMIT_BATCH_BYTES_SOFT);
}

static void scans_answer_status(struct scans *scans, const struct bus_route *route, uint16_t status)
{
    struct scan_part_head head = {.status = status};
    scan_part_begin(&scans->reply);
    scan_part_finish(&scans->reply, &head);
    bus_reply(*scans->server, route, PROTO_SCAN_PART, &scans->reply);
}

/* ---- messages ---- */

/* What fits one part is read at a glance. */
static void scans_begin(struct scans *scans, const struct bus_route *route,
                        const struct scan_open *open)
{
    struct scan glance, *scan = open->flags & SCAN_GLANCE ? &glance : scans_place(scans);
    bool more = false;
    *scan = (struct scan){.number = ++scans->number_last,
                          .view = store_glance(scans->store),
                          .flags = open->flags,
                          .keys_max = open->keys_max ? open->keys_max : UINT64_MAX};
    scan->cursor = cursor_of(scan->view);
    bound_set(&scan->start, open->start, open->start_bytes);
    bound_set(&scan->end, open->end, open->end_bytes);
    scan_part_begin(&scans->reply);
    int code = scan_seek(scan, open);
    if (!code)
        code = scan_fill(scan, &scans->reply, &more);
    if (!code && open->flags & SCAN_GLANCE)
        code = -EBUSY;
    if (!code)
        code = view_keep(scan->view, loop_now_ms(scans->loop) + LIMIT_SCAN_MS_MAX);
    scan_answer(scans, scan, route, code, more);
}

static void scans_open_parked(void *context, const struct bus_route *route,
                              struct wire_reader *body, bool in_time)
{
    struct scans *scans = context;
    struct scan_open open;
    if (scan_open_decode(body, &open))
        return; /* it was decoded before it waited */
    if (in_time)
        scans_begin(scans, route, &open);
    else
        scans_answer_status(scans, route, PROTO_STATUS_TIMEOUT);
}

int scans_on_open(struct scans *scans, struct bus_request *request)
{
    struct wire_reader body = request->body;
    struct scan_open open;
    int code = scan_open_decode(&request->body, &open);
    if (code)
        return code;
    struct parking_ticket ticket = {.index_min = open.index_min,
                                    .wait_ms = open.wait_ms,
                                    .fn = scans_open_parked,
                                    .context = scans};
    parking_take(scans->parking, &request->route, body, &ticket);
    return 0;
}

int scans_on_next(struct scans *scans, struct bus_request *request)
{
    struct scan_next next;
    int code = scan_next_decode(&request->body, &next);
    if (code)
        return code;
    struct scan *scan = scans_find(scans, next.scan);
    if (!scan || next.part != scan->next_part) {
        scans_answer_status(scans, &request->route, PROTO_STATUS_NOT_FOUND);
        return 0;
    }
    bool more = false;
    scan_part_begin(&scans->reply);
    code = scan_fill(scan, &scans->reply, &more);
    scan_answer(scans, scan, &request->route, code, more);
    return 0;
}

int scans_on_close(struct scans *scans, struct bus_request *request)
{
    uint64_t number;
    int code = scan_close_decode(&request->body, &number);
    if (code)
        return code;
    struct scan *scan = scans_find(scans, number);
    if (scan)
        scan_end(scan);
    bus_reply(*scans->server, &request->route, PROTO_SCAN_CLOSED, NULL);
    return 0;
}

/* ---- life ---- */

struct scans *scans_new(struct loop *loop, struct parking *parking, struct store *store,
                        struct bus_server **server)
{
    struct scans *scans = memory_new_zeroed(1, sizeof(*scans));
    scans->loop = loop;
    scans->parking = parking;
    scans->store = store;
    scans->server = server;
    return scans;
}

void scans_free(struct scans *scans)
{
    if (!scans)
        return;
    for (unsigned i = 0; i < LIMIT_SCANS_MAX; i++)
        scan_end(&scans->list[i]);
    buffer_free(&scans->reply);
    free(scans);
}
