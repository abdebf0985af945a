//! Events in order of group and time.
//!
//! Events are scattered into buckets, each a stretch of time of one group: first its check-outs, then its returns. Each
//! bucket is sorted where nothing but the nearest memory is touched. Check-outs mostly come in order of time, so the
//! scattering writes to a few places at a time and the sorting finds them sorted; returns are nearly so.

use std::slice::IterMut;
use std::thread;

use bytemuck::Pod;

use super::{Requests, Uses};
use crate::column::Column;
use crate::error::Result;

/// How many check-outs a bucket is meant to hold.
const EVENTS_OF_A_BUCKET: usize = 1024;

/// Below this many events a second thread costs more than it gains.
const THREADS_FROM: usize = 100_000;

/// An instant, and how many licenses move.
pub trait Event: Pod + Ord + Send + Sync {
    /// Whether it is no more than an instant.
    const IS_TIME: bool;
    /// Of an instant in data.
    fn new(time: i64, licenses: u32) -> Self;
    /// The instant.
    fn time(self) -> i64;
    /// How many licenses.
    fn licenses(self) -> u64;
}

/// One license.
impl Event for i64 {
    const IS_TIME: bool = true;

    fn new(time: i64, _: u32) -> Self {
        time
    }

    fn time(self) -> i64 {
        self
    }

    fn licenses(self) -> u64 {
        1
    }
}

/// Time before licenses.
impl Event for u128 {
    const IS_TIME: bool = false;

    fn new(time: i64, licenses: u32) -> Self {
        u128::from(time as u64) << 64 | u128::from(licenses)
    }

    fn time(self) -> i64 {
        (self >> 64) as i64
    }

    fn licenses(self) -> u64 {
        self as u64
    }
}

/// Where the events of each group and time go.
pub struct Layout {
    first: i64,
    /// For each group its first bucket, and how long a bucket of it is as a power of two.
    of_group: Vec<(u32, u32)>,
    /// The group of each bucket.
    groups: Vec<u32>,
}

impl Layout {
    /// Buckets for groups of these rows, whose times lie in `period`.
    pub fn new(groups: usize, rows: &[u32], period: (i64, i64)) -> Self {
        let mut counts = vec![0_usize; groups];
        for &group in rows {
            counts[group as usize] += 1;
        }
        let span = (period.1 - period.0) as u64;
        let mut layout = Self { first: period.0, of_group: Vec::with_capacity(groups), groups: Vec::new() };
        for (group, count) in counts.into_iter().enumerate() {
            let slices = (count / EVENTS_OF_A_BUCKET).max(1) as u64;
            // The least power of two that divides the span into no more slices.
            let shift = u64::BITS - (span / slices).leading_zeros();
            let begin = layout.groups.len();
            layout.of_group.push((begin as u32, shift));
            layout.groups.resize(begin + (span >> shift) as usize + 1, group as u32);
        }
        layout
    }

    fn bucket(&self, group: u32, time: i64) -> usize {
        let (begin, shift) = self.of_group[group as usize];
        begin as usize + ((time - self.first) as u64 >> shift) as usize
    }

    /// How many events of a kind each bucket has.
    fn count(&self, rows: usize, event: impl Fn(usize) -> Option<(u32, i64)>) -> Vec<u32> {
        let mut counts = vec![0; self.groups.len()];
        for (group, time) in (0..rows).filter_map(event) {
            counts[self.bucket(group, time)] += 1;
        }
        counts
    }
}

/// A run of buckets with their events.
pub struct Part<E> {
    /// Bucket after bucket, check-outs before returns.
    pub events: Column<E>,
    /// For each bucket its group, and how many check-outs and returns it has.
    pub buckets: Vec<(u32, u32, u32)>,
    /// How many licenses are out at the beginning.
    pub level: u64,
}

/// Scatters check-outs and returns, side by side, into two parts with about as many events each, or one where there is
/// little to do. They are not sorted yet. With `whole_groups` no group is divided.
///
/// # Errors
/// [`crate::Error::TooLarge`] where there is no memory for them.
pub fn scattered<E: Event>(layout: &Layout, uses: &Uses<'_>, whole_groups: bool) -> Result<Vec<Part<E>>> {
    let rows = uses.group.len();
    let licenses = |row: usize| uses.licenses.map_or(1, |licenses| licenses[row]);
    let group = |row: usize| uses.is_held(row).then(|| uses.group[row]);
    let start = |row: usize| Some((group(row)?, uses.start[row]));
    let end = |row: usize| Some((group(row)?, uses.end[row]));
    let is_small = rows < THREADS_FROM;
    let (starts, ends) = beside(is_small, || layout.count(rows, start), || layout.count(rows, end));
    let counts = layout.groups.iter().zip(starts).zip(ends).map(|((&group, starts), ends)| (group, starts, ends));
    let mut parts = divided(counts.collect(), if is_small { usize::MAX } else { rows }, whole_groups)?;
    let (mut starts, mut ends) = places(&mut parts);
    beside(
        is_small,
        || scatter(layout, rows, |row| Some((group(row)?, E::new(uses.start[row], licenses(row)))), &mut starts),
        || scatter(layout, rows, |row| Some((group(row)?, E::new(uses.end[row], licenses(row)))), &mut ends),
    );
    if let [first, second] = &mut parts[..]
        && !whole_groups
    {
        second.level = left_out(first, second.buckets[0].0);
    }
    Ok(parts)
}

/// Runs two functions, side by side where that pays.
fn beside<A: Send, B>(is_small: bool, first: impl FnOnce() -> A + Send, second: impl FnOnce() -> B) -> (A, B) {
    if is_small {
        return (first(), second());
    }
    thread::scope(|scope| {
        let first = scope.spawn(first);
        let second = second();
        (first.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)), second)
    })
}

/// Empty parts for buckets of these counts; half of `rows` check-outs are in the first.
fn divided<E: Event>(mut counts: Vec<(u32, u32, u32)>, rows: usize, whole_groups: bool) -> Result<Vec<Part<E>>> {
    let mut before = 0;
    let begun = |&(_, starts, _): &(u32, u32, u32)| {
        before += starts as usize;
        before > rows / 2
    };
    let half = counts.iter().position(begun).filter(|&half| half > 0).unwrap_or(counts.len());
    let is_border = |bucket: usize| !whole_groups || counts[bucket - 1].0 != counts[bucket].0;
    let half = (half..counts.len()).find(|&bucket| is_border(bucket)).unwrap_or(counts.len());
    let later = counts.split_off(half);
    let parts = [counts, later].into_iter().filter(|buckets| !buckets.is_empty());
    let part = |buckets: Vec<(u32, u32, u32)>| {
        let events = buckets.iter().map(|&(_, starts, ends)| (starts + ends) as usize).sum();
        Ok(Part { events: Column::zeros(events)?, buckets, level: 0 })
    };
    parts.map(part).collect()
}

/// The places of the check-outs and of the returns of each bucket.
type Places<'a, E> = Vec<IterMut<'a, E>>;

fn places<E: Event>(parts: &mut [Part<E>]) -> (Places<'_, E>, Places<'_, E>) {
    let (mut starts, mut ends) = (Vec::new(), Vec::new());
    for part in parts {
        let mut rest = &mut part.events[..];
        for &(_, start, end) in &part.buckets {
            let (of_bucket, after) = rest.split_at_mut((start + end) as usize);
            let (start, end) = of_bucket.split_at_mut(start as usize);
            starts.push(start.iter_mut());
            ends.push(end.iter_mut());
            rest = after;
        }
    }
    (starts, ends)
}

fn scatter<E: Event>(
    layout: &Layout,
    rows: usize,
    event: impl Fn(usize) -> Option<(u32, E)>,
    places: &mut Places<'_, E>,
) {
    for (group, event) in (0..rows).filter_map(event) {
        // There is one for each that was counted.
        if let Some(place) = places[layout.bucket(group, event.time())].next() {
            *place = event;
        }
    }
}

/// How many licenses of a group are out at the end of a part.
fn left_out<E: Event>(part: &Part<E>, group: u32) -> u64 {
    let sum = |events: &[E]| events.iter().map(|event| event.licenses()).sum::<u64>();
    let mut rest = &part.events[..];
    let mut level = 0_i128;
    for &(_, starts, ends) in part.buckets.iter().rev().take_while(|bucket| bucket.0 == group) {
        let (before, bucket) = rest.split_at(rest.len() - (starts + ends) as usize);
        let (starts, ends) = bucket.split_at(starts as usize);
        // A license can come back in a later bucket than it went out in.
        level += i128::from(sum(starts)) - i128::from(sum(ends));
        rest = before;
    }
    level as u64
}

/// Answers for both parts, found side by side.
pub fn answered<E: Event, T: Send>(parts: Vec<Part<E>>, answer: impl Fn(Part<E>) -> T + Sync) -> Vec<T> {
    let mut parts = parts.into_iter();
    match (parts.next(), parts.next()) {
        (Some(first), Some(second)) => {
            let (first, second) = beside(false, || answer(first), || answer(second));
            vec![first, second]
        }
        (first, _) => first.map(answer).into_iter().collect(),
    }
}

/// Visits the buckets of a part in order, each with its group, its check-outs and its returns, sorted.
pub fn sorted<E: Event>(part: &mut Part<E>, mut visit: impl FnMut(u32, &[E], &[E])) {
    let mut rest = &mut part.events[..];
    for &(group, starts, ends) in &part.buckets {
        let (bucket, after) = rest.split_at_mut((starts + ends) as usize);
        let (starts, ends) = bucket.split_at_mut(starts as usize);
        starts.sort_unstable();
        ends.sort_unstable();
        visit(group, starts, ends);
        rest = after;
    }
}

/// Instants of requests by the same buckets.
pub struct Asked {
    times: Column<i64>,
    /// Where each bucket begins, and the end of the last.
    begins: Vec<usize>,
}

impl Asked {
    /// Puts requests in order.
    ///
    /// # Errors
    /// [`crate::Error::TooLarge`] where there is no memory for them.
    pub fn new(layout: &Layout, requests: &Requests<'_>) -> Result<Self> {
        let event = |row: usize| requests.is_asked[row].then(|| (requests.group[row], requests.start[row]));
        let rows = requests.group.len();
        let counts = layout.count(rows, event);
        let mut begins = vec![0];
        begins.extend(counts.iter().scan(0, |end, &count| {
            *end += count as usize;
            Some(*end)
        }));
        let mut times = Column::zeros(*begins.last().unwrap_or(&0))?;
        let mut rest = &mut times[..];
        let mut places = Vec::with_capacity(counts.len());
        for count in counts {
            let (bucket, after) = rest.split_at_mut(count as usize);
            places.push(bucket.iter_mut());
            rest = after;
        }
        scatter(layout, rows, event, &mut places);
        for pair in begins.windows(2) {
            times[pair[0]..pair[1]].sort_unstable();
        }
        Ok(Self { times, begins })
    }

    /// Those of a bucket.
    pub fn of(&self, bucket: usize) -> &[i64] {
        &self.times[self.begins[bucket]..self.begins[bucket + 1]]
    }
}
