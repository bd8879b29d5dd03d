//! fastwebsockets with sonic-rs, which decodes only the parts of the JSON that a job needs.

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use sonic_rs::{JsonContainerTrait as _, JsonValueTrait as _, LazyValue, Value};

use crate::answer::{Answers, Columns, Latency, Row};
use crate::args::{Args, Job};
use crate::number::parse_number;
use crate::route::{Kind, Route};
use crate::work::Work;
use crate::{Failure, fast};

pub const JOBS: &[Job] = &[Job::Route, Job::Dict, Job::Columns, Job::Latency];

const CRATES: &[&str] = &["fastwebsockets", "sonic-rs", "tokio", "rustls"];

pub fn main(args: &Args) -> Result<(), Failure> {
    match (args.job, &args.stamps) {
        (Job::Latency, Some(stamps)) => fast::run(args, Latency::new(args.frames, stamps.clone(), route), CRATES),
        (Job::Columns, _) => fast::run(args, Tabulate(Columns::new(args.check)), CRATES),
        (Job::Dict, _) => fast::run(args, Decode(Answers::new(args.check)), CRATES),
        _ => fast::run(args, Routes(Answers::new(args.check)), CRATES),
    }
}

/// Finds the route with a lazy `get` of the topic, which skips the text before it and does not read the text after it.
pub fn route(payload: &[u8]) -> Route {
    if payload.is_empty() || payload == b"{}" {
        return Route::of(Kind::Heartbeat);
    }
    match sonic_rs::get(payload, ["topic"]) {
        Ok(topic) => topic.as_str().map_or(Route::of(Kind::Other), Route::of_topic),
        // No topic, not an object, or not JSON. This is rare, so a whole parse may distinguish them.
        Err(_) if sonic_rs::from_slice::<LazyValue>(payload).is_ok() => Route::of(Kind::Other),
        Err(_) => Route::of(Kind::Malformed),
    }
}

struct Routes(Answers);

impl Work<[u8]> for Routes {
    #[inline]
    fn message(&mut self, payload: &[u8]) {
        self.0.route(route(payload));
    }

    fn finish(&mut self) -> Option<u64> {
        self.0.finish()
    }
}

struct Decode(Answers);

impl Work<[u8]> for Decode {
    #[inline]
    fn message(&mut self, payload: &[u8]) {
        let decoded: Option<Value> = sonic_rs::from_slice(payload).ok();
        let object = decoded.as_ref().and_then(Value::as_object);
        self.0.dict(object.map_or(0, sonic_rs::Object::len), |key| {
            let value = object?.get(&key)?;
            value.as_str().map(str::to_owned).or_else(|| value.as_i64().map(|number| number.to_string()))
        });
    }

    fn finish(&mut self) -> Option<u64> {
        self.0.finish()
    }
}

struct Tabulate(Columns);

impl Work<[u8]> for Tabulate {
    #[inline]
    fn message(&mut self, payload: &[u8]) {
        // Borrows from the payload, allocates nothing, and skips every other key.
        if let Ok(quote) = sonic_rs::from_slice::<Quote>(payload)
            && quote.topic.is_market_data
        {
            self.0.push(quote.row());
        }
    }

    fn finish(&mut self) -> Option<u64> {
        self.0.finish()
    }
}

/// The keys of a frame that become columns.
#[derive(Deserialize)]
struct Quote {
    #[serde(default)]
    topic: Topic,
    #[serde(default, rename = "31")]
    last: Number,
    #[serde(default, rename = "84")]
    bid: Number,
    #[serde(default, rename = "85")]
    ask_size: Number,
    #[serde(default, rename = "86")]
    ask: Number,
    #[serde(default, rename = "88")]
    bid_size: Number,
    #[serde(default, rename = "_updated")]
    updated: Number,
}

impl Quote {
    fn row(&self) -> Row {
        [self.last.0, self.bid.0, self.ask_size.0, self.ask.0, self.bid_size.0, self.updated.0]
    }
}

#[derive(Default)]
struct Topic {
    is_market_data: bool,
}

#[derive(Default)]
struct Number(Option<f64>);

/// Creates a `T` from a JSON value; the contents of lists and objects are skipped.
pub trait FromScalar: Default {
    fn from_text(text: &str) -> Self;
    fn from_number(number: f64) -> Self;

    /// From null, a bool, a list or an object.
    fn from_other() -> Self {
        Self::default()
    }
}

impl FromScalar for Topic {
    #[inline]
    fn from_text(text: &str) -> Self {
        Self { is_market_data: Route::of_topic(text).kind == Kind::MarketData }
    }

    fn from_number(_: f64) -> Self {
        Self::default()
    }
}

impl FromScalar for Number {
    #[inline]
    fn from_text(text: &str) -> Self {
        Self(parse_number(text))
    }

    #[inline]
    fn from_number(number: f64) -> Self {
        Self(number.is_finite().then_some(number))
    }
}

impl<'de> Deserialize<'de> for Topic {
    #[inline]
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Scalar::default())
    }
}

impl<'de> Deserialize<'de> for Number {
    #[inline]
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Scalar::default())
    }
}

/// The visitor that creates a `T`.
#[derive(Default)]
pub struct Scalar<T>(std::marker::PhantomData<T>);

impl<'de, T: FromScalar> Visitor<'de> for Scalar<T> {
    type Value = T;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a JSON value")
    }

    #[inline]
    fn visit_str<E: Error>(self, text: &str) -> Result<T, E> {
        Ok(T::from_text(text))
    }

    #[inline]
    fn visit_f64<E: Error>(self, number: f64) -> Result<T, E> {
        Ok(T::from_number(number))
    }

    #[inline]
    #[allow(clippy::cast_precision_loss)] // a column is float64
    fn visit_i64<E: Error>(self, number: i64) -> Result<T, E> {
        Ok(T::from_number(number as f64))
    }

    #[inline]
    #[allow(clippy::cast_precision_loss)] // a column is float64
    fn visit_u64<E: Error>(self, number: u64) -> Result<T, E> {
        Ok(T::from_number(number as f64))
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<T, E> {
        Ok(T::from_other())
    }

    fn visit_unit<E: Error>(self) -> Result<T, E> {
        Ok(T::from_other())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<T, A::Error> {
        while list.next_element::<IgnoredAny>()?.is_some() {}
        Ok(T::from_other())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<T, A::Error> {
        while object.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(T::from_other())
    }
}
