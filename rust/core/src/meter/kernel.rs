//! The metering itself: which sessions are charged, and at which instants.
//!
//! Sessions come in order of their start.
//!
//! Under a rolling rule the state of a key is the end of its last window. When a session is met, its end is known, so
//! every window end that falls inside its use is settled at once: no other session could be charged there earlier, and
//! whichever session is in use at a window's end, the charge falls on that same instant. The charge is laid to the
//! first session in order that is in use there.
//!
//! Under a day rule that would be wrong: a session running towards its midnight on one server can be overtaken by a
//! launch on a server in another zone, where that date has begun already. So the midnights that sessions cross wait
//! and are settled in order of time between the launches, and the state of a key is the dates that it has paid.

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

fn settle_rows(
    sessions: &Sessions<'_>,
    rows: impl ExactSizeIterator<Item = u32> + Clone,
    rule: &Rule<'_>,
) -> Result<Settled> {
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
    rows: impl ExactSizeIterator<Item = u32> + Clone,
    zones: &[Days],
    zone_of_server: Option<&[Option<u32>]>,
    min_duration: i64,
    mut states: States<PaidDates>,
) -> Result<Settled> {
    let mut settled = Settled::reserve(rows.len())?;
    let midnights = midnights_crossed(sessions, rows.clone(), zones, zone_of_server, min_duration)?;
    let mut midnights = midnights.into_iter().peekable();
    let mut pay = |row: u32, instant: i64| {
        let at = row as usize;
        let days = &zones[zone_of_row(sessions, zone_of_server, at)];
        states.of(sessions.user[at], sessions.product[at]).pay(days.date(days.stretch_at(instant)))
    };
    for row in rows {
        let at = row as usize;
        let (start, end) = (sessions.start[at], sessions.end[at]);
        // A session in use at an instant comes before one that starts there.
        while let Some((midnight, _, crossing)) = midnights.next_if(|&(midnight, ..)| midnight <= start) {
            if pay(crossing, midnight) {
                settled.renew(midnight, crossing)?;
            }
        }
        if end - start >= min_duration && pay(row, start) {
            settled.launch(row);
        }
    }
    for (midnight, _, crossing) in midnights {
        if pay(crossing, midnight) {
            settled.renew(midnight, crossing)?;
        }
    }
    Ok(settled.finish())
}

/// The changes of date inside of sessions: the instant, the session's place in the order, and its row; in order.
fn midnights_crossed(
    sessions: &Sessions<'_>,
    rows: impl ExactSizeIterator<Item = u32>,
    zones: &[Days],
    zone_of_server: Option<&[Option<u32>]>,
    min_duration: i64,
) -> Result<Vec<(i64, u32, u32)>> {
    let mut crossed: Vec<(i64, u32, u32)> = Vec::new();
    for (place, row) in rows.enumerate() {
        let at = row as usize;
        let (start, end) = (sessions.start[at], sessions.end[at]);
        if end - start < min_duration {
            continue;
        }
        let days = &zones[zone_of_row(sessions, zone_of_server, at)];
        let mut stretch = days.stretch_at(start) + 1;
        while stretch < days.len() && days.start(stretch) < end {
            crossed.try_reserve(1).map_err(|_| too_large())?;
            crossed.push((days.start(stretch), place as u32, row));
            stretch += 1;
        }
    }
    crossed.sort_unstable();
    Ok(crossed)
}

/// Which of the rule's zones a row lies in. The rows were checked: a row without a zone does not come this far.
#[inline]
pub(super) fn zone_of_row(sessions: &Sessions<'_>, zone_of_server: Option<&[Option<u32>]>, row: usize) -> usize {
    match (zone_of_server, &sessions.server) {
        (Some(zones), Some(servers)) => zones[servers[row] as usize].map_or(0, |zone| zone as usize),
        _ => 0,
    }
}

/// The local dates that a key has paid: the latest, and a bit for each of the 32 before it.
///
/// In order of time the dates of one zone go forward; those of another zone at the same instant lie up to two days off.
#[derive(Debug, Clone, Copy, Default)]
struct PaidDates {
    latest: i32,
    before: u32,
}

impl PaidDates {
    /// Marks a date as paid; says whether it was not paid before.
    #[inline]
    fn pay(&mut self, date: i32) -> bool {
        // The state of zero bytes says that date 0 is paid. The earliest date of valid data is 1969-12-31, so this
        // keeps clear of it.
        let date = date + 40;
        if date > self.latest {
            let ahead = (date - self.latest) as u32;
            self.before = shift(self.before, ahead) | shift(1, ahead - 1);
            self.latest = date;
            return true;
        }
        if date == self.latest {
            return false;
        }
        let bit = shift(1, (self.latest - date - 1) as u32);
        let is_new = self.before & bit == 0;
        self.before |= bit;
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
        // Walks that go forward by any step and back by a few days, against a plain set.
        let mut seed = 7_u64;
        for _ in 0..2_000 {
            let mut paid = PaidDates::default();
            let mut plain = std::collections::HashSet::new();
            let mut now = 20_000;
            for _ in 0..60 {
                seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                now += ((seed >> 33) % 5) as i32 / 2 * ((seed >> 40) % 30) as i32;
                let date = now - ((seed >> 45) % 4) as i32;
                assert_eq!(paid.pay(date), plain.insert(date), "date {date} in {paid:?}");
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
