/* How consensus begins: from what is on disk and where storaged is; by founding a cluster; in a
 * leader's cluster that this node was invited to; and anew behind a snapshot. */
#include "consensus_private.h"

#include "buffer.h"
#include "datadir.h"
#include "entropy.h"
#include "file.h"
#include "logger.h"
#include "status.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* ---- the log ---- */

static void on_durable(void *context, uint64_t index, uint64_t term)
{
    struct consensus *consensus = context;
    if (consensus->is_deciding) { /* truncating waits for the writer */
        consensus->persisted_index = index;
        consensus->persisted_term = term;
    } else if (consensus->phase >= PHASE_RUNNING) {
        consensus_step(consensus, (struct raft_event){
                                      .type = RAFT_ON_PERSISTED, .index = index, .term = term});
    }
}

static void on_log_failed(void *context, int code)
{
    consensus_fail(context, code, "log");
}

/* What is kept only for followers makes room. */
static void on_log_short(void *context)
{
    consensus_cut(context);
}

int consensus_open_log(struct consensus *consensus, struct error *error)
{
    struct log_options options = {
        .loop = consensus->options.loop,
        .previous_index = consensus->hard_state.cut_index,
        .previous_term = consensus->hard_state.cut_term,
        .on_durable = on_durable,
        .on_short_of_space = on_log_short,
        .on_failed = on_log_failed,
        .context = consensus,
    };
    uint64_t cut_bytes = 0;
    memcpy(options.cluster_id, consensus->hard_state.identity.cluster_id,
           sizeof(options.cluster_id));
    int code = log_open(&consensus->log, &options, &cut_bytes, error);
    if (!code && cut_bytes)
        logger_warning("log_tail_cut", "last_index=%llu bytes=%llu",
                       (unsigned long long)log_last_index(consensus->log),
                       (unsigned long long)cut_bytes);
    if (!code && log_last_term(consensus->log) > consensus->hard_state.raft.term)
        code = error_set(error, -EBADMSG,
                         "raft/hard_state is older than the log: term %llu, the log has %llu",
                         (unsigned long long)consensus->hard_state.raft.term,
                         (unsigned long long)log_last_term(consensus->log));
    return code;
}

/* ---- the core ---- */

static int load_configuration(struct consensus *consensus, uint64_t index,
                              struct membership *membership,
                              struct raft_configuration *configuration, struct error *error)
{
    if (consensus_load_membership(consensus, index, membership))
        return error_set(error, -EBADMSG, "the configuration at log index %llu makes no sense",
                         (unsigned long long)index);
    membership_to_core(membership, configuration);
    return 0;
}

/* With the log open: the core as it is after a start. */
static int start_core(struct consensus *consensus, struct error *error)
{
    static struct raft_start start; /* large */
    static struct membership before;
    const struct config *config = consensus->options.config;
    consensus->chance = entropy_number();
    start = (struct raft_start){
        .self = consensus->hard_state.identity.number,
        .timing = {.election_ms = config->election_timeout_ms,
                   .heartbeat_ms = config->heartbeat_interval_ms,
                   .disk_ms = 4 * config->election_timeout_ms},
        .hard_state = consensus->hard_state.raft,
        .terms = *log_terms_found(consensus->log),
        .commit_index = consensus->hard_state.cut_index,
        .random = consensus_random(consensus),
    };
    int code = load_configuration(consensus, log_configuration_before_index(consensus->log),
                                  &before, &start.configuration_before, error);
    if (!code)
        code = load_configuration(consensus, log_configuration_index(consensus->log),
                                  &consensus->membership, &start.configuration, error);
    if (!code)
        raft_init(&consensus->raft, &start);
    return code;
}

/* ---- founding a cluster ---- */

void consensus_own_server(const struct consensus *consensus, struct raft_server *server)
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

static int found_cluster(struct consensus *consensus, struct error *error)
{
    struct hard_state state = {0};
    int code = identity_make(&state.identity, consensus->options.config->node_id);
    if (!code)
        code = identity_found_cluster(&state.identity);
    if (!code)
        code = file_sync_directory("raft.create", ".");
    state.membership.count = 1;
    state.membership.numbers[0] = state.identity.number;
    consensus_own_server(consensus, &state.membership.servers[0]);
    if (!code)
        code = hard_state_save(&state);
    if (code)
        return error_set_errno(error, code, "cannot write raft/");
    consensus->hard_state = state;
    logger_info("bootstrapped", "node_id=%s", consensus->options.config->node_id);
    return consensus_open_log(consensus, error);
}

/* ---- an install that is through ---- */

/* The store is what the install says: the log begins anew behind it. */
static int finish_install(struct consensus *consensus, struct error *error)
{
    struct hard_state state = consensus->hard_state;
    const struct install *install = &state.install;
    bool is_other_cluster = memcmp(state.identity.cluster_id, install->cluster_id, 16) != 0;
    if (is_other_cluster)
        state.raft = (struct raft_hard_state){0};
    memcpy(state.identity.cluster_id, install->cluster_id, sizeof(install->cluster_id));
    state.cut_index = install->index;
    state.cut_term = install->term;
    state.membership = install->membership;
    log_close(consensus->log);
    consensus->log = NULL;
    int code = log_remove_files();
    if (!code && install->index)
        code = log_make_file(state.identity.cluster_id, install->index, install->term);
    logger_info(is_other_cluster ? "cluster_entered" : "snapshot_installed", "index=%llu term=%llu",
                (unsigned long long)install->index, (unsigned long long)install->term);
    state.install.is_pending = false;
    if (!code)
        code = hard_state_save(&state);
    if (code)
        return error_set_errno(error, code, "cannot write raft/");
    consensus->hard_state = state;
    return consensus_open_log(consensus, error);
}

/* The core took no part while the store was replaced: what it knew then still holds. */
static void tell_installed(struct consensus *consensus)
{
    static struct raft_configuration configuration;
    const struct hard_state *state = &consensus->hard_state;
    membership_to_core(&state->membership, &configuration);
    consensus->options.on_truncated(consensus->options.context, state->cut_index + 1);
    consensus_step(consensus, (struct raft_event){.type = RAFT_ON_INSTALLED,
                                                  .index = state->cut_index,
                                                  .term = state->cut_term,
                                                  .configuration = &configuration});
}

static int drop_install(struct consensus *consensus, struct error *error)
{
    logger_warning("snapshot_not_installed", "index=%llu",
                   (unsigned long long)consensus->hard_state.install.index);
    consensus->hard_state.install.is_pending = false;
    int code = hard_state_save(&consensus->hard_state);
    if (code)
        return error_set_errno(error, code, "cannot write raft/");
    return consensus->log ? 0 : consensus_open_log(consensus, error);
}

/* The install that was noted is through, or came to nothing: the store's place tells. */
static int settle_install(struct consensus *consensus, uint64_t stored_index, uint64_t stored_term,
                          struct error *error)
{
    const struct install *install = &consensus->hard_state.install;
    bool is_running = consensus->phase == PHASE_INSTALLING;
    bool is_done = stored_index == install->index && stored_term == install->term;
    int code = is_done ? finish_install(consensus, error) : drop_install(consensus, error);
    if (code || !is_running)
        return code;
    consensus->phase = PHASE_RUNNING;
    consensus->tick_ms = loop_now_ms(consensus->options.loop);
    if (is_done)
        tell_installed(consensus);
    consensus->options.on_settled(consensus->options.context, is_done);
    return 0;
}

/* ---- where the store is ---- */

struct term_find {
    uint64_t term;
};

static bool term_on_record(void *context, const struct record *record)
{
    struct term_find *find = context;
    find->term = record->term;
    return false;
}

/* Of the entry at this index, which may be the one before the first. 0: it cannot be read. */
static uint64_t log_term_at(struct consensus *consensus, uint64_t index)
{
    struct log *log = consensus->log;
    struct term_find find = {0};
    if (index < log_first_index(log))
        return terms_at(log_terms_found(log), index);
    return log_read(log, index, index, term_on_record, &find) ? 0 : find.term;
}

/* conure.db and the log must overlap, and agree where they do: else one of them was removed or
 * comes from elsewhere. */
static int check_overlap(struct consensus *consensus, uint64_t stored_index, uint64_t stored_term,
                         struct error *error)
{
    struct log *log = consensus->log;
    unsigned long long stored = stored_index, term = stored_term;
    unsigned long long first = log ? log_first_index(log) : 1, last = log ? log_last_index(log) : 0;
    if (stored > last)
        return error_set(error, -EBADMSG,
                         "conure.db has applied index %llu, but the log in raft/ ends at %llu: "
                         "raft/ was removed, cut or exchanged",
                         stored, last);
    if (stored + 1 < first)
        return error_set(error, -EBADMSG,
                         "conure.db has applied index %llu, but the log in raft/ begins at %llu: "
                         "conure.db was removed or exchanged",
                         stored, first);
    unsigned long long log_term = stored ? log_term_at(consensus, stored) : term;
    if (log_term != term)
        return error_set(error, -EBADMSG,
                         "conure.db has applied index %llu of term %llu, in raft/ that entry is of "
                         "term %llu: one of them was exchanged",
                         stored, term, log_term);
    return 0;
}

/* From here on the core is asked. */
static int take_part(struct consensus *consensus, uint64_t stored_index, struct error *error)
{
    int code = start_core(consensus, error);
    if (code)
        return code;
    consensus->phase = PHASE_RUNNING;
    consensus->members_changed = true;
    consensus->tick_ms = loop_now_ms(consensus->options.loop);
    consensus_step(consensus, (struct raft_event){.type = RAFT_ON_STORED, .index = stored_index});
    consensus_step(consensus, (struct raft_event){.type = RAFT_ON_TICK});
    consensus_watch_time(consensus);
    return 0;
}

int consensus_place(struct consensus *consensus, uint64_t stored_index, uint64_t stored_term,
                    enum consensus_place *ret_place, struct error *error)
{
    const struct install *install = &consensus->hard_state.install;
    int code = 0;
    *ret_place = CONSENSUS_FEED;
    if (install->is_pending && install->index == 0 && stored_index > 0) {
        *ret_place = CONSENSUS_EMPTY;
        return 0;
    }
    if (install->is_pending)
        code = settle_install(consensus, stored_index, stored_term, error);
    if (!code)
        code = check_overlap(consensus, stored_index, stored_term, error);
    if (!code && consensus->phase == PHASE_BLANK) {
        if (!consensus->options.config->bootstrap) {
            *ret_place = CONSENSUS_REST;
            return 0;
        }
        code = found_cluster(consensus, error);
        consensus->phase = PHASE_WAITING;
    }
    if (!code && consensus->phase == PHASE_WAITING)
        code = take_part(consensus, stored_index, error);
    return code;
}

/* ---- an invitation ---- */

static int refuse(struct invited *invited, uint16_t status, const char *reason)
{
    invited->status = status;
    snprintf(invited->reason, sizeof(invited->reason), "%s", reason);
    return -EPERM;
}

/* Founded alone, and nothing was ever written: it may be given up. */
static bool is_pristine(const struct consensus *consensus)
{
    const struct membership *membership = &consensus->membership;
    return consensus->phase == PHASE_RUNNING && membership->count == 1 &&
           membership->numbers[0] == consensus->hard_state.identity.number &&
           consensus->hard_state.cut_index == 0 && !log_has_commands(consensus->log);
}

bool consensus_is_settled(const struct consensus *consensus)
{
    return consensus->membership.count > 0 && !is_pristine(consensus);
}

bool consensus_seeks(const struct consensus *consensus)
{
    return consensus->options.config->seeds_count > 0 && is_pristine(consensus);
}

bool consensus_founds(const struct consensus *consensus)
{
    return consensus->is_founder && consensus_seeks(consensus);
}

void consensus_found(struct consensus *consensus)
{
    consensus->is_founder = true;
}

/* Invited, and never heard of that cluster since (it may be gone: its only node was invited itself,
 * or lost its disk). Nothing was ever promised there. */
static bool is_unclaimed(const struct consensus *consensus)
{
    return consensus->phase == PHASE_RUNNING && consensus->membership.count == 0 &&
           consensus->hard_state.cut_index == 0 && log_last_index(consensus->log) == 0;
}

static bool is_blank(const struct consensus *consensus)
{
    return consensus->phase == PHASE_BLANK && !consensus->options.config->bootstrap;
}

/* Its own cluster is given up: the store is made empty and the log removed (consensus_place). */
static int give_up_cluster(struct consensus *consensus, const uint8_t cluster_id[16])
{
    struct install *install = &consensus->hard_state.install;
    *install = (struct install){.is_pending = true};
    memcpy(install->cluster_id, cluster_id, sizeof(install->cluster_id));
    int code = hard_state_save(&consensus->hard_state);
    if (code)
        return code;
    static const struct membership nobody;
    consensus->phase = PHASE_WAITING;
    consensus->membership = nobody;
    consensus->members_changed = true;
    consensus->raft.role = RAFT_FOLLOWER;
    consensus->raft.leader = 0;
    consensus->options.on_role(consensus->options.context);
    logger_info("cluster_given_up", "reason=\"invited to another\"");
    return 0;
}

static int enter_cluster(struct consensus *consensus, const uint8_t cluster_id[16])
{
    struct hard_state *state = &consensus->hard_state;
    struct error error = {""};
    int code = identity_make(&state->identity, consensus->options.config->node_id);
    memcpy(state->identity.cluster_id, cluster_id, sizeof(state->identity.cluster_id));
    if (!code)
        code = file_sync_directory("raft.create", ".");
    if (!code)
        code = hard_state_save(state);
    if (!code)
        code = consensus_open_log(consensus, &error);
    if (!code)
        consensus->phase = PHASE_WAITING;
    return code;
}

static int answer_invite(struct consensus *consensus, const struct invite *invite,
                         struct invited *invited)
{
    const struct hard_state *state = &consensus->hard_state;
    const uint8_t *cluster_id =
        state->install.is_pending ? state->install.cluster_id : state->identity.cluster_id;
    if (strcmp(invite->node_id, consensus->options.config->node_id))
        return refuse(invited, PROTO_STATUS_REFUSED, "it is a node of another name");
    if (invite->number && invite->number != state->identity.number)
        return refuse(invited, PROTO_STATUS_REFUSED,
                      "it is a member with another disk than this one: remove it first");
    if (state->identity.number && !memcmp(cluster_id, invite->cluster_id, 16))
        return 0; /* it belongs there already */
    bool may_enter = is_blank(consensus);
    bool may_change = is_pristine(consensus) || is_unclaimed(consensus);
    if (!may_enter && !may_change && consensus->phase != PHASE_RUNNING)
        return refuse(invited, PROTO_STATUS_UNAVAILABLE, "it is starting");
    if (!may_enter && !may_change)
        return refuse(invited, PROTO_STATUS_REFUSED,
                      consensus->membership.count > 1
                          ? "it is a member of another cluster"
                          : "it has a cluster of its own, with data in it");
    int code = may_enter ? enter_cluster(consensus, invite->cluster_id)
                         : give_up_cluster(consensus, invite->cluster_id);
    if (code)
        consensus_fail(consensus, code, "hard state");
    return 0;
}

void consensus_invited(struct consensus *consensus, const struct invite *invite,
                       struct invited *ret_invited)
{
    struct raft_server own;
    struct invited invited = {.status = PROTO_STATUS_OK};
    consensus_own_server(consensus, &own);
    strcpy(invited.node_id, own.id);
    strcpy(invited.http_url, own.http_url);
    if (answer_invite(consensus, invite, &invited) == 0)
        invited.number = consensus->hard_state.identity.number;
    *ret_invited = invited;
}

/* ---- opening ---- */

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

/* The log of an install that was interrupted is opened when storaged has said what came of it. */
static int open_state(struct consensus *consensus, struct error *error)
{
    int code = hard_state_load(&consensus->hard_state, consensus->options.config->node_id, error);
    if (code == -ENOENT && has_log_files())
        return error_set(error, -EBADMSG, "raft/hard_state is missing, but log files are there");
    if (code)
        return code == -ENOENT ? 0 : code;
    consensus->phase = PHASE_WAITING;
    return consensus->hard_state.install.is_pending ? 0 : consensus_open_log(consensus, error);
}

int consensus_open(struct consensus **ret_consensus, const struct consensus_options *options,
                   struct error *error)
{
    struct consensus *consensus = memory_new_zeroed(1, sizeof(*consensus));
    int guard_fd; /* held for the life of the process */
    consensus->options = *options;
    consensus->raft.role = RAFT_FOLLOWER;
    consensus->hold_index = UINT64_MAX;
    int code = mkdir("raft", 0700) < 0 && errno != EEXIST ? -errno : 0;
    if (code)
        error_set_errno(error, code, "cannot make raft/");
    if (!code)
        code = datadir_guard(DATADIR_RAFT_PATH, "raftd", LIMIT_LOCK_WAIT_MS, &guard_fd, error);
    if (!code)
        code = open_state(consensus, error);
    if (code) {
        consensus_close(consensus);
        return code;
    }
    *ret_consensus = consensus;
    return 0;
}

void consensus_close(struct consensus *consensus)
{
    if (!consensus)
        return;
    loop_timer_cancel(consensus->options.loop, &consensus->tick_timer);
    log_close(consensus->log);
    free(consensus);
}
