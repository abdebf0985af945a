//! Use by hour of the week.

use super::hours::{CELLS, Cells, Period};
use super::levels::total;
use super::order::{Event, Layout, Part, answered, scattered, sorted};
use super::{Checked, Uses, too_many};
use crate::error::Result;
use crate::time::zone::Zone;

/// What is found of one group, for each hour of the week.
#[derive(Debug, Clone)]
pub struct Heat {
    /// Licenses times microseconds.
    pub used: Vec<i64>,
    /// The most in use at one instant.
    pub peak: Vec<u32>,
}

/// The heat of each group, and for each zone how long the period shows each hour of the week.
///
/// # Errors
/// [`crate::Error::TooLarge`] where there is no memory, or numbers leave their columns.
pub fn heat(
    checked: &Checked<'_>,
    period: Period,
    zones: &[Zone],
    clock: &[u32],
) -> Result<(Vec<Heat>, Vec<Vec<i64>>)> {
    let cells: Vec<Cells> = zones.iter().map(|zone| Cells::new(zone, period)).collect();
    let uses = checked.uses();
    let found = if uses.licenses.is_some() {
        swept::<u128>(&uses, checked.period, &cells, clock)
    } else {
        swept::<i64>(&uses, checked.period, &cells, clock)
    };
    Ok((found?, cells.iter().map(Cells::lengths).collect()))
}

fn swept<E: Event>(uses: &Uses<'_>, period: Option<(i64, i64)>, cells: &[Cells], clock: &[u32]) -> Result<Vec<Heat>> {
    let nothing = || Sums { used: vec![0; CELLS], peak: vec![0; CELLS], level: 0, from: i64::MIN, stretch: 0 };
    let mut found: Vec<Result<Heat>> = Vec::new();
    if let Some(period) = period {
        let layout = Layout::new(uses.groups, &uses.group, period);
        let of_part = |mut part: Part<E>| {
            let mut sums: Vec<(u32, Sums)> = Vec::new();
            sorted(&mut part, |group, starts, ends| {
                if sums.last().is_none_or(|last| last.0 != group) {
                    sums.push((group, nothing()));
                }
                if let Some((_, sums)) = sums.last_mut() {
                    sums.run(starts, ends, &cells[clock[group as usize] as usize]);
                }
            });
            sums.into_iter().map(|(_, sums)| sums.finish()).collect::<Vec<_>>()
        };
        found = answered(scattered::<E>(&layout, uses, true)?, of_part).into_iter().flatten().collect();
    }
    // Without any session there are no buckets.
    let more: Vec<_> = (found.len()..uses.groups).map(|_| nothing().finish()).collect();
    found.into_iter().chain(more).collect()
}

struct Sums {
    used: Vec<i128>,
    peak: Vec<u64>,
    /// How many are in use from the last event on, and the stretch of it.
    level: u64,
    from: i64,
    stretch: usize,
}

impl Sums {
    /// Goes through the next bucket.
    fn run<E: Event>(&mut self, starts: &[E], ends: &[E], cells: &Cells) {
        let (mut start, mut end) = (0, 0);
        while start < starts.len() || end < ends.len() {
            let taken = starts.get(start).map_or(i64::MAX, |event| event.time());
            let freed = ends.get(end).map_or(i64::MAX, |event| event.time());
            let at = taken.min(freed);
            if self.level > 0 && self.from < at {
                self.stretch = self.segment(self.from, at, self.level, cells, self.stretch);
            }
            self.from = at;
            if taken < freed {
                self.level += starts[start].licenses();
                start += 1;
            } else {
                self.level -= ends[end].licenses();
                end += 1;
            }
        }
    }

    /// Adds a segment and says in which stretch it ends. It does not begin before the stretch of the one before.
    fn segment(&mut self, from: i64, to: i64, level: u64, cells: &Cells, mut stretch: usize) -> usize {
        let begins = &cells.begins;
        if begins.get(stretch + 1).is_some_and(|&end| end <= from) {
            stretch += begins[stretch..].partition_point(|&begin| begin <= from) - 1;
        }
        while stretch < cells.cells.len() && begins[stretch] < to {
            let cell = usize::from(cells.cells[stretch]);
            let (from, to) = (from.max(begins[stretch]), to.min(begins[stretch + 1]));
            self.used[cell] += i128::from(level) * i128::from(to - from);
            self.peak[cell] = self.peak[cell].max(level);
            stretch += 1;
        }
        stretch.saturating_sub(1)
    }

    fn finish(self) -> Result<Heat> {
        let peak = self.peak.into_iter().map(|peak| u32::try_from(peak).map_err(|_| too_many()));
        Ok(Heat { used: self.used.into_iter().map(total).collect::<Result<_>>()?, peak: peak.collect::<Result<_>>()? })
    }
}
