//! What a resource adds to its definition: rules, values that the server makes, and what else
//! happens when a record is written.

use std::pin::Pin;

use axum::body::Body;
use jsonapi::{Fault, Input, Record, Resource};
use store::Tx;

use super::draft::{Draft, Truth};
use super::request::{Call, Precondition};
use crate::auth::Caller;
use crate::clock::Moment;
use crate::error::ApiError;
use crate::reply::Reply;

/// A part of an operation, named in a table.
pub type Part<'a, T> = Pin<Box<dyn Future<Output = Result<T, ApiError>> + 'a>>;
/// Creates a record from what a document sends.
pub type Create = for<'a> fn(&'a mut Tx, &'a Caller, &'a Input, Moment) -> Part<'a, Record>;
/// Changes the record with this id by what a document sends.
pub type Update = for<'a> fn(
    &'a mut Tx,
    &'a Caller,
    i64,
    &'a Input,
    &'a Precondition,
    Moment,
) -> Part<'a, Record>;
/// Deletes the record with this id, whose text a refusal shows.
pub type Delete =
    for<'a> fn(&'a mut Tx, &'a Caller, i64, &'a str, &'a Precondition, Moment) -> Part<'a, ()>;
/// Does what else a write entails, in its transaction.
pub type Effect = for<'a> fn(&'a mut Tx, Change<'a>) -> Part<'a, ()>;
/// Changes what is shown of a record at a request's wish.
pub type View = for<'a> fn(
    &'a Call,
    &'a mut Record,
) -> Pin<Box<dyn Future<Output = Result<(), ApiError>> + Send + 'a>>;

/// Answers a `POST` to the collection.
pub type Post = fn(Call, Body) -> Pin<Box<dyn Future<Output = Result<Reply, ApiError>> + Send>>;

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
    /// How a record changes, where that is more than a row.
    pub update: Option<Update>,
    /// How a record goes, where that is more than a row.
    pub delete: Option<Delete>,
    /// The relationship whose record a create changes too.
    pub moves: Option<&'static str>,
    /// What else a write entails.
    pub effect: Option<Effect>,
    /// What a request may wish of a record shown alone.
    pub view: Option<View>,
    /// How a `POST` is answered, where more is told than the record.
    pub post: Option<Post>,
}

impl Endpoint {
    /// A resource whose definition says everything.
    #[must_use]
    pub const fn plain(resource: &'static Resource) -> Self {
        let faults = Draft::shape_faults;
        let prepare = |_: &mut Draft, _| {};
        Self {
            resource,
            faults,
            prepare,
            create: None,
            update: None,
            delete: None,
            moves: None,
            effect: None,
            view: None,
            post: None,
        }
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

    /// With records that change in a way of their own, for which other rows may be locked first.
    #[must_use]
    pub const fn updated_by(mut self, update: Update) -> Self {
        self.update = Some(update);
        self
    }

    /// With records that go in a way of their own, for which other rows may be locked first.
    #[must_use]
    pub const fn deleted_by(mut self, delete: Delete) -> Self {
        self.delete = Some(delete);
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

    /// With a `POST` that is answered in a way of its own.
    #[must_use]
    pub const fn posted_by(mut self, post: Post) -> Self {
        self.post = Some(post);
        self
    }

    /// With records that may be seen in more than one way.
    #[must_use]
    pub const fn seen_by(mut self, view: View) -> Self {
        self.view = Some(view);
        self
    }
}
