#include "../unit.h"

#include "launch_limits.h"
#include "output.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

static int fds[2];
static struct output output;

static void setup(void)
{
    ck_assert_int_eq(pipe2(fds, O_NONBLOCK), 0);
    output = output_of(fds[1]);
}

static const char *read_all(void)
{
    static char text[128 << 10];
    ssize_t length = read(fds[0], text, sizeof(text) - 1);
    text[length > 0 ? length : 0] = '\0';
    return text;
}

START_TEST(test_output_line_is_prefixed_and_aligned)
{
    setup();
    output_line(&output, "raftd", 0, "hello", 5);
    output_line(&output, "storaged", 1, "", 0);
    ck_assert_str_eq(read_all(), "raftd    | hello\nstoraged | \n");
}
END_TEST

START_TEST(test_output_control_characters_do_not_reach_the_terminal)
{
    setup();
    output_line(&output, "httpd", 0, "a\033[2Jb\tc\0d\303\244", 12);
    ck_assert_str_eq(read_all(), "httpd    | a?[2Jb\tc?d\303\244\n");
}
END_TEST

START_TEST(test_output_full_pipe_drops_lines_and_says_how_many)
{
    static char line[LAUNCH_LINE_BYTES_MAX];
    setup();
    memset(line, 'x', sizeof(line));
    unsigned lines = 0;
    while (output.lines_lost < 3 && ++lines < 1000)
        output_line(&output, "httpd", 0, line, sizeof(line));
    ck_assert_uint_lt(lines, 1000);
    const char *text = read_all();
    ck_assert_int_eq(text[strlen(text) - 1], '\n'); /* no line was cut */
    output_line(&output, "httpd", 0, "back", 4);
    output_line(&output, "httpd", 0, "again", 5);
    ck_assert_str_eq(read_all(), "httpd    | (lines_lost=3) back\nhttpd    | again\n");
}
END_TEST

UNIT_MAIN("launch/output", test_output_line_is_prefixed_and_aligned,
          test_output_control_characters_do_not_reach_the_terminal,
          test_output_full_pipe_drops_lines_and_says_how_many)
