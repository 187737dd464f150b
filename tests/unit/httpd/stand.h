/* A whole httpd on a free port, in the test's own loop, with stand-ins: a raftd that says what the
 * test wants, a storaged that does what the test does, and a leader of another node (a thread that
 * answers HTTP by a script). */
#pragma once

#include "changes.h"
#include "config.h"
#include "dispatch.h"
#include "members.h"
#include "message.h"
#include "propose.h"

#include <pthread.h>

/* ---- the leader ---- */

enum leader_act {
    LEADER_ANSWERS, /* with `answer` */
    LEADER_CLOSES,  /* the connection, once the request is there, without an answer */
    LEADER_BREAKS,  /* the answer off in the middle, and closes */
    LEADER_HANGS,   /* no answer until the other end gives up */
    LEADER_STALLS,  /* in the middle of the answer, the same */
};

#define LEADER_REQUESTS_MAX 16u

struct leader {
    int listen_fd;
    pthread_t thread;
    char url[64];
    /* The script: what is done with each request, the last for all that follow. */
    enum leader_act acts[LEADER_REQUESTS_MAX];
    unsigned acts_count;
    bool reads_heads_only; /* acts before the body has come */
    const char *answer;
    /* What came; to be looked at after leader_close, or when an answer has been seen. */
    struct leader_request {
        char *text;
        size_t length, head_bytes;
        unsigned connection; /* from 1 */
    } requests[LEADER_REQUESTS_MAX];
    unsigned requests_count;
};

/* The script is set before. */
void leader_open(struct leader *leader);
/* Ends the thread; what came can still be looked at. */
void leader_close(struct leader *leader);
void leader_free(struct leader *leader);

/* ---- the node ---- */

struct stand {
    char folder[64];
    struct config config;
    struct httpd httpd;
    struct bus_server *raftd, *storaged;
    int listen_fd;
    uint16_t port;
    struct buffer reply;

    /* What raftd answers to PROPOSE, READ_INDEX, JOIN, REMOVE and TRANSFER. */
    uint16_t status;
    struct leader_hint hint;
    const char *reason;
    uint64_t index;                    /* of READ_INDEX_OK */
    bool silent;                       /* it does not answer */
    struct bus_route last_route;       /* whom; stand_answer_read_index does, later */
    bool refuses;                      /* as messages that make no sense */
    void (*then)(struct stand *stand); /* done at the end of a turn in which it was asked */
    struct loop_task then_task;
    /* What storaged does with a call; NULL: nothing. */
    void (*on_storaged)(struct stand *stand, struct bus_request *request);
    /* What it was asked. */
    unsigned calls;
    uint16_t last_type;
    struct join last_join;
    struct member_name last_name;
};

struct stand_answer {
    int status; /* 0: none */
    char *text; /* head and body, a NUL behind them */
    const char *body;
    size_t body_bytes;
};

void stand_open(struct stand *stand, enum config_follower_mode mode);
void stand_close(struct stand *stand);
/* raftd is gone. */
void stand_end_raftd(struct stand *stand);
/* raftd says that it is not the leader, this is. */
void stand_follow(struct stand *stand, const char *leader_url);
/* Sends the request, which must ask for the connection to be closed, and waits for the answer. */
struct stand_answer stand_ask(struct stand *stand, const char *request, size_t length);
/* The same for "METHOD TARGET", more header lines (NULL: none) and a body (NULL: none). */
struct stand_answer stand_do(struct stand *stand, const char *method_and_target,
                             const char *header_lines, const char *body);
/* Sends the request on a connection of its own, the descriptor that is returned. */
int stand_begin(struct stand *stand, const char *request);
/* The same, and waits until raftd was asked for it. */
int stand_send(struct stand *stand, const char *request);
/* Answers the last READ_INDEX that raftd was silent about. */
void stand_answer_read_index(struct stand *stand);
/* Whether the answer's head has this line (name and value, without line end). */
bool stand_has_line(const struct stand_answer *answer, const char *line);
void stand_answer_free(struct stand_answer *answer);
/* Turns the loop for so long. */
void stand_turn(struct stand *stand, unsigned ms);
