/* The YAML file is one mapping of scalars, but for `seeds`, a list. It is read as a stream of
 * libyaml events; each key may stand once. Anything else is refused with file:line, and nothing of
 * a refused file is used by the caller. */
#include "config_value.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

struct yaml_source {
    yaml_parser_t parser;
    yaml_event_t event;
    bool event_held;
    const char *path;
    struct config *config;
    struct error *error;
    uint64_t seen; /* a bit for each key of the table */
};

static size_t yaml_line(const struct yaml_source *source)
{
    return source->event.start_mark.line + 1;
}

/* The next event; -EINVAL if the text is no YAML. The last one is freed. */
static int yaml_next(struct yaml_source *source)
{
    if (source->event_held)
        yaml_event_delete(&source->event);
    source->event_held = false;
    if (!yaml_parser_parse(&source->parser, &source->event))
        return error_set(source->error, -EINVAL, "%s:%zu: not YAML: %s", source->path,
                         source->parser.problem_mark.line + 1,
                         source->parser.problem ? source->parser.problem : "cannot be read");
    source->event_held = true;
    return 0;
}

/* Goes on to the next event, which has to be `type`. */
static int yaml_expect(struct yaml_source *source, yaml_event_type_t type, const char *what)
{
    int code = yaml_next(source);
    if (code)
        return code;
    if (source->event.type != type)
        return error_set(source->error, -EINVAL, "%s:%zu: want %s", source->path, yaml_line(source),
                         what);
    return 0;
}

static const char *yaml_text(const struct yaml_source *source)
{
    const char *text = (const char *)source->event.data.scalar.value;
    return strlen(text) == source->event.data.scalar.length ? text : "";
}

static int yaml_fail_value(struct yaml_source *source, const struct config_key *key,
                           const char *text, const char *allowed)
{
    return error_set(source->error, -EINVAL, "%s:%zu: %s: bad value \"%s\": %s", source->path,
                     yaml_line(source), key->name, text, allowed);
}

static int yaml_read_seeds(struct yaml_source *source, const struct config_key *key)
{
    struct error reason = {""};
    source->config->seeds_count = 0;
    for (;;) {
        int code = yaml_next(source);
        if (code)
            return code;
        if (source->event.type == YAML_SEQUENCE_END_EVENT)
            return 0;
        if (source->event.type != YAML_SCALAR_EVENT)
            return yaml_fail_value(source, key, "", "want a list of URLs");
        if (config_add_seed(source->config, yaml_text(source), &reason))
            return yaml_fail_value(source, key, yaml_text(source), reason.text);
    }
}

static int yaml_read_value(struct yaml_source *source, const struct config_key *key)
{
    struct error reason = {""};
    int code = yaml_next(source);
    if (code)
        return code;
    if (source->event.type == YAML_SEQUENCE_START_EVENT && key->kind == KIND_URLS)
        return yaml_read_seeds(source, key);
    if (source->event.type != YAML_SCALAR_EVENT || key->kind == KIND_URLS)
        return error_set(source->error, -EINVAL, "%s:%zu: %s: want %s", source->path,
                         yaml_line(source), key->name,
                         key->kind == KIND_URLS ? "a list of URLs" : "a single value");
    if (config_set(source->config, key, yaml_text(source), &reason))
        return yaml_fail_value(source, key, yaml_text(source), reason.text);
    return 0;
}

static int yaml_read_key(struct yaml_source *source)
{
    const char *name = yaml_text(source);
    const struct config_key *key = config_key_of(name, '_');
    if (!key) {
        const char *near = config_suggest(name, config_key_names('_'));
        return error_set(source->error, -EINVAL, "%s:%zu: unknown key \"%s\"%s%s%s", source->path,
                         yaml_line(source), name, near ? ": did you mean \"" : "", near ? near : "",
                         near ? "\"?" : "");
    }
    uint64_t bit = 1ull << (key - config_keys);
    if (source->seen & bit)
        return error_set(source->error, -EINVAL, "%s:%zu: %s: given twice", source->path,
                         yaml_line(source), name);
    source->seen |= bit;
    return yaml_read_value(source, key);
}

static int yaml_read_mapping(struct yaml_source *source)
{
    for (;;) {
        int code = yaml_next(source);
        if (code)
            return code;
        if (source->event.type == YAML_MAPPING_END_EVENT)
            return 0;
        if (source->event.type != YAML_SCALAR_EVENT)
            return error_set(source->error, -EINVAL, "%s:%zu: want a key", source->path,
                             yaml_line(source));
        code = yaml_read_key(source);
        if (code)
            return code;
    }
}

/* An empty file, or one of comments only, is an empty configuration. */
static int yaml_read_document(struct yaml_source *source)
{
    int code = yaml_expect(source, YAML_STREAM_START_EVENT, "a YAML file");
    if (!code)
        code = yaml_next(source);
    if (code || source->event.type == YAML_STREAM_END_EVENT)
        return code;
    code = yaml_next(source);
    if (code)
        return code;
    bool empty = source->event.type == YAML_SCALAR_EVENT && source->event.data.scalar.length == 0;
    if (!empty && source->event.type != YAML_MAPPING_START_EVENT)
        return error_set(source->error, -EINVAL, "%s:%zu: want \"key: value\" lines", source->path,
                         yaml_line(source));
    code = empty ? 0 : yaml_read_mapping(source);
    if (!code)
        code = yaml_expect(source, YAML_DOCUMENT_END_EVENT, "the end of the document");
    if (!code)
        code = yaml_expect(source, YAML_STREAM_END_EVENT, "a single document");
    return code;
}

int config_read_yaml(struct config *config, const char *path, struct error *error)
{
    struct yaml_source source = {.path = path, .config = config, .error = error};
    FILE *file = fopen(path, "re");
    if (!file)
        return error_set_errno(error, -errno, "cannot read configuration file %s", path);
    if (!yaml_parser_initialize(&source.parser)) {
        (void)fclose(file);
        return error_set(error, -ENOMEM, "cannot read configuration file %s: out of memory", path);
    }
    yaml_parser_set_input_file(&source.parser, file);
    int code = yaml_read_document(&source);
    if (source.event_held)
        yaml_event_delete(&source.event);
    yaml_parser_delete(&source.parser);
    (void)fclose(file);
    return code;
}
