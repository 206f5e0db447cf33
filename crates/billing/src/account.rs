//! What an account must be: the rules of contract, resources 1, in the order in which their
//! refusals are reported (contract, protocol 6).
//!
//! Pure: whether names are taken or records exist is found out elsewhere and comes as [`Truth`].

use std::borrow::Cow;

use decimal::Decimal;

use crate::invoice_period::InvoicePeriod;
use crate::timezone;

/// A term as it was given: a value, nothing, or something that does not fit (with the message).
pub type Given<T> = Result<Option<T>, Cow<'static, str>>;

/// The terms of an account as it would be after a create or an update.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "each is the account attribute of that name")]
pub struct Terms<'a> {
    pub has_contractor: bool,
    pub name: Given<&'a str>,
    pub min_balance: Given<Decimal>,
    pub max_balance: Given<Decimal>,
    pub vat: Given<Decimal>,
    pub balance_low_threshold: Given<Decimal>,
    pub balance_high_threshold: Given<Decimal>,
    pub destination_rate_limit: Given<Decimal>,
    pub max_call_duration: Given<i64>,
    pub external_id: Given<i64>,
    /// Whether there is one; its form has been read already.
    pub uuid: Given<()>,
    pub origination_capacity: Given<i64>,
    pub termination_capacity: Given<i64>,
    pub total_capacity: Given<i64>,
    pub invoice_period_id: Given<i64>,
    pub timezone: Given<&'a str>,
    pub send_invoices_to: Given<()>,
    pub send_balance_notifications_to: Given<()>,
}

/// What only other records can tell.
#[derive(Clone, Copy, Debug, Default)]
#[expect(missing_docs, reason = "each says itself")]
pub struct Truth {
    pub contractor_missing: bool,
    pub invoice_template_missing: bool,
    pub name_taken: bool,
    pub uuid_taken: bool,
    pub external_id_taken: bool,
}

/// A broken rule: the attribute or relationship by wire name, and the contract's message.
pub type Refusal = (&'static str, Cow<'static, str>);

const BLANK: Cow<'static, str> = Cow::Borrowed("can't be blank");
const TAKEN: Cow<'static, str> = Cow::Borrowed("has already been taken");
const NOT_A_NUMBER: Cow<'static, str> = Cow::Borrowed("is not a number");
const MUST_EXIST: Cow<'static, str> = Cow::Borrowed("must exist");
const NOT_LISTED: Cow<'static, str> = Cow::Borrowed("is not included in the list");

/// Every rule that the terms break, in the order of the contract.
#[must_use]
pub fn refusals(terms: &Terms<'_>, truth: Truth) -> Vec<Refusal> {
    let mut found = Vec::new();
    identity(terms, truth, &mut found);
    blanks(terms, &mut found);
    time_zone(terms, &mut found);
    balance_limits(terms, &mut found);
    unfit("termination-capacity", &terms.termination_capacity, &mut found);
    unfit("origination-capacity", &terms.origination_capacity, &mut found);
    unfit("total-capacity", &terms.total_capacity, &mut found);
    unfit("external-id", &terms.external_id, &mut found);
    if truth.external_id_taken {
        found.push(("external-id", TAKEN));
    }
    vat(terms, &mut found);
    at_least_zero("destination-rate-limit", &terms.destination_rate_limit, &mut found);
    unfit("max-call-duration", &terms.max_call_duration, &mut found);
    if !matches!(&terms.invoice_period_id, Ok(id) if id.is_none_or(is_period)) {
        found.push(("invoice-period-id", NOT_LISTED));
    }
    thresholds(terms, &mut found);
    unfit("send-balance-notifications-to", &terms.send_balance_notifications_to, &mut found);
    unfit("send-invoices-to", &terms.send_invoices_to, &mut found);
    found
}

fn is_period(id: i64) -> bool {
    InvoicePeriod::from_id(id).is_some()
}

fn unfit<T>(name: &'static str, term: &Given<T>, found: &mut Vec<Refusal>) {
    if let Err(message) = term {
        found.push((name, message.clone()));
    }
}

fn identity(terms: &Terms<'_>, truth: Truth, found: &mut Vec<Refusal>) {
    if truth.contractor_missing || !terms.has_contractor {
        found.push(("contractor", MUST_EXIST));
    }
    if truth.invoice_template_missing {
        found.push(("invoice-template", MUST_EXIST));
    }
    unfit("min-balance", &terms.min_balance, found);
    unfit("uuid", &terms.uuid, found);
    if matches!(terms.uuid, Ok(None)) {
        found.push(("uuid", BLANK));
    }
    if truth.uuid_taken {
        found.push(("uuid", TAKEN));
    }
    unfit("name", &terms.name, found);
    if truth.name_taken {
        found.push(("name", TAKEN));
    }
}

fn blanks(terms: &Terms<'_>, found: &mut Vec<Refusal>) {
    let blank = |text: &Given<&str>| matches!(text, Ok(text) if is_blank(text.unwrap_or_default()));
    let missing = |number: &Given<Decimal>| matches!(number, Ok(None));
    let checks = [
        ("name", blank(&terms.name)),
        ("timezone", blank(&terms.timezone)),
        ("vat", missing(&terms.vat)),
        ("max-balance", missing(&terms.max_balance)),
        ("min-balance", missing(&terms.min_balance)),
    ];
    found.extend(checks.iter().filter(|(_, blank)| *blank).map(|(name, _)| (*name, BLANK)));
}

fn is_blank(text: &str) -> bool {
    text.chars().all(char::is_whitespace)
}

fn time_zone(terms: &Terms<'_>, found: &mut Vec<Refusal>) {
    match &terms.timezone {
        Err(message) => found.push(("timezone", message.clone())),
        Ok(zone) => {
            let name = zone.unwrap_or_default();
            if timezone::find(name).is_none() {
                found.push(("timezone", format!("{name} is not a valid timezone").into()));
            }
        }
    }
}

/// The ceiling is not below the floor. A floor that is no number counts as 0; without a floor
/// the ceiling's number rule is skipped (contract, protocol 6).
fn balance_limits(terms: &Terms<'_>, found: &mut Vec<Refusal>) {
    let min = match &terms.min_balance {
        Ok(min) => *min,
        Err(_) => Some(Decimal::ZERO),
    };
    match (&terms.max_balance, min) {
        (Err(message), _) => found.push(("max-balance", message.clone())),
        (Ok(None), Some(_)) => found.push(("max-balance", NOT_A_NUMBER)),
        (Ok(Some(max)), Some(min)) if *max < min => {
            found.push(("max-balance", format!("must be greater than or equal to {min}").into()));
        }
        _ => {}
    }
}

fn vat(terms: &Terms<'_>, found: &mut Vec<Refusal>) {
    match terms.vat {
        Ok(None) => found.push(("vat", NOT_A_NUMBER)),
        Ok(Some(vat)) if vat > Decimal::HUNDRED => {
            found.push(("vat", "must be less than or equal to 100".into()));
        }
        _ => at_least_zero("vat", &terms.vat, found),
    }
}

fn at_least_zero(name: &'static str, term: &Given<Decimal>, found: &mut Vec<Refusal>) {
    match term {
        Err(message) => found.push((name, message.clone())),
        Ok(Some(number)) if *number < Decimal::ZERO => {
            found.push((name, "must be greater than or equal to 0".into()));
        }
        Ok(_) => {}
    }
}

fn thresholds(terms: &Terms<'_>, found: &mut Vec<Refusal>) {
    unfit("balance-low-threshold", &terms.balance_low_threshold, found);
    unfit("balance-high-threshold", &terms.balance_high_threshold, found);
    if let (Ok(Some(low)), Ok(Some(high))) =
        (&terms.balance_low_threshold, &terms.balance_high_threshold)
        && low >= high
    {
        found.push(("balance-low-threshold", "must be less than balance high threshold".into()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn terms() -> Terms<'static> {
        Terms {
            has_contractor: true,
            name: Ok(Some("acme")),
            min_balance: Ok(Some(Decimal::ZERO)),
            max_balance: Ok(Some(Decimal::ZERO)),
            vat: Ok(Some(Decimal::ZERO)),
            balance_low_threshold: Ok(None),
            balance_high_threshold: Ok(None),
            destination_rate_limit: Ok(None),
            max_call_duration: Ok(None),
            external_id: Ok(None),
            uuid: Ok(Some(())),
            origination_capacity: Ok(None),
            termination_capacity: Ok(None),
            total_capacity: Ok(None),
            invoice_period_id: Ok(None),
            timezone: Ok(Some("UTC")),
            send_invoices_to: Ok(None),
            send_balance_notifications_to: Ok(None),
        }
    }

    fn said(terms: &Terms<'_>) -> Vec<String> {
        refusals(terms, Truth::default()).iter().map(|(on, said)| format!("{on} {said}")).collect()
    }

    fn number(text: &str) -> Given<Decimal> {
        Decimal::parse(text).map(Some).map_err(|error| error.to_string().into())
    }

    #[test]
    fn plain_terms_are_accepted() {
        assert_eq!(said(&terms()), Vec::<String>::new());
    }

    #[test]
    fn the_ceiling_is_not_below_the_floor() {
        let crossed = Terms { min_balance: number("10"), max_balance: number("5"), ..terms() };
        assert_eq!(said(&crossed), ["max-balance must be greater than or equal to 10.0"]);
        let equal = Terms { min_balance: number("5"), max_balance: number("5"), ..terms() };
        assert_eq!(said(&equal), Vec::<String>::new());
    }

    #[test]
    fn a_floor_that_is_no_number_counts_as_zero() {
        let min_balance = Err(NOT_A_NUMBER);
        let terms = Terms { min_balance, max_balance: number("-1"), ..terms() };
        assert_eq!(
            said(&terms),
            ["min-balance is not a number", "max-balance must be greater than or equal to 0.0"]
        );
    }

    #[test]
    fn missing_limits_are_said_as_the_contract_says_them() {
        let no_max = Terms { max_balance: Ok(None), ..terms() };
        assert_eq!(said(&no_max), ["max-balance can't be blank", "max-balance is not a number"]);
        let neither = Terms { min_balance: Ok(None), max_balance: Ok(None), ..terms() };
        assert_eq!(said(&neither), ["max-balance can't be blank", "min-balance can't be blank"]);
        let no_vat = Terms { vat: Ok(None), ..terms() };
        assert_eq!(said(&no_vat), ["vat can't be blank", "vat is not a number"]);
    }

    #[test]
    fn a_missing_time_zone_is_blank_and_invalid() {
        let terms = Terms { timezone: Ok(None), ..terms() };
        assert_eq!(said(&terms), ["timezone can't be blank", "timezone  is not a valid timezone"]);
    }

    #[test]
    fn vat_is_a_percentage() {
        let over = Terms { vat: number("100.000000000001"), ..terms() };
        assert_eq!(said(&over), ["vat must be less than or equal to 100"]);
        let under = Terms { vat: number("-1"), ..terms() };
        assert_eq!(said(&under), ["vat must be greater than or equal to 0"]);
    }

    #[test]
    fn equal_thresholds_are_refused() {
        let low = number("90");
        let terms =
            Terms { balance_low_threshold: low.clone(), balance_high_threshold: low, ..terms() };
        assert_eq!(
            said(&terms),
            ["balance-low-threshold must be less than balance high threshold"]
        );
    }

    #[test]
    fn whatever_is_no_period_is_not_in_the_list() {
        for id in [Ok(Some(0)), Ok(Some(8)), Ok(Some(99)), Err(NOT_A_NUMBER)] {
            let terms = Terms { invoice_period_id: id, ..terms() };
            assert_eq!(said(&terms), ["invoice-period-id is not included in the list"]);
        }
    }
}
