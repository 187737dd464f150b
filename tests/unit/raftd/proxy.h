/* A TCP proxy on the test's own loop, which can be a network that is cut, or slow. Owner:
 * tests/unit/raftd. */
#pragma once

#include "loop.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PROXY_PAIRS_MAX 256

enum proxy_mode {
    PROXY_PASS,
    PROXY_SWALLOW, /* connections stand and are made, and every byte is lost */
    PROXY_STALL,   /* nothing is read any more from connections that have carried much */
};

struct proxy_end {
    struct proxy_pair *pair;
    struct proxy_end *other;
    int fd;
    struct loop_source *source;
    uint8_t bytes[65536]; /* read here, to be written at the other */
    size_t length, at;
    bool is_lossy; /* lost bytes once: it never passes anything again */
};

struct proxy_pair {
    struct proxy *proxy;
    uint64_t carried_bytes;
    struct proxy_end ends[2];
};

struct proxy {
    struct loop *loop;
    uint16_t port, target;
    int fd;
    struct loop_source *source;
    enum proxy_mode mode;
    uint64_t bytes_per_tick; /* of each connection and direction, 10 ms; 0: no limit */
    struct loop_timer tick;
    uint64_t ticked_ms;
    struct proxy_pair *pairs[PROXY_PAIRS_MAX];
    unsigned accepted;
};

/* A port nobody listens on now. */
uint16_t proxy_free_port(void);
void proxy_open(struct proxy *proxy, struct loop *loop, uint16_t target);
void proxy_set_mode(struct proxy *proxy, enum proxy_mode mode);
void proxy_slow_down(struct proxy *proxy, uint64_t bytes_per_tick);
void proxy_close(struct proxy *proxy);
