//! Events on disk, where there are more than memory holds: chunks of rows, each column in as few bytes as its values take.
//! The dates of lines are known when their file has been read to its end, so their instants stand in a file of their own.

use std::collections::HashSet;
use std::fs::File;
use std::io::{self, BufWriter, Read, Seek, SeekFrom, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};

use super::assemble::Columns;
use super::block::{COLUMNS, DAEMON};
use super::instants::Times;
use crate::error::{Error, Result};

/// A chunk's place in a file.
#[derive(Debug, Clone, Copy, Default)]
struct Place {
    at: u64,
    bytes: usize,
}

/// Some rows of one log.
#[derive(Debug, Clone)]
pub(super) struct Chunk {
    pub rows: Range<usize>,
    /// The least and the greatest instant.
    pub least: i64,
    pub greatest: i64,
    events: Place,
    instants: Place,
}

/// Writes pieces of bytes to a file one after another.
#[derive(Debug)]
struct Appender {
    file: BufWriter<File>,
    at: u64,
}

impl Appender {
    fn create(path: &Path) -> io::Result<Self> {
        Ok(Self { file: BufWriter::with_capacity(1 << 20, File::create(path)?), at: 0 })
    }

    fn append(&mut self, bytes: &[u8]) -> io::Result<Place> {
        self.file.write_all(bytes)?;
        let place = Place { at: self.at, bytes: bytes.len() };
        self.at += bytes.len() as u64;
        Ok(place)
    }
}

/// Takes the events of logs as they are read.
#[derive(Debug)]
pub(super) struct Writer {
    folder: PathBuf,
    chunk_rows: usize,
    events: Appender,
    bytes: Vec<u8>,
    chunks: Vec<Chunk>,
    /// The daemons of each file, and of the one being read.
    daemons: Vec<HashSet<u32>>,
    own: HashSet<u32>,
    failure: Option<io::Error>,
}

impl Writer {
    pub(super) fn create(folder: &Path, chunk_rows: usize) -> Result<Self> {
        let events = Appender::create(&folder.join("events")).map_err(|error| failed(folder, error))?;
        Ok(Self {
            folder: folder.to_owned(),
            chunk_rows: chunk_rows.max(1),
            events,
            bytes: Vec::new(),
            chunks: Vec::new(),
            daemons: Vec::new(),
            own: HashSet::new(),
            failure: None,
        })
    }

    /// Whether so many rows are to be written.
    pub(super) fn is_enough(&self, rows: usize) -> bool {
        rows >= self.chunk_rows
    }

    /// Writes rows; what goes wrong is kept for `failure`.
    pub(super) fn write(&mut self, columns: &Columns, first_row: usize) {
        self.own.extend(columns.names[DAEMON].chunk_by(|a, b| a == b).map(|same| same[0]));
        for start in (0..columns.len()).step_by(self.chunk_rows) {
            let rows = start..(start + self.chunk_rows).min(columns.len());
            self.bytes.clear();
            encode(columns, rows.clone(), &mut self.bytes);
            match self.events.append(&self.bytes) {
                Ok(events) => self.chunks.push(Chunk {
                    rows: first_row + rows.start..first_row + rows.end,
                    least: i64::MAX,
                    greatest: i64::MIN,
                    events,
                    instants: Place::default(),
                }),
                Err(error) => self.failure = self.failure.take().or(Some(error)),
            }
        }
    }

    pub(super) fn end_file(&mut self) {
        self.daemons.push(std::mem::take(&mut self.own));
    }

    /// What went wrong, once.
    pub(super) fn failure(&mut self) -> Option<Error> {
        self.failure.take().map(|error| failed(&self.folder, error))
    }

    /// What was written, ready to be dated; and the daemons of each file.
    pub(super) fn finish(mut self) -> Result<(Dating, Vec<HashSet<u32>>)> {
        self.events.file.flush().map_err(|error| failed(&self.folder, error))?;
        let instants = Appender::create(&self.folder.join("instants")).map_err(|error| failed(&self.folder, error))?;
        let reader = Reader::open(&self.folder)?;
        let dating = Dating {
            folder: self.folder,
            reader,
            chunks: self.chunks,
            instants,
            first: 0,
            next: 0,
            start: 0,
            times: Vec::new(),
            lines: Vec::new(),
        };
        Ok((dating, self.daemons))
    }
}

fn failed(folder: &Path, error: io::Error) -> Error {
    Error::Io { source_name: folder.display().to_string(), error }
}

/// Gives the events their instants, file after file and row after row.
pub(super) struct Dating {
    folder: PathBuf,
    reader: Reader,
    chunks: Vec<Chunk>,
    instants: Appender,
    /// The first chunk whose times are held, the first whose are not yet, and the first row that is held.
    first: usize,
    next: usize,
    start: usize,
    times: Vec<i64>,
    lines: Vec<u32>,
}

impl Times for Dating {
    fn turn(&mut self, rows: Range<usize>, turn: &mut dyn FnMut(&mut [i64], &[u32])) -> Result<()> {
        if rows.is_empty() {
            turn(&mut [], &[]);
            return Ok(());
        }
        if self.times.is_empty() {
            // Files without any date are passed over.
            self.next += self.chunks[self.next..].partition_point(|chunk| chunk.rows.end <= rows.start);
            self.first = self.next;
            self.start = self.chunks[self.next].rows.start;
        }
        while self.start + self.times.len() < rows.end {
            let (times, lines) = self.reader.local_times(&self.chunks[self.next])?;
            self.times.extend(times);
            self.lines.extend(lines);
            self.next += 1;
        }
        let held = rows.start - self.start..rows.end - self.start;
        turn(&mut self.times[held.clone()], &self.lines[held]);
        self.write(rows.end).map_err(|error| failed(&self.folder, error))
    }
}

impl Dating {
    /// Writes the instants of the chunks that end before a row.
    fn write(&mut self, end: usize) -> io::Result<()> {
        let mut written = 0;
        let mut bytes = Vec::new();
        while self.first < self.next && self.chunks[self.first].rows.end <= end {
            let chunk = &mut self.chunks[self.first];
            let times = &self.times[written..written + chunk.rows.len()];
            bytes.clear();
            pack(times.iter().map(|&time| ordered(time)), &mut bytes);
            chunk.instants = self.instants.append(&bytes)?;
            chunk.least = times.iter().copied().min().unwrap_or(i64::MAX);
            chunk.greatest = times.iter().copied().max().unwrap_or(i64::MIN);
            written += times.len();
            self.first += 1;
        }
        self.times.drain(..written);
        self.lines.drain(..written);
        self.start += written;
        Ok(())
    }

    pub(super) fn finish(mut self) -> Result<Spool> {
        self.instants.file.flush().map_err(|error| failed(&self.folder, error))?;
        Ok(Spool { folder: self.folder, chunks: self.chunks })
    }
}

/// Dated events on disk.
#[derive(Debug)]
pub(super) struct Spool {
    folder: PathBuf,
    /// In the order of their rows.
    pub chunks: Vec<Chunk>,
}

impl Spool {
    /// The chunks that hold some of the rows.
    pub(super) fn chunks_of(&self, rows: &Range<usize>) -> Range<usize> {
        let start = self.chunks.partition_point(|chunk| chunk.rows.end <= rows.start);
        let end = self.chunks.partition_point(|chunk| chunk.rows.start < rows.end);
        start..end.max(start)
    }

    pub(super) fn reader(&self) -> Result<Reader> {
        Reader::open(&self.folder)
    }
}

/// Reads chunks; each thread has its own.
#[derive(Debug)]
pub(super) struct Reader {
    folder: PathBuf,
    events: File,
    instants: File,
    bytes: Vec<u8>,
}

impl Reader {
    fn open(folder: &Path) -> Result<Self> {
        let open = |name: &str| File::open(folder.join(name)).map_err(|error| failed(folder, error));
        Ok(Self { folder: folder.to_owned(), events: open("events")?, instants: open("instants")?, bytes: Vec::new() })
    }

    fn fetch(&mut self, place: Place, is_events: bool) -> io::Result<()> {
        let file = if is_events { &mut self.events } else { &mut self.instants };
        self.bytes.resize(place.bytes, 0);
        file.seek(SeekFrom::Start(place.at))?;
        file.read_exact(&mut self.bytes)
    }

    /// The times as they were read, and the lines.
    fn local_times(&mut self, chunk: &Chunk) -> Result<(Vec<i64>, Vec<u32>)> {
        self.with_events(chunk, |bytes| {
            let times = unpack(bytes, chunk.rows.len(), unordered)?;
            Ok((times, unpack(bytes, chunk.rows.len(), |line| line as u32)?))
        })
    }

    /// The kinds and the daemons.
    pub(super) fn lives(&mut self, chunk: &Chunk) -> Result<(Vec<u8>, Vec<u32>)> {
        self.with_events(chunk, |bytes| {
            let count = chunk.rows.len();
            unpack(bytes, count, unordered)?;
            unpack(bytes, count, |line| line as u32)?;
            Ok((unpack(bytes, count, |kind| kind as u8)?, unpack(bytes, count, name)?))
        })
    }

    /// All columns, with instants for times.
    pub(super) fn read(&mut self, chunk: &Chunk) -> Result<Columns> {
        let mut columns = self.with_events(chunk, |bytes| decode(bytes, chunk.rows.len()))?;
        self.fetch(chunk.instants, false)
            .and_then(|()| unpack(&mut self.bytes.as_slice(), chunk.rows.len(), unordered))
            .map(|times| columns.time = times)
            .map_err(|error| failed(&self.folder, error))?;
        Ok(columns)
    }

    fn with_events<T>(&mut self, chunk: &Chunk, read: impl FnOnce(&mut &[u8]) -> io::Result<T>) -> Result<T> {
        self.fetch(chunk.events, true)
            .and_then(|()| read(&mut self.bytes.as_slice()))
            .map_err(|error| failed(&self.folder, error))
    }
}

/// Instants as numbers of the same order.
fn ordered(time: i64) -> u64 {
    time as u64 ^ (1 << 63)
}

fn unordered(number: u64) -> i64 {
    (number ^ (1 << 63)) as i64
}

/// No name is 0 on disk, so that a column of names and none is as narrow as its names.
fn name(number: u64) -> u32 {
    (number as u32).wrapping_sub(1)
}

fn encode(columns: &Columns, rows: Range<usize>, out: &mut Vec<u8>) {
    pack(columns.time[rows.clone()].iter().map(|&time| ordered(time)), out);
    pack(columns.line[rows.clone()].iter().map(|&line| u64::from(line)), out);
    pack(columns.kind[rows.clone()].iter().map(|&kind| u64::from(kind)), out);
    for column in names_in_order() {
        let names = &columns.names[column];
        let code = |row: usize| u64::from(names.get(row).map_or(0, |code| code.wrapping_add(1)));
        pack(rows.clone().map(code), out);
    }
    pack(columns.licenses[rows.clone()].iter().map(|&licenses| u64::from(licenses)), out);
    pack(rows.map(|row| columns.handle.get(row).map_or(0, |handle| handle.wrapping_add(1))), out);
}

fn decode(bytes: &mut &[u8], count: usize) -> io::Result<Columns> {
    let time = unpack(bytes, count, unordered)?;
    let line = unpack(bytes, count, |line| line as u32)?;
    let kind = unpack(bytes, count, |kind| kind as u8)?;
    let mut names: [Vec<u32>; COLUMNS] = Default::default();
    for column in names_in_order() {
        names[column] = unpack(bytes, count, name)?;
    }
    let licenses = unpack(bytes, count, |licenses| licenses as u32)?;
    let handle = unpack(bytes, count, |handle| handle.wrapping_sub(1))?;
    Ok(Columns { names, time, kind, licenses, handle, line })
}

/// The daemon first: it is read without the others.
fn names_in_order() -> impl Iterator<Item = usize> {
    std::iter::once(DAEMON).chain((0..COLUMNS).filter(|&column| column != DAEMON))
}

/// Writes numbers as their distance from the least one.
fn pack(values: impl Iterator<Item = u64> + Clone, out: &mut Vec<u8>) {
    let (least, greatest) =
        values.clone().fold((u64::MAX, 0), |(least, greatest), value| (least.min(value), greatest.max(value)));
    let least = least.min(greatest);
    out.extend_from_slice(&least.to_le_bytes());
    let above = values.map(|value| value - least);
    match greatest - least {
        0 => out.push(0),
        1..=0xff => {
            out.push(1);
            out.extend(above.map(|value| value as u8));
        }
        0x100..=0xffff => {
            out.push(2);
            out.extend(above.flat_map(|value| (value as u16).to_le_bytes()));
        }
        0x1_0000..=0xffff_ffff => {
            out.push(4);
            out.extend(above.flat_map(|value| (value as u32).to_le_bytes()));
        }
        _ => {
            out.push(8);
            out.extend(above.flat_map(u64::to_le_bytes));
        }
    }
}

fn unpack<T>(bytes: &mut &[u8], count: usize, value: impl Fn(u64) -> T) -> io::Result<Vec<T>> {
    let (least, rest) = bytes.split_first_chunk::<8>().ok_or(io::ErrorKind::InvalidData)?;
    let (&width, rest) = rest.split_first().ok_or(io::ErrorKind::InvalidData)?;
    let least = u64::from_le_bytes(*least);
    let (packed, rest) = rest.split_at_checked(count * usize::from(width)).ok_or(io::ErrorKind::InvalidData)?;
    *bytes = rest;
    let of = |above: u64| value(least.wrapping_add(above));
    Ok(match width {
        0 => std::iter::repeat_with(|| of(0)).take(count).collect(),
        1 => packed.iter().map(|&above| of(u64::from(above))).collect(),
        2 => packed.as_chunks::<2>().0.iter().map(|&above| of(u64::from(u16::from_le_bytes(above)))).collect(),
        4 => packed.as_chunks::<4>().0.iter().map(|&above| of(u64::from(u32::from_le_bytes(above)))).collect(),
        _ => packed.as_chunks::<8>().0.iter().map(|&above| of(u64::from_le_bytes(above))).collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_any_width_come_back() {
        for values in
            [vec![], vec![7; 9], vec![0, 255], vec![1 << 40, (1 << 40) + 256], vec![5, 70_000], vec![0, u64::MAX, 3]]
        {
            let mut bytes = Vec::new();
            pack(values.iter().copied(), &mut bytes);
            bytes.push(9);
            let mut rest = bytes.as_slice();
            assert_eq!(unpack(&mut rest, values.len(), |value| value).unwrap(), values);
            assert_eq!(rest, [9]);
            assert!(unpack(&mut &bytes[..5], values.len(), |value| value).is_err());
        }
        assert_eq!([i64::MIN, -1, 0, i64::MAX].map(ordered).map(unordered), [i64::MIN, -1, 0, i64::MAX]);
        assert!([i64::MIN, -1, 0, i64::MAX].map(ordered).is_sorted());
    }
}
