#include "state_file.h"

#include "crc32c.h"
#include "file.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define STATE_FILE_HEADER_BYTES 16u
#define STATE_FILE_VERSION 2u

int state_file_save(const char *point, const char *path, const char *magic,
                    const struct buffer *body)
{
    struct buffer file = {0};
    wire_put_bytes(&file, magic, 8);
    wire_put_u32(&file, STATE_FILE_VERSION);
    wire_put_u32(&file, crc32c(0, body->bytes, body->length));
    wire_put_bytes(&file, body->bytes, body->length);
    int code = file_replace(point, "raft", path, file.bytes, file.length);
    buffer_free(&file);
    return code;
}

static int state_file_check(const char *path, const char *magic, const uint8_t *bytes,
                            size_t length, struct error *error)
{
    if (length < STATE_FILE_HEADER_BYTES || memcmp(bytes, magic, 8))
        return error_set(error, -EBADMSG, "%s is damaged: no header at offset 0", path);
    if (wire_load_u32(bytes + 8) != STATE_FILE_VERSION)
        return error_set(error, -EPROTO, "%s has format version %u, this build knows %u", path,
                         wire_load_u32(bytes + 8), STATE_FILE_VERSION);
    if (wire_load_u32(bytes + 12) !=
        crc32c(0, bytes + STATE_FILE_HEADER_BYTES, length - STATE_FILE_HEADER_BYTES))
        return error_set(error, -EBADMSG, "%s is damaged: the checksum at offset 12 does not match",
                         path);
    return 0;
}

int state_file_load(const char *point, const char *path, const char *magic, struct buffer *into,
                    struct error *error)
{
    uint8_t *bytes = memory_new(STATE_FILE_BYTES_MAX);
    size_t length = 0;
    int code = file_read_whole(point, path, bytes, STATE_FILE_BYTES_MAX, &length);
    if (code == -EFBIG)
        code = error_set(error, -EBADMSG, "%s is damaged: it is longer than %u bytes", path,
                         STATE_FILE_BYTES_MAX);
    else if (code && code != -ENOENT)
        error_set_errno(error, code, "cannot read %s", path);
    if (!code)
        code = state_file_check(path, magic, bytes, length, error);
    if (!code)
        buffer_append(into, bytes + STATE_FILE_HEADER_BYTES, length - STATE_FILE_HEADER_BYTES);
    free(bytes);
    return code;
}
