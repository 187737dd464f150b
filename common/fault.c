/* The table is read from CONURE_FAULT at the first pass of any point, and a spec that makes no
 * sense ends the process: a test that injects nothing by a typing error would prove nothing. */
#include "fault.h"

#ifdef CONURE_FAULT_POINTS

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define FAULT_RULES_MAX 16

enum fault_action { FAULT_FAIL, FAULT_KILL, FAULT_DELAY };

struct fault_rule {
    char point[64];
    unsigned long pass;
    bool sticky;
    enum fault_action action;
    int code;
    long delay_ms;
    unsigned long seen;
};

static const struct {
    const char *name;
    int code;
} fault_codes[] = {{"EIO", EIO},       {"ENOSPC", ENOSPC}, {"EINTR", EINTR},
                   {"EAGAIN", EAGAIN}, {"ENOMEM", ENOMEM}, {NULL, 0}};

static struct fault_rule rules[FAULT_RULES_MAX];
static unsigned rules_count;
static pthread_mutex_t fault_mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_once_t fault_once = PTHREAD_ONCE_INIT;

static bool fault_parse_action(struct fault_rule *rule, const char *text)
{
    if (!strcmp(text, "kill")) {
        rule->action = FAULT_KILL;
        return true;
    }
    if (!strncmp(text, "delay:", 6)) {
        rule->action = FAULT_DELAY;
        rule->delay_ms = atol(text + 6);
        return rule->delay_ms > 0;
    }
    for (unsigned i = 0; fault_codes[i].name; i++)
        if (!strcmp(text, fault_codes[i].name)) {
            rule->action = FAULT_FAIL;
            rule->code = fault_codes[i].code;
            return true;
        }
    return false;
}

static bool fault_parse_rule(struct fault_rule *rule, const char *text)
{
    char action[32], sticky[2] = "";
    *rule = (struct fault_rule){0};
    if (sscanf(text, "%63[^:]:%lu=%31s", rule->point, &rule->pass, action) != 3 &&
        sscanf(text, "%63[^:]:%lu%1[+]=%31s", rule->point, &rule->pass, sticky, action) != 4)
        return false;
    rule->sticky = sticky[0] == '+';
    return rule->pass > 0 && fault_parse_action(rule, action);
}

static void fault_read_environment(void)
{
    const char *value = getenv("CONURE_FAULT");
    char *copy = value ? strdup(value) : NULL;
    char *rest = NULL;
    for (char *part = copy ? strtok_r(copy, ",", &rest) : NULL; part;
         part = strtok_r(NULL, ",", &rest)) {
        if (rules_count == FAULT_RULES_MAX || !fault_parse_rule(&rules[rules_count], part)) {
            fprintf(stderr,
                    "CONURE_FAULT: cannot use \"%s\": want point:N[+]=ERRNO|kill|delay:MS\n", part);
            _exit(2);
        }
        rules_count++;
    }
    free(copy);
}

static int fault_act(const struct fault_rule *rule)
{
    if (rule->action == FAULT_FAIL)
        return -rule->code;
    if (rule->action == FAULT_KILL)
        (void)kill(getpid(), SIGKILL);
    struct timespec delay = {.tv_sec = rule->delay_ms / 1000,
                             .tv_nsec = (rule->delay_ms % 1000) * 1000000};
    (void)nanosleep(&delay, NULL);
    return 0;
}

int fault_check(const char *point)
{
    (void)pthread_once(&fault_once, fault_read_environment);
    struct fault_rule hit = {0};
    (void)pthread_mutex_lock(&fault_mutex);
    for (unsigned i = 0; i < rules_count; i++) {
        struct fault_rule *rule = &rules[i];
        if (strcmp(rule->point, point))
            continue;
        rule->seen++;
        if (rule->seen == rule->pass || (rule->sticky && rule->seen > rule->pass))
            hit = *rule;
    }
    (void)pthread_mutex_unlock(&fault_mutex);
    return hit.pass ? fault_act(&hit) : 0;
}

#else
/* ISO C wants a declaration in every file. */
extern int fault_points_absent;
int fault_points_absent;
#endif
