#include "../unit.h"

#include "quorum.h"
#include "raft.h"

#include <string.h>

static struct raft raft;
static struct raft_update update;

static void start(uint64_t last_index, uint64_t last_term, uint64_t term)
{
    static struct raft_start begin;
    begin = (struct raft_start){.self = 1, .timing = {1000, 100, 4000}, .hard_state = {term, 0}};
    terms_reset(&begin.terms, 0, 0);
    terms_append(&begin.terms, last_term, last_index);
    begin.configuration.members_count = 1;
    begin.configuration.members[0] = (struct raft_member){1, true};
    begin.configuration_before = begin.configuration;
    raft_init(&raft, &begin);
}

static void step(struct raft_event event)
{
    raft_step(&raft, &event, &update);
}

static void tick(uint64_t elapsed_ms)
{
    step((struct raft_event){.type = RAFT_ON_TICK, .elapsed_ms = elapsed_ms});
}

static void persist(uint64_t index)
{
    step((struct raft_event){
        .type = RAFT_ON_PERSISTED, .index = index, .term = terms_at(&raft.terms, index)});
}

START_TEST(test_core_single_voter_leads_at_once_in_a_new_term)
{
    start(5, 2, 2);
    tick(1);
    ck_assert(update.hard_state_changed); /* made durable before the no-op is written */
    ck_assert_uint_eq(raft.hard_state.term, 3);
    ck_assert_uint_eq(raft.hard_state.vote, 1);
    ck_assert_int_eq(raft.role, RAFT_LEADER);
    ck_assert_int_eq(update.append.kind, RAFT_NOOP);
    ck_assert_uint_eq(update.append.first_index, 6);
    ck_assert_uint_eq(update.append.term, 3);
}
END_TEST

START_TEST(test_core_leader_counts_itself_only_when_persisted)
{
    start(5, 2, 2);
    tick(1);
    ck_assert_uint_eq(update.apply_index,
                      0); /* older terms' entries are durable, but do not count */
    persist(5);
    ck_assert_uint_eq(update.apply_index, 0);
    persist(6);
    ck_assert_uint_eq(update.apply_index, 6);
    step((struct raft_event){.type = RAFT_ON_PROPOSE, .count = 10});
    ck_assert_uint_eq(update.append.first_index, 7);
    ck_assert_uint_eq(update.append.count, 10);
    ck_assert_uint_eq(update.apply_index, 6);
    persist(9);
    ck_assert_uint_eq(update.apply_index, 9);
    step((struct raft_event){.type = RAFT_ON_PERSISTED, .index = 12, .term = 2});
    ck_assert_uint_eq(update.apply_index, 9); /* what was written there was another entry */
}
END_TEST

/* Each start of a single voter is a term of its own; what the store has is committed. */
START_TEST(test_core_leads_after_more_terms_than_it_remembers)
{
    static struct raft_start begin;
    begin = (struct raft_start){
        .self = 1, .timing = {1000, 100, 4000}, .hard_state = {2 * TERMS_RUNS_MAX, 0}};
    terms_reset(&begin.terms, 0, 0);
    for (uint64_t term = 1; term <= 2 * TERMS_RUNS_MAX; term++)
        terms_append(&begin.terms, term, 1);
    begin.configuration.members_count = 1;
    begin.configuration.members[0] = (struct raft_member){1, true};
    raft_init(&raft, &begin);
    tick(1);
    ck_assert_int_eq(raft.role, RAFT_FOLLOWER); /* nothing is known to be committed */
    step((struct raft_event){.type = RAFT_ON_STORED, .index = 2 * TERMS_RUNS_MAX});
    tick(1);
    ck_assert_int_eq(raft.role, RAFT_LEADER);
    persist(2 * TERMS_RUNS_MAX + 1);
    ck_assert_uint_eq(update.apply_index, 2 * TERMS_RUNS_MAX + 1);
}
END_TEST

START_TEST(test_core_reads_wait_for_the_terms_first_commit)
{
    start(5, 2, 2);
    step((struct raft_event){.type = RAFT_ON_READ, .read = 1});
    ck_assert_int_eq(update.outcome, RAFT_NOT_LEADER);
    tick(1);
    step((struct raft_event){.type = RAFT_ON_READ, .read = 2});
    ck_assert_int_eq(update.outcome, RAFT_DONE);
    ck_assert_uint_eq(update.reads_count, 0);
    persist(6);
    ck_assert_uint_eq(update.reads_count, 1);
    ck_assert_uint_eq(update.reads[0], 2);
    ck_assert_uint_eq(update.read_index, 6);
    step((struct raft_event){.type = RAFT_ON_READ, .read = 3});
    ck_assert_uint_eq(update.reads_count, 1);
    ck_assert_uint_eq(update.reads[0], 3);
}
END_TEST

START_TEST(test_core_reads_are_bounded)
{
    start(0, 0, 0);
    tick(1);
    for (uint64_t read = 1; read <= RAFT_READS_MAX; read++) {
        step((struct raft_event){.type = RAFT_ON_READ, .read = read});
        ck_assert_int_eq(update.outcome, RAFT_DONE);
    }
    step((struct raft_event){.type = RAFT_ON_READ, .read = 1000});
    ck_assert_int_eq(update.outcome, RAFT_BUSY);
}
END_TEST

START_TEST(test_core_configuration_counts_from_its_append_and_one_at_a_time)
{
    struct raft_configuration two = {.members_count = 2, .members = {{1, true}, {2, true}}};
    struct raft_configuration four = {.members_count = 3,
                                      .members = {{1, true}, {2, true}, {3, true}}};
    start(0, 0, 0);
    tick(1);
    step((struct raft_event){.type = RAFT_ON_PROPOSE_MEMBERS, .configuration = &two});
    ck_assert_int_eq(update.outcome, RAFT_NOT_READY); /* before the term's first commit */
    persist(1);
    step((struct raft_event){.type = RAFT_ON_PROPOSE_MEMBERS, .configuration = &four});
    ck_assert_int_eq(update.outcome, RAFT_REFUSED); /* two voters at once */
    step((struct raft_event){.type = RAFT_ON_PROPOSE_MEMBERS, .configuration = &two});
    ck_assert_int_eq(update.outcome, RAFT_DONE);
    ck_assert_uint_eq(raft.configuration.index, 2);
    persist(2);
    ck_assert_uint_eq(update.apply_index, 1); /* two voters now: one is no majority */
    step((struct raft_event){.type = RAFT_ON_PROPOSE_MEMBERS, .configuration = &two});
    ck_assert_int_eq(update.outcome, RAFT_NOT_READY);
}
END_TEST

START_TEST(test_core_node_without_cluster_never_leads)
{
    static struct raft_start nobody = {.timing = {1000, 100, 4000}};
    raft_init(&raft, &nobody);
    tick(100000);
    ck_assert_int_eq(raft.role, RAFT_FOLLOWER);
    step((struct raft_event){.type = RAFT_ON_PROPOSE, .count = 1});
    ck_assert_int_eq(update.outcome, RAFT_NOT_LEADER);
}
END_TEST

/* ---- terms ---- */

static struct terms terms;

/* Against a plain array, over random appends, truncations and cuts. */
START_TEST(test_terms_agree_with_an_array)
{
    static uint64_t plain[4001];
    uint64_t chance = 12345, base = 0, last = 0, term = 1;
    terms_reset(&terms, 0, 0);
    for (unsigned round = 0; round < 3000; round++) {
        chance = chance * 6364136223846793005u + 1442695040888963407u;
        uint64_t number = chance >> 33;
        if (number % 4 < 2 && last + 8 < 4000) {
            term = (last > base ? plain[last] : terms.base_term) + number % 3;
            for (uint64_t i = 0; i < number / 16 % 8; i++)
                plain[++last] = term;
            terms_append(&terms, term, number / 16 % 8);
        } else if (number % 4 == 2 && last > base) {
            uint64_t index = last - number / 16 % (last - base);
            terms_truncate(&terms, index);
            last = index - 1;
        } else if (number % 4 == 3 && last > base && number % 64 == 3) {
            base += 1 + number / 64 % (last - base);
            terms_cut(&terms, base);
        }
        ck_assert_uint_eq(terms.last_index, last);
        ck_assert_uint_eq(terms.base_index, base);
        ck_assert(!terms_knows(&terms, last + 1));
        for (uint64_t index = base; index <= last; index++)
            ck_assert_uint_eq(terms_at(&terms, index), plain[index]);
        for (uint64_t index = base; index <= last; index += 3) {
            uint64_t agreeable = index;
            while (agreeable > base && plain[agreeable] > number % (term + 1))
                agreeable--;
            ck_assert_uint_eq(terms_agreeable(&terms, index, number % (term + 1)), agreeable);
        }
    }
}
END_TEST

START_TEST(test_terms_without_room_move_their_base)
{
    terms_reset(&terms, 10, 1);
    for (uint64_t i = 0; i < TERMS_RUNS_MAX; i++)
        terms_append(&terms, 2 + i, 2);
    ck_assert(!terms_have_room(&terms, 11));
    ck_assert(terms_have_room(&terms, 12));
    terms_append(&terms, 2 + TERMS_RUNS_MAX, 1);
    ck_assert_uint_eq(terms.base_index, 12);
    ck_assert_uint_eq(terms.base_term, 2);
    ck_assert_uint_eq(terms_at(&terms, 13), 3);
    ck_assert_uint_eq(terms_last(&terms), 2 + TERMS_RUNS_MAX);
}
END_TEST

START_TEST(test_quorum_of_one_to_seven)
{
    static const uint32_t quorums[] = {1, 2, 2, 3, 3, 4, 4};
    for (uint32_t voters = 1; voters <= 7; voters++) {
        ck_assert_uint_eq(quorum_of(voters), quorums[voters - 1]);
        for (uint32_t at_ten = 0; at_ten <= voters; at_ten++) {
            uint64_t reached[7];
            for (uint32_t i = 0; i < voters; i++)
                reached[voters - 1 - i] = i < at_ten ? 10 : 4;
            ck_assert_uint_eq(quorum_index(reached, voters),
                              at_ten >= quorums[voters - 1] ? 10 : 4);
        }
    }
}
END_TEST

UNIT_MAIN("core", test_core_single_voter_leads_at_once_in_a_new_term,
          test_core_leader_counts_itself_only_when_persisted,
          test_core_leads_after_more_terms_than_it_remembers,
          test_core_reads_wait_for_the_terms_first_commit, test_core_reads_are_bounded,
          test_core_configuration_counts_from_its_append_and_one_at_a_time,
          test_core_node_without_cluster_never_leads, test_terms_agree_with_an_array,
          test_terms_without_room_move_their_base, test_quorum_of_one_to_seven)
