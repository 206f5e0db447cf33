//! Rows of YETI's tables become drafts of the records that they are to be.

use std::borrow::Cow;
use std::collections::HashMap;

use billing::threshold::{self, ThresholdState};
use billing::timezone;
use decimal::Decimal;
use jsonapi::{Input, Kind, Resource, Unfit, Value, read_value};
use serde_json::Value as Json;
use store::yeti::{
    YetiAccount, YetiContact, YetiContractor, YetiInvoiceTemplate, YetiPayment, YetiRow,
    YetiSmtpConnection,
};

use crate::accounts::{self, ACCOUNTS};
use crate::api::ENDPOINTS;
use crate::app::App;
use crate::clock::Moment;
use crate::contacts::CONTACTS;
use crate::contractors::CONTRACTORS;
use crate::error::ApiError;
use crate::invoice_templates::INVOICE_TEMPLATES;
use crate::payments::PAYMENTS;
use crate::rest::{Draft, Endpoint};
use crate::smtp_connections::SMTP_CONNECTIONS;

const BLANK: Unfit = Unfit(Cow::Borrowed("can't be blank"));
/// What the next invoice is for; ours to decide where YETI did not.
const NEXT_INVOICE: &[&str] = &["next-invoice-at", "next-invoice-type-id"];
/// The currency of the installation itself (contract, resources 9).
const DEFAULT_CURRENCY: i64 = 0;
/// Some lists of zones have each zone twice, once below this.
const POSIX: &str = "posix/";

/// A row as the record that it is to become.
#[derive(Debug)]
pub struct Arrival {
    /// Its id, there and here.
    pub id: i64,
    /// Whose rules it must follow.
    pub endpoint: &'static Endpoint,
    /// The record.
    pub draft: Draft,
    /// Attributes that the row leaves to us: they may differ from those of a record that is here.
    pub undecided: &'static [&'static str],
    /// What becomes another than it was.
    pub changes: Vec<String>,
    /// Why it cannot come, whatever the rules say.
    pub refusal: Option<String>,
}

/// Ids of the records of each type that did not come over, so that nothing may point at them.
/// They are told in rising order; each takes eight bytes.
#[derive(Debug, Default)]
pub struct Absent(HashMap<&'static str, Vec<i64>>);

/// What a row needs to become an arrival.
#[derive(Clone, Copy, Debug)]
pub struct Surroundings<'a> {
    /// Encrypts passwords.
    pub app: &'a App,
    /// When.
    pub moment: Moment,
    /// What is not there to point at.
    pub absent: &'a Absent,
}

/// A row that becomes a record.
pub trait Arrives: YetiRow {
    /// The record's type.
    const RESOURCE: &'static Resource;

    /// The record.
    ///
    /// # Errors
    /// When the system has no randomness to give.
    fn arrive(self, here: Surroundings<'_>) -> Result<Arrival, ApiError>;
}

impl Arrival {
    /// An account's balance.
    pub fn balance(&self) -> Option<Decimal> {
        let is_account = self.draft.resource.kind == ACCOUNTS.kind;
        is_account.then(|| self.draft.value("balance").and_then(Value::as_decimal)).flatten()
    }
}

impl Absent {
    /// A record did not come over; its id is above all others of its type so far.
    pub fn add(&mut self, kind: &'static str, id: i64) {
        self.0.entry(kind).or_default().push(id);
    }

    fn has(&self, resource: &Resource, id: i64) -> bool {
        self.0.get(resource.kind).is_some_and(|ids| ids.binary_search(&id).is_ok())
    }
}

/// An arrival in the making.
struct Form<'a> {
    resource: &'static Resource,
    here: Surroundings<'a>,
    input: Input,
    changes: Vec<String>,
    refusal: Option<String>,
}

impl<'a> Form<'a> {
    fn of<R: Arrives>(here: Surroundings<'a>) -> Self {
        let input = Input::default();
        Self { resource: R::RESOURCE, here, input, changes: Vec::new(), refusal: None }
    }

    /// Reads a value as a document's would be.
    fn put(&mut self, name: &str, value: impl Into<Json>) {
        let position = self.position(name);
        let kind = self.resource.attributes[position].kind;
        self.input.values.push((position, read_value(kind, &value.into())));
    }

    /// The same for what is never null, though the API takes it from nobody and so has no rule.
    fn put_present(&mut self, name: &str, value: Option<impl Into<Json>>) {
        let Some(value) = value else {
            self.input.values.push((self.position(name), Err(BLANK)));
            return;
        };
        self.put(name, value);
    }

    fn position(&self, name: &str) -> usize {
        self.resource.attribute(name).expect("arrivals name what definitions have")
    }

    fn link(&mut self, name: &str, id: Option<i64>) {
        let position = self.resource.relationship(name);
        let position = position.expect("arrivals name what definitions have");
        self.input.links.push((position, id));
    }

    /// A link without which the row makes no sense.
    fn link_to_owner(&mut self, name: &str, owners: &Resource, id: Option<i64>) {
        if let Some(id) = id.filter(|id| self.here.absent.has(owners, *id)) {
            self.refuse(format!("{name} {id} did not come over"));
        }
        self.link(name, id);
    }

    /// A link that the row can do without, and does where its target `is_gone` or did not come.
    fn link_if_there(&mut self, name: &str, targets: &Resource, id: Option<i64>, is_gone: bool) {
        let lost = id.filter(|id| is_gone || self.here.absent.has(targets, *id));
        if let Some(id) = lost {
            let why = if is_gone { "is not there" } else { "did not come over" };
            self.changes.push(format!("{name} {id} {why}; names none now"));
        }
        self.link(name, id.filter(|_| lost.is_none()));
    }

    /// Ids of contacts, without those who are `gone` or did not come: another contact may get such
    /// an id one day, and then mail that was not meant for them.
    fn put_contacts(
        &mut self,
        name: &str,
        ids: Option<Vec<Option<i64>>>,
        gone: Option<Vec<Option<i64>>>,
    ) {
        let (mut ids, gone) = (ids.unwrap_or_default(), gone.unwrap_or_default());
        ids.retain(|id| {
            let Some(contact) = *id else { return false };
            let is_gone = gone.contains(id);
            if !is_gone && !self.here.absent.has(&CONTACTS, contact) {
                return true;
            }
            let why = if is_gone { "is not there" } else { "did not come over" };
            self.changes.push(format!("{name}: contact {contact} {why}; is left out of the list"));
            false
        });
        self.put(name, ids);
    }

    fn refuse(&mut self, why: String) {
        self.refusal.get_or_insert(why);
    }

    fn finish(mut self, id: i64) -> Result<Arrival, ApiError> {
        self.here.app.seal(self.resource, &mut self.input)?;
        let endpoint = ENDPOINTS.iter().find(|one| one.resource.kind == self.resource.kind);
        Ok(Arrival {
            id,
            endpoint: endpoint.expect("what arrives is served"),
            draft: Draft::of_create(self.resource, &self.input),
            undecided: &[],
            changes: self.changes,
            refusal: self.refusal,
        })
    }
}

impl Arrives for YetiSmtpConnection {
    const RESOURCE: &'static Resource = &SMTP_CONNECTIONS;

    fn arrive(self, here: Surroundings<'_>) -> Result<Arrival, ApiError> {
        let mut form = Form::of::<Self>(here);
        form.put("name", self.name);
        form.put("host", self.host);
        form.put("port", self.port);
        form.put("from-address", self.from_address);
        form.put("auth-user", self.auth_user);
        form.put("auth-password", self.auth_password);
        form.put("global", self.global);
        form.finish(self.id)
    }
}

impl Arrives for YetiInvoiceTemplate {
    const RESOURCE: &'static Resource = &INVOICE_TEMPLATES;

    fn arrive(self, here: Surroundings<'_>) -> Result<Arrival, ApiError> {
        let mut form = Form::of::<Self>(here);
        form.put("name", self.name);
        form.put("filename", self.filename);
        form.finish(self.id)
    }
}

impl Arrives for YetiContractor {
    const RESOURCE: &'static Resource = &CONTRACTORS;

    fn arrive(self, here: Surroundings<'_>) -> Result<Arrival, ApiError> {
        let mut form = Form::of::<Self>(here);
        form.put("name", self.name);
        form.put("enabled", self.enabled);
        form.put("vendor", self.vendor);
        form.put("customer", self.customer);
        form.put("description", self.description);
        form.put("address", self.address);
        form.put("phones", self.phones);
        form.put("external-id", self.external_id);
        form.link_if_there("smtp-connection", &SMTP_CONNECTIONS, self.smtp_connection_id, false);
        form.finish(self.id)
    }
}

impl Arrives for YetiContact {
    const RESOURCE: &'static Resource = &CONTACTS;

    fn arrive(self, here: Surroundings<'_>) -> Result<Arrival, ApiError> {
        let mut form = Form::of::<Self>(here);
        form.put("email", self.email);
        form.put("notes", self.notes);
        form.link_to_owner("contractor", &CONTRACTORS, self.contractor_id);
        form.finish(self.id)
    }
}

impl Arrives for YetiAccount {
    const RESOURCE: &'static Resource = &ACCOUNTS;

    fn arrive(self, here: Surroundings<'_>) -> Result<Arrival, ApiError> {
        let mut form = Form::of::<Self>(here);
        form.put("name", self.name);
        form.put_present("balance", self.balance);
        form.put("min-balance", self.min_balance);
        form.put("max-balance", self.max_balance);
        form.put("vat", self.vat);
        form.put("balance-low-threshold", self.balance_low_threshold);
        form.put("balance-high-threshold", self.balance_high_threshold);
        form.put("destination-rate-limit", self.destination_rate_limit);
        form.put("max-call-duration", self.max_call_duration);
        form.put("external-id", self.external_id);
        form.put_present("uuid", self.uuid);
        form.put("origination-capacity", self.origination_capacity);
        form.put("termination-capacity", self.termination_capacity);
        form.put("total-capacity", self.total_capacity);
        form.put("invoice-period-id", self.invoice_period_id);
        let zone = known_zone(self.timezone, &mut form.changes);
        form.put("timezone", zone);
        let (to, gone) = (self.send_balance_notifications_to, self.gone_from_balance_notifications);
        form.put_contacts("send-balance-notifications-to", to, gone);
        form.put_contacts("send-invoices-to", self.send_invoices_to, self.gone_from_invoices);
        form.link_to_owner("contractor", &CONTRACTORS, self.contractor_id);
        let (template, is_gone) = (self.invoice_template_id, self.invoice_template_is_gone);
        let is_gone = is_gone.unwrap_or_default();
        form.link_if_there("invoice-template", &INVOICE_TEMPLATES, template, is_gone);
        if let Some(id) = self.currency_id.filter(|id| *id != DEFAULT_CURRENCY) {
            let currency = self.currency.unwrap_or_else(|| format!("currency {id}"));
            form.refuse(format!("is in {currency}, and here all is in the default currency"));
        }
        let mut arrival = form.finish(self.id)?;
        accounts::prepare(&mut arrival.draft, here.moment);
        let next = (self.next_invoice_at, self.next_invoice_type_id);
        arrival.undecided = follow_invoices(&mut arrival.draft, next);
        follow_threshold(&mut arrival.draft, self.threshold_state_id);
        Ok(arrival)
    }
}

/// The zone's name without what stands before it in some lists.
fn known_zone(zone: Option<String>, changes: &mut Vec<String>) -> Option<String> {
    let known = zone.as_deref().and_then(|zone| zone.strip_prefix(POSIX));
    match known.filter(|known| timezone::find(known).is_some()) {
        Some(known) => {
            changes.push(format!("timezone {POSIX}{known} is {known} now"));
            Some(known.to_owned())
        }
        None => zone,
    }
}

/// Goes on with invoices where YETI stopped, if it said where. Returns what it left to us.
fn follow_invoices(
    draft: &mut Draft,
    (at, type_id): (Option<String>, Option<i64>),
) -> &'static [&'static str] {
    if draft.value("invoice-period-id").is_none_or(Value::is_null) {
        return &[];
    }
    let kind = |name| ACCOUNTS.attribute(name).map(|at| ACCOUNTS.attributes[at].kind);
    let read = |name, value: Json| kind(name).and_then(|kind: Kind| read_value(kind, &value).ok());
    let at = read("next-invoice-at", at.into()).filter(|at| !at.is_null());
    let type_id = read("next-invoice-type-id", type_id.into()).filter(|id| !id.is_null());
    let Some((at, type_id)) = at.zip(type_id) else { return NEXT_INVOICE };
    draft.set("next-invoice-at", at);
    draft.set("next-invoice-type-id", type_id);
    &[]
}

/// The threshold that the balance is beyond: what YETI last found, if that still holds.
fn follow_threshold(draft: &mut Draft, last_found: Option<i64>) {
    let Ok(account) = draft.settled() else { return };
    let last_found = last_found.and_then(ThresholdState::from_id).unwrap_or_default();
    let balance = ACCOUNTS.value(&account, "balance").as_decimal().unwrap_or_default();
    let pass = threshold::pass(last_found, accounts::thresholds(&account), balance);
    draft.set("threshold-state", Value::Int(pass.state.id()));
}

impl Arrives for YetiPayment {
    const RESOURCE: &'static Resource = &PAYMENTS;

    fn arrive(self, here: Surroundings<'_>) -> Result<Arrival, ApiError> {
        let mut form = Form::of::<Self>(here);
        form.put_present("created-at", self.created_at);
        form.put("amount", self.amount);
        form.put("notes", self.notes);
        form.put("private-notes", self.private_notes);
        form.put_present("status", self.status_id.map(status));
        form.put_present("type-name", self.type_id.map(type_name));
        form.put("balance-before-payment", self.balance_before_payment);
        form.put("rolledback-at", self.rolledback_at);
        // There is no other place for what YETI's customers know a payment by.
        form.put("external-id", self.uuid);
        form.link_to_owner("account", &ACCOUNTS, self.account_id);
        form.finish(self.id)
    }
}

/// The word of a status (contract, resources 10); the number where there is none.
fn status(id: i64) -> Json {
    match id {
        10 => "canceled".into(),
        20 => "completed".into(),
        30 => "pending".into(),
        40 => "rolled_back".into(),
        _ => id.into(),
    }
}

/// The word of a type (contract, resources 10); the number where there is none.
fn type_name(id: i64) -> Json {
    match id {
        10 => "cryptomus".into(),
        20 => "manual".into(),
        _ => id.into(),
    }
}
