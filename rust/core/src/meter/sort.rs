//! Rows in order of time: scattered into stretches of time first, then sorted within each, side by side.

use std::thread;

/// Below this many rows the scattering costs more than it gains.
const SCATTER_FROM: usize = 100_000;

/// How many rows a stretch of time is meant to hold, so that it is sorted within the nearest memory.
const ROWS_OF_A_STRETCH: usize = 4096;

/// The rows in order of their time, rows of one time in order of their number.
#[must_use]
pub fn by_time(times: &[i64], rows: &[u32]) -> Vec<u32> {
    let keyed = rows.iter().map(|&row| (times[row as usize], row));
    if rows.len() < SCATTER_FROM {
        let mut keyed: Vec<(i64, u32)> = keyed.collect();
        keyed.sort_unstable();
        return keyed.into_iter().map(|(_, row)| row).collect();
    }
    let (first, last) =
        keyed.clone().fold((i64::MAX, i64::MIN), |(first, last), (at, _)| (first.min(at), last.max(at)));
    let stretches = rows.len() / ROWS_OF_A_STRETCH;
    let span = (last - first) as u64 / stretches as u64 + 1;
    let stretch_of = |at: i64| ((at - first) as u64 / span) as usize;
    let mut begins = vec![0; stretches + 1];
    for (at, _) in keyed.clone() {
        begins[stretch_of(at) + 1] += 1;
    }
    for stretch in 0..stretches {
        begins[stretch + 1] += begins[stretch];
    }
    let mut next = begins.clone();
    let mut scattered = vec![(0, 0); rows.len()];
    for (at, row) in keyed {
        let place = &mut next[stretch_of(at)];
        scattered[*place] = (at, row);
        *place += 1;
    }
    let sort = |part: &mut [(i64, u32)], begins: &[usize]| {
        let mut rest = part;
        for pair in begins.windows(2) {
            let (stretch, after) = std::mem::take(&mut rest).split_at_mut(pair[1] - pair[0]);
            stretch.sort_unstable();
            rest = after;
        }
    };
    let middle = stretches / 2;
    let (early, late) = scattered.split_at_mut(begins[middle]);
    thread::scope(|scope| {
        scope.spawn(|| sort(early, &begins[..=middle]));
        sort(late, &begins[middle..]);
    });
    scattered.into_iter().map(|(_, row)| row).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_rows_come_in_order_of_time_and_row() {
        let mut seed = 5_u64;
        for spread in [1, 1000, 1 << 50] {
            let times: Vec<i64> = (0..3 * SCATTER_FROM)
                .map(|_| {
                    seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                    (seed >> 8) as i64 % spread
                })
                .collect();
            let rows: Vec<u32> = (0..times.len() as u32).filter(|row| row % 7 != 3).collect();
            let mut expected = rows.clone();
            expected.sort_by_key(|&row| times[row as usize]);
            assert_eq!(by_time(&times, &rows), expected);
            assert_eq!(by_time(&times, &rows[..50]), {
                let mut few = rows[..50].to_vec();
                few.sort_by_key(|&row| times[row as usize]);
                few
            });
        }
    }
}
