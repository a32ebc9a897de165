/* A task library in C++: exceptions stop at the guard, results are strings, a lock is a scope.
 *
 *     c++ -shared -fPIC -Itask-abi/include -o target/libledger.so examples/c/ledger.cpp
 *     tdrun target/libledger.so
 *     tdrun target/libledger.so --opening=-500      balance fails, with what and where
 */
#include "tdrun.hpp"

#include <stdexcept>
#include <string>

namespace {

/* The state is there before any task runs; what the command line has set is kept. */
void defaults(td::context &ctx) {
    std::string opening;
    if (!ctx.state("opening", opening)) ctx.set_state("opening", "100");
}

/* What a task returns is its result. */
std::string open_ledger(td::context &ctx) { return ctx.state("opening"); }

/* Books an amount on the total, which two tasks do at the same time. */
void book(td::context &ctx, int amount) {
    const td::lock held = ctx.lock("total");
    std::string total = "0";
    ctx.state("total", total);
    ctx.set_state_json("total", std::to_string(std::stoi(total) + amount));
}

void book_income(td::context &ctx) { book(ctx, 250); }
void book_rent(td::context &ctx) { book(ctx, -120); }

/* A malformed opening throws from the standard library; the guard makes a failure of it, with its cause. */
int opening_of(td::context &ctx) {
    const std::string opening = ctx.result("open_ledger");
    try {
        return std::stoi(opening);
    } catch (const std::exception &) {
        std::throw_with_nested(std::runtime_error("the opening balance `" + opening + "` is no number"));
    }
}

std::string balance(td::context &ctx) {
    const int balance = opening_of(ctx) + std::stoi(ctx.state("total"));
    TD_REQUIRE(balance >= 0);
    ctx.info("the balance is " + std::to_string(balance));
    return std::to_string(balance);
}

} // namespace

TD_CPP_LIBRARY(library) {
    library.setup(TD_FN(defaults));
    library.task(TD_FN(open_ledger)).doc("Hands on the opening balance");
    library.task(TD_FN(book_income)).after("open_ledger").tag("book").doc("Books 250");
    library.task(TD_FN(book_rent)).after("open_ledger").tag("book").doc("Books the rent of 120");
    library.task(TD_FN(balance)).after("open_ledger").after("book_income").after("book_rent").doc("Adds it all up");
}
