/* The data directory: conure.db, raft/ and run/ (sockets and locks, mode 0700), one node each.
 *
 * A process works from inside it: datadir_enter changes the working directory, so every name below
 * is relative and no path is too long for a Unix socket (107 bytes). */
#pragma once

#include "error.h"

#define DATADIR_TREE_PATH "conure.db"
#define DATADIR_RAFT_PATH "raft"
#define DATADIR_RUN_PATH "run"
#define DATADIR_STORAGED_URL "ipc://run/storaged.sock"
#define DATADIR_RAFTD_URL "ipc://run/raftd.sock"
#define DATADIR_NOTIFY_PATH "run/notify.sock"
#define DATADIR_CONTROL_PATH "run/launch.sock"

/* Makes the directory (and its parents, 0700) and run/ if missing, and changes into it. Errors:
 * negative errno with a line naming the path as the user gave it. */
int datadir_enter(const char *path, struct error *error);

/* Takes run/<name>.lock for the life of the process (or until the descriptor is closed) and writes
 * the pid into it. Waits up to `wait_ms` for an owner that is going away. Errors: -EBUSY naming the
 * pid that holds it; other errno. */
int datadir_lock(const char *name, unsigned wait_ms, int *ret_fd, struct error *error);
/* Locks the directory `path` itself, whose files `name` writes: run/ may be removed by whoever
 * thinks it disposable, and then a lock in it keeps nobody out. Errors: -EBUSY, other errno. */
int datadir_guard(const char *path, const char *name, unsigned wait_ms, int *ret_fd,
                  struct error *error);
/* datadir_lock at once, for a tool that looks at a file in some data directory from outside:
 * `directory` is that directory, and nothing is made there. Without a run/<name>.lock nobody holds
 * it: 0, and *ret_fd is -1. */
int datadir_lock_outside(const char *directory, const char *name, int *ret_fd, struct error *error);
