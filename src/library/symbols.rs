//! Reads the dynamic section of an ELF file and looks symbols up by their hash, as the dynamic linker does.
//!
//! Reads a few bytes per question, whatever the size of the file. Section headers are not needed: they may be stripped.

use object::elf::{self, Dyn64, DynamicTag, ProgramHeader64, Sym64};
use object::read::ReadRef;
use object::read::elf::{Dyn, ProgramHeader, Sym};
use object::{Endianness, U32};

/// Symbols that are followed at most in one chain; a longer one is taken for damage.
const CHAIN_MAX: u32 = 4096;
/// Bytes of a string at most; a longer one is taken for damage.
const STRING_MAX: u64 = 4096;

/// The parts of an ELF file that the dynamic linker uses.
pub(super) struct Dynamic<'a, R> {
    data: R,
    endian: Endianness,
    segments: &'a [ProgramHeader64<Endianness>],
    entries: &'a [Dyn64<Endianness>],
}

impl<'a, R: ReadRef<'a>> Dynamic<'a, R> {
    /// Finds the dynamic section; none where the file has none, or an unreadable one.
    pub(super) fn find(
        data: R,
        endian: Endianness,
        segments: &'a [ProgramHeader64<Endianness>],
    ) -> Option<Self> {
        let entries = segments
            .iter()
            .find_map(|segment| segment.dynamic(endian, data).ok().flatten())?;
        let end = entries
            .iter()
            .position(|entry| entry.tag(endian) == elf::DT_NULL)
            .unwrap_or(entries.len());
        Some(Self {
            data,
            endian,
            segments,
            entries: &entries[..end],
        })
    }

    /// The value of the first entry with this tag.
    pub(super) fn value(&self, tag: DynamicTag) -> Option<u64> {
        self.values(tag).next()
    }

    /// All strings under this tag, such as the names of the libraries that are needed.
    pub(super) fn strings(&self, tag: DynamicTag) -> Vec<String> {
        self.values(tag)
            .filter_map(|offset| self.string(offset))
            .map(|text| String::from_utf8_lossy(text).into_owned())
            .collect()
    }

    /// Whether the file defines a symbol of this name; none where its hash tables cannot be read.
    pub(super) fn defines(&self, name: &str) -> Option<bool> {
        match self.value(elf::DT_GNU_HASH) {
            Some(table) => self.find_gnu(self.offset(table)?, name.as_bytes()),
            None => self.find_sysv(self.offset(self.value(elf::DT_HASH)?)?, name.as_bytes()),
        }
    }

    fn values(&self, tag: DynamicTag) -> impl Iterator<Item = u64> + use<'a, R> {
        let (entries, endian) = (self.entries, self.endian);
        entries
            .iter()
            .filter(move |entry| entry.tag(endian) == tag)
            .map(move |entry| entry.val(endian))
    }

    fn string(&self, offset: u64) -> Option<&'a [u8]> {
        let table = self.offset(self.value(elf::DT_STRTAB)?)?;
        let start = table.checked_add(offset)?;
        let left = self.data.len().ok()?.checked_sub(start)?;
        // Not `read_bytes_at_until`, which asks the processor what it can do: in a virtual machine each question traps.
        let bytes = self.data.read_bytes_at(start, left.min(STRING_MAX)).ok()?;
        let length = bytes.iter().position(|byte| *byte == 0)?;
        Some(&bytes[..length])
    }

    /// Where in the file an address of the loaded library comes from.
    fn offset(&self, address: u64) -> Option<u64> {
        self.segments.iter().find_map(|segment| {
            let inside = address.checked_sub(segment.p_vaddr(self.endian))?;
            let loaded = segment.p_type(self.endian) == elf::PT_LOAD;
            (loaded && inside < segment.p_filesz(self.endian))
                .then(|| segment.p_offset(self.endian).checked_add(inside))?
        })
    }

    fn word(&self, table: u64, index: u64) -> Option<u32> {
        let at = index.checked_mul(4)?.checked_add(table)?;
        let word: &U32<Endianness> = self.data.read_at(at).ok()?;
        Some(word.get(self.endian))
    }

    /// `DT_GNU_HASH`: header of four words, filters of eight bytes, buckets, then a hash for each defined symbol, the
    /// lowest bit of which ends a chain.
    fn find_gnu(&self, table: u64, name: &[u8]) -> Option<bool> {
        let [buckets, first, filters] = [0, 1, 2].map(|index| self.word(table, index));
        let (buckets, first, filters) = (u64::from(buckets?), first?, u64::from(filters?));
        let hash = elf::gnu_hash(name);
        let bucket_table = 4 + filters * 2;
        let bucket = bucket_table + u64::from(hash).checked_rem(buckets)?;
        let start = self.word(table, bucket)?;
        let chains = bucket_table + buckets;
        for index in start..start.saturating_add(CHAIN_MAX) {
            let Some(place) = index.checked_sub(first) else {
                return Some(false);
            };
            let value = self.word(table, chains + u64::from(place))?;
            if value | 1 == hash | 1 && self.is_definition(index, name)? {
                return Some(true);
            }
            if value & 1 == 1 {
                return Some(false);
            }
        }
        None
    }

    /// `DT_HASH`: number of buckets and of symbols, the buckets, the chains; index 0 ends a chain.
    fn find_sysv(&self, table: u64, name: &[u8]) -> Option<bool> {
        let buckets = u64::from(self.word(table, 0)?);
        let bucket = u64::from(elf::hash(name)).checked_rem(buckets)?;
        let mut index = self.word(table, 2 + bucket)?;
        for _ in 0..CHAIN_MAX {
            if index == 0 {
                return Some(false);
            }
            if self.is_definition(index, name)? {
                return Some(true);
            }
            index = self.word(table, 2 + buckets + u64::from(index))?;
        }
        None
    }

    fn is_definition(&self, index: u32, name: &[u8]) -> Option<bool> {
        let table = self.offset(self.value(elf::DT_SYMTAB)?)?;
        let at = u64::from(index).checked_mul(24)?.checked_add(table)?;
        let symbol: &Sym64<Endianness> = self.data.read_at(at).ok()?;
        let defined = !symbol.is_undefined(self.endian);
        Some(defined && self.string(symbol.st_name(self.endian).into())? == name)
    }
}
