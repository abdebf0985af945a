//! Logs of more events than memory holds, finished: the same stages as in `join`, over chunks of rows on disk. What is
//! kept of each log are its dates, a few numbers for each chunk, and a bit for each event that is left out.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashSet};
use std::ops::Range;
use std::sync::Arc;

use super::assemble::{Assembler, Columns};
use super::block::{COLUMNS, DAEMON};
use super::join::{
    Piece, date_pieces, decode_names, forked, name_servers, note_files, pieces, recode, sort_pieces, sort_problems,
    text_of,
};
use super::order::{Telling, are_apart, drop_rows, is_shared, shared_spans};
use super::reader::Source;
use super::report::{Uses, cover, packages, report_files};
use super::spool::{Chunk, Reader, Spool};
use super::{Log, Names, Options};
use crate::error::{Error, Result};
use crate::intern::Interner;

/// About how many chunks are looked through at a time for events that are told twice.
const CHUNKS_AT_ONCE: usize = 16;

/// What logs say, with the events on disk.
#[derive(Debug)]
pub struct Spooled {
    /// All but the events.
    pub log: Log,
    spool: Spool,
    /// By server and then in order of time.
    pieces: Vec<Piece>,
    codes: Codes,
    dropped: Bits,
    is_apart: bool,
    /// The code of each file's name.
    files: Vec<u32>,
}

/// Codes on disk as codes of the result.
#[derive(Debug)]
struct Codes {
    decoded: [Option<Vec<u32>>; COLUMNS],
    /// For each daemon the one that it was forked from.
    bases: Option<Vec<Option<u32>>>,
    daemons: Vec<HashSet<u32>>,
}

impl Codes {
    fn daemons(&self, column: &mut [u32], file: usize) {
        if let Some(bases) = &self.bases {
            for code in column.iter_mut() {
                if let Some(base) = bases[*code as usize].filter(|base| self.daemons[file].contains(base)) {
                    *code = base;
                }
            }
        }
        if let Some(codes) = &self.decoded[DAEMON] {
            recode(column, codes);
        }
    }

    fn all(&self, columns: &mut Columns, file: usize) {
        for (column, codes) in columns.names.iter_mut().zip(&self.decoded).take(DAEMON) {
            recode_some(column, codes.as_deref());
        }
        for (column, codes) in columns.names.iter_mut().zip(&self.decoded).skip(DAEMON + 1) {
            recode_some(column, codes.as_deref());
        }
        self.daemons(&mut columns.names[DAEMON], file);
    }
}

fn recode_some(column: &mut [u32], codes: Option<&[u32]>) {
    if let Some(codes) = codes {
        recode(column, codes);
    }
}

/// A set of rows.
#[derive(Debug)]
struct Bits(Vec<u64>);

impl Bits {
    fn new(rows: usize) -> Self {
        Self(vec![0; rows.div_ceil(64)])
    }

    fn add(&mut self, row: usize) {
        self.0[row / 64] |= 1 << (row % 64);
    }

    fn has(&self, row: usize) -> bool {
        self.0[row / 64] >> (row % 64) & 1 == 1
    }
}

pub(super) fn finish(assembler: Assembler, options: &Options, sources: &[Source]) -> Result<Spooled> {
    let Assembler { mut names, dropped: known, mut problems, mut files, spool, .. } = assembler;
    let Some(mut writer) = spool else { return Err(Error::Interrupted) };
    if let Some(error) = writer.failure() {
        return Err(error);
    }
    let (mut dating, daemons) = writer.finish()?;
    let bases = forked(&names[DAEMON]);
    let decoded = names.each_mut().map(|names| decode_names(names, options.encoding));
    let codes = Codes { decoded, bases, daemons };
    note_files(&mut files, sources, &mut problems);
    let mut servers = Interner::new();
    let mut pieces = pieces(&files);
    name_servers(&mut pieces, &files, sources, options, &mut servers);
    date_pieces(&mut pieces, &files, sources, options, &servers, &mut dating, &mut problems)?;
    let spool = dating.finish()?;
    let mut dropped = Bits::new(files.last().map_or(0, |file| file.rows.end));
    for row in known {
        dropped.add(row);
    }
    sort_pieces(&mut pieces);
    let repeated = drop_repeated(&pieces, &spool, &codes, &mut dropped, files.len())?;
    for (file, count) in files.iter_mut().zip(&repeated) {
        file.counts.event_lines -= count;
    }
    let mut reports = report_files(&files, &pieces, sources, options, &servers);
    for (report, count) in reports.iter_mut().zip(repeated) {
        report.repeated_lines += count;
    }
    let uses = uses(&pieces, &spool, &codes, &dropped)?;
    let coverage = cover(&pieces, &files, &uses, &names[DAEMON], &servers);
    let packages = packages(&pieces, &files, &servers, options.encoding);
    sort_problems(&mut problems, sources);
    let mut file_names = Interner::new();
    let file_codes = sources.iter().map(|source| file_names.intern(source.name.as_bytes())).collect();
    let [feature, user, host, daemon, data, reason, version] = names;
    let names = Names { server: servers, feature, user, host, data, reason, version, daemon, file: file_names };
    let is_apart = are_apart(&pieces);
    let log = Log { names, problems, packages, files: reports, coverage, ..Log::default() };
    Ok(Spooled { log, spool, pieces, codes, dropped, is_apart, files: file_codes })
}

/// Leaves out what an earlier piece of the same server has told; gives how many of each file. Events of one instant alone
/// can be the same, so a stretch of time is looked through at once.
fn drop_repeated(pieces: &[Piece], spool: &Spool, codes: &Codes, dropped: &mut Bits, files: usize) -> Result<Vec<u64>> {
    let mut counts = vec![0; files];
    let mut reader = spool.reader()?;
    for of_server in pieces.chunk_by(|a, b| a.server == b.server) {
        let shared = shared_spans(of_server);
        if shared.is_empty() {
            continue;
        }
        for (from, until) in stretches(of_server, spool, &shared) {
            let mut told = Telling::default();
            for (index, piece) in of_server.iter().enumerate() {
                for at in spool.chunks_of(&piece.rows) {
                    let chunk = &spool.chunks[at];
                    if chunk.greatest < from || chunk.least >= until {
                        continue;
                    }
                    let mut columns = reader.read(chunk)?;
                    codes.all(&mut columns, piece.file);
                    for row in within(chunk, &piece.rows) {
                        let (here, time) = (row - chunk.rows.start, columns.time[row - chunk.rows.start]);
                        let is_asked = (from..until).contains(&time) && is_shared(&shared, time);
                        if is_asked && !dropped.has(row) && told.is_repeated(index, &columns, here) {
                            dropped.add(row);
                            counts[piece.file] += 1;
                        }
                    }
                }
            }
        }
    }
    Ok(counts)
}

fn within(chunk: &Chunk, rows: &Range<usize>) -> Range<usize> {
    chunk.rows.start.max(rows.start)..chunk.rows.end.min(rows.end)
}

/// Stretches of time that together are all, each with a few chunks of those that may tell something twice.
fn stretches(pieces: &[Piece], spool: &Spool, shared: &[(i64, i64)]) -> Vec<(i64, i64)> {
    let chunks = pieces.iter().flat_map(|piece| &spool.chunks[spool.chunks_of(&piece.rows)]);
    let is_asked = |chunk: &&Chunk| shared.iter().any(|&(from, until)| chunk.least <= until && chunk.greatest >= from);
    let mut starts: Vec<i64> = chunks.filter(is_asked).map(|chunk| chunk.least).collect();
    starts.sort_unstable();
    let mut bounds: Vec<i64> = starts.into_iter().step_by(CHUNKS_AT_ONCE).collect();
    bounds.dedup();
    if let Some(first) = bounds.first_mut() {
        *first = i64::MIN;
    }
    bounds.push(i64::MAX);
    bounds.windows(2).map(|pair| (pair[0], pair[1])).collect()
}

fn uses(pieces: &[Piece], spool: &Spool, codes: &Codes, dropped: &Bits) -> Result<Vec<Uses>> {
    let mut reader = spool.reader()?;
    let mut found = Vec::with_capacity(pieces.len());
    for piece in pieces {
        let mut uses = Uses::default();
        for at in spool.chunks_of(&piece.rows) {
            let chunk = &spool.chunks[at];
            let (kinds, mut daemons) = reader.lives(chunk)?;
            codes.daemons(&mut daemons, piece.file);
            let rows = within(chunk, &piece.rows).filter(|&row| !dropped.has(row));
            let places: Vec<usize> = rows.map(|row| row - chunk.rows.start).collect();
            let kinds: Vec<u8> = places.iter().map(|&place| kinds[place]).collect();
            let daemons: Vec<u32> = places.iter().map(|&place| daemons[place]).collect();
            uses.add(&kinds, &daemons);
        }
        found.push(uses);
    }
    Ok(found)
}

impl Spooled {
    /// The names of the servers, in the order in which their events stand.
    #[must_use]
    pub fn servers(&self) -> Vec<String> {
        let of_servers = self.pieces.chunk_by(|a, b| a.server == b.server);
        of_servers.map(|pieces| text_of(&self.log.names.server, pieces[0].server)).collect()
    }

    /// The events of a server, told by its place among the servers.
    ///
    /// # Errors
    /// [`Error::Io`] where the folder cannot be read.
    pub fn stream(self: &Arc<Self>, server: usize) -> Result<Stream> {
        let before: usize = self.pieces.chunk_by(|a, b| a.server == b.server).take(server).map(<[Piece]>::len).sum();
        let own = self.pieces[before..].chunk_by(|a, b| a.server == b.server).next().unwrap_or_default();
        let mut stream =
            Stream { log: Arc::clone(self), reader: self.spool.reader()?, lanes: Vec::new(), next: BinaryHeap::new() };
        for (lane, piece) in own.iter().enumerate() {
            stream.lanes.push(Lane::new(self, before + lane, piece));
            stream.wait(lane);
        }
        Ok(stream)
    }
}

/// Some events of one server, in order. Names are codes into [`Log::names`].
#[derive(Debug, Default)]
#[expect(missing_docs, reason = "the columns of `Events`")]
pub struct Batch {
    pub feature: Vec<u32>,
    pub user: Vec<u32>,
    pub host: Vec<u32>,
    pub reason: Vec<u32>,
    pub daemon: Vec<u32>,
    pub file: Vec<u32>,
    pub time: Vec<i64>,
    pub kind: Vec<u8>,
    pub licenses: Vec<u32>,
    pub line: Vec<u32>,
}

/// The events of one server, in the order in which [`read`](super::read) has them.
#[derive(Debug)]
pub struct Stream {
    log: Arc<Spooled>,
    reader: Reader,
    lanes: Vec<Lane>,
    /// By when each lane's next event stands in the order, at the earliest.
    next: BinaryHeap<Reverse<(i64, usize)>>,
}

/// The events of one piece.
#[derive(Debug)]
struct Lane {
    piece: usize,
    chunks: Range<usize>,
    /// The least instant of each chunk and those behind it.
    least: Vec<i64>,
    held: Columns,
    /// The greatest instant up to each event: events stand in order of that.
    reached: Vec<i64>,
    at: usize,
    running: i64,
}

impl Lane {
    fn new(log: &Spooled, number: usize, piece: &Piece) -> Self {
        let chunks = log.spool.chunks_of(&piece.rows);
        let mut least: Vec<i64> = log.spool.chunks[chunks.clone()].iter().map(|chunk| chunk.least).collect();
        for at in (1..least.len()).rev() {
            least[at - 1] = least[at - 1].min(least[at]);
        }
        least.reverse();
        let (held, reached) = (Columns::default(), Vec::new());
        Self { piece: number, chunks, least, held, reached, at: 0, running: i64::MIN }
    }

    fn is_held(&self) -> bool {
        self.at < self.reached.len()
    }

    /// The least instant that is still to come.
    fn rest(&self) -> i64 {
        let behind = self.least.last().copied().unwrap_or(i64::MAX);
        self.held.time[self.at..].iter().copied().min().map_or(behind, |least| least.min(behind))
    }
}

impl Stream {
    /// Puts a lane in line, as long as it has events.
    fn wait(&mut self, lane: usize) {
        let own = &self.lanes[lane];
        let key = if own.is_held() {
            own.reached[own.at]
        } else if let Some(&least) = own.least.last() {
            own.running.max(least)
        } else {
            return;
        };
        self.next.push(Reverse((if self.log.is_apart { i64::MIN } else { key }, lane)));
    }

    /// Reads the next chunk of a lane.
    fn load(&mut self, lane: usize) -> Result<()> {
        let (log, own) = (&self.log, &mut self.lanes[lane]);
        own.least.pop();
        let (Some(at), piece) = (own.chunks.next(), &log.pieces[own.piece]) else { return Ok(()) };
        let chunk = &log.spool.chunks[at];
        own.held = self.reader.read(chunk)?;
        let is_out = |row: &usize| !piece.rows.contains(row) || log.dropped.has(*row);
        let out: Vec<usize> = chunk.rows.clone().filter(is_out).map(|row| row - chunk.rows.start).collect();
        drop_rows(&mut own.held, &out);
        log.codes.all(&mut own.held, piece.file);
        own.at = 0;
        own.reached.clear();
        for &time in &own.held.time {
            own.running = own.running.max(time);
            own.reached.push(own.running);
        }
        Ok(())
    }

    /// The next events, about as many as asked for, and an instant that none of those behind them lies before. There are
    /// none left where that is `i64::MAX`.
    ///
    /// # Errors
    /// [`Error::Io`] where the folder cannot be read.
    pub fn next(&mut self, rows: usize) -> Result<(Batch, i64)> {
        let mut batch = Batch::default();
        while batch.time.len() < rows {
            let Some(Reverse((_, lane))) = self.next.pop() else { break };
            if !self.lanes[lane].is_held() {
                self.load(lane)?;
                self.wait(lane);
                continue;
            }
            let other = self.next.peek().map_or((i64::MAX, usize::MAX), |&Reverse(other)| other);
            let own = &self.lanes[lane];
            let key = |reached: i64| (if self.log.is_apart { i64::MIN } else { reached }, lane);
            let count = own.reached[own.at..].partition_point(|&reached| key(reached) < other);
            let rows = own.at..own.at + count.max(1);
            self.take(lane, rows, &mut batch);
            self.wait(lane);
        }
        Ok((batch, self.lanes.iter().map(Lane::rest).min().unwrap_or(i64::MAX)))
    }

    fn take(&mut self, lane: usize, rows: Range<usize>, batch: &mut Batch) {
        let own = &mut self.lanes[lane];
        let file = self.log.files[self.log.pieces[own.piece].file];
        let Columns { names: [feature, user, host, daemon, _, reason, _], time, kind, licenses, line, .. } = &own.held;
        batch.feature.extend_from_slice(&feature[rows.clone()]);
        batch.user.extend_from_slice(&user[rows.clone()]);
        batch.host.extend_from_slice(&host[rows.clone()]);
        batch.daemon.extend_from_slice(&daemon[rows.clone()]);
        batch.reason.extend_from_slice(&reason[rows.clone()]);
        batch.time.extend_from_slice(&time[rows.clone()]);
        batch.kind.extend_from_slice(&kind[rows.clone()]);
        batch.licenses.extend_from_slice(&licenses[rows.clone()]);
        batch.line.extend_from_slice(&line[rows.clone()]);
        batch.file.resize(batch.time.len(), file);
        own.at = rows.end;
        if !own.is_held() {
            // Many lanes may be done, and none needs its memory any more.
            own.held = Columns::default();
            own.reached = Vec::new();
            own.at = 0;
        }
    }
}
