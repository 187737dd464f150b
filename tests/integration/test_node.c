/* The contract of a single node, asked by curl's library: one row a request, in order, on one
 * connection. */
#include "../unit/unit.h"

#include "lib/client.h"
#include "lib/node.h"

#include <stdio.h>
#include <string.h>

static const struct {
    const char *method, *target, *body, *header;
    int status;
    const char *part; /* of the body; NULL: not looked at */
} rows[] = {
    {"PUT", "/kv?key=a", "v1", NULL, 200, "OK\n"},
    {"GET", "/kv?key=a", NULL, NULL, 200, "v1"},
    {"GET", "/kv/a", NULL, NULL, 200, "v1"},
    {"HEAD", "/kv/a", NULL, NULL, 200, ""},
    {"GET", "/kv?key=a&stale=true", NULL, NULL, 200, "v1"},
    {"GET", "/kv?key=a&stale=maybe", NULL, NULL, 400, "stale: want true, 1, false or 0"},
    {"GET", "/kv?key=absent", NULL, NULL, 404, "\"status\":404"},
    {"HEAD", "/kv?key=absent", NULL, NULL, 404, ""},
    {"PUT", "/kv?key=q&value=from%20the+query", "", NULL, 200, "OK\n"},
    {"GET", "/kv?key=q", NULL, NULL, 200, "from the query"},
    {"PUT", "/kv?key=q&value=x", "y", NULL, 400, "given twice"},
    {"PUT", "/kv?key=empty", "", NULL, 200, "OK\n"},
    {"GET", "/kv?key=empty", NULL, NULL, 200, ""},
    {"PUT", "/kv/x%2Fy%00z", "binary key", NULL, 200, "OK\n"},
    {"GET", "/kv?key=x%2Fy%00z", NULL, NULL, 200, "binary key"},
    {"GET", "/kv?key=x%2Fy", NULL, NULL, 404, NULL},
    {"PUT", "/kv/a+b", "plus", NULL, 200, "OK\n"},
    {"GET", "/kv?key=a%2Bb", NULL, NULL, 200, "plus"},
    {"GET", "/kv?key=a+b", NULL, NULL, 404, NULL},
    {"GET", "/kv", NULL, NULL, 400, "want a key"},
    {"GET", "/kv?key=", NULL, NULL, 400, "want a key"},
    {"GET", "/kv/", NULL, NULL, 400, "want a key"},
    {"GET", "/kv/a?key=b", NULL, NULL, 400, "given twice"},
    {"GET", "/kv?key=a&key=b", NULL, NULL, 400, "given twice"},
    {"GET", "/kv?key=%", NULL, NULL, 400, "percent-encoded"},
    {"GET", "/kv?key=%zz", NULL, NULL, 400, "percent-encoded"},
    {"GET", "/kv?key=a&color=red", NULL, NULL, 400, "unknown query parameter"},
    {"POST", "/kv?key=a", "x", NULL, 405, "GET, HEAD, PUT, DELETE"},
    {"PUT", "/status", "x", NULL, 405, "GET, HEAD"},
    {"GET", "/nowhere", NULL, NULL, 404, "no such path"},
    {"PUT", "/kv?key=a", "v2", "If-None-Match: *", 412, "condition"},
    {"GET", "/kv?key=a", NULL, NULL, 200, "v1"},
    {"PUT", "/kv?key=new", "v", "If-None-Match: *", 200, "OK\n"},
    {"PUT", "/kv?key=a", "v2", "If-Match: \"999999\"", 412, NULL},
    {"PUT", "/kv?key=a", "v2", "If-Match: *", 200, "OK\n"},
    {"PUT", "/kv?key=a", "v3", "If-Match: 7", 400, "If-Match"},
    {"DELETE", "/kv?key=a", NULL, "If-Match: \"1\"", 412, NULL},
    {"DELETE", "/kv?key=a", NULL, NULL, 200, "OK\n"},
    {"DELETE", "/kv?key=a", NULL, NULL, 200, "OK\n"},
    {"DELETE", "/kv?key=a", NULL, "If-Match: *", 412, NULL},
    {"GET", "/kv?key=a", NULL, NULL, 404, NULL},
    {"PUT", "/kv/z1", "1", NULL, 200, NULL},
    {"PUT", "/kv/z2", "\xff", NULL, 200, NULL},
    {"GET", "/kv?prefix=z1", NULL, NULL, 200, "{\"key\":\"z1\",\"value\":\"1\",\"revision\":"},
    {"GET", "/kv?start=z2&end=", NULL, NULL, 200, "{\"key\":\"z2\",\"value_base64\":\"/w==\","},
    {"GET", "/kv?prefix=z&limit=1", NULL, NULL, 200, "\"more\":true,\"next\":\"z1\""},
    {"GET", "/kv?prefix=z&limit=1&after=z1", NULL, NULL, 200, "\"more\":false,\"next\":null"},
    {"GET", "/kv?prefix=z&reverse=1&limit=1", NULL, NULL, 200, "\"more\":true,\"next\":\"z2\""},
    {"GET", "/kv?prefix=none", NULL, NULL, 200, "{\"count\":0,\"more\":false,\"next\":null,"},
    {"GET", "/kv?prefix=z&count_only=true&stale=1", NULL, NULL, 200, "{\"count\":2,"},
    {"HEAD", "/kv?prefix=z", NULL, NULL, 200, ""},
    {"GET", "/kv?prefix=z&limit=0", NULL, NULL, 400, "query parameter limit"},
    {"GET", "/kv?prefix=z&key=z1", NULL, NULL, 400, "query parameter prefix"},
    {"GET", "/kv?start=z", NULL, NULL, 400, "query parameter start"},
    {"GET", "/kv/z1?prefix=z", NULL, NULL, 400, "'prefix'"},
    {"GET", "/status", NULL, NULL, 200, "\"is_leader\":true"},
    {"GET", "/raft/config", NULL, NULL, 200, "\"suffrage\":\"voter\""},
    {"GET", "/raft/stats", NULL, NULL, 200, "\"state\":\"Leader\""},
    {"GET", "/livez", NULL, NULL, 200, NULL},
    {"GET", "/readyz?verbose", NULL, NULL, 200, "[+] storaged ok"},
};

START_TEST(test_node_keeps_the_contract)
{
    struct node node;
    node_new(&node, NULL);
    node_start(&node);
    struct client *client = client_new(node.url, 10000);
    for (unsigned i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        struct answer answer = client_do(client, rows[i].method, rows[i].target, rows[i].body,
                                         rows[i].body ? strlen(rows[i].body) : 0, rows[i].header);
        ck_assert_msg(answer.status == rows[i].status, "%s %s: %d instead of %d: %s",
                      rows[i].method, rows[i].target, answer.status, rows[i].status, answer.body);
        if (rows[i].part)
            ck_assert_msg(strstr(answer.body, rows[i].part) != NULL, "%s %s: no \"%s\" in \"%s\"",
                          rows[i].method, rows[i].target, rows[i].part, answer.body);
        bool problem = answer.status >= 400 && strcmp(rows[i].method, "HEAD");
        if (problem) {
            ck_assert_str_eq(answer.content_type, "application/problem+json");
            ck_assert_int_eq(answer.body[answer.body_bytes - 1], '\n');
        }
        if (answer.status == 405)
            ck_assert_ptr_nonnull(strstr(answer.allow, "GET, HEAD"));
    }
    client_free(client);
    node_free(&node);
}
END_TEST

START_TEST(test_node_revisions_rise_and_conditions_use_them)
{
    struct node node;
    char header[64];
    node_new(&node, NULL);
    node_start(&node);
    struct client *client = client_new(node.url, 10000);
    struct answer first = client_do(client, "PUT", "/kv?key=r", "1", 1, NULL);
    struct answer second = client_do(client, "PUT", "/kv?key=r", "2", 1, NULL);
    ck_assert_int_gt(atol(second.revision), atol(first.revision));
    snprintf(header, sizeof(header), "\"%s\"", second.revision);
    ck_assert_str_eq(second.etag, header);
    struct answer got = client_do(client, "GET", "/kv?key=r", NULL, 0, NULL);
    ck_assert_str_eq(got.etag, second.etag);
    ck_assert_str_eq(got.content_type, "application/octet-stream");
    ck_assert_str_eq(got.applied_index, "");
    got = client_do(client, "GET", "/kv?key=r&stale=1", NULL, 0, NULL);
    ck_assert_int_ge(atol(got.applied_index), atol(second.revision));
    snprintf(header, sizeof(header), "If-Match: %s", first.etag);
    ck_assert_int_eq(client_do(client, "PUT", "/kv?key=r", "3", 1, header).status, 412);
    snprintf(header, sizeof(header), "If-Match: %s", second.etag);
    ck_assert_int_eq(client_do(client, "PUT", "/kv?key=r", "3", 1, header).status, 200);
    ck_assert_int_eq(client_do(client, "PUT", "/kv?key=r", "4", 1, header).status, 412);
    client_free(client);
    node_free(&node);
}
END_TEST

/* Exactly at the limit is fine, one more byte is 413 and nothing is stored. */
START_TEST(test_node_limits_hold_to_the_byte)
{
    enum { VALUE_MAX = 16 << 20, KEY_MAX = 1024 };
    struct node node;
    static char value[VALUE_MAX + 1], key[KEY_MAX + 1], target[KEY_MAX + 64];
    node_new(&node, "value_bytes_max: 16MiB\n");
    node_start(&node);
    struct client *client = client_new(node.url, 30000);
    for (unsigned i = 0; i < sizeof(value); i++)
        value[i] = (char)(i * 31 + (i >> 12));
    ck_assert_int_eq(client_do(client, "PUT", "/kv/big", value, VALUE_MAX, NULL).status, 200);
    struct answer answer = client_do(client, "GET", "/kv/big", NULL, 0, NULL);
    ck_assert_uint_eq(answer.body_bytes, VALUE_MAX);
    ck_assert_mem_eq(answer.body, value, VALUE_MAX);
    ck_assert_int_eq(client_do(client, "PUT", "/kv/bigger", value, VALUE_MAX + 1, NULL).status,
                     413);
    ck_assert_int_eq(client_do(client, "GET", "/kv/bigger", NULL, 0, NULL).status, 404);
    ck_assert_int_eq(
        client_do(client, "PUT", "/kv/chunked", value, VALUE_MAX, "Transfer-Encoding: chunked")
            .status,
        200);
    ck_assert_int_eq(
        client_do(client, "PUT", "/kv/chunked2", value, VALUE_MAX + 1, "Transfer-Encoding: chunked")
            .status,
        413);
    ck_assert_int_eq(client_do(client, "GET", "/kv/chunked2", NULL, 0, NULL).status, 404);
    memset(key, 'k', sizeof(key));
    key_target(target, sizeof(target), key, KEY_MAX);
    ck_assert_int_eq(client_do(client, "PUT", target, "v", 1, NULL).status, 200);
    ck_assert_int_eq(client_do(client, "GET", target, NULL, 0, NULL).status, 200);
    key_target(target, sizeof(target), key, KEY_MAX + 1);
    ck_assert_int_eq(client_do(client, "PUT", target, "v", 1, NULL).status, 413);
    client_free(client);
    node_free(&node);
}
END_TEST

UNIT_MAIN("node", test_node_keeps_the_contract, test_node_revisions_rise_and_conditions_use_them,
          test_node_limits_hold_to_the_byte)
