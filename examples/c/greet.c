/* A task library in C: a result and a task that reads it, state, a lock, a task that skips itself.
 *
 *     cc -shared -fPIC -Itask-abi/include -o target/libgreet.so examples/c/greet.c
 *     tdrun target/libgreet.so
 *     tdrun target/libgreet.so --name=Ada
 */
#include "tdrun.h"

#include <stdio.h>
#include <stdlib.h>

/* Greets whom the state names, or the world, and hands the greeting on. */
static int32_t greet(const td_host *host, td_ctx ctx, void *user) {
    char name[64];
    char greeting[80];
    int32_t status = td_state_copy(host, ctx, "name", name, sizeof name);
    (void)user;
    if (status == TD_E_NOTFOUND) strcpy(name, "world");
    else if (status == TD_E_SPACE) return TD_FAILED(host, ctx, "the name is longer than 63 bytes");
    else if (status != TD_OK) return TD_FAILED(host, ctx, "cannot read the name");
    snprintf(greeting, sizeof greeting, "hello, %s", name);
    TD_INFO(host, ctx, greeting);
    return td_result_text(host, ctx, greeting);
}

/* Reads the result of greet, which ran before because the table says so. */
static int32_t be_polite(const td_host *host, td_ctx ctx, void *user) {
    char greeting[80];
    (void)user;
    TD_REQUIRE_RESULT(host, ctx, "greet", greeting, sizeof greeting);
    TD_CHECK(host, ctx, strncmp(greeting, "hello, ", 7) == 0);
    return TD_OK;
}

/* Adds one to a state key that others may change too: reading and writing are one step under the lock. */
static int32_t count(const td_host *host, td_ctx ctx, void *user) {
    char number[32] = "0";
    int32_t status;
    (void)user;
    TD_CHECK(host, ctx, host->lock(ctx, td_s("greetings")) == TD_OK);
    status = td_state_copy(host, ctx, "greetings", number, sizeof number);
    if (status == TD_OK || status == TD_E_NOTFOUND) {
        snprintf(number, sizeof number, "%ld", strtol(number, NULL, 10) + 1);
        status = td_state_set_json(host, ctx, "greetings", number);
    }
    host->unlock(ctx, td_s("greetings"));
    TD_CHECK(host, ctx, status == TD_OK);
    return TD_OK;
}

/* Only makes sense where somebody has to be woken. */
static int32_t ring_the_bell(const td_host *host, td_ctx ctx, void *user) {
    char bell[8];
    (void)user;
    if (td_state_copy(host, ctx, "bell", bell, sizeof bell) == TD_E_NOTFOUND)
        return TD_SKIPPED(host, ctx, "no bell, give one with --bell=1");
    return TD_OK;
}

static const td_task tasks[] = {
    TD_TASK(greet, .doc = TD_STR("Greets whom --name names"), TD_TAGS(TD_STR("talk"))),
    TD_TASK(be_polite, TD_AFTER(TD_STR("greet")), .doc = TD_STR("Checks the greeting")),
    TD_TASK(count, TD_AFTER(TD_STR("greet")), .doc = TD_STR("Counts the greeting in the state")),
    TD_TASK(ring_the_bell, TD_AFTER(TD_STR("be_polite"), TD_STR("count")), .doc = TD_STR("Skips itself without a bell")),
};

TD_LIBRARY(tasks)
