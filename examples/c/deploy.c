/* A deployment in C: templates, locks, waves and conditions, where greet.c has results and state.
 *
 *     cc -shared -fPIC -Itask-abi/include -o target/libdeploy.so examples/c/deploy.c
 *     tdrun target/libdeploy.so                       both environments, then the announcement
 *     tdrun target/libdeploy.so::build::dev           one of them, linted before it is built
 *     tdrun target/libdeploy.so::'deploy::*' --with-deps
 */
#include "tdrun.h"

#include <stdio.h>

/* Nobody names it in `after`: it says by itself what it comes before, and is run whenever something is built. */
static int32_t lint(const td_host *host, td_ctx ctx, void *user) {
    (void)user;
    TD_INFO(host, ctx, "the sources are clean");
    return TD_OK;
}

/* One function, two tasks: build::dev and build::prod. Each returns what it has built. */
static int32_t build(const td_host *host, td_ctx ctx, void *user) {
    char env[16];
    char package[32];
    (void)user;
    TD_REQUIRE_PARAM(host, ctx, "env", env, sizeof env);
    snprintf(package, sizeof package, "app-%s.tar", env);
    return td_result_text(host, ctx, package);
}

/* Both environments share one database, which takes its time to start. The second attempt finds it ready: the task is
 * flaky, and the summary says so. */
static int32_t migrate(const td_host *host, td_ctx ctx, void *user) {
    (void)user;
    if (host->attempt(ctx) == 1) return TD_FAILED(host, ctx, "the database is still starting");
    return TD_OK;
}

/* Copies what was built for the same environment; the brackets are filled in here as they are in the table. */
static int32_t deploy(const td_host *host, td_ctx ctx, void *user) {
    enum { STEPS = 4 };
    char package[32];
    (void)user;
    TD_REQUIRE_RESULT(host, ctx, "build::[env]", package, sizeof package);
    for (int step = 0; step < STEPS; step++) {
        if (host->cancelled(ctx)) return TD_FAILED(host, ctx, "stopped half-way");
        host->progress(ctx, (uint64_t)step, STEPS, td_s(package));
    }
    return TD_OK;
}

static int32_t announce(const td_host *host, td_ctx ctx, void *user) {
    (void)user;
    TD_INFO(host, ctx, "everything is deployed");
    return TD_OK;
}

static int32_t clean_up(const td_host *host, td_ctx ctx, void *user) {
    (void)user;
    TD_INFO(host, ctx, "nothing is left behind");
    return TD_OK;
}

#define ENVIRONMENTS TD_PARAMS(TD_PARAM("env", TD_CHOICES(TD_STR("dev"), TD_STR("prod"))))

static const td_task tasks[] = {
    TD_TASK(lint, TD_BEFORE(TD_STR("build::[env]")), .doc = TD_STR("Runs before whatever is built")),

    /* A program is a task like any other; `[env]` may stand in its arguments too. */
    TD_COMMAND("check::[env]", TD_EXEC(TD_ARGV(TD_STR("echo"), TD_STR("[env] can be reached"))), ENVIRONMENTS),

    TD_TASK_NAMED(build, "build::[env]", ENVIRONMENTS, .doc = TD_STR("Builds the package")),

    /* Never both at the same time, and up to two further attempts. */
    TD_TASK_NAMED(migrate, "migrate::[env]", ENVIRONMENTS, TD_LOCKS(TD_STR("database")), .retries = 2,
                  .retry_delay_ms = 10, .doc = TD_STR("Migrates the database")),

    /* Not before all that is in no wave has ended. */
    TD_TASK_NAMED(deploy, "deploy::[env]", ENVIRONMENTS, .wave = 1, .timeout_ms = 30000,
                  TD_AFTER(TD_STR("check::[env]"), TD_STR("build::[env]"), TD_STR("migrate::[env]")),
                  TD_LOCKS(TD_STR("database:r")), .doc = TD_STR("Copies the package")),

    /* However that went. */
    TD_TASK(clean_up, TD_AFTER(TD_STR("deploy::*")), .wave = 1, .condition = TD_ALWAYS),

    /* Last, and only if nothing has failed. */
    TD_TASK(announce, .condition = TD_NO_FAILURES),
};

TD_LIBRARY(tasks)
