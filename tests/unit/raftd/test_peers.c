#include "../unit.h"

#include "proxy.h"

#include "clock.h"
#include "frame.h"
#include "limits.h"
#include "message.h"
#include "peers.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* Several nodes' transports on one loop, over real sockets; nng starts inside each test, so after
 * Check's fork. */

#define NODES_MAX 3
#define FIRST_NUMBER 101u

static struct loop *loop;

static struct node {
    struct peers *peers; /* NULL: it does not run */
    struct config_address listen;
    uint16_t port, advertised;
    struct peers_self self;
    struct membership members;
    /* what it got */
    struct raft_message last;
    uint64_t messages, order_errors, entries, entry_bytes, invites, calls, lost, states, diverged;
    uint64_t seen; /* of whom a greeting told last */
    char seen_address[LIMIT_ADDRESS_BYTES_MAX];
    uint64_t latency_us_max; /* of heartbeats: their `term` is when they were sent */
    struct bus_route route;
    struct invited answer; /* what it says to an INVITE */
    bool moves_members_in_callbacks;
} nodes[NODES_MAX];

/* The condition is not looked at again once it was true. */
#define WAIT_FOR(condition)                                                                        \
    do {                                                                                           \
        uint64_t until_ms = clock_monotonic_ms() + 60000;                                          \
        bool is_met = false;                                                                       \
        while (!(is_met = (condition)) && clock_monotonic_ms() < until_ms)                         \
            loop_turn(loop, 20);                                                                   \
        ck_assert_msg(is_met, "waited 60 s for " #condition);                                      \
    } while (0)

/* A turn that is slow because the machine is busy delays everything. */
static uint64_t turn_us_max;

static void turn_measured(void)
{
    uint64_t before_us = clock_monotonic_us();
    loop_turn(loop, 5);
    uint64_t turn_us = clock_monotonic_us() - before_us;
    turn_us_max = turn_us > turn_us_max ? turn_us : turn_us_max;
}

static void turn_for(uint64_t ms)
{
    uint64_t until_ms = clock_monotonic_ms() + ms;
    while (clock_monotonic_ms() < until_ms)
        loop_turn(loop, 10);
}

/* ---- a node ---- */

static void on_message(void *context, const struct raft_message *message)
{
    struct node *node = context;
    node->messages++;
    node->order_errors += message->round <= node->last.round && node->last.round;
    node->last = *message;
    if (message->type != RAFT_HEARTBEAT)
        return;
    uint64_t latency_us = clock_monotonic_us() - message->term;
    if (latency_us > node->latency_us_max)
        node->latency_us_max = latency_us;
}

static void on_entries(void *context, const struct raft_message *message, struct message_list list)
{
    struct node *node = context;
    struct apply_entry entry;
    uint32_t count = 0;
    while (peer_entries_next(&list, &entry)) {
        count++;
        node->entry_bytes += entry.data_bytes;
        ck_assert(entry.data_bytes < 2 || entry.data[entry.data_bytes - 1] == 'e');
    }
    ck_assert_uint_eq(count, message->count);
    node->entries += count;
    node->last = *message;
}

static int on_call(void *context, uint64_t from, struct bus_request *request)
{
    struct node *node = context;
    ck_assert_uint_ge(from, FIRST_NUMBER);
    node->calls++;
    node->route = request->route;
    return request->body.left ? 0 : -EPROTO;
}

static void on_invite(void *context, const struct invite *invite, struct invited *ret_invited)
{
    struct node *node = context;
    ck_assert_str_eq(invite->node_id, node->self.node_id);
    node->invites++;
    *ret_invited = node->answer;
}

static void on_seen(void *context, uint64_t number, const char *raft_address, const char *http_url)
{
    struct node *node = context;
    (void)http_url;
    node->seen = number;
    snprintf(node->seen_address, sizeof(node->seen_address), "%s", raft_address);
}

/* Each time somewhere else: the connections to them have to go. */
static void move_members(struct node *node)
{
    static unsigned moves;
    struct membership members = node->members;
    moves++;
    for (uint32_t i = 0; i < members.count; i++)
        snprintf(members.servers[i].raft_address, LIMIT_ADDRESS_BYTES_MAX, "127.0.0.%u:%u",
                 moves % 2 ? 2u : 1u, nodes[i].advertised);
    peers_set_members(node->peers, &members);
}

static void on_lost(void *context, uint64_t number)
{
    struct node *node = context;
    ck_assert_uint_ge(number, FIRST_NUMBER);
    node->lost++;
    if (node->moves_members_in_callbacks)
        move_members(node);
}

static void on_state(void *context, uint64_t from, const struct peer_state *state)
{
    struct node *node = context;
    ck_assert_uint_eq(state->applied_index, from + 1);
    node->states++;
}

static void on_diverged(void *context, uint64_t from, uint64_t index)
{
    struct node *node = context;
    ck_assert_uint_eq(index, from + 2);
    node->diverged++;
}

static void at_turn_end(void *context)
{
    (void)context;
    for (unsigned i = 0; i < NODES_MAX; i++)
        if (nodes[i].peers)
            peers_flush(nodes[i].peers);
}

static void node_open(struct node *node)
{
    struct error error = {""};
    node->listen.port = node->port;
    struct peers_options options = {.loop = loop,
                                    .listen = &node->listen,
                                    .on_message = on_message,
                                    .on_entries = on_entries,
                                    .on_call = on_call,
                                    .on_invite = on_invite,
                                    .on_seen = on_seen,
                                    .on_lost = on_lost,
                                    .on_state = on_state,
                                    .on_diverged = on_diverged,
                                    .context = node};
    snprintf(node->self.raft_address, sizeof(node->self.raft_address), "127.0.0.1:%u",
             node->advertised);
    ck_assert_msg(peers_new(&node->peers, &options, &error) == 0, "%s", error.text);
    peers_set_self(node->peers, &node->self);
    peers_set_members(node->peers, &node->members);
}

static void node_close(struct node *node)
{
    peers_free(node->peers);
    node->peers = NULL;
}

/* What `node` believes of the first `count` nodes. */
static void node_list(struct node *node, uint32_t count)
{
    node->members = (struct membership){.index = 1, .count = count};
    for (uint32_t i = 0; i < count; i++) {
        struct raft_server *server = &node->members.servers[i];
        node->members.numbers[i] = nodes[i].self.number;
        memcpy(server->id, nodes[i].self.node_id, sizeof(server->id));
        snprintf(server->raft_address, sizeof(server->raft_address), "127.0.0.1:%u",
                 nodes[i].advertised);
    }
}

/* Names, numbers, ports; nobody runs yet. */
static void prepare(uint32_t count)
{
    ck_assert_int_eq(loop_new(&loop), 0);
    loop_at_turn_end(loop, at_turn_end, NULL);
    for (uint32_t i = 0; i < NODES_MAX; i++) {
        struct node *node = &nodes[i];
        snprintf(node->listen.host, sizeof(node->listen.host), "127.0.0.1");
        node->port = node->advertised = proxy_free_port();
        node->self = (struct peers_self){.cluster_id = {1, 2, 3}, .number = FIRST_NUMBER + i};
        snprintf(node->self.node_id, sizeof(node->self.node_id), "n%u", i + 1);
    }
    for (uint32_t i = 0; i < count; i++)
        node_list(&nodes[i], count);
}

static bool is_connected(unsigned from, unsigned to)
{
    return nodes[from].peers &&
           peers_counters(nodes[from].peers, nodes[to].self.number).is_connected;
}

static bool are_connected(unsigned one, unsigned other)
{
    return is_connected(one, other) && is_connected(other, one);
}

static void start(uint32_t count)
{
    prepare(count);
    for (uint32_t i = 0; i < count; i++)
        node_open(&nodes[i]);
    for (uint32_t i = 0; i < count; i++)
        for (uint32_t other = 0; other < i; other++)
            WAIT_FOR(are_connected(i, other));
}

static void finish(void)
{
    for (unsigned i = 0; i < NODES_MAX; i++)
        if (nodes[i].peers)
            node_close(&nodes[i]);
    loop_free(loop);
}

static void send_message(unsigned from, unsigned to, uint64_t round)
{
    struct raft_message message = {.type = RAFT_HEARTBEAT,
                                   .from = nodes[from].self.number,
                                   .to = nodes[to].self.number,
                                   .term = clock_monotonic_us(),
                                   .round = round};
    peers_send(nodes[from].peers, &message);
}

/* An APPEND of `count` entries of `bytes` each. */
static bool send_entries(unsigned from, unsigned to, uint32_t count, size_t bytes)
{
    struct raft_message message = {.type = RAFT_APPEND,
                                   .from = nodes[from].self.number,
                                   .to = nodes[to].self.number,
                                   .term = 1,
                                   .index = 7};
    struct buffer entries = {0};
    struct peer_message wire = peers_wire_of(&message);
    uint8_t *data = memory_new(bytes);
    memset(data, 'e', bytes);
    peer_entries_begin(&entries, &wire);
    for (uint32_t i = 0; i < count; i++) {
        struct apply_entry entry = {
            .term = 1, .kind = ENTRY_COMMAND, .data = data, .data_bytes = bytes};
        peer_entries_add(&entries, &entry);
    }
    bool is_sent = peers_send_entries(nodes[from].peers, message.to, &entries);
    free(data);
    buffer_free(&entries);
    return is_sent;
}

/* ---- the log, read back ---- */

static int log_fd = -1;

static void catch_log(void)
{
    char path[] = "/tmp/conure-test-peers-XXXXXX";
    log_fd = mkstemp(path);
    ck_assert_int_ge(log_fd, 0);
    unlink(path);
    ck_assert_int_ge(dup2(log_fd, STDERR_FILENO), 0);
}

static unsigned logged(const char *what)
{
    static char text[1u << 20];
    unsigned count = 0;
    ssize_t length = pread(log_fd, text, sizeof(text) - 1, 0);
    ck_assert_int_ge(length, 0);
    text[length] = '\0';
    for (const char *at = text; (at = strstr(at, what)); at++)
        count++;
    return count;
}

/* ---- messages ---- */

START_TEST(test_peers_messages_arrive_in_order_both_ways)
{
    start(3);
    for (uint64_t round = 1; round <= 3000; round++) {
        send_message(0, 1, round);
        send_message(1, 0, round);
        send_message(2, 0, 0);
        if (round % 100 == 0)
            loop_turn(loop, 0);
    }
    WAIT_FOR(nodes[1].last.round == 3000 && nodes[0].messages == 6000);
    ck_assert_uint_eq(nodes[1].messages, 3000);
    ck_assert_uint_eq(nodes[1].order_errors, 0);
    struct peers_counters counters = peers_counters(nodes[0].peers, nodes[1].self.number);
    ck_assert_uint_eq(counters.messages_sent, 3000);
    ck_assert_uint_eq(counters.messages_dropped, 0);
    ck_assert_uint_eq(counters.connects, 2);
    WAIT_FOR(peers_counters(nodes[0].peers, nodes[1].self.number).round_trip_us > 0);
    ck_assert_uint_eq(peers_counters(nodes[0].peers, 7).messages_sent, 0); /* no member */
    ck_assert_uint_gt(nodes[0].seen, FIRST_NUMBER);
    finish();
}
END_TEST

START_TEST(test_peers_entries_calls_and_states_arrive)
{
    struct peer_state state = {.applied_index = FIRST_NUMBER + 1};
    start(2);
    ck_assert(send_entries(0, 1, 1000, 50));
    ck_assert(send_entries(0, 1, 1, LIMIT_VALUE_BYTES_CAP));
    ck_assert(!send_entries(0, 1, 1, 1)); /* over the bound */
    WAIT_FOR(nodes[1].entries == 1001);
    ck_assert_uint_eq(nodes[1].entry_bytes, 1000 * 50 + LIMIT_VALUE_BYTES_CAP);
    WAIT_FOR(peers_has_room(nodes[0].peers, nodes[1].self.number));
    ck_assert(send_entries(0, 1, 0, 1)); /* an APPEND that only asks */
    WAIT_FOR(nodes[1].last.count == 0);
    ck_assert_uint_eq(peers_counters(nodes[0].peers, nodes[1].self.number).entries_sent, 1001);
    peers_send_state(nodes[0].peers, nodes[1].self.number, &state);
    peers_send_diverged(nodes[0].peers, nodes[1].self.number, FIRST_NUMBER + 2);
    WAIT_FOR(nodes[1].states == 1 && nodes[1].diverged == 1);
    finish();
}
END_TEST

static unsigned replied, timed_out, gone, refused;

static void on_reply(void *context, enum bus_end end, uint16_t type, struct wire_reader *body)
{
    struct node *node = context;
    (void)body;
    if (node->moves_members_in_callbacks)
        move_members(node);
    replied += end == BUS_REPLIED && type == PROTO_SNAPSHOT_TAKEN;
    refused += end == BUS_REPLIED && type == PROTO_REFUSED;
    timed_out += end == BUS_TIMED_OUT;
    gone += end == BUS_PEER_GONE;
}

static int call(unsigned from, unsigned to, const char *text, uint64_t wait_ms)
{
    struct buffer body = {0};
    buffer_append(&body, text, strlen(text));
    int code = peers_call(nodes[from].peers, nodes[to].self.number, PROTO_SNAPSHOT_PART_TO, &body,
                          clock_monotonic_ms() + wait_ms, on_reply, &nodes[from]);
    buffer_free(&body);
    return code;
}

START_TEST(test_peers_calls_end_once_answered_late_refused_or_gone)
{
    start(2);
    ck_assert_int_eq(call(0, 1, "part", 20000), 0);
    WAIT_FOR(nodes[1].calls == 1);
    peers_reply(nodes[1].peers, &nodes[1].route, PROTO_SNAPSHOT_TAKEN, NULL);
    WAIT_FOR(replied == 1);
    ck_assert_int_eq(call(0, 1, "part", 50), 0);
    WAIT_FOR(timed_out == 1);
    ck_assert_int_eq(call(0, 1, "", 20000), 0); /* cannot be decoded */
    WAIT_FOR(refused == 1);
    ck_assert_int_eq(call(0, 1, "part", 20000), 0);
    WAIT_FOR(nodes[1].calls == 4);
    node_close(&nodes[1]);
    WAIT_FOR(gone == 1);
    ck_assert_uint_eq(nodes[0].lost, 1);
    ck_assert_int_eq(call(0, 1, "part", 20000), BUS_DOWN);
    finish();
}
END_TEST

/* Removing, changing or moving a member ends what is under way with it as a loss does. */
START_TEST(test_peers_calls_to_a_member_that_moves_end)
{
    start(2);
    ck_assert_int_eq(call(0, 1, "part", 20000), 0);
    WAIT_FOR(nodes[1].calls == 1);
    snprintf(nodes[0].members.servers[1].raft_address, LIMIT_ADDRESS_BYTES_MAX, "127.0.0.1:%u",
             nodes[2].port);
    peers_set_members(nodes[0].peers, &nodes[0].members);
    WAIT_FOR(gone == 1 && nodes[0].lost == 1);
    finish();
}
END_TEST

/* ---- bounds ---- */

START_TEST(test_peers_control_over_its_bound_is_dropped_and_counted)
{
    start(2);
    for (uint64_t round = 1; round <= 50000; round++)
        send_message(0, 1, round); /* all in one turn */
    struct peers_counters counters = peers_counters(nodes[0].peers, nodes[1].self.number);
    ck_assert_uint_gt(counters.messages_dropped, 10000);
    ck_assert_uint_eq(counters.messages_sent + counters.messages_dropped, 50000);
    ck_assert_uint_le(counters.messages_sent * 60, LIMIT_PEER_CONTROL_BYTES_MAX);
    WAIT_FOR(nodes[1].messages == counters.messages_sent);
    ck_assert_uint_eq(nodes[1].order_errors, 0);
    finish();
}
END_TEST

/* False: the machine was so busy that a connection was taken for dead. */
static bool bulk_is_bounded(struct proxy *proxy)
{
    unsigned sent = 1;
    nodes[1].entries = 0;
    ck_assert(send_entries(0, 1, 1, 1u << 20)); /* so that the proxy knows which one to stall */
    WAIT_FOR(nodes[1].entries == sent || nodes[0].lost);
    proxy_set_mode(proxy, PROXY_STALL);
    for (; send_entries(0, 1, 1, 2u << 20); turn_for(10))
        ck_assert_uint_lt(++sent, 100);
    ck_assert_uint_le(peers_counters(nodes[0].peers, nodes[1].self.number).bytes_unsent,
                      LIMIT_PEER_UNSENT_BYTES_MAX + (3u << 20));
    proxy_set_mode(proxy, PROXY_PASS);
    WAIT_FOR(nodes[1].entries == sent || nodes[0].lost);
    return !nodes[0].lost && peers_has_room(nodes[0].peers, nodes[1].self.number);
}

START_TEST(test_peers_bulk_to_one_who_does_not_read_is_bounded_and_has_room_again)
{
    struct proxy proxy;
    unsigned rounds = 0;
    prepare(2);
    proxy_open(&proxy, loop, nodes[1].port);
    nodes[1].advertised = proxy.port;
    node_list(&nodes[0], 2);
    node_open(&nodes[0]);
    node_open(&nodes[1]);
    for (unsigned attempt = 0; attempt < 8 && rounds < 2; attempt++) {
        WAIT_FOR(are_connected(0, 1));
        nodes[0].lost = 0;
        rounds += bulk_is_bounded(&proxy);
    }
    ck_assert_uint_eq(rounds, 2);
    proxy_close(&proxy);
    finish();
}
END_TEST

/* `control` is fine, and bytes for `bulk` go nowhere. */
START_TEST(test_peers_silent_bulk_alone_is_dialled_anew)
{
    struct proxy proxy;
    catch_log();
    prepare(2);
    proxy_open(&proxy, loop, nodes[1].port);
    nodes[1].advertised = proxy.port;
    node_list(&nodes[0], 2);
    node_open(&nodes[0]);
    node_open(&nodes[1]);
    WAIT_FOR(are_connected(0, 1));
    ck_assert(send_entries(0, 1, 1, 1u << 20));
    WAIT_FOR(nodes[1].entries == 1);
    proxy_set_mode(&proxy, PROXY_STALL);
    ck_assert(send_entries(0, 1, 1, 16u << 20));
    WAIT_FOR(logged("connection=bulk") == 1);
    WAIT_FOR(nodes[0].lost >= 1);
    WAIT_FOR(is_connected(0, 1)); /* the new one has carried little */
    ck_assert(send_entries(0, 1, 1, 1000));
    WAIT_FOR(nodes[1].entries == 2);
    proxy_close(&proxy);
    finish();
}
END_TEST

/* A PING behind more than ten seconds of bytes: slow is not silent. */
START_TEST(test_peers_slow_bulk_is_left_alone)
{
    struct proxy proxy;
    uint64_t before_ms = clock_monotonic_ms();
    catch_log();
    prepare(2);
    proxy_open(&proxy, loop, nodes[1].port);
    nodes[1].advertised = proxy.port;
    node_list(&nodes[0], 2);
    node_open(&nodes[0]);
    node_open(&nodes[1]);
    WAIT_FOR(are_connected(0, 1));
    proxy_slow_down(&proxy, 12000);
    ck_assert(send_entries(0, 1, 1, 16u << 20));
    WAIT_FOR(nodes[1].entries == 1);
    ck_assert_uint_gt(clock_monotonic_ms() - before_ms, PEERS_BULK_SILENCE_MS_MAX);
    ck_assert_uint_eq(logged("connection=bulk"), 0);
    proxy_close(&proxy);
    finish();
}
END_TEST

/* Entries fill the connection as fast as it takes them, for three seconds. False: the machine was
 * so busy that a connection was taken for dead. */
static bool heartbeats_pass_entries(void)
{
    unsigned sent = 0, full = 0;
    uint64_t rounds = 0, next_ms = 0, end_ms = clock_monotonic_ms() + 3000;
    nodes[1].messages = nodes[1].entries = nodes[1].latency_us_max = 0;
    turn_us_max = 0;
    while (clock_monotonic_ms() < end_ms) {
        while (sent < 64 && send_entries(0, 1, 1, 1u << 20))
            sent++;
        full += !peers_has_room(nodes[0].peers, nodes[1].self.number);
        if (clock_monotonic_ms() >= next_ms) {
            send_message(0, 1, ++rounds);
            next_ms = clock_monotonic_ms() + 20;
        }
        turn_measured();
    }
    bool is_full = full > 10 && nodes[1].entries < sent; /* megabytes stood in line all the time */
    WAIT_FOR(nodes[1].messages == rounds || nodes[0].lost);
    return is_full && !nodes[0].lost;
}

START_TEST(test_peers_heartbeats_do_not_wait_behind_entries)
{
    struct proxy proxy;
    bool is_measured = false;
    prepare(2);
    proxy_open(&proxy, loop, nodes[1].port);
    nodes[1].advertised = proxy.port;
    node_list(&nodes[0], 2);
    node_open(&nodes[0]);
    node_open(&nodes[1]);
    proxy_slow_down(&proxy, 60000);
    for (unsigned attempt = 0; attempt < 4 && !is_measured; attempt++) {
        WAIT_FOR(are_connected(0, 1));
        nodes[0].lost = 0;
        is_measured = heartbeats_pass_entries();
    }
    ck_assert(is_measured);
    ck_assert_msg(nodes[1].latency_us_max < 300000 + 5 * turn_us_max, "%llu us, a turn %llu us",
                  (unsigned long long)nodes[1].latency_us_max, (unsigned long long)turn_us_max);
    proxy_close(&proxy);
    finish();
}
END_TEST

START_TEST(test_peers_64_mib_of_entries_pass_beside_heartbeats)
{
    unsigned sent = 0;
    uint64_t rounds = 0, end_ms = clock_monotonic_ms() + 15000; /* a busy machine: fewer */
    start(2);
    while (nodes[1].entries < 64 && clock_monotonic_ms() < end_ms) {
        while (sent < 64 && send_entries(0, 1, 1, 1u << 20))
            sent++;
        send_message(0, 1, ++rounds);
        loop_turn(loop, 5);
    }
    WAIT_FOR(nodes[1].messages == rounds && nodes[1].entries == sent);
    ck_assert_uint_eq(nodes[1].order_errors, 0);
    ck_assert_uint_eq(nodes[1].entry_bytes, (uint64_t)sent << 20);
    finish();
}
END_TEST

/* ---- losing and finding each other ---- */

START_TEST(test_peers_restarted_member_is_connected_again)
{
    start(2);
    for (unsigned round = 1; round <= 20; round++) {
        node_close(&nodes[1]);
        node_open(&nodes[1]); /* at once, while the old connections are not forgotten */
        WAIT_FOR(nodes[0].lost == round);
        WAIT_FOR(are_connected(0, 1));
        uint64_t before = nodes[1].messages;
        send_message(0, 1, 0);
        WAIT_FOR(nodes[1].messages == before + 1);
    }
    finish();
}
END_TEST

START_TEST(test_peers_members_that_start_late_are_found)
{
    prepare(2);
    catch_log();
    node_open(&nodes[0]);
    WAIT_FOR(logged("event=member_unreachable node_id=n2") == 1); /* its pauses have grown too */
    ck_assert_uint_eq(logged("Connection refused"), 1);
    send_message(0, 1, 1);
    ck_assert_uint_eq(peers_counters(nodes[0].peers, nodes[1].self.number).messages_dropped, 1);
    node_open(&nodes[1]);
    uint64_t before_ms = clock_monotonic_ms();
    WAIT_FOR(are_connected(0, 1));
    ck_assert_uint_lt(clock_monotonic_ms() - before_ms, 3000); /* half a second, and load */
    finish();
}
END_TEST

/* A network that loses every byte and closes nothing: noticed in a second, and mended soon after it
 * is whole again, with nobody's help. */
START_TEST(test_peers_partition_is_noticed_and_heals)
{
    struct proxy proxies[2];
    start(0);
    for (unsigned i = 0; i < 2; i++) {
        proxy_open(&proxies[i], loop, nodes[i].port);
        nodes[i].advertised = proxies[i].port;
    }
    for (unsigned i = 0; i < 2; i++) {
        node_list(&nodes[i], 2);
        node_open(&nodes[i]);
    }
    WAIT_FOR(are_connected(0, 1));
    for (unsigned round = 1; round <= 4; round++) {
        uint64_t before_ms = clock_monotonic_ms();
        for (unsigned i = 0; i < 2; i++)
            proxy_set_mode(&proxies[i], PROXY_SWALLOW);
        WAIT_FOR(!is_connected(0, 1) && !is_connected(1, 0));
        uint64_t noticed_ms = clock_monotonic_ms() - before_ms;
        ck_assert_uint_ge(noticed_ms, PEERS_SILENCE_MS_MAX / 4); /* not at any hiccup */
        ck_assert_uint_lt(noticed_ms, PEERS_SILENCE_MS_MAX + PEERS_PING_MS + 1500);
        turn_for(round * 400);
        before_ms = clock_monotonic_ms();
        for (unsigned i = 0; i < 2; i++)
            proxy_set_mode(&proxies[i], PROXY_PASS);
        WAIT_FOR(are_connected(0, 1));
        uint64_t healed_ms = clock_monotonic_ms() - before_ms;
        ck_assert_msg(healed_ms < 3000, "%llu ms", (unsigned long long)healed_ms);
        printf("noticed after %llu ms, healed after %llu ms\n", (unsigned long long)noticed_ms,
               (unsigned long long)healed_ms);
    }
    ck_assert_uint_ge(nodes[0].lost, 4);
    send_message(0, 1, 9);
    WAIT_FOR(nodes[1].last.round == 9);
    for (unsigned i = 0; i < 2; i++)
        proxy_close(&proxies[i]);
    finish();
}
END_TEST

/* ---- who may talk ---- */

START_TEST(test_peers_other_cluster_is_refused_with_the_reason_once)
{
    catch_log();
    prepare(2);
    nodes[1].self.cluster_id[0]++;
    node_open(&nodes[0]);
    node_open(&nodes[1]);
    WAIT_FOR(logged("n2 belongs to another cluster") >= 1);
    WAIT_FOR(logged("n1 belongs to another cluster") >= 1);
    turn_for(1500); /* greeted again meanwhile */
    ck_assert_uint_eq(logged("event=member_refuses node_id=n2"), 1);
    ck_assert_uint_eq(logged("event=member_refuses node_id=n1"), 1);
    ck_assert_uint_le(logged("event=caller_refused"), 2);
    ck_assert(!is_connected(0, 1) && !is_connected(1, 0));
    send_message(0, 1, 1);
    turn_for(100);
    ck_assert_uint_eq(nodes[1].messages, 0);
    nodes[1].self.cluster_id[0]--; /* it joins this one: what was refused is tried on */
    peers_set_self(nodes[1].peers, &nodes[1].self);
    WAIT_FOR(are_connected(0, 1));
    finish();
}
END_TEST

START_TEST(test_peers_exchanged_disk_is_refused)
{
    catch_log();
    start(2);
    node_close(&nodes[1]);
    nodes[1].self.number = FIRST_NUMBER + 50; /* the same name, cluster and address */
    node_open(&nodes[1]);
    WAIT_FOR(logged("n2 is not the member that is meant") >= 1);
    ck_assert(!peers_counters(nodes[0].peers, FIRST_NUMBER + 1).is_connected);
    node_close(&nodes[1]);
    nodes[1].self.number = 0; /* nothing on it */
    node_open(&nodes[1]);
    WAIT_FOR(logged("n2 is in no cluster") >= 1);
    node_close(&nodes[1]);
    nodes[1].self.number = FIRST_NUMBER + 1; /* the old disk is back */
    node_open(&nodes[1]);
    WAIT_FOR(are_connected(0, 1));
    finish();
}
END_TEST

START_TEST(test_peers_namesake_and_oneself_are_refused)
{
    catch_log();
    prepare(2);
    nodes[0].members.servers[1].raft_address[0] = '\0';
    snprintf(nodes[0].members.servers[1].raft_address, LIMIT_ADDRESS_BYTES_MAX, "127.0.0.1:%u",
             nodes[0].port);
    node_open(&nodes[0]); /* told that n2 is where it is itself */
    WAIT_FOR(logged("this is n1 itself") >= 1);
    memcpy(nodes[1].self.node_id, "n1", 3);
    node_open(&nodes[1]);
    WAIT_FOR(logged("n1 is the name of this node too") >= 1);
    finish();
}
END_TEST

/* A copy of a member's disk, started beside it: only one of the two is the member. */
START_TEST(test_peers_copied_disk_is_refused_while_the_member_is_there)
{
    catch_log();
    start(2);
    nodes[2].self = nodes[1].self;
    node_list(&nodes[2], 2);
    snprintf(nodes[2].members.servers[1].raft_address, LIMIT_ADDRESS_BYTES_MAX, "127.0.0.1:%u",
             nodes[2].port);
    node_open(&nodes[2]);
    turn_for(3000);
    ck_assert(!is_connected(2, 0));
    ck_assert(are_connected(0, 1));
    ck_assert_uint_eq(nodes[0].lost + nodes[1].lost, 0);
    ck_assert_uint_ge(logged("its disk is a copy"), 1);
    node_close(&nodes[1]);
    WAIT_FOR(are_connected(0, 2)); /* the member is gone: its disk has moved */
    finish();
}
END_TEST

/* Another identity: those who greeted the old one have to greet anew. */
START_TEST(test_peers_callers_of_an_old_identity_are_dropped)
{
    start(2);
    nodes[1].self.cluster_id[15]++;
    peers_set_self(nodes[1].peers, &nodes[1].self);
    send_message(0, 1, 1);
    WAIT_FOR(nodes[0].lost == 1);
    turn_for(500);
    ck_assert(!is_connected(0, 1));
    ck_assert_uint_eq(nodes[1].messages, 0);
    finish();
}
END_TEST

START_TEST(test_peers_guest_is_answered)
{
    prepare(2);
    node_list(&nodes[1], 0); /* it lags, and knows nobody */
    node_open(&nodes[1]);
    node_open(&nodes[0]);
    WAIT_FOR(are_connected(0, 1));
    send_message(0, 1, 1);
    WAIT_FOR(nodes[1].messages == 1);
    send_message(1, 0, 2);
    WAIT_FOR(nodes[0].messages == 1);
    node_list(&nodes[1], 2); /* it has caught up: nothing changes */
    peers_set_members(nodes[1].peers, &nodes[1].members);
    turn_for(100);
    ck_assert(are_connected(0, 1));
    node_list(&nodes[1], 0); /* nor at once if that was taken back: it may be owed answers */
    peers_set_members(nodes[1].peers, &nodes[1].members);
    turn_for(100);
    ck_assert(are_connected(0, 1));
    ck_assert_uint_eq(nodes[0].lost + nodes[1].lost, 0);
    finish();
}
END_TEST

START_TEST(test_peers_guest_that_left_is_forgotten)
{
    prepare(2);
    node_list(&nodes[1], 0);
    node_open(&nodes[1]);
    node_open(&nodes[0]);
    WAIT_FOR(are_connected(0, 1));
    node_close(&nodes[0]);
    WAIT_FOR(peers_counters(nodes[1].peers, nodes[0].self.number).connects == 0);
    finish();
}
END_TEST

START_TEST(test_peers_moved_member_is_followed)
{
    start(2);
    node_close(&nodes[1]);
    nodes[1].port = nodes[1].advertised = proxy_free_port();
    node_open(&nodes[1]); /* n1's membership still has the old address */
    WAIT_FOR(are_connected(0, 1));
    char address[LIMIT_ADDRESS_BYTES_MAX];
    snprintf(address, sizeof(address), "127.0.0.1:%u", nodes[1].port);
    ck_assert_str_eq(nodes[0].seen_address, address);
    uint64_t lost = nodes[0].lost;
    node_list(&nodes[0], 2); /* and now the new one: nothing to be done */
    peers_set_members(nodes[0].peers, &nodes[0].members);
    turn_for(100);
    ck_assert(are_connected(0, 1));
    ck_assert_uint_eq(nodes[0].lost, lost);
    finish();
}
END_TEST

/* It says an address where nobody is: the membership's is still good. */
START_TEST(test_peers_member_that_says_a_wrong_address_is_found_again)
{
    start(2);
    node_close(&nodes[1]);
    nodes[1].advertised = proxy_free_port();
    node_open(&nodes[1]);
    WAIT_FOR(is_connected(1, 0) && nodes[0].seen_address[0]);
    WAIT_FOR(are_connected(0, 1));
    finish();
}
END_TEST

START_TEST(test_peers_members_may_be_changed_in_a_callback)
{
    start(3);
    nodes[0].moves_members_in_callbacks = true;
    ck_assert_int_eq(call(0, 1, "", 20000), 0);
    ck_assert_int_eq(call(0, 1, "", 20000), 0);
    WAIT_FOR(refused + gone == 2); /* and then all connections have gone */
    ck_assert_uint_ge(refused, 1);
    WAIT_FOR(nodes[0].lost >= 2);
    nodes[0].moves_members_in_callbacks = false;
    peers_set_members(nodes[0].peers, &nodes[0].members);
    WAIT_FOR(are_connected(0, 1) && are_connected(0, 2));
    finish();
}
END_TEST

/* ---- invitations ---- */

static unsigned invited_count;
static struct invited invited;

static void on_invited(void *context, const struct invited *answer)
{
    (void)context;
    invited_count++;
    invited = *answer;
}

static int invite(unsigned from, unsigned to, uint64_t wait_ms)
{
    struct invite message = {.cluster_id = {1, 2, 3}};
    char address[LIMIT_ADDRESS_BYTES_MAX];
    memcpy(message.node_id, nodes[to].self.node_id, sizeof(message.node_id));
    snprintf(address, sizeof(address), "127.0.0.1:%u", nodes[to].port);
    return peers_invite(nodes[from].peers, address, &message, clock_monotonic_ms() + wait_ms,
                        on_invited, NULL);
}

START_TEST(test_peers_invitation_is_answered)
{
    prepare(1);
    nodes[1].self.number = 0; /* it is in no cluster */
    nodes[1].answer = (struct invited){.status = PROTO_STATUS_OK, .number = 77, .node_id = "n2"};
    node_open(&nodes[0]);
    node_open(&nodes[1]);
    ck_assert_int_eq(invite(0, 1, 20000), 0);
    ck_assert_int_eq(invite(0, 1, 20000), -EBUSY);
    WAIT_FOR(invited_count == 1);
    ck_assert_uint_eq(invited.status, PROTO_STATUS_OK);
    ck_assert_uint_eq(invited.number, 77);
    ck_assert_uint_eq(nodes[1].invites, 1);
    nodes[1].answer = (struct invited){.status = PROTO_STATUS_REFUSED, .reason = "it has data"};
    ck_assert_int_eq(invite(0, 1, 20000), 0);
    WAIT_FOR(invited_count == 2);
    ck_assert_uint_eq(invited.status, PROTO_STATUS_REFUSED);
    ck_assert_str_eq(invited.reason, "it has data");
    finish();
}
END_TEST

START_TEST(test_peers_invitation_to_nobody_ends_at_its_deadline)
{
    prepare(1);
    node_open(&nodes[0]);
    uint64_t before_ms = clock_monotonic_ms();
    ck_assert_int_eq(invite(0, 1, 300), 0);
    WAIT_FOR(invited_count == 1);
    ck_assert_uint_ge(clock_monotonic_ms() - before_ms, 300);
    ck_assert_uint_eq(invited.status, PROTO_STATUS_UNREACHABLE);
    ck_assert_ptr_nonnull(strstr(invited.reason, "Connection refused"));
    nodes[1].answer = (struct invited){.status = PROTO_STATUS_OK, .number = 77, .node_id = "n2"};
    ck_assert_int_eq(invite(0, 1, 20000), 0); /* one who is about to start */
    turn_for(300);
    node_open(&nodes[1]);
    WAIT_FOR(invited_count == 2);
    ck_assert_uint_eq(invited.status, PROTO_STATUS_OK);
    finish();
}
END_TEST

START_TEST(test_peers_invitation_that_is_refused_or_swallowed_says_why)
{
    struct proxy proxy;
    prepare(1);
    node_open(&nodes[0]);
    nodes[1].port = nodes[0].port; /* that is n1 itself */
    ck_assert_int_eq(invite(0, 1, 20000), 0);
    WAIT_FOR(invited_count == 1);
    ck_assert_uint_eq(invited.status, PROTO_STATUS_REFUSED);
    ck_assert_str_eq(invited.reason, "this is n1 itself");
    proxy_open(&proxy, loop, nodes[0].port);
    proxy_set_mode(&proxy, PROXY_SWALLOW);
    nodes[1].port = proxy.port;
    ck_assert_int_eq(invite(0, 1, 300), 0);
    WAIT_FOR(invited_count == 2);
    ck_assert_uint_eq(invited.status, PROTO_STATUS_UNREACHABLE);
    ck_assert_ptr_nonnull(strstr(invited.reason, "did not answer in time"));
    proxy_close(&proxy);
    finish();
}
END_TEST

START_TEST(test_peers_members_are_accepted_in_a_callback_of_the_invitation)
{
    prepare(1);
    nodes[1].answer = (struct invited){.status = PROTO_STATUS_OK, .number = 102, .node_id = "n2"};
    node_open(&nodes[0]);
    node_open(&nodes[1]);
    ck_assert_int_eq(invite(0, 1, 20000), 0);
    WAIT_FOR(invited_count == 1);
    node_list(&nodes[0], 2);
    peers_set_members(nodes[0].peers, &nodes[0].members);
    WAIT_FOR(are_connected(0, 1));
    finish();
}
END_TEST

/* ---- strangers ---- */

static int rogue_connect(uint16_t port)
{
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ck_assert_int_eq(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    return fd;
}

static void rogue_send(int fd, uint16_t type, uint64_t epoch, const struct buffer *body)
{
    uint8_t header[FRAME_HEADER_BYTES];
    struct frame frame = {.type = type,
                          .correlation = 1,
                          .epoch = epoch,
                          .body = body->bytes,
                          .body_bytes = (uint32_t)body->length};
    frame_encode_header(&frame, header);
    ck_assert_int_eq(send(fd, header, sizeof(header), MSG_NOSIGNAL), sizeof(header));
    ck_assert_int_eq(send(fd, body->bytes, body->length, MSG_NOSIGNAL), (ssize_t)body->length);
}

/* As the caller `number` of this cluster. */
static void rogue_greet(int fd, uint64_t number, enum peer_channel channel, const struct node *node)
{
    enum proto_role role = channel == PEER_INVITATION ? PROTO_ROLE_INVITER : PROTO_ROLE_MEMBER;
    struct peer_hello hello = {.hello = hello_of(role, 5, "rogue"),
                               .number = number,
                               .meant = node->self.number,
                               .channel = channel,
                               .raft_address = "127.0.0.1:1"};
    struct buffer body = {0};
    memcpy(hello.cluster_id, node->self.cluster_id, sizeof(hello.cluster_id));
    peer_hello_encode(&body, &hello);
    rogue_send(fd, FRAME_TYPE_HELLO, 0, &body);
    buffer_free(&body);
}

static bool rogue_is_cut(int fd)
{
    char bytes[4096];
    ssize_t got;
    while ((got = recv(fd, bytes, sizeof(bytes), MSG_DONTWAIT)) > 0)
        ;
    return got == 0 || errno == ECONNRESET;
}

/* The epoch of the WELCOME. */
static uint64_t rogue_epoch(int fd)
{
    uint8_t bytes[FRAME_HEADER_BYTES + 1024];
    ssize_t got = 0;
    WAIT_FOR((got = recv(fd, bytes, sizeof(bytes), MSG_DONTWAIT)) > FRAME_HEADER_BYTES);
    struct wire_reader body =
        wire_reader_of(bytes + FRAME_HEADER_BYTES, (size_t)got - FRAME_HEADER_BYTES);
    struct peer_hello hello;
    ck_assert_uint_eq(wire_load_u16(bytes + 6), FRAME_TYPE_WELCOME);
    ck_assert_int_eq(peer_hello_decode(&body, &hello), 0);
    return hello.hello.boot_epoch;
}

/* What partitions leave behind: connections that nobody closes. */
START_TEST(test_peers_dead_connections_do_not_fill_the_places)
{
    int fds[3 * LIMIT_BUS_PEERS_MAX];
    start(2);
    for (unsigned i = 0; i < 3 * LIMIT_BUS_PEERS_MAX; i++) {
        fds[i] = rogue_connect(nodes[0].port);
        rogue_greet(fds[i], FIRST_NUMBER + 60, i % 2 ? PEER_CONTROL : PEER_BULK, &nodes[0]);
        if (i)
            WAIT_FOR(i < 2 || rogue_is_cut(fds[i - 2])); /* replaced by the later one */
        else
            (void)rogue_epoch(fds[i]);
    }
    node_list(&nodes[2], 2);
    node_open(&nodes[2]);
    WAIT_FOR(is_connected(2, 0)); /* there is a place */
    ck_assert(are_connected(0, 1));
    ck_assert_uint_eq(nodes[0].lost + nodes[1].lost, 0);
    WAIT_FOR(rogue_is_cut(fds[3 * LIMIT_BUS_PEERS_MAX - 1])); /* it says nothing any more */
    ck_assert(are_connected(0, 1));
    for (unsigned i = 0; i < 3 * LIMIT_BUS_PEERS_MAX; i++)
        close(fds[i]);
    finish();
}
END_TEST

/* It takes nothing to greet as one who invites: members must find places all the same. */
START_TEST(test_peers_inviters_do_not_fill_the_places)
{
    int fds[2 * LIMIT_BUS_PEERS_MAX];
    start(1);
    for (unsigned i = 0; i < 2 * LIMIT_BUS_PEERS_MAX; i++) {
        fds[i] = rogue_connect(nodes[0].port);
        rogue_greet(fds[i], FIRST_NUMBER + 60 + i % 90, PEER_INVITATION, &nodes[0]);
        turn_for(1);
    }
    node_list(&nodes[1], 2);
    node_open(&nodes[1]);
    WAIT_FOR(is_connected(1, 0));
    ck_assert(!rogue_is_cut(fds[0]));
    for (unsigned i = 0; i < 2 * LIMIT_BUS_PEERS_MAX; i++)
        close(fds[i]);
    finish();
}
END_TEST

START_TEST(test_peers_nonsense_of_a_member_reaches_nobody)
{
    catch_log();
    start(2);
    int fd = rogue_connect(nodes[0].port);
    rogue_greet(fd, FIRST_NUMBER + 60, PEER_CONTROL, &nodes[0]);
    uint64_t epoch = rogue_epoch(fd);
    struct buffer body = {0};
    struct peer_message message = {
        .type = RAFT_VOTE, .from = nodes[1].self.number, .to = nodes[0].self.number, .term = 9};
    peer_raft_begin(&body);
    peer_raft_add(&body, &message); /* in another's name */
    message.from = FIRST_NUMBER + 60;
    message.to = 5;
    peer_raft_add(&body, &message); /* to another */
    rogue_send(fd, PROTO_RAFT, epoch, &body);
    for (uint16_t type = 0; type < 80; type++)
        if (type != FRAME_TYPE_HELLO)
            rogue_send(fd, type, epoch, &body); /* bodies that do not fit */
    body.length = 4;
    message.to = nodes[0].self.number;
    wire_store_u32(body.bytes, 1);
    peer_raft_begin(&body);
    peer_raft_add(&body, &message);
    rogue_send(fd, PROTO_RAFT, epoch, &body); /* at last, one that does */
    WAIT_FOR(nodes[0].last.from == FIRST_NUMBER + 60);
    ck_assert_uint_eq(nodes[0].messages, 1);
    ck_assert_uint_eq(nodes[0].entries + nodes[0].invites + nodes[0].states, 0);
    ck_assert_uint_le(logged("event=caller_refused"), 3);
    ck_assert(are_connected(0, 1));
    buffer_free(&body);
    close(fd);
    finish();
}
END_TEST

/* ---- listening ---- */

START_TEST(test_peers_address_in_use_is_named)
{
    struct peers *second = NULL;
    struct error error = {""};
    char want[64];
    start(2);
    struct peers_options options = {.loop = loop, .listen = &nodes[0].listen};
    ck_assert_int_eq(peers_new(&second, &options, &error), -EADDRINUSE);
    snprintf(want, sizeof(want), "cannot listen on tcp://127.0.0.1:%u: Address already in use",
             nodes[0].port);
    ck_assert_str_eq(error.text, want);
    finish();
}
END_TEST

START_TEST(test_peers_empty_host_listens_everywhere_and_ipv6_is_understood)
{
    prepare(2);
    nodes[0].listen.host[0] = '\0';
    node_open(&nodes[0]);
    node_open(&nodes[1]);
    WAIT_FOR(are_connected(0, 1));
    int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in6 six = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
    bool has_six = fd >= 0 && bind(fd, (struct sockaddr *)&six, sizeof(six)) == 0;
    close(fd);
    if (has_six) {
        snprintf(nodes[1].members.servers[0].raft_address, LIMIT_ADDRESS_BYTES_MAX, "[::1]:%u",
                 nodes[0].port);
        peers_set_members(nodes[1].peers, &nodes[1].members);
        WAIT_FOR(nodes[1].lost == 1);
        WAIT_FOR(are_connected(0, 1));
    }
    finish();
}
END_TEST

UNIT_MAIN("peers", test_peers_messages_arrive_in_order_both_ways,
          test_peers_entries_calls_and_states_arrive,
          test_peers_calls_end_once_answered_late_refused_or_gone,
          test_peers_calls_to_a_member_that_moves_end,
          test_peers_control_over_its_bound_is_dropped_and_counted,
          test_peers_bulk_to_one_who_does_not_read_is_bounded_and_has_room_again,
          test_peers_silent_bulk_alone_is_dialled_anew, test_peers_slow_bulk_is_left_alone,
          test_peers_heartbeats_do_not_wait_behind_entries,
          test_peers_64_mib_of_entries_pass_beside_heartbeats,
          test_peers_restarted_member_is_connected_again,
          test_peers_members_that_start_late_are_found, test_peers_partition_is_noticed_and_heals,
          test_peers_other_cluster_is_refused_with_the_reason_once,
          test_peers_exchanged_disk_is_refused, test_peers_namesake_and_oneself_are_refused,
          test_peers_copied_disk_is_refused_while_the_member_is_there,
          test_peers_callers_of_an_old_identity_are_dropped, test_peers_guest_is_answered,
          test_peers_guest_that_left_is_forgotten, test_peers_moved_member_is_followed,
          test_peers_member_that_says_a_wrong_address_is_found_again,
          test_peers_members_may_be_changed_in_a_callback, test_peers_invitation_is_answered,
          test_peers_invitation_to_nobody_ends_at_its_deadline,
          test_peers_invitation_that_is_refused_or_swallowed_says_why,
          test_peers_members_are_accepted_in_a_callback_of_the_invitation,
          test_peers_dead_connections_do_not_fill_the_places,
          test_peers_inviters_do_not_fill_the_places,
          test_peers_nonsense_of_a_member_reaches_nobody, test_peers_address_in_use_is_named,
          test_peers_empty_host_listens_everywhere_and_ipv6_is_understood)
