#include "metrics.h"

#include "routes.h"

static const unsigned statuses[METRICS_STATUSES_COUNT] = {
    200, 307, 400, 404, 405, 409, 410, 412, 413, 414, 429, 431, 500, 502, 503, 504, 0};
static const uint64_t bounds_us[METRICS_BUCKETS_COUNT] = {250,    500,     1000,    2500,    5000,
                                                          10000,  25000,   50000,   100000,  250000,
                                                          500000, 1000000, 2500000, 5000000, 0};

unsigned metrics_status(unsigned place)
{
    return statuses[place];
}

uint64_t metrics_bound_us(unsigned place)
{
    return bounds_us[place];
}

void metrics_count(struct metrics *metrics, const struct route *route, unsigned status,
                   uint64_t took_us)
{
    size_t place = route ? (size_t)(route - routes_table()) : METRICS_ROUTES_MAX;
    struct metrics_route *counts = &metrics->routes[place];
    unsigned i = 0;
    while (statuses[i] && statuses[i] != status)
        i++;
    counts->answers[i]++;
    for (i = 0; bounds_us[i] && took_us > bounds_us[i];)
        i++;
    counts->buckets[i]++;
    counts->took_us += took_us;
}
