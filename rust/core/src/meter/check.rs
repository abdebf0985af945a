//! The look at the rows before they are charged: which are valid, and whether they are in order of their start.

use super::{NO_TIME, OPEN, Rule, Sessions, Window};
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
    /// Some end is not known yet.
    pub has_open: bool,
    /// The last valid instant among starts and ends.
    pub last: i64,
}

/// Looks at every row once.
#[must_use]
pub fn summarize(sessions: &Sessions<'_>, rule: &Rule<'_>) -> Summary {
    let mut summary = Summary { all_valid: true, is_ordered: true, has_open: false, last: MIN_TIME };
    let mut previous = i64::MIN;
    // No branch in the loop, so that the compiler can use wide registers.
    let (mut disorder, mut fault, mut open, mut last) = (false, false, false, MIN_TIME);
    for (&start, &end) in sessions.start.iter().zip(&*sessions.end) {
        disorder |= start < previous;
        previous = start;
        open |= end == OPEN;
        let end = if end == OPEN { start } else { end };
        fault |= end < start;
        for time in [start, end] {
            let is_valid = (MIN_TIME..MAX_TIME).contains(&time);
            fault |= !is_valid;
            last = last.max(if is_valid { time } else { MIN_TIME });
        }
    }
    fault |= sessions.user.contains(&NONE) || sessions.product.contains(&NONE) || server_fault(sessions, rule);
    summary.is_ordered = !disorder;
    summary.all_valid = !fault;
    summary.has_open = open;
    summary.last = last;
    summary
}

/// Gives sessions that are still open an end.
pub fn close_open_sessions(sessions: &mut Sessions<'_>, as_of: i64) {
    let starts = &sessions.start;
    for (end, &start) in sessions.end.to_mut().iter_mut().zip(&**starts) {
        if *end == OPEN {
            // A launch after `as_of` has been seen all the same.
            *end = as_of.max(start);
        }
    }
}

/// In which order the rows are charged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Order {
    /// All rows, as they stand.
    AsIs,
    /// These rows, in this order.
    Rows(Vec<u32>),
}

/// The valid rows in order of their start, rows of one instant in the order of the table; the others become problems.
#[must_use]
pub fn order(sessions: &Sessions<'_>, summary: &Summary, rule: &Rule<'_>, problems: &mut Vec<RowProblem>) -> Order {
    if summary.all_valid && summary.is_ordered {
        return Order::AsIs;
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
        let mut keyed: Vec<(i64, u32)> = rows.iter().map(|&row| (sessions.start[row as usize], row)).collect();
        keyed.sort_unstable();
        rows = keyed.into_iter().map(|(_, row)| row).collect();
    }
    Order::Rows(rows)
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
    if !(MIN_TIME..MAX_TIME).contains(&start) || end >= MAX_TIME {
        return Some(Fault::TimeOutOfRange);
    }
    if end < start {
        return Some(Fault::EndBeforeStart);
    }
    let Window::Day { zone_of_server: Some(zones), .. } = rule.window else { return None };
    match sessions.server.as_ref().map_or(NONE, |servers| servers[row]) {
        NONE => Some(Fault::MissingServer),
        server if zones.get(server as usize).copied().flatten().is_none() => Some(Fault::UnknownServer),
        _ => None,
    }
}

fn server_fault(sessions: &Sessions<'_>, rule: &Rule<'_>) -> bool {
    let Window::Day { zone_of_server: Some(zones), .. } = rule.window else { return false };
    let Some(servers) = &sessions.server else { return true };
    if zones.iter().all(Option::is_some) {
        return servers.contains(&NONE);
    }
    servers.iter().any(|&server| zones.get(server as usize).copied().flatten().is_none())
}
