//! A collector of quotes: fastwebsockets and sonic-rs, and the crates arrow and parquet for the files.
//!
//! It has two threads. This one reads the socket, decodes each frame, carries the values of its subscription forward and
//! fills the columns. The other one encodes, compresses and writes them, a row group or four MiB of frames at a time.

mod files;
mod frame;
mod quotes;

use std::cell::Cell;
use std::path::PathBuf;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::mpsc::SyncSender;
use std::task::{Context, Poll};

use fastwebsockets::{FragmentCollector, Frame as Message, OpCode, Payload};
use serde_json::json;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use crate::args::split_url;
use crate::meter::{self, Meter};
use crate::route::{Kind, Route};
use crate::{Failure, fast, runtime, sonic};
use files::{Frames, Group};
use frame::Frame;
use quotes::Quotes;

const CRATES: &[&str] = &["fastwebsockets", "sonic-rs", "tokio", "arrow-array", "parquet"];

/// The command line of every collector of the benchmarks.
pub struct Args {
    host: String,
    port: u16,
    path: String,
    /// The instruments to subscribe to. The sender starts with the last one.
    conids: Vec<i64>,
    /// How many frames come after the subscriptions.
    frames: u64,
    /// The folder for the files.
    out: PathBuf,
}

impl Args {
    /// Parses a command line; prints the errors and exits with 2.
    pub fn parse_or_exit(words: impl Iterator<Item = String>) -> Self {
        match Self::parse(words) {
            Ok(args) => args,
            Err(reason) => {
                eprintln!("{reason}");
                std::process::exit(2);
            }
        }
    }

    fn parse(mut words: impl Iterator<Item = String>) -> Result<Self, String> {
        let (mut url, mut conids, mut frames, mut out) = (None, Vec::new(), None, None);
        while let Some(word) = words.next() {
            let value = words.next().ok_or_else(|| format!("{word} needs a value"))?;
            let no_number = |_| format!("{word} needs numbers");
            match word.as_str() {
                "--url" => url = Some(value),
                "--conids" => conids = value.split(',').map(str::parse).collect::<Result<_, _>>().map_err(no_number)?,
                "--frames" => frames = Some(value.parse().map_err(no_number)?),
                "--out" => out = Some(PathBuf::from(value)),
                _ => return Err(format!("unknown argument {word}")),
            }
        }
        let (Some(url), Some(frames), Some(out), false) = (url, frames, out, conids.is_empty()) else {
            return Err("--url, --conids, --frames and --out are needed".to_owned());
        };
        match split_url(&url) {
            Some((false, host, port, path)) => Ok(Self { host, port, path, conids, frames, out }),
            _ => Err(format!("not ws://HOST:PORT/PATH: {url}")),
        }
    }
}

/// Collects until CLOSE, and prints the result.
///
/// # Errors
/// When the connection fails, or a file cannot be written.
pub fn main(args: &Args) -> Result<(), Failure> {
    let (groups, writer) = files::start(args.out.clone());
    let collected = runtime()?.block_on(collect(args, groups));
    // The thread ends, because the sender of the groups is dropped. If it has failed, that is the cause of other errors.
    writer.join().map_err(|_| "the writer thread has panicked")??;
    let collected = collected?;
    let others = json!({
        "measured": args.frames,
        "loop_cpu_ns": collected.loop_cpu_ns,
        "memory_mb": [collected.memory_mb],
    });
    collected.meter.stop().report_with(collected.frames, CRATES, others);
    Ok(())
}

struct Collected {
    meter: Meter,
    /// All frames, those before the clocks were started included.
    frames: u64,
    loop_cpu_ns: i64,
    /// The memory after half of the frames.
    memory_mb: f64,
}

async fn collect(args: &Args, groups: SyncSender<Group>) -> Result<Collected, Failure> {
    let tcp = TcpStream::connect((args.host.as_str(), args.port)).await?;
    tcp.set_nodelay(true)?;
    let read_ns = Rc::new(Cell::new(0));
    let stream = Stamped { tcp, read_ns: read_ns.clone() };
    let mut socket = fast::upgrade(stream, &args.host, args.port, &args.path).await?;
    let (last, others) = args.conids.split_last().expect("checked by Args");
    for conid in others {
        subscribe(&mut socket, *conid).await?;
    }
    let (meter, loop_ns) = (Meter::start(), meter::thread_cpu_ns());
    subscribe(&mut socket, *last).await?;
    let (mut quotes, mut raw) = (Quotes::new(), Frames::new());
    let (mut frames, mut memory_mb) = (0, 0.0);
    loop {
        let message = socket.read_frame().await?;
        match message.opcode {
            OpCode::Text | OpCode::Binary => {
                let received_ns = read_ns.get();
                let (route, rows) = decode(&message.payload, received_ns, &mut quotes)?;
                if let Some(rows) = rows {
                    groups.send(Group::Rows(rows))?;
                }
                if let Some(full) = raw.push(&message.payload, route, received_ns)? {
                    groups.send(Group::Frames(full))?;
                }
                frames += 1;
                if frames == args.frames / 2 {
                    memory_mb = meter::memory_mb();
                }
            }
            OpCode::Close => break,
            OpCode::Ping => socket.write_frame(Message::pong(message.payload)).await?,
            OpCode::Pong | OpCode::Continuation => {}
        }
    }
    if let Some(rows) = quotes.take()? {
        groups.send(Group::Rows(rows))?;
    }
    groups.send(Group::Frames(raw.take()?))?;
    Ok(Collected { meter, frames, loop_cpu_ns: meter::thread_cpu_ns() - loop_ns, memory_mb })
}

async fn subscribe(socket: &mut FragmentCollector<Stamped>, conid: i64) -> Result<(), Failure> {
    let text = format!(r#"smd+{conid}+{{"fields":["31","84","86","85","88","87"]}}"#);
    Ok(socket.write_frame(Message::text(Payload::Owned(text.into_bytes()))).await?)
}

/// Adds the row of a frame, if it is market data, and returns its route and the row group that it completes.
#[inline]
fn decode(
    payload: &[u8],
    received_ns: i64,
    quotes: &mut Quotes,
) -> Result<(Route, Option<arrow_array::RecordBatch>), Failure> {
    // A frame whose members have other types has no row.
    let Ok(frame) = sonic_rs::from_slice::<Frame>(payload) else {
        return Ok((sonic::route(payload), None));
    };
    let Some(target) = frame.topic.strip_prefix("smd+") else {
        return Ok((sonic::route(payload), None));
    };
    let route = Route { kind: Kind::MarketData, conid: quotes::conid_of(target) };
    Ok((route, quotes.push(target, &frame, received_ns)?))
}

/// A TCP stream that notes the time of each read.
struct Stamped {
    tcp: TcpStream,
    read_ns: Rc<Cell<i64>>,
}

impl AsyncRead for Stamped {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context, buffer: &mut ReadBuf) -> Poll<std::io::Result<()>> {
        let polled = Pin::new(&mut self.tcp).poll_read(context, buffer);
        if polled.is_ready() {
            self.read_ns.set(meter::epoch_ns());
        }
        polled
    }
}

impl AsyncWrite for Stamped {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context, bytes: &[u8]) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.tcp).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.tcp).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.tcp).poll_shutdown(context)
    }
}
