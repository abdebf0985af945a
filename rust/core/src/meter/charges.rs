//! The charges table: what the kernels settled, in order of time, with window, date and tokens.

use std::thread;

use super::keys::calendar_of;
use super::rates::{NO_RATE, Rates};
use super::{Context, Numbers, Window};
use crate::column::Column;
use crate::error::{Error, Result};
use crate::time::DAY;

/// What became of a session, in the vendor's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Category {
    /// It opened or renewed a window.
    Charged = 0,
    /// It paid the difference to a product of its family that had been charged.
    Incremental = 1,
    /// It fell inside a window that was paid.
    Free = 2,
    /// It was shorter than the minimum, outside of every paid window.
    Casual = 3,
}

impl Category {
    /// The names in the order of the codes.
    pub const NAMES: [&'static str; 4] = ["CHARGED", "INCREMENTAL", "FREE", "CASUAL"];
}

/// What made a charge fall due.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
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

/// A charge that carries all that its row in the charges needs, since its session may be of an earlier batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Due {
    /// The instant of the charge.
    pub at: i64,
    /// The row of its session among all rows.
    pub session: u64,
    /// The session's place in the order of all.
    pub place: u64,
    pub user: u32,
    pub product: u32,
    pub server: u32,
    /// Which of the rule's calendars it follows.
    pub calendar: u32,
    pub trigger: Trigger,
    pub category: Category,
    /// What was paid for the window before, in 1/10,000 token.
    pub paid: i64,
    /// The end of a rolling window that was opened earlier; 0 where this charge opens it.
    pub window_end: i64,
}

impl Due {
    /// The launch of the session at a place in the batch's order.
    pub fn at(context: &Context<'_>, place: u32) -> Self {
        let (sessions, at) = (context.sessions, place as usize);
        Self {
            at: sessions.start[at],
            session: context.session_at(place),
            place: context.first_place + u64::from(place),
            user: sessions.user[at],
            product: sessions.product[at],
            server: sessions.server_of(at),
            calendar: calendar_of(sessions, context.rule, at) as u32,
            trigger: Trigger::Launch,
            category: Category::Charged,
            paid: 0,
            window_end: 0,
        }
    }

    /// The same session charged again at a later instant.
    #[must_use]
    pub fn renewed(self, at: i64) -> Self {
        Self { at, trigger: Trigger::Renewal, ..self }
    }
}

/// What a kernel settled: launches in order of time, the rest as it came.
#[derive(Debug, Default)]
pub(crate) struct Settled {
    /// Places in the batch's order that were charged at their own start, in order.
    pub launches: Column<u32>,
    /// Instants at which a window was renewed, and the place of the session in use there.
    pub renewals: Vec<(i64, u32)>,
    /// All other charges.
    pub carried: Vec<Due>,
}

/// Notes that a window was renewed at an instant, with the place of the session in use.
#[inline]
pub(crate) fn renew(renewals: &mut Vec<(i64, u32)>, at: i64, place: u32) -> Result<()> {
    if renewals.len() == renewals.capacity() {
        renewals.try_reserve(1).map_err(|_| Error::no_memory("charges"))?;
    }
    renewals.push((at, place));
    Ok(())
}

/// Notes any other charge.
#[inline]
pub(crate) fn carry(carried: &mut Vec<Due>, due: Due) -> Result<()> {
    if carried.len() == carried.capacity() {
        carried.try_reserve(1).map_err(|_| Error::no_memory("charges"))?;
    }
    carried.push(due);
    Ok(())
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
    /// [`Category`] codes.
    pub category: Column<u8>,
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

/// Merges what was settled by time and fills the columns, in two halves side by side.
///
/// # Errors
/// [`Error::TooLarge`] when the columns do not fit into memory.
pub(crate) fn write(context: &Context<'_>, mut settled: Settled) -> Result<Charges> {
    // Nearly in order already, which the stable sort takes advantage of.
    #[expect(clippy::stable_sort_primitive, reason = "the stable sort is the one that finds runs")]
    settled.renewals.sort();
    if !matches!(context.numbers, Numbers::From(_)) {
        settled.renewals.sort_by_key(|&(at, place)| (at, context.session_at(place)));
    }
    settled.carried.sort_unstable();
    let whole = Share { launches: &settled.launches, renewals: &settled.renewals, carried: &settled.carried };
    let count = whole.len();
    let has_server = context.sessions.server.is_some();
    let mut charges = Charges {
        user: Column::zeros(count)?,
        product: Column::zeros(count)?,
        server: if has_server { Column::zeros(count)? } else { Column::default() },
        charged_at: Column::zeros(count)?,
        window_end: Column::zeros(count)?,
        usage_date: Column::zeros(count)?,
        category: Column::zeros(count)?,
        trigger: Column::zeros(count)?,
        tokens: Column::zeros(count)?,
        session: Column::zeros(count)?,
    };
    let writer = Writer { context, rates: context.rates };
    let rows = Part::of(&mut charges);
    if count < THREADS_FROM {
        writer.fill(rows, whole);
        return Ok(charges);
    }
    let (early, late) = whole.halves(context);
    let (first, second) = rows.split_at(early.len());
    thread::scope(|scope| {
        scope.spawn(|| writer.fill(first, early));
        writer.fill(second, late);
    });
    Ok(charges)
}

/// Some of what was settled, to be merged by time.
#[derive(Clone, Copy)]
struct Share<'a> {
    launches: &'a [u32],
    renewals: &'a [(i64, u32)],
    carried: &'a [Due],
}

impl Share<'_> {
    fn len(&self) -> usize {
        self.launches.len() + self.renewals.len() + self.carried.len()
    }

    /// All before the middle launch, or the middle of what is there, and the rest.
    fn halves(self, context: &Context<'_>) -> (Self, Self) {
        let middle = self.launches.get(self.launches.len() / 2);
        let border = middle.map(|&place| (context.sessions.start[place as usize], context.session_at(place)));
        let renewed = || self.renewals.get(self.renewals.len() / 2).map(|&(at, place)| (at, context.session_at(place)));
        let carried = || self.carried.get(self.carried.len() / 2).map(|due| (due.at, due.session));
        let border = border.or_else(renewed).or_else(carried).unwrap_or((i64::MIN, 0));
        let launches = self.launches.split_at(if middle.is_some() { self.launches.len() / 2 } else { 0 });
        let renewals = self.renewals.partition_point(|&(at, place)| (at, context.session_at(place)) < border);
        let renewals = self.renewals.split_at(renewals);
        let carried = self.carried.split_at(self.carried.partition_point(|due| (due.at, due.session) < border));
        (
            Self { launches: launches.0, renewals: renewals.0, carried: carried.0 },
            Self { launches: launches.1, renewals: renewals.1, carried: carried.1 },
        )
    }
}

/// Some consecutive rows of the columns.
struct Part<'a> {
    user: &'a mut [u32],
    product: &'a mut [u32],
    server: &'a mut [u32],
    charged_at: &'a mut [i64],
    window_end: &'a mut [i64],
    usage_date: &'a mut [i32],
    category: &'a mut [u8],
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
            category: &mut charges.category,
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
        let (category, category_2) = self.category.split_at_mut(row);
        let (trigger, trigger_2) = self.trigger.split_at_mut(row);
        let (tokens, tokens_2) = self.tokens.split_at_mut(row);
        let (session, session_2) = self.session.split_at_mut(row);
        let first =
            Self { user, product, server, charged_at, window_end, usage_date, category, trigger, tokens, session };
        let second = Self {
            user: user_2,
            product: product_2,
            server: server_2,
            charged_at: charged_at_2,
            window_end: window_end_2,
            usage_date: usage_date_2,
            category: category_2,
            trigger: trigger_2,
            tokens: tokens_2,
            session: session_2,
        };
        (first, second)
    }
}

struct Writer<'a> {
    context: &'a Context<'a>,
    rates: &'a Rates,
}

impl Writer<'_> {
    fn fill(&self, mut rows: Part<'_>, share: Share<'_>) {
        let Context { sessions, .. } = *self.context;
        let mut renewals = share.renewals.iter().copied().peekable();
        let mut carried = share.carried.iter().peekable();
        let mut to = 0;
        let mut put = |rows: &mut Part<'_>, at: i64, place: u32, trigger: Trigger| {
            let session = self.context.session_at(place);
            while let Some(due) = carried.next_if(|due| (due.at, due.session) < (at, session)) {
                self.put_due(rows, to, due);
                to += 1;
            }
            self.put(rows, to, at, (place, session), trigger);
            to += 1;
        };
        for &place in share.launches {
            let start = sessions.start[place as usize];
            let key = (start, self.context.session_at(place));
            while let Some((at, renewed)) = renewals.next_if(|&(at, of)| (at, self.context.session_at(of)) < key) {
                put(&mut rows, at, renewed, Trigger::Renewal);
            }
            put(&mut rows, start, place, Trigger::Launch);
        }
        for (at, place) in renewals {
            put(&mut rows, at, place, Trigger::Renewal);
        }
        for due in carried {
            self.put_due(&mut rows, to, due);
            to += 1;
        }
    }

    #[inline]
    fn put(&self, rows: &mut Part<'_>, to: usize, at: i64, (place, session): (u32, u64), trigger: Trigger) {
        let Context { sessions, rule, .. } = *self.context;
        let source = place as usize;
        rows.user[to] = sessions.user[source];
        rows.product[to] = sessions.product[source];
        if let Some(servers) = sessions.server {
            rows.server[to] = servers[source];
        }
        rows.trigger[to] = trigger as u8;
        rows.session[to] = session;
        rows.tokens[to] = self.rates.at(sessions.product[source], at);
        let calendar = if matches!(rule.window, Window::Day { .. }) { calendar_of(sessions, rule, source) } else { 0 };
        self.put_window(rows, to, at, calendar);
    }

    fn put_due(&self, rows: &mut Part<'_>, place: usize, due: &Due) {
        rows.user[place] = due.user;
        rows.product[place] = due.product;
        if let Some(server) = rows.server.get_mut(place) {
            *server = due.server;
        }
        rows.category[place] = due.category as u8;
        rows.trigger[place] = due.trigger as u8;
        rows.session[place] = due.session;
        let rate = self.rates.at(due.product, due.at);
        rows.tokens[place] = if rate == NO_RATE { NO_RATE } else { rate - i128::from(due.paid) };
        self.put_window(rows, place, due.at, due.calendar as usize);
        if due.window_end != 0 {
            rows.window_end[place] = due.window_end;
        }
    }

    #[inline]
    fn put_window(&self, rows: &mut Part<'_>, place: usize, at: i64, calendar: usize) {
        let (window_end, usage_date) = match self.context.rule.window {
            Window::Rolling { length } => (at + length, at.div_euclid(DAY) as i32),
            Window::Day { calendars, .. } => {
                let stretch = calendars[calendar].stretch_at(at);
                (calendars[calendar].window_end(stretch), calendars[calendar].date(stretch))
            }
        };
        rows.charged_at[place] = at;
        rows.window_end[place] = window_end;
        rows.usage_date[place] = usage_date;
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
