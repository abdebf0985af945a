//! The charges table: what the kernel settled, in order of time, with window, date and tokens.

use std::thread;

use super::kernel::{Settled, zone_of_row};
use super::rates::{NO_RATE, Rates};
use super::{Rule, Sessions, Window};
use crate::column::Column;
use crate::error::Result;
use crate::time::DAY;

/// What made a charge fall due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Trigger {
    /// A product was started.
    Launch = 0,
    /// A window ended, or midnight came, while the product was in use.
    Renewal = 1,
    /// Activity after an idle time.
    Resume = 2,
}

impl Trigger {
    /// The names in the order of the codes.
    pub const NAMES: [&'static str; 3] = ["launch", "renewal", "resume"];
}

/// The columns of the charges, in order of `charged_at`, then of the session's row.
#[derive(Debug, Default)]
pub struct Charges {
    /// The payer's code.
    pub user: Column<u32>,
    /// The product's code.
    pub product: Column<u32>,
    /// The server's code; empty where the sessions have no server.
    pub server: Column<u32>,
    /// The instant of the charge.
    pub charged_at: Column<i64>,
    /// The end of the window that it pays.
    pub window_end: Column<i64>,
    /// The date it is booked on, in days since 1970-01-01.
    pub usage_date: Column<i32>,
    /// [`Trigger`] codes.
    pub trigger: Column<u8>,
    /// Units of 1/10,000 token, [`NO_RATE`] where the product has none.
    pub tokens: Column<i128>,
    /// The session that caused it: its row in the sessions table.
    pub session: Column<u64>,
}

impl Charges {
    /// How many charges there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.charged_at.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.charged_at.is_empty()
    }
}

/// Below this many charges a second thread costs more than it gains.
const THREADS_FROM: usize = 100_000;

/// Merges launches and renewals by time and fills the columns, in two halves side by side.
///
/// # Errors
/// [`Error::TooLarge`] when the columns do not fit into memory.
pub fn write(sessions: &Sessions<'_>, mut settled: Settled, rule: &Rule<'_>, rates: &Rates) -> Result<Charges> {
    // Nearly in order already, which the stable sort takes advantage of.
    #[expect(clippy::stable_sort_primitive, reason = "the stable sort is the one that finds runs")]
    settled.renewals.sort();
    let count = settled.launches.len() + settled.renewals.len();
    let mut charges = Charges {
        user: Column::zeros(count)?,
        product: Column::zeros(count)?,
        server: if sessions.server.is_some() { Column::zeros(count)? } else { Column::default() },
        charged_at: Column::zeros(count)?,
        window_end: Column::zeros(count)?,
        usage_date: Column::zeros(count)?,
        trigger: Column::zeros(count)?,
        tokens: Column::zeros(count)?,
        session: Column::zeros(count)?,
    };
    let whole = Part::of(&mut charges);
    let writer = Writer { sessions, rule, rates };
    let (launches, renewals) = (&*settled.launches, settled.renewals.as_slice());
    if count < THREADS_FROM {
        writer.fill(whole, launches, renewals);
        return Ok(charges);
    }
    // Half of the launches, and all renewals that come before the next launch.
    let (early, late) = launches.split_at(launches.len() / 2);
    let border = late.first().map_or((i64::MAX, u32::MAX), |&row| (sessions.start[row as usize], row));
    let (early_renewals, late_renewals) = renewals.split_at(renewals.partition_point(|&renewal| renewal < border));
    let (first, second) = whole.split_at(early.len() + early_renewals.len());
    thread::scope(|scope| {
        scope.spawn(|| writer.fill(first, early, early_renewals));
        writer.fill(second, late, late_renewals);
    });
    Ok(charges)
}

/// Some consecutive rows of the columns.
struct Part<'a> {
    user: &'a mut [u32],
    product: &'a mut [u32],
    server: &'a mut [u32],
    charged_at: &'a mut [i64],
    window_end: &'a mut [i64],
    usage_date: &'a mut [i32],
    trigger: &'a mut [u8],
    tokens: &'a mut [i128],
    session: &'a mut [u64],
}

impl<'a> Part<'a> {
    fn of(charges: &'a mut Charges) -> Self {
        Self {
            user: &mut charges.user,
            product: &mut charges.product,
            server: &mut charges.server,
            charged_at: &mut charges.charged_at,
            window_end: &mut charges.window_end,
            usage_date: &mut charges.usage_date,
            trigger: &mut charges.trigger,
            tokens: &mut charges.tokens,
            session: &mut charges.session,
        }
    }

    fn split_at(self, row: usize) -> (Self, Self) {
        let (user, user_2) = self.user.split_at_mut(row);
        let (product, product_2) = self.product.split_at_mut(row);
        let (server, server_2) = self.server.split_at_mut(row.min(self.server.len()));
        let (charged_at, charged_at_2) = self.charged_at.split_at_mut(row);
        let (window_end, window_end_2) = self.window_end.split_at_mut(row);
        let (usage_date, usage_date_2) = self.usage_date.split_at_mut(row);
        let (trigger, trigger_2) = self.trigger.split_at_mut(row);
        let (tokens, tokens_2) = self.tokens.split_at_mut(row);
        let (session, session_2) = self.session.split_at_mut(row);
        let first = Self { user, product, server, charged_at, window_end, usage_date, trigger, tokens, session };
        let second = Self {
            user: user_2,
            product: product_2,
            server: server_2,
            charged_at: charged_at_2,
            window_end: window_end_2,
            usage_date: usage_date_2,
            trigger: trigger_2,
            tokens: tokens_2,
            session: session_2,
        };
        (first, second)
    }
}

struct Writer<'a> {
    sessions: &'a Sessions<'a>,
    rule: &'a Rule<'a>,
    rates: &'a Rates,
}

impl Writer<'_> {
    fn fill(&self, mut part: Part<'_>, launches: &[u32], renewals: &[(i64, u32)]) {
        let mut renewals = renewals.iter().copied().peekable();
        let mut place = 0;
        for &row in launches {
            let start = self.sessions.start[row as usize];
            while let Some((at, renewed)) = renewals.next_if(|&renewal| renewal < (start, row)) {
                self.put(&mut part, place, at, renewed, Trigger::Renewal);
                place += 1;
            }
            self.put(&mut part, place, start, row, Trigger::Launch);
            place += 1;
        }
        for (at, row) in renewals {
            self.put(&mut part, place, at, row, Trigger::Renewal);
            place += 1;
        }
    }

    #[inline]
    fn put(&self, part: &mut Part<'_>, place: usize, at: i64, row: u32, trigger: Trigger) {
        let source = row as usize;
        let product = self.sessions.product[source];
        let (window_end, usage_date) = match self.rule.window {
            Window::Rolling { length } => (at + length, at.div_euclid(DAY) as i32),
            Window::Day { zones, zone_of_server } => {
                let days = &zones[zone_of_row(self.sessions, zone_of_server, source)];
                let stretch = days.stretch_at(at);
                (days.window_end(stretch), days.date(stretch))
            }
        };
        part.user[place] = self.sessions.user[source];
        part.product[place] = product;
        if let Some(servers) = &self.sessions.server {
            part.server[place] = servers[source];
        }
        part.charged_at[place] = at;
        part.window_end[place] = window_end;
        part.usage_date[place] = usage_date;
        part.trigger[place] = trigger as u8;
        part.tokens[place] = self.rates.at(product, at);
        part.session[place] = u64::from(row);
    }
}

/// The codes of the products that were charged without a rate, each with how many charges.
#[must_use]
pub fn without_rate(charges: &Charges) -> Vec<(u32, u64)> {
    let mut counts = std::collections::BTreeMap::new();
    for (&product, &tokens) in charges.product.iter().zip(&*charges.tokens) {
        if tokens == NO_RATE {
            *counts.entry(product).or_insert(0_u64) += 1;
        }
    }
    counts.into_iter().collect()
}
