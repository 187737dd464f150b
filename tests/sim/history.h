/* What clients asked and were told, and whether one order of effects explains it: linearizability
 * of registers, key by key (Herlihy and Wing 1990), searched as Wing and Gong with Lowe's memory of
 * states seen. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

enum operation_kind { OPERATION_PUT = 1, OPERATION_GET };
enum operation_outcome {
    OPERATION_OPEN, /* no answer: it may take effect at any time from its call on, or never */
    OPERATION_DONE,
    OPERATION_REFUSED, /* for certain without effect */
};

struct operation {
    enum operation_kind kind;
    enum operation_outcome outcome;
    uint32_t key;
    uint64_t value; /* put: unique in the history; got: 0 is absent */
    uint64_t called_at, answered_at;
};

struct history {
    struct operation *operations;
    uint32_t count, capacity;
};

/* Returns the operation's number. */
uint32_t history_call(struct history *history, enum operation_kind kind, uint32_t key,
                      uint64_t value, uint64_t now);
void history_answer(struct history *history, uint32_t number, enum operation_outcome outcome,
                    uint64_t value, uint64_t now);
void history_free(struct history *history);

/* The keys 0 .. keys - 1, one by one. False with the key that no order explains. */
bool history_is_linearizable(const struct history *history, uint32_t keys, uint32_t *ret_key);
