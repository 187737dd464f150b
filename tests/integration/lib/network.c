/* A cut is a wrong neighbour entry: the sender's frames for that address go to a hardware address
 * nobody has. Nothing is refused, nothing is reported, and the other direction stays as it was. */
#include "network.h"

#include "node.h"

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

static int namespaces[NETWORK_MACHINES_MAX]; /* of the machines; 0: the test's own */

static bool write_file(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    bool ok = fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);
    if (fd >= 0)
        close(fd);
    return ok;
}

/* Without root: a user namespace, in which this user is root. */
static bool leave_network(void)
{
    char uids[64], gids[64];
    if (unshare(CLONE_NEWNET) == 0)
        return true;
    snprintf(uids, sizeof(uids), "0 %u 1", getuid());
    snprintf(gids, sizeof(gids), "0 %u 1", getgid());
    return unshare(CLONE_NEWUSER | CLONE_NEWNET) == 0 &&
           write_file("/proc/self/setgroups", "deny") && write_file("/proc/self/uid_map", uids) &&
           write_file("/proc/self/gid_map", gids);
}

/* On machine `number`, `ip` with these words; false, with what it says on stderr. */
static bool try_ip(unsigned number, const char *format, ...) __attribute__((format(printf, 2, 3)));
static bool try_ip(unsigned number, const char *format, ...)
{
    char words[256], enter[64] = "", output[512];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(words, sizeof(words), format, arguments);
    va_end(arguments);
    if (namespaces[number])
        snprintf(enter, sizeof(enter), "nsenter --net=/proc/%d/fd/%d ", getpid(),
                 namespaces[number]);
    int code =
        run_command(output, sizeof(output), "PATH=$PATH:/usr/sbin:/sbin %sip %s", enter, words);
    if (code)
        fprintf(stderr, "ip %s: %s", words, output);
    return code == 0;
}

bool network_enter(void)
{
    char output[64];
    if (run_command(output, sizeof(output), "PATH=$PATH:/usr/sbin:/sbin ip -V")) {
        fprintf(stderr, "no network of its own for this test: there is no `ip`\n");
        return false;
    }
    if (!leave_network()) {
        fprintf(stderr, "no network of its own for this test: %s\n", strerror(errno));
        return false;
    }
    ck_assert(try_ip(0, "link set lo up"));
    return true;
}

bool network_open(void)
{
    return network_enter() && try_ip(0, "link add hub type bridge") &&
           try_ip(0, "addr add 10.77.0.100/24 dev hub") && try_ip(0, "link set hub up");
}

/* A process that does nothing but be in the namespace, until that has a descriptor. */
static pid_t hold_namespace(void)
{
    int ready[2];
    char byte;
    ck_assert_int_eq(pipe(ready), 0);
    pid_t pid = fork();
    ck_assert_int_ge(pid, 0);
    if (pid == 0) {
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (unshare(CLONE_NEWNET) < 0 || write(ready[1], "r", 1) != 1)
            _exit(1);
        for (;;)
            (void)pause();
    }
    close(ready[1]);
    ck_assert_int_eq(read(ready[0], &byte, 1), 1);
    close(ready[0]);
    return pid;
}

static int open_namespace(pid_t pid)
{
    char path[64];
    snprintf(path, sizeof(path), "/proc/%d/ns/net", pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ck_assert_int_gt(fd, 0);
    return fd;
}

static void format_host(unsigned number, char into[16])
{
    snprintf(into, 16, "10.77.0.%u", number ? number % 100 : 100);
}

int network_add(unsigned number, char ret_host[16])
{
    ck_assert_uint_lt(number, NETWORK_MACHINES_MAX);
    pid_t holder = hold_namespace();
    format_host(number, ret_host);
    ck_assert(try_ip(0, "link add port%u type veth peer name eth0 netns %d", number, holder));
    ck_assert(try_ip(0, "link set port%u master hub up", number));
    namespaces[number] = open_namespace(holder);
    (void)kill(holder, SIGKILL);
    (void)waitpid(holder, NULL, 0);
    ck_assert(try_ip(number, "link set lo up"));
    ck_assert(try_ip(number, "link set eth0 address 02:00:00:00:77:%02x up", number));
    ck_assert(try_ip(number, "addr add %s/24 dev eth0", ret_host));
    return namespaces[number];
}

static void set_neighbour(unsigned from, unsigned to, unsigned hardware)
{
    char host[16];
    format_host(to, host);
    ck_assert(try_ip(from, "neigh replace %s lladdr 02:00:00:00:%02x:%02x dev %s nud permanent",
                     host, hardware, to, from ? "eth0" : "hub"));
}

/* Machine 0, the test, has the bridge's hardware address: what it is, machines find out. */
void network_cut(unsigned from, unsigned to)
{
    set_neighbour(from, to, 0xdd);
}

void network_heal(unsigned from, unsigned to)
{
    char host[16];
    if (to) {
        set_neighbour(from, to, 0x77);
    } else {
        format_host(to, host);
        ck_assert(try_ip(from, "neigh del %s dev eth0", host));
    }
}

void network_unplug(unsigned number)
{
    ck_assert(try_ip(0, "link set port%u down", number));
}

void network_plug(unsigned number)
{
    ck_assert(try_ip(0, "link set port%u up", number));
}
