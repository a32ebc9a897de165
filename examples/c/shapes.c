/* A table made by code: as many tasks as SIZE says, none of which does anything, in the shape that SHAPE names. What is left is
 * what tdrun itself takes, so the benchmark runs this library too.
 *
 *     cc -O2 -shared -fPIC -Itask-abi/include -o target/libshapes.so examples/c/shapes.c
 *     tdrun target/libshapes.so
 *     SHAPE=wide SIZE=1000000 tdrun target/libshapes.so --quiet
 *
 *     chain      each task after the one before
 *     wide       one task first, all others after it, and one after all of them
 *     layered    √SIZE layers of √SIZE tasks, each after three of the layer before; the same three in every run
 *     tree       each task after two others, down to one that is last
 */
#include "tdrun.h"

#include <stdio.h>
#include <stdlib.h>

/* A td_task up to its dependencies: tdrun reads what is missing as zero, and a table of millions stays small. */
typedef struct task {
    uint32_t size;
    uint32_t kind;
    uint64_t flags;
    td_str name;
    td_run_fn run;
    void *user;
    const td_str *after;
    size_t after_count;
} task;

typedef char task_ends_before_the_tags[sizeof(task) == offsetof(td_task, tags) ? 1 : -1];

static size_t size;
static char *names; /* of all tasks, `t` and a number, one behind the other */
static size_t name_length;
static size_t bytes;

static int32_t nothing(const td_host *host, td_ctx ctx, void *user) {
    (void)host, (void)ctx, (void)user;
    return TD_OK;
}

static td_str name(size_t number) {
    td_str text = {names + number * name_length, name_length};
    return text;
}

/* The shapes: each writes the dependencies of a task, and returns where the next one's begin. */

static td_str *chain(size_t number, td_str *next) {
    if (number) *next++ = name(number - 1);
    return next;
}

/* A list may have 65,536 entries, and a glob reaches any number of tasks, itself too: so the last is called `u`. */
static td_str *wide(size_t number, td_str *next) {
    static const td_str all = TD_STR("t*");
    if (number && number < size - 1) *next++ = name(0);
    if (number && number == size - 1) {
        names[number * name_length] = 'u';
        *next++ = all;
    }
    return next;
}

/* Sebastiano Vigna's SplitMix64: small, and the same everywhere. */
static uint64_t random_number(void) {
    static uint64_t state = 4;
    uint64_t z = state += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

/* One of each third of the layer before, so no task is named twice. */
static td_str *layered(size_t number, td_str *next) {
    static size_t width;
    size_t part, parts;
    while (width * width < size) width++;
    parts = width < 3 ? width : 3;
    for (part = 0; number >= width && part < parts; part++) {
        size_t from = width * part / parts, to = width * (part + 1) / parts;
        *next++ = name((number / width - 1) * width + from + random_number() % (to - from));
    }
    return next;
}

static td_str *tree(size_t number, td_str *next) {
    size_t child = 2 * (size - 1 - number) + 1;
    if (child < size) *next++ = name(size - 1 - child);
    if (child + 1 < size) *next++ = name(size - 2 - child);
    return next;
}

static const struct shape {
    const char *name;
    td_str *(*after)(size_t number, td_str *next);
    size_t dependencies; /* of all tasks together at most so many times SIZE */
} shapes[] = {{"chain", chain, 1}, {"wide", wide, 1}, {"layered", layered, 3}, {"tree", tree, 1}};

static const struct shape *asked_shape(void) {
    const char *text = getenv("SHAPE");
    size_t i;
    if (!text) return &shapes[2];
    for (i = 0; i < sizeof shapes / sizeof *shapes; i++)
        if (strcmp(text, shapes[i].name) == 0) return &shapes[i];
    fprintf(stderr, "SHAPE is chain, wide, layered or tree, not `%s`\n", text);
    return NULL;
}

static size_t asked_size(void) {
    const char *text = getenv("SIZE");
    char *end;
    unsigned long value;
    if (!text) return 16;
    value = strtoul(text, &end, 10);
    if (value >= 1 && value <= 10000000 && !*end) return value;
    fprintf(stderr, "SIZE is a number from 1 to 10000000, not `%s`\n", text);
    return 0;
}

static task *tasks_of(const struct shape *shape) {
    task *tasks = calloc(size, sizeof *tasks);
    td_str *after = malloc(size * shape->dependencies * sizeof *after);
    td_str *next = after;
    size_t number, rest, digit;
    for (rest = size - 1, name_length = 2; rest > 9; rest /= 10) name_length++;
    names = malloc(size * name_length);
    if (!tasks || !after || !names) return NULL;
    for (number = 0; number < size; number++) {
        char *text = names + number * name_length;
        for (text[0] = 't', rest = number, digit = name_length; --digit; rest /= 10) text[digit] = (char)('0' + rest % 10);
    }
    for (number = 0; number < size; number++) {
        task *task = &tasks[number];
        task->size = sizeof *task;
        task->name = name(number);
        task->run = nothing;
        task->after = next;
        next = shape->after(number, next);
        task->after_count = (size_t)(next - task->after);
    }
    bytes = size * (sizeof *tasks + name_length) + (size_t)(next - after) * sizeof *after;
    return tasks;
}

TD_EXPORT const td_table *tdrun_entry_v1(const td_host *host) {
    static td_table table = {
        .magic = TD_MAGIC,
        .major = TD_MAJOR,
        .minor = TD_MINOR,
        .size = sizeof(td_table),
        .task_stride = sizeof(task),
    };
    const struct shape *shape = asked_shape();
    (void)host;
    size = asked_size();
    if (!shape || !size) return NULL;
    /* The benchmark asks more than once. */
    if (!table.tasks) table.tasks = (const td_task *)tasks_of(shape);
    table.task_count = size;
    return table.tasks ? &table : NULL;
}

/* For the benchmark: what the table takes. */
TD_EXPORT size_t shapes_bytes(void) {
    return bytes;
}
