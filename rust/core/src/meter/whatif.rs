//! What the same sessions would cost if all days were those of one zone, for many zones in one pass, by site.
//!
//! Under a plain day rule whose days are one zone's, all that a key has to remember is the last instant at which it was
//! in use, and that is the same instant for every zone: a session pays for the dates that it is the first to touch, and
//! what lies up to that instant is touched. So one number for each key serves all zones. The midnights of a zone with
//! a fixed offset of whole hours come at one hour of a clock of 24, and what a session pays is an arc of that clock:
//! the hours between the last use and this one. Arcs are summed as differences, at the same cost for one zone as for
//! all. Zones whose clock changes are looked up in their tables of days. Families, and zones with a date that comes
//! twice, go the long way: one `charge` for each zone.

use std::thread;

use super::check::{self, Gathered};
use super::keys::Keys;
use super::rates::{NO_RATE, Rates};
use super::replay::Total;
use super::shards::{KeysOf, Own, Shard};
use super::state::States;
use super::{CalendarOf, Context, Numbers, RowProblem, Rule, Sessions, Window, charge};
use crate::error::Result;
use crate::time::day::Days;
use crate::time::zone::Zone;
use crate::time::{DAY, HOUR, MAX_TIME, MIN_TIME};

/// Below this many rows a second thread costs more than it gains.
const THREADS_FROM: usize = 200_000;

/// Hours on the clock of midnights.
const HOURS: usize = 24;

/// The state of a key is the last instant in use and this; zero is a key that has none, two days before all data.
const USED_ZERO: i64 = 2 * DAY + 1;

/// The site of each row.
#[derive(Debug, Clone, Copy)]
pub struct Sites<'a> {
    /// A code for each row, below `count`.
    pub codes: &'a [u32],
    /// How many sites there are.
    pub count: usize,
}

/// What sites would pay.
#[derive(Debug, Default)]
pub struct BySite {
    /// For each zone the totals of all sites, one zone after the other.
    pub totals: Vec<Total>,
    /// How many sessions of each site could be charged.
    pub sessions: Vec<u64>,
    /// Rows that cannot be charged.
    pub problems: Vec<RowProblem>,
    /// For each product code whether some charge of it has no rate.
    pub without_rate: Vec<bool>,
}

/// What each site would pay if all days were those of one zone, for each of the zones.
///
/// # Errors
/// As [`charge`].
pub fn by_zone(
    sessions: Sessions<'_>,
    rule: &Rule<'_>,
    rates: &Rates,
    sites: Sites<'_>,
    (zones, day_start): (&[Zone], i64),
    as_of: Option<i64>,
    threads: usize,
) -> Result<BySite> {
    let closed = check::closed(&sessions, as_of);
    let sessions = Sessions { end: closed.as_deref().unwrap_or(sessions.end), ..sessions };
    let days_of = |zone: &Zone| vec![Days::beginning_at(zone, day_start, MIN_TIME, MAX_TIME)];
    let ways: Vec<Way> = zones
        .iter()
        .map(|zone| match whole_hours(zone) {
            _ if rule.families > 0 => Way::Long,
            Some(hours) => Way::Clock(hours),
            None => days_of(zone).pop().filter(Days::is_monotone).map_or(Way::Long, Way::Days),
        })
        .collect();
    let mut found = one_pass(&sessions, rule, rates, sites, (&ways, day_start), threads)?;
    for (place, _) in ways.iter().enumerate().filter(|(_, way)| matches!(way, Way::Long)) {
        let calendars = days_of(&zones[place]);
        let window = Window::Day { calendars: &calendars, calendar_of: CalendarOf::All };
        let one = as_it_is(sessions, &Rule { window, ..*rule }, rates, sites, None, threads)?;
        found.totals[place * sites.count..][..sites.count].copy_from_slice(&one.totals);
        found.without_rate.iter_mut().zip(one.without_rate).for_each(|(all, one)| *all |= one);
    }
    Ok(found)
}

/// What each site pays under a rule as it is.
///
/// # Errors
/// As [`charge`].
pub fn as_it_is(
    sessions: Sessions<'_>,
    rule: &Rule<'_>,
    rates: &Rates,
    sites: Sites<'_>,
    as_of: Option<i64>,
    threads: usize,
) -> Result<BySite> {
    let pushed = charge(sessions, rule, rates, None, as_of, threads)?;
    let mut found = BySite::new(sites.count, 1, sessions.products);
    let charges = &pushed.charges;
    for ((&session, &tokens), &product) in charges.session.iter().zip(&*charges.tokens).zip(&*charges.product) {
        add(&mut found.totals[sites.codes[session as usize] as usize], 1, tokens);
        found.without_rate[product as usize] |= tokens == NO_RATE;
    }
    found.count_sessions(sites, pushed.problems);
    Ok(found)
}

impl BySite {
    fn new(sites: usize, zones: usize, products: usize) -> Self {
        Self {
            totals: vec![Total::default(); sites * zones],
            sessions: vec![0; sites],
            problems: Vec::new(),
            without_rate: vec![false; products],
        }
    }

    fn count_sessions(&mut self, sites: Sites<'_>, problems: Vec<RowProblem>) {
        for &site in sites.codes {
            self.sessions[site as usize] += 1;
        }
        for problem in &problems {
            self.sessions[sites.codes[problem.row as usize] as usize] -= 1;
        }
        self.problems = problems;
    }

    fn add_all(&mut self, other: &Self) {
        for (all, one) in self.totals.iter_mut().zip(&other.totals) {
            all.charges += one.charges;
            all.tokens += one.tokens;
            all.without_rate += one.without_rate;
        }
        self.without_rate.iter_mut().zip(&other.without_rate).for_each(|(all, one)| *all |= one);
    }
}

fn add(total: &mut Total, charges: u64, tokens: i128) {
    total.charges += charges;
    if tokens == NO_RATE {
        total.without_rate += charges;
    } else {
        total.tokens += tokens * i128::from(charges);
    }
}

/// How a zone's midnights are found.
#[derive(Debug)]
enum Way {
    /// They come at one hour of the clock; so many hours east.
    Clock(i64),
    /// In a table.
    Days(Days),
    /// Not in the one pass.
    Long,
}

/// The offset of a zone that always has the same one, in whole hours.
fn whole_hours(zone: &Zone) -> Option<i64> {
    let offset = zone.offset_at(MIN_TIME);
    (zone.transitions().is_empty() && offset % HOUR == 0).then_some(offset / HOUR)
}

fn one_pass(
    sessions: &Sessions<'_>,
    rule: &Rule<'_>,
    rates: &Rates,
    sites: Sites<'_>,
    (ways, day_start): (&[Way], i64),
    threads: usize,
) -> Result<BySite> {
    let mut found = BySite::new(sites.count, ways.len(), sessions.products);
    // The zones are all known: no row lacks a calendar.
    let anywhere = Window::Day { calendars: &[], calendar_of: CalendarOf::All };
    let rule = &Rule { window: anywhere, ..*rule };
    let summary = check::summarize(sessions, rule);
    let (rows, problems) = check::rows_in_order(sessions, &summary, rule);
    found.count_sessions(sites, problems);
    if ways.iter().all(|way| matches!(way, Way::Long)) {
        return Ok(found);
    }
    let gathered = rows.as_deref().map(|rows| Gathered::new(sessions, rows)).transpose()?;
    let taken = gathered.as_ref().map_or(*sessions, |gathered| gathered.sessions(sessions));
    let codes: Option<Vec<u32>> = rows.map(|rows| rows.iter().map(|&row| sites.codes[row as usize]).collect());
    let sites = Sites { codes: codes.as_deref().unwrap_or(sites.codes), ..sites };
    let mut keys = Keys::default();
    keys.make_room(&taken, rule);
    let numbers = Numbers::From(0);
    let context = Context { sessions: &taken, numbers, rule, rates, first_place: 0, limit: i64::MAX };
    let keys_of = KeysOf::new(&context, &mut keys);
    let pass = Pass { context: &context, keys: &keys_of, size: keys.size(rule), sites, ways, day_start };
    let of = if taken.len() < THREADS_FROM { 1 } else { threads.clamp(1, 64) };
    let pass = &pass;
    let parts: Vec<BySite> = thread::scope(|scope| {
        let running: Vec<_> = (1..of).map(|number| scope.spawn(move || pass.run(Shard { number, of }))).collect();
        let first = pass.run(Shard { number: 0, of });
        let others =
            running.into_iter().map(|each| each.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
        std::iter::once(first).chain(others).collect()
    });
    for part in &parts {
        found.add_all(part);
    }
    Ok(found)
}

/// What the shards of one pass share.
struct Pass<'a> {
    context: &'a Context<'a>,
    keys: &'a KeysOf<'a>,
    size: (usize, usize),
    sites: Sites<'a>,
    ways: &'a [Way],
    day_start: i64,
}

impl Pass<'_> {
    fn run(&self, shard: Shard) -> BySite {
        let Context { sessions, rule, rates, .. } = *self.context;
        let count = self.sites.count;
        let mut found = BySite::new(count, self.ways.len(), sessions.products);
        let mut clocks = vec![Clock::default(); count];
        let has_clock = self.ways.iter().any(|way| matches!(way, Way::Clock(_)));
        let tables: Vec<(usize, &Days)> = self.ways.iter().enumerate().filter_map(Way::table).collect();
        let mut used = States::<i64>::default();
        used.make_room(self.size, sessions.len() as u64);
        for place in Own::new(sessions.len(), self.keys, shard) {
            let at = place as usize;
            let (start, end) = (sessions.start[at], sessions.end[at]);
            if end - start < rule.min_duration {
                continue;
            }
            let state = used.of(self.keys.of(at));
            let before = *state - USED_ZERO;
            // A session ends before its end; one of no length is in use at its start.
            let last = if rule.renew { start.max(end - 1) } else { start };
            if last <= before {
                continue;
            }
            *state = last + USED_ZERO;
            let (product, site) = (sessions.product[at], self.sites.codes[at] as usize);
            let mut bill = Bill { rates, product, misses: false };
            let stretch = Stretch { before, start, last };
            if has_clock {
                clocks[site].add(stretch, self.day_start, &mut bill);
            }
            for &(zone, days) in &tables {
                stretch.touch(days, |at| add(&mut found.totals[zone * count + site], 1, bill.at(at)));
            }
            found.without_rate[product as usize] |= bill.misses;
        }
        for (site, clock) in clocks.iter().enumerate() {
            let hours = clock.hours();
            for (zone, way) in self.ways.iter().enumerate() {
                if let Way::Clock(east) = *way {
                    found.totals[zone * count + site] = hours[(-east).rem_euclid(HOURS as i64) as usize];
                }
            }
        }
        found
    }
}

impl Way {
    fn table((zone, way): (usize, &Self)) -> Option<(usize, &Days)> {
        if let Self::Days(days) = way { Some((zone, days)) } else { None }
    }
}

/// The rates of a product; notes whether one is missing.
struct Bill<'a> {
    rates: &'a Rates,
    product: u32,
    misses: bool,
}

impl Bill<'_> {
    fn at(&mut self, instant: i64) -> i128 {
        let tokens = self.rates.at(self.product, instant);
        self.misses |= tokens == NO_RATE;
        tokens
    }
}

/// A session as its key meets it: the last instant in use before, the launch, and the last instant in use.
#[derive(Debug, Clone, Copy)]
struct Stretch {
    before: i64,
    start: i64,
    last: i64,
}

impl Stretch {
    /// The instants at which it is the first to touch a date.
    fn touch(self, days: &Days, mut charge: impl FnMut(i64)) {
        let mut stretch = days.stretch_at(self.before);
        if self.start > self.before {
            let launched = days.stretch_at(self.start);
            if launched > stretch {
                charge(self.start);
            }
            stretch = launched;
        }
        while days.end(stretch) <= self.last {
            charge(days.end(stretch));
            stretch += 1;
        }
    }
}

/// The charges of one site by the hour of the clock at which a zone has its midnight.
#[derive(Debug, Clone, Default)]
struct Clock {
    /// Charges at every hour.
    all: Total,
    /// Where arcs begin, and where they end.
    begun: [Total; HOURS],
    ended: [Total; HOURS],
}

impl Clock {
    fn add(&mut self, stretch: Stretch, day_start: i64, bill: &mut Bill<'_>) {
        let Stretch { before, start, last } = stretch;
        let hour = |at: i64| (at - day_start).div_euclid(HOUR);
        let mut from = hour(before);
        if start > before {
            // A launch is charged once, wherever a midnight has passed since the last use.
            let launched = hour(start);
            if launched > from {
                self.arc(from, launched.min(from + HOURS as i64), bill.at(start));
            }
            from = launched;
        }
        let to = hour(last);
        while from < to {
            let first = (from + 1) * HOUR + day_start;
            let same = hour(bill.rates.holds_until(bill.product, first).saturating_sub(1)).min(to);
            // A rate may end within the hour: the midnight itself has the rate all the same.
            let upto = same.max(from + 1);
            self.arc(from, upto, bill.at(first));
            from = upto;
        }
    }

    /// A charge at each of the hours after `from` up to `to`.
    fn arc(&mut self, from: i64, to: i64, tokens: i128) {
        let (rounds, rest) = ((to - from) / HOURS as i64, (to - from) % HOURS as i64);
        if rounds > 0 {
            add(&mut self.all, rounds as u64, tokens);
        }
        if rest == 0 {
            return;
        }
        let first = (from + 1).rem_euclid(HOURS as i64);
        let end = first + rest;
        add(&mut self.begun[first as usize], 1, tokens);
        if end > HOURS as i64 {
            // Over the end of the clock: from its beginning again.
            add(&mut self.begun[0], 1, tokens);
        }
        if end != HOURS as i64 {
            add(&mut self.ended[(end % HOURS as i64) as usize], 1, tokens);
        }
    }

    /// The totals of each hour.
    fn hours(&self) -> [Total; HOURS] {
        let mut running = self.all;
        let mut hours = [Total::default(); HOURS];
        for (hour, total) in hours.iter_mut().enumerate() {
            running.charges = running.charges + self.begun[hour].charges - self.ended[hour].charges;
            running.tokens = running.tokens + self.begun[hour].tokens - self.ended[hour].tokens;
            running.without_rate = running.without_rate + self.begun[hour].without_rate - self.ended[hour].without_rate;
            *total = running;
        }
        hours
    }
}
