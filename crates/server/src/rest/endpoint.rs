//! What a resource adds to its definition: rules, values that the server makes, and what else
//! happens when a record is written.

use std::pin::Pin;

use jsonapi::{Fault, Input, Record, Resource};
use store::Tx;

use super::draft::{Draft, Truth};
use super::request::Call;
use crate::auth::Caller;
use crate::clock::Moment;
use crate::error::ApiError;

/// A part of an operation, named in a table.
pub type Part<'a, T> = Pin<Box<dyn Future<Output = Result<T, ApiError>> + 'a>>;
/// Creates a record from what a document sends.
pub type Create = for<'a> fn(&'a mut Tx, &'a Caller, &'a Input, Moment) -> Part<'a, Record>;
/// Does what else a write entails, in its transaction.
pub type Effect = for<'a> fn(&'a mut Tx, Change<'a>) -> Part<'a, ()>;
/// Changes what is shown of a record at a request's wish.
pub type View = for<'a> fn(
    &'a Call,
    &'a mut Record,
) -> Pin<Box<dyn Future<Output = Result<(), ApiError>> + Send + 'a>>;

/// A record that was written.
#[derive(Clone, Copy, Debug)]
pub struct Change<'a> {
    /// What it was, unless it is new.
    pub before: Option<&'a Record>,
    /// What it is, unless it is gone.
    pub after: Option<&'a Record>,
    /// When.
    pub moment: Moment,
}

/// A resource that the shared routes serve.
#[derive(Debug)]
pub struct Endpoint {
    /// What it looks like.
    pub resource: &'static Resource,
    /// Every rule that a draft breaks, in the order of the contract.
    pub faults: fn(&Draft, &Truth) -> Vec<Fault>,
    /// Fills in what the server decides.
    pub prepare: fn(&mut Draft, Moment),
    /// How a record comes to be, where that is more than a row.
    pub create: Option<Create>,
    /// The relationship whose record a create changes too.
    pub moves: Option<&'static str>,
    /// What else a write entails.
    pub effect: Option<Effect>,
    /// What a request may wish of a record shown alone.
    pub view: Option<View>,
}

impl Endpoint {
    /// A resource whose definition says everything.
    #[must_use]
    pub const fn plain(resource: &'static Resource) -> Self {
        let faults = Draft::shape_faults;
        let prepare = |_: &mut Draft, _| {};
        Self { resource, faults, prepare, create: None, moves: None, effect: None, view: None }
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

    /// With records that come to be in a way of their own.
    #[must_use]
    pub const fn created_by(mut self, create: Create) -> Self {
        self.create = Some(create);
        self
    }

    /// With creates that change the record which this relationship names: those of one such record
    /// are better done together.
    #[must_use]
    pub const fn moving(mut self, relationship: &'static str) -> Self {
        self.moves = Some(relationship);
        self
    }

    /// With writes that entail more than their row.
    #[must_use]
    pub const fn entailing(mut self, effect: Effect) -> Self {
        self.effect = Some(effect);
        self
    }

    /// With records that may be seen in more than one way.
    #[must_use]
    pub const fn seen_by(mut self, view: View) -> Self {
        self.view = Some(view);
        self
    }
}
