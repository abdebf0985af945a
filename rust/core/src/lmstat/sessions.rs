//! From snapshots to sessions. A snapshot shows who has a license at its instant, so a session's end lies between the
//! last snapshot that shows it and the first one after it that lists its feature without it.

use hashbrown::HashMap;

use super::{Checkout, NO_TIME, Series, Session};
use crate::feature;
use crate::flexlm::Kind;
use crate::intern::{Interner, NONE};
use crate::pair::{Events, Packages, package_lines_within};
use crate::time::MINUTE;

/// What tells one use from another: server, feature, user, host, display, handle, start.
type Key = (u32, u32, u32, u32, u32, u64, i64);

/// A session that is being joined.
struct Use {
    session: Session,
    /// The last snapshot that shows it, and the licenses of its lines there.
    snapshot: u32,
    licenses: u32,
}

/// The instants at which each feature of each server is listed with all its users.
type Listings = HashMap<(u32, u32), Vec<i64>>;

pub(super) fn join(series: &Series) -> Vec<Session> {
    let listings = listings(series);
    let time_of = |checkout: &Checkout| series.snapshots[checkout.snapshot as usize].time;
    let mut order: Vec<(i64, u32)> = series.checkouts.iter().map(time_of).zip(0..).collect();
    order.retain(|&(time, row)| time != NO_TIME && !series.checkouts[row as usize].is_queued);
    order.sort_unstable();
    let mut uses: Vec<Use> = Vec::new();
    let mut known: HashMap<Key, usize> = HashMap::new();
    for (time, row) in order {
        let checkout = &series.checkouts[row as usize];
        let server = series.snapshots[checkout.snapshot as usize].server;
        let listed = listings.get(&(server, checkout.feature)).map_or(&[][..], Vec::as_slice);
        let key = key(server, checkout);
        let known_use = known.get(&key).copied().filter(|&at| {
            // Without a start a handle may have come back: an absence ends the use.
            checkout.start != NO_TIME || next(listed, uses[at].session.end).is_none_or(|absent| absent >= time)
        });
        if let Some(at) = known_use {
            uses[at].seen_again(time, checkout);
        } else {
            known.insert(key, uses.len());
            uses.push(Use::new(row, checkout, time, listed));
        }
    }
    for each in &mut uses {
        let checkout = &series.checkouts[each.session.checkout as usize];
        let server = series.snapshots[checkout.snapshot as usize].server;
        let listed = listings.get(&(server, checkout.feature)).map_or(&[][..], Vec::as_slice);
        each.session.end_latest = next(listed, each.session.end).unwrap_or(NO_TIME);
        each.session.end = each.session.end.max(each.session.start);
    }
    let mut sessions: Vec<Session> = uses.into_iter().map(|each| each.session).collect();
    sessions.sort_by_key(|session| (session.start, session.checkout));
    without_packages(series, sessions)
}

fn key(server: u32, checkout: &Checkout) -> Key {
    let Checkout { feature, user, host, display, handle, start, .. } = *checkout;
    (server, feature, user, host, display, handle, start)
}

fn listings(series: &Series) -> Listings {
    let mut listings = Listings::new();
    for feature in series.features.iter().filter(|feature| feature.is_complete) {
        let snapshot = &series.snapshots[feature.snapshot as usize];
        if snapshot.time != NO_TIME {
            listings.entry((snapshot.server, feature.feature)).or_default().push(snapshot.time);
        }
    }
    for times in listings.values_mut() {
        times.sort_unstable();
        times.dedup();
    }
    listings
}

/// The first instant after `time`.
fn next(times: &[i64], time: i64) -> Option<i64> {
    times.get(times.partition_point(|&each| each <= time)).copied()
}

impl Use {
    fn new(row: u32, checkout: &Checkout, time: i64, listed: &[i64]) -> Self {
        let (start, start_error) = if checkout.start == NO_TIME {
            let before = listed.partition_point(|&each| each < time).checked_sub(1);
            (time, before.map_or(NO_TIME, |at| time - listed[at]))
        } else {
            // `lmstat` cuts off the seconds.
            (checkout.start, MINUTE)
        };
        let licenses = checkout.licenses;
        let session = Session { checkout: row, start, end: time, end_latest: NO_TIME, start_error, seen: 1, licenses };
        Self { session, snapshot: checkout.snapshot, licenses }
    }

    fn seen_again(&mut self, time: i64, checkout: &Checkout) {
        if checkout.snapshot == self.snapshot {
            self.licenses = self.licenses.saturating_add(checkout.licenses);
        } else {
            // A copy of an output shows again what was seen at the same instant.
            self.session.seen += u32::from(time != self.session.end);
            (self.snapshot, self.licenses) = (checkout.snapshot, checkout.licenses);
            self.session.end = time;
        }
        self.session.licenses = self.session.licenses.max(self.licenses);
    }
}

/// Sets aside the sessions of packages that stand beside that of a component, as pairing does.
fn without_packages(series: &Series, sessions: Vec<Session>) -> Vec<Session> {
    if !series.names.feature.iter().any(|feature| feature::parse(feature).is_package) {
        return sessions;
    }
    let rows = sessions.len();
    let of = |column: fn(&Checkout) -> u32| -> Vec<u32> {
        sessions.iter().map(|session| column(&series.checkouts[session.checkout as usize])).collect()
    };
    let none = vec![NONE; rows];
    let time: Vec<i64> = sessions.iter().map(|session| session.start).collect();
    let snapshots = of(|checkout| checkout.snapshot);
    let server: Vec<u32> = snapshots.iter().map(|&at| series.snapshots[at as usize].server).collect();
    let (feature, user, host) = (of(|row| row.feature), of(|row| row.user), of(|row| row.host));
    let licenses: Vec<u32> = sessions.iter().map(|session| session.licenses).collect();
    let no_names = Interner::new();
    let events = Events {
        server: &server,
        time: &time,
        kind: &vec![Kind::Out as u8; rows],
        feature: &feature,
        user: &user,
        host: &host,
        licenses: &licenses,
        reason: &none,
        daemon: &none,
        features: &series.names.feature,
        reasons: &no_names,
        daemons: &no_names,
    };
    // The two lines of one start may fall into two minutes.
    let beside = package_lines_within(&events, &Packages::default(), MINUTE);
    sessions.into_iter().zip(beside).filter(|&(_, is_beside)| !is_beside).map(|(session, _)| session).collect()
}
