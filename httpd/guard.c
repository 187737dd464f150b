#include "guard.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>

static void guard_refuse(struct guard *guard, int verdict, const char *reason)
{
    if (!guard->verdict)
        guard->verdict = error_set(&guard->reason, verdict, "%s", reason);
}

void guard_begin(struct guard *guard)
{
    *guard = (struct guard){.content_length = GUARD_LENGTH_NONE};
}

/* RFC 9110, section 5.6.2. */
static bool is_token(const char *text, size_t length)
{
    for (size_t i = 0; i < length; i++)
        if (!isalnum((unsigned char)text[i]) && !strchr("!#$%&'*+-.^_`|~", text[i]))
            return false;
    return length > 0 && !memchr(text, 0, length);
}

/* RFC 9110, section 5.5: no controls but the tab. */
static bool is_field_value(const char *text, size_t length)
{
    for (size_t i = 0; i < length; i++)
        if (((unsigned char)text[i] < 0x20 && text[i] != '\t') || text[i] == 0x7f)
            return false;
    return true;
}

static bool name_is(const struct guard_header *header, const char *name)
{
    return header->name_length == strlen(name) &&
           !strncasecmp(header->name, name, header->name_length);
}

static void guard_content_length(struct guard *guard, const struct guard_header *header)
{
    uint64_t value = 0;
    if (++guard->content_lengths > 1)
        guard_refuse(guard, 400, "Content-Length is given twice");
    if (header->value_length == 0 || header->value_length > 18)
        guard_refuse(guard, 400, "Content-Length: want a decimal number");
    for (size_t i = 0; i < header->value_length; i++) {
        if (!isdigit((unsigned char)header->value[i])) {
            guard_refuse(guard, 400, "Content-Length: want a decimal number");
            return;
        }
        value = value * 10 + (uint64_t)(header->value[i] - '0');
    }
    guard->content_length = value;
}

static void guard_transfer_encoding(struct guard *guard, const struct guard_header *header)
{
    if (++guard->transfer_encodings > 1)
        guard_refuse(guard, 400, "Transfer-Encoding is given twice");
    if (header->value_length != 7 || strncasecmp(header->value, "chunked", 7))
        guard_refuse(guard, 400, "Transfer-Encoding: want chunked or none");
    guard->chunked = true;
}

void guard_header(struct guard *guard, const struct guard_header *header)
{
    if (!is_token(header->name, header->name_length))
        guard_refuse(guard, 400, "a header name is not a token");
    if (!is_field_value(header->value, header->value_length))
        guard_refuse(guard, 400, "a header value has control characters");
    if (name_is(header, "Content-Length"))
        guard_content_length(guard, header);
    else if (name_is(header, "Transfer-Encoding"))
        guard_transfer_encoding(guard, header);
    else if (name_is(header, "Host"))
        guard->hosts++;
}

int guard_finish(struct guard *guard, const char *version)
{
    bool http11 = !strcmp(version, "HTTP/1.1");
    if (!http11 && strcmp(version, "HTTP/1.0"))
        guard_refuse(guard, 505, "want HTTP/1.1 or HTTP/1.0");
    if (guard->hosts > 1 || (http11 && guard->hosts == 0))
        guard_refuse(guard, 400, "want exactly one Host header");
    if (guard->content_lengths && guard->transfer_encodings)
        guard_refuse(guard, 400, "Content-Length and Transfer-Encoding exclude each other");
    if (!http11 && guard->transfer_encodings)
        guard_refuse(guard, 400, "HTTP/1.0 has no Transfer-Encoding");
    return guard->verdict;
}
