//! Invoice templates on the wire (contract, resources 6 with D10 and D11).

use jsonapi::{Fault, Resource, text};

use crate::rest::{Draft, Truth};

/// The invoice template.
pub static INVOICE_TEMPLATES: Resource = Resource {
    kind: "invoice-templates",
    alias: Some("invoice-template"),
    meaning: "What an account's invoices look like.",
    attributes: &[
        text("name", "Unique name.").required().unique().filterable(),
        text("filename", "Kept for older clients: a name ending in .odt.").filterable(),
        text("body", "Typst source; null is the built-in template.").shown_when_set().unsortable(),
    ],
    ..Resource::PLAIN
};

/// A file name, if there is one, ends in `.odt`.
pub fn faults(draft: &Draft, truth: &Truth) -> Vec<Fault> {
    let mut faults = draft.shape_faults(truth);
    let filename = draft.value("filename").and_then(|value| value.as_text());
    if filename.is_some_and(|name| name.strip_suffix(".odt").is_none()) {
        faults.push(Fault::on("filename", "is invalid"));
    }
    faults
}
