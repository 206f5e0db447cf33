//! Exact money and rates: one fixed-scale decimal, never a float (contract, protocol 4.4 and 4.5).
//! A value is a whole number of units of 10⁻¹², so sums are integer sums, and the text of a client
//! is taken to the last digit or refused. Reading text is linear in its length, whatever exponent
//! it carries; writing text needs no heap.

use std::fmt;
use std::ops::Neg;
use std::str::FromStr;

/// Units in one whole: 10^[`Decimal::FRACTION_DIGITS`].
const UNITS_PER_ONE: u64 = 1_000_000_000_000;
/// The largest magnitude in units: 10²⁶ wholes.
const UNITS_MAX: i128 = 100_000_000_000_000_000_000_000_000_000_000_000_000;
/// What every value out of range is saturated to, with its sign.
const UNITS_BEYOND: i128 = UNITS_MAX + 1;
/// Digits of [`UNITS_MAX`]. A number with more before its point is out of range without reading it.
const UNITS_DIGITS_MAX: usize = 39;
/// The longest text of a value: sign, 26 whole digits, point, 12 fraction digits. (The one value
/// with 27 whole digits, ±10²⁶, has a single fraction digit.)
pub const TEXT_LEN_MAX: usize = 40;

/// An exact decimal with 12 fraction digits, from −10²⁶ to 10²⁶ inclusive.
///
/// Contract, protocol 4.4 and 4.5.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Decimal(i128);

/// Why a text is not a [`Decimal`]. The texts are the contract's messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecimalError {
    /// The text does not follow the grammar of [`Decimal::parse`].
    #[error("is not a number")]
    NotANumber,
    /// In range, but finer than 10⁻¹².
    #[error("has too many decimal places")]
    TooManyDecimalPlaces,
    /// Above [`Decimal::MAX`].
    #[error("must be less than or equal to 100000000000000000000000000")]
    AboveMaximum,
    /// Below [`Decimal::MIN`].
    #[error("must be greater than or equal to -100000000000000000000000000")]
    BelowMinimum,
}

/// The text does not follow the grammar of [`Decimal::parse`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("is not a number")]
pub struct NotANumber;

/// Why a text is not an integer. The texts are the contract's messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IntegerError {
    /// The text does not follow the grammar of [`Decimal::parse`].
    #[error("is not a number")]
    NotANumber,
    /// A number with a fraction.
    #[error("must be an integer")]
    NotAnInteger,
}

/// Where a number of any size and fineness lies among the decimals, so that a filter can compare
/// stored values with it mathematically.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Located {
    /// ⌊value · 10¹²⌋. A value outside the range of [`Decimal`] is saturated at ±(10³⁸ + 1), one
    /// unit beyond every decimal.
    pub units: i128,
    /// Whether a decimal of exactly this value exists. False for every value out of range.
    pub exact: bool,
}

impl Decimal {
    /// Digits after the point.
    pub const FRACTION_DIGITS: u32 = 12;
    /// 0.
    pub const ZERO: Decimal = Decimal(0);
    /// 100, the whole in percent.
    pub const HUNDRED: Decimal = Decimal::from_int(100);
    /// 10²⁶.
    pub const MAX: Decimal = Decimal(UNITS_MAX);
    /// −10²⁶.
    pub const MIN: Decimal = Decimal(-UNITS_MAX);

    /// A whole number. Every `i64` is in range.
    #[must_use]
    pub const fn from_int(whole: i64) -> Decimal {
        Decimal(whole as i128 * UNITS_PER_ONE as i128)
    }

    /// The value of a number of units of 10⁻¹², or `None` outside ±10³⁸ units.
    #[must_use]
    pub const fn from_units(units: i128) -> Option<Decimal> {
        if units < -UNITS_MAX || units > UNITS_MAX { None } else { Some(Decimal(units)) }
    }

    /// The value in units of 10⁻¹²: within ±10³⁸.
    #[must_use]
    pub const fn units(self) -> i128 {
        self.0
    }

    /// The exact sum, or `None` when it is out of range.
    #[must_use]
    pub fn checked_add(self, other: Decimal) -> Option<Decimal> {
        self.0.checked_add(other.0).and_then(Decimal::from_units)
    }

    /// The exact difference, or `None` when it is out of range.
    #[must_use]
    pub fn checked_sub(self, other: Decimal) -> Option<Decimal> {
        self.0.checked_sub(other.0).and_then(Decimal::from_units)
    }

    /// Reads a number exactly, or says why it cannot be kept (contract, protocol 4.5).
    ///
    /// Blanks (space, tab, newline) may surround an optional sign, `digits[.digits]` or `.digits`,
    /// and an optional exponent. One underscore may stand between two digits. Zeros at the end of
    /// the fraction are no decimal places, and a value both out of range and too fine is reported
    /// as out of range.
    ///
    /// # Errors
    /// Each kind of [`DecimalError`], as named there.
    pub fn parse(text: &str) -> Result<Decimal, DecimalError> {
        let located = Decimal::locate(text).map_err(|NotANumber| DecimalError::NotANumber)?;
        match Decimal::from_units(located.units) {
            Some(value) if located.exact => Ok(value),
            Some(_) => Err(DecimalError::TooManyDecimalPlaces),
            None if located.units > 0 => Err(DecimalError::AboveMaximum),
            None => Err(DecimalError::BelowMinimum),
        }
    }

    /// Finds the place of a number of any size and fineness. Same grammar as [`Decimal::parse`].
    ///
    /// # Errors
    /// [`NotANumber`] when the text does not follow that grammar; never for the value.
    pub fn locate(text: &str) -> Result<Located, NotANumber> {
        let number = Number::read(text).ok_or(NotANumber)?;
        let Cut { units, exact } = number.cut(Decimal::FRACTION_DIGITS);
        // Cutting goes toward zero, so below zero the floor is one unit further down.
        let floor = if number.negative && !exact { units - 1 } else { units };
        let above = floor > UNITS_MAX || (floor == UNITS_MAX && !exact);
        let below = floor < -UNITS_MAX;
        Ok(match (above, below) {
            (true, _) => Located { units: UNITS_BEYOND, exact: false },
            (_, true) => Located { units: -UNITS_BEYOND, exact: false },
            _ => Located { units: floor, exact },
        })
    }

    /// Writes the text of [`Display`](fmt::Display) into `buffer`, without the heap.
    ///
    /// # Panics
    /// Never: only ASCII digits, a point and a sign are written.
    #[must_use]
    pub fn write_to(self, buffer: &mut [u8; TEXT_LEN_MAX]) -> &str {
        let (whole, fraction) = split_units(self.0.unsigned_abs());
        let mut at = write_fraction(buffer, fraction);
        at -= 1;
        buffer[at] = b'.';
        at = write_whole(buffer, at, whole);
        if self.0 < 0 {
            at -= 1;
            buffer[at] = b'-';
        }
        std::str::from_utf8(&buffer[at..]).expect("only ASCII was written")
    }

    /// 16 bytes whose order as bytes is the order of the values: the two's complement with its
    /// sign bit flipped, most significant byte first.
    #[must_use]
    pub const fn to_ordered_bytes(self) -> [u8; 16] {
        (self.0 ^ i128::MIN).to_be_bytes()
    }

    /// Reads [`Decimal::to_ordered_bytes`] back, or `None` when the bytes are out of range.
    #[must_use]
    pub const fn from_ordered_bytes(bytes: [u8; 16]) -> Option<Decimal> {
        Decimal::from_units(i128::from_be_bytes(bytes) ^ i128::MIN)
    }
}

impl Neg for Decimal {
    type Output = Decimal;

    fn neg(self) -> Decimal {
        // The range is symmetrical, so this cannot leave it.
        Decimal(-self.0)
    }
}

impl FromStr for Decimal {
    type Err = DecimalError;

    fn from_str(text: &str) -> Result<Decimal, DecimalError> {
        Decimal::parse(text)
    }
}

/// Positional notation as the wire wants it (contract, protocol 4.4): no exponent, no zeros at the
/// end, at least one fraction digit, no negative zero. Width and precision are ignored.
impl fmt::Display for Decimal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.write_to(&mut [0; TEXT_LEN_MAX]))
    }
}

impl fmt::Debug for Decimal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Decimal({self})")
    }
}

/// Reads a numeric text with a whole value (`"12"`, `"5.0"`, `"1e1"`). Values beyond ±10³⁸ are
/// saturated at ±(10³⁸ + 1), outside every column. Same grammar as [`Decimal::parse`].
///
/// # Errors
/// Each kind of [`IntegerError`], as named there; never for the size.
pub fn parse_integer(text: &str) -> Result<i128, IntegerError> {
    let number = Number::read(text).ok_or(IntegerError::NotANumber)?;
    let Cut { units, exact } = number.cut(0);
    if exact { Ok(units) } else { Err(IntegerError::NotAnInteger) }
}

/// Reads a numeric text and cuts its fraction off, toward zero. Saturates like [`parse_integer`].
///
/// # Errors
/// [`NotANumber`] when the text does not follow the grammar of [`Decimal::parse`].
pub fn truncate_integer(text: &str) -> Result<i128, NotANumber> {
    Ok(Number::read(text).ok_or(NotANumber)?.cut(0).units)
}

/// A numeric text taken apart, its digits still where they were.
struct Number<'t> {
    negative: bool,
    /// Digits and underscores before the point; empty for `.5`.
    whole: &'t str,
    /// Digits and underscores after the point.
    fraction: &'t str,
    /// Power of ten, saturated: far beyond any text's number of digits.
    exponent: i64,
}

/// A number times a power of ten, cut toward zero and saturated at ±[`UNITS_BEYOND`].
struct Cut {
    units: i128,
    /// Whether nothing but zeros was cut off.
    exact: bool,
}

impl<'t> Number<'t> {
    fn read(text: &'t str) -> Option<Number<'t>> {
        let (negative, unsigned) = split_sign(text.trim_matches([' ', '\t', '\n']));
        let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
            Some((mantissa, exponent)) => (mantissa, read_exponent(exponent)?),
            None => (unsigned, 0),
        };
        let (whole, fraction) = match mantissa.split_once('.') {
            Some((whole, fraction)) if is_digits(fraction) => (whole, fraction),
            Some(_) => return None,
            None => (mantissa, ""),
        };
        let bare_fraction = whole.is_empty() && !fraction.is_empty();
        (bare_fraction || is_digits(whole)).then_some(Number {
            negative,
            whole,
            fraction,
            exponent,
        })
    }

    /// The number times 10^`places`, cut toward zero.
    fn cut(&self, places: u32) -> Cut {
        let mut digits = self.significant_digits();
        let magnitude = take_units(&mut digits, self.whole_digits(places));
        let exact = digits.all(|digit| digit == 0);
        Cut { units: if self.negative { -magnitude } else { magnitude }, exact }
    }

    /// All digits from the first one that is not zero.
    fn significant_digits(&self) -> impl Iterator<Item = u8> + Clone {
        digits(self.whole).chain(digits(self.fraction)).skip_while(|&digit| digit == 0)
    }

    /// How many significant digits stand before the point once it has moved by the exponent and
    /// `places`. It can be more than there are: the rest are zeros.
    fn whole_digits(&self, places: u32) -> usize {
        let significant = self.significant_digits().count();
        if significant == 0 {
            return 0;
        }
        let behind_point = digits(self.fraction).count();
        let count = |digits: usize| i64::try_from(digits).unwrap_or(i64::MAX);
        let whole = (count(significant) - count(behind_point))
            .saturating_add(self.exponent)
            .saturating_add(i64::from(places));
        usize::try_from(whole.max(0)).unwrap_or(usize::MAX)
    }
}

/// Takes `count` digits as one number, zeros where there are no more, saturated at
/// [`UNITS_BEYOND`].
fn take_units(digits: &mut impl Iterator<Item = u8>, count: usize) -> i128 {
    if count > UNITS_DIGITS_MAX {
        digits.take(count).for_each(drop);
        return UNITS_BEYOND;
    }
    let magnitude = (0..count).fold(0_u128, |magnitude, _| {
        let digit = digits.next().unwrap_or(0);
        magnitude.saturating_mul(10).saturating_add(u128::from(digit))
    });
    i128::try_from(magnitude).map_or(UNITS_BEYOND, |units| units.min(UNITS_BEYOND))
}

/// Whether the text is negative, and the text without its sign.
fn split_sign(text: &str) -> (bool, &str) {
    match text.strip_prefix('-') {
        Some(unsigned) => (true, unsigned),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    }
}

/// The exponent, saturated: a text would need a billion gigabytes of digits to notice.
fn read_exponent(text: &str) -> Option<i64> {
    let (negative, unsigned) = split_sign(text);
    let magnitude = digits(unsigned).fold(0_i64, |exponent, digit| {
        exponent.saturating_mul(10).saturating_add(i64::from(digit))
    });
    is_digits(unsigned).then_some(if negative { -magnitude } else { magnitude })
}

/// Whether the text is digits, each underscore between two of them.
fn is_digits(text: &str) -> bool {
    text.split('_').all(|group| !group.is_empty() && group.bytes().all(|b| b.is_ascii_digit()))
}

/// The values of the digits, underscores passed over.
fn digits(text: &str) -> impl Iterator<Item = u8> + Clone {
    text.bytes().filter(u8::is_ascii_digit).map(|digit| digit - b'0')
}

/// Wholes and the units left over. Almost every amount fits 64 bits, where division is cheap.
fn split_units(magnitude: u128) -> (u128, u64) {
    if let Ok(magnitude) = u64::try_from(magnitude) {
        return (u128::from(magnitude / UNITS_PER_ONE), magnitude % UNITS_PER_ONE);
    }
    let per_one = u128::from(UNITS_PER_ONE);
    (magnitude / per_one, low_digits(magnitude, per_one))
}

/// Writes fraction digits at the end of the buffer, without zeros at their end but for the first.
fn write_fraction(buffer: &mut [u8; TEXT_LEN_MAX], mut fraction: u64) -> usize {
    let mut width = Decimal::FRACTION_DIGITS as usize;
    if fraction == 0 {
        width = 1;
    }
    while width > 1 && fraction.is_multiple_of(10) {
        fraction /= 10;
        width -= 1;
    }
    write_digits(buffer, TEXT_LEN_MAX, fraction, width)
}

/// Writes the whole part so that it ends before `end`; answers where it begins.
fn write_whole(buffer: &mut [u8; TEXT_LEN_MAX], end: usize, whole: u128) -> usize {
    if let Ok(whole) = u64::try_from(whole) {
        return write_digits(buffer, end, whole, 1);
    }
    // At most 27 digits: two pieces of 64 bits.
    let low_width = 18;
    let low_limit = 10_u128.pow(18);
    let middle = write_digits(buffer, end, low_digits(whole, low_limit), low_width);
    write_digits(buffer, middle, low_digits(whole / low_limit, low_limit), 1)
}

/// Writes `value` with at least `width` digits so that it ends before `end`; answers where it
/// begins.
fn write_digits(buffer: &mut [u8], end: usize, mut value: u64, width: usize) -> usize {
    let mut at = end;
    while value > 0 || end - at < width {
        at -= 1;
        buffer[at] = b'0' + (value % 10) as u8;
        value /= 10;
    }
    at
}

/// The remainder of a division by a `limit` of at most 64 bits.
fn low_digits(value: u128, limit: u128) -> u64 {
    u64::try_from(value % limit).expect("a remainder is smaller than its divisor")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn units(text: &str) -> i128 {
        Decimal::parse(text).unwrap_or_else(|error| panic!("{text}: {error}")).units()
    }

    fn refusal(text: &str) -> DecimalError {
        Decimal::parse(text).expect_err(text)
    }

    fn located(text: &str) -> (i128, bool) {
        let Located { units, exact } = Decimal::locate(text).expect(text);
        (units, exact)
    }

    fn any_decimal() -> impl Strategy<Value = Decimal> {
        let all = -UNITS_MAX..=UNITS_MAX;
        let everyday = -1_000_000_000_000_000_000_i128..=1_000_000_000_000_000_000;
        prop_oneof![all, everyday, -1000_i128..=1000]
            .prop_map(|units| Decimal::from_units(units).expect("generated in range"))
    }

    #[test]
    fn the_limits_are_the_contracts() {
        assert_eq!(Decimal::MAX.units(), 10_i128.pow(38));
        assert_eq!(Decimal::MIN, -Decimal::MAX);
        assert_eq!(UNITS_PER_ONE, 10_u64.pow(Decimal::FRACTION_DIGITS));
        assert_eq!(UNITS_MAX.to_string().len(), UNITS_DIGITS_MAX);
        assert_eq!(Decimal::default(), Decimal::ZERO);
        assert_eq!(Decimal::HUNDRED.to_string(), "100.0");
        assert_eq!(Decimal::from_int(i64::MIN).to_string(), "-9223372036854775808.0");
    }

    #[test]
    fn the_messages_are_the_contracts() {
        assert_eq!(refusal("abc").to_string(), "is not a number");
        assert_eq!(refusal("1e-13").to_string(), "has too many decimal places");
        let maximum = Decimal::MAX.to_string().replace(".0", "");
        let above = format!("must be less than or equal to {maximum}");
        let below = format!("must be greater than or equal to -{maximum}");
        assert_eq!(refusal("1e27").to_string(), above);
        assert_eq!(refusal("-1e27").to_string(), below);
        assert_eq!(parse_integer("1.5").unwrap_err().to_string(), "must be an integer");
    }

    #[test]
    fn every_accepted_form_is_read_exactly() {
        let one = 1_000_000_000_000;
        for (text, expected) in [
            ("0", 0),
            ("-0", 0),
            ("12", 12 * one),
            ("0.5", one / 2),
            (".5", one / 2),
            ("-.5", -one / 2),
            ("+7.5", 15 * one / 2),
            ("1e1", 10 * one),
            ("1E+1", 10 * one),
            ("1.5e-1", 15 * one / 100),
            (".5e1", 5 * one),
            (" 12 ", 12 * one),
            ("\t\n12\n\t", 12 * one),
            ("1_000", 1000 * one),
            ("1_0.0_1", 1001 * one / 100),
            ("1e0_1", 10 * one),
            ("007", 7 * one),
            ("0.000000000001", 1),
            ("-0.000000000001", -1),
            ("1.5000000000000000", 3 * one / 2),
            ("100000000000000e-26", 1),
            ("0.00000000000000000001e8", 1),
        ] {
            assert_eq!(units(text), expected, "{text:?}");
        }
    }

    #[test]
    fn nothing_else_is_a_number() {
        for text in [
            "",
            " ",
            "+",
            "-",
            ".",
            "1.",
            "-.",
            "1.e1",
            "e1",
            ".e1",
            "1e",
            "1e+",
            "1e1.5",
            "1e1e1",
            "12abc",
            "1,5",
            "0x1A",
            "NaN",
            "Infinity",
            "-Infinity",
            "+-1",
            "--1",
            "- 1",
            "1 2",
            "_1",
            "1_",
            "1__0",
            "1_.0",
            "1._0",
            "1_e1",
            "1e_1",
            "1.2.3",
            "١",
            "1\u{a0}",
            "1\0",
            "\r1",
            "true",
            "null",
            "[1]",
            "½",
        ] {
            assert_eq!(refusal(text), DecimalError::NotANumber, "{text:?}");
            assert_eq!(Decimal::locate(text), Err(NotANumber), "{text:?}");
            assert_eq!(parse_integer(text), Err(IntegerError::NotANumber), "{text:?}");
            assert_eq!(truncate_integer(text), Err(NotANumber), "{text:?}");
        }
    }

    #[test]
    fn the_range_is_closed() {
        assert_eq!(Decimal::parse("1e26"), Ok(Decimal::MAX));
        assert_eq!(Decimal::parse("-100000000000000000000000000.0"), Ok(Decimal::MIN));
        assert_eq!(refusal("100000000000000000000000000.000000000001"), DecimalError::AboveMaximum);
        assert_eq!(
            refusal("-100000000000000000000000000.000000000001"),
            DecimalError::BelowMinimum
        );
        assert_eq!(units("99999999999999999999999999.999999999999"), UNITS_MAX - 1);
    }

    #[test]
    fn out_of_range_wins_over_too_many_places() {
        assert_eq!(
            refusal("100000000000000000000000000.00000000000001"),
            DecimalError::AboveMaximum
        );
        assert_eq!(
            refusal("-100000000000000000000000000.00000000000001"),
            DecimalError::BelowMinimum
        );
        let too_fine = "99999999999999999999999999.9999999999999";
        assert_eq!(refusal(too_fine), DecimalError::TooManyDecimalPlaces);
        assert_eq!(refusal(&format!("-{too_fine}")), DecimalError::TooManyDecimalPlaces);
    }

    #[test]
    fn huge_exponents_are_answered_at_once() {
        let endless = "99999999999999999999";
        assert_eq!(refusal("1e400"), DecimalError::AboveMaximum);
        assert_eq!(refusal("-1e400"), DecimalError::BelowMinimum);
        assert_eq!(refusal("1e-400"), DecimalError::TooManyDecimalPlaces);
        assert_eq!(refusal(&format!("1e{endless}")), DecimalError::AboveMaximum);
        assert_eq!(refusal(&format!("1e-{endless}")), DecimalError::TooManyDecimalPlaces);
        assert_eq!(units(&format!("0e{endless}")), 0);
        assert_eq!(units(&format!("0.00e-{endless}")), 0);
        assert_eq!(parse_integer(&format!("1e{endless}")), Ok(UNITS_BEYOND));
    }

    #[test]
    fn long_texts_are_read_to_their_end() {
        let zeros = "0".repeat(100_000);
        assert_eq!(units(&format!("{zeros}1.5{zeros}")), 1_500_000_000_000);
        assert_eq!(units(&format!("1{zeros}e-100000")), 1_000_000_000_000);
        assert_eq!(units(&format!("0.{zeros}1e100001")), 1_000_000_000_000);
        assert_eq!(refusal(&format!("1.{zeros}1")), DecimalError::TooManyDecimalPlaces);
        assert_eq!(refusal(&format!("1{zeros}.{zeros}1")), DecimalError::AboveMaximum);
    }

    #[test]
    fn a_located_number_is_the_floor_of_its_units() {
        assert_eq!(located("0.0000000000015"), (1, false));
        assert_eq!(located("-0.0000000000015"), (-2, false));
        assert_eq!(located("1e-400"), (0, false));
        assert_eq!(located("-1e-400"), (-1, false));
        assert_eq!(located("-0e-400"), (0, true));
        assert_eq!(located("2"), (2_000_000_000_000, true));
        assert_eq!(located("1e26"), (UNITS_MAX, true));
        assert_eq!(located("-1e26"), (-UNITS_MAX, true));
    }

    #[test]
    fn a_number_out_of_range_is_located_beyond_every_decimal() {
        for text in ["1e400", "1e39", "4e26", "1.00000000000000000000000000000000000000001e26"] {
            assert_eq!(located(text), (UNITS_BEYOND, false), "{text}");
            assert_eq!(located(&format!("-{text}")), (-UNITS_BEYOND, false), "-{text}");
        }
    }

    #[test]
    fn integers_are_judged_by_value() {
        for (text, expected) in [
            ("12", 12),
            ("+5", 5),
            ("5.0", 5),
            ("1e1", 10),
            ("-0.0", 0),
            (" 1_0 ", 10),
            ("10e-1", 1),
        ] {
            assert_eq!(parse_integer(text), Ok(expected), "{text}");
        }
        for text in ["1.9", "1e-1", ".5", "1e-400", "1234567890123456789012345678901234567890123.5"]
        {
            assert_eq!(parse_integer(text), Err(IntegerError::NotAnInteger), "{text}");
        }
        assert_eq!(parse_integer("9223372036854775808"), Ok(1 << 63));
        assert_eq!(parse_integer("-1e400"), Ok(-UNITS_BEYOND));
    }

    #[test]
    fn integers_are_cut_toward_zero() {
        for (text, expected) in [("1001.9", 1001), ("-1001.9", -1001), ("0.9", 0), ("-.9", 0)] {
            assert_eq!(truncate_integer(text), Ok(expected), "{text}");
        }
        assert_eq!(truncate_integer("1e99999999999999999999"), Ok(UNITS_BEYOND));
        assert_eq!(truncate_integer("-1e400"), Ok(-UNITS_BEYOND));
        assert_eq!(truncate_integer("1e-400"), Ok(0));
    }

    #[test]
    fn text_is_plain_and_short() {
        for (text, expected) in [
            ("0", "0.0"),
            ("-0.0", "0.0"),
            ("1", "1.0"),
            ("12.50", "12.5"),
            ("0.3330", "0.333"),
            ("1e-7", "0.0000001"),
            ("-0.000000000001", "-0.000000000001"),
            ("100", "100.0"),
            ("18446744.073709551615", "18446744.073709551615"),
            ("18446744.073709551616", "18446744.073709551616"),
            ("18446744073709551615.5", "18446744073709551615.5"),
            ("18446744073709551616", "18446744073709551616.0"),
            ("12345678901234567890.123456789", "12345678901234567890.123456789"),
            ("20000000000000000000000001", "20000000000000000000000001.0"),
            ("1e26", "100000000000000000000000000.0"),
        ] {
            assert_eq!(Decimal::parse(text).unwrap().to_string(), expected, "{text}");
        }
    }

    #[test]
    fn the_longest_text_fills_the_buffer() {
        let longest = Decimal::from_units(1 - UNITS_MAX).unwrap();
        let mut buffer = [0; TEXT_LEN_MAX];
        assert_eq!(longest.write_to(&mut buffer), "-99999999999999999999999999.999999999999");
        assert_eq!(longest.to_string().len(), TEXT_LEN_MAX);
        assert_eq!(format!("{longest:?}"), format!("Decimal({longest})"));
    }

    #[test]
    fn sums_stop_at_the_limits() {
        let unit = Decimal::from_units(1).unwrap();
        assert_eq!(Decimal::MAX.checked_add(unit), None);
        assert_eq!(Decimal::MIN.checked_sub(unit), None);
        assert_eq!(Decimal::MAX.checked_add(Decimal::MAX), None);
        assert_eq!(Decimal::MIN.checked_sub(Decimal::MAX), None);
        assert_eq!(Decimal::MAX.checked_sub(Decimal::MAX), Some(Decimal::ZERO));
        assert_eq!(Decimal::from_units(UNITS_BEYOND), None);
        assert_eq!(Decimal::from_units(-UNITS_BEYOND), None);
    }

    #[test]
    fn bytes_out_of_range_are_refused() {
        assert_eq!(Decimal::from_ordered_bytes([0; 16]), None);
        assert_eq!(Decimal::from_ordered_bytes([0xff; 16]), None);
        let mut zero = [0; 16];
        zero[0] = 0x80;
        assert_eq!(Decimal::from_ordered_bytes(zero), Some(Decimal::ZERO));
    }

    proptest! {
        #[test]
        fn text_and_back_is_the_same_value(value in any_decimal()) {
            let text = value.to_string();
            prop_assert_eq!(text.parse(), Ok(value));
            let (whole, fraction) = text.split_once('.').expect("a point");
            prop_assert!(fraction == "0" || !fraction.ends_with('0'));
            let whole = whole.trim_start_matches('-');
            prop_assert!(whole == "0" || !whole.starts_with('0'));
        }

        #[test]
        fn text_is_the_quotient_and_the_remainder(value in any_decimal()) {
            let magnitude = value.units().unsigned_abs();
            let one = u128::from(UNITS_PER_ONE);
            let padded = format!("{}.{:012}", magnitude / one, magnitude % one);
            let cut = padded.trim_end_matches('0');
            let sign = if value < Decimal::ZERO { "-" } else { "" };
            let zero = if cut.ends_with('.') { "0" } else { "" };
            prop_assert_eq!(value.to_string(), format!("{sign}{cut}{zero}"));
        }

        #[test]
        fn ordered_bytes_sort_like_values(left in any_decimal(), right in any_decimal()) {
            let bytes = left.to_ordered_bytes();
            prop_assert_eq!(bytes.cmp(&right.to_ordered_bytes()), left.cmp(&right));
            prop_assert_eq!(Decimal::from_ordered_bytes(bytes), Some(left));
        }

        #[test]
        fn adding_and_taking_away_changes_nothing(left in any_decimal(), right in any_decimal()) {
            if let Some(sum) = left.checked_add(right) {
                prop_assert_eq!(sum.checked_sub(right), Some(left));
                prop_assert_eq!(right.checked_add(left), Some(sum));
            }
            prop_assert_eq!(left.checked_sub(right), left.checked_add(-right));
        }

        #[test]
        fn moving_the_point_into_the_exponent_changes_nothing(
            value in -1_000_000_000_i64..1_000_000_000,
            shift in 0_usize..40,
            power in -20_i32..20,
        ) {
            let zeros = "0".repeat(shift);
            let plain = Decimal::locate(&format!("{value}e{power}"));
            let moved = i64::try_from(shift).unwrap();
            let shifted = format!("{value}{zeros}e{}", i64::from(power) - moved);
            prop_assert_eq!(Decimal::locate(&shifted), plain);
        }

        #[test]
        fn the_floor_is_the_floor(
            units in -1_000_000_000_i128..1_000_000_000,
            places in 0_u32..12,
        ) {
            let (floor, exact) = located(&format!("{units}e-{}", places + 12));
            let divisor = 10_i128.pow(places);
            prop_assert_eq!(floor, units.div_euclid(divisor));
            prop_assert_eq!(exact, units.rem_euclid(divisor) == 0);
        }

        #[test]
        fn any_text_is_answered(text in "[-+0-9._eE \\t]{0,60}|\\PC*") {
            let parsed = Decimal::parse(&text);
            let located = Decimal::locate(&text);
            prop_assert_eq!(parsed == Err(DecimalError::NotANumber), located.is_err());
            prop_assert_eq!(truncate_integer(&text).is_err(), located.is_err());
            let integer = parse_integer(&text);
            prop_assert_eq!(integer == Err(IntegerError::NotANumber), located.is_err());
        }
    }
}
