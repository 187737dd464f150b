#include "terms.h"

#include <assert.h>
#include <string.h>

void terms_reset(struct terms *terms, uint64_t base_index, uint64_t base_term)
{
    terms->base_index = terms->last_index = base_index;
    terms->base_term = base_term;
    terms->count = 0;
}

/* How many runs begin at or before the index. */
static uint32_t runs_up_to(const struct terms *terms, uint64_t index)
{
    uint32_t low = 0, high = terms->count;
    while (low < high) {
        uint32_t middle = (low + high) / 2;
        if (terms->runs[middle].first_index <= index)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static void runs_drop_first(struct terms *terms, uint32_t count)
{
    memmove(terms->runs, terms->runs + count, (terms->count - count) * sizeof(terms->runs[0]));
    terms->count -= count;
}

uint64_t terms_last(const struct terms *terms)
{
    return terms->count ? terms->runs[terms->count - 1].term : terms->base_term;
}

bool terms_have_room(const struct terms *terms, uint64_t commit_index)
{
    return terms->count < TERMS_RUNS_MAX || terms->runs[1].first_index - 1 <= commit_index;
}

void terms_append(struct terms *terms, uint64_t term, uint64_t count)
{
    assert(term >= terms_last(terms));
    if (!count)
        return;
    if (!terms->count || terms->runs[terms->count - 1].term != term) {
        if (terms->count == TERMS_RUNS_MAX)
            terms_cut(terms, terms->runs[1].first_index - 1);
        terms->runs[terms->count++] = (struct terms_run){terms->last_index + 1, term};
    }
    terms->last_index += count;
}

void terms_truncate(struct terms *terms, uint64_t index)
{
    assert(index > terms->base_index);
    if (index > terms->last_index)
        return;
    terms->last_index = index - 1;
    terms->count = runs_up_to(terms, index - 1);
}

void terms_cut(struct terms *terms, uint64_t index)
{
    assert(index <= terms->last_index);
    if (index <= terms->base_index)
        return;
    uint32_t begun = runs_up_to(terms, index);
    uint64_t last_of_run =
        begun < terms->count ? terms->runs[begun].first_index - 1 : terms->last_index;
    terms->base_index = index;
    terms->base_term = terms->runs[begun - 1].term;
    runs_drop_first(terms, last_of_run == index ? begun : begun - 1);
    if (last_of_run != index)
        terms->runs[0].first_index = index + 1;
}

uint64_t terms_at(const struct terms *terms, uint64_t index)
{
    if (!terms_knows(terms, index))
        return 0;
    return index == terms->base_index ? terms->base_term
                                      : terms->runs[runs_up_to(terms, index) - 1].term;
}

uint64_t terms_agreeable(const struct terms *terms, uint64_t index, uint64_t term)
{
    if (index > terms->last_index)
        index = terms->last_index;
    uint32_t run = runs_up_to(terms, index);
    while (run > 0 && terms->runs[run - 1].term > term) {
        index = terms->runs[run - 1].first_index - 1;
        run--;
    }
    return index > terms->base_index ? index : terms->base_index;
}
