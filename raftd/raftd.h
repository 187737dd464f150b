/* The daemon's rooms and how they hang together. Owner: raftd.
 *
 *   dispatch   messages in, replies out          (dispatch.c)
 *   proposals  batches of httpd until answered   (proposals.h)
 *   rounds     READ_INDEX calls until answered   (rounds.h)
 *   consensus  the core, the log, the hard state (consensus.h)
 *   feed       committed entries to storaged     (feed.h)
 *
 * One request's way: dispatch -> proposals -> consensus (append; at turn end the log is flushed;
 * durable; committed) -> feed -> storaged -> feed -> proposals -> dispatch. */
#pragma once

#include "bus.h"
#include "config.h"
#include "consensus.h"
#include "feed.h"
#include "hello.h"
#include "loop.h"
#include "proposals.h"
#include "rounds.h"

#define RAFTD_DRAIN_MS_MAX 1500u /* a stop waits this long for answers that are on their way */

struct raftd {
    struct loop *loop;
    const struct config *config;
    struct hello hello;
    struct consensus *consensus;
    struct feed *feed;
    struct proposals *proposals;
    struct rounds *rounds;
    struct bus_server *server;
    struct buffer reply;
    struct loop_timer drain_timer;
    bool started; /* takes part: it is known where storaged is */
    bool draining;
};

/* dispatch.c: listens on DATADIR_RAFTD_URL. */
int raftd_listen(struct raftd *raftd, struct error *error);
const uint16_t *raftd_handled(void);
/* status.c */
void raftd_fill_status(const struct raftd *raftd, struct raft_status *status);
void raftd_fill_hint(const struct raftd *raftd, struct leader_hint *hint);
