//! Arrow tables over the `PyCapsule` interface, in and out, and columns as the slices that the core takes.
//!
//! `unsafe` stays in [`import`] and [`buffer`]. Imported buffers belong to another library: they are pulled and dropped attached to
//! the interpreter, only the computing between runs detached on borrows.

use std::borrow::Cow;
use std::panic::RefUnwindSafe;
use std::ptr::NonNull;
use std::sync::Arc;
use std::thread;

use arrow_array::cast::AsArray;
use arrow_array::ffi_stream::{FFI_ArrowArrayStream, RecordBatchStreamReader};
use arrow_array::types::{
    ArrowDictionaryKeyType, Date32Type, Decimal128Type, Int8Type, Int16Type, Int32Type, Int64Type,
    TimestampMicrosecondType, TimestampMillisecondType, TimestampNanosecondType, TimestampSecondType, UInt8Type,
    UInt16Type, UInt32Type, UInt64Type,
};
use arrow_array::{
    Array, ArrayRef, ArrowNativeTypeOp, ArrowPrimitiveType, DictionaryArray, LargeStringArray, PrimitiveArray,
    RecordBatch, RecordBatchIterator, UInt32Array,
};
use arrow_buffer::{ArrowNativeType, Buffer, NullBuffer, ScalarBuffer};
use arrow_schema::{DataType, Field, Schema, TimeUnit};
use bytemuck::Pod;
use pyo3::prelude::*;
use pyo3::types::{PyCapsule, PyDict};
use tokenflex_core::column::Column;
use tokenflex_core::intern::{Interner, NONE};

use crate::error::{Failure, TableError, guarded};

/// Batches of one imported table.
pub struct Imported {
    names: Vec<String>,
    batches: Vec<RecordBatch>,
    /// Columns of names that come as codes already, with the table of the names behind them.
    coded: Vec<(String, Imported, Imported)>,
}

/// Numbers the distinct values of each column of a table in order of their first row: the codes, and for each code the
/// first row that has it. Columns of many rows are numbered side by side.
///
/// This is for categorical columns of polars. Polars numbers the categories of all its columns together and re-encodes
/// each column row by row when it exports it as an Arrow dictionary; to number them anew costs a fraction of that.
#[pyfunction]
pub fn dense_codes(py: Python<'_>, table: &Bound<'_, PyAny>) -> PyResult<Vec<(Table, Table)>> {
    guarded(py, || {
        let imported = import(table)?;
        let physical = |place: usize| {
            let batches = imported.batches.iter().map(|batch| batch.column(place));
            batches.map(|array| numbers_of(array, "physical", NONE)).collect::<Result<Vec<_>, _>>()
        };
        let columns = (0..imported.names.len()).map(physical).collect::<Result<Vec<_>, _>>()?;
        let found = py.detach(|| {
            if imported.rows() < THREADS_FROM {
                return columns.iter().map(|column| dense(column)).collect::<Result<Vec<_>, _>>();
            }
            thread::scope(|scope| {
                let running: Vec<_> = columns.iter().map(|column| scope.spawn(|| dense(column))).collect();
                let joined = running
                    .into_iter()
                    .map(|thread| thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
                joined.collect()
            })
        })?;
        let tables = found.into_iter().map(|(codes, rows)| {
            let codes = Columns::default().numbers::<UInt32Type>("code", codes, None).finish();
            (codes, Columns::default().numbers::<UInt32Type>("row", rows, None).finish())
        });
        Ok(tables.collect())
    })
}

/// Below this many rows a second thread costs more than it gains.
pub const THREADS_FROM: usize = 200_000;

fn dense(physical: &[Cow<'_, [u32]>]) -> Result<(Column<u32>, Vec<u32>), tokenflex_core::Error> {
    // One more than the largest value, 0 for none: what is null wraps around to it.
    let count = |batch: &Cow<'_, [u32]>| batch.iter().map(|value| value.wrapping_add(1)).max();
    let count = physical.iter().filter_map(count).max().unwrap_or(0) as usize;
    let mut first_rows = Vec::new();
    let mut codes = Column::<u32>::zeros(physical.iter().map(|batch| batch.len()).sum())?;
    let mut known = vec![NONE; count];
    let mut rest = &mut *codes;
    let mut row = 0;
    for batch in physical {
        let (places, others) = rest.split_at_mut(batch.len());
        rest = others;
        for (place, &value) in places.iter_mut().zip(batch.iter()) {
            if let Some(code) = known.get_mut(value as usize) {
                if *code == NONE {
                    *code = first_rows.len() as u32;
                    first_rows.push(row);
                }
                *place = *code;
            } else {
                *place = NONE;
            }
            row += 1;
        }
    }
    Ok((codes, first_rows))
}

/// Takes a table over `__arrow_c_stream__`. Nothing is copied.
pub fn import(table: &Bound<'_, PyAny>) -> Result<Imported, Failure> {
    let Some(method) = table.getattr_opt("__arrow_c_stream__")? else {
        return Err(TableError::NoTable(table.get_type().name()?.to_string()).into());
    };
    let capsule = method.call0()?;
    let capsule = capsule.cast::<PyCapsule>().map_err(|error| Failure::Python(error.into()))?;
    let pointer = capsule.pointer_checked(Some(c"arrow_array_stream"))?;
    // SAFETY: a capsule of this name points to a live stream (the PyCapsule interface of Arrow says so, and the name
    // was checked); `from_raw` moves it out and leaves a released one behind, as the interface asks.
    let stream = unsafe { FFI_ArrowArrayStream::from_raw(pointer.as_ptr().cast()) };
    let failed =
        |error: arrow_schema::ArrowError| TableError::Stream(format!("the table's Arrow stream failed: {error}"));
    let reader = RecordBatchStreamReader::try_new(stream)
        .map_err(|error| TableError::NoTable(format!("one whose stream is no table: {error}")))?;
    let names = arrow_array::RecordBatchReader::schema(&reader).fields().iter().map(|f| f.name().clone()).collect();
    let mut batches = Vec::new();
    for batch in reader {
        let batch = batch.map_err(failed)?;
        if batch.num_rows() > 0 {
            batches.push(batch);
        }
    }
    Ok(Imported { names, batches, coded: Vec::new() })
}

/// Takes a table, and columns of names that come as codes and names (see [`dense_codes`]).
pub fn import_coded(table: &Bound<'_, PyAny>, coded: &Bound<'_, PyDict>) -> Result<Imported, Failure> {
    let mut imported = import(table)?;
    for (name, parts) in coded {
        let (codes, names): (Bound<'_, PyAny>, Bound<'_, PyAny>) = parts.extract()?;
        imported.coded.push((name.extract()?, import(&codes)?, import(&names)?));
    }
    Ok(imported)
}

/// A column of names as codes, and the names behind the codes.
pub struct Codes<'a> {
    pub rows: Cow<'a, [u32]>,
    pub names: Interner,
}

impl Imported {
    /// Whether the table has such a column.
    pub fn has(&self, column: &str) -> bool {
        self.names.iter().chain(self.coded.iter().map(|(name, ..)| name)).any(|name| name == column)
    }

    /// How many rows the table has.
    pub fn rows(&self) -> usize {
        self.batches.iter().map(RecordBatch::num_rows).sum()
    }

    fn column(&self, column: &'static str) -> Result<Vec<&ArrayRef>, TableError> {
        let place = self.names.iter().position(|name| name == column);
        let place = place.ok_or_else(|| TableError::MissingColumn { column, present: self.names.clone() })?;
        Ok(self.batches.iter().map(|batch| batch.column(place)).collect())
    }

    /// A column of text, plain or dictionary-encoded, in any of Arrow's layouts.
    pub fn codes(&self, column: &'static str) -> Result<Codes<'_>, TableError> {
        let mut names = Interner::new();
        let rows = self.codes_into(column, &mut names)?;
        Ok(Codes { rows, names })
    }

    /// The same in codes of names that may be known already; new ones are added.
    pub fn codes_into(&self, column: &'static str, names: &mut Interner) -> Result<Cow<'_, [u32]>, TableError> {
        if let Some((_, codes, behind)) = self.coded.iter().find(|(name, ..)| name == column) {
            let mut map = Vec::new();
            for array in behind.column("name")? {
                map.extend(text_codes(array, column, names)?);
            }
            let codes = joined(codes.numbers("code", NONE)?);
            let is_identity = map.iter().enumerate().all(|(place, &code)| place == code as usize);
            if is_identity {
                return Ok(codes);
            }
            return Ok(codes.iter().map(|&code| map.get(code as usize).copied().unwrap_or(NONE)).collect());
        }
        let batches = self.column(column)?.into_iter().map(|array| codes_of(array, column, names));
        Ok(joined(batches.collect::<Result<_, _>>()?))
    }

    /// A column of text as it is; null is empty.
    pub fn texts(&self, column: &'static str) -> Result<Vec<String>, TableError> {
        let Codes { rows, names } = self.codes(column)?;
        let text = |&code: &u32| if code == NONE { Cow::from("") } else { String::from_utf8_lossy(names.get(code)) };
        Ok(rows.iter().map(|code| text(code).into_owned()).collect())
    }

    /// A column of 64-bit integers without nulls.
    pub fn integers(&self, column: &str) -> Result<Vec<i64>, TableError> {
        let place = self.names.iter().position(|name| name == column);
        let missing = || TableError::MissingColumn { column: "n0", present: self.names.clone() };
        let place = place.ok_or_else(missing)?;
        let mut numbers = Vec::with_capacity(self.rows());
        for batch in &self.batches {
            let array = batch.column(place).as_primitive_opt::<Int64Type>().ok_or_else(missing)?;
            numbers.extend_from_slice(array.values());
        }
        Ok(numbers)
    }

    /// A column of instants in microseconds; `null` stands for a missing one.
    pub fn times(&self, column: &'static str, null: i64) -> Result<Cow<'_, [i64]>, TableError> {
        let batches = self.column(column)?.into_iter().map(|array| times_of(array, column, null));
        Ok(joined(batches.collect::<Result<_, _>>()?))
    }

    /// A column of exact numbers in units of 1/10,000; `null` stands for a missing one.
    pub fn token_units(&self, column: &'static str, null: i64) -> Result<TokenUnits<'_>, Failure> {
        let arrays = self.column(column)?;
        if let [array] = arrays[..]
            && let Some(units) = wide_units(array)
        {
            return Ok(TokenUnits::Wide(units));
        }
        let mut units = Column::zeros(self.rows())?;
        let mut done = 0;
        for array in arrays {
            let place = &mut units[done..done + array.len()];
            fill_units(array, (column, done), null, place)?;
            done += array.len();
        }
        Ok(TokenUnits::Narrow(units))
    }

    /// A column of unsigned numbers, batch by batch; `null` stands for a missing one.
    pub fn numbers(&self, column: &'static str, null: u32) -> Result<Vec<Cow<'_, [u32]>>, TableError> {
        self.column(column)?.into_iter().map(|array| numbers_of(array, column, null)).collect()
    }
}

/// Exact numbers in units of 1/10,000: as they came where they came so, or as 64-bit numbers.
pub enum TokenUnits<'a> {
    /// Without nulls, and all fit into 64 bits.
    Wide(&'a [i128]),
    /// With a number that stands for null.
    Narrow(Column<i64>),
}

fn wide_units(array: &ArrayRef) -> Option<&[i128]> {
    if array.null_count() > 0 || !matches!(array.data_type(), DataType::Decimal128(_, TOKEN_SCALE)) {
        return None;
    }
    let units = array.as_primitive::<Decimal128Type>().values();
    units.iter().all(|&units| i64::try_from(units).is_ok_and(|units| units != i64::MIN)).then_some(units)
}

/// One column from several batches: borrowed where there is but one.
pub fn joined<T: Copy>(mut batches: Vec<Cow<'_, [T]>>) -> Cow<'_, [T]> {
    if batches.len() == 1 {
        return batches.swap_remove(0);
    }
    batches.concat().into()
}

const TEXT: &str = "text (a string, categorical or enum column)";

fn codes_of<'a>(array: &'a ArrayRef, column: &'static str, names: &mut Interner) -> Result<Cow<'a, [u32]>, TableError> {
    if array.null_count() == array.len() {
        // An all-null column of any type, such as pandas makes of `None`s.
        return Ok(vec![NONE; array.len()].into());
    }
    match array.data_type() {
        DataType::Dictionary(key, _) => match **key {
            DataType::UInt8 => dictionary_codes::<UInt8Type>(array, column, names),
            DataType::UInt16 => dictionary_codes::<UInt16Type>(array, column, names),
            DataType::UInt64 => dictionary_codes::<UInt64Type>(array, column, names),
            DataType::Int8 => dictionary_codes::<Int8Type>(array, column, names),
            DataType::Int16 => dictionary_codes::<Int16Type>(array, column, names),
            DataType::Int32 => dictionary_codes::<Int32Type>(array, column, names),
            DataType::Int64 => dictionary_codes::<Int64Type>(array, column, names),
            _ => dictionary_codes::<UInt32Type>(array, column, names),
        },
        _ => text_codes(array, column, names).map(Cow::Owned),
    }
}

fn text_codes(array: &ArrayRef, column: &'static str, names: &mut Interner) -> Result<Vec<u32>, TableError> {
    match array.data_type() {
        DataType::Utf8 => Ok(intern_rows(array.as_string::<i32>().iter(), names)),
        DataType::LargeUtf8 => Ok(intern_rows(array.as_string::<i64>().iter(), names)),
        DataType::Utf8View => Ok(intern_rows(array.as_string_view().iter(), names)),
        other => Err(TableError::ColumnType { column, found: other.to_string(), needed: TEXT }),
    }
}

fn intern_rows<'a>(rows: impl Iterator<Item = Option<&'a str>>, names: &mut Interner) -> Vec<u32> {
    rows.map(|name| name.map_or(NONE, |name| names.intern(name.as_bytes()))).collect()
}

fn dictionary_codes<'a, K: ArrowDictionaryKeyType>(
    array: &'a ArrayRef,
    column: &'static str,
    names: &mut Interner,
) -> Result<Cow<'a, [u32]>, TableError> {
    let array = array.as_dictionary::<K>();
    let map = text_codes(array.values(), column, names)?;
    let is_identity = map.iter().enumerate().all(|(place, &code)| place == code as usize);
    let keys = array.keys();
    // A producer may hand over keys beyond the values; they stand for nothing.
    if is_identity
        && keys.null_count() == 0
        && let Some(keys) = (keys as &dyn std::any::Any).downcast_ref::<UInt32Array>()
        && keys.values().iter().max().is_none_or(|&largest| (largest as usize) < map.len())
    {
        return Ok(Cow::Borrowed(keys.values()));
    }
    let code = |key: K::Native| map.get(key.as_usize()).copied().unwrap_or(NONE);
    Ok(match keys.nulls() {
        None => keys.values().iter().map(|&key| code(key)).collect(),
        Some(nulls) => {
            keys.values().iter().zip(nulls).map(|(&key, valid)| if valid { code(key) } else { NONE }).collect()
        }
    })
}

fn times_of<'a>(array: &'a ArrayRef, column: &'static str, null: i64) -> Result<Cow<'a, [i64]>, TableError> {
    if array.null_count() == array.len() {
        return Ok(vec![null; array.len()].into());
    }
    let DataType::Timestamp(unit, zone) = array.data_type() else {
        let found = array.data_type().to_string();
        return Err(TableError::ColumnType { column, found, needed: "instants (a datetime column with a time zone)" });
    };
    if zone.is_none() {
        return Err(TableError::ColumnType {
            column,
            found: format!("{} without a time zone", array.data_type()),
            needed: "instants: say which zone its times are in, in polars by .dt.replace_time_zone(\"…\")",
        });
    }
    Ok(match unit {
        TimeUnit::Microsecond if array.null_count() == 0 && !has_ends(array) => {
            Cow::Borrowed(array.as_primitive::<TimestampMicrosecondType>().values())
        }
        TimeUnit::Microsecond => converted::<TimestampMicrosecondType>(array, null, |time| time),
        TimeUnit::Second => converted::<TimestampSecondType>(array, null, |time| time.saturating_mul(1_000_000)),
        TimeUnit::Millisecond => converted::<TimestampMillisecondType>(array, null, |time| time.saturating_mul(1_000)),
        TimeUnit::Nanosecond => converted::<TimestampNanosecondType>(array, null, |time| time.div_euclid(1_000)),
    })
}

/// Whether some time is one of the two ends of i64, which have a meaning of their own in the core.
fn has_ends(array: &ArrayRef) -> bool {
    let times = array.as_primitive::<TimestampMicrosecondType>().values();
    times.contains(&i64::MIN) || times.contains(&i64::MAX)
}

fn converted<'a, T: ArrowPrimitiveType<Native = i64>>(
    array: &ArrayRef,
    null: i64,
    convert: impl Fn(i64) -> i64,
) -> Cow<'a, [i64]> {
    // See `has_ends`: no time in data comes near.
    let convert = |time| convert(time).clamp(i64::MIN + 1, i64::MAX - 1);
    array.as_primitive::<T>().iter().map(|time| time.map_or(null, convert)).collect()
}

/// Decimals that tokens are kept with.
const TOKEN_SCALE: i8 = 4;

/// `place` is the column's name and the first row's number.
fn fill_units(array: &ArrayRef, place: (&'static str, usize), null: i64, units: &mut [i64]) -> Result<(), TableError> {
    if array.null_count() == array.len() {
        units.fill(null);
        return Ok(());
    }
    match array.data_type() {
        DataType::Decimal128(_, scale) => scaled::<Decimal128Type>(array, *scale, place, null, units),
        DataType::UInt8 => scaled::<UInt8Type>(array, 0, place, null, units),
        DataType::UInt16 => scaled::<UInt16Type>(array, 0, place, null, units),
        DataType::UInt32 => scaled::<UInt32Type>(array, 0, place, null, units),
        DataType::UInt64 => scaled::<UInt64Type>(array, 0, place, null, units),
        DataType::Int8 => scaled::<Int8Type>(array, 0, place, null, units),
        DataType::Int16 => scaled::<Int16Type>(array, 0, place, null, units),
        DataType::Int32 => scaled::<Int32Type>(array, 0, place, null, units),
        DataType::Int64 => scaled::<Int64Type>(array, 0, place, null, units),
        other => Err(TableError::ColumnType {
            column: place.0,
            found: other.to_string(),
            needed: "exact numbers: decimals of up to 128 bits or whole numbers, in polars by .cast(pl.Decimal(38, 4))",
        }),
    }
}

fn scaled<T>(
    array: &ArrayRef,
    scale: i8,
    (column, first): (&'static str, usize),
    null: i64,
    units: &mut [i64],
) -> Result<(), TableError>
where
    T: ArrowPrimitiveType,
    T::Native: Into<i128>,
{
    let by = TOKEN_SCALE.saturating_sub(scale);
    // No more than 10^38 fits; beyond that only a zero stays what it is.
    let power = 10_i128.checked_pow(u32::from(by.unsigned_abs()));
    let unit = |number: i128| match power {
        _ if number == 0 => Some(0),
        Some(1) => i64::try_from(number).ok(),
        Some(power) if by > 0 => number.checked_mul(power).and_then(|units| i64::try_from(units).ok()),
        Some(power) if number % power == 0 => i64::try_from(number / power).ok(),
        _ => None,
    };
    for (row, (place, number)) in units.iter_mut().zip(array.as_primitive::<T>().iter()).enumerate() {
        *place = match number.map(Into::into) {
            None => null,
            Some(number) => unit(number).filter(|&units| units != null).ok_or_else(|| TableError::ColumnValue {
                column,
                row: first + row,
                message: format!(
                    "column {column:?} holds {number} x 10^{} in row {}: tokens have at most four decimals, and are \
                     less than 922 million million",
                    -i32::from(scale),
                    first + row
                ),
            })?,
        };
    }
    Ok(())
}

fn numbers_of<'a>(array: &'a ArrayRef, column: &'static str, null: u32) -> Result<Cow<'a, [u32]>, TableError> {
    if array.data_type() == &DataType::UInt32 && array.null_count() == 0 {
        return Ok(Cow::Borrowed(array.as_primitive::<UInt32Type>().values()));
    }
    if array.null_count() == array.len() {
        return Ok(vec![null; array.len()].into());
    }
    match array.data_type() {
        DataType::UInt8 => numbers::<UInt8Type>(array, column, null),
        DataType::UInt16 => numbers::<UInt16Type>(array, column, null),
        DataType::UInt32 => numbers::<UInt32Type>(array, column, null),
        DataType::UInt64 => numbers::<UInt64Type>(array, column, null),
        DataType::Int8 => numbers::<Int8Type>(array, column, null),
        DataType::Int16 => numbers::<Int16Type>(array, column, null),
        DataType::Int32 => numbers::<Int32Type>(array, column, null),
        DataType::Int64 => numbers::<Int64Type>(array, column, null),
        other => Err(TableError::ColumnType { column, found: other.to_string(), needed: "whole numbers" }),
    }
}

fn numbers<'a, T>(array: &ArrayRef, column: &'static str, null: u32) -> Result<Cow<'a, [u32]>, TableError>
where
    T: ArrowPrimitiveType,
    T::Native: TryInto<u32> + ArrowNativeTypeOp,
{
    let rows = array.as_primitive::<T>().iter().enumerate();
    rows.map(|(row, number)| match number {
        None => Ok(null),
        Some(number) => number.try_into().map_err(|_| TableError::ColumnValue {
            column,
            row,
            message: format!("column {column:?} holds {number:?}, which is no number from 0 to 4,294,967,295"),
        }),
    })
    .collect()
}

/// A table on its way out: any Arrow consumer takes it over `__arrow_c_stream__`, once.
#[pyclass(frozen, module = "tokenflex._core")]
pub struct Table {
    batch: RecordBatch,
}

#[pymethods]
impl Table {
    /// The table as a capsule of Arrow's `PyCapsule` interface.
    #[pyo3(signature = (requested_schema = None))]
    fn __arrow_c_stream__<'py>(
        &self,
        py: Python<'py>,
        requested_schema: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyCapsule>> {
        // The interface lets a producer ignore the request.
        drop(requested_schema);
        let schema = self.batch.schema();
        let reader = RecordBatchIterator::new([Ok(self.batch.clone())], schema);
        PyCapsule::new_with_value(py, FFI_ArrowArrayStream::new(Box::new(reader)), c"arrow_array_stream")
    }
}

/// The memory of a column of the core as an Arrow buffer, without a copy.
fn buffer<T: ArrowNativeType + Pod + RefUnwindSafe>(column: Column<T>) -> ScalarBuffer<T> {
    let len = column.len();
    let Some(pointer) = NonNull::new(column.as_ptr().cast_mut().cast::<u8>()) else {
        return ScalarBuffer::from(Vec::new());
    };
    // SAFETY: the pointer and length are those of the column's own rows, whose memory moves into the owner and stays
    // where it is, heap or map, until the owner is dropped; nothing writes to it any more.
    let bytes = unsafe { Buffer::from_custom_allocation(pointer, len * size_of::<T>(), Arc::new(Owner(column))) };
    ScalarBuffer::new(bytes, 0, len)
}

/// Keeps a column's memory alive for Arrow.
struct Owner<T>(#[expect(dead_code, reason = "held for its memory")] Column<T>);

/// Builds a [`Table`] column by column.
#[derive(Default)]
pub struct Columns {
    fields: Vec<Field>,
    arrays: Vec<ArrayRef>,
}

impl Columns {
    fn push(mut self, name: &str, array: ArrayRef) -> Self {
        self.fields.push(Field::new(name, array.data_type().clone(), true));
        self.arrays.push(array);
        self
    }

    /// Codes and the names behind them, as a dictionary. An empty column of codes is a column of nulls.
    pub fn names(self, name: &str, codes: impl Into<Column<u32>>, names: &Interner, rows: usize) -> Self {
        let codes = codes.into();
        let codes = if codes.is_empty() { vec![NONE; rows].into() } else { codes };
        let nulls = codes.contains(&NONE).then(|| codes.iter().map(|&code| code != NONE).collect::<NullBuffer>());
        let keys = UInt32Array::new(buffer(codes), nulls);
        let values: LargeStringArray = names.iter().map(|name| Some(String::from_utf8_lossy(name))).collect();
        // SAFETY would need no check: codes come from this interner. The check is cheap, so it is done all the same.
        match DictionaryArray::<UInt32Type>::try_new(keys, Arc::new(values)) {
            Ok(array) => self.push(name, Arc::new(array)),
            Err(error) => panic!("codes beyond their names in column {name}: {error}"),
        }
    }

    /// Instants in microseconds; `none` is null.
    pub fn times(self, name: &str, times: impl Into<Column<i64>>, none: Option<i64>) -> Self {
        let times = times.into();
        let nulls =
            none.filter(|none| times.contains(none)).map(|none| times.iter().map(|&time| time != none).collect());
        let array = PrimitiveArray::<TimestampMicrosecondType>::new(buffer(times), nulls).with_timezone("UTC");
        self.push(name, Arc::new(array))
    }

    /// Days since 1970-01-01.
    pub fn dates(self, name: &str, dates: impl Into<Column<i32>>) -> Self {
        self.push(name, Arc::new(PrimitiveArray::<Date32Type>::new(buffer(dates.into()), None)))
    }

    /// Decimals of scale 4; `none` is null.
    pub fn tokens(self, name: &str, tokens: impl Into<Column<i128>>, none: i128) -> Self {
        let tokens = tokens.into();
        let nulls: Option<NullBuffer> =
            tokens.contains(&none).then(|| tokens.iter().map(|&number| number != none).collect());
        let array = PrimitiveArray::<Decimal128Type>::new(buffer(tokens), nulls);
        match array.with_precision_and_scale(38, 4) {
            Ok(array) => self.push(name, Arc::new(array)),
            Err(error) => panic!("decimal type: {error}"),
        }
    }

    /// Whole numbers of any width; `none` is null.
    pub fn numbers<T>(self, name: &str, numbers: impl Into<Column<T::Native>>, none: Option<T::Native>) -> Self
    where
        T: ArrowPrimitiveType,
        T::Native: Pod + RefUnwindSafe,
    {
        let numbers = numbers.into();
        let nulls = none
            .filter(|none| numbers.contains(none))
            .map(|none| numbers.iter().map(|&number| number != none).collect());
        self.push(name, Arc::new(PrimitiveArray::<T>::new(buffer(numbers), nulls)))
    }

    /// Texts as they are.
    pub fn texts(self, name: &str, texts: &[String]) -> Self {
        self.push(name, Arc::new(LargeStringArray::from_iter_values(texts)))
    }

    /// Any other column.
    pub fn array(self, name: &str, array: ArrayRef) -> Self {
        self.push(name, array)
    }

    /// The finished table.
    pub fn finish(self) -> Table {
        match RecordBatch::try_new(Arc::new(Schema::new(self.fields)), self.arrays) {
            Ok(batch) => Table { batch },
            Err(error) => panic!("columns of unequal length: {error}"),
        }
    }
}
