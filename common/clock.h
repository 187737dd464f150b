/* Clocks, for daemons' loops only; raftd/core knows none. */
#pragma once

#include <stdint.h>

uint64_t clock_monotonic_ms(void);
uint64_t clock_monotonic_us(void);
uint64_t clock_wall_ms(void); /* since 1970, for people to read */
