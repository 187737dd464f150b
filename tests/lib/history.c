#include "history.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

static uint32_t history_add(struct history *history, struct operation operation)
{
    if (history->count == history->capacity) {
        history->capacity = history->capacity ? history->capacity * 2 : 256;
        history->operations =
            realloc(history->operations, history->capacity * sizeof(*history->operations));
        assert(history->operations);
    }
    operation.answered_at = UINT64_MAX;
    history->operations[history->count] = operation;
    return history->count++;
}

uint32_t history_call(struct history *history, enum operation_kind kind, uint32_t key,
                      uint64_t value, uint64_t now)
{
    assert(kind != OPERATION_SWAP);
    return history_add(
        history, (struct operation){.kind = kind, .key = key, .value = value, .called_at = now});
}

uint32_t history_call_swap(struct history *history, uint32_t key, uint64_t expected, uint64_t value,
                           uint64_t now)
{
    return history_add(history, (struct operation){.kind = OPERATION_SWAP,
                                                   .key = key,
                                                   .value = value,
                                                   .expected = expected,
                                                   .called_at = now});
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
    const struct operation *furthest; /* the latest answered that stood in the way */
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

static bool is_write(const struct operation *operation)
{
    return operation->kind != OPERATION_GET && operation->outcome != OPERATION_MISSED;
}

/* Whether the operation can be what happens next to a register that holds `value`. */
static bool operation_fits(const struct operation *operation, uint64_t value)
{
    if (operation->kind == OPERATION_GET)
        return operation->value == value;
    if (operation->kind == OPERATION_PUT)
        return true;
    return (operation->expected == value) == (operation->outcome != OPERATION_MISSED);
}

static void search_stand_before(struct search *search, const struct operation *operation)
{
    if (!search->furthest || operation->answered_at > search->furthest->answered_at)
        search->furthest = operation;
}

static bool search_run(struct search *search)
{
    uint64_t value = 0, set = 0;
    struct moment *at = search->head.next;
    while (at) {
        if (at->answer) {
            const struct operation *operation = at->operation;
            uint64_t after = is_write(operation) ? operation->value : value;
            uint64_t set_after = set ^ mix(at->bit + 1);
            if (operation_fits(operation, value) &&
                search_is_new(search, set_after ^ mix(after | 1ull << 63))) {
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
            search_stand_before(search, at->operation);
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

/* ---- one key ---- */

struct mark {
    uint64_t at;
    bool is_answer;
    uint32_t place; /* among the key's operations */
};

static int compare_marks(const void *a, const void *b)
{
    const struct mark *x = a, *y = b;
    if (x->at != y->at)
        return (x->at > y->at) - (x->at < y->at);
    return x->is_answer - y->is_answer; /* at the same time: they overlap */
}

/* Whether `other` may owe it to a write of `value` that it could be answered as it was. */
static bool could_owe(const struct operation *other, uint64_t value)
{
    if (other->kind == OPERATION_GET)
        return other->outcome == OPERATION_DONE && other->value == value;
    if (other->kind == OPERATION_SWAP && other->outcome == OPERATION_MISSED)
        return other->expected != value;
    return other->kind == OPERATION_SWAP && other->outcome != OPERATION_REFUSED &&
           other->expected == value;
}

/* An open write that no answer needs can be left out: it may never have happened. So can an open
 * get. Each that is kept doubles what may have to be searched. */
static bool is_of_use(const struct history *history, const uint32_t *numbers, uint32_t count,
                      const struct operation *operation)
{
    if (operation->outcome == OPERATION_REFUSED)
        return false;
    if (operation->outcome != OPERATION_OPEN)
        return true;
    if (operation->kind == OPERATION_GET)
        return false;
    for (uint32_t i = 0; i < count; i++) {
        const struct operation *other = &history->operations[numbers[i]];
        if (other != operation && other->answered_at >= operation->called_at &&
            could_owe(other, operation->value))
            return true;
    }
    return false;
}

/* Calls and answers of what is of use, in time order, as the search's list. */
static void search_fill(struct search *search, const struct history *history,
                        const uint32_t *numbers, uint32_t numbers_count, const struct mark *marks,
                        uint32_t count)
{
    struct moment **calls = calloc(numbers_count + 1u, sizeof(struct moment *));
    struct moment *last = &search->head;
    assert(calls);
    for (uint32_t i = 0; i < count; i++) {
        struct moment *moment = &search->moments[i];
        *moment = (struct moment){.previous = last,
                                  .operation = &history->operations[numbers[marks[i].place]],
                                  .bit = marks[i].place};
        last->next = moment;
        last = moment;
        if (marks[i].is_answer)
            calls[marks[i].place]->answer = moment;
        else
            calls[marks[i].place] = moment;
    }
    free(calls);
}

/* `numbers`: the key's operations. */
static bool key_is_linearizable(const struct history *history, const uint32_t *numbers,
                                uint32_t numbers_count, uint32_t *ret_operation)
{
    struct search search = {0};
    struct mark *marks = calloc(2 * (size_t)numbers_count + 1, sizeof(*marks));
    uint32_t count = 0;
    assert(marks);
    for (uint32_t i = 0; i < numbers_count; i++) {
        const struct operation *operation = &history->operations[numbers[i]];
        if (!is_of_use(history, numbers, numbers_count, operation))
            continue;
        marks[count++] = (struct mark){operation->called_at, false, i};
        marks[count++] = (struct mark){operation->answered_at, true, i};
    }
    qsort(marks, count, sizeof(*marks), compare_marks);
    search.moments = calloc(count + 1u, sizeof(*search.moments));
    search.stack = calloc(count / 2 + 1u, sizeof(struct moment *));
    search.values = calloc(count / 2 + 1u, sizeof(*search.values));
    assert(search.moments && search.stack && search.values);
    search_fill(&search, history, numbers, numbers_count, marks, count);
    bool ok = search_run(&search);
    if (!ok)
        *ret_operation = (uint32_t)(search.furthest - history->operations);
    free(marks);
    free(search.moments);
    free(search.stack);
    free(search.values);
    free(search.seen);
    return ok;
}

/* ---- all keys ---- */

/* The operations' numbers, key by key; those of key K lie from begins[K] to begins[K + 1]. */
static uint32_t *sort_by_key(const struct history *history, uint32_t keys, uint32_t *begins)
{
    uint32_t *numbers = calloc(history->count + 1u, sizeof(*numbers));
    uint32_t *next = calloc(keys + 1u, sizeof(*next));
    assert(numbers && next);
    for (uint32_t i = 0; i < history->count; i++)
        if (history->operations[i].key < keys)
            begins[history->operations[i].key + 1]++;
    for (uint32_t key = 0; key < keys; key++) {
        begins[key + 1] += begins[key];
        next[key] = begins[key];
    }
    for (uint32_t i = 0; i < history->count; i++)
        if (history->operations[i].key < keys)
            numbers[next[history->operations[i].key]++] = i;
    free(next);
    return numbers;
}

bool history_is_linearizable(const struct history *history, uint32_t keys,
                             struct history_finding *ret_finding)
{
    uint32_t *begins = calloc(keys + 2u, sizeof(*begins)), operation;
    assert(begins);
    uint32_t *numbers = sort_by_key(history, keys, begins);
    bool ok = true;
    for (uint32_t key = 0; key < keys && ok; key++) {
        ok = key_is_linearizable(history, numbers + begins[key], begins[key + 1] - begins[key],
                                 &operation);
        if (!ok)
            *ret_finding = (struct history_finding){.key = key, .operation = operation};
    }
    free(numbers);
    free(begins);
    return ok;
}

/* ---- for people ---- */

static void print_value(FILE *file, const char *what, uint64_t value)
{
    if (value)
        fprintf(file, "%s%llu", what, (unsigned long long)value);
    else
        fprintf(file, "%snothing", what);
}

static void print_operation(const struct operation *operation, uint64_t first, uint64_t unit,
                            FILE *file)
{
    static const char *const outcomes[] = {"unknown", "done", "refused", "missed"};
    static const char *const kinds[] = {"", "put", "get", "swap"};
    fprintf(file, "[%12.3f ", (double)(operation->called_at - first) / (double)unit);
    if (operation->outcome == OPERATION_OPEN)
        fprintf(file, "%12s] ", "...");
    else
        fprintf(file, "%12.3f] ", (double)(operation->answered_at - first) / (double)unit);
    fprintf(file, "%-4s ",
            operation->kind == OPERATION_PUT && !operation->value ? "del" : kinds[operation->kind]);
    if (operation->kind == OPERATION_SWAP)
        print_value(file, "", operation->expected);
    if (operation->kind != OPERATION_GET || operation->outcome == OPERATION_DONE)
        print_value(file, operation->kind == OPERATION_SWAP ? " for " : "", operation->value);
    fprintf(file, ": %s", outcomes[operation->outcome]);
}

void history_print(const struct history *history, const struct history_finding *finding,
                   uint64_t unit, void (*note)(void *context, uint32_t operation, FILE *file),
                   void *context, FILE *file)
{
    uint64_t first = 0;
    for (uint32_t i = 0; i < history->count; i++) {
        const struct operation *operation = &history->operations[i];
        if (operation->key != finding->key)
            continue;
        first = first ? first : operation->called_at;
        fprintf(file, "%c ", i == finding->operation ? '>' : ' ');
        print_operation(operation, first, unit, file);
        if (note)
            note(context, i, file);
        fprintf(file, "\n");
    }
}
