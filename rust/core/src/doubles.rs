//! Double charges: every second charge to one person for one product within one working day of that person.
//!
//! Charges are met in order of time. The state of a key, a person and a product or its family, is its last charge; the
//! charges of one key are chained backwards, so only the few that fall on a working day that has a charge already look
//! at more than one number. What is found is a pair: the charge, and the earlier one that it repeats.

use crate::column::Column;
use crate::error::{Error, Result};
use crate::intern::NONE;
use crate::meter::NO_TIME;
use crate::meter::keys::Key;
use crate::meter::state::States;
use crate::time::day::Days;
use crate::time::{DAY, HOUR, MAX_TIME, MIN_TIME};

/// A manual entry: it has a date and no time.
pub const MANUAL: u32 = 1;
/// User and machine stood in each other's column.
pub const SWAPPED: u32 = 2;
/// Of a session below the minimum duration.
pub const BELOW_MINIMUM: u32 = 4;

/// The rule's consequence or a mistake: why a charge is the second one. Bits, the most telling cause lowest, in the order
/// of `tables.DOUBLE_CHARGE_CAUSES`.
pub mod cause {
    /// A manual entry repeats network usage.
    pub const MANUAL_DUPLICATE: u32 = 1;
    /// User and machine stood in each other's column.
    pub const SWAPPED_MACHINE: u32 = 1 << 1;
    /// Two spellings of one person.
    pub const IDENTITY: u32 = 1 << 2;
    /// Two codes of one product.
    pub const VARIANT: u32 = 1 << 3;
    /// A product of the same family in full where the difference was due.
    pub const MISSING_INCREMENT: u32 = 1 << 4;
    /// A session shorter than the minimum.
    pub const BELOW_MINIMUM: u32 = 1 << 5;
    /// The license was given out anew. Not seen here: it takes sessions.
    pub const RECONNECT: u32 = 1 << 6;
    /// Two servers, or the dates of two servers.
    pub const TWO_SERVERS: u32 = 1 << 7;
    /// A midnight that divides the rule's days lies within the working day.
    pub const SERVER_MIDNIGHT: u32 = 1 << 8;
    /// The same, and it is midnight where the person lives, too. Not seen here: it takes the clock on the wall.
    pub const OWN_MIDNIGHT: u32 = 1 << 9;
    /// A rolling window ended within the working day.
    pub const WINDOW_DRIFT: u32 = 1 << 10;
}

/// Charges, column by column. Names are codes, [`NONE`] for null; times [`NO_TIME`].
#[derive(Debug, Clone, Copy)]
pub struct Charges<'a> {
    /// As spelled.
    pub user: &'a [u32],
    /// As spelled.
    pub product: &'a [u32],
    /// The person of each row, where that is not decided by the spelling alone.
    pub person: Option<&'a [u32]>,
    /// The license server.
    pub server: Option<&'a [u32]>,
    /// The instant of the charge.
    pub charged_at: &'a [i64],
    /// The end of the window that it pays, exclusive.
    pub window_end: &'a [i64],
    /// The date that it is booked on, in days since 1970-01-01; that of a manual entry decides its working day.
    pub usage_date: &'a [u32],
    /// Category codes and tokens in 1/10,000; needed only where products have families. `i64::MIN` for no tokens.
    pub paid: Option<(&'a [u32], &'a [i64])>,
    /// [`MANUAL`], [`SWAPPED`], [`BELOW_MINIMUM`].
    pub flags: Option<&'a [u32]>,
}

/// Who is who and what is what.
#[derive(Debug, Clone, Copy)]
pub struct Names<'a> {
    /// For each user code the person's.
    pub person_of: &'a [u32],
    /// How many persons there are.
    pub persons: usize,
    /// For each product code that of its product line.
    pub line_of: &'a [u32],
    /// How many product lines there are.
    pub lines: usize,
    /// For each product line its family, [`NONE`] for none.
    pub family_of: &'a [u32],
    /// How many families there are.
    pub families: usize,
}

/// The zones that a person lives in, each from an instant to another, with its calendar; in order of time.
pub type Stays = Vec<(i64, i64, u32)>;

/// What decides whether a charge was paid already.
#[derive(Debug, Clone, Copy)]
pub struct Terms<'a> {
    /// Windows are days: a charge of the same date is the same window. Otherwise the window's end decides.
    pub by_days: bool,
    /// Each server charges by itself.
    pub per_server: bool,
    /// Working days of each zone that occurs.
    pub calendars: &'a [Days],
    /// For each person.
    pub stays: &'a [Stays],
}

/// Why a charge cannot be judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// No user.
    MissingUser,
    /// No product.
    MissingProduct,
    /// No instant, or for a manual entry no date.
    MissingTime,
    /// A time outside of 1970 to 2199.
    TimeOutOfRange,
    /// The person has no zone at that time.
    NoZone,
}

impl Fault {
    /// The code of the problem.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::MissingUser => "missing_user",
            Self::MissingProduct => "missing_product",
            Self::MissingTime => "missing_time",
            Self::TimeOutOfRange => "time_out_of_range",
            Self::NoZone => "user_without_zone",
        }
    }
}

/// The pairs, in order of time of the second charge, manual entries last.
#[derive(Debug, Default)]
pub struct Doubles {
    /// Row of the earlier charge.
    pub first: Vec<u64>,
    /// Row of the charge that repeats it.
    pub second: Vec<u64>,
    /// The person's code.
    pub person: Vec<u32>,
    /// The product line's code.
    pub line: Vec<u32>,
    /// Bits of [`cause`].
    pub causes: Vec<u32>,
    /// Whether the rule itself says that nothing was due.
    pub is_claimable: Vec<u8>,
    /// What was due all the same, in 1/10,000 token.
    pub due: Vec<i64>,
    /// The working day, in days since 1970-01-01.
    pub working_date: Vec<i32>,
    /// The calendar that it is a day of.
    pub calendar: Vec<u32>,
}

/// The double charges, and the rows that cannot be judged.
///
/// # Errors
/// [`Error::TooLarge`] beyond 2^32 - 2 rows or where memory ends.
pub fn find(charges: &Charges<'_>, names: &Names<'_>, terms: &Terms<'_>) -> Result<(Doubles, Vec<(u64, Fault)>)> {
    let mut finder = Finder::new(*charges, *names, *terms)?;
    match finder.order() {
        None => (0..charges.user.len() as u32).for_each(|row| finder.meet(row)),
        Some(rows) => rows.iter().for_each(|&row| finder.meet(row)),
    }
    finder.faults.sort_unstable_by_key(|&(row, _)| row);
    Ok((finder.found, finder.faults))
}

struct Finder<'a> {
    charges: Charges<'a>,
    names: Names<'a>,
    terms: Terms<'a>,
    /// For each key the working date of its last charge and that charge's row plus one.
    last: States<[u32; 2]>,
    /// For each row the one before of its key, plus one.
    before: Column<u32>,
    /// For each row its working date.
    date: Column<i32>,
    /// Persons whose dates can come back: they move, or their clock is set back over the start of the day.
    goes_back: Vec<bool>,
    found: Doubles,
    faults: Vec<(u64, Fault)>,
}

/// No two charges of one working day are further apart, in whichever zones.
const LONGEST_DAY: i64 = 3 * DAY;

impl<'a> Finder<'a> {
    fn new(charges: Charges<'a>, names: Names<'a>, terms: Terms<'a>) -> Result<Self> {
        let rows = charges.user.len();
        if rows >= NONE as usize {
            return Err(Error::TooLarge { message: "more than 4 billion charges: do it in parts".to_owned() });
        }
        let mut last = States::default();
        last.make_room((names.persons, names.lines + names.families), rows as u64);
        let comes_back = |&(_, _, place): &(i64, i64, u32)| !terms.calendars[place as usize].is_monotone();
        let goes_back = terms.stays.iter().map(|stays| stays.len() > 1 || stays.iter().any(comes_back)).collect();
        Ok(Self {
            charges,
            names,
            terms,
            last,
            before: Column::zeros(rows)?,
            date: Column::zeros(rows)?,
            goes_back,
            found: Doubles::default(),
            faults: Vec::new(),
        })
    }

    fn is_manual(&self, row: usize) -> bool {
        self.charges.flags.is_some_and(|flags| flags[row] & MANUAL != 0)
    }

    /// The rows in order of time, manual entries after all others; `None` where they are in order as they are.
    fn order(&self) -> Option<Vec<u32>> {
        let has_manual = self.charges.flags.is_some_and(|flags| flags.iter().any(|&flag| flag & MANUAL != 0));
        if !has_manual && self.charges.charged_at.is_sorted() {
            return None;
        }
        let mut rows: Vec<u32> = (0..self.charges.user.len() as u32).collect();
        let time = |row: usize| {
            let is_manual = self.is_manual(row);
            (is_manual, if is_manual { i64::from(self.charges.usage_date[row]) } else { self.charges.charged_at[row] })
        };
        rows.sort_by_key(|&row| time(row as usize));
        Some(rows)
    }

    fn person(&self, row: usize) -> u32 {
        let user = self.charges.user[row];
        match self.charges.person {
            Some(persons) => persons[row],
            None => self.names.person_of.get(user as usize).copied().unwrap_or(NONE),
        }
    }

    fn line(&self, row: usize) -> u32 {
        self.names.line_of.get(self.charges.product[row] as usize).copied().unwrap_or(NONE)
    }

    fn family(&self, line: u32) -> u32 {
        self.names.family_of.get(line as usize).copied().unwrap_or(NONE)
    }

    /// The working date of a row and its calendar.
    #[inline]
    fn working_date(&self, row: usize, person: u32) -> std::result::Result<(i32, u32), Fault> {
        let is_manual = self.is_manual(row);
        let date = self.charges.usage_date[row];
        let at = self.charges.charged_at[row];
        let at = match (is_manual, at) {
            (true, _) if date == NONE => return Err(Fault::MissingTime),
            (true, _) => i64::from(date) * DAY + 12 * HOUR,
            (false, NO_TIME) => return Err(Fault::MissingTime),
            (false, at) => at,
        };
        if !(MIN_TIME..MAX_TIME).contains(&at) {
            return Err(Fault::TimeOutOfRange);
        }
        let stays = self.terms.stays.get(person as usize).map_or(&[][..], Vec::as_slice);
        let stay = stays.iter().find(|&&(from, to, _)| from <= at && at < to);
        let &(_, _, calendar) = stay.ok_or(Fault::NoZone)?;
        if is_manual {
            return Ok((date as i32, calendar));
        }
        let days = &self.terms.calendars[calendar as usize];
        Ok((days.date(days.stretch_at(at)), calendar))
    }

    #[inline]
    fn meet(&mut self, row: u32) {
        let at = row as usize;
        let (person, line) = (self.person(at), self.line(at));
        let fault = match (person, line) {
            (NONE, _) => Some(Fault::MissingUser),
            (_, NONE) => Some(Fault::MissingProduct),
            _ => None,
        };
        let working = fault.map_or_else(|| self.working_date(at, person), Err);
        let (date, calendar) = match working {
            Ok(working) => working,
            Err(fault) => {
                self.faults.push((u64::from(row), fault));
                return;
            }
        };
        let family = self.family(line);
        let unit = if family == NONE { self.names.families as u32 + line } else { family };
        let state = self.last.of(Key { payer: person, unit });
        let [last_date, last] = *state;
        *state = [date as u32, row + 1];
        self.before[at] = last;
        self.date[at] = date;
        if last != 0 && (last_date == date as u32 || self.goes_back[person as usize] || self.is_manual(at)) {
            self.pair(at, last, (date, calendar), (person, line));
        }
    }

    /// Whether the window that one charge pays holds at the other one.
    fn is_paid(&self, first: usize, second: usize) -> bool {
        let charges = &self.charges;
        if self.terms.per_server && !self.is_same_server(first, second) {
            return false;
        }
        let dates = (charges.usage_date[first], charges.usage_date[second]);
        if self.terms.by_days && dates.0 != NONE && dates.1 != NONE {
            return dates.0 == dates.1;
        }
        charges.window_end[first] > charges.charged_at[second]
    }

    fn is_same_server(&self, first: usize, second: usize) -> bool {
        self.charges.server.is_none_or(|server| server[first] == server[second])
    }

    /// Finds the charge of this working day that a charge repeats: one whose window holds, else one of the same server,
    /// the latest first.
    fn pair(&mut self, second: usize, last: u32, (date, calendar): (i32, u32), (person, line): (u32, u32)) {
        let mut best: Option<(u8, usize)> = None;
        let mut relatives: Vec<usize> = Vec::new();
        let oldest = self.charges.charged_at[second].saturating_sub(LONGEST_DAY);
        let is_manual = self.is_manual(second);
        let mut next = last;
        while let Some(first) = next.checked_sub(1).map(|row| row as usize) {
            next = self.before[first];
            let is_network = !self.is_manual(first);
            let is_older = self.date[first] < date - 3 || (!is_manual && self.charges.charged_at[first] < oldest);
            if is_network && is_older {
                break;
            }
            if self.date[first] != date {
                continue;
            }
            if self.line(first) != line {
                relatives.push(first);
                continue;
            }
            let (is_paid, is_same_server) = (self.is_paid(first, second), self.is_same_server(first, second));
            let rank = 4 * u8::from(is_network) + 2 * u8::from(is_paid) + u8::from(is_same_server);
            if best.is_none_or(|(known, _)| known < rank) {
                best = Some((rank, first));
            }
        }
        let (first, causes, is_claimable, due) = match best {
            Some((_, first)) => {
                let (causes, is_claimable) = self.causes(first, second);
                (first, causes, is_claimable, 0)
            }
            None => match self.increment(&relatives, second) {
                Some((first, due)) => (first, cause::MISSING_INCREMENT, true, due),
                None => return,
            },
        };
        self.found.first.push(first as u64);
        self.found.second.push(second as u64);
        self.found.person.push(person);
        self.found.line.push(line);
        self.found.causes.push(causes);
        self.found.is_claimable.push(u8::from(is_claimable));
        self.found.due.push(due);
        self.found.working_date.push(date);
        self.found.calendar.push(calendar);
    }

    /// Which causes the two charges show, and whether nothing was due. A cause counts only where the charge would not
    /// have been made without it: two spellings explain nothing where the window had ended anyway.
    fn causes(&self, first: usize, second: usize) -> (u32, bool) {
        let charges = &self.charges;
        let flags = |row: usize| charges.flags.map_or(0, |flags| flags[row]);
        if flags(second) & MANUAL != 0 {
            // Two manual entries of one day repeat each other at most by mistake, and nothing tells.
            let repeats_network = flags(first) & MANUAL == 0;
            return (if repeats_network { cause::MANUAL_DUPLICATE } else { 0 }, repeats_network);
        }
        let is_short = flags(second) & BELOW_MINIMUM != 0;
        let mut causes = if is_short { cause::BELOW_MINIMUM } else { 0 };
        let is_same_server = self.is_same_server(first, second);
        let is_paid = self.is_paid(first, second);
        if is_paid {
            let mut note = |applies: bool, bit: u32| causes |= if applies { bit } else { 0 };
            note((flags(first) | flags(second)) & SWAPPED != 0, cause::SWAPPED_MACHINE);
            note(charges.user[first] != charges.user[second], cause::IDENTITY);
            note(charges.product[first] != charges.product[second], cause::VARIANT);
            note(!is_same_server, cause::TWO_SERVERS);
        } else if !is_same_server && (self.terms.by_days || self.terms.per_server) {
            causes |= cause::TWO_SERVERS;
        } else {
            causes |= if self.terms.by_days { cause::SERVER_MIDNIGHT } else { cause::WINDOW_DRIFT };
        }
        (causes, is_paid || is_short)
    }

    /// The last of the family's charges whose window holds, and what was due beyond what they paid; `None` where all of
    /// it was.
    fn increment(&self, relatives: &[usize], second: usize) -> Option<(usize, i64)> {
        let (category, tokens) = self.charges.paid?;
        let price = tokens[second];
        if category[second] != u32::from(crate::meter::Category::Charged as u8) || price == i64::MIN {
            return None;
        }
        let holding = || relatives.iter().copied().filter(|&first| self.is_paid(first, second));
        let mut paid = 0;
        for first in holding().collect::<Vec<_>>().into_iter().rev().filter(|&first| tokens[first] != i64::MIN) {
            let is_difference = category[first] == u32::from(crate::meter::Category::Incremental as u8);
            paid = if is_difference { paid + tokens[first] } else { paid.max(tokens[first]) };
        }
        let due = (price - paid).max(0);
        (due < price).then(|| holding().next().map(|first| (first, due))).flatten()
    }
}
