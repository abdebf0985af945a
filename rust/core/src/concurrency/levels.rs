//! For how long how many licenses are in use, and how many of them a request meets: what percentiles are made of.

use std::collections::BTreeMap;

use super::hours::Period;
use super::order::{Asked, Event, Layout, Part, answered, scattered, sorted};
use super::{Checked, Uses, too_many};
use crate::error::{Error, Result};

/// Which time counts.
#[derive(Debug, Clone, Copy)]
pub struct Counted<'a> {
    /// The whole.
    pub period: Period,
    /// For each clock the stretches of the period that count, in order.
    pub open: &'a [Vec<(i64, i64)>],
    /// The clock of each group.
    pub clock: &'a [u32],
}

/// What is found of one group.
#[derive(Debug, Clone, Default)]
pub struct Levels {
    /// For each level that occurs: for how long, and how many requests meet it. Level 0 is always there.
    pub levels: Vec<(u32, i64, u64)>,
    /// When the highest level is reached first; `None` where nothing is in use.
    pub peak_at: Option<i64>,
    /// Licenses times microseconds.
    pub used: i64,
}

/// Levels below this are counted in a table; higher ones are rare.
const TABLE: u64 = 1 << 16;

#[derive(Default)]
struct Histogram {
    table: Vec<(i64, u64)>,
    beyond: BTreeMap<u64, (i64, u64)>,
}

impl Histogram {
    fn at(&mut self, level: u64) -> &mut (i64, u64) {
        if level >= TABLE {
            return self.beyond.entry(level).or_default();
        }
        let place = level as usize;
        if place >= self.table.len() {
            self.table.resize(place + 1, (0, 0));
        }
        &mut self.table[place]
    }

    fn rows(&self) -> impl Iterator<Item = (u64, (i64, u64))> {
        let table = self.table.iter().enumerate().map(|(level, &counted)| (level as u64, counted));
        table.chain(self.beyond.iter().map(|(&level, &counted)| (level, counted)))
    }
}

/// The levels of each group.
///
/// # Errors
/// [`Error::TooLarge`] where there is no memory, or numbers leave their columns.
pub fn levels(checked: &Checked<'_>, counted: Counted<'_>) -> Result<Vec<Levels>> {
    let uses = checked.uses();
    if uses.licenses.is_some() { swept::<u128>(&uses, checked, counted) } else { swept::<i64>(&uses, checked, counted) }
}

fn swept<E: Event>(uses: &Uses<'_>, checked: &Checked<'_>, counted: Counted<'_>) -> Result<Vec<Levels>> {
    let mut found: Vec<Result<Levels>> = Vec::new();
    if let Some(period) = checked.period {
        let layout = Layout::new(uses.groups, &uses.group, period);
        let asked = Asked::new(&layout, &checked.requests())?;
        let parts = scattered::<E>(&layout, uses, true)?;
        let first = parts.first().map_or(0, |part| part.buckets.len());
        let of_part = |mut part: Part<E>| {
            let mut sweeps: Vec<Sweep<'_>> = Vec::new();
            let group = part.buckets.first().map_or(0, |bucket| bucket.0);
            let mut bucket = if group == 0 { 0 } else { first };
            sorted(&mut part, |group, starts, ends| {
                if sweeps.last().is_none_or(|sweep| sweep.group != group) {
                    sweeps.push(Sweep::new(counted, group));
                }
                if let Some(sweep) = sweeps.last_mut() {
                    sweep.run(starts, ends, asked.of(bucket));
                }
                bucket += 1;
            });
            sweeps.into_iter().map(Sweep::finish).collect::<Vec<_>>()
        };
        found = answered(parts, of_part).into_iter().flatten().collect();
    }
    // Without any session there are no buckets.
    let more = (found.len()..uses.groups).map(|group| Sweep::new(counted, group as u32).finish());
    let more: Vec<_> = more.collect();
    found.into_iter().chain(more).collect()
}

struct Sweep<'a> {
    group: u32,
    period: Period,
    /// All stretches that count, and those that have not passed.
    all: &'a [(i64, i64)],
    open: &'a [(i64, i64)],
    /// How many are in use from the last event on.
    level: u64,
    from: i64,
    histogram: Histogram,
    used: i128,
    peak: (u64, Option<i64>),
}

impl<'a> Sweep<'a> {
    fn new(counted: Counted<'a>, group: u32) -> Self {
        let all = &counted.open[counted.clock[group as usize] as usize][..];
        Self {
            group,
            period: counted.period,
            all,
            open: all,
            level: 0,
            from: i64::MIN,
            histogram: Histogram::default(),
            used: 0,
            peak: (0, None),
        }
    }

    /// Goes through the next bucket.
    fn run<E: Event>(&mut self, starts: &[E], ends: &[E], mut asked: &[i64]) {
        let (mut start, mut end) = (0, 0);
        loop {
            let next = |place: usize, events: &[E]| events.get(place).map_or(i64::MAX, |event| event.time());
            let at = next(start, starts).min(next(end, ends)).min(asked.first().copied().unwrap_or(i64::MAX));
            if at == i64::MAX {
                break;
            }
            if self.level > 0 {
                self.segment(self.from, at, self.level);
            }
            while next(end, ends) == at {
                self.level -= ends[end].licenses();
                end += 1;
            }
            let requests = asked.iter().take_while(|&&request| request == at).count();
            if requests > 0 {
                asked = &asked[requests..];
                self.requests(at, self.level, requests as u64);
            }
            while next(start, starts) == at {
                self.level += starts[start].licenses();
                start += 1;
            }
            self.from = at;
        }
    }

    /// Gives up stretches that end before the instant.
    fn pass(&mut self, at: i64) {
        let passed = self.open.iter().take_while(|stretch| stretch.1 <= at).count();
        self.open = &self.open[passed..];
    }

    fn segment(&mut self, from: i64, to: i64, level: u64) {
        self.pass(from);
        for &(begin, end) in self.open.iter().take_while(|stretch| stretch.0 < to) {
            let (from, to) = (from.max(begin), to.min(end).min(self.period.until));
            if from < to {
                self.histogram.at(level).0 += to - from;
                self.used += i128::from(level) * i128::from(to - from);
                if level > self.peak.0 {
                    self.peak = (level, Some(from));
                }
            }
        }
    }

    fn requests(&mut self, at: i64, met: u64, count: u64) {
        self.pass(at);
        if self.open.first().is_some_and(|stretch| stretch.0 <= at) {
            self.histogram.at(met).1 += count;
        }
    }

    fn finish(mut self) -> Result<Levels> {
        let lengths = self.all.iter().map(|&(from, to)| (to.min(self.period.until) - from).max(0));
        let all: i64 = lengths.sum();
        let busy: i64 = self.histogram.rows().map(|(_, (time, _))| time).sum();
        self.histogram.at(0).0 = all - busy;
        if self.peak.0 > u64::from(u32::MAX) {
            return Err(too_many());
        }
        let rows = self.histogram.rows().filter(|&(level, counted)| level == 0 || counted != (0, 0));
        let levels =
            rows.map(|(level, (time, requests))| Ok((u32::try_from(level).map_err(|_| too_many())?, time, requests)));
        Ok(Levels { levels: levels.collect::<Result<_>>()?, peak_at: self.peak.1, used: total(self.used)? })
    }
}

/// A sum of licenses times microseconds as a column keeps it.
pub(super) fn total(used: i128) -> Result<i64> {
    i64::try_from(used).map_err(|_| Error::TooLarge {
        message: "more than 292 thousand years of use: is the column `licenses` right?".to_owned(),
    })
}
