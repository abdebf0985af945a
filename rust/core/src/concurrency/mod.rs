//! How many licenses are in use: from each instant on ([`steps`]), for how long at each level ([`levels`]), and in each
//! hour of the week ([`heat`]).
//!
//! Check-outs and returns are two lists that are put in order of group and time side by side ([`order`]) and then merged.
//! A session holds its licenses in `[start, end)`; one of zero length holds them never, and is a request all the same.

pub mod groups;
pub mod heat;
pub mod hours;
pub mod levels;
mod order;
pub mod steps;
mod unions;

use std::borrow::Cow;

use crate::error::{Error, Result};
use crate::intern::NONE;
use crate::meter::OPEN;
use crate::time::{MAX_TIME, MIN_TIME};

/// Sessions, column by column.
#[derive(Debug, Clone, Copy)]
pub struct Sessions<'a> {
    /// Number of the group of each row, below `groups`.
    pub group: &'a [u32],
    /// How many groups there are.
    pub groups: usize,
    /// Instants; [`crate::meter::NO_TIME`] where there is none.
    pub start: &'a [i64],
    /// Instants; [`OPEN`] where the session has not ended.
    pub end: &'a [i64],
    /// How many each session holds; one each where there is no such column.
    pub licenses: Option<&'a [u32]>,
    /// How many check-outs each row stands for, where that is known: one without any is no request.
    pub checkouts: Option<&'a [u32]>,
    /// Where users or hosts are counted in place of licenses: who it is, [`NONE`] where nobody is named.
    pub member: Option<&'a [u32]>,
}

/// Why a row is not counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// No start.
    MissingStart,
    /// A time outside of the bounds of time in data.
    TimeOutOfRange,
    /// An end before the start.
    EndBeforeStart,
    /// Nobody is named, and who it is decides whether they count.
    MissingMember,
}

/// Sessions that were looked at once.
#[derive(Debug)]
pub struct Checked<'a> {
    sessions: Sessions<'a>,
    end: Cow<'a, [i64]>,
    /// The rows that are not counted, and why.
    pub faults: Vec<(u32, Fault)>,
    /// The first start and the last end of the others; `None` where there are none.
    pub period: Option<(i64, i64)>,
}

impl<'a> Checked<'a> {
    /// Looks at every row. Open sessions end at `as_of`, the last instant in the table unless given.
    ///
    /// # Errors
    /// [`Error::TooLarge`] for more rows than a number of 32 bits can count.
    pub fn new(sessions: Sessions<'a>, as_of: Option<i64>) -> Result<Self> {
        if sessions.start.len() >= NONE as usize {
            let message = "more than 4,294 million sessions: count them in parts".to_owned();
            return Err(Error::TooLarge { message });
        }
        let end = closed(&sessions, as_of);
        let (mut first, mut last, mut is_whole) = (MAX_TIME, MIN_TIME, true);
        // No branch in the loop, so that the compiler can use wide registers.
        for (&start, &end) in sessions.start.iter().zip(&*end) {
            let is_valid = start >= MIN_TIME && start <= end && end < MAX_TIME;
            is_whole &= is_valid;
            first = first.min(if is_valid { start } else { MAX_TIME });
            last = last.max(if is_valid { end } else { MIN_TIME });
        }
        is_whole &= sessions.member.is_none_or(|members| !members.contains(&NONE));
        let mut checked = Self { sessions, end, faults: Vec::new(), period: (first <= last).then_some((first, last)) };
        if !is_whole {
            let rows = 0..sessions.start.len();
            checked.faults = rows.filter_map(|row| Some((row as u32, checked.fault(row)?))).collect();
            let good = || (0..sessions.start.len()).filter(|&row| checked.fault(row).is_none());
            let first = good().map(|row| sessions.start[row]).min();
            checked.period = first.zip(good().map(|row| checked.end[row]).max());
        }
        Ok(checked)
    }

    fn fault(&self, row: usize) -> Option<Fault> {
        let (start, end) = (self.sessions.start[row], self.end[row]);
        if start == crate::meter::NO_TIME {
            Some(Fault::MissingStart)
        } else if !(MIN_TIME..MAX_TIME).contains(&start) || end >= MAX_TIME {
            Some(Fault::TimeOutOfRange)
        } else if end < start {
            Some(Fault::EndBeforeStart)
        } else if self.sessions.member.is_some_and(|members| members[row] == NONE) {
            Some(Fault::MissingMember)
        } else {
            None
        }
    }

    /// What holds licenses: of distinct users or hosts their stretches of use, otherwise the sessions.
    #[must_use]
    pub fn uses(&self) -> Uses<'_> {
        let Sessions { group, groups, start, licenses, member, .. } = self.sessions;
        if let Some(member) = member {
            return unions::unions(self, member);
        }
        // One license each needs no second number to be carried along.
        let licenses = licenses.filter(|licenses| licenses.iter().any(|&licenses| licenses != 1));
        Uses { group: group.into(), groups, start: start.into(), end: (&*self.end).into(), licenses }
    }

    /// The check-outs as times that are asked at: every row that is no fault, also those of zero length.
    #[must_use]
    pub fn requests(&self) -> Requests<'_> {
        let mut is_asked = match self.sessions.checkouts {
            None => vec![true; self.sessions.start.len()],
            Some(checkouts) => checkouts.iter().map(|&checkouts| checkouts > 0).collect(),
        };
        for &(row, _) in &self.faults {
            is_asked[row as usize] = false;
        }
        Requests { group: self.sessions.group, start: self.sessions.start, is_asked }
    }
}

/// Stretches in which licenses are held. Rows whose times make no stretch hold nothing.
#[derive(Debug)]
pub struct Uses<'a> {
    group: Cow<'a, [u32]>,
    groups: usize,
    start: Cow<'a, [i64]>,
    end: Cow<'a, [i64]>,
    licenses: Option<&'a [u32]>,
}

impl Uses<'_> {
    fn is_held(&self, row: usize) -> bool {
        let (start, end) = (self.start[row], self.end[row]);
        start >= MIN_TIME && start < end && end < MAX_TIME
    }
}

/// Instants at which licenses were asked for and given.
#[derive(Debug)]
pub struct Requests<'a> {
    group: &'a [u32],
    start: &'a [i64],
    is_asked: Vec<bool>,
}

/// The ends, with one for each session that is still open.
fn closed<'a>(sessions: &Sessions<'a>, as_of: Option<i64>) -> Cow<'a, [i64]> {
    if !sessions.end.contains(&OPEN) {
        return sessions.end.into();
    }
    let times = sessions.start.iter().chain(sessions.end).copied();
    let last = times.filter(|time| (MIN_TIME..MAX_TIME).contains(time)).max().unwrap_or(MIN_TIME);
    let as_of = as_of.unwrap_or(last);
    // A launch after `as_of` has been seen all the same.
    let end = |(&start, &end): (&i64, &i64)| if end == OPEN { as_of.max(start) } else { end };
    sessions.start.iter().zip(sessions.end).map(end).collect()
}

fn too_many() -> Error {
    let message = "more than 4,294,967,295 licenses at once: is the column `licenses` right?".to_owned();
    Error::TooLarge { message }
}
