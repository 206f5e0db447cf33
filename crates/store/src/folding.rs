//! Text without its case, for filters: letter by letter, each to its upper case where that is one
//! letter. So it is the same in both databases, whatever their locale, and `ß` stays `ß`.
//!
//! Upper case rather than lower, which for a Greek sigma depends on where in a word it stands.

use std::sync::LazyLock;

/// The text without its case.
pub fn fold(text: &str) -> String {
    text.chars().map(upper).collect()
}

/// The letters beyond ASCII that folding changes, and what they become, position by position.
pub fn letters() -> (&'static str, &'static str) {
    static LETTERS: LazyLock<(String, String)> = LazyLock::new(|| {
        ('\u{80}'..=char::MAX)
            .map(|letter| (letter, upper(letter)))
            .filter(|(letter, upper)| letter != upper)
            .unzip()
    });
    (&LETTERS.0, &LETTERS.1)
}

fn upper(letter: char) -> char {
    let mut upper = letter.to_uppercase();
    match (upper.next(), upper.next()) {
        (Some(upper), None) => upper,
        _ => letter,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_letter_folds_to_one_letter() {
        assert_eq!(fold("Straße, ΣΊΣΥΦΟΣ σίσυφος, ўзбек, ŉ"), "STRAßE, ΣΊΣΥΦΟΣ ΣΊΣΥΦΟΣ, ЎЗБЕК, ŉ");
        let (from, to) = letters();
        assert_eq!(from.chars().count(), to.chars().count());
        assert!(from.chars().count() > 1000);
        assert_eq!(fold(from), to);
        assert_eq!(fold(to), to, "folding twice changes nothing more");
    }
}
