#include "consensus.h"

#include "buffer.h"
#include "datadir.h"
#include "entropy.h"
#include "file.h"
#include "logger.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

struct consensus {
    struct consensus_options options;
    struct raft raft;
    struct raft_update update;
    struct identity identity;
    struct hard_state hard_state;
    struct membership membership;        /* in force: the newest in the log */
    struct membership membership_before; /* and what it replaced */
    struct log *log;
    uint64_t chance; /* state of consensus_random */
    uint64_t store_durable_index;
    bool announced; /* own addresses are in the membership, or on their way */
};

static void consensus_fail(struct consensus *consensus, int code, const char *what)
{
    consensus->options.on_failed(consensus->options.context, code, what);
}

/* ---- taking updates apart ---- */

/* Election timeouts differ: this is all the core uses it for. */
static uint64_t consensus_random(struct consensus *consensus)
{
    consensus->chance ^= consensus->chance << 13;
    consensus->chance ^= consensus->chance >> 7;
    consensus->chance ^= consensus->chance << 17;
    return consensus->chance;
}

static void consensus_save_hard_state(struct consensus *consensus)
{
    consensus->hard_state.raft = consensus->raft.hard_state;
    int code = hard_state_save(&consensus->hard_state);
    if (code)
        consensus_fail(consensus, code, "hard state");
}

/* Commands are appended by whoever proposed them (consensus_append): only they know the bytes. */
static void consensus_append_own(struct consensus *consensus, const struct raft_append *append)
{
    struct buffer data = {0};
    if (append->count == 0 || append->kind == RAFT_COMMAND)
        return;
    if (append->kind == RAFT_CONFIGURATION) {
        consensus->membership.index = append->first_index;
        membership_encode(&data, &consensus->membership);
    }
    log_append(consensus->log, append->term,
               append->kind == RAFT_NOOP ? ENTRY_NOOP : ENTRY_CONFIGURATION, data.bytes,
               data.length);
    buffer_free(&data);
}

static void consensus_log_role(const struct consensus *consensus)
{
    static const char *const names[] = {"", "follower", "candidate", "leader", "candidate"};
    if (consensus->raft.role == RAFT_LEADER)
        logger_info("role", "role=%s term=%llu", names[consensus->raft.role],
                    (unsigned long long)consensus->raft.hard_state.term);
}

/* In the order of raft.h. */
static void consensus_step(struct consensus *consensus, struct raft_event event)
{
    struct raft_update *update = &consensus->update;
    uint64_t apply_before = consensus_apply_index(consensus);
    event.random = consensus_random(consensus);
    raft_step(&consensus->raft, &event, update);
    if (update->hard_state_changed)
        consensus_save_hard_state(consensus);
    consensus_append_own(consensus, &update->append);
    if (update->role_changed)
        consensus_log_role(consensus);
    for (uint32_t i = 0; i < update->reads_count; i++)
        consensus->options.on_read(consensus->options.context, update->reads[i],
                                   update->read_index);
    if (update->apply_index > apply_before)
        consensus->options.on_commit(consensus->options.context, update->apply_index);
}

/* ---- proposals and reads ---- */

enum raft_outcome consensus_propose(struct consensus *consensus, uint32_t count,
                                    uint64_t *ret_first_index)
{
    consensus_step(consensus, (struct raft_event){.type = RAFT_ON_PROPOSE, .count = count});
    if (consensus->update.outcome == RAFT_DONE)
        *ret_first_index = consensus->update.append.first_index;
    return consensus->update.outcome;
}

void consensus_append(struct consensus *consensus, const void *command, size_t command_bytes)
{
    log_append(consensus->log, consensus->raft.hard_state.term, ENTRY_COMMAND, command,
               command_bytes);
}

enum raft_outcome consensus_read(struct consensus *consensus, uint64_t read)
{
    consensus_step(consensus, (struct raft_event){.type = RAFT_ON_READ, .read = read});
    return consensus->update.outcome;
}

/* ---- own addresses ---- */

static void own_server(const struct consensus *consensus, struct raft_server *server)
{
    const struct config *config = consensus->options.config;
    char address[LIMIT_ADDRESS_BYTES_MAX];
    *server = (struct raft_server){.voter = true};
    strcpy(server->id, config->node_id);
    config_address_format(&config->raft_advertise_address, server->raft_address,
                          sizeof(server->raft_address));
    config_address_format(&config->http_advertise_address, address, sizeof(address));
    snprintf(server->http_url, sizeof(server->http_url), "http://%s", address);
}

/* Addresses that are new, or changed since the last start, are announced as soon as the term has a
 * commit. */
static void consensus_announce(struct consensus *consensus)
{
    struct raft_server own;
    struct raft_configuration configuration;
    if (consensus->announced || !raft_has_committed_own_term(&consensus->raft))
        return;
    own_server(consensus, &own);
    struct membership changed = consensus->membership;
    for (uint32_t i = 0; i < changed.count; i++)
        if (changed.numbers[i] == consensus->identity.member_number) {
            own.voter = changed.servers[i].voter;
            changed.servers[i] = own;
        }
    consensus->announced = true;
    if (consensus->membership.index && !memcmp(&changed, &consensus->membership, sizeof(changed)))
        return;
    if (!membership_fits(&changed)) {
        logger_error("addresses_not_announced",
                     "reason=\"with them the membership is over %u bytes: shorten raft_addr or "
                     "http_addr\"",
                     LIMIT_CONFIGURATION_BYTES_MAX);
        return;
    }
    membership_to_core(&changed, &configuration);
    consensus->membership_before = consensus->membership;
    consensus->membership = changed;
    consensus_step(consensus, (struct raft_event){.type = RAFT_ON_PROPOSE_MEMBERS,
                                                  .configuration = &configuration});
    assert(consensus->update.outcome == RAFT_DONE);
}

/* ---- the log's word ---- */

static void consensus_on_durable(void *context, uint64_t index, uint64_t term)
{
    struct consensus *consensus = context;
    consensus_step(consensus,
                   (struct raft_event){.type = RAFT_ON_PERSISTED, .index = index, .term = term});
    consensus_announce(consensus);
}

static void consensus_on_log_failed(void *context, int code)
{
    consensus_fail(context, code, "log");
}

/* Up to where entries may go: never above the durable index (invariant 6). */
static uint64_t entries_to_spare(const struct consensus *consensus, uint64_t durable_index)
{
    if (log_is_short_of_space(consensus->log))
        return durable_index;
    uint64_t by_bytes = log_over_bytes(consensus->log, LIMIT_LOG_KEPT_BYTES);
    uint64_t by_count =
        durable_index > LIMIT_LOG_KEPT_ENTRIES ? durable_index - LIMIT_LOG_KEPT_ENTRIES : 0;
    uint64_t index = by_bytes > by_count ? by_bytes : by_count;
    return index < durable_index ? index : durable_index;
}

static void consensus_cut(struct consensus *consensus)
{
    uint64_t term = 0, durable_index = consensus->store_durable_index;
    uint64_t place =
        log_cut_place(consensus->log, entries_to_spare(consensus, durable_index), &term);
    if (place == 0 || consensus->membership.index > place)
        return; /* (its entry must not be cut, and the one before it is not kept: it passes with the
                   next cut) */
    consensus->hard_state.cut_index = place;
    consensus->hard_state.cut_term = term;
    consensus->hard_state.membership = consensus->membership;
    int code = hard_state_save(&consensus->hard_state);
    if (code == -ENOSPC)
        return; /* not cut now, then later */
    if (!code)
        code = log_cut(consensus->log, place);
    if (code)
        consensus_fail(consensus, code, "log cut");
    else
        consensus_step(consensus, (struct raft_event){.type = RAFT_ON_CUT, .index = place});
}

void consensus_on_store_durable(struct consensus *consensus, uint64_t durable_index)
{
    consensus->store_durable_index = durable_index;
    if (consensus->log)
        consensus_cut(consensus);
}

/* What is kept only for followers makes room. */
static void consensus_on_log_short(void *context)
{
    consensus_cut(context);
}

/* ---- opening ---- */

static int open_log(struct consensus *consensus, struct error *error)
{
    struct log_options options = {
        .loop = consensus->options.loop,
        .previous_index = consensus->hard_state.cut_index,
        .previous_term = consensus->hard_state.cut_term,
        .on_durable = consensus_on_durable,
        .on_short_of_space = consensus_on_log_short,
        .on_failed = consensus_on_log_failed,
        .context = consensus,
    };
    uint64_t cut_bytes = 0;
    memcpy(options.cluster_id, consensus->identity.cluster_id, sizeof(options.cluster_id));
    int code = log_open(&consensus->log, &options, &cut_bytes, error);
    if (!code && cut_bytes)
        logger_warning("log_tail_cut", "last_index=%llu bytes=%llu",
                       (unsigned long long)log_last_index(consensus->log),
                       (unsigned long long)cut_bytes);
    return code;
}

struct membership_find {
    struct membership membership;
    int code;
};

static bool membership_on_record(void *context, const struct record *record)
{
    struct membership_find *find = context;
    struct wire_reader body = wire_reader_of(record->data, record->data_bytes);
    find->code = membership_decode(&body, &find->membership);
    find->membership.index = record->index;
    return false;
}

/* The configuration entry at this index; the one of the last cut if that is newer. */
static int load_membership(struct consensus *consensus, uint64_t index,
                           struct membership *ret_membership, struct error *error)
{
    *ret_membership = consensus->hard_state.membership;
    if (index <= ret_membership->index)
        return 0;
    struct membership_find find = {.code = -EPROTO};
    int code = log_read(consensus->log, index, index, membership_on_record, &find);
    if (code || find.code)
        return error_set(error, -EBADMSG, "the configuration at log index %llu makes no sense",
                         (unsigned long long)index);
    *ret_membership = find.membership;
    return 0;
}

static int find_membership(struct consensus *consensus, struct error *error)
{
    int code = load_membership(consensus, log_configuration_before_index(consensus->log),
                               &consensus->membership_before, error);
    if (!code)
        code = load_membership(consensus, log_configuration_index(consensus->log),
                               &consensus->membership, error);
    return code;
}

static bool has_log_files(void)
{
    bool found = false;
    DIR *directory = opendir("raft");
    for (struct dirent *entry = directory ? readdir(directory) : NULL; entry;
         entry = readdir(directory)) {
        size_t length = strlen(entry->d_name);
        found = found || (length == 24 && !strcmp(entry->d_name + 20, ".log"));
    }
    if (directory)
        (void)closedir(directory);
    return found;
}

/* The identity is written last: it is what makes a state of these files. */
static int bootstrap(struct consensus *consensus, struct error *error)
{
    struct hard_state state = {0};
    state.membership.count = 1;
    state.membership.numbers[0] = 1;
    own_server(consensus, &state.membership.servers[0]);
    int code = file_sync_directory("raft.create", ".");
    if (!code)
        code = hard_state_save(&state);
    if (!code)
        code = identity_make(&consensus->identity, consensus->options.config->node_id);
    if (!code)
        code = identity_save(&consensus->identity);
    if (code)
        return error_set_errno(error, code, "cannot write raft/");
    consensus->hard_state = state;
    logger_info("bootstrapped", "node_id=%s", consensus->options.config->node_id);
    return 0;
}

/* 0 with *ret_member telling whether this node belongs to a cluster. */
static int open_state(struct consensus *consensus, bool *ret_member, struct error *error)
{
    int code = identity_load(&consensus->identity, consensus->options.config->node_id, error);
    *ret_member = code == 0;
    if (!code) {
        code = hard_state_load(&consensus->hard_state, error);
        if (code == -ENOENT)
            code = error_set(error, -EBADMSG,
                             "raft/hard_state is missing, but raft/identity is there");
        return code;
    }
    if (code == -ENOENT && has_log_files())
        return error_set(error, -EBADMSG, "raft/identity is missing, but log files are there");
    return code == -ENOENT ? 0 : code;
}

static void start_core(struct consensus *consensus)
{
    static struct raft_start start; /* large */
    const struct config *config = consensus->options.config;
    consensus->chance = entropy_number();
    start = (struct raft_start){
        .self = consensus->identity.member_number,
        .timing = {.election_ms = config->election_timeout_ms,
                   .heartbeat_ms = config->heartbeat_interval_ms,
                   .disk_ms = 4 * config->election_timeout_ms},
        .hard_state = consensus->hard_state.raft,
        .terms = *log_terms_found(consensus->log),
        .commit_index = consensus->hard_state.cut_index,
        .random = consensus_random(consensus),
    };
    membership_to_core(&consensus->membership, &start.configuration);
    membership_to_core(&consensus->membership_before, &start.configuration_before);
    raft_init(&consensus->raft, &start);
}

/* What a member has on disk. */
static int open_member(struct consensus *consensus, struct error *error)
{
    int code = open_log(consensus, error);
    if (!code)
        code = find_membership(consensus, error);
    if (!code && log_last_term(consensus->log) > consensus->hard_state.raft.term)
        code = error_set(error, -EBADMSG,
                         "raft/hard_state is older than the log: term %llu, the log has %llu",
                         (unsigned long long)consensus->hard_state.raft.term,
                         (unsigned long long)log_last_term(consensus->log));
    if (!code)
        start_core(consensus);
    return code;
}

int consensus_open(struct consensus **ret_consensus, const struct consensus_options *options,
                   struct error *error)
{
    struct consensus *consensus = memory_new_zeroed(1, sizeof(*consensus));
    bool is_member = false;
    int guard_fd; /* held for the life of the process */
    consensus->options = *options;
    consensus->raft.role = RAFT_FOLLOWER;
    int code = mkdir("raft", 0700) < 0 && errno != EEXIST ? -errno : 0;
    if (code)
        error_set_errno(error, code, "cannot make raft/");
    if (!code)
        code = datadir_guard(DATADIR_RAFT_PATH, "raftd", LIMIT_LOCK_WAIT_MS, &guard_fd, error);
    if (!code)
        code = open_state(consensus, &is_member, error);
    if (!code && is_member)
        code = open_member(consensus, error);
    if (code) {
        consensus_close(consensus);
        return code;
    }
    *ret_consensus = consensus;
    return 0;
}

bool consensus_is_member(const struct consensus *consensus)
{
    return consensus->log != NULL;
}

bool consensus_wants_bootstrap(const struct consensus *consensus)
{
    return !consensus->log && consensus->options.config->bootstrap;
}

int consensus_start(struct consensus *consensus, uint64_t stored_index, struct error *error)
{
    int code = 0;
    if (consensus_wants_bootstrap(consensus)) {
        assert(stored_index == 0);
        code = bootstrap(consensus, error);
        if (!code)
            code = open_member(consensus, error);
    }
    if (code)
        return code;
    consensus_step(consensus, (struct raft_event){.type = RAFT_ON_STORED, .index = stored_index});
    consensus_step(consensus, (struct raft_event){.type = RAFT_ON_TICK});
    return 0;
}

void consensus_flush(struct consensus *consensus)
{
    if (consensus->log)
        log_flush(consensus->log);
}

void consensus_close(struct consensus *consensus)
{
    if (!consensus)
        return;
    log_close(consensus->log);
    free(consensus);
}

const struct raft *consensus_raft(const struct consensus *consensus)
{
    return &consensus->raft;
}

uint64_t consensus_apply_index(const struct consensus *consensus)
{
    const struct raft *raft = &consensus->raft;
    return raft->commit_index < raft->persisted_index ? raft->commit_index : raft->persisted_index;
}

const struct identity *consensus_identity(const struct consensus *consensus)
{
    return &consensus->identity;
}

const struct membership *consensus_membership(const struct consensus *consensus)
{
    return &consensus->membership;
}

const struct hard_state *consensus_hard_state(const struct consensus *consensus)
{
    return &consensus->hard_state;
}

struct log *consensus_log(const struct consensus *consensus)
{
    return consensus->log;
}
