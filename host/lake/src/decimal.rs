//! Decimal numbers of any length, compared exactly.
//!
//! Does not calculate, and does not say how a number is written.

use std::cmp::Ordering;

/// A decimal number of any length, compared exactly: 0.DIGITS × 10^POINT with a digit other than 0 in front, or zero.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decimal {
    negative: bool,
    point: i64,
    /// Without leading and trailing zeros; empty is zero.
    digits: String,
}

impl Decimal {
    /// A number as JSON writes it, and also `+1`, `.5`, `5.` and zeros in front, which CSV has.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let negative = text.starts_with('-');
        let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
        let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
            Some((mantissa, exponent)) => (mantissa, exponent),
            None => (unsigned, "0"),
        };
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let are_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        let shift = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
        let well_formed = are_digits(whole) && are_digits(fraction) && !(whole.is_empty() && fraction.is_empty());
        if !well_formed || shift.is_empty() || !are_digits(shift) {
            return None;
        }
        // No text is long enough to tell exponents beyond that apart.
        let extreme = if exponent.starts_with('-') { i64::MIN / 2 } else { i64::MAX / 2 };
        let shift = exponent.parse::<i64>().unwrap_or(extreme).clamp(i64::MIN / 2, i64::MAX / 2);
        let all = format!("{whole}{fraction}");
        let leading = all.len() - all.trim_start_matches('0').len();
        let digits = all.trim_matches('0').to_owned();
        if digits.is_empty() {
            return Some(Decimal { negative: false, point: 0, digits });
        }
        let point = i64::try_from(whole.len()).ok()? - i64::try_from(leading).ok()? + shift;
        Some(Decimal { negative, point, digits })
    }

    fn sign(&self) -> i8 {
        match (self.digits.is_empty(), self.negative) {
            (true, _) => 0,
            (false, true) => -1,
            (false, false) => 1,
        }
    }
}

impl PartialOrd for Decimal {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Decimal {
    fn cmp(&self, other: &Self) -> Ordering {
        let signs = self.sign().cmp(&other.sign());
        if signs != Ordering::Equal {
            return signs;
        }
        // Digits have no trailing zeros: of two that begin alike the longer is the larger, as in a comparison of texts.
        let size = self.point.cmp(&other.point).then_with(|| self.digits.cmp(&other.digits));
        if self.negative { size.reverse() } else { size }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_worth_the_same_is_equal_and_no_digit_is_lost() {
        let of = |text| Decimal::parse(text).unwrap();
        assert_eq!(of("1.10"), of("11e-1"));
        assert_ne!(of("0.12345678901234567890"), of("0.12345678901234567891"));
        assert!(of("1e99999999999999999999") > of("1e400") && of("-1e99999999999999999999") < of("0"));
        for text in ["", "-", ".", "e5", "1e", "0x1", "inf", "NaN", "1 2", "--1"] {
            assert_eq!(Decimal::parse(text), None, "{text}");
        }
    }
}
