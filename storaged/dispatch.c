#include "dispatch.h"

#include "apply.h"
#include "datadir.h"
#include "limits.h"
#include "logger.h"
#include "message.h"

#include <errno.h>
#include <string.h>

typedef int storaged_handler(struct storaged *storaged, struct bus_request *request);

/* ---- handlers: 0, or -EPROTO for a body that cannot be decoded ---- */

/* An entry that cannot be applied: neither going on without it nor trying again would be right. */
static void storaged_end_at_entry(struct storaged *storaged, int code)
{
    char reason[600];
    unsigned long long index = store_applied_index(storaged->store) + 1;
    if (code == -EMSGSIZE)
        logger_error("configuration_too_large", "index=%llu bytes_max=%u", index,
                     LIMIT_CONFIGURATION_BYTES_MAX);
    else
        logger_error("damaged", "index=%llu reason=%s", index,
                     logger_quoted(reason, sizeof(reason), store_damage(storaged->store)));
    storaged->damaged = true;
    loop_stop(storaged->loop, EXIT_CODE_PERMANENT);
}

static void storaged_add_result(struct storaged *storaged, const struct apply_entry *entry,
                                const struct command_result *result)
{
    uint8_t encoded[COMMAND_RESULT_BYTES];
    struct buffer into = {.bytes = encoded, .capacity = sizeof(encoded)};
    struct node_bytes txn_result = store_txn_result(storaged->store);
    if (entry->kind == ENTRY_COMMAND && !txn_result.length)
        command_result_encode(&into, result);
    else
        into = (struct buffer){.bytes = (uint8_t *)(uintptr_t)txn_result.bytes,
                               .length = txn_result.length};
    applied_add(&storaged->reply, into.bytes, into.length);
}

/* Applies the list, or as much of it as the answer has room for: 0, or the code of store_apply that
 * ended it. Results are appended to the reply. */
static int storaged_apply_list(struct storaged *storaged, struct message_list *list)
{
    struct apply_entry entry;
    while (storaged->reply.length < LIMIT_APPLIED_BYTES_SOFT && apply_next(list, &entry)) {
        struct command_result result;
        int code = store_apply(storaged->store, &entry, &result);
        if (code)
            return code;
        storaged_add_result(storaged, &entry, &result);
    }
    return 0;
}

/* False: not now. Without room, later: what is changed already fits the file, and when it is
 * written raftd cuts its log, or a page is free again. */
static bool storaged_makes_room(struct storaged *storaged, uint64_t bytes, uint64_t entries)
{
    int code = store_make_room(storaged->store, bytes, entries);
    if (code && code != -ENOSPC && code != -EDQUOT && code != -EBUSY) {
        logger_error("growth_failed", "reason=\"%s\"", strerror(-code));
        storaged->damaged = true;
        loop_stop(storaged->loop, EXIT_CODE_FAILURE);
    }
    return code == 0;
}

static int storaged_on_apply(struct storaged *storaged, struct bus_request *request)
{
    struct applied_head head = {.status = PROTO_STATUS_OK};
    struct message_list list;
    uint64_t first_index, bytes = request->body.left;
    int code = apply_decode(&request->body, &first_index, &list);
    if (code)
        return code;
    applied_begin(&storaged->reply);
    if (first_index != store_applied_index(storaged->store) + 1) {
        head.status = PROTO_STATUS_GAP;
    } else if (storaged->damaged || store_is_full(storaged->store) ||
               !storaged_makes_room(storaged, bytes, list.left)) {
        head.status = PROTO_STATUS_BUSY;
    } else if ((code = storaged_apply_list(storaged, &list))) {
        storaged_end_at_entry(storaged, code);
        return 0; /* no answer: what is applied is lost with this process, and raftd will apply it
                     again */
    }
    store_fill_applied(storaged->store, &head);
    applied_finish(&storaged->reply, &head);
    bus_reply(storaged->server, &request->route, PROTO_APPLIED, &storaged->reply);
    storaged->applied_some = true;
    return 0;
}

static int storaged_on_read(struct storaged *storaged, struct bus_request *request)
{
    return reads_on_request(storaged->reads, request);
}

static int storaged_on_scan_open(struct storaged *storaged, struct bus_request *request)
{
    return scans_on_open(storaged->scans, request);
}

static int storaged_on_scan_next(struct storaged *storaged, struct bus_request *request)
{
    return scans_on_next(storaged->scans, request);
}

static int storaged_on_scan_close(struct storaged *storaged, struct bus_request *request)
{
    return scans_on_close(storaged->scans, request);
}

static int storaged_on_watch(struct storaged *storaged, struct bus_request *request)
{
    return watches_on_request(storaged->watches, request);
}

static void storaged_tell_status(struct storaged *storaged, const struct bus_route *route)
{
    struct store_status status;
    store_fill_status(storaged->store, &status);
    store_status_encode(&storaged->reply, &status);
    bus_reply(storaged->server, route, PROTO_STORE_STATUS_OK, &storaged->reply);
}

/* raftd takes the answer for what is durable here: while an install ends, that is not known. It
 * asks again and again; the newest is answered. */
static int storaged_on_store_status(struct storaged *storaged, struct bus_request *request)
{
    if (request->peer == PROTO_ROLE_RAFTD && install_is_ending(storaged->install)) {
        storaged->owes_status = true;
        storaged->status_route = request->route;
    } else {
        storaged_tell_status(storaged, &request->route);
    }
    return 0;
}

void storaged_on_install_ended(void *context, bool is_installed)
{
    struct storaged *storaged = context;
    storaged->applied_some = storaged->applied_some || is_installed;
    if (is_installed && !storaged->damaged)
        parking_on_applied(storaged->parking); /* now: entries may follow in this turn */
    if (storaged->owes_status)
        storaged_tell_status(storaged, &storaged->status_route);
    storaged->owes_status = false;
    buffer_clear(&storaged->reply, 2 * LIMIT_BATCH_BYTES_SOFT);
}

static int storaged_on_snapshot_open(struct storaged *storaged, struct bus_request *request)
{
    return snapshots_on_open(storaged->snapshots, request);
}

static int storaged_on_snapshot_read(struct storaged *storaged, struct bus_request *request)
{
    return snapshots_on_read(storaged->snapshots, request);
}

static int storaged_on_snapshot_close(struct storaged *storaged, struct bus_request *request)
{
    return snapshots_on_close(storaged->snapshots, request);
}

static int storaged_on_install(struct storaged *storaged, struct bus_request *request)
{
    return install_on_request(storaged->install, request);
}

/* ---- the table ---- */

static const struct {
    uint16_t type;
    storaged_handler *handler;
} handlers[] = {
    {PROTO_APPLY, storaged_on_apply},
    {PROTO_READ, storaged_on_read},
    {PROTO_STORE_STATUS, storaged_on_store_status},
    {PROTO_SNAPSHOT_OPEN, storaged_on_snapshot_open},
    {PROTO_SNAPSHOT_READ, storaged_on_snapshot_read},
    {PROTO_SNAPSHOT_CLOSE, storaged_on_snapshot_close},
    {PROTO_INSTALL_BEGIN, storaged_on_install},
    {PROTO_INSTALL_PART, storaged_on_install},
    {PROTO_INSTALL_END, storaged_on_install},
    {PROTO_SCAN_OPEN, storaged_on_scan_open},
    {PROTO_SCAN_NEXT, storaged_on_scan_next},
    {PROTO_SCAN_CLOSE, storaged_on_scan_close},
    {PROTO_WATCH, storaged_on_watch},
};
#define HANDLERS_COUNT (sizeof(handlers) / sizeof(*handlers))

const uint16_t *storaged_handled(void)
{
    static uint16_t numbers[HANDLERS_COUNT + 1];
    for (unsigned i = 0; i < HANDLERS_COUNT; i++)
        numbers[i] = handlers[i].type;
    return numbers;
}

static void storaged_on_request(void *context, struct bus_request *request)
{
    struct storaged *storaged = context;
    int code = -EPROTO;
    if (proto_call_allowed(request->type, (enum proto_role)request->peer, PROTO_ROLE_STORAGED,
                           request->body.left))
        for (unsigned i = 0; i < HANDLERS_COUNT; i++)
            if (handlers[i].type == request->type)
                code = handlers[i].handler(storaged, request);
    if (code) {
        logger_warning("message_refused", "type=%u from=%s", request->type,
                       proto_role_name((enum proto_role)request->peer));
        bus_refuse(storaged->server, &request->route, PROTO_STATUS_BAD_REQUEST,
                   "not a message for storaged");
    }
    buffer_clear(&storaged->reply, 2 * LIMIT_BATCH_BYTES_SOFT);
}

static int storaged_on_hello(void *context, struct wire_reader *body, uint32_t *ret_peer,
                             struct buffer *welcome, struct error *error)
{
    struct storaged *storaged = context;
    struct hello peer;
    if (hello_decode(body, &peer))
        return error_set(error, -EPROTO, "not a HELLO");
    int code = hello_check(&storaged->hello, &peer, PROTO_ROLE_ANY, error);
    if (code)
        return code;
    *ret_peer = (uint32_t)peer.role;
    if (peer.role == PROTO_ROLE_RAFTD) { /* there is one, and its edge before is gone */
        snapshots_forget(storaged->snapshots);
        install_forget(storaged->install);
    }
    hello_encode(welcome, &storaged->hello);
    return 0;
}

static void storaged_at_turn_end(void *context)
{
    struct storaged *storaged = context;
    views_expire(store_pager(storaged->store), loop_now_ms(storaged->loop));
    if (!storaged->applied_some || storaged->damaged)
        return; /* half a change may be in memory: it must not get into a checkpoint (invariant 5)
                 */
    storaged->applied_some = false;
    parking_on_applied(storaged->parking);
    checkpointer_consider(storaged->checkpointer);
}

int storaged_listen(struct storaged *storaged, struct error *error)
{
    struct bus_server_options options = {
        .loop = storaged->loop,
        .url = DATADIR_STORAGED_URL,
        .epoch = storaged->hello.boot_epoch,
        .on_hello = storaged_on_hello,
        .on_request = storaged_on_request,
        .context = storaged,
    };
    loop_at_turn_end(storaged->loop, storaged_at_turn_end, storaged);
    return bus_server_new(&storaged->server, &options, error);
}
