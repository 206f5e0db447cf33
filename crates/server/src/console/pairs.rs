//! Names and values as browsers send them, in queries and forms.

use std::borrow::Cow;

/// The pairs of a form or a query. Nobody types a NUL, and PostgreSQL takes none.
#[must_use]
pub fn pairs(text: &[u8]) -> Vec<(String, String)> {
    let typed = |text: Cow<'_, str>| text.replace('\0', "");
    form_urlencoded::parse(text).map(|(name, value)| (typed(name), typed(value))).collect()
}

/// A query of these pairs.
#[must_use]
pub fn query<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> String {
    form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish()
}
