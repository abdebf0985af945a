//! The metering itself: which sessions are charged, and at which instants.
//!
//! Sessions come in order of their start. When a session is met, its end is known, so every window end that falls
//! inside its use can be settled at once: no other session could be charged there earlier, and whichever session is in
//! use at a window's end, the charge falls on that same instant. The charge is laid to the first session in order that
//! is in use there. So the state of a key is no more than the end of its last window, or the dates it has paid.

use super::check::Order;
use super::state::States;
use super::{Rule, Sessions, Window};
use crate::column::Column;
use crate::error::{Error, Result};
use crate::time::day::Days;

/// The charges, not yet in one order: launches in order of time, renewals as they were met.
#[derive(Debug, Default)]
pub struct Settled {
    /// Rows charged at their own start, in order of start.
    pub launches: Column<u32>,
    count: usize,
    /// Instants at which a window was renewed, and the row in use there.
    pub renewals: Vec<(i64, u32)>,
}

impl Settled {
    /// Room for the launches of this many rows.
    fn reserve(rows: usize) -> Result<Self> {
        Ok(Self { launches: Column::zeros(rows)?, count: 0, renewals: Vec::new() })
    }

    #[inline]
    fn launch(&mut self, row: u32) {
        self.launches[self.count] = row;
        self.count += 1;
    }

    fn finish(mut self) -> Self {
        self.launches.truncate(self.count);
        self
    }

    #[inline]
    fn renew(&mut self, at: i64, row: u32) -> Result<()> {
        if self.renewals.len() == self.renewals.capacity() {
            self.renewals.try_reserve(1).map_err(|_| too_large())?;
        }
        self.renewals.push((at, row));
        Ok(())
    }
}

fn too_large() -> Error {
    Error::TooLarge { message: "not enough memory for the charges: charge the sessions in parts".to_owned() }
}

/// Runs the rule over the rows in the given order.
///
/// # Errors
/// [`Error::TooLarge`] when the charges do not fit into memory.
pub fn settle(sessions: &Sessions<'_>, order: &Order, rule: &Rule<'_>) -> Result<Settled> {
    match order {
        Order::AsIs => settle_rows(sessions, 0..sessions.len() as u32, rule),
        Order::Rows(rows) => settle_rows(sessions, rows.iter().copied(), rule),
    }
}

fn settle_rows(sessions: &Sessions<'_>, rows: impl ExactSizeIterator<Item = u32>, rule: &Rule<'_>) -> Result<Settled> {
    match rule.window {
        Window::Rolling { length } => {
            let states = States::new(sessions.users, sessions.products, rows.len());
            settle_rolling(sessions, rows, length, rule.min_duration, states)
        }
        Window::Day { zones, zone_of_server } => {
            let states = States::new(sessions.users, sessions.products, rows.len());
            settle_days(sessions, rows, zones, zone_of_server, rule.min_duration, states)
        }
    }
}

fn settle_rolling(
    sessions: &Sessions<'_>,
    rows: impl ExactSizeIterator<Item = u32>,
    length: i64,
    min_duration: i64,
    mut states: States<i64>,
) -> Result<Settled> {
    let mut settled = Settled::reserve(rows.len())?;
    for row in rows {
        let at = row as usize;
        let (start, end) = (sessions.start[at], sessions.end[at]);
        if end - start < min_duration {
            continue;
        }
        let window_end = states.of(sessions.user[at], sessions.product[at]);
        if start >= *window_end {
            settled.launch(row);
            *window_end = start + length;
        }
        while end > *window_end {
            settled.renew(*window_end, row)?;
            *window_end += length;
        }
    }
    Ok(settled.finish())
}

fn settle_days(
    sessions: &Sessions<'_>,
    rows: impl ExactSizeIterator<Item = u32>,
    zones: &[Days],
    zone_of_server: Option<&[Option<u32>]>,
    min_duration: i64,
    mut states: States<PaidDates>,
) -> Result<Settled> {
    let mut settled = Settled::reserve(rows.len())?;
    for row in rows {
        let at = row as usize;
        let (start, end) = (sessions.start[at], sessions.end[at]);
        if end - start < min_duration {
            continue;
        }
        let days = &zones[zone_of_row(sessions, zone_of_server, at)];
        let paid = states.of(sessions.user[at], sessions.product[at]);
        let mut stretch = days.stretch_at(start);
        if paid.pay(days.date(stretch)) {
            settled.launch(row);
        }
        stretch += 1;
        while stretch < days.len() && days.start(stretch) < end {
            if paid.pay(days.date(stretch)) {
                settled.renew(days.start(stretch), row)?;
            }
            stretch += 1;
        }
    }
    Ok(settled.finish())
}

/// Which of the rule's zones a row lies in. The rows were checked: a row without a zone does not come this far.
#[inline]
pub(super) fn zone_of_row(sessions: &Sessions<'_>, zone_of_server: Option<&[Option<u32>]>, row: usize) -> usize {
    match (zone_of_server, &sessions.server) {
        (Some(zones), Some(servers)) => zones[servers[row] as usize].map_or(0, |zone| zone as usize),
        _ => 0,
    }
}

/// The local dates that a key has paid.
///
/// With servers in several zones the dates of sessions in order of time go back by up to two days, and a long session
/// pays dates far ahead. So the state is the last unbroken run of paid dates and a bit for each of the 32 before it.
#[derive(Debug, Clone, Copy)]
struct PaidDates {
    first: i32,
    last: i32,
    before: u32,
}

impl Default for PaidDates {
    /// Zero bytes say that 1970-01-01 is paid, a date that [`PaidDates::pay`] never asks for.
    fn default() -> Self {
        Self { first: 0, last: 0, before: 0 }
    }
}

impl PaidDates {
    /// Marks a date as paid; says whether it was not paid before.
    #[inline]
    fn pay(&mut self, date: i32) -> bool {
        // The earliest date of valid data is 1969-12-31: this keeps clear of the zero state.
        let date = date + 40;
        if date == self.last {
            return false;
        }
        self.pay_other(date)
    }

    fn pay_other(&mut self, date: i32) -> bool {
        if date > self.last {
            let gap = (date - self.last - 1) as u32;
            if gap > 0 {
                let run = (self.last - self.first + 1) as u32;
                let before = shift(self.before, run) | !u32::MAX.checked_shl(run).unwrap_or(0);
                self.before = shift(before, gap);
                self.first = date;
            }
            self.last = date;
            return true;
        }
        if date >= self.first {
            return false;
        }
        let bit = 1_u32.checked_shl((self.first - date - 1) as u32).unwrap_or(0);
        let is_new = self.before & bit == 0;
        self.before |= bit;
        while self.before & 1 == 1 {
            self.first -= 1;
            self.before >>= 1;
        }
        is_new
    }
}

fn shift(bits: u32, by: u32) -> u32 {
    bits.checked_shl(by).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_paid_once_in_any_order_that_time_allows() {
        // Every walk that goes back by at most two days, with runs ahead, against a plain set.
        let mut seed = 7_u64;
        for _ in 0..2_000 {
            let mut paid = PaidDates::default();
            let mut plain = std::collections::HashSet::new();
            let mut now = 20_000;
            for _ in 0..40 {
                seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                now += ((seed >> 33) % 5) as i32 / 2 * ((seed >> 40) % 9) as i32;
                let from = now - ((seed >> 45) % 3) as i32;
                for date in from..=from + ((seed >> 50) % 60 / 10) as i32 * 7 {
                    assert_eq!(paid.pay(date), plain.insert(date), "date {date} in {paid:?}");
                }
            }
        }
    }

    #[test]
    fn the_first_dates_of_time_are_not_paid_yet() {
        for date in -2..3 {
            assert!(PaidDates::default().pay(date));
        }
    }
}
