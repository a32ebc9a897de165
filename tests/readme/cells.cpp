/* What the README shows of the task language in C++, word by word, in a library that compiles. */
#include "tdrun.hpp"

static void build(const td::context &ctx) { ctx.info(ctx.param("env")); }

TD_CPP_LIBRARY(library) {
    library.task(TD_FN(build)).name("build::[env]").choices("env", {"dev", "prod"}).retries(2);
    library.command("list", {"ls", "-l"}).after("build::*");
}
