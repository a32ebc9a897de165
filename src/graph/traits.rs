//! What a task declares besides name, dependencies and labels, in a few words for people.

use crate::task::{Condition, Options};

/// One text for each thing that is not as usual: `wave 1`, `locks db, cache:r`, `no_failures`.
pub fn traits(options: &Options) -> Vec<String> {
    let mut traits = Vec::new();
    if options.wave > 0 {
        traits.push(format!("wave {}", options.wave));
    }
    traits.extend(condition(options.condition).map(str::to_owned));
    if !options.locks.is_empty() {
        let locks: Vec<_> = options.locks.iter().map(ToString::to_string).collect();
        traits.push(format!("locks {}", locks.join(", ")));
    }
    traits.extend(limits(options));
    traits
}

/// The same of what needs no other task: how it is scheduled, how often and how long it is tried.
pub(super) fn limits(options: &Options) -> Vec<String> {
    let mut limits = Vec::new();
    if options.exclusive {
        limits.push("exclusive".to_owned());
    }
    if options.priority != 0 {
        limits.push(format!("priority {}", options.priority));
    }
    if options.retries > 0 {
        limits.push(format!("retries {}", options.retries));
    }
    if let Some(timeout) = options.timeout {
        limits.push(format!("timeout {timeout:?}"));
    }
    if options.isolate {
        limits.push("isolate".to_owned());
    }
    limits
}

/// As the author writes it; nothing for the usual one.
pub(super) fn condition(condition: Condition) -> Option<&'static str> {
    match condition {
        Condition::AfterPassed => None,
        Condition::NoFailures => Some("no_failures"),
        Condition::Always => Some("always"),
    }
}
