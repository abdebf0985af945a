//! The dates of a file whose lines carry only a time of day.
//!
//! Lines come as [`Stretch`]es of times that do not step back, and the dates that some lines name come as anchors. The
//! answer is a list of [`Run`]s: from this event on, this date. An anchor confirms the runs before it or moves them,
//! back to the anchor before; the times themselves stay where they are, so a correction costs nothing per event.
//!
//! - A step back of more than 12 h is midnight; one of 12 h or less is disorder and keeps the date.
//! - After a midnight, a time at most 10 min before it belongs to the old date, and the clock does not go on from it.
//! - An anchor later than the running date: the missing days go where the log was silent for longest.
//! - An anchor earlier, but not before the last certain point: as many midnights are taken back, the most silent first.
//! - An anchor before the last certain point: another log begins, at the largest break since that point.

use super::stamp::{DAY, date_text};

/// A step back beyond this is midnight.
const HALF_DAY: i64 = DAY / 2;
/// How far a line may step back over the midnight just passed. A further step back within a day looks like a break.
const OVER_MIDNIGHT: i64 = 600;
/// A step back beyond this can be a clock set back.
const JITTER: i64 = 300;
/// A step back beyond this is no clock set back by summer time, and no jitter.
const CLOCK_CHANGE: i64 = 3900;
/// How many lines a start-up block has before its banner, at most.
const STARTUP_LINES: u64 = 64;
/// Days beyond this come from noise only.
const MAX_DAY: i32 = 1_000_000;

/// Consecutive stamped lines whose times do not step back, nor forward by more than 12 h.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stretch {
    /// Where it begins.
    pub place: Place,
    /// How many stamped lines it has.
    pub count: u64,
    /// Seconds of the day of its first and of its last line.
    pub first: u32,
    pub last: u32,
    /// The largest step within: where it leads to, and the times on both sides.
    pub widest: Option<Step>,
    /// The date and the offset, for lines that name them.
    pub full: Option<(i32, Option<i32>)>,
}

/// A line's place in a file: its number among the stamped lines, the number of events before it, and its line number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Place {
    pub at: u64,
    pub row: usize,
    pub line: u64,
}

/// A step of the clock from one line to the next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Step {
    pub to: Place,
    pub before: u32,
    pub after: u32,
    /// How long the log was silent, as far as the times tell; for a break, how much it looks like one.
    pub weight: i64,
}

/// From this place on, this date.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Run {
    pub place: Place,
    pub day: i32,
    /// Seconds of the day of its first line, and the least and the greatest of all.
    pub first: u32,
    pub least: u32,
    pub greatest: u32,
    /// Seconds to add to UTC, where the lines name it: their events have their instants already.
    pub offset: Option<i32>,
    /// Counts the logs within the file.
    pub segment: u32,
    cause: Cause,
    silence: i64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cause {
    Start,
    Midnight,
    /// Lines of the old date after midnight.
    OverMidnight,
    /// The same date again.
    Same,
    /// Days that an anchor added.
    Added,
    /// The lines name the date.
    Full,
}

/// Something to tell about the dates.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Note {
    pub line: u64,
    pub code: &'static str,
    pub message: String,
}

/// The running clock of one file.
#[derive(Debug, Default)]
pub(super) struct Clock {
    runs: Vec<Run>,
    notes: Vec<Note>,
    /// The running date, and the greatest time of day on it.
    day: i32,
    reference: u32,
    /// The date and the time of the last line.
    last_day: i32,
    last: u32,
    /// The date by the times alone, which no anchor moves.
    night: i64,
    seen: u64,
    is_dated: bool,
    /// The first run that waits for a date.
    undated_from: usize,
    segment: u32,
    certain: Option<Certain>,
    silence: Option<Step>,
    fracture: Option<Step>,
    /// The largest break before the last certain point.
    fracture_before: Option<Step>,
}

#[derive(Debug, Clone, Copy)]
struct Certain {
    seconds: i64,
    run: usize,
    seen: u64,
}

impl Clock {
    /// Takes the next lines. Says whether they name a date that they need no line before them for.
    pub(super) fn stretch(&mut self, stretch: &Stretch) -> bool {
        let is_new = if let Some((date, offset)) = stretch.full {
            self.full(stretch, date, offset)
        } else {
            self.local(stretch);
            false
        };
        self.seen += stretch.count;
        is_new
    }

    fn local(&mut self, stretch: &Stretch) {
        let first = i64::from(stretch.first);
        if self.runs.is_empty() {
            self.reference = stretch.first;
            self.push(stretch, self.day, Cause::Start, 0, None);
        } else {
            let step = first - i64::from(self.reference);
            let jump = first - i64::from(self.last);
            let is_over_midnight = step > HALF_DAY && DAY - step <= OVER_MIDNIGHT;
            let mut silence = if jump < -OVER_MIDNIGHT { jump + DAY } else { jump.max(0) };
            if step < -HALF_DAY {
                self.day = (self.day + 1).min(MAX_DAY);
                self.night += 1;
                self.reference = stretch.first;
                silence = jump.rem_euclid(DAY);
                self.push(stretch, self.day, Cause::Midnight, silence, None);
            } else if is_over_midnight {
                silence = 0;
                self.push(stretch, self.day - 1, Cause::OverMidnight, 0, None);
            } else if self.last_day != self.day || jump < -JITTER || self.current_offset().is_some() {
                self.push(stretch, self.day, Cause::Same, silence, None);
            }
            let is_break = jump < -OVER_MIDNIGHT && step >= -HALF_DAY;
            let fracture = if is_break { DAY - jump } else { silence };
            self.weigh(stretch.place, self.last, stretch.first, silence, fracture);
        }
        if let Some(widest) = stretch.widest {
            self.weigh(widest.to, widest.before, widest.after, widest.weight, widest.weight);
        }
        self.extend(stretch);
        if self.last_day == self.day {
            self.reference = self.reference.max(stretch.last);
        }
    }

    fn current_offset(&self) -> Option<i32> {
        self.runs.last().and_then(|run| run.offset)
    }

    fn push(&mut self, stretch: &Stretch, day: i32, cause: Cause, silence: i64, offset: Option<i32>) {
        let (place, first) = (stretch.place, stretch.first);
        let place = Place { at: self.seen, ..place };
        let segment = self.segment;
        self.last_day = day;
        self.runs.push(Run { place, day, first, least: first, greatest: first, offset, segment, cause, silence });
    }

    fn extend(&mut self, stretch: &Stretch) {
        if let Some(run) = self.runs.last_mut() {
            run.least = run.least.min(stretch.first);
            run.greatest = run.greatest.max(stretch.last);
        }
        self.last = stretch.last;
    }

    fn weigh(&mut self, to: Place, before: u32, after: u32, silence: i64, fracture: i64) {
        let to = Place { at: self.seen + to.at, ..to };
        let keep = |best: &mut Option<Step>, weight: i64| {
            if best.is_none_or(|best| weight > best.weight) {
                *best = Some(Step { to, before, after, weight });
            }
        };
        keep(&mut self.silence, silence);
        keep(&mut self.fracture, fracture);
    }

    /// Takes lines that name their date: each is a certain point.
    fn full(&mut self, stretch: &Stretch, date: i32, offset: Option<i32>) -> bool {
        let seconds = i64::from(date) * DAY + i64::from(stretch.first);
        let is_later_day = i64::from(self.last) > i64::from(stretch.first) + CLOCK_CHANGE;
        let target = if is_later_day { date - 1 } else { date };
        let was_full = self.runs.last().is_some_and(|run| run.cause == Cause::Full);
        if !self.runs.is_empty() {
            if !self.is_dated {
                self.move_undated(target);
            } else if self.certain.is_some_and(|certain| seconds < certain.seconds - CLOCK_CHANGE) {
                if was_full {
                    self.next_segment(self.runs.len(), stretch.place.line);
                } else {
                    self.break_off(stretch.place.line);
                    self.move_undated(target);
                }
            } else if !was_full && self.last_day > target {
                self.take_back(i64::from(self.last_day - target), stretch.place.line);
            }
        }
        let is_same = self.runs.last().is_some_and(|run| {
            run.cause == Cause::Full && (run.day, run.offset, run.segment) == (date, offset, self.segment)
        });
        if !is_same {
            self.push(stretch, date, Cause::Full, 0, offset);
        }
        self.extend(stretch);
        self.night += i64::from(date) - i64::from(self.day);
        (self.day, self.last_day, self.reference, self.is_dated) = (date, date, stretch.last, true);
        self.confirm(stretch.count);
        !is_same
    }

    /// The local time of the last line if the clock is as one that begins with it, and with the date that it names.
    pub(super) fn as_new(&self, date: i32, clock: Option<u32>) -> Option<i64> {
        let begun = if clock.is_some() { self.date_of_last(date, clock) } else { date };
        let is_new = !self.runs.is_empty() && self.reference == self.last && self.last_day == self.day;
        (is_new && begun == self.day && self.current_offset().is_none())
            .then(|| i64::from(self.last_day) * DAY + i64::from(self.last))
    }

    /// Takes the date that the last line named, with some the time of day beside it.
    pub(super) fn anchor(&mut self, date: i32, clock: Option<u32>, line: u64) {
        let target = self.date_of_last(date, clock);
        if self.runs.is_empty() {
            return;
        }
        if !self.is_dated {
            self.move_undated(target);
        }
        let missing = i64::from(target) - i64::from(self.last_day);
        if missing > 0 {
            self.add_days(missing as i32, line);
        } else if missing < 0 {
            let seconds = i64::from(target) * DAY + i64::from(self.last);
            let is_before = self.certain.is_some_and(|certain| seconds < certain.seconds - CLOCK_CHANGE);
            if is_before || !self.take_back(-missing, line) {
                self.break_off(line);
                self.move_undated(target);
            }
        }
        self.confirm(0);
    }

    /// The date of the last line by what it says. The daemon takes the two times one after the other, so midnight can
    /// lie between them.
    fn date_of_last(&self, date: i32, clock: Option<u32>) -> i32 {
        let last = i64::from(self.last);
        if let Some(clock) = clock {
            let distance = |day: i32| (i64::from(day - date) * DAY + last - i64::from(clock)).abs();
            return [date, date - 1, date + 1].into_iter().min_by_key(|&day| distance(day)).unwrap_or(date);
        }
        let is_just_before = last >= DAY - 10 && date == self.last_day + 1;
        let is_just_after = last < 10 && date == self.last_day - 1;
        if self.is_dated && (is_just_before || is_just_after) { self.last_day } else { date }
    }

    fn confirm(&mut self, pending: u64) {
        let seconds = i64::from(self.last_day) * DAY + i64::from(self.last);
        self.certain = Some(Certain { seconds, run: self.runs.len() - 1, seen: self.seen + pending });
        self.fracture_before = self.fracture.take();
        self.silence = None;
    }

    /// Gives all lines that wait for a date their dates, the last one this.
    fn move_undated(&mut self, date: i32) {
        let days = date - self.last_day;
        for run in &mut self.runs[self.undated_from..] {
            run.day += days;
        }
        self.day += days;
        self.last_day += days;
        self.is_dated = true;
    }

    fn add_days(&mut self, days: i32, line: u64) {
        let Some(silence) = self.silence else { return };
        let from = self.boundary(&silence, Cause::Added);
        for run in &mut self.runs[from..] {
            run.day += days;
        }
        self.day += days;
        self.last_day += days;
        self.note(line, "date_corrected", |date| {
            format!("the log says {date}: {days} more day(s) than its times show, added at line {}", silence.to.line)
        });
    }

    /// Takes midnights back since the last certain point; false when there are not as many.
    fn take_back(&mut self, days: i64, line: u64) -> bool {
        let since = self.certain.map_or(self.undated_from, |certain| certain.run + 1);
        let is_midnight = |run: &Run| run.cause == Cause::Midnight;
        let mut midnights: Vec<usize> = (since..self.runs.len()).filter(|&at| is_midnight(&self.runs[at])).collect();
        if (midnights.len() as i64) < days {
            return false;
        }
        midnights.sort_by_key(|&at| std::cmp::Reverse(self.runs[at].silence));
        midnights.truncate(days as usize);
        for &at in &midnights {
            self.runs[at].cause = Cause::Same;
        }
        midnights.sort_unstable();
        let mut taken = 0;
        for at in since..self.runs.len() {
            taken += i32::from(midnights.get(taken as usize) == Some(&at));
            self.runs[at].day -= taken;
        }
        self.day -= days as i32;
        self.last_day -= days as i32;
        self.note(line, "date_corrected", |date| {
            format!("the log says {date}: {days} step(s) back before it were no midnight")
        });
        true
    }

    /// Begins a segment at the largest break since the last certain point; its lines wait for a date.
    fn break_off(&mut self, line: u64) {
        if let Some(fracture) = self.fracture {
            let from = self.boundary(&fracture, Cause::Start);
            self.next_segment(from, line);
        }
    }

    /// Begins a segment for a banner of another server. Its start-up block begins before the banner, and may have
    /// named a date already.
    pub(super) fn other_server(&mut self, line: u64) {
        let is_in_block = self.certain.is_some_and(|certain| self.seen - certain.seen <= STARTUP_LINES);
        let before = if is_in_block { self.fracture_before } else { None };
        let Some(fracture) = before.or(self.fracture) else { return };
        let was_dated = self.is_dated;
        let undated_from = self.undated_from;
        let from = self.boundary(&fracture, Cause::Start);
        self.next_segment(from, line);
        // Without a date of its own it goes on from the lines before it.
        self.is_dated = was_dated;
        if !was_dated {
            self.undated_from = undated_from;
        }
    }

    fn next_segment(&mut self, from: usize, line: u64) {
        self.segment += 1;
        for run in &mut self.runs[from..] {
            run.segment = self.segment;
        }
        self.undated_from = from;
        self.is_dated = false;
        self.certain = None;
        self.fracture = None;
        self.fracture_before = None;
        self.silence = None;
        let starts = self.runs.get(from).map_or(line, |run| run.place.line);
        let message = format!("another log begins here, as line {line} shows");
        self.notes.push(Note { line: starts, code: "new_segment", message });
    }

    /// The run that begins where the step leads to, made where there is none.
    fn boundary(&mut self, step: &Step, cause: Cause) -> usize {
        let index = self.runs.partition_point(|run| run.place.at < step.to.at);
        if self.runs.get(index).is_some_and(|run| run.place.at == step.to.at) {
            return index;
        }
        let Some(whole) = index.checked_sub(1).and_then(|before| self.runs.get_mut(before)) else { return index };
        let mut rest = *whole;
        whole.greatest = whole.least.max(step.before);
        rest.place = step.to;
        rest.first = step.after;
        rest.least = step.after;
        rest.greatest = rest.greatest.max(step.after);
        rest.cause = cause;
        self.runs.insert(index, rest);
        index
    }

    fn note(&mut self, line: u64, code: &'static str, message: impl FnOnce(String) -> String) {
        self.notes.push(Note { line, code, message: message(date_text(self.last_day)) });
    }

    /// The seconds of the last line on a scale that anchors do not move; to measure short times with.
    pub(super) fn moment(&self) -> i64 {
        (self.night + i64::from(self.last_day) - i64::from(self.day)) * DAY + i64::from(self.last)
    }

    /// How many stamped lines there were.
    pub(super) fn seen(&self) -> u64 {
        self.seen
    }

    /// The segment of the last line.
    pub(super) fn segment(&self) -> u32 {
        self.segment
    }

    /// The dates, or none when nothing in the file gives one and `first_date`, the date of the first line, is unknown.
    pub(super) fn finish(mut self, first_date: Option<i32>) -> (Option<Vec<Run>>, Vec<Note>) {
        if !self.is_dated
            && let Some(first) = self.runs.get(self.undated_from)
        {
            let Some(date) = first_date else { return (None, self.notes) };
            let days = date - first.day;
            self.move_undated(self.last_day + days);
        }
        (Some(self.runs), self.notes)
    }
}
