//! The set of ready tasks, as places in the order of ranks: the lowest one is the next.
//!
//! A tree of words, each bit of which says that there is something in the word below. Any number of threads may insert and
//! take at the same time, without a lock.
//!
//! The protocol: whoever inserts sets the bit of the place, and the bit above where the word was empty before, and so on.
//! Whoever takes follows the lowest bits down and clears the last one; who has won that has taken the place. Where the word
//! became empty by that, the bit above is cleared, *and then the word is looked at again*: what came in between did not set
//! the bit above, as it found that set, so it is put back. So a bit above may be missing for a moment, or be set over an
//! empty word: a look from above may miss a place that is just being inserted or taken beside, but whoever looks when
//! nobody else is at work misses nothing.

use crate::sync::atomic::{AtomicU64, Ordering};

/// So many bits of a word are used; few in a model, so that a small tree has levels.
pub(super) const BITS: usize = if cfg!(model) { 2 } else { u64::BITS as usize };

pub(super) struct ReadySet {
    /// From the bottom, one bit for each place, to the top, which is one word.
    levels: Vec<Box<[AtomicU64]>>,
}

impl ReadySet {
    /// An empty set for places below `len`.
    pub(super) fn new(len: usize) -> Self {
        let mut levels = Vec::new();
        let mut words = len;
        loop {
            words = words.div_ceil(BITS).max(1);
            levels.push((0..words).map(|_| AtomicU64::new(0)).collect());
            if words == 1 {
                return Self { levels };
            }
        }
    }

    /// Puts a place in that is not in.
    pub(super) fn insert(&self, place: usize) {
        self.insert_many(place / BITS, 1 << (place % BITS));
    }

    /// Puts in those places of a word whose bits are set.
    pub(super) fn insert_many(&self, word: usize, bits: u64) {
        // None of them is set, so adding is setting, and one instruction on most processors.
        let before = self.levels[0][word].fetch_add(bits, Ordering::AcqRel);
        debug_assert_eq!(before & bits, 0, "a place that is in would carry over");
        if before == 0 {
            self.open(0, word);
        }
    }

    /// The lowest place, which stays in.
    pub(super) fn first(&self) -> Option<usize> {
        'again: loop {
            let mut at = 0;
            for (height, level) in self.levels.iter().enumerate().rev() {
                let bits = level[at].load(Ordering::Acquire);
                if bits == 0 {
                    if height + 1 == self.levels.len() {
                        return None;
                    }
                    // Somebody is about to clear the bit above; who waited for that might wait long.
                    self.close(height, at);
                    continue 'again;
                }
                at = at * BITS + bits.trailing_zeros() as usize;
            }
            return Some(at);
        }
    }

    /// Takes a place out; whether it was in.
    pub(super) fn remove(&self, place: usize) -> bool {
        let (word, bit) = (place / BITS, 1 << (place % BITS));
        let before = self.levels[0][word].fetch_and(!bit, Ordering::AcqRel);
        if before == bit {
            self.close(0, word);
        }
        before & bit != 0
    }

    /// Takes the lowest place.
    pub(super) fn take(&self) -> Option<usize> {
        loop {
            let first = self.first()?;
            let (word, bit) = (first / BITS, 1 << (first % BITS));
            let place = &self.levels[0][word];
            let before = place.load(Ordering::Relaxed);
            let is_lowest = before & bit != 0 && before & (bit - 1) == 0;
            let after = before & !bit;
            let swap =
                || place.compare_exchange(before, after, Ordering::AcqRel, Ordering::Relaxed);
            if is_lowest && swap().is_ok() {
                if after == 0 {
                    self.close(0, word);
                }
                return Some(first);
            }
        }
    }

    /// Nothing is in.
    pub(super) fn is_empty(&self) -> bool {
        let top = self.levels.last();
        top.is_none_or(|top| top[0].load(Ordering::Acquire) == 0)
    }

    /// The place is in.
    pub(super) fn contains(&self, place: usize) -> bool {
        self.levels[0][place / BITS].load(Ordering::Acquire) & 1 << (place % BITS) != 0
    }

    /// Clears the bit above a word that has become empty, and puts it back where it is not empty any more.
    fn close(&self, height: usize, word: usize) {
        let (mut height, mut word) = (height, word);
        while let Some(above) = self.levels.get(height + 1) {
            let (upper, bit) = (word / BITS, 1 << (word % BITS));
            let before = above[upper].fetch_and(!bit, Ordering::AcqRel);
            if self.levels[height][word].load(Ordering::Acquire) != 0 {
                self.open(height, word);
                return;
            }
            if before != bit {
                return;
            }
            (height, word) = (height + 1, upper);
        }
    }

    /// Sets the bits above a word that is not empty.
    fn open(&self, height: usize, word: usize) {
        let mut word = word;
        for level in &self.levels[height + 1..] {
            let before = level[word / BITS].fetch_or(1 << (word % BITS), Ordering::AcqRel);
            if before != 0 {
                return;
            }
            word /= BITS;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    #[test]
    fn the_lowest_comes_first_whatever_the_size() {
        for len in [1, 2, 63, 64, 65, 4095, 4096, 4097, 300_000] {
            let set = ReadySet::new(len);
            assert_eq!((set.take(), set.is_empty()), (None, true));
            let places = [len - 1, len / 2, 0];
            let places: BTreeSet<usize> = places.into();
            for &place in places.iter().rev() {
                set.insert(place);
                assert_eq!((set.first(), set.contains(place)), (Some(place), true));
            }
            for &place in &places {
                assert_eq!(set.take(), Some(place), "of {len}");
            }
            assert_eq!((set.take(), set.is_empty()), (None, true));
        }
    }

    proptest! {
        #[test]
        fn it_is_an_ordered_set(steps in prop::collection::vec((0..4_u8, 0..5000_usize), 1..200)) {
            let set = ReadySet::new(5000);
            let mut plain = BTreeSet::new();
            for (step, place) in steps {
                match step {
                    0 | 1 => {
                        if plain.insert(place) {
                            set.insert(place);
                        }
                    }
                    2 => prop_assert_eq!(set.take(), plain.pop_first()),
                    _ => prop_assert_eq!(set.remove(place), plain.remove(&place)),
                }
                prop_assert_eq!(set.first(), plain.first().copied());
                prop_assert_eq!(set.is_empty(), plain.is_empty());
            }
        }
    }

    #[test]
    fn every_place_is_taken_once_by_many_threads() {
        const PLACES: usize = 20_000;
        let set = ReadySet::new(PLACES);
        let mut taken: Vec<usize> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..4)
                .map(|thread| {
                    let set = &set;
                    scope.spawn(move || {
                        let mut taken = Vec::new();
                        for place in (thread..PLACES).step_by(4) {
                            set.insert(place);
                            taken.extend(set.take());
                        }
                        taken
                    })
                })
                .collect();
            let taken = threads.into_iter().map(|thread| thread.join().unwrap());
            taken.flatten().collect()
        });
        taken.extend(std::iter::from_fn(|| set.take()));
        taken.sort_unstable();
        assert!(taken.into_iter().eq(0..PLACES));
    }
}
