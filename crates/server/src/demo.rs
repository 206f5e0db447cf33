//! `serve --demo`: a small believable data set in which the founding request works word for word
//! (contractor 4, contact 1). Everything goes through the same operations as requests do.

use std::sync::Arc;

use anyhow::{anyhow, bail};
use jsonapi::{Record, RecordDocument, error_document, linkage};
use serde_json::{Value as Json, json};
use store::Tx;

use crate::api::{API, ENDPOINTS};
use crate::app::App;
use crate::auth::Caller;
use crate::clock::Moment;
use crate::error::ApiError;
use crate::rest::create;

/// Name, whether calls are bought from it and sold to it, and where it is. Contractors get the
/// ids 1 to 8 in this order.
const CONTRACTORS: [(&str, bool, bool, &str); 8] = [
    ("Nordlys Telecom AS", true, true, "Storgata 12, Oslo"),
    ("Baltic Voice OÜ", true, false, "Pärnu mnt 139c, Tallinn"),
    ("Dnipro Wholesale LLC", true, true, "Naberezhna 5, Dnipro"),
    ("Acme Carrier Services", true, true, "12 Market Street, London"),
    ("Pacific Minutes Inc.", true, true, "500 Howard Street, San Francisco"),
    ("Casa de Llamadas S.A.", false, true, "Av. Corrientes 800, Buenos Aires"),
    ("Rhein-Ruhr Callcenter GmbH", false, true, "Königsallee 60, Düsseldorf"),
    ("Lagos Connect Ltd", true, true, "14 Marina Road, Lagos"),
];

/// One contact for each contractor, number 1 at contractor 4 first.
const CONTACTS: [(&str, u8, &str); 9] = [
    ("billing@acme-carrier.example", 4, "Accounts payable"),
    ("noc@acme-carrier.example", 4, "On call, day and night"),
    ("faktura@nordlys.example", 1, "Invoices"),
    ("arved@balticvoice.example", 2, "Invoices"),
    ("finance@dnipro-wholesale.example", 3, "Invoices"),
    ("ap@pacificminutes.example", 5, "Accounts payable"),
    ("pagos@casadellamadas.example", 6, "Invoices"),
    ("buchhaltung@rr-callcenter.example", 7, "Invoices"),
    ("accounts@lagosconnect.example", 8, "Invoices"),
];

/// What the accounts of a contractor are for.
const PURPOSES: [&str; 5] =
    ["retail", "wholesale premium", "wholesale standard", "CLI routes", "test"];

const ZONES: [&str; 8] = [
    "Europe/Oslo",
    "Europe/Tallinn",
    "Europe/Kyiv",
    "Europe/London",
    "America/Los_Angeles",
    "America/Argentina/Buenos_Aires",
    "Europe/Berlin",
    "Africa/Lagos",
];

const VAT: [&str; 8] = ["25", "24", "20", "20", "0", "21", "19", "7.5"];

/// Fills the database, or refuses when it already has data.
///
/// # Errors
/// One line that says why not.
pub async fn fill(app: &Arc<App>) -> anyhow::Result<()> {
    if !app.store.is_empty().await? {
        bail!("--demo fills empty databases only, and this one already has data");
    }
    let moment = app.moment();
    let uuids = Arc::clone(app);
    let filled: Result<(), ApiError> = app
        .store
        .write(async move |tx| Filler { tx, app: &uuids, moment }.everything().await)
        .await;
    filled.map_err(|error| match error {
        ApiError::Refused(errors) => {
            anyhow!("demo data: {}", String::from_utf8_lossy(&error_document(&errors)))
        }
        other => other.into(),
    })
}

struct Filler<'a> {
    tx: &'a mut Tx,
    app: &'a App,
    moment: Moment,
}

impl Filler<'_> {
    async fn everything(&mut self) -> Result<(), ApiError> {
        self.add(
            "smtp-connections",
            // Not for everybody: the contacts' addresses are made up, and nobody is to be mailed.
            json!({"name": "local relay", "host": "localhost", "from-address": "noc@example.com",
                "global": false}),
            json!({}),
        )
        .await?;
        for (name, filename) in [("Standard", None), ("Detailed", Some("detailed.odt"))] {
            let attributes = json!({"name": name, "filename": filename});
            self.add("invoice-templates", attributes, json!({})).await?;
        }
        for (name, vendor, customer, address) in CONTRACTORS {
            let attributes = json!({
                "name": name, "enabled": true, "vendor": vendor, "customer": customer,
                "address": address,
            });
            self.add("contractors", attributes, json!({})).await?;
        }
        for (email, contractor, notes) in CONTACTS {
            let attributes = json!({"email": email, "notes": notes});
            let relationships = json!({"contractor": linkage("contractors", contractor)});
            self.add("contacts", attributes, relationships).await?;
        }
        for (place, (contractor, ..)) in CONTRACTORS.iter().enumerate() {
            for (row, purpose) in PURPOSES.iter().enumerate() {
                self.account(place, contractor, row, purpose).await?;
            }
        }
        Ok(())
    }

    /// Accounts differ in every setting, by the contractor's place and the purpose's row.
    async fn account(
        &mut self,
        place: usize,
        contractor: &str,
        row: usize,
        purpose: &str,
    ) -> Result<(), ApiError> {
        let credit = [0, 500, 2_000, 250, 0][row];
        let capacity = [Some(30), Some(480), Some(240), None, Some(5)][row];
        let contact = if place == 3 { 1 } else { place + 3 - usize::from(place > 3) };
        let alerts = row < 3;
        let attributes = json!({
            "name": format!("{contractor}, {purpose}"),
            "min-balance": format!("-{credit}"),
            "max-balance": ([1_000, 25_000, 10_000, 5_000, 100][row]),
            "vat": (VAT[place]),
            "balance-low-threshold": alerts.then_some(50),
            "balance-high-threshold": (row == 1).then_some(20_000),
            "send-balance-notifications-to": alerts.then_some([contact]),
            "send-invoices-to": (row < 4).then_some([contact]),
            "destination-rate-limit": ([Some("0.35"), None, Some("0.12"), Some("1.5"), None][row]),
            "max-call-duration": ([3_600, 7_200, 7_200, 5_400, 600][row]),
            "external-id": 1_000 + 100 * place + row,
            "origination-capacity": capacity,
            "termination-capacity": capacity.map(|calls| calls / 2 + 1),
            "total-capacity": capacity,
            "invoice-period-id": ([Some(4), Some(2), Some(5), Some(1), None][row]),
            "timezone": (ZONES[place]),
        });
        let template = if row == 1 { linkage("invoice-templates", 2) } else { Json::Null };
        let relationships = json!({
            "contractor": linkage("contractors", place + 1),
            "invoice-template": template,
        });
        let account = self.add("accounts", attributes, relationships).await?;
        let cents = (place * 7_919 + row * 104_729) % 90_000;
        let balance = format!("{}.{:02}", cents / 100, cents % 100);
        if cents != 0 {
            let attributes = json!({"amount": balance, "notes": "Opening prepayment"});
            let relationships = json!({"account": linkage("accounts", account.key())});
            self.add("payments", attributes, relationships).await?;
        }
        Ok(())
    }

    async fn add(
        &mut self,
        kind: &str,
        attributes: Json,
        relationships: Json,
    ) -> Result<Record, ApiError> {
        let endpoint =
            ENDPOINTS.iter().copied().find(|endpoint| endpoint.resource.kind == kind).ok_or_else(
                || ApiError::Internal(anyhow!("{kind} is no resource of {}", API.prefix)),
            )?;
        let document = RecordDocument::of(kind, attributes, relationships);
        let input = document.create(endpoint.resource, Vec::new())?;
        let moment = Moment { now: self.moment.now, ..self.app.moment() };
        create(self.tx, &Caller::default(), endpoint, &input, moment).await
    }
}
