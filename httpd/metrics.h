/* What this httpd answered, and how long it took: counters since its start. */
#pragma once

#include <stdint.h>

struct route;

#define METRICS_ROUTES_MAX 64u /* rows of the routes' table */
#define METRICS_STATUSES_COUNT 17u
#define METRICS_BUCKETS_COUNT 15u

struct metrics_route {
    uint64_t answers[METRICS_STATUSES_COUNT];
    uint64_t buckets[METRICS_BUCKETS_COUNT]; /* each for itself, not added up */
    uint64_t took_us;                        /* all together */
};

/* Zero-initialised: nothing was answered yet. By the routes' places in their table; behind them
 * what found no route. */
struct metrics {
    struct metrics_route routes[METRICS_ROUTES_MAX + 1];
};

/* An answer, so long after the request's first line. `route` may be NULL. */
void metrics_count(struct metrics *metrics, const struct route *route, unsigned status,
                   uint64_t took_us);

/* 0: any other. */
unsigned metrics_status(unsigned place);
/* The upper bound of a bucket in microseconds; 0: none, the last. */
uint64_t metrics_bound_us(unsigned place);
