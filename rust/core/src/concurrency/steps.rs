//! The step function: how many licenses are in use from each instant on, until the next.

use std::thread;

use super::order::{Event, Share, Uneven};
use super::{Uses, too_many};
use crate::column::Column;
use crate::error::Result;

/// Some of the steps, in order of group and time. The value of a group begins at 0 and ends at 0; only changes are told.
#[derive(Debug)]
pub struct Steps {
    /// The group's number.
    pub group: Column<u32>,
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
    if uses.licenses.is_some() { merged::<u128>(uses, period) } else { merged::<i64>(uses, period) }
}

fn merged<E: Event>(uses: &Uses<'_>, period: (i64, i64)) -> Result<Vec<Steps>> {
    let mut uneven = Uneven::<E>::new(uses, period)?;
    let mut shares = uneven.shares();
    let last = shares.pop();
    thread::scope(|scope| {
        let running: Vec<_> = shares.into_iter().map(|share| scope.spawn(|| steps_of(share))).collect();
        let last = last.map(steps_of);
        let ended =
            running.into_iter().map(|thread| thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
        ended.chain(last).collect()
    })
}

fn steps_of<E: Event>(mut share: Share<'_, E>) -> Result<Steps> {
    let most = share.starts.len() + share.ends.len();
    let (mut group, mut time, mut in_use) =
        (Column::<u32>::zeros(most)?, Column::<i64>::zeros(most)?, Column::<u32>::zeros(most)?);
    let mut rows = 0;
    let mut at = share.group.first().copied().unwrap_or(0);
    let mut value = Value { level: share.level, told: share.level, most: 0 };
    for &number in &share.group {
        if number != at {
            (at, value.level, value.told) = (number, 0, 0);
        }
        let (starts, ends) = (share.starts.sorted(), share.ends.sorted());
        let found = merge(starts, ends, &mut value, &mut time[rows..], &mut in_use[rows..]);
        group[rows..rows + found].fill(number);
        rows += found;
    }
    if value.most > u64::from(u32::MAX) {
        return Err(too_many());
    }
    group.truncate(rows);
    time.truncate(rows);
    in_use.truncate(rows);
    Ok(Steps { group, time, in_use })
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
    if events == 0 {
        return 0;
    }
    let (time, in_use) = (&mut time[..events], &mut in_use[..events]);
    let (mut start, mut end, mut rows) = (0, 0, 0);
    let (mut at, mut level, mut told, mut most) = (i64::MIN, value.level, value.told, value.most);
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
