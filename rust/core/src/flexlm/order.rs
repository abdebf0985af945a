//! What several logs tell counts once, and all events stand in order.

use std::collections::HashMap;
use std::ops::Range;

use super::assemble::Columns;
use super::block::{COLUMNS, DAEMON, DATA, FEATURE, HOST, REASON, USER, VERSION};
use super::join::Piece;
use super::reader::Source;
use super::{Events, Names};
use crate::intern::{Interner, NONE};

/// Finds the events that an earlier piece of the same server has told: what stands in several counts as often as in the
/// one that tells it most often. Gives files and rows. The pieces stand in the order of their content.
pub(super) fn find_repeated(pieces: &[Piece], columns: &Columns, dropped: &[usize]) -> Vec<(usize, usize)> {
    let mut repeated = Vec::new();
    for of_server in pieces.chunk_by(|a, b| a.server == b.server) {
        let shared = shared_spans(of_server);
        if shared.is_empty() {
            continue;
        }
        let mut told = Telling::default();
        for (index, piece) in of_server.iter().enumerate() {
            for row in piece.rows.clone() {
                let time = columns.time[row];
                if !is_shared(&shared, time) || dropped.binary_search(&row).is_ok() {
                    continue;
                }
                if told.is_repeated(index, columns, row) {
                    repeated.push((piece.file, row));
                }
            }
        }
    }
    repeated
}

pub(super) fn is_shared(shared: &[(i64, i64)], time: i64) -> bool {
    shared[..shared.partition_point(|span| span.0 <= time)].last().is_some_and(|span| time <= span.1)
}

/// Which events were told, and by which pieces. The pieces come one after another.
#[derive(Debug, Default)]
pub(super) struct Telling {
    told: HashMap<Identity, Told, hashbrown::DefaultHashBuilder>,
}

impl Telling {
    /// Takes an event of a piece; whether an earlier piece has told it.
    pub(super) fn is_repeated(&mut self, piece: usize, columns: &Columns, row: usize) -> bool {
        let told = self.told.entry(identity(columns, row)).or_default();
        if told.piece != piece {
            *told = Told { piece, here: 0, most: told.most };
        }
        told.here += 1;
        let is_repeated = told.here <= told.most;
        told.most = told.most.max(told.here);
        is_repeated
    }
}

/// How often an event was told: in the piece that told it last, and in the one that told it most often.
#[derive(Debug, Default)]
struct Told {
    piece: usize,
    here: u32,
    most: u32,
}

/// The spans of time that lie in more than one piece, in order and apart.
pub(super) fn shared_spans(pieces: &[Piece]) -> Vec<(i64, i64)> {
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

/// Removes rows, in ascending order, from all columns.
pub(super) fn drop_rows(columns: &mut Columns, dropped: &[usize]) {
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

/// Brings the rows into the order of the result and makes the columns of servers and files.
pub(super) fn into_order(
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

/// Whether no piece begins before the one before it ends.
pub(super) fn are_apart(pieces: &[Piece]) -> bool {
    pieces.windows(2).all(|pair| {
        let (Some(before), Some(after)) = (pair[0].event_span, pair[1].event_span) else { return true };
        pair[0].server != pair[1].server || before.1 <= after.0
    })
}

/// The rows in the order of the result; none where they stand in it already.
fn order(pieces: &[Piece], times: &[i64]) -> Option<Vec<u32>> {
    let mut order: Vec<Range<usize>> = Vec::new();
    let is_apart = are_apart(pieces);
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
