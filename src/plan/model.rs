//! Models of the ready set and of the lane, with words of two bits.

use std::sync::Arc;

use loom::cell::UnsafeCell;
use loom::thread;

use super::lane::{Lane, Next};
use super::ready::ReadySet;
use crate::graph::{Graph, sketch};
use crate::task::TaskId;

/// After threads that insert these places and take so many each: every place of those and of `before` is taken once, or
/// still in, and what the set says of those is exact.
fn model(len: usize, before: &'static [usize], threads: &'static [(&[usize], usize)]) {
    loom::model(move || {
        let set = Arc::new(ReadySet::new(len));
        before.iter().for_each(|place| set.insert(*place));
        let work = |set: &ReadySet, (places, takes): (&[usize], usize)| {
            places.iter().for_each(|place| set.insert(*place));
            (0..takes).filter_map(|_| set.take()).collect::<Vec<_>>()
        };
        let spawn = |thread: &(&'static [usize], usize)| {
            let (set, thread) = (Arc::clone(&set), *thread);
            thread::spawn(move || work(&set, thread))
        };
        let handles: Vec<_> = threads[1..].iter().map(spawn).collect();
        let mut taken = work(&set, threads[0]);
        for handle in handles {
            taken.extend(handle.join().unwrap());
        }
        let mut left = threads.iter().flat_map(|(places, _)| *places);
        let mut all: Vec<_> = before.iter().chain(&mut left).copied().collect();
        all.sort_unstable();
        let mut rest: Vec<_> = all
            .iter()
            .filter(|place| !taken.contains(place))
            .copied()
            .collect();
        assert_eq!(rest.len() + taken.len(), all.len(), "taken: {taken:?}");
        rest.reverse();
        while let Some(place) = rest.pop() {
            assert_eq!((set.first(), set.is_empty()), (Some(place), false));
            assert!(set.contains(place) && set.remove(place));
        }
        assert_eq!((set.take(), set.is_empty()), (None, true));
    });
}

#[test]
fn what_is_put_in_beside_one_who_takes_is_not_lost() {
    model(4, &[1], &[(&[], 1), (&[0], 0)]);
    model(4, &[0, 3], &[(&[], 2), (&[1, 2], 0)]);
    model(8, &[0], &[(&[], 1), (&[1], 1)]);
    model(8, &[5], &[(&[4], 1), (&[0], 1)]);
}

#[test]
fn no_place_is_taken_twice() {
    model(4, &[0, 1, 2], &[(&[], 2), (&[], 2)]);
    model(8, &[0, 7], &[(&[], 1), (&[6], 1)]);
}

#[test]
fn three_threads_put_in_and_take_in_one_word_and_in_two() {
    model(4, &[0], &[(&[], 1), (&[1], 0), (&[], 1)]);
    model(4, &[1], &[(&[], 1), (&[0], 0), (&[2], 0)]);
    model(4, &[0, 1], &[(&[], 1), (&[], 1), (&[2], 0)]);
}

#[test]
fn three_threads_come_together_at_the_top_of_three_levels() {
    model(8, &[0, 7], &[(&[], 1), (&[], 1), (&[3], 0)]);
}

fn graph(words: &str) -> Arc<Graph> {
    Arc::new(sketch::graph(&sketch::catalog(words)).unwrap())
}

/// One thread for each of the first tasks, which passes it and takes what it can: every other task is taken once, by one who
/// sees what those before it have done.
fn model_lane(words: &str, firsts: usize) {
    let graph = graph(words);
    loom::model(move || {
        let tasks: Vec<_> = graph.topological().to_vec();
        let by_rank: Vec<_> = (0..graph.ids()).map(TaskId::new).collect();
        let lane = Arc::new(Lane::new(&graph, by_rank));
        let done: Arc<Vec<_>> = Arc::new(tasks.iter().map(|_| UnsafeCell::new(())).collect());
        let run = |graph: &Graph, done: &[UnsafeCell<()>], task: TaskId| {
            for before in graph.dependencies(task) {
                done[before.index()].with(|_| ());
            }
            done[task.index()].with_mut(|_| ());
        };
        let work = move |graph: &Graph, lane: &Lane, done: &[UnsafeCell<()>], first: usize| {
            let (mut ran, mut off) = (Vec::new(), Vec::new());
            let mut next = Next::Task(TaskId::new(first));
            while let Next::Task(task) = next {
                run(graph, done, task);
                ran.push(task.index());
                next = lane.passed(task, &mut off);
            }
            assert_eq!((next, off.len()), (Next::Nothing, 0));
            ran
        };
        let spawn = |first| {
            let (graph, lane, done) = (Arc::clone(&graph), Arc::clone(&lane), Arc::clone(&done));
            thread::spawn(move || work(&graph, &lane, &done, first))
        };
        let handles: Vec<_> = (1..firsts).map(spawn).collect();
        let mut ran = work(&graph, &lane, &done, 0);
        for handle in handles {
            ran.extend(handle.join().unwrap());
        }
        ran.sort_unstable();
        assert_eq!(lane.first(), None);
        assert!(ran.into_iter().eq(0..graph.ids()));
    });
}

#[test]
fn the_last_of_those_before_a_task_takes_it_and_sees_what_they_did() {
    model_lane("a b c<a,b", 2);
    model_lane("a b c d<a,b,c", 3);
}

#[test]
fn tasks_that_become_ready_together_are_taken_once_each() {
    model_lane("a b c<a d<a,b e<b", 2);
    model_lane("a b c<a,b d<a,b e<c,d", 2);
}
