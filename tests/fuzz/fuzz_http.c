/* What httpd reads from strangers: heads (the guard), targets, queries, conditions, and the JSON of
 * /txn and of /join. Any bytes give a result or a problem, and what a head is taken for is what it
 * says to a strict reader. The first byte chooses. */
#include "scratch.h"

#include "condition.h"
#include "fields.h"
#include "head.h"
#include "range.h"
#include "transaction.h"
#include "transaction_read.h"

#include <stdlib.h>
#include <string.h>

static volatile uint64_t sink; /* bytes given out are read, so that the sanitizer sees them */

static void touch(const void *bytes, size_t length)
{
    for (size_t i = 0; i < length; i++)
        sink += ((const uint8_t *)bytes)[i];
}

static void target(const char *text, size_t length)
{
    uint8_t *scratch = malloc(length + 1);
    uint8_t *path = malloc(length + 1);
    struct uri uri;
    struct error error;
    struct problem problem = {0};
    struct range *range = malloc(sizeof(*range));
    size_t path_bytes;
    if (!uri_parse(text, length, scratch, &uri, &error)) {
        for (unsigned i = 0; i < uri.parameters_count; i++) {
            touch(uri.parameters[i].name, uri.parameters[i].name_bytes);
            touch(uri.parameters[i].value, uri.parameters[i].value_bytes);
        }
        if (!uri_decode(uri.path, uri.path_bytes, false, path, &path_bytes))
            touch(path, path_bytes);
        if (range_is_asked(&uri) && !range_read(&uri, range, &problem)) {
            touch(range->open.start, range->open.start_bytes);
            touch(range->open.end, range->open.end_bytes);
            touch(range->open.after, range->open.after_bytes);
        }
    }
    free(range);
    free(path);
    free(scratch);
}

static bool ends_line(char byte)
{
    return byte == '\0' || byte == '\r' || byte == '\n';
}

/* Of a head that is taken each byte is accounted for: what ends lines stands in twos, at the end in
 * fours (it may be NULs: guard.h), and no line begins with a space. */
static void expect_strict(const char *raw, size_t length)
{
    size_t run = 0;
    for (size_t i = 0; i < length; i++) {
        bool ends = ends_line(raw[i]);
        if (!ends && run && (run != 2 || raw[i] == ' ' || raw[i] == '\t'))
            abort();
        run = ends ? run + 1 : 0;
    }
    if (run != 4)
        abort();
}

/* libmicrohttpd has seen to that itself. */
static bool is_version(const char *version)
{
    return !strcmp(version, "HTTP/1.0") || !strcmp(version, "HTTP/1.1");
}

static void head(const char *raw, size_t length)
{
    static struct guard_head head;
    struct guard_findings findings;
    struct problem problem = {0};
    struct condition condition;
    if (!head_cut(&head, raw, length) || !is_version(head.version))
        return;
    int status = guard_check(&head, &findings, &problem);
    if (status) {
        if (!problem.close || (status != 400 && status != 414 && status != 431))
            abort();
        return;
    }
    expect_strict(raw, head.head_bytes);
    if (!condition_parse(findings.if_match, findings.if_none_match, &condition, &problem))
        sink += condition.revision;
    target(head.target_text, head.target_bytes);
}

static void transaction(const uint8_t *bytes, size_t length)
{
    static const struct transaction_limits limits = {.key_bytes_max = 1024,
                                                     .value_bytes_max = 65536};
    struct transaction read = {.body = {0}};
    struct problem problem = {0};
    struct buffer command = {0};
    struct txn txn;
    uint8_t *body = malloc(length + 1);
    memcpy(body, bytes, length);
    if (!transaction_read(body, length, &limits, &read, &problem)) {
        txn_encode(&command, &read.lists);
        if (txn_decode(command.bytes, command.length, &txn))
            abort(); /* what httpd lets through, storaged takes */
    }
    buffer_free(&command);
    transaction_drop(&read);
    free(body);
}

static int take(const char *text, void *into, struct error *error)
{
    (void)into, (void)error;
    sink += strlen(text);
    return 0;
}

static void members(const uint8_t *bytes, size_t length)
{
    struct problem problem = {0};
    struct field fields[] = {{.name = "ID", .also = "id", .take = take, .want = "a name"},
                             {.name = "RaftAddr", .take = take, .want = "an address"}};
    (void)fields_read(bytes, length, fields, 2, &problem);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
    if (length == 0)
        return 0;
    uint8_t *exact = malloc(length); /* so that a byte too far is seen */
    memcpy(exact, bytes + 1, length - 1);
    switch (bytes[0] % 4) {
    case 0:
        head((const char *)exact, length - 1);
        break;
    case 1:
        target((const char *)exact, length - 1);
        break;
    case 2:
        transaction(exact, length - 1);
        break;
    case 3:
        members(exact, length - 1);
        break;
    }
    free(exact);
    return 0;
}
