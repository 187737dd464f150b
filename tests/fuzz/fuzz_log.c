/* raftd's log files with any records: whole ones with right checksums in any order of index, term,
 * chain and claim, then patches. The log opens, and can be read and opened again, or is refused
 * with a line. Owner: tests/fuzz. */
#define LOG_MUTANT_OWN
#include "log_mutant.h"

#include "scratch.h"

#include "buffer.h"
#include "log.h"
#include "loop.h"
#include "record.h"

#include <fcntl.h>
#include <stdbool.h>
#include <string.h>

static struct loop *loop;
static char made[4][SEGMENT_NAME_BYTES];
static unsigned made_count;

static void must(bool holds)
{
    if (!holds)
        abort();
}

static void on_durable(void *context, uint64_t index, uint64_t term)
{
    (void)context, (void)index, (void)term;
}

static void on_failed(void *context, int code)
{
    (void)context, (void)code;
    abort();
}

static bool on_record(void *context, const struct record *record)
{
    uint64_t *next = context;
    must(record->index == (*next)++);
    return true;
}

static void file_make(struct script *script, uint64_t first, uint64_t *index, uint32_t *chain)
{
    struct buffer bytes = {0};
    struct segment_header header = {.first_index = first, .cluster_id = "fuzz"};
    static const uint8_t data[256];
    char *path = made[made_count++];
    segment_header_encode(buffer_reserve(&bytes, SEGMENT_HEADER_BYTES), &header);
    bytes.length += SEGMENT_HEADER_BYTES;
    *chain = header.crc;
    for (uint32_t count = script_next(script, 1) % 8; count > 0; count--) {
        uint32_t what = script_next(script, 1);
        struct record record = {.kind = (enum entry_kind)(1 + (what & 1)),
                                .index = what & 2 ? script_next(script, 1) : (*index)++,
                                .term = what & 4 ? script_next(script, 1) : 1,
                                .synced_index = what & 8 ? script_next(script, 1) : 0,
                                .chain = what & 16 ? script_next(script, 4) : *chain,
                                .data = data,
                                .data_bytes = script_next(script, 1)};
        *chain = record_encode(&bytes, &record, header.crc);
    }
    size_t whole = bytes.length + script_next(script, 1) * 8;
    memset(buffer_reserve(&bytes, whole - bytes.length + 1), 0, whole - bytes.length);
    bytes.length = whole;
    for (uint32_t count = script_next(script, 1) % 4; count > 0; count--)
        bytes.bytes[script_next(script, 2) % whole] = (uint8_t)script_next(script, 1);
    segment_path(path, first);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    must(fd >= 0 && write(fd, bytes.bytes, bytes.length) == (ssize_t)bytes.length);
    (void)close(fd);
    buffer_free(&bytes);
}

/* True if it opened; *ret_last is its end. */
static bool open_once(uint64_t *ret_last)
{
    struct log *log = NULL;
    struct error error = {""};
    uint64_t cut_bytes = 0;
    struct log_options options = {
        .loop = loop, .cluster_id = "fuzz", .on_durable = on_durable, .on_failed = on_failed};
    int code = log_open(&log, &options, &cut_bytes, &error);
    if (code) {
        must(error.text[0]);
        return false;
    }
    uint64_t next = log_first_index(log), last = log_last_index(log);
    if (last >= next)
        must(log_read(log, next, last, on_record, &next) == 0 && next == last + 1);
    log_close(log);
    *ret_last = last;
    return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
    struct script script = {bytes, bytes + length};
    uint64_t index = 1, last, again;
    uint32_t chain = 0;
    if (!loop) {
        scratch_enter();
        must(loop_new(&loop) == 0);
    }
    for (; made_count > 0; made_count--)
        (void)unlink(made[made_count - 1]);
    for (uint32_t files = 1 + script_next(&script, 1) % 2; files > 0; files--)
        file_make(&script, index, &index, &chain);
    if (open_once(&last))
        must(open_once(&again) && again == last); /* a repair is done once */
    return 0;
}
