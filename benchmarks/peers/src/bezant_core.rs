//! bezant-core as it ships: `Client::builder`, `WsClient::connect`, `next_message`.
//!
//! It requests /tickle first, and the benchmarks' sender replies on the same port. It offers no way to tune its socket.

use bezant::{Client, WsClient, WsMessage};
use serde_json::Value;

use crate::answer::{Answers, Columns, FIELDS, Latency};
use crate::args::{Args, Job};
use crate::meter::Meter;
use crate::number::parse_number;
use crate::route::{Kind, Route};
use crate::work::Work;
use crate::{Failure, runtime};

pub const JOBS: &[Job] = &[Job::Route, Job::Dict, Job::Columns, Job::Latency];

const CRATES: &[&str] = &["bezant-core", "tokio-tungstenite", "serde_json", "reqwest", "tokio", "rustls"];

pub fn main(args: &Args) -> Result<(), Failure> {
    if let Some(cafile) = &args.cafile {
        // Its REST client can accept any certificate; its WebSocket trusts only the system's store, which this
        // variable names.
        // SAFETY: no other thread of this process runs yet.
        unsafe { std::env::set_var("SSL_CERT_FILE", cafile) };
    }
    match (args.job, &args.stamps) {
        (Job::Latency, Some(stamps)) => run(args, Latency::new(args.frames, stamps.clone(), route)),
        (Job::Columns, _) => run(args, Tabulate(Columns::new(args.check))),
        (Job::Dict, _) => run(args, Decode(Answers::new(args.check))),
        _ => run(args, Routes(Answers::new(args.check))),
    }
}

fn run(args: &Args, mut work: impl Work<WsMessage>) -> Result<(), Failure> {
    let scheme = if args.tls { "https" } else { "http" };
    let path = args.path.strip_suffix("/ws").ok_or("bezant connects to .../ws")?;
    let client = Client::builder(format!("{scheme}://{}:{}{path}", args.host, args.port)).build()?;
    runtime()?.block_on(async {
        let mut socket = WsClient::connect(&client).await?;
        let mut frames = 0;
        let meter = Meter::start();
        socket.send_text("go".to_owned()).await?;
        while let Some(message) = socket.next_message().await? {
            work.message(&message);
            frames += 1;
        }
        meter.stop().report(frames, work.finish(), CRATES);
        Ok(())
    })
}

/// The route that bezant found, in its own terms.
fn route(message: &WsMessage) -> Route {
    match message {
        WsMessage::MarketData { conid, .. } => Route { kind: Kind::MarketData, conid: *conid },
        WsMessage::Heartbeat => Route::of(Kind::Heartbeat),
        WsMessage::System(_) => Route::of(Kind::System),
        WsMessage::Order(_) => Route::of(Kind::Order),
        WsMessage::Pnl(_) => Route::of(Kind::Pnl),
        WsMessage::Malformed { .. } => Route::of(Kind::Malformed),
        _ => Route::of(Kind::Other),
    }
}

/// The same in the common dialect, which differs only for frames that are not sent: `ssl`, and conids with a sign.
fn common_route(message: &WsMessage) -> Route {
    match message.as_value().and_then(|value| value.get("topic")).and_then(Value::as_str) {
        Some(topic) => Route::of_topic(topic),
        None => route(message),
    }
}

struct Routes(Answers);

impl Work<WsMessage> for Routes {
    #[inline]
    fn message(&mut self, message: &WsMessage) {
        let route = if self.0.checks() { common_route(message) } else { route(message) };
        self.0.route(route);
    }

    fn finish(&mut self) -> Option<u64> {
        self.0.finish()
    }
}

struct Decode(Answers);

impl Work<WsMessage> for Decode {
    #[inline]
    fn message(&mut self, message: &WsMessage) {
        let object = message.as_value().and_then(Value::as_object);
        self.0.dict(object.map_or(0, serde_json::Map::len), |key| {
            let value = object?.get(key)?;
            value.as_str().map(str::to_owned).or_else(|| value.as_i64().map(|number| number.to_string()))
        });
    }

    fn finish(&mut self) -> Option<u64> {
        self.0.finish()
    }
}

struct Tabulate(Columns);

impl Work<WsMessage> for Tabulate {
    #[inline]
    fn message(&mut self, message: &WsMessage) {
        if let WsMessage::MarketData { payload, .. } = message {
            self.0.push(FIELDS.map(|field| match payload.get(field)? {
                Value::String(text) => parse_number(text),
                Value::Number(number) => number.as_f64(),
                _ => None,
            }));
        }
    }

    fn finish(&mut self) -> Option<u64> {
        self.0.finish()
    }
}
