/* Many keys, as fast as they go: key N is "fill-N", and its value follows from N. */
#pragma once

#include "cluster.h"

struct fill {
    unsigned count;       /* keys 0 .. count - 1 */
    unsigned value_bytes; /* of each */
};

/* Puts all, by many clients, through the leader; what was not served or is not known is put again.
 * Prints the rate. */
void fill_put(struct cluster *cluster, const struct fill *fill);
/* Every `step`-th must be on `node`, read from its own state. */
void fill_check(struct cluster *cluster, const struct fill *fill, unsigned node, unsigned step);
