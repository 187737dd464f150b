#include "model.h"

#include "buffer.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void model_begin(struct model *model, struct random *random)
{
    *model = (struct model){.seed = random_next(random), .commits_count = 1};
    uint32_t shape = random_below(random, 12) ? random_below(random, 4) : 4;
    switch (shape) {
    case 0: /* one leaf */
        model->keys_count = 2 + random_below(random, 10);
        model->key_bytes_max = 16;
        model->value_bytes_max = 100;
        break;
    case 1: /* three levels: a branch holds few of the longest keys */
        model->keys_count = 60 + random_below(random, 120);
        model->key_bytes_max = 900;
        model->value_bytes_max = 600;
        break;
    case 4: /* waves of deletes: the file is cut again */
        model->keys_count = 100 + random_below(random, 100);
        model->key_bytes_max = 64;
        model->value_bytes_max = 60000;
        model->wave = 300;
        break;
    case 2: /* overflow runs */
        model->keys_count = 5 + random_below(random, 20);
        model->key_bytes_max = 64;
        model->value_bytes_max = 14000;
        break;
    default:
        model->keys_count = 40 + random_below(random, 200);
        model->key_bytes_max = 40;
        model->value_bytes_max = 300;
    }
}

void model_free(struct model *model)
{
    free(model->changes);
    model->changes = NULL;
}

static struct model_change *model_add(struct model *model)
{
    if (model->changes_count == model->changes_capacity) {
        model->changes_capacity = model->changes_capacity ? model->changes_capacity * 2 : 256;
        model->changes = realloc(model->changes, model->changes_capacity * sizeof(*model->changes));
        if (!model->changes)
            abort();
    }
    return &model->changes[model->changes_count++];
}

void model_branch(const struct model *model, unsigned commit, struct model *ret_branch)
{
    *ret_branch = *model;
    ret_branch->changes = NULL;
    ret_branch->changes_count = ret_branch->changes_capacity = 0;
    for (size_t i = 0; i < model->changes_count; i++)
        if (model->changes[i].index <= model->commits[commit].index)
            *model_add(ret_branch) = model->changes[i];
    ret_branch->commits_count = commit + 1;
    ret_branch->configuration_index = model->commits[commit].configuration_index;
}

void model_roll_back(struct model *model)
{
    const struct model_commit *last = &model->commits[model->commits_count - 1];
    while (model->changes_count && model->changes[model->changes_count - 1].index > last->index)
        model->changes_count--;
    model->configuration_index = last->configuration_index;
}

/* ---- keys and values by number ---- */

static size_t key_make(const struct model *model, unsigned key, uint8_t into[LIMIT_KEY_BYTES_CAP])
{
    struct random random = random_of(key * 2654435761u);
    size_t bytes = 4 + random_below(&random, model->key_bytes_max - 3);
    memset(into, 'a' + (int)random_below(&random, 3), bytes); /* long common prefixes */
    snprintf((char *)into + bytes - 4, 4, "%03x", key);
    return bytes;
}

static void value_make(uint8_t *into, uint32_t bytes, uint32_t seed)
{
    for (uint32_t i = 0; i < bytes; i++)
        into[i] = (uint8_t)(seed + i * 7 + (i >> 8));
}

size_t model_configuration(uint64_t index, uint8_t bytes[LIMIT_CONFIGURATION_BYTES_MAX])
{
    struct random random = random_of(index);
    size_t length = index ? random_below(&random, LIMIT_CONFIGURATION_BYTES_MAX + 1) : 0;
    for (size_t i = 0; i < length; i++)
        bytes[i] = (uint8_t)random_next(&random);
    return length;
}

static uint32_t random_value_bytes(const struct model *model, struct random *random)
{
    uint32_t max = random_below(random, 4) ? model->value_bytes_max / 4 : model->value_bytes_max;
    return random_below(random, max + 1);
}

/* ---- applying ---- */

static int apply_bytes(struct store *store, enum entry_kind kind, const void *data, size_t bytes)
{
    struct command_result result;
    struct apply_entry entry = {.term = 1, .kind = kind, .data = data, .data_bytes = bytes};
    return store_apply(store, &entry, &result);
}

static int apply_change(struct model *model, struct store *store, struct model_change *change)
{
    uint8_t key[LIMIT_KEY_BYTES_CAP];
    struct buffer bytes = {0};
    struct command command = {.operation = change->deleted ? COMMAND_DELETE : COMMAND_PUT,
                              .key = key,
                              .key_bytes = key_make(model, change->key, key),
                              .value_bytes = change->bytes};
    uint8_t *value = memory_new(change->bytes + 1u);
    value_make(value, change->bytes, change->seed);
    command.value = value;
    command_encode(&bytes, &command);
    int code = apply_bytes(store, ENTRY_COMMAND, bytes.bytes, bytes.length);
    buffer_free(&bytes);
    free(value);
    return code;
}

/* Of a hundred entries. */
static uint32_t deletes_below(const struct model *model, uint64_t index)
{
    if (!model->wave)
        return 35;
    return index / model->wave % 2 ? 95 : 15;
}

int model_apply_next(struct model *model, struct store *store)
{
    uint8_t configuration[LIMIT_CONFIGURATION_BYTES_MAX];
    uint64_t index = store_applied_index(store) + 1;
    struct random entry = random_of(model->seed + index), *random = &entry;
    uint32_t what = random_below(random, 100);
    if (what < 3)
        return apply_bytes(store, ENTRY_NOOP, NULL, 0);
    if (what < 10) {
        model->configuration_index = index;
        return apply_bytes(store, ENTRY_CONFIGURATION, configuration,
                           model_configuration(index, configuration));
    }
    struct model_change *change = model_add(model);
    *change = (struct model_change){.index = index,
                                    .key = random_below(random, model->keys_count),
                                    .deleted = what < deletes_below(model, index),
                                    .seed = (uint32_t)random_next(random)};
    change->bytes = change->deleted ? 0 : random_value_bytes(model, random);
    return apply_change(model, store, change);
}

unsigned model_note_commit(struct model *model, struct store *store)
{
    struct store_status status;
    if (model->commits_count == MODEL_COMMITS_MAX)
        abort();
    struct model_commit *commit = &model->commits[model->commits_count];
    store_fill_status(store, &status);
    *commit = (struct model_commit){.index = status.applied_index,
                                    .keys = status.keys,
                                    .configuration_index = model->configuration_index};
    memcpy(commit->hash, status.state_hash, sizeof(commit->hash));
    return model->commits_count++;
}

/* ---- comparing ---- */

static bool key_equals(const struct model *model, const struct model_change *change, unsigned key,
                       struct store *store)
{
    uint8_t key_bytes[LIMIT_KEY_BYTES_CAP];
    struct tree_record record;
    struct node_bytes wanted = {key_bytes, key_make(model, key, key_bytes)};
    bool present = change && !change->deleted;
    int code = store_get(store, wanted, &record);
    if (code == STORE_NOT_FOUND || code < 0) {
        if (code == STORE_NOT_FOUND && !present)
            return true;
        fprintf(stderr, "key %u: %s\n", key, code < 0 ? store_damage(store) : "missing");
        return false;
    }
    uint8_t *value = memory_new(present ? change->bytes + 1u : 1u);
    if (present)
        value_make(value, change->bytes, change->seed);
    bool equal = present && record.revision == change->index &&
                 record.value.length == change->bytes &&
                 !memcmp(record.value.bytes, value, change->bytes);
    free(value);
    if (!equal)
        fprintf(stderr, "key %u: has revision %llu, should %s\n", key,
                (unsigned long long)record.revision, present ? "have another" : "be absent");
    return equal;
}

bool model_equals(const struct model *model, uint64_t index, struct store *store)
{
    const struct model_change *last[MODEL_KEYS_MAX] = {0};
    struct store_status status;
    uint64_t keys = 0;
    for (size_t i = 0; i < model->changes_count && model->changes[i].index <= index; i++)
        last[model->changes[i].key] = &model->changes[i];
    for (unsigned key = 0; key < model->keys_count; key++) {
        keys += last[key] && !last[key]->deleted;
        if (!key_equals(model, last[key], key, store))
            return false;
    }
    store_fill_status(store, &status);
    if (status.keys != keys)
        fprintf(stderr, "%llu keys, should be %llu\n", (unsigned long long)status.keys,
                (unsigned long long)keys);
    return status.keys == keys;
}
