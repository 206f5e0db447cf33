//! The query of one request, understood: fieldsets, includes, filters, order and page.
//!
//! The contract fixes the order of the checks and which errors combine (protocol 8): a *fatal*
//! error is answered alone, *collected* ones are answered together.

use crate::definition::{Api, Resource, Target};
use crate::error::Error;
use crate::filter::{Filter, NamedFilter, resolve};
use crate::naming::{leading_integer, same_name, underscore};
use crate::params::{Node, Params};
use crate::walk::{Sort, Trail, Walk};

/// Records per page when `page[size]` is not given.
pub const PAGE_SIZE_DEFAULT: u64 = 50;
/// Most records per page.
pub const PAGE_SIZE_MAX: u64 = 1000;

/// Which parameters a request looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// A collection, or a related record: everything.
    List,
    /// A member: fields, include, and the names of filters.
    Member,
    /// The answer to a write: fields and include.
    Write,
}

/// The fields asked for of one type, by position in its definition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fieldset {
    /// The type.
    pub kind: &'static str,
    /// Attributes in the order asked for.
    pub attributes: Vec<usize>,
    /// Relationships in declared order.
    pub relationships: Vec<usize>,
}

/// Relationships to include, as a tree in declared order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Include {
    /// Relationship positions with what to include below each.
    pub branches: Vec<(usize, Include)>,
}

impl Include {
    /// Whether nothing is included.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.branches.is_empty()
    }

    /// What to include below this relationship, if it is included.
    #[must_use]
    pub fn below(&self, relationship: usize) -> Option<&Self> {
        self.branches.iter().find(|(position, _)| *position == relationship).map(|(_, tree)| tree)
    }

    fn branch(&mut self, relationship: usize) -> &mut Self {
        let slot = self.branches.binary_search_by_key(&relationship, |(position, _)| *position);
        let slot = slot.unwrap_or_else(|gap| {
            self.branches.insert(gap, (relationship, Self::default()));
            gap
        });
        &mut self.branches[slot].1
    }
}

/// A page of a collection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Page {
    /// From 1.
    pub number: u64,
    /// `1..=PAGE_SIZE_MAX`.
    pub size: u64,
}

/// A request's query, understood except for the values of filters.
#[derive(Clone, Debug)]
pub struct Query {
    resource: &'static Resource,
    fieldsets: Vec<Fieldset>,
    /// What to include.
    pub include: Include,
    filters: Vec<NamedFilter>,
    /// The order of a list: it has the id in it, so that it is total.
    pub sort: Vec<Sort>,
    /// The page asked for; meaningless for unpaged resources, and its number beside a walk.
    pub page: Page,
    /// The page as one beside a record, if it was asked for by cursor.
    pub walk: Option<Walk>,
    /// Errors that are answered together, perhaps with those of the document.
    pub collected: Vec<Error>,
}

impl Query {
    /// A query that asks for nothing in particular.
    #[must_use]
    pub fn plain(resource: &'static Resource) -> Self {
        Self {
            resource,
            fieldsets: Vec::new(),
            include: Include::default(),
            filters: Vec::new(),
            sort: Vec::new(),
            page: Page { number: 1, size: 1 },
            walk: None,
            collected: Vec::new(),
        }
    }

    /// Understands `params` for a request on `resource`.
    ///
    /// # Errors
    /// The first fatal error; collected ones are in [`Query::collected`].
    pub fn parse(
        api: &Api,
        resource: &'static Resource,
        params: &Params,
        scope: Scope,
    ) -> Result<Self, Error> {
        let mut query = Self {
            resource,
            fieldsets: fieldsets(api, params)?,
            include: Include::default(),
            filters: Vec::new(),
            sort: Vec::new(),
            page: Page { number: 1, size: PAGE_SIZE_DEFAULT },
            walk: None,
            collected: Vec::new(),
        };
        query.collect_into(include(api, resource, params), |query, tree| query.include = tree);
        if let (Some(node), Scope::List | Scope::Member) = (&params.filter, scope) {
            query.collect_into(resolve(resource, node), |query, filters| query.filters = filters);
        }
        if scope == Scope::List {
            query.sort = along_numbers(resource, &query.filters, sort(resource, params)?);
            if resource.paged {
                let page = page(resource, &query.sort, params);
                query.collect_into(page, |query, (page, walk)| {
                    query.page = page;
                    query.walk = walk;
                });
            }
        }
        Ok(query)
    }

    fn collect_into<T>(&mut self, result: Result<T, Error>, store: impl FnOnce(&mut Self, T)) {
        match result {
            Ok(value) => store(self, value),
            Err(error) => self.collected.push(error),
        }
    }

    /// Answers all collected errors, if there are any.
    ///
    /// # Errors
    /// Everything collected.
    pub fn check(&self) -> Result<(), Vec<Error>> {
        if self.collected.is_empty() { Ok(()) } else { Err(self.collected.clone()) }
    }

    /// The filters with their values: the last thing the contract looks at.
    ///
    /// # Errors
    /// The first filter whose value its operator cannot take (107).
    pub fn filters(&self) -> Result<Vec<Filter>, Error> {
        let mut filters = Vec::with_capacity(self.filters.len());
        for named in &self.filters {
            filters.extend(named.read(self.resource)?);
        }
        Ok(filters)
    }

    /// The fields asked for of a type, if any were.
    #[must_use]
    pub fn fieldset(&self, kind: &str) -> Option<&Fieldset> {
        self.fieldsets.iter().find(|fieldset| fieldset.kind == kind)
    }
}

fn fieldsets(api: &Api, params: &Params) -> Result<Vec<Fieldset>, Error> {
    let entries = match &params.fields {
        None => return Ok(Vec::new()),
        Some(Node::Map(entries)) => entries,
        Some(_) => return Err(Error::invalid_fields_format()),
    };
    entries
        .iter()
        .map(|(kind, node)| {
            let resource = api.resource(kind).ok_or_else(|| Error::invalid_resource(kind))?;
            let names: Vec<&str> = match node {
                Node::Scalar(text) => text.trim_end_matches(',').split(',').collect(),
                Node::List(names) => names.iter().map(String::as_str).collect(),
                Node::Map(_) => return Err(Error::invalid_fields_format()),
            };
            if names.iter().all(|name| name.is_empty()) {
                return Err(Error::invalid_field("nil", kind));
            }
            fieldset(resource, &names)
        })
        .collect()
}

fn fieldset(resource: &'static Resource, names: &[&str]) -> Result<Fieldset, Error> {
    let mut set =
        Fieldset { kind: resource.kind, attributes: Vec::new(), relationships: Vec::new() };
    for &name in names {
        let attribute =
            resource.attribute(name).filter(|&at| resource.attributes[at].on_the_wire());
        if let Some(position) = attribute {
            if !set.attributes.contains(&position) {
                set.attributes.push(position);
            }
        } else if let Some(position) = resource.relationship(name) {
            if let Err(gap) = set.relationships.binary_search(&position) {
                set.relationships.insert(gap, position);
            }
        } else if name != "id" {
            return Err(Error::invalid_field(name, resource.kind));
        }
    }
    Ok(set)
}

fn include(api: &Api, resource: &'static Resource, params: &Params) -> Result<Include, Error> {
    let paths = match &params.include {
        None => return Ok(Include::default()),
        Some(Node::Scalar(paths)) => paths,
        Some(_) => return Err(Error::invalid_include("", resource.kind)),
    };
    let mut tree = Include::default();
    for path in paths.split(',').filter(|path| !path.is_empty()) {
        let mut at = resource;
        let mut branch = &mut tree;
        for segment in path.trim_end_matches('.').split('.') {
            let position =
                at.relationship(segment).ok_or_else(|| Error::invalid_include(segment, at.kind))?;
            branch = branch.branch(position);
            at = api.target(&at.relationships[position]);
        }
    }
    Ok(tree)
}

fn sort(resource: &'static Resource, params: &Params) -> Result<Vec<Sort>, Error> {
    let asked = match &params.sort {
        None => resource.default_sort,
        Some(Node::Scalar(text)) if text.is_empty() => resource.default_sort,
        Some(Node::Scalar(text)) => text,
        Some(_) => return Err(Error::invalid_sort("", resource.kind)),
    };
    let mut order: Vec<Sort> = Vec::new();
    for field in asked.split(',').filter(|_| !asked.is_empty()) {
        let (name, descending) = match field.strip_prefix('-') {
            Some(name) => (name, true),
            None => (field, false),
        };
        let folded = underscore(name);
        let target = sort_target(resource, &folded)
            .ok_or_else(|| Error::invalid_sort(&folded, resource.kind))?;
        match order.iter_mut().find(|earlier| earlier.target == target) {
            Some(earlier) => earlier.descending = descending,
            None => order.push(Sort { target, descending }),
        }
    }
    if !order.iter().any(|sort| sort.target == Target::Id) {
        let descending = order.last().is_some_and(|last| last.descending);
        order.push(Sort { target: Target::Id, descending });
    }
    Ok(order)
}

/// The same order by the numbers of one owner's records, where it is the same.
fn along_numbers(resource: &Resource, filters: &[NamedFilter], sort: Vec<Sort>) -> Vec<Sort> {
    let Some(numbering) = resource.numbering else { return sort };
    let owner = resource.relationship(numbering.owner).map(Target::Relationship);
    let of_one_owner =
        filters.iter().any(|filter| Some(filter.target) == owner && filter.names_one());
    let rises = |target| match target {
        Target::Id => true,
        Target::Attribute(at) => {
            let name = resource.attributes[at].name;
            name == numbering.number || numbering.rises_with.contains(&name)
        }
        Target::Relationship(_) => false,
    };
    let descending = sort.first().is_some_and(|first| first.descending);
    let is_same = sort.iter().all(|sort| sort.descending == descending && rises(sort.target));
    match resource.attribute(numbering.number) {
        Some(number) if of_one_owner && is_same => {
            let targets = [Target::Attribute(number), Target::Id];
            targets.map(|target| Sort { target, descending }).into()
        }
        _ => sort,
    }
}

fn sort_target(resource: &Resource, folded: &str) -> Option<Target> {
    if folded == "id" {
        return Some(Target::Id);
    }
    let attribute = resource
        .attributes
        .iter()
        .position(|attribute| attribute.sortable && same_name(attribute.name, folded));
    attribute.map(Target::Attribute).or_else(|| {
        let name = folded.strip_suffix("_id")?;
        let relationship = resource
            .relationships
            .iter()
            .position(|link| link.as_key && same_name(link.name, name));
        relationship.map(Target::Relationship)
    })
}

fn page(
    resource: &'static Resource,
    sort: &[Sort],
    params: &Params,
) -> Result<(Page, Option<Walk>), Error> {
    let (number, size) = match &params.page {
        None => (None, None),
        Some(node @ Node::Scalar(_)) => (Some(node), None),
        Some(node @ Node::Map(_)) => (node.get("number"), node.get("size")),
        Some(Node::List(_)) => return Err(Error::invalid_page()),
    };
    let size = match size {
        None => PAGE_SIZE_DEFAULT,
        Some(node) => match page_integer(node)? {
            size if size < 1 => return Err(Error::invalid_page_value(&size.to_string(), "size")),
            size => u64::try_from(size).unwrap_or(u64::MAX),
        },
    };
    if size > PAGE_SIZE_MAX {
        return Err(Error::page_too_large(PAGE_SIZE_MAX));
    }
    if let Some(walk) = walk(resource, sort, params)? {
        return Ok((Page { number: 1, size }, Some(walk)));
    }
    let number = match number {
        None => 1,
        Some(node) => {
            let number = page_integer(node)?;
            let invalid = || Error::invalid_page_value(&number.to_string(), "number");
            let within = i64::try_from(number).ok().filter(|number| *number >= 1);
            within.ok_or_else(invalid)?.unsigned_abs()
        }
    };
    Ok((Page { number, size }, None))
}

/// The page beside a record, if the resource has such pages and one was asked for.
fn walk(
    resource: &'static Resource,
    sort: &[Sort],
    params: &Params,
) -> Result<Option<Walk>, Error> {
    let Some(page) = params.page.as_ref().filter(|_| resource.cursors) else { return Ok(None) };
    let (after, before) = (page.get("after"), page.get("before"));
    let Some(node) = after.or(before) else { return Ok(None) };
    let backwards = after.is_none();
    let text = node.scalar().ok_or_else(Error::invalid_page)?;
    let name = if backwards { "before" } else { "after" };
    let invalid = || Error::invalid_page_value(text, name);
    // A page has one name.
    if page.get("number").is_some() || (after.is_some() && before.is_some()) {
        return Err(invalid());
    }
    let trail = Trail::new(resource, sort, params).ok_or_else(invalid)?;
    let from = match text {
        "" => None,
        cursor => Some(trail.read(cursor).ok_or_else(invalid)?),
    };
    Ok(Some(Walk { backwards, from }))
}

fn page_integer(node: &Node) -> Result<i128, Error> {
    node.scalar().map(leading_integer).ok_or_else(Error::invalid_page)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{ACCOUNTS, API, ENTRIES, MAILERS, ZONES};

    fn parse(resource: &'static Resource, query: &str, scope: Scope) -> Result<Query, Vec<Error>> {
        let params = Params::parse(query).map_err(|error| vec![error])?;
        let query = Query::parse(&API, resource, &params, scope).map_err(|error| vec![error])?;
        query.check()?;
        Ok(query)
    }

    fn list(query: &str) -> Result<Query, String> {
        parse(&ACCOUNTS, query, Scope::List).map_err(|errors| shown(&errors))
    }

    fn shown(errors: &[Error]) -> String {
        let shown = errors.iter().map(|error| format!("{} {}", error.code, error.detail));
        shown.collect::<Vec<_>>().join(" | ")
    }

    fn refusal(query: &str) -> String {
        list(query).map_or_else(|errors| errors, |_| "taken".into())
    }

    fn page(query: &str) -> (u64, u64) {
        let page = list(query).unwrap().page;
        (page.number, page.size)
    }

    /// The order as `sort` would say it.
    fn order(resource: &'static Resource, query: &str) -> String {
        let sort = parse(resource, query, Scope::List).unwrap().sort;
        let fields = sort.iter().map(|sort| {
            let name = resource.name_of(sort.target);
            format!("{}{name}", if sort.descending { "-" } else { "" })
        });
        fields.collect::<Vec<_>>().join(",")
    }

    fn members(query: &str) -> (Vec<&'static str>, Vec<&'static str>) {
        let query = list(query).unwrap();
        let set = query.fieldset("accounts").unwrap();
        let attributes = set.attributes.iter().map(|&at| ACCOUNTS.attributes[at].name);
        let relationships = set.relationships.iter().map(|&at| ACCOUNTS.relationships[at].name);
        (attributes.collect(), relationships.collect())
    }

    #[test]
    fn pages_are_of_fifty_from_one() {
        assert_eq!(page(""), (1, 50));
        assert_eq!(page("page[number]=2&page[size]=3"), (2, 3));
        assert_eq!(page("page[size]=1000"), (1, 1000));
        assert_eq!(page("page=2"), (2, 50));
        assert_eq!(page("page[foo]=1&page[offset]=x"), (1, 50));
    }

    #[test]
    fn page_values_are_read_leniently() {
        assert_eq!(page("page[number]=2abc&page[size]=+7.9"), (2, 7));
        for (query, detail) in [
            ("page[number]=0", "0 is not a valid value for number page parameter."),
            ("page[number]=-1", "-1 is not a valid value for number page parameter."),
            ("page[number]=abc", "0 is not a valid value for number page parameter."),
            ("page[number]=", "0 is not a valid value for number page parameter."),
            ("page=", "0 is not a valid value for number page parameter."),
            ("page=abc", "0 is not a valid value for number page parameter."),
            ("page[size]=0", "0 is not a valid value for size page parameter."),
            ("page[size]=-5", "-5 is not a valid value for size page parameter."),
            ("page[size]=1001", "size exceeds maximum page size of 1000."),
            ("page[number]=0&page[size]=0", "0 is not a valid value for size page parameter."),
            ("page[number]=0&page[size]=1001", "size exceeds maximum page size of 1000."),
            (
                "page[number]=99999999999999999999",
                "99999999999999999999 is not a valid value for number page parameter.",
            ),
        ] {
            assert_eq!(refusal(query), format!("118 {detail}"), "{query}");
        }
        assert_eq!(refusal("page[]=1"), "117 Invalid Page Object.");
        assert_eq!(refusal("page[number][]=1"), "117 Invalid Page Object.");
    }

    #[test]
    fn an_unpaged_list_ignores_the_page() {
        assert!(parse(&ZONES, "page[size]=0&page[number]=x", Scope::List).is_ok());
    }

    #[test]
    fn the_order_is_total_and_by_id_unless_asked() {
        assert_eq!(order(&ACCOUNTS, ""), "id");
        assert_eq!(order(&ACCOUNTS, "sort="), "id");
        assert_eq!(order(&ACCOUNTS, "sort=-id"), "-id");
        assert_eq!(order(&ACCOUNTS, "sort=-vat,name"), "-vat,name,id");
        assert_eq!(order(&ACCOUNTS, "sort=name,-vat"), "name,-vat,-id");
        assert_eq!(order(&ACCOUNTS, "sort=-id,name"), "-id,name");
        assert_eq!(order(&MAILERS, ""), "-name,-id");
        assert_eq!(order(&MAILERS, "sort=name"), "name,id");
    }

    #[test]
    fn a_repeated_sort_field_keeps_its_place_and_its_last_direction() {
        assert_eq!(order(&ACCOUNTS, "sort=name,vat,-name"), "-name,vat,id");
    }

    #[test]
    fn sort_names_fold() {
        for name in ["min-balance", "min_balance", "minBalance"] {
            assert_eq!(order(&ACCOUNTS, &format!("sort={name}")), "min-balance,id");
        }
    }

    #[test]
    fn keys_of_relationships_sort_where_declared() {
        for name in ["account-id", "account_id", "accountId"] {
            assert_eq!(order(&ENTRIES, &format!("sort=-{name}")), "-account,-id");
        }
        for name in ["account", "reason-id", "account.id", "accounts-id", "-id"] {
            let errors = parse(&ENTRIES, &format!("sort={name},-id"), Scope::List);
            assert_eq!(errors.is_err(), name != "-id", "{name}");
        }
        let expected = "114 contractor_id is not a valid sort criteria for accounts";
        assert_eq!(refusal("sort=contractor-id"), expected);
    }

    #[test]
    fn a_list_of_one_owner_is_walked_along_its_numbers() {
        let one = "filter[account.id]=7";
        for sort in ["", "sort=id", "sort=created-at", "sort=created-at,id", "sort=sequence"] {
            assert_eq!(order(&ENTRIES, &format!("{one}&{sort}")), "sequence,id", "{sort}");
        }
        assert_eq!(order(&ENTRIES, &format!("{one}&sort=-created-at")), "-sequence,-id");
        for (query, expected) in [
            ("filter[account.id]=7,8", "id"),
            ("filter[account.id]=", "id"),
            ("filter[id]=7", "id"),
            ("filter[account.id]=7&sort=created-at,-id", "created-at,-id"),
            ("filter[account.id]=7&sort=account-id", "account,id"),
        ] {
            assert_eq!(order(&ENTRIES, query), expected, "{query}");
        }
    }

    #[test]
    fn a_page_by_cursor_is_one_of_a_walk() {
        let walk = |query: &str| {
            let query = parse(&ENTRIES, query, Scope::List).map_err(|errors| shown(&errors))?;
            Ok::<_, String>((query.walk, query.page.size))
        };
        let begin = |backwards| Some(Walk { backwards, from: None });
        assert_eq!(walk("page[number]=2"), Ok((None, 50)));
        assert_eq!(walk("page[after]="), Ok((begin(false), 50)));
        assert_eq!(walk("page[before]=&page[size]=3&sort=-account-id"), Ok((begin(true), 3)));
        for (query, value, name) in [
            ("page[after]=junk", "junk", "after"),
            ("page[before]=1.2.3", "1.2.3", "before"),
            ("page[after]=&page[before]=x", "", "after"),
            ("page[before]=x&page[after]=y", "y", "after"),
            ("page[after]=&page[number]=1", "", "after"),
            ("page[before]=&page[number]=x", "", "before"),
            ("page[after]=&sort=code", "", "after"),
            ("page[after]=&sort=id,amount", "", "after"),
            ("page[before]=&sort=settled-at", "", "before"),
        ] {
            let expected = format!("118 {value} is not a valid value for {name} page parameter.");
            assert_eq!(walk(query), Err(expected), "{query}");
        }
        for (query, expected) in [
            ("page[after][]=", "117 Invalid Page Object."),
            ("page[after]=x&page[size]=0", "118 0 is not a valid value for size page parameter."),
            ("page[after]=x&sort=foo", "114 foo is not a valid sort criteria for entries"),
            (
                "page[after]=x&filter[foo]=1",
                "102 foo is not allowed. | 118 x is not a valid value for after page parameter.",
            ),
        ] {
            assert_eq!(walk(query), Err(expected.to_owned()), "{query}");
        }
    }

    #[test]
    fn a_list_without_cursors_ignores_them() {
        for query in ["page[after]=junk", "page[before]=&page[after][]=&page[number]=1"] {
            let query = list(query).unwrap();
            assert_eq!((query.walk, query.page), (None, Page { number: 1, size: 50 }));
        }
        assert!(parse(&ENTRIES, "page[after]=junk", Scope::Member).is_ok());
    }

    #[test]
    fn sort_names_are_sortable_attributes_as_they_are() {
        for (sort, name) in [
            ("foo", "foo"),
            ("foo,bar", "foo"),
            ("name,,vat", ""),
            ("-", ""),
            ("name,%20vat", " vat"),
            ("%2Bname", "+name"),
            ("contractor", "contractor"),
            ("contractor.name", "contractor.name"),
            ("-send-invoices-to", "send_invoices_to"),
            ("search-key", "search_key"),
        ] {
            let expected = format!("114 {name} is not a valid sort criteria for accounts");
            assert_eq!(refusal(&format!("sort={sort}")), expected);
        }
        assert_eq!(refusal("sort[]=name"), "114  is not a valid sort criteria for accounts");
    }

    #[test]
    fn fields_keep_the_order_of_attributes_only() {
        assert_eq!(
            members("fields[accounts]=invoice-template,vat,name,vat,contractor,id"),
            (vec!["vat", "name"], vec!["contractor", "invoice-template"])
        );
        assert_eq!(members("fields[accounts]=id"), (vec![], vec![]));
        assert_eq!(members("fields[accounts][]=vat&fields[accounts][]=name").0, ["vat", "name"]);
    }

    #[test]
    fn fields_are_known_names_of_known_types() {
        for (fields, expected) in [
            ("fields[accounts]=foo,bar", "104 foo is not a valid field for accounts."),
            ("fields[accounts]=min_balance", "104 min_balance is not a valid field for accounts."),
            ("fields[accounts]=name,%20vat", "104  vat is not a valid field for accounts."),
            ("fields[accounts]=name,,vat", "104  is not a valid field for accounts."),
            ("fields[accounts]=search-key", "104 search-key is not a valid field for accounts."),
            ("fields[accounts]=", "104 nil is not a valid field for accounts."),
            ("fields[Accounts]=name", "101 Accounts is not a valid resource."),
            ("fields[invoice_templates]=name", "101 invoice_templates is not a valid resource."),
            ("fields[contractors]=vat", "104 vat is not a valid field for contractors."),
            ("fields=name", "119 Fields must specify a type."),
            ("fields[]=name", "119 Fields must specify a type."),
        ] {
            assert_eq!(refusal(fields), expected, "{fields}");
        }
        assert_eq!(refusal("fields[mailers]=name"), "taken");
    }

    #[test]
    fn includes_form_a_tree_in_declared_order() {
        let tree = list("include=invoice-template,contractor.mailer,contractor").unwrap().include;
        let positions: Vec<usize> = tree.branches.iter().map(|(position, _)| *position).collect();
        assert_eq!(positions, [0, 1]);
        assert!(tree.below(0).is_some_and(|below| below.below(0).is_some()));
        assert!(tree.below(1).is_some_and(Include::is_empty));
        assert_eq!(tree.below(2), None);
    }

    #[test]
    fn empty_includes_are_ignored() {
        for query in ["include=", "include=,", "include=contractor,,", "include=contractor."] {
            assert_eq!(refusal(query), "taken", "{query}");
        }
    }

    #[test]
    fn an_include_is_a_chain_of_relationships() {
        for (include, expected) in [
            ("foo,bar", "foo is not a valid relationship of accounts"),
            ("contractor.accounts", "accounts is not a valid relationship of contractors"),
            ("contractor,%20parent", " parent is not a valid relationship of accounts"),
            ("invoice_template", "invoice_template is not a valid relationship of accounts"),
            ("name", "name is not a valid relationship of accounts"),
        ] {
            assert_eq!(refusal(&format!("include={include}")), format!("112 {expected}"));
        }
        assert_eq!(refusal("include[]=contractor"), "112  is not a valid relationship of accounts");
    }

    #[test]
    fn include_filter_and_page_errors_combine() {
        assert_eq!(
            refusal("page[number]=0&filter[qux]=1&include=foo&filter[quux]=2"),
            "112 foo is not a valid relationship of accounts | 102 qux is not allowed. | \
             118 0 is not a valid value for number page parameter."
        );
    }

    #[test]
    fn fields_then_sort_errors_stand_alone() {
        let all = "include=foo&sort=bar&filter[qux]=1&page[number]=0";
        let sort = "114 bar is not a valid sort criteria for accounts";
        assert_eq!(refusal(all), sort);
        let fields = "104 baz is not a valid field for accounts.";
        assert_eq!(refusal(&format!("{all}&fields[accounts]=baz")), fields);
    }

    #[test]
    fn a_member_looks_at_fields_includes_and_filter_names() {
        let member = |query| parse(&ACCOUNTS, query, Scope::Member).map_err(|e| shown(&e));
        assert!(member("sort=foo&page[size]=0&filter[vat_eq]=abc").is_ok());
        assert_eq!(member("filter[qux]=1").unwrap_err(), "102 qux is not allowed.");
        assert_eq!(
            member("filter=1&include=foo").unwrap_err(),
            "112 foo is not a valid relationship of accounts | \
             120 1 is not a valid syntax for filtering."
        );
    }

    #[test]
    fn a_write_looks_at_fields_and_includes() {
        let write = |query| parse(&ACCOUNTS, query, Scope::Write).map_err(|e| shown(&e));
        assert!(write("sort=foo&page[size]=0&filter[qux]=1&filter=2").is_ok());
        assert!(write("include=foo").is_err());
        assert!(write("fields[accounts]=foo").is_err());
    }

    #[test]
    fn filter_values_are_looked_at_last() {
        let query = list("filter[vat_eq]=abc&filter[external_id_eq]=x").unwrap();
        let error = query.filters().unwrap_err();
        assert_eq!(error.detail, "abc is not a valid value for vat_eq.");
        assert_eq!(refusal("filter[vat_eq]=abc&filter[qux]=1"), "102 qux is not allowed.");
    }
}
