/* Many clients at once, each a thread with connections of its own, that write down what they asked
 * and were told: puts, gets, deletes and swaps (If-Match, If-None-Match) on a few keys, every value
 * unique. What nobody can know (504, a connection that broke after something was sent, no answer in
 * time) is written down as open: it may have happened at any time since, or never. 3xx, 4xx and 503
 * are taken at their word.
 *
 * Keys are left for new ones all the time, so that the history of each stays short enough to be
 * searched (tests/lib/history.h). */
#pragma once

#include "cluster.h"

#include <stdbool.h>
#include <stdint.h>

#define CROWD_CLIENTS_MAX 32u

struct crowd_options {
    unsigned clients;       /* 0: 16 */
    unsigned keys;          /* in use at a time; 0: 8 */
    unsigned key_ms;        /* until all of them are left; 0: 2000 */
    unsigned pace_us;       /* between two requests of a client; 0: 4000 */
    unsigned timeout_ms;    /* a client's patience (every fourth has six times it); 0: 1500 */
    unsigned value_pad_max; /* bytes behind the value's number; 0: 200 */
    unsigned nodes;         /* asked: the first so many; 0: all there are now */
    bool only_leader; /* ask the node that answered last, as clients do; else any, each time */
    uint64_t seed;
};

struct crowd;

struct crowd *crowd_start(const struct cluster *cluster, const struct crowd_options *options);
/* From now on the first `nodes` nodes are asked: one more has become a member. */
void crowd_ask(struct crowd *crowd, unsigned nodes);
/* Ends the clients. */
void crowd_stop(struct crowd *crowd);
/* After crowd_stop, with the cluster whole: reads each key once more, which pins what became of the
 * last writes. */
void crowd_read_all(struct crowd *crowd);
/* After that: fails the test if an answer was not as the API has it, if a value came back
 * under another revision than it was written, or if no order of effects explains what was seen; the
 * key's history is printed. Prints how much was asked. */
void crowd_check(struct crowd *crowd);
void crowd_free(struct crowd *crowd);

/* Nanoseconds of the clock the history uses. */
uint64_t crowd_now_ns(void);
/* Writes called after this moment that are acknowledged by now. Fails the test at once if a client
 * got an answer that is not as the API has it. */
unsigned crowd_writes_since(struct crowd *crowd, uint64_t since_ns);
/* The longest time without an acknowledged write between these moments, in ms. */
unsigned crowd_longest_gap_ms(struct crowd *crowd, uint64_t from_ns, uint64_t to_ns);
/* The latency that this share (0.99) of the writes acknowledged between these moments stayed under,
 * in ms; `ret_count` how many. */
double crowd_write_ms(struct crowd *crowd, uint64_t from_ns, uint64_t to_ns, double share,
                      unsigned *ret_count);
