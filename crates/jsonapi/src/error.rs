//! Error objects: every class of the contract (protocol 5.2) is a constructor here and nowhere
//! else, so titles, details and codes are written once.

use std::borrow::Cow;

use crate::definition::Resource;
use crate::json::write_string;

/// One error object of an error document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    /// HTTP status; the document's status is that of its first error.
    pub status: u16,
    /// Class of the error, a number in text form.
    pub code: &'static str,
    /// Short text of the class, or the message of a validation error.
    pub title: Cow<'static, str>,
    /// What exactly was wrong.
    pub detail: Cow<'static, str>,
    /// JSON pointer into the request document; only for validation errors.
    pub pointer: Option<String>,
}

impl Error {
    fn new(
        status: u16,
        code: &'static str,
        title: &'static str,
        detail: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self { status, code, title: title.into(), detail: detail.into(), pointer: None }
    }

    /// 101: the type is not the endpoint's, or unknown.
    #[must_use]
    pub fn invalid_resource(kind: &str) -> Self {
        Self::new(400, "101", "Invalid resource", format!("{kind} is not a valid resource."))
    }

    /// 102: no such filter.
    #[must_use]
    pub fn filter_not_allowed(name: &str) -> Self {
        Self::new(400, "102", "Filter not allowed", format!("{name} is not allowed."))
    }

    /// 103: an id that is no integer.
    #[must_use]
    pub fn invalid_id(value: &str) -> Self {
        let detail = format!("{value} is not a valid value for id.");
        Self::new(400, "103", "Invalid field value", detail)
    }

    /// 104: no such field in a fieldset.
    #[must_use]
    pub fn invalid_field(field: &str, kind: &str) -> Self {
        let detail = format!("{field} is not a valid field for {kind}.");
        Self::new(400, "104", "Invalid field", detail)
    }

    /// 105: a member that is unknown, or not writable here.
    #[must_use]
    pub fn not_allowed(name: &str) -> Self {
        Self::new(400, "105", "Param not allowed", format!("{name} is not allowed."))
    }

    /// 106: a required member is missing.
    #[must_use]
    pub fn missing(name: &str) -> Self {
        let detail = format!("The required parameter, {name}, is missing.");
        Self::new(400, "106", "Missing Parameter", detail)
    }

    /// 107: a filter value that its operator cannot take.
    #[must_use]
    pub fn invalid_filter_value(values: &str, filter: &str) -> Self {
        let detail = format!("{values} is not a valid value for {filter}.");
        Self::new(400, "107", "Invalid filter value", detail)
    }

    /// 109: an update without `data.id`.
    #[must_use]
    pub fn key_required() -> Self {
        let detail = "The resource object does not contain a key.";
        Self::new(400, "109", "A key is required", detail)
    }

    /// 110: `data.id` is not the URL's.
    #[must_use]
    pub fn key_not_in_url(id: &str) -> Self {
        let detail = format!("The URL does not support the key {id}");
        Self::new(400, "110", "Key is not included in URL", detail)
    }

    /// 112: no such relationship to include.
    #[must_use]
    pub fn invalid_include(name: &str, kind: &str) -> Self {
        let detail = format!("{name} is not a valid relationship of {kind}");
        Self::new(400, "112", "Invalid field", detail)
    }

    /// 114: no such sort field.
    #[must_use]
    pub fn invalid_sort(name: &str, kind: &str) -> Self {
        let detail = format!("{name} is not a valid sort criteria for {kind}");
        Self::new(400, "114", "Invalid sort criteria", detail)
    }

    /// 115: a linkage that is not `{"type", "id"}`.
    #[must_use]
    pub fn invalid_linkage() -> Self {
        let detail = "Data is not a valid Links Object.";
        Self::new(400, "115", "Invalid Links Object", detail)
    }

    /// 116: a linkage of another type.
    #[must_use]
    pub fn type_mismatch(kind: &str) -> Self {
        let detail = format!("{kind} is not a valid type for this operation.");
        Self::new(400, "116", "Type Mismatch", detail)
    }

    /// 117: `page` of no usable form.
    #[must_use]
    pub fn invalid_page() -> Self {
        Self::new(400, "117", "Invalid Page Object", "Invalid Page Object.")
    }

    /// 118: a page number or size out of bounds, or a cursor that does not fit the list.
    #[must_use]
    pub fn invalid_page_value(value: &str, parameter: &str) -> Self {
        let detail = format!("{value} is not a valid value for {parameter} page parameter.");
        Self::new(400, "118", "Invalid page value", detail)
    }

    /// 118: more records per page than allowed.
    #[must_use]
    pub fn page_too_large(max: u64) -> Self {
        let detail = format!("size exceeds maximum page size of {max}.");
        Self::new(400, "118", "Invalid page value", detail)
    }

    /// 119: `fields` without a type.
    #[must_use]
    pub fn invalid_fields_format() -> Self {
        Self::new(400, "119", "Invalid field format", "Fields must specify a type.")
    }

    /// 120: `filter` that is no object.
    #[must_use]
    pub fn invalid_filter_syntax(value: &str) -> Self {
        let detail = format!("{value} is not a valid syntax for filtering.");
        Self::new(400, "120", "Invalid filters syntax", detail)
    }

    /// 121: a save refused without a message of its own.
    #[must_use]
    pub fn save_failed() -> Self {
        let text = "Save failed or was cancelled";
        Self::new(422, "121", text, text)
    }

    /// 122: `data`, `attributes` or `relationships` that is no object.
    #[must_use]
    pub fn not_a_hash() -> Self {
        Self::new(400, "122", "Invalid data format", "Data must be a hash.")
    }

    /// 400: a request that cannot be read.
    #[must_use]
    pub fn bad_request(detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(400, "400", "Bad Request", detail)
    }

    /// 401: no usable token (D8).
    #[must_use]
    pub fn unauthorized() -> Self {
        let detail = "Authorization token expired or incorrect.";
        Self::new(401, "401", "Authorization failed", detail)
    }

    /// 401: a sign-in that failed.
    #[must_use]
    pub fn sign_in_failed(detail: &'static str) -> Self {
        Self::new(401, "401", "Authentication failed", detail)
    }

    /// 404: no such record.
    #[must_use]
    pub fn record_not_found(id: &str) -> Self {
        let detail = format!("The record identified by {id} could not be found.");
        Self::new(404, "404", "Record not found", detail)
    }

    /// 404: no such path (D9).
    #[must_use]
    pub fn path_not_found() -> Self {
        Self::new(404, "404", "Not Found", "The requested path could not be found.")
    }

    /// 405: a known path that does not know the method (D9).
    #[must_use]
    pub fn method_not_allowed(method: &str) -> Self {
        let detail = format!("{method} is not allowed for this path.");
        Self::new(405, "405", "Method not allowed", detail)
    }

    /// 406: no acceptable media type.
    #[must_use]
    pub fn not_acceptable(header: &str) -> Self {
        let detail = format!(
            "All requests must use the 'application/vnd.api+json' Accept without media type \
             parameters. This request specified '{header}'."
        );
        Self::new(406, "406", "Not acceptable", detail)
    }

    /// 408: the body did not arrive in time.
    #[must_use]
    pub fn request_timeout() -> Self {
        let detail = "The request did not arrive completely in time.";
        Self::new(408, "408", "Request Timeout", detail)
    }

    /// 412: `If-Match` names another representation (D24).
    #[must_use]
    pub fn precondition_failed() -> Self {
        let detail = "The resource has changed: If-Match does not name its current state.";
        Self::new(412, "412", "Precondition failed", detail)
    }

    /// 413: a body beyond the limit.
    #[must_use]
    pub fn body_too_large(max_bytes: usize) -> Self {
        let detail = format!("The request body exceeds the limit of {max_bytes} bytes.");
        Self::new(413, "413", "Payload Too Large", detail)
    }

    /// 414: a request line beyond the limit.
    #[must_use]
    pub fn uri_too_long(max_bytes: usize) -> Self {
        let detail = format!("The request target exceeds the limit of {max_bytes} bytes.");
        Self::new(414, "414", "URI Too Long", detail)
    }

    /// 415: a body of another media type.
    #[must_use]
    pub fn unsupported_media_type(media_type: &str) -> Self {
        let detail = format!(
            "All requests that create or update must use the 'application/vnd.api+json' \
             Content-Type. This request specified '{media_type}'."
        );
        Self::new(415, "415", "Unsupported media type", detail)
    }

    /// 422 on the whole record.
    #[must_use]
    pub fn base(message: impl Into<Cow<'static, str>>) -> Self {
        let message = message.into();
        Self {
            status: 422,
            code: "100",
            title: message.clone(),
            detail: message,
            pointer: Some("/data".to_owned()),
        }
    }

    /// 422: an `Idempotency-Key` that has named another request before.
    #[must_use]
    pub fn idempotency_key_reused() -> Self {
        let detail = "This Idempotency-Key was sent with another method, path or body before.";
        Self::new(422, "422", "Idempotency key reused", detail)
    }

    /// 429: too many attempts.
    #[must_use]
    pub fn too_many_requests(detail: &'static str) -> Self {
        Self::new(429, "429", "Too Many Requests", detail)
    }

    /// 500: a fault of ours; the log has the detail.
    #[must_use]
    pub fn internal() -> Self {
        Self::new(500, "500", "Internal Server Error", "Internal Server Error")
    }

    /// 503: too busy, or the database cannot be written.
    #[must_use]
    pub fn unavailable(detail: &'static str) -> Self {
        Self::new(503, "503", "Service Unavailable", detail)
    }
}

/// Where a validation error belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// An attribute or relationship, by wire name.
    Member(&'static str),
    /// The record as a whole.
    Base,
}

/// A rule's refusal: what is wrong and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Where.
    pub place: Place,
    /// The contract's message, such as `can't be blank`.
    pub message: Cow<'static, str>,
}

impl Fault {
    /// A fault of one member.
    pub fn on(member: &'static str, message: impl Into<Cow<'static, str>>) -> Self {
        Self { place: Place::Member(member), message: message.into() }
    }

    /// The fault as a sentence of its own: `Name has already been taken`.
    #[must_use]
    pub fn sentence(&self) -> String {
        match self.place {
            Place::Base => self.message.to_string(),
            Place::Member(name) => {
                let (first, rest) = name.split_at(1);
                format!("{}{} {}", first.to_uppercase(), rest.replace('-', " "), self.message)
            }
        }
    }

    /// A fault of the record as a whole.
    pub fn base(message: impl Into<Cow<'static, str>>) -> Self {
        Self { place: Place::Base, message: message.into() }
    }
}

/// Error objects for faults in rule order: grouped by member, members in the order of their
/// first fault (contract, protocol 6).
#[must_use]
pub fn validation_errors(resource: &Resource, faults: &[Fault]) -> Vec<Error> {
    let mut errors = Vec::with_capacity(faults.len());
    for (position, fault) in faults.iter().enumerate() {
        if faults[..position].iter().any(|earlier| earlier.place == fault.place) {
            continue;
        }
        let same_place = faults[position..].iter().filter(|other| other.place == fault.place);
        errors.extend(same_place.map(|fault| validation_error(resource, fault)));
    }
    errors
}

fn validation_error(resource: &Resource, fault: &Fault) -> Error {
    let Place::Member(member) = fault.place else {
        return Error::base(fault.message.clone());
    };
    let part = if resource.relationship(member).is_some() { "relationships" } else { "attributes" };
    Error {
        status: 422,
        code: "100",
        title: fault.message.clone(),
        detail: format!("{member} - {}", fault.message).into(),
        pointer: Some(format!("/data/{part}/{member}")),
    }
}

/// The error document, members in the contract's order (protocol 4.2).
#[must_use]
pub fn error_document(errors: &[Error]) -> Vec<u8> {
    let mut out = Vec::with_capacity(64 + 160 * errors.len());
    out.extend_from_slice(b"{\"errors\":[");
    for (position, error) in errors.iter().enumerate() {
        out.extend_from_slice(if position == 0 { b"{\"title\":" } else { b",{\"title\":" });
        write_string(&mut out, &error.title);
        out.extend_from_slice(b",\"detail\":");
        write_string(&mut out, &error.detail);
        out.extend_from_slice(b",\"code\":\"");
        out.extend_from_slice(error.code.as_bytes());
        out.push(b'"');
        if let Some(pointer) = &error.pointer {
            out.extend_from_slice(b",\"source\":{\"pointer\":");
            write_string(&mut out, pointer);
            out.push(b'}');
        }
        out.extend_from_slice(b",\"status\":\"");
        out.extend_from_slice(error.status.to_string().as_bytes());
        out.extend_from_slice(b"\"}");
    }
    out.extend_from_slice(b"]}");
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::ACCOUNTS;

    fn document(errors: &[Error]) -> String {
        String::from_utf8(error_document(errors)).unwrap()
    }

    #[test]
    fn members_come_in_the_contracts_order() {
        assert_eq!(
            document(&[Error::not_allowed("balance")]),
            r#"{"errors":[{"title":"Param not allowed","detail":"balance is not allowed.","code":"105","status":"400"}]}"#
        );
        let message = "Cannot delete record because dependent accounts exist";
        assert_eq!(
            document(&[Error::base(message)]),
            format!(
                r#"{{"errors":[{{"title":"{message}","detail":"{message}","code":"100","source":{{"pointer":"/data"}},"status":"422"}}]}}"#
            )
        );
    }

    #[test]
    fn user_text_is_escaped_as_little_as_can_be() {
        let text = document(&[Error::not_allowed("<b>&'\"/\\\u{1}\u{2028} é")]);
        assert!(text.contains(r#"<b>&'\"/\\\u0001"#), "{text}");
        assert!(text.contains("\u{2028} é is not allowed."), "{text}");
    }

    #[test]
    fn faults_point_at_their_member() {
        let faults = [
            Fault::on("contractor", "must exist"),
            Fault::on("name", "can't be blank"),
            Fault::on("renew-period-id", "is not included in the list"),
            Fault::base("no"),
        ];
        let errors = validation_errors(&ACCOUNTS, &faults);
        let pointers: Vec<_> =
            errors.iter().map(|error| error.pointer.as_deref().unwrap()).collect();
        assert_eq!(
            pointers,
            [
                "/data/relationships/contractor",
                "/data/attributes/name",
                "/data/attributes/renew-period-id",
                "/data",
            ]
        );
        assert_eq!(errors[1].detail, "name - can't be blank");
        assert_eq!(errors[3].detail, "no");
    }

    #[test]
    fn faults_are_grouped_by_member_in_order_of_the_first() {
        let faults = [("name", "a"), ("vat", "b"), ("name", "c"), ("state", "d"), ("vat", "e")]
            .map(|(member, message)| Fault::on(member, message));
        let errors = validation_errors(&ACCOUNTS, &faults);
        let details: Vec<_> = errors.iter().map(|error| error.detail.as_ref()).collect();
        assert_eq!(details, ["name - a", "name - c", "vat - b", "vat - e", "state - d"]);
    }
}
