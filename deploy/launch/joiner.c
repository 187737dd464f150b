#include "joiner.h"

#include "buffer.h"
#include "logger.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/wait.h>

/* If the seeds name the node itself, the others may be to join it; else somebody else is that, who
 * only has to come. After so many tries nobody has: perhaps each names only the others. */
#define TRIES_WITHOUT_SELF 5u
#define SERVERS_PLACE 2u /* in argv */

static void joiner_try(void *context);

static void joiner_try_later(struct joiner *joiner, const char *reason)
{
    uint32_t random = 0;
    (void)!getrandom(&random, sizeof(random), GRND_NONBLOCK); /* none: no jitter */
    uint32_t delay_ms = backoff_next(&joiner->backoff, (struct backoff_run){0}, random);
    logger_info("join_retry", "tries=%u reason=\"%s\" backoff_ms=%u", joiner->tries, reason,
                delay_ms);
    loop_timer_set(joiner->loop, &joiner->timer, loop_now_ms(joiner->loop) + delay_ms, joiner_try,
                   joiner);
}

static void joiner_try(void *context)
{
    struct joiner *joiner = context;
    struct error error = {""};
    char reason[ERROR_TEXT_BYTES + 8];
    if (++joiner->tries > TRIES_WITHOUT_SELF)
        joiner->argv[SERVERS_PLACE] = joiner->servers_and_self;
    if (!child_spawn(&joiner->plan, &joiner->pid, &error))
        return;
    logger_error("child_not_started", "child=join reason=%s",
                 logger_quoted(reason, sizeof(reason), error.text));
    joiner_try_later(joiner, "could not be started");
}

void joiner_start(struct joiner *joiner)
{
    if (!joiner->wanted)
        return;
    logger_info("joining", "seeds=%s", joiner->servers);
    joiner_try(joiner);
}

void joiner_stop(struct joiner *joiner)
{
    joiner->wanted = false;
    loop_timer_cancel(joiner->loop, &joiner->timer);
    if (joiner->pid)
        (void)kill(joiner->pid, SIGKILL);
}

/* A usage error is that of all seeds: they are this node itself. */
void joiner_on_exit(struct joiner *joiner, int wait_status)
{
    char reason[64];
    bool exited = WIFEXITED(wait_status);
    int code = exited ? WEXITSTATUS(wait_status) : 128 + WTERMSIG(wait_status);
    journal_drain(&joiner->journal); /* its last words stand before our line about it */
    joiner->pid = 0;
    if (!joiner->wanted)
        return;
    snprintf(reason, sizeof(reason), exited ? "exited with code %d" : "killed by signal %d",
             exited ? code : code - 128);
    if (code != EXIT_CODE_OK && code != EXIT_CODE_USAGE) {
        joiner_try_later(joiner, reason);
        return;
    }
    joiner->wanted = false;
    if (code == EXIT_CODE_OK)
        logger_info("joined", "tries=%u", joiner->tries);
    else
        logger_warning("join_given_up", "tries=%u reason=\"%s, which no retry would mend\"",
                       joiner->tries, reason);
}

/* ---- opening and closing ---- */

static char *join_texts(const char *first, const char *between, const char *second)
{
    size_t bytes = strlen(first) + strlen(between) + strlen(second) + 1;
    char *text = memory_new(bytes);
    snprintf(text, bytes, "%s%s%s", first, between, second);
    return text;
}

static char *list_seeds(const struct config *config)
{
    char *list = memory_copy_string(config->seeds[0]);
    for (uint32_t i = 1; i < config->seeds_count; i++) {
        char *longer = join_texts(list, ",", config->seeds[i]);
        free(list);
        list = longer;
    }
    return list;
}

static char *add_self(const char *seeds, const struct config *config)
{
    char address[LIMIT_ADDRESS_BYTES_MAX + 8];
    config_address_format(&config->http_advertise_address, address, sizeof(address));
    return join_texts(seeds, ",http://", address);
}

int joiner_open(struct joiner *joiner, struct loop *loop, struct output *output,
                const struct config *config, const char *program_directory, int directory_fd)
{
    joiner->loop = loop;
    joiner->wanted = config->seeds_count > 0;
    if (!joiner->wanted)
        return 0;
    int code = journal_open(&joiner->journal, loop, output, "join", 3);
    if (code)
        return code;
    config_address_format(&config->raft_advertise_address, joiner->address,
                          sizeof(joiner->address));
    joiner->path = join_texts(program_directory, "/", JOINER_PROGRAM);
    joiner->servers = list_seeds(config);
    joiner->servers_and_self = add_self(joiner->servers, config);
    const char *const argv[] = {
        JOINER_PROGRAM,  "--server", joiner->servers, "join", config->node_id,
        joiner->address, NULL};
    memcpy(joiner->argv, argv, sizeof(argv));
    joiner->plan = (struct child_plan){.path = joiner->path,
                                       .argv = joiner->argv,
                                       .directory_fd = directory_fd,
                                       .output_fd = joiner->journal.write_fd,
                                       .listen_fd = -1};
    return 0;
}

void joiner_close(struct joiner *joiner)
{
    if (!joiner->path)
        return;
    loop_timer_cancel(joiner->loop, &joiner->timer);
    journal_close(&joiner->journal, joiner->loop);
    free(joiner->path);
    free(joiner->servers);
    free(joiner->servers_and_self);
}
