//! The writer thread: row groups to Parquet files, and frames to an Arrow IPC stream.

use std::fs::File;
use std::io::BufWriter;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{self, JoinHandle};

use arrow_array::RecordBatch;
use arrow_array::builder::{BinaryBuilder, Int64Builder, UInt8Builder};
use arrow_ipc::CompressionType;
use arrow_ipc::writer::{IpcWriteOptions, StreamWriter};
use arrow_schema::{ArrowError, DataType, Field as Column, Schema, SchemaRef};
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::file::properties::{EnabledStatistics, WriterProperties};

use super::quotes;
use crate::Failure;
use crate::route::Route;

/// The number of rows after which a Parquet file is finished.
const FILE_ROWS: usize = 1_000_000;

/// The number of payload bytes in one message of the capture.
const MESSAGE_BYTES: usize = 2 * 1024 * 1024;

/// The level of zstd in the Parquet files: the default of Arrow C++.
const ZSTD_LEVEL: i32 = 1;

/// How many groups may wait for the thread. A full queue stops the reading of the socket.
const MOST_WAITING: usize = 4;

/// What the thread writes.
pub enum Group {
    Rows(RecordBatch),
    Frames(RecordBatch),
}

/// Starts the thread, which ends when the sender is dropped, and finishes the files then.
pub fn start(folder: PathBuf) -> (SyncSender<Group>, JoinHandle<Result<(), Failure>>) {
    let (sender, receiver) = sync_channel(MOST_WAITING);
    (sender, thread::spawn(move || write(&receiver, &folder)))
}

fn write(groups: &Receiver<Group>, folder: &Path) -> Result<(), Failure> {
    let options = IpcWriteOptions::default().try_with_compression(Some(CompressionType::LZ4_FRAME))?;
    let file = BufWriter::with_capacity(MESSAGE_BYTES, File::create_new(folder.join("capture-1.arrows"))?);
    let mut capture = StreamWriter::try_new_with_options(file, &capture_schema(), options)?;
    let mut tables = Tables::new(folder);
    for group in groups {
        match group {
            Group::Rows(rows) => tables.write(&rows)?,
            Group::Frames(frames) => capture.write(&frames)?,
        }
    }
    tables.finish()?;
    capture.finish()?;
    capture.into_inner()?.into_inner()?.sync_all()?;
    Ok(())
}

/// The Parquet files. An unfinished file has the suffix `.part`.
struct Tables<'a> {
    folder: &'a Path,
    properties: WriterProperties,
    count: usize,
    rows: usize,
    open: Option<(ArrowWriter<File>, PathBuf)>,
}

impl<'a> Tables<'a> {
    fn new(folder: &'a Path) -> Self {
        // As `collect` writes them: statistics of row groups, of the columns by which readers select rows, and times as
        // differences.
        let mut properties = WriterProperties::builder()
            .set_compression(Compression::ZSTD(ZstdLevel::try_new(ZSTD_LEVEL).expect("a level of zstd")))
            .set_statistics_enabled(EnabledStatistics::None)
            .set_offset_index_disabled(true)
            .set_max_row_group_row_count(Some(quotes::GROUP_ROWS));
        for name in ["received", "updated", "conid"] {
            properties = properties.set_column_statistics_enabled(name.into(), EnabledStatistics::Chunk);
        }
        for name in ["received", "updated"] {
            properties = properties
                .set_column_dictionary_enabled(name.into(), false)
                .set_column_encoding(name.into(), Encoding::DELTA_BINARY_PACKED);
        }
        Self { folder, properties: properties.build(), count: 0, rows: 0, open: None }
    }

    fn write(&mut self, group: &RecordBatch) -> Result<(), Failure> {
        if self.open.is_none() {
            self.count += 1;
            let path = self.folder.join(format!("quotes-{:06}.parquet", self.count));
            let file = File::create_new(path.with_extension("part"))?;
            self.open = Some((ArrowWriter::try_new(file, group.schema(), Some(self.properties.clone()))?, path));
        }
        let (writer, _) = self.open.as_mut().expect("opened above");
        writer.write(group)?;
        writer.flush()?;
        self.rows += group.num_rows();
        if self.rows >= FILE_ROWS { self.finish() } else { Ok(()) }
    }

    fn finish(&mut self) -> Result<(), Failure> {
        self.rows = 0;
        if let Some((writer, path)) = self.open.take() {
            writer.into_inner()?.sync_all()?;
            std::fs::rename(path.with_extension("part"), path)?;
        }
        Ok(())
    }
}

fn capture_schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Column::new("received_ns", DataType::Int64, false),
        Column::new("kind", DataType::UInt8, false),
        Column::new("conid", DataType::Int64, false),
        Column::new("raw", DataType::Binary, false),
    ]))
}

/// The frames that are not in a message of the capture yet.
pub struct Frames {
    schema: SchemaRef,
    received_ns: Int64Builder,
    kinds: UInt8Builder,
    conids: Int64Builder,
    raw: BinaryBuilder,
    nbytes: usize,
}

impl Frames {
    pub fn new() -> Self {
        const FRAMES: usize = MESSAGE_BYTES / 128;
        Self {
            schema: capture_schema(),
            received_ns: Int64Builder::with_capacity(FRAMES),
            kinds: UInt8Builder::with_capacity(FRAMES),
            conids: Int64Builder::with_capacity(FRAMES),
            raw: BinaryBuilder::with_capacity(FRAMES, MESSAGE_BYTES + MESSAGE_BYTES / 8),
            nbytes: 0,
        }
    }

    /// Adds a frame, and returns the message that it completes.
    ///
    /// # Errors
    /// When Arrow refuses the columns.
    #[inline]
    pub fn push(&mut self, payload: &[u8], route: Route, received_ns: i64) -> Result<Option<RecordBatch>, ArrowError> {
        self.received_ns.append_value(received_ns);
        self.kinds.append_value(route.kind as u8);
        self.conids.append_value(route.conid);
        self.raw.append_value(payload);
        self.nbytes += payload.len();
        if self.nbytes >= MESSAGE_BYTES { self.take().map(Some) } else { Ok(None) }
    }

    /// Returns the frames that are not in a message yet.
    ///
    /// # Errors
    /// When Arrow refuses the columns.
    pub fn take(&mut self) -> Result<RecordBatch, ArrowError> {
        let mut full = std::mem::replace(self, Self::new());
        let raw = full.raw.finish();
        let columns: Vec<arrow_array::ArrayRef> = vec![
            Arc::new(full.received_ns.finish()),
            Arc::new(full.kinds.finish()),
            Arc::new(full.conids.finish()),
            Arc::new(raw),
        ];
        RecordBatch::try_new(full.schema, columns)
    }
}
