#include "history.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

uint32_t history_call(struct history *history, enum operation_kind kind, uint32_t key,
                      uint64_t value, uint64_t now)
{
    if (history->count == history->capacity) {
        history->capacity = history->capacity ? history->capacity * 2 : 256;
        history->operations =
            realloc(history->operations, history->capacity * sizeof(*history->operations));
        assert(history->operations);
    }
    history->operations[history->count] = (struct operation){
        .kind = kind, .key = key, .value = value, .called_at = now, .answered_at = UINT64_MAX};
    return history->count++;
}

void history_answer(struct history *history, uint32_t number, enum operation_outcome outcome,
                    uint64_t value, uint64_t now)
{
    struct operation *operation = &history->operations[number];
    assert(number < history->count && operation->outcome == OPERATION_OPEN);
    operation->outcome = outcome;
    operation->answered_at = now;
    if (operation->kind == OPERATION_GET)
        operation->value = value;
}

void history_free(struct history *history)
{
    free(history->operations);
    *history = (struct history){0};
}

/* ---- the search ---- */

/* Calls and answers in time order, as a list that operations are lifted out of and put back into.
 */
struct moment {
    struct moment *previous, *next;
    struct moment *answer; /* of a call; NULL in an answer */
    const struct operation *operation;
    uint32_t bit;
};

struct state {
    uint64_t hash; /* of the set of operations in effect and the value */
    bool used;
};

struct search {
    struct moment head;
    struct moment *moments;
    uint32_t operations_count;
    struct state *seen;
    uint32_t seen_count, seen_capacity;
    struct moment **stack; /* calls in effect, in order */
    uint64_t *values;      /* the value before each of them */
    uint32_t stack_count;
};

static uint64_t mix(uint64_t x)
{
    x = (x ^ x >> 31) * 0x9e3779b97f4a7c15u;
    x = (x ^ x >> 29) * 0xbf58476d1ce4e5b9u;
    return x ^ x >> 32;
}

/* Sets of operations are remembered by a 64-bit hash: a collision could only cut a branch off, that
 * is, cry wolf; with a million states its chance is one in ten million. */
static bool search_is_new(struct search *search, uint64_t hash)
{
    if (search->seen_count * 2 >= search->seen_capacity) {
        uint32_t capacity = search->seen_capacity ? search->seen_capacity * 2 : 1024;
        struct state *old = search->seen;
        uint32_t old_capacity = search->seen_capacity;
        search->seen = calloc(capacity, sizeof(*search->seen));
        assert(search->seen);
        search->seen_capacity = capacity;
        search->seen_count = 0;
        for (uint32_t i = 0; i < old_capacity; i++)
            if (old[i].used)
                (void)search_is_new(search, old[i].hash);
        free(old);
    }
    uint32_t at = (uint32_t)hash & (search->seen_capacity - 1);
    while (search->seen[at].used) {
        if (search->seen[at].hash == hash)
            return false;
        at = (at + 1) & (search->seen_capacity - 1);
    }
    search->seen[at] = (struct state){hash, true};
    search->seen_count++;
    return true;
}

static void moment_lift(struct moment *moment)
{
    moment->previous->next = moment->next;
    if (moment->next)
        moment->next->previous = moment->previous;
}

static void moment_put_back(struct moment *moment)
{
    moment->previous->next = moment;
    if (moment->next)
        moment->next->previous = moment;
}

static bool search_run(struct search *search)
{
    uint64_t value = 0, set = 0;
    struct moment *at = search->head.next;
    while (at) {
        if (at->answer) {
            const struct operation *operation = at->operation;
            bool fits = operation->kind == OPERATION_PUT || operation->value == value;
            uint64_t after = operation->kind == OPERATION_PUT ? operation->value : value;
            uint64_t set_after = set ^ mix(at->bit + 1);
            if (fits && search_is_new(search, set_after ^ mix(after | 1ull << 63))) {
                search->stack[search->stack_count] = at;
                search->values[search->stack_count++] = value;
                value = after;
                set = set_after;
                moment_lift(at);
                moment_lift(at->answer);
                at = search->head.next;
            } else {
                at = at->next;
            }
        } else {
            if (at->operation->outcome == OPERATION_OPEN)
                return true; /* only open ones are left: they need not happen */
            if (!search->stack_count)
                return false;
            at = search->stack[--search->stack_count];
            value = search->values[search->stack_count];
            set ^= mix(at->bit + 1);
            moment_put_back(at->answer);
            moment_put_back(at);
            at = at->next;
        }
    }
    return true;
}

struct mark {
    uint64_t at;
    bool is_answer;
    uint32_t operation;
};

static int compare_marks(const void *a, const void *b)
{
    const struct mark *x = a, *y = b;
    if (x->at != y->at)
        return (x->at > y->at) - (x->at < y->at);
    return x->is_answer - y->is_answer; /* at the same time: they overlap */
}

/* An open put that nobody saw can be left out: it may never have happened. So can an open get. */
static bool is_of_use(const struct history *history, const struct operation *operation)
{
    if (operation->outcome != OPERATION_OPEN)
        return operation->outcome == OPERATION_DONE;
    if (operation->kind == OPERATION_GET)
        return false;
    for (uint32_t i = 0; i < history->count; i++)
        if (history->operations[i].kind == OPERATION_GET &&
            history->operations[i].outcome == OPERATION_DONE &&
            history->operations[i].value == operation->value)
            return true;
    return false;
}

static bool key_is_linearizable(const struct history *history, uint32_t key)
{
    struct search search = {0};
    struct mark *marks = calloc(2 * (size_t)history->count + 1, sizeof(*marks));
    uint32_t count = 0;
    assert(marks);
    for (uint32_t i = 0; i < history->count; i++) {
        const struct operation *operation = &history->operations[i];
        if (operation->key != key || !is_of_use(history, operation))
            continue;
        marks[count++] = (struct mark){operation->called_at, false, i};
        marks[count++] = (struct mark){operation->answered_at, true, i};
    }
    qsort(marks, count, sizeof(*marks), compare_marks);
    search.moments = calloc(count + 1u, sizeof(*search.moments));
    search.stack = calloc(count / 2 + 1u, sizeof(struct moment *));
    search.values = calloc(count / 2 + 1u, sizeof(*search.values));
    struct moment **calls = calloc(history->count + 1u, sizeof(struct moment *));
    assert(search.moments && search.stack && search.values && calls);
    struct moment *last = &search.head;
    for (uint32_t i = 0; i < count; i++) {
        struct moment *moment = &search.moments[i];
        *moment = (struct moment){.previous = last,
                                  .operation = &history->operations[marks[i].operation],
                                  .bit = marks[i].operation};
        last->next = moment;
        last = moment;
        if (marks[i].is_answer)
            calls[marks[i].operation]->answer = moment;
        else
            calls[marks[i].operation] = moment;
    }
    bool ok = search_run(&search);
    free(marks);
    free(calls);
    free(search.moments);
    free(search.stack);
    free(search.values);
    free(search.seen);
    return ok;
}

bool history_is_linearizable(const struct history *history, uint32_t keys, uint32_t *ret_key)
{
    for (uint32_t key = 0; key < keys; key++) {
        if (!key_is_linearizable(history, key)) {
            *ret_key = key;
            return false;
        }
    }
    return true;
}
