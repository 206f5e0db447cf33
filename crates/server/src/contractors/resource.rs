//! Contractors on the wire (contract, resources 4), and their one rule.

use jsonapi::{Fault, OnDelete, Resource, Value, boolean, integer, text, to_one};

use crate::rest::{Draft, Truth};

/// The contractor.
pub static CONTRACTORS: Resource = Resource {
    kind: "contractors",
    meaning: "A company that calls are bought from (vendor) or sold to (customer).",
    attributes: &[
        text("name", "Unique name.").required().unique().filterable().exact_filter(),
        boolean("enabled", "Whether the contractor is active.").required().filterable(),
        boolean("vendor", "Whether calls are bought from it.").required().filterable(),
        boolean("customer", "Whether calls are sold to it.").required().filterable(),
        text("description", "Free text.").filterable(),
        text("address", "Postal address.").filterable(),
        text("phones", "Phone numbers.").filterable(),
        integer("external-id", i64::MIN, i64::MAX, "The integrator's own unique id.")
            .unique()
            .filterable(),
    ],
    relationships: &[to_one("smtp-connection", "smtp-connections").filterable()],
    on_delete: &[
        OnDelete::RestrictedBy { kind: "accounts", relationship: "contractor" },
        OnDelete::Cascades { kind: "contacts", relationship: "contractor" },
    ],
    ..Resource::PLAIN
};

/// A contractor is a customer, a vendor or both; said on both attributes, before all else.
pub fn faults(draft: &Draft, truth: &Truth) -> Vec<Fault> {
    let is = |name| draft.value(name) == Some(&Value::Bool(true));
    let mut faults = Vec::new();
    if !is("vendor") && !is("customer") {
        let message = "Must be customer and/or vendor";
        faults.extend([Fault::on("vendor", message), Fault::on("customer", message)]);
    }
    let spoken_on = faults.clone();
    let others = draft.shape_faults(truth).into_iter();
    faults.extend(others.filter(|fault| spoken_on.iter().all(|said| said.place != fault.place)));
    faults
}
