//! Puts what stands on the tracks and what was sent in one order, by time.
//!
//! The protocol: a message, and a pass on a track, carries a time that its sender read after it had seen all that led there,
//! and before others could see it. The clock is one for all threads and never goes back. So whoever first reads the clock,
//! and then looks, finds all that led to anything with a time not later than that: up to there the order by time is the
//! order of cause and effect. What carries a later time stays until the next time.
//!
//! When a task began is not read from the clock if its worker came from another one: then it is the end of that one, which
//! may be a little before the end of something that it comes after. It is put right here, where all of that has come. What
//! has not come yet was not there when the clock was read, so the task began after that too.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use super::messages::Message;
use super::time::nanos;
use super::track::{Passed, Track};
use crate::event::Event;
use crate::graph::Graph;
use crate::task::TaskId;

/// What comes next.
pub(super) enum Item {
    /// A task on the lane begins, on this worker.
    Started(usize, Passed),
    /// It has passed.
    Passed(usize, Passed),
    /// Something was sent, at this time.
    Message(u64, Message),
}

/// Who comes after whom, and when those have ended.
type Ends = (Arc<Graph>, Vec<u64>);

pub(super) struct Merge {
    /// Where starts are wanted.
    ends: Option<Ends>,
    tracks: Vec<VecDeque<Passed>>,
    messages: VecDeque<(u64, Message)>,
    /// What is next of all. It is kept apart, as often the one after it is of the same worker.
    first: Option<Head>,
    /// What is next of each other.
    others: BinaryHeap<Reverse<Head>>,
}

/// When it is to be told, what it is, and of which worker.
type Head = (u64, Kind, usize);

/// What goes first at the same time: who says something has not ended, and who ends is not waited for any more.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Message,
    End,
    Start,
}

/// Something has not ended, as far as is known here.
const NOT_YET: u64 = u64::MAX;

impl Merge {
    /// Tells of starts too, where a graph is given.
    pub(super) fn new(tracks: usize, graph: Option<Arc<Graph>>) -> Self {
        Self {
            ends: graph.map(|graph| (Arc::clone(&graph), vec![NOT_YET; graph.ids()])),
            tracks: (0..tracks).map(|_| VecDeque::new()).collect(),
            messages: VecDeque::new(),
            first: None,
            others: BinaryHeap::new(),
        }
    }

    /// Nothing is here.
    pub(super) fn is_empty(&self) -> bool {
        self.first.is_none()
    }

    /// Adds what was sent, in the order of the times.
    pub(super) fn send(&mut self, at: u64, message: Message) {
        if let Message::Event(Event::Finished(finished)) = &message {
            self.ended(finished.task, at);
        }
        self.messages.push_back((at, message));
        if self.messages.len() == 1 {
            self.line_up((at, Kind::Message, 0));
        }
    }

    /// Adds what has passed on a track.
    pub(super) fn fetch(&mut self, worker: usize, track: &Track) {
        let before = self.tracks[worker].len();
        track.drain(&mut self.tracks[worker]);
        if self.ends.is_some() {
            for at in before..self.tracks[worker].len() {
                let Passed { task, end, .. } = self.tracks[worker][at];
                self.ended(task, end);
            }
        }
        if before == 0 {
            let passed = self.tracks[worker].front();
            let head = passed.map(|passed| head(self.ends.as_ref(), worker, passed));
            if let Some(head) = head {
                self.line_up(head);
            }
        }
    }

    /// Adds what is next of one of whom nothing was here.
    fn line_up(&mut self, head: Head) {
        let later = match self.first {
            Some(first) if first < head => head,
            _ => match self.first.replace(head) {
                Some(first) => first,
                None => return,
            },
        };
        self.others.push(Reverse(later));
    }

    /// Puts what is next of one in the place of what was first, which was its too.
    fn go_on(&mut self, next: Option<Head>) {
        let least = self.others.peek().map(|least| least.0);
        self.first = match (next, least) {
            (Some(next), Some(least)) if least < next => {
                if let Some(mut place) = self.others.peek_mut() {
                    *place = Reverse(next);
                }
                Some(least)
            }
            (Some(next), _) => Some(next),
            (None, _) => self.others.pop().map(|least| least.0),
        };
    }

    /// The next item that is not later than this.
    pub(super) fn next(&mut self, upto: u64) -> Option<Item> {
        loop {
            let (at, kind, worker) = self.first?;
            if at > upto {
                return None;
            }
            let (item, next) = match kind {
                Kind::Message => {
                    let (at, mut message) = self.messages.pop_front()?;
                    if let Message::Event(Event::Started {
                        task, at: since, ..
                    }) = &mut message
                    {
                        let last = not_before(self.ends.as_ref(), *task).unwrap_or(0);
                        *since = Duration::from_nanos(nanos(*since).max(last));
                    }
                    let next = self.messages.front();
                    let next = next.map(|(at, _)| (*at, Kind::Message, 0));
                    (Item::Message(at, message), next)
                }
                Kind::Start => {
                    let passed = self.tracks[worker].front_mut()?;
                    let last = not_before(self.ends.as_ref(), passed.task);
                    let begin = last.unwrap_or_else(|| upto.saturating_add(1));
                    let begin = begin.clamp(at, passed.end.max(at));
                    if begin > at {
                        self.go_on(Some((begin, kind, worker)));
                        continue;
                    }
                    passed.start = at;
                    let next = (passed.end, Kind::End, worker);
                    (Item::Started(worker, *passed), Some(next))
                }
                Kind::End => {
                    let passed = self.tracks[worker].pop_front()?;
                    let next = self.tracks[worker].front();
                    let next = next.map(|passed| head(self.ends.as_ref(), worker, passed));
                    (Item::Passed(worker, passed), next)
                }
            };
            self.go_on(next);
            return Some(item);
        }
    }

    /// Tasks that had begun by that time and not ended, among those that are here: worker, task, and since when.
    pub(super) fn running_at(&self, at: u64) -> Vec<(usize, TaskId, u64)> {
        let tracks = self.tracks.iter().enumerate();
        let passed = tracks.flat_map(|(worker, track)| track.iter().map(move |p| (worker, p)));
        let running = passed.filter(|(_, passed)| passed.start <= at && at < passed.end);
        let running = running.map(|(worker, passed)| (worker, passed.task, passed.start));
        let told = self
            .messages
            .iter()
            .filter_map(|(_, message)| match message {
                Message::Event(Event::Started {
                    task,
                    worker,
                    attempt: 1,
                    at: since,
                }) => Some((*worker, *task, nanos(*since))),
                _ => None,
            });
        running
            .chain(told.filter(|(.., since)| *since <= at))
            .collect()
    }

    /// When a task on the lane that runs began, where all has come that it comes after; see above.
    pub(super) fn put_right(&self, task: TaskId, since: u64) -> u64 {
        let last = not_before(self.ends.as_ref(), task);
        last.unwrap_or(0).max(since)
    }

    fn ended(&mut self, task: TaskId, at: u64) {
        if let Some((_, ends)) = &mut self.ends
            && let Some(end) = ends.get_mut(task.index())
        {
            *end = at;
        }
    }
}

/// What is next of a worker that has passed this task.
fn head(ends: Option<&Ends>, worker: usize, passed: &Passed) -> Head {
    match ends {
        None => (passed.end, Kind::End, worker),
        Some(_) => (passed.start, Kind::Start, worker),
    }
}

/// When the last thing ended that a task on the lane comes after; none where that has not come yet.
fn not_before(ends: Option<&Ends>, task: TaskId) -> Option<u64> {
    let Some((graph, ends)) = ends else {
        return Some(0);
    };
    if task.index() >= graph.ids() {
        return Some(0); // it was added, and is not on the lane
    }
    let before = graph.dependencies(task).iter();
    let last = before.map(|dependency| ends[dependency.index()]).max();
    Some(last.unwrap_or(0)).filter(|last| *last != NOT_YET)
}

#[cfg(test)]
mod tests {
    use crate::sync::atomic::AtomicBool;

    use super::*;
    use crate::event::Stop;
    use crate::graph::sketch;

    fn shown(merge: &mut Merge, upto: u64) -> Vec<String> {
        let items = std::iter::from_fn(|| merge.next(upto));
        let show = |item| match item {
            Item::Started(worker, passed) => {
                format!(
                    "{worker} starts {} at {}",
                    passed.task.index(),
                    passed.start
                )
            }
            Item::Passed(worker, passed) => format!("{worker} ends {}", passed.task.index()),
            Item::Message(..) => "message".into(),
        };
        items.map(show).collect()
    }

    fn merge(starts: bool, passed: &[(usize, usize, u64, u64)], messages: &[u64]) -> Merge {
        let graph = Arc::new(sketch::graph(&sketch::catalog("a b<a c")).unwrap());
        let mut merge = Merge::new(2, starts.then_some(graph));
        let tracks = [Track::new(1, 9), Track::new(1, 9)];
        for &(worker, task, start, end) in passed {
            tracks[worker].begin(TaskId::new(task), start);
            tracks[worker].pass(TaskId::new(task), end, &AtomicBool::new(true));
        }
        for (worker, track) in tracks.iter().enumerate() {
            merge.fetch(worker, track);
        }
        for &at in messages {
            let stop = Message::Event(Event::Stopping(Stop::Threads));
            merge.send(at, stop);
        }
        merge
    }

    #[test]
    fn all_comes_in_the_order_of_time_and_what_is_too_late_waits() {
        let mut merge = merge(true, &[(0, 0, 1, 5), (1, 2, 2, 4), (1, 1, 4, 9)], &[4, 7]);
        // The task 1 comes after 0, which ends at 5.
        let first = [
            "0 starts 0 at 1",
            "1 starts 2 at 2",
            "message",
            "1 ends 2",
            "0 ends 0",
            "1 starts 1 at 5",
        ];
        assert_eq!(shown(&mut merge, 6), first);
        assert!(!merge.is_empty());
        assert_eq!(shown(&mut merge, 9), ["message", "1 ends 1"]);
        assert!(merge.is_empty());
    }

    #[test]
    fn a_start_waits_for_the_end_of_what_it_comes_after_wherever_that_is() {
        // The task 1 is looked at first.
        let mut both = merge(true, &[(0, 1, 2, 9), (1, 0, 1, 5)], &[]);
        let all = ["1 starts 0 at 1", "1 ends 0", "0 starts 1 at 5", "0 ends 1"];
        assert_eq!(shown(&mut both, 9), all);
        // The task 0 passed after its track was looked at, and the task 1 after that.
        let mut one = merge(true, &[(0, 1, 2, 9)], &[]);
        assert_eq!(shown(&mut one, 4), [""; 0]);
        let late = Track::new(1, 9);
        late.begin(TaskId::new(0), 1);
        late.pass(TaskId::new(0), 4, &AtomicBool::new(true));
        one.fetch(1, &late);
        let all = ["1 starts 0 at 1", "1 ends 0", "0 starts 1 at 5", "0 ends 1"];
        assert_eq!(shown(&mut one, 9), all);
    }

    #[test]
    fn starts_are_left_out_where_nobody_wants_them() {
        let mut merge = merge(false, &[(0, 0, 1, 5), (1, 2, 2, 4)], &[5]);
        assert_eq!(shown(&mut merge, 9), ["1 ends 2", "message", "0 ends 0"]);
    }
}
