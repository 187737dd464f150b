/* Nodes that are told where others are find together by themselves, whoever is first. */
#include "../unit/unit.h"

#include "lib/cluster.h"

#include <stdio.h>
#include <string.h>

/* The same list for every node, itself included, as it comes out of one template. */
static void write_seeds(struct cluster *cluster, unsigned count)
{
    char more[1024] = "seeds:\n";
    for (unsigned i = 0; i < count; i++) {
        size_t length = strlen(more);
        snprintf(more + length, sizeof(more) - length, "  - %s\n", cluster->nodes[i].url);
    }
    for (unsigned i = 0; i < count; i++)
        node_configure(&cluster->nodes[i], more);
}

static void expect_one_cluster(struct cluster *cluster, unsigned count)
{
    CLUSTER_WAIT(cluster, cluster_has_voters(cluster, count), CLUSTER_SETTLE_MS);
    char id[40] = "";
    for (unsigned i = 0; i < cluster->count; i++) {
        if (!cluster_is_up(cluster, i))
            continue;
        struct node_status status = status_of(&cluster->pages, i);
        CLUSTER_CHECK(cluster, !id[0] || !strcmp(id, status.cluster_id));
        strcpy(id, status.cluster_id);
    }
}

static void expect_writes_everywhere(struct cluster *cluster)
{
    for (unsigned i = 0; i < cluster->count; i++) {
        CLUSTER_CHECK(cluster,
                      cluster_put(cluster, i, "seeds", cluster->nodes[i].id).status == 200);
        for (unsigned k = 0; k < cluster->count; k++)
            CLUSTER_CHECK(cluster,
                          !strcmp(cluster_get(cluster, k, "seeds").body, cluster->nodes[i].id));
    }
    cluster_wait_same(cluster, CLUSTER_SETTLE_MS);
}

/* All at once, all bootstrapping. */
START_TEST(test_seeds_three_fresh_nodes_at_once_become_one_cluster)
{
    static struct cluster cluster;
    cluster_new(&cluster, &(struct cluster_options){.count = 3});
    write_seeds(&cluster, 3);
    for (unsigned i = 0; i < 3; i++)
        node_launch(&cluster.nodes[i]);
    expect_one_cluster(&cluster, 3);
    expect_writes_everywhere(&cluster);
    /* Restarted, they are what they were. */
    struct node_status before = status_of(&cluster.pages, 0);
    for (unsigned i = 0; i < 3; i++)
        node_kill_all(&cluster.nodes[i]);
    for (unsigned i = 0; i < 3; i++)
        node_launch(&cluster.nodes[i]);
    expect_one_cluster(&cluster, 3);
    CLUSTER_CHECK(&cluster, !strcmp(status_of(&cluster.pages, 0).cluster_id, before.cluster_id));
    expect_writes_everywhere(&cluster);
    cluster_free(&cluster);
}
END_TEST

/* One after the other, the one with data last in nobody's list: they go where the data is, and a
 * seed that cannot be reached stops nobody. */
START_TEST(test_seeds_fresh_nodes_join_the_one_with_data)
{
    static struct cluster cluster;
    cluster_new(&cluster, &(struct cluster_options){.count = 3});
    node_start(&cluster.nodes[2]);
    CLUSTER_CHECK(&cluster, cluster_put(&cluster, 2, "precious", "data").status == 200);
    char more[256];
    snprintf(more, sizeof(more), "seeds: [\"http://127.0.0.1:1\", \"%s\"]\n", cluster.nodes[2].url);
    for (unsigned i = 0; i < 2; i++) {
        node_configure(&cluster.nodes[i], more);
        node_launch(&cluster.nodes[i]);
        CLUSTER_WAIT(&cluster, members_of(&cluster.pages, 2).voters == 2 + i, CLUSTER_SETTLE_MS);
    }
    expect_one_cluster(&cluster, 3);
    CLUSTER_CHECK(&cluster, !strcmp(cluster_get(&cluster, 0, "precious").body, "data"));
    expect_writes_everywhere(&cluster);
    cluster_free(&cluster);
}
END_TEST

/* Two nodes with data of their own: seeds never merge them, and nothing is lost. */
START_TEST(test_seeds_never_merge_two_nodes_with_data)
{
    static struct cluster cluster;
    cluster_new(&cluster, &(struct cluster_options){.count = 2});
    cluster_launch(&cluster);
    for (unsigned i = 0; i < 2; i++)
        CLUSTER_CHECK(&cluster, cluster_put(&cluster, i, "own", cluster.nodes[i].id).status == 200);
    for (unsigned i = 0; i < 2; i++)
        node_stop(&cluster.nodes[i]);
    write_seeds(&cluster, 2);
    cluster_launch(&cluster);
    uint64_t until_ms = now_ms() + 4000; /* several tries of a seeker */
    while (now_ms() < until_ms)
        node_pause();
    for (unsigned i = 0; i < 2; i++) {
        CLUSTER_CHECK(&cluster, members_of(&cluster.pages, i).voters == 1);
        CLUSTER_CHECK(&cluster, node_is_ready(&cluster.nodes[i]));
        CLUSTER_CHECK(&cluster, !strcmp(cluster_get(&cluster, i, "own").body, cluster.nodes[i].id));
    }
    cluster_free(&cluster);
}
END_TEST

/* As the README has it: all, that one too, are given the one. Whatever ids they have. */
START_TEST(test_seeds_of_one_node_for_all)
{
    static struct cluster cluster;
    char more[256];
    for (unsigned round = 0; round < 3; round++) {
        cluster_new(&cluster, &(struct cluster_options){.count = 3});
        snprintf(more, sizeof(more), "seeds: [\"%s\"]\n", cluster.nodes[0].url);
        for (unsigned i = 0; i < 3; i++)
            node_configure(&cluster.nodes[i], more);
        for (unsigned i = 0; i < 3; i++)
            node_launch(&cluster.nodes[i]);
        expect_one_cluster(&cluster, 3);
        cluster_free(&cluster);
    }
}
END_TEST

/* Each knows only the other. */
START_TEST(test_seeds_that_name_only_the_others)
{
    static struct cluster cluster;
    char more[256];
    cluster_new(&cluster, &(struct cluster_options){.count = 2});
    for (unsigned i = 0; i < 2; i++) {
        snprintf(more, sizeof(more), "seeds: [\"%s\"]\n", cluster.nodes[1 - i].url);
        node_configure(&cluster.nodes[i], more);
    }
    for (unsigned i = 0; i < 2; i++)
        node_launch(&cluster.nodes[i]);
    expect_one_cluster(&cluster, 2);
    cluster_free(&cluster);
}
END_TEST

/* Two have found each other already when two more come. These must not make a second cluster, which
 * the first could never take in. */
START_TEST(test_seeds_late_nodes_join_the_cluster_that_is_there)
{
    static struct cluster cluster;
    cluster_new(&cluster, &(struct cluster_options){.count = 4});
    write_seeds(&cluster, 4);
    for (unsigned i = 0; i < 2; i++)
        node_launch(&cluster.nodes[i]);
    CLUSTER_WAIT(&cluster, members_of(&cluster.pages, 0).voters == 2, CLUSTER_SETTLE_MS);
    for (unsigned i = 2; i < 4; i++)
        node_launch(&cluster.nodes[i]);
    expect_one_cluster(&cluster, 4);
    expect_writes_everywhere(&cluster);
    cluster_free(&cluster);
}
END_TEST

/* The cluster that is there can take in nobody for a while, half of it standing still. Two new
 * nodes must not find together meanwhile. */
START_TEST(test_seeds_new_nodes_wait_for_a_cluster_without_majority)
{
    static struct cluster cluster;
    cluster_new(&cluster, &(struct cluster_options){.count = 4});
    write_seeds(&cluster, 4);
    for (unsigned i = 0; i < 2; i++)
        node_launch(&cluster.nodes[i]);
    CLUSTER_WAIT(&cluster, cluster_has_voters(&cluster, 2), CLUSTER_SETTLE_MS);
    node_freeze(&cluster.nodes[1]);
    CLUSTER_WAIT(&cluster, !status_of(&cluster.pages, 0).leader_id[0], CLUSTER_SETTLE_MS);
    for (unsigned i = 2; i < 4; i++)
        node_launch(&cluster.nodes[i]);
    for (unsigned i = 2; i < 4; i++) {
        CLUSTER_WAIT(&cluster,
                     node_log_count(&cluster.nodes[i], "event=join_retry", "tries=3", NULL) > 0 ||
                         members_of(&cluster.pages, i).voters > 1,
                     CLUSTER_SETTLE_MS);
        CLUSTER_CHECK(&cluster, members_of(&cluster.pages, i).voters == 1);
    }
    node_thaw(&cluster.nodes[1]);
    expect_one_cluster(&cluster, 4);
    expect_writes_everywhere(&cluster);
    cluster_free(&cluster);
}
END_TEST

UNIT_MAIN_WITHIN(120, "seeds", test_seeds_three_fresh_nodes_at_once_become_one_cluster,
                 test_seeds_of_one_node_for_all, test_seeds_that_name_only_the_others,
                 test_seeds_late_nodes_join_the_cluster_that_is_there,
                 test_seeds_new_nodes_wait_for_a_cluster_without_majority,
                 test_seeds_fresh_nodes_join_the_one_with_data,
                 test_seeds_never_merge_two_nodes_with_data)
