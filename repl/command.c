#include "command.h"

#include "ask.h"
#include "clock.h"
#include "config.h"
#include "join.h"
#include "members.h"
#include "scan.h"
#include "session.h"
#include "watch.h"

#include <cjson/cJSON.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

typedef int command_fn(const struct invocation *invocation);

struct command {
    const char *name;
    const char *usage; /* behind the name */
    const char *help;
    unsigned operands_min, operands_max;
    command_fn *fn;
    bool takes_key; /* as its first operand */
};

/* ---- keys ---- */

/* As ask, for /kv and the key that is the first operand. */
static int ask_about_key(const struct invocation *invocation, struct client_request *request)
{
    struct buffer path = {0};
    display_append_text(&path, "/kv?key=");
    url_append_encoded(&path, invocation->words[1].bytes, invocation->words[1].length);
    if (invocation->options->stale && !request->is_write)
        display_append_text(&path, "&stale=true");
    buffer_append(&path, "", 1);
    request->path = (const char *)path.bytes;
    int exit_code = ask(invocation, request);
    buffer_free(&path);
    return exit_code;
}

static const char *answer_revision(const struct invocation *invocation)
{
    const char *revision = invocation->session->client.answer.revision;
    return revision[0] && strspn(revision, "0123456789") == strlen(revision) ? revision : "null";
}

static int show_done(const struct invocation *invocation)
{
    struct buffer text = {0};
    if (invocation->options->json) {
        display_append_text(&text, "{\"ok\":true,\"revision\":");
        display_append_text(&text, answer_revision(invocation));
        display_append_text(&text, "}\n");
    } else {
        display_append_text(&text, "OK\n");
    }
    return show(invocation, &text);
}

/* ---- put ---- */

static int read_value(const struct invocation *invocation, struct buffer *value)
{
    if (invocation->session->stdin_is_commands)
        return COMPLAIN(invocation, EXIT_CODE_USAGE,
                        "-x: standard input holds the commands, so it cannot be the value");
    while (value->length <= LIMIT_VALUE_BYTES_CAP) {
        size_t length = fread(buffer_reserve(value, 64u << 10), 1, 64u << 10, stdin);
        value->length += length;
        if (length == 0)
            break;
    }
    if (ferror(stdin))
        return COMPLAIN(invocation, EXIT_CODE_FAILURE, "cannot read standard input");
    if (value->length > LIMIT_VALUE_BYTES_CAP)
        return COMPLAIN(invocation, EXIT_CODE_FAILURE, "value too large: at most %u bytes",
                        LIMIT_VALUE_BYTES_CAP);
    return EXIT_CODE_OK;
}

static int command_put(const struct invocation *invocation)
{
    struct client_request request = {.method = "PUT", .is_write = true};
    struct buffer value = {0};
    bool from_stdin = invocation->options->value_from_stdin;
    int exit_code = EXIT_CODE_OK;
    if (from_stdin == (invocation->words_count == 3))
        return COMPLAIN(invocation, EXIT_CODE_USAGE,
                        "want a key and a value, or a key and -x for standard input");
    if (from_stdin) {
        exit_code = read_value(invocation, &value);
        request.body = value.length ? (const char *)value.bytes : "";
        request.body_bytes = value.length;
    } else {
        request.body = invocation->words[2].bytes;
        request.body_bytes = invocation->words[2].length;
    }
    if (exit_code == EXIT_CODE_OK)
        exit_code = ask_about_key(invocation, &request);
    buffer_free(&value);
    return exit_code ? exit_code : show_done(invocation);
}

/* ---- get, delete ---- */

static int command_get(const struct invocation *invocation)
{
    struct client_request request = {.method = "GET"};
    const struct buffer *body = &invocation->session->client.answer.body;
    struct buffer text = {0};
    int exit_code = ask_about_key(invocation, &request);
    if (exit_code)
        return exit_code;
    if (invocation->options->json) {
        display_append_text(&text, "{");
        display_append_json("key", invocation->words[1].bytes, invocation->words[1].length, &text);
        display_append_text(&text, ",");
        display_append_json("value", (const char *)body->bytes, body->length, &text);
        display_append_text(&text, ",\"revision\":");
        display_append_text(&text, answer_revision(invocation));
        display_append_text(&text, "}\n");
    } else {
        display_append_value(&invocation->session->display, invocation->options->format,
                             (const char *)body->bytes, body->length, &text);
    }
    return show(invocation, &text);
}

static int command_delete(const struct invocation *invocation)
{
    struct client_request request = {.method = "DELETE", .is_write = true};
    int exit_code = ask_about_key(invocation, &request);
    return exit_code ? exit_code : show_done(invocation);
}

/* ---- status ---- */

static void append_member(const cJSON *member, struct buffer *into)
{
    char name[64];
    char *printed = cJSON_IsString(member) ? NULL : cJSON_PrintUnformatted(member);
    const char *value = printed ? printed : cJSON_GetStringValue(member);
    snprintf(name, sizeof(name), "%-16.40s ", member->string ? member->string : "");
    display_append_escaped(name, strlen(name), false, into);
    display_append_escaped(value ? value : "", value ? strlen(value) : 0, false, into);
    display_append_text(into, "\n");
    cJSON_free(printed);
}

static int command_status(const struct invocation *invocation)
{
    struct client_request request = {.method = "GET", .path = "/status"};
    const struct buffer *body = &invocation->session->client.answer.body;
    struct buffer text = {0};
    int exit_code = ask(invocation, &request);
    if (exit_code)
        return exit_code;
    cJSON *status = cJSON_ParseWithLength((const char *)body->bytes, body->length);
    const cJSON *member;
    if (!cJSON_IsObject(status))
        exit_code =
            COMPLAIN(invocation, EXIT_CODE_FAILURE, "the server's answer is no JSON object");
    else if (invocation->options->json)
        buffer_append(&text, body->bytes, body->length);
    else
        cJSON_ArrayForEach(member, status) append_member(member, &text);
    cJSON_Delete(status);
    return exit_code ? exit_code : show(invocation, &text);
}

/* ---- help, exit ---- */

static int command_help(const struct invocation *invocation);

static int command_exit(const struct invocation *invocation)
{
    invocation->session->leaving = true;
    return EXIT_CODE_OK;
}

static const struct command table[] = {
    {"put", "KEY VALUE | KEY -x", "store a value", 1, 2, command_put, true},
    {"get", "KEY [--stale]", "print the value of a key", 1, 1, command_get, true},
    {"delete", "KEY", "remove a key, if it is there", 1, 1, command_delete, true},
    {"scan", "[PREFIX]", "list the keys that begin so (--limit N, --keys)", 0, 1, command_scan,
     true},
    {"watch", "[PREFIX]", "show changes of the keys that begin so, until Ctrl-C", 0, 1,
     command_watch, true},
    {"status", "", "what the node says about itself and its leader", 0, 0, command_status, false},
    {"members", "", "who belongs to the cluster", 0, 0, command_members, false},
    {"join", "ID ADDR", "add the node ID, whose raft address is ADDR, to the cluster", 2, 2,
     command_join, false},
    {"remove", "ID", "remove a node from the cluster", 1, 1, command_remove, false},
    {"transfer", "[ID]", "let another node lead", 0, 1, command_transfer, false},
    {"help", "[COMMAND]", "show this", 0, 1, command_help, false},
    {"exit", "", "leave", 0, 0, command_exit, false},
};

#define COMMANDS_COUNT (sizeof(table) / sizeof(*table))

const char *const *command_names(void)
{
    static const char *names[COMMANDS_COUNT + 1];
    for (size_t i = 0; i < COMMANDS_COUNT; i++)
        names[i] = table[i].name;
    return names;
}

static const struct command *command_find(const struct word *name)
{
    for (size_t i = 0; i < COMMANDS_COUNT; i++)
        if (word_is(name, table[i].name))
            return &table[i];
    return NULL;
}

bool command_takes_key(const struct word *name)
{
    const struct command *command = command_find(name);
    return command && command->takes_key;
}

static int fail_unknown(const struct invocation *invocation, const struct word *name)
{
    const char *near = config_suggest(name->bytes, command_names());
    return session_complain(
        invocation->session, NULL, EXIT_CODE_USAGE, "unknown command \"%.60s\"%s%s%s", name->bytes,
        near ? ": did you mean " : "", near ? near : "", near ? "?" : " (see help)");
}

static void append_usage(const struct command *command, struct buffer *into)
{
    char line[160];
    snprintf(line, sizeof(line), "  %-8s %-20s  %s\n", command->name, command->usage,
             command->help);
    display_append_text(into, line);
}

void command_append_help(struct buffer *into)
{
    for (size_t i = 0; i < COMMANDS_COUNT; i++)
        append_usage(&table[i], into);
    display_append_text(into,
                        "Keys and values may stand in '...' or \"...\"; in \"...\" and outside "
                        "of quotes\n\\xNN \\n \\r \\t \\\\ \\\" \\' and '\\ ' are bytes. "
                        "Options (see --help) may follow a command.\n");
}

static int command_help(const struct invocation *invocation)
{
    struct buffer text = {0};
    if (invocation->words_count == 1) {
        command_append_help(&text);
        return show(invocation, &text);
    }
    const struct command *command = command_find(&invocation->words[1]);
    if (!command)
        return fail_unknown(invocation, &invocation->words[1]);
    append_usage(command, &text);
    return show(invocation, &text);
}

static int run_timed(const struct command *command, const struct invocation *invocation)
{
    uint64_t began_us = clock_monotonic_us();
    int exit_code = command->fn(invocation);
    if (invocation->options->timing) {
        (void)fflush(stdout);
        fprintf(stderr, "%.3f ms\n", (double)(clock_monotonic_us() - began_us) / 1000);
    }
    return exit_code;
}

int command_run(const struct invocation *invocation)
{
    const struct command *command = command_find(&invocation->words[0]);
    unsigned operands = invocation->words_count - 1;
    if (!command)
        return fail_unknown(invocation, &invocation->words[0]);
    if (invocation->options->help) {
        struct buffer text = {0};
        append_usage(command, &text);
        return show(invocation, &text);
    }
    if (operands < command->operands_min || operands > command->operands_max)
        return session_complain(invocation->session, NULL, EXIT_CODE_USAGE, "usage: %s%s%s",
                                command->name, command->usage[0] ? " " : "", command->usage);
    return run_timed(command, invocation);
}
