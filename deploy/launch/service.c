/* service_event looks the transition up, enters the state, carries out the action and tells the
 * owner. The timer belongs to the state: each action that enters a state sets or cancels it. */
#include "service.h"

#include "error.h"
#include "launch_limits.h"
#include "logger.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/wait.h>

static void service_on_timer(void *context)
{
    service_event(context, EVENT_TIME_UP);
}

static void service_set_timer(struct service *service, uint32_t ms)
{
    loop_timer_set(service->loop, &service->timer, loop_now_ms(service->loop) + ms,
                   service_on_timer, service);
}

static unsigned long long service_run_ms(const struct service *service)
{
    return (unsigned long long)(loop_now_ms(service->loop) - service->started_ms);
}

static bool service_was_ready(const struct service *service)
{
    return service->ready_ms != 0;
}

/* ---- actions ---- */

static void act_none(struct service *service)
{
    (void)service;
}

static void act_spawn(struct service *service)
{
    struct error error = {""};
    service->started_ms = loop_now_ms(service->loop);
    service->ready_ms = 0;
    if (child_spawn(&service->plan, &service->pid, &error)) {
        char reason[ERROR_TEXT_BYTES];
        logger_error("child_not_started", "child=%s reason=%s", service->kind->name,
                     logger_quoted(reason, sizeof(reason), error.text));
        snprintf(service->last_exit, sizeof(service->last_exit), "could not be started");
        service->exit_code = EXIT_CODE_FAILURE;
        service_event(service, EVENT_EXITED);
        return;
    }
    logger_info("child_started", "child=%s pid=%ld restarts=%u", service->kind->name,
                (long)service->pid, service->restarts);
    service_set_timer(service, service->kind->slow_ms);
}

static void act_welcome(struct service *service)
{
    loop_timer_cancel(service->loop, &service->timer);
    service->ready_ms = loop_now_ms(service->loop);
    logger_info("child_ready", "child=%s pid=%ld start_ms=%llu", service->kind->name,
                (long)service->pid, service_run_ms(service));
}

static void act_terminate(struct service *service)
{
    logger_info("child_stopping", "child=%s pid=%ld", service->kind->name, (long)service->pid);
    (void)kill(service->pid, SIGTERM);
    service_set_timer(service, service->kind->stop_ms);
}

static void act_kill(struct service *service)
{
    loop_timer_cancel(service->loop, &service->timer);
    logger_warning("child_killed", "child=%s pid=%ld reason=\"did not stop on SIGTERM\"",
                   service->kind->name, (long)service->pid);
    (void)kill(service->pid, SIGKILL);
}

static void act_delay(struct service *service)
{
    struct backoff_run run = {.was_ready = service_was_ready(service)};
    uint32_t random = 0;
    if (run.was_ready)
        run.ready_ms = loop_now_ms(service->loop) - service->ready_ms;
    (void)!getrandom(&random, sizeof(random), GRND_NONBLOCK); /* none: no jitter */
    uint32_t delay_ms = backoff_next(&service->backoff, run, random);
    service->restarts++;
    service->retry_ms = loop_now_ms(service->loop) + delay_ms;
    service_set_timer(service, delay_ms);
    logger_warning("child_restart", "child=%s reason=\"%s\" ran_ms=%llu restarts=%u backoff_ms=%u",
                   service->kind->name, service->last_exit, service_run_ms(service),
                   service->restarts, delay_ms);
}

static void act_warn(struct service *service)
{
    logger_warning("child_slow", "child=%s pid=%ld waited_ms=%llu reason=\"not ready yet\"",
                   service->kind->name, (long)service->pid, service_run_ms(service));
}

static void act_settle(struct service *service)
{
    loop_timer_cancel(service->loop, &service->timer);
    if (service->state == STATE_FAILED)
        logger_error("child_failed", "child=%s reason=\"%s, which no restart would mend\"",
                     service->kind->name, service->last_exit);
    else
        logger_info("child_stopped", "child=%s reason=\"%s\"", service->kind->name,
                    service->last_exit);
}

/* ---- events ---- */

void service_event(struct service *service, enum event event)
{
    static void (*const actions[])(struct service *) = {
        [ACTION_NONE] = act_none,       [ACTION_SPAWN] = act_spawn,
        [ACTION_WELCOME] = act_welcome, [ACTION_TERMINATE] = act_terminate,
        [ACTION_KILL] = act_kill,       [ACTION_DELAY] = act_delay,
        [ACTION_WARN] = act_warn,       [ACTION_SETTLE] = act_settle,
    };
    enum state before = service->state;
    struct transition transition = state_transition(before, event);
    service->state = transition.next;
    actions[transition.action](service);
    if (service->state != before)
        service->on_change(service->context, service);
}

static enum event service_note_exit(struct service *service, int wait_status)
{
    if (WIFSIGNALED(wait_status)) {
        int number = WTERMSIG(wait_status);
        const char *name = sigabbrev_np(number);
        snprintf(service->last_exit, sizeof(service->last_exit), "killed by signal %d (SIG%s)",
                 number, name ? name : "?");
        service->exit_code = 128 + number;
        return EVENT_EXITED;
    }
    service->exit_code = WEXITSTATUS(wait_status);
    snprintf(service->last_exit, sizeof(service->last_exit), "exited with code %d",
             service->exit_code);
    bool fatal = service->exit_code == EXIT_CODE_USAGE || service->exit_code == EXIT_CODE_PERMANENT;
    return fatal ? EVENT_EXITED_FATAL : EVENT_EXITED;
}

void service_on_exit(struct service *service, int wait_status)
{
    journal_drain(&service->journal); /* its last words stand before our line about it */
    service->pid = 0;
    service_event(service, service_note_exit(service, wait_status));
}

int service_open(struct service *service, struct output *output, unsigned colour)
{
    int code = journal_open(&service->journal, service->loop, output, service->kind->name, colour);
    if (!code)
        service->plan.output_fd = service->journal.write_fd;
    return code;
}

void service_close(struct service *service)
{
    loop_timer_cancel(service->loop, &service->timer);
    journal_close(&service->journal, service->loop);
}
