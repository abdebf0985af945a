//! The look at the rows before they are charged: which are valid, and whether they are in order of their start.

use std::thread;

use bytemuck::Pod;

use super::held::Row;
use super::keys::is_by_host;
use super::sort;
use super::{CalendarOf, NO_TIME, OPEN, Rule, Sessions, Window};
use crate::column::Column;
use crate::error::Result;
use crate::intern::NONE;
use crate::time::{MAX_TIME, MIN_TIME};

/// Why a session cannot be charged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// No user.
    MissingUser,
    /// No product.
    MissingProduct,
    /// No start.
    MissingStart,
    /// No server, though the rule's days are the server's.
    MissingServer,
    /// A server that has no zone, though the rule's days are the server's.
    UnknownServer,
    /// A user who has no zone, though the rule's days are the user's.
    UnknownUser,
    /// No host, though the product is metered by machine.
    MissingHost,
    /// An end before the start.
    EndBeforeStart,
    /// A time outside of the bounds of time in data.
    TimeOutOfRange,
}

impl Fault {
    /// The problem's code in the problems table.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::MissingUser => "missing_user",
            Self::MissingProduct => "missing_product",
            Self::MissingStart => "missing_start",
            Self::MissingServer => "missing_server",
            Self::UnknownServer => "unknown_server",
            Self::UnknownUser => "unknown_user",
            Self::MissingHost => "missing_host",
            Self::EndBeforeStart => "end_before_start",
            Self::TimeOutOfRange => "time_out_of_range",
        }
    }
}

/// A row that is not charged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RowProblem {
    /// The row in the sessions table, from 0.
    pub row: u32,
    /// What is wrong with it.
    pub fault: Fault,
}

/// What one pass over the rows tells.
#[derive(Debug, Clone, Copy)]
pub struct Summary {
    /// Every row can be charged.
    pub all_valid: bool,
    /// No start comes before the one above it.
    pub is_ordered: bool,
    /// The last valid instant among starts and ends.
    pub last: i64,
}

/// Looks at every row once.
#[must_use]
pub fn summarize(sessions: &Sessions<'_>, rule: &Rule<'_>) -> Summary {
    let mut summary = Summary { all_valid: true, is_ordered: true, last: MIN_TIME };
    let mut previous = i64::MIN;
    // No branch in the loop, so that the compiler can use wide registers.
    let (mut disorder, mut fault, mut last) = (false, false, MIN_TIME);
    for (&start, &end) in sessions.start.iter().zip(sessions.end) {
        disorder |= start < previous;
        previous = start;
        let end = if end == OPEN { start } else { end };
        fault |= end < start;
        for time in [start, end] {
            let is_valid = (MIN_TIME..MAX_TIME).contains(&time);
            fault |= !is_valid;
            last = last.max(if is_valid { time } else { MIN_TIME });
        }
    }
    fault |= sessions.user.contains(&NONE) || sessions.product.contains(&NONE) || key_fault(sessions, rule);
    summary.is_ordered = !disorder;
    summary.all_valid = !fault;
    summary.last = last;
    summary
}

/// The ends with one for sessions that are still open: `as_of`, or the last valid instant among starts and ends. `None`
/// where nothing is open.
#[must_use]
pub fn closed(sessions: &Sessions<'_>, as_of: Option<i64>) -> Option<Vec<i64>> {
    if !sessions.end.contains(&OPEN) {
        return None;
    }
    let times = sessions.start.iter().chain(sessions.end).copied();
    let last = times.filter(|time| (MIN_TIME..MAX_TIME).contains(time)).max().unwrap_or(MIN_TIME);
    let as_of = as_of.unwrap_or(last);
    // A launch after `as_of` has been seen all the same.
    let end = |(&start, &end): (&i64, &i64)| if end == OPEN { as_of.max(start) } else { end };
    Some(sessions.start.iter().zip(sessions.end).map(end).collect())
}

/// The valid rows in order of their start, rows of one instant in the order of the table; `None` where these are all rows
/// as they stand. The others become problems.
#[must_use]
pub fn rows_in_order(
    sessions: &Sessions<'_>,
    summary: &Summary,
    rule: &Rule<'_>,
) -> (Option<Vec<u32>>, Vec<RowProblem>) {
    let mut problems = Vec::new();
    if summary.all_valid && summary.is_ordered {
        return (None, problems);
    }
    let mut rows: Vec<u32> = (0..sessions.len() as u32).collect();
    if !summary.all_valid {
        rows.retain(|&row| match fault(sessions, rule, row as usize) {
            None => true,
            Some(fault) => {
                problems.push(RowProblem { row, fault });
                false
            }
        });
    }
    if !summary.is_ordered {
        rows = sort::by_time(sessions.start, &rows);
    }
    let are_all = rows.len() == sessions.len() && rows.is_sorted();
    (if are_all { None } else { Some(rows) }, problems)
}

/// Some rows of sessions, copied out one after another.
#[derive(Debug)]
pub struct Gathered {
    user: Column<u32>,
    product: Column<u32>,
    server: Option<Column<u32>>,
    host: Option<Column<u32>>,
    start: Column<i64>,
    end: Column<i64>,
}

impl Gathered {
    /// Copies the rows. What follows then runs through near memory, which pays even for a single run.
    ///
    /// # Errors
    /// [`crate::Error::TooLarge`] where there is no memory for the copy.
    pub fn new(sessions: &Sessions<'_>, rows: &[u32]) -> Result<Self> {
        let names = |column: &[u32]| gather(column, rows);
        let (first, second) = thread::scope(|scope| {
            let running = scope.spawn(|| Ok((gather(sessions.start, rows)?, gather(sessions.end, rows)?)));
            let optional = |column: Option<&[u32]>| column.map(names).transpose();
            let others = || -> Result<_> {
                let (user, product) = (names(sessions.user)?, names(sessions.product)?);
                Ok((user, product, optional(sessions.server)?, optional(sessions.host)?))
            };
            let others = others();
            (running.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)), others)
        });
        let ((start, end), (user, product, server, host)) = (first?, second?);
        Ok(Self { user, product, server, host, start, end })
    }

    /// Of rows held back, each with its end.
    pub(super) fn of_rows(rows: &[Row], end: impl Fn(&Row) -> i64) -> Self {
        let names = |name: fn(&Row) -> u32| rows.iter().map(name).collect::<Vec<u32>>();
        let optional = |name: fn(&Row) -> u32| Some(names(name).into());
        Self {
            user: names(|row| row.user).into(),
            product: names(|row| row.product).into(),
            server: optional(|row| row.server),
            host: optional(|row| row.host),
            start: rows.iter().map(|row| row.start).collect::<Vec<i64>>().into(),
            end: rows.iter().map(end).collect::<Vec<i64>>().into(),
        }
    }

    /// The same rows, and then those of others. Columns that the others lack are left out.
    ///
    /// # Errors
    /// [`crate::Error::TooLarge`] where there is no memory for the copy.
    pub(super) fn followed_by(self, others: &Sessions<'_>) -> Result<Self> {
        let optional = |own: Option<Column<u32>>, others: Option<&[u32]>| match (own, others) {
            (Some(own), Some(others)) => joined(&own, others).map(Some),
            _ => Ok(None),
        };
        Ok(Self {
            user: joined(&self.user, others.user)?,
            product: joined(&self.product, others.product)?,
            server: optional(self.server, others.server)?,
            host: optional(self.host, others.host)?,
            start: joined(&self.start, others.start)?,
            end: joined(&self.end, others.end)?,
        })
    }

    /// The copy as sessions, with the names of those it was made of.
    #[must_use]
    pub fn sessions<'a>(&'a self, of: &Sessions<'_>) -> Sessions<'a> {
        Sessions {
            user: &self.user,
            product: &self.product,
            server: self.server.as_deref(),
            host: self.host.as_deref(),
            start: &self.start,
            end: &self.end,
            users: of.users,
            products: of.products,
            hosts: of.hosts,
        }
    }
}

fn joined<T: Pod>(first: &[T], second: &[T]) -> Result<Column<T>> {
    let mut column = Column::zeros(first.len() + second.len())?;
    column[..first.len()].copy_from_slice(first);
    column[first.len()..].copy_from_slice(second);
    Ok(column)
}

fn gather<T: Pod>(column: &[T], rows: &[u32]) -> Result<Column<T>> {
    let mut gathered = Column::zeros(rows.len())?;
    for (to, &row) in gathered.iter_mut().zip(rows) {
        *to = column[row as usize];
    }
    Ok(gathered)
}

fn fault(sessions: &Sessions<'_>, rule: &Rule<'_>, row: usize) -> Option<Fault> {
    let (start, end) = (sessions.start[row], sessions.end[row]);
    if sessions.user[row] == NONE {
        return Some(Fault::MissingUser);
    }
    if sessions.product[row] == NONE {
        return Some(Fault::MissingProduct);
    }
    if start == NO_TIME {
        return Some(Fault::MissingStart);
    }
    if !(MIN_TIME..MAX_TIME).contains(&start) || (end != OPEN && end >= MAX_TIME) {
        return Some(Fault::TimeOutOfRange);
    }
    if end < start {
        return Some(Fault::EndBeforeStart);
    }
    if is_by_host(rule, sessions.product[row]) && sessions.host.is_none_or(|hosts| hosts[row] == NONE) {
        return Some(Fault::MissingHost);
    }
    if rule.per_server && sessions.server_of(row) == NONE {
        return Some(Fault::MissingServer);
    }
    let Window::Day { calendar_of, .. } = rule.window else { return None };
    let is_known = |calendars: &[Option<u32>], code: u32| calendars.get(code as usize).is_some_and(Option::is_some);
    match calendar_of {
        CalendarOf::All => None,
        CalendarOf::User(calendars) => (!is_known(calendars, sessions.user[row])).then_some(Fault::UnknownUser),
        CalendarOf::Server(calendars) => match sessions.server_of(row) {
            NONE => Some(Fault::MissingServer),
            server => (!is_known(calendars, server)).then_some(Fault::UnknownServer),
        },
    }
}

/// Whether some row could lack what the rule needs to find its key and its calendar.
fn key_fault(sessions: &Sessions<'_>, rule: &Rule<'_>) -> bool {
    let no_server = || sessions.server.is_none_or(|servers| servers.contains(&NONE));
    if rule.by_host.contains(&true) || (rule.per_server && no_server()) {
        return true;
    }
    let Window::Day { calendar_of, .. } = rule.window else { return false };
    match calendar_of {
        CalendarOf::All => false,
        CalendarOf::Server(calendars) => no_server() || calendars.contains(&None),
        CalendarOf::User(calendars) => calendars.contains(&None) || calendars.len() < sessions.users,
    }
}
