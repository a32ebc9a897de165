/* oneTBB's flow graph: a continue_node for each task, made once, and run as often as asked. Records nothing. */
#include <cstdint>
#include <deque>
#include <tbb/flow_graph.h>
#include <tbb/global_control.h>
#include <tbb/task_arena.h>

namespace {

using Message = tbb::flow::continue_msg;
using Node = tbb::flow::continue_node<Message>;

struct Nothing {
    Message operator()(const Message &) const { return {}; }
};

struct Flow {
    tbb::global_control control;
    tbb::task_arena arena;
    tbb::flow::graph graph;
    std::deque<Node> nodes; /* which do not move */
    std::deque<Node *> roots;

    explicit Flow(std::size_t workers)
        : control(tbb::global_control::max_allowed_parallelism, workers), arena(static_cast<int>(workers)) {}
};

} // namespace

extern "C" void *flow_new(std::size_t tasks, const std::uint32_t *starts, const std::uint32_t *dependents,
                          const std::uint32_t *dependencies, std::size_t workers) {
    auto *flow = new Flow(workers);
    flow->arena.execute([&] {
        flow->graph.reset(); /* in this arena */
        for (std::size_t task = 0; task < tasks; task++) {
            flow->nodes.emplace_back(flow->graph, Nothing());
            if (dependencies[task] == 0) flow->roots.push_back(&flow->nodes.back());
        }
        for (std::size_t task = 0; task < tasks; task++)
            for (std::uint32_t i = starts[task]; i < starts[task + 1]; i++)
                tbb::flow::make_edge(flow->nodes[task], flow->nodes[dependents[i]]);
    });
    return flow;
}

extern "C" void flow_run(void *it) {
    auto *flow = static_cast<Flow *>(it);
    flow->arena.execute([&] {
        for (Node *root : flow->roots) root->try_put(Message());
        flow->graph.wait_for_all();
    });
}
