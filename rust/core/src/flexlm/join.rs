//! From the logs of single files to the log of all servers: local times become instants, what is told twice counts
//! once, and the events stand in order.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::ops::Range;

use encoding_rs::Encoding;

use super::assemble::{Assembler, Columns, ReadFile};
use super::block::{COLUMNS, DAEMON, DATA, FEATURE, HOST, REASON, USER, VERSION};
use super::clock::Run;
use super::reader::Source;
use super::stamp::{DAY, date_text};
use super::{Coverage, Events, FileReport, Kind, Log, Names, Options, Package, Problem, Timezone, text};
use crate::error::{Error, Result};
use crate::intern::{Interner, NONE};
use crate::time::zone::{Local, Zone};
use crate::time::{MINUTE, SECOND};

/// How far a log may step back before it is taken to be in the second of two equal hours.
const STEP_BACK: i64 = 5 * MINUTE;

/// The log of one server in one file: all of it, or a part of a file that holds several.
struct Piece {
    file: usize,
    rows: Range<usize>,
    runs: Range<usize>,
    /// Its lines among the stamped lines of the file.
    lines: Range<u64>,
    server: u32,
    /// The first and last instant of its lines.
    span: Option<(i64, i64)>,
    /// The same of its events.
    event_span: Option<(i64, i64)>,
}

pub(super) fn finish(assembler: Assembler, options: &Options, sources: &[Source]) -> Result<Log> {
    let Assembler { mut columns, mut names, mut dropped, mut problems, mut files, .. } = assembler;
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
    Ok(Log { events, names, problems, packages, files: reports, coverage })
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
fn within<'a, T>(facts: &'a [(u64, T)], piece: &Piece) -> &'a [(u64, T)] {
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

/// The file's name without its folder and endings.
fn stem(name: &str) -> &str {
    let name = name.rsplit(['/', '\\']).next().unwrap_or(name);
    let mut stem = name;
    for ending in [".gz", ".zst", ".log", ".txt"] {
        stem = stem.strip_suffix(ending).filter(|rest| !rest.is_empty()).unwrap_or(stem);
    }
    stem
}

fn text_of(names: &Interner, code: u32) -> String {
    String::from_utf8_lossy(names.get(code)).into_owned()
}

/// The zone of a server, or what to tell the caller if there is none.
fn zone_of<'a>(options: &'a Options, servers: &Interner, server: u32, source: &str) -> Result<&'a Zone, Error> {
    match &options.timezone {
        Timezone::One(zone) => Ok(zone),
        Timezone::None => Err(Error::MissingZone { source_name: source.to_owned() }),
        Timezone::PerServer(zones) => {
            let name = text_of(servers, server);
            let found = zones.iter().find(|(known, _)| *known == name);
            let found = found.or_else(|| zones.iter().find(|(known, _)| known.eq_ignore_ascii_case(&name)));
            found.map(|(_, zone)| zone).ok_or_else(|| {
                let known: Vec<&str> = zones.iter().map(|(known, _)| known.as_str()).collect();
                let message = format!(
                    "{source}: no time zone for the server {name:?}; timezone= names only {}",
                    if known.is_empty() { "none".to_owned() } else { known.join(", ") }
                );
                Error::Invalid { argument: "timezone", message }
            })
        }
    }
}

/// Turns the local times of a piece into instants.
fn to_instants(
    piece: &mut Piece,
    runs: &[Run],
    zone: Result<&Zone, Error>,
    columns: &mut Columns,
    source: &str,
    problems: &mut Vec<Problem>,
) -> Result<()> {
    let rows_of = |index: usize| {
        let start = if index == 0 { piece.rows.start } else { runs[index].place.row };
        start..runs.get(index + 1).map_or(piece.rows.end, |next| next.place.row)
    };
    let has_local_events = (0..runs.len()).any(|index| runs[index].offset.is_none() && !rows_of(index).is_empty());
    let zone = match zone {
        Ok(zone) => Some(zone),
        Err(error) if has_local_events => return Err(error),
        Err(_) => None,
    };
    let mut converter = Converter { zone, running: i64::MIN, gaps: BTreeMap::new() };
    for (index, run) in runs.iter().enumerate() {
        let (times, lines) = (&mut columns.time[rows_of(index)], &columns.line[rows_of(index)]);
        if let Some((first, last)) = converter.run(run, times, lines) {
            let (start, end) = piece.span.unwrap_or((first, last));
            piece.span = Some((start.min(first), end.max(last)));
        }
        if let (Some(&first), Some(&last)) = (times.iter().min(), times.iter().max()) {
            let (start, end) = piece.event_span.unwrap_or((first, last));
            piece.event_span = Some((start.min(first), end.max(last)));
        }
    }
    for (date, line) in converter.gaps {
        let date = date_text(date);
        let message =
            format!("the clock was set forward on {date} and skipped this time; it is taken as if it was not");
        problems.push(Problem { source: source.to_owned(), line: Some(line), code: "nonexistent_time", message });
    }
    Ok(())
}

/// Turns local times into instants in the order of the lines, which decides between two equal hours.
struct Converter<'a> {
    zone: Option<&'a Zone>,
    /// The greatest instant so far.
    running: i64,
    /// Dates with a time that the clock skipped, and their lines.
    gaps: BTreeMap<i32, u64>,
}

impl Converter<'_> {
    /// Converts the events of a run; gives the first and last instant of all its lines.
    fn run(&mut self, run: &Run, times: &mut [i64], lines: &[u32]) -> Option<(i64, i64)> {
        let midnight = i64::from(run.day) * DAY * SECOND;
        let local = |clock: u32| midnight + i64::from(clock) * SECOND;
        let (least, greatest) = (local(run.least), local(run.greatest));
        if let Some(offset) = run.offset {
            let offset = i64::from(offset) * SECOND;
            self.running = self.running.max(greatest - offset);
            return Some((least - offset, greatest - offset));
        }
        let zone = self.zone?;
        let first_event = times.iter().min().map_or(least, |&clock| least.min(midnight + clock));
        let last_event = times.iter().max().map_or(greatest, |&clock| greatest.max(midnight + clock));
        if let Some(offset) = one_offset(zone, first_event, last_event) {
            for time in times {
                *time += midnight - offset;
            }
            self.running = self.running.max(greatest - offset);
            return Some((least - offset, greatest - offset));
        }
        let first = self.convert(zone, local(run.first), run.day, run.place.line);
        let mut ends = (first, first);
        for (time, &line) in times.iter_mut().zip(lines) {
            *time = self.convert(zone, midnight + *time, run.day, u64::from(line));
            ends = (ends.0.min(*time), ends.1.max(*time));
        }
        let last = self.convert(zone, greatest, run.day, run.place.line);
        Some((ends.0, ends.1.max(last)))
    }

    fn convert(&mut self, zone: &Zone, local: i64, day: i32, line: u64) -> i64 {
        let instant = match zone.resolve(local) {
            Local::Single(instant) => instant,
            Local::Fold { earlier, .. } if earlier >= self.running.saturating_sub(STEP_BACK) => earlier,
            Local::Fold { later, .. } => later,
            Local::Gap(instant) => {
                self.gaps.entry(day).or_insert(line);
                instant
            }
        };
        self.running = self.running.max(instant);
        instant
    }
}

/// The offset of the zone, where it is one for all local times of a stretch.
fn one_offset(zone: &Zone, first: i64, last: i64) -> Option<i64> {
    let (Local::Single(start), Local::Single(end)) = (zone.resolve(first), zone.resolve(last)) else { return None };
    let changes = zone.transitions();
    let has_change =
        changes.partition_point(|&change| change <= start) != changes.partition_point(|&change| change <= end);
    (!has_change).then_some(first - start)
}

/// Finds the events that an earlier piece of the same server has told: what stands in several counts as often as in the
/// one that tells it most often. Gives files and rows. The pieces stand in the order of their content.
fn find_repeated(pieces: &[Piece], columns: &Columns, dropped: &[usize]) -> Vec<(usize, usize)> {
    let mut repeated = Vec::new();
    for of_server in pieces.chunk_by(|a, b| a.server == b.server) {
        let shared = shared_spans(of_server);
        if shared.is_empty() {
            continue;
        }
        let mut told: HashMap<Identity, Told, hashbrown::DefaultHashBuilder> = HashMap::default();
        for (index, piece) in of_server.iter().enumerate() {
            for row in piece.rows.clone() {
                let time = columns.time[row];
                let is_shared =
                    shared[..shared.partition_point(|span| span.0 <= time)].last().is_some_and(|span| time <= span.1);
                if !is_shared || dropped.binary_search(&row).is_ok() {
                    continue;
                }
                let told = told.entry(identity(columns, row)).or_default();
                if told.piece != index {
                    *told = Told { piece: index, here: 0, most: told.most };
                }
                told.here += 1;
                if told.here <= told.most {
                    repeated.push((piece.file, row));
                }
                told.most = told.most.max(told.here);
            }
        }
    }
    repeated
}

/// How often an event was told: in the piece that told it last, and in the one that told it most often.
#[derive(Debug, Default)]
struct Told {
    piece: usize,
    here: u32,
    most: u32,
}

/// The spans of time that lie in more than one piece, in order and apart.
fn shared_spans(pieces: &[Piece]) -> Vec<(i64, i64)> {
    let mut spans: Vec<(i64, i64)> = pieces.iter().filter_map(|piece| piece.event_span).collect();
    spans.sort_unstable();
    let mut shared: Vec<(i64, i64)> = Vec::new();
    let mut reach = i64::MIN;
    for (start, end) in spans {
        if start <= reach {
            let end = end.min(reach);
            match shared.last_mut() {
                Some(before) if start <= before.1 => before.1 = before.1.max(end),
                _ => shared.push((start, end)),
            }
        }
        reach = reach.max(end);
    }
    shared
}

type Identity = (i64, u8, u32, u64, [u32; COLUMNS]);

fn identity(columns: &Columns, row: usize) -> Identity {
    let names = std::array::from_fn(|column| columns.names[column].get(row).copied().unwrap_or(NONE));
    let handle = columns.handle.get(row).copied().unwrap_or(u64::MAX);
    (columns.time[row], columns.kind[row], columns.licenses[row], handle, names)
}

/// The pieces of each file in the order of its lines.
fn of_files(pieces: &[Piece], files: usize) -> Vec<Vec<&Piece>> {
    let mut of_files = vec![Vec::new(); files];
    for piece in pieces {
        of_files[piece.file].push(piece);
    }
    for pieces in &mut of_files {
        pieces.sort_by_key(|piece| piece.runs.start);
    }
    of_files
}

fn report_files(
    files: &[ReadFile],
    pieces: &[Piece],
    sources: &[Source],
    options: &Options,
    servers: &Interner,
) -> Vec<FileReport> {
    let mut reports: Vec<FileReport> = Vec::with_capacity(files.len());
    for ((file, source), own) in files.iter().zip(sources).zip(of_files(pieces, files.len())) {
        let counts = file.counts;
        let server = own.first().map(|piece| text_of(servers, piece.server));
        let spans = own.iter().filter_map(|piece| piece.span);
        reports.push(FileReport {
            server: server.or_else(|| options.server.clone()).unwrap_or_else(|| stem(&source.name).to_owned()),
            name: source.name.clone(),
            bytes: file.bytes,
            lines: counts.lines,
            glued: counts.glued,
            event_lines: counts.event_lines,
            other_lines: counts.other_lines,
            problem_lines: counts.problem_lines,
            repeated_lines: 0,
            first: spans.clone().map(|span| span.0).min(),
            last: spans.map(|span| span.1).max(),
            segments: own.len() as u32,
        });
    }
    reports
}

/// Removes rows, in ascending order, from all columns.
fn drop_rows(columns: &mut Columns, dropped: &[usize]) {
    fn drop_from<T: Copy>(column: &mut Vec<T>, dropped: &[usize]) {
        let Some(&first) = dropped.first().filter(|_| !column.is_empty()) else { return };
        let mut to = first;
        for (index, &row) in dropped.iter().enumerate() {
            let next = dropped.get(index + 1).copied().unwrap_or(column.len());
            column.copy_within(row + 1..next, to);
            to += next - row - 1;
        }
        column.truncate(to);
    }
    for column in &mut columns.names {
        drop_from(column, dropped);
    }
    drop_from(&mut columns.time, dropped);
    drop_from(&mut columns.kind, dropped);
    drop_from(&mut columns.licenses, dropped);
    drop_from(&mut columns.handle, dropped);
    drop_from(&mut columns.line, dropped);
}

fn cover(
    pieces: &[Piece],
    files: &[ReadFile],
    columns: &Columns,
    names: &[Interner; COLUMNS],
    servers: &Interner,
) -> Vec<Coverage> {
    let of_server = |pieces: &[Piece]| {
        let mut days = BTreeSet::new();
        let mut reporting = None;
        let (mut checkouts, mut checkins) = (0, 0);
        let mut daemons = Vec::new();
        for piece in pieces {
            let file = &files[piece.file];
            let runs = file.runs.as_deref().unwrap_or_default();
            days.extend(runs[piece.runs.clone()].iter().map(|run| run.day));
            reporting = within(&file.reporting, piece).last().map(|&(_, reports)| reports).or(reporting);
            let kinds = &columns.kind[piece.rows.clone()];
            checkouts += count(kinds, Kind::Out);
            checkins += count(kinds, Kind::In);
            add_daemons(&mut daemons, &columns.names[DAEMON][piece.rows.clone()], &names[DAEMON]);
        }
        let spans = pieces.iter().filter_map(|piece| piece.span);
        let missing = match (days.first(), days.last()) {
            (Some(&first), Some(&last)) if last - first < 200_000 => {
                (first..=last).filter(|day| !days.contains(day)).collect()
            }
            _ => Vec::new(),
        };
        Coverage {
            server: pieces.first().map_or_else(String::new, |piece| text_of(servers, piece.server)),
            first: spans.clone().map(|span| span.0).min(),
            last: spans.map(|span| span.1).max(),
            days: (days.len() + missing.len()) as u32,
            days_without_lines: missing,
            checkouts,
            checkins,
            checkins_logged: checkins > 0 || checkouts == 0,
            reporting,
            daemons: daemons.iter().map(|&daemon| text_of(&names[DAEMON], daemon)).collect(),
        }
    };
    pieces.chunk_by(|a, b| a.server == b.server).map(of_server).collect()
}

fn count(kinds: &[u8], kind: Kind) -> u64 {
    kinds.iter().map(|&code| u64::from(code == kind as u8)).sum()
}

/// Adds the vendor daemons that a column names.
fn add_daemons(daemons: &mut Vec<u32>, column: &[u32], names: &Interner) {
    for codes in column.chunk_by(|a, b| a == b) {
        let is_manager = |code: u32| matches!(names.get(code), b"lmgrd" | b"lmadmin");
        if !daemons.contains(&codes[0]) && !is_manager(codes[0]) {
            daemons.push(codes[0]);
        }
    }
}

fn packages(pieces: &[Piece], files: &[ReadFile], servers: &Interner, encoding: &'static Encoding) -> Vec<Package> {
    let mut known = HashSet::new();
    let mut packages = Vec::new();
    let decode = |name: &[u8]| text::decode(name, encoding).into_owned();
    for (file, pieces) in files.iter().zip(of_files(pieces, files.len())) {
        for found in &file.components {
            let before = pieces.partition_point(|piece| piece.lines.start <= found.seen);
            let Some(piece) = before.checked_sub(1).map(|at| pieces[at]) else { continue };
            let [daemon, package, component] = found.names.each_ref().map(|name| decode(name));
            let package = Package { server: text_of(servers, piece.server), daemon, package, component };
            if known.insert(package.clone()) {
                packages.push(package);
            }
        }
    }
    packages
}

/// Brings the rows into the order of the result and makes the columns of servers and files.
fn into_order(
    mut columns: Columns,
    names: [Interner; COLUMNS],
    pieces: &[Piece],
    servers: Interner,
    sources: &[Source],
) -> (Events, Names) {
    let rows = columns.len();
    let mut files = Interner::new();
    let codes: Vec<u32> = sources.iter().map(|source| files.intern(source.name.as_bytes())).collect();
    let (mut server, mut file) = (vec![NONE; rows], vec![NONE; rows]);
    for piece in pieces {
        server[piece.rows.clone()].fill(piece.server);
        file[piece.rows.clone()].fill(codes[piece.file]);
    }
    if let Some(order) = order(pieces, &columns.time) {
        for column in columns.names.iter_mut().chain([&mut columns.licenses, &mut columns.line, &mut server, &mut file])
        {
            take(column, &order);
        }
        take(&mut columns.time, &order);
        take(&mut columns.kind, &order);
        take(&mut columns.handle, &order);
    }
    let [feature, user, host, daemon, data, reason, version] = columns.names;
    let Columns { time, kind, licenses, handle, line, .. } = Columns { names: Default::default(), ..columns };
    let events =
        Events { server, feature, user, host, data, reason, version, daemon, file, time, kind, licenses, handle, line };
    const { assert!(FEATURE == 0 && USER == 1 && HOST == 2 && DAEMON == 3 && DATA == 4 && REASON == 5 && VERSION == 6) };
    let [feature, user, host, daemon, data, reason, version] = names;
    (events, Names { server: servers, feature, user, host, data, reason, version, daemon, file: files })
}

/// The rows in the order of the result; none where they stand in it already.
fn order(pieces: &[Piece], times: &[i64]) -> Option<Vec<u32>> {
    let mut order: Vec<Range<usize>> = Vec::new();
    let mut is_apart = true;
    for pair in pieces.windows(2) {
        let (Some(before), Some(after)) = (pair[0].event_span, pair[1].event_span) else { continue };
        is_apart &= pair[0].server != pair[1].server || before.1 <= after.0;
    }
    order.extend(pieces.iter().map(|piece| piece.rows.clone()).filter(|rows| !rows.is_empty()));
    if is_apart && order.windows(2).all(|pair| pair[0].end == pair[1].start) {
        return None;
    }
    if is_apart {
        return Some(order.into_iter().flatten().map(|row| row as u32).collect());
    }
    let mut rows = Vec::with_capacity(times.len());
    for of_server in pieces.chunk_by(|a, b| a.server == b.server) {
        let mut merged: Vec<(i64, u32)> = Vec::new();
        for piece in of_server {
            let mut running = i64::MIN;
            merged.extend(piece.rows.clone().map(|row| {
                running = running.max(times[row]);
                (running, row as u32)
            }));
        }
        // The sort is stable, so each piece keeps its own order.
        merged.sort_by_key(|&(time, _)| time);
        rows.extend(merged.into_iter().map(|(_, row)| row));
    }
    Some(rows)
}

fn take<T: Copy>(column: &mut Vec<T>, order: &[u32]) {
    if !column.is_empty() {
        *column = order.iter().map(|&row| column[row as usize]).collect();
    }
}
