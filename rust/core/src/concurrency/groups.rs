//! Rows that agree in several columns as numbered groups, in order of the names in these columns.

use std::borrow::Cow;

use hashbrown::{HashMap, HashSet};

use crate::column::Column;
use crate::error::Result;

/// A column to group by.
#[derive(Debug)]
pub struct Key<'a> {
    /// The code of the name of each row, [`crate::intern::NONE`] where there is none.
    pub codes: Cow<'a, [u32]>,
    /// For each code the place of its name among all names in order.
    pub ranks: Vec<u32>,
}

/// The groups.
#[derive(Debug)]
pub struct Groups {
    /// The number of each row's group.
    pub of_row: Column<u32>,
    /// For each column, of each group the place of its name; one more than the last where there is no name.
    pub ranks: Vec<Vec<u32>>,
}

impl Groups {
    /// How many there are, where the rows are so many.
    #[must_use]
    pub fn len(&self) -> usize {
        self.ranks.first().map_or(usize::from(!self.of_row.is_empty()), Vec::len)
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Below this many possible groups they are looked up in a table, whatever the number of rows.
const SMALL: u64 = 1 << 16;

/// Numbers the groups.
///
/// # Errors
/// [`crate::Error::TooLarge`] where there is no memory for the numbers.
pub fn number(keys: &[Key<'_>], rows: usize) -> Result<Groups> {
    let mut groups = Groups { of_row: Column::zeros(rows)?, ranks: Vec::new() };
    for key in keys {
        let width = key.ranks.len() as u64 + 1;
        let possible = groups.len().max(1) as u64 * width;
        let rank_of = |code: u32| key.ranks.get(code as usize).map_or(width - 1, |&rank| u64::from(rank));
        let joint = |group: u32, code: u32| u64::from(group) * width + rank_of(code);
        let present = if possible <= SMALL.max(2 * rows as u64) {
            in_table(&mut groups.of_row, &key.codes, possible, joint)
        } else {
            in_map(&mut groups.of_row, &key.codes, joint)
        };
        // What the groups were called so far, and the name that this column adds.
        for ranks in &mut groups.ranks {
            *ranks = present.iter().map(|joint| ranks[(joint / width) as usize]).collect();
        }
        groups.ranks.push(present.iter().map(|joint| (joint % width) as u32).collect());
    }
    Ok(groups)
}

/// Puts dense numbers in place of the joint ones, which it gives in order.
fn in_table(of_row: &mut [u32], codes: &[u32], possible: u64, joint: impl Fn(u32, u32) -> u64) -> Vec<u64> {
    let mut numbers = vec![0_u32; possible as usize];
    for (&group, &code) in of_row.iter().zip(codes) {
        numbers[joint(group, code) as usize] = 1;
    }
    let mut present = Vec::new();
    for (joint, number) in numbers.iter_mut().enumerate().filter(|(_, number)| **number == 1) {
        *number = present.len() as u32;
        present.push(joint as u64);
    }
    for (group, &code) in of_row.iter_mut().zip(codes) {
        *group = numbers[joint(*group, code) as usize];
    }
    present
}

/// The same where few of the possible groups are there.
fn in_map(of_row: &mut [u32], codes: &[u32], joint: impl Fn(u32, u32) -> u64) -> Vec<u64> {
    let found: HashSet<u64> = of_row.iter().zip(codes).map(|(&group, &code)| joint(group, code)).collect();
    let mut present: Vec<u64> = found.into_iter().collect();
    present.sort_unstable();
    let numbers: HashMap<u64, u32> =
        present.iter().enumerate().map(|(number, &joint)| (joint, number as u32)).collect();
    for (group, &code) in of_row.iter_mut().zip(codes) {
        *group = numbers[&joint(*group, code)];
    }
    present
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::intern::NONE;

    #[test]
    fn groups_are_in_order_of_their_names() {
        // Names c, a; y, x, and no name.
        let first = Key { codes: vec![0, 1, 0, 1, 0, NONE].into(), ranks: vec![1, 0] };
        let second = Key { codes: vec![0, 0, 1, NONE, 0, 1].into(), ranks: vec![1, 0] };
        let groups = number(&[first, second], 6).unwrap();
        assert_eq!(groups.of_row[..], [3, 0, 2, 1, 3, 4]);
        assert_eq!(groups.ranks, [vec![0, 0, 1, 1, 2], vec![1, 2, 0, 1, 0]]);
    }

    #[test]
    fn a_map_numbers_as_a_table_does() {
        let codes: Vec<u32> = (0..1000).map(|row| row * 7 % 13).collect();
        let joint = |group: u32, code: u32| u64::from(group) * 13 + u64::from(code);
        let (mut table, mut map): (Vec<u32>, Vec<u32>) = (vec![0; 1000], vec![0; 1000]);
        assert_eq!(in_table(&mut table, &codes, 13, joint), in_map(&mut map, &codes, joint));
        assert_eq!(table, map);
    }

    #[test]
    fn no_column_is_one_group_and_no_row_is_none() {
        assert_eq!(number(&[], 3).unwrap().len(), 1);
        assert_eq!(number(&[], 0).unwrap().len(), 0);
    }
}
