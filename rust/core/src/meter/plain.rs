//! The metering of plain rules: no families, no idle time. Column by column, with the smallest state there is.
//!
//! Sessions come in order of their start.
//!
//! Under a rolling rule the state of a key is the end of its last window. When a session is met, its end is known, so
//! every window end that falls inside its use is settled at once: no other session could be charged there earlier, and
//! whichever session is in use at a window's end, the charge falls on that same instant. The charge is laid to the
//! first session in order that is in use there. Only sessions that are still open have to be kept, and those of their
//! keys that outlast a window: which of them a charge is laid to is not known before it is due.
//!
//! Under a day rule that would be wrong: a session running towards its midnight on one server can be overtaken by a
//! launch on a server in another zone, where that date has begun already. So the midnights that sessions cross wait
//! and are settled in order of time between the launches, and the state of a key is the dates that it has paid.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use hashbrown::HashMap;

use super::charges::{Due, Settled, carry, renew};
use super::keys::{Key, calendar_of};
use super::shards::{KeysOf, Launches, Own, Part, Shard};
use super::state::States;
use super::{Context, OPEN, Until, Window};
use crate::error::Result;
use crate::time::day::Days;

/// The state of a rolling rule: the end of the last window of each key, and what is open. One of each for each shard.
#[derive(Debug, Default)]
pub struct Rolling {
    pub(super) window_ends: States<i64>,
    pub(super) open: HashMap<Key, Open>,
    pub(super) open_until: Until,
}

/// What may be in use of a key that has a session without an end.
#[derive(Debug)]
pub(super) struct Open {
    /// The first session of the key that is still open.
    pub due: Due,
    /// Sessions that came later and outlast the last window, in order, with their ends; each outlasts the one before.
    pub closed: Vec<(i64, Due)>,
}

impl Open {
    /// The first session in use at an instant; the open one is until `open_until`.
    fn in_use(&self, at: i64, open_until: Until) -> Option<Due> {
        if at < open_until.0 {
            return Some(self.due);
        }
        self.closed.iter().find(|&&(end, _)| at < end).map(|&(_, due)| due)
    }

    fn wait(&mut self, end: i64, due: Due, window_end: i64) {
        self.closed.retain(|&(end, _)| end > window_end);
        if self.closed.last().is_none_or(|&(last, _)| last < end) {
            self.closed.push((end, due));
        }
    }
}

impl Rolling {
    pub(super) fn settle(&mut self, context: &Context<'_>, keys: &KeysOf<'_>, shard: Shard) -> Result<Part> {
        let Context { sessions, rule, .. } = *context;
        let mut part = Part { launches: Launches::new(sessions.len()), settled: Settled::default() };
        let Part { launches, settled } = &mut part;
        let Window::Rolling { length } = rule.window else { return Ok(part) };
        for place in Own::new(sessions.len(), keys, shard) {
            let at = place as usize;
            let (start, end) = (sessions.start[at], sessions.end[at]);
            if end - start < rule.min_duration {
                continue;
            }
            let key = keys.of(at);
            let window_end = self.window_ends.of(key);
            let mut open = if self.open.is_empty() { None } else { self.open.get_mut(&key) };
            if let Some(open) = open.as_ref().filter(|_| rule.renew) {
                renew_open(open, window_end, (start, self.open_until), length, settled)?;
            }
            // No branch on what the state says: whether a session launches cannot be foreseen, and a wrong guess would
            // be found out only when the state has come from far memory, with nothing done in the meantime.
            let is_launch = start >= *window_end;
            let later = (start + length - *window_end) & -i64::from(is_launch);
            *window_end += later;
            launches.note(place, is_launch);
            if end == OPEN {
                self.open.entry(key).or_insert_with(|| Open { due: Due::at(context, place), closed: Vec::new() });
            } else if end > *window_end && rule.renew {
                if let Some(open) = &mut open {
                    open.wait(end, Due::at(context, place), *window_end);
                } else {
                    let mut ends = renewals(window_end, end, length);
                    ends.try_for_each(|at| renew(&mut settled.renewals, at, place))?;
                }
            }
        }
        self.renew_all_open(context, context.limit.saturating_sub(1), settled)?;
        Ok(part)
    }

    /// Renews what is open up to and at an instant.
    fn renew_all_open(&mut self, context: &Context<'_>, until: i64, settled: &mut Settled) -> Result<()> {
        let Window::Rolling { length } = context.rule.window else { return Ok(()) };
        for (&key, open) in self.open.iter().filter(|_| context.rule.renew) {
            renew_open(open, self.window_ends.of(key), (until, self.open_until), length, settled)?;
        }
        Ok(())
    }

    pub(super) fn finish(&mut self, context: &Context<'_>) -> Result<Settled> {
        let mut settled = Settled::default();
        self.renew_all_open(context, i64::MAX, &mut settled)?;
        Ok(settled)
    }
}

/// Renews the window of a key that has an open session, up to and at an instant, as long as something is in use.
fn renew_open(
    open: &Open,
    window_end: &mut i64,
    (until, open_until): (i64, Until),
    length: i64,
    settled: &mut Settled,
) -> Result<()> {
    while *window_end <= until {
        let Some(due) = open.in_use(*window_end, open_until) else { break };
        carry(&mut settled.carried, due.renewed(*window_end))?;
        *window_end += length;
    }
    Ok(())
}

/// The window ends inside of a use that lasts until `end`, one after another.
fn renewals(window_end: &mut i64, end: i64, length: i64) -> impl Iterator<Item = i64> + '_ {
    std::iter::from_fn(move || {
        let at = *window_end;
        (end > at).then(|| {
            *window_end += length;
            at
        })
    })
}

/// The state of a day rule: the dates that each key has paid, and the midnights that sessions will cross.
#[derive(Debug, Default)]
pub struct Day {
    pub(super) paid: States<PaidDates>,
    pub(super) waiting: BinaryHeap<Reverse<Midnight>>,
    pub(super) open_until: Until,
}

/// A change of date inside of a session, met in time order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Midnight {
    pub at: i64,
    /// The session's place in the order of all, which decides at one instant.
    pub place: u64,
    pub key: Key,
    pub stretch: usize,
    /// The session's end; [`OPEN`] while it is not known.
    pub end: i64,
    pub due: Due,
}

impl Day {
    pub(super) fn settle(&mut self, context: &Context<'_>, keys: &KeysOf<'_>, shard: Shard) -> Result<Part> {
        let Context { sessions, rule, .. } = *context;
        let mut part = Part { launches: Launches::new(sessions.len()), settled: Settled::default() };
        let Part { launches, settled } = &mut part;
        let Window::Day { calendars, .. } = rule.window else { return Ok(part) };
        let mut crossed = Crossed::new();
        for place in Own::new(sessions.len(), keys, shard) {
            let at = place as usize;
            let (start, end) = (sessions.start[at], sessions.end[at]);
            // A session in use at an instant comes before one that starts there.
            while crossed.peek().is_some_and(|&Reverse((midnight, ..))| midnight <= start) {
                self.cross(context, &mut crossed, keys, calendars, settled)?;
            }
            if !self.waiting.is_empty() {
                self.settle_waiting((start, u64::MAX), calendars, settled)?;
            }
            if end - start < rule.min_duration {
                continue;
            }
            let days = &calendars[calendar_of(sessions, rule, at)];
            let stretch = days.stretch_at(start);
            let key = keys.of(at);
            launches.note(place, pay(self.paid.of(key), days.date(stretch)));
            if end == OPEN && rule.renew {
                self.wait(key, stretch + 1, Due::at(context, place), days);
            } else if rule.renew && days.end(stretch) < end {
                crossed.push(Reverse((days.end(stretch), place)));
            }
        }
        while crossed.peek().is_some_and(|&Reverse((midnight, ..))| midnight < context.limit) {
            self.cross(context, &mut crossed, keys, calendars, settled)?;
        }
        for Reverse((at, place)) in crossed {
            let due = Due::at(context, place);
            let (days, key) = (&calendars[due.calendar as usize], keys.of(place as usize));
            let end = sessions.end[place as usize];
            let (place, stretch) = (due.place, days.stretch_at(at));
            self.waiting.push(Reverse(Midnight { at, place, key, stretch, end, due }));
        }
        self.settle_waiting((context.limit.min(OPEN - 1) - 1, u64::MAX), calendars, settled)?;
        Ok(part)
    }

    /// The session of this batch that crosses the next midnight pays its date, and goes on to its next one.
    fn cross(
        &mut self,
        context: &Context<'_>,
        crossed: &mut Crossed,
        keys: &KeysOf<'_>,
        calendars: &[Days],
        settled: &mut Settled,
    ) -> Result<()> {
        let Some(Reverse((midnight, place))) = crossed.pop() else { return Ok(()) };
        self.settle_waiting((midnight, context.first_place + u64::from(place)), calendars, settled)?;
        let days = &calendars[calendar_of(context.sessions, context.rule, place as usize)];
        let stretch = days.stretch_at(midnight);
        if pay(self.paid.of(keys.of(place as usize)), days.date(stretch)) {
            renew(&mut settled.renewals, midnight, place)?;
        }
        if days.end(stretch) < context.sessions.end[place as usize] {
            crossed.push(Reverse((days.end(stretch), place)));
        }
        Ok(())
    }

    fn wait(&mut self, key: Key, stretch: usize, due: Due, days: &Days) {
        // Beyond the table of days nothing is open any more.
        if stretch < days.len() {
            let (at, place) = (days.start(stretch), due.place);
            self.waiting.push(Reverse(Midnight { at, place, key, stretch, end: OPEN, due }));
        }
    }

    /// Settles what sessions of earlier batches, and open ones, cross up to an instant and place.
    fn settle_waiting(&mut self, until: (i64, u64), calendars: &[Days], settled: &mut Settled) -> Result<()> {
        while let Some(&Reverse(next)) = self.waiting.peek().filter(|Reverse(next)| (next.at, next.place) <= until) {
            self.waiting.pop();
            if next.end == OPEN && next.at >= self.open_until.0 {
                continue;
            }
            let days = &calendars[next.due.calendar as usize];
            if pay(self.paid.of(next.key), days.date(next.stretch)) {
                carry(&mut settled.carried, next.due.renewed(next.at))?;
            }
            let stretch = next.stretch + 1;
            if stretch < days.len() && days.start(stretch) < next.end {
                self.waiting.push(Reverse(Midnight { at: days.start(stretch), stretch, ..next }));
            }
        }
        Ok(())
    }

    /// What is open ends; what has ended crosses its midnights whatever comes.
    pub(super) fn finish(&mut self, context: &Context<'_>) -> Result<Settled> {
        let mut settled = Settled::default();
        if let Window::Day { calendars, .. } = context.rule.window {
            self.settle_waiting((i64::MAX, u64::MAX), calendars, &mut settled)?;
        }
        Ok(settled)
    }
}

/// The next change of date inside of each session of a batch that has one: the instant, and the session's place
/// in the order.
type Crossed = BinaryHeap<Reverse<(i64, u32)>>;

/// The local dates that a key has paid: the latest, counted from [`DATE_ZERO`], and a bit for each of the 32 before it.
/// Plain words, as they lie in the table of all keys.
///
/// In order of time the dates of one zone go forward; those of another zone at the same instant lie up to two days off.
pub(super) type PaidDates = [u32; 2];

/// Where the count of dates begins. The state of zeros says that this date is paid; the earliest date of valid data is
/// 1969-12-31, which keeps clear of it.
pub(super) const DATE_ZERO: i32 = -40;

/// Marks a date as paid; says whether it was not paid before.
#[inline]
fn pay(paid: &mut PaidDates, date: i32) -> bool {
    let [latest, before] = paid;
    let date = (date - DATE_ZERO) as u32;
    if date < *latest {
        let bit = 1_u32.checked_shl(*latest - date - 1).unwrap_or(0);
        let is_new = *before & bit == 0;
        *before |= bit;
        return is_new;
    }
    // As above: no branch on whether the date is new.
    let ahead = date - *latest;
    let is_new = ahead > 0;
    let moved = ((u64::from(*before) << 1 | 1) << ahead.min(33) >> 1) as u32;
    *before = if is_new { moved } else { *before };
    *latest = date;
    is_new
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
                assert_eq!(pay(&mut paid, date), plain.insert(date), "date {date} in {paid:?}");
            }
        }
    }

    #[test]
    fn the_first_dates_of_time_are_not_paid_yet() {
        for date in -2..3 {
            assert!(pay(&mut PaidDates::default(), date));
        }
    }
}
