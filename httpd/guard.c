#include "guard.h"

#include "text.h"

#include <errno.h>
#include <microhttpd.h>
#include <string.h>
#include <strings.h>

/* Fields that say where a request ends, whom it is for, or what must hold. None may come twice. */
enum known_field {
    FIELD_HOST,
    FIELD_CONTENT_LENGTH,
    FIELD_TRANSFER_ENCODING,
    FIELD_EXPECT,
    FIELD_IF_MATCH,
    FIELD_IF_NONE_MATCH,
    FIELD_FORWARDED,
    FIELD_LAST_EVENT_ID,
    FIELDS_COUNT,
};

static const char *const known_names[FIELDS_COUNT] = {
    [FIELD_HOST] = "Host",
    [FIELD_CONTENT_LENGTH] = "Content-Length",
    [FIELD_TRANSFER_ENCODING] = "Transfer-Encoding",
    [FIELD_EXPECT] = "Expect",
    [FIELD_IF_MATCH] = "If-Match",
    [FIELD_IF_NONE_MATCH] = "If-None-Match",
    [FIELD_FORWARDED] = HTTPD_FORWARDED_HEADER,
    [FIELD_LAST_EVENT_ID] = "Last-Event-ID",
};

typedef const struct guard_field *known_fields[FIELDS_COUNT];

/* ---- bytes ---- */

/* tchar of RFC 9110 section 5.6.2. */
static bool is_token_byte(char byte)
{
    return (byte >= '0' && byte <= '9') || (byte >= 'a' && byte <= 'z') ||
           (byte >= 'A' && byte <= 'Z') || (byte && strchr("!#$%&'*+-.^_`|~", byte));
}

static bool is_token(const char *text, size_t length)
{
    for (size_t i = 0; i < length; i++)
        if (!is_token_byte(text[i]))
            return false;
    return length > 0;
}

static bool is_field_text(const char *text, size_t length)
{
    for (size_t i = 0; i < length; i++)
        if (((unsigned char)text[i] < 0x20 && text[i] != '\t') || text[i] == 0x7f)
            return false;
    return true;
}

/* uri-host [":" port], loosely: what can make no one misread where the authority ends. */
static bool is_host(const char *text, size_t length)
{
    while (length > 0 && (text[length - 1] == ' ' || text[length - 1] == '\t'))
        length--;
    for (size_t i = 0; i < length; i++)
        if (text[i] <= 0x20 || text[i] > 0x7e || strchr(",/?#@\\\"<>", text[i]))
            return false;
    return true;
}

/* ---- layout: where each piece begins, given where the one before ended ---- */

/* `method NUL target NUL version NUL NUL`, the NULs over SP, SP, CR and LF. NULL if anything else
 * stands there. */
static const char *layout_after_line(const struct guard_head *head)
{
    if (head->target != head->method + strlen(head->method) + 1)
        return NULL;
    if (head->version != head->target + head->target_bytes + 1)
        return NULL;
    return head->version + strlen(head->version) + 2;
}

/* `name NUL blanks value NUL NUL`, the NULs over the colon, CR and LF. */
static const char *layout_after_field(const struct guard_field *field, const char *at)
{
    if (field->name != at)
        return NULL;
    const char *value = field->name + field->name_bytes + 1;
    while (value < field->value && (*value == ' ' || *value == '\t'))
        value++;
    if (value != field->value)
        return NULL;
    return value + field->value_bytes + 2;
}

static bool layout_holds(const struct guard_head *head)
{
    const char *at = layout_after_line(head);
    for (unsigned i = 0; at && i < head->fields_count; i++)
        at = layout_after_field(&head->fields[i], at);
    return at && at + 2 == head->end && !memcmp(at - 2, "\0\0\0\0", 4);
}

/* ---- checks ---- */

static int refuse(struct problem *problem, unsigned status, const char *detail)
{
    problem_set(problem, status, "%s", detail);
    problem->close = true;
    return (int)status;
}

static int check_sizes(const struct guard_head *head, struct problem *problem)
{
    if (head->target_bytes > LIMIT_HTTP_URI_BYTES_MAX)
        return refuse(problem, MHD_HTTP_URI_TOO_LONG, "the request target is too long");
    if (head->head_bytes > LIMIT_HTTP_HEADER_BYTES_MAX)
        return refuse(problem, MHD_HTTP_REQUEST_HEADER_FIELDS_TOO_LARGE,
                      "the request's header section is too large");
    if (head->fields_count > HTTPD_FIELDS_MAX)
        return refuse(problem, MHD_HTTP_REQUEST_HEADER_FIELDS_TOO_LARGE,
                      "the request has too many header fields");
    return 0;
}

/* Origin-form (RFC 9112 section 3.2.1), and nothing that a lenient reader could split elsewhere. */
static int check_target(const struct guard_head *head, struct problem *problem)
{
    const unsigned char *text = (const unsigned char *)head->target_text;
    if (head->target_bytes == 0 || text[0] != '/')
        return refuse(problem, MHD_HTTP_BAD_REQUEST, "the request target must begin with '/'");
    for (size_t i = 0; i < head->target_bytes; i++)
        if (text[i] <= 0x20 || text[i] == 0x7f || text[i] == '#')
            return refuse(problem, MHD_HTTP_BAD_REQUEST,
                          "the request target has a space, a control character or a '#' in it");
    return 0;
}

static int check_bytes(const struct guard_head *head, struct problem *problem)
{
    size_t method_bytes = strlen(head->method);
    if (method_bytes > HTTPD_METHOD_BYTES_MAX || !is_token(head->method, method_bytes))
        return refuse(problem, MHD_HTTP_BAD_REQUEST, "the method is not a token");
    for (unsigned i = 0; i < head->fields_count; i++) {
        const struct guard_field *field = &head->fields[i];
        if (!is_token(field->name, field->name_bytes))
            return refuse(problem, MHD_HTTP_BAD_REQUEST, "a header field's name is not a token");
        if (!is_field_text(field->value, field->value_bytes))
            return refuse(problem, MHD_HTTP_BAD_REQUEST,
                          "a header field's value has control characters in it");
    }
    if (!layout_holds(head))
        return refuse(problem, MHD_HTTP_BAD_REQUEST,
                      "the request's head has a bare line feed, a folded line, a NUL or a stray "
                      "space in it");
    return 0;
}

static int find_known(const struct guard_head *head, known_fields found, struct problem *problem)
{
    for (unsigned i = 0; i < head->fields_count; i++)
        for (unsigned known = 0; known < FIELDS_COUNT; known++) {
            if (strcasecmp(head->fields[i].name, known_names[known]))
                continue;
            if (found[known]) {
                problem_set(problem, MHD_HTTP_BAD_REQUEST, "header field %s is given twice",
                            known_names[known]);
                problem->close = true;
                return MHD_HTTP_BAD_REQUEST;
            }
            found[known] = &head->fields[i];
        }
    return 0;
}

static int check_framing(const struct guard_head *head, const known_fields found,
                         struct guard_findings *findings, struct problem *problem)
{
    const struct guard_field *encoding = found[FIELD_TRANSFER_ENCODING];
    const struct guard_field *length = found[FIELD_CONTENT_LENGTH];
    bool is_1_0 = !strcmp(head->version, "HTTP/1.0");
    if (!is_1_0 && !found[FIELD_HOST])
        return refuse(problem, MHD_HTTP_BAD_REQUEST, "header field Host is missing");
    if (found[FIELD_HOST] && !is_host(found[FIELD_HOST]->value, found[FIELD_HOST]->value_bytes))
        return refuse(problem, MHD_HTTP_BAD_REQUEST, "header field Host makes no sense");
    if (encoding && length)
        return refuse(problem, MHD_HTTP_BAD_REQUEST,
                      "Content-Length and Transfer-Encoding exclude each other");
    if (encoding && (is_1_0 || strcasecmp(encoding->value, "chunked")))
        return refuse(problem, MHD_HTTP_BAD_REQUEST,
                      "the only Transfer-Encoding is chunked, in HTTP/1.1");
    if (length && !text_read_number(length->value, length->value_bytes, &findings->content_length))
        return refuse(problem, MHD_HTTP_BAD_REQUEST, "Content-Length is not a number");
    findings->chunked = encoding != NULL;
    return 0;
}

int guard_check(const struct guard_head *head, struct guard_findings *ret_findings,
                struct problem *problem)
{
    struct guard_findings findings = {0};
    known_fields found = {NULL};
    int status = check_sizes(head, problem);
    if (!status)
        status = check_target(head, problem);
    if (!status)
        status = check_bytes(head, problem);
    if (!status)
        status = find_known(head, found, problem);
    if (!status)
        status = check_framing(head, found, &findings, problem);
    if (status)
        return status;
    const struct guard_field *expect = found[FIELD_EXPECT];
    findings.expects_continue = expect && !strcasecmp(expect->value, "100-continue");
    findings.if_match = found[FIELD_IF_MATCH] ? found[FIELD_IF_MATCH]->value : NULL;
    findings.if_none_match = found[FIELD_IF_NONE_MATCH] ? found[FIELD_IF_NONE_MATCH]->value : NULL;
    findings.last_event_id = found[FIELD_LAST_EVENT_ID] ? found[FIELD_LAST_EVENT_ID]->value : NULL;
    findings.was_forwarded = found[FIELD_FORWARDED] != NULL;
    *ret_findings = findings;
    return 0;
}
