#include "records.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define RECORDS_MIN 10000u /* fewer: the machine has no package list */
#define GENERATED 40000u

static void add_pair(struct records *records, const char *value, size_t bytes)
{
    if (records->count % 4096 == 0)
        records->pairs = realloc(records->pairs, (records->count + 4096) * sizeof(*records->pairs));
    struct record_pair *pair = &records->pairs[records->count++];
    int name = 0;
    if (!strncmp(value, "Package: ", 9))
        name = (int)strcspn(value + 9, "\n");
    snprintf(pair->key, sizeof(pair->key), "%.*s/%zu", name < 100 ? name : 100, value + 9,
             records->count);
    pair->value = value;
    pair->value_bytes = bytes;
}

static size_t read_all(FILE *pipe, char **ret_text)
{
    size_t length = 0, capacity = 1u << 20;
    char *text = malloc(capacity);
    for (size_t part; (part = fread(text + length, 1, capacity - length - 1, pipe)) > 0;) {
        length += part;
        if (capacity - length < 65536)
            text = realloc(text, capacity *= 2);
    }
    text[length] = '\0';
    *ret_text = text;
    return length;
}

static void load_available(struct records *records)
{
    FILE *pipe = popen("apt-cache dumpavail 2>/dev/null", "r");
    if (!pipe)
        return;
    size_t length = read_all(pipe, &records->text);
    (void)pclose(pipe);
    for (char *at = records->text, *text_end = at + length; at < text_end;) {
        char *end = memmem(at, (size_t)(text_end - at), "\n\n", 2); /* sanitizers measure strings */
        size_t bytes = (size_t)((end ? end : text_end) - at);
        if (bytes > 9)
            add_pair(records, at, bytes);
        at += bytes;
        while (*at == '\n')
            at++;
    }
}

static unsigned next_random(unsigned *state)
{
    *state = *state * 1103515245u + 12345u;
    return *state >> 8;
}

static void generate(struct records *records)
{
    static const char *const words[] = {"library",  "größe",        "für",    "données",
                                        "システム", "development",  "shared", "ключ",
                                        "tools",    "documentation"};
    unsigned state = 20260101;
    size_t capacity = GENERATED * 2048u, length = 0;
    records->text = malloc(capacity);
    for (unsigned i = 0; i < GENERATED; i++) {
        char *begin = records->text + length;
        size_t wanted = 300 + next_random(&state) % (i % 20 == 0 ? 4000 : 1200), bytes;
        if (length + wanted + 256 > capacity)
            break;
        bytes = (size_t)sprintf(begin, "Package: generated-%u\nDescription: ", i);
        while (bytes < wanted)
            bytes += (size_t)sprintf(begin + bytes, "%s ", words[next_random(&state) % 10]);
        add_pair(records, begin, bytes);
        length += bytes + 1;
    }
}

void records_load(struct records *records, size_t count_max)
{
    *records = (struct records){0};
    load_available(records);
    if (records->count < RECORDS_MIN) {
        records_free(records);
        generate(records);
        fprintf(stderr, "no package list here: %zu generated records\n", records->count);
    }
    if (count_max && records->count > count_max)
        records->count = count_max;
}

void records_free(struct records *records)
{
    free(records->text);
    free(records->pairs);
    *records = (struct records){0};
}
