#include "../unit.h"

#include "message.h"
#include "raftd.h"

/* Every call the table addresses to raftd has a handler, and nothing else has. */
START_TEST(test_dispatch_handles_what_the_table_addresses_here)
{
    unsigned addressed = 0, handled = 0;
    for (const struct proto_entry *entry = proto_table(); entry->number; entry++) {
        bool found = false;
        if (entry->to != PROTO_ROLE_RAFTD || entry->kind != PROTO_KIND_CALL)
            continue;
        addressed++;
        for (const uint16_t *number = raftd_handled(); *number; number++)
            found = found || *number == entry->number;
        ck_assert_msg(found, "%s has no handler", entry->name);
    }
    for (const uint16_t *number = raftd_handled(); *number; number++)
        handled++;
    ck_assert_uint_eq(handled, addressed);
}
END_TEST

START_TEST(test_peers_handle_what_the_table_addresses_to_members)
{
    unsigned addressed = 0, handled = 0;
    for (const struct proto_entry *entry = proto_table(); entry->number; entry++) {
        bool found = false;
        if (entry->to != PROTO_ROLE_MEMBER || entry->kind == PROTO_KIND_REPLY)
            continue;
        addressed++;
        for (const uint16_t *number = peers_handled(); *number; number++)
            found = found || *number == entry->number;
        ck_assert_msg(found, "%s has no handler", entry->name);
    }
    for (const uint16_t *number = peers_handled(); *number; number++)
        handled++;
    ck_assert_uint_eq(handled, addressed);
}
END_TEST

UNIT_MAIN("dispatch", test_dispatch_handles_what_the_table_addresses_here,
          test_peers_handle_what_the_table_addresses_to_members)
