//! Converts numbers in the gateway's format, such as `C4,735.10` or `12.2M`, to the nearest float64.
//!
//! The forms are those of `cpapi_fast.protocol.numbers`:
//!
//! ```text
//! [C|H] [+|-] digits [, groups of three] [. digits] [e exponent | K | M | B] [%]
//! ```

/// Powers of ten that a float64 holds exactly.
const EXACT_POWERS: [f64; 23] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20,
    1e21, 1e22,
];

/// Returns the number in `text`; None if it is not a number or not finite.
///
/// One pass checks the form and gathers the digits. A mantissa below 2^53 and a power of ten up to 22 are both exact, so
/// one division or multiplication rounds once and correctly; longer numbers go to the standard library.
#[inline]
pub fn parse_number(text: &str) -> Option<f64> {
    let bytes = text.as_bytes();
    let mut at = usize::from(matches!(bytes.first(), Some(b'C' | b'H')));
    let negative = bytes.get(at) == Some(&b'-');
    at += usize::from(matches!(bytes.get(at), Some(b'+' | b'-')));

    let mut mantissa = 0_u64;
    let mut digits = 0_usize;
    let mut take = |from: usize| {
        let mut end = from;
        while let Some(digit) = bytes.get(end).map(|byte| byte.wrapping_sub(b'0')).filter(|digit| *digit < 10) {
            mantissa = mantissa.wrapping_mul(10).wrapping_add(u64::from(digit));
            end += 1;
        }
        digits += end - from;
        end
    };

    let whole = at;
    at = take(whole);
    if bytes.get(at) == Some(&b',') {
        if !(1..=3).contains(&(at - whole)) {
            return None;
        }
        while bytes.get(at) == Some(&b',') {
            let group = at + 1;
            at = take(group);
            if at - group != 3 {
                return None;
            }
        }
    }
    let has_whole = at > whole;
    let mut exponent = 0_i32;
    if bytes.get(at) == Some(&b'.') {
        let fraction = at + 1;
        at = take(fraction);
        if !has_whole && at == fraction {
            return None;
        }
        exponent = -i32::try_from(at - fraction).ok()?;
    } else if !has_whole {
        return None;
    }

    let number_end = at;
    let mut scale = 0;
    let mut has_exponent = false;
    match bytes.get(at) {
        Some(b'K') => scale = 3,
        Some(b'M') => scale = 6,
        Some(b'B') => scale = 9,
        Some(b'e' | b'E') => {
            let sign = usize::from(matches!(bytes.get(at + 1), Some(b'+' | b'-')));
            let power = at + 1 + sign;
            at = power + bytes[power..].iter().take_while(|byte| byte.is_ascii_digit()).count();
            if at == power {
                return None;
            }
            has_exponent = true;
        }
        _ => {}
    }
    at += usize::from(scale > 0);
    let exponent_end = at;
    at += usize::from(bytes.get(at) == Some(&b'%'));
    if at != bytes.len() {
        return None;
    }

    exponent += scale;
    let power = usize::try_from(exponent.unsigned_abs()).ok()?;
    if !has_exponent && digits <= 19 && mantissa < 1 << 53 && power < EXACT_POWERS.len() {
        #[allow(clippy::cast_precision_loss)] // below 2^53, so it is exact
        let exact = mantissa as f64;
        let value = if exponent < 0 { exact / EXACT_POWERS[power] } else { exact * EXACT_POWERS[power] };
        return Some(if negative { -value } else { value });
    }
    let power = if has_exponent { text[number_end..exponent_end].to_owned() } else { format!("e{scale}") };
    let plain = text[whole..number_end].replace(',', "") + &power;
    let value: f64 = plain.parse().ok()?;
    value.is_finite().then_some(if negative { -value } else { value })
}

#[cfg(test)]
mod tests {
    use super::parse_number;

    #[test]
    fn every_documented_form() {
        for (text, value) in [
            ("169.36", 169.36),
            ("C4,735.10", 4735.10),
            ("H-1,234,567.5", -1_234_567.5),
            ("+.5", 0.5),
            ("5.", 5.0),
            ("12.2M", 12_200_000.0),
            ("1.0050K", 1005.0),
            ("3B", 3e9),
            ("0.54%", 0.54),
            ("1e-3", 0.001),
            ("1,234E+2%", 123_400.0),
            ("0.1234567890123456789", 0.123_456_789_012_345_68),
            ("9007199254740993", 9_007_199_254_740_992.0),
            ("99999999999999999999999", 1e23),
        ] {
            assert_eq!(parse_number(text), Some(value), "{text}");
        }
        assert!(parse_number("-0").is_some_and(|zero| zero == 0.0 && zero.is_sign_negative()));
    }

    #[test]
    fn no_number_is_none() {
        for text in [
            "", "C", "-", ".", "N/A", "1,30", "1234,567", "123,4567", ",123", "1,234,", "1e", "1K%x", "e5", "1MK",
            "1e400", "1 ", " 1", "--1", "CH1", "٣",
        ] {
            assert_eq!(parse_number(text), None, "{text}");
        }
    }
}
