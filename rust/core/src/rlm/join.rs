//! From the records of all files to events in order, and to sessions by handle.

use hashbrown::{HashMap, HashSet};

use super::lexer::What;
use super::reader::{Dated, Event, Read};
use super::{Log, NO_NUMBER};
use crate::flexlm::{Kind, Problem};
use crate::intern::NONE;
use crate::pair::EndReason;

/// A handle is the server's and its ISV's.
type Key = (u32, u32, u64);

/// What makes a record of another file the same record.
type Same = (Event, i64, u32, u32, u64, [u32; 3]);

struct Open {
    row: u32,
    start: i64,
    licenses: u32,
}

/// A session that has ended, or lasts to the end of the logs.
struct Closed {
    open: Open,
    end: i64,
    reason: EndReason,
    why: i32,
}

#[derive(Default)]
struct Joiner {
    log: Log,
    open: HashMap<Key, Open>,
    /// The last instant of each server's ISV.
    last: HashMap<(u32, u32), i64>,
    /// Those whose log ended in good order: the next one goes on.
    ended: HashSet<(u32, u32)>,
    closed: Vec<Closed>,
}

pub(super) fn join(read: Read) -> Log {
    let Read { mut files, names, problems, mut reports } = read;
    let mut order: Vec<usize> = (0..files.len()).collect();
    order.sort_by_key(|&file| (files[file].first().map(|record| record.time), file));
    let mut joiner = Joiner { log: Log { names, problems, ..Log::default() }, ..Joiner::default() };
    let mut told: HashMap<Same, usize> = HashMap::new();
    for file in order {
        for record in std::mem::take(&mut files[file]) {
            // A copy taken while the log grew tells again what the log tells.
            if reports.len() == 1 || *told.entry(same(&record)).or_insert(file) == file {
                joiner.take(&record);
            } else if matches!(record.event, Event::Use(_)) {
                reports[file].event_lines -= 1;
                reports[file].repeated_lines += 1;
            }
        }
    }
    joiner.log.files = reports;
    joiner.finish()
}

fn same(record: &Dated) -> Same {
    let Dated { event, time, server, isv, handle, user, host, product, .. } = *record;
    (event, time, server, isv, handle, [user, host, product])
}

impl Joiner {
    fn take(&mut self, record: &Dated) {
        let key = (record.server, record.isv, record.handle);
        match record.event {
            Event::Start => self.start(record),
            Event::End => drop(self.ended.insert((record.server, record.isv))),
            Event::Use(What::Out) => self.check_out(record, key),
            Event::Use(What::InUse) => {
                // At a log's beginning; at its end the handle is known.
                if !self.open.contains_key(&key) {
                    let row = self.push(record, Kind::Out);
                    self.open.insert(key, Open { row, start: record.time, licenses: record.count });
                }
            }
            Event::Use(What::In) => self.check_in(record, key),
            Event::Use(What::Deny) => drop(self.push(record, Kind::Denied)),
            Event::Use(What::Queue) => drop(self.push(record, Kind::Queued)),
            Event::Use(What::Dequeue) => drop(self.push(record, Kind::Dequeued)),
            Event::Use(What::Reread) => drop(self.push(record, Kind::Reread)),
            Event::Use(What::Shutdown) => {
                self.push(record, Kind::Stop);
                self.close_all(record.server, record.isv, record.time, EndReason::Stop);
            }
        }
        if record.event != Event::Use(What::InUse) {
            let last = self.last.entry((record.server, record.isv)).or_insert(record.time);
            *last = record.time.max(*last);
        }
    }

    /// A start without a shutdown: the server crashed, unless the log before it ended in good order.
    fn start(&mut self, record: &Dated) {
        if self.ended.remove(&(record.server, record.isv)) {
            return;
        }
        self.push(record, Kind::Start);
        if let Some(&last) = self.last.get(&(record.server, record.isv)) {
            self.close_all(record.server, record.isv, last.min(record.time), EndReason::Restart);
        }
    }

    fn check_out(&mut self, record: &Dated, key: Key) {
        let row = self.push(record, Kind::Out);
        let open = Open { row, start: record.time, licenses: record.count };
        if let Some(former) = self.open.insert(key, open) {
            self.problem(record, "handle_out_twice", "is out already: the use before it ends here");
            self.close(former, record.time, EndReason::Other, NO_NUMBER);
        }
    }

    fn check_in(&mut self, record: &Dated, key: Key) {
        let mut record = record.clone();
        let open = self.open.remove(&key);
        if let Some(open) = &open {
            // The small format names the handle only.
            let events = &self.log.events;
            let at = open.row as usize;
            let or = |own: u32, of: u32| if own == NONE { of } else { own };
            record.product = or(record.product, events.feature[at]);
            record.version = or(record.version, events.version[at]);
            record.user = or(record.user, events.user[at]);
            record.host = or(record.host, events.host[at]);
        }
        self.push(&record, Kind::In);
        match open {
            None => self.problem(&record, "checkin_without_checkout", "has no check-out before it"),
            Some(open) => {
                let reason = match record.why {
                    1 | 2 => EndReason::Checkin,
                    4 => EndReason::Inactive,
                    _ => EndReason::Other,
                };
                self.close(open, record.time, reason, record.why);
            }
        }
    }

    fn problem(&mut self, record: &Dated, code: &'static str, what: &str) {
        let source = String::from_utf8_lossy(self.log.names.file.get(record.file)).into_owned();
        let message = format!("handle {:x} {what}", record.handle);
        self.log.problems.push(Problem { source, line: Some(u64::from(record.line)), code, message });
    }

    fn close_all(&mut self, server: u32, isv: u32, at: i64, reason: EndReason) {
        let closed = self.open.extract_if(|key, _| key.0 == server && key.1 == isv);
        let closed: Vec<Open> = closed.map(|(_, open)| open).collect();
        for open in closed {
            self.close(open, at, reason, NO_NUMBER);
        }
    }

    fn push(&mut self, record: &Dated, kind: Kind) -> u32 {
        let reason = self.reason(record, kind);
        let events = &mut self.log.events;
        let row = events.time.len() as u32;
        events.server.push(record.server);
        events.feature.push(record.product);
        events.user.push(record.user);
        events.host.push(record.host);
        events.data.push(record.data);
        events.reason.push(reason);
        events.version.push(record.version);
        events.daemon.push(record.isv);
        events.file.push(record.file);
        events.time.push(record.time);
        events.kind.push(kind as u8);
        events.licenses.push(record.count);
        events.handle.push(record.handle);
        events.line.push(record.line);
        self.log.why.push(record.why);
        self.log.is_asked_again.push(record.is_asked_again);
        row
    }

    /// The reason in the words that pairing knows; the number stays in `why`.
    fn reason(&mut self, record: &Dated, kind: Kind) -> u32 {
        let text = match (kind, record.why) {
            (_, NO_NUMBER) | (Kind::In, 1) => return NONE,
            (Kind::In, why) => match why {
                2 => return NONE,
                3 => "REMOVED".to_owned(),
                4 => "INACTIVE".to_owned(),
                5 => "HOLD EXPIRED".to_owned(),
                6 => "DEQUEUED".to_owned(),
                7 => "PORTABLE HOSTID REMOVED".to_owned(),
                8 => "FAILED HOST BACK UP".to_owned(),
                9 => "TRANSFER LOST".to_owned(),
                10 => "METER EMPTY".to_owned(),
                11 => "NO HEARTBEAT".to_owned(),
                why => format!("why {why}"),
            },
            (_, why) => format!("why {why}"),
        };
        self.log.names.reason.intern(text.as_bytes())
    }

    fn close(&mut self, open: Open, at: i64, reason: EndReason, why: i32) {
        self.closed.push(Closed { end: at.max(open.start), open, reason, why });
    }

    fn finish(mut self) -> Log {
        let as_of = self.log.events.time.iter().copied().max().unwrap_or_default();
        for open in std::mem::take(&mut self.open).into_values() {
            self.close(open, as_of, EndReason::Open, NO_NUMBER);
        }
        self.closed.sort_unstable_by_key(|closed| (closed.open.start, closed.open.row));
        for Closed { open, end, reason, why } in self.closed {
            let sessions = &mut self.log.sessions.sessions;
            sessions.row.push(open.row);
            sessions.start.push(open.start);
            sessions.end.push(end);
            sessions.licenses.push(open.licenses);
            sessions.checkouts.push(1);
            sessions.end_reason.push(reason as u8);
            self.log.sessions.why.push(why);
        }
        self.log
    }
}
