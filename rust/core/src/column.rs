//! Long columns in memory of large pages.
//!
//! The charges of ten million sessions fill half a gigabyte. Faulting that in by pages of 4 KiB costs more than to
//! compute it, so long columns are mapped from the system and marked for large pages, where it has them. What cannot
//! be mapped is an error, while an allocation that fails would abort the process.

use std::ops::{Deref, DerefMut};

use bytemuck::Pod;
use memmap2::MmapMut;

use crate::error::{Error, Result};

/// From this many bytes on a column is mapped.
const MAPPED_FROM: usize = 1 << 21;

/// A column of zeros to begin with, of fixed length.
#[derive(Debug)]
pub struct Column<T> {
    memory: Memory<T>,
    len: usize,
}

#[derive(Debug)]
enum Memory<T> {
    Heap(Vec<T>),
    Mapped(MmapMut),
}

impl<T: Pod> Column<T> {
    /// A column of this many zeros.
    ///
    /// # Errors
    /// [`Error::TooLarge`] where there is no memory for it.
    pub fn zeros(len: usize) -> Result<Self> {
        let bytes = len.checked_mul(size_of::<T>()).ok_or_else(|| too_large(len))?;
        if bytes < MAPPED_FROM {
            return Ok(Self { memory: Memory::Heap(vec![T::zeroed(); len]), len });
        }
        let map = MmapMut::map_anon(bytes).map_err(|_| too_large(len))?;
        #[cfg(target_os = "linux")]
        // Only a wish: a kernel without large pages serves small ones.
        let _ = map.advise(memmap2::Advice::HugePage);
        Ok(Self { memory: Memory::Mapped(map), len })
    }

    /// Gives up all rows from `len` on.
    pub fn truncate(&mut self, len: usize) {
        self.len = self.len.min(len);
    }
}

impl<T> Default for Column<T> {
    fn default() -> Self {
        Self { memory: Memory::Heap(Vec::new()), len: 0 }
    }
}

impl<T> From<Vec<T>> for Column<T> {
    fn from(rows: Vec<T>) -> Self {
        let len = rows.len();
        Self { memory: Memory::Heap(rows), len }
    }
}

impl<T: Pod> Deref for Column<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        match &self.memory {
            Memory::Heap(rows) => &rows[..self.len],
            Memory::Mapped(map) => &bytemuck::cast_slice(&map[..])[..self.len],
        }
    }
}

impl<T: Pod> DerefMut for Column<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        match &mut self.memory {
            Memory::Heap(rows) => &mut rows[..self.len],
            Memory::Mapped(map) => &mut bytemuck::cast_slice_mut(&mut map[..])[..self.len],
        }
    }
}

fn too_large(len: usize) -> Error {
    Error::TooLarge { message: format!("not enough memory for a column of {len} rows: do it in parts") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_and_long_columns_are_alike() {
        for len in [0, 1, 1000, MAPPED_FROM / 16, MAPPED_FROM / 16 + 1] {
            let mut column = Column::<i128>::zeros(len).unwrap();
            assert_eq!(column.len(), len);
            assert!(column.iter().all(|&row| row == 0));
            for (place, row) in column.iter_mut().enumerate() {
                *row = -(place as i128);
            }
            column.truncate(len / 2);
            assert_eq!(column.len(), len / 2);
            assert!(column.iter().enumerate().all(|(place, &row)| row == -(place as i128)));
        }
    }

    #[test]
    fn a_column_beyond_all_memory_is_an_error() {
        assert!(Column::<u64>::zeros(usize::MAX / 4).is_err());
        assert!(Column::<u64>::zeros(1 << 56).is_err());
    }
}
