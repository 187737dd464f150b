#include "replicate.h"

#include "buffer.h"
#include "limits.h"

static bool add_record(void *context, const struct record *record)
{
    struct buffer *entries = context;
    struct apply_entry entry = {.term = record->term,
                                .kind = record->kind,
                                .data = record->data,
                                .data_bytes = record->data_bytes};
    peer_entries_add(entries, &entry);
    return entries->length < LIMIT_BATCH_BYTES_SOFT &&
           peer_entries_count(entries) < LIMIT_BATCH_RECORDS_MAX;
}

/* One APPEND, of as many entries as make a batch. False: it was not sent. */
static int send_append(struct consensus *consensus, struct peers *peers,
                       struct raft_message *message, bool *ret_sent)
{
    static struct buffer entries;
    int code = 0;
    struct peer_message wire = peers_wire_of(message);
    peer_entries_begin(&entries, &wire);
    if (message->count)
        code = log_read(consensus_log(consensus), message->index + 1,
                        message->index + message->count, add_record, &entries);
    if (!code)
        *ret_sent = peers_send_entries(peers, message->to, &entries);
    if (!code && *ret_sent)
        consensus_sent(consensus, message->to, peer_entries_count(&entries));
    buffer_clear(&entries, 2 * LIMIT_BATCH_BYTES_SOFT);
    return code;
}

static int replicate_to(struct consensus *consensus, struct peers *peers,
                        struct snapshot_out *snapshots, uint64_t member)
{
    struct raft_message message;
    bool sent = true;
    int code = 0;
    while (!code && sent && peers_has_room(peers, member) &&
           !snapshot_out_is_sending(snapshots, member)) {
        switch (raft_wants(consensus_raft(consensus), member, &message)) {
        case RAFT_WANT_NOTHING:
            return 0;
        case RAFT_WANT_SNAPSHOT:
            snapshot_out_begin(snapshots, member);
            return 0;
        case RAFT_WANT_ENTRIES:
            code = send_append(consensus, peers, &message, &sent);
        }
    }
    return code;
}

int replicate_flush(struct consensus *consensus, struct peers *peers,
                    struct snapshot_out *snapshots)
{
    const struct membership *membership = consensus_membership(consensus);
    int code = 0;
    for (uint32_t i = 0; i < membership->count && !code && consensus_is_leader(consensus); i++)
        if (membership->numbers[i] != consensus_identity(consensus)->number)
            code = replicate_to(consensus, peers, snapshots, membership->numbers[i]);
    return code;
}
