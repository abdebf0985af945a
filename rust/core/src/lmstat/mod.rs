//! Reading the output of `lmstat -a`: snapshots of who has which license right now.
//!
//! `lexer` reads each line for itself, `reader` knows where in an output it stands, and `sessions` joins what the
//! snapshots of a series show into sessions of use.

mod lexer;
mod reader;
mod sessions;

use encoding_rs::Encoding;

use crate::error::Result;
use crate::flexlm::{FileReport, Input, Problem, Progress, Timezone};
use crate::intern::Interner;

/// No instant in a column of times.
pub const NO_TIME: i64 = i64::MIN;

/// How to read.
#[derive(Debug, Clone)]
pub struct Options {
    /// The zones of the machines that ran `lmstat`, by license server.
    pub timezone: Timezone,
    /// The server's name, in place of what the outputs say.
    pub server: Option<String>,
    /// The encoding of names that are not UTF-8.
    pub encoding: &'static Encoding,
}

/// What a set of outputs says. Names are codes into [`Names`], [`crate::intern::NONE`] for none.
#[derive(Debug, Clone, Default)]
pub struct Series {
    /// The snapshots in the order of files and lines.
    pub snapshots: Vec<Snapshot>,
    /// The features of each snapshot.
    pub features: Vec<Feature>,
    /// The lines of users.
    pub checkouts: Vec<Checkout>,
    /// The reservations.
    pub reservations: Vec<Reservation>,
    /// The sessions in order of their start.
    pub sessions: Vec<Session>,
    /// The names behind the codes.
    pub names: Names,
    /// What could not be read, or does not agree.
    pub problems: Vec<Problem>,
    /// What became of the lines of each file.
    pub files: Vec<FileReport>,
}

/// The distinct names of each column.
#[derive(Debug, Clone, Default)]
#[expect(missing_docs, reason = "the columns of `Series`")]
pub struct Names {
    pub server: Interner,
    pub file: Interner,
    pub feature: Interner,
    pub user: Interner,
    pub host: Interner,
    pub display: Interner,
    pub version: Interner,
    pub server_host: Interner,
    pub text: Interner,
}

/// What a snapshot says of its server. The numbers are the codes of the column `status`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[repr(u8)]
pub enum Status {
    /// It answered.
    Up = 0,
    /// It, or a vendor daemon of it, does not run.
    Down,
    /// `lmstat` could not ask it.
    Error,
    /// The output does not say.
    #[default]
    Unknown,
}

impl Status {
    /// The names in the order of the codes.
    pub const NAMES: [&'static str; 4] = ["UP", "DOWN", "ERROR", "UNKNOWN"];
}

/// One server in one output of `lmstat`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// The license server.
    pub server: u32,
    /// The instant, [`NO_TIME`] where the output has none.
    pub time: i64,
    /// Whether the server answered.
    pub status: Status,
    /// What it, or `lmstat`, said instead of answering.
    pub message: Option<String>,
    /// The license manager's version.
    pub version: Option<String>,
    /// The vendor daemons with their status.
    pub daemons: Vec<String>,
    /// How many features it lists.
    pub features: u32,
    /// How many lines of users it lists.
    pub checkouts: u32,
    /// The file.
    pub file: u32,
    /// The line of the output's header, or its first line.
    pub line: u32,
}

/// One feature in one snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "the columns of the table of features, explained there")]
pub struct Feature {
    pub snapshot: u32,
    pub feature: u32,
    /// [`crate::intern::NONE`] for none, as in `in_use`.
    pub issued: u32,
    pub in_use: u32,
    pub is_uncounted: bool,
    pub message: u32,
    pub version: u32,
    pub vendor: u32,
    pub expiry: u32,
    pub line: u32,
    /// Whether all its users are listed, so that who is not listed has no license.
    pub is_complete: bool,
}

/// One line of a user.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "the columns of the table of check-outs, explained there")]
pub struct Checkout {
    pub snapshot: u32,
    pub feature: u32,
    pub user: u32,
    pub host: u32,
    pub display: u32,
    pub version: u32,
    pub server_host: u32,
    /// [`crate::intern::NONE`] for none.
    pub port: u32,
    /// `u64::MAX` for none, as in `linger` and `pid`.
    pub handle: u64,
    /// [`NO_TIME`] for none.
    pub start: i64,
    pub licenses: u32,
    pub linger: u64,
    pub pid: u64,
    pub is_queued: bool,
    pub line: u32,
}

/// One reservation in one snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "the columns of the table of reservations, explained there")]
pub struct Reservation {
    pub snapshot: u32,
    pub feature: u32,
    pub licenses: u32,
    pub kind: u32,
    pub name: u32,
    pub server_host: u32,
    pub port: u32,
    pub line: u32,
}

/// A use of a license, seen in one or more snapshots.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    /// The check-out that showed it first.
    pub checkout: u32,
    /// When it began.
    pub start: i64,
    /// The last snapshot that shows it.
    pub end: i64,
    /// The first snapshot without it, [`NO_TIME`] if there is none.
    pub end_latest: i64,
    /// How far the true start may lie from `start`, [`NO_TIME`] if that is not known.
    pub start_error: i64,
    /// How many snapshots show it.
    pub seen: u32,
    /// The most licenses at once.
    pub licenses: u32,
}

/// Reads outputs of `lmstat -a`.
///
/// # Errors
/// [`Error::Io`](crate::Error::Io) and [`Error::Changed`](crate::Error::Changed) where an input cannot be read,
/// [`Error::WrongKind`](crate::Error::WrongKind) where none is an output of `lmstat`,
/// [`Error::MissingZone`](crate::Error::MissingZone) and [`Error::ServerWithoutZone`](crate::Error::ServerWithoutZone)
/// without a zone, and [`Error::Interrupted`](crate::Error::Interrupted) when `progress` returns false.
pub fn read(inputs: Vec<Input>, options: &Options, progress: Progress<'_>) -> Result<Series> {
    let mut series = reader::read(inputs, options, progress)?;
    series.sessions = sessions::join(&series);
    Ok(series)
}
