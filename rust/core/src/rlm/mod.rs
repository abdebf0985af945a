//! Reading the report logs of RLM license servers: events with exact handles, and the sessions that they make.
//!
//! `lexer` reads each line for itself, `reader` gives its records their dates and instants, and `join` puts the records
//! of all files in order and pairs them by handle.

mod join;
mod lexer;
mod reader;

use encoding_rs::Encoding;

use crate::error::Result;
use crate::flexlm::{Events, FileReport, Input, Names, Problem, Progress, Timezone};
use crate::pair::Sessions;

/// How to read.
#[derive(Debug, Clone)]
pub struct Options {
    /// The zones of the servers, in place of the offset that a log states.
    pub timezone: Timezone,
    /// The server's name, in place of what the logs say.
    pub server: Option<String>,
    /// The encoding of names that are not UTF-8.
    pub encoding: &'static Encoding,
}

/// What a set of report logs says.
#[derive(Debug, Default)]
pub struct Log {
    /// The events with the columns of `FlexNet` logs; log by log, in order of their first instants.
    pub events: Events,
    /// For each event the number that says why: of check-ins, dequeues and denials; [`NO_NUMBER`] for none.
    pub why: Vec<i32>,
    /// For each event whether it is a refusal after which the program asks again, maybe of another server.
    pub is_asked_again: Vec<bool>,
    /// The names behind the codes.
    pub names: Names,
    /// The sessions, by the rows of their events.
    pub sessions: Handled,
    /// What could not be read or paired.
    pub problems: Vec<Problem>,
    /// What became of the lines of each file.
    pub files: Vec<FileReport>,
}

/// No number in a column of reasons.
pub const NO_NUMBER: i32 = i32::MIN;

/// Sessions paired by handle.
#[derive(Debug, Default)]
pub struct Handled {
    /// As of events without handles.
    pub sessions: Sessions,
    /// Why the check-in came; [`NO_NUMBER`] where none did.
    pub why: Vec<i32>,
}

/// Reads report logs.
///
/// # Errors
/// [`Error::Io`](crate::Error::Io) and [`Error::Changed`](crate::Error::Changed) where an input cannot be read,
/// [`Error::WrongKind`](crate::Error::WrongKind) where none is a report log,
/// [`Error::MissingZone`](crate::Error::MissingZone) and [`Error::ServerWithoutZone`](crate::Error::ServerWithoutZone)
/// without a zone, and [`Error::Interrupted`](crate::Error::Interrupted) when `progress` returns false.
pub fn read(inputs: Vec<Input>, options: &Options, progress: Progress<'_>) -> Result<Log> {
    let read = reader::read(inputs, options, progress)?;
    Ok(join::join(read))
}
