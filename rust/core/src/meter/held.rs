//! Sessions that a meter holds back: what they are worth depends on how long an open one will turn out to have been.
//!
//! Under a minimum duration an open session counts only once it is known to have lasted that long. Until then it waits,
//! and with it all later sessions of its key, since its window may be the one they fall under. And what starts at the
//! very instant that the stream has come to waits too: whether an open session is still in use there is not known yet.

use hashbrown::HashSet;

use super::check::Gathered;
use super::idle::{Idleness, Known};
use super::keys::{Key, Keys};
use super::{OPEN, Rule, Sessions};
use crate::error::Result;

/// The sessions held back, in order of their start.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Held {
    pub rows: Vec<Row>,
    /// What is known of their users' activity.
    pub reports: Vec<Idleness>,
    /// Whether those are stretches without activity.
    pub are_idle: bool,
}

/// One session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Row {
    pub user: u32,
    pub product: u32,
    pub server: u32,
    pub host: u32,
    pub start: i64,
    pub end: i64,
    /// Its number among all rows.
    pub session: u64,
}

impl Held {
    /// The sessions held back, followed by others, as columns and numbers. What is open ends at `as_of`, if that is known.
    pub fn before(
        &self,
        others: &Sessions<'_>,
        numbers: impl Iterator<Item = u64>,
        as_of: Option<i64>,
    ) -> Result<(Gathered, Vec<u64>)> {
        let end = |row: &Row| if row.end == OPEN { as_of.map_or(OPEN, |as_of| as_of.max(row.start)) } else { row.end };
        let held = Gathered::of_rows(&self.rows, end);
        let session = self.rows.iter().map(|row| row.session).chain(numbers).collect();
        Ok((held.followed_by(others)?, session))
    }

    /// Which places have to be held back when the stream has come to `now`; none in most streams.
    pub fn places(sessions: &Sessions<'_>, rule: &Rule<'_>, keys: &mut Keys, now: i64) -> Vec<usize> {
        let is_decided = |start: i64| start < now && start <= now.saturating_sub(rule.min_duration);
        let from = sessions.start.partition_point(|&start| is_decided(start));
        let mut undecided: HashSet<Key> = HashSet::new();
        let mut places = Vec::new();
        for place in from..sessions.len() {
            if sessions.start[place] >= now {
                places.push(place);
                continue;
            }
            if undecided.is_empty() && sessions.end[place] != OPEN {
                continue;
            }
            let key = keys.of(sessions, rule, place);
            if sessions.end[place] == OPEN {
                undecided.insert(key);
            }
            if undecided.contains(&key) {
                places.push(place);
            }
        }
        places
    }

    /// Holds back some places of sessions, and what is known of their users.
    pub fn of(sessions: &Sessions<'_>, places: &[usize], number: impl Fn(usize) -> u64, known: Option<&Known>) -> Self {
        let row = |&place: &usize| Row {
            user: sessions.user[place],
            product: sessions.product[place],
            server: sessions.server_of(place),
            host: sessions.host.map_or(crate::intern::NONE, |hosts| hosts[place]),
            start: sessions.start[place],
            end: sessions.end[place],
            session: number(place),
        };
        let rows: Vec<Row> = places.iter().map(row).collect();
        let mut users: Vec<u32> = rows.iter().map(|row| row.user).collect();
        users.sort_unstable();
        users.dedup();
        let reports = known.map(|known| users.into_iter().flat_map(|user| known.of_user(user)).collect());
        Self { rows, reports: reports.unwrap_or_default(), are_idle: known.is_some_and(Known::is_idle) }
    }
}
