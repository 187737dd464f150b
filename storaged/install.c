#include "install.h"

#include "buffer.h"
#include "file.h"
#include "logger.h"
#include "message.h"
#include "snapshot.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TYPE_GIVE_UP 0u /* a step of our own, behind those that came */

/* One message, on its way through the worker. */
struct step {
    struct worker_job job;
    struct install *install; /* NULL: free */
    struct bus_route route;
    uint16_t type;
    struct buffer body;
    struct install_reply reply;
    struct install_begin begun; /* for the log */
    uint32_t part;
};

/* What is being taken. The worker's; the loop looks only when that is settled. */
struct taking {
    struct bulk *bulk; /* NULL: nothing is */
    struct install_begin begun;
    uint32_t next_part;
};

struct install {
    struct install_options options;
    struct taking taking;
    struct step steps[INSTALL_STEPS_MAX];
    struct worker_job retire;
    struct pager *retired; /* of the store before, until it is closed */
    struct loop_timer deadline;
    bool is_ending, is_stopping;
};

/* ---- on the worker: 0, with the reply filled in, or the code the process must end with ---- */

static void taking_give_up(struct taking *taking)
{
    if (taking->bulk)
        bulk_abandon(taking->bulk);
    *taking = (struct taking){0};
}

static int step_refuse(struct step *step, uint16_t status, const char *reason)
{
    taking_give_up(&step->install->taking);
    step->reply.status = status;
    snprintf(step->reply.reason, sizeof(step->reply.reason), "%s", reason);
    return 0;
}

/* A call to the disk failed. */
static int step_fail(struct step *step, int code, const char *reason)
{
    bool is_full = code == -ENOSPC || code == -EDQUOT;
    (void)step_refuse(step, is_full ? PROTO_STATUS_NO_SPACE : PROTO_STATUS_REFUSED, reason);
    return code == -EIO ? code : 0;
}

static int step_run_begin(struct step *step, struct wire_reader *body)
{
    struct taking *taking = &step->install->taking;
    struct error error = {""};
    taking_give_up(taking);
    if (install_begin_decode(body, &taking->begun))
        return step_refuse(step, PROTO_STATUS_BAD_REQUEST, "it makes no sense");
    int code = bulk_begin(&taking->bulk, DATADIR_TREE_PATH, BULK_REPLACE, &error);
    return code ? step_fail(step, code, error.text) : 0;
}

static int step_add_records(struct step *step, struct message_list *list)
{
    struct install_record record;
    while (install_records_next(list, &record)) {
        struct node_bytes key = {record.key, record.key_bytes};
        struct node_bytes value = {record.value, record.value_bytes};
        int code = bulk_add(step->install->taking.bulk, key, record.revision, value);
        if (code == BULK_OUT_OF_ORDER)
            return step_refuse(step, PROTO_STATUS_REFUSED, "its keys are out of order");
        if (code)
            return step_fail(step, code, strerror(-code));
    }
    step->install->taking.next_part++;
    return 0;
}

static int step_run_part(struct step *step, struct wire_reader *body)
{
    struct taking *taking = &step->install->taking;
    struct message_list list;
    if (install_part_decode(body, &step->part))
        return step_refuse(step, PROTO_STATUS_BAD_REQUEST, "it makes no sense");
    if (!taking->bulk || step->part != taking->next_part)
        return step_refuse(step, PROTO_STATUS_REFUSED, "a part comes out of order, or too late");
    int code = install_records_decode(body, &list);
    if (code == -EBADMSG)
        return step_refuse(step, PROTO_STATUS_REFUSED, "a part was damaged on its way");
    if (code)
        return step_refuse(step, PROTO_STATUS_BAD_REQUEST, "a part makes no sense");
    return step_add_records(step, &list);
}

/* Why what was added is not what the sender has; NULL if it is. */
static const char *taking_objection(const struct taking *taking, const struct install_end *end)
{
    if (!taking->bulk)
        return "it was not begun, or given up";
    if (end->index != taking->begun.index || end->term != taking->begun.term)
        return "its end is another snapshot's";
    if (end->keys != bulk_keys(taking->bulk))
        return "it has another number of keys than its sender";
    if (memcmp(end->state_hash, bulk_state_hash(taking->bulk), sizeof(end->state_hash)))
        return "its state hash is another than its sender's";
    return NULL;
}

static int step_run_end(struct step *step, struct wire_reader *body)
{
    struct taking *taking = &step->install->taking;
    struct install_end end;
    struct error error = {""};
    if (install_end_decode(body, &end))
        return step_refuse(step, PROTO_STATUS_BAD_REQUEST, "it makes no sense");
    const char *objection = taking_objection(taking, &end);
    if (objection)
        return step_refuse(step, PROTO_STATUS_REFUSED, objection);
    struct bulk_end last = {.applied_index = end.index,
                            .applied_term = end.term,
                            .configuration = {end.configuration, end.configuration_bytes}};
    struct bulk *bulk = taking->bulk;
    *taking = (struct taking){0};
    int code = bulk_finish(bulk, &last, &error);
    return code ? step_fail(step, code, error.text) : 0;
}

static int step_run_give_up(struct step *step, struct wire_reader *body)
{
    (void)body;
    taking_give_up(&step->install->taking);
    return 0;
}

static const struct {
    uint16_t type;
    int (*run)(struct step *step, struct wire_reader *body);
} runs[] = {
    {PROTO_INSTALL_BEGIN, step_run_begin},
    {PROTO_INSTALL_PART, step_run_part},
    {PROTO_INSTALL_END, step_run_end},
    {TYPE_GIVE_UP, step_run_give_up},
};

static int step_run(void *context)
{
    struct step *step = context;
    struct wire_reader body = wire_reader_of(step->body.bytes, step->body.length);
    int code = 0;
    step->begun = step->install->taking.begun;
    step->part = step->install->taking.next_part;
    for (unsigned i = 0; i < sizeof(runs) / sizeof(*runs); i++)
        if (runs[i].type == step->type)
            code = runs[i].run(step, &body);
    if (step->type == PROTO_INSTALL_BEGIN)
        step->begun = step->install->taking.begun;
    return code;
}

/* ---- answers ---- */

static void install_answer(struct install *install, const struct bus_route *route,
                           const struct install_reply *reply)
{
    struct buffer body = {0};
    install_ok_encode(&body, reply);
    bus_reply(*install->options.server, route, PROTO_INSTALL_OK, &body);
    buffer_free(&body);
}

static void step_log_refusal(const struct step *step)
{
    char reason[SNAPSHOT_REASON_BYTES_MAX + 8];
    logger_warning("install_refused", "index=%llu part=%u status=%s reason=%s",
                   (unsigned long long)step->begun.index, step->part,
                   proto_status_name(step->reply.status),
                   logger_quoted(reason, sizeof(reason), step->reply.reason));
}

/* ---- the new store ---- */

static int install_retire(void *context)
{
    struct install *install = context;
    pager_close(install->retired); /* a large file: it takes time to remove it from the disk */
    return 0;
}

static void install_on_retired(void *context, int code)
{
    struct install *install = context;
    (void)code;
    install->retired = NULL;
}

/* The one before is retired long since: its job lay before this END's. */
static int install_take_place(struct install *install, const struct step *step)
{
    struct error error = {""};
    struct install_options *options = &install->options;
    int code = store_reopen(options->store, DATADIR_TREE_PATH, &install->retired, &error);
    if (code) {
        options->on_failed(options->context, code, error.text);
        return code;
    }
    install->retire =
        (struct worker_job){.run = install_retire, .done = install_on_retired, .context = install};
    worker_give(options->worker, &install->retire);
    logger_info("installed", "index=%llu term=%llu parts=%u", (unsigned long long)step->begun.index,
                (unsigned long long)step->begun.term, step->part);
    return 0;
}

/* If it fails for good, it goes on ending: nobody must hear of the old store any more. */
static void install_on_end_done(struct install *install, const struct step *step)
{
    bool is_installed = step->reply.status == PROTO_STATUS_OK;
    if (is_installed && install_take_place(install, step))
        return;
    install->is_ending = false;
    checkpointer_release(install->options.checkpointer, is_installed);
    install_answer(install, &step->route, &step->reply);
    install->options.on_ended(install->options.context, is_installed);
}

/* ---- steps ---- */

static void install_watch(struct install *install, bool is_begun);

static void step_on_success(struct step *step)
{
    struct install *install = step->install;
    bool is_ok = step->reply.status == PROTO_STATUS_OK;
    if (!is_ok)
        step_log_refusal(step);
    if (step->type == PROTO_INSTALL_END) {
        install_on_end_done(install, step);
    } else if (step->type != TYPE_GIVE_UP) {
        install_answer(install, &step->route, &step->reply);
        install_watch(install, is_ok);
    }
}

static void step_on_done(void *context, int code)
{
    struct step *step = context;
    struct install *install = step->install;
    if (code && !install->is_stopping)
        install->options.on_failed(install->options.context, code, step->reply.reason);
    else if (!install->is_stopping)
        step_on_success(step);
    buffer_free(&step->body);
    *step = (struct step){0};
}

static bool install_give(struct install *install, uint16_t type, const struct bus_request *request)
{
    for (unsigned i = 0; i < INSTALL_STEPS_MAX; i++) {
        struct step *step = &install->steps[i];
        if (step->install)
            continue;
        *step = (struct step){.install = install, .type = type};
        step->job = (struct worker_job){.run = step_run, .done = step_on_done, .context = step};
        if (request) {
            step->route = request->route;
            buffer_append(&step->body, request->body.at, request->body.left);
        }
        worker_give(install->options.worker, &step->job);
        return true;
    }
    return false;
}

/* ---- what is given up ---- */

static void install_give_up(void *context)
{
    struct install *install = context;
    if (!install_give(install, TYPE_GIVE_UP, NULL))
        install_watch(install, true); /* the worker has not even come to what there is */
}

static void install_watch(struct install *install, bool is_begun)
{
    loop_timer_cancel(install->options.loop, &install->deadline);
    if (is_begun && !install->is_ending)
        loop_timer_set(install->options.loop, &install->deadline,
                       loop_now_ms(install->options.loop) + INSTALL_MS_MAX, install_give_up,
                       install);
}

/* ---- requests ---- */

static int install_refuse(struct install *install, const struct bus_request *request,
                          const char *reason)
{
    struct install_reply reply = {.status = PROTO_STATUS_BUSY};
    snprintf(reply.reason, sizeof(reply.reason), "%s", reason);
    logger_warning("install_refused", "status=busy reason=\"%s\"", reason);
    install_answer(install, &request->route, &reply);
    return 0;
}

int install_on_request(struct install *install, struct bus_request *request)
{
    if (install->is_ending)
        return install_refuse(install, request, "another is being put in its place");
    if (!install_give(install, request->type, request))
        return install_refuse(install, request, "the disk does not keep up");
    if (request->type == PROTO_INSTALL_END) {
        install->is_ending = true;
        install_watch(install, false);
        checkpointer_hold(install->options.checkpointer);
    }
    return 0;
}

bool install_is_ending(const struct install *install)
{
    return install->is_ending;
}

void install_forget(struct install *install)
{
    if (!install->is_ending)
        install_give_up(install);
}

/* ---- life ---- */

struct install *install_new(const struct install_options *options)
{
    struct install *install = memory_new_zeroed(1, sizeof(*install));
    install->options = *options;
    (void)file_unlink("install.unlink", INSTALL_LITTER);
    return install;
}

void install_free(struct install *install)
{
    if (!install)
        return;
    install->is_stopping = true;
    loop_timer_cancel(install->options.loop, &install->deadline);
    worker_settle(install->options.worker);
    taking_give_up(&install->taking);
    free(install);
}
