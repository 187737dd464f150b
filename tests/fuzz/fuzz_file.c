/* conure.db with any bytes in its pages, checksums aside (unsealed.h): it opens or is refused, the
 * checker comes to an end, and reading gives a record or an error. The input is a list of patches
 * of a real file. Owner: tests/fuzz. */
#include "scratch.h"

#include "buffer.h"
#include "store.h"
#include "verify.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <string.h>

#define TREE_FILE "conure.db"
#define PAGES 24u /* of the file that are patched: the metas, and those its tree is made of */
#define KEYS 40u

static int file = -1;
static uint8_t image[PAGES * PAGE_BYTES];

static void must(bool holds)
{
    if (!holds)
        abort();
}

static size_t key_of(uint32_t number, uint8_t key[LIMIT_KEY_BYTES_CAP])
{
    size_t length = number % 2 ? 700 : 5;
    memset(key, 'k', length);
    key[0] = (uint8_t)number;
    return length;
}

static void put(struct store *store, uint32_t number, size_t value_bytes)
{
    static const uint8_t value[9000];
    uint8_t key[LIMIT_KEY_BYTES_CAP];
    struct buffer bytes = {0};
    struct command_result result;
    struct command command = {
        .operation = COMMAND_PUT, .key = key, .value = value, .value_bytes = value_bytes};
    command.key_bytes = key_of(number, key);
    command_encode(&bytes, &command);
    struct apply_entry entry = {
        .term = 1, .kind = ENTRY_COMMAND, .data = bytes.bytes, .data_bytes = bytes.length};
    must(store_apply(store, &entry, &result) == 0);
    buffer_free(&bytes);
}

/* Three levels, overflow runs, and both metas in use. */
static void image_make(void)
{
    struct store *store = NULL;
    struct error error;
    scratch_enter();
    must(store_open(&store, TREE_FILE, &error) == 0);
    for (uint32_t round = 0; round < 2; round++) {
        for (uint32_t number = round; number < KEYS; number += 1 + round * 20)
            put(store, number, number % 19 == 0 ? 9000 : 20);
        must(store_checkpoint_begin(store) && store_checkpoint_write(store) == 0);
        store_checkpoint_end(store);
    }
    store_close(store);
    file = open(TREE_FILE, O_RDWR | O_CLOEXEC);
    must(file >= 0 && pread(file, image, sizeof(image), 0) == sizeof(image));
}

static void patch(struct script *script)
{
    static uint8_t patched[sizeof(image)];
    memcpy(patched, image, sizeof(image));
    while (script->at < script->end) {
        uint32_t page = script_next(script, 1) % PAGES, what = script_next(script, 1);
        uint32_t offset = what & 1 ? script_next(script, 1) : script_next(script, 2);
        uint32_t at = (page * PAGE_BYTES + offset % PAGE_BYTES) % (sizeof(image) - 16);
        for (uint32_t i = 0; i < 1 + (what >> 1) % 8; i++)
            patched[at + i] = (uint8_t)script_next(script, 1);
    }
    must(pwrite(file, patched, sizeof(patched), 0) == sizeof(patched));
}

static void ignore(void *context, const char *line)
{
    (void)context, (void)line;
}

static void read_all(void)
{
    struct store *store = NULL;
    struct error error = {""};
    int code = store_open(&store, TREE_FILE, &error);
    if (code) {
        must(error.text[0]);
        return;
    }
    for (uint32_t number = 0; number < KEYS; number++) {
        uint8_t key[LIMIT_KEY_BYTES_CAP];
        struct tree_record record;
        struct node_bytes wanted = {key, key_of(number, key)};
        code = store_get(store, wanted, &record);
        must(code == 0 || code == STORE_NOT_FOUND || code == -EBADMSG);
        for (size_t i = 0; code == 0 && i < record.value.length; i += 512)
            *(volatile const uint8_t *)&record.value.bytes[i];
    }
    store_close(store);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
    struct script script = {bytes, bytes + length};
    struct error error;
    if (file < 0)
        image_make();
    patch(&script);
    (void)verify_file(TREE_FILE, ignore, NULL, NULL, &error);
    read_all();
    return 0;
}
