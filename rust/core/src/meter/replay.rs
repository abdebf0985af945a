//! Many rules over one copy of the sessions: encoded, sorted by key, so that one run costs no more than the scan.

use super::rates::{NO_RATE, Rates};
use super::{CalendarOf, NO_TIME, Rule, Sessions, Window, charge};
use crate::error::Result;
use crate::intern::NONE;
use crate::time::day::Days;
use crate::time::{MAX_TIME, MIN_TIME};

/// Sessions in order of user, product, start and row; only those that any rule can charge.
#[derive(Debug)]
pub struct ByKey {
    starts: Vec<i64>,
    ends: Vec<i64>,
    servers: Vec<u32>,
    /// Where each key begins, with its user and product; the last entry is the end.
    keys: Vec<(usize, u32, u32)>,
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
    /// A sorted copy.
    #[must_use]
    pub fn new(sessions: &Sessions<'_>) -> Self {
        let is_valid = |&row: &u32| {
            let at = row as usize;
            let (start, end) = (sessions.start[at], sessions.end[at]);
            sessions.user[at] != NONE
                && sessions.product[at] != NONE
                && start != NO_TIME
                && start <= end
                && (MIN_TIME..MAX_TIME).contains(&start)
                && end < MAX_TIME
        };
        let mut rows: Vec<u32> = (0..sessions.len() as u32).filter(is_valid).collect();
        rows.sort_by_key(|&row| {
            let at = row as usize;
            (sessions.user[at], sessions.product[at], sessions.start[at])
        });
        let mut keys = Vec::new();
        for (place, &row) in rows.iter().enumerate() {
            let (user, product) = (sessions.user[row as usize], sessions.product[row as usize]);
            if keys.last().is_none_or(|&(_, of_user, of_product)| (of_user, of_product) != (user, product)) {
                keys.push((place, user, product));
            }
        }
        keys.push((rows.len(), NONE, NONE));
        Self {
            starts: rows.iter().map(|&row| sessions.start[row as usize]).collect(),
            ends: rows.iter().map(|&row| sessions.end[row as usize]).collect(),
            servers: rows.iter().map(|&row| sessions.server_of(row as usize)).collect(),
            keys,
        }
    }

    /// Whether a rule is plain enough to be run key by key.
    #[must_use]
    pub fn can_run(rule: &Rule<'_>) -> bool {
        super::keys::Keys::is_plain(rule)
    }

    /// Runs a plain rule.
    #[must_use]
    pub fn run(&self, rule: &Rule<'_>, rates: &Rates) -> Total {
        let mut total = Total::default();
        let mut touched = Touched::default();
        for pair in self.keys.windows(2) {
            let ((from, user, product), (to, ..)) = (pair[0], pair[1]);
            let mut bill = |at: i64| match rates.at(product, at) {
                NO_RATE => {
                    total.charges += 1;
                    total.without_rate += 1;
                }
                tokens => {
                    total.charges += 1;
                    total.tokens += tokens;
                }
            };
            match rule.window {
                Window::Rolling { length } => self.run_rolling(from..to, rule, length, &mut bill),
                Window::Day { calendars, calendar_of } => {
                    self.run_days(
                        from..to,
                        rule,
                        calendars,
                        |row| self.calendar(calendar_of, user, row),
                        &mut touched,
                        &mut bill,
                    );
                }
            }
        }
        total
    }

    fn calendar(&self, calendar_of: CalendarOf<'_>, user: u32, row: usize) -> Option<usize> {
        let place = match calendar_of {
            CalendarOf::All => return Some(0),
            CalendarOf::Server(calendars) => calendars.get(self.servers[row] as usize),
            CalendarOf::User(calendars) => calendars.get(user as usize),
        };
        place.copied().flatten().map(|place| place as usize)
    }

    fn run_rolling(&self, rows: std::ops::Range<usize>, rule: &Rule<'_>, length: i64, bill: &mut impl FnMut(i64)) {
        let mut window_end = i64::MIN;
        for (&start, &end) in self.starts[rows.clone()].iter().zip(&self.ends[rows]) {
            if end - start < rule.min_duration {
                continue;
            }
            if start >= window_end {
                bill(start);
                window_end = start + length;
            }
            while rule.renew && end > window_end {
                bill(window_end);
                window_end += length;
            }
        }
    }

    fn run_days(
        &self,
        rows: std::ops::Range<usize>,
        rule: &Rule<'_>,
        calendars: &[Days],
        calendar: impl Fn(usize) -> Option<usize>,
        touched: &mut Touched,
        bill: &mut impl FnMut(i64),
    ) {
        let first = rows.clone().next().and_then(&calendar);
        if let Some(days) = first.map(|place| &calendars[place]).filter(|days| days.is_monotone())
            && rows.clone().all(|row| calendar(row) == first)
        {
            let mut paid_until = i64::MIN;
            for (&start, &end) in self.starts[rows.clone()].iter().zip(&self.ends[rows]) {
                if end - start >= rule.min_duration {
                    first_touches(days, (start, end), rule.renew, &mut paid_until, |_, at| bill(at));
                }
            }
            return;
        }
        // The first touch of each date; another zone's midnight can come before one's own, and dates can come twice.
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
            let note = |stretch, at| dates.push((days.date(stretch), at));
            first_touches(days, (start, end), rule.renew, &mut paid_until[place], note);
        }
        dates.sort_unstable();
        dates.dedup_by_key(|&mut (date, _)| date);
        for &(_, at) in &*dates {
            bill(at);
        }
    }
}

/// What sessions of several zones have touched, kept from key to key for its memory.
#[derive(Default)]
struct Touched {
    /// Dates, each with an instant at which it is in use.
    dates: Vec<(i32, i64)>,
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
    if ByKey::can_run(rule) {
        return Ok(by_key.run(rule, rates));
    }
    let charges = charge(*sessions, rule, rates, None, None, 1)?.charges;
    let without_rate = charges.tokens.iter().filter(|&&tokens| tokens == NO_RATE).count() as u64;
    let tokens = charges.tokens.iter().filter(|&&tokens| tokens != NO_RATE).sum();
    Ok(Total { charges: charges.len() as u64, tokens, without_rate })
}
