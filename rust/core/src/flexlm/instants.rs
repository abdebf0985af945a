//! From local times to instants.

use std::collections::BTreeMap;
use std::ops::Range;

use super::Problem;
use super::assemble::Columns;
use super::clock::Run;
use super::join::Piece;
use super::stamp::{DAY, date_text};
use crate::error::{Error, Result};
use crate::time::zone::{Local, Zone};
use crate::time::{MINUTE, SECOND};

/// How far a log may step back before it is taken to be in the second of two equal hours.
const STEP_BACK: i64 = 5 * MINUTE;
/// Local time is less than this away from UTC.
const DAY_MICROS: i64 = DAY * SECOND;

/// The times of rows, wherever they are.
pub(super) trait Times {
    /// Lets the times of some rows be changed, who are told by their lines. Rows come in order.
    fn turn(&mut self, rows: Range<usize>, turn: &mut dyn FnMut(&mut [i64], &[u32])) -> Result<()>;
}

impl Times for Columns {
    fn turn(&mut self, rows: Range<usize>, turn: &mut dyn FnMut(&mut [i64], &[u32])) -> Result<()> {
        turn(&mut self.time[rows.clone()], &self.line[rows]);
        Ok(())
    }
}

/// Turns the local times of a piece into instants.
pub(super) fn to_instants(
    piece: &mut Piece,
    runs: &[Run],
    zone: Result<&Zone, Error>,
    all: &mut impl Times,
    source: &str,
    problems: &mut Vec<Problem>,
) -> Result<()> {
    let rows_of = |index: usize| {
        let start = if index == 0 { piece.rows.start } else { runs[index].place.row };
        start..runs.get(index + 1).map_or(piece.rows.end, |next| next.place.row)
    };
    let has_local_events = (0..runs.len()).any(|index| runs[index].offset.is_none() && !rows_of(index).is_empty());
    let zone = match zone {
        Ok(zone) => Some(zone),
        Err(error) if has_local_events => return Err(error),
        Err(_) => None,
    };
    let mut converter = Converter { zone, calm: None, running: i64::MIN, gaps: BTreeMap::new() };
    let mut spans = (None, None);
    for (index, run) in runs.iter().enumerate() {
        let (mut span, mut event_span) = (None, None);
        all.turn(rows_of(index), &mut |times, lines| {
            span = converter.run(run, times, lines);
            event_span = times.iter().copied().min().zip(times.iter().copied().max());
        })?;
        widen(&mut spans.0, span);
        widen(&mut spans.1, event_span);
    }
    (piece.span, piece.event_span) = spans;
    for (date, line) in converter.gaps {
        let date = date_text(date);
        let message =
            format!("the clock was set forward on {date} and skipped this time; it is taken as if it was not");
        problems.push(Problem { source: source.to_owned(), line: Some(line), code: "nonexistent_time", message });
    }
    Ok(())
}

fn widen(span: &mut Option<(i64, i64)>, by: Option<(i64, i64)>) {
    if let Some((first, last)) = by {
        let (start, end) = span.unwrap_or((first, last));
        *span = Some((start.min(first), end.max(last)));
    }
}

/// Turns local times into instants in the order of the lines, which decides between two equal hours.
struct Converter<'a> {
    zone: Option<&'a Zone>,
    calm: Option<Calm>,
    /// The greatest instant so far.
    running: i64,
    /// Dates with a time that the clock skipped, and their lines.
    gaps: BTreeMap<i32, u64>,
}

impl Converter<'_> {
    /// Converts the events of a run; gives the first and last instant of all its lines.
    fn run(&mut self, run: &Run, times: &mut [i64], lines: &[u32]) -> Option<(i64, i64)> {
        let midnight = i64::from(run.day) * DAY * SECOND;
        let local = |clock: u32| midnight + i64::from(clock) * SECOND;
        let (least, greatest) = (local(run.least), local(run.greatest));
        if let Some(offset) = run.offset {
            let offset = i64::from(offset) * SECOND;
            self.running = self.running.max(greatest - offset);
            return Some((least - offset, greatest - offset));
        }
        let zone = self.zone?;
        let first_event = times.iter().min().map_or(least, |&clock| least.min(midnight + clock));
        let last_event = times.iter().max().map_or(greatest, |&clock| greatest.max(midnight + clock));
        if self.calm.is_none_or(|calm| !calm.holds(first_event, last_event)) {
            self.calm = Calm::around(zone, first_event);
        }
        if let Some(Calm { offset, .. }) = self.calm.filter(|calm| calm.holds(first_event, last_event)) {
            for time in times {
                *time += midnight - offset;
            }
            self.running = self.running.max(greatest - offset);
            return Some((least - offset, greatest - offset));
        }
        let first = self.convert(zone, local(run.first), run.day, run.place.line);
        let mut ends = (first, first);
        for (time, &line) in times.iter_mut().zip(lines) {
            *time = self.convert(zone, midnight + *time, run.day, u64::from(line));
            ends = (ends.0.min(*time), ends.1.max(*time));
        }
        let last = self.convert(zone, greatest, run.day, run.place.line);
        Some((ends.0, ends.1.max(last)))
    }

    fn convert(&mut self, zone: &Zone, local: i64, day: i32, line: u64) -> i64 {
        let instant = match zone.resolve(local) {
            Local::Single(instant) => instant,
            Local::Fold { earlier, .. } if earlier >= self.running.saturating_sub(STEP_BACK) => earlier,
            Local::Fold { later, .. } => later,
            Local::Gap(instant) => {
                self.gaps.entry(day).or_insert(line);
                instant
            }
        };
        self.running = self.running.max(instant);
        instant
    }
}

/// Local times with one offset: far enough from every change of the clock that none comes twice or never.
#[derive(Debug, Clone, Copy)]
struct Calm {
    from: i64,
    to: i64,
    offset: i64,
}

impl Calm {
    /// The calm around a local time, if it is calm there.
    fn around(zone: &Zone, local: i64) -> Option<Self> {
        // The local time as if it was UTC is off by less than a day.
        let changes = zone.transitions();
        let next = changes.partition_point(|&change| change <= local);
        let before = next.checked_sub(1).map_or(i64::MIN / 2, |at| changes[at]);
        let after = changes.get(next).map_or(i64::MAX / 2, |&change| change);
        let calm = Self { from: before + DAY_MICROS, to: after - DAY_MICROS, offset: zone.offset_at(local) };
        calm.holds(local, local).then_some(calm)
    }

    fn holds(&self, first: i64, last: i64) -> bool {
        self.from <= first && last < self.to
    }
}
