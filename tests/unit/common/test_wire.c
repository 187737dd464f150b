#include "../unit.h"

#include "crc32c.h"
#include "wire.h"

START_TEST(test_wire_fields_round_trip)
{
    struct buffer buffer = {0};
    wire_put_u8(&buffer, 0xab);
    wire_put_u16(&buffer, 0x1234);
    wire_put_u32(&buffer, 0xdeadbeef);
    wire_put_u64(&buffer, 0x0123456789abcdefull);
    wire_put_blob(&buffer, "x\0y", 3);
    wire_put_text(&buffer, "text");
    ck_assert_uint_eq(buffer.length, 1 + 2 + 4 + 8 + 4 + 3 + 4 + 4);
    ck_assert_mem_eq(buffer.bytes, "\xab\x34\x12\xef\xbe\xad\xde\xef\xcd", 9);

    struct wire_reader reader = wire_reader_of(buffer.bytes, buffer.length);
    size_t length;
    char text[8];
    ck_assert_uint_eq(wire_get_u8(&reader), 0xab);
    ck_assert_uint_eq(wire_get_u16(&reader), 0x1234);
    ck_assert_uint_eq(wire_get_u32(&reader), 0xdeadbeef);
    ck_assert_uint_eq(wire_get_u64(&reader), 0x0123456789abcdefull);
    ck_assert_mem_eq(wire_get_blob(&reader, 3, &length), "x\0y", 3);
    wire_get_text(&reader, text, sizeof(text));
    ck_assert_str_eq(text, "text");
    ck_assert(wire_finished(&reader));
    buffer_free(&buffer);
}
END_TEST

START_TEST(test_wire_short_input_fails_and_stays_failed)
{
    struct wire_reader reader = wire_reader_of("abc", 3);
    ck_assert_uint_eq(wire_get_u32(&reader), 0);
    ck_assert(reader.failed);
    ck_assert_uint_eq(wire_get_u8(&reader), 0);
    ck_assert(!wire_finished(&reader));
}
END_TEST

START_TEST(test_wire_trailing_input_is_not_finished)
{
    struct wire_reader reader = wire_reader_of("abc", 3);
    (void)wire_get_u16(&reader);
    ck_assert(!reader.failed);
    ck_assert(!wire_finished(&reader));
}
END_TEST

START_TEST(test_wire_blob_longer_than_allowed_or_there_fails)
{
    struct wire_reader reader = wire_reader_of("\x03\0\0\0abc", 7);
    size_t length = 9;
    ck_assert_ptr_null(wire_get_blob(&reader, 2, &length));
    ck_assert_uint_eq(length, 0);
    reader = wire_reader_of("\xff\xff\xff\xff"
                            "abc",
                            7);
    ck_assert_ptr_null(wire_get_blob(&reader, SIZE_MAX, &length));
}
END_TEST

START_TEST(test_wire_text_with_nul_or_too_long_fails)
{
    char text[4] = "zzz";
    struct wire_reader reader = wire_reader_of("\x03\0\0\0a\0b", 7);
    wire_get_text(&reader, text, sizeof(text));
    ck_assert(reader.failed);
    ck_assert_str_eq(text, "");
    reader = wire_reader_of("\x04\0\0\0abcd", 8);
    wire_get_text(&reader, text, sizeof(text));
    ck_assert(reader.failed);
}
END_TEST

START_TEST(test_crc32c_known_values)
{
    /* RFC 3720, appendix B.4, and the check value of the catalogue of CRCs. */
    uint8_t zeros[32] = {0}, ones[32];
    memset(ones, 0xff, sizeof(ones));
    ck_assert_uint_eq(crc32c(0, "123456789", 9), 0xe3069283);
    ck_assert_uint_eq(crc32c(0, zeros, sizeof(zeros)), 0x8a9136aa);
    ck_assert_uint_eq(crc32c(0, ones, sizeof(ones)), 0x62a8ab43);
    ck_assert_uint_eq(crc32c(crc32c(0, "1234", 4), "56789", 5), 0xe3069283);
    ck_assert_uint_eq(crc32c(7, "", 0), 7);
}
END_TEST

UNIT_MAIN("wire", test_wire_fields_round_trip, test_wire_short_input_fails_and_stays_failed,
          test_wire_trailing_input_is_not_finished,
          test_wire_blob_longer_than_allowed_or_there_fails,
          test_wire_text_with_nul_or_too_long_fails, test_crc32c_known_values)
