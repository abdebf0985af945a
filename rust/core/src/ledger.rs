//! The ledger of a contract: charges drawn from its pools in order of time, each entry with the balance before and
//! after it.
//!
//! Pools come in the order in which they are drawn. Those that are open and have tokens stand in a short sorted list,
//! so that a charge looks at its first place and no further, however many pools there are. Amounts are whole numbers
//! of 1/10,000 token; a sum that does not fit is an error.

use std::cmp::min;

use crate::column::Column;
use crate::error::{Error, Result};
use crate::intern::NONE;
use crate::meter::NO_TIME;

/// No amount.
pub const NO_TOKENS: i64 = i64::MIN;
/// The entry is of no charge.
pub const NO_CHARGE: u64 = u64::MAX;

/// What an entry books; the places are those of `tables.LEDGER_KINDS`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// A pool opens with its tokens.
    Provision,
    /// Tokens of a pool for a charge.
    Charge,
    /// What no pool could give.
    Overage,
    /// Nothing was drawn, since the pools had too little.
    Refusal,
    /// Use that the vendor booked by hand.
    ManualConsumption,
    /// A balance that was set right.
    Adjustment,
    /// To another team or from it.
    Move,
    /// What was left goes into another pool.
    CarryOver,
    /// What was left ends with the pool.
    Expiry,
}

/// What becomes of a charge that the pools cannot pay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnEmpty {
    /// They pay what they have, the rest is overage.
    Overage,
    /// It is refused as a whole.
    Refuse,
    /// The call fails.
    Error,
}

/// Tokens that can be drawn from an instant to another, exclusive.
#[derive(Debug, Clone, Copy)]
pub struct Pool {
    /// First instant.
    pub opens: i64,
    /// First instant after the last.
    pub closes: i64,
    /// What it opens with.
    pub tokens: i64,
    /// The pool that takes what is left at the close.
    pub carries_to: Option<u32>,
}

/// What is booked by hand.
#[derive(Debug, Clone, Copy)]
pub struct Booking {
    /// When.
    pub at: i64,
    /// Manual consumption, adjustment or move.
    pub kind: Kind,
    /// What the balance gains; negative where it loses.
    pub change: i64,
    /// The pool; `None`: the one that comes first in the order, and the next where it runs dry.
    pub pool: Option<u32>,
}

/// What there is to draw from, and how.
#[derive(Debug, Clone, Copy)]
pub struct Terms<'a> {
    /// In the order in which they are drawn.
    pub pools: &'a [Pool],
    /// In any order of time; those of one instant that add come first, otherwise they keep their order.
    pub bookings: &'a [Booking],
    /// When the pools cannot pay.
    pub on_empty: OnEmpty,
    /// The last instant of the ledger.
    pub as_of: Option<i64>,
    /// Where `as_of` is not given the ledger goes on until here, or until the last charge.
    pub at_least: i64,
}

/// Charges, column by column.
#[derive(Debug, Clone, Copy)]
pub struct Charges<'a> {
    /// The instant of the charge, [`NO_TIME`] for null.
    pub charged_at: &'a [i64],
    /// In 1/10,000.
    pub tokens: Tokens<'a>,
    /// The product of each row and for each product whether the contract covers it; nothing given, all are covered.
    pub product: Option<(&'a [u32], &'a [bool])>,
}

/// Tokens as they lie in memory; to narrow ten million costs as much memory as to hold when they were charged.
#[derive(Debug, Clone, Copy)]
pub enum Tokens<'a> {
    /// [`NO_TOKENS`] for null.
    Narrow(&'a [i64]),
    /// None is null, and all fit into 64 bits.
    Wide(&'a [i128]),
}

impl Tokens<'_> {
    #[inline]
    fn get(self, row: usize) -> i64 {
        match self {
            Self::Narrow(tokens) => tokens[row],
            Self::Wide(tokens) => tokens[row] as i64,
        }
    }
}

/// Why a charge is not drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// No instant.
    MissingTime,
    /// No tokens.
    NoTokens,
    /// Less than none.
    NegativeTokens,
    /// Before the first pool opens or after the last has closed.
    OutsideTerm,
    /// A product that is not in the contract.
    NotCovered,
}

impl Fault {
    /// The code of the problem.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::MissingTime => "missing_time",
            Self::NoTokens => "no_tokens",
            Self::NegativeTokens => "negative_tokens",
            Self::OutsideTerm => "outside_term",
            Self::NotCovered => "not_covered",
        }
    }
}

/// The entries, in order; the first is number 1.
#[derive(Debug, Default)]
pub struct Entries {
    /// When.
    pub at: Column<i64>,
    /// Of [`Kind`].
    pub kind: Column<u8>,
    /// Place of the pool, [`NONE`] for overage and refusals.
    pub pool: Column<u32>,
    /// What the balance gains; negative where it loses.
    pub tokens: Column<i128>,
    /// Balance of the pool; of the account of overage; for a refusal what all open pools have.
    pub before: Column<i128>,
    /// The same after the entry.
    pub after: Column<i128>,
    /// Row of the charge, [`NO_CHARGE`] for none.
    pub charge: Column<u64>,
    /// Place of the booking, [`NONE`] for none.
    pub booking: Column<u32>,
}

/// What came of it.
#[derive(Debug)]
pub struct Settled {
    /// The entries.
    pub entries: Entries,
    /// Rows that were not drawn, in order.
    pub faults: Vec<(u64, Fault)>,
    /// Bookings that were refused.
    pub refused: Vec<u32>,
    /// The last instant of the ledger.
    pub as_of: i64,
}

/// The ledger of a contract.
///
/// # Errors
/// [`Error::OutOfTokens`] where the pools cannot pay and that is to be an error; [`Error::TooLarge`] beyond 2^32 - 2
/// charges, where a sum does not fit, or where memory ends; [`Error::Invalid`] for pools that make no sense.
pub fn settle(charges: &Charges<'_>, terms: &Terms<'_>) -> Result<Settled> {
    check_pools(terms)?;
    let rows = charges.charged_at.len();
    if rows >= NONE as usize {
        return Err(Error::TooLarge { message: "more than 4 billion charges: do it in parts".to_owned() });
    }
    let Checked { faults, last, is_sorted } = check(charges, terms.pools);
    let as_of = terms.as_of.unwrap_or_else(|| terms.at_least.max(last));
    let steps = Steps::new(terms);
    let mut entries = Entries::zeros(most_entries(rows - faults.len(), terms))?;
    let mut book = Book::new(terms, &steps, entries.pages());
    if is_sorted {
        let mut next = 0;
        for (row, &at) in charges.charged_at.iter().enumerate() {
            if faults.get(next).is_some_and(|&(bad, _)| bad == row as u64) {
                next += 1;
                continue;
            }
            if at > as_of {
                break;
            }
            book.charge(at, charges.tokens.get(row), row as u64)?;
        }
    } else {
        for (at, row) in in_order(charges.charged_at, &faults) {
            if at > as_of {
                break;
            }
            book.charge(at, charges.tokens.get(row as usize), u64::from(row))?;
        }
    }
    book.step_until(as_of)?;
    let (written, refused) = (book.pages.written, book.refused);
    entries.truncate(written);
    Ok(Settled { entries, faults, refused, as_of })
}

fn check_pools(terms: &Terms<'_>) -> Result<()> {
    let invalid = |message: String| Err(Error::Invalid { argument: "contract", message });
    let count = terms.pools.len();
    for (place, pool) in terms.pools.iter().enumerate() {
        if pool.tokens < 0 || pool.closes <= pool.opens {
            return invalid(format!("pool {place} has negative tokens, or closes before it opens"));
        }
        let Some(next) = pool.carries_to else { continue };
        if !terms.pools.get(next as usize).is_some_and(|next| next.opens <= pool.closes && pool.closes < next.closes) {
            return invalid(format!("pool {place} carries its tokens into one that is not open at its close"));
        }
    }
    for (place, booking) in terms.bookings.iter().enumerate() {
        let is_open = |pool: &Pool| pool.opens <= booking.at && booking.at < pool.closes;
        let is_bookable = match booking.pool {
            Some(pool) => terms.pools.get(pool as usize).is_some_and(is_open),
            // What is taken where no pool is open is overage; what is given needs a pool.
            None => booking.change < 0 || terms.pools.iter().any(is_open),
        };
        if !is_bookable {
            return invalid(format!("booking {place} falls on no open pool"));
        }
    }
    if count >= NONE as usize { invalid("too many pools".to_owned()) } else { Ok(()) }
}

struct Checked {
    faults: Vec<(u64, Fault)>,
    /// The last charge that can be drawn.
    last: i64,
    is_sorted: bool,
}

fn check(charges: &Charges<'_>, pools: &[Pool]) -> Checked {
    let opens = pools.iter().map(|pool| pool.opens).min().unwrap_or(i64::MAX);
    let closes = pools.iter().map(|pool| pool.closes).max().unwrap_or(i64::MIN);
    let mut found = Checked { faults: Vec::new(), last: NO_TIME, is_sorted: true };
    let mut previous = NO_TIME;
    for (row, &at) in charges.charged_at.iter().enumerate() {
        let tokens = charges.tokens.get(row);
        let is_covered = charges
            .product
            .is_none_or(|(product, covered)| covered.get(product[row] as usize).copied().unwrap_or(false));
        if tokens >= 0 && opens <= at && at < closes && is_covered {
            found.is_sorted &= previous <= at;
            found.last = found.last.max(at);
            previous = at;
            continue;
        }
        let fault = match (at, tokens) {
            (NO_TIME, _) => Fault::MissingTime,
            (_, NO_TOKENS) => Fault::NoTokens,
            (_, ..0) => Fault::NegativeTokens,
            _ if at < opens || at >= closes => Fault::OutsideTerm,
            _ => Fault::NotCovered,
        };
        found.faults.push((row as u64, fault));
    }
    found
}

/// The rows without faults in order of time, those of one instant as they stand.
fn in_order(charged_at: &[i64], faults: &[(u64, Fault)]) -> Vec<(i64, u32)> {
    let mut bad = faults.iter().map(|&(row, _)| row).peekable();
    let mut rows = Vec::with_capacity(charged_at.len() - faults.len());
    for (row, &at) in charged_at.iter().enumerate() {
        if bad.next_if_eq(&(row as u64)).is_none() {
            rows.push((at, row as u32));
        }
    }
    rows.sort_unstable();
    rows
}

/// No ledger has more entries: each charge has one, each event at most three, and one more each time that a pool that
/// had got tokens runs dry.
fn most_entries(charges: usize, terms: &Terms<'_>) -> usize {
    charges + 5 * terms.pools.len() + 2 * terms.bookings.len()
}

/// What happens at an instant besides charges. In this order where it is one instant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Step {
    Expire,
    CarryOver,
    Open,
    Give,
    Take,
}

/// All that happens, in order, with the place of the pool or of the booking.
struct Steps(Vec<(i64, Step, u32)>);

impl Steps {
    fn new(terms: &Terms<'_>) -> Self {
        let mut steps = Vec::with_capacity(2 * terms.pools.len() + terms.bookings.len());
        for (place, pool) in (0..).zip(terms.pools) {
            steps.push((pool.opens, Step::Open, place));
            let close = if pool.carries_to.is_some() { Step::CarryOver } else { Step::Expire };
            steps.push((pool.closes, close, place));
        }
        for (place, booking) in (0..).zip(terms.bookings) {
            steps.push((booking.at, if booking.change < 0 { Step::Take } else { Step::Give }, place));
        }
        steps.sort_unstable();
        Self(steps)
    }
}

/// Where entries are written.
struct Pages<'a> {
    written: usize,
    at: &'a mut [i64],
    kind: &'a mut [u8],
    pool: &'a mut [u32],
    tokens: &'a mut [i128],
    before: &'a mut [i128],
    after: &'a mut [i128],
    charge: &'a mut [u64],
    booking: &'a mut [u32],
}

impl Entries {
    fn zeros(len: usize) -> Result<Self> {
        Ok(Self {
            at: Column::zeros(len)?,
            kind: Column::zeros(len)?,
            pool: Column::zeros(len)?,
            tokens: Column::zeros(len)?,
            before: Column::zeros(len)?,
            after: Column::zeros(len)?,
            charge: Column::zeros(len)?,
            booking: Column::zeros(len)?,
        })
    }

    fn pages(&mut self) -> Pages<'_> {
        Pages {
            written: 0,
            at: &mut self.at,
            kind: &mut self.kind,
            pool: &mut self.pool,
            tokens: &mut self.tokens,
            before: &mut self.before,
            after: &mut self.after,
            charge: &mut self.charge,
            booking: &mut self.booking,
        }
    }

    fn truncate(&mut self, len: usize) {
        self.at.truncate(len);
        self.kind.truncate(len);
        self.pool.truncate(len);
        self.tokens.truncate(len);
        self.before.truncate(len);
        self.after.truncate(len);
        self.charge.truncate(len);
        self.booking.truncate(len);
    }
}

/// What an entry is of.
#[derive(Debug, Clone, Copy)]
struct Cause {
    at: i64,
    kind: Kind,
    charge: u64,
    booking: u32,
}

impl Cause {
    fn of_pool(at: i64, kind: Kind) -> Self {
        Self { at, kind, charge: NO_CHARGE, booking: NONE }
    }
}

impl Pages<'_> {
    #[inline]
    fn write(&mut self, cause: Cause, pool: u32, before: i64, change: i64) -> Result<()> {
        let after = before.checked_add(change).ok_or_else(too_many)?;
        let place = self.written;
        self.at[place] = cause.at;
        self.kind[place] = cause.kind as u8;
        self.pool[place] = pool;
        self.tokens[place] = i128::from(change);
        self.before[place] = i128::from(before);
        self.after[place] = i128::from(after);
        self.charge[place] = cause.charge;
        self.booking[place] = cause.booking;
        self.written += 1;
        Ok(())
    }
}

fn too_many() -> Error {
    Error::TooLarge { message: "the sum of tokens is more than 922 million million: settle in parts".to_owned() }
}

struct Book<'a> {
    terms: &'a Terms<'a>,
    steps: &'a [(i64, Step, u32)],
    /// The instant of the next step.
    next_at: i64,
    balance: Vec<i64>,
    is_open: Vec<bool>,
    /// Places of the pools that are open, in order.
    open: Vec<u32>,
    /// Of them those that have tokens.
    full: Vec<u32>,
    /// What they have together.
    available: i64,
    /// Zero and below.
    overage: i64,
    refused: Vec<u32>,
    pages: Pages<'a>,
}

impl<'a> Book<'a> {
    fn new(terms: &'a Terms<'a>, steps: &'a Steps, pages: Pages<'a>) -> Self {
        Self {
            terms,
            steps: &steps.0,
            next_at: steps.0.first().map_or(i64::MAX, |&(at, ..)| at),
            balance: vec![0; terms.pools.len()],
            is_open: vec![false; terms.pools.len()],
            open: Vec::new(),
            full: Vec::new(),
            available: 0,
            overage: 0,
            refused: Vec::new(),
            pages,
        }
    }

    #[inline]
    fn charge(&mut self, at: i64, tokens: i64, row: u64) -> Result<()> {
        if at >= self.next_at {
            self.step_until(at)?;
        }
        let cause = Cause { at, kind: Kind::Charge, charge: row, booking: NONE };
        if let Some(&first) = self.full.first() {
            let balance = &mut self.balance[first as usize];
            if tokens < *balance {
                self.pages.write(cause, first, *balance, -tokens)?;
                *balance -= tokens;
                self.available -= tokens;
                return Ok(());
            }
        }
        self.pay(cause, tokens, None)
    }

    /// Everything up to an instant, and at it.
    #[cold]
    fn step_until(&mut self, until: i64) -> Result<()> {
        while let Some((&(at, step, place), later)) = self.steps.split_first()
            && at <= until
        {
            self.steps = later;
            match step {
                Step::Open => self.open(at, place)?,
                Step::Expire | Step::CarryOver => self.close(at, place)?,
                Step::Give => self.give(place)?,
                Step::Take => self.take(place)?,
            }
        }
        self.next_at = self.steps.first().map_or(i64::MAX, |&(at, ..)| at);
        Ok(())
    }

    fn open(&mut self, at: i64, pool: u32) -> Result<()> {
        let (place, tokens) = (pool as usize, self.terms.pools[pool as usize].tokens);
        self.pages.write(Cause::of_pool(at, Kind::Provision), pool, self.balance[place], tokens)?;
        self.balance[place] += tokens;
        self.is_open[place] = true;
        self.available = self.available.checked_add(self.balance[place]).ok_or_else(too_many)?;
        insert(&mut self.open, pool);
        if self.balance[place] > 0 {
            insert(&mut self.full, pool);
        }
        Ok(())
    }

    fn close(&mut self, at: i64, pool: u32) -> Result<()> {
        let left = self.balance[pool as usize];
        self.available -= left;
        self.is_open[pool as usize] = false;
        remove(&mut self.open, pool);
        remove(&mut self.full, pool);
        if left == 0 {
            return Ok(());
        }
        self.balance[pool as usize] = 0;
        let Some(next) = self.terms.pools[pool as usize].carries_to else {
            return self.pages.write(Cause::of_pool(at, Kind::Expiry), pool, left, -left);
        };
        let cause = Cause::of_pool(at, Kind::CarryOver);
        self.pages.write(cause, pool, left, -left)?;
        self.pages.write(cause, next, self.balance[next as usize], left)?;
        self.change(next, left)
    }

    /// Changes a balance; no entry is written. It must not fall below zero.
    fn change(&mut self, pool: u32, change: i64) -> Result<()> {
        let balance = &mut self.balance[pool as usize];
        *balance = balance.checked_add(change).ok_or_else(too_many)?;
        let is_full = *balance > 0;
        if self.is_open[pool as usize] {
            self.available = self.available.checked_add(change).ok_or_else(too_many)?;
            if is_full {
                insert(&mut self.full, pool);
            } else {
                remove(&mut self.full, pool);
            }
        }
        Ok(())
    }

    fn give(&mut self, place: u32) -> Result<()> {
        let Booking { at, kind, change, pool } = self.terms.bookings[place as usize];
        let Some(pool) = pool.or_else(|| self.open.first().copied()) else { return Ok(()) };
        let cause = Cause { at, kind, charge: NO_CHARGE, booking: place };
        self.pages.write(cause, pool, self.balance[pool as usize], change)?;
        self.change(pool, change)
    }

    fn take(&mut self, place: u32) -> Result<()> {
        let Booking { at, kind, change, pool } = self.terms.bookings[place as usize];
        let tokens = change.checked_neg().ok_or_else(too_many)?;
        let cause = Cause { at, kind, charge: NO_CHARGE, booking: place };
        if kind != Kind::ManualConsumption && self.within_reach(pool) < tokens {
            // What is not there can be used, but not given away.
            return self.refuse(cause);
        }
        self.pay(cause, tokens, pool)
    }

    fn within_reach(&self, pool: Option<u32>) -> i64 {
        pool.map_or(self.available, |pool| self.balance[pool as usize])
    }

    /// Takes tokens from a pool, or from all in order; what they lack is a matter of `on_empty`.
    #[cold]
    fn pay(&mut self, cause: Cause, tokens: i64, pool: Option<u32>) -> Result<()> {
        let within_reach = self.within_reach(pool);
        if within_reach < tokens {
            match self.terms.on_empty {
                OnEmpty::Overage => {}
                OnEmpty::Refuse => return self.refuse(cause),
                OnEmpty::Error => {
                    let place = if cause.charge == NO_CHARGE { u64::from(cause.booking) } else { cause.charge };
                    let is_booking = cause.charge == NO_CHARGE;
                    return Err(Error::OutOfTokens { place, is_booking, tokens, within_reach });
                }
            }
        }
        let mut rest = tokens;
        while let Some(from) = pool.or_else(|| self.full.first().copied()) {
            let balance = self.balance[from as usize];
            let part = min(rest, balance);
            if part > 0 {
                self.pages.write(cause, from, balance, -part)?;
                self.change(from, -part)?;
                rest -= part;
            }
            if rest == 0 || pool.is_some() {
                break;
            }
        }
        if tokens == 0 {
            return self.pay_nothing(cause, pool);
        }
        if rest > 0 { self.overdraw(cause, rest) } else { Ok(()) }
    }

    /// A price of nothing is booked as well, on the pool that would have paid.
    fn pay_nothing(&mut self, cause: Cause, pool: Option<u32>) -> Result<()> {
        let first = pool.or_else(|| self.full.first().copied()).or_else(|| self.open.first().copied());
        match first {
            Some(pool) => self.pages.write(cause, pool, self.balance[pool as usize], 0),
            None => self.overdraw(cause, 0),
        }
    }

    fn overdraw(&mut self, cause: Cause, tokens: i64) -> Result<()> {
        self.pages.write(Cause { kind: Kind::Overage, ..cause }, NONE, self.overage, -tokens)?;
        self.overage -= tokens;
        Ok(())
    }

    fn refuse(&mut self, cause: Cause) -> Result<()> {
        if cause.booking != NONE {
            self.refused.push(cause.booking);
        }
        self.pages.write(Cause { kind: Kind::Refusal, ..cause }, NONE, self.available, 0)
    }
}

fn insert(places: &mut Vec<u32>, place: u32) {
    if let Err(at) = places.binary_search(&place) {
        places.insert(at, place);
    }
}

fn remove(places: &mut Vec<u32>, place: u32) {
    if let Ok(at) = places.binary_search(&place) {
        places.remove(at);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pool(opens: i64, closes: i64, tokens: i64) -> Pool {
        Pool { opens, closes, tokens, carries_to: None }
    }

    fn settled(charges: &[(i64, i64)], pools: &[Pool], bookings: &[Booking], on_empty: OnEmpty) -> Result<Settled> {
        let charged_at: Vec<i64> = charges.iter().map(|&(at, _)| at).collect();
        let tokens: Vec<i64> = charges.iter().map(|&(_, tokens)| tokens).collect();
        let charges = Charges { charged_at: &charged_at, tokens: Tokens::Narrow(&tokens), product: None };
        settle(&charges, &Terms { pools, bookings, on_empty, as_of: None, at_least: 0 })
    }

    /// Instant, kind, pool, change and balance after it.
    fn told(settled: &Settled) -> Vec<(i64, u8, u32, i64, i64)> {
        let entries = &settled.entries;
        let row = |row: usize| {
            let (tokens, after) = (entries.tokens[row] as i64, entries.after[row] as i64);
            assert_eq!(entries.before[row] + entries.tokens[row], entries.after[row]);
            (entries.at[row], entries.kind[row], entries.pool[row], tokens, after)
        };
        (0..entries.at.len()).map(row).collect()
    }

    #[test]
    fn a_charge_is_divided_where_a_pool_runs_dry() {
        let pools = [pool(0, 100, 5), pool(0, 100, 10)];
        let found = settled(&[(1, 3), (2, 4), (3, 20)], &pools, &[], OnEmpty::Overage).unwrap();
        let (provision, charge, overage) = (Kind::Provision as u8, Kind::Charge as u8, Kind::Overage as u8);
        assert_eq!(
            told(&found),
            [
                (0, provision, 0, 5, 5),
                (0, provision, 1, 10, 10),
                (1, charge, 0, -3, 2),
                (2, charge, 0, -2, 0),
                (2, charge, 1, -2, 8),
                (3, charge, 1, -8, 0),
                (3, overage, NONE, -12, -12),
            ]
        );
    }

    #[test]
    fn the_instant_of_the_change_belongs_to_the_next_pool() {
        let pools = [Pool { carries_to: Some(1), ..pool(0, 10, 5) }, pool(10, 20, 7)];
        let found = settled(&[(9, 1), (10, 2), (20, 1)], &pools, &[], OnEmpty::Overage).unwrap();
        assert_eq!(found.faults, [(2, Fault::OutsideTerm)]);
        let (provision, charge, carried) = (Kind::Provision as u8, Kind::Charge as u8, Kind::CarryOver as u8);
        assert_eq!(
            told(&found),
            [
                (0, provision, 0, 5, 5),
                (9, charge, 0, -1, 4),
                (10, carried, 0, -4, 0),
                (10, carried, 1, 4, 4),
                (10, provision, 1, 7, 11),
                (10, charge, 1, -2, 9),
            ]
        );
    }

    #[test]
    fn what_cannot_be_paid_is_refused_or_an_error() {
        let pools = [pool(0, 10, 5)];
        let charges = [(1, 6), (2, 5)];
        let found = settled(&charges, &pools, &[], OnEmpty::Refuse).unwrap();
        assert_eq!(told(&found)[1..], [(1, Kind::Refusal as u8, NONE, 0, 5), (2, Kind::Charge as u8, 0, -5, 0)]);
        let error = settled(&charges, &pools, &[], OnEmpty::Error).unwrap_err();
        assert!(matches!(error, Error::OutOfTokens { place: 0, is_booking: false, tokens: 6, within_reach: 5 }));
    }

    #[test]
    fn wide_tokens_are_drawn_like_narrow_ones() {
        let pools = [pool(0, 100, 5), pool(0, 100, 10)];
        let terms = Terms { pools: &pools, bookings: &[], on_empty: OnEmpty::Overage, as_of: None, at_least: 0 };
        let (charged_at, narrow, wide) = ([3, 1, 2], [20, 3, -4], [20, 3, -4]);
        let draw = |tokens| settle(&Charges { charged_at: &charged_at, tokens, product: None }, &terms).unwrap();
        let (narrow, wide) = (draw(Tokens::Narrow(&narrow)), draw(Tokens::Wide(&wide)));
        assert_eq!(told(&narrow), told(&wide));
        assert_eq!(narrow.faults, [(2, Fault::NegativeTokens)]);
        assert_eq!(narrow.faults, wide.faults);
    }

    #[test]
    fn sums_that_do_not_fit_are_errors() {
        let pools = [pool(0, 10, i64::MAX), pool(0, 10, 1)];
        assert!(matches!(settled(&[], &pools, &[], OnEmpty::Overage), Err(Error::TooLarge { .. })));
        let charges = [(1, i64::MAX), (2, i64::MAX), (3, 3)];
        assert!(matches!(settled(&charges, &[pool(0, 10, 0)], &[], OnEmpty::Overage), Err(Error::TooLarge { .. })));
    }

    #[test]
    fn pools_that_make_no_sense_are_refused() {
        for wrong in [pool(0, 0, 1), pool(0, 10, -1), Pool { carries_to: Some(0), ..pool(0, 10, 1) }] {
            assert!(matches!(settled(&[], &[wrong], &[], OnEmpty::Overage), Err(Error::Invalid { .. })));
        }
        let late = Booking { at: 10, kind: Kind::Adjustment, change: 1, pool: Some(0) };
        for booking in [late, Booking { pool: None, ..late }] {
            assert!(matches!(
                settled(&[], &[pool(0, 10, 1)], &[booking], OnEmpty::Overage),
                Err(Error::Invalid { .. })
            ));
        }
    }
}
