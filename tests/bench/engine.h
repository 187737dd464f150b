/* A storage engine as the bench sees it. Keys have 16 bytes, values 100. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define BENCH_KEY_BYTES 16u
#define BENCH_VALUE_BYTES 100u

enum sync {
    SYNC_OWN,  /* as the engine does it by itself: conure in its checkpoints, LMDB never */
    SYNC_SOME, /* the same, but LMDB at each tenth transaction, about as often as conure */
    SYNC_EACH, /* on disk when it returns */
};

struct engine {
    const char *name;
    /* Makes an empty store in the working directory. */
    void (*open)(void);
    void (*close)(void);
    /* One transaction of `count` records. */
    void (*put)(const uint8_t (*keys)[BENCH_KEY_BYTES], size_t count, const uint8_t *value,
                enum sync sync);
    void (*delete)(const uint8_t (*keys)[BENCH_KEY_BYTES], size_t count);
    /* How many of the keys are there; every value is read. */
    size_t (*get)(const uint8_t (*keys)[BENCH_KEY_BYTES], size_t count);
    /* How many records there are, in order; every value is read. */
    size_t (*scan)(void);
    /* All that was put is in the file. */
    void (*settle)(void);
    const char *file;
};

extern const struct engine engine_conure, engine_lmdb;

/* Keeps the compiler from leaving the reading out. */
extern uint64_t bench_sum;

static inline void bench_read(const void *bytes, size_t length)
{
    const uint8_t *at = bytes;
    bench_sum += (uint64_t)at[0] + at[length - 1];
}

/* Ends the program: a bench has nothing to recover. */
void bench_fail(const char *what, int code) __attribute__((noreturn));
