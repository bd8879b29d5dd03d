//! The route of a frame: its kind, and the conid of market data.

/// The kinds that all contenders distinguish: the `common` dialect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    Heartbeat = 0,
    System = 1,
    MarketData = 2,
    Order = 3,
    Pnl = 4,
    Other = 5,
    Malformed = 6,
}

/// A frame's route: its kind, and the conid of market data, else -1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Route {
    pub kind: Kind,
    pub conid: i64,
}

impl Route {
    /// A route without a conid.
    pub const fn of(kind: Kind) -> Self {
        Self { kind, conid: -1 }
    }

    /// The route of a frame with this topic.
    #[inline]
    pub fn of_topic(topic: &str) -> Self {
        if let Some(target) = topic.strip_prefix("smd+") {
            // `parse` would accept a sign, which a conid does not have.
            let conid = target.parse().ok().filter(|_| target.as_bytes()[0].is_ascii_digit());
            return conid.map_or(Self::of(Kind::Other), |conid| Self { kind: Kind::MarketData, conid });
        }
        Self::of(match topic {
            "system" => Kind::System,
            "sor" | "ortd" | "ord" => Kind::Order,
            "spl" | "pnl" | "ssd" => Kind::Pnl,
            _ => Kind::Other,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{Kind, Route};

    #[test]
    fn routes_of_the_common_dialect() {
        let market_data = |conid| Route { kind: Kind::MarketData, conid };
        for (topic, route) in [
            ("smd+265598", market_data(265_598)),
            ("smd+0", market_data(0)),
            ("smd+9223372036854775807", market_data(i64::MAX)),
            ("smd+9223372036854775808", Route::of(Kind::Other)),
            ("smd+-5", Route::of(Kind::Other)),
            ("smd++5", Route::of(Kind::Other)),
            ("smd+", Route::of(Kind::Other)),
            ("smd+265598@NYSE", Route::of(Kind::Other)),
            ("system", Route::of(Kind::System)),
            ("sor", Route::of(Kind::Order)),
            ("ssd", Route::of(Kind::Pnl)),
            ("ssd+DU1234567", Route::of(Kind::Other)),
            ("sld", Route::of(Kind::Other)),
            ("ssl", Route::of(Kind::Other)),
            ("", Route::of(Kind::Other)),
        ] {
            assert_eq!(Route::of_topic(topic), route, "{topic}");
        }
    }
}
