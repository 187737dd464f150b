/* The core's messages and the wire's: the same fields, of which neither core nor proto knows the
 * other's. */
#include "peers_private.h"

_Static_assert((int)RAFT_PREVOTE == PEER_MESSAGE_TYPE_MIN &&
                   (int)RAFT_TIMEOUT_NOW == PEER_MESSAGE_TYPE_MAX,
               "the wire's message types are the core's");

struct peer_message peers_wire_of(const struct raft_message *message)
{
    return (struct peer_message){.type = (uint8_t)message->type,
                                 .from = message->from,
                                 .to = message->to,
                                 .term = message->term,
                                 .index = message->index,
                                 .log_term = message->log_term,
                                 .rejected = message->rejected,
                                 .commit = message->commit,
                                 .round = message->round,
                                 .count = message->count,
                                 .ok = message->ok,
                                 .transfer = message->transfer};
}

struct raft_message peers_core_of(const struct peer_message *message)
{
    return (struct raft_message){.type = (enum raft_message_type)message->type,
                                 .from = message->from,
                                 .to = message->to,
                                 .term = message->term,
                                 .index = message->index,
                                 .log_term = message->log_term,
                                 .rejected = message->rejected,
                                 .commit = message->commit,
                                 .round = message->round,
                                 .count = message->count,
                                 .ok = message->ok,
                                 .transfer = message->transfer};
}
