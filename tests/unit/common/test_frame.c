#include "../unit.h"

#include "frame.h"

static uint8_t bytes[FRAME_HEADER_BYTES + 5];

static void encode(void)
{
    struct frame frame = {.type = 16,
                          .correlation = 7,
                          .epoch = 9,
                          .body = (const uint8_t *)"hello",
                          .body_bytes = 5};
    frame_encode_header(&frame, bytes);
    memcpy(bytes + FRAME_HEADER_BYTES, "hello", 5);
}

START_TEST(test_frame_round_trip)
{
    struct frame frame;
    encode();
    ck_assert_int_eq(frame_decode(bytes, sizeof(bytes), &frame), 0);
    ck_assert_uint_eq(frame.type, 16);
    ck_assert_uint_eq(frame.correlation, 7);
    ck_assert_uint_eq(frame.epoch, 9);
    ck_assert_uint_eq(frame.body_bytes, 5);
    ck_assert_mem_eq(frame.body, "hello", 5);
}
END_TEST

START_TEST(test_frame_golden_bytes)
{
    static const uint8_t golden[] = {0x43, 0x4e, 0x52, 0x46, 3, 0, 16, 0, 7, 0, 0, 0, 0, 0,
                                     0,    0,    9,    0,    0, 0, 0,  0, 0, 0, 5, 0, 0, 0};
    encode();
    ck_assert_mem_eq(bytes, golden, sizeof(golden));
    ck_assert_uint_eq(wire_load_u32(bytes + 28), 0xdc439e6d);
}
END_TEST

START_TEST(test_frame_every_flipped_bit_is_refused)
{
    struct frame frame;
    encode();
    for (size_t bit = 0; bit < sizeof(bytes) * 8; bit++) {
        bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
        ck_assert_int_gt(frame_decode(bytes, sizeof(bytes), &frame), 0);
        bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
}
END_TEST

START_TEST(test_frame_short_and_trailing_input_is_refused)
{
    struct frame frame;
    encode();
    for (size_t length = 0; length < sizeof(bytes); length++)
        ck_assert_int_gt(frame_decode(bytes, length, &frame), 0);
    uint8_t longer[sizeof(bytes) + 1] = {0};
    memcpy(longer, bytes, sizeof(bytes));
    ck_assert_int_eq(frame_decode(longer, sizeof(longer), &frame), FRAME_BAD_LENGTH);
}
END_TEST

START_TEST(test_frame_is_measured_from_its_header)
{
    size_t total;
    encode();
    size_t whole = sizeof(bytes);
    for (size_t length = 0; length < FRAME_HEADER_BYTES; length++) {
        ck_assert_int_eq(frame_measure(bytes, length, 5, &total), FRAME_SHORT);
        ck_assert_uint_eq(total, FRAME_HEADER_BYTES);
    }
    for (size_t length = FRAME_HEADER_BYTES; length <= whole; length++) {
        ck_assert_int_eq(frame_measure(bytes, length, 5, &total), 0);
        ck_assert_uint_eq(total, whole);
    }
    ck_assert_int_eq(frame_measure(bytes, whole, 4, &total), FRAME_BAD_LENGTH);
    bytes[1] ^= 1;
    ck_assert_int_eq(frame_measure(bytes, 3, 5, &total), FRAME_SHORT);
    ck_assert_int_eq(frame_measure(bytes, 4, 5, &total), FRAME_BAD_MAGIC);
}
END_TEST

UNIT_MAIN("frame", test_frame_round_trip, test_frame_golden_bytes,
          test_frame_every_flipped_bit_is_refused, test_frame_short_and_trailing_input_is_refused,
          test_frame_is_measured_from_its_header)
