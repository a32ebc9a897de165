//! Who of a test is still there: a variable of the environment that only its processes have.

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

/// See the module.
pub(crate) struct Mark(String);

impl Mark {
    /// The name of the variable.
    pub(crate) const NAME: &'static str = "TDRUN_TEST_MARK";

    pub(crate) fn new(name: &str) -> Self {
        Self(format!("{name}-{}", std::process::id()))
    }

    /// Its value.
    pub(crate) fn value(&self) -> &str {
        &self.0
    }

    /// Numbers and names of the processes that have it.
    pub(crate) fn holders(&self) -> Vec<String> {
        let text = format!("{}={}", Self::NAME, self.0);
        let processes = fs::read_dir("/proc").expect("it is there").flatten();
        let has_it = processes.filter(|process| {
            let environment = fs::read(process.path().join("environ")).unwrap_or_default();
            let mut variables = environment.split(|byte| *byte == 0);
            variables.any(|variable| variable == text.as_bytes())
        });
        let name = |process: fs::DirEntry| {
            let name = fs::read_to_string(process.path().join("comm")).unwrap_or_default();
            format!("{} {}", process.file_name().display(), name.trim())
        };
        has_it.map(name).collect()
    }

    /// Until so many processes have it.
    #[track_caller]
    pub(crate) fn wait_for(&self, count: usize) {
        let end = Instant::now() + Duration::from_secs(30);
        loop {
            let holders = self.holders();
            if holders.len() == count {
                return;
            }
            assert!(Instant::now() < end, "not {count}: {holders:?}");
            thread::sleep(Duration::from_millis(1));
        }
    }

    /// Nobody is left, a second after.
    #[track_caller]
    pub(crate) fn expect_nobody(&self) {
        let end = Instant::now() + Duration::from_secs(1);
        loop {
            let holders = self.holders();
            if holders.is_empty() {
                return;
            }
            assert!(Instant::now() < end, "left behind: {holders:?}");
            thread::sleep(Duration::from_millis(5));
        }
    }
}
