//! Hours by the clock on the wall of a zone, as stretches of time: business hours, and the hours of the week.

use crate::error::{Error, Result};
use crate::time::zone::Zone;
use crate::time::{DAY, HOUR, MAX_TIME, MIN_TIME};

/// Hours of a week. The first is Monday from 00:00 on.
pub const CELLS: usize = 7 * 24;

/// Days from a Monday to 1970-01-01.
const THURSDAY: i64 = 3;

/// What is looked at: `[since, until)`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Period {
    /// The first instant.
    pub since: i64,
    /// The first instant after it.
    pub until: i64,
    /// Requests count before this instant: a launch at the very end of the data is one, too.
    pub asked_until: i64,
}

impl Period {
    /// A period within the bounds of time in data.
    ///
    /// # Errors
    /// [`Error::Invalid`] where it ends before it begins.
    pub fn new(since: i64, until: i64, asked_until: i64) -> Result<Self> {
        if since > until {
            let message = "the period ends before it begins: give an `until` after `since`".to_owned();
            return Err(Error::Invalid { argument: "until", message });
        }
        let within = |at: i64| at.clamp(MIN_TIME, MAX_TIME);
        Ok(Self { since: within(since), until: within(until), asked_until: within(asked_until) })
    }
}

/// When a site works.
#[derive(Debug, Clone)]
pub struct Business {
    /// Monday first.
    pub days: [bool; 7],
    /// Microseconds after midnight, by the clock on the wall.
    pub from: i64,
    /// Up to a day of 24 hours.
    pub to: i64,
    /// Days since 1970-01-01 that are none, in order.
    pub holidays: Vec<i32>,
}

impl Business {
    fn is_open(&self, day: i64) -> bool {
        let holiday = i32::try_from(day).is_ok_and(|day| self.holidays.binary_search(&day).is_ok());
        self.days[(day + THURSDAY).rem_euclid(7) as usize] && !holiday
    }
}

/// The whole period as one stretch.
#[must_use]
pub fn all(period: Period) -> Vec<(i64, i64)> {
    let all = (period.since, period.asked_until);
    if all.0 < all.1 { vec![all] } else { Vec::new() }
}

/// The stretches of the period in which the clock of the zone shows business hours, in order.
///
/// An hour that the clock skips has no time, one that it shows twice is there twice.
#[must_use]
pub fn open(zone: &Zone, business: &Business, period: Period) -> Vec<(i64, i64)> {
    let mut found: Vec<(i64, i64)> = Vec::new();
    walk(zone, period, DAY, |from, to, offset| {
        let day = (from + offset).div_euclid(DAY);
        let midnight = day * DAY - offset;
        let (from, to) = (from.max(midnight + business.from), to.min(midnight + business.to));
        if from < to && business.is_open(day) {
            match found.last_mut() {
                Some(last) if last.1 == from => last.1 = to,
                _ => found.push((from, to)),
            }
        }
    });
    found
}

/// The hours of the period by the clock of a zone.
#[derive(Debug)]
pub struct Cells {
    /// Where each stretch of one hour begins, and the end of the last.
    pub begins: Vec<i64>,
    /// Which hour of the week each is.
    pub cells: Vec<u8>,
}

impl Cells {
    /// Of a zone.
    #[must_use]
    pub fn new(zone: &Zone, period: Period) -> Self {
        let mut found = Self { begins: Vec::new(), cells: Vec::new() };
        let period = Period { asked_until: period.until, ..period };
        walk(zone, period, HOUR, |from, _, offset| {
            let hour = (from + offset).div_euclid(HOUR);
            found.begins.push(from);
            found.cells.push((hour + THURSDAY * 24).rem_euclid(CELLS as i64) as u8);
        });
        found.begins.push(period.until);
        found
    }

    /// How long the clock shows each hour of the week within the period.
    #[must_use]
    pub fn lengths(&self) -> Vec<i64> {
        let mut lengths = vec![0; CELLS];
        for (&cell, pair) in self.cells.iter().zip(self.begins.windows(2)) {
            lengths[usize::from(cell)] += pair[1] - pair[0];
        }
        lengths
    }
}

/// Visits the stretches of a period that lie between round local times and between changes of the clock, each with its
/// begin, its end and what is to be added for the local time.
fn walk(zone: &Zone, period: Period, round: i64, mut visit: impl FnMut(i64, i64, i64)) {
    let mut at = period.since;
    let mut changes = zone.transitions().iter().copied().skip_while(|&change| change <= period.since).peekable();
    while at < period.asked_until {
        let offset = zone.offset_at(at);
        let next = ((at + offset).div_euclid(round) + 1) * round - offset;
        let next = changes.next_if(|&change| change <= next).unwrap_or(next).min(period.asked_until);
        visit(at, next, offset);
        at = next;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::MINUTE;
    use jiff::Timestamp;

    fn utc(text: &str) -> i64 {
        text.parse::<Timestamp>().unwrap().as_microsecond()
    }

    fn period(since: &str, until: &str) -> Period {
        Period::new(utc(since), utc(until), utc(until)).unwrap()
    }

    #[test]
    fn a_week_has_each_hour_once_and_the_changes_of_the_clock_show() {
        let madrid = Zone::get("Europe/Madrid").unwrap();
        let quiet = Cells::new(&madrid, period("2026-07-12T22:00:00Z", "2026-07-19T22:00:00Z"));
        assert_eq!(quiet.lengths(), vec![HOUR; CELLS]);
        assert_eq!(quiet.cells[0], 0);
        let spring = Cells::new(&madrid, period("2026-03-22T23:00:00Z", "2026-03-29T22:00:00Z")).lengths();
        assert_eq!((spring[6 * 24 + 2], spring[6 * 24 + 3]), (0, HOUR));
        let autumn = Cells::new(&madrid, period("2026-10-18T22:00:00Z", "2026-10-25T23:00:00Z")).lengths();
        assert_eq!((autumn[6 * 24 + 1], autumn[6 * 24 + 2]), (HOUR, 2 * HOUR));
        // Lord Howe sets its clock by half an hour, at two.
        let howe = Zone::get("Australia/Lord_Howe").unwrap();
        let back = Cells::new(&howe, period("2026-03-29T13:00:00Z", "2026-04-05T13:30:00Z")).lengths();
        assert_eq!((back[6 * 24], back[6 * 24 + 1]), (HOUR, HOUR + 30 * MINUTE));
    }

    #[test]
    fn business_hours_follow_the_clock_and_leave_out_holidays() {
        let madrid = Zone::get("Europe/Madrid").unwrap();
        let days = [true, true, true, true, true, false, false];
        let monday = (utc("2026-10-26T00:00:00Z") / DAY) as i32;
        let business = Business { days, from: 8 * HOUR, to: 18 * HOUR, holidays: vec![monday] };
        let found = open(&madrid, &business, period("2026-10-23T10:00:00Z", "2026-10-27T12:00:00Z"));
        let expected =
            [("2026-10-23T10:00:00Z", "2026-10-23T16:00:00Z"), ("2026-10-27T07:00:00Z", "2026-10-27T12:00:00Z")];
        assert_eq!(found, expected.map(|(from, to)| (utc(from), utc(to))));
        let always = Business { days: [true; 7], from: 0, to: DAY, holidays: Vec::new() };
        let week = period("2026-03-22T23:00:00Z", "2026-03-29T22:00:00Z");
        assert_eq!(open(&madrid, &always, week), all(week));
    }
}
