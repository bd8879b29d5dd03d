//! The members of a frame that become columns, read in one pass with sonic-rs.

use std::borrow::Cow;

use serde::{Deserialize, Deserializer};

use crate::number::parse_number;
use crate::sonic::{FromScalar, Scalar};

/// The number of fields with a number.
pub const NUMBERS: usize = 6;

/// A frame; texts are borrowed from it, and a text that it does not have is empty.
#[derive(Deserialize)]
pub struct Frame<'a> {
    #[serde(borrow, default)]
    pub topic: Cow<'a, str>,
    #[serde(borrow, default, rename = "55")]
    pub symbol: Cow<'a, str>,
    #[serde(borrow, default, rename = "6509")]
    pub availability: Cow<'a, str>,
    /// The event time in ms since the Unix epoch.
    #[serde(default, rename = "_updated")]
    pub updated_ms: Option<i64>,
    #[serde(default, rename = "31")]
    last: Field,
    #[serde(default, rename = "84")]
    bid: Field,
    #[serde(default, rename = "86")]
    ask: Field,
    #[serde(default, rename = "85")]
    ask_size: Field,
    #[serde(default, rename = "88")]
    bid_size: Field,
    #[serde(default, rename = "87")]
    volume: Field,
}

impl Frame<'_> {
    /// The fields in the order of their columns; the last price is the first one.
    pub fn fields(&self) -> [Field; NUMBERS] {
        [self.last, self.bid, self.ask, self.ask_size, self.bid_size, self.volume]
    }
}

/// One field with a number.
#[derive(Clone, Copy, Default)]
pub enum Field {
    /// The frame does not have it: the value before is still the value.
    #[default]
    Absent,
    /// The frame has it without a number, such as `N/A`: there is no value any more.
    Empty,
    /// A number, and the letter before it, if it has one.
    Number(f64, Option<Prefix>),
}

/// The letter before a last price.
#[derive(Clone, Copy, PartialEq)]
pub enum Prefix {
    PriorClose,
    Halted,
}

impl Prefix {
    pub const fn text(self) -> &'static str {
        match self {
            Self::PriorClose => "C",
            Self::Halted => "H",
        }
    }
}

impl FromScalar for Field {
    #[inline]
    fn from_text(text: &str) -> Self {
        let prefix = match text.as_bytes().first() {
            Some(b'C') => Some(Prefix::PriorClose),
            Some(b'H') => Some(Prefix::Halted),
            _ => None,
        };
        parse_number(text).map_or(Self::Empty, |number| Self::Number(number, prefix))
    }

    fn from_number(number: f64) -> Self {
        if number.is_finite() { Self::Number(number, None) } else { Self::Empty }
    }

    fn from_other() -> Self {
        Self::Empty
    }
}

impl<'de> Deserialize<'de> for Field {
    #[inline]
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Scalar::default())
    }
}
