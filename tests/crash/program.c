#include "program.h"

#include "clock.h"
#include "folder.h"

#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const struct program *program_now;

/* An assertion or a bad access in the code under test: say which round it was. */
static void on_crash(int signal_number)
{
    char line[160];
    int length =
        snprintf(line, sizeof(line),
                 "signal %d\nreplay: %s --seed %" PRIu64 " --states 1 --round %" PRIu64 "\n",
                 signal_number, program_now->name, program_now->seed, program_now->round);
    (void)!write(2, line, (size_t)length);
    (void)signal(signal_number, SIG_DFL);
    (void)raise(signal_number);
}

/* From the kernel, not by getrandom: that is the program's own here, and comes from the seed. */
static uint64_t seed_any(void)
{
    uint32_t seed = 0;
    if (getentropy(&seed, sizeof(seed)))
        abort();
    return seed;
}

static uint64_t number_of(const struct program *program, const char *text)
{
    char *end;
    uint64_t number = strtoull(text, &end, 10);
    if (*text && !*end)
        return number;
    fprintf(stderr, "%s: %s is no number\n", program->name, text);
    exit(2);
}

void program_arguments(struct program *program, int argc, char **argv)
{
    program->seed = program->round = 1;
    for (int i = 1; i < argc; i += 2) {
        const char *name = argv[i], *value = i + 1 < argc ? argv[i + 1] : "";
        if (!strcmp(name, "--seed"))
            program->seed = strcmp(value, "random") ? number_of(program, value) : seed_any();
        else if (!strcmp(name, "--states"))
            program->states = number_of(program, value);
        else if (!strcmp(name, "--round"))
            program->round = number_of(program, value);
        else if (!strcmp(name, "--mutant"))
            program->mutant = value;
        else
            name = NULL;
        if (name)
            continue;
        fprintf(stderr, "usage: %s [--seed N|random] [--states N] [--round N] [--mutant M]\n",
                program->name);
        exit(2);
    }
}

#define PROGRESS_SECONDS 10u

/* A long run tells where it is: on a terminal in one line, in a file a line each time. */
static void tell_progress(const struct program *program, uint64_t *told_ms)
{
    if (clock_monotonic_ms() - *told_ms < PROGRESS_SECONDS * 1000)
        return;
    *told_ms = clock_monotonic_ms();
    fprintf(stderr, "%s%s: %" PRIu64 " of %" PRIu64 " crash states, %" PRIu64 " rounds%s",
            isatty(2) ? "\r" : "", program->name, program->seen, program->states, program->round,
            isatty(2) ? "\033[K" : "\n");
}

int program_run(struct program *program, bool (*round)(struct random *random))
{
    uint64_t first = program->round;
    uint64_t told_ms = clock_monotonic_ms();
    bool good = true;
    program_now = program;
    printf("replay: %s --seed %" PRIu64 " --states %" PRIu64 " --round %" PRIu64 "\n",
           program->name, program->seed, program->states, first);
    fflush(stdout);
    (void)signal(SIGABRT, on_crash);
    (void)signal(SIGSEGV, on_crash);
    (void)signal(SIGBUS, on_crash);
    folder_begin();
    for (; good && (program->round == first || program->seen < program->states); program->round++) {
        struct random random = random_of(program->seed * 1000003 + program->round);
        good = round(&random);
        if (!good)
            break;
        tell_progress(program, &told_ms);
    }
    folder_end();
    if (isatty(2))
        fprintf(stderr, "\r\033[K");
    printf("%s: %" PRIu64 " crash states at %" PRIu64 " moments of %" PRIu64 " rounds, %" PRIu64
           " crashed again\n",
           good ? "passed" : "FAILED", program->seen, program->moments, program->round - first,
           program->again);
    if (!good)
        printf("replay: %s --seed %" PRIu64 " --states 1 --round %" PRIu64 "\n", program->name,
               program->seed, program->round);
    return good ? 0 : 1;
}
