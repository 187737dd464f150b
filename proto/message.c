#include "message.h"

#include "bus.h"
#include "frame.h"

#include <stddef.h>

static const struct proto_entry table[] = {
#define MESSAGE(number, name, from, to, kind, body_bytes_max)                                      \
    {number, #name, PROTO_ROLE_##from, PROTO_ROLE_##to, PROTO_KIND_##kind, body_bytes_max},
#include "messages.def"
#undef MESSAGE
    {0},
};

_Static_assert(PROTO_HELLO == FRAME_TYPE_HELLO, "the bus and the table agree");
_Static_assert(PROTO_WELCOME == FRAME_TYPE_WELCOME, "the bus and the table agree");
_Static_assert(PROTO_REFUSED == FRAME_TYPE_REFUSED, "the bus and the table agree");
_Static_assert(PROTO_STATUS_BAD_REQUEST == BUS_STATUS_BAD_REQUEST, "the bus and the table agree");
_Static_assert(PROTO_STATUS_NOT_GREETED == BUS_STATUS_NOT_GREETED, "the bus and the table agree");
_Static_assert(PROTO_STATUS_STALE_EPOCH == BUS_STATUS_STALE_EPOCH, "the bus and the table agree");

const struct proto_entry *proto_table(void)
{
    return table;
}

const struct proto_entry *proto_entry_of(uint16_t number)
{
    for (const struct proto_entry *entry = table; entry->number; entry++)
        if (entry->number == number)
            return entry;
    return NULL;
}

static bool role_fits(enum proto_role wanted, enum proto_role role)
{
    return wanted == PROTO_ROLE_ANY || wanted == role;
}

bool proto_call_allowed(uint16_t number, enum proto_role from, enum proto_role to,
                        size_t body_bytes)
{
    const struct proto_entry *entry = proto_entry_of(number);
    return entry && entry->kind != PROTO_KIND_REPLY && role_fits(entry->from, from) &&
           role_fits(entry->to, to) && body_bytes <= entry->body_bytes_max;
}

const char *proto_role_name(enum proto_role role)
{
    static const char *const names[] = {"any",  "storaged", "raftd",  "httpd",
                                        "tool", "member",   "inviter"};
    return (unsigned)role < sizeof(names) / sizeof(*names) ? names[role] : "unknown";
}

const char *proto_status_name(unsigned status)
{
    static const char *const names[] = {
        "ok",          "not_found",   "condition_failed", "too_large", "busy",    "not_leader",
        "unavailable", "unknown",     "bad_request",      "damaged",   "again",   "timeout",
        "gap",         "not_greeted", "stale_epoch",      "no_space",  "refused", "unreachable",
    };
    return status < sizeof(names) / sizeof(*names) ? names[status] : "invalid";
}
