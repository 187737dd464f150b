#include "../unit.h"

#include "node.h"

#include <string.h>

static uint8_t page[PAGE_BYTES];
static uint64_t random_state = 7;

static uint64_t random_next(void)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return random_state;
}

static struct node_bytes bytes_of(const void *bytes, size_t length)
{
    return (struct node_bytes){bytes, length};
}

static void insert(struct node_bytes key)
{
    bool found;
    unsigned slot = leaf_search(page, key, &found);
    ck_assert(!found);
    uint8_t *record = node_insert(page, slot, leaf_record_bytes(key.length, 0), key);
    ck_assert_ptr_nonnull(record);
    memset(record, 0, LEAF_RECORD_BYTES);
    wire_store_u16(record, (uint16_t)key.length);
    memcpy(record + LEAF_RECORD_BYTES, key.bytes, key.length);
}

/* Keys whose first four bytes are equal, that are shorter than four, that end in zeros, or with
 * bytes above 127: what a head cannot tell, or could tell wrongly. */
static struct node_bytes awkward_key(uint8_t into[12])
{
    static const char heads[][5] = {"aaaa",     "aaa\0", "\xff\xff\xff\xff",
                                    "\0\0\0\0", "aaab",  "a\xff\0\0"};
    memcpy(into, heads[random_next() % 6], 4);
    size_t length = 1 + random_next() % 6;
    for (size_t i = 4; i < length; i++)
        into[i] = (uint8_t)(random_next() % 3 * 127);
    return bytes_of(into, length);
}

START_TEST(test_node_search_agrees_with_an_array_where_heads_are_equal)
{
    uint8_t keys[60][12], probe[12];
    size_t lengths[60];
    unsigned count = 0;
    bool found;
    page_begin(page, PAGE_LEAF, 7, 1, 0);
    while (count < 60) {
        struct node_bytes key = awkward_key(keys[count]);
        (void)leaf_search(page, key, &found);
        if (found)
            continue;
        insert(key);
        lengths[count++] = key.length;
        ck_assert(node_is_sound(page));
    }
    for (unsigned round = 0; round < 5000; round++) {
        struct node_bytes key = awkward_key(probe);
        unsigned below = 0, equal = 0;
        for (unsigned i = 0; i < count; i++) {
            int order = node_compare(bytes_of(keys[i], lengths[i]), key);
            below += order < 0;
            equal += order == 0;
        }
        ck_assert_uint_eq(leaf_search(page, key, &found), below);
        ck_assert_uint_eq(found, equal);
    }
}
END_TEST

START_TEST(test_node_branch_search_finds_the_child_of_every_key)
{
    uint8_t probe[12];
    unsigned count = 1;
    page_begin(page, PAGE_BRANCH, 7, 1, 0);
    branch_record_write(node_insert(page, 0, BRANCH_RECORD_BYTES, bytes_of(NULL, 0)),
                        (struct page_pin){9, 1}, bytes_of(NULL, 0));
    while (count < 50) {
        struct node_bytes key = awkward_key(probe);
        unsigned slot = branch_search(page, key);
        if (slot > 0 && node_compare(node_key(page, slot), key) == 0)
            continue;
        branch_record_write(node_insert(page, slot + 1, BRANCH_RECORD_BYTES + key.length, key),
                            (struct page_pin){10 + count, 1}, key);
        count++;
        ck_assert(node_is_sound(page));
    }
    for (unsigned round = 0; round < 5000; round++) {
        struct node_bytes key = awkward_key(probe);
        unsigned slot = branch_search(page, key);
        ck_assert(slot == 0 || node_compare(node_key(page, slot), key) <= 0);
        ck_assert(slot + 1 == count || node_compare(node_key(page, slot + 1), key) > 0);
    }
}
END_TEST

START_TEST(test_node_wrong_head_is_not_sound)
{
    page_begin(page, PAGE_LEAF, 7, 1, 0);
    insert(bytes_of("abcdef", 6));
    insert(bytes_of("b", 1));
    ck_assert(node_is_sound(page));
    for (unsigned byte = 2; byte < SLOT_BYTES; byte++) {
        page[PAGE_HEADER_BYTES + byte] ^= 1;
        ck_assert(!node_is_sound(page));
        page[PAGE_HEADER_BYTES + byte] ^= 1;
    }
    ck_assert(node_is_sound(page));
}
END_TEST

UNIT_MAIN("node", test_node_search_agrees_with_an_array_where_heads_are_equal,
          test_node_branch_search_finds_the_child_of_every_key, test_node_wrong_head_is_not_sound)
