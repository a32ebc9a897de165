/* What the table of the task language in the README shows in C, word by word, in a library that compiles. */
#include "tdrun.h"

static int32_t pay(const td_host *host, td_ctx ctx, void *user) {
    (void)user;
    return td_result_text(host, ctx, "7");
}

static int32_t build(const td_host *host, td_ctx ctx, void *user) {
    char text[32];
    (void)user;
    TD_REQUIRE_PARAM(host, ctx, "env", text, sizeof text);
    return td_result_text(host, ctx, text);
}

static int32_t deploy(const td_host *host, td_ctx ctx, void *user) {
    char text[32];
    (void)user;
    TD_REQUIRE_RESULT(host, ctx, "build::[env]", text, sizeof text);
    return TD_OK;
}

static int32_t environments(void *user, td_visit_fn add, td_visit_fn fail, void *list) {
    (void)user, (void)fail;
    add(list, td_s("dev"));
    return TD_OK;
}

static int32_t skips(const td_host *host, td_ctx ctx, void *user) {
    (void)user;
    return TD_SKIPPED(host, ctx, "why");
}

static int32_t sum(const td_host *host, td_ctx ctx, void *user) {
    (void)user;
    return td_result_json(host, ctx, "8");
}

static int32_t asks(const td_host *host, td_ctx ctx, void *user) {
    char text[32];
    (void)user;
    TD_CHECK(host, ctx, td_name_copy(host, ctx, text, sizeof text) == TD_OK && strcmp(text, "asks") == 0);
    TD_CHECK(host, ctx, host->attempt(ctx) == 1 && host->cancelled(ctx) == 0);
    TD_CHECK(host, ctx, host->progress(ctx, 3, 10, td_s("copying")) == TD_OK);
    TD_CHECK(host, ctx, td_run(host, ctx, "sum::0::8", text, sizeof text) == TD_OK);
    TD_REQUIRE_RUN(host, ctx, "sum::0::8");
    TD_CHECK(host, ctx, host->start(ctx, td_s("sum::0::8"), NULL, NULL) == TD_OK);
    TD_CHECK(host, ctx, host->wait(ctx, td_s("sum::0::8"), NULL, NULL) == TD_OK);
    return TD_OK;
}

static const td_task tasks[] = {
    TD_TASK(pay),
    TD_TASK_NAMED(pay, "after", TD_AFTER(TD_STR("pay"), TD_STR("build::*"))),
    TD_TASK_NAMED(pay, "before", TD_BEFORE(TD_STR("deploy::[env]"))),
    TD_TASK_NAMED(pay, "then", TD_THEN(TD_STR("announce"))),
    TD_TASK_NAMED(pay, "announce"),
    TD_TASK_NAMED(build, "build::[env]", TD_PARAMS(TD_PARAM("env", TD_CHOICES(TD_STR("dev"), TD_STR("prod"))))),
    TD_TASK_NAMED(deploy, "deploy::[env]", TD_PARAMS(TD_PARAM("env", .choose = environments)), TD_AFTER(TD_STR("build::[env]"))),
    TD_TASK_NAMED(sum, "sum::[from]::[to]", TD_PARAMS(TD_PARAM("from", .kind = TD_PARAM_INT), TD_PARAM("to", .kind = TD_PARAM_INT))),
    TD_TASK_NAMED(pay, "late", .wave = 1),
    TD_TASK_NAMED(pay, "locked", TD_LOCKS(TD_STR("db"), TD_STR("cache:r"))),
    TD_TASK_NAMED(pay, "alone", .flags = TD_TASK_EXCLUSIVE),
    TD_TASK_NAMED(pay, "apart", .flags = TD_TASK_ISOLATE),
    TD_TASK_NAMED(pay, "if_all_is_well", .condition = TD_NO_FAILURES),
    TD_TASK_NAMED(pay, "in_any_case", .condition = TD_ALWAYS),
    TD_TASK_NAMED(pay, "first", .priority = 5),
    TD_TASK_NAMED(pay, "again", .retries = 2, .retry_delay_ms = 1000),
    TD_TASK_NAMED(pay, "in_time", .timeout_ms = 30000, .retries = 1, .flags = TD_TASK_RETRY_TIMEOUT),
    TD_COMMAND("list", TD_EXEC(TD_ARGV(TD_STR("ls"), TD_STR("-l")))),
    TD_COMMAND("count", TD_SHELL("ls | wc -l", .cwd = TD_STR("src"), .flags = TD_COMMAND_UNCHECKED)),
    TD_TASK(skips),
    TD_TASK(asks),
};

TD_LIBRARY(tasks)
