//! Events in order of group and time.
//!
//! Events are scattered into buckets, each a stretch of time of one group, and sorted within each where nothing but the
//! nearest memory is touched. Check-outs mostly come in order of time, so the scattering writes to a few places at a
//! time and the sorting finds them sorted; returns are nearly so.

use std::ops::Range;
use std::thread;

use bytemuck::Pod;

use super::{Requests, Uses};
use crate::column::Column;
use crate::error::Result;

/// How many events a bucket is meant to hold.
const EVENTS_OF_A_BUCKET: usize = 1024;

/// Below this many events a second thread costs more than it gains.
const THREADS_FROM: usize = 100_000;

/// An instant, and how many licenses move.
pub trait Event: Pod + Ord + Send + Sync {
    /// Of an instant in data.
    fn new(time: i64, licenses: u32) -> Self;
    /// The instant.
    fn time(self) -> i64;
    /// How many licenses.
    fn licenses(self) -> u64;
}

/// One license.
impl Event for i64 {
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
    buckets: usize,
}

impl Layout {
    /// Buckets for groups of these rows, whose times lie in `period`.
    fn new(groups: usize, rows: &[u32], period: (i64, i64)) -> Self {
        let mut counts = vec![0_usize; groups];
        for &group in rows {
            counts[group as usize] += 1;
        }
        let span = (period.1 - period.0) as u64;
        let mut buckets = 0;
        let place = |&count: &usize| {
            let slices = (count / EVENTS_OF_A_BUCKET).max(1) as u64;
            // The least power of two that divides the span into no more slices.
            let shift = u64::BITS - (span / slices).leading_zeros();
            let begin = buckets;
            buckets += (span >> shift) + 1;
            (begin as u32, shift)
        };
        let of_group = counts.iter().map(place).collect();
        Self { first: period.0, of_group, buckets: buckets as usize }
    }

    fn bucket(&self, group: u32, time: i64) -> usize {
        let (begin, shift) = self.of_group[group as usize];
        begin as usize + ((time - self.first) as u64 >> shift) as usize
    }

    fn buckets_of(&self, group: usize) -> Range<usize> {
        let begin = |group: usize| self.of_group.get(group).map_or(self.buckets, |&(begin, _)| begin as usize);
        begin(group)..begin(group + 1)
    }
}

/// Events by bucket.
struct Scattered<E> {
    events: Column<E>,
    /// Where each bucket begins, and the end of the last.
    begins: Vec<u32>,
}

impl<E: Event> Scattered<E> {
    /// The rows, as group and event; each row is asked for twice.
    fn new(layout: &Layout, rows: usize, event: impl Fn(usize) -> Option<(u32, E)>) -> Result<Self> {
        let mut begins = vec![0_u32; layout.buckets + 1];
        for (group, event) in (0..rows).filter_map(&event) {
            begins[layout.bucket(group, event.time()) + 1] += 1;
        }
        for bucket in 0..layout.buckets {
            begins[bucket + 1] += begins[bucket];
        }
        let mut events = Column::zeros(begins[layout.buckets] as usize)?;
        let mut next = begins.clone();
        for (group, event) in (0..rows).filter_map(&event) {
            let place = &mut next[layout.bucket(group, event.time())];
            events[*place as usize] = event;
            *place += 1;
        }
        Ok(Self { events, begins })
    }

    fn of(&self, buckets: Range<usize>) -> &[E] {
        &self.events[self.begins[buckets.start] as usize..self.begins[buckets.end] as usize]
    }

    fn part(&mut self) -> Part<'_, E> {
        Part { events: &mut self.events, begins: &self.begins }
    }
}

/// A run of buckets.
pub struct Part<'a, E> {
    events: &'a mut [E],
    begins: &'a [u32],
}

impl<'a, E: Event> Part<'a, E> {
    fn split(self, bucket: usize) -> (Self, Self) {
        let (events, rest) = self.events.split_at_mut((self.begins[bucket] - self.begins[0]) as usize);
        (Self { events, begins: &self.begins[..=bucket] }, Self { events: rest, begins: &self.begins[bucket..] })
    }

    /// Takes the next bucket off, sorted.
    pub fn sorted(&mut self) -> &'a [E] {
        let (bucket, rest) = std::mem::take(&mut self.events).split_at_mut((self.begins[1] - self.begins[0]) as usize);
        self.events = rest;
        self.begins = &self.begins[1..];
        bucket.sort_unstable();
        bucket
    }

    /// How many events there are.
    pub fn len(&self) -> usize {
        self.events.len()
    }
}

/// Check-outs and returns by bucket, not sorted yet.
pub struct Uneven<E> {
    layout: Layout,
    starts: Scattered<E>,
    ends: Scattered<E>,
}

/// Some groups' buckets of both kinds, and the groups that they are of.
pub struct Share<'a, E> {
    /// Check-outs.
    pub starts: Part<'a, E>,
    /// Returns.
    pub ends: Part<'a, E>,
    /// The group of each bucket.
    pub group: Vec<u32>,
    /// How many licenses are out at the beginning.
    pub level: u64,
}

impl<E: Event> Uneven<E> {
    /// Scatters both kinds, side by side.
    ///
    /// # Errors
    /// [`crate::Error::TooLarge`] where there is no memory for them.
    pub fn new(uses: &Uses<'_>, period: (i64, i64)) -> Result<Self> {
        let layout = Layout::new(uses.groups, &uses.group, period);
        let rows = uses.group.len();
        let scatter = |times: &[i64]| {
            let licenses = |row: usize| uses.licenses.map_or(1, |licenses| licenses[row]);
            let event = |row: usize| uses.is_held(row).then(|| (uses.group[row], E::new(times[row], licenses(row))));
            Scattered::new(&layout, rows, event)
        };
        let (starts, ends) = if rows < THREADS_FROM {
            (scatter(&uses.start), scatter(&uses.end))
        } else {
            thread::scope(|scope| {
                let starts = scope.spawn(|| scatter(&uses.start));
                let ends = scatter(&uses.end);
                (starts.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)), ends)
            })
        };
        Ok(Self { starts: starts?, ends: ends?, layout })
    }

    /// Two halves to sort and merge side by side, or one where there is little to do.
    pub fn shares(&mut self) -> Vec<Share<'_, E>> {
        let groups = 0..self.layout.of_group.len();
        let mut group = vec![0; self.layout.buckets];
        groups.for_each(|number| group[self.layout.buckets_of(number)].fill(number as u32));
        let half = self.starts.begins.partition_point(|&begin| (begin as usize) < self.starts.events.len() / 2);
        let (starts, ends) = (&self.starts, &self.ends);
        if starts.events.len() < THREADS_FROM || half >= self.layout.buckets {
            return vec![Share { starts: self.starts.part(), ends: self.ends.part(), group, level: 0 }];
        }
        // What the first half leaves out of the group that it breaks off in.
        let begun = self.layout.buckets_of(group[half] as usize).start..half;
        let sum = |events: &[E]| events.iter().map(|event| event.licenses()).sum::<u64>();
        let level = sum(starts.of(begun.clone())) - sum(ends.of(begun));
        let later = group.split_off(half);
        let (starts, ends) = (self.starts.part().split(half), self.ends.part().split(half));
        vec![
            Share { starts: starts.0, ends: ends.0, group, level: 0 },
            Share { starts: starts.1, ends: ends.1, group: later, level },
        ]
    }

    /// Sorts all.
    pub fn sorted(mut self) -> InOrder<E> {
        let sort = |mut share: Share<'_, E>| {
            for _ in 0..share.group.len() {
                share.starts.sorted();
                share.ends.sorted();
            }
        };
        thread::scope(|scope| self.shares().into_iter().for_each(|share| drop(scope.spawn(move || sort(share)))));
        InOrder { layout: self.layout, starts: self.starts, ends: self.ends }
    }
}

/// Check-outs and returns of each group in order of time.
pub struct InOrder<E> {
    layout: Layout,
    starts: Scattered<E>,
    ends: Scattered<E>,
}

impl<E: Event> InOrder<E> {
    /// The check-outs and the returns of a group.
    pub fn of(&self, group: usize) -> (&[E], &[E]) {
        let buckets = self.layout.buckets_of(group);
        (self.starts.of(buckets.clone()), self.ends.of(buckets))
    }

    /// How many groups there are.
    pub fn groups(&self) -> usize {
        self.layout.of_group.len()
    }

    /// The groups in two runs with about as many events each.
    pub fn halves(&self) -> [Range<usize>; 2] {
        let groups = self.groups();
        let events = |group: usize| self.starts.begins[self.layout.buckets_of(group).start] as usize;
        let numbers: Vec<usize> = (0..groups).collect();
        let half = numbers.partition_point(|&group| events(group) < self.starts.events.len() / 2);
        [0..half, half..groups]
    }
}

/// Instants of requests of each group in order.
pub struct AskedInOrder {
    layout: Layout,
    asked: Scattered<i64>,
}

impl AskedInOrder {
    /// Puts requests in order.
    ///
    /// # Errors
    /// [`crate::Error::TooLarge`] where there is no memory for them.
    pub fn new(requests: &Requests<'_>, groups: usize, period: (i64, i64)) -> Result<Self> {
        let layout = Layout::new(groups, requests.group, period);
        let event = |row: usize| requests.is_asked[row].then(|| (requests.group[row], requests.start[row]));
        let mut asked = Scattered::new(&layout, requests.group.len(), event)?;
        let mut part = asked.part();
        for _ in 0..layout.buckets {
            part.sorted();
        }
        Ok(Self { layout, asked })
    }

    /// Those of a group.
    pub fn of(&self, group: usize) -> &[i64] {
        self.asked.of(self.layout.buckets_of(group))
    }
}
