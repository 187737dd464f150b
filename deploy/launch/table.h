/* The status report as a table for people. */
#pragma once

#include <cjson/cJSON.h>
#include <stdint.h>
#include <stdio.h>

/* Members that are missing or of another type show as "-". */
void table_print(FILE *into, const cJSON *report);

/* "350ms", "42s", "3m07s", "2h05m", "4d03h". */
void table_format_duration(uint64_t ms, char into[32]);
