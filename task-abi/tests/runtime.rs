//! With the feature `tokio`, async tasks share a runtime.

mod host;

use host::{Ended, Library};
use serde_json::json;

#[test]
fn async_tasks_spawn_and_sleep_in_a_runtime_that_outlives_them() {
    let library = Library::load(&host::build_with("runtime_fixture", &["task-abi/tokio"]));
    assert_eq!(library.setup(), Ended::Passed(None));
    assert_eq!(library.run("spawns"), Ended::passed(json!(21)));
    assert_eq!(library.run("leaves"), Ended::Passed(None));
    assert_eq!(library.run("takes_what_was_left"), Ended::passed(json!(7)));
    assert_eq!(library.run("no_part_of_it"), Ended::passed(json!(true)));
}
