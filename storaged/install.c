#include "install.h"

#include "buffer.h"
#include "bulk.h"
#include "datadir.h"
#include "file.h"
#include "logger.h"
#include "message.h"
#include "snapshot.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct install {
    struct loop *loop;
    struct bus_server **server;
    void (*on_installed)(void *context);
    void *context;
    struct bulk *bulk; /* NULL: none is under way */
    struct install_begin begun;
    uint32_t next_part;
    struct loop_timer deadline;
};

static int answer(struct install *install, const struct bus_request *request, uint16_t status,
                  const char *reason)
{
    struct install_reply reply = {.status = status};
    struct buffer body = {0};
    snprintf(reply.reason, sizeof(reply.reason), "%s", reason);
    install_ok_encode(&body, &reply);
    bus_reply(*install->server, &request->route, PROTO_INSTALL_OK, &body);
    buffer_free(&body);
    return 0;
}

static void give_up(struct install *install)
{
    loop_timer_cancel(install->loop, &install->deadline);
    if (install->bulk)
        bulk_abandon(install->bulk);
    install->bulk = NULL;
}

static int refuse(struct install *install, const struct bus_request *request, const char *reason)
{
    logger_warning("install_refused", "index=%llu part=%u reason=\"%s\"",
                   (unsigned long long)install->begun.index, install->next_part, reason);
    give_up(install);
    return answer(install, request, PROTO_STATUS_REFUSED, reason);
}

static void on_deadline(void *context)
{
    struct install *install = context;
    logger_warning("install_given_up", "index=%llu part=%u",
                   (unsigned long long)install->begun.index, install->next_part);
    give_up(install);
}

static void watch(struct install *install)
{
    loop_timer_set(install->loop, &install->deadline, loop_now_ms(install->loop) + INSTALL_MS_MAX,
                   on_deadline, install);
}

int install_on_begin(struct install *install, struct bus_request *request)
{
    struct error error = {""};
    int code = install_begin_decode(&request->body, &install->begun);
    if (code)
        return code;
    give_up(install);
    (void)file_unlink("install.unlink", INSTALL_PATH); /* one that could not take its place */
    install->next_part = 0;
    if (bulk_begin(&install->bulk, INSTALL_PATH, &error))
        return refuse(install, request, error.text);
    watch(install);
    return answer(install, request, PROTO_STATUS_OK, "");
}

/* Why not; NULL if all of it was added. */
static const char *add_records(struct install *install, struct message_list *list)
{
    struct install_record record;
    while (install_records_next(list, &record)) {
        struct node_bytes key = {record.key, record.key_bytes};
        struct node_bytes value = {record.value, record.value_bytes};
        int code = bulk_add(install->bulk, key, record.revision, value);
        if (code)
            return code == BULK_OUT_OF_ORDER ? "its keys are out of order" : strerror(-code);
    }
    return NULL;
}

int install_on_part(struct install *install, struct bus_request *request)
{
    struct message_list list;
    uint32_t part;
    int code = install_part_decode(&request->body, &part);
    if (code)
        return code;
    if (!install->bulk || part != install->next_part)
        return refuse(install, request, "a part comes out of order, or too late");
    code = install_records_decode(&request->body, &list);
    if (code)
        return refuse(install, request, "a part was damaged on its way");
    const char *reason = add_records(install, &list);
    if (reason)
        return refuse(install, request, reason);
    install->next_part++;
    watch(install);
    return answer(install, request, PROTO_STATUS_OK, "");
}

/* What was added is what the sender has. */
static const char *objection(const struct install *install, const struct install_end *end)
{
    if (end->index != install->begun.index || end->term != install->begun.term)
        return "its end is another snapshot's";
    if (end->keys != bulk_keys(install->bulk))
        return "it has another number of keys than its sender";
    if (memcmp(end->state_hash, bulk_state_hash(install->bulk), sizeof(end->state_hash)))
        return "its state hash is another than its sender's";
    return NULL;
}

static int put_in_place(struct install *install, const struct install_end *end, struct error *error)
{
    struct bulk_end last = {.applied_index = end->index,
                            .applied_term = end->term,
                            .configuration = {end->configuration, end->configuration_bytes}};
    struct bulk *bulk = install->bulk;
    install->bulk = NULL;
    loop_timer_cancel(install->loop, &install->deadline);
    int code = bulk_finish(bulk, &last, error);
    if (!code && (code = file_rename("install.rename", INSTALL_PATH, DATADIR_TREE_PATH)))
        (void)error_set_errno(error, code, "cannot give %s its name", INSTALL_PATH);
    return code;
}

int install_on_end(struct install *install, struct bus_request *request)
{
    struct install_end end;
    struct error error = {""};
    int code = install_end_decode(&request->body, &end);
    if (code)
        return code;
    if (!install->bulk)
        return refuse(install, request, "it was not begun, or given up");
    const char *reason = objection(install, &end);
    if (reason)
        return refuse(install, request, reason);
    if (put_in_place(install, &end, &error))
        return refuse(install, request, error.text);
    code = file_sync_directory("install.directory.sync", ".");
    if (code)
        logger_error("install_failed", "reason=\"%s\"", strerror(-code));
    else
        logger_info("installed", "index=%llu keys=%llu", (unsigned long long)end.index,
                    (unsigned long long)end.keys);
    install->on_installed(install->context); /* whichever file a crash would leave, it is whole */
    return 0;
}

struct install *install_new(struct loop *loop, struct bus_server **server,
                            void (*on_installed)(void *context), void *context)
{
    struct install *install = memory_new_zeroed(1, sizeof(*install));
    install->loop = loop;
    install->server = server;
    install->on_installed = on_installed;
    install->context = context;
    (void)file_unlink("install.unlink", INSTALL_PATH);
    (void)file_unlink("install.unlink", INSTALL_PATH ".new");
    return install;
}

void install_free(struct install *install)
{
    if (!install)
        return;
    give_up(install);
    free(install);
}
