#include "members.h"

#include "ask.h"

#include <cjson/cJSON.h>
#include <stdlib.h>
#include <string.h>

/* ---- members ---- */

#define COLUMNS_COUNT 4u

/* One line of the table. */
struct row {
    const char *columns[COLUMNS_COUNT];
};

const char *members_text(const cJSON *object, const char *name)
{
    const char *text = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(object, name));
    return text ? text : "-";
}

static struct row row_of(const cJSON *server, const char *leader)
{
    const char *address = members_text(server, "address");
    bool leads = leader[0] && !strcmp(address, leader);
    return (struct row){{members_text(server, "id"),
                         leads ? "leader" : members_text(server, "suffrage"), address,
                         members_text(server, "http_url")}};
}

static void append_row(const struct row *row, const size_t widths[COLUMNS_COUNT],
                       struct buffer *into)
{
    for (unsigned i = 0; i < COLUMNS_COUNT; i++) {
        size_t length = strlen(row->columns[i]);
        display_append_escaped(row->columns[i], length, false, into);
        for (; i + 1 < COLUMNS_COUNT && length < widths[i] + 2; length++)
            display_append_text(into, " ");
    }
    display_append_text(into, "\n");
}

static void append_table(const cJSON *configuration, struct buffer *into)
{
    static const struct row titles = {{"ID", "ROLE", "RAFT ADDRESS", "HTTP URL"}};
    const cJSON *servers = cJSON_GetObjectItemCaseSensitive(configuration, "servers"), *server;
    const char *leader = members_text(configuration, "leader");
    size_t widths[COLUMNS_COUNT];
    for (unsigned i = 0; i < COLUMNS_COUNT; i++)
        widths[i] = strlen(titles.columns[i]);
    cJSON_ArrayForEach(server, servers)
    {
        struct row row = row_of(server, leader);
        for (unsigned i = 0; i < COLUMNS_COUNT; i++)
            if (widths[i] < strlen(row.columns[i]))
                widths[i] = strlen(row.columns[i]);
    }
    append_row(&titles, widths, into);
    cJSON_ArrayForEach(server, servers)
    {
        struct row row = row_of(server, leader);
        append_row(&row, widths, into);
    }
}

int command_members(const struct invocation *invocation)
{
    struct client_request request = {.method = "GET", .path = "/raft/config"};
    const struct buffer *body = &invocation->session->client.answer.body;
    struct buffer text = {0};
    int exit_code = ask(invocation, &request);
    if (exit_code)
        return exit_code;
    cJSON *configuration = cJSON_ParseWithLength((const char *)body->bytes, body->length);
    if (!cJSON_IsArray(cJSON_GetObjectItemCaseSensitive(configuration, "servers")))
        exit_code = COMPLAIN(invocation, EXIT_CODE_FAILURE, "the server's answer has no servers");
    else if (invocation->options->json)
        buffer_append(&text, body->bytes, body->length);
    else
        append_table(configuration, &text);
    cJSON_Delete(configuration);
    return exit_code ? exit_code : show(invocation, &text);
}

/* ---- changes ---- */

static const char *const names[] = {"ID", "RaftAddr"};

int members_post(const struct invocation *invocation, const char *path,
                 const struct url_servers *servers)
{
    struct client_request request = {.method = "POST",
                                     .path = path,
                                     .is_write = true,
                                     .is_change = true,
                                     .servers = servers,
                                     .timeout_ms = REPL_CHANGE_TIMEOUT_MS};
    cJSON *object = cJSON_CreateObject();
    for (unsigned i = 1; i < invocation->words_count; i++) {
        const struct word *word = &invocation->words[i];
        if (strlen(word->bytes) != word->length) {
            cJSON_Delete(object);
            return COMPLAIN(invocation, EXIT_CODE_USAGE, "an id or address has no NUL in it");
        }
        cJSON_AddStringToObject(object, names[i - 1], word->bytes);
    }
    char *body = invocation->words_count > 1 ? cJSON_PrintUnformatted(object) : NULL;
    request.body = body ? body : "";
    request.body_bytes = strlen(request.body);
    int exit_code = ask(invocation, &request);
    cJSON_free(body);
    cJSON_Delete(object);
    return exit_code;
}

int members_change(const struct invocation *invocation, const char *path,
                   const struct url_servers *servers)
{
    struct buffer text = {0};
    int exit_code = members_post(invocation, path, servers);
    if (exit_code)
        return exit_code;
    display_append_text(&text, invocation->options->json ? "{\"ok\":true}\n" : "OK\n");
    return show(invocation, &text);
}

int command_remove(const struct invocation *invocation)
{
    return members_change(invocation, "/remove", NULL);
}

int command_transfer(const struct invocation *invocation)
{
    return members_change(invocation, "/transfer", NULL);
}
