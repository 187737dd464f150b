/* Puts load on a server and says how long its answers took, as one line of JSON.
 *
 *   bench_load --dialect conure|etcd2|etcd3|redis --address IP:PORT --operation put|get|stale|mixed
 *              [--connections 64] [--seconds 5] [--value-bytes 100] [--keys 10000] [--rate 0]
 *   bench_load --fill ...      puts every key once, instead
 *
 * One thread; each connection has one request outstanding. Keys are random ones of so many, each of
 * 16 characters. Without a rate a connection asks again as soon as it is answered. With one,
 * requests are due at even intervals whether the ones before were answered or not, and the time
 * counts from when they were due: so a server that stops for a second is seen to have kept a
 * second's worth of requests waiting (no coordinated omission). Owner: tests/bench. */
#include "chance.h"
#include "clock.h"
#include "dialect.h"
#include "latency.h"

#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#define CONNECTIONS_MAX 4096u
#define PATIENCE_S 10u /* for the answers that are out when the time is over */

struct connection {
    int fd;
    bool waits; /* for an answer */
    uint64_t due_us;
    struct buffer request;
    size_t sent, got; /* of the request, of the answer */
    char *answer;
};

static struct {
    const struct dialect *dialect;
    struct sockaddr_in address;
    int operation; /* an enum operation; -1: half puts, half gets */
    unsigned connections, seconds;
    size_t value_bytes;
    uint64_t keys, rate;
    bool fills;
} options = {
    .operation = OPERATION_PUT, .connections = 64, .seconds = 5, .value_bytes = 100, .keys = 10000};

static struct connection connections[CONNECTIONS_MAX];
static struct latency latency;
static uint64_t begun, good, bad, outstanding;
static struct chance chance;
static int epoll_fd;
static char value[DIALECT_VALUE_BYTES_MAX];

static void fail(const char *what)
{
    fprintf(stderr, "bench_load: %s: %s\n", what, strerror(errno));
    exit(1);
}

/* ---- requests ---- */

static void send_more(struct connection *connection)
{
    while (connection->sent < connection->request.length) {
        ssize_t count =
            send(connection->fd, connection->request.bytes + connection->sent,
                 connection->request.length - connection->sent, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (count < 0 && errno == EAGAIN)
            return;
        if (count < 0)
            fail("send");
        connection->sent += (size_t)count;
    }
}

static void ask(struct connection *connection, uint64_t due_us)
{
    char key[DIALECT_KEY_BYTES + 1];
    uint64_t number = options.fills ? begun : chance_below(&chance, options.keys);
    struct chance spread = {number}; /* a key of its own for each number, in no order */
    enum operation operation = options.operation >= 0    ? (enum operation)options.operation
                               : chance_is(&chance, 500) ? OPERATION_PUT
                                                         : OPERATION_GET;
    snprintf(key, sizeof(key), "%016llx", (unsigned long long)chance_next(&spread));
    connection->request.length = 0;
    options.dialect->request(&connection->request, operation, key, value, options.value_bytes);
    connection->sent = connection->got = 0;
    connection->due_us = due_us;
    connection->waits = true;
    begun++;
    outstanding++;
    send_more(connection);
}

/* ---- answers ---- */

static void take(struct connection *connection)
{
    for (;;) {
        ssize_t count = recv(connection->fd, connection->answer + connection->got,
                             DIALECT_ANSWER_BYTES_MAX - connection->got, MSG_DONTWAIT);
        if (count < 0 && errno == EAGAIN)
            return;
        if (count <= 0)
            fail(count ? "recv" : "the server closed a connection");
        connection->got += (size_t)count;
        bool is_good = false;
        size_t length = options.dialect->answer(connection->answer, connection->got, &is_good);
        if (!length)
            continue;
        if (!is_good && !bad)
            fprintf(stderr, "bench_load: the first bad answer: %.*s\n", (int)connection->got,
                    connection->answer);
        good += is_good;
        bad += !is_good;
        outstanding--;
        connection->waits = false;
        latency_add(&latency, clock_monotonic_us() - connection->due_us);
        return;
    }
}

/* ---- connections ---- */

static void connect_all(void)
{
    epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    for (unsigned i = 0; i < options.connections; i++) {
        struct connection *connection = &connections[i];
        int on = 1;
        connection->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (connection->fd < 0 ||
            connect(connection->fd, (struct sockaddr *)&options.address, sizeof(options.address)))
            fail("connect");
        (void)setsockopt(connection->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
        connection->answer = malloc(DIALECT_ANSWER_BYTES_MAX + 1);
        struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLET, .data.u32 = i};
        if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, connection->fd, &event))
            fail("epoll_ctl");
    }
}

static bool is_over(uint64_t end_us)
{
    return options.fills ? begun >= options.keys : clock_monotonic_us() >= end_us;
}

/* What is due now goes out on the connections that are free, the longest due first. */
static void ask_what_is_due(uint64_t begin_us, uint64_t end_us)
{
    static unsigned next;
    for (unsigned i = 0; i < options.connections && !is_over(end_us); i++) {
        struct connection *connection = &connections[(next + i) % options.connections];
        if (connection->waits)
            continue;
        uint64_t now_us = clock_monotonic_us();
        uint64_t due_us = options.rate ? begin_us + begun * 1000000u / options.rate : now_us;
        if (due_us > now_us) {
            next = (next + i) % options.connections;
            return;
        }
        ask(connection, due_us);
    }
}

static void report(uint64_t begin_us)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    double seconds = (double)(clock_monotonic_us() - begin_us) / 1e6;
    double cpu_s = (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
                   (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
    printf(
        "{\"good\":%llu,\"bad\":%llu,\"unanswered\":%llu,\"seconds\":%.3f,\"per_second\":%.1f,"
        "\"p50_us\":%llu,\"p99_us\":%llu,\"p999_us\":%llu,\"most_us\":%llu,\"own_cpu_s\":%.3f}\n",
        (unsigned long long)good, (unsigned long long)bad, (unsigned long long)outstanding, seconds,
        (double)good / seconds, (unsigned long long)latency_at_us(&latency, 500),
        (unsigned long long)latency_at_us(&latency, 990),
        (unsigned long long)latency_at_us(&latency, 999), (unsigned long long)latency.most_us,
        cpu_s);
}

static void run(void)
{
    uint64_t begin_us = clock_monotonic_us(), end_us = begin_us + options.seconds * 1000000ull;
    uint64_t last_us = options.fills ? UINT64_MAX : end_us + PATIENCE_S * 1000000ull;
    struct epoll_event events[256];
    ask_what_is_due(begin_us, end_us);
    while ((outstanding || !is_over(end_us)) && clock_monotonic_us() < last_us) {
        int count = epoll_wait(epoll_fd, events, 256, options.rate && !is_over(end_us) ? 1 : 100);
        for (int i = 0; i < count; i++) {
            struct connection *connection = &connections[events[i].data.u32];
            if (connection->sent < connection->request.length)
                send_more(connection);
            if (!connection->waits)
                continue;
            take(connection);
            if (!connection->waits && !options.rate && !is_over(end_us))
                ask(connection, clock_monotonic_us());
        }
        if (options.rate)
            ask_what_is_due(begin_us, end_us);
    }
    report(begin_us);
}

/* ---- options ---- */

static void usage(void)
{
    fprintf(stderr,
            "usage: bench_load --dialect conure|etcd2|etcd3|redis --address IP:PORT\n"
            "       [--operation put|get|stale|mixed] [--connections 1..4096] [--seconds N]\n"
            "       [--value-bytes 0..65536] [--keys N] [--rate PER_SECOND] [--fill]\n");
    exit(2);
}

static uint64_t number_in(const char *text, uint64_t least, uint64_t most)
{
    char *end;
    uint64_t number = strtoull(text, &end, 10);
    if (!*text || *end || number < least || number > most)
        usage();
    return number;
}

static int operation_of(const char *text)
{
    static const char *const names[] = {"put", "get", "stale"};
    for (int i = 0; i < 3; i++)
        if (!strcmp(names[i], text))
            return i;
    if (strcmp(text, "mixed"))
        usage();
    return -1;
}

static struct sockaddr_in address_of(char *text)
{
    struct sockaddr_in address = {.sin_family = AF_INET};
    char *colon = strrchr(text, ':');
    if (!colon)
        usage();
    *colon = '\0';
    address.sin_port = htons((uint16_t)number_in(colon + 1, 1, 65535));
    if (inet_pton(AF_INET, text, &address.sin_addr) != 1)
        usage();
    return address;
}

int main(int argc, char **argv)
{
    static const struct option names[] = {
        {"dialect", 1, NULL, 'd'},   {"address", 1, NULL, 'a'},
        {"operation", 1, NULL, 'o'}, {"connections", 1, NULL, 'c'},
        {"seconds", 1, NULL, 's'},   {"value-bytes", 1, NULL, 'v'},
        {"keys", 1, NULL, 'k'},      {"rate", 1, NULL, 'r'},
        {"fill", 0, NULL, 'f'},      {0}};
    for (int option; (option = getopt_long(argc, argv, "", names, NULL)) != -1;) {
        switch (option) {
        case 'd':
            options.dialect = dialect_of(optarg);
            break;
        case 'a':
            options.address = address_of(optarg);
            break;
        case 'o':
            options.operation = operation_of(optarg);
            break;
        case 'c':
            options.connections = (unsigned)number_in(optarg, 1, CONNECTIONS_MAX);
            break;
        case 's':
            options.seconds = (unsigned)number_in(optarg, 1, 1000000);
            break;
        case 'v':
            options.value_bytes = number_in(optarg, 0, DIALECT_VALUE_BYTES_MAX);
            break;
        case 'k':
            options.keys = number_in(optarg, 1, UINT32_MAX);
            break;
        case 'r':
            options.rate = number_in(optarg, 0, 10000000);
            break;
        case 'f':
            options.fills = true;
            break;
        default:
            usage();
        }
    }
    if (optind != argc || !options.dialect || !options.address.sin_port)
        usage();
    chance.state = clock_monotonic_us();
    memset(value, 'v', sizeof(value));
    connect_all();
    run();
    return bad || outstanding;
}
