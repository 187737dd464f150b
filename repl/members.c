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

static const char *text_of(const cJSON *object, const char *name)
{
    const char *text = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(object, name));
    return text ? text : "-";
}

static struct row row_of(const cJSON *server, const char *leader)
{
    const char *address = text_of(server, "address");
    bool leads = leader[0] && !strcmp(address, leader);
    return (struct row){{text_of(server, "id"), leads ? "leader" : text_of(server, "suffrage"),
                         address, text_of(server, "http_url")}};
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
    const char *leader = text_of(configuration, "leader");
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

/* Sends the command's operands under their names. */
static int change(const struct invocation *invocation, const char *path,
                  const struct url_servers *servers)
{
    struct client_request request = {.method = "POST",
                                     .path = path,
                                     .is_write = true,
                                     .is_change = true,
                                     .servers = servers,
                                     .timeout_ms = REPL_CHANGE_TIMEOUT_MS};
    struct buffer text = {0};
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
    if (exit_code)
        return exit_code;
    display_append_text(&text, invocation->options->json ? "{\"ok\":true}\n" : "OK\n");
    return show(invocation, &text);
}

int command_remove(const struct invocation *invocation)
{
    return change(invocation, "/remove", NULL);
}

int command_transfer(const struct invocation *invocation)
{
    return change(invocation, "/transfer", NULL);
}

/* ---- join ---- */

enum probe { PROBE_OTHER, PROBE_SELF, PROBE_SILENT };

static double number_of(const cJSON *object, const char *name)
{
    const cJSON *number = cJSON_GetObjectItemCaseSensitive(object, name);
    return cJSON_IsNumber(number) ? number->valuedouble : 0;
}

/* Whether the server is the node that is to join; and how long its log is. */
static enum probe probe(const struct invocation *invocation, const char *server,
                        double *ret_log_index)
{
    struct client *client = &invocation->session->client;
    struct url_servers one = {.count = 1};
    struct client_request request = {
        .method = "GET", .path = "/status", .servers = &one, .timeout_ms = REPL_PROBE_MS_MAX};
    struct error error = {""};
    strcpy(one.urls[0], server);
    if (client_call(client, &request, &error) || client->answer.status != 200)
        return PROBE_SILENT;
    cJSON *status =
        cJSON_ParseWithLength((const char *)client->answer.body.bytes, client->answer.body.length);
    bool is_self = word_is(&invocation->words[1], text_of(status, "node_id"));
    *ret_log_index = number_of(status, "last_log_index");
    cJSON_Delete(status);
    return is_self ? PROBE_SELF : PROBE_OTHER;
}

/* Behind those whose logs are at least as long: `log_indexes` are the servers'. */
static void insert_server(struct url_servers *servers, double *log_indexes, const char *url,
                          double log_index)
{
    unsigned place = servers->count++;
    for (; place > 0 && log_indexes[place - 1] < log_index; place--) {
        memcpy(servers->urls[place], servers->urls[place - 1], sizeof(servers->urls[place]));
        log_indexes[place] = log_indexes[place - 1];
    }
    strcpy(servers->urls[place], url);
    log_indexes[place] = log_index;
}

/* The servers to ask: never the joining node itself, which leads a cluster of its own perhaps, and
 * would say that it is in it. The longest log first: of new nodes that look for each other, all
 * come to the cluster that some of them have made already, and none makes another. Those that do
 * not answer now stand last. */
static void find_servers(const struct invocation *invocation, struct url_servers *ret_servers)
{
    const struct url_servers *all = &invocation->options->servers;
    enum probe probes[REPL_SERVERS_MAX];
    double log_indexes[REPL_SERVERS_MAX], log_index = 0;
    ret_servers->count = 0;
    for (unsigned i = 0; i < all->count; i++) {
        probes[i] = probe(invocation, all->urls[i], &log_index);
        if (probes[i] == PROBE_OTHER)
            insert_server(ret_servers, log_indexes, all->urls[i], log_index);
    }
    for (unsigned i = 0; i < all->count; i++)
        if (probes[i] == PROBE_SILENT)
            strcpy(ret_servers->urls[ret_servers->count++], all->urls[i]);
    invocation->session->client.preferred[0] = '\0'; /* in this order, whoever was probed last */
}

int command_join(const struct invocation *invocation)
{
    static struct url_servers servers;
    find_servers(invocation, &servers);
    if (servers.count == 0)
        return COMPLAIN(invocation, EXIT_CODE_USAGE,
                        "want a server of the cluster to join: %s%s the node %.64s itself",
                        invocation->options->servers.urls[0],
                        invocation->options->servers.count > 1 ? " and the others are" : " is",
                        invocation->words[1].bytes);
    return change(invocation, "/join", &servers);
}
