/* LMDB with a map large enough, and otherwise as it comes. */
#include "engine.h"

#include <lmdb.h>
#include <sys/stat.h>
#include <unistd.h>

static MDB_env *env;
static MDB_dbi dbi;

static void check(const char *what, int code)
{
    if (code)
        bench_fail(what, code);
}

static void lmdb_open(void)
{
    MDB_txn *txn;
    (void)unlink("lmdb.mdb");
    (void)unlink("lmdb.mdb-lock");
    check("mdb_env_create", mdb_env_create(&env));
    check("mdb_env_set_mapsize", mdb_env_set_mapsize(env, (size_t)16 << 30));
    check("mdb_env_open", mdb_env_open(env, "lmdb.mdb", MDB_NOSUBDIR | MDB_NOTLS, 0600));
    check("mdb_txn_begin", mdb_txn_begin(env, NULL, 0, &txn));
    check("mdb_dbi_open", mdb_dbi_open(txn, NULL, 0, &dbi));
    check("mdb_txn_commit", mdb_txn_commit(txn));
}

static void lmdb_close(void)
{
    mdb_env_close(env);
}

static void lmdb_put(const uint8_t (*keys)[BENCH_KEY_BYTES], size_t count, const uint8_t *value,
                     enum sync sync)
{
    static unsigned transactions;
    MDB_txn *txn;
    bool is_synced = sync == SYNC_EACH || (sync == SYNC_SOME && ++transactions % 10 == 0);
    check("mdb_env_set_flags", mdb_env_set_flags(env, MDB_NOSYNC, !is_synced));
    check("mdb_txn_begin", mdb_txn_begin(env, NULL, 0, &txn));
    for (size_t i = 0; i < count; i++) {
        MDB_val key = {BENCH_KEY_BYTES, (void *)(uintptr_t)keys[i]};
        MDB_val data = {BENCH_VALUE_BYTES, (void *)(uintptr_t)value};
        check("mdb_put", mdb_put(txn, dbi, &key, &data, 0));
    }
    check("mdb_txn_commit", mdb_txn_commit(txn));
}

static void lmdb_delete(const uint8_t (*keys)[BENCH_KEY_BYTES], size_t count)
{
    MDB_txn *txn;
    check("mdb_env_set_flags", mdb_env_set_flags(env, MDB_NOSYNC, 1));
    check("mdb_txn_begin", mdb_txn_begin(env, NULL, 0, &txn));
    for (size_t i = 0; i < count; i++) {
        MDB_val key = {BENCH_KEY_BYTES, (void *)(uintptr_t)keys[i]};
        check("mdb_del", mdb_del(txn, dbi, &key, NULL));
    }
    check("mdb_txn_commit", mdb_txn_commit(txn));
}

static size_t lmdb_get(const uint8_t (*keys)[BENCH_KEY_BYTES], size_t count)
{
    MDB_txn *txn;
    size_t found = 0;
    check("mdb_txn_begin", mdb_txn_begin(env, NULL, MDB_RDONLY, &txn));
    for (size_t i = 0; i < count; i++) {
        MDB_val key = {BENCH_KEY_BYTES, (void *)(uintptr_t)keys[i]}, data;
        int code = mdb_get(txn, dbi, &key, &data);
        if (code == MDB_NOTFOUND)
            continue;
        check("mdb_get", code);
        bench_read(data.mv_data, data.mv_size);
        found++;
    }
    mdb_txn_abort(txn);
    return found;
}

static size_t lmdb_scan(void)
{
    MDB_txn *txn;
    MDB_cursor *cursor;
    MDB_val key, data;
    size_t count = 0;
    check("mdb_txn_begin", mdb_txn_begin(env, NULL, MDB_RDONLY, &txn));
    check("mdb_cursor_open", mdb_cursor_open(txn, dbi, &cursor));
    while (mdb_cursor_get(cursor, &key, &data, MDB_NEXT) == 0) {
        bench_read(data.mv_data, data.mv_size);
        count++;
    }
    mdb_cursor_close(cursor);
    mdb_txn_abort(txn);
    return count;
}

static void lmdb_settle(void)
{
    check("mdb_env_sync", mdb_env_sync(env, 1));
}

const struct engine engine_lmdb = {
    .name = "lmdb",
    .open = lmdb_open,
    .close = lmdb_close,
    .put = lmdb_put,
    .delete = lmdb_delete,
    .get = lmdb_get,
    .scan = lmdb_scan,
    .settle = lmdb_settle,
    .file = "lmdb.mdb",
};
