#include "transaction_read.h"

#include "json.h"

#include <microhttpd.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

struct reading {
    struct json_reader json;
    const uint8_t *begin;
    const struct transaction_limits *limits;
    struct transaction *into;
    struct problem *problem;
    /* Where: "then[2].put". */
    const char *list, *operation;
    unsigned place;
    size_t command_bytes;
};

/* ---- complaints ---- */

static void format_place(const struct reading *reading, char into[64])
{
    into[0] = '\0';
    if (reading->list)
        snprintf(into, 64, "%s[%u]%s%s: ", reading->list, reading->place,
                 reading->operation ? "." : "", reading->operation ? reading->operation : "");
}

__attribute__((format(printf, 3, 4))) static int fail(const struct reading *reading,
                                                      unsigned status, const char *format, ...)
{
    char place[64], text[HTTPD_DETAIL_BYTES_MAX];
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    format_place(reading, place);
    return problem_set(reading->problem, status, "%s%s", place, text);
}

static int fail_syntax(const struct reading *reading, const char *wanted)
{
    return fail(reading, MHD_HTTP_BAD_REQUEST, "want %s, at byte %zu of the body", wanted,
                (size_t)(reading->json.at - reading->begin));
}

static int fail_name(const struct reading *reading, const struct json_text *name, const char *what)
{
    return fail(reading, MHD_HTTP_BAD_REQUEST, "%s member '%.*s'", what,
                (int)(name->length < 64 ? name->length : 64), (const char *)name->bytes);
}

/* ---- records: {"key":..., ...} ---- */

enum member { HAS_KEY = 1, HAS_VALUE = 2, HAS_REVISION = 4, HAS_EXISTS = 8 };

struct record {
    struct json_text key, value;
    uint64_t revision;
    bool exists;
    unsigned has; /* bits of enum member */
};

static bool read_key(struct json_reader *json, struct record *record)
{
    return json_read_string(json, &record->key);
}

static bool read_key_base64(struct json_reader *json, struct record *record)
{
    return json_read_base64(json, &record->key);
}

static bool read_value(struct json_reader *json, struct record *record)
{
    return json_read_string(json, &record->value);
}

static bool read_value_base64(struct json_reader *json, struct record *record)
{
    return json_read_base64(json, &record->value);
}

static bool read_revision(struct json_reader *json, struct record *record)
{
    return json_read_number(json, &record->revision);
}

static bool read_exists(struct json_reader *json, struct record *record)
{
    return json_read_bool(json, &record->exists);
}

static const struct {
    const char *name;
    enum member member;
    bool (*read)(struct json_reader *json, struct record *record);
    const char *wanted;
} members[] = {
    {"key", HAS_KEY, read_key, "a string of valid UTF-8"},
    {"key_base64", HAS_KEY, read_key_base64, "a string of base64"},
    {"value", HAS_VALUE, read_value, "a string of valid UTF-8"},
    {"value_base64", HAS_VALUE, read_value_base64, "a string of base64"},
    {"revision", HAS_REVISION, read_revision, "a whole number"},
    {"exists", HAS_EXISTS, read_exists, "true or false"},
};
#define MEMBERS_COUNT (sizeof(members) / sizeof(*members))

static int read_member(struct reading *reading, const struct json_text *name, unsigned allowed,
                       struct record *record)
{
    for (unsigned i = 0; i < MEMBERS_COUNT; i++) {
        if (!(members[i].member & allowed) || !json_text_is(name, members[i].name))
            continue;
        if (record->has & members[i].member)
            return fail_name(reading, name, "given twice:");
        record->has |= members[i].member;
        if (!members[i].read(&reading->json, record))
            return fail(reading, MHD_HTTP_BAD_REQUEST, "%s: want %s", members[i].name,
                        members[i].wanted);
        return 0;
    }
    return fail_name(reading, name, "unknown");
}

static int check_record(const struct reading *reading, const struct record *record)
{
    const struct transaction_limits *limits = reading->limits;
    if (!(record->has & HAS_KEY) || record->key.length == 0)
        return fail(reading, MHD_HTTP_BAD_REQUEST, "want a key of one byte or more");
    if (record->key.length > limits->key_bytes_max)
        return fail(reading, MHD_HTTP_CONTENT_TOO_LARGE, "the key has %zu bytes, the limit is %zu",
                    record->key.length, limits->key_bytes_max);
    if (record->value.length > limits->value_bytes_max)
        return fail(reading, MHD_HTTP_CONTENT_TOO_LARGE,
                    "the value has %zu bytes, the limit is %zu", record->value.length,
                    limits->value_bytes_max);
    return 0;
}

static int read_record(struct reading *reading, unsigned allowed, struct record *record)
{
    struct json_text name;
    *record = (struct record){.has = 0};
    if (!json_take(&reading->json, '{'))
        return fail_syntax(reading, "an object");
    if (json_take(&reading->json, '}'))
        return check_record(reading, record);
    do {
        if (!json_read_string(&reading->json, &name) || !json_take(&reading->json, ':'))
            return fail_syntax(reading, "a member");
        int status = read_member(reading, &name, allowed, record);
        if (status)
            return status;
    } while (json_take(&reading->json, ','));
    if (!json_take(&reading->json, '}'))
        return fail_syntax(reading, "the object's end");
    return check_record(reading, record);
}

/* ---- elements of the lists ---- */

static int add_compare(struct reading *reading, const struct record *record, uint8_t kind)
{
    struct buffer *into = &reading->into->compares;
    struct txn_compare compare = {
        .kind = kind,
        .revision = kind == TXN_REVISION ? record->revision : 0,
        .key = record->key.bytes,
        .key_bytes = record->key.length,
        .value = kind == TXN_VALUE ? record->value.bytes : NULL,
        .value_bytes = kind == TXN_VALUE ? record->value.length : 0,
    };
    if (into->length / sizeof(compare) == LIMIT_TXN_OPERATIONS_MAX)
        return fail(reading, MHD_HTTP_CONTENT_TOO_LARGE, "there are more than %u compares",
                    LIMIT_TXN_OPERATIONS_MAX);
    buffer_append(into, &compare, sizeof(compare));
    reading->command_bytes += TXN_COMPARE_BYTES + compare.key_bytes + compare.value_bytes;
    return 0;
}

static int read_compare(struct reading *reading)
{
    struct record record;
    int status = read_record(reading, HAS_KEY | HAS_VALUE | HAS_REVISION | HAS_EXISTS, &record);
    if (!status && record.has == HAS_KEY)
        status = fail(reading, MHD_HTTP_BAD_REQUEST,
                      "want something to compare: exists, revision or value");
    if (!status && record.has & HAS_EXISTS)
        status = add_compare(reading, &record, record.exists ? TXN_EXISTS : TXN_ABSENT);
    if (!status && record.has & HAS_REVISION)
        status = add_compare(reading, &record, TXN_REVISION);
    if (!status && record.has & HAS_VALUE)
        status = add_compare(reading, &record, TXN_VALUE);
    return status;
}

static const struct {
    const char *name;
    uint8_t kind;
    unsigned members; /* that it has: all of them */
} operations[] = {
    {"put", TXN_PUT, HAS_KEY | HAS_VALUE},
    {"delete", TXN_DELETE, HAS_KEY},
    {"get", TXN_GET, HAS_KEY},
};
#define OPERATIONS_COUNT (sizeof(operations) / sizeof(*operations))

static int add_operation(struct reading *reading, const struct record *record, uint8_t kind,
                         struct buffer *into)
{
    struct txn_operation operation = {
        .kind = kind,
        .key = record->key.bytes,
        .key_bytes = record->key.length,
        .value = record->value.bytes,
        .value_bytes = record->value.length,
    };
    if (into->length / sizeof(operation) == LIMIT_TXN_OPERATIONS_MAX)
        return fail(reading, MHD_HTTP_CONTENT_TOO_LARGE, "there are more than %u operations",
                    LIMIT_TXN_OPERATIONS_MAX);
    buffer_append(into, &operation, sizeof(operation));
    reading->command_bytes += TXN_OPERATION_BYTES + operation.key_bytes + operation.value_bytes;
    reading->into->has_puts = reading->into->has_puts || kind == TXN_PUT;
    return 0;
}

static int read_named_operation(struct reading *reading, const struct json_text *name,
                                struct buffer *into)
{
    struct record record;
    for (unsigned i = 0; i < OPERATIONS_COUNT; i++) {
        if (!json_text_is(name, operations[i].name))
            continue;
        reading->operation = operations[i].name;
        int status = read_record(reading, operations[i].members, &record);
        if (!status && record.has != operations[i].members)
            status = fail(reading, MHD_HTTP_BAD_REQUEST, "want a value");
        if (!status)
            status = add_operation(reading, &record, operations[i].kind, into);
        return status;
    }
    return fail_name(reading, name, "want put, delete or get; unknown");
}

static int read_operation(struct reading *reading, struct buffer *into)
{
    struct json_text name;
    reading->operation = NULL;
    if (!json_take(&reading->json, '{') || !json_read_string(&reading->json, &name) ||
        !json_take(&reading->json, ':'))
        return fail_syntax(reading, "an object with put, delete or get");
    int status = read_named_operation(reading, &name, into);
    reading->operation = NULL;
    if (status)
        return status;
    return json_take(&reading->json, '}') ? 0 : fail_syntax(reading, "one operation to an object");
}

/* ---- the lists ---- */

static int read_element(struct reading *reading, struct buffer *into)
{
    return into == &reading->into->compares ? read_compare(reading) : read_operation(reading, into);
}

static int read_list(struct reading *reading, struct buffer *into)
{
    if (!json_take(&reading->json, '['))
        return fail_syntax(reading, "a list");
    if (json_take(&reading->json, ']'))
        return 0;
    do {
        int status = read_element(reading, into);
        if (status)
            return status;
        reading->place++;
    } while (json_take(&reading->json, ','));
    return json_take(&reading->json, ']') ? 0 : fail_syntax(reading, "the list's end");
}

static int read_named_list(struct reading *reading, const struct json_text *name, bool given[3])
{
    const struct {
        const char *name;
        struct buffer *into;
    } lists[] = {{"if", &reading->into->compares},
                 {"then", &reading->into->thens},
                 {"else", &reading->into->elses}};
    for (unsigned i = 0; i < 3; i++) {
        if (!json_text_is(name, lists[i].name))
            continue;
        if (given[i])
            return fail_name(reading, name, "given twice:");
        given[i] = true;
        reading->list = lists[i].name;
        reading->place = 0;
        int status = read_list(reading, lists[i].into);
        reading->list = NULL;
        return status;
    }
    return fail_name(reading, name, "want if, then and else; unknown");
}

static int read_lists(struct reading *reading)
{
    struct json_text name;
    bool given[3] = {false, false, false};
    if (!json_take(&reading->json, '{'))
        return fail_syntax(reading, "a JSON object with if, then and else");
    if (!json_take(&reading->json, '}')) {
        do {
            if (!json_read_string(&reading->json, &name) || !json_take(&reading->json, ':'))
                return fail_syntax(reading, "a member");
            int status = read_named_list(reading, &name, given);
            if (status)
                return status;
        } while (json_take(&reading->json, ','));
        if (!json_take(&reading->json, '}'))
            return fail_syntax(reading, "the object's end");
    }
    return json_finished(&reading->json) ? 0 : fail_syntax(reading, "nothing behind the object");
}

/* ---- all of it ---- */

/* What a list's result may have at most, and still be a command's. */
static uint32_t result_bytes(const struct txn_operation *list, uint32_t count, size_t value_bytes)
{
    uint64_t bytes = TXN_RESULT_HEAD_BYTES;
    for (uint32_t i = 0; i < count; i++) {
        bytes += TXN_RESULT_RECORD_BYTES;
        if (list[i].kind == TXN_GET)
            bytes += list[i].key_bytes + value_bytes;
    }
    return bytes < TXN_RESULT_BYTES_MAX ? (uint32_t)bytes : TXN_RESULT_BYTES_MAX;
}

static void set_lists(struct transaction *transaction, size_t value_bytes_max)
{
    struct txn_lists *lists = &transaction->lists;
    lists->compares = (const struct txn_compare *)(const void *)transaction->compares.bytes;
    lists->thens = (const struct txn_operation *)(const void *)transaction->thens.bytes;
    lists->elses = (const struct txn_operation *)(const void *)transaction->elses.bytes;
    lists->compares_count = (uint32_t)(transaction->compares.length / sizeof(*lists->compares));
    lists->thens_count = (uint32_t)(transaction->thens.length / sizeof(*lists->thens));
    lists->elses_count = (uint32_t)(transaction->elses.length / sizeof(*lists->elses));
    uint32_t thens = result_bytes(lists->thens, lists->thens_count, value_bytes_max);
    uint32_t elses = result_bytes(lists->elses, lists->elses_count, value_bytes_max);
    lists->result_bytes_max = thens > elses ? thens : elses;
}

int transaction_read(uint8_t *body, size_t body_bytes, const struct transaction_limits *limits,
                     struct transaction *ret_transaction, struct problem *problem)
{
    struct reading reading = {.json = json_reader_of(body, body_bytes),
                              .begin = body,
                              .limits = limits,
                              .into = ret_transaction,
                              .problem = problem,
                              .command_bytes = TXN_HEAD_BYTES};
    int status = read_lists(&reading);
    if (status)
        return status;
    set_lists(ret_transaction, limits->value_bytes_max);
    const struct txn_lists *lists = &ret_transaction->lists;
    if (lists->compares_count + lists->thens_count + lists->elses_count == 0)
        return fail(&reading, MHD_HTTP_BAD_REQUEST, "the transaction is empty");
    if (reading.command_bytes > TXN_BYTES_MAX)
        return fail(&reading, MHD_HTTP_CONTENT_TOO_LARGE,
                    "the transaction has %zu bytes, the limit is %u", reading.command_bytes,
                    TXN_BYTES_MAX);
    return 0;
}
