//! Lexing a block of whole lines into compact records: what the workers do, each for itself.
//!
//! What stands after the time repeats throughout a log, so a worker keeps two dictionaries: of *heads*, daemon, kind and
//! feature, and of *tails*, user, host and all that follows. A line whose head and tail are known costs two look-ups and
//! no parsing. (One dictionary of whole lines is the product of the two, and its look-ups miss the cache.) Names are
//! coded by the worker; the assembler turns its codes into codes of the whole log, in the order of the blocks.

use encoding_rs::Encoding;
use memchr::{memchr, memchr_iter};

use super::Kind;
use super::clock::{Place, Step, Stretch};
use super::dictionary::Dictionary;
use super::lexer::{self, Event, Line, MAX_LINE, Message};
use super::stamp::{self, DAY, Full, Stamp};
use super::text;
use crate::intern::{Interner, NONE};
use crate::time::SECOND;

/// Tails from here on stand in the block's own list: too rare to keep.
pub(super) const TRANSIENT: u32 = 1 << 31;
/// Beyond this many names, or when a dictionary is full, a worker forgets all; what is frequent comes back soon.
const MAX_NAMES: usize = 1 << 18;
/// The longest tail to keep.
const MAX_TAIL: usize = 255;
/// How much of an unreadable line is shown.
const SHOWN: usize = 200;

/// The columns of names that a tail holds.
pub(super) const COLUMNS: usize = 7;
pub(super) const FEATURE: usize = 0;
pub(super) const USER: usize = 1;
pub(super) const HOST: usize = 2;
pub(super) const DAEMON: usize = 3;
pub(super) const DATA: usize = 4;
pub(super) const REASON: usize = 5;
pub(super) const VERSION: usize = 6;

/// What an event's line begins with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Head {
    pub daemon: u32,
    pub feature: u32,
    pub kind: Kind,
}

/// What it ends with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Tail {
    pub user: u32,
    pub host: u32,
    pub licenses: u32,
    pub data: u32,
    pub reason: u32,
    pub version: u32,
    pub handle: u64,
}

/// What the assembler has to look at one by one, in the order of the lines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Mark {
    Stretch(Stretch),
    /// A date in the last line before it.
    Date {
        date: i32,
        clock: Option<u32>,
        line: u64,
    },
    Banner {
        host: Box<[u8]>,
        date: Option<i32>,
        line: u64,
    },
    /// An event of a daemon's life, in the last line before it; its row is there already.
    Life {
        row: usize,
        life: Life,
        daemon: Box<[u8]>,
    },
    Reporting(bool),
    /// A list of features, or what may go on with one.
    List {
        daemon: Box<[u8]>,
        text: Box<[u8]>,
        is_start: bool,
        line: u64,
    },
    Problem {
        line: u64,
        code: &'static str,
        message: String,
    },
}

/// How an event of a daemon's life was told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Life {
    Start,
    /// Announced by another line than the daemon's last.
    Stopping,
    /// The daemon's last line, after an order to stop.
    Stopped,
    /// The daemon's last line, after a fault.
    Failed,
    /// Found gone by the manager.
    Gone,
    /// The manager is lost.
    Lost,
    Reread,
}

/// Where each line of a file went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Counts {
    pub lines: u64,
    pub glued: u64,
    pub event_lines: u64,
    pub other_lines: u64,
    pub problem_lines: u64,
}

/// New names of one column, in the order of the worker's codes.
#[derive(Debug, Default)]
pub(super) struct NewNames {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl NewNames {
    pub(super) fn iter(&self) -> impl Iterator<Item = &[u8]> {
        let starts = std::iter::once(&0).chain(&self.ends);
        starts.zip(&self.ends).map(|(&start, &end)| &self.bytes[start..end])
    }
}

/// The records of one block. Lines count from 1 and rows from 0 within the block.
#[derive(Debug, Default)]
pub(super) struct Block {
    /// The worker has forgotten its earlier codes.
    pub is_fresh: bool,
    pub clocks: Vec<u32>,
    pub lines: Vec<u32>,
    pub heads: Vec<u32>,
    pub tails: Vec<u32>,
    /// The instants of events whose lines name them, else `i64::MIN`; empty where no line does.
    pub instants: Vec<i64>,
    pub new_heads: Vec<Head>,
    pub new_tails: Vec<Tail>,
    pub transient: Vec<Tail>,
    pub new_names: [NewNames; COLUMNS],
    pub marks: Vec<Mark>,
    pub counts: Counts,
}

/// A worker's dictionaries and the block it is at.
pub(super) struct Lexer {
    encoding: &'static Encoding,
    heads: Dictionary,
    tails: Dictionary,
    names: [Interner; COLUMNS],
    delivered: [usize; COLUMNS],
    block: Block,
    stretch: Option<Stretch>,
    line: u32,
}

/// The seconds of the day, and the whole stamp where it names the date.
#[inline]
fn time_of(stamp: Stamp) -> Option<(u32, Option<Full>)> {
    match stamp {
        Stamp::Clock(clock) => Some((clock, None)),
        Stamp::Full(full) => Some((full.clock, Some(full))),
        Stamp::Impossible => None,
    }
}

impl Block {
    fn transient(&mut self, tail: Tail) -> u32 {
        self.transient.push(tail);
        TRANSIENT | (self.transient.len() - 1) as u32
    }

    /// Empties it and keeps its memory.
    pub(super) fn clear(&mut self) {
        self.is_fresh = false;
        self.clocks.clear();
        self.lines.clear();
        self.heads.clear();
        self.tails.clear();
        self.instants.clear();
        self.new_heads.clear();
        self.new_tails.clear();
        self.transient.clear();
        for names in &mut self.new_names {
            names.bytes.clear();
            names.ends.clear();
        }
        self.marks.clear();
        self.counts = Counts::default();
    }
}

impl Lexer {
    pub(super) fn new(encoding: &'static Encoding) -> Self {
        Self {
            encoding,
            heads: Dictionary::new(),
            tails: Dictionary::new(),
            names: Default::default(),
            delivered: [0; COLUMNS],
            block: Block { is_fresh: true, ..Block::default() },
            stretch: None,
            line: 0,
        }
    }

    /// Reads whole lines; the last may lack its newline.
    pub(super) fn read(&mut self, bytes: &[u8]) -> Block {
        self.forget_if_full();
        self.line = 0;
        let expected = bytes.len() / 64;
        self.block.clocks.reserve(expected);
        self.block.lines.reserve(expected);
        self.block.heads.reserve(expected);
        self.block.tails.reserve(expected);
        let mut start = 0;
        for end in memchr_iter(b'\n', bytes) {
            self.physical_line(&bytes[start..end]);
            start = end + 1;
        }
        if start < bytes.len() {
            self.physical_line(&bytes[start..]);
        }
        self.close_stretch();
        self.deliver()
    }

    /// Takes an empty block to fill next.
    pub(super) fn reuse(&mut self, block: Block) {
        self.block = block;
    }

    fn forget_if_full(&mut self) {
        let is_full = self.heads.is_full() || self.tails.is_full();
        if is_full || self.names.iter().any(|names| names.len() > MAX_NAMES) {
            self.heads.clear();
            self.tails.clear();
            self.names = Default::default();
            self.delivered = [0; COLUMNS];
            self.block.is_fresh = true;
        }
    }

    fn deliver(&mut self) -> Block {
        for column in 0..COLUMNS {
            let new = &mut self.block.new_names[column];
            for code in self.delivered[column]..self.names[column].len() {
                new.bytes.extend_from_slice(self.names[column].get(code as u32));
                new.ends.push(new.bytes.len());
            }
            self.delivered[column] = self.names[column].len();
        }
        self.block.counts.lines = u64::from(self.line);
        std::mem::take(&mut self.block)
    }

    #[inline]
    fn physical_line(&mut self, line: &[u8]) {
        self.line = self.line.saturating_add(1);
        if let Some((stamp, at)) = stamp::read(line)
            && let Some((clock, full)) = time_of(stamp)
            && let Some((head, tail)) = self.find(&line[at..])
        {
            self.stamped(clock, full);
            self.push(clock, full, head, tail);
            return;
        }
        self.new_line(line);
    }

    /// The codes of a known head, which ends with the feature's second quote, and of a known tail.
    #[inline]
    fn find(&self, text: &[u8]) -> Option<(u32, u32)> {
        let first = memchr(b'"', text)? + 1;
        let end = first + memchr(b'"', &text[first..])? + 1;
        let (head, tail) = text.split_at(end);
        let tail = tail.strip_suffix(b"\r").unwrap_or(tail);
        Some((self.heads.find(head)?, self.tails.find(tail)?))
    }

    /// A line that is not known: the ends of lines of other systems, and lines glued together.
    fn new_line(&mut self, line: &[u8]) {
        let mut pieces = line.split(|&byte| byte == b'\r').filter(|piece| !piece.is_empty());
        self.glued_lines(pieces.next().unwrap_or_default());
        for piece in pieces {
            self.block.counts.glued += 1;
            self.glued_lines(piece);
        }
    }

    fn glued_lines(&mut self, mut line: &[u8]) {
        while let Some(next) = self.logical_line(line) {
            self.block.counts.glued += 1;
            line = &line[next..];
        }
    }

    /// Reads one line and gives where the next one begins in it, if any.
    fn logical_line(&mut self, whole: &[u8]) -> Option<usize> {
        let mut line = whole;
        while let [0, ..] | [0xef, 0xbb, 0xbf, ..] | [b' ', b' ', ..] | [b' ', b'0'..=b'9', b'0'..=b'9', ..] = line {
            line = &line[if line[0] == 0xef { 3 } else { 1 }..];
        }
        let skipped = whole.len() - line.len();
        let next = if line.len() > MAX_LINE {
            self.unstamped(line);
            None
        } else {
            match lexer::envelope(line) {
                Some(Line { stamp: Stamp::Impossible, .. }) => {
                    self.problem("unreadable_line", line);
                    None
                }
                Some(stamped) => self.stamped_line(line, &stamped),
                None => {
                    let next = lexer::find_glued(line, 1);
                    self.unstamped(&line[..next.unwrap_or(line.len())]);
                    next
                }
            }
        };
        next.map(|next| next + skipped)
    }

    fn unstamped(&mut self, line: &[u8]) {
        if lexer::looks_like_event(line) {
            self.problem("unreadable_line", line);
        } else {
            self.block.counts.other_lines += 1;
        }
    }

    fn stamped_line(&mut self, line: &[u8], stamped: &Line<'_>) -> Option<usize> {
        let (clock, full) = time_of(stamped.stamp)?;
        self.stamped(clock, full);
        let is_source = !stamped.daemon.ends_with(b"_pluggin");
        if is_source && let Some((kind, rest)) = lexer::event_kind(stamped.message) {
            let Some((event, next)) = lexer::event(kind, rest) else {
                let next = lexer::find_glued_event(line, line.len() - rest.len());
                self.problem("unreadable_event", &line[..next.unwrap_or(line.len())]);
                return next;
            };
            self.event(line, stamped, clock, full, &event, next.is_some());
            return next.map(|next| line.len() - rest.len() + next);
        }
        let next = lexer::find_glued(line, line.len() - stamped.message.len());
        let glued = next.map_or(0, |next| line.len() - next);
        let length = stamped.message.len().saturating_sub(glued);
        self.message(stamped.daemon, &stamped.message[..length], clock, full);
        next
    }

    fn event(
        &mut self,
        line: &[u8],
        stamped: &Line<'_>,
        clock: u32,
        full: Option<Full>,
        event: &Event<'_>,
        torn: bool,
    ) {
        // The text from the parenthesis of the daemon on.
        let text = &line[line.len() - stamped.message.len() - stamped.daemon.len() - 3..];
        let (head, tail) = text.split_at(text.len() - event.tail.len());
        let head = self.heads.find(head).unwrap_or_else(|| {
            let daemon = self.names[DAEMON].intern(stamped.daemon);
            let feature = self.names[FEATURE].intern(event.feature);
            self.block.new_heads.push(Head { daemon, feature, kind: event.kind });
            self.heads.add(head)
        });
        let is_frequent = !torn && event.handle.is_none() && tail.len() <= MAX_TAIL;
        let known = if is_frequent { self.tails.find(tail) } else { None };
        let tail = known.unwrap_or_else(|| {
            let names = &mut self.names;
            let mut code = |column: usize, name: Option<&[u8]>| name.map_or(NONE, |name| names[column].intern(name));
            let new = Tail {
                user: code(USER, Some(event.user)),
                host: code(HOST, Some(event.host)),
                licenses: event.licenses,
                data: code(DATA, event.data),
                reason: code(REASON, event.reason),
                version: code(VERSION, event.version),
                handle: event.handle.unwrap_or(u64::MAX),
            };
            if is_frequent {
                self.block.new_tails.push(new);
                self.tails.add(tail)
            } else {
                self.block.transient(new)
            }
        });
        self.push(clock, full, head, tail);
    }

    #[inline]
    fn push(&mut self, clock: u32, full: Option<Full>, head: u32, tail: u32) {
        let block = &mut self.block;
        if full.is_some() || !block.instants.is_empty() {
            let instant = full.and_then(|full| {
                let seconds = i64::from(full.date) * DAY + i64::from(full.clock) - i64::from(full.offset?);
                Some(seconds * SECOND + i64::from(full.micros))
            });
            block.instants.resize(block.clocks.len(), i64::MIN);
            block.instants.push(instant.unwrap_or(i64::MIN));
        }
        block.clocks.push(clock);
        block.lines.push(self.line);
        block.heads.push(head);
        block.tails.push(tail);
        block.counts.event_lines += 1;
    }

    /// Adds a stamped line to the stretch, or begins one.
    #[inline]
    fn stamped(&mut self, clock: u32, full: Option<Full>) {
        let date = full.map(|full| (full.date, full.offset));
        if let Some(stretch) = &mut self.stretch
            && clock >= stretch.last
            && i64::from(clock - stretch.last) <= DAY / 2
            && stretch.full == date
        {
            let weight = i64::from(clock - stretch.last);
            if weight > 0 && stretch.widest.is_none_or(|widest| weight > widest.weight) {
                let to = Place { at: stretch.count, row: self.block.clocks.len(), line: u64::from(self.line) };
                stretch.widest = Some(Step { to, before: stretch.last, after: clock, weight });
            }
            stretch.last = clock;
            stretch.count += 1;
            return;
        }
        self.close_stretch();
        let place = Place { at: 0, row: self.block.clocks.len(), line: u64::from(self.line) };
        self.stretch = Some(Stretch { place, count: 1, first: clock, last: clock, widest: None, full: date });
    }

    fn close_stretch(&mut self) {
        if let Some(stretch) = self.stretch.take() {
            self.block.marks.push(Mark::Stretch(stretch));
        }
    }

    fn message(&mut self, daemon: &[u8], text: &[u8], clock: u32, full: Option<Full>) {
        let line = u64::from(self.line);
        let is_event = match lexer::message(daemon, text) {
            Message::Other => false,
            Message::Date(date, clock) => {
                self.close_stretch();
                self.block.marks.push(Mark::Date { date, clock, line });
                false
            }
            Message::Banner { host, date } => {
                self.close_stretch();
                self.block.marks.push(Mark::Banner { host: host.into(), date, line });
                self.life(Kind::Start, Life::Start, daemon, None, clock, full)
            }
            Message::Started { daemon, again } => {
                let reason = again.then_some(b"REStarted".as_slice());
                self.life(Kind::Start, Life::Start, daemon, reason, clock, full)
            }
            Message::Stopping { daemon } => self.life(Kind::Stop, Life::Stopping, daemon, None, clock, full),
            Message::Exiting { daemon, is_ordered: true, text } => {
                self.life(Kind::Stop, Life::Stopped, daemon, Some(text), clock, full)
            }
            Message::Exiting { daemon, text, .. } => {
                self.life(Kind::Crash, Life::Failed, daemon, Some(text), clock, full)
            }
            Message::Exited { daemon, status } => self.life(Kind::Crash, Life::Gone, daemon, Some(status), clock, full),
            Message::Lost => self.life(Kind::Crash, Life::Lost, daemon, Some(text), clock, full),
            Message::Reread => self.life(Kind::Reread, Life::Reread, daemon, None, clock, full),
            Message::Reporting(reports) => {
                self.block.marks.push(Mark::Reporting(reports));
                false
            }
            Message::Serving(text) => {
                self.block.marks.push(Mark::List { daemon: daemon.into(), text: text.into(), is_start: true, line });
                false
            }
            Message::List(text) => {
                self.block.marks.push(Mark::List { daemon: daemon.into(), text: text.into(), is_start: false, line });
                false
            }
        };
        self.block.counts.other_lines += u64::from(!is_event);
    }

    fn life(
        &mut self,
        kind: Kind,
        life: Life,
        daemon: &[u8],
        reason: Option<&[u8]>,
        clock: u32,
        full: Option<Full>,
    ) -> bool {
        let daemon_code = self.names[DAEMON].intern(daemon);
        self.block.new_heads.push(Head { daemon: daemon_code, feature: NONE, kind });
        let head = self.heads.add_nameless();
        let reason = reason.map_or(NONE, |reason| self.names[REASON].intern(reason));
        let nobody = Tail { user: NONE, host: NONE, licenses: 1, data: NONE, reason, version: NONE, handle: u64::MAX };
        let tail = self.block.transient(nobody);
        let row = self.block.clocks.len();
        self.push(clock, full, head, tail);
        self.close_stretch();
        self.block.marks.push(Mark::Life { row, life, daemon: daemon.into() });
        true
    }

    fn problem(&mut self, code: &'static str, line: &[u8]) {
        let shown = text::decode(&line[..line.len().min(4 * SHOWN)], self.encoding);
        let message = shown.trim().chars().take(SHOWN).collect();
        self.block.counts.problem_lines += 1;
        self.block.marks.push(Mark::Problem { line: u64::from(self.line), code, message });
    }
}
