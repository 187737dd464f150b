/* Clusters of real cores on virtual time, with a network, disks and clients that behave as badly as
 * they may, and checks after every step. One seed gives one run, always the same. */
#pragma once

#include <stdint.h>

struct cluster_result {
    uint64_t events;
    uint64_t trace; /* hash of everything that happened */
    uint64_t commits, reads, elections, crashes, snapshots, changes, transfers;
    char violation[256]; /* "": none */
};

/* `events_min`: at least so many, then everything heals and must come to rest. */
void cluster_run(uint64_t seed, uint64_t events_min, int is_verbose, struct cluster_result *ret);
