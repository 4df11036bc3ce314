//! Amounts: whole minor units inside, decimal strings on the wire.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The currencies that are accepted (ISO 4217).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[expect(missing_docs, reason = "the codes of ISO 4217 are their own documentation")]
pub enum Currency {
    Aud,
    Cad,
    Chf,
    Eur,
    Gbp,
    Jpy,
    Sek,
    Usd,
}

impl Currency {
    /// All of them, in the order of their codes.
    pub const ALL: [Self; 8] =
        [Self::Aud, Self::Cad, Self::Chf, Self::Eur, Self::Gbp, Self::Jpy, Self::Sek, Self::Usd];

    /// The three letters.
    pub fn code(self) -> &'static str {
        match self {
            Self::Aud => "AUD",
            Self::Cad => "CAD",
            Self::Chf => "CHF",
            Self::Eur => "EUR",
            Self::Gbp => "GBP",
            Self::Jpy => "JPY",
            Self::Sek => "SEK",
            Self::Usd => "USD",
        }
    }

    /// Digits after the point.
    pub fn exponent(self) -> u32 {
        if self == Self::Jpy { 0 } else { 2 }
    }
}

impl fmt::Display for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

impl FromStr for Currency {
    type Err = MoneyError;

    fn from_str(code: &str) -> Result<Self, MoneyError> {
        Self::ALL.into_iter().find(|currency| currency.code() == code).ok_or(MoneyError::UnknownCurrency)
    }
}

/// A positive amount of one currency.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Money {
    minor: i64,
    currency: Currency,
}

/// Why a text or a number is not an amount.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MoneyError {
    /// Not one of [`Currency::ALL`].
    #[error("is not a currency that is accepted")]
    UnknownCurrency,
    /// Not digits, optionally with a point and more digits.
    #[error("must be a decimal string such as \"49.99\"")]
    NotDecimal,
    /// More digits after the point than the currency has.
    #[error("has more decimal places than the currency")]
    TooPrecise,
    /// Zero.
    #[error("must be greater than zero")]
    NotPositive,
    /// Above [`Money::LIMIT`].
    #[error("is larger than any order can be")]
    TooLarge,
}

impl Money {
    /// The largest amount that is representable, in minor units: a trillion, so that sums can't overflow.
    pub const LIMIT: i64 = 1_000_000_000_000;

    /// An amount in minor units, cents for most currencies.
    ///
    /// # Errors
    /// When it is not positive, or above [`Money::LIMIT`].
    pub fn from_minor(minor: i64, currency: Currency) -> Result<Self, MoneyError> {
        match minor {
            ..=0 => Err(MoneyError::NotPositive),
            1..=Self::LIMIT => Ok(Self { minor, currency }),
            _ => Err(MoneyError::TooLarge),
        }
    }

    /// Reads a decimal string: `"49.99"`, `"50"`. No sign, no exponent, no blanks, ASCII digits only.
    ///
    /// # Errors
    /// When `text` is not a decimal string, or not an amount of `currency`.
    pub fn parse(text: &str, currency: Currency) -> Result<Self, MoneyError> {
        let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
        let is_number = |digits: &str| !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
        if !is_number(whole) || !is_number(fraction) {
            return Err(MoneyError::NotDecimal);
        }
        let places = currency.exponent() as usize;
        let fraction = if text.contains('.') { fraction } else { "" };
        if fraction.len() > places {
            return Err(MoneyError::TooPrecise);
        }
        let digits = format!("{whole}{fraction:0<places$}");
        let minor = digits.parse().map_err(|_| MoneyError::TooLarge)?;
        Self::from_minor(minor, currency)
    }

    /// `quantity` times this amount.
    ///
    /// # Errors
    /// When the product is above [`Money::LIMIT`], or `quantity` is 0.
    pub fn times(self, quantity: u32) -> Result<Self, MoneyError> {
        let minor = self.minor.checked_mul(i64::from(quantity)).ok_or(MoneyError::TooLarge)?;
        Self::from_minor(minor, self.currency)
    }

    /// This amount and `other`, of the same currency.
    ///
    /// # Errors
    /// When the sum is above [`Money::LIMIT`].
    pub fn plus(self, other: Self) -> Result<Self, MoneyError> {
        Self::from_minor(self.minor + other.minor, self.currency)
    }

    /// The amount in minor units.
    pub fn minor(self) -> i64 {
        self.minor
    }

    /// The currency.
    pub fn currency(self) -> Currency {
        self.currency
    }
}

/// The decimal string, without the currency: `99.99`.
impl fmt::Display for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let places = self.currency.exponent();
        let unit = 10_i64.pow(places);
        write!(f, "{}", self.minor / unit)?;
        if places > 0 {
            write!(f, ".{:0width$}", self.minor % unit, width = places as usize)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimal_strings_become_minor_units_and_back() {
        for (text, currency, minor, printed) in [
            ("99.99", Currency::Usd, 9999, "99.99"),
            ("50", Currency::Eur, 5000, "50.00"),
            ("0.5", Currency::Gbp, 50, "0.50"),
            ("0.01", Currency::Chf, 1, "0.01"),
            ("500", Currency::Jpy, 500, "500"),
            ("007.10", Currency::Usd, 710, "7.10"),
        ] {
            let money = Money::parse(text, currency).unwrap();
            assert_eq!((money.minor(), money.to_string().as_str()), (minor, printed), "{text}");
        }
    }

    #[test]
    fn a_text_that_is_not_an_amount_has_its_reason() {
        for (text, currency, error) in [
            ("", Currency::Usd, MoneyError::NotDecimal),
            ("-1", Currency::Usd, MoneyError::NotDecimal),
            ("1e3", Currency::Usd, MoneyError::NotDecimal),
            (" 1", Currency::Usd, MoneyError::NotDecimal),
            ("1.", Currency::Usd, MoneyError::NotDecimal),
            (".5", Currency::Usd, MoneyError::NotDecimal),
            ("1,50", Currency::Usd, MoneyError::NotDecimal),
            ("１", Currency::Usd, MoneyError::NotDecimal),
            ("NaN", Currency::Usd, MoneyError::NotDecimal),
            ("1.999", Currency::Usd, MoneyError::TooPrecise),
            ("1.0", Currency::Jpy, MoneyError::TooPrecise),
            ("0", Currency::Usd, MoneyError::NotPositive),
            ("0.00", Currency::Usd, MoneyError::NotPositive),
            ("10000000000.01", Currency::Usd, MoneyError::TooLarge),
            ("99999999999999999999", Currency::Usd, MoneyError::TooLarge),
        ] {
            assert_eq!(Money::parse(text, currency), Err(error), "{text}");
        }
    }

    #[test]
    fn products_and_sums_stop_at_the_limit() {
        let large = Money::from_minor(Money::LIMIT, Currency::Usd).unwrap();
        assert_eq!(large.times(u32::MAX), Err(MoneyError::TooLarge));
        assert_eq!(large.plus(large), Err(MoneyError::TooLarge));
        assert_eq!(large.times(0), Err(MoneyError::NotPositive));
    }
}
