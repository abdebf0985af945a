//! Texts and their codes, for one look-up a line: a slot is one line of the cache and holds the text itself where it is
//! short, so that a look-up waits for memory once.

use std::hash::BuildHasher;

use hashbrown::DefaultHashBuilder;

/// Beyond this many codes a dictionary is full.
const MAX_CODES: u32 = 1 << 18;
/// Beyond this many bytes of long texts, too; and beyond twice as many it learns none.
const MAX_TEXTS: usize = 1 << 26;
/// The longest text that a slot holds.
const SHORT: usize = 48;

/// Texts and their codes. Unlike an interner it gives codes to what has no text, too, and forgets all when it is full.
pub(super) struct Dictionary {
    hasher: DefaultHashBuilder,
    /// A power of two, at most half of them taken.
    slots: Vec<Slot>,
    taken: usize,
    /// The texts that are too long for a slot.
    texts: Vec<u8>,
    codes: u32,
}

#[derive(Clone, Copy)]
#[repr(align(64))]
struct Slot {
    /// Odd; 0 where the slot is free.
    hash: u32,
    code: u32,
    length: u32,
    /// Where a long text begins.
    start: u32,
    text: [u8; SHORT],
}

const FREE: Slot = Slot { hash: 0, code: 0, length: 0, start: 0, text: [0; SHORT] };

impl Slot {
    #[inline]
    fn text<'a>(&'a self, texts: &'a [u8]) -> &'a [u8] {
        let length = self.length as usize;
        if length <= SHORT { &self.text[..length] } else { &texts[self.start as usize..][..length] }
    }
}

impl Dictionary {
    pub(super) fn new() -> Self {
        let hasher = DefaultHashBuilder::default();
        Self { hasher, slots: vec![FREE; 64], taken: 0, texts: Vec::new(), codes: 0 }
    }

    /// The code of a text, if it is known.
    #[inline]
    pub(super) fn find(&self, text: &[u8]) -> Option<u32> {
        let slot = &self.slots[self.position(text)];
        (slot.hash != 0).then_some(slot.code)
    }

    /// The slot of a text, or the free one where it belongs.
    #[inline]
    fn position(&self, text: &[u8]) -> usize {
        let hash = self.hasher.hash_one(text);
        let mark = hash as u32 | 1;
        let last = self.slots.len() - 1;
        let mut at = (hash >> 32) as usize & last;
        loop {
            let slot = &self.slots[at];
            if slot.hash == 0 || slot.hash == mark && slot.text(&self.texts) == text {
                return at;
            }
            at = (at + 1) & last;
        }
    }

    /// Gives the next code to a text that is not known.
    pub(super) fn add(&mut self, text: &[u8]) -> u32 {
        let code = self.add_nameless();
        if self.texts.len() > 2 * MAX_TEXTS {
            return code;
        }
        let mut slot = Slot { code, length: text.len() as u32, start: self.texts.len() as u32, ..FREE };
        slot.hash = self.hasher.hash_one(text) as u32 | 1;
        match slot.text.get_mut(..text.len()) {
            Some(short) => short.copy_from_slice(text),
            None => self.texts.extend_from_slice(text),
        }
        self.put(text, slot);
        code
    }

    fn put(&mut self, text: &[u8], slot: Slot) {
        if 2 * self.taken >= self.slots.len() {
            self.grow();
        }
        let at = self.position(text);
        self.taken += usize::from(self.slots[at].hash == 0);
        self.slots[at] = slot;
    }

    fn grow(&mut self) {
        let free = vec![FREE; 2 * self.slots.len()];
        for slot in std::mem::replace(&mut self.slots, free) {
            if slot.hash != 0 {
                let at = self.position(slot.text(&self.texts));
                self.slots[at] = slot;
            }
        }
    }

    /// The next code, for what has no text.
    pub(super) fn add_nameless(&mut self) -> u32 {
        self.codes += 1;
        self.codes - 1
    }

    /// Whether it is time to forget.
    pub(super) fn is_full(&self) -> bool {
        self.codes > MAX_CODES || self.texts.len() > MAX_TEXTS
    }

    /// Forgets all texts and codes.
    pub(super) fn clear(&mut self) {
        self.slots.fill(FREE);
        self.texts.clear();
        self.taken = 0;
        self.codes = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_and_long_texts_keep_their_codes() {
        let mut dictionary = Dictionary::new();
        let text = |number: u32| format!("{number}{}", "x".repeat(number as usize % 60)).into_bytes();
        for round in 0..2 {
            for number in 0..5000 {
                assert_eq!(dictionary.find(&text(number)), None);
                assert_eq!(dictionary.add(&text(number)), number);
            }
            assert_eq!(dictionary.add_nameless(), 5000, "round {round}");
            assert!((0..5000).all(|number| dictionary.find(&text(number)) == Some(number)));
            dictionary.clear();
        }
    }

    #[test]
    fn it_is_full_at_some_point() {
        let mut dictionary = Dictionary::new();
        while !dictionary.is_full() {
            dictionary.add_nameless();
        }
        assert!(dictionary.codes > MAX_CODES);
    }
}
