//! One small state per key.

use hashbrown::HashMap;

use super::keys::Key;

/// Up to this many slots a plain table is taken whatever the number of rows.
const ALWAYS_DENSE: usize = 1 << 20;

/// The states of all keys: a table with a place for every possible key where that is small enough, a hash map of the
/// keys that occur otherwise. A state begins as `S::default()`, whose bytes are zero: fresh pages need no writing.
#[derive(Debug)]
pub struct States<S> {
    units: usize,
    slots: Vec<S>,
    sparse: HashMap<Key, S>,
    is_dense: bool,
}

impl<S> Default for States<S> {
    fn default() -> Self {
        Self { units: 0, slots: Vec::new(), sparse: HashMap::new(), is_dense: true }
    }
}

impl<S: Copy + Default> States<S> {
    /// Makes room for this many payers and units, met in this many rows so far.
    pub fn make_room(&mut self, (payers, units): (usize, usize), rows: u64) {
        if !self.is_dense {
            return;
        }
        // Later batches bring new units: the table is laid out anew only when their number doubles.
        let wide = match self.units {
            0 => units,
            known if units > known => units.next_power_of_two(),
            known => known,
        };
        let limit = ALWAYS_DENSE.max(usize::try_from(rows).unwrap_or(usize::MAX));
        match payers.checked_mul(wide) {
            Some(size) if size <= limit => {
                if wide != self.units {
                    let old = std::mem::replace(&mut self.slots, vec![S::default(); size]);
                    for (to, from) in self.slots.chunks_exact_mut(wide.max(1)).zip(old.chunks_exact(self.units.max(1)))
                    {
                        to[..from.len()].copy_from_slice(from);
                    }
                    self.units = wide;
                } else if size > self.slots.len() {
                    self.slots.resize(size, S::default());
                }
            }
            _ => {
                self.is_dense = false;
                let units = self.units.max(1);
                for (place, &state) in self.slots.iter().enumerate() {
                    let key = Key { payer: (place / units) as u32, unit: (place % units) as u32 };
                    self.sparse.insert(key, state);
                }
                self.slots = Vec::new();
            }
        }
    }

    /// The state of a key.
    #[inline(always)]
    #[expect(clippy::inline_always, reason = "a call for each row costs as much as the look-up")]
    pub fn of(&mut self, key: Key) -> &mut S {
        let place = key.payer as usize * self.units + key.unit as usize;
        // Twice, since the borrow of a returned slot would last to the end of the function.
        if place < self.slots.len() { &mut self.slots[place] } else { self.beyond(key, place) }
    }

    /// The state of a key without a place in the table: all are in the map, or payers of one server get their codes on
    /// the way.
    #[cold]
    fn beyond(&mut self, key: Key, place: usize) -> &mut S {
        if self.is_dense {
            self.slots.resize((place + 1).next_power_of_two(), S::default());
            &mut self.slots[place]
        } else {
            self.sparse.entry(key).or_default()
        }
    }

    /// All keys that may have a state other than the first, with it.
    pub fn iter(&self) -> impl Iterator<Item = (Key, S)> + '_ {
        let units = self.units.max(1);
        let dense =
            self.slots.iter().enumerate().map(move |(place, &state)| {
                (Key { payer: (place / units) as u32, unit: (place % units) as u32 }, state)
            });
        dense.chain(self.sparse.iter().map(|(&key, &state)| (key, state)))
    }
}
