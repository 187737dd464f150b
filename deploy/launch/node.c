/* Everything follows from changes of a service's state: node_on_change takes the next step of the
 * phase. A daemon that ends by itself while the node runs is its service's business alone
 * (invariant 12): the others are not touched.
 *
 * While the node starts, a daemon that fails for good ends the start: what already runs is stopped
 * in order. Later it only stays failed, and the others go on. */
#include "node.h"

#include "buffer.h"
#include "dispatch.h"
#include "inherit.h"
#include "logger.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* ---- phases ---- */

static void node_announce(struct node *node)
{
    char address[LIMIT_ADDRESS_BYTES_MAX + 8];
    config_address_format(&node->config->http_address, address, sizeof(address));
    logger_info("ready", "node_id=%s http_addr=%s start_ms=%llu", node->config->node_id, address,
                (unsigned long long)(loop_now_ms(node->loop) - node->begun_ms));
    inherit_notify("READY=1"); /* to who started the launcher, if he asked */
}

/* Starts the next daemon if the one before is ready, or was stopped by hand. */
static void node_start_next(struct node *node)
{
    while (node->phase == NODE_STARTING) {
        if (node->started_count > 0) {
            enum state last = node->services[node->started_count - 1].state;
            if (last != STATE_READY && last != STATE_STOPPED)
                return;
        }
        if (node->started_count == KINDS_COUNT) {
            node->phase = NODE_RUNNING;
            node_announce(node);
            joiner_start(&node->joiner);
            return;
        }
        service_event(&node->services[node->started_count++], EVENT_START);
    }
}

/* Nothing is started any more: what waits for its next start needs no order. */
static void node_drop_waiting(struct node *node)
{
    for (unsigned i = 0; i < KINDS_COUNT; i++)
        if (node->services[i].state == STATE_BACKOFF || node->services[i].state == STATE_FAILED)
            service_event(&node->services[i], EVENT_STOP);
}

static void node_stop_next(struct node *node)
{
    while (node->left_count > 0) {
        struct service *service = &node->services[node->left_count - 1];
        if (service->state != STATE_STOPPED && service->state != STATE_STOPPING)
            service_event(service, EVENT_STOP);
        if (service->state == STATE_STOPPING && node->hurry)
            service_event(service, EVENT_TIME_UP);
        if (node->left_count == 0 || node->services[node->left_count - 1].state != STATE_STOPPED)
            return;
        node->left_count--;
    }
    if (node->joiner.pid == 0)
        loop_stop(node->loop, node->exit_code);
}

void node_stop(struct node *node, int exit_code)
{
    if (node->phase == NODE_STOPPING)
        return;
    node->phase = NODE_STOPPING;
    node->exit_code = exit_code;
    node->left_count = KINDS_COUNT;
    inherit_notify("STOPPING=1");
    joiner_stop(&node->joiner);
    node_drop_waiting(node);
    node_stop_next(node);
}

static void node_on_change(void *context, struct service *service)
{
    struct node *node = context;
    if (node->phase == NODE_STARTING && service->state == STATE_FAILED)
        node_stop(node, service->exit_code);
    else if (node->phase == NODE_STARTING)
        node_start_next(node);
    if (node->phase == NODE_STOPPING) {
        node_drop_waiting(node);
        node_stop_next(node);
    }
    dispatch_on_change(node);
}

/* ---- what the loop brings ---- */

static void node_on_stop_signal(void *context, int signal_number)
{
    struct node *node = context;
    if (node->phase != NODE_STOPPING) {
        logger_info("stopping", "signal=SIG%s", sigabbrev_np(signal_number));
        node_stop(node, EXIT_CODE_OK);
    } else if (signal_number == SIGINT && !node->hurry) {
        logger_warning("stopping", "signal=SIGINT reason=\"asked twice: killing what still runs\"");
        node->hurry = true;
        node_stop_next(node);
    }
}

static struct service *node_service_of(struct node *node, pid_t pid)
{
    for (unsigned i = 0; i < KINDS_COUNT; i++)
        if (node->services[i].pid == pid)
            return &node->services[i];
    return NULL;
}

static void node_on_joiner_exit(struct node *node, int wait_status)
{
    joiner_on_exit(&node->joiner, wait_status);
    if (node->phase == NODE_STOPPING)
        node_stop_next(node);
}

/* Waits for every child, also for strangers: as the first process of a container the launcher
 * inherits orphans. */
static void node_on_child_signal(void *context, int signal_number)
{
    struct node *node = context;
    int wait_status;
    pid_t pid;
    (void)signal_number;
    while ((pid = waitpid(-1, &wait_status, WNOHANG)) > 0) {
        struct service *service = node_service_of(node, pid);
        if (service)
            service_on_exit(service, wait_status);
        else if (pid == node->joiner.pid)
            node_on_joiner_exit(node, wait_status);
    }
}

static void node_on_notified(void *context, pid_t pid)
{
    struct service *service = node_service_of(context, pid);
    if (service)
        service_event(service, EVENT_NOTIFIED);
}

/* ---- opening and closing ---- */

static char **node_argv(const struct node_plan *plan, const char *program)
{
    char **argv = memory_new_zeroed(plan->flags_count + 2, sizeof(*argv));
    argv[0] = memory_copy_string(program);
    for (unsigned i = 0; i < plan->flags_count; i++)
        argv[i + 1] = plan->flags[i];
    return argv;
}

static char *node_program_path(const struct node_plan *plan, const char *program)
{
    size_t bytes = strlen(plan->program_directory) + strlen(program) + 2;
    char *path = memory_new(bytes);
    snprintf(path, bytes, "%s/%s", plan->program_directory, program);
    return path;
}

static void node_prepare_service(struct node *node, unsigned place, const struct node_plan *plan)
{
    const struct service_kind *kind = &kinds[place];
    node->services[place] = (struct service){
        .kind = kind,
        .loop = node->loop,
        .on_change = node_on_change,
        .context = node,
        .plan = {.path = node_program_path(plan, kind->program),
                 .argv = node_argv(plan, kind->program),
                 .directory_fd = plan->directory_fd,
                 .listen_fd = kind->takes_listener ? plan->listen_fd : -1},
    };
}

static int node_open_services(struct node *node, const struct node_plan *plan, struct error *error)
{
    for (unsigned i = 0; i < KINDS_COUNT; i++) {
        node_prepare_service(node, i, plan);
        int code = service_open(&node->services[i], &node->output, i);
        if (code)
            return error_set_errno(error, code, "cannot make a pipe");
    }
    int code = joiner_open(&node->joiner, node->loop, &node->output, plan->config,
                           plan->program_directory, plan->directory_fd);
    return code ? error_set_errno(error, code, "cannot make a pipe") : 0;
}

static int node_catch_signals(struct node *node, struct error *error)
{
    int code = loop_signal(node->loop, SIGCHLD, node_on_child_signal, node);
    if (!code)
        code = loop_signal(node->loop, SIGTERM, node_on_stop_signal, node);
    if (!code)
        code = loop_signal(node->loop, SIGINT, node_on_stop_signal, node);
    return code ? error_set_errno(error, code, "cannot set up the event loop") : 0;
}

int node_open(struct node *node, struct loop *loop, const struct node_plan *plan,
              struct error *error)
{
    *node = (struct node){.config = plan->config, .loop = loop, .output = output_of(STDERR_FILENO)};
    node->begun_ms = loop_now_ms(loop);
    struct control_handlers handlers = {
        .on_request = dispatch_on_request, .on_late = dispatch_on_late, .context = node};
    int code = node_catch_signals(node, error);
    if (!code)
        code = node_open_services(node, plan, error);
    if (!code)
        code = notify_open(&node->notify, loop, node_on_notified, node, error);
    if (!code)
        code = control_open(&node->control, loop, handlers, error);
    if (code)
        return code;
    node_start_next(node);
    return 0;
}

void node_close(struct node *node)
{
    for (unsigned i = 0; i < KINDS_COUNT; i++) {
        struct service *service = &node->services[i];
        service_close(service);
        free((char *)(uintptr_t)service->plan.path);
        free(service->plan.argv[0]);
        free((char **)(uintptr_t)service->plan.argv);
    }
    joiner_close(&node->joiner);
    control_close(&node->control);
    notify_close(&node->notify, node->loop);
}
