//! The one error type of the core: bad *calls*. Bad *data* is returned beside the result as problems.

use std::io;

/// What can be wrong with a call.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A zone name that the bundled database does not know.
    #[error(
        "unknown time zone {name:?}: give an IANA name such as \"Europe/Madrid\" (time zone database {database})",
        database = crate::time::zone::database_version()
    )]
    UnknownZone {
        /// The name that was given.
        name: String,
    },
    /// A log whose lines carry local times, read without a zone.
    #[error(
        "{source_name}: its lines carry local times without a zone; pass timezone=\"…\", the IANA name of the license server's zone"
    )]
    MissingZone {
        /// The file.
        source_name: String,
    },
    /// A log of a server that is not among those whose zones were given.
    #[error(
        "{source_name}: no time zone for its server {server:?}; timezone= has {}",
        if known.is_empty() { "none".to_owned() } else { known.join(", ") }
    )]
    ServerWithoutZone {
        /// The file.
        source_name: String,
        /// The server.
        server: String,
        /// The servers whose zones were given.
        known: Vec<String>,
    },
    /// A file that cannot be opened or read.
    #[error("{source_name}: {error}")]
    Io {
        /// The file.
        source_name: String,
        /// What the system said.
        error: io::Error,
    },
    /// A file of another kind than the reader's.
    #[error("{source_name} is no {wanted}: it {}", if *found == "empty" { "is empty".to_owned() } else { format!("looks like {found}") })]
    WrongKind {
        /// The file.
        source_name: String,
        /// What the reader reads.
        wanted: &'static str,
        /// What the file looks like.
        found: &'static str,
    },
    /// A file that was cut off or replaced while it was read.
    #[error("{source_name} changed while it was read: {change}; read a copy of it")]
    Changed {
        /// The file.
        source_name: String,
        /// What happened to it.
        change: Change,
    },
    /// An argument with a value that makes no sense.
    #[error("{message}")]
    Invalid {
        /// The argument's name, as the Python caller knows it.
        argument: &'static str,
        /// What is wrong and what to do.
        message: String,
    },
    /// More rows than a column can address.
    #[error("{message}")]
    TooLarge {
        /// What is too large and what to do.
        message: String,
    },
    /// A batch of a stream with a session that starts before what was settled with an earlier batch.
    #[error(
        "row {row} starts before a session of an earlier batch: what was charged there could change; push batches in order of start"
    )]
    ReachesBack {
        /// The row within the batch, from 0.
        row: u64,
    },
    /// Pools with less than is to be paid, where that is to be an error.
    #[error(
        "{} {place} takes {} tokens, but the pools that can pay it have {}: \
         settle with on_empty=\"overage\" or \"refuse\", or correct the contract",
        if *is_booking { "booking" } else { "row" }, tokens_of(*tokens), tokens_of(*within_reach)
    )]
    OutOfTokens {
        /// Row of the charge, or place of the booking, from 0.
        place: u64,
        /// Whether it is a booking.
        is_booking: bool,
        /// What is to be paid, in 1/10,000.
        tokens: i64,
        /// What there is.
        within_reach: i64,
    },
    /// The caller asked to stop (Ctrl-C).
    #[error("interrupted")]
    Interrupted,
}

/// Tokens as people write them; there are no negative ones here.
fn tokens_of(units: i64) -> String {
    let text = format!("{}.{:04}", units / 10_000, units % 10_000);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// What happened to a file while it was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Change {
    /// It was cut off.
    #[error("{found} of its {expected} bytes are left")]
    Shrunk {
        /// Its size when it was opened.
        expected: u64,
        /// How much of it could be read.
        found: u64,
    },
    /// It was written anew, with as many bytes.
    #[error("it was written to, and not at its end")]
    Rewritten,
}

/// The result of everything in this crate that can be called wrongly.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// No memory for a result.
    #[must_use]
    pub fn no_memory(what: &str) -> Self {
        Self::TooLarge { message: format!("not enough memory for the {what}: do it in parts") }
    }
}
