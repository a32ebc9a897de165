//! Many short texts in one piece of memory.

/// Texts, by their place in the order in which they were added.
#[derive(Default)]
pub(super) struct Texts {
    bytes: String,
    /// Where each text ends, from the start of its block on.
    ends: Vec<u32>,
    /// Where each block begins: offsets within one fit into 32 bits however much text there is.
    blocks: Vec<usize>,
}

/// Texts in a block; each is a name, of 255 bytes at most.
const BLOCK: usize = 1 << 16;

impl Texts {
    pub(super) fn with_capacity(count: usize) -> Self {
        Self {
            ends: Vec::with_capacity(count),
            ..Self::default()
        }
    }

    pub(super) fn push(&mut self, text: &str) {
        if self.ends.len().is_multiple_of(BLOCK) {
            self.blocks.push(self.bytes.len());
        }
        self.bytes.push_str(text);
        let end = self.bytes.len() - self.blocks[self.blocks.len() - 1];
        self.ends
            .push(u32::try_from(end).expect("a block of short texts"));
    }

    pub(super) fn get(&self, place: usize) -> &str {
        let start = self.blocks[place / BLOCK];
        let begin = match place % BLOCK {
            0 => 0,
            _ => self.ends[place - 1] as usize,
        };
        &self.bytes[start + begin..start + self.ends[place] as usize]
    }

    pub(super) fn len(&self) -> usize {
        self.ends.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_come_back_as_they_were_also_behind_a_block() {
        let mut texts = Texts::default();
        for number in 0..BLOCK + 3 {
            texts.push(&format!("ö{number}"));
        }
        for number in [0, 1, BLOCK - 1, BLOCK, BLOCK + 2] {
            assert_eq!(texts.get(number), format!("ö{number}"));
        }
        assert_eq!(texts.len(), BLOCK + 3);
    }
}
