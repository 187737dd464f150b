/* What clients asked and were told, and whether one order of effects explains it: linearizability
 * of registers, key by key (Herlihy and Wing 1990), searched as Wing and Gong with Lowe's memory of
 * states seen. The simulator and the tests of real clusters use it.
 *
 * A register holds a value; 0 stands for an absent key, so a delete is a put of 0. A swap is a
 * write on a condition (If-Match): it takes effect only where the register holds `expected`. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

enum operation_kind { OPERATION_PUT = 1, OPERATION_GET, OPERATION_SWAP };
enum operation_outcome {
    OPERATION_OPEN, /* no answer: it may take effect at any time from its call on, or never */
    OPERATION_DONE,
    OPERATION_REFUSED, /* for certain without effect */
    OPERATION_MISSED,  /* of a swap: the register held something else than expected */
};

struct operation {
    enum operation_kind kind;
    enum operation_outcome outcome;
    uint32_t key;
    uint64_t value;    /* written: unique in the history but for 0; got: 0 is absent */
    uint64_t expected; /* of a swap */
    uint64_t called_at, answered_at;
};

struct history {
    struct operation *operations;
    uint32_t count, capacity;
};

/* Returns the operation's number. */
uint32_t history_call(struct history *history, enum operation_kind kind, uint32_t key,
                      uint64_t value, uint64_t now);
uint32_t history_call_swap(struct history *history, uint32_t key, uint64_t expected, uint64_t value,
                           uint64_t now);
/* `value`: what a get saw. */
void history_answer(struct history *history, uint32_t number, enum operation_outcome outcome,
                    uint64_t value, uint64_t now);
void history_free(struct history *history);

/* What no order explains. */
struct history_finding {
    uint32_t key;
    uint32_t operation; /* the search explained everything answered before this one's answer */
};

/* The keys 0 .. keys - 1, one by one. False with the first that no order explains. */
bool history_is_linearizable(const struct history *history, uint32_t keys,
                             struct history_finding *ret_finding);

/* The finding's key, a line an operation in the order of calls; `note` (may be NULL) ends each line
 * with what else is known of it. Times are printed as differences divided by `unit`. */
void history_print(const struct history *history, const struct history_finding *finding,
                   uint64_t unit, void (*note)(void *context, uint32_t operation, FILE *file),
                   void *context, FILE *file);
