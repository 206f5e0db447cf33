//! Names as clients may write them, and ids as they may write those.

use std::borrow::Cow;

/// Folds a name the way the reference does: camel case and capitals split, `-` becomes `_`.
///
/// `min-balance`, `minBalance`, `MinBalance` and `min_balance` all give `min_balance`
/// (contract, protocol 4.3).
#[must_use]
pub fn underscore(name: &str) -> Cow<'_, str> {
    if name.chars().all(|c| c != '-' && !c.is_ascii_uppercase()) {
        return Cow::Borrowed(name);
    }
    let letters: Vec<char> = name.chars().collect();
    let mut folded = String::with_capacity(name.len() + 4);
    for (position, &letter) in letters.iter().enumerate() {
        if letter.is_ascii_uppercase() && position > 0 {
            let before = letters[position - 1];
            let begins_word = letters.get(position + 1).is_some_and(char::is_ascii_lowercase);
            if before.is_ascii_lowercase()
                || before.is_ascii_digit()
                || (before.is_ascii_uppercase() && begins_word)
            {
                folded.push('_');
            }
        }
        folded.push(if letter == '-' { '_' } else { letter.to_ascii_lowercase() });
    }
    Cow::Owned(folded)
}

/// Whether the underscored `folded` is the dasherised `name`, without building either.
pub(crate) fn same_name(name: &str, folded: &str) -> bool {
    name.len() == folded.len()
        && name.bytes().zip(folded.bytes()).all(|(a, b)| a == b || (a == b'-' && b == b'_'))
}

/// Reads an id from a URL or a linkage: plain decimal, sign and surrounding blanks allowed,
/// no leading zeros (contract, protocol 9.3 and P1).
///
/// `None` is not an integer (400, code 103). Text beyond 64 bits is clamped: no record has such
/// an id. The second part is the integer as understood, for messages (`+2` is `2`).
#[must_use]
pub fn integer_id(text: &str) -> Option<(i64, Cow<'_, str>)> {
    let trimmed = text.trim_matches([' ', '\t', '\n', '\r']);
    let (negative, digits) = match trimmed.as_bytes().first()? {
        b'-' => (true, &trimmed[1..]),
        b'+' => (false, &trimmed[1..]),
        _ => (false, trimmed),
    };
    let plain = !digits.is_empty()
        && digits.bytes().all(|b| b.is_ascii_digit())
        && (digits == "0" || !digits.starts_with('0'));
    if !plain {
        return None;
    }
    let magnitude = digits.parse::<i64>().unwrap_or(i64::MAX);
    if negative && digits != "0" {
        Some((-magnitude, Cow::Borrowed(trimmed)))
    } else {
        Some((magnitude, Cow::Borrowed(digits)))
    }
}

/// The integer that begins the text, as the reference reads ids in filters and page numbers:
/// leading blanks, a sign and digits; `5abc` is 5 and `abc` is 0. Saturates.
pub(crate) fn leading_integer(text: &str) -> i128 {
    let text = text.trim_start();
    let (negative, digits) = match text.as_bytes().first() {
        Some(b'-') => (true, &text[1..]),
        Some(b'+') => (false, &text[1..]),
        _ => (false, text),
    };
    let magnitude = digits
        .bytes()
        .take_while(u8::is_ascii_digit)
        .fold(0_i128, |sum, digit| sum.saturating_mul(10).saturating_add(i128::from(digit - b'0')));
    if negative { -magnitude } else { magnitude }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_fold_however_they_are_written() {
        for name in ["min-balance", "minBalance", "MinBalance", "min_balance", "Min-balance"] {
            assert_eq!(underscore(name), "min_balance", "{name}");
        }
        assert_eq!(underscore("HTTPServer"), "http_server");
        assert_eq!(underscore(" vat"), " vat");
        assert_eq!(underscore("contractor.id"), "contractor.id");
    }

    #[test]
    fn ids_are_plain_decimals() {
        let id = |text| integer_id(text).map(|(id, shown)| (id, shown.into_owned()));
        assert_eq!(id("+2"), Some((2, "2".into())));
        assert_eq!(id("-1"), Some((-1, "-1".into())));
        assert_eq!(id("2 "), Some((2, "2".into())));
        assert_eq!(id("0"), Some((0, "0".into())));
        let huge = "99999999999999999999";
        assert_eq!(id(huge), Some((i64::MAX, huge.into())));
        for junk in ["", "abc", "3abc", "010", "0x10", "1_0", "1.5", "1,2", "+", "- 1", "--1"] {
            assert_eq!(id(junk), None, "{junk}");
        }
    }

    #[test]
    fn a_leading_integer_ends_at_the_first_letter() {
        assert_eq!(leading_integer("5abc"), 5);
        assert_eq!(leading_integer("1.9"), 1);
        assert_eq!(leading_integer("abc"), 0);
        assert_eq!(leading_integer(""), 0);
        assert_eq!(leading_integer(" -7"), -7);
        assert_eq!(leading_integer("99999999999999999999"), 99_999_999_999_999_999_999);
        assert_eq!(leading_integer(&"9".repeat(99)), i128::MAX);
    }
}
