#include "commands.h"

#include "script.h"

#include <stdlib.h>
#include <string.h>

#define WORDS_MAX 24u
#define DELIVERIES_MAX 10000u /* of one command: more would be a storm that never ends */

struct words {
    uint32_t count;
    char *word[WORDS_MAX];
};

/* ---- words ---- */

static bool number_of(const char *text, uint64_t *ret_number)
{
    char *end;
    *ret_number = strtoull(text, &end, 10);
    return end != text && !*end;
}

static struct actor *actor_of(struct stage *stage, const struct words *words, uint32_t place)
{
    uint64_t number;
    if (place >= words->count || !number_of(words->word[place], &number) || !number ||
        number > STAGE_NODES_MAX)
        return NULL;
    return &stage->actors[number];
}

static struct actor *running_of(struct stage *stage, const struct words *words, uint32_t place)
{
    struct actor *actor = actor_of(stage, words, place);
    return actor && actor->is_running ? actor : NULL;
}

/* The value of "name=value" among the words; NULL if it is not there. */
static const char *option_of(const struct words *words, const char *name)
{
    size_t bytes = strlen(name);
    for (uint32_t i = 0; i < words->count; i++)
        if (!strncmp(words->word[i], name, bytes) && words->word[i][bytes] == '=')
            return words->word[i] + bytes + 1;
    return NULL;
}

static bool has_word(const struct words *words, const char *word)
{
    for (uint32_t i = 1; i < words->count; i++)
        if (!strcmp(words->word[i], word))
            return true;
    return false;
}

/* "1,2,3-": the last is a learner. */
static bool members_of(const char *text, struct raft_configuration *ret_configuration)
{
    *ret_configuration = (struct raft_configuration){0};
    while (*text) {
        char *end;
        uint64_t number = strtoull(text, &end, 10);
        bool voter = *end != '-';
        end += !voter;
        if (end == text || !number || number > STAGE_NODES_MAX || (*end && *end != ','))
            return false;
        ret_configuration->members[ret_configuration->members_count++] =
            (struct raft_member){number, voter};
        text = *end ? end + 1 : end;
    }
    return ret_configuration->members_count > 0;
}

/* ---- nodes ---- */

static const char *on_nodes(struct stage *stage, const struct words *words)
{
    uint64_t count;
    struct raft_configuration first = {0};
    const char *members = option_of(words, "members");
    if (words->count < 2 || !number_of(words->word[1], &count) || !count || count > STAGE_NODES_MAX)
        return "nodes COUNT [members=1,2,3-]";
    for (uint32_t i = 0; i < count; i++)
        first.members[first.members_count++] = (struct raft_member){i + 1, true};
    if (members && !members_of(members, &first))
        return "members=1,2,3-";
    for (uint64_t i = 1; i <= count; i++) {
        struct actor *actor = &stage->actors[i];
        if (actor->is_running)
            return "there are nodes already";
        if (raft_is_voter(&first, i) || members)
            actor->disk.base_configuration = actor->checkpoint.configuration = first;
        stage_start(stage, actor);
    }
    return NULL;
}

/* The terms of a log's entries; each is a command named for its index and term: "3/2" is e3.2. */
static bool fill_log(struct stage *stage, struct actor *actor, const char *terms)
{
    while (*terms) {
        char *end, label[STAGE_LABEL_BYTES];
        struct model_entry entry = {.kind = RAFT_COMMAND, .term = strtoull(terms, &end, 10)};
        if (end == terms || (*end && *end != ','))
            return false;
        snprintf(label, sizeof(label), "e%llu.%llu",
                 (unsigned long long)model_log_last(&actor->disk) + 1,
                 (unsigned long long)entry.term);
        entry.value = stage_label(stage, label);
        model_log_append(&actor->disk, &entry);
        terms = *end ? end + 1 : end;
    }
    return true;
}

static const char *on_node(struct stage *stage, const struct words *words)
{
    struct actor *actor = actor_of(stage, words, 1);
    const char *members = option_of(words, "members"), *log = option_of(words, "log");
    const char *term = option_of(words, "term"), *commit = option_of(words, "commit");
    struct raft_configuration first = {0};
    uint64_t commit_index = 0;
    if (!actor || actor->is_running || (members && !members_of(members, &first)))
        return "node N [members=1,2,3-] [log=1,1,2] [term=T] [commit=INDEX]";
    actor->disk.base_configuration = actor->checkpoint.configuration = first;
    if (log && !fill_log(stage, actor, log))
        return "log=1,1,2: the terms of the entries";
    if (actor->disk.count)
        actor->hard_state.term = model_log_at(&actor->disk, actor->disk.count)->term;
    if (term && !number_of(term, &actor->hard_state.term))
        return "term=T";
    if (commit && (!number_of(commit, &commit_index) || commit_index > actor->disk.count))
        return "commit=INDEX: at most the last";
    for (uint64_t index = 1; index <= commit_index; index++)
        model_store_apply(&actor->checkpoint, index, model_log_at(&actor->disk, index));
    stage_start(stage, actor);
    return NULL;
}

static const char *on_crash(struct stage *stage, const struct words *words)
{
    struct actor *actor = running_of(stage, words, 1);
    if (!actor)
        return "crash N: of a node that runs";
    stage_crash(stage, actor);
    return NULL;
}

static const char *on_restart(struct stage *stage, const struct words *words)
{
    struct actor *actor = actor_of(stage, words, 1);
    if (!actor || actor->is_running)
        return "restart N: of a node that is down";
    stage_start(stage, actor);
    return NULL;
}

static const char *on_status(struct stage *stage, const struct words *words)
{
    for (uint32_t i = 1; i < words->count; i++) {
        struct actor *actor = actor_of(stage, words, i);
        if (!actor)
            return "status [N ...]";
        script_status(stage, actor);
    }
    for (uint32_t i = 1; words->count == 1 && i <= STAGE_NODES_MAX; i++)
        if (stage->actors[i].is_running)
            script_status(stage, &stage->actors[i]);
    return NULL;
}

/* ---- events ---- */

static const char *on_tick(struct stage *stage, const struct words *words)
{
    uint64_t elapsed_ms;
    if (words->count < 3 || !number_of(words->word[words->count - 1], &elapsed_ms))
        return "tick N ... MS";
    for (uint32_t i = 1; i + 1 < words->count; i++) {
        struct actor *actor = running_of(stage, words, i);
        if (!actor)
            return "tick N ... MS: of nodes that run";
        script_line(stage, "%llu waits %llu ms", (unsigned long long)actor->number,
                    (unsigned long long)elapsed_ms);
        stage_step(stage, actor,
                   (struct raft_event){.type = RAFT_ON_TICK, .elapsed_ms = elapsed_ms}, NULL, 0);
    }
    return NULL;
}

static const char *on_propose(struct stage *stage, const struct words *words)
{
    struct actor *actor = running_of(stage, words, 1);
    uint64_t first = stage->labels_count + 1u;
    if (!actor || words->count < 3)
        return "propose N NAME ...";
    for (uint32_t i = 2; i < words->count; i++)
        if (stage_label(stage, words->word[i]) != first + i - 2)
            return "propose N NAME ...: each name is new";
    script_line(stage, "%llu is asked to propose", (unsigned long long)actor->number);
    stage_step(stage, actor,
               (struct raft_event){.type = RAFT_ON_PROPOSE, .count = words->count - 2}, NULL,
               first);
    return NULL;
}

static const char *on_read(struct stage *stage, const struct words *words)
{
    struct actor *actor = running_of(stage, words, 1);
    if (!actor || words->count < 3)
        return "read N NAME ...";
    for (uint32_t i = 2; i < words->count; i++) {
        uint64_t read = stage_label(stage, words->word[i]);
        if (!read)
            return "read N NAME ...: too many names, or too long";
        script_line(stage, "%llu is asked to read", (unsigned long long)actor->number);
        stage_step(stage, actor, (struct raft_event){.type = RAFT_ON_READ, .read = read}, NULL, 0);
    }
    return NULL;
}

static const char *on_members(struct stage *stage, const struct words *words)
{
    struct actor *actor = running_of(stage, words, 1);
    struct raft_configuration wanted;
    if (!actor || words->count != 3 || !members_of(words->word[2], &wanted))
        return "members N 1,2,3-";
    script_line(stage, "%llu is asked to change members", (unsigned long long)actor->number);
    stage_step(stage, actor,
               (struct raft_event){.type = RAFT_ON_PROPOSE_MEMBERS, .configuration = &wanted}, NULL,
               0);
    return NULL;
}

static const char *of_a_member(struct stage *stage, const struct words *words,
                               enum raft_event_type type, const char *what, const char *usage)
{
    struct actor *actor = running_of(stage, words, 1), *member = actor_of(stage, words, 2);
    if (!actor || !member)
        return usage;
    script_line(stage, "%llu %s %llu", (unsigned long long)actor->number, what,
                (unsigned long long)member->number);
    stage_step(stage, actor, (struct raft_event){.type = type, .member = member->number}, NULL, 0);
    return NULL;
}

static const char *on_transfer(struct stage *stage, const struct words *words)
{
    return of_a_member(stage, words, RAFT_ON_TRANSFER, "is asked to hand over to",
                       "transfer FROM TO");
}

static const char *on_unreachable(struct stage *stage, const struct words *words)
{
    return of_a_member(stage, words, RAFT_ON_UNREACHABLE, "lost the connection to",
                       "unreachable FROM TO");
}

/* ---- disks and snapshots ---- */

static const char *on_disk(struct stage *stage, const struct words *words)
{
    struct actor *actor = actor_of(stage, words, 1);
    if (!actor || words->count != 3 || (!has_word(words, "slow") && !has_word(words, "quick")))
        return "disk N slow|quick";
    actor->disk_is_slow = has_word(words, "slow");
    return NULL;
}

/* Decides how long it waits for a leader: 1000 ms and so many (the next time it begins to wait). */
static const char *on_chance(struct stage *stage, const struct words *words)
{
    struct actor *actor = actor_of(stage, words, 1);
    if (!actor || words->count != 3 || !number_of(words->word[2], &actor->chance))
        return "chance N NUMBER";
    return NULL;
}

static const char *on_persist(struct stage *stage, const struct words *words)
{
    struct actor *actor = running_of(stage, words, 1);
    uint64_t index = actor ? model_log_last(&actor->log) : 0;
    if (!actor || (words->count > 2 && !number_of(words->word[2], &index)) ||
        index > model_log_last(&actor->log))
        return "persist N [INDEX]";
    script_line(stage, "%llu persists %llu", (unsigned long long)actor->number,
                (unsigned long long)index);
    stage_persist(stage, actor, index);
    return NULL;
}

/* Only the word of it: a write that ended late. */
static const char *on_persisted(struct stage *stage, const struct words *words)
{
    struct actor *actor = running_of(stage, words, 1);
    struct raft_event event = {.type = RAFT_ON_PERSISTED};
    if (!actor || words->count != 4 || !number_of(words->word[2], &event.index) ||
        !number_of(words->word[3], &event.term))
        return "persisted N INDEX TERM";
    script_line(stage, "%llu: a write up to %llu/%llu has ended", (unsigned long long)actor->number,
                (unsigned long long)event.index, (unsigned long long)event.term);
    stage_step(stage, actor, event, NULL, 0);
    return NULL;
}

static const char *on_cut(struct stage *stage, const struct words *words)
{
    struct actor *actor = running_of(stage, words, 1);
    uint64_t index;
    if (!actor || words->count != 3 || !number_of(words->word[2], &index) ||
        index > actor->store.applied_index || index > model_log_last(&actor->disk) ||
        index <= actor->log.base_index)
        return "cut N INDEX: applied, and not cut yet";
    stage_cut(stage, actor, index);
    return NULL;
}

static const char *on_sent(struct stage *stage, const struct words *words)
{
    struct actor *actor = running_of(stage, words, 1), *member = actor_of(stage, words, 2);
    if (!actor || !member || words->count != 4 || !actor->stream_is_open[member->number])
        return "sent FROM TO ok|failed: of a snapshot under way";
    script_line(stage, "%llu: the stream to %llu has ended (%s)", (unsigned long long)actor->number,
                (unsigned long long)member->number, words->word[3]);
    stage_end_stream(stage, actor, member->number, has_word(words, "ok"));
    return NULL;
}

/* ---- messages ---- */

struct pattern {
    uint64_t from, to;           /* 0: any */
    enum raft_message_type type; /* 0: any */
};

/* "1->2", "*->2", "APPEND"; other words are left alone. */
static struct pattern pattern_of(const struct words *words)
{
    struct pattern pattern = {0};
    for (uint32_t i = 1; i < words->count; i++) {
        const char *arrow = strstr(words->word[i], "->");
        if (!pattern.type)
            pattern.type = script_message_type_of(words->word[i]);
        if (arrow) {
            pattern.from = strtoull(words->word[i], NULL, 10);
            pattern.to = strtoull(arrow + 2, NULL, 10);
        }
    }
    return pattern;
}

static bool fits(const struct pattern *pattern, const struct raft_message *message)
{
    return (!pattern->from || pattern->from == message->from) &&
           (!pattern->to || pattern->to == message->to) &&
           (!pattern->type || pattern->type == message->type);
}

/* With a pattern: what fits it and lies there now, in the order of sending. Without: everything,
 * and what comes of it, until nothing is on its way. */
static const char *on_deliver(struct stage *stage, const struct words *words)
{
    struct pattern pattern = pattern_of(words);
    bool keep = has_word(words, "keep"), first = has_word(words, "first");
    bool to_the_end = words->count == 1;
    uint32_t left = stage->flights_count, place = 0, delivered = 0;
    while (to_the_end ? place < stage->flights_count : left-- > 0) {
        if (!fits(&pattern, &stage->flights[place]->message)) {
            place++;
            continue;
        }
        stage_deliver(stage, place, keep);
        place += keep;
        if (++delivered > DELIVERIES_MAX)
            return "the messages never end";
        if (first)
            break;
    }
    return delivered || to_the_end ? NULL : "there is no such message";
}

static const char *on_drop(struct stage *stage, const struct words *words)
{
    struct pattern pattern = pattern_of(words);
    uint32_t place = 0, dropped = 0;
    while (place < stage->flights_count) {
        if (!fits(&pattern, &stage->flights[place]->message)) {
            place++;
            continue;
        }
        stage_drop(stage, place);
        dropped++;
    }
    return dropped || words->count == 1 ? NULL : "there is no such message";
}

static const char *on_flights(struct stage *stage, const struct words *words)
{
    (void)words;
    for (uint32_t i = 0; i < stage->flights_count; i++)
        script_flight(stage, "", stage->flights[i], "");
    return NULL;
}

static const char *on_apart(struct stage *stage, const struct words *words)
{
    bool is_aside[STAGE_NODES_MAX + 1] = {false};
    for (uint32_t i = 1; i < words->count; i++) {
        struct actor *actor = actor_of(stage, words, i);
        if (!actor)
            return "apart N ...";
        is_aside[actor->number] = true;
    }
    for (uint32_t i = 1; i <= STAGE_NODES_MAX; i++)
        for (uint32_t j = 1; j <= STAGE_NODES_MAX; j++)
            stage->is_apart[i][j] = is_aside[i] != is_aside[j];
    return NULL;
}

static const char *on_batch(struct stage *stage, const struct words *words)
{
    uint64_t count;
    if (words->count != 2 || !number_of(words->word[1], &count) || !count ||
        count > STAGE_ENTRIES_MAX)
        return "batch COUNT: entries of an APPEND";
    stage->entries_max = (uint32_t)count;
    return NULL;
}

static const struct {
    const char *name;
    const char *(*run)(struct stage *stage, const struct words *words);
} commands[] = {
    {"nodes", on_nodes},
    {"node", on_node},
    {"crash", on_crash},
    {"restart", on_restart},
    {"status", on_status},
    {"tick", on_tick},
    {"propose", on_propose},
    {"read", on_read},
    {"members", on_members},
    {"transfer", on_transfer},
    {"unreachable", on_unreachable},
    {"disk", on_disk},
    {"persist", on_persist},
    {"cut", on_cut},
    {"sent", on_sent},
    {"deliver", on_deliver},
    {"drop", on_drop},
    {"flights", on_flights},
    {"apart", on_apart},
    {"heal", on_apart},
    {"persisted", on_persisted},
    {"batch", on_batch},
    {"chance", on_chance},
};

static const char *run_words(struct stage *stage, const struct words *words)
{
    for (uint32_t i = 0; i < sizeof(commands) / sizeof(*commands); i++)
        if (!strcmp(commands[i].name, words->word[0]))
            return commands[i].run(stage, words);
    return "there is no such command";
}

const char *command_run(struct stage *stage, const char *line)
{
    char copy[512], *rest = copy, *word;
    struct words words = {0};
    FILE *out = stage->out;
    if (strlen(line) >= sizeof(copy))
        return "the line is too long";
    strcpy(copy, line);
    while ((word = strsep(&rest, " ")) != NULL) {
        if (!*word)
            continue;
        if (words.count == WORDS_MAX)
            return "too many words";
        if (words.count == 0 && stage->out && !strcmp(word, "quiet"))
            stage->out = NULL;
        else
            words.word[words.count++] = word;
    }
    const char *problem = words.count ? run_words(stage, &words) : "there is no command";
    stage->out = out;
    return problem;
}
