//! Live displays: a picture of the run below the lines about failures, drawn again at most ten times a second.
//!
//! Knows the terminal (indicatif draws); not what the picture shows.

use std::io;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle, TermLike};

use super::{Interest, Reporter};
use crate::event::{Briefing, Event, Moment, Summary};
use crate::report::board::Board;
use crate::report::lines::{Console, Teller};
use crate::stream::Stream;

/// Between two drawings.
const INTERVAL: Duration = Duration::from_millis(100);

/// What a display shows of the board.
pub(super) trait Picture {
    /// How indicatif lays it out: `{msg}` is what [`Picture::draw`] says.
    fn template(&self) -> &'static str;
    /// Lines no wider than `columns`, at most `rows` of them with those of the template.
    fn draw(&self, board: &Board<'_>, columns: usize, rows: usize) -> String;
}

/// The reporter.
pub(super) struct Live<P: Picture> {
    picture: P,
    teller: Teller,
    console: Console,
    screen: Box<dyn TermLike>,
    bar: ProgressBar,
    /// When the last drawing was due.
    drawn: Duration,
    /// Lines to be put above the picture when it is next drawn.
    pending: String,
    /// A picture of another process stands there, which has come to no end.
    is_second: bool,
}

impl<P: Picture> Live<P> {
    /// A display on the terminal that people read.
    /// Where this is not the `first` process of a run, the picture of the one before is taken away.
    pub(super) fn new(picture: P, teller: Teller, console: Console, first: bool) -> Self {
        let screen = || Box::new(Screen(console.err.stream().clone()));
        let (draws, measures) = (screen(), screen());
        let mut live = Self::on(draws, measures, picture, teller, console);
        live.is_second = !first;
        live
    }

    fn on(
        draws: Box<dyn TermLike>,
        measures: Box<dyn TermLike>,
        picture: P,
        teller: Teller,
        console: Console,
    ) -> Self {
        let style = ProgressStyle::with_template(picture.template());
        let style = style.unwrap_or_else(|_| ProgressStyle::default_bar());
        // Every drawing is forced; what indicatif would draw between them is noise.
        let target = ProgressDrawTarget::term_like_with_hz(draws, 1);
        let bar = ProgressBar::with_draw_target(Some(0), target);
        bar.set_style(style.progress_chars("=> "));
        Self {
            picture,
            teller,
            console,
            screen: measures,
            bar,
            drawn: Duration::ZERO,
            pending: String::new(),
            is_second: false,
        }
    }

    /// The cursor stands at the left of its last line.
    fn take_away(&self, briefing: &Briefing, now: &Moment) -> io::Result<()> {
        let (columns, rows) = (self.screen.width().into(), self.screen.height().into());
        let picture = self.picture.draw(&Board { briefing, now }, columns, rows);
        let text = self.picture.template().replace("{msg}", &picture);
        self.screen.move_cursor_up(text.matches('\n').count())?;
        self.screen.write_str("\r\x1b[J")
    }

    fn draw(&mut self, briefing: &Briefing, now: &Moment) {
        let (columns, rows) = (self.screen.width().into(), self.screen.height().into());
        self.bar.set_length(now.planned as u64);
        self.bar.set_position(now.counts.total() as u64);
        let board = Board { briefing, now };
        self.bar
            .set_message(self.picture.draw(&board, columns, rows));
        if self.pending.is_empty() {
            self.bar.force_draw();
        } else {
            self.bar.clone().suspend(|| self.write_pending());
        }
        self.drawn = now.at;
    }

    /// Takes the picture away, and writes what waited for it.
    fn clear(&mut self) {
        self.bar.finish_and_clear();
        self.write_pending();
    }

    fn write_pending(&mut self) {
        self.console.say(&self.pending);
        self.console.flush();
        self.pending.clear();
    }
}

impl<P: Picture> Reporter for Live<P> {
    fn begin(&mut self, briefing: &Briefing) -> io::Result<()> {
        let begin = Moment::idle(briefing.planned.len(), briefing.workers);
        if self.is_second {
            self.take_away(briefing, &begin)?;
        }
        self.draw(briefing, &begin);
        Ok(())
    }

    fn wants(&self) -> Interest {
        self.teller.wants()
    }

    fn event(&mut self, briefing: &Briefing, event: &Event) -> io::Result<()> {
        self.teller.tell(&mut self.pending, briefing, event);
        Ok(())
    }

    fn tick(&mut self, briefing: &Briefing, now: &Moment) -> io::Result<()> {
        // Others may want to be called more often, and no two ticks are as far apart as they should.
        if now.at.saturating_sub(self.drawn) >= INTERVAL * 9 / 10 {
            self.draw(briefing, now);
        }
        Ok(())
    }

    /// What is told is not kept back: it would be lost with this process.
    fn flush(&mut self) -> io::Result<()> {
        if !self.pending.is_empty() {
            self.bar.clone().suspend(|| self.write_pending());
        }
        Ok(())
    }

    fn tick_every(&self) -> Option<Duration> {
        Some(INTERVAL)
    }

    fn notice(&mut self, text: &str) {
        self.pending += text;
    }

    fn finish(&mut self, briefing: &Briefing, summary: &Summary) -> io::Result<()> {
        let end = Moment {
            at: summary.took,
            counts: summary.counts,
            ..Moment::idle(summary.planned, briefing.workers)
        };
        self.draw(briefing, &end);
        self.clear();
        let end = self.teller.end(briefing, summary);
        self.console.conclude(&end, summary)
    }
}

/// However the run ends: no part of the picture stays. The cursor is never hidden and no mode is ever set, so that after
/// a panic, whose message already stands below the picture, there is nothing to restore.
impl<P: Picture> Drop for Live<P> {
    fn drop(&mut self) {
        if !std::thread::panicking() && !self.bar.is_finished() {
            self.clear();
        }
    }
}

/// The terminal behind a checked stream; asked for its size at every drawing, since that changes.
#[derive(Debug)]
struct Screen(Stream);

impl Screen {
    fn move_by(&self, count: usize, direction: char) -> io::Result<()> {
        match count {
            0 => Ok(()),
            _ => self.0.print(&format!("\x1b[{count}{direction}")),
        }
    }
}

impl TermLike for Screen {
    fn width(&self) -> u16 {
        u16::try_from(self.0.width()).unwrap_or(u16::MAX)
    }

    fn height(&self) -> u16 {
        u16::try_from(self.0.height()).unwrap_or(u16::MAX)
    }

    fn move_cursor_up(&self, n: usize) -> io::Result<()> {
        self.move_by(n, 'A')
    }

    fn move_cursor_down(&self, n: usize) -> io::Result<()> {
        self.move_by(n, 'B')
    }

    fn move_cursor_right(&self, n: usize) -> io::Result<()> {
        self.move_by(n, 'C')
    }

    fn move_cursor_left(&self, n: usize) -> io::Result<()> {
        self.move_by(n, 'D')
    }

    fn write_line(&self, text: &str) -> io::Result<()> {
        self.0.print(text)?;
        self.0.print("\n")
    }

    fn write_str(&self, text: &str) -> io::Result<()> {
        self.0.print(text)
    }

    fn clear_line(&self) -> io::Result<()> {
        self.0.print("\r\x1b[2K")
    }

    /// The cursor then waits at the left: a terminal echoes `^C` where it stands, and at the right end of the line that would
    /// wrap, and the next drawing would miss its first line.
    fn flush(&self) -> io::Result<()> {
        self.0.print("\r")?;
        self.0.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::ShowOutput;
    use crate::report::fixture::{Captured, End, Finish, briefing, failure, moment};
    use crate::report::lines::Detail;
    use crate::report::progress::Progress;
    use crate::report::text::Paint;
    use crate::report::viewer::Viewer;
    use crate::stream::Batch;
    use crate::task::Outcome;
    use indicatif::InMemoryTerm;

    fn console() -> (Captured, Captured, Console) {
        let (out, err) = (Captured::new(), Captured::new());
        let console = Console {
            err: Batch::new(err.stream.clone()),
            err_paint: Paint(false),
            out: Some(out.stream.clone()),
            out_paint: Paint(false),
        };
        (out, err, console)
    }

    fn live<P: Picture>(picture: P, term: &InMemoryTerm, console: Console) -> Live<P> {
        let (draws, measures) = (Box::new(term.clone()), Box::new(term.clone()));
        let teller = Teller::new(Detail::Live, ShowOutput::Failed, Paint(false));
        Live::on(draws, measures, picture, teller, console)
    }

    /// What the terminal shows, with digits of times replaced.
    fn shown(term: &InMemoryTerm) -> String {
        term.contents().replace(|c: char| c.is_ascii_digit(), "0")
    }

    #[test]
    fn the_bar_stands_below_and_leaves_nothing_behind() {
        let briefing = briefing(&["a", "b"]);
        let term = InMemoryTerm::new(10, 40);
        let (out, err, console) = console();
        let mut live = live(Progress, &term, console);
        live.begin(&briefing).unwrap();
        live.event(&briefing, &End::failed(0, 1, failure("boom", None)))
            .unwrap();
        let mut now = moment(&briefing, &[Some(1)]);
        now.counts.add(Outcome::Failed);
        live.draw(&briefing, &now);
        assert_eq!(
            shown(&term),
            "[=================>                ] 0/0\n0 passed, 0 failed, 0 skipped, 0.0s, ab…\nrunning: b"
        );
        assert!(err.text().contains("FAILED [ 20% ]\n    boom\n"));
        live.finish(&briefing, &Finish::default().summary())
            .unwrap();
        assert_eq!(term.contents(), "");
        assert!(err.text().contains("\nfailures:\n\na FAILED\n"));
        assert!(out.text().starts_with("==== "));
    }

    #[test]
    fn the_bar_grows_with_the_plan() {
        let briefing = briefing(&["a"]);
        let term = InMemoryTerm::new(10, 40);
        let (_, _, console) = console();
        let mut live = live(Progress, &term, console);
        live.begin(&briefing).unwrap();
        let mut now = Moment::idle(2, 1);
        now.counts.add(Outcome::Passed);
        live.draw(&briefing, &now);
        let bar = "[=================>                ] 1/2\n";
        assert!(term.contents().starts_with(bar), "{}", term.contents());
    }

    #[test]
    fn the_viewer_shows_workers_and_a_drop_clears_it() {
        let briefing = briefing(&["a", "b"]);
        let term = InMemoryTerm::new(10, 60);
        let (_, err, console) = console();
        let mut live = live(Viewer, &term, console);
        live.begin(&briefing).unwrap();
        live.draw(&briefing, &moment(&briefing, &[None, Some(1)]));
        assert_eq!(
            shown(&term),
            "thread_0 ░\nthread_0   0.0s b\n0/0: 0 passed, 0 failed, 0 skipped, 0.0s"
        );
        live.notice("waiting\n");
        drop(live);
        assert_eq!(term.contents(), "");
        assert_eq!(err.text(), "waiting\n");
    }

    /// A terminal of any size that looks at nothing.
    #[derive(Clone, Copy, Debug)]
    struct Sized(u16, u16);

    #[rustfmt::skip]
    impl TermLike for Sized {
        fn width(&self) -> u16 { self.0 }
        fn height(&self) -> u16 { self.1 }
        fn move_cursor_up(&self, _: usize) -> io::Result<()> { Ok(()) }
        fn move_cursor_down(&self, _: usize) -> io::Result<()> { Ok(()) }
        fn move_cursor_right(&self, _: usize) -> io::Result<()> { Ok(()) }
        fn move_cursor_left(&self, _: usize) -> io::Result<()> { Ok(()) }
        fn write_line(&self, _: &str) -> io::Result<()> { Ok(()) }
        fn write_str(&self, _: &str) -> io::Result<()> { Ok(()) }
        fn clear_line(&self) -> io::Result<()> { Ok(()) }
        fn flush(&self) -> io::Result<()> { Ok(()) }
    }

    fn draw_on<P: Picture>(picture: P, size: Sized) {
        let briefing = briefing(&["a", "b"]);
        let teller = Teller::new(Detail::Live, ShowOutput::Failed, Paint(false));
        let mut live = Live::on(Box::new(size), Box::new(size), picture, teller, console().2);
        live.begin(&briefing).unwrap();
        live.draw(&briefing, &moment(&briefing, &[Some(0), None]));
    }

    #[test]
    fn no_terminal_is_too_small_or_too_large() {
        for (columns, rows) in [(1, 1), (3, 2), (80, 1), (1, 40), (1000, u16::MAX)] {
            draw_on(Progress, Sized(columns, rows));
            draw_on(Viewer, Sized(columns, rows));
        }
    }

    #[test]
    fn nothing_is_drawn_more_than_ten_times_a_second() {
        let briefing = briefing(&["a", "b"]);
        let term = InMemoryTerm::new(10, 60);
        let mut live = live(Viewer, &term, console().2);
        live.begin(&briefing).unwrap();
        let before = term.contents();
        let mut now = moment(&briefing, &[Some(1)]);
        now.at = INTERVAL / 2;
        live.tick(&briefing, &now).unwrap();
        assert_eq!(term.contents(), before);
        now.at = INTERVAL;
        live.tick(&briefing, &now).unwrap();
        assert_ne!(term.contents(), before);
    }

    #[test]
    fn between_drawings_the_cursor_waits_at_the_left() {
        let captured = Captured::new();
        let screen = Screen(captured.stream.clone());
        screen.write_str("2/6").unwrap();
        screen.flush().unwrap();
        assert_eq!(captured.text(), "2/6\r");
    }
}
