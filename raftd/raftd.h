/* The daemon's rooms and how they hang together. Owner: raftd.
 *
 *   dispatch   messages of httpd in, replies out         (dispatch.c)
 *   proposals  batches of httpd until answered           (proposals.h)
 *   rounds     READ_INDEX calls until answered           (rounds.h)
 *   consensus  the core, the log, the hard state         (consensus.h)
 *   peers      connections to the other members          (peers.h)
 *   replicate  entries to followers, while there is room (replicate.h)
 *   snapshot_out, snapshot_in  where the log does not reach back
 *   changes    who joins, leaves, leads                  (changes.h)
 *   feed       committed entries to storaged             (feed.h)
 *   agreement  whether all states are the same           (agreement.h)
 *   wiring     what the rooms tell each other            (wiring.c)
 *
 * One request's way: dispatch -> proposals -> consensus (append; at turn end the log is flushed and
 * followers get it; durable on a quorum; committed) -> feed -> storaged -> feed -> proposals ->
 * dispatch. */
#pragma once

#include "agreement.h"
#include "bus.h"
#include "changes.h"
#include "config.h"
#include "consensus.h"
#include "feed.h"
#include "hello.h"
#include "loop.h"
#include "peers.h"
#include "proposals.h"
#include "rounds.h"
#include "snapshot_in.h"
#include "snapshot_out.h"

#define RAFTD_DRAIN_MS_MAX 1500u /* a stop waits this long for answers that are on their way */
#define RAFTD_HAND_ON_MS 1000u   /* from one try of a leader without storaged to the next */

struct raftd {
    struct loop *loop;
    const struct config *config;
    struct hello hello;
    struct consensus *consensus;
    struct feed *feed;
    struct proposals *proposals;
    struct rounds *rounds;
    struct peers *peers;
    struct changes *changes;
    struct agreement *agreement;
    struct snapshot_out *snapshot_out;
    struct snapshot_in *snapshot_in;
    struct bus_server *server;
    struct buffer reply;
    struct loop_timer drain_timer;
    bool draining;
    uint64_t hand_on_ms; /* leadership is not handed on before that */
};

/* wiring.c: makes the rooms, and ends them. */
int raftd_open(struct raftd *raftd, struct error *error);
void raftd_close(struct raftd *raftd);
/* What a turn brought goes out: to the disk, to followers, to storaged. */
void raftd_flush(struct raftd *raftd);
/* Stops in order: leadership is handed on, answers on their way go out. */
void raftd_begin_drain(struct raftd *raftd);

/* dispatch.c: listens on DATADIR_RAFTD_URL. */
int raftd_listen(struct raftd *raftd, struct error *error);
const uint16_t *raftd_handled(void);
/* status.c */
void raftd_fill_status(const struct raftd *raftd, struct raft_status *status);
void raftd_fill_hint(const struct raftd *raftd, struct leader_hint *hint);
