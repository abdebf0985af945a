//! From sessions to charges.
//!
//! One pass over the sessions in order of their start, with one small state per key (user × product): see [`kernel`].
//! [`check`] looks at the rows first, [`rates`] prices the charges, [`charges`] writes them out in order of time.

pub mod charges;
pub mod check;
pub mod kernel;
pub mod rates;
pub mod state;

use std::borrow::Cow;

pub use charges::{Charges, Trigger};
pub use check::{Fault, RowProblem};
pub use rates::Rates;

use crate::error::{Error, Result};
use crate::time::day::Days;

/// How windows follow one another.
#[derive(Debug, Clone, Copy)]
pub enum Window<'a> {
    /// A window lasts this many microseconds from the charge that opened it.
    Rolling {
        /// The window's length.
        length: i64,
    },
    /// Windows are local days.
    Day {
        /// The local days of each zone that occurs.
        zones: &'a [Days],
        /// For each server code its place in `zones`; `None` puts every session into zone 0.
        zone_of_server: Option<&'a [Option<u32>]>,
    },
}

/// What is charged and when.
#[derive(Debug, Clone, Copy)]
pub struct Rule<'a> {
    /// How windows follow one another.
    pub window: Window<'a>,
    /// A session shorter than this many microseconds never opens or renews a window.
    pub min_duration: i64,
}

/// A sessions table: columns of equal length. Names are codes, [`crate::intern::NONE`] for null.
#[derive(Debug, Clone)]
pub struct Sessions<'a> {
    /// Who pays.
    pub user: Cow<'a, [u32]>,
    /// The product line.
    pub product: Cow<'a, [u32]>,
    /// The license server, where the table has it.
    pub server: Option<Cow<'a, [u32]>>,
    /// The launch.
    pub start: Cow<'a, [i64]>,
    /// The end of use, exclusive; [`OPEN`] while it is not known.
    pub end: Cow<'a, [i64]>,
    /// User codes are below this.
    pub users: usize,
    /// Product codes are below this.
    pub products: usize,
}

/// The end of a session that is still open.
pub const OPEN: i64 = i64::MAX;
/// A start that is missing.
pub const NO_TIME: i64 = i64::MIN;

impl Sessions<'_> {
    /// How many rows there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.start.len()
    }

    /// Whether there is no row.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.start.is_empty()
    }
}

/// The charges of a table of sessions, and the rows that could not be charged.
///
/// Sessions still open are in use until `as_of`, or until the last instant in the table where that is `None`.
///
/// # Errors
/// [`Error::TooLarge`] for a table or a result beyond what the columns can address or the memory can hold.
pub fn charge(
    mut sessions: Sessions<'_>,
    rule: &Rule<'_>,
    rates: &Rates,
    as_of: Option<i64>,
) -> Result<(Charges, Vec<RowProblem>)> {
    if u32::try_from(sessions.len()).is_err() {
        return Err(Error::TooLarge {
            message: "more than 4,294,967,295 sessions in one call: charge them in parts".to_owned(),
        });
    }
    let summary = check::summarize(&sessions, rule);
    if summary.has_open {
        check::close_open_sessions(&mut sessions, as_of.unwrap_or(summary.last));
    }
    let mut problems = Vec::new();
    let order = check::order(&sessions, &summary, rule, &mut problems);
    let settled = kernel::settle(&sessions, &order, rule)?;
    let charges = charges::write(&sessions, settled, rule, rates)?;
    Ok((charges, problems))
}
