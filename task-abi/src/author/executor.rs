//! Runs the future of an `async fn` to its end, on the thread of the task.
//!
//! Without a runtime of its own, since most libraries have none; with the feature `tokio` inside one that all tasks share.

/// Blocks until the future is ready.
#[cfg(not(feature = "tokio"))]
pub fn block_on<T>(future: impl Future<Output = T>) -> T {
    pollster::block_on(future)
}

/// Blocks until the future is ready.
#[cfg(feature = "tokio")]
pub fn block_on<T>(future: impl Future<Output = T>) -> T {
    use std::sync::OnceLock;
    use tokio::runtime::{Builder, Runtime};

    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    let runtime = RUNTIME.get_or_init(|| {
        let runtime = Builder::new_multi_thread().enable_all().build();
        runtime.expect("tokio's runtime starts")
    });
    runtime.block_on(future)
}
