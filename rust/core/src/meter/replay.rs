//! Many rules over one copy of the sessions: encoded, sorted by key, so that one run costs no more than the scan.

use std::ops::Range;

use super::rates::{NO_RATE, Rates};
use super::{CalendarOf, NO_TIME, Rule, Sessions, Window, charge};
use crate::error::Result;
use crate::intern::NONE;
use crate::time::day::Days;
use crate::time::{DAY, MAX_TIME, MIN_TIME};

/// Sessions in order of user, product, start and row; only those that any rule can charge.
#[derive(Debug)]
pub struct ByKey {
    /// The row of each session in the table it comes from.
    rows: Vec<u32>,
    starts: Vec<i64>,
    ends: Vec<i64>,
    servers: Vec<u32>,
    /// Where each key begins; behind the last one is the end.
    keys: Vec<(usize, Payer)>,
    is_per_server: bool,
}

/// Who pays for what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Payer {
    pub user: u32,
    pub product: u32,
    /// The server that charges by itself; [`NONE`] where windows hold on all.
    server: u32,
}

/// A charge of a run: which session it is laid to, by its place in the copy, when it falls due, and the date it is booked
/// on.
#[derive(Debug, Clone, Copy)]
pub(super) struct Charge {
    pub place: u32,
    pub at: i64,
    pub date: i32,
}

/// What a run over all sessions gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Total {
    /// How many charges.
    pub charges: u64,
    /// Their tokens in 1/10,000, those without a rate left out.
    pub tokens: i128,
    /// How many of the charges have no rate.
    pub without_rate: u64,
}

impl ByKey {
    /// A sorted copy, for windows that hold on all servers.
    #[must_use]
    pub fn new(sessions: &Sessions<'_>) -> Self {
        Self::sorted(sessions, false)
    }

    /// A sorted copy, for servers that charge each by itself.
    #[must_use]
    pub fn per_server(sessions: &Sessions<'_>) -> Self {
        Self::sorted(sessions, true)
    }

    fn sorted(sessions: &Sessions<'_>, is_per_server: bool) -> Self {
        let is_valid = |&row: &u32| {
            let at = row as usize;
            let (start, end) = (sessions.start[at], sessions.end[at]);
            sessions.user[at] != NONE
                && sessions.product[at] != NONE
                && start != NO_TIME
                && start <= end
                && (MIN_TIME..MAX_TIME).contains(&start)
                && end < MAX_TIME
                && !(is_per_server && sessions.server_of(at) == NONE)
        };
        let payer = |row: u32| {
            let at = row as usize;
            let server = if is_per_server { sessions.server_of(at) } else { NONE };
            Payer { user: sessions.user[at], product: sessions.product[at], server }
        };
        let mut rows: Vec<u32> = (0..sessions.len() as u32).filter(is_valid).collect();
        rows.sort_by_key(|&row| {
            let Payer { user, product, server } = payer(row);
            (user, product, server, sessions.start[row as usize])
        });
        let mut keys: Vec<(usize, Payer)> = Vec::new();
        for (place, &row) in rows.iter().enumerate() {
            if keys.last().is_none_or(|&(_, of)| of != payer(row)) {
                keys.push((place, payer(row)));
            }
        }
        keys.push((rows.len(), Payer { user: NONE, product: NONE, server: NONE }));
        Self {
            starts: rows.iter().map(|&row| sessions.start[row as usize]).collect(),
            ends: rows.iter().map(|&row| sessions.end[row as usize]).collect(),
            servers: rows.iter().map(|&row| sessions.server_of(row as usize)).collect(),
            rows,
            keys,
            is_per_server,
        }
    }

    /// The row of each session in the table it comes from, in order of the places.
    pub(super) fn rows(&self) -> &[u32] {
        &self.rows
    }

    /// Whether each server charges by itself.
    pub(super) fn is_per_server(&self) -> bool {
        self.is_per_server
    }

    /// Whether a rule is plain enough to be run key by key over this copy.
    #[must_use]
    pub fn can_run(&self, rule: &Rule<'_>) -> bool {
        Self::is_plain(rule) && rule.per_server == self.is_per_server
    }

    /// Whether a rule is plain enough to be run key by key over a copy made for its scope.
    #[must_use]
    pub fn is_plain(rule: &Rule<'_>) -> bool {
        rule.by_host.is_empty() && rule.families == 0
    }

    /// Runs a plain rule.
    #[must_use]
    pub fn run(&self, rule: &Rule<'_>, rates: &Rates) -> Total {
        let mut total = Total::default();
        self.each(rule, |payer, charge| {
            total.charges += 1;
            match rates.at(payer.product, charge.at) {
                NO_RATE => total.without_rate += 1,
                tokens => total.tokens += tokens,
            }
        });
        total
    }

    /// Runs a plain rule and gives each charge, key by key; those of a user's product come one after another.
    pub(super) fn each(&self, rule: &Rule<'_>, mut bill: impl FnMut(Payer, Charge)) {
        let mut touched = Touched::default();
        for pair in self.keys.windows(2) {
            let ((from, payer), (to, _)) = (pair[0], pair[1]);
            let mut bill = |place: usize, at: i64, date: i32| bill(payer, Charge { place: place as u32, at, date });
            match rule.window {
                Window::Rolling { length } => self.run_rolling(from..to, rule, length, &mut bill),
                Window::Day { calendars, calendar_of } => {
                    self.run_days(
                        from..to,
                        rule,
                        calendars,
                        |row| self.calendar(calendar_of, payer.user, row),
                        &mut touched,
                        &mut bill,
                    );
                }
            }
        }
    }

    fn calendar(&self, calendar_of: CalendarOf<'_>, user: u32, row: usize) -> Option<usize> {
        let place = match calendar_of {
            CalendarOf::All => return Some(0),
            CalendarOf::Server(calendars) => calendars.get(self.servers[row] as usize),
            CalendarOf::User(calendars) => calendars.get(user as usize),
        };
        place.copied().flatten().map(|place| place as usize)
    }

    fn run_rolling(&self, rows: Range<usize>, rule: &Rule<'_>, length: i64, bill: &mut impl FnMut(usize, i64, i32)) {
        let mut window_end = i64::MIN;
        let mut bill = |place, at: i64| bill(place, at, at.div_euclid(DAY) as i32);
        for (place, (&start, &end)) in rows.clone().zip(self.starts[rows.clone()].iter().zip(&self.ends[rows])) {
            if end - start < rule.min_duration {
                continue;
            }
            if start >= window_end {
                bill(place, start);
                window_end = start + length;
            }
            while rule.renew && end > window_end {
                bill(place, window_end);
                window_end += length;
            }
        }
    }

    fn run_days(
        &self,
        rows: Range<usize>,
        rule: &Rule<'_>,
        calendars: &[Days],
        calendar: impl Fn(usize) -> Option<usize>,
        touched: &mut Touched,
        bill: &mut impl FnMut(usize, i64, i32),
    ) {
        let first = rows.clone().next().and_then(&calendar);
        if let Some(days) = first.map(|place| &calendars[place]).filter(|days| days.is_monotone())
            && rows.clone().all(|row| calendar(row) == first)
        {
            let mut paid_until = i64::MIN;
            for (place, (&start, &end)) in rows.clone().zip(self.starts[rows.clone()].iter().zip(&self.ends[rows])) {
                if end - start >= rule.min_duration {
                    let note = |stretch, at| bill(place, at, days.date(stretch));
                    first_touches(days, (start, end), rule.renew, &mut paid_until, note);
                }
            }
            return;
        }
        // The first touch of each date; another zone's midnight can come before one's own, and dates can come twice. At
        // one instant the session that started first comes first.
        let Touched { dates, paid_until } = touched;
        dates.clear();
        paid_until.clear();
        paid_until.resize(calendars.len(), i64::MIN);
        for row in rows {
            let (start, end) = (self.starts[row], self.ends[row]);
            let Some(place) = calendar(row).filter(|_| end - start >= rule.min_duration) else { continue };
            let days = &calendars[place];
            if !days.is_monotone() {
                paid_until[place] = i64::MIN;
            }
            let note = |stretch, at| dates.push((days.date(stretch), at, row));
            first_touches(days, (start, end), rule.renew, &mut paid_until[place], note);
        }
        dates.sort_unstable();
        dates.dedup_by_key(|&mut (date, ..)| date);
        for &(date, at, place) in &*dates {
            bill(place, at, date);
        }
    }
}

/// What sessions of several zones have touched, kept from key to key for its memory.
#[derive(Default)]
struct Touched {
    /// Dates, each with an instant at which it is in use, and the place of the session.
    dates: Vec<(i32, i64, usize)>,
    /// For each calendar until when all is touched.
    paid_until: Vec<i64>,
}

/// The stretches that a session is the first to touch, and the instants. Sessions come in order of their start, all up to
/// `paid_until` are touched already.
#[inline]
fn first_touches(
    days: &Days,
    (start, end): (i64, i64),
    renew: bool,
    paid_until: &mut i64,
    mut note: impl FnMut(usize, i64),
) {
    let mut at = if start >= *paid_until {
        start
    } else if renew && end > *paid_until {
        *paid_until
    } else {
        return;
    };
    let mut stretch = days.stretch_at(at);
    loop {
        note(stretch, at);
        *paid_until = days.end(stretch);
        if !renew || *paid_until >= end {
            break;
        }
        at = *paid_until;
        stretch += 1;
    }
}

/// Runs any rule, the long way round where it is not plain.
///
/// # Errors
/// As [`charge`].
pub fn total(by_key: &ByKey, sessions: &Sessions<'_>, rule: &Rule<'_>, rates: &Rates) -> Result<Total> {
    if by_key.can_run(rule) {
        return Ok(by_key.run(rule, rates));
    }
    let charges = charge(*sessions, rule, rates, None, None, 1)?.charges;
    let without_rate = charges.tokens.iter().filter(|&&tokens| tokens == NO_RATE).count() as u64;
    let tokens = charges.tokens.iter().filter(|&&tokens| tokens != NO_RATE).sum();
    Ok(Total { charges: charges.len() as u64, tokens, without_rate })
}
