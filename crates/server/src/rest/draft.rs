//! A record in the making: what is stored, or the defaults, with what a request sends on top.

use decimal::Decimal;
use jsonapi::{Fault, Id, Input, Record, Resource, Unfit, Value};
use store::{StoreError, Tx};

/// A record as it would be, some of its values perhaps unfit.
#[derive(Clone, Debug)]
pub struct Draft {
    /// The definition.
    pub resource: &'static Resource,
    /// The stored record, of an update.
    pub before: Option<Record>,
    values: Vec<Result<Value, Unfit>>,
    links: Vec<Option<i64>>,
}

/// What only other rows can tell about a draft.
#[derive(Clone, Debug)]
pub struct Truth {
    taken: Vec<bool>,
    missing: Vec<bool>,
}

impl Draft {
    /// A new record from what a create sends.
    #[must_use]
    pub fn of_create(resource: &'static Resource, input: &Input) -> Self {
        let values = resource.defaults().into_iter().map(Ok).collect();
        let links = vec![None; resource.relationships.len()];
        Self { resource, before: None, values, links }.with(input)
    }

    /// A stored record with what an update sends.
    #[must_use]
    pub fn of_update(resource: &'static Resource, before: Record, input: &Input) -> Self {
        let values = before.values.iter().cloned().map(Ok).collect();
        let links = before.links.clone();
        Self { resource, before: Some(before), values, links }.with(input)
    }

    fn with(mut self, input: &Input) -> Self {
        for (position, value) in &input.values {
            self.values[*position].clone_from(value);
        }
        for (position, link) in &input.links {
            self.links[*position] = *link;
        }
        self
    }

    fn position(&self, name: &str) -> usize {
        self.resource.attribute(name).expect("rules name attributes of their own resource")
    }

    /// The attribute's value, unless it is unfit.
    ///
    /// # Panics
    /// If the resource has no such attribute: a mistake in the rule.
    #[must_use]
    pub fn value(&self, name: &str) -> Option<&Value> {
        self.given(name).ok()
    }

    /// The attribute as it was given.
    ///
    /// # Errors
    /// Why the value does not fit.
    ///
    /// # Panics
    /// If the resource has no such attribute: a mistake in the rule.
    pub fn given(&self, name: &str) -> Result<&Value, &Unfit> {
        self.values[self.position(name)].as_ref()
    }

    /// Decides an attribute's value.
    ///
    /// # Panics
    /// If the resource has no such attribute: a mistake in the rule.
    pub fn set(&mut self, name: &str, value: Value) {
        let position = self.position(name);
        self.values[position] = Ok(value);
    }

    /// The key that a relationship would have.
    ///
    /// # Panics
    /// If the resource has no such relationship: a mistake in the rule.
    #[must_use]
    pub fn link(&self, name: &str) -> Option<i64> {
        let position = self.resource.relationship(name);
        self.links[position.expect("rules name relationships of their own resource")]
    }

    /// Whether the attribute differs from what is stored; always, for a create.
    ///
    /// # Panics
    /// If the resource has no such attribute: a mistake in the rule.
    #[must_use]
    pub fn changes(&self, name: &str) -> bool {
        let position = self.position(name);
        self.changes_value(position)
    }

    fn changes_value(&self, position: usize) -> bool {
        self.before
            .as_ref()
            .is_none_or(|before| self.values[position].as_ref() != Ok(&before.values[position]))
    }

    fn changes_link(&self, position: usize) -> bool {
        self.before.as_ref().is_none_or(|before| self.links[position] != before.links[position])
    }

    /// What the definition itself demands: relationships that must exist, then each attribute's
    /// form, presence and uniqueness, in declared order.
    #[must_use]
    pub fn shape_faults(&self, truth: &Truth) -> Vec<Fault> {
        let mut faults = Vec::new();
        for (position, relationship) in self.resource.relationships.iter().enumerate() {
            let absent = relationship.required && self.links[position].is_none();
            if absent || truth.missing[position] {
                faults.push(Fault::on(relationship.name, "must exist"));
            }
        }
        for (position, attribute) in self.resource.attributes.iter().enumerate() {
            match &self.values[position] {
                Err(unfit) => faults.push(Fault::on(attribute.name, unfit.0.clone())),
                Ok(value) => {
                    let blank = attribute.required && value.is_blank();
                    if blank || (attribute.not_null && value.is_null()) {
                        faults.push(Fault::on(attribute.name, "can't be blank"));
                    }
                    if attribute.nonzero && value.as_decimal() == Some(Decimal::ZERO) {
                        faults.push(Fault::on(attribute.name, "must be other than 0"));
                    }
                    let chars = value.as_text().map_or(0, |text| text.chars().count());
                    if let Some(max) = attribute.chars_max.filter(|max| chars > *max) {
                        faults.push(Fault::on(attribute.name, Unfit::too_long(max).0));
                    }
                }
            }
            if truth.taken[position] {
                faults.push(Fault::on(attribute.name, "has already been taken"));
            }
        }
        faults
    }

    /// The record, now that no rule objects; the id of a new one is 0.
    ///
    /// # Errors
    /// The first unfit value, which a rule should have refused.
    pub fn settled(&self) -> Result<Record, Unfit> {
        let values = self.values.iter().cloned().collect::<Result<_, _>>()?;
        let id = self.before.as_ref().map_or(Id::Int(0), |before| before.id.clone());
        Ok(self.resource.derived(Record { id, values, links: self.links.clone() }))
    }
}

impl Truth {
    /// Nothing is taken and everything exists: enough for a record that does not change.
    #[must_use]
    pub fn unasked(resource: &Resource) -> Self {
        Self {
            taken: vec![false; resource.attributes.len()],
            missing: vec![false; resource.relationships.len()],
        }
    }

    /// Nothing is taken and everything exists: what a database constraint will say if it is not
    /// so. Only links without such a constraint, the optional ones, are looked up.
    ///
    /// # Errors
    /// When a statement fails.
    pub async fn assumed(tx: &mut Tx, draft: &Draft) -> Result<Self, StoreError> {
        let mut truth = Self::unasked(draft.resource);
        for (position, relationship) in draft.resource.relationships.iter().enumerate() {
            if !relationship.required {
                truth.missing[position] = is_missing(tx, draft, position).await?;
            }
        }
        Ok(truth)
    }

    /// What is really taken and missing, asked row by row.
    ///
    /// # Errors
    /// When a statement fails.
    pub async fn established(tx: &mut Tx, draft: &Draft) -> Result<Self, StoreError> {
        let mut truth = Self::assumed(tx, draft).await?;
        for (position, relationship) in draft.resource.relationships.iter().enumerate() {
            if relationship.required {
                truth.missing[position] = is_missing(tx, draft, position).await?;
            }
        }
        let own_id = draft.before.as_ref().map(Record::key);
        for (position, attribute) in draft.resource.attributes.iter().enumerate() {
            if let Ok(value) = &draft.values[position]
                && attribute.unique
                && !value.is_null()
                && draft.changes_value(position)
            {
                let relationship =
                    attribute.unique_within.and_then(|n| draft.resource.relationship(n));
                let within = relationship.and_then(|at| draft.links[at].map(|key| (at, key)));
                if attribute.unique_within.is_some() && within.is_none() {
                    continue;
                }
                truth.taken[position] =
                    tx.is_taken(draft.resource, position, value, within, own_id).await?;
            }
        }
        Ok(truth)
    }

    /// The same, if everything that the draft points at is there.
    #[must_use]
    pub fn trusting_links(mut self) -> Self {
        self.missing.fill(false);
        self
    }

    /// Whether another record has the draft's value of this attribute.
    #[must_use]
    pub fn is_taken(&self, resource: &Resource, name: &str) -> bool {
        resource.attribute(name).is_some_and(|position| self.taken[position])
    }

    /// Whether the draft points at a record that does not exist.
    #[must_use]
    pub fn is_missing(&self, resource: &Resource, name: &str) -> bool {
        resource.relationship(name).is_some_and(|position| self.missing[position])
    }
}

/// An unchanged link is left alone, even if its target has gone (contract, resources 6).
async fn is_missing(tx: &mut Tx, draft: &Draft, position: usize) -> Result<bool, StoreError> {
    match draft.links[position] {
        Some(id) if draft.changes_link(position) => {
            Ok(!tx.exists(draft.resource.relationships[position].kind, id).await?)
        }
        _ => Ok(false),
    }
}

#[cfg(test)]
mod tests {
    use jsonapi::{Unfit, text, to_one};

    use super::*;

    static NOTES: Resource = Resource {
        kind: "notes",
        attributes: &[text("title", "").required().chars_max(3), text("body", "").chars_max(5)],
        relationships: &[to_one("author", "notes")],
        ..Resource::PLAIN
    };

    #[test]
    fn texts_are_counted_in_characters_after_the_blank_check() {
        let faults = |title: &str, body: Result<Value, Unfit>| -> Vec<String> {
            let values = vec![(0, Ok(Value::text(title))), (1, body)];
            let draft = Draft::of_create(&NOTES, &Input { values, ..Input::default() });
            let truth = Truth { taken: vec![false; 2], missing: vec![false] };
            draft.shape_faults(&truth).iter().map(|fault| fault.message.to_string()).collect()
        };
        let too_long = |max| format!("is too long (maximum is {max} characters)");
        assert_eq!(faults("Юра", Ok(Value::text("12345"))), [""; 0]);
        assert_eq!(faults("Юрий", Ok(Value::text("123456"))), [too_long(3), too_long(5)]);
        assert_eq!(faults("    ", Ok(Value::Null)), ["can't be blank".to_owned(), too_long(3)]);
        assert_eq!(faults("a", Err(Unfit::INVALID)), ["is invalid"]);
    }
}
