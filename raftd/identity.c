#include "identity.h"

#include <errno.h>
#include <string.h>
#include <sys/random.h>

static int fill_random(void *into, size_t bytes)
{
    return getrandom(into, bytes, 0) == (ssize_t)bytes ? 0 : -EIO;
}

int identity_make(struct identity *ret_identity, const char *node_id)
{
    struct identity identity = {.number = 0};
    int code = 0;
    while (!code && identity.number == 0)
        code = fill_random(&identity.number, sizeof(identity.number));
    strncpy(identity.node_id, node_id, LIMIT_NODE_ID_BYTES_MAX);
    *ret_identity = identity;
    return code;
}

int identity_found_cluster(struct identity *identity)
{
    return fill_random(identity->cluster_id, sizeof(identity->cluster_id));
}
