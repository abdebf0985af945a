//! From the logs of single files to the log of all servers: local times become instants, what is told twice counts
//! once, and the events stand in order.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::ops::Range;

use encoding_rs::Encoding;

use super::assemble::{Assembler, Columns, ReadFile};
use super::block::DAEMON;
use super::instants::{Times, to_instants};
use super::order::{drop_rows, find_repeated, into_order};
use super::reader::Source;
use super::report::{Uses, cover, packages, report_files, uses_of};
use super::{Log, Options, Problem, text};
use crate::error::{Error, Result};
use crate::intern::{Interner, NONE};
use crate::lines::{self, stem};
use crate::time::zone::Zone;

/// The log of one server in one file: all of it, or a part of a file that holds several.
#[derive(Debug)]
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
    unfork(&mut columns, &names[DAEMON], &files);
    for (column, names) in columns.names.iter_mut().zip(&mut names) {
        if let Some(codes) = decode_names(names, options.encoding) {
            recode(column, &codes);
        }
    }
    dropped.sort_unstable();
    let known = dropped.len();
    for file in files.iter().filter(|file| file.runs.is_none()) {
        let rows = file.rows.clone();
        let undated: Vec<usize> = rows.filter(|row| dropped[..known].binary_search(row).is_err()).collect();
        dropped.extend(undated);
    }
    note_files(&mut files, sources, &mut problems);
    let mut servers = Interner::new();
    let mut pieces = pieces(&files);
    name_servers(&mut pieces, &files, sources, options, &mut servers);
    date_pieces(&mut pieces, &files, sources, options, &servers, &mut columns, &mut problems)?;
    dropped.sort_unstable();
    sort_pieces(&mut pieces);
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
    let uses: Vec<Uses> = pieces.iter().map(|piece| uses_of(piece, &columns)).collect();
    let coverage = cover(&pieces, &files, &uses, &names[DAEMON], &servers);
    let packages = packages(&pieces, &files, &servers, options.encoding);
    sort_problems(&mut problems, sources);
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

/// Gives the events of all pieces their instants.
pub(super) fn date_pieces(
    pieces: &mut [Piece],
    files: &[ReadFile],
    sources: &[Source],
    options: &Options,
    servers: &Interner,
    times: &mut impl Times,
    problems: &mut Vec<Problem>,
) -> Result<()> {
    for piece in pieces {
        let runs = files[piece.file].runs.as_deref().unwrap_or_default();
        let zone = zone_of(options, servers, piece.server, &sources[piece.file].name);
        to_instants(piece, &runs[piece.runs.clone()], zone, times, &sources[piece.file].name, problems)?;
    }
    Ok(())
}

/// By server and then by time. Stable: files of one first instant stay in the order they were given.
pub(super) fn sort_pieces(pieces: &mut [Piece]) {
    pieces.sort_by_key(|piece| (piece.server, piece.span.map_or(i64::MAX, |span| span.0)));
}

/// In the order of the files and their lines.
pub(super) fn sort_problems(problems: &mut [Problem], sources: &[Source]) {
    let order: HashMap<&str, usize> = sources.iter().map(|source| source.name.as_str()).zip(0..).collect();
    problems.sort_by_cached_key(|problem| (order.get(problem.source.as_str()).copied(), problem.line));
}

/// For each daemon that is a forked one, `name_2`, the daemon `name`; none where no daemon is.
pub(super) fn forked(daemons: &Interner) -> Option<Vec<Option<u32>>> {
    let base = |name: &[u8]| {
        let at = memchr::memrchr(b'_', name)?;
        let is_number = at + 1 < name.len() && name[at + 1..].iter().all(u8::is_ascii_digit);
        if is_number { daemons.find(&name[..at]) } else { None }
    };
    let bases: Vec<Option<u32>> = daemons.iter().map(base).collect();
    bases.iter().any(Option::is_some).then_some(bases)
}

/// Counts the forked daemon `name_2` as the daemon `name`, where the file knows that one too.
fn unfork(columns: &mut Columns, daemons: &Interner, files: &[ReadFile]) {
    let Some(bases) = forked(daemons) else { return };
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

/// Turns names into UTF-8, each distinct one once, and gives their new codes where there are any. Two spellings in bytes
/// can become one name.
pub(super) fn decode_names(names: &mut Interner, encoding: &'static Encoding) -> Option<Vec<u32>> {
    if names.iter().all(|name| std::str::from_utf8(name).is_ok()) {
        return None;
    }
    let mut decoded = Interner::new();
    let codes: Vec<u32> = names.iter().map(|name| decoded.intern(text::decode(name, encoding).as_bytes())).collect();
    *names = decoded;
    Some(codes)
}

pub(super) fn recode(column: &mut [u32], codes: &[u32]) {
    for code in column.iter_mut().filter(|code| **code != NONE) {
        *code = codes[*code as usize];
    }
}

/// Tells what there is to know about the dates of files. The events of a file without any become one problem.
pub(super) fn note_files(files: &mut [ReadFile], sources: &[Source], problems: &mut Vec<Problem>) {
    for (file, source) in files.iter_mut().zip(sources) {
        if file.runs.is_none() {
            let events = std::mem::take(&mut file.counts.event_lines);
            file.counts.problem_lines += events;
            if events > 0 {
                let message = format!(
                    "{events} event(s) without a date: no line of the file names one; pass first_date=…, the date of its first line"
                );
                problems.push(Problem { source: source.name.clone(), line: None, code: "undated", message });
            }
        }
        let notes = file.notes.drain(..);
        problems.extend(notes.map(|note| Problem {
            source: source.name.clone(),
            line: Some(note.line),
            code: note.code,
            message: note.message,
        }));
    }
}

pub(super) fn pieces(files: &[ReadFile]) -> Vec<Piece> {
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
pub(super) fn name_servers(
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
