//! The metering of rules that need to know what is in use: families and idle time.
//!
//! Everything that can cause a charge is an *occasion*: a use is considered at an instant. A launch is one; after each,
//! the use's next occasion is the first instant at which it is in use in another window: where its window ends, where a
//! new date begins, or where activity resumes after that. Occasions are taken in order of time, at one instant the
//! dearest first, then in order of the sessions. Only uses that outlive their window have to be kept.

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;

use super::charges::{Category, Due, Settled, Trigger, carry, renew};
use super::keys::{Key, calendar_of, host_of};
use super::plain::DATE_ZERO;
use super::rates::NO_RATE;
use super::shards::{KeysOf, Launches, Own, Part, Shard};
use super::state::States;
use super::{Context, Idle, OPEN, Until, Window};
use crate::error::Result;
use crate::intern::NONE;

/// The state of a rule with families or idle time. One of each for each shard.
#[derive(Debug)]
pub struct Engine<const N: usize> {
    pub(super) paid: States<Paid<N>>,
    /// The uses that outlive their window.
    pub(super) uses: Vec<Use>,
    unused: Vec<u32>,
    pub(super) occasions: BinaryHeap<Reverse<Occasion>>,
    pub(super) open_until: Until,
}

impl<const N: usize> Default for Engine<N> {
    fn default() -> Self {
        Self {
            paid: States::default(),
            uses: Vec::new(),
            unused: Vec::new(),
            occasions: BinaryHeap::new(),
            open_until: Until::default(),
        }
    }
}

/// How many windows of a key a rolling rule remembers: the last.
pub(super) const ROLLING: usize = 1;
/// How many a day rule remembers: the latest dates, since those of two zones at one instant are at most two apart.
pub(super) const DAYS: usize = 3;

/// What a key has paid in its last windows.
pub(super) type Paid<const N: usize> = [PaidWindow; N];

/// What was paid for one window: its end, or its date counted from [`DATE_ZERO`], 0 for none yet; the dearest rate so
/// far, in 1/10,000 token; and a bit for each member of the family that was used in it. Plain words, as they lie in the
/// table of all keys.
pub(super) type PaidWindow = [i64; 3];

/// A session, or what is left of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Use {
    pub key: Key,
    /// The bit of its product within the family.
    pub member: u64,
    /// When it is in use, in order; the end of the last is [`OPEN`] for an open session without idle time.
    pub spans: Spans,
    /// The session has no end yet.
    pub is_open: bool,
    pub due: Due,
}

impl Use {
    /// The same with nothing of when it is in use, to stand in its place.
    fn clone_without_spans(&self) -> Self {
        Self { key: self.key, member: self.member, spans: Spans::One(0, 0), is_open: false, due: self.due }
    }
}

/// Half-open intervals in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Spans {
    One(i64, i64),
    Several(Vec<(i64, i64)>),
}

impl Spans {
    fn as_slice(&self) -> &[(i64, i64)] {
        match self {
            Self::One(..) => &[],
            Self::Several(spans) => spans,
        }
    }

    /// All of them.
    pub(super) fn iter(&self) -> impl Iterator<Item = (i64, i64)> + '_ {
        let one = if let Self::One(start, end) = *self { Some((start, end)) } else { None };
        one.into_iter().chain(self.as_slice().iter().copied())
    }

    pub(super) fn push(&mut self, start: i64, end: i64) {
        if let Self::Several(spans) = self {
            spans.push((start, end));
        }
    }

    fn end(&self) -> i64 {
        match self {
            Self::One(_, end) => *end,
            Self::Several(spans) => spans.last().map_or(i64::MIN, |&(_, end)| end),
        }
    }

    /// The first instant in use from `from` on, and whether activity resumes right there.
    fn first_from(&self, from: i64) -> Option<(i64, bool)> {
        match self {
            Self::One(start, end) => (*end > from).then(|| (from.max(*start), false)),
            Self::Several(spans) => {
                let place = spans.partition_point(|&(_, end)| end <= from);
                spans.get(place).map(|&(start, _)| (from.max(start), start >= from && place > 0))
            }
        }
    }
}

/// A use to be considered at an instant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Occasion {
    pub at: i64,
    /// The product's rate there, or -1.
    pub rate: i64,
    /// The session's place in the order of all.
    pub place: u64,
    pub trigger: Trigger,
    /// The place in `uses`.
    pub index: u32,
}

impl Ord for Occasion {
    fn cmp(&self, other: &Self) -> Ordering {
        let key = |occasion: &Self| (occasion.at, Reverse(occasion.rate), occasion.place);
        key(self).cmp(&key(other))
    }
}

impl PartialOrd for Occasion {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// A session at its launch, before anything is kept of it.
struct Launched {
    place: u32,
    key: Key,
    start: i64,
    end: i64,
    member: u64,
}

/// What one shard writes to.
type Out<'a> = (&'a mut Launches, &'a mut Settled);

impl<const N: usize> Engine<N> {
    pub(super) fn settle(
        &mut self,
        context: &Context<'_>,
        keys: &KeysOf<'_>,
        idle: Option<Idle<'_>>,
        shard: Shard,
    ) -> Result<Part> {
        let Context { sessions, rule, .. } = *context;
        let mut part = Part { launches: Launches::new(sessions.len()), settled: Settled::default() };
        let Part { launches, settled } = &mut part;
        for place in Own::new(sessions.len(), keys, shard) {
            let at = place as usize;
            let (start, end) = (sessions.start[at], sessions.end[at]);
            if end - start < rule.min_duration {
                continue;
            }
            let member = 1_u64 << rule.member_of(sessions.product[at]);
            let launched = Launched { place, key: keys.of(at), start, end, member };
            self.settle_before(context, start, settled)?;
            // What starts at one instant is taken dearest first, and what later batches bring may start there too.
            let waits = start >= context.limit
                || (rule.families > 0 && (is_shared(context, place, start) || self.is_met(start)));
            if waits {
                let whole = use_of(context, &launched, idle);
                self.keep(context, whole, start, Trigger::Launch);
            } else {
                // A use at an instant comes before one that starts there.
                self.settle_before(context, start + 1, settled)?;
                self.launch(context, &launched, idle, (&mut *launches, &mut *settled))?;
            }
        }
        self.settle_before(context, context.limit, settled)?;
        Ok(part)
    }

    /// Whether some use is to be considered at this instant.
    fn is_met(&self, at: i64) -> bool {
        self.occasions.peek().is_some_and(|Reverse(next)| next.at <= at)
    }

    /// The first occasion of a session, and its next one.
    fn launch(
        &mut self,
        context: &Context<'_>,
        launched: &Launched,
        idle: Option<Idle<'_>>,
        (launches, settled): Out<'_>,
    ) -> Result<()> {
        let Launched { place, key, start, end, member } = *launched;
        let product = context.sessions.product[place as usize];
        let calendar = calendar_of(context.sessions, context.rule, place as usize);
        let rate = rate_of(context, product, start);
        let (window, is_new) = window_at(self.paid.of(key), context, calendar, start);
        let (category, before) = take(window, is_new, member, rate);
        let until = window[0];
        match category {
            Some(Category::Charged) => launches.note(place, true),
            Some(category) => {
                let due = Due::at(context, place);
                let window_end = window_end_of(context, until);
                carry(&mut settled.carried, Due { category, paid: before, window_end, ..due })?;
            }
            None => {}
        }
        let next = next_window(context, calendar, until, start);
        if context.rule.renew && next.is_some_and(|next| end > next) {
            let whole = use_of(context, launched, idle);
            self.keep_if_it_goes_on(context, whole, next);
        }
        Ok(())
    }

    /// Takes all occasions before an instant.
    fn settle_before(&mut self, context: &Context<'_>, until: i64, settled: &mut Settled) -> Result<()> {
        while let Some(&Reverse(next)) = self.occasions.peek().filter(|Reverse(next)| next.at < until) {
            self.occasions.pop();
            // What is open ends there; a launch counts all the same.
            let is_open = self.uses[next.index as usize].is_open;
            if !is_open || next.at < self.open_until.0 || next.trigger == Trigger::Launch {
                self.settle_one(context, next, settled)?;
            }
        }
        Ok(())
    }

    fn settle_one(&mut self, context: &Context<'_>, next: Occasion, settled: &mut Settled) -> Result<()> {
        let place = next.index as usize;
        let emptied = self.uses[place].clone_without_spans();
        let taken = std::mem::replace(&mut self.uses[place], emptied);
        self.unused.push(next.index);
        let calendar = taken.due.calendar as usize;
        let (window, is_new) = window_at(self.paid.of(taken.key), context, calendar, next.at);
        let (category, paid) = take(window, is_new, taken.member, next.rate);
        let until = window[0];
        // The batch's own can be told by their place, as most are.
        let own = taken.due.place.checked_sub(context.first_place);
        let own = own.filter(|&place| place < context.sessions.len() as u64);
        if let (Some(Category::Charged), Trigger::Renewal, Some(place)) = (category, next.trigger, own) {
            renew(&mut settled.renewals, next.at, place as u32)?;
        } else if let Some(category) = category {
            let window_end = if is_new { 0 } else { window_end_of(context, until) };
            let due = Due { at: next.at, trigger: next.trigger, category, paid, window_end, ..taken.due };
            carry(&mut settled.carried, due)?;
        }
        if context.rule.renew {
            let next = next_window(context, calendar, until, next.at);
            self.keep_if_it_goes_on(context, taken, next);
        }
        Ok(())
    }

    /// Keeps a use for its next occasion in or after the next window, if there is one.
    fn keep_if_it_goes_on(&mut self, context: &Context<'_>, taken: Use, next: Option<i64>) {
        let Some(from) = next.filter(|&from| taken.spans.end() > from) else { return };
        if let Some((at, resumes)) = taken.spans.first_from(from) {
            self.keep(context, taken, at, if resumes { Trigger::Resume } else { Trigger::Renewal });
        }
    }

    fn keep(&mut self, context: &Context<'_>, kept: Use, at: i64, trigger: Trigger) {
        let rate = rate_of(context, kept.due.product, at);
        let place = kept.due.place;
        let index = if let Some(index) = self.unused.pop() {
            self.uses[index as usize] = kept;
            index
        } else {
            self.uses.push(kept);
            self.uses.len() as u32 - 1
        };
        self.occasions.push(Reverse(Occasion { at, rate, place, trigger, index }));
    }

    pub(super) fn finish(&mut self, context: &Context<'_>) -> Result<Settled> {
        let mut settled = Settled::default();
        self.settle_before(context, i64::MAX, &mut settled)?;
        Ok(settled)
    }
}

fn rate_of(context: &Context<'_>, product: u32, at: i64) -> i64 {
    match context.rates.at(product, at) {
        NO_RATE => -1,
        rate => rate as i64,
    }
}

/// A session with all that is to be kept of it.
fn use_of(context: &Context<'_>, launched: &Launched, idle: Option<Idle<'_>>) -> Use {
    let Launched { place, key, start, end, member } = *launched;
    let sessions = context.sessions;
    let due = Due::at(context, place);
    let spans = idle.and_then(|idle| {
        let host = if sessions.host.is_some() { host_of(sessions, place as usize) } else { NONE };
        idle.known.spans((due.user, host, due.product), start, end, idle.after)
    });
    let spans = spans.map_or(Spans::One(start, end), Spans::Several);
    Use { key, member, spans, is_open: end == OPEN, due }
}

/// Whether another session starts at the same instant, right behind in the order.
fn is_shared(context: &Context<'_>, place: u32, start: i64) -> bool {
    context.sessions.start.get(place as usize + 1) == Some(&start)
}

/// The end of the window in which a difference is paid; days find theirs by the date.
fn window_end_of(context: &Context<'_>, until: i64) -> i64 {
    if matches!(context.rule.window, Window::Rolling { .. }) { until } else { 0 }
}

/// When the next window of a key begins at the earliest, seen from an instant in a window that ends at `until`.
fn next_window(context: &Context<'_>, calendar: usize, until: i64, at: i64) -> Option<i64> {
    match context.rule.window {
        Window::Rolling { .. } => Some(until),
        Window::Day { calendars, .. } => {
            let days = &calendars[calendar];
            Some(days.end(days.stretch_at(at))).filter(|&end| end < i64::MAX)
        }
    }
}

/// A product is used at this rate in a window: how it is charged, if it is, and what was paid before.
fn take([_, paid, used]: &mut PaidWindow, is_new: bool, member: u64, rate: i64) -> (Option<Category>, i64) {
    let before = *paid;
    let is_first_use = *used & member as i64 == 0;
    *used |= member as i64;
    let category = if is_new {
        Category::Charged
    } else if is_first_use && (rate > before || rate < 0) {
        Category::Incremental
    } else {
        return (None, before);
    };
    *paid = before.max(rate);
    (Some(category), before)
}

/// What was paid for the window that holds the instant, and whether the window is new.
fn window_at<'a, const N: usize>(
    windows: &'a mut Paid<N>,
    context: &Context<'_>,
    calendar: usize,
    at: i64,
) -> (&'a mut PaidWindow, bool) {
    let calendars = match context.rule.window {
        Window::Rolling { length } => {
            let window = &mut windows[0];
            let is_new = at >= window[0];
            if is_new {
                *window = [at + length, 0, 0];
            }
            return (window, is_new);
        }
        Window::Day { calendars, .. } => calendars,
    };
    let days = &calendars[calendar];
    let date = i64::from(days.date(days.stretch_at(at)) - DATE_ZERO);
    if let Some(place) = windows.iter().position(|window| window[0] == date) {
        return (&mut windows[place], false);
    }
    // The oldest date cannot come back.
    let oldest = (0..windows.len()).min_by_key(|&place| windows[place][0]).unwrap_or(0);
    windows[oldest] = [date, 0, 0];
    (&mut windows[oldest], true)
}
