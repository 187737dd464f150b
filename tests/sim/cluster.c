#include "cluster.h"

#include "chance.h"
#include "history.h"
#include "model.h"
#include "quorum.h"

#include <assert.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NODES 7u
#define CLIENTS 8u
#define TICK_MS 20u
#define ENTRIES_OF_A_MESSAGE_MAX 8u
#define WAITING_MAX 64u
#define FAULTS_MAX 16u
#define REST_MS_MAX 60000u /* virtual time to come to rest in, after everything healed */

/* ---- what happens ---- */

enum happening_kind {
    TICK,
    DELIVERY,
    DISK_DONE,
    CLIENT_TURN,
    CLIENT_REQUEST,
    CLIENT_ANSWER,
    STREAM_END,
    FAULT,
};

struct packet {
    struct raft_message message;
    struct model_entry entries[ENTRIES_OF_A_MESSAGE_MAX];
    struct model_store store; /* of a SNAPSHOT */
};

struct happening {
    uint64_t at_ms, order;
    enum happening_kind kind;
    uint32_t node;        /* its place */
    uint64_t incarnation; /* 0: any */
    uint32_t client, operation;
    uint64_t value, index;
    uint32_t outcome;
    uint32_t peer;
    struct packet *packet;
};

/* ---- nodes ---- */

struct disk_job {
    uint64_t truncate_from; /* 0: none */
    uint64_t first_index;
    uint32_t count;
    struct model_entry *entries;
};

struct waiting {
    uint32_t client, operation;
    uint64_t id; /* a put's index, a read's name */
    uint64_t term;
    uint64_t index; /* of a read, 0: not known yet */
    bool used;
};

struct node {
    uint64_t number;
    bool is_running, is_paused, is_disk_stalled;
    uint64_t incarnation;
    uint64_t crash_in; /* steps until it crashes in the middle of something; 0: never */

    /* on disk */
    struct raft_hard_state hard_state;
    struct model_log disk;
    struct model_store checkpoint;
    uint64_t voted_term, voted_for; /* what it ever told others, for the checks */

    /* in memory */
    struct raft raft;
    struct model_log log;
    struct model_store store;
    struct disk_job jobs[512];
    uint32_t jobs_first, jobs_count;
    bool disk_is_busy;
    struct waiting puts[WAITING_MAX], reads[WAITING_MAX];
    bool stream_is_open[NODES];
};

struct client {
    bool is_busy;
    uint32_t operation;
    uint32_t favourite;
    uint64_t turn; /* requests are numbered: a late answer is not for the next */
};

struct cluster {
    struct chance chance;
    uint64_t now_ms, order;
    struct happening *heap;
    uint32_t heap_count, heap_capacity;
    struct node nodes[NODES];
    uint64_t names;
    bool is_cut[NODES][NODES];
    unsigned loss, duplication; /* per mille */
    uint64_t fault_pause_ms_max;
    uint32_t entries_of_a_message_max;
    unsigned weights[FAULTS_MAX];
    uint64_t delay_ms_max;
    bool is_resting;
    struct client clients[CLIENTS];
    struct history history;
    uint64_t values;
    struct raft_update update;

    /* what is known to be committed, for the checks */
    struct model_log committed;
    uint64_t *committed_hashes;
    uint64_t hashes_capacity;
    struct {
        uint64_t term, leader;
    } * leaders;
    uint32_t leaders_count, leaders_capacity;
    struct raft_configuration **configurations; /* owned */
    uint32_t configurations_count;

    struct cluster_result *result;
    int is_verbose;
    jmp_buf escape; /* a violation ends the run; a crash ends the node's step */
    jmp_buf crash;
    struct node *crashing;
};

static void violate(struct cluster *cluster, const char *format, ...)
    __attribute__((noreturn, format(printf, 2, 3)));

static void violate(struct cluster *cluster, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(cluster->result->violation, sizeof(cluster->result->violation), format, arguments);
    va_end(arguments);
    longjmp(cluster->escape, 1);
}

static void trace(struct cluster *cluster, uint64_t word)
{
    uint64_t hash = (cluster->result->trace ^ word) * 0x9e3779b97f4a7c15u;
    cluster->result->trace = hash ^ hash >> 31;
}

/* ---- the queue of happenings ---- */

static bool is_before(const struct happening *a, const struct happening *b)
{
    return a->at_ms != b->at_ms ? a->at_ms < b->at_ms : a->order < b->order;
}

static void schedule(struct cluster *cluster, uint64_t in_ms, struct happening happening)
{
    happening.at_ms = cluster->now_ms + in_ms;
    happening.order = ++cluster->order;
    if (cluster->heap_count == cluster->heap_capacity) {
        cluster->heap_capacity = cluster->heap_capacity ? cluster->heap_capacity * 2 : 1024;
        cluster->heap = realloc(cluster->heap, cluster->heap_capacity * sizeof(*cluster->heap));
        assert(cluster->heap);
    }
    uint32_t at = cluster->heap_count++;
    while (at && is_before(&happening, &cluster->heap[(at - 1) / 2])) {
        cluster->heap[at] = cluster->heap[(at - 1) / 2];
        at = (at - 1) / 2;
    }
    cluster->heap[at] = happening;
}

static struct happening next_happening(struct cluster *cluster)
{
    struct happening first = cluster->heap[0];
    struct happening last = cluster->heap[--cluster->heap_count];
    uint32_t at = 0;
    for (;;) {
        uint32_t child = 2 * at + 1;
        if (child >= cluster->heap_count)
            break;
        if (child + 1 < cluster->heap_count &&
            is_before(&cluster->heap[child + 1], &cluster->heap[child]))
            child++;
        if (!is_before(&cluster->heap[child], &last))
            break;
        cluster->heap[at] = cluster->heap[child];
        at = child;
    }
    cluster->heap[at] = last;
    return first;
}

/* ---- checks ---- */

static struct node *node_of(struct cluster *cluster, uint64_t number)
{
    for (uint32_t i = 0; i < NODES; i++)
        if (cluster->nodes[i].number == number)
            return &cluster->nodes[i];
    return NULL;
}

static void check_leader(struct cluster *cluster, struct node *node)
{
    uint64_t term = node->raft.hard_state.term;
    for (uint32_t i = 0; i < cluster->leaders_count; i++)
        if (cluster->leaders[i].term == term) {
            if (cluster->leaders[i].leader != node->number)
                violate(cluster, "two leaders in term %llu: %llu and %llu",
                        (unsigned long long)term, (unsigned long long)cluster->leaders[i].leader,
                        (unsigned long long)node->number);
            return;
        }
    if (!raft_is_voter(&node->raft.configuration, node->number) &&
        node->raft.configuration.index <= node->raft.commit_index)
        violate(cluster, "node %llu leads term %llu and is no voter",
                (unsigned long long)node->number, (unsigned long long)term);
    if (cluster->leaders_count == cluster->leaders_capacity) {
        cluster->leaders_capacity = cluster->leaders_capacity ? cluster->leaders_capacity * 2 : 64;
        cluster->leaders =
            realloc(cluster->leaders, cluster->leaders_capacity * sizeof(*cluster->leaders));
        assert(cluster->leaders);
    }
    cluster->leaders[cluster->leaders_count].term = term;
    cluster->leaders[cluster->leaders_count++].leader = node->number;
    cluster->result->elections++;
    /* leader completeness (paper 5.4.3) */
    for (uint64_t index = cluster->committed.base_index + 1;
         index <= model_log_last(&cluster->committed); index++)
        if (index > node->raft.terms.base_index &&
            terms_at(&node->raft.terms, index) != model_log_at(&cluster->committed, index)->term &&
            model_log_at(&cluster->committed, index)->committed_in < term)
            violate(cluster, "leader %llu of term %llu lacks committed entry %llu",
                    (unsigned long long)node->number, (unsigned long long)term,
                    (unsigned long long)index);
}

/* A majority of the leader's voters has it on disk (invariants 1 and 2). */
static void check_majority(struct cluster *cluster, const struct node *leader, uint64_t index)
{
    const struct raft_configuration *configuration = &leader->raft.configuration;
    uint64_t term = model_log_at(&leader->log, index)->term;
    uint32_t voters = 0, have = 0;
    for (uint32_t i = 0; i < configuration->members_count; i++) {
        if (!configuration->members[i].voter)
            continue;
        const struct node *node = node_of(cluster, configuration->members[i].number);
        const struct model_log *disk = &node->disk;
        voters++;
        have += index <= disk->base_index ||
                (index <= model_log_last(disk) && model_log_at(disk, index)->term == term);
    }
    if (have < quorum_of(voters))
        violate(cluster, "entry %llu of term %llu committed with %u of %u on disk",
                (unsigned long long)index, (unsigned long long)term, have, voters);
}

static void check_commit(struct cluster *cluster, struct node *node, uint64_t before)
{
    for (uint64_t index = before + 1; index <= node->raft.commit_index; index++) {
        uint64_t known = model_log_last(&cluster->committed);
        if (index > known + 1 || index <= node->log.base_index)
            continue; /* by a snapshot: the store's hash is checked */
        const struct model_entry *entry = model_log_at(&node->log, index);
        if (index <= known) {
            const struct model_entry *committed = model_log_at(&cluster->committed, index);
            if (committed->term != entry->term || committed->value != entry->value)
                violate(cluster, "node %llu commits another entry %llu: term %llu, not %llu",
                        (unsigned long long)node->number, (unsigned long long)index,
                        (unsigned long long)entry->term, (unsigned long long)committed->term);
            continue;
        }
        if (node->raft.role == RAFT_LEADER)
            check_majority(cluster, node, index);
        struct model_entry committed = *entry;
        committed.committed_in = node->raft.hard_state.term;
        model_log_append(&cluster->committed, &committed);
        cluster->result->commits++;
    }
}

static void check_applied(struct cluster *cluster, const struct node *node)
{
    uint64_t index = node->store.applied_index;
    if (index >= cluster->hashes_capacity) {
        uint64_t capacity = index * 2 + 1024;
        cluster->committed_hashes =
            realloc(cluster->committed_hashes, capacity * sizeof(*cluster->committed_hashes));
        assert(cluster->committed_hashes);
        memset(cluster->committed_hashes + cluster->hashes_capacity, 0,
               (capacity - cluster->hashes_capacity) * sizeof(*cluster->committed_hashes));
        cluster->hashes_capacity = capacity;
    }
    if (!cluster->committed_hashes[index])
        cluster->committed_hashes[index] = node->store.hash;
    else if (cluster->committed_hashes[index] != node->store.hash)
        violate(cluster, "node %llu has another state at index %llu",
                (unsigned long long)node->number, (unsigned long long)index);
}

/* What a message promises is on the sender's disk. */
static void check_message(struct cluster *cluster, struct node *node,
                          const struct raft_message *message)
{
    if (message->term > node->hard_state.term && message->type != RAFT_PREVOTE &&
        message->type != RAFT_PREVOTE_REPLY)
        violate(cluster, "node %llu sends term %llu before it is durable",
                (unsigned long long)node->number, (unsigned long long)message->term);
    bool gives_vote = message->type == RAFT_VOTE_REPLY && message->ok;
    if (gives_vote || message->type == RAFT_VOTE) {
        uint64_t vote = gives_vote ? message->to : node->number;
        if (node->hard_state.term != message->term || node->hard_state.vote != vote)
            violate(cluster, "node %llu gives a vote in term %llu that is not durable",
                    (unsigned long long)node->number, (unsigned long long)message->term);
        if (node->voted_term == message->term && node->voted_for != vote)
            violate(cluster, "node %llu votes twice in term %llu", (unsigned long long)node->number,
                    (unsigned long long)message->term);
        node->voted_term = message->term;
        node->voted_for = vote;
    }
    if (message->type == RAFT_APPEND_REPLY && message->ok &&
        message->index > model_log_last(&node->disk))
        violate(cluster, "node %llu acknowledges %llu, its disk ends at %llu",
                (unsigned long long)node->number, (unsigned long long)message->index,
                (unsigned long long)model_log_last(&node->disk));
}

/* ---- the network ---- */

static void send_packet(struct cluster *cluster, const struct node *from, struct packet *packet)
{
    struct node *to = node_of(cluster, packet->message.to);
    uint32_t from_place = (uint32_t)(from - cluster->nodes);
    uint32_t to_place = (uint32_t)(to - cluster->nodes);
    trace(cluster, (uint64_t)packet->message.type << 56 ^ packet->message.term << 32 ^
                       packet->message.index << 8 ^ from_place << 4 ^ to_place);
    unsigned copies = chance_is(&cluster->chance, cluster->loss) ? 0 : 1;
    copies += chance_is(&cluster->chance, cluster->duplication);
    if (cluster->is_cut[from_place][to_place])
        copies = 0;
    for (unsigned i = 0; i < copies; i++) {
        struct packet *copy = malloc(sizeof(*copy));
        assert(copy);
        *copy = *packet;
        uint64_t delay_ms = chance_is(&cluster->chance, 20)
                                ? chance_between(&cluster->chance, 1, cluster->delay_ms_max * 10)
                                : chance_between(&cluster->chance, 1, cluster->delay_ms_max);
        schedule(cluster, delay_ms,
                 (struct happening){.kind = DELIVERY, .node = to_place, .packet = copy});
    }
    free(packet);
}

static struct packet *packet_of(const struct raft_message *message)
{
    struct packet *packet = calloc(1, sizeof(*packet));
    assert(packet);
    packet->message = *message;
    return packet;
}

/* ---- the disk ---- */

static void disk_start(struct cluster *cluster, struct node *node)
{
    if (node->disk_is_busy || !node->jobs_count || node->is_disk_stalled)
        return;
    node->disk_is_busy = true;
    schedule(cluster,
             chance_between(&cluster->chance, 1, chance_is(&cluster->chance, 30) ? 200 : 12),
             (struct happening){.kind = DISK_DONE,
                                .node = (uint32_t)(node - cluster->nodes),
                                .incarnation = node->incarnation});
}

static void disk_write(struct cluster *cluster, struct node *node, uint64_t truncate_from,
                       uint64_t first_index, const struct model_entry *entries, uint32_t count)
{
    assert(node->jobs_count < 512);
    struct disk_job *job = &node->jobs[(node->jobs_first + node->jobs_count++) % 512];
    *job = (struct disk_job){.truncate_from = truncate_from, .first_index = first_index};
    job->count = count;
    job->entries = calloc(count ? count : 1, sizeof(*entries));
    assert(job->entries);
    memcpy(job->entries, entries, count * sizeof(*entries));
    disk_start(cluster, node);
}

/* The first `count` entries of the job reach the disk. */
static void disk_job_carry_out(struct node *node, const struct disk_job *job, uint32_t count)
{
    if (job->truncate_from)
        model_log_truncate(&node->disk, job->truncate_from);
    for (uint32_t i = 0; i < count; i++)
        model_log_append(&node->disk, &job->entries[i]);
}

static void disk_pop(struct node *node)
{
    free(node->jobs[node->jobs_first].entries);
    node->jobs_first = (node->jobs_first + 1) % 512;
    node->jobs_count--;
}

/* ---- carrying out updates ---- */

/* Before each thing a node does, it may crash instead. */
static void crash_point(struct cluster *cluster, struct node *node)
{
    if (node->crash_in && --node->crash_in == 0) {
        cluster->crashing = node;
        longjmp(cluster->crash, 1);
    }
}

static void step(struct cluster *cluster, struct node *node, struct raft_event event,
                 const struct packet *packet);

static void answer(struct cluster *cluster, uint32_t client, uint32_t operation,
                   enum operation_outcome outcome, uint64_t value)
{
    if (chance_is(&cluster->chance, cluster->loss))
        return;
    schedule(cluster, chance_between(&cluster->chance, 1, cluster->delay_ms_max),
             (struct happening){.kind = CLIENT_ANSWER,
                                .client = client,
                                .operation = operation,
                                .outcome = outcome,
                                .value = value});
}

static void answer_reads(struct cluster *cluster, struct node *node)
{
    for (uint32_t i = 0; i < WAITING_MAX; i++) {
        struct waiting *read = &node->reads[i];
        if (!read->used || !read->index || read->index > node->store.applied_index)
            continue;
        read->used = false;
        cluster->result->reads++;
        uint32_t key = cluster->history.operations[read->operation].key;
        answer(cluster, read->client, read->operation, OPERATION_DONE, node->store.values[key]);
    }
}

static void apply(struct cluster *cluster, struct node *node, uint64_t apply_index)
{
    while (node->store.applied_index < apply_index) {
        uint64_t index = node->store.applied_index + 1;
        const struct model_entry *entry = model_log_at(&node->log, index);
        crash_point(cluster, node);
        model_store_apply(&node->store, index, entry);
        check_applied(cluster, node);
        for (uint32_t i = 0; i < WAITING_MAX; i++) {
            struct waiting *put = &node->puts[i];
            if (!put->used || put->id != index)
                continue;
            put->used = false;
            answer(cluster, put->client, put->operation,
                   put->term == entry->term ? OPERATION_DONE : OPERATION_REFUSED, 0);
        }
    }
    answer_reads(cluster, node);
}

static void append_of(struct cluster *cluster, struct node *node, const struct raft_append *append,
                      uint64_t truncate_from, const struct packet *packet,
                      const struct model_entry *own)
{
    struct model_entry entries[ENTRIES_OF_A_MESSAGE_MAX];
    assert(append->count <= ENTRIES_OF_A_MESSAGE_MAX);
    for (uint32_t i = 0; i < append->count; i++)
        entries[i] = packet ? packet->entries[append->skip + i] : *own;
    if (truncate_from)
        model_log_truncate(&node->log, truncate_from);
    for (uint32_t i = 0; i < append->count; i++)
        model_log_append(&node->log, &entries[i]);
    crash_point(cluster, node);
    disk_write(cluster, node, truncate_from, append->first_index, entries, append->count);
}

static const struct raft_configuration *keep_configuration(struct cluster *cluster,
                                                           const struct raft_configuration *one)
{
    cluster->configurations =
        realloc(cluster->configurations,
                (cluster->configurations_count + 1) * sizeof(*cluster->configurations));
    struct raft_configuration *copy = malloc(sizeof(*copy));
    assert(cluster->configurations && copy);
    *copy = *one;
    cluster->configurations[cluster->configurations_count++] = copy;
    return copy;
}

/* Own entries: the command that was proposed, a no-op, or the configuration now in force. */
static struct model_entry own_entry(struct cluster *cluster, const struct node *node,
                                    const struct raft_append *append,
                                    const struct model_entry *command)
{
    struct model_entry entry = {.term = append->term, .kind = append->kind};
    if (append->kind == RAFT_COMMAND) {
        entry = *command;
        entry.term = append->term;
    } else if (append->kind == RAFT_CONFIGURATION) {
        entry.configuration = keep_configuration(cluster, &node->raft.configuration);
    }
    return entry;
}

static void void_reads(struct cluster *cluster, struct node *node)
{
    for (uint32_t i = 0; i < WAITING_MAX; i++)
        if (node->reads[i].used && !node->reads[i].index) {
            node->reads[i].used = false;
            answer(cluster, node->reads[i].client, node->reads[i].operation, OPERATION_REFUSED, 0);
        }
}

static void tell(const struct cluster *cluster, const struct node *node, const char *what)
{
    if (!cluster->is_verbose)
        return;
    printf("%llu ms node %llu %s: role %d term %llu vote %llu leader %llu last %llu persisted %llu "
           "commit %llu configuration %llu {",
           (unsigned long long)cluster->now_ms, (unsigned long long)node->number, what,
           (int)node->raft.role, (unsigned long long)node->raft.hard_state.term,
           (unsigned long long)node->raft.hard_state.vote, (unsigned long long)node->raft.leader,
           (unsigned long long)node->raft.terms.last_index,
           (unsigned long long)node->raft.persisted_index,
           (unsigned long long)node->raft.commit_index,
           (unsigned long long)node->raft.configuration.index);
    for (uint32_t i = 0; i < node->raft.configuration.members_count; i++)
        printf(" %llu%s", (unsigned long long)node->raft.configuration.members[i].number,
               node->raft.configuration.members[i].voter ? "" : "-");
    printf(" }\n");
}

/* The order of raft.h. */
static void carry_out(struct cluster *cluster, struct node *node, const struct packet *packet,
                      const struct model_entry *command, uint64_t commit_before)
{
    struct raft_update copy = cluster->update;
    if (copy.role_changed)
        tell(cluster, node, "changes role");
    if (copy.configuration_changed)
        tell(cluster, node, "changes configuration");
    if (node->raft.commit_index != commit_before)
        tell(cluster, node, "commits");
    if (copy.hard_state_changed) {
        crash_point(cluster, node);
        if (node->raft.hard_state.term < node->hard_state.term)
            violate(cluster, "node %llu goes back in term", (unsigned long long)node->number);
        node->hard_state = node->raft.hard_state;
        crash_point(cluster, node);
    }
    if (copy.append.count || copy.truncate_from) {
        struct model_entry own = {0};
        bool is_own = copy.append.term != 0;
        if (is_own)
            own = own_entry(cluster, node, &copy.append, command);
        append_of(cluster, node, &copy.append, copy.truncate_from, is_own ? NULL : packet, &own);
    }
    if (node->raft.role == RAFT_LEADER && copy.role_changed)
        check_leader(cluster, node);
    if (copy.role_changed && node->raft.role != RAFT_LEADER)
        void_reads(cluster, node);
    check_commit(cluster, node, commit_before);
    for (uint32_t i = 0; i < copy.messages_count; i++) {
        crash_point(cluster, node);
        check_message(cluster, node, &copy.messages[i]);
        send_packet(cluster, node, packet_of(&copy.messages[i]));
    }
    for (uint32_t i = 0; i < copy.reads_count; i++)
        for (uint32_t j = 0; j < WAITING_MAX; j++)
            if (node->reads[j].used && node->reads[j].id == copy.reads[i])
                node->reads[j].index = copy.read_index;
    apply(cluster, node, copy.apply_index);
}

static void step_with(struct cluster *cluster, struct node *node, struct raft_event event,
                      const struct packet *packet, const struct model_entry *command)
{
    uint64_t commit_before = node->raft.commit_index;
    event.random = chance_next(&cluster->chance);
    raft_step(&node->raft, &event, &cluster->update);
    trace(cluster, (uint64_t)event.type << 60 ^ node->raft.hard_state.term << 40 ^
                       node->raft.commit_index << 20 ^ node->raft.terms.last_index << 4 ^
                       (uint64_t)node->raft.role);
    carry_out(cluster, node, packet, command, commit_before);
}

static void step(struct cluster *cluster, struct node *node, struct raft_event event,
                 const struct packet *packet)
{
    step_with(cluster, node, event, packet, NULL);
}

/* ---- replication: what the leader has for its members ---- */

static void send_snapshot(struct cluster *cluster, struct node *node, struct node *peer)
{
    uint32_t place = (uint32_t)(peer - cluster->nodes);
    struct raft_message message = {.type = RAFT_SNAPSHOT,
                                   .from = node->number,
                                   .to = peer->number,
                                   .term = node->raft.hard_state.term,
                                   .index = node->store.applied_index,
                                   .log_term = node->store.applied_term};
    if (node->stream_is_open[place] || node->store.applied_index < node->raft.terms.base_index)
        return;
    struct packet *packet = packet_of(&message);
    packet->store = node->store;
    node->stream_is_open[place] = true;
    cluster->result->snapshots++;
    schedule(cluster, chance_between(&cluster->chance, 20, 400),
             (struct happening){.kind = STREAM_END,
                                .node = (uint32_t)(node - cluster->nodes),
                                .incarnation = node->incarnation,
                                .peer = place,
                                .index = message.index});
    send_packet(cluster, node, packet);
}

static bool send_entries(struct cluster *cluster, struct node *node, struct raft_message message)
{
    uint32_t count_max =
        (uint32_t)chance_between(&cluster->chance, 1, cluster->entries_of_a_message_max);
    if (message.count > count_max)
        message.count = count_max;
    struct packet *packet = packet_of(&message);
    for (uint32_t i = 0; i < message.count; i++)
        packet->entries[i] = *model_log_at(&node->log, message.index + 1 + i);
    uint64_t member = message.to;
    check_message(cluster, node, &message);
    crash_point(cluster, node);
    send_packet(cluster, node, packet);
    step(cluster, node,
         (struct raft_event){.type = RAFT_ON_SENT, .member = member, .count = message.count}, NULL);
    return message.count > 0;
}

static void replicate(struct cluster *cluster, struct node *node)
{
    for (uint32_t i = 0; i < NODES; i++) {
        struct node *peer = &cluster->nodes[i];
        struct raft_message message;
        for (unsigned sent = 0; sent < 4 && !chance_is(&cluster->chance, 100); sent++) {
            enum raft_want want = raft_wants(&node->raft, peer->number, &message);
            if (want == RAFT_WANT_SNAPSHOT)
                send_snapshot(cluster, node, peer);
            if (want != RAFT_WANT_ENTRIES || !send_entries(cluster, node, message))
                break;
        }
    }
}

/* ---- life of a node ---- */

static void forget_memory(struct node *node)
{
    while (node->jobs_count)
        disk_pop(node);
    node->disk_is_busy = false;
    memset(node->puts, 0, sizeof(node->puts));
    memset(node->reads, 0, sizeof(node->reads));
    memset(node->stream_is_open, 0, sizeof(node->stream_is_open));
}

/* Some of what was being written reached the disk: a prefix of the jobs, and of the last of them.
 */
static void crash(struct cluster *cluster, struct node *node)
{
    uint32_t done = (uint32_t)chance_below(&cluster->chance, node->jobs_count + 1);
    for (uint32_t i = 0; i < done; i++) {
        const struct disk_job *job = &node->jobs[(node->jobs_first + i) % 512];
        uint32_t count = job->count;
        if (i + 1 == done && count)
            count = (uint32_t)chance_below(&cluster->chance, count + 1);
        disk_job_carry_out(node, job, count);
    }
    tell(cluster, node, "crashes");
    forget_memory(node);
    node->is_running = node->is_paused = node->is_disk_stalled = false;
    node->crash_in = 0;
    cluster->result->crashes++;
}

static void start(struct cluster *cluster, struct node *node)
{
    struct raft_start begin = {
        .self = node->number,
        .timing = {.election_ms = 200, .heartbeat_ms = 60, .disk_ms = 600},
        .hard_state = node->hard_state,
        .commit_index = node->checkpoint.applied_index,
        .random = chance_next(&cluster->chance),
    };
    node->incarnation++;
    node->is_running = true;
    node->store = node->checkpoint;
    if (model_log_last(&node->disk) < node->checkpoint.applied_index)
        violate(cluster, "node %llu: the store is ahead of the log",
                (unsigned long long)node->number);
    model_log_copy(&node->log, &node->disk);
    terms_reset(&begin.terms, node->log.base_index, node->log.base_term);
    for (uint64_t index = node->log.base_index + 1; index <= model_log_last(&node->log); index++)
        terms_append(&begin.terms, model_log_at(&node->log, index)->term, 1);
    begin.configuration = *model_log_configuration(&node->log, model_log_last(&node->log));
    uint64_t before = begin.configuration.index ? begin.configuration.index - 1 : 0;
    if (before >= node->log.base_index && before)
        begin.configuration_before = *model_log_configuration(&node->log, before);
    else
        begin.configuration_before = begin.configuration;
    raft_init(&node->raft, &begin);
    tell(cluster, node, "starts");
}

/* Runs `fn` on a node that may crash in the middle of it. */
typedef void node_fn(struct cluster *cluster, struct node *node, const struct happening *happening);

static void on_node(struct cluster *cluster, struct node *node, node_fn *fn,
                    const struct happening *happening)
{
    if (setjmp(cluster->crash) == 0) {
        fn(cluster, node, happening);
        if (node->raft.role == RAFT_LEADER)
            replicate(cluster, node);
    } else {
        crash(cluster, cluster->crashing);
    }
}

static void on_tick(struct cluster *cluster, struct node *node, const struct happening *happening)
{
    (void)happening;
    step(cluster, node, (struct raft_event){.type = RAFT_ON_TICK, .elapsed_ms = TICK_MS}, NULL);
}

static void on_disk_done(struct cluster *cluster, struct node *node,
                         const struct happening *happening)
{
    (void)happening;
    const struct disk_job *job = &node->jobs[node->jobs_first];
    disk_job_carry_out(node, job, job->count);
    struct raft_event event = {.type = RAFT_ON_PERSISTED,
                               .index = job->first_index + job->count - 1};
    event.term = job->count ? job->entries[job->count - 1].term : 0;
    disk_pop(node);
    node->disk_is_busy = false;
    disk_start(cluster, node);
    crash_point(cluster, node);
    if (event.term)
        step(cluster, node, event, NULL);
}

static void install(struct cluster *cluster, struct node *node, const struct packet *packet)
{
    const struct model_store *store = &packet->store;
    if (!raft_takes_snapshot(&node->raft, store->applied_index, store->applied_term))
        return;
    crash_point(cluster, node);
    forget_memory(node);
    node->checkpoint = node->store = *store;
    model_log_reset(&node->log, store->applied_index, store->applied_term, &store->configuration);
    model_log_reset(&node->disk, store->applied_index, store->applied_term, &store->configuration);
    node->incarnation++; /* what was being written is void */
    schedule(cluster, TICK_MS,
             (struct happening){.kind = TICK,
                                .node = (uint32_t)(node - cluster->nodes),
                                .incarnation = node->incarnation});
    check_applied(cluster, node);
    step(cluster, node,
         (struct raft_event){.type = RAFT_ON_INSTALLED,
                             .index = store->applied_index,
                             .term = store->applied_term,
                             .configuration = &store->configuration},
         NULL);
}

static void on_delivery(struct cluster *cluster, struct node *node,
                        const struct happening *happening)
{
    const struct packet *packet = happening->packet;
    struct raft_entry entries[ENTRIES_OF_A_MESSAGE_MAX];
    for (uint32_t i = 0; i < packet->message.count; i++)
        entries[i] = (struct raft_entry){packet->entries[i].term, packet->entries[i].configuration};
    step(cluster, node,
         (struct raft_event){
             .type = RAFT_ON_MESSAGE, .message = &packet->message, .entries = entries},
         packet);
    if (cluster->update.outcome == RAFT_REFUSED)
        violate(
            cluster,
            "node %llu refuses a message of type %u: from %llu, term %llu, index %llu, own term "
            "%llu, role %d, commit %llu, base %llu, last %llu",
            (unsigned long long)node->number, packet->message.type,
            (unsigned long long)packet->message.from, (unsigned long long)packet->message.term,
            (unsigned long long)packet->message.index,
            (unsigned long long)node->raft.hard_state.term, (int)node->raft.role,
            (unsigned long long)node->raft.commit_index,
            (unsigned long long)node->raft.terms.base_index,
            (unsigned long long)node->raft.terms.last_index);
    if (packet->message.type == RAFT_SNAPSHOT && cluster->update.outcome == RAFT_DONE)
        install(cluster, node, packet);
}

static void on_stream_end(struct cluster *cluster, struct node *node,
                          const struct happening *happening)
{
    node->stream_is_open[happening->peer] = false;
    step(cluster, node,
         (struct raft_event){.type = RAFT_ON_SNAPSHOT_SENT,
                             .member = cluster->nodes[happening->peer].number,
                             .index = happening->index,
                             .ok = !chance_is(&cluster->chance, 100)},
         NULL);
}

static struct waiting *waiting_place(struct waiting *list)
{
    for (uint32_t i = 0; i < WAITING_MAX; i++)
        if (!list[i].used)
            return &list[i];
    return NULL;
}

static void on_request(struct cluster *cluster, struct node *node,
                       const struct happening *happening)
{
    const struct operation *operation = &cluster->history.operations[happening->operation];
    bool is_put = operation->kind == OPERATION_PUT;
    struct waiting *waiting = waiting_place(is_put ? node->puts : node->reads);
    if (!waiting)
        return;
    *waiting = (struct waiting){
        .client = happening->client, .operation = happening->operation, .used = true};
    if (is_put) {
        struct model_entry command = {
            .kind = RAFT_COMMAND, .key = operation->key, .value = operation->value};
        waiting->id = node->raft.terms.last_index + 1;
        waiting->term = node->raft.hard_state.term;
        step_with(cluster, node, (struct raft_event){.type = RAFT_ON_PROPOSE, .count = 1}, NULL,
                  &command);
    } else {
        waiting->id = ++cluster->names;
        step(cluster, node, (struct raft_event){.type = RAFT_ON_READ, .read = waiting->id}, NULL);
    }
    if (cluster->update.outcome != RAFT_DONE) {
        waiting->used = false;
        answer(cluster, happening->client, happening->operation, OPERATION_REFUSED, 0);
    }
    answer_reads(cluster, node);
}

/* ---- clients ---- */

/* A client has one turn ahead of it at a time; setting another makes the older void. */
static void client_set_turn(struct cluster *cluster, uint32_t number, uint64_t in_ms)
{
    schedule(cluster, in_ms,
             (struct happening){
                 .kind = CLIENT_TURN, .client = number, .value = ++cluster->clients[number].turn});
}

static void client_ask(struct cluster *cluster, uint32_t number)
{
    struct client *client = &cluster->clients[number];
    enum operation_kind kind = chance_is(&cluster->chance, 500) ? OPERATION_PUT : OPERATION_GET;
    client->is_busy = true;
    client->operation =
        history_call(&cluster->history, kind, (uint32_t)chance_below(&cluster->chance, MODEL_KEYS),
                     kind == OPERATION_PUT ? ++cluster->values : 0, cluster->now_ms * 16);
    if (chance_is(&cluster->chance, cluster->loss))
        return;
    schedule(cluster, chance_between(&cluster->chance, 1, cluster->delay_ms_max),
             (struct happening){.kind = CLIENT_REQUEST,
                                .node = client->favourite,
                                .client = number,
                                .operation = client->operation});
}

static void client_turn(struct cluster *cluster, const struct happening *happening)
{
    struct client *client = &cluster->clients[happening->client];
    if (happening->value != client->turn || cluster->is_resting)
        return;
    if (client->is_busy) /* no answer in time: the operation stays open */
        client->favourite = (uint32_t)chance_below(&cluster->chance, NODES);
    client_ask(cluster, happening->client);
    client_set_turn(cluster, happening->client, chance_between(&cluster->chance, 100, 800));
}

static void client_answer(struct cluster *cluster, const struct happening *happening)
{
    struct client *client = &cluster->clients[happening->client];
    if (!client->is_busy || client->operation != happening->operation)
        return; /* too late */
    history_answer(&cluster->history, happening->operation,
                   (enum operation_outcome)happening->outcome, happening->value,
                   cluster->now_ms * 16 + 8);
    client->is_busy = false;
    if (happening->outcome == OPERATION_REFUSED)
        client->favourite = (uint32_t)chance_below(&cluster->chance, NODES);
    client_set_turn(cluster, happening->client, chance_between(&cluster->chance, 1, 40));
}

/* ---- faults ---- */

static struct node *any_running(struct cluster *cluster)
{
    uint32_t begin = (uint32_t)chance_below(&cluster->chance, NODES);
    for (uint32_t i = 0; i < NODES; i++)
        if (cluster->nodes[(begin + i) % NODES].is_running)
            return &cluster->nodes[(begin + i) % NODES];
    return NULL;
}

static struct node *leader_of(struct cluster *cluster)
{
    struct node *newest = NULL;
    for (uint32_t i = 0; i < NODES; i++) {
        struct node *node = &cluster->nodes[i];
        if (node->is_running && node->raft.role == RAFT_LEADER &&
            (!newest || node->raft.hard_state.term > newest->raft.hard_state.term))
            newest = node;
    }
    return newest;
}

static void restart(struct cluster *cluster, struct node *node)
{
    start(cluster, node);
    schedule(cluster, chance_below(&cluster->chance, TICK_MS),
             (struct happening){.kind = TICK,
                                .node = (uint32_t)(node - cluster->nodes),
                                .incarnation = node->incarnation});
}

static void fault_restart(struct cluster *cluster)
{
    uint32_t begin = (uint32_t)chance_below(&cluster->chance, NODES);
    for (uint32_t i = 0; i < NODES; i++) {
        struct node *node = &cluster->nodes[(begin + i) % NODES];
        if (!node->is_running) {
            restart(cluster, node);
            return;
        }
    }
}

static void fault_crash(struct cluster *cluster)
{
    struct node *node =
        chance_is(&cluster->chance, 400) ? leader_of(cluster) : any_running(cluster);
    if (node)
        node->crash_in = chance_between(&cluster->chance, 1, 30);
}

/* Halves, one node alone, one way only, or a ring where each hears its neighbours. */
static void fault_partition(struct cluster *cluster)
{
    uint64_t shape = chance_below(&cluster->chance, 4);
    uint64_t side = chance_next(&cluster->chance);
    uint32_t alone = (uint32_t)chance_below(&cluster->chance, NODES);
    for (uint32_t i = 0; i < NODES; i++)
        for (uint32_t j = 0; j < NODES; j++) {
            bool is_cut = false;
            if (shape == 0)
                is_cut = (side >> i & 1) != (side >> j & 1);
            else if (shape == 1)
                is_cut = (i == alone) != (j == alone);
            else if (shape == 2)
                is_cut = i == alone && j != alone;
            else
                is_cut = i != j && (i + 1) % NODES != j && (j + 1) % NODES != i;
            cluster->is_cut[i][j] = is_cut;
        }
}

static void fault_heal(struct cluster *cluster)
{
    memset(cluster->is_cut, 0, sizeof(cluster->is_cut));
    cluster->loss = (unsigned)chance_below(&cluster->chance, 80);
    cluster->duplication = (unsigned)chance_below(&cluster->chance, 80);
    cluster->delay_ms_max = chance_between(&cluster->chance, 2, 40);
}

static void fault_pause(struct cluster *cluster)
{
    struct node *node = any_running(cluster);
    if (node)
        node->is_paused = !node->is_paused;
}

static void fault_stall_disk(struct cluster *cluster)
{
    struct node *node = any_running(cluster);
    if (!node)
        return;
    node->is_disk_stalled = !node->is_disk_stalled;
    disk_start(cluster, node);
}

static void fault_checkpoint(struct cluster *cluster)
{
    struct node *node = any_running(cluster);
    if (node)
        node->checkpoint = node->store;
}

/* Below the store's durable index (invariant 6). */
static void fault_cut(struct cluster *cluster)
{
    struct node *node = any_running(cluster);
    if (!node || node->checkpoint.applied_index <= node->log.base_index)
        return;
    uint64_t index =
        chance_between(&cluster->chance, node->log.base_index + 1, node->checkpoint.applied_index);
    if (model_log_last(&node->disk) < index)
        return;
    struct raft_configuration base = *model_log_configuration(&node->log, index);
    model_log_cut(&node->log, index, &base);
    model_log_cut(&node->disk, index, &base);
    step(cluster, node, (struct raft_event){.type = RAFT_ON_CUT, .index = index}, NULL);
}

/* Adds a member, changes a vote, or removes one. */
static void change_member(struct cluster *cluster, struct raft_configuration *wanted)
{
    uint64_t number = 1 + chance_below(&cluster->chance, NODES);
    uint32_t at = 0;
    while (at < wanted->members_count && wanted->members[at].number != number)
        at++;
    if (at == wanted->members_count)
        wanted->members[wanted->members_count++] =
            (struct raft_member){number, chance_is(&cluster->chance, 300)};
    else if (chance_is(&cluster->chance, 600))
        wanted->members[at].voter = !wanted->members[at].voter;
    else
        wanted->members[at] = wanted->members[--wanted->members_count];
}

/* Any leader may be asked, also one that was deposed and does not know; changes of several voters
 * at once must be refused. */
static void fault_members(struct cluster *cluster)
{
    struct node *leader =
        chance_is(&cluster->chance, 500) ? leader_of(cluster) : any_running(cluster);
    if (!leader)
        return;
    struct raft_configuration wanted = leader->raft.configuration;
    do
        change_member(cluster, &wanted);
    while (chance_is(&cluster->chance, 200));
    step(cluster, leader,
         (struct raft_event){.type = RAFT_ON_PROPOSE_MEMBERS, .configuration = &wanted}, NULL);
    cluster->result->changes += cluster->update.outcome == RAFT_DONE;
}

static void fault_transfer(struct cluster *cluster)
{
    struct node *leader = leader_of(cluster);
    if (!leader)
        return;
    step(cluster, leader,
         (struct raft_event){.type = RAFT_ON_TRANSFER,
                             .member = 1 + chance_below(&cluster->chance, NODES)},
         NULL);
    cluster->result->transfers += cluster->update.outcome == RAFT_DONE;
}

static void fault_unreachable(struct cluster *cluster)
{
    struct node *leader = leader_of(cluster);
    if (leader)
        step(cluster, leader,
             (struct raft_event){.type = RAFT_ON_UNREACHABLE,
                                 .member = 1 + chance_below(&cluster->chance, NODES)},
             NULL);
}

static void fault_restart_all(struct cluster *cluster)
{
    for (uint32_t i = 0; i < NODES; i++)
        if (!cluster->nodes[i].is_running)
            restart(cluster, &cluster->nodes[i]);
}

static void (*const faults[])(struct cluster *) = {
    fault_restart,   fault_restart_all, fault_crash,      fault_heal,
    fault_partition, fault_pause,       fault_stall_disk, fault_checkpoint,
    fault_cut,       fault_members,     fault_transfer,   fault_unreachable,
};
#define FAULTS_COUNT (sizeof(faults) / sizeof(*faults))
_Static_assert(FAULTS_COUNT <= FAULTS_MAX, "every fault has a weight");

/* Each seed has its own mix of troubles. */
static void choose_temper(struct cluster *cluster)
{
    static const uint64_t pauses_ms[] = {15, 50, 150, 500};
    cluster->fault_pause_ms_max = pauses_ms[chance_below(&cluster->chance, 4)];
    cluster->entries_of_a_message_max =
        chance_is(&cluster->chance, 500) ? ENTRIES_OF_A_MESSAGE_MAX : 1;
    for (unsigned i = 0; i < FAULTS_COUNT; i++)
        cluster->weights[i] = (unsigned)chance_below(&cluster->chance, 8);
    for (unsigned i = 0; i < 4; i++)
        cluster->weights[i] += 2; /* restarts, crashes and healing always come */
}

static void fault(struct cluster *cluster)
{
    unsigned sum = 0, which = 0;
    for (unsigned i = 0; i < FAULTS_COUNT; i++)
        sum += cluster->weights[i];
    uint64_t at = chance_below(&cluster->chance, sum);
    while (at >= cluster->weights[which])
        at -= cluster->weights[which++];
    faults[which](cluster);
}

static void fault_safely(struct cluster *cluster)
{
    if (setjmp(cluster->crash) == 0)
        fault(cluster);
    else
        crash(cluster, cluster->crashing);
}

/* ---- rest: everything heals, and the cluster must serve and agree ---- */

static void heal_all(struct cluster *cluster)
{
    cluster->is_resting = true;
    memset(cluster->is_cut, 0, sizeof(cluster->is_cut));
    cluster->loss = cluster->duplication = 0;
    cluster->delay_ms_max = 5;
    for (uint32_t i = 0; i < NODES; i++) {
        struct node *node = &cluster->nodes[i];
        node->crash_in = 0;
        node->is_paused = node->is_disk_stalled = false;
        if (!node->is_running)
            restart(cluster, node);
        else
            disk_start(cluster, node);
    }
}

static bool is_at_rest(struct cluster *cluster)
{
    const struct node *leader = leader_of(cluster);
    if (!leader || !raft_has_committed_own_term(&leader->raft) ||
        leader->raft.configuration.index > leader->raft.commit_index)
        return false;
    for (uint32_t i = 0; i < leader->raft.configuration.members_count; i++) {
        const struct node *node = node_of(cluster, leader->raft.configuration.members[i].number);
        if (node->store.applied_index != leader->raft.terms.last_index ||
            node->store.hash != leader->store.hash)
            return false;
    }
    return true;
}

/* ---- the run ---- */

static void happen(struct cluster *cluster, const struct happening *happening)
{
    static node_fn *const on[] = {
        [TICK] = on_tick,
        [DELIVERY] = on_delivery,
        [DISK_DONE] = on_disk_done,
        [CLIENT_REQUEST] = on_request,
        [STREAM_END] = on_stream_end,
    };
    struct node *node = &cluster->nodes[happening->node];
    if (happening->kind == CLIENT_TURN) {
        client_turn(cluster, happening);
    } else if (happening->kind == CLIENT_ANSWER) {
        client_answer(cluster, happening);
    } else if (happening->kind == FAULT) {
        if (!cluster->is_resting) {
            fault_safely(cluster);
            schedule(cluster, chance_between(&cluster->chance, 1, cluster->fault_pause_ms_max),
                     (struct happening){.kind = FAULT});
        }
    } else if (node->is_running &&
               (!happening->incarnation || happening->incarnation == node->incarnation)) {
        if (node->is_paused) { /* it all comes later */
            cluster->result->events--;
            schedule(cluster, 5 * TICK_MS, *happening);
            return;
        }
        on_node(cluster, node, on[happening->kind], happening);
        if (happening->kind == TICK && node->is_running &&
            happening->incarnation == node->incarnation)
            schedule(cluster, TICK_MS, *happening);
    }
    free(happening->packet);
}

static void begin(struct cluster *cluster)
{
    struct raft_configuration first = {0};
    first.members_count =
        (uint32_t)(chance_is(&cluster->chance, 800) ? 3 + 2 * chance_below(&cluster->chance, 2)
                                                    : chance_between(&cluster->chance, 1, NODES));
    for (uint32_t i = 0; i < first.members_count; i++)
        first.members[i] = (struct raft_member){i + 1, true};
    fault_heal(cluster);
    choose_temper(cluster);
    for (uint32_t i = 0; i < NODES; i++) {
        struct node *node = &cluster->nodes[i];
        node->number = i + 1;
        if (i < first.members_count)
            node->disk.base_configuration = node->checkpoint.configuration = first;
        restart(cluster, node);
    }
    for (uint32_t i = 0; i < CLIENTS; i++)
        client_set_turn(cluster, i, i);
    schedule(cluster, 300, (struct happening){.kind = FAULT});
}

static void run(struct cluster *cluster, uint64_t events_min)
{
    uint64_t rest_until_ms = 0;
    begin(cluster);
    while (cluster->heap_count) {
        struct happening happening = next_happening(cluster);
        cluster->now_ms = happening.at_ms;
        cluster->result->events++;
        happen(cluster, &happening);
        if (cluster->result->events >= events_min && !rest_until_ms) {
            heal_all(cluster);
            rest_until_ms = cluster->now_ms + REST_MS_MAX;
        }
        if (rest_until_ms && is_at_rest(cluster))
            break;
        if (rest_until_ms && cluster->now_ms > rest_until_ms)
            violate(cluster, "no rest %u ms after everything healed", REST_MS_MAX);
    }
    struct history_finding finding;
    bool is_linearizable = history_is_linearizable(&cluster->history, MODEL_KEYS, &finding);
    if (cluster->is_verbose)
        for (uint32_t i = 0; i < cluster->history.count; i++) {
            const struct operation *operation = &cluster->history.operations[i];
            printf("%s key %u value %llu from %llu to %lld outcome %u\n",
                   operation->kind == OPERATION_PUT ? "put" : "get", operation->key,
                   (unsigned long long)operation->value, (unsigned long long)operation->called_at,
                   (long long)operation->answered_at, operation->outcome);
        }
    if (!is_linearizable)
        violate(cluster, "no order explains what clients saw of key %u", finding.key);
}

static void cluster_free(struct cluster *cluster)
{
    for (uint32_t i = 0; i < cluster->heap_count; i++)
        free(cluster->heap[i].packet);
    for (uint32_t i = 0; i < NODES; i++) {
        forget_memory(&cluster->nodes[i]);
        model_log_free(&cluster->nodes[i].disk);
        model_log_free(&cluster->nodes[i].log);
    }
    for (uint32_t i = 0; i < cluster->configurations_count; i++)
        free(cluster->configurations[i]);
    free(cluster->configurations);
    free(cluster->heap);
    free(cluster->leaders);
    free(cluster->committed_hashes);
    model_log_free(&cluster->committed);
    history_free(&cluster->history);
    free(cluster);
}

void cluster_run(uint64_t seed, uint64_t events_min, int is_verbose, struct cluster_result *ret)
{
    struct cluster *cluster = calloc(1, sizeof(*cluster));
    assert(cluster);
    *ret = (struct cluster_result){0};
    cluster->chance.state = seed;
    cluster->result = ret;
    cluster->is_verbose = is_verbose;
    if (setjmp(cluster->escape) == 0)
        run(cluster, events_min);
    cluster_free(cluster);
}
