/* The log on disk: entries in segments, appended in batches by the writer thread. Owner: raftd.
 *
 * Loop thread: log_append collects records in memory; log_flush hands the batch to the writer if it
 * is free; when the writer is through, log_on_written reports the durable index. Until then, and
 * until log_forget, entries are read from memory; after that from the files.
 *
 * What a start finds:
 *   torn tail   records of the last batch that a crash cut: removed (zeroed and synced), told in
 * *ret_cut_bytes damage      a broken record that was durable for certain (record.h), one in a file
 * that is not the last, a gap between files: refused with file and offset, and nothing is changed
 * A flipped byte in the last batch ever written cannot be told from a torn write: it is cut. If
 * storaged has applied what is missing then, raftd refuses to go on (feed.h). */
#pragma once

#include "loop.h"
#include "record.h"
#include "segment.h"
#include "terms.h"

struct log;

struct log_options {
    struct loop *loop;
    uint8_t cluster_id[16];
    /* The entry before the first that must be there, as of the last cut; 0 and 0 for a log that was
     * never cut. */
    uint64_t previous_index, previous_term;
    /* From the loop, after a batch was synced: its last entry. */
    void (*on_durable)(void *context, uint64_t index, uint64_t term);
    /* The disk has no room for another file (log_is_without_spare), each time it was tried: the
     * caller may cut. May be NULL. */
    void (*on_short_of_space)(void *context);
    void (*on_failed)(void *context, int code); /* invariant 7: the process must end */
    void *context;
};

/* Opens raft/. Errors with a line: -EBADMSG damage, -EPROTO format or cluster, else errno. */
int log_open(struct log **ret_log, const struct log_options *options, uint64_t *ret_cut_bytes,
             struct error *error);
/* Waits for the writer and stops it. Entries not flushed are lost, as by a crash. */
void log_close(struct log *log);
/* With no log open: removes every file of it, the newest first. A crash leaves a log that ends
 * earlier. 0 or errno. */
int log_remove_files(void);
/* With no log open, and no files: a log that begins behind this entry, which a snapshot holds. 0 or
 * errno. */
int log_make_file(const uint8_t cluster_id[16], uint64_t previous_index, uint64_t previous_term);

uint64_t log_first_index(const struct log *log); /* last + 1 if empty */
uint64_t log_last_index(const struct log *log);
uint64_t log_last_term(const struct log *log);
/* What was found when the log was opened: the terms of its entries, and the indices of the two
 * newest CONFIGURATION entries (0: none). */
const struct terms *log_terms_found(const struct log *log);
uint64_t log_configuration_index(const struct log *log);
uint64_t log_configuration_before_index(const struct log *log);
/* Whether a command was ever in it, as far as it was not cut. */
bool log_has_commands(const struct log *log);
uint64_t log_bytes(const struct log *log);
uint64_t log_syncs(const struct log *log);           /* since it was opened */
uint64_t log_entries_written(const struct log *log); /* since it was opened */
/* Bytes not yet durable. */
uint64_t log_unsynced_bytes(const struct log *log);

/* The disk has no room for another file of the log: the batch waits, and is tried again every
 * second. What fits the last file was written; reads go on. */
bool log_is_short_of_space(const struct log *log);
/* There was no room for the file behind the newest, which is reserved while that is nearly empty:
 * no entry may come in that is not worth the rest of it. Tried again every second, and with each
 * cut, whose files serve again. */
bool log_is_without_spare(const struct log *log);
/* So many bytes of entries can be written for certain. */
bool log_has_room(const struct log *log, uint64_t bytes);

/* Appends the entry behind the last, in memory. */
void log_append(struct log *log, uint64_t term, enum entry_kind kind, const void *data,
                size_t data_bytes);
/* Removes the entries from `index` on, which must be in the log, durably; `last_term` is that of
 * the one before. Waits for the disk: leaders seldom disagree. After a crash some of them may be
 * there still, in their order. 0 or the negative errno that must end the process (-ENOSPC too). */
int log_truncate(struct log *log, uint64_t index, uint64_t last_term);
/* Gives what was appended to the writer, if it is idle. Call at turn end. */
void log_flush(struct log *log);

/* Entries index .. at most `last`, in order, to `fn` until it returns false. They must be in the
 * log. -EBADMSG if a file was damaged since. */
typedef bool log_visit_fn(void *context, const struct record *record);
int log_read(struct log *log, uint64_t index, uint64_t last, log_visit_fn *fn, void *context);

/* Entries up to `index` need not be kept in memory any more. */
void log_forget(struct log *log, uint64_t index);
/* The last index of the segments without which at most `bytes_max` of files would be left, the
 * newest included; 0: none. */
uint64_t log_over_bytes(const struct log *log, uint64_t bytes_max);
/* The newest index such that the segments up to it could be dropped with all entries > `index`
 * kept; 0: none. Its term in *ret_term. */
uint64_t log_cut_place(struct log *log, uint64_t index, uint64_t *ret_term);
/* Removes the segments up to a cut place, whose index and term the caller has made durable. 0 or
 * errno. */
int log_cut(struct log *log, uint64_t cut_index);
