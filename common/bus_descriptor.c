#include "bus_descriptor.h"

#include "fault.h"

#include <dirent.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

/* Sockets that fit; more than one without a duplicate end the search anyway. */
#define CANDIDATES_MAX 16u

struct ends {
    bool is_ipc, was_accepted;
    uint64_t peer_pid;          /* of ipc */
    nng_sockaddr local, remote; /* of tcp */
};

struct candidate {
    int fd;
    ino_t inode;
    unsigned descriptors; /* that have it */
};

/* ---- the two ends ---- */

static bool ends_of(nng_stream *connection, bool was_accepted, struct ends *ends)
{
    ends->was_accepted = was_accepted;
    ends->is_ipc = !nng_stream_get_uint64(connection, NNG_OPT_IPC_PEER_PID, &ends->peer_pid);
    return ends->is_ipc || (!nng_stream_get_addr(connection, NNG_OPT_LOCADDR, &ends->local) &&
                            !nng_stream_get_addr(connection, NNG_OPT_REMADDR, &ends->remote));
}

/* Who listens has a name, and so has each socket that was accepted from it; who dials has none. */
static bool fits_ipc(int fd, const struct ends *ends)
{
    struct sockaddr_un name;
    struct ucred peer;
    socklen_t name_bytes = sizeof(name), peer_bytes = sizeof(peer);
    if (getsockname(fd, (struct sockaddr *)&name, &name_bytes) || name.sun_family != AF_UNIX ||
        getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &peer_bytes))
        return false;
    bool has_name = name_bytes > offsetof(struct sockaddr_un, sun_path);
    return has_name == ends->was_accepted && (uint64_t)peer.pid == ends->peer_pid;
}

static bool is_address(const struct sockaddr_storage *address, const nng_sockaddr *wanted)
{
    const struct sockaddr_in *in = (const struct sockaddr_in *)address;
    const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)address;
    if (wanted->s_family == NNG_AF_INET)
        return address->ss_family == AF_INET && in->sin_port == wanted->s_in.sa_port &&
               in->sin_addr.s_addr == wanted->s_in.sa_addr;
    return wanted->s_family == NNG_AF_INET6 && address->ss_family == AF_INET6 &&
           in6->sin6_port == wanted->s_in6.sa_port &&
           !memcmp(&in6->sin6_addr, wanted->s_in6.sa_addr, sizeof(in6->sin6_addr));
}

static bool fits_tcp(int fd, const struct ends *ends)
{
    struct sockaddr_storage address;
    socklen_t bytes = sizeof(address);
    if (getsockname(fd, (struct sockaddr *)&address, &bytes) || !is_address(&address, &ends->local))
        return false;
    bytes = sizeof(address);
    return !getpeername(fd, (struct sockaddr *)&address, &bytes) &&
           is_address(&address, &ends->remote);
}

/* Connections that are over may not have been closed yet. */
static bool fits(int fd, const struct ends *ends)
{
    struct sockaddr_storage peer;
    socklen_t bytes = sizeof(peer);
    struct pollfd state = {.fd = fd};
    return !getpeername(fd, (struct sockaddr *)&peer, &bytes) &&
           (ends->is_ipc ? fits_ipc(fd, ends) : fits_tcp(fd, ends)) && poll(&state, 1, 0) == 0;
}

/* ---- the search ---- */

static ino_t inode_of(int fd)
{
    struct stat status;
    return fstat(fd, &status) ? 0 : status.st_ino;
}

/* The count with it; over CANDIDATES_MAX: it found no place. */
static unsigned note(struct candidate *candidates, unsigned count, int fd)
{
    ino_t inode = inode_of(fd);
    for (unsigned i = 0; i < count; i++) {
        if (candidates[i].inode == inode) {
            candidates[i].descriptors++;
            return count;
        }
    }
    if (count < CANDIDATES_MAX)
        candidates[count] = (struct candidate){.fd = fd, .inode = inode, .descriptors = 1};
    return count + 1;
}

static unsigned search(const struct ends *ends, struct candidate *candidates)
{
    DIR *folder = opendir("/proc/self/fd");
    struct dirent *entry;
    unsigned count = 0;
    while (folder && count <= CANDIDATES_MAX && (entry = readdir(folder))) {
        int fd = atoi(entry->d_name); /* 0 for . and .. */
        if (fd > STDERR_FILENO && fits(fd, ends))
            count = note(candidates, count, fd);
    }
    if (folder)
        (void)closedir(folder);
    return count;
}

/* NULL: none, or more than one. */
static const struct candidate *choose(const struct candidate *candidates, unsigned count)
{
    const struct candidate *chosen = NULL;
    for (unsigned i = 0; i < count; i++) {
        if (candidates[i].descriptors > 1)
            continue;
        if (chosen)
            return NULL;
        chosen = &candidates[i];
    }
    return chosen;
}

/* nng's threads may have closed it meanwhile, and something else have got its number. */
static int duplicate(const struct candidate *candidate)
{
    int fd = fcntl(candidate->fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
    if (fd < 0 || inode_of(fd) == candidate->inode)
        return fd;
    (void)close(fd);
    return -1;
}

int bus_descriptor_dup(nng_stream *connection, bool was_accepted)
{
    struct candidate candidates[CANDIDATES_MAX];
    struct ends ends;
    if (fault_check("bus.descriptor") || !ends_of(connection, was_accepted, &ends))
        return -1;
    unsigned count = search(&ends, candidates);
    const struct candidate *chosen = count <= CANDIDATES_MAX ? choose(candidates, count) : NULL;
    return chosen ? duplicate(chosen) : -1;
}
