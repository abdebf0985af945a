//! The local days of a zone as a table: which date an instant has, and when that date's window ends.

use super::zone::Zone;
use super::{DAY, MAX_TIME, MIN_TIME};

/// The stretches of one local date of one zone, in order of time.
///
/// A stretch begins at a local midnight, or where a change of the clock changes the date. Nearly every date is one
/// stretch. A clock set back over midnight splits two dates into four stretches; a date that the clock jumps over
/// has none.
#[derive(Debug, Clone)]
pub struct Days {
    /// Where each stretch begins; one more at the end of time.
    starts: Vec<i64>,
    dates: Vec<i32>,
    /// For each UTC day, the first stretch that could hold an instant of it.
    buckets: Vec<u32>,
    first_bucket: i64,
    is_monotone: bool,
}

impl Days {
    /// The local days of `zone` that cover `[from, to]`.
    #[must_use]
    pub fn new(zone: &Zone, from: i64, to: i64) -> Self {
        Self::beginning_at(zone, 0, from, to)
    }

    /// The same with days that begin this many microseconds after midnight, by the clock on the wall.
    #[must_use]
    pub fn beginning_at(zone: &Zone, day_start: i64, from: i64, to: i64) -> Self {
        let from = from.max(MIN_TIME) - 2 * DAY;
        let to = to.min(MAX_TIME) + 2 * DAY;
        let mut starts = Vec::new();
        let mut dates: Vec<i32> = Vec::new();
        let mut changes = zone.transitions().iter().copied().skip_while(|&at| at <= from).peekable();
        let mut at = from;
        while at <= to {
            let offset = zone.offset_at(at) - day_start;
            let date = (at + offset).div_euclid(DAY);
            if dates.last() != Some(&(date as i32)) {
                starts.push(at);
                dates.push(date as i32);
            }
            let midnight = (date + 1) * DAY - offset;
            at = changes.next_if(|&change| change <= midnight).unwrap_or(midnight);
        }
        let first_bucket = from.div_euclid(DAY);
        let mut stretch = 0;
        let buckets = (first_bucket..=to.div_euclid(DAY))
            .map(|day| {
                while stretch + 1 < starts.len() && starts[stretch + 1] <= day * DAY {
                    stretch += 1;
                }
                stretch as u32
            })
            .collect();
        starts.push(i64::MAX);
        let is_monotone = dates.is_sorted();
        Self { starts, dates, buckets, first_bucket, is_monotone }
    }

    /// Whether every date is one stretch: none comes back after a later one.
    #[inline]
    #[must_use]
    pub fn is_monotone(&self) -> bool {
        self.is_monotone
    }

    /// The stretch that holds the instant.
    #[inline]
    #[must_use]
    pub fn stretch_at(&self, utc: i64) -> usize {
        // The end of time is the border of the last stretch.
        let utc = utc.min(i64::MAX - 1);
        let bucket = (utc.div_euclid(DAY) - self.first_bucket).clamp(0, self.buckets.len() as i64 - 1);
        let mut stretch = self.buckets[bucket as usize] as usize;
        // Nearly every day has one midnight, and on which side of it an instant lies cannot be foreseen: no branch.
        stretch += usize::from(self.starts[stretch + 1] <= utc);
        while self.starts[stretch + 1] <= utc {
            stretch += 1;
        }
        stretch
    }

    /// The local date of a stretch, in days since 1970-01-01.
    #[inline]
    #[must_use]
    pub fn date(&self, stretch: usize) -> i32 {
        self.dates[stretch]
    }

    /// The first instant of a stretch.
    #[inline]
    #[must_use]
    pub fn start(&self, stretch: usize) -> i64 {
        self.starts[stretch]
    }

    /// The end of a stretch: the first instant of the next one, or the end of time.
    #[inline]
    #[must_use]
    pub fn end(&self, stretch: usize) -> i64 {
        self.starts[stretch + 1]
    }

    /// The end of the window of the date of `stretch`: where its last stretch ends.
    #[inline]
    #[must_use]
    pub fn window_end(&self, stretch: usize) -> i64 {
        let date = self.dates[stretch];
        // A split date comes back after one stretch of the other date.
        if self.dates.get(stretch + 2) == Some(&date) { self.starts[stretch + 3] } else { self.starts[stretch + 1] }
    }

    /// How many stretches there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.dates.len()
    }

    /// Whether the table is empty; it never is.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.dates.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::HOUR;
    use jiff::Timestamp;

    fn utc(text: &str) -> i64 {
        text.parse::<Timestamp>().unwrap().as_microsecond()
    }

    fn days(zone: &str, from: &str, to: &str) -> Days {
        Days::new(&Zone::get(zone).unwrap(), utc(from), utc(to))
    }

    fn length(days: &Days, at: &str) -> i64 {
        let stretch = days.stretch_at(utc(at));
        days.window_end(stretch) - days.start(stretch)
    }

    #[test]
    fn days_of_23_and_25_hours() {
        let days = days("America/Chicago", "2026-01-01T00:00:00Z", "2026-12-31T00:00:00Z");
        assert_eq!(length(&days, "2026-03-08T12:00:00Z"), 23 * HOUR);
        assert_eq!(length(&days, "2026-11-01T12:00:00Z"), 25 * HOUR);
        assert_eq!(length(&days, "2026-07-15T12:00:00Z"), 24 * HOUR);
    }

    #[test]
    fn a_day_can_begin_at_one_o_clock() {
        // Beirut sets the clock forward at midnight.
        let days = days("Asia/Beirut", "2022-03-20T00:00:00Z", "2022-04-01T00:00:00Z");
        let stretch = days.stretch_at(utc("2022-03-27T06:00:00Z"));
        assert_eq!(days.start(stretch), utc("2022-03-26T22:00:00Z"));
        assert_eq!(days.window_end(stretch) - days.start(stretch), 23 * HOUR);
    }

    #[test]
    fn a_missing_date_has_no_stretch() {
        let days = days("Pacific/Apia", "2011-12-25T00:00:00Z", "2012-01-05T00:00:00Z");
        let eve = days.stretch_at(utc("2011-12-30T09:59:59Z"));
        let next = days.stretch_at(utc("2011-12-30T10:00:00Z"));
        assert_eq!(next, eve + 1);
        assert_eq!(days.date(next), days.date(eve) + 2);
    }

    #[test]
    fn a_clock_set_back_over_midnight_splits_two_dates() {
        // St. John's set its clock back at 00:01 until 2011.
        let days = days("America/St_Johns", "2010-11-01T00:00:00Z", "2010-11-10T00:00:00Z");
        let first = days.stretch_at(utc("2010-11-07T02:30:30Z"));
        assert_eq!(days.date(first), days.date(first + 2));
        assert_eq!(days.date(first - 1), days.date(first + 1));
        assert_eq!(days.window_end(first), days.start(first + 3));
        assert_eq!(days.window_end(first - 1), days.start(first + 2));
        assert_eq!(days.window_end(first + 2), days.start(first + 3));
    }
}
