/* conure-sim [--seed N] [--seeds N] [--events N] [--twice] [--count] [--trace] [--verbose]: runs
 * clusters, one for each seed; the seed of a violation replays it. Exits 1 at the first violation.
 * --trace prints a hash of all that happened in each: a change that should change nothing shows. */
#include "cluster.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct options {
    uint64_t seed, seeds, events;
    int twice, verbose, count, trace;
};

static int parse(struct options *options, int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        uint64_t *number = !strcmp(argv[i], "--seed")     ? &options->seed
                           : !strcmp(argv[i], "--seeds")  ? &options->seeds
                           : !strcmp(argv[i], "--events") ? &options->events
                                                          : NULL;
        if (number && i + 1 < argc)
            *number = strtoull(argv[++i], NULL, 0);
        else if (!strcmp(argv[i], "--twice"))
            options->twice = 1;
        else if (!strcmp(argv[i], "--count"))
            options->count = 1;
        else if (!strcmp(argv[i], "--trace"))
            options->trace = 1;
        else if (!strcmp(argv[i], "--verbose"))
            options->verbose = 1;
        else
            return -1;
    }
    return 0;
}

static int run_seed(const struct options *options, uint64_t seed, struct cluster_result *total)
{
    struct cluster_result result, again;
    if (options->count) {
        printf("running %llu\n", (unsigned long long)seed);
        fflush(stdout); /* an assertion may end it */
    }
    cluster_run(seed, options->events, options->verbose, &result);
    if (!result.violation[0] && options->twice) {
        cluster_run(seed, options->events, 0, &again);
        if (again.trace != result.trace)
            strcpy(result.violation, "the same seed ran differently");
    }
    total->events += result.events;
    total->commits += result.commits;
    total->reads += result.reads;
    total->elections += result.elections;
    total->crashes += result.crashes;
    total->snapshots += result.snapshots;
    total->changes += result.changes;
    total->transfers += result.transfers;
    if (options->trace)
        printf("seed %llu trace %016llx\n", (unsigned long long)seed,
               (unsigned long long)result.trace);
    if (!result.violation[0])
        return 0;
    printf("seed %llu: %s (event %llu)\n", (unsigned long long)seed, result.violation,
           (unsigned long long)result.events);
    return 1;
}

int main(int argc, char **argv)
{
    struct options options = {.seed = 1, .seeds = 100, .events = 10000};
    struct cluster_result total = {0};
    if (parse(&options, argc, argv)) {
        fprintf(stderr, "conure-sim: want [--seed N] [--seeds N] [--events N] [--twice] [--count] "
                        "[--trace] [--verbose]\n");
        return 2;
    }
    printf("seeds %llu to %llu\n", (unsigned long long)options.seed,
           (unsigned long long)(options.seed + options.seeds - 1));
    fflush(stdout);
    for (uint64_t i = 0; i < options.seeds; i++)
        if (run_seed(&options, options.seed + i, &total))
            return 1;
    printf("no violation: events %llu, commits %llu, reads %llu, elections %llu, crashes %llu, "
           "snapshots %llu, changes %llu, transfers %llu\n",
           (unsigned long long)total.events, (unsigned long long)total.commits,
           (unsigned long long)total.reads, (unsigned long long)total.elections,
           (unsigned long long)total.crashes, (unsigned long long)total.snapshots,
           (unsigned long long)total.changes, (unsigned long long)total.transfers);
    return 0;
}
