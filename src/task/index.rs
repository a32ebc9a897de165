//! Names to places: a hash table that is made once, of 32 bits a slot.
//!
//! Where there are millions of names, a question costs a walk to memory. So questions, and the names that the table is made of,
//! come in blocks: first the slots of all of them are looked at, which the processor does at the same time, then the names.

use std::hash::BuildHasher;
use std::hint::black_box;

use foldhash::fast::FixedState;

use super::texts::Texts;

/// Questions that are asked together.
const BLOCK: usize = 64;

/// Where names stand among others.
#[derive(Default)]
pub(super) struct Index {
    /// A power of two of slots, open addressing: zero, or some bits of the hash above the place + 1.
    slots: Vec<u32>,
    /// How many bits of a slot are the place.
    place_bits: u32,
}

impl Index {
    /// The index of all names; and the first two places of one name. The first of them is the one that is found.
    pub(super) fn new(names: &Texts) -> (Self, Option<(usize, usize)>) {
        let count = names.len();
        assert!(u32::try_from(count).is_ok_and(|count| count <= u32::MAX >> 1));
        let mut index = Self {
            slots: vec![0; (count + count / 3 + 1).next_power_of_two()],
            place_bits: usize::BITS - count.leading_zeros(),
        };
        let mut duplicate = None;
        let mut hashes = Vec::with_capacity(BLOCK);
        for start in (0..count).step_by(BLOCK) {
            let block = start..count.min(start + BLOCK);
            hashes.extend(block.clone().map(|place| hash(names.get(place))));
            index.look_at(&hashes);
            for (place, hash) in block.zip(hashes.drain(..)) {
                match index.probe(names, hash, names.get(place)) {
                    Probe::Place(first) => duplicate = duplicate.or(Some((first, place))),
                    Probe::Free(slot) => index.slots[slot] = index.entry(hash, place),
                }
            }
        }
        (index, duplicate)
    }

    /// The place of a name.
    pub(super) fn find(&self, names: &Texts, name: &str) -> Option<usize> {
        if self.slots.is_empty() {
            return None;
        }
        self.find_hashed(names, hash(name), name)
    }

    /// The same of many names.
    pub(super) fn find_all(&self, names: &Texts, wanted: &[&str], found: &mut Vec<Option<usize>>) {
        let mut hashes = Vec::with_capacity(BLOCK);
        for block in wanted.chunks(BLOCK) {
            hashes.extend(block.iter().map(|name| hash(name)));
            self.look_at(&hashes);
            let places = block.iter().zip(hashes.drain(..));
            found.extend(places.map(|(name, hash)| self.find_hashed(names, hash, name)));
        }
    }

    fn find_hashed(&self, names: &Texts, hash: u64, name: &str) -> Option<usize> {
        match self.probe(names, hash, name) {
            Probe::Place(place) => Some(place),
            Probe::Free(_) => None,
        }
    }

    /// Has the first slots of some hashes brought in from memory.
    fn look_at(&self, hashes: &[u64]) {
        for hash in hashes {
            black_box(self.slots[self.first_slot(*hash)]);
        }
    }

    fn probe(&self, names: &Texts, hash: u64, name: &str) -> Probe {
        let (mut slot, tag) = (
            self.first_slot(hash),
            self.entry(hash, 0) >> self.place_bits,
        );
        loop {
            match self.slots[slot] {
                0 => return Probe::Free(slot),
                entry if entry >> self.place_bits == tag => {
                    let place = (entry & self.place_mask()) as usize - 1;
                    if names.get(place) == name {
                        return Probe::Place(place);
                    }
                }
                _ => {}
            }
            slot = (slot + 1) & (self.slots.len() - 1);
        }
    }

    #[expect(
        clippy::cast_possible_truncation,
        reason = "the rest of the hash is not asked for"
    )]
    fn first_slot(&self, hash: u64) -> usize {
        hash as usize & (self.slots.len() - 1)
    }

    #[expect(
        clippy::cast_possible_truncation,
        reason = "places were counted by `new`"
    )]
    fn entry(&self, hash: u64, place: usize) -> u32 {
        ((hash >> 32) as u32 & !self.place_mask()) | (place as u32 + 1)
    }

    fn place_mask(&self) -> u32 {
        (1 << self.place_bits) - 1
    }
}

enum Probe {
    Place(usize),
    /// The slot where it would stand.
    Free(usize),
}

/// The same in every process; a library whose names collide is slow for itself.
fn hash(name: &str) -> u64 {
    FixedState::default().hash_one(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_found_where_it_first_stood() {
        for count in [0, 1, 2, 3, 63, 64, 65, 5000] {
            let mut names = Texts::default();
            (0..count).for_each(|number| names.push(&format!("task {number}")));
            let (index, duplicate) = Index::new(&names);
            assert_eq!(duplicate, None);
            let wanted: Vec<_> = (0..count).map(|place| names.get(place)).collect();
            let mut found = Vec::new();
            index.find_all(&names, &wanted, &mut found);
            assert!(found.into_iter().eq((0..count).map(Some)));
            assert_eq!(index.find(&names, "task"), None);
        }
        let mut names = Texts::default();
        for name in ["a", "b", "a", "b", "a"] {
            names.push(name);
        }
        let (index, duplicate) = Index::new(&names);
        assert_eq!(
            (index.find(&names, "a"), duplicate),
            (Some(0), Some((0, 2)))
        );
    }
}
