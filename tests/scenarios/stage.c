#include "stage.h"

#include "script.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define ELECTION_MS 1000u
#define HEARTBEAT_MS 100u
#define DISK_MS 4000u

void stage_init(struct stage *stage)
{
    *stage = (struct stage){.entries_max = STAGE_ENTRIES_MAX};
    for (uint64_t i = 0; i <= STAGE_NODES_MAX; i++)
        stage->actors[i].number = i;
}

void stage_free(struct stage *stage)
{
    while (stage->flights_count)
        free(stage->flights[--stage->flights_count]);
    while (stage->configurations_count)
        free(stage->configurations[--stage->configurations_count]);
    for (uint32_t i = 0; i <= STAGE_NODES_MAX; i++) {
        model_log_free(&stage->actors[i].log);
        model_log_free(&stage->actors[i].disk);
    }
}

uint64_t stage_label(struct stage *stage, const char *text)
{
    for (uint32_t i = 1; i <= stage->labels_count; i++)
        if (!strcmp(stage->labels[i], text))
            return i;
    if (stage->labels_count + 1 == STAGE_LABELS_MAX || strlen(text) >= STAGE_LABEL_BYTES)
        return 0;
    strcpy(stage->labels[++stage->labels_count], text);
    return stage->labels_count;
}

const struct raft_configuration *stage_keep(struct stage *stage,
                                            const struct raft_configuration *one)
{
    struct raft_configuration *copy = malloc(sizeof(*copy));
    assert(copy && stage->configurations_count < STAGE_LABELS_MAX);
    *copy = *one;
    stage->configurations[stage->configurations_count++] = copy;
    return copy;
}

/* ---- messages ---- */

static void send_flight(struct stage *stage, const struct flight *flight)
{
    uint64_t from = flight->message.from, to = flight->message.to;
    bool is_lost = stage->is_apart[from][to];
    assert(to <= STAGE_NODES_MAX);
    script_flight(stage, "  ", flight, is_lost ? " (lost)" : "");
    if (is_lost)
        return;
    struct flight *copy = malloc(sizeof(*copy));
    assert(copy && stage->flights_count < STAGE_FLIGHTS_MAX);
    *copy = *flight;
    stage->flights[stage->flights_count++] = copy;
}

static void send_message(struct stage *stage, const struct raft_message *message)
{
    struct flight *flight = calloc(1, sizeof(*flight));
    assert(flight);
    flight->message = *message;
    send_flight(stage, flight);
    free(flight);
}

static struct flight *take(struct stage *stage, uint32_t place)
{
    struct flight *flight = stage->flights[place];
    memmove(stage->flights + place, stage->flights + place + 1,
            (--stage->flights_count - place) * sizeof(*stage->flights));
    return flight;
}

void stage_drop(struct stage *stage, uint32_t place)
{
    struct flight *flight = take(stage, place);
    script_flight(stage, "", flight, " (dropped)");
    free(flight);
}

/* ---- updates, in the order of raft.h ---- */

static void append(struct stage *stage, struct actor *actor, const struct raft_update *update,
                   const struct flight *flight, uint64_t label)
{
    const struct raft_append *what = &update->append;
    uint64_t last_index = what->first_index + what->count - 1;
    if (update->truncate_from) {
        script_line(stage, "  truncates from %llu", (unsigned long long)update->truncate_from);
        model_log_truncate(&actor->log, update->truncate_from);
    }
    for (uint32_t i = 0; i < what->count; i++) {
        struct model_entry entry = {.term = what->term, .kind = what->kind};
        if (!what->term)
            entry = flight->entries[what->skip + i];
        else if (what->kind == RAFT_COMMAND)
            entry.value = label + i;
        else if (what->kind == RAFT_CONFIGURATION)
            entry.configuration = stage_keep(stage, &actor->raft.configuration);
        model_log_append(&actor->log, &entry);
    }
    if (what->count)
        script_entries(stage, "appends", what->first_index,
                       model_log_at(&actor->log, last_index) - (what->count - 1), what->count);
}

static void apply(struct stage *stage, struct actor *actor, uint64_t apply_index)
{
    uint64_t first = actor->store.applied_index + 1;
    if (apply_index < first)
        return;
    for (uint64_t index = first; index <= apply_index; index++)
        model_store_apply(&actor->store, index, model_log_at(&actor->log, index));
    script_entries(stage, "applies", first, model_log_at(&actor->log, first),
                   (uint32_t)(apply_index - first + 1));
}

static void carry_out(struct stage *stage, struct actor *actor, uint64_t commit_before,
                      const struct flight *flight, uint64_t label)
{
    const struct raft_update update = stage->update;
    const struct raft *raft = &actor->raft;
    if (update.outcome != RAFT_DONE)
        script_line(stage, "  %s", script_outcome(update.outcome));
    if (update.role_changed)
        script_role(stage, raft);
    if (update.hard_state_changed) {
        script_line(stage, "  durable: term %llu vote %llu",
                    (unsigned long long)raft->hard_state.term,
                    (unsigned long long)raft->hard_state.vote);
        actor->hard_state = raft->hard_state;
    }
    if (update.append.count || update.truncate_from)
        append(stage, actor, &update, flight, label);
    if (update.configuration_changed)
        script_configuration(stage, "configuration", &raft->configuration);
    for (uint32_t i = 0; i < update.messages_count; i++)
        send_message(stage, &update.messages[i]);
    if (raft->commit_index > commit_before)
        script_line(stage, "  commits %llu", (unsigned long long)raft->commit_index);
    apply(stage, actor, update.apply_index);
    for (uint32_t i = 0; i < update.reads_count; i++)
        script_line(stage, "  read %s at %llu", stage->labels[update.reads[i]],
                    (unsigned long long)update.read_index);
}

static void step_only(struct stage *stage, struct actor *actor, struct raft_event event,
                      const struct flight *flight, uint64_t label)
{
    uint64_t commit_before = actor->raft.commit_index;
    event.random = actor->chance;
    raft_step(&actor->raft, &event, &stage->update);
    carry_out(stage, actor, commit_before, flight, label);
}

/* ---- what a leader has for its members ---- */

static void open_stream(struct stage *stage, struct actor *actor, uint64_t member)
{
    if (actor->stream_is_open[member])
        return;
    struct flight *flight = calloc(1, sizeof(*flight));
    assert(flight);
    flight->message = (struct raft_message){.type = RAFT_SNAPSHOT,
                                            .from = actor->number,
                                            .to = member,
                                            .term = actor->raft.hard_state.term,
                                            .index = actor->store.applied_index,
                                            .log_term = actor->store.applied_term};
    flight->store = actor->store;
    actor->stream_is_open[member] = true;
    actor->stream_index[member] = actor->store.applied_index;
    send_flight(stage, flight);
    free(flight);
}

static void send_entries(struct stage *stage, struct actor *actor, struct raft_message *message)
{
    struct flight *flight = calloc(1, sizeof(*flight));
    assert(flight);
    if (message->count > stage->entries_max)
        message->count = stage->entries_max;
    flight->message = *message;
    for (uint32_t i = 0; i < message->count; i++)
        flight->entries[i] = *model_log_at(&actor->log, message->index + 1 + i);
    send_flight(stage, flight);
    free(flight);
    step_only(
        stage, actor,
        (struct raft_event){.type = RAFT_ON_SENT, .member = message->to, .count = message->count},
        NULL, 0);
}

static void replicate(struct stage *stage, struct actor *actor)
{
    for (uint32_t i = 0; i < actor->raft.configuration.members_count; i++) {
        uint64_t member = actor->raft.configuration.members[i].number;
        struct raft_message message;
        enum raft_want want;
        while ((want = raft_wants(&actor->raft, member, &message)) == RAFT_WANT_ENTRIES)
            send_entries(stage, actor, &message);
        if (want == RAFT_WANT_SNAPSHOT)
            open_stream(stage, actor, member);
    }
}

/* ---- disks ---- */

void stage_persist(struct stage *stage, struct actor *actor, uint64_t index)
{
    struct model_log *disk = &actor->disk;
    uint64_t same = disk->base_index;
    while (same < index && same < model_log_last(disk) &&
           model_log_at(disk, same + 1)->term == model_log_at(&actor->log, same + 1)->term)
        same++;
    if (same < model_log_last(disk))
        model_log_truncate(disk, same + 1);
    for (uint64_t i = same + 1; i <= index; i++)
        model_log_append(disk, model_log_at(&actor->log, i));
    stage_step(stage, actor,
               (struct raft_event){.type = RAFT_ON_PERSISTED,
                                   .index = index,
                                   .term = terms_at(&actor->raft.terms, index)},
               NULL, 0);
}

void stage_step(struct stage *stage, struct actor *actor, struct raft_event event,
                const struct flight *flight, uint64_t label)
{
    enum raft_outcome outcome;
    step_only(stage, actor, event, flight, label);
    outcome = stage->update.outcome;
    replicate(stage, actor);
    if (!actor->disk_is_slow && actor->raft.persisted_index < actor->raft.terms.last_index) {
        script_line(stage, "  persists %llu", (unsigned long long)actor->raft.terms.last_index);
        stage_persist(stage, actor, actor->raft.terms.last_index);
    }
    stage->update.outcome = outcome;
}

void stage_cut(struct stage *stage, struct actor *actor, uint64_t index)
{
    struct raft_configuration base = *model_log_configuration(&actor->log, index);
    actor->checkpoint = actor->store;
    model_log_cut(&actor->log, index, &base);
    model_log_cut(&actor->disk, index, &base);
    stage_step(stage, actor, (struct raft_event){.type = RAFT_ON_CUT, .index = index}, NULL, 0);
}

void stage_end_stream(struct stage *stage, struct actor *actor, uint64_t member, bool ok)
{
    actor->stream_is_open[member] = false;
    stage_step(stage, actor,
               (struct raft_event){.type = RAFT_ON_SNAPSHOT_SENT,
                                   .member = member,
                                   .index = actor->stream_index[member],
                                   .ok = ok},
               NULL, 0);
}

static void install(struct stage *stage, struct actor *actor, const struct model_store *store)
{
    if (!raft_takes_snapshot(&actor->raft, store->applied_index, store->applied_term)) {
        script_line(stage, "  does not want the snapshot");
        return;
    }
    script_line(stage, "  installs %llu/%llu", (unsigned long long)store->applied_index,
                (unsigned long long)store->applied_term);
    actor->checkpoint = actor->store = *store;
    model_log_reset(&actor->log, store->applied_index, store->applied_term, &store->configuration);
    model_log_reset(&actor->disk, store->applied_index, store->applied_term, &store->configuration);
    stage_step(stage, actor,
               (struct raft_event){.type = RAFT_ON_INSTALLED,
                                   .index = store->applied_index,
                                   .term = store->applied_term,
                                   .configuration = &store->configuration},
               NULL, 0);
}

void stage_deliver(struct stage *stage, uint32_t place, bool keep)
{
    struct flight flight = *stage->flights[place];
    struct actor *actor = &stage->actors[flight.message.to];
    struct raft_entry entries[STAGE_ENTRIES_MAX];
    if (!keep)
        free(take(stage, place));
    script_flight(stage, "", &flight, actor->is_running ? "" : " (nobody there)");
    if (!actor->is_running)
        return;
    for (uint32_t i = 0; i < flight.message.count; i++)
        entries[i] = (struct raft_entry){flight.entries[i].term, flight.entries[i].configuration};
    stage_step(stage, actor,
               (struct raft_event){
                   .type = RAFT_ON_MESSAGE, .message = &flight.message, .entries = entries},
               &flight, 0);
    if (flight.message.type == RAFT_SNAPSHOT && stage->update.outcome == RAFT_DONE)
        install(stage, actor, &flight.store);
}

/* ---- life ---- */

void stage_start(struct stage *stage, struct actor *actor)
{
    struct raft_start begin = {
        .self = actor->number,
        .timing = {ELECTION_MS, HEARTBEAT_MS, DISK_MS},
        .hard_state = actor->hard_state,
        .commit_index = actor->checkpoint.applied_index,
        .random = actor->chance,
    };
    const struct model_log *log = &actor->log;
    assert(!actor->is_running);
    actor->is_running = true;
    actor->store = actor->checkpoint;
    model_log_copy(&actor->log, &actor->disk);
    terms_reset(&begin.terms, log->base_index, log->base_term);
    for (uint64_t index = log->base_index + 1; index <= model_log_last(log); index++)
        terms_append(&begin.terms, model_log_at(log, index)->term, 1);
    begin.configuration = *model_log_configuration(log, model_log_last(log));
    uint64_t before = begin.configuration.index ? begin.configuration.index - 1 : 0;
    begin.configuration_before = before && before >= log->base_index
                                     ? *model_log_configuration(log, before)
                                     : begin.configuration;
    raft_init(&actor->raft, &begin);
    memset(actor->stream_is_open, 0, sizeof(actor->stream_is_open));
    script_status(stage, actor);
}

void stage_crash(struct stage *stage, struct actor *actor)
{
    actor->is_running = false;
    script_status(stage, actor);
}
