//! What each file, and the logs of each server, say about themselves.

use std::collections::{BTreeSet, HashSet};

use encoding_rs::Encoding;

use super::assemble::{Columns, ReadFile};
use super::block::DAEMON;
use super::join::{Piece, text_of, within};
use super::reader::Source;
use super::{Coverage, FileReport, Kind, Options, Package, text};
use crate::intern::Interner;
use crate::lines::stem;

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

pub(super) fn report_files(
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

/// What the events of a piece say of it.
#[derive(Debug, Default)]
pub(super) struct Uses {
    pub checkouts: u64,
    pub checkins: u64,
    /// In the order in which they come.
    pub daemons: Vec<u32>,
}

impl Uses {
    /// Takes more events.
    pub(super) fn add(&mut self, kinds: &[u8], daemons: &[u32]) {
        self.checkouts += count(kinds, Kind::Out);
        self.checkins += count(kinds, Kind::In);
        for codes in daemons.chunk_by(|a, b| a == b) {
            if !self.daemons.contains(&codes[0]) {
                self.daemons.push(codes[0]);
            }
        }
    }
}

pub(super) fn uses_of(piece: &Piece, columns: &Columns) -> Uses {
    let mut uses = Uses::default();
    uses.add(&columns.kind[piece.rows.clone()], &columns.names[DAEMON][piece.rows.clone()]);
    uses
}

/// `uses` are those of each piece, `daemons` the names of all daemons.
pub(super) fn cover(
    pieces: &[Piece],
    files: &[ReadFile],
    uses: &[Uses],
    daemon_names: &Interner,
    servers: &Interner,
) -> Vec<Coverage> {
    let of_server = |(pieces, uses): (&[Piece], &[Uses])| {
        let mut days = BTreeSet::new();
        let mut reporting = None;
        let (mut checkouts, mut checkins) = (0, 0);
        let mut daemons = Vec::new();
        for (piece, uses) in pieces.iter().zip(uses) {
            let file = &files[piece.file];
            let runs = file.runs.as_deref().unwrap_or_default();
            days.extend(runs[piece.runs.clone()].iter().map(|run| run.day));
            reporting = within(&file.reporting, piece).last().map(|&(_, reports)| reports).or(reporting);
            checkouts += uses.checkouts;
            checkins += uses.checkins;
            add_daemons(&mut daemons, &uses.daemons, daemon_names);
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
            daemons: daemons.iter().map(|&daemon| text_of(daemon_names, daemon)).collect(),
        }
    };
    let mut rest = uses;
    let of_servers = pieces.chunk_by(|a, b| a.server == b.server).map(|pieces| {
        let (own, others) = rest.split_at(pieces.len());
        rest = others;
        (pieces, own)
    });
    of_servers.map(of_server).collect()
}

fn count(kinds: &[u8], kind: Kind) -> u64 {
    kinds.iter().map(|&code| u64::from(code == kind as u8)).sum()
}

/// Adds the vendor daemons among others.
fn add_daemons(daemons: &mut Vec<u32>, others: &[u32], names: &Interner) {
    for &code in others {
        let is_manager = matches!(names.get(code), b"lmgrd" | b"lmadmin");
        if !daemons.contains(&code) && !is_manager {
            daemons.push(code);
        }
    }
}

pub(super) fn packages(
    pieces: &[Piece],
    files: &[ReadFile],
    servers: &Interner,
    encoding: &'static Encoding,
) -> Vec<Package> {
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
