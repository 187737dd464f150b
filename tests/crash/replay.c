/* The durable content of each file is kept in memory, and the file in state/ is changed from one
 * crash state to the next by writing only the blocks that differ. A state is a vector of choices,
 * one for each thing that is pending:
 *
 *   block   0: what is durable, v: its v-th content since the last sync
 *   length  0: the durable one, v: the v-th since
 *   name    0: the operation is lost, 1: it is not */
#include "replay.h"

#include "buffer.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define SECTORS_MAX 8u
#define COMBINATIONS_MAX 4096u
#define JUNK_BYTES (1u << 16)
#define WRITTEN_OTHERWISE UINT32_MAX /* a block whose file holds none of its contents */

struct version {
    size_t event;
    uint8_t *bytes;  /* of a block */
    uint64_t length; /* of a file */
};

/* Something with several legal outcomes. */
struct choice {
    enum { CHOICE_BLOCK, CHOICE_LENGTH, CHOICE_NAME } kind;
    unsigned file;
    uint64_t block;
    struct version *versions;
    unsigned versions_count, versions_capacity;
    unsigned wanted, present; /* in the state to be, in the files now */
};

struct image {
    int fd; /* -1: no such file yet */
    uint8_t *durable;
    uint64_t durable_length, capacity;
    uint64_t present_length, present_base;
    bool present_junk;
    bool present_valid;
};

struct name {
    char name[DISK_NAME_BYTES];
    unsigned file;
};

struct names {
    struct name list[DISK_FILES_MAX];
    unsigned count;
};

struct replay {
    const struct disk *disk;
    const struct replay_options *options;
    struct replay_result *result;
    struct image images[DISK_FILES_MAX];
    struct choice *choices;
    size_t choices_count, choices_capacity;
    struct names durable_names, present_names;
    bool junk;
    size_t event;
    uint8_t junk_bytes[JUNK_BYTES];
};

/* ---- choices ---- */

static struct choice *choice_find(struct replay *replay, int kind, unsigned file, uint64_t block)
{
    for (size_t i = 0; i < replay->choices_count; i++) {
        struct choice *choice = &replay->choices[i];
        if ((int)choice->kind == kind && choice->file == file && choice->block == block)
            return choice;
    }
    return NULL;
}

static struct choice *choice_get(struct replay *replay, int kind, unsigned file, uint64_t block)
{
    struct choice *choice = choice_find(replay, kind, file, block);
    if (choice)
        return choice;
    if (replay->choices_count == replay->choices_capacity) {
        replay->choices_capacity = replay->choices_capacity ? replay->choices_capacity * 2 : 64;
        replay->choices =
            realloc(replay->choices, replay->choices_capacity * sizeof(*replay->choices));
        if (!replay->choices)
            abort();
    }
    choice = &replay->choices[replay->choices_count++];
    *choice = (struct choice){.file = file, .block = block};
    choice->kind = (unsigned)kind;
    return choice;
}

static struct version *choice_add(struct replay *replay, struct choice *choice)
{
    if (choice->versions_count == choice->versions_capacity) {
        choice->versions_capacity = choice->versions_capacity ? choice->versions_capacity * 2 : 2;
        choice->versions =
            realloc(choice->versions, choice->versions_capacity * sizeof(*choice->versions));
        if (!choice->versions)
            abort();
    }
    struct version *version = &choice->versions[choice->versions_count++];
    *version = (struct version){.event = replay->event};
    return version;
}

static void choice_free(struct choice *choice)
{
    for (unsigned i = 0; i < choice->versions_count; i++)
        free(choice->versions[i].bytes);
    free(choice->versions);
}

static void choices_want_latest(struct replay *replay)
{
    for (size_t i = 0; i < replay->choices_count; i++)
        replay->choices[i].wanted = replay->choices[i].versions_count;
}

static void choices_want_none(struct replay *replay)
{
    for (size_t i = 0; i < replay->choices_count; i++)
        replay->choices[i].wanted = 0;
}

/* ---- what a file holds, given the choices ---- */

static const struct choice *length_choice(struct replay *replay, unsigned file)
{
    return choice_find(replay, CHOICE_LENGTH, file, 0);
}

static uint64_t wanted_length(struct replay *replay, unsigned file)
{
    const struct choice *choice = length_choice(replay, file);
    return choice && choice->wanted ? choice->versions[choice->wanted - 1].length
                                    : replay->images[file].durable_length;
}

/* Durable bytes that were never cut off on the way to the wanted length. */
static uint64_t wanted_base(struct replay *replay, unsigned file)
{
    const struct choice *choice = length_choice(replay, file);
    uint64_t base = replay->images[file].durable_length;
    for (unsigned i = 0; choice && i < choice->wanted; i++)
        if (choice->versions[i].length < base)
            base = choice->versions[i].length;
    return base;
}

/* A content written before the file was cut below it, and the cut is wanted, is gone. */
static bool version_is_cut(struct replay *replay, const struct choice *block,
                           const struct version *version)
{
    const struct choice *choice = length_choice(replay, block->file);
    for (unsigned i = 0; choice && i < choice->wanted; i++)
        if (choice->versions[i].event > version->event &&
            choice->versions[i].length <= block->block * replay->options->block_bytes)
            return true;
    return false;
}

static void block_base(struct replay *replay, const struct choice *block, uint8_t *into)
{
    uint32_t bytes = replay->options->block_bytes;
    uint64_t offset = block->block * bytes, base = wanted_base(replay, block->file);
    uint64_t kept = base > offset ? base - offset : 0;
    if (kept > bytes)
        kept = bytes;
    if (kept)
        memcpy(into, replay->images[block->file].durable + offset, kept);
    if (replay->junk)
        memcpy(into + kept, replay->junk_bytes + (offset + kept) % (JUNK_BYTES - bytes),
               bytes - kept);
    else
        memset(into + kept, 0, bytes - kept);
}

static void block_content(struct replay *replay, const struct choice *block, unsigned version,
                          uint8_t *into)
{
    if (version && !version_is_cut(replay, block, &block->versions[version - 1]))
        memcpy(into, block->versions[version - 1].bytes, replay->options->block_bytes);
    else
        block_base(replay, block, into);
}

/* ---- making the wanted state in the files ---- */

static void must(bool done, const char *what)
{
    if (done)
        return;
    perror(what);
    abort();
}

static void image_write(struct image *image, const uint8_t *bytes, uint64_t length, uint64_t offset)
{
    must(pwrite(image->fd, bytes, length, (off_t)offset) == (ssize_t)length, "pwrite");
}

static void image_fill_junk(struct replay *replay, struct image *image, uint64_t from,
                            uint64_t until)
{
    while (from < until) {
        uint64_t place = from % (JUNK_BYTES - replay->options->block_bytes);
        uint64_t part = until - from < JUNK_BYTES - place ? until - from : JUNK_BYTES - place;
        image_write(image, replay->junk_bytes + place, part, from);
        from += part;
    }
}

/* The file gets its wanted length; behind the durable bytes it is zeros or junk. */
static void image_set_length(struct replay *replay, unsigned file)
{
    struct image *image = &replay->images[file];
    uint64_t length = wanted_length(replay, file), base = wanted_base(replay, file);
    bool junk = replay->junk && length > base;
    if (image->present_valid && image->present_length == length && image->present_base == base &&
        image->present_junk == junk)
        return;
    uint64_t keep = image->present_base < base && image->present_valid ? image->present_base : base;
    if (!image->present_valid)
        keep = 0;
    must(!ftruncate(image->fd, (off_t)keep), "ftruncate");
    if (base > keep)
        image_write(image, image->durable + keep, base - keep, keep);
    must(!ftruncate(image->fd, (off_t)length), "ftruncate");
    if (junk)
        image_fill_junk(replay, image, base, length);
    for (size_t i = 0; i < replay->choices_count; i++) {
        struct choice *choice = &replay->choices[i];
        if (choice->kind == CHOICE_BLOCK && choice->file == file)
            choice->present = WRITTEN_OTHERWISE;
    }
    image->present_valid = true;
    image->present_length = length;
    image->present_base = base;
    image->present_junk = junk;
}

static void block_write(struct replay *replay, const struct choice *block, const uint8_t *content)
{
    struct image *image = &replay->images[block->file];
    uint32_t bytes = replay->options->block_bytes;
    uint64_t offset = block->block * bytes;
    if (offset >= image->present_length)
        return;
    uint64_t left = image->present_length - offset;
    image_write(image, content, left < bytes ? left : bytes, offset);
}

static void names_apply(struct names *names, const struct disk_event *event)
{
    const char *gone = event->kind == DISK_CREATE ? "" : event->name;
    const char *come = event->kind == DISK_UNLINK   ? ""
                       : event->kind == DISK_RENAME ? event->name_to
                                                    : event->name;
    for (unsigned i = 0; i < names->count; i++)
        if (!strcmp(names->list[i].name, gone) || !strcmp(names->list[i].name, come))
            names->list[i--] = names->list[--names->count];
    if (!come[0])
        return;
    struct name *name = &names->list[names->count++];
    memcpy(name->name, come, DISK_NAME_BYTES);
    name->file = event->file;
}

static bool names_equal(const struct names *a, const struct names *b)
{
    return a->count == b->count && !memcmp(a->list, b->list, a->count * sizeof(*a->list));
}

static void names_make(struct replay *replay)
{
    static struct names wanted;
    char path[64];
    wanted.count = replay->durable_names.count;
    memcpy(wanted.list, replay->durable_names.list, wanted.count * sizeof(*wanted.list));
    for (size_t i = 0; i < replay->choices_count; i++)
        if (replay->choices[i].kind == CHOICE_NAME && replay->choices[i].wanted)
            names_apply(&wanted, &replay->disk->events[replay->choices[i].block]);
    if (names_equal(&wanted, &replay->present_names))
        return;
    for (unsigned i = 0; i < replay->present_names.count; i++)
        must(!unlink(replay->present_names.list[i].name), "unlink");
    for (unsigned i = 0; i < wanted.count; i++) {
        snprintf(path, sizeof(path), "../files/%u", wanted.list[i].file);
        must(!link(path, wanted.list[i].name), "link");
    }
    replay->present_names.count = wanted.count;
    memcpy(replay->present_names.list, wanted.list, wanted.count * sizeof(*wanted.list));
}

static void replay_make_state(struct replay *replay)
{
    uint8_t content[REPLAY_SECTOR_BYTES * SECTORS_MAX];
    names_make(replay);
    for (unsigned file = 0; file < replay->disk->files_count; file++)
        if (replay->images[file].fd >= 0)
            image_set_length(replay, file);
    for (size_t i = 0; i < replay->choices_count; i++) {
        struct choice *choice = &replay->choices[i];
        if (choice->kind != CHOICE_BLOCK || choice->present == choice->wanted)
            continue;
        block_content(replay, choice, choice->wanted, content);
        block_write(replay, choice, content);
        choice->present = choice->wanted;
    }
}

/* ---- looking at states ---- */

static void replay_describe(struct replay *replay)
{
    fprintf(stderr, "  crash before event %zu of %zu, unsynced extension %s, pending:\n",
            replay->event, replay->disk->events_count, replay->junk ? "junk" : "zeros");
    for (size_t i = 0; i < replay->choices_count && i < 40; i++) {
        const struct choice *choice = &replay->choices[i];
        const char *kinds[] = {"block", "length", "name, of event"};
        fprintf(stderr, "    file %u %s %llu: %u of %u%s\n", choice->file, kinds[choice->kind],
                (unsigned long long)choice->block, choice->wanted, choice->versions_count,
                choice->present == WRITTEN_OTHERWISE ? " (torn)" : "");
    }
}

static void replay_look(struct replay *replay)
{
    if (replay->result->stopped)
        return;
    replay->result->states++;
    if (replay->options->check(replay->options->context))
        return;
    replay->result->stopped = true;
    replay_describe(replay);
}

static void replay_try(struct replay *replay)
{
    if (replay->result->stopped)
        return;
    replay_make_state(replay);
    replay_look(replay);
}

/* Every combination, the cheap choices (blocks come before what moves files) changing fastest. */
static void replay_all(struct replay *replay)
{
    choices_want_none(replay);
    for (size_t at = 0; at < replay->choices_count && !replay->result->stopped;) {
        replay_try(replay);
        for (at = 0; at < replay->choices_count; at++) {
            struct choice *choice = &replay->choices[at];
            if (++choice->wanted <= choice->versions_count)
                break;
            choice->wanted = 0;
        }
    }
}

static void want_prefix(struct replay *replay, size_t event)
{
    for (size_t i = 0; i < replay->choices_count; i++) {
        struct choice *choice = &replay->choices[i];
        choice->wanted = 0;
        while (choice->wanted < choice->versions_count &&
               choice->versions[choice->wanted].event <= event)
            choice->wanted++;
    }
}

static void want_random(struct replay *replay)
{
    struct random *random = replay->options->random;
    unsigned bias = 1 + random_below(random, 7); /* of 8: how much is lost */
    for (size_t i = 0; i < replay->choices_count; i++) {
        struct choice *choice = &replay->choices[i];
        bool old = random_below(random, 8) < bias;
        choice->wanted =
            old ? random_below(random, choice->versions_count) : choice->versions_count;
    }
}

static void replay_sample(struct replay *replay)
{
    const struct replay_options *options = replay->options;
    choices_want_none(replay);
    replay_try(replay);
    choices_want_latest(replay);
    replay_try(replay);
    for (unsigned i = 0; i < options->samples; i++) {
        struct choice *choice =
            &replay->choices[random_below(options->random, (uint32_t)replay->choices_count)];
        want_prefix(replay, choice->versions[0].event);
        replay_try(replay);
        choices_want_latest(replay);
        choice->wanted--;
        replay_try(replay);
        want_random(replay);
        replay_try(replay);
    }
}

/* One block holds some sectors of its last content and the others of the one before. */
static void replay_tear(struct replay *replay, struct choice *block, unsigned mask)
{
    uint8_t content[REPLAY_SECTOR_BYTES * SECTORS_MAX], old[sizeof(content)];
    block->wanted = block->versions_count;
    replay_make_state(replay);
    block_content(replay, block, block->versions_count, content);
    block_content(replay, block, block->versions_count - 1, old);
    for (unsigned sector = 0; sector < SECTORS_MAX; sector++)
        if (!(mask >> sector & 1))
            memcpy(content + sector * REPLAY_SECTOR_BYTES, old + sector * REPLAY_SECTOR_BYTES,
                   REPLAY_SECTOR_BYTES);
    block_write(replay, block, content);
    block->present = WRITTEN_OTHERWISE;
    replay_look(replay);
}

static void replay_torn(struct replay *replay)
{
    struct random *random = replay->options->random;
    size_t step = replay->choices_count / (replay->options->samples + 1) + 1;
    for (size_t i = random_below(random, (uint32_t)step); i < replay->choices_count; i += step) {
        struct choice *choice = &replay->choices[i];
        if (choice->kind != CHOICE_BLOCK)
            continue;
        for (unsigned sectors = 1; sectors < SECTORS_MAX && !replay->result->stopped; sectors++) {
            switch (random_below(random, 3)) {
            case 0:
                choices_want_none(replay);
                break;
            case 1:
                choices_want_latest(replay);
                break;
            default:
                want_random(replay);
            }
            unsigned mask = (1u << sectors) - 1;
            replay_tear(replay, choice,
                        random_below(random, 4) ? mask : mask << (8 - sectors) & 255);
        }
    }
}

static bool replay_is_small(const struct replay *replay)
{
    unsigned combinations = 1;
    for (size_t i = 0; i < replay->choices_count; i++) {
        combinations *= replay->choices[i].versions_count + 1;
        if (combinations > COMBINATIONS_MAX)
            return false;
    }
    return replay->choices_count <= replay->options->exhaustive_max;
}

static int compare_choices(const void *a, const void *b)
{
    const struct choice *x = a, *y = b;
    if (x->kind != y->kind)
        return x->kind < y->kind ? -1 : 1;
    return x->versions[0].event < y->versions[0].event ? -1 : 1;
}

static void replay_enumerate(struct replay *replay)
{
    bool grows = false;
    if (replay->result->stopped)
        return;
    replay->result->points++;
    if (replay->choices_count)
        qsort(replay->choices, replay->choices_count, sizeof(*replay->choices), compare_choices);
    for (size_t i = 0; i < replay->choices_count; i++)
        grows |= replay->choices[i].kind == CHOICE_LENGTH;
    for (int junk = 0; junk <= (int)grows; junk++) {
        replay->junk = junk;
        if (replay->choices_count == 0) {
            replay_try(replay);
        } else if (replay_is_small(replay)) {
            replay_all(replay);
        } else {
            replay_sample(replay);
        }
        if (replay->options->tear && replay->options->block_bytes > REPLAY_SECTOR_BYTES)
            replay_torn(replay);
    }
    if (!replay->result->stopped)
        replay->junk = false;
}

/* ---- events ---- */

static void length_note(struct replay *replay, unsigned file, uint64_t length)
{
    choice_add(replay, choice_get(replay, CHOICE_LENGTH, file, 0))->length = length;
}

static void on_write(struct replay *replay, const struct disk_event *event)
{
    uint32_t bytes = replay->options->block_bytes;
    choices_want_latest(replay);
    uint64_t end = event->offset + event->length;
    if (end > wanted_length(replay, event->file))
        length_note(replay, event->file, end);
    choices_want_latest(replay);
    for (uint64_t at = event->offset; at < end;) {
        uint64_t number = at / bytes, from = at % bytes, part = bytes - from;
        if (part > end - at)
            part = end - at;
        uint8_t *content = memory_new(bytes);
        struct choice *block = choice_get(replay, CHOICE_BLOCK, event->file, number);
        block_content(replay, block, block->versions_count, content);
        memcpy(content + from, event->bytes + (at - event->offset), part);
        choice_add(replay, block)->bytes = content;
        at += part;
    }
}

static void choices_drop(struct replay *replay, bool (*is_done)(struct replay *, struct choice *))
{
    size_t kept = 0;
    for (size_t i = 0; i < replay->choices_count; i++) {
        struct choice *choice = &replay->choices[i];
        if (is_done(replay, choice))
            choice_free(choice);
        else
            replay->choices[kept++] = *choice;
    }
    replay->choices_count = kept;
}

static bool is_of_file(struct replay *replay, struct choice *choice)
{
    return choice->kind != CHOICE_NAME && choice->file == replay->disk->events[replay->event].file;
}

static bool is_in_folder(struct replay *replay, struct choice *choice)
{
    const char *folder = replay->disk->events[replay->event].name;
    const char *name = replay->disk->events[choice->block].name;
    const char *slash = strchr(name, '/');
    size_t length = slash ? (size_t)(slash - name) : 0;
    return choice->kind == CHOICE_NAME && strlen(folder) == length &&
           !strncmp(name, folder, length);
}

static void on_sync(struct replay *replay, unsigned file)
{
    struct image *image = &replay->images[file];
    choices_want_latest(replay);
    replay_make_state(replay);
    image->durable_length = image->present_length;
    if (image->durable_length > image->capacity) {
        image->capacity = image->durable_length * 2;
        image->durable = realloc(image->durable, image->capacity);
        must(image->durable, "realloc");
    }
    must(pread(image->fd, image->durable, image->durable_length, 0) ==
             (ssize_t)image->durable_length,
         "pread");
    choices_drop(replay, is_of_file);
    image->present_base = image->durable_length;
    image->present_junk = false;
}

static void on_sync_names(struct replay *replay)
{
    for (size_t at = 0; at <= replay->event; at++)
        for (size_t i = 0; i < replay->choices_count; i++)
            if (replay->choices[i].block == at && is_in_folder(replay, &replay->choices[i]))
                names_apply(&replay->durable_names, &replay->disk->events[at]);
    choices_drop(replay, is_in_folder);
}

static void image_new(struct replay *replay, unsigned file, const uint8_t *bytes, size_t length)
{
    struct image *image = &replay->images[file];
    char path[64];
    snprintf(path, sizeof(path), "../files/%u", file);
    image->fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    must(image->fd >= 0, path);
    image->durable = memory_new(length ? length : 1);
    image->capacity = length ? length : 1;
    image->durable_length = length;
    if (length)
        memcpy(image->durable, bytes, length);
}

static void replay_event(struct replay *replay, const struct disk_event *event)
{
    const struct replay_options *options = replay->options;
    switch (event->kind) {
    case DISK_CREATE:
        image_new(replay, event->file, NULL, 0);
        __attribute__((fallthrough));
    case DISK_RENAME:
    case DISK_UNLINK:
        choice_add(replay, choice_get(replay, CHOICE_NAME, event->file, replay->event));
        break;
    case DISK_WRITE:
        on_write(replay, event);
        break;
    case DISK_RESIZE:
        length_note(replay, event->file, event->offset);
        break;
    case DISK_SYNC:
        replay_enumerate(replay);
        on_sync(replay, event->file);
        break;
    case DISK_SYNC_NAMES:
        replay_enumerate(replay);
        on_sync_names(replay);
        break;
    case DISK_MARK:
        if (options->on_mark(options->context, event->offset, event->length))
            replay_enumerate(replay);
        break;
    }
}

/* ---- life ---- */

static void replay_begin(struct replay *replay)
{
    struct random junk = random_of(random_next(replay->options->random));
    must(!chdir(replay->options->folder), "chdir");
    must(!mkdir("files", 0700) && !mkdir("state", 0700) && !mkdir("state/raft", 0700), "mkdir");
    must(!chdir("state"), "chdir");
    for (size_t i = 0; i < JUNK_BYTES; i++)
        replay->junk_bytes[i] = (uint8_t)(random_next(&junk) >> 56);
    for (unsigned file = 0; file < DISK_FILES_MAX; file++)
        replay->images[file].fd = -1;
    for (unsigned file = 0; file < replay->disk->bases_count; file++) {
        const struct disk_base *base = &replay->disk->bases[file];
        image_new(replay, file, base->bytes, base->length);
        struct name *name = &replay->durable_names.list[replay->durable_names.count++];
        memcpy(name->name, base->name, DISK_NAME_BYTES);
        name->file = file;
    }
}

static void replay_finish(struct replay *replay, const char *folder_before)
{
    char path[64];
    for (unsigned i = 0; i < replay->present_names.count; i++)
        must(!unlink(replay->present_names.list[i].name), "unlink");
    for (unsigned file = 0; file < replay->disk->files_count; file++) {
        if (replay->images[file].fd < 0)
            continue;
        snprintf(path, sizeof(path), "../files/%u", file);
        must(!unlink(path), "unlink");
        (void)close(replay->images[file].fd);
        free(replay->images[file].durable);
    }
    for (size_t i = 0; i < replay->choices_count; i++)
        choice_free(&replay->choices[i]);
    free(replay->choices);
    must(!chdir(replay->options->folder), "chdir");
    must(!rmdir("state/raft") && !rmdir("state") && !rmdir("files"), "rmdir");
    must(!chdir(folder_before), "chdir");
    free(replay);
}

void replay_run(const struct disk *disk, const struct replay_options *options,
                struct replay_result *result)
{
    char folder_before[4096];
    must(getcwd(folder_before, sizeof(folder_before)), "getcwd");
    struct replay *replay = memory_new_zeroed(1, sizeof(*replay));
    replay->disk = disk;
    replay->options = options;
    replay->result = result;
    replay_begin(replay);
    for (; replay->event < disk->events_count && !result->stopped; replay->event++)
        replay_event(replay, &disk->events[replay->event]);
    replay_enumerate(replay);
    replay_finish(replay, folder_before);
}
