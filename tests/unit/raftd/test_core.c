#include "../unit.h"

#include "quorum.h"
#include "raft.h"

#include <string.h>

static struct raft raft;
static struct raft_update update;

static void start(uint64_t last_index, uint64_t last_term, uint64_t term)
{
    struct raft_start begin = {
        .self = 1, .hard_state = {term, 0}, .last_index = last_index, .last_term = last_term};
    begin.configuration.members_count = 1;
    begin.configuration.members[0] = (struct raft_member){1, true};
    raft_init(&raft, &begin);
}

static void step(struct raft_event event)
{
    raft_step(&raft, &event, &update);
}

/* Tick, vote durable, no-op durable: a leader that may serve. */
static void lead(void)
{
    step((struct raft_event){.type = RAFT_ON_TICK});
    step((struct raft_event){.type = RAFT_ON_HARD_STATE, .term = raft.hard_state.term});
    step((struct raft_event){.type = RAFT_ON_PERSISTED, .index = raft.last_index});
}

START_TEST(test_core_vote_is_durable_before_it_counts)
{
    start(5, 2, 2);
    step((struct raft_event){.type = RAFT_ON_TICK});
    ck_assert(update.hard_state_changed);
    ck_assert_uint_eq(raft.hard_state.term, 3);
    ck_assert_uint_eq(raft.hard_state.vote, 1);
    ck_assert_int_eq(raft.role, RAFT_CANDIDATE);
    ck_assert_uint_eq(update.append.count, 0);
    step((struct raft_event){.type = RAFT_ON_HARD_STATE, .term = 2}); /* an older one */
    ck_assert_int_eq(raft.role, RAFT_CANDIDATE);
    step((struct raft_event){.type = RAFT_ON_HARD_STATE, .term = 3});
    ck_assert_int_eq(raft.role, RAFT_LEADER);
    ck_assert_int_eq(update.append.kind, RAFT_NOOP);
    ck_assert_uint_eq(update.append.first_index, 6);
    ck_assert_uint_eq(update.append.term, 3);
}
END_TEST

START_TEST(test_core_leader_counts_itself_only_when_persisted)
{
    start(5, 2, 2);
    step((struct raft_event){.type = RAFT_ON_TICK});
    step((struct raft_event){.type = RAFT_ON_HARD_STATE, .term = 3});
    ck_assert_uint_eq(update.commit_index,
                      0); /* the entries of older terms are durable, but do not count */
    step((struct raft_event){.type = RAFT_ON_PERSISTED, .index = 5});
    ck_assert_uint_eq(update.commit_index, 0);
    step((struct raft_event){.type = RAFT_ON_PERSISTED, .index = 6});
    ck_assert_uint_eq(update.commit_index, 6);
    step((struct raft_event){.type = RAFT_ON_PROPOSE, .count = 10});
    ck_assert_uint_eq(update.append.first_index, 7);
    ck_assert_uint_eq(update.append.count, 10);
    ck_assert_uint_eq(update.commit_index, 6);
    step((struct raft_event){.type = RAFT_ON_PERSISTED, .index = 9});
    ck_assert_uint_eq(update.commit_index, 9);
}
END_TEST

START_TEST(test_core_reads_wait_for_the_terms_first_commit)
{
    start(5, 2, 2);
    step((struct raft_event){.type = RAFT_ON_READ, .read = 1});
    ck_assert_int_eq(update.outcome, RAFT_NOT_LEADER);
    step((struct raft_event){.type = RAFT_ON_TICK});
    step((struct raft_event){.type = RAFT_ON_HARD_STATE, .term = 3});
    step((struct raft_event){.type = RAFT_ON_READ, .read = 2});
    ck_assert_int_eq(update.outcome, RAFT_DONE);
    ck_assert_uint_eq(update.reads_count, 0);
    step((struct raft_event){.type = RAFT_ON_PERSISTED, .index = 6});
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
    step((struct raft_event){.type = RAFT_ON_TICK});
    step((struct raft_event){.type = RAFT_ON_HARD_STATE, .term = 1});
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
    start(0, 0, 0);
    step((struct raft_event){.type = RAFT_ON_TICK});
    step((struct raft_event){.type = RAFT_ON_HARD_STATE, .term = 1});
    step((struct raft_event){.type = RAFT_ON_PROPOSE_MEMBERS, .configuration = &two});
    ck_assert_int_eq(update.outcome, RAFT_NOT_READY); /* before the term's first commit */
    step((struct raft_event){.type = RAFT_ON_PERSISTED, .index = 1});
    step((struct raft_event){.type = RAFT_ON_PROPOSE_MEMBERS, .configuration = &two});
    ck_assert_int_eq(update.outcome, RAFT_DONE);
    ck_assert_uint_eq(raft.configuration.index, 2);
    step((struct raft_event){.type = RAFT_ON_PERSISTED, .index = 2});
    ck_assert_uint_eq(update.commit_index, 1); /* two voters now: one is no majority */
    step((struct raft_event){.type = RAFT_ON_PROPOSE_MEMBERS, .configuration = &two});
    ck_assert_int_eq(update.outcome, RAFT_NOT_READY);
}
END_TEST

START_TEST(test_core_node_without_cluster_never_leads)
{
    struct raft_start nobody = {0};
    raft_init(&raft, &nobody);
    step((struct raft_event){.type = RAFT_ON_TICK});
    ck_assert_int_eq(raft.role, RAFT_FOLLOWER);
    step((struct raft_event){.type = RAFT_ON_PROPOSE, .count = 1});
    ck_assert_int_eq(update.outcome, RAFT_NOT_LEADER);
    start(3, 1, 1);
    lead();
    ck_assert(raft_has_committed_own_term(&raft));
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

UNIT_MAIN("core", test_core_vote_is_durable_before_it_counts,
          test_core_leader_counts_itself_only_when_persisted,
          test_core_reads_wait_for_the_terms_first_commit, test_core_reads_are_bounded,
          test_core_configuration_counts_from_its_append_and_one_at_a_time,
          test_core_node_without_cluster_never_leads, test_quorum_of_one_to_seven)
