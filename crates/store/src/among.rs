//! Part of a table, where looking at all of it would take too long for somebody who waits.

use jsonapi::{Resource, Value};

use crate::condition::Condition;
use crate::table::Tables;

/// Candidates that each way to find a record contributes at most.
const FOUND_MAX: u32 = 1000;
/// What no letter sorts behind: the end of all names that begin alike.
const LAST_LETTER: char = char::MAX;

/// Which records a list looks at.
#[derive(Clone, Debug)]
pub enum Among {
    /// Those behind this id: for who reads all of them, page by page. How many there are is not
    /// counted.
    After(i64),
    /// The newest so many, by their ids.
    Newest(u32),
    /// Those that somebody may mean who types a text.
    Meant(Meant),
}

/// A text that somebody types, and what it is looked for in.
///
/// Each way is bounded, so that the time it takes does not grow with the table: by an index, or by
/// looking at the newest records only. An index knows how names begin, in the letters' own case: it
/// is asked for the text as typed, and in lower, upper and title case.
#[derive(Clone, Debug)]
pub struct Meant {
    /// What is typed, not empty.
    pub text: String,
    /// The unique attribute that is a name.
    pub name: &'static str,
    /// The unique attribute that is a number; the id is another.
    pub number: &'static str,
    /// The relationship to a record with a name of its own, that resource, and the attribute.
    pub owner: (&'static str, &'static Resource, &'static str),
    /// How many of the newest records, and of the newest owners, are looked at for the text within
    /// names.
    pub newest: u32,
}

impl Among {
    /// Narrows a condition on the table of this resource.
    pub fn narrow(&self, condition: &mut Condition, tables: &Tables, resource: &'static Resource) {
        let table = tables.of(resource);
        let clause = match self {
            Self::After(id) => format!("id > {id}"),
            Self::Newest(count) => newest(&table.name, *count),
            Self::Meant(meant) => {
                format!("id IN ({})", meant.ways(condition, tables, resource).join(" UNION "))
            }
        };
        condition.add(clause);
    }
}

fn newest(table: &str, count: u32) -> String {
    format!("id > (SELECT coalesce(max(id), 0) - {count} FROM {table})")
}

impl Meant {
    fn ways(
        &self,
        condition: &mut Condition,
        tables: &Tables,
        resource: &'static Resource,
    ) -> Vec<String> {
        let (table, owners) = (tables.of(resource), tables.of(self.owner.1));
        let (name, number) = (table.named(self.name), table.named(self.number));
        let select = format!("SELECT id FROM {}", table.name);
        let mut ways = Vec::new();
        if let Ok(int) = self.text.parse::<i64>() {
            let marker = condition.bind(Value::Int(int));
            ways.push(format!("{select} WHERE id = {marker}"));
            ways.push(format!("{select} WHERE {number} = {marker}"));
        }
        for begin in spellings(&self.text) {
            let from = condition.bind(Value::text(&begin));
            let to = condition.bind(Value::text(format!("{begin}{LAST_LETTER}")));
            ways.push(format!(
                "SELECT id FROM ({select} WHERE {name} >= {from} AND {name} < {to} \
                 ORDER BY {name} LIMIT {FOUND_MAX}) AS beginning"
            ));
        }
        let (link, _, owner_name) = self.owner;
        let within = condition.contains(owners.named(owner_name), &self.text);
        let recent = newest(&owners.name, self.newest);
        ways.push(format!(
            "SELECT id FROM ({select} WHERE {} IN (SELECT id FROM {} WHERE {recent} AND {within}) \
             LIMIT {FOUND_MAX}) AS owned",
            table.key(link),
            owners.name
        ));
        let within = condition.contains(name, &self.text);
        let recent = newest(&table.name, self.newest);
        ways.push(format!(
            "SELECT id FROM ({select} WHERE {recent} AND {within} LIMIT {FOUND_MAX}) AS recent"
        ));
        ways
    }
}

/// How a text may be spelled at the beginning of a name; each once.
fn spellings(text: &str) -> Vec<String> {
    let mut title = String::new();
    for (at, letter) in text.chars().enumerate() {
        if at == 0 {
            title.extend(letter.to_uppercase());
        } else {
            title.extend(letter.to_lowercase());
        }
    }
    let mut spellings = vec![text.to_owned(), text.to_lowercase(), text.to_uppercase(), title];
    spellings.sort_unstable();
    spellings.dedup();
    spellings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_looked_for_in_every_usual_spelling() {
        assert_eq!(spellings("aCme x"), ["ACME X", "Acme x", "aCme x", "acme x"]);
        assert_eq!(spellings("7"), ["7"]);
    }
}
