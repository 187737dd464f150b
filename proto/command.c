#include "command.h"

#include "limits.h"
#include "message.h"

#include <errno.h>

void command_encode(struct buffer *into, const struct command *command)
{
    wire_put_u8(into, (uint8_t)command->operation);
    wire_put_u8(into, (uint8_t)command->condition);
    wire_put_u64(into, command->revision);
    wire_put_blob(into, command->key, command->key_bytes);
    wire_put_blob(into, command->value, command->value_bytes);
}

static bool command_makes_sense(const struct command *command)
{
    bool known = command->operation == COMMAND_PUT || command->operation == COMMAND_DELETE;
    return known && (unsigned)command->condition <= COMMAND_IF_PRESENT && command->key_bytes > 0 &&
           (command->operation == COMMAND_PUT || command->value_bytes == 0) &&
           (command->condition == COMMAND_IF_REVISION || command->revision == 0);
}

int command_decode(const uint8_t *bytes, size_t length, struct command *ret_command)
{
    struct wire_reader reader = wire_reader_of(bytes, length);
    struct command command = {0};
    command.operation = (enum command_operation)wire_get_u8(&reader);
    command.condition = (enum command_condition)wire_get_u8(&reader);
    command.revision = wire_get_u64(&reader);
    command.key = wire_get_blob(&reader, LIMIT_KEY_BYTES_CAP, &command.key_bytes);
    command.value = wire_get_blob(&reader, LIMIT_VALUE_BYTES_CAP, &command.value_bytes);
    if (!wire_finished(&reader) || !command_makes_sense(&command))
        return -EPROTO;
    *ret_command = command;
    return 0;
}

void command_result_encode(struct buffer *into, const struct command_result *result)
{
    wire_put_u16(into, result->status);
    wire_put_u64(into, result->revision);
    wire_put_u8(into, result->existed);
}

int command_result_decode(const uint8_t *bytes, size_t length, struct command_result *ret_result)
{
    struct wire_reader reader = wire_reader_of(bytes, length);
    struct command_result result = {0};
    result.status = wire_get_u16(&reader);
    result.revision = wire_get_u64(&reader);
    uint8_t existed = wire_get_u8(&reader);
    if (!wire_finished(&reader) || existed > 1 || result.status > PROTO_STATUS_NO_SPACE)
        return -EPROTO;
    result.existed = existed;
    *ret_result = result;
    return 0;
}
