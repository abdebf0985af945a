//! The step function: how many licenses are in use from each instant on, until the next.

use super::order::{Event, Layout, Part, answered, scattered};
use super::{Uses, too_many};
use crate::column::Column;
use crate::error::Result;

/// Some of the steps, in order of group and time. The value of a group begins at 0 and ends at 0; only changes are told.
#[derive(Debug)]
pub struct Steps {
    /// The groups' numbers, and how many steps each has.
    pub runs: Vec<(u32, usize)>,
    /// From when on.
    pub time: Column<i64>,
    /// How many are in use.
    pub in_use: Column<u32>,
}

/// All steps, in parts that follow each other.
///
/// # Errors
/// [`crate::Error::TooLarge`] where there is no memory for them, or more than 2³² are in use.
pub fn steps(uses: &Uses<'_>, period: Option<(i64, i64)>) -> Result<Vec<Steps>> {
    let Some(period) = period else { return Ok(Vec::new()) };
    let layout = Layout::new(uses.groups, &uses.group, period);
    if uses.licenses.is_some() {
        answered(scattered::<u128>(&layout, uses, false)?, |part| steps_of(part, |_| None)).into_iter().collect()
    } else {
        // The steps of a bucket are no more than its events, and take their place.
        answered(scattered::<i64>(&layout, uses, false)?, |part| steps_of(part, Some)).into_iter().collect()
    }
}

/// The steps of a part. `in_place` gives the events as a column of times, where that is what they are.
fn steps_of<E: Event>(part: Part<E>, in_place: impl Fn(Column<E>) -> Option<Column<i64>>) -> Result<Steps> {
    let Part { mut events, buckets, level } = part;
    let mut apart = Column::<i64>::zeros(if E::IS_TIME { 0 } else { events.len() })?;
    let mut in_use = Column::<u32>::zeros(events.len())?;
    let mut runs: Vec<(u32, usize)> = Vec::new();
    let mut value = Value { level, told: level, most: 0 };
    let (mut begin, mut rows) = (0, 0);
    let mut times: Vec<i64> = Vec::new();
    for (group, starts, ends) in buckets {
        if runs.last().is_none_or(|run| run.0 != group) {
            if !runs.is_empty() {
                (value.level, value.told) = (0, 0);
            }
            runs.push((group, 0));
        }
        let middle = begin + starts as usize;
        let end = middle + ends as usize;
        events[begin..middle].sort_unstable();
        events[middle..end].sort_unstable();
        times.resize(times.len().max(end - begin), 0);
        let found = merge(&events[begin..middle], &events[middle..end], &mut value, &mut times, &mut in_use[rows..]);
        let times = &times[..found];
        if E::IS_TIME {
            for (place, &time) in events[rows..rows + found].iter_mut().zip(times) {
                *place = E::new(time, 1);
            }
        } else {
            apart[rows..rows + found].copy_from_slice(times);
        }
        if let Some(run) = runs.last_mut() {
            run.1 += found;
        }
        (begin, rows) = (end, rows + found);
    }
    if value.most > u64::from(u32::MAX) {
        return Err(too_many());
    }
    let mut time = in_place(events).unwrap_or(apart);
    time.truncate(rows);
    in_use.truncate(rows);
    Ok(Steps { runs, time, in_use })
}

/// How many are in use.
struct Value {
    /// Now.
    level: u64,
    /// By the last step told.
    told: u64,
    most: u64,
}

/// Writes the steps of one bucket and says how many they are. There is place for all of its events.
///
/// Which of the two lists goes on cannot be foreseen, so nothing branches on it: the step of the instant before is
/// written at every event, and the place moves on only where that instant is over and has changed something.
fn merge<E: Event>(starts: &[E], ends: &[E], value: &mut Value, time: &mut [i64], in_use: &mut [u32]) -> usize {
    let events = starts.len() + ends.len();
    let (time, in_use) = (&mut time[..events], &mut in_use[..events]);
    let (mut start, mut end, mut rows) = (0, 0, 0);
    let Value { mut level, mut told, mut most } = *value;
    let mut at = i64::MIN;
    for _ in 0..events {
        let taken = starts.get(start).map_or(i64::MAX, |event| event.time());
        let freed = ends.get(end).map_or(i64::MAX, |event| event.time());
        let takes = taken < freed;
        let now = taken.min(freed);
        time[rows] = at;
        in_use[rows] = level as u32;
        let is_step = now != at && level != told;
        rows += usize::from(is_step);
        told = if is_step { level } else { told };
        at = now;
        let moved = if takes { starts[start] } else { ends[end] }.licenses();
        level = if takes { level + moved } else { level - moved };
        most = most.max(level);
        start += usize::from(takes);
        end += usize::from(!takes);
    }
    if level != told {
        (time[rows], in_use[rows]) = (at, level as u32);
        (rows, told) = (rows + 1, level);
    }
    *value = Value { level, told, most };
    rows
}
