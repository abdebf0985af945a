//! From events to sessions: the union of use per (server, user, host, feature).
//!
//! A session runs from the check-out that makes the first license of a key busy to the check-in that frees its last
//! one. Check-outs of one key overlap (several instances share a license under `DUP_GROUP`), so licenses are counted
//! and not matched one to one: any matching gives the same union. What a server's stop or crash left open is closed
//! there. Package lines, which the vendor writes beside the line of the component in use, are set aside first.

mod stream;

use hashbrown::{HashMap, HashSet};

use crate::error::{Error, Result};
use crate::feature;
use crate::flexlm::Kind;
use crate::intern::{Interner, NONE};
use crate::time::{HOUR, MINUTE, SECOND};

pub use stream::{Ended, Going, Names, Rows};

/// How far apart the two lines of one product start may be stamped.
const BESIDE: i64 = 2 * SECOND;
/// A step back in time up to this is the server's disorder, and the order of the lines is the truth.
const DISORDER: i64 = HOUR;
/// How long after a stop its check-ins may still be written.
const STOPPING: i64 = 5 * MINUTE;

/// The columns of an events table that pairing reads. Names are codes, [`NONE`] for null.
#[derive(Debug, Clone, Copy)]
pub struct Events<'a> {
    /// The license server.
    pub server: &'a [u32],
    /// The instant of the line.
    pub time: &'a [i64],
    /// [`Kind`] codes.
    pub kind: &'a [u8],
    /// The feature.
    pub feature: &'a [u32],
    /// The user as the log spells it.
    pub user: &'a [u32],
    /// The user's machine.
    pub host: &'a [u32],
    /// How many licenses the line moves.
    pub licenses: &'a [u32],
    /// The text in parentheses.
    pub reason: &'a [u32],
    /// The vendor daemon.
    pub daemon: &'a [u32],
    /// The names behind the feature codes.
    pub features: &'a Interner,
    /// The names behind the reason codes.
    pub reasons: &'a Interner,
    /// The names behind the daemon codes.
    pub daemons: &'a Interner,
}

/// Why a session ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum EndReason {
    /// The user's program gave the license back.
    Checkin = 0,
    /// The server took it back after a time without activity.
    Inactive = 1,
    /// The server wrote the check-in while it shut down.
    Shutdown = 2,
    /// A check-in with another reason in parentheses.
    Other = 3,
    /// The server stopped and wrote no check-in.
    Stop = 4,
    /// The daemon crashed.
    Crash = 5,
    /// The server started anew, and no stop or crash was logged before.
    Restart = 6,
    /// Not ended yet.
    Open = 7,
}

impl EndReason {
    /// The names in the order of the codes.
    pub const NAMES: [&'static str; 8] =
        ["checkin", "inactive", "shutdown", "other", "stop", "crash", "restart", "open"];

    fn of_checkin(reason: &[u8]) -> Self {
        match reason {
            b"" => Self::Checkin,
            b"INACTIVE" => Self::Inactive,
            b"SHUTDOWN" => Self::Shutdown,
            _ => Self::Other,
        }
    }
}

/// The sessions in order of their start, then of the row that opened them.
#[derive(Debug, Default)]
pub struct Sessions {
    /// The row of the check-out that opened the session: server, user, host and feature are that row's.
    pub row: Vec<u32>,
    /// The first check-out.
    pub start: Vec<i64>,
    /// The last check-in, exclusive.
    pub end: Vec<i64>,
    /// The most licenses at once.
    pub licenses: Vec<u32>,
    /// How many check-outs it unites.
    pub checkouts: Vec<u32>,
    /// [`EndReason`] codes.
    pub end_reason: Vec<u8>,
}

/// The sessions cut where the number of licenses changes. What is cut follows each other without a gap.
#[derive(Debug, Default)]
pub struct Held {
    /// The session's place among the sessions.
    pub session: Vec<u32>,
    /// From when on.
    pub start: Vec<i64>,
    /// Until when, exclusive.
    pub end: Vec<i64>,
    /// How many are held all that time.
    pub licenses: Vec<u32>,
    /// Check-outs at its start: one, or none where it begins otherwise.
    pub checkouts: Vec<u32>,
}

/// From an instant on a session holds so many licenses.
#[derive(Debug, Clone, Copy)]
struct Change {
    /// The row that opened the session.
    row: u32,
    time: i64,
    licenses: u32,
    is_checkout: bool,
}

/// What could not be paired.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unpaired {
    /// A check-in of a key that has nothing checked out.
    CheckinWithoutCheckout,
    /// A check-in of more licenses than the key has.
    CheckinOfTooMany,
    /// An upgrade of a key that has nothing checked out: taken for its check-out.
    UpgradeWithoutCheckout,
    /// A check-out, check-in or upgrade without feature, user or host.
    MissingName,
}

impl Unpaired {
    /// The problem's code in the problems table.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::CheckinWithoutCheckout => "checkin_without_checkout",
            Self::CheckinOfTooMany => "checkin_of_too_many",
            Self::UpgradeWithoutCheckout => "upgrade_without_checkout",
            Self::MissingName => "missing_name",
        }
    }
}

/// Sessions, and the rows that are in none.
#[derive(Debug, Default)]
pub struct Paired {
    /// The sessions.
    pub sessions: Sessions,
    /// Rows that could not be paired.
    pub unpaired: Vec<(u32, Unpaired)>,
    /// How many package lines stood beside their component and were set aside.
    pub package_lines: u64,
    /// What each session holds when, where that was asked for.
    pub held: Held,
}

/// Which features are packages, and of what.
#[derive(Debug, Default)]
pub struct Packages {
    members: HashMap<u32, HashSet<u32>>,
}

impl Packages {
    /// From rows of package and component, as codes of the events' features.
    pub fn new(rows: impl Iterator<Item = (u32, u32)>) -> Self {
        let mut members: HashMap<u32, HashSet<u32>> = HashMap::new();
        for (package, component) in rows {
            members.entry(package).or_default().insert(component);
        }
        Self { members }
    }

    fn holds(&self, package: u32, component: u32) -> bool {
        self.members.get(&package).is_some_and(|components| components.contains(&component))
    }
}

/// Uses that were going on where earlier pairing of one server stopped. Each stands for one of the first rows of the
/// events: the check-out that opened it, or for a use without licenses any row of its names.
#[derive(Debug, Clone, Copy)]
pub struct Carried<'a> {
    /// Licenses in use; 0 where only check-ins are still to come.
    pub licenses: &'a [u32],
    /// The most licenses so far.
    pub peak: &'a [u32],
    /// Check-outs so far.
    pub checkouts: &'a [u32],
    /// Check-outs of a package that were set aside.
    pub set_aside: &'a [u32],
    /// Until when check-ins of a stopped server may follow.
    pub closing_until: &'a [i64],
    /// The last instant at which the server logged anything.
    pub last_seen: Option<i64>,
    /// From which instant on, at which no earlier row lies, the state is to be kept for the next time.
    pub keep_at: Option<i64>,
}

/// What was going on at `keep_at`.
#[derive(Debug, Default)]
pub struct Kept {
    /// The check-out that opened the use, or another row of its names.
    pub row: Vec<u32>,
    /// The vendor daemon, as a code of the events.
    pub daemon: Vec<u32>,
    /// As in [`Carried`].
    pub licenses: Vec<u32>,
    /// As in [`Carried`].
    pub peak: Vec<u32>,
    /// As in [`Carried`].
    pub checkouts: Vec<u32>,
    /// As in [`Carried`].
    pub set_aside: Vec<u32>,
    /// As in [`Carried`].
    pub closing_until: Vec<i64>,
    /// As in [`Carried`].
    pub last_seen: Option<i64>,
    /// False while a stop waits for its check-ins: then nobody can go on from here.
    pub is_whole: bool,
}

/// Makes sessions of events. `as_of` ends what is still open; by default the last instant in the events. With `cut` it
/// also says what each session holds when.
///
/// # Errors
/// [`Error::Invalid`] when `as_of` lies before the last event; [`Error::TooLarge`] beyond 4 billion rows.
pub fn pair(events: &Events<'_>, packages: &Packages, as_of: Option<i64>, cut: bool) -> Result<Paired> {
    let as_of = check(events, as_of)?;
    let order = time_order(events, 0);
    let beside = set_aside_packages(events, packages, &order, BESIDE);
    let mut pairing = Pairing::new(events, &beside);
    pairing.changes = cut.then(Vec::new);
    for &row in &order {
        pairing.take(row);
    }
    Ok(pairing.finish(as_of))
}

/// Goes on with the events of one server where earlier pairing stopped. What comes out, together with what had ended
/// there, is what [`pair`] makes of the whole: as long as no event lies before where it stopped, and no line of a
/// package stands beside one on the other side.
///
/// # Errors
/// As [`pair`].
pub fn pair_on(
    events: &Events<'_>,
    packages: &Packages,
    as_of: Option<i64>,
    carried: &Carried<'_>,
) -> Result<(Paired, Kept)> {
    let as_of = check(events, as_of)?;
    let order = time_order(events, carried.licenses.len());
    let beside = set_aside_packages(events, packages, &order, BESIDE);
    let mut pairing = Pairing::new(events, &beside);
    pairing.carry(carried);
    let keep_at = carried.keep_at.unwrap_or(i64::MAX);
    let mut kept = None;
    for &row in &order {
        if kept.is_none() && events.time[row as usize] >= keep_at {
            kept = Some(pairing.keep(keep_at));
        }
        pairing.take(row);
    }
    let kept = kept.unwrap_or_else(|| pairing.keep(keep_at));
    Ok((pairing.finish(as_of), kept))
}

/// Gives `as_of`.
fn check(events: &Events<'_>, as_of: Option<i64>) -> Result<i64> {
    if u32::try_from(events.time.len()).is_err() {
        return Err(Error::TooLarge { message: "more than 4,294,967,295 events: pair them in parts".to_owned() });
    }
    let last = events.time.iter().copied().max().unwrap_or(0);
    let as_of = as_of.unwrap_or(last);
    if as_of < last {
        return Err(Error::Invalid {
            argument: "as_of",
            message: "as_of lies before the last event: filter the events to the time before it first".to_owned(),
        });
    }
    Ok(as_of)
}

/// The rows from the first on in order of time. Where time steps back only a little, rows of one server keep their own
/// order. Where it steps back further the rows are not a log's, and only their times can say which came first: that
/// holds for the rows from one instant, which all rows before keep and none after, to the next such.
fn time_order(events: &Events<'_>, first: usize) -> Vec<u32> {
    let mut keyed: Vec<(i64, u32)> = Vec::with_capacity(events.time.len());
    let mut latest: HashMap<u32, i64> = HashMap::new();
    let mut is_disorder = false;
    for (row, (&time, &server)) in events.time.iter().zip(events.server).enumerate().skip(first) {
        let latest = latest.entry(server).or_insert(time);
        is_disorder |= time < latest.saturating_sub(DISORDER);
        *latest = time.max(*latest);
        keyed.push((*latest, row as u32));
    }
    if is_disorder {
        let mut rows_of: HashMap<u32, Vec<u32>> = HashMap::new();
        for &(_, row) in &keyed {
            rows_of.entry(events.server[row as usize]).or_default().push(row);
        }
        keyed.clear();
        for rows in rows_of.values() {
            key_by_time(events.time, rows, &mut keyed);
        }
    }
    keyed.sort_unstable();
    keyed.into_iter().map(|(_, row)| row).collect()
}

/// Adds the rows of one server with the instants that they are to be sorted by.
fn key_by_time(times: &[i64], rows: &[u32], keyed: &mut Vec<(i64, u32)>) {
    let mut least_after = vec![i64::MAX; rows.len() + 1];
    for (at, &row) in rows.iter().enumerate().rev() {
        least_after[at] = least_after[at + 1].min(times[row as usize]);
    }
    let (mut start, mut latest, mut is_disorder) = (keyed.len(), i64::MIN, false);
    for (at, &row) in rows.iter().enumerate() {
        let time = times[row as usize];
        if latest <= least_after[at] {
            // All rows before are earlier than all that follow.
            (start, is_disorder) = (keyed.len(), false);
        }
        let was_disorder = is_disorder;
        is_disorder |= time < latest.saturating_sub(DISORDER);
        if is_disorder && !was_disorder {
            for (key, row) in &mut keyed[start..] {
                *key = times[*row as usize];
            }
        }
        latest = latest.max(time);
        keyed.push((if is_disorder { time } else { latest }, row));
    }
}

/// One of the lines that a user's program causes within a moment.
struct Recent {
    row: u32,
    time: i64,
    feature: u32,
    is_package: bool,
    is_matched: bool,
}

/// Which rows are package lines beside the line of their component: one product start writes both, and the component
/// alone counts. A package of the same product line, or one known to hold the component, is preferred; a suite, whose
/// line differs from its components', takes any component that is left.
#[must_use]
pub fn package_lines(events: &Events<'_>, packages: &Packages) -> Vec<bool> {
    package_lines_within(events, packages, BESIDE)
}

/// The same for times that are known less exactly: the two lines may lie up to `beside` apart.
#[must_use]
pub fn package_lines_within(events: &Events<'_>, packages: &Packages, beside: i64) -> Vec<bool> {
    set_aside_packages(events, packages, &time_order(events, 0), beside)
}

fn set_aside_packages(events: &Events<'_>, packages: &Packages, order: &[u32], within: i64) -> Vec<bool> {
    let features: Vec<feature::Feature<'_>> = events.features.iter().map(feature::parse).collect();
    let is_package = |code: u32| {
        features.get(code as usize).is_some_and(|feature| feature.is_package) || packages.members.contains_key(&code)
    };
    let belong = |package: u32, component: u32| {
        packages.holds(package, component) || features[package as usize].product == features[component as usize].product
    };
    let mut beside = vec![false; events.time.len()];
    let mut recent: HashMap<(u32, u32, u32, u8), Vec<Recent>> = HashMap::new();
    for &row in order {
        let at = row as usize;
        let (kind, feature) = (events.kind[at], events.feature[at]);
        if feature == NONE || kind > Kind::Unsupported as u8 {
            continue;
        }
        let lines = recent.entry((events.server[at], events.user[at], events.host[at], kind)).or_default();
        let time = events.time[at];
        forget_old(lines, time, within, &mut beside);
        let this_is_package = is_package(feature);
        let partner = lines.iter_mut().rfind(|line| {
            let (package, component) = if this_is_package { (feature, line.feature) } else { (line.feature, feature) };
            !line.is_matched
                && line.is_package != this_is_package
                && (line.time - time).abs() <= within
                && belong(package, component)
        });
        let is_matched = partner.is_some();
        if let Some(partner) = partner {
            partner.is_matched = true;
            beside[if this_is_package { at } else { partner.row as usize }] = true;
        }
        lines.push(Recent { row, time, feature, is_package: this_is_package, is_matched });
    }
    for lines in recent.values_mut() {
        forget_old(lines, i64::MAX, within, &mut beside);
    }
    beside
}

/// Drops the lines that nothing can be beside any more; a package among them that is still alone takes any component.
fn forget_old(lines: &mut Vec<Recent>, now: i64, within: i64, beside: &mut [bool]) {
    for at in 0..lines.len() {
        let (time, is_alone) = (lines[at].time, lines[at].is_package && !lines[at].is_matched);
        if is_alone && now.saturating_sub(time) > within {
            let component = lines
                .iter_mut()
                .find(|line| !line.is_package && !line.is_matched && (line.time - time).abs() <= within);
            if let Some(component) = component {
                component.is_matched = true;
                beside[lines[at].row as usize] = true;
                lines[at].is_matched = true;
            }
        }
    }
    lines.retain(|line| now.saturating_sub(line.time) <= 2 * within);
}

/// What one key has checked out.
#[derive(Debug, Clone, Copy)]
struct Use {
    /// The row of the first check-out; without licenses any row of the key.
    row: u32,
    /// Licenses in use; 0 while nothing is checked out.
    licenses: u32,
    peak: u32,
    checkouts: u32,
    daemon: u32,
    /// Check-outs of a package that stand beside a component's: their check-ins end nothing.
    set_aside: u32,
    /// Until when check-ins of a stopped server may still follow the session that its stop closed.
    closing_until: i64,
}

impl Use {
    /// Whether nothing is out, and no check-in of a line that was set aside is to come.
    fn is_over(&self) -> bool {
        self.licenses == 0 && self.set_aside == 0
    }
}

const UNUSED: Use =
    Use { row: NONE, licenses: 0, peak: 0, checkouts: 0, daemon: NONE, set_aside: 0, closing_until: i64::MIN };

type Key = (u32, u32, u32, u32);

struct Pairing<'a> {
    events: &'a Events<'a>,
    beside: &'a [bool],
    uses: HashMap<Key, Use>,
    /// The stops (server, daemon, instant) whose check-ins may still be coming.
    stops: Vec<(u32, u32, i64)>,
    /// The last instant at which anything was logged, by server.
    last_seen: HashMap<u32, i64>,
    /// The same of the time before.
    carried_seen: Option<i64>,
    manager: Vec<bool>,
    /// All changes in the order of the events, where they are asked for.
    changes: Option<Vec<Change>>,
    found: Paired,
}

impl<'a> Pairing<'a> {
    fn new(events: &'a Events<'a>, beside: &'a [bool]) -> Self {
        // The license manager's own daemons speak for every vendor daemon of the server.
        let manager = events.daemons.iter().map(|name| matches!(name, b"lmgrd" | b"lmadmin")).collect();
        Self {
            events,
            beside,
            uses: HashMap::new(),
            stops: Vec::new(),
            last_seen: HashMap::new(),
            carried_seen: None,
            manager,
            changes: None,
            found: Paired::default(),
        }
    }

    /// Takes up what was going on.
    fn carry(&mut self, carried: &Carried<'_>) {
        for at in 0..carried.licenses.len() {
            let row = at as u32;
            let Some(entry) = self.key(row) else { continue };
            let in_use = Use {
                row,
                licenses: carried.licenses[at],
                peak: carried.peak[at],
                checkouts: carried.checkouts[at],
                daemon: self.events.daemon[at],
                set_aside: carried.set_aside[at],
                closing_until: carried.closing_until[at],
            };
            self.uses.insert(entry, in_use);
            if let Some(seen) = carried.last_seen {
                self.last_seen.insert(self.events.server[at], seen);
            }
        }
        self.carried_seen = carried.last_seen;
    }

    /// What is going on, without that which nothing can follow at an instant or later.
    fn keep(&self, at: i64) -> Kept {
        let mut kept = Kept { is_whole: self.stops.is_empty(), ..Kept::default() };
        kept.last_seen = self.last_seen.values().copied().chain(self.carried_seen).max();
        let mut uses: Vec<&Use> = self.uses.values().collect();
        uses.sort_unstable_by_key(|in_use| in_use.row);
        for in_use in uses {
            if in_use.is_over() && in_use.closing_until < at {
                continue;
            }
            kept.row.push(in_use.row);
            kept.daemon.push(in_use.daemon);
            kept.licenses.push(in_use.licenses);
            kept.peak.push(in_use.peak);
            kept.checkouts.push(in_use.checkouts);
            kept.set_aside.push(in_use.set_aside);
            kept.closing_until.push(in_use.closing_until);
        }
        kept
    }

    fn take(&mut self, row: u32) {
        let at = row as usize;
        let (server, daemon, time) = (self.events.server[at], self.events.daemon[at], self.events.time[at]);
        match self.events.kind[at] {
            kind if kind == Kind::Out as u8 => self.check_out(row),
            kind if kind == Kind::In as u8 => self.check_in(row),
            kind if kind == Kind::Upgrade as u8 => self.upgrade(row),
            kind if kind == Kind::Stop as u8 => self.stops.push((server, daemon, time)),
            kind if kind == Kind::Crash as u8 => self.close_daemon(server, daemon, time, EndReason::Crash),
            kind if kind == Kind::Start as u8 => {
                self.settle_stops(server, daemon, i64::MAX);
                let last_seen = self.last_seen.get(&server).copied().unwrap_or(time);
                self.close_daemon(server, daemon, last_seen, EndReason::Restart);
            }
            _ => {}
        }
        let last_seen = self.last_seen.entry(server).or_insert(time);
        *last_seen = time.max(*last_seen);
    }

    fn check_out(&mut self, row: u32) {
        let at = row as usize;
        self.settle_stops(self.events.server[at], self.events.daemon[at], self.events.time[at]);
        let Some(entry) = self.key(row) else { return };
        let licenses = self.events.licenses[at].max(1);
        let in_use = self.uses.entry(entry).or_insert(Use { row, ..UNUSED });
        in_use.daemon = self.events.daemon[at];
        if self.beside[at] {
            in_use.set_aside = in_use.set_aside.saturating_add(1);
            self.found.package_lines += 1;
            return;
        }
        if in_use.licenses == 0 {
            *in_use = Use { row, set_aside: in_use.set_aside, ..UNUSED };
        }
        in_use.daemon = self.events.daemon[at];
        in_use.licenses = in_use.licenses.saturating_add(licenses);
        in_use.peak = in_use.peak.max(in_use.licenses);
        in_use.checkouts += 1;
        let now = *in_use;
        self.changed(now, row, true);
    }

    /// Notes what a session holds from a row on.
    fn changed(&mut self, now: Use, row: u32, is_checkout: bool) {
        if let Some(changes) = &mut self.changes {
            let time = self.events.time[row as usize];
            changes.push(Change { row: now.row, time, licenses: now.licenses, is_checkout });
        }
    }

    fn upgrade(&mut self, row: u32) {
        let at = row as usize;
        let Some(entry) = self.key(row) else { return };
        let to = self.events.licenses[at].max(1);
        let from = self.upgraded_from(at);
        let in_use = self.uses.entry(entry).or_insert(Use { row, ..UNUSED });
        if in_use.licenses == 0 {
            *in_use = Use { row, daemon: self.events.daemon[at], set_aside: in_use.set_aside, checkouts: 1, ..UNUSED };
            in_use.licenses = to;
            self.found.unpaired.push((row, Unpaired::UpgradeWithoutCheckout));
        } else {
            in_use.licenses = in_use.licenses.saturating_sub(from).saturating_add(to).max(1);
        }
        in_use.peak = in_use.peak.max(in_use.licenses);
        let now = *in_use;
        self.changed(now, row, now.row == row);
    }

    /// The first number of `5->6`; what the key had otherwise cannot be told and counts as one.
    fn upgraded_from(&self, at: usize) -> u32 {
        let reason = self.events.reason[at];
        if reason == NONE {
            return 1;
        }
        let digits = self.events.reasons.get(reason).iter().take_while(|byte| byte.is_ascii_digit());
        digits.fold(0_u32, |number, digit| number.saturating_mul(10).saturating_add(u32::from(digit - b'0')))
    }

    fn check_in(&mut self, row: u32) {
        let at = row as usize;
        let Some(entry) = self.key(row) else { return };
        let reason = self.events.reason[at];
        let reason = EndReason::of_checkin(if reason == NONE { b"" } else { self.events.reasons.get(reason) });
        let licenses = self.events.licenses[at].max(1);
        let Some(in_use) = self.uses.get_mut(&entry) else {
            self.found.unpaired.push((row, Unpaired::CheckinWithoutCheckout));
            return;
        };
        if in_use.set_aside > 0 && (self.beside[at] || in_use.licenses == 0) {
            in_use.set_aside -= 1;
            self.found.package_lines += 1;
            return;
        }
        if in_use.licenses == 0 {
            if self.events.time[at] > in_use.closing_until {
                self.found.unpaired.push((row, Unpaired::CheckinWithoutCheckout));
            }
            return;
        }
        if licenses > in_use.licenses {
            self.found.unpaired.push((row, Unpaired::CheckinOfTooMany));
        }
        in_use.licenses = in_use.licenses.saturating_sub(licenses);
        let now = *in_use;
        if now.licenses == 0 {
            self.write(now, self.events.time[at], reason);
        } else {
            self.changed(now, row, false);
        }
    }

    fn key(&mut self, row: u32) -> Option<Key> {
        let at = row as usize;
        let (user, host, feature) = (self.events.user[at], self.events.host[at], self.events.feature[at]);
        if user == NONE || host == NONE || feature == NONE {
            self.found.unpaired.push((row, Unpaired::MissingName));
            return None;
        }
        Some((self.events.server[at], user, host, feature))
    }

    /// Closes what the stops of this daemon left open, as far as no check-in can follow any more at `now`.
    fn settle_stops(&mut self, server: u32, daemon: u32, now: i64) {
        if self.stops.is_empty() {
            return;
        }
        let stops = std::mem::take(&mut self.stops);
        for (stopped, by, at) in stops {
            let is_over = now.saturating_sub(at) > STOPPING;
            if stopped == server && (is_over || self.speaks_for(by, daemon) || self.speaks_for(daemon, by)) {
                self.close_daemon(stopped, by, at, EndReason::Stop);
            } else {
                self.stops.push((stopped, by, at));
            }
        }
    }

    fn speaks_for(&self, daemon: u32, other: u32) -> bool {
        daemon == other || daemon == NONE || self.manager.get(daemon as usize).copied().unwrap_or(false)
    }

    fn close_daemon(&mut self, server: u32, daemon: u32, at: i64, reason: EndReason) {
        let keys: Vec<Key> = self
            .uses
            .iter()
            .filter(|(key, in_use)| key.0 == server && !in_use.is_over() && self.speaks_for(daemon, in_use.daemon))
            .map(|(key, _)| *key)
            .collect();
        for key in keys {
            let Some(in_use) = self.uses.get_mut(&key) else { continue };
            let ended = *in_use;
            // What was set aside ends too: its check-ins, if they come, are part of the stop.
            *in_use = Use { row: ended.row, closing_until: at.saturating_add(STOPPING), ..UNUSED };
            if ended.licenses > 0 {
                self.write(ended, at, reason);
            }
        }
    }

    fn write(&mut self, ended: Use, at: i64, reason: EndReason) {
        let start = self.events.time[ended.row as usize];
        let sessions = &mut self.found.sessions;
        sessions.row.push(ended.row);
        sessions.start.push(start);
        sessions.end.push(at.max(start));
        sessions.licenses.push(ended.peak);
        sessions.checkouts.push(ended.checkouts);
        sessions.end_reason.push(reason as u8);
    }

    fn finish(mut self, as_of: i64) -> Paired {
        for (server, daemon, at) in std::mem::take(&mut self.stops) {
            self.close_daemon(server, daemon, at, EndReason::Stop);
        }
        let open: Vec<Use> = self.uses.values().filter(|in_use| in_use.licenses > 0).copied().collect();
        for in_use in open {
            self.write(in_use, as_of, EndReason::Open);
        }
        self.found.sessions.sort();
        self.found.held = Held::of(&self.found.sessions, self.changes.unwrap_or_default());
        self.found.unpaired.sort_unstable_by_key(|&(row, _)| row);
        self.found
    }
}

impl Held {
    fn of(sessions: &Sessions, mut changes: Vec<Change>) -> Self {
        // Stable: the changes of a session stay in the order of the events.
        changes.sort_by_key(|change| change.row);
        let mut held = Self::default();
        for (session, &row) in sessions.row.iter().enumerate() {
            let first = changes.partition_point(|change| change.row < row);
            let own = changes[first..].iter().take_while(|change| change.row == row);
            let (mut at, end) = (sessions.start[session], sessions.end[session]);
            let mut own = own.peekable();
            while let Some(change) = own.next() {
                // Within the session, and in order where the server's clock stepped back a little.
                let until = own.peek().map_or(end, |next| next.time.clamp(at, end));
                if at < until || change.is_checkout {
                    held.session.push(session as u32);
                    held.start.push(at);
                    held.end.push(until);
                    held.licenses.push(change.licenses);
                    held.checkouts.push(u32::from(change.is_checkout));
                }
                at = until;
            }
        }
        held
    }
}

impl Sessions {
    fn sort(&mut self) {
        let mut order: Vec<(i64, u32, usize)> =
            self.row.iter().zip(&self.start).enumerate().map(|(at, (&row, &start))| (start, row, at)).collect();
        order.sort_unstable();
        let rows: Vec<usize> = order.into_iter().map(|(_, _, at)| at).collect();
        *self = Self {
            row: rows.iter().map(|&at| self.row[at]).collect(),
            start: rows.iter().map(|&at| self.start[at]).collect(),
            end: rows.iter().map(|&at| self.end[at]).collect(),
            licenses: rows.iter().map(|&at| self.licenses[at]).collect(),
            checkouts: rows.iter().map(|&at| self.checkouts[at]).collect(),
            end_reason: rows.iter().map(|&at| self.end_reason[at]).collect(),
        };
    }
}
