#include "client.h"

#include "buffer.h"
#include "datadir.h"
#include "launch_limits.h"
#include "request.h"
#include "table.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static int fail(int exit_code, const char *text)
{
    fprintf(stderr, "conure-launch: %s\n", text);
    return exit_code;
}

/* The words as one line; --json, which is for us alone, is taken out. */
static int client_line(int count, char **words, char line[LAUNCH_REQUEST_BYTES_MAX], bool *ret_json,
                       struct error *error)
{
    size_t at = 0;
    *ret_json = false;
    for (int i = 0; i < count; i++) {
        size_t length = strlen(words[i]);
        if (!strcmp(words[i], "--json") && !strcmp(words[0], "status")) {
            *ret_json = true;
            continue;
        }
        if (words[i][0] == '-')
            return error_set(error, -EINVAL,
                             "unexpected %.60s behind \"%s\": flags stand before the command",
                             words[i], words[0]);
        if (at + length + 2 > LAUNCH_REQUEST_BYTES_MAX)
            return error_set(error, -EINVAL, "command too long");
        at += (size_t)sprintf(line + at, "%s%s", i ? " " : "", words[i]);
    }
    line[at] = '\0';
    return 0;
}

static int client_connect(const char *data_dir, int *ret_fd, struct error *error)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = DATADIR_CONTROL_PATH};
    struct timeval patience = {.tv_sec = LAUNCH_ANSWER_MS_MAX / 1000};
    if (chdir(data_dir) < 0)
        return error_set_errno(error, -errno, "cannot use data directory %s", data_dir);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int code = fd < 0 ? -errno : 0;
    if (!code && (setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)) < 0 ||
                  connect(fd, (const struct sockaddr *)&address, sizeof(address)) < 0))
        code = -errno;
    if (!code) {
        *ret_fd = fd;
        return 0;
    }
    if (fd >= 0)
        (void)close(fd);
    if (code == -ENOENT || code == -ECONNREFUSED)
        return error_set(error, code, "no launcher is running in %s", data_dir);
    return error_set_errno(error, code, "cannot reach the launcher in %s", data_dir);
}

static int client_receive(int fd, struct buffer *reply, struct error *error)
{
    while (reply->length <= LAUNCH_REPLY_BYTES_MAX) {
        ssize_t length = recv(fd, buffer_reserve(reply, 4096), 4096, 0);
        if (length < 0 && errno == EINTR)
            continue;
        if (length < 0 && errno == EAGAIN)
            return error_set(error, -ETIMEDOUT, "the launcher does not answer");
        if (length < 0)
            return error_set_errno(error, -errno, "cannot read the launcher's answer");
        if (length == 0)
            break;
        reply->length += (size_t)length;
    }
    if (reply->length == 0)
        return error_set(error, -EPIPE, "the launcher went away without an answer");
    return 0;
}

static int client_ask(const char *data_dir, const char *line, struct buffer *reply,
                      struct error *error)
{
    char sent[LAUNCH_REQUEST_BYTES_MAX + 1];
    int fd = -1;
    int code = client_connect(data_dir, &fd, error);
    if (code)
        return code;
    int length = snprintf(sent, sizeof(sent), "%s\n", line);
    if (send(fd, sent, (size_t)length, MSG_NOSIGNAL) != length)
        code = error_set(error, -EPIPE, "the launcher went away without an answer");
    if (!code)
        code = client_receive(fd, reply, error);
    (void)close(fd);
    return code;
}

/* {"ok":...,"message":...}: the message, and what it means. */
static int client_show_message(const cJSON *reply)
{
    const char *message = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(reply, "message"));
    if (!cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(reply, "ok")))
        return fail(EXIT_CODE_FAILURE, message ? message : "the launcher's answer makes no sense");
    printf("%s\n", message ? message : "done");
    return EXIT_CODE_OK;
}

static int client_show(const struct buffer *text, bool as_json)
{
    cJSON *reply = cJSON_ParseWithLength((const char *)text->bytes, text->length);
    int exit_code = EXIT_CODE_OK;
    if (!reply || !cJSON_GetObjectItemCaseSensitive(reply, "daemons"))
        exit_code = client_show_message(reply);
    else if (as_json)
        (void)fwrite(text->bytes, 1, text->length, stdout);
    else
        table_print(stdout, reply);
    cJSON_Delete(reply);
    if (fflush(stdout) != 0)
        return fail(EXIT_CODE_FAILURE, "cannot write to standard output");
    return exit_code;
}

int client_run(const struct config *config, int words_count, char **words)
{
    char line[LAUNCH_REQUEST_BYTES_MAX];
    struct error error = {""};
    struct request request;
    struct buffer reply = {0};
    bool as_json;
    if (client_line(words_count, words, line, &as_json, &error) ||
        request_parse(line, &request, &error))
        return fail(EXIT_CODE_USAGE, error.text);
    int exit_code = client_ask(config->data_dir, line, &reply, &error)
                        ? fail(EXIT_CODE_FAILURE, error.text)
                        : client_show(&reply, as_json);
    buffer_free(&reply);
    return exit_code;
}
