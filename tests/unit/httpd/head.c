#include "head.h"

#include <stdio.h>
#include <string.h>

static char text[HEAD_BYTES_MAX + 1], came[HEAD_BYTES_MAX];

/* NULL: no line ends before `end`. */
static char *cut_line(char **at, const char *end)
{
    char *line = *at;
    char *feed = memchr(line, '\n', (size_t)(end - line));
    if (!feed)
        return NULL;
    *at = feed + 1;
    if (feed > line && feed[-1] == '\r')
        feed--;
    memset(feed, 0, (size_t)(*at - feed));
    return line;
}

static bool cut_request_line(struct guard_head *head, char *line)
{
    char *space = strchr(line, ' ');
    if (!space)
        return false;
    head->method = line;
    *space = '\0';
    head->target = space + 1 + strspn(space + 1, " ");
    space = strrchr(head->target, ' ');
    if (!space)
        return false;
    *space = '\0';
    head->target_bytes = (size_t)(space - head->target);
    head->version = space + 1;
    return true;
}

static bool cut_fold(struct guard_head *head, const char *line)
{
    static char folded[2][HEAD_BYTES_MAX];
    static unsigned turn;
    if (head->fields_count == 0)
        return false;
    struct guard_field *field = &head->fields[head->fields_count - 1];
    char *into = folded[turn++ % 2];
    snprintf(into, HEAD_BYTES_MAX, "%s%s", field->name, line + strspn(line, " \t"));
    field->name = into;
    field->name_bytes = strlen(into);
    return true;
}

static bool cut_field(struct guard_head *head, char *line)
{
    if (line[0] == ' ' || line[0] == '\t')
        return cut_fold(head, line);
    char *colon = strchr(line, ':');
    if (!colon)
        return false;
    if (head->fields_count < HTTPD_FIELDS_MAX) {
        struct guard_field *field = &head->fields[head->fields_count];
        *colon = '\0';
        field->name = line;
        field->name_bytes = strlen(line);
        field->value = colon + 1 + strspn(colon + 1, " \t");
        field->value_bytes = strlen(field->value);
    }
    head->fields_count++;
    return head->fields_count <= HTTPD_FIELDS_MAX;
}

bool head_cut(struct guard_head *ret_head, const char *raw, size_t length)
{
    char *at = text;
    const char *end = text + length;
    if (length > HEAD_BYTES_MAX)
        return false;
    memcpy(text, raw, length);
    memcpy(came, raw, length);
    text[length] = '\0';
    memset(ret_head, 0, sizeof(*ret_head));
    char *line = cut_line(&at, end);
    if (!line || !cut_request_line(ret_head, line))
        return false;
    while ((line = cut_line(&at, end)) && *line)
        if (!cut_field(ret_head, line))
            return false;
    if (!line)
        return false;
    ret_head->target_text = came + (ret_head->target - text);
    ret_head->end = at;
    ret_head->head_bytes = (size_t)(at - ret_head->method);
    return true;
}
