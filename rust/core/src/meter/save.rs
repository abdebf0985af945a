//! The state of a meter as rows of numbers, so that it can be kept and taken up again by another process.

use super::charges::{Category, Due, Trigger};
use super::engine::{Engine, Occasion, Spans, Use};
use super::keys::{Key, Keys};
use super::plain::{Day, Midnight, Open, PaidDates, Rolling};
use super::shards::Shard;
use super::{Kind, Meter, OPEN, Rule, Window, held};
use crate::error::{Error, Result};
use crate::intern::NONE;
use crate::time::{DAY, MAX_TIME, MIN_TIME};
use std::cmp::Reverse;

/// How many numbers a row has.
pub const WIDTH: usize = 19;

/// One row: what it is, and its numbers. What a row does not need is 0.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// What the row tells.
    pub kind: String,
    /// Its numbers.
    pub numbers: [i64; WIDTH],
}

fn row(kind: &str, values: &[i64]) -> Row {
    let mut numbers = [0; WIDTH];
    numbers[..values.len()].copy_from_slice(values);
    Row { kind: kind.to_owned(), numbers }
}

fn due_numbers(due: &Due) -> [i64; 11] {
    [
        due.at,
        due.session as i64,
        due.place as i64,
        i64::from(due.user),
        i64::from(due.product),
        i64::from(due.server),
        i64::from(due.calendar),
        due.trigger as i64,
        due.category as i64,
        due.paid,
        due.window_end,
    ]
}

/// How many names and calendars there are: codes of a state that was tampered with must not reach beyond them.
#[derive(Debug, Clone, Copy, Default)]
pub struct Sizes {
    /// How many users.
    pub users: usize,
    /// How many products.
    pub products: usize,
    /// How many servers.
    pub servers: usize,
    /// How many hosts.
    pub hosts: usize,
    /// How many calendars.
    pub calendars: usize,
}

/// A code below a limit.
fn code(number: i64, limit: usize) -> Option<u32> {
    u32::try_from(number).ok().filter(|&code| (code as usize) < limit)
}

/// An instant that data may have, or one that a window may end at.
fn instant(number: i64) -> Option<i64> {
    (MIN_TIME..MAX_TIME + 2 * 366 * DAY).contains(&number).then_some(number)
}

/// The end of a use: an instant, or none yet where that can be. An end beyond all time would never be reached.
fn end(number: i64, may_be_open: bool) -> Option<i64> {
    if number == OPEN && may_be_open { Some(OPEN) } else { instant(number) }
}

/// An instant of data, or the least number for none so far.
fn instant_or_none(number: i64) -> Option<i64> {
    if number == i64::MIN { Some(number) } else { within_days(number) }
}

/// An instant of the tables of days.
fn within_days(number: i64) -> Option<i64> {
    (MIN_TIME..MAX_TIME).contains(&number).then_some(number)
}

/// The same, or none.
fn code_or_none(number: i64, limit: usize) -> Option<u32> {
    if number == i64::from(NONE) { Some(NONE) } else { code(number, limit) }
}

fn due_of(numbers: &[i64], sizes: Sizes) -> Option<Due> {
    Some(Due {
        at: instant(numbers[0])?,
        session: numbers[1] as u64,
        place: numbers[2] as u64,
        user: code(numbers[3], sizes.users)?,
        product: code(numbers[4], sizes.products)?,
        server: code_or_none(numbers[5], sizes.servers)?,
        calendar: code(numbers[6], sizes.calendars.max(1))?,
        trigger: trigger_of(numbers[7])?,
        category: match numbers[8] {
            0 => Category::Charged,
            1 => Category::Incremental,
            _ => return None,
        },
        paid: numbers[9],
        window_end: numbers[10],
    })
}

fn trigger_of(number: i64) -> Option<Trigger> {
    Some(match number {
        0 => Trigger::Launch,
        1 => Trigger::Renewal,
        2 => Trigger::Resume,
        _ => return None,
    })
}

fn key_of(numbers: &[i64]) -> Option<Key> {
    Some(Key { payer: u32::try_from(numbers[0]).ok()?, unit: u32::try_from(numbers[1]).ok()? })
}

impl Meter {
    /// The state. Together with the names behind the codes, the rule and the rates it is all that a meter is.
    #[must_use]
    pub fn save(&self) -> Vec<Row> {
        let mut rows = vec![row(
            "meter",
            &[
                self.rows as i64,
                self.watermark,
                self.last,
                self.keys.payers as i64,
                self.keys.units as i64,
                self.places as i64,
                self.has_open.into(),
                self.held.are_idle.into(),
            ],
        )];
        let mut per_server: Vec<_> = self.keys.per_server.iter().collect();
        per_server.sort_unstable_by_key(|&(_, &code)| code);
        rows.extend(
            per_server.into_iter().map(|(&(payer, server), _)| row("payer", &[i64::from(payer), i64::from(server)])),
        );
        rows.extend(self.held.rows.iter().map(|held| {
            let names = [held.user, held.product, held.server, held.host].map(i64::from);
            row("held", &[names[0], names[1], names[2], names[3], held.start, held.end, held.session as i64])
        }));
        rows.extend(self.held.reports.iter().map(|&((user, host, product), from, to)| {
            row("report", &[user.into(), host.into(), product.into(), from, to])
        }));
        match &self.kind {
            Kind::Rolling(shards) => shards.iter().for_each(|shard| shard.save(&mut rows)),
            Kind::Day(shards) => shards.iter().for_each(|shard| shard.save(&mut rows)),
            Kind::RollingEngine(shards) => shards.iter().for_each(|shard| shard.save(&mut rows)),
            Kind::DayEngine(shards) => shards.iter().for_each(|shard| shard.save(&mut rows)),
        }
        rows
    }

    /// A meter from its saved state, for the same rule.
    ///
    /// # Errors
    /// [`Error::Invalid`] when the rows are no state of a meter of this rule.
    pub fn restore(rule: &Rule<'_>, with_idle: bool, threads: usize, sizes: Sizes, rows: &[Row]) -> Result<Self> {
        let mut meter = Self::new(rule, with_idle, threads);
        meter.sizes = sizes;
        meter.take_up(rule, sizes, rows).ok_or_else(|| Error::Invalid {
            argument: "state",
            message: "the state is none that Meter.state() gave for this rule, or it is incomplete".to_owned(),
        })?;
        Ok(meter)
    }

    fn take_up(&mut self, rule: &Rule<'_>, sizes: Sizes, rows: &[Row]) -> Option<()> {
        let (first, rest) = rows.split_first()?;
        if first.kind != "meter" {
            return None;
        }
        self.rows = first.numbers[0] as u64;
        self.watermark = instant_or_none(first.numbers[1])?;
        self.last = instant_or_none(first.numbers[2])?;
        let names = 2 * (sizes.users + sizes.hosts);
        self.keys.payers = usize::try_from(first.numbers[3]).ok().filter(|&payers| payers <= names)?;
        let units = sizes.products + rule.families as usize;
        self.keys.units = usize::try_from(first.numbers[4]).ok().filter(|&known| known <= units)?;
        let are_counts = [first.numbers[0], first.numbers[5]].iter().all(|count| (0..i64::MAX / 2).contains(count));
        are_counts.then_some(())?;
        let payers = rest.iter().take_while(|row| row.kind == "payer").count();
        let (payers, rest) = rest.split_at(payers);
        for (code, payer) in payers.iter().enumerate() {
            let key = (u32::try_from(payer.numbers[0]).ok()?, u32::try_from(payer.numbers[1]).ok()?);
            self.keys.per_server.insert(key, code as u32);
        }
        self.places = first.numbers[5] as u64;
        self.has_open = first.numbers[6] != 0;
        self.held.are_idle = first.numbers[7] != 0;
        let held = rest.iter().take_while(|row| row.kind == "held").count();
        let (held, rest) = rest.split_at(held);
        let reports = rest.iter().take_while(|row| row.kind == "report").count();
        let (reports, rest) = rest.split_at(reports);
        for Row { numbers, .. } in held {
            self.held.rows.push(held::Row {
                user: code(numbers[0], sizes.users)?,
                product: code(numbers[1], sizes.products)?,
                server: code_or_none(numbers[2], sizes.servers)?,
                host: code_or_none(numbers[3], sizes.hosts)?,
                start: within_days(numbers[4])?,
                end: end(numbers[5], true)?,
                session: numbers[6] as u64,
            });
        }
        for Row { numbers, .. } in reports {
            let user = code(numbers[0], sizes.users)?;
            let host = code_or_none(numbers[1], sizes.hosts)?;
            let whose = (user, host, code_or_none(numbers[2], sizes.products)?);
            self.held.reports.push((whose, numbers[3], numbers[4]));
        }
        let (keys, seen) = (&self.keys, self.rows);
        match &mut self.kind {
            Kind::Rolling(shards) => each(shards, |plain, shard| plain.take_up((rule, keys, sizes), seen, rest, shard)),
            Kind::Day(shards) => each(shards, |plain, shard| plain.take_up((rule, keys, sizes), seen, rest, shard)),
            Kind::RollingEngine(shards) => {
                each(shards, |engine, shard| engine.take_up((rule, keys, sizes), seen, rest, shard))
            }
            Kind::DayEngine(shards) => {
                each(shards, |engine, shard| engine.take_up((rule, keys, sizes), seen, rest, shard))
            }
        }
    }
}

/// What a state is checked against.
type Terms<'a> = (&'a Rule<'a>, &'a Keys, Sizes);

fn each<S>(shards: &mut [S], take_up: impl Fn(&mut S, Shard) -> Option<()>) -> Option<()> {
    let of = shards.len();
    shards.iter_mut().enumerate().try_for_each(|(number, state)| take_up(state, Shard { number, of }))
}

impl Rolling {
    fn save(&self, rows: &mut Vec<Row>) {
        let ends = self.window_ends.iter().filter(|&(_, end)| end != 0);
        rows.extend(ends.map(|(key, end)| row("window", &[i64::from(key.payer), i64::from(key.unit), end])));
        let mut open: Vec<_> = self.open.iter().collect();
        open.sort_unstable_by_key(|(_, open)| open.due.place);
        for (key, open) in open {
            let key = [i64::from(key.payer), i64::from(key.unit)];
            rows.push(with_due("open", &key, &open.due));
            rows.extend(open.closed.iter().map(|(end, due)| with_due("closed", &[key[0], key[1], *end], due)));
        }
    }

    fn take_up(&mut self, (rule, keys, sizes): Terms<'_>, seen: u64, rows: &[Row], shard: Shard) -> Option<()> {
        self.window_ends.make_room(keys.size(rule), seen);
        for row in rows {
            let key = key_within(keys, rule, &row.numbers)?;
            match row.kind.as_str() {
                "window" | "open" | "closed" if !shard.has(key.payer) => {}
                "window" => *self.window_ends.of(key) = instant(row.numbers[2])?,
                "open" => {
                    let due = due_of(&row.numbers[2..], sizes)?;
                    self.open.insert(key, Open { due, closed: Vec::new() });
                }
                "closed" => {
                    let waiting = (end(row.numbers[2], false)?, due_of(&row.numbers[3..], sizes)?);
                    self.open.get_mut(&key)?.closed.push(waiting);
                }
                _ => return None,
            }
        }
        Some(())
    }
}

impl Day {
    fn save(&self, rows: &mut Vec<Row>) {
        let paid = self.paid.iter().filter(|&(_, paid)| paid != PaidDates::default());
        rows.extend(paid.map(|(key, [latest, before])| {
            row("dates", &[key.payer.into(), key.unit.into(), latest.into(), before.into()])
        }));
        for Reverse(next) in &self.waiting {
            let numbers = [next.at, next.place as i64, next.key.payer.into(), next.key.unit.into(), next.end];
            rows.push(with_due("midnight", &numbers, &next.due));
        }
    }

    fn take_up(&mut self, (rule, keys, sizes): Terms<'_>, seen: u64, rows: &[Row], shard: Shard) -> Option<()> {
        let Window::Day { calendars, .. } = rule.window else { return None };
        self.paid.make_room(keys.size(rule), seen);
        for row in rows {
            let numbers = &row.numbers;
            match row.kind.as_str() {
                "dates" => {
                    let dates = [u32::try_from(numbers[2]).ok()?, u32::try_from(numbers[3]).ok()?];
                    let key = key_within(keys, rule, numbers)?;
                    if shard.has(key.payer) {
                        *self.paid.of(key) = dates;
                    }
                }
                "midnight" => {
                    let due = due_of(&numbers[5..], sizes)?;
                    let stretch = calendars.get(due.calendar as usize)?.stretch_at(within_days(numbers[0])?);
                    let key = key_within(keys, rule, &numbers[2..])?;
                    let (at, place, end) = (within_days(numbers[0])?, numbers[1] as u64, end(numbers[4], true)?);
                    if shard.has(key.payer) {
                        self.waiting.push(Reverse(Midnight { at, place, key, stretch, end, due }));
                    }
                }
                _ => return None,
            }
        }
        Some(())
    }
}

impl<const N: usize> Engine<N> {
    fn save(&self, rows: &mut Vec<Row>) {
        for (key, paid) in self.paid.iter() {
            for [until, paid, used] in paid.into_iter().filter(|&[until, ..]| until != 0) {
                rows.push(row("paid", &[key.payer.into(), key.unit.into(), until, paid, used]));
            }
        }
        for Reverse(next) in &self.occasions {
            let kept = &self.uses[next.index as usize];
            let numbers = [
                next.at,
                next.rate,
                next.place as i64,
                next.trigger as i64,
                kept.key.payer.into(),
                kept.key.unit.into(),
                kept.member as i64,
                kept.is_open.into(),
            ];
            rows.push(with_due("use", &numbers, &kept.due));
            rows.extend(kept.spans.iter().map(|(start, end)| row("span", &[start, end])));
        }
    }

    fn take_up(&mut self, (rule, keys, sizes): Terms<'_>, seen: u64, rows: &[Row], shard: Shard) -> Option<()> {
        self.paid.make_room(keys.size(rule), seen);
        let mut is_own = false;
        for row in rows {
            let numbers = &row.numbers;
            match row.kind.as_str() {
                "paid" => {
                    let key = key_within(keys, rule, numbers)?;
                    let window = [instant(numbers[2])?, numbers[3], numbers[4]];
                    if shard.has(key.payer) {
                        *self.paid.of(key).iter_mut().find(|[until, ..]| *until == 0)? = window;
                    }
                }
                "use" => {
                    let key = key_within(keys, rule, &numbers[4..])?;
                    let due = due_of(&numbers[8..], sizes)?;
                    let (at, rate, place) = (instant(numbers[0])?, numbers[1], numbers[2] as u64);
                    let (trigger, index) = (trigger_of(numbers[3])?, self.uses.len() as u32);
                    is_own = shard.has(key.payer);
                    if is_own {
                        self.uses.push(Use {
                            key,
                            member: numbers[6] as u64,
                            spans: Spans::Several(Vec::new()),
                            is_open: numbers[7] != 0,
                            due,
                        });
                        self.occasions.push(Reverse(Occasion { at, rate, place, trigger, index }));
                    }
                }
                "span" if is_own => {
                    let kept = self.uses.last_mut()?;
                    let (start, until) = (instant(numbers[0])?, end(numbers[1], kept.is_open)?);
                    let is_behind = kept.spans.iter().last().is_none_or(|(_, before)| start >= before);
                    (is_behind && start <= until).then(|| kept.spans.push(start, until))?;
                }
                "span" => {}
                _ => return None,
            }
        }
        Some(())
    }
}

fn with_due(kind: &str, numbers: &[i64], due: &Due) -> Row {
    let mut values = numbers.to_vec();
    values.extend(due_numbers(due));
    row(kind, &values)
}

/// A key whose codes can be ones of these names: a state that was tampered with must not reach beyond a table.
fn key_within(keys: &Keys, rule: &Rule<'_>, numbers: &[i64]) -> Option<Key> {
    let (payers, units) = keys.size(rule);
    key_of(numbers).filter(|key| (key.payer as usize) < payers && (key.unit as usize) < units)
}
