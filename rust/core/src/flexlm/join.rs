//! From the logs of single files to the log of all servers: local times become instants, what is told twice counts
//! once, and the events stand in order.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::ops::Range;

use encoding_rs::Encoding;

use super::assemble::{Assembler, Columns, ReadFile};
use super::block::DAEMON;
use super::instants::to_instants;
use super::order::{drop_rows, find_repeated, into_order};
use super::reader::Source;
use super::report::{cover, packages, report_files};
use super::{Log, Options, Problem, text};
use crate::error::{Error, Result};
use crate::intern::{Interner, NONE};
use crate::lines::{self, stem};
use crate::time::zone::Zone;

/// The log of one server in one file: all of it, or a part of a file that holds several.
pub(super) struct Piece {
    pub file: usize,
    pub rows: Range<usize>,
    pub runs: Range<usize>,
    /// Its lines among the stamped lines of the file.
    pub lines: Range<u64>,
    pub server: u32,
    /// The first and last instant of its lines.
    pub span: Option<(i64, i64)>,
    /// The same of its events.
    pub event_span: Option<(i64, i64)>,
}

pub(super) fn finish(assembler: Assembler, options: &Options, sources: &[Source]) -> Result<Log> {
    let Assembler { mut columns, mut names, mut dropped, mut problems, mut files, anchors, .. } = assembler;
    if u32::try_from(columns.len()).is_err() {
        let message = "more than 4 billion events: read the logs in parts".to_owned();
        return Err(Error::TooLarge { message });
    }
    columns.fill_rare();
    unfork(&mut columns, &mut names[DAEMON], &files);
    for (column, names) in columns.names.iter_mut().zip(&mut names) {
        decode_names(column, names, options.encoding);
    }
    dropped.sort_unstable();
    let known = dropped.len();
    for (file, source) in files.iter_mut().zip(sources) {
        let of_file = dropped[..known].partition_point(|&row| row < file.rows.start)
            ..dropped[..known].partition_point(|&row| row < file.rows.end);
        set_undated_aside(file, source, of_file, &mut dropped, &mut problems);
        let notes = file.notes.drain(..);
        problems.extend(notes.map(|note| Problem {
            source: source.name.clone(),
            line: Some(note.line),
            code: note.code,
            message: note.message,
        }));
    }
    let mut servers = Interner::new();
    let mut pieces = pieces(&files);
    name_servers(&mut pieces, &files, sources, options, &mut servers);
    for piece in &mut pieces {
        let runs = files[piece.file].runs.as_deref().unwrap_or_default();
        let zone = zone_of(options, &servers, piece.server, &sources[piece.file].name);
        to_instants(piece, &runs[piece.runs.clone()], zone, &mut columns, &sources[piece.file].name, &mut problems)?;
    }
    dropped.sort_unstable();
    // A stable sort: files of one first instant stay in the order they were given.
    pieces.sort_by_key(|piece| (piece.server, piece.span.map_or(i64::MAX, |span| span.0)));
    let repeated = find_repeated(&pieces, &columns, &dropped);
    for &(file, _) in &repeated {
        files[file].counts.event_lines -= 1;
    }
    let mut reports = report_files(&files, &pieces, sources, options, &servers);
    for &(file, row) in &repeated {
        reports[file].repeated_lines += 1;
        dropped.push(row);
    }
    dropped.sort_unstable();
    drop_rows(&mut columns, &dropped);
    for piece in &mut pieces {
        let before = |row: usize| dropped.partition_point(|&dropped| dropped < row);
        piece.rows = piece.rows.start - before(piece.rows.start)..piece.rows.end - before(piece.rows.end);
    }
    let coverage = cover(&pieces, &files, &columns, &names, &servers);
    let packages = packages(&pieces, &files, &servers, options.encoding);
    let order: HashMap<&str, usize> = sources.iter().map(|source| source.name.as_str()).zip(0..).collect();
    problems.sort_by_cached_key(|problem| (order.get(problem.source.as_str()).copied(), problem.line));
    let (events, names) = into_order(columns, names, &pieces, servers, sources);
    debug_assert!(reports.iter().all(|file| {
        file.lines + file.glued == file.event_lines + file.other_lines + file.problem_lines + file.repeated_lines
    }));
    let hosts_of = |file: &ReadFile| {
        let hosts = file.banners.iter().map(|(_, host)| text::decode(host, options.encoding).into_owned());
        hosts.collect::<BTreeSet<String>>().into_iter().collect()
    };
    let hosts = files.iter().map(hosts_of).collect();
    Ok(Log { events, names, problems, packages, files: reports, coverage, anchors, hosts })
}

/// Counts the forked daemon `name_2` as the daemon `name`, where the file knows that one too.
fn unfork(columns: &mut Columns, daemons: &mut Interner, files: &[ReadFile]) {
    let base = |name: &[u8]| {
        let at = memchr::memrchr(b'_', name)?;
        let is_number = at + 1 < name.len() && name[at + 1..].iter().all(u8::is_ascii_digit);
        if is_number { daemons.find(&name[..at]) } else { None }
    };
    let bases: Vec<Option<u32>> = daemons.iter().map(base).collect();
    if bases.iter().all(Option::is_none) {
        return;
    }
    for file in files {
        let column = &mut columns.names[DAEMON][file.rows.clone()];
        let known: HashSet<u32> = column.iter().copied().collect();
        for code in column {
            if let Some(base) = bases[*code as usize].filter(|base| known.contains(base)) {
                *code = base;
            }
        }
    }
}

/// Turns names into UTF-8, each distinct one once. Two spellings in bytes can become one name.
fn decode_names(column: &mut [u32], names: &mut Interner, encoding: &'static Encoding) {
    if names.iter().all(|name| std::str::from_utf8(name).is_ok()) {
        return;
    }
    let mut decoded = Interner::new();
    let codes: Vec<u32> = names.iter().map(|name| decoded.intern(text::decode(name, encoding).as_bytes())).collect();
    for code in column.iter_mut().filter(|code| **code != NONE) {
        *code = codes[*code as usize];
    }
    *names = decoded;
}

/// Turns the events of a file without any date into one problem.
fn set_undated_aside(
    file: &mut ReadFile,
    source: &Source,
    of_file: Range<usize>,
    dropped: &mut Vec<usize>,
    problems: &mut Vec<Problem>,
) {
    if file.runs.is_some() {
        return;
    }
    let known: HashSet<usize> = dropped[of_file].iter().copied().collect();
    dropped.extend(file.rows.clone().filter(|row| !known.contains(row)));
    let events = std::mem::take(&mut file.counts.event_lines);
    file.counts.problem_lines += events;
    if events > 0 {
        let message = format!(
            "{events} event(s) without a date: no line of the file names one; pass first_date=…, the date of its first line"
        );
        problems.push(Problem { source: source.name.clone(), line: None, code: "undated", message });
    }
}

fn pieces(files: &[ReadFile]) -> Vec<Piece> {
    let mut pieces: Vec<Piece> = Vec::new();
    for (index, file) in files.iter().enumerate() {
        let runs = file.runs.as_deref().unwrap_or_default();
        let first = pieces.len();
        let mut start = 0;
        for runs_of_one in runs.chunk_by(|a, b| a.segment == b.segment) {
            let row = if start == 0 { file.rows.start } else { runs_of_one[0].place.row };
            let line = if start == 0 { 0 } else { runs_of_one[0].place.at };
            if let Some(before) = pieces.get_mut(first..).and_then(<[Piece]>::last_mut) {
                before.rows.end = row;
                before.lines.end = line;
            }
            let runs = start..start + runs_of_one.len();
            start = runs.end;
            let (rows, lines) = (row..file.rows.end, line..u64::MAX);
            pieces.push(Piece { file: index, rows, runs, lines, server: NONE, span: None, event_span: None });
        }
    }
    pieces
}

/// What lies within a piece, of facts in the order of the lines.
pub(super) fn within<'a, T>(facts: &'a [(u64, T)], piece: &Piece) -> &'a [(u64, T)] {
    let end = facts.partition_point(|(at, _)| *at < piece.lines.end);
    let start = facts.partition_point(|(at, _)| *at < piece.lines.start);
    &facts[start..end]
}

/// Names the server of each piece: as the caller says, as its banner says, as another part of the file, as the other
/// files of the folder, or as the file.
fn name_servers(
    pieces: &mut [Piece],
    files: &[ReadFile],
    sources: &[Source],
    options: &Options,
    servers: &mut Interner,
) {
    let decode = |host: &[u8]| text::decode(host, options.encoding).into_owned();
    let mut of_folder: HashMap<&str, BTreeSet<String>> = HashMap::new();
    for (file, source) in files.iter().zip(sources) {
        let hosts = file.banners.iter().map(|(_, host)| decode(host));
        of_folder.entry(&source.folder).or_default().extend(hosts);
    }
    for piece in pieces {
        let (file, source) = (&files[piece.file], &sources[piece.file]);
        let own = within(&file.banners, piece).first();
        let server = options.server.clone().unwrap_or_else(|| {
            own.or(file.banners.first())
                .map_or_else(|| server_without_banner(&of_folder, source), |(_, host)| decode(host))
        });
        piece.server = servers.intern(server.as_bytes());
    }
}

fn server_without_banner(of_folder: &HashMap<&str, BTreeSet<String>>, source: &Source) -> String {
    let known = of_folder.get(source.folder.as_str()).filter(|servers| servers.len() == 1);
    known.and_then(BTreeSet::first).cloned().unwrap_or_else(|| stem(&source.name).to_owned())
}

pub(super) fn text_of(names: &Interner, code: u32) -> String {
    String::from_utf8_lossy(names.get(code)).into_owned()
}

/// The zone of a server, or what to tell the caller if there is none.
fn zone_of<'a>(options: &'a Options, servers: &Interner, server: u32, source: &str) -> Result<&'a Zone, Error> {
    let zone = lines::zone_of(&options.timezone, &text_of(servers, server), source)?;
    zone.ok_or_else(|| Error::MissingZone { source_name: source.to_owned() })
}
