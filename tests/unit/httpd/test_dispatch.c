#include "dispatch.h"

#include "message.h"

#include "../unit.h"

static bool is_handled(uint16_t number)
{
    for (const uint16_t *at = httpd_handled(); *at; at++)
        if (*at == number)
            return true;
    return false;
}

/* Every message that the table lets httpd send or receive has its row; HELLO and its answers are
 * the bus's. */
START_TEST(test_dispatch_covers_the_message_table)
{
    unsigned count = 0;
    for (const struct proto_entry *entry = proto_table(); entry->number; entry++) {
        bool sent = entry->kind == PROTO_KIND_CALL && entry->from == PROTO_ROLE_HTTPD;
        bool received = entry->kind == PROTO_KIND_REPLY && entry->to == PROTO_ROLE_HTTPD;
        if (!sent && !received)
            continue;
        count++;
        ck_assert_msg(is_handled(entry->number), "%s", entry->name);
    }
    ck_assert_uint_ge(count, 8);
}
END_TEST

START_TEST(test_dispatch_sends_nothing_the_table_forbids)
{
    unsigned count = 0;
    for (const uint16_t *at = httpd_handled(); *at; at++, count++) {
        const struct proto_entry *entry = proto_entry_of(*at);
        ck_assert_ptr_nonnull(entry);
        if (entry->kind == PROTO_KIND_CALL)
            ck_assert(entry->from == PROTO_ROLE_HTTPD || entry->from == PROTO_ROLE_ANY);
        else
            ck_assert(entry->to == PROTO_ROLE_HTTPD || entry->to == PROTO_ROLE_ANY);
    }
    ck_assert_uint_eq(count % 2, 0);
}
END_TEST

UNIT_MAIN("dispatch", test_dispatch_covers_the_message_table,
          test_dispatch_sends_nothing_the_table_forbids)
