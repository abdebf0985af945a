//! Names as dense codes: each distinct byte string gets the next `u32`, so that keys are numbers everywhere inside.

use std::hash::BuildHasher;

use hashbrown::{DefaultHashBuilder, HashTable};

/// The code of "no name" in a column of codes.
pub const NONE: u32 = u32::MAX;

/// A set of byte strings, numbered in the order of their first appearance.
///
/// All bytes lie in one arena, so a million names are three allocations and not a million.
#[derive(Debug, Clone, Default)]
pub struct Interner {
    bytes: Vec<u8>,
    ends: Vec<usize>,
    table: HashTable<u32>,
    hasher: DefaultHashBuilder,
}

impl Interner {
    /// An empty set.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The code of `name`, new or known.
    #[inline]
    pub fn intern(&mut self, name: &[u8]) -> u32 {
        let hash = self.hasher.hash_one(name);
        let (bytes, ends) = (&self.bytes, &self.ends);
        if let Some(&code) = self.table.find(hash, |&code| slice(bytes, ends, code) == name) {
            return code;
        }
        self.insert(hash, name)
    }

    /// The code of `name`, if it is known.
    #[must_use]
    pub fn find(&self, name: &[u8]) -> Option<u32> {
        let hash = self.hasher.hash_one(name);
        self.table.find(hash, |&code| slice(&self.bytes, &self.ends, code) == name).copied()
    }

    /// The name behind a code.
    ///
    /// # Panics
    /// When the code did not come from this interner.
    #[must_use]
    pub fn get(&self, code: u32) -> &[u8] {
        slice(&self.bytes, &self.ends, code)
    }

    /// How many distinct names there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there is no name yet.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// All names in the order of their codes.
    #[must_use]
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &[u8]> {
        (0..self.ends.len()).map(|code| slice(&self.bytes, &self.ends, code as u32))
    }

    #[cold]
    fn insert(&mut self, hash: u64, name: &[u8]) -> u32 {
        let code = self.ends.len() as u32;
        assert!(code != NONE, "more than 4 billion distinct names");
        self.bytes.extend_from_slice(name);
        self.ends.push(self.bytes.len());
        let (bytes, ends, hasher) = (&self.bytes, &self.ends, &self.hasher);
        self.table.insert_unique(hash, code, |&known| hasher.hash_one(slice(bytes, ends, known)));
        code
    }
}

#[inline]
fn slice<'a>(bytes: &'a [u8], ends: &[usize], code: u32) -> &'a [u8] {
    let index = code as usize;
    let start = if index == 0 { 0 } else { ends[index - 1] };
    &bytes[start..ends[index]]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_dense_and_stable() {
        let mut names = Interner::new();
        assert_eq!(names.intern(b"ana"), 0);
        assert_eq!(names.intern(b""), 1);
        assert_eq!(names.intern(b"ana"), 0);
        assert_eq!(names.find(b"bob"), None);
        assert_eq!(names.intern(b"bob"), 2);
        assert_eq!(names.get(1), b"");
        assert_eq!(names.iter().collect::<Vec<_>>(), [b"ana".as_slice(), b"", b"bob"]);
    }

    #[test]
    fn many_names_keep_their_codes() {
        let mut names = Interner::new();
        for i in 0..10_000_u32 {
            assert_eq!(names.intern(format!("user {i}").as_bytes()), i);
        }
        for i in (0..10_000_u32).rev() {
            assert_eq!(names.find(format!("user {i}").as_bytes()), Some(i));
            assert_eq!(names.get(i), format!("user {i}").as_bytes());
        }
    }
}
