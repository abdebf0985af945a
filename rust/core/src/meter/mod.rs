//! From sessions to charges.
//!
//! A [`Meter`] takes sessions in order of time, batch after batch, and gives charges as soon as nothing later can
//! change them. [`check`] looks at the rows first and orders them, [`keys`] says who pays for what. Plain rules run
//! through [`plain`], column by column; families and idle time need more memory of what is in use and run through
//! [`engine`], over the active spans that [`idle`] makes. [`rates`] prices the charges, [`charges`] writes them out in
//! order of time. [`categorize`] says of each session what became of it, [`replay`] runs many rules over one copy,
//! [`fit`] says how well each reproduces a statement, [`whatif`] runs many zones in one pass, and [`save`] lets a meter stop
//! and go on in another process.

pub mod categorize;
pub mod charges;
pub mod check;
pub mod engine;
pub mod explain;
pub mod fit;
mod held;
pub mod idle;
pub mod keys;
pub mod plain;
pub mod rates;
pub mod replay;
pub mod save;
mod shards;
pub(crate) mod sort;
pub mod state;
pub mod whatif;

pub use charges::{Category, Charges, Trigger};
pub use check::{Fault, RowProblem};
pub use rates::Rates;

use charges::Settled;
use check::Gathered;
use held::Held;
use idle::Known;
use save::Sizes;
use shards::KeysOf;

use crate::error::{Error, Result};
use crate::time::day::Days;

/// How windows follow one another.
#[derive(Debug, Clone, Copy)]
pub enum Window<'a> {
    /// A window lasts this many microseconds from the charge that opened it.
    Rolling {
        /// The window's length.
        length: i64,
    },
    /// Windows are local days.
    Day {
        /// The local days of each zone that occurs.
        calendars: &'a [Days],
        /// Whose days count for a session.
        calendar_of: CalendarOf<'a>,
    },
}

/// Whose days count.
#[derive(Debug, Clone, Copy)]
pub enum CalendarOf<'a> {
    /// Those of calendar 0, for all.
    All,
    /// The license server's: for each server code its calendar.
    Server(&'a [Option<u32>]),
    /// The user's: for each user code its calendar.
    User(&'a [Option<u32>]),
}

/// What is charged and when.
#[derive(Debug, Clone, Copy)]
pub struct Rule<'a> {
    /// How windows follow one another.
    pub window: Window<'a>,
    /// Whether a window that ends while the product is in use is charged again.
    pub renew: bool,
    /// A session shorter than this many microseconds never opens or renews a window.
    pub min_duration: i64,
    /// Whether each server charges by itself.
    pub per_server: bool,
    /// For each product code whether the host pays and not the user; shorter or empty means no.
    pub by_host: &'a [bool],
    /// For each product code its family, [`crate::intern::NONE`] for none; shorter or empty means none.
    pub family: &'a [u32],
    /// How many families there are.
    pub families: u32,
    /// For each product code its number within its family, below 64; shorter or empty means 0.
    pub member: &'a [u8],
}

impl Rule<'_> {
    /// What a key pays for: the product, or its family.
    fn unit_of(&self, product: u32) -> u32 {
        match self.family.get(product as usize) {
            Some(&family) if family != crate::intern::NONE => family,
            _ => self.families + product,
        }
    }

    fn member_of(&self, product: u32) -> u8 {
        self.member.get(product as usize).copied().unwrap_or(0)
    }
}

/// A sessions table: columns of equal length. Names are codes, [`crate::intern::NONE`] for null.
#[derive(Debug, Clone, Copy)]
pub struct Sessions<'a> {
    /// Who uses.
    pub user: &'a [u32],
    /// The product line.
    pub product: &'a [u32],
    /// The license server, where the table has it.
    pub server: Option<&'a [u32]>,
    /// The user's machine, where the table has it.
    pub host: Option<&'a [u32]>,
    /// The launch.
    pub start: &'a [i64],
    /// The end of use, exclusive; [`OPEN`] while it is not known.
    pub end: &'a [i64],
    /// User codes are below this.
    pub users: usize,
    /// Product codes are below this.
    pub products: usize,
    /// Host codes are below this.
    pub hosts: usize,
}

/// The end of a session that is still open.
pub const OPEN: i64 = i64::MAX;
/// A start that is missing.
pub const NO_TIME: i64 = i64::MIN;

impl Sessions<'_> {
    /// How many rows there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.start.len()
    }

    /// Whether there is no row.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.start.is_empty()
    }

    #[inline]
    pub(crate) fn server_of(&self, row: usize) -> u32 {
        self.server.map_or(crate::intern::NONE, |servers| servers[row])
    }
}

/// Activity or idle time of sessions, for rules that let idle products wait.
#[derive(Debug, Clone, Copy)]
pub struct Idle<'a> {
    /// A product is in use until this many microseconds after its last activity.
    pub after: i64,
    /// What is known of it.
    pub known: &'a idle::Known,
}

/// The state of metering between batches.
#[derive(Debug)]
pub struct Meter {
    kind: Kind,
    keys: keys::Keys,
    /// How many rows were taken so far.
    rows: u64,
    /// How many places there were in the order of all.
    places: u64,
    held: Held,
    /// Some session came without an end.
    has_open: bool,
    /// How many names there were in the last batch.
    sizes: Sizes,
    /// The latest start so far: no later batch may reach back before it.
    watermark: i64,
    /// The latest instant so far.
    last: i64,
}

#[derive(Debug)]
enum Kind {
    /// One for each shard.
    Rolling(Vec<plain::Rolling>),
    /// One for each shard.
    Day(Vec<plain::Day>),
    /// One for each shard.
    RollingEngine(Vec<engine::Engine<{ engine::ROLLING }>>),
    /// One for each shard.
    DayEngine(Vec<engine::Engine<{ engine::DAYS }>>),
}

/// What a batch gives.
pub struct Pushed {
    /// Charges that nothing later can change.
    pub charges: Charges,
    /// Rows that cannot be charged, counted within the batch.
    pub problems: Vec<RowProblem>,
}

impl Meter {
    /// A meter at its beginning, on up to so many threads. Idle time and families need the slower engine, on one.
    #[must_use]
    pub fn new(rule: &Rule<'_>, with_idle: bool, threads: usize) -> Self {
        let shards = threads.clamp(1, 64);
        let needs_engine = with_idle || rule.families > 0;
        let kind = match rule.window {
            Window::Rolling { .. } if needs_engine => Kind::RollingEngine(shards_of(shards)),
            Window::Rolling { .. } => Kind::Rolling(shards_of(shards)),
            Window::Day { .. } if needs_engine => Kind::DayEngine(shards_of(shards)),
            Window::Day { .. } => Kind::Day(shards_of(shards)),
        };
        Self {
            kind,
            keys: keys::Keys::default(),
            rows: 0,
            places: 0,
            held: Held::default(),
            has_open: false,
            sizes: Sizes::default(),
            watermark: i64::MIN,
            last: i64::MIN,
        }
    }

    /// Takes the next sessions. `is_last` settles everything that is not open at once.
    ///
    /// # Errors
    /// [`Error::ReachesBack`] when a session starts before one of an earlier batch; [`Error::TooLarge`] for a batch or
    /// a result beyond what the columns can address or the memory can hold.
    pub fn push(
        &mut self,
        sessions: &Sessions<'_>,
        rule: &Rule<'_>,
        rates: &Rates,
        idle: Option<Idle<'_>>,
        is_last: bool,
    ) -> Result<Pushed> {
        if u32::try_from(sessions.len()).is_err() {
            return Err(Error::TooLarge {
                message: "more than 4,294,967,295 sessions in one batch: charge them in parts".to_owned(),
            });
        }
        let summary = check::summarize(sessions, rule);
        let (rows, problems) = check::rows_in_order(sessions, &summary, rule);
        let gathered = rows.as_deref().map(|rows| Gathered::new(sessions, rows)).transpose()?;
        let taken = gathered.as_ref().map_or(*sessions, |gathered| gathered.sessions(sessions));
        if let Some(&first) = taken.start.first().filter(|&&first| first < self.watermark) {
            let row = sessions.start.iter().position(|&start| start == first).unwrap_or(0);
            return Err(Error::ReachesBack { row: row as u64 });
        }
        self.watermark = self.watermark.max(taken.start.last().copied().unwrap_or(i64::MIN));
        self.last = self.last.max(summary.last);
        self.keys.make_room(sessions, rule);
        let Sessions { users, products, hosts, .. } = *sessions;
        self.sizes = Sizes { users, products, hosts, ..Sizes::default() };
        let numbers = rows.as_deref().map_or(Numbers::From(self.rows), |rows| Numbers::Rows(self.rows, rows));
        self.rows += sessions.len() as u64;
        self.has_open |= !is_last && sessions.end.contains(&OPEN);
        let charges = if self.has_open {
            self.settle_decided(&taken, numbers, rule, rates, idle)?
        } else {
            self.settle(&taken, numbers, rule, rates, idle, is_last)?
        };
        Ok(Pushed { charges, problems })
    }

    /// Settles all but the sessions that have to be held back.
    fn settle_decided(
        &mut self,
        sessions: &Sessions<'_>,
        numbers: Numbers<'_>,
        rule: &Rule<'_>,
        rates: &Rates,
        idle: Option<Idle<'_>>,
    ) -> Result<Charges> {
        let before = std::mem::take(&mut self.held);
        let (whole, numbers) = before.before(sessions, (0..sessions.len()).map(|place| numbers.of(place)), None)?;
        let whole = whole.sessions(sessions);
        let known = idle.map(|idle| idle.known.with(sessions.users, &before.reports, before.are_idle));
        let idle = idle.zip(known.as_ref()).map(|(idle, known)| Idle { known, ..idle });
        let places = Held::places(&whole, rule, &mut self.keys, self.watermark);
        self.held = Held::of(&whole, &places, |place| numbers[place], known.as_ref());
        let mut is_held = vec![false; whole.len()];
        for place in places {
            is_held[place] = true;
        }
        let decided: Vec<u32> = (0..whole.len() as u32).filter(|&place| !is_held[place as usize]).collect();
        let numbers: Vec<u64> = decided.iter().map(|&place| numbers[place as usize]).collect();
        let decided = Gathered::new(&whole, &decided)?;
        self.settle(&decided.sessions(&whole), Numbers::Listed(&numbers), rule, rates, idle, false)
    }

    /// Runs the kernel over sessions in order.
    fn settle(
        &mut self,
        sessions: &Sessions<'_>,
        numbers: Numbers<'_>,
        rule: &Rule<'_>,
        rates: &Rates,
        idle: Option<Idle<'_>>,
        is_last: bool,
    ) -> Result<Charges> {
        let limit = if is_last { i64::MAX } else { self.watermark };
        let context = Context { sessions, numbers, rule, rates, first_place: self.places, limit };
        let settled = self.run(&context, idle)?;
        self.places += sessions.len() as u64;
        charges::write(&context, settled)
    }

    fn run(&mut self, context: &Context<'_>, idle: Option<Idle<'_>>) -> Result<Settled> {
        let keys = KeysOf::new(context, &mut self.keys);
        let (size, seen, count) = (self.keys.size(context.rule), self.rows, context.sessions.len());
        match &mut self.kind {
            Kind::Rolling(shards) => shards::run(shards, count, |shard, state| {
                state.window_ends.make_room(size, seen);
                state.settle(context, &keys, shard)
            }),
            Kind::Day(shards) => shards::run(shards, count, |shard, state| {
                state.paid.make_room(size, seen);
                state.settle(context, &keys, shard)
            }),
            Kind::RollingEngine(shards) => shards::run(shards, count, |shard, state| {
                state.paid.make_room(size, seen);
                state.settle(context, &keys, idle, shard)
            }),
            Kind::DayEngine(shards) => shards::run(shards, count, |shard, state| {
                state.paid.make_room(size, seen);
                state.settle(context, &keys, idle, shard)
            }),
        }
    }

    /// Settles the rest. What is open is in use until `as_of`, by default the latest instant so far.
    ///
    /// # Errors
    /// [`Error::Invalid`] when `as_of` lies before a session's start; [`Error::TooLarge`] as in [`Meter::push`].
    pub fn finish(
        mut self,
        rule: &Rule<'_>,
        rates: &Rates,
        idle_after: Option<i64>,
        as_of: Option<i64>,
    ) -> Result<Charges> {
        self.check_as_of(as_of)?;
        let as_of = as_of.unwrap_or(self.last);
        match &mut self.kind {
            Kind::Rolling(shards) => shards.iter_mut().for_each(|shard| shard.open_until = Until(as_of)),
            Kind::Day(shards) => shards.iter_mut().for_each(|shard| shard.open_until = Until(as_of)),
            Kind::RollingEngine(shards) => shards.iter_mut().for_each(|shard| shard.open_until = Until(as_of)),
            Kind::DayEngine(shards) => shards.iter_mut().for_each(|shard| shard.open_until = Until(as_of)),
        }
        let held = std::mem::take(&mut self.held);
        let Sizes { users, products, hosts, .. } = self.sizes;
        let known = Known::default().with(users, &held.reports, held.are_idle);
        let (whole, numbers) = held.before(&NOTHING, std::iter::empty(), Some(as_of))?;
        let whole = Sessions { users, products, hosts, ..whole.sessions(&NOTHING) };
        let idle = idle_after.filter(|_| !held.reports.is_empty()).map(|after| Idle { after, known: &known });
        let numbers = Numbers::Listed(&numbers);
        let context = Context { sessions: &whole, numbers, rule, rates, first_place: self.places, limit: i64::MAX };
        let mut settled = self.run(&Context { limit: self.watermark, ..context }, idle)?;
        self.places += whole.len() as u64;
        let rest = match &mut self.kind {
            Kind::Rolling(shards) => joined(shards.iter_mut().map(|shard| shard.finish(&context)))?,
            Kind::Day(shards) => joined(shards.iter_mut().map(|shard| shard.finish(&context)))?,
            Kind::RollingEngine(shards) => joined(shards.iter_mut().map(|shard| shard.finish(&context)))?,
            Kind::DayEngine(shards) => joined(shards.iter_mut().map(|shard| shard.finish(&context)))?,
        };
        settled.carried.extend(rest.carried);
        settled.renewals.extend(rest.renewals);
        charges::write(&context, settled)
    }

    /// Refuses an `as_of` that lies before what was charged.
    ///
    /// # Errors
    /// [`Error::Invalid`].
    pub fn check_as_of(&self, as_of: Option<i64>) -> Result<()> {
        match as_of {
            Some(as_of) if as_of < self.watermark => Err(Error::Invalid {
                argument: "as_of",
                message: "as_of lies before the start of a session that was taken already".to_owned(),
            }),
            _ => Ok(()),
        }
    }

    /// How many sessions were taken so far.
    #[must_use]
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// The latest start so far, or `i64::MIN`. No charge that is still to come falls due before it.
    #[must_use]
    pub fn latest_start(&self) -> i64 {
        self.watermark
    }
}

fn shards_of<S: Default>(count: usize) -> Vec<S> {
    (0..count).map(|_| S::default()).collect()
}

fn joined(parts: impl Iterator<Item = Result<Settled>>) -> Result<Settled> {
    let mut all = Settled::default();
    for part in parts {
        let part = part?;
        all.carried.extend(part.carried);
        all.renewals.extend(part.renewals);
    }
    Ok(all)
}

/// A batch of no rows.
const NOTHING: Sessions<'static> = Sessions {
    user: &[],
    product: &[],
    server: Some(&[]),
    host: Some(&[]),
    start: &[],
    end: &[],
    users: 0,
    products: 0,
    hosts: 0,
};

/// Until when what is open is in use, as far as that is known.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Until(i64);

impl Default for Until {
    fn default() -> Self {
        Self(OPEN)
    }
}

/// What the kernels of one batch share.
#[derive(Clone, Copy)]
pub(crate) struct Context<'a> {
    /// The sessions to charge, in order of their start.
    pub sessions: &'a Sessions<'a>,
    /// Their numbers among all rows.
    pub numbers: Numbers<'a>,
    pub rule: &'a Rule<'a>,
    pub rates: &'a Rates,
    /// The place of the first one in the order of all.
    pub first_place: u64,
    /// What falls due before this instant cannot be changed by what comes later.
    pub limit: i64,
}

impl Context<'_> {
    /// The number among all rows of the session at a place in the order.
    #[inline]
    fn session_at(&self, place: u32) -> u64 {
        self.numbers.of(place as usize)
    }
}

/// The numbers of sessions among all rows.
#[derive(Clone, Copy)]
pub(crate) enum Numbers<'a> {
    /// One after another.
    From(u64),
    /// Those of rows of a batch that begins with this number.
    Rows(u64, &'a [u32]),
    /// As they are.
    Listed(&'a [u64]),
}

impl Numbers<'_> {
    #[inline]
    fn of(self, place: usize) -> u64 {
        match self {
            Self::From(first) => first + place as u64,
            Self::Rows(first, rows) => first + u64::from(rows[place]),
            Self::Listed(numbers) => numbers[place],
        }
    }
}

/// The charges of a whole table of sessions, and the rows that could not be charged.
///
/// Sessions still open are in use until `as_of`, or until the last instant in the table where that is `None`.
///
/// # Errors
/// [`Error::TooLarge`] as in [`Meter::push`].
pub fn charge(
    sessions: Sessions<'_>,
    rule: &Rule<'_>,
    rates: &Rates,
    idle: Option<Idle<'_>>,
    as_of: Option<i64>,
    threads: usize,
) -> Result<Pushed> {
    let closed = check::closed(&sessions, as_of);
    let sessions = Sessions { end: closed.as_deref().unwrap_or(sessions.end), ..sessions };
    Meter::new(rule, idle.is_some(), threads).push(&sessions, rule, rates, idle, true)
}
