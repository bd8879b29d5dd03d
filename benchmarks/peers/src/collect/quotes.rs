//! The table `quotes`: the state of each subscription, and the columns of the rows that are not written yet.

use std::collections::HashMap;
use std::sync::Arc;

use arrow_array::builder::{
    Float64Builder, Int64Builder, StringDictionaryBuilder, TimestampMillisecondBuilder, TimestampNanosecondBuilder,
};
use arrow_array::types::Int32Type;
use arrow_array::{ArrayRef, RecordBatch};
use arrow_schema::{ArrowError, DataType, Field as Column, Schema, SchemaRef, TimeUnit};

use super::frame::{Field, Frame, NUMBERS, Prefix};

/// The number of rows in a row group.
pub const GROUP_ROWS: usize = 65_536;

/// Rows are late from this time on, in nanoseconds.
const LATE_NS: i64 = 1_000_000_000;

/// The names of the columns with numbers.
const NUMBER_NAMES: [&str; NUMBERS] = ["last_price", "bid_price", "ask_price", "ask_size", "bid_size", "volume"];

/// The schema of the table, with the columns of `quotes_schema()` in `cpapi_fast`.
pub fn schema() -> SchemaRef {
    let time = |unit| DataType::Timestamp(unit, Some("UTC".into()));
    let text = || DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8));
    let mut columns = vec![
        Column::new("received", time(TimeUnit::Nanosecond), false),
        Column::new("updated", time(TimeUnit::Millisecond), true),
        Column::new("late_ns", DataType::Int64, false),
        Column::new("conid", DataType::Int64, false),
        Column::new("symbol", text(), true),
        Column::new("target", text(), true),
        Column::new("segment", DataType::Int64, false),
        Column::new("availability", text(), true),
    ];
    columns.extend(NUMBER_NAMES.map(|name| Column::new(name, DataType::Float64, true)));
    columns.insert(9, Column::new("last_price_prefix", text(), true));
    Arc::new(Schema::new(columns))
}

/// The conid at the start of a target, such as `265598@NYSE`; -1 without one.
pub fn conid_of(target: &str) -> i64 {
    let digits = target.bytes().take_while(u8::is_ascii_digit).count();
    target[..digits].parse().unwrap_or(-1)
}

/// The values of one subscription after its last frame.
struct State {
    conid: i64,
    /// The target, if it is more than a conid.
    target: Option<Box<str>>,
    /// The receive time of its first row.
    segment: i64,
    /// The least time from event to receipt.
    usual_ns: i64,
    symbol: String,
    availability: String,
    numbers: [Option<f64>; NUMBERS],
    prefix: Option<Prefix>,
    /// The event time of the frame before, if it was the first of two snapshots.
    snapshot_ms: Option<i64>,
}

impl State {
    fn new(target: &str, received_ns: i64) -> Self {
        Self {
            conid: conid_of(target),
            target: (!target.bytes().all(|byte| byte.is_ascii_digit())).then(|| target.into()),
            segment: received_ns,
            usual_ns: i64::MAX,
            symbol: String::new(),
            availability: String::new(),
            numbers: [None; NUMBERS],
            prefix: None,
            snapshot_ms: None,
        }
    }

    /// Takes the values of a frame, and returns whether one has changed.
    fn update(&mut self, frame: &Frame) -> bool {
        let fields = frame.fields();
        let mut has_changed = false;
        for (value, field) in self.numbers.iter_mut().zip(fields) {
            let number = match field {
                Field::Absent => continue,
                Field::Empty => None,
                Field::Number(number, _) => Some(number),
            };
            has_changed |= *value != number;
            *value = number;
        }
        let prefix = match fields[0] {
            Field::Absent => self.prefix,
            Field::Empty => None,
            Field::Number(_, prefix) => prefix,
        };
        has_changed |= self.prefix != prefix;
        self.prefix = prefix;
        // A dash is the symbol of an unknown contract.
        for (text, new, unknown) in
            [(&mut self.symbol, &frame.symbol, "-"), (&mut self.availability, &frame.availability, "")]
        {
            if !new.is_empty() && new != unknown && text != new {
                text.clear();
                text.push_str(new);
                has_changed = true;
            }
        }
        has_changed
    }

    /// Returns how late a frame is, beyond the usual of its subscription.
    fn late_ns(&mut self, received_ns: i64, updated_ms: Option<i64>) -> i64 {
        let Some(updated_ms) = updated_ms else { return 0 };
        let took_ns = received_ns.saturating_sub(updated_ms.saturating_mul(1_000_000));
        self.usual_ns = self.usual_ns.min(took_ns);
        let late_ns = took_ns.saturating_sub(self.usual_ns);
        if late_ns > LATE_NS { late_ns } else { 0 }
    }
}

/// All subscriptions, and the rows of their frames.
pub struct Quotes {
    states: HashMap<Box<str>, State>,
    schema: SchemaRef,
    columns: Columns,
}

impl Quotes {
    pub fn new() -> Self {
        Self { states: HashMap::new(), schema: schema(), columns: Columns::new() }
    }

    /// Adds the row of a frame, the second of two equal snapshots excepted, and returns the row group that it completes.
    ///
    /// # Errors
    /// When Arrow refuses the columns.
    #[inline]
    pub fn push(&mut self, target: &str, frame: &Frame, received_ns: i64) -> Result<Option<RecordBatch>, ArrowError> {
        let state = match self.states.get_mut(target) {
            Some(state) => state,
            None => self.states.entry(target.into()).or_insert_with(|| State::new(target, received_ns)),
        };
        let has_changed = state.update(frame);
        let late_ns = state.late_ns(received_ns, frame.updated_ms);
        let snapshot_ms = if frame.availability.is_empty() { None } else { frame.updated_ms };
        let first_ms = state.snapshot_ms.take();
        if !has_changed && snapshot_ms.is_some() && snapshot_ms == first_ms {
            return Ok(None);
        }
        state.snapshot_ms = snapshot_ms;
        self.columns.push(state, received_ns, frame.updated_ms, late_ns);
        if self.columns.rows == GROUP_ROWS { self.take() } else { Ok(None) }
    }

    /// Returns the rows that are not in a group yet.
    ///
    /// # Errors
    /// When Arrow refuses the columns.
    pub fn take(&mut self) -> Result<Option<RecordBatch>, ArrowError> {
        let columns = std::mem::replace(&mut self.columns, Columns::new());
        if columns.rows == 0 {
            return Ok(None);
        }
        RecordBatch::try_new(self.schema.clone(), columns.finish()).map(Some)
    }
}

type Texts = StringDictionaryBuilder<Int32Type>;

/// The columns of one row group.
struct Columns {
    rows: usize,
    received: TimestampNanosecondBuilder,
    updated: TimestampMillisecondBuilder,
    late_ns: Int64Builder,
    conids: Int64Builder,
    symbols: Texts,
    targets: Texts,
    segments: Int64Builder,
    availabilities: Texts,
    prefixes: Texts,
    numbers: [Float64Builder; NUMBERS],
}

impl Columns {
    fn new() -> Self {
        let int64 = || Int64Builder::with_capacity(GROUP_ROWS);
        let texts = || Texts::with_capacity(GROUP_ROWS, 128, 1024);
        Self {
            rows: 0,
            received: TimestampNanosecondBuilder::with_capacity(GROUP_ROWS).with_timezone("UTC"),
            updated: TimestampMillisecondBuilder::with_capacity(GROUP_ROWS).with_timezone("UTC"),
            late_ns: int64(),
            conids: int64(),
            symbols: texts(),
            targets: texts(),
            segments: int64(),
            availabilities: texts(),
            prefixes: texts(),
            numbers: std::array::from_fn(|_| Float64Builder::with_capacity(GROUP_ROWS)),
        }
    }

    #[inline]
    fn push(&mut self, state: &State, received_ns: i64, updated_ms: Option<i64>, late_ns: i64) {
        self.rows += 1;
        self.received.append_value(received_ns);
        self.updated.append_option(updated_ms);
        self.late_ns.append_value(late_ns);
        self.conids.append_value(state.conid);
        self.symbols.append_option(Some(state.symbol.as_str()).filter(|text| !text.is_empty()));
        self.targets.append_option(state.target.as_deref());
        self.segments.append_value(state.segment);
        self.availabilities.append_option(Some(state.availability.as_str()).filter(|text| !text.is_empty()));
        self.prefixes.append_option(state.prefix.map(Prefix::text));
        for (column, number) in self.numbers.iter_mut().zip(state.numbers) {
            column.append_option(number);
        }
    }

    /// The columns in the order of the schema.
    fn finish(mut self) -> Vec<ArrayRef> {
        let mut columns: Vec<ArrayRef> = vec![
            Arc::new(self.received.finish()),
            Arc::new(self.updated.finish()),
            Arc::new(self.late_ns.finish()),
            Arc::new(self.conids.finish()),
            Arc::new(self.symbols.finish()),
            Arc::new(self.targets.finish()),
            Arc::new(self.segments.finish()),
            Arc::new(self.availabilities.finish()),
        ];
        columns.extend(self.numbers.iter_mut().map(|column| Arc::new(column.finish()) as ArrayRef));
        columns.insert(9, Arc::new(self.prefixes.finish()));
        columns
    }
}
