//! What a resource looks like on the wire, as `const` data.
//!
//! A definition is read by every other module of this crate and by the database layer, which
//! names a column after each attribute (`min-balance` is `min_balance`) and a foreign key after
//! each relationship (`contractor` is `contractor_id`). User text is only ever compared with
//! these names, never turned into one.

use crate::attribute::Attribute;
use crate::value::{Record, Value};

/// A to-one relationship.
#[derive(Clone, Copy, Debug)]
pub struct Relationship {
    /// Name on the wire, dasherised.
    pub name: &'static str,
    /// Type of the record at the other end.
    pub kind: &'static str,
    /// Whether it must name an existing record (`must exist` also when missing).
    pub required: bool,
    /// Whether a create may send it.
    pub creatable: bool,
    /// Whether an update may send it.
    pub updatable: bool,
    /// Whether `filter[name.id]` is taken.
    pub filterable: bool,
    /// Whether `filter[name-id_op]` and `sort=name-id` are taken.
    pub as_key: bool,
}

/// A writable to-one relationship to a resource of type `kind`, with constant linkage.
#[must_use]
pub const fn to_one(name: &'static str, kind: &'static str) -> Relationship {
    Relationship {
        name,
        kind,
        required: false,
        creatable: true,
        updatable: true,
        filterable: false,
        as_key: false,
    }
}

impl Relationship {
    /// Is refused in the bodies of updates (400, code 105).
    #[must_use]
    pub const fn create_only(mut self) -> Self {
        self.updatable = false;
        self
    }

    /// Takes `filter[name-id_op]` with the operators of foreign keys, and `sort=name-id`.
    #[must_use]
    pub const fn as_key(mut self) -> Self {
        self.as_key = true;
        self
    }

    /// Must be set, on create and ever after.
    #[must_use]
    pub const fn required(mut self) -> Self {
        self.required = true;
        self
    }

    /// Takes `filter[name.id]`.
    #[must_use]
    pub const fn filterable(mut self) -> Self {
        self.filterable = true;
        self
    }
}

/// Which operations a resource offers. Reading one and a list always go together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verbs {
    /// `GET` of the collection and of members.
    pub read: bool,
    /// `POST` to the collection.
    pub create: bool,
    /// `PATCH` and `PUT` of members.
    pub update: bool,
    /// `DELETE` of members.
    pub delete: bool,
}

impl Verbs {
    /// Everything.
    pub const ALL: Self = Self { read: true, create: true, update: true, delete: true };
    /// Lists and members only.
    pub const READ: Self = Self { read: true, create: false, update: false, delete: false };
    /// Lists, members and new records: what is written once and stays.
    pub const APPEND: Self = Self { read: true, create: true, update: false, delete: false };
    /// Nothing: known only as the other end of relationships.
    pub const NONE: Self = Self { read: false, create: false, update: false, delete: false };
    /// Change only: the singleton balance resources.
    pub const UPDATE: Self = Self { read: false, create: false, update: true, delete: false };
}

/// What `links.self` of a record says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SelfLink {
    /// The member's URL.
    Member,
    /// The collection's URL, without an id (contract, protocol 9.5).
    Collection,
    /// Nothing: the record has no `links` (contract, resources 18).
    None,
}

/// The records of one owner are numbered in the order in which they came to be. A list of them is
/// walked along the numbers, whichever of the orders that are the same it asks for: one index on
/// owner and number serves them all.
#[derive(Clone, Copy, Debug)]
pub struct Numbering {
    /// The relationship to the owner.
    pub owner: &'static str,
    /// The attribute that holds the number; never null.
    pub number: &'static str,
    /// Attributes that never fall as numbers and ids rise.
    pub rises_with: &'static [&'static str],
}

/// What a delete does to, or demands of, other records.
#[derive(Clone, Copy, Debug)]
pub enum OnDelete {
    /// Refused with `Cannot delete record because dependent <kind> exist`.
    RestrictedBy {
        /// Type of the dependent records.
        kind: &'static str,
        /// Their relationship to this record.
        relationship: &'static str,
    },
    /// The records of that type which point here go too.
    Cascades {
        /// Type of the dependent records.
        kind: &'static str,
        /// Their relationship to this record.
        relationship: &'static str,
    },
    /// The records of that type which point here go too, all at once and without audit records of
    /// their own: there may be very many.
    Takes {
        /// Type of the dependent records.
        kind: &'static str,
        /// Their relationship to this record.
        relationship: &'static str,
    },
    /// The id leaves that id list of every record of the type; an emptied list stays empty.
    LeavesList {
        /// Type of the records that hold the list.
        kind: &'static str,
        /// The list attribute.
        attribute: &'static str,
    },
}

/// A resource: the single answer to what it looks like and what may be asked of it.
#[derive(Debug)]
pub struct Resource {
    /// `type` on the wire, dasherised plural.
    pub kind: &'static str,
    /// Another path segment that serves the same resource (D10).
    pub alias: Option<&'static str>,
    /// One sentence for the API description.
    pub meaning: &'static str,
    /// Attributes in the order of the answers.
    pub attributes: &'static [Attribute],
    /// Relationships in the order of the answers.
    pub relationships: &'static [Relationship],
    /// Operations offered.
    pub verbs: Verbs,
    /// Whether lists come in pages; without, `page` is ignored and there are no page links.
    pub paged: bool,
    /// Whether lists also come in pages by cursor: `page[after]` and `page[before]`. Cursors follow
    /// the id, and the sort keys that no record lacks by definition: integers and instants that are
    /// `required` or `not_null`, and `required` relationships. An order by anything else comes in
    /// numbered pages only. Each order that is walked wants an index.
    pub cursors: bool,
    /// How the records of one owner are numbered, if they are.
    pub numbering: Option<Numbering>,
    /// Whether `filter[id_op]` is taken, with the operators of numbers.
    pub filterable_id: bool,
    /// What `links.self` says.
    pub self_link: SelfLink,
    /// Whether ids are texts rather than integers.
    pub keyed_by_text: bool,
    /// Records whose foreign key of this relationship is null are invisible.
    pub visible_with: Option<&'static str>,
    /// Order of a list that asks for none, as `sort` would say it.
    pub default_sort: &'static str,
    /// Consequences of a delete, in the order of their checks.
    pub on_delete: &'static [OnDelete],
    /// Whether changes are written to the audit log.
    pub audited: bool,
    /// Whether many operations look at all of its records, which are few: they are read once for
    /// operations that share a transaction.
    pub standing: bool,
    /// Whether records are served one after another in the order of their ids: none is added below
    /// one that is there, even if its maker sees no other trace of that one.
    pub is_queue: bool,
    /// Sets those values of a record that follow from its others. The database layer does so to
    /// every record that it writes, so they cannot be forgotten. It is given this definition.
    pub derive: Option<fn(&Resource, &mut Record)>,
}

impl Resource {
    /// The usual resource: every verb, paged, audited, `links.self` of its own.
    pub const PLAIN: Self = Self {
        kind: "",
        alias: None,
        meaning: "",
        attributes: &[],
        relationships: &[],
        verbs: Verbs::ALL,
        paged: true,
        cursors: false,
        numbering: None,
        filterable_id: false,
        self_link: SelfLink::Member,
        keyed_by_text: false,
        visible_with: None,
        default_sort: "",
        on_delete: &[],
        audited: true,
        standing: false,
        is_queue: false,
        derive: None,
    };

    /// Position of the attribute of this wire name.
    #[must_use]
    pub fn attribute(&self, name: &str) -> Option<usize> {
        self.attributes.iter().position(|attribute| attribute.name == name)
    }

    /// Position of the relationship of this wire name.
    #[must_use]
    pub fn relationship(&self, name: &str) -> Option<usize> {
        self.relationships.iter().position(|relationship| relationship.name == name)
    }

    /// The value that a record has of the attribute of this name.
    ///
    /// # Panics
    /// If the resource has no such attribute: a mistake in the code.
    #[must_use]
    pub fn value<'a>(&self, record: &'a Record, name: &str) -> &'a Value {
        &record.values[self.known(name)]
    }

    /// Changes the value that a record has of the attribute of this name.
    ///
    /// # Panics
    /// If the resource has no such attribute: a mistake in the code.
    pub fn set(&self, record: &mut Record, name: &str, value: Value) {
        record.values[self.known(name)] = value;
    }

    fn known(&self, name: &str) -> usize {
        self.attribute(name).expect("code names attributes that the definition has")
    }

    /// The wire name of what a filter or a sort looks at.
    pub(crate) fn name_of(&self, target: Target) -> &'static str {
        match target {
            Target::Id => "id",
            Target::Attribute(at) => self.attributes[at].name,
            Target::Relationship(at) => self.relationships[at].name,
        }
    }

    /// Whether no record lacks the value, by definition.
    #[must_use]
    pub fn always_set(&self, target: Target) -> bool {
        match target {
            Target::Id => true,
            Target::Attribute(at) => self.attributes[at].never_null(),
            Target::Relationship(at) => self.relationships[at].required,
        }
    }

    /// Whether the record is one that clients may see.
    #[must_use]
    pub fn shows(&self, record: &Record) -> bool {
        self.visible_with.is_none_or(|name| {
            self.relationship(name).is_some_and(|position| record.links[position].is_some())
        })
    }

    /// The record with the values that follow from its others.
    #[must_use]
    pub fn derived(&self, mut record: Record) -> Record {
        if let Some(derive) = self.derive {
            derive(self, &mut record);
        }
        record
    }

    /// A new record's values before anything was sent.
    #[must_use]
    pub fn defaults(&self) -> Vec<Value> {
        self.attributes.iter().map(|attribute| attribute.default.value()).collect()
    }
}

/// What a filter or a sort looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// The record's id.
    Id,
    /// An attribute, by position in the definition.
    Attribute(usize),
    /// A relationship's foreign key, by position in the definition.
    Relationship(usize),
}

/// All resources of one API, under one path prefix.
#[derive(Clone, Copy, Debug)]
pub struct Api {
    /// Path before the type: `/api/rest/admin`.
    pub prefix: &'static str,
    /// Every definition.
    pub resources: &'static [&'static Resource],
}

impl Api {
    /// The resource of this exact type.
    #[must_use]
    pub fn resource(&self, kind: &str) -> Option<&'static Resource> {
        self.resources.iter().copied().find(|resource| resource.kind == kind)
    }

    /// The resource at the other end of a relationship.
    ///
    /// # Panics
    /// If a definition names a type that no definition has: a mistake in the table itself, found
    /// by the first test that walks the definitions.
    #[must_use]
    pub fn target(&self, relationship: &Relationship) -> &'static Resource {
        self.resource(relationship.kind).expect("relationships name defined types")
    }
}
