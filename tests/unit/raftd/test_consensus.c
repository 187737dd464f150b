#include "../unit.h"

#include "buffer.h"
#include "clock.h"
#include "consensus.h"
#include "message.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define WAIT_MS 10000u

/* A node's consensus on real files, in a folder of its own; what it would send is written down. */

static char folder[] = "/tmp/conure-test-consensus-XXXXXX";
static struct config config;
static struct loop *loop;
static struct consensus *consensus;
static struct error error;
static struct raft_message sent_last;
static unsigned sent_count, members_changes;
static uint64_t truncated_from;
static int settled; /* -1: it was not */
static bool may_install = true;

static void on_send(void *context, const struct raft_message *message)
{
    (void)context;
    sent_last = *message;
    sent_count++;
}

static void on_read(void *context, uint64_t read, uint64_t index)
{
    (void)context;
    (void)read;
    (void)index;
}

static void on_role(void *context)
{
    (void)context;
}

static void on_truncated(void *context, uint64_t index)
{
    (void)context;
    truncated_from = index;
}

static bool on_install(void *context)
{
    (void)context;
    return may_install;
}

static void on_settled(void *context, bool is_installed)
{
    (void)context;
    settled = is_installed;
}

static void on_members(void *context)
{
    (void)context;
    members_changes++;
}

static void on_failed(void *context, int code, const char *what)
{
    (void)context;
    ck_abort_msg("%s: %s", what, strerror(-code));
}

static int open_consensus(void)
{
    struct consensus_options options = {.loop = loop,
                                        .config = &config,
                                        .send = on_send,
                                        .on_read = on_read,
                                        .on_role = on_role,
                                        .on_truncated = on_truncated,
                                        .on_install = on_install,
                                        .on_settled = on_settled,
                                        .on_members = on_members,
                                        .on_failed = on_failed};
    error.text[0] = '\0';
    return consensus_open(&consensus, &options, &error);
}

static void setup(bool bootstrap)
{
    ck_assert_ptr_nonnull(mkdtemp(folder));
    ck_assert_int_eq(chdir(folder), 0);
    ck_assert_int_eq(loop_new(&loop), 0);
    config = (struct config){.node_id = "node2",
                             .bootstrap = bootstrap,
                             .election_timeout_ms = 1000,
                             .heartbeat_interval_ms = 100,
                             .raft_advertise_address = {"h2", 7002},
                             .http_advertise_address = {"h2", 8082}};
    settled = -1;
    ck_assert_int_eq(open_consensus(), 0);
}

static void teardown(void)
{
    char command[128];
    consensus_close(consensus);
    loop_free(loop);
    ck_assert_int_eq(chdir("/"), 0);
    snprintf(command, sizeof(command), "rm -rf %s", folder);
    ck_assert_int_eq(system(command), 0);
}

/* As after kill -9: nothing more is written. (The guard of raft/ is another descriptor's: the new
 * one waits for it, so it goes with the process that held it; here there is but one.) */
static enum consensus_place place(uint64_t index, uint64_t term)
{
    enum consensus_place place = CONSENSUS_REST;
    int code = consensus_place(consensus, index, term, &place, &error);
    ck_assert_msg(code == 0, "%s", error.text);
    return place;
}

static void wait_persisted(uint64_t index)
{
    uint64_t until_ms = clock_monotonic_ms() + WAIT_MS;
    while (consensus_raft(consensus)->persisted_index < index) {
        ck_assert_uint_lt(clock_monotonic_ms(), until_ms);
        consensus_flush(consensus);
        loop_turn(loop, 10);
    }
}

/* ---- what leaders say ---- */

static const uint8_t cluster[16] = {7};
#define LEADER 1u
#define OTHER 3u

static uint64_t self(void)
{
    return consensus_identity(consensus)->number;
}

static struct invited invite(const uint8_t cluster_id[16], const char *node_id)
{
    struct invite invite = {0};
    struct invited invited;
    memcpy(invite.cluster_id, cluster_id, 16);
    snprintf(invite.node_id, sizeof(invite.node_id), "%s", node_id);
    consensus_invited(consensus, &invite, &invited);
    return invited;
}

/* `count` commands of this term behind index, log_term; `commit`. */
static int append(uint64_t from, uint64_t term, uint64_t index, uint64_t log_term, uint32_t count,
                  uint64_t commit)
{
    struct raft_message message = {.type = RAFT_APPEND,
                                   .from = from,
                                   .to = self(),
                                   .term = term,
                                   .index = index,
                                   .log_term = log_term,
                                   .commit = commit,
                                   .count = count};
    struct peer_message wire = {
        .type = RAFT_APPEND, .from = from, .to = self(), .term = term, .index = index};
    struct buffer body = {0};
    struct message_list list;
    char command[32];
    peer_entries_begin(&body, &wire);
    for (uint32_t i = 0; i < count; i++) {
        snprintf(command, sizeof(command), "%llu of term %llu", (unsigned long long)(index + 1 + i),
                 (unsigned long long)term);
        struct apply_entry entry = {.term = term,
                                    .kind = ENTRY_COMMAND,
                                    .data = (const uint8_t *)command,
                                    .data_bytes = strlen(command)};
        peer_entries_add(&body, &entry);
    }
    struct wire_reader reader = wire_reader_of(body.bytes, body.length);
    ck_assert_int_eq(peer_entries_decode(&reader, &wire, &list), 0);
    int code = consensus_entries(consensus, &message, list);
    buffer_free(&body);
    return code;
}

static bool check_record(void *context, const struct record *record)
{
    uint64_t *index = context;
    char command[32];
    snprintf(command, sizeof(command), "%llu of term %llu", (unsigned long long)*index,
             (unsigned long long)record->term);
    ck_assert_uint_eq(record->index, (*index)++);
    ck_assert_uint_eq(record->data_bytes, strlen(command));
    ck_assert_int_eq(memcmp(record->data, command, record->data_bytes), 0);
    return true;
}

/* Each entry says which it is. */
static void check_log(uint64_t last)
{
    struct log *log = consensus_log(consensus);
    uint64_t index = log_first_index(log);
    ck_assert_uint_eq(log_last_index(log), last);
    ck_assert_int_eq(log_read(log, index, last, check_record, &index), 0);
    ck_assert_uint_eq(index, last + 1);
}

static void enter_cluster(void)
{
    setup(false);
    ck_assert_int_eq(place(0, 0), CONSENSUS_REST);
    ck_assert_uint_eq(invite(cluster, "node2").status, PROTO_STATUS_OK);
    ck_assert_int_eq(place(0, 0), CONSENSUS_FEED);
    ck_assert(consensus_is_running(consensus));
}

/* ---- tests ---- */

/* The writer is at work on what the new leader replaces: its word comes while the core's update is
 * taken apart. */
START_TEST(test_consensus_entries_replaced_while_they_are_written_leave_the_leaders)
{
    enter_cluster();
    for (uint64_t round = 1; round <= 50; round++) {
        uint64_t term = 2 * round, base = 3 * (round - 1);
        uint64_t base_term = round == 1 ? 0 : term - 1;
        ck_assert_int_eq(append(LEADER, term, base, base_term, 5, base), 0);
        consensus_flush(consensus); /* on its way to the disk */
        ck_assert_int_eq(append(OTHER, term + 1, base, base_term, 3, base), 0);
        ck_assert_uint_eq(truncated_from, base + 1);
        check_log(base + 3);
        if (round % 2)
            wait_persisted(base + 3);
    }
    wait_persisted(150);
    check_log(150);
    teardown();
}
END_TEST

START_TEST(test_consensus_what_is_acknowledged_is_on_the_disk)
{
    enter_cluster();
    ck_assert_int_eq(append(LEADER, 1, 0, 0, 3, 0), 0);
    ck_assert_uint_eq(sent_count, 0); /* nothing yet */
    wait_persisted(3);
    ck_assert_int_eq(sent_last.type, RAFT_APPEND_REPLY);
    ck_assert(sent_last.ok);
    ck_assert_uint_eq(sent_last.index, 3);
    ck_assert_uint_eq(consensus_apply_index(consensus), 0);
    ck_assert_int_eq(append(LEADER, 1, 3, 1, 0, 2), 0);
    ck_assert_uint_eq(consensus_apply_index(consensus), 2);
    teardown();
}
END_TEST

START_TEST(test_consensus_pristine_node_gives_its_cluster_up_and_one_with_data_does_not)
{
    static const uint8_t other[16] = {8};
    setup(true);
    ck_assert_int_eq(place(0, 0), CONSENSUS_FEED);
    wait_persisted(1);
    uint64_t number = self();
    ck_assert_uint_eq(invite(cluster, "node9").status, PROTO_STATUS_REFUSED);
    ck_assert(consensus_is_running(consensus));
    struct invite wiped = {.number = number + 1, .node_id = "node2"}; /* it was a member once */
    struct invited invited;
    consensus_invited(consensus, &wiped, &invited);
    ck_assert_uint_eq(invited.status, PROTO_STATUS_REFUSED);
    ck_assert(consensus_is_running(consensus));
    invited = invite(cluster, "node2");
    ck_assert_uint_eq(invited.status, PROTO_STATUS_OK);
    ck_assert_uint_eq(invited.number, number);
    ck_assert(!consensus_is_running(consensus));
    ck_assert_int_eq(place(1, 1), CONSENSUS_EMPTY); /* the store has the old cluster's entry */
    ck_assert_uint_eq(invite(cluster, "node2").status, PROTO_STATUS_OK); /* asked again */
    ck_assert_uint_eq(invite(other, "node2").status, PROTO_STATUS_UNAVAILABLE);
    ck_assert_int_eq(place(0, 0), CONSENSUS_FEED);
    ck_assert(consensus_is_running(consensus) && !consensus_is_leader(consensus));
    ck_assert_int_eq(memcmp(consensus_identity(consensus)->cluster_id, cluster, 16), 0);
    ck_assert_uint_eq(self(), number);
    ck_assert_uint_eq(log_last_index(consensus_log(consensus)), 0);
    ck_assert_int_eq(append(LEADER, 1, 0, 0, 1, 0), 0);
    wait_persisted(1);
    ck_assert_uint_eq(invite(other, "node2").status, PROTO_STATUS_REFUSED); /* it has data now */
    teardown();
}
END_TEST

START_TEST(test_consensus_own_cluster_with_a_command_is_kept)
{
    uint64_t first;
    setup(true);
    ck_assert_int_eq(place(0, 0), CONSENSUS_FEED);
    wait_persisted(1);
    ck_assert_int_eq(consensus_propose(consensus, 1, &first), RAFT_DONE);
    consensus_append(consensus, "x", 1);
    struct invited invited = invite(cluster, "node2");
    ck_assert_uint_eq(invited.status, PROTO_STATUS_REFUSED);
    ck_assert_ptr_nonnull(strstr(invited.reason, "data"));
    ck_assert(consensus_is_leader(consensus));
    wait_persisted(first);
    teardown();
}
END_TEST

static void put_membership(struct buffer *into, struct membership *membership)
{
    *membership = (struct membership){.count = 2, .numbers = {LEADER, self()}};
    membership->servers[0] =
        (struct raft_server){.id = "node1", .raft_address = "h1:1", .http_url = "u", .voter = true};
    consensus_own_server(consensus, &membership->servers[1]);
    membership_encode(into, membership);
}

static void begin_install(uint64_t index, uint64_t term)
{
    struct membership membership;
    struct buffer configuration = {0};
    struct raft_message heard = {.type = RAFT_SNAPSHOT,
                                 .from = LEADER,
                                 .to = self(),
                                 .term = term,
                                 .index = index,
                                 .log_term = term};
    put_membership(&configuration, &membership);
    consensus_message(consensus, &heard);
    ck_assert_int_eq(
        consensus_install_begin(consensus, index, term, configuration.bytes, configuration.length),
        0);
    ck_assert(consensus_is_installing(consensus));
    buffer_free(&configuration);
}

START_TEST(test_consensus_snapshot_replaces_the_log_if_the_store_says_so)
{
    enter_cluster();
    ck_assert_int_eq(append(LEADER, 5, 0, 0, 3, 0), 0);
    wait_persisted(3);
    begin_install(1000, 5);
    ck_assert_int_eq(append(LEADER, 5, 3, 5, 1, 0), 0); /* not heard now */
    ck_assert_uint_eq(log_last_index(consensus_log(consensus)), 3);
    struct raft_message heartbeat = {
        .type = RAFT_HEARTBEAT, .from = LEADER, .to = self(), .term = 5, .round = 9};
    consensus_message(consensus, &heartbeat); /* but the leader is */
    ck_assert_int_eq(sent_last.type, RAFT_HEARTBEAT_REPLY);
    ck_assert_int_eq(place(1000, 5), CONSENSUS_FEED);
    ck_assert_int_eq(settled, 1);
    ck_assert_uint_eq(log_last_index(consensus_log(consensus)), 1000);
    ck_assert_uint_eq(consensus_apply_index(consensus), 1000);
    ck_assert_uint_eq(consensus_membership(consensus)->count, 2);
    ck_assert_int_eq(sent_last.type, RAFT_APPEND_REPLY);
    ck_assert_uint_eq(sent_last.index, 1000);
    ck_assert_int_eq(append(LEADER, 5, 1000, 5, 2, 1001), 0);
    wait_persisted(1002);
    check_log(1002);
    teardown();
}
END_TEST

START_TEST(test_consensus_snapshot_that_came_to_nothing_leaves_the_log)
{
    enter_cluster();
    ck_assert_int_eq(append(LEADER, 5, 0, 0, 3, 2), 0);
    wait_persisted(3);
    may_install = false; /* storaged is not being fed now */
    ck_assert_int_eq(consensus_install_begin(consensus, 1000, 5, NULL, 0), -EPROTO);
    may_install = true;
    begin_install(1000, 5);
    ck_assert_int_eq(place(2, 5), CONSENSUS_FEED);
    ck_assert_int_eq(settled, 0);
    ck_assert(consensus_is_running(consensus));
    check_log(3);
    ck_assert_int_eq(append(LEADER, 5, 3, 5, 1, 4), 0);
    wait_persisted(4);
    check_log(4);
    teardown();
}
END_TEST

/* What a crash leaves: the note in hard_state, and the store at the old place or the new. */
static void crash_and_reopen(void)
{
    pid_t child = fork();
    ck_assert_int_ge(child, 0);
    if (child == 0) { /* the files as they are now, under another lock */
        ck_assert_int_eq(system("mkdir copy && cp -r raft copy/"), 0);
        _exit(0);
    }
    int status;
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    consensus_close(consensus);
    ck_assert_int_eq(chdir("copy"), 0);
    ck_assert_int_eq(open_consensus(), 0);
}

START_TEST(test_consensus_crash_in_an_install_goes_on_with_whatever_the_store_is)
{
    bool is_new = _i;
    enter_cluster();
    ck_assert_int_eq(append(LEADER, 5, 0, 0, 3, 2), 0);
    wait_persisted(3);
    begin_install(1000, 5);
    crash_and_reopen();
    ck_assert(!consensus_is_running(consensus));
    ck_assert_int_eq(place(is_new ? 1000 : 2, 5), CONSENSUS_FEED);
    ck_assert(consensus_is_running(consensus));
    check_log(is_new ? 1000 : 3);
    ck_assert(!consensus_hard_state(consensus)->install.is_pending);
    uint64_t last = is_new ? 1000 : 3;
    if (is_new) { /* the leader has not heard of it, and begins again */
        struct raft_message heard = {.type = RAFT_SNAPSHOT,
                                     .from = LEADER,
                                     .to = self(),
                                     .term = 5,
                                     .index = 1000,
                                     .log_term = 5};
        consensus_message(consensus, &heard);
        ck_assert_int_eq(sent_last.type, RAFT_APPEND_REPLY);
        ck_assert(sent_last.ok);
        ck_assert_uint_eq(sent_last.index, 1000);
    }
    ck_assert_int_eq(append(LEADER, 5, last, 5, 1, 0), 0);
    wait_persisted(last + 1);
    teardown();
}
END_TEST

START_TEST(test_consensus_store_of_elsewhere_is_refused)
{
    enum consensus_place where;
    enter_cluster();
    ck_assert_int_eq(append(LEADER, 5, 0, 0, 3, 0), 0);
    wait_persisted(3);
    ck_assert_int_eq(consensus_place(consensus, 4, 5, &where, &error), -EBADMSG);
    ck_assert_ptr_nonnull(strstr(error.text, "raft/ was removed"));
    ck_assert_int_eq(consensus_place(consensus, 2, 4, &where, &error), -EBADMSG);
    ck_assert_ptr_nonnull(strstr(error.text, "exchanged"));
    teardown();
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("consensus");
    TCase *group = tcase_create("consensus");
    tcase_set_timeout(group, 60);
    tcase_add_test(group, test_consensus_entries_replaced_while_they_are_written_leave_the_leaders);
    tcase_add_test(group, test_consensus_what_is_acknowledged_is_on_the_disk);
    tcase_add_test(group,
                   test_consensus_pristine_node_gives_its_cluster_up_and_one_with_data_does_not);
    tcase_add_test(group, test_consensus_own_cluster_with_a_command_is_kept);
    tcase_add_test(group, test_consensus_snapshot_replaces_the_log_if_the_store_says_so);
    tcase_add_test(group, test_consensus_snapshot_that_came_to_nothing_leaves_the_log);
    tcase_add_loop_test(
        group, test_consensus_crash_in_an_install_goes_on_with_whatever_the_store_is, 0, 2);
    tcase_add_test(group, test_consensus_store_of_elsewhere_is_refused);
    suite_add_tcase(suite, group);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
