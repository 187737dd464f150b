/* Randomness from the kernel. raftd/core has none: its caller gives it numbers. */
#pragma once

#include <stdint.h>

/* 64 bits of getrandom(2), never 0: boot epochs, salts, seeds. */
uint64_t entropy_number(void);
