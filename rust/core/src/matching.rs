//! Which line of one side stands against which line of the other: one to one, by payer and product line.
//!
//! First lines of the same second, then of the same date, the n-th to the n-th; what is left goes to the nearest within
//! reach, so that there are as many pairs as can be and of all such choices one with the least sum of distances. Manual
//! lines take what is still left of their date.

use crate::intern::NONE;
use crate::meter::NO_TIME;

const SECOND: i64 = 1_000_000;
/// So many cells of a table of pairs are weighed; where there were more, lines are paired in order as they come.
const MOST_CELLS: usize = 100_000_000;

/// The lines of one side, in an order that says which of equals is the first.
#[derive(Debug, Clone, Copy)]
pub struct Lines<'a> {
    /// Who pays; [`NONE`] matches nobody.
    pub payer: &'a [u32],
    /// The product line, likewise.
    pub product: &'a [u32],
    /// Microseconds, or [`NO_TIME`].
    pub at: &'a [i64],
    /// Days, or [`NONE`].
    pub date: &'a [u32],
}

/// How lines are matched.
#[derive(Debug, Clone, Copy)]
pub struct How {
    /// Whether lines of one date are the same use.
    pub by_days: bool,
    /// The greatest distance of the nearest, in microseconds.
    pub reach: i64,
}

/// Places of both sides that stand against each other.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Pairs {
    /// Of the first side.
    pub ours: Vec<u32>,
    /// Of the second one.
    pub vendors: Vec<u32>,
}

impl Pairs {
    fn push(&mut self, one: Line, other: Line) {
        self.ours.push(one.place);
        self.vendors.push(other.place);
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Line {
    who: (u32, u32),
    at: i64,
    place: u32,
}

/// All pairs of two sides. `is_manual` says which lines of the second side only take what is left.
#[must_use]
pub fn matched(ours: &Lines<'_>, vendors: &Lines<'_>, is_manual: &[bool], how: How) -> Pairs {
    let (first, second) = std::thread::scope(|scope| {
        let other = scope.spawn(|| in_order(vendors));
        let own = in_order(ours);
        (own, other.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
    });
    let mut group = Group { ours, vendors, is_manual, how, pairs: Pairs::default() };
    let mut theirs = second.chunk_by(same).peekable();
    for own in first.chunk_by(same) {
        while theirs.peek().is_some_and(|lines| lines[0].who < own[0].who) {
            theirs.next();
        }
        if let Some(lines) = theirs.next_if(|lines| lines[0].who == own[0].who) {
            group.pair(own, lines);
        }
    }
    group.pairs
}

fn same(one: &Line, next: &Line) -> bool {
    one.who == next.who
}

fn in_order(lines: &Lines<'_>) -> Vec<Line> {
    let known = |&place: &usize| lines.payer[place] != NONE && lines.product[place] != NONE;
    let line = |place: usize| Line {
        who: (lines.payer[place], lines.product[place]),
        at: lines.at[place],
        place: place as u32,
    };
    let mut found: Vec<Line> = (0..lines.payer.len()).filter(known).map(line).collect();
    found.sort_unstable();
    found
}

/// The lines of one payer and product.
struct Group<'a> {
    ours: &'a Lines<'a>,
    vendors: &'a Lines<'a>,
    is_manual: &'a [bool],
    how: How,
    pairs: Pairs,
}

impl Group<'_> {
    fn pair(&mut self, ours: &[Line], vendors: &[Line]) {
        let (manual, vendors): (Vec<Line>, Vec<Line>) =
            vendors.iter().copied().partition(|line| self.is_manual[line.place as usize]);
        let second = |line: &Line| (line.at != NO_TIME).then(|| line.at.div_euclid(SECOND));
        let (mut ours, mut vendors) = nth_to_nth(ours, &vendors, second, second, &mut self.pairs);
        if ours.is_empty() || (vendors.is_empty() && manual.is_empty()) {
            return;
        }
        if self.how.by_days {
            (ours, vendors) = self.by_date(ours, vendors);
        }
        let ours = self.nearest(ours, vendors);
        self.by_date(ours, manual);
    }

    /// The n-th of a date to the n-th, and what is left.
    fn by_date(&mut self, mut ours: Vec<Line>, mut vendors: Vec<Line>) -> (Vec<Line>, Vec<Line>) {
        let dated = |lines: &Lines<'_>, line: &Line| Some(lines.date[line.place as usize]).filter(|&at| at != NONE);
        let (own, other) = (self.ours, self.vendors);
        ours.sort_by_key(|line| dated(own, line));
        vendors.sort_by_key(|line| dated(other, line));
        let left = nth_to_nth(&ours, &vendors, |line| dated(own, line), |line| dated(other, line), &mut self.pairs);
        let mut left = left;
        left.0.sort_unstable();
        left.1.sort_unstable();
        left
    }

    /// Pairs the nearest and gives those of ours that are left.
    fn nearest(&mut self, ours: Vec<Line>, vendors: Vec<Line>) -> Vec<Line> {
        if vendors.is_empty() {
            return ours;
        }
        let timed =
            |lines: Vec<Line>| -> (Vec<Line>, Vec<Line>) { lines.into_iter().partition(|line| line.at != NO_TIME) };
        let (ours, mut left) = timed(ours);
        let (vendors, _) = timed(vendors);
        let mut is_paired = vec![false; ours.len()];
        let times = |lines: &[Line]| lines.iter().map(|line| line.at).collect::<Vec<i64>>();
        for (i, j) in assigned(&times(&ours), &times(&vendors), self.how.reach) {
            self.pairs.push(ours[i], vendors[j]);
            is_paired[i] = true;
        }
        left.extend(ours.into_iter().zip(is_paired).filter_map(|(line, is_paired)| (!is_paired).then_some(line)));
        left.sort_unstable();
        left
    }
}

/// Pairs lines in order of a key: of several of one key the n-th to the n-th. What is without a key, or has no partner, is left.
fn nth_to_nth<K: Ord>(
    ours: &[Line],
    vendors: &[Line],
    key: impl Fn(&Line) -> Option<K>,
    other_key: impl Fn(&Line) -> Option<K>,
    pairs: &mut Pairs,
) -> (Vec<Line>, Vec<Line>) {
    let (mut left, mut right) = (Vec::new(), Vec::new());
    let (mut i, mut j) = (0, 0);
    while i < ours.len() && j < vendors.len() {
        let (one, other) = (key(&ours[i]), other_key(&vendors[j]));
        if one.is_none() || (other.is_some() && one < other) {
            left.push(ours[i]);
            i += 1;
        } else if one > other {
            right.push(vendors[j]);
            j += 1;
        } else {
            pairs.push(ours[i], vendors[j]);
            (i, j) = (i + 1, j + 1);
        }
    }
    left.extend_from_slice(&ours[i..]);
    right.extend_from_slice(&vendors[j..]);
    (left, right)
}

/// Places in two lists in order of time, paired: the most pairs no further apart than `reach`, then the least distance.
///
/// On a line two pairs that cross are never nearer than the same four uncrossed, so that pairs in order suffice. Lists
/// fall apart where there is more than `reach` between neighbours.
#[must_use]
pub fn assigned(first: &[i64], second: &[i64], reach: i64) -> Vec<(usize, usize)> {
    let mut pairs = Vec::new();
    let (mut i, mut j) = (0, 0);
    while i < first.len() && j < second.len() {
        let (from, other) = (i, j);
        let mut last = first[i].min(second[j]);
        loop {
            if i < first.len() && first[i] - last <= reach && (j == second.len() || first[i] <= second[j]) {
                last = first[i];
                i += 1;
            } else if j < second.len() && second[j] - last <= reach {
                last = second[j];
                j += 1;
            } else {
                break;
            }
        }
        let cluster = Cluster { first: &first[from..i], second: &second[other..j], reach };
        pairs.extend(cluster.pairs().into_iter().map(|(a, b)| (a + from, b + other)));
    }
    pairs
}

/// A stretch of both lists between which there is nowhere more than the reach.
struct Cluster<'a> {
    first: &'a [i64],
    second: &'a [i64],
    reach: i64,
}

/// How the best of a place came about.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Step {
    WithoutFirst,
    WithoutSecond,
    Both,
}

impl Cluster<'_> {
    fn pairs(&self) -> Vec<(usize, usize)> {
        let cells: usize = self.bands().map(|(from, to)| to - from).sum();
        match (self.first, self.second) {
            ([], _) | (_, []) => Vec::new(),
            ([_], [_]) if cells == 1 => vec![(0, 0)],
            _ if cells > MOST_CELLS => self.as_they_come(),
            _ => self.weighed(cells),
        }
    }

    /// For each place of the first list those of the second that it reaches.
    fn bands(&self) -> impl Iterator<Item = (usize, usize)> + '_ {
        let (mut from, mut to) = (0, 0);
        self.first.iter().map(move |&at| {
            while from < self.second.len() && at - self.second[from] > self.reach {
                from += 1;
            }
            to = to.max(from);
            while to < self.second.len() && self.second[to] - at <= self.reach {
                to += 1;
            }
            (from, to)
        })
    }

    /// As many pairs as can be, whatever their distance.
    fn as_they_come(&self) -> Vec<(usize, usize)> {
        let mut next = 0;
        let take = |(i, (from, to)): (usize, (usize, usize))| {
            let j = from.max(next);
            (j < to).then(|| {
                next = j + 1;
                (i, j)
            })
        };
        self.bands().enumerate().filter_map(take).collect()
    }

    /// The best pairs: `best[j]` has pairs left out and distance of the first `j` of the second list with those of the
    /// first that were looked at. Only places within reach can be better than what is beside them.
    fn weighed(&self, cells: usize) -> Vec<(usize, usize)> {
        let mut best = vec![(0_i64, 0_i64); self.second.len() + 1];
        let mut steps = Vec::with_capacity(cells);
        let mut rows = Vec::with_capacity(self.first.len());
        let mut known = 0;
        for (&at, (from, to)) in self.first.iter().zip(self.bands()) {
            // Beyond the reach of all before, nothing more was to be had.
            let last = best[known];
            best[known..=to].fill(last);
            known = to;
            rows.push((from, to, steps.len()));
            let mut before = best[from];
            for j in from..to {
                let without_first = best[j + 1];
                let taken = (before.0 - 1, before.1 + (at - self.second[j]).abs());
                before = without_first;
                let found = without_first.min(best[j]).min(taken);
                steps.push(if found == without_first {
                    Step::WithoutFirst
                } else if found == best[j] {
                    Step::WithoutSecond
                } else {
                    Step::Both
                });
                best[j + 1] = found;
            }
        }
        self.walked_back(&rows, &steps)
    }

    fn walked_back(&self, rows: &[(usize, usize, usize)], steps: &[Step]) -> Vec<(usize, usize)> {
        let mut pairs = Vec::new();
        let mut j = self.second.len();
        for (i, &(from, to, place)) in rows.iter().enumerate().rev() {
            j = j.min(to);
            while j > from && steps[place + j - 1 - from] == Step::WithoutSecond {
                j -= 1;
            }
            if j > from && steps[place + j - 1 - from] == Step::Both {
                j -= 1;
                pairs.push((i, j));
            }
        }
        pairs.reverse();
        pairs
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines<'a>(payer: &'a [u32], at: &'a [i64], date: &'a [u32], product: &'a [u32]) -> Lines<'a> {
        Lines { payer, product, at, date }
    }

    #[test]
    fn seconds_come_first_then_dates_then_the_nearest_then_manual_lines() {
        let hour = 3600 * SECOND;
        let times = [SECOND, 2 * hour, 30 * hour, 80 * hour];
        let ours = lines(&[1; 4], &times, &[0, 0, 1, 3], &[0; 4]);
        let at = [SECOND + 7, 9 * hour, 47 * hour, NO_TIME];
        let vendors = lines(&[1; 4], &at, &[9, 0, 2, 3], &[0; 4]);
        let how = How { by_days: true, reach: 24 * hour };
        let pairs = matched(&ours, &vendors, &[false, false, false, true], how);
        assert_eq!(pairs, Pairs { ours: vec![0, 1, 2, 3], vendors: vec![0, 1, 2, 3] });
    }

    #[test]
    fn the_most_pairs_come_before_the_least_distance() {
        assert_eq!(assigned(&[0, 10], &[9, 19], 10), [(0, 0), (1, 1)]);
        assert_eq!(assigned(&[0, 10], &[9], 10), [(1, 0)]);
        assert_eq!(assigned(&[0, 100], &[5, 98], 10), [(0, 0), (1, 1)]);
    }

    #[test]
    fn too_many_to_weigh_are_paired_as_they_come() {
        let many: Vec<i64> = (0..12_000).collect();
        let pairs = assigned(&many, &many, 1_000_000);
        assert_eq!(pairs.len(), many.len());
    }
}
