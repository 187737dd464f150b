/* The fuzz targets without libFuzzer: what was found once, and so many inputs from a fixed seed,
 * that they build and hold in every build. No search: that is libFuzzer's. Owner: tests/fuzz.
 *
 *   fuzz_X_some COUNT [FILE ...] */
#include "scratch.h"

#include "random.h"

#define INPUT_BYTES_MAX 2000u

int LLVMFuzzerInitialize(int *argc, char ***argv) __attribute__((weak));

static void try_file(const char *path)
{
    static uint8_t bytes[INPUT_BYTES_MAX];
    FILE *file = fopen(path, "rb");
    if (!file) {
        fprintf(stderr, "%s cannot be read\n", path);
        exit(1);
    }
    size_t length = fread(bytes, 1, sizeof(bytes), file);
    fclose(file);
    LLVMFuzzerTestOneInput(bytes, length);
}

int main(int argc, char **argv)
{
    static uint8_t bytes[INPUT_BYTES_MAX];
    struct random random = random_of(1);
    unsigned long count = argc > 1 ? strtoul(argv[1], NULL, 10) : 0;
    if (!count)
        return fprintf(stderr, "usage: %s COUNT [FILE ...]\n", argv[0]), 2;
    if (LLVMFuzzerInitialize)
        LLVMFuzzerInitialize(&argc, &argv);
    for (int i = 2; i < argc; i++)
        try_file(argv[i]);
    for (; count > 0; count--) {
        uint32_t length = random_below(&random, INPUT_BYTES_MAX);
        uint32_t few = random_below(&random, 4); /* small numbers reach further than random ones */
        for (uint32_t i = 0; i < length; i++)
            bytes[i] = (uint8_t)(few ? random_below(&random, 1u << (2 * few))
                                     : random_next(&random) >> 40);
        LLVMFuzzerTestOneInput(bytes, length);
    }
    return 0;
}
