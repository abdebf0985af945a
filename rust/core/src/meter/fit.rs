//! How well the charges of a rule fit what a statement of the vendor says.
//!
//! A statement says tokens of *units*: a session, a user's product on a date, or a product on a date. A run of a rule
//! gives the same units, and the two are compared unit by unit. At first everything that is stated counts as missing;
//! then each unit that the rule charges is looked up. So the work grows with the charges and not with the statement.

use hashbrown::HashMap;

use super::rates::{NO_RATE, Rates};
use super::replay::{ByKey, Charge};
use super::{Rule, Sessions, charge};
use crate::column::Column;
use crate::error::Result;

/// A session of which the statement can say nothing: it is left out.
pub const NOT_COMPARED: i128 = i128::MIN;

/// What is stated.
#[derive(Debug)]
pub struct Statement {
    level: Level,
    /// How many units have tokens.
    units: u64,
    /// The sum of their tokens' amounts in 1/10,000.
    amount: i128,
}

#[derive(Debug)]
enum Level {
    /// For each session its tokens, or [`NOT_COMPARED`].
    Sessions(BySession),
    /// For each user's product its dates.
    UserDays(Dated),
    /// For each product its dates.
    Days(Dated),
}

/// Stated tokens by session. A run goes through a copy of the sessions from its first place to its last, so what is stated
/// lies in that order, too: looked up by row, it came from all over the memory, and that was half of the time.
#[derive(Debug)]
struct BySession {
    /// In order of the rows.
    rows: Vec<i128>,
    /// In order of the copies' places.
    contract: Vec<i128>,
    per_server: Vec<i128>,
}

impl BySession {
    fn in_order_of(&self, copy: &ByKey) -> &[i128] {
        if copy.is_per_server() { &self.per_server } else { &self.contract }
    }
}

/// Stated tokens by date; only dates in these bounds are compared.
#[derive(Debug)]
struct Dated {
    first: i32,
    last: i32,
    /// User (0 where it does not count) and product, with the part of `dates` that is theirs.
    groups: HashMap<(u32, u32), (usize, usize)>,
    /// Date and tokens, for each group in order of the date.
    dates: Vec<(i32, i128)>,
}

impl Dated {
    /// The unit of a date: counted from the first; none outside of the bounds.
    fn unit_of(&self, date: i32) -> Option<u32> {
        (self.first..=self.last).contains(&date).then(|| (date - self.first) as u32)
    }

    fn of(&self, group: (u32, u32)) -> &[(i32, i128)] {
        self.groups.get(&group).map_or(&[], |&(from, to)| &self.dates[from..to])
    }
}

/// A unit of a statement by date.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct DatedUnit {
    /// The user's code; `None` for a user that the sessions do not have.
    pub user: Option<u32>,
    /// The product's code; `None` for a product that the sessions do not have.
    pub product: Option<u32>,
    /// Days since 1970-01-01.
    pub date: i32,
    /// In 1/10,000.
    pub tokens: i128,
}

impl Statement {
    /// What is stated of each session, and how many more sessions it knows, with their tokens.
    #[must_use]
    pub fn of_sessions(stated: Vec<i128>, others: (u64, i128), copies: Copies<'_>) -> Self {
        let given = || stated.iter().filter(|&&tokens| tokens != NOT_COMPARED && tokens != 0);
        let units = given().count() as u64 + others.0;
        let amount = given().map(|tokens| tokens.abs()).sum::<i128>() + others.1;
        let laid = |copy: &ByKey| copy.rows().iter().map(|&row| stated[row as usize]).collect();
        let (contract, per_server) = (laid(copies.contract), copies.per_server.map_or_else(Vec::new, laid));
        Self { level: Level::Sessions(BySession { rows: stated, contract, per_server }), units, amount }
    }

    /// What is stated of users' products, or of products, on the dates from `first` to `last`. Each unit comes once.
    #[must_use]
    pub fn of_dates(mut stated: Vec<DatedUnit>, (first, last): (i32, i32), by_user: bool) -> Self {
        stated.retain(|unit| unit.tokens != 0 && (first..=last).contains(&unit.date));
        let (units, amount) = (stated.len() as u64, stated.iter().map(|unit| unit.tokens.abs()).sum());
        stated.sort_unstable();
        let mut dated = Dated { first, last, groups: HashMap::new(), dates: Vec::new() };
        for unit in stated {
            let (Some(user), Some(product)) = (if by_user { unit.user } else { Some(0) }, unit.product) else {
                continue;
            };
            let place = dated.dates.len();
            dated.groups.entry((user, product)).or_insert((place, place)).1 = place + 1;
            dated.dates.push((unit.date, unit.tokens));
        }
        Self { level: if by_user { Level::UserDays(dated) } else { Level::Days(dated) }, units, amount }
    }
}

/// How well a rule fits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fit {
    /// Units with the same tokens.
    pub matched: u64,
    /// Units with tokens in the statement only.
    pub missing: u64,
    /// Units with tokens by the rule only.
    pub extra: u64,
    /// Units with different tokens.
    pub differing: u64,
    /// The sum of all differences' amounts in 1/10,000.
    pub error: i128,
    /// The tokens of all units by the rule in 1/10,000.
    pub tokens: i128,
    /// The same for two rules exactly when they charge the same in every unit, as far as 128 bits can tell.
    pub print: (u64, u64),
}

impl Fit {
    fn new(statement: &Statement) -> Self {
        let (missing, error) = (statement.units, statement.amount);
        Self { matched: 0, missing, extra: 0, differing: 0, error, tokens: 0, print: (0, 0) }
    }

    fn note(&mut self, unit: (u64, u64), tokens: i128, stated: i128) {
        if tokens == 0 || stated == NOT_COMPARED {
            return;
        }
        if stated == 0 {
            self.extra += 1;
        } else {
            self.missing -= 1;
            self.error -= stated.abs();
            *(if tokens == stated { &mut self.matched } else { &mut self.differing }) += 1;
        }
        self.error += (tokens - stated).abs();
        self.tokens += tokens;
        let first = mixed(mixed(mixed(unit.0) ^ unit.1) ^ tokens as u64);
        let second = mixed(first ^ (tokens >> 64) as u64 ^ 0xD6E8_FEB8_6659_FD93);
        self.print = (self.print.0.wrapping_add(first), self.print.1.wrapping_add(second));
    }
}

/// The finalizer of `SplitMix64`: every bit of the outcome hangs on every bit that goes in.
fn mixed(bits: u64) -> u64 {
    let bits = bits.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let bits = (bits ^ (bits >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let bits = (bits ^ (bits >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    bits ^ (bits >> 31)
}

/// The copies of the sessions that plain rules run over.
#[derive(Debug, Clone, Copy)]
pub struct Copies<'a> {
    /// For windows that hold on all servers.
    pub contract: &'a ByKey,
    /// For servers that charge each by itself, where a rule needs it.
    pub per_server: Option<&'a ByKey>,
}

/// Runs a rule and compares it with a statement.
///
/// # Errors
/// As [`charge`]; [`crate::Error::TooLarge`] where there is no memory for all dates of all products.
pub fn fit(
    statement: &Statement,
    copies: Copies<'_>,
    sessions: &Sessions<'_>,
    rule: &Rule<'_>,
    rates: &Rates,
) -> Result<Fit> {
    let copy = [Some(copies.contract), copies.per_server].into_iter().flatten().find(|copy| copy.can_run(rule));
    match (copy, &statement.level) {
        (None, _) => fit_any(statement, sessions, rule, rates),
        (Some(copy), Level::Days(dated)) => fit_days(statement, dated, copy, sessions, rule, rates),
        (Some(copy), Level::Sessions(stated)) => Ok(fit_sessions(statement, stated, copy, rule, rates)),
        (Some(copy), Level::UserDays(dated)) => Ok(fit_user_days(statement, dated, copy, rule, rates)),
    }
}

/// A plain rule by session. The charges of a session can have those of others between them, all of one key.
fn fit_sessions(statement: &Statement, stated: &BySession, copy: &ByKey, rule: &Rule<'_>, rates: &Rates) -> Fit {
    let mut fit = Fit::new(statement);
    let (stated, rows) = (stated.in_order_of(copy), copy.rows());
    let note = |place: u32, tokens, fit: &mut Fit| {
        fit.note((u64::from(rows[place as usize]), 0), tokens, stated[place as usize]);
    };
    each_sum(copy, rule, rates, |charge| Some(charge.place), |_, place, tokens| note(place, tokens, &mut fit));
    fit
}

/// A plain rule by user, product and date.
fn fit_user_days(statement: &Statement, dated: &Dated, copy: &ByKey, rule: &Rule<'_>, rates: &Rates) -> Fit {
    let mut fit = Fit::new(statement);
    let unit = |charge: Charge| dated.unit_of(charge.date);
    each_sum(copy, rule, rates, unit, |group, unit, tokens| note_date(dated, group, unit, tokens, &mut fit));
    fit
}

/// The tokens of each unit of each user's product. `unit` gives none for a charge that is not compared.
fn each_sum(
    copy: &ByKey,
    rule: &Rule<'_>,
    rates: &Rates,
    unit: impl Fn(Charge) -> Option<u32>,
    mut note: impl FnMut((u32, u32), u32, i128),
) {
    let mut group = (0, 0);
    let mut charges: Vec<(u32, i128)> = Vec::new();
    copy.each(rule, |payer, charge| {
        if group != (payer.user, payer.product) {
            settle(group, &mut charges, &mut note);
            group = (payer.user, payer.product);
        }
        let tokens = rates.at(payer.product, charge.at);
        if let Some(unit) = unit(charge).filter(|_| tokens != NO_RATE) {
            match charges.last_mut() {
                Some((last, sum)) if *last == unit => *sum += tokens,
                _ => charges.push((unit, tokens)),
            }
        }
    });
    settle(group, &mut charges, &mut note);
}

/// Gives the sums of a group's charges and clears them.
fn settle(group: (u32, u32), charges: &mut Vec<(u32, i128)>, note: &mut impl FnMut((u32, u32), u32, i128)) {
    if !charges.is_sorted_by_key(|&(unit, _)| unit) {
        charges.sort_unstable_by_key(|&(unit, _)| unit);
    }
    for same in charges.chunk_by(|(unit, _), (next, _)| unit == next) {
        note(group, same[0].0, same.iter().map(|&(_, tokens)| tokens).sum());
    }
    charges.clear();
}

fn note_date(dated: &Dated, group: (u32, u32), unit: u32, tokens: i128, fit: &mut Fit) {
    let stated = dated.of(group);
    let date = dated.first + unit as i32;
    let place = stated.binary_search_by_key(&date, |&(date, _)| date);
    let stated = place.map_or(0, |place| stated[place].1);
    fit.note((u64::from(group.0) << 32 | u64::from(group.1), u64::from(unit)), tokens, stated);
}

/// A plain rule by product and date: a sum for each date of each product.
fn fit_days(
    statement: &Statement,
    dated: &Dated,
    copy: &ByKey,
    sessions: &Sessions<'_>,
    rule: &Rule<'_>,
    rates: &Rates,
) -> Result<Fit> {
    let mut fit = Fit::new(statement);
    let wide = (i64::from(dated.last) - i64::from(dated.first) + 1).max(0) as usize;
    let mut sums = Column::<i128>::zeros(sessions.products.saturating_mul(wide))?;
    copy.each(rule, |payer, charge| {
        let tokens = rates.at(payer.product, charge.at);
        if let Some(unit) = dated.unit_of(charge.date).filter(|_| tokens != NO_RATE) {
            sums[payer.product as usize * wide + unit as usize] += tokens;
        }
    });
    for (product, dates) in sums.chunks_exact(wide.max(1)).enumerate() {
        for (unit, &tokens) in dates.iter().enumerate().filter(|&(_, &tokens)| tokens != 0) {
            note_date(dated, (0, product as u32), unit as u32, tokens, &mut fit);
        }
    }
    Ok(fit)
}

/// Any rule, by its charges.
fn fit_any(statement: &Statement, sessions: &Sessions<'_>, rule: &Rule<'_>, rates: &Rates) -> Result<Fit> {
    let charges = charge(*sessions, rule, rates, None, None, 1)?.charges;
    let mut units: Vec<((u32, u32), u32, i128)> = Vec::new();
    for at in 0..charges.len() {
        let tokens = charges.tokens[at];
        let (user, product, date) = (charges.user[at], charges.product[at], charges.usage_date[at]);
        let (group, unit) = match &statement.level {
            Level::Sessions(_) => ((0, 0), Some(charges.session[at] as u32)),
            Level::UserDays(dated) => ((user, product), dated.unit_of(date)),
            Level::Days(dated) => ((0, product), dated.unit_of(date)),
        };
        if let Some(unit) = unit.filter(|_| tokens != NO_RATE) {
            units.push((group, unit, tokens));
        }
    }
    units.sort_unstable_by_key(|&(group, unit, _)| (group, unit));
    let mut fit = Fit::new(statement);
    for same in units.chunk_by(|one, next| (one.0, one.1) == (next.0, next.1)) {
        let (group, unit, tokens) = (same[0].0, same[0].1, same.iter().map(|&(.., tokens)| tokens).sum());
        match &statement.level {
            Level::Sessions(stated) => fit.note((u64::from(unit), 0), tokens, stated.rows[unit as usize]),
            Level::UserDays(dated) | Level::Days(dated) => note_date(dated, group, unit, tokens, &mut fit),
        }
    }
    Ok(fit)
}
