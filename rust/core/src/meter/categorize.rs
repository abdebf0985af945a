//! What became of each session: its category, the charge it fell under, and the window that it used.

use hashbrown::HashMap;

use super::charges::{Category, Charges};
use super::keys::{Key, Keys, calendar_of};
use super::{Rule, Sessions, Window};

/// No charge: the session was not charged, and fell under none.
pub const NO_CHARGE: u64 = u64::MAX;

/// What became of the sessions, row by row.
#[derive(Debug)]
pub struct Outcomes {
    /// [`Category`] codes; [`Outcomes::UNKNOWN`] for rows that could not be charged.
    pub category: Vec<u8>,
    /// The row in the charges, or [`NO_CHARGE`].
    pub charge: Vec<u64>,
    /// The instant at which the window was opened, [`super::NO_TIME`] for none.
    pub window_start: Vec<i64>,
}

impl Outcomes {
    /// The category of a row that could not be charged.
    pub const UNKNOWN: u8 = u8::MAX;
}

/// Charges by window: which charge a session falls under that starts at an instant.
enum Paid {
    /// The latest charge of each key, and the charge that opened its window.
    Rolling(HashMap<Key, (usize, usize)>),
    /// The same for each date of each key.
    Day(HashMap<(Key, i32), (usize, usize)>),
}

/// Says of each session what became of it: of `rows`, which are in order of their start, or of all where those are all as
/// they stand. The charges are those of the same sessions under the same rule.
#[must_use]
pub fn categorize(sessions: &Sessions<'_>, rows: Option<&[u32]>, charges: &Charges, rule: &Rule<'_>) -> Outcomes {
    let mut keys = Keys::default();
    let mut outcomes = Outcomes {
        category: vec![Outcomes::UNKNOWN; sessions.len()],
        charge: vec![NO_CHARGE; sessions.len()],
        window_start: vec![super::NO_TIME; sessions.len()],
    };
    let own = own_charges(sessions, charges);
    let mut paid = match rule.window {
        Window::Rolling { .. } => Paid::Rolling(HashMap::new()),
        Window::Day { .. } => Paid::Day(HashMap::new()),
    };
    let mut next = 0;
    let mut opened = vec![0; charges.len()];
    let count = rows.map_or(sessions.len(), <[u32]>::len);
    let rows = (0..count as u32).map(|place| rows.map_or(place, |rows| rows[place as usize]));
    for row in rows {
        let at = row as usize;
        while next < charges.len() && charges.charged_at[next] <= sessions.start[at] {
            next = paid.add_instant(next, charges, &mut opened, |source| keys.of(sessions, rule, source));
        }
        let under = paid.at(keys.of(sessions, rule, at), sessions, rule, at, charges);
        let is_short = sessions.end[at] - sessions.start[at] < rule.min_duration;
        let (category, charge) = match own[at] {
            Some((category, charge)) => (category, Some(charge)),
            None if is_short && under.is_none() => (Category::Casual, None),
            None => (Category::Free, under.map(|(charge, _)| charge)),
        };
        outcomes.category[at] = category as u8;
        outcomes.charge[at] = charge.map_or(NO_CHARGE, |charge| charge as u64);
    }
    while next < charges.len() {
        next = paid.add_instant(next, charges, &mut opened, |source| keys.of(sessions, rule, source));
    }
    for (window_start, &charge) in outcomes.window_start.iter_mut().zip(&outcomes.charge) {
        if charge != NO_CHARGE {
            *window_start = charges.charged_at[opened[charge as usize]];
        }
    }
    outcomes
}

/// For each session its first charge, and the weightiest of the categories of all its charges.
fn own_charges(sessions: &Sessions<'_>, charges: &Charges) -> Vec<Option<(Category, usize)>> {
    let mut own: Vec<Option<(Category, usize)>> = vec![None; sessions.len()];
    for (charge, &session) in charges.session.iter().enumerate() {
        let is_incremental = charges.category[charge] == Category::Incremental as u8;
        let category = if is_incremental { Category::Incremental } else { Category::Charged };
        let own = &mut own[session as usize];
        *own = Some(own.map_or((category, charge), |(known, first)| (known.min(category), first)));
    }
    own
}

impl Paid {
    /// Takes all charges of the next instant, and notes for each the one that opened its window; gives the first charge
    /// of the instant after. A difference can stand before the charge that it is a difference to.
    fn add_instant(
        &mut self,
        first: usize,
        charges: &Charges,
        opened: &mut [usize],
        mut key_of: impl FnMut(usize) -> Key,
    ) -> usize {
        let instant = charges.charged_at[first];
        let after = first + charges.charged_at[first..].iter().take_while(|&&at| at == instant).count();
        for is_opening in [true, false] {
            for (charge, opened) in opened.iter_mut().enumerate().take(after).skip(first) {
                if (charges.category[charge] == Category::Charged as u8) == is_opening {
                    *opened = self.add(key_of(charges.session[charge] as usize), charge, is_opening, charges);
                }
            }
        }
        after
    }

    fn add(&mut self, key: Key, charge: usize, is_opening: bool, charges: &Charges) -> usize {
        let entry = match self {
            Self::Rolling(latest) => latest.entry(key).or_insert((charge, charge)),
            Self::Day(latest) => latest.entry((key, charges.usage_date[charge])).or_insert((charge, charge)),
        };
        *entry = if is_opening { (charge, charge) } else { (entry.0.max(charge), entry.1) };
        entry.1
    }

    fn at(
        &self,
        key: Key,
        sessions: &Sessions<'_>,
        rule: &Rule<'_>,
        row: usize,
        charges: &Charges,
    ) -> Option<(usize, usize)> {
        let start = sessions.start[row];
        match (self, rule.window) {
            (Self::Day(latest), Window::Day { calendars, .. }) => {
                let days = &calendars[calendar_of(sessions, rule, row)];
                latest.get(&(key, days.date(days.stretch_at(start)))).copied()
            }
            (Self::Rolling(latest), _) => {
                latest.get(&key).copied().filter(|&(charge, _)| charges.window_end[charge] > start)
            }
            _ => None,
        }
    }
}
