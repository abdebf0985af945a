//! The events of one server, paired as they come: cut where what follows does not touch what was before, and what is
//! going on there is carried on. What comes out is what `pair` makes of all events together.

use hashbrown::HashMap;

use super::{BESIDE, Events, Key, Packages, Pairing, Sessions, Unpaired, Use, set_aside_packages, time_order};
use crate::flexlm::{Batch, Kind};
use crate::intern::{Interner, NONE};

/// How far apart two lines have to stand, so that neither is beside a line that the other is beside.
const APART: i64 = 2 * BESIDE;
/// How many places for a cut are looked at before more events are awaited.
const CANDIDATES: usize = 256;

/// The names behind the codes of events.
#[derive(Debug, Clone, Copy)]
#[expect(missing_docs, reason = "the columns of `Events`")]
pub struct Names<'a> {
    pub features: &'a Interner,
    pub reasons: &'a Interner,
    pub daemons: &'a Interner,
}

/// Events, with when they came: their number, and the cut before which they did.
#[derive(Debug, Default)]
#[expect(missing_docs, reason = "the columns of `Events`")]
pub struct Rows {
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
    pub number: Vec<u64>,
    pub step: Vec<u32>,
}

impl Rows {
    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.time.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.time.is_empty()
    }

    /// Some of them.
    fn gather(&self, rows: &[usize]) -> Self {
        fn at<T: Copy>(column: &[T], rows: &[usize]) -> Vec<T> {
            rows.iter().map(|&row| column[row]).collect()
        }
        Self {
            feature: at(&self.feature, rows),
            user: at(&self.user, rows),
            host: at(&self.host, rows),
            reason: at(&self.reason, rows),
            daemon: at(&self.daemon, rows),
            file: at(&self.file, rows),
            time: at(&self.time, rows),
            kind: at(&self.kind, rows),
            licenses: at(&self.licenses, rows),
            line: at(&self.line, rows),
            number: at(&self.number, rows),
            step: at(&self.step, rows),
        }
    }
}

/// What has ended up to a cut, or to the end.
#[derive(Debug, Default)]
pub struct Ended {
    /// The check-out that opened each session, in order of start.
    pub opened: Rows,
    /// The sessions; `row` is a row of `opened`. What is open has no end yet, and has the last instant of the server.
    pub sessions: Sessions,
    /// Events that could not be paired, and why.
    pub unpaired: (Rows, Vec<Unpaired>),
    /// The last instant of any event.
    pub last: Option<i64>,
    /// How many refusals there are, `DENIED` and `UNSUPPORTED`, without package lines beside their component.
    pub refused: [u64; 2],
}

/// One server's events, and what is going on.
#[derive(Debug, Default)]
pub struct Going {
    /// First those that opened what is going on, then those that were not paired yet.
    rows: Rows,
    carried: usize,
    uses: HashMap<Key, Use>,
    stops: Vec<(u32, u32, i64)>,
    last_seen: Option<i64>,
    last: Option<i64>,
    number: u64,
    step: u32,
}

impl Going {
    /// Takes events that follow those before.
    pub fn push(&mut self, batch: Batch) {
        let count = batch.time.len() as u64;
        self.last = self.last.max(batch.time.iter().copied().max());
        let rows = &mut self.rows;
        rows.feature.extend(batch.feature);
        rows.user.extend(batch.user);
        rows.host.extend(batch.host);
        rows.reason.extend(batch.reason);
        rows.daemon.extend(batch.daemon);
        rows.file.extend(batch.file);
        rows.time.extend(batch.time);
        rows.kind.extend(batch.kind);
        rows.licenses.extend(batch.licenses);
        rows.line.extend(batch.line);
        rows.number.extend(self.number..self.number + count);
        rows.step.resize(rows.time.len(), self.step);
        self.number += count;
    }

    /// Pairs what has come up to the last place where it can be cut; none where that is nowhere. No event behind lies
    /// before `least_after`.
    #[must_use]
    pub fn pair(&mut self, packages: &Packages, names: Names<'_>, least_after: i64) -> Option<Ended> {
        self.cut(least_after).map(|end| self.pair_to(end, packages, names, false))
    }

    /// Pairs the rest.
    #[must_use]
    pub fn finish(&mut self, packages: &Packages, names: Names<'_>) -> Ended {
        self.pair_to(self.rows.len(), packages, names, true)
    }

    /// The last row such that all before it are earlier than it and all that follow, and no package line stands on one
    /// side with its component on the other.
    fn cut(&self, least_after: i64) -> Option<usize> {
        let times = &self.rows.time[self.carried..];
        let mut reached = Vec::with_capacity(times.len());
        let mut latest = i64::MIN;
        for &time in times {
            latest = latest.max(time);
            reached.push(latest);
        }
        let mut least = vec![least_after; times.len() + 1];
        for at in (0..times.len()).rev() {
            least[at] = least[at + 1].min(times[at]);
        }
        let places = (1..=times.len()).rev().filter(|&at| reached[at - 1] < least[at]);
        let found = places.take(CANDIDATES).find(|&at| self.is_apart(at, &reached, &least));
        found.map(|at| self.carried + at)
    }

    /// Whether no two lines on both sides of a place belong together.
    fn is_apart(&self, place: usize, reached: &[i64], least: &[i64]) -> bool {
        let near = |before: i64, after: i64| after.saturating_sub(before) <= APART;
        if least[reached.len()] != i64::MAX && near(reached[place - 1], least[reached.len()]) {
            // What has not come yet may belong here.
            return false;
        }
        let key = |at: usize| {
            let row = self.carried + at;
            let is_grouped = self.rows.kind[row] <= Kind::Unsupported as u8;
            is_grouped.then(|| (self.rows.user[row], self.rows.host[row], self.rows.kind[row]))
        };
        let time = |at: usize| self.rows.time[self.carried + at];
        let mut latest: HashMap<(u32, u32, u8), i64> = HashMap::new();
        for at in (0..place).rev().take_while(|&at| near(reached[at], least[place])) {
            if let Some(key) = key(at) {
                let known = latest.entry(key).or_insert(i64::MIN);
                *known = time(at).max(*known);
            }
        }
        let mut after = (place..reached.len()).take_while(|&at| near(reached[place - 1], least[at]));
        after.all(|at| key(at).and_then(|key| latest.get(&key)).is_none_or(|&before| !near(before, time(at))))
    }

    /// Pairs the rows before a cut.
    fn pair_to(&mut self, end: usize, packages: &Packages, names: Names<'_>, is_end: bool) -> Ended {
        let server = vec![0; end];
        let rows = &self.rows;
        let events = Events {
            server: &server,
            time: &rows.time[..end],
            kind: &rows.kind[..end],
            feature: &rows.feature[..end],
            user: &rows.user[..end],
            host: &rows.host[..end],
            licenses: &rows.licenses[..end],
            reason: &rows.reason[..end],
            daemon: &rows.daemon[..end],
            features: names.features,
            reasons: names.reasons,
            daemons: names.daemons,
        };
        let order = time_order(&events, self.carried);
        let beside = set_aside_packages(&events, packages, &order, BESIDE);
        let refused = [Kind::Denied, Kind::Unsupported].map(|kind| {
            let rows = self.carried..end;
            rows.filter(|&row| events.kind[row] == kind as u8 && !beside[row]).count() as u64
        });
        let mut pairing = Pairing::new(&events, &beside);
        pairing.uses = std::mem::take(&mut self.uses);
        pairing.stops = std::mem::take(&mut self.stops);
        pairing.last_seen.extend(self.last_seen.map(|seen| (0, seen)));
        for &row in &order {
            pairing.take(row);
        }
        let mut found = if is_end {
            pairing.finish(self.last.unwrap_or(0))
        } else {
            self.last_seen = pairing.last_seen.get(&0).copied();
            self.stops = pairing.stops;
            self.uses = pairing.uses;
            pairing.found.sessions.sort();
            pairing.found.unpaired.sort_unstable_by_key(|&(row, _)| row);
            pairing.found
        };
        let opened: Vec<usize> = found.sessions.row.iter().map(|&row| row as usize).collect();
        let unpaired: Vec<usize> = found.unpaired.iter().map(|&(row, _)| row as usize).collect();
        let mut sessions = std::mem::take(&mut found.sessions);
        sessions.row = (0..opened.len() as u32).collect();
        let ended = Ended {
            opened: rows.gather(&opened),
            sessions,
            unpaired: (rows.gather(&unpaired), found.unpaired.iter().map(|&(_, why)| why).collect()),
            last: self.last,
            refused,
        };
        self.carry(end);
        ended
    }

    /// Keeps what is going on at a cut, and what was not paired yet.
    fn carry(&mut self, cut: usize) {
        let mut uses: Vec<&mut Use> = self.uses.values_mut().collect();
        uses.sort_unstable_by_key(|in_use| in_use.row);
        let mut kept: Vec<usize> = Vec::with_capacity(uses.len() + self.rows.len() - cut);
        for in_use in uses {
            // What has no licenses out needs no row: its next check-out is its first.
            if in_use.licenses == 0 {
                in_use.row = NONE;
                continue;
            }
            kept.push(in_use.row as usize);
            in_use.row = (kept.len() - 1) as u32;
        }
        self.carried = kept.len();
        kept.extend(cut..self.rows.len());
        self.rows = self.rows.gather(&kept);
        self.step += 1;
        let step = self.step;
        self.rows.step[self.carried..].fill(step);
    }
}
