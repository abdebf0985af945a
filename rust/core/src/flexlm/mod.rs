//! Reading the debug logs of `FlexNet` license servers into events.
//!
//! The road of the bytes, each stage its own module: [`text`] unpacks a file and makes it UTF-8, `reader` cuts it into
//! blocks and hands them to workers, `block` turns their lines into records (`stamp`, `lexer` and `dictionary` are its
//! tools), and `assemble` puts the blocks together in order. `clock` finds the dates that the lines do not carry, `lives`
//! which lines tell of one stop, `packages` what the start-up block lists. `join` finishes the log: `instants` from local
//! times, `order` among the files, and a `report` about each. Where there is more than memory holds, `spool` keeps the
//! events on disk, and `spooled` finishes the log and gives its events as they are asked for.
//!
//! Bad lines are data: each is counted, and told in [`Log::problems`] where it may have been an event. The lines of
//! every file add up: `lines + glued = event_lines + other_lines + problem_lines + repeated_lines`.

mod assemble;
mod block;
mod clock;
mod dictionary;
mod instants;
mod join;
mod lexer;
mod lives;
mod order;
mod packages;
mod reader;
mod report;
mod spool;
mod spooled;
pub(crate) mod stamp;
#[cfg(test)]
mod tests;

use std::io::Read;
use std::path::{Path, PathBuf};

use encoding_rs::Encoding;

use crate::error::Result;
use crate::intern::Interner;
use crate::text;
use crate::time::zone::Zone;

pub use spooled::{Batch, Spooled, Stream};

/// What happened. The numbers are the codes of the events' `kind` column.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Kind {
    /// A license was checked out.
    Out = 0,
    /// A license came back.
    In,
    /// A checkout was refused.
    Denied,
    /// A checkout was refused since the server has no such feature.
    Unsupported,
    /// A checkout was enlarged.
    Upgrade,
    /// A user waits for a license.
    Queued,
    /// A user waits no longer.
    Dequeued,
    /// A daemon started.
    Start,
    /// A daemon stopped as ordered.
    Stop,
    /// A daemon ended by itself.
    Crash,
    /// A vendor daemon read its license file again.
    Reread,
}

impl Kind {
    /// The names of the kinds, in the order of their codes.
    pub const NAMES: [&'static str; 11] =
        ["OUT", "IN", "DENIED", "UNSUPPORTED", "UPGRADE", "QUEUED", "DEQUEUED", "START", "STOP", "CRASH", "REREAD"];
}

/// One log file or stream. The content may be plain, gzip or zstd; its first bytes tell, not its name.
pub struct Input {
    /// What to call it in results.
    pub name: String,
    /// Its folder: a file without a banner belongs to the server of the other files there.
    pub folder: String,
    /// Its size, where that is known: only to tell how far the reading is.
    pub bytes: Option<u64>,
    /// Its content.
    pub content: Content,
}

/// Where the bytes of an input are.
pub enum Content {
    /// In a file, opened when its turn comes and read up to the length it has then. It may grow meanwhile; another change
    /// is [`Error::Changed`](crate::Error::Changed).
    File(PathBuf),
    /// In memory, or wherever else they come from.
    Stream(Box<dyn Read + Send>),
}

/// The zones of the license servers.
#[derive(Debug, Clone)]
pub enum Timezone {
    /// Unknown: every event has to name its offset.
    None,
    /// One zone for all servers.
    One(Zone),
    /// A zone for each server, by its name.
    PerServer(Vec<(String, Zone)>),
}

/// How to read.
#[derive(Debug, Clone)]
pub struct Options {
    /// The zones of the servers, for lines with local times.
    pub timezone: Timezone,
    /// The server's name, in place of what the files say.
    pub server: Option<String>,
    /// The encoding of names that are not UTF-8.
    pub encoding: &'static Encoding,
    /// The date of the first line of files that name no date at all, in days since 1970-01-01.
    pub first_date: Option<i32>,
    /// How many threads read, the calling one among them.
    pub threads: usize,
}

/// Called on the calling thread now and then with the bytes read so far; false interrupts.
pub type Progress<'a> = &'a mut (dyn FnMut(u64) -> bool + Send);

/// What a set of logs says.
#[derive(Debug, Clone, Default)]
pub struct Log {
    /// The events, by server and then in order of time.
    pub events: Events,
    /// The names behind the events' codes.
    pub names: Names,
    /// What could not be read, and what was corrected.
    pub problems: Vec<Problem>,
    /// The packages of features that the servers offer.
    pub packages: Vec<Package>,
    /// What became of the lines of each file, in the order of the inputs.
    pub files: Vec<FileReport>,
    /// What the logs of each server cover.
    pub coverage: Vec<Coverage>,
    /// From where on files can be read without what stands before, in the order of the files and their lines.
    pub anchors: Vec<Anchor>,
    /// The hosts that the start-up banners of each file name, in the order of the inputs.
    pub hosts: Vec<Vec<String>>,
}

/// A line that dates itself. What stands before it does not matter for what follows, as long as no later line has an
/// earlier time and no later banner names another host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Anchor {
    /// The file's place among the inputs.
    pub file: u32,
    /// The line, from 1.
    pub line: u64,
    /// Its local time, in seconds since 1970-01-01.
    pub local: i64,
    /// Seconds to add to UTC, where the line names them.
    pub offset: Option<i32>,
}

/// The events as columns of equal length. Names are codes into [`Names`], [`crate::intern::NONE`] for none. A column
/// of `data`, `reason`, `version` or `handle` without any value is empty.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Events {
    /// The license server.
    pub server: Vec<u32>,
    /// The feature; none for events of the server itself.
    pub feature: Vec<u32>,
    /// The user, spelled as in the log.
    pub user: Vec<u32>,
    /// The user's computer.
    pub host: Vec<u32>,
    /// What the client sent along, in brackets in the log.
    pub data: Vec<u32>,
    /// Why: of a refusal, of a check-in not asked for, of a crash; `5->6` for an upgrade.
    pub reason: Vec<u32>,
    /// The version asked for, without the `v` before it.
    pub version: Vec<u32>,
    /// The daemon that wrote the line, or whose life it tells.
    pub daemon: Vec<u32>,
    /// The file.
    pub file: Vec<u32>,
    /// The instant, in microseconds since 1970-01-01T00:00:00Z.
    pub time: Vec<i64>,
    /// The kind, see [`Kind`].
    pub kind: Vec<u8>,
    /// How many licenses; 1 where the line names no number.
    pub licenses: Vec<u32>,
    /// The checkout's handle; `u64::MAX` for none.
    pub handle: Vec<u64>,
    /// The line in the file, from 1.
    pub line: Vec<u32>,
}

/// The distinct names of each column, in UTF-8.
#[derive(Debug, Clone, Default)]
#[expect(missing_docs, reason = "the columns of `Events`")]
pub struct Names {
    pub server: Interner,
    pub feature: Interner,
    pub user: Interner,
    pub host: Interner,
    pub data: Interner,
    pub reason: Interner,
    pub version: Interner,
    pub daemon: Interner,
    pub file: Interner,
}

/// A line that could not be read, or something else to know about a file.
///
/// Codes: `unreadable_line`, `unreadable_event`, `undated` (one for a file), `unreadable_archive`, `date_corrected`,
/// `new_segment`, `nonexistent_time`. Only the first three stand for problem lines; `undated` for all events of its file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The file.
    pub source: String,
    /// The line, from 1.
    pub line: Option<u64>,
    /// What kind of problem.
    pub code: &'static str,
    /// What is wrong, or the line's text.
    pub message: String,
}

/// One component of a package.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Package {
    /// The license server.
    pub server: String,
    /// The vendor daemon.
    pub daemon: String,
    /// The package's feature.
    pub package: String,
    /// A feature in it.
    pub component: String,
}

/// What became of the lines of a file.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FileReport {
    /// The license server, of the file's first log where it holds several.
    pub server: String,
    /// The file.
    pub name: String,
    /// Its size, packed as it is.
    pub bytes: u64,
    /// Lines as `wc -l` counts them, and one for a last line without its end.
    pub lines: u64,
    /// Lines found glued to the end of another.
    pub glued: u64,
    /// Lines that became events.
    pub event_lines: u64,
    /// Lines that tell of no event.
    pub other_lines: u64,
    /// Lines that could not be read.
    pub problem_lines: u64,
    /// Events that another file, or the same one, has told already.
    pub repeated_lines: u64,
    /// The first instant.
    pub first: Option<i64>,
    /// The last instant.
    pub last: Option<i64>,
    /// How many logs the file holds.
    pub segments: u32,
}

/// What the logs of a server cover.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Coverage {
    /// The license server.
    pub server: String,
    /// The first instant.
    pub first: Option<i64>,
    /// The last instant.
    pub last: Option<i64>,
    /// Local dates from the first to the last.
    pub days: u32,
    /// Those of them without any line, in days since 1970-01-01.
    pub days_without_lines: Vec<i32>,
    /// How many checkouts there are.
    pub checkouts: u64,
    /// How many check-ins there are.
    pub checkins: u64,
    /// False where checkouts are logged and check-ins are not.
    pub checkins_logged: bool,
    /// Whether the server reports use to the vendor, where it says so.
    pub reporting: Option<bool>,
    /// The vendor daemons.
    pub daemons: Vec<String>,
}

/// Reads logs.
///
/// # Errors
/// [`Error::Io`](crate::Error::Io) and [`Error::Changed`](crate::Error::Changed) where an input cannot be read,
/// [`Error::MissingZone`](crate::Error::MissingZone) and [`Error::ServerWithoutZone`](crate::Error::ServerWithoutZone)
/// where events have local times and their zone is not given,
/// [`Error::Interrupted`](crate::Error::Interrupted) when `progress` returns false, and
/// [`Error::TooLarge`](crate::Error::TooLarge) beyond 4 billion events.
pub fn read(inputs: Vec<Input>, options: &Options, progress: Progress<'_>) -> Result<Log> {
    read_on(inputs, options, progress, &[])
}

/// Reads parts of logs: of each input so many lines were left out before its first one.
///
/// # Errors
/// As [`read`].
pub fn read_on(inputs: Vec<Input>, options: &Options, progress: Progress<'_>, lines_before: &[u64]) -> Result<Log> {
    reader::read(inputs, options, progress, reader::BLOCK, lines_before)
}

/// Reads logs of any size: the events go to disk, into a folder, which is to be empty and is to stay while they are read
/// from there. So many rows stand together; a few times as many are in memory at once.
///
/// # Errors
/// As [`read`], but for the number of events; and [`Error::Io`](crate::Error::Io) where the folder cannot be written to.
pub fn spool(
    inputs: Vec<Input>,
    options: &Options,
    progress: Progress<'_>,
    folder: &Path,
    chunk_rows: usize,
) -> Result<Spooled> {
    reader::spool(inputs, options, progress, reader::BLOCK, folder, chunk_rows)
}
