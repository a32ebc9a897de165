/* tdrun.hpp: task libraries in C++11 and later. Read tdrun.h first; it is the contract, and all of it can be used as well.
 *
 * A whole library, beside a clone of tdrun:
 *
 *     #include "tdrun.hpp"
 *
 *     // Returns the result.
 *     static std::string greet(td::context &) { return "hello"; }
 *
 *     static void check(td::context &ctx) {
 *         TD_REQUIRE(ctx.result("greet") == "hello");
 *         ctx.info("it was polite");
 *     }
 *
 *     TD_CPP_LIBRARY(library) {
 *         library.task(TD_FN(greet)).doc("Says hello");
 *         library.task(TD_FN(check)).after("greet").tag("smoke");
 *     }
 *
 *     c++ -shared -fPIC -I../tdrun/task-abi/include -o libgreet.so greet.cpp && tdrun libgreet.so
 *
 * EXCEPTIONS never reach the host: every task that is declared with TD_FN runs inside of td::guard, which turns an
 * exception into the failure of the task. Its what(), and those of nested exceptions (std::throw_with_nested), are the
 * message; an exception that is no std::exception is an "unknown exception". td::failure carries file and line, too, and
 * any other failure has the place where the task is declared; td::skipped skips the task. A thread that a task makes has
 * to catch by itself, as everywhere in C++.
 *
 * STRINGS go in and out as std::string, UTF-8. A value is text unless a name says _json; text stands for itself, JSON is
 * JSON text, as in tdrun.h.
 *
 * THREADS. A td::context is a small value; copy it into threads that the task makes. After the end of the task its
 * functions throw td::error with code() TD_E_STALE, or do nothing where they are noexcept.
 */
#ifndef TDRUN_HPP
#define TDRUN_HPP

#include "tdrun.h"

#include <cerrno>
#include <chrono>
#include <cstddef>
#include <cstdlib>
#include <deque>
#include <exception>
#include <functional>
#include <limits>
#include <new>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

namespace td {

/* ---- What can be thrown ------------------------------------------------------------------------------------------- */

/* The host did not do what it was asked for; code() is one of TD_E_…. */
class error : public std::runtime_error {
  public:
    error(int32_t code, const std::string &what) : std::runtime_error(what), code_(code) {}
    int32_t code() const noexcept { return code_; }

  private:
    int32_t code_;
};

/* The task fails, and this is the place; see TD_THROW and TD_REQUIRE. `file` must be a literal, such as __FILE__. */
class failure : public std::runtime_error {
  public:
    failure(const std::string &what, const char *file, uint32_t line)
        : std::runtime_error(what), file_(file), line_(line) {}
    const char *file() const noexcept { return file_; }
    uint32_t line() const noexcept { return line_; }

  private:
    const char *file_;
    uint32_t line_;
};

/* The task skips itself, which counts as passed for its dependents. No std::exception, so that no catch for those takes
 * it for an error: throw td::skipped("needs a network"). */
class skipped {
  public:
    explicit skipped(std::string reason) : reason_(std::move(reason)) {}
    const std::string &reason() const noexcept { return reason_; }

  private:
    std::string reason_;
};

/* Fails the task with a message and the place of this line. */
#define TD_THROW(message) throw td::failure((message), __FILE__, static_cast<uint32_t>(__LINE__))

/* Fails the task where the condition does not hold. */
#define TD_REQUIRE(condition)                                                                                          \
    do {                                                                                                               \
        if (!(condition)) TD_THROW("check failed: " #condition);                                                       \
    } while (0)

/* ---- Details -------------------------------------------------------------------------------------------------------- */

namespace detail {

/* Borrows; the string has to outlive the call. */
inline td_str str(const std::string &text) noexcept {
    td_str s;
    s.ptr = text.data();
    s.len = text.size();
    return s;
}

/* Where a visitor puts the value. It is called by the host, so it must not throw: a value that there is no memory for is
 * reported after the host has returned. */
struct slot {
    std::string *value;
    bool failed;
};

extern "C" inline void td_cpp_take(void *user, td_str value) {
    slot *s = static_cast<slot *>(user);
    try {
        s->value->assign(value.len ? value.ptr : "", value.len);
    } catch (...) {
        s->failed = true;
    }
}

inline const char *reason(int32_t code) noexcept {
    switch (code) {
    case TD_E_STALE: return "the task has ended";
    case TD_E_ARG: return "a malformed name or value";
    case TD_E_NOTFOUND: return "not found";
    case TD_E_JSON: return "not JSON, or nested too deep";
    case TD_E_TOOBIG: return "larger than 64 MiB";
    case TD_E_DENIED: return "the key is reserved";
    case TD_E_CHANGED: return "the value has changed";
    case TD_E_DEADLOCK: return "waiting for it would never end";
    case TD_E_CANCELLED: return "the run has been stopped, or the task has timed out";
    case TD_E_FAILED: return "it did not pass";
    case TD_E_LIMIT: return "the system gives no more threads";
    default: return "refused by tdrun";
    }
}

inline void check(int32_t code, const std::string &what) {
    if (code != TD_OK) throw error(code, what + ": " + reason(code));
}

inline void check(int32_t code, const char *what, const std::string &name) {
    if (code != TD_OK) check(code, std::string(what) + " `" + name + "`");
}

/* The text of a parameter as a value of a type; false where it is none. */
inline bool parse(const std::string &text, std::string &value) {
    value = text;
    return true;
}
inline bool parse(const std::string &text, bool &value) {
    value = text == "true";
    return value || text == "false";
}
/* What `convert` (strtoll and its kind) makes of the whole text, which must not begin with a space. */
template <typename N, typename C> bool parse_all(const std::string &text, C convert, N &value) {
    char *end = nullptr;
    if (text.empty() || text[0] == ' ' || (text[0] >= '\t' && text[0] <= '\r')) return false;
    errno = 0;
    value = convert(text.c_str(), &end);
    return errno == 0 && end == text.c_str() + text.size();
}
template <typename T>
typename std::enable_if<std::is_integral<T>::value && std::is_signed<T>::value, bool>::type
parse(const std::string &text, T &value) {
    long long number = 0;
    if (!parse_all(text, [](const char *t, char **end) { return std::strtoll(t, end, 10); }, number)) return false;
    value = static_cast<T>(number);
    return number >= std::numeric_limits<T>::min() && number <= std::numeric_limits<T>::max();
}
template <typename T>
typename std::enable_if<std::is_integral<T>::value && std::is_unsigned<T>::value, bool>::type
parse(const std::string &text, T &value) {
    unsigned long long number = 0;
    if (text.find('-') != std::string::npos) return false;
    if (!parse_all(text, [](const char *t, char **end) { return std::strtoull(t, end, 10); }, number)) return false;
    value = static_cast<T>(number);
    return number <= std::numeric_limits<T>::max();
}
template <typename T>
typename std::enable_if<std::is_floating_point<T>::value, bool>::type parse(const std::string &text, T &value) {
    double number = 0;
    if (!parse_all(text, [](const char *t, char **end) { return std::strtod(t, end); }, number)) return false;
    value = static_cast<T>(number);
    return true;
}

/* The chain of nested exceptions, a line each. */
inline void describe(const std::exception &e, std::string &text) {
    text += e.what();
    try {
        std::rethrow_if_nested(e);
    } catch (const std::exception &cause) {
        text += "\ncaused by: ";
        describe(cause, text);
    } catch (...) {
        text += "\ncaused by: unknown exception";
    }
}

} // namespace detail

/* ---- The context ------------------------------------------------------------------------------------------------------ */

/* Holds a named lock; released when it goes out of scope. Locks are those of tdrun, re-entrant for the task. Move it where
 * it has to live longer. */
class lock {
  public:
    lock(const td_host *host, td_ctx ctx, std::string name) : host_(host), ctx_(ctx), name_(std::move(name)) {
        detail::check(host_->lock(ctx_, detail::str(name_)), "lock", name_);
    }
    lock(lock &&other) noexcept : host_(other.host_), ctx_(other.ctx_), name_(std::move(other.name_)) {
        other.host_ = nullptr;
    }
    lock(const lock &) = delete;
    lock &operator=(const lock &) = delete;
    lock &operator=(lock &&) = delete;
    ~lock() {
        if (host_) host_->unlock(ctx_, detail::str(name_));
    }

  private:
    const td_host *host_;
    td_ctx ctx_;
    std::string name_;
};

/* The running task, and what it may ask of tdrun. Functions that can fail throw td::error. Any thread. */
class context {
  public:
    context(const td_host *host, td_ctx ctx) noexcept : host_(host), ctx_(ctx) {}

    /* For the functions of tdrun.h. */
    const td_host *host() const noexcept { return host_; }
    td_ctx id() const noexcept { return ctx_; }

    /* The name of the task; of one that is made of a template, with its parameters filled in. */
    std::string name() const {
        std::string value;
        detail::slot s = {&value, false};
        const int32_t code = host_->task_name(ctx_, detail::td_cpp_take, &s);
        if (s.failed) throw std::bad_alloc();
        detail::check(code, "the name");
        return value;
    }

    /* A parameter of the task's template: its text, or that as a number or a bool: ctx.param<int>("port"). Throws where the
     * text is no such value; TD_PARAM_INT and its kind in the table find out before anything runs. */
    template <typename T = std::string> T param(const std::string &name) const {
        std::string text;
        detail::slot s = {&text, false};
        const int32_t code = host_->param(ctx_, detail::str(name), detail::td_cpp_take, &s);
        if (s.failed) throw std::bad_alloc();
        detail::check(code, "parameter", name);
        T value = T();
        if (!detail::parse(text, value))
            throw td::error(TD_E_ARG, "parameter `" + name + "`: `" + text + "` does not fit its type");
        return value;
    }

    /* Which attempt this is: 1, 2 … */
    int32_t attempt() const {
        const int32_t number = host_->attempt(ctx_);
        detail::check(number < 0 ? number : TD_OK, "the attempt");
        return number;
    }

    /* Tells how far the task is; total 0: not known. */
    void progress(uint64_t done, uint64_t total, const std::string &what = std::string()) const noexcept {
        host_->progress(ctx_, done, total, detail::str(what));
    }

    /* Makes sure that a task is part of the run; the second waits, too, until it has ended, and throws where it did not pass;
     * the third returns its result, which is empty where it has none. What they throw has the reason in tdrun's words. */
    void start(const std::string &task) const { ask(host_->start, task); }
    void wait(const std::string &task) const { ask(host_->wait, task); }
    std::string run(const std::string &task) const {
        std::string value;
        wait(task);
        result(task, value);
        return value;
    }

    /* The task should stop soon, or has ended. */
    bool cancelled() const noexcept { return host_->cancelled(ctx_) != 0; }

    /* The log of the run. TD_LOG_HERE(ctx, TD_LOG_INFO, message) tells the place, too. */
    void log(uint32_t level, const std::string &message, const char *file = nullptr, uint32_t line = 0) const noexcept {
        if (level <= host_->log_level())
            host_->log(ctx_, level, td_s(nullptr), detail::str(message), td_s(file), line);
    }
    void debug(const std::string &message) const noexcept { log(TD_LOG_DEBUG, message); }
    void info(const std::string &message) const noexcept { log(TD_LOG_INFO, message); }
    void warn(const std::string &message) const noexcept { log(TD_LOG_WARN, message); }
    void error(const std::string &message) const noexcept { log(TD_LOG_ERROR, message); }

    /* What the task returns to its dependents; a task may as well return a std::string. */
    void set_result(const std::string &text) const {
        detail::check(host_->result_set(ctx_, TD_TEXT, detail::str(text)), "the result");
    }
    void set_result_json(const std::string &json) const {
        detail::check(host_->result_set(ctx_, TD_JSON, detail::str(json)), "the result");
    }

    /* The result of a task; name the task in after(). The first throws where there is none, the second returns false. */
    std::string result(const std::string &task) const {
        std::string value;
        check_result(get(host_->result_get, task, TD_TEXT, value), task);
        return value;
    }
    bool result(const std::string &task, std::string &out) const {
        return found(get(host_->result_get, task, TD_TEXT, out), "result of", task);
    }
    std::string result_json(const std::string &task) const {
        std::string value;
        check_result(get(host_->result_get, task, TD_JSON, value), task);
        return value;
    }

    /* The value of a state key. The first throws where there is none, the second returns false. */
    std::string state(const std::string &key) const {
        std::string value;
        detail::check(get(host_->state_get, key, TD_TEXT, value), "state key", key);
        return value;
    }
    bool state(const std::string &key, std::string &out) const {
        return found(get(host_->state_get, key, TD_TEXT, out), "state key", key);
    }
    std::string state_json(const std::string &key) const {
        std::string value;
        detail::check(get(host_->state_get, key, TD_JSON, value), "state key", key);
        return value;
    }
    void set_state(const std::string &key, const std::string &text) const {
        detail::check(host_->state_set(ctx_, detail::str(key), TD_TEXT, detail::str(text)), "state key", key);
    }
    void set_state_json(const std::string &key, const std::string &json) const {
        detail::check(host_->state_set(ctx_, detail::str(key), TD_JSON, detail::str(json)), "state key", key);
    }

    /* Compare-and-set, in JSON: false where the key does not hold `expected`. A null pointer is "no such key", both ways. */
    bool swap_state_json(const std::string &key, const std::string *expected, const std::string *value) const {
        const td_str none = {nullptr, 0};
        const int32_t code = host_->state_swap(ctx_, detail::str(key), expected ? detail::str(*expected) : none,
                                               value ? detail::str(*value) : none);
        if (code == TD_E_CHANGED) return false;
        detail::check(code, "state key", key);
        return true;
    }

    /* Waits for the named lock and holds it until the returned value goes out of scope. */
    td::lock lock(const std::string &name) const { return td::lock(host_, ctx_, name); }

  private:
    typedef int32_t (*getter)(td_ctx, td_str, uint32_t, td_visit_fn, void *);

    int32_t get(getter ask, const std::string &name, uint32_t as, std::string &out) const {
        detail::slot s = {&out, false};
        const int32_t code = ask(ctx_, detail::str(name), as, detail::td_cpp_take, &s);
        if (s.failed) throw std::bad_alloc();
        return code;
    }
    void ask(int32_t (*act)(td_ctx, td_str, td_visit_fn, void *), const std::string &task) const {
        std::string why;
        detail::slot s = {&why, false};
        const int32_t code = act(ctx_, detail::str(task), detail::td_cpp_take, &s);
        if (code != TD_OK && !why.empty()) throw td::error(code, why);
        detail::check(code, "task", task);
    }
    void check_result(int32_t code, const std::string &task) const {
        char why[768];
        if (code != TD_E_NOTFOUND) return detail::check(code, "result of", task);
        td_no_result(host_, ctx_, task.c_str(), why, sizeof why);
        throw td::error(code, why);
    }
    static bool found(int32_t code, const char *what, const std::string &name) {
        if (code == TD_E_NOTFOUND) return false;
        detail::check(code, what, name);
        return true;
    }

    const td_host *host_;
    td_ctx ctx_;
};

/* Sends a message to the log of the run with the place of this line; `level` is one of TD_LOG_ERROR to TD_LOG_TRACE. */
#define TD_LOG_HERE(ctx, level, message) ((ctx).log((level), (message), __FILE__, static_cast<uint32_t>(__LINE__)))

/* ---- The guard ---------------------------------------------------------------------------------------------------------- */

namespace detail {

/* What a task may return: nothing, a string as its result, or a status of tdrun.h. */
template <typename R> struct returned {
    static_assert(sizeof(R) == 0, "a task returns nothing, a std::string or an int32_t");
};
template <> struct returned<void> {
    template <typename F> static int32_t of(F &f, context &ctx) {
        f(ctx);
        return TD_OK;
    }
};
template <> struct returned<int32_t> {
    template <typename F> static int32_t of(F &f, context &ctx) { return f(ctx); }
};
template <> struct returned<std::string> {
    template <typename F> static int32_t of(F &f, context &ctx) {
        ctx.set_result(f(ctx));
        return TD_OK;
    }
};

inline int32_t failed(const td_host *host, td_ctx ctx, const std::string &message, const char *file,
                      uint32_t line) noexcept {
    host->fail(ctx, str(message), td_s(file), line);
    return TD_FAIL;
}

/* Called while an exception is being handled. Putting it into words takes memory; where there is none left, the words are
 * fewer. */
inline int32_t failed_by_exception(const td_host *host, td_ctx ctx) noexcept {
    try {
        std::string message;
        const char *file = nullptr; /* the host then takes the place where the task is declared */
        uint32_t line = 0;
        try {
            throw;
        } catch (const skipped &s) {
            host->skip(ctx, str(s.reason()));
            return TD_SKIP;
        } catch (const failure &e) {
            describe(e, message);
            file = e.file();
            line = e.line();
        } catch (const std::exception &e) {
            describe(e, message);
        } catch (...) {
            message = "unknown exception";
        }
        return failed(host, ctx, message, file, line);
    } catch (...) {
        host->fail(ctx, td_s("out of memory"), td_s(nullptr), 0);
        return TD_FAIL;
    }
}

} // namespace detail

/* Calls f(context &) and returns the status for the host; no exception leaves it. f returns nothing, a std::string, which
 * becomes the result, or a status of tdrun.h. For tasks that are written as td_run_fn by hand:
 *
 *     static int32_t greet(const td_host *host, td_ctx ctx, void *) {
 *         return td::guard(host, ctx, [](td::context &) { return std::string("hello"); });
 *     }
 */
template <typename F> int32_t guard(const td_host *host, td_ctx ctx, F &&f) noexcept {
    try {
        context c(host, ctx);
        return detail::returned<decltype(f(c))>::of(f, c);
    } catch (...) {
        return detail::failed_by_exception(host, ctx);
    }
}

/* ---- The table ---------------------------------------------------------------------------------------------------------- */

/* A function as a task or a hook; made by TD_FN. */
struct function {
    const char *name;
    td_run_fn run;
    const char *file;
    uint32_t line;
};

namespace detail {

template <typename P, P f> int32_t run(const td_host *host, td_ctx ctx, void *) noexcept {
    return guard(host, ctx, f);
}

} // namespace detail

/* The function `f`, which takes a td::context & and returns void, std::string or int32_t; named as it is written here,
 * without its namespaces. */
#define TD_FN(f)                                                                                                       \
    (td::function{#f, &td::detail::run<decltype(&f), &f>, __FILE__, static_cast<uint32_t>(__LINE__)})

namespace detail {

/* A parameter of a template that is being declared. */
struct parameter {
    std::string name;
    uint32_t kind;
    bool has_choices;
    std::vector<std::string> choices;
    std::string wants;
    std::function<std::string(const std::string &)> check;
    std::vector<td_str> choice_strs;
};

/* For a list of choices that is empty: no task, not any text. */
extern "C" inline int32_t td_cpp_choose_nothing(void *, td_visit_fn, td_visit_fn, void *) { return TD_OK; }

/* Asks the check of a parameter; an exception is a no. */
extern "C" inline int32_t td_cpp_check(void *user, td_str text, td_visit_fn fail, void *reason) {
    try {
        const parameter *p = static_cast<const parameter *>(user);
        const std::string why = p->check(std::string(text.len ? text.ptr : "", text.len));
        if (why.empty()) return TD_OK;
        fail(reason, str(why));
    } catch (const std::exception &e) {
        fail(reason, td_s(e.what()));
    } catch (...) {
        fail(reason, td_s("unknown exception"));
    }
    return TD_FAIL;
}

inline void refer(const std::vector<std::string> &texts, std::vector<td_str> &strs) {
    strs.clear();
    for (std::size_t i = 0; i < texts.size(); ++i) strs.push_back(str(texts[i]));
}

/* A list of a task, and how the table has it. */
struct list {
    std::vector<std::string> texts;
    std::vector<td_str> strs;

    void put(const td_str *&first, std::size_t &count) {
        refer(texts, strs);
        first = strs.data();
        count = strs.size();
    }
};

} // namespace detail

/* A task that is being declared; each function returns it again. What each means stands at the fields of td_task. */
class task {
  public:
    explicit task(const function &f) : raw_(), command_(), name_(f.name) {
        const std::size_t colon = name_.rfind("::");
        if (colon != std::string::npos) name_.erase(0, colon + 2);
        raw_.kind = TD_KIND_FUNCTION;
        raw_.run = f.run;
        raw_.file = td_s(f.file);
        raw_.line = f.line;
    }
    /* A command; see library::command. */
    task(std::string name, std::vector<std::string> argv, std::string shell, const char *file, uint32_t line)
        : raw_(), command_(), name_(std::move(name)), shell_(std::move(shell)) {
        argv_.texts = std::move(argv);
        raw_.kind = TD_KIND_COMMAND;
        raw_.file = td_s(file);
        raw_.line = line;
    }
    task(const task &) = delete;
    task &operator=(const task &) = delete;

    /* Another name than that of the function; `build::[env]` is a template. */
    task &name(std::string text) { return set(name_, std::move(text)); }
    /* What it does, shown in lists. */
    task &doc(std::string text) { return set(doc_, std::move(text)); }

    /* Each of these may be called several times. */
    task &after(std::string text) { return add(after_, std::move(text)); }
    task &before(std::string text) { return add(before_, std::move(text)); }
    task &then(std::string text) { return add(then_, std::move(text)); }
    task &tag(std::string text) { return add(tags_, std::move(text)); }
    task &lock(std::string text) { return add(locks_, std::move(text)); }

    task &wave(uint32_t number) { return set(raw_.wave, number); }
    task &priority(int32_t number) { return set(raw_.priority, number); }
    task &no_failures() { return set(raw_.condition, static_cast<uint32_t>(TD_NO_FAILURES)); }
    task &always() { return set(raw_.condition, static_cast<uint32_t>(TD_ALWAYS)); }
    task &exclusive() { return flag(TD_TASK_EXCLUSIVE); }
    task &retries(uint32_t count, std::chrono::milliseconds delay = std::chrono::milliseconds(0)) {
        raw_.retry_delay_ms = static_cast<uint64_t>(delay.count());
        return set(raw_.retries, count);
    }
    task &retry_timeouts() { return flag(TD_TASK_RETRY_TIMEOUT); }
    task &isolate() { return flag(TD_TASK_ISOLATE); }
    task &timeout(std::chrono::milliseconds time) {
        return set(raw_.timeout_ms, static_cast<uint64_t>(time.count()));
    }

    /* Parameters of a template, by their names. The choices may as well be computed: what declares the tasks runs while the
     * library is loaded. No choices, no tasks. */
    task &param(const std::string &param, uint32_t kind) {
        parameter(param).kind = kind;
        return *this;
    }
    task &choices(const std::string &param, std::vector<std::string> texts) {
        parameter(param).has_choices = true;
        return set(parameter(param).choices, std::move(texts));
    }
    /* `check` returns what is wrong with a text, or nothing; called on any thread. `wants` is for messages: `a port`. */
    task &check(const std::string &param, std::string wants, std::function<std::string(const std::string &)> check) {
        parameter(param).wants = std::move(wants);
        return set(parameter(param).check, std::move(check));
    }

    /* Of a command only: where it runs; `NAME=value` or `NAME`; any exit status will do. */
    task &cwd(std::string text) { return set(cwd_, std::move(text)); }
    task &env(std::string text) { return add(env_, std::move(text)); }
    task &unchecked() {
        command_.flags |= TD_COMMAND_UNCHECKED;
        return *this;
    }

  private:
    friend class library;

    template <typename T, typename V> task &set(T &field, V &&value) {
        field = std::forward<V>(value);
        return *this;
    }
    task &add(detail::list &list, std::string text) {
        list.texts.push_back(std::move(text));
        return *this;
    }
    task &flag(uint64_t bit) {
        raw_.flags |= bit;
        return *this;
    }
    detail::parameter &parameter(const std::string &name) {
        for (std::size_t i = 0; i < parameters_.size(); ++i)
            if (parameters_[i].name == name) return parameters_[i];
        parameters_.emplace_back();
        parameters_.back().name = name;
        return parameters_.back();
    }

    td_task raw() {
        td_task t = raw_;
        t.size = sizeof(td_task);
        t.name = detail::str(name_);
        t.doc = detail::str(doc_);
        after_.put(t.after, t.after_count);
        before_.put(t.before, t.before_count);
        then_.put(t.then, t.then_count);
        tags_.put(t.tags, t.tag_count);
        locks_.put(t.locks, t.lock_count);
        params_.clear();
        for (std::size_t i = 0; i < parameters_.size(); ++i) params_.push_back(raw_param(parameters_[i]));
        t.params = params_.data();
        t.param_count = params_.size();
        t.param_stride = sizeof(td_param);
        if (t.kind == TD_KIND_COMMAND) t.command = raw_command();
        return t;
    }
    static td_param raw_param(detail::parameter &from) {
        td_param p = td_param();
        p.size = sizeof(td_param);
        p.kind = from.kind;
        p.name = detail::str(from.name);
        p.type_name = detail::str(from.wants);
        detail::refer(from.choices, from.choice_strs);
        p.choices = from.choice_strs.data();
        p.choice_count = from.choice_strs.size();
        if (from.has_choices && from.choices.empty()) p.choose = detail::td_cpp_choose_nothing;
        if (from.check) p.check = detail::td_cpp_check;
        p.user = &from;
        return p;
    }
    const td_command *raw_command() {
        command_.size = sizeof(td_command);
        argv_.put(command_.argv, command_.argc);
        env_.put(command_.env, command_.env_count);
        command_.shell = detail::str(shell_);
        command_.cwd = detail::str(cwd_);
        return &command_;
    }

    td_task raw_;
    td_command command_;
    std::string name_;
    std::string doc_;
    std::string shell_;
    std::string cwd_;
    detail::list after_, before_, then_, tags_, locks_, argv_, env_;
    std::deque<detail::parameter> parameters_; /* so that td_param.user stays good */
    std::vector<td_param> params_;
};

/* Where a command is declared, as far as the compiler tells. */
#if defined(__GNUC__)
#define TD_CPP_FILE_ __builtin_FILE()
#define TD_CPP_LINE_ static_cast<uint32_t>(__builtin_LINE())
#else
#define TD_CPP_FILE_ nullptr
#define TD_CPP_LINE_ 0
#endif

/* The tasks and hooks of a library; see TD_CPP_LIBRARY. */
class library {
  public:
    library() : table_() {}
    library(const library &) = delete;
    library &operator=(const library &) = delete;

    /* Adds a task: library.task(TD_FN(f)).after("other"). */
    td::task &task(const function &f) {
        tasks_.emplace_back(f);
        return tasks_.back();
    }
    /* Adds a command: library.command("compile", {"cc", "-c", "[file].c"}). */
    td::task &command(std::string name, std::vector<std::string> argv, const char *file = TD_CPP_FILE_,
                      uint32_t line = TD_CPP_LINE_) {
        tasks_.emplace_back(std::move(name), std::move(argv), std::string(), file, line);
        return tasks_.back();
    }
    /* Adds a command that a shell runs: library.shell("count", "ls | wc -l"). */
    td::task &shell(std::string name, std::string text, const char *file = TD_CPP_FILE_,
                    uint32_t line = TD_CPP_LINE_) {
        tasks_.emplace_back(std::move(name), std::vector<std::string>(), std::move(text), file, line);
        return tasks_.back();
    }
    /* Runs before the first task; where it does not pass, or skips itself, no task runs. */
    void setup(const function &f) { table_.setup = f.run; }
    /* Runs after the last task, whatever became of it, but not after a second Ctrl-C. */
    void teardown(const function &f) { table_.teardown = f.run; }
    /* The library's name in `library::task`; else from its file name. */
    void name(std::string text) { name_ = std::move(text); }

    /* The table for the host. Nothing may be added afterwards; valid as long as this object. */
    const td_table *table() {
        raw_.clear();
        for (std::size_t i = 0; i < tasks_.size(); ++i) raw_.push_back(tasks_[i].raw());
        table_.magic = TD_MAGIC;
        table_.major = TD_MAJOR;
        table_.minor = TD_MINOR;
        table_.size = sizeof(td_table);
        table_.task_stride = sizeof(td_task);
        table_.task_count = raw_.size();
        table_.tasks = raw_.data();
        table_.name = detail::str(name_);
        return &table_;
    }

  private:
    std::deque<td::task> tasks_; /* so that a reference to one stays good while others are added */
    std::string name_;
    std::vector<td_task> raw_;
    td_table table_;
};

/* TD_CPP_LIBRARY(library) { library.task(TD_FN(f)); … }: exports the library that the block fills. Once in a library. An
 * exception in the block makes tdrun refuse the library. */
#define TD_CPP_LIBRARY(parameter)                                                                                      \
    static void td_cpp_fill(td::library &parameter);                                                                   \
    extern "C" TD_EXPORT const td_table *tdrun_entry_v1(const td_host *) {                                             \
        try {                                                                                                          \
            static td::library *const filled = new td::library(); /* never freed: the host keeps using it */           \
            static const td_table *const table = (td_cpp_fill(*filled), filled->table());                              \
            return table;                                                                                              \
        } catch (...) {                                                                                                \
            return nullptr;                                                                                            \
        }                                                                                                              \
    }                                                                                                                  \
    static void td_cpp_fill(td::library &parameter)

} // namespace td

#endif
