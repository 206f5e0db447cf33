//! What a resource adds to its definition: rules, and values that the server makes.

use jsonapi::{Fault, Resource};

use super::draft::{Draft, Truth};
use crate::clock::Moment;

/// A resource that the shared routes serve.
#[derive(Debug)]
pub struct Endpoint {
    /// What it looks like.
    pub resource: &'static Resource,
    /// Every rule that a draft breaks, in the order of the contract.
    pub faults: fn(&Draft, &Truth) -> Vec<Fault>,
    /// Fills in what the server decides.
    pub prepare: fn(&mut Draft, Moment),
}

impl Endpoint {
    /// A resource whose definition says everything.
    #[must_use]
    pub const fn plain(resource: &'static Resource) -> Self {
        Self { resource, faults: Draft::shape_faults, prepare: |_, _| {} }
    }

    /// With rules of its own.
    #[must_use]
    pub const fn with_faults(mut self, faults: fn(&Draft, &Truth) -> Vec<Fault>) -> Self {
        self.faults = faults;
        self
    }

    /// With values that the server makes.
    #[must_use]
    pub const fn prepared_by(mut self, prepare: fn(&mut Draft, Moment)) -> Self {
        self.prepare = prepare;
        self
    }
}
