#include "script.h"

#include <assert.h>
#include <stdarg.h>
#include <string.h>

void script_line(const struct stage *stage, const char *format, ...)
{
    va_list arguments;
    if (!stage->out)
        return;
    va_start(arguments, format);
    vfprintf(stage->out, format, arguments);
    va_end(arguments);
    fputc('\n', stage->out);
}

static const char *const types[] = {
    [RAFT_PREVOTE] = "PREVOTE",     [RAFT_PREVOTE_REPLY] = "PREVOTE_REPLY",
    [RAFT_VOTE] = "VOTE",           [RAFT_VOTE_REPLY] = "VOTE_REPLY",
    [RAFT_APPEND] = "APPEND",       [RAFT_APPEND_REPLY] = "APPEND_REPLY",
    [RAFT_HEARTBEAT] = "HEARTBEAT", [RAFT_HEARTBEAT_REPLY] = "HEARTBEAT_REPLY",
    [RAFT_SNAPSHOT] = "SNAPSHOT",   [RAFT_TIMEOUT_NOW] = "TIMEOUT_NOW",
};

const char *script_message_type(enum raft_message_type type)
{
    return types[type];
}

enum raft_message_type script_message_type_of(const char *name)
{
    for (unsigned i = RAFT_PREVOTE; i <= RAFT_TIMEOUT_NOW; i++)
        if (!strcmp(types[i], name))
            return (enum raft_message_type)i;
    return 0;
}

const char *script_outcome(enum raft_outcome outcome)
{
    static const char *const names[] = {
        [RAFT_DONE] = "done", [RAFT_NOT_LEADER] = "not the leader", [RAFT_NOT_READY] = "not ready",
        [RAFT_BUSY] = "busy", [RAFT_REFUSED] = "refused",           [RAFT_IGNORED] = "ignored",
    };
    return names[outcome];
}

static void members_print(FILE *out, const struct raft_configuration *configuration)
{
    fputc('{', out);
    for (uint32_t i = 0; i < configuration->members_count; i++)
        fprintf(out, "%s%llu%s", i ? " " : "", (unsigned long long)configuration->members[i].number,
                configuration->members[i].voter ? "" : "-");
    fputc('}', out);
}

static void entry_print(const struct stage *stage, uint64_t index, const struct model_entry *entry)
{
    fprintf(stage->out, "%llu/%llu", (unsigned long long)index, (unsigned long long)entry->term);
    if (entry->kind == RAFT_COMMAND)
        fprintf(stage->out, " %s", stage->labels[entry->value]);
    else if (entry->kind == RAFT_NOOP)
        fprintf(stage->out, " no-op");
    else {
        fputc(' ', stage->out);
        members_print(stage->out, entry->configuration);
    }
}

static void entries_print(const struct stage *stage, uint64_t first_index,
                          const struct model_entry *entries, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        fputs(i ? ", " : "", stage->out);
        entry_print(stage, first_index + i, &entries[i]);
    }
}

void script_entries(const struct stage *stage, const char *what, uint64_t first_index,
                    const struct model_entry *entries, uint32_t count)
{
    if (!stage->out)
        return;
    fprintf(stage->out, "  %s ", what);
    entries_print(stage, first_index, entries, count);
    fputc('\n', stage->out);
}

void script_configuration(const struct stage *stage, const char *what,
                          const struct raft_configuration *configuration)
{
    if (!stage->out)
        return;
    fprintf(stage->out, "  %s ", what);
    members_print(stage->out, configuration);
    fprintf(stage->out, " of %llu\n", (unsigned long long)configuration->index);
}

/* ---- messages ---- */

typedef void body_printer(const struct stage *stage, const struct flight *flight);

static void print_log_end(const struct stage *stage, const struct flight *flight)
{
    const struct raft_message *message = &flight->message;
    fprintf(stage->out, " last %llu/%llu%s", (unsigned long long)message->index,
            (unsigned long long)message->log_term, message->transfer ? " for a transfer" : "");
}

static void print_ok(const struct stage *stage, const struct flight *flight)
{
    fputs(flight->message.ok ? " yes" : " no", stage->out);
}

static void print_append(const struct stage *stage, const struct flight *flight)
{
    const struct raft_message *message = &flight->message;
    fprintf(stage->out, " after %llu/%llu", (unsigned long long)message->index,
            (unsigned long long)message->log_term);
    fputs(message->count ? ": " : "", stage->out);
    entries_print(stage, message->index + 1, flight->entries, message->count);
    fprintf(stage->out, "; commit %llu", (unsigned long long)message->commit);
}

static void print_append_reply(const struct stage *stage, const struct flight *flight)
{
    const struct raft_message *message = &flight->message;
    if (message->ok)
        fprintf(stage->out, " has %llu", (unsigned long long)message->index);
    else if (message->rejected)
        fprintf(stage->out, " not after %llu, try %llu/%llu", (unsigned long long)message->rejected,
                (unsigned long long)message->index, (unsigned long long)message->log_term);
    else
        fputs(" no", stage->out);
}

static void print_heartbeat(const struct stage *stage, const struct flight *flight)
{
    fprintf(stage->out, " commit %llu round %llu", (unsigned long long)flight->message.commit,
            (unsigned long long)flight->message.round);
}

static void print_heartbeat_reply(const struct stage *stage, const struct flight *flight)
{
    fprintf(stage->out, " round %llu verified %llu", (unsigned long long)flight->message.round,
            (unsigned long long)flight->message.index);
}

static void print_snapshot(const struct stage *stage, const struct flight *flight)
{
    fprintf(stage->out, " of %llu/%llu ", (unsigned long long)flight->message.index,
            (unsigned long long)flight->message.log_term);
    members_print(stage->out, &flight->store.configuration);
}

static void print_nothing(const struct stage *stage, const struct flight *flight)
{
    (void)stage;
    (void)flight;
}

void script_flight(const struct stage *stage, const char *before, const struct flight *flight,
                   const char *after)
{
    static body_printer *const bodies[] = {
        [RAFT_PREVOTE] = print_log_end,     [RAFT_PREVOTE_REPLY] = print_ok,
        [RAFT_VOTE] = print_log_end,        [RAFT_VOTE_REPLY] = print_ok,
        [RAFT_APPEND] = print_append,       [RAFT_APPEND_REPLY] = print_append_reply,
        [RAFT_HEARTBEAT] = print_heartbeat, [RAFT_HEARTBEAT_REPLY] = print_heartbeat_reply,
        [RAFT_SNAPSHOT] = print_snapshot,   [RAFT_TIMEOUT_NOW] = print_nothing,
    };
    const struct raft_message *message = &flight->message;
    if (!stage->out)
        return;
    fprintf(stage->out, "%s%llu -> %llu %s term %llu", before, (unsigned long long)message->from,
            (unsigned long long)message->to, types[message->type],
            (unsigned long long)message->term);
    bodies[message->type](stage, flight);
    fprintf(stage->out, "%s\n", after);
}

/* ---- nodes ---- */

static const char *const roles[] = {
    [RAFT_FOLLOWER] = "follower",
    [RAFT_CANDIDATE] = "candidate",
    [RAFT_LEADER] = "leader",
    [RAFT_PRE_CANDIDATE] = "pre-candidate",
};

static void role_print(FILE *out, const struct raft *raft)
{
    fputs(roles[raft->role], out);
    if (raft->role == RAFT_FOLLOWER && raft->leader)
        fprintf(out, " of %llu", (unsigned long long)raft->leader);
    fprintf(out, " in term %llu", (unsigned long long)raft->hard_state.term);
}

void script_role(const struct stage *stage, const struct raft *raft)
{
    if (!stage->out)
        return;
    fputs("  ", stage->out);
    role_print(stage->out, raft);
    fputc('\n', stage->out);
}

void script_status(const struct stage *stage, const struct actor *actor)
{
    const struct raft *raft = &actor->raft;
    if (!stage->out)
        return;
    if (!actor->is_running) {
        script_line(stage, "%llu is down", (unsigned long long)actor->number);
        return;
    }
    fprintf(stage->out, "%llu ", (unsigned long long)actor->number);
    role_print(stage->out, raft);
    fprintf(stage->out, " vote %llu persisted %llu commit %llu applied %llu ",
            (unsigned long long)raft->hard_state.vote, (unsigned long long)raft->persisted_index,
            (unsigned long long)raft->commit_index, (unsigned long long)actor->store.applied_index);
    members_print(stage->out, &raft->configuration);
    fputs(actor->log.count || actor->log.base_index ? " log " : " log empty", stage->out);
    if (actor->log.base_index)
        fprintf(stage->out, "(%llu/%llu)%s", (unsigned long long)actor->log.base_index,
                (unsigned long long)actor->log.base_term, actor->log.count ? " " : "");
    entries_print(stage, actor->log.base_index + 1, actor->log.entries, (uint32_t)actor->log.count);
    fputc('\n', stage->out);
}
