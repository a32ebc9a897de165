//! What people read, as pure functions from events to strings: lines, words, colours.
//!
//! Knows neither streams nor terminals; everything foreign leaves here escaped.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::time::Duration;

use anstyle::{AnsiColor, Style};
use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};

use crate::error::{escape, escape_lines};
use crate::event::{Briefing, Counts, Hook, Source, Summary};
use crate::task::{Level, LibraryId, Outcome, Record, TaskId};

/// Columns of a done line, without the two spaces around the dots.
const DONE_WIDTH: usize = 75;
/// More of a failure's text than this belongs in a file.
pub(super) const MESSAGE_LIMIT: usize = 64 << 10;

/// Colours, or none.
#[derive(Clone, Copy, Debug)]
pub(super) struct Paint(pub(super) bool);

impl Paint {
    /// A word in the colour of an outcome.
    pub(super) fn outcome(self, outcome: Outcome, text: &str) -> String {
        self.wrap(color(outcome), text)
    }

    /// The summary line.
    pub(super) fn summary(self, text: &str) -> String {
        self.wrap(AnsiColor::BrightBlue, text)
    }

    fn level(self, level: Level) -> String {
        match level {
            Level::Error => self.wrap(AnsiColor::Red, level.as_str()),
            Level::Warn => self.wrap(AnsiColor::Yellow, level.as_str()),
            Level::Info | Level::Debug | Level::Trace => level.as_str().to_owned(),
        }
    }

    fn wrap(self, color: AnsiColor, word: &str) -> String {
        let mut text = String::new();
        self.push(&mut text, color, word);
        text
    }

    fn push(self, text: &mut String, color: AnsiColor, word: &str) {
        if self.0 {
            let style = Style::new().fg_color(Some(color.into()));
            let _ = write!(text, "{style}{word}{style:#}");
        } else {
            text.push_str(word);
        }
    }
}

fn color(outcome: Outcome) -> AnsiColor {
    match outcome {
        Outcome::Passed => AnsiColor::Green,
        Outcome::Failed | Outcome::TimedOut | Outcome::Crashed => AnsiColor::Red,
        Outcome::Skipped | Outcome::Cancelled | Outcome::NotRun => AnsiColor::Yellow,
    }
}

/// The status word of a done line.
pub(super) fn status(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Passed => "PASSED",
        Outcome::Failed => "FAILED",
        Outcome::Skipped => "SKIPPED",
        Outcome::TimedOut => "TIMED OUT",
        Outcome::Crashed => "CRASHED",
        Outcome::Cancelled => "CANCELLED",
        Outcome::NotRun => "NOT RUN",
    }
}

/// `1 failure`, `2 failures`.
pub(super) fn plural(count: usize, noun: &str) -> String {
    let ending = if count == 1 { "" } else { "s" };
    format!("{count} {noun}{ending}")
}

/// The name of a task to show.
pub(super) fn name(briefing: &Briefing, task: TaskId) -> String {
    escape(&briefing.catalog.name(task)).into_owned()
}

/// The name of a hook to show: with its library where there are several.
pub(super) fn hook_name(briefing: &Briefing, hook: Hook, library: LibraryId) -> String {
    let libraries = &briefing.catalog.libraries;
    match libraries.get(library.index()) {
        Some(library) if libraries.len() > 1 => {
            format!("{}::{}", escape(&library.name), hook.as_str())
        }
        _ => hook.as_str().to_owned(),
    }
}

/// Begins a line: `[thread_0] name`, or the name alone where no worker ran it. How many columns that takes.
pub(super) fn push_base(
    text: &mut String,
    briefing: &Briefing,
    task: TaskId,
    worker: Option<usize>,
) -> usize {
    let from = text.len();
    if let Some(worker) = worker {
        text.push_str("[thread_");
        text.push_str(itoa::Buffer::new().format(worker));
        text.push_str("] ");
    }
    let thread = text.len() - from;
    let name = briefing.catalog.name(task);
    let name = escape(&name);
    text.push_str(&name);
    thread + columns(&name)
}

/// Completes done lines. Most end as the one before did, so that end is kept.
pub(super) struct DoneLine {
    paint: Paint,
    last: Option<(Outcome, usize)>,
    /// Behind as many dots as there are at most.
    tail: String,
}

impl DoneLine {
    pub(super) fn new(paint: Paint) -> Self {
        Self {
            paint,
            last: None,
            tail: String::new(),
        }
    }

    /// Completes a line with a base of so many columns: `[thread_0] name .......... PASSED [ 20% ]`; `done` and `planned`
    /// count tasks.
    pub(super) fn complete(
        &mut self,
        text: &mut String,
        base: usize,
        outcome: Outcome,
        (done, planned): (usize, usize),
    ) {
        let (word, percent) = (status(outcome), percent(done, planned));
        if self.last != Some((outcome, percent)) {
            self.tail.clear();
            self.tail.push_str(DOTS);
            push_tail(&mut self.tail, (word, color(outcome)), percent, self.paint);
            self.last = Some((outcome, percent));
        }
        let dots = dots(base, word);
        text.push(' ');
        text.push_str(&self.tail[DOTS.len() - dots..]);
    }
}

/// The same for a task that will be tried again: `[thread_0] name .......... RETRY [ 20% ]`.
pub(super) fn push_retry(
    text: &mut String,
    base: usize,
    (done, planned): (usize, usize),
    paint: Paint,
) {
    let word = ("RETRY", AnsiColor::Yellow);
    let dots = dots(base, word.0);
    text.push(' ');
    text.push_str(&DOTS[..dots]);
    push_tail(text, word, percent(done, planned), paint);
}

fn percent(done: usize, planned: usize) -> usize {
    (done * 100).checked_div(planned).unwrap_or(100)
}

/// As many as there ever are.
const DOTS: &str = "...........................................................................";

/// How many dots behind a base of so many columns leave room for the word and the percentage.
fn dots(base: usize, word: &str) -> usize {
    DONE_WIDTH.saturating_sub(base + word.len() + " [100% ]".len())
}

/// ` PASSED [ 20% ]`.
fn push_tail(text: &mut String, (word, color): (&str, AnsiColor), percent: usize, paint: Paint) {
    text.push(' ');
    paint.push(text, color, word);
    let _ = write!(text, " [{percent:3}% ]");
}

/// The width of escaped text.
fn columns(text: &str) -> usize {
    if text.is_ascii() {
        text.len()
    } else {
        text.width()
    }
}

/// A log record: `[thread_0] name: INFO message`; with where it comes from, if wanted.
pub(super) fn record_line(
    briefing: &Briefing,
    source: Source,
    record: &Record,
    with_origin: bool,
    paint: Paint,
) -> String {
    let speaker = speaker(briefing, source);
    let level = paint.level(record.level);
    format!("{speaker}{level} {}", said(record, with_origin))
}

/// Who speaks: `[thread_0] name: `, or nothing where nobody knows.
pub(super) fn speaker(briefing: &Briefing, source: Source) -> String {
    match source {
        Source::Task(task, worker) => {
            let mut text = String::new();
            push_base(&mut text, briefing, task, Some(worker));
            text + ": "
        }
        Source::Hook(hook, library) => hook_name(briefing, hook, library) + ": ",
        Source::Library => String::new(),
    }
}

/// What a record says.
pub(super) fn said(record: &Record, with_origin: bool) -> String {
    let message = indented(&record.message);
    if !with_origin {
        return message;
    }
    let mut text = String::new();
    if !record.target.is_empty() {
        let _ = write!(text, "{}: ", escape(&record.target));
    }
    text += &message;
    if let Some(place) = &record.place {
        let _ = write!(text, " ({})", escape(&place.to_string()));
    }
    text
}

/// Text of several lines, its second and following ones indented, without the line breaks at its end.
pub(super) fn indented(text: &str) -> String {
    let text = clip(text.trim_end(), MESSAGE_LIMIT);
    let text = text.replace("\r\n", "\n");
    escape_lines(&text).replace('\n', "\n    ")
}

/// At most `limit` bytes of a text; what is missing is said.
pub(super) fn clip(text: &str, limit: usize) -> Cow<'_, str> {
    if text.len() <= limit {
        return text.into();
    }
    let cut = (0..=limit).rfind(|&index| text.is_char_boundary(index));
    let kept = &text[..cut.unwrap_or(0)];
    format!(
        "{kept}\n… and {} more",
        plural(text.len() - kept.len(), "byte")
    )
    .into()
}

/// `4 passed, 1 failed, 1 skipped`; rarer outcomes where there are any.
pub(super) fn counts_text(counts: &Counts) -> String {
    let shown = Outcome::ALL.into_iter().filter(|&outcome| {
        let always = matches!(
            outcome,
            Outcome::Passed | Outcome::Failed | Outcome::Skipped
        );
        always || counts.get(outcome) > 0
    });
    let counts = shown.map(|outcome| format!("{} {outcome}", counts.get(outcome)));
    counts.collect::<Vec<_>>().join(", ")
}

/// `==== 4 passed, 1 failed, 1 skipped in 2.31s ====`; where there are any, flaky and leaky tasks behind all outcomes:
/// `…, 1 skipped; 2 of the passed flaky, 1 leaky in 2.31s ====`. What stands before the semicolon adds up to the planned tasks.
pub fn summary_line(summary: &Summary) -> String {
    let counts = counts_text(&summary.counts);
    let also = match (summary.flaky, summary.leaky) {
        (0, 0) => String::new(),
        (flaky, 0) => format!("; {flaky} of the passed flaky"),
        (0, leaky) => format!("; {leaky} leaky"),
        (flaky, leaky) => format!("; {flaky} of the passed flaky, {leaky} leaky"),
    };
    let seconds = summary.took.as_secs_f64();
    format!("==== {counts}{also} in {seconds:.2}s ====")
}

/// A limit as its author may have written it: `200ms`, `1m 30s`.
pub(super) fn limit(time: Duration) -> String {
    humantime::format_duration(time).to_string()
}

/// For how long something goes on, without the digits that nobody asks for: `200ms`, `1m 30s`.
pub(super) fn elapsed(time: Duration) -> String {
    limit(match time.as_secs() {
        0 => Duration::from_millis(time.subsec_millis().into()),
        seconds => Duration::from_secs(seconds),
    })
}

/// A time that passes before somebody's eyes: `1.2s`, `3m05s`, `2h07m`.
pub(super) fn clock(time: Duration) -> String {
    let seconds = time.as_secs();
    match seconds {
        0..60 => format!("{seconds}.{}s", time.subsec_millis() / 100),
        60..3600 => format!("{}m{:02}s", seconds / 60, seconds % 60),
        _ => format!("{}h{:02}m", seconds / 3600, seconds / 60 % 60),
    }
}

/// At most `columns` columns of a line without colours; `…` stands for what is missing.
pub(super) fn fit(line: &str, columns: usize) -> Cow<'_, str> {
    if line.width() <= columns {
        return line.into();
    }
    let mut kept = String::new();
    let mut used = 1;
    for c in line.chars() {
        used += c.width().unwrap_or(0);
        if used > columns {
            break;
        }
        kept.push(c);
    }
    if columns > 0 {
        kept.push('…');
    }
    kept.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::fixture::{Finish, briefing};

    const PLAIN: Paint = Paint(false);

    fn done_line(
        base: &str,
        outcome: Outcome,
        done: usize,
        planned: usize,
        paint: Paint,
    ) -> String {
        let mut line = base.to_owned();
        DoneLine::new(paint).complete(&mut line, columns(base), outcome, (done, planned));
        line
    }

    #[test]
    fn the_end_of_a_done_line_is_its_own() {
        let mut done_lines = DoneLine::new(PLAIN);
        for (outcome, done) in [
            (Outcome::Passed, 1),
            (Outcome::Passed, 1),
            (Outcome::Passed, 2),
            (Outcome::Failed, 2),
        ] {
            let mut line = "a".to_owned();
            done_lines.complete(&mut line, 1, outcome, (done, 3));
            assert_eq!(line, done_line("a", outcome, done, 3, PLAIN));
        }
    }

    #[test]
    fn a_done_line_fills_its_columns_with_dots() {
        let cases = [
            (
                ("[thread_0] a", Outcome::Passed, 1, 5),
                "[thread_0] a ................................................. PASSED [ 20% ]",
            ),
            (
                ("f", Outcome::Skipped, 3, 3),
                "f ........................................................... SKIPPED [100% ]",
            ),
            (
                ("[thread_7] a", Outcome::Cancelled, 0, 3),
                "[thread_7] a .............................................. CANCELLED [  0% ]",
            ),
            (
                ("[thread_0] 日本", Outcome::Failed, 2, 3),
                "[thread_0] 日本 .............................................. FAILED [ 66% ]",
            ),
        ];
        for ((base, outcome, done, planned), expected) in cases {
            let line = done_line(base, outcome, done, planned, PLAIN);
            assert_eq!(line, expected);
            assert_eq!(line.width(), DONE_WIDTH + 2);
        }
    }

    #[test]
    fn a_retry_has_the_shape_of_a_done_line() {
        let mut line = "[thread_0] a".to_owned();
        let base = columns(&line);
        push_retry(&mut line, base, (1, 5), PLAIN);
        let done = done_line("[thread_0] a", Outcome::Passed, 1, 5, PLAIN);
        assert_eq!(line, done.replace(" PASSED", ". RETRY"));
    }

    #[test]
    fn a_name_too_long_for_dots_stays_whole() {
        let name = "n".repeat(90);
        assert_eq!(
            done_line(&name, Outcome::Passed, 1, 1, PLAIN),
            format!("{name}  PASSED [100% ]")
        );
    }

    #[test]
    fn only_the_status_word_is_coloured() {
        let line = done_line("a", Outcome::Failed, 1, 2, Paint(true));
        assert!(
            line.ends_with(". \u{1b}[31mFAILED\u{1b}[0m [ 50% ]"),
            "{line:?}"
        );
        let plain = line.replace("\u{1b}[31m", "").replace("\u{1b}[0m", "");
        assert_eq!(plain, done_line("a", Outcome::Failed, 1, 2, PLAIN));
    }

    #[test]
    fn the_summary_names_rare_outcomes_only_where_there_are_any() {
        let summary = |outcomes: &[Outcome]| {
            let mut counts = Counts::default();
            for &outcome in outcomes {
                counts.add(outcome);
            }
            summary_line(
                &Finish {
                    counts,
                    took: Duration::from_millis(2314),
                    ..Finish::default()
                }
                .summary(),
            )
        };
        assert_eq!(
            summary(&[]),
            "==== 0 passed, 0 failed, 0 skipped in 2.31s ===="
        );
        assert_eq!(
            summary(&Outcome::ALL),
            "==== 1 passed, 1 failed, 1 skipped, 1 timed out, 1 crashed, 1 cancelled, 1 not run in 2.31s ===="
        );
        assert_eq!(
            summary(&[Outcome::Passed, Outcome::NotRun, Outcome::NotRun]),
            "==== 1 passed, 0 failed, 0 skipped, 2 not run in 2.31s ===="
        );
    }

    #[test]
    fn flaky_and_leaky_tasks_stand_behind_what_adds_up() {
        let mut counts = Counts::default();
        counts.add(Outcome::Passed);
        counts.add(Outcome::TimedOut);
        for (flaky, leaky, expected) in [
            (0, 0, ""),
            (1, 0, "; 1 of the passed flaky"),
            (0, 2, "; 2 leaky"),
            (1, 2, "; 1 of the passed flaky, 2 leaky"),
        ] {
            let finish = Finish {
                counts,
                flaky,
                leaky,
                took: Duration::from_millis(2314),
                ..Finish::default()
            };
            assert_eq!(
                summary_line(&finish.summary()),
                format!("==== 1 passed, 0 failed, 0 skipped, 1 timed out{expected} in 2.31s ====")
            );
        }
    }

    #[test]
    fn limits_stay_whole_and_elapsed_times_are_rounded_down() {
        for (micros, whole, rounded) in [
            (200_000, "200ms", "200ms"),
            (90_000_000, "1m 30s", "1m 30s"),
            (1_500_000, "1s 500ms", "1s"),
            (60_000_123, "1m 123us", "1m"),
            (5_400_000_000, "1h 30m", "1h 30m"),
        ] {
            let time = Duration::from_micros(micros);
            assert_eq!((&*limit(time), &*elapsed(time)), (whole, rounded));
        }
    }

    #[test]
    fn a_record_says_who_speaks_and_on_request_from_where() {
        let briefing = briefing(&["a", "b"]);
        let record = Record {
            level: Level::Info,
            target: "net::io".into(),
            message: "one\r\ntwo\n\u{1b}[2Jthree\n\n".into(),
            place: Some(crate::task::Place {
                file: "io.rs".into(),
                line: 7,
            }),
        };
        let line = |source, origin| record_line(&briefing, source, &record, origin, PLAIN);
        assert_eq!(
            line(Source::Task(TaskId::new(1), 3), false),
            "[thread_3] b: INFO one\n    two\n    \\u{1b}[2Jthree"
        );
        assert_eq!(
            line(Source::Hook(Hook::Setup, LibraryId(0)), true),
            "setup: INFO net::io: one\n    two\n    \\u{1b}[2Jthree (io.rs:7)"
        );
        assert!(line(Source::Library, false).starts_with("INFO one\n"));
    }

    #[test]
    fn text_is_cut_between_characters_and_says_so() {
        assert_eq!(clip("abc", 3), "abc");
        assert_eq!(clip("aéb", 2), "a\n… and 3 bytes more");
        assert_eq!(clip("abcd", 3), "abc\n… and 1 byte more");
    }

    #[test]
    fn a_line_fits_any_number_of_columns() {
        for (columns, expected) in [
            (0, ""),
            (1, "…"),
            (2, "a…"),
            (4, "a日…"),
            (5, "a日…"),
            (6, "a日本b"),
        ] {
            assert_eq!(fit("a日本b", columns), expected, "{columns}");
        }
    }

    #[test]
    fn a_clock_shows_two_units_at_most() {
        for (millis, expected) in [
            (0, "0.0s"),
            (59_999, "59.9s"),
            (60_000, "1m00s"),
            (3_599_999, "59m59s"),
            (7_620_000, "2h07m"),
        ] {
            assert_eq!(clock(Duration::from_millis(millis)), expected);
        }
    }

    #[test]
    fn one_of_a_thing_is_singular() {
        for (count, expected) in [(0, "0 failures"), (1, "1 failure"), (2, "2 failures")] {
            assert_eq!(plural(count, "failure"), expected);
        }
    }
}
