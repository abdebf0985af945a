//! Blocks, in the order of the text, become the columns of the whole log and what each file says about itself.

use crate::intern::{Interner, NONE};
use crate::time::SECOND;

use super::block::{
    Block, COLUMNS, Counts, DAEMON, DATA, FEATURE, HOST, Head, Mark, REASON, TRANSIENT, Tail, USER, VERSION,
};
use super::clock::{Clock, Note, Run, Stretch};
use super::lives::{Lives, Verdict};
use super::packages::{At, Component, Packages};
use super::spool::Writer;
use super::stamp::DAY;
use super::{Anchor, Kind, Problem};

/// Events taken at a time, so that their columns are written from the cache.
const CHUNK: usize = 512;

/// The columns while they grow. The time is the time of day in microseconds until the dates are known, except where a
/// line names its instant.
#[derive(Debug, Default)]
pub(super) struct Columns {
    pub names: [Vec<u32>; COLUMNS],
    pub time: Vec<i64>,
    pub kind: Vec<u8>,
    pub licenses: Vec<u32>,
    pub handle: Vec<u64>,
    pub line: Vec<u32>,
}

impl Columns {
    pub(super) fn len(&self) -> usize {
        self.time.len()
    }

    /// Empties it and keeps its memory.
    fn clear(&mut self) {
        for column in &mut self.names {
            column.clear();
        }
        self.time.clear();
        self.kind.clear();
        self.licenses.clear();
        self.handle.clear();
        self.line.clear();
    }

    /// Makes room, as far as there is; a wrong guess costs nothing.
    fn reserve(&mut self, rows: usize) {
        for column in [FEATURE, USER, HOST, DAEMON] {
            let _ = self.names[column].try_reserve_exact(rows);
        }
        let _ = self.time.try_reserve_exact(rows);
        let _ = self.kind.try_reserve_exact(rows);
        let _ = self.licenses.try_reserve_exact(rows);
        let _ = self.line.try_reserve_exact(rows);
    }

    /// Writes a tail's rare parts to a row; their columns exist only where some row has them.
    fn set_rare(&mut self, row: usize, tail: &Tail) {
        for (column, name) in [(DATA, tail.data), (REASON, tail.reason), (VERSION, tail.version)] {
            if name != NONE {
                self.names[column].resize(row, NONE);
                self.names[column].push(name);
            }
        }
        if tail.handle != u64::MAX {
            self.handle.resize(row, u64::MAX);
            self.handle.push(tail.handle);
        }
    }

    /// Gives the columns that exist all their rows.
    pub(super) fn fill_rare(&mut self) {
        let rows = self.len();
        for column in [DATA, REASON, VERSION] {
            if !self.names[column].is_empty() {
                self.names[column].resize(rows, NONE);
            }
        }
        if !self.handle.is_empty() {
            self.handle.resize(rows, u64::MAX);
        }
    }
}

fn is_rare(tail: &Tail) -> bool {
    // Codes of nothing are all ones.
    tail.handle != u64::MAX || tail.data & tail.reason & tail.version != NONE
}

/// A worker's codes as codes of the whole log.
#[derive(Debug, Default)]
struct Codes {
    names: [Vec<u32>; COLUMNS],
    heads: Vec<Head>,
    tails: Vec<Tail>,
}

impl Codes {
    fn name(&self, column: usize, code: u32) -> u32 {
        if code == NONE { NONE } else { self.names[column][code as usize] }
    }

    fn head(&self, head: Head) -> Head {
        Head { daemon: self.name(DAEMON, head.daemon), feature: self.name(FEATURE, head.feature), kind: head.kind }
    }

    fn tail(&self, tail: Tail) -> Tail {
        Tail {
            user: self.name(USER, tail.user),
            host: self.name(HOST, tail.host),
            data: self.name(DATA, tail.data),
            reason: self.name(REASON, tail.reason),
            version: self.name(VERSION, tail.version),
            ..tail
        }
    }
}

/// A file that has been read to its end.
#[derive(Debug)]
pub(super) struct ReadFile {
    pub rows: std::ops::Range<usize>,
    /// None when nothing gives the file a date.
    pub runs: Option<Vec<Run>>,
    pub notes: Vec<Note>,
    pub counts: Counts,
    pub bytes: u64,
    /// Hosts that start-up banners name, and whether the server reports; with the stamped lines before them.
    pub banners: Vec<(u64, Box<[u8]>)>,
    pub reporting: Vec<(u64, bool)>,
    pub components: Vec<Component>,
}

/// The file being read.
#[derive(Debug, Default)]
struct OpenFile {
    first_row: usize,
    lines: u64,
    clock: Clock,
    lives: Lives,
    packages: Packages,
    counts: Counts,
    banners: Vec<(u64, Box<[u8]>)>,
    reporting: Vec<(u64, bool)>,
}

impl OpenFile {
    /// Whether no line after this one belongs to one before it.
    fn is_quiet(&self, line: u64) -> bool {
        self.lives.is_quiet(self.clock.moment()) && self.packages.is_quiet(line)
    }
}

/// Puts blocks together.
#[derive(Debug, Default)]
pub(super) struct Assembler {
    pub columns: Columns,
    pub names: [Interner; COLUMNS],
    /// Rows that turned out to be no events, in no order.
    pub dropped: Vec<usize>,
    pub problems: Vec<Problem>,
    pub files: Vec<ReadFile>,
    pub anchors: Vec<Anchor>,
    /// Where the rows go, if not into memory.
    pub spool: Option<Writer>,
    /// How many rows are there already.
    spooled: usize,
    /// How many lines of each file were left out before its first one.
    lines_before: Vec<u64>,
    codes: Vec<Codes>,
    file: OpenFile,
}

impl Assembler {
    pub(super) fn new(workers: usize, lines_before: &[u64]) -> Self {
        let codes = std::iter::repeat_with(Codes::default).take(workers).collect();
        let file = OpenFile { lines: lines_before.first().copied().unwrap_or(0), ..OpenFile::default() };
        Self { codes, file, lines_before: lines_before.to_vec(), ..Self::default() }
    }

    /// The same, with the rows on disk.
    pub(super) fn spooling(workers: usize, spool: Writer) -> Self {
        Self { spool: Some(spool), ..Self::new(workers, &[]) }
    }

    fn rows(&self) -> usize {
        self.spooled + self.columns.len()
    }

    /// Moves the rows to disk, if they go there and there are enough.
    fn spill(&mut self, is_end: bool) {
        let Some(spool) = &mut self.spool else { return };
        if is_end || spool.is_enough(self.columns.len()) {
            spool.write(&self.columns, self.spooled);
            self.spooled += self.columns.len();
            self.columns.clear();
        }
    }

    /// Takes the next block. `rows_expected` is how many more rows may follow, as far as one can tell.
    pub(super) fn block(&mut self, worker: usize, block: &mut Block, source: &str, rows_expected: usize) {
        self.learn(worker, block);
        if self.columns.time.capacity() == 0 && self.spool.is_none() {
            self.columns.reserve(rows_expected);
        }
        let first_row = self.rows();
        self.append(worker, block);
        let first_line = self.file.lines;
        let (counts, new) = (&mut self.file.counts, block.counts);
        counts.lines += new.lines;
        counts.glued += new.glued;
        counts.event_lines += new.event_lines;
        counts.other_lines += new.other_lines;
        counts.problem_lines += new.problem_lines;
        for mark in block.marks.drain(..) {
            self.mark(mark, first_row, first_line, source);
        }
        self.file.lines += new.lines;
        self.spill(false);
    }

    fn learn(&mut self, worker: usize, block: &Block) {
        let codes = &mut self.codes[worker];
        if block.is_fresh {
            *codes = Codes::default();
        }
        for ((codes, known), new) in codes.names.iter_mut().zip(&mut self.names).zip(&block.new_names) {
            codes.extend(new.iter().map(|name| known.intern(name)));
        }
        for &head in &block.new_heads {
            let head = codes.head(head);
            codes.heads.push(head);
        }
        for &tail in &block.new_tails {
            let tail = codes.tail(tail);
            codes.tails.push(tail);
        }
    }

    fn append(&mut self, worker: usize, block: &Block) {
        let codes = &self.codes[worker];
        let columns = &mut self.columns;
        let first_line = u32::try_from(self.file.lines).unwrap_or(u32::MAX);
        let mut names = [[0; CHUNK]; 4];
        let mut licenses = [0; CHUNK];
        let mut kinds = [0; CHUNK];
        for (chunk, tails) in block.tails.chunks(CHUNK).enumerate() {
            let (row, from, count) = (columns.len(), chunk * CHUNK, tails.len());
            for (at, &code) in block.heads[from..from + count].iter().enumerate() {
                let head = &codes.heads[code as usize];
                names[FEATURE][at] = head.feature;
                names[DAEMON][at] = head.daemon;
                kinds[at] = head.kind as u8;
            }
            for (at, &code) in tails.iter().enumerate() {
                let transient;
                let tail = if code & TRANSIENT == 0 {
                    &codes.tails[code as usize]
                } else {
                    transient = codes.tail(block.transient[(code & !TRANSIENT) as usize]);
                    &transient
                };
                names[USER][at] = tail.user;
                names[HOST][at] = tail.host;
                licenses[at] = tail.licenses;
                if is_rare(tail) {
                    columns.set_rare(row + at, tail);
                }
            }
            for column in [FEATURE, USER, HOST, DAEMON] {
                columns.names[column].extend_from_slice(&names[column][..count]);
            }
            columns.licenses.extend_from_slice(&licenses[..count]);
            columns.kind.extend_from_slice(&kinds[..count]);
            columns.line.extend(block.lines[from..from + count].iter().map(|line| line.saturating_add(first_line)));
            let clocks = block.clocks[from..from + count].iter().map(|&clock| i64::from(clock) * SECOND);
            columns.time.extend(clocks);
        }
        let first_row = columns.len() - block.clocks.len();
        for (time, &instant) in columns.time[first_row..].iter_mut().zip(&block.instants) {
            if instant != i64::MIN {
                *time = instant;
            }
        }
    }

    fn mark(&mut self, mark: Mark, first_row: usize, first_line: u64, source: &str) {
        let file = &mut self.file;
        match mark {
            Mark::Stretch(mut stretch) => {
                let Stretch { place, widest, .. } = &mut stretch;
                for place in widest.as_mut().map(|step| &mut step.to).into_iter().chain([place]) {
                    place.row += first_row;
                    place.line += first_line;
                }
                let line = stretch.place.line;
                let is_new = file.clock.stretch(&stretch);
                if let Some((date, offset)) = stretch.full.filter(|_| is_new && file.is_quiet(line)) {
                    let local = i64::from(date) * DAY + i64::from(stretch.first);
                    self.anchors.push(Anchor { file: self.files.len() as u32, line, local, offset });
                }
            }
            Mark::Date { date, clock, line } => {
                let line = line + first_line;
                file.clock.anchor(date, clock, line);
                if let Some(local) = file.clock.as_new(date, clock).filter(|_| file.is_quiet(line)) {
                    self.anchors.push(Anchor { file: self.files.len() as u32, line, local, offset: None });
                }
            }
            Mark::Banner { host, date, line } => {
                let line = line + first_line;
                if file.banners.last().is_some_and(|(_, known)| *known != host) {
                    file.clock.other_server(line);
                }
                if let Some(date) = date {
                    file.clock.anchor(date, None, line);
                }
                file.banners.push((file.clock.seen() - 1, host));
            }
            Mark::Life { row, life, daemon } => {
                let row = first_row + row;
                let verdict = file.lives.see(&daemon, life, row, file.clock.moment());
                let dropped = match verdict {
                    Verdict::Keep => return,
                    Verdict::Drop => row,
                    Verdict::Replace(before) => before,
                    Verdict::ReplaceAsStop(before) => {
                        self.columns.kind[row - self.spooled] = Kind::Stop as u8;
                        before
                    }
                };
                self.dropped.push(dropped);
                file.counts.event_lines -= 1;
                file.counts.other_lines += 1;
            }
            Mark::Reporting(reports) => file.reporting.push((file.clock.seen(), reports)),
            Mark::List { daemon, text, is_start, line } => {
                let (seen, segment) = (file.clock.seen(), file.clock.segment());
                let at = At { line: line + first_line, seen, segment };
                if is_start {
                    file.packages.start(&daemon, &text, at);
                } else {
                    file.packages.go_on(&daemon, &text, at);
                }
            }
            Mark::Problem { line, code, message } => {
                let line = Some(line + first_line);
                self.problems.push(Problem { source: source.to_owned(), line, code, message });
            }
        }
    }

    /// Ends the file.
    pub(super) fn end_file(&mut self, bytes: u64, first_date: Option<i32>) {
        self.spill(true);
        if let Some(spool) = &mut self.spool {
            spool.end_file();
        }
        let file = std::mem::take(&mut self.file);
        let (runs, notes) = file.clock.finish(first_date);
        let rows = file.first_row..self.rows();
        self.file.first_row = rows.end;
        self.file.lines = self.lines_before.get(self.files.len() + 1).copied().unwrap_or(0);
        self.files.push(ReadFile {
            rows,
            runs,
            notes,
            counts: file.counts,
            bytes,
            banners: file.banners,
            reporting: file.reporting,
            components: file.packages.finish(),
        });
    }
}
