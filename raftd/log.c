#include "log.h"

#include "buffer.h"
#include "entropy.h"
#include "file.h"
#include "limits.h"
#include "logger.h"
#include "writer.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define READ_CHUNK_BYTES (256u << 10)
#define SPACE_RETRY_MS 1000u
#define TRUNCATED_PATH "raft/truncated.log" /* no segment's name: a start ignores it */
#define INSTALLED_PATH "raft/installed.log" /* nor is this */

/* A batch of records: being collected, on its way to disk, or on disk and kept for those that read
 * what was just written. */
struct batch {
    struct batch *next;
    struct buffer bytes;
    uint64_t first_index, last_index;
    uint64_t last_term;
    struct segment *segment;
    uint64_t offset; /* in its segment */
};

struct log {
    struct log_options options;
    struct segment *oldest, *newest;
    struct writer *writer;
    struct batch *kept_first, *kept_last; /* written or being written */
    struct batch *waiting;                /* not given to the writer yet, one for each segment */
    struct batch *collecting;             /* the last of them, or NULL */
    uint64_t kept_bytes;
    bool writing;
    uint64_t last_index, last_term;
    uint64_t durable_index;
    uint64_t previous_index, previous_term;
    uint64_t unsynced_bytes;
    uint64_t syncs, entries_written;
    struct terms terms_found;
    uint64_t configuration_index, configuration_before_index; /* the newest in the files, at open */
    bool has_commands;
    bool failed;
    struct writer_job job;         /* under way, or waiting for space */
    struct loop_timer space_timer; /* set: it waits */
    enum writer_spare spare;
    struct loop_timer spare_timer;
};

/* ---- opening: reading one segment ---- */

static int fail_damage(struct error *error, const struct segment *segment, uint64_t offset,
                       const char *what)
{
    return error_set(error, -EBADMSG, "%s is damaged at offset %llu: %s", segment->path,
                     (unsigned long long)offset, what);
}

/* Whether a whole record after `offset` says that `index` was durable. */
static bool has_witness(const uint8_t *bytes, uint64_t length, uint32_t seed, uint64_t offset,
                        uint64_t index)
{
    struct record record;
    for (uint64_t at = offset; at + RECORD_HEADER_BYTES <= length; at += 8) {
        if (wire_load_u32(bytes + at + 4) == 0 ||
            record_decode(bytes + at, length - at, seed, &record))
            continue;
        if (record.index > index && record.synced_index >= index)
            return true;
    }
    return false;
}

static bool is_zero(const uint8_t *bytes, uint64_t length)
{
    return length == 0 || (bytes[0] == 0 && !memcmp(bytes, bytes + 1, length - 1));
}

static void log_note_found(struct log *log, const struct record *record)
{
    log->last_term = record->term;
    terms_append(&log->terms_found, record->term, 1);
    log->has_commands = log->has_commands || record->kind == ENTRY_COMMAND;
    if (record->kind == ENTRY_CONFIGURATION) {
        log->configuration_before_index = log->configuration_index;
        log->configuration_index = record->index;
    }
}

/* Walks the records. At the first that is none: the end if zeros follow, a torn tail if nothing
 * speaks against it and the file is the last. */
static int segment_scan(struct log *log, struct segment *segment, const uint8_t *bytes, bool last,
                        uint64_t *ret_torn_bytes, struct error *error)
{
    uint64_t at = SEGMENT_HEADER_BYTES, index = segment->header.first_index;
    uint32_t chain = segment->header.crc;
    struct record record;
    segment->last_index = index - 1;
    while (!record_decode(bytes + at, segment->file_bytes - at, segment->header.crc, &record)) {
        if (record.index != index || record.chain != chain || record.term < log->last_term)
            break;
        segment_note_record(segment, index++, at);
        log_note_found(log, &record);
        chain = record.crc;
        at += record_bytes_of(record.data_bytes);
    }
    segment->used_bytes = at;
    segment->crc_last = chain;
    log->last_index = index - 1;
    if (is_zero(bytes + at, segment->file_bytes - at))
        return 0;
    if (!last)
        return fail_damage(error, segment, at, "a record is broken and a later file follows");
    if (has_witness(bytes, segment->file_bytes, segment->header.crc, at, index))
        return fail_damage(error, segment, at, "a record is broken that was durable before");
    *ret_torn_bytes = segment->file_bytes - at;
    return 0;
}

static int segment_load(struct log *log, struct segment *segment, bool last,
                        uint64_t *ret_torn_bytes, struct error *error)
{
    int code = file_open("log.open", segment->path, O_RDWR, 0, &segment->fd);
    if (!code)
        code = file_size(segment->fd, &segment->file_bytes);
    if (code)
        return error_set_errno(error, code, "cannot open %s", segment->path);
    if (segment->file_bytes < SEGMENT_HEADER_BYTES)
        return fail_damage(error, segment, segment->file_bytes, "it ends within its header");
    if (segment->file_bytes < SEGMENT_BYTES) /* files are made long before they get their names */
        return fail_damage(error, segment, segment->file_bytes, "the file was cut short");
    uint8_t *bytes = memory_new(segment->file_bytes);
    code = file_read_at("log.read", segment->fd, bytes, segment->file_bytes, 0);
    if (code)
        code = error_set_errno(error, code, "cannot read %s", segment->path);
    else
        code = segment_header_decode(bytes, segment->path, &segment->header, error);
    if (!code && memcmp(segment->header.cluster_id, log->options.cluster_id, 16))
        code = error_set(error, -EPROTO, "%s belongs to another cluster", segment->path);
    if (!code && segment == log->oldest) {
        terms_reset(&log->terms_found, segment->header.first_index - 1,
                    segment->header.previous_term);
        log->last_term = segment->header.previous_term;
    }
    if (!code)
        code = segment_scan(log, segment, bytes, last, ret_torn_bytes, error);
    free(bytes);
    return code;
}

/* ---- opening: the row of segments ---- */

static int compare_index(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

/* First indices of the files, ascending. What is not a log file is left alone. */
static int log_list(uint64_t **ret_firsts, size_t *ret_count, struct error *error)
{
    DIR *directory = opendir("raft");
    if (!directory)
        return error_set_errno(error, -errno, "cannot read raft/");
    uint64_t *firsts = NULL;
    size_t count = 0;
    for (struct dirent *entry = readdir(directory); entry; entry = readdir(directory)) {
        unsigned long long first;
        int end = 0;
        if (sscanf(entry->d_name, "%20llu.log%n", &first, &end) != 1 || end != 24 ||
            entry->d_name[end])
            continue;
        firsts = realloc(firsts, (count + 1) * sizeof(*firsts));
        if (!firsts)
            abort();
        firsts[count++] = first;
    }
    (void)closedir(directory);
    if (count)
        qsort(firsts, count, sizeof(*firsts), compare_index);
    *ret_firsts = firsts;
    *ret_count = count;
    return 0;
}

static void log_add_segment(struct log *log, struct segment *segment)
{
    if (log->newest)
        log->newest->next = segment;
    else
        log->oldest = segment;
    log->newest = segment;
}

static int log_check_place(struct log *log, const struct segment *segment, uint64_t first,
                           struct error *error)
{
    if (segment->header.first_index != first)
        return fail_damage(error, segment, 16, "its name and its first index differ");
    if (log->oldest != segment && first != log->last_index + 1)
        return error_set(
            error, -EBADMSG,
            "the log has a gap: %s begins at index %llu, the file before it ends at %llu",
            segment->path, (unsigned long long)first, (unsigned long long)log->last_index);
    return 0;
}

static int log_load_segments(struct log *log, const uint64_t *firsts, size_t count,
                             uint64_t *ret_torn, struct error *error)
{
    for (size_t i = 0; i < count; i++) {
        struct segment *segment = memory_new_zeroed(1, sizeof(*segment));
        uint64_t end_before = log->last_index;
        segment_path(segment->path, firsts[i]);
        segment->fd = -1;
        log_add_segment(log, segment);
        int code = segment_load(log, segment, i + 1 == count, ret_torn, error);
        uint64_t end = log->last_index;
        log->last_index = end_before;
        if (!code)
            code = log_check_place(log, segment, firsts[i], error);
        if (code)
            return code;
        log->last_index = end;
    }
    return 0;
}

/* Segments that end at or before the last cut: their removal was interrupted. */
static uint64_t firsts_skip_cut(const uint64_t *firsts, size_t count, uint64_t previous_index)
{
    size_t skip = 0;
    while (skip + 1 < count && firsts[skip + 1] <= previous_index + 1)
        skip++;
    return skip;
}

static int log_check_start(struct log *log, struct error *error)
{
    uint64_t first = log->oldest ? log->oldest->header.first_index : 0;
    if (!log->oldest && log->previous_index)
        return error_set(error, -EBADMSG,
                         "raft/ has no log files, but entries up to %llu were cut from one",
                         (unsigned long long)log->previous_index);
    if (log->oldest && first > log->previous_index + 1)
        return error_set(error, -EBADMSG,
                         "the log begins at index %llu, it should at %llu: files are missing",
                         (unsigned long long)first, (unsigned long long)log->previous_index + 1);
    return 0;
}

static int log_zero_tail(struct log *log, uint64_t torn_bytes, struct error *error)
{
    struct segment *segment = log->newest;
    uint8_t *zeros = memory_new_zeroed(1, torn_bytes);
    int code = file_write_at("log.repair", segment->fd, zeros, torn_bytes, segment->used_bytes);
    if (!code)
        code = file_sync("log.repair", segment->fd);
    free(zeros);
    return code ? error_set_errno(error, code, "cannot cut the torn end of %s", segment->path) : 0;
}

static int log_load(struct log *log, uint64_t *ret_cut_bytes, struct error *error)
{
    uint64_t *firsts = NULL, torn_bytes = 0;
    size_t count = 0, skip = 0;
    int code = log_list(&firsts, &count, error);
    if (!code) {
        skip = firsts_skip_cut(firsts, count, log->previous_index);
        log->last_index = log->previous_index;
        code = log_load_segments(log, firsts + skip, count - skip, &torn_bytes, error);
    }
    if (!code)
        code = log_check_start(log, error);
    if (!code && torn_bytes)
        code = log_zero_tail(log, torn_bytes, error);
    for (size_t i = 0; i < skip && !code; i++) {
        char path[SEGMENT_NAME_BYTES];
        segment_path(path, firsts[i]);
        code = file_unlink("log.cut", path);
        if (code)
            error_set_errno(error, code, "cannot remove %s", path);
    }
    free(firsts);
    *ret_cut_bytes = torn_bytes;
    return code;
}

/* ---- writing ---- */

static void log_on_written(void *context, int code, int fd);
static void log_on_spare(void *context, enum writer_spare spare);

int log_open(struct log **ret_log, const struct log_options *options, uint64_t *ret_cut_bytes,
             struct error *error)
{
    struct log *log = memory_new_zeroed(1, sizeof(*log));
    log->options = *options;
    log->previous_index = options->previous_index;
    log->previous_term = options->previous_term;
    log->last_term = options->previous_term;
    terms_reset(&log->terms_found, options->previous_index, options->previous_term);
    int code = log_load(log, ret_cut_bytes, error);
    if (!code &&
        (code = writer_new(&log->writer, options->loop, log_on_written, log_on_spare, log)))
        code = error_set_errno(error, code, "cannot start the log writer");
    if (code) {
        log_close(log);
        return code;
    }
    log->durable_index = log->last_index;
    writer_want_spare(log->writer);
    *ret_log = log;
    return 0;
}

static void batch_free(struct batch *batch)
{
    buffer_free(&batch->bytes);
    free(batch);
}

void log_close(struct log *log)
{
    if (!log)
        return;
    loop_timer_cancel(log->options.loop, &log->space_timer);
    loop_timer_cancel(log->options.loop, &log->spare_timer);
    if (log->writer)
        writer_free(log->writer);
    while (log->oldest) {
        struct segment *segment = log->oldest;
        log->oldest = segment->next;
        segment_free(segment);
    }
    while (log->kept_first) {
        struct batch *batch = log->kept_first;
        log->kept_first = batch->next;
        batch_free(batch);
    }
    while (log->waiting) {
        struct batch *batch = log->waiting;
        log->waiting = batch->next;
        batch_free(batch);
    }
    free(log);
}

/* A segment for a batch that begins at `first_index`; its file is made and named by the writer. */
static struct segment *log_new_segment(struct log *log, uint64_t first_index,
                                       uint64_t previous_term)
{
    struct segment *segment = memory_new_zeroed(1, sizeof(*segment));
    segment->fd = -1;
    segment->header.first_index = first_index;
    segment->header.previous_term = previous_term;
    memcpy(segment->header.cluster_id, log->options.cluster_id, 16);
    segment->header.salt = entropy_number();
    segment_path(segment->path, first_index);
    segment->last_index = first_index - 1;
    segment->file_bytes = SEGMENT_BYTES;
    log_add_segment(log, segment);
    return segment;
}

static bool segment_has_room(const struct segment *segment, uint64_t bytes)
{
    return segment && segment->used_bytes + bytes <= segment->file_bytes;
}

static void batch_begin(struct log *log, uint64_t record_bytes)
{
    struct batch *batch = memory_new_zeroed(1, sizeof(*batch));
    batch->first_index = log->last_index + 1;
    batch->last_index = log->last_index;
    if (!segment_has_room(log->newest, record_bytes)) {
        struct segment *segment = log_new_segment(log, batch->first_index, log->last_term);
        uint8_t header[SEGMENT_HEADER_BYTES];
        segment_header_encode(header, &segment->header);
        segment->crc_last = segment->header.crc;
        buffer_append(&batch->bytes, header, sizeof(header));
        segment->used_bytes = SEGMENT_HEADER_BYTES;
        if (segment->used_bytes + record_bytes > segment->file_bytes)
            segment->file_bytes = segment->used_bytes + record_bytes;
    }
    batch->segment = log->newest;
    batch->offset = log->newest->used_bytes - batch->bytes.length;
    if (log->collecting)
        log->collecting->next = batch;
    else
        log->waiting = batch;
    log->collecting = batch;
}

/* A batch lies in one segment: a record that does not fit the file begins another of both. */
void log_append(struct log *log, uint64_t term, enum entry_kind kind, const void *data,
                size_t data_bytes)
{
    uint64_t bytes = record_bytes_of((uint32_t)data_bytes);
    if (!log->collecting || !segment_has_room(log->collecting->segment, bytes))
        batch_begin(log, bytes);
    struct batch *batch = log->collecting;
    struct segment *segment = batch->segment;
    struct record record = {
        .kind = kind,
        .index = log->last_index + 1,
        .term = term,
        .synced_index = log->durable_index,
        .chain = segment->crc_last,
        .data = data,
        .data_bytes = (uint32_t)data_bytes,
    };
    segment->crc_last = record_encode(&batch->bytes, &record, segment->header.crc);
    segment_note_record(segment, record.index, segment->used_bytes);
    segment->used_bytes += bytes;
    batch->last_index = log->last_index = record.index;
    batch->last_term = term;
    log->last_term = term;
    log->has_commands = log->has_commands || kind == ENTRY_COMMAND;
    log->unsynced_bytes += bytes;
}

void log_flush(struct log *log)
{
    struct batch *batch = log->waiting;
    if (log->writing || !batch)
        return;
    log->waiting = batch->next;
    batch->next = NULL;
    if (batch == log->collecting)
        log->collecting = NULL;
    if (log->kept_last)
        log->kept_last->next = batch;
    else
        log->kept_first = batch;
    log->kept_last = batch;
    log->kept_bytes += batch->bytes.length;
    log->writing = true;
    log->job = (struct writer_job){
        .fd = batch->segment->fd,
        .file_bytes = batch->segment->file_bytes,
        .bytes = batch->bytes.bytes,
        .length = batch->bytes.length,
        .offset = batch->offset,
    };
    memcpy(log->job.path, batch->segment->path, sizeof(log->job.path));
    writer_start(log->writer, &log->job);
}

static void log_try_again(void *context)
{
    struct log *log = context;
    writer_start(log->writer, &log->job);
}

bool log_is_short_of_space(const struct log *log)
{
    return log->space_timer.place != 0;
}

static void log_try_spare(void *context)
{
    struct log *log = context;
    writer_want_spare(log->writer);
}

static void log_on_spare(void *context, enum writer_spare spare)
{
    struct log *log = context;
    log->spare = spare;
    if (spare != WRITER_SPARE_MISSING)
        return;
    loop_timer_set(log->options.loop, &log->spare_timer,
                   loop_now_ms(log->options.loop) + SPACE_RETRY_MS, log_try_spare, log);
    if (log->options.on_short_of_space)
        log->options.on_short_of_space(log->options.context);
}

bool log_is_without_spare(const struct log *log)
{
    return log->spare == WRITER_SPARE_MISSING || log_is_short_of_space(log);
}

bool log_has_room(const struct log *log, uint64_t bytes)
{
    if (log_is_short_of_space(log))
        return false;
    return log->spare != WRITER_SPARE_MISSING || segment_has_room(log->newest, bytes);
}

static void log_on_written(void *context, int code, int fd)
{
    struct log *log = context;
    struct batch *batch = log->kept_last;
    if (log->job.fd < 0 && log->spare != WRITER_SPARE_MISSING)
        log->spare = WRITER_SPARE_LATER;      /* it was made of it */
    if (code == -ENOSPC && log->job.fd < 0) { /* no new file: nothing was written */
        loop_timer_set(log->options.loop, &log->space_timer,
                       loop_now_ms(log->options.loop) + SPACE_RETRY_MS, log_try_again, log);
        if (log->options.on_short_of_space)
            log->options.on_short_of_space(log->options.context);
        return;
    }
    log->writing = false;
    batch->segment->fd = fd;
    if (code) {
        log->failed = true;
        log->options.on_failed(log->options.context, code);
        return;
    }
    log->syncs++;
    log->entries_written += batch->last_index + 1 - batch->first_index;
    log->durable_index = batch->last_index;
    log->unsynced_bytes -=
        batch->bytes.length < log->unsynced_bytes ? batch->bytes.length : log->unsynced_bytes;
    if (!log->waiting)
        log->unsynced_bytes = 0;
    uint64_t last_term = batch->last_term;
    if (log->kept_bytes > LIMIT_LOG_MEMORY_BYTES)
        log_forget(log, log->durable_index); /* storaged is far behind: it is read from the files */
    log->options.on_durable(log->options.context, log->durable_index, last_term);
}

/* ---- reading ---- */

uint64_t log_first_index(const struct log *log)
{
    return log->oldest ? log->oldest->header.first_index : log->last_index + 1;
}

uint64_t log_last_index(const struct log *log)
{
    return log->last_index;
}

uint64_t log_last_term(const struct log *log)
{
    return log->last_term;
}

const struct terms *log_terms_found(const struct log *log)
{
    return &log->terms_found;
}

uint64_t log_configuration_before_index(const struct log *log)
{
    return log->configuration_before_index;
}

uint64_t log_configuration_index(const struct log *log)
{
    return log->configuration_index;
}

bool log_has_commands(const struct log *log)
{
    return log->has_commands;
}

uint64_t log_bytes(const struct log *log)
{
    uint64_t bytes = 0;
    for (const struct segment *segment = log->oldest; segment; segment = segment->next)
        bytes += segment->file_bytes;
    return bytes;
}

uint64_t log_syncs(const struct log *log)
{
    return log->syncs;
}

uint64_t log_entries_written(const struct log *log)
{
    return log->entries_written;
}

uint64_t log_unsynced_bytes(const struct log *log)
{
    return log->unsynced_bytes;
}

static bool visit_bytes(const struct segment *segment, const uint8_t *bytes, uint64_t length,
                        uint64_t *index, uint64_t last, log_visit_fn *fn, void *context,
                        int *ret_code)
{
    struct record record;
    uint64_t at = 0;
    while (*index <= last && at + RECORD_HEADER_BYTES <= length) {
        if (record_bytes_of(wire_load_u32(bytes + at)) > length - at)
            return true; /* cut by the end of the chunk: the caller reads on from here */
        if (record_decode(bytes + at, length - at, segment->header.crc, &record) ||
            record.index != *index) {
            *ret_code = -EBADMSG;
            return false;
        }
        (*index)++;
        at += record_bytes_of(record.data_bytes);
        if (!fn(context, &record))
            return false;
    }
    return true;
}

static const struct batch *log_kept(const struct log *log, uint64_t index)
{
    for (const struct batch *batch = log->kept_first; batch; batch = batch->next)
        if (index >= batch->first_index && index <= batch->last_index)
            return batch;
    for (const struct batch *batch = log->waiting; batch; batch = batch->next)
        if (index >= batch->first_index && index <= batch->last_index)
            return batch;
    return NULL;
}

static int read_from_batch(const struct batch *batch, uint64_t *index, uint64_t last,
                           log_visit_fn *fn, void *context, bool *go_on)
{
    int code = 0;
    uint64_t skip = segment_offset(batch->segment, *index) - batch->offset;
    *go_on = visit_bytes(batch->segment, batch->bytes.bytes + skip, batch->bytes.length - skip,
                         index, last, fn, context, &code);
    return code;
}

static struct segment *log_segment_of(struct log *log, uint64_t index)
{
    struct segment *segment = log->oldest;
    while (segment && index > segment->last_index)
        segment = segment->next;
    return segment;
}

/* From here on entries are in memory, and perhaps not yet in a file. */
static uint64_t log_kept_from(const struct log *log)
{
    const struct batch *first = log->kept_first ? log->kept_first : log->waiting;
    return first ? first->first_index : log->last_index + 1;
}

static int read_from_file(struct log *log, uint64_t *index, uint64_t last, log_visit_fn *fn,
                          void *context, bool *go_on)
{
    struct segment *segment = log_segment_of(log, *index);
    assert(segment && *index >= segment->header.first_index);
    uint64_t offset = segment_offset(segment, *index);
    uint64_t end =
        *index == segment->last_index ? segment->used_bytes : segment_offset(segment, *index + 1);
    uint64_t length = end - offset > READ_CHUNK_BYTES ? end - offset : READ_CHUNK_BYTES;
    if (length > segment->used_bytes - offset)
        length = segment->used_bytes - offset;
    uint8_t *bytes = memory_new(length);
    int code = file_read_at("log.read", segment->fd, bytes, length, offset);
    *go_on = false;
    if (!code)
        *go_on = visit_bytes(segment, bytes, length, index, last, fn, context, &code);
    free(bytes);
    return code == -ENODATA ? -EBADMSG : code;
}

int log_read(struct log *log, uint64_t index, uint64_t last, log_visit_fn *fn, void *context)
{
    bool go_on = true;
    int code = 0;
    assert(index >= log_first_index(log) && last <= log->last_index);
    while (index <= last && go_on && !code) {
        const struct batch *batch = log_kept(log, index);
        uint64_t last_in_file = log_kept_from(log) - 1 < last ? log_kept_from(log) - 1 : last;
        code = batch ? read_from_batch(batch, &index, last, fn, context, &go_on)
                     : read_from_file(log, &index, last_in_file, fn, context, &go_on);
    }
    return code;
}

void log_forget(struct log *log, uint64_t index)
{
    while (log->kept_first && log->kept_first->last_index <= index &&
           log->kept_first->last_index <= log->durable_index) {
        struct batch *batch = log->kept_first;
        if (log->writing && batch == log->kept_last)
            return;
        log->kept_bytes -= batch->bytes.length;
        log->kept_first = batch->next;
        if (!log->kept_first)
            log->kept_last = NULL;
        batch_free(batch);
    }
}

/* ---- truncating ---- */

/* Everything that was appended is on disk, or the log has failed. */
static void log_settle(struct log *log)
{
    while (!log->failed && !log_is_short_of_space(log) && (log->writing || log->waiting)) {
        log_flush(log);
        writer_wait(log->writer);
    }
}

static int segment_remove_newest(struct log *log)
{
    struct segment *last = log->newest, *before = log->oldest;
    while (before->next != last)
        before = before->next;
    int code = file_unlink("log.truncate", last->path);
    if (!code)
        code = file_sync_directory("log.truncate", "raft");
    before->next = NULL;
    log->newest = before;
    segment_free(last);
    return code;
}

/* The beginning of a segment under a name of no meaning, then in place of the whole: records that
 * were left behind would, after a crash, tell of a durable entry that is missing (record.h). */
static int segment_rewrite(struct segment *segment, uint64_t bytes_kept)
{
    uint8_t *bytes = memory_new(bytes_kept);
    int fd = -1;
    int code = file_read_at("log.truncate", segment->fd, bytes, bytes_kept, 0);
    if (!code)
        code = segment_prepare(TRUNCATED_PATH, segment->file_bytes);
    if (!code)
        code = file_open("log.truncate", TRUNCATED_PATH, O_RDWR, 0, &fd);
    if (!code)
        code = file_write_at("log.truncate", fd, bytes, bytes_kept, 0);
    if (!code)
        code = file_sync("log.truncate", fd);
    if (!code)
        code = file_rename("log.truncate", TRUNCATED_PATH, segment->path);
    if (!code)
        code = file_sync_directory("log.truncate", "raft");
    free(bytes);
    if (code)
        return code;
    file_close(segment->fd);
    segment->fd = fd;
    return 0;
}

static int segment_truncate(struct segment *segment, uint64_t index)
{
    uint64_t bytes_kept =
        index <= segment->last_index ? segment_offset(segment, index) : segment->used_bytes;
    uint32_t crc = segment->header.crc;
    if (index > segment->header.first_index) {
        uint8_t header[RECORD_HEADER_BYTES];
        int code = file_read_at("log.truncate", segment->fd, header, sizeof(header),
                                segment_offset(segment, index - 1));
        if (code)
            return code;
        crc = wire_load_u32(header + 4);
    }
    int code = bytes_kept < segment->used_bytes ? segment_rewrite(segment, bytes_kept) : 0;
    segment->used_bytes = bytes_kept;
    segment->last_index = index - 1;
    segment->crc_last = crc;
    return code;
}

int log_truncate(struct log *log, uint64_t index, uint64_t last_term)
{
    assert(index >= log_first_index(log) && index <= log->last_index);
    log_settle(log);
    if (log->failed || log_is_short_of_space(log))
        return log->failed ? -EIO : -ENOSPC;
    while (log->kept_first) {
        struct batch *batch = log->kept_first;
        log->kept_first = batch->next;
        batch_free(batch);
    }
    log->kept_last = NULL;
    log->kept_bytes = 0;
    int code = 0;
    while (!code && log->newest != log->oldest && log->newest->header.first_index >= index)
        code = segment_remove_newest(log);
    if (!code)
        code = segment_truncate(log->newest, index);
    log->last_index = log->durable_index = index - 1;
    log->last_term = last_term;
    return code;
}

/* ---- cutting ---- */

uint64_t log_over_bytes(const struct log *log, uint64_t bytes_max)
{
    uint64_t bytes = log_bytes(log), index = 0;
    for (const struct segment *segment = log->oldest; segment != log->newest && bytes > bytes_max;
         segment = segment->next) {
        bytes -= segment->file_bytes;
        index = segment->last_index;
    }
    return index;
}

uint64_t log_cut_place(struct log *log, uint64_t index, uint64_t *ret_term)
{
    uint64_t place = 0;
    for (struct segment *segment = log->oldest;
         segment && segment->next && segment->next->fd >= 0 && segment->last_index <= index;
         segment = segment->next) { /* (the next one is on disk: a log is never without a file) */
        place = segment->last_index;
        *ret_term = segment->next->header.previous_term;
    }
    return place;
}

/* Also while nobody has tried yet: on a full disk others would take the room of what is cut. */
static bool log_wants_spare(const struct log *log)
{
    return log->spare == WRITER_SPARE_LATER || log_is_without_spare(log);
}

int log_cut(struct log *log, uint64_t cut_index)
{
    int code = 0;
    while (!code && log->oldest && log->oldest->next && log->oldest->last_index <= cut_index) {
        struct segment *segment = log->oldest;
        bool is_wanted = log_wants_spare(log) && segment->file_bytes == SEGMENT_BYTES;
        code = is_wanted ? file_rename("log.cut", segment->path, WRITER_RECYCLED_PATH)
                         : file_unlink("log.cut", segment->path);
        log->oldest = segment->next;
        segment_free(segment);
    }
    if (!code)
        code = file_sync_directory("log.cut", "raft");
    if (log_wants_spare(log))
        writer_want_spare(log->writer);
    return code;
}

/* ---- beginning anew ---- */

int log_remove_files(void)
{
    uint64_t *firsts = NULL;
    size_t count = 0;
    struct error error;
    int code = log_list(&firsts, &count, &error);
    while (!code && count > 0) {
        char path[SEGMENT_NAME_BYTES];
        segment_path(path, firsts[--count]);
        code = file_unlink("log.remove", path);
        if (!code) /* one at a time, so that a crash leaves no gap */
            code = file_sync_directory("log.remove", "raft");
    }
    free(firsts);
    return code;
}

int log_make_file(const uint8_t cluster_id[16], uint64_t previous_index, uint64_t previous_term)
{
    struct segment_header header = {.first_index = previous_index + 1,
                                    .previous_term = previous_term,
                                    .salt = entropy_number()};
    uint8_t bytes[SEGMENT_HEADER_BYTES];
    char path[SEGMENT_NAME_BYTES];
    int fd = -1;
    memcpy(header.cluster_id, cluster_id, sizeof(header.cluster_id));
    segment_header_encode(bytes, &header);
    segment_path(path, header.first_index);
    int code = segment_prepare(INSTALLED_PATH, SEGMENT_BYTES);
    if (!code)
        code = file_open("log.make", INSTALLED_PATH, O_RDWR, 0, &fd);
    if (!code)
        code = file_write_at("log.make", fd, bytes, sizeof(bytes), 0);
    if (!code)
        code = file_sync("log.make", fd);
    if (fd >= 0)
        file_close(fd);
    if (!code)
        code = file_rename("log.make", INSTALLED_PATH, path);
    return code ? code : file_sync_directory("log.make", "raft");
}
