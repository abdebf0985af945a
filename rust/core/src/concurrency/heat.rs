//! Use by hour of the week.

use super::hours::{CELLS, Cells, Period};
use super::levels::{in_halves, total};
use super::order::{Event, InOrder, Uneven};
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
    let nothing = || Sums { used: vec![0; CELLS], peak: vec![0; CELLS] };
    let Some(period) = period else { return (0..uses.groups).map(|_| nothing().finish()).collect() };
    let held = Uneven::<E>::new(uses, period)?.sorted();
    in_halves(&held, |group| {
        let mut sums = nothing();
        sums.run(&held, group, &cells[clock[group] as usize]);
        sums.finish()
    })
}

struct Sums {
    used: Vec<i128>,
    peak: Vec<u64>,
}

impl Sums {
    fn run<E: Event>(&mut self, held: &InOrder<E>, group: usize, cells: &Cells) {
        let (starts, ends) = held.of(group);
        let (mut start, mut end, mut level, mut from) = (0, 0, 0, i64::MIN);
        let mut stretch = 0;
        while end < ends.len() {
            let taken = starts.get(start).map_or(i64::MAX, |event| event.time());
            let freed = ends[end].time();
            let at = taken.min(freed);
            if level > 0 && from < at {
                stretch = self.segment(from, at, level, cells, stretch);
            }
            from = at;
            if taken < freed {
                level += starts[start].licenses();
                start += 1;
            } else {
                level -= ends[end].licenses();
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
