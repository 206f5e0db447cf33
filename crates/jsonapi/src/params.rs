//! Query strings with bracket syntax, and the query strings of page links.
//!
//! The five parameters of JSON:API and `token` may be objects and arrays; others are kept when
//! they are scalars, for the few paths that have a use for one, and dropped from links (contract,
//! protocol 7).

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::error::Error;

/// Deeper brackets than any parameter has a use for.
const DEPTH_MAX: usize = 8;

/// What stays raw in links: letters, digits and `-._~`; the blank, kept here, becomes `+`.
const ESCAPED: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~').remove(b' ');

/// A parameter's value: `a=x`, `a[]=x` or `a[b]=x`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Node {
    Scalar(String),
    List(Vec<String>),
    Map(Vec<(String, Node)>),
}

impl Node {
    /// The text of a scalar.
    pub(crate) fn scalar(&self) -> Option<&str> {
        match self {
            Self::Scalar(text) => Some(text),
            _ => None,
        }
    }

    /// The entry of a map.
    pub(crate) fn get(&self, key: &str) -> Option<&Self> {
        match self {
            Self::Map(entries) => entries.iter().find(|(k, _)| k == key).map(|(_, node)| node),
            _ => None,
        }
    }
}

/// The parameters of one request, decoded but not yet understood.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Params {
    pub(crate) fields: Option<Node>,
    pub(crate) filter: Option<Node>,
    pub(crate) include: Option<Node>,
    pub(crate) page: Option<Node>,
    pub(crate) sort: Option<Node>,
    token: Option<Node>,
    others: Vec<(String, String)>,
}

impl Params {
    /// Reads a raw query string (without the `?`).
    ///
    /// # Errors
    /// 400 for bad percent-encoding, bytes that are not UTF-8, null characters, and a name used
    /// both as a scalar and as an object.
    pub fn parse(query: &str) -> Result<Self, Error> {
        let mut params = Self::default();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let name = decode(name)?;
            let value = decode(value)?;
            let (base, rest) = name.split_at(name.find('[').unwrap_or(name.len()));
            if let Some(slot) = params.slot(base) {
                insert(slot, &segments(rest)?, value)?;
            } else if rest.is_empty() {
                params.others.push((name, value));
            }
        }
        Ok(params)
    }

    /// The token given as `?token=`, if the parameter is there at all; a token that is no plain
    /// text reads as empty.
    #[must_use]
    pub fn token(&self) -> Option<&str> {
        self.token.as_ref().map(|node| node.scalar().unwrap_or_default())
    }

    /// A parameter that is not JSON:API's; the last one of the name. Objects and arrays are none.
    #[must_use]
    pub fn other(&self, name: &str) -> Option<&str> {
        let named = self.others.iter().rev().find(|(other, _)| other == name);
        named.map(|(_, value)| value.as_str())
    }

    /// The same with this filter, in place of what was sent for it.
    ///
    /// # Errors
    /// 400 when the filters sent are no names with values.
    pub fn with_filter(mut self, name: &str, value: String) -> Result<Self, Error> {
        insert(&mut self.filter, &[name], value)?;
        Ok(self)
    }

    fn slot(&mut self, name: &str) -> Option<&mut Option<Node>> {
        match name {
            "fields" => Some(&mut self.fields),
            "filter" => Some(&mut self.filter),
            "include" => Some(&mut self.include),
            "page" => Some(&mut self.page),
            "sort" => Some(&mut self.sort),
            "token" => Some(&mut self.token),
            _ => None,
        }
    }

    /// The filters in the one form that links have them in.
    pub(crate) fn filter_query(&self) -> String {
        self.filter.as_ref().map(|node| to_query("filter", node)).unwrap_or_default()
    }

    /// The query string of the link to another page, by the contract's recipe (protocol 7.1):
    /// values as sent, everything encoded, pairs and parameters in byte order. `page` names the
    /// page, by its number or a cursor.
    pub(crate) fn page_query(&self, page: (&str, String), size: u64) -> String {
        let page = Node::Map(vec![
            (page.0.to_owned(), Node::Scalar(page.1)),
            ("size".to_owned(), Node::Scalar(size.to_string())),
        ]);
        let kept = [
            ("fields", self.fields.as_ref()),
            ("filter", self.filter.as_ref()),
            ("include", self.include.as_ref()),
            ("page", Some(&page)),
            ("sort", self.sort.as_ref()),
        ];
        let parts: Vec<String> =
            kept.iter().filter_map(|(name, node)| node.map(|node| to_query(name, node))).collect();
        parts.join("&")
    }
}

fn to_query(key: &str, node: &Node) -> String {
    match node {
        Node::Scalar(value) => format!("{}={}", encode(key), encode(value)),
        Node::List(values) => {
            let key = encode(&format!("{key}[]"));
            let pairs: Vec<String> =
                values.iter().map(|value| format!("{key}={}", encode(value))).collect();
            pairs.join("&")
        }
        Node::Map(entries) => {
            let mut pairs: Vec<String> = entries
                .iter()
                .map(|(sub, node)| to_query(&format!("{key}[{sub}]"), node))
                .collect();
            pairs.sort_unstable();
            pairs.join("&")
        }
    }
}

fn encode(text: &str) -> String {
    utf8_percent_encode(text, ESCAPED).to_string().replace(' ', "+")
}

/// Decodes one name or value of a query string; stricter than the usual library function, which
/// lets broken escapes through.
fn decode(text: &str) -> Result<String, Error> {
    let bytes = text.as_bytes();
    let broken = bytes.iter().enumerate().any(|(position, &byte)| {
        byte == b'%'
            && !(bytes.len() > position + 2
                && bytes[position + 1].is_ascii_hexdigit()
                && bytes[position + 2].is_ascii_hexdigit())
    });
    if broken {
        return Err(Error::bad_request("The query string has a broken percent-encoding."));
    }
    let spaced = text.replace('+', " ");
    let decoded = percent_encoding::percent_decode_str(&spaced)
        .decode_utf8()
        .map_err(|_| Error::bad_request("The query string is not valid UTF-8."))?;
    // No stored text has one, and not every database can be asked for one (D1).
    if decoded.contains('\0') {
        return Err(Error::bad_request("The query string has a null character."));
    }
    Ok(decoded.into_owned())
}

/// Splits `[a][b]` into its names.
fn segments(brackets: &str) -> Result<Vec<&str>, Error> {
    let malformed = || Error::bad_request("The query string has unbalanced brackets.");
    let mut rest = brackets;
    let mut names = Vec::new();
    while !rest.is_empty() {
        let inner = rest.strip_prefix('[').ok_or_else(malformed)?;
        let (name, after) = inner.split_once(']').ok_or_else(malformed)?;
        if name.contains('[') || names.len() == DEPTH_MAX {
            return Err(malformed());
        }
        names.push(name);
        rest = after;
    }
    Ok(names)
}

fn insert(slot: &mut Option<Node>, path: &[&str], value: String) -> Result<(), Error> {
    let conflict = || Error::bad_request("A query parameter is used in two different forms.");
    match path {
        [] => *slot = Some(Node::Scalar(value)),
        [""] => match slot.get_or_insert_with(|| Node::List(Vec::new())) {
            Node::List(values) => values.push(value),
            _ => return Err(conflict()),
        },
        [key, deeper @ ..] => {
            let Node::Map(entries) = slot.get_or_insert_with(|| Node::Map(Vec::new())) else {
                return Err(conflict());
            };
            if let Some((_, node)) = entries.iter_mut().find(|(k, _)| k == key) {
                let mut held = Some(std::mem::replace(node, Node::List(Vec::new())));
                insert(&mut held, deeper, value)?;
                *node = held.ok_or_else(conflict)?;
            } else {
                let mut fresh = None;
                insert(&mut fresh, deeper, value)?;
                entries.push(((*key).to_owned(), fresh.ok_or_else(conflict)?));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn links(query: &str) -> String {
        Params::parse(query).unwrap().page_query(("number", "1".into()), 3)
    }

    #[test]
    fn links_keep_values_and_sort_pairs() {
        assert_eq!(
            links("sort=&filter[name]=a%20b*&fields[accounts]=name&x=1&filter[a_b]=%D0%AE"),
            "fields%5Baccounts%5D=name&filter%5Ba_b%5D=%D0%AE&filter%5Bname%5D=a+b%2A\
             &page%5Bnumber%5D=1&page%5Bsize%5D=3&sort="
        );
        assert_eq!(
            links("filter[name][]=b&filter[name][]=a"),
            "filter%5Bname%5D%5B%5D=b&filter%5Bname%5D%5B%5D=a&page%5Bnumber%5D=1&page%5Bsize%5D=3"
        );
    }

    #[test]
    fn the_last_of_a_repeated_name_wins() {
        assert_eq!(Params::parse("sort=a&sort=b").unwrap().sort, Some(Node::Scalar("b".into())));
        let params = Params::parse("filter[a]=1&filter[b]=2&filter[a]=3").unwrap();
        let filter = params.filter.unwrap();
        assert_eq!(filter.get("a"), Some(&Node::Scalar("3".into())));
    }

    #[test]
    fn other_parameters_are_texts() {
        let query = "as-of=2026&as-of=20%2027&of[x]=1&of[]=2&of[=3&sort=id&token=t&empty";
        let params = Params::parse(query).unwrap();
        assert_eq!(params.other("as-of"), Some("20 27"));
        assert_eq!(params.other("empty"), Some(""));
        for none in ["of", "of[x]", "of[]", "of[", "sort", "token", "As-Of"] {
            assert_eq!(params.other(none), None, "{none}");
        }
        assert!(!links(query).contains("as-of"));
    }

    #[test]
    fn broken_queries_are_refused() {
        for query in [
            "a=%",
            "a=%FF",
            "sort=%zz",
            "filter[name]=a%00b",
            "filter=b&filter[name]=a",
            "filter[]=b&filter[name]=a",
            "filter[name",
            "filter[[a]]=1",
            "filter[a][b][c][d][e][f][g][h][i]=1",
        ] {
            assert_eq!(Params::parse(query).map_err(|error| error.code), Err("400"), "{query}");
        }
    }
}
