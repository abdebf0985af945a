//! One small state per key.

use bytemuck::Pod;
use hashbrown::HashMap;

use super::keys::Key;
use crate::column::Column;
use crate::error::Result;

/// Up to this many slots a plain table is taken whatever the number of rows.
const ALWAYS_DENSE: usize = 1 << 20;

/// The states of all keys: a table with a place for every possible key where that is small enough, a hash map of the
/// keys that occur otherwise. A state begins as zeros. The table lies on large pages where the system has them: keys come
/// in any order, and to look up the page of each would cost as much as the state itself.
#[derive(Debug)]
pub struct States<S> {
    units: usize,
    slots: Column<S>,
    sparse: HashMap<Key, S>,
    is_dense: bool,
}

impl<S> Default for States<S> {
    fn default() -> Self {
        Self { units: 0, slots: Column::default(), sparse: HashMap::new(), is_dense: true }
    }
}

impl<S: Pod> States<S> {
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
            Some(size) if size <= limit && self.lay_out(size, wide).is_ok() => {}
            _ => self.scatter(),
        }
    }

    /// A table of this size, with this many units for each payer.
    fn lay_out(&mut self, size: usize, wide: usize) -> Result<()> {
        if wide == self.units && size <= self.slots.len() {
            return Ok(());
        }
        // A stream may bring some new payers with every batch.
        let known = if self.slots.is_empty() { size } else { size.next_multiple_of(wide.max(1) << 12) };
        let mut slots = Column::<S>::zeros(known)?;
        for (to, from) in slots.chunks_exact_mut(wide.max(1)).zip(self.slots.chunks(self.units.max(1))) {
            to[..from.len()].copy_from_slice(from);
        }
        self.slots = slots;
        self.units = wide;
        Ok(())
    }

    /// Puts the states into the map.
    fn scatter(&mut self) {
        self.is_dense = false;
        let units = self.units.max(1);
        for (place, &state) in self.slots.iter().enumerate() {
            let key = Key { payer: (place / units) as u32, unit: (place % units) as u32 };
            self.sparse.insert(key, state);
        }
        self.slots = Column::default();
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
            if self.lay_out((place + 1).next_power_of_two(), self.units).is_ok() {
                return &mut self.slots[place];
            }
            self.scatter();
        }
        self.sparse.entry(key).or_insert_with(S::zeroed)
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
