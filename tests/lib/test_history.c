/* The linearizability checker on histories whose verdict is known: a check that cannot fail proves
 * nothing. */
#include "../unit/unit.h"

#include "chance.h"
#include "history.h"

#include <string.h>

#define STEPS_MAX 10
#define NEVER UINT64_MAX

enum verdict { EXPLAINED, IMPOSSIBLE };

struct step {
    enum operation_kind kind;
    uint64_t value, expected;
    uint64_t from, to; /* NEVER: no answer */
    enum operation_outcome outcome;
};

#define PUT(value, from, to)                                                                       \
    {                                                                                              \
        OPERATION_PUT, value, 0, from, to, (to) == NEVER ? OPERATION_OPEN : OPERATION_DONE         \
    }
#define GET(value, from, to)                                                                       \
    {                                                                                              \
        OPERATION_GET, value, 0, from, to, OPERATION_DONE                                          \
    }
#define SWAP(expected, value, from, to)                                                            \
    {                                                                                              \
        OPERATION_SWAP, value, expected, from, to, (to) == NEVER ? OPERATION_OPEN : OPERATION_DONE \
    }
#define MISS(expected, value, from, to)                                                            \
    {                                                                                              \
        OPERATION_SWAP, value, expected, from, to, OPERATION_MISSED                                \
    }
#define REFUSED(value, from, to)                                                                   \
    {                                                                                              \
        OPERATION_PUT, value, 0, from, to, OPERATION_REFUSED                                       \
    }

static const struct {
    const char *name;
    enum verdict verdict;
    struct step steps[STEPS_MAX];
} cases[] = {
    {"nothing", EXPLAINED, {}},
    {"a read of an absent key", EXPLAINED, {GET(0, 1, 2)}},
    {"a read of what nobody wrote", IMPOSSIBLE, {GET(7, 1, 2)}},
    {"write then read", EXPLAINED, {PUT(1, 1, 2), GET(1, 3, 4)}},
    {"an acknowledged write is lost", IMPOSSIBLE, {PUT(1, 1, 2), GET(0, 3, 4)}},
    {"a stale read", IMPOSSIBLE, {PUT(1, 1, 2), PUT(2, 3, 4), GET(1, 5, 6)}},
    {"a read during a write sees either", EXPLAINED, {PUT(1, 1, 9), GET(0, 2, 3), GET(1, 4, 5)}},
    {"and not back again", IMPOSSIBLE, {PUT(1, 1, 9), GET(1, 2, 3), GET(0, 4, 5)}},
    {"two writes at once, in either order",
     EXPLAINED,
     {PUT(1, 1, 9), PUT(2, 1, 9), GET(2, 10, 11), GET(2, 12, 13)}},
    {"two readers disagree about it",
     IMPOSSIBLE,
     {PUT(1, 1, 9), PUT(2, 1, 9), GET(2, 10, 11), GET(1, 12, 13)}},
    {"an unknown write takes effect late",
     EXPLAINED,
     {PUT(1, 1, NEVER), GET(0, 50, 51), GET(1, 60, 61)}},
    {"or never", EXPLAINED, {PUT(1, 1, NEVER), GET(0, 50, 51)}},
    {"but once", IMPOSSIBLE, {PUT(1, 1, NEVER), GET(1, 3, 4), PUT(2, 5, 6), GET(1, 7, 8)}},
    {"not before its call", IMPOSSIBLE, {GET(1, 1, 2), PUT(1, 3, NEVER)}},
    {"a refused write took effect", IMPOSSIBLE, {REFUSED(1, 1, 2), GET(1, 3, 4)}},
    {"a refused write did not", EXPLAINED, {REFUSED(1, 1, 2), GET(0, 3, 4)}},
    {"a delete", EXPLAINED, {PUT(1, 1, 2), PUT(0, 3, 4), GET(0, 5, 6)}},
    {"a deleted value is back", IMPOSSIBLE, {PUT(1, 1, 2), PUT(0, 3, 4), GET(1, 5, 6)}},
    {"an unknown delete, seen", EXPLAINED, {PUT(1, 1, 2), PUT(0, 3, NEVER), GET(0, 5, 6)}},
    {"an unknown delete, applied twice",
     IMPOSSIBLE,
     {PUT(1, 1, 2), PUT(0, 3, NEVER), GET(0, 5, 6), PUT(2, 7, 8), GET(0, 9, 10)}},
    {"a swap", EXPLAINED, {PUT(1, 1, 2), SWAP(1, 2, 3, 4), GET(2, 5, 6)}},
    {"a swap on what was overwritten", IMPOSSIBLE, {PUT(1, 1, 2), PUT(2, 3, 4), SWAP(1, 3, 5, 6)}},
    {"two swaps of one value", IMPOSSIBLE, {PUT(1, 1, 2), SWAP(1, 2, 3, 9), SWAP(1, 3, 3, 9)}},
    {"one of two wins",
     EXPLAINED,
     {PUT(1, 1, 2), SWAP(1, 2, 3, 9), MISS(1, 3, 3, 9), GET(2, 10, 11)}},
    {"a miss where the value stood", IMPOSSIBLE, {PUT(1, 1, 2), MISS(1, 2, 3, 4)}},
    {"a miss wrote", IMPOSSIBLE, {PUT(1, 1, 2), MISS(9, 2, 3, 4), GET(2, 5, 6)}},
    {"a miss owed to an unknown write nobody saw",
     EXPLAINED,
     {PUT(1, 1, 2), PUT(2, 3, NEVER), MISS(1, 3, 5, 6)}},
    {"then it did happen",
     IMPOSSIBLE,
     {PUT(1, 1, 2), PUT(2, 3, NEVER), MISS(1, 3, 5, 6), GET(1, 7, 8)}},
    {"a swap owed to an unknown swap",
     EXPLAINED,
     {PUT(1, 1, 2), SWAP(1, 2, 3, NEVER), SWAP(2, 3, 5, 6)}},
    {"create on an absent key", EXPLAINED, {SWAP(0, 1, 1, 2), MISS(0, 2, 3, 4), GET(1, 5, 6)}},
    {"created twice", IMPOSSIBLE, {SWAP(0, 1, 1, 2), SWAP(0, 2, 3, 4)}},
};

static void fill(struct history *history, uint32_t key, const struct step *steps)
{
    for (unsigned i = 0; i < STEPS_MAX && steps[i].kind; i++) {
        uint32_t number =
            steps[i].kind == OPERATION_SWAP
                ? history_call_swap(history, key, steps[i].expected, steps[i].value, steps[i].from)
                : history_call(history, steps[i].kind, key, steps[i].value, steps[i].from);
        if (steps[i].outcome != OPERATION_OPEN)
            history_answer(history, number, steps[i].outcome, steps[i].value, steps[i].to);
    }
}

START_TEST(test_history_verdicts)
{
    for (unsigned i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        struct history history = {0};
        struct history_finding finding;
        fill(&history, 0, cases[i].steps);
        bool explained = history_is_linearizable(&history, 1, &finding);
        ck_assert_msg(explained == (cases[i].verdict == EXPLAINED), "%s", cases[i].name);
        history_free(&history);
    }
}
END_TEST

/* Among sound keys the one that is not is named, and the operation that cannot be. */
START_TEST(test_history_names_the_key_and_the_operation)
{
    struct history history = {0};
    struct history_finding finding;
    char *text = NULL;
    size_t bytes = 0;
    const struct step sound[STEPS_MAX] = {PUT(1, 1, 2), GET(1, 3, 4)};
    const struct step stale[STEPS_MAX] = {PUT(11, 1, 2), PUT(12, 3, 4), GET(11, 5, 6),
                                          GET(12, 7, 8)};
    for (uint32_t key = 0; key < 10; key++)
        fill(&history, key, key == 6 ? stale : sound);
    ck_assert(!history_is_linearizable(&history, 10, &finding));
    ck_assert_uint_eq(finding.key, 6);
    ck_assert_uint_eq(history.operations[finding.operation].kind, OPERATION_GET);
    ck_assert_uint_eq(history.operations[finding.operation].called_at, 5);
    FILE *file = open_memstream(&text, &bytes);
    history_print(&history, &finding, 1, NULL, NULL, file);
    fclose(file);
    ck_assert_ptr_nonnull(strstr(text, "> [       4.000        5.000] get  11: done"));
    free(text);
    history_free(&history);
}
END_TEST

/* A register that is one, asked by many at once with lost answers: whatever the seed, explained;
 * and with one read changed to an older value, not. */
static void run_register(struct history *history, uint64_t seed)
{
    struct chance chance = {seed};
    uint64_t value = 0, values = 0, now = 1;
    for (unsigned i = 0; i < 400; i++) {
        bool is_get = chance_is(&chance, 500), lost = chance_is(&chance, 50);
        uint64_t wanted = ++values, effect = now + chance_below(&chance, 40);
        uint32_t number = history_call(history, is_get ? OPERATION_GET : OPERATION_PUT, 0,
                                       is_get ? 0 : wanted, now > 20 ? now - 20 : 0);
        now = effect + 1;
        if (!is_get && (!lost || chance_is(&chance, 500)))
            value = wanted;
        if (!lost)
            history_answer(history, number, OPERATION_DONE, value,
                           effect + chance_below(&chance, 60));
    }
}

static bool make_one_read_stale(struct history *history)
{
    uint64_t old = 0;
    for (uint32_t i = 0; i < history->count; i++) {
        struct operation *operation = &history->operations[i];
        if (operation->outcome != OPERATION_DONE)
            continue;
        if (operation->kind == OPERATION_PUT && !old)
            old = operation->value;
        if (operation->kind == OPERATION_GET && i > 300) {
            operation->value = old;
            return true;
        }
    }
    return false;
}

START_TEST(test_history_of_a_register_is_explained_and_a_stale_read_is_not)
{
    for (uint64_t seed = 1; seed <= 200; seed++) {
        struct history history = {0};
        struct history_finding finding;
        run_register(&history, seed);
        ck_assert_msg(history_is_linearizable(&history, 1, &finding), "seed %u", (unsigned)seed);
        ck_assert(make_one_read_stale(&history));
        ck_assert_msg(!history_is_linearizable(&history, 1, &finding), "seed %u", (unsigned)seed);
        history_free(&history);
    }
}
END_TEST

UNIT_MAIN("history", test_history_verdicts, test_history_names_the_key_and_the_operation,
          test_history_of_a_register_is_explained_and_a_stale_read_is_not)
