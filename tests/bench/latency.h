/* How long things took: a histogram of microseconds, 32 buckets to each doubling (3 % of error).
 * Owner: tests/bench. */
#pragma once

#include <stdint.h>

#define LATENCY_FINE_BITS 5u
#define LATENCY_FINE (1u << LATENCY_FINE_BITS)
#define LATENCY_BUCKETS ((33u - LATENCY_FINE_BITS) * LATENCY_FINE)

/* Zero-initialised: nothing was added yet. */
struct latency {
    uint64_t buckets[LATENCY_BUCKETS], count, most_us;
};

static inline unsigned latency_bucket(uint64_t us)
{
    if (us < LATENCY_FINE)
        return (unsigned)us;
    if (us > UINT32_MAX)
        us = UINT32_MAX;
    unsigned doubling = 63u - LATENCY_FINE_BITS - (unsigned)__builtin_clzll(us);
    return (doubling + 1) * LATENCY_FINE + (unsigned)((us >> doubling) - LATENCY_FINE);
}

/* The least that falls into it. */
static inline uint64_t latency_bound_us(unsigned bucket)
{
    if (bucket < LATENCY_FINE)
        return bucket;
    unsigned doubling = bucket / LATENCY_FINE - 1;
    return (uint64_t)(LATENCY_FINE + bucket % LATENCY_FINE) << doubling;
}

static inline void latency_add(struct latency *latency, uint64_t us)
{
    latency->buckets[latency_bucket(us)]++;
    latency->count++;
    latency->most_us = us > latency->most_us ? us : latency->most_us;
}

/* So many of a thousand were not longer; 0 if there was none. */
static inline uint64_t latency_at_us(const struct latency *latency, unsigned of_1000)
{
    uint64_t seen = 0, wanted = (latency->count * of_1000 + 999) / 1000;
    for (unsigned bucket = 0; bucket < LATENCY_BUCKETS; bucket++) {
        seen += latency->buckets[bucket];
        if (seen >= wanted && seen)
            return latency_bound_us(bucket);
    }
    return 0;
}
