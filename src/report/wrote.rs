//! What is seen of the processes of tasks, in words: what they wrote, what they left behind, what stopped them.
//!
//! Knows neither streams nor terminals; everything foreign leaves here escaped, and indented where it has several lines: no
//! output looks like a line of tdrun.

use std::collections::HashMap;
use std::fmt::Write as _;

use crate::error::{escape, escape_lines};
use crate::event::{Briefing, Source};
use crate::report::text::{hook_name, plural, push_base};
use crate::task::{Channel, Left, Observed, Output, TaskId, Written};

/// So many lines of a long output are shown to people, the last ones,
const LINES: usize = 200;
/// and so many bytes of them.
const BYTES: usize = 64 << 10;
/// So many bytes stand in files that are read as a whole, half of them of the beginning.
const WHOLE: usize = 1 << 20;

/// What was observed of attempts that have not got their outcomes yet: of one task for each worker.
#[derive(Default)]
pub(super) struct Pending(HashMap<usize, Seen>);

/// What was observed of an attempt.
pub(super) struct Seen {
    task: TaskId,
    pub(super) output: Option<Ends>,
    /// As [`left_line`] has it.
    pub(super) left: Option<String>,
}

impl Pending {
    /// Keeps what belongs to the outcome; the rest is for who tells it at once.
    pub(super) fn note(&mut self, task: TaskId, worker: usize, observed: &Observed) {
        if !matches!(observed, Observed::Output(_) | Observed::Left(_)) {
            return;
        }
        let new = || Seen {
            task,
            output: None,
            left: None,
        };
        let seen = self.0.entry(worker).or_insert_with(new);
        if seen.task != task {
            // Of one that passed, which not everybody hears of.
            *seen = new();
        }
        match observed {
            Observed::Output(output) => seen.output = Some(Ends::of(output)),
            Observed::Left(left) => seen.left = Some(left_line(left)),
            _ => {}
        }
    }

    /// The attempt of a task has its outcome.
    pub(super) fn take(&mut self, task: TaskId) -> Option<Seen> {
        let mut seen = self.0.iter();
        let worker = seen.find_map(|(worker, seen)| (seen.task == task).then_some(*worker))?;
        self.0.remove(&worker)
    }
}

/// A line that somebody writes, as it comes: `[thread_0] name | text`, on standard error `[thread_0] name ! text`.
pub(super) fn push_line(
    text: &mut String,
    briefing: &Briefing,
    source: Source,
    channel: Channel,
    line: &[u8],
) {
    push_source(text, briefing, source);
    text.push_str(match channel {
        Channel::Stdout => " |",
        Channel::Stderr => " !",
    });
    if !line.is_empty() {
        text.push(' ');
        text.push_str(&escape_lines(&String::from_utf8_lossy(line)).replace('\n', "\\n"));
    }
}

/// Who it is: `[thread_0] name`, or the name of a hook.
pub(super) fn push_source(text: &mut String, briefing: &Briefing, source: Source) {
    match source {
        Source::Task(task, worker) => drop(push_base(text, briefing, task, Some(worker))),
        Source::Hook(hook, library) => text.push_str(&hook_name(briefing, hook, library)),
        Source::Library => {}
    }
}

/// What was written: where it is too much its beginning and its end. Lossily, where it is no UTF-8; not escaped.
pub(super) fn whole(written: &Written) -> String {
    let Written { head, cut, tail } = written;
    let length = head.len() + tail.len();
    let (first, last, cut) = if length <= WHOLE {
        (&head[..], &tail[..], *cut)
    } else {
        let (first, rest) = head.split_at(head.len().min(WHOLE / 2));
        let rest = if *cut > 0 { tail } else { rest };
        let last = &rest[rest.len().saturating_sub(WHOLE / 2)..];
        let more = length - first.len() - last.len();
        (first, last, cut + more as u64)
    };
    let mut text = String::from_utf8_lossy(first).into_owned();
    if cut > 0 {
        if !text.is_empty() && !text.ends_with('\n') {
            text.push('\n');
        }
        let _ = writeln!(text, "[… {} cut …]", bytes(cut));
    }
    text += &String::from_utf8_lossy(last);
    text
}

/// The end of what an attempt wrote, by channel: as much as is shown to people.
pub(super) struct Ends([End; 2]);

impl Ends {
    pub(super) fn of(output: &Output) -> Self {
        Self([&output.stdout, &output.stderr].map(End::of))
    }
}

/// The end of what was written to a channel.
#[derive(Default)]
struct End {
    /// How much stands before it, in words.
    left_out: Option<String>,
    text: String,
}

impl End {
    fn of(written: &Written) -> Self {
        let Written { head, cut, tail } = written;
        let all = if *cut > 0 { tail } else { head };
        let from = all.len().saturating_sub(BYTES);
        let is_start = from == 0 || all[from - 1] == b'\n';
        // Whole lines, where there are any; whole characters in any case.
        let next_line = all[from..].iter().position(|byte| *byte == b'\n');
        let next_line = next_line.map(|index| from + index + 1);
        let is_inside = |byte: &u8| *byte & 0xc0 == 0x80;
        let next_character = || all[from..].iter().position(|byte| !is_inside(byte));
        let from = match next_line {
            _ if is_start => from,
            Some(next) if next < all.len() => next,
            _ => from + next_character().unwrap_or(0),
        };
        let lines = all.strip_suffix(b"\n").unwrap_or(all);
        let breaks = (from..lines.len())
            .rev()
            .filter(|&index| lines[index] == b'\n');
        let from = breaks
            .skip(LINES - 1)
            .map(|index| index + 1)
            .next()
            .unwrap_or(from);
        let before = &all[..from];
        let left_out = match before.split(|byte| *byte == b'\n').count() - 1 {
            _ if *cut > 0 => Some(bytes(cut + (head.len() + before.len()) as u64)),
            _ if before.is_empty() => None,
            0 => Some(bytes(before.len() as u64)),
            lines => Some(plural(lines, "line")),
        };
        let text = String::from_utf8_lossy(&all[from..]).into_owned();
        Self { left_out, text }
    }
}

/// What is shown of what a task wrote, channel by channel, each below a line that says whose it is; indented.
pub(super) fn push_output(text: &mut String, name: &str, attempt: Option<usize>, output: &Ends) {
    let channels = ["stdout", "stderr"].into_iter().zip(&output.0);
    for (channel, end) in channels {
        if end.text.is_empty() && end.left_out.is_none() {
            continue;
        }
        let _ = write!(text, "    ---- {name} {channel}");
        if let Some(attempt) = attempt {
            let _ = write!(text, ", attempt {attempt}");
        }
        text.push_str(" ----\n");
        if let Some(left_out) = &end.left_out {
            let _ = writeln!(
                text,
                "    [… {left_out} not shown; --junit and --events have more …]"
            );
        }
        push_indented(text, &end.text);
    }
}

/// The same for files, of all that a task wrote.
pub(super) fn push_whole(text: &mut String, output: &Output) {
    for (channel, written) in [("stdout", &output.stdout), ("stderr", &output.stderr)] {
        let whole = whole(written);
        if !whole.is_empty() {
            let _ = writeln!(text, "{channel}:");
            push_indented(text, &whole);
        }
    }
    text.truncate(text.trim_end_matches('\n').len());
}

fn push_indented(text: &mut String, lines: &str) {
    for line in lines.lines() {
        if !line.is_empty() {
            text.push_str("    ");
            text.push_str(&escape_lines(line));
        }
        text.push('\n');
    }
}

/// `left running: 123 sleep, 124 cat`.
pub(super) fn left_line(left: &[Left]) -> String {
    const NAMED: usize = 3;
    let one = |left: &Left| match left.pid {
        Some(pid) if left.name.is_empty() => pid.to_string(),
        Some(pid) => format!("{pid} {}", escape(&left.name)),
        None => "somebody who holds its output open".to_owned(),
    };
    let mut named: Vec<_> = left.iter().take(NAMED).map(one).collect();
    if let Some(more @ 1..) = left.len().checked_sub(NAMED) {
        named.push(format!("{more} more"));
    }
    format!("left running: {}", named.join(", "))
}

/// `1 byte`, `12345 bytes`.
fn bytes(count: u64) -> String {
    plural(usize::try_from(count).unwrap_or(usize::MAX), "byte")
}

/// Bytes as letters: RFC 4648, with padding.
pub(super) fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for three in bytes.chunks(3) {
        let byte = |index: usize| u32::from(three.get(index).copied().unwrap_or(0));
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for letter in 0..4 {
            text.push(if letter > three.len() {
                '='
            } else {
                LETTERS[(bits >> (18 - 6 * letter) & 0x3f) as usize].into()
            });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::fixture::{output, written};

    fn below(stdout: Written, stderr: Written) -> String {
        let mut text = String::new();
        push_output(&mut text, "a", None, &Ends::of(&Output { stdout, stderr }));
        text
    }

    #[test]
    fn what_was_written_is_shown_channel_by_channel() {
        let mut text = String::new();
        let output = output("one\r\n\n\ttwo\x1b[2J\n", "three");
        push_output(&mut text, "a", Some(2), &Ends::of(&output));
        let expected = "    ---- a stdout, attempt 2 ----\n    one\n\n    \ttwo\\u{1b}[2J\n    ---- a stderr, attempt 2 ----\n    three\n";
        assert_eq!(text, expected);
        let mut text = "a: ".to_owned();
        push_whole(&mut text, &output);
        assert_eq!(
            text,
            "a: stdout:\n    one\n\n    \ttwo\\u{1b}[2J\nstderr:\n    three"
        );
        assert_eq!(below(written(""), written("")), "");
        assert_eq!(
            below(written("\n"), written("")),
            "    ---- a stdout ----\n\n"
        );
    }

    #[test]
    fn bytes_that_are_no_text_are_shown_all_the_same() {
        let stdout = Written {
            head: vec![b'a', 0xff, 0, b'\n', 0xe2],
            ..Written::default()
        };
        assert_eq!(
            below(stdout, written("")),
            "    ---- a stdout ----\n    a\u{fffd}\\u{0}\n    \u{fffd}\n"
        );
    }

    #[test]
    fn what_was_not_kept_is_said_where_it_stood() {
        let cut = |head: &str, cut, tail: &str| Written {
            head: head.into(),
            cut,
            tail: tail.into(),
        };
        for (written, expected) in [
            (
                cut("one\ntw", 7, "o\nend"),
                "one\ntw\n[… 7 bytes cut …]\no\nend",
            ),
            (cut("one\n", 1, "end\n"), "one\n[… 1 byte cut …]\nend\n"),
            (cut("", 9, ""), "[… 9 bytes cut …]\n"),
            (cut("one\n", 0, ""), "one\n"),
        ] {
            assert_eq!(whole(&written), expected);
        }
    }

    #[test]
    fn of_long_output_the_end_is_shown() {
        let lines = |range: std::ops::Range<usize>| -> String {
            range.fold(String::new(), |text, line| format!("{text}{line}\n"))
        };
        let long = "é".repeat(BYTES);
        let wide = |lines: usize| format!("{}\n", "x".repeat(1023)).repeat(lines);
        let odd = |lines: usize| format!("{}\n", "x".repeat(1000)).repeat(lines);
        for (whole, left_out, shown) in [
            (lines(0..200), None, lines(0..200)),
            (lines(0..201), Some("1 line"), lines(1..201)),
            (
                lines(0..5000).trim_end().to_owned(),
                Some("4800 lines"),
                lines(4800..5000).trim_end().to_owned(),
            ),
            (wide(64), None, wide(64)),
            (wide(65), Some("1 line"), wide(64)),
            (odd(70), Some("5 lines"), odd(65)),
            (long.clone(), Some("65536 bytes"), "é".repeat(BYTES / 2)),
            (
                format!("{long}\n"),
                Some("65538 bytes"),
                format!("{}\n", "é".repeat(BYTES / 2 - 1)),
            ),
        ] {
            let end = End::of(&written(&whole));
            assert_eq!(end.text, shown);
            assert_eq!(end.left_out.as_deref(), left_out);
        }
        let cut = Written {
            head: b"beginning".to_vec(),
            cut: 1 << 40,
            tail: b"the end\n".to_vec(),
        };
        assert_eq!(
            below(written(&lines(0..300)), cut),
            format!(
                "    ---- a stdout ----\n    [… 100 lines not shown; --junit and --events have more …]\n    {}\n    \
                 ---- a stderr ----\n    [… 1099511627785 bytes not shown; --junit and --events have more …]\n    the end\n",
                lines(100..300).trim_end().replace('\n', "\n    ")
            )
        );
    }

    #[test]
    fn of_very_long_output_files_have_the_beginning_and_the_end() {
        let letters = (b'a'..=b'w').cycle();
        let long: Vec<u8> = letters.take(WHOLE + 10).collect();
        let half = WHOLE / 2;
        for (head, cut, tail, missing) in [
            (&long[..], 0, &long[..0], 10),
            (&long[..], 7, &long[..], 7 + WHOLE + 20),
            (&long[..half], 7, &long[..=half], 8),
        ] {
            let written = Written {
                head: head.to_vec(),
                cut,
                tail: tail.to_vec(),
            };
            let text = whole(&written);
            let (first, last) = text.split_once('\n').expect("it is cut");
            assert_eq!(first.as_bytes(), &head[..half]);
            let (said, last) = last.split_once('\n').expect("that is said");
            assert_eq!(said, format!("[… {missing} bytes cut …]"));
            let end = if cut > 0 { tail } else { head };
            assert_eq!(last.as_bytes(), &end[end.len() - half..]);
        }
        let fits = Written {
            head: long[..WHOLE].to_vec(),
            ..Written::default()
        };
        assert_eq!(whole(&fits).len(), WHOLE);
    }

    #[test]
    fn who_is_left_is_named() {
        let left = |pid, name: &str| Left {
            pid,
            name: name.into(),
        };
        for (all, expected) in [
            (vec![left(Some(7), "sleep")], "left running: 7 sleep"),
            (
                vec![left(Some(7), ""), left(None, "")],
                "left running: 7, somebody who holds its output open",
            ),
            (vec![left(Some(7), "\x1b")], "left running: 7 \\u{1b}"),
            (
                vec![left(Some(1), "a"); 5],
                "left running: 1 a, 1 a, 1 a, 2 more",
            ),
        ] {
            assert_eq!(left_line(&all), expected);
        }
    }

    #[test]
    fn what_is_pending_is_of_one_task_for_each_worker() {
        let [a, b] = [0, 1].map(TaskId::new);
        let out = |text: &str| Observed::Output(output(text, "").into());
        let mut pending = Pending::default();
        pending.note(a, 3, &out("a"));
        pending.note(a, 3, &Observed::Left(Box::default()));
        pending.note(b, 4, &out("b"));
        pending.note(b, 5, &Observed::Continued);
        let seen = pending.take(a).expect("it wrote");
        assert!(seen.output.is_some() && seen.left.is_some());
        assert!(pending.take(a).is_none());
        // Nobody said how `b` ended.
        pending.note(a, 4, &Observed::Left(Box::default()));
        assert!(pending.take(b).is_none());
        assert!(pending.take(a).expect("it left some").output.is_none());
        assert!(pending.0.is_empty());
    }

    #[test]
    fn bytes_become_letters() {
        for (bytes, letters) in [
            (&b""[..], ""),
            (b"f", "Zg=="),
            (b"fo", "Zm8="),
            (b"foo", "Zm9v"),
            (b"foobar", "Zm9vYmFy"),
            (b"\xff\xfe\xfd\x00", "//79AA=="),
        ] {
            assert_eq!(base64(bytes), letters);
        }
    }
}
