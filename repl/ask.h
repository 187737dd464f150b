/* What commands share: asking the cluster, showing a result, complaining. */
#pragma once

#include "client.h"
#include "command.h"
#include "session.h"

#define COMPLAIN(invocation, exit_code, ...)                                                       \
    session_complain((invocation)->session, (invocation)->words[0].bytes, exit_code, __VA_ARGS__)

/* Sends the request; complains unless the answer is a success. Returns the exit code. Servers and
 * timeout are the options' where the request has none. */
int ask(const struct invocation *invocation, struct client_request *request);
/* Its two halves, for who does something else about some results. */
enum client_result ask_client(const struct invocation *invocation, struct client_request *request,
                              struct error *error);
int ask_judge(const struct invocation *invocation, const struct client_request *request,
              enum client_result result, const struct error *error);

/* Writes the text to stdout and frees it. Returns the exit code. */
int show(const struct invocation *invocation, struct buffer *text);

/* Waits REPL_AGAIN_MS. False if a signal ended it. */
bool ask_pause(void);
