/* How a scenario writes down what happens: one line for each thing, for people and for diff. */
#pragma once

#include "stage.h"

void script_line(const struct stage *stage, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* One line: "1 -> 2 APPEND term 1 after 3/1: 4/1 x, 5/1 y; commit 3". */
void script_flight(const struct stage *stage, const char *before, const struct flight *flight,
                   const char *after);
/* "  appends 4/1 x, 5/1 y" */
void script_entries(const struct stage *stage, const char *what, uint64_t first_index,
                    const struct model_entry *entries, uint32_t count);
/* "  leader of term 2", as the core's role now is. */
void script_role(const struct stage *stage, const struct raft *raft);
/* "  configuration {1 2 3-} of 4"; "-" marks a learner. */
void script_configuration(const struct stage *stage, const char *what,
                          const struct raft_configuration *configuration);
const char *script_outcome(enum raft_outcome outcome);
const char *script_message_type(enum raft_message_type type);
/* 0: there is no such type. */
enum raft_message_type script_message_type_of(const char *name);
/* Everything about a node, on a line. */
void script_status(const struct stage *stage, const struct actor *actor);
