/* What the rooms of raftd tell each other. */
#include "raftd.h"

#include "datadir.h"
#include "logger.h"
#include "replicate.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* ---- consensus ---- */

static void on_send(void *context, const struct raft_message *message)
{
    struct raftd *raftd = context;
    peers_send(raftd->peers, message);
}

static void on_read(void *context, uint64_t read, uint64_t index)
{
    struct raftd *raftd = context;
    rounds_on_index(raftd->rounds, read, index);
}

static void on_role(void *context)
{
    struct raftd *raftd = context;
    struct leader_hint hint;
    if (consensus_is_leader(raftd->consensus))
        return;
    raftd_fill_hint(raftd, &hint);
    rounds_on_leadership_lost(raftd->rounds, &hint);
    snapshot_out_stop_all(raftd->snapshot_out);
}

static void on_truncated(void *context, uint64_t index)
{
    struct raftd *raftd = context;
    proposals_on_truncated(raftd->proposals, index);
}

static void on_members(void *context)
{
    struct raftd *raftd = context;
    const struct identity *identity = consensus_identity(raftd->consensus);
    struct raft_server own;
    struct peers_self self = {.number = identity->number};
    consensus_own_server(raftd->consensus, &own);
    memcpy(self.cluster_id, identity->cluster_id, sizeof(self.cluster_id));
    memcpy(self.node_id, own.id, sizeof(self.node_id));
    memcpy(self.raft_address, own.raft_address, sizeof(self.raft_address));
    memcpy(self.http_url, own.http_url, sizeof(self.http_url));
    peers_set_self(raftd->peers, &self);
    peers_set_members(raftd->peers, consensus_membership(raftd->consensus));
    if (identity->number)
        changes_on_seen(raftd->changes, identity->number, own.raft_address, own.http_url);
}

static bool on_install(void *context)
{
    struct raftd *raftd = context;
    return feed_hold(raftd->feed);
}

static void on_settled(void *context, bool is_installed)
{
    struct raftd *raftd = context;
    snapshot_in_on_settled(raftd->snapshot_in, is_installed);
}

/* At once: nothing that was to follow may happen (invariants 3 and 7). To every other process it is
 * a crash, and crashes are what the files are made for. */
static void on_disk_failed(void *context, int code, const char *what)
{
    (void)context;
    logger_error("disk_failed", "what=\"%s\" reason=\"%s\"", what, strerror(-code));
    _exit(EXIT_CODE_FAILURE);
}

/* ---- peers ---- */

static void on_message(void *context, const struct raft_message *message)
{
    struct raftd *raftd = context;
    consensus_message(raftd->consensus, message);
}

static void on_entries(void *context, const struct raft_message *message,
                       struct message_list entries)
{
    struct raftd *raftd = context;
    if (consensus_entries(raftd->consensus, message, entries))
        logger_warning("entries_refused", "index=%llu reason=\"they make no sense\"",
                       (unsigned long long)message->index);
}

static int on_call(void *context, uint64_t from, struct bus_request *request)
{
    struct raftd *raftd = context;
    return snapshot_in_on_call(raftd->snapshot_in, from, request);
}

static void on_invite(void *context, const struct invite *invite, struct invited *ret_invited)
{
    struct raftd *raftd = context;
    if (changes_is_inviting(raftd->changes))
        *ret_invited = (struct invited){.status = PROTO_STATUS_UNAVAILABLE,
                                        .reason = "it is just taking in another node itself"};
    else
        consensus_invited(raftd->consensus, invite, ret_invited);
    feed_ask_anew(raftd->feed);
}

static void on_seen(void *context, uint64_t number, const char *raft_address, const char *http_url)
{
    struct raftd *raftd = context;
    changes_on_seen(raftd->changes, number, raft_address, http_url);
}

static void on_lost(void *context, uint64_t number)
{
    struct raftd *raftd = context;
    consensus_unreachable(raftd->consensus, number);
}

static void on_state(void *context, uint64_t from, const struct peer_state *state)
{
    struct raftd *raftd = context;
    agreement_on_state(raftd->agreement, from, state);
}

static void on_diverged(void *context, uint64_t from, uint64_t index)
{
    struct raftd *raftd = context;
    if (from == consensus_raft(raftd->consensus)->leader)
        agreement_on_diverged(raftd->agreement, index);
}

/* ---- feed ---- */

static void on_applied(void *context, const struct peer_state *state)
{
    struct raftd *raftd = context;
    agreement_on_applied(raftd->agreement, state);
}

static void on_feed_failed(void *context, int code, const struct error *error)
{
    struct raftd *raftd = context;
    char reason[ERROR_TEXT_BYTES + 8];
    bool is_foreign = code == -EBADMSG || code == -EPROTO;
    logger_error(is_foreign ? "foreign_data" : "start_failed", "reason=%s",
                 logger_quoted(reason, sizeof(reason), error->text));
    loop_stop(raftd->loop, is_foreign ? EXIT_CODE_PERMANENT : EXIT_CODE_FAILURE);
}

static void fill_hint(void *context, struct leader_hint *hint)
{
    raftd_fill_hint(context, hint);
}

/* ---- making them ---- */

static int open_consensus(struct raftd *raftd, struct error *error)
{
    struct consensus_options options = {
        .loop = raftd->loop,
        .config = raftd->config,
        .send = on_send,
        .on_read = on_read,
        .on_role = on_role,
        .on_truncated = on_truncated,
        .on_members = on_members,
        .on_install = on_install,
        .on_settled = on_settled,
        .on_failed = on_disk_failed,
        .context = raftd,
    };
    return consensus_open(&raftd->consensus, &options, error);
}

static int open_peers(struct raftd *raftd, struct error *error)
{
    struct peers_options options = {
        .loop = raftd->loop,
        .listen = &raftd->config->raft_address,
        .on_message = on_message,
        .on_entries = on_entries,
        .on_call = on_call,
        .on_invite = on_invite,
        .on_seen = on_seen,
        .on_lost = on_lost,
        .on_state = on_state,
        .on_diverged = on_diverged,
        .context = raftd,
    };
    return peers_new(&raftd->peers, &options, error);
}

static int open_feed(struct raftd *raftd, struct error *error)
{
    struct feed_options options = {
        .loop = raftd->loop,
        .hello = &raftd->hello,
        .consensus = raftd->consensus,
        .proposals = raftd->proposals,
        .on_applied = on_applied,
        .on_failed = on_feed_failed,
        .context = raftd,
    };
    return feed_new(&raftd->feed, &options, error);
}

static void open_cluster(struct raftd *raftd)
{
    struct changes_options changes = {
        .loop = raftd->loop,
        .consensus = raftd->consensus,
        .peers = &raftd->peers,
        .server = &raftd->server,
        .fill_hint = fill_hint,
        .context = raftd,
    };
    struct snapshot_out_options out = {.loop = raftd->loop,
                                       .feed = raftd->feed,
                                       .peers = raftd->peers,
                                       .consensus = raftd->consensus};
    struct snapshot_in_options in = {.loop = raftd->loop,
                                     .feed = raftd->feed,
                                     .peers = raftd->peers,
                                     .consensus = raftd->consensus};
    raftd->changes = changes_new(&changes);
    raftd->snapshot_out = snapshot_out_new(&out);
    raftd->snapshot_in = snapshot_in_new(&in);
}

int raftd_open(struct raftd *raftd, struct error *error)
{
    int code = open_consensus(raftd, error);
    if (code)
        return code;
    raftd->proposals = proposals_new(raftd->consensus, &raftd->server);
    raftd->rounds = rounds_new(raftd->consensus, &raftd->server);
    raftd->agreement = agreement_new(raftd->loop, raftd->consensus, &raftd->peers);
    code = open_peers(raftd, error);
    if (!code)
        code = open_feed(raftd, error);
    if (code)
        return code;
    open_cluster(raftd);
    on_members(raftd);
    return raftd_listen(raftd, error);
}

/* ---- turns ---- */

/* A leader whose storaged is away, or hangs, can answer nobody, and while it leads nobody else can.
 * Its successor hands on in its turn if it is no better off. */
static void hand_on_without_storaged(struct raftd *raftd)
{
    uint64_t now_ms = loop_now_ms(raftd->loop);
    if (!consensus_is_leader(raftd->consensus) || feed_is_hopeful(raftd->feed) ||
        now_ms < raftd->hand_on_ms)
        return;
    uint64_t successor = changes_successor(raftd->changes);
    if (!successor || consensus_transfer(raftd->consensus, successor) != RAFT_DONE)
        return;
    raftd->hand_on_ms = now_ms + RAFTD_HAND_ON_MS;
    logger_warning("leadership_handed_on", "reason=\"storaged is away, or does not answer\"");
}

void raftd_flush(struct raftd *raftd)
{
    hand_on_without_storaged(raftd);
    changes_flush(raftd->changes);
    consensus_hold(raftd->consensus, snapshot_out_hold_index(raftd->snapshot_out));
    int code = replicate_flush(raftd->consensus, raftd->peers, raftd->snapshot_out);
    if (code)
        on_disk_failed(raftd, code, "log read");
    consensus_flush(raftd->consensus);
    peers_flush(raftd->peers);
    feed_flush(raftd->feed);
}

/* ---- the end ---- */

static void on_drain_end(void *context)
{
    struct raftd *raftd = context;
    loop_stop(raftd->loop, EXIT_CODE_OK);
}

void raftd_begin_drain(struct raftd *raftd)
{
    uint64_t successor = changes_successor(raftd->changes);
    raftd->draining = true;
    if (consensus_is_leader(raftd->consensus) && successor)
        (void)consensus_transfer(raftd->consensus, successor);
    loop_timer_set(raftd->loop, &raftd->drain_timer, loop_now_ms(raftd->loop) + RAFTD_DRAIN_MS_MAX,
                   on_drain_end, raftd);
}

void raftd_close(struct raftd *raftd)
{
    bus_server_free(raftd->server);
    snapshot_in_free(raftd->snapshot_in);
    snapshot_out_free(raftd->snapshot_out);
    changes_free(raftd->changes);
    feed_free(raftd->feed);
    peers_free(raftd->peers);
    agreement_free(raftd->agreement);
    loop_timer_cancel(raftd->loop, &raftd->drain_timer);
    consensus_close(raftd->consensus);
    proposals_free(raftd->proposals);
    rounds_free(raftd->rounds);
    buffer_free(&raftd->reply);
}
