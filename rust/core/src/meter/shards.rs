//! The keys of a plain rule divided among threads: each shard has the payers that fall to it, and sees no others.
//!
//! Keys do not touch one another, so the number of shards changes nothing but the time.

use std::thread;

use super::charges::Settled;
use super::keys::{Key, Keys};
use super::{Context, Sessions};
use crate::column::Column;
use crate::error::Result;

/// Below this many rows a second thread costs more than it gains.
const THREADS_FROM: usize = 200_000;

/// How many rows are looked through for a shard's own at a time.
const BLOCK: usize = 1024;

/// Where the key of a row comes from.
pub(super) enum KeysOf<'a> {
    /// User and product, as they stand.
    Plain(&'a Sessions<'a>),
    /// User and product or its family.
    Families(&'a Sessions<'a>, Vec<u32>),
    /// Worked out before.
    Listed(Vec<Key>),
}

impl<'a> KeysOf<'a> {
    pub fn new(context: &Context<'a>, keys: &mut Keys) -> Self {
        if Keys::is_plain(context.rule) {
            return Self::Plain(context.sessions);
        }
        if !context.rule.per_server && context.rule.by_host.is_empty() {
            let units = (0..context.sessions.products as u32).map(|product| context.rule.unit_of(product));
            return Self::Families(context.sessions, units.collect());
        }
        let key = |row: usize| keys.of(context.sessions, context.rule, row);
        Self::Listed((0..context.sessions.len()).map(key).collect())
    }

    #[inline]
    pub fn of(&self, row: usize) -> Key {
        match self {
            Self::Plain(sessions) => Key { payer: sessions.user[row], unit: sessions.product[row] },
            Self::Families(sessions, units) => {
                Key { payer: sessions.user[row], unit: units[sessions.product[row] as usize] }
            }
            Self::Listed(keys) => keys[row],
        }
    }
}

/// One of several shards.
#[derive(Debug, Clone, Copy)]
pub(super) struct Shard {
    pub number: usize,
    pub of: usize,
}

impl Shard {
    /// Whether a payer falls to this shard.
    #[inline]
    pub fn has(self, payer: u32) -> bool {
        let spread = u64::from(payer.wrapping_mul(0x9E37_79B1));
        (spread * self.of as u64) >> 32 == self.number as u64
    }
}

/// The places of the sessions that fall to a shard.
pub(super) struct Own<'a> {
    keys: &'a KeysOf<'a>,
    shard: Shard,
    rows: usize,
    next_place: usize,
    found: [u32; BLOCK],
    at: usize,
    count: usize,
}

impl<'a> Own<'a> {
    pub fn new(rows: usize, keys: &'a KeysOf<'a>, shard: Shard) -> Self {
        Self { keys, shard, rows, next_place: 0, found: [0; BLOCK], at: 0, count: 0 }
    }

    /// Looks through the next block. Whose a row is cannot be foreseen, so there is no branch on it.
    fn fill(&mut self) {
        self.at = 0;
        self.count = 0;
        while self.count == 0 && self.next_place < self.rows {
            let to = self.rows.min(self.next_place + BLOCK);
            for place in self.next_place..to {
                self.found[self.count] = place as u32;
                self.count += usize::from(self.shard.of == 1 || self.shard.has(self.keys.of(place).payer));
            }
            self.next_place = to;
        }
    }
}

impl Iterator for Own<'_> {
    type Item = u32;

    #[inline]
    fn next(&mut self) -> Option<u32> {
        if self.at == self.count {
            self.fill();
        }
        let found = (self.at < self.count).then(|| self.found[self.at]);
        self.at += 1;
        found
    }
}

/// Which places were charged at their own start.
pub(super) struct Launches {
    bits: Vec<u64>,
}

impl Launches {
    pub fn new(rows: usize) -> Self {
        Self { bits: vec![0; rows.div_ceil(64)] }
    }

    /// Notes a place; without a branch on whether it launched.
    #[inline]
    pub fn note(&mut self, place: u32, is_launch: bool) {
        self.bits[place as usize / 64] |= u64::from(is_launch) << (place % 64);
    }
}

/// What one shard settled.
pub(super) struct Part {
    pub launches: Launches,
    pub settled: Settled,
}

/// Runs all shards, side by side where there is enough to do, and puts together what they settled.
pub(super) fn run<S: Send>(
    shards: &mut [S],
    rows: usize,
    settle: impl Fn(Shard, &mut S) -> Result<Part> + Sync,
) -> Result<Settled> {
    let of = shards.len();
    let settle = &settle;
    let parts: Vec<Result<Part>> = if of == 1 || rows < THREADS_FROM {
        shards.iter_mut().enumerate().map(|(number, shard)| settle(Shard { number, of }, shard)).collect()
    } else {
        thread::scope(|scope| {
            let spawn = |(number, shard)| scope.spawn(move || settle(Shard { number, of }, shard));
            let running: Vec<_> = shards.iter_mut().enumerate().map(spawn).collect();
            let joined = running
                .into_iter()
                .map(|thread| thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
            joined.collect()
        })
    };
    let mut parts = parts.into_iter();
    let Some(first) = parts.next() else { return Ok(Settled::default()) };
    let Part { mut launches, mut settled } = first?;
    for part in parts {
        let part = part?;
        launches.bits.iter_mut().zip(&part.launches.bits).for_each(|(all, one)| *all |= one);
        settled.renewals.extend_from_slice(&part.settled.renewals);
        settled.carried.extend_from_slice(&part.settled.carried);
    }
    settled.launches = places_of(&launches)?;
    Ok(settled)
}

fn places_of(launches: &Launches) -> Result<Column<u32>> {
    let count = launches.bits.iter().map(|word| word.count_ones() as usize).sum();
    let mut column = Column::<u32>::zeros(count)?;
    let mut places = column.iter_mut();
    for (number, &word) in launches.bits.iter().enumerate() {
        let mut left = word;
        while left != 0 {
            if let Some(place) = places.next() {
                *place = number as u32 * 64 + left.trailing_zeros();
            }
            left &= left - 1;
        }
    }
    Ok(column)
}
